//! Devices that turn unhealthy, vanish and come back under those who have them.

use std::time::Duration;

use onload_tests::kubelet::{Unfit, healthy};
use onload_tests::node::Node;

use crate::rig::{ALL, RESOURCE, Rig, lent};

pub fn a_pod_keeps_a_device_that_turns_unhealthy() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    rig.node.act("libraries of host gone").unwrap();
    rig.listed(ALL, 0);
    rig.condition("DevicesHealthy", "False");
    let why = rig.node.ctl_ok(["why", &pod.ids[0]]).unwrap();
    assert!(why.contains("no Onload user libraries are installed"), "{why}");
    rig.held_by(&[&pod]);
    // A container of it that crashes is started again without anybody being asked.
    assert_eq!(rig.kubelet.restart_container(pod.pod).unwrap(), pod.response);
    rig.node.act("libraries of host back").unwrap();
    rig.served();
    rig.held_by(&[&pod]);
}

pub fn a_card_that_is_pulled_takes_its_devices_and_brings_them_back() {
    let mut rig = Rig::new();
    let pods = [rig.pod(), rig.pod()];
    let devices = rig.kubelet.devices(RESOURCE);
    for port in ["0000:3b:00.0", "0000:3b:00.1", "0000:af:00.0", "0000:af:00.1"] {
        rig.node.act(&format!("unplug {port}")).unwrap();
    }
    rig.listed(ALL, 0);
    rig.held_by(&[&pods[0], &pods[1]]);
    for port in ["0000:3b:00.0", "0000:3b:00.1", "0000:af:00.0", "0000:af:00.1"] {
        rig.node.act(&format!("plug {port}")).unwrap();
    }
    rig.served();
    assert_eq!(rig.kubelet.devices(RESOURCE), devices, "the same ids on the same nodes");
    rig.held_by(&[&pods[0], &pods[1]]);
}

pub fn a_restart_is_no_cure_and_none_is_needed() {
    // Libraries of another version than the modules: what a restart could only forget.
    let interface = "library-interface = \"0123456789abcdef0123456789abcdef\"\n";
    let shipped = onloadd::host::sim::World::shipped("two-x2522").unwrap();
    let odd = shipped.replace("root = \"/\"\n", &format!("root = \"/\"\n{interface}"));
    let mut rig = Rig::on(&odd, "");
    rig.node.start().unwrap();
    rig.listed(ALL, 0);
    rig.restart_daemon();
    rig.listed(ALL, 0);
    let lists = rig.kubelet.seen();
    let ever = lists.lists(RESOURCE).iter().any(|list| list.healthy > 0);
    assert!(!ever, "healthy without having been looked at: {:?}", lists.lists(RESOURCE));
    // What is cured while the daemon runs is healthy without a restart.
    let rig = Rig::new();
    for _ in 0..2 {
        rig.node.act("libraries of host gone").unwrap();
        rig.listed(ALL, 0);
        rig.node.act("libraries of host back").unwrap();
        rig.served();
    }
}

pub fn a_device_in_use_is_not_taken_for_a_broken_one() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    rig.node.act("run 4242 as trader in container 9f86d081884c").unwrap();
    rig.node.act("open /dev/onload 4243 as feed in container 9f86d081884c").unwrap();
    rig.node
        .until("the programs to be seen", |node| Ok(node.status()?.to_string().contains("trader")))
        .unwrap();
    // A few looks, and one of a daemon that has only just come.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(healthy(&rig.kubelet.devices(RESOURCE)), ALL);
    let lists = rig.kubelet.seen().lists(RESOURCE).to_vec();
    assert!(lists.last().is_some_and(|list| list.unhealthy == 0), "{lists:?}");
    rig.restart_daemon();
    rig.served();
    rig.held_by(&[&pod]);
}

pub fn a_driver_that_was_reset_serves_the_same_pods_again() {
    let mut rig = Rig::stopped("[modules]\ndrift = \"report\"\n");
    rig.node.start().unwrap();
    rig.served();
    let pod = rig.pod();
    rig.node.act("driver gone sfc").unwrap();
    rig.listed(ALL, 0);
    assert_eq!(rig.kubelet.replay(pod.pod), Err(Unfit::NoneHealthy));
    for module in ["sfc", "onload"] {
        rig.node.act(&format!("load {module} from host")).unwrap();
    }
    rig.served();
    assert_eq!(rig.kubelet.replay(pod.pod).unwrap(), pod.response);
    rig.held_by(&[&pod]);
    let held = |node: &Node| lent(node).len();
    assert_eq!(held(&rig.node), 1);
}
