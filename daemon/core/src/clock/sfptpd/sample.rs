//! Lines of statistics: JSON, one object each (reference/sfptpd.md section 6.2), or the log for people
//! (section 6.1).

use std::borrow::Cow;

use serde::Deserialize;

use super::number::scaled;
use super::{Sample, bounded};

/// The longest line read; those that sfptpd writes have some five hundred bytes.
const LONGEST: usize = 16 * 1024;

/// Why a line gives no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of statistics cannot be read: {what}")]
pub struct Damaged {
    /// What is wrong with it.
    pub what: &'static str,
}

const LONG: Damaged = Damaged { what: "it is too long" };
const NOT_JSON: Damaged = Damaged { what: "it is not the JSON that sfptpd writes" };
const NO_CLOCK: Damaged = Damaged { what: "it names no clock" };
const NOT_LOG: Damaged =
    Damaged { what: "it is not `TIME [INSTANCE:MASTER->SLAVE], in-sync: …`" };

/// What a sample is kept by: of each servo and each clock, the newest counts.
pub fn key(sample: &Sample) -> String {
    format!("{}->{}", sample.instance, sample.slave)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    #[serde(default, borrow)]
    instance: Cow<'a, str>,
    #[serde(default, borrow)]
    time: Cow<'a, str>,
    #[serde(default, borrow)]
    clock_master: Clock<'a>,
    #[serde(default, borrow)]
    clock_slave: Clock<'a>,
    #[serde(default)]
    is_disciplining: bool,
    #[serde(default)]
    in_sync: bool,
    #[serde(default, borrow)]
    alarms: Vec<Cow<'a, str>>,
    #[serde(default, borrow)]
    stats: Stats<'a>,
}

#[derive(Default, Deserialize)]
struct Clock<'a> {
    #[serde(default, borrow)]
    name: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Stats<'a> {
    offset: Option<f64>,
    freq_adj: Option<f64>,
    one_way_delay: Option<f64>,
    #[serde(borrow)]
    gm_id: Option<Cow<'a, str>>,
}

/// A line of JSON, with or without the record separator of RFC 7464 before it.
///
/// # Errors
/// When it is none of sfptpd's, cut off, or names no clock that it is of.
pub fn json(line: &str) -> Result<Sample, Damaged> {
    let line = line.trim_matches(|c: char| c == '\u{1e}' || c.is_whitespace());
    if line.len() > LONGEST {
        return Err(LONG);
    }
    match serde_json::from_str(line) {
        Ok(read) => of(read),
        Err(_) => {
            let mended = numbered(line).ok_or(NOT_JSON)?;
            of(serde_json::from_str(&mended).map_err(|_| NOT_JSON)?)
        }
    }
}

fn of(read: Line<'_>) -> Result<Sample, Damaged> {
    let slave = bounded::some(&read.clock_slave.name).ok_or(NO_CLOCK)?;
    // Rounding and the conversion to an integer hold to its bounds; there is no NaN in JSON.
    let rounded = |value: Option<f64>| value.map(|value| value.round() as i64);
    Ok(Sample {
        instance: bounded::some(&read.instance).unwrap_or_else(|| slave.clone()),
        time: bounded::word(&read.time),
        master: bounded::word(&read.clock_master.name),
        slave,
        disciplining: read.is_disciplining,
        in_sync: read.in_sync,
        alarms: bounded::words(&read.alarms.join(",")),
        offset_ns: rounded(read.stats.offset),
        frequency_ppb: rounded(read.stats.freq_adj),
        path_delay_ns: rounded(read.stats.one_way_delay),
        grandmaster: read.stats.gm_id.as_deref().and_then(bounded::some),
    })
}

/// The line with `null` for the values that are no numbers, which C prints and JSON has not; none where
/// there are no such. Alarms that come with them must not be lost.
fn numbered(line: &str) -> Option<String> {
    const NOT: [&str; 4] = [":-nan", ":nan", ":-inf", ":inf"];
    let mut mended = line.to_owned();
    for not in NOT {
        for end in [',', '}'] {
            mended = mended.replace(&format!("{not}{end}"), &format!(":null{end}"));
        }
    }
    (mended != line).then_some(mended)
}

/// A line of the log for people. It has no alarms.
///
/// # Errors
/// When it is none of sfptpd's, or cut off before `in-sync`.
pub fn text(line: &str) -> Result<Sample, Damaged> {
    let line = line.trim();
    if line.len() > LONGEST {
        return Err(LONG);
    }
    let (time, rest) = line.split_once('[').ok_or(NOT_LOG)?;
    let (servo, values) = rest.split_once("],").ok_or(NOT_LOG)?;
    let (from, slave, disciplining) = arrow(servo).ok_or(NOT_LOG)?;
    let slave = bounded::some(slave).ok_or(NO_CLOCK)?;
    let (instance, master) = from.split_once(':').unwrap_or(("", from));
    let mut sample = Sample {
        instance: bounded::some(instance).unwrap_or_else(|| slave.clone()),
        time: bounded::word(time),
        master: bounded::word(master),
        slave,
        disciplining,
        ..Sample::default()
    };
    let mut in_sync = None;
    for (key, value) in values.split(", ").filter_map(|value| value.split_once(':')) {
        match key.trim() {
            "offset" => sample.offset_ns = scaled(value, 0),
            "freq-adj" => sample.frequency_ppb = scaled(value, 0),
            "one-way-delay" => sample.path_delay_ns = scaled(value, 0),
            "gm-id" => sample.grandmaster = bounded::some(value),
            "in-sync" => in_sync = bounded::flag(value),
            _ => {}
        }
    }
    sample.in_sync = in_sync.ok_or(NOT_LOG)?;
    Ok(sample)
}

/// Both sides of the arrow, and whether the right one is steered: `--` compares, `-#` is blocked.
fn arrow(servo: &str) -> Option<(&str, &str, bool)> {
    let arrows = [("->", true), ("-#", false), ("--", false)];
    arrows
        .into_iter()
        .find_map(|(arrow, steers)| servo.split_once(arrow).map(|(from, to)| (from, to, steers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"instance":"ptp1","time":"2026-08-20 10:00:00.000000","clock-master":{"name":"gm","time":"2026-08-20 10:00:37.000000000"},"clock-slave":{"name":"phc0(ens1f0)","time":"2026-08-20 10:00:37.000000012","primary-interface":"ens1f0"},"is-disciplining":true,"in-sync":true,"alarms":["no-sync-pkts","caps-mismatch "],"stats":{"offset":-12.345,"freq-adj":-2817.062,"one-way-delay":1534.5,"parent-id":"000f:53ff:fe00:0002","gm-id":"000f:53ff:fe00:0003","active-interface":"ens1f0","bond-interface":"bond0","pps-offset":0.0,"pps-bad-periods":0,"pps-overflows":0,"p-term":0.1,"i-term":-0.2}}"#;

    fn expected() -> Sample {
        Sample {
            instance: "ptp1".to_owned(),
            time: "2026-08-20 10:00:00.000000".to_owned(),
            master: "gm".to_owned(),
            slave: "phc0(ens1f0)".to_owned(),
            disciplining: true,
            in_sync: true,
            alarms: ["caps-mismatch", "no-sync-pkts"].map(str::to_owned).into(),
            offset_ns: Some(-12),
            frequency_ppb: Some(-2817),
            path_delay_ns: Some(1535),
            grandmaster: Some("000f:53ff:fe00:0003".to_owned()),
        }
    }

    #[test]
    fn lines_of_json() {
        assert_eq!(json(JSON), Ok(expected()));
        assert_eq!(json(&format!("\u{1e}{JSON}\n")), Ok(expected()), "RFC 7464");
        assert_eq!(key(&expected()), "ptp1->phc0(ens1f0)");
        let servo = json(r#"{"instance":"","clock-slave":{"name":"system"},"stats":{}}"#).unwrap();
        assert_eq!((servo.instance.as_str(), servo.offset_ns), ("system", None));
    }

    #[test]
    fn values_that_are_no_numbers_lose_nothing_else() {
        let line = JSON.replace("-12.345", "-nan").replace("-0.2", "inf");
        assert_eq!(json(&line), Ok(Sample { offset_ns: None, ..expected() }));
        let line = JSON.replace("-12.345", "1e300");
        assert_eq!(json(&line).unwrap().offset_ns, Some(i64::MAX));
    }

    #[test]
    fn lines_that_are_none_are_refused() {
        for line in ["", "{}", "[]", "null", "{\"instance\":1}", &JSON[..JSON.len() - 1]] {
            assert!(json(line).is_err(), "{line}");
        }
        assert_eq!(json(&" x".repeat(LONGEST)), Err(LONG));
        let cut = "2026-08-20 10:00:00.000000 [ptp1:gm->phc0(ens1f0)], offset: -12.345, freq-a";
        for line in ["", "no", "[", "[a->b]", "[a->], in-sync: 1", "[ab], in-sync: 1", cut] {
            assert!(text(line).is_err(), "{line}");
        }
    }

    #[test]
    fn lines_for_people() {
        let line = "2026-08-20 10:00:00.000000 [ptp1:gm->phc0(ens1f0)], offset: -12.345, freq-adj: -2817.062, in-sync: 1, one-way-delay: 1534.500, gm-id: 000f:53ff:fe00:0003";
        assert_eq!(text(line), Ok(Sample { alarms: [].into(), ..expected() }));
        let blocked = text("10:00:00 [phc0-#system], offset: 3, in-sync: 0").unwrap();
        assert_eq!((blocked.instance.as_str(), blocked.master.as_str()), ("system", "phc0"));
        assert!(!blocked.disciplining && !blocked.in_sync);
        let compared = text("10:00:00 [crny0:chrony--system], offset: 3, in-sync: 0").unwrap();
        assert_eq!((compared.instance.as_str(), compared.disciplining), ("crny0", false));
    }
}
