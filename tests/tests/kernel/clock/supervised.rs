//! sfptpd that ends, hangs or is given up: systemd restarts what crashes, onloadd only what hangs.

use std::time::Instant;

use anyhow::ensure;
use onload_tests::guest::Guest;

use super::package::{self, HANG_AFTER, UNIT, faults, process, property};
use super::told::{self, until, until_supervised};

/// EINVAL, and EBUSY (reference/sfptpd.md section 2).
const REFUSES_ITS_CONFIGURATION: &str = "crash 22";
const BUSY: &str = "crash 16";
/// A limit that is met within a case.
const LIMIT: &str =
    "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=3\n[Service]\nRestartSec=100ms\n";

pub fn what_crashes_is_left_to_systemd_and_what_hangs_is_restarted(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    package::managed(guest)?;
    let first = process(guest)?;
    faults(guest, REFUSES_ITS_CONFIGURATION)?;
    let told = until_supervised(guest, "Restarting")?;
    ensure!(told["Message"].as_str().is_some_and(|said| said.contains("EINVAL")), "{told:#}");
    faults(guest, "")?;
    let told = until_supervised(guest, "Running")?;
    let (second, restarts) = (process(guest)?, property(guest, "NRestarts")?);
    ensure!(second != first && restarts == "1", "{restarts} restarts");
    ensure!(told["Restarts"] == 1 && told["Hangs"] == 0, "{told:#}");
    ensure!(!told_to(guest, "Restart")?, "systemd restarts what crashes, and nobody else");

    let hung = Instant::now();
    faults(guest, "hang")?;
    let third = until(guest, "a restart of what hangs", told::node, |_| {
        process(guest).ok().filter(|now| *now != second && *now != 0)
    })?;
    ensure!(hung.elapsed() >= HANG_AFTER, "restarted after {:?}", hung.elapsed());
    faults(guest, "")?;
    let told = until_supervised(guest, "Running")?;
    ensure!(told["Hangs"] == 1, "{told:#}");
    ensure!(process(guest)? == third, "it is restarted once");
    Ok(())
}

/// Whether onloadd has asked systemd for this in the life of the unit's present process.
fn told_to(guest: &Guest, what: &str) -> anyhow::Result<bool> {
    let journal = guest.journal("-u onloadd -o cat -n 60")?;
    let since = journal.rsplit(&format!("start {UNIT}")).next().unwrap_or_default();
    Ok(since.contains(&format!("{} {UNIT}", what.to_lowercase())))
}

pub fn a_unit_that_systemd_has_given_up_is_left_alone(guest: &mut Guest) -> anyhow::Result<()> {
    let limit = format!("/etc/systemd/system/{UNIT}.d/60-limit.conf");
    guest.put(&limit, LIMIT.as_bytes(), 0o644)?;
    guest.ok("systemctl daemon-reload")?;
    package::managed(guest)?;
    faults(guest, BUSY)?;
    let told = until(guest, "a unit given up", told::node, |node| {
        let told = &node["ClockSupervision"];
        ["StartLimitHit", "Failed"].contains(&told["Reason"].as_str()?).then(|| told.clone())
    })?;
    ensure!(told["Status"] == "False", "{told:#}");
    ensure!(told["Message"].as_str().is_some_and(|said| said.contains("EBUSY")), "{told:#}");
    let (status, _, message) = told::condition(guest, "ClockSupervised")?;
    ensure!(status == "False" && message.contains("onloadctl apply --retry"), "{message}");
    let tried = property(guest, "ExecMainStartTimestampMonotonic")?;
    faults(guest, "")?;
    // A few looks.
    guest.ok("sleep 4")?;
    ensure!(property(guest, "ActiveState")? == "failed", "left as systemd left it");
    ensure!(property(guest, "ExecMainStartTimestampMonotonic")? == tried);

    guest.ok(&format!("systemctl reset-failed {UNIT} && onloadctl apply --retry"))?;
    until_supervised(guest, "Running")?;
    guest.ok(&format!("rm {limit} && systemctl daemon-reload")).map(drop)
}
