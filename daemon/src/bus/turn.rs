//! Long work on the bus in short turns: calls are answered between them.

use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// The longest turn: a burst of pods is hundreds of objects, and no call waits longer for them.
const LONGEST: Duration = Duration::from_millis(1);

/// A turn under way. It lasts as long as everybody else took before it: one piece of work where
/// nobody waits or calls are short, and a fair share on a busy machine. There, one piece for each
/// turn of all others would have the objects of a burst come seconds late.
#[derive(Debug)]
pub(super) struct Turn {
    since: Instant,
    lasts: Duration,
}

impl Turn {
    /// From now on, for one piece of work.
    pub(super) fn begin() -> Self {
        Self { since: Instant::now(), lasts: Duration::ZERO }
    }

    /// To be called after each piece of work: lets others take their turn when this one is over.
    pub(super) async fn share(&mut self) {
        if self.since.elapsed() < self.lasts {
            return;
        }
        let ended = Instant::now();
        yield_now().await;
        self.since = Instant::now();
        self.lasts = self.since.duration_since(ended).min(LONGEST);
    }
}
