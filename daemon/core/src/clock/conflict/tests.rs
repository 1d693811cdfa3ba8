//! Conflicts as tables: every pair of programs that fights, and those that do not.

use std::collections::BTreeMap;

use super::*;
use crate::clock::daemon::DaemonKind;
use crate::clock::linuxptp::PortState;
use crate::clock::unit::{Active, Ended, Unit};
use crate::clock::verdict::tests::{
    bare, chrony_node, daemon, denied, linuxptp_node, run, sfptpd_node, told, words,
};
use crate::reading::Reading::{Absent, Known, Unreadable};

mod own;

const CHRONYD: &str = "chronyd.service";
const OURS: &str = "sfptpd.service";

/// What sfptpd shall do in most tables: follow somebody and steer the system clock.
fn all() -> Intended {
    Intended { readonly: BTreeSet::new(), follows: true, steers_system_clock: true }
}

fn looked(clocks: &Clocks, mode: ClockMode, configured: Option<&Intended>) -> Vec<Conflict> {
    find(clocks, &ConflictContext { mode, configured, unit: Some(OURS) })
}

/// A row as short as it can be: kind, clock, whether it bars, units.
fn short(found: &[Conflict]) -> Vec<(ConflictKind, &str, bool, Vec<&str>)> {
    let units = |one: &'_ Conflict| one.units.len();
    found
        .iter()
        .map(|one| {
            assert!(one.message.len() > 20 && one.fix.len() > 10, "{one:?}");
            assert_eq!(units(one), one.units.iter().collect::<BTreeSet<_>>().len());
            let units = one.units.iter().map(String::as_str).collect();
            (one.kind, one.clock.as_str(), one.bars_start, units)
        })
        .collect()
}

/// Kind of program, its unit, what it is besides, and the conflict that it is.
type Other = (DaemonKind, &'static str, ConflictKind, &'static str);

const OTHERS: [Other; 4] = [
    (DaemonKind::Chronyd, CHRONYD, ConflictKind::Chronyd, "EOPNOTSUPP"),
    (DaemonKind::Ntpd, "ntpd.service", ConflictKind::Ntpd, "EBUSY"),
    (
        DaemonKind::Timesyncd,
        "systemd-timesyncd.service",
        ConflictKind::Timesyncd,
        "EPROTONOSUPPORT",
    ),
    (DaemonKind::Phc2sys, "phc2sys.service", ConflictKind::Phc2sys, "does not notice"),
];

#[test]
fn whoever_steers_the_system_clock_beside_sfptpd_is_named_with_what_becomes_of_it() {
    for (kind, unit, conflict, becomes) in OTHERS {
        // It runs; it is to run by the configuration; it is to run and nothing says what it is to do.
        let (runs, intended) = (sfptpd_node(), all());
        let cases = [
            (runs, ClockMode::Observe, None),
            (bare(), ClockMode::Manage, Some(&intended)),
            (bare(), ClockMode::Manage, None),
        ];
        for (mut clocks, mode, configured) in cases {
            run(&mut clocks, 700, daemon(kind, unit));
            let found = looked(&clocks, mode, configured);
            assert_eq!(short(&found), [(conflict, "system", true, vec![unit])], "{kind}");
            let Conflict { message, fix, .. } = &found[0];
            let who = format!("{kind} (process 700, {unit})");
            assert!(message.contains(&who) && message.contains(becomes), "{message}");
            assert!(fix.contains(unit), "{fix}");
            assert_eq!(fix.contains("clock handover"), mode == ClockMode::Manage, "{fix}");
        }
    }
}

#[test]
fn without_sfptpd_one_keeps_the_clock_and_the_others_fight_with_it() {
    for (kind, unit, conflict, _) in OTHERS {
        let mut clocks = bare();
        run(&mut clocks, 700, daemon(kind, unit));
        assert_eq!(looked(&clocks, ClockMode::Observe, None), [], "{kind} alone");
        if kind == DaemonKind::Phc2sys {
            continue;
        }
        let mut clocks = linuxptp_node();
        run(&mut clocks, 700, daemon(kind, unit));
        let found = looked(&clocks, ClockMode::Observe, None);
        assert_eq!(short(&found), [(conflict, "system", false, vec![unit])], "{kind} and phc2sys");
        assert!(found[0].message.contains("phc2sys (process 901"), "{}", found[0].message);
        let refclock = found[0].fix.contains("refclock PHC");
        assert_eq!(refclock, kind == DaemonKind::Chronyd, "{}", found[0].fix);
    }
    let mut clocks = chrony_node();
    run(&mut clocks, 600, daemon(DaemonKind::Timesyncd, "systemd-timesyncd.service"));
    let found = looked(&clocks, ClockMode::Observe, None);
    let unit = vec!["systemd-timesyncd.service"];
    assert_eq!(short(&found), [(ConflictKind::Timesyncd, "system", false, unit)]);
}

#[test]
fn what_does_not_fight_is_no_conflict() {
    let intended = all();
    let manage = |clocks: &Clocks| looked(clocks, ClockMode::Manage, Some(&intended));
    for node in [sfptpd_node, bare] {
        assert_eq!(manage(&node()), []);
    }
    let mut clocks = sfptpd_node();
    run(&mut clocks, 700, daemon(DaemonKind::Chronyd, CHRONYD));
    told(&mut clocks, 700, |told| told.leaves_system_clock = true);
    assert_eq!(manage(&clocks), [], "chronyd -x");
    let mut clocks = sfptpd_node();
    run(&mut clocks, 901, daemon(DaemonKind::Phc2sys, "phc2sys.service"));
    told(&mut clocks, 901, |told| told.steers = words(&["/dev/ptp7"]));
    assert_eq!(manage(&clocks), [], "phc2sys on a clock of its own");
    for node in [linuxptp_node, chrony_node, bare] {
        assert_eq!(looked(&node(), ClockMode::Observe, None), []);
    }
    let mut clocks = sfptpd_node();
    run(&mut clocks, 700, daemon(DaemonKind::Chronyd, CHRONYD));
    assert_eq!(looked(&clocks, ClockMode::Off, Some(&intended)), [], "nobody looks");
    let mut clocks = chrony_node();
    run(&mut clocks, 701, daemon(DaemonKind::Chronyd, CHRONYD));
    assert_eq!(looked(&clocks, ClockMode::Observe, None), [], "its process with privileges");
}

#[test]
fn a_chronyd_beside_an_sfptpd_that_leaves_the_system_clock_alone_is_no_fight() {
    let intended =
        Intended { readonly: words(&["system"]), follows: true, steers_system_clock: false };
    let mut clocks = sfptpd_node();
    clocks.lock = Absent;
    if let Known(said) = &mut clocks.sfptpd
        && let Known(samples) = &mut said.samples
    {
        samples.remove("phc0->system");
    }
    run(&mut clocks, 700, daemon(DaemonKind::Chronyd, CHRONYD));
    assert_eq!(looked(&clocks, ClockMode::Observe, Some(&intended)), []);
    // It is one where chronyd makes sfptpd follow it in place of PTP.
    if let Known(said) = &mut clocks.sfptpd
        && let Known(rows) = &mut said.instances
    {
        rows.get_mut("ptp1").unwrap().selected = false;
        let row = rows.get_mut("crny0").unwrap();
        (row.selected, row.constraint) = (true, Some("must-be-selected".to_owned()));
    }
    let found = looked(&clocks, ClockMode::Observe, Some(&intended));
    assert_eq!(short(&found), [(ConflictKind::Chronyd, "system", false, vec![CHRONYD])]);
    assert!(found[0].message.contains("does not follow ptp1"), "{}", found[0].message);
    // systemd-timesyncd bars it all the same.
    let mut clocks = bare();
    run(&mut clocks, 600, daemon(DaemonKind::Timesyncd, "systemd-timesyncd.service"));
    let found = looked(&clocks, ClockMode::Manage, Some(&intended));
    let unit = vec!["systemd-timesyncd.service"];
    assert_eq!(short(&found), [(ConflictKind::Timesyncd, "system", true, unit)]);
}

#[test]
fn who_cannot_be_stopped_as_a_unit_is_told_how_else() {
    let intended = all();
    let mut clocks = bare();
    let mut one = daemon(DaemonKind::Phc2sys, "crio-4f1c.scope");
    one.container = Some("4f1c".to_owned());
    run(&mut clocks, 901, one);
    let found = looked(&clocks, ClockMode::Manage, Some(&intended));
    assert_eq!(short(&found), [(ConflictKind::Phc2sys, "system", true, vec![])]);
    assert!(found[0].message.contains("in container 4f1c"), "{}", found[0].message);
    assert!(found[0].fix.contains("mode = \"observe\""), "{}", found[0].fix);
    for unit in ["", "session-3.scope", "user@1000.service"] {
        let mut clocks = bare();
        run(&mut clocks, 700, daemon(DaemonKind::Chronyd, unit));
        let found = looked(&clocks, ClockMode::Manage, Some(&intended));
        assert_eq!(short(&found), [(ConflictKind::Chronyd, "system", true, vec![])]);
        assert!(found[0].fix.contains("end process 700"), "{}", found[0].fix);
    }
}

#[test]
fn a_service_on_its_way_up_bars_as_if_it_were_there() {
    let intended = all();
    let rows = [
        (Active::Activating, Known(BTreeMap::new()), true),
        (Active::Active, Known(BTreeMap::new()), false),
        (Active::Active, denied(), true),
        (Active::Deactivating, Known(BTreeMap::new()), false),
        (Active::Failed, Known(BTreeMap::new()), false),
        (Active::Inactive, denied(), false),
    ];
    for (active, daemons, bars) in rows {
        let mut clocks = bare();
        clocks.daemons = daemons;
        let unit = Unit { installed: true, active, ..Unit::default() };
        clocks.units = Known(BTreeMap::from([(CHRONYD.to_owned(), unit)]));
        let found = looked(&clocks, ClockMode::Manage, Some(&intended));
        let wanted = (ConflictKind::Chronyd, "system", true, vec![CHRONYD]);
        assert_eq!(short(&found), Vec::from_iter(bars.then_some(wanted)), "{active:?}");
        assert_eq!(looked(&clocks, ClockMode::Observe, None), [], "{active:?}: no sfptpd");
    }
}

#[test]
fn an_sfptpd_that_ended_for_another_says_for_whom() {
    let rows = [
        (Ended::Status(16), true),
        (Ended::Status(93), true),
        (Ended::Status(95), true),
        (Ended::Status(22), false),
        (Ended::Signal(11), false),
    ];
    for (ended, named) in rows {
        let mut clocks = chrony_node();
        let unit = Unit { active: Active::Failed, ended: Some(ended), ..Unit::default() };
        clocks.units = Known(BTreeMap::from([(OURS.to_owned(), unit)]));
        let found = looked(&clocks, ClockMode::Observe, None);
        let wanted = (ConflictKind::Chronyd, "system", true, vec![CHRONYD]);
        assert_eq!(short(&found), Vec::from_iter(named.then_some(wanted)), "{ended:?}");
    }
}

#[test]
fn two_of_a_kind_fight_with_each_other() {
    let mut clocks = linuxptp_node();
    run(&mut clocks, 950, daemon(DaemonKind::Phc2sys, "second.service"));
    let found = looked(&clocks, ClockMode::Observe, None);
    let wanted = (ConflictKind::TwoOfAKind, "system", false, vec!["second.service"]);
    assert_eq!(short(&found), [wanted]);
    let mut clocks = chrony_node();
    run(&mut clocks, 950, daemon(DaemonKind::Chronyd, "second.service"));
    let found = looked(&clocks, ClockMode::Manage, Some(&all()));
    let wanted = [
        (ConflictKind::Chronyd, "system", true, vec![CHRONYD]),
        (ConflictKind::TwoOfAKind, "system", true, vec!["second.service"]),
    ];
    assert_eq!(short(&found), wanted);
}

#[test]
fn two_with_one_hardware_clock_fight() {
    // ptp4l and sfptpd, which notices nothing.
    let mut clocks = sfptpd_node();
    let linuxptp = linuxptp_node();
    run(&mut clocks, 900, linuxptp.daemons.known().unwrap()[&900].clone());
    clocks.ptp4l = linuxptp.ptp4l.clone();
    let found = looked(&clocks, ClockMode::Observe, None);
    let wanted = (ConflictKind::HardwareClock, "ptp0", true, vec!["ptp4l.service"]);
    assert_eq!(short(&found), [wanted]);
    let both = ["sfptpd (process 812", "ptp4l (process 900"];
    assert!(both.iter().all(|who| found[0].message.contains(who)), "{}", found[0].message);
    // As a master it only reads the clock.
    if let Some(Known(said)) = clocks.ptp4l.values_mut().next() {
        said.ports[0].state = PortState::Master;
    }
    assert_eq!(looked(&clocks, ClockMode::Observe, None), []);

    // An sfptpd that is to come has every clock of its cards, and no other.
    let mut clocks = linuxptp_node();
    told(&mut clocks, 901, |told| told.steers = words(&["/dev/ptp7"]));
    let found = looked(&clocks, ClockMode::Manage, Some(&all()));
    let wanted = (ConflictKind::HardwareClock, "ptp0", true, vec!["ptp4l.service"]);
    assert_eq!(short(&found), [wanted]);
    clocks.hardware.get_mut(&0).unwrap().name = Known("igb".to_owned());
    assert_eq!(looked(&clocks, ClockMode::Manage, Some(&all())), []);

    // Two without sfptpd, one of them in a container, where its socket cannot be reached.
    let mut clocks = linuxptp_node();
    let mut other = daemon(DaemonKind::Ptp4l, "crio-77aa.scope");
    other.container = Some("77aa".to_owned());
    run(&mut clocks, 950, other);
    clocks.hardware.get_mut(&0).unwrap().users.insert(950);
    let found = looked(&clocks, ClockMode::Observe, None);
    assert_eq!(short(&found), [(ConflictKind::HardwareClock, "ptp0", false, vec![])]);
    // phc2sys and ts2phc are told clocks by name.
    for kind in [DaemonKind::Ts2phc, DaemonKind::Phc2sys] {
        let mut clocks = linuxptp_node();
        let mut other = daemon(kind, "other.service");
        other.told.steers = words(&["eth4"]);
        run(&mut clocks, 950, other);
        let found = looked(&clocks, ClockMode::Observe, None);
        let wanted = (ConflictKind::HardwareClock, "ptp0", false, vec!["other.service"]);
        assert_eq!(short(&found), [wanted], "{kind}");
    }
}
