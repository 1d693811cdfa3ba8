//! The system clock handed over by order: to sfptpd, and back to whoever had it. Nobody's files are
//! touched for that: units are stopped and started, and what was stopped is in the ledger.

use std::collections::BTreeSet;

use super::super::Reconciler;
use super::super::steps::Progress;
use super::UNTOLD;
use crate::clock::Clocks;
use crate::clock::conflict::{Conflict, ConflictKind};
use crate::clock::picture::{Handover, Keeper};
use crate::clock::sfptpd::config;
use crate::clock::unit::Active;
use crate::command::{Caller, Reply, RequestId};
use crate::condition::Status;
use crate::config::ClockMode;
use crate::inventory::Snapshot;
use crate::job::{JobKind, JobState};
use crate::ledger::{ClockEntry, Entry};
use crate::names::JobId;
use crate::refusal::{Refusal, RefusalKind};
use crate::time::Now;

const NOT_HANDED: &str = "the system clock was not handed over";

type Refused<T = ()> = Result<T, Refusal>;

fn refuse<T>(kind: RefusalKind, why: impl Into<String>, fix: impl Into<String>) -> Refused<T> {
    Err(Refusal::new(kind, NOT_HANDED, why, fix))
}

impl Reconciler {
    /// Gives the system clock to sfptpd, or back.
    pub(in super::super) fn hand_over(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        to: Keeper,
    ) -> Refused {
        self.must_act(NOT_HANDED)?;
        if let Some(hold) = &self.ledger.hold {
            let why = format!("the node is held: {}", hold.reason);
            return refuse(RefusalKind::Held, why, "`onloadctl unhold` when it may go on");
        }
        if self.ledger.stopped {
            let why = "a job was cancelled, and nothing is done until the next order about modules";
            return refuse(RefusalKind::Held, why, "`onloadctl apply` to go on");
        }
        if self.ledger.change.is_some() || self.clocks.order.is_some() {
            let why = "another order about clocks or drivers is being carried out";
            return refuse(RefusalKind::Busy, why, "try again when it is done (`onloadctl jobs`)");
        }
        let snapshot = self.snapshot.clone();
        let clocks = snapshot.as_ref().and_then(|snapshot| snapshot.clocks.known());
        let Some(clocks) = clocks else {
            let fix = "see `onloadctl clock status`; `mode` in [ptp] must not be \"off\"";
            return refuse(RefusalKind::Unsupported, "clocks are not looked at, or cannot be", fix);
        };
        if let Some(why) = clocks.units.why_not() {
            let why = format!("systemd does not say how units are: {why}");
            return refuse(RefusalKind::Busy, why, "try again in a moment");
        }
        let former = self.ledger.clock.handover.clone();
        let units = match to {
            Keeper::Sfptpd => self.takers(clocks, snapshot.as_deref())?,
            Keeper::Former => match &former {
                Some(handover) => handover.units.clone(),
                None => {
                    let fix = "stop sfptpd and start the other by hand, or say `mode = \"observe\"` in [ptp]";
                    return refuse(RefusalKind::NotFound, "it was never handed to sfptpd", fix);
                }
            },
        };
        let handover = Handover { to, units, uid: caller.uid, at: now.wall };
        let job = self.new_job(now, caller, JobKind::HandOver);
        self.clocks.order = Some(job);
        self.clocks.starts.clear();
        let entries = vec![Entry::Clock(ClockEntry::HandedOver(Some(handover)))];
        let undo = vec![Entry::Clock(ClockEntry::HandedOver(former))];
        self.order(now, request, entries, undo, Reply::Job(job));
        // Which units run is asked of systemd anew before any is touched.
        self.look();
        Ok(())
    }

    /// Units that give way to sfptpd, if it can take the clock at all.
    fn takers(&self, clocks: &Clocks, snapshot: Option<&Snapshot>) -> Refused<Vec<String>> {
        if self.ptp().mode != ClockMode::Manage {
            let fix = "say `mode = \"manage\"` in [ptp], then `systemctl reload onloadd`";
            return refuse(RefusalKind::Unsupported, "onloadd does not run sfptpd here", fix);
        }
        let Some((own, _)) = self.supervised(clocks) else {
            let fix = "install sfptpd, or name its unit in [ptp]";
            return refuse(RefusalKind::NotFound, "no unit on this node runs sfptpd", fix);
        };
        // What keeps it from being started is known before anybody is stopped for it.
        if let Some(Err((_, why, fix))) = snapshot.map(|snapshot| self.rendered(clocks, snapshot)) {
            return refuse(RefusalKind::Blocked, why, fix);
        }
        if let Some(text) = clocks.template.known() {
            let configured = config::check(text).or_else(|fault| {
                refuse(
                    RefusalKind::Blocked,
                    format!("its configuration is refused: {fault}"),
                    fault.fix,
                )
            })?;
            if !configured.steers_system_clock() {
                let why = "its configuration lets sfptpd not steer the system clock";
                let fix =
                    "take `system` out of `clock_readonly`, or `clock_control no-adjust` out of it";
                return refuse(RefusalKind::Blocked, why, fix);
            }
        }
        // As if it had not gone back before.
        let conflicts = self.conflicts_where(clocks, false);
        let rivals: Vec<_> = conflicts.iter().filter(|one| is_about_rivals(one)).collect();
        if let Some(fixed) = rivals.iter().find(|one| one.bars_start && one.units.is_empty()) {
            return refuse(RefusalKind::Blocked, fixed.message.clone(), fixed.fix.clone());
        }
        let handed = self.ledger.clock.handover.iter().filter(|one| one.to == Keeper::Sfptpd);
        let kept = handed.flat_map(|handover| handover.units.clone());
        let units: BTreeSet<_> =
            rivals.iter().flat_map(|one| one.units.clone()).chain(kept).collect();
        let units: Vec<_> = units.into_iter().collect();
        if let Some(other) = self.other_manager(clocks, &own, &units) {
            let why = format!("{other} steers clocks, and two would fight over them");
            return refuse(RefusalKind::Blocked, why, "stop it first");
        }
        Ok(units)
    }

    /// Ends the order when nothing is left to do, or nothing can be done.
    pub(in super::super) fn follow_handover(&mut self) {
        let Some(job) = self.clocks.order else { return };
        if self.looking || self.progress != Progress::Idle {
            return;
        }
        if let Some(hold) = &self.ledger.hold {
            let message = format!("the node is held: {}", hold.reason);
            return self.end_handover(job, JobState::Failed, message);
        }
        let left: Vec<_> =
            self.plan.steps.iter().filter(|step| self.is_of_clocks(step)).cloned().collect();
        let failed = left.first().and_then(|step| Some((step, self.failure(step)?)));
        if let Some((step, failure)) = failed.filter(|(_, failure)| !self.retrying(failure)) {
            let why = failure
                .error
                .as_ref()
                .map_or_else(|| "the machine does not show it".to_owned(), ToString::to_string);
            return self.fail_handover(job, format!("could not {step}: {why}"));
        }
        if let Some(step) = left.first() {
            let message = step.to_string();
            return self.change_job(job, |job| job.message = message);
        }
        // A systemd that is busy has said nothing of who runs: what is left is not known.
        if let Some(since) = self.clocks.untold {
            let message = "systemd does not say how units are".to_owned();
            return match self.clocks.seen.since(since) >= UNTOLD {
                true => self.fail_handover(job, message),
                false => self.change_job(job, |job| job.message = message),
            };
        }
        let to = self.ledger.clock.handover.as_ref().map(|handover| handover.to);
        let told = self.clocks.supervision.clone();
        match (to, told.status, told.reason.as_str()) {
            (Some(Keeper::Sfptpd), Status::True, _) => {
                let message = "sfptpd has the system clock; it says in a minute or more whether it is synchronised";
                self.end_handover(job, JobState::Done, message.to_owned());
            }
            // systemd has it on its way.
            (
                Some(Keeper::Sfptpd),
                _,
                "Starting" | "Restarting" | "KeepsEnding" | "HandingOver" | "Paused",
            ) => {}
            (Some(Keeper::Sfptpd), _, _) => {
                let message = format!("sfptpd does not run: {}", told.message);
                self.fail_handover(job, message);
            }
            (Some(Keeper::Former) | None, ..) => {
                self.end_handover(job, JobState::Done, self.gone_back())
            }
        }
    }

    /// What became of those who have the clock back.
    fn gone_back(&self) -> String {
        let handed = self.ledger.clock.handover.iter().flat_map(|handover| &handover.units);
        let clocks = self.snapshot.as_ref().and_then(|snapshot| snapshot.clocks.known());
        let units = clocks.and_then(|clocks| clocks.units.known());
        let runs = |unit: &&String| {
            units
                .and_then(|units| units.get(*unit))
                .is_some_and(|unit| unit.active == Active::Active)
        };
        let all: Vec<_> = handed.filter(runs).map(String::as_str).collect();
        match all.as_slice() {
            [] => "sfptpd gave the system clock back; nobody had it before".to_owned(),
            all => format!("{} has the system clock again", all.join(", ")),
        }
    }

    /// An order that did not get there is taken back, so that somebody has the clock.
    fn fail_handover(&mut self, job: JobId, message: String) {
        let handover = self.ledger.clock.handover.clone();
        if let Some(handover) = handover.filter(|one| one.to == Keeper::Sfptpd) {
            let handover = Handover { to: Keeper::Former, ..handover };
            self.record(vec![Entry::Clock(ClockEntry::HandedOver(Some(handover)))], None);
        }
        self.end_handover(job, JobState::Failed, message);
        self.replan();
    }

    /// The order did not get to the disk: it was not given.
    pub(in super::super) fn take_back_handover(&mut self) {
        if let Some(job) = self.clocks.order {
            let message = "the ledger cannot be written".to_owned();
            self.end_handover(job, JobState::Failed, message);
        }
    }

    /// Whether the system clock is being handed over.
    pub(in super::super) fn hands_over(&self) -> bool {
        self.clocks.order.is_some()
    }

    fn end_handover(&mut self, job: JobId, state: JobState, message: String) {
        self.clocks.order = None;
        self.end_job(job, state, message);
    }
}

/// Whether a conflict is with another program, and not with what sfptpd itself is told.
fn is_about_rivals(conflict: &Conflict) -> bool {
    match conflict.kind {
        ConflictKind::Chronyd
        | ConflictKind::Ntpd
        | ConflictKind::Timesyncd
        | ConflictKind::Phc2sys
        | ConflictKind::HardwareClock
        | ConflictKind::TwoOfAKind => true,
        ConflictKind::ClockReadonly | ConflictKind::Freerun => false,
    }
}
