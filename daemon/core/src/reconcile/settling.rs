//! The wait for quiet after something has changed, before the machine is looked at.

use super::{Progress, Reconciler};
use crate::time::{Moment, Now};

/// A change that is settling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settle {
    /// When it counts as settled.
    pub(super) until: Moment,
    /// The latest that can be, however often things change.
    at_latest: Moment,
}

impl Reconciler {
    /// Arms the settle timer; a storm cannot put a look off for more than four times its length.
    pub(super) fn settle(&mut self, now: Now) {
        // What a change does tells of itself, and each of its steps is followed by a look: to wait
        // for quiet as well would only keep the devices away for longer.
        if self.ledger.change.as_ref().is_some_and(|change| change.confirm_by.is_none()) {
            if self.progress == Progress::Idle && !self.looking {
                self.look();
            }
            return;
        }
        let length = self.config.settings.daemon.settle.0;
        let at_latest = self.settle.map_or(now.boot + length * 4, |settle| settle.at_latest);
        if self.settle.is_none() {
            self.publish_soon(now.boot);
        }
        self.settle = Some(Settle { until: (now.boot + length).min(at_latest), at_latest });
    }
}
