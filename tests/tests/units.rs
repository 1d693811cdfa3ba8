//! What `make install` puts on a machine, judged by the programs that will read it: systemd's own
//! checks, a message bus, and for udev rules and polkit actions what their formats demand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "units/boot.rs"]
mod boot;
#[path = "units/bus.rs"]
mod bus;
#[path = "units/hardware.rs"]
mod hardware;
#[path = "units/modprobe.rs"]
mod modprobe;
#[path = "units/sfptpd.rs"]
mod sfptpd;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onload_tests::skip::skip;
use onload_tests::tree::{self, script};
use tempfile::TempDir;

const BUS_NAME: &str = "com.amd.Onload1";
const UNIT: &str = "usr/lib/systemd/system/onloadd.service";
/// Not in the preset: for nodes of a cluster that has Node Feature Discovery.
const NFD_UNIT: &str = "usr/lib/systemd/system/onloadd-nfd.service";

/// DESIGN section 9: every unit at or below this on `systemd-analyze security`.
const EXPOSURE_BUDGET: f64 = 4.0;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success())
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn make_install(scratch: &Path, variables: &[&str]) -> Output {
    let binaries = scratch.join("binaries");
    for name in ["onloadd", "onloadctl"] {
        script(&binaries.join(name), "#!/bin/sh\necho \"# $*\"\n");
    }
    Command::new("make")
        .arg("install")
        .arg(format!("BIN_DIR={}", binaries.display()))
        .args(variables)
        .current_dir(repository())
        // Under `make test` these would make this a part of that run.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("PREFIX")
        .output()
        .expect("make is what runs these tests")
}

/// `make install` with stand-ins for the binaries; the root is `root` below the directory.
fn installed() -> (TempDir, PathBuf) {
    let scratch = TempDir::new().unwrap();
    let root = scratch.path().join("root");
    let out = make_install(scratch.path(), &[&format!("DESTDIR={}", root.display())]);
    assert!(out.status.success(), "{}", text(&out));
    (scratch, root)
}

#[test]
fn install_puts_every_file_in_place_and_no_other() {
    let (_scratch, root) = installed();
    let expected = [
        ("usr/bin/onloadctl", 0o755),
        ("usr/lib/onloadd/onloadd.toml", 0o644),
        ("usr/lib/onloadd/sfptpd.cfg", 0o644),
        (UNIT, 0o644),
        (boot::UNIT, 0o644),
        (sfptpd::UNIT, 0o644),
        (NFD_UNIT, 0o644),
        ("usr/lib/systemd/system-preset/90-onloadd.preset", 0o644),
        ("usr/lib/sysusers.d/onloadd.conf", 0o644),
        ("usr/lib/tmpfiles.d/onloadd.conf", 0o644),
        ("usr/lib/udev/rules.d/60-onloadd.rules", 0o644),
        ("usr/sbin/onloadd", 0o755),
        ("usr/share/bash-completion/completions/onloadctl", 0o644),
        ("usr/share/dbus-1/interfaces/com.amd.Onload1.xml", 0o644),
        ("usr/share/dbus-1/system-services/com.amd.Onload1.service", 0o644),
        ("usr/share/dbus-1/system.d/com.amd.Onload1.conf", 0o644),
        ("usr/share/doc/onloadd/README.md", 0o644),
        ("usr/share/doc/onloadd/sfptpd.cfg", 0o644),
        ("usr/share/fish/vendor_completions.d/onloadctl.fish", 0o644),
        ("usr/share/licenses/onloadd/LICENSE", 0o644),
        ("usr/share/licenses/onloadd/LICENSE-APACHE", 0o644),
        ("usr/share/licenses/onloadd/LICENSE-MIT", 0o644),
        // Those of onloadctl's verbs are written by onloadctl, which is a stand-in here.
        ("usr/share/man/man5/onloadd.toml.5", 0o644),
        ("usr/share/man/man8/onloadd.8", 0o644),
        ("usr/share/onloadd/prometheus/onloadd-dashboard.json", 0o644),
        ("usr/share/onloadd/prometheus/onloadd.rules.yml", 0o644),
        ("usr/share/polkit-1/actions/com.amd.onload1.policy", 0o644),
        ("usr/share/zsh/site-functions/_onloadctl", 0o644),
    ];
    let expected = expected.map(|(name, mode)| (name.to_owned(), tree::PLAIN | mode));
    assert_eq!(tree::files(&root), BTreeMap::from(expected));
    for unit in [UNIT, boot::UNIT, sfptpd::UNIT, NFD_UNIT] {
        let source = repository().join("units").join(Path::new(unit).file_name().unwrap());
        assert_eq!(read(root.join(unit)), read(source));
    }
}

#[test]
fn another_prefix_moves_the_programs_and_the_unit_follows() {
    let scratch = TempDir::new().unwrap();
    let root = scratch.path().join("root");
    let destination = format!("DESTDIR={}", root.display());
    let out = make_install(scratch.path(), &[&destination, "PREFIX=/usr/local"]);
    assert!(out.status.success(), "{}", text(&out));
    let unit = read(root.join("usr/local/lib/systemd/system/onloadd.service"));
    assert!(unit.contains("\nExecStart=/usr/local/sbin/onloadd\n"), "{unit}");
    let unit = read(root.join("usr/local/lib/systemd/system/onloadd-boot.service"));
    assert!(unit.contains("\nExecStart=/usr/local/sbin/onloadd --boot "), "{unit}");
    assert!(root.join("usr/local/sbin/onloadd").exists());
    assert!(root.join("usr/lib/onloadd/onloadd.toml").exists(), "where the daemon looks");
}

#[test]
fn install_refuses_binaries_that_are_not_there() {
    let scratch = TempDir::new().unwrap();
    let out = make_install(scratch.path(), &["BIN_DIR=/nonexistent", "DESTDIR=/nonexistent"]);
    assert!(!out.status.success());
    assert!(
        text(&out).contains("no onloadd and onloadctl in BIN_DIR=/nonexistent"),
        "{}",
        text(&out)
    );
}

/// Adds what the unit refers to and another package owns, so that only our own mistakes are left.
fn with_systemd(root: &Path) {
    for target in ["sysinit", "basic", "multi-user", "shutdown"] {
        let unit = format!("[Unit]\nDescription={target}\n");
        fs::write(root.join(format!("usr/lib/systemd/system/{target}.target")), unit).unwrap();
    }
    for program in ["usr/bin/busctl", "usr/sbin/sfptpd"] {
        script(&root.join(program), "#!/bin/sh\n");
    }
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !runs("systemd-analyze") {
        return skip("systemd_finds_no_fault_with_the_units", "no systemd-analyze");
    }
    let (_scratch, root) = installed();
    with_systemd(&root);
    let verify = || {
        let root = format!("--root={}", root.display());
        let units = [
            "onloadd.service",
            "onloadd-boot.service",
            "onloadd-sfptpd.service",
            "onloadd-nfd.service",
        ];
        Command::new("systemd-analyze").args([&root, "verify"]).args(units).output().unwrap()
    };
    let out = verify();
    assert!(out.status.success(), "{}", text(&out));
    // An unknown key is only a warning to systemd, but a promise not kept to us.
    assert_eq!(text(&out), "");

    // That silence means something: a misspelt key is told.
    for unit in [UNIT, boot::UNIT, sfptpd::UNIT, NFD_UNIT] {
        let unit = root.join(unit);
        let right = read(&unit);
        fs::write(&unit, right.replace("NoNewPrivileges=", "NoNewPrivilege=")).unwrap();
        assert!(text(&verify()).contains("NoNewPrivilege"));
        fs::write(&unit, right).unwrap();
    }
}

#[test]
fn exposure_of_every_unit_is_within_the_budget() {
    if !runs("systemd-analyze") {
        return skip("exposure_of_every_unit_is_within_the_budget", "no systemd-analyze");
    }
    let units =
        fs::read_dir(repository().join("units")).unwrap().map(|entry| entry.unwrap().path());
    for unit in units.filter(|path| path.extension().is_some_and(|kind| kind == "service")) {
        let out = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(&unit)
            .output()
            .unwrap();
        let answer = text(&out);
        let (_, after) = answer.split_once("Overall exposure level for ").expect("a verdict");
        let (_, figure) = after.split_once(": ").unwrap();
        let figure: f64 = figure.split_whitespace().next().unwrap().parse().unwrap();
        println!("{}: exposure {figure}, budget {EXPOSURE_BUDGET}", unit.display());
        assert!(figure <= EXPOSURE_BUDGET, "{answer}");
    }
}

#[test]
fn the_daemon_has_the_capabilities_it_says_and_none_to_load_modules() {
    let unit = read(repository().join("units/onloadd.service"));
    let capabilities = ["CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_KILL"];
    assert_eq!(values(&unit, "CapabilityBoundingSet"), capabilities);
    assert!(values(&unit, "AmbientCapabilities").is_empty());
    let filtered = values(&unit, "SystemCallFilter").concat();
    for call in ["@debug", "process_vm_readv", "process_vm_writev", "pidfd_getfd"] {
        assert!(filtered.contains(call), "{call}: what CAP_SYS_PTRACE would allow beside /proc");
    }
}

#[test]
fn the_daemon_reads_clocks_and_can_set_none() {
    let unit = read(repository().join("units/onloadd.service"));
    assert_eq!(values(&unit, "DeviceAllow"), ["char-ptp r"]);
    // The number behind that name must be known when the unit starts.
    assert_eq!(values(&unit, "Wants"), ["modprobe@ptp.service"]);
    assert!(values(&unit, "After").contains(&"modprobe@ptp.service"));
    // What is named last counts.
    assert_eq!(values(&unit, "SystemCallFilter").last(), Some(&"adjtimex"));
    assert!(!values(&unit, "CapabilityBoundingSet").concat().contains("CAP_SYS_TIME"));
    assert_eq!(values(&unit, "IPAddressAllow"), ["127.0.0.1"]);
}

#[test]
fn the_units_write_where_they_say_and_nowhere_else() {
    let writable = |unit: &str| {
        let unit = read(repository().join("units").join(unit));
        assert_eq!(values(&unit, "ProtectSystem"), ["strict"]);
        values(&unit, "ReadWritePaths").join(" ")
    };
    let run = "-/run/modprobe.d -/run/udev/rules.d -/run/systemd/system -/run/cdi";
    assert_eq!(writable("onloadd.service"), format!("/var/lib {run} -/etc/systemd/network"));
    assert_eq!(writable("onloadd-boot.service"), "-/var/lib -/run/udev -/etc/systemd/network");
}

/// The values of one key of a unit-like file, in order.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn enabling_makes_the_name_that_bus_activation_starts() {
    if !runs("systemctl") {
        return skip("enabling_makes_the_name_that_bus_activation_starts", "no systemctl");
    }
    let (_scratch, root) = installed();
    with_systemd(&root);
    let out = Command::new("systemctl")
        .arg(format!("--root={}", root.display()))
        .args(["preset", "onloadd.service"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out));
    let enabled = root.join("etc/systemd/system");
    let activation =
        read(root.join(format!("usr/share/dbus-1/system-services/{BUS_NAME}.service")));
    assert_eq!(values(&activation, "Name"), [BUS_NAME]);
    for link in
        [values(&activation, "SystemdService")[0], "multi-user.target.wants/onloadd.service"]
    {
        let target =
            fs::read_link(enabled.join(link)).unwrap_or_else(|error| panic!("{link}: {error}"));
        assert_eq!(target, Path::new("/").join(UNIT));
    }
}

#[test]
fn tmpfiles_makes_our_directories_and_none_of_the_kubelet() {
    if !runs("systemd-tmpfiles") || !is_root() {
        let reason = "needs systemd-tmpfiles and root, who owns what it makes";
        return skip("tmpfiles_makes_our_directories_and_none_of_the_kubelet", reason);
    }
    let (_scratch, root) = installed();
    for program in ["systemd-tmpfiles --create", "systemd-sysusers"] {
        let mut words = program.split(' ');
        let out = Command::new(words.next().unwrap())
            .args(words)
            .arg(format!("--root={}", root.display()))
            .output()
            .unwrap();
        assert!(out.status.success(), "{program}: {}", text(&out));
    }
    for directory in [
        "etc/onloadd/onloadd.toml.d",
        "run/onloadd/onloadd.toml.d",
        "run/modprobe.d",
        "run/udev/rules.d",
        "etc/systemd/network",
    ] {
        let mode = fs::metadata(root.join(directory)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o755, "{directory}");
    }
    assert!(!root.join("var/lib/kubelet").exists());
    assert!(read(root.join("etc/group")).lines().any(|line| line.starts_with("onload_users:")));
}
