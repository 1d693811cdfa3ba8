//! What is wrong with names: two of one, one too long, one that is taken, or meant for nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::rule::{Objection, objection};
use super::{PortName, Subject};
use crate::inventory::Snapshot;
use crate::names::{MacAddress, PciAddress, ReleaseName};

/// Where a name comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The configuration.
    Configured,
    /// What the driver of this release would make of it.
    Release(ReleaseName),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("[naming]"),
            Self::Release(release) => write!(f, "release {release}"),
        }
    }
}

/// Where names come from that have the same fault.
pub type Sources = BTreeSet<Source>;

/// One thing that is wrong with a port's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Another port would have the same name.
    SameName {
        /// The name.
        name: String,
        /// The other one.
        other: PciAddress,
        /// By what.
        by: Sources,
    },
    /// Something else has the name.
    Taken {
        /// The name.
        name: String,
        /// The interface that has it, as its name or as an alternative one.
        holder: String,
        /// By what.
        by: Sources,
    },
    /// The kernel or systemd takes no such name.
    Unfit {
        /// The name.
        name: String,
        /// Why.
        objection: Objection,
        /// By what.
        by: Sources,
    },
    /// A name of udev's is too long, so that a later policy gave the one of today.
    PassedOver {
        /// The name.
        name: String,
        /// The policy.
        policy: &'static str,
    },
    /// Another port has the same permanent address.
    SameAddress {
        /// The address.
        mac: MacAddress,
        /// The other one.
        other: PciAddress,
    },
    /// The configuration gives the port several names.
    SeveralNames {
        /// All of them.
        names: BTreeSet<String>,
    },
    /// The configuration means a port that is not there.
    NotThere {
        /// By what it means it.
        selector: String,
    },
}

impl Conflict {
    /// What does not hold.
    pub fn what(&self) -> String {
        match self {
            Self::SameName { name, .. } => format!("{name} would be the name of two ports"),
            Self::Taken { name, .. } | Self::Unfit { name, .. } => {
                format!("the port would not get the name {name}")
            }
            Self::PassedOver { name, policy } => {
                format!("udev's name by {policy}, {name}, is not used")
            }
            Self::SameAddress { mac, .. } => format!("the permanent address {mac} tells no port"),
            Self::SeveralNames { .. } => "the port has no one configured name".to_owned(),
            Self::NotThere { selector } => format!("there is no port with {selector}"),
        }
    }

    /// Why.
    pub fn why(&self) -> String {
        match self {
            Self::SameName { other, by, .. } => format!("{other} has it too, by {}", listed(by)),
            Self::Taken { holder, by, .. } => {
                format!("interface {holder} has it, and {} gives it to the port", listed(by))
            }
            Self::Unfit { objection, by, .. } => format!("{}, by {}", objection.why(), listed(by)),
            Self::PassedOver { .. } => Objection::TooLong.why().to_owned(),
            Self::SameAddress { other, .. } => format!("{other} has the same"),
            Self::SeveralNames { names } => {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                format!("[naming] means it by several tables: {}", names.join(", "))
            }
            Self::NotThere { .. } => "[naming] gives it a name".to_owned(),
        }
    }

    /// What to do.
    pub fn fix(&self) -> String {
        let fix = match self {
            Self::SameName { by, .. } | Self::Taken { by, .. } | Self::Unfit { by, .. } => {
                if by.contains(&Source::Configured) {
                    "choose another name in [naming]"
                } else {
                    "give the port another name in a .link file before that driver is loaded"
                }
            }
            Self::PassedOver { .. } => {
                "nothing, unless the name is wanted: with a driver that makes it shorter it would be used"
            }
            Self::SameAddress { .. } => "name these ports by `pci` or `port-number`, not by `mac`",
            Self::SeveralNames { .. } => "leave one of these tables in [naming]",
            Self::NotThere { .. } => {
                "mend the table in [naming]; `onloadctl naming plan` lists the ports"
            }
        };
        fix.to_owned()
    }
}

fn listed(sources: &Sources) -> String {
    sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Adds to each port what is wrong with its names. Bond members have one address of the moment, so
/// only the permanent one tells ports apart.
pub(super) fn find(ports: &mut [PortName], snapshot: &Snapshot) {
    let found: Vec<_> = ports.iter().map(|port| of(port, ports, snapshot)).collect();
    for (port, found) in ports.iter_mut().zip(found) {
        port.conflicts.extend(found);
    }
}

fn of(port: &PortName, all: &[PortName], snapshot: &Snapshot) -> Vec<Conflict> {
    let Subject::Port(address) = &port.subject else { return Vec::new() };
    let others = || {
        let others = all.iter().filter_map(|other| match &other.subject {
            Subject::Port(at) if at != address => Some((*at, other)),
            Subject::Port(_) | Subject::Nobody(_) => None,
        });
        others.collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    let mut names: BTreeMap<&str, Sources> = BTreeMap::new();
    for (source, name) in named(port) {
        names.entry(name).or_default().insert(source);
    }
    for (name, by) in names {
        let name = || name.to_owned();
        if let Some(objection) = objection(&name()) {
            found.push(Conflict::Unfit { name: name(), objection, by: by.clone() });
        }
        for (other, row) in others() {
            let same =
                named(row).filter(|(source, theirs)| *theirs == name() && by.contains(source));
            let by: Sources = same.map(|(source, _)| source).collect();
            if !by.is_empty() {
                found.push(Conflict::SameName { name: name(), other, by });
            }
        }
        if let Some(holder) = holder(&name(), port, all, snapshot) {
            found.push(Conflict::Taken { name: name(), holder, by });
        }
    }
    let interface = snapshot.interface_of(address).map(|(_, interface)| interface);
    let mac = interface.and_then(|interface| interface.permanent_mac.known());
    for (other, _) in others() {
        let theirs = snapshot.interface_of(&other).and_then(|(_, one)| one.permanent_mac.known());
        if let Some(mac) = mac.filter(|mac| theirs == Some(mac)) {
            found.push(Conflict::SameAddress { mac: *mac, other });
        }
    }
    let udev = interface.and_then(|interface| interface.udev.known());
    let policies = udev.into_iter().flat_map(|udev| udev.policies());
    let long = policies
        .filter(|(policy, name)| *policy != "mac" && objection(name) == Some(Objection::TooLong));
    found.extend(long.map(|(policy, name)| Conflict::PassedOver { name: name.to_owned(), policy }));
    found
}

/// The names that a port would get, and by what.
fn named(port: &PortName) -> impl Iterator<Item = (Source, &str)> {
    let configured = port.configured.as_ref().map(|name| (Source::Configured, name.as_str()));
    let drivers = port.drivers.iter().filter_map(|(release, foretold)| {
        Some((Source::Release(release.clone()), foretold.name.as_deref()?))
    });
    configured.into_iter().chain(drivers)
}

/// Who has a name that a port would get: an interface that is none of these ports, or any other that
/// has it as an alternative one. The ports themselves get new names together.
fn holder(name: &str, port: &PortName, all: &[PortName], snapshot: &Snapshot) -> Option<String> {
    let ports: BTreeSet<_> = all.iter().filter_map(|port| port.today.as_ref()).collect();
    let interfaces = snapshot.interfaces.known().into_iter().flatten();
    let mut others = interfaces.filter(|(at, _)| port.today.as_ref() != Some(*at));
    let holder = others.find(|(at, interface)| {
        let has = at.as_str() == name && !ports.contains(at);
        has || interface.altnames.contains(name)
    });
    holder.map(|(at, _)| at.to_string())
}
