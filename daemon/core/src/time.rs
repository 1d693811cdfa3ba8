//! Time as the core knows it: it comes in with each event and is never read here.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on CLOCK_BOOTTIME, in milliseconds: it goes on while the node sleeps and never jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// How long after `earlier` this is; nothing when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// Wall time in milliseconds since 1970 UTC. For people and the ledger; nothing is decided by it
/// but the end of a lease that was made in an earlier boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// The two clocks, read together by the edge that brings an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME.
    pub boot: Moment,
    /// CLOCK_REALTIME.
    pub wall: Timestamp,
}

/// A duration as people write it (`90s`, `15m`, `8h`, `2d`, `250ms`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a duration; write a whole number and ms, s, m, h or d, such as 8h, at most ten years"
)]
pub struct InvalidSpan(pub String);

/// The longest span anybody can ask for: ten years, so that no sum of two overflows.
const LONGEST_SPAN: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Units from the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl std::str::FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let refuse = || InvalidSpan(text.chars().take(40).collect());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| refuse())?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        let span = Duration::from_millis(number.checked_mul(*scale).ok_or_else(refuse)?);
        if span > LONGEST_SPAN { Err(refuse()) } else { Ok(Self(span)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, scale) = UNITS
            .iter()
            .find(|(_, scale)| millis >= *scale && millis % scale == 0)
            .unwrap_or(&("s", 1_000));
        write!(f, "{}{unit}", millis / scale)
    }
}

impl TryFrom<String> for Span {
    type Error = InvalidSpan;

    fn try_from(text: String) -> Result<Self, InvalidSpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_as_written() {
        for text in ["250ms", "90s", "15m", "8h", "2d", "0s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_span_is_refused_with_the_text() {
        for text in ["", "5", "s", "-3s", "1.5h", "3 s", "99999999999d", "18446744073709551616s"] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan(text.to_owned())), "{text}");
        }
    }
}
