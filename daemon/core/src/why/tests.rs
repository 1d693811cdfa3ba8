//! What is said of each kind of subject.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::allocation::Holder;
use crate::blocker::Blocker;
use crate::config::PoolKind;
use crate::pool::Cause;
use crate::sample::{PORTS, module, port};
use crate::time::Timestamp;

/// A node with a port, a broken and a lent device, a wanted module that waits for another, and a
/// blocker.
fn picture() -> Picture {
    let port_shown = PortPicture {
        port: port(0),
        family: "X2".to_owned(),
        netdev: Some("ens1f0".parse().unwrap()),
        obstacle: Some(Cause::NoCarrier { port: PORTS[0].parse().unwrap() }),
        ..PortPicture::default()
    };
    let mut port_shown = port_shown;
    port_shown.interface.altnames.insert("enp59s0f0".to_owned());
    let shown = |module, wanted| ModulePicture { module, wanted, differing: Vec::new() };
    let device = |slot: usize, cause, lent| Device {
        id: format!("p-{slot}").parse().unwrap(),
        numa_node: Some(0),
        cause,
        local_only: slot == 2,
        lent,
    };
    let id = AllocationId(1);
    let allocation = Allocation {
        id,
        pool: "p".parse().unwrap(),
        device: "p-1".parse().unwrap(),
        holder: Holder::User { uid: 1000 },
        tenure: Tenure::Persistent,
        since: Timestamp(1),
    };
    let pool = PoolPicture {
        kind: PoolKind::Onload,
        resource: "amd.com/p".to_owned(),
        devices: Arc::new(vec![
            device(0, Some(Cause::LibrariesMissing), Lent::No),
            device(1, None, Lent::Local(id)),
            device(2, None, Lent::No),
            device(3, None, Lent::Withdrawn),
        ]),
        answer: None,
        registered: true,
        ..PoolPicture::default()
    };
    let unread = Blocker::Unreadable { part: "the list".to_owned(), why: "EIO".to_owned() };
    let modules = [
        ("sfc", shown(Reading::Known(module()), true)),
        ("mtd", shown(Reading::Known(module()), false)),
        ("onload", shown(Reading::Absent, true)),
        ("sfc_char", shown(Reading::Absent, true)),
        ("sfc_resource", shown(Reading::Unreadable("EIO".to_owned()), true)),
        ("ptp", shown(Reading::Absent, false)),
    ];
    Picture {
        wanted_release: Some("host".parse().unwrap()),
        plan: Arc::new(vec!["load module onload from host".to_owned()]),
        blockers: Arc::new(vec![Blocked { subject: "sfc".to_owned(), blocker: unread }]),
        ports: Arc::new(BTreeMap::from([(PORTS[0].parse().unwrap(), port_shown)])),
        modules: Arc::new(modules.map(|(name, one)| (name.parse().unwrap(), one)).into()),
        pools: Arc::new(BTreeMap::from([("p".parse().unwrap(), pool)])),
        allocations: Arc::new(BTreeMap::from([(id, Arc::new(allocation))])),
        ..Picture::default()
    }
}

#[test]
fn every_kind_of_subject_has_its_answer() {
    let no_carrier = "Onload cannot use it: port 0000:3b:00.0 has no carrier";
    let cases = [
        ("a port by address", PORTS[0], no_carrier),
        ("a port by its interface", "ens1f0", no_carrier),
        ("a port by another name of its interface", "enp59s0f0", no_carrier),
        ("loaded as wanted", "sfc", "wanted and loaded: it is left as it is"),
        (
            "loaded and not asked for",
            "mtd",
            "loaded, and the configuration does not ask for it: it is left alone",
        ),
        (
            "planned behind a blocker",
            "onload",
            "wanted and not loaded: its load waits for what is in the way of the node",
        ),
        ("another brings it", "sfc_char", "wanted and not loaded; another module brings it"),
        ("cannot be read", "sfc_resource", "nothing is decided about what cannot be read"),
        ("nobody wants it", "ptp", "not wanted and not loaded"),
        ("a pool with a broken device", "p", "1 of its 4 devices cannot be had"),
        ("a pool by its resource", "amd.com/p", "1 of its 4 devices cannot be had"),
        ("a broken device", "p-0", "it cannot be had: no Onload user libraries are installed"),
        ("a lent device", "p-1", "lent to user 1000 (a1)"),
        ("a free device", "p-2", "it can be had"),
        ("a device on its way to a program", "p-3", "about to be lent to a local program"),
        ("an allocation", "a1", "user 1000 has p-1"),
        ("what is well", "ledger", "the ledger is as it should be"),
    ];
    let picture = picture();
    for (why, subject, expected) in cases {
        let found = explain(&picture, subject).unwrap_or_else(|| panic!("{why}: no answer"));
        assert_eq!(found.decision, expected, "{why}");
    }
    for subject in ["", "p-9", "a2", "ens9", "0000:ff:00.0", "9.9"] {
        assert_eq!(explain(&picture, subject), None, "{subject}");
    }
}

#[test]
fn a_blocker_is_told_with_its_remedy_wherever_it_stands_in_the_way() {
    let picture = picture();
    let remedy = picture.blockers[0].blocker.fix();
    for (why, subject) in [
        ("of the subject itself", "sfc"),
        ("of the whole node", "node"),
        ("before a module that is planned", "onload"),
        ("before a module that another brings", "sfc_char"),
    ] {
        let found = explain(&picture, subject).unwrap();
        assert!(found.would_change.contains(&remedy), "{why}: {found:?}");
        assert!(found.inputs.iter().any(|(_, text)| text.contains("EIO")), "{why}: {found:?}");
    }
    let aside = explain(&picture, "mtd").unwrap();
    assert!(!aside.would_change.contains(&remedy), "nothing is in its way: {aside:?}");
}

#[test]
fn a_device_says_what_the_kubelet_is_told_of_it() {
    let cases = [
        ("broken", "p-0", "as unhealthy"),
        ("lent here", "p-1", "as unhealthy: a local program has it"),
        ("of the local share", "p-2", "no: local share"),
        ("withdrawn", "p-3", "as unhealthy: a local program has it"),
    ];
    for (why, subject, expected) in cases {
        let found = explain(&picture(), subject).unwrap();
        let offered = found.inputs.iter().find(|(name, _)| name == "offered to the kubelet");
        assert_eq!(offered.unwrap().1, expected, "{why}");
    }
}

#[test]
fn a_module_with_the_name_of_a_pool_says_how_to_ask_about_the_pool() {
    let mut picture = picture();
    let pools = Arc::make_mut(&mut picture.pools);
    let mut pool = pools.values().next().unwrap().clone();
    pool.resource = "amd.com/onload".to_owned();
    pools.insert("onload".parse().unwrap(), pool);
    let found = explain(&picture, "onload").unwrap();
    let said = ("pool of this name".to_owned(), "`onloadctl why amd.com/onload`".to_owned());
    assert!(found.inputs.contains(&said), "{found:?}");
    assert_eq!(explain(&picture, "amd.com/onload").unwrap().subject, "onload");
}

#[test]
fn a_gap_says_which_kind_it_is_and_nothing_is_left_blank() {
    let cases = [
        (Reading::Known("9.2".to_owned()), "9.2"),
        (Reading::Known(String::new()), "none"),
        (Reading::Absent, "none"),
        (Reading::Unreadable("EIO".to_owned()), "cannot be read: EIO"),
    ];
    for (reading, expected) in cases {
        assert_eq!(shown(&reading), expected);
    }
    let picture = picture();
    for subject in ["sfc", "onload", "p", "p-1", "a1", PORTS[0], "node"] {
        for (name, value) in explain(&picture, subject).unwrap().inputs {
            assert!(!name.is_empty() && !value.is_empty(), "{subject}: {name} is blank");
        }
    }
}
