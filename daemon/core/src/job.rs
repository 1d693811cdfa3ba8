//! Jobs: long orders that a caller can follow and cancel.

use serde::{Deserialize, Serialize};

use crate::names::JobId;
use crate::time::Timestamp;

/// One long order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What was ordered.
    pub kind: JobKind,
    /// How far it is.
    pub state: JobState,
    /// Steps done.
    pub done: u32,
    /// Steps done and to do, as far as is known now.
    pub total: u32,
    /// What is going on, or how it ended.
    pub message: String,
    /// User id of who ordered it.
    pub uid: u32,
    /// Since when.
    pub started: Timestamp,
}

/// What a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// `apply`.
    Apply,
    /// `release use`.
    Use,
    /// `rollback`.
    Rollback,
    /// `adopt`.
    Adopt,
    /// `release import`.
    Import,
    /// `release remove`.
    Remove,
    /// `keys import`.
    ImportKey,
    /// `keys revoke-request`.
    RevokeRequest,
    /// `clock handover`.
    HandOver,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Under way.
    Running,
    /// The node is as ordered.
    Done,
    /// Something stands in the way; the message says what.
    Failed,
    /// Cancelled by an operator.
    Cancelled,
}

impl JobKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Use => "use",
            Self::Rollback => "rollback",
            Self::Adopt => "adopt",
            Self::Import => "import",
            Self::Remove => "remove",
            Self::ImportKey => "import-key",
            Self::RevokeRequest => "revoke-request",
            Self::HandOver => "hand-over",
        }
    }

    /// Whether it brings the node to a state, and so takes its turn with others that do.
    pub fn is_change(self) -> bool {
        match self {
            Self::Apply | Self::Use | Self::Rollback | Self::Adopt => true,
            Self::Import
            | Self::Remove
            | Self::ImportKey
            | Self::RevokeRequest
            | Self::HandOver => false,
        }
    }

    /// Whether it brings or removes a release.
    pub fn is_of_releases(self) -> bool {
        match self {
            Self::Import | Self::Remove => true,
            Self::Apply
            | Self::Use
            | Self::Rollback
            | Self::Adopt
            | Self::ImportKey
            | Self::RevokeRequest
            | Self::HandOver => false,
        }
    }
}

impl JobState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
