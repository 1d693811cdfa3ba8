//! A node on a machine that can be rebooted, and a kubelet that has its devices.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use onload_tests::background::Background;
use onload_tests::kubelet::{Devices, Holding, Kubelet, Rejected, Seen, healthy, pod_name};
use onload_tests::node::{Node, PATIENCE};
use onloadd::host::sim::World;
use serde_json::Value;
use tempfile::NamedTempFile;

pub const RESOURCE: &str = "amd.com/onload";
/// The socket of its pool.
pub const SOCKET: &str = "onloadd-onload.sock";
/// The devices of the shipped configuration.
pub const ALL: usize = 100;
/// Graces and ticks that a test can sit through.
const QUICK: &str = "[kubelet]\nrelease-grace = \"500ms\"\nunnamed-grace = \"1s\"\n\
    [daemon]\nlook-every = \"1s\"\n";

pub struct Rig {
    pub background: Background,
    pub node: Node,
    pub kubelet: Kubelet,
    world: NamedTempFile,
    boots: u32,
}

impl Rig {
    /// A node whose devices the kubelet has.
    pub fn new() -> Self {
        let mut rig = Self::stopped("");
        rig.node.start().unwrap();
        rig.served();
        rig
    }

    /// A node with this beside the usual configuration, whose daemon has not been started.
    pub fn stopped(configuration: &str) -> Self {
        Self::on(World::shipped("two-x2522").unwrap(), configuration)
    }

    /// The same on another machine.
    pub fn on(world: &str, configuration: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), world).unwrap();
        let background = Background::start().unwrap();
        let node = Node::stopped(file.path().to_str().unwrap()).unwrap();
        node.configure("10-quick.toml", QUICK).unwrap();
        node.configure("20-case.toml", configuration).unwrap();
        let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
        Self { background, node, kubelet, world: file, boots: 0 }
    }

    /// Waits until the kubelet can give away all devices.
    pub fn served(&self) {
        self.listed(ALL, ALL);
    }

    /// Waits until the kubelet has so many devices, and so many of them healthy.
    pub fn listed(&self, all: usize, well: usize) -> Devices {
        let as_asked = |devices: &Devices| (devices.len(), healthy(devices)) == (all, well);
        let reached = self.background.run(self.kubelet.wait_for(RESOURCE, PATIENCE, as_asked));
        reached.unwrap_or_else(|late| panic!("{late}\n{}", self.node.log()))
    }

    /// Waits until the kubelet has seen something.
    pub fn seen(&self, what: &str, holds: impl FnMut(&Seen) -> bool) -> Seen {
        self.background.run(self.kubelet.wait_until(what, PATIENCE, holds)).unwrap()
    }

    /// Asks for a pod with so many devices.
    pub fn try_pod(&self, count: usize) -> Result<Holding, Rejected> {
        self.background.run(self.kubelet.allocate(RESOURCE, count))
    }

    /// Asks for a pod with these devices, whatever the kubelet was told of them.
    pub fn try_pod_with<S: AsRef<str>>(&self, ids: &[S]) -> Result<Holding, Rejected> {
        self.background.run(self.kubelet.allocate_ids(RESOURCE, ids))
    }

    /// A pod with one device, whose name the daemon knows.
    pub fn pod(&mut self) -> Holding {
        let pod = self.try_pod(1).unwrap();
        let name = holder(&pod);
        self.node.until("the pod's name", |node| Ok(holders(node).contains_key(&name))).unwrap();
        pod
    }

    /// Waits until these pods, and nobody else, have devices, each its own.
    pub fn held_by(&mut self, pods: &[&Holding]) {
        let expected: BTreeSet<_> = pods
            .iter()
            .flat_map(|pod| pod.ids.iter().map(|id| (holder(pod), id.clone())))
            .collect();
        let what = format!("holders to be {expected:?}");
        let as_expected = |node: &Node| {
            let now: Vec<_> = lent(node);
            Ok(now.len() == expected.len() && now.into_iter().collect::<BTreeSet<_>>() == expected)
        };
        self.node.until(&what, as_expected).unwrap();
    }

    pub fn stop_kubelet(&self) {
        self.background.run(self.kubelet.stop());
    }

    pub fn restart_kubelet(&self) {
        self.background.run(self.kubelet.restart()).unwrap();
    }

    pub fn restart_daemon(&mut self) {
        self.node.stop().unwrap();
        self.node.start().unwrap();
    }

    /// A power cut, and a boot into a machine that has changed like this: the daemon comes first, as
    /// its unit is ordered, then the kubelet.
    pub fn reboot(&mut self, change: impl FnOnce(String) -> String) {
        self.boot_daemon(change);
        self.restart_kubelet();
    }

    /// The same up to where the kubelet would start.
    pub fn boot_daemon(&mut self, change: impl FnOnce(String) -> String) {
        self.node.kill().unwrap();
        self.stop_kubelet();
        let former = fs::read_to_string(self.world.path()).unwrap();
        let line = former.lines().find(|line| line.starts_with("boot-id")).unwrap();
        self.boots += 1;
        let next = format!("boot-id = \"0c1f2a3e-5d74-4b8e-9a40-{:012x}\"", self.boots);
        let next = former.replace(line, &next);
        fs::write(self.world.path(), change(next)).unwrap();
        self.node.start().unwrap();
    }

    /// The file of the pool's socket.
    pub fn socket(&self) -> PathBuf {
        self.kubelet.dir().join(SOCKET)
    }

    /// Waits until a condition has this status.
    pub fn condition(&mut self, kind: &str, status: &str) -> Value {
        let what = format!("{kind} to be {status}");
        self.node.until(&what, |node| Ok(condition(node, kind)["status"] == status)).unwrap();
        condition(&self.node, kind)
    }
}

/// What the daemon calls a pod of the stand-in.
pub fn holder(pod: &Holding) -> String {
    format!("default/{}/app", pod_name(pod.pod))
}

/// Who has which device.
pub fn lent(node: &Node) -> Vec<(String, String)> {
    let all = node.json(&["allocations"]).unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = all["allocations"].as_array().unwrap().iter();
    all.map(|one| (text(one, "holder"), text(one, "device"))).collect()
}

/// The devices by holder.
pub fn holders(node: &Node) -> std::collections::BTreeMap<String, String> {
    lent(node).into_iter().collect()
}

/// A condition of the node.
pub fn condition(node: &Node, kind: &str) -> Value {
    let status = node.status().unwrap();
    let all = status["conditions"].as_array().unwrap();
    all.iter().find(|one| one["type"] == kind).unwrap_or_else(|| panic!("{status}")).clone()
}

/// The text of an error in three parts.
pub fn in_three_parts(text: &str) -> bool {
    text.contains("\n  why: ") && text.contains("\n  fix: ")
}
