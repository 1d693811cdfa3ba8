//! The ledger compared with what the kubelet says its pods hold (DESIGN section 6).
//!
//! What the kubelet lists is held, and bears the name of its container. What it does not list any
//! more is freed after a grace; a kubelet that cannot be asked frees nothing. A pod that has ended
//! and is listed all the same, as older kubelets do (k8s#132020), has its devices until its object
//! is deleted or the kubelet gives them to another.
//!
//! Where to be missing proves little the grace is a longer one (`kubelet.unnamed-grace`): a local
//! program's wait costs little, the kubelet may give the device to a pod at any time, and a wrong
//! end takes a running pod's device out of the books. See [`Absence`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Effect, Reconciler};
use crate::allocation::{Allocation, Holder, PodContainer, Tenure};
use crate::ledger::Entry;
use crate::names::{AllocationId, DeviceId, PoolName};
use crate::picture::Lent;
use crate::pods::PodList;
use crate::time::{Moment, Now};

mod consistency;
mod plugins;

use consistency::{Findings, never_named};
use plugins::Doubt;

/// From an Allocate, or the coming of a kubelet, to the question: a pod is listed once it is
/// admitted as a whole, and one question does for a burst of pods.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// Between two questions, however often devices run out: the kubelet rations all who ask it
/// together (reference/kubelet-api.md section 10).
const APART: Duration = Duration::from_secs(1);
/// Ticks for which a kubelet that has come is asked again while it does not answer and nothing is
/// known to be lent to it: after that it has no pod-resources.
const TRIES: u32 = 5;

/// What is known from asking. Nothing of it is in the ledger: after a restart every grace begins
/// anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asking {
    /// A question is under way; it speaks of allocations up to this number and of no later ones.
    under_way: Option<AllocationId>,
    /// The question under way went to a kubelet that has come or gone since.
    outdated: bool,
    /// There is a reason to ask at this time.
    due: Option<Moment>,
    /// When it was last asked.
    last: Moment,
    /// Questions still worth asking of a kubelet that has come and not answered yet.
    tries: u32,
    /// Since which answer the kubelet does not list what an allocation is for.
    missing: BTreeMap<AllocationId, Moment>,
    /// Whether this kubelet has named any container that has a device by the ledger.
    confirmed: bool,
    /// Who had the device of an allocation before the kubelet allocated it anew.
    former: BTreeMap<AllocationId, PodContainer>,
    /// Why the last question was not answered.
    silence: Option<String>,
    findings: Findings,
    /// Pools whose resource another plugin may have.
    doubts: BTreeMap<PoolName, Doubt>,
}

/// What it may mean that the kubelet does not list a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
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

/// The containers that say they have a device, by pool and id.
type Claims<'a> = BTreeMap<(&'a PoolName, &'a str), Vec<&'a PodContainer>>;

impl Reconciler {
    /// When the kubelet is to be asked.
    pub(super) fn asking_due(&self) -> Option<Moment> {
        let asking = &self.asking;
        if asking.under_way.is_some() || self.snapshot.is_none() || self.hands_off() {
            return None;
        }
        let ticks = asking.tries > 0
            || self.ledger.containers() > 0
            || asking.findings != Findings::default()
            || !asking.doubts.is_empty();
        let tick = ticks.then(|| asking.last + self.config.settings.daemon.look_every.0);
        [asking.due, tick].into_iter().flatten().min()
    }

    pub(super) fn ask_when_due(&mut self, now: Now) {
        if self.asking_due().is_some_and(|at| at <= now.boot) {
            self.asking.under_way = Some(AllocationId(self.ledger.last_allocation));
            self.asking.outdated = false;
            self.asking.due = None;
            self.asking.last = now.boot;
            self.effects.push(Effect::AskKubelet);
        }
    }

    fn ask_at(&mut self, at: Moment) {
        let at = at.max(self.asking.last + APART);
        self.asking.due = Some(self.asking.due.map_or(at, |due| due.min(at)));
    }

    /// Devices that containers have are needed: perhaps some have ended.
    pub(super) fn ask_of_containers(&mut self, now: Now) {
        if self.ledger.containers() > 0 {
            self.ask_at(now.boot);
        }
    }

    /// The kubelet has gone. The next may answer long before it takes a plugin.
    pub(super) fn kubelet_went(&mut self) {
        self.asking.missing.clear();
        self.asking.confirmed = false;
        self.asking.outdated = self.asking.under_way.is_some();
    }

    /// A kubelet has come, perhaps another than before: it may not know all its pods yet.
    pub(super) fn kubelet_came(&mut self, now: Now) {
        self.kubelet_went();
        self.asking.tries = TRIES;
        self.ask_at(now.boot + AFTERWARDS);
    }

    /// A container gets a device, after another or not.
    pub(super) fn container_got(
        &mut self,
        now: Now,
        id: AllocationId,
        former: Option<AllocationId>,
    ) {
        let former = former.and_then(|former| self.ledger.allocations.get(&former));
        if let Some(Holder::Pod(container)) = former.map(|former| &former.holder) {
            self.asking.former.insert(id, container.clone());
        }
        self.ask_at(now.boot + AFTERWARDS);
    }

    pub(super) fn kubelet_said(&mut self, now: Now, said: Result<PodList, String>) {
        let Some(last) = self.asking.under_way.take() else { return };
        let before = (self.consistency(), self.other_plugins());
        self.asking.silence = None;
        match said {
            Ok(list) => {
                self.asking.tries = 0;
                // Of one that is no more nothing follows; its successor is asked soon.
                if !self.hands_off() && !self.asking.outdated {
                    self.compare(now, last, &list);
                    if let Some(offered) = &list.offered {
                        self.doubt(now, offered);
                    }
                }
            }
            Err(why) => {
                self.asking.tries = self.asking.tries.saturating_sub(1);
                self.asking.silence = Some(why);
            }
        }
        if before != (self.consistency(), self.other_plugins()) {
            self.publish_soon(now.boot);
        }
    }

    fn compare(&mut self, now: Now, last: AllocationId, list: &PodList) {
        let pools = self.pools.iter().map(|(name, pool)| (pool.resource(), name.clone()));
        let pools: BTreeMap<String, PoolName> = pools.collect();
        let mut claims = Claims::new();
        // Of no pool of ours, or of one that was called otherwise when the pod began.
        let mut elsewhere: BTreeMap<&str, Vec<&PodContainer>> = BTreeMap::new();
        for held in &list.held {
            let devices = held.devices.iter().map(String::as_str);
            match pools.get(&held.resource) {
                Some(pool) => {
                    for device in devices {
                        claims.entry((pool, device)).or_default().push(&held.container);
                    }
                }
                None => {
                    for device in devices {
                        elsewhere.entry(device).or_default().push(&held.container);
                    }
                }
            }
        }
        self.asking.findings = Findings::default();
        let mut entries = self.judge(last, list, &claims, &elsewhere);
        for entry in &entries {
            if let Entry::Freed { id } = entry {
                self.release(*id);
            }
        }
        let mut number = self.ledger.last_allocation;
        for ((pool, device), pods) in &claims {
            let Ok(device) = device.parse::<DeviceId>() else {
                self.asking.findings.unknown.push(found(device, pods));
                continue;
            };
            match self.lent(pool, &device) {
                Some(Lent::Container(_)) => {}
                Some(Lent::No | Lent::Withdrawn) => {
                    number += 1;
                    entries.extend(self.take_in(now, AllocationId(number), pool, device, pods));
                }
                Some(Lent::Local(id)) => {
                    let holder = self.ledger.allocations.get(&id).map(|one| one.holder.to_string());
                    let holder = holder.unwrap_or_default();
                    let what = format!("{}, and {holder} as {id}", found(device.as_str(), pods));
                    self.asking.findings.contradictions.push(what);
                }
                None => self.asking.findings.unknown.push(found(device.as_str(), pods)),
            }
        }
        if !entries.is_empty() {
            self.record(entries, None);
            self.publish_soon(now.boot);
        }
        let kept = &self.ledger.allocations;
        self.asking.missing.retain(|id, _| kept.contains_key(id));
        self.asking.former.retain(|id, _| kept.contains_key(id));
    }

    /// What containers have by the ledger, each as the answer shows it.
    fn judge(
        &mut self,
        last: AllocationId,
        list: &PodList,
        claims: &Claims<'_>,
        elsewhere: &BTreeMap<&str, Vec<&PodContainer>>,
    ) -> Vec<Entry> {
        // What an answer says held when it was asked for; it may have been long under way.
        let asked = self.asking.last;
        let mut entries = Vec::new();
        let allocations = self.ledger.allocations.clone();
        let held = allocations.range(..=last).filter(|(_, one)| !one.is_local());
        let held = held.map(|(id, one)| {
            let device = one.device.as_str();
            (id, one, claims.get(&(&one.pool, device)).or_else(|| elsewhere.get(device)))
        });
        let names_one = held.clone().any(|(id, one, pods)| {
            let former = self.asking.former.get(id);
            pods.is_some_and(|pods| holder(pods, &one.holder, former).is_some())
        });
        if names_one && !self.asking.confirmed {
            // It comes to know its pods one by one: for those that follow, time begins here.
            self.asking.confirmed = true;
            self.asking.missing.clear();
        }
        for (id, one, pods) in held {
            let device = one.device.as_str();
            if let Some(pods) = pods {
                self.asking.missing.remove(id);
                match holder(pods, &one.holder, self.asking.former.get(id)) {
                    Some(container) if one.holder == Holder::Pod(container.clone()) => {}
                    Some(container) => {
                        entries.push(Entry::Named { id: *id, container: container.clone() });
                    }
                    None => self.asking.findings.contradictions.push(found(device, pods)),
                }
            } else {
                let since = *self.asking.missing.entry(*id).or_insert(asked);
                let freed = since + self.patience(self.absence(one));
                if asked < freed {
                    self.ask_at(freed);
                } else if list.pods == 0 {
                    // As one says that has just started and not reached its API server yet, while
                    // containers run on.
                    self.asking.findings.leaked.push(format!("{device} of {}", one.holder));
                } else {
                    entries.push(Entry::Freed { id: *id });
                }
            }
        }
        entries
    }

    /// Takes into the ledger what a pod has and nobody knew of: what was written of it did not
    /// survive a loss of power.
    fn take_in(
        &mut self,
        now: Now,
        id: AllocationId,
        pool: &PoolName,
        device: DeviceId,
        pods: &[&PodContainer],
    ) -> Vec<Entry> {
        const WHAT: &str = "the container's device is not noted";
        // A local grant that is settling gets another one, or is refused; either way it can be.
        let moves = self.make_way(WHAT, pool, &BTreeSet::from([&device])).unwrap_or_default();
        let mut entries = self.carry_out(pool, moves);
        self.set_lent(pool, &device, Lent::Container(id));
        let holder = holder(pods, &Holder::Container, None);
        entries.push(Entry::Granted(Allocation {
            id,
            pool: pool.clone(),
            device,
            holder: holder.map_or(Holder::Container, |container| Holder::Pod(container.clone())),
            tenure: Tenure::Kubelet,
            since: now.wall,
        }));
        entries
    }

    /// What it means that the kubelet does not list what a container has by the ledger.
    fn absence(&self, one: &Allocation) -> Absence {
        let never = match &one.holder {
            Holder::Container => true,
            // It may have been the former pod that was listed, after its end.
            Holder::Pod(container) => {
                let former = self.asking.former.get(&one.id);
                former.is_some_and(|former| container.is_of_pod_of(former))
            }
            Holder::Process(_) | Holder::Unit(_) | Holder::User { .. } => false,
        };
        match (never, self.asking.confirmed) {
            (true, _) => Absence::NeverNamed,
            (false, false) => Absence::Unconfirmed,
            (false, true) => Absence::Ended,
        }
    }

    /// For how long that must be so until the device is free.
    fn patience(&self, absence: Absence) -> Duration {
        let kubelet = &self.config.settings.kubelet;
        match absence {
            Absence::Ended => kubelet.release_grace.0,
            Absence::NeverNamed | Absence::Unconfirmed => kubelet.unnamed_grace.0,
        }
    }

    /// What is to be said of a pool that has nothing free: devices that are noted for containers
    /// which the kubelet has never named. None: there are none.
    pub(super) fn never_named(&self, pool: &PoolName) -> Option<String> {
        let missing = self.asking.missing.keys().filter_map(|id| self.ledger.allocations.get(id));
        let of_pool = missing.filter(|one| one.pool == *pool);
        let number = of_pool.filter(|one| self.absence(one) == Absence::NeverNamed).count();
        (number > 0).then(|| never_named(number, self.config.settings.kubelet.unnamed_grace))
    }
}

/// Which of those who claim a device has it. None: it cannot be told.
fn holder<'a>(
    claims: &[&'a PodContainer],
    known: &Holder,
    former: Option<&PodContainer>,
) -> Option<&'a PodContainer> {
    // An ended pod may be listed beside the one that has its device now.
    let ended = |one: &PodContainer| former.is_some_and(|former| one.is_of_pod_of(former));
    let (old, new): (Vec<_>, Vec<_>) = claims.iter().copied().partition(|one| ended(one));
    let claims = if new.is_empty() { old } else { new };
    let is_known = |one: &&PodContainer| matches!(known, Holder::Pod(known) if known == *one);
    if let Some(same) = claims.iter().copied().find(is_known) {
        return Some(same);
    }
    // A pod's containers hand a device on from one to the next.
    let last = *claims.last()?;
    claims.iter().all(|one| one.is_of_pod_of(last)).then_some(last)
}

fn found(device: &str, pods: &[&PodContainer]) -> String {
    let pods: Vec<_> = pods.iter().map(ToString::to_string).collect();
    format!("{device} is held by {}", pods.join(" and "))
}
