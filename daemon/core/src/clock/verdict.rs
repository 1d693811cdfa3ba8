//! Whether clocks are disciplined, by whom and from what: one look judged on its own. What came before is
//! taken into account in [`super::steady`].

use serde::{Deserialize, Serialize};

use super::daemon::DaemonKind;

/// What one look says of one clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Verdict {
    /// Whether it is disciplined and near enough.
    pub standing: Standing,
    /// One CamelCase word: why, or why not.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Who steers it.
    pub steered_by: Option<Steerer>,
    /// What it follows: a PTP instance and its parent, an NTP server, `ptp0`.
    pub source: String,
    /// The PTP grandmaster behind it.
    pub grandmaster: String,
    /// How far it is ahead of what it follows, in nanoseconds.
    pub offset_ns: Option<i64>,
    /// Path delay to it, in nanoseconds.
    pub path_delay_ns: Option<i64>,
    /// Correction of its frequency, in parts per billion.
    pub frequency_ppb: Option<i64>,
    /// Alarms of whoever steers it.
    pub alarms: Vec<String>,
}

/// Whether a clock is disciplined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Somebody steers it, says so, and it is near enough.
    Good,
    /// Somebody steers it, and it is not near enough, or an alarm says otherwise.
    Bad,
    /// Nobody steers it.
    Free,
    /// Cannot be told.
    #[default]
    Unknown,
}

/// Who steers a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Steerer {
    /// What it is.
    pub kind: DaemonKind,
    /// Its process.
    pub pid: u32,
    /// Its unit.
    pub unit: Option<String>,
    /// Its container.
    pub container: Option<String>,
}
