//! Two daemons on one node.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use onload_tests::binaries::binary;
use onload_tests::bus::Bus;
use onload_tests::node::PATIENCE;
use serde_json::Value;

use crate::rig::{ALL, RESOURCE, Rig, in_three_parts, lent};

/// A daemon beside the first; ends with the test.
struct Second(Child);

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn second(bus: &Bus, state: &Path, kubelet: &Path) -> Command {
    let mut command = Command::new(binary("onloadd"));
    command
        .args(["--sim", "two-x2522", "--log", "debug", "--bus", &bus.address()])
        .arg("--state-directory")
        .arg(state)
        .arg("--kubelet-directory")
        .arg(kubelet)
        .stdin(Stdio::null());
    command
}

/// What the first has to show for itself, which a second must not touch.
fn standing(rig: &Rig) -> (u64, usize, usize, u64) {
    let seen = rig.kubelet.seen();
    let socket = fs::metadata(rig.socket()).unwrap().ino();
    (seen.register_calls, seen.registrations.len(), seen.lists(RESOURCE).len(), socket)
}

fn refused(output: &Output, because: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: onloadd did not start") && in_three_parts(&text), "{text}");
    assert!(text.contains(because) && text.contains("stop the other one"), "{text}");
}

pub fn the_same_state_is_refused_and_the_first_undisturbed() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    let before = standing(&rig);
    let elsewhere = Bus::running().unwrap();
    let nowhere = tempfile::tempdir().unwrap();
    // The directory alone decides: on the same bus and kubelet, and away from both.
    let state = rig.node.state_directory();
    let commands = [
        second(&rig.node.bus, &state, rig.kubelet.dir()),
        second(&elsewhere, &state, rig.kubelet.dir()),
        second(&elsewhere, &state, nowhere.path()),
    ];
    for mut command in commands {
        refused(&command.output().unwrap(), "another onloadd runs on");
    }
    assert_eq!(standing(&rig), before);
    assert_eq!(rig.kubelet.replay(pod.pod).unwrap(), pod.response);
    let next = rig.pod();
    rig.held_by(&[&pod, &next]);
}

pub fn another_state_on_the_same_kubelet_waits_for_the_socket() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    let before = standing(&rig);
    let (bus, home) = (Bus::running().unwrap(), tempfile::tempdir().unwrap());
    let log = home.path().join("log");
    let mut command = second(&bus, &home.path().join("state"), rig.kubelet.dir());
    command.stderr(File::create(&log).unwrap()).stdout(Stdio::null());
    let _second = Second(command.spawn().unwrap());
    let status = || -> Option<Value> {
        let words = ["--bus", &bus.address(), "--json", "status"];
        let output = Command::new(binary("onloadctl")).args(words).output().ok()?;
        serde_json::from_slice(&output.stdout).ok()
    };
    let registered = |status: &Value| {
        let all = status["conditions"].as_array().unwrap().iter();
        let mut found = all.filter(|one| one["type"] == "KubeletRegistered");
        found.next().unwrap()["status"].clone()
    };
    let said = || fs::read_to_string(&log).unwrap();
    let begun = std::time::Instant::now();
    while !said().contains("another process serves there") {
        assert!(begun.elapsed() < PATIENCE, "{}", said());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Through some of its attempts.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let of_second = status().unwrap();
    assert_eq!(registered(&of_second), "False", "{of_second}");
    assert!(of_second.to_string().contains("another process serves there"), "{of_second}");
    assert_eq!(standing(&rig), before, "the first is not disturbed");
    let next = rig.pod();
    rig.held_by(&[&pod, &next]);

    // When the first has gone, the second knows from the kubelet what pods have.
    let pods = rig.kubelet.held().len();
    rig.node.stop().unwrap();
    rig.served();
    assert_eq!(rig.kubelet.replay(pod.pod).unwrap(), pod.response);
    let begun = std::time::Instant::now();
    loop {
        let words = ["--bus", &bus.address(), "--json", "allocations"];
        let output = Command::new(binary("onloadctl")).args(words).output().unwrap();
        let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if all["allocations"].as_array().is_some_and(|all| all.len() == pods) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{all}\n{}", said());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn another_state_on_the_same_bus_is_refused() {
    let rig = Rig::new();
    let before = standing(&rig);
    let home = tempfile::tempdir().unwrap();
    let nowhere = home.path().join("device-plugins");
    let mut command = second(&rig.node.bus, &home.path().join("state"), &nowhere);
    refused(&command.output().unwrap(), "com.amd.Onload1");
    assert_eq!(standing(&rig), before);
    assert_eq!((lent(&rig.node).len(), rig.listed(ALL, ALL).len()), (0, ALL));
}
