//! The first boot of a node of OpenShift with a layered OS image, on a machine with Secure Boot: what
//! `onloadctl machineconfig render` makes is laid into a bare root as Ignition does, and nobody types anything.
//! Beside onloadd there is a kubelet, a stand-in. Modules and card are stand-ins too; firmware, shim, loader, udev
//! and systemd are real.

mod delivered;

use anyhow::{Context, ensure};
use onload_core::secure_boot::request::crypt;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::firmware::Firmware;
use onload_tests::guest::kubelet::{TOLD, Told};
use onload_tests::guest::mok_manager::Answer;
use onload_tests::guest::variables::{SHIM, signature_lists};
use onload_tests::guest::{Guest, Options};
use serde_json::Value;

use crate::boot::up_at;
use crate::firmware::test_key;
use crate::keys::{STACK, until_key};
use crate::node::{json, until_condition, until_state};

use delivered::{
    BUILD, DRIVER, FLEET, MACS, NAMES, NEXT, PROMPT_SECS, SLOTS, VERSION, files, site,
};

const RESOURCE: &str = "amd.com/onload";
/// What the password was made into.
const HASH: &str = "/etc/onloadd/keys/machineconfig.hash";
/// What shim is asked by; each goes when it asks back.
const REQUEST: [&str; 3] = ["MokNew", "MokAuth", "MokTimeout"];

pub fn theme() -> Theme {
    Theme {
        name: "first_boot",
        options: Options::new()
            .firmware(Firmware::SecureBoot { variables: delivered::enrolled })
            .file(BUILD[0], BUILD[1], 0o644)
            .made(delivered::laid)
            .kubelet(),
        cases: cases![
            the_first_boot_is_as_it_was_rendered,
            the_kubelet_has_what_was_rendered,
            the_key_is_asked_for,
            a_second_boot_changes_nothing,
        ],
    }
}

/// What a node is like, as far as a boot could change it.
fn picture(guest: &Guest) -> anyhow::Result<String> {
    let failed = guest.ok("systemctl --failed --no-legend --plain")?;
    ensure!(failed.is_empty(), "{failed}");
    guest.ok(
        "for name in fast0 fast1; do
             echo $name $(cat /sys/class/net/$name/address) $(readlink /sys/class/net/$name/device/driver)
         done
         for module in sfc onload; do
             echo $module $(cat /sys/module/$module/version /sys/module/$module/taint)
         done
         find /etc/systemd/network /etc/onloadd -type f | sort | xargs sha256sum
         onloadctl --json pools && onloadctl --json history && onloadctl --json plan",
    )
}

/// When udev had heard of an interface, in microseconds since the boot.
fn there_at(guest: &Guest, name: &str) -> anyhow::Result<u64> {
    let shown = guest.ok(&format!("udevadm info /sys/class/net/{name}"))?;
    let at = shown.lines().find_map(|line| line.strip_prefix("E: USEC_INITIALIZED="));
    Ok(at.with_context(|| shown.clone())?.parse()?)
}

/// What the kubelet was told, once its list is there: it asks for that when the registration is over.
fn offered(guest: &Guest) -> anyhow::Result<Told> {
    let healthy = format!("test $(grep -o '\"Healthy\"' {TOLD} | wc -l) = {SLOTS} || ! cat {TOLD}");
    guest.until("the list of devices", &healthy)?;
    guest.kubelet()
}

/// The node as it was rendered, before the network and for the kubelet.
fn as_wanted(guest: &Guest) -> anyhow::Result<(String, Told)> {
    let status = until_state(guest, "ready")?;
    ensure!(status["loaded_release"] == "host", "{status}");
    ensure!(status["pools"][0]["free"] == SLOTS, "{status}");
    until_condition(guest, "KubeletRegistered", "Registered")?;
    let (seen, told) = (picture(guest)?, offered(guest)?);
    for (module, version) in [("sfc", DRIVER), ("onload", VERSION)] {
        // Out of tree, and not unsigned.
        ensure!(seen.contains(&format!("{module} {version} O\n")), "{seen}");
    }
    let (boot, network) = (up_at(guest, "onloadd-boot")?, up_at(guest, "network-pre.target")?);
    ensure!(boot > 0 && boot <= network, "up at {boot}, network-pre.target at {network}");
    for (name, mac) in NAMES.iter().zip(MACS) {
        ensure!(seen.contains(&format!("{name} {mac} ")), "{seen}");
        let there = there_at(guest, name)?;
        ensure!(there <= network, "{name} at {there}, network-pre.target at {network}");
    }
    Ok((seen, told))
}

fn the_first_boot_is_as_it_was_rendered(guest: &mut Guest) -> anyhow::Result<()> {
    assert_eq!(guest.ok("mokutil --sb-state")?.trim(), "SecureBoot enabled");
    let (seen, _) = as_wanted(guest)?;
    for (path, content, mode) in files()? {
        ensure!(guest.get(path)? == content, "{path} is another: {seen}");
        let found = guest.ok(&format!("stat -c %a {path}"))?;
        ensure!(found.trim() == format!("{mode:o}"), "{path}: {found}");
    }
    let plan = json(guest, "naming plan")?;
    let row = plan["ports"][0].as_object().context("a port")?;
    ensure!(row["pinned_by"].as_str().is_some_and(|by| by.contains("05-onload-")), "{plan}");
    let status = json(guest, "keys status")?;
    let verdicts = status["verdicts"]["host"].as_array().with_context(|| status.to_string())?;
    for module in STACK {
        let trusted = |one: &Value| one["module"] == module && one["verdict"] == "trusted";
        ensure!(verdicts.iter().any(trusted), "{module}: {status}");
    }
    Ok(())
}

fn the_kubelet_has_what_was_rendered(guest: &mut Guest) -> anyhow::Result<()> {
    let (_, told) = as_wanted(guest)?;
    let [(resource, socket)] = &told.registrations[..] else { panic!("{told:?}") };
    ensure!(resource == RESOURCE, "{told:?}");
    guest.ok(&format!("test -S /var/lib/kubelet/device-plugins/{socket}"))?;
    let devices = told.devices.get(RESOURCE).context("no list")?;
    ensure!(devices.len() == SLOTS, "{told:?}");
    ensure!(devices.values().all(|health| health == "Healthy"), "{told:?}");
    ensure!(up_at(guest, "onloadd")? <= up_at(guest, "kubelet")?, "onloadd is there first");
    Ok(())
}

fn the_key_is_asked_for(guest: &mut Guest) -> anyhow::Result<()> {
    let condition = until_condition(guest, "KeysEnrolled", "EnrolmentPending")?;
    ensure!(condition["status"] == "False", "{condition}");
    until_key(guest, FLEET, "Enrolled")?;
    until_key(guest, NEXT, "EnrolmentPending")?;
    let variable = |name: &str| -> anyhow::Result<Vec<u8>> {
        let found = guest.efi_variable(name, SHIM)?;
        Ok(found.with_context(|| format!("no {name}"))?.data)
    };
    // What is enrolled is not asked for.
    let site = site()?;
    ensure!(
        variable("MokNew")? == signature_lists(&[&site.next.der]),
        "the next key, and it alone"
    );
    let hash =
        crypt::parse(site.tree.text(HASH)).map_err(|unusable| anyhow::anyhow!("{unusable}"))?;
    ensure!(variable("MokAuth")? == hash.to_bytes(), "the password's hash, and no other");
    ensure!(variable("MokTimeout")? == PROMPT_SECS.to_le_bytes(), "as the site says");
    let listed = guest.ok("mokutil --list-new")?;
    ensure!(listed.contains(NEXT) && !listed.contains(FLEET), "{listed}");
    // Only the hash travels: what it was made of is nowhere, and what it was made into in its file alone.
    let made = site.tree.text(HASH).trim_end().rsplit('$').next().context("a hash")?;
    let found = guest.run(&format!(
        "journalctl -b -o export >/run/told; systemctl show '*' >>/run/told
         grep -r -l -F -e '{}' -e '{made}' /run/told /etc /var/lib; rm /run/told",
        site.password
    ))?;
    ensure!(found.stdout.trim() == HASH, "{found:?}");
    Ok(())
}

/// Nobody is at the console, so MokManager waits in vain and drops the request. A wish is carried out once and shim
/// asks once: onloadd does not ask again by itself, and says so.
fn a_second_boot_changes_nothing(guest: &mut Guest) -> anyhow::Result<()> {
    until_key(guest, NEXT, "EnrolmentPending")?;
    let before = as_wanted(guest)?;
    guest.reboot_through_mok_manager(&Answer::Miss)?;
    let after = as_wanted(guest)?;
    assert_eq!(before, after);
    let lost = until_condition(guest, "KeysEnrolled", "RequestLost")?;
    let message = lost["message"].as_str().unwrap_or_default();
    ensure!(message.contains("not enrolled: the prompt was missed or refused"), "{lost}");
    for name in REQUEST {
        ensure!(guest.efi_variable(name, SHIM)?.is_none(), "{name} is asked for again");
    }
    let said = test_key(guest, &site()?.next)?;
    ensure!(said.contains("is not enrolled"), "{said}");
    Ok(())
}
