//! Pools: which devices a pool has, on what each stands, whether it can work, and what a container
//! gets of it. What tells one kind of pool from another is below `pool/kind`, a file each; what holds
//! for all of them is here.

use std::collections::{BTreeMap, BTreeSet};

use crate::af_xdp::Chosen;
use crate::command::ContainerAnswer;
use crate::config::PoolSettings;
use crate::hardware::Hardware;
use crate::inventory::Snapshot;
use crate::names::{DeviceId, PciAddress, PoolName, ReleaseName};
use crate::reading::Reading;
use crate::release::Release;

mod answer;
mod cause;
mod device;
mod kind;
mod profile;
mod route;
mod select;

pub use cause::Cause;
pub use device::{Device, Lent};
pub use route::{Route, driver_origin, port_obstacle};
pub use select::selectors;

use select::Members;

/// NUMA node of a port; none where the firmware names none.
pub type NumaNode = Option<u32>;

/// What a pool is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The machine.
    pub snapshot: &'a Snapshot,
    /// The product families.
    pub hardware: &'a Hardware,
    /// What is offered through AF_XDP.
    pub chosen: &'a Chosen,
    /// What lies at paths that pools name as their profile ([`crate::config::Config::profiles`]).
    pub profiles: &'a BTreeMap<String, Result<Vec<u8>, String>>,
}

/// What devices stand on: it comes, goes and breaks as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The NUMA node.
    pub numa_node: NumaNode,
    /// The port; none where every port of the node serves as well.
    pub port: Option<PciAddress>,
}

impl Place {
    /// All ports of a NUMA node.
    pub fn node(numa_node: NumaNode) -> Self {
        Self { numa_node, port: None }
    }
}

/// A device that is a thing of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// What it stands on.
    pub place: Place,
    /// What a container gets for it, besides what it gets for any device of the pool.
    pub answer: ContainerAnswer,
}

/// What of a pool follows from a look at the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What its devices stand on, or stood on in this run, and why they cannot work there: what is
    /// gone takes its devices out of service, it does not deal them anew to what is left.
    pub places: BTreeMap<Place, Option<Cause>>,
    /// Its ports.
    pub ports: BTreeSet<PciAddress>,
    /// Those that a name of their interface stood for when they last had one in this run: it goes
    /// with its driver, and the port stays.
    pub named: BTreeSet<PciAddress>,
    /// Why a device that stands on none of the places cannot work; none: no port is there.
    pub nowhere: Option<Cause>,
    /// What a container gets, whatever devices it has; none while nothing can be served.
    pub answer: Option<ContainerAnswer>,
    /// Devices that are things of their own; none where any does for any other.
    pub own: BTreeMap<DeviceId, Own>,
}

impl Standing {
    /// Why a device that stands on none of the places cannot work.
    pub fn nowhere(&self) -> Cause {
        self.nowhere.clone().unwrap_or(Cause::NoPort)
    }

    /// Why a device cannot work.
    pub fn cause(&self, device: &Device) -> Option<Cause> {
        let place = self.own.get(&device.id).map_or(Place::node(device.numa_node), |own| own.place);
        self.places.get(&place).cloned().unwrap_or_else(|| Some(self.nowhere()))
    }
}

/// Whether a device of the pool does for any other. If so, a local holder moves out of a container's
/// way; a physical thing has no substitute (DESIGN section 6.2).
pub fn is_interchangeable(settings: &PoolSettings) -> bool {
    kind::of(settings.kind).interchangeable()
}

/// Judges a pool. `former` is how it stood before in this run.
pub fn stand(
    pool: &PoolName,
    settings: &PoolSettings,
    look: &Look<'_>,
    former: &Standing,
) -> Standing {
    let kind = kind::of(settings.kind);
    let ports = match &look.snapshot.ports {
        Reading::Known(ports) => ports,
        Reading::Absent => &BTreeMap::new(),
        Reading::Unreadable(_) => {
            let cause = Some(Cause::Unreadable { part: "the PCI bus".to_owned() });
            return Standing {
                places: former.places.keys().map(|place| (*place, cause.clone())).collect(),
                nowhere: cause,
                named: former.named.clone(),
                own: former.own.clone(),
                ..Standing::default()
            };
        }
    };
    let fit = |address, port: &_| kind.fit(address, port, look);
    let members = Members::of(settings, ports, look, former, fit);
    let mut standing = kind.stand(pool, settings, look, &members, former);
    standing.ports = members.ports.keys().copied().collect();
    standing.named.clone_from(&members.named);
    standing.nowhere = Some(members.nowhere()).filter(|cause| *cause != Cause::NoPort);
    if let Some(answer) = &mut standing.answer {
        answer::add_settings(answer, settings);
    }
    let mut standing = profile::with_profile(standing, settings, look);
    answer::keep_common(&mut standing);
    standing
}

/// The devices of a pool in the order in which they are listed, lent to nobody yet.
pub fn devices(pool: &PoolName, settings: &PoolSettings, standing: &Standing) -> Vec<Device> {
    kind::of(settings.kind).devices(pool, settings, standing)
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

#[cfg(test)]
mod tests;
