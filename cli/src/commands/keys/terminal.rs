//! The terminal on the standard input, for what only a person can say.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _, stdin};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use super::aside;
use super::password::Secret;

/// What stands for the terminal itself, to be written to as well.
const STANDARD_INPUT: &str = "/proc/self/fd/0";
/// Stands for no key among those that do something (`_POSIX_VDISABLE`).
const NO_KEY: u8 = 0;

/// A terminal.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// That on the standard input; none where there is none.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open() -> io::Result<Option<Self>> {
        if !stdin().is_terminal() {
            return Ok(None);
        }
        OpenOptions::new().read(true).write(true).open(STANDARD_INPUT).map(|one| Some(Self(one)))
    }

    /// Puts a question and takes a line, without its end. What does not fit into the room is dropped.
    ///
    /// # Errors
    /// The terminal is gone.
    pub async fn ask(&self, question: &str, room: usize) -> io::Result<Secret> {
        (&self.0).write_all(question.as_bytes())?;
        let mut from = self.0.try_clone()?;
        aside(move || {
            let (mut line, mut byte) = (Secret::with_room(room), [0]);
            while from.read(&mut byte)? == 1 && byte != *b"\n" {
                line.push(byte[0]);
            }
            Ok(line)
        })
        .await
    }

    /// Shows nothing of what is typed from now on, as long as the answer lives.
    ///
    /// # Errors
    /// The terminal cannot do without.
    pub fn hide(&self) -> io::Result<Hidden<'_>> {
        let before = tcgetattr(&self.0)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        // Whoever stopped the program in between would have a terminal that shows nothing.
        hidden.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
        // What was typed too early was shown.
        tcsetattr(&self.0, OptionalActions::Flush, &hidden)?;
        Ok(Hidden { terminal: self, before, asking: Cell::new(false) })
    }
}

/// A terminal that shows nothing of what is typed.
#[derive(Debug)]
pub struct Hidden<'a> {
    terminal: &'a Terminal,
    before: Termios,
    /// Whether the cursor stands behind a question.
    asking: Cell<bool>,
}

impl Hidden<'_> {
    /// Puts a question and takes a line, as [`Terminal::ask`] does.
    ///
    /// # Errors
    /// The terminal is gone.
    pub async fn ask(&self, question: &str, room: usize) -> io::Result<Secret> {
        self.asking.set(true);
        let line = self.terminal.ask(question, room).await?;
        self.end_line();
        Ok(line)
    }
}

impl Hidden<'_> {
    /// The end of the line that was typed, or given up, was not shown either.
    fn end_line(&self) {
        if self.asking.replace(false) {
            // There is nobody to tell when the terminal is gone.
            drop((&self.terminal.0).write_all(b"\n"));
        }
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // The beginning of an answer that was given up is nothing for who reads next.
        let how = if self.asking.get() { OptionalActions::Flush } else { OptionalActions::Now };
        self.end_line();
        let _ = tcsetattr(&self.terminal.0, how, &self.before);
    }
}
