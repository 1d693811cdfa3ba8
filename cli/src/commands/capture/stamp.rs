//! When it was.

/// As names of files have it: `20260301T180000Z`.
pub(super) fn short(ms: u64) -> String {
    let ([year, month, day], [hour, minute, second]) = parts(ms);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// As RFC 3339 has it.
pub(super) fn long(ms: u64) -> String {
    let ([year, month, day], [hour, minute, second]) = parts(ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Date and time of day in UTC. Years begin in March here, so that the odd day is their last.
fn parts(ms: u64) -> ([u64; 3], [u64; 3]) {
    let seconds = ms / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // From 1 March of the year 0; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    ([year, month, day], [of_day / 3600, of_day / 60 % 60, of_day % 60])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_leap_years_are_counted() {
        for (ms, long) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_772_388_000_000, "2026-03-01T18:00:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(super::long(ms), long);
        }
        assert_eq!(short(1_772_388_000_000), "20260301T180000Z");
    }
}
