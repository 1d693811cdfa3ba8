//! Network state over a change of drivers: kept before, put back after. It is put back at the end of the
//! change, whichever way it goes, and what cannot be is told; a driver that works is not taken back for it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Reconciler;
use crate::condition::Status;
use crate::inventory::Snapshot;
use crate::ledger::Entry;
use crate::names::InterfaceName;
use crate::network::{self, Kept, Owner, Patience};
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
/// How often gaps are filled: some only show when others are filled, such as a route without its address.
const ROUNDS: u32 = 3;
/// Pace of looks meanwhile; interfaces tell of themselves, udev's end does not.
const PACE: Duration = Duration::from_millis(100);

/// How far what was kept is put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Restoring {
    /// When the last look ended.
    pub(super) looked_at: Moment,
    /// When ports were first looked at after their driver came.
    since: Option<Moment>,
    /// Owners that were asked.
    asked: BTreeSet<InterfaceName>,
    /// How often gaps were filled: while owners are waited for, or after that.
    rounds: u32,
    late: bool,
    /// Something is still to come by itself.
    waits: bool,
}

impl Reconciler {
    /// What the ports carry, before their driver is taken away. What an earlier change has kept and not
    /// put back counts before what is there now.
    pub(super) fn keep_network(&mut self, now: Now) -> Option<Entry> {
        let takes = self.plan.takes == Takes::Driver && self.kept().is_none();
        let snapshot = self.snapshot.clone().filter(|_| takes)?;
        let network = snapshot.network.known()?;
        let affected = network::affected(network, &network::driven(&snapshot));
        self.restoring = Restoring::default();
        let kept = Kept { network: affected.network, at: now.boot, boot: self.boot.clone() };
        Some(Entry::NetworkKept(kept))
    }

    /// What is to be put back in this boot.
    fn kept(&self) -> Option<&Kept> {
        let kept = self.ledger.network.as_ref()?;
        (kept.boot.is_some() && kept.boot == self.boot).then_some(kept)
    }

    /// Whether drivers are as they shall be and what they took with them is not back.
    pub(super) fn is_restoring(&self) -> bool {
        let moves = |step: &Step| {
            matches!(
                step,
                Step::LoadModule { .. } | Step::UnloadModule { .. } | Step::BindDriver { .. }
            )
        };
        let settled = self.plan.takes == Takes::Nothing && !self.plan.waiting;
        let replaced = self.ledger.change.as_ref().is_none_or(|change| change.touched);
        self.kept().is_some() && settled && replaced && !self.plan.steps.iter().any(moves)
    }

    /// Plans the next of what puts the network back.
    pub(super) fn restore_network(&mut self, snapshot: &Snapshot) {
        self.restoring.waits = false;
        if !self.is_restoring()
            || self.plan.steps.iter().any(|step| matches!(step, Step::Rename(_)))
        {
            return;
        }
        let Some(kept) = self.kept().cloned() else { return };
        // The next look goes that far.
        let Some(seen) = snapshot.network.known() else { return };
        let now = self.restoring.looked_at;
        let since = *self.restoring.since.get_or_insert(now);
        let waited = now.since(since);
        if waited < ARRIVAL && network::awaited(&kept.network, snapshot) {
            self.restoring.waits = true;
            return;
        }
        let late = waited >= OWNERS;
        if late && !self.restoring.late {
            (self.restoring.late, self.restoring.rounds) = (true, 0);
        }
        let patience = if late { Patience::Nobody } else { Patience::Owners };
        let deeds = network::gaps(&kept, seen, now, patience);
        if !deeds.is_empty() && self.restoring.rounds < ROUNDS {
            return self.plan.steps.push(Step::RestoreNetwork(deeds));
        }
        let left = network::handed_back(&kept, seen);
        if !late && !left.is_empty() {
            let unasked = left.difference(&self.restoring.asked).next().cloned();
            let due = unasked.filter(|_| waited >= UNASKED);
            let step = due.and_then(|interface| {
                let owner = kept.network.links.get(&interface)?.owner.clone();
                (owner != Owner::Nobody).then_some(Step::HandBack { interface, owner })
            });
            self.restoring.waits = step.is_none();
            return self.plan.steps.extend(step);
        }
        let differences = network::differences(&kept, seen);
        self.restoring = Restoring { looked_at: now, ..Restoring::default() };
        self.record(vec![Entry::NetworkRestored { differences }], None);
    }

    /// Whether a change has to wait for the network: for a look that goes so far, or for what comes by
    /// itself.
    pub(super) fn awaits_network(&self) -> bool {
        self.is_restoring()
    }

    /// Looks again for what is still to come.
    pub(super) fn look_for_network(&mut self, now: Now) {
        let seen =
            self.snapshot.as_ref().is_some_and(|snapshot| snapshot.network.known().is_some());
        if seen { self.look_within(now, PACE) } else { self.look() }
    }

    /// Outside of a change nothing else brings the next look nearer. What was kept in another boot is
    /// forgotten: it went with that.
    pub(super) fn go_on_restoring(&mut self, now: Now) {
        if self.ledger.network.is_some() && self.boot.is_some() && self.kept().is_none() {
            let differences = Vec::new();
            return self.record(vec![Entry::NetworkRestored { differences }], None);
        }
        if self.ledger.change.is_none() && self.is_restoring() && self.plan.steps.is_empty() {
            self.look_for_network(now);
        }
    }

    /// A step that only puts back was tried.
    pub(super) fn tried(&mut self, step: Step) {
        // What could not be done shows as a difference; why, in the log of whoever tried.
        if let Step::HandBack { interface, .. } = &step {
            self.restoring.asked.insert(interface.clone());
        } else {
            self.restoring.rounds += 1;
        }
        self.record(vec![Entry::StepEnded { step, failure: None }], None);
        self.replan();
    }

    /// Whether what was taken away is back.
    pub(super) fn network_restored(&self) -> (Status, &'static str, String) {
        match (&self.ledger.network, &self.ledger.differences) {
            (Some(_), _) => {
                (Status::False, "UnderWay", "what the driver took with it is put back".to_owned())
            }
            (None, None) => (Status::Unknown, "NotNeeded", "no driver was replaced".to_owned()),
            (None, Some(left)) if left.is_empty() => (Status::True, "Restored", String::new()),
            (None, Some(left)) => (Status::False, "Differs", left.join("; ")),
        }
    }
}
