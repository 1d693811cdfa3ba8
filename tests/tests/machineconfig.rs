//! Level 4: `onloadctl machineconfig render`, from files alone: what it prints is what is committed, is what
//! Kubernetes and Ignition take, and makes of a bare tree what onloadd, systemd and udev read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

#[path = "machineconfig/applied.rs"]
mod applied;
#[path = "machineconfig/applier.rs"]
mod applier;
#[path = "machineconfig/fetch.rs"]
mod fetch;
#[path = "machineconfig/image.rs"]
mod image;
#[path = "machineconfig/images.rs"]
mod images;
#[path = "machineconfig/password.rs"]
mod password;
#[path = "machineconfig/refused.rs"]
mod refused;
#[path = "machineconfig/rendered.rs"]
mod rendered;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ignition_config::Config;
use onload_tests::binaries::binary;
use onload_tests::node::Node;
use serde_json::Value;

use crate::applier::Tree;

/// An image, as the words of it are.
const IMAGE: &str = "registry.example/onload-node:9.1.0";

/// How a run ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A file of this test's own.
fn input(name: &str) -> String {
    Node::repository("tests/tests/machineconfig/inputs").join(name).display().to_string()
}

fn certificate() -> String {
    Node::repository("tests/secure-boot/module.pem").display().to_string()
}

/// Runs `onloadctl` without a bus, a home or a terminal.
fn onloadctl(words: &[&str]) -> Ran {
    let out = Command::new(binary("onloadctl"))
        .args(words)
        .env("NO_COLOR", "1")
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .stdin(Stdio::null())
        .output()
        .expect("onloadctl runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: out.status.code(), out: text(out.stdout), err: text(out.stderr) }
}

fn render(words: &[&str]) -> Ran {
    onloadctl(&[&["machineconfig", "render"], words].concat())
}

/// The text of a rendering that succeeds.
fn rendered(words: &[&str]) -> String {
    let ran = render(words);
    assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
    ran.out
}

/// The object in a text.
fn object(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

/// What a rendering makes of a bare tree.
fn tree(words: &[&str]) -> Tree {
    let config = object(&rendered(words))["spec"]["config"].to_string();
    let (config, warnings) = Config::parse_str(&config).expect("Ignition");
    assert!(warnings.is_empty(), "{warnings:?}");
    Tree::of(&config).expect("a tree")
}

/// Everything that a layered node can be given.
fn full() -> Vec<String> {
    let words = [
        "--ignition=3.5.0".to_owned(),
        format!("--os-image=registry.example/rhcos-onload@sha256:{}", "0011".repeat(16)),
        format!("--config={}", input("50-site.toml")),
        format!("--naming={}", input("20-names.toml")),
        format!("--clock={}", input("sfptpd.cfg")),
        format!("--modprobe={}", input("onload.conf")),
        format!("--cert={}", certificate()),
        format!("--password-hash={}", input("hash")),
        "--disable-unit=chronyd.service".to_owned(),
        "--kernel-argument=iommu=pt".to_owned(),
        "--kernel-argument=nosmt".to_owned(),
    ];
    words.into()
}

/// A node that fetches its software.
fn pull() -> Vec<String> {
    let words = [
        "--deliver=pull".to_owned(),
        format!("--release={IMAGE}"),
        format!("--config={}", input("50-site.toml")),
        "--ignition=3.2.0".to_owned(),
    ];
    words.into()
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

fn expected(name: &str) -> PathBuf {
    Node::repository("tests/tests/machineconfig/expected").join(name)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
