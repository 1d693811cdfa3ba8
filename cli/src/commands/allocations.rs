//! `allocations`: what is lent, to whom, until when.

use std::collections::{BTreeMap, BTreeSet};

use onload_dbus::path::Kind;
use serde::Serialize;

use super::devices;
use crate::bus::Bus;
use crate::ended::Ended;
use crate::properties::Properties;
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::{ABSENT, age, left, natural};
use crate::render::table::{Cell, table};

/// All allocations, by pool and device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Allocations {
    pub allocations: Vec<Allocation>,
}

/// One device lent. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Allocation {
    pub id: String,
    pub pool: String,
    pub device: String,
    /// None: the device stands on no node, or its pool is not there any more.
    pub numa_node: Option<i32>,
    pub holder: String,
    pub holder_kind: String,
    /// Of the pod of a container, once the kubelet has named it.
    pub pod_namespace: Option<String>,
    pub pod_name: Option<String>,
    pub container_name: Option<String>,
    pub pid: Option<u32>,
    pub uid: Option<u32>,
    pub comm: Option<String>,
    /// Of the system manager.
    pub unit: Option<String>,
    pub tenure: String,
    pub since: u64,
    pub until: Option<u64>,
    pub unreadable: BTreeMap<String, String>,
}

/// What the contract gives as user of a container.
const NO_USER: u32 = u32::MAX;

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Allocations, Ended> {
    let mut all = Allocations::of(bus.all(Kind::Allocation).await?);
    // Devices are no objects; their pool lists them, once for all of its allocations.
    let pools: BTreeSet<_> = all.allocations.iter().map(|one| one.pool.clone()).collect();
    for pool in pools {
        // One that is gone from the configuration has none.
        let devices = devices::list(bus, &pool).await.unwrap_or_default();
        let nodes = devices.into_iter().map(|one| (one.id, one.numa_node));
        let nodes: BTreeMap<_, _> = nodes.collect();
        for one in all.allocations.iter_mut().filter(|one| one.pool == pool) {
            one.numa_node = nodes.get(&one.device).copied().flatten();
        }
    }
    Ok(all)
}

impl Allocations {
    /// From what the bus says.
    pub fn of(allocations: Vec<Properties>) -> Self {
        let mut allocations: Vec<_> = allocations.into_iter().map(Allocation::of).collect();
        allocations
            .sort_by(|a, b| natural(&a.pool, &b.pool).then_with(|| natural(&a.device, &b.device)));
        Self { allocations }
    }
}

impl Allocation {
    fn of(mut allocation: Properties) -> Self {
        Self {
            id: allocation.get("id"),
            pool: allocation.get("pool"),
            device: allocation.get("device"),
            numa_node: None,
            holder: allocation.get("holder"),
            holder_kind: allocation.get("holder_kind"),
            pod_namespace: allocation.text("pod_namespace"),
            pod_name: allocation.text("pod_name"),
            container_name: allocation.text("container_name"),
            pid: allocation.number("pid", 0),
            uid: allocation.number("uid", NO_USER),
            comm: allocation.text("comm"),
            unit: allocation.text("unit"),
            tenure: allocation.get("tenure"),
            since: allocation.get("since"),
            until: allocation.number("until", 0),
            unreadable: allocation.unreadable(),
        }
    }

    /// What ends it, in words.
    fn end(&self, now: u64) -> String {
        let with = |what: Option<String>| {
            what.map_or_else(|| "with its holder".to_owned(), |what| format!("with {what}"))
        };
        match (self.tenure.as_str(), self.until) {
            (_, Some(until)) => left(now, until),
            ("persistent", None) => "when freed".into(),
            ("client", None) => with(self.pid.map(|pid| format!("pid {pid}"))),
            ("unit", None) => with(self.unit.clone()),
            ("kubelet", None) => "with the container".into(),
            (other, None) => other.into(),
        }
    }

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::painted(&self.id, Paint::Strong),
            Cell::new(&self.pool),
            Cell::new(&self.device),
            self.numa_node.map_or_else(
                || Cell::painted(ABSENT, Paint::Dim),
                |node| Cell::new(node.to_string()),
            ),
            Cell::number(age(now, self.since)),
            Cell::new(self.end(now)),
            Cell::new(&self.holder),
        ]
    }
}

impl Page for Allocations {
    fn text(&self, now: u64) -> String {
        if self.allocations.is_empty() {
            return "nothing is lent\n".into();
        }
        let rows: Vec<_> = self.allocations.iter().map(|one| one.cells(now)).collect();
        table(&["ID", "POOL", "DEVICE", "NUMA", "AGE", "ENDS", "HOLDER"], &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn each_says_who_has_it_and_what_ends_it() {
        let process = Allocation {
            id: "a9".into(),
            pool: "onload".into(),
            device: "onload-99".into(),
            numa_node: Some(1),
            holder: "pid 4711 (trader)".into(),
            pid: Some(4711),
            tenure: "client".into(),
            since: 1_000,
            ..Allocation::default()
        };
        let leased =
            Allocation { tenure: "lease".into(), until: Some(3_601_000), ..process.clone() };
        let of_unit = Allocation {
            id: "a10".into(),
            holder: "unit chronyd.service".into(),
            unit: Some("chronyd.service".into()),
            pid: None,
            tenure: "unit".into(),
            ..process.clone()
        };
        let kept = Allocation {
            holder: "user 1000".into(),
            pid: None,
            tenure: "persistent".into(),
            ..process.clone()
        };
        let pod = Allocation {
            device: "onload-100".into(),
            numa_node: None,
            holder: "default/web/app".into(),
            pid: None,
            tenure: "kubelet".into(),
            ..process.clone()
        };
        let allocations = vec![process, leased, of_unit, kept, pod];
        assert_eq!(
            without(&Allocations { allocations }.text(61_000)),
            "\
ID   POOL    DEVICE      NUMA  AGE  ENDS                  HOLDER
a9   onload  onload-99   1      1m  with pid 4711         pid 4711 (trader)
a9   onload  onload-99   1      1m  in 59m                pid 4711 (trader)
a10  onload  onload-99   1      1m  with chronyd.service  unit chronyd.service
a9   onload  onload-99   1      1m  when freed            user 1000
a9   onload  onload-100  -      1m  with the container    default/web/app
"
        );
    }
}
