//! A machine as files: what a capture holds beside them, and the writing of one. A capture is a
//! directory that serves as a root; it reads back to the snapshot it was made from.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use onload_core::reading::Reading;

use super::root::{Kind, Node, link_at};

/// Name of the file that lists what other files cannot hold, in the root of a capture.
pub(super) const SPECIAL_FILE: &str = ".capture";

/// Read permission of anybody.
pub(super) const READABLE: u32 = 0o444;

/// Leave to execute for anybody.
pub(super) const EXECUTABLE: u32 = 0o111;

/// What an unprivileged user cannot make, git cannot keep, and a copy would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// A character device.
    Character { major: u32, minor: u32, mode: u32 },
    /// A socket.
    Socket { inode: u64 },
    /// Could not be read; the text says why.
    Unreadable(String),
}

impl Special {
    /// What lies at a path that is listed.
    pub(super) fn node(&self) -> Reading<Node> {
        let (kind, mode, inode) = match self {
            Self::Character { major, minor, mode } => {
                (Kind::Character { major: *major, minor: *minor }, *mode, 0)
            }
            Self::Socket { inode } => (Kind::Socket, 0, *inode),
            Self::Unreadable(why) => return Reading::Unreadable(why.clone()),
        };
        Reading::Known(Node { kind, mode, inode, device: 0, size: 0, modified: (0, 0) })
    }
}

/// Reads the list: one line each, the path, a tab, and what is there: `char MAJOR:MINOR MODE`
/// (mode in octal), `socket INODE` or `unreadable WHY`.
///
/// # Errors
/// The line, numbered from 1, that is none of these.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Special>, String> {
    let mut special = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let entry = line.split_once('\t').and_then(|(path, what)| {
            let (kind, rest) = what.split_once(' ')?;
            let entry = match kind {
                "char" => {
                    let (numbers, mode) = rest.split_once(' ')?;
                    let (major, minor) = numbers.split_once(':')?;
                    Special::Character {
                        major: major.parse().ok()?,
                        minor: minor.parse().ok()?,
                        mode: u32::from_str_radix(mode, 8).ok()?,
                    }
                }
                "socket" => Special::Socket { inode: rest.parse().ok()? },
                "unreadable" => Special::Unreadable(rest.to_owned()),
                _ => return None,
            };
            Some((path.to_owned(), entry))
        });
        let Some((path, entry)) = entry else {
            return Err(format!(
                "line {} is not `PATH<tab>char MAJOR:MINOR MODE`, `socket INODE` or `unreadable WHY`",
                number + 1
            ));
        };
        special.insert(path, entry);
    }
    Ok(special)
}

fn print(special: &BTreeMap<String, Special>) -> String {
    let mut text = String::new();
    for (path, entry) in special {
        // Writing into a string does not fail.
        let _ = match entry {
            Special::Character { major, minor, mode } => {
                writeln!(text, "{path}\tchar {major}:{minor} {mode:04o}")
            }
            Special::Socket { inode } => writeln!(text, "{path}\tsocket {inode}"),
            Special::Unreadable(why) => {
                writeln!(text, "{path}\tunreadable {}", why.replace('\n', " "))
            }
        };
    }
    text
}

/// Writes what is read into a directory, at the paths where it really lies: links on the way are
/// made as links.
#[derive(Debug)]
pub(super) struct Recorder {
    into: PathBuf,
    root: Rc<OwnedFd>,
    special: BTreeMap<String, Special>,
    /// The first thing that could not be written.
    failed: Option<io::Error>,
}

impl Recorder {
    pub(super) fn new(into: &Path, root: Rc<OwnedFd>) -> Self {
        Self { into: into.to_owned(), root, special: BTreeMap::new(), failed: None }
    }

    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.at(path, |place| fs::write(place, content));
    }

    pub(super) fn directory(&mut self, path: &str) {
        self.at(path, |place| fs::create_dir_all(place));
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.at(parent, |place| {
            fs::create_dir_all(place)?;
            make_link(&place.join(name), target)
        });
    }

    pub(super) fn node(&mut self, path: &str, node: &Node) {
        match node.kind {
            Kind::Character { major, minor } => {
                let mode = node.mode;
                self.special.insert(path.to_owned(), Special::Character { major, minor, mode });
            }
            Kind::Socket => {
                self.special.insert(path.to_owned(), Special::Socket { inode: node.inode });
            }
            Kind::Directory => self.directory(path),
            // Nobody reads it, and in a capture, whose files all can be read, somebody would.
            Kind::File if node.mode & READABLE == 0 => {}
            Kind::File if node.mode & EXECUTABLE != 0 => self.at(path, |place| {
                touch(place)?;
                fs::set_permissions(place, fs::Permissions::from_mode(0o755))
            }),
            Kind::File | Kind::Link | Kind::Other => self.at(path, touch),
        }
    }

    pub(super) fn unreadable(&mut self, path: &str, why: &str) {
        self.special.insert(path.to_owned(), Special::Unreadable(why.to_owned()));
        // Its directory may be listed.
        self.entry(path);
    }

    /// A name that only has to be there; more of it may have been written already.
    pub(super) fn entry(&mut self, path: &str) {
        match link_at(&self.root, path) {
            Some(target) => self.link(path, &target),
            None => self.at(path, touch),
        }
    }

    /// Completes the capture.
    ///
    /// # Errors
    /// The first write that failed.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let special = std::mem::take(&mut self.special);
        if !special.is_empty() {
            self.at(SPECIAL_FILE, |place| fs::write(place, print(&special)));
        }
        self.failed.map_or(Ok(()), Err)
    }

    fn at(&mut self, path: &str, write: impl FnOnce(&Path) -> io::Result<()>) {
        if self.failed.is_some() {
            return;
        }
        let written = self.real(path).and_then(|place| {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            write(&place)
        });
        let written =
            written.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")));
        self.failed = written.err();
    }

    /// Where a path leads below the capture when every link is followed; makes those links.
    fn real(&self, path: &str) -> io::Result<PathBuf> {
        /// As many as the kernel follows (`MAXSYMLINKS`).
        const LINKS: usize = 40;
        let mut links = 0;
        let mut ahead: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut real: Vec<String> = Vec::new();
        while let Some(component) = ahead.pop_front() {
            match component.as_str() {
                "" | "." => continue,
                ".." => {
                    real.pop();
                    continue;
                }
                _ => real.push(component),
            }
            let Some(target) = link_at(&self.root, &real.join("/")) else { continue };
            links += 1;
            if links > LINKS {
                return Err(io::Error::other(format!("{path} leads through too many links")));
            }
            let place = self.into.join(real.join("/"));
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            make_link(&place, &target)?;
            real.pop();
            if target.starts_with('/') {
                real.clear();
            }
            for component in target.split('/').rev() {
                ahead.push_front(component.to_owned());
            }
        }
        Ok(self.into.join(real.join("/")))
    }
}

fn touch(place: &Path) -> io::Result<()> {
    if place.is_dir() {
        return Ok(());
    }
    fs::OpenOptions::new().append(true).create(true).open(place).map(drop)
}

fn make_link(place: &Path, target: &str) -> io::Result<()> {
    match symlink(target, place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_reads_back_as_it_was_written() {
        let special = BTreeMap::from([
            ("dev/onload".to_owned(), Special::Character { major: 245, minor: 0, mode: 0o666 }),
            ("run/kubelet.sock".to_owned(), Special::Socket { inode: 77 }),
            ("sys/x".to_owned(), Special::Unreadable("Permission denied".to_owned())),
        ]);
        assert_eq!(parse(&print(&special)), Ok(special));
    }

    #[test]
    fn a_line_that_says_nothing_is_refused_with_its_number() {
        for odd in ["", "x", "a\tchar 1:2", "a\tchar 1:2 0999", "a\tsocket", "a\tfifo 1"] {
            let refused = parse(&format!("ok\tsocket 1\n{odd}\n")).unwrap_err();
            assert!(refused.contains("line 2"), "{odd}: {refused}");
        }
    }
}
