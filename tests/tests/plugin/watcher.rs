//! A pool that lies in the registry of plugins: found, lost, refused and found again, and never at
//! the same time registered in the other way.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use onload_core::config::Registration::{Directory, Watcher};
use onload_tests::kubelet::{Devices, Fault, Kubelet, Seen};
use onloadd::kubelet::watcher_api::registration_client::RegistrationClient;
use onloadd::kubelet::watcher_api::{InfoRequest, RegistrationStatus};
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::listed;
use crate::node::{
    A_WHILE, Node, PATIENCE, POOL, RESOURCE, SOCKET, SOON, device, eventually, sockets,
};

/// Between two looks of the kubelet's; a real one takes a second.
const TURN: Duration = Duration::from_millis(50);

/// An edge whose pool lies in the registry, not started yet.
fn node() -> Node {
    let mut node = Node::new();
    node.agree(POOL, Watcher, false);
    node
}

/// A kubelet that watches the registry.
async fn watching(node: &Node) -> Kubelet {
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    kubelet.watch_plugins_each(TURN, node.registry()).unwrap();
    kubelet
}

/// A kubelet, and an edge that it has found.
async fn found() -> (Node, Kubelet) {
    let mut node = node();
    let kubelet = watching(&node).await;
    node.start().await;
    node.wait_announced(POOL, &[true]).await;
    listed(&kubelet, 3, 0).await;
    (node, kubelet)
}

/// What tells a socket from a later one of the same name; none while there is none.
fn identity(node: &Node) -> Option<(u64, i64, i64)> {
    let found = fs::symlink_metadata(node.registry().join(SOCKET)).ok()?;
    Some((found.ino(), found.ctime(), found.ctime_nsec()))
}

async fn attempts(kubelet: &Kubelet, count: usize) -> Seen {
    let enough = |seen: &Seen| seen.plugins.len() >= count;
    kubelet.wait_until("attempts", SOON, enough).await.unwrap()
}

async fn connect(socket: &Path) -> RegistrationClient<Channel> {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display())).unwrap();
    let endpoint = endpoint.origin(Uri::from_static("http://localhost"));
    RegistrationClient::new(endpoint.connect().await.unwrap())
}

#[tokio::test]
async fn it_is_found_and_never_registers() {
    let (node, kubelet) = found().await;
    let seen = kubelet.seen();
    assert_eq!((seen.register_calls, seen.plugins.len(), seen.registrations.len()), (0, 1, 1));
    let plugin = &seen.plugins[0];
    let info = plugin.info.as_ref().unwrap();
    assert_eq!((&*info.kind, &*info.name, &*info.endpoint), ("DevicePlugin", RESOURCE, ""));
    assert_eq!(info.supported_versions, ["v1beta1"]);
    assert_eq!((&plugin.outcome, &plugin.socket), (&Ok(()), &node.registry().join(SOCKET)));
    assert_eq!(sockets(&node.dir()), ["kubelet.sock"]);
    // The same socket serves all of the device plugin.
    assert_eq!(kubelet.allocate(RESOURCE, 1).await.unwrap().ids, ["onload-1"]);
}

#[tokio::test]
async fn only_a_socket_in_the_registry_says_who_serves_it() {
    let (mut node, kubelet) = found().await;
    node.show("fast", vec![device(0, 0)]);
    node.wait_announced("fast", &[true]).await;
    let mut other = connect(&node.dir().join("onloadd-fast.sock")).await;
    let refused = other.get_info(InfoRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");

    // Whoever says on another connection that it was not taken is believed: root alone gets there.
    let mut own = connect(&node.registry().join(SOCKET)).await;
    assert_eq!(own.get_info(InfoRequest {}).await.unwrap().into_inner().name, RESOURCE);
    let before = identity(&node);
    let no = RegistrationStatus { plugin_registered: false, error: "too late".to_owned() };
    own.notify_registration_status(no).await.unwrap();
    node.wait_announced(POOL, &[true, false, true]).await;
    assert_ne!(identity(&node), before);
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn it_may_be_there_first_and_waits_for_the_directory_without_making_it() {
    let mut node = node();
    node.start().await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(fs::read_dir(node.root.path()).unwrap().count(), 0, "it makes no directory");
    fs::create_dir_all(node.registry()).unwrap();
    eventually("the socket is there", || sockets(&node.registry()) == [SOCKET]).await;

    // No kubelet is there: nothing to be impatient about, nothing to wake up for.
    let before = identity(&node);
    let woken = switches();
    tokio::time::sleep(PATIENCE.find * 2).await;
    let woken = switches() - woken;
    assert!(woken <= 2, "woken {woken} times");
    assert_eq!(identity(&node), before);
    assert!(!node.dir().exists() && node.announced(POOL).is_empty());

    let kubelet = watching(&node).await;
    listed(&kubelet, 3, 0).await;
    assert_eq!(identity(&node), before, "a kubelet looks through its registry when it starts");
}

/// How often this thread has gone to sleep, and so was woken.
fn switches() -> u32 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_kubelet_that_restarts_finds_it_again() {
    let (node, kubelet) = found().await;
    kubelet.allocate(RESOURCE, 1).await.unwrap();
    let mut expected = vec![true];
    for _ in 0..3 {
        kubelet.stop().await;
        expected.push(false);
        node.wait_announced(POOL, &expected).await;
        kubelet.restart().await.unwrap();
        expected.push(true);
        node.wait_announced(POOL, &expected).await;
        listed(&kubelet, 3, 0).await;
    }
    assert_eq!((kubelet.seen().register_calls, kubelet.held().len()), (0, 1));
}

#[tokio::test]
async fn a_list_that_the_kubelet_gives_up_is_offered_on_a_fresh_socket() {
    let (node, kubelet) = found().await;
    let before = identity(&node);
    kubelet.cut_list(RESOURCE).await;
    node.wait_announced(POOL, &[true, false, true]).await;
    assert_ne!(identity(&node), before, "nothing else makes a kubelet dial again");
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn lists_that_are_given_up_soon_are_offered_ever_more_slowly() {
    let (_node, kubelet) = found().await;
    let mut absences = Vec::new();
    for _ in 0..3 {
        kubelet.cut_list(RESOURCE).await;
        let since = Instant::now();
        listed(&kubelet, 3, 0).await;
        absences.push(since.elapsed());
    }
    let paused = |absence: &Duration, doublings| *absence >= PATIENCE.shortest_pause * doublings;
    let all = absences.iter().zip([1, 2, 4]).all(|(absence, pauses)| paused(absence, pauses));
    assert!(all, "{absences:?}");

    // What lasts is not held against it.
    tokio::time::sleep(PATIENCE.longest_pause + A_WHILE).await;
    kubelet.cut_list(RESOURCE).await;
    listed(&kubelet, 3, 0).await;
    kubelet.cut_list(RESOURCE).await;
    let since = Instant::now();
    listed(&kubelet, 3, 0).await;
    assert!(since.elapsed() < PATIENCE.longest_pause, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_kubelet_that_only_asks_has_its_time_however_often_it_asks() {
    let mut node = node();
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    fs::create_dir_all(node.registry()).unwrap();
    node.start().await;
    eventually("a socket", || identity(&node).is_some()).await;
    let before = identity(&node);
    let mut asking = connect(&node.registry().join(SOCKET)).await;
    let since = Instant::now();
    while identity(&node) == before {
        assert!(since.elapsed() < SOON, "each question puts it off");
        // Its end, which is what is awaited, may cut one short.
        let _ = asking.get_info(InfoRequest {}).await;
        tokio::time::sleep(PATIENCE.list / 6).await;
    }
    assert!(since.elapsed() >= PATIENCE.list, "{:?}", since.elapsed());
    drop(kubelet);
}

#[tokio::test]
async fn a_kubelet_that_was_killed_is_waited_for_and_not_hunted() {
    let (node, kubelet) = found().await;
    let before = identity(&node);
    kubelet.stop().await;
    assert!(sockets(&node.dir()).contains(&"kubelet.sock".to_owned()), "what kill -9 leaves");
    eventually("a fresh socket", || identity(&node).is_some_and(|now| Some(now) != before)).await;
    let before = identity(&node);
    let woken = switches();
    tokio::time::sleep(PATIENCE.find * 4).await;
    let woken = switches() - woken;
    assert_eq!(identity(&node), before, "nobody is there who could have looked");
    assert!(woken <= 4, "woken {woken} times");
    kubelet.restart().await.unwrap();
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn a_kubelet_that_refuses_is_asked_again_by_a_fresh_socket() {
    let mut node = node();
    let kubelet = watching(&node).await;
    kubelet.set_fault(Some(Fault::RefuseRegister("not today".to_owned())));
    node.start().await;
    let seen = attempts(&kubelet, 1).await;
    assert_eq!(seen.plugins[0].outcome, Err("not today".to_owned()));
    let refused = identity(&node);
    eventually("a fresh socket", || identity(&node).is_some_and(|now| Some(now) != refused)).await;
    let seen = attempts(&kubelet, 2).await;
    assert!(seen.plugins.iter().all(|plugin| plugin.outcome.is_err()));
    assert!(node.announced(POOL).is_empty(), "a refusal is no registration");
    kubelet.set_fault(None);
    node.wait_announced(POOL, &[true]).await;
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn a_kubelet_that_says_yes_and_does_not_listen_is_found_out() {
    let mut node = node();
    let kubelet = watching(&node).await;
    kubelet.set_fault(Some(Fault::NeverDialBack));
    node.start().await;
    // It takes each for good, so it is the fresh sockets that bring it back.
    let seen = attempts(&kubelet, 3).await;
    assert!(seen.plugins.iter().all(|plugin| plugin.outcome.is_ok()));
    assert!(node.announced(POOL).is_empty());
    kubelet.set_fault(None);
    node.wait_announced(POOL, &[true]).await;
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn a_kubelet_that_does_not_look_gets_fresh_sockets_ever_more_slowly() {
    let mut node = node();
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    fs::create_dir_all(node.registry()).unwrap();
    node.start().await;
    eventually("a socket", || identity(&node).is_some()).await;
    let (mut last, mut since, mut lives) = (identity(&node), Instant::now(), Vec::new());
    while lives.len() < 3 {
        eventually("another", || identity(&node).is_some_and(|now| Some(now) != last)).await;
        lives.push(since.elapsed());
        (last, since) = (identity(&node), Instant::now());
    }
    // The first began before it was looked at.
    assert!(lives[1] > PATIENCE.find && lives[2] > lives[1], "{lives:?}");
    kubelet.watch_plugins_each(TURN, node.registry()).unwrap();
    listed(&kubelet, 3, 0).await;
    assert_eq!(kubelet.seen().register_calls, 0, "not even then");
}

#[tokio::test]
async fn a_registry_that_is_removed_and_made_again_is_found() {
    let (node, kubelet) = found().await;
    fs::remove_dir_all(node.registry()).unwrap();
    node.wait_announced(POOL, &[true, false]).await;
    listed(&kubelet, 0, 3).await;
    assert!(!node.registry().exists());
    fs::create_dir(node.registry()).unwrap();
    node.wait_announced(POOL, &[true, false, true]).await;
    listed(&kubelet, 3, 0).await;

    fs::remove_file(node.registry().join(SOCKET)).unwrap();
    node.wait_announced(POOL, &[true, false, true, false, true]).await;
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn a_plugin_that_ends_is_forgotten_and_one_that_comes_back_is_found() {
    let (mut node, kubelet) = found().await;
    node.stop().await;
    listed(&kubelet, 0, 3).await;
    eventually("no socket is left", || sockets(&node.registry()).is_empty()).await;
    // What kill -9 leaves.
    drop(std::os::unix::net::UnixListener::bind(node.registry().join(SOCKET)).unwrap());
    node.start().await;
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn two_pools_go_each_its_own_way() {
    let (mut node, kubelet) = found().await;
    node.show("fast", vec![device(0, 0)]);
    let one = |devices: &Devices| devices.len() == 1;
    kubelet.wait_for("amd.com/fast", SOON, one).await.unwrap();
    assert_eq!(sockets(&node.dir()), ["kubelet.sock", "onloadd-fast.sock"]);
    assert_eq!(sockets(&node.registry()), [SOCKET]);
    let seen = kubelet.seen();
    assert_eq!((seen.register_calls, seen.plugins.len()), (1, 1));
    kubelet.stop().await;
    kubelet.restart().await.unwrap();
    listed(&kubelet, 3, 0).await;
    kubelet.wait_for("amd.com/fast", SOON, one).await.unwrap();
}

#[tokio::test]
async fn one_way_has_ended_before_the_other_begins() {
    let (mut node, kubelet) = found().await;
    node.agree(POOL, Directory, false);
    node.wait_announced(POOL, &[true, false, true]).await;
    listed(&kubelet, 3, 0).await;
    assert_eq!(sockets(&node.registry()), [""; 0]);
    // The kubelet forgets by name what was in the registry: had it not done so before, it would have
    // cut this one off.
    tokio::time::sleep(TURN * 4).await;
    assert_eq!(node.announced(POOL), [true, false, true]);
    assert_eq!((kubelet.seen().register_calls, kubelet.devices(RESOURCE).len()), (1, 3));

    // Back, with a change of mind while the former is ending.
    node.agree(POOL, Watcher, false);
    tokio::time::sleep(TURN).await;
    node.agree(POOL, Directory, false);
    tokio::time::sleep(TURN).await;
    node.agree(POOL, Watcher, false);
    eventually("only the registry has it", || {
        sockets(&node.registry()) == [SOCKET] && sockets(&node.dir()) == ["kubelet.sock"]
    })
    .await;
    listed(&kubelet, 3, 0).await;
    tokio::time::sleep(PATIENCE.forget * 2).await;
    assert_eq!(node.announced(POOL).last(), Some(&true));
    assert_eq!(sockets(&node.registry()), [SOCKET]);
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn another_way_after_a_restart_waits_until_the_kubelet_has_forgotten() {
    let (mut node, kubelet) = found().await;
    node.stop().await;
    node.agree(POOL, Directory, false);
    node.start().await;
    node.wait_announced(POOL, &[true, false, true]).await;
    listed(&kubelet, 3, 0).await;
    tokio::time::sleep(TURN * 4).await;
    assert_eq!(node.announced(POOL), [true, false, true], "it was not cut off again");
    assert_eq!((kubelet.seen().register_calls, kubelet.devices(RESOURCE).len()), (1, 3));
    let remembered = fs::read_dir(node.runtime.path()).unwrap().count();
    assert_eq!(remembered, 0, "the next start has nothing to wait for");
}
