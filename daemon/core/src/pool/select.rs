//! Selectors: which ports a pool stands on. All that are given must hold, of each any value.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Fit;
use super::{Cause, Look, NumaNode, Standing};
use crate::config::PoolSettings;
use crate::inventory::{Interface, Port};
use crate::names::{InterfaceName, PciAddress};
use crate::reading::Reading;

/// The ports of a pool.
#[derive(Clone, Debug)]
pub(super) struct Members<'a> {
    /// Each by its address.
    pub(super) ports: BTreeMap<PciAddress, &'a Port>,
    /// What of [`Standing::named`] follows.
    pub(super) named: BTreeSet<PciAddress>,
    /// What keeps us from telling which they are, or where one stands.
    unseen: Option<Cause>,
    /// Why there is none where there is none.
    missing: Cause,
}

impl<'a> Members<'a> {
    /// Selects them. `former` is how the pool stood before in this run.
    pub(super) fn of(
        settings: &PoolSettings,
        ports: &'a BTreeMap<PciAddress, Port>,
        look: &Look<'_>,
        former: &Standing,
        fit: impl Fn(PciAddress, &Port) -> Fit,
    ) -> Self {
        let chosen_by = all(settings);
        let candidates: Vec<_> = ports
            .iter()
            .map(|(address, port)| {
                let was_named = former.named.contains(address);
                Candidate { address: *address, port, look, was_named }
            })
            .map(|one| (one, fit(one.address, one.port)))
            .filter(|(_, fit)| *fit != Fit::No)
            .collect();
        let mut unseen = None;
        let mut selected = Vec::new();
        for (one, fit) in &candidates {
            let answers: Vec<_> = chosen_by.iter().map(|selector| selector.takes(one)).collect();
            if answers.contains(&Ok(false)) {
                continue;
            }
            match answers.into_iter().find_map(Result::err) {
                Some(cause) => {
                    unseen.get_or_insert(cause);
                }
                None => selected.push((*one, *fit)),
            }
        }
        let mut named = former.named.clone();
        for (one, _) in &candidates {
            match one.has_interface_of(&settings.ports) {
                Some(true) => _ = named.insert(one.address),
                Some(false) => _ = named.remove(&one.address),
                None => {}
            }
        }
        let any_good = selected.iter().any(|(_, fit)| *fit == Fit::Good);
        selected.retain(|(_, fit)| !settings.ports.is_empty() || !any_good || *fit == Fit::Good);
        // It stands on a node all the same: to make one up would deal every slot anew.
        let unplaced = selected.iter().find_map(|(one, _)| one.numa_node().err());
        let missing =
            if selected.is_empty() { missing(&chosen_by, &candidates) } else { Cause::NoPort };
        let ports = selected.into_iter().map(|(one, _)| (one.address, one.port)).collect();
        Self { ports, named, unseen: unseen.or(unplaced), missing }
    }

    /// Those of which it can be told on which NUMA node they stand.
    pub(super) fn placed(&self) -> impl Iterator<Item = (PciAddress, &'a Port, NumaNode)> {
        self.ports.iter().filter_map(|(address, port)| {
            let node = match &port.numa_node {
                Reading::Known(node) => Some(*node),
                Reading::Absent => None,
                Reading::Unreadable(_) => return None,
            };
            Some((*address, *port, node))
        })
    }

    /// Why what stands on none of them cannot work.
    pub(super) fn nowhere(&self) -> Cause {
        self.unseen.clone().unwrap_or_else(|| self.missing.clone())
    }
}

/// What the settings select by, each key with its values, as they are written.
pub fn selectors(settings: &PoolSettings) -> BTreeMap<String, Vec<String>> {
    all(settings).iter().map(|one| (one.key().to_owned(), one.values())).collect()
}

fn all(settings: &PoolSettings) -> Vec<Selector<'_>> {
    let PoolSettings { ports, families, numa_nodes, drivers, .. } = settings;
    let given = [
        (!ports.is_empty()).then_some(Selector::Ports(ports)),
        (!families.is_empty()).then_some(Selector::Families(families)),
        (!numa_nodes.is_empty()).then_some(Selector::NumaNodes(numa_nodes)),
        (!drivers.is_empty()).then_some(Selector::Drivers(drivers)),
    ];
    given.into_iter().flatten().collect()
}

/// Why nothing is selected: the first selector that takes no port, else that they take none at once.
fn missing(chosen_by: &[Selector<'_>], candidates: &[(Candidate<'_, '_>, Fit)]) -> Cause {
    if chosen_by.is_empty() || candidates.is_empty() {
        return Cause::NoPort;
    }
    let takes_none = |selector: &&Selector<'_>| {
        candidates.iter().all(|(one, _)| selector.takes(one) == Ok(false))
    };
    let alone = match chosen_by {
        [only] => Some(only),
        several => several.iter().find(takes_none),
    };
    if let Some(selector) = alone {
        let here: BTreeSet<_> = candidates.iter().filter_map(|(one, _)| selector.of(one)).collect();
        let here = here.into_iter().collect::<Vec<_>>().join(", ");
        return Cause::NotSelected { selectors: selector.to_string(), here: Some(here) };
    }
    let together: Vec<_> = chosen_by.iter().map(ToString::to_string).collect();
    Cause::NotSelected { selectors: together.join(" and "), here: None }
}

/// A port that may be a member.
#[derive(Clone, Copy)]
struct Candidate<'a, 'l> {
    address: PciAddress,
    port: &'a Port,
    look: &'l Look<'l>,
    /// Whether a name of its interface has stood for it in this run.
    was_named: bool,
}

impl Candidate<'_, '_> {
    fn numa_node(&self) -> Result<NumaNode, Cause> {
        match &self.port.numa_node {
            Reading::Known(node) => Ok(Some(*node)),
            Reading::Absent => Ok(None),
            Reading::Unreadable(_) => Err(self.unreadable("NUMA node")),
        }
    }

    fn family(&self) -> Option<&str> {
        self.look.hardware.family(self.port).map(|family| family.family.as_str())
    }

    /// The driver that is for it; of a port without a family the one that its interface has. It does
    /// not change while drivers do.
    fn driver(&self) -> Result<Option<&str>, Cause> {
        if let Some(family) = self.look.hardware.family(self.port) {
            return Ok(Some(&family.driver));
        }
        let interface = self.look.snapshot.interface_of(&self.address);
        match interface.map_or(&self.port.driver, |(_, interface)| &interface.driver) {
            Reading::Known(driver) => Ok(Some(driver)),
            Reading::Absent => Ok(None),
            Reading::Unreadable(_) => Err(self.unreadable("driver")),
        }
    }

    /// Whether it is named, by its address or by its interface. While its driver is away it has none:
    /// what was named in this run is named still, and of the others it cannot be told.
    fn is_named(&self, names: &BTreeSet<String>) -> Result<bool, Cause> {
        if names.iter().any(|name| name.parse() == Ok(self.address)) {
            return Ok(true);
        }
        let mut by_interface: BTreeSet<&str> = names
            .iter()
            .filter(|name| name.parse::<PciAddress>().is_err())
            .map(String::as_str)
            .collect();
        let interfaces = &self.look.snapshot.interfaces;
        if !by_interface.is_empty() && matches!(interfaces, Reading::Unreadable(_)) {
            return Err(Cause::Unreadable { part: "the list of interfaces".to_owned() });
        }
        if let Some(named) = self.has_interface_of(names) {
            return Ok(named);
        }
        // What another interface is called is not its name.
        let others = interfaces.known().into_iter().flatten();
        for name in others.flat_map(|(name, interface)| names_of(name, interface)) {
            by_interface.remove(name);
        }
        if by_interface.is_empty() || self.was_named {
            return Ok(!by_interface.is_empty());
        }
        let names = by_interface.into_iter().collect::<Vec<_>>().join(", ");
        Err(Cause::InterfaceAbsent { names })
    }

    /// Whether the interface that it has is one of these; none: it has none that could be seen.
    fn has_interface_of(&self, names: &BTreeSet<String>) -> Option<bool> {
        let (name, interface) = self.look.snapshot.interface_of(&self.address)?;
        Some(names_of(name, interface).any(|name| names.contains(name)))
    }

    fn unreadable(&self, what: &str) -> Cause {
        Cause::Unreadable { part: format!("the {what} of port {}", self.address) }
    }
}

/// All names of an interface.
fn names_of<'a>(
    name: &'a InterfaceName,
    interface: &'a Interface,
) -> impl Iterator<Item = &'a str> {
    std::iter::once(name.as_str()).chain(interface.altnames.iter().map(String::as_str))
}

/// One selector, with its values.
#[derive(Clone, Copy)]
enum Selector<'a> {
    Ports(&'a BTreeSet<String>),
    Families(&'a BTreeSet<String>),
    NumaNodes(&'a BTreeSet<u32>),
    Drivers(&'a BTreeSet<String>),
}

impl Selector<'_> {
    fn key(&self) -> &'static str {
        match self {
            Self::Ports(_) => "ports",
            Self::Families(_) => "families",
            Self::NumaNodes(_) => "numa-nodes",
            Self::Drivers(_) => "drivers",
        }
    }

    fn values(&self) -> Vec<String> {
        match self {
            Self::Ports(values) | Self::Families(values) | Self::Drivers(values) => {
                values.iter().cloned().collect()
            }
            Self::NumaNodes(values) => values.iter().map(ToString::to_string).collect(),
        }
    }

    /// Whether it takes a port.
    fn takes(&self, one: &Candidate<'_, '_>) -> Result<bool, Cause> {
        Ok(match self {
            Self::Ports(names) => one.is_named(names)?,
            Self::Families(names) => one.family().is_some_and(|name| names.contains(name)),
            Self::NumaNodes(nodes) => one.numa_node()?.is_some_and(|node| nodes.contains(&node)),
            Self::Drivers(names) => one.driver()?.is_some_and(|name| names.contains(name)),
        })
    }

    /// What a port has of that which is selected by.
    fn of(&self, one: &Candidate<'_, '_>) -> Option<String> {
        match self {
            Self::Ports(_) => {
                let interface = one.look.snapshot.interface_of(&one.address);
                let name = interface.map(|(name, _)| name.to_string());
                Some(name.unwrap_or_else(|| one.address.to_string()))
            }
            Self::Families(_) => one.family().map(str::to_owned),
            Self::NumaNodes(_) => one.numa_node().ok().flatten().map(|node| node.to_string()),
            Self::Drivers(_) => one.driver().ok().flatten().map(str::to_owned),
        }
    }
}

impl std::fmt::Display for Selector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}", self.key(), self.values().join(", "))
    }
}

#[cfg(test)]
mod tests;
