//! What onloadd has left on a host for others to read, taken back without a daemon: its files for udev,
//! modprobe and sfptpd. And units started and stopped, by whoever takes it back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use onload_core::inventory::{Autoload, Loader};
use onload_core::naming::{DIRECTORY, Pins};
use onload_core::step::StepError;

use super::clocks;
use super::root::Dir;
use super::runner::Programs;
use super::{loader, pins, udevd};

/// One part of it: what was removed, or in words why not.
type Part = Result<Vec<PathBuf>, String>;

/// What systemd and udev are asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// systemd reads the files of units anew.
    ReloadUnits,
    /// udevd reads its files anew.
    ReloadRules,
    /// A unit is stopped.
    Stop(String),
    /// A unit is started.
    Start(String),
}

/// Carries out a request on the running machine.
///
/// # Errors
/// The answer of who was asked.
pub async fn ask(request: Request) -> Result<(), StepError> {
    let programs = Programs::default();
    match request {
        Request::ReloadUnits => programs.systemd.reload().await,
        Request::ReloadRules if udevd::runs() => udevd::reload(&programs).await,
        // It reads them when it starts.
        Request::ReloadRules => Ok(()),
        Request::Stop(unit) => programs.systemd.stop(&unit).await.map(drop),
        Request::Start(unit) => programs.systemd.start(&unit).await.map(drop),
    }
}

/// Removes the pins of names. What a MachineConfig has rendered is not onloadd's.
///
/// # Errors
/// A file is called like a pin and is none, or cannot be removed.
pub fn names(root: &Path) -> Part {
    let directory = below(root, DIRECTORY);
    let there = match pins::ours(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        there => there.map_err(|error| format!("{}: {error}", directory.display()))?,
    };
    pins::write(&directory, &Pins::new()).map_err(|error| error.to_string())?;
    Ok(there.into_iter().map(|name| directory.join(name)).collect())
}

/// Removes what keeps drivers from being loaded, and what modprobe was told for this boot.
///
/// # Errors
/// A file cannot be removed.
pub fn blocks(root: &Path) -> Part {
    let (modprobe, udev) = (below(root, loader::DIRECTORY), below(root, loader::RULES));
    let files = loader::files(&modprobe, &udev);
    let there: Vec<PathBuf> =
        files.into_iter().filter(|file| fs::symlink_metadata(file).is_ok()).collect();
    loader::write(&modprobe, &Loader::default())
        .and_then(|()| loader::rule(&udev, Autoload::Allowed))
        .map_err(|error| format!("{} or {}: {error}", modprobe.display(), udev.display()))?;
    Ok(there)
}

/// Has sfptpd's unit use the configuration of its own package again. The unit, where it used ours.
///
/// # Errors
/// A file cannot be removed, or units were not read anew.
pub async fn clock(
    root: &Path,
    ask: &impl AsyncFn(Request) -> Result<(), StepError>,
) -> Result<Option<String>, String> {
    let opened = Dir::root(root, Default::default());
    let opened = opened.map_err(|error| format!("{}: {}", root.display(), error.desc()))?;
    let reload = async || ask(Request::ReloadUnits).await;
    clocks::leave_below(root, &opened, reload).await.map_err(|error| error.to_string())
}

/// A path of the machine below a root.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
