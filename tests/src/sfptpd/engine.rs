//! What it pretends to do: instances that follow a source, and servos that carry its time to the other
//! clocks of the machine. Numbers come near, stay near, and run away on order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::clocks::{Clock, Clocks, SYSTEM};
use super::configuration::{Configuration, Instance};
use super::fault::Faults;
use super::place::Place;
use super::rivals::Rivals;
use super::samples::Sample;

/// How far a clock is off at first, in nanoseconds.
const FIRST_OFFSET: f64 = 5000.0;
/// How many times it comes nearer by a factor of e before an instance could count as in step.
const HASTE: f64 = 40.0;
/// Width of the noise of a followed clock, in nanoseconds.
const NOISE: u64 = 41;
/// What a frequency settles at, in parts per billion, and a delay, in nanoseconds.
const FREQUENCY: f64 = -1234.5;
const DELAY: f64 = 428.0;
/// Identities that are as good as any.
pub(super) const GRANDMASTER: &str = "000f:53ff:fe16:04b4";
pub(super) const PARENT: &str = "0011:22ff:fe33:4455";

/// A clock on its way to what it follows.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) offset: f64,
    near: Duration,
    pub(super) in_sync: bool,
    steps: u64,
}

/// An instance as it stands.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) told: Instance,
    /// The short name of its clock.
    pub(super) clock: String,
    /// As `state-NAME` has it.
    pub(super) state: String,
    pub(super) alarms: BTreeSet<String>,
    /// `must-be-selected`.
    pub(super) forced: bool,
    pub(super) track: Track,
}

/// A clock that follows another of this machine.
#[derive(Debug, Default)]
pub(super) struct Servo {
    pub(super) track: Track,
    pub(super) disciplining: bool,
    pub(super) blocked: BTreeSet<&'static str>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) clocks: Clocks,
    pub(super) followers: BTreeMap<String, Follower>,
    /// By the short name of the clock that follows.
    pub(super) servos: BTreeMap<String, Servo>,
    /// The name of the instance whose time all have.
    pub(super) selected: String,
    /// By order, whatever else would be.
    pub(super) chosen: Option<String>,
    /// Clocks that an order keeps from being steered.
    pub(super) blocked: BTreeSet<String>,
    rivals: Rivals,
    sync: Duration,
    local_threshold: u64,
    age: Duration,
    drifted: f64,
}

impl Engine {
    /// One that begins.
    pub(super) fn new(
        place: &Place,
        configuration: &Configuration,
        clocks: Clocks,
        rivals: Rivals,
    ) -> Self {
        let mut followers = BTreeMap::new();
        for (name, told) in &configuration.instances {
            let clock = told.interface.as_ref().and_then(|interface| clocks.of.get(interface));
            let follower = Follower {
                clock: clock.cloned().unwrap_or_else(|| SYSTEM.to_owned()),
                forced: told.kind == "crny" && rivals.chronyd_steers,
                state: String::new(),
                alarms: BTreeSet::new(),
                track: Track::default(),
                told: told.clone(),
            };
            followers.insert(name.clone(), follower);
        }
        let (sync, local_threshold) = (place.sync(), configuration.local_threshold());
        let mut engine = Self {
            clocks,
            followers,
            servos: BTreeMap::new(),
            selected: String::new(),
            chosen: None,
            blocked: BTreeSet::new(),
            rivals,
            sync,
            local_threshold,
            age: Duration::ZERO,
            drifted: 0.0,
        };
        engine.go(Duration::ZERO, place, &Faults::default());
        engine
    }

    /// The clock that the selected instance steers, and all others follow.
    pub(super) fn reference(&self) -> &Clock {
        let selected = self.followers.get(&self.selected);
        let name = selected.map_or(SYSTEM, |selected| selected.clock.as_str());
        &self.clocks.all[name]
    }

    /// Lets time pass.
    pub(super) fn go(&mut self, passed: Duration, place: &Place, faults: &Faults) {
        self.age += passed;
        self.drifted += faults.drift_ppb as f64 * passed.as_secs_f64();
        if faults.drift_ppb == 0 {
            self.drifted = 0.0;
        }
        let sync = faults.slow_lock.unwrap_or(self.sync);
        let disturbed = self.drifted + faults.offset_ns as f64;
        let heard = self.age.as_secs_f64() >= sync.as_secs_f64() / HASTE;
        for follower in self.followers.values_mut() {
            follower.stand(&self.clocks, self.rivals, place, faults, heard);
            if follower.is_slave() {
                let (threshold, steady) = (follower.told.threshold, follower.alarms.is_empty());
                follower.track.go(passed, sync, threshold, disturbed, steady);
            } else {
                follower.track = Track::default();
            }
        }
        self.select();
        let reference = self.reference().short.clone();
        self.servos.retain(|clock, _| *clock != reference);
        for clock in self.clocks.all.values().filter(|clock| clock.short != reference) {
            let servo = self.servos.entry(clock.short.clone()).or_default();
            servo.blocked =
                self.blocked.iter().filter(|it| **it == clock.short).map(|_| "manual").collect();
            servo.blocked.extend(clock.taken().then_some("flock"));
            let left = clock.short == SYSTEM && self.rivals.chronyd_steers;
            servo.blocked.extend(left.then_some("ntp"));
            servo.disciplining = clock.ours() && servo.blocked.is_empty() && !clock.gone();
            servo.track.go(passed, sync, self.local_threshold, 0.0, servo.disciplining);
        }
    }

    fn select(&mut self) {
        let best = self.followers.iter().min_by_key(|(name, follower)| {
            let manual = self.chosen.as_ref() != Some(*name);
            let free = !follower.is_slave() && follower.told.kind != "freerun";
            let last = follower.told.kind == "freerun";
            let alarmed = !follower.alarms.is_empty();
            (manual, !follower.forced, free, last, alarmed, follower.told.priority, *name)
        });
        if let Some(best) = best.map(|(name, _)| name.clone()) {
            self.selected = best;
        }
    }

    /// Takes all clocks to where they should be at once (`stepclocks`).
    pub(super) fn step(&mut self) {
        let tracks = self.followers.values_mut().map(|follower| &mut follower.track);
        for track in tracks.chain(self.servos.values_mut().map(|servo| &mut servo.track)) {
            track.steps = track.steps.max(1);
            track.offset = 0.0;
        }
    }

    /// One line of each that has something to say.
    pub(super) fn samples(&self, time: SystemTime) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (name, follower) in self.followers.iter().filter(|(_, it)| it.is_slave()) {
            let clock = &self.clocks.all[&follower.clock];
            let packets = follower.told.kind == "ptp";
            samples.push(Sample {
                instance: name.clone(),
                time,
                master: follower.source().to_owned(),
                master_interface: None,
                slave: clock.long.clone(),
                slave_short: clock.short.clone(),
                slave_interface: follower.told.interface.clone(),
                disciplining: *name == self.selected && clock.ours(),
                blocked: clock.taken(),
                in_sync: follower.track.in_sync,
                alarms: follower.alarms.clone(),
                offset: follower.track.offset,
                frequency: FREQUENCY,
                delay: packets.then_some(DELAY),
                network: packets,
            });
        }
        let reference = self.reference();
        for ((clock, servo), number) in self.servos.iter().zip(0..) {
            let clock = &self.clocks.all[clock];
            if clock.gone() {
                continue;
            }
            samples.push(Sample {
                instance: format!("servo{number}"),
                time,
                master: reference.long.clone(),
                master_interface: self.interface_of(&reference.short),
                slave: clock.long.clone(),
                slave_short: clock.short.clone(),
                slave_interface: self.interface_of(&clock.short),
                disciplining: servo.disciplining,
                blocked: !servo.blocked.is_empty(),
                in_sync: servo.track.in_sync,
                alarms: BTreeSet::new(),
                offset: servo.track.offset,
                frequency: FREQUENCY,
                delay: None,
                network: false,
            });
        }
        samples
    }

    fn interface_of(&self, clock: &str) -> Option<String> {
        let mut of = self.clocks.of.iter();
        of.find(|(_, short)| *short == clock).map(|(interface, _)| interface.clone())
    }
}

impl Follower {
    /// Whether it follows something.
    pub(super) fn is_slave(&self) -> bool {
        self.state.contains("-slave")
    }

    /// What its lines call the other end.
    pub(super) fn source(&self) -> &'static str {
        match self.told.kind.as_str() {
            "ptp" => "gm",
            "pps" => "pps",
            "gps" => "gps",
            _ => "ntp",
        }
    }

    fn stand(
        &mut self,
        clocks: &Clocks,
        rivals: Rivals,
        place: &Place,
        faults: &Faults,
        heard: bool,
    ) {
        let kind = self.told.kind.as_str();
        self.alarms = match kind {
            "freerun" => BTreeSet::new(),
            _ => faults.alarms.clone(),
        };
        let state = |state: &str| match kind {
            "crny" => format!("ntp-{state}"),
            kind => format!("{kind}-{state}"),
        };
        let packets = matches!(kind, "ptp" | "pps");
        let missing =
            self.told.interface.as_ref().is_none_or(|interface| {
                !place.below(format!("/sys/class/net/{interface}")).exists()
            });
        self.state = if kind == "freerun" {
            "freerunning-clock".to_owned()
        } else if packets && (missing || clocks.all[&self.clock].gone()) {
            self.alarms.insert("no-interface".to_owned());
            self.alarms.extend((!missing).then(|| "clock-ctrl-failure".to_owned()));
            state("faulty")
        } else if kind == "crny" && !rivals.chronyd || kind == "ntp" && !rivals.ntpd {
            state("disabled")
        } else if faults.no_sync && packets {
            let alarm = if kind == "ptp" { "no-sync-pkts" } else { "pps-no-signal" };
            self.alarms.insert(alarm.to_owned());
            state("listening")
        } else if !heard {
            state("listening")
        } else if self.alarms.is_empty() {
            state("slave")
        } else {
            state("slave-alarm")
        };
    }
}

impl Track {
    /// Comes nearer for a while; `steady` says that nothing speaks against its being in step.
    fn go(
        &mut self,
        passed: Duration,
        sync: Duration,
        threshold: u64,
        disturbed: f64,
        steady: bool,
    ) {
        self.steps += 1;
        let way = if self.steps == 1 { FIRST_OFFSET } else { self.offset - disturbed };
        let nearer = (-passed.as_secs_f64() * HASTE / sync.as_secs_f64().max(f64::EPSILON)).exp();
        let noise = (self.steps * 17 % NOISE) as f64 - (NOISE / 2) as f64;
        self.offset = way * nearer * 0.5 + disturbed + noise;
        let near = self.offset.abs() <= threshold as f64 && steady;
        self.near = if near { self.near + passed } else { Duration::ZERO };
        self.in_sync = near && self.near >= sync;
    }
}
