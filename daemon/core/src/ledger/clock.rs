//! What the journal has of clocks: who was given the system clock, which units wait to be started again, and
//! when time was not kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::clock::picture::{Handover, Outage};

/// One thing that happened to clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum ClockEntry {
    /// The system clock was handed over by order; none: the configuration counts again.
    HandedOver(Option<Handover>),
    /// A unit that steers a clock is stopped for a change of drivers, and is to be started again after it.
    Paused {
        /// Its name.
        unit: String,
    },
    /// It was started again, or need not be.
    Resumed {
        /// Its name.
        unit: String,
    },
    /// sfptpd's configuration is written anew while this process of it runs; none: it runs no more.
    Outdated {
        /// Its id.
        process: Option<u32>,
    },
    /// The system clock is not synchronised any more, or is again: the same beginning is the same outage.
    Outage(Outage),
}

/// What it adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockLedger {
    /// The last hand-over.
    pub handover: Option<Handover>,
    /// Units to be started again.
    pub paused: BTreeSet<String>,
    /// The process of sfptpd that runs with a former configuration.
    pub outdated: Option<u32>,
    /// Times without a synchronised system clock, oldest first; so many as [`OUTAGES_KEPT`].
    pub outages: Vec<Outage>,
}

/// Outages that are remembered.
const OUTAGES_KEPT: usize = 32;

impl ClockLedger {
    /// Takes one entry into account.
    pub(super) fn take(&mut self, entry: ClockEntry) {
        match entry {
            ClockEntry::HandedOver(handover) => self.handover = handover,
            ClockEntry::Paused { unit } => drop(self.paused.insert(unit)),
            ClockEntry::Resumed { unit } => drop(self.paused.remove(&unit)),
            ClockEntry::Outdated { process } => self.outdated = process,
            ClockEntry::Outage(outage) => {
                self.outages.retain(|one| one.began != outage.began);
                self.outages.push(outage);
                let surplus = self.outages.len().saturating_sub(OUTAGES_KEPT);
                self.outages.drain(..surplus);
            }
        }
    }

    /// The shortest journal that adds up to this.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let handover = self.handover.clone().map(|one| ClockEntry::HandedOver(Some(one)));
        let paused = self.paused.iter().cloned().map(|unit| ClockEntry::Paused { unit });
        let outdated = self.outdated.map(|one| ClockEntry::Outdated { process: Some(one) });
        let outages = self.outages.iter().cloned().map(ClockEntry::Outage);
        handover.into_iter().chain(paused).chain(outdated).chain(outages).map(Entry::Clock)
    }
}
