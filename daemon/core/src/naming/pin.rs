//! Names pinned: what onloadd's own `.link` files say, and what they should. A file that matches a port by
//! what never changes gives it one name whatever driver it has (reference/interface-naming.md section 5.1).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::PortName;
use crate::config::{NamingPolicy, NamingSettings};
use crate::inventory::Snapshot;
use crate::names::{InterfaceName, MacAddress, PciAddress};

/// Every pin, by what it matches.
pub type Pins = BTreeMap<Key, Pin>;

/// By what a file matches a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Key {
    /// `PermanentMACAddress=`: goes with the card.
    Mac(MacAddress),
    /// `Path=`, udev's `ID_PATH` of the function: stays with the slot. For ports whose address another
    /// one has too, and for those that are configured so.
    Pci(PciAddress),
}

/// One pin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pin {
    /// The name.
    pub name: InterfaceName,
    /// Names that lead to it too: what it was called before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub altnames: BTreeSet<String>,
}

/// An interface to be renamed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Renaming {
    /// Its port.
    pub port: PciAddress,
    /// What it is called.
    pub from: InterfaceName,
    /// What it shall be called.
    pub to: InterfaceName,
    /// Whether it may be taken down for that, and up again, where the kernel renames nothing that is
    /// up (reference/interface-naming.md section 4).
    pub may_go_down: bool,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "mac {mac}"),
            Self::Pci(address) => write!(f, "pci {address}"),
        }
    }
}

/// A text that is no [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither `mac` nor `pci` and an address")]
pub struct NoKey;

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let key = match text.split_once(' ') {
            Some(("mac", address)) => address.parse().ok().map(Self::Mac),
            Some(("pci", address)) => address.parse().ok().map(Self::Pci),
            Some(_) | None => None,
        };
        key.ok_or(NoKey)
    }
}

impl TryFrom<String> for Key {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

/// What pins there should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// All of them.
    pub pins: Pins,
    /// Ports that get none, or another one than asked for.
    pub troubles: Vec<Trouble>,
}

/// What is to be renamed now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renamings {
    /// All at once.
    pub all: Vec<Renaming>,
    /// Ports that keep a name that is not the pinned one, for now.
    pub troubles: Vec<Trouble>,
}

/// Why a port is not called what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The port's address, or by what the configuration means it.
    pub subject: String,
    /// Why, in one sentence.
    pub why: String,
    /// What to do.
    pub fix: String,
    /// Whether a driver is not replaced while it is so: afterwards the name would be wrong.
    pub bars: bool,
}

/// What pins there should be by this policy.
pub fn wanted(
    _rows: &[PortName],
    snapshot: &Snapshot,
    _settings: &NamingSettings,
    _policy: NamingPolicy,
) -> Wanted {
    let pins = snapshot.pins.known().cloned().unwrap_or_default();
    Wanted { pins, troubles: Vec::new() }
}

/// What to rename so that ports are called as they are pinned. `fresh`: they have just come with a
/// driver, and nobody has had time to use them.
pub fn renamings(_rows: &[PortName], _snapshot: &Snapshot, _fresh: bool) -> Renamings {
    Renamings::default()
}
