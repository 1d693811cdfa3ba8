//! Blockers: why a subject is not as wanted. Every variant is something an operator can act on.

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::names::{ModuleName, PoolName, ReleaseName};
use crate::pool::Cause;
use crate::release::IN_TREE;
use crate::step::{Step, StepError};

/// A subject and what stands in its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// What is not as wanted, as `onloadctl why` takes it.
    pub subject: String,
    /// Why.
    pub blocker: Blocker,
}

/// Why something is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Blocker {
    /// The ledger cannot be read: hands off.
    LedgerUnreadable {
        /// What is wrong with it.
        why: String,
    },
    /// The ledger cannot be written.
    LedgerUnwritable {
        /// The machine's answer.
        why: String,
    },
    /// The configuration is refused.
    ConfigurationInvalid {
        /// File, line and key.
        error: ConfigError,
        /// Whether an older one is in force; if not, hands off.
        former_in_force: bool,
    },
    /// An operator's hold.
    Held {
        /// Why.
        reason: String,
    },
    /// A changed `[modules]` waits for an order.
    AwaitingOrder {
        /// What it would change.
        change: String,
    },
    /// A cancelled job; nothing is done until the next order.
    Stopped,
    /// A permit from outside is awaited before devices are withdrawn.
    AwaitingPermit,
    /// Part of the machine cannot be read, so nothing is decided about it.
    Unreadable {
        /// Which part.
        part: String,
        /// Why.
        why: String,
    },
    /// A step failed.
    StepFailed {
        /// Which.
        step: Step,
        /// Why.
        error: StepError,
        /// How often so far.
        attempts: u32,
        /// Whether it is tried again by itself.
        retrying: bool,
    },
    /// A step was done, and the machine does not show it.
    NotSeen {
        /// Which.
        step: Step,
    },
    /// The kernel's own driver is loaded where the release's is wanted, or the other way round.
    WrongOrigin {
        /// The module.
        module: ModuleName,
        /// The release that shall provide it.
        release: ReleaseName,
    },
    /// The loaded version is not that of the wanted release.
    WrongRelease {
        /// What is loaded.
        loaded: String,
        /// What is wanted.
        wanted: ReleaseName,
    },
    /// No device of a pool can work.
    PoolUnserved {
        /// The pool.
        pool: PoolName,
        /// Why not.
        cause: Cause,
    },
}

impl Blocker {
    /// Why, in one sentence.
    pub fn why(&self) -> String {
        match self {
            Self::LedgerUnreadable { why } => format!("the ledger cannot be read: {why}"),
            Self::LedgerUnwritable { why } => format!("the ledger cannot be written: {why}"),
            Self::ConfigurationInvalid { error, former_in_force: true } => {
                format!("the configuration is refused, the former one stays in force: {error}")
            }
            Self::ConfigurationInvalid { error, former_in_force: false } => {
                format!("the configuration is refused: {error}")
            }
            Self::Held { reason } => format!("an operator holds the node: {reason}"),
            Self::AwaitingOrder { change } => {
                format!("a changed configuration waits for an order: {change}")
            }
            Self::Stopped => "the last job was cancelled".to_owned(),
            Self::AwaitingPermit => "a permit is awaited before devices are withdrawn".to_owned(),
            Self::Unreadable { part, why } => format!("{part} cannot be read: {why}"),
            Self::StepFailed { step, error, attempts, .. } => {
                format!("could not {step} (attempt {attempts}): {error}")
            }
            Self::NotSeen { step } => {
                format!("{step}: reported done, but the machine does not show it")
            }
            Self::WrongOrigin { module, release } if release.as_str() == IN_TREE => {
                format!("an out-of-tree {module} is loaded, the kernel's own is wanted")
            }
            Self::WrongOrigin { module, release } => {
                format!("the kernel's own {module} is loaded, not the one of release {release}")
            }
            Self::WrongRelease { loaded, wanted } => {
                format!("Onload {loaded} is loaded, release {wanted} is wanted")
            }
            Self::PoolUnserved { pool, cause } => {
                format!("no device of pool {pool} can work: {cause}")
            }
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::LedgerUnreadable { .. } => {
                "restore it from a backup, or move it aside when nothing is lent, and restart onloadd".to_owned()
            }
            Self::LedgerUnwritable { .. } => {
                "make room on its file system, or make it writable; onloadd tries again by itself".to_owned()
            }
            Self::ConfigurationInvalid { .. } => {
                "mend the file, check it with `onloadd --check-config`, then `systemctl reload onloadd`".to_owned()
            }
            Self::Held { .. } => "`onloadctl unhold` when it may go on".to_owned(),
            Self::AwaitingOrder { .. } => "`onloadctl apply`, or reboot".to_owned(),
            Self::Stopped => "`onloadctl apply` to go on".to_owned(),
            Self::AwaitingPermit => "give the permit, or reboot".to_owned(),
            Self::Unreadable { .. } => {
                "onloadd looks again by itself; if it stays, see whether its unit may read it".to_owned()
            }
            Self::StepFailed { error, retrying, .. } => {
                if *retrying || !error.retry_may_help() {
                    error.fix()
                } else {
                    "see the kernel log (journalctl -k), then `onloadctl apply --retry`".to_owned()
                }
            }
            Self::NotSeen { .. } => {
                "see the kernel log (journalctl -k), then `onloadctl apply --retry`".to_owned()
            }
            Self::WrongOrigin { module, .. } => format!(
                "take the node out of service, `modprobe -r onload {module}`, then `onloadctl apply`"
            ),
            Self::WrongRelease { .. } => {
                "take the node out of service, unload the modules, then `onloadctl apply`".to_owned()
            }
            Self::PoolUnserved { cause, .. } => cause.fix(),
        }
    }

    /// One CamelCase word for conditions and programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::LedgerUnreadable { .. } => "LedgerUnreadable",
            Self::LedgerUnwritable { .. } => "LedgerUnwritable",
            Self::ConfigurationInvalid { .. } => "ConfigurationInvalid",
            Self::Held { .. } => "Held",
            Self::AwaitingOrder { .. } => "AwaitingOrder",
            Self::Stopped => "Stopped",
            Self::AwaitingPermit => "AwaitingPermit",
            Self::Unreadable { .. } => "Unreadable",
            Self::StepFailed { .. } => "StepFailed",
            Self::NotSeen { .. } => "NotSeen",
            Self::WrongOrigin { .. } => "WrongOrigin",
            Self::WrongRelease { .. } => "WrongRelease",
            Self::PoolUnserved { .. } => "PoolUnserved",
        }
    }
}
