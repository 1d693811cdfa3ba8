//! The file in which Node Feature Discovery finds the features: whole at any time, and touched only when
//! they have changed.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use onload_dbus::error::Kind;

use crate::ended::Complaint;
use crate::render::paint::plain;

/// What does not happen.
const WHAT: &str = "the features are not written";
/// Its worker may be another user.
const MODE: u32 = 0o644;

fn refuse(path: &Path, error: &io::Error) -> Complaint {
    let why = format!("{}: {error}", plain(&path.to_string_lossy()));
    let fix = "name a file in a directory that is there and can be written, as root: --output FILE";
    Complaint::of(Kind::InvalidArgument, WHAT, why, fix)
}

/// Whether a file could be kept here, before anybody is asked.
pub fn check(path: &Path) -> Result<(), Complaint> {
    let refuse = |why: &str| {
        let shown = plain(&path.to_string_lossy());
        Err(Complaint::of(Kind::InvalidArgument, WHAT, format!("{shown}: {why}"), "name a file"))
    };
    match path.file_name().and_then(|name| name.to_str()) {
        None => refuse("it is no name of a file"),
        // It passes by those.
        Some(name) if name.starts_with('.') => {
            refuse("Node Feature Discovery reads no file whose name begins with a dot")
        }
        Some(_) if path.is_dir() => refuse("it is a directory"),
        Some(_) => Ok(()),
    }
}

/// A name beside it, which nobody reads.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

/// Has the file hold this text; not touched where it does.
pub fn keep(path: &Path, text: &str) -> Result<(), Complaint> {
    let mode = |path: &Path| fs::metadata(path).map(|file| file.permissions().mode() & 0o7777);
    if fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes())
        && mode(path).is_ok_and(|mode| mode == MODE)
    {
        return Ok(());
    }
    let new = beside(path);
    let write = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        // Not waited for: after a power loss it is written anew.
        fs::rename(&new, path)
    };
    write().map_err(|error| {
        // What could not be made cannot be removed, and the first error is the one to tell.
        drop(fs::remove_file(&new));
        refuse(path, &error)
    })
}

/// Takes it away.
pub fn remove(path: &Path) -> Result<(), Complaint> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(refuse(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
