//! Whose time this node keeps: who steers each clock, from what, how well, and what stands against it.
//!
//! What a look found is a fact ([`Clocks`]); whether it adds up to a disciplined clock is said in
//! [`verdict`], what fights over one in [`conflict`]. Nothing here reads, and no verdict is made with wall
//! time: the clock that would tell it is the one in question.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::reading::Reading;
use crate::secure_boot::hex;

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

/// What onloadd has written for sfptpd, gone with the boot: a configuration with interfaces by the names that
/// ports have now, and the unit it is for. It may hold keys of NTP, so that wherever it is kept or told only its
/// digest is; two are the same by that.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// The unit.
    pub unit: String,
    digest: String,
    #[serde(skip)]
    text: String,
}

impl Written {
    /// What a text is for a unit.
    pub fn new(text: String, unit: String) -> Self {
        let digest = hex(&Sha256::digest(text.as_bytes()));
        Self { unit, digest, text }
    }

    /// What was read back without its text.
    pub fn kept(unit: String, digest: String) -> Self {
        Self { unit, digest, text: String::new() }
    }

    /// The text; empty for one that was read back.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 over the text, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn key(&self) -> (&str, &str) {
        (&self.unit, &self.digest)
    }
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Written {}

impl Ord for Written {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Written {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a look at clocks is to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockLook {
    /// Units asked after whether they run or not, beside those of programs that run.
    pub units: BTreeSet<String>,
    /// The operator's configuration of sfptpd.
    pub template: Option<String>,
    /// Whether also a look within a change of drivers finds them anew.
    pub again: bool,
}
