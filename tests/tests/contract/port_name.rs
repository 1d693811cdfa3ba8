//! Names of the rig's port.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::names::PciAddress;
use onload_core::naming::{
    Conflict, Foretold, Key, Pin, PortName, Source, Subject, Trouble, Weight,
};

/// A port that is wanted to be called what another is.
pub(super) fn wanted_elsewhere(address: PciAddress) -> PortName {
    let told = |name: Option<&str>, why: &str| Foretold {
        name: name.map(str::to_owned),
        why: why.to_owned(),
    };
    PortName {
        subject: Subject::Port(address),
        physical: true,
        today: Some("ens1f0".parse().unwrap()),
        configured: Some("eno1".parse().unwrap()),
        pinned: Some((
            Key::Pci(address),
            Pin { name: "ens1f0np0".parse().unwrap(), altnames: BTreeSet::new() },
        )),
        given: None,
        drivers: BTreeMap::from([
            ("host".parse().unwrap(), told(Some("ens1f0"), "udev's own evaluation")),
            ("9.1.0".parse().unwrap(), told(None, "it says no version")),
        ]),
        conflicts: vec![Conflict::Taken {
            name: "eno1".to_owned(),
            holder: "eno1".to_owned(),
            by: [Source::Configured].into(),
        }],
        troubles: vec![Trouble {
            subject: address.to_string(),
            why: "ens1f0 is not renamed to ens1f0np0: programs are using Onload".to_owned(),
            fix: "nothing".to_owned(),
            weight: Weight::Tells,
        }],
    }
}
