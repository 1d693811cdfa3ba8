//! Output: one value, as a page for people or as JSON, and complaints in three lines.

pub mod paint;
pub mod phrase;
pub mod table;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::ended::{Complaint, Ended};
use paint::{Paint, plain};

/// Version of the JSON: raised when a key goes away or changes its meaning, not when one is added.
const SCHEMA: u32 = 1;

/// Where the cursor goes home, and what is below it goes away.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// What a read verb shows.
pub trait Page: Serialize + PartialEq {
    /// For people. Times are told as ages seen from `now` (milliseconds since 1970 UTC).
    fn text(&self, now: u64) -> String;
}

/// The JSON form: the same value with the version in front.
#[derive(Serialize)]
struct Versioned<'a, T> {
    schema: u32,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Serialize)]
struct Complained<'a> {
    error: &'a Complaint,
}

/// Where and how things are shown.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON, or text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON is asked for.
    pub fn json(self) -> bool {
        self.json
    }

    /// A page, once.
    pub fn page<P: Page>(self, page: &P) -> io::Result<()> {
        if self.json {
            return self.document(page);
        }
        self.text(&page.text(now()))
    }

    /// A page that takes the place of the former one: on a terminal on the same spot, elsewhere
    /// below it with an empty line between, and as JSON on one line.
    pub fn live<P: Page>(self, page: &P) -> io::Result<()> {
        if self.json {
            return self.line(page);
        }
        let text = page.text(now());
        if !self.has_ages() {
            return self.text(&format!("{text}\n"));
        }
        self.redraw(&text)
    }

    /// Text on a terminal, in place of what is there.
    pub fn redraw(self, text: &str) -> io::Result<()> {
        // anstream takes movements out together with colours; here is a terminal in any case.
        let text = match anstream::stdout().current_choice() {
            anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
            _ => text.to_owned(),
        };
        let lines = text.replace('\n', &format!("{CLEAR_LINE}\n"));
        let mut out = io::stdout().lock();
        write!(out, "{HOME}{lines}{CLEAR_BELOW}")?;
        out.flush()
    }

    /// Whether somebody looks at a page long enough for its ages to grow wrong.
    pub fn has_ages(self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    /// A page or a few lines of text.
    pub fn text(self, text: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// A whole JSON document.
    pub fn document<T: Serialize>(self, value: &T) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(&json(value)?)?;
        out.flush()
    }

    /// One JSON document on one line.
    pub fn line<T: Serialize>(self, value: &T) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &Versioned { schema: SCHEMA, value })?;
        writeln!(out)?;
        out.flush()
    }

    /// Something worth knowing that is not the answer.
    pub fn note(self, text: &str) -> io::Result<()> {
        writeln!(anstream::stderr(), "{}", Paint::Dim.on(text))
    }

    /// Says why a run ended and gives the exit code. A failure to say so changes nothing.
    pub fn complain(self, ended: &Ended) -> u8 {
        let complaint = match ended {
            Ended::Complaint(complaint) => complaint.clone(),
            Ended::Output(error) => Complaint {
                name: "Output".into(),
                what: "the output cannot be written".into(),
                why: error.to_string(),
                fix: "make room, or write it somewhere else".into(),
                exit: onload_dbus::error::exit::FAILED,
            },
        };
        let _ = if self.json {
            let value = &Complained { error: &complaint };
            let line = serde_json::to_string(&Versioned { schema: SCHEMA, value });
            writeln!(io::stderr(), "{}", line.unwrap_or_default())
        } else {
            write!(anstream::stderr(), "{}", three_lines(&complaint))
        };
        complaint.exit
    }
}

/// `error:`, `why:` and `fix:`, the last two where there is something to say.
fn three_lines(complaint: &Complaint) -> String {
    let mut text = format!("{} {}\n", Paint::Bad.on("error:"), plain(&complaint.what));
    for (mark, part) in [("why:", &complaint.why), ("fix:", &complaint.fix)] {
        if !part.is_empty() {
            text += &format!("  {} {}\n", Paint::Dim.on(mark), plain(part));
        }
    }
    text
}

/// A whole JSON document as text.
pub fn json<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(&Versioned { schema: SCHEMA, value })?;
    text.push(b'\n');
    Ok(text)
}

/// Milliseconds since 1970 UTC.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_has_three_lines() {
        let complaint = Complaint::unreachable("no bus: \x1b[2Jgone");
        assert_eq!(
            paint::without(&three_lines(&complaint)),
            "error: onloadd cannot be reached
  why: no bus: \u{fffd}[2Jgone
  fix: `systemctl status onloadd` says whether it runs; start it with `systemctl enable --now onloadd`
"
        );
    }
}
