//! PCI functions and what their drivers make of them: auxiliary devices and interfaces.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::hardware::{Acceleration, Family};
use onload_core::inventory::{Autoload, Link, Loader, Port};
use onload_core::names::{InterfaceName, MacAddress, ModuleName, PciAddress};
use onload_core::naming::Key;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::file::{CardPort, OtherInterface, PciId, WorldFile};
use super::network::{Network, Profile};
use super::world::World;

/// A PCI function, and the interface it will have.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// PCI vendor and device.
    pub id: PciId,
    /// PCI subsystem vendor and device.
    pub subsystem: Option<PciId>,
    /// NUMA node.
    pub numa: Option<u32>,
    /// Virtual functions it can have.
    pub sriov_total: Option<u32>,
    /// Driver built into the kernel, for what is no Solarflare card.
    built_in: Option<String>,
    /// Interface it gets when a driver binds.
    pub netdev: Netdev,
    /// Kinds of auxiliary device the out-of-tree driver makes.
    kinds: BTreeSet<String>,
    /// Whether it is on the bus.
    pub plugged: bool,
    /// Driver bound.
    pub driver: Option<String>,
    /// Auxiliary devices: name to kind.
    pub auxiliary: BTreeMap<String, String>,
}

/// One interface; its index is its key.
#[derive(Clone, Debug)]
pub(super) struct Netdev {
    pub name: InterfaceName,
    pub altnames: BTreeSet<String>,
    pub port: Option<PciAddress>,
    pub mac: MacAddress,
    /// The address burnt in; none for what is virtual.
    pub permanent: Option<MacAddress>,
    pub link: Link,
    pub speed_mbps: Option<u32>,
    pub phys_port_name: Option<String>,
    /// What udev came to when it appeared; none where no policy fits.
    pub evaluated: Option<String>,
    /// The pin by which udev named it when it appeared.
    pub pinned: Option<(Key, InterfaceName)>,
    /// Whether somebody gave it its name whatever that looks like.
    pub renamed: bool,
    pub phc: Option<u32>,
    /// What a boot makes of it.
    pub profile: Profile,
    pub network: Network,
}

impl Netdev {
    /// One without a card, which nobody has named before.
    pub(super) fn of_software(name: InterfaceName, mac: MacAddress) -> Self {
        Self {
            name,
            altnames: BTreeSet::new(),
            port: None,
            mac,
            permanent: None,
            link: Link::Up,
            speed_mbps: None,
            phys_port_name: None,
            evaluated: None,
            pinned: None,
            renamed: false,
            phc: None,
            profile: Profile::default(),
            network: Network::default(),
        }
    }
}

/// All functions of a world, as they are before any driver.
pub(super) fn functions(file: &WorldFile) -> BTreeMap<PciAddress, Function> {
    let cards = file.cards.iter().flat_map(|card| card.ports.iter().enumerate());
    let ports = cards.map(|(number, port)| (*port.pci.get_ref(), of_card(number, port)));
    let others = file.interfaces.iter().filter_map(|interface| {
        let (address, id) = (*interface.pci.as_ref()?.get_ref(), interface.id?);
        Some((address, of_other(address, id, interface)))
    });
    ports.chain(others).collect()
}

fn of_card(number: usize, port: &CardPort) -> Function {
    Function {
        id: port.id,
        subsystem: port.subsystem,
        numa: port.numa.as_ref().map(|numa| *numa.get_ref()),
        sriov_total: port.sriov_total,
        built_in: None,
        netdev: Netdev {
            altnames: port.altnames.clone(),
            port: Some(*port.pci.get_ref()),
            permanent: Some(*port.mac.get_ref()),
            link: port.link,
            speed_mbps: Some(port.speed_mbps),
            phys_port_name: Some(
                port.phys_port_name.clone().unwrap_or_else(|| format!("p{number}")),
            ),
            phc: port.phc.as_ref().map(|phc| *phc.get_ref()),
            profile: Profile::of(&port.addresses, port.default_route, &port.uppers, port.owner),
            ..Netdev::of_software(port.netdev.get_ref().clone(), *port.mac.get_ref())
        },
        kinds: port.auxiliary.clone(),
        plugged: true,
        driver: None,
        auxiliary: BTreeMap::new(),
    }
}

fn of_other(address: PciAddress, id: PciId, interface: &OtherInterface) -> Function {
    Function {
        id,
        subsystem: None,
        numa: interface.numa.as_ref().map(|numa| *numa.get_ref()),
        sriov_total: None,
        built_in: interface.driver.clone(),
        netdev: Netdev {
            port: Some(address),
            permanent: Some(*interface.mac.get_ref()),
            ..of_interface(interface)
        },
        kinds: BTreeSet::new(),
        plugged: true,
        driver: None,
        auxiliary: BTreeMap::new(),
    }
}

/// A virtual interface.
pub(super) fn of_interface(interface: &OtherInterface) -> Netdev {
    let OtherInterface { addresses, default_route, uppers, .. } = interface;
    Netdev {
        altnames: interface.altnames.clone(),
        link: interface.link,
        speed_mbps: interface.speed_mbps,
        profile: Profile::of(addresses, *default_route, uppers, None),
        ..Netdev::of_software(interface.name.get_ref().clone(), *interface.mac.get_ref())
    }
}

/// Version of the auxiliary bus between `sfc` and `sfc_resource` that an Onload version speaks:
/// none before 9.0, 1.0 in 9.0, 1.3 since (reference/onload-modules.md section 2.1). A version
/// that is no number is a development build, hence the newest.
fn auxiliary_abi(onload_version: &str) -> Option<u32> {
    let mut parts = onload_version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), _) if major < 9 => None,
        (Some(Ok(9)), Some(Ok(0))) => Some(0),
        (_, _) => Some(3),
    }
}

impl World {
    /// The product family of a function.
    pub(super) fn family(&self, function: &Function) -> Option<&Family> {
        self.hardware.family(&Port {
            vendor: Reading::Known(function.id.vendor),
            device: Reading::Known(function.id.device),
            ..Port::default()
        })
    }

    /// Lets a driver that has just come take every function it matches.
    pub(super) fn probe(&mut self, module: &ModuleName) {
        for address in self.functions.keys().copied().collect::<Vec<_>>() {
            if self.matching_driver(&address).as_deref() == Some(module.as_str()) {
                self.attach(&address);
            }
        }
    }

    /// The driver that would take a function now: unbound, on the bus, and known to a driver that
    /// is there. In-tree `sfc` does not know the newest cards.
    fn matching_driver(&self, address: &PciAddress) -> Option<String> {
        let function = self.functions.get(address).filter(|f| f.plugged && f.driver.is_none())?;
        if let Some(driver) = &function.built_in {
            return Some(driver.clone());
        }
        let family = self.family(function)?;
        let name: ModuleName = family.driver.parse().ok()?;
        let loaded = self.modules.get(&name).filter(|_| self.is_live(name.as_str()))?;
        (loaded.file.is_some() || family.in_tree).then(|| family.driver.clone())
    }

    /// Binds a function to whatever driver matches; false when none does.
    pub(super) fn attach(&mut self, address: &PciAddress) -> bool {
        let Some(driver) = self.matching_driver(address) else { return false };
        let module = self.modules.iter().find(|(name, _)| name.as_str() == driver);
        let out_of_tree = module.filter(|(_, loaded)| loaded.file.is_some());
        let abi = out_of_tree
            .and_then(|(_, loaded)| self.release(&loaded.release))
            .and_then(|release| auxiliary_abi(&release.onload_version));
        let broken = out_of_tree
            .and_then(|(_, loaded)| self.release(&loaded.release))
            .is_some_and(|release| release.no_aux);
        let makes_auxiliary = abi.is_some() && !broken && !self.faults.no_aux;
        let in_tree_sfc = module.is_some() && out_of_tree.is_none();
        let taken: BTreeSet<String> =
            self.functions.values().flat_map(|f| f.auxiliary.keys().cloned()).collect();
        let Some(function) = self.functions.get_mut(address) else { return false };
        if makes_auxiliary {
            for kind in &function.kinds {
                let name = |n: usize| format!("{driver}.{kind}.{n}");
                let free = (0..=taken.len()).map(name).find(|name| !taken.contains(name));
                function.auxiliary.extend(free.map(|name| (name, kind.clone())));
            }
        }
        function.driver = Some(driver);
        let network = Network::bare(in_tree_sfc);
        let mut netdev = Netdev { network, ..function.netdev.clone() };
        // Only the in-tree driver names its ports, and udev makes a suffix of that
        // (reference/interface-naming.md section 3).
        let port_name = netdev.phys_port_name.take().filter(|_| in_tree_sfc);
        let suffix = port_name.as_ref().map_or_else(String::new, |name| format!("n{name}"));
        let wanted = format!("{}{suffix}", netdev.name);
        netdev.phys_port_name = port_name;
        self.add_netdev(netdev, &wanted);
        true
    }

    /// Gives a function to a driver.
    ///
    /// # Errors
    /// The kernel's answer where the driver does not take it.
    pub(super) fn bind(
        &mut self,
        address: &PciAddress,
        driver: &str,
    ) -> Result<Outcome, StepError> {
        let bound = |world: &Self| {
            let function = world.functions.get(address);
            function.is_some_and(|function| function.driver.as_deref() == Some(driver))
        };
        if bound(self) {
            return Ok(Outcome::Unchanged);
        }
        if self.matching_driver(address).as_deref() != Some(driver) || !self.attach(address) {
            return Err(StepError::Failed("No such device".to_owned()));
        }
        self.touch();
        Ok(Outcome::Changed)
    }

    /// Lets go of one function: its interface and auxiliary devices go. False when no driver had it.
    pub(super) fn detach(&mut self, address: &PciAddress) -> bool {
        let Some(function) = self.functions.get_mut(address) else { return false };
        function.auxiliary.clear();
        let was_bound = function.driver.take().is_some();
        self.remove_netdevs(|netdev| netdev.port.as_ref() == Some(address));
        self.drop_clocks();
        was_bound
    }

    /// Lets go of every function that a driver has.
    pub(super) fn release_functions_of(&mut self, module: &ModuleName) {
        for address in self.functions.keys().copied().collect::<Vec<_>>() {
            let driver =
                self.functions.get(&address).and_then(|function| function.driver.as_deref());
            if driver == Some(module.as_str()) {
                self.detach(&address);
            }
        }
    }

    /// The driver of `sfc_resource` on an auxiliary device; none where the stack is not loaded,
    /// refuses the card, or speaks a newer auxiliary bus than the network driver.
    pub(super) fn auxiliary_driver(&self, function: &Function, kind: &str) -> Option<&'static str> {
        let abi = |module: &str| {
            let (_, loaded) = self.modules.iter().find(|(name, _)| name.as_str() == module)?;
            auxiliary_abi(&self.release(&loaded.release)?.onload_version)
        };
        let accelerated = self.family(function)?.onload != Acceleration::No;
        let provided = abi(function.driver.as_deref()?)?;
        let live = self.is_live("sfc_resource");
        (live && accelerated && provided >= abi("sfc_resource")?).then_some(match kind {
            "llct" => "sfc_resource.ef10ct",
            "efct" => "sfc_resource.xilinx_efct",
            _ => "sfc_resource.ef10",
        })
    }

    /// udev goes over the hardware as at boot.
    pub(super) fn coldplug(&mut self) {
        for address in self.functions.keys().copied().collect::<Vec<_>>() {
            self.autoload(&address);
        }
    }

    /// Has the driver of a function loaded as udev does for a modalias. What goes wrong is only in
    /// a log on a real node, so nothing comes of it here.
    pub(super) fn autoload(&mut self, address: &PciAddress) {
        let blocked = |loader: &Loader| loader.autoload == Autoload::Blocked;
        if self.loader.as_ref().is_some_and(blocked) {
            return;
        }
        let family = self.functions.get(address).filter(|f| f.plugged).and_then(|f| self.family(f));
        let Some(module) = family.and_then(|family| family.driver.parse::<ModuleName>().ok())
        else {
            return;
        };
        if let Some(release) = self.preferred_release(&module) {
            let _ = self.load(&module, &release);
        }
    }

    /// `link`: the cable of a port, kept through driver and boot.
    pub(super) fn set_link(&mut self, address: &PciAddress, link: Link) {
        if let Some(function) = self.functions.get_mut(address) {
            function.netdev.link = link;
        }
        for netdev in self.netdevs.values_mut().filter(|n| n.port.as_ref() == Some(address)) {
            netdev.link = link;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_auxiliary_bus_came_with_nine() {
        let cases = [
            ("8.1.3", None),
            ("9.0.2", Some(0)),
            ("9.1.2", Some(3)),
            ("10.0.0", Some(3)),
            ("", Some(3)),
        ];
        for (version, expected) in cases {
            assert_eq!(auxiliary_abi(version), expected, "{version}");
        }
    }
}
