//! Which ports a pool takes, and what is said where it takes none.

use std::collections::{BTreeMap, BTreeSet};

use crate::af_xdp::Chosen;
use crate::config::{Config, Fragment, PoolSettings};
use crate::hardware::Hardware;
use crate::inventory::Snapshot;
use crate::pool::{Cause, Look, Place, Standing, devices, stand};
use crate::reading::Reading;
use crate::sample::{PORTS, inner, node, port_of, spoilt, without};

/// A pool as it is written.
fn written(keys: &str) -> PoolSettings {
    let text = format!("[pools.onload]\nslots = 2\n{keys}\n");
    let file = Fragment { file: "x".to_owned(), text };
    let mut config = Config::merge(&[file]).unwrap();
    config.settings.pools.remove(&"onload".parse().unwrap()).unwrap()
}

fn judged(settings: &PoolSettings, snapshot: &Snapshot) -> Standing {
    since(&Standing::default(), settings, snapshot)
}

fn since(former: &Standing, settings: &PoolSettings, snapshot: &Snapshot) -> Standing {
    let (hardware, chosen, profiles) = (Hardware::shipped(), Chosen::default(), BTreeMap::new());
    let look = Look { snapshot, hardware: &hardware, chosen: &chosen, profiles: &profiles };
    stand(&"onload".parse().unwrap(), settings, &look, former)
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
        ("by address, written otherwise", "ports = [\"0000:3B:00.0\"]", "0"),
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

#[test]
fn where_a_port_is_left_one_that_is_gone_is_gone_and_not_badly_selected() {
    let unplugged = spoilt(|node| {
        inner(&mut node.ports).remove(&PORTS[0].parse().unwrap()).unwrap();
    });
    let keys =
        ["families = [\"X2\"]", "numa-nodes = [0, 1]", "families = [\"X2\"]\ndrivers = [\"sfc\"]"];
    for keys in keys {
        let settings = written(keys);
        let standing = since(&judged(&settings, &node()), &settings, &unplugged);
        let causes: Vec<_> = standing.places.into_values().collect();
        assert_eq!(causes, [Some(Cause::NoPort), None], "{keys}");
        assert_eq!(standing.nowhere, None, "{keys}");
    }
}

/// No driver, no interface, no device of Onload.
fn driverless(ports: std::ops::Range<usize>) -> Snapshot {
    spoilt(|node| {
        without(node, "onload");
        for at in ports {
            inner(&mut node.interfaces).remove(&format!("ens{at}").parse().unwrap()).unwrap();
            port_of(node, at).driver = Reading::Absent;
        }
    })
}

#[test]
fn a_port_that_its_interface_names_stays_while_the_driver_is_away() {
    let settings = written("ports = [\"ens0\"]");
    let former = judged(&settings, &node());
    let away = since(&former, &settings, &driverless(0..2));
    assert_eq!(away.ports, former.ports);
    let gaps = [
        ("the bus", spoilt(|node| node.ports = Reading::Unreadable("EIO".to_owned()))),
        ("interfaces", spoilt(|node| node.interfaces = Reading::Unreadable("EIO".to_owned()))),
    ];
    for (what, unread) in gaps {
        let between = since(&away, &settings, &unread);
        let after = since(&between, &settings, &driverless(0..2));
        assert_eq!(after.ports, former.ports, "a gap forgets nothing: {what}");
    }
    let causes: Vec<_> = away.places.values().flatten().map(Cause::reason).collect();
    assert_eq!(causes, ["ModuleAbsent"]);
    assert_eq!(since(&away, &settings, &node()), former);
    // Another has taken the name, so it cannot be the port's any more.
    let mut moved = driverless(0..2);
    let mut other = inner(&mut node().interfaces).pop_first().unwrap().1;
    other.port = Reading::Known(PORTS[1].parse().unwrap());
    inner(&mut moved.interfaces).insert("ens0".parse().unwrap(), other);
    let ports: Vec<_> = since(&away, &settings, &moved).ports.into_iter().collect();
    assert_eq!(ports, [PORTS[1].parse().unwrap()]);
    // Renamed while its driver was there: the name is another's to have.
    let mut renamed = node();
    let interface = inner(&mut renamed.interfaces).remove(&"ens0".parse().unwrap()).unwrap();
    inner(&mut renamed.interfaces).insert("lan0".parse().unwrap(), interface);
    let renamed = since(&former, &settings, &renamed);
    assert!(renamed.ports.is_empty());
    assert!(since(&renamed, &settings, &driverless(0..2)).ports.is_empty());
}

#[test]
fn an_interface_that_was_never_seen_may_come_with_its_driver() {
    let settings = written("ports = [\"ens0\", \"ens1\", \"0000:c1:00.0\"]");
    let standing = judged(&settings, &driverless(0..2));
    assert!(standing.ports.is_empty(), "nothing says which is which");
    let cause = standing.nowhere();
    assert_eq!(cause.to_string(), "no interface is named ens0, ens1; it may come with its driver");
    assert!(!cause.is_absence() && cause.fix().starts_with("have the driver loaded"), "{cause:?}");
    // The other port has its driver, and another name than this.
    let one = judged(&written("ports = [\"ens0\"]"), &driverless(0..1));
    assert_eq!(one.nowhere().reason(), "InterfaceAbsent");
    let other = judged(&written("ports = [\"ens0\"]\nfamilies = [\"X3\"]"), &driverless(0..2));
    let told = "no port matches families = X3; what is here: X2";
    assert_eq!(other.nowhere().to_string(), told, "whatever they are called");
    let wrong = judged(&written("ports = [\"ens9\"]"), &node());
    assert_eq!(wrong.nowhere().reason(), "NotSelected", "every port has another name");
    let known = judged(&written("ports = [\"ens1\"]"), &driverless(0..1));
    assert_eq!((known.ports.len(), known.nowhere), (1, None), "the name has its port");
}
