//! An opened directory from which everything is read, so that `--root` works for captures and
//! containers. Owns every file access of the Linux host; refuses to know what a file means.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use onload_core::reading::Reading;

use super::attribute;
use super::capture::{Recorder, Special};

mod place;
mod socket;

/// Most that an attribute can hold: the kernel gives each one page, at most 64 KiB large.
const ATTRIBUTE_BYTES: usize = 64 << 10;
/// `openat2` answers EAGAIN when a rename anywhere on the system crosses a `..` it walks; the
/// manual asks callers to try again. More than a few in a row do not happen by chance.
const RESOLVE_ATTEMPTS: usize = 16;

/// A directory below the root, itself included. Cloning shares the descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    fd: Rc<OwnedFd>,
    /// Path below the root as it was asked for; empty for the root.
    path: String,
    /// Whether a recording keeps what is read through it.
    recorded: bool,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: Rc<OwnedFd>,
    /// What files cannot hold, by path; empty on a live root.
    special: BTreeMap<String, Special>,
    recorder: RefCell<Option<Recorder>>,
    #[cfg(test)]
    before: tests::Hook,
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) inode: u64,
    pub(super) device: u64,
    pub(super) size: i64,
    /// Last change of the content: seconds and nanoseconds.
    pub(super) modified: (i64, i64),
}

/// Kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    Socket,
    Character {
        major: u32,
        minor: u32,
    },
    /// Block device, FIFO, or an entry of which the file system does not tell.
    Other,
}

impl Dir {
    /// Opens a root; `special` is what a capture holds beside its files.
    pub(super) fn root(path: &Path, special: BTreeMap<String, Special>) -> Result<Self, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = Rc::new(open(path, flags, Mode::empty())?);
        let shared = Shared {
            root: Rc::clone(&fd),
            special,
            recorder: RefCell::new(None),
            #[cfg(test)]
            before: tests::Hook::default(),
        };
        Ok(Self { fd, path: String::new(), recorded: true, shared: Rc::new(shared) })
    }

    /// Records what the closure makes this root read into a directory that exists.
    pub(super) async fn record<T>(
        &self,
        into: &Path,
        look: impl Future<Output = T>,
    ) -> std::io::Result<T> {
        let recorder = Recorder::new(into, Rc::clone(&self.shared.root));
        self.shared.recorder.replace(Some(recorder));
        let seen = look.await;
        match self.shared.recorder.replace(None) {
            Some(recorder) => recorder.finish().map(|()| seen),
            None => Err(std::io::Error::other("another recording of the same root was under way")),
        }
    }

    /// The same directory, but nothing read through it is kept by a recording: for a search among
    /// what does not matter.
    pub(super) fn unrecorded(&self) -> Self {
        Self { recorded: false, ..self.clone() }
    }

    /// Reads a subject: something whose files belong together. Opens its directory, reads through
    /// the closure, and looks whether the path still leads to the same directory. If it does not,
    /// the subject went away or another took its name meanwhile: what was read is dropped as
    /// absent, and the next look tells.
    pub(super) fn subject<T>(&self, name: &str, read: impl FnOnce(&Self) -> T) -> Reading<T> {
        let directory = match self.directory(name) {
            Reading::Known(directory) => directory,
            Reading::Absent => return Reading::Absent,
            Reading::Unreadable(why) => return Reading::Unreadable(why),
        };
        let value = read(&directory);
        let same = |now: FileStat| {
            fstat(&*directory.fd)
                .is_ok_and(|then| (then.st_dev, then.st_ino) == (now.st_dev, now.st_ino))
        };
        match self.open(name, OFlag::O_PATH | OFlag::O_DIRECTORY).and_then(fstat) {
            Ok(now) if same(now) => Reading::Known(value),
            Ok(_) => Reading::Absent,
            Err(errno) => gap(errno),
        }
    }

    /// A directory below this one.
    pub(super) fn directory(&self, name: &str) -> Reading<Self> {
        let path = self.join(name);
        match self.open(name, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Ok(fd) => {
                let shared = Rc::clone(&self.shared);
                Reading::Known(Self { fd: Rc::new(fd), path, recorded: self.recorded, shared })
            }
            Err(errno) => gap(errno),
        }
    }

    /// One attribute: a file of one line.
    pub(super) fn line(&self, name: &str) -> Reading<String> {
        self.read(name, ATTRIBUTE_BYTES).and_then(attribute::line)
    }

    /// A whole file of at most `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: usize) -> Reading<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.read_by(name, limit, |piece| bytes.extend_from_slice(piece));
        let read = read.map(|()| bytes);
        self.keep(name, &read);
        read
    }

    /// A file piece by piece, of at most `limit` bytes in all. A recording leaves its content to
    /// the caller, see [`Dir::keep`].
    pub(super) fn read_by(
        &self,
        name: &str,
        limit: usize,
        mut piece: impl FnMut(&[u8]),
    ) -> Reading<()> {
        let mut file = match self.file(name) {
            Reading::Known(file) => file,
            Reading::Absent => return Reading::Absent,
            Reading::Unreadable(why) => return Reading::Unreadable(why),
        };
        let mut buffer = [0; 8 << 10];
        let mut total = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Reading::Known(()),
                Ok(length) => {
                    total += length;
                    if total > limit {
                        return Reading::Unreadable(format!("it is larger than {limit} bytes"));
                    }
                    piece(buffer.get(..length).unwrap_or_default());
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // These are how sysfs says that an attribute has no value now: EINVAL for what a
                // link that is down does not have, ENODEV for a device being taken away.
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EINVAL | Errno::EOPNOTSUPP) => return Reading::Absent,
                    Some(errno) => return gap(errno),
                    None => return Reading::Unreadable(error.to_string()),
                },
            }
        }
    }

    /// A file, opened for those who read here and there. A recording leaves its content to the
    /// caller, see [`Dir::keep`].
    pub(crate) fn file(&self, name: &str) -> Reading<File> {
        if let Some(why) = self.barred(name) {
            return Reading::Unreadable(why);
        }
        // A FIFO in a hand-made root would block the opening without O_NONBLOCK.
        let fd = match self.open(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY) {
            Ok(fd) => fd,
            Err(errno) => return gap(errno),
        };
        match fstat(&fd).map(|stat| kind_of(&stat)) {
            Ok(Kind::File) => Reading::Known(File::from(fd)),
            Ok(_) => Reading::Unreadable("it is not a regular file".to_owned()),
            Err(errno) => gap(errno),
        }
    }

    /// Gives a recording what stands at a path that was not read by [`Dir::read`]: a netlink reply,
    /// or the part that matters of a file that was read by pieces.
    pub(super) fn keep(&self, name: &str, content: &Reading<Vec<u8>>) {
        self.note(name, |recorder, path| match content {
            Reading::Known(content) => recorder.file(path, content),
            Reading::Absent => {}
            Reading::Unreadable(why) => recorder.unreadable(path, why),
        });
    }

    /// Those names in a directory that are facts by themselves, whatever lies there. A recording
    /// keeps them, unlike those of [`Dir::list`], which are there to be read one by one.
    pub(crate) fn names(
        &self,
        name: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Reading<BTreeSet<String>> {
        let names: Reading<BTreeSet<String>> = self
            .list(name)
            .map(|entries| entries.into_keys().filter(|name| wanted(name)).collect());
        for entry in names.known().into_iter().flatten() {
            self.note(&format!("{name}/{entry}"), Recorder::entry);
        }
        names
    }

    /// Names and kinds of the entries of a directory; names that are not UTF-8 are left out, for
    /// nothing that is looked for has one.
    pub(super) fn list(&self, name: &str) -> Reading<BTreeMap<String, Kind>> {
        if let Some(why) = self.barred(name) {
            return Reading::Unreadable(why);
        }
        let listed = match self.entries(name) {
            Ok(entries) => Reading::Known(entries),
            Err(errno) => gap(errno),
        };
        self.note(name, |recorder, path| match &listed {
            Reading::Known(_) => recorder.directory(path),
            Reading::Absent => {}
            Reading::Unreadable(why) => recorder.unreadable(path, why),
        });
        listed
    }

    fn entries(&self, name: &str) -> Result<BTreeMap<String, Kind>, Errno> {
        let fd = self.open(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut directory = nix::dir::Dir::from_fd(fd)?;
        let mut entries = BTreeMap::new();
        for entry in directory.iter() {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name != "." && name != ".." {
                let kind = match entry.file_type() {
                    Some(nix::dir::Type::File) => Kind::File,
                    Some(nix::dir::Type::Directory) => Kind::Directory,
                    Some(nix::dir::Type::Symlink) => Kind::Link,
                    Some(nix::dir::Type::Socket) => Kind::Socket,
                    Some(
                        nix::dir::Type::CharacterDevice
                        | nix::dir::Type::BlockDevice
                        | nix::dir::Type::Fifo,
                    )
                    | None => Kind::Other,
                };
                entries.insert(name.to_owned(), kind);
            }
        }
        Ok(entries)
    }

    /// What a symbolic link points at; absent where there is none, or something that is no link.
    pub(crate) fn link(&self, name: &str) -> Reading<String> {
        if let Some(why) = self.barred(name) {
            return Reading::Unreadable(why);
        }
        let target = self
            .open(name, OFlag::O_PATH | OFlag::O_NOFOLLOW)
            .and_then(|fd| readlinkat(fd, c""))
            .map(|target| target.into_string());
        let target = match target {
            Ok(Ok(target)) => Reading::Known(target),
            Ok(Err(_)) => Reading::Unreadable("the link does not hold UTF-8".to_owned()),
            Err(Errno::EINVAL) => Reading::Absent,
            Err(errno) => gap(errno),
        };
        self.note(name, |recorder, path| match &target {
            Reading::Known(target) => recorder.link(path, target),
            Reading::Absent => {}
            Reading::Unreadable(why) => recorder.unreadable(path, why),
        });
        target
    }

    /// What lies at a path, symbolic links followed; nothing is opened.
    pub(super) fn node(&self, name: &str) -> Reading<Node> {
        let special = self.shared.special.get(&self.join(name));
        let found = special.map_or_else(|| self.stat(name), Special::node);
        self.note(name, |recorder, path| match &found {
            Reading::Known(node) => recorder.node(path, node),
            Reading::Absent => {}
            Reading::Unreadable(why) => recorder.unreadable(path, why),
        });
        found
    }

    /// What a descriptor of a process leads to: an entry of `/proc/PID/fd`, which is no link that a
    /// lookup below a root could follow. Absent for anything else.
    pub(super) fn behind(&self, descriptors: &str, name: &str) -> Reading<Node> {
        let path = format!("{descriptors}/{name}");
        let found = match self.shared.special.get(&self.join(&path)) {
            Some(special) => special.node(),
            None => match self.magic(descriptors, name) {
                Ok(stat) => stat.map(|stat| node_of(&stat)).into(),
                Err(errno) => gap(errno),
            },
        };
        if let Reading::Known(node) = &found {
            self.note(&path, |recorder, path| recorder.node(path, node));
        }
        found
    }

    fn magic(&self, directory: &str, name: &str) -> Result<Option<FileStat>, Errno> {
        let directory = self.open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        // Elsewhere a link would be followed out of the root.
        if fstatfs(&directory)?.filesystem_type() != PROC_SUPER_MAGIC {
            return Ok(None);
        }
        fstatat(&directory, name, AtFlags::empty()).map(Some)
    }

    fn stat(&self, name: &str) -> Reading<Node> {
        match self.open(name, OFlag::O_PATH).and_then(fstat) {
            Ok(stat) => Reading::Known(node_of(&stat)),
            Err(errno) => gap(errno),
        }
    }

    /// What a capture says could not be read.
    fn barred(&self, name: &str) -> Option<String> {
        match self.shared.special.get(&self.join(name))? {
            Special::Unreadable(why) => {
                self.note(name, |recorder, path| recorder.unreadable(path, why));
                Some(why.clone())
            }
            Special::Character { .. } | Special::Socket { .. } => None,
        }
    }

    fn join(&self, name: &str) -> String {
        let name = name.trim_start_matches('/');
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }

    /// Opens with every link, absolute ones and `..` included, resolved below this directory.
    fn open(&self, name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        #[cfg(test)]
        self.shared.before.call(&self.join(name));
        let name = name.trim_start_matches('/');
        let name = if name.is_empty() { "." } else { name };
        for _ in 0..RESOLVE_ATTEMPTS {
            let how = OpenHow::new()
                .flags(flags | OFlag::O_CLOEXEC)
                .resolve(ResolveFlag::RESOLVE_IN_ROOT);
            match openat2(&*self.fd, name, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                answer => return answer,
            }
        }
        Err(Errno::EAGAIN)
    }

    fn note(&self, name: &str, note: impl FnOnce(&mut Recorder, &str)) {
        if !self.recorded {
            return;
        }
        if let Some(recorder) = self.shared.recorder.borrow_mut().as_mut() {
            note(recorder, &self.join(name));
        }
    }
}

/// What an error of the file system means: nothing there, or something that cannot be seen.
fn gap<T>(errno: Errno) -> Reading<T> {
    match errno {
        // ESRCH: files of a process that has ended.
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENODEV | Errno::ENXIO | Errno::ESRCH => {
            Reading::Absent
        }
        errno => Reading::Unreadable(format!("{} ({errno:?})", errno.desc())),
    }
}

/// The target of a link at a path below a root; none where there is no link.
pub(super) fn link_at(root: &OwnedFd, path: &str) -> Option<String> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let fd = openat2(root, path, how).ok()?;
    readlinkat(fd, c"").ok()?.into_string().ok()
}

fn node_of(stat: &FileStat) -> Node {
    Node {
        kind: kind_of(stat),
        mode: stat.st_mode & 0o7777,
        inode: stat.st_ino,
        device: stat.st_dev,
        size: stat.st_size,
        modified: (stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn kind_of(stat: &FileStat) -> Kind {
    use nix::sys::stat::{SFlag, major, minor};
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFLNK => Kind::Link,
        SFlag::S_IFSOCK => Kind::Socket,
        SFlag::S_IFCHR => Kind::Character {
            major: narrow(major(stat.st_rdev)),
            minor: narrow(minor(stat.st_rdev)),
        },
        _ => Kind::Other,
    }
}

#[cfg(test)]
pub(super) mod tests;
