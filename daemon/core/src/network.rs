//! Network state: what interfaces carry, what goes with a driver, and what puts it back.
//!
//! A driver that is taken away takes with it the interfaces of its ports and whatever the kernel stacks
//! on them; nothing of that comes back by itself (reference/onload-modules.md section 0). So it is kept
//! before, compared after, and the gaps are filled: first by whoever owns a link, then by onloadd.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::names::{BootId, InterfaceName, MacAddress, PciAddress};
use crate::time::Moment;

mod affected;
mod compare;
mod deed;
mod gaps;
mod raw;
#[cfg(test)]
pub(crate) mod tests;
mod today;

pub use affected::{Affected, affected, awaited, driven};
pub use compare::{differences, handed_back};
pub use deed::Deed;
pub use gaps::{Patience, gaps};
pub use raw::Raw;

/// What every interface of the initial network namespace carries, as one look found it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// By name.
    pub links: BTreeMap<InterfaceName, NetworkLink>,
    /// Rules of routing that name an interface.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub rules: BTreeSet<Rule>,
}

impl Network {
    /// The same with addresses that stay for a while but do not say how long: that runs.
    pub fn without_lifetimes(&self) -> Self {
        let mut all = self.clone();
        for link in all.links.values_mut() {
            let timeless = |mut address: Address| {
                address.valid = address.valid.map(|_| 0);
                address.preferred = address.preferred.map(|_| 0);
                address
            };
            link.addresses =
                std::mem::take(&mut link.addresses).into_iter().map(timeless).collect();
        }
        all
    }
}

/// What is kept while a driver is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kept {
    /// The ports that lose their driver, and everything stacked on them.
    pub network: Network,
    /// When it was read: lifetimes of addresses count from then.
    pub at: Moment,
    /// In which boot; in any other there is nothing to put back.
    pub boot: Option<BootId>,
    /// For which change: one that takes nothing away leaves nothing to put back.
    pub change: u64,
}

/// One link. What can be made anew or set is here, what the kernel counts or finds out is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NetworkLink {
    /// The PCI function it belongs to; none for what is made of software.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PciAddress>,
    /// What kind of software link it is, and how it was made; none for a port's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// The link it is made on (VLAN, macvlan, ipvlan).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<InterfaceName>,
    /// The bond or bridge it is a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<InterfaceName>,
    /// What it is set to as a member.
    #[serde(skip_serializing_if = "Raw::is_empty")]
    pub membership: Raw,
    /// Administratively up.
    pub up: bool,
    /// Told to take every frame by somebody (`IFF_PROMISC`), beyond what the kernel does itself.
    pub promiscuous: bool,
    /// Told to take every multicast frame (`IFF_ALLMULTI`).
    pub all_multicast: bool,
    /// In bytes.
    pub mtu: u32,
    /// The address in use; none for links without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Alternative names.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub altnames: BTreeSet<String>,
    /// Kind of the root queueing discipline; none where the kernel chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qdisc: Option<String>,
    /// Network addresses, but those that the kernel makes itself.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<Address>,
    /// Routes that leave by it, but those that the kernel makes itself. One over several links stands
    /// with each.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub routes: BTreeSet<Route>,
    /// What ethtool sets, by `GROUP.NAME`: see [`GROUPS`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, u64>,
    /// Virtual functions that are enabled.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<u32, Raw>,
    /// Why something of it could not be put back, for people: each without the link's name. It keeps a
    /// driver from being taken away, and is neither compared nor made again.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub lost: BTreeSet<String>,
    /// Who sets it up.
    #[serde(skip_serializing_if = "Owner::is_nobody")]
    pub owner: Owner,
}

impl NetworkLink {
    /// Whether nobody has set it up: it is down, carries nothing and is part of nothing.
    pub fn is_bare(&self) -> bool {
        let none = self.addresses.is_empty() && self.routes.is_empty();
        !self.up && none && self.master.is_none()
    }
}

/// What ethtool settings are of: rings, channels, coalescing, offloads, flags of the driver's own.
pub const GROUPS: [&str; 5] = ["ring", "channels", "coalesce", "feature", "private"];

/// How a link of software is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Made {
    /// Kind, as rtnetlink names it: `vlan`, `bond`.
    pub kind: String,
    /// What it is made with (`IFLA_INFO_DATA`), as far as the kernel takes it back.
    #[serde(default, skip_serializing_if = "Raw::is_empty")]
    pub data: Raw,
}

/// A network address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Address {
    /// With its prefix length, for people.
    pub shown: String,
    /// The message that adds it, without the link's number and lifetimes.
    pub message: Raw,
    /// How long it stays, in seconds; none for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<u32>,
    /// How long it is preferred, in seconds; none for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<u32>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// Where it leads, for people.
    pub shown: String,
    /// Whether it is a default route.
    #[serde(default)]
    pub default: bool,
    /// Whether its gateway must be reachable by another route: such come later.
    #[serde(default)]
    pub has_gateway: bool,
    /// The links it leaves by, in the order in which the message names them.
    pub over: Vec<InterfaceName>,
    /// The message that adds it, with 0 for each link's number.
    pub message: Raw,
}

/// A rule that chooses a table of routes by interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// For people.
    pub shown: String,
    /// The interfaces it names.
    pub names: BTreeSet<InterfaceName>,
    /// The message that adds it.
    pub message: Raw,
}

/// Who sets a link up, and goes on doing so.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Nobody who would do it again.
    #[default]
    Nobody,
    /// NetworkManager, by the connection with this UUID.
    NetworkManager(String),
    /// systemd-networkd.
    Networkd,
}

impl Route {
    /// Whether it is the same route, however it is written for people.
    pub fn is(&self, other: &Self) -> bool {
        self.message == other.message && self.over == other.over
    }
}

impl Rule {
    /// Whether it is the same rule, however it is written for people.
    pub fn is(&self, other: &Self) -> bool {
        self.message == other.message && self.names == other.names
    }
}

impl Address {
    /// Whether it has ended so many seconds after it was read.
    pub fn is_over(&self, seconds: u32) -> bool {
        self.valid.is_some_and(|valid| valid <= seconds)
    }
}

impl Owner {
    /// Whether nobody does.
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody)
    }
}
