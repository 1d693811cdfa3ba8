//! What ports carry survives a change of their driver, whatever happens meanwhile.

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;

use super::picture::Picture;
use super::ports::{IN_TREE, WITH_IN_TREE, card, pinned, swap_to};
use super::stack;
use crate::node::{configure, json};
use crate::swap::{CHANGE, FORMER, loaded};

/// There and back so often.
pub const ROUNDS: usize = 3;
/// Steps at which the daemon is killed: without a driver, with names to give, with half of it put back.
const KILLED_AT: [&str; 3] = ["unload module sfc", "load module sfc from", "set ring of"];

/// The ports with a network on them, and what it looks like.
fn network(guest: &Guest) -> anyhow::Result<([String; 3], Picture)> {
    configure(guest, "[naming]\npolicy = \"keep\"\n")?;
    card(guest, "")?;
    let ports = WITH_IN_TREE.map(str::to_owned);
    let bare = Picture::of(guest, &ports)?;
    stack::set_up(guest, &ports)?;
    // Carrier, duplicate address detection and the bond's choice are waited for by having them twice.
    let settled = "ip -j -6 address show tentative | grep -q local || ! grep -q 'MII Status: up' /proc/net/bonding/bond0";
    guest.until("the network", &format!("! {{ {settled}; }}"))?;
    let picture = Picture::of(guest, &ports)?;
    let seen = picture.differences(&bare);
    for what in ["mtu: 9000", "fast0", "RX:\t\t512", "valid_life_time", "10.50.0.0/16", "phy-power"]
    {
        ensure!(seen.iter().any(|line| line.contains(what)), "{what} is not seen: {seen:?}");
    }
    Ok((ports, picture))
}

/// What onloadd says of it.
fn told(guest: &Guest) -> anyhow::Result<()> {
    let status = json(guest, "status")?;
    for condition in ["NamesPinned", "NetworkRestored"] {
        let mut all = status["conditions"].as_array().context("no conditions")?.iter();
        let found = all.find(|one| one["type"] == condition).context(condition)?;
        ensure!(found["status"] == "True", "{found}");
    }
    Ok(())
}

pub fn a_network_survives_swaps(guest: &mut Guest) -> anyhow::Result<()> {
    let (ports, before) = network(guest)?;
    for round in 1..=ROUNDS {
        for release in [FORMER, IN_TREE] {
            swap_to(guest, release)?;
            let context = || format!("round {round}, {release}");
            pinned(guest, &ports).with_context(context)?;
            before.until_again(guest, &ports).with_context(context)?;
            told(guest).with_context(context)?;
        }
    }
    Ok(())
}

pub fn a_kill_in_between_leaves_no_trace(guest: &mut Guest) -> anyhow::Result<()> {
    let (ports, before) = network(guest)?;
    let mut release = FORMER;
    for step in KILLED_AT {
        // So many kills in a row are more than the unit's start limit.
        guest.ok("systemctl reset-failed onloadd")?;
        // Whoever reads from here on misses nothing, however late they begin.
        let from = guest.ok("journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'")?;
        let killed = guest.begin(
            // A pipeline ends only when the journal has another line, and it must not wait for that.
            &format!(
                "rm -f /run/killed
                 timeout 60 journalctl -fu onloadd --no-tail --after-cursor=\"{}\" -o cat |
                 while read -r line; do
                     case $line in *\"{step}\"*)
                         systemctl kill -s KILL onloadd && touch /run/killed; break;;
                     esac
                 done
                 test -e /run/killed",
                from.trim()
            ),
            CHANGE,
        )?;
        guest.run_within(&format!("onloadctl release use {release}"), CHANGE)?;
        let killed = killed.wait()?;
        ensure!(killed.ok(), "no step `{step}` to kill at: {killed:?}");
        guest.until(
            &format!("the end of the change that was killed at `{step}`"),
            "onloadctl --json status | tr -d ' ' | grep -Eq '\"state\":\"(ready|blocked)\"'",
        )?;
        ensure!(loaded(guest)?.as_deref() == Some(release), "killed at `{step}`");
        pinned(guest, &ports).with_context(|| format!("killed at `{step}`"))?;
        before.until_again(guest, &ports).with_context(|| format!("killed at `{step}`"))?;
        release = if release == FORMER { IN_TREE } else { FORMER };
    }
    Ok(())
}
