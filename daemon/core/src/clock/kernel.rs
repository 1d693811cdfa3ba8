//! What the kernel says of the system clock (adjtimex(2)).

use serde::{Deserialize, Serialize};

/// The state of the system clock, as `adjtimex` tells it without changing anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KernelClock {
    /// Nobody has told the kernel that it is synchronised (STA_UNSYNC).
    pub unsynchronised: bool,
    /// A leap second that the end of the day brings.
    pub leap: Leap,
    /// Correction of the frequency, in parts per billion.
    pub frequency_ppb: i64,
    /// Estimated error, in nanoseconds.
    pub estimated_error_ns: u64,
    /// Largest error, in nanoseconds. It grows while nobody steers the clock.
    pub maximum_error_ns: u64,
    /// Seconds that TAI is ahead of UTC; 0 where nobody told the kernel.
    pub tai_offset: i32,
}

/// Bits of the status (`linux/timex.h`).
const STA_INS: i32 = 0x10;
const STA_DEL: i32 = 0x20;
const STA_UNSYNC: i32 = 0x40;

impl KernelClock {
    /// What the numbers of a `struct timex` mean: `freq` in 2^-16 parts per million, errors in microseconds.
    pub fn of(status: i32, freq: i64, esterror_us: i64, maxerror_us: i64, tai: i32) -> Self {
        let nanoseconds = |us: i64| u64::try_from(us).unwrap_or_default().saturating_mul(1000);
        let leap = match (status & STA_INS != 0, status & STA_DEL != 0) {
            // The kernel looks at the first of them first.
            (true, _) => Leap::Insert,
            (false, true) => Leap::Delete,
            (false, false) => Leap::None,
        };
        Self {
            unsynchronised: status & STA_UNSYNC != 0,
            leap,
            frequency_ppb: freq.saturating_mul(1000) >> 16,
            estimated_error_ns: nanoseconds(esterror_us),
            maximum_error_ns: nanoseconds(maxerror_us),
            tai_offset: tai,
        }
    }
}

/// A leap second to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leap {
    /// None.
    #[default]
    None,
    /// One is inserted at the end of the day.
    Insert,
    /// The last of the day is left out.
    Delete,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_become_ours() {
        // A machine that has not been synchronised since it came up.
        let fresh = KernelClock::of(0x40, 0, 16_000_000, 16_000_000, 0);
        assert!(fresh.unsynchronised);
        assert_eq!(fresh.maximum_error_ns, 16_000_000_000);
        // 1 ppm fast, with STA_PLL and STA_NANO, and a leap second to come.
        let steered = KernelClock::of(0x2001 | STA_INS, 65_536, 12, 34, 37);
        let expected = KernelClock {
            unsynchronised: false,
            leap: Leap::Insert,
            frequency_ppb: 1000,
            estimated_error_ns: 12_000,
            maximum_error_ns: 34_000,
            tai_offset: 37,
        };
        assert_eq!(steered, expected);
        assert_eq!(KernelClock::of(STA_DEL, -65_536, 0, 0, 0).leap, Leap::Delete);
        assert_eq!(KernelClock::of(0, -65_536, 0, 0, 0).frequency_ppb, -1000);
    }

    #[test]
    fn no_number_is_too_large() {
        for odd in [i64::MIN, -1, i64::MAX] {
            let clock = KernelClock::of(i32::MIN, odd, odd, odd, i32::MAX);
            assert!(odd > 0 || clock.estimated_error_ns == 0);
        }
    }
}
