//! What was seen of clocks since the watch began.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::kept::Clock;
use super::plot::Sample;

/// How long a dot of the plot stands for. onloadd looks at clocks less often than this; a line that
/// goes on shows that somebody is still there.
pub const DOT: Duration = Duration::from_secs(1);

/// Samples kept: two for each column of a terminal wider than any.
const KEPT: usize = 2_048;

/// A clock, and how its offset went.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// As it is now, or was last.
    pub clock: Clock,
    /// Oldest first.
    pub samples: VecDeque<Sample>,
    /// What is said of all offsets since the watch began.
    pub spread: Option<Spread>,
}

/// The least, the largest, and what the square of offsets comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Nanoseconds.
    pub least: i64,
    /// Nanoseconds.
    pub largest: i64,
    squares: f64,
    count: u32,
}

impl Trace {
    /// Of a clock that is seen for the first time.
    pub fn new(clock: Clock) -> Self {
        Self { clock, samples: VecDeque::new(), spread: None }
    }

    /// Takes down how it is now; `there` is false while nobody says.
    pub fn sample(&mut self, there: bool) {
        let offset = self.clock.offset_ns.filter(|_| there);
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { offset, good: self.clock.is_synchronised() });
        if let Some(offset) = offset {
            let spread = self.spread.get_or_insert(Spread {
                least: offset,
                largest: offset,
                squares: 0.0,
                count: 0,
            });
            spread.least = spread.least.min(offset);
            spread.largest = spread.largest.max(offset);
            spread.squares += (offset as f64).powi(2);
            spread.count = spread.count.saturating_add(1);
        }
    }

    /// Whether there is anything to draw.
    pub fn is_drawn(&self) -> bool {
        self.samples.iter().any(|one| one.offset.is_some())
    }
}

impl Spread {
    /// Root of the mean square, in nanoseconds.
    pub fn rms(&self) -> u64 {
        // Both are far from where the digits of an f64 end, and the root is positive.
        (self.squares / f64::from(self.count.max(1))).sqrt().round() as u64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::super::super::kept::sample;
    use super::*;

    #[test]
    fn what_is_kept_has_an_end_and_what_is_said_has_none() {
        let mut trace = Trace::new(sample::system());
        for offset in [3, -4] {
            trace.clock.offset_ns = Some(offset);
            for _ in 0..KEPT {
                trace.sample(true);
            }
        }
        assert_eq!(trace.samples.len(), KEPT);
        assert!(trace.samples.iter().all(|one| one.offset == Some(-4) && one.good));
        let spread = trace.spread.unwrap();
        assert_eq!((spread.least, spread.largest, spread.rms()), (-4, 3, 4));
    }

    #[test]
    fn while_nobody_says_there_is_no_offset() {
        let mut trace = Trace::new(sample::system());
        trace.sample(false);
        assert!(!trace.is_drawn() && trace.spread.is_none());
        trace.clock.offset_ns = Some(i64::MIN);
        trace.sample(true);
        assert!(trace.is_drawn());
        assert_eq!(trace.spread.unwrap().rms(), i64::MIN.unsigned_abs());
    }
}
