//! Steps carried out on the running machine, each after a look whether it is still to be done.

use std::path::Path;

use onload_core::clock::ClockLook;
use onload_core::inventory::{Autoload, Depth, Loader, Look, Snapshot};
use onload_core::names::{PoolName, ReleaseName};
use onload_core::others::{SERVER_PARAMETERS, SERVER_PATH};
use onload_core::release::is_imported;
use onload_core::step::{Outcome, Step, StepError};

use super::modprobe::Loading;
use super::runner::Program;
use super::source::Source;
use super::{
    Linux, af_xdp, control_plane, interfaces, loader, modules, onload, pci, pins, releases, udevd,
    userland,
};
use crate::host::Host as _;

/// Where the loaded `onload` is told things.
const ONLOAD_PARAMETERS: &str = "/sys/module/onload/parameters";

impl Linux {
    /// Carries out a step that does not hold.
    pub(super) async fn carry_out(&self, step: &Step) -> Result<Outcome, StepError> {
        if matches!(self.source, Source::Recorded) {
            return Err(self.unsupported());
        }
        if step.holds_in(&self.glance(step).await) {
            return Ok(Outcome::Unchanged);
        }
        let loading = Loading {
            root: &self.root,
            programs: &self.programs,
            state_directory: &self.state_directory,
        };
        match step {
            Step::LoadModule { module, release } => {
                // Before, so that a kill in the middle leaves it as the load does; the way back, if
                // there is one, loads another.
                if module.as_str() == "onload" {
                    self.show_current(release).await;
                }
                loading.load(module, release).await
            }
            Step::UnloadModule { module } => loading.unload(module).await,
            Step::StopControlPlane => control_plane::stop(&self.root).await,
            Step::StopUnit { unit } => self.programs.systemd.stop(unit).await,
            Step::StartUnit { unit } => self.programs.systemd.start(unit).await,
            Step::RestartUnit { unit, .. } => self.programs.systemd.restart(unit).await,
            Step::ConfigureClock(wanted) => self.configure_clock(wanted).await,
            Step::LeaveClock => self.leave_clock().await,
            Step::BindDriver { port, driver } => pci::bind(&self.programs, *port, driver).await,
            Step::RegisterAfXdp { interface } => af_xdp::register(&self.programs, interface).await,
            Step::WriteLoader(wanted) => self.write_loader(wanted).await,
            Step::RestoreServer { server, clear } => self.restore_server(server, *clear).await,
            Step::PlaceUserland { pool, release, tree } => self.place(pool, release, tree).await,
            Step::PinNames(wanted) => self.pin_names(wanted).await,
            Step::Rename(all) => self.have_renamed(all).await,
            Step::HandBack { interface, owner } => self.hand_back(interface, owner).await,
            Step::RestoreNetwork(deeds) => self.have_restored(deeds).await,
        }
    }

    /// Makes `releases/current` lead to the release whose `onload` is loaded; nothing where that
    /// is not one of ours. Whoever reads the link is told by it, nothing is decided by it.
    async fn show_current(&self, release: &ReleaseName) {
        let Some(store) = self.store.clone().filter(|_| is_imported(release)) else { return };
        let name = release.clone();
        // An import under way holds the same lock for a while.
        let shown = tokio::task::spawn_blocking(move || store.select(&name)).await;
        match shown {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "releases/current leads elsewhere"),
            Err(error) => tracing::warn!(%error, "releases/current leads elsewhere"),
        }
    }

    /// Has the link of a pool lead to the libraries of a release.
    async fn place(
        &self,
        pool: &PoolName,
        release: &ReleaseName,
        tree: &str,
    ) -> Result<Outcome, StepError> {
        let failed = |why: String| StepError::Failed(format!("the link was not written: {why}"));
        let (pool, name, tree) = (pool.clone(), release.clone(), tree.to_owned());
        let found = releases::userland_of(&self.root, &self.state_directory, release);
        if onload_core::userland::tree(&name, &found) != tree {
            return Err(failed(format!(
                "the files of {name} have changed since they were looked at"
            )));
        }
        let Some(store) = self.store.clone() else { return Err(self.unsupported()) };
        let place = move || store.place(&pool, &name, &found, &tree);
        match tokio::task::spawn_blocking(place).await {
            Ok(Ok(())) => Ok(Outcome::Changed),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// As much of a look as tells whether a step holds.
    async fn glance(&self, step: &Step) -> Snapshot {
        let root = &self.root;
        let of = |unit: &String| ClockLook { units: [unit.clone()].into(), ..ClockLook::default() };
        match step {
            Step::LoadModule { .. } | Step::UnloadModule { .. } | Step::RestoreServer { .. } => {
                Snapshot { modules: modules::read(root), ..Snapshot::default() }
            }
            Step::StopControlPlane => {
                Snapshot { driver: onload::driver(root), ..Snapshot::default() }
            }
            Step::StopUnit { unit } => {
                self.observe(Look { depth: Depth::Users, clocks: Some(of(unit)) }).await
            }
            Step::StartUnit { unit } | Step::RestartUnit { unit, .. } => {
                let clocks = self.clocks(Some(&of(unit))).await;
                Snapshot { clocks, ..Snapshot::default() }
            }
            Step::ConfigureClock(_) | Step::LeaveClock => {
                let clocks = self.clocks(Some(&ClockLook::default())).await;
                Snapshot { clocks, ..Snapshot::default() }
            }
            Step::BindDriver { .. } => Snapshot { ports: pci::read(root), ..Snapshot::default() },
            Step::RegisterAfXdp { .. } => {
                Snapshot { af_xdp: af_xdp::read(root), ..Snapshot::default() }
            }
            Step::WriteLoader(_) => Snapshot { loader: loader::read(root), ..Snapshot::default() },
            Step::PlaceUserland { .. } => {
                let userland = userland::read(root, &self.state_directory);
                Snapshot { userland, ..Snapshot::default() }
            }
            Step::PinNames(_) => Snapshot { pins: pins::read(root), ..Snapshot::default() },
            Step::Rename(_) => {
                let ports = pci::read(root);
                let interfaces = interfaces::read(root, &self.source, &ports).await;
                Snapshot { interfaces, ..Snapshot::default() }
            }
            // What was planned was compared a moment ago.
            Step::HandBack { .. } | Step::RestoreNetwork(_) => Snapshot::default(),
        }
    }

    async fn write_loader(&self, wanted: &Loader) -> Result<Outcome, StepError> {
        let write = || {
            let written = loader::write(Path::new(loader::DIRECTORY), wanted);
            written.map_err(|error| unwritten(loader::DIRECTORY, &error))
        };
        // What udevd reads when it is told must be what is to hold from then on: the rule blocks by
        // itself, and with the file still there it would go on blocking.
        match wanted.autoload {
            Autoload::Blocked => {
                self.write_rule(wanted.autoload).await?;
                write()?;
            }
            Autoload::Allowed => {
                write()?;
                self.write_rule(wanted.autoload).await?;
            }
        }
        Ok(Outcome::Changed)
    }

    /// Writes parameters of the loaded `onload`. The daemon itself may not write below `/sys`.
    async fn restore_server(&self, server: &str, clear: bool) -> Result<Outcome, StepError> {
        let ended = self.programs.run(&restore(server, clear)).await?;
        if ended.success {
            return Ok(Outcome::Changed);
        }
        let why = ended.output.trim();
        Err(StepError::Failed(format!("onload was not told of its control-plane server: {why}")))
    }

    async fn write_rule(&self, autoload: Autoload) -> Result<(), StepError> {
        let changed = loader::rule(Path::new(loader::RULES), autoload)
            .map_err(|error| unwritten(loader::RULES, &error))?;
        if changed && udevd::runs() {
            // Soon enough by itself for a driver that may come back, and not for one that must not.
            match autoload {
                Autoload::Allowed => udevd::begin_reload(),
                Autoload::Blocked => udevd::reload(&self.programs).await?,
            }
        }
        Ok(())
    }
}

fn unwritten(place: &str, error: &std::io::Error) -> StepError {
    StepError::Failed(format!("{place} was not written: {error}"))
}

/// A parameter is the text that is written, line feed and all; and what has no bytes is not written
/// at all.
fn restore(server: &str, clear: bool) -> Program {
    let mut script = format!("printf %s \"$1\" >{ONLOAD_PARAMETERS}/{SERVER_PATH}");
    if clear {
        script += &format!(" && echo >{ONLOAD_PARAMETERS}/{SERVER_PARAMETERS}");
    }
    Program {
        unit: "onloadd-restore-server.service".to_owned(),
        description: "Tell onload for onloadd which control-plane server to start".to_owned(),
        name: "sh",
        arguments: vec!["-c".to_owned(), script, "sh".to_owned(), server.to_owned()],
        environment: Vec::new(),
        path: Vec::new(),
    }
}
