//! The first boot of a node of OpenShift with a layered OS image: what `onloadctl machineconfig render` makes is
//! laid into a bare root as Ignition does, and nobody types anything. The image's modules are laid
//! where packages put them, before udev looks for hardware: a Solarflare card cannot be in an image.

use std::process::Command;

use anyhow::{Context, ensure};
use ignition_config::Config;
use onload_tests::binaries::binary;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};
use serde_json::Value;

use crate::applier::{Laid, Tree};
use crate::node::{json, until_state};

/// The release in the image.
const VERSION: &str = "9.2.1";
const MACS: [&str; 2] = ["00:0f:53:0a:0b:10", "00:0f:53:0a:0b:11"];
const NAMES: [&str; 2] = ["fast0", "fast1"];

/// As an OS image has it that was layered: modules and tools where packages put them.
const IMAGE: &str = "[Service]\n\
    ExecStartPre=/bin/sh -c 'tree=/lib/modules/$$(uname -r); from=/opt/releases/9.2.1; mkdir -p $$tree/updates && cp $$from$$tree/extra/*.ko $$tree/updates/ && cp -r $$from/usr/. /usr/ && depmod -a'\n\
    ExecStartPre=/sbin/insmod /opt/card/onloadd_card.ko\n";

pub fn theme() -> Theme {
    Theme {
        name: "first_boot",
        options: options(),
        cases: cases![the_first_boot_is_as_it_was_rendered, a_second_boot_changes_nothing],
    }
}

/// What is rendered from the files of a site.
fn rendered() -> Tree {
    let place = tempfile::tempdir().expect("a directory");
    let (site, names) = (place.path().join("50-site.toml"), place.path().join("20-names.toml"));
    let ports = MACS.iter().zip(NAMES);
    let ports =
        ports.map(|(mac, name)| format!("[[naming.ports]]\nmac = \"{mac}\"\nname = \"{name}\"\n"));
    let text = format!("[naming]\npolicy = \"explicit\"\n{}", ports.collect::<String>());
    std::fs::write(&names, text).expect("written");
    let text = "[[modules.kernels]]\nregexp = \"^6\\\\.\"\nrelease = \"host\"\n[pools.onload]\nslots = 64\n";
    std::fs::write(&site, text).expect("written");
    let out = Command::new(binary("onloadctl"))
        .args(["machineconfig", "render", "--json", "--config"])
        .arg(&site)
        .arg("--naming")
        .arg(&names)
        .output()
        .expect("onloadctl runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let object: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let config = Config::parse_str(&object["spec"]["config"].to_string()).expect("Ignition").0;
    Tree::of(&config).expect("a tree")
}

fn options() -> Options {
    let card = "/etc/systemd/system/systemd-udev-trigger.service.d/card.conf";
    let mut options = Options::new().file(card, IMAGE, 0o644);
    for (path, laid) in rendered().0 {
        // A layered image enables its own units: nothing of it is a link.
        let Laid::File { content, mode, .. } = laid else { panic!("{path} is a link") };
        options = options.file(&path, content, mode);
    }
    options
}

/// What a node is like, as far as a boot could change it.
fn picture(guest: &Guest) -> anyhow::Result<String> {
    let failed = guest.ok("systemctl --failed --no-legend --plain")?;
    ensure!(failed.is_empty(), "{failed}");
    guest.ok(
        "for name in fast0 fast1; do
             echo $name $(cat /sys/class/net/$name/address) $(readlink /sys/class/net/$name/device/driver)
         done
         for module in sfc onload; do echo $module $(cat /sys/module/$module/version); done
         ls /etc/systemd/network /etc/onloadd/onloadd.toml.d
         sha256sum /etc/systemd/network/* /etc/onloadd/onloadd.toml.d/*",
    )
}

/// When a unit was up, in microseconds since the boot.
fn up_at(guest: &Guest, unit: &str) -> anyhow::Result<u64> {
    let shown =
        guest.ok(&format!("systemctl show --value -p ActiveEnterTimestampMonotonic {unit}"))?;
    Ok(shown.trim().parse()?)
}

fn as_wanted(guest: &Guest) -> anyhow::Result<String> {
    let status = until_state(guest, "ready")?;
    ensure!(status["loaded_release"] == "host", "{status}");
    ensure!(status["pools"][0]["free"] == 64, "{status}");
    let seen = picture(guest)?;
    ensure!(seen.contains(&format!("onload {VERSION}")), "{seen}");
    for (name, mac) in NAMES.iter().zip(MACS) {
        ensure!(seen.contains(&format!("{name} {mac} ")), "{seen}");
    }
    let (boot, network) = (up_at(guest, "onloadd-boot")?, up_at(guest, "network-pre.target")?);
    ensure!(boot > 0 && boot <= network, "up at {boot}, network-pre.target at {network}");
    Ok(seen)
}

fn the_first_boot_is_as_it_was_rendered(guest: &mut Guest) -> anyhow::Result<()> {
    let seen = as_wanted(guest)?;
    for (path, laid) in rendered().0 {
        let Laid::File { content, .. } = laid else { continue };
        ensure!(guest.get(&path)? == content, "{path} is another: {seen}");
    }
    let plan = json(guest, "naming plan")?;
    let row = plan["ports"][0].as_object().context("a port")?;
    ensure!(row["pinned_by"].as_str().is_some_and(|by| by.contains("05-onload-")), "{plan}");
    Ok(())
}

fn a_second_boot_changes_nothing(guest: &mut Guest) -> anyhow::Result<()> {
    let before = as_wanted(guest)?;
    guest.reboot()?;
    let after = as_wanted(guest)?;
    ensure!(before == after, "{before}\n{after}");
    Ok(())
}
