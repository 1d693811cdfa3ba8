//! systemd's `.link` files, as far as they tell whether an interface may get another name. What is
//! not understood counts as matching: the wrong answer here costs a refusal, the other one a node.

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
    pub fn new_name(&self, name: &InterfaceName, interface: &Interface) -> Option<&str> {
        let to = self.name.as_deref().filter(|to| *to != name.as_str())?;
        self.may_match(name, interface).then_some(to)
    }

    fn may_match(&self, name: &InterfaceName, interface: &Interface) -> bool {
        self.matches.iter().all(|(key, wanted)| match key.as_str() {
            "MACAddress" => fits(wanted, &interface.mac.as_ref().map(ToString::to_string)),
            "PermanentMACAddress" => {
                fits(wanted, &interface.permanent_mac.as_ref().map(ToString::to_string))
            }
            "Driver" => fits(wanted, &interface.driver),
            // It may have had another name when it came.
            "OriginalName" => fits(wanted, &Reading::Known(name.to_string())) || is_open(wanted),
            _ => true,
        })
    }
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
