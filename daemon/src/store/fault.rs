//! Refusals of the store: what did not happen, why, with the path at fault, and what to do.

use std::io;
use std::path::Path;

use onload_core::refusal::{Refusal, RefusalKind};

const NOT_TAKEN_IN: &str = "no release was taken in";

/// What is offered is no release, or a bad one.
pub(super) fn unfit(why: impl Into<String>, fix: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::InvalidArgument, NOT_TAKEN_IN, why, fix)
}

/// A member of the source that no release may have.
pub(super) fn forbidden(path: &str, why: &str) -> Refusal {
    unfit(
        format!("{} {why}", shown(path)),
        "pack the release anew, from a tree that onload_install made",
    )
}

/// The source could not be read to its end.
pub(super) fn broken(path: &str, why: &dyn std::fmt::Display) -> Refusal {
    unfit(
        format!("{} cannot be read: {why}", shown(path)),
        "see that the archive is whole, and give it again",
    )
}

/// The source is more than is taken.
pub(super) fn too_much(why: impl Into<String>) -> Refusal {
    Refusal::new(
        RefusalKind::LimitExceeded,
        NOT_TAKEN_IN,
        why,
        "give an archive or a directory that holds the release and little else",
    )
}

/// Whoever ordered it no longer wants it.
pub(super) fn cancelled() -> Refusal {
    Refusal::new(
        RefusalKind::Cancelled,
        NOT_TAKEN_IN,
        "it was cancelled",
        "give the release again when it is wanted",
    )
}

/// The store could not be written, or what was written there not read.
pub(super) fn unwritten(path: &Path, error: &io::Error) -> Refusal {
    let (kind, fix) = remedy(path, error);
    let why = format!("{}: {error}", path.display());
    Refusal::new(kind, NOT_TAKEN_IN, why, fix)
}

/// A release could not be removed.
pub(super) fn unremoved(release: &str, path: &Path, error: &io::Error) -> Refusal {
    let (kind, fix) = remedy(path, error);
    let why = format!("{}: {error}", path.display());
    Refusal::new(kind, format!("release {release} was not removed"), why, fix)
}

fn remedy(path: &Path, error: &io::Error) -> (RefusalKind, String) {
    use io::ErrorKind as Kind;
    let room = [Kind::StorageFull, Kind::QuotaExceeded, Kind::FileTooLarge];
    if room.contains(&error.kind()) {
        (RefusalKind::Blocked, format!("make room where {} lies, and try again", path.display()))
    } else if matches!(error.kind(), Kind::PermissionDenied | Kind::ReadOnlyFilesystem) {
        let fix = format!("let onloadd write to {} (its unit, the mount)", path.display());
        (RefusalKind::Blocked, fix)
    } else {
        (RefusalKind::Internal, "see the kernel's log about that file system".to_owned())
    }
}

/// A path of the source for a message: what could steer a terminal is escaped, and what is long
/// is cut.
pub(super) fn shown(path: &str) -> String {
    const LONGEST: usize = 200;
    let mut text: String = path.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if path.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}
