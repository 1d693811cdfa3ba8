//! `show status|plan|pools|devices POOL|allocations|why SUBJECT|conditions|jobs|release|users|
//! change|history|keys|names|clocks`: parts of the published picture, as plain lines. `show network`: what the
//! interfaces of ports carry, and what is stacked on them, whatever the daemon makes of it.

use std::fmt::Write as _;

use onload_core::change::{Change, Origin, Outcome, Past};
use onload_core::inventory::User;
use onload_core::kubelet::device_list;
use onload_core::names::{InterfaceName, ReleaseName};
use onload_core::network::{Made, Network, NetworkLink};
use onload_core::picture::{Lent, Picture, PoolPicture};
use onload_core::secure_boot::picture::ModulePicture;
use onload_core::why;

pub fn show(picture: &Picture, what: &[&str]) -> String {
    match what {
        ["status"] => status(picture),
        ["plan"] if picture.plan.is_empty() => "nothing to do\n".to_owned(),
        ["plan"] => picture.plan.iter().map(|step| format!("{step}\n")).collect(),
        ["pools"] => pools(picture),
        ["devices", pool] => devices(&picture.pools[&pool.parse().unwrap()]),
        ["allocations"] => allocations(picture),
        ["conditions"] => conditions(picture),
        ["jobs"] => jobs(picture),
        ["release"] => release(picture),
        ["users"] => users(picture),
        ["change"] => picture.change.as_ref().map_or_else(|| "none\n".to_owned(), change),
        ["history"] => history(picture),
        ["keys"] => keys(picture),
        ["names"] => names(picture),
        ["clocks"] => clocks(picture),
        ["why", subject] => explanation(picture, subject),
        other => panic!("unknown: show {other:?}"),
    }
}

pub fn network(network: &Network) -> String {
    let shown =
        |(_, link): &(&InterfaceName, &NetworkLink)| link.port.is_some() || link.made.is_some();
    network.links.iter().filter(shown).map(|(name, link)| network_link(name, link)).collect()
}

fn network_link(name: &InterfaceName, link: &NetworkLink) -> String {
    let state = if link.up { "up" } else { "down" };
    let mut text = format!("{name}: {state}, MTU {}", link.mtu);
    if let Some(Made { kind, .. }) = &link.made {
        let _ = write!(text, ", {kind}");
    }
    if let Some(below) = &link.below {
        let _ = write!(text, " on {below}");
    }
    if let Some(master) = &link.master {
        let _ = write!(text, ", under {master}");
    }
    for (setting, value) in link.settings.iter().filter(|(name, _)| name.starts_with("ring.")) {
        let _ = write!(text, ", {setting} {value}");
    }
    for name in &link.altnames {
        let _ = write!(text, ", also {name}");
    }
    text.push('\n');
    for address in &link.addresses {
        let _ = writeln!(text, "  address {}", address.shown);
    }
    for route in &link.routes {
        let _ = writeln!(text, "  route {}", route.shown);
    }
    text
}

fn status(picture: &Picture) -> String {
    let mut text = format!("{}: {}\n", picture.state, picture.summary);
    let wanted = picture.wanted_release.as_ref();
    let wanted = wanted.map_or_else(|| "none, left alone".to_owned(), ToString::to_string);
    let _ = writeln!(text, "wanted release: {wanted}");
    for one in picture.blockers.iter() {
        let _ = writeln!(text, "{}: {}", one.subject, one.blocker.why());
        let _ = writeln!(text, "  fix: {}", one.blocker.fix());
    }
    text
}

fn keys(picture: &Picture) -> String {
    let seen = &picture.secure_boot;
    let mut text = format!("Secure Boot: {}\n", seen.state.as_str());
    for request in &seen.requests {
        let _ = writeln!(text, "asked for: {} of {} keys", request.variable, request.keys.len());
    }
    for key in &seen.keys {
        let (state, said, fix) = key.said();
        let _ = writeln!(text, "{}: {state}: {said}", key.name);
        if !fix.is_empty() {
            let _ = writeln!(text, "  fix: {fix}");
        }
    }
    for (release, modules) in &seen.releases {
        let said = |module: &ModulePicture| format!("{} {}", module.module, module.outcome());
        let said: Vec<_> = modules.iter().map(said).collect();
        let _ = writeln!(text, "{release}: {}", said.join(", "));
    }
    text
}

fn names(picture: &Picture) -> String {
    let mut text = String::new();
    for row in picture.naming.iter() {
        let name = |name: &Option<InterfaceName>| {
            name.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        let (today, configured) = (name(&row.today), name(&row.configured));
        let pinned = row.pinned.as_ref().map(|(by, pin)| {
            let altnames: Vec<_> = pin.altnames.iter().map(|one| format!(", also {one}")).collect();
            format!(", pinned {} by {by}{}", pin.name, altnames.concat())
        });
        let (port, pinned) = (&row.subject, pinned.unwrap_or_default());
        let _ = writeln!(text, "{port}: today {today}, configured {configured}{pinned}");
        for (release, foretold) in &row.drivers {
            let name = foretold.name.as_deref().unwrap_or("unknown");
            let _ = writeln!(text, "  {release}: {name}: {}", foretold.why);
        }
        for one in &row.conflicts {
            let _ = writeln!(text, "  conflict: {}: {}", one.what(), one.why());
            let _ = writeln!(text, "    fix: {}", one.fix());
        }
        for one in &row.troubles {
            let _ = writeln!(text, "  trouble: {}", one.why);
            let _ = writeln!(text, "    fix: {}", one.fix);
        }
    }
    text
}

fn pools(picture: &Picture) -> String {
    let mut text = String::new();
    for (name, pool) in picture.pools.iter() {
        let counts = pool.counts();
        let registered = if pool.registered { "registered" } else { "not registered" };
        let offered = device_list(pool).iter().filter(|one| one.healthy).count();
        let _ = writeln!(
            text,
            "{name} ({}, {registered}): {} free, {} local, {} containers, {} unhealthy; {offered} offered to the kubelet",
            pool.resource, counts.free, counts.local, counts.containers, counts.unhealthy
        );
    }
    if text.is_empty() { "none\n".to_owned() } else { text }
}

fn devices(pool: &PoolPicture) -> String {
    let offered = device_list(pool);
    let mut text = String::new();
    for device in pool.devices.iter() {
        let node = device.numa_node.map_or_else(|| "-".to_owned(), |node| node.to_string());
        let lent = match device.lent {
            Lent::No => "free".to_owned(),
            Lent::Withdrawn => "withdrawn".to_owned(),
            Lent::Local(id) => format!("local {id}"),
            Lent::Container(id) => format!("container {id}"),
        };
        let shown = match offered.iter().find(|one| one.id == device.id) {
            None => "not listed",
            Some(one) if one.healthy => "Healthy",
            Some(_) => "Unhealthy",
        };
        let cause = device.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
        let _ = writeln!(text, "{} node {node}, {lent}, {shown}{cause}", device.id);
    }
    text
}

fn allocations(picture: &Picture) -> String {
    let line = |one: &onload_core::allocation::Allocation| {
        format!("{} {} {}, {}\n", one.id, one.device, one.holder, one.tenure)
    };
    let text: String = picture.allocations.values().map(|one| line(one)).collect();
    if text.is_empty() { "none\n".to_owned() } else { text }
}

fn conditions(picture: &Picture) -> String {
    let line = |one: &onload_core::condition::Condition| {
        let message =
            if one.message.is_empty() { String::new() } else { format!(": {}", one.message) };
        format!("{} {} {}{message}\n", one.kind.as_str(), one.status.as_str(), one.reason)
    };
    picture.conditions.iter().map(line).collect()
}

fn jobs(picture: &Picture) -> String {
    let line = |one: &onload_core::job::Job| {
        format!(
            "{} {} {}, {} of {}: {}\n",
            one.id,
            one.kind.as_str(),
            one.state.as_str(),
            one.done,
            one.total,
            one.message
        )
    };
    picture.jobs.values().map(line).collect()
}

/// Clocks, conflicts, who looks after sfptpd, who was handed the system clock, and when time was not kept.
fn clocks(picture: &Picture) -> String {
    let shown = &picture.clocks;
    let mut text = String::new();
    for (name, clock) in &shown.clocks {
        let verdict = &clock.verdict;
        let _ = writeln!(
            text,
            "{name}: {:?} {:?} {}: {}",
            clock.synchronised, verdict.standing, verdict.reason, verdict.message
        );
    }
    for one in &shown.conflicts {
        let bars = if one.bars_start { ", bars a start" } else { "" };
        let _ = writeln!(text, "{}, {}{bars}: {}", one.kind.reason(), one.clock, one.message);
        let _ = writeln!(text, "  fix: {}", one.fix);
    }
    let told = &shown.supervision;
    let _ = write!(text, "supervision: {:?} {}", told.status, told.reason);
    for part in [&told.unit, &told.message, &told.fix].into_iter().filter(|part| !part.is_empty()) {
        let _ = write!(text, "; {part}");
    }
    let _ = writeln!(text, "; restarts {}, hangs {}", told.restarts, told.hangs);
    if let Some(handover) = &shown.handover {
        let _ = writeln!(text, "handed to {:?}: {}", handover.to, handover.units.join(", "));
    }
    for outage in &shown.outages {
        let lasted = outage.millis.map_or("lasts".to_owned(), |ms| format!("{} s", ms / 1000));
        let change = outage.change.map(|change| format!(", change {change}")).unwrap_or_default();
        let _ = writeln!(text, "outage: {lasted}, {}{change}", outage.reason);
    }
    text
}

fn release(picture: &Picture) -> String {
    let name =
        |name: &Option<_>| name.as_ref().map_or_else(|| "none".to_owned(), ReleaseName::to_string);
    let by = &picture.wanted_by;
    let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
    format!(
        "wanted: {}{by}\nloaded: {}\n",
        name(&picture.wanted_release),
        name(&picture.loaded_release)
    )
}

fn users(picture: &Picture) -> String {
    let line = |(pid, user): (&u32, &User)| {
        let place = match (&user.unit, &user.container) {
            (Some(unit), _) => format!(" in {unit}"),
            (None, Some(id)) => format!(" in container {id}"),
            (None, None) => String::new(),
        };
        let uses: Vec<_> = user.uses.iter().map(String::as_str).collect();
        format!("{pid} {}{place}: {}\n", user.comm, uses.join(", "))
    };
    let text: String = picture.users.iter().map(line).collect();
    if text.is_empty() { "none\n".to_owned() } else { text }
}

fn change(change: &Change) -> String {
    let from = change.from.as_ref().map_or("unknown", ReleaseName::as_str);
    let origin = match change.origin {
        Origin::Boot => "a new boot".to_owned(),
        Origin::Idle => "an idle node".to_owned(),
        Origin::Drift => "drift".to_owned(),
        Origin::Order(uid) => format!("an order of user {uid}"),
    };
    let mut text = format!("{}: {from} -> {}, for {origin}", change.number, change.to);
    if let Some(why) = &change.turned {
        let _ = write!(text, ", taken back: {why}");
    }
    if change.confirm_by.is_some() {
        text.push_str(", to be confirmed");
    }
    text + "\n"
}

fn history(picture: &Picture) -> String {
    let line = |past: &Past| {
        let why = match &past.outcome {
            Outcome::Done | Outcome::RolledBack => String::new(),
            Outcome::Failed(why) => format!(": {why}"),
        };
        format!("{}: {}{why}\n", past.outcome.as_str(), change(&past.change).trim_end())
    };
    let text: String = picture.history.iter().map(line).collect();
    if text.is_empty() { "none\n".to_owned() } else { text }
}

fn explanation(picture: &Picture, subject: &str) -> String {
    let Some(found) = why::explain(picture, subject) else { return "no such thing\n".to_owned() };
    let mut text = format!("{}: {}\n", found.subject, found.decision);
    for (name, value) in &found.inputs {
        let _ = writeln!(text, "  {name}: {value}");
    }
    for change in &found.would_change {
        let _ = writeln!(text, "  would change it: {change}");
    }
    text
}
