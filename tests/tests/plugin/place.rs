//! The directory and the files in it: late, removed, mounted over, left behind, another's.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use onload_tests::kubelet::Kubelet;
use onload_tests::skip::skip;

use crate::node::{
    A_WHILE, Node, PATIENCE, POOL, RESOURCE, SOCKET, SOON, device, eventually, sockets,
};
use crate::{listed, registered};

#[tokio::test]
async fn the_edge_may_start_first_and_the_directory_appear_later() {
    let mut node = Node::new();
    node.start().await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(fs::read_dir(node.root.path()).unwrap().count(), 0, "it makes no directory");

    // Piece by piece, as an installer would.
    fs::create_dir(node.root.path().join("kubelet")).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    fs::create_dir(node.dir()).unwrap();
    eventually("the socket is there before any kubelet", || sockets(&node.dir()) == [SOCKET]).await;
    assert!(node.announced(POOL).is_empty());

    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    listed(&kubelet, 3, 0).await;
    node.wait_announced(POOL, &[true]).await;
    assert_eq!(kubelet.seen().register_calls, 1);
}

#[tokio::test]
async fn a_directory_that_is_removed_and_made_again_is_found() {
    let (node, kubelet) = registered().await;
    kubelet.stop().await;
    fs::remove_dir_all(node.dir().parent().unwrap()).unwrap();
    node.wait_announced(POOL, &[true, false]).await;
    kubelet.restart().await.unwrap();
    listed(&kubelet, 3, 0).await;
    node.wait_announced(POOL, &[true, false, true]).await;
    kubelet.stop().await;

    // At one go and without another inode set free, so that on many file systems the new one has
    // the old one's.
    for name in sockets(&node.dir()) {
        fs::rename(node.dir().join(&name), node.root.path().join(&name)).unwrap();
    }
    fs::remove_dir(node.dir()).unwrap();
    fs::create_dir(node.dir()).unwrap();
    kubelet.restart().await.unwrap();
    listed(&kubelet, 3, 0).await;
    // The new one is watched: nothing but inotify can tell of this.
    fs::remove_file(node.dir().join(SOCKET)).unwrap();
    eventually("the socket is back", || sockets(&node.dir()) == ["kubelet.sock", SOCKET]).await;
}

#[tokio::test]
async fn a_socket_that_is_deleted_is_bound_and_registered_again() {
    let (node, kubelet) = registered().await;
    fs::remove_file(node.dir().join(SOCKET)).unwrap();
    kubelet.wait_until("again", SOON, |seen| seen.registrations.len() == 2).await.unwrap();
    listed(&kubelet, 3, 0).await;
    node.wait_announced(POOL, &[true, false, true]).await;
    kubelet.allocate(RESOURCE, 1).await.unwrap();
}

#[tokio::test]
async fn the_socket_of_another_plugin_is_a_hint_to_look_who_that_is() {
    let (node, kubelet) = registered().await;
    assert_eq!(node.changes(), 0, "our own and the kubelet's are none");
    let other = UnixListener::bind(node.dir().join("sfc-deviceplugin.sock")).unwrap();
    eventually("it is told", || node.changes() == 1).await;
    drop(other);
    fs::remove_file(node.dir().join("sfc-deviceplugin.sock")).unwrap();
    eventually("so is its end", || node.changes() == 2).await;
    drop(kubelet);
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_those_of_others_are_not_touched() {
    let mut node = Node::new();
    fs::create_dir_all(node.dir()).unwrap();
    // What kill -9 leaves: the file of a socket that nobody listens on.
    drop(UnixListener::bind(node.dir().join(SOCKET)).unwrap());
    drop(UnixListener::bind(node.dir().join("other.sock")).unwrap());
    fs::write(node.dir().join("onloadd-fast.sock"), "not a socket").unwrap();
    let slow = UnixListener::bind(node.dir().join("onloadd-slow.sock")).unwrap();
    node.show("fast", vec![device(0, 0)]);
    node.show("slow", vec![device(0, 0)]);
    node.start().await;
    eventually("the stale socket answers", || {
        std::os::unix::net::UnixStream::connect(node.dir().join(SOCKET)).is_ok()
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    let all = ["onloadd-onload.sock", "onloadd-slow.sock", "other.sock"];
    assert_eq!(sockets(&node.dir()), all);
    assert_eq!(fs::read(node.dir().join("onloadd-fast.sock")).unwrap(), b"not a socket");
    let probes = {
        slow.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| slow.accept().ok()).count()
    };
    assert!((1..=3).contains(&probes), "{probes} probes: without back-off");

    // As soon as the other process has gone, its socket is one left behind.
    drop(slow);
    eventually("the socket has changed hands", || {
        std::os::unix::net::UnixStream::connect(node.dir().join("onloadd-slow.sock")).is_ok()
    })
    .await;
    assert_eq!(sockets(&node.dir()), all);
}

#[tokio::test]
async fn what_a_killed_process_left_of_other_pools_is_removed() {
    let mut node = Node::new();
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    fs::create_dir_all(node.registry()).unwrap();
    for directory in [node.dir(), node.registry()] {
        for dead in ["onloadd-former.sock", "other.sock"] {
            drop(UnixListener::bind(directory.join(dead)).unwrap());
        }
        fs::write(directory.join("onloadd-file.sock"), "not a socket").unwrap();
    }
    // The pool itself, from when it lay in the registry.
    drop(UnixListener::bind(node.registry().join(SOCKET)).unwrap());
    let served = UnixListener::bind(node.registry().join("onloadd-served.sock")).unwrap();
    let started = Instant::now();
    node.start().await;
    listed(&kubelet, 3, 0).await;
    assert_eq!(sockets(&node.dir()), ["kubelet.sock", SOCKET, "other.sock"]);
    assert_eq!(sockets(&node.registry()), ["onloadd-served.sock", "other.sock"]);
    assert!(node.registry().join("onloadd-file.sock").exists());
    // Nothing tells which resources the kubelet is about to forget.
    let registered = kubelet.seen().registrations[0].called;
    assert!(registered - started >= PATIENCE.forget, "{:?}", registered - started);
    drop(served);
}

#[test]
fn a_file_system_mounted_later_is_seen() {
    let inner = "place::in_mounts_of_its_own";
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return skip(inner, &format!("unshare cannot be run: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if said.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        return skip(inner, &format!("no mounts of one's own here: {why}"));
    }
    let what = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{what}");
}

#[tokio::test]
#[ignore = "mounts; run by a_file_system_mounted_later_is_seen in a mount namespace of its own"]
async fn in_mounts_of_its_own() {
    let mut node = Node::new();
    let place = node.dir().parent().unwrap().to_owned();
    let disk = node.root.path().join("disk");
    fs::create_dir_all(&place).unwrap();
    fs::create_dir_all(disk.join(node.dir().file_name().unwrap())).unwrap();
    node.start().await;
    tokio::time::sleep(A_WHILE).await;
    // The directory comes with the mount: inotify has nothing to say about it.
    let mount = |args: &[&std::ffi::OsStr]| {
        assert!(std::process::Command::new("mount").args(args).status().unwrap().success());
    };
    mount(&["--bind".as_ref(), disk.as_ref(), place.as_ref()]);
    eventually("the socket is there", || sockets(&node.dir()) == [SOCKET]).await;
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    listed(&kubelet, 3, 0).await;

    // And another over it hides the socket: there is a new place to be.
    let other = node.root.path().join("other");
    fs::create_dir_all(other.join(node.dir().file_name().unwrap())).unwrap();
    mount(&["--bind".as_ref(), other.as_ref(), place.as_ref()]);
    eventually("the socket is there again", || sockets(&node.dir()) == [SOCKET]).await;
}
