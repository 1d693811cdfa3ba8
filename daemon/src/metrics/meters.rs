//! What no picture tells: what is counted where it happens. To count is to add to a few numbers; nothing
//! is allocated for it, and nobody is woken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onload_core::change::{Origin, Outcome, Past};
use onload_core::command::Command;
use onload_core::names::PoolName;
use onload_core::picture::Picture;
use onload_core::step::{self, StepError};

/// From what a plugin without a ledger answers in to what makes a pod's start fail. A bus client waits
/// for `kubelet.withdraw-settle`, too.
const ALLOCATION_BOUNDS: [Duration; 14] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

/// From a swap that waits for nobody to one that waits for holders or a confirmation.
const CHANGE_BOUNDS: [Duration; 11] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
    Duration::from_secs(3_600),
];

/// Longest duration that is believed. Holders and confirmations are waited for, but not for days on a node that
/// works.
const LONGEST_CHANGE: Duration = Duration::from_secs(24 * 3600);

/// Durations by size.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    bounds: [Duration; N],
    counts: [AtomicU64; N],
    /// Above the last bound.
    beyond: AtomicU64,
    nanos: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    const fn new(bounds: [Duration; N]) -> Self {
        let counts = [const { AtomicU64::new(0) }; N];
        Self { bounds, counts, beyond: AtomicU64::new(0), nanos: AtomicU64::new(0) }
    }

    fn observe(&self, took: Duration) {
        let place = self.bounds.iter().position(|bound| took <= *bound);
        let count = place.and_then(|place| self.counts.get(place)).unwrap_or(&self.beyond);
        count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The sum in seconds, the count, and the count of each bucket alone with its upper bound in seconds.
    pub(super) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = self.bounds.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let counts = self.counts.iter().chain([&self.beyond]);
        let buckets: Vec<_> =
            bounds.zip(counts.map(|count| count.load(Ordering::Relaxed))).collect();
        // Of the buckets, so that the two agree whoever counts meanwhile.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        (sum.as_secs_f64(), count, buckets)
    }
}

/// Who asks for devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kubelet, for a container.
    Kubelet,
    /// A client of the bus.
    Bus,
}

impl Source {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Kubelet, Self::Bus];

    /// Who asks by a command, if it asks for devices.
    pub fn of(command: &Command) -> Option<Self> {
        match command {
            Command::KubeletAllocate { .. } => Some(Self::Kubelet),
            Command::Allocate { .. } => Some(Self::Bus),
            Command::Free { .. }
            | Command::Hold { .. }
            | Command::Unhold
            | Command::Apply { .. }
            | Command::Use { .. }
            | Command::Rollback { .. }
            | Command::Adopt
            | Command::Confirm
            | Command::Import { .. }
            | Command::Remove { .. }
            | Command::ImportKey { .. }
            | Command::RevokeRequest { .. }
            | Command::HandOver { .. }
            | Command::Cancel { .. }
            | Command::Reload => None,
        }
    }

    /// The word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::Bus => "bus",
        }
    }
}

/// Requests for devices from one side.
#[derive(Debug)]
pub(super) struct Requests {
    /// How long those that were granted took.
    pub(super) granted: Histogram<14>,
    refused: AtomicU64,
}

impl Requests {
    const fn new() -> Self {
        Self { granted: Histogram::new(ALLOCATION_BOUNDS), refused: AtomicU64::new(0) }
    }

    /// How many were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// How changes ended.
pub(super) const OUTCOMES: [&str; 3] = ["done", "rolled-back", "failed"];
/// Why they were made.
pub(super) const ORIGINS: [&str; 4] = ["boot", "idle", "drift", "order"];
/// How steps ended.
pub(super) const RESULTS: [&str; 3] = ["changed", "unchanged", "failed"];

/// All that is counted.
#[derive(Debug)]
pub struct Meters {
    kubelet: Requests,
    bus: Requests,
    registrations: Mutex<BTreeMap<PoolName, u64>>,
    /// By [`RESULTS`].
    steps: [AtomicU64; 3],
    /// By [`OUTCOMES`] and [`ORIGINS`].
    changes: [[AtomicU64; 4]; 3],
    /// By [`OUTCOMES`].
    took: [Histogram<11>; 3],
    /// The number of the last change that was counted.
    counted: AtomicU64,
    /// Another one with whatever is counted.
    version: AtomicU64,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            kubelet: Requests::new(),
            bus: Requests::new(),
            registrations: Mutex::default(),
            steps: [const { AtomicU64::new(0) }; 3],
            changes: [const { [const { AtomicU64::new(0) }; 4] }; 3],
            took: [const { Histogram::new(CHANGE_BOUNDS) }; 3],
            counted: AtomicU64::new(0),
            version: AtomicU64::new(0),
        }
    }
}

impl Meters {
    /// A request for devices was answered.
    pub fn answered(&self, source: Source, took: Duration, granted: bool) {
        let requests = self.requests(source);
        if granted {
            requests.granted.observe(took);
        } else {
            requests.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.touch();
    }

    /// A kubelet has accepted a pool.
    pub fn registered(&self, pool: &PoolName) {
        let mut registrations = self.lock();
        match registrations.get_mut(pool) {
            Some(count) => *count += 1,
            None => {
                registrations.insert(pool.clone(), 1);
            }
        }
        drop(registrations);
        self.touch();
    }

    /// A step has ended.
    pub fn step_ended(&self, result: &Result<step::Outcome, StepError>) {
        let [changed, unchanged, failed] = &self.steps;
        let count = match result {
            Ok(step::Outcome::Changed) => changed,
            Ok(step::Outcome::Unchanged) => unchanged,
            Err(_) => failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// A picture is published. Counts the changes of this boot that ended since the one before: the
    /// first after a start has those of the boot's own process and of daemons before, from the ledger.
    pub fn published(&self, picture: &Picture) {
        let last = picture.history.last().map_or(0, |past| past.change.number);
        let counted = self.counted.load(Ordering::Relaxed);
        let Some(boot) = picture.boot_id.known().filter(|_| last > counted) else { return };
        let new = picture.history.iter().filter(|past| past.change.number > counted);
        new.filter(|past| past.change.boot.as_ref() == Some(boot))
            .for_each(|past| self.count(past));
        self.counted.store(last, Ordering::Relaxed);
        self.touch();
    }

    fn touch(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Two that are alike: nothing was counted between.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn count(&self, past: &Past) {
        let outcome = match past.outcome {
            Outcome::Done => 0,
            Outcome::RolledBack => 1,
            Outcome::Failed(_) => 2,
        };
        let origin = match past.change.origin {
            Origin::Boot => 0,
            Origin::Idle => 1,
            Origin::Drift => 2,
            Origin::Order(_) => 3,
        };
        // The ledger has times of day alone, since a change goes on over a restart. A clock that was set meanwhile,
        // as from 1970 by the first answer of NTP, makes of them what cannot be; one such would spoil the sum for good.
        let took = past.ended.0.checked_sub(past.change.began.0).map(Duration::from_millis);
        if let Some(took) = took.filter(|took| *took <= LONGEST_CHANGE) {
            self.took[outcome].observe(took);
        }
        self.changes[outcome][origin].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests from one side.
    pub(super) fn requests(&self, source: Source) -> &Requests {
        match source {
            Source::Kubelet => &self.kubelet,
            Source::Bus => &self.bus,
        }
    }

    /// How often a kubelet has accepted a pool.
    pub(super) fn registrations(&self, pool: &PoolName) -> u64 {
        self.lock().get(pool).copied().unwrap_or(0)
    }

    /// Steps that ended, with how.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().zip(self.steps.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Changes that ended, with how, and why they were made.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        OUTCOMES.into_iter().zip(&self.changes).flat_map(|(outcome, by)| {
            let counts = by.iter().map(|count| count.load(Ordering::Relaxed));
            ORIGINS.into_iter().zip(counts).map(move |(origin, count)| (outcome, origin, count))
        })
    }

    /// How long changes took, with how they ended.
    pub(super) fn took(&self) -> impl Iterator<Item = (&'static str, &Histogram<11>)> {
        OUTCOMES.into_iter().zip(&self.took)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PoolName, u64>> {
        // Nobody can have panicked with it: to add is all that is done.
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
