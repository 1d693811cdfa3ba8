//! What files of a MachineConfig call ports. They come before every pin, whatever udev has come to so
//! far: so no pin is written where one of them names a port, nor is another name given.

use super::link_file::{Ruling, ruling};
use super::pin::Key;
use super::render::is_rendered;
use super::udev::UdevNames;
use crate::inventory::{Interface, Snapshot};
use crate::names::{InterfaceName, PciAddress};
use crate::reading::Reading;

/// A name that a file of a MachineConfig gives a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The name.
    pub name: InterfaceName,
    /// The file.
    pub file: String,
}

/// What a port with this interface is called by one, beyond doubt.
pub(super) fn to_port(
    port: PciAddress,
    interface: &Interface,
    snapshot: &Snapshot,
) -> Option<Given> {
    let driver = snapshot.ports.known().and_then(|ports| ports.get(&port)?.driver.known());
    let driver = driver.map_or("sfc", String::as_str);
    match interface.udev.known() {
        Some(udev) => named(interface, udev, driver, snapshot),
        // It has not come to the port yet.
        None => named(interface, &placed(port), driver, snapshot),
    }
}

/// What a port that is matched so, and has no interface yet, will be called by one.
pub(super) fn to_key(key: &Key, snapshot: &Snapshot) -> Option<Given> {
    let (interface, udev) = match key {
        Key::Mac(mac) => {
            let permanent_mac = Reading::Known(*mac);
            (Interface { permanent_mac, ..Interface::default() }, UdevNames::default())
        }
        Key::Pci(address) => (Interface::default(), placed(*address)),
    };
    named(&interface, &udev, "sfc", snapshot)
}

fn placed(port: PciAddress) -> UdevNames {
    UdevNames { id_path: Some(format!("pci-{port}")), ..UdevNames::default() }
}

fn named(
    interface: &Interface,
    udev: &UdevNames,
    driver: &str,
    snapshot: &Snapshot,
) -> Option<Given> {
    // Whether one was in force when the port came says nothing of the next time.
    let udev = UdevNames { link_file: None, ..udev.clone() };
    let Ruling::Named { name, file } = ruling(&snapshot.link_files, interface, &udev, driver)
    else {
        return None;
    };
    let base = file.rsplit('/').next().unwrap_or_default();
    let name = name.parse().ok().filter(|_| is_rendered(base))?;
    Some(Given { name, file })
}
