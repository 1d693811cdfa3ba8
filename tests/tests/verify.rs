//! Level 4: `onloadctl verify` against the real daemon on a simulated machine, and the root of a machine
//! made for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests stop where they fail.

#[path = "verify/root.rs"]
mod root;

use std::fs;
use std::path::Path;
use std::process::Output;

use onload_tests::background::Background;
use onload_tests::kubelet::{Kubelet, healthy, pod_name};
use onload_tests::node::{Node, PATIENCE};
use onload_tests::skip::skip;
use root::{LIBRARY, Root};
use serde_json::Value;

/// The boot of the world of that name.
const TWO_X2522: &str = "6f1c2a3e-5d74-4b8e-9a40-2f7d1c90b3e5";
const RESOURCE: &str = "amd.com/onload";

/// `verify` as programs read it, with its exit code.
fn verify(node: &Node, root: &Root, words: &[&str]) -> (Option<i32>, Value) {
    let output = run(node, root.path(), &[&["--json"], words].concat());
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code(), value)
}

fn run(node: &Node, root: &Path, words: &[&str]) -> Output {
    let root = root.to_str().unwrap();
    node.ctl([&["verify", "--root", root], words].concat()).unwrap()
}

fn check<'a>(report: &'a Value, id: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("{id}: {report:#}"))
}

fn verdict<'a>(report: &'a Value, id: &str) -> &'a str {
    check(report, id)["verdict"].as_str().unwrap()
}

/// What must hold of every report: a reason where it is not well, advice where something is to be done.
fn is_sound(report: &Value) {
    let checks = report["checks"].as_array().unwrap();
    assert!(!checks.is_empty());
    for one in checks {
        let verdict = one["verdict"].as_str().unwrap();
        assert_eq!(one["why"].is_null(), verdict == "pass", "{one}");
        assert_eq!(one["fix"].is_null(), matches!(verdict, "pass" | "skip"), "{one}");
    }
    let counted = |word: &str| checks.iter().filter(|one| one["verdict"] == word).count();
    for word in ["pass", "skip", "warn", "blocked", "fail"] {
        assert_eq!(report["summary"][word], counted(word), "{word}");
    }
}

#[test]
fn a_node_as_it_should_be_passes() {
    let node = Node::simulated("two-x2522").unwrap();
    let root = Root::loaded(TWO_X2522);
    let (code, report) = verify(&node, &root, &[]);
    is_sound(&report);
    let passed = [
        "bus",
        "ready",
        "modules",
        "ports",
        "signatures",
        "nodes",
        "libraries",
        "control-plane",
        "devices",
    ];
    for id in passed {
        assert_eq!(verdict(&report, id), "pass", "{:#}", check(&report, id));
    }
    assert_eq!(code, Some(0), "{report:#}");
    // The library of the simulated machine is not on this one.
    assert_eq!(verdict(&report, "stack"), "skip");
    // There is no kubelet, nor its socket: nothing that keeps local programs from anything.
    assert_eq!(verdict(&report, "kubelet"), "warn");
    assert_eq!(check(&report, "control-plane")["looked"], "pid 812 (onload_cp_serve)");
    // Each condition that `status` shows is some check's.
    let status = node.status().unwrap();
    for one in status["conditions"].as_array().unwrap() {
        let checks = report["checks"].as_array().unwrap();
        assert!(checks.iter().any(|check| check["condition"] == one["type"]), "{one}");
    }
    root.write("var/lib/kubelet/device-plugins/kubelet.sock", "");
    let (code, report) = verify(&node, &root, &[]);
    assert_eq!((code, verdict(&report, "kubelet")), (Some(1), "fail"), "a kubelet is there");
}

#[test]
fn what_the_machine_shows_beside_counts() {
    let node = Node::simulated("two-x2522").unwrap();
    let root = Root::loaded(TWO_X2522);
    root.nodes("", 0o660);
    let (code, report) = verify(&node, &root, &[]);
    assert_eq!((code, verdict(&report, "nodes")), (Some(0), "warn"), "{report:#}");
    root.remove("dev/sfc_char");
    root.write("dev/sfc_char", "a file");
    let (code, report) = verify(&node, &root, &[]);
    assert_eq!((code, verdict(&report, "nodes")), (Some(1), "fail"));
    root.nodes("", 0o666);
    root.remove("proc/812/comm");
    let (code, report) = verify(&node, &root, &[]);
    assert_eq!((code, verdict(&report, "control-plane")), (Some(1), "fail"));
    assert_eq!(check(&report, "control-plane")["condition"], "ControlPlaneRunning");
}

#[test]
fn another_machine_is_not_taken_for_the_node() {
    let node = Node::simulated("two-x2522").unwrap();
    let root = Root::loaded("00000000-0000-0000-0000-000000000000");
    root.remove("dev/onload");
    let (code, report) = verify(&node, &root, &[]);
    assert_eq!((code, verdict(&report, "nodes")), (Some(0), "skip"), "{report:#}");
    let why = check(&report, "nodes")["why"].as_str().unwrap();
    assert!(why.contains("another machine"), "{why}");
}

#[test]
fn each_world_ends_as_bad_as_it_is() {
    /// A world, the exit code, and rows with their verdicts.
    type Case = (&'static str, i32, &'static [(&'static str, &'static str)]);
    let cases: [Case; 4] = [
        ("no-card", 0, &[("modules", "skip"), ("ports", "skip"), ("ready", "pass")]),
        ("unenrolled-key", 4, &[("ready", "blocked"), ("signatures", "blocked")]),
        ("in-tree", 0, &[("ports", "pass"), ("libraries", "pass")]),
        ("virtio", 4, &[("ready", "blocked"), ("ports", "warn"), ("signatures", "skip")]),
    ];
    for (world, expected, verdicts) in cases {
        let mut node = Node::simulated(world).unwrap();
        // A control plane comes up a moment after its module.
        let ends = |node: &Node| Ok(node.ctl(["verify"])?.status.code() == Some(expected));
        node.until(&format!("{world} to end with {expected}"), ends).unwrap();
        let report = node.json(&["verify"]).unwrap();
        is_sound(&report);
        for (id, wanted) in verdicts {
            assert_eq!(verdict(&report, id), *wanted, "{world}: {:#}", check(&report, id));
        }
        assert_eq!(report["exit"], expected, "{world}: {report:#}");
    }
}

#[test]
fn what_goes_wrong_while_it_runs_is_seen() {
    let mut node = Node::simulated("two-x2522").unwrap();
    node.act("control-plane dies").unwrap();
    let ends = |code| move |node: &Node| Ok(node.ctl(["verify"])?.status.code() == Some(code));
    node.until("it to be seen", ends(1)).unwrap();
    let text = String::from_utf8(node.ctl(["verify"]).unwrap().stdout).unwrap();
    let said = "\ncontrol plane: fail\n  why: no control-plane server runs";
    assert!(text.contains(said) && text.contains("\n  fix: see that cplane_server_path"), "{text}");
    assert!(
        text.lines().last().unwrap().starts_with("something does not work: 1 failed"),
        "{text}"
    );
    // A hold breaks nothing, and is in the way of everything.
    let mut node = Node::simulated("two-x2522").unwrap();
    node.until("it to be well", ends(0)).unwrap();
    node.ctl_ok(["hold", "firmware window"]).unwrap();
    node.until("the hold to be seen", ends(4)).unwrap();
    let report = node.json(&["verify"]).unwrap();
    assert_eq!(verdict(&report, "ready"), "blocked");
    assert!(check(&report, "ready")["why"].as_str().unwrap().contains("firmware window"));
}

#[test]
fn without_onloadd_the_machine_still_shows_what_it_can() {
    let node = Node::stopped("two-x2522").unwrap();
    let root = Root::loaded(TWO_X2522);
    let (code, report) = verify(&node, &root, &[]);
    is_sound(&report);
    assert_eq!(code, Some(5), "{report:#}");
    assert_eq!(verdict(&report, "bus"), "fail");
    assert!(check(&report, "bus")["fix"].as_str().unwrap().contains("systemctl"));
    for id in ["modules", "ports", "nodes", "control-plane"] {
        assert_eq!(verdict(&report, id), "pass", "{:#}", check(&report, id));
    }
    // The driver of the kernel itself, bound to the port, is what looks most like success.
    root.write("sys/module/sfc/taint", "\n");
    assert_eq!(verdict(&verify(&node, &root, &[]).1, "ports"), "fail");
    let output = run(&node, root.path(), &["--pod", "default/web"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let output = run(&node, Path::new("/nonexistent"), &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn a_pod_is_looked_into_from_outside() {
    let background = Background::start().unwrap();
    let mut node = Node::simulated("two-x2522").unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 100))
        .unwrap();
    let holding = background.run(kubelet.allocate(RESOURCE, 1)).unwrap();
    let name = pod_name(holding.pod);
    node.until("the pod to be named", |node| {
        let allocations = node.json(&["allocations"])?;
        Ok(allocations["allocations"][0]["pod_name"] == name.as_str())
    })
    .unwrap();
    let root = Root::loaded(TWO_X2522);
    let pod = format!("default/{name}");
    let of_pod = ["--pod", pod.as_str()];

    let (code, report) = verify(&node, &root, &of_pod);
    is_sound(&report);
    assert_eq!((code, verdict(&report, "container-preload")), (Some(0), "skip"), "not begun");
    assert_eq!(check(&report, "container-devices")["looked"], holding.ids[0].as_str());

    root.container(&name, 4711, LIBRARY, true);
    let (code, report) = verify(&node, &root, &of_pod);
    is_sound(&report);
    assert_eq!((code, report["summary"]["pass"].as_u64()), (Some(0), Some(5)), "{report:#}");
    assert_eq!(check(&report, "container-variables")["looked"], "EF_POLL_USEC=100");
    assert!(!report.to_string().contains("SECRET"), "nothing of its environment but Onload's");

    root.container(&name, 4711, "/lib/libjemalloc.so.2", false);
    let (code, report) = verify(&node, &root, &of_pod);
    assert_eq!((code, verdict(&report, "container-preload")), (Some(1), "fail"), "{report:#}");
    let why = check(&report, "container-preload")["why"].as_str().unwrap();
    assert!(why.contains("/lib/libjemalloc.so.2"), "{why}");
    // And among the checks of the node.
    let (code, report) = verify(&node, &root, &["--no-program"]);
    assert_eq!((code, verdict(&report, "container-preload")), (Some(1), "fail"));
    assert_eq!(verdict(&report, "kubelet"), "pass");

    root.container(&name, 4711, LIBRARY, true);
    root.write(&format!("proc/4711/root{LIBRARY}"), "of another release");
    root.remove("proc/4711/root/dev/onload");
    // A container does not lead out of its root.
    std::os::unix::fs::symlink(root.at("dev/onload"), root.at("proc/4711/root/dev/onload"))
        .unwrap();
    let (code, report) = verify(&node, &root, &of_pod);
    assert_eq!((code, verdict(&report, "container-library")), (Some(1), "fail"), "{report:#}");
    assert_eq!(verdict(&report, "container-nodes"), "skip", "a link is no device");

    // Nor is anything of it opened but a file: a pipe would be read as an empty one, a device not at all.
    for spoil in [Root::pipe, Root::device] {
        spoil(&root, &format!("proc/4711/root{LIBRARY}"));
        let (_, report) = verify(&node, &root, &of_pod);
        assert_eq!(verdict(&report, "container-library"), "skip", "{report:#}");
        assert_eq!(check(&report, "container-library")["why"], "it is not a regular file");
    }

    // What may hang is not asked at all: whatever lies there would be told otherwise.
    let mount = |point: &str| format!("9 8 0:9 / {point} rw - fuse.sshfs ann@host:/ rw\n");
    for (point, id) in [("/opt", "container-library"), ("/dev", "container-nodes")] {
        root.write("proc/4711/mountinfo", &mount(point));
        let (_, report) = verify(&node, &root, &of_pod);
        assert_eq!(verdict(&report, id), "skip", "{report:#}");
        let why = check(&report, id)["why"].as_str().unwrap();
        assert!(why.contains(&format!("fuse.sshfs ({point})")), "{why}");
    }

    let unknown = run(&node, root.path(), &["--pod", "default/nobody"]);
    let error = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(unknown.status.code(), Some(1), "{error}");
    assert!(error.contains("default/nobody") && error.contains("fix: `onloadctl allocations`"));
}

/// A library of this machine that a program may have in addition: one that the loader knows already.
fn harmless() -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.filter(|path| path.contains("/libgcc_s.so")).map(str::to_owned).next()
}

#[test]
fn a_program_that_gets_no_stack_is_told_from_one_that_does() {
    const TEST: &str = "a_program_that_gets_no_stack_is_told_from_one_that_does";
    let Some(library) = harmless() else {
        return skip(TEST, "no library to stand in for Onload's is found");
    };
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("usr/lib64");
    fs::create_dir_all(&directory).unwrap();
    fs::copy(library, directory.join("libonload.so")).unwrap();
    let world = fs::read_to_string(Node::repository("packaging/worlds/two-x2522.toml")).unwrap();
    let world = world
        .replace("name = \"host\"", "name = \"9.2.1\"")
        .replace("= \"host\"", "= \"9.2.1\"")
        .replace("root = \"/\"", &format!("root = \"{}\"", place.path().display()));
    let file = place.path().join("world.toml");
    fs::write(&file, world).unwrap();
    let node = Node::simulated(file.to_str().unwrap()).unwrap();
    let root = Root::loaded(TWO_X2522);
    let (code, report) = verify(&node, &root, &[]);
    let stack = check(&report, "stack");
    // It loads, and does nothing of what Onload's does: the child has the kernel's own sockets.
    assert_eq!((code, stack["verdict"].as_str()), (Some(1), Some("fail")), "{stack:#}");
    assert!(stack["why"].as_str().unwrap().contains("unaccelerated"), "{stack:#}");
    let lent = node.json(&["allocations"]).unwrap();
    assert_eq!(lent["allocations"].as_array().unwrap().len(), 0, "the device is given back");
    assert_eq!(verdict(&verify(&node, &root, &["--no-program"]).1, "stack"), "skip");
    let (_, report) = verify(&node, &root, &["--pool", "nonsuch"]);
    assert_eq!(verdict(&report, "stack"), "fail", "{:#}", check(&report, "stack"));
    // What is no library at all is refused by the loader, which starts the program all the same.
    fs::write(directory.join("libonload.so"), "no library").unwrap();
    let (code, report) = verify(&node, &root, &[]);
    let why = check(&report, "stack")["why"].as_str().unwrap();
    assert!(code == Some(1) && why.contains("not mapped it"), "{why}");
}
