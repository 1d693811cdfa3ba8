//! What onloadd says of clocks on the bus.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;
use serde_json::{Map, Value};

/// How long what is waited for may take: the twenty seconds before a clock counts as synchronised, with the
/// looks around them, on an emulated processor.
const PATIENCE: Duration = Duration::from_secs(75);
/// Between two looks; each is a process in the guest.
const PACE: Duration = Duration::from_millis(400);

const NAME: &str = "com.amd.Onload1";
const ROOT: &str = "/com/amd/Onload1";

/// The properties of a clock: `system`, `ptp0`.
pub fn clock(guest: &Guest, name: &str) -> anyhow::Result<Value> {
    properties(guest, &format!("{ROOT}/clock/{name}"), "Clock")
}

/// Those of the node.
pub fn node(guest: &Guest) -> anyhow::Result<Value> {
    properties(guest, ROOT, "Manager")
}

/// What fights over clocks, with the kinds before the rest.
pub fn conflicts(guest: &Guest) -> anyhow::Result<Vec<Value>> {
    let mut node = node(guest)?;
    serde_json::from_value(node["ClockConflicts"].take()).context("no list of conflicts")
}

/// A condition of the node: its status, its reason and its message.
pub fn condition(guest: &Guest, kind: &str) -> anyhow::Result<(String, String, String)> {
    let status = crate::node::json(guest, "status")?;
    let all = status["conditions"].as_array().context("no conditions")?;
    let found = all.iter().find(|one| one["type"] == kind).context(kind.to_owned())?;
    let word = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Ok((word("status"), word("reason"), word("message")))
}

/// Looks again and again until something is found in what is shown.
pub fn until<T>(
    guest: &Guest,
    what: &str,
    show: impl Fn(&Guest) -> anyhow::Result<Value>,
    find: impl Fn(&Value) -> Option<T>,
) -> anyhow::Result<T> {
    let late = Instant::now() + PATIENCE;
    loop {
        let shown = show(guest)?;
        if let Some(found) = find(&shown) {
            return Ok(found);
        }
        ensure!(
            Instant::now() < late,
            "waited for {what}; last: {shown:#}\n{}",
            guest.journal("-u onloadd -u sfptpd -o cat -n 30")?
        );
        thread::sleep(PACE);
    }
}

/// Waits until a clock counts as synchronised, or does not.
pub fn until_synchronised(guest: &Guest, name: &str, wanted: &str) -> anyhow::Result<Value> {
    let show = |guest: &Guest| clock(guest, name);
    until(guest, &format!("{name}: synchronised {wanted}"), show, |clock| {
        (clock["Synchronised"] == wanted).then(|| clock.clone())
    })
}

/// Waits until sfptpd's supervision has this reason.
pub fn until_supervised(guest: &Guest, reason: &str) -> anyhow::Result<Value> {
    until(guest, &format!("supervision: {reason}"), node, |node| {
        let told = &node["ClockSupervision"];
        (told["Reason"] == reason).then(|| told.clone())
    })
}

/// Waits until there is a conflict of this kind, or none.
pub fn until_conflict(guest: &Guest, kind: &str) -> anyhow::Result<Value> {
    until(guest, &format!("conflict {kind}"), node, |node| {
        let mut all = node["ClockConflicts"].as_array()?.iter();
        all.find(|one| one["Kind"] == kind).cloned()
    })
}

/// Waits until nothing fights over a clock.
pub fn until_undisputed(guest: &Guest) -> anyhow::Result<()> {
    until(guest, "no conflict", node, |node| {
        node["ClockConflicts"].as_array()?.is_empty().then_some(())
    })
}

fn properties(guest: &Guest, path: &str, interface: &str) -> anyhow::Result<Value> {
    let ran = guest.run(&format!(
        "busctl --json=short call {NAME} {path} org.freedesktop.DBus.Properties GetAll s {NAME}.{interface}"
    ))?;
    // A clock that is not there yet, or no more.
    if !ran.ok() {
        return Ok(Value::Null);
    }
    let said: Value = serde_json::from_str(&ran.stdout).with_context(|| format!("{ran:?}"))?;
    Ok(plain(said["data"][0].clone()))
}

/// Without the types that busctl puts around each value of a variant.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            let is_variant = fields.len() == 2 && fields.contains_key("type");
            match fields.remove("data").filter(|_| is_variant) {
                Some(data) => plain(data),
                None => {
                    let all = fields.into_iter().map(|(key, value)| (key, plain(value)));
                    Value::Object(all.collect::<Map<_, _>>())
                }
            }
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
