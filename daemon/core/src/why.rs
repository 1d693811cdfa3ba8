//! `why`: the decision taken about a subject, what it was taken from, and what would change it.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::allocation::{Allocation, Tenure};
use crate::blocker::Blocked;
use crate::condition::{ConditionKind, Status};
use crate::inventory::Origin;
use crate::kubelet;
use crate::names::{AllocationId, ModuleName, PciAddress, PoolName, ReleaseName};
use crate::picture::{Device, Lent, Picture, PoolPicture, PortPicture};
use crate::reading::Reading;

mod clock;
mod module;
mod release;
#[cfg(test)]
mod tests;
mod trust;

/// An answer to *why*.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// What it is about, in its proper name.
    pub subject: String,
    /// What was decided, in one sentence.
    pub decision: String,
    /// What it was decided from: name and value.
    pub inputs: Vec<(String, String)>,
    /// What would make it another decision.
    pub would_change: Vec<String>,
}

/// Explains a subject: `node`, `ledger`, `configuration`, `keys` (or `secure-boot`), a port or its
/// interface, a module, a release, a pool, a device, an allocation, a clock (or `clock`), a key by its
/// fingerprint (8 digits or more), its path in the configuration or its name. None: there is no such thing.
///
/// A pool is found by its resource as well, for one that has the name of a module, as the shipped
/// one does.
pub fn explain(picture: &Picture, subject: &str) -> Option<Explanation> {
    let mut explanation = find(picture, subject)?;
    let subject = explanation.subject.clone();
    let told = |one: &Blocked| explanation.tells_signer() && module::is_distrust(&one.blocker);
    let own = picture.blockers.iter().filter(|one| one.subject == subject && !told(one));
    let own: Vec<_> = own.collect();
    for blocked in own {
        explanation.input("in the way", blocked.blocker.why());
        explanation.would_change.push(blocked.blocker.fix());
    }
    explanation.would_change.dedup();
    Some(explanation)
}

fn find(picture: &Picture, subject: &str) -> Option<Explanation> {
    if ["node", "ledger", "configuration"].contains(&subject) {
        return Some(node(picture, subject));
    }
    if trust::ALL.contains(&subject) {
        return Some(trust::all(picture, subject));
    }
    let port = subject.parse::<PciAddress>().ok();
    let named = |port: &&PortPicture| {
        port.netdev.as_ref().is_some_and(|name| name.as_str() == subject)
            || port.interface.altnames.iter().any(|name| name == subject)
    };
    let port = port.or_else(|| {
        picture.ports.iter().find(|(_, port)| named(port)).map(|(address, _)| *address)
    });
    if let Some((address, port)) =
        port.and_then(|address| Some((address, picture.ports.get(&address)?)))
    {
        return Some(self::port(address, port));
    }
    if let Some(module) =
        subject.parse::<ModuleName>().ok().and_then(|name| picture.modules.get(&name))
    {
        return Some(module::explain(picture, subject, module));
    }
    let by_name = subject.parse::<PoolName>().ok();
    if let Some((name, pool)) = picture
        .pools
        .iter()
        .find(|(name, pool)| by_name.as_ref() == Some(*name) || pool.resource == subject)
    {
        return Some(self::pool(picture, name, pool));
    }
    if let Some(found) = picture
        .pools
        .values()
        .find_map(|pool| pool.devices.iter().find(|one| one.id.as_str() == subject))
    {
        return Some(device(picture, found));
    }
    if let Some(allocation) =
        subject.parse::<AllocationId>().ok().and_then(|id| picture.allocations.get(&id))
    {
        return Some(self::allocation(allocation));
    }
    if let Some(clock) = clock::explain(picture, subject) {
        return Some(clock);
    }
    let release = subject.parse::<ReleaseName>().ok().and_then(|release| {
        picture.releases.get(&release).map(|found| release::explain(picture, &release, found))
    });
    release.or_else(|| trust::key(picture, subject))
}

impl Explanation {
    fn new(subject: impl Display, decision: impl Into<String>) -> Self {
        Self { subject: subject.to_string(), decision: decision.into(), ..Self::default() }
    }

    fn input(&mut self, name: &str, value: impl Display) {
        self.inputs.push((name.to_owned(), value.to_string()));
    }

    fn with(mut self, name: &str, value: impl Display) -> Self {
        self.input(name, value);
        self
    }
}

/// A gap says which kind it is.
fn shown<T: Display>(reading: &Reading<T>) -> String {
    match reading {
        Reading::Known(value) => Some(value.to_string())
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| "none".to_owned()),
        Reading::Absent => "none".to_owned(),
        Reading::Unreadable(why) => format!("cannot be read: {why}"),
    }
}

fn node(picture: &Picture, subject: &str) -> Explanation {
    let wanted = picture.wanted_release.as_ref();
    let blocked: Vec<&Blocked> =
        picture.blockers.iter().filter(|one| subject == "node" || one.subject == subject).collect();
    let decision = match (subject, blocked.first()) {
        ("node", _) => format!("the node is {}: {}", picture.state, picture.summary),
        (_, Some(one)) => one.blocker.why(),
        (_, None) => format!("the {subject} is as it should be"),
    };
    let mut explanation = Explanation::new(subject, decision);
    if subject == "node" {
        explanation.input(
            "wanted release",
            wanted.map_or_else(
                || "none: modules are left alone".to_owned(),
                |wanted| format!("{wanted} ({})", picture.wanted_by),
            ),
        );
        if let Some(loaded) = &picture.loaded_release {
            explanation.input("loaded release", loaded);
        }
        if let Some(change) = &picture.change {
            let from = change.from.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            let way = change.turned.as_ref().map_or_else(
                || format!("from {from} to {}", change.to),
                |why| format!("back from {} to {from}: {why}", change.to),
            );
            explanation.input("change under way", way);
        }
        for (manager, other) in picture.others.iter() {
            let adopted = other.adopted.map(|(uid, _)| format!(" (adopted by order of uid {uid})"));
            let said = format!("{}{}", other.evidence, adopted.unwrap_or_default());
            explanation.input(manager.as_str(), said);
        }
        explanation.input("loaded Onload", shown(&picture.loaded_version));
        explanation.input("kernel", shown(&picture.kernel));
        explanation.input(
            "plan",
            if picture.plan.is_empty() {
                "nothing to do".to_owned()
            } else {
                picture.plan.join("; ")
            },
        );
        let told = [ConditionKind::ParametersAsAsked, ConditionKind::InitramfsMatches];
        let told = [&told[..], &clock::CONDITIONS].concat();
        let conditions = picture.conditions.iter().filter(|one| told.contains(&one.kind));
        for condition in conditions.filter(|one| one.status == Status::False) {
            explanation.input("to know", &condition.message);
        }
        for one in blocked.iter().filter(|one| one.subject != "node") {
            explanation.input(&one.subject, one.blocker.why());
            explanation.would_change.push(one.blocker.fix());
        }
    }
    explanation
}

fn port(address: PciAddress, port: &PortPicture) -> Explanation {
    let decision = match &port.obstacle {
        None => "Onload can accelerate it".to_owned(),
        Some(cause) => format!("Onload cannot use it: {cause}"),
    };
    let origin = port.driver_origin.as_ref().map(|origin| match origin {
        Origin::InTree => "in-tree",
        Origin::OutOfTree => "out-of-tree",
    });
    let auxiliary = match &port.port.auxiliary {
        Reading::Known(devices) if devices.is_empty() => "none".to_owned(),
        Reading::Known(devices) => devices
            .iter()
            .map(|(name, driver)| format!("{name} bound to {}", shown(driver)))
            .collect::<Vec<_>>()
            .join(", "),
        Reading::Absent => "none".to_owned(),
        Reading::Unreadable(why) => format!("cannot be read: {why}"),
    };
    let family = match port.family.as_str() {
        "" => "none that Onload has a driver for".to_owned(),
        family => format!("{family} ({})", port.controller),
    };
    let mut explanation = Explanation::new(address, decision)
        .with("family", family)
        .with("datapath", port.datapath.as_str())
        .with("driver", shown(&port.port.driver))
        .with("driver was built", shown(&origin))
        .with("auxiliary devices", auxiliary)
        .with(
            "interface",
            port.netdev.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
        );
    explanation.would_change.extend(port.obstacle.as_ref().map(crate::pool::Cause::fix));
    explanation
}

fn pool(picture: &Picture, name: &PoolName, pool: &PoolPicture) -> Explanation {
    let counts = pool.counts();
    let causes: BTreeSet<_> =
        pool.devices.iter().filter_map(|device| device.cause.as_ref()).collect();
    // What was once offered stays so, whatever becomes of its ports.
    let is_told = pool.registered || kubelet::is_on_a_port(pool);
    let absence = causes.iter().find(|cause| cause.is_absence() && !is_told);
    let decision = if let Some(cause) = absence {
        format!("it has nothing to lend, and no kubelet is told of it: {cause}")
    } else if counts.unhealthy == 0 {
        "every device can work".to_owned()
    } else {
        format!("{} of its {} devices cannot be had", counts.unhealthy, pool.devices.len())
    };
    let mut explanation = Explanation::new(name, decision)
        .with("resource", &pool.resource)
        .with("selects ports by", selectors(pool))
        .with("stands on", ports(picture, pool))
        .with("registered with a kubelet", if pool.registered { "yes" } else { "no" })
        .with("registered by way of", pool.registration.as_str())
        .with("free", counts.free)
        .with("lent to programs", counts.local)
        .with("lent to containers", counts.containers);
    for cause in causes {
        explanation.input("cause", cause);
        explanation.would_change.push(cause.fix());
    }
    explanation
}

fn selectors(pool: &PoolPicture) -> String {
    let each = pool.selectors.iter().map(|(key, values)| format!("{key} = {}", values.join(", ")));
    let each: Vec<_> = each.collect();
    if each.is_empty() {
        format!("nothing: every port for {} is taken", pool.kind.as_str())
    } else {
        each.join("; ")
    }
}

fn ports(picture: &Picture, pool: &PoolPicture) -> String {
    let name = |address: &PciAddress| {
        let port = picture.ports.get(address);
        let netdev = port.and_then(|port| port.netdev.as_ref());
        netdev.map_or_else(|| address.to_string(), |name| format!("{address} ({name})"))
    };
    let names: Vec<_> = pool.ports.iter().map(name).collect();
    if names.is_empty() { "no port".to_owned() } else { names.join(", ") }
}

fn device(picture: &Picture, device: &Device) -> Explanation {
    let holder = match device.lent {
        Lent::No => None,
        Lent::Withdrawn => Some("about to be lent to a local program".to_owned()),
        Lent::Local(id) | Lent::Container(id) => Some(
            picture
                .allocations
                .get(&id)
                .map_or_else(|| id.to_string(), |one| format!("lent to {} ({id})", one.holder)),
        ),
    };
    let decision = match (&device.cause, &holder) {
        (Some(cause), _) => format!("it cannot be had: {cause}"),
        (None, Some(holder)) => holder.clone(),
        (None, None) => "it can be had".to_owned(),
    };
    let offered = match (device.local_only, &device.cause, device.lent) {
        (true, _, _) => "no: local share",
        (false, Some(_), _) => "as unhealthy",
        (false, None, Lent::Local(_) | Lent::Withdrawn) => "as unhealthy: a local program has it",
        (false, None, Lent::No | Lent::Container(_)) => "yes",
    };
    let numa = device.numa_node.map_or_else(|| "none".to_owned(), |node| node.to_string());
    let mut explanation = Explanation::new(&device.id, decision)
        .with("NUMA node", numa)
        .with("offered to the kubelet", offered)
        .with("holder", holder.unwrap_or_else(|| "nobody".to_owned()));
    explanation.would_change.extend(device.cause.as_ref().map(crate::pool::Cause::fix));
    explanation
}

fn allocation(allocation: &Allocation) -> Explanation {
    let ends = match &allocation.tenure {
        Tenure::Kubelet => "when the kubelet allocates the device anew, or root frees it by force",
        Tenure::Client => "with the program that holds it",
        Tenure::Unit => "with the unit that holds it",
        Tenure::Persistent => "when it is freed",
        Tenure::Lease { .. } => "when its lease is over, or it is freed",
    };
    Explanation::new(allocation.id, format!("{} has {}", allocation.holder, allocation.device))
        .with("pool", &allocation.pool)
        .with("ends", ends)
}
