//! How far a clock is ahead of another, from readings of one between two readings of the other.

/// One clock read between two readings of another, in nanoseconds since the epoch of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// The other clock before.
    pub before_ns: i64,
    /// The clock.
    pub clock_ns: i64,
    /// The other clock after.
    pub after_ns: i64,
}

/// How far a clock is ahead, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// By how much.
    pub ns: i64,
    /// How long the reading took: what `ns` may be wrong by.
    pub window_ns: u64,
}

/// What the narrowest reading says, which is the one that was disturbed least. A reading in which the other
/// clock went back was across a step of it and says nothing.
pub fn narrowest(readings: &[Between]) -> Option<Ahead> {
    let spans = readings.iter().filter_map(|reading| {
        let window_ns = u64::try_from(reading.after_ns.checked_sub(reading.before_ns)?).ok()?;
        let half = i64::try_from(window_ns / 2).ok()?;
        let middle = reading.before_ns.checked_add(half)?;
        Some(Ahead { ns: reading.clock_ns.checked_sub(middle)?, window_ns })
    });
    spans.min_by_key(|ahead| ahead.window_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(before_ns: i64, clock_ns: i64, after_ns: i64) -> Between {
        Between { before_ns, clock_ns, after_ns }
    }

    #[test]
    fn the_narrowest_reading_counts() {
        let readings = [
            between(0, 37_000_000_500, 1000),
            between(2000, 37_000_002_060, 2100),
            // Across a step of the system clock by an hour.
            between(3_600_000_000_000, 37_000_003_000, 3000),
            between(4000, 37_000_004_000, 4900),
        ];
        assert_eq!(narrowest(&readings), Some(Ahead { ns: 37_000_000_010, window_ns: 100 }));
        assert_eq!(narrowest(&[between(5, 5, 5)]), Some(Ahead { ns: 0, window_ns: 0 }));
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!(narrowest(&[]), None);
        for odd in [
            between(1, 0, 0),
            between(i64::MIN, 0, i64::MAX),
            between(i64::MAX, i64::MIN, i64::MAX),
        ] {
            assert_eq!(narrowest(&[odd]), None, "{odd:?}");
        }
    }
}
