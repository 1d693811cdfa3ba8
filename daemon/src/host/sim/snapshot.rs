//! What a look at the world finds. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::{
    COMPANIONS, DEVICE_NODES, Depth, DeviceNode, Interface, Link, Look, Module, ModuleState,
    OnloadDriver, Port, STACK, Snapshot, Sriov,
};
use onload_core::names::{InterfaceName, ModuleName, PciAddress};
use onload_core::reading::Reading;
use onload_core::userland::Userland;

use super::bus::{Function, Netdev};
use super::faults::Part;
use super::kernel::{ControlPlane, Loaded};
use super::world::World;

/// Where the links of pools are.
const POOLS: &str = "/var/lib/onloadd/pools";
/// Mode of the device nodes (reference/onload-modules.md section 6).
const NODE_MODE: u32 = 0o666;

impl World {
    /// What a look finds now. The kubelet is no part of the world: whoever runs the plugin sees
    /// its socket, so that part reads as absent here.
    pub fn snapshot(&self) -> Snapshot {
        self.look(Depth::Usual)
    }

    /// What a look of this depth finds now.
    pub fn look(&self, look: impl Into<Look>) -> Snapshot {
        let Look { depth, clocks } = look.into();
        let nodes = DEVICE_NODES.iter().map(|path| ((*path).to_owned(), self.node_reading(path)));
        Snapshot {
            clocks: clocks.map_or(Reading::Absent, |look| self.clock_readings(&look)),
            kernel: self.read(Part::Kernel, || self.file.node.kernel.clone()),
            boot_id: self.read(Part::BootId, || self.boot_id.clone()),
            ports: self.read(Part::Ports, || self.port_readings()),
            interfaces: self.read(Part::Interfaces, || self.interface_readings()),
            modules: self.read(Part::Modules, || self.module_readings()),
            driver: self.driver_reading(),
            device_nodes: nodes.collect(),
            releases: self.read(Part::Releases, || self.on_disk.releases.clone()),
            kernels: self.read(Part::Releases, || self.on_disk.kernels.clone()),
            trust: self.trust(),
            volumes: self.read(Part::Trust, || self.volumes()),
            users: self.user_readings(depth),
            loader: self.loader.clone().into(),
            af_xdp: self.af_xdp_reading(),
            udev_done: Reading::Absent,
            link_files: Reading::Known(self.link_files()),
            pins: Reading::Known(self.pins.clone()),
            network: match depth {
                Depth::Clocks | Depth::Modules | Depth::Usual => Reading::Absent,
                Depth::Network | Depth::Users => {
                    self.read(Part::Interfaces, || self.network_reading())
                }
            },
            network_root: Reading::Known(false),
            options: Reading::Known(BTreeMap::new()),
            profiles: Reading::Known(self.profiles()),
            attachments: Reading::Known(self.attachments()),
            attached: self.attached(depth),
            kubelet: Reading::Absent,
            userland: Reading::Known(Userland {
                directory: POOLS.to_owned(),
                trees: self.placed.clone(),
            }),
            others: self.other_readings(),
        }
    }

    /// The value, or what a fault makes of it.
    pub(super) fn read<T>(&self, part: Part, value: impl FnOnce() -> T) -> Reading<T> {
        if self.faults.hides(&part) { vanished() } else { Reading::Known(value()) }
    }

    fn port_readings(&self) -> BTreeMap<PciAddress, Port> {
        let plugged = self.functions.iter().filter(|(_, function)| function.plugged);
        plugged
            .map(|(address, function)| (*address, self.port_reading(address, function)))
            .collect()
    }

    fn port_reading(&self, address: &PciAddress, function: &Function) -> Port {
        let subsystem = function.subsystem;
        let ids = Port {
            vendor: Reading::Known(function.id.vendor),
            device: Reading::Known(function.id.device),
            ..Port::default()
        };
        if self.faults.hides(&Part::Port(*address)) {
            return Port {
                subsystem_vendor: vanished(),
                subsystem_device: vanished(),
                driver: vanished(),
                numa_node: vanished(),
                auxiliary: vanished(),
                sriov: vanished(),
                ..ids
            };
        }
        let auxiliary = function.auxiliary.iter().map(|(name, kind)| {
            let driver = self.auxiliary_driver(function, kind).map(str::to_owned);
            (name.clone(), driver.into())
        });
        Port {
            subsystem_vendor: subsystem.map(|id| id.vendor).into(),
            subsystem_device: subsystem.map(|id| id.device).into(),
            driver: function.driver.clone().into(),
            numa_node: function.numa.into(),
            auxiliary: Reading::Known(auxiliary.collect()),
            sriov: function
                .sriov_total
                .map(|total| Sriov { total, enabled: self.enabled(address) })
                .into(),
            ..ids
        }
    }

    fn interface_readings(&self) -> BTreeMap<InterfaceName, Interface> {
        let read = |(index, netdev): (&u32, &Netdev)| {
            let addresses = netdev.network.addresses.iter();
            let interface = Interface {
                index: *index,
                altnames: netdev.altnames.clone(),
                port: netdev.port.into(),
                driver: self.driver_of(netdev).into(),
                mac: Reading::Known(netdev.mac),
                permanent_mac: netdev.permanent.into(),
                link: Reading::Known(netdev.link),
                speed_mbps: netdev.speed_mbps.filter(|_| netdev.link == Link::Up).into(),
                phys_port_name: netdev.phys_port_name.clone().into(),
                name_origin: netdev.port.map(|_| netdev.origin()).into(),
                udev: netdev.port.map(|address| Box::new(netdev.udev(address))).into(),
                phc_index: netdev.phc.into(),
                addresses: Reading::Known(addresses.map(|one| one.shown.clone()).collect()),
                routes: Reading::Known(netdev.network.route_counts()),
                uppers: Reading::Known(self.uppers(*index)),
                multicast_users: Reading::Known(self.multicast_users(*index)),
            };
            (netdev.name.clone(), interface)
        };
        self.netdevs.iter().map(read).collect()
    }

    fn module_readings(&self) -> BTreeMap<ModuleName, Module> {
        let reported = |name: &str| STACK.contains(&name) || COMPANIONS.contains(&name);
        let seen = self.modules.iter().filter(|(name, _)| reported(name.as_str()));
        seen.map(|(name, loaded)| (name.clone(), self.module_reading(name, loaded))).collect()
    }

    fn module_reading(&self, name: &ModuleName, loaded: &Loaded) -> Module {
        if loaded.state != ModuleState::Live {
            // Only /proc/modules knows it yet, with -2 for its references.
            return Module {
                state: loaded.state,
                refcount: Reading::Absent,
                holders: BTreeSet::new(),
                version: Reading::Absent,
                srcversion: Reading::Absent,
                taint: Reading::Absent,
                parameters: BTreeMap::new(),
            };
        }
        let file = loaded.file.as_ref();
        let parameters = file.map(|file| &file.parameters).into_iter().flatten();
        let told = self.told_parameters().filter(|_| name.as_str() == "onload");
        Module {
            state: loaded.state,
            refcount: Reading::Known(self.references(name)),
            holders: self.holders(name),
            version: file.and_then(|file| file.version.clone()).into(),
            srcversion: file.and_then(|file| file.srcversion.clone()).into(),
            taint: Reading::Known(loaded.taint.to_owned()),
            parameters: parameters
                .map(|(name, value)| (name.clone(), Reading::Known(value.clone())))
                .chain(told)
                .collect(),
        }
    }

    fn driver_reading(&self) -> OnloadDriver {
        if self.faults.hides(&Part::Driver) {
            return OnloadDriver {
                version: vanished(),
                interface: vanished(),
                stacks: vanished(),
                control_plane: vanished(),
            };
        }
        let loaded = self.modules.iter().find(|(name, _)| name.as_str() == "onload");
        let live = loaded.filter(|(_, loaded)| loaded.state == ModuleState::Live);
        let Some(release) = live.and_then(|(_, loaded)| self.release(&loaded.release)) else {
            return OnloadDriver::default();
        };
        let server = match self.control_plane {
            ControlPlane::Running(pid) => Some(pid),
            ControlPlane::None | ControlPlane::Due => None,
        };
        OnloadDriver {
            version: Reading::Known(release.onload_version.clone()),
            interface: Reading::Known(release.interface.clone()),
            stacks: Reading::Known(u32::try_from(self.accelerated.len()).unwrap_or(u32::MAX)),
            control_plane: Reading::Known(server.into_iter().collect()),
        }
    }

    fn node_reading(&self, path: &str) -> Reading<DeviceNode> {
        if self.faults.hides(&Part::DeviceNodes) {
            return vanished();
        }
        let major = self.nodes.get(path).copied();
        major.map(|major| DeviceNode { major, minor: 0, mode: NODE_MODE }).into()
    }
}

fn vanished<T>() -> Reading<T> {
    Reading::Unreadable("it vanished while it was read (fault ordered)".to_owned())
}
