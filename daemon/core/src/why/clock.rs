//! What is said of a clock: who steers it, how well, and what fights over it.

use super::Explanation;
use crate::clock::picture::{ClockPicture, ClocksPicture};
use crate::condition::{ConditionKind, Status};
use crate::config::ClockMode;
use crate::picture::Picture;

/// The subject that is about keeping time as such: the system clock, or that it is left alone.
const TIME: &str = "clock";
/// Name of the system clock.
const SYSTEM: &str = "system";
/// Conditions that are about clocks.
pub(super) const CONDITIONS: [ConditionKind; 3] = [
    ConditionKind::ClockSynchronised,
    ConditionKind::ClockUndisputed,
    ConditionKind::ClockSupervised,
];

/// Explains a clock by its name; `clock` is the system clock, too. None: it is no such thing.
pub(super) fn explain(picture: &Picture, subject: &str) -> Option<Explanation> {
    let clocks = &picture.clocks;
    if subject == TIME && clocks.mode == ClockMode::Off {
        let mut explanation = Explanation::new(TIME, "clocks are left alone");
        explanation.input("mode", clocks.mode.as_str());
        explanation.would_change.push("say `mode = \"observe\"` in [ptp]".to_owned());
        return Some(explanation);
    }
    let name = if subject == TIME { SYSTEM } else { subject };
    let clock = match clocks.clocks.get(name) {
        Some(clock) => clock,
        None if subject == TIME => {
            return Some(Explanation::new(TIME, "clocks were not looked at, or cannot be"));
        }
        None => return None,
    };
    let mut explanation = clock_of(name, clock);
    explanation.subject = subject.to_owned();
    if name == SYSTEM {
        let conditions = picture.conditions.iter().filter(|one| CONDITIONS.contains(&one.kind));
        for one in conditions.filter(|one| one.status == Status::False) {
            explanation.input(one.kind.as_str(), plain(&one.message));
        }
    }
    conflicts(&mut explanation, name, clocks);
    if clock.synchronised != Status::True && explanation.would_change.is_empty() {
        let would_change = "`onloadctl clock status` says what to do".to_owned();
        explanation.would_change.push(would_change);
    }
    Some(explanation)
}

fn clock_of(name: &str, clock: &ClockPicture) -> Explanation {
    let said = match clock.synchronised {
        Status::True => "is synchronised",
        Status::False => "is not synchronised",
        Status::Unknown => "may be synchronised or not: that cannot be told",
    };
    let which = if name == SYSTEM { "the system clock" } else { name };
    let verdict = &clock.verdict;
    let decision = match verdict.message.as_str() {
        "" => format!("{which} {said}"),
        message => format!("{which} {said}: {}", plain(message)),
    };
    let mut explanation = Explanation::new(name, decision);
    let by = verdict.steered_by.as_ref();
    let by = by.map(|by| {
        let group = by.container.as_ref().or(by.unit.as_ref());
        let group = group.map(|group| format!(" of {group}")).unwrap_or_default();
        format!("{}, process {}{group}", by.kind, by.pid)
    });
    explanation.input("steered by", by.unwrap_or_else(|| "nobody".to_owned()));
    for (what, text) in [("follows", &verdict.source), ("grandmaster", &verdict.grandmaster)] {
        if !text.is_empty() {
            explanation.input(what, plain(text));
        }
    }
    if let Some(offset) = verdict.offset_ns {
        explanation.input("offset", format!("{offset} ns"));
    }
    if !verdict.alarms.is_empty() {
        explanation.input("alarms", plain(&verdict.alarms.join(", ")));
    }
    for (what, why) in &clock.unreadable {
        explanation.input(what, format!("cannot be read: {why}"));
    }
    explanation
}

fn conflicts(explanation: &mut Explanation, name: &str, clocks: &ClocksPicture) {
    for one in clocks.conflicts.iter().filter(|one| one.clock == name) {
        explanation.input("conflict", plain(&one.message));
        explanation.would_change.push(plain(&one.fix));
    }
}

/// What a clock daemon prints, fit for a line and for the bus.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::clock::conflict::{Conflict, ConflictKind};
    use crate::clock::daemon::DaemonKind;
    use crate::clock::verdict::{Steerer, Verdict};
    use crate::why;

    fn picture() -> Picture {
        let steerer = Steerer {
            kind: DaemonKind::Sfptpd,
            pid: 812,
            unit: Some("sfptpd.service".to_owned()),
            container: None,
        };
        let verdict = Verdict {
            message: "an alarm\0".to_owned(),
            steered_by: Some(steerer),
            source: "ptp1".to_owned(),
            offset_ns: Some(-12),
            alarms: vec!["no-sync-pkts".to_owned()],
            ..Verdict::default()
        };
        let system =
            ClockPicture { synchronised: Status::False, verdict, ..ClockPicture::default() };
        let free = ClockPicture { synchronised: Status::False, ..ClockPicture::default() };
        let conflict = Conflict {
            kind: ConflictKind::Chronyd,
            clock: SYSTEM.to_owned(),
            message: "chronyd steers it".to_owned(),
            fix: "stop it".to_owned(),
            bars_start: true,
            units: Vec::new(),
        };
        let clocks = BTreeMap::from([(SYSTEM.to_owned(), system), ("ptp0".to_owned(), free)]);
        let clocks = ClocksPicture { clocks, conflicts: vec![conflict], ..Default::default() };
        Picture { clocks: Arc::new(clocks), ..Picture::default() }
    }

    #[test]
    fn a_clock_says_who_steers_it_and_what_fights_over_it() {
        for subject in [TIME, SYSTEM] {
            let told = why::explain(&picture(), subject).unwrap_or_default();
            assert_eq!(told.subject, subject);
            let decision = "the system clock is not synchronised: an alarm\u{fffd}";
            assert_eq!(told.decision, decision);
            let inputs: Vec<_> =
                told.inputs.iter().map(|(what, said)| (what.as_str(), said.as_str())).collect();
            let expected = [
                ("steered by", "sfptpd, process 812 of sfptpd.service"),
                ("follows", "ptp1"),
                ("offset", "-12 ns"),
                ("alarms", "no-sync-pkts"),
                ("conflict", "chronyd steers it"),
            ];
            assert_eq!(inputs, expected);
            assert_eq!(told.would_change, ["stop it"]);
        }
    }

    #[test]
    fn a_clock_without_conflict_points_to_the_page() {
        let told = why::explain(&picture(), "ptp0").unwrap_or_default();
        assert_eq!(told.decision, "ptp0 is not synchronised");
        assert_eq!(told.inputs, [("steered by".to_owned(), "nobody".to_owned())]);
        assert!(told.would_change[0].contains("onloadctl clock status"), "{told:?}");
    }

    #[test]
    fn clocks_that_are_left_alone_are_told_from_none() {
        let clocks = ClocksPicture { mode: ClockMode::Off, ..ClocksPicture::default() };
        let off = Picture { clocks: Arc::new(clocks), ..Picture::default() };
        let told = why::explain(&off, TIME).unwrap_or_default();
        assert_eq!(told.decision, "clocks are left alone");
        assert_eq!(why::explain(&off, SYSTEM), None);
        assert_eq!(why::explain(&Picture::default(), SYSTEM), None, "nothing was seen yet");
        let told = why::explain(&Picture::default(), TIME).unwrap_or_default();
        assert_eq!(told.decision, "clocks were not looked at, or cannot be");
    }
}
