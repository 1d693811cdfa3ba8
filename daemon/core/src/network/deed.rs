//! What puts one piece of network state back. Data: done below the host, judged by a look.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, Made, Network, NetworkLink, Raw, Route, Rule};
use crate::names::{InterfaceName, MacAddress};

/// One thing to be done to the network. They are done in order, and one that fails keeps none of the
/// others from being tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// Make a link of software.
    Make {
        /// Its name.
        link: InterfaceName,
        /// The link it is made on.
        below: Option<InterfaceName>,
        /// Kind (`vlan`).
        kind: String,
        /// What it is made with.
        data: Raw,
    },
    /// Enable virtual functions.
    Functions {
        /// The port's interface.
        link: InterfaceName,
        /// How many.
        count: u32,
    },
    /// Set a virtual function.
    Function {
        /// The port's interface.
        link: InterfaceName,
        /// Its number.
        number: u32,
        /// What it is set to (`IFLA_VF_INFO`).
        data: Raw,
    },
    /// Settings of ethtool, all of one group.
    Set {
        /// The link.
        link: InterfaceName,
        /// One of [`super::GROUPS`].
        group: String,
        /// By name within the group.
        settings: BTreeMap<String, u64>,
    },
    /// The address in use. The link is taken down for it where the driver needs that.
    Mac {
        /// The link.
        link: InterfaceName,
        /// The address.
        mac: MacAddress,
    },
    /// Make a link a member of a bond or bridge. A link that is up is taken down for it.
    Join {
        /// The link.
        link: InterfaceName,
        /// The bond or bridge.
        master: InterfaceName,
        /// What it is set to as a member.
        membership: Raw,
    },
    /// In bytes.
    Mtu {
        /// The link.
        link: InterfaceName,
        /// In bytes.
        mtu: u32,
    },
    /// Add alternative names.
    Altnames {
        /// The link.
        link: InterfaceName,
        /// The names.
        names: BTreeSet<String>,
    },
    /// Take every frame, or every multicast frame.
    Listen {
        /// The link.
        link: InterfaceName,
        /// `IFF_PROMISC`.
        promiscuous: bool,
        /// `IFF_ALLMULTI`.
        all_multicast: bool,
    },
    /// Administrative state.
    Up {
        /// The link.
        link: InterfaceName,
        /// Up, or down.
        up: bool,
    },
    /// Root queueing discipline.
    Qdisc {
        /// The link.
        link: InterfaceName,
        /// Its kind.
        kind: String,
    },
    /// Add an address.
    Address {
        /// The link.
        link: InterfaceName,
        /// The address, with what is left of its lifetimes.
        address: Address,
    },
    /// Add a route.
    Route {
        /// The route.
        route: Route,
    },
    /// Add a rule.
    Rule {
        /// The rule.
        rule: Rule,
    },
}

impl Deed {
    /// Whether the network is so already.
    pub fn holds_in(&self, now: &Network) -> bool {
        let link = |name: &InterfaceName| now.links.get(name);
        let is =
            |name: &InterfaceName, so: &dyn Fn(&NetworkLink) -> bool| link(name).is_some_and(so);
        match self {
            Self::Make { link: name, below, kind, data } => is(name, &|link| {
                link.below == *below
                    && link.made == Some(Made { kind: kind.clone(), data: data.clone() })
            }),
            Self::Functions { link, count } => {
                is(link, &|link| u32::try_from(link.functions.len()) == Ok(*count))
            }
            Self::Function { link, number, data } => {
                is(link, &|link| link.functions.get(number) == Some(data))
            }
            Self::Set { link, group, settings } => is(link, &|link| {
                settings.iter().all(|(name, value)| {
                    link.settings.get(&format!("{group}.{name}")) == Some(value)
                })
            }),
            Self::Mac { link, mac } => is(link, &|link| link.mac == Some(*mac)),
            Self::Join { link, master, membership } => is(link, &|link| {
                link.master.as_ref() == Some(master) && link.membership == *membership
            }),
            Self::Mtu { link, mtu } => is(link, &|link| link.mtu == *mtu),
            Self::Altnames { link, names } => is(link, &|link| names.is_subset(&link.altnames)),
            Self::Listen { link, promiscuous, all_multicast } => is(link, &|link| {
                link.promiscuous == *promiscuous && link.all_multicast == *all_multicast
            }),
            Self::Up { link, up } => is(link, &|link| link.up == *up),
            Self::Qdisc { link, kind } => is(link, &|link| link.qdisc.as_ref() == Some(kind)),
            Self::Address { link, address } => {
                is(link, &|link| link.addresses.iter().any(|one| one.message == address.message))
            }
            Self::Route { route } => {
                let has = |link: &NetworkLink| link.routes.iter().any(|one| one.is(route));
                route.over.iter().all(|name| is(name, &has))
            }
            Self::Rule { rule } => now.rules.iter().any(|one| one.is(rule)),
        }
    }

    /// The link it is about; none for routes over several and for rules.
    pub fn link(&self) -> Option<&InterfaceName> {
        match self {
            Self::Make { link, .. }
            | Self::Functions { link, .. }
            | Self::Function { link, .. }
            | Self::Set { link, .. }
            | Self::Mac { link, .. }
            | Self::Join { link, .. }
            | Self::Mtu { link, .. }
            | Self::Altnames { link, .. }
            | Self::Listen { link, .. }
            | Self::Up { link, .. }
            | Self::Qdisc { link, .. }
            | Self::Address { link, .. } => Some(link),
            Self::Route { route } => route.over.first().filter(|_| route.over.len() == 1),
            Self::Rule { .. } => None,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make { link, below: Some(below), kind, .. } => {
                write!(f, "make {kind} {link} on {below}")
            }
            Self::Make { link, below: None, kind, .. } => write!(f, "make {kind} {link}"),
            Self::Functions { link, count } => write!(f, "enable {count} functions of {link}"),
            Self::Function { link, number, .. } => write!(f, "set function {number} of {link}"),
            Self::Set { link, group, settings } => {
                write!(f, "set {group} of {link}:")?;
                settings.iter().try_for_each(|(name, value)| write!(f, " {name} {value}"))
            }
            Self::Mac { link, mac } => write!(f, "give {link} the address {mac}"),
            Self::Join { link, master, .. } => write!(f, "put {link} under {master}"),
            Self::Mtu { link, mtu } => write!(f, "give {link} the MTU {mtu}"),
            Self::Altnames { link, names } => {
                write!(f, "call {link} also")?;
                names.iter().try_for_each(|name| write!(f, " {name}"))
            }
            Self::Listen { link, promiscuous, all_multicast } => write!(
                f,
                "have {link} listen: promiscuous {promiscuous}, all multicast {all_multicast}"
            ),
            Self::Up { link, up: true } => write!(f, "set {link} up"),
            Self::Up { link, up: false } => write!(f, "set {link} down"),
            Self::Qdisc { link, kind } => write!(f, "give {link} the queueing discipline {kind}"),
            Self::Address { link, address } => {
                write!(f, "give {link} the address {}", address.shown)
            }
            Self::Route { route } => write!(f, "add the route {}", route.shown),
            Self::Rule { rule } => write!(f, "add the rule {}", rule.shown),
        }
    }
}
