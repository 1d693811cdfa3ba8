//! ptp4l and phc2sys: the port, the grandmaster, the offset, and the system clock compared by the kernel.

use super::*;

fn said(clocks: &mut Clocks) -> &mut Ptp4l {
    match clocks.ptp4l.values_mut().next() {
        Some(Known(said)) => said,
        Some(Absent | Unreadable(_)) | None => panic!("the node has a ptp4l"),
    }
}

fn port(clocks: &mut Clocks, state: PortState) {
    said(clocks).ports[0].state = state;
}

fn ahead(clocks: &mut Clocks, ns: i64) {
    clocks.hardware.get_mut(&0).unwrap().ahead_ns = Known(ns);
}

const HARDWARE: [Row; 15] = [
    ("as it should be", |_| {}, Standing::Good, reason::SYNCHRONISED),
    ("uncalibrated", |c| port(c, PortState::Uncalibrated), Standing::Bad, reason::NOT_LOCKED),
    ("listening", |c| port(c, PortState::Listening), Standing::Bad, reason::NO_SOURCE),
    ("initializing", |c| port(c, PortState::Initializing), Standing::Bad, reason::NO_SOURCE),
    ("before it is master", |c| port(c, PortState::PreMaster), Standing::Bad, reason::NO_SOURCE),
    ("faulty", |c| port(c, PortState::Faulty), Standing::Bad, reason::NOT_LOCKED),
    ("passive", |c| port(c, PortState::Passive), Standing::Free, reason::NOT_STEERED),
    ("disabled", |c| port(c, PortState::Disabled), Standing::Free, reason::NOT_STEERED),
    ("master", |c| port(c, PortState::Master), Standing::Free, reason::NOT_STEERED),
    ("grandmaster", |c| port(c, PortState::GrandMaster), Standing::Free, reason::NOT_STEERED),
    ("no grandmaster", |c| said(c).has_grandmaster = false, Standing::Bad, reason::NO_SOURCE),
    ("no offset", |c| said(c).master_offset_ns = None, Standing::Unknown, reason::SAYS_NOTHING),
    (
        "at the bound",
        |c| said(c).master_offset_ns = Some(-1_000_000),
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    (
        "beyond the bound",
        |c| said(c).master_offset_ns = Some(-1_000_001),
        Standing::Bad,
        reason::OFFSET_TOO_LARGE,
    ),
    (
        "does not answer",
        |c| c.ptp4l = BTreeMap::from([("/var/run/ptp4lro".to_owned(), denied())]),
        Standing::Unknown,
        reason::SAYS_NOTHING,
    ),
];

const SYSTEM: [Row; 14] = [
    ("as it should be", |_| {}, Standing::Good, reason::SYNCHRONISED),
    ("behind by hours", |c| ahead(c, 7_200_000_000_000), Standing::Bad, reason::OFFSET_TOO_LARGE),
    ("ahead by hours", |c| ahead(c, -7_200_000_000_000), Standing::Bad, reason::OFFSET_TOO_LARGE),
    ("a whole TAI offset wrong", |c| ahead(c, 120), Standing::Bad, reason::OFFSET_TOO_LARGE),
    (
        "nobody says the TAI offset, and the clock has none",
        |c| {
            said(c).utc_offset = None;
            ahead(c, 120);
        },
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    (
        "nobody says the TAI offset, and the clock has it",
        |c| said(c).utc_offset = None,
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    (
        "the comparison was slower than the bound",
        |c| {
            ahead(c, 37_001_500_000);
            c.hardware.get_mut(&0).unwrap().window_ns = Known(600_000);
        },
        Standing::Unknown,
        reason::IMPRECISE,
    ),
    (
        "not compared",
        |c| c.hardware.get_mut(&0).unwrap().ahead_ns = denied(),
        Standing::Unknown,
        reason::UNREADABLE,
    ),
    (
        "cannot be compared",
        |c| c.hardware.get_mut(&0).unwrap().ahead_ns = Absent,
        Standing::Unknown,
        reason::SAYS_NOTHING,
    ),
    ("ptp4l lost its master", |c| port(c, PortState::Listening), Standing::Bad, reason::NO_SOURCE),
    ("ptp4l became master", |c| port(c, PortState::Master), Standing::Bad, reason::NOT_STEERED),
    (
        "ptp4l is gone",
        |c| {
            let mut all = c.daemons.known().cloned().unwrap();
            all.remove(&900);
            c.daemons = Known(all);
            c.hardware.get_mut(&0).unwrap().users = BTreeSet::from([901]);
            c.ptp4l.clear();
        },
        Standing::Bad,
        reason::NOT_STEERED,
    ),
    (
        "the source is told by what it has open",
        |c| told(c, 901, |told| (told.source, told.automatic) = (None, true)),
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    (
        "the source cannot be told",
        |c| {
            told(c, 901, |told| told.source = None);
            c.hardware.get_mut(&0).unwrap().users.clear();
        },
        Standing::Unknown,
        reason::SAYS_NOTHING,
    ),
];

#[test]
fn a_hardware_clock_needs_a_master_a_grandmaster_and_a_small_offset() {
    hold(&HARDWARE, linuxptp_node, of_hardware);
}

#[test]
fn the_system_clock_needs_a_good_hardware_clock_and_to_be_near_it() {
    hold(&SYSTEM, linuxptp_node, of_system);
    let verdict = system(&linuxptp_node(), BOUND);
    assert_eq!(verdict.offset_ns, Some(-128), "behind the hardware clock, which is behind");
    assert_eq!(verdict.source, "ptp0");
    assert_eq!(verdict.grandmaster, "000fa5.fffe.112233");
    assert_eq!(verdict.frequency_ppb, Some(-1_200));
    assert_eq!(verdict.steered_by.map(|one| one.pid), Some(901));
}

#[test]
fn phc2sys_that_follows_itself_is_said_to() {
    let mut clocks = linuxptp_node();
    clocks.ptp4l.clear();
    let mut back = daemon(DaemonKind::Phc2sys, "back.service");
    back.told.source = Some("CLOCK_REALTIME".to_owned());
    back.told.steers = words(&["/dev/ptp0"]);
    clocks.daemons =
        Known(BTreeMap::from([(901, clocks.daemons.known().unwrap()[&901].clone()), (902, back)]));
    told(&mut clocks, 901, |told| told.source = Some("/dev/ptp0".to_owned()));
    let verdict = system(&clocks, BOUND);
    assert_eq!((verdict.standing, verdict.reason.as_str()), (Standing::Bad, reason::CIRCULAR));
}

#[test]
fn one_hardware_clock_may_follow_another_or_the_system_clock() {
    let mut clocks = linuxptp_node();
    let second = HardwareClock {
        name: Known("igb".to_owned()),
        ahead_ns: Known(37_000_000_620),
        window_ns: Known(900),
        ..HardwareClock::default()
    };
    clocks.hardware.insert(1, second);
    let mut other = daemon(DaemonKind::Phc2sys, "other.service");
    other.told.source = Some("/dev/ptp0".to_owned());
    other.told.steers = words(&["/dev/ptp1"]);
    run(&mut clocks, 902, other);
    let verdict = hardware(&clocks, 1, BOUND);
    assert_eq!((verdict.standing, verdict.offset_ns), (Standing::Good, Some(492)));
    told(&mut clocks, 902, |told| told.source = Some("CLOCK_REALTIME".to_owned()));
    let verdict = hardware(&clocks, 1, BOUND);
    assert_eq!((verdict.standing, verdict.offset_ns), (Standing::Good, Some(492)));
    assert_eq!(verdict.source, "system");
}

#[test]
fn software_time_stamps_steer_the_system_clock_itself() {
    let mut clocks = linuxptp_node();
    said(&mut clocks).ports[0].hardware_clock = None;
    clocks.hardware.clear();
    let one = clocks.daemons.known().unwrap()[&900].clone();
    clocks.daemons = Known(BTreeMap::from([(900, one)]));
    told(&mut clocks, 900, |told| told.steers = words(&["CLOCK_REALTIME"]));
    let verdict = system(&clocks, BOUND);
    assert_eq!((verdict.standing, verdict.offset_ns), (Standing::Good, Some(-8)));
}

#[test]
fn each_of_two_ptp4l_answers_for_its_own_clock() {
    let mut clocks = linuxptp_node();
    clocks.hardware.insert(1, HardwareClock::default());
    let mut other = daemon(DaemonKind::Ptp4l, "ptp4l@eth5.service");
    other.told.socket = Some("/var/run/ptp4l-eth5".to_owned());
    other.told.interfaces = words(&["eth5"]);
    run(&mut clocks, 800, other);
    let mut answer = said(&mut clocks).clone();
    answer.ports[0].interface = Some("eth5".to_owned());
    answer.ports[0].hardware_clock = Some(1);
    answer.ports[0].state = PortState::Uncalibrated;
    clocks.ptp4l.insert("/run/ptp4l-eth5ro".to_owned(), Known(answer));
    let pid = |index| hardware(&clocks, index, BOUND).steered_by.map(|one| one.pid);
    assert_eq!((pid(0), pid(1)), (Some(900), Some(800)));
    assert_eq!(hardware(&clocks, 1, BOUND).reason, reason::NOT_LOCKED);
}

#[test]
fn an_old_ptp4l_that_does_not_tell_its_clock_is_known_by_what_it_has_open() {
    let mut clocks = linuxptp_node();
    said(&mut clocks).ports[0].hardware_clock = None;
    told(&mut clocks, 901, |told| told.source = Some("/dev/ptp0".to_owned()));
    assert_eq!(hardware(&clocks, 0, BOUND).standing, Standing::Good);
    assert_eq!(system(&clocks, BOUND).standing, Standing::Good);
}

#[test]
fn ts2phc_tells_nobody() {
    let mut clocks = bare();
    let mut one = daemon(DaemonKind::Ts2phc, "ts2phc.service");
    one.told.steers = words(&["/dev/ptp0"]);
    run(&mut clocks, 950, one);
    let verdict = hardware(&clocks, 0, BOUND);
    let said = (verdict.standing, verdict.reason.as_str());
    assert_eq!(said, (Standing::Unknown, reason::SAYS_NOTHING));
    assert_eq!(verdict.steered_by.map(|one| one.kind), Some(DaemonKind::Ts2phc));
}
