//! Clocks as outsiders see them, and their conditions.

use std::collections::BTreeMap;

use super::super::Reconciler;
use super::SYSTEM;
use crate::blocker::{Blocked, Blocker};
use crate::clock::picture::{ClockPicture, ClocksPicture};
use crate::clock::verdict::Standing;
use crate::condition::Status;
use crate::config::ClockMode;
use crate::inventory::Snapshot;

impl Reconciler {
    /// What is published of clocks.
    pub(in super::super) fn show_clocks(&self, snapshot: &Snapshot) -> ClocksPicture {
        let seen = snapshot.clocks.known();
        let clocks = self.clocks.judged.iter().filter_map(|(name, judged)| {
            let interfaces = self.interfaces_of(name, snapshot);
            let (verdict, status, since) = (judged.verdict.clone(), judged.status, judged.since);
            let shown = ClockPicture::of(name, seen?, verdict, status, since, interfaces);
            Some((name.clone(), shown))
        });
        ClocksPicture {
            mode: self.config.settings.ptp.mode,
            clocks: clocks.collect::<BTreeMap<_, _>>(),
            conflicts: self.clocks.conflicts.clone(),
            supervision: self.clocks.supervision.clone(),
            handover: self.ledger.clock.handover.clone(),
            outages: self.ledger.clock.outages.clone(),
        }
    }

    /// Interfaces whose clock it is.
    fn interfaces_of(&self, name: &str, snapshot: &Snapshot) -> Vec<String> {
        let index = name.strip_prefix("ptp").and_then(|index| index.parse::<u32>().ok());
        let Some(index) = index else { return Vec::new() };
        let all = snapshot.interfaces.known().into_iter().flatten();
        let of = all.filter(|(_, interface)| interface.phc_index.known() == Some(&index));
        of.map(|(name, _)| name.to_string()).collect()
    }

    /// Whether the system clock is synchronised, by whom.
    pub(in super::super) fn clock_synchronised(&self) -> (Status, &'static str, String) {
        let Some(judged) = self.clocks.judged.get(SYSTEM) else {
            let told = &self.clocks.supervision;
            let reason = if self.ptp().mode == ClockMode::Off { "Off" } else { "NotSeen" };
            return (Status::Unknown, reason, told.message.clone());
        };
        let message = judged.verdict.message.clone();
        let reason = match (judged.status, judged.verdict.standing) {
            (Status::True, Standing::Good) => "Synchronised",
            // Kept over a look or two that say otherwise.
            (Status::True, _) => "Unsteady",
            (Status::False, _) if self.is_late() => "NotBackInTime",
            (Status::False, Standing::Good) => "Settling",
            (Status::False, Standing::Bad) => "NotSynchronised",
            (Status::False, Standing::Free) => "NobodySteers",
            (Status::False, Standing::Unknown) | (Status::Unknown, _) => "Unknown",
        };
        let message = match self.lost_for().filter(|_| judged.status == Status::False) {
            Some(lost) => {
                // No count of it: each would be another picture.
                let within = self.ptp().sync_within.0.as_secs();
                let late = if lost.as_secs() > within { "longer than" } else { "at most" };
                format!("{message}; lost, for {late} the {within} s of `sync-within` in [ptp]")
            }
            None => message,
        };
        (judged.status, reason, message)
    }

    /// Whether an outage lasts longer than it may.
    fn is_late(&self) -> bool {
        let within = self.ptp().sync_within.0;
        self.lost_for().is_some_and(|lost| lost > within)
    }

    /// Whether nobody fights over a clock.
    pub(in super::super) fn clock_undisputed(&self) -> (Status, &'static str, String) {
        if self.clocks.judged.is_empty() {
            return (Status::Unknown, "NotSeen", String::new());
        }
        match self.clocks.conflicts.as_slice() {
            [] => (Status::True, "Undisputed", String::new()),
            [first, ..] => {
                let all = self.clocks.conflicts.iter();
                let all: Vec<_> = all.map(|one| format!("{}: {}", one.message, one.fix)).collect();
                (Status::False, first.kind.reason(), all.join("; "))
            }
        }
    }

    /// Whether sfptpd runs as wanted.
    pub(in super::super) fn clock_supervised(&self) -> (Status, &str, String) {
        let told = &self.clocks.supervision;
        let fix = Some(&told.fix).filter(|fix| !fix.is_empty());
        let message =
            fix.map_or_else(|| told.message.clone(), |fix| format!("{}: {fix}", told.message));
        let reason = if told.reason.is_empty() { "NotSeen" } else { &told.reason };
        (told.status, reason, message)
    }

    /// What keeps clocks from being as the configuration asks: said as other blockers are, and in the way
    /// of nothing else.
    pub(in super::super) fn remark_on_clocks(&mut self) {
        let told = &self.clocks.supervision;
        let passes = ["Starting", "Restarting", "Stopped", "Hung", "Reconfigured", "HandingOver"];
        if told.status == Status::False && !passes.contains(&told.reason.as_str()) {
            let blocker = Blocker::Clock { why: told.message.clone(), fix: told.fix.clone() };
            self.plan.remarks.push(Blocked { subject: "clock".to_owned(), blocker });
        }
    }
}
