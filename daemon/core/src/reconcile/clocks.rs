//! Clocks as the reconciler keeps them: looked at, sfptpd run where that is asked for, and the system clock
//! handed over by order.

use super::Reconciler;
use crate::clock::ClockLook;
use crate::clock::picture::Keeper;
use crate::command::{Caller, RequestId};
use crate::config::ClockMode;
use crate::refusal::{Refusal, RefusalKind};
use crate::time::Now;

/// What is known of clocks beside what a look shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ClockKeeping {}

impl Reconciler {
    /// What the next look is to find of clocks.
    pub(super) fn clock_look(&self) -> Option<ClockLook> {
        let settings = &self.config.settings.ptp;
        match settings.mode {
            ClockMode::Off => None,
            ClockMode::Observe | ClockMode::Manage => Some(ClockLook::default()),
        }
    }

    /// Gives the system clock to sfptpd, or back.
    pub(super) fn hand_over(
        &mut self,
        _now: Now,
        _request: RequestId,
        _caller: &Caller,
        _to: Keeper,
    ) -> Result<(), Refusal> {
        let fix = "say `mode = \"manage\"` in [ptp]";
        Err(Refusal::new(RefusalKind::Unsupported, "the clock was not handed over", "unwired", fix))
    }
}
