//! The kubelet's pod-resources: what its pods have, told to whoever asks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use onloadd::kubelet::pods_api::pod_resources_lister_server::{
    PodResourcesLister, PodResourcesListerServer,
};
use onloadd::kubelet::pods_api::{
    AllocatableResourcesRequest, AllocatableResourcesResponse, ContainerDevices,
    ContainerResources, GetPodResourcesRequest, GetPodResourcesResponse, ListPodResourcesRequest,
    ListPodResourcesResponse, PodResources,
};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Holding, Kubelet, Node, Seen};

/// What pod-resources do wrong from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodsFault {
    /// The socket is not there, as where the kubelet is too old or not allowed to make it.
    Absent,
    /// Questions are not answered.
    Hang,
    /// Questions are answered with an error of this text.
    Refuse(String),
    /// No pod is listed: the kubelet has just started and not reached its API server.
    Blank,
    /// What there is to be had is not said, as by kubelets that do not know the question.
    NotAllocatable,
    /// Only a static pod is listed, which has no device: the kubelet came up cut off from its API
    /// server.
    CutOff,
}

/// The name of a pod, by number of admission.
pub fn pod_name(pod: u64) -> String {
    format!("pod-{pod}")
}

impl Kubelet {
    /// The pod-resources socket: beside the device plugin directory.
    pub fn pods_socket(&self) -> PathBuf {
        self.node.pods_socket()
    }

    /// Pod-resources misbehave from now on; `None` ends it. A fault stays across restarts. Fails if
    /// the socket cannot be made or removed.
    pub async fn set_pods_fault(&self, fault: Option<PodsFault>) -> io::Result<()> {
        self.node.pods_fault.send_replace(fault);
        let former = self.node.process().pods.take();
        if let Some(former) = former {
            former.abort();
            let _ = former.await;
        }
        let socket = self.node.pods_socket();
        if socket.exists() {
            fs::remove_file(socket)?;
        }
        if self.node.seen.borrow().serving {
            let pods = open(&self.node)?;
            self.node.process().pods = pods;
        }
        Ok(())
    }
}

impl Node {
    pub(super) fn pods_socket(&self) -> PathBuf {
        self.dir.with_file_name("pod-resources").join("kubelet.sock")
    }
}

/// Makes the directory and serves the socket in it, in place of a former kubelet's.
pub(super) fn open(node: &Arc<Node>) -> io::Result<Option<JoinHandle<()>>> {
    if *node.pods_fault.borrow() == Some(PodsFault::Absent) {
        return Ok(None);
    }
    let socket = node.pods_socket();
    fs::create_dir_all(socket.with_file_name(""))?;
    if socket.exists() {
        fs::remove_file(&socket)?;
    }
    let incoming = UnixListenerStream::new(UnixListener::bind(socket)?);
    let lister = PodResourcesListerServer::new(Lister(Arc::clone(node)));
    Ok(Some(tokio::spawn(async move {
        let _ = Server::builder().serve_with_incoming(lister, incoming).await;
    })))
}

/// The service.
#[derive(Debug)]
struct Lister(Arc<Node>);

impl Lister {
    /// All pods, unless there is a fault.
    async fn pods(&self) -> Result<Vec<PodResources>, Status> {
        self.0.seen.send_modify(|seen| seen.pod_questions += 1);
        let mut faults = self.0.pods_fault.subscribe();
        let fault = faults.borrow_and_update().clone();
        match fault {
            None | Some(PodsFault::NotAllocatable) => Ok(pods(&self.0.seen.borrow())),
            Some(PodsFault::Blank) => Ok(Vec::new()),
            Some(PodsFault::CutOff) => Ok(vec![own()]),
            Some(PodsFault::Refuse(text)) => Err(Status::unknown(text)),
            Some(PodsFault::Hang | PodsFault::Absent) => {
                let _ = faults.changed().await;
                Err(Status::unavailable("too late"))
            }
        }
    }
}

#[tonic::async_trait]
impl PodResourcesLister for Lister {
    async fn list(
        &self,
        _: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        Ok(Response::new(ListPodResourcesResponse { pod_resources: self.pods().await? }))
    }

    async fn get_allocatable_resources(
        &self,
        _: Request<AllocatableResourcesRequest>,
    ) -> Result<Response<AllocatableResourcesResponse>, Status> {
        if *self.0.pods_fault.borrow() == Some(PodsFault::NotAllocatable) {
            return Err(Status::unimplemented("unknown method GetAllocatableResources"));
        }
        let seen = self.0.seen.borrow();
        let resources = seen.resources.keys();
        let devices = resources.flat_map(|resource| {
            let healthy = seen.devices(resource).iter().filter(|(_, device)| device.is_healthy());
            by_node(&seen, resource, healthy.map(|(id, _)| id))
        });
        Ok(Response::new(AllocatableResourcesResponse { devices: devices.collect() }))
    }

    async fn get(
        &self,
        request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        let wanted = request.into_inner();
        let is_it = |pod: &PodResources| {
            (&pod.name, &pod.namespace) == (&wanted.pod_name, &wanted.pod_namespace)
        };
        match self.pods().await?.into_iter().find(is_it) {
            Some(pod) => Ok(Response::new(GetPodResourcesResponse { pod_resources: Some(pod) })),
            None => Err(Status::unknown("pod not found")),
        }
    }
}

/// A static pod of the node's own, which has no device.
fn own() -> PodResources {
    PodResources {
        name: "kube-proxy".to_owned(),
        namespace: "kube-system".to_owned(),
        containers: vec![ContainerResources { name: "kube-proxy".to_owned(), devices: Vec::new() }],
    }
}

/// Pods that are admitted, and one of the node's own.
fn pods(seen: &Seen) -> Vec<PodResources> {
    let admitted = seen.finished.iter().chain(&seen.held).filter(|held| held.admitted);
    let pod = |held: &Holding| PodResources {
        name: pod_name(held.pod),
        namespace: "default".to_owned(),
        containers: vec![ContainerResources {
            name: "app".to_owned(),
            devices: by_node(seen, &held.resource, held.ids.iter().filter(|_| !held.init)),
        }],
    };
    std::iter::once(own()).chain(admitted.map(pod)).collect()
}

/// One entry for each NUMA node, as the kubelet makes them.
fn by_node<'a>(
    seen: &Seen,
    resource: &str,
    ids: impl Iterator<Item = &'a String>,
) -> Vec<ContainerDevices> {
    let mut nodes: BTreeMap<Option<i64>, Vec<String>> = BTreeMap::new();
    for id in ids {
        let node = seen.devices(resource).get(id).and_then(|device| device.numa.first().copied());
        nodes.entry(node).or_default().push(id.clone());
    }
    let entry = |device_ids| ContainerDevices { resource_name: resource.to_owned(), device_ids };
    nodes.into_values().map(entry).collect()
}
