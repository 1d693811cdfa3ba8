//! Names of the small machine's ports.

use super::*;
use crate::condition::{ConditionKind, Status};
use crate::inventory::Interface;
use crate::naming::{Key, Pin, Renaming, UdevNames};
use crate::sample::PORTS;

impl Lab {
    /// Renames as the kernel does, several at once.
    pub(super) fn rename(&mut self, all: &[Renaming]) {
        let interfaces = inner(&mut self.node.interfaces);
        let taken: Vec<_> =
            all.iter().map(|one| (one.to.clone(), interfaces.remove(&one.from).unwrap())).collect();
        for (name, interface) in taken {
            assert!(interfaces.insert(name, interface).is_none(), "two of one name");
        }
        if self.node.network.known().is_some() {
            let links = &mut self.carried().links;
            let taken =
                all.iter().filter_map(|one| Some((one.to.clone(), links.remove(&one.from)?)));
            let taken: Vec<_> = taken.collect();
            links.extend(taken);
        }
    }

    /// Somebody else renames an interface.
    pub fn call(&mut self, from: &str, to: &str) {
        let port = self.interface(from).port.known().copied().unwrap();
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        self.rename(&[Renaming { port, from, to, may_go_down: true }]);
        self.touch();
    }

    /// An interface by name.
    pub fn interface(&mut self, name: &str) -> &mut Interface {
        inner(&mut self.node.interfaces).get_mut(&name.parse().unwrap()).unwrap()
    }

    /// Whether udev is just naming an interface.
    pub fn udev_names(&mut self, name: &str, renaming: bool) {
        let udev = UdevNames { renaming, ..UdevNames::default() };
        self.interface(name).udev = Known(Box::new(udev));
        self.touch();
    }

    /// What the ports are called, by PCI address.
    pub fn names(&self) -> Vec<String> {
        let interface_of = |port: &&str| self.node.interface_of(&port.parse().unwrap());
        PORTS.iter().filter_map(interface_of).map(|(name, _)| name.to_string()).collect()
    }

    /// Pins that are there already, by the place of the ports.
    pub fn pin(&mut self, names: &[(usize, &str)]) {
        let pins = names.iter().map(|(port, name)| {
            let pin = Pin { name: name.parse().unwrap(), altnames: BTreeSet::new() };
            (Key::Pci(PORTS[*port].parse().unwrap()), pin)
        });
        self.node.pins = Known(pins.collect());
        self.touch();
    }

    /// The pinned names, by key.
    pub fn pinned(&self) -> Vec<String> {
        let pins = self.node.pins.known().into_iter().flatten();
        pins.map(|(_, pin)| pin.name.to_string()).collect()
    }

    /// What the condition of names says: status, reason and message.
    pub fn named(&self) -> (Status, String, String) {
        let all = &self.picture.conditions;
        let one = all.iter().find(|one| one.kind == ConditionKind::NamesPinned).unwrap();
        (one.status, one.reason.clone(), one.message.clone())
    }
}
