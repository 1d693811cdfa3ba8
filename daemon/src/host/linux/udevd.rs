//! udevd, told to read its files anew. By itself it looks for changes at most every three seconds.

use std::path::Path;

use onload_core::step::StepError;

use super::runner::{Program, Programs};

/// There while udevd runs.
const SOCKET: &str = "/run/udev/control";

/// Whether there is one to be told.
pub(super) fn runs() -> bool {
    Path::new(SOCKET).exists()
}

/// Tells it, and waits until it has heard. A message to a socket needs no privilege that the daemon has
/// not, and no unit.
///
/// # Errors
/// It was not told.
pub(super) async fn reload(programs: &Programs) -> Result<(), StepError> {
    let ended = programs.run_here(&program()).await?;
    if ended.success {
        return Ok(());
    }
    let why = ended.output.trim();
    Err(StepError::Failed(format!("udevd was not told of changed files: {why}")))
}

/// Tells it without waiting.
pub(super) fn begin_reload() {
    Programs::begin_here(program());
}

fn program() -> Program {
    Program {
        unit: "onloadd-udev-reload.service".to_owned(),
        description: "Have udev read its files anew for onloadd".to_owned(),
        name: "udevadm",
        arguments: vec!["control".to_owned(), "--reload".to_owned()],
        environment: Vec::new(),
        path: Vec::new(),
    }
}
