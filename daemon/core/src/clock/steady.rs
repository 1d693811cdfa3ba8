//! Hysteresis: a clock counts as synchronised after a while of good looks, and as lost at once for an
//! alarm, and for an offset only when that stays.
//!
//! Time comes in with each look, from a clock that nobody steps. Between two looks no more of it counts than
//! a machine that is awake lets pass: one that slept has neither been synchronised meanwhile nor lost it.

use std::time::Duration;

use super::verdict::{Standing, Verdict};
use crate::condition::Status;
use crate::time::Moment;

/// How long a clock must look good before it counts as synchronised. sfptpd's own `in-sync` has a minute
/// behind it (reference/sfptpd.md section 7); the others say what is now.
pub const GOOD_FOR: Duration = Duration::from_secs(20);
/// Looks that must be good in that time: two may show the same lucky moment.
pub const GOOD_LOOKS: u32 = 3;
/// Looks with an offset beyond the bound that make it lost: one may be a packet that came late.
pub const BAD_LOOKS: u32 = 2;
/// Looks that may tell nothing before what was known is given up.
pub const BLIND_LOOKS: u32 = 3;
/// How many times the pace of looks may pass between two and count in full.
const LONGEST_GAP: u32 = 2;

/// Whether one clock counts as synchronised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steady {
    status: Status,
    /// When it was looked at last, and what that showed.
    last: Option<(Moment, Standing)>,
    /// When a look counted last.
    counted: Moment,
    good: u32,
    good_for: Duration,
    bad: u32,
    blind: u32,
}

/// How long a program has said nothing new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    last: Option<(Moment, u64)>,
    quiet: Duration,
}

/// How much of the time since `last` counts, where one looks every `pace`.
fn credit(now: Moment, last: Moment, pace: Duration) -> Duration {
    now.since(last).min(pace.saturating_mul(LONGEST_GAP))
}

impl Steady {
    /// What it counts as now.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Takes one look into account, where one looks every `looked_every`, and says what the clock counts as.
    pub fn judge(&mut self, now: Moment, verdict: &Verdict, looked_every: Duration) -> Status {
        let standing = verdict.standing;
        let again = self.last.is_some_and(|(_, before)| before == standing);
        let gap = self.last.map_or(Duration::ZERO, |(last, _)| credit(now, last, looked_every));
        // Events make looks come in bursts, and each of a burst shows the same statement.
        let counts = !again || now.since(self.counted) >= looked_every / 2;
        self.last = Some((now, standing));
        if counts {
            self.counted = now;
        }
        let one = u32::from(counts);
        match standing {
            Standing::Good => {
                (self.bad, self.blind) = (0, 0);
                self.good = self.good.saturating_add(one);
                if again {
                    self.good_for = self.good_for.saturating_add(gap);
                }
                if self.good >= GOOD_LOOKS && self.good_for >= GOOD_FOR {
                    self.status = Status::True;
                }
            }
            Standing::Bad | Standing::Free => {
                (self.good, self.good_for, self.blind) = (0, Duration::ZERO, 0);
                self.bad = self.bad.saturating_add(one);
                if !verdict.may_pass() || self.bad >= BAD_LOOKS {
                    self.status = Status::False;
                }
            }
            // A look that tells nothing ends no row of looks: a socket may be busy once.
            Standing::Unknown => {
                self.blind = self.blind.saturating_add(one);
                if self.blind > BLIND_LOOKS {
                    *self = Self {
                        last: self.last,
                        counted: self.counted,
                        blind: self.blind,
                        ..Self::default()
                    };
                }
            }
        }
        self.status
    }
}

impl Pulse {
    /// Takes into account that its mark was `pulse` at `now`, where one looks every `pace`; says how long
    /// nothing new was said.
    pub fn seen(&mut self, now: Moment, pulse: u64, pace: Duration) -> Duration {
        self.quiet = match self.last {
            Some((last, before)) if before == pulse => {
                self.quiet.saturating_add(credit(now, last, pace))
            }
            Some(_) | None => Duration::ZERO,
        };
        self.last = Some((now, pulse));
        self.quiet
    }
}

#[cfg(test)]
mod tests;
