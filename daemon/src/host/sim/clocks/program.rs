//! A program that steers clocks: what it is, whether it runs, and what systemd knows of it.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::clock::daemon::{DaemonKind, Told};
use onload_core::clock::unit::{Active, Ended, Unit};

use super::super::action::Place;
use super::super::file::ClockProgram;
use super::sfptpd::Plan;

/// The version of sfptpd where none is written (reference/sfptpd.md section 9).
const STABLE: &str = "3.9.0.1007";

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub kind: DaemonKind,
    pub place: Place,
    pub told: Told,
    /// Whether each boot starts it.
    pub enabled: bool,
    /// The text of sfptpd's own configuration; none: what its package brings.
    pub configuration: Option<String>,
    pub version: String,
    pub conflicts: BTreeSet<String>,
    /// How long after an end systemd starts it anew, in milliseconds.
    pub restart_after_ms: Option<u64>,
    /// The process; none while it does not run.
    pub running: Option<Running>,
    /// Whether somebody gives it time.
    pub found: bool,
    /// How each start ends by order.
    pub fails: Option<i32>,
    /// What systemd knows.
    pub active: Active,
    pub sub: &'static str,
    pub result: &'static str,
    pub ended: Option<Ended>,
    pub restarts: u32,
    /// When it was started lately.
    pub starts_ms: Vec<u64>,
    /// When it is started anew.
    pub restart_at_ms: Option<u64>,
}

/// A process of it.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub pid: u32,
    pub started: u64,
    pub hangs: bool,
    /// A clock that it had open went away.
    pub lost_clock: bool,
    /// How long it has worked, in seconds.
    pub worked_s: u64,
    /// For how long each servo of sfptpd has been below its threshold, in seconds.
    pub good_s: BTreeMap<String, u64>,
    /// What sfptpd read in its configuration.
    pub plan: Option<Plan>,
    /// Interfaces that it has found by their name, by index: it follows them when they are renamed.
    pub interfaces: BTreeMap<String, u32>,
}

impl Program {
    pub fn new(file: &ClockProgram) -> Self {
        let name = file.name().to_owned();
        let restart_after = file.restart_after.map(|span| span.0.as_millis());
        Self {
            kind: *file.kind.get_ref(),
            place: match file.unit {
                Some(_) => Place::Unit(name),
                None => Place::Container(name),
            },
            told: file.told.clone(),
            enabled: file.runs,
            configuration: file.configuration.as_ref().map(|text| text.get_ref().clone()),
            version: file.version.as_ref().map_or(STABLE, |one| one.get_ref()).to_owned(),
            conflicts: file.conflicts.clone(),
            restart_after_ms: restart_after.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            running: None,
            found: true,
            fails: None,
            active: Active::Inactive,
            sub: "dead",
            result: "success",
            ended: None,
            restarts: 0,
            starts_ms: Vec::new(),
            restart_at_ms: None,
        }
    }

    /// What it goes by.
    pub fn name(&self) -> &str {
        match &self.place {
            Place::Unit(name) | Place::Container(name) => name,
        }
    }

    /// Whether it is this unit.
    pub fn is_unit(&self, unit: &str) -> bool {
        matches!(&self.place, Place::Unit(name) if name == unit)
    }

    /// Nothing of it is left by a new boot.
    pub fn boot(&mut self) {
        self.running = None;
        self.rest(Active::Inactive, "dead", "success");
        (self.ended, self.restarts, self.restart_at_ms) = (None, 0, None);
        self.starts_ms.clear();
    }

    /// What systemd says from now on.
    pub fn rest(&mut self, active: Active, sub: &'static str, result: &'static str) {
        (self.active, self.sub, self.result) = (active, sub, result);
    }

    /// Whether it does what it is for.
    pub fn works(&self) -> bool {
        self.running.as_ref().is_some_and(|run| !run.hangs)
    }

    /// What systemd says of it; of sfptpd's units everything is asked.
    pub fn unit(&self) -> Unit {
        let asked = self.kind == DaemonKind::Sfptpd;
        Unit {
            installed: true,
            active: self.active,
            sub: self.sub.to_owned(),
            result: if asked { self.result.to_owned() } else { String::new() },
            ended: self.ended.filter(|_| asked),
            main_pid: self.running.as_ref().map(|run| run.pid).filter(|_| asked),
            restarts: if asked { self.restarts } else { 0 },
        }
    }

    /// What its own name is as a process.
    pub fn comm(&self) -> &'static str {
        match self.kind {
            // As much as the kernel keeps of it.
            DaemonKind::Timesyncd => "systemd-timesyn",
            DaemonKind::Sfptpd
            | DaemonKind::Chronyd
            | DaemonKind::Ntpd
            | DaemonKind::Ptp4l
            | DaemonKind::Phc2sys
            | DaemonKind::Ts2phc => self.kind.as_str(),
        }
    }
}
