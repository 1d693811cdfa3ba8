//! Programs that may steer a clock: which they are, by name, and what their command line tells.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// What its command line says. Command lines themselves are not kept (DESIGN section 10.6).
    #[serde(default)]
    pub told: Told,
}

/// What the command line of a program that steers clocks says.
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
