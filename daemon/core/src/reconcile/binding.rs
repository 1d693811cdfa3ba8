//! Ports that somebody has taken from their driver: they are given back to it.

use super::Reconciler;
use crate::hardware::Acceleration;
use crate::inventory::{Port, Snapshot};
use crate::names::PciAddress;
use crate::plan::Takes;
use crate::plan::standing::{self, Standing};
use crate::reading::Reading;
use crate::release::IN_TREE;
use crate::step::Step;

impl Reconciler {
    /// Plans that, before the stack is loaded, which looks for its ports but once. While a driver is
    /// being replaced its load binds them, and what it does not bind is judged there.
    pub(super) fn bind_ports(&mut self, snapshot: &Snapshot) {
        let busy = self.ledger.change.is_some()
            || self.plan.waiting
            || self.plan.takes == Takes::Driver
            || !self.plan.blockers.is_empty();
        if busy {
            return;
        }
        let ports = snapshot.ports.known().into_iter().flatten();
        let binds: Vec<_> = ports
            .filter_map(|(address, port)| self.driver_to_bind(*address, port, snapshot))
            .collect();
        let at = self.plan.steps.iter().position(|step| !step.takes_away());
        let at = at.unwrap_or(self.plan.steps.len());
        self.plan.steps.splice(at..at, binds);
    }

    /// The step for a port that has no driver although the right one is there. One that is meant for
    /// another driver, as those are that virtual machines get, is left alone.
    fn driver_to_bind(
        &self,
        address: PciAddress,
        port: &Port,
        snapshot: &Snapshot,
    ) -> Option<Step> {
        let target = self.target()?;
        let family = self.hardware.family(port).filter(|one| one.onload != Acceleration::No)?;
        let driver = &family.driver;
        let meant = match &port.driver_override {
            Reading::Known(other) => other == driver,
            Reading::Absent => true,
            Reading::Unreadable(_) => false,
        };
        let knows_it = target.as_str() != IN_TREE || family.in_tree;
        let is_there =
            standing::of(driver, &target, snapshot, &self.ledger.loaded) == Standing::Right;
        (port.driver.is_absent() && meant && knows_it && is_there)
            .then(|| Step::BindDriver { port: address, driver: driver.clone() })
    }
}
