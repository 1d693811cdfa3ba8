//! That no device has two holders, asked of each line of a file that is read.

use std::collections::BTreeMap;

use super::{Entry, Ledger};
use crate::names::{AllocationId, DeviceId};

/// The holder of each device while a file is read.
#[derive(Default)]
pub(super) struct Holders(BTreeMap<DeviceId, AllocationId>);

impl Holders {
    /// No device may have two holders, whatever wrote the file. `ledger` has not taken the entry
    /// yet.
    pub(super) fn check(&mut self, ledger: &Ledger, entry: &Entry) -> Result<(), String> {
        match entry {
            Entry::Granted(allocation) => self.give(ledger, allocation.id, &allocation.device),
            Entry::Moved { id, device } if ledger.allocations.contains_key(id) => {
                self.give(ledger, *id, device)
            }
            Entry::Freed { id } => {
                self.take_back(ledger, *id);
                Ok(())
            }
            Entry::Moved { .. }
            | Entry::Named { .. }
            | Entry::NextAllocation(_)
            | Entry::Generation(_)
            | Entry::Held(_)
            | Entry::Unheld
            | Entry::Adopted(_)
            | Entry::StepStarted(_)
            | Entry::StepEnded { .. }
            | Entry::FailuresForgotten
            | Entry::Stopped(_)
            | Entry::Ordered(_)
            | Entry::ChangeBegan(_)
            | Entry::ChangeTurned { .. }
            | Entry::ChangeAwaits(_)
            | Entry::ChangeEnded { .. }
            | Entry::Past(_)
            | Entry::Rejected(_)
            | Entry::OthersAdopted(_)
            | Entry::BootProven(_)
            | Entry::Loaded { .. }
            | Entry::AfXdpRegistered { .. }
            | Entry::KeyAsked(_)
            | Entry::KeyForgotten { .. }
            | Entry::KeyWished { .. }
            | Entry::NetworkKept(_)
            | Entry::NetworkRestored { .. }
            | Entry::Clock(_)
            | Entry::Unloaded { .. } => Ok(()),
        }
    }

    fn give(&mut self, ledger: &Ledger, id: AllocationId, device: &DeviceId) -> Result<(), String> {
        if let Some(other) = self.0.get(device).filter(|other| **other != id) {
            return Err(format!("{device} is lent twice, to {other} and {id}"));
        }
        self.take_back(ledger, id);
        self.0.insert(device.clone(), id);
        Ok(())
    }

    fn take_back(&mut self, ledger: &Ledger, id: AllocationId) {
        if let Some(allocation) = ledger.allocations.get(&id) {
            self.0.remove(&allocation.device);
        }
    }
}
