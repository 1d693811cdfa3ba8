//! A file in the making beside the one whose place it takes: the old one is whole until the new one
//! is, and then the new one is found by the old name, with its owner, mode and labels.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, fsetxattr};
use rustix::io::Errno;

/// Names tried before giving up: a run that was killed may have left some.
const TRIES: u32 = 16;
/// Attributes that speak of the old content: a new file with them would be refused by IMA and EVM.
const OF_CONTENT: [&str; 2] = ["security.ima", "security.evm"];

/// The file in the making. It goes away when dropped.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    /// Open for reading and writing.
    pub file: File,
    placed: bool,
}

impl Draft {
    /// Begins one in the directory of a file, readable by its owner only.
    ///
    /// # Errors
    /// Nothing can be made there.
    pub fn beside(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default();
        for attempt in 0..TRIES {
            // Ends in nothing that depmod takes for a module.
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}-{attempt}.new", std::process::id()));
            let path = path.with_file_name(hidden);
            let mut how = OpenOptions::new();
            match how.read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(Self { path, file, placed: false }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "names for a new file are taken"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves only what it begins with.
    ///
    /// # Errors
    /// The file system fails.
    pub fn cut(&self, beginning: &[u8]) -> io::Result<()> {
        self.file.set_len(beginning.len() as u64)
    }

    /// Puts it in the place of `old`, which was open as `file` and looked like `seen` then.
    ///
    /// # Errors
    /// Something of the old one cannot be carried over, it was changed meanwhile, or the file system
    /// fails. The old one is untouched then.
    pub fn replace(mut self, old: &Path, file: &File, seen: &Metadata) -> io::Result<()> {
        let ours = self.file.metadata()?;
        if (ours.uid(), ours.gid()) != (seen.uid(), seen.gid()) {
            fchown(&self.file, Some(seen.uid()), Some(seen.gid()))?;
        }
        copy_attributes(file, &self.file)?;
        // After the owner: changing that takes bits away.
        self.file.set_permissions(seen.permissions())?;
        self.file.sync_all()?;
        let now = fs::metadata(old)?;
        let same = |a: &Metadata| (a.dev(), a.ino(), a.len(), a.mtime(), a.mtime_nsec());
        if same(&now) != same(seen) {
            return Err(io::Error::new(ErrorKind::ResourceBusy, "somebody changed it meanwhile"));
        }
        fs::rename(&self.path, old)?;
        self.placed = true;
        sync_directory(old)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.placed {
            // Nobody to tell; the name says whose it is.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Makes the names in the directory of a file outlive a loss of power.
pub fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Carries over labels and access lists that differ from those a new file gets by itself.
fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let mut names = vec![0u8; flistxattr_query(from).or_else(none)?];
    let length = if names.is_empty() { 0 } else { flistxattr(from, &mut names)? };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    for name in names {
        if OF_CONTENT.iter().any(|content| content.as_bytes() == name) {
            continue;
        }
        let value = attribute(from, name)?;
        if attribute(to, name).ok() != Some(value.clone()) {
            fsetxattr(to, name, &value, XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn attribute(file: &File, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut value = vec![0u8; fgetxattr_query(file, name)?];
    let length = if value.is_empty() { 0 } else { fgetxattr(file, name, &mut value)? };
    value.truncate(length);
    Ok(value)
}

/// A file system without attributes has none to lose.
fn none(error: Errno) -> Result<usize, Errno> {
    if error == Errno::NOTSUP || error == Errno::NOSYS { Ok(0) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn a_draft_goes_away_unless_it_takes_its_place() {
        let place = std::env::temp_dir().join(format!("onloadctl-draft-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let file = place.join("a.ko");
        fs::write(&file, "old").unwrap();
        drop(Draft::beside(&file).unwrap());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);

        let open = File::open(&file).unwrap();
        let seen = open.metadata().unwrap();
        let draft = Draft::beside(&file).unwrap();
        fs::write(&file, "changed").unwrap();
        let error = draft.replace(&file, &open, &seen).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert_eq!(fs::read(&file).unwrap(), b"changed");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        fs::remove_dir_all(&place).unwrap();
    }
}
