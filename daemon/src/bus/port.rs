//! `com.amd.Onload1.Port`: one port of a known card, or one offered through AF_XDP.

use std::collections::BTreeMap;

use onload_core::names::PciAddress;
use onload_core::picture::PortPicture;
use onload_core::pool::Cause;
use zbus::interface;

use super::view::View;
use super::wire;

/// Port on the bus.
#[derive(Debug)]
pub(super) struct Port {
    /// What it shows.
    pub(super) view: View,
    /// Which.
    pub(super) address: PciAddress,
}

impl Port {
    /// A fact of it.
    fn with<T: Default>(&self, read: impl FnOnce(&PortPicture) -> T) -> T {
        self.view.fact(|picture| picture.ports.get(&self.address), read)
    }
}

#[interface(name = "com.amd.Onload1.Port")]
impl Port {
    #[zbus(property(emits_changed_signal = "const"))]
    fn address(&self) -> String {
        self.address.to_string()
    }

    #[zbus(property)]
    fn vendor(&self) -> u16 {
        self.with(|p| wire::number(&p.port.vendor))
    }

    #[zbus(property)]
    fn device(&self) -> u16 {
        self.with(|p| wire::number(&p.port.device))
    }

    #[zbus(property)]
    fn subsystem_vendor(&self) -> u16 {
        self.with(|p| wire::number(&p.port.subsystem_vendor))
    }

    #[zbus(property)]
    fn subsystem_device(&self) -> u16 {
        self.with(|p| wire::number(&p.port.subsystem_device))
    }

    #[zbus(property)]
    fn family(&self) -> String {
        self.with(|p| p.family.clone())
    }

    #[zbus(property)]
    fn controller(&self) -> String {
        self.with(|p| p.controller.clone())
    }

    #[zbus(property)]
    fn datapath(&self) -> &'static str {
        self.with(|p| p.datapath).as_str()
    }

    #[zbus(property)]
    fn netdev(&self) -> String {
        self.with(|p| p.netdev.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    #[zbus(property)]
    fn altnames(&self) -> Vec<String> {
        self.with(|p| wire::texts(&p.interface.altnames))
    }

    #[zbus(property)]
    fn permanent_mac(&self) -> String {
        self.with(|p| wire::text(&p.interface.permanent_mac))
    }

    #[zbus(property)]
    fn mac(&self) -> String {
        self.with(|p| wire::text(&p.interface.mac))
    }

    #[zbus(property)]
    fn numa_node(&self) -> i32 {
        self.with(|p| Some(wire::index(p.port.numa_node.known().copied()))).unwrap_or(-1)
    }

    #[zbus(property)]
    fn driver(&self) -> String {
        self.with(|p| wire::text(&p.port.driver))
    }

    #[zbus(property)]
    fn driver_origin(&self) -> &'static str {
        self.with(|p| p.driver_origin.known().map_or("", |origin| wire::origin(*origin)))
    }

    #[zbus(property)]
    fn auxiliary(&self) -> BTreeMap<String, String> {
        self.with(|p| {
            let devices = p.port.auxiliary.known().into_iter().flatten();
            devices.map(|(name, driver)| (name.clone(), wire::text(driver))).collect()
        })
    }

    #[zbus(property)]
    fn link(&self) -> &'static str {
        self.with(|p| p.interface.link.known().map_or("", |link| wire::link(*link)))
    }

    #[zbus(property)]
    fn speed_mbps(&self) -> u32 {
        self.with(|p| wire::number(&p.interface.speed_mbps))
    }

    #[zbus(property)]
    fn phc_index(&self) -> i32 {
        self.with(|p| Some(wire::index(p.interface.phc_index.known().copied()))).unwrap_or(-1)
    }

    #[zbus(property)]
    fn sriov_total(&self) -> u32 {
        self.with(|p| p.port.sriov.known().map_or(0, |sriov| sriov.total))
    }

    #[zbus(property)]
    fn sriov_enabled(&self) -> u32 {
        self.with(|p| p.port.sriov.known().map_or(0, |sriov| sriov.enabled))
    }

    #[zbus(property)]
    fn phys_port_name(&self) -> String {
        self.with(|p| wire::text(&p.interface.phys_port_name))
    }

    #[zbus(property)]
    fn obstacle(&self) -> String {
        self.with(|p| p.obstacle.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    #[zbus(property)]
    fn obstacle_reason(&self) -> &'static str {
        self.with(|p| p.obstacle.as_ref().map_or("", Cause::reason))
    }

    #[zbus(property)]
    fn unreadable(&self) -> BTreeMap<String, String> {
        self.with(|p| {
            let mut gaps = wire::gaps([
                ("Vendor", wire::gap(&p.port.vendor)),
                ("Device", wire::gap(&p.port.device)),
                ("SubsystemVendor", wire::gap(&p.port.subsystem_vendor)),
                ("SubsystemDevice", wire::gap(&p.port.subsystem_device)),
                ("Driver", wire::gap(&p.port.driver)),
                ("NumaNode", wire::gap(&p.port.numa_node)),
                ("Auxiliary", wire::gap(&p.port.auxiliary)),
                ("SriovTotal", wire::gap(&p.port.sriov)),
                ("SriovEnabled", wire::gap(&p.port.sriov)),
                ("DriverOrigin", wire::gap(&p.driver_origin)),
                ("Netdev", wire::gap(&p.interface.port)),
                ("Mac", wire::gap(&p.interface.mac)),
                ("PermanentMac", wire::gap(&p.interface.permanent_mac)),
                ("Link", wire::gap(&p.interface.link)),
                ("SpeedMbps", wire::gap(&p.interface.speed_mbps)),
                ("PhysPortName", wire::gap(&p.interface.phys_port_name)),
                ("PhcIndex", wire::gap(&p.interface.phc_index)),
            ]);
            for (name, driver) in p.port.auxiliary.known().into_iter().flatten() {
                if let Some(why) = wire::gap(driver) {
                    gaps.insert(format!("Auxiliary/{name}"), why.to_owned());
                }
            }
            gaps
        })
    }
}
