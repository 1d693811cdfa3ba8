//! A point in time as people write it: date, time of day and offset from UTC, as in RFC 3339. The
//! offset is asked for, since a node's own zone is rarely that of whoever types.

/// What is asked for.
const FORM: &str =
    "write date, time and offset from UTC, such as 2026-03-01T18:00Z or 2026-03-01T18:00+01:00";

/// Milliseconds since 1970 UTC.
///
/// # Errors
/// It is no such text, or no such time.
pub fn parse(text: &str) -> Result<u64, String> {
    seconds(text).and_then(|seconds| u64::try_from(seconds * 1000).ok()).ok_or_else(|| FORM.into())
}

fn seconds(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let at = rest.find(['Z', 'z', '+', '-'])?;
    let (time, offset) = rest.split_at_checked(at)?;
    let [hour, minute, second] = match numbers(time, ':', [2, 2]) {
        Some([hour, minute]) => [hour, minute, 0],
        None => numbers(time, ':', [2, 2, 2])?,
    };
    let east = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            let ahead = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
            if sign == "+" { ahead } else { -ahead }
        }
    };
    let is_time = hour < 24 && minute < 60 && second < 60;
    let is_day = (1..=12).contains(&month) && (1..=days(year, month)).contains(&day);
    let of_day = (hour * 60 + minute - east) * 60 + second;
    (is_time && is_day).then(|| since_1970(year, month, day) * 86_400 + of_day)
}

/// Numbers of so many digits each, with this between them.
fn numbers<const N: usize>(text: &str, between: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the first of January 1970.
fn since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leaps = before / 4 - before / 100 + before / 400;
    // Those up to the end of 1969.
    let (years, all_leaps) = (year - 1970, leaps - 477);
    let months: i64 = (1..month).map(|month| days(year, month)).sum();
    years * 365 + all_leaps + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::{FORM, parse};

    #[test]
    fn points_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00Z", 0),
            ("1970-01-01T01:00:01+01:00", 1),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-03-01T18:00Z", 1_772_388_000),
            ("2026-03-01 18:00-05:30", 1_772_407_800),
            ("2026-12-31t23:59:59z", 1_798_761_599),
            ("2100-03-01T00:00Z", 4_107_542_400),
        ] {
            assert_eq!(parse(text), Ok(seconds * 1000), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told_the_form() {
        for text in [
            "",
            "tomorrow",
            "18:00",
            "2026-03-01",
            "2026-03-01T18:00",
            "2026-02-29T18:00Z",
            "2026-13-01T18:00Z",
            "2026-03-00T18:00Z",
            "2026-03-01T24:00Z",
            "2026-03-01T18:60Z",
            "2026-03-01T18:00:60Z",
            "2026-03-01T18:00+24:00",
            "2026-03-01T18:00Zulu",
            "2026-3-1T18:00Z",
            "+026-03-01T18:00Z",
            "1969-12-31T23:59Z",
            "2026-03-01T18:00\u{e9}Z",
        ] {
            assert_eq!(parse(text), Err(FORM.to_owned()), "{text}");
        }
    }
}
