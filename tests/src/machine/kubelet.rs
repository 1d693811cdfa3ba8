//! A kubelet as the brain meets it: lists it believes a little late, pods it never takes back, and
//! pod-resources that answer, or do not, or show yesterday's pods, or not all of today's.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use onload_core::allocation::PodContainer;
use onload_core::kubelet::Advertised;
use onload_core::names::{DeviceId, PoolName};
use onload_core::pods::{Held, Offered, PodList};

/// How its pod-resources behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Word {
    /// They say what is.
    #[default]
    True,
    /// They do not answer.
    Silent,
    /// They list pods that have ended as well, and new ones not at once (k8s#132020).
    Stale,
    /// They list no pod at all: it has just started.
    Blank,
    /// They list static pods only, which have no device here: it came up cut off from its API server,
    /// and admits nobody. What ran runs on.
    CutOff,
}

/// From the start of a pod until a stale kubelet lists it, and from the end of being cut off until
/// it knows the last of its pods: less than any grace.
const LATE_MS: u64 = 20_000;
/// Between one pod it comes to know and the next.
const APART_MS: u64 = 7_000;

/// The kubelet's memory.
#[derive(Clone, Debug, Default)]
pub struct Kubelet {
    word: Word,
    /// Whether the last question was answered.
    pub answered: bool,
    /// When pods began, on the clock since boot.
    began: BTreeMap<String, u64>,
    /// From when on it knows a pod again that it had lost sight of.
    known_from: BTreeMap<String, u64>,
    /// When an answer last listed a device as anybody's, or a pod began with it.
    listed_at: BTreeMap<DeviceId, u64>,
    /// When an answer last named the device of a running pod as its, or the pod began.
    named: BTreeMap<DeviceId, u64>,
    /// Devices of running pods that answers have named as an ended pod's, and none as theirs.
    misnamed: BTreeSet<DeviceId>,
    /// Pods that have ended.
    ended: BTreeMap<String, (PoolName, Vec<DeviceId>)>,
    /// The list it believes in, by pool; none of a pool it has not heard of.
    lists: BTreeMap<PoolName, Vec<Advertised>>,
    /// What running pods hold.
    pods: BTreeMap<String, (PoolName, Vec<DeviceId>)>,
}

impl Kubelet {
    /// A list has come.
    pub fn believe(&mut self, pool: PoolName, list: Vec<Advertised>) {
        self.lists.insert(pool, list);
    }

    /// It restarts: it knows its pods from its checkpoint, and no plugin.
    pub fn restart(&mut self) {
        self.lists.clear();
    }

    /// How its pod-resources behave.
    pub fn word(&self) -> Word {
        self.word
    }

    /// Its pod-resources behave so from now on. One that was cut off and is no more comes to know
    /// its pods one by one.
    pub fn say_from_now(&mut self, now: u64, word: Word) {
        let former = std::mem::replace(&mut self.word, word);
        if former == Word::CutOff && word != Word::CutOff {
            let at = (0..).map(|number| now + number * APART_MS % LATE_MS);
            self.known_from = self.pods.keys().cloned().zip(at).collect();
        }
    }

    /// What it would give a new pod: devices it believes healthy and no pod of its has. By their
    /// order in the list, or any of them.
    pub fn choose(
        &self,
        pool: &PoolName,
        count: usize,
        random: Option<&mut Rng>,
    ) -> Option<Vec<DeviceId>> {
        let taken: BTreeSet<&DeviceId> = self.pods.values().flat_map(|(_, held)| held).collect();
        let list = self.lists.get(pool).filter(|_| self.word != Word::CutOff)?;
        let mut free: Vec<_> = list
            .iter()
            .filter(|one| one.healthy && !taken.contains(&one.id))
            .map(|one| one.id.clone())
            .collect();
        if let Some(random) = random {
            random.shuffle(&mut free);
        }
        free.truncate(count);
        (free.len() == count && count > 0).then_some(free)
    }

    /// A pod runs with these devices.
    pub fn start(&mut self, now: u64, pod: String, pool: PoolName, devices: Vec<DeviceId>) {
        self.began.insert(pod.clone(), now);
        for device in &devices {
            self.named.insert(device.clone(), now);
            self.listed_at.insert(device.clone(), now);
            self.misnamed.remove(device);
        }
        self.pods.insert(pod, (pool, devices));
    }

    /// A pod ends. The plugin is not told.
    pub fn stop(&mut self, pod: &str) -> bool {
        let former = self.pods.remove_entry(pod);
        let is_one = former.is_some();
        for device in former.iter().flat_map(|(_, (_, devices))| devices) {
            self.named.remove(device);
            self.misnamed.remove(device);
        }
        self.ended.extend(former);
        is_one
    }

    /// Every pod ends.
    pub fn stop_all(&mut self) {
        self.pods.clear();
        self.ended.clear();
        self.known_from.clear();
        self.listed_at.clear();
        self.named.clear();
        self.misnamed.clear();
    }

    /// What its pod-resources answer.
    pub fn say(&mut self, now: u64) -> Result<PodList, String> {
        let is_known = |pod: &String| self.known_from.get(pod).is_none_or(|from| *from <= now);
        let running = self.pods.iter().filter(|(pod, _)| is_known(pod));
        let listed: Vec<_> = match self.word {
            Word::Silent => return Err("nobody answers".to_owned()),
            Word::Blank => return Ok(PodList::default()),
            Word::CutOff => Vec::new(),
            Word::True => running.collect(),
            Word::Stale => {
                let old = running.filter(|(pod, _)| self.began[*pod] + LATE_MS <= now);
                self.ended.iter().chain(old).collect()
            }
        };
        let mut held = Vec::new();
        for (pod, (pool, devices)) in &listed {
            // One entry for each device, as on a node where each has a NUMA node of its own.
            for device in listed_devices(pod, devices) {
                held.push(Held {
                    container: container(pod),
                    resource: format!("amd.com/{pool}"),
                    devices: vec![device.to_string()],
                });
                self.listed_at.insert(device.clone(), now);
                let is_its = self.pods.get(*pod).is_some_and(|(_, its)| its.contains(device));
                match self.named.get_mut(device) {
                    Some(named) if is_its => *named = now,
                    Some(_) => {
                        self.misnamed.insert(device.clone());
                    }
                    None => {}
                }
            }
        }
        // There is always a pod of the node's own.
        let offered = self.lists.iter().map(|(pool, list)| Offered {
            resource: format!("amd.com/{pool}"),
            devices: list.iter().filter(|one| one.healthy).map(|one| one.id.to_string()).collect(),
        });
        Ok(PodList { pods: listed.len() + 1, held, offered: Some(offered.collect()) })
    }

    /// Since when no answer has named the device of a running pod. None: no running pod has it, or
    /// answers have named it as an ended pod's, which nobody can see through.
    pub fn unnamed_since(&self, device: &DeviceId) -> Option<u64> {
        self.named.get(device).copied().filter(|_| !self.misnamed.contains(device))
    }

    /// When an answer last listed the device, or a pod began with it; at the beginning of the boot if
    /// never.
    pub fn listed_at(&self, device: &DeviceId) -> u64 {
        self.listed_at.get(device).copied().unwrap_or(0)
    }

    /// Whether a running pod has the device.
    pub fn has(&self, device: &DeviceId) -> bool {
        self.named.contains_key(device)
    }

    /// Devices that running pods have and that are listed, with the pod's name.
    pub fn listed(&self) -> impl Iterator<Item = (&DeviceId, &String)> {
        self.pods.iter().flat_map(|(pod, (_, devices))| {
            listed_devices(pod, devices).map(move |device| (device, pod))
        })
    }

    /// Pods that run, and what they hold.
    pub fn pods(&self) -> &BTreeMap<String, (PoolName, Vec<DeviceId>)> {
        &self.pods
    }

    /// Pools it has a list of.
    pub fn pools(&self) -> impl Iterator<Item = &PoolName> {
        self.lists.keys()
    }
}

/// The only container of a pod.
pub fn container(pod: &str) -> PodContainer {
    PodContainer::new("default".to_owned(), pod.to_owned(), "app".to_owned()).unwrap()
}

/// The devices that containers have which are listed. Ordinary init containers are not: a pod called
/// `init…` has devices for one only, one called `mixed…` all but the first.
fn listed_devices<'a>(pod: &str, devices: &'a [DeviceId]) -> impl Iterator<Item = &'a DeviceId> {
    let count = match pod {
        _ if pod.starts_with("init") => 0,
        _ if pod.starts_with("mixed") => 1,
        _ => devices.len(),
    };
    devices.iter().take(count)
}
