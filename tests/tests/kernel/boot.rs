//! The first boot with a release, and boots that do not come up as they should: a real early unit,
//! udev's own coldplug, `/var` on a disk of its own.

use anyhow::ensure;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};

use crate::node::{json, until_state};

const GOOD: &str = "9.1.2";
const BROKEN: &str = "9.3.4-noinsert";

pub fn theme() -> Theme {
    Theme {
        name: "boot",
        options: wanting(""),
        cases: cases![
            a_boot_without_a_release_is_left_as_it_is,
            the_first_boot_has_the_release_before_the_network,
            a_release_that_does_not_come_up_leaves_a_driver_and_says_why,
            the_command_line_switches_it_off,
        ],
    }
}

/// A guest with a card before udev looks for hardware, and this configuration.
fn wanting(modules: &str) -> Options {
    let card = "[Service]\nExecStartPre=/sbin/insmod /opt/card/onloadd_card.ko\n";
    Options::new()
        .file("/etc/systemd/system/systemd-udev-trigger.service.d/card.conf", card, 0o644)
        .file("/etc/onloadd/onloadd.toml.d/50-case.toml", modules, 0o644)
}

/// Boots once so that the releases are on its disk, then with a release asked for.
fn boot_with(guest: &mut Guest, release: &str, append: &str) -> anyhow::Result<()> {
    for name in [GOOD, BROKEN] {
        guest.ok(&format!(
            "test -d /var/lib/onloadd/releases/{name} ||
             onloadctl release import /opt/releases/{name} --version {name}"
        ))?;
    }
    let options = wanting(&format!("[modules]\nrelease = \"{release}\"\n"));
    guest.set_options(if append.is_empty() { options } else { options.append(append) });
    guest.reboot()
}

/// A property of a unit.
pub fn shown(guest: &Guest, unit: &str, property: &str) -> anyhow::Result<String> {
    Ok(guest.ok(&format!("systemctl show --value -p {property} {unit}"))?.trim().to_owned())
}

/// When a unit was up, in microseconds since the boot.
pub fn up_at(guest: &Guest, unit: &str) -> anyhow::Result<u64> {
    Ok(shown(guest, unit, "ActiveEnterTimestampMonotonic")?.parse()?)
}

/// Nothing failed, and nothing was left out to break a circle.
pub fn in_order(guest: &Guest) -> anyhow::Result<()> {
    let failed = guest.ok("systemctl --failed --no-legend --plain")?;
    ensure!(failed.is_empty(), "{failed}");
    let journal = guest.journal("-b -o cat")?;
    ensure!(!journal.contains("ordering cycle"), "a circle among units");
    Ok(())
}

fn a_boot_without_a_release_is_left_as_it_is(guest: &mut Guest) -> anyhow::Result<()> {
    in_order(guest)?;
    ensure!(shown(guest, "onloadd-boot", "Result")? == "success");
    let driver = guest.ok("readlink /sys/bus/pci/devices/10000:00:00.0/driver")?;
    ensure!(driver.trim().ends_with("/sfc"), "modalias loads the kernel's own: {driver}");
    ensure!(!guest.run("test -e /sys/module/sfc/version")?.ok(), "the kernel's own has none");
    Ok(())
}

fn the_first_boot_has_the_release_before_the_network(guest: &mut Guest) -> anyhow::Result<()> {
    boot_with(guest, GOOD, "")?;
    in_order(guest)?;
    let said = guest.journal("-u onloadd-boot -b -o cat")?;
    ensure!(shown(guest, "onloadd-boot", "Result")? == "success", "{said}");
    let loaded = guest.ok("cat /sys/module/onload/version")?;
    ensure!(loaded.trim() == GOOD, "{loaded}\n{said}");
    let bound = guest.ok("ls -d /sys/bus/auxiliary/devices/sfc.onload.*/driver | wc -l")?;
    ensure!(bound.trim() == "2", "{bound}");
    let (boot, network) = (up_at(guest, "onloadd-boot")?, up_at(guest, "network-pre.target")?);
    ensure!(boot > 0 && boot <= network, "up at {boot}, network-pre.target at {network}");
    ensure!(boot <= up_at(guest, "onloadd")?, "the daemon comes after it");
    let mount = guest.ok("findmnt --noheadings --output FSTYPE /var")?;
    ensure!(mount.trim() == "ext4", "/var is a mount of its own: {mount}");
    let status = until_state(guest, "ready")?;
    ensure!(status["loaded_release"] == GOOD && status["pools"][0]["free"] == 100, "{status}");
    let past = json(guest, "history")?["changes"][0].clone();
    ensure!(past["origin"] == "boot" && past["outcome"] == "done", "{past}");
    println!("the boot unit took {} ms", {
        let begun: u64 = shown(guest, "onloadd-boot", "InactiveExitTimestampMonotonic")?.parse()?;
        (boot - begun) / 1000
    });
    Ok(())
}

fn a_release_that_does_not_come_up_leaves_a_driver_and_says_why(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    boot_with(guest, BROKEN, "")?;
    in_order(guest)?;
    let said = guest.journal("-u onloadd-boot -b -o cat")?;
    ensure!(shown(guest, "onloadd-boot", "Result")? == "success", "{said}");
    ensure!(said.contains("rolled back") || said.contains(BROKEN), "{said}");
    let driver = guest.ok("readlink /sys/bus/pci/devices/10000:00:00.0/driver")?;
    ensure!(driver.trim().ends_with("/sfc"), "there is a driver: {driver}");
    let status = until_state(guest, "blocked")?;
    let text = status.to_string();
    ensure!(text.contains("Rejected") && text.contains("load module onload"), "{status}");
    guest.ok("! test -e /run/udev/rules.d/79-onloadd-block.rules")?;
    Ok(())
}

fn the_command_line_switches_it_off(guest: &mut Guest) -> anyhow::Result<()> {
    boot_with(guest, GOOD, "onloadd.boot=0")?;
    ensure!(shown(guest, "onloadd-boot", "ConditionResult")? == "no");
    in_order(guest)
}
