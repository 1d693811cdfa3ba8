//! Steps: plan everything, do one, look again. Done means seen.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Effect, LedgerHealth, Pending, Reconciler};
use crate::blocker::Blocker;
use crate::change::Change;
use crate::inventory::{Autoload, Loader, ModuleState, STACK, Snapshot};
use crate::job::JobState;
use crate::ledger::{Entry, Failure};
use crate::names::ModuleName;
use crate::plan::{self, Plan};
use crate::step::{Outcome, Step, StepError};
use crate::time::{Moment, Now};
use crate::userland;

/// How far the one step under way is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Idle,
    /// Waits for its start to be in the ledger.
    Recording(Step),
    /// The host is at it.
    Running(Step),
    /// Reported done; counts when a look that began after it shows it.
    Verifying {
        step: Step,
        fresh: bool,
    },
}

/// First delay before a failed step is tried again; doubles each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// While a driver is being replaced nobody can use it, so what may pass (references that come and
/// go) has under two seconds to do so before the former release comes back.
const FIRST_RETRY_CHANGING: Duration = Duration::from_millis(250);

impl Reconciler {
    pub(super) fn replan(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        if self.hands_off() {
            self.plan = Plan::default();
        } else {
            let target = self.target();
            let (hardware, loads) = (&self.hardware, &self.ledger.loaded);
            self.plan = plan::plan(target.as_ref(), &snapshot, hardware, self.choices(), loads);
            self.judge_plan(&snapshot);
            self.bind_ports(&snapshot);
            self.take_over(&snapshot);
            self.leave_af_xdp(&snapshot);
            self.name_ports(&snapshot);
            self.allow_autoload(&snapshot);
            self.restore_network(&snapshot);
            self.drop_lost_names();
            self.place_userland(&snapshot);
            self.keep_clocks(&snapshot);
            self.remark_on_clocks();
        }
        self.follow_job();
        self.follow_handover();
    }

    /// Plans what containers are given: of every pool there is, and of those that are configured no
    /// more and still have containers. It is for what is loaded now, so that it goes before a change
    /// that may never begin; and after everything else once it has failed.
    fn place_userland(&mut self, snapshot: &Snapshot) {
        let containers = self.ledger.allocations.values().filter(|one| !one.is_local());
        let held = containers.map(|one| &one.pool);
        let pools: BTreeSet<_> = self.config.settings.pools.keys().chain(held).collect();
        let steps = userland::steps(pools.into_iter(), snapshot);
        let is_first = |step: &Step| self.ledger.change.is_none() && self.failure(step).is_none();
        let (first, last): (Vec<_>, Vec<_>) = steps.into_iter().partition(is_first);
        let at = usize::from(self.ends_block() || self.ends_change());
        self.plan.steps.splice(at..at, first);
        self.plan.steps.extend(last);
    }

    /// Whether a step may begin at all.
    pub(super) fn may_step(&self) -> bool {
        self.progress == Progress::Idle
            && !self.hands_off()
            && (self.ends_change() || self.is_recorded_or_must_end() && !self.is_frozen())
            && self.settle.is_none()
            && !self.looking
            && self.snapshot.is_some()
    }

    /// No step begins that is not in the ledger, but for those that bring an open change to one of its
    /// ends: that it is open is in the ledger, and what is left of it follows from the machine.
    fn is_recorded_or_must_end(&self) -> bool {
        match self.ledger_health {
            LedgerHealth::Available => true,
            LedgerHealth::Unwritable(_) => {
                let change = self.ledger.change.as_ref();
                change.is_some_and(Change::must_end)
            }
            LedgerHealth::Unreadable(_) => false,
        }
    }

    /// What an operator stopped or holds. A change goes on to one of its ends all the same: a node
    /// between two drivers has none.
    pub(super) fn is_frozen(&self) -> bool {
        self.ledger.change.is_none()
            && !self.ends_block()
            && (self.ledger.hold.is_some() || self.ledger.stopped)
    }

    /// Whether the next step lets the hardware load its driver again.
    pub(super) fn ends_block(&self) -> bool {
        let snapshot = self.snapshot.as_ref();
        let now = snapshot.and_then(|snapshot| snapshot.loader.known());
        let blocked = now.is_some_and(|now| now.autoload == Autoload::Blocked);
        let next = self.plan.steps.first();
        blocked && matches!(next, Some(Step::WriteLoader(one)) if one.autoload == Autoload::Allowed)
    }

    /// A block that no change needs any more goes first, whatever else is wanted, held or stopped:
    /// with it the node might have no driver at all.
    fn allow_autoload(&mut self, snapshot: &Snapshot) {
        let Some(now) = snapshot.loader.known() else { return };
        // A change that is about to begin would only block it again.
        let begins = self.plan.takes == plan::Takes::Driver
            && self.plan.blockers.is_empty()
            && !self.is_given_up()
            && self.ledger.hold.is_none()
            && !self.ledger.stopped;
        if self.ledger.change.is_none() && !begins && now.autoload == Autoload::Blocked {
            let step = Step::WriteLoader(Loader { autoload: Autoload::Allowed, ..now.clone() });
            self.plan.steps.insert(0, step);
        }
    }

    /// Goes on with what is planned.
    pub(super) fn go_on_stepping(&mut self, now: Now) {
        if !self.may_step() {
            return;
        }
        if self.ledger.change.is_some() {
            return self.go_on_changing(now);
        }
        let Some(step) = self.plan.steps.first().cloned() else { return };
        match step {
            step if self.is_of_clocks(&step) || self.resumes(&step) => self.try_step(now, step),
            // Nobody is put out for a change that does not begin.
            Step::StopUnit { .. } if self.needs_change() && !self.plan.blockers.is_empty() => {
                self.open_change(now);
            }
            Step::StopUnit { .. } | Step::RestoreServer { .. } | Step::PlaceUserland { .. } => {
                self.try_step(now, step);
            }
            // Names that are asked for do not wait for a driver.
            Step::PinNames(_)
                if self.plan.takes == plan::Takes::Nothing || self.asks_for_names() =>
            {
                self.try_step(now, step);
            }
            Step::WriteLoader(_) if self.ends_block() => self.try_step(now, step),
            step if self.is_owed(&step) => self.try_step(now, step),
            _ if self.needs_change() => self.open_change(now),
            step => self.try_step(now, step),
        }
    }

    /// Begins a step, unless it failed and its time has not come.
    pub(super) fn try_step(&mut self, now: Now, step: Step) {
        if let Some(failure) = self.failure(&step) {
            let first =
                if self.ledger.change.is_some() { FIRST_RETRY_CHANGING } else { FIRST_RETRY };
            let pause = first * 2u32.saturating_pow(failure.attempts.saturating_sub(1).min(16));
            let retrying = self.retrying(failure);
            let due = *self.retry_at.entry(step.clone()).or_insert(now.boot + pause);
            if !retrying || now.boot < due {
                return;
            }
        }
        self.retry_at.remove(&step);
        self.changing.count(&step);
        self.progress = Progress::Recording(step.clone());
        let noted = self.to_resume(&step);
        let started = noted.into_iter().chain([Entry::StepStarted(step.clone())]).collect();
        let available = self.ledger_health == LedgerHealth::Available;
        if self.ledger.change.is_none() && (available || !self.is_owed(&step)) {
            return self.record(started, Some(Pending::Step(step)));
        }
        // That the change is open is on the disk. A kill of the daemon loses nothing of this either,
        // and after a power loss no module of it is loaded any more: to wait for the disk at each
        // step would only keep the devices away.
        self.record(started, None);
        self.begin(now, step);
        self.publish_soon(now.boot);
    }

    pub(super) fn retry_due(&self) -> Option<Moment> {
        if !self.may_step() {
            return None;
        }
        let step = self.plan.steps.first()?;
        let failure = self.failure(step)?;
        if self.retrying(failure) { self.retry_at.get(step).copied() } else { None }
    }

    /// The start of a step is in the ledger. An order may have come while it got there.
    pub(super) fn begin(&mut self, now: Now, step: Step) {
        let is_barred = self.is_frozen() && !self.is_owed(&step) || self.hands_off();
        if is_barred || self.plan.steps.first() != Some(&step) {
            self.progress = Progress::Idle;
            self.call_off(step);
            self.replan();
            return self.publish_soon(now.boot);
        }
        self.progress = Progress::Running(step.clone());
        if let Some(job) = self.running_job() {
            let message = step.to_string();
            self.change_job(job, |job| job.message = message);
        }
        self.effects.push(Effect::Apply(step));
        self.publish_soon(now.boot);
    }

    pub(super) fn step_ended(&mut self, now: Now, result: Result<Outcome, StepError>) {
        let Progress::Running(step) = std::mem::replace(&mut self.progress, Progress::Idle) else {
            return;
        };
        match result {
            Ok(Outcome::Changed | Outcome::Unchanged) => {
                self.progress = Progress::Verifying { step, fresh: !self.looking };
            }
            Err(_) if step.is_best_effort() => self.tried(step),
            Err(error) => self.fail(now, step, Some(error)),
        }
        self.look();
        self.publish_soon(now.boot);
    }

    /// Judges a step by what the machine shows.
    pub(super) fn verify_step(&mut self, now: Now) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        match std::mem::replace(&mut self.progress, Progress::Idle) {
            // This look began before the step ended; the next one counts.
            Progress::Verifying { step, fresh: false } => {
                self.progress = Progress::Verifying { step, fresh: true };
            }
            Progress::Verifying { step, fresh: true } => {
                if step.is_best_effort() {
                    self.tried(step);
                } else if step.holds_in(&snapshot) {
                    if let Step::BindDriver { port, .. } = &step {
                        self.bound(*port, now.boot);
                    }
                    if let Step::Rename(all) = &step {
                        self.renamed(all, now.boot);
                    }
                    self.clock_step_done(&step, now.boot);
                    let mut entries = self.loads(&step, &snapshot);
                    entries.push(Entry::StepEnded { step, failure: None });
                    self.record(entries, None);
                    if let Some(job) = self.running_job() {
                        self.change_job(job, |job| job.done += 1);
                    }
                } else {
                    self.fail(now, step, None);
                }
            }
            // What a former run began and did not end is planned anew, if it is still wanted.
            Progress::Idle => {
                if let Some(step) = self.ledger.step.clone() {
                    self.call_off(step);
                }
            }
            other @ (Progress::Recording(_) | Progress::Running(_)) => self.progress = other,
        }
    }

    /// Notes that a step is not under way any more, and nothing is known of its end: what was known
    /// against it stands.
    fn call_off(&mut self, step: Step) {
        let failure = self.ledger.failures.get(&step).cloned();
        self.record(vec![Entry::StepEnded { step, failure }], None);
    }

    /// What a step has brought in, with what modprobe brings along; what it has taken out, with
    /// what modprobe takes along. A load that fails leaves behind what it had brought before
    /// (reference/onload-measured.md section 1: no version tells of it), so that is noted as well.
    fn loads(&self, step: &Step, snapshot: &Snapshot) -> Vec<Entry> {
        if let Step::RegisterAfXdp { interface } = step {
            let (interface, boot) = (interface.clone(), self.boot());
            let done = step.holds_in(snapshot);
            return done
                .then_some(Entry::AfXdpRegistered { interface, boot })
                .into_iter()
                .collect();
        }
        let Step::LoadModule { module, release } = step else {
            let gone = |name: &&ModuleName| snapshot.module(name.as_str()).is_absent();
            let gone = self.ledger.loaded.keys().filter(gone).cloned();
            return gone.map(|module| Entry::Unloaded { module }).collect();
        };
        let along: &[&str] = match module.as_str() {
            "onload" => &["sfc_resource", "sfc_char", "onload"],
            "sfc" => &["sfc"],
            _ => return Vec::new(),
        };
        let holds = step.holds_in(snapshot);
        let entry = |module: ModuleName| Entry::Loaded {
            module,
            release: release.clone(),
            boot: self.boot(),
        };
        let named = along.iter().filter_map(|name| name.parse().ok());
        named.filter(|name| holds || !self.ledger.loaded.contains_key(name)).map(entry).collect()
    }

    fn fail(&mut self, now: Now, step: Step, error: Option<StepError>) {
        let attempts = 1 + self.failure(&step).map_or(0, |failure| failure.attempts);
        let failure = Failure { error, attempts, kernel: self.kernel.clone(), boot: self.boot() };
        let retrying = self.retrying(&failure);
        let why = match &failure.error {
            Some(error) => format!("could not {step}: {error}"),
            None => format!("{step}: reported done, but the machine does not show it"),
        };
        let mut entries = match &self.snapshot {
            Some(snapshot) => self.loads(&step, snapshot),
            None => Vec::new(),
        };
        // A driver that works is not taken back for a name, nor kept for one that nobody asked for.
        let turns = !self.is_name(&step) && !self.is_of_clocks(&step) && !self.resumes(&step);
        // A step over which the change turned says nothing about the way back.
        let crossed = self.changing.has_crossed(&step);
        let failure = Some(failure).filter(|_| !crossed);
        entries.push(Entry::StepEnded { step, failure });
        self.record(entries, None);
        if crossed {
            return self.replan();
        }
        if self.ledger.change.is_some() && !retrying && turns {
            return self.turn(now, why);
        }
        self.replan();
    }

    /// Whether the node goes on by itself.
    pub(super) fn is_converging(&self) -> bool {
        let runnable = self.plan.steps.first().is_some_and(|step| self.failure(step).is_none())
            && !self.is_frozen()
            && (!self.needs_change() || (self.plan.blockers.is_empty() && !self.is_given_up()))
            && self.ledger_health == LedgerHealth::Available;
        let changing = self.ledger.change.is_some();
        changing
            || self.progress != Progress::Idle
            || runnable
            || (self.plan.waiting && self.stuck().is_none())
    }

    /// A module on its way in that has been given up: only a reboot ends it.
    pub(super) fn stuck(&self) -> Option<&Step> {
        let snapshot = self.snapshot.as_ref().filter(|_| self.plan.waiting)?;
        self.ledger.failures.keys().find(|step| {
            let error = self.failure(step).and_then(|failure| failure.error.as_ref());
            matches!(error, Some(StepError::Stuck { .. })) && !step.holds_in(snapshot)
        })
    }

    /// Gives up a module that is on its way in for longer than a step may take, whoever loads it:
    /// a step of ours that a restart of the daemon cut off, or somebody's modprobe.
    pub(super) fn give_up_waiting(&mut self, now: Now) {
        let Some(step) = self.in_flight().filter(|_| self.progress == Progress::Idle) else {
            self.waiting_since = None;
            return;
        };
        let since = *self.waiting_since.get_or_insert(now.boot);
        let limit = self.config.settings.daemon.step_limit.0;
        if now.boot.since(since) >= limit && self.stuck().is_none() {
            self.fail(now, step, Some(StepError::Stuck { limit_secs: limit.as_secs() }));
        }
    }

    /// The load that would bring the wanted module that is on its way.
    fn in_flight(&self) -> Option<Step> {
        let snapshot = self.snapshot.as_ref().filter(|_| self.plan.waiting)?;
        let release = self.target()?;
        let drivers =
            plan::drivers(snapshot, &self.hardware, &self.chosen(snapshot)).into_known()?;
        let on_its_way = |module: &ModuleName| {
            let seen = snapshot.module(module.as_str());
            seen.known().is_some_and(|seen| seen.state != ModuleState::Live)
        };
        let stack = STACK.iter().filter_map(|name| name.parse().ok());
        let module = plan::wanted(&release, &drivers).into_iter().chain(stack).find(on_its_way)?;
        let state = snapshot.module(module.as_str()).into_known()?.state;
        Some(match state {
            ModuleState::Going => Step::UnloadModule { module },
            ModuleState::Coming | ModuleState::Live => Step::LoadModule { module, release },
        })
    }

    /// Keeps the running job in step with the plan.
    fn follow_job(&mut self) {
        let Some(job) = self.running_job() else { return };
        if self.ledger.change.is_some() {
            let left = u32::try_from(self.plan.steps.len()).unwrap_or(u32::MAX);
            return self.change_job(job, |job| job.total = job.done.saturating_add(left));
        }
        if let Some(hold) = &self.ledger.hold {
            let message = format!("the node is held: {}", hold.reason);
            return self.fail_order(job, message);
        }
        if self.looking || self.progress != Progress::Idle {
            return;
        }
        let left = u32::try_from(self.plan.steps.len()).unwrap_or(u32::MAX);
        let blocked = self.failed_step().filter(|blocked| match &blocked.blocker {
            Blocker::StepFailed { retrying, .. } => !retrying,
            _ => true,
        });
        // What keeps a change from beginning is judged where it would begin.
        let blocked = blocked.or_else(|| self.plan.blockers.first().filter(|_| left == 0).cloned());
        if let Some(blocked) = blocked {
            let message = format!("{}: {}", blocked.subject, blocked.blocker.why());
            match left {
                0 => self.fail_order(job, message),
                _ => self.end_job(job, JobState::Failed, message),
            }
        } else if left == 0 && !self.plan.waiting {
            self.end_job(job, JobState::Done, self.as_ordered());
        } else {
            self.change_job(job, |job| job.total = job.done.saturating_add(left));
        }
    }
}
