//! Bounds of what is read from a source that anybody may have made, and the end of patience.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use onload_core::refusal::Refusal;

use super::fault;
use crate::contained;

/// Bytes read in all, unpacked and at every depth: an image made by the Driver Toolkit alone has
/// some 3 GB, and its layers count twice (the outer archive, then the layer).
const MOST_BYTES: u64 = 16 << 30;
/// Bytes kept: five modules of up to 40 MB with debug information for a dozen kernels.
const MOST_KEPT_BYTES: u64 = 2 << 30;
/// Bytes of one kept file. The largest, `onload.ko` with debug information, has a fifth of it.
const MOST_FILE_BYTES: u64 = 256 << 20;
/// Members in all: a full distribution image has some 150,000.
const MOST_MEMBERS: u64 = 1_000_000;
/// Members kept: a release has some hundred, and five more for each kernel.
const MOST_KEPT: usize = 4096;
/// Bytes of lists read whole, `manifest.json` and its like: they have a few kilobytes.
const MOST_LIST_BYTES: u64 = 4 << 20;
/// Of one path: `PATH_MAX` of the kernel.
pub(super) const MOST_PATH_BYTES: usize = 4096;
/// Directories in one path. Images were seen with 20; places of a release have six.
pub(super) const MOST_DEPTH: usize = 64;

/// Bounds as numbers, so that tests need no gigabytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(super) bytes: u64,
    pub(super) kept_bytes: u64,
    pub(super) file_bytes: u64,
    pub(super) members: u64,
    pub(super) kept: usize,
    pub(super) list_bytes: u64,
}

impl Bounds {
    /// Of what holds no release: bytes read in all, and members.
    pub(crate) fn of(bytes: u64, members: u64) -> Self {
        Self { bytes, members, ..Self::default() }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: MOST_BYTES,
            kept_bytes: MOST_KEPT_BYTES,
            file_bytes: MOST_FILE_BYTES,
            members: MOST_MEMBERS,
            kept: MOST_KEPT,
            list_bytes: MOST_LIST_BYTES,
        }
    }
}

/// Told from another thread that nobody waits any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(crate) fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Tells the thread at work when the future that waits for it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Cancel);

impl Waiting {
    pub(crate) fn on(cancel: &Cancel) -> Self {
        Self(cancel.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// What has been read and kept so far, and why reading was stopped.
#[derive(Debug, Default)]
pub(super) struct Budget {
    pub(super) bounds: Bounds,
    pub(super) cancel: Cancel,
    bytes: Cell<u64>,
    kept_bytes: Cell<u64>,
    members: Cell<u64>,
    kept: Cell<usize>,
    list_bytes: Cell<u64>,
    /// Survives the layers of readers that turn every error into one of their own.
    stopped: RefCell<Option<Refusal>>,
}

impl Budget {
    pub(super) fn new(bounds: Bounds, cancel: Cancel) -> Self {
        Self { bounds, cancel, ..Self::default() }
    }

    /// One member more.
    pub(super) fn member(&self) -> Result<(), Refusal> {
        self.members.set(self.members.get() + 1);
        if self.members.get() > self.bounds.members {
            return Err(fault::too_much(format!(
                "the source has more than {} files",
                self.bounds.members
            )));
        }
        self.must_go_on()
    }

    /// One kept member more.
    pub(super) fn keep(&self) -> Result<(), Refusal> {
        self.kept.set(self.kept.get() + 1);
        if self.kept.get() > self.bounds.kept {
            return Err(fault::too_much(format!(
                "the source has more than {} files of a release",
                self.bounds.kept
            )));
        }
        Ok(())
    }

    /// So many bytes of a kept file more.
    pub(super) fn keep_bytes(&self, path: &str, file: u64, more: u64) -> Result<(), Refusal> {
        if file > self.bounds.file_bytes {
            let why =
                format!("{} is larger than {} bytes", fault::shown(path), self.bounds.file_bytes);
            return Err(fault::too_much(why));
        }
        self.kept_bytes.set(self.kept_bytes.get().saturating_add(more));
        if self.kept_bytes.get() > self.bounds.kept_bytes {
            return Err(fault::too_much(format!(
                "the files of the release are larger than {} bytes, with {}",
                self.bounds.kept_bytes,
                fault::shown(path)
            )));
        }
        self.must_go_on()
    }

    /// Reads a list whole.
    pub(super) fn list(&self, path: &str, reader: &mut dyn Read) -> Result<Vec<u8>, Refusal> {
        let room = self.bounds.list_bytes - self.list_bytes.get();
        let mut bytes = Vec::new();
        let mut bounded = reader.take(room + 1);
        bounded.read_to_end(&mut bytes).map_err(|error| self.refusal(path, &error))?;
        let length = bytes.len() as u64;
        if length > room {
            let why =
                format!("{} and other lists have more than {} bytes", fault::shown(path), room);
            return Err(fault::too_much(why));
        }
        self.list_bytes.set(self.list_bytes.get() + length);
        Ok(bytes)
    }

    /// Why reading failed: the bound that was met, else what the reader said.
    pub(super) fn refusal(&self, path: &str, error: &io::Error) -> Refusal {
        self.stopped().unwrap_or_else(|| fault::broken(path, error))
    }

    /// The bound that was met, if any.
    pub(super) fn stopped(&self) -> Option<Refusal> {
        self.stopped.borrow().clone()
    }

    /// Makes every later answer of [`Budget::refusal`] this one.
    pub(super) fn stop(&self, why: Refusal) -> io::Error {
        self.stopped.borrow_mut().get_or_insert(why);
        io::Error::other("stopped")
    }

    pub(super) fn must_go_on(&self) -> Result<(), Refusal> {
        if self.cancel.is_told() { Err(fault::cancelled()) } else { Ok(()) }
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        self.bytes.set(self.bytes.get().saturating_add(bytes as u64));
        let why = format!("the source unpacks to more than {} bytes", self.bounds.bytes);
        if self.bytes.get() > self.bounds.bytes {
            return Err(self.stop(fault::too_much(why)));
        }
        self.must_go_on().map_err(|why| self.stop(why))
    }
}

/// A reader whose bytes count.
pub(super) struct Counted<'b, R> {
    pub(super) reader: R,
    pub(super) budget: &'b Budget,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        contained::ours(|| {
            let read = self.reader.read(buffer)?;
            self.budget.count(read)?;
            Ok(read)
        })
    }
}
