//! A stand-in for the kubelet: the device manager as a plugin meets it, over real gRPC.
//!
//! It owns a device plugin directory and behaves as `reference/kubelet-api.md` sections 3 to 7 say
//! the real one does, the unkind parts included: it deletes every socket when it starts, dials
//! back before it answers Register, takes the end of a stream for the death of all devices, never
//! dials again and never says that a pod has ended. On top of that it can be told to misbehave.
//!
//! Beside that directory it serves pod-resources from the same memory, and if it is told to, it
//! watches a registry of plugins.
//!
//! It leaves out what a plugin cannot notice: the API server, the five minutes after which a
//! resource is dropped, and the checkpoint as a file (what it would hold is kept in memory, across
//! restarts).

mod admission;
mod checkpoint;
mod door;
mod pods;
mod registration;
mod seen;
mod watcher;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use onloadd::kubelet::api::DevicePluginOptions;
use onloadd::kubelet::api::device_plugin_client::DevicePluginClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

pub use admission::{Rejected, oversized_request};
pub use checkpoint::{Unfit, resolve};
pub use pods::{PodsFault, pod_name};
pub use seen::{
    DeviceSeen, Devices, Holding, Late, ListSeen, PluginSeen, RegistrationSeen, Seen, healthy,
};

use door::Door;
use watcher::Registry;

/// The version every plugin must register with.
pub const API_VERSION: &str = "v1beta1";
/// The name of the kubelet's own socket in the device plugin directory.
pub const KUBELET_SOCKET: &str = "kubelet.sock";
/// The health of a device that may be chosen; every other word means it may not.
pub const HEALTHY: &str = "Healthy";

/// How long Register tries to reach a plugin; the real kubelet's limit.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// What the kubelet does wrong from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Register answers with an error of this text; a plugin found in the registry is told it.
    RefuseRegister(String),
    /// Register does not answer; when the fault is lifted, it goes on as if nothing had happened.
    HangInRegister,
    /// Register answers that all is well, or a plugin that was found is told so, and nothing follows.
    NeverDialBack,
    /// Whoever connects gets bytes that are no HTTP/2, and no end of the connection.
    Garbage,
    /// Whoever connects is disconnected.
    CloseAtOnce,
}

/// A kubelet on one device plugin directory. Dropping it is its sudden death.
#[derive(Debug)]
pub struct Kubelet {
    node: Arc<Node>,
}

/// What outlives a restart of the kubelet, and what its tasks share.
#[derive(Debug)]
struct Node {
    dir: PathBuf,
    seen: watch::Sender<Seen>,
    fault: watch::Sender<Option<Fault>>,
    pods_fault: watch::Sender<Option<PodsFault>>,
    /// Counts starts and stops; work begun in one life must not reach into the next.
    life: watch::Sender<u64>,
    /// The registry of plugins, where one is watched.
    registry: Mutex<Option<Registry>>,
    process: Mutex<Process>,
}

/// What dies with the kubelet's process.
#[derive(Debug)]
struct Process {
    door: Option<Door>,
    /// Serves pod-resources.
    pods: Option<JoinHandle<()>>,
    /// Watches the registry of plugins.
    watcher: Option<JoinHandle<()>>,
    endpoints: Vec<PluginEndpoint>,
    dial_limit: Duration,
}

/// A plugin that has registered. The newest for a resource is the one that counts.
#[derive(Debug)]
struct PluginEndpoint {
    resource: String,
    socket: PathBuf,
    client: DevicePluginClient<Channel>,
    options: DevicePluginOptions,
    /// Every stream opened to a plugin of this resource, the streams to its predecessors included:
    /// the kubelet reads a stream until it ends, even when a newer registration has come.
    streams: Vec<JoinHandle<()>>,
}

impl Kubelet {
    /// Starts a kubelet on `dir`, the device plugin directory, making it if need be. Fails if the
    /// directory cannot be made or the socket not be bound.
    pub async fn start(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let process = Process {
            door: None,
            pods: None,
            watcher: None,
            endpoints: Vec::new(),
            dial_limit: DIAL_LIMIT,
        };
        let node = Node {
            dir: dir.into(),
            seen: watch::Sender::new(Seen::default()),
            fault: watch::Sender::new(None),
            pods_fault: watch::Sender::new(None),
            life: watch::Sender::new(0),
            registry: Mutex::new(None),
            process: Mutex::new(process),
        };
        let kubelet = Self { node: Arc::new(node) };
        kubelet.restart().await?;
        Ok(kubelet)
    }

    /// The device plugin directory.
    pub fn dir(&self) -> &Path {
        &self.node.dir
    }

    /// Ends the kubelet as if its process had died: all connections are cut, the socket's file
    /// stays, calls under way fail.
    pub async fn stop(&self) {
        for stream in self.node.die() {
            // Awaited so that the plugin's side of the stream is gone when this returns.
            let _ = stream.await;
        }
    }

    /// Starts the kubelet anew, ending it first if it runs: deletes all sockets in the directory,
    /// then serves. Returns the moment from which on plugins can register. What pods hold is still
    /// known, the plugins are not. Fails as [`Kubelet::start`] does.
    pub async fn restart(&self) -> io::Result<Instant> {
        self.stop().await;
        fs::create_dir_all(&self.node.dir)?;
        delete_sockets(&self.node.dir)?;
        let life = self.node.next_life();
        let door = door::open(&self.node, life)?;
        let ready = Instant::now();
        let pods = pods::open(&self.node)?;
        self.node.process().pods = pods;
        self.node.process().door = Some(door);
        self.node.seen.send_modify(|seen| seen.serving = true);
        watcher::open(&self.node, life);
        Ok(ready)
    }

    /// Misbehaves from now on in the given way; `None` ends it. A fault stays across restarts.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.node.fault.send_replace(fault);
    }

    /// How long Register tries to reach a plugin's socket; 10 seconds unless set.
    pub fn set_dial_limit(&self, limit: Duration) {
        self.node.process().dial_limit = limit;
    }

    /// Ends the ListAndWatch streams of a resource from this side. As ever, its devices become
    /// unhealthy and the kubelet does not come back by itself.
    pub async fn cut_list(&self, resource: &str) {
        let streams = match self.node.process().endpoint(resource) {
            Some(endpoint) => std::mem::take(&mut endpoint.streams),
            None => return,
        };
        for stream in streams {
            stream.abort();
            let _ = stream.await;
        }
        self.node.seen.send_modify(|seen| seen.mark_unhealthy(resource));
    }

    /// Everything seen up to now.
    pub fn seen(&self) -> Seen {
        self.node.seen.borrow().clone()
    }

    /// The devices of a resource as last listed; none if no plugin has registered it.
    pub fn devices(&self, resource: &str) -> Devices {
        self.node.seen.borrow().devices(resource).clone()
    }

    /// Waits until the devices of a resource are as asked, and returns them.
    pub async fn wait_for(
        &self,
        resource: &str,
        limit: Duration,
        mut predicate: impl FnMut(&Devices) -> bool,
    ) -> Result<Devices, Late> {
        let what = format!("the devices of {resource}");
        let seen = self.wait_until(&what, limit, |seen| predicate(seen.devices(resource))).await?;
        Ok(seen.devices(resource).clone())
    }

    /// Waits until what was seen is as asked, and returns it. `what` is for the error's text.
    pub async fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        predicate: impl FnMut(&Seen) -> bool,
    ) -> Result<Seen, Late> {
        let mut changes = self.node.seen.subscribe();
        let reached = async {
            let seen = changes.wait_for(predicate).await.expect("the sender lives as long as self");
            seen.clone()
        };
        match tokio::time::timeout(limit, reached).await {
            Ok(seen) => Ok(seen),
            Err(_) => Err(Late { what: what.to_owned(), limit, last: Box::new(self.seen()) }),
        }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.node.die();
    }
}

impl Node {
    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().expect("no task panics while it holds the process")
    }

    fn registry(&self) -> MutexGuard<'_, Option<Registry>> {
        self.registry.lock().expect("no task panics while it holds the registry")
    }

    fn next_life(&self) -> u64 {
        self.life.send_modify(|life| *life += 1);
        *self.life.borrow()
    }

    /// Ends everything that belongs to the process; the returned tasks are about to end.
    fn die(&self) -> Vec<JoinHandle<()>> {
        self.next_life();
        let (door, pods, watcher, endpoints) = {
            let mut process = self.process();
            let endpoints = std::mem::take(&mut process.endpoints);
            (process.door.take(), process.pods.take(), process.watcher.take(), endpoints)
        };
        let mut ending: Vec<JoinHandle<()>> =
            door.map(Door::close).into_iter().chain(pods).chain(watcher).collect();
        ending.extend(endpoints.into_iter().flat_map(|endpoint| endpoint.streams));
        ending.iter().for_each(JoinHandle::abort);
        self.seen.send_modify(|seen| {
            seen.serving = false;
            seen.resources.clear();
        });
        ending
    }
}

impl Process {
    /// The plugin that counts for a resource.
    fn endpoint(&mut self, resource: &str) -> Option<&mut PluginEndpoint> {
        self.endpoints.iter_mut().find(|endpoint| endpoint.resource == resource)
    }
}

/// Deletes all sockets in a directory, and nothing else, as kubelets do when they start.
fn delete_sockets(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
