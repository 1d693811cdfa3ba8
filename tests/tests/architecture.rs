//! The repository keeps its shape: who depends on what, where `unsafe` is, how long a file may be,
//! that licences are known, and that the shipped configuration is the built-in one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use onload_core::config::{Config, Fragment};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        // Other platforms' packages are not downloaded.
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Normal dependencies of our crates, by crate.
fn dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().unwrap();
    let ours = packages.iter().filter(|package| package["source"].is_null());
    ours.map(|package| {
        let normal =
            package["dependencies"].as_array().unwrap().iter().filter(|one| one["kind"].is_null());
        let names = normal.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        (package["name"].as_str().unwrap().to_owned(), names)
    })
    .collect()
}

#[test]
fn the_brain_depends_on_nothing_that_can_do_io() {
    let dependencies = dependencies(&metadata());
    let pinned = ["crc32fast", "regex-lite", "serde", "serde_json", "sha2", "thiserror", "toml"]
        .map(str::to_owned);
    assert_eq!(
        dependencies["onload-core"],
        BTreeSet::from(pinned),
        "see ARCHITECTURE.md before adding one"
    );
}

#[test]
fn crates_keep_to_their_layer() {
    let dependencies = dependencies(&metadata());
    let ours = |name: &str| -> BTreeSet<String> {
        dependencies[name].iter().filter(|one| one.starts_with("onload")).cloned().collect()
    };
    assert_eq!(ours("onload-dbus"), BTreeSet::new(), "the contract depends on nothing of ours");
    let both = BTreeSet::from(["onload-core".to_owned(), "onload-dbus".to_owned()]);
    assert_eq!(ours("onloadctl"), both, "the CLI speaks to the bus, and evaluates profiles itself");
    assert_eq!(ours("onloadd"), both);
    assert_eq!(dependencies.len(), 5, "five crates: {:?}", dependencies.keys());
}

#[test]
fn every_licence_is_one_we_accept_and_every_source_is_the_registry() {
    const ACCEPTED: [&str; 10] = [
        "MIT",
        "MIT-0",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "ISC",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "Unicode-3.0",
        "Zlib",
        "Unlicense",
    ];
    let metadata = metadata();
    let mut refused = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none").replace('/', " OR ");
        // Enough for the expressions in use: every AND part must have an accepted OR part.
        let accepted = licence.split(" AND ").all(|part| {
            part.split(" OR ").any(|one| ACCEPTED.contains(&one.trim_matches(['(', ')', ' '])))
        });
        let registry =
            package["source"].as_str().is_none_or(|source| source.starts_with("registry+"));
        if !accepted || !registry {
            refused.push(format!("{name}: {licence}, {}", package["source"]));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// What is written by a test from something else, and compared with it.
const GENERATED: [&str; 4] = [
    "daemon/src/kubelet/api.rs",
    "daemon/src/kubelet/pods_api.rs",
    "daemon/src/kubelet/watcher_api.rs",
    "dbus/src/proxies.rs",
];

/// Rust sources of ours, generated ones left out.
fn sources() -> Vec<(PathBuf, String)> {
    let output =
        Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().unwrap();
    let files = String::from_utf8(output.stdout).unwrap();
    let sources: Vec<_> = files
        .lines()
        .filter(|file| !GENERATED.contains(file))
        .map(|file| {
            (PathBuf::from(file), fs::read_to_string(root().join(file)).unwrap_or_default())
        })
        .collect();
    assert!(sources.len() > 50, "git lists the sources");
    sources
}

#[test]
fn unsafe_stands_in_two_files() {
    // Spelt apart, so that this file is not one of them.
    let word = concat!("unsafe", " {");
    let files: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains(word))
        .map(|(file, _)| file)
        .collect();
    assert_eq!(files, ["daemon/src/descriptor.rs", "daemon/src/resident.rs"].map(PathBuf::from));
}

#[test]
fn no_file_is_longer_than_a_reader_keeps_in_mind() {
    const LONGEST: usize = 450;
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LONGEST)
        .map(|(file, text)| format!("{}: {} lines", file.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(file, _)| file)
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn the_shipped_configuration_shows_every_default() {
    let file = root().join("packaging/config/onloadd.toml");
    let text = fs::read_to_string(file).unwrap();
    let shipped =
        Config::merge(&[Fragment { file: "onloadd.toml".to_owned(), text: text.clone() }]).unwrap();
    let pool = Fragment { file: "built-in".to_owned(), text: "[pools.onload]\n".to_owned() };
    let built_in = Config::merge(&[pool]).unwrap();
    assert_eq!(shipped.settings, built_in.settings, "what the file says is what holds without it");
    for (key, entry) in &built_in.entries {
        let leaf = key.rsplit('.').next().unwrap();
        assert!(
            shipped.entries[key].origin.is_some(),
            "{key} ({}) is not in the file",
            entry.value
        );
        assert!(text.contains(leaf));
    }
}

#[test]
fn nothing_pins_a_toolchain_and_the_lock_file_is_committed() {
    assert!(
        !root().join("rust-toolchain.toml").exists() && !root().join("rust-toolchain").exists()
    );
    let output =
        Command::new("git").args(["ls-files", "Cargo.lock"]).current_dir(root()).output().unwrap();
    assert_eq!(output.stdout, b"Cargo.lock\n");
}
