//! The sections of a module that say what it is: `.modinfo`, and the checksums of what it imports.

use std::collections::BTreeMap;

use onload_core::release::ModuleFile;

use super::ModuleFileError;
use super::elf::Image;

/// Bytes of an entry of `__versions`: a long and a name (`struct modversion_info`).
const VERSION_BYTES: usize = 64;
/// Bytes of an entry of `__version_ext_crcs`.
const LONG_VERSION_BYTES: usize = 4;

/// Fields `key=value`, each ended by a NUL. Values may span lines.
pub(super) fn modinfo(
    bytes: &[u8],
    offset: u64,
    mut module: ModuleFile,
) -> Result<ModuleFile, ModuleFileError> {
    let damaged = |what| ModuleFileError::Damaged { offset, what };
    let mut vermagic = None;
    for field in bytes.split(|byte| *byte == 0) {
        let field = String::from_utf8_lossy(field);
        let Some((key, value)) = field.split_once('=') else { continue };
        match key {
            "vermagic" => vermagic = Some(value.to_owned()),
            "version" => module.version = Some(value.to_owned()),
            "srcversion" => module.srcversion = Some(value.to_owned()),
            "intree" => module.in_tree = value == "Y",
            "depends" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    // File names have dashes where the kernel has underscores.
                    let name = name.replace('-', "_").parse();
                    let name = name.map_err(|_| damaged("a dependency has an impossible name"))?;
                    module.depends.insert(name);
                }
            }
            _ => {}
        }
    }
    module.vermagic = vermagic.ok_or(damaged("no vermagic stands in .modinfo"))?;
    Ok(module)
}

/// Checksums of symbols with names of up to 55 bytes (`struct modversion_info`).
pub(super) fn versions<R: std::io::Read + std::io::Seek>(
    bytes: &[u8],
    offset: u64,
    image: &Image<'_, R>,
) -> Result<BTreeMap<String, u32>, ModuleFileError> {
    let layout = image.layout();
    if !bytes.len().is_multiple_of(VERSION_BYTES) {
        return Err(ModuleFileError::Damaged { offset, what: "__versions ends within an entry" });
    }
    let entries = bytes.chunks_exact(VERSION_BYTES).map(|entry| {
        let name = entry.get(layout.long()..).unwrap_or_default();
        // The sum has 32 bits, whatever a long has.
        let sum = layout.number(entry, 0, layout.long()).unwrap_or_default();
        (text(name), u32::try_from(sum & u64::from(u32::MAX)).unwrap_or_default())
    });
    Ok(entries.collect())
}

/// Checksums of symbols with names of any length, which kernels from 6.14 on may have in addition
/// (`CONFIG_EXTENDED_MODVERSIONS`): sums in one section, names in the other, in the same order.
pub(super) fn long_versions<R: std::io::Read + std::io::Seek>(
    sums: &[u8],
    names: &[u8],
    (sums_at, names_at): (u64, u64),
    image: &Image<'_, R>,
) -> Result<BTreeMap<String, u32>, ModuleFileError> {
    let layout = image.layout();
    if !sums.len().is_multiple_of(LONG_VERSION_BYTES) {
        let what = "__version_ext_crcs ends within an entry";
        return Err(ModuleFileError::Damaged { offset: sums_at, what });
    }
    let mut names = names.split(|byte| *byte == 0);
    let mut symbols = BTreeMap::new();
    for sum in sums.chunks_exact(LONG_VERSION_BYTES) {
        let Some(name) = names.next().filter(|name| !name.is_empty()) else {
            let what = "__version_ext_names has fewer names than there are sums";
            return Err(ModuleFileError::Damaged { offset: names_at, what });
        };
        let sum = layout.number(sum, 0, LONG_VERSION_BYTES).unwrap_or_default();
        symbols.insert(text(name), u32::try_from(sum).unwrap_or_default());
    }
    Ok(symbols)
}

fn text(name: &[u8]) -> String {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
