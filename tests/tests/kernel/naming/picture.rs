//! The network as others' programs show it, in a form that can be compared: without what the kernel counts
//! up (interface numbers, statistics, timers) and without what a driver tells of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;
use serde_json::Value;

/// Keys of `ip -j` and `tc -j` that are no state of the network.
const LEFT_OUT: [&str; 10] = [
    "ifindex",
    "link_index",
    "stats",
    "stats64",
    // This is what differs between the drivers.
    "phys_port_name",
    // Of a bond's member.
    "link_failure_count",
    // Given by the kernel, one after the other.
    "handle",
    // Timers, of a route and of an address; those of addresses are compared by their end.
    "expires",
    VALID,
    PREFERRED,
];
const VALID: &str = "valid_life_time";
const PREFERRED: &str = "preferred_life_time";
/// A lifetime without an end.
const FOREVER: u64 = u32::MAX as u64;
/// How far the ends of an address may lie apart: lifetimes are whole seconds, and each change may add one
/// or two. A lifetime that begins anew at each of six changes is further off.
const SLACK: f64 = 15.0;
/// Or such a part of the time between: on a machine that is busy with others a change takes the longer, while
/// a lifetime that began anew would be off by all of it.
const SLACK_PART: f64 = 0.2;
/// How long carrier, duplicate address detection and a bond's choice may take after everything is set.
const SETTLES: Duration = Duration::from_secs(8);
/// Between two looks; each is a dozen processes in the guest.
const PACE: Duration = Duration::from_millis(300);

/// What is asked for, one after the other, each after a line that begins with [`HEAD`].
const ASKED: &str = r#"
read up rest </proc/uptime; echo $up
for what in "addr" "link" "-4 route show table all" "-6 route show table all" "-4 rule" "-6 rule"; do
    echo "=== $what"; ip -j -d $what
done
echo "=== qdisc"; tc -j qdisc
for one in $PORTS; do for what in -g -l -c -k --show-priv-flags; do
    echo "=== ethtool $what $one"; ethtool $what $one
done; done"#;
const HEAD: &str = "=== ";

/// One look.
#[derive(Debug)]
pub struct Picture {
    lines: BTreeSet<String>,
    /// Other names that lead to an interface. Each driver brings some by udev, and those of the former
    /// one are kept: there may be more afterwards.
    altnames: BTreeSet<String>,
    /// When lifetimes end, in seconds since the boot.
    ends: BTreeMap<String, f64>,
    /// When it was taken, in seconds since the boot.
    taken: f64,
}

impl Picture {
    /// Looks; at ethtool's settings of these ports.
    pub fn of(guest: &Guest, ports: &[String]) -> anyhow::Result<Self> {
        let text = guest.ok(&format!("PORTS='{}'{ASKED}", ports.join(" ")))?;
        let mut parts = text.split(HEAD);
        let now: f64 = parts.next().context("no uptime")?.trim().parse()?;
        let mut picture = Self {
            lines: BTreeSet::new(),
            altnames: BTreeSet::new(),
            ends: BTreeMap::new(),
            taken: now,
        };
        for part in parts {
            let (what, said) = part.split_once('\n').context("no heading")?;
            match what.strip_prefix("ethtool ") {
                Some(what) => picture.settings(what, said),
                None => {
                    let said = serde_json::from_str(said).with_context(|| part.to_owned())?;
                    picture.listed(what, said, now);
                }
            }
        }
        Ok(picture)
    }

    /// Numbered, since `RX:` is both the most and what is set.
    fn settings(&mut self, what: &str, said: &str) {
        let lines = said.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        self.lines.extend(lines.map(|(number, line)| format!("{what} {number}: {}", line.trim())));
    }

    fn listed(&mut self, what: &str, said: Value, now: f64) {
        let Value::Array(rows) = said else { return };
        for mut row in rows {
            // Routes and rules have no name; each is one line.
            let Some(name) = row["ifname"].as_str().map(str::to_owned) else {
                without(&mut row);
                if what != "qdisc" || row["root"] == true {
                    self.lines.insert(format!("{what}: {row}"));
                }
                continue;
            };
            let mut list = |key: &str| match row.as_object_mut().and_then(|row| row.remove(key)) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let altnames = list("altnames").into_iter();
            self.altnames.extend(altnames.map(|other| format!("{name} altname {other}")));
            for mut address in list("addr_info") {
                let shown = format!("{} {}/{}", name, address["local"], address["prefixlen"]);
                for life in [VALID, PREFERRED] {
                    if let Some(left) = address[life].as_u64().filter(|left| *left != FOREVER) {
                        self.ends.insert(format!("{shown} {life}"), now + left as f64);
                    }
                }
                without(&mut address);
                self.lines.insert(format!("{what} {name} address: {address}"));
            }
            without(&mut row);
            let Value::Object(fields) = row else { continue };
            let lines =
                fields.into_iter().map(|(key, value)| format!("{what} {name} {key}: {value}"));
            self.lines.extend(lines);
        }
    }

    /// What is not as it was: lines that are gone, lines that are new, lifetimes.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let gone = self.lines.difference(&now.lines);
        let gone = gone.chain(self.altnames.difference(&now.altnames));
        let gone = gone.map(|line| format!("- {line}"));
        let new = now.lines.difference(&self.lines).map(|line| format!("+ {line}"));
        let keys: BTreeSet<_> = self.ends.keys().chain(now.ends.keys()).collect();
        let slack = SLACK.max((now.taken - self.taken) * SLACK_PART);
        let ends = keys.into_iter().filter_map(|key| {
            let (was, is) = (self.ends.get(key), now.ends.get(key));
            let same = was.zip(is).is_some_and(|(was, is)| (was - is).abs() <= slack);
            (!same).then(|| format!("! {key} ends at {is:?}, was {was:?}"))
        });
        gone.chain(new).chain(ends).collect()
    }

    /// Waits until everything is as it was.
    pub fn until_again(&self, guest: &Guest, ports: &[String]) -> anyhow::Result<()> {
        let late = Instant::now() + SETTLES;
        loop {
            let differences = self.differences(&Self::of(guest, ports)?);
            if differences.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < late, "the network is another:\n{}", differences.join("\n"));
            thread::sleep(PACE);
        }
    }
}

/// Takes out what is no state, and what is a set into one order.
fn without(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
            fields.values_mut().for_each(without);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(without);
            if items.iter().all(Value::is_string) {
                items.sort_by_key(ToString::to_string);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
