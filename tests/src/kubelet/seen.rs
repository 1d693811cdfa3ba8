//! What the kubelet has seen of its plugins, and what its pods hold.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use onloadd::kubelet::api::{ContainerAllocateResponse, Device};
use onloadd::kubelet::watcher_api::PluginInfo;

use super::HEALTHY;

/// The devices of one resource, by id.
pub type Devices = BTreeMap<String, DeviceSeen>;

/// How many of them are healthy.
pub fn healthy(devices: &Devices) -> usize {
    devices.values().filter(|device| device.is_healthy()).count()
}

static NO_DEVICES: Devices = Devices::new();

/// Everything seen. Counters and records go back to the first start; `serving` and `resources` are
/// the present.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Whether the kubelet runs.
    pub serving: bool,
    /// Connections to the kubelet's socket, those met with a fault included.
    pub connections: u64,
    /// Calls of Register, refused and hanging ones included.
    pub register_calls: u64,
    /// What was made of sockets in the registry of plugins, in order.
    pub plugins: Vec<PluginSeen>,
    /// The registrations that were accepted, in order; those of plugins that were found included.
    pub registrations: Vec<RegistrationSeen>,
    /// The lists received, by resource, in order.
    pub lists: BTreeMap<String, Vec<ListSeen>>,
    /// The registered resources and their devices.
    pub resources: BTreeMap<String, Devices>,
    /// What pods hold: what the checkpoint would say.
    pub held: Vec<Holding>,
    /// What ended pods had that pod-resources still list.
    pub finished: Vec<Holding>,
    /// Pods admitted so far; also the newest pod's number.
    pub pods: u64,
    /// Questions to its pod-resources.
    pub pod_questions: u64,
}

/// One accepted registration.
#[derive(Debug, Clone)]
pub struct RegistrationSeen {
    /// The resource.
    pub resource: String,
    /// The file name of the plugin's socket.
    pub endpoint: String,
    /// When Register was called.
    pub called: Instant,
    /// When it was accepted: the plugin had been dialled and had named its options.
    pub accepted: Instant,
}

/// One attempt to take a plugin that was found in the registry.
#[derive(Debug, Clone)]
pub struct PluginSeen {
    /// The path of its socket.
    pub socket: PathBuf,
    /// Who it says it is; none if it was not reached, or not in time.
    pub info: Option<PluginInfo>,
    /// What it was told: that all is well, or why not.
    pub outcome: Result<(), String>,
}

/// One list of devices.
#[derive(Debug, Clone, Copy)]
pub struct ListSeen {
    /// When it came.
    pub at: Instant,
    /// How many of its devices were healthy.
    pub healthy: usize,
    /// How many were not.
    pub unhealthy: usize,
}

/// One device as the kubelet knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSeen {
    /// The word of the list, or `Unhealthy` since the stream ended.
    pub health: String,
    /// The NUMA nodes it is near to; empty if the list gave no topology.
    pub numa: Vec<i64>,
}

/// The devices one pod holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// The pod, by number of admission.
    pub pod: u64,
    /// The resource.
    pub resource: String,
    /// The ids of the devices, in the order asked for.
    pub ids: Vec<String>,
    /// The plugin's answer, which the kubelet repeats at each start of the container.
    pub response: ContainerAllocateResponse,
    /// Whether the plugin has answered: pod-resources show no pod before.
    pub admitted: bool,
    /// Whether only an ordinary init container has them: pod-resources show none of those.
    pub init: bool,
}

/// What was waited for did not happen in time.
#[derive(Debug)]
pub struct Late {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub limit: Duration,
    /// How things stood then.
    pub last: Box<Seen>,
}

impl DeviceSeen {
    /// Whether new pods may get it.
    pub fn is_healthy(&self) -> bool {
        self.health == HEALTHY
    }
}

impl Seen {
    /// The devices of a resource; none if it is not registered.
    pub fn devices(&self, resource: &str) -> &Devices {
        self.resources.get(resource).unwrap_or(&NO_DEVICES)
    }

    /// The lists received for a resource, in order.
    pub fn lists(&self, resource: &str) -> &[ListSeen] {
        self.lists.get(resource).map_or(&[], Vec::as_slice)
    }

    /// Whether a pod holds the device.
    pub fn is_held(&self, resource: &str, id: &str) -> bool {
        self.held.iter().any(|held| held.resource == resource && held.ids.iter().any(|h| h == id))
    }

    /// Takes a list: it replaces all that was known.
    pub(super) fn take_list(&mut self, resource: &str, list: Vec<Device>) {
        let devices: Devices = list.into_iter().map(DeviceSeen::listed).collect();
        let healthy = devices.values().filter(|device| device.is_healthy()).count();
        let unhealthy = devices.len() - healthy;
        let seen = ListSeen { at: Instant::now(), healthy, unhealthy };
        self.lists.entry(resource.to_owned()).or_default().push(seen);
        self.resources.insert(resource.to_owned(), devices);
    }

    /// Marks all devices of a resource as not to be chosen: the stream has ended.
    pub(super) fn mark_unhealthy(&mut self, resource: &str) {
        for device in self.resources.get_mut(resource).into_iter().flat_map(Devices::values_mut) {
            device.health = "Unhealthy".to_owned();
        }
    }
}

impl DeviceSeen {
    fn listed(device: Device) -> (String, Self) {
        let nodes = device.topology.map(|topology| topology.nodes).unwrap_or_default();
        let numa = nodes.iter().map(|node| node.id).collect();
        (device.id, Self { health: device.health, numa })
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, limit, last } = self;
        write!(f, "{what}: not as wanted within {limit:?}; serving {}, ", last.serving)?;
        write!(f, "{} connections, {} calls of Register, ", last.connections, last.register_calls)?;
        write!(f, "{} registrations; now", last.registrations.len())?;
        for (resource, devices) in &last.resources {
            let healthy = devices.values().filter(|device| device.is_healthy()).count();
            let lists = last.lists(resource).len();
            write!(f, " {resource}: {healthy} of {} healthy, {lists} lists;", devices.len())?;
        }
        write!(f, " {} holdings", last.held.len())
    }
}

impl std::error::Error for Late {}
