//! Conditions: Kubernetes-shaped on purpose, so that what a node says reads as people know it.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// One condition of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Condition {
    /// Type, such as `Ready`.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: Status,
    /// One CamelCase word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When the status last changed.
    pub since: Timestamp,
}

/// Types of condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConditionKind {
    /// The node is as wanted.
    Ready,
    /// The configuration in force is the one on disk.
    ConfigurationValid,
    /// The ledger can be read and written.
    LedgerAvailable,
    /// The wanted modules are loaded.
    ModulesLoaded,
    /// The machine shows what the release makes of it: drivers bound, auxiliary devices, nodes.
    ReleaseVerified,
    /// The loaded modules show the parameters that the host's modprobe.d asks for.
    ParametersAsAsked,
    /// The initramfs of the running kernel carries no other driver than the release, and names ports as
    /// they are pinned.
    InitramfsMatches,
    /// Nobody else loads or unloads the modules, or onloadd was told to go ahead.
    SoleManager,
    /// A control-plane server serves `onload`.
    ControlPlaneRunning,
    /// Every device of every pool can work.
    DevicesHealthy,
    /// Every pool is registered with a kubelet, and no other plugin has its resource.
    KubeletRegistered,
    /// The ledger and the kubelet agree on what containers hold.
    AllocationsConsistent,
    /// The keys that the configuration names, and those that were asked for, are enrolled.
    KeysEnrolled,
    /// Ports are called as they are pinned or configured.
    NamesPinned,
    /// What a driver took with it when it was replaced is back.
    NetworkRestored,
    /// The system clock is disciplined and near enough, for a while now.
    ClockSynchronised,
    /// Nobody fights over a clock.
    ClockUndisputed,
    /// sfptpd runs as wanted.
    ClockSupervised,
}

impl ConditionKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::ConfigurationValid => "ConfigurationValid",
            Self::LedgerAvailable => "LedgerAvailable",
            Self::ModulesLoaded => "ModulesLoaded",
            Self::ReleaseVerified => "ReleaseVerified",
            Self::ParametersAsAsked => "ParametersAsAsked",
            Self::InitramfsMatches => "InitramfsMatches",
            Self::SoleManager => "SoleManager",
            Self::ControlPlaneRunning => "ControlPlaneRunning",
            Self::DevicesHealthy => "DevicesHealthy",
            Self::KubeletRegistered => "KubeletRegistered",
            Self::AllocationsConsistent => "AllocationsConsistent",
            Self::KeysEnrolled => "KeysEnrolled",
            Self::NamesPinned => "NamesPinned",
            Self::NetworkRestored => "NetworkRestored",
            Self::ClockSynchronised => "ClockSynchronised",
            Self::ClockUndisputed => "ClockUndisputed",
            Self::ClockSupervised => "ClockSupervised",
        }
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Cannot be told, or does not apply.
    #[default]
    Unknown,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}
