//! Manual pages, from the same description as `--help`.

use std::path::Path;

use onload_dbus::error::Kind;

use crate::ended::{Complaint, Ended};

/// Writes them.
pub fn write(_directory: &Path) -> Result<(), Ended> {
    Err(Complaint::of(Kind::Unsupported, "nothing was done", "it is not built yet", "wait").into())
}
