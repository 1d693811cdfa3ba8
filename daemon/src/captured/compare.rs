//! What lies in a capture, to be compared with what its manifest says. No link is followed, and no more is read of
//! a file than the manifest says that it has: who made the capture may have made both.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use onload_core::manifest::{Content, Manifest, NODES, Sum};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::Errno;

use super::unpack::MOST_BYTES;
use crate::store::archive::Cancel;

/// Directories in one path, and files in all: as many as an archive may have.
const MOST_DEPTH: usize = 64;
const MOST_FILES: usize = 200_000;

/// What is looked through.
struct Look<'m> {
    top: File,
    root: &'m Path,
    /// The length that a file has by the manifest.
    lengths: BTreeMap<&'m str, u64>,
    all: BTreeMap<String, Content>,
    /// Bytes that may still be read.
    left: u64,
    cancel: &'m Cancel,
}

/// Files, links and empty directories of a capture: all of them where machines are, and elsewhere what is listed,
/// as other programs lay their files beside. A file that is not as long as it should be is not read.
pub(super) fn there(
    root: &Path,
    manifest: &Manifest,
    cancel: &Cancel,
) -> io::Result<BTreeMap<String, Content>> {
    let (lengths, all) = (manifest.bytes(), BTreeMap::new());
    let listed: Vec<&str> =
        lengths.keys().copied().filter(|path| !path.starts_with(NODES)).collect();
    let mut look = Look { top: File::open(root)?, root, lengths, all, left: MOST_BYTES, cancel };
    for path in listed {
        look.take(path)?;
    }
    look.walk(NODES.trim_end_matches('/'), 0)?;
    Ok(look.all)
}

impl Look<'_> {
    fn walk(&mut self, directory: &str, depth: usize) -> io::Result<()> {
        if depth > MOST_DEPTH || self.all.len() > MOST_FILES {
            return Err(io::Error::other(format!("{directory}: too many directories or files")));
        }
        let mut is_empty = true;
        for entry in fs::read_dir(self.root.join(directory))? {
            let entry = entry?;
            is_empty = false;
            let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.walk(&path, depth + 1)?;
            } else {
                self.take(&path)?;
            }
        }
        if is_empty {
            self.all.insert(directory.to_owned(), Content::Directory);
        }
        Ok(())
    }

    fn take(&mut self, path: &str) -> io::Result<()> {
        if self.cancel.is_told() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Some(content) = self.content(path)? {
            self.all.insert(path.to_owned(), content);
        }
        Ok(())
    }

    /// What lies there; none where nothing does that is in the capture.
    fn content(&mut self, path: &str) -> io::Result<Option<Content>> {
        let there = match self.open(path, OFlags::PATH) {
            Err(error) if is_elsewhere(&error) => return Ok(None),
            there => there?,
        };
        let found = there.metadata()?;
        if found.is_symlink() {
            let target = readlinkat(&there, "", Vec::new())?;
            return Ok(Some(Content::Link(target.to_string_lossy().into_owned())));
        }
        if !found.is_file() {
            return Ok(Some(Content::Other));
        }
        let runs = Some(found.permissions().mode() & 0o111 != 0);
        let unread = Content::File(found.len(), None, runs);
        let Some(length) = self.lengths.get(path).copied() else { return Ok(Some(unread)) };
        if length != found.len() {
            return Ok(Some(unread));
        }
        let Some(left) = self.left.checked_sub(length) else {
            return Err(io::Error::other(format!("all of it is larger than {MOST_BYTES} bytes")));
        };
        self.left = left;
        let file = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        // Files of the kernel's say that they are empty, and some have no end.
        let mut file = file.take(length + 1);
        let (mut sum, mut piece, mut read) = (Sum::default(), [0; 32 << 10], 0);
        loop {
            match file.read(&mut piece)? {
                0 if read == length => {
                    return Ok(Some(Content::File(length, Some(sum.digits()), runs)));
                }
                0 => return Ok(Some(Content::Other)),
                more => {
                    sum.add(piece.get(..more).unwrap_or_default());
                    read += more as u64;
                }
            }
        }
    }

    /// Opens what lies in the capture itself, behind no link.
    fn open(&self, path: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let stays = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(openat2(&self.top, path, flags, Mode::empty(), stays)?.into())
    }
}

/// Whether nothing is there, or it is not in the capture: behind a link, or above the top.
fn is_elsewhere(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV))
}
