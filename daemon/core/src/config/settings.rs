//! What the program uses, with the default of every value.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::af_xdp::Choice;
use crate::cdi;
use crate::config::{
    ClockMode, MetricsSettings, NamingSettings, PoolSettings, PtpSettings, SecureBootSettings,
};
use crate::names::{PoolName, ReleaseName};
use crate::time::Span;

/// The whole configuration, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Pace of the daemon.
    pub daemon: DaemonSettings,
    /// Which kernel modules the node shall have.
    pub modules: ModuleSettings,
    /// The kubelet's side.
    pub kubelet: KubeletSettings,
    /// What container runtimes are told without a kubelet.
    pub cdi: CdiSettings,
    /// Whose modules this node shall take.
    pub secure_boot: SecureBootSettings,
    /// What the ports shall be called.
    pub naming: NamingSettings,
    /// What is done about clocks.
    pub ptp: PtpSettings,
    /// What callers may ask for.
    pub limits: LimitSettings,
    /// Where figures for monitoring are had.
    pub metrics: MetricsSettings,
    /// Named sets of devices.
    pub pools: BTreeMap<PoolName, PoolSettings>,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DaemonSettings {
    /// How long the machine must be quiet after a change before a look counts.
    pub settle: Span,
    /// The slow tick: the longest time between two looks.
    pub look_every: Span,
    /// When a configuration that changed at run time is carried out.
    pub apply: Apply,
    /// How long one step may take before it counts as stuck.
    pub step_limit: Span,
}

/// When a changed configuration is carried out (DESIGN section 10.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Apply {
    /// At the next boot, or by `onloadctl apply`.
    #[default]
    OnOrder,
    /// As soon as nothing is lent.
    WhenIdle,
}

/// `[modules]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModuleSettings {
    /// The release whose modules shall be loaded. None: modules are left alone and reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseName>,
    /// Which release for which kernel; the first that matches counts, before `release`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<Mapping>,
    /// Ports that are not Solarflare's and are offered to Onload through AF_XDP. None: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub af_xdp: Vec<Choice>,
    /// What is done when the modules are found otherwise than they were left.
    pub drift: Drift,
}

impl ModuleSettings {
    /// Whether a release is asked for by name, for whatever kernel.
    pub fn names(&self, release: &ReleaseName) -> bool {
        let mapped = self.kernels.iter().map(|mapping| &mapping.release);
        self.release.iter().chain(mapped).any(|name| name == release)
    }
}

/// One line of `[[modules.kernels]]`: exactly one of `literal` and `regexp`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mapping {
    /// The kernel release itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// A regular expression found anywhere in the kernel release unless it is anchored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
    /// The release for it.
    pub release: ReleaseName,
}

/// What is done about modules that somebody else changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// They are brought back.
    #[default]
    Repair,
    /// They are reported, and left alone until an order.
    Report,
}

/// `[kubelet]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KubeletSettings {
    /// Whether pools are offered to a kubelet at all.
    pub enabled: bool,
    /// Its device-plugin directory (reference/kubelet-api.md section 1).
    pub directory: String,
    /// Where it looks for sockets of plugins by itself (reference/kubelet-api.md section 9).
    pub plugins_registry: String,
    /// Its pod-resources socket (reference/kubelet-api.md section 10).
    pub pod_resources: String,
    /// How long a container's device must be missing in the kubelet's answers before it is free.
    pub release_grace: Span,
    /// How long instead, where the kubelet has never named the container, or nobody that it should
    /// know since it came.
    pub unnamed_grace: Span,
    /// What an allocation is answered with.
    pub answer: KubeletAnswer,
    /// How long a device stays withdrawn before it is lent locally, so that the kubelet has seen it.
    pub withdraw_settle: Span,
}

/// What a kubelet is answered with; a kubelet does not say what it takes, and never gets both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KubeletAnswer {
    /// Variables, mounts and device nodes.
    #[default]
    Plain,
    /// Names of devices, which its runtime finds in the files of `[cdi]`.
    Cdi,
}

/// `[cdi]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CdiSettings {
    /// Whether a file is written for each pool.
    pub enabled: bool,
    /// Where runtimes look for files that programs write.
    pub directory: String,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitSettings {
    /// Devices one unprivileged user may hold.
    pub allocations_per_user: u32,
    /// Requests and jobs one bus client may have under way.
    pub pending_per_client: u32,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self {
            // A hotplug storm of a four-port card is over well within this; people do not notice it.
            settle: Span(Duration::from_millis(250)),
            look_every: Span(Duration::from_secs(60)),
            apply: Apply::default(),
            // The slowest module load measured took under a second; a busy node may take its time.
            step_limit: Span(Duration::from_secs(120)),
        }
    }
}

impl Default for KubeletSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: "/var/lib/kubelet/device-plugins".to_owned(),
            plugins_registry: "/var/lib/kubelet/plugins_registry".to_owned(),
            pod_resources: "/var/lib/kubelet/pod-resources/kubelet.sock".to_owned(),
            // A pod is named a moment after Allocate; one that was deleted by force may run for
            // seconds after the kubelet has forgotten it, and by default is given this long to end.
            release_grace: Span(Duration::from_secs(30)),
            // Longer than init containers and losses of an API server commonly last. What is waited
            // for in vain meanwhile only local programs miss: the kubelet can have it at any time,
            // and a change of drivers waits for the shorter grace.
            unnamed_grace: Span(Duration::from_secs(3600)),
            // Kubelets before 1.28 ignore names of devices (reference/kubelet-api.md section 2).
            answer: KubeletAnswer::default(),
            // The kubelet takes a list as soon as it comes; the margin is for a busy node.
            withdraw_settle: Span(Duration::from_millis(200)),
        }
    }
}

impl Default for CdiSettings {
    fn default() -> Self {
        // The directory for files that are made at run time, by its present name.
        Self { enabled: true, directory: "/run/cdi".to_owned() }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { allocations_per_user: 16, pending_per_client: 8 }
    }
}

/// The most pools; each has a socket and a server of its own.
const MOST_POOLS: usize = 32;

/// A dotted key and what is wrong with it.
pub(super) type Fault = (String, String);

impl Settings {
    /// What no single file can show: contradictions between values.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.pools.len() > MOST_POOLS {
            return Err(("pools".to_owned(), "there are at most 32 pools".to_owned()));
        }
        let faults = self.modules.kernels.iter().map(super::Mapping::fault);
        if let Some((at, what)) = faults.enumerate().find_map(|(at, fault)| Some((at, fault?))) {
            return Err(("modules.kernels".to_owned(), format!("line {}: {what}", at + 1)));
        }
        let faults = self.modules.af_xdp.iter().map(Choice::fault);
        if let Some((at, what)) = faults.enumerate().find_map(|(at, fault)| Some((at, fault?))) {
            return Err(("modules.af-xdp".to_owned(), format!("line {}: {what}", at + 1)));
        }
        if self.limits.pending_per_client == 0 {
            let what = "must be 1 or more: with none, nobody but root could ask for anything";
            return Err(("limits.pending-per-client".to_owned(), what.to_owned()));
        }
        if self.daemon.look_every.0 < Duration::from_secs(1) {
            return Err(("daemon.look-every".to_owned(), "must be 1s or more".to_owned()));
        }
        if self.daemon.settle.0 > Duration::from_secs(60) {
            return Err(("daemon.settle".to_owned(), "must be 60s or less".to_owned()));
        }
        if self.kubelet.withdraw_settle.0 > Duration::from_secs(10) {
            return Err(("kubelet.withdraw-settle".to_owned(), "must be 10s or less".to_owned()));
        }
        if self.kubelet.release_grace.0 > Duration::from_secs(3600) {
            return Err(("kubelet.release-grace".to_owned(), "must be 1h or less".to_owned()));
        }
        let unnamed = self.kubelet.unnamed_grace;
        if unnamed < self.kubelet.release_grace || unnamed.0 > Duration::from_secs(24 * 3600) {
            let what = "must be 24h or less, and not less than release-grace";
            return Err(("kubelet.unnamed-grace".to_owned(), what.to_owned()));
        }
        for (key, path) in [
            ("kubelet.directory", &self.kubelet.directory),
            ("kubelet.plugins-registry", &self.kubelet.plugins_registry),
            ("kubelet.pod-resources", &self.kubelet.pod_resources),
            ("cdi.directory", &self.cdi.directory),
        ] {
            check_path(path).map_err(|what| (key.to_owned(), what.to_owned()))?;
        }
        // By their parts: `/x`, `/x/` and `//x` are one directory.
        if Path::new(&self.kubelet.plugins_registry) == Path::new(&self.kubelet.directory) {
            let what = "must not be `directory`: a kubelet that starts deletes the sockets there";
            return Err(("kubelet.plugins-registry".to_owned(), what.to_owned()));
        }
        if self.kubelet.answer == KubeletAnswer::Cdi && !self.cdi.enabled {
            let what = "`cdi` needs `enabled = true` in [cdi]: runtimes find the names there";
            return Err(("kubelet.answer".to_owned(), what.to_owned()));
        }
        self.secure_boot.check()?;
        self.naming.check()?;
        self.ptp.check()?;
        self.metrics.check()?;
        let mut resources = BTreeMap::new();
        // A pool that says its resource yields to none; the fault falls on the one that names it.
        let mut pools: Vec<_> = self.pools.iter().collect();
        pools.sort_by_key(|(_, pool)| pool.resource.is_some());
        for (name, pool) in pools {
            pool.check(name)?;
            if pool.require_clock && self.ptp.mode == ClockMode::Off {
                let what = "needs clocks looked at: `mode` in [ptp] is \"off\"";
                return Err((format!("pools.{name}.require-clock"), what.to_owned()));
            }
            let resource = pool.resource_name(name);
            if self.kubelet.answer == KubeletAnswer::Cdi && !cdi::is_kind(&resource) {
                let what = "with `answer = \"cdi\"` domain and name begin with a letter";
                return Err((format!("pools.{name}.resource"), what.to_owned()));
            }
            if let Some(other) = resources.insert(resource, name) {
                let what = format!("pool {other} has the same resource");
                return Err((format!("pools.{name}.resource"), what));
            }
        }
        Ok(())
    }
}

/// Whether a path is absolute and means the same wherever it is looked up from.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    let plain = |part: &str| part != "." && part != ".." && !part.contains('\0');
    if path.starts_with('/') && path.len() < 4096 && path.split('/').all(plain) {
        Ok(())
    } else {
        Err("must be an absolute path without `.` and `..`")
    }
}
