//! What fights over a clock, and what to do about it (reference/sfptpd.md sections 8 and 12).

use serde::{Deserialize, Serialize};

/// Kind of conflict: the reason of the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictKind {
    /// chronyd steers the system clock, and another does or shall.
    Chronyd,
    /// ntpd does.
    Ntpd,
    /// systemd-timesyncd does.
    Timesyncd,
    /// phc2sys does.
    Phc2sys,
    /// Two programs have one hardware clock to steer.
    HardwareClock,
    /// Two run of a kind of which there can be one.
    TwoOfAKind,
    /// The configuration lets sfptpd steer nothing: `clock_readonly`.
    ClockReadonly,
    /// sfptpd runs free: it follows nobody.
    Freerun,
}

/// A conflict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conflict {
    /// Which.
    pub kind: ConflictKind,
    /// The clock it is about: `system`, `ptp0`.
    pub clock: String,
    /// Who and what, for people.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// Whether sfptpd must not be started while it is so: it would end, or two would fight.
    pub bars_start: bool,
    /// Units that end it when they are stopped: what a hand-over stops.
    pub units: Vec<String>,
}
