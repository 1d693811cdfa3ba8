//! Clocks of the small machine, and units that steer them.

use super::*;

impl Lab {
    /// Starts units and writes configurations as systemd and the host do.
    pub(super) fn clock_step(&mut self, step: &Step) -> Result<Outcome, StepError> {
        Err(StepError::Failed(format!("there is no systemd to {step}")))
    }
}
