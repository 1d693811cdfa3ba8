//! Others who have to do with the modules, and what ends by itself: on a real kernel, with the
//! traces that the real ones leave.

use anyhow::ensure;
use onload_dbus::error::exit;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};

use crate::node::{json, look_again, until_state};
use crate::swap::{CHANGE, FORMER, NEXT, loaded, node_on, proven, refused};

/// Where the kubelet keeps sockets, and the one of the Onload Operator's plugin.
const KUBELET: &str = "/var/lib/kubelet/device-plugins";
const SOCKET: &str = "sfc-deviceplugin.sock";

pub fn theme() -> Theme {
    Theme {
        name: "others",
        options: Options::new(),
        cases: cases![
            beside_the_operators_plugin_nothing_is_changed_before_it_is_adopted,
            a_control_plane_elsewhere_is_brought_back,
            a_unit_that_would_replace_the_driver_is_stopped,
            the_end_of_a_control_plane_server_is_seen_within_a_second,
            what_a_container_has_on_a_port_protects_it,
        ],
    }
}

/// The host has no link of it to its port: that it is there shows by what it asks of the port, and by
/// what the runtime keeps.
fn what_a_container_has_on_a_port_protects_it(guest: &mut Guest) -> anyhow::Result<()> {
    node_on(guest, FORMER)?;
    let port = guest.ok("ls /sys/bus/pci/devices/10000:00:00.0/net")?.trim().to_owned();
    guest.ok(&format!("ip link set {port} up && ip netns add pod"))?;
    for kind in ["ipvlan", "macvlan"] {
        guest.ok(&format!(
            "ip link add child link {port} type {kind} && ip link set child netns pod &&
             ip netns exec pod ip link set child up"
        ))?;
        guest.ok(&format!("! ls -d /sys/class/net/{port}/upper_* 2>&-"))?;
        let ran = refused(guest, &format!("release use {NEXT}"))?;
        ensure!(
            ran.stderr.contains("another network namespace is on top of it"),
            "{kind}: {ran:?}"
        );
        let config = format!("printf '{{\"type\":\"{kind}\",\"master\":\"{port}\"}}' | base64 -w0");
        guest.ok(&format!(
            "mkdir -p /var/lib/cni/results && printf '{{\"kind\":\"cniCacheV1\",\"containerId\":\"cafe\",\"ifName\":\"net1\",\"netns\":\"/run/netns/pod\",\"config\":\"%s\"}}' \"$({config})\" >/var/lib/cni/results/fast-cafe-net1"
        ))?;
        let ran = refused(guest, &format!("release use {NEXT}"))?;
        let words = format!("container cafe, net1 has an interface ({kind}) on it");
        ensure!(ran.stderr.contains(&words), "{ran:?}");
        ensure!(loaded(guest)?.as_deref() == Some(FORMER), "nothing was touched");
        guest.ok("ip netns exec pod ip link del child && rm -r /var/lib/cni")?;
    }
    guest.ok(&format!("ip netns del pod && ip link set {port} down"))?;
    node_on(guest, NEXT)
}

/// A socket such as a plugin listens on, for as long as its unit runs.
fn plugin(guest: &Guest) -> anyhow::Result<()> {
    guest.ok(&format!("mkdir -p {KUBELET}"))?;
    guest.ok(&format!(
        "systemd-run --unit plugin -p Type=exec systemd-socket-activate -l {KUBELET}/{SOCKET} sleep 600"
    ))?;
    guest.until("the socket", &format!("test -S {KUBELET}/{SOCKET}"))?;
    guest
        .until("the plugin in onloadctl", "onloadctl adopt --dry-run | grep -q onload-operator")
        .map(drop)
}

fn plugin_goes(guest: &Guest) -> anyhow::Result<()> {
    guest.ok(&format!("systemctl stop plugin; rm -f {KUBELET}/{SOCKET}"))?;
    guest.until("nobody", "onloadctl adopt --dry-run | grep -q 'nobody else'").map(drop)
}

fn beside_the_operators_plugin_nothing_is_changed_before_it_is_adopted(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    node_on(guest, FORMER)?;
    plugin(guest)?;
    let server = guest.ok("cat /proc/driver/onload/cp_server_pids")?;
    let ran = refused(guest, &format!("release use {NEXT}"))?;
    ensure!(ran.status == Some(i32::from(exit::BLOCKED)), "{ran:?}");
    for word in ["OtherManager", SOCKET, "kubectl delete onload", "onloadctl adopt"] {
        ensure!(ran.stderr.contains(word), "{word}: {ran:?}");
    }
    ensure!(guest.ok("cat /proc/driver/onload/cp_server_pids")? == server, "nothing was touched");
    let adopted = guest.run_within("onloadctl adopt", CHANGE)?;
    ensure!(adopted.ok() && adopted.stdout.contains(SOCKET), "{adopted:?}");
    let status = json(guest, "status")?;
    ensure!(status["others"][0]["adopted"] == true, "{status}");
    let used = guest.run_within(&format!("onloadctl release use {NEXT}"), CHANGE)?;
    ensure!(used.ok(), "{used:?}");
    proven(guest, NEXT)?;
    guest.ok(&format!("test -S {KUBELET}/{SOCKET}"))?;
    plugin_goes(guest)?;
    // Whoever comes back is a stranger.
    plugin(guest)?;
    refused(guest, &format!("release use {FORMER}"))?;
    plugin_goes(guest)?;
    until_state(guest, "ready").map(drop)
}

fn a_control_plane_elsewhere_is_brought_back(guest: &mut Guest) -> anyhow::Result<()> {
    node_on(guest, NEXT)?;
    let parameters = "/sys/module/onload/parameters";
    let former = guest.ok(&format!("cat {parameters}/cplane_server_path"))?;
    guest.ok(&format!(
        "printf %s /usr/bin/crictl >{parameters}/cplane_server_path
         printf %s 'exec 0123 /mnt/onload/sbin/onload_cp_server -K' >{parameters}/cplane_server_params"
    ))?;
    // The kernel tells nobody of it: the next look does.
    look_again(guest)?;
    guest.until("it in onloadctl", "onloadctl adopt --dry-run | grep -q /usr/bin/crictl")?;
    let ran = refused(guest, &format!("release use {FORMER}"))?;
    ensure!(ran.stderr.contains("/usr/bin/crictl"), "{ran:?}");
    let adopted = guest.run_within("onloadctl adopt", CHANGE)?;
    ensure!(adopted.ok(), "{adopted:?}\n{}", guest.journal("-u onloadd -b -o cat -n 40")?);
    let path = guest.ok(&format!("cat {parameters}/cplane_server_path"))?;
    ensure!(path == former, "{path}");
    let left = guest.ok(&format!("cat {parameters}/cplane_server_params"))?;
    ensure!(left.trim().is_empty(), "{left}");
    // What the driver starts next is the release's own.
    guest.ok("kill $(cat /proc/driver/onload/cp_server_pids)")?;
    guest.ok("systemd-run --unit trader onload_holder --stack && sleep 1")?;
    proven(guest, NEXT)?;
    guest.ok("systemctl stop trader")?;
    until_state(guest, "ready").map(drop)
}

fn a_unit_that_would_replace_the_driver_is_stopped(guest: &mut Guest) -> anyhow::Result<()> {
    node_on(guest, NEXT)?;
    let unit = "/etc/systemd/system/sfc-pull-image.service";
    guest.put(unit, b"[Service]\nType=oneshot\nExecStart=/bin/sleep 600\n", 0o644)?;
    guest.ok("systemctl daemon-reload && systemctl start --no-block sfc-pull-image")?;
    look_again(guest)?;
    guest.until("the unit", "onloadctl adopt --dry-run | grep -q 'stop sfc-pull-image.service'")?;
    let adopted = guest.run_within("onloadctl adopt", CHANGE)?;
    ensure!(adopted.ok() && adopted.stdout.contains("delete the MachineConfig"), "{adopted:?}");
    guest.ok("! systemctl is-active -q sfc-pull-image")?;
    guest.ok(&format!("test -f {unit}"))?;
    guest.ok(&format!("rm {unit} && systemctl daemon-reload"))?;
    look_again(guest)?;
    guest.until("nobody", "onloadctl adopt --dry-run | grep -q 'nobody else'").map(drop)
}

fn the_end_of_a_control_plane_server_is_seen_within_a_second(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    node_on(guest, NEXT)?;
    ensure!(loaded(guest)?.as_deref() == Some(NEXT));
    let condition =
        "busctl get-property com.amd.Onload1 /com/amd/Onload1 com.amd.Onload1.Manager Conditions";
    look_again(guest)?;
    guest.until(
        "the server in onloadctl",
        &format!("{condition} | grep -q '\"ControlPlaneRunning\" \"True\"'"),
    )?;
    let seen = guest.ok(&format!(
        "kill -KILL $(cat /proc/driver/onload/cp_server_pids); begun=$(date +%s%N)
         until {condition} | grep -q '\"ControlPlaneRunning\" \"False\"'; do :; done
         echo $(( ($(date +%s%N) - begun) / 1000000 ))"
    ))?;
    let millis: u64 = seen.trim().parse()?;
    println!("the end of a server seen after {millis} ms");
    ensure!(millis < 2_000, "a second, and the client's own start on an emulated processor");
    Ok(())
}
