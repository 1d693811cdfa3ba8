//! A node that fetches its software: what `onloadctl machineconfig render --deliver pull` makes is laid into the
//! root of a node that knows nothing of onloadd, as Ignition does. podman is the real one, and the image comes
//! from a registry on the node itself. As on RHCOS, /usr/local leads to the disk that stays.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use ignition_config::Config;
use onload_tests::binaries::binary;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::image::Overlay;
use onload_tests::guest::{Booted, Guest, Options};
use serde_json::Value;

use crate::applier::{Laid, Tree};
use crate::boot::{in_order, shown, up_at};
use crate::node::{json, until_state};

/// The release in the image, and the image.
const VERSION: &str = "9.2.1";
const IMAGE: &str = "registry.example/onload-node:9.2.1";
/// One that the registry does not have.
const LOST: &str = "registry.example/onload-node:lost";
/// What podman may take to fetch and to write an image: on an emulated processor most of it goes into
/// checksums, and some minutes where the programs are those of a debug build.
const FETCH: Duration = Duration::from_secs(400);

/// The first program: it makes of the root what RHCOS has from the start.
const INIT: &str =
    "#!/bin/sh\nrm -rf /usr/local && ln -s ../var/usrlocal /usr/local && exec /sbin/init\n";
/// Files below /usr/local wait here until the disk is there. They are laid once, as Ignition runs once.
const WAITING: &str = "/opt/ignition";
const IGNITION: &str = "[Unit]\n\
    DefaultDependencies=no\n\
    RequiresMountsFor=/var\n\
    Before=onloadd-boot.service sysinit.target\n\
    ConditionPathExists=!/var/usrlocal\n\
    [Service]\n\
    Type=oneshot\n\
    ExecStart=/bin/cp -r /opt/ignition/usr/local /var/usrlocal\n";
const CARD: &str = "[Service]\nExecStartPre=/sbin/insmod /opt/card/onloadd_card.ko\n";
/// What the network is on many nodes: the default route goes through the card.
const UPLINK: &str = "[Unit]\n\
    Wants=network-pre.target\n\
    After=network-pre.target systemd-udev-trigger.service\n\
    Before=network.target network-online.target\n\
    [Service]\n\
    Type=oneshot\n\
    RemainAfterExit=yes\n\
    ExecStartPre=/bin/udevadm settle\n\
    ExecStart=/bin/sh -ec 'port=$$(ls /sys/bus/pci/devices/10000:00:00.0/net); ip link set $$port up; ip address add 192.0.2.1/24 dev $$port; ip route add default via 192.0.2.254 dev $$port'\n";
/// Where a guest, whose /etc is new at each boot, is told to make accounts at each. On a node they are
/// there from the boot that made them, and made at the first one only.
const ACCOUNTS: &str = "/etc/systemd/system/systemd-sysusers.service.d/guest.conf";
const NONE: &str = "[Unit]\nConditionFirstBoot=yes\n";
/// Two tries, a second apart, in place of five with half a minute between them.
const SHORT: &str = "/etc/systemd/system/onloadd-fetch.service.d/50-case.conf";
const IMPATIENT: &str = "[Unit]\nStartLimitBurst=2\n[Service]\nRestartSec=1s\n";

pub fn theme() -> Theme {
    Theme {
        name: "pull",
        options: with_uplink(node(IMAGE)).file(ACCOUNTS, NONE, 0o644),
        cases: cases![
            onloadd_and_its_release_come_while_the_driver_stays,
            the_second_boot_has_the_right_driver_before_the_network,
            an_image_that_cannot_be_fetched_fails_one_unit_until_it_can,
        ],
    }
}

/// What is rendered for an image.
fn rendered(image: &str) -> Tree {
    let place = tempfile::tempdir().expect("a directory");
    let site = place.path().join("50-site.toml");
    std::fs::write(&site, format!("[modules]\nrelease = \"{VERSION}\"\n")).expect("written");
    let mut render = Command::new(binary("onloadctl"));
    render.args(["machineconfig", "render", "--json", "--deliver", "pull", "--release", image]);
    let out = render.arg("--config").arg(&site).output().expect("onloadctl runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let object: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let config = Config::parse_str(&object["spec"]["config"].to_string()).expect("Ignition").0;
    Tree::of(&config).expect("a tree")
}

/// A node with what is rendered for an image.
fn node(image: &str) -> Options {
    let mut options = Options::new()
        // Fetching is a part of the boot, and takes longer than a boot may.
        .booted(Booted::Early)
        .overlay(Overlay::Bare)
        .append("rdinit=/opt/init")
        .file("/opt/init", INIT, 0o755)
        .file("/etc/systemd/system/ignition.service", IGNITION, 0o644)
        .link("/etc/systemd/system/sysinit.target.wants/ignition.service", "../ignition.service")
        .file("/etc/systemd/system/systemd-udev-trigger.service.d/card.conf", CARD, 0o644);
    for (path, laid) in rendered(image).0 {
        let path = if path.starts_with("/usr/local/") { format!("{WAITING}{path}") } else { path };
        options = match laid {
            Laid::File { content, mode, .. } => options.file(&path, content, mode),
            Laid::Link { target } => options.link(&path, &target),
        };
    }
    options
}

fn with_uplink(options: Options) -> Options {
    options
        .file("/etc/systemd/system/uplink.service", UPLINK, 0o644)
        .link("/etc/systemd/system/multi-user.target.wants/uplink.service", "../uplink.service")
}

/// Waits for a unit to have been started, or left out.
fn done(guest: &Guest, unit: &str) -> anyhow::Result<()> {
    let ran = guest.run_within(&format!("systemctl start {unit}"), FETCH)?;
    ensure!(ran.ok(), "{unit}: {ran:?}; {}", guest.journal(&format!("-u {unit}"))?);
    Ok(())
}

/// The kernel's own driver is bound, and nothing of a release was loaded.
fn as_the_kernel_left_it(guest: &Guest) -> anyhow::Result<()> {
    let driver = guest.ok("readlink /sys/bus/pci/devices/10000:00:00.0/driver")?;
    ensure!(driver.trim().ends_with("/sfc"), "modalias loads the kernel's own: {driver}");
    guest.ok("! test -e /sys/module/sfc/version && ! test -e /sys/module/onload").map(drop)
}

/// The programs of the image run, its release is there, and nothing of podman's is left.
fn fetched(guest: &Guest) -> anyhow::Result<()> {
    for unit in ["onloadd-fetch", "onloadd-release", "onloadd"] {
        let state = shown(guest, unit, "ActiveState")?;
        ensure!(state == "active", "{unit}: {state}; {}", guest.journal(&format!("-u {unit}"))?);
    }
    let runs = guest.ok("readlink /proc/$(systemctl show --value -p MainPID onloadd)/exe")?;
    ensure!(runs.trim() == "/var/usrlocal/sbin/onloadd", "{runs}");
    guest.ok(&format!("/usr/local/bin/onloadctl release show {VERSION}"))?;
    let left = guest.ok("podman ps --all --quiet && podman image mount")?;
    ensure!(left.is_empty(), "no container, and no mount: {left}");
    guest.ok("getent group onload_users").map(drop)
}

fn onloadd_and_its_release_come_while_the_driver_stays(guest: &mut Guest) -> anyhow::Result<()> {
    done(guest, "multi-user.target")?;
    in_order(guest)?;
    ensure!(shown(guest, "systemd-sysusers", "ConditionResult")? == "no", "none at boot");
    ensure!(shown(guest, "onloadd-boot", "ConditionResult")? == "no", "it had no program");
    fetched(guest)?;
    // It could be there now, and is not taken from under what goes through the card.
    let status = until_state(guest, "blocked")?;
    ensure!(status["loaded_release"] == "in-tree", "{status}");
    let blockers = status["blockers"].to_string();
    ensure!(blockers.contains("Protected") && blockers.contains("default route"), "{blockers}");
    ensure!(json(guest, "history")?["changes"] == Value::Array(Vec::new()), "nothing was tried");
    guest.ok("ip route show default | grep -q 192.0.2.254")?;
    as_the_kernel_left_it(guest)
}

fn the_second_boot_has_the_right_driver_before_the_network(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    done(guest, "multi-user.target")?;
    // What is here is not asked for: there is no registry.
    let gone = node(IMAGE).link("/etc/systemd/system/registry.socket", "/dev/null");
    guest.set_options(with_uplink(gone));
    guest.reboot()?;
    done(guest, "multi-user.target")?;
    in_order(guest)?;
    let said = guest.journal("-b -o cat -u onloadd-fetch")?;
    ensure!(said.contains(&format!("the programs of {IMAGE} are here")), "{said}");
    let podman = guest.journal("-b -o cat -t podman")?;
    ensure!(podman.is_empty(), "{podman}");
    ensure!(shown(guest, "onloadd-release", "Result")? == "exec-condition", "it is there");

    let loaded = guest.ok("cat /sys/module/sfc/version /sys/module/onload/version")?;
    ensure!(loaded.lines().nth(1) == Some(VERSION), "{loaded}");
    let (boot, network) = (up_at(guest, "onloadd-boot")?, up_at(guest, "network-pre.target")?);
    ensure!(boot > 0 && boot <= network, "up at {boot}, network-pre.target at {network}");
    ensure!(boot <= up_at(guest, "uplink")?, "the network comes after it");
    let status = until_state(guest, "ready")?;
    ensure!(status["loaded_release"] == VERSION, "{status}");
    let past = json(guest, "history")?["changes"][0].clone();
    ensure!(past["origin"] == "boot" && past["outcome"] == "done", "{past}");
    guest.ok("ip route show default | grep -q 192.0.2.254").map(drop)
}

fn an_image_that_cannot_be_fetched_fails_one_unit_until_it_can(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    done(guest, "multi-user.target")?;
    // A node that has had nothing yet, and whose card carries nothing.
    guest.ok("systemctl stop onloadd
         rm -rf /var/usrlocal /var/lib/onloadd /var/lib/onloadd-fetch")?;
    guest.set_options(node(LOST).file(SHORT, IMPATIENT, 0o644));
    guest.reboot()?;
    guest.until("the last try", "systemctl is-failed -q onloadd-fetch")?;
    let failed = guest.ok("systemctl --failed --no-legend --plain")?;
    ensure!(
        failed.starts_with("onloadd-fetch.service ") && failed.lines().count() == 1,
        "{failed}"
    );
    let said = guest.journal("-b -o cat -u onloadd-fetch")?;
    let tries = said.matches(&format!("{LOST} cannot be fetched")).count();
    ensure!(tries == 2 && said.contains("  fix: "), "{said}");
    for unit in ["onloadd", "onloadd-boot", "onloadd-release"] {
        ensure!(shown(guest, unit, "ConditionResult")? == "no", "{unit} was left out");
    }
    guest.ok("! ls /usr/local/sbin/onloadd* /usr/local/bin/onloadctl* 2>&-")?;
    as_the_kernel_left_it(guest)?;

    // The registry gets it. All tries were used up, so systemd is told that this is a new matter.
    guest.ok("cp /opt/registry/manifests/9.2.1 /opt/registry/manifests/lost")?;
    ensure!(!guest.run("systemctl start onloadd-fetch")?.ok(), "it was tried too often");
    guest.ok("systemctl reset-failed onloadd-fetch")?;
    done(guest, "onloadd-fetch")?;
    done(guest, "onloadd-release")?;
    fetched(guest)?;
    // Nothing goes through the card, so this boot has the release already.
    let status = until_state(guest, "ready")?;
    ensure!(status["loaded_release"] == VERSION, "{status}");
    in_order(guest)
}
