//! `/metrics`: OpenMetrics text of sfptpd 3.9 and later (reference/sfptpd.md section 6.3).

use std::collections::{BTreeMap, BTreeSet};

use super::bounded;
use super::number::scaled;

/// What the metrics say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Each servo, by its label `sync`: an instance, or a local servo.
    pub servos: BTreeMap<String, Servo>,
    /// `lost_rt`: samples that nobody fetched in time.
    pub lost: Option<u64>,
}

/// What they say of one servo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servo {
    /// `offset_seconds`, in nanoseconds.
    pub offset_ns: Option<i64>,
    /// `freq_adj_ratios`, in parts per billion.
    pub frequency_ppb: Option<i64>,
    /// `owd_seconds`: one-way delay, in nanoseconds.
    pub path_delay_ns: Option<i64>,
    /// `in_sync`.
    pub in_sync: Option<bool>,
    /// `is_disciplining`.
    pub disciplining: Option<bool>,
    /// `alarms`: how many stand.
    pub alarms: Option<u64>,
    /// Names of those that stand, where the option `alarm-stateset` has them told.
    pub alarm_names: BTreeSet<String>,
    /// `last_update_seconds`, in nanoseconds since the epoch: told, and compared with nothing but itself.
    pub last_update_ns: Option<i64>,
}

/// Families that tell what stands before the names of all (`openmetrics_prefix`): no other ends so.
const TELLING: [&str; 3] = ["last_update_seconds", "is_disciplining", "in_sync"];
/// The most lines read: hundreds of servos fit, and a stream that never ends does not.
const LINES: usize = 8192;
/// Powers of ten from seconds to nanoseconds, and from a ratio to parts per billion.
const BILLION: i64 = 9;

/// What the text says. Lines that cannot be read are passed over.
pub fn parse(text: &str) -> Metrics {
    let lines = || text.lines().take(LINES).filter_map(line);
    let before = |(name, ..): (&str, _, _)| {
        TELLING.iter().find_map(|family| name.strip_suffix(family)).map(str::to_owned)
    };
    let prefix = lines().find_map(before).unwrap_or_default();
    let mut metrics = Metrics::default();
    for (name, labels, value) in lines() {
        if let Some(family) = name.strip_prefix(prefix.as_str()) {
            take(&mut metrics, family, &labels, value);
        }
    }
    metrics
}

fn take(metrics: &mut Metrics, family: &str, labels: &BTreeMap<&str, String>, value: &str) {
    if let "lost_rt" | "lost_rt_total" = family {
        metrics.lost = count(value);
        return;
    }
    let known = [
        "offset_seconds",
        "freq_adj_ratios",
        "owd_seconds",
        "in_sync",
        "is_disciplining",
        "alarms",
        "alarm",
        "last_update_seconds",
    ];
    let sync = labels.get("sync").and_then(|sync| bounded::some(sync));
    let (true, Some(sync)) = (known.contains(&family), sync) else { return };
    let servo = metrics.servos.entry(sync).or_default();
    match family {
        "offset_seconds" => servo.offset_ns = scaled(value, BILLION),
        "freq_adj_ratios" => servo.frequency_ppb = scaled(value, BILLION),
        "owd_seconds" => servo.path_delay_ns = scaled(value, BILLION),
        "last_update_seconds" => servo.last_update_ns = scaled(value, BILLION),
        "in_sync" => servo.in_sync = count(value).map(|value| value != 0),
        "is_disciplining" => servo.disciplining = count(value).map(|value| value != 0),
        "alarms" => servo.alarms = count(value),
        // A state set has a line for each alarm there is, with 1 for those that stand.
        _ if count(value) == Some(1) => {
            servo.alarm_names.extend(labels.get("alarm").and_then(|name| bounded::some(name)));
        }
        _ => {}
    }
}

fn count(value: &str) -> Option<u64> {
    scaled(value, 0).and_then(|value| value.try_into().ok())
}

/// Name, labels and value of a line; none for comments and what is no sample.
fn line(line: &str) -> Option<(&str, BTreeMap<&str, String>, &str)> {
    let at = line.find(['{', ' ']).filter(|at| *at > 0 && !line.starts_with('#'))?;
    let (name, rest) = line.split_at(at);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    Some((name, labels, rest.split_whitespace().next()?))
}

/// Labels up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Option<(BTreeMap<&str, String>, &str)> {
    let mut found = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = quoted_text(quoted)?;
        found.insert(name.trim(), value);
        rest = behind;
    }
}

/// A quoted value whose opening quote is gone, and what is behind its closing one.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return Some((value, &text[at + 1..])),
            '\\' if !escaped => escaped = true,
            _ => {
                value.push(if escaped && c == 'n' { '\n' } else { c });
                escaped = false;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r##"# TYPE offset_seconds gauge
# UNIT offset_seconds seconds
# HELP offset_seconds offset from "master"
offset_seconds{sync="ptp1"} -1.2345e-08 1724148000.5
offset_seconds_snapshot{sync="ptp1"} 5
freq_adj_ratios{sync="ptp1"} -2.817062e-06
owd_seconds{sync="ptp1"} 0.0000015345
pterm_ratios{sync="ptp1"} 0.1
in_sync{sync="ptp1"} 1
is_disciplining{sync="ptp1"} 1
alarms{sync="ptp1"} 2
alarmtxt{sync="ptp1",alarmtxt="no-sync-pkts"} 1
alarm{sync="ptp1",alarm="no-sync-pkts"} 1
alarm{alarm="a\"}\\b",sync="ptp1"} 1
alarm{sync="ptp1",alarm="no-follow-ups"} 0
last_update_seconds{sync="ptp1"} 1724148000.123456789
in_sync{sync="servo0"} 0
offset_seconds{sync="servo0"} NaN
lost_rt_total 7
# EOF
"##;

    fn expected() -> Metrics {
        let ptp1 = Servo {
            offset_ns: Some(-12),
            frequency_ppb: Some(-2817),
            path_delay_ns: Some(1535),
            in_sync: Some(true),
            disciplining: Some(true),
            alarms: Some(2),
            alarm_names: ["no-sync-pkts", "a\"}\\b"].map(str::to_owned).into(),
            last_update_ns: Some(1_724_148_000_123_456_789),
        };
        let servo0 = Servo { in_sync: Some(false), ..Servo::default() };
        let servos = [("ptp1".to_owned(), ptp1), ("servo0".to_owned(), servo0)].into();
        Metrics { servos, lost: Some(7) }
    }

    #[test]
    fn families_are_read_with_and_without_a_prefix() {
        assert_eq!(parse(TEXT), expected());
        let prefixed: String = TEXT
            .lines()
            .map(|line| match line.starts_with('#') {
                true => format!("{line}\n"),
                false => format!("site_sfptpd_{line}\n"),
            })
            .collect();
        assert_eq!(parse(&prefixed), expected());
    }

    #[test]
    fn lines_that_cannot_be_read_are_passed_over() {
        for line in [
            "in_sync{sync=\"a\" 1",
            "in_sync{sync=\"a\\",
            "in_sync{sync} 1",
            "in_sync{sync=\"a\"}",
            "{} 1",
            "x",
        ] {
            assert_eq!(parse(line), Metrics::default(), "{line}");
        }
    }
}
