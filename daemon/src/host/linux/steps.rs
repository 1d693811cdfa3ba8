//! Steps carried out on the running machine, each after a look whether it is still to be done.

use std::path::Path;

use onload_core::inventory::{Autoload, Depth, Loader, Snapshot};
use onload_core::step::{Outcome, Step, StepError};

use super::modprobe::Loading;
use super::runner::Program;
use super::source::Source;
use super::{Linux, af_xdp, control_plane, loader, modules, onload, systemd};
use crate::host::Host as _;

/// There while udevd runs.
const UDEVD_SOCKET: &str = "/run/udev/control";

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
            runner: self.runner,
            state_directory: &self.state_directory,
        };
        match step {
            Step::LoadModule { module, release } => loading.load(module, release).await,
            Step::UnloadModule { module } => loading.unload(module).await,
            Step::StopControlPlane => control_plane::stop(&self.root).await,
            Step::StopUnit { unit } => systemd::stop(unit).await,
            Step::RegisterAfXdp { interface } => af_xdp::register(self.runner, interface).await,
            Step::WriteLoader(wanted) => self.write_loader(wanted).await,
        }
    }

    /// As much of a look as tells whether a step holds.
    async fn glance(&self, step: &Step) -> Snapshot {
        let root = &self.root;
        match step {
            Step::LoadModule { .. } | Step::UnloadModule { .. } => {
                Snapshot { modules: modules::read(root), ..Snapshot::default() }
            }
            Step::StopControlPlane => {
                Snapshot { driver: onload::driver(root), ..Snapshot::default() }
            }
            Step::StopUnit { .. } => self.observe(Depth::Users).await,
            Step::RegisterAfXdp { .. } => {
                Snapshot { af_xdp: af_xdp::read(root), ..Snapshot::default() }
            }
            Step::WriteLoader(_) => Snapshot { loader: loader::read(root), ..Snapshot::default() },
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

    async fn write_rule(&self, autoload: Autoload) -> Result<(), StepError> {
        let changed = loader::rule(Path::new(loader::RULES), autoload)
            .map_err(|error| unwritten(loader::RULES, &error))?;
        if changed && Path::new(UDEVD_SOCKET).exists() {
            // By itself it looks for changes at most every three seconds.
            let ended = self.runner.run(&reload()).await?;
            if !ended.success {
                let why = ended.output.trim();
                return Err(StepError::Failed(format!("udevd was not told of it: {why}")));
            }
        }
        Ok(())
    }
}

fn unwritten(place: &str, error: &std::io::Error) -> StepError {
    StepError::Failed(format!("{place} was not written: {error}"))
}

fn reload() -> Program {
    Program {
        unit: "onloadd-udev-reload.service".to_owned(),
        description: "Tell udev for onloadd what modprobe was told".to_owned(),
        name: "udevadm",
        arguments: vec!["control".to_owned(), "--reload".to_owned()],
        environment: Vec::new(),
        path: Vec::new(),
    }
}
