//! A whole node in one value: the real reconciler over a simulated world, with clocks, a disk, a
//! kubelet and processes that only move when told to. Nothing here is random but by its seed, so a
//! run comes back as it was.
//!
//! Every promise of the daemon ([`promises`]) is checked after each event, whoever drives it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use onload_core::allocation::Process;
use onload_core::command::{Answer, Caller, Command, RequestId};
use onload_core::config::{Config, Fragment};
use onload_core::inventory::Look;
use onload_core::kubelet::Advertised;
use onload_core::ledger::Ledger;
use onload_core::names::{BootId, PoolName};
use onload_core::picture::Picture;
use onload_core::reconcile::{Effect, Event, Reconciler, RecordId};
use onload_core::step::{Outcome, StepError};
use onload_core::time::{Moment, Now, Timestamp};
use onloadd::host::sim::World;
use onloadd::host::sim::action::{Action, ActionError};

pub mod changes;
pub mod clocks;
pub mod disk;
mod effects;
pub mod kubelet;
mod neighbours;
pub mod network;
pub mod pods;
pub mod promises;

use disk::{Disk, Sync};
use kubelet::Kubelet;
use promises::Promises;

/// How long a control-plane server takes after a load of `onload`, as in the simulated host.
const CONTROL_PLANE_MS: u64 = 50;
/// How long an owner takes to set up what it has seen, as in the simulated host.
const OWNER_MS: u64 = 300;
/// Wall time at which every run begins: 2025-01-01.
const WALL_MS: u64 = 1_735_689_600_000;
/// Deadlines handled in one millisecond before it counts as spinning.
const MOST_AT_ONCE: u32 = 64;

/// How long things take, in milliseconds: from and up to.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A look.
    pub look: (u64, u64),
    /// A step.
    pub step: (u64, u64),
    /// A sync of the ledger.
    pub sync: (u64, u64),
    /// From a published list to the kubelet's belief.
    pub list: (u64, u64),
    /// From a change to the hint of it.
    pub hint: (u64, u64),
}

impl Pace {
    /// The same each time: for transcripts.
    pub const STEADY: Self =
        Self { look: (5, 5), step: (40, 40), sync: (2, 2), list: (10, 10), hint: (1, 1) };
    /// Anything from at once to slow: for schedules.
    pub const RAGGED: Self =
        Self { look: (0, 60), step: (0, 900), sync: (0, 80), list: (0, 250), hint: (0, 30) };
}

/// Something on its way.
#[derive(Debug)]
enum Arrival {
    Looked(Look),
    Applied(Result<Outcome, StepError>),
    Synced(RecordId, Sync),
    Told(Event),
    List(PoolName, Vec<Advertised>),
    ControlPlane,
    Owner,
}

impl Arrival {
    /// Whether it is lost with the daemon that waits for it.
    fn is_of_daemon(&self) -> bool {
        !matches!(self, Self::ControlPlane | Self::Owner)
    }
}

/// The node.
#[derive(Debug)]
pub struct Machine {
    /// The hardware and the kernel.
    pub world: World,
    /// The disk under the ledger.
    pub disk: Disk,
    /// The configuration files.
    pub config: Vec<Fragment>,
    /// The kubelet.
    pub kubelet: Kubelet,
    /// What was promised so far.
    pub promises: Promises,
    /// The last published picture.
    pub picture: Arc<Picture>,
    /// Answers that came, by request, until taken.
    pub answers: BTreeMap<RequestId, Answer>,
    /// Draws for delays and faults.
    pub random: Rng,
    boot_id: BootId,
    boot: u64,
    wall: u64,
    pace: Pace,
    brain: Option<Reconciler>,
    effects: VecDeque<Effect>,
    coming: BTreeMap<(u64, u64), Arrival>,
    sequence: u64,
    requests: u64,
    asked: BTreeMap<RequestId, (Caller, Command)>,
    living: BTreeSet<Process>,
    watched: BTreeSet<Process>,
    /// Effects that may still be carried out before the daemon is killed.
    fuse: Option<u32>,
    deadlines_at_once: u32,
    told_changes: u64,
    /// Everything the brain ordered, in words: equal schedules give equal journals.
    pub journal: String,
}

impl Machine {
    /// A node in this world, with the daemon started.
    pub fn new(world: World, config: Vec<Fragment>, pace: Pace, seed: u64) -> Self {
        let told_changes = world.changes();
        let mut this = Self {
            boot_id: boot_id(&world),
            world,
            disk: Disk::default(),
            config,
            kubelet: Kubelet::default(),
            promises: Promises::default(),
            picture: Arc::default(),
            answers: BTreeMap::new(),
            random: Rng::with_seed(seed),
            boot: 10_000,
            wall: WALL_MS,
            pace,
            brain: None,
            effects: VecDeque::new(),
            coming: BTreeMap::new(),
            sequence: 0,
            requests: 0,
            asked: BTreeMap::new(),
            living: BTreeSet::new(),
            watched: BTreeSet::new(),
            fuse: None,
            deadlines_at_once: 0,
            told_changes,
            journal: String::new(),
        };
        this.start();
        this
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now { boot: Moment(self.boot), wall: Timestamp(self.wall) }
    }

    /// Whether the daemon runs.
    pub fn is_up(&self) -> bool {
        self.brain.is_some()
    }

    /// What the daemon holds to be the ledger.
    pub fn ledger(&self) -> Ledger {
        self.brain.as_ref().map(|brain| brain.ledger().clone()).unwrap_or_default()
    }

    /// Requests without an answer.
    pub fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// Starts the daemon on what is on the disk.
    pub fn start(&mut self) {
        assert!(self.brain.is_none(), "it runs already");
        let (brain, effects) =
            Reconciler::start(self.now(), Config::merge(&self.config), self.disk.read());
        self.brain = Some(brain);
        self.effects.extend(effects);
        self.told_changes = self.world.changes();
        self.promises.started(&self.disk, self.now());
        self.note("start");
        self.carry_out();
    }

    /// The id of this boot, whatever a look could read of it.
    pub fn boot_id(&self) -> &BootId {
        &self.boot_id
    }

    /// Compares the ledger's file with the state in memory.
    pub fn read_back(&self) {
        if let Some(brain) = &self.brain {
            promises::read_back(brain, &self.disk);
        }
    }

    /// Ends the daemon at once, wherever it is. What it wrote stays, and so does what it did to the
    /// machine.
    pub fn kill(&mut self) {
        self.note("kill");
        self.disk.kill();
        if let Some(brain) = &self.brain {
            self.promises.ends(brain, &self.kubelet, self.now());
        }
        self.promises.killed(&self.disk, &mut self.kubelet);
        self.end_daemon();
    }

    /// Kills the daemon after it has carried out so many more effects.
    pub fn kill_after(&mut self, effects: u32) {
        self.fuse = Some(effects);
    }

    /// Takes back [`Machine::kill_after`].
    pub fn spare(&mut self) {
        self.fuse = None;
    }

    fn end_daemon(&mut self) {
        self.brain = None;
        self.fuse = None;
        self.effects.clear();
        self.coming.retain(|_, arrival| !arrival.is_of_daemon());
        self.asked.clear();
        self.watched.clear();
        self.kubelet.restart();
    }

    /// Ends the boot: in order, or by loss of power. The next one begins after `down_ms`; the
    /// daemon is not started.
    pub fn reboot(&mut self, orderly: bool, down_ms: u64) {
        self.note(if orderly { "reboot" } else { "power loss" });
        if orderly {
            self.disk.settle()
        } else {
            self.disk.power_loss(&mut self.random)
        }
        self.promises.rebooted();
        self.end_daemon();
        self.coming.clear();
        self.living.clear();
        self.kubelet.stop_all();
        self.world.act(&Action::Reboot).unwrap();
        self.boot_id = boot_id(&self.world);
        self.boot = 5_000;
        self.wall += down_ms;
    }

    /// Does something to the world; the hint of it comes a little later.
    ///
    /// # Errors
    /// As [`World::act`].
    pub fn act(&mut self, action: &Action) -> Result<(), ActionError> {
        let result = self.world.act(action);
        self.note(&format!("{action:?}{}", if result.is_ok() { "" } else { " is refused" }));
        self.promises.network.acted(action, &self.world);
        self.world_moved();
        result
    }

    fn world_moved(&mut self) {
        if self.world.changes() == self.told_changes {
            return;
        }
        self.told_changes = self.world.changes();
        for _ in 0..self.world.hints_per_change().min(20) {
            self.later(self.pace.hint, Arrival::Told(Event::Changed));
        }
        let is_due = self.coming.values().any(|one| matches!(one, Arrival::ControlPlane));
        if self.world.control_plane_is_due() && !is_due {
            self.later((CONTROL_PLANE_MS, CONTROL_PLANE_MS), Arrival::ControlPlane);
        }
        let is_due = self.coming.values().any(|one| matches!(one, Arrival::Owner));
        if self.world.owner_is_due() && !is_due {
            self.later((OWNER_MS, OWNER_MS), Arrival::Owner);
        }
    }

    /// Time passes without anything happening in it: a node asleep, or a clock set.
    pub fn jump(&mut self, boot_ms: u64, wall_ms: i64) {
        self.boot += boot_ms;
        self.wall = self.wall.saturating_add_signed(wall_ms);
    }

    /// Time passes, and whatever is due in it happens.
    pub fn pass(&mut self, ms: u64) {
        let end = self.boot + ms;
        loop {
            let coming = self.coming.keys().next().map(|(at, _)| *at);
            let deadline = self.brain.as_ref().map(|brain| brain.deadline().0);
            let restarts = self.world.restarts_in().map(|millis| self.boot + millis);
            let next = [coming, deadline, restarts].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            if next > self.boot {
                self.move_to(next);
                self.deadlines_at_once = 0;
            }
            if restarts == Some(next) {
                continue;
            }
            match self.coming.first_entry().filter(|first| first.key().0 <= self.boot) {
                Some(first) => {
                    let arrival = first.remove();
                    self.arrive(arrival);
                }
                None => {
                    self.deadlines_at_once += 1;
                    assert!(
                        self.deadlines_at_once < MOST_AT_ONCE,
                        "the loop spins: deadline {next} at {}",
                        self.boot
                    );
                    self.handle(Event::Deadline);
                }
            }
        }
        self.move_to(end);
    }

    /// Both clocks go on, and what the world does by itself in that time.
    fn move_to(&mut self, boot: u64) {
        let millis = boot - self.boot;
        self.wall += millis;
        self.boot = boot;
        self.world.pass(millis);
        self.world_moved();
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Looked(look) => {
                let snapshot = self.world.look(look.clone());
                self.promises.looked(&snapshot);
                let boot = Duration::from_millis(self.boot);
                self.promises.clocks.looked(&look, &snapshot, boot, self.world.awake());
                self.handle(Event::Looked(Box::new(snapshot)));
            }
            Arrival::Applied(result) => {
                self.promises.step_ended();
                self.handle(Event::StepEnded(result));
            }
            Arrival::Synced(id, sync) => match self.disk.synced(sync) {
                Ok(()) => self.handle(Event::Recorded(id)),
                Err(why) => self.handle(Event::RecordFailed { record: id, why }),
            },
            Arrival::Told(Event::KubeletSaid(said)) => {
                let answered = said.is_ok();
                self.kubelet.answered = answered;
                self.handle(Event::KubeletSaid(said));
                if let (true, Some(brain)) = (answered, &self.brain) {
                    let grace = brain.settings().kubelet.release_grace;
                    self.promises.pods.answered(self.now(), grace, &self.kubelet);
                }
            }
            Arrival::Told(Event::Registered { pool, registered: false }) => {
                // Otherwise it was back before the edge saw that it had gone.
                if !self.picture.pools.contains_key(&pool) {
                    self.register(&pool, false);
                }
            }
            Arrival::Told(event) => self.handle(event),
            Arrival::List(pool, list) => self.kubelet.believe(pool, list),
            Arrival::ControlPlane => {
                // It may have been unloaded meanwhile; then there is nothing to start.
                let _ = self.act(&Action::ControlPlaneStarts);
            }
            Arrival::Owner => {
                // What it saw may be gone.
                let _ = self.act(&Action::OwnersAct);
            }
        }
    }

    /// One event, and all that follows from it at once.
    fn handle(&mut self, event: Event) {
        let now = self.now();
        let Some(brain) = &mut self.brain else { return };
        let effects = brain.handle(now, event);
        self.effects.extend(effects);
        self.carry_out();
    }

    fn later(&mut self, (from, to): (u64, u64), arrival: Arrival) {
        let at = self.boot + self.random.u64(from..=to);
        self.sequence += 1;
        self.coming.insert((at, self.sequence), arrival);
    }
}

fn boot_id(world: &World) -> BootId {
    let mut seen = world.clone();
    seen.act(&Action::ClearFaults).unwrap();
    seen.snapshot().boot_id.into_known().unwrap()
}
