//! Lines of statistics: as text, as JSON and as metrics (reference/sfptpd.md section 6).

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::SystemTime;

use super::engine::{GRANDMASTER, PARENT};

/// How many lines are kept for those who ask (`openmetrics_rt_stats_buf`).
pub(super) const KEPT: usize = 256;
/// Units of a second and of a whole, in those that samples have.
const NANOS: f64 = 1e9;

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) instance: String,
    pub(super) time: SystemTime,
    pub(super) master: String,
    pub(super) master_interface: Option<String>,
    pub(super) slave: String,
    pub(super) slave_short: String,
    pub(super) slave_interface: Option<String>,
    pub(super) disciplining: bool,
    pub(super) blocked: bool,
    pub(super) in_sync: bool,
    pub(super) alarms: BTreeSet<String>,
    /// In nanoseconds.
    pub(super) offset: f64,
    /// In parts per billion.
    pub(super) frequency: f64,
    /// In nanoseconds.
    pub(super) delay: Option<f64>,
    /// Whether it comes over a network, from a grandmaster.
    pub(super) network: bool,
}

/// Lines that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Kept {
    lines: VecDeque<Sample>,
    pub(super) lost: u64,
}

impl Kept {
    /// Adds a line; the oldest goes when there is no more room.
    pub(super) fn push(&mut self, sample: Sample) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
            self.lost += 1;
        }
        self.lines.push_back(sample);
    }

    /// All, each by `render`.
    pub(super) fn render(&self, render: impl Fn(&Sample) -> String) -> String {
        self.lines.iter().map(render).collect()
    }

    /// Somebody has taken all of them but so many.
    pub(super) fn taken_but(&mut self, left: usize) {
        while self.lines.len() > left {
            self.lines.pop_front();
        }
        self.lost = 0;
    }

    /// As OpenMetrics. What is not measured is that of the newest line only, as in the real one.
    pub(super) fn metrics(&self, prefix: &str) -> String {
        let mut text = String::new();
        let families = [
            ("offset_seconds", "offset from master"),
            ("freq_adj_ratios", "frequency adjustment"),
            ("owd_seconds", "one way delay"),
            ("last_update_seconds", "time sfptpd recorded rt stat"),
            ("in_sync", "0 = not in sync, 1 = in sync"),
            ("is_disciplining", "0 = comparing, 1 = disciplining"),
            ("alarms", "number of alarms"),
        ];
        for (family, help) in families {
            let _ = writeln!(text, "# TYPE {prefix}{family} gauge\n# HELP {prefix}{family} {help}");
        }
        if let Some(newest) = self.lines.back() {
            let sync = &newest.instance;
            let alarms = words(&newest.alarms);
            let flags = [
                ("alarms", newest.alarms.len()),
                ("in_sync", usize::from(newest.in_sync)),
                ("is_disciplining", usize::from(newest.disciplining)),
            ];
            let _ = writeln!(text, "{prefix}alarmtxt{{sync=\"{sync}\",alarms=\"{alarms}\"}} 1");
            for (name, value) in flags {
                let _ = writeln!(text, "{prefix}{name}{{sync=\"{sync}\"}} {value}");
            }
            let time = seconds(newest.time);
            let _ = writeln!(text, "{prefix}last_update_seconds{{sync=\"{sync}\"}} {time}");
            let _ = writeln!(text, "{prefix}lost_rt {}", self.lost);
        }
        for line in &self.lines {
            let (sync, time) = (&line.instance, seconds(line.time));
            let mut measured = |name: &str, value: f64| {
                let _ = writeln!(text, "{prefix}{name}{{sync=\"{sync}\"}} {value:.12} {time}");
            };
            measured("offset_seconds", line.offset / NANOS);
            measured("freq_adj_ratios", line.frequency);
            if let Some(delay) = line.delay {
                measured("owd_seconds", delay / NANOS);
            }
        }
        text + "# EOF\n"
    }
}

impl Sample {
    /// A line of `stats_log`.
    pub(super) fn text(&self) -> String {
        let arrow = match (self.blocked, self.disciplining) {
            (true, _) => "-#",
            (false, true) => "->",
            (false, false) => "--",
        };
        let (time, instance) = (stamp(self.time, 6), &self.instance);
        let slave = match (self.network, &self.slave_interface) {
            (true, Some(interface)) => format!("{}({interface})", self.slave_short),
            _ => self.slave.clone(),
        };
        let mut line = format!(
            "{time} [{instance}:{}{arrow}{slave}], offset: {:.6}, freq-adj: {:.6}, in-sync: {}",
            self.master,
            self.offset,
            self.frequency,
            u8::from(self.in_sync)
        );
        if let Some(delay) = self.delay {
            let _ = write!(line, ", one-way-delay: {delay:.6}");
        }
        if self.network {
            let _ = write!(line, ", parent-id: {PARENT}, gm-id: {GRANDMASTER}");
        }
        line + "\n"
    }

    /// A line of `json_stats`.
    pub(super) fn json(&self) -> String {
        let clock = |name: &str, interface: &Option<String>| {
            let mut clock = serde_json::json!({ "name": name, "time": stamp(self.time, 9) });
            if let Some(interface) = interface {
                clock["primary-interface"] = interface.as_str().into();
            }
            clock
        };
        let mut statistics =
            serde_json::json!({ "offset": self.offset, "freq-adj": self.frequency });
        if let Some(delay) = self.delay {
            statistics["one-way-delay"] = delay.into();
        }
        if self.network {
            statistics["parent-id"] = PARENT.into();
            statistics["gm-id"] = GRANDMASTER.into();
            statistics["active-interface"] = self.slave_interface.clone().into();
        } else {
            statistics["p-term"] = 0.0.into();
            statistics["i-term"] = self.frequency.into();
        }
        let line = serde_json::json!({
            "instance": self.instance,
            "time": stamp(self.time, 6),
            "clock-master": clock(&self.master, &self.master_interface),
            "clock-slave": clock(&self.slave, &self.slave_interface),
            "is-disciplining": self.disciplining,
            "in-sync": self.in_sync,
            "alarms": self.alarms,
            "stats": statistics,
        });
        line.to_string() + "\n"
    }
}

/// Words as it lists them.
pub(super) fn words(all: &BTreeSet<String>) -> String {
    match all.len() {
        0 => "none".to_owned(),
        _ => all.iter().map(|word| format!("{word} ")).collect(),
    }
}

fn seconds(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

/// A time of day with so many digits of its second.
pub(super) fn stamp(time: SystemTime, digits: usize) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction: String = format!("{:09}", since.subsec_nanos()).chars().take(digits).collect();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction}")
}

/// The date so many days after the first of January 1970: years are counted from a first of March, so
/// that the day that leap years have more is the last.
fn date(days: u64) -> (u64, u64, u64) {
    const FROM_YEAR_0: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days + FROM_YEAR_0;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_as_people_write_them() {
        let at = |secs| stamp(SystemTime::UNIX_EPOCH + Duration::from_secs(secs), 6);
        assert_eq!(at(0), "1970-01-01 00:00:00.000000");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59.000000");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00.000000");
        assert_eq!(at(1_767_225_599), "2025-12-31 23:59:59.000000");
    }
}
