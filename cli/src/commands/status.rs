//! `status`: the node on one page. The page itself is in `status/page.rs`.

mod page;

use std::collections::BTreeMap;

use onload_dbus::path::Kind;
use serde::{Deserialize, Serialize};

use crate::bus::{Bus, Objects, Subject, of_kind};
use crate::commands::adopt::{Other, others};
use crate::commands::clock::{self, Clock};
use crate::commands::history::{Change, change};
use crate::commands::pools::{Pool, Pools};
use crate::commands::ports::{Port, Ports};
use crate::ended::Ended;
use crate::properties::Properties;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::natural;

/// The node. Absent is null; so is what could not be read, and then `unreadable` says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// ready, converging, blocked, held, degraded or idle.
    pub state: String,
    pub summary: Option<String>,
    pub version: Option<String>,
    pub kernel: Option<String>,
    pub boot_id: Option<String>,
    pub wanted_release: Option<String>,
    /// What says so, in words.
    pub wanted_by: Option<String>,
    pub loaded_version: Option<String>,
    /// The release the loaded modules are from.
    pub loaded_release: Option<String>,
    /// Under way.
    pub change: Option<Change>,
    /// What is done just now, or next.
    pub step: Option<String>,
    /// Who uses the stack.
    pub users: Vec<User>,
    /// Others who have to do with the modules.
    pub others: Vec<Other>,
    pub generation: u64,
    pub observed_generation: u64,
    pub probing: bool,
    pub ports: Vec<PortGroup>,
    pub pools: Vec<Pool>,
    /// The system clock; null where it is not looked at.
    pub clock: Option<Clock>,
    pub conditions: Vec<Condition>,
    pub hold: Option<Hold>,
    pub blockers: Vec<Blocker>,
    pub interfaces: Vec<Interface>,
    pub unreadable: BTreeMap<String, String>,
}

/// A process that uses the stack.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct User {
    pub pid: u32,
    pub comm: String,
    /// The systemd unit it belongs to.
    pub unit: Option<String>,
    pub container: Option<String>,
    /// What it has open or mapped.
    pub uses: Vec<String>,
}

/// Ports that are alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PortGroup {
    pub numa_node: Option<i32>,
    pub driver: Option<String>,
    pub driver_origin: Option<String>,
    pub count: usize,
    /// How many of them have a link.
    pub up: usize,
    /// Why some of these are null.
    pub unreadable: BTreeMap<String, String>,
}

/// A condition as Kubernetes shapes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    pub reason: String,
    pub message: String,
    /// Milliseconds since 1970 UTC.
    pub since: u64,
}

/// An operator's hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    pub reason: String,
    pub uid: u32,
    /// Milliseconds since 1970 UTC.
    pub since: u64,
    /// Milliseconds since 1970 UTC; null for until `unhold`.
    pub until: Option<u64>,
}

/// Why the node is not as wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Blocker {
    /// As `why` takes it.
    pub subject: String,
    /// One CamelCase word.
    pub reason: String,
    pub why: String,
    pub fix: String,
}

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    pub altnames: Vec<String>,
    /// PCI address.
    pub port: Option<String>,
    pub mac: Option<String>,
    pub permanent_mac: Option<String>,
    pub link: Option<String>,
    pub speed_mbps: Option<u32>,
    pub phys_port_name: Option<String>,
    pub phc_index: Option<u32>,
    pub unreadable: BTreeMap<String, String>,
}

/// Reads it.
pub async fn read(bus: &Bus) -> Result<Status, Ended> {
    Ok(Status::of(bus.objects().await?))
}

impl Status {
    fn of(mut objects: Objects) -> Self {
        let ports = Ports::of(of_kind(&mut objects, Kind::Port));
        let pools = Pools::of(of_kind(&mut objects, Kind::Pool));
        let clocks = clock::of(&mut objects);
        let mut node = Properties::new(objects.remove(&Subject::Node).unwrap_or_default());
        Self {
            state: node.get("state"),
            summary: node.text("summary"),
            version: node.text("version"),
            kernel: node.text("kernel"),
            boot_id: node.text("boot_id"),
            wanted_release: node.text("wanted_release"),
            wanted_by: node.text("wanted_by"),
            loaded_version: node.text("loaded_version"),
            loaded_release: node.text("loaded_release"),
            change: change(&mut node),
            step: node.get::<Vec<String>>("plan").into_iter().next(),
            users: users(&mut node),
            others: others(&mut node),
            generation: node.get("generation"),
            observed_generation: node.get("observed_generation"),
            probing: node.get("probing"),
            ports: groups(&ports.ports),
            pools: pools.pools,
            clock: clocks.into_iter().find(|one| one.name == clock::SYSTEM),
            conditions: conditions(&mut node),
            hold: hold(&mut node),
            blockers: blockers(&mut node),
            interfaces: interfaces(&mut node),
            unreadable: node.unreadable(),
        }
    }
}

/// Ports by NUMA node, driver and the driver's origin, in the order of their first port.
fn groups(ports: &[Port]) -> Vec<PortGroup> {
    let mut groups: Vec<PortGroup> = Vec::new();
    for port in ports {
        let names = ["numa_node", "driver", "driver_origin"];
        let gap = |name: &str| Some((name.to_owned(), port.unreadable.get(name)?.clone()));
        let alike = PortGroup {
            numa_node: port.numa_node,
            driver: port.driver.clone(),
            driver_origin: port.driver_origin.clone(),
            unreadable: names.into_iter().filter_map(gap).collect(),
            ..PortGroup::default()
        };
        let same =
            |group: &&mut PortGroup| PortGroup { count: 0, up: 0, ..(**group).clone() } == alike;
        let up = usize::from(port.link.as_deref() == Some("up"));
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.count += 1;
                group.up += up;
            }
            None => groups.push(PortGroup { count: 1, up, ..alike }),
        }
    }
    groups.sort_by_key(|group| group.numa_node);
    groups
}

fn conditions(node: &mut Properties) -> Vec<Condition> {
    let conditions: Vec<(String, String, String, String, u64)> = node.get("conditions");
    let condition =
        |(kind, status, reason, message, since)| Condition { kind, status, reason, message, since };
    conditions.into_iter().map(condition).collect()
}

/// What is in the way, most important first.
pub fn blockers(node: &mut Properties) -> Vec<Blocker> {
    let blockers: Vec<(String, String, String, String)> = node.get("blockers");
    let blocker = |(subject, reason, why, fix)| Blocker { subject, reason, why, fix };
    blockers.into_iter().map(blocker).collect()
}

fn users(node: &mut Properties) -> Vec<User> {
    let users: Vec<(u32, String, String, String, Vec<String>)> = node.get("users");
    let named = |text: String| Some(text).filter(|text| !text.is_empty());
    let user = |(pid, comm, unit, container, uses)| User {
        pid,
        comm,
        unit: named(unit),
        container: named(container),
        uses,
    };
    users.into_iter().map(user).collect()
}

fn hold(node: &mut Properties) -> Option<Hold> {
    let held: serde_json::Map<String, serde_json::Value> = node.get("held");
    // No hold is an empty dictionary, in which nothing is missing.
    if held.is_empty() {
        return None;
    }
    let mut held = Properties::new(held);
    Some(Hold {
        reason: held.get("reason"),
        uid: held.get("uid"),
        since: held.get("since"),
        until: held.number("until", 0),
    })
}

fn interfaces(node: &mut Properties) -> Vec<Interface> {
    let listed: Vec<serde_json::Map<String, serde_json::Value>> = node.get("interfaces");
    let interface = |dict| {
        let mut one = Properties::new(dict);
        Interface {
            name: one.get("name"),
            index: one.get("index"),
            altnames: one.get("altnames"),
            port: one.optional("port"),
            mac: one.optional("mac"),
            permanent_mac: one.optional("permanent_mac"),
            link: one.optional("link"),
            speed_mbps: one.optional("speed_mbps"),
            phys_port_name: one.optional("phys_port_name"),
            phc_index: one.optional("phc_index"),
            unreadable: one.unreadable(),
        }
    };
    let mut interfaces: Vec<_> = listed.into_iter().map(interface).collect();
    interfaces.sort_by(|a, b| natural(&a.name, &b.name));
    interfaces
}

impl Blocker {
    /// Three lines, as everything that is not as it should be has them.
    pub fn lines(&self, indent: &str) -> String {
        format!(
            "{indent}{}: {}\n{indent}  {} {}\n{indent}  {} {}\n",
            Paint::Strong.on(&self.subject),
            Paint::Warn.on(&self.reason),
            Paint::Dim.on("why:"),
            plain(&self.why),
            Paint::Dim.on("fix:"),
            plain(&self.fix),
        )
    }
}
