//! `plan`: what would be done, in order, and what is in the way.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bus::Bus;
use crate::commands::history::{Change, change};
use crate::commands::status::{Blocker, blockers};
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::{Paint, plain};

/// The plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    pub state: String,
    /// Under way.
    pub change: Option<Change>,
    pub probing: bool,
    /// Only the first is ever done before the next look.
    pub steps: Vec<String>,
    pub blockers: Vec<Blocker>,
    pub unreadable: BTreeMap<String, String>,
}

/// Reads it.
pub async fn read(bus: &Bus) -> Result<Plan, Ended> {
    let mut node = bus.node().await?;
    Ok(Plan {
        state: node.get("state"),
        change: change(&mut node),
        probing: node.get("probing"),
        steps: node.get("plan"),
        blockers: blockers(&mut node),
        unreadable: node.unreadable(),
    })
}

impl Page for Plan {
    fn text(&self, now: u64) -> String {
        let mut text = String::new();
        if let Some(change) = &self.change {
            text += &format!("{} {}\n", Paint::Dim.on("change"), change.lines(None, now));
        }
        for (index, step) in self.steps.iter().enumerate() {
            let number = format!("{:>3}.", index + 1);
            text += &format!("{} {}\n", Paint::Dim.on(&number), plain(step));
        }
        if self.steps.is_empty() {
            text += match (self.blockers.is_empty(), self.state.as_str()) {
                (true, _) => "nothing to do\n",
                (false, "blocked") => "nothing can be done before this is out of the way:\n",
                (false, _) => "nothing will be done while this stands:\n",
            };
        } else if !self.blockers.is_empty() {
            text += "\nin the way:\n";
        }
        for blocker in &self.blockers {
            text += &blocker.lines("  ");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn steps_are_numbered_and_blockers_follow() {
        let blocker = Blocker {
            subject: "sfc".into(),
            reason: "WrongOrigin".into(),
            why: "the kernel's own sfc is loaded".into(),
            fix: "unload it".into(),
        };
        let plan = Plan {
            state: "blocked".into(),
            steps: vec!["load sfc".into(), "load onload".into()],
            blockers: vec![blocker],
            ..Plan::default()
        };
        assert_eq!(
            without(&plan.text(0)),
            "  1. load sfc
  2. load onload

in the way:
  sfc: WrongOrigin
    why: the kernel's own sfc is loaded
    fix: unload it
"
        );
        assert_eq!(Plan::default().text(0), "nothing to do\n");
        let change = Change {
            number: 3,
            from: Some("host".into()),
            to: "9.1.0".into(),
            origin: "boot".into(),
            turned: Some("onload is not bound".into()),
            ..Change::default()
        };
        let plan = Plan { change: Some(change), ..Plan::default() };
        assert_eq!(
            without(&plan.text(2_000)),
            "change 3: host → 9.1.0 (boot, 2s ago)
going back to host: onload is not bound

nothing to do
"
        );
    }
}
