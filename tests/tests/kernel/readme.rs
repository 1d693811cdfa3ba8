//! What the README tells people to type on a node that has a card, as they would type it.

use std::time::Duration;

use anyhow::ensure;
use onload_dbus::error::exit;
use onload_tests::guest::{Guest, Ran};
use onload_tests::readme::lines;

use crate::node::{json, until_state};
use crate::swap::{CHANGE, FORMER, NEXT, node_on, proven};

/// Where it is typed.
const PLACE: &str = "/root/readme";

/// Every verb is asked, on an emulated processor.
const PACKED: Duration = Duration::from_secs(120);

/// Types a line of the README.
fn typed(guest: &Guest, line: &str) -> anyhow::Result<Ran> {
    guest.run_within(&format!("mkdir -p {PLACE} && cd {PLACE} && {line}"), CHANGE)
}

/// The only line that begins so, which must do what it says.
fn done(guest: &Guest, words: &str) -> anyhow::Result<String> {
    let found = lines(words);
    ensure!(found.len() == 1, "{found:?}");
    let ran = typed(guest, &found[0])?;
    ensure!(ran.ok(), "{}: {ran:?}", found[0]);
    Ok(ran.stdout)
}

pub fn what_the_readme_has_typed_changes_the_driver(guest: &mut Guest) -> anyhow::Result<()> {
    node_on(guest, FORMER)?;
    let [check] = &lines("onloadctl release check")[..] else { panic!("one line") };
    // For another kernel than that of the file's name it was made: not that one's.
    let kernel = check.split_once("--kernel ").expect("one is named").1;
    guest.ok(&format!(
        "onloadctl release remove {NEXT}
         mkdir -p {PLACE} && cp -r /opt/releases/{NEXT} {PLACE}/tree && cd {PLACE}/tree/lib/modules &&
         cp -r $(uname -r) {kernel} && cd {PLACE} && tar -czf onload-{NEXT}.tar.gz -C tree . && rm -r tree"
    ))?;
    done(guest, "onloadctl release import")?;
    let checked = typed(guest, check)?;
    ensure!(checked.status == Some(i32::from(exit::BLOCKED)), "{checked:?}");

    let [waits, confirmed] = &lines("onloadctl release use")[..] else { panic!("two lines") };
    let used = typed(guest, waits)?;
    ensure!(used.ok(), "{waits}: {used:?}");
    proven(guest, NEXT)?;
    node_on(guest, FORMER)?;
    guest.ok("port=$(ls /sys/bus/pci/devices/10000:00:00.0/net)
         ip address replace 192.0.2.1/24 dev $port && ip link set $port up &&
         ip route replace default via 192.0.2.254 dev $port")?;
    let used = typed(guest, confirmed)?;
    ensure!(used.ok(), "{confirmed}: {used:?}");
    done(guest, "onloadctl confirm")?;
    guest.ok("ip route delete default")?;
    proven(guest, NEXT)?;

    // Its day is over.
    let [hold] = &lines("onloadctl hold")[..] else { panic!("one line") };
    let late = typed(guest, hold)?;
    ensure!(late.status == Some(i32::from(exit::USAGE)), "{late:?}");
    let held = typed(guest, &hold.replacen("2026-03-02", "$(date -d tomorrow +%F)", 1))?;
    ensure!(held.ok() && json(guest, "status")?.to_string().contains("trading day"), "{held:?}");
    guest.ok("onloadctl unhold")?;
    until_state(guest, "ready").map(drop)
}

pub fn what_the_readme_has_typed_lends_and_packs(guest: &mut Guest) -> anyhow::Result<()> {
    node_on(guest, NEXT)?;
    let [lent] = &lines("onloadctl allocate onload --unit")[..] else { panic!("one line") };
    let ran = guest.run(&format!("systemd-run --wait --pipe -q -u trader {lent}"))?;
    ensure!(ran.ok() && ran.stdout.contains("onload"), "{ran:?}");
    guest.until("it to be given back with its unit", "! onloadctl allocations | grep -q trader")?;

    let [capture] = &lines("onloadctl capture")[..] else { panic!("one line") };
    let ran = guest.run_within(&format!("mkdir -p {PLACE} && cd {PLACE} && {capture}"), PACKED)?;
    ensure!(ran.ok(), "{ran:?}");
    guest.ok(&format!("tar -tzf {PLACE}/onloadd-capture-*.tar.gz | grep -q capture.json"))?;
    guest.ok(&format!("rm -r {PLACE}")).map(drop)
}
