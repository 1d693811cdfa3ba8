//! What a profile's text is made of, once read: commands, words and where they stand.

use std::rc::Rc;

/// Where something stands in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
}

/// Commands one after the other.
pub(super) type List = Vec<AndOr>;

/// Pipelines joined by `&&` and `||`.
#[derive(Debug)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(Join, Pipeline)>,
}

/// When the next pipeline is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    And,
    Or,
}

/// Commands joined by `|`.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) redirect: Option<Redirect>,
}

/// Where a command's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// To the standard error stream.
    ToErrors,
    /// To or from a file.
    Elsewhere,
}

#[derive(Debug)]
pub(super) enum Kind {
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
    },
    /// Conditions with what they lead to, and what happens when none holds.
    If {
        arms: Vec<(List, List)>,
        otherwise: List,
    },
    Case {
        word: Word,
        arms: Vec<(Vec<Word>, List)>,
    },
    For {
        name: String,
        words: Option<Vec<Word>>,
        body: List,
    },
    /// `while` and `until`: never carried out, so condition and body are one.
    Loop(List),
    Group(List),
    Subshell(List),
    Function {
        name: String,
        body: Rc<Command>,
    },
}

/// A word before expansion.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) place: Place,
    pub(super) parts: Vec<Part>,
}

/// A piece of a word; `quoted` where double quotes keep it in one.
#[derive(Debug)]
pub(super) enum Part {
    /// As written, outside quotes.
    Bare(String),
    /// As written, in quotes.
    Quoted(String),
    /// `$NAME`, `$1`.
    Variable { name: String, quoted: bool },
    /// `${NAME:-word}` and its kin.
    Fallback { name: String, rule: Rule, word: Vec<Part>, quoted: bool },
    /// `$@`, `$*`.
    Arguments { quoted: bool },
    /// `$((…))`.
    Arithmetic { parts: Vec<Part>, place: Place },
    /// `$(…)`.
    Substitution { list: List, quoted: bool },
    /// What only a shell can expand, by its name for people.
    Foreign { what: &'static str, place: Place },
}

/// Which of name and word counts in `${NAME:-word}`, `${NAME-word}`, `${NAME:+word}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The word where the variable is empty or unset.
    UnlessFull,
    /// The word where the variable is unset.
    UnlessSet,
    /// The word where the variable is neither.
    WhenFull,
}

impl Word {
    /// Its text where nothing in it is expanded.
    pub(super) fn literal(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Bare(text) | Part::Quoted(text) => Some(text.as_str()),
                Part::Variable { .. }
                | Part::Fallback { .. }
                | Part::Arguments { .. }
                | Part::Arithmetic { .. }
                | Part::Substitution { .. }
                | Part::Foreign { .. } => None,
            })
            .collect()
    }
}

/// Calls `visit` for every command of a list, those within others included.
pub(super) fn walk(list: &List, visit: &mut impl FnMut(&Command)) {
    for and_or in list {
        let pipelines = [&and_or.first].into_iter().chain(and_or.rest.iter().map(|(_, one)| one));
        for command in pipelines.flat_map(|pipeline| &pipeline.commands) {
            walk_command(command, visit);
        }
    }
}

fn walk_command(command: &Command, visit: &mut impl FnMut(&Command)) {
    visit(command);
    match &command.kind {
        Kind::Simple { .. } => {}
        Kind::If { arms, otherwise } => {
            for (condition, body) in arms {
                walk(condition, visit);
                walk(body, visit);
            }
            walk(otherwise, visit);
        }
        Kind::Case { arms, .. } => arms.iter().for_each(|(_, body)| walk(body, visit)),
        Kind::For { body, .. } | Kind::Loop(body) | Kind::Group(body) | Kind::Subshell(body) => {
            walk(body, visit);
        }
        Kind::Function { body, .. } => walk_command(body, visit),
    }
}
