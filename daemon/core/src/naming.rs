//! Names of ports: today's, what each release's driver would make of them, those configured, and what
//! stands against each. Nothing here renames, and no file is written: this is the plan alone.
//!
//! udev makes names of what the driver shows, so the same port is `ens1f0np0` with one `sfc` and
//! `ens1f0` with another (reference/interface-naming.md section 0).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::{NamingPolicy, NamingSettings, PortNaming};
use crate::hardware::{Family, FunctionKind, Hardware};
use crate::inventory::{Interface, Port, Snapshot};
use crate::names::{InterfaceName, PciAddress, ReleaseName};
use crate::plan::standing::Loads;

mod conflict;
mod driver;
mod foretell;
mod given;
mod link_file;
mod pin;
mod renaming;
mod render;
pub mod rule;
#[cfg(test)]
mod tests;
mod udev;
mod wanted;

pub use conflict::{Conflict, Source, Sources};
pub use given::Given;
pub use pin::{ALTERNATIVE, Key, Pin, Pins, Renaming, SUFFIX, Trouble, Weight, is_own};
pub use renaming::{Renamings, renamings};
pub use render::{DIRECTORY, is_rendered, render};
pub use udev::UdevNames;
pub use wanted::{Wanted, wanted};

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A port.
    Port(PciAddress),
    /// What the configuration means a port by that is not there, in words.
    Nobody(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => write!(f, "{address}"),
            Self::Nobody(selector) => f.write_str(selector),
        }
    }
}

/// One port's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortName {
    /// The port.
    pub subject: Subject,
    /// Whether it is a card's own. A virtual one is its user's, who may call it what they like.
    pub physical: bool,
    /// Its interface now; none while no driver shows one.
    pub today: Option<InterfaceName>,
    /// What `[naming]` wants it to be called; none where it is left alone.
    pub configured: Option<InterfaceName>,
    /// What it is pinned to, and by what; none where it is not, or that cannot be told.
    pub pinned: Option<(Key, Pin)>,
    /// What a file of a MachineConfig calls it, which comes before its pin.
    pub given: Option<Given>,
    /// What each release on the disk would make of it, none of them knowing the configuration.
    pub drivers: BTreeMap<ReleaseName, Foretold>,
    /// What is wrong with any of these names.
    pub conflicts: Vec<Conflict>,
    /// Why it is not called or pinned as it should be, beside conflicts.
    pub troubles: Vec<Trouble>,
}

impl PortName {
    /// Where the port sits; none where there is none.
    pub fn address(&self) -> Option<PciAddress> {
        match &self.subject {
            Subject::Port(address) => Some(*address),
            Subject::Nobody(_) => None,
        }
    }
}

/// A name that is told before it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foretold {
    /// The name; none where it cannot be told.
    pub name: Option<String>,
    /// What it was told from, or why it cannot be.
    pub why: String,
}

/// Every Solarflare port by PCI address, then what the configuration means and is not there.
pub fn plan(
    snapshot: &Snapshot,
    settings: &NamingSettings,
    hardware: &Hardware,
    loads: &Loads,
) -> Vec<PortName> {
    let known = ports(snapshot, hardware);
    let releases = snapshot.releases.known();
    let numbers = numbers(&known);
    let mut rows: Vec<PortName> = known
        .iter()
        .map(|(address, port, family)| {
            let today = snapshot.interface_of(address);
            let subject = foretell::Subject { port, family, today };
            let releases = releases.into_iter().flat_map(|all| all.keys());
            let drivers = releases.map(|release| {
                (release.clone(), foretell::foretell(&subject, release, snapshot, loads))
            });
            let mut row = PortName {
                subject: Subject::Port(*address),
                physical: family.function == FunctionKind::Pf,
                today: today.map(|(name, _)| name.clone()),
                configured: None,
                pinned: pinned(snapshot, *address, today),
                given: today
                    .and_then(|(_, interface)| given::to_port(*address, interface, snapshot))
                    .or_else(|| given::to_key(&Key::Pci(*address), snapshot)),
                drivers: drivers.collect(),
                conflicts: Vec::new(),
                troubles: Vec::new(),
            };
            configure(&mut row, settings, *address, numbers.get(address).copied(), today);
            row
        })
        .collect();
    conflict::find(&mut rows, snapshot);
    // While the list of ports or interfaces has a gap, nothing is missing for certain.
    if snapshot.ports.known().is_some() && snapshot.interfaces.known().is_some() {
        let wanted = settings.ports.iter().filter(|one| {
            !known.iter().any(|(address, ..)| {
                let today = snapshot.interface_of(address).map(|(_, interface)| interface);
                one.means(address, numbers.get(address).copied(), today)
            })
        });
        rows.extend(wanted.map(|one| missing(one, snapshot)));
    }
    rows
}

fn configure(
    row: &mut PortName,
    settings: &NamingSettings,
    address: PciAddress,
    number: Option<u32>,
    today: Option<(&InterfaceName, &Interface)>,
) {
    let interface = today.map(|(_, interface)| interface);
    let tables = settings.ports.iter().filter(|one| one.means(&address, number, interface));
    let names: BTreeSet<_> = tables.map(|one| one.name.clone()).collect();
    row.configured = match settings.policy {
        Some(NamingPolicy::Off) | None => None,
        Some(NamingPolicy::Keep) => {
            let given = row.given.as_ref().map(|given| &given.name);
            let pinned = row.pinned.as_ref().map(|(_, pin)| &pin.name);
            given.or(pinned).or(row.today.as_ref()).cloned()
        }
        Some(NamingPolicy::Explicit) if names.len() > 1 => {
            let names = names.iter().map(ToString::to_string).collect();
            row.conflicts.push(Conflict::SeveralNames { names });
            None
        }
        Some(NamingPolicy::Explicit) => names.into_iter().next(),
    };
}

fn pinned(
    snapshot: &Snapshot,
    address: PciAddress,
    today: Option<(&InterfaceName, &Interface)>,
) -> Option<(Key, Pin)> {
    let interface = today.map(|(_, interface)| interface);
    let (key, pin) = pin::pin_of(snapshot.pins.known()?, address, interface)?;
    Some((key, pin.clone()))
}

fn missing(one: &PortNaming, snapshot: &Snapshot) -> PortName {
    let selector = one.selector();
    let key = one.mac.map(Key::Mac).or(one.pci.map(Key::Pci));
    let pins = snapshot.pins.known();
    let pin = key.and_then(|key| Some((key, pins?.get(&key)?.clone())));
    PortName {
        subject: Subject::Nobody(selector.clone()),
        physical: true,
        today: None,
        configured: Some(one.name.clone()),
        pinned: pin,
        given: key.and_then(|key| given::to_key(&key, snapshot)),
        drivers: BTreeMap::new(),
        conflicts: vec![Conflict::NotThere { selector }],
        troubles: Vec::new(),
    }
}

/// Ports of cards in the table of families, in the order of their addresses.
fn ports<'a>(
    snapshot: &'a Snapshot,
    hardware: &'a Hardware,
) -> Vec<(PciAddress, &'a Port, &'a Family)> {
    let ports = snapshot.ports.known().into_iter().flatten();
    ports.filter_map(|(at, port)| Some((*at, port, hardware.family(port)?))).collect()
}

/// Numbers of the node's physical Solarflare ports, by which configurations may name them.
pub fn port_numbers(snapshot: &Snapshot, hardware: &Hardware) -> BTreeMap<PciAddress, u32> {
    numbers(&ports(snapshot, hardware))
}

/// Numbers of the physical ports, counted from 0 by PCI address.
fn numbers(ports: &[(PciAddress, &Port, &Family)]) -> BTreeMap<PciAddress, u32> {
    let physical = ports.iter().filter(|(_, _, family)| family.function == FunctionKind::Pf);
    physical.map(|(address, ..)| *address).zip(0..).collect()
}
