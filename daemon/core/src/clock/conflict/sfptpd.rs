//! What stands against a synchronised clock in sfptpd itself: a second one, one that may steer nothing, one that
//! follows nobody (reference/sfptpd.md sections 0 and 12).

use super::case::Case;
use super::{Conflict, ConflictKind};
use crate::clock::daemon::DaemonKind;
use crate::clock::verdict::claim::{self, Program, Target};
use crate::clock::verdict::sfptpd::FREERUNNING;
use crate::config::ClockMode;
use crate::reading::Reading;

/// Finds them.
pub(super) fn find(case: &Case<'_>) -> Vec<Conflict> {
    let mut found: Vec<Conflict> = second(case).into_iter().collect();
    if case.wanted {
        found.extend(readonly(case));
        found.extend(freerun(case));
    }
    found
}

/// Two of them; or one of another manager's where onloadd is to run one.
fn second(case: &Case<'_>) -> Option<Conflict> {
    let manage = case.mode == ClockMode::Manage;
    let kept = if manage { case.running.len() - case.foreign } else { case.running.len() };
    let others = case.running.get(kept.min(1)..).unwrap_or_default();
    let one = *others.first()?;
    let names: Vec<String> = others.iter().map(Program::spoken).collect();
    let names = names.join(" and ");
    let message = match case.running.first().filter(|_| kept > 0) {
        Some(first) => format!(
            "{} and {names} run: two that steer the same clocks undo what the other does",
            first.spoken()
        ),
        None => {
            format!("{names} runs, and is not onloadd's to look after: it is not started twice")
        }
    };
    let fix = match (case.mode, &one.daemon.container) {
        (ClockMode::Manage, None) => {
            format!("{}, or set `[ptp] unit` to the unit that shall run it", case.end(one, false))
        }
        (ClockMode::Off | ClockMode::Observe | ClockMode::Manage, _) => case.end(one, false),
    };
    let clock = Target::System;
    Some(case.conflict(ConflictKind::TwoOfAKind, clock, (message, fix), true, others))
}

/// Clocks that it may not steer. One that another steers is left to that on purpose.
fn readonly(case: &Case<'_>) -> Vec<Conflict> {
    let Some(intended) = case.configured else { return Vec::new() };
    let kept = |target: Target| {
        let mut all = claim::steering(case.clocks, target).into_iter();
        all.any(|one| one.daemon.kind != DaemonKind::Sfptpd)
    };
    let mut found = Vec::new();
    for word in &intended.readonly {
        let target = Target::behind(case.clocks, word);
        if target.is_some_and(kept) {
            continue;
        }
        let clock = target.map_or_else(|| word.clone(), Target::name);
        let spoken = target.map_or_else(|| format!("the clock of {word}"), Target::spoken);
        found.push(Conflict {
            kind: ConflictKind::ClockReadonly,
            clock,
            message: format!(
                "sfptpd leaves {spoken} alone (`clock_readonly {word}`), and nobody else steers it"
            ),
            fix: format!("take {word} out of clock_readonly in the configuration of sfptpd"),
            bars_start: false,
            units: Vec::new(),
        });
    }
    let all = !intended.steers_system_clock && !intended.readonly.contains("system");
    if all && !kept(Target::System) {
        found.push(Conflict {
            kind: ConflictKind::ClockReadonly,
            clock: Target::System.name(),
            message: "sfptpd adjusts no clock (`clock_control no-adjust`), and nobody else steers \
                      the system clock"
                .to_owned(),
            fix: "set `clock_control slew-and-step` in the configuration of sfptpd".to_owned(),
            bars_start: false,
            units: Vec::new(),
        });
    }
    found
}

/// It follows nobody: by its configuration, or because it finds nobody to follow.
fn freerun(case: &Case<'_>) -> Option<Conflict> {
    let selected = case.clocks.sfptpd.known().and_then(|said| {
        let rows = said.instances.known()?;
        let (name, row) = rows.iter().find(|(_, row)| row.selected)?;
        let state = said.states.get(name).and_then(Reading::known);
        Some((name, state.map_or(row.state.as_str(), |state| &state.state)))
    });
    let free = selected.filter(|(_, state)| *state == FREERUNNING && !case.running.is_empty());
    let (message, fix) = match (case.configured.map(|intended| intended.follows), free) {
        (Some(false), _) => (
            "sfptpd is configured to run free: it is up, and follows nobody".to_owned(),
            "give it an instance of ptp, pps, ntp or crny (`sync_module`), such as in the commented \
             default that onloadd ships"
                .to_owned(),
        ),
        (Some(true) | None, Some((name, _))) => (
            format!("sfptpd has selected {name}, which runs free: it follows nobody"),
            "see `onloadctl clock status` for why no other instance is usable, or configure one"
                .to_owned(),
        ),
        (Some(true) | None, None) => return None,
    };
    let units = Vec::new();
    let clock = Target::System.name();
    Some(Conflict { kind: ConflictKind::Freerun, clock, message, fix, bars_start: false, units })
}
