//! systemd, as far as it starts, stops and restarts programs that steer clocks.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::clock::Written;
use onload_core::clock::daemon::DaemonKind;
use onload_core::clock::unit::{Active, Ended, Unit};
use onload_core::step::{Outcome, StepError};

use super::super::action::{ActionError, ClockTurn, Place, Who};
use super::super::world::World;
use super::program::{Program, Running};
use super::sfptpd::{self, Plan};

/// `DefaultStartLimitBurst=` and `DefaultStartLimitIntervalSec=` (systemd-system.conf(5)).
const START_LIMIT: usize = 5;
const START_INTERVAL_MS: u64 = 10_000;
/// SIGKILL.
const KILLED: i32 = 9;

impl World {
    /// Starts what a boot starts. What does not come up is told where it is looked for.
    pub(in crate::host::sim) fn start_clock_programs(&mut self) {
        for at in 0..self.time.programs.len() {
            if self.time.programs.get(at).is_some_and(|one| one.enabled) {
                let _ = self.start_program(at);
            }
        }
    }

    pub(in crate::host::sim) fn is_clock_unit(&self, unit: &str) -> bool {
        self.unit_at(unit).is_some()
    }

    fn unit_at(&self, unit: &str) -> Option<usize> {
        self.time.programs.iter().position(|one| one.is_unit(unit))
    }

    /// Starts a unit.
    pub(in crate::host::sim) fn start_unit(&mut self, unit: &str) -> Result<Outcome, StepError> {
        let Some(at) = self.unit_at(unit) else { return Err(no_unit(unit, "started")) };
        if self.time.programs.get(at).is_some_and(|one| one.running.is_some()) {
            return Ok(Outcome::Unchanged);
        }
        self.started_by_hand(at);
        self.start_program(at).map_err(|why| not(unit, "started", &why))?;
        Ok(Outcome::Changed)
    }

    /// Stops a unit if need be, and starts it.
    pub(in crate::host::sim) fn restart_unit(&mut self, unit: &str) -> Result<Outcome, StepError> {
        let Some(at) = self.unit_at(unit) else { return Err(no_unit(unit, "started anew")) };
        self.stop_clock_unit(unit)?;
        self.started_by_hand(at);
        self.start_program(at).map_err(|why| not(unit, "started anew", &why))?;
        Ok(Outcome::Changed)
    }

    /// `NRestarts` counts from here, unless it is between two of them (`flush_n_restarts` of systemd).
    fn started_by_hand(&mut self, at: usize) {
        if let Some(one) = self.time.programs.get_mut(at).filter(|one| one.restart_at_ms.is_none())
        {
            one.restarts = 0;
        }
    }

    /// Stops a unit that steers clocks.
    pub(in crate::host::sim) fn stop_clock_unit(
        &mut self,
        unit: &str,
    ) -> Result<Outcome, StepError> {
        let Some(at) = self.unit_at(unit) else { return Ok(Outcome::Unchanged) };
        let keeps = self.faults.keeps(unit);
        let Some(one) = self.time.programs.get_mut(at) else { return Ok(Outcome::Unchanged) };
        let waited = one.restart_at_ms.take().is_some();
        let running = one.running.as_ref().map(|run| run.pid);
        match running {
            Some(_) if keeps => {
                return Err(StepError::Failed(format!("{unit} did not stop in its time")));
            }
            Some(pid) => {
                self.program_ends(at, Ended::Status(0));
                self.exit(pid);
            }
            None if waited => one.rest(Active::Inactive, "dead", "success"),
            None => return Ok(Outcome::Unchanged),
        }
        self.touch();
        Ok(Outcome::Changed)
    }

    /// Starts a program; what it ends with where it does not come up.
    fn start_program(&mut self, at: usize) -> Result<(), String> {
        let now = self.time.now_ms;
        let Some(one) = self.time.programs.get_mut(at) else { return Ok(()) };
        one.restart_at_ms = None;
        one.starts_ms.retain(|start| now.saturating_sub(*start) < START_INTERVAL_MS);
        self.touch();
        let Some(one) = self.time.programs.get_mut(at) else { return Ok(()) };
        if matches!(one.place, Place::Unit(_)) && one.starts_ms.len() >= START_LIMIT {
            one.rest(Active::Failed, "failed", "start-limit-hit");
            return Err("it was started too often (start-limit-hit)".to_owned());
        }
        one.starts_ms.push(now);
        self.stop_rivals(at);
        match self.begin(at) {
            Ok(plan) => {
                self.runs(at, plan);
                Ok(())
            }
            Err(status) => {
                self.program_ends(at, Ended::Status(status));
                Err(format!("it ended with status {status}"))
            }
        }
    }

    /// Units that conflict with one that starts are stopped, whichever of the two says so.
    fn stop_rivals(&mut self, at: usize) {
        let Some(one) = self.time.programs.get(at) else { return };
        let rivals = self.time.programs.iter().filter(|other| {
            one.conflicts.contains(other.name()) || other.conflicts.contains(one.name())
        });
        let rivals: Vec<String> = rivals.map(|other| other.name().to_owned()).collect();
        for rival in rivals {
            // One that stays is no reason for systemd to wait.
            let _ = self.stop_clock_unit(&rival);
        }
    }

    /// What it finds when it starts: what sfptpd is to do, or the status it ends with.
    fn begin(&self, at: usize) -> Result<Option<Plan>, i32> {
        let Some(one) = self.time.programs.get(at) else { return Ok(None) };
        match (one.fails, one.kind) {
            (Some(status), _) => Err(status),
            (None, DaemonKind::Sfptpd) => self.begin_sfptpd(one).map(Some),
            (None, _) => Ok(None),
        }
    }

    fn runs(&mut self, at: usize, plan: Option<Plan>) {
        let pid = self.take_pid();
        self.next_start += 1;
        let Some(one) = self.time.programs.get(at) else { return };
        let who = Who { pid, comm: Some(one.comm().to_owned()), place: Some(one.place.clone()) };
        let clocks = self.clocks_of(one);
        // The same start time wherever the process is told of.
        let started = match clocks.is_empty() {
            true => self.next_start,
            false => self.next_start + 1,
        };
        if !clocks.is_empty() {
            self.clocks.extend(clocks.into_iter().map(|index| (index, pid)));
            self.appears(&who);
        }
        let Some(one) = self.time.programs.get_mut(at) else { return };
        one.rest(Active::Active, "running", "success");
        let (hangs, lost_clock, worked_s) = (false, false, 0);
        let (good_s, interfaces) = (BTreeMap::new(), BTreeMap::new());
        one.running =
            Some(Running { pid, started, hangs, lost_clock, worked_s, good_s, plan, interfaces });
        if one.kind == DaemonKind::Sfptpd {
            let version = one.version.clone();
            self.time.left.begins(version);
        }
    }

    /// What becomes of the unit when its process ends, or never came up.
    fn program_ends(&mut self, at: usize, ended: Ended) {
        let now = self.time.now_ms;
        let Some(one) = self.time.programs.get_mut(at) else { return };
        one.running = None;
        one.ended = Some(ended);
        let (active, sub, result) = match (ended, one.restart_after_ms) {
            (Ended::Status(0), _) => (Active::Inactive, "dead", "success"),
            (Ended::Status(_), Some(_)) => (Active::Activating, "auto-restart", "exit-code"),
            (Ended::Status(_), None) => (Active::Failed, "failed", "exit-code"),
            (Ended::Signal(_), Some(_)) => (Active::Activating, "auto-restart", "signal"),
            (Ended::Signal(_), None) => (Active::Failed, "failed", "signal"),
        };
        one.rest(active, sub, result);
        if active == Active::Activating {
            one.restart_at_ms = one.restart_after_ms.map(|after| now.saturating_add(after));
        }
    }

    /// Restarts that are due.
    pub(super) fn restart_programs(&mut self) {
        let now = self.time.now_ms;
        for at in 0..self.time.programs.len() {
            let Some(one) = self.time.programs.get_mut(at) else { continue };
            if one.restart_at_ms.is_some_and(|due| due <= now) {
                one.restarts = one.restarts.saturating_add(1);
                let _ = self.start_program(at);
            }
        }
    }

    /// A process was killed; true where it was one of these.
    pub(in crate::host::sim) fn clock_program_killed(&mut self, pid: u32) -> bool {
        let is_it = |one: &Program| one.running.as_ref().is_some_and(|run| run.pid == pid);
        let Some(at) = self.time.programs.iter().position(is_it) else { return false };
        self.program_ends(at, Ended::Signal(KILLED));
        true
    }

    /// A program ends by itself.
    pub(super) fn crash(&mut self, at: usize, status: i32) {
        let Some(one) = self.time.programs.get(at) else { return };
        let Some(pid) = one.running.as_ref().map(|run| run.pid) else { return };
        self.program_ends(at, Ended::Status(status));
        self.exit(pid);
        self.touch();
    }

    /// `clockd`.
    pub(in crate::host::sim) fn turn_clock_program(
        &mut self,
        name: &str,
        turn: ClockTurn,
    ) -> Result<(), ActionError> {
        let refuse = |why: &str, fix: &str| {
            Err(ActionError::new(format!("nothing becomes of {name}"), why, fix))
        };
        let Some(at) = self.time.programs.iter().position(|one| one.name() == name) else {
            return refuse("there is no such program", "name another");
        };
        let Some(one) = self.time.programs.get_mut(at) else { return Ok(()) };
        match turn {
            ClockTurn::Run if one.running.is_some() => {
                return refuse("it runs already", "nothing to do");
            }
            ClockTurn::Run => {
                self.started_by_hand(at);
                if let Err(why) = self.start_program(at) {
                    return refuse(&why, "see to what it says");
                }
            }
            ClockTurn::Stop => match one.place.clone() {
                Place::Unit(unit) => {
                    if let Err(error) = self.stop_clock_unit(&unit) {
                        return refuse(&error.to_string(), "clear faults");
                    }
                }
                Place::Container(_) => self.crash(at, 0),
            },
            ClockTurn::Lost => one.found = false,
            ClockTurn::Found => one.found = true,
            ClockTurn::Fails(status) => one.fails = status,
            ClockTurn::Hang | ClockTurn::Mend => match &mut one.running {
                Some(run) => run.hangs = turn == ClockTurn::Hang,
                None => return refuse("it does not run", "start it"),
            },
            ClockTurn::Crash(status) => {
                if one.running.is_none() {
                    return refuse("it does not run", "start it");
                }
                self.crash(at, status);
            }
        }
        Ok(())
    }

    /// Units that were asked for, and those of programs that run.
    pub(super) fn unit_readings(&self, asked: &BTreeSet<String>) -> BTreeMap<String, Unit> {
        let of_programs = self.time.programs.iter().filter(|one| match &one.place {
            Place::Unit(name) => one.running.is_some() || asked.contains(name),
            Place::Container(_) => false,
        });
        let missing = asked.iter().map(|name| (name.clone(), Unit::default()));
        missing.chain(of_programs.map(|one| (one.name().to_owned(), one.unit()))).collect()
    }

    /// Starts sfptpd in mind, with what it reads.
    fn begin_sfptpd(&self, one: &Program) -> Result<Plan, i32> {
        let written = self.time.written.as_ref().filter(|written| one.is_unit(&written.unit));
        let text = written.map(Written::text).or(one.configuration.as_deref());
        let plan = sfptpd::judge(text.unwrap_or(sfptpd::PACKAGED)).map_err(|_| sfptpd::EINVAL)?;
        sfptpd::hindrance(self, &plan).map_or(Ok(plan), Err)
    }
}

fn no_unit(unit: &str, done: &str) -> StepError {
    not(unit, done, "systemd says: there is no such unit")
}

fn not(unit: &str, done: &str, why: &str) -> StepError {
    StepError::Failed(format!("unit {unit} was not {done}: {why}"))
}
