//! The two clocks, read in one place.

use nix::time::{ClockId, clock_gettime};
use onload_core::time::{Moment, Now, Timestamp};

/// Reads both clocks.
pub fn now() -> Now {
    Now {
        boot: Moment(millis(ClockId::CLOCK_BOOTTIME)),
        wall: Timestamp(millis(ClockId::CLOCK_REALTIME)),
    }
}

/// Milliseconds on a clock. Both exist on every kernel we run on; a clock that could not be read
/// would stand at zero, where nothing falls due.
fn millis(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1000) + nanos / 1_000_000
    })
}
