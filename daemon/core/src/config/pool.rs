//! One pool as configured: its keys, their defaults, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::settings::{Fault, check_path};
use crate::hardware::Hardware;
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
    /// How a kubelet comes to know it.
    pub registration: Registration,
    /// Whether a container is started only while its devices can work and are lent to it.
    pub check_at_start: bool,
    /// How many devices it has.
    pub slots: u32,
    /// How many of them, from the top, are for local programs only.
    pub local: u32,
    /// Ports it stands on, by PCI address or interface name. Empty: every port of its kind. Of this
    /// and the next three all that are not empty must hold, of each any value.
    pub ports: BTreeSet<String>,
    /// NUMA nodes of its ports.
    pub numa_nodes: BTreeSet<u32>,
    /// Product families of its ports, by their names in `packaging/hw/families.toml`.
    pub families: BTreeSet<String>,
    /// Kernel drivers of its ports: of a known family the one that is for it, whether or not it is
    /// bound; of others the one of the interface.
    pub drivers: BTreeSet<String>,
    /// Whether a device is unhealthy while none of its ports has a carrier.
    pub require_carrier: bool,
    /// Whether a device is unhealthy while the system clock is not synchronised.
    pub require_clock: bool,
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
    /// Further variables a container gets, before those of the profile.
    pub environment: BTreeMap<String, String>,
    /// Further read-only mounts a container gets, container path to host path.
    pub mounts: BTreeMap<String, String>,
}

/// Kind of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// Interchangeable slots: the right to use Onload.
    #[default]
    Onload,
    /// Ports, each a thing of its own: what the model of pools is tested with.
    #[cfg(test)]
    Sample,
}

impl PoolKind {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Onload => "onload",
            #[cfg(test)]
            Self::Sample => "sample",
        }
    }
}

/// How a kubelet comes to know a pool. One resource never takes both ways: the end of one would be
/// taken for the end of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Registration {
    /// A socket in its device-plugin directory, and a call of Register.
    #[default]
    Directory,
    /// A socket in its registry of plugins, which it finds and asks.
    Watcher,
}

impl Registration {
    /// The word in the configuration and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Watcher => "watcher",
        }
    }
}

impl Default for PoolSettings {
    // The numbers and paths are the existing plugin's (reference/kubernetes-onload.md section 1.2).
    fn default() -> Self {
        Self {
            kind: PoolKind::Onload,
            resource: None,
            registration: Registration::Directory,
            check_at_start: false,
            slots: 100,
            local: 0,
            ports: BTreeSet::new(),
            numa_nodes: BTreeSet::new(),
            families: BTreeSet::new(),
            drivers: BTreeSet::new(),
            require_carrier: false,
            require_clock: false,
            preload: true,
            launcher: false,
            mount_prefix: "/opt/onload".to_owned(),
            library_directory: "/usr/lib64".to_owned(),
            program_directory: "/usr/bin".to_owned(),
            profile: None,
            environment: BTreeMap::new(),
            mounts: BTreeMap::new(),
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
                return fault(key, &format!("with this prefix {HIDES}"));
            }
        }
        self.check_families().or_else(|what| fault("families", &what))?;
        for name in self.environment.keys() {
            let key = format!("environment.{name}");
            self.check_variable(name).or_else(|what| fault(&key, what))?;
        }
        for inside in self.mounts.keys() {
            let key = format!("mounts.{inside}");
            self.check_mount(inside).or_else(|what| fault(&key, &what))?;
        }
        Ok(())
    }

    fn check_families(&self) -> Result<(), String> {
        if self.families.is_empty() {
            return Ok(());
        }
        let hardware = Hardware::shipped();
        let known = hardware.families();
        match self.families.iter().find(|name| !known.contains(name.as_str())) {
            Some(name) => {
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                Err(format!("`{name}` is no product family; known are {known}"))
            }
            None => Ok(()),
        }
    }

    fn check_variable(&self, name: &str) -> Result<(), &'static str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !name.bytes().all(plain) || !name.starts_with(|c: char| !c.is_ascii_digit()) {
            return Err("is no name of a variable: letters, digits and _, no digit first");
        }
        if PRELOADS.contains(&name) {
            return Err("is set by the pool itself, by `preload` or `launcher`");
        }
        if self.environment.get(name).is_some_and(|value| value.contains('\0')) {
            return Err("no variable can have a NUL in it");
        }
        Ok(())
    }

    fn check_mount(&self, inside: &str) -> Result<(), String> {
        check_path(inside)?;
        let on_host = self.mounts.get(inside).map_or("", String::as_str);
        check_path(on_host).map_err(|what| format!("the path on the host {what}"))?;
        if of_the_runtime(inside) {
            return Err("is in a directory that the container's runtime makes".to_owned());
        }
        if is_of_the_image(inside) {
            return Err(HIDES.to_owned());
        }
        let own = self.own_mounts();
        let others = self.mounts.keys().filter(|other| *other != inside);
        match own.iter().chain(others).find(|other| is_within(inside, other)) {
            Some(other) => Err(format!("collides with the mount at {other}")),
            None => Ok(()),
        }
    }

    /// Where in a container the pool's own files appear.
    fn own_mounts(&self) -> Vec<String> {
        let below = |directory| format!("{}{directory}", self.mount_prefix);
        let mut own = vec![below(&self.library_directory)];
        if self.launcher {
            own.extend([below(&self.program_directory), PROFILES.to_owned()]);
        }
        own
    }
}

/// What is wrong with a mount at a directory that images have files of their own in.
const HIDES: &str = "it is a directory that images have files of their own in, and what is mounted \
                     there would hide them";
/// Variables that name the library to preload.
const PRELOADS: [&str; 2] = ["LD_PRELOAD", "ONLOAD_PRELOAD"];
/// Where the launcher looks for its profiles and other files of its own.
const PROFILES: &str = "/usr/libexec/onload";

/// Whether a path is in a directory that the container's runtime makes.
fn of_the_runtime(path: &str) -> bool {
    let first = path.split('/').find(|part| !part.is_empty());
    first.is_some_and(|first| ["dev", "proc", "sys"].contains(&first))
}

/// Whether one path is the other, or one is in the other: the order of mounts would decide.
fn is_within(one: &str, other: &str) -> bool {
    let mut one = one.split('/').filter(|part| !part.is_empty());
    let mut other = other.split('/').filter(|part| !part.is_empty());
    loop {
        match (one.next(), other.next()) {
            (Some(a), Some(b)) if a == b => {}
            (Some(_), Some(_)) => return false,
            (None, _) | (_, None) => return true,
        }
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

#[cfg(test)]
mod tests {
    use crate::config::{Config, Fragment};

    fn merged(keys: &str) -> Result<Config, String> {
        let text = format!("[pools.p]\n{keys}\n");
        let file = Fragment { file: "/etc/x.toml".to_owned(), text };
        Config::merge(&[file]).map_err(|error| format!("{}: {}", error.line, error.what))
    }

    #[test]
    fn what_a_container_would_not_survive_is_refused() {
        let cases = [
            ("a preload of its own", "environment = { LD_PRELOAD = \"/x\" }", "by the pool itself"),
            ("the launcher's", "environment.ONLOAD_PRELOAD = \"/x\"", "by the pool itself"),
            ("no name", "environment = { \"EF-X\" = \"1\" }", "no name of a variable"),
            ("a digit first", "environment = { 1X = \"1\" }", "no name of a variable"),
            ("an empty name", "environment = { \"\" = \"1\" }", "no name of a variable"),
            ("a NUL", "environment = { EF_X = \"a\\u0000b\" }", "NUL"),
            ("a relative place", "mounts = { \"x\" = \"/x\" }", "mounts.x: must be an absolute"),
            ("a relative source", "mounts = { \"/x\" = \"../y\" }", "on the host must be an abs"),
            ("a place with ..", "mounts = { \"/x/../y\" = \"/y\" }", "without `.` and `..`"),
            ("the image's own", "mounts = { \"/usr/lib64/\" = \"/y\" }", "images have files"),
            ("the root", "mounts = { \"/\" = \"/y\" }", "images have files"),
            ("the runtime's", "mounts = { \"/dev/onload\" = \"/y\" }", "runtime makes"),
            (
                "our own libraries",
                "mounts = { \"/opt/onload//usr/lib64\" = \"/y\" }",
                "collides with the mount at /opt/onload/usr/lib64",
            ),
            ("below them", "mounts = { \"/opt/onload/usr/lib64/x\" = \"/y\" }", "collides"),
            ("above them", "mounts = { \"/opt/onload\" = \"/y\" }", "collides"),
            (
                "the launcher's files",
                "preload = false\nlauncher = true\nmounts = { \"/usr/libexec/onload/profiles\" = \"/y\" }",
                "collides with the mount at /usr/libexec/onload",
            ),
            ("one in another", "mounts = { \"/a\" = \"/y\", \"/a/b\" = \"/z\" }", "at /a/b"),
            ("one twice", "mounts = { \"/a/b\" = \"/y\", \"/a//b\" = \"/z\" }", "collides"),
        ];
        for (why, keys, part) in cases {
            let error = merged(keys).unwrap_err();
            assert!(error.contains(part), "{why}: {error}");
            let line = keys.lines().count() + 1;
            assert!(error.starts_with(&format!("{line}: pools.p.")), "{why}: {error}");
        }
    }

    #[test]
    fn what_is_well_is_taken() {
        for keys in [
            "environment = { EF_POLL_USEC = \"100000\", _x9 = \"\" }",
            "mounts = { \"/etc/site.conf\" = \"/srv/site.conf\", \"/opt/onload/etc\" = \"/e\" }",
            // Without the launcher nothing of it is mounted.
            "mounts = { \"/usr/libexec/onload\" = \"/y\" }",
            "families = [\"X2\", \"SFN5000/6000\"]\nnuma-nodes = [0, 1]\ndrivers = [\"sfc\"]",
        ] {
            assert_eq!(merged(keys).err(), None, "{keys}");
        }
    }

    #[test]
    fn a_family_that_nobody_knows_is_told_with_those_that_are_known() {
        let error = merged("families = [\"X2\", \"x2522\"]").unwrap_err();
        assert_eq!(
            error,
            "2: pools.p.families: `x2522` is no product family; known are EF100, SFN4000, \
             SFN5000/6000, SFN7000, SFN8000, X2, X3, X4"
        );
    }

    #[test]
    fn tables_of_two_files_come_together() {
        let file =
            |file: &str, text: &str| Fragment { file: file.to_owned(), text: text.to_owned() };
        let config = Config::merge(&[
            file("a", "[pools.p.environment]\nEF_A = \"1\"\nEF_B = \"1\"\n"),
            file("b", "[pools.p.environment]\nEF_B = \"2\"\n"),
        ]);
        let config = config.unwrap();
        let variables = &config.settings.pools.values().next().unwrap().environment;
        let pairs: Vec<_> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["EF_A=1", "EF_B=2"]);
        assert_eq!(config.entries["pools.p.environment.EF_B"].masks.len(), 1);
    }
}
