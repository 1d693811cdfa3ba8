//! Processes that are not the kubelet, on a pool's own socket: they are served, and what they do says
//! nothing of the kubelet.

use std::path::{Path, PathBuf};

use onload_core::config::Registration::{Directory, Watcher};
use onload_tests::kubelet::Kubelet;
use onloadd::kubelet::api::Empty;
use onloadd::kubelet::api::device_plugin_client::DevicePluginClient;
use tokio::process::Command;
use tonic::transport::{Endpoint, Uri};

use crate::listed;
use crate::node::{A_WHILE, Node, POOL, RESOURCE, SOCKET, eventually};

/// Where a stranger finds the socket.
const PLACE: &str = "ONLOADD_TEST_SOCKET";

/// Another process reads a list from the socket and hangs up.
async fn stranger(socket: &Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "strangers::one_that_hangs_up", "--ignored", "--nocapture"])
        .env(PLACE, socket)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "the other process; run by a_stranger_who_hangs_up_is_not_the_kubelet"]
async fn one_that_hangs_up() {
    let socket = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display())).unwrap();
    let endpoint = endpoint.origin(Uri::from_static("http://localhost"));
    let mut client = DevicePluginClient::new(endpoint.connect().await.unwrap());
    let mut lists = client.list_and_watch(Empty {}).await.unwrap().into_inner();
    assert_eq!(lists.message().await.unwrap().unwrap().devices.len(), 3, "it is served");
}

#[tokio::test]
async fn a_stranger_who_hangs_up_is_not_the_kubelet() {
    for registration in [Directory, Watcher] {
        let mut node = Node::new();
        node.agree(POOL, registration, false);
        let place = match registration {
            Directory => node.dir(),
            Watcher => node.registry(),
        };
        // Before there is a kubelet that could be mistaken for it.
        std::fs::create_dir_all(&place).unwrap();
        node.start().await;
        eventually("the socket", || place.join(SOCKET).exists()).await;
        stranger(&place.join(SOCKET)).await;
        assert_eq!(node.announced(POOL), [false; 0]);

        let kubelet = Kubelet::start(node.dir()).await.unwrap();
        kubelet.watch_plugins_each(A_WHILE / 4, node.registry()).unwrap();
        node.wait_announced(POOL, &[true]).await;
        listed(&kubelet, 3, 0).await;
        for _ in 0..3 {
            stranger(&place.join(SOCKET)).await;
        }
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(node.announced(POOL), [true], "{registration:?}");
        assert_eq!(kubelet.seen().registrations.len(), 1, "{registration:?}");

        // The kubelet's own end is still what it was.
        kubelet.cut_list(RESOURCE).await;
        node.wait_announced(POOL, &[true, false, true]).await;
        listed(&kubelet, 3, 0).await;
        assert_eq!(kubelet.seen().registrations.len(), 2, "{registration:?}");
    }
}
