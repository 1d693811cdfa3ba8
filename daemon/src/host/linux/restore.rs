//! What onloadd has left on a host for others to read, taken back without a daemon: its files for udev,
//! modprobe and sfptpd. And units started and stopped, by whoever takes it back.

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
    let Some(directory) = place(root, DIRECTORY)? else { return Ok(Vec::new()) };
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
    let mut removed = Vec::new();
    let mut take = |file: PathBuf| removed.extend(file.symlink_metadata().is_ok().then_some(file));
    let at = |directory: &Path, error: io::Error| at(directory, &error);
    if let Some(directory) = place(root, loader::DIRECTORY)? {
        take(directory.join(loader::FILE));
        loader::write(&directory, &Loader::default()).map_err(|error| at(&directory, error))?;
    }
    if let Some(directory) = place(root, loader::RULES)? {
        take(directory.join(loader::RULE_FILE));
        loader::rule(&directory, Autoload::Allowed).map_err(|error| at(&directory, error))?;
    }
    Ok(removed)
}

/// Has sfptpd's unit use the configuration of its own package again. The unit, where it used ours.
///
/// # Errors
/// A file cannot be removed, or units were not read anew.
pub async fn clock(
    root: &Path,
    ask: &impl AsyncFn(Request) -> Result<(), StepError>,
) -> Result<Option<String>, String> {
    let opened = Dir::open_root(root).map_err(|error| at(root, &error))?;
    let reload = async || ask(Request::ReloadUnits).await;
    clocks::leave_below(root, &opened, reload).await.map_err(|error| error.to_string())
}

/// Where a directory of the machine below a root really is; none where there is none. A root may be anybody's
/// capture or image: its links lead nowhere else.
///
/// # Errors
/// It cannot be looked at.
pub fn place(root: &Path, path: &str) -> Result<Option<PathBuf>, String> {
    let place = Dir::open_root(root).and_then(|opened| opened.place(root, path));
    place.map_err(|error| at(&root.join(path.trim_start_matches('/')), &error))
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
