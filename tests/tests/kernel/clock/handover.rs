//! The system clock given to sfptpd, and back: whoever has it is stopped and started, and nothing else of theirs
//! is touched.

use anyhow::ensure;
use onload_tests::guest::Guest;
use onload_tests::readme::lines;
use serde_json::Value;

use super::package::{self, MANAGED, UNIT};
use super::told::{self, until_conflict, until_supervised};
use crate::node::{as_visitor, configure};

/// Everything below /etc, and which units are enabled.
const OTHERS: &str = "find /etc -type f -print0 | sort -z | xargs -0 sha256sum; systemctl is-enabled chrony sfptpd; true";

/// Which of the two run.
fn running(guest: &Guest) -> anyhow::Result<Vec<String>> {
    let said = guest.run(&format!(
        "for one in chrony {UNIT}; do systemctl is-active -q $one && echo $one; done"
    ))?;
    Ok(said.stdout.lines().map(str::to_owned).collect())
}

pub fn the_system_clock_goes_to_sfptpd_and_back(guest: &mut Guest) -> anyhow::Result<()> {
    package::observed(guest)?;
    guest.ok("systemctl start chrony")?;
    configure(guest, MANAGED)?;
    until_conflict(guest, "Chronyd")?;
    let files = guest.ok(OTHERS)?;
    ensure!(running(guest)? == ["chrony"], "sfptpd waits for an order");
    let refused = as_visitor(guest, "onloadctl clock handover")?;
    ensure!(!refused.ok(), "{refused:?}");

    let [typed] = &lines("onloadctl clock handover")[..] else { panic!("one line") };
    let ran = guest.run(typed)?;
    ensure!(ran.ok(), "{ran:?}\n{}", guest.journal("-u onloadd -o cat -n 40")?);
    ensure!(running(guest)? == [UNIT], "one has the clock");
    let handed = handover(guest)?;
    ensure!(handed["To"] == "sfptpd" && handed["Units"][0] == "chrony.service", "{handed:#}");
    // It stands, whatever becomes of the daemon.
    guest.ok("systemctl restart onloadd")?;
    until_supervised(guest, "Running")?;
    ensure!(running(guest)? == [UNIT]);

    let ran = guest.run("onloadctl clock handover --back")?;
    ensure!(ran.ok(), "{ran:?}\n{}", guest.journal("-u onloadd -o cat -n 40")?);
    until_supervised(guest, "HandedBack")?;
    ensure!(running(guest)? == ["chrony"], "one has the clock");
    let handed = handover(guest)?;
    ensure!(handed["To"] == "former", "{handed:#}");
    let after = guest.ok(OTHERS)?;
    ensure!(after == files, "files of others are as they were:\n{files}\n{after}");
    guest.ok("systemctl stop chrony").map(drop)
}

fn handover(guest: &Guest) -> anyhow::Result<Value> {
    Ok(told::node(guest)?["ClockHandover"].take())
}
