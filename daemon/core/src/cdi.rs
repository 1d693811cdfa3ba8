//! Pools as the Container Device Interface shows them: a file per pool from which a container
//! runtime takes what `--device amd.com/onload=onload-3` means, with or without a kubelet.
//!
//! A file is no grant. Who names a device to a runtime goes past the ledger, and is shown as a user
//! without a grant, as everybody is who opens `/dev/onload` by himself. So the file says what works,
//! not what is free:
//!
//! - It lists every device that can work, also one that is lent: names must resolve the moment a
//!   kubelet passes them on, and a file that followed each grant would lag behind some of them.
//! - What a container holds stays listed whatever becomes of it: its restart resolves it again.
//! - A pool that cannot be served has no file, unless a container holds something of it: then the
//!   last one stays as it is.
//! - The file of a pool that the configuration has no more stays as it is while a container holds
//!   something that it lists.
//!
//! A device that brings no edits, in a pool that has no device nodes for all, is left out: libraries
//! of CDI refuse a file for it.
//!
//! There is no device `all`: any of them is all that a container needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::blocker::Blocker;
use crate::command::ContainerAnswer;
use crate::names::DeviceId;
use crate::picture::{Device, Lent, Picture, PoolPicture};

/// What ends the name of each of our files. Before it stand vendor and class, as the library of CDI
/// names files that another program keeps (`VENDOR-CLASS_ID.json`).
const SUFFIX: &str = "_onloadd.json";
/// The file holds what versions 0.3.0 and up know, unless a name in it needs a later one.
const VERSION: &str = "0.3.0";
/// Since when a class may have a dot.
const VERSION_OF_DOTS: &str = "0.6.0";
/// Read, write and mknod, as the kubelet's plain answer gives.
const PERMISSIONS: &str = "rwm";
/// As the plain answer's mounts are made: read-only, and never a way to more privilege.
const MOUNT_OPTIONS: [&str; 5] = ["ro", "nosuid", "nodev", "rbind", "rprivate"];

/// Whether files are written at all, by the configuration in force; they are unless it says no.
pub fn is_enabled(picture: &Picture) -> bool {
    picture.config.get("cdi.enabled").is_none_or(|entry| entry.value == "true")
}

/// Whether it is known what files there shall be: before the first look nothing is known of any pool
/// (a look names the modules of the stack), and without a ledger not who holds what.
pub fn is_known(picture: &Picture) -> bool {
    let mut blockers = picture.blockers.iter();
    !picture.modules.is_empty()
        && !blockers.any(|one| matches!(one.blocker, Blocker::LedgerUnreadable { .. }))
}

/// Whether a kubelet is answered with names of devices in place of what they stand for.
pub fn answers_kubelet(picture: &Picture) -> bool {
    let answer = picture.config.get("kubelet.answer");
    answer.is_some_and(|entry| entry.value.trim_matches(['"', '\'']) == "cdi")
}

/// What shall become of a pool's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It says this.
    File(Spec),
    /// It stays as it is, if it is there.
    AsItIs,
    /// It goes, if it is there.
    Nothing,
}

/// What a pool's file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    kind: String,
    answer: Arc<ContainerAnswer>,
    /// What a device adds to it.
    own: Arc<BTreeMap<DeviceId, ContainerAnswer>>,
    devices: Vec<DeviceId>,
}

/// Decides about a pool's file.
pub fn wanted(pool: &PoolPicture) -> Wanted {
    let held = pool.devices.iter().any(is_held);
    match &pool.answer {
        Some(answer) if is_kind(&pool.resource) => {
            let devices: Vec<_> = listed(pool).cloned().collect();
            if devices.is_empty() {
                return if held { Wanted::AsItIs } else { Wanted::Nothing };
            }
            let (kind, own) = (pool.resource.clone(), pool.own.clone());
            Wanted::File(Spec { kind, answer: answer.clone(), own, devices })
        }
        None if held => Wanted::AsItIs,
        Some(_) | None => Wanted::Nothing,
    }
}

/// The devices that the file lists.
fn listed(pool: &PoolPicture) -> impl Iterator<Item = &DeviceId> {
    let for_all = pool.answer.as_ref().is_some_and(|answer| !answer.device_nodes.is_empty());
    let edits = move |id| for_all || pool.own.get(id).is_some_and(brings_anything);
    let shown = |device: &&Device| device.cause.is_none() || is_held(device);
    pool.devices.iter().filter(shown).map(|device| &device.id).filter(move |id| edits(*id))
}

fn brings_anything(own: &ContainerAnswer) -> bool {
    !(own.environment.is_empty() && own.mounts.is_empty() && own.device_nodes.is_empty())
}

fn is_held(device: &Device) -> bool {
    match device.lent {
        Lent::Container(_) => true,
        Lent::No | Lent::Withdrawn | Lent::Local(_) => false,
    }
}

/// The devices that containers hold, whatever has become of their pools.
pub fn held(picture: &Picture) -> BTreeSet<DeviceId> {
    let of_containers = picture.allocations.values().filter(|one| !one.is_local());
    of_containers.map(|one| one.device.clone()).collect()
}

/// The devices that a file lists, as far as it reads.
pub fn listed_in(text: &str) -> BTreeSet<DeviceId> {
    let value = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    let devices = value.get("devices").and_then(|devices| devices.as_array());
    let names = devices.into_iter().flatten().filter_map(|one| one.get("name")?.as_str());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// The full name of a device.
pub fn full_name(resource: &str, device: &DeviceId) -> String {
    format!("{resource}={device}")
}

/// The name of the file for a resource.
pub fn file_name(resource: &str) -> String {
    format!("{}{SUFFIX}", resource.replacen('/', "-", 1))
}

/// Whether a file of this name is one that we keep.
pub fn is_own_name(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|rest| rest.contains('-') && !rest.starts_with('.'))
}

/// Whether what stands in a file of our name is ours: it speaks of the kind that the name says.
pub fn is_own_text(name: &str, text: &str) -> bool {
    let value = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    value.get("kind").and_then(|kind| kind.as_str()).is_some_and(|kind| file_name(kind) == name)
}

/// Whether a resource can be a kind of CDI: vendor and class begin with a letter there, and end
/// with a letter or digit.
pub fn is_kind(resource: &str) -> bool {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    resource.split_once('/').is_some_and(|(vendor, class)| plain(vendor) && plain(class))
}

impl Spec {
    /// Whether the pool's file still says what it should, at less cost than to make it anew.
    pub fn is_of(&self, pool: &PoolPicture) -> bool {
        self.kind == pool.resource
            && pool.answer.as_ref() == Some(&self.answer)
            && pool.own == self.own
            && self.devices.iter().eq(listed(pool))
    }

    /// The text of the file, the same for the same pool.
    pub fn text(&self) -> String {
        let nothing = ContainerAnswer::default();
        let device = |id: &DeviceId| {
            let own = self.own.get(id).unwrap_or(&nothing);
            let paths = self.answer.device_nodes.iter().chain(&own.device_nodes);
            let device_nodes = paths.map(|path| DeviceNode { path, permissions: PERMISSIONS });
            Edits { device_nodes: device_nodes.collect(), ..Edits::of(own) }
        };
        let devices = self.devices.iter();
        let file = File {
            cdi_version: self.version(),
            kind: &self.kind,
            devices: devices
                .map(|id| Named { name: id.as_str(), container_edits: device(id) })
                .collect(),
            // Once for a container, however many devices it has.
            container_edits: Edits::of(&self.answer),
        };
        // Plain data with string keys always serialises.
        let mut text = serde_json::to_string(&file).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The lowest version whose rules it keeps to: an older runtime refuses a later one.
    fn version(&self) -> &'static str {
        let class = self.kind.split_once('/').map_or("", |(_, class)| class);
        if class.contains('.') { VERSION_OF_DOTS } else { VERSION }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    cdi_version: &'a str,
    kind: &'a str,
    devices: Vec<Named<'a>>,
    container_edits: Edits<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named<'a> {
    name: &'a str,
    container_edits: Edits<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Edits<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    device_nodes: Vec<DeviceNode<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<Mount<'a>>,
}

impl<'a> Edits<'a> {
    /// Variables and mounts; device nodes stand with each device.
    fn of(answer: &'a ContainerAnswer) -> Self {
        let variables = answer.environment.iter();
        let mounts = answer.mounts.iter().map(|(container_path, host_path)| Mount {
            host_path,
            container_path,
            options: MOUNT_OPTIONS,
        });
        Self {
            env: variables.map(|(name, value)| format!("{name}={value}")).collect(),
            device_nodes: Vec::new(),
            mounts: mounts.collect(),
        }
    }
}

#[derive(Serialize)]
struct DeviceNode<'a> {
    path: &'a str,
    permissions: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mount<'a> {
    host_path: &'a str,
    container_path: &'a str,
    options: [&'a str; 5],
}

#[cfg(test)]
mod tests;
