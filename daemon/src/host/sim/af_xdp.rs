//! Registration of interfaces with `sfc_resource` (reference/onload-measured.md section 3).

use onload_core::af_xdp::{AfXdp, LOOPBACK};
use onload_core::names::{InterfaceName, PciAddress};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::bus::Netdev;
use super::faults::Part;
use super::world::World;

impl World {
    /// Takes an interface.
    ///
    /// # Errors
    /// The kernel's answer. Where the real one takes what it must not, so that the node ends with
    /// the next stack, the world refuses.
    pub(super) fn register(&mut self, interface: &InterfaceName) -> Result<Outcome, StepError> {
        let refuse = |detail: &str| {
            let (interface, detail) = (interface.clone(), detail.to_owned());
            Err(StepError::Unregistered { interface, detail })
        };
        if !self.is_live("sfc_resource") {
            return refuse("it is not loaded");
        }
        let found = self.netdevs.iter().find(|(_, netdev)| netdev.name == *interface);
        let Some((index, virtual_one)) = found.map(|(index, one)| (*index, one.port.is_none()))
        else {
            return Err(StepError::Failed(format!("interface {interface} is not there any more")));
        };
        if self.registered.contains(&index) {
            return Ok(Outcome::Unchanged);
        }
        if interface.as_str() == LOOPBACK || virtual_one {
            return refuse("this world would end with it");
        }
        if self.faults.take_register(interface) {
            return refuse("Invalid argument (fault ordered)");
        }
        self.registered.insert(index);
        self.touch();
        Ok(Outcome::Changed)
    }

    /// Whether the interface of a function is registered.
    pub(super) fn is_registered(&self, port: &PciAddress) -> bool {
        let held = self.registered.iter().filter_map(|index| self.netdevs.get(index));
        held.into_iter().any(|netdev| netdev.port.as_ref() == Some(port))
    }

    pub(super) fn driver_of(&self, netdev: &Netdev) -> Option<String> {
        self.functions.get(&netdev.port?)?.driver.clone()
    }

    pub(super) fn af_xdp_reading(&self) -> Reading<AfXdp> {
        if !self.is_live("sfc_resource") {
            return Reading::Absent;
        }
        let held = self.registered.iter().filter_map(|index| self.netdevs.get(index));
        self.read(Part::Modules, || AfXdp {
            can_register: true,
            known: held.map(|netdev| netdev.name.clone()).collect(),
        })
    }
}
