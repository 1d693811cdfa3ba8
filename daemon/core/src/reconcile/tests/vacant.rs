//! A pool without a port, or a bus that cannot be read: when that is a state, and when a fault.

use super::*;
use crate::condition::{ConditionKind, Status};
use crate::sample::{PORTS, inner};

/// State, condition of the devices, and condition of the kubelet.
fn told(bench: &Bench) -> (NodeState, (Status, String), String) {
    let condition =
        |kind| bench.picture.conditions.iter().find(|one| one.kind == kind).cloned().unwrap();
    let devices = condition(ConditionKind::DevicesHealthy);
    let kubelet = condition(ConditionKind::KubeletRegistered);
    (bench.picture.state, (devices.status, devices.reason), kubelet.reason)
}

fn expected(
    state: NodeState,
    status: Status,
    devices: &str,
    kubelet: &str,
) -> (NodeState, (Status, String), String) {
    (state, (status, devices.to_owned()), kubelet.to_owned())
}

#[test]
fn what_is_described_may_be_missing_and_what_is_named_may_not() {
    use NodeState::{Blocked, Ready};
    use Status::{False, True, Unknown};
    let other = "[pools.other]\nslots = 2\n";
    let cases = [
        (
            "beside a pool that is served",
            format!("{FOUR}{other}families = [\"X3\"]\n"),
            expected(Ready, True, "Healthy", "Registered"),
        ),
        (
            "the only pool",
            format!("{other}numa-nodes = [7]\n"),
            expected(Ready, Unknown, "NoDevices", "NotOffered"),
        ),
        (
            "named, and missed",
            format!("{FOUR}{other}ports = [\"ens9\"]\n"),
            expected(Blocked, False, "NotSelected", "Registered"),
        ),
    ];
    for (why, config, expected) in cases {
        // The libraries of both are in place.
        let trees = crate::sample::userland(&["p", "other"], "host");
        let in_place = spoilt(|node| node.userland = crate::reading::Reading::Known(trees));
        let mut bench = Bench::new(&config, in_place);
        bench.pass(300);
        assert_eq!(told(&bench), expected, "{why}");
    }
}

#[test]
fn a_card_that_was_there_is_missed_while_others_are_left() {
    let unplugged = |gone: &[&str]| {
        spoilt(|node| {
            for port in gone {
                inner(&mut node.ports).remove(&port.parse().unwrap()).unwrap();
            }
        })
    };
    let mut bench = Bench::new(&format!("{FOUR}numa-nodes = [0]\n"), node());
    bench.handle(Event::Looked(Box::new(unplugged(&PORTS[..1]))));
    bench.pass(300);
    let missed = expected(NodeState::Blocked, Status::False, "NotSelected", "Registered");
    assert_eq!(told(&bench), missed, "the kubelet has it still");
    bench.handle(Event::Looked(Box::new(unplugged(&PORTS))));
    bench.pass(300);
    let idle = |kubelet| expected(NodeState::Idle, Status::Unknown, "NoCard", kubelet);
    assert_eq!(told(&bench), idle("Registered"), "no card is a state");
    let why = |bench: &Bench| crate::why::explain(&bench.picture, "p").unwrap().decision;
    assert_eq!(why(&bench), "4 of its 4 devices cannot be had");
    bench.handle(Event::Registered { pool: "p".parse().unwrap(), registered: false });
    bench.pass(300);
    assert_eq!(told(&bench), idle("NotOffered"));
    let untold = "it has nothing to lend, and no kubelet is told of it: no port is there";
    assert_eq!(why(&bench), untold);
}

#[test]
fn a_card_that_is_gone_hides_nothing_of_the_other() {
    for keys in ["", "families = [\"X2\"]\n"] {
        let mut bench = Bench::new(&format!("{FOUR}{keys}"), node());
        let broken = spoilt(|node| {
            inner(&mut node.ports).remove(&PORTS[0].parse().unwrap()).unwrap();
            let port = crate::sample::port_of(node, 1);
            inner(&mut port.auxiliary).clear();
        });
        bench.handle(Event::Looked(Box::new(broken)));
        bench.pass(300);
        assert_eq!(bench.picture.state, NodeState::Blocked, "{keys}");
        let blocker = bench.picture.blockers[0].blocker.why();
        assert!(blocker.contains("0000:af:00.0"), "{keys}: {blocker}");
    }
}

#[test]
fn a_bus_that_cannot_be_read_is_not_an_idle_node() {
    let unread = spoilt(|node| node.ports = crate::reading::Reading::Unreadable("x".to_owned()));
    let bench = Bench::new(FOUR, unread);
    assert_eq!(bench.picture.state, NodeState::Blocked);
    assert_eq!(bench.picture.summary, "ports: the PCI bus cannot be read: x");
}
