//! A terminal taken for a while, and given back as it was.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::tcgetwinsize;

/// Another screen than that with what was there before, without a cursor, and with lines that end at its
/// edge.
const TAKE: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// The reverse.
const GIVE_BACK: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// What a terminal is taken for that does not say how large it is.
const USUAL: (usize, usize) = (80, 24);

/// The terminal, while it is taken.
#[derive(Debug)]
pub struct Screen(());

impl Screen {
    /// Takes it; none where nobody looks, or the terminal knows none of this.
    pub fn take() -> io::Result<Option<Self>> {
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
        if dumb || !io::stdout().is_terminal() {
            return Ok(None);
        }
        say(TAKE)?;
        Ok(Some(Self(())))
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            Ok(_) | Err(_) => USUAL,
        }
    }

    /// Stops, as Ctrl-Z asks, with the terminal given back meanwhile; returns when this goes on.
    pub fn rest(&self) -> io::Result<()> {
        say(GIVE_BACK)?;
        // The signal that asks for it was taken; this one cannot be.
        kill_process(getpid(), Signal::STOP)?;
        say(TAKE)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        drop(say(GIVE_BACK));
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
