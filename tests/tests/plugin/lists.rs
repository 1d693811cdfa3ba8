//! What the kubelet is shown, and when.

use std::time::Instant;

use onload_core::names::AllocationId;
use onload_core::picture::Device;
use onload_core::picture::Lent;
use onload_core::pool::Cause;
use onload_tests::kubelet::Fault;
use onload_tests::kubelet::Kubelet;
use onload_tests::kubelet::Rejected;

use crate::node::{A_WHILE, Node, POOL, RESOURCE, SOON, device, three_devices};
use crate::{listed, registered};

#[tokio::test]
async fn lists_are_pushed_on_change_and_only_then() {
    let (mut node, kubelet) = registered().await;
    let lists = || kubelet.seen().lists(RESOURCE).len();
    assert_eq!(lists(), 1);
    let change = |at: usize, change: fn(&mut Device)| {
        let mut devices = three_devices();
        change(&mut devices[at]);
        devices
    };

    node.publish();
    // As many devices, equal ones, in another place in memory; and held by a container.
    node.show(POOL, three_devices());
    node.show(POOL, change(0, |device| device.lent = Lent::Container(AllocationId(1))));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(lists(), 1, "nothing that the kubelet is shown has changed");

    let withdrawn = Instant::now();
    node.show(POOL, change(2, |device| device.lent = Lent::Withdrawn));
    let devices = listed(&kubelet, 2, 1).await;
    assert!(!devices["onload-2"].is_healthy());
    println!("withdrawn to listed: {:?}", kubelet.seen().lists(RESOURCE)[1].at - withdrawn);
    node.show(POOL, change(2, |device| device.lent = Lent::Local(AllocationId(2))));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(lists(), 2, "lent as announced");

    node.show(POOL, change(1, |device| device.cause = Some(Cause::NoPort)));
    let devices = kubelet
        .wait_for(RESOURCE, SOON, |devices| !devices["onload-1"].is_healthy())
        .await
        .unwrap();
    assert!(devices["onload-2"].is_healthy());
    node.show(POOL, change(1, |device| device.local_only = true));
    listed(&kubelet, 2, 0).await;
    node.show(POOL, Vec::new());
    listed(&kubelet, 0, 0).await;
    assert_eq!((lists(), kubelet.seen().register_calls), (5, 1));
}

#[tokio::test]
async fn a_list_is_sent_while_register_hangs() {
    let mut node = Node::new();
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    kubelet.set_fault(Some(Fault::HangInRegister));
    node.start().await;
    kubelet.wait_until("the call", SOON, |seen| seen.register_calls == 1).await.unwrap();
    node.show(POOL, vec![device(7, 0)]);
    kubelet.set_fault(None);
    let devices = listed(&kubelet, 1, 0).await;
    assert!(devices.contains_key("onload-7"));
}

#[tokio::test]
async fn ten_thousand_devices_go_in_one_list() {
    let mut node = Node::new();
    node.show(POOL, (0..10_000).map(|slot| device(slot, 0)).collect());
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    node.start().await;
    listed(&kubelet, 10_000, 0).await;
    let changed = Instant::now();
    let mut devices: Vec<_> = (0..10_000).map(|slot| device(slot, 0)).collect();
    devices[9_999].lent = Lent::Withdrawn;
    node.show(POOL, devices);
    listed(&kubelet, 9_999, 1).await;
    println!("10,000 devices, list sent: {:?}", kubelet.seen().lists(RESOURCE)[1].at - changed);
    let rejected = kubelet.allocate(RESOURCE, 10_000).await.unwrap_err();
    assert!(matches!(rejected, Rejected::TooFew { free: 9_999, .. }), "{rejected}");
    assert_eq!(kubelet.allocate(RESOURCE, 9_999).await.unwrap().ids.len(), 9_999);
}
