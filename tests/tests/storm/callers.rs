//! Who calls the daemon in a storm: a hundred pods through the kubelet, a hundred over connections
//! of their own, and local programs. Each notes what it was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use onload_dbus::proxies::ManagerProxy;
use onload_tests::kubelet::{Kubelet, Rejected};
use onloadd::kubelet::api::device_plugin_client::DevicePluginClient;
use onloadd::kubelet::api::{AllocateRequest, ContainerAllocateRequest};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};
use zbus::Variant;
use zbus::connection::Builder;

use super::history::{Asked, At, Fact, History};
use super::{RESOURCE, SLOTS};

/// For one answer, on a machine that is busy; the kubelet itself would wait for ever.
const ANSWER: Duration = Duration::from_secs(10);
/// Devices of one pod.
const MOST_DEVICES: usize = 4;
/// Pods that one caller keeps.
const MOST_PODS: usize = 3;
/// Devices that one local program keeps.
const MOST_LENT: usize = 14;
/// What a caller waits between two calls, in milliseconds, unless all are told to call at once.
const PAUSE: std::ops::Range<u64> = 20..300;

/// What all callers share.
#[derive(Debug)]
pub struct Shared {
    pub history: History,
    pub kubelet: Kubelet,
    /// Everybody calls now.
    pub burst: Notify,
    pub stop: AtomicBool,
    /// Pods beside the kubelet's own, numbered from [`APART`].
    pub apart: Mutex<Apart>,
}

/// The first number of a pod whose Allocate did not come through the stand-in.
const APART: u64 = 1_000_000;

/// The book of those who call over their own connections: together they are one kubelet, so none
/// asks for what another has.
#[derive(Debug)]
pub struct Apart {
    free: BTreeSet<String>,
    held: BTreeMap<u64, Vec<String>>,
    next: u64,
}

impl Apart {
    /// Three devices of five, from one end of the list to the other. The daemon cannot know when a
    /// pod of theirs has ended, so what they had once stays a container's: local programs need some
    /// that are never asked for.
    pub fn new() -> Self {
        let slots = (0..SLOTS).filter(|slot| slot % 5 < 3);
        let free = slots.map(|slot| format!("onload-{slot}")).collect();
        Self { free, held: BTreeMap::new(), next: APART }
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn pause(&self, random: &mut Rng) {
        let _ = timeout(Duration::from_millis(random.u64(PAUSE)), self.burst.notified()).await;
    }

    fn end(&self, pod: u64) {
        self.history.note(Fact::PodEnded { at: self.history.now(), pod });
    }

    /// An Allocate that gave no devices.
    fn without(&self, asked: At, devices: Asked, status: Option<&Status>) {
        let span = self.history.since(asked);
        // What the daemon itself says gives a reason; an error of the connection does not.
        let refusal = status.filter(|status| status.message().contains("why: "));
        self.history.note(match refusal {
            Some(status) => {
                let (code, text) = (i32::from(status.code()), status.message().to_owned());
                Fact::PodRefused { span, code, text }
            }
            None => Fact::PodInDoubt { span, devices },
        });
    }

    /// Ends all pods that go by the book of their own.
    pub async fn end_apart(&self) {
        let held = std::mem::take(&mut self.apart.lock().await.held);
        for (pod, devices) in held {
            self.end(pod);
            self.apart.lock().await.free.extend(devices);
        }
    }
}

/// Pods come and go through the stand-in; half of them with devices that a list may have taken from
/// it since.
pub async fn admit(shared: Arc<Shared>, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut pods: Vec<(u64, Vec<String>)> = Vec::new();
    while shared.goes_on() {
        shared.pause(&mut random).await;
        if pods.len() == MOST_PODS || (!pods.is_empty() && random.u8(..5) == 0) {
            let (pod, devices) = pods.swap_remove(random.usize(..pods.len()));
            shared.end(pod);
            shared.kubelet.release(RESOURCE, &devices);
            continue;
        }
        let count = random.usize(1..=MOST_DEVICES);
        let chosen = random.bool().then(|| choice(&shared.kubelet, count, &mut random));
        if chosen.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let asked = shared.history.now();
        let call = async {
            match &chosen {
                Some(ids) => shared.kubelet.allocate_ids(RESOURCE, ids).await,
                None => shared.kubelet.allocate(RESOURCE, count).await,
            }
        };
        let Ok(answer) = timeout(ANSWER, call).await else {
            let devices = chosen.map_or(Asked::SoMany(count), Asked::These);
            shared.history.note(Fact::Unanswered { asked, devices });
            continue;
        };
        match answer {
            Ok(holding) => {
                let span = shared.history.since(asked);
                let (pod, devices) = (holding.pod, holding.ids);
                shared.history.note(Fact::PodGranted { span, pod, devices: devices.clone() });
                pods.push((pod, devices));
            }
            // The daemon was not asked.
            Err(Rejected::Unregistered | Rejected::TooFew { .. } | Rejected::Held(_)) => {}
            Err(error @ (Rejected::EmptyAnswer | Rejected::Plugin(_) | Rejected::Stopped)) => {
                let devices = chosen.map_or(Asked::SoMany(count), Asked::These);
                shared.without(asked, devices, error.status());
            }
        }
    }
}

/// Any devices that no pod has and that were healthy in the last list.
fn choice(kubelet: &Kubelet, count: usize, random: &mut Rng) -> Vec<String> {
    let seen = kubelet.seen();
    let devices = seen.devices(RESOURCE).iter();
    let held: BTreeSet<_> = seen.held.iter().flat_map(|held| &held.ids).collect();
    let free = devices.filter(|(id, device)| device.is_healthy() && !held.contains(id));
    random.choose_multiple(free.map(|(id, _)| id.clone()), count)
}

/// Pods come and go over a connection of their own to the plugin's socket, with any devices that the
/// book has free, whatever the lists say: local programs have some of them.
pub async fn call(shared: Arc<Shared>, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut client = None;
    let mut pods = Vec::new();
    while shared.goes_on() {
        shared.pause(&mut random).await;
        if pods.len() == MOST_PODS || (!pods.is_empty() && random.u8(..5) == 0) {
            let pod = pods.swap_remove(random.usize(..pods.len()));
            shared.end(pod);
            let mut book = shared.apart.lock().await;
            let devices = book.held.remove(&pod).unwrap();
            book.free.extend(devices);
            continue;
        }
        let Some(mut plugin) = (match client.take() {
            None => connect(&shared.kubelet).await,
            some => some,
        }) else {
            continue;
        };
        let devices = {
            let mut book = shared.apart.lock().await;
            let count = random.usize(1..=MOST_DEVICES);
            let devices = random.choose_multiple(book.free.iter().cloned(), count);
            book.free.retain(|id| !devices.contains(id));
            devices
        };
        if devices.is_empty() {
            client = Some(plugin);
            continue;
        }
        let asked = shared.history.now();
        let answer = timeout(ANSWER, plugin.allocate(request(&devices))).await;
        let mut book = shared.apart.lock().await;
        match answer {
            Ok(Ok(answer)) => {
                assert_eq!(answer.into_inner().container_responses.len(), 1);
                let span = shared.history.since(asked);
                let pod = book.next;
                book.next += 1;
                book.held.insert(pod, devices.clone());
                pods.push(pod);
                shared.history.note(Fact::PodGranted { span, pod, devices });
                client = Some(plugin);
            }
            Ok(Err(status)) => {
                book.free.extend(devices.iter().cloned());
                shared.without(asked, Asked::These(devices), Some(&status));
                let refused = status.message().contains("why: ");
                client = refused.then_some(plugin);
            }
            Err(_) => {
                shared.history.note(Fact::Unanswered { asked, devices: Asked::These(devices) })
            }
        }
    }
}

/// Where the pool's plugin serves now; none while it does not.
async fn connect(kubelet: &Kubelet) -> Option<DevicePluginClient<Channel>> {
    let endpoint = kubelet.seen().registrations.last()?.endpoint.clone();
    let socket: PathBuf = kubelet.dir().join(endpoint);
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display())).unwrap();
    let endpoint = endpoint.origin(Uri::from_static("http://localhost"));
    Some(DevicePluginClient::new(endpoint.connect().await.ok()?))
}

fn request(ids: &[String]) -> AllocateRequest {
    AllocateRequest {
        container_requests: vec![ContainerAllocateRequest { devices_ids: ids.to_vec() }],
    }
}

/// A local program borrows and gives back.
pub async fn borrow(shared: Arc<Shared>, address: String, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let manager = manager(&address).await;
    let mut mine: Vec<String> = Vec::new();
    while shared.goes_on() {
        sleep(Duration::from_millis(random.u64(1..30))).await;
        let asked = shared.history.now();
        if mine.len() >= MOST_LENT || (!mine.is_empty() && random.u8(..5) < 2) {
            let id = mine.swap_remove(random.usize(..mine.len()));
            let heard = manager.free(&id, HashMap::new()).await.is_ok();
            shared.history.note(Fact::LocalFreed { span: shared.history.since(asked), id, heard });
            continue;
        }
        let tenure = Variant::from("persistent");
        match manager.allocate("onload", 1, HashMap::from([("Tenure", &tenure)])).await {
            Ok(lent) => {
                let span = shared.history.since(asked);
                for (path, device) in lent {
                    let id = path.as_str().rsplit('/').next().unwrap().to_owned();
                    mine.push(id.clone());
                    shared.history.note(Fact::LocalGranted { span, id, device });
                }
            }
            Err(zbus::Error::MethodError(name, ..)) if is_certain(&name) => {}
            Err(_) => shared.history.note(Fact::LocalInDoubt { asked }),
        }
    }
}

/// Gives back what local programs have left.
pub async fn give_back(address: String, ids: Vec<String>) {
    let manager = manager(&address).await;
    for id in ids {
        manager.free(&id, HashMap::new()).await.unwrap();
    }
}

async fn manager(address: &str) -> ManagerProxy<'static> {
    let connection = Builder::address(address).method_timeout(ANSWER).build().await.unwrap();
    ManagerProxy::new(&connection).await.unwrap()
}

/// Whether nothing was lent for sure: the daemon has said so, or was not there to hear.
fn is_certain(error: &str) -> bool {
    error.starts_with("com.amd.Onload1.")
        || error == "org.freedesktop.DBus.Error.ServiceUnknown"
        || error == "org.freedesktop.DBus.Error.NameHasNoOwner"
}
