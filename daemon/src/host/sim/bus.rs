//! PCI functions and what their drivers make of them: auxiliary devices and interfaces.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::hardware::{Acceleration, Family};
use onload_core::inventory::{Autoload, Link, Loader, NameOrigin, Port, Routes};
use onload_core::names::{InterfaceName, MacAddress, ModuleName, PciAddress};
use onload_core::naming::UdevNames;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use toml::Spanned;

use super::action::ActionError;
use super::file::{CardPort, OtherInterface, PciId, WorldFile};
use super::world::World;

/// Naming scheme of the simulated udev.
const SCHEME: &str = "rhel-9.0";
/// The one `.link` file of the simulated machine.
const DEFAULT_LINK_FILE: &str = "/usr/lib/systemd/network/99-default.link";

/// Speed and addresses of one interface to be, and the function it will be of.
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
    /// Interface it gets when a driver binds, with the network that a boot gives it.
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
    /// Whether the address is burnt in.
    pub permanent: bool,
    pub link: Link,
    pub speed_mbps: Option<u32>,
    pub phys_port_name: Option<String>,
    /// What udev came to when it appeared; none where no policy fits.
    pub evaluated: Option<String>,
    pub phc: Option<u32>,
    pub network: Network,
}

/// What the node has made of an interface; it goes with the interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    pub addresses: BTreeSet<String>,
    pub routes: Routes,
    pub uppers: BTreeSet<InterfaceName>,
    /// Containers that have an ipvlan on it, in namespaces of their own.
    pub containers: BTreeSet<String>,
}

impl Network {
    fn of(
        addresses: &[Spanned<String>],
        default_route: bool,
        uppers: &BTreeSet<InterfaceName>,
    ) -> Self {
        Self {
            addresses: addresses.iter().map(|address| address.get_ref().clone()).collect(),
            routes: Routes { count: u32::from(default_route), default: default_route },
            uppers: uppers.clone(),
            containers: BTreeSet::new(),
        }
    }
}

impl Netdev {
    /// Who gave it the name of today.
    pub(super) fn origin(&self) -> NameOrigin {
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
        UdevNames {
            name: self.evaluated.clone(),
            onboard: by("eno"),
            slot: by("ens"),
            path: by("enp"),
            mac: Some(format!("enx{}", self.mac.to_string().replace(':', ""))),
            scheme: Some(SCHEME.to_owned()),
            link_file: Some(DEFAULT_LINK_FILE.to_owned()),
            id_path: Some(format!("pci-{address}")),
            ..UdevNames::default()
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
            name: port.netdev.get_ref().clone(),
            altnames: port.altnames.clone(),
            port: Some(*port.pci.get_ref()),
            mac: *port.mac.get_ref(),
            permanent: true,
            link: port.link,
            speed_mbps: Some(port.speed_mbps),
            phys_port_name: Some(
                port.phys_port_name.clone().unwrap_or_else(|| format!("p{number}")),
            ),
            evaluated: None,
            phc: port.phc.as_ref().map(|phc| *phc.get_ref()),
            network: Network::of(&port.addresses, port.default_route, &port.uppers),
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
        netdev: Netdev { port: Some(address), permanent: true, ..of_interface(interface) },
        kinds: BTreeSet::new(),
        plugged: true,
        driver: None,
        auxiliary: BTreeMap::new(),
    }
}

/// A virtual interface.
pub(super) fn of_interface(interface: &OtherInterface) -> Netdev {
    Netdev {
        name: interface.name.get_ref().clone(),
        altnames: interface.altnames.clone(),
        port: None,
        mac: *interface.mac.get_ref(),
        permanent: false,
        link: interface.link,
        speed_mbps: interface.speed_mbps,
        phys_port_name: None,
        evaluated: None,
        phc: None,
        network: Network::of(&interface.addresses, interface.default_route, &interface.uppers),
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
        let mut netdev = Netdev { network: Network::default(), ..function.netdev.clone() };
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

    /// Adds an interface under the name wanted, or under the kernel's own where that is taken or
    /// too long. Alternative names that are taken are left out.
    pub(super) fn add_netdev(&mut self, mut netdev: Netdev, wanted: &str) {
        netdev.altnames.retain(|altname| !self.name_is_taken(altname));
        let free = |name: &InterfaceName| {
            !self.name_is_taken(name.as_str()) && !netdev.altnames.contains(name.as_str())
        };
        let by_kernel = (0..=self.netdevs.len()).filter_map(|n| format!("eth{n}").parse().ok());
        let by_udev: Option<InterfaceName> = wanted.parse().ok();
        netdev.evaluated = by_udev.as_ref().map(ToString::to_string);
        let chosen = by_udev.into_iter().chain(by_kernel).find(free);
        if let Some(name) = chosen {
            netdev.name = name;
        }
        self.netdevs.insert(self.next_index, netdev);
        self.next_index += 1;
    }

    fn name_is_taken(&self, name: &str) -> bool {
        self.netdevs
            .values()
            .any(|other| other.name.as_str() == name || other.altnames.contains(name))
    }

    /// Lets go of one function: its interface and auxiliary devices go. False when no driver had it.
    pub(super) fn detach(&mut self, address: &PciAddress) -> bool {
        let Some(function) = self.functions.get_mut(address) else { return false };
        function.auxiliary.clear();
        let was_bound = function.driver.take().is_some();
        self.netdevs.retain(|_, netdev| netdev.port.as_ref() != Some(address));
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

    /// What the node's own network service makes of its interfaces at boot; one that comes later
    /// is left bare.
    pub(super) fn configure_network(&mut self) {
        for netdev in self.netdevs.values_mut() {
            let function = netdev.port.and_then(|address| self.functions.get(&address));
            if let Some(function) = function {
                netdev.network = function.netdev.network.clone();
            }
        }
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

    /// `rename`.
    pub(super) fn rename(
        &mut self,
        from: &InterfaceName,
        to: &InterfaceName,
    ) -> Result<(), ActionError> {
        if self.name_is_taken(to.as_str()) {
            let what = format!("interface {from} is not renamed");
            let why = format!("EEXIST: {to} is taken");
            return Err(ActionError::new(what, why, "choose a free name"));
        }
        self.netdev(from)?.name = to.clone();
        Ok(())
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
