//! Times in certificates.

use std::fmt;

use crate::secure_boot::Damaged;
use crate::secure_boot::der::Der;

/// A second, in UTC. The order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 1950 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl Date {
    /// A time as certificates write it; the kernel takes no other spelling either.
    pub(super) fn read(der: &mut Der<'_>) -> Result<Self, Damaged> {
        const UTC_TIME: u8 = 0x17;
        const GENERALIZED_TIME: u8 = 0x18;
        const EXPECTED: &str = "a time as [YY]YYMMDDHHMMSSZ";
        let element = der.any(EXPECTED)?;
        let damaged = element.content.damaged(EXPECTED);
        let Some((b'Z', digits)) = element.content.bytes().split_last() else {
            return Err(damaged);
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(damaged);
        }
        let pairs: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |number, digit| number * 10 + (digit & 0xf)))
            .collect();
        let (year, rest) = match (element.tag, pairs.as_slice()) {
            // Two digits are of the century from 1950 on (RFC 5280 section 4.1.2.5.1).
            (UTC_TIME, [year, rest @ ..]) => {
                (if *year >= 50 { 1900 } else { 2000 } + u16::from(*year), rest)
            }
            (GENERALIZED_TIME, [century, year, rest @ ..]) => {
                (u16::from(*century) * 100 + u16::from(*year), rest)
            }
            _ => return Err(element.damaged(EXPECTED)),
        };
        let [month, day, hour, minute, second] = *rest else { return Err(damaged) };
        if !digits.len().is_multiple_of(2) {
            return Err(damaged);
        }
        let date = Self { year, month, day, hour, minute, second };
        if date.exists() { Ok(date) } else { Err(element.content.damaged("a time that exists")) }
    }

    fn exists(self) -> bool {
        let leap = self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return false,
        };
        self.year >= 1950
            && (1..=days).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Result<String, usize> {
        let length = u8::try_from(text.len()).unwrap();
        let bytes = [&[tag, length], text.as_bytes()].concat();
        Date::read(&mut Der::new(&bytes))
            .map(|date| date.to_string())
            .map_err(|damaged| damaged.offset)
    }

    #[test]
    fn centuries_follow_from_the_spelling() {
        assert_eq!(read(0x17, "491231235959Z").as_deref(), Ok("2049-12-31 23:59:59Z"));
        assert_eq!(read(0x17, "500101000000Z").as_deref(), Ok("1950-01-01 00:00:00Z"));
        assert_eq!(read(0x18, "99991231235959Z").as_deref(), Ok("9999-12-31 23:59:59Z"));
        assert_eq!(read(0x18, "20000229000000Z").as_deref(), Ok("2000-02-29 00:00:00Z"));
    }

    #[test]
    fn other_spellings_and_days_that_were_not_are_refused() {
        for (tag, text) in [
            (0x17, ""),
            (0x17, "4912312359Z"),
            (0x17, "491231235959"),
            (0x17, "4912312359590Z"),
            (0x17, "49123123595a0Z"),
            (0x17, "491231235959+0100"),
            (0x17, "20491231235959Z"),
            (0x17, "491331235959Z"),
            (0x17, "490229000000Z"),
            (0x17, "491231240000Z"),
            (0x17, "491200000000Z"),
            (0x18, "19000229000000Z"),
            (0x18, "21000229000000Z"),
            (0x18, "491231235959Z"),
        ] {
            assert_eq!(read(tag, text), Err(2), "{text}");
        }
        assert_eq!(read(0x16, "491231235959Z"), Err(0), "another type");
    }
}
