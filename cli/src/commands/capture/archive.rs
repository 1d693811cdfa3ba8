//! Where a capture goes: into an archive that appears whole or not at all, or into a directory.

use std::ffi::OsString;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use onload_dbus::error::Kind;
use tar::{Builder, EntryType, Header};

use super::WHAT;
use super::laid::lay;
use super::tree::{Entry, Tree};
use crate::commands::keys::directory::Directory;
use crate::ended::{Complaint, Ended};
use crate::render::paint::plain;

/// Nobody else gets to what is in it.
const DIRECTORY: u32 = 0o700;

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Standard,
    File(PathBuf),
    Directory(PathBuf),
}

/// Writes it there; in an archive everything is below one directory called `name`.
pub(super) fn write(target: &Target, name: &str, tree: &Tree, taken: u64) -> Result<(), Ended> {
    match target {
        Target::Standard => {
            let mut out = BufWriter::new(io::stdout().lock());
            pack(&mut out, name, tree, taken)?;
            Ok(out.flush()?)
        }
        Target::File(path) => file(path, name, tree, taken)
            .map_err(|error| refusal(path, &error, "file: --output FILE").into()),
        Target::Directory(path) => lay(path, tree)
            .map_err(|error| refusal(path, &error, "directory: --directory DIR").into()),
    }
}

/// `place` is what to name instead.
fn refusal(path: &Path, error: &io::Error, place: &str) -> Complaint {
    let (kind, fix) = match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::InvalidInput => {
            (Kind::InvalidArgument, format!("name another {place}"))
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (Kind::Internal, format!("make room, or on another file system name a {place}"))
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (Kind::NotAuthorized, format!("where you may write, name a {place}"))
        }
        _ => (Kind::Internal, format!("name another {place}")),
    };
    let why = plain(&format!("{}: {error}", path.to_string_lossy()));
    Complaint::of(kind, WHAT, why, fix)
}

/// Under another name until it is whole and on the disk.
fn file(path: &Path, name: &str, tree: &Tree, taken: u64) -> io::Result<()> {
    let (directory, last) = Directory::of(path)?;
    let mut next = OsString::from(".");
    next.push(&last);
    next.push(format!(".{}", std::process::id()));
    let written = directory.create(&next).and_then(|file| {
        let mut out = BufWriter::new(file);
        pack(&mut out, name, tree, taken)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        directory.bring(&directory, &next, &last)?;
        directory.sync()
    });
    // Gone already where all went well.
    directory.remove(&next);
    written
}

/// The same tree always gives the same bytes.
fn pack(out: &mut dyn Write, name: &str, tree: &Tree, taken: u64) -> io::Result<()> {
    let packed = GzBuilder::new().mtime(0).write(out, Compression::default());
    let mut archive = Builder::new(packed);
    let header = |kind: EntryType, mode: u32, size: u64| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(taken / 1000);
        header.set_size(size);
        header
    };
    let top = header(EntryType::Directory, DIRECTORY, 0);
    archive.append_data(&mut top.clone(), format!("{name}/"), io::empty())?;
    for (path, entry) in tree.entries() {
        let path = format!("{name}/{path}");
        match entry {
            Entry::File { content, mode } => {
                let mut header = header(EntryType::Regular, *mode, content.len() as u64);
                archive.append_data(&mut header, path, content.as_slice())?;
            }
            Entry::Link(target) => {
                archive.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)?;
            }
            Entry::Directory => {
                archive.append_data(&mut top.clone(), format!("{path}/"), io::empty())?;
            }
        }
    }
    archive.into_inner()?.finish()?.flush()
}
