//! Programs that may steer a clock: which they are, by name, and what their command line tells.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

mod options;
#[cfg(test)]
mod tests;
mod told;

pub use told::SYSTEM_CLOCK;

/// What kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaemonKind {
    /// `sfptpd`.
    Sfptpd,
    /// `chronyd`.
    Chronyd,
    /// `ntpd`, of whichever make.
    Ntpd,
    /// `systemd-timesyncd`.
    Timesyncd,
    /// `ptp4l`.
    Ptp4l,
    /// `phc2sys`.
    Phc2sys,
    /// `ts2phc`.
    Ts2phc,
}

/// One that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Daemon {
    /// Its kind.
    pub kind: DaemonKind,
    /// Start time in clock ticks since boot: with the process id it names the process.
    #[serde(default)]
    pub started: u64,
    /// The systemd unit it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The container it belongs to, as its control group names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What its command line and the configuration that it names say. Command lines themselves are not kept (DESIGN section 10.6).
    #[serde(default)]
    pub told: Told,
}

/// What the command line of a program that steers clocks says, and the configuration that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Told {
    /// It is told to leave the system clock alone: `chronyd -x` (reference/sfptpd.md section 8).
    pub leaves_system_clock: bool,
    /// Its configuration file (`-f`).
    pub configuration: Option<String>,
    /// Clocks that it steers by its command line: `CLOCK_REALTIME`, `/dev/ptp0`, an interface.
    pub steers: BTreeSet<String>,
    /// The clock or interface that it takes time from.
    pub source: Option<String>,
    /// Interfaces it is told to use.
    pub interfaces: BTreeSet<String>,
    /// Whether it finds clocks by itself, from ptp4l (`phc2sys -a`).
    pub automatic: bool,
    /// The path of its management socket, where the command line names one.
    pub socket: Option<String>,
    /// The domain of PTP it works in (linuxptp).
    pub domain: u8,
    /// Its `transportSpecific` (linuxptp).
    pub transport_specific: u8,
    /// The port at which chronyd is asked, where its configuration names one; 0: it is not.
    pub command_port: Option<u16>,
}

impl Daemon {
    /// Which program that is, by the name of its process, and what it is told by its arguments (those
    /// after its own name); none for one that steers no clock.
    pub fn of(comm: &str, arguments: &[&str]) -> Option<(DaemonKind, Told)> {
        let kind = DaemonKind::of(comm)?;
        Some((kind, Told::of(kind, arguments, None)))
    }
}

impl DaemonKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sfptpd,
        Self::Chronyd,
        Self::Ntpd,
        Self::Timesyncd,
        Self::Ptp4l,
        Self::Phc2sys,
        Self::Ts2phc,
    ];

    /// Which one has a process of this name. The kernel keeps 15 bytes of it.
    pub fn of(comm: &str) -> Option<Self> {
        Some(match comm {
            "sfptpd" => Self::Sfptpd,
            "chronyd" => Self::Chronyd,
            // The second is that of ntpd-rs.
            "ntpd" | "ntp-daemon" => Self::Ntpd,
            "systemd-timesyn" | "systemd-timesyncd" => Self::Timesyncd,
            "ptp4l" => Self::Ptp4l,
            "phc2sys" => Self::Phc2sys,
            "ts2phc" => Self::Ts2phc,
            _ => return None,
        })
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sfptpd => "sfptpd",
            Self::Chronyd => "chronyd",
            Self::Ntpd => "ntpd",
            Self::Timesyncd => "systemd-timesyncd",
            Self::Ptp4l => "ptp4l",
            Self::Phc2sys => "phc2sys",
            Self::Ts2phc => "ts2phc",
        }
    }
}

impl fmt::Display for DaemonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
