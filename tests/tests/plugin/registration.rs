//! Who registers with whom and when: restarts, faults, pools that come and go, and rest.

use std::fs;
use std::time::Duration;
use std::time::Instant;

use onload_core::config::Registration::{Directory, Watcher};
use onload_tests::kubelet::Devices;
use onload_tests::kubelet::Fault;
use onload_tests::kubelet::Kubelet;

use crate::node::{
    A_WHILE, Node, PATIENCE, POOL, RESOURCE, SOCKET, SOON, device, eventually, sockets,
};
use crate::{listed, registered};

#[tokio::test]
async fn the_kubelet_may_start_first() {
    let (node, kubelet) = registered().await;
    let seen = kubelet.seen();
    assert_eq!(seen.register_calls, 1);
    assert_eq!(seen.registrations[0].resource, RESOURCE);
    assert_eq!(seen.registrations[0].endpoint, SOCKET);
    let devices = kubelet.devices(RESOURCE);
    assert_eq!(devices.keys().collect::<Vec<_>>(), ["onload-0", "onload-1", "onload-2"]);
    assert_eq!(devices["onload-1"].numa, [1]);
    assert_eq!(node.announced(POOL), [true]);
}

#[tokio::test]
async fn a_kubelet_that_restarts_is_registered_with_again() {
    let (node, kubelet) = registered().await;
    let mut expected = vec![true];
    let mut times = Vec::new();
    for round in 2..=6 {
        kubelet.stop().await;
        expected.push(false);
        node.wait_announced(POOL, &expected).await;
        let ready = kubelet.restart().await.unwrap();
        listed(&kubelet, 3, 0).await;
        let seen = kubelet.seen();
        assert_eq!(seen.registrations.len(), round);
        times.push(seen.registrations[round - 1].accepted - ready);
        expected.push(true);
        node.wait_announced(POOL, &expected).await;
    }
    times.sort();
    println!("kubelet restart to registered again, five times: {times:?}");
    // Not the budget, which the benchmark holds on a quiet machine: only that no back-off is in it.
    assert!(times[0] < Duration::from_millis(250), "{times:?}");
    assert_eq!(sockets(&node.dir()), ["kubelet.sock", SOCKET]);
}

#[tokio::test]
async fn a_list_that_the_kubelet_gives_up_is_offered_again() {
    let (node, kubelet) = registered().await;
    kubelet.cut_list(RESOURCE).await;
    node.wait_announced(POOL, &[true, false, true]).await;
    listed(&kubelet, 3, 0).await;
    assert_eq!(kubelet.seen().registrations.len(), 2);
}

#[tokio::test]
async fn whatever_the_kubelet_does_wrong_is_survived() {
    let (node, kubelet) = registered().await;
    let mut expected = vec![true];
    for fault in [
        Fault::RefuseRegister("not today".to_owned()),
        Fault::HangInRegister,
        Fault::NeverDialBack,
        Fault::Garbage,
        Fault::CloseAtOnce,
    ] {
        kubelet.set_fault(Some(fault.clone()));
        kubelet.stop().await;
        kubelet.restart().await.unwrap();
        expected.push(false);
        node.wait_announced(POOL, &expected).await;
        let before = kubelet.seen().connections;
        let began = Instant::now();
        kubelet.wait_until("three attempts", SOON, |s| s.connections >= before + 3).await.unwrap();
        // Two pauses at least lie between three attempts; the first may lie before them.
        assert!(began.elapsed() >= Duration::from_millis(100), "{fault:?}: no back-off");
        assert_eq!(node.announced(POOL), expected, "{fault:?} is no registration");
        kubelet.set_fault(None);
        expected.push(true);
        node.wait_announced(POOL, &expected).await;
        listed(&kubelet, 3, 0).await;
        kubelet.allocate(RESOURCE, 3).await.unwrap();
        kubelet.release(RESOURCE, &["onload-0", "onload-1", "onload-2"]);
    }
}

#[tokio::test]
async fn why_no_kubelet_listens_is_told_once() {
    for registration in [Directory, Watcher] {
        let mut node = Node::new();
        node.agree(POOL, registration, false);
        node.start().await;
        let told = async |part: &str| {
            let is_last = || node.told(POOL).last().is_some_and(|why| why.contains(part));
            eventually(part, is_last).await;
        };
        told("is not there").await;
        fs::create_dir_all(node.dir()).unwrap();
        fs::create_dir_all(node.registry()).unwrap();
        told("no kubelet is there").await;
        let kubelet = Kubelet::start(node.dir()).await.unwrap();
        kubelet.set_fault(Some(Fault::RefuseRegister("not today".to_owned())));
        kubelet.watch_plugins_each(A_WHILE / 4, node.registry()).unwrap();
        told("the kubelet refused").await;
        told("not today").await;
        let before = node.told(POOL).len();
        tokio::time::sleep(PATIENCE.longest_pause * 2).await;
        let all = node.told(POOL);
        assert!(all.windows(2).all(|two| two[0] != two[1]), "the same again is no news: {all:?}");
        kubelet.set_fault(None);
        node.wait_announced(POOL, &[true]).await;
        kubelet.stop().await;
        node.wait_announced(POOL, &[true, false]).await;
        eventually("it is told anew", || node.told(POOL).len() > before).await;
    }
}

#[tokio::test]
async fn a_new_kubelet_is_not_kept_waiting_for_the_old_ones_faults() {
    let mut node = Node::new();
    let kubelet = Kubelet::start(node.dir()).await.unwrap();
    kubelet.set_fault(Some(Fault::RefuseRegister("not today".to_owned())));
    node.start().await;
    let called = async |times: u64| {
        kubelet.wait_until("calls", SOON, |seen| seen.register_calls >= times).await.unwrap();
        Instant::now()
    };
    // By now the pauses have grown to their longest.
    called(5).await;
    let ready = kubelet.restart().await.unwrap();
    let first = called(6).await;
    let second = called(7).await;
    println!("first call {:?} after the restart, second {:?} later", first - ready, second - first);
    assert!(
        first - ready < Duration::from_millis(400) && second - first < PATIENCE.longest_pause / 2
    );
    kubelet.set_fault(None);
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn pools_come_and_go() {
    let (mut node, kubelet) = registered().await;
    node.show("fast", vec![device(0, 0)]);
    let one = |devices: &Devices| devices.len() == 1;
    kubelet.wait_for("amd.com/fast", SOON, one).await.unwrap();
    node.wait_announced("fast", &[true]).await;
    assert_eq!(sockets(&node.dir()), ["kubelet.sock", "onloadd-fast.sock", SOCKET]);

    node.hide("fast");
    node.wait_announced("fast", &[true, false]).await;
    let unhealthy = |devices: &Devices| !devices["onload-0"].is_healthy();
    kubelet.wait_for("amd.com/fast", SOON, unhealthy).await.unwrap();
    assert_eq!(sockets(&node.dir()), ["kubelet.sock", SOCKET]);
    assert_eq!((kubelet.seen().lists(RESOURCE).len(), node.announced(POOL)), (1, vec![true]));

    node.show("fast", vec![device(0, 0)]);
    node.wait_announced("fast", &[true, false, true]).await;
}

#[tokio::test]
async fn dropping_the_edge_ends_the_streams_and_removes_the_sockets() {
    let (mut node, kubelet) = registered().await;
    node.stop().await;
    listed(&kubelet, 0, 3).await;
    eventually("no socket is left", || sockets(&node.dir()) == ["kubelet.sock"]).await;
    node.wait_announced(POOL, &[true, false]).await;

    node.start().await;
    listed(&kubelet, 3, 0).await;
}

#[tokio::test]
async fn nothing_wakes_up_while_all_is_well() {
    let (_node, _kubelet) = registered().await;
    // The test's own runtime runs all of it in this thread: the edge, the kubelet, the test.
    let switches = || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u32>().unwrap()
    };
    tokio::time::sleep(A_WHILE).await;
    let before = switches();
    tokio::time::sleep(A_WHILE * 5).await;
    let woken = switches() - before;
    // One for the test's own sleep; a second where the kernel rounds it up in two steps.
    assert!(woken <= 2, "woken {woken} times in a second");
}
