//! `onloadctl run`: the command is who holds the device, on a real daemon with a simulated machine.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use onload_tests::node::Node;
use serde_json::Value;

/// The library of the world's release, where its host has it.
const LIBRARY: &str = "/usr/lib64/libonload.so";

fn node(configuration: &str) -> Node {
    let mut node = Node::stopped("two-x2522").unwrap();
    node.configure("test.toml", configuration).unwrap();
    node.start().unwrap();
    node
}

fn run(node: &Node, words: &[&str]) -> Command {
    let mut command = node.ctl_command([&["run"], words].concat());
    command.env_remove("LD_PRELOAD").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts a command that says a line and then waits for the end of its input.
fn waiting(node: &Node) -> Child {
    let script = "echo ready; exec cat";
    let mut child = run(node, &["--", "sh", "-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut said = String::new();
    if line.is_empty() {
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    }
    assert_eq!(line, "ready\n", "{said}");
    child
}

fn lent(node: &Node) -> Vec<Value> {
    node.json(&["allocations"]).unwrap()["allocations"].as_array().unwrap().clone()
}

fn until_free(node: &mut Node) {
    node.until("the device to be given back", |node| Ok(lent(node).is_empty())).unwrap();
}

#[test]
fn the_command_has_the_environment_and_its_own_exit_code() {
    let mut node = node("");
    let show = |command: &mut Command, variable: &str| {
        let script = format!("echo ${variable} $EF_POLL_USEC; exit 7");
        let output = command.args(["--", "sh", "-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(show(&mut run(&node, &[]), "LD_PRELOAD"), LIBRARY);
    let mut preloaded = run(&node, &["--pool", "onload"]);
    preloaded.env("LD_PRELOAD", "/x/liba.so /x/libb.so").env("EF_POLL_USEC", "100");
    let shown = show(&mut preloaded, "LD_PRELOAD");
    assert_eq!(shown, format!("{LIBRARY}:/x/liba.so /x/libb.so 100"));
    until_free(&mut node);
    let killed = run(&node, &["--", "sh", "-c", "kill -USR1 $$"]).output().unwrap();
    assert_eq!(killed.status.signal(), Some(nix::sys::signal::Signal::SIGUSR1 as i32));
    until_free(&mut node);
}

#[test]
fn the_command_holds_the_device_as_long_as_it_lives_and_no_longer() {
    let mut node = node("");
    let mut child = waiting(&node);
    // Had it been bound to the connection of onloadctl, it would be free by now: whatever the
    // connection's end told has been dealt with once a later call is answered.
    node.ctl_ok(["hold", "to see an order taken"]).unwrap();
    let held = lent(&node);
    let [one] = &held[..] else { panic!("{held:?}") };
    assert_eq!((one["pid"].as_u64(), one["comm"].as_str()), (Some(child.id().into()), Some("sh")));
    assert_eq!(
        (one["holder_kind"].as_str(), one["tenure"].as_str()),
        (Some("process"), Some("client"))
    );
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    until_free(&mut node);
}

#[test]
fn a_command_that_is_killed_gives_the_device_back_even_to_a_restarted_daemon() {
    let mut node = node("");
    let mut child = waiting(&node);
    child.kill().unwrap();
    child.wait().unwrap();
    until_free(&mut node);
    let mut child = waiting(&node);
    node.kill().unwrap();
    node.start().unwrap();
    assert_eq!(lent(&node).len(), 1, "a restart of the daemon loses no holder");
    child.kill().unwrap();
    child.wait().unwrap();
    until_free(&mut node);
}

#[test]
fn commands_have_devices_of_their_own_and_the_last_one_taken_is_told() {
    let node = node("[pools.onload]\nslots = 2\n");
    let mut children = [waiting(&node), waiting(&node)];
    let mut devices: Vec<_> = lent(&node).iter().map(|one| one["device"].clone()).collect();
    devices.dedup();
    assert_eq!(devices, ["onload-0", "onload-1"]);
    let marker = node.state_directory().join("was-run");
    let touch = ["--", "touch", marker.to_str().unwrap()];
    let output = run(&node, &touch).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert!(
        matches!(lines[..], [what, why, fix] if what.starts_with("error: nothing was lent")
        && why.starts_with("  why: ") && fix.starts_with("  fix: ")),
        "{said}"
    );
    assert!(!marker.exists(), "a command is not run without its device");
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_command_that_cannot_be_run_has_the_codes_of_shells_and_leaves_nothing_lent() {
    let node = node("");
    let plain = node.state_directory().join("plain");
    fs::write(&plain, "no program").unwrap();
    let cases = [
        ("no-such-command-anywhere", 127),
        ("/no/such/command", 127),
        (plain.to_str().unwrap(), 126),
    ];
    for (program, code) in cases {
        let output = run(&node, &["--", program]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{program}: {said}");
        assert_eq!(said.lines().count(), 3, "{said}");
        assert_eq!(lent(&node).len(), 0, "given back before its end: {program}");
    }
    let output = run(&node, &["--pool", "none", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
