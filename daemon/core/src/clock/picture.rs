//! What is published of clocks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::conflict::Conflict;
use super::verdict::Verdict;
use crate::condition::Status;
use crate::config::ClockMode;
use crate::names::BootId;
use crate::time::{Moment, Timestamp};

/// Clocks, as outsiders see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClocksPicture {
    /// What is done about them.
    pub mode: ClockMode,
    /// By name: `system`, `ptp0`. Empty where they are not looked at.
    pub clocks: BTreeMap<String, ClockPicture>,
    /// What fights over them.
    pub conflicts: Vec<Conflict>,
    /// sfptpd's supervision.
    pub supervision: Supervision,
    /// Who was last given the system clock by order.
    pub handover: Option<Handover>,
    /// Times without a synchronised system clock, oldest first.
    pub outages: Vec<Outage>,
}

/// One clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockPicture {
    /// Its device (`/dev/ptp0`); empty for the system clock.
    pub device: String,
    /// What its driver calls it; empty for the system clock.
    pub driver_name: String,
    /// Interfaces whose clock it is.
    pub interfaces: Vec<String>,
    /// Whether it counts as synchronised, with hysteresis.
    pub synchronised: Status,
    /// Since when that is so.
    pub since: Timestamp,
    /// What the last look says.
    pub verdict: Verdict,
    /// How far it is ahead of the system clock by the kernel's own reading, in nanoseconds; none for the
    /// system clock itself.
    pub ahead_ns: Option<i64>,
    /// A leap second the kernel will make: `none`, `insert`, `delete`; empty for others than the system clock.
    pub leap: String,
    /// What could not be read, and why, by property.
    pub unreadable: BTreeMap<String, String>,
}

/// How sfptpd is looked after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supervision {
    /// `True`: it runs as wanted; `False`: it does not; `Unknown`: it is not looked after.
    pub status: Status,
    /// One CamelCase word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// What to do about it; empty where nothing is to be done.
    pub fix: String,
    /// Its unit.
    pub unit: String,
    /// Its version.
    pub version: String,
    /// How often systemd has restarted it by itself.
    pub restarts: u32,
    /// How often onloadd has because it hung, since the daemon runs.
    pub hangs: u32,
}

/// Who has the system clock by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keeper {
    /// sfptpd.
    Sfptpd,
    /// Whoever had it before.
    Former,
}

/// The system clock handed over, by order. It stands until the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Handover {
    /// To whom.
    pub to: Keeper,
    /// Units that were stopped for sfptpd, and are started again when the clock goes back.
    pub units: Vec<String>,
    /// User id of who ordered it.
    pub uid: u32,
    /// When.
    pub at: Timestamp,
}

/// A time in which the system clock was not synchronised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Outage {
    /// When it began.
    pub began: Timestamp,
    /// The same on the clock of its boot.
    pub at: Moment,
    /// Which boot; none where it could not be read.
    pub boot: Option<BootId>,
    /// How long it took, in milliseconds; none while it lasts.
    pub millis: Option<u64>,
    /// The change of drivers it came with; none for another reason.
    pub change: Option<u64>,
    /// The reason it began with.
    pub reason: String,
}
