//! What is planned for a release, case by case.

use super::*;
use crate::inventory::{ModuleState, OnloadDriver};
use crate::sample::{inner, module_of, node, port_of, spoilt, without};

/// The plan as people read it: steps, then blockers, then whether something is awaited.
fn planned(release: Option<&str>, snapshot: &Snapshot) -> (Vec<String>, Vec<String>, bool) {
    let release = release.map(|name| name.parse().unwrap());
    let Plan { steps, blockers, waiting, .. } =
        plan(release.as_ref(), snapshot, &Hardware::shipped(), &[], &Loads::new());
    let blockers = blockers.iter().map(|one| format!("{}: {}", one.subject, one.blocker.reason()));
    (steps.iter().map(ToString::to_string).collect(), blockers.collect(), waiting)
}

#[test]
fn what_is_planned_for_a_release() {
    let gone = |name: &'static str| spoilt(|node| without(node, name));
    let unread = || "permission denied".to_owned();
    let in_tree = |node: &mut Snapshot| {
        module_of(node, "sfc").taint = Reading::Known(String::new());
    };
    let bare = spoilt(|node| node.modules = Reading::Known(Default::default()));
    let coming = spoilt(|node| module_of(node, "onload").state = ModuleState::Coming);
    let blind = spoilt(|node| node.modules = Reading::Unreadable(unread()));
    let no_bus = spoilt(|node| node.ports = Reading::Unreadable(unread()));
    let no_card = spoilt(|node| node.ports = Reading::Known(Default::default()));
    let other_card = spoilt(|node| {
        inner(&mut node.ports).retain(|_, port| {
            port.vendor = Reading::Known(0x8086);
            true
        });
        without(node, "onload");
    });
    let x3 = spoilt(|node| {
        port_of(node, 0).device = Reading::Known(0x5084);
        port_of(node, 0).vendor = Reading::Known(0x10ee);
    });
    type Case<'a> = (&'a str, Option<&'a str>, Snapshot, &'a [&'a str], &'a [&'a str], bool);
    let cases: [Case<'_>; 17] = [
        ("all is loaded: nothing to do", Some("host"), node(), &[], &[], false),
        ("no release is named: modules are left alone", None, bare.clone(), &[], &[], false),
        (
            "nothing is loaded: the driver first, so that its auxiliary devices are there",
            Some("host"),
            bare.clone(),
            &["load module sfc from host", "load module onload from host"],
            &[],
            false,
        ),
        (
            "onload alone is missing",
            Some("host"),
            gone("onload"),
            &["load module onload from host"],
            &[],
            false,
        ),
        (
            "what nobody can tell the release of is not mixed with an imported one",
            Some("9.2.1"),
            gone("onload"),
            &[
                "unload module sfc_char",
                "unload module sfc_resource",
                "load module onload from 9.2.1",
            ],
            &[],
            false,
        ),
        (
            "in-tree wants the driver alone",
            Some("in-tree"),
            bare,
            &["load module sfc from in-tree"],
            &[],
            false,
        ),
        (
            "in-tree has what it wants, whatever else is loaded",
            Some("in-tree"),
            spoilt(in_tree),
            &[],
            &[],
            false,
        ),
        (
            "in-tree in place of Onload's: users before what they use, and no autoload in between",
            Some("in-tree"),
            node(),
            &[
                "keep the kernel's own driver from coming back by itself",
                "unload module onload",
                "unload module sfc_char",
                "unload module sfc_resource",
                "unload module sfc",
                "load module sfc from in-tree",
                "let the hardware load its driver again",
            ],
            &[],
            false,
        ),
        (
            "the kernel's own sfc goes with all that stands on it",
            Some("host"),
            spoilt(|node| {
                in_tree(node);
                node.driver.control_plane = Reading::Known(BTreeSet::from([812]));
            }),
            &[
                "keep the kernel's own driver from coming back by itself",
                "stop the control-plane server",
                "unload module onload",
                "unload module sfc_char",
                "unload module sfc_resource",
                "unload module sfc",
                "load module sfc from host",
                "let the hardware load its driver again",
                "load module onload from host",
            ],
            &[],
            false,
        ),
        (
            "the first swap of a fresh node",
            Some("host"),
            spoilt(|node| {
                in_tree(node);
                for name in ["onload", "sfc_char", "sfc_resource"] {
                    without(node, name);
                }
                node.driver = OnloadDriver::default();
            }),
            &[
                "keep the kernel's own driver from coming back by itself",
                "unload module sfc",
                "load module sfc from host",
                "let the hardware load its driver again",
                "load module onload from host",
            ],
            &[],
            false,
        ),
        (
            "another version: the driver stays where nothing says that it is another",
            Some("9.3.0"),
            node(),
            &[
                "unload module onload",
                "unload module sfc_char",
                "unload module sfc_resource",
                "load module onload from 9.3.0",
            ],
            &[],
            false,
        ),
        ("host is whatever the distribution brings", Some("host"), node(), &[], &[], false),
        ("a module on its way is awaited", Some("host"), coming, &[], &[], true),
        (
            "modules that cannot be read are not guessed",
            Some("host"),
            blind,
            &[],
            &["sfc: Unreadable", "onload: Unreadable"],
            false,
        ),
        (
            "a bus that cannot be read is said, release or not",
            None,
            no_bus,
            &[],
            &["ports: Unreadable"],
            false,
        ),
        ("no card needs nothing", Some("host"), no_card, &[], &[], false),
        ("another maker's card needs nothing", Some("host"), other_card, &[], &[], false),
    ];
    for (why, release, snapshot, steps, blockers, waiting) in cases {
        let (seen_steps, seen_blockers, seen_waiting) = planned(release, &snapshot);
        assert_eq!((seen_steps.as_slice(), seen_waiting), (&own(steps)[..], waiting), "{why}");
        assert_eq!(seen_blockers, own(blockers), "{why}");
    }
    let drivers = drivers(&x3, &Hardware::shipped(), &Chosen::default()).into_known().unwrap();
    assert!(drivers.contains("sfc"), "one card's driver does not hide another's: {drivers:?}");
}

fn own(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
