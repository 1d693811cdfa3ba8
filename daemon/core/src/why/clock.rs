//! Why the system clock counts as synchronised, or not.

use super::Explanation;
use crate::clock::picture::ClockPicture;
use crate::clock::verdict::{Steerer, Verdict};
use crate::condition::Status;
use crate::config::ClockMode;
use crate::picture::Picture;

/// The subject.
pub(super) const CLOCK: &str = "clock";

pub(super) fn explain(picture: &Picture) -> Explanation {
    let clocks = &picture.clocks;
    let Some(system) = clocks.clocks.get("system") else {
        let why = match clocks.mode {
            ClockMode::Off => "clocks are left alone (`mode = \"off\"` in [ptp])",
            ClockMode::Observe | ClockMode::Manage => "clocks were not looked at, or cannot be",
        };
        return Explanation::new(CLOCK, why);
    };
    let ClockPicture { verdict, synchronised, .. } = system;
    let decision = match synchronised {
        Status::True => "the system clock is synchronised".to_owned(),
        Status::False => format!("the system clock is not synchronised: {}", verdict.message),
        Status::Unknown => {
            format!("whether the system clock is synchronised cannot be told: {}", verdict.message)
        }
    };
    let mut told = Explanation::new(CLOCK, decision);
    let Verdict { steered_by, source, grandmaster, offset_ns, alarms, .. } = verdict;
    let unit = |steerer: &Steerer| {
        let unit = steerer.unit.as_ref().map(|unit| format!(", {unit}")).unwrap_or_default();
        format!("{} (pid {}{unit})", steerer.kind, steerer.pid)
    };
    told.input("steered by", steered_by.as_ref().map_or_else(|| "nobody".to_owned(), unit));
    for (name, value) in [("source", source), ("grandmaster", grandmaster)] {
        if !value.is_empty() {
            told.input(name, value);
        }
    }
    if let Some(offset) = offset_ns {
        told.input("offset", format!("{offset} ns"));
    }
    if !alarms.is_empty() {
        told.input("alarms", alarms.join(", "));
    }
    let supervision = &clocks.supervision;
    if clocks.mode == ClockMode::Manage {
        let message = Some(&supervision.message).filter(|message| !message.is_empty());
        let message = message.map(|message| format!(": {message}")).unwrap_or_default();
        told.input("sfptpd", format!("{}{message}", supervision.reason));
    }
    for conflict in &clocks.conflicts {
        told.input("conflict", &conflict.message);
        told.would_change.push(conflict.fix.clone());
    }
    told
}
