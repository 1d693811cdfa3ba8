//! Clocks and all that is said of them, as the bus has it.

use std::collections::BTreeMap;

use onload_dbus::path::Kind;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::bus::{Bus, Objects, Subject, of_kind};
use crate::ended::Ended;
use crate::properties::Properties;
use crate::render::paint::Paint;
use crate::render::phrase::natural;

/// Name of the system clock.
pub const SYSTEM: &str = "system";

/// What stands for no number (`dbus/com.amd.Onload1.xml`).
const NONE: i64 = i64::MIN;

/// A clock. Absent is null; so is what could not be read, and then `unreadable` says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Clock {
    /// system, ptp0 and so on.
    pub name: String,
    pub device: Option<String>,
    pub driver_name: Option<String>,
    /// Those whose clock it is.
    pub interfaces: Vec<String>,
    /// yes, no or unknown.
    pub synchronised: String,
    /// Since when, in milliseconds since 1970 UTC.
    pub since: u64,
    /// good, bad, free or unknown: what the last look alone says.
    pub standing: String,
    /// Why, as one CamelCase word.
    pub reason: Option<String>,
    pub message: Option<String>,
    pub steered_by: Option<Steerer>,
    pub source: Option<String>,
    pub grandmaster: Option<String>,
    /// How far it is ahead of its source.
    pub offset_ns: Option<i64>,
    pub path_delay_ns: Option<i64>,
    pub frequency_ppb: Option<i64>,
    pub alarms: Vec<String>,
    pub ahead_of_system_ns: Option<i64>,
    /// none, insert or delete; null for others than the system clock.
    pub leap: Option<String>,
    pub unreadable: BTreeMap<String, String>,
}

/// Who steers a clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Steerer {
    /// sfptpd, chronyd, ntpd, systemd-timesyncd, ptp4l, phc2sys or ts2phc.
    pub kind: String,
    pub pid: u32,
    pub unit: Option<String>,
    pub container: Option<String>,
}

/// What fights over a clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conflict {
    /// One CamelCase word.
    pub kind: String,
    pub clock: String,
    pub message: String,
    pub fix: String,
    /// Whether sfptpd is not started while it is so.
    pub bars_start: bool,
    /// Those that end it when they are stopped.
    pub units: Vec<String>,
}

/// How sfptpd is looked after.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Supervision {
    /// True, False or Unknown.
    pub status: String,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub unit: Option<String>,
    pub version: Option<String>,
    /// By systemd of its own accord.
    pub restarts: u32,
    /// Restarts by onloadd because it hung.
    pub hangs: u32,
}

/// The last order about who has the system clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Handover {
    /// sfptpd or former.
    pub to: String,
    /// Those that were stopped for it.
    pub units: Vec<String>,
    pub uid: u32,
    /// When, in milliseconds since 1970 UTC.
    pub at: u64,
}

/// A time without a synchronised system clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outage {
    /// Milliseconds since 1970 UTC.
    pub began: u64,
    /// How long it took, in milliseconds; null while it lasts.
    pub took: Option<u64>,
    /// Number of the change of drivers it came with.
    pub change: Option<u64>,
    /// What it began with.
    pub reason: String,
}

/// What the node says of all clocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Kept {
    /// off, observe or manage; null where this daemon does not say.
    pub mode: Option<String>,
    /// The system clock first.
    pub clocks: Vec<Clock>,
    pub conflicts: Vec<Conflict>,
    pub supervision: Supervision,
    pub handover: Option<Handover>,
    /// Newest first.
    pub outages: Vec<Outage>,
    pub unreadable: BTreeMap<String, String>,
}

/// Reads it.
pub async fn read(bus: &Bus) -> Result<Kept, Ended> {
    Ok(Kept::of(bus.objects().await?))
}

/// All clocks among the objects, the system clock first.
pub fn of(objects: &mut Objects) -> Vec<Clock> {
    let mut clocks: Vec<_> = of_kind(objects, Kind::Clock).into_iter().map(Clock::of).collect();
    clocks.sort_by(|a, b| {
        (a.name != SYSTEM).cmp(&(b.name != SYSTEM)).then_with(|| natural(&a.name, &b.name))
    });
    clocks
}

impl Kept {
    fn of(mut objects: Objects) -> Self {
        let clocks = of(&mut objects);
        let mut node = Properties::new(objects.remove(&Subject::Node).unwrap_or_default());
        let conflicts: Vec<Map<String, Value>> = node.get("clock_conflicts");
        let seen: Map<String, Value> = node.get("clock_supervision");
        let order: Map<String, Value> = node.get("clock_handover");
        let outages: Vec<(u64, i64, u64, String)> = node.get("clock_outages");
        let outage = |(began, took, change, reason): (u64, i64, u64, String)| Outage {
            began,
            took: u64::try_from(took).ok(),
            change: Some(change).filter(|number| *number > 0),
            reason,
        };
        let names = ["clock_conflicts", "clock_supervision", "clock_handover", "clock_outages"];
        let mut gaps = node.unreadable();
        gaps.retain(|name, _| names.contains(&name.as_str()));
        let mut seen = Properties::new(seen);
        Self {
            mode: seen.optional("mode"),
            clocks,
            conflicts: conflicts.into_iter().map(Conflict::of).collect(),
            supervision: Supervision::of(seen),
            handover: Handover::of(order),
            outages: outages.into_iter().rev().map(outage).collect(),
            unreadable: gaps,
        }
    }

    /// The system clock, where it is looked at.
    pub fn system(&self) -> Option<&Clock> {
        self.clocks.iter().find(|clock| clock.name == SYSTEM)
    }
}

impl Clock {
    /// From its properties.
    pub fn of(mut clock: Properties) -> Self {
        let by: Map<String, Value> = clock.get("steered_by");
        Self {
            name: clock.get("name"),
            device: clock.text("device"),
            driver_name: clock.text("driver_name"),
            interfaces: clock.get("interfaces"),
            synchronised: clock.get("synchronised"),
            since: clock.get("since"),
            standing: clock.get("standing"),
            reason: clock.text("reason"),
            message: clock.text("message"),
            steered_by: Steerer::of(by),
            source: clock.text("source"),
            grandmaster: clock.text("grandmaster"),
            offset_ns: clock.number("offset", NONE),
            path_delay_ns: clock.number("path_delay", NONE),
            frequency_ppb: clock.number("frequency", NONE),
            alarms: clock.get("alarms"),
            ahead_of_system_ns: clock.number("ahead_of_system", NONE),
            leap: clock.text("leap"),
            unreadable: clock.unreadable(),
        }
    }

    /// Whether it counts as synchronised.
    pub fn is_synchronised(&self) -> bool {
        self.synchronised == "yes"
    }

    /// How it stands, in a word or two.
    pub fn state(&self) -> (&'static str, Paint) {
        match (self.synchronised.as_str(), self.standing.as_str()) {
            ("yes", "good") => ("synchronised", Paint::Good),
            // It was until just now, and may be again at the next look.
            ("yes", _) => ("synchronised", Paint::Warn),
            ("no", "free") => ("free-running", Paint::Warn),
            ("no", "good") => ("settling", Paint::Warn),
            ("no", _) => ("not synchronised", Paint::Bad),
            (_, _) => ("not known", Paint::Warn),
        }
    }
}

impl Steerer {
    fn of(values: Map<String, Value>) -> Option<Self> {
        // Nobody is an empty dictionary, in which nothing is missing.
        (!values.is_empty()).then(|| {
            let mut by = Properties::new(values);
            Self {
                kind: by.get("kind"),
                pid: by.get("pid"),
                unit: by.optional("unit"),
                container: by.optional("container"),
            }
        })
    }

    /// `sfptpd (sfptpd.service)`: with the group it belongs to, or its process.
    pub fn whole(&self) -> String {
        let group = self.container.as_ref().map(|id| format!("container {id}"));
        let group = group.or_else(|| self.unit.clone());
        format!("{} ({})", self.kind, group.unwrap_or_else(|| format!("process {}", self.pid)))
    }
}

impl Conflict {
    fn of(values: Map<String, Value>) -> Self {
        let mut one = Properties::new(values);
        Self {
            kind: one.get("kind"),
            clock: one.get("clock"),
            message: one.get("message"),
            fix: one.get("fix"),
            bars_start: one.get("bars_start"),
            units: one.get("units"),
        }
    }
}

impl Supervision {
    fn of(mut seen: Properties) -> Self {
        Self {
            status: seen.get("status"),
            reason: seen.text("reason"),
            message: seen.text("message"),
            unit: seen.text("unit"),
            version: seen.text("version"),
            restarts: seen.get("restarts"),
            hangs: seen.get("hangs"),
        }
    }
}

impl Handover {
    fn of(values: Map<String, Value>) -> Option<Self> {
        (!values.is_empty()).then(|| {
            let mut order = Properties::new(values);
            Self {
                to: order.get("to"),
                units: order.get("units"),
                uid: order.get("uid"),
                at: order.get("at"),
            }
        })
    }
}

#[cfg(test)]
pub(super) mod sample;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_system_clock_comes_first_and_gaps_stay_gaps() {
        let clock = |name: &str, offset: i64| {
            let values = json!({
                "name": name, "device": "", "synchronised": "no", "offset": offset, "steered_by": {},
                "unreadable": {"AheadOfSystem": "EPERM"}
            });
            (Subject::Object(Kind::Clock, name.to_owned()), map(values))
        };
        let node = json!({
            "clock_supervision": {"mode": "observe", "status": "Unknown"},
            "clock_conflicts": [], "clock_handover": {},
            "clock_outages": [[5, 1000, 0, "Free"], [9, -1, 3, "Alarms"]]
        });
        let clocks = [clock("ptp10", NONE), clock("system", 0), clock("ptp9", -1)];
        let mut objects = Objects::from(clocks);
        objects.insert(Subject::Node, map(node));
        let kept = Kept::of(objects);
        let names: Vec<_> = kept.clocks.iter().map(|clock| clock.name.as_str()).collect();
        assert_eq!(names, ["system", "ptp9", "ptp10"]);
        let offsets: Vec<_> = kept.clocks.iter().map(|clock| clock.offset_ns).collect();
        assert_eq!(offsets, [Some(0), Some(-1), None]);
        assert_eq!(kept.clocks[0].unreadable["ahead_of_system"], "EPERM");
        assert_eq!((kept.mode.as_deref(), &kept.handover), (Some("observe"), &None));
        let outage = |began, took, change, reason: &str| Outage {
            began,
            took,
            change,
            reason: reason.to_owned(),
        };
        let newest_first =
            [outage(9, None, Some(3), "Alarms"), outage(5, Some(1000), None, "Free")];
        assert_eq!(kept.outages, newest_first);
        assert!(kept.unreadable.is_empty(), "{:?}", kept.unreadable);
    }

    #[test]
    fn a_daemon_that_says_nothing_of_clocks_is_told_from_one_without() {
        let objects = Objects::from([(Subject::Node, map(json!({"state": "ready"})))]);
        let kept = Kept::of(objects);
        assert_eq!((kept.mode, kept.clocks.len(), kept.unreadable.len()), (None, 0, 4));
    }
}
