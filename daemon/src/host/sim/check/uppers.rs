//! Contradictions in what a world file stacks on interfaces.

use std::collections::BTreeSet;

use super::super::stack::kind_of;
use super::{Check, WorldError};

impl Check<'_> {
    /// A VLAN is made once, a bond or bridge is no card's, and an interface is a member of one.
    pub(super) fn uppers(&self) -> Result<(), WorldError> {
        let file = self.file;
        let ports = file.cards.iter().flat_map(|card| &card.ports);
        let others = file.interfaces.iter();
        let hardware = ports
            .clone()
            .map(|port| &port.netdev)
            .chain(others.clone().filter(|other| other.pci.is_some()).map(|other| &other.name));
        let hardware: BTreeSet<_> = hardware.map(|name| name.get_ref().as_str()).collect();
        let virtual_ones: BTreeSet<_> = others
            .clone()
            .filter(|other| other.pci.is_none())
            .map(|other| other.name.get_ref().as_str())
            .collect();
        let mut made = BTreeSet::new();
        let all = ports.map(|port| (&port.netdev, &port.uppers));
        for (name, uppers) in all.chain(others.map(|other| (&other.name, &other.uppers))) {
            let fail =
                |why: String, allowed: &str| self.fail(Some(name.span()), "uppers", why, allowed);
            let mut masters = 0;
            for upper in uppers.iter().map(|upper| upper.as_str()) {
                if hardware.contains(upper) || upper == "lo" {
                    return fail(
                        format!("{upper} is no bond, bridge or VLAN"),
                        "a name of its own",
                    );
                }
                match kind_of(upper).0 {
                    "vlan" if !made.insert(upper) || virtual_ones.contains(upper) => {
                        let why = format!("VLAN {upper} is made twice");
                        return fail(why, "a name that nobody else has");
                    }
                    "vlan" => {}
                    _ => masters += 1,
                }
            }
            if masters > 1 {
                let why = format!("{} is under {masters} bonds or bridges", name.get_ref());
                return fail(why, "one of them, and VLANs (NAME.ID)");
            }
        }
        Ok(())
    }
}
