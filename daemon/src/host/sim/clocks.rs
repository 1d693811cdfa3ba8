//! Clocks of a simulated machine, and the programs that steer them.

use onload_core::clock::{ClockLook, Clocks, Written};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::world::World;

impl World {
    /// What a look finds of clocks.
    pub(super) fn clock_readings(&self, _look: &ClockLook) -> Reading<Box<Clocks>> {
        Reading::Known(Box::default())
    }

    pub(super) fn start_unit(&mut self, unit: &str) -> Result<Outcome, StepError> {
        Err(StepError::Failed(format!("there is no unit {unit}")))
    }

    pub(super) fn restart_unit(&mut self, unit: &str) -> Result<Outcome, StepError> {
        Err(StepError::Failed(format!("there is no unit {unit}")))
    }

    pub(super) fn configure_clock(
        &mut self,
        _wanted: Option<&Written>,
    ) -> Result<Outcome, StepError> {
        Err(StepError::Failed("there is no sfptpd".to_owned()))
    }
}
