//! What interfaces carry, read; and what is put back, done by a run of our own program that may do what
//! the daemon may not.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::Interface;
use onload_core::names::InterfaceName;
use onload_core::network::{Network, NetworkLink, Owner};
use onload_core::reading::Reading;

use self::links::Found;
use self::settings::Settings;
use super::root::Dir;
use super::source::{Question, Source};

mod addresses;
mod functions;
mod hand_back;
pub(super) mod links;
mod lost;
mod owners;
pub(super) mod qdiscs;
mod root;
mod routes;
pub(super) mod rules;
mod settings;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub(super) use self::root::root;

/// Drivers whose ports have settings to be put back: of Solarflare's cards, and of the X3. No driver of
/// another maker is taken away here, and what it refuses to tell must not hide the rest.
const DRIVERS: [&str; 3] = ["sfc", "sfc_ef100", "xilinx_efct"];

/// What every interface of the network namespace carries. One that is not the same in this look's
/// interfaces came, went or was renamed meanwhile, and is left to the next.
pub(super) async fn read(
    root: &Dir,
    source: &Source,
    interfaces: &Reading<BTreeMap<InterfaceName, Interface>>,
) -> Reading<Network> {
    match interfaces {
        Reading::Known(interfaces) => match parts(root, source, interfaces).await {
            Ok(network) => Reading::Known(network),
            Err(gap) => gap,
        },
        Reading::Absent => Reading::Absent,
        Reading::Unreadable(why) => Reading::Unreadable(why.clone()),
    }
}

/// One gap is a gap of the whole: what is left out here would be lost with a driver.
async fn parts(
    root: &Dir,
    source: &Source,
    interfaces: &BTreeMap<InterfaceName, Interface>,
) -> Result<Network, Reading<Network>> {
    let answer = source.ask_whole(root, Question::Functions).await;
    let found = known(answer.and_then(|answer| links::parse(&answer)))?;
    let names: BTreeMap<u32, InterfaceName> =
        found.iter().map(|one| (one.index, one.name.clone())).collect();
    let answer = source.ask_whole(root, Question::Addresses).await;
    let addresses = known(answer.and_then(|answer| addresses::parse(&answer, &found)))?;
    let answer = source.ask_whole(root, Question::Routes).await;
    let routes = known(answer.and_then(|answer| routes::parse(&answer, &names)))?;
    let answer = source.ask_whole(root, Question::Rules).await;
    let rules = known(answer.and_then(|answer| rules::parse(&answer)))?;
    let answer = source.ask_whole(root, Question::Qdiscs).await;
    let mut qdiscs = known(answer.and_then(|answer| qdiscs::parse(&answer)))?;
    let ports = interfaces.values();
    let ports = ports.filter(|interface| interface.port.known().is_some() && is_ours(interface));
    let ports: BTreeSet<u32> = ports.map(|interface| interface.index).collect();
    let mut settings: BTreeMap<u32, Settings> = BTreeMap::new();
    for group in settings::GROUPS {
        let answers = source.ask_about(root, group.asked, &ports).await;
        for (index, some) in known(answers.and_then(|answers| group.parse(&answers)))? {
            settings.entry(index).or_default().extend(some);
        }
    }
    let all: BTreeSet<u32> = names.keys().copied().collect();
    let mut owners = known(owners::read(root, &all))?;
    let by_vlan = found.iter().filter(|one| one.filters_vlans).map(|one| one.index);
    let by_vlan: BTreeSet<u32> = by_vlan.collect();
    let mut links = BTreeMap::new();
    for one in found {
        let Some(interface) = interfaces.get(&one.name).filter(|seen| seen.index == one.index)
        else {
            continue;
        };
        let (index, master) = (one.index, one.master);
        let Some((name, mut link)) = joined(one, interface, &names)? else { continue };
        link.qdisc = qdiscs.roots.remove(&index);
        let lost = [
            (master.is_some_and(|master| by_vlan.contains(&master)), lost::VLAN_TABLE),
            (routes.by_objects.contains(&index), lost::OBJECTS),
            (qdiscs.filtering.contains(&index), lost::FILTERS),
        ];
        let lost = lost.iter().filter(|(is_lost, _)| *is_lost);
        link.lost.extend(lost.map(|(_, why)| (*why).to_owned()));
        link.owner = owners.remove(&index).unwrap_or(Owner::Nobody);
        link.settings = settings.remove(&index).unwrap_or_default();
        links.insert(name, link);
    }
    for (index, address) in addresses {
        if let Some(link) = names.get(&index).and_then(|name| links.get_mut(name)) {
            link.addresses.insert(address);
        }
    }
    for route in routes.kept {
        for name in &route.over {
            if let Some(link) = links.get_mut(name) {
                link.routes.insert(route.clone());
            }
        }
    }
    Ok(Network { links, rules })
}

fn known<T>(reading: Reading<T>) -> Result<T, Reading<Network>> {
    match reading {
        Reading::Known(value) => Ok(value),
        Reading::Absent => Err(Reading::Absent),
        Reading::Unreadable(why) => Err(Reading::Unreadable(why)),
    }
}

/// Whether it has a driver of those, or may have one.
fn is_ours(interface: &Interface) -> bool {
    match &interface.driver {
        Reading::Known(driver) => DRIVERS.contains(&driver.as_str()),
        Reading::Absent => false,
        Reading::Unreadable(_) => true,
    }
}

/// A link with names for numbers. One of which nobody knows whether it is a port's would be taken for
/// one of software: it is left out where no driver of ours has it, and else hides the whole.
fn joined(
    one: Found,
    interface: &Interface,
    names: &BTreeMap<u32, InterfaceName>,
) -> Result<Option<(InterfaceName, NetworkLink)>, Reading<Network>> {
    let port = match &interface.port {
        Reading::Known(port) => Some(*port),
        Reading::Absent => None,
        Reading::Unreadable(_) if !is_ours(interface) => return Ok(None),
        Reading::Unreadable(why) => {
            return Err(Reading::Unreadable(format!("the port of {}: {why}", one.name)));
        }
    };
    let name_of = |index: Option<u32>| index.and_then(|index| names.get(&index)).cloned();
    let (below, master) = (name_of(one.below), name_of(one.master));
    Ok(Some((one.name, NetworkLink { port, below, master, ..one.link })))
}
