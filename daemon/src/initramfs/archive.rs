//! A cpio archive in the "newc" format, the only one the kernel reads: a header of 110 hexadecimal
//! digits, a name, the content, each filled up to four bytes.

use std::collections::BTreeMap;
use std::io::Read as _;

use onload_core::names::ModuleName;
use onload_core::release::ModuleFile;

use super::window::Window;
use super::{InitramfsError, module_file};

const HEADER: usize = 110;
/// `070701`, or `070702` with a checksum that nobody checks.
const MAGICS: [&[u8]; 2] = [b"070701", b"070702"];
/// Places of the numbers that matter, counted in eight digits from the magic on.
const MODE: usize = 1;
const SIZE: usize = 6;
const NAME_SIZE: usize = 11;
/// The kernel takes no longer path.
const MOST_NAME: u64 = 4096;
const TRAILER: &str = "TRAILER!!!";
const KIND: u64 = 0o170_000;
const REGULAR: u64 = 0o100_000;

/// A header with its name.
#[derive(Debug)]
pub(super) struct Entry {
    /// Without `./` or `/` before it.
    pub(super) path: String,
    pub(super) is_file: bool,
    pub(super) size: u64,
}

/// The next entry, up to its content; none at the end mark.
pub(super) fn next(
    input: &mut Window<'_>,
    within: Option<u64>,
) -> Result<Option<Entry>, InitramfsError> {
    let offset = input.offset();
    let damaged =
        |offset, what: &str| Err(InitramfsError::Damaged { offset, what: what.to_owned(), within });
    let header = input.peek(HEADER)?;
    let magic = header.get(..6).unwrap_or_default();
    if !MAGICS.contains(&magic) {
        return damaged(offset, "no header of a cpio archive is where one should be");
    }
    let number = |place: usize| {
        let at = 6 + place * 8;
        let digits = std::str::from_utf8(header.get(at..at + 8)?).ok()?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
    };
    let numbers = (number(MODE), number(SIZE), number(NAME_SIZE));
    let (Some(mode), Some(size), Some(name_size)) = numbers else {
        return damaged(offset, "a number in the header of a cpio entry does not read");
    };
    if name_size == 0 || name_size > MOST_NAME {
        return damaged(offset, "the name of a cpio entry is empty, or longer than a path");
    }
    let mut name = Vec::new();
    let ends = !input.skip(HEADER as u64)? || {
        input.take(name_size).read_to_end(&mut name)?;
        (name.len() as u64) < name_size
    };
    if ends || !input.skip(filling(HEADER as u64 + name_size))? {
        return damaged(input.offset(), "it ends in the name of a cpio entry");
    }
    // Names need not be UTF-8; those that are looked for are.
    let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default());
    if name == TRAILER {
        return if input.skip(size + filling(size))? {
            Ok(None)
        } else {
            damaged(input.offset(), "it ends behind the end mark of a cpio archive")
        };
    }
    let path = name.trim_start_matches("./").trim_start_matches('/').to_owned();
    Ok(Some(Entry { path, is_file: mode & KIND == REGULAR, size }))
}

/// The content of an entry.
pub(super) fn content(
    input: &mut Window<'_>,
    entry: &Entry,
    within: Option<u64>,
) -> Result<Vec<u8>, InitramfsError> {
    if entry.size > module_file::MOST_BYTES {
        let source = module_file::ModuleFileError::TooLarge(module_file::MOST_BYTES);
        return Err(InitramfsError::Module { path: entry.path.clone(), source });
    }
    let mut bytes = Vec::new();
    input.take(entry.size).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < entry.size || !input.skip(filling(entry.size))? {
        return Err(ends_inside(input, entry, within));
    }
    Ok(bytes)
}

/// Passes the content of an entry.
pub(super) fn pass(
    input: &mut Window<'_>,
    entry: &Entry,
    within: Option<u64>,
) -> Result<(), InitramfsError> {
    if input.skip(entry.size + filling(entry.size))? {
        Ok(())
    } else {
        Err(ends_inside(input, entry, within))
    }
}

fn ends_inside(input: &Window<'_>, entry: &Entry, within: Option<u64>) -> InitramfsError {
    let what = format!("it ends inside `{}`", entry.path.escape_debug());
    InitramfsError::Damaged { offset: input.offset(), what, within }
}

/// Bytes from there to the next multiple of four.
fn filling(size: u64) -> u64 {
    size.next_multiple_of(4) - size
}

/// A small archive that is found to carry these modules in a directory, and these texts by path: what a
/// recording keeps of an initramfs, and what tests make.
pub fn stand_in<'m>(
    modules: impl IntoIterator<Item = (&'m ModuleName, &'m ModuleFile)>,
    directory: &str,
    texts: &BTreeMap<String, Vec<u8>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut add = |path: &str, mode: u64, content: &[u8]| {
        let sizes = [content.len(), path.len() + 1];
        bytes.extend_from_slice(b"070701");
        for place in 0..13 {
            let number = match place {
                MODE => mode,
                SIZE => sizes[0] as u64,
                NAME_SIZE => sizes[1] as u64,
                _ => 0,
            };
            bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    };
    for (name, file) in modules {
        let content = module_file::stand_in::write(file);
        add(&format!("{directory}/{name}.ko"), REGULAR | 0o644, &content);
    }
    for (path, content) in texts {
        add(path, REGULAR | 0o644, content);
    }
    add(TRAILER, 0, &[]);
    bytes
}
