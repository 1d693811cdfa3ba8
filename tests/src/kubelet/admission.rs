//! Admission of pods: which devices the kubelet picks, and what the plugin says to it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use onloadd::kubelet::api::device_plugin_client::DevicePluginClient;
use onloadd::kubelet::api::{
    AllocateRequest, AllocateResponse, ContainerAllocateRequest, ContainerAllocateResponse,
    ContainerPreferredAllocationRequest, DevicePluginOptions, PreStartContainerRequest,
    PreferredAllocationRequest,
};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::{Holding, Kubelet};

/// The deadline the kubelet sets for PreStartContainer, the only one it sets.
const PRE_START_LIMIT: Duration = Duration::from_secs(30);
/// gRPC's usual limit for a message, which servers keep unless told otherwise.
const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

pub(super) type Ids = BTreeSet<String>;

/// Why a pod was not admitted. The real kubelet makes the pod fail, for good, in each case.
#[derive(Debug)]
pub enum Rejected {
    /// No plugin has registered the resource, or its stream has ended.
    Unregistered,
    /// Fewer devices are healthy and free than the pod asks for.
    TooFew {
        /// How many it asks for.
        wanted: usize,
        /// How many there are.
        free: usize,
    },
    /// Another pod holds this device.
    Held(String),
    /// The plugin's answer has no entry for the container.
    EmptyAnswer,
    /// The plugin answered with an error, or not at all.
    Plugin(Status),
    /// The kubelet was stopped before the plugin answered.
    Stopped,
}

/// An Allocate request of one container that exceeds the size of a message.
pub fn oversized_request() -> AllocateRequest {
    request(vec!["x".repeat(MESSAGE_LIMIT + 1)])
}

impl Kubelet {
    /// Admits a pod that asks for `count` devices, on a node without topology policy. The choice is
    /// the real kubelet's, the unfathomable rest of it taken in order of ids.
    pub async fn allocate(&self, resource: &str, count: usize) -> Result<Holding, Rejected> {
        self.allocate_near(resource, count, None).await
    }

    /// Admits a pod whose CPUs were placed on a NUMA node, so that devices near to it come first.
    pub async fn allocate_near(
        &self,
        resource: &str,
        count: usize,
        node: Option<i64>,
    ) -> Result<Holding, Rejected> {
        let mut plugin = self.plugin(resource)?;
        let (near, free) = self.free(resource, node);
        if free.len() < count {
            return Err(Rejected::TooFew { wanted: count, free: free.len() });
        }
        let mut chosen = Ids::new();
        if count < near.len() {
            let preferred = plugin.preferred(self, &near, &chosen, count).await?;
            take(&mut chosen, count, preferred.intersection(&near));
            take(&mut chosen, count, near.iter());
        } else {
            take(&mut chosen, count, near.iter());
            if chosen.len() < count {
                let preferred = plugin.preferred(self, &free, &chosen, count).await?;
                take(&mut chosen, count, preferred.intersection(&free));
                take(&mut chosen, count, free.iter());
            }
        }
        // From the last to the first: a plugin must not rely on any order.
        self.admit(&mut plugin, resource, chosen.into_iter().rev().collect()).await
    }

    /// Admits a pod with exactly these devices, whatever the last list said of them: the choice of
    /// a kubelet that a list has not reached yet. Refuses what another pod holds.
    pub async fn allocate_ids<S: AsRef<str>>(
        &self,
        resource: &str,
        ids: &[S],
    ) -> Result<Holding, Rejected> {
        let mut plugin = self.plugin(resource)?;
        let ids = ids.iter().map(|id| id.as_ref().to_owned()).collect();
        self.admit(&mut plugin, resource, ids).await
    }

    /// Admits a pod of which only an init container asks for devices, as [`Kubelet::allocate`] does.
    pub async fn allocate_for_init(
        &self,
        resource: &str,
        count: usize,
    ) -> Result<Holding, Rejected> {
        let mut holding = self.allocate(resource, count).await?;
        holding.init = true;
        self.node.seen.send_modify(|seen| {
            for held in seen.held.iter_mut().filter(|held| held.pod == holding.pod) {
                held.init = true;
            }
        });
        Ok(holding)
    }

    /// Calls Allocate as it stands, choosing and remembering nothing.
    pub async fn call_allocate(
        &self,
        resource: &str,
        request: AllocateRequest,
    ) -> Result<AllocateResponse, Rejected> {
        let mut plugin = self.plugin(resource)?;
        self.while_alive(plugin.client.allocate(request)).await
    }

    /// Calls PreStartContainer for a pod's container if the plugin asked for it, as before each of
    /// its starts.
    pub async fn start_container(&self, holding: &Holding) -> Result<(), Rejected> {
        let mut plugin = self.plugin(&holding.resource)?;
        if !plugin.options.pre_start_required {
            return Ok(());
        }
        let mut request =
            tonic::Request::new(PreStartContainerRequest { devices_ids: holding.ids.clone() });
        request.set_timeout(PRE_START_LIMIT);
        self.while_alive(plugin.client.pre_start_container(request)).await.map(drop)
    }

    /// The pods holding these devices have ended. The plugin is not told, as ever.
    pub fn release<S: AsRef<str>>(&self, resource: &str, ids: &[S]) {
        let ended = |id: &String| ids.iter().any(|other| other.as_ref() == id);
        self.node.seen.send_modify(|seen| {
            for held in seen.held.iter_mut().filter(|held| held.resource == resource) {
                held.ids.retain(|id| !ended(id));
            }
            seen.held.retain(|held| !held.ids.is_empty());
        });
    }

    /// What pods hold, in order of admission; known across restarts.
    pub fn held(&self) -> Vec<Holding> {
        self.node.seen.borrow().held.clone()
    }

    /// The devices that a new pod could get: those near to the node, and all.
    fn free(&self, resource: &str, node: Option<i64>) -> (Ids, Ids) {
        let seen = self.node.seen.borrow();
        let free = seen
            .devices(resource)
            .iter()
            .filter(|(id, device)| device.is_healthy() && !seen.is_held(resource, id));
        let (mut near, mut all) = (Ids::new(), Ids::new());
        for (id, device) in free {
            all.insert(id.clone());
            if node.is_some_and(|node| device.numa.contains(&node)) {
                near.insert(id.clone());
            }
        }
        (near, all)
    }

    /// Reserves the devices, asks the plugin, and keeps or drops the reservation by its answer.
    async fn admit(
        &self,
        plugin: &mut Plugin,
        resource: &str,
        ids: Vec<String>,
    ) -> Result<Holding, Rejected> {
        let pod = self.reserve(resource, &ids)?;
        let mut reservation = Reservation { kubelet: self, pod: Some(pod) };
        let answer = self.while_alive(plugin.client.allocate(request(ids))).await?;
        let response =
            answer.container_responses.into_iter().next().ok_or(Rejected::EmptyAnswer)?;
        reservation.pod = None;
        let mut holding = None;
        self.node.seen.send_modify(|seen| {
            if let Some(held) = seen.held.iter_mut().find(|held| held.pod == pod) {
                held.response = response;
                held.admitted = true;
                holding = Some(held.clone());
            }
        });
        // Released while the plugin was thinking: the pod has come and gone.
        holding.ok_or(Rejected::Stopped)
    }

    fn reserve(&self, resource: &str, ids: &[String]) -> Result<u64, Rejected> {
        let mut outcome = Ok(0);
        self.node.seen.send_if_modified(|seen| {
            if let Some(id) = ids.iter().find(|id| seen.is_held(resource, id)) {
                outcome = Err(Rejected::Held(id.clone()));
                return false;
            }
            seen.pods += 1;
            outcome = Ok(seen.pods);
            seen.held.push(Holding {
                pod: seen.pods,
                resource: resource.to_owned(),
                ids: ids.to_vec(),
                response: ContainerAllocateResponse::default(),
                admitted: false,
                init: false,
            });
            true
        });
        outcome
    }

    /// The plugin that counts for a resource.
    pub(super) fn plugin(&self, resource: &str) -> Result<Plugin, Rejected> {
        let mut process = self.node.process();
        let endpoint = process.endpoint(resource).ok_or(Rejected::Unregistered)?;
        if endpoint.streams.iter().all(tokio::task::JoinHandle::is_finished) {
            return Err(Rejected::Unregistered);
        }
        Ok(Plugin { client: endpoint.client.clone(), options: endpoint.options })
    }

    /// The answer to a call, unless the kubelet is stopped first.
    async fn while_alive<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Rejected> {
        let mut life = self.node.life.subscribe();
        let mine = *life.borrow();
        tokio::select! {
            answer = call => answer.map(Response::into_inner).map_err(Rejected::Plugin),
            _ = life.wait_for(|life| *life != mine) => Err(Rejected::Stopped),
        }
    }
}

/// A registered plugin, as an admission uses it.
pub(super) struct Plugin {
    client: DevicePluginClient<Channel>,
    options: DevicePluginOptions,
}

impl Plugin {
    /// What the plugin would take; nothing if it does not want to be asked.
    pub(super) async fn preferred(
        &mut self,
        kubelet: &Kubelet,
        available: &Ids,
        must_include: &Ids,
        count: usize,
    ) -> Result<Ids, Rejected> {
        if !self.options.get_preferred_allocation_available {
            return Ok(Ids::new());
        }
        let container = ContainerPreferredAllocationRequest {
            available_device_ids: available.iter().cloned().collect(),
            must_include_device_ids: must_include.iter().cloned().collect(),
            allocation_size: i32::try_from(count).unwrap_or(i32::MAX),
        };
        let request = PreferredAllocationRequest { container_requests: vec![container] };
        let answer = kubelet.while_alive(self.client.get_preferred_allocation(request)).await?;
        let first = answer.container_responses.into_iter().next().unwrap_or_default();
        Ok(first.device_ids.into_iter().collect())
    }
}

/// Devices set aside while the plugin thinks; given up when the call fails or its caller goes away.
struct Reservation<'a> {
    kubelet: &'a Kubelet,
    pod: Option<u64>,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(pod) = self.pod {
            self.kubelet.node.seen.send_modify(|seen| seen.held.retain(|held| held.pod != pod));
        }
    }
}

/// Fills the choice up to `count`.
fn take<'a>(chosen: &mut Ids, count: usize, from: impl Iterator<Item = &'a String>) {
    for id in from {
        if chosen.len() >= count {
            return;
        }
        chosen.insert(id.clone());
    }
}

pub(super) fn request(ids: Vec<String>) -> AllocateRequest {
    AllocateRequest { container_requests: vec![ContainerAllocateRequest { devices_ids: ids }] }
}

impl Rejected {
    /// The plugin's status, if it was the plugin that said no.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Plugin(status) => Some(status),
            Self::Unregistered
            | Self::TooFew { .. }
            | Self::Held(_)
            | Self::EmptyAnswer
            | Self::Stopped => None,
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unregistered => write!(f, "cannot allocate unregistered device"),
            Self::TooFew { wanted, free } => {
                write!(f, "requested {wanted} devices, available {free}")
            }
            Self::Held(id) => write!(f, "device {id} is held by another pod"),
            Self::EmptyAnswer => write!(f, "the plugin's answer is empty"),
            Self::Plugin(status) => write!(f, "the plugin: {status}"),
            Self::Stopped => write!(f, "the kubelet was stopped meanwhile"),
        }
    }
}

impl std::error::Error for Rejected {}
