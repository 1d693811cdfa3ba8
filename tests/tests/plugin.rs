//! The plugin edge against the kubelet stand-in: either starts first, either may die, and whatever
//! the kubelet does wrong, the pool is registered again in the end.

// Test code: a broken assumption must stop the test where it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use onload_core::allocation::Process;
use onload_core::command::{Command, ContainerAnswer, Reply};
use onload_core::names::AllocationId;
use onload_core::picture::{Device, Lent};
use onload_core::pool::Cause;
use onload_core::refusal::{Refusal, RefusalKind};
use onload_tests::kubelet::{Devices, Fault, Kubelet, Rejected, oversized_request};
use onloadd::kubelet::api::{AllocateRequest, ContainerAllocateRequest};
use tonic::Code;

mod node;
use node::{
    A_WHILE, Node, PATIENCE, POOL, RESOURCE, SOCKET, SOON, device, eventually, sockets,
    three_devices,
};

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
async fn an_allocation_is_the_loops_answer() {
    let (node, kubelet) = registered().await;
    node.answer(|_| {
        Ok(Reply::Containers(vec![ContainerAnswer {
            environment: [("LD_PRELOAD".to_owned(), "/opt/libonload.so".to_owned())].into(),
            mounts: [("/opt/libonload.so".to_owned(), "/usr/lib64/libonload.so".to_owned())].into(),
            device_nodes: vec!["/dev/onload".to_owned(), "/dev/sfc_char".to_owned()],
        }]))
    });
    let held = kubelet.allocate_ids(RESOURCE, &["onload-2", "onload-0"]).await.unwrap();
    let answer = held.response;
    assert_eq!(answer.envs["LD_PRELOAD"], "/opt/libonload.so");
    let mount = &answer.mounts[0];
    assert_eq!((mount.container_path.as_str(), mount.read_only), ("/opt/libonload.so", true));
    assert_eq!(mount.host_path, "/usr/lib64/libonload.so");
    let nodes: Vec<_> = answer
        .devices
        .iter()
        .map(|node| (node.container_path.as_str(), node.host_path.as_str(), &*node.permissions))
        .collect();
    let both = |path| (path, path, "rwm");
    assert_eq!(nodes, [both("/dev/onload"), both("/dev/sfc_char")]);
    assert!(answer.annotations.is_empty() && answer.cdi_devices.is_empty());

    let (caller, command) = node.asked().remove(0);
    assert_eq!((caller.uid, caller.privileged), (0, true));
    assert_eq!(caller.process, None::<Process>);
    let containers = vec![vec!["onload-2".parse().unwrap(), "onload-0".parse().unwrap()]];
    let pool = POOL.parse().unwrap();
    assert_eq!(command, Command::KubeletAllocate { pool, containers });
}

#[tokio::test]
async fn preferred_devices_come_from_the_bottom_of_one_node() {
    let (_node, kubelet) = registered().await;
    // Node 1 has one device, so a single one is taken there and a pair from node 0.
    assert_eq!(kubelet.allocate(RESOURCE, 1).await.unwrap().ids, ["onload-1"]);
    assert_eq!(kubelet.allocate(RESOURCE, 1).await.unwrap().ids, ["onload-0"]);
    kubelet.release(RESOURCE, &["onload-0"]);
    assert_eq!(kubelet.allocate(RESOURCE, 2).await.unwrap().ids, ["onload-2", "onload-0"]);
}

#[tokio::test]
async fn refusals_reach_the_pod_in_three_parts() {
    let (node, kubelet) = registered().await;
    for (kind, code) in [
        (RefusalKind::InUse, Code::FailedPrecondition),
        (RefusalKind::Blocked, Code::FailedPrecondition),
        (RefusalKind::Held, Code::FailedPrecondition),
        (RefusalKind::Busy, Code::FailedPrecondition),
        (RefusalKind::Degraded, Code::FailedPrecondition),
        (RefusalKind::NotFound, Code::NotFound),
        (RefusalKind::NotAuthorized, Code::PermissionDenied),
        (RefusalKind::InvalidArgument, Code::InvalidArgument),
        (RefusalKind::Unsupported, Code::Unimplemented),
        (RefusalKind::Internal, Code::Internal),
        (RefusalKind::LimitExceeded, Code::ResourceExhausted),
        (RefusalKind::Cancelled, Code::Cancelled),
        (RefusalKind::LedgerUnavailable, Code::Unavailable),
    ] {
        node.answer(move |_| Err(Refusal::new(kind, "not lent", "pid 7 has it", "ask them")));
        let rejected = kubelet.allocate(RESOURCE, 1).await.unwrap_err();
        let status = rejected.status().unwrap();
        assert_eq!(status.code(), code, "{kind:?}");
        assert_eq!(status.message(), "not lent\n  why: pid 7 has it\n  fix: ask them");
    }
    assert!(kubelet.held().is_empty());
}

#[tokio::test]
async fn nonsense_is_refused_before_it_reaches_the_loop() {
    let (node, kubelet) = registered().await;
    let request = |containers: &[&[&str]]| AllocateRequest {
        container_requests: containers
            .iter()
            .map(|ids| ContainerAllocateRequest {
                devices_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            })
            .collect(),
    };
    let many: Vec<String> = (0..10_001).map(|n| format!("onload-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(100_000);
    for (why, asked, part) in [
        ("no container", request(&[]), "no device at all"),
        ("a container without ids", request(&[&["onload-0"], &[]]), "no device at all"),
        ("too many", request(&[&many]), "10001 devices"),
        ("no id", request(&[&[""]]), "not a device id"),
        ("not of the form", request(&[&["../onload"]]), "`../onload` is not a device id"),
        ("far too long", request(&[&[&long]]), "not a device id"),
        ("twice", request(&[&["onload-0", "onload-0"]]), "onload-0 is asked for twice"),
        ("twice, apart", request(&[&["onload-0"], &["onload-0"]]), "asked for twice"),
    ] {
        let rejected = kubelet.call_allocate(RESOURCE, asked).await.unwrap_err();
        let status = rejected.status().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{why}: {status}");
        assert!(status.message().contains(part), "{why}: {status}");
        assert!(status.message().contains("\n  fix: "), "{why}: {status}");
    }
    let rejected = kubelet.call_allocate(RESOURCE, oversized_request()).await.unwrap_err();
    assert_eq!(rejected.status().unwrap().code(), Code::OutOfRange, "{rejected}");
    assert!(node.asked().is_empty());
    // All of it over one connection, which still serves; two containers in one call included.
    let answer =
        kubelet.call_allocate(RESOURCE, request(&[&["onload-0"], &["onload-1"]])).await.unwrap();
    assert_eq!(answer.container_responses.len(), 2);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_an_error_and_not_a_device_less_pod() {
    let (node, kubelet) = registered().await;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    node.answer(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Reply::Containers(Vec::new())),
        _ => Ok(Reply::Done),
    });
    for _ in 0..2 {
        let rejected = kubelet.allocate(RESOURCE, 1).await.unwrap_err();
        assert_eq!(rejected.status().unwrap().code(), Code::Internal, "{rejected}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2);
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

#[test]
fn a_file_system_mounted_later_is_seen() {
    let inner = "in_mounts_of_its_own";
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return println!("skipped: unshare cannot be run: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains(inner) {
        let why = String::from_utf8_lossy(&output.stderr);
        return println!("skipped: no mounts of one's own here: {why}");
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
