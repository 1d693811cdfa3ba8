//! What is written for sfptpd.

use onload_core::clock::Written;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use crate::host::linux::Linux;
use crate::host::linux::root::Dir;

/// What has been written.
pub(super) fn written(_root: &Dir) -> Reading<Written> {
    Reading::Absent
}

impl Linux {
    /// Writes the configuration of sfptpd, and has its unit use it.
    pub(in crate::host::linux) async fn configure_clock(
        &self,
        _wanted: &Written,
    ) -> Result<Outcome, StepError> {
        Err(self.unsupported())
    }

    /// Has sfptpd's unit use its own configuration again.
    pub(in crate::host::linux) async fn leave_clock(&self) -> Result<Outcome, StepError> {
        Err(self.unsupported())
    }
}
