//! A node without any Solarflare card, whose virtio port is offered to Onload through AF_XDP. The
//! port, its driver and sysfs are real; `sfc_resource` is a stand-in that takes registrations as the
//! real one does, and would not crash where that one does: that `lo` is left alone is seen in what
//! it says it was given.

use std::time::Duration;

use anyhow::{Context, ensure};
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};

use crate::node::{configure, json, until_state};

/// A change and its way back, on an emulated processor.
const CHANGE: Duration = Duration::from_secs(90);
const FORMER: &str = "9.1.2";
const NEXT: &str = "9.2.1";
/// Every virtio port; `lo` and whatever else is no such port is never meant.
const CHOICES: &str = "[[modules.af-xdp]]\ndriver = \"virtio_net\"\n";

pub fn theme() -> Theme {
    let network = ["-netdev", "hubport,id=wire0,hubid=0", "-device", "virtio-net-pci,netdev=wire0"];
    Theme {
        name: "afxdp",
        options: Options::new().device(network),
        cases: cases![
            a_virtio_port_is_registered_and_serves,
            it_is_registered_again_after_a_change,
            the_loopback_is_never_given_to_the_kernel,
            a_port_that_a_file_may_rename_or_move_is_refused,
            what_was_loaded_for_the_last_choice_goes_with_it,
        ],
    }
}

/// The port's interface.
fn port(guest: &Guest) -> anyhow::Result<String> {
    let name = guest.ok("for d in /sys/class/net/*/device/driver; do
           case $(readlink $d) in */virtio_net) basename ${d%/device/driver};; esac
         done")?;
    ensure!(name.split_whitespace().count() == 1, "one virtio port: {name:?}");
    Ok(name.trim().to_owned())
}

/// The node on a release with the port registered, whatever ran before.
fn node_on(guest: &Guest, name: &str) -> anyhow::Result<()> {
    for release in [FORMER, NEXT] {
        guest.ok(&format!(
            "onloadctl release show {release} >&- 2>&- ||
             onloadctl release import /opt/releases/{release} --version {release}"
        ))?;
    }
    adopt(guest, &format!("[modules]\nrelease = \"{name}\"\n{CHOICES}"))?;
    until_state(guest, "ready").map(drop)
}

/// A configuration, carried out.
fn adopt(guest: &Guest, text: &str) -> anyhow::Result<()> {
    configure(guest, text)?;
    let applied = guest.run_within("onloadctl apply", CHANGE)?;
    ensure!(applied.ok(), "{applied:?}\n{}", guest.journal("-u onloadd -b -o cat -n 60")?);
    Ok(())
}

/// Registered, seen past onloadd, and nothing of a driver that nobody needs.
fn proven(guest: &Guest, port: &str) -> anyhow::Result<()> {
    guest.ok(&format!("test -d /proc/driver/sfc_resource/{port} && ! test -d /sys/module/sfc"))?;
    let status = json(guest, "status")?;
    ensure!(status["pools"][0]["free"] == 100, "{status}");
    Ok(())
}

fn a_virtio_port_is_registered_and_serves(guest: &mut Guest) -> anyhow::Result<()> {
    let port = port(guest)?;
    ensure!(json(guest, "status")?["state"] == "idle", "off by default");
    node_on(guest, FORMER)?;
    proven(guest, &port)?;
    let ports = json(guest, "ports")?;
    let shown = ports["ports"].get(0).with_context(|| ports.to_string())?;
    ensure!(shown["datapath"] == "af_xdp" && shown["netdev"] == port.as_str(), "{ports}");
    ensure!(ports["ports"].as_array().is_some_and(|all| all.len() == 1), "{ports}");
    guest.ok("onloadctl allocate onload && onloadctl allocations | grep -q onload-")?;
    let ids = json(guest, "allocations")?;
    let id = ids["allocations"][0]["id"].as_str().with_context(|| ids.to_string())?.to_owned();
    guest.ok(&format!("onloadctl free {id}"))?;
    let left = guest.ok("systemctl list-units --all --no-legend 'onloadd-register-*'")?;
    ensure!(left.is_empty(), "the unit is gone when its work is done: {left}");
    Ok(())
}

fn it_is_registered_again_after_a_change(guest: &mut Guest) -> anyhow::Result<()> {
    let port = port(guest)?;
    node_on(guest, FORMER)?;
    node_on(guest, NEXT)?;
    proven(guest, &port)?;
    let history = json(guest, "history")?;
    let last = &history["changes"][0];
    ensure!(last["from"] == FORMER && last["outcome"] == "done", "{history}");
    // Somebody takes the stack away by hand: what comes back is registered too.
    guest.ok(
        "kill $(cat /proc/driver/onload/cp_server_pids); sleep 2; rmmod onload sfc_char sfc_resource",
    )?;
    guest.until("the registration", &format!("test -d /proc/driver/sfc_resource/{port}"))?;
    until_state(guest, "ready").map(drop)
}

fn the_loopback_is_never_given_to_the_kernel(guest: &mut Guest) -> anyhow::Result<()> {
    node_on(guest, NEXT)?;
    let with = |table: &str| {
        format!("[modules]\nrelease = \"{NEXT}\"\n{CHOICES}[[modules.af-xdp]]\n{table}\n")
    };
    let refused = configure(guest, &with("interface = \"lo\""));
    ensure!(refused.is_err(), "the configuration is refused");
    guest.until("why", "onloadctl status | grep -q 'panic the kernel'")?;
    // By its address the file does not show what it means.
    adopt(guest, &with("mac = \"00:00:00:00:00:00\""))?;
    let told =
        "onloadctl status >/run/told; grep -q 'lo is not offered' /run/told || ! cat /run/told";
    guest.until("the refusal", told)?;
    guest.ok("! test -e /proc/driver/sfc_resource/lo")?;
    let log = guest.journal("-k -o cat")?;
    ensure!(!log.contains("lo is registered"), "{log}");
    node_on(guest, NEXT)
}

fn a_port_that_a_file_may_rename_or_move_is_refused(guest: &mut Guest) -> anyhow::Result<()> {
    let port = port(guest)?;
    node_on(guest, NEXT)?;
    let moves = format!("{{\"type\":\"host-device\",\"device\":\"{port}\"}}");
    let files = [
        ("/etc/systemd/network/10-lan.link", "[Match]\nDriver=virtio_net\n\n[Link]\nName=lan0\n"),
        (
            "/etc/NetworkManager/system-connections/lan.nmconnection",
            "[connection]\ntype=ethernet\ncontroller=bond0\n[match]\ndriver=virtio_*;\n",
        ),
        ("/etc/cni/net.d/20-lan.conf", &moves),
    ];
    for (file, text) in files {
        guest.ok(&format!("mkdir -p $(dirname {file})"))?;
        guest.put(file, text.as_bytes(), 0o600)?;
        // No event tells of such a file; the next look does. A refused order stands, and fails again.
        guest.run_within("onloadctl apply", CHANGE)?;
        let told = format!("onloadctl status | grep -q '{port} is not offered.*{file}'");
        guest.until("the objection", &told)?;
        guest.ok(&format!("test -d /proc/driver/sfc_resource/{port}"))?;
        // What is registered serves on, and is not given up for what would not come back.
        let refused = guest.run_within(&format!("onloadctl release use {FORMER}"), CHANGE)?;
        ensure!(!refused.ok() && refused.stderr.contains(file), "{refused:?}");
        proven(guest, &port)?;
        guest.ok(&format!("rm {file}"))?;
    }
    node_on(guest, FORMER)?;
    proven(guest, &port)
}

fn what_was_loaded_for_the_last_choice_goes_with_it(guest: &mut Guest) -> anyhow::Result<()> {
    let port = port(guest)?;
    node_on(guest, NEXT)?;
    let server = guest.ok("cat /proc/driver/onload/cp_server_pids")?;
    let none = format!("[modules]\nrelease = \"{NEXT}\"\n");
    // A restart in between forgets nothing of what onloadd registered itself.
    guest.ok("systemctl restart onloadd")?;
    adopt(guest, &none)?;
    guest.until("the unload", "! test -d /sys/module/sfc_resource")?;
    guest.ok(&format!("! test -d /sys/module/onload && ! test -d /proc/{}", server.trim()))?;
    until_state(guest, "idle")?;
    node_on(guest, NEXT)?;
    proven(guest, &port)
}
