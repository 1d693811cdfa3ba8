//! The characters of a profile, and the words they make.

use super::grammar::Parser;
use super::refused::{Reason, Refused};
use super::syntax::{Part, Place, Rule, Word};

/// A text being read, with the place in it.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, place: Place { line: 1, column: 1 } }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        if next == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(next)
    }

    /// Takes this text where it comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let comes = self.rest.starts_with(text);
        if comes {
            for _ in text.chars() {
                self.next();
            }
        }
        comes
    }

    /// Takes what is of one kind.
    pub(super) fn take_while(&mut self, of: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.peek().filter(|next| of(*next)) {
            taken.push(next);
            self.next();
        }
        taken
    }

    /// Passes blanks, continued lines, and a comment.
    pub(super) fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => drop(self.next()),
                Some('\\') if self.rest.starts_with("\\\n") => drop(self.take("\\\n")),
                Some('#') => {
                    self.take_while(|c| c != '\n');
                }
                _ => return,
            }
        }
    }
}

/// What ends a word outside quotes.
pub(super) fn ends_word(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
}

/// A character of a name.
pub(super) fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether it is the name of a variable.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(in_name)
}

impl Parser<'_> {
    /// A word, or none where something else comes.
    pub(super) fn word(&mut self) -> Result<Option<Word>, Refused> {
        self.cursor.skip_blanks();
        let place = self.cursor.place();
        let parts = self.parts(ends_word)?;
        // Quotes with nothing between them are a word all the same.
        Ok((!parts.is_empty()).then_some(Word { place, parts }))
    }

    /// The pieces of a word up to what ends it outside quotes.
    pub(super) fn parts(&mut self, end: fn(char) -> bool) -> Result<Vec<Part>, Refused> {
        let mut parts = Vec::new();
        while let Some(next) = self.cursor.peek().filter(|next| !end(*next)) {
            let place = self.cursor.place();
            match next {
                '\'' => {
                    self.cursor.next();
                    let text = self.cursor.take_while(|c| c != '\'');
                    self.close("'", "a quote is never closed", place)?;
                    parts.push(Part::Quoted(text));
                }
                '"' => {
                    self.cursor.next();
                    self.deeper(place)?;
                    self.double_quoted(&mut parts, place)?;
                    self.depth -= 1;
                }
                '\\' => {
                    self.cursor.next();
                    match self.cursor.next() {
                        Some('\n') => {}
                        Some(c) => parts.push(Part::Quoted(c.to_string())),
                        None => return Err(self.syntax("a backslash ends the file", place)),
                    }
                }
                '$' | '`' => parts.push(self.expansion(false)?),
                c => {
                    self.cursor.next();
                    match parts.last_mut() {
                        Some(Part::Bare(text)) => text.push(c),
                        _ => parts.push(Part::Bare(c.to_string())),
                    }
                }
            }
        }
        Ok(parts)
    }

    fn double_quoted(&mut self, parts: &mut Vec<Part>, open: Place) -> Result<(), Refused> {
        let mut text = String::new();
        let before = parts.len();
        loop {
            match self.cursor.peek() {
                None => return Err(self.syntax("a quote is never closed", open)),
                Some('"') => break,
                Some('\\') => {
                    self.cursor.next();
                    match self.cursor.next() {
                        Some('\n') | None => {}
                        Some(c @ ('$' | '`' | '"' | '\\')) => text.push(c),
                        Some(c) => text.extend(['\\', c]),
                    }
                }
                Some('$' | '`') => {
                    parts.push(Part::Quoted(std::mem::take(&mut text)));
                    parts.push(self.expansion(true)?);
                }
                Some(c) => {
                    text.push(c);
                    self.cursor.next();
                }
            }
        }
        self.cursor.next();
        // `"$@"` of no arguments is no word: nothing may stand beside it.
        parts.retain(|part| !matches!(part, Part::Quoted(text) if text.is_empty()));
        let none = parts.len() <= before;
        if none || !text.is_empty() {
            parts.push(Part::Quoted(text));
        }
        Ok(())
    }

    /// What begins with `$` or a backtick.
    fn expansion(&mut self, quoted: bool) -> Result<Part, Refused> {
        let place = self.cursor.place();
        if self.cursor.take("`") {
            let mut escaped = false;
            loop {
                match self.cursor.next() {
                    None => return Err(self.syntax("a backtick is never closed", place)),
                    Some('`') if !escaped => break,
                    Some(c) => escaped = c == '\\' && !escaped,
                }
            }
            return Ok(Part::Foreign { what: "what stands between backticks", place });
        }
        self.cursor.next();
        if self.cursor.take("((") {
            return self.arithmetic(place);
        }
        if self.cursor.take("(") {
            self.deeper(place)?;
            let list = self.list(&[])?;
            self.close(")", "a parenthesis is never closed", place)?;
            self.depth -= 1;
            return Ok(Part::Substitution { list, quoted });
        }
        if self.cursor.take("{") {
            return self.braced(place, quoted);
        }
        match self.cursor.peek() {
            Some('@') => {
                self.cursor.next();
                Ok(Part::Arguments { quoted })
            }
            Some('*') if !quoted => {
                self.cursor.next();
                Ok(Part::Arguments { quoted })
            }
            Some(c) if c.is_ascii_digit() => {
                self.cursor.next();
                Ok(Part::Variable { name: c.to_string(), quoted })
            }
            Some(c) if in_name(c) => {
                Ok(Part::Variable { name: self.cursor.take_while(in_name), quoted })
            }
            Some('*' | '?' | '$' | '!' | '#' | '-') => {
                self.cursor.next();
                Ok(Part::Foreign { what: "a variable of the shell itself", place })
            }
            // As a shell does: a dollar that leads to nothing is a dollar.
            Some(_) | None => Ok(Part::Quoted("$".to_owned())),
        }
    }

    fn braced(&mut self, place: Place, quoted: bool) -> Result<Part, Refused> {
        let name = self.cursor.take_while(in_name);
        let foreign = "this way of expanding a variable";
        if self.cursor.take("}") {
            let digit = name.len() == 1 && name.starts_with(|c: char| c.is_ascii_digit());
            return Ok(if is_name(&name) || digit {
                Part::Variable { name, quoted }
            } else {
                Part::Foreign { what: foreign, place }
            });
        }
        let rules = [(":-", Rule::UnlessFull), ("-", Rule::UnlessSet), (":+", Rule::WhenFull)];
        let rule = rules.into_iter().find(|(mark, _)| self.cursor.take(mark));
        self.deeper(place)?;
        let word = self.parts(|c| c == '}')?;
        self.close("}", "a brace is never closed", place)?;
        self.depth -= 1;
        Ok(match rule {
            Some((_, rule)) if is_name(&name) => Part::Fallback { name, rule, word, quoted },
            Some(_) | None => Part::Foreign { what: foreign, place },
        })
    }

    fn arithmetic(&mut self, place: Place) -> Result<Part, Refused> {
        self.deeper(place)?;
        let (mut parts, mut text, mut open) = (Vec::new(), String::new(), 0_usize);
        loop {
            match self.cursor.peek() {
                None => return Err(self.syntax("a calculation is never closed", place)),
                Some(')') if open == 0 => break,
                Some('$' | '`') => {
                    parts.push(Part::Quoted(std::mem::take(&mut text)));
                    parts.push(self.expansion(true)?);
                    continue;
                }
                Some(c) => {
                    open = match c {
                        '(' => open + 1,
                        ')' => open - 1,
                        _ => open,
                    };
                    text.push(c);
                }
            }
            self.cursor.next();
        }
        self.close("))", "a calculation is never closed", place)?;
        self.depth -= 1;
        parts.push(Part::Quoted(text));
        Ok(Part::Arithmetic { parts, place })
    }

    /// Takes what must come next; `open` is where it became due.
    pub(super) fn close(&mut self, text: &str, what: &str, open: Place) -> Result<(), Refused> {
        if self.cursor.take(text) { Ok(()) } else { Err(self.syntax(what, open)) }
    }

    pub(super) fn syntax(&self, what: &str, place: Place) -> Refused {
        self.refused(Reason::Syntax(what.to_owned()), place)
    }
}
