//! What speaks against carrying a plan out: files the kernel would not take, users, interfaces that
//! carry something, an operator who only wants to hear of it.

use std::collections::BTreeSet;

use super::Reconciler;
use super::network::CARRIED;
use crate::allocation;
use crate::blocker::Blocker;
use crate::change::{Change, Holders, Manner, Origin, Past};
use crate::config::Drift;
use crate::inventory::{Depth, STACK, Snapshot};
use crate::ledger::Entry;
use crate::names::ReleaseName;
use crate::plan::Takes;
use crate::plan::holders::{self, Holder, Users};
use crate::plan::standing::{self, Standing};
use crate::release::{self, preflight};
use crate::step::Step;

/// Repairs in a row, within so long, after which somebody else is at the same modules.
const MOST_REPAIRS: usize = 3;
const REPAIRS_WITHIN_MS: u64 = 10 * 60 * 1000;
/// A part of the machine, in words.
const USERS: &str = "who uses the stack";

impl Reconciler {
    /// How far the next look must go.
    pub(super) fn depth(&self) -> Depth {
        // Once something was taken away the kernel says who is in the way, and time counts.
        let open = self.ledger.change.as_ref().filter(|change| change.confirm_by.is_none());
        let begun = open.is_some_and(Change::must_end);
        match (begun, open.is_some() || self.needs_change()) {
            (true, _) if self.is_restoring() || self.keeps_late() => Depth::Network,
            (true, _) => Depth::Modules,
            (false, _) if self.is_restoring() => Depth::Users,
            (false, true) => Depth::Users,
            (false, false) => Depth::Usual,
        }
    }

    /// Whether what is planned is more than loading what is not there: it takes something away, or
    /// brings in a release that may not come up.
    pub(super) fn needs_change(&self) -> bool {
        let imported = |step: &Step| match step {
            Step::LoadModule { release, .. } => release::is_imported(release),
            Step::UnloadModule { .. }
            | Step::StopControlPlane
            | Step::StopUnit { .. }
            | Step::StartUnit { .. }
            | Step::RestartUnit { .. }
            | Step::ConfigureClock(_)
            | Step::LeaveClock
            | Step::BindDriver { .. }
            | Step::RegisterAfXdp { .. }
            | Step::WriteLoader(_)
            | Step::RestoreServer { .. }
            | Step::PlaceUserland { .. }
            | Step::PinNames(_)
            | Step::Rename(_)
            | Step::HandBack { .. }
            | Step::RestoreNetwork(_) => false,
        };
        self.plan.takes > Takes::Nothing || self.plan.steps.iter().any(imported)
    }

    /// What speaks against carrying the plan out, added to it.
    pub(super) fn judge_plan(&mut self, snapshot: &Snapshot) {
        self.remember_loads(snapshot);
        let Some(target) = self.target() else { return };
        let turned = self.ledger.change.as_ref().is_some_and(|change| change.turned.is_some());
        if self.plan.steps.is_empty() || turned {
            return;
        }
        if self.ledger.change.is_none() && self.drifted(&target) {
            let steps = self.plan.steps.drain(..).map(|step| step.to_string()).collect();
            self.plan.takes = Takes::Nothing;
            return self.plan.block("modules", Blocker::Drifted { steps });
        }
        if let Some(others) = self.others_in_the_way(snapshot) {
            self.plan.steps.clear();
            self.plan.takes = Takes::Nothing;
            self.plan.blockers.extend(others);
            return;
        }
        let known = snapshot.releases.known();
        if release::is_imported(&target) && known.is_some_and(|all| !all.contains_key(&target)) {
            let by = self.intent().by;
            let release = target.clone();
            return self.refuse_plan(&target, Blocker::ReleaseMissing { release, by });
        }
        if let Some(kernel) = self.kernel.clone().filter(|_| self.ledger.change.is_none()) {
            let objections = preflight::check(&target, &kernel, snapshot);
            if !objections.is_empty() {
                let release = target.clone();
                let blocker = Blocker::Preflight { release, kernel, objections };
                return self.refuse_plan(&target, blocker);
            }
        }
        if self.ledger.change.is_none() && self.plan.takes > Takes::Nothing {
            self.judge_holders(snapshot, target);
        }
    }

    fn refuse_plan(&mut self, target: &ReleaseName, blocker: Blocker) {
        self.plan.steps.clear();
        self.plan.takes = Takes::Nothing;
        self.plan.block(target.as_str(), blocker);
    }

    /// Names who would lose something, before anything is touched.
    fn judge_holders(&mut self, snapshot: &Snapshot, release: ReleaseName) {
        match self.holders(snapshot) {
            // The next look searches.
            Users::NotSought if self.looked_depth < Depth::Users => {}
            Users::NotSought => {
                let why = "the look did not tell".to_owned();
                self.plan.block("node", Blocker::Unreadable { part: USERS.to_owned(), why });
            }
            Users::Unreadable(why) => {
                self.plan.block("node", Blocker::Unreadable { part: USERS.to_owned(), why });
            }
            Users::Known(holders) if holders.is_empty() => {}
            Users::Known(holders) => match self.stoppable(&holders) {
                Some(units) => {
                    let stops = units.into_iter().map(|unit| Step::StopUnit { unit });
                    self.plan.steps = stops.chain(self.plan.steps.drain(..)).collect();
                }
                None => {
                    let by = holders.into_iter().map(|holder| holder.who).collect();
                    self.plan.block("onload", Blocker::InUse { release, by });
                }
            },
        }
        // What cannot be seen is not put back, and no confirmation mends that.
        let unseen = snapshot.network.why_not().filter(|_| self.plan.takes == Takes::Driver);
        if let Some(why) = unseen.map(str::to_owned) {
            self.plan.block("node", Blocker::Unreadable { part: CARRIED.to_owned(), why });
        }
        let interfaces = self.protected(snapshot, self.manner());
        if !interfaces.is_empty() {
            self.plan.block("node", Blocker::Protected { interfaces });
        }
    }

    /// What keeps the driver from being taken away unless it is confirmed.
    pub(super) fn protected(&self, snapshot: &Snapshot, manner: Manner) -> Vec<String> {
        // A look that went less far does not tell what would be put back; the next one does.
        let seen = self.looked_depth >= Depth::Users;
        if self.plan.takes < Takes::Driver || manner.confirm_within.is_some() || !seen {
            return Vec::new();
        }
        let own = self.clock_unit(snapshot);
        let protected = holders::protected(snapshot, own.as_deref()).into_iter();
        protected.map(|one| format!("{}: {}", one.interface, one.why)).collect()
    }

    /// How the order under way wants it. Without one, nobody is put out.
    pub(super) fn manner(&self) -> Manner {
        if self.running_job().is_some() { self.changing.manner } else { Manner::default() }
    }

    /// Everybody who uses the stack, or has a device of it. Of what the kubelet has ceased to list the
    /// use alone counts.
    pub(super) fn holders(&self, snapshot: &Snapshot) -> Users {
        let (clocks, other) = (self.plan.takes == Takes::Driver, self.brings_another());
        let mut users = holders::users(snapshot, clocks, other);
        // At boot nothing runs yet, and what the kubelet had given before is given again. That is so
        // for the whole of a change, whatever it has loaded by now.
        let origin =
            self.ledger.change.as_ref().map_or_else(|| self.origin(), |change| change.origin);
        if let Users::Known(holders) = &mut users {
            // sfptpd is stopped for it, and started again after it.
            let own = self.clock_unit(snapshot).filter(|_| clocks);
            holders.retain(|holder| holder.unit.is_none() || holder.unit != own);
            // By their numbers: a clock may stand anywhere after a boot.
            let before = self.before_this_boot();
            let counts = |id| origin != Origin::Boot || id > before;
            let lent = self.ledger.allocations.values();
            let lent = lent.filter(|one| counts(one.id) && !self.is_unlisted(one));
            let lent = lent.map(|one| Holder {
                who: format!(
                    "{} has {} ({}){}",
                    one.holder,
                    one.device,
                    one.id,
                    self.unlisted(one)
                ),
                unit: match &one.holder {
                    allocation::Holder::Unit(unit) => Some(unit.name.clone()),
                    allocation::Holder::Container
                    | allocation::Holder::Pod(_)
                    | allocation::Holder::Process(_)
                    | allocation::Holder::User { .. } => None,
                },
            });
            holders.extend(lent);
        }
        users
    }

    /// Whether another release comes than is loaded, and not the same one back.
    fn brings_another(&self) -> bool {
        let loaded = self.loaded_release();
        loaded.is_some() && loaded != self.target()
    }

    /// The units to stop, where that is ordered and ends every use.
    fn stoppable(&self, holders: &[Holder]) -> Option<BTreeSet<String>> {
        let ordered = self.manner().holders == Holders::Stop;
        holders.iter().map(|holder| holder.unit.clone()).collect::<Option<_>>().filter(|_| ordered)
    }

    /// Why a change would be made now.
    pub(super) fn origin(&self) -> Origin {
        let ordered = self.changing.origin.filter(|_| self.running_job().is_some());
        ordered.unwrap_or_else(|| {
            let boot = self.boot.as_ref();
            let seen =
                self.ledger.loaded.values().any(|(_, of)| of.as_ref() == boot && of.is_some());
            match self.changing.origin {
                Some(Origin::Idle) => Origin::Idle,
                _ if seen => Origin::Drift,
                _ => Origin::Boot,
            }
        })
    }

    /// Whether the release was there in this boot, somebody changed that, and it is only reported.
    fn drifted(&self, target: &ReleaseName) -> bool {
        let was_there = self.ledger.loaded.values().any(|(release, boot)| {
            release == target && boot.is_some() && boot.as_ref() == self.boot.as_ref()
        });
        was_there && self.is_barred(target)
    }

    /// Whether what somebody has changed is only reported, for want of an order.
    pub(super) fn is_barred(&self, target: &ReleaseName) -> bool {
        let policy = self.adopted().map(|modules| modules.drift);
        let barred = policy == Some(Drift::Report) || self.is_fought_over(target);
        barred && self.running_job().is_none()
    }

    /// Whether somebody has undone the repair again and again in this boot: to go on would take the
    /// network down for as long as they do.
    fn is_fought_over(&self, target: &ReleaseName) -> bool {
        let repair = |past: &&Past| {
            past.change.origin == Origin::Drift
                && past.change.to == *target
                && past.change.boot == self.boot
        };
        let last: Vec<_> =
            self.ledger.past.iter().rev().take_while(repair).take(MOST_REPAIRS).collect();
        match (last.first(), last.last()) {
            (Some(newest), Some(oldest)) if last.len() == MOST_REPAIRS => {
                newest.ended.0.saturating_sub(oldest.ended.0) < REPAIRS_WITHIN_MS
            }
            _ => false,
        }
    }

    /// Notes which release the modules are from once everything is as wanted: not every module
    /// tells, and what was there once can be missed.
    fn remember_loads(&mut self, snapshot: &Snapshot) {
        let as_wanted = self.plan.steps.is_empty() && !self.plan.waiting;
        let Some(target) = self.target().filter(|_| as_wanted && self.plan.blockers.is_empty())
        else {
            return;
        };
        let boot = self.boot.clone();
        let right = STACK.iter().filter(|name| {
            standing::of(name, &target, snapshot, &self.ledger.loaded) == Standing::Right
        });
        let entries: Vec<_> = right
            .filter_map(|name| name.parse().ok())
            .filter(|name| self.ledger.loaded.get(name) != Some(&(target.clone(), boot.clone())))
            .map(|module| Entry::Loaded { module, release: target.clone(), boot: boot.clone() })
            .collect();
        if !entries.is_empty() {
            self.record(entries, None);
        }
    }
}
