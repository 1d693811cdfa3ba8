//! The only door to the machine: one trait, the Linux host behind it, and the simulated one.

use std::future::Future;

use onload_core::inventory::Snapshot;
use onload_core::step::{Outcome, Step, StepError};

pub mod linux;
pub mod sim;

/// The machine, as far as the daemon may see or change it. `Linux` and `Sim` implement it.
pub trait Host: 'static {
    /// Reads the machine once. What cannot be read is marked unreadable, never defaulted.
    fn observe(&self) -> impl Future<Output = Snapshot>;

    /// Carries out one step; repeating a step that already holds reports [`Outcome::Unchanged`].
    ///
    /// # Errors
    /// What the machine answered, in the terms of [`StepError`].
    fn apply(&self, step: &Step) -> impl Future<Output = Result<Outcome, StepError>>;

    /// Resolves when something may have changed: a hint to look again, never a fact. May resolve
    /// for nothing, and may miss a change; the tick is the net.
    fn changed(&self) -> impl Future<Output = ()>;
}
