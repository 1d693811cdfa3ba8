//! Units that were stopped and are to run again: those that had a clock when its driver went, and those that
//! have the system clock back.

use super::super::Reconciler;
use crate::clock::Clocks;
use crate::clock::picture::{Handover, Keeper};
use crate::clock::unit::Active;
use crate::config::ClockMode;
use crate::inventory::Snapshot;
use crate::ledger::{ClockEntry, Entry};
use crate::plan::Takes;
use crate::step::Step;

impl Reconciler {
    /// Starts again what was stopped for a change of drivers, whosever it is.
    pub(super) fn resume(&self, clocks: &Clocks, steps: &mut Vec<Step>) {
        if self.is_between_drivers() || self.is_driver_going() {
            return;
        }
        let units = clocks.units.known();
        let is_there = |unit: &&String| {
            let seen = units.and_then(|units| units.get(*unit));
            let stopped = seen.is_some_and(|one| one.installed && one.active == Active::Inactive);
            stopped && !self.is_taken(unit) && !self.runs_sfptpd(unit)
        };
        let paused = self.ledger.clock.paused.iter().filter(is_there);
        steps.extend(paused.map(|unit| Step::StartUnit { unit: unit.clone() }));
    }

    /// Notes units that run again, or never will, so that they are started no more.
    pub(in super::super) fn note_resumed(&mut self, snapshot: &Snapshot) {
        let units = snapshot.clocks.known().and_then(|clocks| clocks.units.known());
        let Some(units) = units.filter(|_| !self.is_between_drivers()) else { return };
        // One that is about to be stopped still runs.
        let going = self.is_driver_going();
        let over = |name: &&String| match units.get(*name).filter(|unit| unit.installed) {
            None => true,
            Some(_) if self.is_taken(name) => true,
            Some(unit) => matches!(unit.active, Active::Active | Active::Failed) && !going,
        };
        let over = self.ledger.clock.paused.iter().filter(over).cloned();
        let over: Vec<_> = over.map(|unit| Entry::Clock(ClockEntry::Resumed { unit })).collect();
        if !over.is_empty() {
            self.record(over, None);
        }
        self.note_returned(snapshot);
        self.note_renewed(snapshot);
    }

    /// The process that ran with a former configuration is gone.
    fn note_renewed(&mut self, snapshot: &Snapshot) {
        let Some(outdated) = self.ledger.clock.outdated else { return };
        let unit = snapshot.clocks.known().and_then(|clocks| self.supervised(clocks));
        if unit.is_some_and(|(_, unit)| unit.main_pid != Some(outdated)) {
            self.record(vec![Entry::Clock(ClockEntry::Outdated { process: None })], None);
        }
    }

    /// Who has the clock back is left alone from then on.
    fn note_returned(&mut self, snapshot: &Snapshot) {
        let Some(clocks) = snapshot.clocks.known() else { return };
        let Some(units) = clocks.units.known() else { return };
        let handover = self.ledger.clock.handover.as_ref();
        let back = handover.filter(|one| one.to == Keeper::Former && !one.units.is_empty());
        let Some(handover) = back.cloned() else { return };
        let over = |name: &String| {
            units.get(name).is_none_or(|unit| {
                !unit.installed || matches!(unit.active, Active::Active | Active::Failed)
            })
        };
        let stopped = self
            .supervised(clocks)
            .is_none_or(|(_, unit)| matches!(unit.active, Active::Inactive | Active::Failed));
        if stopped && handover.units.iter().all(over) && self.clocks.order.is_none() {
            let handover = Handover { units: Vec::new(), ..handover };
            self.record(vec![Entry::Clock(ClockEntry::HandedOver(Some(handover)))], None);
        }
    }

    /// Whether a unit gave way to sfptpd by order.
    fn is_taken(&self, unit: &str) -> bool {
        let handover = self.ledger.clock.handover.as_ref();
        handover.is_some_and(|one| {
            one.to == Keeper::Sfptpd && one.units.iter().any(|taken| taken == unit)
        })
    }

    /// Whether it is sfptpd's, which is started by what is said of sfptpd.
    fn runs_sfptpd(&self, unit: &str) -> bool {
        let managed = self.ptp().mode == ClockMode::Manage;
        managed && self.candidates().iter().any(|one| one == unit)
    }

    /// What is written down before a step begins: a unit that steers a clock, and is stopped for a change
    /// of drivers, is started again after it, also where nothing else is done by then.
    pub(in super::super) fn to_resume(&self, step: &Step) -> Option<Entry> {
        let snapshot = self.snapshot.as_deref()?;
        let unit = match step {
            Step::StopUnit { unit } => unit,
            // Who runs with the former one is started anew, also after a kill in between.
            Step::ConfigureClock(_) | Step::LeaveClock => {
                let clocks = snapshot.clocks.known()?;
                let process = self.supervised(clocks)?.1.main_pid;
                return Some(Entry::Clock(ClockEntry::Outdated { process }));
            }
            _ => return None,
        };
        let goes = self.plan.takes == Takes::Driver && !self.is_taken(unit);
        let clocks = snapshot.clocks.known().filter(|_| goes)?;
        let mut daemons = clocks.daemons.known()?.values();
        let steers = daemons.any(|daemon| daemon.unit.as_ref() == Some(unit));
        let unit = unit.clone();
        steers.then_some(Entry::Clock(ClockEntry::Paused { unit }))
    }

    /// Whether a step starts again what was stopped for a change of drivers: that is owed, whatever an operator
    /// stops or holds.
    pub(in super::super) fn resumes(&self, step: &Step) -> bool {
        matches!(step, Step::StartUnit { unit } if self.ledger.clock.paused.contains(unit))
    }
}
