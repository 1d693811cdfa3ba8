//! `pools`: named sets of devices, and how many can be had.

use std::collections::BTreeMap;

use onload_dbus::path::Kind;
use serde::Serialize;

use crate::bus::Bus;
use crate::ended::Ended;
use crate::properties::Properties;
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::natural;
use crate::render::table::{Cell, table};

/// All pools, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pools {
    pub pools: Vec<Pool>,
}

/// One pool. Every device is in exactly one of free, local, containers and unhealthy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pool {
    pub name: String,
    pub kind: Option<String>,
    pub resource: Option<String>,
    /// What it selects its ports by; empty: every port of its kind.
    pub selectors: BTreeMap<String, Vec<String>>,
    /// PCI addresses of those it stands on.
    pub ports: Vec<String>,
    pub slots: u32,
    pub free: u32,
    pub local: u32,
    pub containers: u32,
    pub unhealthy: u32,
    pub registered: bool,
    /// How a kubelet comes to know it: directory or watcher.
    pub registration: Option<String>,
    /// Why devices cannot work, and how many of them.
    pub causes: BTreeMap<String, u32>,
    pub unreadable: BTreeMap<String, String>,
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Pools, Ended> {
    Ok(Pools::of(bus.all(Kind::Pool).await?))
}

impl Pools {
    /// From what the bus says.
    pub fn of(pools: Vec<Properties>) -> Self {
        let mut pools: Vec<_> = pools.into_iter().map(Pool::of).collect();
        pools.sort_by(|a, b| natural(&a.name, &b.name));
        Self { pools }
    }
}

impl Pool {
    fn of(mut pool: Properties) -> Self {
        Self {
            name: pool.get("name"),
            kind: pool.text("kind"),
            resource: pool.text("resource"),
            selectors: pool.get("selectors"),
            ports: pool.get("ports"),
            slots: pool.get("slots"),
            free: pool.get("free"),
            local: pool.get("local"),
            containers: pool.get("containers"),
            unhealthy: pool.get("unhealthy"),
            registered: pool.get("registered"),
            registration: pool.text("registration"),
            causes: pool.get("causes"),
            unreadable: pool.unreadable(),
        }
    }

    /// Why devices cannot work, the most frequent reason first; empty when all can.
    pub fn ills(&self) -> String {
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by_key(|(cause, count)| (std::cmp::Reverse(**count), *cause));
        let words = causes.iter().map(|(cause, count)| format!("{count} cannot work: {cause}"));
        words.collect::<Vec<_>>().join("; ")
    }

    /// How many ports it stands on, and what they were selected by.
    fn stand(&self) -> String {
        let by = self.selectors.iter().map(|(key, values)| format!("{key} {}", values.join(",")));
        let by: Vec<_> = by.collect();
        let ports = self.ports.len();
        if by.is_empty() { ports.to_string() } else { format!("{ports} by {}", by.join(", ")) }
    }

    fn cells(&self) -> Vec<Cell> {
        let zero_dim = |count: u32, paint: Paint| {
            Cell::number(count).paint(if count == 0 { Paint::Dim } else { paint })
        };
        let kubelet = if self.registered {
            Cell::painted("registered", Paint::Good)
        } else {
            Cell::painted("no", Paint::Dim)
        };
        vec![
            Cell::painted(&self.name, Paint::Strong),
            Cell::new(self.kind.as_deref().unwrap_or_default()),
            Cell::new(self.resource.as_deref().unwrap_or_default()),
            Cell::number(self.slots),
            zero_dim(self.free, Paint::Good),
            zero_dim(self.local, Paint::Plain),
            zero_dim(self.containers, Paint::Plain),
            zero_dim(self.unhealthy, Paint::Bad),
            kubelet,
            Cell::new(self.stand()),
            Cell::painted(self.ills(), Paint::Warn),
        ]
    }
}

impl Page for Pools {
    fn text(&self, _now: u64) -> String {
        if self.pools.is_empty() {
            return "no pool is configured\n".into();
        }
        let selected = self.pools.iter().any(|pool| !pool.selectors.is_empty());
        let ill = self.pools.iter().any(|pool| !pool.causes.is_empty());
        let header = [
            ("POOL", true),
            ("KIND", true),
            ("RESOURCE", true),
            ("SLOTS", true),
            ("FREE", true),
            ("LOCAL", true),
            ("PODS", true),
            ("ILL", true),
            ("KUBELET", true),
            ("PORTS", selected),
            ("WHY", ill),
        ];
        let rows = self.pools.iter().map(|pool| {
            let cells = pool.cells().into_iter().zip(header);
            cells.filter(|(_, (_, shown))| *shown).map(|(cell, _)| cell).collect()
        });
        let rows: Vec<_> = rows.collect();
        let header: Vec<_> =
            header.into_iter().filter(|(_, shown)| *shown).map(|(name, _)| name).collect();
        table(&header, &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn reasons_come_with_their_counts() {
        let pool = Pool {
            name: "onload".into(),
            kind: Some("onload".into()),
            resource: Some("amd.com/onload".into()),
            slots: 100,
            free: 97,
            containers: 3,
            registered: true,
            ..Pool::default()
        };
        let page = Pools { pools: vec![pool.clone()] };
        assert_eq!(
            without(&page.text(0)),
            "\
POOL    KIND    RESOURCE        SLOTS  FREE  LOCAL  PODS  ILL  KUBELET
onload  onload  amd.com/onload    100    97      0     3    0  registered
"
        );
        let ill = Pool {
            free: 0,
            unhealthy: 97,
            causes: BTreeMap::from([("onload is not loaded".into(), 97)]),
            ..pool
        };
        let text = without(&Pools { pools: vec![ill] }.text(0));
        assert!(text.ends_with("registered  97 cannot work: onload is not loaded\n"), "{text}");
    }
}
