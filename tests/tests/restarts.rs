//! Pods, devices and restarts, end to end: the real daemon, a kubelet stand-in whose pod-resources
//! speak real gRPC. The table of restarts has its rows from reference/kubelet-api.md section 7.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::process::Command;
use std::time::Duration;

use onload_tests::background::Background;
use onload_tests::binaries::binary;
use onload_tests::kubelet::{Devices, Holding, Kubelet, PodsFault, healthy, pod_name};
use onload_tests::node::{Node, PATIENCE};
use onloadd::host::sim::World;
use onloadd::kubelet::pods::{PodsError, list_within};
use onloadd::kubelet::pods_api::pod_resources_lister_client::PodResourcesListerClient;
use onloadd::kubelet::pods_api::{AllocatableResourcesRequest, GetPodResourcesRequest};
use serde_json::Value;

const RESOURCE: &str = "amd.com/onload";
/// Graces and ticks that a test can sit through.
const QUICK: &str = "[kubelet]\nrelease-grace = \"500ms\"\n\
    [daemon]\nlook-every = \"1s\"\n";
/// A container that the kubelet does not name, as it is shown.
const UNNAMED: &str = "a container the kubelet has not named yet";

/// A node with little patience, and a kubelet that has its devices.
struct Rig {
    background: Background,
    node: Node,
    kubelet: Kubelet,
}

impl Rig {
    fn new(world: &str) -> Self {
        let background = Background::start().unwrap();
        let mut node = Node::stopped(world).unwrap();
        node.configure("quick.toml", QUICK).unwrap();
        let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
        node.start().unwrap();
        let rig = Self { background, node, kubelet };
        rig.served();
        rig
    }

    /// Waits until the kubelet has all devices.
    fn served(&self) {
        let all = |devices: &Devices| healthy(devices) == 100;
        self.background.run(self.kubelet.wait_for(RESOURCE, PATIENCE, all)).unwrap();
    }

    /// A pod with a device, named by the daemon.
    fn pod(&mut self) -> Holding {
        let pod = self.background.run(self.kubelet.allocate(RESOURCE, 1)).unwrap();
        let holder = format!("default/{}/app", pod_name(pod.pod));
        self.holders("the pod's name", &[&holder]);
        pod
    }

    /// Waits until the devices lent have these holders.
    fn holders(&mut self, what: &str, expected: &[&str]) {
        let as_expected = |node: &Node| Ok(holders(node) == expected);
        self.node.until(what, as_expected).unwrap();
    }

    fn restart_daemon(&mut self) {
        self.node.stop().unwrap();
        self.node.start().unwrap();
    }

    fn fault(&self, fault: Option<PodsFault>) {
        self.background.run(self.kubelet.set_pods_fault(fault)).unwrap();
    }

    /// Waits until the kubelet has been asked so often again.
    fn asked(&self, times: u64) {
        let before = self.kubelet.seen().pod_questions;
        let enough = |seen: &onload_tests::kubelet::Seen| seen.pod_questions >= before + times;
        self.background.run(self.kubelet.wait_until("questions", PATIENCE, enough)).unwrap();
    }

    /// The longer grace is one that a test can sit through from now on.
    fn long_time_is_over(&self) {
        self.node.configure("short.toml", "[kubelet]\nunnamed-grace = \"1s\"\n").unwrap();
        self.node.ctl_ok(["reload"]).unwrap();
    }

    /// Waits until the condition on allocations has this reason.
    fn reason(&mut self, expected: &str) {
        let what = format!("AllocationsConsistent to say {expected}");
        self.node.until(&what, |node| Ok(consistent(node)["reason"] == expected)).unwrap();
    }
}

fn holders(node: &Node) -> Vec<String> {
    let all = node.json(&["allocations"]).unwrap();
    let all = all["allocations"].as_array().unwrap();
    all.iter().map(|one| one["holder"].as_str().unwrap().to_owned()).collect()
}

fn consistent(node: &Node) -> Value {
    let status = node.status().unwrap();
    let all = status["conditions"].as_array().unwrap();
    let found = all.iter().find(|one| one["type"] == "AllocationsConsistent");
    found.unwrap_or_else(|| panic!("{status}")).clone()
}

#[test]
fn a_pod_that_ends_gives_its_device_back_after_the_grace() {
    let mut rig = Rig::new("two-x2522");
    let pod = rig.pod();
    let all = rig.node.json(&["allocations"]).unwrap();
    let one = &all["allocations"][0];
    assert_eq!(one["device"], pod.ids[0].as_str(), "{one}");
    assert_eq!(one["holder_kind"], "container", "{one}");
    assert_eq!((&one["pod_namespace"], &one["container_name"]), (&"default".into(), &"app".into()));
    let numa = rig.kubelet.devices(RESOURCE)[&pod.ids[0]].numa[0];
    assert_eq!(one["numa_node"], numa, "{one}");
    rig.kubelet.release(RESOURCE, &pod.ids);
    rig.holders("the device to be free", &[]);
    assert_eq!(consistent(&rig.node)["status"], "True");
}

#[test]
fn without_pod_resources_nothing_is_freed_and_that_is_said() {
    let mut rig = Rig::new("two-x2522");
    let pod = rig.pod();
    let holder = format!("default/{}/app", pod_name(pod.pod));
    rig.fault(Some(PodsFault::Absent));
    rig.kubelet.release(RESOURCE, &pod.ids);
    rig.reason("KubeletSilent");
    let condition = consistent(&rig.node);
    assert_eq!(condition["status"], "Unknown", "{condition}");
    assert!(condition["message"].as_str().unwrap().contains("is not there"), "{condition}");
    // Several ticks, each longer than the grace.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(holders(&rig.node), [holder.as_str()]);

    for fault in [PodsFault::Refuse("not today".to_owned()), PodsFault::Blank] {
        rig.fault(Some(fault));
        rig.asked(3);
        assert_eq!(holders(&rig.node), [holder.as_str()]);
    }
    rig.reason("Leaked");
    rig.fault(None);
    rig.holders("the device to be free", &[]);
    rig.reason("Consistent");
}

#[test]
fn an_init_containers_device_is_kept_for_the_long_time_and_then_freed() {
    let mut rig = Rig::new("two-x2522");
    let app = rig.pod();
    let holder = format!("default/{}/app", pod_name(app.pod));
    rig.background.run(rig.kubelet.allocate_for_init(RESOURCE, 1)).unwrap();
    rig.reason("NeverNamed");
    let condition = consistent(&rig.node);
    assert_eq!(condition["status"], "True", "{condition}");
    assert!(condition["message"].as_str().unwrap().contains("1h"), "{condition}");
    // Longer than a grace; and what was named ends as ever meanwhile.
    rig.asked(2);
    let mut all = holders(&rig.node);
    all.sort();
    assert_eq!(all, [UNNAMED, holder.as_str()]);
    rig.kubelet.release(RESOURCE, &app.ids);
    rig.holders("the pod's device to be free", &[UNNAMED]);
    rig.long_time_is_over();
    rig.holders("the init container's device to be free", &[]);
    rig.reason("Consistent");
}

/// A kubelet comes up that has not reached its API server, or the daemon while it has not.
fn cut_off(rig: &mut Rig, daemon_too: bool) {
    rig.fault(Some(PodsFault::CutOff));
    rig.background.run(rig.kubelet.restart()).unwrap();
    if daemon_too {
        rig.restart_daemon();
    }
    rig.served();
    rig.reason("Unconfirmed");
}

#[test]
fn a_kubelet_that_comes_up_cut_off_from_its_api_server_ends_nothing() {
    for daemon_too in [false, true] {
        let mut rig = Rig::new("two-x2522");
        let pods = [0, 1].map(|_| rig.background.run(rig.kubelet.allocate(RESOURCE, 1)).unwrap());
        let [first, second] =
            [&pods[0], &pods[1]].map(|pod| format!("default/{}/app", pod_name(pod.pod)));
        rig.holders("both names", &[&first, &second]);
        cut_off(&mut rig, daemon_too);
        rig.kubelet.release(RESOURCE, &pods[1].ids);
        rig.asked(3);
        assert_eq!(holders(&rig.node), [first.clone(), second], "several graces later");
        rig.reason("Unconfirmed");
        // It reaches it: what has ended meanwhile is free a grace later.
        rig.fault(None);
        rig.holders("what ended to be free", &[&first]);
        rig.reason("Consistent");
    }
}

#[test]
fn a_kubelet_that_stays_cut_off_ends_what_it_does_not_name_after_the_long_time() {
    let mut rig = Rig::new("two-x2522");
    rig.pod();
    cut_off(&mut rig, false);
    rig.long_time_is_over();
    rig.holders("the device to be free", &[]);
}

#[test]
fn what_the_ledger_lost_comes_back_from_the_kubelet() {
    let mut rig = Rig::new("two-x2522");
    let pod = rig.pod();
    rig.node.kill().unwrap();
    // As after a loss of power: what was written of a container's grant is not there.
    fs::remove_file(rig.node.state_directory().join("ledger.json")).unwrap();
    rig.node.start().unwrap();
    let holder = format!("default/{}/app", pod_name(pod.pod));
    rig.holders("the pod to be known again", &[&holder]);
}

/// What happens to a node on which a pod has a device.
struct Row {
    name: &'static str,
    happens: fn(&mut Rig),
}

#[test]
fn restarts_keep_what_pods_have_and_free_what_ended_meanwhile() {
    let rows = [
        Row { name: "plugin restarts", happens: |rig| rig.restart_daemon() },
        Row {
            name: "kubelet restarts",
            happens: |rig| {
                rig.background.run(rig.kubelet.restart()).unwrap();
            },
        },
        Row {
            name: "both restart, the kubelet first",
            happens: |rig| {
                rig.node.stop().unwrap();
                rig.background.run(rig.kubelet.restart()).unwrap();
                rig.node.start().unwrap();
            },
        },
        Row {
            name: "both restart, the plugin first",
            happens: |rig| {
                rig.background.run(rig.kubelet.stop());
                rig.restart_daemon();
                rig.background.run(rig.kubelet.restart()).unwrap();
            },
        },
        Row {
            name: "the kubelet opens its socket long after it is said to be up",
            happens: |rig| {
                rig.background.run(rig.kubelet.stop());
                fs::remove_file(rig.kubelet.dir().join("kubelet.sock")).unwrap();
                rig.restart_daemon();
                std::thread::sleep(Duration::from_millis(500));
                rig.background.run(rig.kubelet.restart()).unwrap();
            },
        },
        Row {
            name: "the socket directory is removed",
            happens: |rig| {
                rig.background.run(rig.kubelet.stop());
                // onloadd may bind its socket anew in between, which it cannot once the directory is gone.
                let removed = |_: &i32| fs::remove_dir_all(rig.kubelet.dir()).is_ok();
                assert!((0..20).any(|turn| removed(&turn)), "the directory is removed");
                fs::remove_dir_all(rig.kubelet.pods_socket().parent().unwrap()).unwrap();
                std::thread::sleep(Duration::from_millis(100));
                assert!(
                    !rig.kubelet.dir().exists(),
                    "the kubelet's directories are its own to make"
                );
                rig.background.run(rig.kubelet.restart()).unwrap();
            },
        },
    ];
    for Row { name, happens } in rows {
        let mut rig = Rig::new("two-x2522");
        let stays = rig.pod();
        let ends = rig.background.run(rig.kubelet.allocate(RESOURCE, 1)).unwrap();
        let [first, second] =
            [&stays, &ends].map(|pod| format!("default/{}/app", pod_name(pod.pod)));
        rig.holders(name, &[&first, &second]);
        happens(&mut rig);
        rig.served();
        assert_eq!(rig.kubelet.devices(RESOURCE).len(), 100, "{name}: capacity never changes");
        assert_eq!(holders(&rig.node), [first.clone(), second], "{name}: nothing is lost");
        rig.kubelet.release(RESOURCE, &ends.ids);
        rig.holders(name, &[&first]);
        let held = rig.kubelet.held();
        assert_eq!(held[0].response, stays.response, "{name}: what is replayed");
        println!("{name}: kept and freed as it should be");
    }
}

#[test]
fn node_reboots() {
    let shipped = World::shipped("two-x2522").unwrap();
    let line = shipped.lines().find(|line| line.starts_with("boot-id")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), shipped).unwrap();
    let mut rig = Rig::new(file.path().to_str().unwrap());
    let stays = rig.pod();
    let ends = rig.background.run(rig.kubelet.allocate(RESOURCE, 1)).unwrap();
    let [first, second] = [&stays, &ends].map(|pod| format!("default/{}/app", pod_name(pod.pod)));
    rig.holders("both names", &[&first, &second]);
    rig.node.ctl_ok(["allocate", "onload"]).unwrap();
    let all = holders(&rig.node);
    assert_eq!(all.len(), 3, "{all:?}");

    rig.node.kill().unwrap();
    rig.background.run(rig.kubelet.stop());
    let next = "boot-id = \"0c1f2a3e-5d74-4b8e-9a40-2f7d1c90b3e5\"";
    fs::write(file.path(), shipped.replace(line, next)).unwrap();
    // The plugin is ordered before the kubelet.
    rig.node.start().unwrap();
    assert_eq!(holders(&rig.node).len(), 3, "nothing is given away on a guess");
    // One pod's object was deleted while the node was down.
    rig.kubelet.release(RESOURCE, &ends.ids);
    rig.background.run(rig.kubelet.restart()).unwrap();
    rig.node
        .until("the pod that is gone to be forgotten", |node| Ok(!holders(node).contains(&second)))
        .unwrap();
    let all = holders(&rig.node);
    assert!(all.len() == 2 && all.contains(&first), "{all:?}");
}

#[test]
fn a_device_of_a_pod_deleted_by_force_is_its_next_pods_at_once() {
    let mut rig = Rig::new("two-x2522");
    rig.node.configure("slow.toml", "[kubelet]\nrelease-grace = \"1h\"\n").unwrap();
    rig.node.ctl_ok(["reload"]).unwrap();
    let former = rig.pod();
    rig.kubelet.release(RESOURCE, &former.ids);
    let next = rig.background.run(rig.kubelet.allocate_ids(RESOURCE, &former.ids)).unwrap();
    let holder = format!("default/{}/app", pod_name(next.pod));
    rig.holders("the next pod's name", &[&holder]);
}

#[test]
fn a_kubelet_that_never_comes_costs_nothing_and_a_second_daemon_is_refused() {
    let mut node = Node::simulated("two-x2522").unwrap();
    node.until_state("ready").unwrap();
    let status = node.status().unwrap();
    let registered = status["conditions"].as_array().unwrap().iter();
    let registered = registered.clone().find(|one| one["type"] == "KubeletRegistered").unwrap();
    assert_eq!(registered["status"], "False", "{registered}");
    assert!(!node.kubelet_directory().exists());

    let second = Command::new(binary("onloadd"))
        .args(["--sim", "two-x2522", "--bus", &node.bus.address()])
        .arg("--state-directory")
        .arg(node.state_directory())
        .arg("--kubelet-directory")
        .arg(node.kubelet_directory())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && text.contains("fix: stop the other one"), "{text}");
    assert_eq!(node.status().unwrap()["state"], "ready", "the first goes on");
}

#[tokio::test]
async fn pod_resources_are_read_in_whole_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let limit = Duration::from_millis(300);
    let nowhere = list_within(&root.path().join("kubelet.sock"), limit).await.unwrap_err();
    assert!(matches!(nowhere, PodsError::Absent { .. }), "{nowhere}");

    let kubelet = Kubelet::start(root.path().join("device-plugins")).await.unwrap();
    let socket = kubelet.pods_socket();
    let list = list_within(&socket, limit).await.unwrap();
    assert_eq!((list.pods, list.held.len()), (1, 0), "the node's own pod has no device");
    assert_eq!(list.offered, Some(Vec::new()));
    kubelet.set_pods_fault(Some(PodsFault::NotAllocatable)).await.unwrap();
    let list = list_within(&socket, limit).await.unwrap();
    assert_eq!((list.pods, list.offered), (1, None), "an older kubelet says less, not nothing");
    kubelet.set_pods_fault(Some(PodsFault::Refuse("not today".to_owned()))).await.unwrap();
    let refused = list_within(&socket, limit).await.unwrap_err().to_string();
    assert!(refused.contains("not today"), "{refused}");
    kubelet.set_pods_fault(Some(PodsFault::Hang)).await.unwrap();
    let silent = list_within(&socket, limit).await.unwrap_err();
    assert!(matches!(silent, PodsError::Silent(_)), "{silent}");
    kubelet.set_pods_fault(None).await.unwrap();
    kubelet.stop().await;
    let dead = list_within(&socket, limit).await.unwrap_err();
    assert!(matches!(dead, PodsError::Unreached { .. }), "{dead}");

    // The other two calls of the contract.
    kubelet.restart().await.unwrap();
    let endpoint = tonic::transport::Endpoint::try_from(format!("unix://{}", socket.display()));
    let channel = endpoint.unwrap().connect().await.unwrap();
    let mut client = PodResourcesListerClient::new(channel);
    let all = client.get_allocatable_resources(AllocatableResourcesRequest {}).await.unwrap();
    assert!(all.into_inner().devices.is_empty());
    let request = |name: &str| GetPodResourcesRequest {
        pod_name: name.to_owned(),
        pod_namespace: "kube-system".to_owned(),
    };
    let own = client.get(request("kube-proxy")).await.unwrap().into_inner().pod_resources.unwrap();
    assert_eq!(own.name, "kube-proxy");
    assert!(client.get(request("nobody")).await.is_err());
}
