//! What happens to time itself: it is stepped, a leap second is announced, the machine stands still. None of
//! it is a reason to call a clock lost, or sfptpd hung.

use std::time::Duration;

use anyhow::ensure;
use onload_tests::guest::Guest;
use serde_json::Value;

use super::package::{self, HANG_AFTER, process};
use super::told::{self, until};

/// How often it is looked after something happened.
const LOOKS: usize = 2;
/// What the daemon may use of a processor while nothing but looks happens, as a share: a debug build on an
/// emulated one takes a few tens of milliseconds for each.
const SHARE: f64 = 0.5;
/// STA_INS, STA_DEL and STA_UNSYNC (adjtimex(2)).
const LEAPS: [(u32, &str); 2] = [(0x10, "insert"), (0x20, "delete")];
const UNSYNC: u32 = 0x40;

pub fn neither_jumps_nor_leap_seconds_nor_pauses_lose_it(guest: &mut Guest) -> anyhow::Result<()> {
    package::synchronised(guest)?;
    let (before, sfptpd) = (told::clock(guest, "system")?, process(guest)?);
    let unharmed = |what: &str| {
        for _ in 0..LOOKS {
            let clock = told::clock(guest, "system")?;
            ensure!(clock["Synchronised"] == "yes", "{what}: {clock:#}");
            ensure!(clock["Since"] == before["Since"], "{what}: {clock:#}");
            ensure!(clock["Alarms"].as_array().is_some_and(Vec::is_empty), "{what}: {clock:#}");
        }
        let node = told::node(guest)?;
        ensure!(node["ClockConflicts"].as_array().is_some_and(Vec::is_empty), "{what}: {node:#}");
        let told = &node["ClockSupervision"];
        ensure!(told["Reason"] == "Running" && told["Hangs"] == 0, "{what}: {told:#}");
        ensure!(process(guest)? == sfptpd, "{what}: sfptpd is another");
        Ok(())
    };
    // Noon, so that no day ends while a leap second is announced.
    for step in ["12:00 tomorrow", "5 hours ago", "5 hours"] {
        let share = guest.ok(&format!("date -s '{step}' >&-; {USED}"))?;
        ensure!(share.trim().parse::<f64>()? < SHARE, "a busy loop after `{step}`: {share}");
        unharmed(step)?;
    }
    for (flag, word) in LEAPS {
        guest.ok(&format!("adjtimex -S {}", flag | UNSYNC))?;
        leap(guest, word)?;
        unharmed(word)?;
    }
    guest.ok(&format!("adjtimex -S {UNSYNC}"))?;
    leap(guest, "none")?;

    // Longer than sfptpd may be silent.
    guest.pause(HANG_AFTER + Duration::from_secs(2))?;
    unharmed("a pause")
}

/// The daemon's share of a processor in the next two seconds.
const USED: &str = "used() { systemctl show --value -p CPUUsageNSec onloadd; }
    from=$(used); sleep 2; echo \"$(used) $from\" | awk '{ print ($1 - $2) / 2e9 }'";

fn leap(guest: &Guest, word: &str) -> anyhow::Result<()> {
    let show = |guest: &Guest| told::clock(guest, "system");
    until(guest, &format!("a leap second: {word}"), show, |clock: &Value| {
        (clock["Leap"] == word).then_some(())
    })
}
