//! Onload profiles: what the `onload` launcher would make of a `.opf` file, without a shell.
//!
//! A profile is text that the launcher sources. Here the part of the shell's language that changes
//! nothing but variables is evaluated, by the launcher's rules (reference/kubernetes-onload.md
//! section 5): a variable of the environment wins, then the first setting. What only a shell on the
//! node could carry out is refused with its line, but only when it is reached.
//!
//! No file is read here: the caller hands in what a path holds.
//!
//! What a container ends up with: a pool's answer has its own variables (`LD_PRELOAD` or
//! `ONLOAD_PRELOAD`) first and a profile yields to them, as it yields to any environment. The image
//! is not known on the node: what the answer sets takes the place of the image's variable. What the
//! pod itself sets is put after the answer by the kubelet and wins, so a pod may change one value of
//! a profile, and a pod that sets `LD_PRELOAD` runs unaccelerated unless it names Onload's library
//! (reference/kubernetes-onload.md section 1.3).

use std::collections::{BTreeMap, BTreeSet};

mod arithmetic;
mod commands;
mod grammar;
mod refused;
mod run;
mod scan;
mod syntax;
mod test;
#[cfg(test)]
mod tests;
mod words;

pub use refused::{Reason, Refused};
pub use scan::is_name;
pub use syntax::Place;

use crate::config::Origin;
use syntax::Kind;

/// End of a profile's file name.
pub const SUFFIX: &str = ".opf";
/// End of the file name of what only other profiles may import.
pub const FRAGMENT_SUFFIX: &str = ".opf-fragment";

/// What a path holds: none where there is no such file, a sentence where it cannot be read.
pub type Files<'a> = dyn Fn(&str) -> Result<Option<Vec<u8>>, String> + 'a;

/// Who wins where both say something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precedence {
    /// The environment, then the first setting.
    #[default]
    Environment,
    /// The last setting, whatever the environment says (`--force-profiles`).
    Profiles,
}

/// What is to be evaluated, and with what.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Names or paths, from left to right.
    pub profiles: Vec<String>,
    /// Where names are looked for, the first first.
    pub directories: Vec<String>,
    /// What the program's environment already has.
    pub environment: BTreeMap<String, String>,
    /// The program's command line, which profiles see as `$@`.
    pub arguments: Vec<String>,
    /// Who wins.
    pub precedence: Precedence,
}

/// What profiles come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every variable that a profile sets, or that it found in the environment and went by, with the
    /// value that holds.
    pub variables: BTreeMap<String, Variable>,
    /// Variables of the environment that the program does not have, because a profile takes them
    /// away (`unset`).
    pub removed: BTreeSet<String>,
    /// The files that were read, in order, each once.
    pub reads: Vec<String>,
    /// What deserves to be known beside.
    pub notes: Vec<Note>,
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The value.
    pub value: String,
    /// Where a profile set it; none where the environment had it and won.
    pub origin: Option<Origin>,
}

/// Something about a place in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The place.
    pub origin: Origin,
    /// What about it.
    pub text: String,
}

/// Evaluates profiles as the launcher does.
///
/// # Errors
/// The first thing that has no value without a shell, or is wrong.
pub fn evaluate(request: &Request, files: &Files<'_>) -> Result<Outcome, Refused> {
    run::Run::new(request, files).profiles(request)
}

/// What a profile imports, by name, in the order of the text, each once. Names that are only known
/// when it is carried out are left out.
///
/// # Errors
/// The text is not in the language.
pub fn imports(file: &str, bytes: &[u8]) -> Result<Vec<String>, Refused> {
    let mut names = Vec::new();
    syntax::walk(&grammar::parse(file, bytes)?, &mut |command| {
        if let Kind::Simple { words, .. } = &command.kind
            && let [verb, name, ..] = &words[..]
            && verb.literal().as_deref() == Some("onload_import")
            && let Some(name) = name.literal().filter(|name| !names.contains(name))
        {
            names.push(name);
        }
    });
    Ok(names)
}

/// Where the launcher looks for a profile, the first first. Fragments are for other profiles only.
pub fn candidates(name: &str, directories: &[String], nested: bool) -> Vec<String> {
    let mut places = Vec::new();
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.contains('\0') {
        return places;
    }
    if name.split('/').all(plain) {
        let suffixes = [SUFFIX, FRAGMENT_SUFFIX];
        let suffixes = if nested { &suffixes[..] } else { &suffixes[..1] };
        for directory in directories {
            places.extend(suffixes.iter().map(|suffix| format!("{directory}/{name}{suffix}")));
        }
    }
    // A name without a slash is looked for along PATH by a shell; here it is no path.
    if name.contains('/') {
        places.push(name.to_owned());
    }
    places
}
