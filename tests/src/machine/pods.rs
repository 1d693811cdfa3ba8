//! What is promised of what containers have, each as one assertion.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onload_core::allocation::{Allocation, Holder, Tenure};
use onload_core::ledger::Ledger;
use onload_core::names::{AllocationId, DeviceId, PoolName};
use onload_core::step::Step;
use onload_core::time::{Moment, Now, Span};

use super::kubelet::{Kubelet, container};

/// What was seen of containers so far.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// What containers have by the ledger.
    held: BTreeMap<AllocationId, (PoolName, DeviceId)>,
    /// Pools that the kubelet has taken in this run.
    registered: BTreeSet<PoolName>,
    /// Since when absences count: the last coming or going of any pool, or the daemon's start.
    counted_from: Moment,
    /// Since when they do for pools that were registered all that time.
    stayed_from: BTreeMap<PoolName, Moment>,
    /// Devices that running pods have and that were given back for want of a name, in good time.
    forgotten: BTreeSet<DeviceId>,
    /// Answers that left out a running pod's device and had it kept: without any nothing is proven.
    pub spared: u32,
}

impl Pods {
    pub(super) fn started(&mut self, ledger: &Ledger, now: Now) {
        self.registered.clear();
        self.counted_from = now.boot;
        self.stayed_from.clear();
        self.held = held(ledger);
    }

    /// A kubelet takes a pool, or is gone.
    pub(super) fn registered(&mut self, pool: &PoolName, registered: bool, now: Now) {
        let changed = if registered {
            self.registered.insert(pool.clone())
        } else {
            self.registered.remove(pool)
        };
        if changed {
            let others = self.registered.iter().filter(|other| *other != pool);
            self.stayed_from =
                others.map(|other| (other.clone(), self.counted_from(other))).collect();
            self.counted_from = now.boot;
        }
    }

    fn counted_from(&self, pool: &PoolName) -> Moment {
        self.stayed_from.get(pool).copied().unwrap_or(self.counted_from)
    }

    /// For how long the kubelet has not listed what a container has, at the most that counts.
    fn unlisted_for(&self, one: &Allocation, kubelet: &Kubelet, now: Now) -> Duration {
        now.boot.since(self.counted_from(&one.pool).max(Moment(kubelet.listed_at(&one.device))))
    }

    /// A driver goes only from containers whose device the kubelet has not listed for the grace.
    pub(super) fn step_begun(
        &self,
        step: &Step,
        ledger: &Ledger,
        kubelet: &Kubelet,
        grace: Span,
        now: Now,
    ) {
        for one in ledger.allocations.values().filter(|one| one.tenure == Tenure::Kubelet) {
            let unlisted = self.unlisted_for(one, kubelet, now);
            assert!(unlisted >= grace.0, "{step} while a container has {one:?}: {unlisted:?}");
        }
    }

    /// A kubelet's answer has been dealt with.
    pub(super) fn answered(&mut self, now: Now, grace: Span, kubelet: &Kubelet) {
        let unnamed = self.held.values();
        let unnamed = unnamed
            .filter_map(|(pool, device)| Some((pool, kubelet.unnamed_since(device)?)))
            .map(|(pool, since)| now.boot.since(self.counted_from(pool).max(Moment(since))));
        let spared = unnamed.filter(|unnamed| *unnamed > grace.0).count();
        self.spared += u32::try_from(spared).unwrap();
    }

    /// After every event: no container's device was given back but by the kubelet's word, a running
    /// pod's only once it had gone unnamed for the long time; and all others are noted.
    pub(super) fn check(&mut self, ledger: &Ledger, long: Span, kubelet: &Kubelet, now: Now) {
        let former = std::mem::replace(&mut self.held, held(ledger));
        for (id, (pool, device)) in former {
            if self.held.contains_key(&id) || is_container(ledger, &device) {
                continue;
            }
            assert!(kubelet.answered, "{device} is given back and no kubelet said so");
            if let Some(since) = kubelet.unnamed_since(&device) {
                let waited = now.boot.since(self.counted_from(&pool).max(Moment(since)));
                let what = "is given back while its pod runs";
                assert!(waited >= long.0, "{device} {what}, unnamed for {waited:?}");
            }
            if kubelet.has(&device) {
                self.forgotten.insert(device);
            }
        }
        self.forgotten.retain(|device| kubelet.has(device) && !is_container(ledger, device));
        for (pod, (_, devices)) in kubelet.pods() {
            for device in devices {
                let known = is_container(ledger, device) || self.forgotten.contains(device);
                assert!(known, "{pod} has {device}, the ledger forgot");
            }
        }
    }

    /// What holds once a kubelet that says what is has been asked for longer than the long grace:
    /// what containers have is what it lists of running pods, by name. But what was given back in
    /// good time and lent since is its new holder's.
    pub fn reconciled(&self, ledger: &Ledger, kubelet: &Kubelet) {
        let lent = ledger.allocations.values().filter(|one| one.is_local());
        let lent: BTreeSet<_> = lent.map(|one| &one.device).collect();
        let running: BTreeMap<_, _> = kubelet
            .listed()
            .filter(|(device, _)| !(self.forgotten.contains(*device) && lent.contains(device)))
            .map(|(device, pod)| (device.clone(), Holder::Pod(container(pod))))
            .collect();
        let held = ledger.allocations.values().filter(|one| !one.is_local());
        let held: BTreeMap<_, _> =
            held.map(|one| (one.device.clone(), one.holder.clone())).collect();
        assert_eq!(held, running, "the ledger and the pods that run");
    }
}

/// What containers have by the ledger.
fn held(ledger: &Ledger) -> BTreeMap<AllocationId, (PoolName, DeviceId)> {
    let held = ledger.allocations.values().filter(|one| !one.is_local());
    held.map(|one| (one.id, (one.pool.clone(), one.device.clone()))).collect()
}

/// Whether a container has the device by the ledger.
pub(super) fn is_container(ledger: &Ledger, device: &DeviceId) -> bool {
    ledger.allocations.values().any(|one| one.device == *device && one.tenure == Tenure::Kubelet)
}
