//! `history`: the change of driver under way, and those that ended.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bus::Bus;
use crate::ended::Ended;
use crate::properties::Properties;
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::{ABSENT, age, fact, left, span};
use crate::render::table::{Cell, table};

/// All changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct History {
    /// Under way.
    pub change: Option<Change>,
    /// Ended, newest first.
    pub changes: Vec<Past>,
    pub unreadable: BTreeMap<String, String>,
}

/// A change. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    pub number: u64,
    /// Null where it could not be told: then there is no way back.
    pub from: Option<String>,
    pub to: String,
    /// boot, idle, drift or order.
    pub origin: String,
    /// Who ordered it; null where nobody did.
    pub uid: Option<u32>,
    /// refuse, wait or stop.
    pub holders: String,
    pub kernel: Option<String>,
    pub began: u64,
    /// Why it is being taken back; null while it goes forward.
    pub turned: Option<String>,
    /// Until when it must be confirmed; null where that is not awaited.
    pub confirm_by: Option<u64>,
}

/// A change that ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Past {
    #[serde(flatten)]
    pub change: Change,
    pub ended: u64,
    /// done, rolled-back or failed.
    pub outcome: String,
    pub why: Option<String>,
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<History, Ended> {
    let mut node = bus.node().await?;
    let past: Vec<Map<String, Value>> = node.get("history");
    Ok(History {
        change: change(&mut node),
        changes: past.into_iter().map(Past::of).collect(),
        unreadable: node.unreadable(),
    })
}

/// The change under way, from the properties of the node.
pub fn change(node: &mut Properties) -> Option<Change> {
    Change::of(node.get("change"))
}

impl Change {
    /// From what the bus says; none is an empty dictionary, in which nothing is missing.
    pub fn of(values: Map<String, Value>) -> Option<Self> {
        (!values.is_empty()).then(|| Self::there(&mut Properties::new(values)))
    }

    fn there(change: &mut Properties) -> Self {
        Self {
            number: change.get("number"),
            from: change.text("from"),
            to: change.get("to"),
            origin: change.get("origin"),
            uid: change.optional("uid"),
            holders: change.get("holders"),
            kernel: change.text("kernel"),
            began: change.get("began"),
            turned: change.text("turned"),
            confirm_by: change.number("confirm_by", 0),
        }
    }

    /// `9.0.0 → 9.1.0`.
    fn way(&self) -> String {
        format!("{} → {}", self.from.as_deref().unwrap_or(ABSENT), self.to)
    }

    /// Who or what began it.
    fn origin(&self) -> String {
        match self.uid {
            Some(uid) => format!("{} of uid {uid}", self.origin),
            None => self.origin.clone(),
        }
    }

    /// It on a line, what is done just now, and what it waits for.
    pub fn lines(&self, step: Option<&str>, now: u64) -> String {
        let way = Paint::Strong.on(&self.way());
        let (origin, age) = (plain(&self.origin()), age(now, self.began));
        let mut text = format!("{}: {way} ({origin}, {age} ago)\n", self.number);
        if let Some(why) = &self.turned {
            let why = format!("going back to {}: {why}", self.from.as_deref().unwrap_or(ABSENT));
            text += &format!("{}\n", Paint::Warn.on(&why));
        }
        if let Some(step) = step {
            text += &format!("now: {}\n", plain(step));
        }
        if let Some(awaits) = self.awaits(now) {
            text += &format!("{}\n", Paint::Warn.on(&awaits));
        }
        text
    }

    /// How to confirm it; none where that is not awaited.
    pub fn awaits(&self, now: u64) -> Option<String> {
        let until = self.confirm_by?;
        let back = match &self.from {
            Some(from) => format!("{from} comes back"),
            None => "it is taken back".into(),
        };
        Some(if until <= now {
            format!("change {} was not confirmed in time: {back}", self.number)
        } else {
            let left = left(now, until);
            format!(
                "change {} waits to be confirmed: `onloadctl confirm` keeps it, otherwise {back} {left}",
                self.number
            )
        })
    }
}

impl Past {
    fn of(values: Map<String, Value>) -> Self {
        let mut past = Properties::new(values);
        Self {
            change: Change::there(&mut past),
            ended: past.get("ended"),
            outcome: past.get("outcome"),
            why: past.text("why"),
        }
    }

    fn cells(&self, now: u64) -> Vec<Cell> {
        let paint = match self.outcome.as_str() {
            "done" => Paint::Good,
            "rolled-back" => Paint::Warn,
            _ => Paint::Bad,
        };
        vec![
            Cell::number(self.change.number),
            Cell::painted(self.change.way(), Paint::Strong),
            Cell::painted(&self.outcome, paint),
            Cell::number(age(now, self.ended)),
            Cell::number(span(self.ended.saturating_sub(self.change.began))),
            Cell::new(self.change.origin()),
            fact(self.why.as_deref(), "why", &BTreeMap::new()),
        ]
    }
}

impl Page for History {
    fn text(&self, now: u64) -> String {
        let mut text = String::new();
        if let Some(change) = &self.change {
            text += &format!("under way  {}\n", change.lines(None, now));
        }
        if self.changes.is_empty() {
            return text + "no change has ended\n";
        }
        let rows: Vec<_> = self.changes.iter().map(|past| past.cells(now)).collect();
        text + &table(&["NO", "CHANGE", "OUTCOME", "AGE", "TOOK", "BEGUN BY", "WHY"], &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn a_change_that_came_back_says_why() {
        let past = Past {
            change: Change {
                number: 12,
                from: Some("9.0.0".into()),
                to: "9.1.0".into(),
                origin: "order".into(),
                uid: Some(1000),
                began: 1_000,
                ..Change::default()
            },
            ended: 9_000,
            outcome: "rolled-back".into(),
            why: Some("onload is not bound".into()),
        };
        let first = Change { to: "host".into(), origin: "boot".into(), ..Change::default() };
        let first = Past { change: first, outcome: "done".into(), ..Past::default() };
        let under_way = Change {
            number: 13,
            from: Some("9.0.0".into()),
            to: "9.2.0".into(),
            origin: "drift".into(),
            confirm_by: Some(52_000),
            ..Change::default()
        };
        let history =
            History { change: Some(under_way), changes: vec![past, first], ..History::default() };
        assert_eq!(
            without(&history.text(10_000)),
            "\
under way  13: 9.0.0 → 9.2.0 (drift, 10s ago)
change 13 waits to be confirmed: `onloadctl confirm` keeps it, otherwise 9.0.0 comes back in 42s

NO  CHANGE         OUTCOME      AGE  TOOK  BEGUN BY           WHY
12  9.0.0 → 9.1.0  rolled-back   1s    8s  order of uid 1000  onload is not bound
 0  - → host       done         10s    0s  boot               -
"
        );
        assert_eq!(History::default().text(0), "no change has ended\n");
        let late = Change { number: 13, confirm_by: Some(10_000), ..Change::default() };
        let said = "change 13 was not confirmed in time: it is taken back";
        assert_eq!(late.awaits(10_000).as_deref(), Some(said));
    }
}
