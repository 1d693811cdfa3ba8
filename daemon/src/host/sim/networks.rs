//! Who else has to do with an interface: containers that have one of their own on it, and files of
//! NetworkManager and of container networks that may take it.

use std::collections::BTreeMap;

use onload_core::af_xdp::Profile;
use onload_core::attachment::{Attached, Attachment, Fate};
use onload_core::inventory::Depth;
use onload_core::names::InterfaceName;
use onload_core::reading::Reading;

use super::action::{ActionError, Claim};
use super::world::World;

/// What the profiles of this world put an interface under.
const CONTROLLER: &str = "bond0";

impl World {
    /// Whoever is on top asks the interface for the group of all hosts, as it does itself.
    pub(super) fn multicast_users(&self, index: u32) -> u32 {
        let containers = self.netdevs.get(&index).map_or(0, |one| one.network.containers.len());
        let on_top = self.uppers(index).len() + containers;
        u32::try_from(on_top).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// `contain`.
    pub(super) fn contain(
        &mut self,
        interface: &InterfaceName,
        container: Option<&str>,
    ) -> Result<(), ActionError> {
        let containers = &mut self.netdev(interface)?.network.containers;
        match container {
            Some(container) => {
                containers.insert(container.to_owned());
            }
            None => containers.clear(),
        }
        Ok(())
    }

    /// `claim`. A file may name what is not there.
    pub(super) fn claim(&mut self, interface: &InterfaceName, claim: Option<Claim>) {
        match claim {
            Some(claim) => {
                self.claims.insert((interface.clone(), claim));
            }
            None => self.claims.retain(|(claimed, _)| claimed != interface),
        }
    }

    pub(super) fn profiles(&self) -> BTreeMap<String, Profile> {
        let claims = self.claims.iter().filter(|(_, claim)| *claim == Claim::Profile);
        let profile = |interface: &InterfaceName| Profile {
            kind: Some("ethernet".to_owned()),
            controller: Some(CONTROLLER.to_owned()),
            interface: Some(interface.to_string()),
            ..Profile::default()
        };
        let path = |interface: &InterfaceName| {
            format!("/etc/NetworkManager/system-connections/{interface}.nmconnection")
        };
        claims.map(|(interface, _)| (path(interface), profile(interface))).collect()
    }

    pub(super) fn attachments(&self) -> BTreeMap<String, Vec<Attachment>> {
        let claims = self.claims.iter().filter(|(_, claim)| *claim == Claim::Network);
        let path = |interface: &InterfaceName| format!("/etc/cni/net.d/{interface}.conf");
        claims
            .map(|(interface, _)| {
                (path(interface), vec![on(interface, "host-device", Fate::Moved)])
            })
            .collect()
    }

    pub(super) fn attached(&self, depth: Depth) -> Reading<Vec<Attached>> {
        match depth {
            Depth::Clocks | Depth::Modules | Depth::Network | Depth::Usual => {
                return Reading::Absent;
            }
            Depth::Users => {}
        }
        let netdevs = self.netdevs.values();
        let attached = netdevs.flat_map(|netdev| {
            netdev.network.containers.iter().map(|container| Attached {
                container: container.clone(),
                interface: "net1".to_owned(),
                by: vec![on(&netdev.name, "ipvlan", Fate::Carries)],
            })
        });
        Reading::Known(attached.collect())
    }
}

fn on(interface: &InterfaceName, plugin: &str, fate: Fate) -> Attachment {
    let names = [interface.clone()].into();
    Attachment { plugin: plugin.to_owned(), fate, names, ..Attachment::default() }
}
