//! Time that passes: clocks are steered or run off, programs work, and systemd restarts what has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use onload_core::clock::daemon::DaemonKind;

use super::super::action::ClockName;
use super::super::world::World;
use super::program::{Program, Running};
use super::{LARGEST_ERROR_NS, Time, sfptpd};

/// How long a program that follows NTP or PTP works before it has told the kernel of it, in seconds.
const SETTLED_S: u64 = 10;
/// What the kernel tells while somebody keeps it right.
const STEERED_ERROR_NS: u64 = 1_000_000;
/// How fast its error grows while nobody does, in nanoseconds a second (`MAXFREQ` of the kernel).
const ERROR_GROWS_NS: u64 = 500_000;
const SECOND_MS: u64 = 1000;
/// The longest that is played second by second: after a day nothing of it changes any more.
const LONGEST_MS: u64 = 24 * 3600 * SECOND_MS;

impl World {
    /// Time passes that the machine is awake in.
    pub fn pass(&mut self, millis: u64) {
        let end = self.time.now_ms.saturating_add(millis);
        if self.time.programs.is_empty() {
            self.time.now_ms = end;
            return;
        }
        self.time.now_ms = self.time.now_ms.max(end.saturating_sub(LONGEST_MS));
        loop {
            let next = (self.time.now_ms / SECOND_MS + 1) * SECOND_MS;
            if next > end {
                break;
            }
            self.time.now_ms = next;
            self.second();
        }
        self.time.now_ms = end;
    }

    /// How long the machine has been awake since its world began.
    pub fn awake(&self) -> Duration {
        Duration::from_millis(self.time.now_ms)
    }

    /// In how many milliseconds systemd restarts something; none while it has nothing to.
    pub fn restarts_in(&self) -> Option<u64> {
        let due = self.time.programs.iter().filter_map(|one| one.restart_at_ms).min()?;
        // It happens with a whole second.
        let due = due.div_ceil(SECOND_MS) * SECOND_MS;
        let next = (self.time.now_ms / SECOND_MS + 1) * SECOND_MS;
        Some(due.max(next).saturating_sub(self.time.now_ms))
    }

    fn second(&mut self) {
        self.restart_programs();
        self.quarrel();
        let steered = self.steered();
        let time = &mut self.time;
        time.system.pass(steered.contains(&ClockName::System));
        for (index, offset) in &mut time.hardware {
            offset.pass(steered.contains(&ClockName::Hardware(*index)));
        }
        time.tell_kernel(steered.contains(&ClockName::System));
        for at in 0..self.time.programs.len() {
            if let Some(one) = self.time.programs.get_mut(at).filter(|one| one.works()) {
                let of_sfptpd = one.kind == DaemonKind::Sfptpd;
                if let Some(run) = &mut one.running {
                    run.worked_s += 1;
                }
                if of_sfptpd {
                    self.sfptpd_works(at);
                }
            }
        }
    }

    /// sfptpd ends when somebody else begins to steer a clock that it must steer (reference/sfptpd.md
    /// section 8). timesyncd is seen only by one that starts.
    fn quarrel(&mut self) {
        let steers = |one: &Program, run: &Running| {
            one.kind == DaemonKind::Sfptpd
                && !run.hangs
                && run.plan.as_ref().is_some_and(|plan| plan.steers_system)
        };
        let sfptpds = self.time.programs.iter().enumerate();
        let sfptpds =
            sfptpds.filter(|(_, one)| one.running.as_ref().is_some_and(|r| steers(one, r)));
        let sfptpds: Vec<usize> = sfptpds.map(|(at, _)| at).collect();
        let rival = sfptpd::rival(&self.time);
        for at in sfptpds {
            if let Some(status) = rival {
                self.crash(at, status);
            }
        }
    }

    /// Clocks that somebody steers who works and has the time from somebody.
    fn steered(&self) -> BTreeSet<ClockName> {
        let mut steered = BTreeSet::new();
        for (one, run) in self.time.running().filter(|(one, _)| one.works() && one.found) {
            if one.steers_system() {
                steered.insert(ClockName::System);
            }
            let held = self.clocks.iter().filter(|(_, pid)| *pid == run.pid);
            match one.kind {
                DaemonKind::Sfptpd | DaemonKind::Ptp4l | DaemonKind::Ts2phc => {
                    steered.extend(held.map(|(index, _)| ClockName::Hardware(*index)));
                }
                DaemonKind::Chronyd
                | DaemonKind::Ntpd
                | DaemonKind::Timesyncd
                | DaemonKind::Phc2sys => {}
            }
        }
        steered
    }

    /// Hardware clocks that a program opens when it starts, by index.
    pub(super) fn clocks_of(&self, one: &Program) -> BTreeSet<u32> {
        let told = &one.told;
        let named = told.interfaces.iter().chain(&told.steers).chain(&told.source);
        let named: BTreeSet<&str> = named.map(String::as_str).collect();
        let there = self.netdevs.values().filter(|netdev| match one.kind {
            // Every one of a Solarflare port.
            DaemonKind::Sfptpd => true,
            DaemonKind::Ptp4l | DaemonKind::Phc2sys | DaemonKind::Ts2phc => {
                let device = netdev.phc.map(|index| format!("/dev/ptp{index}"));
                let by_device = device.is_some_and(|device| named.contains(device.as_str()));
                by_device || named.contains(netdev.name.as_str())
            }
            DaemonKind::Chronyd | DaemonKind::Ntpd | DaemonKind::Timesyncd => false,
        });
        there.filter_map(|netdev| netdev.phc).collect()
    }
}

impl Program {
    /// Whether it steers the system clock while it works.
    pub fn steers_system(&self) -> bool {
        match self.kind {
            DaemonKind::Sfptpd => {
                let plan = self.running.as_ref().and_then(|run| run.plan.as_ref());
                plan.is_some_and(|plan| plan.steers_system)
            }
            DaemonKind::Chronyd => !self.told.leaves_system_clock,
            DaemonKind::Ntpd | DaemonKind::Timesyncd => true,
            DaemonKind::Phc2sys => {
                self.told.automatic || self.told.steers.contains("CLOCK_REALTIME")
            }
            DaemonKind::Ptp4l | DaemonKind::Ts2phc => false,
        }
    }
}

impl Time {
    /// What whoever steers the system clock tells the kernel, or nobody.
    fn tell_kernel(&mut self, is_steered: bool) {
        let settled = |(one, run): (&Program, &Running)| {
            one.works() && one.found && one.steers_system() && run.worked_s >= SETTLED_S
        };
        if is_steered && self.running().any(settled) {
            self.kernel.unsynchronised = false;
            self.kernel.maximum_error_ns = STEERED_ERROR_NS;
            self.kernel.estimated_error_ns = STEERED_ERROR_NS / 1000;
            return;
        }
        let error = self.kernel.maximum_error_ns.saturating_add(ERROR_GROWS_NS);
        self.kernel.maximum_error_ns = error.min(LARGEST_ERROR_NS);
        self.kernel.unsynchronised |= error >= LARGEST_ERROR_NS;
    }

    /// Clocks went that these processes had open: sfptpd hangs on them (reference/sfptpd.md section 9), and
    /// ptp4l finds its ports faulty.
    pub(in crate::host::sim) fn clocks_gone(&mut self, losers: &BTreeSet<u32>) {
        for one in &mut self.programs {
            let Some(run) = one.running.as_mut().filter(|run| losers.contains(&run.pid)) else {
                continue;
            };
            run.lost_clock = true;
            run.hangs |= one.kind == DaemonKind::Sfptpd;
        }
    }
}
