//! Whether a kernel will take the files of a release: told from the files, before anything is touched.

use crate::inventory::Snapshot;
use crate::names::{KernelRelease, ReleaseName};
use crate::step::StepError;

/// One reason why a release cannot be loaded.
pub type Objection = StepError;

/// Every reason why `release` cannot be loaded into `kernel`; none: nothing speaks against it.
pub fn check(
    _release: &ReleaseName,
    _kernel: &KernelRelease,
    _snapshot: &Snapshot,
) -> Vec<Objection> {
    Vec::new()
}
