//! Pools' own sockets in a directory of the kubelet's: what they are called, and which of them a
//! former process has left there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use onload_core::names::PoolName;

pub(super) use crate::socket::{Listener, Socket, listener};

const PREFIX: &str = "onloadd-";
const SUFFIX: &str = ".sock";

/// The file name of a pool's socket; also the endpoint it registers with.
pub(super) fn name(pool: &PoolName) -> String {
    format!("{PREFIX}{pool}{SUFFIX}")
}

/// Whether a file of this name is a pool's socket.
pub(super) fn is_own_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PREFIX.as_bytes()) && name.as_bytes().ends_with(SUFFIX.as_bytes())
}

/// The pools' sockets in a directory behind which nobody is, but for those of the names in `kept`. A
/// directory that cannot be gone through has none: who binds there will say why.
pub(super) async fn left_behind(directory: &Path, kept: &BTreeSet<String>) -> Vec<PathBuf> {
    let is_ours = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let is_kept = name.to_str().is_some_and(|name| kept.contains(name));
        is_own_name(&name) && !is_kept && entry.file_type().is_ok_and(|kind| kind.is_socket())
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut left = Vec::new();
    for path in entries.filter(is_ours).map(|entry| entry.path()) {
        if matches!(listener(&path).await, Ok(Listener::Nobody)) {
            left.push(path);
        }
    }
    left
}

#[cfg(test)]
// Test code: a broken assumption must stop the test where it broke.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn own_names() {
        assert!(is_own_name(name(&"onload".parse().unwrap()).as_ref()));
        for other in ["kubelet.sock", "onload.sock", "onloadd-onload", "xonloadd-onload.sock"] {
            assert!(!is_own_name(other.as_ref()), "{other}");
        }
    }
}
