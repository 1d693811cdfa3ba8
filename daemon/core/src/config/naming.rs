//! `[naming]`: what the ports shall be called.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::settings::Fault;
use crate::inventory::Interface;
use crate::names::{InterfaceName, MacAddress, PciAddress};
use crate::naming::rule;

/// The most ports that can be named; a node has a dozen.
const MOST_PORTS: usize = 256;

/// `[naming]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NamingSettings {
    /// Which names the ports shall have. None: those of udev until a driver is replaced for the first
    /// time, and from then on those that the ports had then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<NamingPolicy>,
    /// The names, with `explicit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortNaming>,
}

/// Which names the ports shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamingPolicy {
    /// Those that udev gives them.
    Off,
    /// Those that they had when they were first seen.
    Keep,
    /// Those that are configured.
    Explicit,
}

/// One of `[[naming.ports]]`: exactly one of `mac`, `pci` and `port-number`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PortNaming {
    /// The permanent address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Where the function sits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<PciAddress>,
    /// Its place among the node's physical Solarflare ports by PCI address, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_number: Option<u32>,
    /// What it shall be called.
    pub name: InterfaceName,
}

impl PortNaming {
    /// Whether it means this port, of this number, with this interface.
    pub fn means(
        &self,
        address: &PciAddress,
        number: Option<u32>,
        interface: Option<&Interface>,
    ) -> bool {
        let permanent = interface.and_then(|interface| interface.permanent_mac.known());
        self.mac.as_ref().is_some_and(|mac| permanent == Some(mac))
            || self.pci.as_ref() == Some(address)
            || self.port_number.is_some() && self.port_number == number
    }

    /// By what it means a port, in words.
    pub fn selector(&self) -> String {
        let mac = self.mac.map(|mac| format!("mac {mac}"));
        let pci = || self.pci.map(|pci| format!("pci {pci}"));
        let number = || self.port_number.map(|number| format!("port-number {number}"));
        mac.or_else(pci).or_else(number).unwrap_or_default()
    }

    fn fault(&self) -> Option<&'static str> {
        let given = [self.mac.is_some(), self.pci.is_some(), self.port_number.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return Some("needs exactly one of `mac`, `pci` and `port-number`");
        }
        rule::objection(self.name.as_str()).map(rule::Objection::why)
    }
}

impl NamingSettings {
    pub(super) fn check(&self) -> Result<(), Fault> {
        let fault = |what: &str| Err(("naming.ports".to_owned(), what.to_owned()));
        if self.ports.len() > MOST_PORTS {
            return fault("must be 256 or fewer");
        }
        if !self.ports.is_empty() && self.policy != Some(NamingPolicy::Explicit) {
            return fault("need `policy = \"explicit\"`");
        }
        let (mut names, mut selectors) = (BTreeSet::new(), BTreeSet::new());
        for (port, line) in self.ports.iter().zip(1..) {
            let twice = if !names.insert(&port.name) {
                Some("has a name that another has")
            } else if !selectors.insert(port.selector()) {
                Some("means a port that another means")
            } else {
                None
            };
            if let Some(what) = port.fault().or(twice) {
                return fault(&format!("line {line}: {what}"));
            }
        }
        Ok(())
    }
}
