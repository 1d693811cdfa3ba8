//! Clocks on the bus: what they say, what they keep quiet about, and the order about the system clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use onload_core::clock::picture::{ClocksPicture, Keeper};
use onload_core::command::Command;
use onload_core::condition::Status;
use onload_core::picture::Picture;
use onload_dbus::BUS_NAME;
use onload_dbus::path::{self, Kind};
use onload_dbus::proxies::{ClockProxy, ManagerProxy};
use zbus::fdo::ObjectManagerProxy;
use zbus::{Connection, OwnedVariant, Variant};

use crate::rig::{Rig, node};
use crate::signals::{listen, mark, names, until_marked};

/// Stands for no number.
const NONE: i64 = i64::MIN;

async fn clock<'a>(client: &'a Connection, name: &str) -> ClockProxy<'a> {
    ClockProxy::builder(client).path(path::of(Kind::Clock, name)).build().await.unwrap()
}

fn text(facts: &HashMap<String, OwnedVariant>, key: &str) -> String {
    String::try_from(facts[key].try_clone().unwrap()).unwrap()
}

#[tokio::test]
async fn clocks_say_who_steers_them_and_how_well() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let system = clock(&client, "system").await;
    let words = (
        system.name().await.unwrap(),
        system.device().await.unwrap(),
        system.synchronised().await.unwrap(),
        system.standing().await.unwrap(),
        system.reason().await.unwrap(),
        system.source().await.unwrap(),
        system.grandmaster().await.unwrap(),
        system.leap().await.unwrap(),
    );
    let told = ("system", "", "yes", "good", "InSync", "ptp1", "000f53.fffe.000001", "none");
    let told = (told.0, told.1, told.2, told.3, told.4, told.5, told.6, told.7);
    assert_eq!(
        told,
        (&*words.0, &*words.1, &*words.2, &*words.3, &*words.4, &*words.5, &*words.6, &*words.7)
    );
    assert!(system.has_offset().await.unwrap());
    let numbers = (
        system.since().await.unwrap(),
        system.offset().await.unwrap(),
        system.path_delay().await.unwrap(),
        system.frequency().await.unwrap(),
        system.ahead_of_system().await.unwrap(),
    );
    assert_eq!(numbers, (1_000, -12, 2_100, -12_345, NONE));
    let by = system.steered_by().await.unwrap();
    assert_eq!((text(&by, "Kind"), text(&by, "Unit")), ("sfptpd".into(), "sfptpd.service".into()));
    assert_eq!(u32::try_from(by["Pid"].try_clone().unwrap()).unwrap(), 812);
    assert!(!by.contains_key("Container"), "{by:?}");
}

#[tokio::test]
async fn what_is_not_known_of_a_clock_is_told_from_nought() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let ptp0 = clock(&client, "ptp0").await;
    assert_eq!(ptp0.device().await.unwrap(), "/dev/ptp0");
    assert_eq!(ptp0.interfaces().await.unwrap(), ["ens1f0"]);
    assert_eq!((ptp0.has_offset().await.unwrap(), ptp0.offset().await.unwrap()), (false, NONE));
    let numbers = (ptp0.path_delay().await.unwrap(), ptp0.frequency().await.unwrap());
    assert_eq!((numbers, ptp0.ahead_of_system().await.unwrap()), ((NONE, NONE), 37_000_000_123));
    assert!(ptp0.steered_by().await.unwrap().is_empty(), "nobody");
    assert_eq!(ptp0.unreadable().await.unwrap()["Offset"], "EACCES");
    assert_eq!(ptp0.message().await.unwrap(), "nobody\u{fffd}steers it", "no byte 0 on the bus");
}

#[tokio::test]
async fn the_node_says_what_fights_over_clocks_and_what_was_done() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let conflicts = manager.clock_conflicts().await.unwrap();
    assert_eq!(conflicts.len(), 1);
    let words = ["Kind", "Clock", "Message", "Fix"].map(|key| text(&conflicts[0], key));
    assert_eq!(words, ["TwoOfAKind", "ptp0", "two sfptpd run", "stop one"]);
    assert!(bool::try_from(&conflicts[0]["BarsStart"]).unwrap());
    let seen = manager.clock_supervision().await.unwrap();
    let words = ["Mode", "Status", "Reason", "Unit", "Version"].map(|key| text(&seen, key));
    assert_eq!(words, ["manage", "True", "Running", "sfptpd.service", "3.9.0.1007"]);
    let counts = ["Restarts", "Hangs"].map(|key| u32::try_from(&seen[key]).unwrap());
    assert_eq!(counts, [1, 2]);
    let order = manager.clock_handover().await.unwrap();
    assert_eq!(text(&order, "To"), "sfptpd");
    assert_eq!(u64::try_from(&order["At"]).unwrap(), 900);
    let outages = manager.clock_outages().await.unwrap();
    let expected = [(100, 61_000, 3, "Unsteered".into()), (500, -1, 0, "Alarms".to_owned())];
    assert_eq!(outages, expected, "oldest first");
}

#[tokio::test]
async fn clocks_that_are_left_alone_are_no_objects() {
    let rig = Rig::new(Picture { clocks: Arc::default(), ..node() }).await;
    let client = rig.client().await;
    let objects = ObjectManagerProxy::builder(&client).destination(BUS_NAME);
    let objects = objects.path(path::ROOT).build().await.unwrap();
    let listed = objects.get_managed_objects().await.unwrap();
    assert!(listed.keys().all(|at| !at.as_str().contains("/clock/")), "{listed:?}");
    let manager = ManagerProxy::new(&client).await.unwrap();
    assert!(manager.clock_handover().await.unwrap().is_empty());
    assert!(manager.clock_conflicts().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_clock_changes_by_what_differs_and_all_go_together() {
    let rig = Rig::new(node()).await;
    let mut stream = listen(&rig.client().await).await;
    rig.alter(|picture| {
        let clocks = Arc::make_mut(&mut picture.clocks);
        let system = clocks.clocks.get_mut("system").unwrap();
        system.verdict.offset_ns = None;
        system.synchronised = Status::False;
        mark(picture);
    });
    let at = |name: &str| path::of(Kind::Clock, name);
    let changed = names(&["HasOffset", "Offset", "Synchronised"]);
    let changed = ("PropertiesChanged".to_owned(), at("system"), changed);
    assert_eq!(until_marked(&mut stream).await, [changed]);
    rig.alter(|picture| {
        let kept = (*picture.clocks).clone();
        picture.clocks = Arc::new(ClocksPicture { clocks: Default::default(), ..kept });
        mark(picture);
    });
    let gone = |name| {
        let interfaces: BTreeSet<_> = names(&["com.amd.Onload1.Clock"]);
        ("InterfacesRemoved".to_owned(), at(name), interfaces)
    };
    assert_eq!(until_marked(&mut stream).await, [gone("ptp0"), gone("system")]);
}

#[tokio::test]
async fn the_system_clock_is_handed_over_to_one_of_two() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let job = manager.hand_over_clock("sfptpd", HashMap::new()).await.unwrap();
    assert_eq!(path::parse(job.as_str()), Some((Kind::Job, "j7".to_owned())));
    manager.hand_over_clock("back", HashMap::new()).await.unwrap();
    assert!(manager.hand_over_clock("chronyd", HashMap::new()).await.is_err());
    let odd = Variant::from(true);
    let options = HashMap::from([("Force", &odd)]);
    assert!(manager.hand_over_clock("sfptpd", options).await.is_err());
    let orders = [Keeper::Sfptpd, Keeper::Former].map(|to| Command::HandOver { to });
    assert_eq!(rig.commands(), orders, "nothing else is posted");
}
