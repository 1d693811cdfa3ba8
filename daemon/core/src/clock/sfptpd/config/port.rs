//! A port in the place of an interface: `port:0`, `port:0000:3b:00.0`, `port:00:0f:53:00:00:01`.

use crate::names::{InterfaceName, MacAddress, PciAddress};

/// What begins such a word; no interface's name has a colon.
const MARK: &str = "port:";
/// What an interface may be written as.
pub(super) const RULE: &str =
    "an interface or a port (`port:NUMBER`, `port:PCI-ADDRESS`, `port:HARDWARE-ADDRESS`)";

/// A port that a configuration may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRef {
    /// Its place among the node's physical Solarflare ports, from 0, by PCI address.
    pub number: u32,
    /// Its PCI address.
    pub pci: PciAddress,
    /// Its permanent hardware address, where it is known.
    pub mac: Option<MacAddress>,
    /// Its interface as it is called now; none while it has none.
    pub interface: Option<InterfaceName>,
}

/// How a port is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Number(u32),
    Pci(PciAddress),
    Mac(MacAddress),
}

/// Whether a word is meant to name a port.
pub(super) fn is(word: &str) -> bool {
    word.starts_with(MARK)
}

/// The port that a word names; none for what is no port.
pub(super) fn parse(word: &str) -> Option<Named> {
    let name = word.strip_prefix(MARK)?;
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
        return name.parse().ok().map(Named::Number);
    }
    let pci = name.parse().ok().map(Named::Pci);
    pci.or_else(|| name.parse().ok().map(Named::Mac))
}

impl Named {
    /// Whether it names this port.
    pub(super) fn is(self, port: &PortRef) -> bool {
        match self {
            Self::Number(number) => port.number == number,
            Self::Pci(pci) => port.pci == pci,
            Self::Mac(mac) => port.mac == Some(mac),
        }
    }
}
