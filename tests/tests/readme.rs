//! What the README tells people to type works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use onload_core::release::ModuleFile;
use onload_tests::binaries::binary;
use onload_tests::node::Node;
use onload_tests::skip::skip;
use onloadd::module_file::stand_in;

/// Lines of the README's shell blocks, without their comments.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(Node::repository("README.md")).unwrap();
    let blocks = readme.split("```").skip(1).step_by(2);
    let shell = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    shell
        .flat_map(str::lines)
        .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Those of onloadctl that stand behind a prompt, without it.
fn prompted() -> Vec<String> {
    let lines = commands();
    let without = |line: &String| {
        let line = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "))?;
        line.starts_with("onloadctl ").then(|| line.to_owned())
    };
    lines.iter().filter_map(without).collect()
}

/// Runs a line by the shell, which knows what quotes are for.
fn shell(directory: &Path, line: &str) -> Output {
    let program = format!("'{}'", binary("onloadctl").display());
    let line = line.replacen("onloadctl", &program, 1);
    Command::new("sh")
        .args(["-c", &line])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
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
    let desk = ["generate", "sign", "show"].map(|verb| format!("onloadctl keys {verb} "));
    let lines = prompted();
    let lines: Vec<_> =
        lines.iter().filter(|line| desk.iter().any(|verb| line.starts_with(verb))).collect();
    assert_eq!(lines.len(), desk.len(), "{lines:?}");
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
