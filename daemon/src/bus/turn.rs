//! Long work on the bus in short turns: calls are answered between them.

use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// A burst of pods is hundreds of objects. So long a call may wait for them: a small part of what an
/// Allocate may take. Shorter turns would make no call faster, and one object at a time has objects
/// of a burst come seconds late on a busy machine, where everybody else takes a turn in between.
const TURN: Duration = Duration::from_millis(1);

/// A turn under way.
#[derive(Debug)]
pub(super) struct Turn {
    since: Instant,
}

impl Turn {
    /// From now on.
    pub(super) fn begin() -> Self {
        Self { since: Instant::now() }
    }

    /// To be called after each piece of work: lets others take their turn when this one is over.
    pub(super) async fn share(&mut self) {
        if self.since.elapsed() >= TURN {
            yield_now().await;
            *self = Self::begin();
        }
    }
}
