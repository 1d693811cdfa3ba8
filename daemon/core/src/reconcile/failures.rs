//! Steps that failed: which of them are tried again, and how they are told.

use super::Reconciler;
use crate::blocker::{Blocked, Blocker};
use crate::ledger::Failure;
use crate::step::{Step, StepError};

/// Attempts after which only an order tries again: six, over half a minute, outlast a race with
/// udev or another package's modprobe, and do not fill the kernel log.
const MOST_ATTEMPTS: u32 = 6;
/// While a driver is being replaced nobody can use it.
const MOST_ATTEMPTS_CHANGING: u32 = 4;

impl Reconciler {
    /// Whether a failed step is tried again without an order.
    pub(super) fn retrying(&self, failure: &Failure) -> bool {
        let most =
            if self.ledger.change.is_some() { MOST_ATTEMPTS_CHANGING } else { MOST_ATTEMPTS };
        failure.attempts < most && failure.error.as_ref().is_none_or(StepError::retry_may_help)
    }

    /// The failure that stands against a step: one on another kernel or in another boot does not.
    /// One of which that could not be read does, or it would be tried again for the reading alone.
    pub(super) fn failure(&self, step: &Step) -> Option<&Failure> {
        let failure = self.ledger.failures.get(step)?;
        let kernel = is_same(failure.kernel.as_ref(), self.kernel.as_ref());
        (kernel && is_same(failure.boot.as_ref(), self.boot.as_ref())).then_some(failure)
    }

    /// The blocker that a failed first step is.
    pub(super) fn failed_step(&self) -> Option<Blocked> {
        let step = self.plan.steps.first().or_else(|| self.stuck())?;
        Some(self.failed(step, self.failure(step)?))
    }

    /// A failed step as a blocker.
    pub(super) fn failed(&self, step: &Step, failure: &Failure) -> Blocked {
        let blocker = match &failure.error {
            Some(error) => Blocker::StepFailed {
                step: step.clone(),
                error: error.clone(),
                attempts: failure.attempts,
                retrying: self.retrying(failure),
            },
            None => Blocker::NotSeen { step: step.clone() },
        };
        Blocked { subject: step.subject(), blocker }
    }
}

/// Equal as far as both are known.
pub(super) fn is_same<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}
