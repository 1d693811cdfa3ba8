//! The simulated host: a [`World`] with a clock and a bell. It sits below every decision and
//! answers as the kernel does; the decisions above it are the real ones.
//!
//! Faults on order ([`faults`]) are those below the host. A kubelet that forgets or remembers too
//! much, a disk that is full under the ledger, a clock that jumps and a node that sleeps are met at
//! other edges and have their stand-ins there.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onload_core::inventory::{Look, Snapshot};
use onload_core::names::ReleaseName;
use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::secure_boot::request::write::Write;
use onload_core::step::{Outcome, Step, StepError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::Host;
use action::{Action, ActionError};
pub use check::WorldError;
pub use world::World;

mod acting;
pub mod action;
mod af_xdp;
mod boot;
mod bus;
mod certificate;
mod check;
mod clocks;
mod control;
mod deeds;
mod disk;
pub mod faults;
pub mod file;
mod firmware;
mod kernel;
mod names;
mod network;
mod networks;
mod others;
mod owners;
mod snapshot;
mod stack;
mod trust;
mod users;
mod world;

/// How long after a load of `onload` its control-plane server is up: the kernel starts it apart,
/// and right after modprobe nobody holds the module yet (reference/onload-measured.md section 1).
const CONTROL_PLANE_DELAY: Duration = Duration::from_millis(50);

/// How long after an interface appears its owner has set it up: NetworkManager begins within a second.
const OWNER_DELAY: Duration = Duration::from_millis(300);

/// The simulated machine as a [`Host`]. Clones are the same machine.
#[derive(Clone, Debug)]
pub struct Sim(Arc<Machine>);

#[derive(Debug)]
struct Machine {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug)]
struct State {
    world: World,
    /// Up to when time has passed in it.
    passed: Instant,
    /// What is still to happen by the script, earliest first.
    script: VecDeque<(Instant, Action)>,
    /// When the control-plane server that was asked for is up.
    server_at: Option<Instant>,
    /// When an owner sets up what it has seen.
    owner_at: Option<Instant>,
    /// Changes told and not yet heard.
    hints: u32,
}

impl Sim {
    /// Starts the machine; the script's time begins now. Scripted events need no task: each look,
    /// step or wait first lets happen what is due.
    pub fn new(world: World) -> Self {
        let start = Instant::now();
        let mut script: Vec<(Instant, Action)> = world
            .events()
            .iter()
            .map(|event| (start + event.after.0, event.action.get_ref().clone()))
            .collect();
        script.sort_by_key(|(at, _)| *at);
        let state = State {
            world,
            passed: start,
            script: script.into(),
            server_at: None,
            owner_at: None,
            hints: 0,
        };
        Self(Arc::new(Machine { state: Mutex::new(state), bell: Notify::new() }))
    }

    /// Does what a line says, now.
    ///
    /// # Errors
    /// As [`World::act`].
    pub fn act(&self, action: &Action) -> Result<(), ActionError> {
        self.with(|world| world.act(action))
    }

    /// Lets happen what is due, then does `work`, and tells of every change.
    fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let mut state = self.state();
        state.catch_up(Instant::now());
        let result = state.change(work);
        if state.hints > 0 {
            self.0.bell.notify_one();
        }
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code below can leave the state half changed, so a poisoned lock says nothing about it.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change<T>(&mut self, work: impl FnOnce(&mut World) -> T) -> T {
        let before = self.world.changes();
        let result = work(&mut self.world);
        if self.world.changes() != before {
            self.hints = self.hints.saturating_add(self.world.hints_per_change());
        }
        if !self.world.control_plane_is_due() {
            self.server_at = None;
        } else if self.server_at.is_none() {
            self.server_at = Some(Instant::now() + CONTROL_PLANE_DELAY);
        }
        if !self.world.owner_is_due() {
            self.owner_at = None;
        } else if self.owner_at.is_none() {
            self.owner_at = Some(Instant::now() + OWNER_DELAY);
        }
        result
    }

    fn catch_up(&mut self, now: Instant) {
        while let Some(at) = self.next().filter(|at| *at <= now) {
            let restarts = self.restart_at() == Some(at);
            self.pass(at);
            if restarts {
                continue;
            }
            let action = if self.server_at == Some(at) {
                Action::ControlPlaneStarts
            } else if self.owner_at == Some(at) {
                Action::OwnersAct
            } else {
                match self.script.pop_front() {
                    Some((_, action)) => action,
                    None => break,
                }
            };
            match self.change(|world| world.act(&action)) {
                Ok(()) => debug!(%action, "simulated"),
                Err(error) => warn!(%action, %error, "simulated event refused"),
            }
        }
        self.pass(now);
    }

    /// Time passes in the world, up to then.
    fn pass(&mut self, to: Instant) {
        let millis = to.saturating_duration_since(self.passed).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        if millis > 0 {
            self.passed += Duration::from_millis(millis);
            self.change(|world| world.pass(millis));
        }
    }

    /// When the world restarts a program by itself.
    fn restart_at(&self) -> Option<Instant> {
        self.world.restarts_in().map(|millis| self.passed + Duration::from_millis(millis))
    }

    /// When the next thing happens by itself.
    fn next(&self) -> Option<Instant> {
        self.script
            .front()
            .map(|(at, _)| *at)
            .into_iter()
            .chain(self.server_at)
            .chain(self.owner_at)
            .chain(self.restart_at())
            .min()
    }
}

impl Host for Sim {
    async fn observe(&self, look: impl Into<Look>) -> Snapshot {
        let look = look.into();
        self.with(|world| world.look(look))
    }

    async fn apply(&self, step: &Step) -> Result<Outcome, StepError> {
        match self.with(|world| world.answer(step)) {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    async fn import(
        &self,
        _source: OwnedFd,
        _version: Option<ReleaseName>,
    ) -> Result<ReleaseName, Refusal> {
        Err(Refusal::new(
            RefusalKind::Unsupported,
            "no release was taken in",
            "a simulated machine has its releases in its world file",
            "add a [[release]] to the world file",
        ))
    }

    async fn remove(&self, release: &ReleaseName) -> Result<(), Refusal> {
        Err(Refusal::new(
            RefusalKind::Unsupported,
            format!("release {release} was not removed"),
            "a simulated machine has its releases in its world file",
            "take the [[release]] out of the world file",
        ))
    }

    async fn write_variables(&self, writes: &[Write]) -> Result<(), Refusal> {
        self.with(|world| world.write_variables(writes))
    }

    async fn changed(&self) {
        loop {
            let next = {
                let mut state = self.state();
                state.catch_up(Instant::now());
                if state.hints > 0 {
                    state.hints -= 1;
                    if state.hints > 0 {
                        self.0.bell.notify_one();
                    }
                    return;
                }
                state.next()
            };
            match next {
                Some(at) => tokio::select! {
                    () = self.0.bell.notified() => {}
                    () = sleep_until(at) => {}
                },
                None => self.0.bell.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
