//! sfptpd run as the configuration asks: through systemd, which restarts what crashes; started anew here
//! only when it hangs, and never beside another who runs a clock daemon.

use std::time::Duration;

use super::super::Reconciler;
use crate::clock::conflict::{self, Conflict, ConflictContext, Intended};
use crate::clock::daemon::{Daemon, DaemonKind};
use crate::clock::picture::{Handover, Keeper, Supervision};
use crate::clock::sfptpd::{self, config, exit};
use crate::clock::unit::{Active, Unit};
use crate::clock::{Clocks, Written};
use crate::condition::Status;
use crate::config::ClockMode;
use crate::inventory::{Depth, Snapshot};
use crate::plan::Takes;
use crate::reading::Reading;
use crate::step::Step;
use crate::time::Moment;

/// Starts, within so long, after which somebody else stops it, or it does not live.
const MOST_STARTS: usize = 3;
const WITHIN: Duration = Duration::from_secs(10 * 60);
/// Restarts by systemd after which what ends each time is told as more than an incident.
const OFTEN: u32 = 5;

impl Reconciler {
    /// Units that may run sfptpd, the first that is installed counts.
    pub(super) fn candidates(&self) -> Vec<String> {
        // One that the clock was handed to is known whatever the mode is by now.
        let handed = self.ledger.clock.handover.is_some();
        let configured = self.ptp().unit.as_deref();
        if configured.is_some() || handed || self.ptp().mode == ClockMode::Manage {
            sfptpd::units(configured)
        } else {
            Vec::new()
        }
    }

    /// The unit that runs sfptpd, as systemd shows it.
    pub(super) fn supervised<'a>(&self, clocks: &'a Clocks) -> Option<(String, &'a Unit)> {
        let units = clocks.units.known()?;
        let installed = |name: String| {
            units.get(&name).filter(|unit| unit.installed).map(|unit| (name.clone(), unit))
        };
        self.candidates().into_iter().find_map(installed)
    }

    /// The unit whose stop belongs to a change of drivers: sfptpd holds the ports' clocks, and what is
    /// not stopped before they go does not come back (reference/sfptpd.md section 9).
    pub(in super::super) fn clock_unit(&self, snapshot: &Snapshot) -> Option<String> {
        let managed = self.ptp().mode == ClockMode::Manage;
        let clocks = snapshot.clocks.known().filter(|_| managed)?;
        self.supervised(clocks).map(|(name, _)| name)
    }

    /// Whether a change of drivers is open, and not done: what waits to be confirmed is.
    pub(super) fn is_between_drivers(&self) -> bool {
        self.ledger.change.as_ref().is_some_and(|change| change.confirm_by.is_none())
    }

    /// Whether a driver is about to go, or goes: whoever has its clock is out of the way by then. One that
    /// may not go after all is known by a look that sought for its users.
    pub(super) fn is_driver_going(&self) -> bool {
        let takes = self.plan.takes == Takes::Driver;
        let begins = self.plan.blockers.is_empty()
            && self.looked_depth >= Depth::Users
            && !self.is_given_up()
            && self.ledger.hold.is_none()
            && !self.ledger.stopped;
        takes && (self.is_between_drivers() || begins)
    }

    /// What fights over clocks. `back`: somebody has the system clock by order, and is not in the way of what
    /// shall not run.
    pub(super) fn find_conflicts(
        &self,
        clocks: &Clocks,
        template: Option<&str>,
        back: bool,
    ) -> Vec<Conflict> {
        let own = self.supervised(clocks).map(|(name, _)| name);
        let configured = template.and_then(|text| config::check(text).ok());
        let configured = configured.map(|configured| Intended {
            steers_system_clock: configured.steers_system_clock(),
            readonly: configured.readonly,
            follows: configured.follows,
        });
        let mode = if back { ClockMode::Observe } else { self.ptp().mode };
        let own = own.filter(|_| !back);
        let configured = configured.filter(|_| !back);
        let context =
            ConflictContext { mode, configured: configured.as_ref(), unit: own.as_deref() };
        conflict::find(clocks, &context)
    }

    /// Plans what keeps clocks as they shall be. It waits for no module, so that it goes first where no
    /// driver is about to be replaced, and last once it has failed.
    pub(in super::super) fn keep_clocks(&mut self, snapshot: &Snapshot) {
        let Reading::Known(clocks) = &snapshot.clocks else {
            self.clocks.supervision = self.unsupervised(snapshot);
            return;
        };
        let (supervision, mut steps) = self.supervise(clocks, snapshot);
        self.clocks.supervision = supervision;
        self.resume(clocks, &mut steps);
        steps.retain(|step| !step.holds_in(snapshot));
        // One at a time: what follows may look otherwise after it.
        steps.truncate(1);
        let going = self.is_driver_going();
        let failure = steps.first().and_then(|step| self.failure(step));
        let given_up = failure.is_some_and(|failure| !self.retrying(failure));
        // What is tried again a little later must not wait for modules that may never come, nor they for it.
        let blocked =
            self.plan.steps.is_empty() || self.needs_change() && !self.plan.blockers.is_empty();
        let last = given_up || failure.is_some() && !blocked;
        let at = if last && !going {
            self.plan.steps.len()
        } else {
            usize::from(self.ends_block() || self.ends_change())
        };
        self.plan.steps.splice(at..at, steps);
    }

    /// What cannot be supervised, and why.
    pub(super) fn unsupervised(&self, snapshot: &Snapshot) -> Supervision {
        let (reason, message) = match (&snapshot.clocks, self.ptp().mode) {
            (_, ClockMode::Off) => {
                ("Off", "clocks are left alone (`mode = \"off\"` in [ptp])".to_owned())
            }
            (Reading::Unreadable(why), _) => ("Unreadable", why.clone()),
            (_, ClockMode::Observe) => ("NotManaged", String::new()),
            (_, ClockMode::Manage) => ("NotSeen", "clocks were not looked at".to_owned()),
        };
        Supervision { reason: reason.to_owned(), message, ..Supervision::default() }
    }

    /// How sfptpd is, and what is to be done about it.
    fn supervise(&self, clocks: &Clocks, snapshot: &Snapshot) -> (Supervision, Vec<Step>) {
        let mut told = self.unsupervised(snapshot);
        told.hangs = self.clocks.hangs;
        let version = clocks.sfptpd.known().and_then(|said| said.version.known().cloned());
        told.version = version.unwrap_or_default();
        let written = !clocks.written.is_absent();
        let handed = self.ledger.clock.handover.as_ref();
        if self.ptp().mode != ClockMode::Manage {
            if self.is_between_drivers() {
                return (told, Vec::new());
            }
            let back = handed.filter(|handover| handover.to == Keeper::Former);
            let back = back.filter(|handover| !handover.units.is_empty());
            let own = self.supervised(clocks).filter(|_| back.is_some());
            let stop = own.map(|(unit, _)| Step::StopUnit { unit });
            let start = back.into_iter().flat_map(|handover| start_all(handover, clocks));
            // What onloadd gave it goes with onloadd's wish to run it.
            let leave = written.then_some(Step::LeaveClock);
            return (told, stop.into_iter().chain(start).chain(leave).collect());
        }
        if let Some(why) = clocks.units.why_not() {
            let message = format!("systemd does not tell of units: {why}");
            return (Supervision { reason: "Unreadable".to_owned(), message, ..told }, Vec::new());
        }
        let Some((name, unit)) = self.supervised(clocks) else {
            let all = self.candidates().join(", ");
            let message = format!("there is no unit that runs sfptpd ({all})");
            let fix = "install sfptpd, or name its unit in [ptp]";
            return (no(told, "NotInstalled", message, fix), Vec::new());
        };
        let (message, restarts) = (String::new(), unit.restarts);
        told = Supervision { unit: name.clone(), message, restarts, ..told };
        let stop = || vec![Step::StopUnit { unit: name.clone() }];
        if self.is_driver_going() {
            let message = "stopped while the driver of its clocks is replaced".to_owned();
            let told = Supervision { reason: "Paused".to_owned(), message, ..told };
            return (told, stop());
        }
        if self.is_between_drivers() {
            return (Supervision { reason: "Paused".to_owned(), ..told }, Vec::new());
        }
        if let Some(handover) = handed.filter(|handover| handover.to == Keeper::Former) {
            let uid = handover.uid;
            let message = format!("the system clock was given back by order of uid {uid}");
            let fix = "`onloadctl clock handover` gives it to sfptpd again".to_owned();
            let told = Supervision { reason: "HandedBack".to_owned(), message, fix, ..told };
            return (told, stop().into_iter().chain(start_all(handover, clocks)).collect());
        }
        let taken: Vec<_> =
            handed.into_iter().flat_map(|handover| handover.units.clone()).collect();
        if let Some(other) = self.other_manager(clocks, &name, &taken) {
            let fix = "stop it, or say `mode = \"observe\"` in [ptp]";
            let message = format!("{other} steers clocks, and two would fight over them");
            return (no(told, "OtherManager", message, fix), Vec::new());
        }
        let wanted = match self.rendered(clocks, snapshot) {
            Ok(text) => text.map(|text| Written::new(text, name.clone())),
            Err((reason, message, fix)) => return (no(told, reason, message, &fix), Vec::new()),
        };
        let stops: Vec<_> = taken.into_iter().map(|unit| Step::StopUnit { unit }).collect();
        let runs = stops.iter().any(|step| !step.holds_in(snapshot));
        if runs {
            let message = "the system clock is being handed over".to_owned();
            return (no(told, "HandingOver", message, ""), stops);
        }
        if let Some(barring) = self.clocks.conflicts.iter().find(|one| one.bars_start) {
            let (message, fix) = (barring.message.clone(), barring.fix.clone());
            return (no(told, "Conflict", message, &fix), Vec::new());
        }
        let fits = clocks.written.known() == wanted.as_ref();
        let write = (!fits).then(|| wanted.map_or(Step::LeaveClock, Step::ConfigureClock));
        // What sfptpd itself does not take keeps nobody from running it with what it has.
        let failure = write.as_ref().and_then(|step| self.failure(step));
        match failure.filter(|failure| !self.retrying(failure)) {
            None => {
                let (told, steps) = self.run(told, &name, unit, write);
                match self.other_file(clocks, &name).filter(|_| told.status == Status::True) {
                    Some((message, fix)) => {
                        (no(told, "ConfigurationNotUsed", message, &fix), steps)
                    }
                    None => (told, steps),
                }
            }
            Some(failure) => {
                let (told, steps) = self.run(told, &name, unit, None);
                let why = failure.error.as_ref().map_or_else(
                    || "it was written, and is not there".to_owned(),
                    ToString::to_string,
                );
                let fix = "mend it, then `onloadctl apply --retry`; it runs with the former one";
                (no(told, "ConfigurationRefused", why, fix), steps)
            }
        }
    }

    /// What its unit's state asks for, where nothing speaks against its running.
    fn run(
        &self,
        told: Supervision,
        name: &str,
        unit: &Unit,
        write: Option<Step>,
    ) -> (Supervision, Vec<Step>) {
        let start = Step::StartUnit { unit: name.to_owned() };
        let words = unit.ended.map(exit::said).unwrap_or_default();
        match unit.active {
            // What it runs with is not touched by that, and one that sfptpd refuses changes nothing.
            Active::Active if write.is_some() || self.is_outdated(unit) => {
                let message = "it gets another configuration".to_owned();
                let process = unit.main_pid.filter(|_| self.is_outdated(unit));
                let anew =
                    process.map(|process| Step::RestartUnit { unit: name.to_owned(), process });
                let steps = write.into_iter().chain(anew).collect();
                (no(told, "Reconfigured", message, ""), steps)
            }
            // One that has not been looked at yet is not silent.
            Active::Active
                if !self.clocks.silent.is_zero() && self.clocks.silent >= self.clocks.patience =>
            {
                let silent = self.clocks.silent.as_secs();
                let message = format!("it has said nothing new for {silent} s");
                if self.is_fought_over_clock() {
                    let message = format!("{message}, again and again");
                    let fix = format!("see `journalctl -u {name}`, then `onloadctl apply --retry`");
                    return (no(told, "KeepsHanging", message, &fix), Vec::new());
                }
                let step = unit
                    .main_pid
                    .map(|process| Step::RestartUnit { unit: name.to_owned(), process });
                (no(told, "Hung", message, ""), step.into_iter().collect())
            }
            Active::Active => {
                let told =
                    Supervision { status: Status::True, reason: "Running".to_owned(), ..told };
                (told, Vec::new())
            }
            Active::Activating if unit.sub == "auto-restart" => {
                let message = format!("it ended ({words}); systemd starts it again");
                // Whoever ends so often does not live.
                let often = unit.restarts >= OFTEN;
                let reason = if often { "KeepsEnding" } else { "Restarting" };
                let fix = unit.ended.map_or("", exit::fix);
                (no(told, reason, message, fix), Vec::new())
            }
            Active::Activating | Active::Deactivating => {
                let message = format!("systemd has {name} on its way");
                (no(told, "Starting", message, ""), Vec::new())
            }
            Active::Failed if write.is_none() && !self.is_ordered() => {
                let limit = unit.result == "start-limit-hit";
                let reason = if limit { "StartLimitHit" } else { "Failed" };
                let fix = unit.ended.map_or("", exit::fix);
                let given_up = if limit {
                    "systemd has started it too often"
                } else {
                    "systemd has given it up"
                };
                let message = format!("{given_up} ({words})");
                let fix = format!("{fix}; then `onloadctl apply --retry`");
                (no(told, reason, message, &fix), Vec::new())
            }
            Active::Failed | Active::Inactive if self.is_fought_over_clock() => {
                let message = format!("it was started {MOST_STARTS} times, and is stopped again");
                let fix = format!("see who stops {name}, then `onloadctl apply --retry`");
                (no(told, "KeepsStopping", message, &fix), Vec::new())
            }
            Active::Failed | Active::Inactive => {
                let told = no(told, "Stopped", "it does not run".to_owned(), "");
                (told, write.into_iter().chain([start]).collect())
            }
        }
    }

    /// Somebody else who runs a PTP daemon: two supervisors would fight.
    pub(super) fn other_manager(
        &self,
        clocks: &Clocks,
        own: &str,
        taken: &[String],
    ) -> Option<String> {
        let gives_way =
            |daemon: &Daemon| daemon.unit.as_ref().is_some_and(|one| taken.contains(one));
        let of_ptp = |daemon: &Daemon| match daemon.kind {
            DaemonKind::Sfptpd => daemon.unit.as_deref() != Some(own),
            DaemonKind::Ptp4l | DaemonKind::Phc2sys | DaemonKind::Ts2phc => true,
            DaemonKind::Chronyd | DaemonKind::Ntpd | DaemonKind::Timesyncd => {
                daemon.container.is_some()
            }
        };
        let (pid, daemon) =
            clocks.daemons.known()?.iter().find(|(_, one)| of_ptp(one) && !gives_way(one))?;
        let place = match (&daemon.container, &daemon.unit) {
            (Some(id), _) => format!("container {}", id.get(..12).unwrap_or(id)),
            (None, Some(unit)) => unit.clone(),
            (None, None) => "no unit".to_owned(),
        };
        Some(format!("{} (pid {pid}, {place})", daemon.kind))
    }

    /// A step about clocks is done.
    pub(in super::super) fn clock_step_done(&mut self, step: &Step, now: Moment) {
        let starts = match step {
            Step::StartUnit { unit } => self.candidates().contains(unit),
            // Stopped by onloadd itself: who starts it again is nobody's fight.
            Step::StopUnit { unit } if self.candidates().contains(unit) => {
                self.clocks.starts.clear();
                false
            }
            Step::RestartUnit { process, .. } if self.ledger.clock.outdated == Some(*process) => {
                false
            }
            Step::RestartUnit { .. } => {
                self.clocks.hangs = self.clocks.hangs.saturating_add(1);
                true
            }
            _ => false,
        };
        if starts {
            self.clocks.starts.push(now);
            let surplus = self.clocks.starts.len().saturating_sub(MOST_STARTS);
            self.clocks.starts.drain(..surplus);
        }
    }

    /// Whether it runs with another configuration than is written.
    fn is_outdated(&self, unit: &Unit) -> bool {
        unit.main_pid.is_some() && unit.main_pid == self.ledger.clock.outdated
    }

    /// Whether an order is being carried out, for which everything is tried once more.
    fn is_ordered(&self) -> bool {
        self.running_job().is_some() || self.clocks.order.is_some()
    }

    /// Whether it was started again and again. An order settles that for the moment.
    fn is_fought_over_clock(&self) -> bool {
        let ordered = self.is_ordered();
        let since = |first: &Moment, last: &Moment| last.since(*first) < WITHIN;
        match self.clocks.starts.as_slice() {
            [first, .., last] if self.clocks.starts.len() == MOST_STARTS => {
                !ordered && since(first, last)
            }
            _ => false,
        }
    }

    /// Whether a step is about clocks, and so waits for no module.
    pub(in super::super) fn is_of_clocks(&self, step: &Step) -> bool {
        match step {
            Step::StartUnit { .. }
            | Step::RestartUnit { .. }
            | Step::ConfigureClock(_)
            | Step::LeaveClock => true,
            Step::StopUnit { unit } => {
                let handed = self.ledger.clock.handover.iter().flat_map(|one| &one.units);
                self.candidates().iter().chain(handed).any(|known| known == unit)
            }
            _ => false,
        }
    }
}

fn no(told: Supervision, reason: &str, message: String, fix: &str) -> Supervision {
    let (status, reason, fix) = (Status::False, reason.to_owned(), fix.to_owned());
    Supervision { status, reason, message, fix, ..told }
}

/// Starts those who have the clock back, as far as they are still there.
fn start_all<'a>(handover: &'a Handover, clocks: &'a Clocks) -> impl Iterator<Item = Step> + 'a {
    let units = clocks.units.known();
    let is_there = move |unit: &&String| {
        units.and_then(|units| units.get(*unit)).is_some_and(|unit| unit.installed)
    };
    handover.units.iter().filter(is_there).map(|unit| Step::StartUnit { unit: unit.clone() })
}
