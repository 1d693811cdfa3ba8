//! Numbers as people read them.

/// A duration in nanoseconds, in the unit that shows it with two digits or more: `850 ns`, `12 µs`, `37 s`.
pub(in crate::clock) fn span(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
    let unit = UNITS.iter().find(|(scale, _)| ns >= scale.saturating_mul(10));
    unit.map_or_else(|| format!("{ns} ns"), |(scale, word)| format!("{} {word}", ns / scale))
}

/// How far a clock is off, with the side.
pub(in crate::clock) fn off(ns: i64) -> String {
    match ns {
        0 => "0 ns off".to_owned(),
        1.. => format!("{} ahead", span(ns.unsigned_abs())),
        ..0 => format!("{} behind", span(ns.unsigned_abs())),
    }
}
