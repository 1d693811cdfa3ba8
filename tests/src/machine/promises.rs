//! What the daemon promises, each as one assertion, checked after every event of every run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onload_core::allocation::{Allocation, Holder, Process, Tenure, TenureWish};
use onload_core::command::{Answer, Caller, Command, Reply, RequestId};
use onload_core::hardware::{Acceleration, Hardware};
use onload_core::inventory::{Autoload, DEVICE_NODES, ModuleState, Snapshot};
use onload_core::kubelet::device_list;
use onload_core::ledger::{Entry, Ledger};
use onload_core::names::{AllocationId, BootId};
use onload_core::picture::{Lent, NodeState, Picture, PoolPicture};
use onload_core::reconcile::Reconciler;
use onload_core::step::Step;
use onload_core::time::{Moment, Now};

use super::changes::Changes;
use super::clocks::Clocks;
use super::disk::Disk;
use super::kubelet::Kubelet;
use super::network::Networks;
use super::pods::{Pods, is_container};

/// Attempts at a failing step without an order, at the most.
const MOST_ATTEMPTS: u32 = 6;
/// Events between two comparisons of the file with the state in memory: to read it costs more than
/// all the rest.
const EVENTS_PER_READING: u32 = 16;

/// A local grant that somebody was told of.
#[derive(Clone, Debug)]
struct Claim {
    allocation: Arc<Allocation>,
    bus_name: Option<String>,
}

/// What was promised so far.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    claims: BTreeMap<AllocationId, Claim>,
    admitted: BTreeMap<RequestId, String>,
    /// When leases end.
    leases: BTreeMap<AllocationId, Moment>,
    look: Option<Arc<Snapshot>>,
    running: Option<Step>,
    /// The step begun last, until what became of it is written.
    unwritten: Option<Step>,
    attempts: BTreeMap<Step, (u32, u64)>,
    /// The change that the attempts belong to, and whether it was on its way back.
    attempts_of: Option<(u64, bool)>,
    since_reading: u32,
    /// The ledger could not be read at this start: hands off, and nothing is known of holders.
    blind: bool,
    /// What is promised of what containers have.
    pub pods: Pods,
    /// What is promised of changes.
    pub changes: Changes,
    /// What is promised of clocks.
    pub clocks: Clocks,
    /// What is promised of names and the network.
    pub network: Networks,
    /// Steps begun, grants answered, pods served: a run in which nothing happens proves nothing.
    pub steps: u32,
    /// Local grants that were answered.
    pub grants: u32,
    /// Containers that got their devices.
    pub containers: u32,
}

impl Promises {
    pub(super) fn started(&mut self, disk: &Disk, now: Now) {
        self.blind = disk.read().is_err();
        self.pods.started(&disk.read().unwrap_or_default(), now);
    }

    pub(super) fn looked(&mut self, snapshot: &Snapshot) {
        self.attempts.retain(|step, _| !step.holds_in(snapshot));
        let look = Arc::new(snapshot.clone());
        self.changes.looked(&look);
        self.network.looked(snapshot);
        self.look = Some(look);
    }

    pub(super) fn asked(&mut self, command: &Command) {
        match command {
            // From here on it may be gone at any time.
            Command::Free { allocation, .. } => {
                self.claims.remove(allocation);
            }
            // An order by name forgets failures as well.
            Command::Apply { retry: true, .. } | Command::Use { .. } | Command::Rollback { .. } => {
                self.attempts.clear();
            }
            Command::Allocate { .. }
            | Command::Hold { .. }
            | Command::Unhold
            | Command::Apply { retry: false, .. }
            | Command::Adopt
            | Command::Confirm
            | Command::Import { .. }
            | Command::Remove { .. }
            | Command::ImportKey { .. }
            | Command::RevokeRequest { .. }
            | Command::HandOver { .. }
            | Command::Cancel { .. }
            | Command::Reload
            | Command::KubeletAllocate { .. } => {}
        }
    }

    pub(super) fn admitted(&mut self, id: RequestId, pod: &str) {
        self.admitted.insert(id, pod.to_owned());
    }

    pub(super) fn pod_of(&mut self, id: RequestId) -> Option<String> {
        self.admitted.remove(&id)
    }

    pub(super) fn answered(
        &mut self,
        caller: &Caller,
        command: &Command,
        answer: &Answer,
        ledger: &Ledger,
        now: Now,
    ) {
        match answer {
            Ok(Reply::Allocated(lent)) => {
                self.grants += 1;
                let Command::Allocate { tenure, .. } = command else { panic!("{command:?} lent") };
                for (id, device) in lent {
                    let Some(allocation) = ledger.allocations.get(id).cloned() else {
                        // The node slept while the answer waited for the disk.
                        let over = self.leases.get(id).is_some_and(|until| *until <= now.boot);
                        assert!(over, "{id} is told and gone");
                        continue;
                    };
                    assert_eq!(allocation.device, *device, "{id}: told one device, given another");
                    let client = *tenure == TenureWish::Client;
                    let bus_name = caller.bus_name.clone().filter(|_| client);
                    self.claims.insert(*id, Claim { allocation, bus_name });
                }
            }
            Ok(Reply::Containers(answers)) => {
                self.containers += 1;
                let Command::KubeletAllocate { containers, .. } = command else {
                    panic!("{command:?} served a container")
                };
                assert_eq!(answers.len(), containers.len(), "one answer per container");
            }
            Ok(Reply::Done | Reply::Job(_)) => {}
            Err(refusal) => {
                let parts = [&refusal.what, &refusal.why, &refusal.fix];
                assert!(parts.iter().all(|part| !part.is_empty()), "{refusal:?}");
            }
        }
    }

    pub(super) fn process_ended(&mut self, process: &Process) {
        self.claims.retain(|_, claim| {
            claim.allocation.tenure != Tenure::Client
                || claim.allocation.holder != Holder::Process(process.clone())
        });
    }

    pub(super) fn client_gone(&mut self, name: &str) {
        self.claims.retain(|_, claim| claim.bus_name.as_deref() != Some(name));
    }

    /// What the daemon gave back with its last breath is held against its word, too.
    pub(super) fn ends(&mut self, brain: &Reconciler, kubelet: &Kubelet, now: Now) {
        if !self.blind {
            let long = brain.settings().kubelet.unnamed_grace;
            self.pods.check(brain.ledger(), long, kubelet, now);
        }
    }

    /// A kill keeps what was written; pods that could only be noted in memory are nobody's promise.
    pub(super) fn killed(&mut self, disk: &Disk, kubelet: &mut Kubelet) {
        self.changes.restarted();
        self.clocks.killed();
        self.network.killed(disk.is_behind());
        self.running = None;
        if let Some(step) = self.unwritten.take() {
            // Whether it failed is not known to whoever comes after; it counts from the one before.
            if let Some((count, _)) = self.attempts.get_mut(&step) {
                *count -= 1;
            }
        }
        self.attempts.values_mut().for_each(|(_, last)| *last = 0);
        self.admitted.clear();
        self.look = None;
        if disk.is_behind() {
            self.attempts.clear();
            let kept = disk.read().unwrap();
            let lost: Vec<_> = kubelet
                .pods()
                .iter()
                .filter(|(_, (_, devices))| !devices.iter().all(|one| is_container(&kept, one)))
                .map(|(pod, _)| pod.clone())
                .collect();
            lost.iter().for_each(|pod| assert!(kubelet.stop(pod)));
        }
    }

    pub(super) fn rebooted(&mut self) {
        self.changes.restarted();
        self.clocks.killed();
        self.network.rebooted();
        self.claims.retain(|_, claim| claim.allocation.tenure != Tenure::Client);
        (self.running, self.unwritten) = (None, None);
        self.attempts.clear();
        self.admitted.clear();
        self.look = None;
    }

    /// Nothing is lent to a local program from a pool that is not there, or on a held node.
    pub(super) fn recorded(&mut self, entries: &[Entry], brain: &Reconciler) {
        for entry in entries {
            if let Entry::StepEnded { .. } = entry {
                self.unwritten = None;
            }
            if let Entry::Granted(allocation) = entry
                && allocation.is_local()
            {
                if let Tenure::Lease { until, .. } = &allocation.tenure {
                    self.leases.insert(allocation.id, *until);
                }
                assert_eq!(brain.ledger().hold, None, "lent on a held node: {allocation:?}");
                let pools = &brain.settings().pools;
                assert!(pools.contains_key(&allocation.pool), "lent from no pool: {allocation:?}");
            }
        }
    }

    pub(super) fn step_begun(&mut self, step: &Step, brain: &Reconciler, disk: &Disk, now: Now) {
        self.steps += 1;
        assert!(!self.blind, "a step is begun without a ledger: {step}");
        assert_eq!(self.running.replace(step.clone()), None, "two steps at once");
        self.unwritten = Some(step.clone());
        let ledger = brain.ledger();
        let safe = Ledger::parse(disk.safe_bytes()).unwrap().ledger;
        if let Some(change) = &ledger.change {
            // A change goes to one of its ends, and that it is open is on the disk.
            let open = safe.change.as_ref().map(|change| change.number);
            assert_eq!(open, Some(change.number), "a change is begun before it is on the disk");
        } else {
            // A block of the hardware's driver is ended whatever an operator holds.
            let ends_block =
                matches!(step, Step::WriteLoader(one) if one.autoload == Autoload::Allowed);
            assert!(ledger.hold.is_none() || ends_block, "a step is begun on a held node: {step}");
            assert!(
                !ledger.stopped || ends_block,
                "a step is begun after its job was cancelled: {step}"
            );
            assert_eq!(safe.step.as_ref(), Some(step), "a step is begun before it is on the disk");
        }
        // What is done for another change, or on its way back, is tried as if for the first time.
        let change = ledger.change.as_ref().map(|change| (change.number, change.turned.is_some()));
        if change != self.attempts_of {
            self.attempts.clear();
            self.attempts_of = change;
        }
        let (count, last) = self.attempts.get(step).copied().unwrap_or_default();
        let count = count + 1;
        assert!(count <= MOST_ATTEMPTS, "attempt {count} without an order: {step}");
        // What only puts back is tried a few times in a row, as some of it shows when the rest is there.
        if count > 1 && last > 0 && !step.is_best_effort() {
            // While a driver is being replaced nobody has it, and less time is given.
            let first = if ledger.change.is_some() { 250 } else { 1000 };
            let pause = first << (count - 2);
            let waited = now.boot.0 - last;
            assert!(waited >= pause, "attempt {count} after {waited} ms, not {pause}: {step}");
        }
        self.attempts.insert(step.clone(), (count, now.boot.0));
    }

    pub(super) fn step_ended(&mut self) {
        self.running = None;
    }

    /// After every event, once all that follows from it is carried out.
    pub(super) fn check(
        &mut self,
        brain: &Reconciler,
        disk: &Disk,
        kubelet: &Kubelet,
        boot: &BootId,
        now: Now,
    ) {
        let ledger = brain.ledger();
        let mut held = BTreeSet::new();
        for allocation in ledger.allocations.values() {
            assert!(held.insert(&allocation.device), "{} has two holders", allocation.device);
        }
        if self.blind {
            return;
        }
        self.claims.retain(|_, claim| match &claim.allocation.tenure {
            Tenure::Lease { until, boot: made_in, until_wall } => {
                if made_in.as_ref() == Some(boot) {
                    *until > now.boot
                } else {
                    *until_wall > now.wall
                }
            }
            Tenure::Kubelet | Tenure::Client | Tenure::Unit | Tenure::Persistent => true,
        });
        for (id, claim) in &self.claims {
            let kept = ledger.allocations.get(id);
            let kept = kept.unwrap_or_else(|| panic!("{id} was granted and is gone: {claim:?}"));
            let (before, after) = (&claim.allocation, kept);
            assert_eq!((&before.pool, &before.holder), (&after.pool, &after.holder), "{id}");
        }
        self.pods.check(ledger, brain.settings().kubelet.unnamed_grace, kubelet, now);
        self.since_reading += 1;
        if self.since_reading >= EVENTS_PER_READING {
            self.since_reading = 0;
            read_back(brain, disk);
        }
    }

    /// A picture is shown.
    pub(super) fn published(&self, picture: &Picture) {
        for blocked in picture.blockers.iter() {
            assert!(!blocked.blocker.why().is_empty() && !blocked.blocker.fix().is_empty());
        }
        match picture.state {
            NodeState::Blocked | NodeState::Held | NodeState::Degraded => {
                assert!(!picture.blockers.is_empty(), "{} for no reason", picture.state);
            }
            NodeState::Ready | NodeState::Converging | NodeState::Idle => {}
        }
        assert!(!picture.summary.is_empty(), "{} without a word", picture.state);
        assert!(picture.observed_generation <= picture.generation);
        let mut shown = BTreeMap::new();
        for (name, pool) in picture.pools.iter() {
            self.published_pool(picture, pool);
            for device in pool.devices.iter() {
                if let Lent::Local(id) | Lent::Container(id) = device.lent {
                    assert!(shown.insert(id, (name, &device.id)).is_none(), "{id} has two devices");
                }
            }
        }
        for (id, allocation) in picture.allocations.iter() {
            if picture.pools.contains_key(&allocation.pool) {
                let place = (&allocation.pool, &allocation.device);
                assert_eq!(shown.get(id), Some(&place), "{id}: the pool shows it elsewhere");
            }
        }
    }

    fn published_pool(&self, picture: &Picture, pool: &PoolPicture) {
        let ids: BTreeSet<_> = pool.devices.iter().map(|device| &device.id).collect();
        assert_eq!(ids.len(), pool.devices.len(), "a device is listed twice");
        for device in pool.devices.iter() {
            match device.lent {
                Lent::Local(id) | Lent::Container(id) => {
                    let one = picture.allocations.get(&id);
                    assert!(
                        one.is_some_and(|one| one.device == device.id),
                        "{} and {id}",
                        device.id
                    );
                    let local = matches!(device.lent, Lent::Local(_));
                    assert!(one.is_some_and(|one| one.is_local() == local), "{}", device.id);
                }
                Lent::Withdrawn => {}
                Lent::No => {
                    let kept_back = picture.hold.is_none() || device.cause.is_some();
                    assert!(kept_back, "{} can be had on a held node", device.id);
                }
            }
        }
        for (shown, device) in
            device_list(pool).iter().zip(pool.devices.iter().filter(|d| !d.local_only))
        {
            let local = matches!(device.lent, Lent::Local(_) | Lent::Withdrawn);
            if shown.healthy {
                assert!(!local, "{} is offered and not the kubelet's", shown.id);
                assert!(
                    pool.answer.is_some(),
                    "{} is offered and cannot be answered for",
                    shown.id
                );
                let look = self.look.as_ref().unwrap();
                assert!(
                    can_serve(look, device.numa_node),
                    "{} is offered and cannot work",
                    shown.id
                );
            } else {
                assert!(local || device.cause.is_some(), "{} is unhealthy for no reason", shown.id);
            }
        }
    }

    /// What holds once nothing is under way.
    pub fn settled(&self, picture: &Picture) {
        assert_eq!(self.running, None, "a step is still under way");
        for device in picture.pools.values().flat_map(|pool| pool.devices.iter()) {
            assert_ne!(device.lent, Lent::Withdrawn, "{} is withdrawn for nobody", device.id);
        }
        assert!(!picture.probing && picture.observed_generation == picture.generation);
    }
}

/// The file adds up to the state in memory, unless a write has failed.
pub(super) fn read_back(brain: &Reconciler, disk: &Disk) {
    if let (false, Ok(read)) = (disk.is_behind(), disk.read()) {
        assert_eq!(read, *brain.ledger(), "the file adds up to something else");
    }
}

/// Whether Onload works on some port of a NUMA node: told from the facts alone, in other words than
/// the brain's.
fn can_serve(look: &Snapshot, numa_node: Option<u32>) -> bool {
    let live =
        |name: &str| look.module(name).known().is_some_and(|one| one.state == ModuleState::Live);
    let nodes = DEVICE_NODES.iter().all(|path| look.device_nodes[*path].known().is_some());
    let hash = look.driver.interface.known();
    let fits = look.releases.known().into_iter().flatten().any(|(_, release)| {
        release.interfaces.known().is_some_and(|all| hash.is_some_and(|hash| all.contains(hash)))
    });
    let hardware = Hardware::shipped();
    let works = look.ports.known().into_iter().flatten().any(|(address, port)| {
        let family = hardware.family(port).filter(|family| family.onload != Acceleration::No);
        let bound = port
            .auxiliary
            .known()
            .into_iter()
            .flatten()
            .any(|(_, driver)| driver.known().is_some());
        let native =
            family.is_some_and(|family| port.driver.known() == Some(&family.driver)) && bound;
        let known = look.af_xdp.known().map(|seen| &seen.known);
        let registered = look.interface_of(address).is_some_and(|(name, _)| {
            family.is_none() && known.is_some_and(|known| known.contains(name))
        });
        (native || registered) && port.numa_node.known().copied() == numa_node
    });
    ["sfc_resource", "sfc_char", "onload"].into_iter().all(live) && nodes && fits && works
}
