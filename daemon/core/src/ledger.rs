//! The ledger: what must outlive the daemon, as a journal of entries and the state they add up to.
//!
//! One line each, checked by a checksum of its own. A torn last line was never answered for and is
//! dropped; anything else that does not read means hands off. The edge does the writing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::allocation::{Allocation, Holder, Tenure};
use crate::change::{Change, Order, Past, Proven, Rejected};
use crate::names::{AllocationId, BootId, InterfaceName, ModuleName, ReleaseName};
use crate::network::Kept;
use crate::others::Adoptions;
use crate::picture::Hold;
use crate::secure_boot::enrolment::{Asked, Fingerprint};
use crate::step::Step;

mod clock;
mod entry;
mod holders;

pub use clock::{ClockEntry, ClockLedger};
pub use entry::{Adopted, Entry, Failure};
use holders::Holders;

/// The first line of the format written here. A fixture of every format ever shipped stands in
/// `tests/formats/`.
const HEADER: &str = "{\"onloadd-ledger\":5}";
/// Formats that differ from it by what they lack, and so read as they are.
const FORMER_HEADERS: [&str; 4] = [
    "{\"onloadd-ledger\":1}",
    "{\"onloadd-ledger\":2}",
    "{\"onloadd-ledger\":3}",
    "{\"onloadd-ledger\":4}",
];

/// The state that the entries add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The lowest allocation number not given out yet, less one.
    pub last_allocation: u64,
    /// Orders accepted so far.
    pub generation: u64,
    /// What is lent.
    pub allocations: Arc<BTreeMap<AllocationId, Arc<Allocation>>>,
    /// Those of them that are leases: asked for at every event, and few where pods hold thousands.
    leases: BTreeSet<AllocationId>,
    /// How many of them containers have.
    containers: usize,
    /// An operator's hold.
    pub hold: Option<Hold>,
    /// The `[modules]` in force.
    pub adopted: Option<Adopted>,
    /// A step that was started and whose end is not written.
    pub step: Option<Step>,
    /// Steps that failed.
    pub failures: BTreeMap<Step, Failure>,
    /// Whether a cancelled job keeps the node from going on.
    pub stopped: bool,
    /// An order that names a release.
    pub order: Option<Order>,
    /// The change under way.
    pub change: Option<Change>,
    /// Changes that ended, oldest first; so many as [`PAST_KEPT`].
    pub past: Vec<Past>,
    /// A release that did not come up.
    pub rejected: Option<Rejected>,
    /// Managers of the modules that onloadd goes ahead beside.
    pub others: Adoptions,
    /// The last boot that had a default route.
    pub proven: Option<Proven>,
    /// Which release modules were loaded from, and in which boot.
    pub loaded: BTreeMap<ModuleName, (ReleaseName, Option<BootId>)>,
    /// Interfaces that onloadd registered for AF_XDP, and in which boot.
    pub af_xdp: BTreeMap<InterfaceName, Option<BootId>>,
    /// Keys that shim was asked for, and that are not known to be enrolled.
    pub asked: BTreeMap<Fingerprint, Asked>,
    /// Wishes of the configuration for keys that were carried out.
    pub wishes: BTreeSet<Fingerprint>,
    /// What ports carried before their driver was taken away: until it is back, and until the change
    /// that took it away can turn no more.
    pub network: Option<Kept>,
    /// What was not as before once that was back; none while it is not, and where nothing ever was kept.
    pub differences: Option<Vec<String>>,
    /// Clocks.
    pub clock: ClockLedger,
}

/// The module with which registrations go.
const REGISTRAR: &str = "sfc_resource";

/// Ended changes that are remembered: a year of monthly updates, each taken back and done again.
const PAST_KEPT: usize = 32;

impl Ledger {
    /// Takes one entry into account. Entries about what is not there change nothing, so that a
    /// journal may be replayed over a state that has them already.
    pub fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Granted(allocation) => {
                self.last_allocation = self.last_allocation.max(allocation.id.0);
                if let Tenure::Lease { .. } = allocation.tenure {
                    self.leases.insert(allocation.id);
                }
                self.containers += usize::from(!allocation.is_local());
                let allocations = Arc::make_mut(&mut self.allocations);
                let former = allocations.insert(allocation.id, Arc::new(allocation));
                self.containers -= usize::from(former.is_some_and(|one| !one.is_local()));
            }
            Entry::Moved { id, device } => {
                if let Some(allocation) = Arc::make_mut(&mut self.allocations).get_mut(&id) {
                    Arc::make_mut(allocation).device = device;
                }
            }
            Entry::Named { id, container } => {
                if let Some(allocation) =
                    Arc::make_mut(&mut self.allocations).get_mut(&id).filter(|one| !one.is_local())
                {
                    Arc::make_mut(allocation).holder = Holder::Pod(container);
                }
            }
            Entry::Freed { id } => {
                self.leases.remove(&id);
                let former = Arc::make_mut(&mut self.allocations).remove(&id);
                self.containers -= usize::from(former.is_some_and(|one| !one.is_local()));
            }
            Entry::NextAllocation(next) => {
                self.last_allocation = self.last_allocation.max(next.saturating_sub(1));
            }
            Entry::Generation(generation) => self.generation = self.generation.max(generation),
            Entry::Held(hold) => self.hold = Some(hold),
            Entry::Unheld => self.hold = None,
            Entry::Adopted(adopted) => self.adopted = Some(adopted),
            Entry::StepStarted(step) => {
                if let Some(change) = &mut self.change {
                    change.touched |= step.takes_away();
                }
                self.step = Some(step);
            }
            Entry::StepEnded { step, failure } => {
                self.step = None;
                match failure {
                    Some(failure) => self.failures.insert(step, failure),
                    None => self.failures.remove(&step),
                };
            }
            Entry::FailuresForgotten => self.failures.clear(),
            Entry::Stopped(stopped) => self.stopped = stopped,
            Entry::Ordered(order) => self.order = order,
            Entry::ChangeBegan(change) => self.change = Some(change),
            Entry::ChangeTurned { why, called_off } => {
                // What was put back goes once more.
                self.differences.take_if(|_| self.network.is_some());
                if let Some(change) = &mut self.change {
                    change.turned = Some(why);
                    change.called_off = called_off;
                    change.confirm_by = None;
                }
            }
            Entry::ChangeAwaits(deadline) => {
                if let Some(change) = &mut self.change {
                    change.confirm_by = Some(deadline);
                }
            }
            Entry::ChangeEnded { outcome, ended } => {
                if let Some(change) = self.change.take() {
                    let restored = self.differences.is_some();
                    let ends = |kept: &mut Kept| kept.change == change.number && !change.touched;
                    self.network.take_if(|kept| restored || ends(kept));
                    self.remember(Past { change, ended, outcome });
                }
            }
            Entry::Past(past) => self.remember(past),
            Entry::Rejected(rejected) => self.rejected = rejected,
            Entry::OthersAdopted(others) => self.others = others,
            Entry::BootProven(proven) => self.proven = Some(proven),
            Entry::Loaded { module, release, boot } => {
                self.loaded.insert(module, (release, boot));
            }
            Entry::AfXdpRegistered { interface, boot } => {
                self.af_xdp.insert(interface, boot);
            }
            Entry::KeyAsked(asked) => {
                self.asked.insert(asked.fingerprint, asked);
            }
            Entry::KeyForgotten { fingerprint } => {
                self.asked.remove(&fingerprint);
            }
            Entry::KeyWished { wish, done: true } => drop(self.wishes.insert(wish)),
            Entry::KeyWished { wish, done: false } => drop(self.wishes.remove(&wish)),
            Entry::NetworkKept(kept) => {
                self.network = Some(kept);
                self.differences = None;
            }
            Entry::NetworkRestored { differences } => {
                // Until its end a change may turn, and all of it is needed again.
                self.network.take_if(|_| self.change.is_none());
                self.differences = Some(differences);
            }
            Entry::Clock(entry) => self.clock.take(entry),
            Entry::Unloaded { module } => {
                if module.as_str() == REGISTRAR {
                    self.af_xdp.clear();
                }
                self.loaded.remove(&module);
            }
        }
    }

    /// The allocations that end by the clock.
    pub fn leases(&self) -> impl Iterator<Item = &Allocation> {
        self.leases.iter().filter_map(|id| self.allocations.get(id)).map(Arc::as_ref)
    }

    /// How many devices containers have.
    pub fn containers(&self) -> usize {
        self.containers
    }

    fn remember(&mut self, past: Past) {
        self.past.retain(|one| one.change.number != past.change.number);
        self.past.push(past);
        let surplus = self.past.len().saturating_sub(PAST_KEPT);
        self.past.drain(..surplus);
    }

    /// The number of the next change.
    pub fn next_change(&self) -> u64 {
        let past = self.past.last().map_or(0, |past| past.change.number);
        let open = self.change.as_ref().map_or(0, |change| change.number);
        past.max(open) + 1
    }

    /// The shortest journal that adds up to this state.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![
            Entry::NextAllocation(self.last_allocation.saturating_add(1)),
            Entry::Generation(self.generation),
        ];
        entries.extend(self.allocations.values().map(|one| Entry::Granted(one.as_ref().clone())));
        entries.extend(self.hold.clone().map(Entry::Held));
        entries.extend(self.adopted.clone().map(Entry::Adopted));
        entries.extend(self.failures.iter().map(|(step, failure)| Entry::StepEnded {
            step: step.clone(),
            failure: Some(failure.clone()),
        }));
        entries.extend(self.step.clone().map(Entry::StepStarted));
        if self.stopped {
            entries.push(Entry::Stopped(true));
        }
        entries.extend(self.order.clone().map(|order| Entry::Ordered(Some(order))));
        entries.extend(self.past.iter().cloned().map(Entry::Past));
        entries.extend(self.change.clone().map(Entry::ChangeBegan));
        entries.extend(self.rejected.clone().map(|one| Entry::Rejected(Some(one))));
        if !self.others.is_empty() {
            entries.push(Entry::OthersAdopted(self.others.clone()));
        }
        entries.extend(self.proven.clone().map(Entry::BootProven));
        entries.extend(self.loaded.iter().map(|(module, (release, boot))| Entry::Loaded {
            module: module.clone(),
            release: release.clone(),
            boot: boot.clone(),
        }));
        entries.extend(self.af_xdp.iter().map(|(interface, boot)| Entry::AfXdpRegistered {
            interface: interface.clone(),
            boot: boot.clone(),
        }));
        entries.extend(self.asked.values().cloned().map(Entry::KeyAsked));
        let wishes = self.wishes.iter().copied();
        entries.extend(wishes.map(|wish| Entry::KeyWished { wish, done: true }));
        entries.extend(self.network.clone().map(Entry::NetworkKept));
        let differences = self.differences.clone();
        entries.extend(differences.map(|differences| Entry::NetworkRestored { differences }));
        entries.extend(self.clock.entries());
        entries
    }

    /// A whole file that adds up to this state.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for entry in self.entries() {
            text.push_str(&line(&entry));
        }
        text
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A format from the future, a broken line that is not the torn end, an entry that
    /// contradicts the ones before it.
    pub fn parse(bytes: &[u8]) -> Result<Replay, LedgerFault> {
        // An empty file is what a crash between creation and the first write leaves.
        if bytes.is_empty() {
            return Ok(Replay::default());
        }
        let (whole, torn) = split_torn(bytes);
        let text = std::str::from_utf8(whole).map_err(|error| LedgerFault::Broken {
            line: 1 + count_lines(&whole[..error.valid_up_to()]),
        })?;
        let mut lines = text.lines().enumerate();
        match lines.next() {
            Some((_, header)) if header == HEADER || FORMER_HEADERS.contains(&header) => {}
            Some((_, first)) if first.starts_with("{\"onloadd-ledger\":") => {
                return Err(LedgerFault::Format { header: first.chars().take(60).collect() });
            }
            // Nothing but a torn header: the file was being created.
            None if HEADER.as_bytes().starts_with(torn) => return Ok(Replay::default()),
            Some(_) | None => return Err(LedgerFault::Broken { line: 1 }),
        }
        let mut ledger = Self::default();
        let mut holders = Holders::default();
        for (number, line) in lines {
            let entry = parse_line(line).ok_or(LedgerFault::Broken { line: number + 1 })?;
            holders
                .check(&ledger, &entry)
                .map_err(|what| LedgerFault::Contradiction { line: number + 1, what })?;
            ledger.take(entry);
        }
        Ok(Replay { ledger, torn: torn.len() })
    }
}

/// A file as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The state.
    pub ledger: Ledger,
    /// Bytes of a torn last line, dropped.
    pub torn: usize,
}

/// Why a ledger is not relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// Written by a version of which this one knows nothing.
    #[error("its format is not known to this version of onloadd ({header})")]
    Format {
        /// The first line.
        header: String,
    },
    /// A line that does not read or whose checksum is wrong.
    #[error("line {line} is damaged")]
    Broken {
        /// Its number, from 1.
        line: usize,
    },
    /// Entries that cannot both be true.
    #[error("line {line} contradicts those before it: {what}")]
    Contradiction {
        /// Its number, from 1.
        line: usize,
        /// How.
        what: String,
    },
}

/// What stands before the body of a line.
const CRC_BYTES: usize = "{\"crc\":\"00000000\",\"entry\":".len();

/// One entry as a line of the file, with its end.
pub fn line(entry: &Entry) -> String {
    // Entries have string keys and plain values only, so this cannot fail; if it did, the line
    // would not read back, which the next start reports.
    let body = serde_json::to_string(entry).unwrap_or_default();
    let mut line = String::with_capacity(body.len() + 32);
    let _ =
        writeln!(line, "{{\"crc\":\"{:08x}\",\"entry\":{body}}}", crc32fast::hash(body.as_bytes()));
    line
}

/// The whole file with the body of every line written anew, so that it still reads: a line whose
/// checksum was right gets the one of its new body, and a damaged one stays damaged.
pub(crate) fn rewritten(content: &[u8], new: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let line = |line: &[u8]| -> Vec<u8> {
        let entry = std::str::from_utf8(line).ok().and_then(|line| {
            let whole = line.strip_suffix('\n').unwrap_or(line);
            parse_line(whole)?;
            let body = whole.strip_suffix('}')?.get(CRC_BYTES..)?;
            let body = String::from_utf8_lossy(&new(body.as_bytes())).into_owned();
            let end = if whole.len() < line.len() { "\n" } else { "" };
            let crc = crc32fast::hash(body.as_bytes());
            Some(format!("{{\"crc\":\"{crc:08x}\",\"entry\":{body}}}{end}").into_bytes())
        });
        entry.unwrap_or_else(|| new(line))
    };
    content.split_inclusive(|byte| *byte == b'\n').flat_map(line).collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let rest = line.strip_prefix("{\"crc\":\"")?;
    let (crc, rest) = rest.split_at_checked(8)?;
    let body = rest.strip_prefix("\",\"entry\":")?.strip_suffix('}')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    if crc != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    serde_json::from_str(body).ok()
}

/// Splits off what a crash tore: bytes after the last line end, and a tail of zero bytes, which
/// some file systems show where the size was on disk before the content was.
fn split_torn(bytes: &[u8]) -> (&[u8], &[u8]) {
    let content = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let whole = bytes[..content].iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.split_at(whole)
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests;
