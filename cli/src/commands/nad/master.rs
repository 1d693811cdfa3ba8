//! The port or bond that a network is made of, by the name that its interface has today.

use onload_core::names::{InterfaceName, MacAddress, PciAddress};
use onload_dbus::error::Kind;

use super::{WHAT, refuse};
use crate::args::Bus as Choice;
use crate::bus::Bus;
use crate::commands::naming::{self, Names};
use crate::commands::status::{self, Interface};
use crate::ended::{Complaint, Ended, UNREACHABLE};
use crate::render::Output;
use crate::render::paint::plain;

/// What a network is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its name today.
    pub interface: String,
    /// Its PCI address; none for a bond, and where nobody was asked.
    pub pci: Option<String>,
}

/// Finds it, and tells what could break the network later.
pub async fn find(
    bus: &Choice,
    output: Output,
    wanted: &str,
    offline: bool,
) -> Result<Master, Ended> {
    let address = is_address(wanted);
    if !address && wanted.parse::<InterfaceName>().is_err() {
        let why =
            format!("{} is neither a PCI address nor a hardware address nor a name", plain(wanted));
        return Err(refuse(why, "`onloadctl ports` shows ports by address and name").into());
    }
    let as_it_is = || Master { interface: wanted.to_owned(), pci: None };
    if offline {
        return match address {
            false => Ok(as_it_is()),
            true => {
                let why = format!("only onloadd knows what the port {wanted} is called");
                Err(refuse(why, "name its interface, or leave --offline out, on the node itself")
                    .into())
            }
        };
    }
    match asked(bus).await {
        Ok((interfaces, names)) => {
            let found = pick(&interfaces, wanted)?;
            if let Some(warning) = unsteady(&names, &found) {
                output.note(&warning)?;
            }
            Ok(found)
        }
        // On the desk where manifests are written no onloadd runs.
        Err(Ended::Complaint(complaint)) if complaint.name == UNREACHABLE && !address => {
            output.note(&format!(
                "{wanted} is taken as it is: {} ({}); --offline does not ask",
                complaint.what,
                plain(&complaint.why)
            ))?;
            Ok(as_it_is())
        }
        Err(ended) => Err(ended),
    }
}

async fn asked(bus: &Choice) -> Result<(Vec<Interface>, Names), Ended> {
    let bus = Bus::connect(bus).await?;
    let interfaces = status::read(&bus).await?.interfaces;
    Ok((interfaces, naming::read(&bus).await?))
}

fn is_address(text: &str) -> bool {
    text.parse::<PciAddress>().is_ok() || text.parse::<MacAddress>().is_ok()
}

/// The interface that is meant.
fn pick(interfaces: &[Interface], wanted: &str) -> Result<Master, Complaint> {
    let pci = wanted.parse::<PciAddress>().ok().map(|address| address.to_string());
    let mac = wanted.parse::<MacAddress>().ok();
    let is_mac = |text: &Option<String>| {
        text.as_deref().is_some_and(|text| text.parse().ok() == mac && mac.is_some())
    };
    let meant = |one: &&Interface| match (&pci, &mac) {
        (Some(pci), _) => one.port.as_ref() == Some(pci),
        // A bond's ports have its address for their own; the permanent one tells them apart.
        (None, Some(_)) => is_mac(&one.permanent_mac),
        (None, None) => one.name == wanted || one.altnames.iter().any(|name| name == wanted),
    };
    match interfaces.iter().find(meant) {
        Some(one) => Ok(Master { interface: one.name.clone(), pci: one.port.clone() }),
        None => {
            let why = format!("no interface of this node is {}", plain(wanted));
            let fix = "`onloadctl ports` shows ports; --offline takes a name as it is";
            Err(Complaint::of(Kind::NotFound, WHAT, why, fix))
        }
    }
}

/// Why its name may not last; none for a port whose name is pinned, and for what is no port of a card.
fn unsteady(names: &Names, master: &Master) -> Option<String> {
    let pci = master.pci.as_ref()?;
    let port = names.ports.iter().find(|port| port.port == *pci)?;
    if port.pinned.as_ref() == Some(&master.interface) {
        return None;
    }
    let others = port.drivers.iter().filter_map(|(release, told)| {
        let name = told.name.as_ref().filter(|name| **name != master.interface)?;
        Some(format!("{name} with the driver of {release}"))
    });
    let others: Vec<_> = others.collect();
    let called = match others.is_empty() {
        true => String::new(),
        false => format!(", and it would be called {}", others.join(", ")),
    };
    Some(format!(
        "{} ({pci}) is not pinned{called}: a rename breaks pods of this network without a word; \
         `policy = \"keep\"` in [naming] pins it",
        master.interface
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use std::collections::BTreeMap;

    use super::*;
    use crate::commands::naming::{Foretold, Port};

    fn interface(name: &str, port: Option<&str>, mac: &str) -> Interface {
        Interface {
            name: name.into(),
            altnames: vec![format!("{name}alt")],
            port: port.map(str::to_owned),
            permanent_mac: Some(mac.into()),
            ..Interface::default()
        }
    }

    #[test]
    fn a_port_is_found_by_what_does_not_change_and_by_its_names() {
        let all = [
            interface("bond0", None, ""),
            interface("ens1f0np0", Some("0000:3b:00.0"), "00:0f:53:a1:00:00"),
        ];
        let port = Master { interface: "ens1f0np0".into(), pci: Some("0000:3b:00.0".into()) };
        for wanted in ["0000:3b:00.0", "00:0F:53:A1:00:00", "ens1f0np0", "ens1f0np0alt"] {
            assert_eq!(pick(&all, wanted).unwrap(), port, "{wanted}");
        }
        assert_eq!(pick(&all, "bond0").unwrap().pci, None);
        for nobody in ["ens9", "0000:3b:00.7", "00:0f:53:a1:00:77"] {
            assert_eq!(pick(&all, nobody).unwrap_err().name, "NotFound", "{nobody}");
        }
    }

    #[test]
    fn a_name_that_another_driver_changes_is_told() {
        let told = |name: &str| Foretold { name: Some(name.into()), why: String::new() };
        let row = |pinned: Option<&str>| Names {
            ports: vec![Port {
                port: "0000:3b:00.0".into(),
                pinned: pinned.map(str::to_owned),
                drivers: BTreeMap::from([
                    ("host".into(), told("ens1f0np0")),
                    ("in-tree".into(), told("ens1f0")),
                ]),
                ..Port::default()
            }],
        };
        let port = Master { interface: "ens1f0np0".into(), pci: Some("0000:3b:00.0".into()) };
        let warning = unsteady(&row(None), &port).unwrap();
        assert!(
            warning.contains(
                "is not pinned, and it would be called ens1f0 with the driver of in-tree"
            ),
            "{warning}"
        );
        assert_eq!(unsteady(&row(Some("ens1f0np0")), &port), None);
        assert!(unsteady(&row(Some("other0")), &port).is_some(), "pinned to what it is not");
        let bond = Master { interface: "bond0".into(), pci: None };
        assert_eq!(unsteady(&row(None), &bond), None);
    }
}
