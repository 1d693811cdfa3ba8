//! A real podman, which finds our devices by their names. Its container is not run, which few
//! machines that test allow: what podman asks the runtime below it for is looked at.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use onload_tests::readme::lines;
use onload_tests::skip::skip;
use serde_json::Value;

use crate::directory::{Edge, eventually, picture};
use crate::read;

const TEST: &str = "podman_finds_our_devices";

/// In mounts of its own: the files where podman looks, and a runtime that only writes down what it
/// is asked for. Podman keeps all it has in the empty /run, and takes a name of a device.
const SCRIPT: &str = r#"
mount -t tmpfs none /run && mkdir /run/cdi && cp "$SCRATCH"/cdi/* /run/cdi/ || exit 99
exec podman --root /run/store --runroot /run/containers --cgroup-manager cgroupfs \
    --storage-driver vfs --runtime "$SCRATCH/runtime" run --rm --network none --log-driver none \
    --device "$DEVICE" --rootfs "$SCRATCH/rootfs" /none
"#;
const RUNTIME: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in --bundle | -b) cp "$2/config.json" "${0%/*}/asked.json" ;; esac
    shift
done
exit 1
"#;

fn podman(scratch: &Path, device: &str) -> Output {
    let mut command = Command::new("timeout");
    command.args(["60", "unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT]);
    command.env("SCRATCH", scratch).env("DEVICE", device).output().unwrap()
}

#[tokio::test]
async fn podman_finds_our_devices() {
    if !Command::new("podman").arg("--version").output().is_ok_and(|out| out.status.success()) {
        return skip(TEST, "podman is not installed");
    }
    if !nix::unistd::geteuid().is_root() {
        return skip(TEST, "mounts of one's own are root's");
    }
    // A node that is on every machine; what a directory of libraries would be.
    let edge = Edge::start(picture("amd.com/onload", "/usr/share", &["/dev/null"]));
    let scratch = edge.root.path();
    eventually("the file", || read(&edge.file()).is_ok()).await;
    fs::create_dir(scratch.join("rootfs")).unwrap();
    let runtime = scratch.join("runtime");
    fs::write(&runtime, RUNTIME).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).unwrap();

    let unknown = podman(scratch, "amd.com/onload=onload-7");
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    if !said.contains("amd.com/onload=onload-7") {
        return skip(TEST, &format!("podman does not get so far here: {}", said.trim()));
    }
    assert!(said.contains("unresolvable"), "{said}");
    assert!(!scratch.join("asked.json").exists(), "{said}");

    let [line] = &lines("podman run")[..] else { panic!("one line") };
    let device = line.split_once("--device ").unwrap().1.split(' ').next().unwrap();
    let known = podman(scratch, device);
    let said = String::from_utf8_lossy(&known.stderr);
    let asked = fs::read_to_string(scratch.join("asked.json"));
    let asked: Value = serde_json::from_str(&asked.unwrap_or_else(|_| panic!("{said}"))).unwrap();
    let has = |place: &str, what: &dyn Fn(&Value) -> bool| {
        asked.pointer(place).and_then(Value::as_array).is_some_and(|list| list.iter().any(what))
    };
    let preload = "LD_PRELOAD=/opt/onload/libonload.so";
    assert!(has("/process/env", &|variable| variable == preload), "{asked}");
    assert!(has("/linux/devices", &|node| node["path"] == "/dev/null"), "{asked}");
    let mounted = |mount: &Value| {
        let read_only = mount["options"].as_array().unwrap().iter().any(|option| option == "ro");
        mount["destination"] == "/opt/onload" && mount["source"] == "/usr/share" && read_only
    };
    assert!(has("/mounts", &mounted), "{asked}");
}
