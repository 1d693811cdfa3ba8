//! What format 5 has beside format 4: clocks, and the steps about them.

use super::*;
use crate::clock::Written;
use crate::clock::picture::{Handover, Keeper, Outage};

pub(super) fn entries() -> Vec<Entry> {
    let (unit, other) = ("sfptpd.service".to_owned(), "ptp4l.service".to_owned());
    let units = vec!["chronyd.service".to_owned()];
    let handover = |to| Handover { to, units: units.clone(), uid: 0, at: Timestamp(7_000) };
    let outage = |millis| Outage {
        began: Timestamp(8_000),
        at: Moment(9_000),
        boot: Some("ab-12".parse().unwrap()),
        millis,
        change: Some(2),
        reason: "NobodySteers".to_owned(),
    };
    let text = "[general]\nsync_module ptp ptp1\n".to_owned();
    let steps = [
        Step::StartUnit { unit: unit.clone() },
        Step::RestartUnit { unit: unit.clone(), process: 4711 },
        Step::ConfigureClock(Written::new(text, unit)),
        Step::LeaveClock,
    ];
    let steps = steps.into_iter().flat_map(|step| {
        [Entry::StepStarted(step.clone()), Entry::StepEnded { step, failure: None }]
    });
    let clock = [
        ClockEntry::HandedOver(Some(handover(Keeper::Former))),
        ClockEntry::HandedOver(None),
        ClockEntry::HandedOver(Some(handover(Keeper::Sfptpd))),
        ClockEntry::Paused { unit: other.clone() },
        ClockEntry::Resumed { unit: other.clone() },
        ClockEntry::Paused { unit: other },
        ClockEntry::Outdated { process: None },
        ClockEntry::Outdated { process: Some(4711) },
        ClockEntry::Outage(outage(None)),
        ClockEntry::Outage(outage(Some(73_000))),
    ];
    steps.chain(clock.map(Entry::Clock)).collect()
}

#[test]
fn an_outage_is_one_from_its_beginning_to_its_end_and_only_the_last_are_kept() {
    let mut ledger = Ledger::default();
    for began in 0..40 {
        for millis in [None, Some(began)] {
            let (began, reason) = (Timestamp(began), String::new());
            let (at, boot) = (Moment(0), None);
            let outage = Outage { began, at, boot, millis, change: None, reason };
            ledger.take(Entry::Clock(ClockEntry::Outage(outage)));
        }
    }
    let kept: Vec<_> = ledger.clock.outages.iter().map(|one| one.millis).collect();
    assert_eq!(kept, (8..40).map(Some).collect::<Vec<_>>());
}
