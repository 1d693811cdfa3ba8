//! A pool in the registry of plugins, end to end: the real daemon and a kubelet stand-in that looks
//! there each second, as the real one does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use onload_tests::background::Background;
use onload_tests::kubelet::{Devices, Fault, Holding, Kubelet, Rejected, Seen, healthy};
use onload_tests::node::{Node, PATIENCE};
use serde_json::Value;

const RESOURCE: &str = "amd.com/onload";
const SOCKET: &str = "onloadd-onload.sock";
/// A pool of each way, and a check at the start of the first one's containers.
const CONFIG: &str = "[daemon]\nlook-every = \"1s\"\n\
    [pools.onload]\nregistration = \"watcher\"\ncheck-at-start = true\n\
    [pools.fast]\nslots = 4\n";

struct Rig {
    background: Background,
    node: Node,
    kubelet: Kubelet,
}

impl Rig {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    fn with(config: &str) -> Self {
        let background = Background::start().unwrap();
        let mut node = Node::stopped("two-x2522").unwrap();
        node.configure("watcher.toml", config).unwrap();
        let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
        let rig_registry = registry(&node);
        background.run(async { kubelet.watch_plugins(rig_registry) }).unwrap();
        node.start().unwrap();
        let rig = Self { background, node, kubelet };
        rig.served();
        rig
    }

    /// Waits until the kubelet has all devices of both pools.
    fn served(&self) {
        self.healthy(RESOURCE, 100);
        self.healthy("amd.com/fast", 4);
    }

    fn healthy(&self, resource: &str, count: usize) {
        let as_many = |devices: &Devices| healthy(devices) == count;
        self.background.run(self.kubelet.wait_for(resource, PATIENCE, as_many)).unwrap();
    }

    /// Waits until the daemon knows this of its registrations, by the condition's status.
    fn registered(&mut self, status: &str) {
        let what = format!("KubeletRegistered to be {status}");
        let says = |node: &Node| Ok(condition(node, "KubeletRegistered")["status"] == status);
        self.node.until(&what, says).unwrap();
    }

    fn pod(&self) -> Holding {
        self.background.run(self.kubelet.allocate(RESOURCE, 1)).unwrap()
    }

    fn start(&self, pod: &Holding) -> Result<(), Rejected> {
        self.background.run(self.kubelet.start_container(pod))
    }

    /// The same, of a kubelet that may just be finding the plugin a second time: after a restart it looks
    /// through its registry, and is told of the socket that the plugin then makes anew.
    fn start_once_found(&self, pod: &Holding) {
        let late = Instant::now() + PATIENCE;
        loop {
            match self.start(pod) {
                Err(Rejected::Unregistered) if Instant::now() < late => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                started => return started.unwrap(),
            }
        }
    }

    fn lent(&self) -> usize {
        self.node.json(&["allocations"]).unwrap()["allocations"].as_array().unwrap().len()
    }
}

/// The registry that goes with the node's kubelet directory.
fn registry(node: &Node) -> PathBuf {
    node.kubelet_directory().with_file_name("plugins_registry")
}

fn condition(node: &Node, kind: &str) -> Value {
    let status = node.status().unwrap();
    let all = status["conditions"].as_array().unwrap();
    let found = all.iter().find(|one| one["type"] == kind);
    found.unwrap_or_else(|| panic!("{status}")).clone()
}

/// What happens to a node on which a pod has a device.
type Row = (&'static str, fn(&mut Rig));

#[test]
fn two_pools_each_in_its_way_and_what_they_lent_survives_restarts() {
    let mut rig = Rig::new();
    rig.registered("True");
    let seen = rig.kubelet.seen();
    assert_eq!((seen.register_calls, seen.plugins.len()), (1, 1), "one of each");
    let info = seen.plugins[0].info.as_ref().unwrap();
    assert_eq!((info.kind.as_str(), info.name.as_str()), ("DevicePlugin", RESOURCE));
    assert!(registry(&rig.node).join(SOCKET).exists());
    assert!(!rig.node.kubelet_directory().join(SOCKET).exists());

    let pod = rig.pod();
    rig.start(&pod).unwrap();
    let rows: [Row; 5] = [
        ("kubelet restarts", |rig| {
            rig.background.run(rig.kubelet.restart()).unwrap();
        }),
        ("plugin restarts", |rig| {
            rig.node.stop().unwrap();
            rig.node.start().unwrap();
        }),
        ("plugin is killed, and leaves its socket", |rig| {
            rig.node.kill().unwrap();
            assert!(registry(&rig.node).join(SOCKET).exists());
            rig.node.start().unwrap();
        }),
        ("socket is removed", |rig| fs::remove_file(registry(&rig.node).join(SOCKET)).unwrap()),
        ("registry is removed, and made again", |rig| {
            let registry = registry(&rig.node);
            // At one go: the daemon is quick to make a socket anew.
            fs::rename(&registry, registry.with_file_name("gone")).unwrap();
            rig.healthy(RESOURCE, 0);
            assert!(!registry.exists(), "the kubelet's directories are its own to make");
            fs::create_dir(&registry).unwrap();
        }),
    ];
    for (name, happens) in rows {
        let lists = |seen: &Seen| seen.lists(RESOURCE).len();
        let before = lists(&rig.kubelet.seen());
        happens(&mut rig);
        let again = |seen: &Seen| lists(seen) > before;
        rig.background.run(rig.kubelet.wait_until(name, PATIENCE, again)).unwrap();
        rig.served();
        assert_eq!(rig.kubelet.devices(RESOURCE).len(), 100, "{name}: capacity");
        let seen = rig.kubelet.seen();
        let sizes = seen.lists(RESOURCE).iter().map(|list| list.healthy + list.unhealthy);
        assert!(sizes.into_iter().all(|size| size == 100), "{name}: capacity never changed");
        assert_eq!((rig.lent(), rig.kubelet.held().len()), (1, 1), "{name}");
        rig.start_once_found(&pod);
        println!("{name}: found again, and what was lent is lent");
    }
}

#[test]
fn a_refusal_is_logged_and_shown_until_it_is_over() {
    let mut rig = Rig::new();
    rig.kubelet.set_fault(Some(Fault::RefuseRegister("not today".to_owned())));
    rig.background.run(rig.kubelet.cut_list(RESOURCE));
    rig.registered("False");
    rig.node
        .until("the refusal in the log", |node| {
            Ok(node.log().contains("the kubelet refused: not today"))
        })
        .unwrap();
    let why = |node: &Node| {
        let message = condition(node, "KubeletRegistered")["message"].clone();
        Ok(message.as_str().unwrap().starts_with("onload: the kubelet refused: not today"))
    };
    rig.node.until("the refusal in the condition", why).unwrap();
    rig.kubelet.set_fault(None);
    rig.served();
    rig.registered("True");
}

#[test]
fn a_reload_changes_the_way_and_pods_keep_their_devices() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    let change = |rig: &mut Rig, way: &str| {
        let text = format!("[pools.onload]\nregistration = \"{way}\"\n");
        rig.node.configure("z-way.toml", &text).unwrap();
        rig.node.ctl_ok(["reload"]).unwrap();
    };
    let (here, there) =
        (registry(&rig.node).join(SOCKET), rig.node.kubelet_directory().join(SOCKET));
    change(&mut rig, "directory");
    rig.node.until("the other socket", |_| Ok(there.exists() && !here.exists())).unwrap();
    rig.served();
    rig.registered("True");
    let calls = rig.kubelet.seen().register_calls;
    // Longer than a turn of the kubelet's.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!((calls, rig.kubelet.seen().register_calls), (2, 2), "it is not cut off again");
    rig.served();
    change(&mut rig, "watcher");
    rig.node.until("the first socket", |_| Ok(here.exists() && !there.exists())).unwrap();
    rig.served();
    rig.registered("True");
    assert_eq!((rig.lent(), rig.kubelet.devices(RESOURCE).len()), (1, 100));
    rig.start(&pod).unwrap();
}

#[test]
fn a_restart_changes_the_way_and_the_kubelet_forgets_before_it_is_told() {
    let mut rig = Rig::new();
    let ends: [Row; 2] =
        [("stopped", |rig| rig.node.stop().unwrap()), ("killed", |rig| rig.node.kill().unwrap())];
    for (how, end) in ends {
        let way = |way: &str| format!("[pools.onload]\nregistration = \"{way}\"\n");
        rig.node.configure("z-way.toml", &way("watcher")).unwrap();
        rig.node.stop().unwrap();
        rig.node.start().unwrap();
        rig.served();
        end(&mut rig);
        rig.node.configure("z-way.toml", &way("directory")).unwrap();
        let of_pool = |seen: &Seen| {
            let all = seen.registrations.iter();
            all.filter(|one| one.resource == RESOURCE).count()
        };
        let before = of_pool(&rig.kubelet.seen());
        rig.node.start().unwrap();
        let told = |seen: &Seen| of_pool(seen) > before;
        rig.background.run(rig.kubelet.wait_until(how, PATIENCE, told)).unwrap();
        rig.served();
        // Longer than a turn of the kubelet's.
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(of_pool(&rig.kubelet.seen()), before + 1, "{how}: it is not cut off again");
        assert!(!registry(&rig.node).join(SOCKET).exists(), "{how}");
        rig.served();
        let left = fs::read_dir(rig.node.runtime_directory()).unwrap();
        let left =
            left.map(|entry| entry.unwrap().file_name()).filter(|name| name != "metrics.sock");
        assert_eq!(left.count(), 0, "{how}: no mark of the registry is left");
    }
}

#[test]
fn a_container_waits_while_the_driver_is_away() {
    // Repaired at once it would hardly be away.
    let rig = Rig::with(&format!("{CONFIG}[modules]\ndrift = \"report\"\n"));
    let pod = rig.pod();
    rig.start(&pod).unwrap();
    rig.node.act("driver gone onload").unwrap();
    rig.healthy(RESOURCE, 0);
    let refused = rig.start(&pod).unwrap_err();
    let said = refused.status().unwrap().message().to_owned();
    assert!(said.contains("was not started\n  why: it cannot work: "), "{said}");
    assert!(said.contains("\n  fix: "), "{said}");
    println!("{said}");
    rig.node.ctl_ok(["apply"]).unwrap();
    rig.healthy(RESOURCE, 100);
    rig.start(&pod).unwrap();
}
