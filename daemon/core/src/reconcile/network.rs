//! Network state over a change of drivers: kept before, put back after. It is put back at the end of the
//! change, whichever way it goes, and what cannot be is told; a driver that works is not taken back for it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{LedgerHealth, Pending, Reconciler, RecordId};
use crate::change::{Change, Origin};
use crate::condition::Status;
use crate::inventory::{Depth, ModuleState, Snapshot};
use crate::ledger::Entry;
use crate::names::InterfaceName;
use crate::network::{self, Kept, Patience};
use crate::plan::Takes;
use crate::step::Step;
use crate::time::{Moment, Now};

/// How long ports may take to show their interfaces, and udev to name them: as long as what is loaded may
/// take to show itself (`changing.rs`).
const ARRIVAL: Duration = Duration::from_secs(10);
/// How long whoever owns a link has before being asked to set it up again: NetworkManager begins by itself
/// within a second of seeing an interface.
const UNASKED: Duration = Duration::from_secs(2);
/// How long until what owners have not done is done for them. Devices are away meanwhile.
const OWNERS: Duration = Duration::from_secs(15);
/// When gaps are filled, counted from when that could begin: some only show when others are filled, such
/// as a route without its address; and an IPv6 route from an address fails while the kernel still probes
/// for that address (one to two seconds), as some settings do until the link is up. They begin anew when
/// owners are done, so that all of it ends within [`OWNERS`] and the last of these.
const ROUNDS: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(7)];
/// Pace of looks meanwhile; interfaces tell of themselves, udev's end does not.
const PACE: Duration = Duration::from_millis(100);

/// A part of the machine, in words.
pub(super) const CARRIED: &str = "what interfaces carry";

/// How far what was kept is put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Restoring {
    /// When the last look ended.
    pub(super) looked_at: Moment,
    /// When ports were first looked at after their driver came.
    since: Option<Moment>,
    /// Owners that were asked.
    asked: BTreeSet<InterfaceName>,
    /// How often gaps were filled, and since when: while owners are waited for, or after that.
    rounds: usize,
    rounds_since: Moment,
    /// Owners are waited for.
    owned: bool,
    /// What has what is kept written.
    pub(super) keeping: Option<RecordId>,
}

impl Reconciler {
    /// Whether what the ports carry is in the ledger before this step takes their driver away. It is read
    /// as late as can be: users may have been waited for, and the network set up otherwise meanwhile. Not
    /// there yet: the next look goes that far.
    pub(super) fn has_kept(&mut self, now: Now, step: &Step) -> bool {
        // Until it is on the disk nothing goes: a power loss would take it along.
        if step.takes_away()
            && self.restoring.keeping.is_some_and(|record| self.pending.contains_key(&record))
        {
            return false;
        }
        let Some(number) = self.keeps_for() else { return true };
        let touched = self.ledger.change.as_ref().is_some_and(|change| change.touched);
        if !step.takes_away() || touched && !takes_driver(step) {
            return true;
        }
        if !self.saw_network() {
            self.look();
            return false;
        }
        let Some(snapshot) = self.snapshot.clone() else { return true };
        let Some(network) = snapshot.network.known() else {
            return match snapshot.network.why_not() {
                Some(why) if !touched => {
                    self.abandon(now, unreadable(why));
                    false
                }
                // Between two drivers there is no way but on.
                Some(_) | None => true,
            };
        };
        let mut affected = network::affected(network, &network::driven(&snapshot)).network;
        // What nobody has set up at boot has the rings and offloads of its driver, and not somebody's.
        let change = self.ledger.change.as_ref();
        if change.is_some_and(|change| change.origin == Origin::Boot) {
            let bare = affected.links.values_mut().filter(|link| link.is_bare());
            bare.for_each(|link| link.settings.clear());
        }
        // It is on the disk, and nothing has changed meanwhile.
        let written = self.restoring.keeping.take().is_some();
        let kept = self.ledger.network.as_ref().map(|kept| kept.network.without_lifetimes());
        let same = kept == Some(affected.without_lifetimes());
        if written && same && self.ledger_health == LedgerHealth::Available {
            return true;
        }
        let (at, boot) = (now.boot, self.boot.clone());
        let kept = Kept { network: affected, at, boot, change: number };
        self.record(vec![Entry::NetworkKept(kept)], Some(Pending::Noted));
        let record = RecordId(self.last_record);
        self.restoring.keeping = self.pending.contains_key(&record).then_some(record);
        // A ledger that cannot be written holds up what was not begun (`may_step`), and only that.
        self.restoring.keeping.is_none() && touched
    }

    /// A record was not written. If it was what the ports carry, and nothing is touched yet, nothing will be:
    /// devices are not held back for a disk.
    pub(super) fn unkept(&mut self, now: Now, record: RecordId) {
        let begun = self.ledger.change.as_ref().is_none_or(Change::must_end);
        if self.restoring.keeping == Some(record) && !begun {
            self.restoring.keeping = None;
            self.abandon(now, "what the ports carry could not be written to the ledger".to_owned());
        }
    }

    /// Whether the driver goes next although it was not to go when the change began.
    pub(super) fn keeps_late(&self) -> bool {
        self.keeps_for().is_some() && self.plan.steps.first().is_some_and(takes_driver)
    }

    /// The change that takes the driver away, unless it is known what the ports carried. What an earlier
    /// change has kept and not put back counts before what is there now.
    fn keeps_for(&self) -> Option<u64> {
        let change = self.ledger.change.as_ref()?;
        let known = self.ledger.network.as_ref().is_some_and(|kept| {
            kept.boot == self.boot && (kept.change != change.number || change.touched)
        });
        (self.plan.takes == Takes::Driver && !known).then_some(change.number)
    }

    /// Whether the last look went as far as the network.
    fn saw_network(&self) -> bool {
        match self.looked_depth {
            Depth::Network | Depth::Users => true,
            Depth::Clocks | Depth::Modules | Depth::Usual => false,
        }
    }

    /// What is to be put back in this boot.
    fn kept(&self) -> Option<&Kept> {
        let kept = self.ledger.network.as_ref().filter(|_| self.ledger.differences.is_none())?;
        (kept.boot.is_some() && kept.boot == self.boot).then_some(kept)
    }

    /// Whether drivers are as they shall be and what they took with them is not back. So long a change
    /// waits, for a look that goes so far, or for what comes by itself. Outside of a change it is enough
    /// that the ports have their driver: whatever else is wanted may never come.
    pub(super) fn is_restoring(&self) -> bool {
        if self.kept().is_none() || self.hands_off() {
            return false;
        }
        let Some(change) = &self.ledger.change else {
            return !self.takes_driver_soon() && self.has_driver();
        };
        let moves = |step: &Step| {
            matches!(
                step,
                Step::LoadModule { .. } | Step::UnloadModule { .. } | Step::BindDriver { .. }
            )
        };
        let settled = self.plan.takes == Takes::Nothing && !self.plan.waiting;
        change.touched && settled && !self.plan.steps.iter().any(moves)
    }

    /// Whether a change is about to begin that takes the driver again.
    fn takes_driver_soon(&self) -> bool {
        self.plan.takes == Takes::Driver
            && self.plan.blockers.is_empty()
            && !self.is_given_up()
            && !self.is_frozen()
            && self.ledger_health == LedgerHealth::Available
    }

    /// Whether the driver of the ports is there, and has every port it will have.
    fn has_driver(&self) -> bool {
        let Some(snapshot) = &self.snapshot else { return false };
        let live = snapshot.module("sfc").known().is_some_and(|sfc| sfc.state == ModuleState::Live);
        let binds = |step: &Step| {
            let going_on = || self.failure(step).is_none_or(|failure| self.retrying(failure));
            matches!(step, Step::BindDriver { .. }) && going_on()
        };
        let frozen = self.is_frozen() || self.ledger_health != LedgerHealth::Available;
        live && (frozen || !self.plan.steps.iter().any(binds))
    }

    /// Whether the next step ends what a change began, after that change: no hold, no stop and no ledger
    /// that cannot be written keeps it back.
    pub(super) fn ends_change(&self) -> bool {
        self.plan.steps.first().is_some_and(|step| self.is_owed(step))
    }

    /// Whether a step gives back what an earlier change took.
    pub(super) fn is_owed(&self, step: &Step) -> bool {
        let goes_on = || self.failure(step).is_none_or(|failure| self.retrying(failure));
        let renames = || matches!(step, Step::Rename(_)) && goes_on() && self.is_restoring();
        let comes_back = || self.resumes(step) && goes_on();
        let owed = step.is_best_effort() || renames() || comes_back();
        self.ledger.change.is_none() && owed
    }

    /// Plans the next of what puts the network back.
    pub(super) fn restore_network(&mut self, snapshot: &Snapshot) {
        let looked_at = self.restoring.looked_at;
        if !self.is_restoring() {
            // The driver goes again: whoever waits begins anew when it has come.
            let keeping = self.restoring.keeping;
            self.restoring = Restoring { looked_at, keeping, ..Restoring::default() };
            return;
        }
        // Outside of a change it goes before what may have failed, or never begins.
        let first = self.ledger.change.is_none().then_some(0);
        // Names first; but one that cannot be had is not waited for.
        let renames = |step: &Step| matches!(step, Step::Rename(_));
        let rename = self.plan.steps.iter().position(renames);
        let failed = rename.and_then(|at| self.failure(self.plan.steps.get(at)?));
        if rename.is_some() && failed.is_none_or(|failure| self.retrying(failure)) {
            if let Some((from, to)) = rename.zip(first) {
                let step = self.plan.steps.remove(from);
                self.plan.steps.insert(to.min(from), step);
            }
            return;
        }
        let at = first.or(rename).unwrap_or(self.plan.steps.len());
        if let Some(step) = self.next_to_restore(snapshot) {
            self.plan.steps.insert(at, step);
        }
    }

    /// A name that could not be given while a driver is replaced is not waited for: the change ends
    /// without it, and what is said of names tells.
    pub(super) fn drop_lost_names(&mut self) {
        let is_lost = |step: &Step| {
            let lost = |failure| !self.retrying(failure);
            self.is_name(step) && self.failure(step).is_some_and(lost)
        };
        let lost: Vec<_> = self.plan.steps.iter().map(is_lost).collect();
        if self.ledger.change.is_some() {
            let mut lost = lost.into_iter();
            self.plan.steps.retain(|_| !lost.next().unwrap_or(false));
        }
    }

    /// The next step that puts the network back; none while something is still to come by itself, and
    /// when all is done: then that is noted.
    fn next_to_restore(&mut self, snapshot: &Snapshot) -> Option<Step> {
        let kept = self.kept().cloned()?;
        if !self.saw_network() {
            return None;
        }
        let now = self.restoring.looked_at;
        let since = *self.restoring.since.get_or_insert_with(|| {
            self.restoring.rounds_since = now;
            now
        });
        let waited = now.since(since);
        let Some(seen) = snapshot.network.known() else {
            if waited >= ARRIVAL {
                let why = snapshot.network.why_not().unwrap_or("the look did not tell");
                self.restored(vec![unreadable(why)]);
            }
            return None;
        };
        if waited < ARRIVAL && network::awaited(&kept.network, snapshot) {
            return None;
        }
        let late = waited >= OWNERS;
        let left = network::handed_back(&kept, seen, now);
        let owned = !late && !left.is_empty();
        if std::mem::replace(&mut self.restoring.owned, owned) && !owned {
            (self.restoring.rounds, self.restoring.rounds_since) = (0, now);
        }
        let due = ROUNDS.get(self.restoring.rounds).copied();
        let is_due = due.is_some_and(|due| now.since(self.restoring.rounds_since) >= due);
        let patience = if late { Patience::Nobody } else { Patience::Owners };
        let mut deeds = network::gaps(&kept, seen, now, patience);
        if !deeds.is_empty() && is_due {
            return Some(Step::RestoreNetwork(deeds));
        }
        if owned {
            let mut left = left.into_iter().filter(|_| waited >= UNASKED);
            let unasked = left.find(|(name, _)| !self.restoring.asked.contains(name));
            return unasked.map(|(interface, owner)| Step::HandBack { interface, owner });
        }
        // Owners are done, and leave out what is not theirs: a bond's former address, say.
        if deeds.is_empty() {
            deeds = network::gaps(&kept, seen, now, Patience::Nobody);
        }
        if !deeds.is_empty() && due.is_some() {
            return is_due.then_some(Step::RestoreNetwork(deeds));
        }
        self.restored(network::differences(&kept, seen, now));
        None
    }

    fn restored(&mut self, differences: Vec<String>) {
        let looked_at = self.restoring.looked_at;
        self.restoring = Restoring { looked_at, ..Restoring::default() };
        self.record(vec![Entry::NetworkRestored { differences }], None);
    }

    /// Looks again for what is still to come.
    pub(super) fn look_for_network(&mut self, now: Now) {
        if self.saw_network() { self.look_within(now, PACE) } else { self.look() }
    }

    /// Outside of a change nothing else brings the next look nearer. What was kept in another boot is
    /// forgotten: it went with that.
    pub(super) fn go_on_restoring(&mut self, now: Now) {
        let of_now = |kept: &Kept| kept.boot.is_some() && kept.boot == self.boot;
        let change = self.ledger.change.is_some();
        let former = self.ledger.network.as_ref().is_some_and(|kept| !of_now(kept));
        if former && self.boot.is_some() && !change {
            return self.restored(Vec::new());
        }
        if !change && self.is_restoring() && !self.ends_change() {
            self.look_for_network(now);
        }
    }

    /// A step that only puts back was tried.
    pub(super) fn tried(&mut self, step: Step) {
        // What could not be done shows as a difference; why, in the log of whoever tried.
        if let Step::HandBack { interface, .. } = &step {
            self.restoring.asked.insert(interface.clone());
        } else {
            self.restoring.rounds = self.restoring.rounds.saturating_add(1);
        }
        self.record(vec![Entry::StepEnded { step, failure: None }], None);
        self.replan();
    }

    /// Whether what was taken away is back.
    pub(super) fn network_restored(&self) -> (Status, &'static str, String) {
        match (&self.ledger.network, &self.ledger.differences) {
            (Some(_), None) => {
                (Status::False, "UnderWay", "what the driver took with it is put back".to_owned())
            }
            (None, None) => (Status::Unknown, "NotNeeded", "no driver was replaced".to_owned()),
            (_, Some(left)) if left.is_empty() => (Status::True, "Restored", String::new()),
            (_, Some(left)) => (Status::False, "Differs", left.join("; ")),
        }
    }
}

/// Without a look at the network nothing is kept.
fn unreadable(why: &str) -> String {
    format!("{CARRIED} cannot be read: {why}")
}

/// Whether a step takes the ports' driver away.
fn takes_driver(step: &Step) -> bool {
    matches!(step, Step::UnloadModule { module } if module.as_str() == "sfc")
}
