//! Policy `off`: names change with the driver, and the plan says so beforehand.

use anyhow::ensure;
use onload_tests::guest::Guest;

use super::ports::{FUNCTIONS, IN_TREE, foretold, in_tree, names, swap_to};
use crate::node::configure;
use crate::swap::FORMER;

/// What udev calls them with each driver: a domain, a slot, a function, and what in-tree drivers add.
const WITH_IN_TREE: [&str; 2] = ["enP65536s1f0np0", "enP65536s1f1np1"];
const WITH_OTHERS: [&str; 2] = ["enP65536s1f0", "enP65536s1f1"];

pub fn off_lets_names_change_as_the_plan_says(guest: &mut Guest) -> anyhow::Result<()> {
    configure(guest, "[naming]\npolicy = \"off\"\n")?;
    in_tree(guest)?;
    ensure!(names(guest)? == WITH_IN_TREE, "{:?}", names(guest)?);
    let plan = (foretold(guest, IN_TREE)?, foretold(guest, FORMER)?);
    ensure!(plan.0 == WITH_IN_TREE && plan.1 == WITH_OTHERS, "{plan:?}");
    swap_to(guest, FORMER)?;
    ensure!(names(guest)? == WITH_OTHERS, "{:?}", names(guest)?);
    let plan = (foretold(guest, IN_TREE)?, foretold(guest, FORMER)?);
    ensure!(plan.0 == WITH_IN_TREE && plan.1 == WITH_OTHERS, "from the other side: {plan:?}");
    swap_to(guest, IN_TREE)?;
    ensure!(names(guest)? == WITH_IN_TREE, "{:?}", names(guest)?);
    guest.ok("! ls /etc/systemd/network/10-onloadd-*.link 2>&-")?;
    let links = guest.ok(&format!(
        "for one in {}; do
             udevadm info -q property -p /sys/bus/pci/devices/$one/net/* | grep ^ID_NET_LINK_FILE=
         done",
        FUNCTIONS.join(" ")
    ))?;
    ensure!(links.lines().all(|line| line.ends_with("/99-default.link")), "{links}");
    Ok(())
}
