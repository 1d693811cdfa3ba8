//! What may be done to the machine: plain data that prints, compares and survives a restart.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::inventory::{ModuleState, Snapshot};
use crate::names::{ModuleName, ReleaseName};
use crate::reading::Reading;

/// One thing the host may be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Load a module, with what it depends on, from a release.
    LoadModule {
        /// The module.
        module: ModuleName,
        /// Where it comes from.
        release: ReleaseName,
    },
}

impl Step {
    /// Whether the step has nothing left to do: what skips it, and what proves it done.
    pub fn holds_in(&self, snapshot: &Snapshot) -> bool {
        match self {
            Self::LoadModule { module, .. } => match snapshot.module(module.as_str()) {
                Reading::Known(module) => module.state == ModuleState::Live,
                Reading::Absent | Reading::Unreadable(_) => false,
            },
        }
    }

    /// What the step is about, as `why` takes it.
    pub fn subject(&self) -> String {
        match self {
            Self::LoadModule { module, .. } => module.to_string(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadModule { module, release } => {
                write!(f, "load module {module} from {release}")
            }
        }
    }
}

/// What a step changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done now.
    Changed,
    /// It was so already.
    Unchanged,
}

/// Why a step failed. Two failures are two variants only if somebody acts differently on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum StepError {
    /// This host cannot be changed at all: a capture, or a root that is not `/`.
    #[error("{0}")]
    Unsupported(String),
    /// There is no such module for the running kernel.
    #[error("module {module} is not found for this kernel")]
    NotFound {
        /// The module.
        module: ModuleName,
    },
    /// The kernel does not trust its signature.
    #[error("the kernel rejected the signature of module {module}")]
    KeyRejected {
        /// The module.
        module: ModuleName,
    },
    /// Anything else the machine answered.
    #[error("{0}")]
    Failed(String),
    /// It did not end in its time and cannot be stopped.
    #[error("it did not end within {limit_secs} s and cannot be stopped")]
    Stuck {
        /// The time it had, in seconds.
        limit_secs: u64,
    },
}

impl StepError {
    /// Whether the same step may succeed later with nothing else changed.
    pub fn retry_may_help(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Unsupported(_)
            | Self::NotFound { .. }
            | Self::KeyRejected { .. }
            | Self::Stuck { .. } => false,
        }
    }

    /// What an operator does about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Unsupported(_) => "see to what is missing: the running machine (--root /), systemd and modprobe on it, or a release that is `host` or `in-tree`".to_owned(),
            Self::NotFound { module } => format!(
                "install the package that brings {module} for this kernel, then `onloadctl apply --retry`"
            ),
            Self::KeyRejected { .. } => {
                "enrol the key that signed it (mokutil --import) and reboot, or turn Secure Boot off".to_owned()
            }
            Self::Failed(_) => "see the kernel log (journalctl -k); onloadd tries again by itself".to_owned(),
            Self::Stuck { .. } => "see the kernel log (journalctl -k); only a reboot ends it".to_owned(),
        }
    }
}
