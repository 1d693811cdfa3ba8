//! The kubelet stand-in keeps its promises, shown against a plugin of three devices.

// Test code: a broken assumption must stop the test where it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

use onload_tests::kubelet::{Fault, Kubelet, Rejected, oversized_request};
use tonic::Code;

mod echo;
use echo::{ECHO_SOCKET, Echo, RESOURCE, device, register, register_as, three_devices};

/// Long enough for a loaded machine; nothing waits that long unless something is broken.
const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes.
const A_WHILE: Duration = Duration::from_millis(50);

/// A kubelet on an empty directory below a temporary one.
async fn kubelet() -> (tempfile::TempDir, Kubelet) {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path().join("device-plugins")).await.unwrap();
    (root, kubelet)
}

/// A kubelet with the plugin registered and its first list received.
async fn kubelet_and_plugin() -> (tempfile::TempDir, Kubelet, Echo) {
    let (root, kubelet) = kubelet().await;
    let echo = Echo::serve(kubelet.dir(), ECHO_SOCKET);
    register(kubelet.dir()).await.unwrap();
    all_healthy(&kubelet).await;
    (root, kubelet, echo)
}

async fn all_healthy(kubelet: &Kubelet) {
    let three = |devices: &onload_tests::kubelet::Devices| {
        devices.len() == 3 && devices.values().all(|device| device.is_healthy())
    };
    kubelet.wait_for(RESOURCE, SOON, three).await.unwrap();
}

async fn none_healthy(kubelet: &Kubelet) {
    let none = |devices: &onload_tests::kubelet::Devices| {
        devices.len() == 3 && !devices.values().any(|device| device.is_healthy())
    };
    kubelet.wait_for(RESOURCE, SOON, none).await.unwrap();
}

#[tokio::test]
async fn a_registration_is_called_back_and_listed() {
    let before = Instant::now();
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    let seen = kubelet.seen();
    assert_eq!(seen.register_calls, 1);
    let registration = &seen.registrations[0];
    assert_eq!(
        (registration.resource.as_str(), registration.endpoint.as_str()),
        (RESOURCE, ECHO_SOCKET)
    );
    assert!(before <= registration.called && registration.called <= registration.accepted);
    assert!(registration.accepted <= seen.lists(RESOURCE)[0].at);
    assert_eq!(kubelet.devices(RESOURCE)["b"].numa, [1]);
    assert_eq!(echo.authorities(), ["localhost", "localhost"], "options, then the list");
}

#[tokio::test]
async fn a_list_replaces_the_one_before() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    echo.list(vec![device("b", "link down", 1), device("d", "Healthy", 0)]);
    let devices = kubelet.wait_for(RESOURCE, SOON, |d| d.contains_key("d")).await.unwrap();
    assert_eq!(devices.keys().collect::<Vec<_>>(), ["b", "d"]);
    assert_eq!(devices["b"].health, "link down");
    let seen = kubelet.seen();
    let counts: Vec<_> = seen.lists(RESOURCE).iter().map(|l| (l.healthy, l.unhealthy)).collect();
    assert_eq!(counts, [(3, 0), (1, 1)]);
}

#[tokio::test]
async fn what_register_refuses() {
    let (_root, kubelet) = kubelet().await;
    let _echo = Echo::serve(kubelet.dir(), ECHO_SOCKET);
    kubelet.set_dial_limit(A_WHILE);
    let cases = [
        ("another version", "v1alpha", ECHO_SOCKET, RESOURCE),
        ("a name without a domain", "v1beta1", ECHO_SOCKET, "onload"),
        ("a plugin that does not serve", "v1beta1", "nobody.sock", RESOURCE),
    ];
    for (why, version, endpoint, resource) in cases {
        let refused = register_as(kubelet.dir(), version, endpoint, resource).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unknown, "{why}: {refused}");
    }
    let seen = kubelet.seen();
    assert_eq!((seen.register_calls, seen.registrations.len()), (3, 0));
    assert!(seen.resources.is_empty());
}

#[tokio::test]
async fn register_waits_for_a_plugin_that_serves_late() {
    let (_root, kubelet) = kubelet().await;
    let dir = kubelet.dir().to_owned();
    let registration = tokio::spawn(async move { register(&dir).await });
    kubelet.wait_until("the call", SOON, |seen| seen.register_calls == 1).await.unwrap();
    let _echo = Echo::serve(kubelet.dir(), ECHO_SOCKET);
    registration.await.unwrap().unwrap();
    all_healthy(&kubelet).await;
}

#[tokio::test]
async fn preferred_devices_are_picked_and_ended_pods_free_theirs() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    echo.prefer(&["c", "not offered"]);
    let first = kubelet.allocate(RESOURCE, 1).await.unwrap();
    assert_eq!(first.ids, ["c"]);
    assert_eq!(first.response.envs["IDS"], "c");
    let second = kubelet.allocate(RESOURCE, 2).await.unwrap();
    assert_eq!(second.ids, ["b", "a"], "the rest, in no order a plugin may rely on");
    let rejected = kubelet.allocate(RESOURCE, 1).await.unwrap_err();
    assert!(matches!(rejected, Rejected::TooFew { wanted: 1, free: 0 }), "{rejected}");

    kubelet.release(RESOURCE, &["a"]);
    assert_eq!(
        kubelet.held().iter().map(|held| held.ids.clone()).collect::<Vec<_>>(),
        [["c"], ["b"]]
    );
    assert_eq!(kubelet.allocate(RESOURCE, 1).await.unwrap().ids, ["a"]);
}

#[tokio::test]
async fn near_devices_come_first_and_unhealthy_ones_never() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    echo.prefer(&["a"]);
    // Node 1 has b alone, node 0 has a and c.
    assert_eq!(kubelet.allocate_near(RESOURCE, 1, Some(1)).await.unwrap().ids, ["b"]);
    kubelet.release(RESOURCE, &["b"]);
    assert_eq!(kubelet.allocate_near(RESOURCE, 2, Some(1)).await.unwrap().ids, ["b", "a"]);
    kubelet.release(RESOURCE, &["a", "b"]);

    echo.list(vec![device("a", "Unhealthy", 0), device("b", "Healthy", 1)]);
    kubelet.wait_for(RESOURCE, SOON, |d| d.len() == 2).await.unwrap();
    assert_eq!(kubelet.allocate(RESOURCE, 1).await.unwrap().ids, ["b"]);
}

#[tokio::test]
async fn a_plugin_that_says_no_leaves_nothing_held() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    echo.refuse(Some("no such release"));
    for rejected in [
        kubelet.allocate(RESOURCE, 1).await.unwrap_err(),
        kubelet.allocate_ids(RESOURCE, &["a"]).await.unwrap_err(),
    ] {
        assert_eq!(rejected.status().unwrap().message(), "no such release");
    }
    assert!(kubelet.held().is_empty());
    echo.refuse(None);
    kubelet.allocate_ids(RESOURCE, &["a"]).await.unwrap();
    let rejected = kubelet.allocate_ids(RESOURCE, &["b", "a"]).await.unwrap_err();
    assert!(matches!(&rejected, Rejected::Held(id) if id == "a"), "{rejected}");
    assert_eq!(kubelet.held().len(), 1);
}

#[tokio::test]
async fn a_restart_deletes_sockets_forgets_plugins_and_remembers_pods() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    let held = kubelet.allocate_ids(RESOURCE, &["a", "b"]).await.unwrap();
    let note = kubelet.dir().join("DEPRECATION");
    std::fs::write(&note, "not a socket").unwrap();

    kubelet.stop().await;
    echo.wait_streams_ended(1).await;
    assert!(register(kubelet.dir()).await.is_err(), "nobody answers");
    kubelet.restart().await.unwrap();
    let sockets: Vec<_> = std::fs::read_dir(kubelet.dir())
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().unwrap().is_socket())
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(sockets, ["kubelet.sock"]);
    assert!(note.exists());
    assert!(kubelet.devices(RESOURCE).is_empty());
    let rejected = kubelet.allocate(RESOURCE, 1).await.unwrap_err();
    assert!(matches!(rejected, Rejected::Unregistered), "{rejected}");
    assert_eq!(kubelet.held(), [held]);

    let _echo = Echo::serve(kubelet.dir(), ECHO_SOCKET);
    register(kubelet.dir()).await.unwrap();
    all_healthy(&kubelet).await;
    assert_eq!(kubelet.allocate(RESOURCE, 1).await.unwrap().ids, ["c"]);
    assert_eq!(kubelet.seen().registrations.len(), 2);
}

#[tokio::test]
async fn stopping_fails_the_calls_under_way() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    echo.hang(true);
    kubelet.set_fault(Some(Fault::HangInRegister));
    let dir = kubelet.dir().to_owned();
    let registration = tokio::spawn(async move { register(&dir).await });
    kubelet.wait_until("the call", SOON, |seen| seen.register_calls == 2).await.unwrap();
    let stop = async {
        kubelet.wait_until("the reservation", SOON, |s| s.held.len() == 1).await.unwrap();
        kubelet.stop().await;
    };
    let (rejected, ()) = tokio::join!(kubelet.allocate(RESOURCE, 1), stop);
    assert!(matches!(rejected, Err(Rejected::Stopped)), "{rejected:?}");
    assert!(kubelet.held().is_empty());
    assert!(tokio::time::timeout(SOON, registration).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn faults_of_register() {
    let (_root, kubelet) = kubelet().await;
    let _echo = Echo::serve(kubelet.dir(), ECHO_SOCKET);

    kubelet.set_fault(Some(Fault::RefuseRegister("not today".to_owned())));
    assert_eq!(register(kubelet.dir()).await.unwrap_err().message(), "not today");

    kubelet.set_fault(Some(Fault::NeverDialBack));
    register(kubelet.dir()).await.unwrap();
    assert!(kubelet.wait_for(RESOURCE, A_WHILE, |d| !d.is_empty()).await.is_err());
    assert_eq!(kubelet.seen().registrations.len(), 1, "accepted all the same");

    kubelet.set_fault(Some(Fault::HangInRegister));
    let mut hanging = Box::pin(register(kubelet.dir()));
    assert!(tokio::time::timeout(A_WHILE, &mut hanging).await.is_err());
    kubelet.set_fault(None);
    hanging.await.unwrap();
    all_healthy(&kubelet).await;
}

#[tokio::test]
async fn faults_of_the_socket() {
    let (_root, kubelet) = kubelet().await;
    let _echo = Echo::serve(kubelet.dir(), ECHO_SOCKET);
    for fault in [Fault::Garbage, Fault::CloseAtOnce] {
        let before = kubelet.seen();
        kubelet.set_fault(Some(fault.clone()));
        let failed = tokio::time::timeout(SOON, register(kubelet.dir())).await.unwrap();
        assert!(failed.is_err(), "{fault:?}");
        let after = kubelet.seen();
        assert!(after.connections > before.connections, "{fault:?}");
        assert_eq!(after.register_calls, before.register_calls, "{fault:?}");
    }
    kubelet.set_fault(None);
    register(kubelet.dir()).await.unwrap();
    all_healthy(&kubelet).await;
}

#[tokio::test]
async fn a_cut_list_makes_devices_unhealthy_until_the_plugin_comes_again() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    kubelet.cut_list(RESOURCE).await;
    none_healthy(&kubelet).await;
    echo.wait_streams_ended(1).await;
    let rejected = kubelet.allocate(RESOURCE, 1).await.unwrap_err();
    assert!(matches!(rejected, Rejected::Unregistered), "{rejected}");
    register(kubelet.dir()).await.unwrap();
    all_healthy(&kubelet).await;
    kubelet.allocate(RESOURCE, 3).await.unwrap();
}

#[tokio::test]
async fn the_newest_registration_wins_and_is_known_by_its_socket() {
    let (_root, kubelet, old) = kubelet_and_plugin().await;
    let new = Echo::serve(kubelet.dir(), "newer.sock");
    new.list(vec![device("n", "Healthy", 0)]);
    register_as(kubelet.dir(), "v1beta1", "newer.sock", RESOURCE).await.unwrap();
    kubelet.wait_for(RESOURCE, SOON, |d| d.contains_key("n")).await.unwrap();

    // The predecessor, on another socket, neither lists nor harms any more.
    old.list(vec![device("o", "Healthy", 0)]);
    old.end_streams();
    old.wait_streams_ended(1).await;
    let changed = kubelet.wait_for(RESOURCE, A_WHILE, |d| !d["n"].is_healthy() || d.len() != 1);
    assert!(changed.await.is_err());

    // One on the same socket does: the end of its stream is taken for the newest one's.
    new.hold_back_next_stream();
    register_as(kubelet.dir(), "v1beta1", "newer.sock", RESOURCE).await.unwrap();
    new.end_streams();
    kubelet.wait_for(RESOURCE, SOON, |d| !d["n"].is_healthy()).await.unwrap();
}

#[tokio::test]
async fn an_oversized_request_is_refused_by_grpc_and_harms_nothing() {
    let (_root, kubelet, _echo) = kubelet_and_plugin().await;
    let rejected = kubelet.call_allocate(RESOURCE, oversized_request()).await.unwrap_err();
    assert_eq!(rejected.status().unwrap().code(), Code::OutOfRange, "{rejected}");
    kubelet.allocate(RESOURCE, 3).await.unwrap();
}

#[tokio::test]
async fn containers_are_announced_before_each_start() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    let held = kubelet.allocate(RESOURCE, 1).await.unwrap();
    kubelet.start_container(&held).await.unwrap();
    kubelet.start_container(&held).await.unwrap();
    assert_eq!(echo.started(), [held.ids.clone(), held.ids]);
}

#[tokio::test]
async fn an_ended_stream_makes_devices_unhealthy() {
    let (_root, kubelet, echo) = kubelet_and_plugin().await;
    echo.end_streams();
    none_healthy(&kubelet).await;
    assert_eq!(kubelet.devices(RESOURCE).len(), three_devices().len(), "capacity stays");
}

#[tokio::test]
async fn waiting_in_vain_says_how_things_stand() {
    let (_root, kubelet, _echo) = kubelet_and_plugin().await;
    let late = kubelet.wait_for(RESOURCE, A_WHILE, |d| d.is_empty()).await.unwrap_err();
    let text = late.to_string();
    assert!(text.contains("amd.com/onload: 3 of 3 healthy, 1 lists"), "{text}");
}
