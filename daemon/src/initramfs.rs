//! An initramfs, searched for module files and small texts: cpio archives one after another, plain or compressed
//! (`Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel). Parsing only, as a
//! stream in bounded memory; total over any bytes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use onload_core::names::ModuleName;
use onload_core::release::ModuleFile;

use self::archive::Entry;
use self::segment::Format;
use self::window::Window;
use crate::module_file::{self, ModuleFileError};

mod archive;
mod segment;
#[cfg(test)]
mod tests;
mod window;

pub use self::archive::stand_in;

/// How much is read of one initramfs before it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Uncompressed and compressed together.
    pub bytes: u64,
    /// From the first byte on.
    pub time: Duration,
}

impl Default for Bounds {
    /// One that holds all firmware of a distribution has some 700 MB, and takes some ten seconds.
    fn default() -> Self {
        Self { bytes: 4 << 30, time: Duration::from_secs(120) }
    }
}

/// Why an initramfs tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// The system refuses.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Compressed in a way that is not read here.
    #[error("it cannot be read: it is compressed with {format} (from byte {offset} on)")]
    Format {
        /// Which.
        format: &'static str,
        /// Where that begins.
        offset: u64,
    },
    /// The bytes are not those of an initramfs.
    #[error("it is damaged, or no initramfs: {what} (byte {offset}{})", inside(*.within))]
    Damaged {
        /// Where, in the file, or in what it was unpacked to.
        offset: u64,
        /// What is wrong there.
        what: String,
        /// Where the compressed part began, for what is wrong inside one.
        within: Option<u64>,
    },
    /// A module inside does not read.
    #[error("its {path} cannot be used: {source}")]
    Module {
        /// Its path in the initramfs.
        path: String,
        /// What is wrong with it.
        source: ModuleFileError,
    },
    /// It is larger than any initramfs.
    #[error("it holds more than {0} bytes")]
    TooLarge(u64),
    /// Reading it took too long.
    #[error("it was not read to its end within {} seconds", .0.as_secs())]
    TooSlow(Duration),
}

fn inside(within: Option<u64>) -> String {
    within.map(|at| format!(" of what is compressed from byte {at} on")).unwrap_or_default()
}

/// What may still be read.
#[derive(Debug)]
struct Meter {
    bounds: Bounds,
    left: Cell<u64>,
    since: Instant,
    exceeded: Cell<Option<Exceeded>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exceeded {
    Bytes,
    Time,
}

impl Meter {
    fn new(bounds: Bounds) -> Self {
        let (left, exceeded) = (Cell::new(bounds.bytes), Cell::new(None));
        Self { bounds, left, since: Instant::now(), exceeded }
    }

    /// Counts bytes; an error ends whatever decoder is under way.
    fn count(&self, bytes: usize) -> io::Result<()> {
        let exceeded = match self.left.get().checked_sub(bytes as u64) {
            None => Some(Exceeded::Bytes),
            Some(left) => {
                self.left.set(left);
                (self.since.elapsed() > self.bounds.time).then_some(Exceeded::Time)
            }
        };
        self.exceeded.set(self.exceeded.get().or(exceeded));
        match self.exceeded.get() {
            None => Ok(()),
            Some(_) => Err(io::Error::other("a bound is reached")),
        }
    }
}

/// Most of a text that is looked for, and most of them: other files are passed by.
const TEXT_BYTES: u64 = 64 << 10;
const MOST_TEXTS: usize = 1024;

/// What a path inside is, if it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A module file.
    Module(ModuleName),
    /// A small file, as it is.
    Text,
}

/// What is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Module files, by name. Of two that which was built apart from the kernel counts, as for
    /// modprobe.
    pub modules: BTreeMap<ModuleName, ModuleFile>,
    /// Texts, by path without a leading `/`. Of two the last counts, as when it is unpacked.
    pub texts: BTreeMap<String, Vec<u8>>,
}

/// Searches an initramfs. `wanted` says what a path inside is, if it is looked for.
///
/// # Errors
/// It cannot be read to its end.
pub fn search(
    file: impl Read,
    wanted: &dyn Fn(&str) -> Option<Wanted>,
    bounds: Bounds,
) -> Result<Found, InitramfsError> {
    let meter = Meter::new(bounds);
    let mut search = Search { wanted, found: Found::default() };
    let searched = search.file(&mut Window::new(Box::new(file), &meter), &meter);
    match meter.exceeded.get() {
        Some(Exceeded::Bytes) => Err(InitramfsError::TooLarge(bounds.bytes)),
        Some(Exceeded::Time) => Err(InitramfsError::TooSlow(bounds.time)),
        None => searched.map(|()| search.found),
    }
}

struct Search<'s> {
    wanted: &'s dyn Fn(&str) -> Option<Wanted>,
    found: Found,
}

impl Search<'_> {
    /// The file itself: archives, and compressed archives between and after them.
    fn file(&mut self, file: &mut Window<'_>, meter: &Meter) -> Result<(), InitramfsError> {
        while !self.archives(file, None)? {
            let at = file.offset();
            match Format::of(file.peek(Format::MAGIC_BYTES)?) {
                Some(Format::Readable(readable)) => {
                    let unpacked = readable.unpack(file).map_err(|error| broken(at, &error))?;
                    let mut inside = Window::new(unpacked, meter);
                    let ended =
                        self.archives(&mut inside, Some(at)).map_err(|error| match error {
                            InitramfsError::Read(error) => broken(at, &error),
                            other => other,
                        })?;
                    if !ended {
                        let (offset, what) = (inside.offset(), "no cpio archive".to_owned());
                        return Err(InitramfsError::Damaged { offset, what, within: Some(at) });
                    }
                }
                Some(Format::Other(format)) => {
                    return Err(InitramfsError::Format { format, offset: at });
                }
                None => {
                    let what = "neither a cpio archive nor a compressed one".to_owned();
                    return Err(InitramfsError::Damaged { offset: at, what, within: None });
                }
            }
        }
        Ok(())
    }

    /// Archives one after another, with zeros between. False: what follows is none.
    fn archives(
        &mut self,
        input: &mut Window<'_>,
        within: Option<u64>,
    ) -> Result<bool, InitramfsError> {
        loop {
            input.skip_zeros()?;
            match input.peek(1)?.first() {
                None => return Ok(true),
                Some(b'0') => {}
                Some(_) => return Ok(false),
            }
            while let Some(entry) = archive::next(input, within)? {
                let wanted = (self.wanted)(&entry.path).filter(|_| entry.is_file);
                match wanted {
                    Some(Wanted::Module(name)) if entry.size > 0 => {
                        let bytes = archive::content(input, &entry, within)?;
                        let path = entry.path;
                        let file = module_file::parse(&bytes, &path)
                            .map_err(|source| InitramfsError::Module { path, source })?;
                        self.add(name, file);
                    }
                    Some(Wanted::Text) if self.takes(&entry) => {
                        let bytes = archive::content(input, &entry, within)?;
                        self.found.texts.insert(entry.path, bytes);
                    }
                    // The content of hard links comes with the last of them.
                    Some(_) | None => archive::pass(input, &entry, within)?,
                }
            }
        }
    }

    fn takes(&self, entry: &Entry) -> bool {
        let texts = &self.found.texts;
        let room = texts.len() < MOST_TEXTS || texts.contains_key(&entry.path);
        (1..=TEXT_BYTES).contains(&entry.size) && room
    }

    fn add(&mut self, name: ModuleName, file: ModuleFile) {
        let former = self.found.modules.get(&name);
        if former.is_none_or(|former| former.in_tree && !file.in_tree) {
            // Nobody asks for these, and they are hundreds.
            self.found.modules.insert(name, ModuleFile { symbols: Default::default(), ..file });
        }
    }
}

fn broken(at: u64, error: &io::Error) -> InitramfsError {
    let what = format!("what is compressed here does not unpack: {error}");
    InitramfsError::Damaged { offset: at, what, within: None }
}
