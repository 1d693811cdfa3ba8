//! A node without sfptpd: ptp4l with hardware timestamps over the wire between the card's ports, the master in a
//! network namespace of its own, and phc2sys. What onloadd says is compared with `pmc` and `phc_ctl`.

use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;
use serde_json::Value;

use super::package::{self, hardware_clock, port};
use super::told;

/// The master's, on the second port. Its clock counts TAI, as its announcements say.
const MASTER: &str = "[global]\nuds_address /run/case/master\nmasterOnly 1\npriority1 10\n\
                      logAnnounceInterval -1\nlogSyncInterval -3\n";
/// The other's, on the first; with delays of its own, so that there is a number to compare.
const SLAVE: &str = "[global]\nslaveOnly 1\nlogAnnounceInterval -1\nlogSyncInterval -3\n\
                     ingressLatency -400\negressLatency -400\n";
/// TAI is so many seconds ahead of UTC.
const UTC_OFFSET: i64 = 37;
/// How far two readings of one clock against another may lie apart, in nanoseconds: an emulated processor is
/// not always there when it is asked for the time.
const READING: i64 = 50_000;
/// How far two looks at one estimate may lie apart.
const ESTIMATE: i64 = 200;
/// Further looks until they do.
const SETTLES: usize = 8;

pub fn our_numbers_are_those_of_pmc(guest: &mut Guest) -> anyhow::Result<()> {
    package::observed(guest)?;
    let (first, second) = (port(guest, 0)?, port(guest, 1)?);
    let (ours, masters) = (hardware_clock(guest, 0)?, hardware_clock(guest, 1)?);
    guest.put("/run/case/master.conf", MASTER.as_bytes(), 0o644)?;
    guest.put("/run/case/slave.conf", SLAVE.as_bytes(), 0o644)?;
    guest.ok(&format!(
        "ip netns add master && ip link set {second} netns master && ip -n master link set {second} up
         ip -n master addr add 203.0.113.1/24 dev {second}; ip link set {first} up; ip addr add 203.0.113.2/24 dev {first}
         phc_ctl /dev/{masters} set && phc_ctl /dev/{masters} adj {UTC_OFFSET}
         systemd-run --unit ptp4l-master -p NetworkNamespacePath=/run/netns/master ptp4l -f /run/case/master.conf -i {second}
         systemd-run --unit ptp4l-case ptp4l -f /run/case/slave.conf -i {first}
         systemd-run --unit phc2sys-case phc2sys -s {first} -c CLOCK_REALTIME -w"
    ))?;
    let good = |clock: &Value| (clock["Standing"] == "good").then(|| clock.clone());
    let hardware = told::until(guest, "ptp4l's clock", |guest| told::clock(guest, &ours), good)?;
    let system = told::until(guest, "phc2sys's clock", |guest| told::clock(guest, "system"), good)?;
    for (clock, kind) in [(&hardware, "ptp4l"), (&system, "phc2sys")] {
        ensure!(clock["SteeredBy"]["Kind"] == kind, "{clock:#}");
        let unit = format!("{kind}-case.service");
        ensure!(clock["SteeredBy"]["Unit"] == unit.as_str(), "{clock:#}");
    }
    let told = told::conflicts(guest)?;
    ensure!(told.is_empty(), "nobody is in anybody's way: {told:?}");
    agrees(guest, &ours)?;
    ensure!(told::clock(guest, &ours)?["Interfaces"][0] == first.as_str(), "{hardware:#}");

    // Measured and not corrected, it has an offset that stays.
    guest.ok(&format!(
        "systemctl stop phc2sys-case ptp4l-case && echo free_running 1 >>/run/case/slave.conf
         phc_ctl /dev/{ours} adj 0.000123456
         systemd-run --unit ptp4l-case ptp4l -f /run/case/slave.conf -i {first}"
    ))?;
    let off = told::until(
        guest,
        "an offset",
        |guest| told::clock(guest, &ours),
        |clock| {
            (clock["Offset"].as_i64()? > 100_000 && clock["HasOffset"] == true)
                .then(|| clock.clone())
        },
    )?;
    ensure!(off["Standing"] != "good", "{off:#}");
    agrees(guest, &ours)?;

    guest.ok("systemctl stop ptp4l-master ptp4l-case; ip netns del master; rm -r /run/case")?;
    // The port comes back to where the namespace was left.
    guest.until("the port", &format!("test -e /sys/class/net/{second}"))?;
    guest.ok(&format!("ip addr flush dev {first}; ip link set {first} down")).map(drop)
}

/// Waits until onloadd says the same: a servo that still settles says another thing each second.
fn agrees(guest: &Guest, name: &str) -> anyhow::Result<()> {
    let mut apart = compared(guest, name);
    for _ in 0..SETTLES {
        if apart.is_ok() {
            break;
        }
        thread::sleep(Duration::from_secs(1));
        apart = compared(guest, name);
    }
    apart
}

/// Offset, delay and grandmaster are what pmc says; the reading of the hardware clock is phc_ctl's.
fn compared(guest: &Guest, name: &str) -> anyhow::Result<()> {
    let asked = "pmc -u -b 0 'GET TIME_STATUS_NP' 'GET CURRENT_DATA_SET'";
    let (said, clock) = (guest.ok(asked)?, told::clock(guest, name)?);
    let value = |key: &str| {
        let mut lines = said.lines();
        let value = lines.find_map(|line| line.trim().strip_prefix(key));
        value.map(str::trim).with_context(|| format!("{key}: {said}"))
    };
    let pairs = [("master_offset", "Offset"), ("meanPathDelay", "PathDelay")];
    for (theirs, property) in pairs {
        let (theirs, ours) = (value(theirs)?.parse::<f64>()?, clock[property].as_i64());
        let apart = ours.context("no number")?.saturating_sub(theirs as i64).abs();
        ensure!(apart <= ESTIMATE, "{property}: {clock:#}\n{said}");
    }
    let grandmaster = clock["Grandmaster"].as_str().unwrap_or_default();
    let plain = |id: &str| id.replace(['.', ':', '-'], "");
    ensure!(plain(grandmaster) == plain(value("gmIdentity")?), "{clock:#}\n{said}");
    let said = guest.ok(&format!("phc_ctl /dev/{name} cmp"))?;
    let behind = said.split("is ").nth(1).and_then(|rest| rest.split("ns").next());
    let behind: i64 = behind.with_context(|| said.clone())?.parse()?;
    let ahead = clock["AheadOfSystem"].as_i64().context("no reading")?;
    ensure!((ahead + behind).abs() <= READING, "{ahead}, and phc_ctl says {behind}");
    Ok(())
}
