//! Refusals become the errors of the contract. One table, in `onload-dbus`, knows the rest.

use onload_core::refusal::{Refusal, RefusalKind};
use onload_dbus::error::{Failure, Kind};

/// The error a refusal is on the wire.
pub(super) fn failure(refusal: &Refusal) -> Failure {
    Failure::new(kind(refusal.kind), &refusal.what, &refusal.why, &refusal.fix)
}

/// The name of a refusal on the wire, for every edge.
pub fn kind(kind: RefusalKind) -> Kind {
    match kind {
        RefusalKind::NotAuthorized => Kind::NotAuthorized,
        RefusalKind::InUse => Kind::InUse,
        RefusalKind::Blocked => Kind::Blocked,
        RefusalKind::Held => Kind::Held,
        RefusalKind::NotFound => Kind::NotFound,
        RefusalKind::InvalidArgument => Kind::InvalidArgument,
        RefusalKind::Busy => Kind::Busy,
        RefusalKind::Unsupported => Kind::Unsupported,
        RefusalKind::Degraded => Kind::Degraded,
        RefusalKind::Internal => Kind::Internal,
        RefusalKind::LimitExceeded => Kind::LimitExceeded,
        RefusalKind::Cancelled => Kind::Cancelled,
        RefusalKind::LedgerUnavailable => Kind::LedgerUnavailable,
    }
}

/// The answer that no command of ours should give: said, and logged by the caller's edge.
pub(super) fn unexpected(member: &str) -> Failure {
    Failure::new(
        Kind::Internal,
        &format!("{member} was answered with something else"),
        "a fault of onloadd",
        "look at the node's state before trying again, and report it",
    )
}
