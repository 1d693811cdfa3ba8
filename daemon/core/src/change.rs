//! Changes: a driver replaced as a transaction, with the way back, and what is remembered of it.

use serde::{Deserialize, Serialize};

use crate::names::{BootId, KernelRelease, ReleaseName};
use crate::time::{Moment, Span, Timestamp};

/// How a change is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manner {
    /// What becomes of those who use the stack.
    pub holders: Holders,
    /// Take everything back unless it is confirmed within this time of being done. Needed where an
    /// interface is protected.
    pub confirm_within: Option<Span>,
}

/// What becomes of those who use the stack when it is to be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holders {
    /// They stay, and the change is refused.
    #[default]
    Refuse,
    /// The change waits until they are gone, at most so long; none: until it is cancelled.
    Wait(Option<Span>),
    /// The units they belong to are stopped. Containers are never: drain the node.
    Stop,
}

/// Why a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A new boot.
    Boot,
    /// The configuration changed and the node is idle.
    Idle,
    /// The machine was not as it had been left.
    Drift,
    /// An order of this user.
    Order(u32),
}

/// A change under way: from the first module taken away to the last one seen in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// Its number, from 1.
    pub number: u64,
    /// The release that was there; none where it could not be told, and there is no way back.
    pub from: Option<ReleaseName>,
    /// The release that shall be there.
    pub to: ReleaseName,
    /// Why.
    pub origin: Origin,
    /// How.
    pub manner: Manner,
    /// Kernel it is made on.
    pub kernel: Option<KernelRelease>,
    /// Boot it began in.
    pub boot: Option<BootId>,
    /// When it began.
    pub began: Timestamp,
    /// Whether a step was begun that takes away what somebody may use.
    #[serde(default)]
    pub touched: bool,
    /// Why it is being taken back; none while it goes forward.
    pub turned: Option<String>,
    /// Whether a person did that.
    #[serde(default)]
    pub called_off: bool,
    /// Until when it must be confirmed; none until it is done, or where none is needed.
    pub confirm_by: Option<Deadline>,
}

impl Change {
    /// The release it is bringing about just now.
    pub fn target(&self) -> Option<&ReleaseName> {
        if self.turned.is_some() { self.from.as_ref() } else { Some(&self.to) }
    }

    /// Whether the node may be between two releases: it must come to one of them, and only the
    /// kernel still says who is in the way.
    pub fn must_end(&self) -> bool {
        self.touched || self.turned.is_some()
    }

    /// Whether its release, once taken back, stays rejected in later boots: what a person called off
    /// or did not confirm does not come by itself.
    pub fn is_rejected_for_good(&self) -> bool {
        self.called_off || self.manner.confirm_within.is_some()
    }
}

/// A point in time that outlives a restart of the daemon, and does not outlive a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deadline {
    /// On the clock of this boot.
    pub moment: Moment,
    /// Which boot; in any other the time is over.
    pub boot: Option<BootId>,
    /// For people.
    pub wall: Timestamp,
}

/// A change that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Past {
    /// What it was.
    pub change: Change,
    /// When it ended.
    pub ended: Timestamp,
    /// How.
    pub outcome: Outcome,
}

impl Past {
    /// Whether neither release could be brought about.
    pub fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

/// How a change ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The wanted release is there, verified.
    Done,
    /// The former release is there again; why is in the change.
    RolledBack,
    /// Neither could be brought about.
    Failed(String),
}

impl Outcome {
    /// One word for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::RolledBack => "rolled-back",
            Self::Failed(_) => "failed",
        }
    }
}

/// A release that did not come up, and is not tried again by itself (DESIGN section 10.2): until
/// the release that is asked for, the kernel, the boot or the intent changes, or `apply --retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rejected {
    /// The release.
    pub release: ReleaseName,
    /// What the node went back to.
    pub former: Option<ReleaseName>,
    /// Why.
    pub why: String,
    /// On which kernel.
    pub kernel: Option<KernelRelease>,
    /// In which boot.
    pub boot: Option<BootId>,
    /// Whether anything was touched: a change that was only refused may be ordered again.
    pub touched: bool,
}

/// An order that names a release. It stands until `[modules]` changes (DESIGN section 10.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Order {
    /// The release.
    pub release: ReleaseName,
    /// User id of who ordered it.
    pub uid: u32,
    /// When.
    pub at: Timestamp,
    /// In which boot; none where it could not be read.
    pub boot: Option<BootId>,
}

/// A boot in which the node had a default route, with what it had by then. What comes up without
/// one after a change at boot is not used in the next (DESIGN section 10.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Proven {
    /// The boot.
    pub boot: BootId,
    /// Its kernel.
    pub kernel: Option<KernelRelease>,
    /// The release that was loaded; none where none was or it could not be told.
    pub release: Option<ReleaseName>,
}
