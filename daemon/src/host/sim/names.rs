//! Names of interfaces: what udev makes of them as they appear, by pins of onloadd or by what the driver
//! shows, and how the kernel takes others.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::af_xdp::LinkFile;
use onload_core::inventory::NameOrigin;
use onload_core::names::{InterfaceName, PciAddress};
use onload_core::naming::{Key, Renaming, UdevNames};
use onload_core::step::{Outcome, StepError};

use super::action::ActionError;
use super::bus::Netdev;
use super::world::World;

/// Naming scheme of the simulated udev.
const SCHEME: &str = "rhel-9.0";
/// The one `.link` file that the simulated machine brings.
const DEFAULT_LINK_FILE: &str = "/usr/lib/systemd/network/99-default.link";
/// What becomes of a kernel that renames an interface which Onload has for AF_XDP
/// (reference/onload-measured.md section 3).
const OOPS: &str = "the kernel would Oops: it is registered with Onload for AF_XDP";

/// Where a pin is written. Among files that match, the first by name counts.
fn link_file(key: &Key) -> String {
    format!("/etc/systemd/network/{}", key.file())
}

impl Netdev {
    /// Who gave it the name of today.
    pub(super) fn origin(&self) -> NameOrigin {
        if self.renamed {
            return NameOrigin::Renamed;
        }
        // Whatever else the kernel named itself has no rule of udev's.
        match self.name.as_str().strip_prefix("eth").map(str::parse::<u32>) {
            Some(Ok(_)) => NameOrigin::Enumerated,
            Some(Err(_)) | None => NameOrigin::Renamed,
        }
    }

    /// udev's record: the policy is told by the letters that its names begin with
    /// (reference/interface-naming.md section 2).
    pub(super) fn udev(&self, address: PciAddress) -> UdevNames {
        let by = |prefix: &str| self.evaluated.clone().filter(|name| name.starts_with(prefix));
        let (name, file) = match &self.pinned {
            Some((key, name)) => (Some(name.to_string()), link_file(key)),
            None => (self.evaluated.clone(), DEFAULT_LINK_FILE.to_owned()),
        };
        UdevNames {
            name,
            onboard: by("eno"),
            slot: by("ens"),
            path: by("enp"),
            mac: self.permanent.map(|mac| format!("enx{mac}").replace(':', "")),
            scheme: Some(SCHEME.to_owned()),
            link_file: Some(file),
            id_path: Some(format!("pci-{address}")),
            ..UdevNames::default()
        }
    }
}

impl World {
    /// The files of the pins.
    pub(super) fn link_files(&self) -> BTreeMap<String, LinkFile> {
        let file = |key: &Key| {
            let (by, value) = match key {
                Key::Mac(mac) => ("PermanentMACAddress", mac.to_string()),
                Key::Pci(address) => ("Path", format!("pci-{address}")),
            };
            let matches = [(by, value), ("Type", "ether".to_owned()), ("Kind", "!*".to_owned())];
            matches.map(|(key, value)| (key.to_owned(), value)).into()
        };
        let files = self.pins.iter().map(|(key, pin)| {
            let name = Some(pin.name.to_string());
            (link_file(key), LinkFile { matches: file(key), name, name_policy: None })
        });
        files.collect()
    }

    /// Adds an interface under the name pinned, or else the one wanted; where that is taken or too
    /// long, under the kernel's own. Alternative names that are taken are left out.
    pub(super) fn add_netdev(&mut self, mut netdev: Netdev, wanted: &str) {
        let keys = [netdev.permanent.map(Key::Mac), netdev.port.map(Key::Pci)];
        let pin = keys.into_iter().flatten().find_map(|key| Some((key, self.pins.get(&key)?)));
        let by_udev = match pin {
            Some((_, pin)) => Some(pin.name.clone()),
            None => wanted.parse().ok(),
        };
        netdev.evaluated = wanted.parse().ok().map(|name: InterfaceName| name.to_string());
        netdev.pinned = pin.map(|(key, pin)| (key, pin.name.clone()));
        netdev.renamed = netdev.pinned.is_some();
        if let Some((_, pin)) = pin {
            netdev.altnames.extend(pin.altnames.iter().cloned());
            // `AlternativeNamesPolicy=` of the file.
            netdev.altnames.extend(netdev.evaluated.clone());
        }
        netdev.altnames.retain(|altname| !self.name_is_taken(altname));
        let by_kernel = (0..=self.netdevs.len()).filter_map(|n| format!("eth{n}").parse().ok());
        let free = |name: &InterfaceName| !self.name_is_taken(name.as_str());
        let chosen = by_udev.iter().cloned().chain(by_kernel).find(free);
        if let Some(name) = chosen {
            // udev gives the name first, and then the others but this.
            netdev.renamed &= by_udev.as_ref() == Some(&name);
            netdev.altnames.remove(name.as_str());
            netdev.name = name;
        }
        self.netdevs.insert(self.next_index, netdev);
        self.next_index += 1;
    }

    pub(super) fn name_is_taken(&self, name: &str) -> bool {
        self.taken_by(name).is_some()
    }

    /// Whose name it is, or one of whose.
    fn taken_by(&self, name: &str) -> Option<u32> {
        let has = |other: &Netdev| other.name.as_str() == name || other.altnames.contains(name);
        self.netdevs.iter().find(|(_, other)| has(other)).map(|(index, _)| *index)
    }

    /// Renames interfaces: all of them or none. What they were called leads to them still.
    ///
    /// # Errors
    /// The kernel's answer.
    pub(super) fn rename_all(&mut self, all: &[Renaming]) -> Result<Outcome, StepError> {
        let refuse = |name: &InterfaceName, to: &InterfaceName, why: &str| {
            Err(StepError::Failed(format!("{name} was not renamed to {to}: {why}")))
        };
        let mut due: BTreeMap<u32, &Renaming> = BTreeMap::new();
        for one in all {
            let of_port = |netdev: &Netdev| netdev.port == Some(one.port);
            let found = self.netdevs.iter().find(|(_, netdev)| of_port(netdev));
            // One that is gone has no name to give.
            let Some((index, netdev)) = found.filter(|(_, netdev)| netdev.name != one.to) else {
                continue;
            };
            if netdev.name != one.from {
                return refuse(&one.from, &one.to, &format!("it is {} by now", netdev.name));
            }
            due.insert(*index, one);
        }
        let mut targets = BTreeSet::new();
        for (index, one) in &due {
            if self.would_oops(*index) {
                self.oopses += 1;
                return refuse(&one.from, &one.to, OOPS);
            }
            let gives_up = |other: u32| {
                let name = self.netdevs.get(&other).map(|netdev| &netdev.name);
                other == *index || (due.contains_key(&other) && name == Some(&one.to))
            };
            let in_the_way = self.taken_by(one.to.as_str()).is_some_and(|other| !gives_up(other));
            if in_the_way || !targets.insert(&one.to) {
                return refuse(&one.from, &one.to, "File exists");
            }
            let up = self.netdevs.get(index).is_some_and(|netdev| netdev.network.up);
            if up && self.faults.rename_busy && !one.may_go_down {
                return refuse(&one.from, &one.to, "Device or resource busy");
            }
        }
        if due.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        for (index, one) in &due {
            let Some(netdev) = self.netdevs.get_mut(index) else { continue };
            if netdev.network.up && self.faults.rename_busy {
                netdev.network.down();
                netdev.network.up = true;
            }
            netdev.altnames.remove(one.to.as_str());
            netdev.name = one.to.clone();
            netdev.renamed = true;
        }
        for (index, one) in &due {
            let free = !self.name_is_taken(one.from.as_str());
            if let Some(netdev) = self.netdevs.get_mut(index).filter(|_| free) {
                netdev.altnames.insert(one.from.to_string());
            }
        }
        self.touch();
        Ok(Outcome::Changed)
    }

    /// Whether Onload has an interface by its registration alone: what it drives itself it follows.
    fn would_oops(&self, index: u32) -> bool {
        let port = self.netdevs.get(&index).and_then(|netdev| netdev.port);
        let function = port.and_then(|port| self.functions.get(&port));
        let driven = function.is_some_and(|function| {
            function.auxiliary.values().any(|kind| self.auxiliary_driver(function, kind).is_some())
        });
        self.registered.contains(&index) && !driven
    }

    /// How often an interface was to be renamed at which the kernel would Oops.
    pub fn oopses(&self) -> u32 {
        self.oopses
    }

    /// `rename`: by hand, as `ip link set` does.
    pub(super) fn rename(
        &mut self,
        from: &InterfaceName,
        to: &InterfaceName,
    ) -> Result<(), ActionError> {
        let refuse = |why: &str, fix: &str| {
            Err(ActionError::new(format!("interface {from} is not renamed"), why, fix))
        };
        if self.name_is_taken(to.as_str()) {
            return refuse(&format!("EEXIST: {to} is taken"), "choose a free name");
        }
        let index = self.index_of(from);
        if index.is_some_and(|index| self.would_oops(index)) {
            return refuse(OOPS, "unload sfc_resource first");
        }
        let busy = self.faults.rename_busy;
        let netdev = self.netdev(from)?;
        if busy && netdev.network.up {
            return refuse("EBUSY: this kernel renames nothing that is up", "clear faults");
        }
        netdev.name = to.clone();
        netdev.renamed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
