//! systemd's `.link` files, as far as they tell whether an interface may get another name. What is
//! not understood counts as matching where the file renames, and as not matching where it would hide
//! one that does: the wrong answer here costs a refusal, the other one a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::inventory::Interface;
use crate::names::InterfaceName;
use crate::reading::Reading;

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinkFile {
    /// `[Match]`: key and value as written.
    pub matches: BTreeMap<String, String>,
    /// `Name=`.
    pub name: Option<String>,
    /// `NamePolicy=`, which comes before `Name=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_policy: Option<String>,
}

impl LinkFile {
    /// The other name that it may give an interface.
    fn new_name(&self, name: &InterfaceName, interface: &Interface) -> Option<&str> {
        let to = self.name.as_deref().filter(|to| *to != name.as_str())?;
        self.may_match(name, interface).then_some(to)
    }

    /// Whether it is for an interface beyond doubt, so that files behind it are not.
    fn is_for(&self, interface: &Interface) -> bool {
        let id_path = || interface.udev.known().and_then(|udev| udev.id_path.clone());
        // systemd leaves out a file that says nothing of what it is for.
        !self.matches.is_empty()
            && self.matches.iter().all(|(key, wanted)| match key.as_str() {
                "PermanentMACAddress" => {
                    is_among(wanted, interface.permanent_mac.known().map(ToString::to_string))
                }
                "Driver" => is_among(wanted, interface.driver.known().cloned()),
                "Path" => is_among(wanted, id_path()),
                "OriginalName" => wanted == "*",
                _ => false,
            })
    }

    fn may_match(&self, name: &InterfaceName, interface: &Interface) -> bool {
        self.matches.iter().all(|(key, wanted)| match key.as_str() {
            "MACAddress" => fits(wanted, &interface.mac.as_ref().map(ToString::to_string)),
            "PermanentMACAddress" => {
                fits(wanted, &interface.permanent_mac.as_ref().map(ToString::to_string))
            }
            "Driver" => fits(wanted, &interface.driver),
            "Path" => {
                let path = interface.udev.known().and_then(|udev| udev.id_path.clone());
                path.is_none() || wanted.contains(ODD) || is_among(wanted, path)
            }
            // It may have had another name when it came.
            "OriginalName" => fits(wanted, &Reading::Known(name.to_string())) || is_open(wanted),
            _ => true,
        })
    }
}

/// Files with their names in the order in which udev asks them, wherever each lies.
pub(crate) fn in_order(files: &BTreeMap<String, LinkFile>) -> Vec<(&str, &String, &LinkFile)> {
    let named = files.iter().map(|(path, file)| (path.rsplit('/').next(), path, file));
    let mut sorted: Vec<_> =
        named.map(|(name, path, file)| (name.unwrap_or_default(), path, file)).collect();
    sorted.sort_by_key(|(name, path, _)| (*name, *path));
    sorted
}

/// The file that may rename an interface, and to what. Of all that match the first counts.
pub(super) fn renaming<'f>(
    files: &'f BTreeMap<String, LinkFile>,
    name: &InterfaceName,
    interface: &Interface,
) -> Option<(&'f String, &'f str)> {
    for (_, path, file) in in_order(files) {
        match file.new_name(name, interface) {
            Some(to) => return Some((path, to)),
            None if file.is_for(interface) => return None,
            None => {}
        }
    }
    None
}

/// What makes a pattern one that is left to systemd: sets, inversion, quotes.
const ODD: [char; 5] = ['[', '!', '"', '\'', '\\'];

/// Whether a fact is known and one of the words, and each of these is understood.
fn is_among(patterns: &str, fact: Option<String>) -> bool {
    let Some(fact) = fact else { return false };
    !patterns.contains(ODD)
        && patterns.split_whitespace().any(|one| is_like(one.as_bytes(), fact.as_bytes()))
}

/// Whether a name the kernel gives at first may be among the patterns.
fn is_open(patterns: &str) -> bool {
    patterns.split_whitespace().any(|pattern| pattern.contains('*') || pattern.starts_with("eth"))
}

/// Whether a fact is one of the words of a pattern; what is not known may be.
fn fits(patterns: &str, fact: &Reading<String>) -> bool {
    let fact = match fact {
        Reading::Known(fact) => fact.to_ascii_lowercase(),
        Reading::Absent => return false,
        Reading::Unreadable(_) => return true,
    };
    // Sets, inversion and other spellings of an address are left to systemd.
    let plain = |pattern: &str| !pattern.contains(['[', '!', '-', '.', '"', '\'']);
    patterns.split_whitespace().any(|pattern| {
        let pattern = pattern.to_ascii_lowercase();
        !plain(&pattern) || is_like(pattern.as_bytes(), fact.as_bytes())
    })
}

/// `*` and `?` as in a shell.
pub(crate) fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(seen) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, seen));
                at += 1;
            }
            (Some(wanted), _) if *wanted == b'?' || wanted == letter => {
                (at, seen) = (at + 1, seen + 1)
            }
            (_, Some((place, taken))) => {
                star = Some((place, taken + 1));
                (at, seen) = (place + 1, taken + 1);
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == b'*')
}
