//! The published picture: all that outsiders see. Bus objects, kubelet lists, `STATUS=` and
//! metrics are derived from it, and signals from two of them. Nothing is sent by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::allocation::Allocation;
use crate::blocker::Blocked;
use crate::change::{Change, Past};
use crate::clock::picture::ClocksPicture;
use crate::command::ContainerAnswer;
use crate::condition::Condition;
use crate::config::{Entry, PoolKind, Registration};
use crate::hardware::Datapath;
use crate::inventory::{Interface, Module, Origin, Port, User};
use crate::job::Job;
use crate::names::{
    AllocationId, BootId, DeviceId, InterfaceName, JobId, KernelRelease, ModuleName, PciAddress,
    PoolName, ReleaseName,
};
use crate::naming::PortName;
use crate::others::{Manager, OtherPicture};
use crate::parameters::Difference;
use crate::pool::Cause;
pub use crate::pool::{Device, Lent};
use crate::reading::Reading;
use crate::release::Release;
use crate::release::initramfs::Remark;
use crate::release::preflight::Objection;
use crate::secure_boot::picture::SecureBootPicture;
use crate::time::Timestamp;

/// Node state, one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// As wanted.
    Ready,
    /// On the way there.
    #[default]
    Converging,
    /// Something an operator can remove is in the way.
    Blocked,
    /// An operator's hold.
    Held,
    /// Hands off: the ledger or the configuration cannot be relied on.
    Degraded,
    /// No card that Onload accelerates.
    Idle,
}

impl NodeState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Converging => "converging",
            Self::Blocked => "blocked",
            Self::Held => "held",
            Self::Degraded => "degraded",
            Self::Idle => "idle",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The picture. Large parts stand behind `Arc`, so that a new one costs what changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Node state.
    pub state: NodeState,
    /// One line for people: the first blocker, or what is well. Also `STATUS=`.
    pub summary: String,
    /// Orders accepted so far.
    pub generation: u64,
    /// The generation that this picture takes into account.
    pub observed_generation: u64,
    /// A change is still settling: what is shown may not be the whole truth yet.
    pub probing: bool,
    /// Kernel release.
    pub kernel: Reading<KernelRelease>,
    /// Boot id.
    pub boot_id: Reading<BootId>,
    /// Release the node shall have; none where modules are left alone.
    pub wanted_release: Option<ReleaseName>,
    /// What says so: the configuration's `release`, one of its mappings, or an order.
    pub wanted_by: String,
    /// Release the loaded stack is from; none where none is loaded or it cannot be told.
    pub loaded_release: Option<ReleaseName>,
    /// The change under way.
    pub change: Option<Change>,
    /// Changes that ended, oldest first.
    pub history: Arc<Vec<Past>>,
    /// Who uses the stack, by process id; as the last look that searched found it.
    pub users: Arc<BTreeMap<u32, User>>,
    /// Version the loaded `onload` module says.
    pub loaded_version: Reading<String>,
    /// Kubernetes-shaped conditions, by type.
    pub conditions: Arc<Vec<Condition>>,
    /// Why the node is not as wanted, most important first.
    pub blockers: Arc<Vec<Blocked>>,
    /// Others who have to do with the modules.
    pub others: Arc<BTreeMap<Manager, OtherPicture>>,
    /// What would be done, in order; only the first is ever done before the next look.
    pub plan: Arc<Vec<String>>,
    /// An operator's hold.
    pub hold: Option<Hold>,
    /// Every network interface.
    pub interfaces: Arc<BTreeMap<InterfaceName, Interface>>,
    /// Why the interfaces cannot be told; none when they can.
    pub interfaces_unreadable: Option<String>,
    /// Ports of cards that are in the table of families, and those offered through AF_XDP.
    pub ports: Arc<BTreeMap<PciAddress, PortPicture>>,
    /// Names of the ports: today's, foretold and configured.
    pub naming: Arc<Vec<PortName>>,
    /// Modules that are loaded, and those of the stack that are not.
    pub modules: Arc<BTreeMap<ModuleName, ModulePicture>>,
    /// Releases whose user libraries are present.
    pub releases: Arc<BTreeMap<ReleaseName, ReleasePicture>>,
    /// Secure Boot, keys, and what the running kernel would say to modules.
    pub secure_boot: Arc<SecureBootPicture>,
    /// Clocks.
    pub clocks: Arc<ClocksPicture>,
    /// Pools.
    pub pools: Arc<BTreeMap<PoolName, PoolPicture>>,
    /// What is lent.
    pub allocations: Arc<BTreeMap<AllocationId, Arc<Allocation>>>,
    /// Jobs under way, and the last few that ended.
    pub jobs: Arc<BTreeMap<JobId, Job>>,
    /// Every setting in force, by dotted key.
    pub config: Arc<BTreeMap<String, Entry>>,
}

/// An operator's freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// User id of who ordered it.
    pub uid: u32,
    /// Since when.
    pub since: Timestamp,
    /// Until when; none: until `unhold`.
    pub until: Option<Timestamp>,
}

/// One port of a known card, or one offered through AF_XDP. The latter has no family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortPicture {
    /// The facts.
    pub port: Port,
    /// Product family, such as `X2`.
    pub family: String,
    /// Network controller, such as `SFC9250`.
    pub controller: String,
    /// How Onload reaches it.
    pub datapath: Datapath,
    /// Interface name; none while no driver shows one.
    pub netdev: Option<InterfaceName>,
    /// The interface.
    pub interface: Interface,
    /// Where the bound driver was built; absent while none is bound.
    pub driver_origin: Reading<Origin>,
    /// Why Onload cannot accelerate it just now; none when it can.
    pub obstacle: Option<Cause>,
}

/// One module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModulePicture {
    /// The facts; absent while it is not loaded.
    pub module: Reading<Module>,
    /// Whether the configuration asks for it.
    pub wanted: bool,
    /// Its parameters that are not as the host's modprobe.d asks.
    pub differing: Vec<Difference>,
}

/// One release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleasePicture {
    /// The facts.
    pub release: Release,
    /// Whether its libraries fit the loaded driver; absent while none is loaded.
    pub matches_driver: Reading<bool>,
    /// For each kernel on the disk, and each it has modules for: all that speaks against loading
    /// it there.
    pub kernels: BTreeMap<KernelRelease, Vec<Objection>>,
    /// What is worth knowing of a kernel with it, and keeps nothing from happening; only kernels of
    /// which there is something to say.
    pub remarks: BTreeMap<KernelRelease, Vec<Remark>>,
}

/// One pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolPicture {
    /// Kind.
    pub kind: PoolKind,
    /// Its name for Kubernetes.
    pub resource: String,
    /// What it selects its ports by, each key with its values; empty: every port of its kind.
    pub selectors: BTreeMap<String, Vec<String>>,
    /// Its ports.
    pub ports: BTreeSet<PciAddress>,
    /// How a kubelet comes to know it.
    pub registration: Registration,
    /// Whether a container is started only while its devices can work and are lent to it.
    pub check_at_start: bool,
    /// Its devices, in slot order.
    pub devices: Arc<Vec<Device>>,
    /// What a container gets; none while the pool cannot be served.
    pub answer: Option<Arc<ContainerAnswer>>,
    /// What it gets besides for each device that is a thing of its own.
    pub own: Arc<BTreeMap<DeviceId, ContainerAnswer>>,
    /// Whether a kubelet has accepted it.
    pub registered: bool,
}

/// Counts of a pool's devices. Every device is in exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Healthy and lent to nobody.
    pub free: u32,
    /// Lent to local programs, or about to be.
    pub local: u32,
    /// Lent to containers.
    pub containers: u32,
    /// Lent to nobody, and cannot work.
    pub unhealthy: u32,
}

impl PoolPicture {
    /// Counts its devices.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for device in self.devices.iter() {
            match (device.lent, &device.cause) {
                (Lent::Withdrawn | Lent::Local(_), _) => counts.local += 1,
                (Lent::Container(_), _) => counts.containers += 1,
                (Lent::No, None) => counts.free += 1,
                (Lent::No, Some(_)) => counts.unhealthy += 1,
            }
        }
        counts
    }
}
