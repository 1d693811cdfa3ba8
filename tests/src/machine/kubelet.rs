//! A kubelet as the brain meets it: lists it believes a little late, pods it never takes back, and
//! pod-resources that answer, or do not, or show yesterday's pods.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use onload_core::allocation::PodContainer;
use onload_core::kubelet::Advertised;
use onload_core::names::{DeviceId, PoolName};
use onload_core::pods::{Held, PodList};

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
}

/// From the start of a pod until a stale kubelet lists it: less than any grace.
const LATE_MS: u64 = 20_000;

/// The kubelet's memory.
#[derive(Clone, Debug, Default)]
pub struct Kubelet {
    /// How its pod-resources behave.
    pub word: Word,
    /// Whether the last question was answered.
    pub answered: bool,
    /// When pods began, on the clock since boot.
    began: BTreeMap<String, u64>,
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

    /// What it would give a new pod: devices it believes healthy and no pod of its has. By their
    /// order in the list, or any of them.
    pub fn choose(
        &self,
        pool: &PoolName,
        count: usize,
        random: Option<&mut Rng>,
    ) -> Option<Vec<DeviceId>> {
        let taken: BTreeSet<&DeviceId> = self.pods.values().flat_map(|(_, held)| held).collect();
        let list = self.lists.get(pool)?;
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
        self.pods.insert(pod, (pool, devices));
    }

    /// A pod ends. The plugin is not told.
    pub fn stop(&mut self, pod: &str) -> bool {
        let former = self.pods.remove_entry(pod);
        let is_one = former.is_some();
        self.ended.extend(former);
        is_one
    }

    /// Every pod ends.
    pub fn stop_all(&mut self) {
        self.pods.clear();
        self.ended.clear();
    }

    /// What its pod-resources answer.
    pub fn say(&self, now: u64) -> Result<PodList, String> {
        let listed: Vec<_> = match self.word {
            Word::Silent => return Err("nobody answers".to_owned()),
            Word::Blank => return Ok(PodList::default()),
            Word::True => self.pods.iter().collect(),
            Word::Stale => {
                let old = self.pods.iter().filter(|(pod, _)| self.began[*pod] + LATE_MS <= now);
                self.ended.iter().chain(old).collect()
            }
        };
        let held = listed.iter().flat_map(|(pod, (pool, devices))| {
            // One entry for each device, as on a node where each has a NUMA node of its own.
            devices.iter().map(move |device| Held {
                container: container(pod),
                resource: format!("amd.com/{pool}"),
                devices: vec![device.to_string()],
            })
        });
        // There is always a pod of the node's own.
        Ok(PodList { pods: listed.len() + 1, held: held.collect() })
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
