//! Whose time this node keeps: who steers each clock, from what, how well, and what stands against it.
//!
//! What a look found is a fact ([`Clocks`]); whether it adds up to a disciplined clock is said in
//! [`verdict`], what fights over one in [`conflict`]. Nothing here reads, and no verdict is made with wall
//! time: the clock that would tell it is the one in question.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::reading::Reading;

pub mod chrony;
pub mod conflict;
pub mod daemon;
pub mod kernel;
pub mod linuxptp;
pub mod offset;
pub mod picture;
pub mod sfptpd;
pub mod steady;
pub mod unit;
pub mod verdict;

use chrony::Chrony;
use daemon::Daemon;
use kernel::KernelClock;
use linuxptp::Ptp4l;
use sfptpd::Sfptpd;
use unit::Unit;

/// What one look found of clocks and of those who steer them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Clocks {
    /// What the kernel says of the system clock.
    pub kernel: Reading<KernelClock>,
    /// PTP hardware clocks, by index (`/dev/ptpINDEX`).
    pub hardware: BTreeMap<u32, HardwareClock>,
    /// Programs that may steer a clock, by process id, in whichever container.
    pub daemons: Reading<BTreeMap<u32, Daemon>>,
    /// The process that has locked the system clock (`/run/kernel_clock`; reference/sfptpd.md section 4).
    pub lock: Reading<u32>,
    /// Units of such programs that systemd knows, by name. Absent where it was not asked.
    pub units: Reading<BTreeMap<String, Unit>>,
    /// What sfptpd says of itself; absent where it has no run-time files.
    pub sfptpd: Reading<Sfptpd>,
    /// What each ptp4l says, by the path of its socket.
    pub ptp4l: BTreeMap<String, Reading<Ptp4l>>,
    /// What chronyd says; absent where none runs.
    pub chrony: Reading<Chrony>,
    /// The operator's configuration of sfptpd; absent where none is named.
    pub template: Reading<String>,
    /// What onloadd has written for sfptpd; absent where it has written nothing.
    pub written: Reading<Written>,
}

/// A PTP hardware clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HardwareClock {
    /// `clock_name`, as its driver calls it.
    pub name: Reading<String>,
    /// How far it is ahead of the system clock (CLOCK_REALTIME), in nanoseconds: what it counts includes
    /// the whole seconds between TAI and UTC where whoever steers it has it so.
    pub ahead_ns: Reading<i64>,
    /// How long the reading took, in nanoseconds: what `ahead_ns` may be wrong by.
    pub window_ns: Reading<u64>,
    /// Processes that have it open.
    pub users: BTreeSet<u32>,
    /// The process that has locked it, as whoever disciplines it does who does so at all.
    pub lock: Reading<u32>,
}

/// What onloadd has written for sfptpd, gone with the boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// The configuration, with interfaces by the names that ports have now.
    pub text: String,
    /// The unit that it is for.
    pub unit: String,
}

/// What a look at clocks is to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockLook {
    /// Units asked after whether they run or not, beside those of programs that run.
    pub units: BTreeSet<String>,
    /// The operator's configuration of sfptpd.
    pub template: Option<String>,
}
