//! Names of ports as the reconciler keeps them: pinned before a driver is replaced, put right after.

use super::Reconciler;
use super::binding::Repairs;
use crate::blocker::{Blocked, Blocker};
use crate::change::Change;
use crate::condition::Status;
use crate::config::NamingPolicy;
use crate::inventory::Snapshot;
use crate::naming::{self, Renaming, Trouble};
use crate::plan::Takes;
use crate::step::Step;
use crate::time::Moment;

/// What is known of names beside what a look shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Naming {
    /// Ports renamed so far.
    renames: Repairs,
    /// Why ports are not called what they should be, by the last plan.
    troubles: Vec<Trouble>,
}

impl Naming {
    pub(super) fn renamed(&mut self, all: &[Renaming], now: Moment) {
        all.iter().for_each(|one| self.renames.note(one.port, now));
    }
}

impl Reconciler {
    /// Plans names: pins first, before anything is taken away; what is called otherwise last, once its
    /// driver is there.
    pub(super) fn name_ports(&mut self, snapshot: &Snapshot) {
        self.naming.troubles.clear();
        let begun = self.ledger.change.as_ref().is_some_and(Change::must_end);
        let settings = &self.config.settings.naming;
        let rows = naming::plan(snapshot, settings, &self.hardware, &self.ledger.loaded);
        // Between two drivers names are not those of either, but who asks for names by configuration is
        // heard.
        if let Some(policy) = self.policy(snapshot).filter(|_| !begun) {
            let wanted = naming::wanted(&rows, snapshot, settings, policy);
            let step = Step::PinNames(wanted.pins);
            self.naming.troubles.extend(wanted.troubles);
            if !step.holds_in(snapshot) {
                let at = usize::from(self.ends_block());
                self.plan.steps.insert(at, step);
            }
        }
        // What is taken away is not renamed before, and what has just come only when it was looked at.
        let seen = !begun || snapshot.network.known().is_some();
        if seen && self.plan.takes < Takes::Driver && !self.plan.waiting {
            let found = naming::renamings(&rows, snapshot, begun);
            self.naming.troubles.extend(found.troubles);
            let (fought, all): (Vec<_>, Vec<_>) =
                found.all.into_iter().partition(|one| self.naming.renames.is_fought_over(one.port));
            self.naming.troubles.extend(fought.into_iter().map(|one| Trouble {
                subject: one.port.to_string(),
                why: format!("somebody renames {} to {} again and again", one.to, one.from),
                fix: "find out who (`journalctl -b -u systemd-udevd -u NetworkManager`), or take the name out of [naming]".to_owned(),
                bars: false,
            }));
            if !all.is_empty() {
                self.plan.steps.push(Step::Rename(all));
            }
        }
        self.tell_of_names();
    }

    /// Names that cannot be had keep a driver from being replaced; else those that somebody has asked for
    /// are told. What is only kept because nobody said otherwise is a condition and no more.
    fn tell_of_names(&mut self) {
        let bars = self.plan.takes == Takes::Driver && self.ledger.change.is_none();
        let asked = self.config.settings.naming.policy.is_some();
        for trouble in self.naming.troubles.clone() {
            let blocker = Blocker::Name { why: trouble.why, fix: trouble.fix };
            let blocked = Blocked { subject: trouble.subject, blocker };
            if bars && trouble.bars {
                self.plan.blockers.push(blocked);
            } else if asked {
                self.plan.remarks.push(blocked);
            }
        }
    }

    /// The policy in force; none where names are nobody's affair yet.
    fn policy(&self, snapshot: &Snapshot) -> Option<NamingPolicy> {
        let pinned = snapshot.pins.known().is_some_and(|pins| !pins.is_empty());
        let swaps = self.plan.takes == Takes::Driver && self.plan.blockers.is_empty();
        let configured = self.config.settings.naming.policy;
        configured.or_else(|| (pinned || swaps).then_some(NamingPolicy::Keep))
    }

    /// Whether names are asked for whatever becomes of a driver.
    pub(super) fn pins_anyway(&self) -> bool {
        self.config.settings.naming.policy.is_some()
    }

    /// Whether ports are called as they are pinned.
    pub(super) fn names_pinned(&self) -> (Status, &'static str, String) {
        let Some(snapshot) = &self.snapshot else {
            return (Status::Unknown, "NotSeen", String::new());
        };
        if let Some(why) = snapshot.pins.why_not() {
            return (Status::Unknown, "Unreadable", why.to_owned());
        }
        let pins = snapshot.pins.known().map_or(0, std::collections::BTreeMap::len);
        match self.naming.troubles.first() {
            Some(first) => (
                Status::False,
                "NotAsPinned",
                format!("{}: {}. What to do: {}", first.subject, first.why, first.fix),
            ),
            None if pins == 0 => (
                Status::Unknown,
                "NotPinned",
                "udev names the ports as their driver has it".to_owned(),
            ),
            None => (Status::True, "Pinned", format!("{pins} ports")),
        }
    }
}
