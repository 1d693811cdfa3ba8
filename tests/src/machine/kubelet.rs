//! A kubelet as the brain meets it: lists it believes a little late, pods it never takes back.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use onload_core::kubelet::Advertised;
use onload_core::names::{DeviceId, PoolName};

/// The kubelet's memory.
#[derive(Clone, Debug, Default)]
pub struct Kubelet {
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
    pub fn start(&mut self, pod: String, pool: PoolName, devices: Vec<DeviceId>) {
        self.pods.insert(pod, (pool, devices));
    }

    /// A pod ends. The plugin is not told.
    pub fn stop(&mut self, pod: &str) -> bool {
        self.pods.remove(pod).is_some()
    }

    /// Every pod ends.
    pub fn stop_all(&mut self) {
        self.pods.clear();
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
