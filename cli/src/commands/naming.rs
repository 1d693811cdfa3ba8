//! `naming plan`: what each Solarflare port is called, what every driver on the disk would make of it,
//! what is configured and pinned, and what is wrong with these names. `naming render` is below it.

use std::collections::{BTreeMap, BTreeSet};

use clap::Subcommand;
use serde::Serialize;

use crate::args::Read;
use crate::bus::Bus;
use crate::ended::Ended;
use crate::properties::{Properties, json};
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::{ABSENT, UNREADABLE, natural};
use crate::render::table::{Cell, table};

mod render;

pub use render::run as render;

/// What to do with names of interfaces.
#[derive(Clone, Debug, Subcommand)]
pub enum NamingVerb {
    /// Names of Solarflare ports: today's, with the driver of each release, configured; and conflicts
    Plan(Read),
    /// Link files for a MachineConfig, from [naming] of a configuration; works without onloadd
    Render {
        /// The configuration, or - for standard input; of several files later ones win
        #[arg(long, value_name = "FILE|-", default_value = "-")]
        config: Vec<String>,
        /// Write them into this directory; otherwise they are printed, each with its path
        #[arg(long, value_name = "DIR")]
        output: Option<String>,
    },
}

/// Names of all ports, by PCI address.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Names {
    pub ports: Vec<Port>,
}

/// One port's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Port {
    /// PCI address; of one that is configured and not there, what it is meant by.
    pub port: String,
    /// None while no driver shows an interface.
    pub today: Option<String>,
    pub configured: Option<String>,
    /// The name that onloadd or a MachineConfig has pinned.
    pub pinned: Option<String>,
    /// By what onloadd's pin matches the port: `mac ADDRESS` or `pci ADDRESS`; or the path of the
    /// MachineConfig's file.
    pub pinned_by: Option<String>,
    /// By release.
    pub drivers: BTreeMap<String, Foretold>,
    pub conflicts: Vec<Conflict>,
    /// Why it is not called or pinned as it should be, beside conflicts.
    pub troubles: Vec<Trouble>,
    pub unreadable: BTreeMap<String, String>,
}

/// The name with a driver.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Foretold {
    /// None where it cannot be told.
    pub name: Option<String>,
    /// What it was told from, or why it cannot be.
    pub why: String,
}

/// What is wrong with a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conflict {
    pub what: String,
    pub why: String,
    pub fix: String,
}

/// Why a port is not called as it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trouble {
    pub why: String,
    pub fix: String,
    /// Whether no driver is replaced meanwhile.
    pub bars: bool,
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Names, Ended> {
    let ports = bus.manager().await?.naming_plan().await?;
    Ok(Names { ports: ports.into_iter().map(|row| Port::of(Properties::new(json(row)))).collect() })
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl Port {
    fn of(mut row: Properties) -> Self {
        let drivers: BTreeMap<String, (String, String)> = row.get("drivers");
        let conflicts: Vec<(String, String, String)> = row.get("conflicts");
        let troubles: Vec<(String, String, bool)> = row.get("troubles");
        Self {
            port: row.get("port"),
            today: row.text("today"),
            configured: row.text("configured"),
            pinned: row.text("pinned"),
            pinned_by: row.text("pinned_by"),
            drivers: drivers
                .into_iter()
                .map(|(release, (name, why))| (release, Foretold { name: some(name), why }))
                .collect(),
            conflicts: conflicts
                .into_iter()
                .map(|(what, why, fix)| Conflict { what, why, fix })
                .collect(),
            troubles: troubles
                .into_iter()
                .map(|(why, fix, bars)| Trouble { why, fix, bars })
                .collect(),
            unreadable: row.unreadable(),
        }
    }

    fn remarks(&self) -> String {
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            many => Some(format!("{many} {what}s")),
        };
        let all =
            [counted(self.conflicts.len(), "conflict"), counted(self.troubles.len(), "trouble")];
        all.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn cells(&self, releases: &[&String]) -> Vec<Cell> {
        let name = |name: &Option<String>| {
            name.as_ref().map_or_else(|| Cell::painted(ABSENT, Paint::Dim), Cell::new)
        };
        let mut cells = vec![Cell::painted(&self.port, Paint::Strong), name(&self.today)];
        cells.extend(releases.iter().map(|release| match self.drivers.get(*release) {
            None => Cell::painted(ABSENT, Paint::Dim),
            Some(Foretold { name: None, .. }) => Cell::painted(UNREADABLE, Paint::Warn),
            Some(Foretold { name: Some(name), .. }) if self.today.as_ref() == Some(name) => {
                Cell::new(name)
            }
            Some(Foretold { name: Some(name), .. }) => Cell::painted(name, Paint::Warn),
        }));
        cells.push(name(&self.configured));
        cells.push(match (&self.pinned, &self.today) {
            (Some(pinned), Some(today)) if pinned != today => Cell::painted(pinned, Paint::Warn),
            _ => name(&self.pinned),
        });
        cells.push(match self.remarks() {
            remarks if remarks.is_empty() => Cell::painted(ABSENT, Paint::Dim),
            remarks => Cell::painted(remarks, Paint::Warn),
        });
        cells
    }
}

impl Names {
    /// What names were told from, each reason once with the releases and ports that it is about.
    fn reasons(&self) -> String {
        let mut reasons: Vec<(&String, &String, Vec<&String>)> = Vec::new();
        for port in &self.ports {
            for (release, foretold) in &port.drivers {
                let same = |(at, why, _): &&mut (&String, &String, Vec<&String>)| {
                    *at == release && **why == foretold.why
                };
                match reasons.iter_mut().find(same) {
                    Some((.., ports)) => ports.push(&port.port),
                    None => reasons.push((release, &foretold.why, vec![&port.port])),
                }
            }
        }
        reasons.sort_by(|one, other| natural(one.0, other.0));
        let line = |(release, why, ports): &(&String, &String, Vec<&String>)| {
            let all =
                ports.len() == self.ports.iter().filter(|one| !one.drivers.is_empty()).count();
            let ports: Vec<_> = ports.iter().map(|port| port.as_str()).collect();
            let ports = if all { String::new() } else { format!(", {}", ports.join(", ")) };
            format!("  {}{}: {}\n", plain(release), plain(&ports), plain(why))
        };
        reasons.iter().map(line).collect()
    }
}

impl Page for Names {
    fn text(&self, _now: u64) -> String {
        if self.ports.is_empty() {
            return "no Solarflare port\n".into();
        }
        let releases: BTreeSet<&String> =
            self.ports.iter().flat_map(|port| port.drivers.keys()).collect();
        let mut releases: Vec<&String> = releases.into_iter().collect();
        releases.sort_by(|one, other| natural(one, other));
        let mut header = vec!["PORT", "TODAY"];
        // As they are written in an order.
        header.extend(releases.iter().map(|name| name.as_str()));
        header.extend(["CONFIGURED", "PINNED", "REMARKS"]);
        let rows: Vec<_> = self.ports.iter().map(|port| port.cells(&releases)).collect();
        let mut text = table(&header, &rows);
        let reasons = self.reasons();
        if !reasons.is_empty() {
            text += &format!("\n{}\n{reasons}", Paint::Dim.on("by release:"));
        }
        let pinned = self.ports.iter().filter_map(|port| {
            let (name, by) = port.pinned.as_ref().zip(port.pinned_by.as_ref())?;
            let whose = if by.starts_with('/') { "the MachineConfig's " } else { "" };
            Some(format!("  {}: {} by {whose}{}\n", plain(&port.port), plain(name), plain(by)))
        });
        let pinned: String = pinned.collect();
        if !pinned.is_empty() {
            text += &format!("\n{}\n{pinned}", Paint::Dim.on("pinned:"));
        }
        for port in &self.ports {
            for conflict in &port.conflicts {
                text += &format!(
                    "\n{}: {}\n  why: {}\n  fix: {}\n",
                    Paint::Strong.on(&plain(&port.port)),
                    plain(&conflict.what),
                    plain(&conflict.why),
                    plain(&conflict.fix)
                );
            }
            for trouble in &port.troubles {
                let what =
                    if trouble.bars { "no driver is replaced" } else { "the name is not as asked" };
                text += &format!(
                    "\n{}: {what}\n  why: {}\n  fix: {}\n",
                    Paint::Strong.on(&plain(&port.port)),
                    plain(&trouble.why),
                    plain(&trouble.fix)
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    fn foretold(name: Option<&str>, why: &str) -> Foretold {
        Foretold { name: name.map(str::to_owned), why: why.to_owned() }
    }

    #[test]
    fn a_column_for_each_release_and_each_reason_once() {
        let port = |port: &str, today: &str, next: &str| Port {
            port: port.into(),
            today: Some(today.into()),
            drivers: BTreeMap::from([
                ("9.2.1".into(), foretold(Some(next), "it tells no phys_port_name")),
                ("10.0.0".into(), foretold(None, &format!("nobody knows of {today}"))),
                ("in-tree".into(), foretold(Some(today), "udev's own evaluation")),
            ]),
            ..Port::default()
        };
        let mut second = port("0000:3b:00.1", "ens1f1np1", "ens1f1");
        second.configured = Some("fast1".into());
        second.conflicts = vec![Conflict {
            what: "the port would not get the name fast1".into(),
            why: "interface bond0 has it".into(),
            fix: "choose another".into(),
        }];
        (second.pinned, second.pinned_by) =
            (Some("ens1f1".into()), Some("mac 00:0f:53:a6:00:01".into()));
        let mut first = port("0000:3b:00.0", "ens1f0np0", "ens1f0");
        (first.pinned, first.pinned_by) = (
            Some("ens1f0np0".into()),
            Some("/etc/systemd/network/05-onload-000f53a60000.link".into()),
        );
        second.troubles = vec![Trouble {
            why: "ens1f1np1 is not renamed to ens1f1: programs are using Onload".into(),
            fix: "nothing".into(),
            bars: false,
        }];
        let page = Names { ports: vec![first, second] };
        assert_eq!(
            without(&page.text(0)),
            "\
PORT          TODAY      9.2.1   10.0.0  in-tree    CONFIGURED  PINNED     REMARKS
0000:3b:00.0  ens1f0np0  ens1f0  ?       ens1f0np0  -           ens1f0np0  -
0000:3b:00.1  ens1f1np1  ens1f1  ?       ens1f1np1  fast1       ens1f1     1 conflict, 1 trouble

by release:
  9.2.1: it tells no phys_port_name
  10.0.0, 0000:3b:00.0: nobody knows of ens1f0np0
  10.0.0, 0000:3b:00.1: nobody knows of ens1f1np1
  in-tree: udev's own evaluation

pinned:
  0000:3b:00.0: ens1f0np0 by the MachineConfig's /etc/systemd/network/05-onload-000f53a60000.link
  0000:3b:00.1: ens1f1 by mac 00:0f:53:a6:00:01

0000:3b:00.1: the port would not get the name fast1
  why: interface bond0 has it
  fix: choose another

0000:3b:00.1: the name is not as asked
  why: ens1f1np1 is not renamed to ens1f1: programs are using Onload
  fix: nothing
"
        );
        assert_eq!(Names::default().text(0), "no Solarflare port\n");
    }
}
