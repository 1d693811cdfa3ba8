//! The text of a profile, read into commands. All of it is read before any of it counts, so a
//! fault is told even where the environment at hand would not lead to it.

use std::rc::Rc;

use super::refused::{Reason, Refused};
use super::scan::{Cursor, ends_word, in_name, is_name};
use super::syntax::{AndOr, Command, Join, Kind, List, Pipeline, Place, Redirect, Word};

/// What a profile's file may hold; the longest shipped one has 4 KB.
const LONGEST_FILE: usize = 64 * 1024;
/// How deep commands and expansions may stand in each other. The parser nests by recursion, the
/// shipped ones go to seven.
const DEEPEST: usize = 40;

/// Words that are commands' frames where a command may begin.
const FRAMES: [&str; 13] = [
    "if", "then", "elif", "else", "fi", "case", "esac", "for", "do", "done", "while", "until", "}",
];

/// A profile being read.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    file: &'a str,
    pub(super) cursor: Cursor<'a>,
    pub(super) depth: usize,
}

/// Reads a whole file.
///
/// # Errors
/// Where the text is not one, or is not in the language.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<List, Refused> {
    let whole = |reason| Refused { file: file.to_owned(), place: None, reason, unless: Vec::new() };
    if bytes.len() > LONGEST_FILE {
        return Err(whole(Reason::TooLarge("the file is longer than 64 KiB")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + good.iter().rev().take_while(|byte| **byte != b'\n').count();
        let reason = Reason::Syntax("the file is not UTF-8".to_owned());
        Refused { place: Some(Place { line, column }), ..whole(reason) }
    })?;
    let mut parser = Parser { file, cursor: Cursor::new(text), depth: 0 };
    if let Some(at) = text.find('\0') {
        while parser.cursor.rest().len() > text.len() - at {
            parser.cursor.next();
        }
        return Err(parser.syntax("the file holds a zero byte", parser.cursor.place()));
    }
    let list = parser.list(&[])?;
    match parser.cursor.peek() {
        None => Ok(list),
        Some(c) => Err(parser.syntax(&format!("{c:?} is not expected"), parser.cursor.place())),
    }
}

impl Parser<'_> {
    pub(super) fn refused(&self, reason: Reason, place: Place) -> Refused {
        Refused { file: self.file.to_owned(), place: Some(place), reason, unless: Vec::new() }
    }

    pub(super) fn deeper(&mut self, place: Place) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let what = "commands stand in each other more than 40 deep";
            return Err(self.refused(Reason::TooLarge(what), place));
        }
        Ok(())
    }

    /// Commands up to one of these frames, a closing parenthesis, `;;`, or the end.
    pub(super) fn list(&mut self, until: &[&str]) -> Result<List, Refused> {
        let mut list = List::new();
        loop {
            self.skip_separators()?;
            let over = match self.cursor.peek() {
                None | Some(')') => true,
                Some(_) => self.cursor.rest().starts_with(";;"),
            };
            if over {
                return Ok(list);
            }
            if let Some(frame) = self.frame() {
                if until.contains(&frame) {
                    return Ok(list);
                }
                if !["if", "case", "for", "while", "until"].contains(&frame) {
                    let what = format!("`{frame}` is not expected");
                    return Err(self.syntax(&what, self.cursor.place()));
                }
            }
            list.push(self.and_or()?);
            self.cursor.skip_blanks();
            match self.cursor.peek() {
                None | Some('\n' | ';' | ')') => {}
                Some('&') => {
                    let what = "a command in the background is not part of a profile";
                    return Err(self.syntax(what, self.cursor.place()));
                }
                Some(c) => {
                    return Err(self.syntax(&format!("{c:?} is not expected"), self.cursor.place()));
                }
            }
        }
    }

    /// Passes line ends and single semicolons.
    fn skip_separators(&mut self) -> Result<(), Refused> {
        loop {
            self.cursor.skip_blanks();
            let rest = self.cursor.rest();
            let semicolon = rest.starts_with(';') && !rest.starts_with(";;");
            if !semicolon && !rest.starts_with('\n') {
                return Ok(());
            }
            self.cursor.next();
        }
    }

    fn skip_lines(&mut self) {
        self.cursor.skip_blanks();
        while self.cursor.take("\n") {
            self.cursor.skip_blanks();
        }
    }

    /// The frame that comes next, not taken.
    fn frame(&self) -> Option<&'static str> {
        let rest = self.cursor.rest();
        FRAMES.into_iter().find(|frame| {
            rest.strip_prefix(frame)
                .is_some_and(|after| after.is_empty() || after.starts_with(ends_word))
        })
    }

    fn expect(&mut self, frame: &str, open: Place) -> Result<(), Refused> {
        self.skip_separators()?;
        if self.frame() == Some(frame) {
            self.cursor.take(frame);
            return Ok(());
        }
        Err(self.syntax(&format!("what begins here has no `{frame}`"), open))
    }

    fn and_or(&mut self) -> Result<AndOr, Refused> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.cursor.skip_blanks();
            let join = if self.cursor.take("&&") {
                Join::And
            } else if self.cursor.take("||") {
                Join::Or
            } else {
                return Ok(AndOr { first, rest });
            };
            self.skip_lines();
            rest.push((join, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, Refused> {
        self.cursor.skip_blanks();
        let negated = self.cursor.take("! ");
        let mut commands = vec![self.command()?];
        loop {
            self.cursor.skip_blanks();
            let rest = self.cursor.rest();
            if !rest.starts_with('|') || rest.starts_with("||") {
                return Ok(Pipeline { negated, commands });
            }
            self.cursor.next();
            self.skip_lines();
            commands.push(self.command()?);
        }
    }

    fn command(&mut self) -> Result<Command, Refused> {
        self.cursor.skip_blanks();
        let place = self.cursor.place();
        self.deeper(place)?;
        let kind = match self.frame() {
            Some("if") => self.conditional(place)?,
            Some("case") => self.case(place)?,
            Some("for") => self.each(place)?,
            Some(frame @ ("while" | "until")) => {
                self.cursor.take(frame);
                let mut list = self.list(&["do"])?;
                list.extend(self.body(place)?);
                Kind::Loop(list)
            }
            Some(frame) => return Err(self.syntax(&format!("`{frame}` is not expected"), place)),
            None if self.cursor.take("(") => {
                let list = self.list(&[])?;
                self.close(")", "a parenthesis is never closed", place)?;
                Kind::Subshell(list)
            }
            None if self.cursor.rest().starts_with("{ ")
                || self.cursor.rest().starts_with("{\n") =>
            {
                self.cursor.take("{");
                let list = self.list(&["}"])?;
                self.expect("}", place)?;
                Kind::Group(list)
            }
            None => match self.function()? {
                Some(function) => function,
                None => return self.simple(place),
            },
        };
        let mut redirect = None;
        while let Some(to) = self.redirect()? {
            redirect = Some(to);
        }
        self.depth -= 1;
        Ok(Command { place, kind, redirect })
    }

    fn conditional(&mut self, place: Place) -> Result<Kind, Refused> {
        let (mut arms, mut otherwise) = (Vec::new(), List::new());
        self.cursor.take("if");
        loop {
            let condition = self.list(&["then"])?;
            self.expect("then", place)?;
            arms.push((condition, self.list(&["elif", "else", "fi"])?));
            if self.frame() == Some("elif") {
                self.cursor.take("elif");
                continue;
            }
            if self.frame() == Some("else") {
                self.cursor.take("else");
                otherwise = self.list(&["fi"])?;
            }
            self.expect("fi", place)?;
            return Ok(Kind::If { arms, otherwise });
        }
    }

    fn case(&mut self, place: Place) -> Result<Kind, Refused> {
        self.cursor.take("case");
        let unfinished = "what begins here is no whole `case`";
        let word = self.word()?.ok_or_else(|| self.syntax(unfinished, place))?;
        self.skip_lines();
        self.close("in", unfinished, place)?;
        let mut arms = Vec::new();
        loop {
            self.skip_lines();
            if self.frame() == Some("esac") {
                self.cursor.take("esac");
                return Ok(Kind::Case { word, arms });
            }
            self.cursor.take("(");
            let mut patterns = Vec::new();
            loop {
                patterns.push(self.word()?.ok_or_else(|| self.syntax(unfinished, place))?);
                self.cursor.skip_blanks();
                if !self.cursor.take("|") {
                    break;
                }
            }
            self.close(")", unfinished, place)?;
            arms.push((patterns, self.list(&["esac"])?));
            self.cursor.take(";;");
        }
    }

    fn each(&mut self, place: Place) -> Result<Kind, Refused> {
        self.cursor.take("for");
        self.cursor.skip_blanks();
        let name = self.cursor.take_while(in_name);
        if !is_name(&name) {
            return Err(self.syntax("what begins here is no whole `for`", place));
        }
        self.skip_lines();
        let mut words = None;
        if self.cursor.rest().starts_with("in ") || self.cursor.rest().starts_with("in\n") {
            self.cursor.take("in");
            let mut list = Vec::new();
            while let Some(word) = self.word()? {
                list.push(word);
            }
            words = Some(list);
        }
        Ok(Kind::For { name, words, body: self.body(place)? })
    }

    /// `do … done`.
    fn body(&mut self, place: Place) -> Result<List, Refused> {
        self.expect("do", place)?;
        let body = self.list(&["done"])?;
        self.expect("done", place)?;
        Ok(body)
    }

    /// `NAME() …`, or none where something else comes.
    fn function(&mut self) -> Result<Option<Kind>, Refused> {
        let mut ahead = self.cursor.clone();
        let name = ahead.take_while(in_name);
        ahead.take_while(|c| c == ' ');
        if !is_name(&name) || !ahead.take("(") {
            return Ok(None);
        }
        ahead.take_while(|c| c == ' ');
        if !ahead.take(")") {
            return Err(self.syntax("'(' is not expected", ahead.place()));
        }
        self.cursor = ahead;
        self.skip_lines();
        Ok(Some(Kind::Function { name, body: Rc::new(self.command()?) }))
    }

    fn simple(&mut self, place: Place) -> Result<Command, Refused> {
        let (mut assignments, mut words, mut redirect) = (Vec::new(), Vec::<Word>::new(), None);
        loop {
            self.cursor.skip_blanks();
            if let Some(to) = self.redirect()? {
                redirect = Some(to);
                continue;
            }
            if words.is_empty()
                && let Some(name) = self.assigned()
            {
                let place = self.cursor.place();
                // `NAME=` is an assignment of nothing.
                let parts = self.parts(ends_word)?;
                assignments.push((name, Word { place, parts }));
                continue;
            }
            match self.word()? {
                Some(word) => words.push(word),
                None => break,
            }
        }
        self.depth -= 1;
        if assignments.is_empty() && words.is_empty() && redirect.is_none() {
            return Err(self.syntax("a command is missing", self.cursor.place()));
        }
        Ok(Command { place, kind: Kind::Simple { assignments, words }, redirect })
    }

    /// Takes `NAME=` where it comes next.
    fn assigned(&mut self) -> Option<String> {
        let mut ahead = self.cursor.clone();
        let name = ahead.take_while(in_name);
        (is_name(&name) && ahead.take("=")).then(|| {
            self.cursor = ahead;
            name
        })
    }

    fn redirect(&mut self) -> Result<Option<Redirect>, Refused> {
        let mut ahead = self.cursor.clone();
        ahead.skip_blanks();
        let place = ahead.place();
        let from = ahead.take_while(|c| c.is_ascii_digit());
        if !matches!(ahead.peek(), Some('<' | '>')) {
            return Ok(None);
        }
        let operator = ahead.take_while(|c| matches!(c, '<' | '>' | '&' | '|'));
        self.cursor = ahead;
        if operator.starts_with("<<") {
            return Err(self.syntax("a text inside the commands is not part of a profile", place));
        }
        let Some(target) = self.word()? else {
            return Err(self.syntax("a redirection leads nowhere", place));
        };
        let errors =
            operator == ">&" && from.is_empty() && target.literal().as_deref() == Some("2");
        Ok(Some(if errors { Redirect::ToErrors } else { Redirect::Elsewhere }))
    }
}
