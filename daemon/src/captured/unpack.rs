//! A packed capture, unpacked where nobody else looks, for as long as it is replayed. Whoever sent it may
//! have made it: directories and files are made anew below a directory of our own, and links last, so
//! that nothing is written through one.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use onload_core::refusal::{Refusal, RefusalKind};

use super::{AGAIN, MANIFEST, Unusable};
use crate::store::archive::{self, Bounds, Cancel, Member, MemberKind, Waiting};

/// Bytes read, packed and unpacked: twice what `onloadctl capture` takes at most.
pub(super) const MOST_BYTES: u64 = 1 << 30;
/// Files, directories and links; a recording of a large machine has some ten thousand.
const MOST_MEMBERS: u64 = 200_000;
/// Names that are tried for a directory of our own.
const ATTEMPTS: u32 = 100;
/// Ours alone: what a capture did not recognise as private is in it.
const DIRECTORY: u32 = 0o700;
/// Inside of it everything is open, as in a recording: a look asks whether others may read a profile.
const FILE: u32 = 0o644;
const PROGRAM: u32 = 0o755;
/// Bytes copied at once.
const PIECE: usize = 32 << 10;
const WHAT: &str = "the capture was not unpacked";

/// How it is called, with two numbers behind. Not as captures are, which people unpack there themselves.
const NAME: &str = "onloadd-unpacked-";

/// A directory that only we can enter, gone with all that is in it when this is dropped.
#[derive(Debug)]
pub struct Unpacked {
    path: PathBuf,
    /// Locked as long as it is in use: by that a later one sees what was left behind.
    _lock: File,
}

impl Unpacked {
    fn new(below: &Path) -> io::Result<Self> {
        forget_left(below);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for number in 0..ATTEMPTS {
            let path = below.join(format!("{NAME}{}-{number}", std::process::id()));
            // Somebody may have made it before us: then it is not ours, whatever it is.
            match DirBuilder::new().mode(DIRECTORY).create(&path).and_then(|()| lock(&path)) {
                Ok(lock) => return Ok(Self { path, _lock: lock }),
                Err(error) if is_taken(error.kind()) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// The directory in it that has the manifest: itself, or the only one in it.
    pub(super) fn top(&self) -> Option<PathBuf> {
        let has_manifest = |path: &PathBuf| path.join(MANIFEST).symlink_metadata().is_ok();
        if has_manifest(&self.path) {
            return Some(self.path.clone());
        }
        let mut entries = fs::read_dir(&self.path).ok()?;
        let only = entries.next()?.ok()?;
        let is_directory = only.file_type().is_ok_and(|kind| kind.is_dir());
        (entries.next().is_none() && is_directory).then(|| only.path()).filter(has_manifest)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "what was unpacked stays");
        }
    }
}

/// Whether a name is another's, or was taken away by one who found it without a lock yet.
fn is_taken(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{AlreadyExists, NotFound, WouldBlock};
    matches!(kind, AlreadyExists | NotFound | WouldBlock)
}

/// Opens a directory of our own, locked.
fn lock(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let lock = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes what was left behind by those that were killed. What is of others, or in use, stays.
fn forget_left(below: &Path) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let is_name = |name: &str| {
        let numbers = name.strip_prefix(NAME).and_then(|rest| rest.split_once('-'));
        numbers.is_some_and(|(pid, number)| is_number(pid) && is_number(number))
    };
    let entries = fs::read_dir(below).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_name)) {
        let ours = |lock: &File| {
            lock.metadata().is_ok_and(|found| found.uid() == nix::unistd::geteuid().as_raw())
        };
        if lock(&entry.path()).is_ok_and(|lock| ours(&lock)) {
            // Another may be at the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Unpacks an archive into a directory below that for temporary files. Ends soon after the future is dropped.
pub(super) async fn unpack(archive: &Path) -> Result<Unpacked, Unusable> {
    let (archive, below, cancel) = (archive.to_owned(), std::env::temp_dir(), Cancel::default());
    let waiting = Waiting::on(&cancel);
    let bounds = Bounds::of(MOST_BYTES, MOST_MEMBERS);
    let called = archive.display().to_string();
    let work = move || unpack_now(&archive, &below, bounds, cancel);
    let unpacked = tokio::task::spawn_blocking(work).await;
    drop(waiting);
    let unpacked = unpacked.unwrap_or_else(|error| {
        Err(Refusal::new(RefusalKind::Internal, WHAT, error.to_string(), "report it"))
    });
    unpacked.map_err(|refusal| Unusable {
        why: format!("{called}: {}", refusal.why),
        fix: match refusal.kind {
            RefusalKind::LimitExceeded => {
                "look into it (`tar -tf`); unpack it yourself, and name the directory: --root DIR"
                    .to_owned()
            }
            // What is said of releases does not help here.
            RefusalKind::InvalidArgument => AGAIN.to_owned(),
            _ => refusal.fix,
        },
    })
}

fn unpack_now(
    archive: &Path,
    below: &Path,
    bounds: Bounds,
    cancel: Cancel,
) -> Result<Unpacked, Refusal> {
    let source = File::open(archive).map_err(|error| {
        let fix = "name a file that you may read: --root FILE";
        Refusal::new(RefusalKind::NotAuthorized, WHAT, error.to_string(), fix)
    })?;
    let place =
        Unpacked::new(below).map_err(|error| unwritten(&below.to_string_lossy(), &error))?;
    let mut content = Content { top: &place.path, there: BTreeMap::new(), links: Vec::new() };
    archive::read(source, bounds, cancel, &mut |member, reader| content.take(member, reader))?;
    content.link()?;
    Ok(place)
}

/// What was made at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Directory,
    File,
    Link,
}

/// What is unpacked so far.
struct Content<'t> {
    top: &'t Path,
    there: BTreeMap<String, Made>,
    /// Paths and targets of those that are still to be made.
    links: Vec<(String, String)>,
}

impl Content<'_> {
    fn take(&mut self, member: Member, reader: &mut dyn Read) -> Result<(), Refusal> {
        let Member { path, kind } = member;
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent)?;
        }
        if kind == MemberKind::Directory {
            return self.directory(&path);
        }
        if self.there.contains_key(&path) {
            return Err(forbidden(&path, "is in it twice"));
        }
        let place = self.top.join(&path);
        let made = match kind {
            MemberKind::File(bits) => {
                let mode = if bits.executable { PROGRAM } else { FILE };
                let file = File::create_new(&place).and_then(|file| {
                    // Whatever the mask of this process.
                    file.set_permissions(Permissions::from_mode(mode))?;
                    Ok(file)
                });
                let mut file = file.map_err(|error| unwritten(&path, &error))?;
                copy(&path, reader, &mut file)?;
                Made::File
            }
            MemberKind::Hardlink(target) => {
                if self.there.get(&target) != Some(&Made::File) {
                    return Err(forbidden(&path, "is another name of what is no file before it"));
                }
                fs::hard_link(self.top.join(target), &place)
                    .map_err(|error| unwritten(&path, &error))?;
                Made::File
            }
            MemberKind::Symlink(target) => {
                if target.is_empty() {
                    return Err(forbidden(&path, "is a link to nothing"));
                }
                if leads_out(&path, &target) {
                    return Err(forbidden(&path, "is a link that leads out of it"));
                }
                self.links.push((path.clone(), target));
                Made::Link
            }
            MemberKind::Special(what) => return Err(forbidden(&path, &format!("is {what}"))),
            // Made above.
            MemberKind::Directory => Made::Directory,
        };
        self.there.insert(path, made);
        Ok(())
    }

    /// A directory and all above it, made where it is not there yet.
    fn directory(&mut self, path: &str) -> Result<(), Refusal> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for path in ends.filter_map(|end| path.get(..end)) {
            match self.there.get(path) {
                Some(Made::Directory) => {}
                Some(Made::File | Made::Link) => {
                    return Err(forbidden(path, "is a directory and something else"));
                }
                None => {
                    let made = DirBuilder::new().mode(DIRECTORY).create(self.top.join(path));
                    made.map_err(|error| unwritten(path, &error))?;
                    self.there.insert(path.to_owned(), Made::Directory);
                }
            }
        }
        Ok(())
    }

    fn link(self) -> Result<(), Refusal> {
        self.links.into_iter().try_for_each(|(path, target)| {
            symlink(target, self.top.join(&path)).map_err(|error| unwritten(&path, &error))
        })
    }
}

/// Whether a link goes above the top. An absolute one means the captured machine's own root, below which
/// whoever reads it follows it.
fn leads_out(path: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return false;
    }
    let mut depth = path.matches('/').count();
    target.split('/').any(|part| {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            _ => depth += 1,
        }
        false
    })
}

fn copy(path: &str, reader: &mut dyn Read, file: &mut File) -> Result<(), Refusal> {
    let mut piece = [0; PIECE];
    loop {
        let read = match reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(forbidden(path, &format!("cannot be read: {error}"))),
        };
        let written = file.write_all(piece.get(..read).unwrap_or_default());
        written.map_err(|error| unwritten(path, &error))?;
    }
}

fn forbidden(path: &str, why: &str) -> Refusal {
    Refusal::new(RefusalKind::InvalidArgument, WHAT, format!("{path} {why}"), AGAIN)
}

fn unwritten(path: &str, error: &io::Error) -> Refusal {
    // A name may be longer than one can be here.
    if matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput) {
        return forbidden(path, &format!("cannot be made: {error}"));
    }
    let fix = "make room where temporary files are, or name another directory in TMPDIR";
    Refusal::new(RefusalKind::Blocked, WHAT, format!("{path}: {error}"), fix)
}

#[cfg(test)]
mod tests;
