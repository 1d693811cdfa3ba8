//! A driver replaced as a transaction: when it may begin, how it goes on, and the way back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::boots::WENT_DOWN;
use super::choosing::Reach;
use super::steps::Progress;
use super::{Pending, Reconciler};
use crate::af_xdp::Chosen;
use crate::blocker::{Blocked, Blocker};
use crate::change::{Change, Deadline, Holders, Manner, Origin, Outcome};
use crate::inventory::{Depth, STACK, Snapshot};
use crate::job::JobState;
use crate::ledger::Entry;
use crate::names::ReleaseName;
use crate::plan::holders::Users;
use crate::plan::{self, Takes, standing, verify};
use crate::pool::Cause;
use crate::release::IN_TREE;
use crate::step::Step;
use crate::time::{Moment, Now, Timestamp};

/// How long a release that is loaded may take to show its ports, auxiliary devices and nodes: ten
/// times what udev needs on a busy node.
const VERIFY_LIMIT: Duration = Duration::from_secs(10);
/// Pace of looks while that, or the end of somebody's use, is awaited: nothing tells of either.
const PACE: Duration = Duration::from_millis(500);
/// Steps after which a change counts as going in circles: a whole swap and its way back have some
/// twenty, with every one tried again.
const MOST_STEPS: u32 = 64;

/// The change under way, as far as the ledger need not know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changing {
    /// How the last order wants it; without an order, nobody is put out.
    pub(super) manner: Manner,
    pub(super) origin: Option<Origin>,
    /// Devices have been withdrawn; the kubelet knows from here on.
    withdrawn: Option<Moment>,
    steps: u32,
    /// What did not work before.
    accepted: BTreeSet<Cause>,
    /// Until when the machine may show what was loaded.
    verify_until: Option<Moment>,
    /// Until when holders may take.
    wait_until: Option<Moment>,
    /// A step that was under way when the change turned: what becomes of it says nothing about the
    /// way back.
    crossed: Option<Step>,
}

impl Changing {
    /// An order: how what follows from it is to be done.
    pub(super) fn begin(&mut self, manner: Manner, origin: Origin) {
        (self.manner, self.origin) = (manner, Some(origin));
    }

    /// What is known of the last change is forgotten.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Counts a step that was begun. What only puts back counts its own.
    pub(super) fn count(&mut self, step: &Step) {
        self.steps += u32::from(!step.is_best_effort());
        self.verify_until = None;
    }

    /// Whether the change turned over this step, asked when it failed.
    pub(super) fn has_crossed(&mut self, step: &Step) -> bool {
        self.crossed.take().is_some_and(|crossed| crossed == *step)
    }
}

impl Reconciler {
    /// Whether a change failed both ways in this boot, and nobody has ordered anything since.
    pub(super) fn is_given_up(&self) -> bool {
        let failed = self.ledger.past.last().is_some_and(|past| {
            past.is_failed()
                && past.change.boot == self.boot
                && past.outcome != Outcome::Failed(WENT_DOWN.to_owned())
        });
        let rejected = self.rejected().is_some_and(|rejected| rejected.touched);
        failed && rejected && self.running_job().is_none()
    }

    /// What does not work before the change, and so need not after it: a port that no driver takes,
    /// say. None while the former release is not there as a whole.
    fn faults_before(&self) -> BTreeSet<Cause> {
        let (Some(snapshot), Some(release)) = (&self.snapshot, self.loaded_release()) else {
            return BTreeSet::new();
        };
        let native = Chosen::default();
        verify::faults(&release, snapshot, &self.hardware, &native).into_iter().collect()
    }

    /// Opens a change if nothing speaks against it.
    pub(super) fn open_change(&mut self, now: Now) {
        let Some(to) = self.target() else { return };
        // What failed both ways is not tried again without an order.
        if self.is_given_up() {
            return;
        }
        if self.looked_depth < Depth::Users {
            return self.look();
        }
        let waits = matches!(self.manner().holders, Holders::Wait(_));
        let in_the_way = self
            .plan
            .blockers
            .iter()
            .find(|blocked| !(waits && matches!(blocked.blocker, Blocker::InUse { .. })));
        if let Some(blocked) = in_the_way.cloned() {
            return self.refuse_change(now, to, &blocked);
        }
        let change = Change {
            number: self.ledger.next_change(),
            from: self.loaded_release().or_else(|| self.in_tree()).filter(|from| *from != to),
            to,
            origin: self.origin(),
            manner: self.manner(),
            kernel: self.kernel.clone(),
            boot: self.boot.clone(),
            began: now.wall,
            touched: false,
            turned: None,
            called_off: false,
            confirm_by: None,
        };
        self.record(vec![Entry::ChangeBegan(change)], Some(Pending::Change));
        let (manner, origin) = (self.manner(), self.changing.origin);
        let accepted = self.faults_before();
        self.changing = Changing { manner, origin, accepted, ..Changing::default() };
        if let Holders::Wait(Some(span)) = manner.holders {
            self.changing.wait_until = Some(now.boot + span.0);
        }
        if !self.registered.is_empty() {
            let settle = self.config.settings.kubelet.withdraw_settle.0;
            self.changing.withdrawn = Some(now.boot + settle);
        }
        self.stand_pools();
        self.look_before_taking();
        self.publish_soon(now.boot);
    }

    /// Somebody may have come since the last look: the way is clear when one from here on says so.
    /// What only prepares is done meanwhile, and looked at afterwards anyway.
    fn look_before_taking(&mut self) {
        if self.plan.steps.first().is_some_and(Step::takes_away) {
            self.look();
        }
    }

    /// The kernel's own release, where there is its driver.
    fn in_tree(&self) -> Option<ReleaseName> {
        let known = self.snapshot.as_ref()?.releases.known()?;
        known.keys().find(|name| name.as_str() == IN_TREE).cloned()
    }

    /// An order that cannot be carried out is over; what was not ordered waits.
    fn refuse_change(&mut self, now: Now, release: ReleaseName, blocked: &Blocked) {
        let job = self.running_job();
        if job.is_none() && !self.is_order_untried(&release) {
            return;
        }
        let why = blocked.blocker.why();
        self.reject(release, self.loaded_release(), why.clone(), Reach::Refused);
        if let Some(job) = job {
            self.end_job(job, JobState::Failed, format!("{}: {why}", blocked.subject));
            // Nothing was begun, and nothing is left to do.
            self.change_job(job, |job| (job.done, job.total) = (0, 0));
        }
        self.replan();
        self.publish_soon(now.boot);
    }

    /// Takes a change one step further, once it is on the disk.
    pub(super) fn go_on_changing(&mut self, now: Now) {
        if self.pending.values().any(|pending| matches!(pending, Pending::Change)) {
            return;
        }
        if self.changing.withdrawn.is_some_and(|at| now.boot < at) {
            return;
        }
        if self.changing.withdrawn.take().is_some() {
            self.look_before_taking();
            if self.looking {
                return;
            }
        }
        let Some(change) = self.ledger.change.clone() else { return };
        if let Some(deadline) = &change.confirm_by {
            if deadline.moment <= now.boot {
                self.turn(now, "no confirmation came in time".to_owned());
            } else if let Some(step) = self.plan.steps.first().cloned()
                && (self.is_of_clocks(&step) || self.resumes(&step))
            {
                // The driver is there; whoever has its clocks need not wait for a person.
                self.try_step(now, step);
            }
            return;
        }
        let Some(step) = self.plan.steps.first().cloned() else { return self.settle_change(now) };
        if self.changing.steps >= MOST_STEPS {
            return self.turn(now, format!("it goes in circles at: {step}"));
        }
        // While users are waited for, not even what prepares is done.
        let patient = matches!(change.manner.holders, Holders::Wait(_));
        let asks = step.takes_away() || (patient && self.plan.takes > Takes::Nothing);
        if asks && !self.is_way_clear(now) || !self.has_kept(now, &step) {
            return;
        }
        self.try_step(now, step);
    }

    /// Whether nobody uses what is about to be taken away. Once something was, the kernel's own
    /// answer counts.
    fn is_way_clear(&mut self, now: Now) -> bool {
        let Some(change) = self.ledger.change.clone() else { return true };
        let begun = change.must_end();
        let Some(snapshot) = self.snapshot.clone().filter(|_| !begun) else { return true };
        // It may have come to carry something since the change began.
        let protected = self.protected(&snapshot, change.manner);
        if !protected.is_empty() {
            self.abandon(now, protected.join("; "));
            return false;
        }
        let why = match self.holders(&snapshot) {
            Users::NotSought if self.looked_depth < Depth::Users => {
                self.look();
                return false;
            }
            Users::NotSought => "who uses the stack was not told".to_owned(),
            Users::Unreadable(why) => why,
            Users::Known(holders) if holders.is_empty() => return true,
            Users::Known(holders) => {
                let who: Vec<_> = holders.into_iter().map(|holder| holder.who).collect();
                who.join("; ")
            }
        };
        let patient = match change.manner.holders {
            Holders::Wait(Some(span)) => {
                now.boot < *self.changing.wait_until.get_or_insert(now.boot + span.0)
            }
            Holders::Wait(None) => true,
            Holders::Refuse | Holders::Stop => false,
        };
        if patient {
            // What failed before they came is tried again when they have gone.
            self.retry_at.clear();
            if let Some(job) = self.running_job() {
                self.change_job(job, |job| job.message = format!("waiting: {why}"));
            }
            self.look_within(now, PACE);
        } else {
            self.abandon(now, why);
        }
        false
    }

    /// Ends a change that has touched nothing.
    pub(super) fn abandon(&mut self, now: Now, why: String) {
        let Some(change) = self.ledger.change.clone() else { return };
        let why = format!("the driver cannot be taken away: {why}");
        self.end_change(now, Outcome::Failed(why.clone()));
        self.reject(change.to, change.from, why.clone(), Reach::Refused);
        if let Some(job) = self.running_job() {
            self.end_job(job, JobState::Failed, why);
        }
        self.replan();
    }

    /// Everything is loaded: it counts when the machine shows all of it.
    fn settle_change(&mut self, now: Now) {
        if self.plan.waiting {
            // A module that never arrives tells of nothing, and is given up by looking.
            return self.look_within(now, PACE);
        }
        if self.is_restoring() {
            return self.look_for_network(now);
        }
        let (Some(snapshot), Some(target)) = (self.snapshot.clone(), self.target()) else { return };
        if self.is_stranded(&snapshot, &target) {
            let why = "no port for Onload is left to load a driver for".to_owned();
            let begun = self.ledger.change.as_ref().is_some_and(Change::must_end);
            return if begun { self.turn(now, why) } else { self.abandon(now, why) };
        }
        let unseen = self.plan.blockers.first().map(|blocked| blocked.blocker.why());
        let fault = unseen.or_else(|| {
            let faults =
                verify::faults(&target, &snapshot, &self.hardware, &self.chosen(&snapshot));
            let new = faults.iter().find(|fault| !self.changing.accepted.contains(fault));
            new.map(ToString::to_string)
        });
        match fault {
            None => self.complete(now),
            Some(fault) => {
                let until = *self.changing.verify_until.get_or_insert(now.boot + VERIFY_LIMIT);
                if now.boot >= until {
                    self.turn(
                        now,
                        format!("release {target} is loaded and does not work: {fault}"),
                    );
                } else {
                    self.look_within(now, PACE);
                }
            }
        }
    }

    fn complete(&mut self, now: Now) {
        let Some(change) = self.ledger.change.clone() else { return };
        // The last looks saw the modules alone.
        self.look();
        if let Some(why) = change.turned.clone() {
            self.end_change(now, Outcome::RolledBack);
            let reach = Reach::of(&change);
            let message = match &change.from {
                Some(from) => format!("rolled back to release {from}: {why}"),
                None => why.clone(),
            };
            self.reject(change.to, change.from, why, reach);
            if let Some(job) = self.running_job() {
                self.end_job(job, JobState::Failed, message);
            }
            return self.replan();
        }
        match change.manner.confirm_within {
            Some(span) => {
                let millis = u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
                let deadline = Deadline {
                    moment: now.boot + span.0,
                    boot: self.boot.clone(),
                    wall: Timestamp(now.wall.0.saturating_add(millis)),
                };
                self.record(vec![Entry::ChangeAwaits(deadline)], None);
                if let Some(job) = self.running_job() {
                    let message =
                        format!("release {} is there: `onloadctl confirm` keeps it", change.to);
                    self.end_job(job, JobState::Done, message);
                }
            }
            None => {
                let rejected = self.ledger.rejected.as_ref();
                if rejected.is_some_and(|rejected| rejected.release == change.to) {
                    self.record(vec![Entry::Rejected(None)], None);
                }
                self.end_change(now, Outcome::Done);
                self.replan();
                self.prove_boot();
            }
        }
        self.publish_soon(now.boot);
    }

    /// Whether nothing is left to do only because every port has gone: what is loaded is not what it
    /// should be.
    fn is_stranded(&self, snapshot: &Snapshot, target: &ReleaseName) -> bool {
        let stand = |name: &&str| standing::of(name, target, snapshot, &self.ledger.loaded);
        plan::drivers(snapshot, &self.hardware, &self.chosen(snapshot)).is_absent()
            && STACK.iter().any(|name| stand(name).is_wrong())
    }

    fn end_change(&mut self, now: Now, outcome: Outcome) {
        self.record(vec![Entry::ChangeEnded { outcome, ended: now.wall }], None);
        self.changing.reset();
        self.stand_pools();
        self.publish_soon(now.boot);
    }

    /// Takes the change under way back: the former release by the same planner.
    pub(super) fn turn(&mut self, now: Now, why: String) {
        self.turn_for(now, why, false);
    }

    /// The same, by a person.
    pub(super) fn call_off_change(&mut self, now: Now, how: &str) {
        self.turn_for(now, format!("called off: {how}"), true);
    }

    fn turn_for(&mut self, now: Now, why: String, called_off: bool) {
        let Some(change) = self.ledger.change.clone() else { return };
        if change.from.is_none() || change.turned.is_some() {
            let first = change.turned.clone().map(|first| format!("{first}; then "));
            let why = format!("{}{why}", first.unwrap_or_default());
            self.end_change(now, Outcome::Failed(why.clone()));
            // Any driver is better than none: where neither release came up, the kernel's own.
            let none = self.snapshot.as_ref().is_some_and(|seen| seen.module("sfc").is_absent());
            let reach = if called_off { Reach::ForGood } else { Reach::of(&change) };
            let former = self.in_tree().filter(|_| none).or(change.from);
            self.reject(change.to, former, why.clone(), reach);
            if let Some(job) = self.running_job() {
                self.end_job(job, JobState::Failed, why);
            }
        } else {
            self.record(
                vec![Entry::ChangeTurned { why, called_off }, Entry::FailuresForgotten],
                None,
            );
            self.retry_at.clear();
            // A step under way cannot be taken from the host: it ends first.
            let crossed = match &self.progress {
                Progress::Idle => None,
                Progress::Recording(step)
                | Progress::Running(step)
                | Progress::Verifying { step, .. } => Some(step.clone()),
            };
            let accepted = std::mem::take(&mut self.changing.accepted);
            self.changing = Changing { crossed, accepted, ..Changing::default() };
            self.look();
        }
        self.replan();
        self.publish_soon(now.boot);
    }

    /// A change that a reboot cut off: what was on its way back, or not confirmed, is not tried in
    /// this boot.
    pub(super) fn close_change_of_former_boot(&mut self, now: Now) {
        let former = self.ledger.change.clone().filter(|change| change.boot != self.boot);
        let Some(change) = former.filter(|change| change.boot.is_some()) else { return };
        let unconfirmed = change.manner.confirm_within.is_some();
        let unconfirmed =
            unconfirmed.then(|| "the node went down before it was confirmed".to_owned());
        match change.turned.clone().or(unconfirmed) {
            Some(why) => {
                self.end_change(now, Outcome::RolledBack);
                let reach = Reach::of(&change);
                self.reject(change.to, change.from, why, reach);
            }
            None => self.end_change(now, Outcome::Failed(WENT_DOWN.to_owned())),
        }
    }

    /// When a change has something to do by the clock: devices are withdrawn long enough, or no
    /// confirmation came.
    pub(super) fn change_due(&self) -> Option<Moment> {
        let change = self.ledger.change.as_ref().filter(|_| self.may_step())?;
        if self.pending.values().any(|pending| matches!(pending, Pending::Change)) {
            return None;
        }
        let confirm = change.confirm_by.as_ref().map(|deadline| deadline.moment);
        [confirm, self.changing.withdrawn].into_iter().flatten().min()
    }

    /// Brings the next look nearer.
    pub(super) fn look_within(&mut self, now: Now, pause: Duration) {
        self.next_look = self.next_look.min(now.boot + pause);
    }
}
