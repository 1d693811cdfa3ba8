//! Clocks of the small machine: units that systemd runs, and sfptpd, which says something each second.

use super::*;
use crate::clock::daemon::{Daemon, DaemonKind, Told};
use crate::clock::sfptpd::{Sample, Sfptpd, State};
use crate::clock::unit::{Active, Ended, Unit};
use crate::clock::{Clocks, HardwareClock};
use crate::inventory::Look;
use crate::reading::Reading;

/// What goes wrong with them.
#[derive(Clone, Debug, Default)]
pub struct Time {
    /// sfptpd says nothing new.
    pub hangs: bool,
    /// A unit ends so when it is started, and systemd gives it up.
    pub crash: Option<Ended>,
    /// Offset of the system clock by sfptpd, in nanoseconds.
    pub offset: i64,
    said: u64,
    next_pid: u32,
    /// Whether sfptpd does not even answer while it hangs.
    pub mute: bool,
    /// Until when systemd answers nobody.
    pub busy: u64,
}

pub const SFPTPD: &str = "sfptpd.service";
pub const CHRONYD: &str = "chronyd.service";

fn kind(unit: &str) -> DaemonKind {
    match unit {
        CHRONYD => DaemonKind::Chronyd,
        "phc2sys.service" => DaemonKind::Phc2sys,
        "ptp4l.service" => DaemonKind::Ptp4l,
        _ => DaemonKind::Sfptpd,
    }
}

impl Lab {
    /// A machine whose ports have clocks, with these units installed, the ones with a plus running.
    pub fn keeps_time(config: &str, loaded: &str, units: &[&str]) -> Self {
        let mut lab = Self::new(config, loaded);
        let (hardware, written) = (BTreeMap::from([(0, HardwareClock::default())]), Absent);
        let (daemons, all) = (Known(BTreeMap::new()), Known(BTreeMap::new()));
        let clocks = Clocks { hardware, daemons, written, units: all, ..Clocks::default() };
        lab.node.clocks = Known(Box::new(clocks));
        for unit in units {
            let (name, runs) = unit.strip_prefix('+').map_or((*unit, false), |name| (name, true));
            let seen = Unit { installed: true, sub: "dead".to_owned(), ..Unit::default() };
            inner(&mut lab.clocks().units).insert(name.to_owned(), seen);
            if runs {
                lab.up(name);
            }
        }
        lab.touch();
        lab.run(5_000);
        lab
    }

    pub fn clocks(&mut self) -> &mut Clocks {
        let Known(clocks) = &mut self.node.clocks else { panic!("there are clocks") };
        clocks
    }

    pub fn unit(&mut self, name: &str) -> &mut Unit {
        inner(&mut self.clocks().units).get_mut(name).unwrap()
    }

    /// The unit runs from now on, whoever started it.
    pub fn up(&mut self, name: &str) {
        self.time.next_pid += 1;
        let pid = 9000 + self.time.next_pid;
        let unit = self.unit(name);
        (unit.active, unit.main_pid) = (Active::Active, Some(pid));
        unit.sub = "running".to_owned();
        let unit = Some(name.to_owned());
        let daemon = Daemon {
            kind: kind(name),
            started: u64::from(pid),
            unit,
            container: None,
            told: Told::default(),
        };
        inner(&mut self.clocks().daemons).insert(pid, daemon);
        if kind(name) == DaemonKind::Sfptpd {
            let users = [pid].into();
            self.clocks().hardware.insert(0, HardwareClock { users, ..Default::default() });
            self.clocks().lock = Known(pid);
            self.clocks().sfptpd = Known(Sfptpd::default());
        }
    }

    /// It does not, from now on.
    pub fn down(&mut self, name: &str, active: Active) {
        let unit = self.unit(name);
        unit.active = active;
        let pid = unit.main_pid.take();
        let clocks = self.clocks();
        inner(&mut clocks.daemons).retain(|one, _| Some(*one) != pid);
        if kind(name) == DaemonKind::Sfptpd {
            clocks.hardware.values_mut().for_each(|one| one.users.clear());
            (clocks.lock, clocks.sfptpd) = (Absent, Absent);
        }
    }

    pub(super) fn stop(&mut self, unit: &str) {
        if let Known(users) = &mut self.node.users {
            users.retain(|_, user| user.unit.as_deref() != Some(unit));
            if users.is_empty() {
                self.node.users = Absent;
            }
        }
        account(&mut self.node);
        if let Known(clocks) = &self.node.clocks
            && clocks.units.known().is_some_and(|units| units.contains_key(unit))
        {
            self.down(unit, Active::Inactive);
        }
    }

    /// A process has something open that no module counts.
    pub fn holds(&mut self, pid: u32, unit: Option<&str>, what: &str) {
        self.uses(pid, unit, what);
        self.touch();
    }

    /// One of several processes has closed all.
    pub fn close_one(&mut self, pid: u32) {
        inner(&mut self.node.users).remove(&pid);
        account(&mut self.node);
        self.touch();
    }

    /// What is found of clocks.
    pub(super) fn clocks_seen(&mut self, look: &Look) -> Reading<Box<Clocks>> {
        if look.clocks.is_none() {
            return Absent;
        }
        let (at, hangs, offset) = (self.at, self.time.hangs, self.time.offset);
        if !hangs {
            self.time.said = at / 1000;
        }
        let said = self.time.said;
        if let Known(clocks) = &mut self.node.clocks
            && let Known(sfptpd) = &mut clocks.sfptpd
        {
            sfptpd.pulse = said;
            let good = offset.abs() < 1000;
            let state = State {
                state: "ptp-slave".to_owned(),
                in_sync: Some(good),
                offset_ns: Some(offset),
                control_flags: ["selected".to_owned(), "clock-ctrl".to_owned()].into(),
                ..State::default()
            };
            sfptpd.states = BTreeMap::from([("ptp1".to_owned(), Known(state))]);
            let instance = crate::clock::sfptpd::Instance {
                selected: true,
                state: "ptp-slave".to_owned(),
                operational: true,
                ..Default::default()
            };
            sfptpd.instances = Known(BTreeMap::from([("ptp1".to_owned(), instance)]));
            let sample = |instance: &str, master: &str, slave: &str| Sample {
                instance: instance.to_owned(),
                time: said.to_string(),
                master: master.to_owned(),
                slave: slave.to_owned(),
                disciplining: true,
                in_sync: good,
                offset_ns: Some(offset),
                ..Sample::default()
            };
            let all = [sample("ptp1", "gm", "phc0"), sample("system", "phc0", "system")];
            sfptpd.samples =
                Known(all.map(|one| (format!("{}->{}", one.instance, one.slave), one)).into());
            if hangs && self.time.mute {
                sfptpd.samples = Reading::Unreadable("no answer".to_owned());
            }
        }
        let mut seen = self.node.clocks.clone();
        if let (Known(clocks), true) = (&mut seen, self.time.busy > at) {
            clocks.units = Reading::Unreadable("systemd did not answer".to_owned());
        }
        seen
    }

    /// Starts, stops and writes as systemd and the host do.
    pub(super) fn clock_step(&mut self, step: &Step) -> Result<Outcome, StepError> {
        match step {
            Step::StartUnit { unit } => {
                if let Some(ended) = self.time.crash {
                    self.down(unit, Active::Failed);
                    self.unit(unit).ended = Some(ended);
                    return Err(StepError::Failed(format!("{unit} was not started: failed")));
                }
                self.up(unit);
            }
            Step::RestartUnit { unit, .. } => {
                self.down(unit, Active::Inactive);
                self.up(unit);
            }
            Step::ConfigureClock(written) => self.clocks().written = Known(written.clone()),
            Step::LeaveClock => self.clocks().written = Absent,
            _ => panic!("{step} is not about clocks"),
        }
        Ok(Outcome::Changed)
    }
}
