//! The ledger on disk: one journal, locked, appended to, and replaced atomically.
//!
//! What the lines mean is `onload_core::ledger`'s; here they are only kept safe. After a write has
//! failed nothing is appended any more until the file has been replaced, since the failed write may
//! have left half a line.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use onload_core::ledger::{self, Entry, Ledger, Replay};

/// The journal (DESIGN section 2).
const FILE: &str = "ledger.json";
/// Where its replacement is written.
const NEXT: &str = "ledger.json.next";
/// Kept locked while a daemon runs. Not the journal itself, which is replaced.
const LOCK: &str = "lock";
/// All of them; the lock last, for who removes them.
pub(crate) const FILES: [&str; 3] = [FILE, NEXT, LOCK];
/// What a journal can be: it is written anew long before. More is not ours.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Why a daemon cannot start on a state directory.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another one runs on it.
    #[error("another onloadd runs on {}", directory.display())]
    Taken {
        /// The state directory.
        directory: PathBuf,
    },
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct LedgerFile {
    directory: PathBuf,
    file: Option<Arc<File>>,
    _lock: Option<File>,
}

/// Opens one of the files: a file, neither behind a link nor a pipe that is waited for, which whoever made the
/// directory may have laid there.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

impl LedgerFile {
    /// Locks the state directory, making it if need be, and reads the journal.
    ///
    /// The inner error says in words why the journal is not to be relied on; the daemon then runs
    /// hands off, and leaves the file as it is.
    ///
    /// # Errors
    /// Only that another daemon runs on the directory.
    pub fn open(directory: &Path) -> Result<(Self, Result<Ledger, String>), LockError> {
        let mut this = Self { directory: directory.to_owned(), file: None, _lock: None };
        let read = match this.lock() {
            Ok(lock) => {
                this._lock = Some(lock);
                this.read()
            }
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Taken { directory: directory.to_owned() });
            }
            Err(TryLockError::Error(error)) => Err(format!("{}: {error}", directory.display())),
        };
        Ok((this, read))
    }

    fn lock(&self) -> Result<File, TryLockError> {
        if !self.directory.is_dir() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
            made.map_err(TryLockError::Error)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = open(&mut options, &self.directory.join(LOCK)).map_err(TryLockError::Error)?;
        lock.try_lock()?;
        Ok(lock)
    }

    fn read(&self) -> Result<Ledger, String> {
        let path = self.directory.join(FILE);
        let mut bytes = Vec::new();
        let opened = open(OpenOptions::new().read(true), &path);
        match opened.and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)) {
            Ok(length) if length as u64 > LONGEST => {
                return Err(format!("{} is larger than {LONGEST} bytes", path.display()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
        let Replay { ledger, torn } =
            Ledger::parse(&bytes).map_err(|fault| format!("{}: {fault}", path.display()))?;
        if torn > 0 {
            tracing::warn!(
                bytes = torn,
                "dropped the torn end of the ledger; nobody was told of it"
            );
        }
        Ok(ledger)
    }

    /// Appends entries: one write, so that a kill tears at most the end.
    ///
    /// # Errors
    /// The machine's answer. Nothing more is appended until [`Self::replace`] has succeeded.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), String> {
        let Some(file) = &self.file else { return Err("it must be written anew first".to_owned()) };
        let text: String = entries.iter().map(ledger::line).collect();
        let result = (&**file).write_all(text.as_bytes());
        result.map_err(|error| self.close(&error))
    }

    /// What waits for the disk; run it where waiting is allowed. None after a failed write.
    pub fn sync(&self) -> Option<impl FnOnce() -> io::Result<()> + Send + 'static> {
        let file = self.file.clone()?;
        Some(move || file.sync_data())
    }

    /// Takes note that a sync failed: what it was to make safe is in doubt.
    pub fn close(&mut self, error: &io::Error) -> String {
        self.file = None;
        format!("{}: {error}", self.directory.join(FILE).display())
    }

    /// Replaces the journal: the new one is whole on the disk before it has the name.
    ///
    /// # Errors
    /// The machine's answer; the former journal is untouched.
    pub fn replace(&mut self, text: &str) -> Result<(), String> {
        let next = self.directory.join(NEXT);
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = open(options.create(true).append(true).mode(0o600), &next)?;
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, self.directory.join(FILE))?;
            File::open(&self.directory)?.sync_all()?;
            Ok(file)
        };
        match write() {
            Ok(file) => {
                self.file = Some(Arc::new(file));
                Ok(())
            }
            Err(error) => {
                let _ = fs::remove_file(&next);
                Err(self.close(&error))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up its files must fail")]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_reads_back_and_two_daemons_do_not_share_it() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("onloadd");
        {
            let (mut file, ledger) = LedgerFile::open(&directory).unwrap();
            assert_eq!(ledger, Ok(Ledger::default()));
            assert!(
                file.append(&[]).is_err(),
                "nothing is appended to a journal that was not begun"
            );
            file.replace(&ledger.unwrap().to_text()).unwrap();
            file.append(&[Entry::Generation(7)]).unwrap();
            file.sync().unwrap()().unwrap();
            assert!(matches!(LedgerFile::open(&directory), Err(LockError::Taken { .. })));
        }
        let (_file, ledger) = LedgerFile::open(&directory).unwrap();
        assert_eq!(ledger.unwrap().generation, 7);
    }

    #[test]
    fn a_journal_that_does_not_read_is_named_and_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        fs::write(&path, "not a ledger\n").unwrap();
        let (_file, ledger) = LedgerFile::open(state.path()).unwrap();
        let why = ledger.unwrap_err();
        assert!(why.contains("ledger.json: line 1 is damaged"), "{why}");
        assert_eq!(fs::read(&path).unwrap(), b"not a ledger\n");
    }
}
