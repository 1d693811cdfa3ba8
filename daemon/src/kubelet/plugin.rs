//! The device plugin as the kubelet calls it: a few lines per call, every answer from the picture
//! or from the loop.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use onload_core::cdi;
use onload_core::command::{Caller, Command, ContainerAnswer, Reply};
use onload_core::kubelet::{Advertised, may_start, preferred};
use onload_core::names::{DeviceId, PoolName};
use onload_core::picture::Picture;
use onload_core::refusal::{Refusal, RefusalKind};
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tonic::{Code, Request, Response, Status};

use super::api::device_plugin_server::DevicePlugin;
use super::api::{
    AllocateRequest, AllocateResponse, CdiDevice, ContainerAllocateResponse,
    ContainerPreferredAllocationResponse, Device, DevicePluginOptions, DeviceSpec, Empty,
    ListAndWatchResponse, Mount, NumaNode, PreStartContainerRequest, PreStartContainerResponse,
    PreferredAllocationRequest, PreferredAllocationResponse, TopologyInfo,
};
use super::connection::Peer;
use super::link::{Link, OpenStream};
use super::registration;
use super::server::List;
use crate::bus::errors::kind;
use crate::letterbox::Letterbox;

/// Most devices of one call: a pool has no more.
const MOST_IDS: usize = 10_000;
/// How long a picture may lag the grant that it is to show: several times what the loop collects grants
/// for, and little beside what a container's start takes.
const PICTURE_LAG: Duration = Duration::from_millis(500);
/// Health words (reference/kubelet-api.md section 2); any but the first bars new pods.
const HEALTHY: &str = "Healthy";
const UNHEALTHY: &str = "Unhealthy";
/// Read, write and mknod, as the existing plugin gives (reference/kubernetes-onload.md section 1.3).
const PERMISSIONS: &str = "rwm";

/// One pool's service.
#[derive(Debug)]
pub(super) struct Plugin {
    pool: PoolName,
    letterbox: Letterbox,
    lists: watch::Receiver<List>,
    link: Link,
}

impl Plugin {
    /// A service that shows `lists` and counts its streams on `link`.
    pub(super) fn new(
        pool: PoolName,
        letterbox: Letterbox,
        lists: watch::Receiver<List>,
        link: Link,
    ) -> Self {
        Self { pool, letterbox, lists, link }
    }

    fn nothing_lent(&self) -> String {
        format!("nothing of pool {} was lent", self.pool)
    }

    fn not_started(&self) -> String {
        format!("a container with devices of pool {} was not started", self.pool)
    }

    fn refusal(&self, kind: RefusalKind, why: impl Into<String>, fix: &str) -> Refusal {
        Refusal::new(kind, self.nothing_lent(), why, fix)
    }

    fn unknown_pool(&self) -> Refusal {
        self.refusal(
            RefusalKind::NotFound,
            "this node has no such pool any more",
            "see `onloadctl pools`",
        )
    }

    /// Device ids, container by container; or that `what` did not happen, and why.
    fn device_ids(what: &str, containers: Vec<Vec<String>>) -> Result<Vec<Vec<DeviceId>>, Refusal> {
        let invalid = |why: String| {
            Refusal::new(
                RefusalKind::InvalidArgument,
                what,
                why,
                "report it to whoever makes the kubelet; a kubelet asks for listed devices, each once",
            )
        };
        let count: usize = containers.iter().map(Vec::len).sum();
        if containers.is_empty() || containers.iter().any(Vec::is_empty) {
            return Err(invalid("a container asks for no device at all".to_owned()));
        }
        if count > MOST_IDS {
            return Err(invalid(format!(
                "{count} devices are asked for, at most {MOST_IDS} can be"
            )));
        }
        let mut seen = BTreeSet::new();
        let mut parse = |text: String| {
            let id: DeviceId = text.parse().map_err(|error| invalid(format!("{error}")))?;
            if seen.insert(text) {
                Ok(id)
            } else {
                Err(invalid(format!("device {id} is asked for twice")))
            }
        };
        let container = |ids: Vec<String>| ids.into_iter().map(&mut parse).collect();
        containers.into_iter().map(container).collect()
    }

    /// Whether a container may start with these devices, by the picture as it is.
    fn start(&self, picture: &Picture, devices: &[DeviceId]) -> Result<(), Refusal> {
        let unknown = || Refusal { what: self.not_started(), ..self.unknown_pool() };
        let of = picture.pools.get(&self.pool).ok_or_else(unknown)?;
        may_start(&self.pool, of, devices)
    }
}

#[tonic::async_trait]
impl DevicePlugin for Plugin {
    type ListAndWatchStream = Lists;

    async fn get_device_plugin_options(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        let picture = self.letterbox.picture();
        let check = picture.pools.get(&self.pool).is_some_and(|pool| pool.check_at_start);
        Ok(Response::new(registration::options(check)))
    }

    async fn list_and_watch(&self, request: Request<Empty>) -> Result<Response<Lists>, Status> {
        let lists = WatchStream::new(self.lists.clone());
        let (link, peer) = (self.link.clone(), Peer::of_request(&request));
        Ok(Response::new(Lists { lists, last: None, link, peer, open: None }))
    }

    async fn get_preferred_allocation(
        &self,
        request: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        let picture = self.letterbox.picture();
        let pool = picture.pools.get(&self.pool).ok_or_else(|| status(self.unknown_pool()))?;
        let containers = request.into_inner().container_requests.into_iter();
        let answer = containers.map(|container| ContainerPreferredAllocationResponse {
            device_ids: preferred(
                pool,
                &container.available_device_ids,
                &container.must_include_device_ids,
                usize::try_from(container.allocation_size).unwrap_or(0),
            ),
        });
        Ok(Response::new(PreferredAllocationResponse { container_responses: answer.collect() }))
    }

    /// Waits for the loop's answer alone: the kubelet sets no deadline, and a pod hangs meanwhile.
    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        let containers = request.into_inner().container_requests.into_iter();
        let containers = containers.map(|container| container.devices_ids).collect();
        let containers = Self::device_ids(&self.nothing_lent(), containers).map_err(status)?;
        let picture = self.letterbox.picture();
        let pool = picture.pools.get(&self.pool).ok_or_else(|| status(self.unknown_pool()))?;
        let asked = containers.len();
        let named_as = |ids: &Vec<DeviceId>| -> Vec<String> {
            ids.iter().map(|id| cdi::full_name(&pool.resource, id)).collect()
        };
        let names = cdi::answers_kubelet(&picture)
            .then(|| containers.iter().map(named_as).collect::<Vec<_>>());
        // Whoever reaches the socket passed the kubelet's directory, which is root's alone.
        let caller = Caller { uid: 0, process: None, bus_name: None, privileged: true };
        let command = Command::KubeletAllocate { pool: self.pool.clone(), containers };
        match self.letterbox.submit(caller, command).await.map_err(status)? {
            Reply::Containers(answers) if answers.len() == asked => {
                let container_responses = match names {
                    Some(names) => names.into_iter().map(named).collect(),
                    None => answers.into_iter().map(container_response).collect(),
                };
                Ok(Response::new(AllocateResponse { container_responses }))
            }
            Reply::Containers(_) | Reply::Done | Reply::Allocated(_) | Reply::Job(_) => {
                Err(status(self.refusal(
                    RefusalKind::Internal,
                    "onloadd's answer does not fit the request",
                    "report this as a fault of onloadd, with its log",
                )))
            }
        }
    }

    /// Answered from the picture alone. What was allocated a moment ago may not be in it yet, so a
    /// refusal waits that moment out.
    async fn pre_start_container(
        &self,
        request: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        let asked = vec![request.into_inner().devices_ids];
        let devices = Self::device_ids(&self.not_started(), asked).map_err(status)?.concat();
        let mut pictures = self.letterbox.watch();
        let allowed = pictures.wait_for(|picture| self.start(picture, &devices).is_ok());
        if !matches!(tokio::time::timeout(PICTURE_LAG, allowed).await, Ok(Ok(_))) {
            self.start(&self.letterbox.picture(), &devices).map_err(status)?;
        }
        Ok(Response::new(PreStartContainerResponse {}))
    }
}

/// One stream of lists, a kubelet's or a stranger's: the present one at once, then each that
/// differs from the last one sent. Ends with the server.
#[derive(Debug)]
pub(super) struct Lists {
    lists: WatchStream<List>,
    last: Option<List>,
    link: Link,
    peer: Peer,
    open: Option<OpenStream>,
}

impl Stream for Lists {
    type Item = Result<ListAndWatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(list) = ready!(Pin::new(&mut self.lists).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            if self.last.as_ref() == Some(&list) {
                continue;
            }
            let devices = list.iter().map(wire_device).collect();
            self.last = Some(list);
            if self.open.is_none() {
                self.open = Some(self.link.open(self.peer));
            }
            return Poll::Ready(Some(Ok(ListAndWatchResponse { devices })));
        }
    }
}

fn wire_device(device: &Advertised) -> Device {
    let health = if device.healthy { HEALTHY } else { UNHEALTHY };
    Device {
        id: device.id.to_string(),
        health: health.to_owned(),
        topology: device
            .numa_node
            .map(|node| TopologyInfo { nodes: vec![NumaNode { id: i64::from(node) }] }),
    }
}

/// The names of devices, and nothing that they stand for: a runtime would do it twice.
fn named(names: Vec<String>) -> ContainerAllocateResponse {
    let cdi_devices = names.into_iter().map(|name| CdiDevice { name }).collect();
    ContainerAllocateResponse { cdi_devices, ..Default::default() }
}

fn container_response(answer: ContainerAnswer) -> ContainerAllocateResponse {
    let node = |path: String| DeviceSpec {
        container_path: path.clone(),
        host_path: path,
        permissions: PERMISSIONS.to_owned(),
    };
    let mount = |(container_path, host_path)| Mount { container_path, host_path, read_only: true };
    ContainerAllocateResponse {
        envs: answer.environment,
        mounts: answer.mounts.into_iter().map(mount).collect(),
        devices: answer.device_nodes.into_iter().map(node).collect(),
        ..Default::default()
    }
}

/// A refusal as the kubelet gets it; the text ends up in the pod's status.
fn status(refusal: Refusal) -> Status {
    Status::new(Code::from_i32(kind(refusal.kind).row().grpc), refusal.to_string())
}
