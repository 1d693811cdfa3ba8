//! Product families by PCI id, from `packaging/hw/families.toml`. Differences between cards are
//! data: nothing else compares ids.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::inventory::Port;

/// The shipped table.
const FAMILIES: &str = include_str!("../../../packaging/hw/families.toml");

/// One row: what a PCI id is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Family {
    /// Product family, such as `X2`.
    pub family: String,
    /// Network controller, such as `SFC9250`.
    pub controller: String,
    /// Physical or virtual function.
    pub function: FunctionKind,
    /// Kernel driver that drives it.
    pub driver: String,
    /// Whether the kernel's own `sfc` binds it.
    pub in_tree: bool,
    /// Whether Onload 9.0 and later accelerates it.
    pub onload: Acceleration,
    /// Why not, where it does not.
    pub reason: Option<String>,
}

/// Kind of PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionKind {
    /// Physical function.
    Pf,
    /// Virtual function.
    Vf,
}

/// How Onload reaches a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    /// Through `sfc` and its auxiliary device.
    Native,
    /// Through `xilinx_efct`.
    Efct,
    /// Not at all.
    No,
}

/// How Onload reaches a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datapath {
    /// Not at all.
    #[default]
    None,
    /// Through `sfc` and its auxiliary device.
    Native,
    /// Through `xilinx_efct`.
    Efct,
    /// Through its AF_XDP registration, whatever the driver.
    AfXdp,
}

impl Datapath {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Native => "native",
            Self::Efct => "efct",
            Self::AfXdp => "af_xdp",
        }
    }
}

/// The table of families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware(BTreeMap<(u16, u16), Family>);

/// Why a table of families is refused.
#[derive(Debug, thiserror::Error)]
pub enum HardwareError {
    /// Not TOML of the right shape.
    #[error(transparent)]
    Syntax(#[from] toml::de::Error),
    /// A key that is not `vendor:device` in four hexadecimal digits each.
    #[error("`{0}` is not vendor:device in four lower-case hexadecimal digits each")]
    Key(String),
}

impl Hardware {
    /// Parses a table.
    ///
    /// # Errors
    /// Unknown or missing keys, and ids that are not `vvvv:dddd`.
    pub fn parse(text: &str) -> Result<Self, HardwareError> {
        let rows: BTreeMap<String, Family> = toml::from_str(text)?;
        rows.into_iter()
            .map(|(key, family)| match parse_id(&key) {
                Some(id) => Ok((id, family)),
                None => Err(HardwareError::Key(key)),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The table this build ships. A test proves that it parses; should it not, no card is known.
    pub fn shipped() -> Self {
        Self::parse(FAMILIES).unwrap_or_else(|_| Self(BTreeMap::new()))
    }

    /// The family of a port, if its ids are known and in the table.
    pub fn family(&self, port: &Port) -> Option<&Family> {
        self.0.get(&(*port.vendor.known()?, *port.device.known()?))
    }

    /// The names of all families.
    pub fn families(&self) -> BTreeSet<&str> {
        self.0.values().map(|row| row.family.as_str()).collect()
    }
}

fn parse_id(key: &str) -> Option<(u16, u16)> {
    let half = |text: &str| {
        (text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
            .then(|| u16::from_str_radix(text, 16).ok())
            .flatten()
    };
    let (vendor, device) = key.split_once(':')?;
    Some((half(vendor)?, half(device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Reading;

    #[test]
    fn the_shipped_table_parses_and_knows_the_x2() {
        let hardware = Hardware::parse(FAMILIES).unwrap();
        let port = Port {
            vendor: Reading::Known(0x1924),
            device: Reading::Known(0x0b03),
            ..Port::default()
        };
        let family = hardware.family(&port).unwrap();
        assert_eq!((family.family.as_str(), family.onload), ("X2", Acceleration::Native));
        for (id, family) in &hardware.0 {
            let refused = family.onload == Acceleration::No;
            assert_eq!(
                family.reason.is_some(),
                refused,
                "{id:04x?}: a reason stands where it is refused"
            );
        }
    }

    #[test]
    fn a_bad_row_is_named() {
        for key in ["1924", "1924:B03", "1924:0B03", "01924:0b03"] {
            let row = "family=\"a\"\ncontroller=\"b\"\nfunction=\"pf\"\ndriver=\"sfc\"\nin-tree=true\nonload=\"native\"";
            let error = Hardware::parse(&format!("[\"{key}\"]\n{row}")).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
