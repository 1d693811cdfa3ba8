//! Times taken, and what is said of them.

use std::time::Duration;

/// Times of one kind of call.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Takes one more.
    pub fn take(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest time that this many per cent are not above; zero while there is none.
    pub fn percentile(&self, per_cent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// The middle one.
    pub fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.percentile(100)
    }
}

/// How many times as long one took as the other.
pub fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64().max(f64::EPSILON)
}

/// A percentile of two kinds of call: of the quieter half of the rounds, those where both together
/// took the least, the one whose ratio is in the middle. The least ratio of all would be that of
/// the round in which the other call was disturbed.
pub fn quietest<'a>(
    rounds: impl Iterator<Item = (&'a Samples, &'a Samples)>,
    per_cent: usize,
) -> Option<(Duration, Duration)> {
    let times = rounds.map(|(one, other)| (one.percentile(per_cent), other.percentile(per_cent)));
    let mut times: Vec<_> = times.collect();
    times.sort_by_key(|(one, other)| *one + *other);
    times.truncate(times.len().div_ceil(2));
    times.sort_by(|a, b| ratio(a.0, a.1).total_cmp(&ratio(b.0, b.1)));
    times.get(times.len().saturating_sub(1) / 2).copied()
}

/// Milliseconds, for people.
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Microseconds, for people.
pub fn micros(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_that_were_taken() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(), Duration::ZERO);
        for millis in (1..=200).rev() {
            samples.take(Duration::from_millis(millis));
        }
        let of = |per_cent| samples.percentile(per_cent).as_millis();
        assert_eq!([of(0), of(50), of(99), of(100)], [1, 100, 198, 200]);
    }

    #[test]
    fn a_round_in_which_the_other_was_disturbed_is_not_the_one_that_counts() {
        let of = |millis| Samples(vec![Duration::from_millis(millis)]);
        let rounds = [(of(3), of(2)), (of(4), of(90))];
        let counts = quietest(rounds.iter().map(|(one, other)| (one, other)), 99);
        assert_eq!(counts, Some((Duration::from_millis(3), Duration::from_millis(2))));
    }
}
