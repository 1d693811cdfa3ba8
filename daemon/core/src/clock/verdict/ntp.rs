//! The system clock under chronyd, ntpd and systemd-timesyncd.

use super::claim::Program;
use super::{Standing, Verdict, reason, words};
use crate::clock::Clocks;
use crate::reading::Reading;

/// Reference ids of chronyd for "the local clock": 127.127.1.1, in hexadecimal digits.
const ITSELF: &str = "7F7F0101";
/// Reference id of chronyd while it follows nothing.
const NOBODY: &str = "00000000";
/// The stratum that NTP has for what is not synchronised.
const UNSYNCHRONISED: u32 = 16;

/// Judges it by what chronyd says. What counts is the most that the clock may be off from true time: the offset,
/// half the delay and the dispersion.
pub(super) fn chrony(clocks: &Clocks, bound: u64) -> Verdict {
    let said = match &clocks.chrony {
        Reading::Known(said) => said,
        Reading::Unreadable(why) => {
            let why = format!("what chronyd says cannot be read: {why}");
            return Verdict::unknown(reason::UNREADABLE, why);
        }
        Reading::Absent => {
            let why = "chronyd runs, and does not answer yet".to_owned();
            return Verdict::unknown(reason::SAYS_NOTHING, why);
        }
    };
    let found = Verdict {
        source: said.source.clone(),
        offset_ns: Some(said.offset_ns),
        path_delay_ns: i64::try_from(said.root_delay_ns / 2).ok(),
        ..Verdict::default()
    };
    if said.reference_id == ITSELF {
        let why = "chronyd follows the clock that it steers (`local`): none of its servers is \
                   usable; see `chronyc sources`";
        return found.turn(Standing::Bad, reason::FOLLOWS_ITSELF, why.to_owned());
    }
    let nobody = said.stratum == 0 || said.stratum >= UNSYNCHRONISED;
    if said.leap.is_none() || nobody || said.reference_id == NOBODY {
        let why = "chronyd is not synchronised with any of its servers; see `chronyc sources`";
        return found.turn(Standing::Bad, reason::NO_SOURCE, why.to_owned());
    }
    if said.sources > 0 && said.usable_sources == 0 {
        let why = format!(
            "none of the {} servers of chronyd is usable any more; see `chronyc sources`",
            said.sources
        );
        return found.turn(Standing::Bad, reason::NO_SOURCE, why);
    }
    let most = said
        .offset_ns
        .unsigned_abs()
        .saturating_add(said.root_delay_ns / 2)
        .saturating_add(said.root_dispersion_ns);
    if most > bound {
        let why = format!(
            "the system clock may be off by {} by what chronyd says of offset, delay and \
             dispersion; {} is the bound (`[ptp] bound-ns`)",
            words::span(most),
            words::span(bound)
        );
        return found.turn(Standing::Bad, reason::OFFSET_TOO_LARGE, why);
    }
    found.turn(Standing::Good, reason::SYNCHRONISED, String::new())
}

/// The largest error that the kernel reckons with while packets come: it grows by half a millisecond each second, and
/// the longest time between two of them is some 2,000 s by default (systemd-timesyncd).
const LARGEST_ERROR_NS: u64 = 4_000_000_000;

/// Judges it by what ntpd or systemd-timesyncd told the kernel.
pub(super) fn kernel(clocks: &Clocks, program: Program<'_>, bound: u64) -> Verdict {
    let who = program.spoken();
    let said = match &clocks.kernel {
        Reading::Known(said) => said,
        Reading::Unreadable(why) => {
            let why = format!("what {who} told the kernel cannot be read: {why}");
            return Verdict::unknown(reason::UNREADABLE, why);
        }
        Reading::Absent => {
            let why = format!("the kernel does not tell what {who} told it");
            return Verdict::unknown(reason::SAYS_NOTHING, why);
        }
    };
    let found = Verdict { frequency_ppb: Some(said.frequency_ppb), ..Verdict::default() };
    if said.unsynchronised {
        let why = format!("{who} has not synchronised the system clock yet, or any more");
        return found.turn(Standing::Bad, reason::UNSYNCHRONISED, why);
    }
    if said.maximum_error_ns > LARGEST_ERROR_NS {
        let why = format!(
            "{who} has told the kernel nothing for long: the system clock may be off by {}",
            words::span(said.maximum_error_ns)
        );
        return found.turn(Standing::Bad, reason::UNSYNCHRONISED, why);
    }
    if said.estimated_error_ns > bound {
        let why = format!(
            "the system clock may be off by {} by what {who} told the kernel; {} is the bound \
             (`[ptp] bound-ns`)",
            words::span(said.estimated_error_ns),
            words::span(bound)
        );
        return found.turn(Standing::Bad, reason::OFFSET_TOO_LARGE, why);
    }
    found.turn(Standing::Good, reason::SYNCHRONISED, String::new())
}
