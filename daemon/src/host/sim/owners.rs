//! Who sets interfaces up, and goes on doing so: NetworkManager or systemd-networkd, for ports that the
//! world file says are theirs.

use onload_core::names::InterfaceName;
use onload_core::network::Owner;
use onload_core::step::{Outcome, StepError};

use super::bus::Netdev;
use super::file::OwnerName;
use super::world::World;

impl Netdev {
    /// Who has set it up, as they say in `/run`; a port that is not set up yet is nobody's.
    pub(super) fn owner(&self) -> Owner {
        match self.profile.owner.filter(|_| self.network.owned) {
            None => Owner::Nobody,
            Some(OwnerName::Networkd) => Owner::Networkd,
            Some(OwnerName::NetworkManager) => Owner::NetworkManager(self.connection()),
        }
    }

    /// The UUID of its connection: one for each port, and always the same.
    fn connection(&self) -> String {
        let mac = self.permanent.unwrap_or(self.mac).to_string().replace(':', "");
        format!("6e6d0000-0000-4000-8000-{mac}")
    }

    /// Whether its owner has something to do: it is there under the name that the owner knows.
    fn is_owed(&self) -> bool {
        let known = self.profile.name.as_ref().is_none_or(|name| *name == self.name);
        self.profile.owner.is_some() && !self.network.owned && known
    }
}

impl World {
    /// Whether an owner has seen an interface that it is to set up. Whoever has a clock sends
    /// `owner acts` a little later.
    pub fn owner_is_due(&self) -> bool {
        let able = !self.faults.owner_asks && !self.faults.owner_gone;
        able && self.netdevs.values().any(Netdev::is_owed)
    }

    /// `owner acts`; false where there is nothing to do.
    pub(super) fn owners_act(&mut self) -> bool {
        let owed = self.netdevs.iter().filter(|(_, netdev)| netdev.is_owed());
        let owed: Vec<u32> = owed.map(|(index, _)| *index).collect();
        let able = !self.faults.owner_asks && !self.faults.owner_gone && !owed.is_empty();
        if able {
            owed.into_iter().for_each(|index| self.set_up(index));
        }
        able
    }

    /// Asks an owner to set an interface up again.
    ///
    /// # Errors
    /// What it answers, or that nobody does.
    pub(super) fn hand_back(
        &mut self,
        interface: &InterfaceName,
        owner: &Owner,
    ) -> Result<Outcome, StepError> {
        let refuse = |why: &str| {
            Err(StepError::Failed(format!("{interface} was not set up by its owner: {why}")))
        };
        if self.faults.owner_gone {
            return refuse("nobody answers");
        }
        let Some(index) = self.index_of(interface) else { return refuse("it is not there") };
        let Some(netdev) = self.netdevs.get(&index) else { return refuse("it is not there") };
        let named = netdev.profile.name.as_ref().is_none_or(|name| name == interface);
        let theirs = match (netdev.profile.owner, owner) {
            (Some(OwnerName::NetworkManager), Owner::NetworkManager(uuid)) => {
                *uuid == netdev.connection()
            }
            (Some(OwnerName::Networkd), Owner::Networkd) => true,
            (Some(_) | None, Owner::NetworkManager(_) | Owner::Networkd | Owner::Nobody) => false,
        };
        if !theirs || !named {
            return refuse("no connection of theirs fits it");
        }
        let before = self.network_reading();
        self.set_up(index);
        if self.network_reading() == before {
            return Ok(Outcome::Unchanged);
        }
        self.touch();
        Ok(Outcome::Changed)
    }
}
