//! What a line of the journal may say.

use serde::{Deserialize, Serialize};

use super::clock::ClockEntry;
use crate::allocation::{Allocation, PodContainer};
use crate::change::{Change, Deadline, Order, Outcome, Past, Proven, Rejected};
use crate::config::ModuleSettings;
use crate::names::{
    AllocationId, BootId, DeviceId, InterfaceName, KernelRelease, ModuleName, ReleaseName,
};
use crate::network::Kept;
use crate::others::Adoptions;
use crate::picture::Hold;
use crate::secure_boot::enrolment::{Asked, Fingerprint};
use crate::step::{Step, StepError};
use crate::time::Timestamp;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// A device was lent.
    Granted(Allocation),
    /// An allocation goes on with another device of its pool.
    Moved {
        /// Which allocation.
        id: AllocationId,
        /// Its device from now on.
        device: DeviceId,
    },
    /// The kubelet has said which container an allocation is for.
    Named {
        /// Which allocation.
        id: AllocationId,
        /// Its container.
        container: PodContainer,
    },
    /// An allocation ended.
    Freed {
        /// Which.
        id: AllocationId,
    },
    /// The lowest number not given out yet; numbers are never used twice.
    NextAllocation(u64),
    /// Orders accepted so far.
    Generation(u64),
    /// A hold began.
    Held(Hold),
    /// A hold ended.
    Unheld,
    /// `[modules]` as it is carried out until the next order or boot.
    Adopted(Adopted),
    /// A step is about to be done.
    StepStarted(Step),
    /// A step ended.
    StepEnded {
        /// Which.
        step: Step,
        /// How it failed, if it did.
        failure: Option<Failure>,
    },
    /// Failed steps may be tried again.
    FailuresForgotten,
    /// A cancelled job: nothing is done until the next order (true), or an order came (false).
    Stopped(bool),
    /// An order that names a release; none: the configuration counts again.
    Ordered(Option<Order>),
    /// A change began.
    ChangeBegan(Change),
    /// The change under way is being taken back.
    ChangeTurned {
        /// Why.
        why: String,
        /// Whether a person did it.
        #[serde(default)]
        called_off: bool,
    },
    /// The change under way is done, and must be confirmed.
    ChangeAwaits(Deadline),
    /// The change under way ended.
    ChangeEnded {
        /// How.
        outcome: Outcome,
        /// When.
        ended: Timestamp,
    },
    /// A change that ended, in a journal written anew.
    Past(Past),
    /// A release did not come up; none: it may be tried again.
    Rejected(Option<Rejected>),
    /// Managers of the modules that onloadd goes ahead beside: all there are from here on.
    OthersAdopted(Adoptions),
    /// A boot had a default route.
    BootProven(Proven),
    /// A module was loaded from a release, which not every module tells of itself.
    Loaded {
        /// The module.
        module: ModuleName,
        /// Where it came from.
        release: ReleaseName,
        /// In which boot.
        boot: Option<BootId>,
    },
    /// An interface was registered for AF_XDP; it counts until `sfc_resource` is taken out.
    AfXdpRegistered {
        /// Its name.
        interface: InterfaceName,
        /// In which boot.
        boot: Option<BootId>,
    },
    /// Shim was asked for a key, or is about to be.
    KeyAsked(Asked),
    /// A key that was asked for is enrolled, or was taken back.
    KeyForgotten {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// A wish of the configuration to have a key enrolled.
    KeyWished {
        /// Which: SHA-256 over the certificate and the password's hash.
        wish: Fingerprint,
        /// Whether it was carried out, so that it never is again; else it is wished for no more.
        done: bool,
    },
    /// What the ports carry, before their driver is taken away.
    NetworkKept(Kept),
    /// What was kept is back, but for these differences, or is of an earlier boot.
    NetworkRestored {
        /// One line for each.
        differences: Vec<String>,
    },
    /// Something happened to clocks.
    Clock(ClockEntry),
    /// A module was taken out: where it came from counts no more.
    Unloaded {
        /// The module.
        module: ModuleName,
    },
}

/// The `[modules]` in force, and the boot it was taken up in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Adopted {
    /// What is wanted.
    pub modules: ModuleSettings,
    /// Since which boot; none where it could not be read.
    pub boot: Option<BootId>,
    /// The last allocation of earlier boots.
    #[serde(default)]
    pub before: AllocationId,
}

/// A failed step. It stands until release, kernel or boot change, or an order forgets it
/// (DESIGN section 10.2); the release is part of the step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Failure {
    /// Why; none: it was reported done and the machine does not show it.
    pub error: Option<StepError>,
    /// How often so far.
    pub attempts: u32,
    /// The kernel it failed on.
    pub kernel: Option<KernelRelease>,
    /// The boot it failed in.
    pub boot: Option<BootId>,
}
