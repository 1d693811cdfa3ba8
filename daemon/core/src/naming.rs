//! Names of ports: today's, what each release's driver would make of them, those configured, and what
//! stands against each. Nothing here renames, and no file is written: this is the plan alone.
//!
//! udev makes names of what the driver shows, so the same port is `ens1f0np0` with one `sfc` and
//! `ens1f0` with another (reference/interface-naming.md section 0).

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{NamingPolicy, NamingSettings, PortNaming};
use crate::hardware::{Family, FunctionKind, Hardware};
use crate::inventory::{Interface, Port, Snapshot};
use crate::names::{InterfaceName, PciAddress, ReleaseName};
use crate::plan::standing::Loads;

mod conflict;
mod driver;
mod foretell;
mod link_file;
mod pin;
pub mod rule;
#[cfg(test)]
mod tests;
mod udev;

pub use conflict::{Conflict, Source, Sources};
pub use pin::{Key, Pin, Pins, Renaming, Renamings, Trouble, Wanted, renamings, wanted};
pub use udev::UdevNames;

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A port.
    Port(PciAddress),
    /// What the configuration means a port by that is not there, in words.
    Nobody(String),
}

/// One port's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortName {
    /// The port.
    pub subject: Subject,
    /// Its interface now; none while no driver shows one.
    pub today: Option<InterfaceName>,
    /// What `[naming]` wants it to be called; none where it is left alone.
    pub configured: Option<InterfaceName>,
    /// What each release on the disk would make of it, none of them knowing the configuration.
    pub drivers: BTreeMap<ReleaseName, Foretold>,
    /// What is wrong with any of these names.
    pub conflicts: Vec<Conflict>,
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
                today: today.map(|(name, _)| name.clone()),
                configured: None,
                drivers: drivers.collect(),
                conflicts: Vec::new(),
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
        rows.extend(wanted.map(missing));
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
        Some(NamingPolicy::Keep) => row.today.clone(),
        Some(NamingPolicy::Explicit) if names.len() > 1 => {
            let names = names.iter().map(ToString::to_string).collect();
            row.conflicts.push(Conflict::SeveralNames { names });
            None
        }
        Some(NamingPolicy::Explicit) => names.into_iter().next(),
    };
}

fn missing(one: &PortNaming) -> PortName {
    let selector = one.selector();
    PortName {
        subject: Subject::Nobody(selector.clone()),
        today: None,
        configured: Some(one.name.clone()),
        drivers: BTreeMap::new(),
        conflicts: vec![Conflict::NotThere { selector }],
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

/// Numbers of the physical ports, counted from 0 by PCI address.
fn numbers(ports: &[(PciAddress, &Port, &Family)]) -> BTreeMap<PciAddress, u32> {
    let physical = ports.iter().filter(|(_, _, family)| family.function == FunctionKind::Pf);
    physical.map(|(address, ..)| *address).zip(0..).collect()
}
