//! Signals come from two pictures, and say no less and no more than the difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onload_core::inventory::Link;
use onload_core::names::AllocationId;
use onload_core::picture::Picture;
use onload_core::reading::Reading;
use onload_dbus::BUS_NAME;
use onload_dbus::path::{self, Kind};
use onload_dbus::proxies::{AllocationProxy, PoolProxy};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use zbus::fdo::ObjectManagerProxy;
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant};

use crate::rig::{PATIENCE, Rig, allocation, node};

type Interfaces = HashMap<String, HashMap<String, OwnedVariant>>;

/// A signal in words: what happened, to which object, and for changes to which properties.
async fn next(stream: &mut MessageStream) -> (String, String, BTreeSet<String>) {
    let message = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
    let header = message.header();
    let path = header.path().unwrap().to_string();
    let member = header.member().unwrap().to_string();
    let words = |object: OwnedObjectPath, interfaces: Vec<String>| {
        let object = object.to_string();
        (member.clone(), object, interfaces.into_iter().collect())
    };
    match member.as_str() {
        "InterfacesAdded" => {
            let body = message.body();
            let (object, added): (OwnedObjectPath, Interfaces) = body.deserialize().unwrap();
            words(object, added.into_keys().collect())
        }
        "InterfacesRemoved" => {
            let (object, removed) = message.body().deserialize().unwrap();
            words(object, removed)
        }
        _ => {
            let body = message.body();
            let (_, changed, gone): (String, HashMap<String, OwnedVariant>, Vec<String>) =
                body.deserialize().unwrap();
            assert!(gone.is_empty(), "values are sent, not invalidated");
            (member, path, changed.into_keys().collect())
        }
    }
}

pub async fn listen(client: &Connection) -> MessageStream {
    let rule = MatchRule::builder().msg_type(Type::Signal).sender(BUS_NAME);
    let rule = rule.path_namespace(path::ROOT).build().unwrap();
    MessageStream::for_match_rule(rule, client, None).await.unwrap()
}

/// The last change of each test: when it has come, everything before it has.
pub fn mark(picture: &mut Picture) {
    picture.generation += 1;
}

pub async fn until_marked(stream: &mut MessageStream) -> Vec<(String, String, BTreeSet<String>)> {
    let mut seen = Vec::new();
    loop {
        let signal = next(stream).await;
        if signal.1 == path::ROOT && signal.2.contains("Generation") {
            assert_eq!(signal.2.len(), 1, "nothing else of the node changed: {signal:?}");
            return seen;
        }
        seen.push(signal);
    }
}

pub fn names(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_picture_that_says_the_same_is_silence() {
    let rig = Rig::new(node()).await;
    let mut stream = listen(&rig.client().await).await;
    // Equal parts behind new pointers.
    rig.alter(|picture| *picture = node());
    rig.alter(mark);
    assert_eq!(until_marked(&mut stream).await, []);
}

#[tokio::test]
async fn an_allocation_appears_changes_and_goes() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let mut stream = listen(&client).await;
    let at = path::of(Kind::Allocation, "a2");

    rig.alter(|picture| {
        let allocations = Arc::make_mut(&mut picture.allocations);
        allocations.insert(AllocationId(2), Arc::new(allocation(2)));
        mark(picture);
    });
    let added = ("InterfacesAdded".to_owned(), at.clone(), names(&["com.amd.Onload1.Allocation"]));
    assert_eq!(until_marked(&mut stream).await, [added]);
    let proxy = AllocationProxy::builder(&client)
        .path(at.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .unwrap();
    assert_eq!(proxy.device().await.unwrap(), "onload-2");
    assert_eq!(proxy.comm().await.unwrap(), "trader");

    rig.alter(|picture| {
        let mut moved = allocation(2);
        moved.device = "onload-9".parse().unwrap();
        Arc::make_mut(&mut picture.allocations).insert(AllocationId(2), Arc::new(moved));
        mark(picture);
    });
    let moved = ("PropertiesChanged".to_owned(), at.clone(), names(&["Device"]));
    assert_eq!(until_marked(&mut stream).await, [moved]);
    assert_eq!(proxy.device().await.unwrap(), "onload-9", "what the signal said is there to read");

    rig.alter(|picture| {
        Arc::make_mut(&mut picture.allocations).remove(&AllocationId(2));
        mark(picture);
    });
    let gone = ("InterfacesRemoved".to_owned(), at, names(&["com.amd.Onload1.Allocation"]));
    assert_eq!(until_marked(&mut stream).await, [gone]);
    assert!(proxy.device().await.is_err(), "an object that is gone answers no more");
}

#[tokio::test]
async fn a_port_changes_by_what_differs_and_a_pool_goes_whole() {
    let rig = Rig::new(node()).await;
    let mut stream = listen(&rig.client().await).await;
    rig.alter(|picture| {
        for port in Arc::make_mut(&mut picture.ports).values_mut() {
            port.interface.link = Reading::Known(Link::Down);
            port.interface.speed_mbps = Reading::Absent;
            port.port.driver = Reading::Unreadable("EIO".to_owned());
        }
        Arc::make_mut(&mut picture.pools).clear();
        mark(picture);
    });
    let seen = until_marked(&mut stream).await;
    let gone = path::of(Kind::Pool, "onload");
    let changed = path::of(Kind::Port, "0000:3b:00.0");
    assert_eq!(
        seen,
        [
            ("InterfacesRemoved".to_owned(), gone, names(&["com.amd.Onload1.Pool"])),
            (
                "PropertiesChanged".to_owned(),
                changed,
                names(&["Link", "SpeedMbps", "Driver", "Unreadable"]),
            ),
        ]
    );
}

#[tokio::test]
async fn one_allocation_among_a_thousand_is_one_signal() {
    let mut picture = node();
    let allocations: BTreeMap<_, _> =
        (1..=1_000).map(|n| (AllocationId(n), Arc::new(allocation(n)))).collect();
    picture.allocations = Arc::new(allocations);
    let rig = Rig::new(picture).await;
    let client = rig.client().await;
    let mut stream = listen(&client).await;
    rig.alter(|picture| {
        let allocations = Arc::make_mut(&mut picture.allocations);
        allocations.insert(AllocationId(1_001), Arc::new(allocation(1_001)));
        mark(picture);
    });
    assert_eq!(until_marked(&mut stream).await.len(), 1);
    let manager = zbus::fdo::ObjectManagerProxy::builder(&client)
        .destination(BUS_NAME)
        .path(path::ROOT)
        .build()
        .await
        .unwrap();
    let objects = manager.get_managed_objects().await.unwrap();
    let lent = objects.iter().filter(|(_, found)| found.contains_key("com.amd.Onload1.Allocation"));
    assert_eq!(lent.count(), 1_001);
}

#[tokio::test]
async fn gaps_and_absences_differ_on_the_wire() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let node = onload_dbus::proxies::ManagerProxy::new(&client).await.unwrap();
    assert_eq!(node.kernel().await.unwrap(), "");
    assert_eq!(node.unreadable().await.unwrap().get("Kernel").unwrap(), "EACCES");
    assert_eq!(node.loaded_version().await.unwrap(), "");
    assert!(!node.unreadable().await.unwrap().contains_key("LoadedVersion"));
    let port = onload_dbus::proxies::PortProxy::builder(&client)
        .path(path::of(Kind::Port, "0000:3b:00.0"))
        .build()
        .await
        .unwrap();
    assert_eq!((port.vendor().await.unwrap(), port.numa_node().await.unwrap()), (0x1924, 1));
    assert_eq!(port.phc_index().await.unwrap(), -1);
    assert_eq!(port.unreadable().await.unwrap().get("PhcIndex").unwrap(), "EPERM");
    let pool =
        PoolProxy::builder(&client).path(path::of(Kind::Pool, "onload")).build().await.unwrap();
    let counts = (
        pool.slots().await.unwrap(),
        pool.free().await.unwrap(),
        pool.local().await.unwrap(),
        pool.unhealthy().await.unwrap(),
    );
    assert_eq!(counts, (3, 1, 1, 1));
    assert_eq!(pool.causes().await.unwrap().values().copied().collect::<Vec<_>>(), [1]);
}

/// How many pods go, and how many come.
const BURST: u64 = 300;
/// What everybody else takes of the daemon's time whenever it is their turn.
const OTHERS: Duration = Duration::from_millis(3);

/// Old and new holders of the same devices, and a task beside that is always busy.
async fn burst() -> (Rig, JoinHandle<()>) {
    let rig = Rig::new(with_allocations(1..=BURST)).await;
    let busy = tokio::spawn(async {
        loop {
            std::thread::sleep(OTHERS);
            tokio::task::yield_now().await;
        }
    });
    (rig, busy)
}

fn with_allocations(numbers: RangeInclusive<u64>) -> Picture {
    let allocations = numbers.map(|n| (AllocationId(n), Arc::new(allocation(n))));
    Picture { allocations: Arc::new(allocations.collect()), ..node() }
}

#[tokio::test]
async fn who_asks_for_all_objects_in_a_burst_sees_one_picture() {
    let (rig, busy) = burst().await;
    let client = rig.client().await;
    let manager = ObjectManagerProxy::builder(&client).destination(BUS_NAME);
    let manager = manager.path(path::ROOT).build().await.unwrap();
    let lent = async || -> BTreeSet<String> {
        let objects = manager.get_managed_objects().await.unwrap();
        let allocations = objects.into_iter().filter_map(|(at, found)| {
            let values = found.get("com.amd.Onload1.Allocation")?;
            let device: &str = values["Device"].downcast_ref().unwrap();
            assert!(!device.is_empty(), "{at} says nothing of itself");
            Some(at.to_string())
        });
        allocations.collect()
    };
    let of = |numbers: RangeInclusive<u64>| -> BTreeSet<String> {
        numbers.map(|n| path::of(Kind::Allocation, &AllocationId(n).to_string())).collect()
    };
    let (old, new) = (of(1..=BURST), of(BURST + 1..=2 * BURST));
    assert_eq!(lent().await, old);
    rig.alter(|picture| *picture = with_allocations(BURST + 1..=2 * BURST));
    loop {
        let found = lent().await;
        if found == new {
            break;
        }
        assert!(found == old, "{} of neither picture alone", found.len());
    }
    busy.abort();
}

#[tokio::test]
async fn a_burst_is_told_in_fewer_turns_than_objects() {
    let (rig, busy) = burst().await;
    let mut stream = listen(&rig.client().await).await;
    let began = Instant::now();
    rig.alter(|picture| {
        *picture = with_allocations(BURST + 1..=2 * BURST);
        mark(picture);
    });
    let seen = until_marked(&mut stream).await;
    let took = began.elapsed();
    busy.abort();
    // In the order of the picture: what goes first, then what comes.
    let objects = |range: RangeInclusive<u64>, member: &str| -> Vec<(String, String)> {
        let at = |n| path::of(Kind::Allocation, &AllocationId(n).to_string());
        range.map(|n| (member.to_owned(), at(n))).collect()
    };
    let gone = objects(1..=BURST, "InterfacesRemoved");
    let come = objects(BURST + 1..=2 * BURST, "InterfacesAdded");
    let seen: Vec<_> = seen.into_iter().map(|(member, at, _)| (member, at)).collect();
    assert_eq!(seen, [gone, come].concat());
    let turns = took.as_secs_f64() / OTHERS.as_secs_f64();
    println!("{} signals in {turns:.0} turns, {took:?}", seen.len());
    assert!(turns < seen.len() as f64 / 2.0, "{} signals in {turns:.0} turns", seen.len());
}
