//! `kill -9` at random points, in the middle of allocate, reload and re-registration, 200 times:
//! nothing that anybody was told of is lost, and no device is ever had twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onload_dbus::proxies::ManagerProxy;
use onload_tests::background::Background;
use onload_tests::kubelet::Kubelet;
use onload_tests::node::{Node, PATIENCE};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use zbus::Variant;
use zbus::connection::Builder;

/// How often the daemon is killed; the promise names this number.
const KILLS: usize = 200;
/// The latest a kill comes, after the daemon serves again.
const LATEST_KILL: Duration = Duration::from_millis(120);
const RESOURCE: &str = "amd.com/onload";

/// What callers were told.
#[derive(Debug, Default)]
struct Told {
    /// Allocations that were granted, and not given back since.
    held: BTreeMap<String, String>,
    /// Allocations whose `free` was sent and not answered: may be there or not.
    in_doubt: BTreeSet<String>,
    granted: usize,
    freed: usize,
    reloads: usize,
}

#[test]
fn nothing_is_lost_or_had_twice_over_two_hundred_kills() {
    let background = Background::start().unwrap();
    let mut node = Node::stopped("two-x2522").unwrap();
    // Short, so that a kill falls as often into the writing of a grant as into the wait before it.
    node.configure("kill.toml", "[kubelet]\nwithdraw-settle = \"3ms\"\n").unwrap();
    node.start().unwrap();
    let kubelet = Arc::new(background.run(Kubelet::start(node.kubelet_directory())).unwrap());
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| devices.len() == 100)).unwrap();
    let told = Arc::new(Mutex::new(Told::default()));
    let mut random = fastrand::Rng::with_seed(0x6f6e_6c6f_6164);
    for kill in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = clients(&background, &node, &kubelet, &told, &stop, random.u64(..));
        std::thread::sleep(random.u32(..=1_000) * (LATEST_KILL / 1_000));
        node.kill().unwrap();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            background.run(client).unwrap();
        }
        node.start().unwrap();
        compare(&background, &node, &kubelet, &told, kill);
        settle_accounts(&background, &node, &told);
    }
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| devices.len() == 100)).unwrap();
    let told = background.run(told.lock());
    let pods = kubelet.held().len();
    println!(
        "{KILLS} kills: {} grants, {} given back, {} reloads, {pods} pods, {} registrations",
        told.granted,
        told.freed,
        told.reloads,
        kubelet.seen().registrations.len()
    );
    // The schedule must have hit what it is meant to hit.
    assert!(
        told.granted > KILLS / 4 && told.freed > KILLS / 8 && told.reloads > KILLS / 2 && pods > 10,
        "{told:?}"
    );
}

/// A local program, an administrator, and a kubelet that now and then restarts, all at once.
fn clients(
    background: &Background,
    node: &Node,
    kubelet: &Arc<Kubelet>,
    told: &Arc<Mutex<Told>>,
    stop: &Arc<AtomicBool>,
    seed: u64,
) -> Vec<JoinHandle<()>> {
    let address = node.bus.address();
    let (told, stop, kubelet) = (told.clone(), stop.clone(), kubelet.clone());
    background.run(async move {
        let (a, b, c) = (stop.clone(), stop.clone(), stop);
        vec![
            tokio::spawn(borrow(address.clone(), told.clone(), a, seed)),
            tokio::spawn(reload(address, told, b)),
            tokio::spawn(admit(kubelet, c, seed)),
        ]
    })
}

async fn manager(address: &str) -> ManagerProxy<'static> {
    let connection =
        Builder::address(address).method_timeout(Duration::from_secs(2)).build().await.unwrap();
    ManagerProxy::new(&connection).await.unwrap()
}

/// Allocates and frees, remembering what it was told.
async fn borrow(address: String, told: Arc<Mutex<Told>>, stop: Arc<AtomicBool>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let manager = manager(&address).await;
    while !stop.load(Ordering::Relaxed) {
        let give_back = {
            let told = told.lock().await;
            (told.held.len() > 12 || random.bool())
                .then(|| random.choice(told.held.keys()).cloned())
                .flatten()
        };
        match give_back {
            Some(id) => {
                let freed = manager.free(&id, HashMap::new()).await;
                let mut told = told.lock().await;
                told.held.remove(&id);
                match freed {
                    Ok(()) => told.freed += 1,
                    Err(_) => drop(told.in_doubt.insert(id)),
                }
            }
            None => {
                let tenure = Variant::from("persistent");
                let lent =
                    manager.allocate("onload", 1, HashMap::from([("Tenure", &tenure)])).await;
                let Ok(lent) = lent else { continue };
                let mut told = told.lock().await;
                for (path, device) in lent {
                    let id = path.as_str().rsplit('/').next().unwrap().to_owned();
                    told.held.insert(id, device);
                    told.granted += 1;
                }
            }
        }
    }
}

async fn reload(address: String, told: Arc<Mutex<Told>>, stop: Arc<AtomicBool>) {
    let manager = manager(&address).await;
    while !stop.load(Ordering::Relaxed) {
        if manager.reload().await.is_ok() {
            told.lock().await.reloads += 1;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Pods come; one in a few rounds the kubelet restarts, so that kills fall into re-registration.
async fn admit(kubelet: Arc<Kubelet>, stop: Arc<AtomicBool>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed ^ 1);
    if random.u8(..4) == 0 {
        kubelet.restart().await.unwrap();
    }
    while !stop.load(Ordering::Relaxed) {
        // A pod that ended: the kubelet may give its device to the next one.
        if kubelet.held().len() > 40 {
            let oldest = kubelet.held().into_iter().next().unwrap();
            kubelet.release(RESOURCE, &oldest.ids);
        }
        let _ = kubelet.allocate(RESOURCE, 1).await;
        tokio::time::sleep(Duration::from_millis(random.u64(1..8))).await;
    }
}

/// What the daemon says after the kill against what callers were told before it.
fn compare(
    background: &Background,
    node: &Node,
    kubelet: &Kubelet,
    told: &Mutex<Told>,
    kill: usize,
) {
    let allocations = allocations(node);
    let devices: BTreeSet<_> = allocations.values().map(|one| one.device.clone()).collect();
    assert_eq!(
        devices.len(),
        allocations.len(),
        "kill {kill}: a device is had twice: {allocations:#?}"
    );
    let told = background.run(told.lock());
    for (id, device) in &told.held {
        let found = allocations.get(id);
        assert!(
            found.is_some_and(|one| one.local),
            "kill {kill}: {id} ({device}) is lost: {allocations:#?}"
        );
    }
    for pod in kubelet.held() {
        // A pod is listed from the moment it is asked for; only an answered one was told anything.
        if pod.response.devices.is_empty() {
            continue;
        }
        for id in &pod.ids {
            let holder = allocations.values().find(|one| one.device == *id);
            assert!(
                holder.is_some_and(|one| !one.local),
                "kill {kill}: pod {} has {id}, the daemon says {holder:?}\n{}",
                pod.pod,
                node.log()
            );
        }
    }
    // Whoever was not answered left at most one allocation behind, and it is accounted for.
    let unknown = allocations
        .iter()
        .filter(|(id, one)| {
            one.local && !told.held.contains_key(*id) && !told.in_doubt.contains(*id)
        })
        .count();
    assert!(unknown <= 1, "kill {kill}: {unknown} allocations of nobody: {allocations:#?}");
}

/// Gives back what a call that was never answered may have left.
fn settle_accounts(background: &Background, node: &Node, told: &Mutex<Told>) {
    let mut told = background.run(told.lock());
    for (id, one) in allocations(node) {
        if one.local && !told.held.contains_key(&id) {
            node.ctl_ok(["free", &id]).unwrap();
        }
    }
    told.in_doubt.clear();
}

#[derive(Debug)]
struct Lent {
    device: String,
    local: bool,
}

fn allocations(node: &Node) -> BTreeMap<String, Lent> {
    let json = node.json(&["allocations"]).unwrap();
    let text = |one: &Value, key: &str| {
        one[key].as_str().unwrap_or_else(|| panic!("{key} in {one}")).to_owned()
    };
    let list = json["allocations"].as_array().unwrap();
    list.iter()
        .map(|one| {
            let local = text(one, "holder_kind") != "container";
            (text(one, "id"), Lent { device: text(one, "device"), local })
        })
        .collect()
}
