//! Names pinned: what onloadd's own `.link` files say, and what they should. A file that matches a port by
//! what never changes gives it one name whatever driver it has (reference/interface-naming.md section 5.1).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::inventory::{Interface, Snapshot};
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

/// What the names of onloadd's own files begin with: before what others write, since of all files that
/// match a port the first counts (reference/interface-naming.md section 1).
const PREFIX: &str = "10-onloadd-";
/// How udev's files end; others are not read.
pub const SUFFIX: &str = ".link";
/// A further name in a file, which may stand several times.
pub const ALTERNATIVE: &str = "AlternativeName=";

/// Whether a file is called as onloadd's own are, by its name without directories.
pub fn is_own(file: &str) -> bool {
    file.starts_with(PREFIX)
}

impl Key {
    /// The name of the file, without directories.
    pub fn file(&self) -> String {
        self.file_after(PREFIX)
    }

    pub(super) fn file_after(&self, prefix: &str) -> String {
        let key = match self {
            Self::Mac(mac) => mac.to_string().replace(':', ""),
            Self::Pci(address) => format!("pci-{}", address.to_string().replace([':', '.'], "-")),
        };
        format!("{prefix}{key}{SUFFIX}")
    }

    /// The lines of a file that gives a port these names. `NamePolicy=` is left out, for it would come
    /// before `Name=`; of the file that would count otherwise nothing is taken over: what systemd's
    /// default says is said again, and somebody's own is not pinned over (`naming/wanted/in_force.rs`;
    /// reference/interface-naming.md sections 1 and 5.1).
    pub fn settings(&self, pin: &Pin) -> Vec<String> {
        let by = match self {
            Self::Mac(mac) => format!("PermanentMACAddress={mac}"),
            Self::Pci(address) => format!("Path=pci-{address} *-pci-{address}"),
        };
        let names = pin.altnames.iter().map(|name| format!("{ALTERNATIVE}{name}"));
        let fixed = |line: &str| line.to_owned();
        // A VLAN tells the permanent address of what it stands on, and has a kind.
        [fixed("[Match]"), by, fixed("Type=ether"), fixed("Kind=!*"), fixed("[Link]")]
            .into_iter()
            .chain([format!("Name={}", pin.name)])
            .chain(names)
            .chain([
                fixed("AlternativeNamesPolicy=database onboard slot path"),
                fixed("MACAddressPolicy=persistent"),
            ])
            .collect()
    }

    /// The port that a file is for, by its name without directories; none for a name that
    /// [`Key::file`] does not give.
    pub fn of_file(name: &str) -> Option<Self> {
        let key = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let key = match key.strip_prefix("pci-") {
            Some(address) => {
                let mut parts = address.splitn(4, '-');
                let (domain, bus) = (parts.next()?, parts.next()?);
                let (device, function) = (parts.next()?, parts.next()?);
                Self::Pci(format!("{domain}:{bus}:{device}.{function}").parse().ok()?)
            }
            None => {
                let pairs = (0..key.len()).step_by(2).map(|at| key.get(at..at + 2));
                Self::Mac(pairs.collect::<Option<Vec<_>>>()?.join(":").parse().ok()?)
            }
        };
        // Written in one way only.
        (key.file() == name).then_some(key)
    }
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
    /// How much it matters.
    pub weight: Weight,
}

/// How much a trouble matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Told with the names alone: one configuration may be for many nodes, and name ports of others.
    Aside,
    /// The name is not as it should be.
    Tells,
    /// And a driver is not replaced meanwhile: afterwards the name would be wrong.
    Bars,
}

/// Interfaces by what tells them apart.
#[derive(Default)]
pub(super) struct Index<'a> {
    /// How many have a permanent address.
    addresses: BTreeMap<MacAddress, usize>,
    /// How many a function has.
    functions: BTreeMap<PciAddress, usize>,
    /// Who has a name, as its own or as an alternative one.
    holders: BTreeMap<&'a str, BTreeSet<&'a InterfaceName>>,
}

impl<'a> Index<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let mut all = Self::default();
        for (name, interface) in snapshot.interfaces.known().into_iter().flatten() {
            if let Some(mac) = interface.permanent_mac.known() {
                *all.addresses.entry(*mac).or_default() += 1;
            }
            if let Some(port) = interface.port.known() {
                *all.functions.entry(*port).or_default() += 1;
            }
            let names = interface.altnames.iter().map(String::as_str).chain([name.as_str()]);
            names.for_each(|one| {
                all.holders.entry(one).or_default().insert(name);
            });
        }
        all
    }

    /// Whether an address is one port's and no other interface's.
    pub(super) fn tells_apart(&self, mac: &MacAddress) -> bool {
        is_permanent(mac) && self.addresses.get(mac).is_none_or(|count| *count < 2)
    }

    /// Whether a function has no more than one interface.
    pub(super) fn is_single(&self, port: &PciAddress) -> bool {
        self.functions.get(port).is_none_or(|count| *count < 2)
    }

    /// Another interface that has a name.
    pub(super) fn other_holder(
        &self,
        name: &str,
        but: Option<&InterfaceName>,
    ) -> Option<&'a InterfaceName> {
        let mut holders = self.holders.get(name)?.iter().copied();
        holders.find(|holder| Some(*holder) != but)
    }

    /// Whether a port of this function and interface is there for a pin.
    pub(super) fn is_there(&self, key: &Key) -> bool {
        match key {
            Key::Mac(mac) => self.addresses.contains_key(mac),
            Key::Pci(port) => self.functions.contains_key(port),
        }
    }
}

/// Whether an address can be burnt in: not zero, and of one station.
pub(super) fn is_permanent(mac: &MacAddress) -> bool {
    mac.0 != [0; 6] && mac.0[0] & 1 == 0
}

/// The pin of a port with this interface. Of two the one by address counts: its file comes first.
pub(super) fn pin_of<'a>(
    pins: &'a Pins,
    port: PciAddress,
    interface: Option<&Interface>,
) -> Option<(Key, &'a Pin)> {
    let mac = interface.and_then(|interface| interface.permanent_mac.known());
    let keys = mac.copied().map(Key::Mac).into_iter().chain([Key::Pci(port)]);
    keys.filter_map(|key| Some((key, pins.get(&key)?))).next()
}
