//! What ptp4l says on its management socket: frames out, frames in (reference/sfptpd.md section 10).

use serde::{Deserialize, Serialize};

/// What a ptp4l says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ptp4l {
    /// Its identity, as `pmc` prints it: `aabbcc.fffe.ddeeff`.
    pub clock_identity: String,
    /// Domain.
    pub domain: u8,
    /// Steps from the grandmaster (CURRENT_DATA_SET).
    pub steps_removed: u16,
    /// Offset from its master, in nanoseconds (TIME_STATUS_NP).
    pub master_offset_ns: Option<i64>,
    /// Mean path delay, in nanoseconds (CURRENT_DATA_SET).
    pub path_delay_ns: Option<i64>,
    /// Whether there is a grandmaster other than itself (TIME_STATUS_NP).
    pub has_grandmaster: bool,
    /// The grandmaster's identity.
    pub grandmaster: String,
    /// Its class (PARENT_DATA_SET).
    pub grandmaster_class: u8,
    /// Seconds that TAI is ahead of UTC, where that is valid (TIME_PROPERTIES_DATA_SET).
    pub utc_offset: Option<i16>,
    /// States of its ports, from port 1 (PORT_DATA_SET).
    pub ports: Vec<PtpPort>,
}

/// A port of a ptp4l.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PtpPort {
    /// Its state.
    pub state: PortState,
    /// Its interface, where ptp4l tells (PORT_PROPERTIES_NP).
    pub interface: Option<String>,
    /// The index of its hardware clock, where ptp4l tells (PORT_HWCLOCK_NP); none with software time
    /// stamps.
    pub hardware_clock: Option<u32>,
}

/// State of a PTP port, by its number on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortState {
    /// 1.
    #[default]
    Initializing,
    /// 2.
    Faulty,
    /// 3.
    Disabled,
    /// 4.
    Listening,
    /// 5.
    PreMaster,
    /// 6.
    Master,
    /// 7.
    Passive,
    /// 8.
    Uncalibrated,
    /// 9.
    Slave,
    /// 10, an extension.
    GrandMaster,
}
