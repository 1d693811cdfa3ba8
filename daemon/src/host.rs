//! The only door to the machine: one trait, the Linux host behind it, and the simulated one.

use std::future::Future;
use std::os::fd::OwnedFd;

use onload_core::inventory::{Look, Snapshot};
use onload_core::names::ReleaseName;
use onload_core::refusal::Refusal;
use onload_core::secure_boot::request::write::Write;
use onload_core::step::{Outcome, Step, StepError};

pub mod linux;
pub mod sim;

/// The machine, as far as the daemon may see or change it. `Linux` and `Sim` implement it.
pub trait Host: 'static {
    /// Reads the machine once, as far as the look says. What cannot be read is marked unreadable, never defaulted.
    fn observe(&self, look: impl Into<Look>) -> impl Future<Output = Snapshot>;

    /// Carries out one step; repeating a step that already holds reports [`Outcome::Unchanged`].
    ///
    /// # Errors
    /// What the machine answered, in the terms of [`StepError`].
    fn apply(&self, step: &Step) -> impl Future<Output = Result<Outcome, StepError>>;

    /// Takes a release in: a directory, or an archive as it comes. All of it or nothing; `version`
    /// names it, else its `onload` module does.
    ///
    /// # Errors
    /// Why it was not taken in, for whoever ordered it.
    fn import(
        &self,
        source: OwnedFd,
        version: Option<ReleaseName>,
    ) -> impl Future<Output = Result<ReleaseName, Refusal>>;

    /// Removes an imported release that nobody uses.
    ///
    /// # Errors
    /// Why it stays: somebody has its libraries mapped, or the machine's answer.
    fn remove(&self, release: &ReleaseName) -> impl Future<Output = Result<(), Refusal>>;

    /// Writes variables by which shim is asked for something, in this order: all of them or none. Goes
    /// on to its end when it is no longer waited for.
    ///
    /// # Errors
    /// Which variable was not written, why, and what to do. If what stood there before could not be
    /// put back, it says so.
    fn write_variables(&self, writes: &[Write]) -> impl Future<Output = Result<(), Refusal>>;

    /// Resolves when something may have changed: a hint to look again, never a fact. May resolve
    /// for nothing, and may miss a change; the tick is the net.
    fn changed(&self) -> impl Future<Output = ()>;
}
