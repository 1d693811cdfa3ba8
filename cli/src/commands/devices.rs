//! `pools NAME`: the devices of one pool.

use serde::Serialize;

use crate::bus::Bus;
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::{ABSENT, natural};
use crate::render::table::{Cell, table};

/// The devices of a pool, in slot order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Devices {
    pub pool: String,
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
    pub local_only: bool,
}

/// Reads them.
pub async fn read(bus: &Bus, pool: &str) -> Result<Devices, Ended> {
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
    };
    let mut devices: Vec<_> = listed.into_iter().map(device).collect();
    devices.sort_by(|a, b| natural(&a.id, &b.id));
    Ok(Devices { pool: pool.to_owned(), devices })
}

/// A device as `ListDevices` gives it.
type Listed = (String, i32, String, String, String, String, bool);

impl Device {
    fn cells(&self) -> Vec<Cell> {
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
            Cell::new(if self.local_only { "local only" } else { "all" }),
            health,
        ]
    }
}

impl Page for Devices {
    fn text(&self, _now: u64) -> String {
        if self.devices.is_empty() {
            return "this pool has no devices\n".into();
        }
        let rows: Vec<_> = self.devices.iter().map(Device::cells).collect();
        table(&["DEVICE", "NUMA", "LENT", "ALLOCATION", "FOR", "HEALTH"], &rows)
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
            cause: Some("carrier is down".into()),
            local_only: true,
            ..Device::default()
        };
        let broken = Device {
            cause: Some("onload is not loaded".into()),
            lent: "no".into(),
            ..Device::default()
        };
        let page = Devices { pool: "onload".into(), devices: vec![works, lent, broken] };
        assert_eq!(
            without(&page.text(0)),
            "\
DEVICE    NUMA  LENT   ALLOCATION  FOR         HEALTH
onload-0  1     free   -           all         healthy
onload-1  -     local  a7          local only  carrier is down
          -     -      -           all         onload is not loaded
"
        );
    }
}
