//! A tar archive, member by member. Long names and extended headers are read here rather than by
//! the library, which would hold them in memory however large they say they are.

use std::io::{self, Read};

use onload_core::refusal::Refusal;
use tar::{Archive, EntryType};

use super::budget::{Budget, MOST_DEPTH, MOST_PATH_BYTES};
use super::fault;

/// Of an extended header (`x`): a path, a link and times, far below this.
const MOST_EXTENSION_BYTES: u64 = 1 << 20;
/// One block of a tar archive.
const BLOCK: u64 = 512;
/// Set-user-id, set-group-id and sticky.
const SPECIAL_BITS: u32 = 0o7000;
const EXECUTABLE_BITS: u32 = 0o111;

/// One member of a source, with its path as [`clean`] gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) path: String,
    pub(crate) kind: MemberKind,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemberKind {
    File(Bits),
    Directory,
    /// A symbolic link and what stands in it.
    Symlink(String),
    /// Another name of a member before it, by its cleaned path.
    Hardlink(String),
    /// A device, a fifo, a socket, or what no release has: in words.
    Special(&'static str),
}

/// What is kept of the permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    pub(crate) executable: bool,
    /// Whether any of set-user-id, set-group-id and sticky is set.
    pub(super) special: bool,
}

impl Bits {
    pub(super) fn of(mode: u32) -> Self {
        Self { executable: mode & EXECUTABLE_BITS != 0, special: mode & SPECIAL_BITS != 0 }
    }
}

/// Counts the zeros that a stream has ended in so far, and whether it is at its end.
struct Tail<R> {
    reader: R,
    zeros: u64,
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let zeros = buffer[..read].iter().rev().take_while(|byte| **byte == 0).count();
        self.zeros = zeros as u64 + if zeros == read { self.zeros } else { 0 };
        Ok(read)
    }
}

/// Hands every member to `take`, in order, then reads the stream to its end. `name` is what the
/// archive is called in refusals.
pub(super) fn read(
    name: &str,
    reader: &mut dyn Read,
    budget: &Budget,
    take: &mut dyn FnMut(Member, &mut dyn Read) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut tail = Tail { reader, zeros: 0 };
    members(name, &mut Archive::new(&mut tail), budget, take)?;
    if tail.zeros < BLOCK {
        return Err(fault::broken(name, &"it ends before its end mark"));
    }
    // Whoever writes into the pipe shall end well, not by a broken pipe.
    io::copy(&mut tail.reader, &mut io::sink()).map_err(|error| budget.refusal(name, &error))?;
    Ok(())
}

fn members<R: Read>(
    name: &str,
    archive: &mut Archive<R>,
    budget: &Budget,
    take: &mut dyn FnMut(Member, &mut dyn Read) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut last = name.to_owned();
    let mut extension = Extension::default();
    let entries = archive.entries().map_err(|error| budget.refusal(name, &error))?;
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|error| {
            budget.refusal(&format!("{name}, after {}", fault::shown(&last)), &error)
        })?;
        budget.member()?;
        let kind = entry.header().entry_type();
        if extension.read(kind, &mut entry).map_err(|error| budget.refusal(name, &error))? {
            continue;
        }
        let Extension { path, link, sized } = std::mem::take(&mut extension);
        let header = entry.header();
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let shown = fault::shown(&String::from_utf8_lossy(&path));
        if sized {
            // Only files above 8 GiB need it, and readers that disagree about the size of a
            // member see different archives.
            return Err(fault::forbidden(&shown, "has its size in an extended header"));
        }
        let mode = header.mode().map_err(|error| budget.refusal(&shown, &error))?;
        let Some(path) = clean(&path)? else { continue };
        let Some(kind) = kind_of(kind, mode, link, &path)? else { continue };
        last.clone_from(&path);
        take(Member { path, kind }, &mut entry)?;
    }
    if extension.is_some() {
        return Err(fault::broken(name, &"its last header is followed by nothing"));
    }
    Ok(())
}

/// None: what it is does not matter, since no release has a path that is not UTF-8.
fn kind_of(
    kind: EntryType,
    mode: u32,
    link: Option<Vec<u8>>,
    path: &str,
) -> Result<Option<MemberKind>, Refusal> {
    Ok(Some(match kind {
        EntryType::Regular | EntryType::Continuous => MemberKind::File(Bits::of(mode)),
        EntryType::Directory => MemberKind::Directory,
        EntryType::Symlink => {
            let target = link.unwrap_or_default();
            let Ok(target) = String::from_utf8(target) else { return Ok(None) };
            MemberKind::Symlink(target)
        }
        EntryType::Link => match clean(&link.unwrap_or_default())? {
            Some(target) => MemberKind::Hardlink(target),
            None => return Err(fault::forbidden(path, "is a hard link to nothing")),
        },
        EntryType::Char | EntryType::Block => MemberKind::Special("a device"),
        EntryType::Fifo => MemberKind::Special("a fifo"),
        EntryType::GNUSparse => MemberKind::Special("a sparse file"),
        _ => MemberKind::Special("of a kind that tar has no word for"),
    }))
}

/// What headers before a member say of it.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// Whether they say its size too.
    sized: bool,
}

impl Extension {
    fn is_some(&self) -> bool {
        self.path.is_some() || self.link.is_some() || self.sized
    }

    /// Takes a header of that kind in; false where it is a member.
    fn read(&mut self, kind: EntryType, entry: &mut dyn Read) -> io::Result<bool> {
        match kind {
            EntryType::GNULongName => self.path = Some(long(entry)?),
            EntryType::GNULongLink => self.link = Some(long(entry)?),
            EntryType::XHeader => self.records(&bounded(entry)?)?,
            // What holds for every member is a comment of git, or times.
            EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Records of `pax(1)`: the length of all of it, a blank, key, `=`, value, a line end.
    fn records(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let bad = || io::Error::other("an extended header that does not parse");
        while !bytes.is_empty() {
            let blank = bytes.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length: usize = std::str::from_utf8(&bytes[..blank])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(bad)?;
            let record = bytes.get(blank + 1..length).ok_or_else(bad)?;
            let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.sized = true,
                key if key.starts_with(b"GNU.sparse.") => self.sized = true,
                _ => {}
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

fn bounded(entry: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(MOST_EXTENSION_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_EXTENSION_BYTES {
        return Err(io::Error::other("a header of more than a megabyte"));
    }
    Ok(bytes)
}

/// A long name of GNU tar, which ends in a NUL.
fn long(entry: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = bounded(entry)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// A path without `.` and empty parts; none where it is not UTF-8 (no release has such a one) or
/// names the top. Refused: what leads out of the tree, or would garble a terminal, or is longer
/// than the kernel takes.
pub(super) fn clean(path: &[u8]) -> Result<Option<String>, Refusal> {
    let shown = String::from_utf8_lossy(path);
    if path.first() == Some(&b'/') {
        return Err(fault::forbidden(&shown, "is an absolute path"));
    }
    if path.len() > MOST_PATH_BYTES {
        let why = format!("{} is longer than {MOST_PATH_BYTES} bytes", fault::shown(&shown));
        return Err(fault::too_much(why));
    }
    if path.iter().any(u8::is_ascii_control) {
        return Err(fault::forbidden(&shown, "has control characters in its name"));
    }
    let parts = || path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    if parts().any(|part| part == b"..") {
        return Err(fault::forbidden(&shown, "leads out of the tree with `..`"));
    }
    if parts().count() > MOST_DEPTH {
        let why = format!("{} is more than {MOST_DEPTH} directories deep", fault::shown(&shown));
        return Err(fault::too_much(why));
    }
    let Ok(text) = std::str::from_utf8(path) else { return Ok(None) };
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}
