//! Clocks and those who steer them.

use onload_core::clock::{ClockLook, Clocks, Written};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::Linux;
use super::root::Dir;

/// What a look is to find of clocks.
pub(super) async fn read(_root: &Dir, _look: &ClockLook) -> Reading<Box<Clocks>> {
    Reading::Absent
}

impl Linux {
    /// Writes the configuration of sfptpd, and has its unit use it.
    pub(super) async fn configure_clock(&self, _wanted: &Written) -> Result<Outcome, StepError> {
        Err(self.unsupported())
    }

    /// Has sfptpd's unit use its own configuration again.
    pub(super) async fn leave_clock(&self) -> Result<Outcome, StepError> {
        Err(self.unsupported())
    }
}
