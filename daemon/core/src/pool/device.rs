//! One device of a pool, and who has it.

use serde::{Deserialize, Serialize};

use super::Cause;
use crate::names::{AllocationId, DeviceId};

/// One device of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// NUMA node of the ports it stands on.
    pub numa_node: Option<u32>,
    /// Why it cannot work; none: healthy. A lent device can be healthy.
    pub cause: Option<Cause>,
    /// Whether only local programs can have it: never advertised.
    pub local_only: bool,
    /// Who has it, or is about to get it.
    pub lent: Lent,
}

/// Who has a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lent {
    /// Nobody.
    #[default]
    No,
    /// Taken from the kubelet's list, about to be lent locally.
    Withdrawn,
    /// A local holder.
    Local(AllocationId),
    /// A container.
    Container(AllocationId),
}
