//! Clocks as the reconciler keeps them: looked at on a pace of their own, judged with what came before,
//! and times without a synchronised one remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Reconciler;
use super::steps::Progress;
use crate::clock::conflict::Conflict;
use crate::clock::picture::{Keeper, Outage, Supervision};
use crate::clock::steady::{Pulse, Steady};
use crate::clock::verdict::{self, Standing, Verdict};
use crate::clock::{ClockLook, Clocks, Written};
use crate::condition::Status;
use crate::config::{ClockMode, PtpSettings};
use crate::inventory::{Depth, Snapshot};
use crate::ledger::{ClockEntry, Entry};
use crate::names::JobId;
use crate::reading::Reading;
use crate::time::{Moment, Now, Timestamp};

mod configuration;
mod handover;
mod keeping;
mod pausing;
mod shown;

/// How long sfptpd may say nothing new where only its state files can be read: they are saved each minute
/// unless it is told otherwise (reference/sfptpd.md section 4).
const STATES_ALONE: Duration = Duration::from_secs(150);
/// Between two looks while systemd does not say how units are and an order waits for it; and how long that
/// may last.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
const UNTOLD: Duration = Duration::from_secs(60);
/// The system clock's name among clocks.
pub(super) const SYSTEM: &str = "system";

/// What is known of clocks beside what a look shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ClockKeeping {
    /// When they were looked at last.
    seen: Moment,
    /// When they are looked at next, beside the looks at everything.
    next: Moment,
    /// By name.
    judged: BTreeMap<String, Judged>,
    conflicts: Vec<Conflict>,
    supervision: Supervision,
    /// How long sfptpd has said nothing new.
    pulse: Pulse,
    silent: Duration,
    /// How long it may.
    patience: Duration,
    /// The process whose statistics were read, and not its state alone.
    heard: Option<u32>,
    hangs: u32,
    /// When its unit was started or started anew; no more than the last few times.
    starts: Vec<Moment>,
    /// The order under way.
    order: Option<JobId>,
    /// Since when systemd has not said how units are.
    untold: Option<Moment>,
}

/// A clock, with what came before.
#[derive(Clone, Debug, Default, PartialEq)]
struct Judged {
    steady: Steady,
    verdict: Verdict,
    status: Status,
    since: Timestamp,
    /// Whether it has counted as synchronised in this run.
    was: bool,
}

impl Reconciler {
    fn ptp(&self) -> &PtpSettings {
        &self.config.settings.ptp
    }

    /// What the next look is to find of clocks.
    pub(super) fn clock_look(&self) -> Option<ClockLook> {
        if self.ptp().mode == ClockMode::Off {
            return None;
        }
        let handed = self.ledger.clock.handover.iter().flat_map(|handover| &handover.units);
        let units: BTreeSet<_> =
            handed.chain(&self.ledger.clock.paused).cloned().chain(self.candidates()).collect();
        // Within a change they are as it found them, but for what is done about them.
        let next = self.plan.steps.first();
        let again = next.is_some_and(|step| self.is_of_clocks(step));
        Some(ClockLook { units, template: self.ptp().configuration.clone(), again })
    }

    /// Whether somebody depends on how clocks are, so that the slow tick is not enough.
    fn is_clock_awaited(&self) -> bool {
        let required = self.config.settings.pools.values().any(|pool| pool.require_clock);
        match self.ptp().mode {
            ClockMode::Off => false,
            ClockMode::Observe => required || self.clocks.order.is_some(),
            ClockMode::Manage => true,
        }
    }

    /// When clocks are to be looked at.
    pub(super) fn clocks_due(&self) -> Option<Moment> {
        (self.may_look_at_clocks() && self.is_clock_awaited()).then_some(self.clocks.next)
    }

    /// Not while something is done or about to be looked at: what such a look finds is not what a step
    /// made of the machine.
    fn may_look_at_clocks(&self) -> bool {
        !self.looking
            && self.settle.is_none()
            && self.progress == Progress::Idle
            && !self.is_between_drivers()
            && self.snapshot.is_some()
    }

    /// Looks at clocks alone, if it is time.
    pub(super) fn look_at_clocks(&mut self, now: Now) {
        if self.clocks_due().is_some_and(|at| at <= now.boot) {
            self.look_at(Depth::Clocks);
        }
    }

    /// Judges what a look found of clocks.
    pub(super) fn follow_clocks(&mut self, now: Now, snapshot: &Snapshot) {
        let pace = if self.is_clock_awaited() {
            self.ptp().look_every.0
        } else {
            self.config.settings.daemon.look_every.0
        };
        self.clocks.next = now.boot + pace;
        // Inside of a change a look finds nothing of them.
        if let Depth::Modules | Depth::Network = self.asked_depth {
            return;
        }
        self.clocks.seen = now.boot;
        let units = snapshot.clocks.known().map(|clocks| &clocks.units);
        self.clocks.untold = match units {
            Some(Reading::Unreadable(_)) => self.clocks.untold.or(Some(now.boot)),
            _ => None,
        };
        if self.clocks.untold.is_some() && self.clocks.order.is_some() {
            self.clocks.next = now.boot + pace.min(ASKED_AGAIN);
        }
        let Reading::Known(clocks) = &snapshot.clocks else {
            self.clocks.judged.clear();
            self.clocks.conflicts.clear();
            self.clocks.supervision = self.unsupervised(snapshot);
            return;
        };
        let bound = self.ptp().bound_ns;
        let system = (SYSTEM.to_owned(), verdict::system(clocks, bound));
        let hardware = clocks
            .hardware
            .keys()
            .map(|index| (format!("ptp{index}"), verdict::hardware(clocks, *index, bound)));
        let verdicts: BTreeMap<_, _> = std::iter::once(system).chain(hardware).collect();
        self.clocks.judged.retain(|name, _| verdicts.contains_key(name));
        self.follow_pulse(now, clocks, pace);
        for (name, verdict) in verdicts {
            let verdict = verdict.unless_silent(self.clocks.silent, self.clocks.patience);
            let judged = self.clocks.judged.entry(name).or_default();
            let status = judged.steady.judge(now.boot, &verdict, pace);
            if status != judged.status || judged.since == Timestamp::default() {
                (judged.status, judged.since) = (status, now.wall);
            }
            judged.verdict = verdict;
            judged.was |= status == Status::True;
        }
        self.clocks.conflicts = self.conflicts_of(clocks);
        self.note_outage(now);
    }

    /// How long sfptpd has said nothing new; one that has just come has said something.
    fn follow_pulse(&mut self, now: Now, clocks: &Clocks, pace: Duration) {
        // One that cannot be read says nothing, and need not hang for that.
        let Reading::Known(said) = &clocks.sfptpd else {
            (self.clocks.pulse, self.clocks.silent) = (Pulse::default(), Duration::ZERO);
            self.clocks.patience = self.ptp().hang_after.0;
            return;
        };
        // Which process it is, a busy systemd has not said: what was known of it stands.
        if self.clocks.untold.is_some() {
            return;
        }
        let process = self.supervised(clocks).and_then(|(_, unit)| unit.main_pid).unwrap_or(0);
        if said.samples.known().is_some() {
            self.clocks.heard = Some(process);
        }
        // Its state alone is written once a minute, or as seldom as it is told. One whose socket does not
        // answer any more was heard before.
        let heard = self.clocks.heard == Some(process);
        let least = if heard { Duration::ZERO } else { STATES_ALONE };
        self.clocks.patience = self.ptp().hang_after.0.max(least);
        // One number that tells of another process as well as of something new.
        let pulse = said.pulse.wrapping_mul(31).wrapping_add(u64::from(process));
        self.clocks.silent = self.clocks.pulse.seen(now.boot, pulse, pace);
    }

    /// Why a pool that asks for a synchronised clock has none.
    pub(super) fn clock_fault(&self) -> Option<String> {
        match self.clocks.judged.get(SYSTEM) {
            Some(judged) if judged.status == Status::True => None,
            Some(judged) if judged.verdict.standing == Standing::Good => {
                Some("it is near enough, and has to stay so for a while".to_owned())
            }
            Some(judged) => Some(judged.verdict.message.clone()),
            None => Some("it was not looked at".to_owned()),
        }
    }

    /// Writes down when the system clock is lost and when it is back. That it never was synchronised in
    /// this run is no loss.
    fn note_outage(&mut self, now: Now) {
        let open = self.open_outage().cloned();
        let Some(judged) = self.clocks.judged.get(SYSTEM) else { return };
        match (judged.status, open) {
            (Status::False, None) if judged.was => {
                let reason = judged.verdict.reason.clone();
                let (began, change) = (now.wall, self.change_at_hand());
                let (at, boot) = (now.boot, self.boot.clone());
                let outage = Outage { began, at, boot, millis: None, change, reason };
                self.record(vec![Entry::Clock(ClockEntry::Outage(outage))], None);
            }
            (Status::True, Some(outage)) => {
                // Over a boot, only wall time tells, and the machine may have been off meanwhile.
                let lasted = match self.is_of_this_boot(&outage) {
                    true => now.boot.since(outage.at),
                    false => Duration::from_millis(now.wall.0.saturating_sub(outage.began.0)),
                };
                let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
                let outage = Outage { millis: Some(millis), ..outage };
                self.record(vec![Entry::Clock(ClockEntry::Outage(outage))], None);
            }
            (Status::True, None) | (Status::False, _) | (Status::Unknown, _) => {}
        }
    }

    /// The outage that lasts.
    fn open_outage(&self) -> Option<&Outage> {
        self.ledger.clock.outages.last().filter(|one| one.millis.is_none())
    }

    fn is_of_this_boot(&self, outage: &Outage) -> bool {
        outage.boot.is_some() && outage.boot == self.boot
    }

    /// How long the system clock has not been synchronised, as of the last look; none while it is, and where
    /// that began in another boot.
    fn lost_for(&self) -> Option<Duration> {
        let outage = self.open_outage().filter(|outage| self.is_of_this_boot(outage))?;
        Some(self.clocks.seen.since(outage.at))
    }

    /// The change that is under way or about to begin.
    fn change_at_hand(&self) -> Option<u64> {
        let open = self.ledger.change.as_ref().map(|change| change.number);
        open.or_else(|| self.is_driver_going().then(|| self.ledger.next_change()))
    }

    /// What fights over clocks, by what sfptpd is to do or does.
    fn conflicts_of(&self, clocks: &Clocks) -> Vec<Conflict> {
        let handover = self.ledger.clock.handover.as_ref();
        self.conflicts_where(clocks, handover.is_some_and(|one| one.to == Keeper::Former))
    }

    fn conflicts_where(&self, clocks: &Clocks, back: bool) -> Vec<Conflict> {
        // What is written has the names of interfaces where the template has ports.
        let written = clocks.written.known().map(Written::text).filter(|text| !text.is_empty());
        let text = written.or_else(|| clocks.template.known().map(String::as_str));
        self.find_conflicts(clocks, text.filter(|_| self.ptp().mode == ClockMode::Manage), back)
    }
}
