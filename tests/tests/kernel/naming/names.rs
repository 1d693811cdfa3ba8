//! Names that cannot be given, names that somebody else gave, ports that cannot be told apart.

use std::time::Duration;

use anyhow::{Context, ensure};
use onload_dbus::error::exit;
use onload_tests::guest::Guest;

use super::ports::{
    FUNCTIONS, MACS, any_card, evaluated, evaluated_all, names, other, pin, swap_to,
};
use crate::node::{configure, json};
use crate::swap::{loaded, refused};

/// How long onloadd may take to see a name that is not the pinned one and give it back.
const REPAIR: Duration = Duration::from_secs(20);

/// `explicit`, with these names by permanent address.
fn explicit(ports: &[(&str, &str)]) -> String {
    let tables = ports
        .iter()
        .map(|(mac, name)| format!("[[naming.ports]]\nmac = \"{mac}\"\nname = \"{name}\"\n"));
    format!("[naming]\npolicy = \"explicit\"\n{}", tables.collect::<String>())
}

pub fn a_name_that_another_has_bars_the_change(guest: &mut Guest) -> anyhow::Result<()> {
    configure(guest, "[naming]\npolicy = \"off\"\n")?;
    any_card(guest, "")?;
    let (before, next, former) = (names(guest)?, other(guest)?, loaded(guest)?);
    guest.ok("ip link add taken0 type dummy")?;
    configure(guest, &explicit(&[(MACS[0], "taken0"), (MACS[1], "fine0")]))?;
    let ran = refused(guest, &format!("release use {next}"))?;
    let told = format!("{}{}", ran.stdout, ran.stderr);
    ensure!(told.contains("taken0"), "the reason names it: {ran:?}");
    // Blocked where nothing had been done; the other name may have been pinned by then.
    let codes = [exit::BLOCKED, exit::FAILED].map(|code| Some(i32::from(code)));
    ensure!(codes.contains(&ran.status), "{ran:?}");
    ensure!(loaded(guest)? == former, "nothing was unloaded");
    let now = names(guest)?;
    ensure!(now[0] == before[0] && now[2] == before[2], "{now:?}, not {before:?}");
    guest.ok("test -d /sys/class/net/taken0 && ip -d link show taken0 | grep -q dummy")?;
    // The way out is as it was told.
    guest.ok("ip link del taken0")?;
    swap_to(guest, next)?;
    let now = names(guest)?;
    ensure!(now[0] == "taken0" && now[1] == "fine0", "{now:?}");
    Ok(())
}

pub fn fifteen_letters_fit_and_sixteen_are_refused(guest: &mut Guest) -> anyhow::Result<()> {
    let (fits, long) = ("accelerated-en0", "accelerated-eth0");
    configure(guest, &explicit(&[(MACS[0], fits)]))?;
    any_card(guest, "")?;
    swap_to(guest, other(guest)?)?;
    let now = names(guest)?;
    ensure!(now[0] == fits, "{now:?}");
    let (udev, file) = evaluated(guest, fits)?;
    ensure!(udev == fits && file == pin(MACS[0]), "{udev} by {file}");
    let text = explicit(&[(MACS[0], long)]);
    guest.put("/etc/onloadd/onloadd.toml.d/50-case.toml", text.as_bytes(), 0o644)?;
    let ran = guest.run("onloadctl reload")?;
    ensure!(!ran.ok(), "{ran:?}");
    let told = format!("{}{}", ran.stdout, ran.stderr);
    ensure!(told.contains("15 bytes") && told.contains("50-case.toml"), "{ran:?}");
    ensure!(names(guest)? == now, "the former configuration stands");
    configure(guest, "")
}

pub fn a_port_that_somebody_renames_gets_its_name_back(guest: &mut Guest) -> anyhow::Result<()> {
    configure(guest, "[naming]\npolicy = \"keep\"\n")?;
    any_card(guest, "")?;
    // Whoever says so has names pinned before any driver is replaced.
    let all = FUNCTIONS.len();
    let pinned = format!("test $(ls /etc/systemd/network/10-onloadd-*.link | wc -l) -eq {all}");
    guest.until("the pins", &pinned)?;
    let pinned = names(guest)?;
    // This kernel renames nothing that is up; what nobody uses may go down for it.
    for (odd, state) in [("odd0", "down"), ("odd1", "up")] {
        guest.ok(&format!(
            "ip link set {0} down && ip link set {0} name {odd} && ip link set {odd} {state}",
            pinned[0]
        ))?;
        let ran = guest.run(&format!(
            "timeout {} sh -c 'until test -d /sys/class/net/{}; do sleep 0.2; done'",
            REPAIR.as_secs(),
            pinned[0]
        ))?;
        let told = "onloadctl why; onloadctl naming plan; onloadctl status";
        ensure!(ran.ok(), "still {odd}, {state}: {}", guest.run(told)?.stdout);
        ensure!(names(guest)? == pinned);
        let flags = guest.ok(&format!("ip link show {}", pinned[0]))?;
        // Its carrier comes a moment later.
        ensure!(flags.contains(",UP") == (state == "up"), "{flags}");
    }
    // One that carries something is let alone and told of, until the driver is replaced anyway.
    guest.ok(&format!(
        "ip link set {0} down && ip link set {0} name odd2 && ip address add 203.0.113.9/24 dev odd2 && ip link set odd2 up",
        pinned[0]
    ))?;
    guest.until("the condition", "onloadctl --json status | grep -q odd2")?;
    let status = json(guest, "status")?;
    let mut all = status["conditions"].as_array().context("no conditions")?.iter();
    let names_pinned = all.find(|one| one["type"] == "NamesPinned").context("no NamesPinned")?;
    ensure!(names_pinned["status"] == "False", "{names_pinned}");
    ensure!(guest.run("ip -4 address show dev odd2")?.stdout.contains("203.0.113.9"), "{status}");
    swap_to(guest, other(guest)?)?;
    ensure!(names(guest)? == pinned, "{:?}", names(guest)?);
    let address = guest.ok(&format!("ip -4 address show dev {}", pinned[0]))?;
    ensure!(address.contains("203.0.113.9/24"), "{address}");
    Ok(())
}

pub fn ports_of_one_address_are_told_apart_by_their_slot(guest: &mut Guest) -> anyhow::Result<()> {
    // A pin by address would call all of them the same.
    configure(guest, "[naming]\npolicy = \"off\"\n")?;
    guest.until("no pins", "! ls /etc/systemd/network/10-onloadd-*.link 2>&-")?;
    any_card(guest, "one_mac=1")?;
    configure(guest, "[naming]\npolicy = \"keep\"\n")?;
    let before = names(guest)?;
    swap_to(guest, other(guest)?)?;
    let after = names(guest)?;
    ensure!(after == before, "{after:?}, not {before:?}");
    let evaluated = evaluated_all(guest, &before.each_ref().map(String::as_str))?;
    for (function, (name, (udev, file))) in before.iter().zip(evaluated).enumerate() {
        let key = format!("10-onloadd-pci-10000-00-00-{function}.link");
        ensure!(udev == *name && file.ends_with(&key), "{udev} by {file}");
    }
    guest.ok("rmmod onloadd_card").map(drop)
}
