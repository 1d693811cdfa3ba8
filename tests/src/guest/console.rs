//! The serial console of a guest: what it shows, and a keyboard.

use std::fs;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context;

/// What a console showed, as text in the order in which it was written: without colours and frames,
/// and with a new line wherever the cursor was moved.
pub fn plain(shown: &[u8]) -> String {
    // Frames are drawn in an older character set.
    let shown = String::from_utf8_lossy(shown).replace('\u{fffd}', "");
    let mut parts = shown.split("\x1b[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Without a letter it is cut off in the middle.
        let Some((numbers, rest)) = part.split_once(|letter: char| letter.is_ascii_alphabetic())
        else {
            continue;
        };
        if part[numbers.len()..].starts_with(['H', 'J']) {
            text.push('\n');
        }
        text.push_str(rest);
    }
    // So is one of which only the first byte is here.
    text.strip_suffix('\x1b').map(str::to_owned).unwrap_or(text)
}

/// How much of what a console showed is whole: all, or all before a movement of the cursor that has only
/// begun.
fn whole(shown: &[u8]) -> usize {
    let Some(last) = shown.iter().rposition(|byte| *byte == 0x1b) else { return shown.len() };
    let begun = match &shown[last + 1..] {
        [] => true,
        [b'[', numbers @ ..] => !numbers.iter().any(u8::is_ascii_alphabetic),
        _ => false,
    };
    if begun { last } else { shown.len() }
}

/// The keyboard of a console, and the place up to which it has been read.
#[derive(Debug)]
pub struct Console {
    log: PathBuf,
    keys: UnixStream,
    read: usize,
}

impl Console {
    /// A console that is written to `log`, and that takes keys from a socket.
    ///
    /// # Errors
    /// There is no such socket.
    pub fn open(log: &Path, socket: &Path) -> anyhow::Result<Self> {
        let keys = UnixStream::connect(socket).context("no keyboard at the guest's console")?;
        let mut shown = keys.try_clone()?;
        // It comes here too; unread, it would hold up the guest.
        thread::spawn(move || io::copy(&mut shown, &mut io::sink()));
        Ok(Self { log: log.to_owned(), keys, read: 0 })
    }

    /// What it has shown since the last key.
    pub fn shown(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        plain(log.get(self.read..).unwrap_or_default())
    }

    /// How many bytes it has shown since it was turned on.
    pub fn shown_bytes(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |about| about.len())
    }

    /// Presses keys; what was shown before them is not looked at again.
    ///
    /// # Errors
    /// The machine is off.
    pub fn press(&mut self, keys: &str) -> anyhow::Result<()> {
        self.read = whole(&fs::read(&self.log)?);
        Ok(self.keys.write_all(keys.as_bytes())?)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.keys.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_becomes_text() {
        let shown = b"\x1b[0m\x1b[37m\x1b[48;03HBooting in 9 seconds\x1b[2J\xc4end\x1b[01";
        assert_eq!(plain(shown), "\nBooting in 9 seconds\nend");
        assert_eq!(plain(b""), "");
    }

    #[test]
    fn a_movement_that_has_begun_belongs_to_what_follows() {
        let shown = b"one\x1b[48;03Htwo";
        for cut in 0..=shown.len() {
            let (before, _) = shown.split_at(cut);
            let (before, after) = shown.split_at(whole(before));
            assert_eq!(plain(before) + &plain(after), "one\ntwo", "cut at {cut}");
            assert!(cut - before.len() <= "\x1b[48;03".len());
        }
        assert_eq!(plain(b"one\x1b"), "one");
    }
}
