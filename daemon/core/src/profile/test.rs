//! `[ … ]`.

use super::refused::{Reason, Refused};
use super::run::Run;
use super::syntax::Place;

impl Run<'_> {
    /// Whether a test holds.
    pub(super) fn test(&self, words: &[String], place: Place) -> Result<bool, Refused> {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        match &words[..] {
            [] => Ok(false),
            [word] => Ok(!word.is_empty()),
            ["!", rest @ ..] if rest.len() < 4 => {
                let rest: Vec<_> = rest.iter().map(|word| (*word).to_owned()).collect();
                Ok(!self.test(&rest, place)?)
            }
            ["-n", word] => Ok(!word.is_empty()),
            ["-z", word] => Ok(word.is_empty()),
            // An option of the shell; none that a profile may rely on is ever on. One shipped
            // fragment means a variable by it, and gets the same answer from the launcher.
            ["-o", _] => Ok(false),
            [left, "=" | "==", right] => Ok(left == right),
            [left, "!=", right] => Ok(left != right),
            [left, "-a", right] => Ok(!left.is_empty() && !right.is_empty()),
            [left, "-o", right] => Ok(!left.is_empty() || !right.is_empty()),
            [left, by @ ("-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge"), right] => {
                let (left, right) = (self.number(left, place)?, self.number(right, place)?);
                Ok(match *by {
                    "-eq" => left == right,
                    "-ne" => left != right,
                    "-lt" => left < right,
                    "-le" => left <= right,
                    "-gt" => left > right,
                    _ => left >= right,
                })
            }
            [flag, _] if flag.starts_with('-') => {
                Err(self.needs_shell("a look at the machine", place))
            }
            _ => Err(self.needs_shell("this test", place)),
        }
    }

    fn number(&self, word: &str, place: Place) -> Result<i64, Refused> {
        word.trim()
            .parse()
            .map_err(|_| self.refused(Reason::Arithmetic(format!("{word:?} is no number")), place))
    }
}
