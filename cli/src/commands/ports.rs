//! `ports`: ports of cards in the table of families.

use std::collections::BTreeMap;

use onload_dbus::path::Kind;
use serde::Serialize;

use crate::bus::Bus;
use crate::ended::Ended;
use crate::properties::Properties;
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::{fact, pci, speed};
use crate::render::table::{Cell, table};

/// All ports, in bus order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ports {
    pub ports: Vec<Port>,
}

/// One port. Absent is null; so is what could not be read, and then `unreadable` says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Port {
    pub address: String,
    pub vendor: Option<u16>,
    pub device: Option<u16>,
    pub subsystem_vendor: Option<u16>,
    pub subsystem_device: Option<u16>,
    pub family: Option<String>,
    pub controller: Option<String>,
    pub datapath: Option<String>,
    pub netdev: Option<String>,
    pub altnames: Vec<String>,
    pub permanent_mac: Option<String>,
    pub mac: Option<String>,
    pub numa_node: Option<i32>,
    pub driver: Option<String>,
    pub driver_origin: Option<String>,
    pub auxiliary: BTreeMap<String, String>,
    pub link: Option<String>,
    pub speed_mbps: Option<u32>,
    pub phc_index: Option<i32>,
    pub sriov_total: Option<u32>,
    pub sriov_enabled: Option<u32>,
    pub phys_port_name: Option<String>,
    pub obstacle: Option<String>,
    pub obstacle_reason: Option<String>,
    pub unreadable: BTreeMap<String, String>,
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Ports, Ended> {
    Ok(Ports::of(bus.all(Kind::Port).await?))
}

impl Ports {
    /// From what the bus says.
    pub fn of(ports: Vec<Properties>) -> Self {
        let mut ports: Vec<_> = ports.into_iter().map(Port::of).collect();
        ports.sort_by_key(|port| pci(&port.address));
        Self { ports }
    }
}

impl Port {
    fn of(mut port: Properties) -> Self {
        Self {
            address: port.get("address"),
            vendor: port.number("vendor", 0),
            device: port.number("device", 0),
            subsystem_vendor: port.number("subsystem_vendor", 0),
            subsystem_device: port.number("subsystem_device", 0),
            family: port.text("family"),
            controller: port.text("controller"),
            datapath: port.text("datapath"),
            netdev: port.text("netdev"),
            altnames: port.get("altnames"),
            permanent_mac: port.text("permanent_mac"),
            mac: port.text("mac"),
            numa_node: port.number("numa_node", -1),
            driver: port.text("driver"),
            driver_origin: port.text("driver_origin"),
            auxiliary: port.get("auxiliary"),
            link: port.text("link"),
            speed_mbps: port.number("speed_mbps", 0),
            phc_index: port.number("phc_index", -1),
            sriov_total: port.readable("sriov_total"),
            sriov_enabled: port.readable("sriov_enabled"),
            phys_port_name: port.text("phys_port_name"),
            obstacle: port.text("obstacle"),
            obstacle_reason: port.text("obstacle_reason"),
            unreadable: port.unreadable(),
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let gaps = &self.unreadable;
        let mut link = fact(self.link.clone(), "link", gaps);
        match (self.link.as_deref(), self.speed_mbps) {
            (Some("up"), Some(mbps)) => link = Cell::painted(speed(mbps), Paint::Good),
            (Some("up"), None) => link = Cell::painted("up", Paint::Good),
            (Some(_), _) => link = link.paint(Paint::Warn),
            (None, _) => {}
        }
        let driver = match (&self.driver, &self.driver_origin) {
            (Some(driver), Some(origin)) => Cell::new(format!("{driver} ({origin})")),
            (Some(driver), None) => Cell::new(driver),
            (None, _) => fact(None::<String>, "driver", gaps),
        };
        let verdict = match &self.obstacle {
            Some(obstacle) => Cell::painted(obstacle, Paint::Warn),
            None if gaps.contains_key("obstacle") => fact(None::<String>, "obstacle", gaps),
            None => Cell::painted("ready", Paint::Good),
        };
        vec![
            Cell::painted(&self.address, Paint::Strong),
            fact(self.netdev.clone(), "netdev", gaps),
            fact(self.datapath.clone(), "datapath", gaps),
            fact(self.controller.clone(), "controller", gaps),
            fact(self.numa_node, "numa_node", gaps),
            driver,
            link,
            fact(self.phc_index.map(|index| format!("ptp{index}")), "phc_index", gaps),
            verdict,
        ]
    }
}

impl Page for Ports {
    fn text(&self, _now: u64) -> String {
        if self.ports.is_empty() {
            return "no card that Onload accelerates\n".into();
        }
        let rows: Vec<_> = self.ports.iter().map(Port::cells).collect();
        table(
            &["ADDRESS", "NETDEV", "DATAPATH", "NIC", "NUMA", "DRIVER", "LINK", "PHC", "ONLOAD"],
            &rows,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn gaps_and_failures_look_different() {
        let first = Port {
            address: "0000:3b:00.0".into(),
            controller: Some("SFC9250".into()),
            datapath: Some("native".into()),
            netdev: Some("sfc0".into()),
            numa_node: Some(0),
            driver: Some("sfc".into()),
            driver_origin: Some("out-of-tree".into()),
            link: Some("up".into()),
            speed_mbps: Some(25_000),
            phc_index: Some(2),
            ..Port::default()
        };
        let second = Port {
            address: "0000:3b:00.1".into(),
            controller: Some("SFC9250".into()),
            obstacle: Some("no driver is bound".into()),
            unreadable: BTreeMap::from([("numa_node".into(), "permission denied".into())]),
            ..Port::default()
        };
        let page = Ports { ports: vec![first, second] };
        assert_eq!(
            without(&page.text(0)),
            "\
ADDRESS       NETDEV  DATAPATH  NIC      NUMA  DRIVER             LINK  PHC   ONLOAD
0000:3b:00.0  sfc0    native    SFC9250  0     sfc (out-of-tree)  25G   ptp2  ready
0000:3b:00.1  -       -         SFC9250  ?     -                  -     -     no driver is bound
"
        );
    }

    #[test]
    fn no_card_is_an_answer() {
        assert_eq!(Ports::default().text(0), "no card that Onload accelerates\n");
    }
}
