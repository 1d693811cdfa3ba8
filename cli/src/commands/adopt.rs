//! `adopt`: who else has to do with the modules, what taking over from them is, and the order to.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::bus::Bus;
use crate::ended::Ended;
use crate::follow::{self, Until};
use crate::properties::Properties;
use crate::render::paint::{Paint, plain};
use crate::render::{Output, Page};

/// Everybody who is seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Others {
    pub others: Vec<Other>,
    pub unreadable: BTreeMap<String, String>,
}

/// One who has to do with the modules.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Other {
    /// onload-operator, kmm, machine-config, control-plane or dkms.
    pub manager: String,
    /// What shows it.
    pub evidence: String,
    /// Whether onloadd was told to go ahead beside it.
    pub adopted: bool,
    /// What onloadd does, or would do, to take over.
    pub does: Vec<String>,
    /// What is left for people to do where it comes from.
    pub left: Vec<String>,
}

/// A row of the property: manager, evidence, adopted, does, left.
type Row = (String, String, bool, Vec<String>, Vec<String>);

/// Reads who is seen.
pub fn others(node: &mut Properties) -> Vec<Other> {
    let rows: Vec<Row> = node.get("others");
    let other =
        |(manager, evidence, adopted, does, left)| Other { manager, evidence, adopted, does, left };
    rows.into_iter().map(other).collect()
}

/// Shows the plan, and does nothing.
pub async fn dry_run(bus: &Bus, output: Output) -> Result<(), Ended> {
    Ok(output.page(&read(bus).await?)?)
}

/// Shows the plan, orders it and follows. Programs get the job.
pub async fn order(bus: &Bus, output: Output, until: Until) -> Result<(), Ended> {
    if !output.json() {
        let plan = read(bus).await?;
        // Where there is nobody, the refusal says so.
        if !plan.others.is_empty() {
            output.page(&plan)?;
        }
    }
    follow::order(bus, output, until, async |manager| manager.adopt(HashMap::new()).await).await
}

async fn read(bus: &Bus) -> Result<Others, Ended> {
    let mut node = bus.node().await?;
    Ok(Others { others: others(&mut node), unreadable: node.unreadable() })
}

impl Other {
    /// Its name and what shows it, on one line.
    pub fn line(&self) -> String {
        let adopted = if self.adopted { ", adopted" } else { "" };
        format!("{}{adopted}: {}", Paint::Strong.on(&self.manager), plain(&self.evidence))
    }
}

impl Page for Others {
    fn text(&self, _now: u64) -> String {
        if self.others.is_empty() {
            return "nobody else is seen to have to do with the modules\n".to_owned();
        }
        let mut text = String::new();
        for other in &self.others {
            text += &format!("{}\n", other.line());
            for line in &other.does {
                text += &format!("  {} {}\n", Paint::Dim.on("onloadd:"), plain(line));
            }
            for line in &other.left {
                text += &format!("  {} {}\n", Paint::Dim.on("you:"), plain(line));
            }
            if other.does.is_empty() && other.left.is_empty() {
                text += &format!("  {}\n", Paint::Dim.on("nothing is to be done"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn the_plan_says_who_does_what() {
        let text = |text: &str| text.to_owned();
        let operator = Other {
            manager: text("onload-operator"),
            evidence: text("a socket"),
            adopted: true,
            does: vec![text("load the modules")],
            left: vec![text("delete the Onload resource")],
        };
        let dkms = Other { manager: text("dkms"), evidence: text("a tree"), ..Other::default() };
        let others = Others { others: vec![operator, dkms], ..Others::default() };
        assert_eq!(
            without(&others.text(0)),
            "onload-operator, adopted: a socket
  onloadd: load the modules
  you: delete the Onload resource
dkms: a tree
  nothing is to be done
"
        );
        assert!(Others::default().text(0).starts_with("nobody else"));
    }
}
