//! Clocks that sfptpd steers (reference/sfptpd.md section 7): it judges itself whether they are in sync.
//!
//! Statistics are of the last second, state files of the last minute (section 0): where both say something,
//! the statistics count.

use std::collections::BTreeSet;

use super::claim::{Target, of_kind};
use super::{Standing, Verdict, reason, words};
use crate::clock::Clocks;
use crate::clock::daemon::DaemonKind;
use crate::clock::sfptpd::{Instance, Sample, Sfptpd, State};
use crate::reading::Reading;

/// What it says of one clock that it steers or compares.
#[derive(Default)]
struct Servo {
    disciplining: Option<bool>,
    in_sync: Option<bool>,
    offset: Option<i64>,
    frequency: Option<i64>,
    alarms: BTreeSet<String>,
    blocked_by: BTreeSet<String>,
    /// The instance or clock that it is of.
    name: String,
}

/// The instance that it has selected as the source of time.
struct Selected<'a> {
    name: &'a str,
    row: Option<&'a Instance>,
    state: Option<&'a State>,
    sample: Option<&'a Sample>,
}

/// Whether it says that it disciplines a clock.
pub(super) fn disciplines(said: &Sfptpd, target: Target) -> bool {
    servo(said, target).is_some_and(|servo| servo.disciplining == Some(true))
}

/// Judges a clock that it steers.
pub(super) fn judge(clocks: &Clocks, target: Target) -> Verdict {
    let clock = target.spoken();
    let said = match &clocks.sfptpd {
        Reading::Known(said) => said,
        Reading::Unreadable(why) => {
            let why = format!("what sfptpd says of {clock} cannot be read: {why}");
            return Verdict::unknown(reason::UNREADABLE, why);
        }
        Reading::Absent => {
            let why = "sfptpd runs, and has written no statistics and no state yet".to_owned();
            return Verdict::unknown(reason::SAYS_NOTHING, why);
        }
    };
    let Some(selected) = selected(said) else { return without_source(said) };
    let servo = servo(said, target);
    let found = describe(&selected, servo.as_ref());
    let state = selected.word();
    let name = selected.name;
    if state == FREERUNNING {
        let why = format!(
            "sfptpd steers {clock} after {name}, which runs free and follows nobody; configure a \
             PTP, PPS or NTP instance, or see why none is usable"
        );
        return found.turn(Standing::Bad, reason::FREERUN, why);
    }
    if !found.alarms.is_empty() || state.ends_with("-alarm") {
        let alarms = found.alarms.join(", ");
        let alarms = if alarms.is_empty() { state.to_owned() } else { alarms };
        let why = format!("sfptpd steers {clock} from {name} with alarms: {alarms}");
        return found.turn(Standing::Bad, reason::ALARM, why);
    }
    if state == "ptp-master" {
        let why = format!("{name} is a PTP master: this node gives time, and follows nobody");
        return found.turn(Standing::Bad, reason::MASTER, why);
    }
    if !state.is_empty() && !state.ends_with("-slave") {
        let why = format!("{name} follows nobody yet: it is {state}");
        return found.turn(Standing::Bad, reason::NOT_LOCKED, why);
    }
    let in_sync = selected.sample.map(|one| one.in_sync);
    match in_sync.or(selected.state.and_then(|state| state.in_sync)) {
        Some(true) => {}
        Some(false) => {
            let why = format!(
                "{name} is not in sync: its offset must stay within its threshold for a minute"
            );
            return found.turn(Standing::Bad, reason::NOT_IN_SYNC, why);
        }
        None => {
            let why = format!("sfptpd does not say whether {name} is in sync");
            return found.turn(Standing::Unknown, reason::SAYS_NOTHING, why);
        }
    }
    let Some(servo) = servo else {
        let why = format!("sfptpd says nothing of {clock}");
        return found.turn(Standing::Unknown, reason::SAYS_NOTHING, why);
    };
    if servo.disciplining == Some(false) {
        return found.turn(Standing::Bad, reason::NOT_DISCIPLINED, aloof(&servo, target));
    }
    match servo.in_sync {
        Some(true) => found.turn(Standing::Good, reason::SYNCHRONISED, String::new()),
        Some(false) => {
            let off = servo.offset.map_or_else(String::new, |ns| format!(": {}", words::off(ns)));
            let why = format!("{clock} is not in sync with what sfptpd follows{off}");
            found.turn(Standing::Bad, reason::NOT_IN_SYNC, why)
        }
        None => {
            let why = format!("sfptpd does not say whether {clock} is in sync");
            found.turn(Standing::Unknown, reason::SAYS_NOTHING, why)
        }
    }
}

/// What a running sfptpd has to say of a clock that nobody steers; none where none runs.
pub(super) fn idle(clocks: &Clocks, target: Target) -> Option<Verdict> {
    of_kind(clocks, DaemonKind::Sfptpd).next()?;
    let Some(said) = clocks.sfptpd.known() else {
        return Some(judge(clocks, target));
    };
    let Some(selected) = selected(said) else { return Some(without_source(said)) };
    let servo = servo(said, target);
    let found = describe(&selected, servo.as_ref());
    let clock = target.spoken();
    if selected.word() == FREERUNNING {
        let why = format!(
            "sfptpd runs, but its instance {} runs free: nobody steers {clock}; configure a PTP, \
             PPS or NTP instance",
            selected.name
        );
        return Some(found.turn(Standing::Free, reason::FREERUN, why));
    }
    let why = servo.map_or_else(
        || {
            format!(
                "sfptpd runs, and says nothing of {clock}: it is not among the clocks it steers"
            )
        },
        |servo| aloof(&servo, target),
    );
    Some(found.turn(Standing::Free, reason::NOT_DISCIPLINED, why))
}

/// The state of an instance that follows nobody by its kind.
pub(in crate::clock) const FREERUNNING: &str = "freerunning-clock";

/// Why a clock is left alone.
fn aloof(servo: &Servo, target: Target) -> String {
    let clock = target.spoken();
    if servo.blocked_by.is_empty() {
        return format!(
            "sfptpd compares {clock} and does not steer it; see clock_readonly and clock_control in \
             its configuration"
        );
    }
    let by: Vec<&str> = servo.blocked_by.iter().map(String::as_str).collect();
    format!("sfptpd does not steer {clock}: it is blocked by {}", by.join(", "))
}

/// No instance is selected, or nothing says which.
fn without_source(said: &Sfptpd) -> Verdict {
    match &said.instances {
        Reading::Known(all) if !all.is_empty() => {
            let why = "sfptpd has selected none of its instances as the source of time".to_owned();
            Verdict::new(Standing::Bad, reason::NO_SOURCE, why)
        }
        Reading::Unreadable(why) => {
            let why = format!("what sfptpd follows cannot be read: {why}");
            Verdict::unknown(reason::UNREADABLE, why)
        }
        Reading::Known(_) | Reading::Absent => {
            let why = "sfptpd does not say yet what it follows".to_owned();
            Verdict::unknown(reason::SAYS_NOTHING, why)
        }
    }
}

impl Selected<'_> {
    fn word(&self) -> &str {
        let row = self.row.map_or("", |row| row.state.as_str());
        self.state.map_or(row, |state| &state.state)
    }
}

fn selected(said: &Sfptpd) -> Option<Selected<'_>> {
    let row = said.instances.known().and_then(|all| all.iter().find(|(_, row)| row.selected));
    let flagged = || {
        let known = said.states.iter().filter_map(|(name, state)| Some((name, state.known()?)));
        known.into_iter().find(|(_, state)| state.control_flags.contains("selected"))
    };
    let name = match row {
        Some((name, _)) => name,
        None => flagged()?.0,
    };
    let samples = said.samples.known().into_iter().flat_map(|all| all.values());
    Some(Selected {
        name,
        row: row.map(|(_, row)| row),
        state: said.states.get(name).and_then(Reading::known),
        sample: samples.into_iter().find(|one| &one.instance == name),
    })
}

/// What it says of one clock: the line that disciplines it, else one that compares it, else its state file.
fn servo(said: &Sfptpd, target: Target) -> Option<Servo> {
    let state = state_of(said, target);
    let samples = said.samples.known().into_iter().flat_map(|all| all.values());
    let sample = samples
        .filter(|one| Target::of(&one.slave) == Some(target))
        .max_by_key(|one| one.disciplining);
    let blocked_by = state.map(|(_, state)| state.blocked_by.clone()).unwrap_or_default();
    if let Some(one) = sample {
        return Some(Servo {
            disciplining: Some(one.disciplining),
            in_sync: Some(one.in_sync),
            offset: one.offset_ns,
            frequency: one.frequency_ppb,
            alarms: one.alarms.clone(),
            blocked_by,
            name: one.instance.clone(),
        });
    }
    let (name, state) = state?;
    let steers = state.state == "local-slave" || state.control_flags.contains("clock-ctrl");
    Some(Servo {
        disciplining: Some(steers && blocked_by.is_empty() && state.state != FREERUNNING),
        in_sync: state.in_sync,
        offset: state.offset_ns,
        frequency: state.frequency_ppb,
        alarms: state.alarms.clone(),
        blocked_by,
        name: name.to_owned(),
    })
}

/// The state file of a clock: by its name, else that of an instance whose clock it is.
fn state_of(said: &Sfptpd, target: Target) -> Option<(&str, &State)> {
    let known =
        || said.states.iter().filter_map(|(name, state)| Some((name.as_str(), state.known()?)));
    let by_name = known().find(|(name, _)| Target::of(name) == Some(target));
    by_name.or_else(|| {
        known().find(|(_, state)| state.clock.as_deref().and_then(Target::of) == Some(target))
    })
}

/// What is known of a clock, whatever that comes to.
fn describe(selected: &Selected<'_>, servo: Option<&Servo>) -> Verdict {
    let (state, sample) = (selected.state, selected.sample);
    let own = sample.and_then(|one| one.offset_ns).or(state.and_then(|state| state.offset_ns));
    let (offset, frequency) = match servo {
        // How far the clock is ahead of what the instance follows: over the clock between them.
        Some(servo) if servo.name != selected.name => {
            (servo.offset.zip(own).map(|(a, b)| a.saturating_add(b)), servo.frequency)
        }
        Some(servo) => (servo.offset, servo.frequency),
        None => (None, None),
    };
    let said = sample.map(|one| &one.alarms).or(state.map(|state| &state.alarms));
    let mut alarms: BTreeSet<String> = said.cloned().unwrap_or_default();
    // The table of instances has only that there are some.
    if said.is_none() && selected.row.is_some_and(|row| row.alarmed) {
        alarms.insert("unnamed".to_owned());
    }
    alarms.extend(servo.into_iter().flat_map(|servo| servo.alarms.iter().cloned()));
    let from = state.and_then(|state| state.source.as_deref());
    let grandmaster = sample.and_then(|one| one.grandmaster.as_ref());
    let grandmaster = grandmaster.or(state.and_then(|state| state.grandmaster.as_ref()));
    let delay = sample.and_then(|one| one.path_delay_ns);
    Verdict {
        source: from
            .map_or_else(|| selected.name.to_owned(), |from| format!("{} ({from})", selected.name)),
        grandmaster: grandmaster.cloned().unwrap_or_default(),
        offset_ns: offset,
        path_delay_ns: delay.or(state.and_then(|state| state.path_delay_ns)),
        frequency_ppb: frequency,
        // One of them ends in a space (reference/sfptpd.md section 7).
        alarms: alarms
            .iter()
            .map(|alarm| alarm.trim().to_owned())
            .filter(|alarm| !alarm.is_empty())
            .collect(),
        ..Verdict::default()
    }
}
