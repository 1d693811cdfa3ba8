//! What makes a device work, told case by case.

use super::*;
use crate::inventory::{DEVICE_NODES, Link, ModuleState};
use crate::names::InterfaceHash;
use crate::sample::{HASH, PORTS, inner, module_of, node, port_of, spoilt, userland, without};

const OTHER_HASH: &str = "00000000000000000000000000000000";

fn settings(slots: u32) -> PoolSettings {
    PoolSettings { slots, ..PoolSettings::default() }
}

fn pool() -> PoolName {
    "onload".parse().unwrap()
}

fn judged(settings: &PoolSettings, snapshot: &Snapshot) -> Standing {
    since(&Standing::default(), settings, snapshot)
}

/// As it stands after it stood otherwise.
fn since(former: &Standing, settings: &PoolSettings, snapshot: &Snapshot) -> Standing {
    let (hardware, chosen, profiles) = (Hardware::shipped(), Chosen::default(), BTreeMap::new());
    let look = Look { snapshot, hardware: &hardware, chosen: &chosen, profiles: &profiles };
    stand(&pool(), settings, &look, former)
}

fn unread<T>() -> Reading<T> {
    Reading::Unreadable("it vanished".to_owned())
}

/// Why the first port cannot be used, in a word.
fn obstacle(spoil: impl FnOnce(&mut Snapshot)) -> &'static str {
    let snapshot = spoilt(spoil);
    let address: PciAddress = PORTS[0].parse().unwrap();
    let port = &snapshot.ports.known().unwrap()[&address];
    let hardware = Hardware::shipped();
    let family = hardware.family(port).unwrap();
    port_obstacle(address, port, family, &snapshot).map_or("none", |cause| cause.reason())
}

#[test]
fn what_keeps_onload_from_a_port() {
    let no_aux = |node: &mut Snapshot| port_of(node, 0).auxiliary = Reading::Known(BTreeMap::new());
    let unbound = |node: &mut Snapshot| {
        for driver in inner(&mut port_of(node, 0).auxiliary).values_mut() {
            *driver = Reading::Absent;
        }
    };
    let cases = [
        ("a healthy port", obstacle(|_| {}), "none"),
        (
            "no driver, and none loaded: load it",
            obstacle(|node| {
                port_of(node, 0).driver = Reading::Absent;
                without(node, "sfc");
            }),
            "ModuleAbsent",
        ),
        (
            "no driver though it is loaded",
            obstacle(|node| port_of(node, 0).driver = Reading::Absent),
            "WrongDriver",
        ),
        (
            "handed to a virtual machine",
            obstacle(|node| port_of(node, 0).driver = Reading::Known("vfio-pci".to_owned())),
            "WrongDriver",
        ),
        (
            "a driver that cannot be read",
            obstacle(|node| port_of(node, 0).driver = unread()),
            "Unreadable",
        ),
        (
            "the kernel's own driver",
            obstacle(|node| module_of(node, "sfc").taint = Reading::Known(String::new())),
            "InTreeDriver",
        ),
        (
            "a signature that taints is no in-tree driver",
            obstacle(|node| module_of(node, "sfc").taint = Reading::Known("OE".to_owned())),
            "none",
        ),
        ("no auxiliary device", obstacle(no_aux), "NoAuxiliaryDevice"),
        ("an auxiliary device that nobody has bound", obstacle(unbound), "NoAuxiliaryDevice"),
        (
            "auxiliary devices of something else",
            obstacle(|node| {
                port_of(node, 0).auxiliary = Reading::Known(BTreeMap::from([(
                    "sfc.vdpa.0".to_owned(),
                    Reading::Known("x".to_owned()),
                )]));
            }),
            "NoAuxiliaryDevice",
        ),
        (
            "auxiliary devices that cannot be read",
            obstacle(|node| port_of(node, 0).auxiliary = unread()),
            "Unreadable",
        ),
        (
            "up to 8.1 a module couples them, without auxiliary devices",
            obstacle(|node| {
                no_aux(node);
                let driverlink = module_of(node, "sfc").clone();
                inner(&mut node.modules).insert("sfc_driverlink".parse().unwrap(), driverlink);
            }),
            "none",
        ),
    ];
    for (why, seen, expected) in cases {
        assert_eq!(seen, expected, "{why}");
    }
}

#[test]
fn which_release_fits_the_driver() {
    let hash = |text: &str| -> InterfaceHash { text.parse().unwrap() };
    let add = |node: &mut Snapshot, name: &str, text: &str| {
        let releases = inner(&mut node.releases);
        let mut release = releases.values().next().unwrap().clone();
        release.interfaces = Reading::Known(BTreeSet::from([hash(text)]));
        releases.insert(name.parse().unwrap(), release);
    };
    let named = |snapshot: &Snapshot| match matching_release(snapshot) {
        Ok((name, _)) => name.to_string(),
        Err(cause) => cause.reason().to_owned(),
    };
    let cases = [
        ("the only one", node(), "host"),
        (
            "of several that fit, the one named like the driver",
            spoilt(|node| {
                add(node, "9.2.1", HASH);
                add(node, "9.9", HASH);
            }),
            "9.2.1",
        ),
        (
            "one that does not fit is not taken for its name",
            spoilt(|node| add(node, "9.2.1", OTHER_HASH)),
            "host",
        ),
        (
            "none that fits",
            spoilt(|node| node.driver.interface = Reading::Known(hash(OTHER_HASH))),
            "LibraryMismatch",
        ),
        (
            "libraries whose hash cannot be read fit nothing",
            spoilt(|node| {
                inner(&mut node.releases).values_mut().for_each(|one| one.interfaces = unread());
            }),
            "LibraryMismatch",
        ),
        (
            "no libraries at all",
            spoilt(|node| node.releases = Reading::Known(BTreeMap::new())),
            "LibrariesMissing",
        ),
        ("libraries that cannot be read", spoilt(|node| node.releases = unread()), "Unreadable"),
        (
            "a driver that says nothing",
            spoilt(|node| node.driver.interface = Reading::Absent),
            "Unreadable",
        ),
    ];
    for (why, snapshot, expected) in cases {
        assert_eq!(named(&snapshot), expected, "{why}");
    }
}

#[test]
fn how_the_nodes_of_a_pool_stand() {
    let all = settings(4);
    let one = PoolSettings { ports: BTreeSet::from(["ens1".to_owned()]), ..settings(4) };
    let carrier = PoolSettings { require_carrier: true, ..settings(4) };
    let down = |node: &mut Snapshot| {
        inner(&mut node.interfaces)
            .values_mut()
            .for_each(|one| one.link = Reading::Known(Link::Down));
    };
    let unplugged = |node: &mut Snapshot| {
        inner(&mut node.ports).remove(&PORTS[0].parse().unwrap()).unwrap();
    };
    type Case<'a> = (&'a str, &'a PoolSettings, Snapshot, &'a [(u32, &'a str)]);
    let cases: [Case<'_>; 11] = [
        ("both work", &all, node(), &[(0, "none"), (1, "none")]),
        ("a pool of one port has one node", &one, node(), &[(1, "none")]),
        (
            "one broken port takes its node out, not the other",
            &all,
            spoilt(|node| port_of(node, 0).driver = Reading::Absent),
            &[(0, "WrongDriver"), (1, "none")],
        ),
        (
            "a second port of the node keeps it in service",
            &all,
            spoilt(|node| {
                port_of(node, 1).numa_node = Reading::Known(0);
                port_of(node, 0).driver = Reading::Absent;
            }),
            &[(0, "none")],
        ),
        (
            "what is wrong with the whole node explains more",
            &all,
            spoilt(|node| {
                without(node, "onload");
                port_of(node, 0).driver = Reading::Absent;
            }),
            &[(0, "ModuleAbsent"), (1, "ModuleAbsent")],
        ),
        (
            "a module on its way",
            &all,
            spoilt(|node| module_of(node, "sfc_char").state = ModuleState::Going),
            &[(0, "ModuleInFlight"), (1, "ModuleInFlight")],
        ),
        (
            "a missing device node",
            &all,
            spoilt(|node| {
                node.device_nodes.insert("/dev/onload".to_owned(), Reading::Absent);
            }),
            &[(0, "DeviceNodeMissing"), (1, "DeviceNodeMissing")],
        ),
        (
            "libraries that do not fit",
            &all,
            spoilt(|node| node.driver.interface = Reading::Known(OTHER_HASH.parse().unwrap())),
            &[(0, "LibraryMismatch"), (1, "LibraryMismatch")],
        ),
        ("no carrier, and nobody asks for one", &all, spoilt(down), &[(0, "none"), (1, "none")]),
        (
            "no carrier where the pool asks for one",
            &carrier,
            spoilt(down),
            &[(0, "NoCarrier"), (1, "NoCarrier")],
        ),
        ("a card that is gone is not known to a new run", &all, spoilt(unplugged), &[(1, "none")]),
    ];
    for (why, settings, snapshot, expected) in cases {
        let standing = judged(settings, &snapshot);
        let seen: Vec<_> = standing
            .places
            .iter()
            .map(|(place, cause)| {
                (place.numa_node.unwrap(), cause.as_ref().map_or("none", Cause::reason))
            })
            .collect();
        assert_eq!(seen, expected, "{why}");
    }
}

#[test]
fn slots_are_not_dealt_anew_for_what_is_gone_or_unseen() {
    let known = [0, 1].map(|node| (Place::node(Some(node)), None));
    let former = Standing { places: known.into(), ..Standing::default() };
    let cases: [(&str, Snapshot, [&str; 2]); 3] = [
        (
            "a card is gone: its slots are, the others stay",
            spoilt(|node| {
                inner(&mut node.ports).remove(&PORTS[0].parse().unwrap()).unwrap();
            }),
            ["NoPort", "none"],
        ),
        (
            "the bus cannot be read: all are, with that reason",
            spoilt(|node| node.ports = unread()),
            ["Unreadable", "Unreadable"],
        ),
        (
            "the NUMA node of a port cannot be read",
            spoilt(|node| port_of(node, 0).numa_node = unread()),
            ["Unreadable", "none"],
        ),
    ];
    for (why, snapshot, expected) in cases {
        let standing = since(&former, &settings(4), &snapshot);
        let devices = devices(&"p".parse().unwrap(), &settings(4), &standing);
        let nodes: Vec<_> = devices.iter().map(|device| device.numa_node).collect();
        assert_eq!(nodes, [Some(0), Some(1), Some(0), Some(1)], "{why}");
        let causes: Vec<_> = devices
            .iter()
            .take(2)
            .map(|one| one.cause.as_ref().map_or("none", Cause::reason))
            .collect();
        assert_eq!(causes, expected, "{why}");
    }
}

#[test]
fn devices_of_a_pool_that_stands_nowhere_say_why() {
    let cases = [
        ("no card", spoilt(|node| node.ports = Reading::Known(BTreeMap::new())), "NoPort"),
        ("a bus that was never read", spoilt(|node| node.ports = unread()), "Unreadable"),
    ];
    for (why, snapshot, expected) in cases {
        let standing = judged(&settings(2), &snapshot);
        let devices = devices(&"p".parse().unwrap(), &settings(2), &standing);
        assert!(
            devices.iter().all(|one| one.cause.as_ref().unwrap().reason() == expected),
            "{why}"
        );
        assert_eq!(devices.len(), 2, "{why}");
    }
}

#[test]
fn the_local_share_is_the_top_of_the_list() {
    let settings = PoolSettings { local: 2, ..settings(5) };
    let standing = judged(&settings, &node());
    let local: Vec<_> = devices(&"p".parse().unwrap(), &settings, &standing)
        .iter()
        .map(|device| device.local_only)
        .collect();
    assert_eq!(local, [false, false, false, true, true]);
}

#[test]
fn what_a_container_gets() {
    let launcher = PoolSettings { preload: false, launcher: true, ..settings(1) };
    let plain = PoolSettings { preload: false, ..settings(1) };
    let cases = [
        (
            "preload: the library, and the variable that names it",
            settings(1),
            1,
            Some("LD_PRELOAD"),
        ),
        (
            "launcher: program and profiles, and its own variable",
            launcher,
            3,
            Some("ONLOAD_PRELOAD"),
        ),
        ("neither: the library alone", plain, 1, None),
    ];
    for (why, settings, mounts, variable) in cases {
        let answer = judged(&settings, &node()).answer.unwrap();
        assert_eq!(answer.mounts.len(), mounts, "{why}");
        assert_eq!(answer.environment.keys().next().map(String::as_str), variable, "{why}");
        assert_eq!(answer.device_nodes, DEVICE_NODES, "{why}");
        for path in answer.environment.values() {
            let directory = path.rsplit_once('/').unwrap().0;
            assert!(answer.mounts.contains_key(directory), "{why}: {path} is not there");
        }
    }
}

#[test]
fn an_answer_outlives_the_release_it_was_given_with() {
    let settings = PoolSettings { preload: false, launcher: true, ..settings(1) };
    let former = judged(&settings, &node()).answer.unwrap();
    assert_eq!(
        former.mounts["/opt/onload/usr/lib64"],
        "/var/lib/onloadd/pools/onload/current/lib64"
    );
    let other = spoilt(|node| {
        let host = inner(&mut node.releases).remove(&"host".parse().unwrap()).unwrap();
        let root = "/var/lib/onloadd/releases/9.9.9".to_owned();
        let library_directory = "usr/lib/x86_64-linux-gnu".to_owned();
        let imported = Release { root, library_directory, ..host };
        inner(&mut node.releases).insert("9.9.9".parse().unwrap(), imported);
        node.userland = Reading::Known(userland(&["onload"], "9.9.9"));
    });
    assert_eq!(judged(&settings, &other).answer.unwrap(), former);
}

#[test]
fn nothing_is_offered_before_containers_would_find_it() {
    let cause = |spoil: fn(&mut Snapshot)| {
        let causes = judged(&settings(1), &spoilt(spoil)).places.into_values().flatten();
        causes.map(|cause| cause.reason()).collect::<BTreeSet<_>>()
    };
    assert_eq!(cause(|_| {}), BTreeSet::new());
    let of_another = |node: &mut Snapshot| {
        node.userland = Reading::Known(userland(&["onload"], "9.1.2"));
    };
    assert_eq!(cause(of_another), BTreeSet::from(["Preparing"]));
    let of_another_pool = |node: &mut Snapshot| {
        node.userland = Reading::Known(userland(&["other"], "host"));
    };
    assert_eq!(cause(of_another_pool), BTreeSet::from(["Preparing"]));
    assert_eq!(cause(|node| node.userland = unread()), BTreeSet::from(["Unreadable"]));
}
