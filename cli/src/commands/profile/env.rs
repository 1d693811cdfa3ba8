//! `profile env`: what profiles come to, as lines a shell takes.

use std::collections::BTreeSet;

use onload_core::profile::Outcome;
use serde::Serialize;

use super::Given;
use super::{Note, notes, outcome, tell};
use crate::ended::Ended;
use crate::render::Output;
use crate::render::paint::plain;

/// What profiles come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Environment {
    profiles: Vec<String>,
    variables: Vec<Variable>,
    /// Of the variables that were given those that a profile takes away.
    removed: BTreeSet<String>,
    /// Files that were read, in order.
    reads: Vec<String>,
    notes: Vec<Note>,
}

/// One variable.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Variable {
    name: String,
    value: String,
    /// Where it was set; null for one that was given and won.
    file: Option<String>,
    line: Option<usize>,
}

/// Prints them.
pub fn print(
    output: Output,
    profiles: &[String],
    given: &Given,
    arguments: Vec<String>,
) -> Result<(), Ended> {
    let outcome = outcome(profiles, given, arguments)?;
    let notes = notes(&outcome);
    if output.json() {
        let variables = variables(&outcome);
        let (profiles, removed, reads) = (profiles.to_vec(), outcome.removed, outcome.reads);
        let environment = Environment { profiles, variables, removed, reads, notes };
        return Ok(output.document(&environment)?);
    }
    tell(output, &notes)?;
    for name in &outcome.removed {
        output.note(&plain(&format!("{name}: a profile takes it out of the environment")))?;
    }
    let each = outcome.variables.iter();
    let lines = each.map(|(name, variable)| format!("{name}={}\n", quoted(&variable.value)));
    Ok(output.text(&lines.collect::<String>())?)
}

fn variables(outcome: &Outcome) -> Vec<Variable> {
    let each = outcome.variables.iter();
    each.map(|(name, variable)| {
        let origin = variable.origin.as_ref();
        Variable {
            name: name.clone(),
            value: variable.value.clone(),
            file: origin.map(|origin| origin.file.clone()),
            line: origin.map(|origin| origin.line),
        }
    })
    .collect()
}

/// A value as a shell reads it: bare where that is safe, else in single quotes.
fn quoted(value: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-.,:/=+@%".contains(c);
    if !value.is_empty() && value.chars().all(bare) {
        return value.to_owned();
    }
    // A line end would part the line and others steer a terminal: POSIX 2024 has a spelling, which
    // bash and zsh have long read.
    if value.chars().any(char::is_control) {
        let each = value.chars().map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().map(|byte| format!("\\{byte:03o}")).collect()
            }
            c => c.to_string(),
        });
        return format!("$'{}'", each.collect::<String>());
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_value_back() {
        let cases = [
            ("100000", "100000"),
            ("any=rss:active:passive", "any=rss:active:passive"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's $HOME", "'it'\\''s $HOME'"),
            ("a\x1b[2J\n'", "$'a\\033[2J\\012\\''"),
        ];
        for (value, expected) in cases {
            assert_eq!(quoted(value), expected, "{value:?}");
        }
    }
}
