//! Small facts in words: ages, speeds, gaps, and the order people count in.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::render::paint::Paint;
use crate::render::table::Cell;

/// Shown for what is not there.
pub const ABSENT: &str = "-";

/// Shown for what could not be read. `--json` says why.
pub const UNREADABLE: &str = "?";

/// A fact that may have a gap: the value, `-` when there is none, `?` when it could not be read.
pub fn fact(
    value: Option<impl ToString>,
    name: &str,
    unreadable: &BTreeMap<String, String>,
) -> Cell {
    match value {
        Some(value) => Cell::new(value.to_string()),
        None if unreadable.contains_key(name) => Cell::painted(UNREADABLE, Paint::Warn),
        None => Cell::painted(ABSENT, Paint::Dim),
    }
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span of milliseconds in its largest unit, two when the first is small.
pub fn span(ms: u64) -> String {
    let two = |large: u64, l: char, small: u64, s: char| {
        let (first, rest) = (ms / large, ms % large / small);
        // Above this, nobody asks for the smaller unit.
        if first >= 10 || rest == 0 {
            format!("{first}{l}")
        } else {
            format!("{first}{l} {rest}{s}")
        }
    };
    match ms {
        DAY.. => two(DAY, 'd', HOUR, 'h'),
        HOUR.. => two(HOUR, 'h', MINUTE, 'm'),
        MINUTE.. => two(MINUTE, 'm', SECOND, 's'),
        _ => format!("{}s", ms / SECOND),
    }
}

/// How long ago.
pub fn age(now: u64, then: u64) -> String {
    span(now.saturating_sub(then))
}

/// How long still; a second that has begun counts, as on a clock that runs down.
pub fn left(now: u64, then: u64) -> String {
    let ms = then.saturating_sub(now).next_multiple_of(SECOND);
    if ms == 0 { "over".into() } else { format!("in {}", span(ms)) }
}

/// Time of day in UTC, which needs no table of zones: `13:05:09Z`.
pub fn time_of_day(ms: u64) -> String {
    let of_day = ms % DAY;
    format!("{:02}:{:02}:{:02}Z", of_day / HOUR, of_day % HOUR / MINUTE, of_day % MINUTE / SECOND)
}

/// A link speed as it stands on the box.
pub fn speed(mbps: u32) -> String {
    if mbps >= 1000 && mbps.is_multiple_of(100) {
        format!("{}G", f64::from(mbps) / 1000.0)
    } else {
        format!("{mbps}M")
    }
}

/// The order people count in: `onload-2` before `onload-10`.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(x), Some(y)) = (a.first(), b.first()) else { return a.len().cmp(&b.len()) };
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (digits(&mut a), digits(&mut b));
            // Without leading zeros, the longer number is the greater one.
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    &number[zeros..]
}

/// Where a function is on the PCI bus; what does not read as an address comes last.
pub fn pci(address: &str) -> (u32, u32, u32, u32) {
    let hex = |text: &str| u32::from_str_radix(text, 16).unwrap_or(u32::MAX);
    let (slot, function) = address.rsplit_once('.').unwrap_or((address, ""));
    let mut parts = slot.split(':').map(hex);
    let mut next = || parts.next().unwrap_or(u32::MAX);
    (next(), next(), next(), hex(function))
}

/// `1 port`, `2 ports`.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let cases = [
            (0, "0s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (90_000, "1m 30s"),
            (11 * MINUTE + 5, "11m"),
            (HOUR + 20 * MINUTE, "1h 20m"),
            (DAY, "1d"),
            (40 * DAY + HOUR, "40d"),
        ];
        for (ms, expected) in cases {
            assert_eq!(span(ms), expected, "{ms}");
        }
        assert_eq!(age(5, 10), "0s");
        assert_eq!(left(10, 10), "over");
        assert_eq!(left(10, 60_009), "in 1m");
        assert_eq!(time_of_day(1_700_000_000_000), "22:13:20Z");
    }

    #[test]
    fn numbers_count_as_numbers() {
        let mut ids = ["a10", "a9", "a010", "b1", "a1-2", "a1-10", "a"];
        ids.sort_by(|a, b| natural(a, b));
        assert_eq!(ids, ["a", "a1-2", "a1-10", "a9", "a10", "a010", "b1"]);
    }

    #[test]
    fn ports_come_in_bus_order() {
        let mut ports = ["10000:01:00.0", "0000:af:00.1", "0000:3b:00.0", "0000:af:00.0"];
        ports.sort_by_key(|address| pci(address));
        assert_eq!(ports, ["0000:3b:00.0", "0000:af:00.0", "0000:af:00.1", "10000:01:00.0"]);
    }

    #[test]
    fn speeds_are_those_on_the_box() {
        for (mbps, expected) in [(10, "10M"), (1000, "1G"), (2500, "2.5G"), (100_000, "100G")] {
            assert_eq!(speed(mbps), expected);
        }
    }
}
