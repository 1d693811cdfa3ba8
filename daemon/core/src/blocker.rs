//! Blockers: why a subject is not as wanted. Every variant is something an operator can act on.

use serde::{Deserialize, Serialize};

use crate::af_xdp::Unfit;
use crate::config::ConfigError;
use crate::names::{InterfaceName, KernelRelease, PoolName, ReleaseName};
use crate::others::Manager;
use crate::pool::Cause;
use crate::release::preflight::{Objection, names};
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
    /// The release is not on this node.
    ReleaseMissing {
        /// Which.
        release: ReleaseName,
        /// What asks for it.
        by: String,
    },
    /// The kernel would not take the release's files.
    Preflight {
        /// Which release.
        release: ReleaseName,
        /// Which kernel.
        kernel: KernelRelease,
        /// All that speaks against it.
        objections: Vec<Objection>,
    },
    /// Somebody else has to do with the modules, and two would fight over them.
    OtherManager {
        /// Who.
        manager: Manager,
        /// What shows it.
        evidence: String,
    },
    /// The driver cannot be replaced: somebody uses it.
    InUse {
        /// The release that shall be there.
        release: ReleaseName,
        /// Who.
        by: Vec<String>,
    },
    /// The driver cannot be replaced: an interface carries something.
    Protected {
        /// Which, and what.
        interfaces: Vec<String>,
    },
    /// A release did not come up, or was not let; the node has another.
    Rejected {
        /// The release.
        release: ReleaseName,
        /// What is there in its place.
        former: Option<ReleaseName>,
        /// Why.
        why: String,
    },
    /// A change waits to be confirmed, or is taken back.
    AwaitingConfirmation {
        /// The release.
        release: ReleaseName,
    },
    /// Somebody changed the modules, and they are only reported.
    Drifted {
        /// What would be done.
        steps: Vec<String>,
    },
    /// sfptpd does not run as it shall.
    Clock {
        /// Why.
        why: String,
        /// What to do.
        fix: String,
    },
    /// An interface is chosen for AF_XDP, and must not or cannot be registered.
    AfXdpRefused {
        /// Its name, or what it is called in the configuration.
        interface: String,
        /// Why not.
        unfit: Unfit,
    },
    /// The driver cannot be replaced: a registered interface would not be registered again.
    AfXdpLost {
        /// Its name.
        interface: InterfaceName,
        /// Why not.
        unfit: Unfit,
    },
    /// An interface is registered for AF_XDP, and nothing asks for it.
    AfXdpUnasked {
        /// Its name.
        interface: InterfaceName,
    },
    /// A port is not called what it should be, or would not be.
    Name {
        /// Why, in one sentence.
        why: String,
        /// What to do.
        fix: String,
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
            Self::ReleaseMissing { release, by } => {
                format!("release {release} is not on this node ({by} asks for it)")
            }
            Self::Preflight { release, kernel, objections } => {
                if let [Objection::Untrusted { modules, fault }] = objections.as_slice() {
                    let modules = names(modules);
                    return format!(
                        "kernel {kernel} would refuse the modules of release {release} ({modules}): {fault}"
                    );
                }
                let all: Vec<_> = objections.iter().map(ToString::to_string).collect();
                format!("kernel {kernel} would not take release {release}: {}", all.join("; "))
            }
            Self::OtherManager { manager, evidence } => {
                format!("{manager} has to do with the modules on this node: {evidence}")
            }
            Self::InUse { release, by } => {
                format!("the driver cannot be replaced by release {release}: {}", by.join("; "))
            }
            Self::Protected { interfaces } => {
                format!("the driver cannot be taken away: {}", interfaces.join("; "))
            }
            Self::Rejected { release, former: Some(former), why } => {
                format!("the node has release {former}, not {release}: {why}")
            }
            Self::Rejected { release, former: None, why } => {
                format!("release {release} is not there: {why}")
            }
            Self::AwaitingConfirmation { release } => {
                format!("release {release} is there, and is taken back unless it is confirmed")
            }
            Self::Drifted { steps } => {
                format!(
                    "the modules are not as they were left; it would take: {}",
                    steps.join("; ")
                )
            }
            Self::AfXdpRefused { interface, unfit } => {
                format!("{interface} is not offered to Onload through AF_XDP: {unfit}")
            }
            Self::AfXdpLost { interface, unfit } => format!(
                "the driver cannot be replaced: {interface} would not be registered for AF_XDP again: {unfit}"
            ),
            Self::AfXdpUnasked { interface } => format!(
                "{interface} is registered for AF_XDP and the configuration does not ask for it; it stays so until sfc_resource is unloaded"
            ),
            Self::Name { why, .. } | Self::Clock { why, .. } => why.clone(),
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
            Self::ReleaseMissing { release, .. } => format!(
                "`onloadctl release import PATH --version {release}`, or name one that is there (`onloadctl release list`)"
            ),
            Self::Preflight { objections, .. } => {
                let mut fixes: Vec<_> = objections.iter().map(Objection::fix).collect();
                fixes.dedup();
                fixes.join("; ")
            }
            Self::OtherManager { manager, .. } => {
                let adopt = "`onloadctl adopt` has onloadd take over (`--dry-run` shows how)";
                manager.leave().map_or_else(|| adopt.to_owned(), |leave| format!("{leave}; or {adopt}"))
            }
            Self::InUse { .. } => {
                "end them, or drain the node where they are pods; then `onloadctl apply`, with --wait or --stop-holders as fits".to_owned()
            }
            Self::Protected { .. } => {
                "`onloadctl apply --confirm-within 60s` (and `onloadctl confirm` in that time), or move it to another interface first".to_owned()
            }
            Self::Rejected { .. } => {
                "see `onloadctl history`; then another release, or `onloadctl apply --retry`".to_owned()
            }
            Self::AwaitingConfirmation { .. } => "`onloadctl confirm` keeps it".to_owned(),
            Self::Drifted { .. } => "`onloadctl apply` brings them back".to_owned(),
            Self::AfXdpRefused { unfit, .. } | Self::AfXdpLost { unfit, .. } => {
                unfit.fix().to_owned()
            }
            Self::AfXdpUnasked { .. } => {
                "what onloadd registered it ends by itself once no choice is left and nobody uses Onload; else leave it until the next reboot, or `modprobe -r onload sfc_resource` when nobody uses Onload; rename, move or remove the interface only after that".to_owned()
            }
            Self::Name { fix, .. } | Self::Clock { fix, .. } => fix.clone(),
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
            Self::ReleaseMissing { .. } => "ReleaseMissing",
            Self::Preflight { .. } => "Preflight",
            Self::OtherManager { .. } => "OtherManager",
            Self::InUse { .. } => "InUse",
            Self::Protected { .. } => "Protected",
            Self::Rejected { .. } => "Rejected",
            Self::AwaitingConfirmation { .. } => "AwaitingConfirmation",
            Self::Drifted { .. } => "Drifted",
            Self::AfXdpRefused { .. } => "AfXdpRefused",
            Self::AfXdpLost { .. } => "AfXdpLost",
            Self::AfXdpUnasked { .. } => "AfXdpUnasked",
            Self::Name { .. } => "Name",
            Self::Clock { .. } => "Clock",
            Self::PoolUnserved { .. } => "PoolUnserved",
        }
    }
}
