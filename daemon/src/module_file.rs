//! Kernel module files: what modpost, and whoever signed them, wrote into them. Parsing only; total
//! over any bytes. Nothing here says whether a kernel would take the module.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use onload_core::release::ModuleFile;
use onload_core::release::signing::Signing;
use onload_core::secure_boot::signature::MARK;

use self::elf::{Image, Section};
use self::hashes::HashSearch;

mod compression;
mod elf;
pub mod hashes;
mod sections;
pub mod stand_in;
#[cfg(test)]
mod tests;

/// Most that a module may have, uncompressed: `onload.ko` with everything a debugger wants has half.
pub const MOST_BYTES: u64 = 64 << 20;

/// Why a file is no kernel module that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ModuleFileError {
    /// The system refuses.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The bytes are not those of a kernel module.
    #[error("it is damaged, or no kernel module: {what} (byte {offset})")]
    Damaged {
        /// Where, from the beginning of the uncompressed file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// It is larger than any module.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// It is compressed, and does not decompress.
    #[error("its {format} compression is damaged: {why}")]
    Compression {
        /// Which.
        format: &'static str,
        /// What the decoder says.
        why: String,
    },
}

/// Reads a module that is in memory, compressed or not. `path` is where it lies on the host.
///
/// # Errors
/// The bytes are not those of a module.
pub fn parse(bytes: &[u8], path: &str) -> Result<ModuleFile, ModuleFileError> {
    read(&mut Cursor::new(bytes), path, MOST_BYTES)
}

/// Reads a module of at most `most_bytes` (uncompressed). Compression (xz, zstd, gzip) is told by
/// the first bytes, not by the name. Of a file that is not compressed only the parts that matter are
/// read.
///
/// # Errors
/// It cannot be read, or is not a module.
pub fn read(
    file: &mut (impl Read + Seek),
    path: &str,
    most_bytes: u64,
) -> Result<ModuleFile, ModuleFileError> {
    match compression::unpacked(file, most_bytes)? {
        Some(bytes) => plain(&mut Cursor::new(bytes), path, most_bytes),
        None => plain(file, path, most_bytes),
    }
}

fn plain(
    file: &mut (impl Read + Seek),
    path: &str,
    most_bytes: u64,
) -> Result<ModuleFile, ModuleFileError> {
    let length = file.seek(SeekFrom::End(0))?;
    if length > most_bytes {
        return Err(ModuleFileError::TooLarge(most_bytes));
    }
    let mut image = Image::open(file, length)?;
    let sections = image.sections()?;
    let named = |name: &str| sections.iter().find(|section| section.name == name);
    let module = ModuleFile {
        path: path.to_owned(),
        machine: image.machine(),
        signed: signing(&mut image)?,
        ..ModuleFile::default()
    };
    let modinfo = named(".modinfo")
        .ok_or(ModuleFileError::Damaged { offset: 0, what: "there is no section .modinfo" })?;
    let mut module = sections::modinfo(&image.content(modinfo)?, modinfo.offset, module)?;
    let mut symbols = match named("__versions") {
        Some(versions) => sections::versions(&image.content(versions)?, versions.offset, &image)?,
        None => Default::default(),
    };
    if let (Some(sums), Some(names)) = (named("__version_ext_crcs"), named("__version_ext_names")) {
        let (sums_at, names_at) = (sums.offset, names.offset);
        let (sums, names) = (image.content(sums)?, image.content(names)?);
        symbols.extend(sections::long_versions(&sums, &names, (sums_at, names_at), &image)?);
    }
    module.symbols = Arc::new(symbols);
    let mut search = HashSearch::default();
    for section in sections.iter().filter(|section| section.holds_constants()) {
        // A section begins and ends a string.
        search.push(&[0]);
        image.pieces(section, |piece| search.push(piece))?;
    }
    search.push(&[0]);
    module.interfaces = search.found();
    Ok(module)
}

/// Only the end is read: the mark, and then as much as it says. Offsets of a damage are seen from
/// where reading began.
fn signing(image: &mut Image<'_, impl Read + Seek>) -> Result<Signing, ModuleFileError> {
    /// A signature has less than a kilobyte; with certificates in it, a few.
    const MOST_TAIL: u64 = 64 << 10;
    let mut tail = |size: u64| {
        let offset = image.length().saturating_sub(size);
        let size = size.min(image.length());
        image.content(&Section { name: String::new(), kind: 0, flags: 0, offset, size })
    };
    if tail(MARK.len() as u64)? != MARK {
        return Ok(Signing::Unsigned);
    }
    Ok(Signing::of(&tail(MOST_TAIL)?))
}
