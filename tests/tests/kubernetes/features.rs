//! Features of a node, and the file in which they are kept.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onload_tests::node::{Node, PATIENCE};
use serde_json::json;

use crate::refused;
use crate::schemas::Schema;

fn lines(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(|line| line.split_once('=').unwrap_or_else(|| panic!("{line}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn features_are_what_the_node_says() {
    let node = Node::simulated("two-x2522").unwrap();
    let text = node.ctl_ok(["nfd", "render"]).unwrap();
    let features = lines(&text);
    let value =
        |name: &str| features.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
    assert_eq!(value("onload-card.present"), Some("true"), "{text}");
    assert_eq!(value("onload-card-X2.present"), Some("true"), "{text}");
    assert_eq!(value("onload-driver.all-bound"), Some("true"), "{text}");
    assert_eq!(value("onload-secure-boot"), Some("enabled"), "{text}");
    let status = node.status().unwrap();
    assert_eq!(value("onload-version"), status["loaded_version"].as_str(), "{text}");
    assert_eq!(value("onload-release"), status["loaded_release"].as_str(), "{text}");
    // As labels they would be taken.
    let schema = Schema::of("configmap");
    let mut object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {}});
    object["metadata"]["labels"] = features
        .iter()
        .map(|(name, value)| (format!("feature.node.kubernetes.io/{name}"), json!(value)))
        .collect();
    schema.takes(&object);
    let json = node.json(&["nfd", "render"]).unwrap();
    assert_eq!(json["features"]["onload-card.present"], "true");

    let bare = Node::simulated("no-card").unwrap();
    let text = bare.ctl_ok(["nfd", "render"]).unwrap();
    assert!(text.contains("onload-card.present=false\n") && !text.contains("driver"), "{text}");
    // A driver of the kernel's own is bound, and carries no Onload.
    let mut node = left_alone("two-x2522");
    node.act("driver gone sfc").unwrap();
    node.act("load sfc from in-tree").unwrap();
    let in_tree = |node: &Node| {
        let text = node.ctl_ok(["nfd", "render"])?;
        Ok(["onload-driver.bound=false\n", "onload-ports.ready=0\n"]
            .iter()
            .all(|line| text.contains(line)))
    };
    node.until("the driver to be told", in_tree).unwrap();
}

/// A node on which nothing is put right that others do to its modules.
fn left_alone(world: &str) -> Node {
    let mut node = Node::stopped(world).unwrap();
    node.configure("modules.toml", "[modules]\ndrift = \"report\"\n").unwrap();
    node.start().unwrap();
    node
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let late = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < late, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn alone(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().count() == 1
}

/// One that is stopped while it still asks onloadd takes away what another has left behind, by
/// whichever signal.
fn stopped_before_the_first_look(node: &Node, file: &Path) {
    let pid = |pid: u32| Pid::from_raw(pid.try_into().unwrap());
    let daemon = pid(node.pid().unwrap());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        fs::write(file, "stale\n").unwrap();
        kill(daemon, Signal::SIGSTOP).unwrap();
        let watch = ["nfd", "render", "--watch", "--output", file.to_str().unwrap()];
        let mut kept = node.ctl_command(watch).stdout(Stdio::piped()).spawn().unwrap();
        until("the signals to be heard", || hears(kept.id(), Signal::SIGTERM));
        kill(pid(kept.id()), signal).unwrap();
        let ended = kept.wait().unwrap();
        kill(daemon, Signal::SIGCONT).unwrap();
        assert!(ended.success(), "{signal}: {ended}");
        assert!(!file.exists(), "{signal}: nobody keeps it");
    }
}

/// Whether a process has a handler for a signal (proc_pid_status(5)).
fn hears(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 == 1
}

#[test]
fn the_feature_file_is_whole_kept_and_taken_away() {
    let node = left_alone("two-x2522");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("onloadd");
    let path = file.to_str().unwrap();
    node.ctl_ok(["nfd", "render", "--output", path]).unwrap();
    let first = fs::read_to_string(&file).unwrap();
    assert_eq!(first, node.ctl_ok(["nfd", "render"]).unwrap());
    let seen = fs::metadata(&file).unwrap();
    assert_eq!(seen.permissions().mode() & 0o777, 0o644);
    // Not touched where nothing has changed: the same file, not one like it.
    node.ctl_ok(["nfd", "render", "--output", path]).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().ino(), seen.ino());
    assert!(alone(place.path()), "nothing is left beside it");

    let watch = ["nfd", "render", "--watch", "--output", path];
    let mut kept = node.ctl_command(watch).stdout(Stdio::piped()).spawn().unwrap();
    // Whatever stands in it, the next change puts it right.
    fs::write(&file, "stale\n").unwrap();
    node.act("driver gone onload").unwrap();
    until("the version to go", || {
        fs::read_to_string(&file).is_ok_and(|text| {
            text.contains("onload-card.present=true\n") && !text.contains("onload-version=")
        })
    });
    kill(Pid::from_raw(kept.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert!(kept.wait().unwrap().success());
    assert!(!file.exists(), "nobody keeps it any more");

    stopped_before_the_first_look(&node, &file);

    for wrong in [".hidden", ".", "none/there"] {
        let wrong = place.path().join(wrong);
        refused(&node.ctl(["nfd", "render", "--output", wrong.to_str().unwrap()]).unwrap(), "");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
