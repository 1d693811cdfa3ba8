//! What sfptpd reads and writes (reference/sfptpd.md sections 3 to 7).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::reading::Reading;

pub mod config;
pub mod exit;
pub mod instances;
pub mod interfaces;
pub mod metrics;
pub mod sample;
pub mod state;
pub mod version;

mod bounded;
mod number;
mod table;

/// The configuration that its package's unit names (reference/sfptpd.md section 1).
pub const USUAL_CONFIGURATION: &str = "/etc/sfptpd.conf";
/// The unit of its own package (reference/sfptpd.md section 1), and ours for a package that brings none.
const UNITS: [&str; 2] = ["sfptpd.service", "onloadd-sfptpd.service"];

/// Units that may run it, the first that is installed counts: the configured one alone, if there is one.
pub fn units(configured: Option<&str>) -> Vec<String> {
    match configured {
        Some(unit) => vec![unit.to_owned()],
        None => UNITS.map(str::to_owned).into(),
    }
}

/// What a running sfptpd says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sfptpd {
    /// Its version, as the file `version` of its state directory has it.
    pub version: Reading<String>,
    /// Its instances by name, with what `sync-instances` says of each.
    pub instances: Reading<BTreeMap<String, Instance>>,
    /// What `state-NAME` says, by NAME: an instance, or a clock that it steers.
    pub states: BTreeMap<String, Reading<State>>,
    /// The newest line of statistics of each servo, by `INSTANCE` and slave clock.
    pub samples: Reading<BTreeMap<String, Sample>>,
    /// What it says of each interface.
    pub interfaces: Reading<BTreeMap<String, InterfaceCaps>>,
    /// `topology` as it drew it: for people.
    pub topology: Reading<String>,
    /// The path of its control socket.
    pub control: Reading<String>,
    /// Whether statistics come from its metrics socket; else from a file of JSON lines, or nowhere.
    pub metrics: bool,
    /// A mark that changes whenever it has said anything new: not one that is compared with a clock.
    pub pulse: u64,
}

/// A row of `sync-instances`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Instance {
    /// Whether it is the source of time (`S`).
    pub selected: bool,
    /// Its state, such as `slave`: releases differ in whether the table has the kind before it (`ptp-slave`).
    pub state: String,
    /// Whether it gives or passes on time: what its state says, else a mark under `O`.
    pub operational: bool,
    /// Alarms; the table has only that there are some, so their names come from its state.
    pub alarmed: bool,
    /// A constraint from outside, such as `must-be-selected`.
    pub constraint: Option<String>,
}

/// What a `state-NAME` file says (`key: value`, reference/sfptpd.md section 4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// `state`, such as `ptp-slave`, `ntp-slave`, `local-slave`, `freerunning-clock`.
    pub state: String,
    /// `alarms`.
    pub alarms: BTreeSet<String>,
    /// `control-flags`.
    pub control_flags: BTreeSet<String>,
    /// `in-sync`; none where the file has none.
    pub in_sync: Option<bool>,
    /// `offset-from-master`, `-from-reference` or `-from-peer`, in nanoseconds.
    pub offset_ns: Option<i64>,
    /// `one-way-delay`, in nanoseconds.
    pub path_delay_ns: Option<i64>,
    /// `freq-adjustment-ppb`.
    pub frequency_ppb: Option<i64>,
    /// `clock-name`.
    pub clock: Option<String>,
    /// `interface`.
    pub interface: Option<String>,
    /// `grandmaster-id`.
    pub grandmaster: Option<String>,
    /// `grandmaster-clock-class`.
    pub grandmaster_class: Option<u8>,
    /// `parent-address`, `selected-peer` or `reference-clock-name`: whom it follows.
    pub source: Option<String>,
    /// `blocked-by`: `ntp`, `manual`, `flock`.
    pub blocked_by: BTreeSet<String>,
    /// `leap-59` or `leap-61` is set.
    pub leap: bool,
}

/// A line of statistics (reference/sfptpd.md section 6.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sample {
    /// The instance it is of, or the clock's name for a local servo.
    pub instance: String,
    /// When, as sfptpd wrote it; told, and compared with nothing but itself.
    pub time: String,
    /// The clock or instance it follows.
    pub master: String,
    /// The clock that it steers or compares.
    pub slave: String,
    /// Whether it steers it, and does not only compare.
    pub disciplining: bool,
    /// `in-sync`.
    pub in_sync: bool,
    /// Alarms.
    pub alarms: BTreeSet<String>,
    /// Offset, in nanoseconds.
    pub offset_ns: Option<i64>,
    /// Correction of the frequency, in parts per billion.
    pub frequency_ppb: Option<i64>,
    /// One-way delay, in nanoseconds.
    pub path_delay_ns: Option<i64>,
    /// The grandmaster's id.
    pub grandmaster: Option<String>,
}

/// A row of `interfaces`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct InterfaceCaps {
    /// `ptp-caps`.
    pub ptp: String,
    /// `pkt-timestamping-caps`.
    pub timestamping: String,
    /// `mac-address`.
    pub mac: String,
}
