//! Words, expanded: variables, calculations, what commands print.

use super::arithmetic::calculate;
use super::refused::{Reason, Refused};
use super::run::{Run, Value};
use super::syntax::{List, Part, Place, Rule, Word};

/// What profiles may expand to in all; a page of settings is a thousandth of it.
const LONGEST: usize = 1 << 20;

/// Fields under way: words that grow together until a blank parts them.
#[derive(Default)]
struct Fields {
    done: Vec<String>,
    open: Option<String>,
}

impl Fields {
    fn push(&mut self, text: &str) {
        self.open.get_or_insert_default().push_str(text);
    }

    fn part(&mut self) {
        self.done.extend(self.open.take());
    }

    /// As the shell splits what an unquoted expansion gives.
    fn split(&mut self, text: &str) {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n');
        for (at, piece) in text.split(blank).enumerate() {
            if at > 0 {
                self.part();
            }
            if !piece.is_empty() {
                self.push(piece);
            }
        }
    }
}

impl Run<'_> {
    /// The words of a command.
    pub(super) fn fields(&mut self, words: &[Word]) -> Result<Vec<String>, Refused> {
        let mut all = Vec::new();
        for word in words {
            let mut fields = Fields::default();
            for (at, part) in word.parts.iter().enumerate() {
                self.field(part, at == 0, word.place, &mut fields)?;
            }
            fields.part();
            all.append(&mut fields.done);
        }
        Ok(all)
    }

    fn field(
        &mut self,
        part: &Part,
        first: bool,
        place: Place,
        fields: &mut Fields,
    ) -> Result<(), Refused> {
        match part {
            Part::Bare(text) => {
                if first && text.starts_with('~') {
                    return Err(self.needs_shell("a home directory", place));
                }
                self.no_pattern(text, place)?;
                if text.contains('{') && text.contains(',') {
                    return Err(self.needs_shell("a choice in braces", place));
                }
                fields.push(text);
            }
            Part::Arguments { quoted: true } => {
                for (at, argument) in self.arguments.clone().iter().enumerate() {
                    if at > 0 {
                        fields.part();
                    }
                    fields.push(argument);
                }
            }
            Part::Variable { quoted: false, .. }
            | Part::Fallback { quoted: false, .. }
            | Part::Arguments { quoted: false }
            | Part::Substitution { quoted: false, .. } => {
                let text = self.part(part, place)?;
                self.no_pattern(&text, place)?;
                fields.split(&text);
            }
            Part::Quoted(_)
            | Part::Variable { .. }
            | Part::Fallback { .. }
            | Part::Arithmetic { .. }
            | Part::Substitution { .. }
            | Part::Foreign { .. } => {
                let text = self.part(part, place)?;
                fields.push(&text);
            }
        }
        Ok(())
    }

    /// What a shell would replace by the names of files.
    fn no_pattern(&self, text: &str, place: Place) -> Result<(), Refused> {
        let set = text.find('[').is_some_and(|at| text[at..].contains(']'));
        if set || text.contains(['*', '?']) {
            return Err(self.needs_shell("a pattern over the names of files", place));
        }
        Ok(())
    }

    /// A word that stays one, as on the right of an assignment.
    pub(super) fn text(&mut self, word: &Word) -> Result<String, Refused> {
        if let Some(Part::Bare(text)) = word.parts.first()
            && text.starts_with('~')
        {
            return Err(self.needs_shell("a home directory", word.place));
        }
        self.parts(&word.parts, word.place)
    }

    fn parts(&mut self, parts: &[Part], place: Place) -> Result<String, Refused> {
        let mut text = String::new();
        for part in parts {
            text += &self.part(part, place)?;
        }
        Ok(text)
    }

    fn part(&mut self, part: &Part, place: Place) -> Result<String, Refused> {
        let text = match part {
            Part::Bare(text) | Part::Quoted(text) => text.clone(),
            Part::Variable { name, .. } => self.value(name, place)?.unwrap_or_default(),
            Part::Arguments { .. } => self.arguments.join(" "),
            Part::Fallback { name, rule, word, .. } => {
                let value = self.value(name, place)?;
                let full = value.as_ref().is_some_and(|value| !value.is_empty());
                let own = match rule {
                    Rule::UnlessFull => full,
                    Rule::UnlessSet => value.is_some(),
                    Rule::WhenFull => !full,
                };
                if own {
                    value.unwrap_or_default()
                } else {
                    let hint = self.is_open(name).then(|| name.clone());
                    self.parts(word, place).map_err(|refused| refused.unless_set(hint))?
                }
            }
            Part::Arithmetic { parts, place } => self.calculation(parts, *place)?,
            Part::Substitution { list, .. } => self.printed(list)?,
            Part::Foreign { what, place } => return Err(self.needs_shell(what, *place)),
        };
        self.weigh(text.len(), place)?;
        Ok(text)
    }

    /// Counts what is expanded, so that no text grows without end.
    fn weigh(&mut self, bytes: usize, place: Place) -> Result<(), Refused> {
        self.expanded = self.expanded.saturating_add(bytes);
        if self.expanded > LONGEST {
            return Err(self.refused(Reason::TooLarge("it expands to more than 1 MiB"), place));
        }
        Ok(())
    }

    fn calculation(&mut self, parts: &[Part], place: Place) -> Result<String, Refused> {
        let text = self.parts(parts, place)?;
        // An unknown value in a calculation is told by the part that expands it, or is no number.
        let value = |name: &str| match self.variables.get(name).map(|slot| &slot.value) {
            Some(Value::Known(value)) => value.clone(),
            Some(Value::Unknown) => "unknown".to_owned(),
            None => String::new(),
        };
        match calculate(&text, &value) {
            Ok(number) => Ok(number.to_string()),
            Err(why) => {
                let why = format!("{}: {why}", text.trim());
                Err(self.refused(Reason::Arithmetic(why), place))
            }
        }
    }

    /// What commands print, which are carried out aside.
    fn printed(&mut self, list: &List) -> Result<String, Refused> {
        let outer = self.printed.replace(String::new());
        let ended = self.aside(list);
        let printed = std::mem::replace(&mut self.printed, outer).unwrap_or_default();
        ended?;
        Ok(printed.trim_end_matches('\n').to_owned())
    }

    /// Carries out commands in a shell of their own: what they set is gone afterwards.
    pub(super) fn aside(&mut self, list: &List) -> Result<bool, Refused> {
        let (variables, functions) = (self.variables.clone(), self.functions.clone());
        let marked = self.marked.clone();
        self.weigh(variables.values().map(|slot| slot.weight()).sum(), Place::default())?;
        let arguments = self.arguments.clone();
        let ended = self.list(list);
        (self.variables, self.functions, self.arguments) = (variables, functions, arguments);
        self.marked = marked;
        ended
    }

    /// The value of a variable or argument; none where it is unset.
    fn value(&mut self, name: &str, place: Place) -> Result<Option<String>, Refused> {
        if let Ok(number) = name.parse::<usize>() {
            let at = number.checked_sub(1);
            return Ok(at.and_then(|at| self.arguments.get(at)).cloned());
        }
        let value = match self.variables.get(name).map(|slot| slot.value.clone()) {
            Some(Value::Unknown) => {
                return Err(self.needs_shell(&format!("the value of {name}"), place));
            }
            Some(Value::Known(value)) => Some(value),
            None => None,
        };
        if self.is_open(name) {
            // What a profile goes by is part of what it comes to.
            self.wanted.insert(name.to_owned());
            if value.as_ref().is_none_or(String::is_empty) {
                self.empty.push(name.to_owned());
            }
        }
        Ok(value)
    }

    /// Whether the environment could give the variable a value that would count here.
    fn is_open(&self, name: &str) -> bool {
        self.variables.get(name).is_none_or(|slot| slot.origin.is_none() && slot.exported)
    }
}

impl Refused {
    /// The same, and how it could have been avoided, where that is not known yet.
    pub(super) fn unless_set(mut self, names: impl IntoIterator<Item = String>) -> Self {
        if self.unless.is_empty() && matches!(self.reason, Reason::NeedsShell(_) | Reason::Fails(_))
        {
            self.unless.extend(names);
            self.unless.sort();
            self.unless.dedup();
        }
        self
    }
}
