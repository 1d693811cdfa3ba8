//! The commands a profile may use: the launcher's own, and those of a shell that touch variables
//! only.

use std::collections::BTreeMap;

use super::Precedence;
use super::refused::{Reason, Refused};
use super::run::{Run, Slot, Value};
use super::scan::is_name;
use super::syntax::{Command, Kind, Place, Word};

/// What the launcher or the shell means by these is not for a profile to change.
const OWN: [&str; 19] = [
    "onload_set",
    "onload_import",
    "echo",
    "log",
    "vlog",
    "err",
    "fail",
    "exit",
    "export",
    "unset",
    "local",
    "set",
    "shift",
    ":",
    "true",
    "false",
    "test",
    "[",
    "eval",
];

/// Whether the command has a meaning of its own.
pub(super) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

/// Whether carrying out the command could change what the program will have, or is not known to
/// leave it alone.
pub(super) fn sets<T>(command: &Command, functions: &BTreeMap<String, T>) -> bool {
    /// What prints, tests or ends, and what shells have that changes variables unseen.
    const IDLE: [&str; 9] = ["echo", "log", "vlog", "err", "fail", "exit", ":", "test", "["];
    const UNSEEN: [&str; 8] = ["eval", ".", "source", "read", "exec", "readonly", "alias", "trap"];
    match &command.kind {
        Kind::Simple { words, .. } => {
            let Some(verb) = words.first() else { return false };
            let Some(verb) = verb.literal() else { return true };
            let verb = verb.as_str();
            let own = is_own(verb) && !IDLE.contains(&verb) && !["true", "false"].contains(&verb);
            own || UNSEEN.contains(&verb) || functions.contains_key(verb)
        }
        Kind::Function { .. } => true,
        Kind::If { .. }
        | Kind::Case { .. }
        | Kind::For { .. }
        | Kind::Loop(_)
        | Kind::Group(_)
        | Kind::Subshell(_) => false,
    }
}

impl Run<'_> {
    /// A command that is no function of the profile's.
    pub(super) fn own(
        &mut self,
        verb: &str,
        words: &[String],
        place: Place,
    ) -> Result<bool, Refused> {
        match verb {
            "onload_set" => self.onload_set(words, place)?,
            "onload_import" => {
                let Some((name, arguments)) = words.split_first() else {
                    let what = "onload_import names no profile".to_owned();
                    return Err(self.refused(Reason::Syntax(what), place));
                };
                self.import(name, arguments.to_vec(), Some(place))?;
            }
            "echo" => {
                if let Some(printed) = &mut self.printed {
                    *printed += &words.join(" ");
                    printed.push('\n');
                }
            }
            "log" | "vlog" | "err" | ":" | "true" => {}
            "false" => return Ok(false),
            "fail" => {
                let message = words.join(" ");
                let message = message.strip_prefix("ERROR: ").unwrap_or(&message).to_owned();
                return Err(self.refused(Reason::Fails(message), place));
            }
            "exit" => {
                let message = "it ends the launch here".to_owned();
                return Err(self.refused(Reason::Fails(message), place));
            }
            "export" => self.export(words, place)?,
            "unset" => {
                for name in words {
                    self.name(name, place)?;
                    self.variables.remove(name);
                    self.marked.remove(name);
                }
            }
            "local" => self.local(words, place)?,
            // Options of the shell change how it fails, which a profile here does not.
            "set"
                if words.iter().all(|word| word.starts_with(['-', '+']) || word == "pipefail") => {}
            "shift" if words.is_empty() => {
                drop(self.arguments.drain(..1.min(self.arguments.len())))
            }
            "test" => return self.test(words, place),
            "[" => match words.split_last() {
                Some((last, words)) if last == "]" => return self.test(words, place),
                Some(_) | None => {
                    let what = "what begins with `[` has no `]`".to_owned();
                    return Err(self.refused(Reason::Syntax(what), place));
                }
            },
            other => return Err(self.needs_shell(&format!("the command `{other}`"), place)),
        }
        Ok(true)
    }

    /// A setting by the launcher's rule: what is not empty stays, unless profiles are forced.
    fn onload_set(&mut self, words: &[String], place: Place) -> Result<(), Refused> {
        let first = words.first().map_or("", String::as_str);
        let (name, value) = match words.get(1).filter(|value| !value.is_empty()) {
            Some(value) => (first, value.clone()),
            // The launcher cuts at `=` here, and what has none is both the name and the value.
            None => {
                let mut cut = first.split('=');
                let name = cut.next().unwrap_or_default();
                match cut.next() {
                    Some(value) => {
                        if cut.next().is_some() {
                            let note = format!(
                                "{name}: the launcher cuts the value at its second `=`; write `onload_set {name} VALUE`"
                            );
                            self.note(place, note);
                        }
                        (name, value.to_owned())
                    }
                    None => {
                        let note = format!(
                            "{name}: a setting without a value sets the variable to its own name, as the launcher does"
                        );
                        self.note(place, note);
                        (name, name.to_owned())
                    }
                }
            }
        };
        self.name(name, place)?;
        self.wanted.insert(name.to_owned());
        let empty = match self.variables.get(name).map(|slot| &slot.value) {
            None => true,
            Some(Value::Known(value)) => value.is_empty(),
            Some(Value::Unknown) => {
                return Err(self.needs_shell(&format!("the value of {name}"), place));
            }
        };
        if empty || self.precedence == Precedence::Profiles {
            let origin = Some(self.origin(place));
            let slot = Slot { value: Value::Known(value), exported: true, origin };
            self.variables.insert(name.to_owned(), slot);
        }
        Ok(())
    }

    fn export(&mut self, words: &[String], place: Place) -> Result<(), Refused> {
        for word in words {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            self.name(name, place)?;
            if let Some(value) = value {
                self.assign(name, value.to_owned(), place);
            }
            match self.variables.get_mut(name) {
                Some(slot) => slot.exported = true,
                None => drop(self.marked.insert(name.to_owned())),
            }
        }
        Ok(())
    }

    fn local(&mut self, words: &[String], place: Place) -> Result<(), Refused> {
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            self.name(name, place)?;
            let former = self.variables.get(name).cloned();
            let Some(hidden) = self.hidden.last_mut() else {
                return Err(self.needs_shell("`local` outside a function", place));
            };
            hidden.entry(name.to_owned()).or_insert(former);
            self.variables.remove(name);
            self.assign(name, value.to_owned(), place);
        }
        Ok(())
    }

    fn name(&self, name: &str, place: Place) -> Result<(), Refused> {
        if is_name(name) {
            return Ok(());
        }
        let what = format!("{name:?} is no name of a variable");
        Err(self.refused(Reason::Syntax(what), place))
    }

    /// Whether a text is of a pattern of `case`.
    pub(super) fn fits(&mut self, text: &str, pattern: &Word) -> Result<bool, Refused> {
        use super::syntax::Part;
        let bare = pattern
            .parts
            .iter()
            .any(|part| matches!(part, Part::Bare(text) if text.contains(['*', '?', '['])));
        let wanted = self.text(pattern)?;
        if !bare {
            return Ok(text == wanted);
        }
        match &pattern.parts[..] {
            [Part::Bare(star)] if star == "*" => Ok(true),
            _ => Err(self.needs_shell("this pattern", pattern.place)),
        }
    }
}
