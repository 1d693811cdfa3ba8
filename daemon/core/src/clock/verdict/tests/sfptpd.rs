//! The sheet's rule for sfptpd, one condition after the other.

use super::*;

fn said(clocks: &mut Clocks) -> &mut Sfptpd {
    match &mut clocks.sfptpd {
        Known(said) => said,
        Absent | Unreadable(_) => panic!("the node has an sfptpd"),
    }
}

fn line<'a>(clocks: &'a mut Clocks, key: &str) -> &'a mut Sample {
    match &mut said(clocks).samples {
        Known(all) => all.get_mut(key).unwrap(),
        Absent | Unreadable(_) => panic!("the node has statistics"),
    }
}

fn master(clocks: &mut Clocks) -> &mut Sample {
    line(clocks, "ptp1->phc0(eth4)")
}

fn local(clocks: &mut Clocks) -> &mut Sample {
    line(clocks, "phc0->system")
}

fn turns(clocks: &mut Clocks, state: &str) {
    let said = said(clocks);
    if let Some(Known(one)) = said.states.get_mut("ptp1") {
        one.state = state.to_owned();
    }
    if let Known(rows) = &mut said.instances {
        rows.get_mut("ptp1").unwrap().state = state.to_owned();
    }
}

const ROWS: [Row; 24] = [
    ("as it should be", |_| {}, Standing::Good, reason::SYNCHRONISED),
    (
        "the process is gone",
        |clocks| {
            (clocks.daemons, clocks.lock) = (Known(BTreeMap::new()), Absent);
        },
        Standing::Free,
        reason::NOT_STEERED,
    ),
    ("no files yet", |clocks| clocks.sfptpd = Absent, Standing::Unknown, reason::SAYS_NOTHING),
    (
        "files not readable",
        |clocks| clocks.sfptpd = denied(),
        Standing::Unknown,
        reason::UNREADABLE,
    ),
    ("listening", |clocks| turns(clocks, "ptp-listening"), Standing::Bad, reason::NOT_LOCKED),
    ("passive", |clocks| turns(clocks, "ptp-passive"), Standing::Bad, reason::NOT_LOCKED),
    ("disabled", |clocks| turns(clocks, "ptp-disabled"), Standing::Bad, reason::NOT_LOCKED),
    ("faulty", |clocks| turns(clocks, "ptp-faulty"), Standing::Bad, reason::NOT_LOCKED),
    ("settling", |clocks| turns(clocks, "ntp-settling"), Standing::Bad, reason::NOT_LOCKED),
    ("selection", |clocks| turns(clocks, "ntp-selection"), Standing::Bad, reason::NOT_LOCKED),
    ("master", |clocks| turns(clocks, "ptp-master"), Standing::Bad, reason::MASTER),
    ("slave with alarm", |clocks| turns(clocks, "ptp-slave-alarm"), Standing::Bad, reason::ALARM),
    ("NTP slave", |clocks| turns(clocks, "ntp-slave"), Standing::Good, reason::SYNCHRONISED),
    ("free running", |clocks| turns(clocks, "freerunning-clock"), Standing::Bad, reason::FREERUN),
    (
        "an alarm of the instance",
        |clocks| master(clocks).alarms = words(&["no-sync-pkts"]),
        Standing::Bad,
        reason::ALARM,
    ),
    (
        "an alarm of the servo",
        |clocks| local(clocks).alarms = words(&["sustained-sync-failure"]),
        Standing::Bad,
        reason::ALARM,
    ),
    (
        "the instance not in sync",
        |clocks| master(clocks).in_sync = false,
        Standing::Bad,
        reason::NOT_IN_SYNC,
    ),
    (
        "the system clock not in sync",
        |clocks| local(clocks).in_sync = false,
        Standing::Bad,
        reason::NOT_IN_SYNC,
    ),
    (
        "locked and not disciplined",
        |clocks| local(clocks).disciplining = false,
        Standing::Bad,
        reason::NOT_DISCIPLINED,
    ),
    (
        "compared only",
        |clocks| {
            local(clocks).disciplining = false;
            clocks.lock = Absent;
        },
        Standing::Free,
        reason::NOT_DISCIPLINED,
    ),
    (
        "nothing selected",
        |clocks| {
            if let Known(rows) = &mut said(clocks).instances {
                rows.get_mut("ptp1").unwrap().selected = false;
            }
            said(clocks).states.clear();
        },
        Standing::Bad,
        reason::NO_SOURCE,
    ),
    (
        "the table of instances not there yet",
        |clocks| said(clocks).instances = Absent,
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    (
        "no statistics of the system clock, and no state",
        |clocks| {
            if let Known(all) = &mut said(clocks).samples {
                all.remove("phc0->system");
            }
        },
        Standing::Unknown,
        reason::SAYS_NOTHING,
    ),
    (
        "an offset beyond the bound that sfptpd calls in sync",
        |clocks| master(clocks).offset_ns = Some(9_000_000_000),
        Standing::Good,
        reason::SYNCHRONISED,
    ),
];

#[test]
fn every_condition_of_the_rule_counts() {
    hold(&ROWS, sfptpd_node, of_system);
}

#[test]
fn what_it_follows_is_told_with_the_whole_offset() {
    let verdict = system(&sfptpd_node(), BOUND);
    assert_eq!(verdict.offset_ns, Some(-30), "the system clock's and the hardware clock's");
    assert_eq!(verdict.source, "ptp1 (10.0.0.1)");
    assert_eq!(verdict.grandmaster, "000fa5fffe112233");
    assert_eq!((verdict.path_delay_ns, verdict.frequency_ppb), (Some(2_100), Some(-7)));
    let message = "sfptpd (process 812, sfptpd.service) steers the system clock from ptp1 \
                   (10.0.0.1), grandmaster 000fa5fffe112233, 30 ns behind";
    assert_eq!(verdict.message, message);
    let verdict = hardware(&sfptpd_node(), 0, BOUND);
    assert_eq!((verdict.standing, verdict.offset_ns), (Standing::Good, Some(20)));
}

#[test]
fn every_alarm_of_the_sheet_is_named_and_counts_at_once() {
    let alarms = [
        "pps-no-signal",
        "pps-seq-num-error",
        "no-time-of-day",
        "pps-bad-signal",
        "no-sync-pkts",
        "no-follow-ups",
        "no-delay-resps",
        "no-pdelay-resps",
        "no-pdelay-resp-follow-ups",
        "no-tx-timestamps",
        "no-rx-timestamps",
        "no-interface",
        "clock-ctrl-failure",
        "clock-near-epoch",
        "caps-mismatch ",
        "clustering-guard",
        "sustained-sync-failure",
        "coarse-time-of-day",
    ];
    for alarm in alarms {
        let mut clocks = sfptpd_node();
        master(&mut clocks).alarms = words(&[alarm]);
        let verdict = system(&clocks, BOUND);
        assert_eq!(verdict.alarms, [alarm.trim()]);
        assert!(!verdict.may_pass() && verdict.message.contains(alarm.trim()), "{verdict:?}");
    }
}

#[test]
fn without_statistics_the_state_files_count() {
    let state = |word: &str, in_sync, blocked: &[&str]| State {
        state: word.to_owned(),
        in_sync,
        offset_ns: Some(-70),
        blocked_by: words(blocked),
        ..State::default()
    };
    let rows = [
        (state("local-slave", Some(true), &[]), Standing::Good, reason::SYNCHRONISED),
        (state("local-slave", Some(false), &[]), Standing::Bad, reason::NOT_IN_SYNC),
        (state("local-slave", None, &[]), Standing::Unknown, reason::SAYS_NOTHING),
        (state("local-slave", Some(true), &["ntp"]), Standing::Bad, reason::NOT_DISCIPLINED),
        (state("local-slave", Some(true), &["manual"]), Standing::Bad, reason::NOT_DISCIPLINED),
        (state("local-slave", Some(true), &["flock"]), Standing::Bad, reason::NOT_DISCIPLINED),
    ];
    for (state, standing, reason) in rows {
        let mut clocks = sfptpd_node();
        said(&mut clocks).samples = Absent;
        let blocked = state.blocked_by.clone();
        said(&mut clocks).states.insert("system".to_owned(), Known(state));
        let verdict = system(&clocks, BOUND);
        assert_eq!((verdict.standing, verdict.reason.as_str()), (standing, reason), "{verdict:?}");
        assert!(blocked.iter().all(|word| verdict.message.contains(word)), "{verdict:?}");
    }
}

#[test]
fn the_shipped_configuration_runs_and_follows_nobody() {
    let mut clocks = sfptpd_node();
    turns(&mut clocks, "freerunning-clock");
    local(&mut clocks).disciplining = false;
    master(&mut clocks).disciplining = false;
    clocks.lock = Absent;
    let verdict = system(&clocks, BOUND);
    assert_eq!((verdict.standing, verdict.reason.as_str()), (Standing::Free, reason::FREERUN));
    assert_eq!(verdict.steered_by, None);
}

#[test]
fn what_it_said_long_ago_proves_nothing() {
    let (short, long) = (Duration::from_secs(30), Duration::from_secs(91));
    let longest = Duration::from_secs(90);
    let good = system(&sfptpd_node(), BOUND);
    assert_eq!(good.clone().unless_silent(short, longest), good);
    let silent = good.unless_silent(long, longest);
    assert_eq!((silent.standing, silent.reason.as_str()), (Standing::Bad, reason::SILENT));
    assert!(!silent.may_pass());
    let chrony = system(&chrony_node(), BOUND);
    assert_eq!(chrony.clone().unless_silent(long, longest), chrony);
}
