//! Links of software: VLANs made on an interface, bonds and bridges that it is a member of.

use onload_core::names::{InterfaceName, MacAddress};
use onload_core::network::{Made, Raw};

use super::bus::Netdev;
use super::network::{MTU, Network, raw};
use super::world::World;

/// Numbers that a VLAN may have: 0 and 4095 are reserved (IEEE 802.1Q).
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;
/// The first bytes of an address that the kernel draws by lot: administered locally.
const DRAWN: [u8; 4] = [0x02, 0, 0, 0];

/// What kind of link a name on top means: `upper` has no word for it.
pub(super) fn kind_of(name: &str) -> (&'static str, Raw) {
    let number = name.rsplit_once('.').and_then(|(_, number)| number.parse::<u16>().ok());
    match number.filter(|number| VLANS.contains(number)) {
        Some(number) => ("vlan", raw(&format!("id {number}"))),
        None if name.starts_with("br") => ("bridge", Raw::default()),
        None => ("bond", Raw::default()),
    }
}

impl Netdev {
    /// It is no member any more, and has its own address again.
    fn leave(&mut self) {
        self.network.master = None;
        self.network.membership = Raw::default();
        self.mac = self.permanent.unwrap_or(self.mac);
    }
}

impl World {
    /// A VLAN made on an interface, or the interface put under a bond or bridge, made if need be.
    ///
    /// # Errors
    /// The kernel's answer.
    pub(super) fn put_on_top(
        &mut self,
        index: u32,
        upper: &InterfaceName,
    ) -> Result<(), &'static str> {
        let (kind, data) = kind_of(upper.as_str());
        let there = self.index_of(upper);
        let loopback = |world: &Self, index: u32| {
            world.netdevs.get(&index).is_none_or(|one| one.name.as_str() == "lo")
        };
        if loopback(self, index) {
            return Err("EOPNOTSUPP: the loopback takes nothing on top");
        }
        if kind == "vlan" {
            if self.name_is_taken(upper.as_str()) {
                return Err("EEXIST: the name is taken");
            }
            let made = self.make_link(upper, kind, data, Some(index));
            self.set_up(made);
            return Ok(());
        }
        let master = match there {
            None if self.name_is_taken(upper.as_str()) => {
                return Err("EEXIST: the name is taken by another interface");
            }
            None => {
                let made = self.make_link(upper, kind, data, None);
                self.set_up(made);
                made
            }
            Some(other) => {
                // One that the world file has as virtual is whatever is made of it.
                let virtual_one = self.netdevs.get_mut(&other).filter(|one| one.port.is_none());
                let network = virtual_one.filter(|one| one.name.as_str() != "lo");
                let Some(network) = network.map(|one| &mut one.network) else {
                    return Err("EINVAL: that interface is neither bond nor bridge");
                };
                network.made.get_or_insert(Made { kind: kind.to_owned(), data });
                other
            }
        };
        self.join(index, master, Raw::default())
    }

    /// Puts an interface under a bond or bridge.
    ///
    /// # Errors
    /// The kernel's answer.
    pub(super) fn join(
        &mut self,
        index: u32,
        master: u32,
        membership: Raw,
    ) -> Result<(), &'static str> {
        let is_first = !self.netdevs.values().any(|one| one.network.master == Some(master));
        let Some(above) = self.netdevs.get(&master).cloned() else { return Err("ENODEV") };
        let Some(netdev) = self.netdevs.get_mut(&index) else { return Err("ENODEV") };
        let bonds = above.network.kind() == "bond";
        if !bonds && above.network.kind() != "bridge" {
            return Err("EINVAL: that interface is neither bond nor bridge");
        }
        // Loops are refused; the kernel allows some of what is refused with them here.
        if index == master || matches!(netdev.network.kind(), "bond" | "bridge") {
            return Err("ELOOP: bonds and bridges are under nothing in this world");
        }
        if netdev.network.below == Some(master) {
            return Err("ELOOP: it is made on that interface");
        }
        if netdev.network.master.is_some_and(|other| other != master) {
            return Err("EBUSY: it is a member of another one");
        }
        netdev.network.master = Some(master);
        netdev.network.membership = membership;
        let own = netdev.mac;
        if bonds {
            // The bond opens its members and has them look alike; the first lends it its address.
            netdev.network.up = true;
            netdev.network.mtu = above.network.mtu;
            netdev.mac = if is_first { own } else { above.mac };
        }
        if let Some(above) = self.netdevs.get_mut(&master).filter(|_| bonds && is_first) {
            above.mac = own;
        }
        Ok(())
    }

    /// A link of software, down; its index.
    pub(super) fn make_link(
        &mut self,
        name: &InterfaceName,
        kind: &str,
        data: Raw,
        below: Option<u32>,
    ) -> u32 {
        let index = self.next_index;
        let under = below.and_then(|below| self.netdevs.get(&below));
        let mac = under.map_or_else(|| drawn(index), |under| under.mac);
        let mtu = under.map_or(MTU, |under| under.network.mtu);
        let network = Network::made(kind, data, below, mtu);
        let netdev = Netdev { network, ..Netdev::of_software(name.clone(), mac) };
        self.netdevs.insert(index, netdev);
        self.next_index += 1;
        index
    }

    /// Takes everything from the top of an interface; a bond or bridge that is left without a member
    /// goes as well.
    pub(super) fn clear_top(&mut self, index: u32) {
        let made_on = |one: &Netdev| one.network.below == Some(index);
        self.remove_netdevs(made_on);
        let Some(netdev) = self.netdevs.get_mut(&index) else { return };
        if let Some(master) = netdev.network.master {
            netdev.leave();
            if !self.netdevs.values().any(|one| one.network.master == Some(master)) {
                self.drop_netdev(master);
            }
        }
    }

    /// Removes interfaces, with what is made on them. A bond stays without its members, under another
    /// address once the last is gone.
    pub(super) fn remove_netdevs(&mut self, gone: impl Fn(&Netdev) -> bool) {
        let all = self.netdevs.iter().filter(|(_, netdev)| gone(netdev));
        for index in all.map(|(index, _)| *index).collect::<Vec<_>>() {
            self.drop_netdev(index);
        }
    }

    fn drop_netdev(&mut self, index: u32) {
        let Some(netdev) = self.netdevs.remove(&index) else { return };
        self.registered.remove(&index);
        let members = self.netdevs.values_mut().filter(|one| one.network.master == Some(index));
        members.for_each(Netdev::leave);
        self.remove_netdevs(|one| one.network.below == Some(index));
        if let Some(master) = netdev.network.master {
            let left = self.netdevs.values().any(|one| one.network.master == Some(master));
            let bond = self.netdevs.get_mut(&master).filter(|one| one.network.kind() == "bond");
            if let Some(bond) = bond.filter(|_| !left) {
                bond.mac = drawn(master);
            }
        }
    }
}

/// An address of nobody's, always the same for one index.
fn drawn(index: u32) -> MacAddress {
    let [a, b, c, d] = DRAWN;
    let [.., e, f] = index.to_be_bytes();
    MacAddress([a, b, c, d, e, f])
}
