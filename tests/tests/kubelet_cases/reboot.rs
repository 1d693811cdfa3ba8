//! The node reboots with pods on it: they are admitted anew and their containers get the answers of
//! before, or none at all.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use onload_tests::kubelet::Unfit;
use onload_tests::node::Node;
use onloadd::kubelet::api::ContainerAllocateResponse;
use serde_json::Value;

use crate::rig::{ALL, Rig, lent};

/// Every text of an answer that reaches the machine.
fn texts(answer: &ContainerAllocateResponse) -> Vec<String> {
    let envs = answer.envs.iter().map(|(name, value)| format!("{name}={value}"));
    let mounts = answer.mounts.iter().map(|mount| mount.host_path.clone());
    let nodes = answer.devices.iter().map(|node| node.host_path.clone());
    let names = answer.cdi_devices.iter().map(|device| device.name.clone());
    let notes = answer.annotations.iter().map(|(name, value)| format!("{name}={value}"));
    envs.chain(mounts).chain(nodes).chain(names).chain(notes).collect()
}

/// Fails if an answer has anything that a reboot, a reload of the modules or another release turns
/// into something else: numbers stand only in the names of directories of the libraries' ABI. `state`
/// is the daemon's directory.
pub fn says_what_stays_true(answer: &ContainerAllocateResponse, state: &str) {
    for text in texts(answer) {
        let rest = text.replace(state, "").replace("lib64", "lib");
        assert!(!rest.contains(|c: char| c.is_ascii_digit()), "`{text}` has a number in it");
    }
    let [mount] = &answer.mounts[..] else { panic!("{:?}", answer.mounts) };
    assert_eq!(mount.host_path, format!("{state}/pools/onload/current/lib64"));
}

pub fn pods_come_back_in_any_order() {
    let mut rig = Rig::new();
    let pods = [rig.pod(), rig.pod(), rig.pod()];
    rig.reboot(|world| world);
    rig.served();
    for at in [2, 0, 1] {
        assert_eq!(rig.kubelet.replay(pods[at].pod).unwrap(), pods[at].response);
    }
    rig.held_by(&[&pods[0], &pods[1], &pods[2]]);
    let unit = fs::read_to_string(Node::repository("units/onloadd.service")).unwrap();
    let before = unit.lines().find(|line| line.starts_with("Before=")).unwrap();
    assert!(before.contains("kubelet.service"), "what the case took for granted: {before}");
}

pub fn nothing_starts_from_memory_alone() {
    let mut rig = Rig::stopped("[modules]\ndrift = \"report\"\n");
    rig.node.start().unwrap();
    rig.served();
    let pod = rig.pod();
    // Who loads the modules is late in this boot.
    rig.reboot(|world| {
        let late = world.replace("sfc = \"host\"\nonload = \"host\"", "sfc = \"host\"");
        late.replace("[config.modules]\nrelease = \"host\"", "[config.modules]")
    });
    rig.listed(ALL, 0);
    assert_eq!(rig.kubelet.replay(pod.pod), Err(Unfit::NoneHealthy));
    rig.node.act("load onload").unwrap();
    rig.served();
    assert_eq!(rig.kubelet.replay(pod.pod).unwrap(), pod.response);
    rig.held_by(&[&pod]);
}

pub fn cards_may_come_back_at_other_addresses() {
    let mut rig = Rig::new();
    let pods = [rig.pod(), rig.pod()];
    let numa = |rig: &Rig, id: &String| rig.listed(ALL, ALL)[id].numa.clone();
    let before = pods.each_ref().map(|pod| numa(&rig, &pod.ids[0]));
    rig.reboot(|world| world.replace("0000:3b:", "0000:5e:").replace("0000:af:", "0000:d8:"));
    rig.served();
    for pod in &pods {
        assert_eq!(rig.kubelet.replay(pod.pod).unwrap(), pod.response);
    }
    rig.held_by(&[&pods[0], &pods[1]]);
    assert_eq!(pods.each_ref().map(|pod| numa(&rig, &pod.ids[0])), before);
    assert!(rig.node.ctl_ok(["ports"]).unwrap().contains("0000:5e:00.0"), "they did move");
}

pub fn no_number_stands_in_an_answer() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    says_what_stays_true(&pod.response, "/var/lib/onloadd");
    rig.reboot(|world| world);
    rig.served();
    let next = rig.pod();
    assert_eq!(next.response, pod.response, "a pod of this boot is told nothing else");
}

pub fn a_pod_refused_after_a_boot_leaves_nothing_to_tidy_up() {
    let mut rig = Rig::stopped("[modules]\ndrift = \"report\"\n");
    rig.node.start().unwrap();
    rig.served();
    rig.node.act("driver gone onload").unwrap();
    rig.listed(ALL, 0);
    for _ in 0..5 {
        rig.try_pod(1).unwrap_err();
        rig.try_pod_with(&["onload-0"]).unwrap_err();
    }
    assert_eq!(lent(&rig.node), []);
    rig.node.act("load onload").unwrap();
    rig.served();
    // Whoever replaces failed pods needs no hand from anybody.
    let all = rig.try_pod(ALL).unwrap();
    assert_eq!(all.ids.len(), ALL);
}

pub fn what_the_former_boot_lent_is_not_taken_for_present() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    let words = ["run", "--", "sh", "-c", "echo ready; exec cat"];
    let mut command = rig.node.ctl_command(words);
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 6];
    program.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(lent(&rig.node).len(), 2);
    // A process of the next boot can have the same number; here it has the same start as well.
    rig.reboot(|world| world);
    rig.held_by(&[&pod]);
    drop(program.stdin.take());
    assert!(program.wait().unwrap().success());
}

pub fn a_pod_of_the_former_boot_is_kept_until_the_kubelet_speaks_and_its_files_are_back() {
    let mut rig = Rig::stopped("");
    fs::create_dir_all(rig.node.config_root()).unwrap();
    let directory = rig.node.config_root().join("cdi");
    let text = format!("[cdi]\ndirectory = {directory:?}\n[kubelet]\nanswer = \"cdi\"\n");
    rig.node.configure("20-case.toml", &text).unwrap();
    rig.node.start().unwrap();
    rig.served();
    let pod = rig.pod();
    let name = pod.response.cdi_devices[0].name.clone();
    rig.node.kill().unwrap();
    // As on a tmpfs.
    fs::remove_dir_all(&directory).unwrap();
    rig.node.start().unwrap();
    rig.boot_daemon(|world| world);
    let file = directory.join("amd.com-onload_onloadd.json");
    let is_named = |text: &str| {
        let file: Value = serde_json::from_str(text).ok()?;
        let kind = file["kind"].as_str()?.to_owned();
        let mut names = file["devices"].as_array()?.iter().filter_map(|one| one["name"].as_str());
        Some(names.any(|one| format!("{kind}={one}") == name))
    };
    rig.node
        .until("the name in a file", |_| Ok(is_named(&fs::read_to_string(&file)?) == Some(true)))
        .unwrap();
    // Longer than the grace: this boot's kubelet has said nothing yet.
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert_eq!(lent(&rig.node).len(), 1);
    rig.restart_kubelet();
    rig.served();
    assert_eq!(rig.kubelet.replay(pod.pod).unwrap(), pod.response);
    rig.held_by(&[&pod]);
}
