//! What the README tells people to type works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onload_core::release::ModuleFile;
use onload_tests::binaries::binary;
use onload_tests::node::Node;
use onload_tests::readme::{begins, behind_a_prompt, commands};
use onload_tests::skip::skip;
use onloadd::module_file::stand_in;

/// Those of them that are onloadctl's.
fn prompted() -> Vec<String> {
    behind_a_prompt().into_iter().filter(|line| line.starts_with("onloadctl ")).collect()
}

/// How lines begin that are run on a simulated node, and with what they end there.
const RUN: [(&str, i32); 17] = [
    ("onloadctl clock", 4), // Nobody steers its clock.
    ("onloadctl clock conflicts", 0),
    ("onloadctl clock render", 0),
    ("onloadctl history", 0),
    ("onloadctl keys list", 0),
    ("onloadctl keys status", 0),
    ("onloadctl machineconfig render", 0),
    ("onloadctl nad render", 0),
    ("onloadctl nfd render", 0),
    ("onloadctl pod render --sfnettest", 0),
    ("onloadctl pod render app", 0),
    ("onloadctl profile configmap", 0),
    ("onloadctl profile env", 0),
    ("onloadctl profile list", 0),
    ("onloadctl run --", 0),
    ("onloadctl run --profile", 0),
    ("onloadctl verify", 0),
];

/// Those that are run in a directory with modules.
const KEYS: [&str; 3] = ["onloadctl keys generate", "onloadctl keys sign", "onloadctl keys show"];

/// One that is ended by whoever started it.
const WATCH: &str = "onloadctl clock watch";

/// Those that need more of a node than a simulated one has, and the test that runs them there; onloadctl's are
/// understood here all the same.
const ELSEWHERE: [(&str, &str); 12] = [
    ("onloadctl allocate onload --unit", "kernel/readme.rs"),
    ("onloadctl capture", "kernel/readme.rs"),
    ("onloadctl clock handover", "kernel/clock/handover.rs"),
    ("onloadctl confirm", "kernel/readme.rs"),
    ("onloadctl hold", "kernel/readme.rs"),
    ("onloadctl keys import", "kernel/keys.rs"),
    ("onloadctl keys revoke-request", "kernel/keys.rs"),
    ("onloadctl release check", "kernel/readme.rs"),
    ("onloadctl release import", "kernel/readme.rs"),
    ("onloadctl release use", "kernel/readme.rs"),
    ("onloadctl verify --pod", "verify.rs"),
    ("podman run", "cdi/podman.rs"),
];

/// Those that no test can run as they stand, and why.
const LEFT: [(&str, &str); 2] = [
    ("podman build", "it takes the OS image of a cluster: machineconfig/images.rs has another"),
    ("podman push", "it takes a registry"),
];

/// All beginnings.
fn lists() -> Vec<&'static str> {
    let mut all: Vec<_> = RUN.iter().map(|(one, _)| *one).chain(KEYS).collect();
    all.push(WATCH);
    all.extend(ELSEWHERE.iter().chain(&LEFT).map(|(one, _)| *one));
    all
}

/// The longest of the beginnings above that a line has, which tells what is done with it.
fn beginning(line: &str) -> &'static str {
    let found = lists().into_iter().filter(|one| begins(line, one)).max_by_key(|one| one.len());
    found.unwrap_or_else(|| panic!("`{line}` is neither run nor left with a reason: add it above"))
}

/// Runs a line by the shell, which knows what quotes are for; with words for onloadctl before its verb.
fn shell_with(directory: &Path, line: &str, words: &str) -> Output {
    let program = format!("'{}' {words}", binary("onloadctl").display());
    let line = line.replacen("onloadctl", &program, 1);
    Command::new("sh")
        .args(["-c", &line])
        .env("HOME", directory)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn shell(directory: &Path, line: &str) -> Output {
    shell_with(directory, line, "")
}

#[test]
fn every_line_behind_a_prompt_is_run_or_left_with_a_reason() {
    let all: BTreeSet<_> = lists().into_iter().collect();
    assert_eq!(lists().len(), all.len(), "each is in one list, once");
    let used: BTreeSet<_> = behind_a_prompt().iter().map(|line| beginning(line)).collect();
    assert_eq!(all, used, "a beginning that no line has");
    assert!(LEFT.iter().all(|(_, reason)| !reason.is_empty()));
    for (begins, test) in ELSEWHERE {
        let text = fs::read_to_string(Node::repository("tests/tests").join(test)).unwrap();
        assert!(text.contains(&format!("\"{begins}\"")), "{test} takes no `{begins}` from here");
    }
}

#[test]
fn what_stands_behind_a_prompt_works_on_a_simulated_node() {
    let node = Node::simulated("two-x2522").unwrap();
    let place = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // What whoever types the lines has.
    put("50-site.toml", "[modules]\nrelease = \"host\"\n");
    put(".openonload/profiles/latency.opf", "onload_set EF_POLL_USEC 100000\n");
    put("trader", "#!/bin/sh\necho \"trades $*\"\n");
    fs::set_permissions(place.path().join("trader"), fs::Permissions::from_mode(0o755)).unwrap();
    let bus = format!("--bus '{}'", node.bus.address());
    for line in behind_a_prompt() {
        let begins = beginning(&line);
        let Some((_, code)) = RUN.iter().find(|(one, _)| *one == begins) else { continue };
        let line = line.replace("REGISTRY", "registry.example");
        let line = line.replace("DIGEST", &"0a".repeat(32));
        let output = shell_with(place.path(), &line, &bus);
        assert_eq!(output.status.code(), Some(*code), "{line}: {output:?}");
        // What is written into a file is not printed.
        match line.split_once(" --output ") {
            Some((_, file)) => {
                let text = fs::read_to_string(place.path().join(file)).unwrap();
                assert!(text.contains("kind: MachineConfig"), "{line}: {text}");
            }
            None => assert!(!output.stdout.is_empty(), "{line}: {output:?}"),
        }
    }
}

#[test]
fn every_onloadctl_line_is_understood() {
    let place = tempfile::tempdir().unwrap();
    let mut lines = prompted();
    assert!(lines.len() > 15, "commands behind a prompt: {lines:?}");
    lines.extend(commands().into_iter().filter(|line| line.starts_with("onloadctl ")));
    for line in lines {
        // Help is for the verb that was understood, and for no other; nothing is done.
        let asks = match line.split_once(" -- ") {
            Some((verb, rest)) => format!("{verb} --help -- {rest}"),
            None => format!("{line} --help"),
        };
        let output = shell(place.path(), &asks);
        assert!(output.status.success(), "{line}: {output:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        let verb = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        assert!(help.contains(&format!("Usage: {verb}")), "{line}: {help}");
    }
}

#[test]
fn keys_are_made_and_used_as_it_says() {
    let place = tempfile::tempdir().unwrap();
    let module = stand_in::write(&ModuleFile::default());
    for name in ["sfc.ko", "onload.ko"] {
        fs::write(place.path().join(name), &module).unwrap();
    }
    let mut pack = Command::new("xz");
    pack.args(["--check=crc32", "onload.ko"]).current_dir(place.path());
    if !pack.status().is_ok_and(|status| status.success()) {
        return skip("keys_are_made_and_used_as_it_says", "no program `xz` here");
    }
    let lines = prompted();
    let lines: Vec<_> = lines.iter().filter(|line| KEYS.contains(&beginning(line))).collect();
    assert_eq!(lines.len(), KEYS.len(), "{lines:?}");
    for line in lines {
        let output = shell(place.path(), line);
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {output:?}");
    }
    let output = shell(place.path(), "onloadctl keys show sfc.ko onload.ko.xz --json");
    assert!(output.status.success(), "both are signed: {output:?}");
}

#[test]
fn every_onloadctl_line_does_what_it_says() {
    let node = Node::simulated("two-x2522").unwrap();
    let lines = commands();
    let lines: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("onloadctl ")).collect();
    assert_eq!(lines.len(), 5, "five commands: {lines:?}");
    for line in lines {
        let arguments: Vec<_> = line.split_whitespace().collect();
        if arguments != ["watch"] {
            let text = node.ctl_ok(&arguments).unwrap();
            assert!(!text.trim().is_empty(), "`onloadctl {line}` says nothing");
            continue;
        }
        // It runs until it is ended, and shows what happens meanwhile.
        let mut watch = node.ctl_command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        node.act("link 0000:3b:00.0 down").unwrap();
        std::thread::sleep(Duration::from_millis(1_500));
        watch.kill().unwrap();
        let text = String::from_utf8(watch.wait_with_output().unwrap().stdout).unwrap();
        assert!(text.contains("0000:3b:00.0"), "`onloadctl watch` shows {text:?}");
    }
}

#[test]
fn what_is_drawn_until_it_is_ended_is_drawn() {
    let node = Node::simulated("two-x2522").unwrap();
    let words: Vec<_> = WATCH.split_whitespace().skip(1).collect();
    let mut watch = node.ctl_command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    shown.read_line(&mut line).unwrap();
    let ended = watch.try_wait().unwrap();
    kill(Pid::from_raw(watch.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let status = watch.wait().unwrap();
    assert!(ended.is_none() && line.contains("system"), "{ended:?}: {line:?}");
    assert_eq!(status.code(), Some(0), "Ctrl-C is how it is ended");
}

#[test]
fn every_make_line_names_a_target() {
    let lines = commands();
    let lines: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("make ")).collect();
    assert!(lines.contains(&"demo") && lines.contains(&"test"), "{lines:?}");
    for line in lines {
        let output = Command::new("make")
            .arg("--dry-run")
            .args(line.split_whitespace())
            .current_dir(Node::repository("."))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "make {line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(Node::repository(page)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(Node::repository(link).exists(), "{page} links to {link}");
        }
    }
}
