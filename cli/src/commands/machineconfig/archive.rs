//! A release that is small enough to travel in a MachineConfig, as one archive: the same bytes for the same
//! files, whoever packs it and when.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::ended::Complaint;

use super::content::gzip;
use super::inputs::shown;
use super::refuse;

/// Before it is compressed. Modules with their symbols compress to a fifth or so, so nothing larger can
/// fit, and need not be read to know that.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Packs a directory.
///
/// # Errors
/// It cannot be read, is empty, or is far too large.
pub fn pack(directory: &Path) -> Result<Vec<u8>, Complaint> {
    let refused = |error: io::Error| {
        let why = format!("{} cannot be packed: {error}", shown(directory));
        refuse(why, "name a directory with the files of a release that you may read, or an image")
    };
    let mut found = Vec::new();
    walk(directory, Path::new(""), &mut found).map_err(refused)?;
    // Directories are listed in whatever order the file system has.
    found.sort();
    let size: u64 = found.iter().map(|one| one.size).sum();
    if found.is_empty() || size > LARGEST {
        let why = match found.is_empty() {
            true => format!("{} has no files", shown(directory)),
            false => format!(
                "{} has {size} bytes, and {LARGEST} is more than a MachineConfig can carry compressed",
                shown(directory)
            ),
        };
        return Err(refuse(why, "put the release into an image, and name that: --release IMAGE"));
    }
    let packed = || -> io::Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        found.iter().try_for_each(|one| append(&mut archive, directory, one))?;
        gzip(&archive.into_inner()?)
    };
    packed().map_err(refused)
}

/// A file or link below the directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    path: PathBuf,
    size: u64,
    link: Option<PathBuf>,
    program: bool,
}

fn walk(root: &Path, below: &Path, found: &mut Vec<Found>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let about = entry.metadata()?;
        let link = about.is_symlink().then(|| fs::read_link(entry.path())).transpose()?;
        if about.is_dir() {
            walk(root, &path, found)?;
        } else if about.is_file() || link.is_some() {
            let program = about.permissions().mode() & 0o111 != 0;
            let size = if about.is_file() { about.len() } else { 0 };
            found.push(Found { path, size, link, program });
        }
    }
    Ok(())
}

fn append(archive: &mut Builder<Vec<u8>>, root: &Path, one: &Found) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(if one.program { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    if let Some(target) = &one.link {
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        return archive.append_link(&mut header, &one.path, target);
    }
    let mut content = Vec::new();
    File::open(root.join(&one.path))?.take(LARGEST).read_to_end(&mut content)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, &one.path, &content[..])
}
