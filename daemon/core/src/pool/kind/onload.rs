//! Slots of Onload: each is the right to use Onload, and any does for any other.
//!
//! Slots are dealt in turn to the NUMA nodes on which the pool has ports, so that a slot tells the
//! kubelet where its card is. A slot works when one port of its node does.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fit, Kind};
use crate::command::ContainerAnswer;
use crate::config::PoolSettings;
use crate::hardware::Datapath;
use crate::inventory::{DEVICE_NODES, Link, ModuleState, Port, Snapshot};
use crate::names::{DeviceId, PciAddress, PoolName};
use crate::pool::{Cause, Device, Lent, Look, Members, Place, Route, Standing, matching_release};
use crate::reading::Reading;
use crate::release::Release;
use crate::userland;

/// The kind `onload`.
#[derive(Debug)]
pub(super) struct Onload;

impl Kind for Onload {
    fn interchangeable(&self) -> bool {
        true
    }

    fn fit(&self, address: PciAddress, port: &Port, look: &Look<'_>) -> Fit {
        match Route::of(address, port, look.hardware, look.chosen).map(Route::datapath) {
            None => Fit::No,
            // Where there is nothing better it is a member, so that the reason can be told.
            Some(Datapath::None) => Fit::Poor,
            Some(Datapath::Native | Datapath::Efct | Datapath::AfXdp) => Fit::Good,
        }
    }

    fn stand(
        &self,
        pool: &PoolName,
        settings: &PoolSettings,
        look: &Look<'_>,
        members: &Members<'_>,
        former: &Standing,
    ) -> Standing {
        let snapshot = look.snapshot;
        let route = |address, port| Route::of(address, port, look.hardware, look.chosen);
        let mut nodes: BTreeMap<Place, Vec<(PciAddress, &Port, Route<'_>)>> =
            former.places.keys().map(|place| (*place, Vec::new())).collect();
        for (address, port, numa_node) in members.placed() {
            if let Some(route) = route(address, port) {
                nodes.entry(Place::node(numa_node)).or_default().push((address, port, route));
            }
        }
        let node = node_obstacle(snapshot);
        let release = matching_release(snapshot);
        let userland = release
            .clone()
            .and_then(|release| userland::obstacle(pool, release, snapshot).map_or(Ok(()), Err));
        let judge = |ports: &[(PciAddress, &Port, Route<'_>)]| -> Option<Cause> {
            if ports.is_empty() {
                return Some(members.nowhere());
            }
            let mut first = None;
            for (address, port, route) in ports {
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
        let places = nodes.into_iter().map(|(place, ports)| (place, judge(&ports))).collect();
        let in_place = release.ok().zip(snapshot.userland.known());
        let answer = in_place.map(|((_, release), userland)| {
            let mut answer = answer(settings, release, |directory| userland.path(pool, directory));
            let routes = members.ports.iter().filter_map(|(address, port)| route(*address, port));
            let datapaths: BTreeSet<_> = routes.map(Route::datapath).collect();
            // Without it Onload asks the driver for what few have, and runs unaccelerated. Where
            // there is a card of its own beside, programs are left as they are.
            if datapaths == BTreeSet::from([Datapath::AfXdp]) {
                answer.environment.insert("EF_AF_XDP_ZEROCOPY".to_owned(), "0".to_owned());
            }
            answer
        });
        Standing { places, answer, ..Standing::default() }
    }

    fn devices(
        &self,
        pool: &PoolName,
        settings: &PoolSettings,
        standing: &Standing,
    ) -> Vec<Device> {
        let places: Vec<_> = standing.places.iter().collect();
        let nowhere = Some(standing.nowhere());
        let none = (&Place::node(None), &nowhere);
        let shared = settings.slots - settings.local.min(settings.slots);
        (0..settings.slots)
            .filter_map(|slot| {
                let at = usize::try_from(slot).unwrap_or(0).checked_rem(places.len());
                let (place, cause) = at.and_then(|at| places.get(at)).copied().unwrap_or(none);
                Some(Device {
                    // A pool name and a number always make an id; were it otherwise, there is no
                    // device.
                    id: slot_id(pool, slot)?,
                    numa_node: place.numa_node,
                    cause: cause.clone(),
                    local_only: slot >= shared,
                    lent: Lent::No,
                })
            })
            .collect()
    }
}

fn slot_id(pool: &PoolName, slot: u32) -> Option<DeviceId> {
    format!("{pool}-{slot}").parse().ok()
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
