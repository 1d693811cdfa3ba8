//! `com.amd.Onload1.Clock`: one clock, and what the node says of all of them. Much of it is text that
//! clock daemons print, so it is made fit for the bus here.

use std::collections::BTreeMap;

use onload_core::clock::conflict::{Conflict, ConflictKind};
use onload_core::clock::picture::{ClockPicture, ClocksPicture, Handover, Keeper, Outage};
use onload_core::clock::verdict::{Standing, Steerer};
use onload_core::condition::Status;
use zbus::{Variant, interface};

use super::view::View;
use super::wire::{Dictionary, said};

/// Stands for no number where 0 and -1 are numbers like any other.
const NONE: i64 = i64::MIN;

/// Clock on the bus.
#[derive(Debug)]
pub(super) struct Clock {
    /// What it shows.
    pub(super) view: View,
    /// Which.
    pub(super) name: String,
}

impl Clock {
    /// A fact of it.
    fn with<T: Default>(&self, read: impl FnOnce(&ClockPicture) -> T) -> T {
        self.view.fact(|picture| picture.clocks.clocks.get(&self.name), read)
    }

    /// A number of it.
    fn number(&self, read: impl FnOnce(&ClockPicture) -> Option<i64>) -> i64 {
        self.with(read).unwrap_or(NONE)
    }
}

#[interface(name = "com.amd.Onload1.Clock")]
impl Clock {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    #[zbus(property)]
    fn device(&self) -> String {
        self.with(|clock| clock.device.clone())
    }

    #[zbus(property)]
    fn driver_name(&self) -> String {
        self.with(|clock| said(&clock.driver_name))
    }

    #[zbus(property)]
    fn interfaces(&self) -> Vec<String> {
        self.with(|clock| clock.interfaces.clone())
    }

    #[zbus(property)]
    fn synchronised(&self) -> &'static str {
        match self.with(|clock| clock.synchronised) {
            Status::True => "yes",
            Status::False => "no",
            Status::Unknown => "unknown",
        }
    }

    #[zbus(property)]
    fn since(&self) -> u64 {
        self.with(|clock| clock.since.0)
    }

    #[zbus(property)]
    fn standing(&self) -> &'static str {
        match self.with(|clock| clock.verdict.standing) {
            Standing::Good => "good",
            Standing::Bad => "bad",
            Standing::Free => "free",
            Standing::Unknown => "unknown",
        }
    }

    #[zbus(property)]
    fn reason(&self) -> String {
        self.with(|clock| said(&clock.verdict.reason))
    }

    #[zbus(property)]
    fn message(&self) -> String {
        self.with(|clock| said(&clock.verdict.message))
    }

    #[zbus(property)]
    fn steered_by(&self) -> Dictionary {
        self.with(|clock| clock.verdict.steered_by.as_ref().map(steerer).unwrap_or_default())
    }

    #[zbus(property)]
    fn source(&self) -> String {
        self.with(|clock| said(&clock.verdict.source))
    }

    #[zbus(property)]
    fn grandmaster(&self) -> String {
        self.with(|clock| said(&clock.verdict.grandmaster))
    }

    #[zbus(property)]
    fn has_offset(&self) -> bool {
        self.with(|clock| clock.verdict.offset_ns.is_some())
    }

    #[zbus(property)]
    fn offset(&self) -> i64 {
        self.number(|clock| clock.verdict.offset_ns)
    }

    #[zbus(property)]
    fn path_delay(&self) -> i64 {
        self.number(|clock| clock.verdict.path_delay_ns)
    }

    #[zbus(property)]
    fn frequency(&self) -> i64 {
        self.number(|clock| clock.verdict.frequency_ppb)
    }

    #[zbus(property)]
    fn alarms(&self) -> Vec<String> {
        self.with(|clock| clock.verdict.alarms.iter().map(|alarm| said(alarm)).collect())
    }

    #[zbus(property)]
    fn ahead_of_system(&self) -> i64 {
        self.number(|clock| clock.ahead_ns)
    }

    #[zbus(property)]
    fn leap(&self) -> String {
        self.with(|clock| clock.leap.clone())
    }

    #[zbus(property)]
    fn unreadable(&self) -> BTreeMap<String, String> {
        let gap = |(name, why): (&String, &String)| (name.clone(), said(why));
        self.with(|clock| clock.unreadable.iter().map(gap).collect())
    }
}

fn steerer(by: &Steerer) -> Dictionary {
    let mut facts = Dictionary::from([
        ("Kind".to_owned(), Variant::from(by.kind.as_str())),
        ("Pid".to_owned(), Variant::from(by.pid)),
    ]);
    for (name, value) in [("Unit", &by.unit), ("Container", &by.container)] {
        facts.extend(value.as_ref().map(|value| (name.to_owned(), Variant::from(said(value)))));
    }
    facts
}

/// The word for a conflict: the reason of the condition.
fn conflict_kind(kind: ConflictKind) -> &'static str {
    match kind {
        ConflictKind::Chronyd => "Chronyd",
        ConflictKind::Ntpd => "Ntpd",
        ConflictKind::Timesyncd => "Timesyncd",
        ConflictKind::Phc2sys => "Phc2sys",
        ConflictKind::HardwareClock => "HardwareClock",
        ConflictKind::TwoOfAKind => "TwoOfAKind",
        ConflictKind::ClockReadonly => "ClockReadonly",
        ConflictKind::Freerun => "Freerun",
    }
}

/// A conflict as a dictionary.
pub(super) fn conflict(conflict: &Conflict) -> Dictionary {
    Dictionary::from([
        ("Kind".to_owned(), Variant::from(conflict_kind(conflict.kind))),
        ("Clock".to_owned(), Variant::from(conflict.clock.clone())),
        ("Message".to_owned(), Variant::from(said(&conflict.message))),
        ("Fix".to_owned(), Variant::from(said(&conflict.fix))),
        ("BarsStart".to_owned(), Variant::from(conflict.bars_start)),
        ("Units".to_owned(), Variant::from(conflict.units.clone())),
    ])
}

/// How sfptpd is looked after, as a dictionary.
pub(super) fn supervision(clocks: &ClocksPicture) -> Dictionary {
    let seen = &clocks.supervision;
    Dictionary::from([
        ("Mode".to_owned(), Variant::from(clocks.mode.as_str())),
        ("Status".to_owned(), Variant::from(seen.status.as_str())),
        ("Reason".to_owned(), Variant::from(seen.reason.clone())),
        ("Message".to_owned(), Variant::from(said(&seen.message))),
        ("Unit".to_owned(), Variant::from(seen.unit.clone())),
        ("Version".to_owned(), Variant::from(said(&seen.version))),
        ("Fix".to_owned(), Variant::from(said(&seen.fix))),
        ("Restarts".to_owned(), Variant::from(seen.restarts)),
        ("Hangs".to_owned(), Variant::from(seen.hangs)),
    ])
}

/// The last hand-over as a dictionary.
pub(super) fn handover(order: &Handover) -> Dictionary {
    let to = match order.to {
        Keeper::Sfptpd => "sfptpd",
        Keeper::Former => "former",
    };
    Dictionary::from([
        ("To".to_owned(), Variant::from(to)),
        ("Units".to_owned(), Variant::from(order.units.clone())),
        ("Uid".to_owned(), Variant::from(order.uid)),
        ("At".to_owned(), Variant::from(order.at.0)),
    ])
}

/// An outage as a row: began, milliseconds or -1, change or 0, reason.
pub(super) fn outage(outage: &Outage) -> (u64, i64, u64, String) {
    let millis = outage.millis.map_or(-1, |millis| i64::try_from(millis).unwrap_or(i64::MAX));
    (outage.began.0, millis, outage.change.unwrap_or_default(), said(&outage.reason))
}
