//! Small times and frequencies: three digits and the unit they are read best in.

use crate::render::phrase::span;

/// Units of time by their length in nanoseconds.
const TIMES: [(u64, &str); 4] = [(1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (SECOND, "s")];
/// Units of frequency in parts per billion.
const FREQUENCIES: [(u64, &str); 2] = [(1, "ppb"), (1_000, "ppm")];
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// More whole seconds than there are between TAI and UTC, and ever will be while clocks run: what is
/// beyond is no such distance but a clock that is wrong.
const WHOLE: u64 = 100;
/// Seconds from which on three digits of them say less than hours and days.
const LONG: u64 = 1_000 * SECOND;

/// A distance with its sign: `+12 ns`, `-3.40 µs`.
pub fn signed(ns: i64) -> String {
    format!("{}{}", sign(ns), time(ns.unsigned_abs()))
}

/// A length without one.
pub fn time(ns: u64) -> String {
    if ns >= LONG {
        return span(ns / 1_000_000);
    }
    scaled(ns, &TIMES)
}

/// A correction of frequency with its sign: `-12.3 ppm`.
pub fn frequency(ppb: i64) -> String {
    format!("{}{}", sign(ppb), scaled(ppb.unsigned_abs(), &FREQUENCIES))
}

/// How far a clock is ahead of another that may count another scale of time: whole seconds, as
/// between TAI and UTC, are told apart, or they would hide what is to be seen.
pub fn ahead(ns: i64) -> String {
    let whole = (ns.unsigned_abs() + SECOND / 2) / SECOND;
    if whole == 0 || whole > WHOLE {
        return signed(ns);
    }
    let seconds = i64::try_from(whole * SECOND).unwrap_or_default() * ns.signum();
    format!("{}{whole} s {}", sign(ns), signed(ns - seconds))
}

fn sign(number: i64) -> &'static str {
    match number {
        ..0 => "-",
        0 => "",
        1.. => "+",
    }
}

/// Three digits, in the smallest unit that they do for.
fn scaled(number: u64, units: &[(u64, &str)]) -> String {
    let (number, mut said) = (u128::from(number), String::new());
    for &(unit, name) in units {
        let unit = u128::from(unit);
        // A smallest unit has no parts.
        let parts: &[u128] = if unit == 1 { &[1] } else { &[100, 10, 1] };
        for &part in parts {
            let digits = (number * part + unit / 2) / unit;
            let (whole, rest) = (digits / part, digits % part);
            said = match part {
                1 => format!("{whole} {name}"),
                10 => format!("{whole}.{rest} {name}"),
                _ => format!("{whole}.{rest:02} {name}"),
            };
            if digits < 1_000 {
                return said;
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (ns, said) in [
            (0, "0 ns"),
            (7, "+7 ns"),
            (-999, "-999 ns"),
            (1_000, "+1.00 µs"),
            (-1_234, "-1.23 µs"),
            (12_345, "+12.3 µs"),
            (99_949, "+99.9 µs"),
            (99_950, "+100 µs"),
            (999_499, "+999 µs"),
            (999_500, "+1.00 ms"),
            (-250_000_000, "-250 ms"),
            (1_500_000_000, "+1.50 s"),
            (999_000_000_000, "+999 s"),
            (3_600_000_000_000, "+1h"),
            (i64::MIN, "-106751d"),
            (i64::MAX, "+106751d"),
        ] {
            assert_eq!(signed(ns), said, "{ns}");
        }
    }

    #[test]
    fn frequencies_are_parts_per_billion_or_million() {
        for (ppb, said) in [
            (0, "0 ppb"),
            (-4, "-4 ppb"),
            (12_345, "+12.3 ppm"),
            (500_000, "+500 ppm"),
            (-1_000_000_000, "-1000000 ppm"),
        ] {
            assert_eq!(frequency(ppb), said, "{ppb}");
        }
    }

    #[test]
    fn whole_seconds_hide_nothing() {
        for (ns, said) in [
            (0, "0 ns"),
            (-40, "-40 ns"),
            (37_000_000_123, "+37 s +123 ns"),
            (36_999_999_877, "+37 s -123 ns"),
            (-37_000_000_123, "-37 s -123 ns"),
            (400_000_000, "+400 ms"),
            (3_600_000_000_000, "+1h"),
        ] {
            assert_eq!(ahead(ns), said, "{ns}");
        }
        assert!(ahead(i64::MIN).starts_with('-') && ahead(i64::MAX).starts_with('+'));
    }
}
