//! Files of a capture, in memory until all of them are known: what one holds is taken out of all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use onload_core::manifest::{Link, Listed};
use onload_core::scrub::{Found, Mapping};

/// Most that one file may hold: a recorded answer of netlink has at most 16 MiB, a ledger 64.
pub(super) const MOST_FILE_BYTES: u64 = 64 << 20;
/// Most that all of them may hold. A recording has some hundred KiB, a journal some MiB.
const MOST_BYTES: u64 = 512 << 20;

/// Only its owner reads it: what is private and was not recognised is in it still.
pub(super) const PRIVATE: u32 = 0o600;
/// What was there as a file is open to everybody and can be run or not, as a recording tells it: a replay asks
/// whether others may read a profile. The directory above it keeps them out.
const OPEN: u32 = 0o644;
const PROGRAM: u32 = 0o755;

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File { content: Vec<u8>, mode: u32 },
    Link(String),
    Directory,
}

/// By path below the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree(BTreeMap<String, Entry>);

impl Tree {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn file(&mut self, path: &str, content: Vec<u8>) {
        self.0.insert(path.to_owned(), Entry::File { content, mode: PRIVATE });
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Paths and sizes of the files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.entries().filter_map(|(path, entry)| match entry {
            Entry::File { content, .. } => Some((path, content.len() as u64)),
            Entry::Link(_) | Entry::Directory => None,
        })
    }

    /// As the manifest has them.
    pub(super) fn listed(&self) -> (Vec<Listed>, Vec<Link>, Vec<String>) {
        let (mut files, mut links, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        for (path, entry) in self.entries() {
            match entry {
                Entry::File { content, mode } => {
                    files.push(Listed::of(path, content, mode & PROGRAM & 0o111 != 0));
                }
                Entry::Link(target) => {
                    links.push(Link { path: path.to_owned(), target: target.clone() });
                }
                Entry::Directory if self.is_bare(path) => empty.push(path.to_owned()),
                Entry::Directory => {}
            }
        }
        (files, links, empty)
    }

    fn is_bare(&self, directory: &str) -> bool {
        let below = format!("{directory}/");
        let mut after = self.0.range(below.clone()..);
        after.next().is_none_or(|(path, _)| !path.starts_with(&below))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files().map(|(_, bytes)| bytes).sum()
    }

    /// Takes in what lies at a path of the disk, whatever it is.
    pub(super) fn take(&mut self, at: &str, path: &Path) -> io::Result<()> {
        let kind = path.symlink_metadata()?;
        let not_text = || io::Error::new(io::ErrorKind::InvalidData, "a name is not UTF-8");
        let entry = if kind.is_symlink() {
            Entry::Link(
                fs::read_link(path)?.into_os_string().into_string().map_err(|_| not_text())?,
            )
        } else if kind.is_dir() {
            for entry in fs::read_dir(path)? {
                let name = entry?.file_name().into_string().map_err(|_| not_text())?;
                self.take(&format!("{at}/{name}"), &path.join(&name))?;
            }
            Entry::Directory
        } else if kind.is_file() {
            let content = read(path)?;
            if self.bytes() + content.len() as u64 > MOST_BYTES {
                let why = format!("all of it is larger than {MOST_BYTES} bytes");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            let is_program = kind.permissions().mode() & 0o111 != 0;
            Entry::File { content, mode: if is_program { PROGRAM } else { OPEN } }
        } else {
            let why = format!("{} is neither file, directory nor link", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        };
        self.0.insert(at.to_owned(), entry);
        Ok(())
    }

    /// Shows everything to who takes note of what identifies.
    pub(super) fn learn(&self, found: &mut Found) {
        for (path, entry) in self.entries() {
            match entry {
                Entry::File { content, .. } => found.learn(path, content),
                Entry::Link(target) => found.learn(path, target.as_bytes()),
                Entry::Directory => found.learn(path, b""),
            }
        }
    }

    /// The same as it may be given away.
    pub(super) fn scrubbed(&self, mapping: &Mapping) -> Self {
        let scrubbed = |(path, entry): (&str, &Entry)| {
            let entry = match entry {
                Entry::File { content, mode } => {
                    Entry::File { content: mapping.content(path, content), mode: *mode }
                }
                Entry::Link(target) => Entry::Link(mapping.text(target)),
                Entry::Directory => Entry::Directory,
            };
            (mapping.text(path), entry)
        };
        Self(self.entries().map(scrubbed).collect())
    }
}

/// A file of the system's.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MOST_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST_FILE_BYTES {
        let why = format!("it is larger than {MOST_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(content)
}
