//! Metrics as a Prometheus meets them: the real daemon on a simulated node, its socket and its address,
//! a page that holds to the letter, values that follow what happens, and clients that mean no good.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

mod client;
mod files;
mod open_metrics;
mod places;
mod query;
mod strangers;

use std::time::Duration;

use onload_tests::background::Background;
use onload_tests::kubelet::{Kubelet, healthy};
use onload_tests::node::{Node, PATIENCE};

use client::scrape;
use open_metrics::Page;

const RESOURCE: &str = "amd.com/onload";

/// The series of the devices of a pool.
fn devices(page: &Page, health: &str, holder: &str) -> f64 {
    let labels = [("pool", "onload"), ("health", health), ("holder", holder)];
    page.value("onload_devices", &labels)
}

/// Waits for a page that is as it shall be.
fn until(node: &mut Node, what: &str, holds: impl Fn(&Page) -> bool) -> Page {
    node.until(what, |node| Ok(holds(&scrape(node)?))).unwrap();
    scrape(node).unwrap()
}

#[test]
fn the_page_shows_the_node_as_it_is() {
    let node = Node::simulated("two-x2522").unwrap();
    let page = scrape(&node).unwrap();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(page.value("onload_build_info", &version), 1.0);
    assert_eq!(page.value("onload_node_state", &[("state", "ready")]), 1.0);
    assert_eq!(page.sum("onload_node_state"), 1.0, "a node is in one state");
    let ready = |status| page.value("onload_condition", &[("type", "Ready"), ("status", status)]);
    assert_eq!([ready("True"), ready("False"), ready("Unknown")], [1.0, 0.0, 0.0]);
    let status = node.status().unwrap();
    let conditions = status["conditions"].as_array().unwrap().len();
    assert_eq!(page.sum("onload_condition") as usize, conditions, "one status each");
    assert_eq!(devices(&page, "healthy", "none"), 100.0);
    assert_eq!(page.sum("onload_devices"), 100.0, "each device is in one place");
    assert_eq!(page.sum("onload_port_info"), 4.0);
    assert_eq!(page.sum("onload_port_usable"), 4.0);
    let release = [("release", "host"), ("version", "9.2.1")];
    assert_eq!(page.value("onload_loaded_release_info", &release), 1.0);
    assert_eq!(page.value("onload_module_loaded", &[("module", "onload")]), 1.0);
    assert_eq!(page.value("onload_kubelet_registered", &[("pool", "onload")]), 0.0);
    assert_eq!(page.value("onload_hold", &[]), 0.0);
    assert_eq!(page.get("onload_hold_since_timestamp_seconds", &[]), None);
}

#[test]
fn values_follow_what_happens() {
    let background = Background::start().unwrap();
    let mut node = Node::simulated("two-x2522").unwrap();
    let first = scrape(&node).unwrap();
    let registrations =
        |page: &Page| page.value("onload_kubelet_registrations_total", &[("pool", "onload")]);
    assert_eq!(registrations(&first), 0.0);

    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    let page = until(&mut node, "a registration", |page| registrations(page) == 1.0);
    assert_eq!(page.value("onload_kubelet_registered", &[("pool", "onload")]), 1.0);
    background.run(kubelet.restart()).unwrap();
    let page = until(&mut node, "another one", |page| registrations(page) == 2.0);
    assert!(page.follows(&first));

    background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 100))
        .unwrap();
    let granted = |page: &Page, source| {
        let labels = [("source", source), ("result", "granted")];
        let count = page.value("onload_allocation_duration_seconds_count", &[("source", source)]);
        assert_eq!(page.value("onload_allocation_requests_total", &labels), count);
        count
    };
    assert_eq!([granted(&page, "kubelet"), granted(&page, "bus")], [0.0, 0.0]);
    background.run(kubelet.allocate(RESOURCE, 2)).unwrap();
    let page =
        until(&mut node, "a pod's devices", |page| devices(page, "healthy", "container") == 2.0);
    assert_eq!([granted(&page, "kubelet"), granted(&page, "bus")], [1.0, 0.0]);
    assert_eq!(page.value("onload_allocations", &[("holder", "container")]), 2.0);
    let took = page.value("onload_allocation_duration_seconds_sum", &[("source", "kubelet")]);
    assert!(took > 0.0 && took < 5.0, "{took}");

    node.ctl_ok(["allocate", "onload", "--count", "3"]).unwrap();
    let page = until(&mut node, "local devices", |page| devices(page, "healthy", "local") == 3.0);
    assert_eq!([granted(&page, "kubelet"), granted(&page, "bus")], [1.0, 1.0]);
    assert_eq!(devices(&page, "healthy", "none"), 95.0);
    assert_eq!(page.sum("onload_allocations"), 5.0);
    assert_eq!(page.sum("onload_allocation_tenures"), 5.0);
    // The settling before a local grant is in its time.
    let took = page.value("onload_allocation_duration_seconds_sum", &[("source", "bus")]);
    assert!(took >= 0.2, "{took}");
    assert!(!node.ctl(["allocate", "onload", "--count", "500"]).unwrap().status.success());
    let refused = [("source", "bus"), ("result", "refused")];
    let last = scrape(&node).unwrap();
    assert_eq!(last.value("onload_allocation_requests_total", &refused), 1.0);
    assert!(last.follows(&page) && !page.follows(&last), "counters only grow");

    node.act("libraries of host gone").unwrap();
    let page =
        until(&mut node, "no device that works", |page| devices(page, "healthy", "none") == 0.0);
    assert_eq!(page.sum("onload_devices"), 100.0);
    node.ctl_ok(["hold", "to look at it"]).unwrap();
    let page = until(&mut node, "the hold", |page| page.value("onload_hold", &[]) == 1.0);
    let since = page.value("onload_hold_since_timestamp_seconds", &[]);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - since).abs() < 300.0, "{since} is about now, {now}");
}

#[test]
fn a_change_of_drivers_is_counted_once_and_over_a_kill() {
    let mut node = Node::simulated("releases").unwrap();
    let first = scrape(&node).unwrap();
    assert_eq!(first.sum("onload_driver_changes_total"), 0.0);
    node.ctl_ok(["release", "use", "9.2.1"]).unwrap();
    let done = [("outcome", "done"), ("origin", "order")];
    let page = until(&mut node, "the change", |page| {
        page.value("onload_driver_changes_total", &done) == 1.0
    });
    assert!(page.follows(&first));
    assert_eq!(page.sum("onload_driver_changes_total"), 1.0);
    let outcome = [("outcome", "done")];
    assert_eq!(page.value("onload_driver_change_duration_seconds_count", &outcome), 1.0);
    assert!(page.value("onload_driver_change_duration_seconds_sum", &outcome) < 60.0);
    assert_eq!(page.value("onload_driver_change_under_way", &[]), 0.0);
    assert!(
        page.value("onload_steps_total", &[("result", "changed")]) >= 4.0,
        "modules took steps"
    );

    // The ledger knows of it, and the boot is the same. That simulated machine begins anew, so hold the
    // node, or it would be changed again.
    node.ctl_ok(["hold", "to count once"]).unwrap();
    node.kill().unwrap();
    assert!(client::socket(&node).exists(), "a killed process leaves its socket");
    node.start().unwrap();
    let page = scrape(&node).unwrap();
    assert_eq!(page.value("onload_driver_changes_total", &done), 1.0);
    assert_eq!(page.value("onload_driver_change_duration_seconds_count", &outcome), 1.0);
}

#[test]
fn a_change_that_is_taken_back_says_so() {
    let mut node = Node::simulated("releases").unwrap();
    let _ = node.ctl(["release", "use", "9.3.2-noaux"]).unwrap();
    let back = [("outcome", "rolled-back"), ("origin", "order")];
    let page = until(&mut node, "the way back", |page| {
        page.value("onload_driver_changes_total", &back) == 1.0
    });
    let outcome = [("outcome", "rolled-back")];
    assert_eq!(page.value("onload_driver_change_duration_seconds_count", &outcome), 1.0);
    assert_eq!(page.sum("onload_driver_changes_total"), 1.0);
}

/// A node with clocks, looked at each second.
fn clocks() -> Node {
    let mut node = Node::stopped("clocks").unwrap();
    node.configure("fast.toml", "[daemon]\nlook-every = \"1s\"\n[ptp]\nlook-every = \"1s\"\n")
        .unwrap();
    node.start().unwrap();
    node
}

#[test]
fn clocks_are_told_in_seconds() {
    let mut node = clocks();
    let hardware = [("clock", "ptp0")];
    let ahead = |page: &Page| page.get("onload_clock_ahead_of_system_seconds", &hardware);
    until(&mut node, "a clock beside the system's", |page| ahead(page) == Some(0.0));
    node.act("clock-offset system 50000").unwrap();
    // 50,000 ns ahead of what it follows, so the hardware clock is that far behind it.
    let page = until(&mut node, "an offset", |page| ahead(page) == Some(-5e-5));
    assert_eq!(page.value("onload_clock_daemon_restarts_total", &[("by", "onloadd")]), 0.0);
}

/// A node that is asked for nothing writes nothing: the page is made when it is read.
#[test]
fn nobody_who_asks_costs_nothing() {
    let node = Node::simulated("two-x2522").unwrap();
    let switches = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", node.pid().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    scrape(&node).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let before = switches();
    std::thread::sleep(Duration::from_secs(8));
    // The slow tick is once a minute; a page each second, or a timer, would be eight at least.
    let slept = switches() - before;
    assert!(slept <= 4, "{slept} wake-ups in eight seconds");
}
