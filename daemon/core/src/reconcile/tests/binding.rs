//! Ports taken from their driver by somebody.

use super::lab::Lab;
use super::*;
use crate::change::Manner;
use crate::inventory::Port;
use crate::names::PciAddress;
use crate::picture::NodeState;
use crate::reading::Reading::{Absent, Known};
use crate::sample::without;

const RELEASE: &str = "release = \"9.1.2\"\n[pools.onload]\nslots = 4\n";

fn lab(policy: &str) -> Lab {
    let lab = Lab::new(&format!("[modules]\n{policy}{RELEASE}"), "9.1.2");
    assert_eq!(lab.picture.state, NodeState::Ready, "{:?}", lab.picture.blockers);
    lab
}

/// Somebody takes every port from its driver; it is to be kept for another where one is named.
fn unbind(lab: &mut Lab, other: Option<&str>) -> PciAddress {
    let Known(ports) = &mut lab.node.ports else { panic!("no ports") };
    for port in ports.values_mut() {
        port.driver = Absent;
        port.driver_override = other.map_or(Absent, |other| Known(other.to_owned()));
    }
    let first = *ports.keys().next().unwrap();
    lab.touch();
    lab.run(5_000);
    first
}

fn is_bound(lab: &Lab) -> bool {
    let mut ports = lab.node.ports.known().unwrap().values();
    ports.all(|port| port.driver == Known("sfc".to_owned()))
}

#[test]
fn an_unbound_port_is_given_back_to_its_driver() {
    let mut lab = lab("");
    let port = unbind(&mut lab, None);
    assert!(is_bound(&lab));
    assert_eq!(lab.done.first(), Some(&format!("give port {port} to driver sfc")));
    assert_eq!(lab.picture.state, NodeState::Ready, "{:?}", lab.picture.blockers);
    assert!(lab.picture.history.is_empty(), "nothing was taken away");
}

#[test]
fn it_is_only_reported_where_that_is_asked_for_until_an_order() {
    let mut lab = lab("drift = \"report\"\n");
    unbind(&mut lab, None);
    assert!(!is_bound(&lab));
    let blocker = &lab.picture.blockers[0].blocker;
    assert_eq!(blocker.reason(), "Drifted");
    assert!(blocker.why().contains("to driver sfc"), "{}", blocker.why());
    lab.ask(Command::Apply { retry: false, manner: Manner::default() });
    lab.run(5_000);
    assert!(is_bound(&lab));
}

#[test]
fn one_that_is_kept_for_another_driver_or_has_it_is_left_alone() {
    let mut lab = lab("");
    unbind(&mut lab, Some("vfio-pci"));
    assert!(!is_bound(&lab) && lab.done.is_empty(), "{:?}", lab.done);
    let Known(ports) = &mut lab.node.ports else { panic!("no ports") };
    ports.values_mut().for_each(|port| port.driver = Known("vfio-pci".to_owned()));
    lab.touch();
    lab.run(5_000);
    assert!(lab.done.is_empty(), "{:?}", lab.done);
}

#[test]
fn a_held_node_is_left_as_it_is() {
    let mut lab = lab("");
    lab.ask(Command::Hold { reason: "a look".to_owned(), expiry: None });
    lab.run(1_000);
    unbind(&mut lab, None);
    assert!(!is_bound(&lab));
    lab.ask(Command::Unhold);
    lab.run(5_000);
    assert!(is_bound(&lab));
}

#[test]
fn a_port_that_is_taken_again_and_again_is_left_to_whoever_wants_it() {
    let mut lab = lab("");
    for _ in 0..3 {
        unbind(&mut lab, None);
        assert!(is_bound(&lab));
    }
    unbind(&mut lab, None);
    assert!(!is_bound(&lab));
    assert_eq!(lab.picture.blockers[0].blocker.reason(), "Drifted");
    lab.ask(Command::Apply { retry: false, manner: Manner::default() });
    lab.run(5_000);
    assert!(is_bound(&lab), "an order settles it");
    lab.at += 11 * 60 * 1000;
    unbind(&mut lab, None);
    assert!(is_bound(&lab), "so does time");
}

#[test]
fn a_port_that_its_driver_does_not_take_is_in_nobodys_way() {
    let mut lab = lab("");
    let port = *lab.node.ports.known().unwrap().keys().next().unwrap();
    lab.faults.unbindable = Some(port);
    let Known(ports) = &mut lab.node.ports else { panic!("no ports") };
    ports.get_mut(&port).unwrap().driver = Absent;
    without(&mut lab.node, "onload");
    lab.touch();
    lab.run(60_000);
    assert!(lab.node.module("onload").known().is_some(), "{:?}", lab.done);
    let told = lab.picture.blockers.iter().find(|one| one.subject == port.to_string()).unwrap();
    assert_eq!(told.blocker.reason(), "StepFailed");
    assert!(told.blocker.why().contains("driver sfc"), "{}", told.blocker.why());
    let tried = lab.done.len();
    lab.run(600_000);
    assert_eq!(lab.done.len(), tried, "and is given up");
}

#[test]
fn virtual_functions_are_for_virtual_machines() {
    let mut lab = lab("");
    let Known(ports) = &mut lab.node.ports else { panic!("no ports") };
    let (address, port) = ports.iter().next().map(|(a, p)| (*a, p.clone())).unwrap();
    // A virtual function of the same family (reference/onload-modules.md section 3).
    let virtual_one = Port { device: Known(0x1b03), driver: Absent, ..port };
    ports.insert(PciAddress { function: 7, ..address }, virtual_one);
    lab.touch();
    lab.run(5_000);
    assert!(lab.done.is_empty(), "{:?}", lab.done);
}
