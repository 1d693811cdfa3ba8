//! What containers hold, as the kubelet's pod-resources say it: plain facts, not yet compared with
//! the ledger. The reconciler does that (`reconcile/pods.rs`).

use crate::allocation::PodContainer;

/// One answer of the kubelet's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodList {
    /// How many pods it lists, with devices or without.
    pub pods: usize,
    /// What their containers hold.
    pub held: Vec<Held>,
    /// What it can give to pods, held or not, of all plugins. None: it does not say.
    pub offered: Option<Vec<Offered>>,
}

/// Devices of one resource that the kubelet can give to pods. A resource can come several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The resource, of whichever plugin.
    pub resource: String,
    /// Ids of devices.
    pub devices: Vec<String>,
}

/// Devices of one resource that a container holds. A resource can come several times for one
/// container, once for each NUMA node (reference/kubelet-api.md section 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The container.
    pub container: PodContainer,
    /// The resource, of whichever plugin.
    pub resource: String,
    /// Ids of devices.
    pub devices: Vec<String>,
}

/// The longest name of Kubernetes: that of a pod is a DNS subdomain.
const LONGEST_NAME: usize = 253;

impl PodContainer {
    /// A container by the names the kubelet gives. None: they are no names of Kubernetes, and
    /// nothing that should get into a ledger or on a terminal.
    pub fn new(namespace: String, pod: String, container: String) -> Option<Self> {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        let sound =
            |name: &String| (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(plain);
        let all = [&namespace, &pod, &container].into_iter().all(sound);
        all.then_some(Self { namespace, pod, container })
    }
}
