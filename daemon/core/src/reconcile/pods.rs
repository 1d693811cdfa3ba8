//! The ledger compared with what the kubelet says its pods hold (DESIGN section 6).
//!
//! What the kubelet lists is held, and bears the name of its container. What it does not list any
//! more is freed after a grace; a kubelet that cannot be asked frees nothing. A pod that has ended
//! and is listed all the same, as older kubelets do (k8s#132020), has its devices until its object
//! is deleted or the kubelet gives them to another.
//!
//! Where to be missing proves little the grace is a longer one (`kubelet.unnamed-grace`): a local
//! program's wait costs little, the kubelet may give the device to a pod at any time, and a wrong
//! end takes a running pod's device out of the books. A change of drivers does not wait for it: that
//! searches for those who use the stack as well. See [`absence`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Effect, Reconciler};
use crate::allocation::{Allocation, Holder, PodContainer, Tenure};
use crate::ledger::Entry;
use crate::names::{AllocationId, DeviceId, PoolName};
use crate::picture::Lent;
use crate::pods::PodList;
use crate::time::{Moment, Now};

mod absence;
mod consistency;
mod plugins;

use absence::{Absence, Former, Missing};
use consistency::Findings;
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
/// anew, and a name that is listed is the container's own.
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
    /// What the kubelet does not list although it is somebody's by the ledger.
    missing: BTreeMap<AllocationId, Missing>,
    /// Pools of which it is known that this kubelet knows its pods: since it took them it has named a
    /// container that has a device by the ledger, of whichever pool.
    confirmed: BTreeSet<PoolName>,
    /// Who had the device of an allocation before the kubelet allocated it anew.
    former: BTreeMap<AllocationId, Former>,
    /// Why the last question was not answered.
    silence: Option<String>,
    findings: Findings,
    /// Pools whose resource another plugin may have.
    doubts: BTreeMap<PoolName, Doubt>,
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

    /// The kubelet has let go of a pool, or has taken it, perhaps as another than before: the next
    /// one may answer long before it takes a plugin. What other pools hear of it stays as long as it
    /// keeps them, since a pool that two plugins fight over comes and goes all the time. A kubelet
    /// that restarts goes from all of them.
    pub(super) fn kubelet_went(&mut self, of: &PoolName) {
        let (registered, kept) = (&self.registered, &self.ledger.allocations);
        let stays = |pool: &PoolName| pool != of && registered.contains(pool);
        self.asking.missing.retain(|id, _| kept.get(id).is_some_and(|one| stays(&one.pool)));
        self.asking.confirmed.retain(stays);
        self.asking.outdated = self.asking.under_way.is_some();
    }

    /// A kubelet has taken a pool: it may not know all its pods yet.
    pub(super) fn kubelet_came(&mut self, now: Now, of: &PoolName) {
        self.kubelet_went(of);
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
            let former = Former { container: container.clone(), got: now.boot };
            self.asking.former.insert(id, former);
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
            let former = self.former(id);
            pods.is_some_and(|pods| holder(pods, &one.holder, former).is_some())
        });
        if names_one {
            self.pods_are_known();
        }
        for (id, one, pods) in held {
            let device = one.device.as_str();
            if let Some(pods) = pods {
                self.asking.missing.remove(id);
                match holder(pods, &one.holder, self.former(id)) {
                    Some(container) if one.holder == Holder::Pod(container.clone()) => {}
                    Some(container) => {
                        entries.push(Entry::Named { id: *id, container: container.clone() });
                    }
                    None => self.asking.findings.contradictions.push(found(device, pods)),
                }
                self.forget_former(*id);
            } else {
                let since = self.asking.missing.get(id).map_or(asked, |missing| missing.since);
                self.asking.missing.insert(*id, Missing { since, last: asked });
                let freed = since + self.patience(self.absence(one));
                if asked < freed {
                    // From the shorter grace on no change of drivers waits for it.
                    let unlisted = since + self.config.settings.kubelet.release_grace.0;
                    self.ask_at(if asked < unlisted { unlisted } else { freed });
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
