//! The card's ports and the releases between which they change.

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;
use serde_json::Value;

use super::{first_boot, stack};
use crate::node::json;
use crate::swap::{CHANGE, FORMER, loaded};

/// The release with the kernel's own driver.
pub const IN_TREE: &str = "in-tree";
/// The ports' functions.
pub const FUNCTIONS: [&str; 3] = ["10000:00:00.0", "10000:00:00.1", "10000:00:00.2"];
/// Their permanent addresses.
pub const MACS: [&str; 3] = ["00:0f:53:0a:0b:10", "00:0f:53:0a:0b:11", "00:0f:53:0a:0b:12"];
/// What udev calls them with each driver: a domain, a slot, a function, and what the kernel's own tells. With
/// it they have the fifteen letters that a name may have.
pub const WITH_IN_TREE: [&str; 3] = ["enP65536s1f0np0", "enP65536s1f1np1", "enP65536s1f2np2"];
pub const WITH_OTHERS: [&str; 3] = ["enP65536s1f0", "enP65536s1f1", "enP65536s1f2"];

/// A card without anything on it, under the kernel's own driver, and a release; whatever ran before.
pub fn card(guest: &Guest, parameters: &str) -> anyhow::Result<()> {
    if loaded(guest)?.is_some_and(|release| release != IN_TREE) {
        swap_to(guest, IN_TREE)?;
    }
    any_card(guest, parameters)
}

/// The same under whichever driver there is: for who replaces it once, and does not mind by which.
pub fn any_card(guest: &Guest, parameters: &str) -> anyhow::Result<()> {
    guest.ok(&format!(
        "{}{}
         rmmod onloadd_card 2>&-; insmod /opt/card/onloadd_card.ko functions=3 {parameters} && udevadm settle &&
         {{ test -d /var/lib/onloadd/releases/{FORMER} ||
            onloadctl release import /opt/releases/{FORMER} --version {FORMER}; }}",
        first_boot::cleared(),
        stack::TEAR_DOWN
    ))?;
    let named = format!("onloadctl ports | grep -q {}", names(guest)?[2]);
    guest.until("the card in onloadctl", &named).map(drop)
}

/// The release to change to: not the one whose driver is there.
pub fn other(guest: &Guest) -> anyhow::Result<&'static str> {
    Ok(if loaded(guest)?.as_deref() == Some(FORMER) { IN_TREE } else { FORMER })
}

/// A release ordered and carried out.
pub fn swap_to(guest: &Guest, release: &str) -> anyhow::Result<()> {
    let used = guest.run_within(&format!("onloadctl release use {release}"), CHANGE)?;
    ensure!(used.ok(), "{used:?}\n{}", guest.journal("-u onloadd -b -o cat -n 60")?);
    Ok(())
}

/// What the kernel calls the ports, when udev has done.
pub fn names(guest: &Guest) -> anyhow::Result<[String; 3]> {
    let all = FUNCTIONS.map(|function| format!("/sys/bus/pci/devices/{function}/net/*"));
    let said = guest.ok(&format!("udevadm settle; basename -a {}", all.join(" ")))?;
    let names: Vec<String> = said.lines().map(str::to_owned).collect();
    names.try_into().map_err(|names| anyhow::anyhow!("not three ports: {names:?}"))
}

/// Each port's row of `naming plan`.
pub fn planned(guest: &Guest) -> anyhow::Result<[Value; 3]> {
    let plan = json(guest, "naming plan")?;
    let rows = plan["ports"].as_array().context("no ports")?;
    let row =
        |function| rows.iter().find(|row| row["port"] == function).cloned().unwrap_or_default();
    Ok(FUNCTIONS.map(row))
}

/// What udev itself comes to: the name, and the file that says so.
pub fn evaluated(guest: &Guest, name: &str) -> anyhow::Result<(String, String)> {
    let all = evaluated_all(guest, &[name])?;
    all.into_iter().next().context("nothing evaluated")
}

/// What udev comes to for each of several.
pub fn evaluated_all(guest: &Guest, names: &[&str]) -> anyhow::Result<Vec<(String, String)>> {
    let said = guest.ok(&format!(
        "set -e; for one in {}; do udevadm test-builtin net_setup_link /sys/class/net/$one; done",
        names.join(" ")
    ))?;
    let values = |key: &str| -> Vec<String> {
        let values = said.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values.map(str::to_owned).collect()
    };
    let (to, by) = (values("ID_NET_NAME"), values("ID_NET_LINK_FILE"));
    ensure!(to.len() == names.len() && by.len() == names.len(), "{names:?}: {said}");
    Ok(to.into_iter().zip(by).collect())
}

/// The file by which onloadd pins the port with this permanent address.
pub fn pin(mac: &str) -> String {
    format!("/etc/systemd/network/10-onloadd-{}.link", mac.replace(':', ""))
}

/// That the ports have these names, and that udev would give them again.
pub fn pinned(guest: &Guest, wanted: &[String; 3]) -> anyhow::Result<()> {
    let now = names(guest)?;
    ensure!(now == *wanted, "{now:?}, not {wanted:?}");
    let evaluated = evaluated_all(guest, &wanted.each_ref().map(String::as_str))?;
    for ((name, mac), (udev, file)) in wanted.iter().zip(MACS).zip(evaluated) {
        ensure!(udev == *name && file == pin(mac), "udev comes to {udev} by {file}, not to {name}");
    }
    Ok(())
}
