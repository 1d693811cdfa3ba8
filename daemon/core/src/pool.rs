//! Pools: which devices a pool has, on which NUMA node each stands, and whether each can work.
//!
//! Slots are dealt in turn to the NUMA nodes on which the pool has ports, so that a slot tells the
//! kubelet where its card is. A slot works when one port of its node does.

use std::collections::{BTreeMap, BTreeSet};

use crate::af_xdp::{self, Chosen};
use crate::command::ContainerAnswer;
use crate::config::PoolSettings;
use crate::hardware::{Acceleration, Datapath, Family, Hardware};
use crate::inventory::{DEVICE_NODES, Link, ModuleState, Origin, Port, Snapshot};
use crate::names::{DeviceId, InterfaceName, PciAddress, PoolName, ReleaseName};
use crate::reading::Reading;
use crate::release::Release;
use crate::userland;

mod cause;
mod device;
mod profile;

pub use cause::Cause;
pub use device::{Device, Lent};
pub use profile::with_profile;

/// NUMA node of a group of ports; none where the firmware names none.
pub type NumaNode = Option<u32>;

/// What of a pool follows from a look at the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// For each NUMA node the pool has, or had ports on in this run: why its slots cannot work.
    pub groups: BTreeMap<NumaNode, Option<Cause>>,
    /// What keeps us from telling on which nodes it stands.
    pub unseen: Option<Cause>,
    /// What a container gets; none while nothing can be served.
    pub answer: Option<ContainerAnswer>,
}

impl Standing {
    /// Why a device that stands on none of the nodes cannot work.
    pub fn nowhere(&self) -> Cause {
        self.unseen.clone().unwrap_or(Cause::NoPort)
    }
}

/// Judges a pool. `known` are the NUMA nodes it stood on before in this run: a card that is gone
/// takes its slots out of service, it does not deal them anew to the cards that are left.
pub fn stand(
    pool: &PoolName,
    settings: &PoolSettings,
    snapshot: &Snapshot,
    hardware: &Hardware,
    chosen: &Chosen,
    known: impl IntoIterator<Item = NumaNode>,
) -> Standing {
    let ports = match &snapshot.ports {
        Reading::Known(ports) => members(settings, ports, snapshot, (hardware, chosen)),
        Reading::Absent => BTreeMap::new(),
        Reading::Unreadable(_) => {
            let cause = Some(Cause::Unreadable { part: "the PCI bus".to_owned() });
            let groups = known.into_iter().map(|node| (node, cause.clone())).collect();
            return Standing { groups, unseen: cause, answer: None };
        }
    };
    let datapaths: BTreeSet<_> = ports.values().map(|(_, route)| route.datapath()).collect();
    let mut groups: BTreeMap<NumaNode, Vec<(PciAddress, &Port, Route<'_>)>> =
        known.into_iter().map(|node| (node, Vec::new())).collect();
    let mut unseen = None;
    for (address, (port, route)) in ports {
        let node = match &port.numa_node {
            Reading::Known(node) => Some(*node),
            Reading::Absent => None,
            // It stands on a node all the same: to make one up would deal every slot anew.
            Reading::Unreadable(_) => {
                let part = format!("the NUMA node of port {address}");
                unseen.get_or_insert(Cause::Unreadable { part });
                continue;
            }
        };
        groups.entry(node).or_default().push((address, port, route));
    }
    let node = node_obstacle(snapshot);
    let release = matching_release(snapshot);
    let userland = release
        .clone()
        .and_then(|release| userland::obstacle(pool, release, snapshot).map_or(Ok(()), Err));
    let judge = |members: &[(PciAddress, &Port, Route<'_>)]| -> Option<Cause> {
        if members.is_empty() {
            return Some(unseen.clone().unwrap_or(Cause::NoPort));
        }
        let mut first = None;
        for (address, port, route) in members {
            let cause = route
                .obstacle(*address, port, snapshot)
                .or_else(|| carrier_obstacle(settings, *address, snapshot));
            match cause {
                None => return node.clone().or_else(|| userland.as_ref().err().cloned()),
                Some(cause) => first = first.or(Some(cause)),
            }
        }
        // What is wrong with the whole node explains more than what is wrong with a port.
        node.clone().or(first)
    };
    let groups: BTreeMap<_, _> =
        groups.into_iter().map(|(node, members)| (node, judge(&members))).collect();
    let in_place = release.ok().zip(snapshot.userland.known());
    let answer = in_place.map(|((_, release), userland)| {
        let mut answer = answer(settings, release, |directory| userland.path(pool, directory));
        // Without it Onload asks the driver for what few have, and runs unaccelerated. Where there
        // is a card of its own beside, programs are left as they are.
        if datapaths == BTreeSet::from([Datapath::AfXdp]) {
            answer.environment.insert("EF_AF_XDP_ZEROCOPY".to_owned(), "0".to_owned());
        }
        answer
    });
    Standing { groups, unseen, answer }
}

/// The way from Onload to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// Through the driver of its family.
    Driver(&'a Family),
    /// Through the registration of its interface.
    AfXdp(&'a InterfaceName),
}

impl<'a> Route<'a> {
    /// The way to a port; none where nothing is known of it.
    pub fn of(
        address: PciAddress,
        port: &Port,
        hardware: &'a Hardware,
        chosen: &'a Chosen,
    ) -> Option<Self> {
        let registered = chosen.ports.get(&address).map(Self::AfXdp);
        registered.or_else(|| hardware.family(port).map(Self::Driver))
    }

    /// Its word.
    pub fn datapath(self) -> Datapath {
        match self {
            Self::AfXdp(_) => Datapath::AfXdp,
            Self::Driver(family) => match family.onload {
                Acceleration::Native => Datapath::Native,
                Acceleration::Efct => Datapath::Efct,
                Acceleration::No => Datapath::None,
            },
        }
    }

    /// What keeps Onload from using the port.
    pub fn obstacle(self, address: PciAddress, port: &Port, snapshot: &Snapshot) -> Option<Cause> {
        match self {
            Self::Driver(family) => port_obstacle(address, port, family, snapshot),
            Self::AfXdp(name) => {
                let interface = name.clone();
                (!af_xdp::is_registered(name, snapshot))
                    .then_some(Cause::Unregistered { port: address, interface })
            }
        }
    }
}

/// The ports of a pool: those it names, or every one that Onload accelerates. Where there are only
/// cards that Onload does not accelerate, they are the members, so that the reason can be told.
fn members<'a>(
    settings: &PoolSettings,
    ports: &'a BTreeMap<PciAddress, Port>,
    snapshot: &Snapshot,
    (hardware, chosen): (&'a Hardware, &'a Chosen),
) -> BTreeMap<PciAddress, (&'a Port, Route<'a>)> {
    let known = ports.iter().filter_map(|(address, port)| {
        Some((*address, (port, Route::of(*address, port, hardware, chosen)?)))
    });
    if !settings.ports.is_empty() {
        return known.filter(|(address, _)| is_named(&settings.ports, address, snapshot)).collect();
    }
    let (accelerated, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
        known.partition(|(_, (_, route))| route.datapath() != Datapath::None);
    if accelerated.is_empty() { rest } else { accelerated }
}

fn is_named(names: &BTreeSet<String>, address: &PciAddress, snapshot: &Snapshot) -> bool {
    names.contains(&address.to_string())
        || snapshot.interface_of(address).is_some_and(|(name, interface)| {
            names.contains(name.as_str())
                || interface.altnames.iter().any(|name| names.contains(name))
        })
}

/// What keeps every port of the node from being used.
fn node_obstacle(snapshot: &Snapshot) -> Option<Cause> {
    for name in ["sfc_resource", "sfc_char", "onload"] {
        match snapshot.module(name) {
            Reading::Known(module) if module.state == ModuleState::Live => {}
            Reading::Known(_) => return Some(Cause::ModuleInFlight { module: name.to_owned() }),
            Reading::Absent => return Some(Cause::ModuleAbsent { module: name.to_owned() }),
            Reading::Unreadable(_) => {
                return Some(Cause::Unreadable { part: "the list of modules".to_owned() });
            }
        }
    }
    DEVICE_NODES.iter().find_map(|path| match snapshot.device_nodes.get(*path) {
        Some(Reading::Known(_)) => None,
        Some(Reading::Unreadable(_)) => Some(Cause::Unreadable { part: (*path).to_owned() }),
        Some(Reading::Absent) | None => Some(Cause::DeviceNodeMissing { path: (*path).to_owned() }),
    })
}

/// What keeps Onload from using one port.
pub fn port_obstacle(
    address: PciAddress,
    port: &Port,
    family: &Family,
    snapshot: &Snapshot,
) -> Option<Cause> {
    let prefixes: &[&str] = match family.onload {
        // Names of auxiliary devices: reference/onload-modules.md section 2.1.
        Acceleration::Native => &["sfc.onload.", "sfc.llct."],
        Acceleration::Efct => &["xilinx_efct."],
        Acceleration::No => {
            let reason = family.reason.clone().unwrap_or_default();
            return Some(Cause::NotAccelerated { port: address, reason });
        }
    };
    let expected = &family.driver;
    match &port.driver {
        Reading::Known(driver) if driver == expected => {}
        Reading::Known(driver) => {
            let (driver, expected) = (driver.clone(), expected.clone());
            return Some(Cause::WrongDriver { port: address, driver, expected });
        }
        Reading::Absent if snapshot.module(expected).is_absent() => {
            return Some(Cause::ModuleAbsent { module: expected.clone() });
        }
        Reading::Absent => {
            let (driver, expected) = ("no driver".to_owned(), expected.clone());
            return Some(Cause::WrongDriver { port: address, driver, expected });
        }
        Reading::Unreadable(_) => {
            return Some(Cause::Unreadable { part: format!("the driver of port {address}") });
        }
    }
    if driver_origin(expected, snapshot) == Reading::Known(Origin::InTree) {
        return Some(Cause::InTreeDriver { port: address });
    }
    // Up to Onload 8.1 the coupling is a module of its own, and there are no auxiliary devices.
    if snapshot.module("sfc_driverlink").known().is_some() {
        return None;
    }
    match &port.auxiliary {
        Reading::Known(devices) => {
            let bound = devices.iter().any(|(name, driver)| {
                prefixes.iter().any(|prefix| name.starts_with(prefix)) && driver.known().is_some()
            });
            (!bound).then_some(Cause::NoAuxiliaryDevice { port: address })
        }
        Reading::Absent => Some(Cause::NoAuxiliaryDevice { port: address }),
        Reading::Unreadable(_) => {
            Some(Cause::Unreadable { part: format!("the auxiliary devices of port {address}") })
        }
    }
}

/// Where the loaded driver module was built.
pub fn driver_origin(driver: &str, snapshot: &Snapshot) -> Reading<Origin> {
    snapshot.module(driver).and_then(crate::inventory::Module::origin)
}

fn carrier_obstacle(
    settings: &PoolSettings,
    address: PciAddress,
    snapshot: &Snapshot,
) -> Option<Cause> {
    let up = || {
        let (_, interface) = snapshot.interface_of(&address)?;
        (interface.link == Reading::Known(Link::Up)).then_some(())
    };
    (settings.require_carrier && up().is_none()).then_some(Cause::NoCarrier { port: address })
}

/// The release whose user libraries fit the loaded driver. A mixed state is never advertised:
/// every new socket of a program with other libraries fails
/// (reference/onload-modules.md section 4).
///
/// # Errors
/// Why there is none.
pub fn matching_release(snapshot: &Snapshot) -> Result<(&ReleaseName, &Release), Cause> {
    let hash = match &snapshot.driver.interface {
        Reading::Known(hash) => hash,
        Reading::Absent | Reading::Unreadable(_) => {
            return Err(Cause::Unreadable { part: "/proc/driver/onload/version".to_owned() });
        }
    };
    let releases = match &snapshot.releases {
        Reading::Known(releases) if releases.values().any(has_libraries) => releases,
        Reading::Known(_) | Reading::Absent => return Err(Cause::LibrariesMissing),
        Reading::Unreadable(_) => {
            return Err(Cause::Unreadable { part: "the user libraries".to_owned() });
        }
    };
    let version = snapshot.driver.version.known();
    let fits = |release: &Release| {
        release.interfaces.known().is_some_and(|interfaces| interfaces.contains(hash))
    };
    releases
        .iter()
        .filter(|(_, release)| fits(release))
        // Of several that fit, the one named like the driver, else the last by name.
        .max_by_key(|(name, _)| version.is_some_and(|version| version == name.as_str()))
        .ok_or_else(|| Cause::LibraryMismatch {
            driver: version
                .filter(|version| !version.is_empty())
                .cloned()
                .unwrap_or_else(|| hash.to_string()),
        })
}

fn has_libraries(release: &Release) -> bool {
    !release.libraries.is_empty()
}

/// What a container gets of a release (reference/kubernetes-onload.md section 1.3), by paths that
/// outlive it.
fn answer(
    settings: &PoolSettings,
    release: &Release,
    on_host: impl Fn(&str) -> String,
) -> ContainerAnswer {
    let mut answer = ContainerAnswer {
        device_nodes: DEVICE_NODES.iter().map(|path| (*path).to_owned()).collect(),
        ..ContainerAnswer::default()
    };
    let inside = format!("{}{}", settings.mount_prefix, settings.library_directory);
    answer.mounts.insert(inside.clone(), on_host(userland::LIBRARIES));
    let preload = format!("{inside}/libonload.so");
    if settings.preload {
        answer.environment.insert("LD_PRELOAD".to_owned(), preload);
    } else if settings.launcher && release.launcher {
        // The launcher finds its profiles by a fixed path and its library by this variable.
        let programs = format!("{}{}", settings.mount_prefix, settings.program_directory);
        answer.mounts.insert(programs, on_host(userland::PROGRAMS));
        answer.mounts.insert("/usr/libexec/onload".to_owned(), on_host(userland::PRIVATE));
        answer.environment.insert("ONLOAD_PRELOAD".to_owned(), preload);
    }
    answer
}

/// The devices of a pool in slot order, lent to nobody yet.
pub fn devices(pool: &PoolName, settings: &PoolSettings, standing: &Standing) -> Vec<Device> {
    let groups: Vec<_> = standing.groups.iter().collect();
    let nowhere = Some(standing.nowhere());
    let none = (&None, &nowhere);
    let shared = settings.slots - settings.local.min(settings.slots);
    (0..settings.slots)
        .filter_map(|slot| {
            let at = usize::try_from(slot).unwrap_or(0).checked_rem(groups.len());
            let (numa_node, cause) = at.and_then(|at| groups.get(at)).copied().unwrap_or(none);
            Some(Device {
                // A pool name and a number always make an id; were it otherwise, there is no device.
                id: slot_id(pool, slot)?,
                numa_node: *numa_node,
                cause: cause.clone(),
                local_only: slot >= shared,
                lent: Lent::No,
            })
        })
        .collect()
}

fn slot_id(pool: &PoolName, slot: u32) -> Option<DeviceId> {
    format!("{pool}-{slot}").parse().ok()
}

#[cfg(test)]
mod tests;
