//! Network state written: interfaces renamed, and what went with a driver put back.

use onload_core::names::InterfaceName;
use onload_core::naming::Renaming;
use onload_core::network::{Deed, Owner};
use onload_core::step::{Outcome, StepError};

use super::super::Linux;

impl Linux {
    /// Renames interfaces: all of them or none.
    pub(in super::super) async fn have_renamed(
        &self,
        _all: &[Renaming],
    ) -> Result<Outcome, StepError> {
        Err(self.unsupported())
    }

    /// Has network state put back, as much of it as the kernel takes.
    pub(in super::super) async fn have_restored(
        &self,
        _deeds: &[Deed],
    ) -> Result<Outcome, StepError> {
        Err(self.unsupported())
    }

    /// Asks the owner of an interface to set it up again.
    pub(in super::super) async fn hand_back(
        &self,
        _interface: &InterfaceName,
        _owner: &Owner,
    ) -> Result<Outcome, StepError> {
        Err(self.unsupported())
    }
}
