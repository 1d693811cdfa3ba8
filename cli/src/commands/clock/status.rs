//! `clock status`: whether time is kept, in a line; then each clock, and what is to be done.

use serde::Serialize;

use super::kept::{self, Clock, Handover, Kept, Outage, Supervision};
use super::quantity::{ahead, frequency, signed, time};
use super::remedy::to_do;
use crate::bus::Bus;
use crate::commands::status::Blocker;
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::{ABSENT, UNREADABLE, age, count, fact, span};
use crate::render::table::{Cell, table};

/// Outages shown; `--json` has all that are remembered.
const OUTAGES: usize = 3;

/// All that is said of clocks, and what is to be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    #[serde(flatten)]
    pub kept: Kept,
    /// What is not as it should be.
    pub to_do: Vec<Blocker>,
}

/// Reads it.
pub async fn read(bus: &Bus) -> Result<Status, Ended> {
    Ok(Status::of(kept::read(bus).await?))
}

impl Status {
    fn of(kept: Kept) -> Self {
        Self { to_do: to_do(&kept), kept }
    }

    /// Whether the system clock is synchronised, as far as anybody knows.
    pub fn is_synchronised(&self) -> bool {
        self.kept.system().is_some_and(Clock::is_synchronised)
    }

    fn facts(&self, now: u64) -> String {
        let kept = &self.kept;
        let row = |label: &str, cell: Cell| vec![Cell::painted(label, Paint::Dim), cell];
        let mut rows = Vec::new();
        let grandmasters = named(&kept.clocks, |clock| clock.grandmaster.clone());
        if !grandmasters.is_empty() {
            rows.push(row("grandmaster", Cell::new(grandmasters)));
        }
        let alarms =
            named(&kept.clocks, |clock| (!clock.alarms.is_empty()).then(|| clock.alarms.join(" ")));
        rows.push(row(
            "alarms",
            match alarms.is_empty() {
                true => Cell::painted("none", Paint::Dim),
                false => Cell::painted(alarms, Paint::Bad),
            },
        ));
        if let Some(leap) = kept.system().and_then(Clock::leap_second) {
            rows.push(row("leap second", Cell::painted(leap, Paint::Warn)));
        }
        rows.push(row("supervision", kept.supervision.cell(kept.mode.as_deref())));
        if let Some(order) = &kept.handover {
            rows.push(row("hand-over", Cell::new(order.said(now))));
        }
        if !kept.conflicts.is_empty() {
            let said = format!("{}, below", count(kept.conflicts.len(), "conflict"));
            rows.push(row("conflicts", Cell::painted(said, Paint::Warn)));
        }
        rows.extend(
            outages(&kept.outages, now)
                .into_iter()
                .enumerate()
                .map(|(at, cell)| row(if at == 0 { "outages" } else { "" }, cell)),
        );
        let mut text = table(&[], &rows);
        for (what, why) in &kept.unreadable {
            text += &format!("{} {what}: {}\n", Paint::Warn.on("?"), plain(why));
        }
        text
    }
}

/// What each clock says, where any says something; once where they say the same.
fn named(clocks: &[Clock], say: impl Fn(&Clock) -> Option<String>) -> String {
    let said: Vec<_> = clocks.iter().filter_map(|clock| Some((&clock.name, say(clock)?))).collect();
    match said.first() {
        None => String::new(),
        Some((_, first)) if said.iter().all(|(_, text)| text == first) && said.len() > 1 => {
            first.clone()
        }
        Some((name, first)) if said.len() == 1 && *name == kept::SYSTEM => first.clone(),
        Some(_) => {
            said.iter().map(|(name, text)| format!("{name}: {text}")).collect::<Vec<_>>().join(", ")
        }
    }
}

impl Page for Status {
    fn text(&self, now: u64) -> String {
        let head = headline(&self.kept, now);
        if self.kept.mode.as_deref() == Some("off") {
            return head + "\n";
        }
        let rows: Vec<_> = self.kept.clocks.iter().map(|clock| clock.row(now)).collect();
        let header = [
            "CLOCK",
            "STATE",
            "FOR",
            "STEERED BY",
            "FOLLOWS",
            "OFFSET",
            "DELAY",
            "FREQUENCY",
            "TO SYSTEM",
            "INTERFACES",
        ];
        let mut text = format!("{head}\n");
        for part in [table(&header, &rows), self.facts(now)] {
            if !part.is_empty() {
                text += &format!("\n{part}");
            }
        }
        for one in &self.to_do {
            text += &format!("\n{}", one.lines("  "));
        }
        text
    }
}

/// The answer: is time kept here, by whom, from what, how well, since when.
fn headline(kept: &Kept, now: u64) -> String {
    if kept.mode.as_deref() == Some("off") {
        let (dot, word) = (Paint::Dim.on("○"), Paint::Dim.on("left alone"));
        return format!("{dot} {word}  clocks are not looked at: `mode` is \"off\" in [ptp]");
    }
    match kept.system() {
        Some(clock) => {
            let (word, paint) = clock.state();
            let dot = if clock.standing == "free" { "○" } else { "●" };
            format!("{} {}  {}", paint.on(dot), paint.on(word), plain(&clock.answer(now)))
        }
        None => {
            let (dot, word) = (Paint::Warn.on("○"), Paint::Warn.on("not known"));
            format!("{dot} {word}  nothing is known of the system clock yet")
        }
    }
}

impl Clock {
    /// Who steers it, from what, how well and since when; or why nobody does.
    pub fn answer(&self, now: u64) -> String {
        let since = format!("for {}", age(now, self.since));
        let by = self.steered_by.as_ref().map(|by| format!("by {}", by.whole()));
        let from = self.source.as_ref().map(|source| format!("from {source}"));
        let by: Vec<_> = by.into_iter().chain(from).collect();
        let offset = self.offset_ns.map(signed);
        let why = self.message.clone().filter(|_| !self.is_synchronised());
        let by = Some(by.join(" ")).filter(|text| !text.is_empty());
        let parts: Vec<_> = [why, by, offset, Some(since)].into_iter().flatten().collect();
        parts.join(", ")
    }

    fn row(&self, now: u64) -> Vec<Cell> {
        let gaps = &self.unreadable;
        let (word, paint) = self.state();
        let number = |value: Option<String>, name: &str| match value {
            Some(value) => Cell::number(value),
            None if gaps.contains_key(name) => Cell::number(UNREADABLE).paint(Paint::Warn),
            None => Cell::number(ABSENT).paint(Paint::Dim),
        };
        let delay = |ns: i64| match u64::try_from(ns) {
            Ok(ns) => time(ns),
            // Time stamps that are wrong give such, and it is to be seen.
            Err(_) => signed(ns),
        };
        let interfaces = Some(self.interfaces.join(" ")).filter(|all| !all.is_empty());
        vec![
            Cell::painted(&self.name, Paint::Strong),
            Cell::painted(word, paint),
            Cell::number(age(now, self.since)),
            fact(self.steered_by.as_ref().map(|by| &by.kind), "steered_by", gaps),
            fact(self.source.as_ref(), "source", gaps),
            number(self.offset_ns.map(signed), "offset"),
            number(self.path_delay_ns.map(delay), "path_delay"),
            number(self.frequency_ppb.map(frequency), "frequency"),
            number(self.ahead_of_system_ns.map(ahead), "ahead_of_system"),
            fact(interfaces, "interfaces", gaps),
        ]
    }

    fn leap_second(&self) -> Option<&'static str> {
        match self.leap.as_deref() {
            Some("insert") => Some("the kernel inserts one at the end of this day (UTC)"),
            Some("delete") => Some("the kernel leaves one out at the end of this day (UTC)"),
            Some(_) | None => None,
        }
    }
}

impl Supervision {
    fn cell(&self, mode: Option<&str>) -> Cell {
        let unit = self.unit.as_deref().map(|unit| format!(" ({unit})")).unwrap_or_default();
        let version = self.version.as_deref().map(|text| format!(" {text}")).unwrap_or_default();
        let mut said = match (self.status.as_str(), mode) {
            ("True", _) => format!("sfptpd{version} runs as wanted{unit}"),
            ("False", _) => format!(
                "sfptpd{version} does not run as wanted{unit}: {}",
                self.reason.as_deref().unwrap_or("see below")
            ),
            (_, Some("observe")) => "none: clocks are only looked at".to_owned(),
            (_, _) => self.message.clone().unwrap_or_else(|| "none".to_owned()),
        };
        for (times, by) in [(self.restarts, "by systemd"), (self.hangs, "because it hung")] {
            if times > 0 {
                let times = count(usize::try_from(times).unwrap_or(usize::MAX), "restart");
                said += &format!(", {times} {by}");
            }
        }
        match self.status.as_str() {
            "True" => Cell::new(said),
            "False" => Cell::painted(said, Paint::Bad),
            _ => Cell::painted(said, Paint::Dim),
        }
    }
}

impl Handover {
    fn said(&self, now: u64) -> String {
        let when = format!("uid {}, {} ago", self.uid, age(now, self.at));
        match self.to.as_str() {
            "sfptpd" if self.units.is_empty() => format!("sfptpd has the system clock ({when})"),
            "sfptpd" => format!(
                "sfptpd has the system clock ({when}); `onloadctl clock handover --back` starts {} again",
                self.units.join(" ")
            ),
            _ => format!("the system clock was given back ({when})"),
        }
    }
}

/// The last few, each in a cell.
fn outages(outages: &[Outage], now: u64) -> Vec<Cell> {
    let mut cells: Vec<_> = outages.iter().take(OUTAGES).map(|one| one.cell(now)).collect();
    if let Some(more) = outages.len().checked_sub(OUTAGES).filter(|more| *more > 0) {
        cells.push(Cell::painted(format!("and {more} before; --json has all"), Paint::Dim));
    }
    cells
}

impl Outage {
    fn cell(&self, now: u64) -> Cell {
        let with = self.change.map(|number| format!(", with change {number}")).unwrap_or_default();
        let ago = age(now, self.began);
        match self.took {
            Some(took) => {
                Cell::new(format!("{ago} ago, {} long: {}{with}", span(took), self.reason))
            }
            None => Cell::painted(format!("lasts since {ago}: {}{with}", self.reason), Paint::Warn),
        }
    }
}

#[cfg(test)]
mod tests;
