//! Names of ports as the reconciler keeps them: pinned before a driver is replaced, put right after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Reconciler;
use super::binding::Repairs;
use crate::blocker::{Blocked, Blocker};
use crate::change::Change;
use crate::condition::Status;
use crate::config::NamingPolicy;
use crate::inventory::Snapshot;
use crate::names::{InterfaceName, PciAddress};
use crate::naming::{self, Conflict, PortName, Renaming, Trouble, Weight};
use crate::plan::Takes;
use crate::step::Step;
use crate::time::{Moment, Now};

/// How long a driver stays for udev to name its ports first: after that they are as good as left alone.
const NAMING: Duration = Duration::from_secs(10);
/// Pace of looks meanwhile: nothing tells that udev is done.
const PACE: Duration = Duration::from_millis(100);

/// Times a port is renamed in a row for one order or change: whoever else renames it does not stop.
const MOST_GIVEN: u32 = 3;

/// What is known of names beside what a look shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Naming {
    /// Ports renamed so far while no driver was replaced.
    renames: Repairs,
    /// Ports that files of a MachineConfig name, by the last plan.
    by_files: usize,
    /// Why ports are not called what they should be, by the last plan.
    troubles: Vec<Trouble>,
    /// Since when a driver has been staying for udev.
    since: Option<Moment>,
    /// It stays still.
    waits: bool,
    /// How often ports were renamed while a driver is replaced, or an order is carried out.
    given: BTreeMap<PciAddress, u32>,
}

impl Reconciler {
    /// Plans names: pins first, before anything is taken away; what is called otherwise last, once its
    /// driver is there.
    pub(super) fn name_ports(&mut self, snapshot: &Snapshot) {
        self.naming.troubles.clear();
        self.naming.waits = false;
        let begun = self.ledger.change.as_ref().is_some_and(Change::must_end);
        if !begun && self.running_job().is_none() {
            self.naming.given.clear();
        }
        let settings = &self.config.settings.naming;
        let rows = naming::plan(snapshot, settings, &self.hardware, &self.ledger.loaded);
        let given = |row: &&PortName| row.given.is_some() && row.address().is_some();
        self.naming.by_files = rows.iter().filter(given).count();
        let policy = self.policy(snapshot);
        // Over what cannot be read nothing is written, nor is a name taken from it.
        if let Some(why) = snapshot.pins.why_not() {
            let off = settings.policy == Some(NamingPolicy::Off);
            self.naming.troubles.push(unreadable(why, off));
        } else if let Some(policy) = policy {
            // Between two drivers names are not those of either.
            let pinned = begun || self.pin_names(&rows, snapshot, policy);
            // What is taken away is not renamed before, and what has just come only when it was looked at.
            let seen = !begun || snapshot.network.known().is_some();
            let stays = self.plan.takes < Takes::Driver && !self.plan.waiting;
            if policy != NamingPolicy::Off && pinned && seen && stays {
                self.rename_ports(&rows, snapshot, begun);
            }
        }
        if !self.naming.waits {
            self.tell_of_names();
        }
    }

    /// Plans the pins; whether they are as they should be.
    fn pin_names(&mut self, rows: &[PortName], snapshot: &Snapshot, policy: NamingPolicy) -> bool {
        let wanted = naming::wanted(rows, snapshot, &self.config.settings.naming, policy);
        self.naming.troubles.extend(wanted.troubles);
        let replaces = self.plan.takes == Takes::Driver && self.plan.blockers.is_empty();
        if wanted.awaited.is_empty() || !replaces {
            self.naming.since = None;
        } else {
            let now = self.restoring.looked_at;
            let since = *self.naming.since.get_or_insert(now);
            if now.since(since) < NAMING {
                self.naming.waits = true;
                self.plan.waiting = true;
                self.plan.steps.clear();
                return false;
            }
            self.naming.troubles.extend(wanted.awaited.iter().map(|port| Trouble {
                subject: port.to_string(),
                why: format!(
                    "udev has not named it for {} s, so it is not pinned",
                    NAMING.as_secs()
                ),
                fix: "see what udev does (`journalctl -b -u systemd-udevd`)".to_owned(),
                weight: Weight::Tells,
            }));
        }
        let step = Step::PinNames(wanted.pins);
        let pinned = step.holds_in(snapshot);
        if !pinned {
            // Who is in the way is asked to go before a change begins, pins are part of it.
            let first = |step: &Step| matches!(step, Step::StopUnit { .. });
            let at = self.plan.steps.iter().take_while(|step| first(step)).count();
            self.plan.steps.insert(at.max(usize::from(self.ends_block())), step);
        }
        pinned
    }

    fn rename_ports(&mut self, rows: &[PortName], snapshot: &Snapshot, fresh: bool) {
        let ordered = fresh || self.running_job().is_some();
        let is_fought_over = |port: &PciAddress| match ordered {
            true => self.naming.given.get(port).is_some_and(|times| *times >= MOST_GIVEN),
            false => self.naming.renames.is_fought_over(*port),
        };
        let fought: BTreeSet<_> =
            rows.iter().filter_map(PortName::address).filter(is_fought_over).collect();
        let former = if fresh { self.former_names() } else { BTreeMap::new() };
        let found = naming::renamings(rows, snapshot, fresh, &former, &fought);
        self.naming.troubles.extend(found.troubles);
        if !found.all.is_empty() {
            self.plan.steps.push(Step::Rename(found.all));
        }
    }

    /// Whether a step gives a name, or pins one that nobody asked for.
    pub(super) fn is_name(&self, step: &Step) -> bool {
        matches!(step, Step::Rename(_))
            || matches!(step, Step::PinNames(_)) && !self.asks_for_names()
    }

    /// What ports were called before their driver went, while that is to be put back; whoever has chosen
    /// names leaves the other ports alone.
    fn former_names(&self) -> BTreeMap<PciAddress, InterfaceName> {
        let policy = self.config.settings.naming.policy.unwrap_or(NamingPolicy::Keep);
        let kept = self.ledger.network.as_ref().filter(|kept| {
            kept.boot.is_some() && kept.boot == self.boot && self.ledger.differences.is_none()
        });
        let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, link) in kept.into_iter().flat_map(|kept| &kept.network.links) {
            if let Some(port) = link.port.filter(|_| link.made.is_none()) {
                names.entry(port).or_default().push(name);
            }
        }
        let single = names.into_iter().filter_map(|(port, names)| match names.as_slice() {
            [name] if policy == NamingPolicy::Keep => Some((port, (*name).clone())),
            _ => None,
        });
        single.collect()
    }

    /// Ports were renamed. What a new driver brought says nothing about who else renames them.
    pub(super) fn renamed(&mut self, all: &[Renaming], now: Moment) {
        for one in all {
            *self.naming.given.entry(one.port).or_default() += 1;
        }
        if !self.ledger.change.as_ref().is_some_and(Change::must_end) {
            all.iter().for_each(|one| self.naming.renames.note(one.port, now));
        }
    }

    /// Looks again for names that udev is about to give.
    pub(super) fn look_for_names(&mut self, now: Now) {
        if self.naming.waits && !self.hands_off() {
            self.look_within(now, PACE);
        }
    }

    /// Names that cannot be had keep a driver from being replaced; else those that somebody has asked for
    /// are told. What is only kept because nobody said otherwise is a condition and no more.
    fn tell_of_names(&mut self) {
        let bars = self.plan.takes == Takes::Driver && self.ledger.change.is_none();
        let blind = self.snapshot.as_ref().is_some_and(|snapshot| snapshot.pins.is_unreadable());
        let asked = self.asks_for_names() || blind;
        for trouble in self.naming.troubles.clone() {
            let blocker = Blocker::Name { why: trouble.why, fix: trouble.fix };
            let blocked = Blocked { subject: trouble.subject, blocker };
            match trouble.weight {
                Weight::Bars if bars => self.plan.blockers.push(blocked),
                Weight::Bars | Weight::Tells if asked => self.plan.remarks.push(blocked),
                Weight::Bars | Weight::Tells | Weight::Aside => {}
            }
        }
    }

    /// The plan of names, with what the last plan of steps found against them.
    pub(super) fn show_names(&self, snapshot: &Snapshot) -> Vec<PortName> {
        let settings = &self.config.settings.naming;
        let mut rows = naming::plan(snapshot, settings, &self.hardware, &self.ledger.loaded);
        for row in rows.iter_mut().filter(|_| !self.hands_off()) {
            let subject = row.subject.to_string();
            let own = self.naming.troubles.iter().filter(|one| {
                let told = |conflict: &Conflict| conflict.told() == one.why;
                one.subject == subject && !row.conflicts.iter().any(told)
            });
            row.troubles = own.cloned().collect();
        }
        rows
    }

    /// The policy in force; none where names are nobody's affair yet.
    fn policy(&self, snapshot: &Snapshot) -> Option<NamingPolicy> {
        let pinned = snapshot.pins.known().is_some_and(|pins| !pins.is_empty());
        let swaps = self.plan.takes == Takes::Driver && self.plan.blockers.is_empty();
        // One that pinned nothing may have names to give back.
        let begun = self.ledger.change.as_ref().is_some_and(Change::must_end);
        let gives_back = begun && self.ledger.network.is_some();
        let configured = self.config.settings.naming.policy;
        configured.or_else(|| (pinned || swaps || gives_back).then_some(NamingPolicy::Keep))
    }

    /// Whether somebody has asked for names, whatever becomes of a driver.
    pub(super) fn asks_for_names(&self) -> bool {
        self.config.settings.naming.policy.is_some()
    }

    /// Whether ports are called as they are pinned.
    pub(super) fn names_pinned(&self) -> (Status, &'static str, String) {
        if self.hands_off() {
            let why = "nothing is decided while hands are off";
            return (Status::Unknown, "HandsOff", why.to_owned());
        }
        let Some(snapshot) = &self.snapshot else {
            return (Status::Unknown, "NotSeen", String::new());
        };
        if let Some(why) = snapshot.pins.why_not() {
            return (Status::Unknown, "Unreadable", why.to_owned());
        }
        let pins = snapshot.pins.known().map_or(0, BTreeMap::len);
        if let Some(rename) = self.plan.steps.iter().find(|step| matches!(step, Step::Rename(_))) {
            let error = self.failure(rename).and_then(|failure| failure.error.as_ref());
            let why = error.map_or_else(String::new, |error| {
                format!(": {error}. What to do: take the interface down, or rename it by hand")
            });
            return (Status::False, "NotAsPinned", format!("to be done: {rename}{why}"));
        }
        let mut failed = self.ledger.failures.iter();
        let unwritten = failed.find(|(step, _)| matches!(step, Step::PinNames(_)));
        if let Some((step, error)) =
            unwritten.and_then(|(step, failure)| Some((step, failure.error.as_ref()?)))
        {
            let message = format!("could not {step}: {error}. What to do: {}", error.fix());
            return (Status::False, "NotPinned", message);
        }
        match self.naming.troubles.iter().find(|one| one.weight > Weight::Aside) {
            Some(first) => (
                Status::False,
                "NotAsPinned",
                format!("{}: {}. What to do: {}", first.subject, first.why, first.fix),
            ),
            None if pins + self.naming.by_files == 0 => (
                Status::Unknown,
                "NotPinned",
                "udev names the ports as their driver has it".to_owned(),
            ),
            None if self.naming.by_files == 0 => {
                (Status::True, "Pinned", format!("ports with a pinned name: {pins}"))
            }
            None => {
                let given = self.naming.by_files;
                let all =
                    format!("ports with a pinned name: {pins}, and by a MachineConfig: {given}");
                (Status::True, "Pinned", all)
            }
        }
    }
}

/// What stands where pins should, and cannot be read: with another driver the ports would get other names.
fn unreadable(why: &str, off: bool) -> Trouble {
    Trouble {
        subject: "ports".to_owned(),
        why: format!("the pinned names cannot be read, so none is written: {why}"),
        fix: "mend or remove that file; onloadd writes it anew".to_owned(),
        weight: if off { Weight::Tells } else { Weight::Bars },
    }
}
