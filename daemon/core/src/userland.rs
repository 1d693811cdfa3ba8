//! What a container is given of a release: directories that have the same path for as long as the
//! pool lives, behind a link that leads to the release whose modules are loaded.
//!
//! A kubelet replays an answer whenever a container of the pod starts, after a reboot and after a
//! swap too (reference/kubelet-api.md section 6), so no version, file or number of a device may
//! stand in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::inventory::Snapshot;
use crate::names::{PoolName, ReleaseName};
use crate::pool::{Cause, matching_release};
use crate::reading::Reading;
use crate::release::Release;
use crate::step::Step;

/// The link of a pool.
const CURRENT: &str = "current";
/// Directories of a tree: user libraries, the launcher, and its profiles and handlers.
pub const LIBRARIES: &str = "lib64";
/// See [`LIBRARIES`].
pub const PROGRAMS: &str = "bin";
/// See [`LIBRARIES`].
pub const PRIVATE: &str = "libexec";

/// What is in place for containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Userland {
    /// Where the pools have their links, absolute on the host.
    pub directory: String,
    /// By pool, the tree that its link leads to. Links that lead nowhere are not here.
    pub trees: BTreeMap<PoolName, String>,
}

impl Userland {
    /// A directory of a pool, as an answer has it.
    pub fn path(&self, pool: &PoolName, directory: &str) -> String {
        format!("{}/{pool}/{CURRENT}/{directory}", self.directory.trim_end_matches('/'))
    }
}

/// What the tree of a release is called. The files of an imported one never change; packages
/// replace those of the host in place, and each state of them has a tree of its own.
pub fn tree(name: &ReleaseName, release: &Release) -> String {
    match &release.stamp {
        Some(stamp) => format!("{name}-{stamp}"),
        None => name.to_string(),
    }
}

/// Why a pool cannot give its containers this release yet.
pub fn obstacle(
    pool: &PoolName,
    (name, release): (&ReleaseName, &Release),
    snapshot: &Snapshot,
) -> Option<Cause> {
    match &snapshot.userland {
        Reading::Known(userland) if userland.trees.get(pool) == Some(&tree(name, release)) => None,
        Reading::Known(_) | Reading::Absent => Some(Cause::Preparing),
        Reading::Unreadable(_) => {
            Some(Cause::Unreadable { part: "what is in place for containers".to_owned() })
        }
    }
}

/// What puts the libraries of the loaded release in place, for each pool that has not got them.
pub fn steps<'a>(pools: impl Iterator<Item = &'a PoolName>, snapshot: &Snapshot) -> Vec<Step> {
    let (Ok((release, found)), Some(userland)) =
        (matching_release(snapshot), snapshot.userland.known())
    else {
        return Vec::new();
    };
    let tree = tree(release, found);
    let lacks = |pool: &&PoolName| userland.trees.get(*pool) != Some(&tree);
    let step = |pool: &PoolName| Step::PlaceUserland {
        pool: pool.clone(),
        release: release.clone(),
        tree: tree.clone(),
    };
    pools.filter(lacks).map(step).collect()
}
