//! What fights over a clock, and what to do about it (reference/sfptpd.md sections 8 and 12).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Clocks;
use crate::config::ClockMode;

mod case;
mod hardware;
mod sfptpd;
mod system;

use case::Case;

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
    /// phc2sys does, or a ptp4l with software time stamps.
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

impl ConflictKind {
    /// One CamelCase word for conditions and programs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Chronyd => "Chronyd",
            Self::Ntpd => "Ntpd",
            Self::Timesyncd => "Timesyncd",
            Self::Phc2sys => "Phc2sys",
            Self::HardwareClock => "HardwareClock",
            Self::TwoOfAKind => "TwoOfAKind",
            Self::ClockReadonly => "ClockReadonly",
            Self::Freerun => "Freerun",
        }
    }
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

/// What sfptpd shall do by its configuration, as far as it matters to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intended {
    /// Clocks that it may not steer (`clock_readonly`), as written.
    pub readonly: BTreeSet<String>,
    /// Whether some instance follows somebody: not all run free.
    pub follows: bool,
    /// Whether it may steer the system clock.
    pub steers_system_clock: bool,
}

/// What conflicts are judged against.
#[derive(Clone, Copy, Debug)]
pub struct ConflictContext<'a> {
    /// What is done about clocks. Nothing is found where that is nothing.
    pub mode: ClockMode,
    /// What sfptpd shall do, by the operator's configuration or the one that it runs with. None: it is not known,
    /// and what a running sfptpd says of itself counts.
    pub configured: Option<&'a Intended>,
    /// The unit that runs sfptpd for this node. One in another unit is another manager's.
    pub unit: Option<&'a str>,
}

/// What fights over clocks, in the order of kinds.
///
/// A clock has one keeper: sfptpd where it is to steer it, else whoever steers it now (who has locked it; then who
/// says so; then who is told so; then who does so by default). Every other program that steers it is a conflict
/// of its own kind, with what ends it.
pub fn find(clocks: &Clocks, context: &ConflictContext<'_>) -> Vec<Conflict> {
    match context.mode {
        ClockMode::Off => return Vec::new(),
        ClockMode::Observe | ClockMode::Manage => {}
    }
    let case = Case::of(clocks, *context);
    let mut found = system::find(&case);
    found.extend(hardware::find(&case));
    found.extend(sfptpd::find(&case));
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests;
