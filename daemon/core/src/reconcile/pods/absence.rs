//! What it means that the kubelet does not list what a container has by the ledger, and for how long
//! that must be so until anything follows from it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Reconciler;
use super::consistency::never_named;
use crate::allocation::{Allocation, Holder, PodContainer};
use crate::names::{AllocationId, PoolName};
use crate::time::Moment;

/// What it may mean that the kubelet does not list a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// Its pod has ended: the container was named, and others still are.
    Ended,
    /// Its container is of a sort that is never listed (an init container, reference/kubelet-api.md
    /// section 10 lists only the others), or its pod was turned away after Allocate.
    NeverNamed,
    /// The kubelet came up cut off from its API server and knows static pods only: it has named none
    /// of what was held by name since it, or the daemon, came. If all those pods have ended meanwhile,
    /// as the only one may have, it looks the same, and their devices are waited for as long; and a
    /// static pod that has a device makes it look as if it knew all.
    Unconfirmed,
}

/// Between which questions the kubelet has not listed a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// The first whose answer left it out.
    pub(super) since: Moment,
    /// The last so far.
    pub(super) last: Moment,
}

/// Who had a device before it was allocated anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Former {
    /// By name.
    pub(super) container: PodContainer,
    /// When the device was allocated anew.
    pub(super) got: Moment,
}

impl Reconciler {
    /// The container that may still be listed with the device of an allocation, after its end.
    pub(super) fn former(&self, id: &AllocationId) -> Option<&PodContainer> {
        self.asking.former.get(id).map(|former| &former.container)
    }

    /// Forgets who had a device before, where it is still listed after its present container has had
    /// it for as long as one that is never named is waited for at all. From then on the name counts as
    /// the container's own, as that of a pod made again under its own name is: the kubelet tells no
    /// two such pods apart.
    pub(super) fn forget_former(&mut self, id: AllocationId) {
        let (asked, long) = (self.asking.last, self.config.settings.kubelet.unnamed_grace.0);
        if self.asking.former.get(&id).is_some_and(|former| asked >= former.got + long) {
            self.asking.former.remove(&id);
        }
    }

    /// The kubelet knows its pods. It comes to know them one by one: for those that it does not
    /// list yet, time begins here. While it has taken no pool, it could be another the next time it
    /// is asked, and nobody would know.
    pub(super) fn pods_are_known(&mut self) {
        if self.registered.is_empty() {
            return;
        }
        let held = &self.ledger.allocations;
        let pools = self.pools.keys().chain(held.values().map(|one| &one.pool));
        let new = pools.filter(|pool| !self.asking.confirmed.contains(*pool));
        let new: BTreeSet<PoolName> = new.cloned().collect();
        let is_old = |one: &Allocation| !new.contains(&one.pool);
        self.asking.missing.retain(|id, _| held.get(id).is_some_and(|one| is_old(one)));
        self.asking.confirmed.extend(new);
    }

    /// What it means that the kubelet does not list what a container has by the ledger.
    pub(super) fn absence(&self, one: &Allocation) -> Absence {
        let never = match &one.holder {
            Holder::Container => true,
            // It may have been the former pod that was listed, after its end.
            Holder::Pod(container) => {
                self.former(&one.id).is_some_and(|former| container.is_of_pod_of(former))
            }
            Holder::Process(_) | Holder::Unit(_) | Holder::User { .. } => false,
        };
        match (never, self.asking.confirmed.contains(&one.pool)) {
            (true, _) => Absence::NeverNamed,
            (false, false) => Absence::Unconfirmed,
            (false, true) => Absence::Ended,
        }
    }

    /// For how long that must be so until the device is free.
    pub(super) fn patience(&self, absence: Absence) -> Duration {
        let kubelet = &self.config.settings.kubelet;
        match absence {
            Absence::Ended => kubelet.release_grace.0,
            Absence::NeverNamed | Absence::Unconfirmed => kubelet.unnamed_grace.0,
        }
    }

    /// Whether the kubelet has not listed a container's device for the shorter grace, whatever that
    /// means. Such a device stays noted, and holds up nothing that finds who uses the stack by itself.
    pub(in crate::reconcile) fn is_unlisted(&self, one: &Allocation) -> bool {
        let grace = self.config.settings.kubelet.release_grace.0;
        let missing = self.asking.missing.get(&one.id);
        missing.is_some_and(|missing| missing.last.since(missing.since) >= grace)
    }

    /// What is to be said of one that may be nobody's any more and is waited for all the same; empty
    /// for any other.
    pub(in crate::reconcile) fn unlisted(&self, one: &Allocation) -> String {
        match self.absence(one) {
            Absence::NeverNamed | Absence::Unconfirmed
                if self.asking.missing.contains_key(&one.id) =>
            {
                format!(
                    ", which the kubelet does not list: `onloadctl free --force {}` if its pod is gone for certain",
                    one.id
                )
            }
            Absence::NeverNamed | Absence::Unconfirmed | Absence::Ended => String::new(),
        }
    }

    /// What is to be said of a pool that has nothing free: devices that are noted for containers
    /// which the kubelet has never named. None: there are none.
    pub(in crate::reconcile) fn never_named(&self, pool: &PoolName) -> Option<String> {
        let missing = self.asking.missing.keys().filter_map(|id| self.ledger.allocations.get(id));
        let of_pool = missing.filter(|one| one.pool == *pool);
        let number = of_pool.filter(|one| self.absence(one) == Absence::NeverNamed).count();
        (number > 0).then(|| never_named(number, self.config.settings.kubelet.unnamed_grace))
    }
}
