//! A driver replaced under sfptpd, which holds the clock that goes with it.

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;

use super::package::{self, hardware_clock, port, process};
use super::told;
use crate::swap::{CHANGE, FORMER};

pub fn sfptpd_is_out_of_the_way_while_its_driver_is_replaced(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    package::synchronised(guest)?;
    let before = process(guest)?;
    let held = format!("readlink /proc/{before}/fd/* | grep -x /dev/{}", hardware_clock(guest, 0)?);
    guest.ok(&held)?;
    guest.ok(&format!(
        "test -d /var/lib/onloadd/releases/{FORMER} ||
         onloadctl release import /opt/releases/{FORMER} --version {FORMER}"
    ))?;
    guest.until("the release", &format!("onloadctl release list | grep -q {FORMER}"))?;
    let outages = told::node(guest)?["ClockOutages"].as_array().map_or(0, Vec::len);
    let used = guest.run_within(&format!("onloadctl release use {FORMER}"), CHANGE)?;
    ensure!(used.ok(), "{used:?}\n{}", guest.journal("-u onloadd -b -o cat -n 60")?);

    told::until_supervised(guest, "Running")?;
    let after = process(guest)?;
    ensure!(after != before, "it was not stopped");
    let (clock, interface) = (hardware_clock(guest, 0)?, port(guest, 0)?);
    guest.ok(&format!("readlink /proc/{after}/fd/* | grep -x /dev/{clock}"))?;
    guest.ok(&format!("nsenter -m -t {after} grep -x 'interface {interface}' /etc/sfptpd.conf"))?;
    let journal = guest.journal("-o cat -n 400")?;
    let at = |what: &str| {
        let found = journal.lines().collect::<Vec<_>>();
        found
            .iter()
            .rposition(|line| line.contains(what))
            .with_context(|| format!("{what}:\n{journal}"))
    };
    let (stopped, gone) = (at("Stopped sfptpd.service")?, at("unload module sfc")?);
    let (loaded, started) = (at("load module sfc from")?, at("Started sfptpd.service")?);
    ensure!(stopped < gone && gone < loaded && loaded < started, "{journal}");

    told::until_synchronised(guest, "system", "yes")?;
    let node = told::node(guest)?;
    let all = node["ClockOutages"].as_array().context("no outages")?;
    ensure!(all.len() == outages + 1, "{all:?}");
    let last = all.last().context("none")?;
    ensure!(last[1].as_i64() > Some(0) && last[2].as_u64() > Some(0), "with its change: {last}");
    Ok(())
}
