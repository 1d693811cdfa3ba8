//! Who comes first, who is dead, and who has the name.

use std::fs;
use std::time::Duration;

use onload_tests::kubelet::healthy;

use crate::rig::{ALL, RESOURCE, Rig, SOCKET};

pub fn one_attempt_is_enough() {
    let mut rig = Rig::stopped("");
    // Less than its pause between two attempts to reach a plugin: there is but one.
    rig.kubelet.set_dial_limit(Duration::from_millis(900));
    rig.node.start().unwrap();
    rig.served();
    assert_eq!(rig.kubelet.seen().register_calls, 1);
}

pub fn a_resource_uses_one_way_only() {
    let mut rig = Rig::stopped("");
    let registry = rig.kubelet.dir().with_file_name("plugins_registry");
    fs::create_dir(&registry).unwrap();
    rig.node.start().unwrap();
    rig.served();
    let left = fs::read_dir(&registry).unwrap().count();
    assert_eq!(left, 0, "the directory is the default, and then nothing is offered to the watcher");
}

pub fn a_registration_server_that_is_dead_is_said_and_outlasted() {
    let mut rig = Rig::new();
    rig.condition("KubeletRegistered", "True");
    // Its file stays, and nobody listens.
    rig.stop_kubelet();
    let said = rig.condition("KubeletRegistered", "False");
    assert!(said["message"].as_str().unwrap().contains("onload"), "{said}");
    rig.node.ctl_ok(["allocate", "onload", "--lease", "1s"]).unwrap();
    rig.restart_kubelet();
    rig.condition("KubeletRegistered", "True");
    rig.served();
}

pub fn a_socket_that_a_kill_left_is_no_obstacle() {
    let mut rig = Rig::new();
    rig.node.kill().unwrap();
    assert!(rig.socket().exists());
    rig.node.start().unwrap();
    rig.served();
    let sockets = fs::read_dir(rig.kubelet.dir()).unwrap();
    let mut names: Vec<_> = sockets.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["kubelet.sock", SOCKET]);
}

pub fn whoever_comes_first_they_meet() {
    let mut rig = Rig::new();
    for offset in [0, 3, 6, 9, 12, 15, 20, 25, 30, 40, 60, 90] {
        rig.node.stop().unwrap();
        rig.stop_kubelet();
        fs::remove_file(rig.kubelet.dir().join("kubelet.sock")).unwrap();
        rig.node.spawn().unwrap();
        // Somewhere in the daemon's first steps, the set-up of its watch among them.
        std::thread::sleep(Duration::from_millis(offset));
        rig.restart_kubelet();
        rig.served();
    }
}

pub fn no_id_of_before_lingers() {
    let mut rig = Rig::new();
    for slots in [7, 12, 3] {
        rig.node.configure("30-slots.toml", &format!("[pools.onload]\nslots = {slots}\n")).unwrap();
        rig.restart_daemon();
        let devices = rig.listed(slots, slots);
        let expected: Vec<_> = (0..slots).map(|slot| format!("onload-{slot}")).collect();
        assert!(expected.iter().all(|id| devices.contains_key(id)), "{devices:?}");
    }
}

pub fn a_predecessor_takes_nothing_with_it() {
    let mut rig = Rig::new();
    for round in 0..6 {
        match round % 2 {
            0 => rig.restart_daemon(),
            _ => {
                rig.node.kill().unwrap();
                rig.node.start().unwrap();
            }
        }
        rig.served();
        let lists = rig.kubelet.seen().lists(RESOURCE).len();
        // What a former stream could still say, it would have said.
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(healthy(&rig.kubelet.devices(RESOURCE)), ALL, "round {round}");
        assert_eq!(rig.kubelet.seen().lists(RESOURCE).len(), lists, "round {round}");
    }
}
