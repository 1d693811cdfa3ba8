//! What the README tells people to type works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use onload_tests::node::Node;

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
