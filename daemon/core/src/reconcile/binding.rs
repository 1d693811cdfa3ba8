//! Ports that somebody has taken from their driver: they are given back to it, by the same policy as
//! what somebody has unloaded. Those that were meant for something else are left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Reconciler;
use crate::blocker::{Blocked, Blocker};
use crate::hardware::{Acceleration, FunctionKind};
use crate::inventory::{Port, Snapshot};
use crate::names::PciAddress;
use crate::plan::Takes;
use crate::plan::standing::{self, Standing};
use crate::reading::Reading;
use crate::release::IN_TREE;
use crate::step::Step;
use crate::time::Moment;

/// Times a port is given back, within so long, after which somebody else wants it: as for modules
/// (`judging.rs`).
const MOST: usize = 3;
const WITHIN: Duration = Duration::from_secs(10 * 60);

/// When each port was given back, or its interface renamed; no more than the last few times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Repairs(BTreeMap<PciAddress, Vec<Moment>>);

impl Repairs {
    pub(super) fn note(&mut self, port: PciAddress, now: Moment) {
        let times = self.0.entry(port).or_default();
        times.push(now);
        times.drain(..times.len().saturating_sub(MOST));
    }

    /// Whether somebody has taken the port again and again.
    pub(super) fn is_fought_over(&self, port: PciAddress) -> bool {
        self.0.get(&port).is_some_and(|times| match times[..] {
            [first, .., last] => times.len() == MOST && last.since(first) < WITHIN,
            [] | [_] => false,
        })
    }
}

impl Reconciler {
    /// Plans that, before the stack is loaded, which looks for its ports but once. While a driver is
    /// being replaced its load binds them, and what it does not bind is judged there. A port that its
    /// driver does not take is in nobody's way.
    pub(super) fn bind_ports(&mut self, snapshot: &Snapshot) {
        let busy = self.ledger.change.is_some()
            || self.plan.waiting
            || self.plan.takes == Takes::Driver
            || !self.plan.blockers.is_empty();
        let Some(target) = self.target().filter(|_| !busy) else { return };
        let ports = snapshot.ports.known().into_iter().flatten();
        let steps: Vec<_> = ports
            .filter_map(|(address, port)| {
                let driver = self.driver_to_bind(port, snapshot)?;
                Some((*address, Step::BindDriver { port: *address, driver }))
            })
            .collect();
        let reported = self.is_barred(&target) || self.is_managed_by_others(snapshot);
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (port, step) in steps {
            let failure = self.failure(&step);
            if let Some(failure) = failure.filter(|failure| !self.retrying(failure)) {
                let blocked = self.failed(&step, failure);
                self.plan.remarks.push(blocked);
            } else if reported || self.is_left_to_others(port) {
                let blocker = Blocker::Drifted { steps: vec![step.to_string()] };
                self.plan.remarks.push(Blocked { subject: step.subject(), blocker });
            } else if failure.is_some() {
                last.push(step);
            } else {
                first.push(step);
            }
        }
        let at = self.plan.steps.iter().position(|step| !step.takes_away());
        let at = at.unwrap_or(self.plan.steps.len());
        self.plan.steps.splice(at..at, first);
        self.plan.steps.extend(last);
    }

    /// A port was given back. An order settles a fight over it for the moment.
    pub(super) fn bound(&mut self, port: PciAddress, now: Moment) {
        if self.running_job().is_some() {
            self.binds.0.remove(&port);
        }
        self.binds.note(port, now);
    }

    fn is_left_to_others(&self, port: PciAddress) -> bool {
        self.binds.is_fought_over(port) && self.running_job().is_none()
    }

    /// The driver for a port that has none although it is loaded. A port is left alone that is kept
    /// for another driver, and a virtual function: virtual machines get those, and the kernel binds
    /// them by itself unless it is told not to (`sriov_drivers_autoprobe`).
    fn driver_to_bind(&self, port: &Port, snapshot: &Snapshot) -> Option<String> {
        let target = self.target()?;
        let family = self
            .hardware
            .family(port)
            .filter(|one| one.onload != Acceleration::No && one.function == FunctionKind::Pf)?;
        let driver = &family.driver;
        let meant = match &port.driver_override {
            Reading::Known(other) => other == driver,
            Reading::Absent => true,
            Reading::Unreadable(_) => false,
        };
        let knows_it = target.as_str() != IN_TREE || family.in_tree;
        let is_there =
            standing::of(driver, &target, snapshot, &self.ledger.loaded) == Standing::Right;
        (port.driver.is_absent() && meant && knows_it && is_there).then(|| driver.clone())
    }
}
