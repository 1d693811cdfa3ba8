//! What the kubelet asks, and what it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use onload_core::allocation::Process;
use onload_core::command::{Command, ContainerAnswer, Reply};
use onload_core::refusal::{Refusal, RefusalKind};
use onload_tests::kubelet::oversized_request;
use onloadd::kubelet::api::{AllocateRequest, ContainerAllocateRequest};
use tonic::Code;

use crate::node::{POOL, RESOURCE};
use crate::registered;

#[tokio::test]
async fn an_allocation_is_the_loops_answer() {
    let (node, kubelet) = registered().await;
    node.answer(|_| {
        Ok(Reply::Containers(vec![ContainerAnswer {
            environment: [("LD_PRELOAD".to_owned(), "/opt/libonload.so".to_owned())].into(),
            mounts: [("/opt/libonload.so".to_owned(), "/usr/lib64/libonload.so".to_owned())].into(),
            device_nodes: vec!["/dev/onload".to_owned(), "/dev/sfc_char".to_owned()],
            ..ContainerAnswer::default()
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
        (RefusalKind::Busy, Code::Unavailable),
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
