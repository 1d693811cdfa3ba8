//! The page, word by word.

use super::super::kept::{Steerer, sample};
use super::*;
use crate::render::paint::without;

fn page(kept: Kept) -> String {
    without(&Status::of(kept).text(11_101_000))
}

#[test]
fn a_node_that_keeps_time_says_so_in_its_first_line() {
    let kept = Kept {
        handover: Some(Handover {
            to: "sfptpd".into(),
            units: vec!["chronyd.service".into()],
            uid: 0,
            at: 1_000,
        }),
        outages: vec![Outage {
            began: 7_501_000,
            took: Some(61_000),
            change: Some(3),
            reason: "Unsteered".into(),
        }],
        ..sample::kept()
    };
    assert_eq!(
        page(kept),
        "\
● synchronised  by sfptpd (sfptpd.service) from ptp1, -12 ns, for 3h 5m

CLOCK   STATE           FOR  STEERED BY  FOLLOWS  OFFSET    DELAY  FREQUENCY      TO SYSTEM  INTERFACES
system  synchronised  3h 5m  sfptpd      ptp1     -12 ns  2.10 µs  -12.3 ppm              -  -
ptp0    free-running  3h 5m  -           -             -        -          -  +37 s +123 ns  ens1f0

grandmaster  000f53.fffe.000001
alarms       none
supervision  sfptpd 3.9.0.1007 runs as wanted (sfptpd.service)
hand-over    sfptpd has the system clock (uid 0, 3h 5m ago); `onloadctl clock handover --back` starts chronyd.service again
outages      1h ago, 1m 1s long: Unsteered, with change 3
"
    );
}

#[test]
fn what_is_wrong_comes_with_what_to_do() {
    let system = Clock {
        synchronised: "no".into(),
        standing: "bad".into(),
        since: 11_089_000,
        message: Some("sfptpd has an alarm".into()),
        offset_ns: None,
        alarms: vec!["no-sync-pkts".into()],
        leap: Some("insert".into()),
        unreadable: [("offset".to_owned(), "EPERM".to_owned())].into(),
        ..sample::system()
    };
    let outages = (0..5).map(|n| Outage {
        began: 11_000_000 - n * 1_000_000,
        took: (n > 0).then_some(5_000),
        change: None,
        reason: "Alarms".into(),
    });
    let supervision = Supervision {
        status: "False".into(),
        reason: Some("Hung".into()),
        message: Some("it says nothing new".into()),
        restarts: 1,
        hangs: 2,
        unit: Some("sfptpd.service".into()),
        ..Supervision::default()
    };
    let kept = Kept {
        clocks: vec![system],
        conflicts: vec![sample::conflict()],
        supervision,
        outages: outages.collect(),
        ..sample::kept()
    };
    assert_eq!(
        page(kept),
        "\
● not synchronised  sfptpd has an alarm, by sfptpd (sfptpd.service) from ptp1, for 12s

CLOCK   STATE             FOR  STEERED BY  FOLLOWS  OFFSET    DELAY  FREQUENCY  TO SYSTEM  INTERFACES
system  not synchronised  12s  sfptpd      ptp1          ?  2.10 µs  -12.3 ppm          -  -

grandmaster  000f53.fffe.000001
alarms       no-sync-pkts
leap second  the kernel inserts one at the end of this day (UTC)
supervision  sfptpd does not run as wanted (sfptpd.service): Hung, 1 restart by systemd, 2 restarts because it hung
conflicts    1 conflict, below
outages      lasts since 1m 41s: Alarms
             18m ago, 5s long: Alarms
             35m ago, 5s long: Alarms
             and 2 before; --json has all

  system: Chronyd
    why: chronyd steers the system clock
    fix: `onloadctl clock handover` stops it

  sfptpd: Hung
    why: it says nothing new
    fix: `journalctl -u sfptpd.service` has what it said

  system: no-sync-pkts
    why: no Sync messages come from a grandmaster
    fix: see that one serves this `ptp_domain`, and that switches let its multicast through (VLAN, IGMP snooping)
"
    );
}

#[test]
fn clocks_that_are_left_alone_are_a_line() {
    let off = Kept { mode: Some("off".into()), ..Kept::default() };
    assert_eq!(
        page(off.clone()),
        "○ left alone  clocks are not looked at: `mode` is \"off\" in [ptp]\n"
    );
    assert!(!Status::of(off).is_synchronised(), "nobody knows");
}

#[test]
fn a_clock_that_was_not_seen_yet_is_not_known() {
    let text = page(Kept { mode: Some("observe".into()), ..Kept::default() });
    assert!(text.starts_with("○ not known  nothing is known of the system clock yet\n"), "{text}");
    assert!(text.contains("supervision  none: clocks are only looked at\n"), "{text}");
    assert!(!text.contains("CLOCK"), "no table without clocks: {text}");
    let older = page(Kept {
        unreadable: [("clock_outages".to_owned(), "this version".to_owned())].into(),
        ..Kept::default()
    });
    assert!(older.contains("? clock_outages: this version\n"), "{older}");
}

#[test]
fn each_standing_has_its_word() {
    let of = |synchronised: &str, standing: &str| {
        let clock = Clock {
            synchronised: synchronised.into(),
            standing: standing.into(),
            ..sample::system()
        };
        clock.state().0
    };
    assert_eq!(of("yes", "good"), "synchronised");
    assert_eq!(of("yes", "bad"), "synchronised");
    assert_eq!(of("no", "good"), "settling");
    assert_eq!(of("no", "free"), "free-running");
    assert_eq!(of("no", "bad"), "not synchronised");
    assert_eq!(of("unknown", "unknown"), "not known");
}

#[test]
fn a_steerer_is_named_with_the_group_it_is_of() {
    let by = |unit: Option<&str>, container: Option<&str>| {
        let (unit, container) = (unit.map(str::to_owned), container.map(str::to_owned));
        Steerer { kind: "ptp4l".into(), pid: 7, unit, container }.whole()
    };
    assert_eq!(by(Some("ptp4l.service"), None), "ptp4l (ptp4l.service)");
    assert_eq!(by(Some("crio.scope"), Some("ab12")), "ptp4l (container ab12)");
    assert_eq!(by(None, None), "ptp4l (process 7)");
}

#[test]
fn what_clocks_say_alike_is_said_once() {
    let with = |name: &str, alarm: &str| Clock {
        name: name.into(),
        grandmaster: Some(alarm.into()),
        ..Clock::default()
    };
    let of = |clocks: &[Clock]| named(clocks, |clock| clock.grandmaster.clone());
    assert_eq!(of(&[with("system", "a"), with("ptp0", "a")]), "a");
    assert_eq!(of(&[with("system", "a"), with("ptp0", "b")]), "system: a, ptp0: b");
    assert_eq!(of(&[with("ptp0", "b")]), "ptp0: b");
    assert_eq!(of(&[]), "");
}
