//! What goes with a driver: its ports' links and everything stacked on them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Network, NetworkLink};
use crate::inventory::Snapshot;
use crate::names::{InterfaceName, PciAddress};
use crate::reading::Reading;

/// Kinds that the kernel takes away with what they are made on, and that are made anew. What else is
/// stacked by being made on a link (a tunnel, MACsec, a macvtap with whoever has its device) has
/// secrets or peers that no look shows.
pub(super) const MADE_ANEW: [&str; 3] = ["vlan", "macvlan", "ipvlan"];
/// Kinds that stay without a member and take it back.
const TAKE_BACK: [&str; 2] = ["bond", "bridge"];

/// What goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The links of the ports and what is stacked on them; rules that name any of these.
    pub network: Network,
    /// What could not be put back, by the port's link: why not.
    pub lost: Vec<(InterfaceName, String)>,
    /// Ports by which a default route leaves, directly or through what is stacked on them, as far as
    /// one is put back. Whoever protects ports must ask for the others as well.
    pub default_routes: BTreeSet<InterfaceName>,
    /// What goes with each port's link, itself included.
    pub stacks: BTreeMap<InterfaceName, BTreeSet<InterfaceName>>,
}

/// What goes with the driver of these ports.
pub fn affected(network: &Network, ports: &BTreeSet<PciAddress>) -> Affected {
    let mut all = Affected::default();
    let roots = network.links.iter().filter(|(_, link)| {
        link.port.as_ref().is_some_and(|port| ports.contains(port)) && link.made.is_none()
    });
    for (name, _) in roots {
        let stack = stack(network, name);
        let names = stack.iter().map(|(member, _)| (*member).clone());
        all.stacks.insert(name.clone(), names.collect());
        for (member, link) in &stack {
            if let Some(why) = lost(member, link, network) {
                all.lost.push((name.clone(), why));
            }
            let own = link.lost.iter().map(|why| (name.clone(), format!("{member}: {why}")));
            all.lost.extend(own);
            if link.routes.iter().any(|route| route.default) {
                all.default_routes.insert(name.clone());
            }
            all.network.links.insert((*member).clone(), (*link).clone());
        }
    }
    let named = |names: &BTreeSet<InterfaceName>| {
        names.iter().any(|name| all.network.links.contains_key(name))
    };
    all.network.rules = network.rules.iter().filter(|rule| named(&rule.names)).cloned().collect();
    all
}

/// A link and everything on it, in any number of storeys.
fn stack<'a>(
    network: &'a Network,
    root: &'a InterfaceName,
) -> Vec<(&'a InterfaceName, &'a NetworkLink)> {
    let mut found: Vec<(&InterfaceName, &NetworkLink)> =
        network.links.get_key_value(root).into_iter().collect();
    let mut at = 0;
    while let Some((name, link)) = found.get(at).copied() {
        let on_it = network.links.iter().filter(|(other, upper)| {
            upper.below.as_ref() == Some(name) || link.master.as_ref() == Some(*other)
        });
        for (other, upper) in on_it {
            if !found.iter().any(|(known, _)| *known == other) {
                found.push((other, upper));
            }
        }
        at += 1;
    }
    found
}

fn lost(name: &InterfaceName, link: &NetworkLink, network: &Network) -> Option<String> {
    let made = link.made.as_ref().filter(|_| link.below.is_some());
    if let Some(made) = made.filter(|made| !MADE_ANEW.contains(&made.kind.as_str())) {
        let kind = &made.kind;
        return Some(format!("{name} is on it, a link of kind {kind} that is not made anew"));
    }
    let master = link.master.as_ref()?;
    match network.links.get(master) {
        None => Some(format!("{name} is a member of {master}, which is not here")),
        Some(found) => {
            let kind = found.made.as_ref().map_or("none", |made| made.kind.as_str());
            let known = TAKE_BACK.contains(&kind);
            let why =
                || format!("{name} is a member of {master}, of kind {kind}: that is not put back");
            (!known).then(why)
        }
    }
}

/// Ports that lose their driver with `sfc`, whoever accelerates them. One whose driver cannot be read may
/// be among them: to keep what goes on as it was costs nothing.
pub fn driven(snapshot: &Snapshot) -> BTreeSet<PciAddress> {
    let ports = snapshot.ports.known().into_iter().flatten();
    let driven = ports.filter(|(_, port)| match &port.driver {
        Reading::Known(driver) => driver == "sfc",
        Reading::Absent => false,
        Reading::Unreadable(_) => true,
    });
    driven.map(|(address, _)| *address).collect()
}

/// Whether ports are still to show their interfaces, or udev to be done with them. Those that are gone or
/// have no driver are not waited for.
pub fn awaited(kept: &Network, snapshot: &Snapshot) -> bool {
    let ports = kept.links.values().filter_map(|link| link.port.as_ref());
    let driven = driven(snapshot);
    ports.filter(|port| driven.contains(*port)).any(|port| match snapshot.interface_of(port) {
        None => true,
        Some((_, interface)) => {
            let done = snapshot.udev_done.known();
            done.is_some_and(|done| !done.contains(&interface.index))
                || interface.udev.known().is_some_and(|udev| udev.renaming)
        }
    })
}
