//! What is wrong with names: two of one, one too long, one that is taken, or meant for nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::PortName;
use super::rule::{LONGEST, Objection, objection};
use crate::inventory::{Interface, Snapshot};
use crate::names::{InterfaceName, MacAddress, PciAddress, ReleaseName};

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

    /// What does not hold and why, in one sentence.
    pub fn told(&self) -> String {
        format!("{}: {}", self.what(), self.why())
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
    let all = Index::of(ports, snapshot);
    let found: Vec<_> = ports.iter().map(|port| all.against(port)).collect();
    for (port, found) in ports.iter_mut().zip(found) {
        port.conflicts.extend(found);
    }
}

/// Who has or would have which name or address: there may be hundreds of functions.
#[derive(Default)]
struct Index<'a> {
    named: BTreeMap<(&'a str, Source), Vec<PciAddress>>,
    /// Interfaces that have a name as an alternative one, or as their own and are none of the ports:
    /// the ports get new names together.
    holders: BTreeMap<&'a str, Vec<&'a InterfaceName>>,
    interfaces: BTreeMap<PciAddress, &'a Interface>,
    addresses: BTreeMap<MacAddress, Vec<PciAddress>>,
}

impl<'a> Index<'a> {
    fn of(ports: &'a [PortName], snapshot: &'a Snapshot) -> Self {
        let mut all = Self::default();
        let mut rows: BTreeSet<PciAddress> = BTreeSet::new();
        for (port, address) in ports.iter().filter_map(|port| Some((port, port.address()?))) {
            rows.insert(address);
            for (source, name) in named(port) {
                all.named.entry((name, source)).or_default().push(address);
            }
        }
        for (name, interface) in snapshot.interfaces.known().into_iter().flatten() {
            let port = interface.port.known().filter(|port| rows.contains(*port));
            match port {
                Some(port) => {
                    all.interfaces.entry(*port).or_insert(interface);
                    if let Some(mac) = interface.permanent_mac.known() {
                        all.addresses.entry(*mac).or_default().push(*port);
                    }
                }
                None => all.holders.entry(name.as_str()).or_default().push(name),
            }
            for altname in &interface.altnames {
                all.holders.entry(altname).or_default().push(name);
            }
        }
        all
    }

    fn against(&self, port: &PortName) -> Vec<Conflict> {
        let Some(address) = port.address() else { return Vec::new() };
        let mut found = Vec::new();
        let mut names: BTreeMap<&str, Sources> = BTreeMap::new();
        for (source, name) in named(port) {
            names.entry(name).or_default().insert(source);
        }
        for (name, by) in names {
            if let Some(objection) = objection(name) {
                let by = by.clone();
                found.push(Conflict::Unfit { name: name.to_owned(), objection, by });
            }
            let mut shared: BTreeMap<PciAddress, Sources> = BTreeMap::new();
            for source in &by {
                let all = self.named.get(&(name, source.clone())).into_iter().flatten();
                for other in all.filter(|other| **other != address) {
                    shared.entry(*other).or_default().insert(source.clone());
                }
            }
            let same = |(other, by)| Conflict::SameName { name: name.to_owned(), other, by };
            found.extend(shared.into_iter().map(same));
            let holders = self.holders.get(name).into_iter().flatten();
            let mut others = holders.filter(|holder| port.today.as_ref() != Some(**holder));
            if let Some(holder) = others.next().map(ToString::to_string) {
                found.push(Conflict::Taken { name: name.to_owned(), holder, by });
            }
        }
        let interface = self.interfaces.get(&address);
        if let Some(mac) = interface.and_then(|interface| interface.permanent_mac.known()) {
            let all = self.addresses.get(mac).into_iter().flatten();
            let others = all.filter(|other| **other != address);
            found.extend(others.map(|other| Conflict::SameAddress { mac: *mac, other: *other }));
        }
        let udev = interface.and_then(|interface| interface.udev.known());
        let policies = udev.into_iter().flat_map(|udev| udev.policies());
        // The one by address is never more than a last resort.
        let long = policies.filter(|(policy, name)| *policy != "mac" && name.len() > LONGEST);
        let passed =
            |(policy, name): (_, &str)| Conflict::PassedOver { name: name.to_owned(), policy };
        found.extend(long.map(passed));
        found
    }
}

/// The names that a port would get, and by what.
fn named(port: &PortName) -> impl Iterator<Item = (Source, &str)> {
    let configured = port.configured.as_ref().map(|name| (Source::Configured, name.as_str()));
    let drivers = port.drivers.iter().filter_map(|(release, foretold)| {
        Some((Source::Release(release.clone()), foretold.name.as_deref()?))
    });
    configured.into_iter().chain(drivers)
}
