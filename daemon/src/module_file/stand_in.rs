//! A small file that reads as a module does: what a recording keeps of one, and what tests make.

use onload_core::release::ModuleFile;
use onload_core::release::signing::Signing;
use onload_core::secure_boot::signature::{self, MARK};

use super::hashes;

/// Longest name that fits an entry of `__versions`, without its NUL.
const NAME_BYTES: usize = 55;
const HEADER_BYTES: usize = 64;
const PROGRAM_BITS: u32 = 1;
const STRINGS: u32 = 3;
const ALLOCATED: u64 = 2;

struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    content: Vec<u8>,
}

/// An ELF file (64-bit, little-endian, whatever the machine) that reads as `module`, but for its
/// path. Holds no code.
pub fn write(module: &ModuleFile) -> Vec<u8> {
    let constants = |name, content| Section { name, kind: PROGRAM_BITS, flags: 0, content };
    let mut sections = vec![constants(".modinfo", modinfo(module))];
    let (short, long): (Vec<_>, Vec<_>) =
        module.symbols.iter().partition(|(name, _)| name.len() <= NAME_BYTES);
    if !short.is_empty() {
        let entries = short.into_iter().flat_map(|(name, sum)| {
            let mut entry = u64::from(*sum).to_le_bytes().to_vec();
            entry.extend(name.bytes());
            entry.resize(8 + NAME_BYTES + 1, 0);
            entry
        });
        sections.push(constants("__versions", entries.collect()));
    }
    if !long.is_empty() {
        let sums = long.iter().flat_map(|(_, sum)| sum.to_le_bytes()).collect();
        let names = long.iter().flat_map(|(name, _)| name.bytes().chain([0])).collect();
        sections.push(constants("__version_ext_crcs", sums));
        sections.push(constants("__version_ext_names", names));
    }
    if !module.interfaces.is_empty() {
        let content = hashes::stand_in(&module.interfaces);
        sections.push(Section { flags: ALLOCATED, ..constants(".rodata.str1.1", content) });
    }
    let mut bytes = file(module.machine, sections);
    match &module.signed {
        Signing::Unsigned => {}
        Signing::Signed(appended) => {
            bytes.extend(signature::appended(&appended.pkcs7).unwrap_or_default());
        }
        // It reads as damaged again, though elsewhere.
        Signing::Damaged(_) => bytes.extend_from_slice(MARK),
    }
    bytes
}

fn modinfo(module: &ModuleFile) -> Vec<u8> {
    let depends: Vec<_> = module.depends.iter().map(|name| name.as_str()).collect();
    let mut fields =
        vec![format!("vermagic={}", module.vermagic), format!("depends={}", depends.join(","))];
    fields.extend(module.version.iter().map(|version| format!("version={version}")));
    fields.extend(module.srcversion.iter().map(|version| format!("srcversion={version}")));
    fields.extend(module.in_tree.then(|| "intree=Y".to_owned()));
    fields.join("\0").into_bytes().into_iter().chain([0]).collect()
}

/// Header, contents, table.
fn file(machine: u16, mut sections: Vec<Section>) -> Vec<u8> {
    let mut names = vec![0];
    let mut places = Vec::new();
    const NAMES: &str = ".shstrtab";
    for name in sections.iter().map(|section| section.name).chain([NAMES]) {
        places.push(names.len());
        names.extend(name.bytes().chain([0]));
    }
    sections.push(Section { name: NAMES, kind: STRINGS, flags: 0, content: names });
    let contents: usize = sections.iter().map(|section| section.content.len()).sum();
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([1u16, machine].iter().flat_map(|number| number.to_le_bytes()));
    bytes.resize(40, 0);
    bytes.extend(((HEADER_BYTES + contents) as u64).to_le_bytes());
    bytes.resize(52, 0);
    // Every number fits: seven sections at most.
    let count = sections.len() as u16 + 1;
    for number in [HEADER_BYTES as u16, 0, 0, 64, count, count - 1] {
        bytes.extend(number.to_le_bytes());
    }
    let mut table = vec![0; 64];
    for (section, place) in sections.iter().zip(places) {
        let offset = bytes.len() as u64;
        bytes.extend_from_slice(&section.content);
        table.extend((place as u32).to_le_bytes());
        table.extend(section.kind.to_le_bytes());
        for number in [section.flags, 0, offset, section.content.len() as u64, 0, 1, 0] {
            table.extend(number.to_le_bytes());
        }
    }
    bytes.extend(table);
    bytes
}
