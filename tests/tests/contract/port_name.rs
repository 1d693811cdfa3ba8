//! Names of the rig's port.

use std::collections::BTreeMap;

use onload_core::names::PciAddress;
use onload_core::naming::{Conflict, Foretold, PortName, Source, Subject};

/// A port that is wanted to be called what another is.
pub(super) fn wanted_elsewhere(address: PciAddress) -> PortName {
    let told = |name: Option<&str>, why: &str| Foretold {
        name: name.map(str::to_owned),
        why: why.to_owned(),
    };
    PortName {
        subject: Subject::Port(address),
        today: Some("ens1f0".parse().unwrap()),
        configured: Some("eno1".parse().unwrap()),
        drivers: BTreeMap::from([
            ("host".parse().unwrap(), told(Some("ens1f0"), "udev's own evaluation")),
            ("9.1.0".parse().unwrap(), told(None, "it says no version")),
        ]),
        conflicts: vec![Conflict::Taken {
            name: "eno1".to_owned(),
            holder: "eno1".to_owned(),
            by: [Source::Configured].into(),
        }],
    }
}
