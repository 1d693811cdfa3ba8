//! The file under the ledger, as a disk keeps it: what is written, what is safe, what is torn.

use fastrand::Rng;
use onload_core::ledger::{self, Entry, Ledger};

/// A ledger file in memory, with the faults of a disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// What a reader finds; a kill of the daemon keeps it.
    bytes: Vec<u8>,
    /// How much of it a power loss keeps for certain.
    safe: usize,
    /// Counts replacements, so that a sync of the former file says nothing about this one.
    file: u64,
    /// Whether the daemon may append: from a replacement that went well to the first failed write.
    open: bool,
    /// The file holds less, or other, than the daemon was told to write.
    behind: bool,
    /// No room: every write fails, and the first leaves half a line.
    pub full: bool,
    /// Writes go well and do not reach the disk.
    pub sync_fails: bool,
}

/// A sync under way: the file it is of, and how much of it was written.
#[derive(Clone, Copy, Debug)]
pub struct Sync {
    file: u64,
    written: usize,
}

impl Disk {
    /// What a reader finds.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a power loss keeps for certain.
    pub fn safe_bytes(&self) -> &[u8] {
        &self.bytes[..self.safe]
    }

    /// Writes over the file as if somebody else had.
    pub fn overwrite(&mut self, bytes: &[u8]) {
        self.bytes = bytes.to_vec();
        self.safe = self.bytes.len();
        self.file += 1;
        self.open = false;
    }

    /// Whether a write or sync has failed since the last replacement.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// What the daemon would read.
    ///
    /// # Errors
    /// The fault, as the daemon would say it.
    pub fn read(&self) -> Result<Ledger, String> {
        Ledger::parse(&self.bytes)
            .map(|replay| replay.ledger)
            .map_err(|fault| format!("ledger.json: {fault}"))
    }

    /// Appends as one write.
    ///
    /// # Errors
    /// As the daemon's ledger file: nothing more is taken until a replacement.
    pub fn append(&mut self, entries: &[Entry], random: &mut Rng) -> Result<(), String> {
        if !self.open {
            self.behind = true;
            return Err("it must be written anew first".to_owned());
        }
        let text: String = entries.iter().map(ledger::line).collect();
        if self.full {
            let fits = random.usize(0..text.len());
            self.bytes.extend_from_slice(&text.as_bytes()[..fits]);
            self.open = false;
            self.behind = true;
            return Err("ledger.json: No space left on device (os error 28)".to_owned());
        }
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Begins a sync of what is written.
    pub fn sync(&self) -> Sync {
        Sync { file: self.file, written: self.bytes.len() }
    }

    /// Ends a sync.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn synced(&mut self, sync: Sync) -> Result<(), String> {
        if self.sync_fails {
            self.behind = true;
            return Err("Input/output error (os error 5)".to_owned());
        }
        if sync.file == self.file {
            self.safe = self.safe.max(sync.written);
        }
        Ok(())
    }

    /// Replaces the file as a whole.
    ///
    /// # Errors
    /// The disk's answer; the former file is untouched.
    pub fn replace(&mut self, text: &str) -> Result<(), String> {
        if self.full || self.sync_fails {
            self.open = false;
            self.behind = true;
            let why = if self.full {
                "No space left on device (os error 28)"
            } else {
                "Input/output error (os error 5)"
            };
            return Err(format!("ledger.json: {why}"));
        }
        self.overwrite(text.as_bytes());
        self.open = true;
        self.behind = false;
        Ok(())
    }

    /// The daemon is gone; what it wrote stays.
    pub fn kill(&mut self) {
        self.open = false;
    }

    /// The power is gone: of what was not synced, a part stays, cut anywhere, or the size of it
    /// without the content.
    pub fn power_loss(&mut self, random: &mut Rng) {
        let unsynced = self.bytes.len() - self.safe;
        let kept = self.safe + random.usize(0..=unsynced);
        let size = self.bytes.len();
        self.bytes.truncate(kept);
        if random.u32(0..4) == 0 {
            self.bytes.resize(size, 0);
        }
        self.safe = self.bytes.len();
        self.open = false;
    }

    /// Everything is on the disk, as after an orderly shutdown.
    pub fn settle(&mut self) {
        self.safe = self.bytes.len();
        self.open = false;
    }
}
