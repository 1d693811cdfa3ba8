//! The files of the Container Device Interface, kept as the picture has them: one per pool, whole at
//! any moment, written only when it would say something else.
//!
//! Owns the files of its own name in the directory and nothing else there. What runtimes were told
//! stays when the daemon ends: a container that starts again meanwhile finds its device.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::future::{Future, pending};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use inotify::{EventMask, Inotify, WatchMask};
use onload_core::cdi::{self, Spec, Wanted};
use onload_core::names::DeviceId;
use onload_core::picture::Picture;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;

/// Between two attempts at what failed: an administrator has to do something first.
const RETRY: Duration = Duration::from_secs(30);
/// Everybody's runtime reads them, also one without privilege.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// More than the largest pool's file; what is longer under our name is not ours.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// Room for a burst of events; each takes 16 bytes and its name.
const EVENTS: usize = 4096;

type Watch = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Files by name, as they shall be: their text, or none for one that stays as it is.
type Files = BTreeMap<String, Option<String>>;

/// Files of pools that the configuration has no more, by name: the devices that they list.
type Left = BTreeMap<String, BTreeSet<DeviceId>>;

/// How the files were left.
#[derive(Debug)]
struct Settled {
    /// What became of each pool's.
    wanted: BTreeMap<String, Wanted>,
    /// What stayed of former pools.
    left: Left,
}

/// Keeps the files in `directory` as the pictures say, until there will be no further picture.
pub async fn keep(mut pictures: watch::Receiver<Arc<Picture>>, directory: PathBuf) {
    let mut former: Option<Settled> = None;
    let mut told = None;
    let mut taken: Watch = Box::pin(pending());
    loop {
        let picture = pictures.borrow_and_update().clone();
        if cdi::is_known(&picture) && !former.as_ref().is_some_and(|as_is| says(as_is, &picture)) {
            let wanted = wanted(&picture);
            let (files, held) = (files(&wanted), held(&picture));
            let place = directory.clone();
            let result = tokio::task::spawn_blocking(move || settle(&place, &files, &held)).await;
            let result = result.unwrap_or_else(|error| Err(error.to_string()));
            let names = names(&wanted);
            taken = match &result {
                Ok(_) if !names.is_empty() => Box::pin(taken_away(directory.clone(), names)),
                // Where there shall be none, nothing can be taken away: a node without a card has no
                // directory either, and would be woken to look for it.
                Ok(_) | Err(_) => Box::pin(pending()),
            };
            if let Err(why) = &result
                && told.as_ref() != Some(why)
            {
                tracing::warn!(%why, "container runtimes cannot be told of the pools (CDI)");
            }
            (former, told) = match result {
                Ok(left) => (Some(Settled { wanted, left }), None),
                Err(why) => (None, Some(why)),
            };
        }
        let again = async {
            match told {
                Some(_) => tokio::time::sleep(RETRY).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = pictures.changed() => match changed {
                Ok(()) => {}
                Err(_) => return,
            },
            () = &mut taken => former = None,
            () = again => {}
        }
    }
}

/// Resolves when a file of ours was taken away, or the directory with it; after a while where that
/// cannot be watched. What is there is put back by whoever asked.
async fn taken_away(directory: PathBuf, names: Vec<String>) {
    let Ok(mut events) = watch_directory(&directory) else {
        // To be looked at again, if not told.
        return tokio::time::sleep(RETRY).await;
    };
    // Seen after the watch began, so nothing falls in between.
    if names.iter().any(|name| fs::symlink_metadata(directory.join(name)).is_err()) {
        return;
    }
    while let Some(Ok(event)) = events.next().await {
        let is_ours = |name: &OsStr| names.iter().any(|own| name == own.as_str());
        let lost = EventMask::IGNORED | EventMask::MOVE_SELF | EventMask::Q_OVERFLOW;
        if event.mask.intersects(lost) || event.name.as_deref().is_some_and(is_ours) {
            return;
        }
    }
    tokio::time::sleep(RETRY).await;
}

fn watch_directory(directory: &Path) -> io::Result<inotify::EventStream<[u8; EVENTS]>> {
    let inotify = Inotify::init()?;
    let mask = WatchMask::DELETE | WatchMask::MOVED_FROM | WatchMask::MOVE_SELF;
    inotify.watches().add(directory, mask | WatchMask::ONLYDIR)?;
    inotify.into_event_stream([0; EVENTS])
}

/// The names of files that are there now.
fn names(wanted: &BTreeMap<String, Wanted>) -> Vec<String> {
    let files = wanted.iter().filter(|(_, wanted)| matches!(wanted, Wanted::File(_)));
    files.map(|(name, _)| name.clone()).collect()
}

/// What shall become of each pool's file, by its name.
fn wanted(picture: &Picture) -> BTreeMap<String, Wanted> {
    if !cdi::is_enabled(picture) {
        return BTreeMap::new();
    }
    let pools = picture.pools.values();
    pools.map(|pool| (cdi::file_name(&pool.resource), cdi::wanted(pool))).collect()
}

/// What containers hold, for which files of former pools stay; nothing where there shall be none.
fn held(picture: &Picture) -> BTreeSet<DeviceId> {
    if cdi::is_enabled(picture) { cdi::held(picture) } else { BTreeSet::new() }
}

/// Whether the files are as this picture wants them. Asked of every picture, so it makes none.
fn says(as_is: &Settled, picture: &Picture) -> bool {
    let Settled { wanted, left } = as_is;
    if !left.is_empty() {
        let held = held(picture);
        if left.values().any(|listed| listed.is_disjoint(&held)) {
            return false;
        }
    }
    if !cdi::is_enabled(picture) {
        return wanted.is_empty();
    }
    wanted.len() == picture.pools.len()
        && picture.pools.values().all(|pool| match wanted.get(&cdi::file_name(&pool.resource)) {
            Some(Wanted::File(spec)) => spec.is_of(pool),
            Some(other @ (Wanted::AsItIs | Wanted::Nothing)) => *other == cdi::wanted(pool),
            None => false,
        })
}

fn files(wanted: &BTreeMap<String, Wanted>) -> Files {
    let kept = wanted.iter().filter_map(|(name, wanted)| match wanted {
        Wanted::File(spec) => Some((name.clone(), Some(Spec::text(spec)))),
        Wanted::AsItIs => Some((name.clone(), None)),
        Wanted::Nothing => None,
    });
    kept.collect()
}

/// Makes the directory have these files, and none other of our name but those that list something
/// of what is held, which it gives. Goes on after a failure with one of them.
///
/// # Errors
/// The first failure, in words.
fn settle(directory: &Path, files: &Files, held: &BTreeSet<DeviceId>) -> Result<Left, String> {
    let mut first = Ok(());
    let mut left = Left::new();
    for name in present(directory).map_err(|error| at(directory, &error))? {
        if !files.contains_key(&name) {
            let path = directory.join(&name);
            let settled = own(&path, &name).and_then(|own| match own {
                Some(text) => {
                    let listed = cdi::listed_in(&text);
                    if listed.is_disjoint(held) {
                        return fs::remove_file(&path);
                    }
                    left.insert(name, listed);
                    Ok(())
                }
                // Not ours: whoever put it there keeps it.
                None => Ok(()),
            });
            first = first.and(settled.map_err(|error| at(&path, &error)));
        }
    }
    for (name, text) in files {
        let Some(text) = text else { continue };
        let path = directory.join(name);
        let written = write(directory, name, text).map_err(|error| at(&path, &error));
        first = first.and(written);
    }
    first.map(|()| left)
}

/// Takes every file of ours out of a directory; which they were.
///
/// # Errors
/// The first that could not be removed, in words.
pub fn withdraw(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let names = || present(directory).map_err(|error| at(directory, &error));
    let before = names()?;
    settle(directory, &Files::new(), &BTreeSet::new())?;
    let left = names()?;
    let gone = before.into_iter().filter(|name| !left.contains(name));
    Ok(gone.map(|name| directory.join(name)).collect())
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Files of our name in the directory; none where there is no directory.
fn present(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().filter(|name| cdi::is_own_name(name)));
    }
    Ok(names)
}

/// The text of a file of ours; none for something else under its name.
fn own(path: &Path, name: &str) -> io::Result<Option<String>> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.len() > LONGEST_FILE {
        return Ok(None);
    }
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(None),
        text => text?,
    };
    Ok(Some(text).filter(|text| cdi::is_own_text(name, text)))
}

/// Puts a file in its place in one go, unless it says so already. It need not survive a power loss:
/// what it stands for does not.
fn write(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = directory.join(name);
    match own(&path, name) {
        Ok(Some(present)) if present == text => return Ok(()),
        Ok(Some(_)) => {}
        Ok(None) => {
            let what = "it is not a file of onloadd; remove it if nobody needs it";
            return Err(io::Error::new(ErrorKind::AlreadyExists, what));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    make(directory)?;
    // No runtime reads it: their files end in .json or .yaml.
    let draft = directory.join(format!(".{name}.tmp"));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&draft)?;
    // The mode of its making is cut by the mask of the unit.
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&draft, &path));
    if written.is_err() {
        // The next attempt would remove it as well.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Makes the directory where nobody has made it yet.
fn make(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE)),
    }
}
