//! Roots made by hand, and what stands in them.

use onload_core::clock::offset::Ahead;

use super::super::root::tests::root_with;
use super::super::tests::runtime;
use super::*;

fn look(root: &Dir, look: &ClockLook) -> Clocks {
    let programs = Programs::default();
    match runtime().block_on(read(root, false, &programs, &Followed::default(), look)) {
        Reading::Known(clocks) => *clocks,
        gap => panic!("{gap:?}"),
    }
}

fn stat(pid: u32, comm: &str, parent: u32) -> String {
    format!("{pid} ({comm}) S {parent} 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0")
}

#[test]
fn what_a_capture_holds_is_put_together() {
    let id = "0123456789abcdef".repeat(4);
    let group = format!("0::/kubepods.slice/crio-{id}.scope\n");
    let tracking =
        "7F7F0101,,8,1.5,0.000000000,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,Normal\n#,*,PHC0,0\n";
    let (chronyd, helper, ptp4l) =
        (stat(7, "chronyd", 1), stat(8, "chronyd", 7), stat(9, "ptp4l", 1));
    let (place, root) = root_with(&[
        ("proc/1/comm", "systemd\n"),
        ("proc/7/comm", "chronyd\n"),
        ("proc/7/stat", &chronyd),
        ("proc/7/cmdline", "/usr/sbin/chronyd\0-F\x001\0-x\0"),
        ("proc/7/cgroup", "0::/system.slice/chrony.service\n"),
        ("etc/chrony.conf", "cmdport 3323\n"),
        ("proc/8/comm", "chronyd\n"),
        ("proc/8/stat", &helper),
        ("proc/8/cmdline", "/usr/sbin/chronyd\0-F\x001\0-x\0"),
        ("proc/9/comm", "ptp4l\n"),
        ("proc/9/stat", &ptp4l),
        ("proc/9/cmdline", "ptp4l\0-i\0ens1f0\0"),
        ("proc/9/cgroup", &group),
        ("proc/9/fd/nothing", ""),
        ("sys/class/ptp/ptp0/clock_name", "sfc\n"),
        ("sys/class/ptp/pps", ""),
        (".clocks/ptp0", "37000000001 250"),
        (".clocks/locks", "8 dev/ptp0\n4711 run/kernel_clock\n"),
        (".clocks/chronyc.csv", tracking),
        (".clocks/adjtimex.json", r#"{"unsynchronised":true,"tai-offset":37}"#),
        ("etc/onloadd/sfptpd.cfg", "[general]\n"),
    ]);
    std::os::unix::fs::symlink("/dev/ptp0", place.path().join("proc/9/fd/5")).unwrap();
    let template =
        ClockLook { template: Some("/etc/onloadd/sfptpd.cfg".to_owned()), ..ClockLook::default() };
    let seen = look(&root, &template);

    let daemons = seen.daemons.known().unwrap();
    assert_eq!(daemons.keys().copied().collect::<Vec<_>>(), [7, 9], "a helper is no second one");
    assert_eq!((daemons[&7].kind, daemons[&7].started), (DaemonKind::Chronyd, 4242));
    assert_eq!(daemons[&7].unit.as_deref(), Some("chrony.service"));
    assert!(daemons[&7].told.leaves_system_clock);
    assert_eq!(daemons[&7].told.command_port, Some(3323));
    assert_eq!(daemons[&9].container.as_deref(), Some(id.as_str()));

    let clock = &seen.hardware[&0];
    assert_eq!(seen.hardware.len(), 1);
    assert_eq!(clock.name.known().map(String::as_str), Some("sfc"));
    let ahead = Ahead { ns: 37_000_000_001, window_ns: 250 };
    assert_eq!(
        (clock.ahead_ns.known(), clock.window_ns.known()),
        (Some(&ahead.ns), Some(&ahead.window_ns))
    );
    assert_eq!(clock.users, BTreeSet::from([9]));
    // The kernel names a process that passed its descriptor on to the one that has it.
    assert_eq!(clock.lock, Reading::Known(9));
    assert_eq!(seen.lock, Reading::Known(4711));

    assert_eq!(seen.kernel.known().map(|kernel| kernel.tai_offset), Some(37));
    let chrony = seen.chrony.known().unwrap();
    assert_eq!((chrony.stratum, chrony.usable_sources, chrony.sources), (8, 1, 1));
    let (path, said) = seen.ptp4l.first_key_value().unwrap();
    assert!(path == "/var/run/ptp4lro" && said.is_unreadable(), "{path} {said:?}");
    assert_eq!(seen.template, Reading::Known("[general]\n".to_owned()));
}

#[test]
fn where_nothing_is_nothing_is_made_up() {
    let (_place, root) =
        root_with(&[("proc/1/comm", "systemd\n"), ("sys/class/ptp/ptp3/clock_name", "")]);
    let template = ClockLook { template: Some("/etc/none.cfg".to_owned()), ..ClockLook::default() };
    let seen = look(&root, &template);
    assert_eq!(seen.daemons, Reading::Known(BTreeMap::new()));
    assert!(seen.hardware[&3].name.is_unreadable(), "{:?}", seen.hardware);
    assert_eq!(seen.hardware[&3].ahead_ns, Reading::Absent);
    assert_eq!(seen.template, Reading::Absent);
    assert!(seen.kernel.is_absent() && seen.chrony.is_absent() && seen.ptp4l.is_empty());
    let (_place, bare) = root_with(&[]);
    assert!(look(&bare, &ClockLook::default()).daemons.is_unreadable());
}
