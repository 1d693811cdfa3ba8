//! Committed generated code is what its source generates.
//!
//! Committing it spares every build the generators and their thirty crates; this test keeps it
//! honest. `UPDATE=1 cargo test --test generated` writes it anew.

// Test code: a broken assumption must stop the test where it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn kubelet_api_is_what_the_proto_generates() {
    let kubelet = workspace().join("daemon/src/kubelet");
    for (code, proto) in [
        ("api.rs", "deviceplugin.proto"),
        ("pods_api.rs", "podresources.proto"),
        ("watcher_api.rs", "pluginregistration.proto"),
    ] {
        compare(&kubelet.join(code), &generate(&kubelet.join("proto"), proto));
    }
}

/// The Rust code for one proto file, clients and servers, with maps in key order so that equal
/// answers are equal bytes.
fn generate(dir: &Path, proto: &str) -> String {
    let descriptors = protox::compile([proto], [dir]).expect("the proto file compiles");
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .btree_map(".")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("the descriptors generate code");
    let mut files: Vec<PathBuf> =
        fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "one package makes one file: {files:?}");
    let header = format!(
        "// @generated from proto/{proto}; do not edit.\n\
         // Anew: UPDATE=1 cargo test --test generated\n\n"
    );
    header + &fs::read_to_string(files.remove(0)).unwrap()
}

/// Compares a committed file with what it should be, or replaces it when `UPDATE` is set.
fn compare(committed: &Path, fresh: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(committed, fresh).unwrap();
        return;
    }
    let present = fs::read_to_string(committed).unwrap_or_default();
    let first_difference =
        present.lines().zip(fresh.lines()).position(|(a, b)| a != b).map(|at| at + 1);
    assert!(
        present == fresh,
        "{} is not what its source generates (first differing line: {first_difference:?})\n  \
         fix: UPDATE=1 cargo test --test generated",
        committed.display(),
    );
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
