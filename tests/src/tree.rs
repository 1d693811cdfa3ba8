//! Trees on the disk: what is in one, and small ones made of the programs of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Where programs are looked for, an administrator's too.
const PLACES: [&str; 2] = ["/usr/bin", "/usr/sbin"];

/// What the mode of a plain file has beside its permissions.
pub const PLAIN: u32 = 0o100_000;

/// Everything below a directory but directories, by its path from there, with its mode.
pub fn files(root: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
                continue;
            }
            let name = entry.path().strip_prefix(root).unwrap().display().to_string();
            found.insert(name, entry.metadata().unwrap().permissions().mode());
        }
    }
    found
}

/// A program of this machine.
pub fn program(name: &str) -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists())
}

/// Writes a program of a test's own.
pub fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Makes the directories of a root, laid out as distributions do, with programs of this machine and the
/// libraries that they are linked with.
///
/// # Errors
/// One is not here, or cannot be copied.
pub fn small_root(root: &Path, programs: &[&str]) -> anyhow::Result<()> {
    for directory in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "var/lib"] {
        fs::create_dir_all(root.join(directory))?;
    }
    for directory in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(directory))?;
        symlink(format!("usr/{directory}"), root.join(directory))?;
    }
    for name in programs {
        let path = program(name).with_context(|| format!("{name} is not installed"))?;
        copy(root, &path)?;
        let out = Command::new("ldd").arg(&path).output()?;
        ensure!(out.status.success(), "ldd {}: {out:?}", path.display());
        let libraries = String::from_utf8(out.stdout)?;
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            copy(root, Path::new(library))?;
        }
    }
    Ok(())
}

/// Copies a file to its own place below a root, where it is not yet there. What a link leads to is copied.
fn copy(root: &Path, path: &Path) -> anyhow::Result<()> {
    let to = root.join(path.strip_prefix("/")?);
    if to.exists() {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("the root is no program")?)?;
    fs::copy(path, &to).with_context(|| path.display().to_string())?;
    Ok(())
}
