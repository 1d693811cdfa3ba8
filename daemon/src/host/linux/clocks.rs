//! Clocks and those who steer them.

use onload_core::clock::{ClockLook, Clocks};
use onload_core::reading::Reading;

use super::root::Dir;

mod sfptpd;
mod units;
mod write;

/// What a look is to find of clocks.
pub(super) async fn read(_root: &Dir, _look: &ClockLook) -> Reading<Box<Clocks>> {
    Reading::Absent
}
