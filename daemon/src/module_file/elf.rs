//! The frame of a module: ELF header and section table, as far as the kernel's own loader looks at
//! them (`elf_validity_cache_copy` in `kernel/module/main.c`: relocatable, no extended numbering).

use std::io::{Read, Seek, SeekFrom};

use super::ModuleFileError;

const HEADER_BYTES: u64 = 64;
const WIDE: u8 = 2;
const LITTLE: u8 = 1;
const BIG: u8 = 2;
const RELOCATABLE: u64 = 1;
const PROGRAM_BITS: u64 = 1;
const NO_BITS: u64 = 8;
const ALLOCATED: u64 = 2;
const EXECUTABLE: u64 = 4;
/// Bytes that are read at once where a section is searched.
const PIECE_BYTES: u64 = 16 << 10;

/// An open module file.
#[derive(Debug)]
pub(super) struct Image<'a, R> {
    file: &'a mut R,
    length: u64,
    layout: Layout,
    machine: u16,
    table: Table,
}

/// Width and order of numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// 64-bit.
    pub(super) wide: bool,
    little: bool,
}

#[derive(Clone, Copy, Debug)]
struct Table {
    offset: u64,
    count: u64,
    names: u64,
}

/// One section.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) kind: u64,
    pub(super) flags: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Section {
    /// Whether the compiler puts strings there that are part of the running module.
    pub(super) fn holds_constants(&self) -> bool {
        self.kind == PROGRAM_BITS && self.flags & (ALLOCATED | EXECUTABLE) == ALLOCATED
    }
}

impl Layout {
    /// A number of up to eight bytes; none where the bytes end before.
    pub(super) fn number(self, bytes: &[u8], at: usize, width: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(width)?)?;
        let add = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        Some(if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
    }

    /// Bytes of an address: a `long` of the kernel.
    pub(super) fn long(self) -> usize {
        if self.wide { 8 } else { 4 }
    }
}

impl<'a, R: Read + Seek> Image<'a, R> {
    pub(super) fn open(file: &'a mut R, length: u64) -> Result<Self, ModuleFileError> {
        let damaged = |offset, what| ModuleFileError::Damaged { offset, what };
        let mut header = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.by_ref().take(HEADER_BYTES).read_to_end(&mut header)?;
        if !header.starts_with(b"\x7fELF") {
            return Err(damaged(0, "it does not begin as an ELF file does"));
        }
        let layout = match (header.get(4), header.get(5)) {
            (Some(class @ (1 | &WIDE)), Some(order @ (&LITTLE | &BIG))) => {
                Layout { wide: *class == WIDE, little: *order == LITTLE }
            }
            _ => return Err(damaged(4, "neither 32 nor 64 bits, or no byte order")),
        };
        let number = |wide: (usize, usize), narrow: (usize, usize)| {
            let (at, width) = if layout.wide { wide } else { narrow };
            layout.number(&header, at, width).ok_or(damaged(at as u64, "it ends in its header"))
        };
        if number((16, 2), (16, 2))? != RELOCATABLE {
            return Err(damaged(16, "it is not relocatable"));
        }
        let entry = if layout.wide { 64 } else { 40 };
        if number((58, 2), (46, 2))? != entry {
            return Err(damaged(if layout.wide { 58 } else { 46 }, "odd size of a section header"));
        }
        let table = Table {
            offset: number((40, 8), (32, 4))?,
            count: number((60, 2), (48, 2))?,
            names: number((62, 2), (50, 2))?,
        };
        let machine = u16::try_from(number((18, 2), (18, 2))?).unwrap_or_default();
        Ok(Self { machine, file, length, layout, table })
    }

    pub(super) fn machine(&self) -> u16 {
        self.machine
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Every section with its name, in the order of the table.
    pub(super) fn sections(&mut self) -> Result<Vec<Section>, ModuleFileError> {
        let Table { offset, count, names } = self.table;
        let entry = if self.layout.wide { 64 } else { 40 };
        // At most 65,535 entries of 64 bytes.
        let bytes = self.bytes(offset, count * entry, "the section table lies outside")?;
        let mut sections = Vec::new();
        for header in bytes.chunks_exact(if self.layout.wide { 64 } else { 40 }) {
            let number = |wide: (usize, usize), narrow: (usize, usize)| {
                let (at, width) = if self.layout.wide { wide } else { narrow };
                self.layout.number(header, at, width).unwrap_or_default()
            };
            let section = Section {
                name: String::new(),
                kind: number((4, 4), (4, 4)),
                flags: number((8, 8), (8, 4)),
                offset: number((24, 8), (16, 4)),
                size: number((32, 8), (20, 4)),
            };
            sections.push((number((0, 4), (0, 4)), section));
        }
        let names = usize::try_from(names).ok().and_then(|index| sections.get(index)).cloned();
        let (_, names) = names.ok_or(ModuleFileError::Damaged {
            offset,
            what: "the section of section names is not in the section table",
        })?;
        let names = self.content(&names)?;
        let name = |at: u64| {
            let rest = usize::try_from(at).ok().and_then(|at| names.get(at..)).unwrap_or_default();
            let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        };
        Ok(sections
            .into_iter()
            .map(|(at, section)| Section { name: name(at), ..section })
            .collect())
    }

    /// The bytes of a section.
    pub(super) fn content(&mut self, section: &Section) -> Result<Vec<u8>, ModuleFileError> {
        if section.kind == NO_BITS {
            return Ok(Vec::new());
        }
        self.bytes(section.offset, section.size, "a section lies outside the file")
    }

    /// The bytes of a section, piece by piece.
    pub(super) fn pieces(
        &mut self,
        section: &Section,
        mut piece: impl FnMut(&[u8]),
    ) -> Result<(), ModuleFileError> {
        let mut done = 0;
        while done < section.size {
            let size = PIECE_BYTES.min(section.size - done);
            // Wraps only for a place that lies outside, which is refused.
            let offset = section.offset.saturating_add(done);
            piece(&self.bytes(offset, size, "a section lies outside the file")?);
            done += size;
        }
        Ok(())
    }

    fn bytes(
        &mut self,
        offset: u64,
        size: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, ModuleFileError> {
        let damaged = ModuleFileError::Damaged { offset, what };
        if offset.checked_add(size).is_none_or(|end| end > self.length) {
            return Err(damaged);
        }
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.by_ref().take(size).read_to_end(&mut bytes)?;
        // A file may shrink while it is read.
        if bytes.len() as u64 == size { Ok(bytes) } else { Err(damaged) }
    }
}
