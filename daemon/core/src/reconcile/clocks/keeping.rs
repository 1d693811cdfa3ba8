//! sfptpd run as the configuration asks: through systemd, which restarts what crashes; started anew here
//! only when it hangs, and never beside another who runs a clock daemon.

use std::time::Duration;

use super::super::Reconciler;
use crate::change::Change;
use crate::clock::conflict::{self, Conflict, ConflictContext, Intended};
use crate::clock::daemon::{Daemon, DaemonKind};
use crate::clock::picture::{Handover, Keeper, Supervision};
use crate::clock::sfptpd::config::{self, PortRef};
use crate::clock::sfptpd::exit;
use crate::clock::unit::{Active, Unit};
use crate::clock::{Clocks, Written};
use crate::condition::Status;
use crate::config::ClockMode;
use crate::inventory::Snapshot;
use crate::ledger::{ClockEntry, Entry};
use crate::naming;
use crate::plan::Takes;
use crate::reading::Reading;
use crate::step::Step;
use crate::time::Moment;

/// The unit of sfptpd's own package (reference/sfptpd.md section 1).
const PACKAGED: &str = "sfptpd.service";
/// Ours, for a package that brings none.
const OURS: &str = "onloadd-sfptpd.service";
/// Starts, within so long, after which somebody else stops it, or it does not live.
const MOST_STARTS: usize = 3;
const WITHIN: Duration = Duration::from_secs(10 * 60);

impl Reconciler {
    /// Units that may run sfptpd, the first that is installed counts.
    pub(super) fn candidates(&self) -> Vec<String> {
        match (&self.ptp().unit, self.ptp().mode) {
            (Some(unit), _) => vec![unit.clone()],
            (None, ClockMode::Manage) => vec![PACKAGED.to_owned(), OURS.to_owned()],
            (None, ClockMode::Off | ClockMode::Observe) => Vec::new(),
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

    /// Whether a driver is about to go, or goes: whoever has its clock is out of the way by then.
    pub(super) fn is_driver_going(&self) -> bool {
        let open = self.ledger.change.as_ref();
        let takes = self.plan.takes == Takes::Driver;
        let begins = self.plan.blockers.is_empty()
            && !self.is_given_up()
            && self.ledger.hold.is_none()
            && !self.ledger.stopped;
        takes && open.map_or(begins, |change| change.turned.is_none())
    }

    pub(super) fn find_conflicts(&self, clocks: &Clocks, template: Option<&str>) -> Vec<Conflict> {
        let own = self.supervised(clocks).map(|(name, _)| name);
        let configured = template.and_then(|text| config::check(text).ok());
        let configured = configured.map(|configured| Intended {
            steers_system_clock: configured.steers_system_clock(),
            readonly: configured.readonly,
            follows: configured.follows,
        });
        let context = ConflictContext {
            mode: self.ptp().mode,
            configured: configured.as_ref(),
            unit: own.as_deref(),
        };
        conflict::find(clocks, &context)
    }

    /// Plans what keeps clocks as they shall be. It waits for no module, so that it goes first where no
    /// driver is about to be replaced, and last once it has failed.
    pub(in super::super) fn keep_clocks(&mut self, snapshot: &Snapshot) {
        let begun = self.ledger.change.as_ref().is_some_and(Change::must_end);
        let Reading::Known(clocks) = &snapshot.clocks else {
            self.clocks.supervision = self.unsupervised(snapshot);
            return;
        };
        if begun {
            return;
        }
        let (supervision, mut steps) = self.supervise(clocks, snapshot);
        self.clocks.supervision = supervision;
        self.resume(clocks, &mut steps);
        steps.retain(|step| !step.holds_in(snapshot));
        // One at a time: what follows may look otherwise after it.
        steps.truncate(1);
        let going = self.is_driver_going();
        let failed = steps.first().is_some_and(|step| self.failure(step).is_some());
        let at = if failed && !going {
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
            // What onloadd gave it goes with onloadd's wish to run it.
            let leave = written.then_some(Step::LeaveClock);
            let back = handed.filter(|handover| handover.to == Keeper::Former);
            let steps = leave.into_iter().chain(back.into_iter().flat_map(start_all));
            return (told, steps.collect());
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
        told = Supervision { unit: name.clone(), restarts: unit.restarts, ..told };
        let stop = || vec![Step::StopUnit { unit: name.clone() }];
        if self.is_driver_going() {
            let message = "stopped while the driver of its clocks is replaced".to_owned();
            let told = Supervision { reason: "Paused".to_owned(), message, ..told };
            return (told, stop());
        }
        if self.ledger.change.is_some() {
            return (Supervision { reason: "Paused".to_owned(), ..told }, Vec::new());
        }
        if let Some(handover) = handed.filter(|handover| handover.to == Keeper::Former) {
            let uid = handover.uid;
            let message = format!("the system clock was given back by order of uid {uid}");
            let fix = "`onloadctl clock handover` gives it to sfptpd again".to_owned();
            let told = Supervision { reason: "HandedBack".to_owned(), message, fix, ..told };
            return (told, stop().into_iter().chain(start_all(handover)).collect());
        }
        let taken = handed.into_iter().flat_map(|handover| &handover.units);
        let stops: Vec<_> = taken.map(|unit| Step::StopUnit { unit: unit.clone() }).collect();
        let runs = stops.iter().any(|step| !step.holds_in(snapshot));
        if runs {
            let message = "the system clock is being handed over".to_owned();
            return (no(told, "HandingOver", message, ""), stops);
        }
        if let Some(other) = self.other_manager(clocks, &name) {
            let fix = "stop it, or say `mode = \"observe\"` in [ptp]";
            let message = format!("{other} steers clocks, and two would fight over them");
            return (no(told, "OtherManager", message, fix), Vec::new());
        }
        let wanted = match self.rendered(clocks, snapshot) {
            Ok(text) => text.map(|text| Written { text, unit: name.clone() }),
            Err((reason, message, fix)) => return (no(told, reason, message, &fix), Vec::new()),
        };
        if let Some(barring) = self.clocks.conflicts.iter().find(|one| one.bars_start) {
            let (message, fix) = (barring.message.clone(), barring.fix.clone());
            return (no(told, "Conflict", message, &fix), Vec::new());
        }
        let fits = clocks.written.known() == wanted.as_ref();
        let write = (!fits).then(|| wanted.map_or(Step::LeaveClock, Step::ConfigureClock));
        self.run(told, &name, unit, write)
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
        let stop = Step::StopUnit { unit: name.to_owned() };
        let words = unit.ended.map(exit::said).unwrap_or_default();
        match unit.active {
            // Stopped, written, started: each of them shows on the machine, whenever it is cut off.
            Active::Active if write.is_some() => {
                let message = "it gets another configuration".to_owned();
                (no(told, "Reconfigured", message, ""), vec![stop])
            }
            Active::Active if self.clocks.silent >= self.ptp().hang_after.0 => {
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
                let fix = unit.ended.map_or("", exit::fix);
                (no(told, "Restarting", message, fix), Vec::new())
            }
            Active::Activating | Active::Deactivating => {
                let message = format!("systemd has {name} on its way");
                (no(told, "Starting", message, ""), Vec::new())
            }
            Active::Failed if write.is_none() && self.running_job().is_none() => {
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

    /// The configuration as it is to be written; none where sfptpd's own file is left alone.
    fn rendered(
        &self,
        clocks: &Clocks,
        snapshot: &Snapshot,
    ) -> Result<Option<String>, (&'static str, String, String)> {
        let Some(path) = &self.ptp().configuration else { return Ok(None) };
        let text = match &clocks.template {
            Reading::Known(text) => text,
            Reading::Absent => {
                let fix = "write it, or take `configuration` out of [ptp]".to_owned();
                return Err(("ConfigurationMissing", format!("{path} is not there"), fix));
            }
            Reading::Unreadable(why) => {
                let message = format!("{path} cannot be read: {why}");
                let fix = "see whether onloadd's unit may read it: /etc is the place".to_owned();
                return Err(("ConfigurationUnreadable", message, fix));
            }
        };
        let refuse = |fault: config::ConfigFault| {
            ("ConfigurationRefused", format!("{path}, {fault}"), fault.fix)
        };
        config::check(text).map_err(refuse)?;
        config::render(text, &self.port_refs(snapshot)).map(Some).map_err(refuse)
    }

    /// The node's physical Solarflare ports, as a configuration of sfptpd may name them.
    fn port_refs(&self, snapshot: &Snapshot) -> Vec<PortRef> {
        naming::port_numbers(snapshot, &self.hardware)
            .into_iter()
            .map(|(pci, number)| {
                let interface = snapshot.interface_of(&pci);
                PortRef {
                    number,
                    pci,
                    mac: interface.and_then(|(_, seen)| seen.permanent_mac.known().copied()),
                    interface: interface.map(|(name, _)| name.clone()),
                }
            })
            .collect()
    }

    /// Somebody else who runs a PTP daemon: two supervisors would fight.
    fn other_manager(&self, clocks: &Clocks, own: &str) -> Option<String> {
        let of_ptp = |daemon: &Daemon| match daemon.kind {
            DaemonKind::Sfptpd => daemon.unit.as_deref() != Some(own),
            DaemonKind::Ptp4l | DaemonKind::Phc2sys | DaemonKind::Ts2phc => true,
            DaemonKind::Chronyd | DaemonKind::Ntpd | DaemonKind::Timesyncd => {
                daemon.container.is_some()
            }
        };
        let (pid, daemon) = clocks.daemons.known()?.iter().find(|(_, daemon)| of_ptp(daemon))?;
        let place = match (&daemon.container, &daemon.unit) {
            (Some(id), _) => format!("container {}", id.get(..12).unwrap_or(id)),
            (None, Some(unit)) => unit.clone(),
            (None, None) => "no unit".to_owned(),
        };
        Some(format!("{} (pid {pid}, {place})", daemon.kind))
    }

    /// Starts again what was stopped for a change of drivers, whosever it is.
    fn resume(&self, clocks: &Clocks, steps: &mut Vec<Step>) {
        if self.ledger.change.is_some() || self.is_driver_going() {
            return;
        }
        let units = clocks.units.known();
        let is_there = |unit: &&String| {
            units
                .and_then(|units| units.get(*unit))
                .is_some_and(|unit| unit.active == Active::Inactive)
        };
        let paused = self.ledger.clock.paused.iter().filter(is_there);
        steps.extend(paused.map(|unit| Step::StartUnit { unit: unit.clone() }));
    }

    /// Notes units that run again, or never will, so that they are started no more.
    pub(in super::super) fn note_resumed(&mut self, snapshot: &Snapshot) {
        let units = snapshot.clocks.known().and_then(|clocks| clocks.units.known());
        let Some(units) = units.filter(|_| self.ledger.change.is_none()) else { return };
        // One that is about to be stopped still runs.
        let going = self.is_driver_going();
        let over = |unit: &&String| match units.get(*unit).map(|unit| unit.active) {
            Some(Active::Active | Active::Failed) => !going,
            None => true,
            Some(Active::Activating | Active::Deactivating | Active::Inactive) => false,
        };
        let over = self.ledger.clock.paused.iter().filter(over).cloned();
        let over: Vec<_> = over.map(|unit| Entry::Clock(ClockEntry::Resumed { unit })).collect();
        if !over.is_empty() {
            self.record(over, None);
        }
    }

    /// What is written down before a step begins: a unit that steers a clock, and is stopped for a change
    /// of drivers, is started again after it. sfptpd is anyway.
    pub(in super::super) fn to_resume(&self, step: &Step) -> Option<Entry> {
        let Step::StopUnit { unit } = step else { return None };
        let snapshot = self.snapshot.as_deref()?;
        let clocks = snapshot.clocks.known().filter(|_| self.plan.takes == Takes::Driver)?;
        let mut daemons = clocks.daemons.known()?.values();
        let steers = daemons.any(|daemon| daemon.unit.as_ref() == Some(unit));
        let own = self.clock_unit(snapshot).as_ref() == Some(unit);
        let unit = unit.clone();
        (steers && !own).then_some(Entry::Clock(ClockEntry::Paused { unit }))
    }

    /// A step about clocks is done.
    pub(in super::super) fn clock_step_done(&mut self, step: &Step, now: Moment) {
        let starts = match step {
            Step::StartUnit { unit } => self.candidates().contains(unit),
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

    /// Whether it was started again and again. An order settles that for the moment.
    fn is_fought_over_clock(&self) -> bool {
        let ordered = self.running_job().is_some() || self.clocks.order.is_some();
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

fn start_all(handover: &Handover) -> impl Iterator<Item = Step> {
    handover.units.iter().map(|unit| Step::StartUnit { unit: unit.clone() })
}
