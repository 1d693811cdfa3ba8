//! Directories in which a release is made or unmade, beside the releases and hidden from them. Who
//! works in one holds a lock on it, so that what a killed process left can be told and removed.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use onload_core::refusal::Refusal;

use super::collect::{Collector, Staged};
use super::fault;

/// A release that is being taken in.
const IMPORT: &str = ".import-";
/// A release that is being removed.
pub(super) const REMOVE: &str = ".remove-";
/// The link that becomes `current`.
pub(super) const NEW_LINK: &str = ".current-new";
/// Held while names in the store change.
pub(super) const LOCK: &str = ".lock";
/// Where files of a source lie until their place is known. Below the release-to-be, so that all
/// of it is one leftover.
const FILES: &str = ".files";
/// Ours alone while it is written.
const PRIVATE: u32 = 0o700;
/// Releases are for everybody to read: pods and programs map their libraries.
const OPEN: u32 = 0o755;
/// Bytes compared at once.
const PIECE: usize = 64 << 10;

/// A release that is being taken in; all of it goes unless it gets its name.
#[derive(Debug)]
pub(super) struct Staging {
    /// None once it has its name.
    tree: Option<PathBuf>,
    root: PathBuf,
    files: PathBuf,
    /// Released by the kernel, however this process ends.
    _lock: File,
}

impl Staging {
    /// Makes the store where there is none, removes what others left, and begins.
    pub(super) fn begin(releases: &Path) -> Result<Self, Refusal> {
        let unwritten = |error: io::Error| fault::unwritten(releases, &error);
        let made = DirBuilder::new().recursive(true).mode(OPEN).create(releases);
        made.map_err(unwritten)?;
        // Whatever the mask of this process.
        let open = fs::metadata(releases)
            .map(|found| found.permissions().mode() & OPEN == OPEN)
            .map_err(unwritten)?;
        if !open {
            fs::set_permissions(releases, Permissions::from_mode(OPEN)).map_err(unwritten)?;
        }
        let _others = lock(releases).map_err(unwritten)?;
        if let Err(error) = sweep(releases) {
            tracing::warn!(%error, "leftovers of an interrupted import stay");
        }
        let (root, _lock) = make(releases).map_err(unwritten)?;
        let files = root.join(FILES);
        let staging = Self { tree: Some(root.clone()), root, files, _lock };
        let made = DirBuilder::new().mode(PRIVATE).create(&staging.files);
        made.map_err(|error| fault::unwritten(&staging.files, &error))?;
        Ok(staging)
    }

    /// Root of the release-to-be.
    pub(super) fn tree(&self) -> &Path {
        &self.root
    }

    /// Where files lie under numbers.
    pub(super) fn files(&self) -> &Path {
        &self.files
    }

    /// Whether two staged files have the same content.
    pub(super) fn same(&self, one: Staged, other: Staged) -> Result<bool, Refusal> {
        let path = |staged| Collector::path_of(&self.files, staged);
        let same = same(&path(one), &path(other));
        same.map_err(|error| fault::unwritten(&self.files, &error))
    }

    /// Gives it its name.
    pub(super) fn rename_to(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.root, to)?;
        self.tree = None;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(tree) = &self.tree
            && let Err(error) = delete(tree)
        {
            tracing::warn!(path = %tree.display(), %error, "leftovers stay until the next import");
        }
    }
}

/// Holds off other imports and removals while names in the store change.
pub(super) fn lock(releases: &Path) -> io::Result<File> {
    let file = lock_file(releases)?;
    file.lock()?;
    Ok(file)
}

/// The same, but none where another is at it.
pub(super) fn try_lock(releases: &Path) -> io::Result<Option<File>> {
    let file = lock_file(releases)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Not the directory itself: everybody may open that, and who can open can lock.
fn lock_file(releases: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(releases.join(LOCK))
}

fn make(releases: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = std::process::id();
    loop {
        let root = releases.join(format!("{IMPORT}{number}"));
        match DirBuilder::new().mode(PRIVATE).create(&root) {
            Ok(()) => {
                let lock = File::open(&root)?;
                lock.lock()?;
                return Ok((root, lock));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number = number.wrapping_add(1);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Removes leftovers, under the lock of the store.
pub(super) fn sweep(releases: &Path) -> io::Result<()> {
    let mut result = Ok(());
    for entry in fs::read_dir(releases)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        let swept = if name == NEW_LINK {
            fs::remove_file(&path)
        } else if name.starts_with(IMPORT) || name.starts_with(REMOVE) {
            delete_abandoned(&path)
        } else {
            Ok(())
        };
        result = result.and(swept);
    }
    result
}

fn delete_abandoned(path: &Path) -> io::Result<()> {
    // Its owner may have left a mode that bars even its owner.
    let directory = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(PRIVATE))?;
            File::open(path)?
        }
        opened => opened?,
    };
    match directory.try_lock() {
        Ok(()) => delete(path),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Deletes a tree, read-only or not, without following links.
pub(super) fn delete(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    fs::set_permissions(path, Permissions::from_mode(PRIVATE))?;
    for entry in fs::read_dir(path)? {
        delete(&entry?.path())?;
    }
    fs::remove_dir(path)
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}
