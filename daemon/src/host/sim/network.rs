//! What interfaces of the world carry, as the kernel keeps it: by number, so that another name changes
//! nothing of it, and gone with the interface.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::Routes;
use onload_core::names::{InterfaceName, PciAddress};
use onload_core::network::{self, Address, Made, NetworkLink, Raw, Route};
use toml::Spanned;

use super::action::ActionError;
use super::bus::Netdev;
use super::file::OwnerName;
use super::world::World;

/// MTU of an interface that nobody has set (ETH_DATA_LEN).
pub(super) const MTU: u32 = 1500;
/// What ethtool shows of a port right after its driver took it: of the kernel's own, and of the other.
/// The numbers stand for any; what counts is that a driver comes with its own.
const DEFAULTS: [(&str, u64, u64); 6] = [
    ("channels.combined", 8, 16),
    ("coalesce.rx-usecs", 60, 60),
    ("coalesce.tx-usecs", 150, 150),
    ("feature.rx-gro-hw", 0, 0),
    ("ring.rx", 1024, 1024),
    ("ring.tx", 1024, 2048),
];

/// What the node makes of an interface at boot, and who sees to it afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    addresses: BTreeSet<String>,
    default_route: bool,
    uppers: BTreeSet<InterfaceName>,
    /// Who sets it up, then and whenever it comes back under its name; none: nobody does again.
    pub owner: Option<OwnerName>,
    /// The name that the owner knows it by: what it had when it was first set up.
    pub name: Option<InterfaceName>,
}

/// What an interface carries; it goes with the interface.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub up: bool,
    pub mtu: u32,
    pub promiscuous: bool,
    pub all_multicast: bool,
    pub qdisc: Option<String>,
    pub addresses: BTreeSet<Address>,
    /// Without the names of links: a route stands with the one it leaves by.
    pub routes: BTreeSet<Route>,
    pub settings: BTreeMap<String, u64>,
    pub functions: BTreeMap<u32, Raw>,
    /// How it was made, if of software.
    pub made: Option<Made>,
    /// The interface it is made on, by index.
    pub below: Option<u32>,
    /// The bond or bridge it is a member of, by index.
    pub master: Option<u32>,
    pub membership: Raw,
    /// Set up by its owner.
    pub owned: bool,
    /// Containers that have an ipvlan on it, in namespaces of their own.
    pub containers: BTreeSet<String>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            up: false,
            mtu: MTU,
            promiscuous: false,
            all_multicast: false,
            qdisc: None,
            addresses: BTreeSet::new(),
            routes: BTreeSet::new(),
            settings: BTreeMap::new(),
            functions: BTreeMap::new(),
            made: None,
            below: None,
            master: None,
            membership: Raw::default(),
            owned: false,
            containers: BTreeSet::new(),
        }
    }
}

impl Profile {
    pub(super) fn of(
        addresses: &[Spanned<String>],
        default_route: bool,
        uppers: &BTreeSet<InterfaceName>,
        owner: Option<OwnerName>,
    ) -> Self {
        Self {
            addresses: addresses.iter().map(|address| address.get_ref().clone()).collect(),
            default_route,
            uppers: uppers.clone(),
            owner,
            name: None,
        }
    }
}

impl Network {
    /// As a driver leaves it that has just come.
    pub(super) fn bare(in_tree: bool) -> Self {
        let settings = DEFAULTS.map(|(name, in_tree_has, other_has)| {
            (name.to_owned(), if in_tree { in_tree_has } else { other_has })
        });
        Self { settings: settings.into(), ..Self::default() }
    }

    pub(super) fn made(kind: &str, data: Raw, below: Option<u32>, mtu: u32) -> Self {
        let made = Some(Made { kind: kind.to_owned(), data });
        Self { made, below, mtu, ..Self::default() }
    }

    pub(super) fn kind(&self) -> &str {
        self.made.as_ref().map_or("", |made| made.kind.as_str())
    }

    /// Sets it down, with which every route by it goes.
    pub(super) fn down(&mut self) {
        self.up = false;
        self.routes.clear();
    }

    /// Adds an address, unless it is there.
    pub(super) fn add_address(&mut self, address: Address) {
        if !self.addresses.iter().any(|one| one.message == address.message) {
            self.addresses.insert(address);
        }
    }

    /// Adds a default route, beside others that there may be.
    pub(super) fn add_default(&mut self) {
        let count = self.routes.iter().filter(|route| route.default).count();
        let shown =
            if count == 0 { "default".to_owned() } else { format!("default metric {count}") };
        let message = raw(&shown);
        self.routes.insert(Route {
            shown,
            default: true,
            has_gateway: true,
            over: Vec::new(),
            message,
        });
    }

    /// Adds a route to somewhere.
    pub(super) fn add_route(&mut self, shown: &str) {
        let (default, has_gateway, over) = (false, false, Vec::new());
        let (shown, message) = (shown.to_owned(), raw(shown));
        self.routes.insert(Route { shown, default, has_gateway, over, message });
    }

    /// Its routes in short.
    pub(super) fn route_counts(&self) -> Routes {
        Routes {
            count: u32::try_from(self.routes.len()).unwrap_or(u32::MAX),
            default: self.routes.iter().any(|route| route.default),
        }
    }
}

/// The bytes that stand for the kernel's message: what is shown of it.
pub(super) fn raw(shown: &str) -> Raw {
    Raw(shown.as_bytes().to_vec())
}

/// An address that stays.
pub(super) fn address(shown: &str) -> Address {
    Address { shown: shown.to_owned(), message: raw(shown), valid: None, preferred: None }
}

impl World {
    pub(super) fn index_of(&self, name: &InterfaceName) -> Option<u32> {
        self.netdevs.iter().find(|(_, netdev)| netdev.name == *name).map(|(index, _)| *index)
    }

    /// An interface by name, to be changed.
    ///
    /// # Errors
    /// There is none of that name.
    pub(super) fn netdev(&mut self, name: &InterfaceName) -> Result<&mut Netdev, ActionError> {
        let names: Vec<String> = self.netdevs.values().map(|n| n.name.to_string()).collect();
        self.netdevs.values_mut().find(|netdev| netdev.name == *name).ok_or_else(|| {
            let fix = format!("name one of {}", names.join(", "));
            let why = "ENODEV: there is no such interface";
            ActionError::new(format!("interface {name} is not changed"), why, fix)
        })
    }

    /// What every interface carries.
    pub(super) fn network_reading(&self) -> network::Network {
        let links = self.netdevs.values().map(|one| (one.name.clone(), self.link_reading(one)));
        network::Network { links: links.collect(), rules: self.rules.clone() }
    }

    fn link_reading(&self, netdev: &Netdev) -> NetworkLink {
        let name = |index: u32| self.netdevs.get(&index).map(|one| one.name.clone());
        let network = &netdev.network;
        let over = |route: &Route| Route { over: vec![netdev.name.clone()], ..route.clone() };
        NetworkLink {
            port: netdev.port,
            made: network.made.clone(),
            below: network.below.and_then(name),
            master: network.master.and_then(name),
            membership: network.membership.clone(),
            up: network.up,
            promiscuous: network.promiscuous,
            all_multicast: network.all_multicast,
            mtu: network.mtu,
            mac: Some(netdev.mac),
            altnames: netdev.altnames.clone(),
            qdisc: network.qdisc.clone(),
            addresses: network.addresses.clone(),
            routes: network.routes.iter().map(over).collect(),
            settings: network.settings.clone(),
            functions: network.functions.clone(),
            lost: BTreeSet::new(),
            owner: netdev.owner(),
        }
    }

    /// How many virtual functions a port has.
    pub(super) fn enabled(&self, port: &PciAddress) -> u32 {
        let netdev = self.netdevs.values().find(|netdev| netdev.port.as_ref() == Some(port));
        netdev.map_or(0, |one| u32::try_from(one.network.functions.len()).unwrap_or(u32::MAX))
    }

    /// What is stacked on an interface.
    pub(super) fn uppers(&self, index: u32) -> BTreeSet<InterfaceName> {
        let master = self.netdevs.get(&index).and_then(|one| one.network.master);
        let on_it = |(other, netdev): &(&u32, &Netdev)| {
            master == Some(**other) || netdev.network.below == Some(index)
        };
        self.netdevs.iter().filter(on_it).map(|(_, netdev)| netdev.name.clone()).collect()
    }

    /// What the node's own network service makes of its interfaces at boot; one that comes later
    /// is left bare.
    pub(super) fn configure_network(&mut self) {
        for index in self.netdevs.keys().copied().collect::<Vec<_>>() {
            self.set_up(index);
            let Some(netdev) = self.netdevs.get_mut(&index) else { continue };
            let name = netdev.profile.name.get_or_insert_with(|| netdev.name.clone()).clone();
            let (port, uppers) = (netdev.port, netdev.profile.uppers.clone());
            if let Some(function) = port.and_then(|port| self.functions.get_mut(&port)) {
                function.netdev.profile.name = Some(name);
            }
            for upper in uppers {
                // The file was checked for what cannot be.
                let _ = self.put_on_top(index, &upper);
            }
        }
    }

    /// Sets an interface up as its profile says; what was added by hand stays.
    pub(super) fn set_up(&mut self, index: u32) {
        let Some(Netdev { network, profile, .. }) = self.netdevs.get_mut(&index) else { return };
        network.up = true;
        network.owned = profile.owner.is_some();
        profile.addresses.iter().for_each(|one| network.add_address(address(one)));
        if profile.default_route && !network.route_counts().default {
            network.add_default();
        }
    }
}

#[cfg(test)]
mod tests;
