//! Names and network of the small machine.

use super::*;
use crate::names::InterfaceName;
use crate::network::tests::random::apply;
use crate::network::{Network, NetworkLink, Owner};
use crate::reading::Reading;

/// What its network does, once [`Lab::carry`] has given it one.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Carried {
    /// What owners know of their links.
    profiles: BTreeMap<InterfaceName, NetworkLink>,
    /// Owners do what they are asked.
    pub obeys: bool,
    /// Nothing is put back.
    pub refuses: bool,
    /// No name can be pinned.
    pub unpinnable: bool,
    /// The next driver's second port gets another name.
    pub misnames: bool,
    /// No interface is renamed.
    pub keeps_names: bool,
    /// The interface of this port does not come with another driver.
    pub lost: Option<usize>,
    /// The interface of this port comes by another name with another driver.
    pub called_anew: Option<usize>,
    /// From the next load of a driver on, it cannot be read.
    pub goes_blind: bool,
    blind: bool,
    /// Looks asked for, and the modules that came and went between them.
    pub looks: Vec<String>,
}

/// The interface of a port.
fn interface(port: usize) -> InterfaceName {
    format!("ens{port}").parse().unwrap()
}

impl Lab {
    /// Gives it a network that can be looked at.
    pub fn carry(&mut self, network: Network) {
        self.network.profiles = network.links.clone();
        self.node.network = Known(network);
        self.node.network_root = Known(false);
        let interfaces = inner(&mut self.node.interfaces).values_mut();
        for (index, interface) in (1..).zip(interfaces) {
            interface.index = index;
        }
        self.node.udev_done = Known(BTreeSet::from([1, 2]));
        self.touch();
        self.run(2_000);
        self.network.looks.clear();
    }

    /// What interfaces carry.
    pub fn carried(&mut self) -> &mut Network {
        inner(&mut self.node.network)
    }

    /// What a look finds.
    pub(super) fn seen(&mut self, look: &Look) -> Snapshot {
        let depth = look.depth;
        let clocks = self.clocks_seen(look);
        let mut seen = Snapshot { clocks, ..self.node.clone() };
        let sought = depth == Depth::Users || seen.users.known().is_some();
        let users = seen.users.known().cloned().unwrap_or_default();
        seen.users = if sought { Known(users) } else { Absent };
        seen.network = match depth {
            Depth::Clocks | Depth::Modules | Depth::Usual => Absent,
            Depth::Network | Depth::Users if self.network.blind => {
                Reading::Unreadable("denied".to_owned())
            }
            Depth::Network | Depth::Users => seen.network,
        };
        self.network.looks.push(format!("{depth:?}"));
        seen
    }

    /// Pins, renames, asks and restores as the machine does.
    pub(super) fn network_step(&mut self, step: &Step) -> Result<Outcome, StepError> {
        match step {
            Step::PinNames(_) if self.network.unpinnable => {
                return Err(StepError::Failed("Read-only file system".to_owned()));
            }
            Step::PinNames(pins) => self.node.pins = Known(pins.clone()),
            Step::HandBack { interface, .. } if self.network.obeys => {
                let profile = self.network.profiles[interface].clone();
                self.carried().links.insert(interface.clone(), profile);
            }
            Step::RestoreNetwork(_) if self.network.refuses => {
                return Err(StepError::Failed("Operation not permitted".to_owned()));
            }
            Step::RestoreNetwork(deeds) => {
                deeds.iter().for_each(|deed| apply(deed, self.carried()))
            }
            Step::Rename(_) if self.network.keeps_names => {
                return Err(StepError::Failed("Device or resource busy".to_owned()));
            }
            Step::Rename(all) => self.rename(all),
            other => assert!(matches!(other, Step::HandBack { .. }), "{other}"),
        }
        Ok(Outcome::Changed)
    }

    /// What a module takes with it, and what it brings.
    pub(super) fn carry_over(&mut self, step: &Step) {
        let (Step::LoadModule { module, .. } | Step::UnloadModule { module }) = step else {
            return;
        };
        self.network.looks.push(step.to_string());
        if self.node.network.known().is_none() || module.as_str() != "sfc" {
            return;
        }
        let carried = self.carried();
        carried.links.retain(|_, link| link.port.is_none());
        while let Some(gone) = carried.links.iter().find_map(|(name, link)| {
            let below = link.below.as_ref()?;
            (!carried.links.contains_key(below)).then(|| name.clone())
        }) {
            carried.links.remove(&gone);
        }
        if let Step::UnloadModule { .. } = step {
            return;
        }
        self.network.blind = self.network.goes_blind;
        let there = inner(&mut self.node.interfaces).contains_key(&interface(1));
        if self.network.misnames && there {
            self.call("ens1", "eth1");
        }
        for (number, address) in crate::sample::PORTS.iter().enumerate() {
            let misnamed = self.network.misnames && number == 1;
            let mut name = if misnamed { "eth1".parse().unwrap() } else { interface(number) };
            if self.network.lost == Some(number) {
                inner(&mut self.node.interfaces).remove(&name);
                continue;
            }
            if self.network.called_anew == Some(number) {
                let anew: InterfaceName = format!("anew{number}").parse().unwrap();
                let interfaces = inner(&mut self.node.interfaces);
                if let Some(one) = interfaces.remove(&name) {
                    interfaces.insert(anew.clone(), one);
                }
                name = anew;
            }
            let port = Some(address.parse().unwrap());
            let link =
                NetworkLink { port, mtu: 1500, owner: Owner::Nobody, ..NetworkLink::default() };
            self.carried().links.insert(name, link);
        }
    }

    /// It is started anew: what is not on the disk is as after every boot.
    pub fn reboot(&mut self) {
        self.node.boot_id = Known("7a2b-99".parse().unwrap());
        self.restart();
        self.run(60_000);
    }
}
