//! A node without a card whose last AF_XDP choice goes.

use std::collections::BTreeSet;

use super::lab::Lab;
use super::*;
use crate::af_xdp::AfXdp;
use crate::change::Manner;
use crate::inventory::{Interface, Port};
use crate::others::{Manager, Trace};
use crate::picture::NodeState;
use crate::reading::Reading::{Absent, Known};

const CHOSEN: &str =
    "[modules]\nrelease = \"9.1.2\"\n[[modules.af-xdp]]\ndriver = \"virtio_net\"\n";
const NOT: &str = "[modules]\nrelease = \"9.1.2\"\n";
const UNLOADED: [&str; 4] = [
    "stop the control-plane server",
    "unload module onload",
    "unload module sfc_char",
    "unload module sfc_resource",
];

/// A node with one virtio port and nothing loaded, on this configuration.
fn virtio(config: &str) -> Lab {
    let mut lab = Lab::new("", "in-tree");
    let function = "0000:00:05.0".parse().unwrap();
    let ids = (Known(0x1af4), Known(0x1000));
    let port = Port { vendor: ids.0, device: ids.1, ..Port::default() };
    lab.node.ports = Known(BTreeMap::from([(function, port)]));
    let interface = Interface {
        index: 2,
        port: Known(function),
        driver: Known("virtio_net".to_owned()),
        uppers: Known(BTreeSet::new()),
        ..Interface::default()
    };
    lab.node.interfaces = Known(BTreeMap::from([("ens5".parse().unwrap(), interface)]));
    crate::sample::without(&mut lab.node, "sfc");
    lab.done.clear();
    lab.reconfigure(config);
    lab.apply_now();
    lab
}

fn serving() -> Lab {
    let lab = virtio(CHOSEN);
    assert_eq!(lab.picture.state, NodeState::Ready, "{:?}", lab.picture.blockers);
    assert!(lab.done.contains(&"register ens5 with Onload for AF_XDP".to_owned()));
    lab
}

impl Lab {
    fn apply_now(&mut self) {
        self.done.clear();
        self.ask(Command::Apply { retry: false, manner: Manner::default() });
        self.run(30_000);
    }
}

fn reasons(lab: &Lab) -> Vec<&str> {
    lab.picture.blockers.iter().map(|one| one.blocker.reason()).collect()
}

#[test]
fn what_onloadd_loaded_for_it_goes_when_nobody_uses_it() {
    let mut lab = serving();
    lab.reconfigure(NOT);
    lab.apply_now();
    assert_eq!(lab.done, UNLOADED);
    assert!(lab.brain.ledger().af_xdp.is_empty());
    assert_eq!(lab.picture.state, NodeState::Idle, "{:?}", lab.picture.blockers);
    // And comes back when it is asked for again.
    lab.reconfigure(CHOSEN);
    lab.apply_now();
    assert_eq!(lab.picture.state, NodeState::Ready, "{:?}", lab.picture.blockers);
}

#[test]
fn it_stays_and_is_told_of_while_somebody_uses_it() {
    let mut lab = serving();
    lab.open(77, None);
    lab.run(2_000);
    lab.reconfigure(NOT);
    lab.apply_now();
    assert_eq!((&lab.done[..], reasons(&lab)), (&[][..], vec!["AfXdpUnasked"]));
    lab.close();
    lab.run(5_000);
    assert_eq!(lab.done, UNLOADED, "as soon as they are gone");
}

#[test]
fn a_kill_in_between_ends_in_the_same() {
    for fuse in 0..24 {
        let mut lab = serving();
        lab.reconfigure(NOT);
        lab.done.clear();
        lab.fuse = Some(fuse);
        lab.ask(Command::Apply { retry: false, manner: Manner::default() });
        lab.run(30_000);
        lab.restart();
        lab.apply_now();
        let left = lab.node.module("sfc_resource");
        assert!(left.is_absent(), "{fuse}: {:?}", lab.done);
        assert_eq!(lab.picture.state, NodeState::Idle, "{fuse}");
    }
}

#[test]
fn what_somebody_else_registered_or_manages_is_left() {
    // A registration that is not ours, beside one that is.
    let mut lab = serving();
    let mut other = lab.node.interfaces.known().unwrap().values().next().unwrap().clone();
    (other.index, other.port) = (3, Absent);
    crate::sample::inner(&mut lab.node.interfaces).insert("ens6".parse().unwrap(), other);
    let known = ["ens5", "ens6"].map(|name| name.parse().unwrap()).into();
    lab.node.af_xdp = Known(AfXdp { can_register: true, known });
    lab.touch();
    lab.run(2_000);
    lab.reconfigure(NOT);
    lab.apply_now();
    assert_eq!(lab.done, [""; 0], "somebody else's would go with it");
    // Another manager of the modules.
    let mut lab = serving();
    let trace = Trace { evidence: "/x".to_owned(), ..Trace::default() };
    lab.node.others.insert(Manager::Kmm, Known(trace));
    lab.reconfigure(NOT);
    lab.apply_now();
    assert_eq!(lab.done, [""; 0]);
    // Loaded and registered by hand.
    let mut lab = serving();
    lab.brain = Reconciler::start(lab.now(), super::lab::parse(NOT), Ok(Ledger::default())).0;
    lab.reconfigure(NOT);
    lab.restart();
    lab.apply_now();
    assert_eq!((&lab.done[..], reasons(&lab)), (&[][..], vec!["AfXdpUnasked"]));
}
