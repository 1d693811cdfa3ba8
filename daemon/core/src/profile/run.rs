//! Commands, carried out: what they do to variables, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::commands::sets;
use super::grammar::parse;
use super::refused::{Reason, Refused};
use super::syntax::{AndOr, Command, Join, Kind, List, Pipeline, Place, Redirect, Word, walk};
use super::{Files, Note, Outcome, Precedence, Request, Variable, candidates};
use crate::config::Origin;

/// Commands carried out in all; the longest shipped profile has some sixty.
const MOST_STEPS: usize = 10_000;
/// How deep profiles may import each other; the shipped ones go to three.
const DEEPEST_IMPORT: usize = 16;
/// Files read in all.
const MOST_READS: usize = 64;
/// How deep functions may call each other.
const DEEPEST_CALL: usize = 16;

/// What is known of a variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Known(String),
    /// Something that was passed over assigns it.
    Unknown,
}

/// A variable.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) value: Value,
    /// Whether the program will have it.
    pub(super) exported: bool,
    /// Where it was assigned; none for the environment's.
    pub(super) origin: Option<Origin>,
}

impl Slot {
    pub(super) fn weight(&self) -> usize {
        match &self.value {
            Value::Known(value) => value.len(),
            Value::Unknown => 0,
        }
    }
}

/// A function of a profile's own, and the file it stands in.
type Function = (Rc<str>, Rc<Command>);

/// Profiles under way.
pub(super) struct Run<'a> {
    files: &'a Files<'a>,
    directories: &'a [String],
    pub(super) precedence: Precedence,
    pub(super) variables: BTreeMap<String, Slot>,
    /// Variables that a profile wanted to set, or went by.
    pub(super) wanted: BTreeSet<String>,
    /// Variables that are exported as soon as they have a value.
    pub(super) marked: BTreeSet<String>,
    pub(super) functions: BTreeMap<String, Function>,
    /// What calls of functions hide, the innermost last.
    pub(super) hidden: Vec<BTreeMap<String, Option<Slot>>>,
    pub(super) arguments: Vec<String>,
    /// The file under way.
    pub(super) file: Rc<str>,
    /// What is being imported, the outermost first.
    stack: Vec<String>,
    reads: Vec<String>,
    notes: Vec<Note>,
    steps: usize,
    pub(super) expanded: usize,
    /// What is printed, where somebody wants it.
    pub(super) printed: Option<String>,
    /// Variables that were found empty and that the environment could have filled.
    pub(super) empty: Vec<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(request: &'a Request, files: &'a Files<'a>) -> Self {
        let slot = |value: &String| Slot {
            value: Value::Known(value.clone()),
            exported: true,
            origin: None,
        };
        let environment = request.environment.iter();
        Self {
            files,
            directories: &request.directories,
            precedence: request.precedence,
            variables: environment.map(|(name, value)| (name.clone(), slot(value))).collect(),
            wanted: BTreeSet::new(),
            marked: BTreeSet::new(),
            functions: BTreeMap::new(),
            hidden: Vec::new(),
            arguments: request.arguments.clone(),
            file: "".into(),
            stack: Vec::new(),
            reads: Vec::new(),
            notes: Vec::new(),
            steps: 0,
            expanded: 0,
            printed: None,
            empty: Vec::new(),
        }
    }

    /// Carries out profiles from left to right.
    pub(super) fn profiles(mut self, request: &Request) -> Result<Outcome, Refused> {
        for name in &request.profiles {
            self.file = name.as_str().into();
            let arguments = self.arguments.clone();
            self.import(name, arguments, None)?;
        }
        let stays = |name: &&String| self.variables.get(*name).is_some_and(|slot| slot.exported);
        let removed = request.environment.keys().filter(|name| !stays(name)).cloned().collect();
        let mut variables = BTreeMap::new();
        for (name, slot) in self.variables {
            if !slot.exported || (slot.origin.is_none() && !self.wanted.contains(&name)) {
                continue;
            }
            match slot.value {
                Value::Known(value) => {
                    variables.insert(name, Variable { value, origin: slot.origin });
                }
                Value::Unknown => {
                    let (file, line) = slot.origin.map_or((String::new(), 1), |o| (o.file, o.line));
                    return Err(Refused {
                        file,
                        place: Some(Place { line, column: 1 }),
                        reason: Reason::NeedsShell(format!("the value of {name}")),
                        unless: Vec::new(),
                    });
                }
            }
        }
        Ok(Outcome { variables, removed, reads: self.reads, notes: self.notes })
    }

    /// Sources a profile. `at` is where another one asks for it.
    pub(super) fn import(
        &mut self,
        name: &str,
        arguments: Vec<String>,
        at: Option<Place>,
    ) -> Result<(), Refused> {
        let refused = |run: &Self, reason| Refused {
            file: run.file.to_string(),
            place: at,
            reason,
            unless: Vec::new(),
        };
        let looked = candidates(name, self.directories, at.is_some());
        let mut found = None;
        for path in &looked {
            match (self.files)(path) {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    found = Some((path.clone(), bytes));
                    break;
                }
                Err(why) => {
                    return Err(refused(self, Reason::Unreadable(format!("{path}: {why}"))));
                }
            }
        }
        let Some((path, bytes)) = found else {
            return Err(refused(self, Reason::NotFound { name: name.to_owned(), looked }));
        };
        if self.stack.contains(&path) {
            return Err(refused(self, Reason::Cycle(name.to_owned())));
        }
        if self.stack.len() >= DEEPEST_IMPORT || self.reads.len() >= MOST_READS {
            let what = "profiles import more than 64 files, or more than 16 deep";
            return Err(refused(self, Reason::TooLarge(what)));
        }
        let script = parse(&path, &bytes)?;
        if !self.reads.contains(&path) {
            self.reads.push(path.clone());
        }
        let outer = (
            std::mem::replace(&mut self.file, path.as_str().into()),
            std::mem::replace(&mut self.arguments, arguments),
        );
        self.stack.push(path);
        self.list(&script)?;
        self.stack.pop();
        (self.file, self.arguments) = outer;
        Ok(())
    }

    pub(super) fn refused(&self, reason: Reason, place: Place) -> Refused {
        Refused { file: self.file.to_string(), place: Some(place), reason, unless: Vec::new() }
    }

    pub(super) fn needs_shell(&self, what: &str, place: Place) -> Refused {
        self.refused(Reason::NeedsShell(what.to_owned()), place)
    }

    pub(super) fn origin(&self, place: Place) -> Origin {
        Origin { file: self.file.to_string(), line: place.line }
    }

    pub(super) fn note(&mut self, place: Place, text: impl Into<String>) {
        let note = Note { origin: self.origin(place), text: text.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Carries out commands; whether the last one holds.
    pub(super) fn list(&mut self, list: &List) -> Result<bool, Refused> {
        let mut holds = true;
        for and_or in list {
            holds = self.and_or(and_or)?;
        }
        Ok(holds)
    }

    fn and_or(&mut self, and_or: &AndOr) -> Result<bool, Refused> {
        let outer = self.empty.len();
        let mut holds = self.pipeline(&and_or.first)?;
        for (join, pipeline) in &and_or.rest {
            if holds == (*join == Join::And) {
                let hints = self.empty.get(outer..).unwrap_or_default().to_vec();
                holds = self.pipeline(pipeline).map_err(|refused| refused.unless_set(hints))?;
            }
        }
        Ok(holds)
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<bool, Refused> {
        match &pipeline.commands[..] {
            [command] => Ok(self.command(command)? != pipeline.negated),
            [first, ..] => Err(self.needs_shell("a pipe", first.place)),
            [] => Ok(true),
        }
    }

    fn command(&mut self, command: &Command) -> Result<bool, Refused> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            let what = "it takes more than 10000 commands";
            return Err(self.refused(Reason::TooLarge(what), command.place));
        }
        match command.redirect {
            None => self.carry_out(command),
            Some(Redirect::Elsewhere) => Err(self.needs_shell("a redirection", command.place)),
            Some(Redirect::ToErrors) => {
                let outer = self.printed.take();
                let ended = self.carry_out(command);
                self.printed = outer;
                ended
            }
        }
    }

    fn carry_out(&mut self, command: &Command) -> Result<bool, Refused> {
        let place = command.place;
        match &command.kind {
            Kind::Simple { assignments, words } => self.simple(assignments, words, place),
            Kind::If { arms, otherwise } => self.conditional(arms, otherwise, place),
            Kind::Case { word, arms } => {
                let text = self.text(word)?;
                for (patterns, body) in arms {
                    for pattern in patterns {
                        if self.fits(&text, pattern)? {
                            return self.list(body);
                        }
                    }
                }
                Ok(true)
            }
            Kind::For { name, words, body } => {
                let values = match words {
                    Some(words) => self.fields(words)?,
                    None => self.arguments.clone(),
                };
                let mut holds = true;
                for value in values {
                    self.assign(name, value, place);
                    holds = self.list(body)?;
                }
                Ok(holds)
            }
            Kind::Loop(_) => Err(self.needs_shell("a loop", place)),
            Kind::Group(list) => self.list(list),
            Kind::Subshell(list) => self.aside(list),
            Kind::Function { name, body } => {
                if super::commands::is_own(name) {
                    let what = format!("another meaning for {name}");
                    return Err(self.needs_shell(&what, place));
                }
                self.functions.insert(name.clone(), (Rc::clone(&self.file), Rc::clone(body)));
                Ok(true)
            }
        }
    }

    fn conditional(
        &mut self,
        arms: &[(List, List)],
        otherwise: &List,
        place: Place,
    ) -> Result<bool, Refused> {
        let outer = self.empty.len();
        let mut chosen = otherwise;
        for (condition, body) in arms {
            match self.list(condition) {
                Ok(false) => {}
                Ok(true) => {
                    chosen = body;
                    break;
                }
                Err(refused) if matches!(refused.reason, Reason::NeedsShell(_)) => {
                    return match self.pass_over(arms, otherwise) {
                        true => {
                            let why = "passed over: what it depends on is not known before the program runs, and it sets nothing";
                            self.note(place, why);
                            Ok(true)
                        }
                        false => Err(refused),
                    };
                }
                Err(refused) => return Err(refused),
            }
        }
        let hints = self.empty.split_off(outer);
        self.list(chosen).map_err(|refused| refused.unless_set(hints))
    }

    /// Whether none of the ways sets anything; then what they assign is not known from here on.
    fn pass_over(&mut self, arms: &[(List, List)], otherwise: &List) -> bool {
        let lists = arms.iter().flat_map(|(condition, body)| [condition, body]);
        let lists: Vec<_> = lists.chain([otherwise]).collect();
        let (mut assigned, mut idle) = (BTreeSet::new(), true);
        for list in lists {
            walk(list, &mut |command| {
                idle &= !sets(command, &self.functions);
                match &command.kind {
                    Kind::Simple { assignments, .. } => {
                        assigned.extend(assignments.iter().map(|(name, _)| name.clone()));
                    }
                    Kind::For { name, .. } => drop(assigned.insert(name.clone())),
                    Kind::If { .. }
                    | Kind::Case { .. }
                    | Kind::Loop(_)
                    | Kind::Group(_)
                    | Kind::Subshell(_)
                    | Kind::Function { .. } => {}
                }
            });
        }
        if idle {
            for name in assigned {
                let exported = self.variables.get(&name).is_some_and(|slot| slot.exported);
                let origin = self.variables.get(&name).and_then(|slot| slot.origin.clone());
                self.variables.insert(name, Slot { value: Value::Unknown, exported, origin });
            }
        }
        idle
    }

    pub(super) fn assign(&mut self, name: &str, value: String, place: Place) {
        let exported = self.variables.get(name).is_some_and(|slot| slot.exported);
        let exported = exported || self.marked.contains(name);
        let slot = Slot { value: Value::Known(value), exported, origin: Some(self.origin(place)) };
        self.variables.insert(name.to_owned(), slot);
    }

    fn simple(
        &mut self,
        assignments: &[(String, Word)],
        words: &[Word],
        place: Place,
    ) -> Result<bool, Refused> {
        if !assignments.is_empty() && !words.is_empty() {
            return Err(self.needs_shell("a variable for one command alone", place));
        }
        for (name, word) in assignments {
            let value = self.text(word)?;
            self.assign(name, value, place);
        }
        let fields = self.fields(words)?;
        let Some((verb, words)) = fields.split_first() else { return Ok(true) };
        if let Some((file, body)) = self.functions.get(verb).cloned() {
            return self.call(&file, &body, words, place);
        }
        self.own(verb, words, place)
    }

    fn call(
        &mut self,
        file: &Rc<str>,
        body: &Command,
        words: &[String],
        place: Place,
    ) -> Result<bool, Refused> {
        if self.hidden.len() >= DEEPEST_CALL {
            let what = "functions call each other more than 16 deep";
            return Err(self.refused(Reason::TooLarge(what), place));
        }
        let file = std::mem::replace(&mut self.file, Rc::clone(file));
        let arguments = std::mem::replace(&mut self.arguments, words.to_vec());
        self.hidden.push(BTreeMap::new());
        let ended = self.command(body);
        for (name, slot) in self.hidden.pop().unwrap_or_default() {
            match slot {
                Some(slot) => drop(self.variables.insert(name, slot)),
                None => drop(self.variables.remove(&name)),
            }
        }
        (self.file, self.arguments) = (file, arguments);
        ended
    }
}
