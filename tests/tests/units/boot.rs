//! The unit that has the modules in place before the network: its place in the boot, and that it
//! cannot hold one up.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use super::{installed, read, repository, runs, skip, text, values, with_systemd};

pub const UNIT: &str = "usr/lib/systemd/system/onloadd-boot.service";

fn unit() -> String {
    read(repository().join("units/onloadd-boot.service"))
}

/// What surrounds it on a node, with the order that distributions give it: targets, mounts, udev,
/// a firewall that also comes before the network, two that set the network up, what waits for it.
const NEIGHBOURS: [(&str, &str); 21] = [
    ("multi-user.target", "After=basic.target\nRequires=basic.target"),
    ("basic.target", "After=sysinit.target\nRequires=sysinit.target"),
    (
        "sysinit.target",
        "DefaultDependencies=no\nAfter=local-fs.target\nWants=local-fs.target systemd-udevd.service \
         systemd-udev-trigger.service systemd-modules-load.service systemd-tmpfiles-setup.service \
         systemd-sysctl.service",
    ),
    ("shutdown.target", "DefaultDependencies=no"),
    ("local-fs-pre.target", ""),
    ("local-fs.target", "DefaultDependencies=no\nAfter=local-fs-pre.target\nRequires=var.mount"),
    ("network-pre.target", ""),
    ("network.target", "After=network-pre.target"),
    ("network-online.target", "After=network.target\nWants=wait-online.service"),
    ("remote-fs-pre.target", ""),
    ("var.mount", "[Mount]\nWhat=/dev/vdb\nWhere=/var"),
    ("systemd-udevd.service", "DefaultDependencies=no\nBefore=sysinit.target"),
    (
        "systemd-udev-trigger.service",
        "DefaultDependencies=no\nWants=systemd-udevd.service\nBefore=sysinit.target",
    ),
    ("systemd-modules-load.service", "DefaultDependencies=no\nBefore=sysinit.target"),
    (
        "systemd-sysctl.service",
        "DefaultDependencies=no\nAfter=systemd-modules-load.service\n\
         Before=sysinit.target network-pre.target",
    ),
    (
        "systemd-tmpfiles-setup.service",
        "DefaultDependencies=no\nAfter=local-fs.target\nBefore=sysinit.target",
    ),
    (
        "firewall.service",
        "DefaultDependencies=no\nWants=network-pre.target\n\
         Before=network-pre.target sysinit.target\nAfter=local-fs.target",
    ),
    (
        "systemd-networkd.service",
        "DefaultDependencies=no\nAfter=systemd-udevd.service network-pre.target systemd-sysctl.service\n\
         Before=network.target multi-user.target",
    ),
    (
        "NetworkManager.service",
        "After=network-pre.target dbus.service\nBefore=network.target\nWants=network.target",
    ),
    ("wait-online.service", "After=NetworkManager.service\nBefore=network-online.target"),
    ("kubelet.service", "After=network-online.target\nWants=network-online.target"),
];

/// Services that somebody enabled.
const ENABLED: [&str; 6] = [
    "onloadd.service",
    "onloadd-boot.service",
    "firewall.service",
    "systemd-networkd.service",
    "NetworkManager.service",
    "kubelet.service",
];

/// A directory of units, with ours as `change` makes them.
fn units(change: impl Fn(&str, String) -> String) -> TempDir {
    let directory = TempDir::new().unwrap();
    let place = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
    for (name, order) in NEIGHBOURS {
        let exec = "\n[Service]\nExecStart=/bin/true\n";
        let exec = if name.ends_with(".service") { exec } else { "\n" };
        place(name, change(name, format!("[Unit]\n{order}{exec}")));
    }
    for name in ["onloadd.service", "onloadd-boot.service"] {
        // What it starts is not on this machine, and its order is what is asked for.
        let text = read(repository().join("units").join(name));
        let text = text.replace("=/usr/sbin/onloadd", "=/bin/true").replace("ExecReload=", "#");
        place(name, change(name, text));
    }
    let wants = directory.path().join("multi-user.target.wants");
    fs::create_dir(&wants).unwrap();
    for name in ENABLED {
        symlink(Path::new("..").join(name), wants.join(name)).unwrap();
    }
    directory
}

/// What systemd says to a boot with these units.
fn boot(units: &TempDir) -> Output {
    Command::new("systemd-analyze")
        .args(["verify", "multi-user.target"])
        .env("SYSTEMD_UNIT_PATH", units.path())
        .output()
        .unwrap()
}

#[test]
fn the_order_of_the_boot_has_no_cycle_with_var_on_its_own_mount() {
    if !runs("systemd-analyze") {
        let test = "the_order_of_the_boot_has_no_cycle_with_var_on_its_own_mount";
        return skip(test, "no systemd-analyze");
    }
    let answer = boot(&units(|_, text| text));
    assert!(!text(&answer).contains("cycle"), "{}", text(&answer));
    assert!(answer.status.success(), "{}", text(&answer));

    // That silence means something, for each order that is to hold.
    type Change<'a> = (&'a str, &'a str, &'a str);
    let cases: [Change<'_>; 6] = [
        ("it is before the network", "onloadd-boot.service", "After=network-online.target"),
        ("before networkd, by name", "onloadd-boot.service", "After=systemd-networkd.service"),
        ("before the kubelet", "onloadd-boot.service", "After=kubelet.service"),
        ("/var is there first", "var.mount", "After=onloadd-boot.service"),
        ("udev has been told first", "systemd-udev-trigger.service", "After=onloadd-boot.service"),
        ("the daemon comes later", "onloadd-boot.service", "After=onloadd.service"),
    ];
    for (why, unit, order) in cases {
        let turned = units(|name, text| {
            let place =
                if name == unit { "[Unit]\n".to_owned() + order + "\n" } else { String::new() };
            if place.is_empty() { text } else { text.replacen("[Unit]\n", &place, 1) }
        });
        assert!(text(&boot(&turned)).contains("cycle"), "{why}: {unit} with {order}");
    }
}

/// A time as units write it, in seconds.
fn seconds(key: &str) -> Duration {
    let unit = unit();
    let [value] = values(&unit, key)[..] else { panic!("{key} is not there once") };
    let (number, scale) = match (value.strip_suffix("min"), value.strip_suffix('s')) {
        (Some(minutes), _) => (minutes, 60),
        (None, Some(seconds)) => (seconds, 1),
        (None, None) => panic!("{key}={value}"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * scale)
}

#[test]
fn the_boot_goes_on_in_bounded_time_and_the_daemons_limit_comes_first() {
    let own = onloadd::boot::LIMIT + onloadd::boot::WAY_BACK;
    assert!(own < seconds("TimeoutStartSec"), "what is under way is taken back, not killed");
    assert!(seconds("TimeoutStartSec") < seconds("JobTimeoutSec"), "the wait for /var is bounded");
    let unit = unit();
    for (key, value) in [
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        ("DefaultDependencies", "no"),
        ("Conflicts", "shutdown.target"),
        ("StartLimitBurst", "3"),
        ("ConditionKernelCommandLine", "!onloadd.boot=0"),
    ] {
        assert_eq!(values(&unit, key), [value], "{key}");
    }
    // Nothing in it may wait for what is only there later in the boot, or fail for a read-only /var.
    for key in
        ["Requires", "BindsTo", "Requisite", "PrivateTmp", "StateDirectory", "JobTimeoutAction"]
    {
        assert!(values(&unit, key).is_empty(), "{key}");
    }
}

#[test]
fn who_enables_the_daemon_enables_its_work_at_boot_and_who_disables_it_both() {
    if !runs("systemctl") {
        let test = "who_enables_the_daemon_enables_its_work_at_boot_and_who_disables_it_both";
        return skip(test, "no systemctl");
    }
    let (_scratch, root) = installed();
    with_systemd(&root);
    let systemctl = |verb: &str| {
        let root = format!("--root={}", root.display());
        let out =
            Command::new("systemctl").args([&root, verb, "onloadd.service"]).output().unwrap();
        assert!(out.status.success(), "{verb}: {}", text(&out));
    };
    let link = root.join("etc/systemd/system/multi-user.target.wants/onloadd-boot.service");
    for (verb, enabled) in [("enable", true), ("disable", false), ("preset", true)] {
        systemctl(verb);
        assert_eq!(link.symlink_metadata().is_ok(), enabled, "{verb}");
    }
}

#[test]
fn it_may_load_modules_and_set_interfaces_up_and_nothing_else_that_takes_privilege() {
    let unit = unit();
    let capabilities =
        ["CAP_SYS_MODULE CAP_KILL CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_SYSLOG CAP_NET_ADMIN"];
    assert_eq!(values(&unit, "CapabilityBoundingSet"), capabilities);
    // The order counts: what is taken away with a group is given back after it.
    let filters = values(&unit, "SystemCallFilter");
    let at = |word: &str| filters.iter().position(|filter| *filter == word).expect(word);
    assert!(at("@module") > at("~@privileged @resources"), "{filters:?}");
}
