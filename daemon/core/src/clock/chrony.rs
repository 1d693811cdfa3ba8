//! What chronyd says (`chronyc -c`).

use serde::{Deserialize, Serialize};

use super::kernel::Leap;

/// What chronyd says of the system clock (`chronyc -c tracking`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chrony {
    /// Reference id, such as `C0A80001`; `7F7F0101` while it follows itself.
    pub reference_id: String,
    /// Name or address of what it follows; empty where it follows nothing.
    pub source: String,
    /// Stratum; 0 where it is not synchronised.
    pub stratum: u32,
    /// How far the system clock is ahead of true time by its estimate, in nanoseconds.
    pub offset_ns: i64,
    /// Root mean square of the offsets, in nanoseconds.
    pub rms_offset_ns: u64,
    /// Delay to the stratum-1 computer, in nanoseconds.
    pub root_delay_ns: u64,
    /// Dispersion to it, in nanoseconds.
    pub root_dispersion_ns: u64,
    /// A leap second it knows of; none where it is not synchronised.
    pub leap: Option<Leap>,
    /// Sources that it has selected or could combine with those (`*` and `+` of `chronyc -c sources`).
    pub usable_sources: u32,
    /// All its sources.
    pub sources: u32,
}
