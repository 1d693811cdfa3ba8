//! Kernel modules, loaded by systemd on the daemon's behalf. The card is a PCI bus made by a module
//! of ours, the drivers are stand-ins; the loader, udev and sysfs are the kernel's and Debian's.

use std::time::Duration;

use anyhow::ensure;
use onload_dbus::error::exit;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};

use crate::node::{as_visitor, configure, json, kill, look_again, until_state};

/// A function of the card.
const FUNCTION: &str = "10000:00:00.0";
/// An order is carried out with six attempts, the last 30 s after the first.
pub const APPLY: Duration = Duration::from_secs(90);

pub fn theme() -> Theme {
    // So that the card's alias does not load the driver before onloadd is asked to. By its name,
    // as onloadd loads it, it still comes.
    let options = Options::new().file("/etc/modprobe.d/guest.conf", "blacklist sfc\n", 0o644);
    Theme {
        name: "modules",
        options,
        cases: cases![
            a_card_is_seen_when_it_comes,
            the_in_tree_driver_is_loaded_by_order,
            a_missing_module_is_named_and_taken_up_when_it_comes,
            what_is_lent_outlives_the_daemon,
            parameters_are_compared_with_what_the_host_asks,
        ],
    }
}

/// Each case can be run alone.
pub fn card(guest: &Guest) -> anyhow::Result<()> {
    guest.ok("test -d /sys/module/onloadd_card || insmod /opt/card/onloadd_card.ko")?;
    guest.ok("udevadm settle")?;
    let seen = format!("onloadctl ports | grep -q {FUNCTION}");
    guest.until("the card in onloadctl", &seen).map(drop)
}

fn a_card_is_seen_when_it_comes(guest: &mut Guest) -> anyhow::Result<()> {
    card(guest)?;
    let properties = guest.ok(&format!("udevadm info /sys/bus/pci/devices/{FUNCTION}"))?;
    assert!(properties.contains("TAGS=:systemd:"), "the rule tags it\n{properties}");
    let ports = json(guest, "ports")?;
    let ports = ports["ports"].as_array().unwrap_or_else(|| panic!("{ports}"));
    assert_eq!(ports.len(), 2, "{ports:?}");
    assert!(!guest.run("test -d /sys/module/sfc")?.ok(), "modules are left alone");
    Ok(())
}

fn the_in_tree_driver_is_loaded_by_order(guest: &mut Guest) -> anyhow::Result<()> {
    card(guest)?;
    configure(guest, "[modules]\nrelease = \"in-tree\"\n")?;
    let waiting = guest.run("test -d /sys/module/sfc")?;
    assert!(!waiting.ok(), "a changed release waits for an order");
    let applied = guest.run_within("onloadctl apply", APPLY)?;
    ensure!(applied.ok(), "{applied:?}");
    for function in [FUNCTION, "10000:00:00.1"] {
        let driver = guest.ok(&format!("readlink /sys/bus/pci/devices/{function}/driver"))?;
        assert!(driver.trim().ends_with("/sfc"), "{driver}");
    }
    let unit = guest.journal("-u onloadd-load-sfc.service -o cat")?;
    assert!(unit.contains("Load kernel module sfc of in-tree for onloadd"), "{unit}");
    let left = guest.ok("systemctl list-units --all --no-legend 'onloadd-load-*'")?;
    assert_eq!(left, "", "the unit is gone when its work is done");
    Ok(())
}

fn a_missing_module_is_named_and_taken_up_when_it_comes(guest: &mut Guest) -> anyhow::Result<()> {
    card(guest)?;
    // A host whose packages brought the driver, but not yet the rest.
    host_modules(guest, "sfc")?;
    configure(guest, "[modules]\nrelease = \"host\"\n")?;
    let apply = guest.run_within("onloadctl apply", APPLY)?;
    assert_eq!(apply.status, Some(i32::from(exit::BLOCKED)), "{apply:?}");
    assert!(apply.stderr.contains("incomplete: onload"), "{apply:?}");
    let why = guest.ok("onloadctl why host")?;
    assert!(why.contains("onload"), "{why}");
    // Whatever an earlier case has loaded is the kernel's own, which has no version.
    let half = guest.run("test -e /sys/module/sfc/version")?;
    assert!(!half.ok(), "half a release is not loaded");

    host_modules(guest, "*")?;
    let applied = guest.run_within("onloadctl apply", APPLY)?;
    ensure!(applied.ok(), "{applied:?}");
    let loaded = guest.ok("cat /sys/module/onload/version")?;
    assert_eq!(loaded.trim(), "9.2.1");
    let status = until_state(guest, "ready")?;
    assert_eq!(status["loaded_version"], "9.2.1", "{status}");
    assert_eq!(status["pools"][0]["free"], 100, "{status}");
    Ok(())
}

/// Puts modules of a release where the distribution's packages put them, with their tools.
pub fn host_modules(guest: &Guest, which: &str) -> anyhow::Result<()> {
    let from = "/opt/releases/9.2.1";
    let tree = "/lib/modules/$(uname -r)";
    guest.ok(&format!(
        "lsmod | grep -q '^onload ' || rmmod -f sfc 2>&- || true
         mkdir -p {tree}/updates && cp {from}{tree}/extra/{which}.ko {tree}/updates/ &&
         cp -r {from}/usr/. /usr/ && depmod -a"
    ))?;
    Ok(())
}

fn what_is_lent_outlives_the_daemon(guest: &mut Guest) -> anyhow::Result<()> {
    card(guest)?;
    host_modules(guest, "*")?;
    configure(guest, "[modules]\nrelease = \"host\"\n")?;
    let applied = guest.run_within("onloadctl apply", APPLY)?;
    ensure!(applied.ok(), "{applied:?}");
    until_state(guest, "ready")?;

    let refused = as_visitor(guest, "onloadctl allocate onload")?;
    assert_eq!(refused.status, Some(i32::from(exit::NOT_ALLOWED)), "{refused:?}");
    guest.ok("onloadctl allocate onload --count 3")?;
    let lent = json(guest, "allocations")?["allocations"].clone();
    assert_eq!(lent.as_array().map(Vec::len), Some(3), "{lent}");
    let ids = |lent: &serde_json::Value| -> Vec<String> {
        let all = lent.as_array().into_iter().flatten();
        all.map(|one| format!("{} {}", one["id"], one["device"])).collect()
    };
    kill(guest)?;
    until_state(guest, "ready")?;
    assert_eq!(ids(&json(guest, "allocations")?["allocations"]), ids(&lent), "after kill -9");
    guest.ok("systemctl restart onloadd")?;
    until_state(guest, "ready")?;
    assert_eq!(ids(&json(guest, "allocations")?["allocations"]), ids(&lent), "after a restart");
    for id in lent.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()) {
        guest.ok(&format!("onloadctl free {id}"))?;
    }
    assert_eq!(json(guest, "status")?["pools"][0]["free"], 100);
    Ok(())
}

fn parameters_are_compared_with_what_the_host_asks(guest: &mut Guest) -> anyhow::Result<()> {
    card(guest)?;
    host_modules(guest, "*")?;
    // As the manual has it: hexadecimal, a dash for an underscore, a line that goes on.
    let options = "options onload epoll-max-stacks=0x20 \\\n oo_accelerate_veth=1\n";
    guest.put("/etc/modprobe.d/case.conf", options.as_bytes(), 0o644)?;
    guest.ok("! test -d /sys/module/onload || { kill $(cat /proc/driver/onload/cp_server_pids) 2>&- ; until rmmod onload; do :; done; }")?;
    // So that what is taken out by hand is not brought back before somebody else does.
    configure(guest, "[modules]\nrelease = \"host\"\ndrift = \"report\"\n")?;
    let applied = guest.run_within("onloadctl apply", APPLY)?;
    ensure!(applied.ok(), "{applied:?}");
    until_state(guest, "ready")?;
    assert_eq!(parameter(guest, "epoll_max_stacks")?, "32", "loaded with the host's options");
    until_parameters(guest, "True")?;

    // Loaded past them, by hand: heard at once.
    let by_hand = "kill $(cat /proc/driver/onload/cp_server_pids) 2>&-
         until rmmod onload; do :; done
         insmod $(modinfo -n onload) epoll_max_stacks=7";
    guest.ok(by_hand)?;
    until_parameters(guest, "False")?;
    let why = guest.ok("onloadctl why onload")?;
    let said = "onload has epoll_max_stacks=7, and /etc/modprobe.d/case.conf asks for 0x20";
    assert!(why.contains(said), "{why}");
    let applied = guest.run_within("onloadctl apply", APPLY)?;
    assert!(applied.ok(), "it is no fault of the release: {applied:?}");

    // Put right at run time: nothing tells of that but the next look.
    for (name, value) in [("epoll_max_stacks", "32"), ("oo_accelerate_veth", "Y")] {
        guest.ok(&format!("echo {value} >/sys/module/onload/parameters/{name}"))?;
    }
    look_again(guest)?;
    until_parameters(guest, "True")?;
    guest.ok("rm /etc/modprobe.d/case.conf").map(drop)
}

fn parameter(guest: &Guest, name: &str) -> anyhow::Result<String> {
    let value = guest.ok(&format!("cat /sys/module/onload/parameters/{name}"))?;
    Ok(value.trim().to_owned())
}

/// Waits for a status of the condition.
fn until_parameters(guest: &Guest, status: &str) -> anyhow::Result<()> {
    let condition =
        "busctl get-property com.amd.Onload1 /com/amd/Onload1 com.amd.Onload1.Manager Conditions";
    let asked =
        format!("{condition} | grep -q '\"ParametersAsAsked\" \"{status}\"' || ! {condition}");
    guest.until(&format!("ParametersAsAsked {status}"), &asked).map(drop)
}
