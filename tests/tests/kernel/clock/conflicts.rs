//! Who fights over a clock: seen with the fix, and sfptpd is not started into it.

use anyhow::ensure;
use onload_dbus::error::exit;
use onload_tests::guest::Guest;

use super::package::{self, MANAGED, UNIT, hardware_clock, port, process, property};
use super::told::{self, until_conflict, until_supervised, until_undisputed};
use crate::node::configure;

/// The kind of conflict, and what brings it. Each ends the one before, by what their units say of each other.
const RIVALS: [(&str, &str, &str); 3] = [
    ("Chronyd", "chrony.service", "systemctl start chrony"),
    ("Ntpd", "ntpsec.service", "systemctl start ntpsec"),
    ("Timesyncd", "systemd-timesyncd.service", "systemctl start systemd-timesyncd"),
];

/// phc2sys in a unit of its own, with these arguments.
fn phc2sys(arguments: &str) -> String {
    format!("systemd-run --unit phc2sys-case phc2sys {arguments} -O 0")
}

pub fn each_that_steers_the_system_clock_bars_sfptpd(guest: &mut Guest) -> anyhow::Result<()> {
    package::observed(guest)?;
    let clock = hardware_clock(guest, 0)?;
    for (number, (kind, unit, start)) in RIVALS.into_iter().enumerate() {
        // One ends before the next has begun: sfptpd shall not take the clock in between.
        guest.ok("onloadctl hold 'one after the other'")?;
        guest.ok(start)?;
        if number == 0 {
            configure(guest, MANAGED)?;
        }
        let conflict = until_conflict(guest, kind)?;
        guest.ok("onloadctl unhold")?;
        ensure!(conflict["BarsStart"] == true && conflict["Clock"] == "system", "{conflict:#}");
        ensure!(conflict["Units"][0] == unit, "{conflict:#}");
        ensure!(conflict["Fix"].as_str().is_some_and(|fix| fix.contains(unit)), "{conflict:#}");
        until_supervised(guest, "Conflict")?;
    }
    guest.ok(&phc2sys(&format!("-s /dev/{clock} -c CLOCK_REALTIME")))?;
    let conflict = until_conflict(guest, "Phc2sys")?;
    guest.ok("systemctl stop systemd-timesyncd")?;
    ensure!(conflict["Units"][0] == "phc2sys-case.service", "{conflict:#}");
    // Two looks later.
    guest.ok("sleep 2")?;
    let started = property(guest, "ExecMainStartTimestampMonotonic")?;
    ensure!(started == "0", "sfptpd was started into a conflict");

    guest.ok("systemctl stop phc2sys-case")?;
    until_supervised(guest, "Running")?;
    until_undisputed(guest)?;
    let configuration =
        guest.ok(&format!("nsenter -m -t {} cat /etc/sfptpd.conf", process(guest)?))?;
    let interface = format!("interface {}\n", port(guest, 0)?);
    ensure!(configuration.contains(&interface), "{configuration}");
    guest.ok("grep -q 'sync_module freerun' /etc/sfptpd.conf")?;

    // What comes beside a running one is told of, and sfptpd is left alone.
    let before = process(guest)?;
    guest.ok(&phc2sys(&format!("-s CLOCK_REALTIME -c /dev/{clock}")))?;
    let conflict = until_conflict(guest, "HardwareClock")?;
    ensure!(conflict["Clock"] == clock.as_str(), "{conflict:#}");
    guest.ok("systemctl stop phc2sys-case")?;
    guest.put(
        "/run/second/sfptpd.cfg",
        b"[general]\nsync_module crny crny1\nignore_critical no-ptp-subsystem no-ptp-clock\n",
        0o644,
    )?;
    guest.ok("systemd-run --unit second -E SFPTPD_ROOT=/run/second sfptpd --no-daemon -f /run/second/sfptpd.cfg")?;
    let conflict = until_conflict(guest, "TwoOfAKind")?;
    ensure!(
        conflict["Message"].as_str().is_some_and(|said| said.contains("second.service")),
        "{conflict:#}"
    );
    guest.ok("systemctl stop second; rm -r /run/second; systemctl start chrony")?;
    until_conflict(guest, "Chronyd")?;
    let listed = guest.run("onloadctl clock conflicts")?;
    ensure!(listed.status == Some(exit::BLOCKED.into()), "{listed:?}");
    ensure!(listed.stdout.contains("chrony.service"), "{listed:?}");
    ensure!(process(guest)? == before, "sfptpd runs on");
    guest.ok("systemctl stop chrony")?;
    until_undisputed(guest)
}

pub fn sfptpd_that_steers_nothing_is_told_of(guest: &mut Guest) -> anyhow::Result<()> {
    package::managed(guest)?;
    let readonly = package::ON_THE_FIRST_PORT.replace("[ptp1]", "clock_readonly system\n[ptp1]");
    package::template(guest, &readonly)?;
    let conflict = until_conflict(guest, "ClockReadonly")?;
    ensure!(conflict["Clock"] == "system" && conflict["BarsStart"] == false, "{conflict:#}");
    until_supervised(guest, "Running")?;

    // What sfptpd would refuse is refused before, with the line; what runs stays.
    let before = process(guest)?;
    package::template(guest, &package::ON_THE_FIRST_PORT.replace("interface", "interfacce"))?;
    let refused = until_supervised(guest, "ConfigurationRefused")?;
    let said = refused["Message"].as_str().unwrap_or_default();
    ensure!(said.contains("line 5") && said.contains("interfacce"), "{refused:#}");
    ensure!(process(guest)? == before, "it runs on with what it had");

    // Its own file, as a fresh install has it.
    configure(guest, "[ptp]\nmode = \"manage\"\nlook-every = \"1s\"\n")?;
    let conflict = until_conflict(guest, "Freerun")?;
    ensure!(conflict["BarsStart"] == false, "{conflict:#}");
    guest.ok(&format!(
        "! ls /run/systemd/system/{UNIT}.d/50-onloadd.conf /run/onloadd/sfptpd.cfg 2>&-"
    ))?;
    let clock = told::clock(guest, "system")?;
    ensure!(clock["Synchronised"] != "yes", "active is not synchronised: {clock:#}");
    Ok(())
}
