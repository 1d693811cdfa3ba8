//! The plugin edge against the kubelet stand-in: either starts first, either may die, and whatever
//! the kubelet does wrong, the pool is registered again in the end.

// Test code: a broken assumption must stop the test where it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use onload_tests::kubelet::Devices;
use onload_tests::kubelet::Kubelet;

mod calls;
mod lists;
mod node;
mod place;
mod registration;
mod starts;
mod strangers;
mod watcher;

use node::{Node, POOL, RESOURCE, SOON};

/// A kubelet and an edge that is registered with it.
async fn registered() -> (Node, Kubelet) {
    let mut node = Node::new();
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    node.start().await;
    node.wait_announced(POOL, &[true]).await;
    listed(&kubelet, 3, 0).await;
    (node, kubelet)
}

/// Waits until so many devices are healthy and so many are not.
async fn listed(kubelet: &Kubelet, healthy: usize, unhealthy: usize) -> Devices {
    let as_asked = |devices: &Devices| {
        let well = devices.values().filter(|device| device.is_healthy()).count();
        (well, devices.len() - well) == (healthy, unhealthy)
    };
    kubelet.wait_for(RESOURCE, SOON, as_asked).await.unwrap()
}
