//! The whole behaviour of the daemon: one event in, effects out. Never blocks, never reads a clock.
//!
//! What an edge must do is in [`Effect`], in order; what comes of it returns as an [`Event`]. The
//! state in memory is always what the journal on disk adds up to once its last record is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use crate::allocation::Unit;
use crate::command::{Answer, Caller, Command, Reply, RequestId};
use crate::config::{Config, ConfigError};
use crate::hardware::Hardware;
use crate::inventory::{Depth, Look, Snapshot};
use crate::ledger::{Entry, Ledger};
use crate::names::{AllocationId, BootId, JobId, KernelRelease, PoolName, ReleaseName};
use crate::picture::Picture;
use crate::plan::Plan;
use crate::step::Step;
use crate::time::{Moment, Now};

mod binding;
mod boots;
mod changing;
mod choosing;
mod clocks;
mod conditions;
mod ending;
mod event;
mod failures;
mod judging;
mod keys;
mod leaving;
mod lending;
mod names;
mod network;
mod orders;
mod others;
mod pods;
mod pools;
mod recording;
mod releases;
mod settling;
mod steps;
mod view;

use binding::Repairs;
use changing::Changing;
use clocks::ClockKeeping;
pub use event::{Durability, Effect, Event, RecordId};
use keys::{KeyCommand, KeyImport, KeyRequest, Keys};
use lending::LocalGrant;
use names::Naming;
use network::Restoring;
use pods::Asking;
use pools::PoolState;
use settling::Settle;
use steps::Progress;

/// What waits for a record to be on the disk.
#[derive(Clone, Debug, PartialEq)]
enum Pending {
    /// Devices lent to a local program.
    Grant { request: RequestId, lent: Vec<AllocationId> },
    /// An order that has its answer ready, and what takes it back should it not get there.
    Order { request: RequestId, reply: Reply, undo: Vec<Entry> },
    /// A device given back. That stands whatever the disk says.
    Free { request: RequestId },
    /// A step to begin.
    Step(Step),
    /// A change to go on with.
    Change,
    /// A request to shim.
    Keys(KeyRequest),
    /// Nothing: only that it gets there matters.
    Noted,
}

/// Whether the ledger can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LedgerHealth {
    Available,
    Unwritable(String),
    Unreadable(String),
}

/// How long a change that only counts lent devices may wait for the next picture: pictures cost
/// more than a grant, each container is two signals on the bus, and nobody watches counters this
/// closely.
const COALESCE: std::time::Duration = std::time::Duration::from_millis(100);

/// The one writer.
#[derive(Clone, Debug)]
pub struct Reconciler {
    hardware: Hardware,
    config: Config,
    config_fault: Option<ConfigError>,
    /// Whether any configuration was ever in force.
    configured: bool,
    ledger: Ledger,
    ledger_health: LedgerHealth,
    /// State in memory is ahead of the file because it could not be written.
    unrecorded: bool,
    entries_since_rewrite: usize,
    rewriting: bool,
    last_record: u64,
    pending: BTreeMap<RecordId, Pending>,

    snapshot: Option<Arc<Snapshot>>,
    /// The snapshot that the picture's releases were made from.
    released: Weak<Snapshot>,
    binds: Repairs,
    /// The boot and kernel of this run, from the first look that could read them: neither changes
    /// under a running daemon, so a later look that cannot read them changes nothing.
    boot: Option<BootId>,
    kernel: Option<KernelRelease>,
    looking: bool,
    look_again: bool,
    /// How far the look under way goes, and how far the last one went.
    asked_depth: Depth,
    looked_depth: Depth,
    next_look: Moment,
    settle: Option<Settle>,

    plan: Plan,
    /// The change under way, as far as the ledger need not know it.
    changing: Changing,
    progress: Progress,
    retry_at: BTreeMap<Step, Moment>,
    /// Since when a wanted module has been on its way in.
    waiting_since: Option<Moment>,
    boot_checked: bool,
    /// End of the hold on this boot's clock; none for a hold of an earlier run.
    hold_until: Option<Moment>,
    /// What was loaded for AF_XDP is on its way out, so that looks search for users.
    leaving: bool,
    /// What takes the order under way back where nothing of it was begun.
    withdrawal: Option<(JobId, Vec<Entry>)>,
    last_job: u64,
    /// Releases that were taken in, and are not seen yet.
    arriving: Vec<(JobId, ReleaseName)>,

    pools: BTreeMap<PoolName, PoolState>,
    grants: BTreeMap<RequestId, LocalGrant>,
    /// The bus connection an allocation ends with; forgotten when the bus is lost.
    clients: BTreeMap<AllocationId, String>,
    keys: Keys,
    clocks: ClockKeeping,
    naming: Naming,
    restoring: Restoring,
    registered: BTreeSet<PoolName>,
    /// Why no kubelet listens to a pool, as far as that is known.
    unregistered: BTreeMap<PoolName, String>,
    asking: Asking,
    /// Processes whose end will be told, by identity: each is watched once, however often it asks.
    watched: BTreeSet<(u32, u64, BootId)>,
    /// Units whose end will be told.
    watched_units: BTreeSet<Unit>,

    picture: Picture,
    /// The picture last shown: jobs change as they go on, not when a picture is made.
    shown: Arc<Picture>,
    publish_at: Option<Moment>,
    /// A container waits for the answer among the effects: a picture that is due comes after it.
    answer_first: bool,
    effects: Vec<Effect>,
}

impl Reconciler {
    /// Starts from what the edges could read. The effects must be carried out before anything else.
    pub fn start(
        now: Now,
        config: Result<Config, ConfigError>,
        ledger: Result<Ledger, String>,
    ) -> (Self, Vec<Effect>) {
        let configured = config.is_ok();
        let (config, config_fault) = match config {
            Ok(config) => (config, None),
            Err(error) => (Config::default(), Some(error)),
        };
        let (ledger, ledger_health) = match ledger {
            Ok(ledger) => (ledger, LedgerHealth::Available),
            Err(why) => (Ledger::default(), LedgerHealth::Unreadable(why)),
        };
        let mut this = Self {
            hardware: Hardware::shipped(),
            config,
            config_fault,
            configured,
            ledger,
            ledger_health,
            unrecorded: false,
            entries_since_rewrite: 0,
            rewriting: false,
            last_record: 0,
            pending: BTreeMap::new(),
            snapshot: None,
            released: Weak::new(),
            binds: Repairs::default(),
            boot: None,
            kernel: None,
            looking: false,
            look_again: false,
            asked_depth: Depth::default(),
            looked_depth: Depth::default(),
            next_look: now.boot,
            settle: None,
            plan: Plan::default(),
            changing: Changing::default(),
            progress: Progress::Idle,
            retry_at: BTreeMap::new(),
            waiting_since: None,
            boot_checked: false,
            hold_until: None,
            leaving: false,
            withdrawal: None,
            last_job: 0,
            arriving: Vec::new(),
            pools: BTreeMap::new(),
            grants: BTreeMap::new(),
            clients: BTreeMap::new(),
            keys: Keys::default(),
            clocks: ClockKeeping::default(),
            naming: Naming::default(),
            restoring: Restoring::default(),
            registered: BTreeSet::new(),
            unregistered: BTreeMap::new(),
            asking: Asking::default(),
            watched: BTreeSet::new(),
            watched_units: BTreeSet::new(),
            picture: Picture::default(),
            shown: Arc::default(),
            publish_at: None,
            answer_first: false,
            effects: Vec::new(),
        };
        if this.ledger_health == LedgerHealth::Available {
            this.rewrite();
        }
        if this.configured && this.ledger_health == LedgerHealth::Available {
            this.forget_wishes();
        }
        this.watch_holders();
        this.ask_of_containers(now);
        this.look();
        this.publish_soon(now.boot);
        let effects = this.finish(now);
        (this, effects)
    }

    /// Takes one event, answers what must happen.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Changed => self.settle(now),
            Event::Looked(snapshot) => self.looked(now, *snapshot),
            Event::Request { id, caller, command } => self.request(now, id, caller, command),
            Event::Configuration { request, config } => self.configure(now, request, config),
            Event::Recorded(record) => self.recorded(now, record),
            Event::RecordFailed { record, why } => self.record_failed(now, record, why),
            Event::Rewritten(result) => self.rewritten(now, result),
            Event::StepEnded(result) => self.step_ended(now, result),
            Event::Imported { job, result } => self.imported(now, job, result),
            Event::Removed { job, result } => self.removed(now, job, result),
            Event::VariablesWritten { job, result } => self.variables_written(now, job, result),
            Event::ClientGone(name) => self.client_gone(now, &name),
            Event::BusLost => self.bus_lost(now),
            Event::ProcessGone(process) => self.process_gone(now, &process),
            Event::UnitGone(unit) => self.unit_gone(now, &unit),
            Event::Registered { pool, registered } => self.register(now, pool, registered),
            Event::NotRegistered { pool, why } => self.not_registered(now, pool, why),
            Event::PluginSocket => {
                // Its owner may be one who changes the same modules.
                self.settle(now);
                self.plugin_socket(now);
            }
            Event::KubeletSaid(said) => self.kubelet_said(now, said),
            Event::TurnBack { why } => self.turn_back(now, why),
            Event::Deadline => {}
        }
        self.due(now);
        self.finish(now)
    }

    /// When to send [`Event::Deadline`], at the latest. The slow tick makes sure there is one.
    pub fn deadline(&self) -> Moment {
        let settle = self.settle.map(|settle| settle.until);
        let tick = (!self.looking).then_some(self.next_look);
        let grants = self.grants.values().filter_map(LocalGrant::settled_at);
        [settle, tick, self.publish_at, self.retry_due(), self.hold_ends(), self.lease_ends()]
            .into_iter()
            .chain([self.change_due(), self.asking_due(), self.clocks_due()])
            .flatten()
            .chain(grants)
            .min()
            .unwrap_or(Moment(u64::MAX))
    }

    /// The settings in force.
    pub fn settings(&self) -> &crate::config::Settings {
        &self.config.settings
    }

    /// What the journal adds up to.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Everything whose time has come.
    fn due(&mut self, now: Now) {
        if self.settle.is_some_and(|settle| settle.until <= now.boot) {
            self.settle = None;
            self.look();
        }
        if !self.looking && self.next_look <= now.boot {
            self.look();
            self.restore_ledger();
        }
        self.end_hold(now);
        self.end_leases(now);
        self.go_on_granting(now);
        self.adopt_when_idle(now);
        self.go_on_stepping(now);
        self.look_at_clocks(now);
        self.ask_when_due(now);
    }

    fn finish(&mut self, now: Now) -> Vec<Effect> {
        let answer_first = std::mem::take(&mut self.answer_first);
        if !answer_first && self.publish_at.is_some_and(|at| at <= now.boot) {
            self.publish_at = None;
            self.refresh(now);
            if self.picture != *self.shown {
                self.shown = Arc::new(self.picture.clone());
                self.effects.push(Effect::Publish(self.shown.clone()));
            }
        }
        std::mem::take(&mut self.effects)
    }

    /// Asks for a look, or for another one after the one under way.
    fn look(&mut self) {
        if self.looking {
            self.look_again = true;
        } else {
            let least = if self.leaving { Depth::Users } else { Depth::default() };
            self.look_at(match self.depth() {
                depth @ (Depth::Clocks | Depth::Modules | Depth::Network) => depth,
                depth @ (Depth::Usual | Depth::Users) => depth.max(least),
            });
        }
    }

    fn look_at(&mut self, depth: Depth) {
        self.looking = true;
        self.asked_depth = depth;
        self.effects.push(Effect::Look(Look { depth, clocks: self.clock_look() }));
    }

    fn looked(&mut self, now: Now, mut snapshot: Snapshot) {
        self.looking = false;
        // One at clocks alone leaves the rest as the look before found it, and due when it was.
        if self.asked_depth > Depth::Clocks {
            self.looked_depth = self.asked_depth;
            self.next_look = now.boot + self.config.settings.daemon.look_every.0;
        }
        self.boot = self.boot.take().or_else(|| snapshot.boot_id.known().cloned());
        self.kernel = self.kernel.take().or_else(|| snapshot.kernel.known().cloned());
        self.name_certificates(&mut snapshot);
        let snapshot = Arc::new(snapshot);
        self.snapshot = Some(snapshot.clone());
        self.note_arrivals(&snapshot);
        self.follow_keys(now, &snapshot);
        self.follow_clocks(now, &snapshot);
        if std::mem::take(&mut self.look_again) {
            self.look();
        }
        self.check_boot(now);
        self.verify_step(now);
        self.forget_adoptions();
        self.stand_pools();
        self.restoring.looked_at = now.boot;
        self.note_resumed(&snapshot);
        self.replan();
        self.go_on_restoring(now);
        self.look_for_names(now);
        self.prove_boot();
        self.give_up_waiting(now);
        self.publish_soon(now.boot);
    }

    /// Hands off: what is held or wanted is not known, so nothing is changed.
    fn hands_off(&self) -> bool {
        !self.configured || matches!(self.ledger_health, LedgerHealth::Unreadable(_))
    }

    fn publish_soon(&mut self, at: Moment) {
        self.publish_at = Some(self.publish_at.map_or(at, |before| before.min(at)));
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        self.effects.push(Effect::Answer(request, answer));
    }

    fn request(&mut self, now: Now, id: RequestId, caller: Caller, command: Command) {
        // What a swap waits for may have ended.
        if let Command::Apply { .. } | Command::Use { .. } | Command::Rollback { .. } = command {
            self.ask_of_containers(now);
        }
        let refused = match command {
            Command::Allocate { pool, count, tenure } => {
                self.allocate(now, id, caller, &pool, count, tenure)
            }
            Command::Free { allocation, force } => {
                self.free_for(now, id, &caller, allocation, force)
            }
            Command::KubeletAllocate { pool, containers } => {
                self.allocate_for_kubelet(now, id, &pool, &containers)
            }
            Command::Hold { reason, expiry } => self.hold(now, id, &caller, reason, expiry),
            Command::Unhold => self.unhold(now, id),
            Command::Apply { retry, manner } => self.apply(now, id, &caller, retry, manner),
            Command::Use { release, manner } => self.use_release(now, id, &caller, release, manner),
            Command::Rollback { back, manner } => self.roll_back(now, id, &caller, back, manner),
            Command::Adopt => self.adopt_others(now, id, &caller),
            Command::Confirm => self.confirm(now, id),
            Command::Import { version } => self.import(now, id, &caller, version),
            Command::Remove { release } => self.remove(now, id, &caller, release),
            Command::ImportKey { certificate, hash, despite_sealed } => {
                let import = KeyImport { certificate, hash, despite_sealed };
                self.order_keys(id, caller, KeyCommand::Import(import))
            }
            Command::RevokeRequest { all } => {
                self.order_keys(id, caller, KeyCommand::Revoke { all })
            }
            Command::HandOver { to } => self.hand_over(now, id, &caller, to),
            Command::Cancel { job } => self.cancel(now, id, job),
            Command::Reload => {
                self.effects.push(Effect::ReadConfiguration(Some(id)));
                Ok(())
            }
        };
        if let Err(refusal) = refused {
            self.answer(id, Err(refusal));
        }
    }
}

#[cfg(test)]
mod tests;
