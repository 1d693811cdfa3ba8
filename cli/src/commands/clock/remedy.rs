//! What to do about a clock that is not as it should be.

use super::kept::{Clock, Conflict, Kept, Supervision};
use crate::commands::status::Blocker;
use onload_dbus::error::Parts;

/// What an alarm of sfptpd means, and what to do (`reference/sfptpd.md` sections 7 and 9).
const ALARMS: [(&str, &str, &str); 18] = [
    (
        "no-sync-pkts",
        "no Sync messages come from a grandmaster",
        "see that one serves this `ptp_domain`, and that switches let its multicast through (VLAN, IGMP snooping)",
    ),
    (
        "no-follow-ups",
        "Sync messages come without the Follow_Up that has their time",
        "see the grandmaster, or the boundary clock in between: it says two-step, and does not keep to it",
    ),
    (
        "no-delay-resps",
        "nobody answers Delay_Req messages",
        "see that UDP ports 319 and 320 are open both ways; where unicast is filtered, `ptp_network_mode multicast`",
    ),
    (
        "no-pdelay-resps",
        "the neighbour does not answer Pdelay_Req messages",
        "give `ptp_delay_mechanism` what the neighbour speaks; most networks are end-to-end",
    ),
    (
        "no-pdelay-resp-follow-ups",
        "the neighbour's answers to Pdelay_Req have no Follow_Up",
        "see the neighbour: it says two-step, and does not keep to it",
    ),
    (
        "no-tx-timestamps",
        "the card gives no time stamps for what is sent",
        "see with `ethtool -T` that the driver in use has them, and that one program only asks for them",
    ),
    (
        "no-rx-timestamps",
        "the card gives no time stamps for what is received",
        "see with `ethtool -T` that the driver in use has them, and that no program switched them off",
    ),
    (
        "no-interface",
        "the interface that sfptpd is configured for is not there",
        "name it by port in the configuration (`port:0`), which survives renames and changes of drivers",
    ),
    (
        "clock-ctrl-failure",
        "the clock cannot be adjusted",
        "see with `onloadctl clock conflicts` whether somebody else steers it",
    ),
    (
        "clock-near-epoch",
        "the clock is near 1970",
        "set it once from another source, and the hardware's own with it; then sfptpd goes on",
    ),
    (
        "caps-mismatch",
        "the grandmaster and this instance do not have the same capabilities",
        "compare profile and transport of both",
    ),
    (
        "clustering-guard",
        "it does not agree with the other sources that it is compared with",
        "find out which of them is wrong before you trust any: `clustering` in the configuration names them",
    ),
    (
        "sustained-sync-failure",
        "it has followed its source for long, and did not come near enough",
        "see how the offset goes (`onloadctl clock watch`): a path with load makes it jump, a wrong source drift",
    ),
    (
        "coarse-time-of-day",
        "the time of day is not known to the second that a pulse begins",
        "give `time_of_day` an instance that is in sync",
    ),
    (
        "no-time-of-day",
        "pulses come, and nothing says which second they begin",
        "give `time_of_day` an instance that works",
    ),
    (
        "pps-no-signal",
        "no pulses come",
        "see the cable, the source, and that the card has an input for them",
    ),
    (
        "pps-seq-num-error",
        "pulses are lost, or come twice",
        "see the cable and its termination, and that the machine is not too busy to count them",
    ),
    (
        "pps-bad-signal",
        "pulses are not a second apart",
        "see that the source gives one pulse per second, and the cable's termination",
    ),
];

/// Everything that is not as it should be, in the order in which it is best done.
pub fn to_do(kept: &Kept) -> Vec<Blocker> {
    let mode = kept.mode.as_deref().unwrap_or_default();
    let conflicts = kept.conflicts.iter().map(conflict);
    let unit = kept.supervision.unit.as_deref();
    let supervision = supervision(&kept.supervision);
    let explained = supervision.is_some() || !kept.conflicts.is_empty();
    let clocks = kept.clocks.iter().flat_map(|one| clock(one, mode, unit, explained));
    conflicts.chain(supervision).chain(clocks).collect()
}

/// A conflict in three lines.
pub fn conflict(one: &Conflict) -> Blocker {
    Blocker {
        subject: one.clock.clone(),
        reason: one.kind.clone(),
        why: one.message.clone(),
        fix: one.fix.clone(),
    }
}

/// What keeps sfptpd from running as wanted.
fn supervision(seen: &Supervision) -> Option<Blocker> {
    if seen.status != "False" {
        return None;
    }
    let unit = seen.unit.as_deref().unwrap_or("sfptpd.service");
    let message = seen.message.as_deref().unwrap_or("it does not run as wanted");
    // A message in three lines brings its own remedy.
    let parts = Parts::of(message);
    let (why, fix) = match parts.fix.is_empty() {
        true => (message.to_owned(), format!("`journalctl -u {unit}` has what it said")),
        false => (format!("{}: {}", parts.what, parts.why), parts.fix.to_owned()),
    };
    let reason = seen.reason.clone().unwrap_or_default();
    Some(Blocker { subject: "sfptpd".into(), reason, why, fix })
}

/// What is wrong with one clock; a hardware clock that nobody steers is nothing wrong.
fn clock(one: &Clock, mode: &str, unit: Option<&str>, explained: bool) -> Vec<Blocker> {
    if !one.alarms.is_empty() {
        return one.alarms.iter().map(|name| alarm(one, name, unit)).collect();
    }
    let is_system = one.name == super::SYSTEM;
    let fix = match (one.synchronised.as_str(), one.standing.as_str()) {
        ("yes", _) => return Vec::new(),
        ("no", "free") if is_system && !explained => match mode {
            "manage" => "`onloadctl clock handover` has sfptpd steer it",
            _ => {
                "start whichever clock daemon this node is to have; with `mode = \"manage\"` in [ptp], onloadd runs sfptpd"
            }
        },
        (_, "free") => return Vec::new(),
        ("no", "good") if is_system => "wait: it has to stay so for a while before it counts",
        (_, "good") => return Vec::new(),
        (_, "bad") => "see with `onloadctl clock watch` whether its offset comes down",
        (_, _) if is_system && !explained => {
            "`onloadctl clock status --json` has under `unreadable` what could not be read"
        }
        (_, _) => return Vec::new(),
    };
    let reason = one.reason.clone().unwrap_or_else(|| "Unknown".to_owned());
    let why = one.message.clone().unwrap_or_else(|| one.state().0.to_owned());
    vec![Blocker { subject: one.name.clone(), reason, why, fix: fix.to_owned() }]
}

fn alarm(clock: &Clock, name: &str, unit: Option<&str>) -> Blocker {
    let name = name.trim();
    let known = ALARMS.iter().find(|(alarm, ..)| *alarm == name);
    let (why, fix) = match (known, unit) {
        (Some((_, why, fix)), _) => ((*why).to_owned(), (*fix).to_owned()),
        (None, Some(unit)) => (
            clock.message.clone().unwrap_or_else(|| "its daemon says so".to_owned()),
            format!("`journalctl -u {unit}` says more"),
        ),
        (None, None) => (
            clock.message.clone().unwrap_or_else(|| "its daemon says so".to_owned()),
            "see the log of whoever steers it".to_owned(),
        ),
    };
    Blocker { subject: clock.name.clone(), reason: name.to_owned(), why, fix }
}

#[cfg(test)]
mod tests {
    use super::super::kept::sample;
    use super::*;

    fn about(clock: Clock) -> Vec<Blocker> {
        to_do(&Kept { clocks: vec![clock], ..sample::kept() })
    }

    #[test]
    fn nothing_is_to_be_done_where_all_is_well() {
        assert_eq!(to_do(&sample::kept()), [], "a hardware clock may run free");
    }

    #[test]
    fn every_alarm_says_what_it_means_and_what_to_do() {
        for (name, why, fix) in ALARMS {
            // One of them is printed with a blank behind it.
            let alarms = vec![format!("{name} ")];
            let [one] = &about(Clock { alarms, ..sample::system() })[..] else {
                unreachable!("one alarm");
            };
            assert_eq!((&*one.reason, &*one.why, &*one.fix), (name, why, fix));
            assert!(!why.is_empty() && fix.len() > 20, "{name}");
        }
        let odd = about(Clock { alarms: vec!["new-one".into()], ..sample::system() });
        assert!(odd[0].fix.contains("journalctl -u sfptpd.service"), "{odd:?}");
    }

    #[test]
    fn a_clock_that_nobody_steers_is_told_once() {
        let free = Clock { name: "system".into(), ..sample::hardware() };
        let hint = about(free.clone());
        assert!(hint[0].fix.contains("onloadctl clock handover"), "{hint:?}");
        let observed = Kept { mode: Some("observe".into()), ..sample::kept() };
        let hint = to_do(&Kept { clocks: vec![free.clone()], ..observed });
        assert!(hint[0].fix.contains("mode = \"manage\""), "{hint:?}");
        let conflicts = vec![sample::conflict()];
        let hints = to_do(&Kept { clocks: vec![free], conflicts, ..sample::kept() });
        assert_eq!(hints.len(), 1, "what bars sfptpd explains it: {hints:?}");
        assert_eq!(hints[0].reason, "Chronyd");
    }

    #[test]
    fn a_message_that_brings_its_remedy_is_told_with_it() {
        let seen = |message: &str| Supervision {
            status: "False".into(),
            reason: Some("Ended".into()),
            message: Some(message.into()),
            unit: Some("sfptpd.service".into()),
            ..Supervision::default()
        };
        let whole = supervision(&seen("it ended\n  why: status 93\n  fix: stop timesyncd"));
        let whole = whole.unwrap_or_default();
        assert_eq!((&*whole.why, &*whole.fix), ("it ended: status 93", "stop timesyncd"));
        let bare = supervision(&seen("status 16 (EBUSY)")).unwrap_or_default();
        assert_eq!(bare.why, "status 16 (EBUSY)");
        assert!(bare.fix.contains("journalctl -u sfptpd.service"));
        assert_eq!(supervision(&Supervision::default()), None);
    }
}
