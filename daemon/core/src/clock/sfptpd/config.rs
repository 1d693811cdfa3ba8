//! sfptpd's configuration (reference/sfptpd.md section 3): whether it would be taken, and what it asks for.
//!
//! What is accepted here is what sfptpd accepts, and a port in the place of an interface besides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

mod general;
mod line;
mod option;
mod port;
mod ptp;
mod reader;
mod render;
mod sources;
#[cfg(test)]
mod tests;

pub use port::PortRef;
pub use render::render;

/// The longest configuration read: a thousand of sfptpd's longest lines.
const LONGEST: usize = 1 << 20;

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ConfigFault {}

/// A kind of instance: where time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A clock that nothing corrects.
    Freerun,
    /// IEEE 1588.
    Ptp,
    /// A pulse each second.
    Pps,
    /// ntpd.
    Ntp,
    /// chronyd.
    Crny,
    /// gpsd.
    Gps,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Freerun, Self::Ptp, Self::Pps, Self::Ntp, Self::Crny, Self::Gps];

    /// Its word, which is also the name of the section that all its instances share.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Freerun => "freerun",
            Self::Ptp => "ptp",
            Self::Pps => "pps",
            Self::Ntp => "ntp",
            Self::Crny => "crny",
            Self::Gps => "gps",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether an instance of it has to be told which interface to use.
    fn needs_interface(self) -> bool {
        match self {
            Self::Freerun | Self::Ptp | Self::Pps => true,
            Self::Ntp | Self::Crny | Self::Gps => false,
        }
    }
}

/// What a configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// Declared instances. sfptpd adds one of kind `crny` where none of that kind is declared.
    pub instances: BTreeMap<String, Kind>,
    /// Interfaces it names, and ports as they are written (`port:0`).
    pub interfaces: BTreeSet<String>,
    /// Clocks that are never touched (`clock_readonly`); `system` is the system clock.
    pub readonly: BTreeSet<String>,
    /// Instances are declared, and all of them run free.
    pub freerun_only: bool,
    /// Some declared instance takes time from elsewhere.
    pub follows: bool,
    /// `clock_control`.
    pub clock_control: String,
    /// `run_dir`, where set; as written, `%` and letters included (so are all paths).
    pub run_dir: Option<String>,
    /// `state_path`, where set.
    pub state_path: Option<String>,
    /// `control_path`, where set.
    pub control_path: Option<String>,
    /// `metrics_path`, where set.
    pub metrics_path: Option<String>,
    /// `json_stats`, where set.
    pub json_stats: Option<String>,
    /// `stats_log`, where it is a file.
    pub stats_log: Option<String>,
    /// Whether clocks of other makers' cards are used.
    pub non_solarflare: bool,
}

impl Default for Configured {
    /// What sfptpd does without a configuration.
    fn default() -> Self {
        Self {
            instances: BTreeMap::new(),
            interfaces: BTreeSet::new(),
            readonly: BTreeSet::new(),
            freerun_only: false,
            follows: false,
            clock_control: "slew-and-step".to_owned(),
            run_dir: None,
            state_path: None,
            control_path: None,
            metrics_path: None,
            json_stats: None,
            stats_log: None,
            non_solarflare: false,
        }
    }
}

impl Configured {
    /// Whether sfptpd moves the system clock with it.
    pub fn steers_system_clock(&self) -> bool {
        !self.readonly.contains("system") && self.clock_control != "no-adjust"
    }
}

/// What a configuration asks for.
///
/// # Errors
/// With the first line that sfptpd would refuse, or take otherwise than it reads.
pub fn check(text: &str) -> Result<Configured, ConfigFault> {
    reader::read(text).map(|read| read.configured)
}
