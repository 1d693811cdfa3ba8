//! A device lent to a holder. One holder each; the ledger remembers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::{AllocationId, BootId, DeviceId, PoolName};
use crate::time::{Moment, Span, Timestamp};

/// One device lent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Allocation {
    /// Its number.
    pub id: AllocationId,
    /// The pool the device belongs to.
    pub pool: PoolName,
    /// The device.
    pub device: DeviceId,
    /// Who has it.
    pub holder: Holder,
    /// What ends it.
    pub tenure: Tenure,
    /// Since when.
    pub since: Timestamp,
}

/// Who has a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Holder {
    /// A container whose pod the kubelet has not named yet: in Allocate it does not say.
    Container,
    /// A container of a pod, as the kubelet's pod-resources name it.
    Pod(PodContainer),
    /// A program that asked over the bus.
    Process(Process),
    /// A unit of the system manager, for whatever runs in it.
    Unit(Unit),
    /// A person's lease, without a program behind it.
    User {
        /// Their user id.
        uid: u32,
    },
}

/// A container by name. The kubelet gives no UID with it, so that a pod deleted and made again under
/// the same name looks like the former (reference/kubelet-api.md section 10): a device it had before
/// and has again counts as kept, unless the kubelet has allocated it anew meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodContainer {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container in it.
    pub container: String,
}

/// A process, told apart from a later one with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat` field 22).
    pub start_ticks: u64,
    /// The boot it lives in.
    pub boot: BootId,
    /// Effective user id.
    pub uid: u32,
    /// Command name (`/proc/PID/comm`); never the command line.
    pub comm: String,
}

impl Process {
    /// What makes it the process it is. Name and user can change while it lives.
    pub fn identity(&self) -> (u32, u64, &BootId) {
        (self.pid, self.start_ticks, &self.boot)
    }
}

/// A unit of the system manager, told apart from its next start by its control group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Unit {
    /// Its name, such as `trader.service`.
    pub name: String,
    /// Directory of its control group, which systemd removes with the unit's end.
    pub directory: String,
    /// Inode number of that directory; used once in a boot.
    pub inode: u64,
    /// The boot it lives in.
    pub boot: BootId,
    /// Effective user id of who asked for it.
    pub uid: u32,
}

/// What ends an allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Tenure {
    /// The kubelet has no release call: until its pod is gone for a while by the kubelet's word, or
    /// the device is allocated anew.
    Kubelet,
    /// The end of the holding process, or of its bus connection if it was asked for so.
    Client,
    /// The end of the holding unit.
    Unit,
    /// Nothing but `free`.
    Persistent,
    /// A date. Within the boot it was made in, CLOCK_BOOTTIME counts; after it, wall time.
    Lease {
        /// End on CLOCK_BOOTTIME.
        until: Moment,
        /// The boot that clock belongs to; none where it could not be read.
        boot: Option<BootId>,
        /// End in wall time.
        until_wall: Timestamp,
    },
}

/// What a caller asks an allocation to end with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TenureWish {
    /// With the calling program, or its bus connection.
    Client,
    /// With the calling process alone: it may leave the bus, and become another program.
    Process,
    /// With the unit that the calling program is of.
    Unit(Unit),
    /// Never by itself.
    Persistent,
    /// After a while.
    Lease(Span),
}

impl Allocation {
    /// Whether the kubelet's list must show the device as not to be had.
    pub fn is_local(&self) -> bool {
        match self.holder {
            Holder::Container | Holder::Pod(_) => false,
            Holder::Process(_) | Holder::Unit(_) | Holder::User { .. } => true,
        }
    }

    /// The user who may free it without privilege.
    pub fn owner(&self) -> Option<u32> {
        match &self.holder {
            Holder::Container | Holder::Pod(_) => None,
            Holder::Process(process) => Some(process.uid),
            Holder::Unit(unit) => Some(unit.uid),
            Holder::User { uid } => Some(*uid),
        }
    }
}

impl PodContainer {
    /// Whether the two are containers of one pod.
    pub fn is_of_pod_of(&self, other: &Self) -> bool {
        (&self.namespace, &self.pod) == (&other.namespace, &other.pod)
    }
}

impl fmt::Display for PodContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.pod, self.container)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container => f.write_str("a container the kubelet has not named yet"),
            Self::Pod(pod) => pod.fmt(f),
            Self::Process(process) => write!(f, "pid {} ({})", process.pid, process.comm),
            Self::Unit(unit) => write!(f, "unit {}", unit.name),
            Self::User { uid } => write!(f, "user {uid}"),
        }
    }
}

impl fmt::Display for Tenure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubelet => "kubelet",
            Self::Client => "client",
            Self::Unit => "unit",
            Self::Persistent => "persistent",
            Self::Lease { .. } => "lease",
        })
    }
}
