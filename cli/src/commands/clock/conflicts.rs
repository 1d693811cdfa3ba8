//! `clock conflicts`: what fights over clocks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kept::{self, Conflict};
use super::remedy::conflict;
use crate::bus::Bus;
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::{Paint, plain};

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conflicts {
    /// off, observe or manage; null where this daemon does not say.
    pub mode: Option<String>,
    pub conflicts: Vec<Conflict>,
    pub unreadable: BTreeMap<String, String>,
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Conflicts, Ended> {
    let kept = kept::read(bus).await?;
    let mut unreadable = kept.unreadable;
    unreadable.retain(|name, _| name == "clock_conflicts");
    Ok(Conflicts { mode: kept.mode, conflicts: kept.conflicts, unreadable })
}

impl Page for Conflicts {
    fn text(&self, _now: u64) -> String {
        if let Some(why) = self.unreadable.values().next() {
            return format!("{} conflicts: {}\n", Paint::Warn.on("?"), plain(why));
        }
        match (self.conflicts.is_empty(), self.mode.as_deref()) {
            (true, Some("off")) => {
                "clocks are not looked at: `mode` is \"off\" in [ptp]\n".to_owned()
            }
            (true, _) => "nobody fights over a clock\n".to_owned(),
            (false, _) => self.conflicts.iter().map(Conflict::lines).collect::<Vec<_>>().join("\n"),
        }
    }
}

impl Conflict {
    fn lines(&self) -> String {
        let mut text = conflict(self).lines("");
        if self.bars_start {
            text += &format!("  {}\n", Paint::Warn.on("sfptpd is not started while it is so"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::kept::sample;
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn each_conflict_comes_with_what_to_do() {
        let warns = Conflict {
            kind: "Freerun".into(),
            clock: "ptp0".into(),
            message: "sfptpd follows\x1b nobody".into(),
            fix: "declare an instance".into(),
            ..Conflict::default()
        };
        let conflicts = vec![sample::conflict(), warns];
        let page = Conflicts { mode: Some("manage".into()), conflicts, ..Conflicts::default() };
        assert_eq!(
            without(&page.text(0)),
            "\
system: Chronyd
  why: chronyd steers the system clock
  fix: `onloadctl clock handover` stops it
  sfptpd is not started while it is so

ptp0: Freerun
  why: sfptpd follows\u{fffd} nobody
  fix: declare an instance
"
        );
    }

    #[test]
    fn none_is_told_from_not_looked_at_and_from_not_known() {
        let none = Conflicts { mode: Some("observe".into()), ..Conflicts::default() };
        assert_eq!(none.text(0), "nobody fights over a clock\n");
        let off = Conflicts { mode: Some("off".into()), ..Conflicts::default() };
        assert!(off.text(0).contains("not looked at"));
        let unreadable = BTreeMap::from([("clock_conflicts".to_owned(), "older".to_owned())]);
        let older = Conflicts { unreadable, ..Conflicts::default() };
        assert_eq!(without(&older.text(0)), "? conflicts: older\n");
    }
}
