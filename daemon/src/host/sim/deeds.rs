//! Network state put back, deed by deed, as the kernel takes it.

use onload_core::names::InterfaceName;
use onload_core::network::{Deed, Raw, Route};
use onload_core::step::Outcome;

use super::bus::Netdev;
use super::world::World;

/// The word for it among [`DEEDS`](super::faults::DEEDS).
fn kind(deed: &Deed) -> &'static str {
    match deed {
        Deed::Make { .. } => "make",
        Deed::Functions { .. } => "functions",
        Deed::Function { .. } => "function",
        Deed::Set { .. } => "set",
        Deed::Mac { .. } => "mac",
        Deed::Join { .. } => "join",
        Deed::Mtu { .. } => "mtu",
        Deed::Altnames { .. } => "altnames",
        Deed::Listen { .. } => "listen",
        Deed::Up { .. } => "up",
        Deed::Qdisc { .. } => "qdisc",
        Deed::Address { .. } => "address",
        Deed::Route { .. } => "route",
        Deed::Rule { .. } => "rule",
    }
}

impl World {
    /// Does what is asked for, in order; what the kernel refuses is left as it is, and shows by that.
    pub(super) fn restore_network(&mut self, deeds: &[Deed]) -> Outcome {
        let before = self.network_reading();
        for deed in deeds.iter().filter(|deed| !self.faults.spoils(kind(deed))).collect::<Vec<_>>()
        {
            // Refused: the next look shows it.
            let _ = self.put_back(deed);
        }
        if self.network_reading() == before {
            return Outcome::Unchanged;
        }
        self.touch();
        Outcome::Changed
    }

    /// One deed; none where the kernel refuses it.
    fn put_back(&mut self, deed: &Deed) -> Option<()> {
        match deed {
            Deed::Make { link, below, kind, data } => {
                let below = match below {
                    Some(below) => Some(self.index_of(below)?),
                    None => None,
                };
                let free = !self.name_is_taken(link.as_str());
                free.then(|| self.make_link(link, kind, data.clone(), below)).map(drop)
            }
            Deed::Functions { link, count } => {
                let port = self.link(link)?.port?;
                let total = self.functions.get(&port)?.sriov_total?;
                let functions = &mut self.link(link)?.network.functions;
                // The kernel changes a count only from or to none.
                let takes = *count <= total && (functions.is_empty() || *count == 0);
                takes.then(|| *functions = (0..*count).map(|n| (n, Raw::default())).collect())
            }
            Deed::Function { link, number, data } => {
                let function = self.link(link)?.network.functions.get_mut(number)?;
                function.clone_from(data);
                Some(())
            }
            Deed::Set { link, group, settings } => {
                let there = &mut self.link(link)?.network.settings;
                for (name, value) in settings {
                    *there.get_mut(&format!("{group}.{name}"))? = *value;
                }
                Some(())
            }
            Deed::Mac { link, mac } => {
                self.link(link)?.mac = *mac;
                Some(())
            }
            Deed::Join { link, master, membership } => {
                let (index, master) = (self.index_of(link)?, self.index_of(master)?);
                self.join(index, master, membership.clone()).ok()
            }
            Deed::Mtu { link, mtu } => self.set_mtu(link, *mtu).ok(),
            Deed::Altnames { link, names } => {
                let free: Vec<String> =
                    names.iter().filter(|name| !self.name_is_taken(name)).cloned().collect();
                self.link(link)?.altnames.extend(free);
                Some(())
            }
            Deed::Listen { link, promiscuous, all_multicast } => {
                let network = &mut self.link(link)?.network;
                network.promiscuous = *promiscuous;
                network.all_multicast = *all_multicast;
                Some(())
            }
            Deed::Up { link, up } => {
                let below = self.link(link)?.network.below;
                let below = below.and_then(|below| self.netdevs.get(&below));
                // ENETDOWN: a VLAN is up only on what is.
                let can = below.is_none_or(|below| below.network.up);
                let network = &mut self.link(link)?.network;
                match (up, can) {
                    (true, can) => network.up |= can,
                    (false, _) => network.down(),
                }
                Some(())
            }
            Deed::Qdisc { link, kind } => {
                self.link(link)?.network.qdisc = Some(kind.clone());
                Some(())
            }
            Deed::Address { link, address } => {
                self.link(link)?.network.add_address(address.clone());
                Some(())
            }
            Deed::Route { route } => {
                // Routes over several links are not of this world.
                let [over] = route.over.as_slice() else { return None };
                let network = &mut self.link(over)?.network;
                let route = Route { over: Vec::new(), ..route.clone() };
                // ENETDOWN.
                network.up.then(|| network.routes.insert(route)).map(drop)
            }
            Deed::Rule { rule } => {
                self.rules.insert(rule.clone());
                Some(())
            }
        }
    }

    fn link(&mut self, name: &InterfaceName) -> Option<&mut Netdev> {
        self.netdevs.values_mut().find(|netdev| netdev.name == *name)
    }

    /// Gives an interface an MTU; VLANs on it have no greater one.
    ///
    /// # Errors
    /// The kernel's answer.
    pub(super) fn set_mtu(&mut self, name: &InterfaceName, mtu: u32) -> Result<(), &'static str> {
        let index = self.index_of(name).ok_or("ENODEV: there is no such interface")?;
        let below = self.netdevs.get(&index).and_then(|one| one.network.below);
        let most = below.and_then(|below| self.netdevs.get(&below)).map(|one| one.network.mtu);
        if most.is_some_and(|most| mtu > most) {
            return Err("ERANGE: what it is made on has a smaller one");
        }
        let bonds = self.netdevs.get(&index).is_some_and(|one| one.network.kind() == "bond");
        for (other, netdev) in &mut self.netdevs {
            let network = &mut netdev.network;
            let under = network.below == Some(index) && network.mtu > mtu;
            let member = bonds && network.master == Some(index);
            if *other == index || member || under {
                network.mtu = mtu;
            }
        }
        Ok(())
    }
}
