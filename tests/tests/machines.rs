//! Level 3: captured machines. Every directory of `tests/machines` is one: a root, and in
//! `expected.json` the snapshot that it must read as (`UPDATE=1` writes it anew). The root lies
//! there as recorded (`root/`) or is put together from a manifest (`root.toml`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

use std::fs;
use std::path::Path;
use std::time::Instant;

use onload_core::inventory::{Depth, Snapshot};
use onload_core::reading::Reading;
use onload_tests::recorded::{block_on, look, machines, names, open, with_root};
use onload_tests::skip::skip;
use onloadd::host::Host;

#[test]
fn every_machine_reads_as_expected() {
    let update = std::env::var_os("UPDATE").is_some();
    let names = names();
    for name in &names {
        let seen = with_root(name, look);
        let path = machines().join(name).join("expected.json");
        if update {
            let text = serde_json::to_string_pretty(&seen).unwrap() + "\n";
            fs::write(&path, text).unwrap();
        }
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error} (UPDATE=1 writes it)", path.display()));
        let expected: Snapshot = serde_json::from_str(&text).unwrap();
        // Not all of it is written: what is too long is not compared.
        let written = |look: &Snapshot| serde_json::to_value(look).unwrap();
        assert!(
            written(&seen) == written(&expected),
            "{name} reads differently:\n{}\nUPDATE=1 accepts this as expected.json",
            serde_json::to_string_pretty(&seen).unwrap()
        );
    }
    println!("machines: {} read as expected", names.len());
    assert!(names.len() >= 4, "machines vanished: only {names:?} are left");
}

#[test]
fn every_machine_is_named_in_the_readme() {
    let readme = fs::read_to_string(machines().join("README.md")).unwrap();
    for name in names() {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {name} in README.md"));
        let constructed = machines().join(&name).join("root.toml").exists();
        assert_eq!(row.contains("| constructed |"), constructed, "{row}");
    }
}

#[test]
fn a_capture_of_a_capture_reads_the_same() {
    for name in names() {
        with_root(&name, |root| {
            let copy = tempfile::tempdir().unwrap();
            let seen = block_on(open(root).record(copy.path())).unwrap();
            assert_eq!(seen, look(root), "{name}: recording changes nothing that is read");
            assert_eq!(seen, look(copy.path()), "{name}");
        });
    }
}

#[test]
fn a_capture_of_this_machine_reads_as_the_machine_did() {
    let live = open(Path::new("/"));
    let copy = tempfile::tempdir().unwrap();
    let (seen, took) = block_on(async {
        let seen = live.record(copy.path()).await.unwrap();
        let start = Instant::now();
        live.observe(Depth::Usual).await;
        (seen, start.elapsed())
    });
    println!("a look at this machine took {took:?}");
    assert_eq!(seen, look(copy.path()));
    assert!(seen.kernel.known().is_some(), "a running kernel has a release");
    match &seen.interfaces {
        Reading::Known(interfaces) => {
            let loopback = interfaces.iter().any(|(name, _)| name.as_str() == "lo");
            assert!(loopback, "every network namespace has lo");
        }
        Reading::Absent => panic!("netlink never says that there are no interfaces"),
        Reading::Unreadable(why) => skip("interfaces of this machine", why),
    }
}
