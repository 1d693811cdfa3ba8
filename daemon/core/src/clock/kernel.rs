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
