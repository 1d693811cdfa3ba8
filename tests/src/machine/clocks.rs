//! What is promised of clocks and of who is started to steer them, each as one assertion: told from the facts
//! alone, in other words than the brain's.

use std::time::Duration;

use onload_core::clock::Clocks as Facts;
use onload_core::clock::daemon::{Daemon, DaemonKind};
use onload_core::clock::picture::Keeper;
use onload_core::clock::sfptpd::config;
use onload_core::clock::unit::Active;
use onload_core::condition::Status;
use onload_core::config::{ClockMode, PtpSettings};
use onload_core::inventory::{Depth, Look, Snapshot};
use onload_core::ledger::Ledger;
use onload_core::picture::{NodeState, Picture};
use onload_core::reading::Reading;
use onload_core::step::Step;
use onloadd::host::sim::World;

/// Units that may be sfptpd's where none is named.
const UNITS: [&str; 2] = ["sfptpd.service", "onloadd-sfptpd.service"];

/// What was seen of clocks so far.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    seen: Option<Box<Facts>>,
    /// What sfptpd said last, by which process, and how long the machine had been awake when it was new.
    said: Option<(u64, Option<u32>, Duration)>,
    /// How often it was asleep since.
    naps: u32,
    /// How long it had been, when it was looked at last.
    asleep: Duration,
    /// How often sfptpd was started, and started anew: a run in which nothing happens proves nothing.
    pub starts: u32,
    /// The latter.
    pub restarts: u32,
}

impl Clocks {
    pub(super) fn looked(
        &mut self,
        look: &Look,
        snapshot: &Snapshot,
        boot: Duration,
        awake: Duration,
    ) {
        // Inside of a change nothing is made of them.
        if let Depth::Modules | Depth::Network = look.depth {
            return;
        }
        self.seen = match &snapshot.clocks {
            Reading::Known(clocks) => Some(clocks.clone()),
            Reading::Absent | Reading::Unreadable(_) => None,
        };
        let Some(seen) = &self.seen else { return };
        let asleep = boot.saturating_sub(awake);
        self.naps += u32::from(asleep > self.asleep);
        self.asleep = asleep;
        let pulse = seen.sfptpd.known().map_or(0, |said| said.pulse);
        let pid = own(seen).and_then(|(_, unit)| unit.main_pid);
        if self.said.is_none_or(|(last, by, _)| (last, by) != (pulse, pid)) {
            (self.said, self.naps) = (Some((pulse, pid, awake)), 0);
        }
    }

    /// Whoever comes after a kill has seen nothing.
    pub(super) fn killed(&mut self) {
        // The first look of the next one is its first.
        (self.seen, self.said, self.naps, self.asleep) = (None, None, 0, Duration::MAX);
    }

    /// What holds when a step begins.
    pub(super) fn step_begun(
        &mut self,
        step: &Step,
        ledger: &Ledger,
        ptp: &PtpSettings,
        awake: Duration,
    ) {
        let is_own = |unit: &str| match &ptp.unit {
            Some(own) => own == unit,
            None => UNITS.contains(&unit),
        };
        match step {
            Step::StartUnit { unit } if is_own(unit) && ptp.mode == ClockMode::Manage => {
                self.starts += 1;
                self.sfptpd_starts(unit, ledger);
            }
            Step::StartUnit { unit } => {
                let back = ledger.clock.handover.iter().filter(|one| one.to == Keeper::Former);
                let back = back.flat_map(|one| &one.units).any(|one| one == unit);
                let resumed = ledger.clock.paused.contains(unit);
                assert!(back || resumed, "{unit} is nobody's to start");
            }
            // It runs with a former configuration.
            Step::RestartUnit { unit, process } if ledger.clock.outdated == Some(*process) => {
                assert!(is_own(unit) && ptp.mode == ClockMode::Manage, "{unit} is started anew");
            }
            Step::RestartUnit { unit, process } => {
                self.restarts += 1;
                assert!(is_own(unit) && ptp.mode == ClockMode::Manage, "{unit} is started anew");
                let seen = self.seen.as_ref().expect("somebody has looked");
                let known = &seen.units.known().unwrap()[unit];
                assert_eq!(
                    known.active,
                    Active::Active,
                    "systemd restarts what crashes: {known:?}"
                );
                assert_eq!(known.main_pid, Some(*process));
                let (_, by, since) = self.said.unwrap();
                let silent = awake.saturating_sub(since);
                assert_eq!(by, Some(*process), "the process is new");
                // What passes between two looks is not known to have been quiet, and of a sleep counts as
                // much as two of them are apart.
                let unseen = ptp.look_every.0 * (1 + 2 * self.naps);
                assert!(silent + unseen >= ptp.hang_after.0, "{unit} was silent for {silent:?}");
            }
            Step::StopUnit { unit } => {
                let Some(seen) = &self.seen else { return };
                let mut daemons = seen.daemons.known().into_iter().flat_map(|all| all.values());
                let steers = daemons.any(|one| one.unit.as_ref() == Some(unit));
                if !steers || is_own(unit) {
                    return;
                }
                let taken = ledger.clock.handover.iter().filter(|one| one.to == Keeper::Sfptpd);
                let taken = taken.flat_map(|one| &one.units).any(|one| one == unit);
                let paused = ledger.clock.paused.contains(unit);
                assert!(taken || paused, "{unit} is stopped, and nobody will start it again");
            }
            Step::ConfigureClock(written) => {
                assert_eq!(ptp.mode, ClockMode::Manage);
                config::check(written.text()).unwrap_or_else(|fault| panic!("written: {fault}"));
                assert!(!written.text().contains("port:"), "{}", written.text());
            }
            Step::LeaveClock
            | Step::LoadModule { .. }
            | Step::UnloadModule { .. }
            | Step::StopControlPlane
            | Step::BindDriver { .. }
            | Step::RegisterAfXdp { .. }
            | Step::WriteLoader(_)
            | Step::RestoreServer { .. }
            | Step::PlaceUserland { .. }
            | Step::PinNames(_)
            | Step::Rename(_)
            | Step::HandBack { .. }
            | Step::RestoreNetwork(_) => {}
        }
    }

    fn sfptpd_starts(&self, unit: &str, ledger: &Ledger) {
        let Some(seen) = &self.seen else { panic!("{unit} is started, and nobody has looked") };
        assert!(ledger.hold.is_none(), "{unit} is started on a held node");
        assert!(ledger.change.is_none(), "{unit} is started while drivers are changed");
        let back = ledger.clock.handover.as_ref().is_some_and(|one| one.to == Keeper::Former);
        assert!(!back, "{unit} is started though it gave the clock back");
        let known = seen.units.known().and_then(|units| units.get(unit));
        let rests =
            known.is_some_and(|one| matches!(one.active, Active::Inactive | Active::Failed));
        assert!(rests, "{unit} is started beside systemd: {known:?}");
        let text = seen.template.known();
        let steers = text.is_none_or(|text| {
            config::check(text).is_ok_and(|configured| configured.steers_system_clock())
        });
        for (pid, one) in seen.daemons.known().into_iter().flatten() {
            let bars = match one.kind {
                DaemonKind::Chronyd | DaemonKind::Ntpd => {
                    one.container.is_some() || steers && steers_system(one)
                }
                DaemonKind::Sfptpd
                | DaemonKind::Timesyncd
                | DaemonKind::Ptp4l
                | DaemonKind::Phc2sys
                | DaemonKind::Ts2phc => true,
            };
            assert!(!bars, "{unit} is started beside {pid}: {one:?}");
        }
    }

    /// What holds whenever the picture is shown.
    pub(super) fn published(&self, picture: &Picture) {
        let clocks = &picture.clocks;
        let open = clocks.outages.iter().filter(|outage| outage.millis.is_none()).count();
        let last = clocks.outages.last().is_none_or(|outage| outage.millis.is_none());
        assert!(open == 0 || open == 1 && last, "{:?}", clocks.outages);
        for one in &clocks.conflicts {
            assert!(!one.message.is_empty() && !one.fix.is_empty(), "{one:?}");
        }
        let nobody = self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.daemons.known().is_some_and(|all| all.is_empty()));
        let system = clocks.clocks.get("system").map(|clock| clock.synchronised);
        assert!(!(nobody && system == Some(Status::True)), "nobody steers it");
    }

    /// What holds once nothing is under way.
    pub fn settled(&self, picture: &Picture, ledger: &Ledger, world: &World) {
        let told = &picture.clocks.supervision;
        let blocked = picture.blockers.iter().any(|one| one.subject == "clock");
        let free = ledger.hold.is_none() && ledger.change.is_none();
        if picture.clocks.mode != ClockMode::Manage || !free {
            return;
        }
        match told.status {
            Status::True => {
                let runs = own(&facts(world)).is_some_and(|(_, one)| one.active == Active::Active);
                assert!(runs, "it is said to run: {told:?}");
            }
            Status::False => {
                let explained = blocked || picture.state == NodeState::Degraded;
                assert!(explained, "it does not run for no reason: {told:?}");
            }
            Status::Unknown => assert!(!told.reason.is_empty(), "{told:?}"),
        }
    }
}

/// What a look would find of clocks, were nothing hidden.
pub fn facts(world: &World) -> Facts {
    let mut seen = world.clone();
    seen.act(&"clear faults".parse().unwrap()).unwrap();
    let clocks = Some(onload_core::clock::ClockLook {
        units: UNITS.map(str::to_owned).into(),
        template: None,
        again: false,
    });
    *seen.look(Look { depth: Depth::Clocks, clocks }).clocks.into_known().unwrap()
}

/// Programs that steer the system clock by what they are and were told.
pub fn steerers(facts: &Facts) -> Vec<String> {
    let locked = facts.lock.known();
    let daemons = facts.daemons.known().into_iter().flatten();
    let steers = |(pid, one): &(&u32, &Daemon)| match one.kind {
        DaemonKind::Sfptpd => locked == Some(*pid),
        DaemonKind::Chronyd
        | DaemonKind::Ntpd
        | DaemonKind::Timesyncd
        | DaemonKind::Ptp4l
        | DaemonKind::Phc2sys
        | DaemonKind::Ts2phc => steers_system(one),
    };
    daemons.filter(steers).map(|(_, one)| one.kind.to_string()).collect()
}

fn steers_system(one: &Daemon) -> bool {
    match one.kind {
        DaemonKind::Chronyd => !one.told.leaves_system_clock,
        DaemonKind::Ntpd | DaemonKind::Timesyncd => true,
        DaemonKind::Phc2sys => one.told.automatic || one.told.steers.contains("CLOCK_REALTIME"),
        DaemonKind::Sfptpd | DaemonKind::Ptp4l | DaemonKind::Ts2phc => false,
    }
}

fn own(facts: &Facts) -> Option<(&str, &onload_core::clock::unit::Unit)> {
    let units = facts.units.known()?;
    let installed = |name: &&str| units.get(*name).is_some_and(|unit| unit.installed);
    let name = UNITS.into_iter().find(installed)?;
    units.get(name).map(|unit| (name, unit))
}
