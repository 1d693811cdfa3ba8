//! The files that tell container runtimes of the pools: what they say, when they change, and what
//! a kubelet, a runtime and others who use the directory meet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

#[path = "cdi/directory.rs"]
mod directory;
#[path = "cdi/podman.rs"]
mod podman;
#[path = "cdi/specification.rs"]
mod specification;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use onload_tests::background::Background;
use onload_tests::kubelet::Kubelet;
use onload_tests::node::{Node, PATIENCE};
use serde_json::Value;

use crate::specification::conforms;

const RESOURCE: &str = "amd.com/onload";
const FILE: &str = "amd.com-onload_onloadd.json";

/// A node that keeps its files below its own directory, not yet started.
fn node(configuration: &str) -> (Node, PathBuf) {
    let node = Node::stopped("two-x2522").unwrap();
    // What is there already, as /run is.
    fs::create_dir(node.config_root()).unwrap();
    let directory = node.config_root().join("cdi");
    let text = format!("[cdi]\ndirectory = {directory:?}\n{configuration}");
    node.configure("test.toml", &text).unwrap();
    (node, directory)
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let value = serde_json::from_str(&fs::read_to_string(path)?)?;
    conforms(&value);
    Ok(value)
}

fn names(file: &Value) -> Vec<String> {
    let devices = file["devices"].as_array().unwrap().iter();
    devices.map(|device| device["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_file_says_what_a_pod_gets_and_stays_when_the_daemon_goes() {
    let (mut node, directory) = node("[pools.onload]\nslots = 4\n[pools.fast]\nslots = 2\n");
    node.start().unwrap();
    let file = directory.join(FILE);
    node.until("the file", |_| Ok(read(&file).is_ok())).unwrap();
    let onload = read(&file).unwrap();
    assert_eq!(names(&onload), ["onload-0", "onload-1", "onload-2", "onload-3"]);
    let fast = read(&directory.join("amd.com-fast_onloadd.json")).unwrap();
    assert_eq!((&fast["kind"], names(&fast).len()), (&Value::from("amd.com/fast"), 2));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&directory), mode(&file)), (0o755, 0o644));

    // The same as the plain answer, in other words.
    let background = Background::start().unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| devices.len() == 4)).unwrap();
    let plain = background.run(kubelet.allocate(RESOURCE, 1)).unwrap().response;
    assert!(plain.cdi_devices.is_empty());
    let edits = &onload["containerEdits"];
    let env: Vec<_> = plain.envs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(edits["env"], Value::from(env));
    let mounts = edits["mounts"].as_array().unwrap().iter().map(|mount| {
        let path = |key: &str| mount[key].as_str().unwrap().to_owned();
        (path("containerPath"), path("hostPath"))
    });
    let of_plain = plain.mounts.into_iter().map(|mount| (mount.container_path, mount.host_path));
    assert_eq!(mounts.collect::<Vec<_>>(), of_plain.collect::<Vec<_>>());
    let nodes = onload["devices"][0]["containerEdits"]["deviceNodes"].as_array().unwrap();
    let nodes: Vec<_> = nodes.iter().map(|node| node["path"].as_str().unwrap()).collect();
    assert_eq!(nodes, plain.devices.iter().map(|node| &*node.host_path).collect::<Vec<_>>());

    node.stop().unwrap();
    assert_eq!(read(&file).unwrap(), onload, "a container that starts again finds its device");
    // The simulated machine begins anew with its daemon, and has nothing in place for containers yet.
    node.start().unwrap();
    let begun = std::time::Instant::now();
    while !read(&file).is_ok_and(|now| now == onload) {
        assert!(begun.elapsed() < PATIENCE, "it does not say so again");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    node.ctl_ok(["reload"]).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written, "it says so already");
}

#[test]
fn a_kubelet_is_answered_by_name_or_in_full_and_never_with_both() {
    let (mut node, directory) = node("[kubelet]\nanswer = \"cdi\"\n");
    node.start().unwrap();
    let background = Background::start().unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| devices.len() == 100)).unwrap();
    let pod = background.run(kubelet.allocate(RESOURCE, 2)).unwrap();
    let answer = &pod.response;
    let given: Vec<_> = answer.cdi_devices.iter().map(|device| device.name.clone()).collect();
    let expected: Vec<_> = pod.ids.iter().map(|id| format!("{RESOURCE}={id}")).collect();
    assert_eq!(given, expected);
    assert!(answer.envs.is_empty() && answer.mounts.is_empty() && answer.devices.is_empty());
    let file = read(&directory.join(FILE)).unwrap();
    assert!(pod.ids.iter().all(|id| names(&file).contains(id)), "a runtime finds them");

    let text = format!("[cdi]\ndirectory = {directory:?}\n");
    node.configure("test.toml", &text).unwrap();
    node.ctl_ok(["reload"]).unwrap();
    let plain = background.run(kubelet.allocate(RESOURCE, 1)).unwrap().response;
    assert!(plain.cdi_devices.is_empty() && !plain.devices.is_empty());
}

#[test]
fn what_cannot_be_served_goes_unless_a_container_has_it() {
    let (mut node, directory) = node("");
    node.start().unwrap();
    let file = directory.join(FILE);
    let is_there = |expected: bool| {
        let file = file.clone();
        move |_: &Node| Ok(read(&file).is_ok() == expected)
    };
    node.until("the file", is_there(true)).unwrap();
    node.act("libraries of host gone").unwrap();
    node.until("no file", is_there(false)).unwrap();
    node.act("libraries of host back").unwrap();
    node.until("the file again", is_there(true)).unwrap();

    let background = Background::start().unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| devices.len() == 100)).unwrap();
    let _pod = background.run(kubelet.allocate(RESOURCE, 1)).unwrap();
    let before = read(&file).unwrap();
    node.act("libraries of host gone").unwrap();
    node.until_state("blocked").unwrap();
    // Long enough for what would be done about it.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(read(&file).unwrap(), before, "its restart resolves the name once more");

    let text = format!("[cdi]\ndirectory = {directory:?}\nenabled = false\n");
    node.configure("test.toml", &text).unwrap();
    node.ctl_ok(["reload"]).unwrap();
    node.until("no file by order", is_there(false)).unwrap();
}

#[test]
fn a_pool_taken_out_of_the_configuration_keeps_its_file_for_its_containers() {
    let (mut node, directory) = node("[pools.fast]\nslots = 2\n");
    node.start().unwrap();
    let background = Background::start().unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    let fast = "amd.com/fast";
    background.run(kubelet.wait_for(fast, PATIENCE, |devices| devices.len() == 2)).unwrap();
    let pod = background.run(kubelet.allocate(fast, 1)).unwrap();
    let file = directory.join("amd.com-fast_onloadd.json");
    node.until("the file", |_| Ok(read(&file).is_ok())).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    assert!(names(&read(&file).unwrap()).contains(&pod.ids[0]));

    let text = format!("[cdi]\ndirectory = {directory:?}\n[pools.other]\nslots = 1\n");
    node.configure("test.toml", &text).unwrap();
    node.ctl_ok(["reload"]).unwrap();
    let other = directory.join("amd.com-other_onloadd.json");
    node.until("the other pool's file", |_| Ok(read(&other).is_ok())).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "its restart resolves the name");

    node.kill().unwrap();
    fs::remove_file(&other).unwrap();
    node.start().unwrap();
    node.until("the other pool's file again", |_| Ok(read(&other).is_ok())).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "by the ledger's word");

    let lent = node.json(&["allocations"]).unwrap();
    let id = lent["allocations"][0]["id"].as_str().unwrap();
    node.ctl_ok(["free", "--force", id]).unwrap();
    node.until("no file", |_| Ok(!file.exists())).unwrap();
}
