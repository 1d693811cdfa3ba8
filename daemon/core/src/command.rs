//! What callers ask for, and what they get.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::allocation::{Process, TenureWish};
use crate::change::Manner;
use crate::clock::picture::Keeper;
use crate::names::{AllocationId, DeviceId, JobId, PoolName, ReleaseName};
use crate::refusal::Refusal;
use crate::secure_boot::request::PasswordHash;
use crate::time::Span;

/// The number of a request under way; the edge that made it finds its caller by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Who asks. The bus edge has already made sure that they may ask this kind of thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Effective user id.
    pub uid: u32,
    /// The process, where the bus could tell.
    pub process: Option<Process>,
    /// The unique bus name: a hint that lasts as long as the connection.
    pub bus_name: Option<String>,
    /// Whether limits and ownership do not bind them (root).
    pub privileged: bool,
}

/// An order or a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Lend devices to the caller.
    Allocate {
        /// From this pool.
        pool: PoolName,
        /// So many, all or none.
        count: u32,
        /// For how long.
        tenure: TenureWish,
    },
    /// Give a device back.
    Free {
        /// Which.
        allocation: AllocationId,
        /// Also one that a container or somebody else holds; for the privileged.
        force: bool,
    },
    /// Freeze the node: no steps, nothing lent anew to local programs.
    Hold {
        /// Why, for the next person.
        reason: String,
        /// For how long; none: until `unhold`.
        expiry: Option<Span>,
    },
    /// End a hold.
    Unhold,
    /// Bring the node to what the configuration asks for, now.
    Apply {
        /// Also try again what has failed.
        retry: bool,
        /// How a driver is replaced, if it must be.
        manner: Manner,
    },
    /// Bring the node to another release than the configuration asks for, until that changes.
    Use {
        /// Which.
        release: ReleaseName,
        /// How the driver is replaced.
        manner: Manner,
    },
    /// Bring the node back to a release it had.
    Rollback {
        /// So many changes back, from 1.
        back: u32,
        /// How the driver is replaced.
        manner: Manner,
    },
    /// Go ahead with the modules although others have to do with them.
    Adopt,
    /// Keep the change that waits for it.
    Confirm,
    /// Take a release in. The edge that asks holds its files.
    Import {
        /// Its name; none: what its `onload` module says.
        version: Option<ReleaseName>,
    },
    /// Remove an imported release.
    Remove {
        /// Which.
        release: ReleaseName,
    },
    /// Have shim ask for a key at the next boot.
    ImportKey {
        /// Its certificate, DER.
        certificate: Vec<u8>,
        /// The hash of the password that has to be typed then.
        hash: PasswordHash,
        /// Also where a disk is unlocked only while nothing changes of what that changes.
        despite_sealed: bool,
    },
    /// Have shim not ask.
    RevokeRequest {
        /// Also for what others asked.
        all: bool,
    },
    /// Give the system clock to sfptpd, or back to whoever had it.
    HandOver {
        /// To whom.
        to: Keeper,
    },
    /// Stop a job at the next step.
    Cancel {
        /// Which.
        job: JobId,
    },
    /// Read the configuration again.
    Reload,
    /// The kubelet's Allocate: device ids, container by container.
    KubeletAllocate {
        /// The pool whose socket was asked.
        pool: PoolName,
        /// Device ids of each container.
        containers: Vec<Vec<DeviceId>>,
    },
}

/// What an accepted command returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is so, now or already.
    Done,
    /// These were lent.
    Allocated(Vec<(AllocationId, DeviceId)>),
    /// Follow this job.
    Job(JobId),
    /// One answer per container.
    Containers(Vec<ContainerAnswer>),
}

/// Answer to a command.
pub type Answer = Result<Reply, Refusal>;

/// What a container gets: plain values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerAnswer {
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Which of them are there because the pool's profile sets them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub profiled: BTreeSet<String>,
    /// Read-only bind mounts, container path to host path.
    pub mounts: BTreeMap<String, String>,
    /// Device nodes, with read, write and mknod permission; the same path on both sides.
    pub device_nodes: Vec<String>,
}
