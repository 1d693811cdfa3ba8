//! The registry of plugins: sockets that appear are asked who they are, and taken; those that vanish
//! are forgotten (`reference/kubelet-api.md` section 9).
//!
//! Nothing in the registry is ever deleted. It is gone through at each turn of the reconciler, not
//! watched with inotify: what a plugin notices is the turn. What is forgotten is forgotten by the
//! name of its resource, in whichever way somebody has registered that meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onloadd::kubelet::watcher_api::registration_client::RegistrationClient;
use onloadd::kubelet::watcher_api::{InfoRequest, PluginInfo, RegistrationStatus};
use tokio::task::JoinHandle;

use super::registration::{dial, is_extended_resource, take};
use super::{API_VERSION, Fault, Kubelet, Node, PluginSeen, RegistrationSeen};

/// Between two turns of the reconciler.
const TURN: Duration = Duration::from_secs(1);
/// How long a plugin may take to say who it is.
const INFO_LIMIT: Duration = Duration::from_secs(1);
/// How long it may take to hear what became of it.
const NOTIFY_LIMIT: Duration = Duration::from_secs(5);
/// After a failure, before the next attempt; doubled by each further one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(122);
/// What device plugins call themselves.
const KIND: &str = "DevicePlugin";

/// A registry that is watched.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    path: PathBuf,
    turn: Duration,
}

impl Kubelet {
    /// Watches a registry of plugins from now on, across restarts too, making it if need be. Fails if
    /// it cannot be made.
    pub fn watch_plugins(&self, registry: impl Into<PathBuf>) -> io::Result<()> {
        self.watch_plugins_each(TURN, registry)
    }

    /// [`Kubelet::watch_plugins`] with another time between two turns than the real one's second.
    pub fn watch_plugins_each(
        &self,
        turn: Duration,
        registry: impl Into<PathBuf>,
    ) -> io::Result<()> {
        let registry = Registry { path: registry.into(), turn };
        fs::create_dir_all(&registry.path)?;
        *self.node.registry() = Some(registry);
        if self.node.seen.borrow().serving {
            let life = *self.node.life.borrow();
            open(&self.node, life);
        }
        Ok(())
    }
}

/// Begins to watch, in place of a former registry.
pub(super) fn open(node: &Arc<Node>, life: u64) {
    let Some(registry) = node.registry().clone() else { return };
    let watching = tokio::spawn(watch(Arc::clone(node), life, registry));
    if let Some(former) = node.process().watcher.replace(watching) {
        former.abort();
    }
}

/// A socket that is there.
struct Found {
    identity: Identity,
    state: State,
}

/// How far the kubelet has come with a socket.
enum State {
    /// To be asked.
    Waiting,
    /// Being asked.
    Asked(Attempt),
    /// Taken, for this resource.
    Taken(String),
}

/// How soon a socket that failed is tried again; known by path, so a new socket there inherits it.
struct BackOff {
    until: Instant,
    pause: Duration,
}

/// An attempt under way; dropping it gives it up.
struct Attempt(JoinHandle<Option<String>>);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Turns until the kubelet ends.
async fn watch(node: Arc<Node>, life: u64, registry: Registry) {
    let mut known: BTreeMap<PathBuf, Found> = BTreeMap::new();
    let mut back_offs: BTreeMap<PathBuf, BackOff> = BTreeMap::new();
    loop {
        for (path, found) in &mut known {
            settle(path, found, &mut back_offs).await;
        }
        let mut sockets = BTreeMap::new();
        collect(&registry.path, &mut sockets);
        let gone = |(path, found): (&PathBuf, &Found)| {
            (sockets.get(path) != Some(&found.identity)).then(|| path.clone())
        };
        for path in known.iter().filter_map(gone).collect::<Vec<_>>() {
            match known.remove(&path).map(|found| found.state) {
                Some(State::Taken(resource)) => forget(&node, &resource).await,
                Some(State::Waiting | State::Asked(_)) | None => {}
            }
        }
        for (path, identity) in sockets {
            let fresh = || Found { identity, state: State::Waiting };
            let found = known.entry(path.clone()).or_insert_with(fresh);
            let held_back = back_offs.get(&path).is_some_and(|one| one.until > Instant::now());
            if matches!(found.state, State::Waiting) && !held_back {
                let attempt = tokio::spawn(attempt(Arc::clone(&node), life, path));
                found.state = State::Asked(Attempt(attempt));
            }
        }
        tokio::time::sleep(registry.turn).await;
    }
}

/// Notes what became of an attempt that has ended.
async fn settle(path: &Path, found: &mut Found, back_offs: &mut BTreeMap<PathBuf, BackOff>) {
    let State::Asked(attempt) = &mut found.state else { return };
    if !attempt.0.is_finished() {
        return;
    }
    found.state = match (&mut attempt.0).await {
        Ok(Some(resource)) => {
            back_offs.remove(path);
            State::Taken(resource)
        }
        Ok(None) | Err(_) => {
            let doubled = |former: BackOff| (former.pause * 2).min(LONGEST_PAUSE);
            let pause = back_offs.remove(path).map_or(SHORTEST_PAUSE, doubled);
            let until = Instant::now() + pause;
            back_offs.insert(path.to_owned(), BackOff { until, pause });
            State::Waiting
        }
    };
}

/// One attempt; the resource, if the plugin was taken. Whatever becomes of it, the plugin is told.
async fn attempt(node: Arc<Node>, life: u64, socket: PathBuf) -> Option<String> {
    let called = Instant::now();
    let limit = node.process().dial_limit;
    let mut info = None;
    let outcome = match dial(&socket, limit).await {
        Err(status) => Err(status.message().to_owned()),
        Ok(channel) => {
            let mut client = RegistrationClient::new(channel);
            let asked = tokio::time::timeout(INFO_LIMIT, client.get_info(InfoRequest {})).await;
            let outcome = match asked {
                Err(_) => Err(format!("it did not say who it is within {INFO_LIMIT:?}")),
                Ok(Err(status)) => Err(format!("it did not say who it is: {status}")),
                Ok(Ok(answer)) => {
                    let said = info.insert(answer.into_inner());
                    let endpoint = match said.endpoint.as_str() {
                        "" => socket.clone(),
                        other => PathBuf::from(other),
                    };
                    accept(&node, life, said, endpoint).await
                }
            };
            let status = RegistrationStatus {
                plugin_registered: outcome.is_ok(),
                error: outcome.clone().err().unwrap_or_default(),
            };
            // A plugin that does not take the word is none the worse for the kubelet.
            let told = client.notify_registration_status(status);
            let _ = tokio::time::timeout(NOTIFY_LIMIT, told).await;
            outcome
        }
    };
    let resource = info.as_ref().filter(|_| outcome.is_ok()).map(|info| info.name.clone());
    node.seen.send_modify(|seen| {
        if let Some(resource) = resource.clone() {
            let endpoint = socket.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let accepted = Instant::now();
            seen.registrations.push(RegistrationSeen { resource, endpoint, called, accepted });
        }
        seen.plugins.push(PluginSeen { socket, info, outcome });
    });
    resource
}

/// Takes a plugin that says so much of itself, or says why not.
async fn accept(
    node: &Arc<Node>,
    life: u64,
    info: &PluginInfo,
    endpoint: PathBuf,
) -> Result<(), String> {
    let PluginInfo { kind, name, supported_versions, .. } = info;
    if kind != KIND {
        return Err(format!("nobody takes plugins of type {kind:?}"));
    }
    if !supported_versions.iter().any(|version| version == API_VERSION) {
        return Err(format!("none of the versions {supported_versions:?} is {API_VERSION}"));
    }
    if !is_extended_resource(name) {
        return Err(format!("the resource name {name:?} is invalid"));
    }
    let mut fault = node.fault.subscribe();
    let fault = fault.wait_for(|fault| *fault != Some(Fault::HangInRegister)).await;
    let fault = fault.expect("the node, which holds the sender, outlives its tasks").clone();
    match fault {
        Some(Fault::RefuseRegister(text)) => Err(text),
        Some(Fault::NeverDialBack) => Ok(()),
        // The last two are of the kubelet's own socket, which nobody needs here.
        None | Some(Fault::HangInRegister | Fault::Garbage | Fault::CloseAtOnce) => {
            let taken = take(node, life, name, endpoint).await;
            taken.map_err(|status| status.message().to_owned())
        }
    }
}

/// A resource has no plugin any more.
async fn forget(node: &Node, resource: &str) {
    let streams = match node.process().endpoint(resource) {
        Some(endpoint) => std::mem::take(&mut endpoint.streams),
        None => return,
    };
    for stream in streams {
        stream.abort();
        let _ = stream.await;
    }
    node.seen.send_modify(|seen| seen.mark_unhealthy(resource));
}

/// A socket, told apart from a later one of the same name: device, inode, change time.
type Identity = (u64, u64, i64, i64);

/// The sockets in a directory and those below it; names that begin with a dot do not count.
fn collect(directory: &Path, sockets: &mut BTreeMap<PathBuf, Identity>) {
    // Not there, or gone meanwhile: nothing is in it.
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_bytes().starts_with(b".") {
            continue;
        }
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            collect(&entry.path(), sockets);
        } else if found.file_type().is_socket() {
            let identity = (found.dev(), found.ino(), found.ctime(), found.ctime_nsec());
            sockets.insert(entry.path(), identity);
        }
    }
}
