//! A call that is refused: a kind for programs, three sentences for people.

use serde::{Deserialize, Serialize};

/// Why a call is refused, for programs. `onload-dbus` maps each to its D-Bus name, exit code and
/// gRPC code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefusalKind {
    /// The caller may not.
    NotAuthorized,
    /// Somebody holds it.
    InUse,
    /// Something stands in the way that an operator can remove.
    Blocked,
    /// An operator's hold.
    Held,
    /// There is no such thing.
    NotFound,
    /// The argument is not of the form it must have.
    InvalidArgument,
    /// Another order is under way.
    Busy,
    /// This host or version cannot.
    Unsupported,
    /// The daemon keeps its hands off.
    Degraded,
    /// A fault of the daemon.
    Internal,
    /// The caller has as many as allowed.
    LimitExceeded,
    /// The order was cancelled.
    Cancelled,
    /// The ledger cannot be written.
    LedgerUnavailable,
}

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}\n  why: {why}\n  fix: {fix}")]
pub struct Refusal {
    /// For programs.
    pub kind: RefusalKind,
    /// What did not happen.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: String,
}

impl Refusal {
    /// Puts the parts together.
    pub fn new(
        kind: RefusalKind,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { kind, what: what.into(), why: why.into(), fix: fix.into() }
    }
}
