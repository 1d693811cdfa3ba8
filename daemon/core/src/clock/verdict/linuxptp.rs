//! Clocks that ptp4l, phc2sys and ts2phc steer (reference/sfptpd.md section 10).

use super::claim::{self, Program, Target};
use super::{Standing, Verdict, reason, words};
use crate::clock::Clocks;
use crate::clock::linuxptp::PortState;
use crate::reading::Reading;

/// Seconds that TAI is ahead of UTC since 2017, and what linuxptp takes it for where nobody tells it
/// (reference/sfptpd.md section 10).
const UTC_OFFSET: i64 = 37;
const SECOND: i64 = 1_000_000_000;

/// Judges a clock that a ptp4l steers: a port that follows a master, a grandmaster behind it, and the offset.
pub(super) fn ptp4l(clocks: &Clocks, program: Program<'_>, target: Target, bound: u64) -> Verdict {
    let (clock, who) = (target.spoken(), program.spoken());
    let Some((said, port)) = claim::port(clocks, program, target) else {
        let why = clocks.ptp4l.values().find_map(Reading::why_not);
        let why = why.map_or_else(
            || format!("{who} steers {clock} and says nothing: no management socket of it answers"),
            |why| format!("what {who} says cannot be read: {why}"),
        );
        return Verdict::unknown(reason::SAYS_NOTHING, why);
    };
    let found = Verdict {
        source: port.interface.clone().unwrap_or_default(),
        grandmaster: said.grandmaster.clone(),
        offset_ns: said.master_offset_ns,
        path_delay_ns: said.path_delay_ns,
        ..Verdict::default()
    };
    match port.state {
        PortState::Slave => {}
        PortState::Uncalibrated => {
            let why = format!("{who} has found a master and is not locked to it yet");
            return found.turn(Standing::Bad, reason::NOT_LOCKED, why);
        }
        PortState::Listening
        | PortState::PreMaster
        | PortState::Initializing
        | PortState::Passive => {
            let why =
                format!("{who} hears no master; see whether the domain and the network are right");
            return found.turn(Standing::Bad, reason::NO_SOURCE, why);
        }
        PortState::Faulty | PortState::Disabled => {
            let why = format!("{who} has its port disabled or faulty; see its log");
            return found.turn(Standing::Bad, reason::NOT_LOCKED, why);
        }
        PortState::Master | PortState::GrandMaster => {
            let why = format!("{who} is a PTP master: this node gives time, and follows nobody");
            return found.turn(Standing::Bad, reason::MASTER, why);
        }
    }
    if !said.has_grandmaster {
        let why = format!("{who} follows a master without a grandmaster behind it");
        return found.turn(Standing::Bad, reason::NO_SOURCE, why);
    }
    within(found, target, bound, 0)
}

/// Judges a clock that a phc2sys steers. It tells its offset to nobody, so the kernel's own comparison of the two
/// clocks stands for it, and the clock that it takes time from must be good itself.
pub(super) fn phc2sys(
    clocks: &Clocks,
    program: Program<'_>,
    target: Target,
    bound: u64,
    depth: u8,
) -> Verdict {
    let (clock, who) = (target.spoken(), program.spoken());
    let Some(source) = source(clocks, program, target) else {
        let why = format!("which clock {who} takes the time of {clock} from cannot be told");
        return Verdict::unknown(reason::SAYS_NOTHING, why);
    };
    let above = super::of(clocks, source, bound, depth.saturating_add(1));
    let found = Verdict {
        source: source.name(),
        grandmaster: above.grandmaster.clone(),
        path_delay_ns: above.path_delay_ns,
        alarms: above.alarms.clone(),
        ..Verdict::default()
    };
    match above.standing {
        Standing::Good => {}
        Standing::Bad | Standing::Free | Standing::Unknown => {
            // The clock itself is steered, so what is free above it is bad here.
            let standing =
                if above.standing == Standing::Unknown { Standing::Unknown } else { Standing::Bad };
            let why = format!(
                "{who} takes the time of {clock} from {}: {}",
                source.spoken(),
                above.message
            );
            return found.turn(standing, &above.reason, why);
        }
    }
    let between = match (target, source) {
        (Target::System, Target::Hardware(from)) => {
            ahead(clocks, from, true).map(|(ns, window)| (0_i64.saturating_sub(ns), window))
        }
        (Target::Hardware(to), Target::System) => ahead(clocks, to, true),
        (Target::Hardware(to), Target::Hardware(from)) => {
            ahead(clocks, to, false).and_then(|(to, first)| {
                ahead(clocks, from, false)
                    .map(|(from, second)| (to.saturating_sub(from), first.saturating_add(second)))
            })
        }
        (Target::System, Target::System) => Reading::Absent,
    };
    match between {
        Reading::Known((ns, window)) => {
            let whole = ns.saturating_add(above.offset_ns.unwrap_or(0));
            within(Verdict { offset_ns: Some(whole), ..found }, target, bound, window)
        }
        Reading::Absent => {
            let why = format!("{clock} and {} cannot be compared", source.spoken());
            found.turn(Standing::Unknown, reason::SAYS_NOTHING, why)
        }
        Reading::Unreadable(why) => {
            let why = format!("{clock} and {} could not be compared: {why}", source.spoken());
            found.turn(Standing::Unknown, reason::UNREADABLE, why)
        }
    }
}

/// Judges a clock that a ts2phc steers: nothing tells how well.
pub(super) fn ts2phc(program: Program<'_>, target: Target) -> Verdict {
    let why = format!(
        "{} steers {} and tells nobody how well; see its log",
        program.spoken(),
        target.spoken()
    );
    Verdict::unknown(reason::SAYS_NOTHING, why)
}

/// Whether an offset is within the bound. `window` is what the comparison may be wrong by.
fn within(found: Verdict, target: Target, bound: u64, window: u64) -> Verdict {
    let clock = target.spoken();
    let Some(offset) = found.offset_ns else {
        let why = format!("nothing tells how far {clock} is off");
        return found.turn(Standing::Unknown, reason::SAYS_NOTHING, why);
    };
    let far = offset.unsigned_abs();
    if far <= bound {
        return found.turn(Standing::Good, reason::SYNCHRONISED, String::new());
    }
    if far.saturating_sub(window) <= bound {
        let why = format!(
            "{clock} was compared within {} only, and {} is the bound",
            words::span(window),
            words::span(bound)
        );
        return found.turn(Standing::Unknown, reason::IMPRECISE, why);
    }
    let why = format!("{clock} is {}; {} is the bound", words::off(offset), words::span(bound));
    found.turn(Standing::Bad, reason::OFFSET_TOO_LARGE, why)
}

/// The clock that a phc2sys takes time from: what it was told, else the one that it has open beside the one it
/// steers, where that is one.
fn source(clocks: &Clocks, program: Program<'_>, target: Target) -> Option<Target> {
    let told = program.daemon.told.source.as_deref();
    let told = told.and_then(|word| Target::behind(clocks, word)).filter(|told| *told != target);
    told.or_else(|| {
        let open = clocks.hardware.iter().filter(|(_, clock)| clock.users.contains(&program.pid));
        let mut others =
            open.map(|(index, _)| Target::Hardware(*index)).filter(|one| *one != target);
        others.next().filter(|_| others.next().is_none())
    })
}

/// How far a hardware clock is ahead of the system clock, and what that may be wrong by. With `utc`, whole seconds
/// between TAI and UTC are taken out: those that its ptp4l says; where none says, those that the kernel or linuxptp
/// take it for, or none, whichever is nearest.
fn ahead(clocks: &Clocks, index: u32, utc: bool) -> Reading<(i64, u64)> {
    let Some(clock) = clocks.hardware.get(&index) else { return Reading::Absent };
    let window = clock.window_ns.known().copied().unwrap_or(0);
    let without = |ns: i64, seconds: i64| ns.saturating_sub(seconds.saturating_mul(SECOND));
    clock.ahead_ns.clone().map(|ns| {
        let seconds = if utc { utc_offsets(clocks, index) } else { vec![0] };
        let nearest = seconds.into_iter().map(|one| without(ns, one));
        (nearest.min_by_key(|ns| ns.unsigned_abs()).unwrap_or(ns), window)
    })
}

/// Whole seconds that a hardware clock may be ahead of UTC.
fn utc_offsets(clocks: &Clocks, index: u32) -> Vec<i64> {
    let mut said = clocks.ptp4l.values().filter_map(Reading::known);
    let said = said.find(|one| one.ports.iter().any(|port| port.hardware_clock == Some(index)));
    if let Some(seconds) = said.and_then(|one| one.utc_offset) {
        return vec![i64::from(seconds)];
    }
    let kernel = clocks.kernel.known().map(|kernel| i64::from(kernel.tai_offset));
    [Some(0), kernel, Some(UTC_OFFSET)].into_iter().flatten().collect()
}
