//! Orders: hold, unhold, apply, cancel, and what becomes of a changed configuration.

use std::sync::Arc;

use super::{LedgerHealth, Pending, Reconciler};
use crate::allocation::Holder;
use crate::change::{Manner, Origin};
use crate::command::{Caller, Reply, RequestId};
use crate::config::{Apply, Config, ConfigError, ModuleSettings};
use crate::intent;
use crate::job::{Job, JobKind, JobState};
use crate::ledger::{Adopted, Entry};
use crate::names::{AllocationId, BootId, JobId};
use crate::picture::Hold;
use crate::refusal::{Refusal, RefusalKind};
use crate::time::{Moment, Now, Span, Timestamp};

type Refused = Result<(), Refusal>;

/// Ended jobs that are still shown.
const JOBS_SHOWN: usize = 16;
/// The longest reason of a hold, in bytes: it is shown on one line.
const LONGEST_REASON: usize = 200;

impl Reconciler {
    pub(super) fn hold(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        reason: String,
        expiry: Option<Span>,
    ) -> Refused {
        const WHAT: &str = "the node is not held";
        self.must_act(WHAT)?;
        if self.hands_over() {
            let why = "the system clock is being handed over, and somebody must have it";
            let fix = "hold it when that is done (`onloadctl jobs`)";
            return Err(Refusal::new(RefusalKind::Busy, WHAT, why, fix));
        }
        if self.ledger.change.is_some() {
            let why = "the driver is being replaced, and a node between two drivers has none";
            let fix = "hold it when the change has ended (`onloadctl status`), or cancel its job";
            return Err(Refusal::new(RefusalKind::Busy, WHAT, why, fix));
        }
        let reason = reason.trim().to_owned();
        if reason.is_empty()
            || reason.len() > LONGEST_REASON
            || reason.chars().any(char::is_control)
        {
            let why = "the reason must be one line of 1 to 200 bytes";
            let fix = "say in a few words why, for the next person";
            return Err(Refusal::new(RefusalKind::InvalidArgument, WHAT, why, fix));
        }
        let until = expiry.map(|span| {
            Timestamp(
                now.wall.0.saturating_add(u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)),
            )
        });
        self.hold_until = expiry.map(|span| now.boot + span.0);
        let undo = vec![self.ledger.hold.clone().map_or(Entry::Unheld, Entry::Held)];
        let hold = Hold { reason, uid: caller.uid, since: now.wall, until };
        self.order(now, request, vec![Entry::Held(hold)], undo, Reply::Done);
        Ok(())
    }

    pub(super) fn unhold(&mut self, now: Now, request: RequestId) -> Refused {
        let Some(hold) = self.ledger.hold.clone() else {
            self.answer(request, Ok(Reply::Done));
            return Ok(());
        };
        self.must_act("the hold stands")?;
        self.order(now, request, vec![Entry::Unheld], vec![Entry::Held(hold)], Reply::Done);
        Ok(())
    }

    /// Records an order; the caller hears when it is on the disk.
    pub(super) fn order(
        &mut self,
        now: Now,
        request: RequestId,
        mut entries: Vec<Entry>,
        undo: Vec<Entry>,
        reply: Reply,
    ) {
        entries.push(Entry::Generation(self.ledger.generation + 1));
        self.record(entries, Some(Pending::Order { request, reply, undo }));
        self.stand_pools();
        self.replan();
        self.publish_soon(now.boot);
    }

    /// An order did not get to the disk: it was not given.
    pub(super) fn take_back(&mut self, now: Now, undo: Vec<Entry>) {
        for entry in undo {
            self.ledger.take(entry);
        }
        self.take_back_handover();
        let until = self.ledger.hold.as_ref().and_then(|hold| hold.until);
        self.hold_until = until.map(|until| {
            now.boot + std::time::Duration::from_millis(until.0.saturating_sub(now.wall.0))
        });
        if let Some(job) = self.running_job() {
            self.end_job(job, JobState::Failed, "the ledger cannot be written".to_owned());
        }
        self.stand_pools();
        self.publish_soon(now.boot);
    }

    pub(super) fn hold_ends(&self) -> Option<Moment> {
        self.ledger.hold.as_ref()?.until?;
        self.hold_until
    }

    /// Ends a hold whose time is over. One of an earlier run has only wall time to go by.
    pub(super) fn end_hold(&mut self, now: Now) {
        let Some(until) = self.ledger.hold.as_ref().and_then(|hold| hold.until) else { return };
        let ended = self.hold_until.map_or(until <= now.wall, |end| end <= now.boot);
        if ended {
            self.hold_until = None;
            self.record(vec![Entry::Unheld], None);
            self.stand_pools();
            self.replan();
            self.publish_soon(now.boot);
        }
    }

    pub(super) fn apply(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        retry: bool,
        manner: Manner,
    ) -> Refused {
        const WHAT: &str = "nothing is applied";
        self.must_act(WHAT)?;
        self.must_not_be_held(WHAT)?;
        // A second order of the same kind joins the one under way.
        let job = self.running_job().unwrap_or_else(|| self.new_job(now, caller, JobKind::Apply));
        let mut entries = vec![Entry::Stopped(false)];
        let mut undo = vec![Entry::Stopped(self.ledger.stopped)];
        undo.push(Entry::Ordered(self.ledger.order.clone()));
        undo.push(Entry::Rejected(self.ledger.rejected.clone()));
        undo.extend(self.ledger.adopted.clone().map(Entry::Adopted));
        entries.extend(self.adopt(self.before_this_boot()));
        self.withdrawal = None;
        // A change that was only refused may be ordered again.
        if retry || self.ledger.rejected.as_ref().is_some_and(|rejected| !rejected.touched) {
            entries.push(Entry::Rejected(None));
        }
        if self.ledger.change.is_none() {
            self.changing.begin(manner, Origin::Order(caller.uid));
        }
        if retry {
            entries.push(Entry::FailuresForgotten);
            self.retry_at.clear();
        }
        self.look();
        self.order(now, request, entries, undo, Reply::Job(job));
        Ok(())
    }

    pub(super) fn cancel(&mut self, now: Now, request: RequestId, job: JobId) -> Refused {
        let what = format!("{job} was not cancelled");
        match self.job(job).map(|job| job.state) {
            None => {
                let why = "there is no such job";
                Err(Refusal::new(RefusalKind::NotFound, what, why, "see `onloadctl jobs`"))
            }
            Some(JobState::Running) if self.job(job).is_some_and(|job| !job.kind.is_change()) => {
                let why = "it has begun, and is over in a moment";
                Err(Refusal::new(RefusalKind::Unsupported, what, why, "wait for it"))
            }
            Some(JobState::Running) => {
                self.must_act(&what)?;
                let undo = vec![Entry::Stopped(false)];
                let turned = self.ledger.change.as_ref().is_none_or(|one| one.turned.is_some());
                if !turned {
                    self.call_off_change(now, "its job was cancelled");
                }
                self.end_job(
                    job,
                    JobState::Cancelled,
                    "cancelled; nothing is done until the next order".to_owned(),
                );
                let mut entries = vec![Entry::Stopped(true)];
                // Of what had not begun no order stays that could come alive later.
                let withdrawal = self.withdrawal.take().filter(|(of, _)| *of == job);
                if let Some((_, former)) = withdrawal.filter(|_| self.ledger.change.is_none()) {
                    let stops = |entry: &Entry| matches!(entry, Entry::Stopped(_));
                    entries.extend(former.into_iter().filter(|entry| !stops(entry)));
                }
                self.order(now, request, entries, undo, Reply::Done);
                Ok(())
            }
            Some(JobState::Done | JobState::Failed | JobState::Cancelled) => {
                self.answer(request, Ok(Reply::Done));
                Ok(())
            }
        }
    }

    pub(super) fn configure(
        &mut self,
        now: Now,
        request: Option<RequestId>,
        config: Result<Box<Config>, ConfigError>,
    ) {
        let answer = match config {
            Ok(config) => {
                self.config = *config;
                self.config_fault = None;
                self.configured = true;
                self.record(vec![Entry::Generation(self.ledger.generation + 1)], None);
                self.check_boot(now);
                self.forget_wishes();
                // Certificates that are named now are judged with the next look.
                self.look();
                Ok(Reply::Done)
            }
            Err(error) => {
                let refusal = Refusal::new(
                    RefusalKind::InvalidArgument,
                    "the configuration is not in force",
                    error.to_string(),
                    "mend the file, check it with `onloadd --check-config`, and reload; the former one stays in force",
                );
                self.config_fault = Some(error);
                Err(refusal)
            }
        };
        self.stand_pools();
        self.replan();
        self.publish_soon(now.boot);
        if let Some(request) = request {
            self.answer(request, answer);
        }
    }

    /// Takes up a changed `[modules]` as soon as nothing is lent, where the configuration says so.
    /// What the kubelet does not list any more is not in the way of a change, nor of this.
    pub(super) fn adopt_when_idle(&mut self, now: Now) {
        let is_idle = self.config.settings.daemon.apply == Apply::WhenIdle
            && self.ledger.allocations.values().all(|one| self.is_unlisted(one))
            && self.grants.is_empty();
        let waits = |adopted: &ModuleSettings| *adopted != self.config.settings.modules;
        if is_idle && !self.hands_off() && self.adopted().is_some_and(waits) {
            let entries = self.adopt(self.before_this_boot());
            self.withdrawal = None;
            self.record(entries, None);
            self.changing.begin(Manner::default(), Origin::Idle);
            self.replan();
            self.publish_soon(now.boot);
        }
    }

    /// Takes up `[modules]` where this is a new boot, or the first run at all; a change within a
    /// boot waits for an order (DESIGN section 10.2).
    pub(super) fn check_boot(&mut self, now: Now) {
        let Some(boot) = self.boot() else { return };
        if self.boot_checked || self.hands_off() {
            return;
        }
        self.boot_checked = true;
        let new_boot =
            self.ledger.adopted.as_ref().is_none_or(|adopted| adopted.boot.as_ref() != Some(&boot));
        if new_boot {
            let former = self.ledger.adopted.as_ref().and_then(|adopted| adopted.boot.clone());
            self.close_change_of_former_boot(now);
            let before = AllocationId(self.ledger.last_allocation);
            let mut entries = self.adopt(before);
            entries.push(Entry::Stopped(false));
            self.record(entries, None);
            self.judge_former_boots(former);
            // Processes and units of an earlier boot are gone, whatever their numbers are now.
            let gone = self.held_by(|one| match &one.holder {
                Holder::Process(process) => process.boot != boot,
                Holder::Unit(unit) => unit.boot != boot,
                Holder::Container | Holder::Pod(_) | Holder::User { .. } => false,
            });
            self.free_all(now, gone);
        }
    }

    /// Takes up `[modules]`. An order that names a release stands until that changes, and what is
    /// held against a release until the configuration names it anew.
    fn adopt(&self, before: AllocationId) -> Vec<Entry> {
        let modules = self.config.settings.modules.clone();
        let named = |modules| intent::read(modules, None, self.kernel.as_ref()).release;
        let changed = self.adopted().is_some_and(|adopted| *adopted != modules);
        let renamed = self.adopted().is_some_and(|adopted| named(adopted) != named(&modules));
        let boot = self.boot();
        let mut entries = vec![Entry::Adopted(Adopted { modules, boot, before })];
        if changed && self.ledger.order.is_some() {
            entries.push(Entry::Ordered(None));
        }
        if renamed && self.ledger.rejected.is_some() {
            entries.push(Entry::Rejected(None));
        }
        entries
    }

    /// The last allocation of earlier boots.
    pub(super) fn before_this_boot(&self) -> AllocationId {
        self.ledger.adopted.as_ref().map(|adopted| adopted.before).unwrap_or_default()
    }

    /// The `[modules]` that is carried out.
    pub(super) fn adopted(&self) -> Option<&ModuleSettings> {
        self.ledger.adopted.as_ref().map(|adopted| &adopted.modules)
    }

    pub(super) fn boot(&self) -> Option<BootId> {
        self.boot.clone()
    }

    pub(super) fn hands_off_reason(&self) -> (String, String) {
        match (&self.ledger_health, &self.config_fault) {
            (LedgerHealth::Unreadable(why), _) => (
                format!("the ledger cannot be read: {why}"),
                "restore it from a backup, or move it aside when nothing is lent, and restart onloadd".to_owned(),
            ),
            (_, Some(error)) => (
                format!("the configuration is refused: {error}"),
                "mend the file and `systemctl reload onloadd`".to_owned(),
            ),
            (_, None) => ("no configuration was read yet".to_owned(), "try again".to_owned()),
        }
    }

    fn job(&self, id: JobId) -> Option<&Job> {
        self.picture.jobs.get(&id)
    }

    pub(super) fn running_job(&self) -> Option<JobId> {
        let running = |job: &&Job| job.state == JobState::Running && job.kind.is_change();
        self.picture.jobs.values().find(running).map(|job| job.id)
    }

    fn next_job(&mut self) -> JobId {
        self.last_job += 1;
        JobId(self.last_job)
    }

    pub(super) fn new_job(&mut self, now: Now, caller: &Caller, kind: JobKind) -> JobId {
        let id = self.next_job();
        let jobs = Arc::make_mut(&mut self.picture.jobs);
        let job = Job {
            id,
            kind,
            state: JobState::Running,
            done: 0,
            total: 0,
            message: "looking".to_owned(),
            uid: caller.uid,
            started: now.wall,
        };
        jobs.insert(id, job);
        while jobs.len() > JOBS_SHOWN {
            jobs.pop_first();
        }
        id
    }

    pub(super) fn change_job(&mut self, id: JobId, change: impl FnOnce(&mut Job)) {
        if let Some(job) = Arc::make_mut(&mut self.picture.jobs).get_mut(&id) {
            change(job);
        }
    }

    pub(super) fn end_job(&mut self, id: JobId, state: JobState, message: String) {
        self.change_job(id, |job| {
            job.state = state;
            job.message = message;
        });
    }
}
