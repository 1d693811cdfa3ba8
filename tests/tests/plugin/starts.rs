//! Containers that are started anew: whether they may be, answered from the picture.

use std::time::{Duration, Instant};

use onload_core::config::Registration;
use onload_core::names::AllocationId;
use onload_core::picture::{Device, Lent};
use onload_core::pool::Cause;
use onload_tests::kubelet::{Holding, Kubelet};
use onloadd::kubelet::api::PreStartContainerRequest;
use onloadd::kubelet::api::device_plugin_client::DevicePluginClient;
use tonic::Code;
use tonic::transport::{Endpoint, Uri};

use crate::node::{A_WHILE, Node, POOL, RESOURCE, SOCKET, three_devices};
use crate::{listed, registered};

/// A node whose pool asks to be asked, and a pod that has a device.
async fn checked() -> (Node, Kubelet, Holding) {
    let mut node = Node::new();
    node.agree(POOL, Registration::Directory, true);
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    node.start().await;
    listed(&kubelet, 3, 0).await;
    let pod = kubelet.allocate_ids(RESOURCE, &["onload-1"]).await.unwrap();
    (node, kubelet, pod)
}

/// Three devices, of which the second is so.
fn second(lent: Lent, cause: Option<Cause>) -> Vec<Device> {
    let mut devices = three_devices();
    devices[1] = Device { lent, cause, ..devices[1].clone() };
    devices
}

#[tokio::test]
async fn a_container_waits_for_its_device() {
    let (mut node, kubelet, pod) = checked().await;
    let held = Lent::Container(AllocationId(1));
    let refused = async || kubelet.start_container(&pod).await.unwrap_err();

    node.show(POOL, second(held, Some(Cause::ModuleAbsent { module: "onload".parse().unwrap() })));
    let no = refused().await;
    let status = no.status().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let said = status.message();
    assert!(said.starts_with("a container with onload-1 of pool onload was not started"), "{said}");
    assert!(said.contains("module onload is not loaded"), "{said}");
    assert!(said.contains("tries again by itself"), "{said}");

    node.show(POOL, second(held, None));
    kubelet.start_container(&pod).await.unwrap();
    assert_eq!(node.asked().len(), 1, "the loop hears of Allocate alone");

    node.show(POOL, second(Lent::Local(AllocationId(2)), None));
    let no = refused().await;
    assert!(no.status().unwrap().message().contains("delete the pod"), "{no}");
    node.hide(POOL);
    kubelet.start_container(&pod).await.unwrap_err();
}

#[tokio::test]
async fn a_grant_that_the_picture_does_not_show_yet_is_waited_for() {
    let (mut node, kubelet, pod) = checked().await;
    // A local program had to make way.
    node.show(POOL, second(Lent::Local(AllocationId(2)), None));
    let began = Instant::now();
    let start = async {
        kubelet.start_container(&pod).await.unwrap();
        began.elapsed()
    };
    let shown = async {
        tokio::time::sleep(A_WHILE).await;
        node.show(POOL, second(Lent::Container(AllocationId(1)), None));
    };
    let (took, ()) = tokio::join!(start, shown);
    assert!(took >= A_WHILE && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn whether_to_ask_is_told_anew_when_it_changes() {
    let (mut node, kubelet) = registered().await;
    let pod = kubelet.allocate_ids(RESOURCE, &["onload-1"]).await.unwrap();
    // A local program's by the picture, and nobody asks.
    node.show(POOL, second(Lent::Local(AllocationId(2)), None));
    kubelet.start_container(&pod).await.unwrap();
    node.agree(POOL, Registration::Directory, true);
    node.wait_announced(POOL, &[true, false, true]).await;
    listed(&kubelet, 2, 1).await;
    kubelet.start_container(&pod).await.unwrap_err();
}

#[tokio::test]
async fn nonsense_is_refused_cleanly() {
    let (node, _kubelet, _pod) = checked().await;
    let socket = format!("unix://{}", node.dir().join(SOCKET).display());
    let endpoint = Endpoint::try_from(socket).unwrap();
    let endpoint = endpoint.origin(Uri::from_static("http://localhost"));
    let mut client = DevicePluginClient::new(endpoint.connect().await.unwrap());
    let many: Vec<String> = (0..10_001).map(|n| format!("onload-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (why, ids, code, part) in [
        ("no id", &[][..], Code::InvalidArgument, "no device at all"),
        ("twice", &["onload-0", "onload-0"], Code::InvalidArgument, "asked for twice"),
        ("not of the form", &["../onload"], Code::InvalidArgument, "not a device id"),
        ("too many", &many, Code::InvalidArgument, "10001 devices"),
        ("unknown", &["onload-7"], Code::NotFound, "no such device"),
    ] {
        let devices_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let request = PreStartContainerRequest { devices_ids };
        let status = client.pre_start_container(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{why}: {status}");
        assert!(status.message().contains(part), "{why}: {status}");
        assert!(status.message().contains("was not started\n  why: "), "{why}: {status}");
        assert!(status.message().contains("\n  fix: "), "{why}: {status}");
    }
}
