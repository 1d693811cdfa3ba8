//! Verdicts as tables: a node that is as it should be, and one thing after the other spoiled.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::clock::HardwareClock;
use crate::clock::chrony::Chrony;
use crate::clock::daemon::{Daemon, Told};
use crate::clock::kernel::KernelClock;
use crate::clock::linuxptp::{PortState, Ptp4l, PtpPort};
use crate::clock::sfptpd::{Instance, Sample, Sfptpd, State};
use crate::reading::Reading::{Absent, Known, Unreadable};

mod any;
mod linuxptp;
mod ntp;
mod sfptpd;

/// The bound of all tables: a millisecond.
pub(in crate::clock) const BOUND: u64 = 1_000_000;

/// What spoils a node, and what is said of a clock then.
type Row = (&'static str, fn(&mut Clocks), Standing, &'static str);

pub(in crate::clock) fn denied<T>() -> Reading<T> {
    Unreadable("permission denied".to_owned())
}

pub(in crate::clock) fn words(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|&word| word.to_owned()).collect()
}

pub(in crate::clock) fn daemon(kind: DaemonKind, unit: &str) -> Daemon {
    let unit = Some(unit.to_owned()).filter(|unit| !unit.is_empty());
    Daemon { kind, started: 1, unit, container: None, told: Told::default() }
}

/// Lets a program run on a node.
pub(in crate::clock) fn run(clocks: &mut Clocks, pid: u32, daemon: Daemon) {
    let mut all = clocks.daemons.known().cloned().unwrap_or_default();
    all.insert(pid, daemon);
    clocks.daemons = Known(all);
}

pub(in crate::clock) fn told(clocks: &mut Clocks, pid: u32, change: impl FnOnce(&mut Told)) {
    let mut all = clocks.daemons.known().cloned().unwrap_or_default();
    change(&mut all.get_mut(&pid).unwrap().told);
    clocks.daemons = Known(all);
}

/// A node with one Solarflare clock and nobody who steers.
pub(in crate::clock) fn bare() -> Clocks {
    let clock = HardwareClock {
        name: Known("sfc".to_owned()),
        ahead_ns: Known(37_000_000_120),
        window_ns: Known(800),
        ..HardwareClock::default()
    };
    Clocks {
        kernel: Known(KernelClock { frequency_ppb: -1_200, ..KernelClock::default() }),
        hardware: BTreeMap::from([(0, clock)]),
        daemons: Known(BTreeMap::new()),
        units: Known(BTreeMap::new()),
        ..Clocks::default()
    }
}

/// sfptpd follows PTP on `eth4`, and steers its clock and the system clock after it.
pub(in crate::clock) fn sfptpd_node() -> Clocks {
    let mut clocks = bare();
    run(&mut clocks, 812, daemon(DaemonKind::Sfptpd, "sfptpd.service"));
    clocks.lock = Known(812);
    clocks.hardware.get_mut(&0).unwrap().lock = Known(812);
    let row = |state: &str, selected| Instance {
        selected,
        state: state.to_owned(),
        operational: true,
        ..Instance::default()
    };
    let state = State {
        state: "ptp-slave".to_owned(),
        control_flags: words(&["selected", "timestamp-processing", "clock-ctrl"]),
        in_sync: Some(true),
        offset_ns: Some(30),
        path_delay_ns: Some(2_100),
        clock: Some("phc0(eth4)".to_owned()),
        interface: Some("eth4".to_owned()),
        grandmaster: Some("000fa5fffe112233".to_owned()),
        source: Some("10.0.0.1".to_owned()),
        ..State::default()
    };
    let line = |instance: &str, slave: &str, offset| Sample {
        instance: instance.to_owned(),
        slave: slave.to_owned(),
        disciplining: true,
        in_sync: true,
        offset_ns: Some(offset),
        frequency_ppb: Some(-7),
        ..Sample::default()
    };
    clocks.sfptpd = Known(Sfptpd {
        instances: Known(BTreeMap::from([
            ("ptp1".to_owned(), row("ptp-slave", true)),
            ("crny0".to_owned(), row("ntp-slave", false)),
        ])),
        states: BTreeMap::from([("ptp1".to_owned(), Known(state))]),
        samples: Known(BTreeMap::from([
            ("ptp1->phc0(eth4)".to_owned(), line("ptp1", "phc0(eth4)", 20)),
            ("phc0->system".to_owned(), line("phc0", "system", -50)),
        ])),
        metrics: true,
        ..Sfptpd::default()
    });
    clocks
}

/// chronyd follows a server nearby.
pub(in crate::clock) fn chrony_node() -> Clocks {
    let mut clocks = bare();
    run(&mut clocks, 700, daemon(DaemonKind::Chronyd, "chronyd.service"));
    clocks.chrony = Known(Chrony {
        reference_id: "0A000001".to_owned(),
        source: "10.0.0.1".to_owned(),
        stratum: 2,
        offset_ns: -4_000,
        rms_offset_ns: 6_000,
        root_delay_ns: 300_000,
        root_dispersion_ns: 90_000,
        leap: Some(Leap::None),
        usable_sources: 1,
        sources: 3,
    });
    clocks
}

/// ptp4l steers the hardware clock, phc2sys the system clock after it.
pub(in crate::clock) fn linuxptp_node() -> Clocks {
    let mut clocks = bare();
    run(&mut clocks, 900, daemon(DaemonKind::Ptp4l, "ptp4l.service"));
    run(&mut clocks, 901, daemon(DaemonKind::Phc2sys, "phc2sys.service"));
    told(&mut clocks, 900, |told| told.interfaces = words(&["eth4"]));
    told(&mut clocks, 901, |told| {
        told.source = Some("eth4".to_owned());
        told.steers = words(&["CLOCK_REALTIME"]);
    });
    clocks.hardware.get_mut(&0).unwrap().users = BTreeSet::from([900, 901]);
    let port = PtpPort {
        hardware_stamps: Some(true),
        state: PortState::Slave,
        interface: Some("eth4".to_owned()),
        hardware_clock: Some(0),
    };
    let said = Ptp4l {
        clock_identity: "000f53.fffe.a10001".to_owned(),
        master_offset_ns: Some(-8),
        path_delay_ns: Some(640),
        has_grandmaster: true,
        grandmaster: "000fa5.fffe.112233".to_owned(),
        utc_offset: Some(37),
        ports: vec![port],
        ..Ptp4l::default()
    };
    clocks.ptp4l = BTreeMap::from([("/var/run/ptp4lro".to_owned(), Known(said))]);
    clocks
}

/// Says what a table says, of the clock that `judge` judges.
fn hold(rows: &[Row], node: fn() -> Clocks, judge: fn(&Clocks) -> Verdict) {
    for (label, spoil, standing, reason) in rows {
        let mut clocks = node();
        spoil(&mut clocks);
        let verdict = judge(&clocks);
        let said = (verdict.standing, verdict.reason.as_str());
        assert_eq!(said, (*standing, *reason), "{label}: {verdict:?}");
        assert!(!verdict.message.is_empty(), "{label}");
    }
}

fn of_system(clocks: &Clocks) -> Verdict {
    system(clocks, BOUND)
}

fn of_hardware(clocks: &Clocks) -> Verdict {
    hardware(clocks, 0, BOUND)
}

#[test]
fn words_for_clocks_are_what_people_and_programs_write() {
    let rows = [
        ("system", Some(Target::System)),
        ("CLOCK_REALTIME", Some(Target::System)),
        ("/dev/ptp3", Some(Target::Hardware(3))),
        ("ptp12", Some(Target::Hardware(12))),
        ("phc0", Some(Target::Hardware(0))),
        ("phc1(eth4/eth5)", Some(Target::Hardware(1))),
        ("ptp1x", None),
        ("ptp", None),
        ("phc+1", None),
        ("ptp99999999999", None),
        ("eth4", None),
        ("", None),
    ];
    for (word, target) in rows {
        assert_eq!(Target::of(word), target, "{word}");
    }
    let clocks = linuxptp_node();
    assert_eq!(Target::behind(&clocks, "eth4"), Some(Target::Hardware(0)));
    assert_eq!(Target::behind(&clocks, "eth9"), None);
    assert_eq!(Target::behind(&sfptpd_node(), "eth4"), Some(Target::Hardware(0)));
}

#[test]
fn a_clock_that_nobody_steers_is_free_and_one_that_cannot_be_seen_unknown() {
    let rows: [Row; 4] = [
        ("nobody", |_| {}, Standing::Free, reason::NOT_STEERED),
        (
            "chronyd told to leave it alone",
            |clocks| {
                run(clocks, 700, daemon(DaemonKind::Chronyd, "chronyd.service"));
                told(clocks, 700, |told| told.leaves_system_clock = true);
            },
            Standing::Free,
            reason::NOT_STEERED,
        ),
        (
            "a process nobody knows has locked it",
            |clocks| clocks.lock = Known(4_242),
            Standing::Unknown,
            reason::LOCKED,
        ),
        (
            "no process can be seen",
            |clocks| clocks.daemons = denied(),
            Standing::Unknown,
            reason::UNREADABLE,
        ),
    ];
    hold(&rows, bare, of_system);
    assert_eq!(hardware(&bare(), 0, BOUND).standing, Standing::Free);
    assert_eq!(hardware(&bare(), 7, BOUND).reason, reason::NO_SUCH_CLOCK);
}

#[test]
fn who_has_locked_a_clock_is_who_steers_it_whatever_the_others_say() {
    let mut clocks = chrony_node();
    run(&mut clocks, 901, daemon(DaemonKind::Phc2sys, "phc2sys.service"));
    let kind = |clocks: &Clocks| system(clocks, BOUND).steered_by.map(|one| (one.kind, one.pid));
    assert_eq!(kind(&clocks), Some((DaemonKind::Phc2sys, 901)), "told before by default");
    clocks.lock = Known(700);
    assert_eq!(kind(&clocks), Some((DaemonKind::Chronyd, 700)), "the lock before all");
    let mut clocks = sfptpd_node();
    run(&mut clocks, 700, daemon(DaemonKind::Chronyd, "chronyd.service"));
    clocks.lock = Absent;
    assert_eq!(kind(&clocks), Some((DaemonKind::Sfptpd, 812)), "says so before by default");
    clocks.lock = Known(813);
    assert_eq!(kind(&clocks), Some((DaemonKind::Sfptpd, 812)), "its privileged part has the lock");
}

#[test]
fn a_leap_second_to_come_is_shown_and_is_no_alarm() {
    for leap in [Leap::None, Leap::Insert, Leap::Delete] {
        for node in [sfptpd_node, chrony_node, linuxptp_node] {
            let mut clocks = node();
            clocks.kernel = Known(KernelClock { leap, ..KernelClock::default() });
            if let Known(chrony) = &mut clocks.chrony {
                chrony.leap = Some(leap);
            }
            if let Known(said) = &mut clocks.sfptpd
                && let Some(Known(state)) = said.states.get_mut("ptp1")
            {
                state.leap = true;
                state.control_flags.insert("leap-second-guard".to_owned());
            }
            let verdict = system(&clocks, BOUND);
            assert_eq!(verdict.standing, Standing::Good, "{verdict:?}");
            let (at, names) = (Timestamp(5), Vec::new());
            let picture = ClockPicture::of("system", &clocks, verdict, Status::True, at, names);
            assert_eq!(picture.leap, leap.as_str());
        }
    }
}

#[test]
fn a_picture_has_what_was_found_and_names_its_gaps() {
    let mut clocks = linuxptp_node();
    let verdict = hardware(&clocks, 0, BOUND);
    let names = vec!["eth4".to_owned()];
    let picture =
        ClockPicture::of("ptp0", &clocks, verdict, Status::True, Timestamp(5), names.clone());
    assert_eq!(picture.device, "/dev/ptp0");
    assert_eq!(picture.driver_name, "sfc");
    assert_eq!(picture.interfaces, names);
    assert_eq!(picture.ahead_ns, Some(37_000_000_120));
    assert_eq!(picture.leap, "");
    assert_eq!((picture.synchronised, picture.since), (Status::True, Timestamp(5)));
    assert!(picture.unreadable.is_empty(), "{:?}", picture.unreadable);

    let clock = clocks.hardware.get_mut(&0).unwrap();
    (clock.name, clock.ahead_ns) = (denied(), denied());
    (clocks.daemons, clocks.kernel) = (denied(), denied());
    clocks.ptp4l = BTreeMap::from([("/var/run/ptp4lro".to_owned(), denied())]);
    let gaps = |name: &str| -> Vec<String> {
        let verdict = Verdict::default();
        let picture =
            ClockPicture::of(name, &clocks, verdict, Status::Unknown, Timestamp(5), Vec::new());
        picture.unreadable.into_keys().collect()
    };
    assert_eq!(gaps("ptp0"), ["AheadOfSystem", "DriverName", "Offset", "SteeredBy"]);
    assert_eq!(gaps("system"), ["Leap", "Offset", "SteeredBy"]);
}
