//! What tells one kind of pool from another: a file each, and the one place that chooses among them.

use std::fmt::Debug;

use super::{Device, Look, Members, Standing};
use crate::config::{PoolKind, PoolSettings};
use crate::inventory::Port;
use crate::names::{PciAddress, PoolName};

mod onload;
#[cfg(test)]
mod sample;

/// Whether a port can be a member of a pool of some kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// As it should.
    Good,
    /// Its devices could not work: a member only where it is named, or no other port is there.
    Poor,
    /// It has nothing to do with the kind.
    No,
}

/// A kind of pool. What is not asked here is the same for all of them: selectors, variables and
/// mounts of the configuration, profiles, lending, and what the kubelet and container runtimes see.
///
/// A container gets the same whether the kubelet is answered plainly or with names of CDI, and the
/// file there says of each device what it brings by itself. So a variable that a device brings has a
/// name that no other device of the node has, such as one with its address in it: CDI keeps one value
/// of several, where the plain answer joins them. What the whole pool sets is no device's to change,
/// and is left out of what it brings. A device that brings nothing, in a pool that has no device
/// nodes for all, is none for CDI and stands in no file.
pub(super) trait Kind: Debug + Sync {
    /// Whether a device does for any other.
    fn interchangeable(&self) -> bool;

    /// Whether a port can be a member.
    fn fit(&self, address: PciAddress, port: &Port, look: &Look<'_>) -> Fit;

    /// Judges what the devices stand on, the places of `former` included, and says what a container
    /// gets. `ports` and `nowhere` are filled in by the caller.
    fn stand(
        &self,
        pool: &PoolName,
        settings: &PoolSettings,
        look: &Look<'_>,
        members: &Members<'_>,
        former: &Standing,
    ) -> Standing;

    /// The devices in the order in which they are listed, lent to nobody yet.
    fn devices(&self, pool: &PoolName, settings: &PoolSettings, standing: &Standing)
    -> Vec<Device>;
}

/// The kind of this name.
pub(super) fn of(kind: PoolKind) -> &'static dyn Kind {
    match kind {
        PoolKind::Onload => &onload::Onload,
        #[cfg(test)]
        PoolKind::Sample => &sample::Sample,
    }
}
