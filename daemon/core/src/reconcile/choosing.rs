//! Orders that name a release, and which release the node shall have just now.

use super::Reconciler;
use crate::af_xdp::{self, Choice, Chosen};
use crate::change::{Change, Manner, Order, Origin, Outcome, Past, Rejected};
use crate::command::{Caller, Reply, RequestId};
use crate::intent::{self, Intent};
use crate::inventory::Snapshot;
use crate::job::{JobKind, JobState};
use crate::ledger::Entry;
use crate::names::{JobId, ReleaseName};
use crate::plan::standing;
use crate::refusal::{Refusal, RefusalKind};
use crate::release::{self, preflight};
use crate::time::Now;

type Refused = Result<(), Refusal>;

/// How far a rejection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing was touched: the same may be ordered again. Until then in later boots too, where it
    /// was an order.
    Refused,
    /// Until the next boot.
    Boot,
    /// In later boots too.
    ForGood,
}

impl Reach {
    /// Of a change that was taken back.
    pub(super) fn of(change: &Change) -> Self {
        if change.is_rejected_for_good() { Self::ForGood } else { Self::Boot }
    }
}

impl Reconciler {
    /// What is asked for, whatever came of it.
    pub(super) fn intent(&self) -> Intent {
        let modules = self.adopted().unwrap_or(&self.config.settings.modules);
        intent::read(modules, self.ledger.order.as_ref(), self.kernel.as_ref())
    }

    /// The release the node shall have just now: the one a change is bringing about, else the one
    /// asked for, or what it went back to where that did not come up.
    pub(super) fn target(&self) -> Option<ReleaseName> {
        if let Some(change) = &self.ledger.change {
            return change.target().cloned();
        }
        self.adopted()?;
        match self.rejected() {
            Some(rejected) => rejected.former.clone(),
            None => self.intent().release,
        }
    }

    /// Ports that are to be offered through AF_XDP, as the configuration in force says it.
    pub(super) fn choices(&self) -> &[Choice] {
        self.adopted().map(|modules| modules.af_xdp.as_slice()).unwrap_or_default()
    }

    /// What they come to on this machine.
    pub(super) fn chosen(&self, snapshot: &Snapshot) -> Chosen {
        af_xdp::choose(self.choices(), snapshot, &self.hardware)
    }

    /// The release the loaded stack is from.
    pub(super) fn loaded_release(&self) -> Option<ReleaseName> {
        standing::release_of(self.snapshot.as_ref()?, &self.ledger.loaded)
    }

    /// What stands against the release that is asked for: it did not come up on this kernel in this
    /// boot, or was not let.
    pub(super) fn rejected(&self) -> Option<&Rejected> {
        let rejected = self.ledger.rejected.as_ref()?;
        let kernel = super::failures::is_same(rejected.kernel.as_ref(), self.kernel.as_ref());
        let boot = super::failures::is_same(rejected.boot.as_ref(), self.boot.as_ref());
        let asked = self.intent().release.as_ref() == Some(&rejected.release);
        (kernel && boot && asked).then_some(rejected)
    }

    /// Whether a release was ordered in this boot and nothing came of it yet: the daemon was ended
    /// between the order and its change.
    pub(super) fn is_order_untried(&self, release: &ReleaseName) -> bool {
        let boot = self.boot.as_ref();
        let loaded =
            self.ledger.loaded.values().any(|(of, at)| of == release && at.as_ref() == boot);
        let order = self.ledger.order.as_ref().filter(|order| order.release == *release);
        order.is_some_and(|order| {
            let tried = |past: &Past| past.change.to == *release && past.change.began >= order.at;
            order.boot.is_some()
                && order.boot.as_ref() == boot
                && !loaded
                && !self.ledger.past.iter().any(tried)
        })
    }

    /// Notes that a release is not to be tried again by itself.
    pub(super) fn reject(
        &mut self,
        release: ReleaseName,
        former: Option<ReleaseName>,
        why: String,
        reach: Reach,
    ) {
        let touched = reach != Reach::Refused;
        // What a person ordered and was refused does not come by itself with the next boot either.
        let is_ordered = self.ledger.order.as_ref().is_some_and(|order| order.release == release);
        let is_answer = self.running_job().is_some() || self.is_order_untried(&release);
        let lasts = match reach {
            Reach::Refused => is_ordered && is_answer,
            Reach::Boot => false,
            Reach::ForGood => true,
        };
        let (kernel, boot) = (self.kernel.clone(), self.boot.clone().filter(|_| !lasts));
        let rejected = Rejected { release, former, why, kernel, boot, touched };
        self.record(vec![Entry::Rejected(Some(rejected))], None);
    }

    pub(super) fn use_release(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        release: ReleaseName,
        manner: Manner,
    ) -> Refused {
        self.order_release(now, request, caller, release, (JobKind::Use, manner))
    }

    pub(super) fn roll_back(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        back: u32,
        manner: Manner,
    ) -> Refused {
        if self.ledger.change.as_ref().is_some_and(|change| change.confirm_by.is_some()) {
            self.must_act("nothing is rolled back")?;
            let job = self.new_job(now, caller, JobKind::Rollback);
            self.call_off_change(now, &format!("rolled back by uid {}", caller.uid));
            self.order(now, request, Vec::new(), Vec::new(), Reply::Job(job));
            return Ok(());
        }
        let done = self.ledger.past.iter().rev().filter(|past| past.outcome == Outcome::Done);
        let place = usize::try_from(back.max(1) - 1).unwrap_or(usize::MAX);
        let former = done.clone().nth(place).and_then(|past| past.change.from.clone());
        let Some(former) = former else {
            let why = format!("{} changes are remembered that could be taken back", done.count());
            return Err(Refusal::new(
                RefusalKind::NotFound,
                "nothing is rolled back",
                why,
                "see `onloadctl history`, and name a release with `onloadctl release use`",
            ));
        };
        self.order_release(now, request, caller, former, (JobKind::Rollback, manner))
    }

    fn order_release(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        release: ReleaseName,
        (kind, manner): (JobKind, Manner),
    ) -> Refused {
        let what = format!("the node is not brought to release {release}");
        self.must_act(&what)?;
        self.must_not_be_held(&what)?;
        if self.ledger.change.is_some() || self.running_job().is_some() {
            let why = "another order is being carried out";
            let fix = "wait for it (`onloadctl jobs`), or cancel it";
            return Err(Refusal::new(RefusalKind::Busy, what, why, fix));
        }
        self.must_be_loadable(&what, &release)?;
        self.must_be_alone(&what, &release)?;
        let job = self.new_job(now, caller, kind);
        self.changing.begin(manner, Origin::Order(caller.uid));
        let order = Order { release, uid: caller.uid, at: now.wall, boot: self.boot() };
        let undo = vec![
            Entry::Ordered(self.ledger.order.clone()),
            Entry::Rejected(self.ledger.rejected.clone()),
            Entry::Stopped(self.ledger.stopped),
        ];
        self.withdrawal = Some((job, undo.clone()));
        let entries = vec![
            Entry::Stopped(false),
            Entry::FailuresForgotten,
            Entry::Rejected(None),
            Entry::Ordered(Some(order)),
        ];
        self.retry_at.clear();
        self.look();
        self.order(now, request, entries, undo, Reply::Job(job));
        Ok(())
    }

    /// Ends a job of which nothing was begun. An order that names a release is withdrawn with it: what
    /// could not begin does not come alive by itself when whatever was in its way has gone.
    pub(super) fn fail_order(&mut self, job: JobId, why: String) {
        let withdrawal = self.withdrawal.take().filter(|(of, _)| *of == job);
        let Some((_, former)) = withdrawal else {
            return self.end_job(job, JobState::Failed, why);
        };
        self.end_job(job, JobState::Failed, format!("{why}; the order is withdrawn"));
        self.record(former, None);
        self.replan();
    }

    /// Refuses a release that is not there, or that this kernel would not take, with all reasons.
    pub(super) fn must_be_loadable(&self, what: &str, name: &ReleaseName) -> Refused {
        let Some(snapshot) = &self.snapshot else {
            let why = "the machine has not been looked at yet";
            return Err(Refusal::new(RefusalKind::Busy, what, why, "try again"));
        };
        let known = snapshot.releases.known();
        if release::is_imported(name) && known.is_none_or(|all| !all.contains_key(name)) {
            let why = "there is no such release on this node";
            let fix = "`onloadctl release import` it, or see `onloadctl release list`";
            return Err(Refusal::new(RefusalKind::NotFound, what, why, fix));
        }
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let objections = preflight::check(name, kernel, snapshot);
        if objections.is_empty() {
            return Ok(());
        }
        let why: Vec<_> = objections.iter().map(ToString::to_string).collect();
        let mut fix: Vec<_> = objections.iter().map(preflight::Objection::fix).collect();
        fix.dedup();
        Err(Refusal::new(RefusalKind::Blocked, what, why.join("; "), fix.join("; ")))
    }

    pub(super) fn confirm(&mut self, now: Now, request: RequestId) -> Refused {
        let what = "nothing is confirmed";
        self.must_act(what)?;
        let change = self.ledger.change.as_ref();
        let Some(change) = change.filter(|change| change.confirm_by.is_some()).cloned() else {
            let why = "no change waits for it";
            let fix = "see `onloadctl history` for what became of the last one";
            return Err(Refusal::new(RefusalKind::NotFound, what, why, fix));
        };
        let done = Entry::ChangeEnded { outcome: Outcome::Done, ended: now.wall };
        self.changing.reset();
        self.order(now, request, vec![done], vec![Entry::ChangeBegan(change)], Reply::Done);
        Ok(())
    }

    /// Refuses what a hold forbids.
    pub(super) fn must_not_be_held(&self, what: &str) -> Refused {
        let Some(hold) = &self.ledger.hold else { return Ok(()) };
        let why = format!("the node is held: {}", hold.reason);
        Err(Refusal::new(RefusalKind::Held, what, why, "`onloadctl unhold` ends the hold"))
    }
}
