//! Clocks of a simulated machine, and the programs that steer them: what a look finds of both.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::clock::daemon::{Daemon, DaemonKind};
use onload_core::clock::kernel::KernelClock;
use onload_core::clock::{ClockLook, Clocks, HardwareClock, Written};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::action::{ClockName, Place, TemplateState};
use super::faults::Part;
use super::file::WorldFile;
use super::world::World;
use program::Program;
use sfptpd::Left;

mod others;
mod passing;
mod program;
mod sfptpd;
mod systemd;

pub(super) use sfptpd::judge;

/// Seconds that TAI is ahead of UTC. linuxptp keeps hardware clocks in TAI, sfptpd in UTC.
const TAI_OFFSET_NS: i64 = 37_000_000_000;
/// How long a reading of a hardware clock takes.
const WINDOW_NS: u64 = 400;
/// The largest error that the kernel tells: then it counts as not synchronised (NTP_PHASE_LIMIT).
const LARGEST_ERROR_NS: u64 = 16_000_000_000;
/// What an operator's file has when it is `broken`.
const NONSENSE: &str = "sync_modules ptp1\n";

/// How far a clock is ahead of true time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offset {
    /// Now, in nanoseconds.
    now_ns: i64,
    /// Where whoever steers it takes it to.
    kept_ns: i64,
    /// How fast that goes on.
    pub drift_ppb: i64,
}

impl Offset {
    /// `clock-offset`.
    pub fn keep_at(&mut self, nanos: i64) {
        (self.now_ns, self.kept_ns) = (nanos, nanos);
    }

    /// A second.
    fn pass(&mut self, is_steered: bool) {
        self.kept_ns = self.kept_ns.saturating_add(self.drift_ppb);
        self.now_ns = match is_steered {
            true => self.kept_ns,
            false => self.now_ns.saturating_add(self.drift_ppb),
        };
    }
}

/// Clocks, and programs that steer them.
#[derive(Clone, Debug)]
pub(super) struct Time {
    /// How long the machine has been awake, in milliseconds.
    now_ms: u64,
    system: Offset,
    hardware: BTreeMap<u32, Offset>,
    pub kernel: KernelClock,
    programs: Vec<Program>,
    /// Alarms that sfptpd raises by order.
    alarms: BTreeSet<String>,
    /// What sfptpd has left in its directories.
    left: Left,
    pub templates: TemplateState,
    written: Option<Written>,
}

impl Time {
    pub fn new(file: &WorldFile) -> Self {
        let hardware = file.clocks.iter().map(|one| (*one.index.get_ref(), Offset::default()));
        Self {
            now_ms: 0,
            system: Offset::default(),
            hardware: hardware.collect(),
            kernel: KernelClock::default(),
            programs: file.clock_programs.iter().map(Program::new).collect(),
            alarms: BTreeSet::new(),
            left: Left::default(),
            templates: TemplateState::default(),
            written: None,
        }
    }

    /// A kernel that has just come up: nobody has told it the time, and what lay in `/run` is gone.
    pub fn boot(&mut self) {
        self.kernel = KernelClock {
            unsynchronised: true,
            maximum_error_ns: LARGEST_ERROR_NS,
            ..KernelClock::default()
        };
        self.written = None;
        self.programs.iter_mut().for_each(Program::boot);
    }

    /// `alarm`.
    pub fn alarm(&mut self, alarm: Option<&str>) {
        match alarm {
            Some(alarm) => drop(self.alarms.insert(alarm.to_owned())),
            None => self.alarms.clear(),
        }
    }

    /// A clock; one that is not there is another's, which nobody sees.
    pub fn clock(&mut self, clock: ClockName) -> &mut Offset {
        match clock {
            ClockName::System => &mut self.system,
            ClockName::Hardware(index) => self.hardware.entry(index).or_default(),
        }
    }

    /// `time-step`: the kernel forgets what it was told (`ntp_clear`); whoever steers the clock takes it
    /// back.
    pub fn step(&mut self, seconds: i64) {
        let nanos = seconds.saturating_mul(1_000_000_000);
        self.system.now_ns = self.system.now_ns.saturating_add(nanos);
        self.kernel.unsynchronised = true;
        self.kernel.maximum_error_ns = LARGEST_ERROR_NS;
    }

    fn running(&self) -> impl Iterator<Item = (&Program, &program::Running)> {
        self.programs.iter().filter_map(|one| Some((one, one.running.as_ref()?)))
    }
}

impl World {
    /// What a look finds of clocks.
    pub(super) fn clock_readings(&self, look: &ClockLook) -> Reading<Box<Clocks>> {
        self.read(Part::Clocks, || {
            Box::new(Clocks {
                kernel: Reading::Known(self.time.kernel),
                hardware: self.hardware_readings(),
                daemons: Reading::Known(self.daemon_readings()),
                lock: self.steers_system().into(),
                units: Reading::Known(self.unit_readings(&look.units)),
                sfptpd: self.sfptpd_reading(),
                ptp4l: self.ptp4l_readings(),
                chrony: self.chrony_reading(),
                template: self.template_reading(look),
                written: self.time.written.clone().into(),
            })
        })
    }

    fn hardware_readings(&self) -> BTreeMap<u32, HardwareClock> {
        let there = self.netdevs.values().filter_map(|netdev| netdev.phc);
        there.map(|index| (index, self.hardware_reading(index))).collect()
    }

    fn hardware_reading(&self, index: u32) -> HardwareClock {
        let name = self.file.clocks.iter().find(|clock| *clock.index.get_ref() == index);
        let users = self.clocks.iter().filter(|(clock, _)| *clock == index);
        let users: BTreeSet<u32> = users.map(|(_, pid)| *pid).collect();
        let of = |kind: DaemonKind| {
            let mut running = self.time.running();
            running.find(|(one, run)| one.kind == kind && users.contains(&run.pid))
        };
        let scale = if of(DaemonKind::Ptp4l).is_some() { TAI_OFFSET_NS } else { 0 };
        let at = self.time.hardware.get(&index).copied().unwrap_or_default();
        let ahead = at.now_ns.saturating_sub(self.time.system.now_ns).saturating_add(scale);
        HardwareClock {
            name: name.map(|clock| clock.name.clone()).into(),
            ahead_ns: Reading::Known(ahead),
            window_ns: Reading::Known(WINDOW_NS),
            lock: of(DaemonKind::Sfptpd).map(|(_, run)| run.pid).into(),
            users,
        }
    }

    fn daemon_readings(&self) -> BTreeMap<u32, Daemon> {
        let daemon = |(one, run): (&Program, &program::Running)| {
            let (unit, container) = match one.place.clone() {
                Place::Unit(unit) => (Some(unit), None),
                Place::Container(id) => (None, Some(id)),
            };
            let (kind, started, told) = (one.kind, run.started, one.told.clone());
            (run.pid, Daemon { kind, started, unit, container, told })
        };
        self.time.running().map(daemon).collect()
    }

    /// The sfptpd that has locked the system clock.
    fn steers_system(&self) -> Option<u32> {
        let steers = |(one, run): &(&Program, &program::Running)| {
            one.kind == DaemonKind::Sfptpd && run.plan.as_ref().is_some_and(|p| p.steers_system)
        };
        self.time.running().find(steers).map(|(_, run)| run.pid)
    }

    fn template_reading(&self, look: &ClockLook) -> Reading<String> {
        let Some(path) = &look.template else { return Reading::Absent };
        let there = self.file.templates.get(path);
        match (self.time.templates, there) {
            (TemplateState::Mended, Some(text)) => Reading::Known(text.clone()),
            (TemplateState::Broken, Some(text)) => Reading::Known(format!("{text}{NONSENSE}")),
            (TemplateState::Gone, _) | (_, None) => {
                Reading::Unreadable("No such file or directory".to_owned())
            }
        }
    }

    /// Writes the configuration of sfptpd, or takes it back.
    pub(super) fn configure_clock(
        &mut self,
        wanted: Option<&Written>,
    ) -> Result<Outcome, StepError> {
        if self.time.written.as_ref() == wanted {
            return Ok(Outcome::Unchanged);
        }
        if let Some(Err(why)) = wanted.map(|wanted| judge(wanted.text())) {
            let why = format!("the configuration of sfptpd was not written: it refuses it: {why}");
            return Err(StepError::Failed(why));
        }
        self.time.written = wanted.cloned();
        self.touch();
        Ok(Outcome::Changed)
    }
}

#[cfg(test)]
mod tests;
