//! A line as sfptpd takes it apart: words by white space, quotes, escapes, comments.

use super::ConfigFault;

/// sfptpd reads lines of at most this many bytes, their end included; what is longer falls into two.
const LONGEST: usize = 1022;
/// Words on a line beyond which sfptpd reads no more.
const MOST: usize = 64;

/// A word, and where on its line its text stands: within quotes, where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What sfptpd sees of it.
    pub(super) text: String,
    /// Where it begins and ends, in bytes of the line.
    pub(super) at: std::ops::Range<usize>,
}

/// The words of a line; none of a comment or an empty one.
///
/// # Errors
/// When sfptpd would read it otherwise than it looks.
pub(super) fn words(line: &str, number: usize) -> Result<Vec<Word>, ConfigFault> {
    let fault = |what: &str, fix: &str| {
        Err(ConfigFault { line: number, what: what.to_owned(), fix: fix.to_owned() })
    };
    if line.len() > LONGEST {
        return fault("it is longer than the 1022 bytes that sfptpd takes", "make two of it");
    }
    if line.ends_with('\r') {
        return fault(
            "it ends in a carriage return, which sfptpd takes for a part of its last word",
            "save the file with the line ends of Unix",
        );
    }
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return fault("it has a control character", "remove it");
    }
    let mut words = Vec::new();
    let mut rest = Rest { line, at: 0 };
    while rest.skip_blanks() {
        let Some(word) = rest.word() else {
            return fault("a quote is opened and not closed", "close it");
        };
        words.push(word);
    }
    if words.len() > MOST {
        return fault("it has more than the 64 words that sfptpd takes", "name fewer");
    }
    Ok(words)
}

/// What is left of a line.
struct Rest<'a> {
    line: &'a str,
    at: usize,
}

impl Rest<'_> {
    fn next(&self) -> Option<char> {
        self.line[self.at..].chars().next()
    }

    /// Goes to the next word; false where there is none.
    fn skip_blanks(&mut self) -> bool {
        while self.next().is_some_and(|c| matches!(c, ' ' | '\t')) {
            self.at += 1;
        }
        self.next().is_some_and(|c| c != '#')
    }

    /// Takes a word; none for one whose quote is not closed.
    fn word(&mut self) -> Option<Word> {
        let quote = self.next().filter(|c| matches!(c, '\'' | '"'));
        self.at += quote.map_or(0, char::len_utf8);
        let start = self.at;
        let (mut text, mut escaped) = (String::new(), false);
        while let Some(c) = self.next() {
            let ends = match quote {
                Some(quote) => c == quote,
                None => matches!(c, ' ' | '\t' | '#'),
            };
            if ends && !escaped {
                let at = start..self.at;
                self.at += quote.map_or(0, char::len_utf8);
                return Some(Word { text, at });
            }
            if c == '\\' && !escaped {
                escaped = true;
            } else {
                text.push(c);
                escaped = false;
            }
            self.at += c.len_utf8();
        }
        quote.is_none().then_some(Word { text, at: start..self.at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        words(line, 1).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_parted_as_sfptpd_parts_them() {
        let cases: [(&str, &[&str]); 10] = [
            ("", &[]),
            ("  # comment", &[]),
            ("interface eth0", &["interface", "eth0"]),
            ("\tinterface\teth0 # why", &["interface", "eth0"]),
            ("interface eth0#why", &["interface", "eth0"]),
            ("a 'b c' \"d # e\" f", &["a", "b c", "d # e", "f"]),
            ("a ''", &["a", ""]),
            ("a b'c d'", &["a", "b'c", "d'"]),
            (r"a b\ c \#d 'it\'s' \\", &["a", "b c", "#d", "it's", "\\"]),
            ("a 'b'c", &["a", "b", "c"]),
        ];
        for (line, expected) in cases {
            assert_eq!(texts(line), expected, "{line}");
        }
        let line = "a 'b c' d";
        let spans: Vec<_> =
            words(line, 1).unwrap().into_iter().map(|word| &line[word.at]).collect();
        assert_eq!(spans, ["a", "b c", "d"]);
    }

    #[test]
    fn lines_that_sfptpd_would_read_otherwise_are_refused() {
        let long = "a ".repeat(512);
        let many = "a ".repeat(65);
        for line in ["a 'b", "a \"b'", "a\r", "a\0b", "a 'b\\'", &long, &many] {
            assert_eq!(words(line, 7).unwrap_err().line, 7, "{line}");
        }
    }
}
