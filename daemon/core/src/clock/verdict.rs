//! Whether clocks are disciplined, by whom and from what: one look judged on its own. What came before is
//! taken into account in [`super::steady`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Clocks;
use super::daemon::DaemonKind;
use super::kernel::Leap;
use super::picture::ClockPicture;
use crate::condition::Status;
use crate::reading::Reading;
use crate::time::Timestamp;

pub(super) mod claim;
mod linuxptp;
mod ntp;
pub mod reason;
pub(super) mod sfptpd;
pub(super) mod words;

use claim::{Program, Target};

/// What one look says of one clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Verdict {
    /// Whether it is disciplined and near enough.
    pub standing: Standing,
    /// One CamelCase word: why, or why not.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Who steers it.
    pub steered_by: Option<Steerer>,
    /// What it follows: a PTP instance and its parent, an NTP server, `ptp0`.
    pub source: String,
    /// The PTP grandmaster behind it.
    pub grandmaster: String,
    /// How far it is ahead of what it follows, in nanoseconds.
    pub offset_ns: Option<i64>,
    /// Path delay to it, in nanoseconds.
    pub path_delay_ns: Option<i64>,
    /// Correction of its frequency, in parts per billion.
    pub frequency_ppb: Option<i64>,
    /// Alarms of whoever steers it.
    pub alarms: Vec<String>,
}

/// Whether a clock is disciplined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Somebody steers it, says so, and it is near enough.
    Good,
    /// Somebody steers it, and it is not near enough, or an alarm says otherwise.
    Bad,
    /// Nobody steers it.
    Free,
    /// Cannot be told.
    #[default]
    Unknown,
}

/// Who steers a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Steerer {
    /// What it is.
    pub kind: DaemonKind,
    /// Its process.
    pub pid: u32,
    /// Its unit.
    pub unit: Option<String>,
    /// Its container.
    pub container: Option<String>,
}

/// Turns that a chain of clocks may take: more than a machine has kinds of program, and the end of a circle of
/// two phc2sys that take time from each other.
const LONGEST_CHAIN: u8 = 4;

/// Judges the system clock. `bound_ns` is the largest offset, in nanoseconds, that counts as near where
/// whoever steers it does not judge that itself.
pub fn system(clocks: &Clocks, bound_ns: u64) -> Verdict {
    of(clocks, Target::System, bound_ns, 0)
}

/// Judges the hardware clock `/dev/ptpINDEX`, with the same bound.
pub fn hardware(clocks: &Clocks, index: u32, bound_ns: u64) -> Verdict {
    of(clocks, Target::Hardware(index), bound_ns, 0)
}

/// Judges a clock that stands at `depth` in a chain.
fn of(clocks: &Clocks, target: Target, bound: u64, depth: u8) -> Verdict {
    let clock = target.spoken();
    if depth > LONGEST_CHAIN {
        let why = format!("{clock} follows clocks that follow it");
        return Verdict::new(Standing::Bad, reason::CIRCULAR, why);
    }
    if let Target::Hardware(index) = target
        && !clocks.hardware.contains_key(&index)
    {
        return Verdict::unknown(reason::NO_SUCH_CLOCK, format!("there is no {clock}"));
    }
    if let Some(why) = clocks.daemons.why_not() {
        return Verdict::unknown(
            reason::UNREADABLE,
            format!("who steers {clock} cannot be read: {why}"),
        );
    }
    let Some(program) = claim::steering(clocks, target).into_iter().next() else {
        return free(clocks, target);
    };
    let mut verdict = match program.daemon.kind {
        DaemonKind::Sfptpd => sfptpd::judge(clocks, target),
        DaemonKind::Ptp4l => linuxptp::ptp4l(clocks, program, target, bound),
        DaemonKind::Phc2sys => linuxptp::phc2sys(clocks, program, target, bound, depth),
        DaemonKind::Ts2phc => linuxptp::ts2phc(program, target),
        DaemonKind::Chronyd => ntp::chrony(clocks, bound),
        DaemonKind::Ntpd | DaemonKind::Timesyncd => ntp::kernel(clocks, program, bound),
    };
    if verdict.frequency_ppb.is_none() && target == Target::System {
        verdict.frequency_ppb = clocks.kernel.known().map(|kernel| kernel.frequency_ppb);
    }
    if verdict.standing == Standing::Good {
        verdict.message = good(&verdict, program, target);
    }
    verdict.steered_by = Some(program.steerer());
    verdict
}

/// What there is to say of a clock that is as it should be.
fn good(verdict: &Verdict, program: Program<'_>, target: Target) -> String {
    let from = match (verdict.source.as_str(), verdict.grandmaster.as_str()) {
        ("", "") => String::new(),
        ("", grandmaster) => format!(" from grandmaster {grandmaster}"),
        (source, "") => format!(" from {source}"),
        (source, grandmaster) => format!(" from {source}, grandmaster {grandmaster}"),
    };
    let off = verdict.offset_ns.map_or_else(String::new, |ns| format!(", {}", words::off(ns)));
    format!("{} steers {}{from}{off}", program.spoken(), target.spoken())
}

/// A clock that nobody steers: what sfptpd has to say of that, where it runs, is the reason.
fn free(clocks: &Clocks, target: Target) -> Verdict {
    if let Some(verdict) = sfptpd::idle(clocks, target) {
        return verdict;
    }
    let clock = target.spoken();
    if let Some(pid) = claim::lock(clocks, target) {
        let why =
            format!("process {pid} has locked {clock}, and is no program known to tell how it is");
        return Verdict::unknown(reason::LOCKED, why);
    }
    let fix = match target {
        Target::System => "start sfptpd, chronyd, or ptp4l with phc2sys",
        Target::Hardware(_) => "start sfptpd or ptp4l on one of its interfaces, if it is needed",
    };
    Verdict::new(Standing::Free, reason::NOT_STEERED, format!("nobody steers {clock}; {fix}"))
}

impl Verdict {
    /// One with nothing but what it says.
    fn new(standing: Standing, reason: &str, message: String) -> Self {
        Self { standing, reason: reason.to_owned(), message, ..Self::default() }
    }

    fn unknown(reason: &str, message: String) -> Self {
        Self::new(Standing::Unknown, reason, message)
    }

    /// Turns it into another, keeping what was found of the clock.
    fn turn(self, standing: Standing, reason: &str, message: String) -> Self {
        Self { standing, reason: reason.to_owned(), message, ..self }
    }

    /// What is left of it where whoever steers the clock has said nothing new for `quiet`, and that is longer
    /// than `longest`: old statistics prove nothing. Only sfptpd is held to that; the others answer when asked.
    pub fn unless_silent(self, quiet: Duration, longest: Duration) -> Self {
        let sfptpd = self.steered_by.as_ref().is_some_and(|one| one.kind == DaemonKind::Sfptpd);
        if !sfptpd || self.standing != Standing::Good || quiet <= longest {
            return self;
        }
        let why = format!(
            "sfptpd has said nothing new for {} s: what it said last was good, and proves nothing now",
            quiet.as_secs()
        );
        self.turn(Standing::Bad, reason::SILENT, why)
    }

    /// Whether a bad look may be one packet that came late, and not a statement: an offset without alarms.
    pub fn may_pass(&self) -> bool {
        let offset = self.reason == reason::OFFSET_TOO_LARGE || self.reason == reason::NOT_IN_SYNC;
        self.standing == Standing::Bad && self.alarms.is_empty() && offset
    }
}

impl ClockPicture {
    /// The picture of the clock `name` (`system`, `ptp0`): what was found of it, with its gaps and why they
    /// are there.
    pub fn of(
        name: &str,
        clocks: &Clocks,
        verdict: Verdict,
        status: Status,
        since: Timestamp,
        interfaces: Vec<String>,
    ) -> Self {
        let mut picture =
            Self { interfaces, synchronised: status, since, verdict, ..Self::default() };
        let mut gap = |property: &str, why: Option<&str>| {
            picture.unreadable.extend(why.map(|why| (property.to_owned(), why.to_owned())));
        };
        gap("SteeredBy", clocks.daemons.why_not());
        match Target::of(name) {
            Some(Target::Hardware(index)) => {
                picture.device = format!("/dev/ptp{index}");
                let found = clocks.hardware.get(&index);
                let name = found.map_or(&Reading::Absent, |clock| &clock.name);
                let ahead = found.map_or(&Reading::Absent, |clock| &clock.ahead_ns);
                gap("DriverName", name.why_not());
                gap("AheadOfSystem", ahead.why_not());
                picture.driver_name = name.known().cloned().unwrap_or_default();
                picture.ahead_ns = ahead.known().copied();
            }
            Some(Target::System) | None => {
                gap("Leap", clocks.kernel.why_not());
                let leap = clocks.kernel.known().map(|kernel| kernel.leap.as_str());
                picture.leap = leap.unwrap_or_default().to_owned();
            }
        }
        if picture.verdict.offset_ns.is_none() {
            let said: BTreeMap<&str, Option<&str>> = BTreeMap::from([
                ("sfptpd", clocks.sfptpd.why_not()),
                ("chronyd", clocks.chrony.why_not()),
            ]);
            let why = said.into_iter().find_map(|(who, why)| Some(format!("{who}: {}", why?)));
            let why = why.or_else(|| {
                let mut said = clocks.ptp4l.values();
                Some(format!("ptp4l: {}", said.find_map(Reading::why_not)?))
            });
            picture.unreadable.extend(why.map(|why| ("Offset".to_owned(), why)));
        }
        picture
    }
}

impl Leap {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
