//! `why`: the decision taken about a subject, what it rests on, and what would change it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bus::Bus;
use crate::ended::Ended;
use crate::properties::{Properties, json};
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::table::{Cell, table};

/// An explanation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explanation {
    pub subject: String,
    pub decision: String,
    pub inputs: Vec<Input>,
    /// What would lead to another decision.
    pub would_change: Vec<String>,
    pub unreadable: BTreeMap<String, String>,
}

/// What was looked at, and what it said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Input {
    pub looked_at: String,
    pub said: String,
}

/// Asks.
pub async fn read(bus: &Bus, subject: &str) -> Result<Explanation, Ended> {
    let mut answer = Properties::new(json(bus.manager().await?.why(subject).await?));
    let inputs: Vec<(String, String)> = answer.get("inputs");
    Ok(Explanation {
        subject: answer.get("subject"),
        decision: answer.get("decision"),
        inputs: inputs.into_iter().map(|(looked_at, said)| Input { looked_at, said }).collect(),
        would_change: answer.get("would_change"),
        unreadable: answer.unreadable(),
    })
}

impl Page for Explanation {
    fn text(&self, _now: u64) -> String {
        let mut text = format!("{}: {}\n", Paint::Strong.on(&self.subject), plain(&self.decision));
        let cells = |input: &Input| vec![Cell::new(&input.looked_at), Cell::new(&input.said)];
        let rows: Vec<_> = self.inputs.iter().map(cells).collect();
        if !rows.is_empty() {
            text += &format!("\n{}", table(&["LOOKED AT", "SAID"], &rows));
        }
        if !self.would_change.is_empty() {
            text += &format!("\n{}\n", Paint::Dim.on("what would change it:"));
        }
        for change in &self.would_change {
            text += &format!("  {}\n", plain(change));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn an_explanation_reads_from_decision_to_remedy() {
        let input =
            |looked_at: &str, said: &str| Input { looked_at: looked_at.into(), said: said.into() };
        let explanation = Explanation {
            subject: "onload-3".into(),
            decision: "not advertised".into(),
            inputs: vec![input("onload module", "absent"), input("hold", "none")],
            would_change: vec!["load onload".into()],
            ..Explanation::default()
        };
        assert_eq!(
            without(&explanation.text(0)),
            "onload-3: not advertised

LOOKED AT      SAID
onload module  absent
hold           none

what would change it:
  load onload
"
        );
    }
}
