//! The page an operator sees first. Short where all is well, and precise where it is not.

use std::collections::BTreeMap;

use crate::commands::adopt::Other;
use crate::commands::clock::Clock;
use crate::commands::pools::Pool;
use crate::commands::status::{Condition, Hold, Interface, PortGroup, Status, User};
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::{ABSENT, UNREADABLE, age, count, fact, left, speed};
use crate::render::table::{Cell, table};

/// Width of the longest label, `conditions` and `interfaces`.
const LABEL: usize = 10;

/// Interfaces shown; a node with many bridges has hundreds, and `--json` has them all.
const INTERFACES: usize = 12;

/// Users shown, for the same reason.
const USERS: usize = 8;

/// Lines under labels: a label on the first line, the others below its text.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, label: &str, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let label = if index == 0 { label } else { "" };
            // Padding is outside of the colour, so that no terminal marks it.
            let padding = " ".repeat(LABEL.saturating_sub(label.len()) + 2);
            let label = if label.is_empty() { String::new() } else { Paint::Dim.on(label) };
            self.0 += &format!("{padding}{label}  {line}\n");
        }
    }
}

impl Page for Status {
    fn text(&self, now: u64) -> String {
        let mut lines = Lines::default();
        lines.add("kernel", &gap(self.kernel.as_deref(), "kernel", &self.unreadable));
        lines.add("release", &self.release());
        if let Some(change) = &self.change {
            lines.add("change", &change.lines(self.step.as_deref(), now));
        }
        lines.add("ports", &ports(&self.ports));
        if self.ports.is_empty() {
            lines.add("interfaces", &interfaces(&self.interfaces));
        }
        lines.add("pools", &pools(&self.pools));
        if !self.users.is_empty() {
            lines.add("users", &users(&self.users));
        }
        let others: Vec<_> = self.others.iter().map(Other::line).collect();
        lines.add("others", &others.join("\n"));
        if let Some(clock) = &self.clock {
            lines.add("clock", &kept(clock, now));
        }
        lines.add("keys", &keys(&self.conditions));
        lines.add("conditions", &conditions(&self.conditions, now));
        if let Some(hold) = &self.hold {
            lines.add("held", &held(hold, now));
        }
        lines.add("daemon", &self.daemon());
        let mut text = format!("{}\n\n{}", self.headline(), lines.0);
        for blocker in &self.blockers {
            text += &format!("\n{}", blocker.lines("  "));
        }
        text
    }
}

impl Status {
    fn headline(&self) -> String {
        let paint = Paint::of_state(&self.state);
        let dot = if self.state == "idle" { "○" } else { "●" };
        let head = format!("{} {}", paint.on(dot), paint.on(&self.state));
        match &self.summary {
            Some(summary) => format!("{head}  {}", plain(summary)),
            None => head,
        }
    }

    fn release(&self) -> String {
        let loaded = match (&self.loaded_release, &self.loaded_version) {
            (Some(release), Some(version)) if release != version => {
                format!("{} loaded ({})", plain(release), plain(version))
            }
            (Some(name), _) | (None, Some(name)) => format!("{} loaded", plain(name)),
            (None, None) if self.unreadable.contains_key("loaded_version") => {
                format!("{} loaded", Paint::Warn.on(UNREADABLE))
            }
            (None, None) => "none loaded".into(),
        };
        match (&self.wanted_release, &self.wanted_by) {
            (Some(wanted), Some(by)) => {
                format!("{} wanted ({}), {loaded}", plain(wanted), plain(by))
            }
            (Some(wanted), None) => format!("{} wanted, {loaded}", plain(wanted)),
            (None, _) => format!("{loaded}, modules are left alone"),
        }
    }

    fn daemon(&self) -> String {
        let version = gap(self.version.as_deref(), "version", &self.unreadable);
        let mut text = format!("onloadd {version}");
        if self.probing {
            text += ", a change is settling";
        }
        if self.observed_generation < self.generation {
            let behind = self.generation - self.observed_generation;
            text += &format!(", {} not looked at yet", count(usize_of(behind), "order"));
        }
        text
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A text with its gaps as in tables.
fn gap(value: Option<&str>, name: &str, unreadable: &BTreeMap<String, String>) -> String {
    match value {
        Some(value) => plain(value),
        None => match unreadable.get(name) {
            Some(why) => format!("{} ({})", Paint::Warn.on(UNREADABLE), plain(why)),
            None => Paint::Dim.on(ABSENT),
        },
    }
}

/// One line per group: `numa 0  2 × sfc (out-of-tree), 2 up`.
fn ports(groups: &[PortGroup]) -> String {
    let line = |group: &PortGroup| {
        let numa = match group.numa_node {
            Some(node) => format!("numa {node}"),
            None if group.unreadable.contains_key("numa_node") => format!("numa {UNREADABLE}"),
            None => format!("numa {ABSENT}"),
        };
        let driver = match (&group.driver, &group.driver_origin) {
            (Some(driver), Some(origin)) => format!("{driver} ({origin})"),
            (Some(driver), None) => driver.clone(),
            (None, _) if group.unreadable.contains_key("driver") => format!("driver {UNREADABLE}"),
            (None, _) => "no driver".into(),
        };
        let ports = count(group.count, "port");
        format!("{}  {ports}, {}, {} up", numa, plain(&driver), group.up)
    };
    if groups.is_empty() {
        return Paint::Dim.on("none that Onload accelerates");
    }
    groups.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn pools(pools: &[Pool]) -> String {
    let line = |pool: &Pool| {
        let mut text = format!("{}  {} of {} free", pool.name, pool.free, pool.slots);
        for (count, what) in [(pool.local, "local"), (pool.containers, "in containers")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        let kubelet = if pool.registered { "registered" } else { "not registered" };
        text += &format!("  ({}, {kubelet})", pool.resource.as_deref().unwrap_or(ABSENT));
        let ills = pool.ills();
        let ills = if ills.is_empty() { ills } else { format!("\n  {}", Paint::Warn.on(&ills)) };
        plain(&text) + &ills
    };
    if pools.is_empty() {
        return Paint::Dim.on("none");
    }
    pools.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Who uses the stack: `trader (4711, trader.service)  /dev/onload`.
fn users(users: &[User]) -> String {
    let row = |user: &User| {
        let group = user.container.as_ref().or(user.unit.as_ref());
        let group = group.map(|group| format!(", {group}")).unwrap_or_default();
        vec![
            Cell::new(format!("{} ({}{group})", user.comm, user.pid)),
            Cell::new(user.uses.join(" ")),
        ]
    };
    let rows: Vec<_> = users.iter().take(USERS).map(row).collect();
    let mut text = body(&rows);
    if let Some(more) = users.len().checked_sub(USERS).filter(|more| *more > 0) {
        text += &Paint::Dim.on(&format!("and {more} more; --json has all"));
    }
    text
}

/// The system clock, in a line.
fn kept(clock: &Clock, now: u64) -> String {
    let ((word, paint), answer) = (clock.state(), plain(&clock.answer(now)));
    let more = if clock.is_synchronised() { "" } else { " (`onloadctl clock`)" };
    format!("{}: {answer}{more}", paint.on(word))
}

/// Keys that are not where they are wanted; nothing where all is well.
fn keys(conditions: &[Condition]) -> String {
    let missing = conditions.iter().find(|one| is_about_keys(one));
    missing.map_or_else(String::new, |one| {
        let said = format!("{}: {}", Paint::Warn.on(&one.reason), plain(&one.message));
        format!("{said} (`onloadctl keys status`)")
    })
}

fn is_about_keys(condition: &Condition) -> bool {
    condition.kind == "KeysEnrolled" && condition.status == "False"
}

/// How many hold, and a line for each that does not.
fn conditions(conditions: &[Condition], now: u64) -> String {
    let (hold, not): (Vec<_>, Vec<_>) = conditions.iter().partition(|one| one.status == "True");
    let tally = match (hold.len(), conditions.len()) {
        (_, 0) => Paint::Dim.on("none"),
        (good, all) if good == all => format!("all {all} hold"),
        (good, all) => format!("{good} of {all} hold"),
    };
    let row = |one: &&Condition| {
        let paint = if one.status == "False" { Paint::Warn } else { Paint::Dim };
        vec![
            Cell::painted(&one.kind, paint),
            Cell::new(one.status.to_lowercase()),
            Cell::new(&one.reason),
            Cell::number(age(now, one.since)),
            Cell::new(&one.message),
        ]
    };
    // What is said of keys has a line of its own.
    let rows: Vec<_> = not.iter().filter(|one| !is_about_keys(one)).map(row).collect();
    format!("{tally}\n{}", body(&rows))
}

fn held(hold: &Hold, now: u64) -> String {
    let until = match hold.until {
        Some(until) => format!("ends {}", left(now, until)),
        None => "until `onloadctl unhold`".into(),
    };
    let since = age(now, hold.since);
    format!("{} (by uid {}, {since} ago, {until})", Paint::Warn.on(&hold.reason), hold.uid)
}

fn interfaces(interfaces: &[Interface]) -> String {
    let row = |one: &Interface| {
        let gaps = &one.unreadable;
        let link = match (one.link.as_deref(), one.speed_mbps) {
            (Some("up"), Some(mbps)) => Cell::new(speed(mbps)),
            (link, _) => fact(link, "link", gaps),
        };
        vec![
            Cell::new(&one.name),
            link,
            fact(one.mac.as_deref(), "mac", gaps),
            fact(one.port.as_deref(), "port", gaps),
        ]
    };
    if interfaces.is_empty() {
        return Paint::Dim.on("none");
    }
    let rows: Vec<_> = interfaces.iter().take(INTERFACES).map(row).collect();
    let mut text = body(&rows);
    if let Some(more) = interfaces.len().checked_sub(INTERFACES).filter(|more| *more > 0) {
        text += &Paint::Dim.on(&format!("and {more} more; --json has all"));
    }
    text
}

/// A table under a label, which needs no header.
fn body(rows: &[Vec<Cell>]) -> String {
    table(&[], rows)
}

#[cfg(test)]
mod tests;
