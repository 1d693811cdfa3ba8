//! Names that onloadd has pinned: `.link` files of its own for udev.

use onload_core::naming::Pins;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::Linux;
use super::root::Dir;

/// What stands there now; absent where onloadd has written nothing.
pub(super) fn read(_root: &Dir) -> Reading<Pins> {
    Reading::Absent
}

impl Linux {
    /// Writes the files that are missing or differ, and removes those of ours that are no longer wanted.
    pub(super) async fn pin_names(&self, _wanted: &Pins) -> Result<Outcome, StepError> {
        Err(self.unsupported())
    }
}
