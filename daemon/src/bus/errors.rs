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

/// The refusal for a name that nothing has.
pub(super) fn absent(kind: &str, name: &str, list: &str) -> Failure {
    let shown: String = name.chars().filter(|c| !c.is_control()).collect();
    Failure::new(
        Kind::NotFound,
        &format!("there is no {kind} {shown}"),
        "nothing on this node has that name just now",
        &format!("see `{list}` for the names there are"),
    )
}

/// The refusal for a caller whose process cannot be told: nothing could end with it once the bus
/// has restarted.
pub(super) fn faceless() -> Failure {
    Failure::new(
        Kind::Blocked,
        "nothing was lent: it shall end with the caller",
        "the caller's process cannot be seen from here (or this boot's id not yet)",
        "ask for a lease or a persistent allocation, or call from the host's own processes",
    )
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
