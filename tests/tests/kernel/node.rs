//! What cases ask the node in the guest for.

use anyhow::{Context, ensure};
use onload_tests::guest::{Guest, Ran};
use serde_json::Value;

/// `onloadctl --json` with these words. Its exit status is not looked at: that of `status` tells
/// the state.
pub fn json(guest: &Guest, words: &str) -> anyhow::Result<Value> {
    let ran = guest.run(&format!("onloadctl --json {words}"))?;
    serde_json::from_str(&ran.stdout).with_context(|| format!("{words}: {ran:?}"))
}

/// Runs a text of the shell as a person without any rights.
pub fn as_visitor(guest: &Guest, shell: &str) -> anyhow::Result<Ran> {
    guest.run(&format!("setpriv --reuid visitor --regid visitor --clear-groups {shell}"))
}

/// A drop-in of the configuration, taken up.
pub fn configure(guest: &Guest, text: &str) -> anyhow::Result<()> {
    guest.put("/etc/onloadd/onloadd.toml.d/50-case.toml", text.as_bytes(), 0o644)?;
    guest.ok("systemctl reload onloadd").map(drop)
}

/// Has the daemon look: a uevent that says nothing, of a subsystem that it listens to.
pub fn look_again(guest: &Guest) -> anyhow::Result<()> {
    guest.ok("udevadm trigger --subsystem-match=onload").map(drop)
}

/// The daemon's process id.
pub fn pid(guest: &Guest) -> anyhow::Result<u32> {
    Ok(guest.ok("systemctl show --value -p MainPID onloadd")?.trim().parse()?)
}

/// Kills the daemon where it stands and waits until systemd has brought it back.
pub fn kill(guest: &Guest) -> anyhow::Result<()> {
    let before = pid(guest)?;
    guest.ok(&format!("kill -KILL {before}"))?;
    let again = "systemctl is-active -q onloadd && systemctl show --value -p MainPID onloadd";
    guest.until("onloadd after a kill", &format!("{again} | grep -vx -e {before} -e 0"))?;
    ensure!(pid(guest)? != before, "the same process");
    Ok(())
}

/// Waits for a node state; the status in it.
pub fn until_state(guest: &Guest, state: &str) -> anyhow::Result<Value> {
    let asked = "onloadctl --json status >/run/status";
    guest.until(
        &format!("state {state}"),
        &format!("{asked}; grep -q '\"state\": \"{state}\"' /run/status || ! cat /run/status"),
    )?;
    json(guest, "status")
}

/// A condition in a status.
pub fn condition<'a>(status: &'a Value, kind: &str) -> anyhow::Result<&'a Value> {
    let conditions = status["conditions"].as_array().with_context(|| status.to_string())?;
    conditions.iter().find(|one| one["type"] == kind).with_context(|| kind.to_owned())
}

/// Waits until a condition has this reason; the condition.
pub fn until_condition(guest: &Guest, kind: &str, reason: &str) -> anyhow::Result<Value> {
    guest.until(
        &format!("{kind} {reason}"),
        &format!(
            "onloadctl --json status >/run/status
             grep -A2 '\"{kind}\"' /run/status | grep -q '\"reason\": \"{reason}\"' || ! cat /run/status"
        ),
    )?;
    condition(&json(guest, "status")?, kind).cloned()
}
