//! Which ports a pool takes, and what is said where it takes none.

use std::collections::{BTreeMap, BTreeSet};

use crate::af_xdp::Chosen;
use crate::config::{Config, Fragment, PoolSettings};
use crate::hardware::Hardware;
use crate::inventory::Snapshot;
use crate::pool::{Cause, Look, Place, Standing, devices, stand};
use crate::reading::Reading;
use crate::sample::{PORTS, inner, node, port_of, spoilt};

/// A pool as it is written.
fn written(keys: &str) -> PoolSettings {
    let text = format!("[pools.onload]\nslots = 2\n{keys}\n");
    let file = Fragment { file: "x".to_owned(), text };
    let mut config = Config::merge(&[file]).unwrap();
    config.settings.pools.remove(&"onload".parse().unwrap()).unwrap()
}

fn judged(settings: &PoolSettings, snapshot: &Snapshot) -> Standing {
    let (hardware, chosen, profiles) = (Hardware::shipped(), Chosen::default(), BTreeMap::new());
    let look = Look { snapshot, hardware: &hardware, chosen: &chosen, profiles: &profiles };
    stand(&"onload".parse().unwrap(), settings, &look, &Standing::default())
}

/// The X2 on node 0 as it is, the other card an X4.
fn two_families() -> Snapshot {
    spoilt(|node| port_of(node, 1).device = Reading::Known(0x0c03))
}

#[test]
fn all_that_is_given_must_hold_and_of_each_any_value() {
    let nowhere = "-";
    let cases = [
        ("nothing given: every port", "", "0 1"),
        ("by NUMA node", "numa-nodes = [0]", "0"),
        ("of several nodes any", "numa-nodes = [1, 0, 7]", "0 1"),
        ("by family", "families = [\"X4\"]", "1"),
        ("of several families any", "families = [\"X2\", \"X4\"]", "0 1"),
        ("by the driver that is for both", "drivers = [\"sfc\"]", "0 1"),
        ("by interface", "ports = [\"ens1\"]", "1"),
        ("by address", "ports = [\"0000:3b:00.0\"]", "0"),
        ("two that agree", "families = [\"X4\"]\nnuma-nodes = [1]", "1"),
        ("two that do not", "families = [\"X4\"]\nnuma-nodes = [0]", nowhere),
        ("a port, and a family that it is not of", "ports = [\"ens1\"]\nfamilies = [\"X2\"]", "-"),
        ("a node that is not there", "numa-nodes = [7]", nowhere),
    ];
    for (why, keys, expected) in cases {
        let standing = judged(&written(keys), &two_families());
        let nodes = standing
            .ports
            .iter()
            .map(|port| PORTS.iter().position(|at| port.to_string() == *at).unwrap().to_string());
        let nodes: Vec<_> = nodes.collect();
        let seen = if nodes.is_empty() { nowhere.to_owned() } else { nodes.join(" ") };
        assert_eq!(seen, expected, "{why}");
        let places: BTreeSet<_> =
            nodes.iter().map(|node| Place::node(Some(node.parse().unwrap()))).collect();
        assert_eq!(standing.places.into_keys().collect::<BTreeSet<_>>(), places, "{why}");
    }
}

#[test]
fn what_takes_nothing_is_named_with_what_is_there() {
    let cases = [
        ("numa-nodes = [7, 8]", "no port matches numa-nodes = 7, 8; what is here: 0, 1"),
        ("families = [\"X3\"]", "no port matches families = X3; what is here: X2, X4"),
        ("drivers = [\"igb\"]", "no port matches drivers = igb; what is here: sfc"),
        ("ports = [\"ens9\"]", "no port matches ports = ens9; what is here: ens0, ens1"),
        (
            "families = [\"X4\"]\nnuma-nodes = [0]",
            "no port matches families = X4 and numa-nodes = 0 at once",
        ),
    ];
    for (keys, expected) in cases {
        let settings = written(keys);
        let standing = judged(&settings, &two_families());
        let listed = devices(&"onload".parse().unwrap(), &settings, &standing);
        assert_eq!(listed.len(), 2, "the resource keeps its size: {keys}");
        for device in listed {
            let cause = device.cause.unwrap();
            assert_eq!(cause.to_string(), expected);
            assert!(cause.is_absence());
        }
    }
    let no_node = spoilt(|node| {
        (0..2).for_each(|port| port_of(node, port).numa_node = Reading::Absent);
    });
    let cause = judged(&written("numa-nodes = [0]"), &no_node).nowhere();
    assert_eq!(cause.to_string(), "no port matches numa-nodes = 0; no port here has any");
    let bare = spoilt(|node| node.ports = Reading::Known(BTreeMap::new()));
    assert_eq!(judged(&written("families = [\"X4\"]"), &bare).nowhere(), Cause::NoPort);
}

#[test]
fn what_cannot_be_read_is_not_guessed() {
    let why = || "EIO".to_owned();
    let blind = spoilt(|node| port_of(node, 0).numa_node = Reading::Unreadable(why()));
    let settings = written("numa-nodes = [0]");
    let standing = judged(&settings, &blind);
    assert!(standing.ports.is_empty(), "it may stand on node 1");
    let told = "the NUMA node of port 0000:3b:00.0 cannot be read";
    assert_eq!(standing.nowhere().to_string(), told);
    let other = judged(&written("numa-nodes = [1]"), &blind);
    assert_eq!(other.places[&Place::node(Some(1))], None, "what is known to match works");
    let by_family = judged(&written("numa-nodes = [0]\nfamilies = [\"X4\"]"), &blind);
    assert!(
        matches!(by_family.nowhere(), Cause::NotSelected { .. }),
        "whatever its node is, it is of another family: {by_family:?}"
    );
    let nameless = spoilt(|node| node.interfaces = Reading::Unreadable(why()));
    let cause = judged(&written("ports = [\"ens1\"]"), &nameless).nowhere();
    assert_eq!(cause.to_string(), "the list of interfaces cannot be read");
    let by_address = judged(&written("ports = [\"0000:af:00.0\"]"), &nameless);
    assert_eq!(by_address.ports.len(), 1, "an address needs no name");
}

#[test]
fn a_driver_that_is_gone_or_swapped_leaves_the_pool_its_ports() {
    for driver in [Reading::Absent, Reading::Known("vfio-pci".to_owned())] {
        let swapped = spoilt(|node| port_of(node, 0).driver = driver);
        let standing = judged(&written("drivers = [\"sfc\"]"), &swapped);
        assert_eq!(standing.ports.len(), 2);
        assert!(standing.places[&Place::node(Some(0))].is_some(), "and says what is wrong");
    }
}

#[test]
fn a_card_that_is_not_accelerated_is_a_member_where_nothing_better_is_selected() {
    let mixed = spoilt(|node| port_of(node, 1).device = Reading::Known(0x0803));
    assert_eq!(judged(&written(""), &mixed).ports.len(), 1);
    for keys in ["numa-nodes = [1]", "families = [\"SFN5000/6000\"]"] {
        let standing = judged(&written(keys), &mixed);
        let cause = standing.places[&Place::node(Some(1))].as_ref().unwrap();
        assert_eq!(cause.reason(), "NotAccelerated", "{keys}");
    }
    let mut all = node();
    inner(&mut all.ports).remove(&PORTS[1].parse().unwrap());
    assert_eq!(judged(&written(""), &all).ports.len(), 1);
}
