//! sfptpd: what it makes of its configuration, why it ends, and what it says of itself
//! (reference/sfptpd.md sections 2, 4, 6 and 8).

use std::collections::{BTreeMap, BTreeSet};

use onload_core::clock::daemon::DaemonKind;
use onload_core::clock::sfptpd::config::{self, ConfigFault, Kind};
use onload_core::clock::sfptpd::sample;
use onload_core::clock::sfptpd::{Instance, InterfaceCaps, Sample, Sfptpd, State};
use onload_core::reading::Reading;

use super::super::world::World;
use super::Time;
use super::others::GRANDMASTER;
use super::program::Running;

/// What its package configures: it runs free on the system clock, which it may only read.
pub(super) const PACKAGED: &str = "[general]\nsync_module freerun fr1\nclock_readonly system\nnon_solarflare_nics off\n[fr1]\ninterface system\n";

/// Exit statuses: error numbers of Linux.
pub(super) const EINVAL: i32 = 22;
const EAGAIN: i32 = 11;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EPROTONOSUPPORT: i32 = 93;
const EOPNOTSUPP: i32 = 95;

/// How long an offset stays below its threshold before it counts as in sync, in seconds.
const IN_SYNC_S: u64 = 60;
/// How often state files are written, in seconds.
const SAVE_EVERY_S: u64 = 60;
/// `local_sync_threshold`, and `sync_threshold` of PTP with hardware time stamps.
const THRESHOLD_NS: u64 = 1000;
/// `sync_threshold` of NTP.
const NTP_THRESHOLD_NS: u64 = 10_000_000;
const PATH_DELAY_NS: i64 = 500;
/// The first release with a metrics socket.
const METRICS_SINCE: (u32, u32) = (3, 9);
const CONTROL: &str = "/run/sfptpd/control-v1.sock";
/// Where it was before that.
const OLD_CONTROL: &str = "/var/run/sfptpd-control-v1.sock";
const SYSTEM: &str = "system";

/// What it reads in its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::host::sim) struct Plan {
    /// Name and kind of what it follows.
    instance: (String, Kind),
    /// Interfaces that instances are to use.
    interfaces: BTreeSet<String>,
    /// Clocks that it may only read.
    readonly: BTreeSet<String>,
    /// Whether it steers the system clock.
    pub steers_system: bool,
}

/// What sfptpd makes of a text.
///
/// # Errors
/// What it refuses it for.
pub(in crate::host::sim) fn judge(text: &str) -> Result<Plan, ConfigFault> {
    let configured = config::check(text)?;
    let steers_system = configured.steers_system_clock() && configured.follows;
    let of = |kinds: &[Kind]| {
        let mut all = configured.instances.iter();
        let found = all.find(|(_, kind)| kinds.contains(kind));
        found.map(|(name, kind)| (name.clone(), *kind))
    };
    // By how near each kind comes, as its own rules select one where nothing else speaks.
    let best = of(&[Kind::Ptp]).or_else(|| of(&[Kind::Pps, Kind::Gps]));
    let best = best.or_else(|| of(&[Kind::Ntp, Kind::Crny])).or_else(|| of(&[Kind::Freerun]));
    Ok(Plan {
        instance: best.unwrap_or_else(|| ("crny0".to_owned(), Kind::Crny)),
        interfaces: configured.interfaces,
        readonly: configured.readonly,
        steers_system,
    })
}

/// The status that it ends with at once, if it does.
pub(super) fn hindrance(world: &World, plan: &Plan) -> Option<i32> {
    let runs = |kind: DaemonKind| world.time.running().any(|(one, _)| one.kind == kind);
    if runs(DaemonKind::Sfptpd) {
        return Some(EAGAIN);
    }
    if runs(DaemonKind::Timesyncd) {
        return Some(EPROTONOSUPPORT);
    }
    if world.netdevs.values().all(|netdev| netdev.phc.is_none()) {
        return Some(ENODEV);
    }
    rival(&world.time).filter(|_| plan.steers_system)
}

/// What it ends with while somebody else steers a clock that it must.
pub(super) fn rival(time: &Time) -> Option<i32> {
    time.running().find_map(|(one, _)| match one.kind {
        DaemonKind::Ntpd => Some(EBUSY),
        DaemonKind::Chronyd => Some(EOPNOTSUPP).filter(|_| !one.told.leaves_system_clock),
        DaemonKind::Sfptpd
        | DaemonKind::Timesyncd
        | DaemonKind::Ptp4l
        | DaemonKind::Phc2sys
        | DaemonKind::Ts2phc => None,
    })
}

/// What it leaves in its directories, for longer than it runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    version: Option<String>,
    tables: Option<Tables>,
    /// The last lines of a file of statistics.
    samples: BTreeMap<String, Sample>,
    /// How often it has said anything.
    said: u64,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    instances: BTreeMap<String, Instance>,
    states: BTreeMap<String, Reading<State>>,
    interfaces: BTreeMap<String, InterfaceCaps>,
}

impl Left {
    /// It starts, and takes away what the one before has left.
    pub fn begins(&mut self, version: String) {
        let said = self.said + 1;
        *self = Self { version: Some(version), said, ..Self::default() };
    }
}

/// A clock that it steers: what it calls it, what it follows there and how far off it is.
struct Servo {
    instance: String,
    master: String,
    clock: String,
    offset_ns: i64,
    threshold_ns: u64,
    disciplines: bool,
    local: bool,
    /// Where the time comes in by.
    interface: Option<String>,
}

impl World {
    /// A second of work.
    pub(super) fn sfptpd_works(&mut self, at: usize) {
        self.find_interfaces(at);
        let Some((servos, alarms)) = self.servos(at) else { return };
        let Some(one) = self.time.programs.get_mut(at) else { return };
        let Some(run) = &mut one.running else { return };
        let mut good_s = BTreeMap::new();
        for servo in &servos {
            let alarmed = !servo.local && !alarms.is_empty();
            if !alarmed && servo.offset_ns.unsigned_abs() <= servo.threshold_ns {
                let key = servo.key();
                let so_far = run.good_s.get(&key).copied().unwrap_or(0);
                good_s.insert(key, so_far + 1);
            }
        }
        run.good_s = good_s;
        let saves = run.worked_s.is_multiple_of(SAVE_EVERY_S);
        let sample = |servo: &Servo| {
            let said = servo.sample(run, &alarms);
            (sample::key(&said), said)
        };
        self.time.left.samples = servos.iter().map(sample).collect();
        self.time.left.said += 1;
        if saves {
            let tables = self.tables(at, &servos, &alarms);
            self.time.left.tables = tables;
        }
    }

    /// Finds interfaces by name; those found once are followed (reference/sfptpd.md section 9).
    fn find_interfaces(&mut self, at: usize) {
        let named = |name: &str| {
            let mut there = self.netdevs.iter();
            there.find(|(_, one)| one.name.as_str() == name).map(|(index, _)| *index)
        };
        let Some(one) = self.time.programs.get_mut(at) else { return };
        let Some(run) = &mut one.running else { return };
        run.interfaces.retain(|_, index| self.netdevs.contains_key(index));
        let wanted = run.plan.iter().flat_map(|plan| &plan.interfaces);
        let found = wanted.filter(|name| !run.interfaces.contains_key(*name));
        let found = found.filter_map(|name| Some((name.clone(), named(name)?)));
        let found: Vec<_> = found.collect();
        run.interfaces.extend(found);
    }

    /// The servos of a running sfptpd, and the alarms of what it follows.
    fn servos(&self, at: usize) -> Option<(Vec<Servo>, BTreeSet<String>)> {
        let one = self.time.programs.get(at)?;
        let run = one.running.as_ref()?;
        let plan = run.plan.as_ref()?;
        let held = self.clocks.iter().filter(|(_, pid)| *pid == run.pid);
        let held: Vec<u32> = held.map(|(index, _)| *index).collect();
        let (name, kind) = (&plan.instance.0, plan.instance.1);
        let mut alarms = self.time.alarms.clone();
        let used = |interface: &String| {
            let there = self.netdevs.get(run.interfaces.get(interface)?)?;
            there.phc.filter(|index| held.contains(index))
        };
        let reference = plan.interfaces.iter().find_map(used);
        let by_interface = uses_interface(kind);
        if by_interface && reference.is_none() {
            alarms.insert("no-interface".to_owned());
        }
        if by_interface && !one.found {
            alarms.insert("no-sync-pkts".to_owned());
        }
        let system_ns = self.time.system.now_ns;
        let of = |index: u32| {
            let offset = self.time.hardware.get(&index).map_or(0, |offset| offset.now_ns);
            (self.display(index), offset)
        };
        // What everything else is kept to: the clock that the instance steers.
        let (reference_clock, reference_ns) = match (kind, reference) {
            (Kind::Ptp | Kind::Pps, Some(index)) => of(index),
            (Kind::Ptp | Kind::Pps, None)
            | (Kind::Freerun | Kind::Ntp | Kind::Crny | Kind::Gps, _) => {
                (SYSTEM.to_owned(), system_ns)
            }
        };
        let mut servos = Vec::new();
        if kind != Kind::Freerun {
            servos.push(Servo {
                instance: name.clone(),
                master: if by_interface { "gm" } else { "ntp" }.to_owned(),
                clock: reference_clock.clone(),
                offset_ns: reference_ns,
                threshold_ns: if by_interface { THRESHOLD_NS } else { NTP_THRESHOLD_NS },
                disciplines: one.found && (by_interface || plan.steers_system),
                local: false,
                interface: plan.interfaces.iter().find(|name| used(name).is_some()).cloned(),
            });
        }
        let clocks = held.iter().map(|index| (of(*index), true));
        let system = ((SYSTEM.to_owned(), system_ns), plan.steers_system);
        for ((clock, at_ns), disciplines) in clocks.chain([system]) {
            if clock != reference_clock {
                servos.push(Servo {
                    instance: clock.clone(),
                    master: reference_clock.clone(),
                    offset_ns: at_ns.saturating_sub(reference_ns),
                    threshold_ns: THRESHOLD_NS,
                    disciplines: disciplines && !plan.readonly.contains(&clock),
                    local: true,
                    interface: None,
                    clock,
                });
            }
        }
        Some((servos, alarms))
    }

    /// What it calls a hardware clock.
    fn display(&self, index: u32) -> String {
        let on_it = self.netdevs.values().find(|netdev| netdev.phc == Some(index));
        on_it.map_or_else(|| format!("phc{index}"), |one| format!("phc{index}({})", one.name))
    }

    /// What it writes each minute.
    fn tables(&self, at: usize, servos: &[Servo], alarms: &BTreeSet<String>) -> Option<Tables> {
        let one = self.time.programs.get(at)?;
        let run = one.running.as_ref()?;
        let (name, kind) = run.plan.as_ref().map(|plan| (&plan.instance.0, plan.instance.1))?;
        let state = match (kind, one.found, alarms.is_empty()) {
            (Kind::Freerun, _, _) => "freerunning-clock".to_owned(),
            (kind, false, _) => format!("{}-listening", word(kind)),
            (kind, true, true) => format!("{}-slave", word(kind)),
            (kind, true, false) => format!("{}-slave-alarm", word(kind)),
        };
        let instance = Instance {
            selected: true,
            operational: !state.ends_with("listening"),
            alarmed: !alarms.is_empty(),
            constraint: None,
            state: state.clone(),
        };
        let mut states: BTreeMap<String, Reading<State>> = servos
            .iter()
            .map(|servo| (servo.file(), Reading::Known(servo.state(run, &state, alarms))))
            .collect();
        if kind == Kind::Freerun {
            let clock = Some(SYSTEM.to_owned());
            let free = State { state, clock, alarms: alarms.clone(), ..State::default() };
            states.insert(name.clone(), Reading::Known(free));
        }
        let interfaces = self.netdevs.values().filter(|netdev| netdev.phc.is_some()).map(|one| {
            let (ptp, timestamping) = ("phc pps".to_owned(), "hw".to_owned());
            (one.name.to_string(), InterfaceCaps { ptp, timestamping, mac: one.mac.to_string() })
        });
        let interfaces = interfaces.collect();
        Some(Tables { instances: [(name.clone(), instance)].into(), states, interfaces })
    }

    /// What is found of it; it leaves its files behind.
    pub(super) fn sfptpd_reading(&self) -> Reading<Sfptpd> {
        let left = &self.time.left;
        let Some(version) = &left.version else { return Reading::Absent };
        let has_metrics = has_metrics(version);
        let mut running = self.time.running();
        let run = running.find(|(one, _)| one.kind == DaemonKind::Sfptpd).map(|(_, run)| run);
        let samples = match (run, has_metrics) {
            (Some(run), true) if run.hangs => {
                Reading::Unreadable("its metrics socket did not answer".to_owned())
            }
            (None, true) => Reading::Absent,
            (Some(_), true) | (_, false) => Reading::Known(left.samples.clone()),
        };
        let tables = left.tables.as_ref();
        let control = if has_metrics { CONTROL } else { OLD_CONTROL };
        Reading::Known(Sfptpd {
            version: Reading::Known(version.clone()),
            instances: tables.map(|tables| tables.instances.clone()).into(),
            states: tables.map(|tables| tables.states.clone()).unwrap_or_default(),
            samples,
            interfaces: tables.map(|tables| tables.interfaces.clone()).into(),
            topology: Reading::Absent,
            control: run.map(|_| control.to_owned()).into(),
            metrics: has_metrics && run.is_some(),
            pulse: left.said,
        })
    }
}

impl Servo {
    fn key(&self) -> String {
        format!("{}->{}", self.instance, self.clock)
    }

    /// What its state file ends in.
    fn file(&self) -> String {
        let short = self.instance.split('(').next().unwrap_or_default();
        short.to_owned()
    }

    fn in_sync(&self, run: &Running) -> bool {
        run.good_s.get(&self.key()).is_some_and(|good| *good >= IN_SYNC_S)
    }

    fn sample(&self, run: &Running, alarms: &BTreeSet<String>) -> Sample {
        let by_network = !self.local && self.master == "gm";
        Sample {
            instance: self.instance.clone(),
            time: String::new(),
            master: self.master.clone(),
            slave: self.clock.clone(),
            disciplining: self.disciplines,
            in_sync: self.in_sync(run),
            alarms: if self.local { BTreeSet::new() } else { alarms.clone() },
            offset_ns: Some(self.offset_ns),
            frequency_ppb: Some(0),
            path_delay_ns: by_network.then_some(PATH_DELAY_NS),
            grandmaster: by_network.then(|| GRANDMASTER.to_owned()),
        }
    }

    fn state(&self, run: &Running, instance: &str, alarms: &BTreeSet<String>) -> State {
        let sample = self.sample(run, alarms);
        let flags: &[&str] = if self.local { &[] } else { &["selected", "clock-ctrl"] };
        State {
            state: if self.local { "local-slave".to_owned() } else { instance.to_owned() },
            alarms: sample.alarms,
            control_flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            in_sync: Some(sample.in_sync),
            offset_ns: sample.offset_ns,
            path_delay_ns: sample.path_delay_ns,
            frequency_ppb: sample.frequency_ppb,
            clock: Some(self.clock.clone()),
            interface: self.interface.clone(),
            grandmaster: sample.grandmaster,
            source: Some(self.master.clone()),
            ..State::default()
        }
    }
}

fn uses_interface(kind: Kind) -> bool {
    match kind {
        Kind::Ptp | Kind::Pps => true,
        Kind::Freerun | Kind::Ntp | Kind::Crny | Kind::Gps => false,
    }
}

/// What its states begin with: those of the kinds that ask a time server are called alike.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Crny => "ntp",
        Kind::Freerun | Kind::Ptp | Kind::Pps | Kind::Ntp | Kind::Gps => kind.as_str(),
    }
}

/// Whether a version has a metrics socket; what is no version is a development build, hence the newest.
fn has_metrics(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= METRICS_SINCE,
        (_, _) => true,
    }
}
