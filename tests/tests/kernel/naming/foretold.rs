//! Policy `off`: names change with the driver, and the plan says so beforehand.

use anyhow::ensure;
use onload_tests::guest::Guest;
use serde_json::Value;

use super::ports::{IN_TREE, WITH_IN_TREE, WITH_OTHERS, card, evaluated, names, planned, swap_to};
use crate::node::configure;
use crate::swap::FORMER;

/// What the plan calls the ports: now, and with a release.
fn plan(guest: &Guest, release: &str) -> anyhow::Result<([Value; 3], [Value; 3])> {
    let rows = planned(guest)?;
    let with = rows.clone().map(|row| row["drivers"][release]["name"].clone());
    Ok((rows.map(|row| row["today"].clone()), with))
}

pub fn off_lets_names_change_as_the_plan_says(guest: &mut Guest) -> anyhow::Result<()> {
    configure(guest, "[naming]\npolicy = \"off\"\n")?;
    card(guest, "")?;
    let (today, then) = plan(guest, FORMER)?;
    ensure!(today == WITH_IN_TREE && then == WITH_OTHERS, "{today:?}, then {then:?}");
    swap_to(guest, FORMER)?;
    ensure!(names(guest)? == WITH_OTHERS, "{:?}", names(guest)?);
    // By the change itself, not by the slow tick a minute later.
    guest
        .ok("timeout 15 sh -c 'until onloadctl naming plan | grep -qw enP65536s1f0; do :; done'")?;
    let (today, with) = plan(guest, FORMER)?;
    ensure!(today == WITH_OTHERS && with == WITH_OTHERS, "{today:?}, with its driver {with:?}");
    // The way back shows what it brings only once it is there; it may be remembered, never guessed.
    let (_, back) = plan(guest, IN_TREE)?;
    let unknown = [Value::Null, Value::Null, Value::Null];
    ensure!(back == unknown || back == WITH_IN_TREE, "{back:?}");
    swap_to(guest, IN_TREE)?;
    ensure!(names(guest)? == WITH_IN_TREE, "{:?}", names(guest)?);
    for name in WITH_IN_TREE {
        let (udev, file) = evaluated(guest, name)?;
        ensure!(udev == name && file.ends_with("/99-default.link"), "{udev} by {file}");
    }
    guest.ok("! ls /etc/systemd/network/10-onloadd-*.link 2>&-").map(drop)
}
