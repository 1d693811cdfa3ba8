//! What goes into the reconciler, and what comes out.

use std::sync::Arc;

use crate::allocation::{Process, Unit};
use crate::command::{Answer, Caller, Command, RequestId};
use crate::config::{Config, ConfigError};
use crate::inventory::{Look, Snapshot};
use crate::ledger::Entry;
use crate::names::{JobId, PoolName, ReleaseName};
use crate::picture::Picture;
use crate::pods::PodList;
use crate::refusal::Refusal;
use crate::secure_boot::request::write::Write;
use crate::step::{Outcome, Step, StepError};

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something may have changed on the machine: a hint, never a fact.
    Changed,
    /// A look at the machine.
    Looked(Box<Snapshot>),
    /// Somebody asks.
    Request {
        /// Its number.
        id: RequestId,
        /// Who.
        caller: Caller,
        /// What for.
        command: Command,
    },
    /// The configuration was read, on request or by itself.
    Configuration {
        /// Who waits for it.
        request: Option<RequestId>,
        /// What was read.
        config: Result<Box<Config>, ConfigError>,
    },
    /// A durable record is on the disk.
    Recorded(RecordId),
    /// A record could not be written.
    RecordFailed {
        /// Which.
        record: RecordId,
        /// The machine's answer.
        why: String,
    },
    /// The ledger was, or could not be, written anew.
    Rewritten(Result<(), String>),
    /// The step under way ended.
    StepEnded(Result<Outcome, StepError>),
    /// A release was taken in, or not.
    Imported {
        /// The job it was for.
        job: JobId,
        /// The name it has now.
        result: Result<ReleaseName, Refusal>,
    },
    /// A release was removed, or not.
    Removed {
        /// The job it was for.
        job: JobId,
        /// Whether.
        result: Result<(), Refusal>,
    },
    /// Variables of the firmware were written, or none of them.
    VariablesWritten {
        /// The job it was for.
        job: JobId,
        /// Whether.
        result: Result<(), Refusal>,
    },
    /// A bus connection is closed.
    ClientGone(String),
    /// The bus is gone; nobody's connection ended by it.
    BusLost,
    /// A process that holds something has ended.
    ProcessGone(Process),
    /// A unit that holds something has ended.
    UnitGone(Unit),
    /// A kubelet listens to a pool, or does not any more.
    Registered {
        /// The pool.
        pool: PoolName,
        /// Whether one does.
        registered: bool,
    },
    /// No kubelet listens to a pool, for this reason.
    NotRegistered {
        /// The pool.
        pool: PoolName,
        /// Why.
        why: String,
    },
    /// A socket of another plugin has come or gone.
    PluginSocket,
    /// The kubelet has answered what its pods hold, or why it has not.
    KubeletSaid(Result<PodList, String>),
    /// The change under way must not go on: back to the former release.
    TurnBack {
        /// Why.
        why: String,
    },
    /// The time that [`super::Reconciler::deadline`] named has come.
    Deadline,
}

/// What an edge must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Look at the machine, so far.
    Look(Look),
    /// Do a step. One at a time.
    Apply(Step),
    /// Take a release in from the files that the edge holds for the request.
    Import {
        /// The job it is for.
        job: JobId,
        /// The request that brought the files.
        request: RequestId,
        /// Its name; none: what its `onload` module says.
        version: Option<ReleaseName>,
    },
    /// Remove an imported release.
    Remove {
        /// The job it is for.
        job: JobId,
        /// Which.
        release: ReleaseName,
    },
    /// Write variables of the firmware, all or none.
    WriteVariables {
        /// The job it is for.
        job: JobId,
        /// What, in this order.
        writes: Vec<Write>,
    },
    /// Append to the ledger.
    Record {
        /// Its number.
        id: RecordId,
        /// What to append, in order.
        entries: Vec<Entry>,
        /// Whether to tell when it is on the disk.
        durability: Durability,
    },
    /// Replace the ledger by this text.
    Rewrite(String),
    /// Answer a request.
    Answer(RequestId, Answer),
    /// Show a new picture.
    Publish(Arc<Picture>),
    /// Read the configuration.
    ReadConfiguration(Option<RequestId>),
    /// Ask the kubelet what its pods hold, and what it has for them. An answer must come, be it
    /// that there is none.
    AskKubelet,
    /// Tell when this process ends; at once if it is not there.
    WatchProcess(Process),
    /// Tell when this unit ends; at once if it is not there.
    WatchUnit(Unit),
}

/// The number of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId(pub u64);

/// How safe a record must be before anybody hears of it (DESIGN section 10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Handed to the kernel: a kill of the daemon keeps it, a power loss may not.
    Written,
    /// On the disk.
    Synced,
}
