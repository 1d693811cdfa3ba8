//! The store from outside: sources of every kind made by hand, and what becomes of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use onload_core::names::ReleaseName;
use onload_core::refusal::{Refusal, RefusalKind};

use self::source::Source;
use super::*;

mod fuzz;
mod images;
mod interrupted;
mod layouts;
mod refusals;
mod removals;
pub(crate) mod source;
mod userland;

/// A store in a directory of its own.
struct Place {
    directory: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        Self { directory, store }
    }

    fn bounded(bounds: Bounds) -> Self {
        let mut place = Self::new();
        place.store.bounds = bounds;
        place
    }

    fn releases(&self) -> std::path::PathBuf {
        self.directory.path().join(RELEASES)
    }

    fn import(&self, bytes: &[u8]) -> Result<ReleaseName, Refusal> {
        self.store.import_now(opened(bytes), None, Cancel::default())
    }

    fn import_as(&self, bytes: &[u8], name: &str) -> Result<ReleaseName, Refusal> {
        self.store.import_now(opened(bytes), Some(name.parse().unwrap()), Cancel::default())
    }

    /// The refusal of a source, after which nothing may be left of it.
    fn refusal(&self, bytes: &[u8]) -> Refusal {
        let refused = self.import(bytes).unwrap_err();
        assert_eq!(self.names(), Vec::<String>::new(), "{refused}");
        refused
    }

    /// What lies beside the releases, hidden or not.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.releases()) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != staging::LOCK);
        names.sort();
        names
    }

    /// Every file and link of a release: its mode, or where it leads.
    fn tree(&self, name: &str) -> BTreeMap<String, String> {
        let (mut tree, root) = (BTreeMap::new(), self.releases().join(name));
        gather(&root, &root, &mut tree);
        tree
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is read-only does not go by itself where tests run without privileges.
        let _ = staging::delete(&self.releases());
    }
}

fn gather(root: &Path, at: &Path, tree: &mut BTreeMap<String, String>) {
    let found = fs::symlink_metadata(at).unwrap();
    let path = at.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let mode = || format!("{:o}", found.permissions().mode() & 0o7777);
    if found.is_symlink() {
        tree.insert(path, fs::read_link(at).unwrap().to_str().unwrap().to_owned());
    } else if found.is_dir() {
        tree.insert(format!("{path}/"), mode());
        for entry in fs::read_dir(at).unwrap() {
            gather(root, &entry.unwrap().path(), tree);
        }
    } else {
        tree.insert(path, mode());
    }
}

/// A file that holds these bytes, as a descriptor.
fn opened(bytes: &[u8]) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file.into()
}

fn directory(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn says(refused: &Refusal, what: &str) {
    assert!(refused.why.contains(what), "`{what}` is not in: {refused}");
    assert!(!refused.fix.is_empty() && !refused.what.is_empty(), "{refused}");
}
