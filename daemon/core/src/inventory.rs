//! What the machine is, as one look found it: facts with their gaps. Nothing here decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::af_xdp::{AfXdp, LinkFile, Profile};
use crate::attachment::{Attached, Attachment};
use crate::clock::{ClockLook, Clocks};
use crate::names::{
    BootId, InterfaceHash, InterfaceName, KernelRelease, MacAddress, ModuleName, PciAddress,
    ReleaseName,
};
use crate::naming::{Pins, UdevNames};
use crate::network::Network;
use crate::others::Traces;
use crate::parameters::Options;
use crate::reading::Reading;
use crate::release::{Kernel, Release};
use crate::secure_boot::sealed::volume::Volume;
use crate::secure_boot::trust::Trust;
use crate::userland::Userland;

/// The four modules a working Onload node has loaded, in load order
/// (reference/onload-modules.md section 2.2).
pub const STACK: [&str; 4] = ["sfc", "sfc_resource", "sfc_char", "onload"];

/// Modules beside the four that a look reports when they are loaded: what `sfc` pulls in, what
/// older releases had in addition, and the driver of the X3
/// (reference/onload-modules.md sections 2 and 2.2).
pub const COMPANIONS: [&str; 8] = [
    "sfc_driverlink",
    "sfc_affinity",
    "xilinx_efct",
    "mtd",
    "ptp",
    "mdio",
    "i2c_algo_bit",
    "hwmon",
];

/// The device nodes that Onload creates (reference/onload-modules.md section 6).
pub const DEVICE_NODES: [&str; 3] = ["/dev/onload", "/dev/onload_epoll", "/dev/sfc_char"];

/// The library that a program runs accelerated with, as it is told among what a process uses.
pub const LIBRARY: &str = "libonload.so";

/// One look at the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `uname -r`.
    pub kernel: Reading<KernelRelease>,
    /// The random id of this boot.
    pub boot_id: Reading<BootId>,
    /// Every PCI function of the network class (0x02), whoever made it.
    pub ports: Reading<BTreeMap<PciAddress, Port>>,
    /// Every network interface of the initial network namespace.
    pub interfaces: Reading<BTreeMap<InterfaceName, Interface>>,
    /// Those of [`STACK`] and [`COMPANIONS`] that are loaded or on their way in or out.
    pub modules: Reading<BTreeMap<ModuleName, Module>>,
    /// What the loaded `onload` module says of itself.
    pub driver: OnloadDriver,
    /// The nodes of [`DEVICE_NODES`], by path.
    pub device_nodes: BTreeMap<String, Reading<DeviceNode>>,
    /// Releases on the disk: `host`, `in-tree`, and those imported.
    pub releases: Reading<BTreeMap<ReleaseName, Release>>,
    /// Kernels whose module trees are on the disk.
    pub kernels: Reading<BTreeMap<KernelRelease, Kernel>>,
    /// Whom this machine and its kernels trust, and what they enforce. Not written: it is long, and
    /// [`Trust`] is made of what other programs write in their own way.
    #[serde(skip)]
    pub trust: Arc<Trust>,
    /// Encrypted volumes that are open, by name.
    #[serde(default)]
    pub volumes: Reading<BTreeMap<String, Volume>>,
    /// Who uses the stack, by process id; absent where the look did not search for them
    /// ([`Depth`]).
    pub users: Reading<BTreeMap<u32, User>>,
    /// What onloadd has written for modprobe in this boot; absent where it has written nothing.
    pub loader: Reading<Loader>,
    /// Registered interfaces; absent while `sfc_resource` is not loaded.
    pub af_xdp: Reading<AfXdp>,
    /// Indices of the interfaces that udev is done with, so that it gives them no other name; absent
    /// where it does not run.
    pub udev_done: Reading<BTreeSet<u32>>,
    /// systemd's `.link` files in the order in which they count, by path.
    pub link_files: Reading<BTreeMap<String, LinkFile>>,
    /// Names that onloadd has pinned, as its own `.link` files say.
    #[serde(default, skip_serializing_if = "Reading::is_absent")]
    pub pins: Reading<Pins>,
    /// What interfaces carry; absent where the look did not go so far ([`Depth`]).
    #[serde(default, skip_serializing_if = "Reading::is_absent")]
    pub network: Reading<Network>,
    /// Whether the root file system comes over the network, by whichever interface.
    #[serde(default, skip_serializing_if = "Reading::is_absent")]
    pub network_root: Reading<bool>,
    /// What the host tells modprobe to load the modules of [`STACK`] with.
    #[serde(default, skip_serializing_if = "Reading::is_absent")]
    pub options: Reading<Options>,
    /// NetworkManager's profiles that put an interface under another one or rename it, by path.
    #[serde(default)]
    pub profiles: Reading<BTreeMap<String, Profile>>,
    /// Configurations of container networks that mean an interface of the host, by path.
    #[serde(default)]
    pub attachments: Reading<BTreeMap<String, Vec<Attachment>>>,
    /// Interfaces of containers that have to do with one of the host; absent where the look did not
    /// search for them ([`Depth::Users`]).
    #[serde(default)]
    pub attached: Reading<Vec<Attached>>,
    /// The kubelet's registration socket.
    pub kubelet: Reading<KubeletSocket>,
    /// What is in place for containers.
    #[serde(default)]
    pub userland: Reading<Userland>,
    /// Clocks and who steers them; absent where the look was not to find them.
    #[serde(default, skip_serializing_if = "Reading::is_absent")]
    pub clocks: Reading<Box<Clocks>>,
    /// Others who have to do with the modules, and what shows them.
    #[serde(default, skip_serializing_if = "Traces::is_empty")]
    pub others: Traces,
}

/// One NIC port: a PCI function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// PCI vendor id.
    pub vendor: Reading<u16>,
    /// PCI device id.
    pub device: Reading<u16>,
    /// PCI subsystem vendor id.
    pub subsystem_vendor: Reading<u16>,
    /// PCI subsystem device id.
    pub subsystem_device: Reading<u16>,
    /// The driver bound to the function.
    pub driver: Reading<String>,
    /// The one driver it is meant for; absent where any that knows it may have it.
    pub driver_override: Reading<String>,
    /// NUMA node; absent where the firmware names none (the kernel's -1).
    pub numa_node: Reading<u32>,
    /// Auxiliary devices below the function, such as `sfc.onload.0`, with the driver bound to each.
    pub auxiliary: Reading<BTreeMap<String, Reading<String>>>,
    /// Virtual functions; absent where the function cannot have any.
    pub sriov: Reading<Sriov>,
}

/// Counts of virtual functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sriov {
    /// What the function can have (`sriov_totalvfs`).
    pub total: u32,
    /// What it has now (`sriov_numvfs`).
    pub enabled: u32,
}

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Kernel index.
    pub index: u32,
    /// Alternative names.
    pub altnames: BTreeSet<String>,
    /// The PCI function it belongs to; absent for virtual interfaces.
    pub port: Reading<PciAddress>,
    /// Its driver, which is not always that of the function (`virtio_net`); absent for virtual
    /// interfaces.
    pub driver: Reading<String>,
    /// The address in use.
    pub mac: Reading<MacAddress>,
    /// The address burnt in.
    pub permanent_mac: Reading<MacAddress>,
    /// Whether the link carries.
    pub link: Reading<Link>,
    /// Link speed in Mbit/s; absent while the link is down.
    pub speed_mbps: Reading<u32>,
    /// `phys_port_name`, such as `p0`.
    pub phys_port_name: Reading<String>,
    /// Who gave it its name (`name_assign_type`); absent where the kernel does not tell, and for
    /// virtual interfaces.
    #[serde(default, skip_serializing_if = "Reading::is_absent")]
    pub name_origin: Reading<NameOrigin>,
    /// What udev's database says of its names; absent where it has no record, and for virtual
    /// interfaces.
    #[serde(default, skip_serializing_if = "Reading::is_absent")]
    pub udev: Reading<Box<UdevNames>>,
    /// Index of the PTP hardware clock.
    pub phc_index: Reading<u32>,
    /// Network addresses with prefix lengths, without those the kernel makes itself (link-local).
    pub addresses: Reading<BTreeSet<String>>,
    /// Routes through it, beyond those that come with its own addresses.
    pub routes: Reading<Routes>,
    /// Interfaces stacked on it: bond, bridge, VLAN, macvlan and so on.
    pub uppers: Reading<BTreeSet<InterfaceName>>,
    /// How often the group of all hosts was asked of it: once by itself where it has an address
    /// family up, and once by each interface on it, in whichever network namespace that is. The
    /// kernel shows nothing else of one that a container has.
    #[serde(default)]
    pub multicast_users: Reading<u32>,
}

/// Routes through an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Routes {
    /// How many.
    pub count: u32,
    /// Whether a default route is among them.
    pub default: bool,
}

impl Interface {
    /// An interface of which nothing can be told, and why.
    pub fn unreadable(why: &str) -> Self {
        fn gap<T>(why: &str) -> Reading<T> {
            Reading::Unreadable(why.to_owned())
        }
        Self {
            index: 0,
            altnames: BTreeSet::new(),
            port: gap(why),
            driver: gap(why),
            mac: gap(why),
            permanent_mac: gap(why),
            link: gap(why),
            speed_mbps: gap(why),
            phys_port_name: gap(why),
            name_origin: gap(why),
            udev: gap(why),
            phc_index: gap(why),
            addresses: gap(why),
            routes: gap(why),
            uppers: gap(why),
            multicast_users: gap(why),
        }
    }
}

/// Who gave an interface its name, by the numbers of `name_assign_type`
/// (reference/interface-naming.md section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameOrigin {
    /// 1: the kernel, counting.
    Enumerated,
    /// 2: the kernel, always the same.
    Predictable,
    /// 3: whoever made the interface.
    User,
    /// 4: whoever renamed it.
    Renamed,
}

/// State of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Carries.
    Up,
    /// Administratively up, but no carrier, or not up at all.
    Down,
}

/// One loaded kernel module, or one on its way in or out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// How far it is.
    pub state: ModuleState,
    /// References held on it. The kernel shows -2 while a module is in flight
    /// (reference/onload-measured.md section 1), which reads as absent.
    pub refcount: Reading<u32>,
    /// Modules that use it.
    pub holders: BTreeSet<ModuleName>,
    /// `version`: absent for modules built without one, empty for unstamped builds.
    pub version: Reading<String>,
    /// `srcversion`.
    pub srcversion: Reading<String>,
    /// Taint letters, empty for none.
    pub taint: Reading<String>,
    /// Parameters that may be read.
    pub parameters: BTreeMap<String, Reading<String>>,
}

/// Life of a module, as `initstate` and `/proc/modules` show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleState {
    /// Usable.
    Live,
    /// Its init function has not returned, or `/sys/module` does not show it yet.
    Coming,
    /// Being removed.
    Going,
}

/// Where a module was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// With the running kernel.
    InTree,
    /// Apart from it: Onload's own.
    OutOfTree,
}

impl Module {
    /// In-tree or out-of-tree, from the `O` taint the kernel sets by itself on every module that
    /// is not built with it (reference/onload-modules.md section 3).
    pub fn origin(&self) -> Reading<Origin> {
        self.taint
            .as_ref()
            .map(|taint| if taint.contains('O') { Origin::OutOfTree } else { Origin::InTree })
    }
}

/// What `/proc/driver/onload` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnloadDriver {
    /// `onload_version`; empty for an unstamped build.
    pub version: Reading<String>,
    /// `uk_intf_ver`: what a user library must match, or every new socket fails.
    pub interface: Reading<InterfaceHash>,
    /// Stacks that exist, orphans included.
    pub stacks: Reading<u32>,
    /// Process ids of control-plane servers.
    pub control_plane: Reading<BTreeSet<u32>>,
}

/// A character device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    /// Major number; changes at each load of the module.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What a look is to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// How far it goes.
    pub depth: Depth,
    /// What it is to find of clocks; none: nothing, they are left alone.
    pub clocks: Option<ClockLook>,
}

impl From<Depth> for Look {
    fn from(depth: Depth) -> Self {
        Self { depth, clocks: None }
    }
}

/// How far a look goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Only clocks. The rest is as an earlier look found it.
    Clocks,
    /// Only what a step of a driver change can have changed: modules, what they show of
    /// themselves, and what hangs on them. The rest may be as an earlier look found it.
    Modules,
    /// That, and the network: after a driver has come, for what it is to carry again.
    Network,
    /// What is cheap. Users are searched for only where references on the modules show that there
    /// are some.
    #[default]
    Usual,
    /// Users too, those of the ports' clocks among them, and what interfaces carry: before a driver
    /// is taken away.
    Users,
}

/// A process that has the stack or a port's clock in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct User {
    /// Start time in clock ticks since boot: with the process id it names the process.
    pub started: u64,
    /// Its name (`comm`). Command lines are not kept (DESIGN section 10.6).
    pub comm: String,
    /// The systemd unit it belongs to.
    pub unit: Option<String>,
    /// The container it belongs to, as its control group names it.
    pub container: Option<String>,
    /// What it has open or mapped: `/dev/onload`, `/dev/sfc_char`, `/dev/ptp0`, a library.
    pub uses: BTreeSet<String>,
}

/// What onloadd writes for modprobe into `/run/modprobe.d`, gone with the boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Loader {
    /// Whether the hardware's alias may load `sfc`: not while a swap has taken it away, or the
    /// kernel's own comes back in between (reference/onload-modules.md section 2.2).
    pub autoload: Autoload,
    /// The control-plane server `onload` shall start; none: its built-in path.
    pub server: Option<String>,
}

/// Whether udev may load a driver for the hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Autoload {
    /// As the host has it.
    #[default]
    Allowed,
    /// Kept from it.
    Blocked,
}

/// The kubelet's registration socket, told apart by inode so that a re-creation shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeletSocket {
    /// Inode number of the socket file.
    pub inode: u64,
}

impl Snapshot {
    /// The interface of a port, if it shows one.
    pub fn interface_of(&self, port: &PciAddress) -> Option<(&InterfaceName, &Interface)> {
        self.interfaces.known()?.iter().find(|(_, interface)| interface.port.known() == Some(port))
    }

    /// A loaded module by name; absent when it is not loaded.
    pub fn module(&self, name: &str) -> Reading<&Module> {
        match &self.modules {
            Reading::Known(modules) => modules
                .iter()
                .find(|(key, _)| key.as_str() == name)
                .map(|(_, module)| module)
                .into(),
            Reading::Absent => Reading::Absent,
            Reading::Unreadable(why) => Reading::Unreadable(why.clone()),
        }
    }
}
