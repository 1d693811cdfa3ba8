//! The way from Onload to a port, and what stands in it.

use super::Cause;
use crate::af_xdp::{self, Chosen};
use crate::hardware::{Acceleration, Datapath, Family, Hardware};
use crate::inventory::{Origin, Port, Snapshot};
use crate::names::{InterfaceName, PciAddress};
use crate::reading::Reading;

/// The way from Onload to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// Through the driver of its family.
    Driver(&'a Family),
    /// Through the registration of its interface.
    AfXdp(&'a InterfaceName),
}

impl<'a> Route<'a> {
    /// The way to a port; none where nothing is known of it.
    pub fn of(
        address: PciAddress,
        port: &Port,
        hardware: &'a Hardware,
        chosen: &'a Chosen,
    ) -> Option<Self> {
        let registered = chosen.ports.get(&address).map(Self::AfXdp);
        registered.or_else(|| hardware.family(port).map(Self::Driver))
    }

    /// Its word.
    pub fn datapath(self) -> Datapath {
        match self {
            Self::AfXdp(_) => Datapath::AfXdp,
            Self::Driver(family) => match family.onload {
                Acceleration::Native => Datapath::Native,
                Acceleration::Efct => Datapath::Efct,
                Acceleration::No => Datapath::None,
            },
        }
    }

    /// What keeps Onload from using the port.
    pub fn obstacle(self, address: PciAddress, port: &Port, snapshot: &Snapshot) -> Option<Cause> {
        match self {
            Self::Driver(family) => port_obstacle(address, port, family, snapshot),
            Self::AfXdp(name) => {
                let interface = name.clone();
                (!af_xdp::is_registered(name, snapshot))
                    .then_some(Cause::Unregistered { port: address, interface })
            }
        }
    }
}

/// What keeps Onload from using one port.
pub fn port_obstacle(
    address: PciAddress,
    port: &Port,
    family: &Family,
    snapshot: &Snapshot,
) -> Option<Cause> {
    let prefixes: &[&str] = match family.onload {
        // Names of auxiliary devices: reference/onload-modules.md section 2.1.
        Acceleration::Native => &["sfc.onload.", "sfc.llct."],
        Acceleration::Efct => &["xilinx_efct."],
        Acceleration::No => {
            let reason = family.reason.clone().unwrap_or_default();
            return Some(Cause::NotAccelerated { port: address, reason });
        }
    };
    let expected = &family.driver;
    match &port.driver {
        Reading::Known(driver) if driver == expected => {}
        Reading::Known(driver) => {
            let (driver, expected) = (driver.clone(), expected.clone());
            return Some(Cause::WrongDriver { port: address, driver, expected });
        }
        Reading::Absent if snapshot.module(expected).is_absent() => {
            return Some(Cause::ModuleAbsent { module: expected.clone() });
        }
        Reading::Absent => {
            let (driver, expected) = ("no driver".to_owned(), expected.clone());
            return Some(Cause::WrongDriver { port: address, driver, expected });
        }
        Reading::Unreadable(_) => {
            return Some(Cause::Unreadable { part: format!("the driver of port {address}") });
        }
    }
    if driver_origin(expected, snapshot) == Reading::Known(Origin::InTree) {
        return Some(Cause::InTreeDriver { port: address });
    }
    // Up to Onload 8.1 the coupling is a module of its own, and there are no auxiliary devices.
    if snapshot.module("sfc_driverlink").known().is_some() {
        return None;
    }
    match &port.auxiliary {
        Reading::Known(devices) => {
            let bound = devices.iter().any(|(name, driver)| {
                prefixes.iter().any(|prefix| name.starts_with(prefix)) && driver.known().is_some()
            });
            (!bound).then_some(Cause::NoAuxiliaryDevice { port: address })
        }
        Reading::Absent => Some(Cause::NoAuxiliaryDevice { port: address }),
        Reading::Unreadable(_) => {
            Some(Cause::Unreadable { part: format!("the auxiliary devices of port {address}") })
        }
    }
}

/// Where the loaded driver module was built.
pub fn driver_origin(driver: &str, snapshot: &Snapshot) -> Reading<Origin> {
    snapshot.module(driver).and_then(crate::inventory::Module::origin)
}
