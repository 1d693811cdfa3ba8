//! One pool as configured: its keys, their defaults, and what is refused.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::settings::{Fault, check_path};
use crate::names::{PoolName, ResourceName};

/// `[pools.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PoolSettings {
    /// What a device of the pool is.
    pub kind: PoolKind,
    /// Its name for Kubernetes; `amd.com/NAME` unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceName>,
    /// How many devices it has.
    pub slots: u32,
    /// How many of them, from the top, are for local programs only.
    pub local: u32,
    /// Ports it stands on, by PCI address or interface name. Empty: every port Onload accelerates.
    pub ports: BTreeSet<String>,
    /// Whether a device is unhealthy while none of its ports has a carrier.
    pub require_carrier: bool,
    /// Whether a container gets `LD_PRELOAD`.
    pub preload: bool,
    /// Whether a container gets the `onload` launcher. Not together with `preload`.
    pub launcher: bool,
    /// Prefix of every file inside the container.
    pub mount_prefix: String,
    /// Library directory below that prefix.
    pub library_directory: String,
    /// Program directory below that prefix.
    pub program_directory: String,
    /// The Onload profile whose variables a container gets: a name in the release in use, or the
    /// absolute path of a file. None unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// Kind of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// Interchangeable slots: the right to use Onload.
    #[default]
    Onload,
}

impl Default for PoolSettings {
    // The numbers and paths are the existing plugin's (reference/kubernetes-onload.md section 1.2).
    fn default() -> Self {
        Self {
            kind: PoolKind::Onload,
            resource: None,
            slots: 100,
            local: 0,
            ports: BTreeSet::new(),
            require_carrier: false,
            preload: true,
            launcher: false,
            mount_prefix: "/opt/onload".to_owned(),
            library_directory: "/usr/lib64".to_owned(),
            program_directory: "/usr/bin".to_owned(),
            profile: None,
        }
    }
}

/// The most devices one pool may have; the list of that many is still sent in one message.
const MOST_SLOTS: u32 = 10_000;

impl PoolSettings {
    /// The resource the kubelet knows the pool by.
    pub fn resource_name(&self, pool: &PoolName) -> String {
        self.resource.as_ref().map_or_else(|| format!("amd.com/{pool}"), ToString::to_string)
    }

    /// What is wrong within the pool.
    pub(super) fn check(&self, pool: &PoolName) -> Result<(), Fault> {
        let fault = |key: &str, what: &str| Err((format!("pools.{pool}.{key}"), what.to_owned()));
        if self.slots > MOST_SLOTS {
            return fault("slots", "a pool has at most 10000 slots");
        }
        if self.local > self.slots {
            return fault("local", "the local share is larger than `slots`");
        }
        if self.launcher && self.preload {
            return fault(
                "launcher",
                "needs `preload = false`: the launcher sets the preload itself",
            );
        }
        if let Some(profile) = &self.profile {
            let named = !profile.contains('/') && !profile.starts_with('.');
            let checked = if named { check_name(profile) } else { check_path(profile) };
            checked.or_else(|what| fault("profile", what))?;
        }
        for (key, path) in [
            ("mount-prefix", &self.mount_prefix),
            ("library-directory", &self.library_directory),
            ("program-directory", &self.program_directory),
        ] {
            check_path(path).or_else(|what| fault(key, what))?;
        }
        for (key, below) in [
            ("library-directory", &self.library_directory),
            ("program-directory", &self.program_directory),
        ] {
            if is_of_the_image(&format!("{}{below}", self.mount_prefix)) {
                let what = "with this prefix it is a directory that images have files of their own \
                            in, and what is mounted there would hide them";
                return fault(key, what);
            }
        }
        Ok(())
    }
}

/// Directories at the top that images have files of their own in.
const OF_THE_IMAGE: [&str; 16] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "opt", "proc", "root", "run", "sbin",
    "sys", "tmp", "usr", "var",
];

/// Whether a directory is one of these, or of those in `/usr`, `/lib` and `/usr/lib`.
fn is_of_the_image(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts[..] {
        [] => true,
        [one] => OF_THE_IMAGE.contains(&one),
        ["usr" | "lib", _] | ["usr", "lib", _] => true,
        _ => false,
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if !name.is_empty() && name.len() < 256 && !name.contains(['\0', ',']) {
        Ok(())
    } else {
        Err("must be the name of one profile, or the absolute path of its file")
    }
}
