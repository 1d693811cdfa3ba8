//! `pools NAME`: the devices of one pool: what they are asked for by, what each is worth and who has
//! it, in one view.

use std::collections::BTreeMap;

use onload_dbus::path::Kind;
use serde::Serialize;

use super::allocations::{Allocation, Allocations};
use super::pools::Pools;
use crate::bus::{Bus, of_kind};
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::{ABSENT, age, natural};
use crate::render::table::{Cell, table};

/// The devices of a pool, in slot order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Devices {
    pub pool: String,
    /// What pods ask for them by.
    pub resource: Option<String>,
    pub registered: bool,
    /// How a kubelet comes to know it: directory or watcher.
    pub registration: Option<String>,
    /// PCI addresses of the ports they stand on.
    pub ports: Vec<String>,
    pub devices: Vec<Device>,
}

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Device {
    pub id: String,
    pub numa_node: Option<i32>,
    pub healthy: bool,
    /// Why it cannot work, as one CamelCase word.
    pub reason: Option<String>,
    /// The same as a sentence.
    pub cause: Option<String>,
    /// no, withdrawn, local or container.
    pub lent: String,
    pub allocation: Option<String>,
    /// Who has it: of a pod namespace/pod/container.
    pub holder: Option<String>,
    pub holder_kind: Option<String>,
    /// Of the pod of a container, once the kubelet has named it.
    pub pod_namespace: Option<String>,
    pub pod_name: Option<String>,
    pub container_name: Option<String>,
    /// When it was lent, in milliseconds since 1970 UTC.
    pub since: Option<u64>,
    pub local_only: bool,
}

/// Reads them, in two calls however many they are.
pub async fn read(bus: &Bus, pool: &str) -> Result<Devices, Ended> {
    let mut devices = list(bus, pool).await?;
    let mut objects = bus.objects().await?;
    let lent = Allocations::of(of_kind(&mut objects, Kind::Allocation)).allocations;
    let lent: BTreeMap<_, _> = lent.into_iter().map(|one| (one.id.clone(), one)).collect();
    for device in &mut devices {
        // One that was lent or given back between the two calls has no holder that both know.
        if let Some(lent) = device.allocation.as_ref().and_then(|id| lent.get(id)) {
            device.hold(lent);
        }
    }
    let pools = Pools::of(of_kind(&mut objects, Kind::Pool)).pools;
    let of = pools.into_iter().find(|one| one.name == pool).unwrap_or_default();
    Ok(Devices {
        pool: pool.to_owned(),
        resource: of.resource,
        registered: of.registered,
        registration: of.registration,
        ports: of.ports,
        devices,
    })
}

/// The devices of a pool alone, without their holders.
pub(super) async fn list(bus: &Bus, pool: &str) -> Result<Vec<Device>, Ended> {
    let listed = bus.manager().await?.list_devices(pool).await?;
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let device = |(id, numa, reason, cause, lent, allocation, local_only): Listed| Device {
        id,
        numa_node: Some(numa).filter(|node| *node >= 0),
        healthy: reason.is_empty(),
        reason: some(reason),
        cause: some(cause),
        lent,
        allocation: some(allocation),
        local_only,
        ..Device::default()
    };
    let mut devices: Vec<_> = listed.into_iter().map(device).collect();
    devices.sort_by(|a, b| natural(&a.id, &b.id));
    Ok(devices)
}

/// A device as `ListDevices` gives it.
type Listed = (String, i32, String, String, String, String, bool);

impl Device {
    fn hold(&mut self, lent: &Allocation) {
        self.holder = Some(lent.holder.clone());
        self.holder_kind = Some(lent.holder_kind.clone());
        self.pod_namespace.clone_from(&lent.pod_namespace);
        self.pod_name.clone_from(&lent.pod_name);
        self.container_name.clone_from(&lent.container_name);
        self.since = Some(lent.since);
    }

    fn cells(&self, now: u64) -> Vec<Cell> {
        let absent = || Cell::painted(ABSENT, Paint::Dim);
        let lent = match self.lent.as_str() {
            "no" if self.healthy => Cell::painted("free", Paint::Good),
            "no" => absent(),
            other => Cell::new(other),
        };
        let health = match &self.cause {
            Some(cause) => Cell::painted(cause, Paint::Warn),
            None => Cell::painted("healthy", Paint::Good),
        };
        vec![
            Cell::painted(&self.id, Paint::Strong),
            self.numa_node.map_or_else(absent, |node| Cell::new(node.to_string())),
            lent,
            self.allocation.as_ref().map_or_else(absent, Cell::new),
            self.since.map_or_else(absent, |since| Cell::number(age(now, since))),
            self.holder.as_ref().map_or_else(absent, Cell::new),
            Cell::new(if self.local_only { "local only" } else { "all" }),
            health,
        ]
    }
}

impl Devices {
    fn head(&self) -> Vec<Vec<Cell>> {
        let kubelet = if self.registered { "registered" } else { "no" };
        let row = |name: &str, value: &str| vec![Cell::painted(name, Paint::Dim), Cell::new(value)];
        let or_absent = |text: &str| if text.is_empty() { ABSENT.to_owned() } else { text.into() };
        vec![
            row("resource", self.resource.as_deref().unwrap_or(ABSENT)),
            row("kubelet", kubelet),
            row("known by", self.registration.as_deref().unwrap_or(ABSENT)),
            row("ports", &or_absent(&self.ports.join(" "))),
        ]
    }
}

impl Page for Devices {
    fn text(&self, now: u64) -> String {
        let head = table(&[], &self.head());
        if self.devices.is_empty() {
            return format!("{head}\nthis pool has no devices\n");
        }
        let rows: Vec<_> = self.devices.iter().map(|device| device.cells(now)).collect();
        let header = ["DEVICE", "NUMA", "LENT", "ALLOCATION", "AGE", "HOLDER", "FOR", "HEALTH"];
        format!("{head}\n{}", table(&header, &rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn a_free_device_is_one_that_works() {
        let works = Device {
            id: "onload-0".into(),
            numa_node: Some(1),
            healthy: true,
            lent: "no".into(),
            ..Device::default()
        };
        let lent = Device {
            id: "onload-1".into(),
            lent: "local".into(),
            allocation: Some("a7".into()),
            holder: Some("pid 4711 (trader)".into()),
            since: Some(1_000),
            cause: Some("carrier is down".into()),
            local_only: true,
            ..Device::default()
        };
        let broken = Device {
            cause: Some("onload is not loaded".into()),
            lent: "no".into(),
            ..Device::default()
        };
        let page = Devices {
            pool: "onload".into(),
            resource: Some("amd.com/onload".into()),
            registered: true,
            registration: Some("directory".into()),
            ports: vec!["0000:3b:00.0".into(), "0000:3b:00.1".into()],
            devices: vec![works, lent, broken],
        };
        assert_eq!(
            without(&page.text(61_000)),
            "\
resource  amd.com/onload
kubelet   registered
known by  directory
ports     0000:3b:00.0 0000:3b:00.1

DEVICE    NUMA  LENT   ALLOCATION  AGE  HOLDER             FOR         HEALTH
onload-0  1     free   -             -  -                  all         healthy
onload-1  -     local  a7           1m  pid 4711 (trader)  local only  carrier is down
          -     -      -             -  -                  all         onload is not loaded
"
        );
    }
}
