//! Who steers a clock, or has been told to: locks first, then what each says of itself, then what its command
//! line says.

use std::collections::BTreeSet;

use super::sfptpd;
use super::{Clocks, Steerer};
use crate::clock::daemon::{Daemon, DaemonKind};
use crate::clock::linuxptp::{PortState, Ptp4l, PtpPort};
use crate::reading::Reading;

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::clock) enum Target {
    /// CLOCK_REALTIME.
    System,
    /// `/dev/ptpN`.
    Hardware(u32),
}

/// A program that runs.
#[derive(Clone, Copy, Debug)]
pub(in crate::clock) struct Program<'a> {
    /// Its process.
    pub(in crate::clock) pid: u32,
    /// What is known of it.
    pub(in crate::clock) daemon: &'a Daemon,
}

impl Target {
    /// The clock that a word means where it names one: `system`, `CLOCK_REALTIME`, `/dev/ptp0`, `phc0`, and
    /// `phc0(eth0)` as sfptpd displays it (reference/sfptpd.md section 3.1).
    pub(in crate::clock) fn of(word: &str) -> Option<Self> {
        if word == "system" || word == "CLOCK_REALTIME" {
            return Some(Self::System);
        }
        let word = word.strip_prefix("/dev/").unwrap_or(word);
        let rest = word.strip_prefix("phc").or_else(|| word.strip_prefix("ptp"))?;
        let digits = rest.split('(').next().unwrap_or(rest);
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).map(Self::Hardware)
    }

    /// The clock that a word means, where it may be an interface that somebody has told the clock of.
    pub(in crate::clock) fn behind(clocks: &Clocks, word: &str) -> Option<Self> {
        Self::of(word).or_else(|| {
            let ports = clocks.ptp4l.values().filter_map(Reading::known).flat_map(|one| &one.ports);
            let told = ports
                .filter(|port| port.interface.as_deref() == Some(word))
                .find_map(|port| port.hardware_clock);
            told.map(Self::Hardware).or_else(|| {
                let states = clocks.sfptpd.known()?.states.values().filter_map(Reading::known);
                states
                    .filter(|state| state.interface.as_deref() == Some(word))
                    .find_map(|state| Self::of(state.clock.as_deref()?))
            })
        })
    }

    /// Its name: `system`, `ptp0`.
    pub(in crate::clock) fn name(self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Hardware(index) => format!("ptp{index}"),
        }
    }

    /// Its name in a sentence.
    pub(in crate::clock) fn spoken(self) -> String {
        match self {
            Self::System => "the system clock".to_owned(),
            Self::Hardware(index) => format!("/dev/ptp{index}"),
        }
    }
}

impl Program<'_> {
    /// It, for those who ask who steers.
    pub(in crate::clock) fn steerer(&self) -> Steerer {
        Steerer {
            kind: self.daemon.kind,
            pid: self.pid,
            unit: self.daemon.unit.clone(),
            container: self.daemon.container.clone(),
        }
    }

    /// It, in a sentence: `chronyd (process 812, chronyd.service)`.
    pub(in crate::clock) fn spoken(&self) -> String {
        let at = match (&self.daemon.container, &self.daemon.unit) {
            (Some(container), _) => format!(", in container {container}"),
            (None, Some(unit)) => format!(", {unit}"),
            (None, None) => String::new(),
        };
        format!("{} (process {}{at})", self.daemon.kind, self.pid)
    }
}

/// All that run, by process id.
pub(in crate::clock) fn programs(clocks: &Clocks) -> impl Iterator<Item = Program<'_>> {
    let daemons = clocks.daemons.known().into_iter().flatten();
    daemons.map(|(pid, daemon)| Program { pid: *pid, daemon })
}

/// Those of one kind, by process id.
pub(in crate::clock) fn of_kind(
    clocks: &Clocks,
    kind: DaemonKind,
) -> impl Iterator<Item = Program<'_>> {
    programs(clocks).filter(move |program| program.daemon.kind == kind)
}

/// Who steers a clock or has been told to: the first is who does, the others fight with it.
///
/// 1. Who has locked it. A lock is a fact that the kernel tells, and the others may be wrong about themselves.
/// 2. sfptpd where it says that it disciplines it: it says so of now.
/// 3. Those that are told the clock by name, or tell it: ptp4l, ts2phc, phc2sys.
/// 4. Those that steer the system clock unless told otherwise, and may do so without any source: chronyd,
///    ntpd, systemd-timesyncd.
pub(in crate::clock) fn steering(clocks: &Clocks, target: Target) -> Vec<Program<'_>> {
    let mut found: Vec<Program<'_>> =
        lock(clocks, target).and_then(|pid| holder(clocks, pid)).into_iter().collect();
    if clocks.sfptpd.known().is_some_and(|said| sfptpd::disciplines(said, target)) {
        found.extend(of_kind(clocks, DaemonKind::Sfptpd).take(1));
    }
    let order = [
        DaemonKind::Ptp4l,
        DaemonKind::Ts2phc,
        DaemonKind::Phc2sys,
        DaemonKind::Chronyd,
        DaemonKind::Ntpd,
        DaemonKind::Timesyncd,
    ];
    for kind in order {
        found.extend(of_kind(clocks, kind).filter(|program| told(clocks, *program, target)));
    }
    let mut seen = BTreeSet::new();
    found.retain(|program| seen.insert(program.pid));
    found
}

/// The process that has locked a clock.
pub(super) fn lock(clocks: &Clocks, target: Target) -> Option<u32> {
    match target {
        Target::System => clocks.lock.known().copied(),
        Target::Hardware(index) => clocks.hardware.get(&index)?.lock.known().copied(),
    }
}

/// The program behind a lock. sfptpd's privileged part takes locks for it (reference/sfptpd.md section 1), and
/// is no program that steers clocks by its name.
fn holder(clocks: &Clocks, pid: u32) -> Option<Program<'_>> {
    programs(clocks).find(|program| program.pid == pid).or_else(|| {
        let mut all = of_kind(clocks, DaemonKind::Sfptpd);
        all.next().filter(|_| all.next().is_none())
    })
}

/// Whether a program is there to steer a clock, by what it is, was told and answers. sfptpd is asked itself.
fn told(clocks: &Clocks, program: Program<'_>, target: Target) -> bool {
    let told = &program.daemon.told;
    let named = told.steers.iter().any(|word| Target::behind(clocks, word) == Some(target));
    match program.daemon.kind {
        DaemonKind::Sfptpd => false,
        DaemonKind::Chronyd => target == Target::System && !told.leaves_system_clock,
        DaemonKind::Ntpd | DaemonKind::Timesyncd => target == Target::System,
        // Without a clock to steer by its command line, phc2sys steers the system clock (phc2sys(8)).
        DaemonKind::Phc2sys => {
            named || target == Target::System && told.steers.is_empty() && !told.automatic
        }
        DaemonKind::Ts2phc => named,
        DaemonKind::Ptp4l => named || follows(clocks, program, target),
    }
}

/// Whether a ptp4l has a hardware clock to steer: not one that it only gives to others.
fn follows(clocks: &Clocks, program: Program<'_>, target: Target) -> bool {
    let Target::Hardware(index) = target else { return false };
    match port(clocks, program, target) {
        Some((_, port)) => match port.state {
            PortState::Slave
            | PortState::Uncalibrated
            | PortState::Listening
            | PortState::PreMaster
            | PortState::Initializing
            | PortState::Faulty => true,
            PortState::Passive
            | PortState::Disabled
            | PortState::Master
            | PortState::GrandMaster => false,
        },
        // One that does not answer, as in a container of its own: that it has the clock open says enough.
        None => {
            !answers(clocks, program)
                && clocks.hardware.get(&index).is_some_and(|one| one.users.contains(&program.pid))
        }
    }
}

/// Whether anything is known of what a ptp4l says.
fn answers(clocks: &Clocks, program: Program<'_>) -> bool {
    known(clocks).any(|(path, said)| owner(clocks, path, said) == Some(program.pid))
}

fn known(clocks: &Clocks) -> impl Iterator<Item = (&str, &Ptp4l)> {
    clocks.ptp4l.iter().filter_map(|(path, said)| Some((path.as_str(), said.known()?)))
}

/// The port that decides about a clock of a ptp4l: the one that follows a master, else the one that is
/// nearest to it.
pub(super) fn port<'a>(
    clocks: &'a Clocks,
    program: Program<'_>,
    target: Target,
) -> Option<(&'a Ptp4l, &'a PtpPort)> {
    let open = |index: &u32| {
        clocks.hardware.get(index).is_some_and(|one| one.users.contains(&program.pid))
    };
    let about = |said: &Ptp4l, port: &PtpPort| match target {
        Target::System => port.hardware_clock.is_none(),
        // Before PORT_HWCLOCK_NP no port told its clock: then it is one that the process has open.
        Target::Hardware(index) => match port.hardware_clock {
            Some(told) => told == index,
            None => said.ports.iter().all(|port| port.hardware_clock.is_none()) && open(&index),
        },
    };
    known(clocks)
        .filter(|(path, said)| owner(clocks, path, said) == Some(program.pid))
        .flat_map(|(_, said)| said.ports.iter().map(move |port| (said, port)))
        .filter(|(said, port)| about(said, port))
        .min_by_key(|(_, port)| distance(port.state))
}

/// How far a port is from following a master.
fn distance(state: PortState) -> u8 {
    match state {
        PortState::Slave => 0,
        PortState::Uncalibrated => 1,
        PortState::Listening => 2,
        PortState::PreMaster | PortState::Initializing => 3,
        PortState::Faulty => 4,
        PortState::Passive => 5,
        PortState::Disabled => 6,
        PortState::Master | PortState::GrandMaster => 7,
    }
}

/// The process of the ptp4l that answers at a socket: by the socket, else by interfaces, else by the clock it
/// has open, else the first.
fn owner(clocks: &Clocks, path: &str, said: &Ptp4l) -> Option<u32> {
    let all: Vec<Program<'_>> = of_kind(clocks, DaemonKind::Ptp4l).collect();
    let bare = |path: &str| path.trim_start_matches("/var").trim_end_matches("ro").to_owned();
    let by_socket = |one: &&Program<'_>| {
        one.daemon.told.socket.as_deref().is_some_and(|socket| bare(socket) == bare(path))
    };
    let by_interface = |one: &&Program<'_>| {
        let mut names = said.ports.iter().filter_map(|port| port.interface.as_ref());
        names.any(|name| one.daemon.told.interfaces.contains(name))
    };
    let by_clock = |one: &&Program<'_>| {
        let mut indices = said.ports.iter().filter_map(|port| port.hardware_clock);
        indices.any(|index| {
            clocks.hardware.get(&index).is_some_and(|clock| clock.users.contains(&one.pid))
        })
    };
    let found = all.iter().find(by_socket);
    let found = found.or_else(|| all.iter().find(by_interface));
    found.or_else(|| all.iter().find(by_clock)).or_else(|| all.first()).map(|one| one.pid)
}
