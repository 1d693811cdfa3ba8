//! The card's ports and the releases between which they change.

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;

use crate::node::json;
use crate::swap::{CHANGE, FORMER, NEXT, loaded};

/// The release with the kernel's own driver.
pub const IN_TREE: &str = "in-tree";
/// The ports' functions.
pub const FUNCTIONS: [&str; 2] = ["10000:00:00.0", "10000:00:00.1"];
/// Their permanent addresses.
pub const MACS: [&str; 2] = ["00:0f:53:0a:0b:10", "00:0f:53:0a:0b:11"];

/// The card and two releases, whatever ran before.
pub fn card(guest: &Guest) -> anyhow::Result<()> {
    guest.ok(&format!(
        "test -d /sys/module/onloadd_card || insmod /opt/card/onloadd_card.ko
         udevadm settle
         for name in {FORMER} {NEXT}; do
             test -d /var/lib/onloadd/releases/$name ||
             onloadctl release import /opt/releases/$name --version $name
         done",
    ))?;
    guest.until("the card in onloadctl", &format!("onloadctl ports | grep -q {}", FUNCTIONS[0]))?;
    Ok(())
}

/// A release ordered and carried out.
pub fn swap_to(guest: &Guest, release: &str) -> anyhow::Result<()> {
    let used = guest.run_within(&format!("onloadctl release use {release}"), CHANGE)?;
    ensure!(used.ok(), "{used:?}\n{}", guest.journal("-u onloadd -b -o cat -n 60")?);
    Ok(())
}

/// The kernel's own driver on the card.
pub fn in_tree(guest: &Guest) -> anyhow::Result<()> {
    card(guest)?;
    if loaded(guest)?.as_deref() != Some(IN_TREE) {
        swap_to(guest, IN_TREE)?;
    }
    Ok(())
}

/// What the ports are called, by the kernel.
pub fn names(guest: &Guest) -> anyhow::Result<[String; 2]> {
    let name = |function: &str| -> anyhow::Result<String> {
        let name = guest.ok(&format!("udevadm settle; ls /sys/bus/pci/devices/{function}/net"))?;
        Ok(name.trim().to_owned())
    };
    Ok([name(FUNCTIONS[0])?, name(FUNCTIONS[1])?])
}

/// What the plan says that a release's driver calls the ports.
pub fn foretold(guest: &Guest, release: &str) -> anyhow::Result<[String; 2]> {
    let plan = json(guest, "naming plan")?;
    let name = |function: &str| -> anyhow::Result<String> {
        let mut rows = plan["ports"].as_array().context("no ports")?.iter();
        let row = rows.find(|row| row["port"] == function).context("no such port")?;
        let name = row["drivers"][release]["name"].as_str();
        Ok(name.with_context(|| format!("{release}: {row}"))?.to_owned())
    };
    Ok([name(FUNCTIONS[0])?, name(FUNCTIONS[1])?])
}
