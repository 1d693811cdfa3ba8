//! A node whose last AF_XDP choice is gone: what onloadd loaded for it goes too. A registration ends
//! only with `sfc_resource`, so that the stack is unloaded, and only where nothing else wants it.

use super::Reconciler;
use crate::inventory::{Depth, Snapshot};
use crate::others::Manager;
use crate::plan::{self, holders};
use crate::release::IN_TREE;
use crate::step::Step;

/// Those that are unloaded, users before what they use.
const LEAVING: [&str; 3] = ["onload", "sfc_char", "sfc_resource"];

impl Reconciler {
    /// Plans that, where nothing else is planned and a look has searched for users. There is no way
    /// back and none is needed: no port serves, so that no device is there to be lent.
    pub(super) fn leave_af_xdp(&mut self, snapshot: &Snapshot) {
        if !self.leaves(snapshot) {
            self.leaving = false;
            return;
        }
        if self.looked_depth < Depth::Users {
            self.plan.waiting = holders::is_idle(snapshot);
            // From here on each look searches; the first comes at once.
            if self.plan.waiting && !std::mem::replace(&mut self.leaving, true) {
                self.look();
            }
            return;
        }
        if !holders::is_idle(snapshot) {
            return;
        }
        let served = snapshot.driver.control_plane.known().is_some_and(|pids| !pids.is_empty());
        let loaded = LEAVING.iter().filter(|name| snapshot.module(name).known().is_some());
        let unloads = loaded.filter_map(|name| name.parse().ok());
        let unloads = unloads.map(|module| Step::UnloadModule { module });
        self.plan.steps =
            served.then_some(Step::StopControlPlane).into_iter().chain(unloads).collect();
    }

    /// Whether nothing but a registration of onloadd's own is left of the last choice.
    fn leaves(&self, snapshot: &Snapshot) -> bool {
        let asked = self.target().is_some_and(|release| release.as_str() != IN_TREE);
        let busy = self.ledger.change.is_some() || self.plan.waiting;
        let open = !self.plan.steps.is_empty() || !self.plan.blockers.is_empty();
        if !asked || busy || open || !self.choices().is_empty() {
            return false;
        }
        let ports = plan::drivers(snapshot, &self.hardware, &self.chosen(snapshot));
        let stranger = self.not_adopted(snapshot, Manager::bars_changes).next().is_some();
        let lent = !self.ledger.allocations.is_empty();
        ports.is_absent() && !stranger && !lent && self.all_are_ours(snapshot)
    }

    /// Whether somebody is registered, and all of them by onloadd in this boot.
    fn all_are_ours(&self, snapshot: &Snapshot) -> bool {
        let chosen = self.chosen(snapshot);
        let ours = |name| {
            let boot = self.ledger.af_xdp.get(name).and_then(Option::as_ref);
            boot.is_some() && boot == self.boot.as_ref()
        };
        !chosen.unasked.is_empty() && chosen.unasked.iter().all(ours)
    }
}
