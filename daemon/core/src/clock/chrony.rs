//! What chronyd says (`chronyc -c`).

use serde::{Deserialize, Serialize};

use super::kernel::Leap;
use crate::secure_boot::Damaged;

/// Most characters of a name or an address that are kept: those of a host name.
const NAME: usize = 255;
/// Fields of the line (chronyc(1), `tracking`).
const FIELDS: usize = 14;

/// What chronyd says of the system clock (`chronyc -c tracking`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chrony {
    /// Reference id, such as `C0A80001`; `7F7F0101` while it follows itself.
    pub reference_id: String,
    /// Name or address of what it follows; empty where it follows nothing.
    pub source: String,
    /// Stratum; 0 where it is not synchronised.
    pub stratum: u32,
    /// How far the system clock is ahead of true time by its estimate, in nanoseconds.
    pub offset_ns: i64,
    /// Root mean square of the offsets, in nanoseconds.
    pub rms_offset_ns: u64,
    /// Delay to the stratum-1 computer, in nanoseconds.
    pub root_delay_ns: u64,
    /// Dispersion to it, in nanoseconds.
    pub root_dispersion_ns: u64,
    /// A leap second it knows of; none where it is not synchronised.
    pub leap: Option<Leap>,
    /// Sources that it has selected or could combine with those (`*` and `+` of `chronyc -c sources`).
    pub usable_sources: u32,
    /// All its sources.
    pub sources: u32,
}

/// What `chronyc -c -n tracking` wrote: one line.
///
/// # Errors
/// Where it is not what chronyd 4 writes.
pub fn tracking(text: &str) -> Result<Chrony, Damaged> {
    let line = text.lines().next().unwrap_or_default();
    let mut fields = Vec::with_capacity(FIELDS);
    let mut offset = 0;
    for field in line.split(',') {
        fields.push((offset, field));
        offset += field.len() + 1;
    }
    let [id, name, stratum, _, system, _, rms, _, _, _, delay, dispersion, _, leap] = *fields
    else {
        return Err(Damaged {
            offset: line.len(),
            expected: "fourteen fields with commas between",
        });
    };
    let seconds = |(offset, field): (usize, &str)| {
        nanoseconds(field).ok_or(Damaged { offset, expected: "seconds with decimals" })
    };
    let magnitude = |field| seconds(field).map(i64::unsigned_abs);
    let is_id = id.1.len() == 8 && id.1.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(Damaged { offset: id.0, expected: "a reference id of eight digits" });
    }
    let leap = match leap.1 {
        "Normal" => Some(Leap::None),
        "Insert second" => Some(Leap::Insert),
        "Delete second" => Some(Leap::Delete),
        "Not synchronised" => None,
        _ => return Err(Damaged { offset: leap.0, expected: "the state of leap seconds" }),
    };
    Ok(Chrony {
        reference_id: id.1.to_owned(),
        source: name.1.chars().filter(|c| !c.is_control()).take(NAME).collect(),
        stratum: stratum
            .1
            .parse()
            .map_err(|_| Damaged { offset: stratum.0, expected: "a stratum" })?,
        // chronyd tells what it would add to the clock.
        offset_ns: seconds(system)?.saturating_neg(),
        rms_offset_ns: magnitude(rms)?,
        root_delay_ns: magnitude(delay)?,
        root_dispersion_ns: magnitude(dispersion)?,
        leap,
        usable_sources: 0,
        sources: 0,
    })
}

impl Chrony {
    /// The same with what `chronyc -c -n sources` wrote: a line for each.
    #[must_use]
    pub fn with_sources(self, text: &str) -> Self {
        // MODE,STATE,NAME,…
        let states = text.lines().filter_map(|line| {
            let mut fields = line.split(',');
            let mode = fields.next()?;
            matches!(mode, "^" | "=" | "#").then(|| fields.next())?
        });
        let count = |wanted: &dyn Fn(&&str) -> bool| {
            u32::try_from(states.clone().filter(|state| wanted(state)).count()).unwrap_or(u32::MAX)
        };
        Self {
            usable_sources: count(&|state| matches!(*state, "*" | "+")),
            sources: count(&|_| true),
            ..self
        }
    }
}

/// Seconds with decimals as nanoseconds; what is finer is left out.
fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) {
        return None;
    }
    let mut padded: String = decimals.chars().take(9).collect();
    padded.extend(std::iter::repeat_n('0', 9 - padded.len()));
    let value =
        whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(padded.parse().ok()?)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chronyd_writes_is_understood() {
        let line = "C0A80001,192.168.0.1,3,1795302864.432727527,-0.000012345,0.000001,0.000020500,\
                    -12.345,0.001,0.020,0.001200000,0.000300001,64.5,Normal\n";
        let chrony = tracking(line).unwrap().with_sources(
            "^,*,192.168.0.1,2,6,377,12,0.0,0.0,0.0\n^,+,192.168.0.2,2,6,377,1,0,0,0\n\
             ^,?,192.168.0.3,0,6,0,4294967295,0,0,0\n#,x,PHC0,0,4,377,1,0,0,0\nSomething,*\n",
        );
        let expected = Chrony {
            reference_id: "C0A80001".to_owned(),
            source: "192.168.0.1".to_owned(),
            stratum: 3,
            offset_ns: 12_345,
            rms_offset_ns: 20_500,
            root_delay_ns: 1_200_000,
            root_dispersion_ns: 300_001,
            leap: Some(Leap::None),
            usable_sources: 2,
            sources: 4,
        };
        assert_eq!(chrony, expected);
    }

    #[test]
    fn one_that_follows_nobody_is_not_synchronised() {
        let none =
            "00000000,,0,0.000000000,0.000000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised";
        let chrony = tracking(none).unwrap();
        assert_eq!((chrony.leap, chrony.stratum, chrony.source.as_str()), (None, 0, ""));
        assert_eq!(chrony.root_delay_ns, 1_000_000_000);
    }

    #[test]
    fn what_it_does_not_write_is_refused_with_its_place() {
        for odd in [
            "",
            "506 Cannot talk to daemon",
            "C0A80001,a,3,1,0,0,0,0,0,0,0,0,0",
            "C0A80001,a,3,1,0,0,0,0,0,0,0,0,0,Sometimes",
            "C0A8000,a,3,1,0,0,0,0,0,0,0,0,0,Normal",
            "C0A80001,a,three,1,0,0,0,0,0,0,0,0,0,Normal",
            "C0A80001,a,3,1,9e9,0,0,0,0,0,0,0,0,Normal",
            "C0A80001,a,3,1,99999999999,0,0,0,0,0,0,0,0,Normal",
            "C0A80001,a,3,1,-,0,0,0,0,0,0,0,0,Normal",
        ] {
            assert!(tracking(odd).is_err(), "{odd}");
        }
        let refused = tracking("C0A80001,a,three,1,0,0,0,0,0,0,0,0,0,Normal").unwrap_err();
        assert_eq!(refused.offset, 11);
    }

    #[test]
    fn seconds_are_exact() {
        let cases = [
            ("0", Some(0)),
            ("-0.000000001", Some(-1)),
            ("+1.5", Some(1_500_000_000)),
            ("0.0000000019", Some(1)),
            ("", None),
            (".5", None),
            ("1.x", None),
            ("--1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
    }
}
