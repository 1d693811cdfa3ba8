//! The files of the Container Device Interface, kept as the picture has them: one per pool, whole at
//! any moment, written only when it would say something else.
//!
//! Owns the files of its own name in the directory and nothing else there. What runtimes were told
//! stays when the daemon ends: a container that starts again meanwhile finds its device.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onload_core::cdi::{self, Spec, Wanted};
use onload_core::picture::Picture;
use tokio::sync::watch;

/// Between two attempts at what failed: an administrator has to do something first.
const RETRY: Duration = Duration::from_secs(30);
/// Everybody's runtime reads them, also one without privilege.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// More than the largest pool's file; what is longer under our name is not ours.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// Files by name, as they shall be: their text, or none for one that stays as it is.
type Files = BTreeMap<String, Option<String>>;

/// Keeps the files in `directory` as the pictures say, until there will be no further picture.
pub async fn keep(mut pictures: watch::Receiver<Arc<Picture>>, directory: PathBuf) {
    let mut former: Option<BTreeMap<String, Wanted>> = None;
    let mut told = None;
    loop {
        let picture = pictures.borrow_and_update().clone();
        // Before the first look nothing is known of any pool; a look names the modules of the stack.
        if !picture.modules.is_empty()
            && !former.as_ref().is_some_and(|as_is| says(as_is, &picture))
        {
            let wanted = wanted(&picture);
            let files = files(&wanted);
            let place = directory.clone();
            let result = tokio::task::spawn_blocking(move || settle(&place, &files)).await;
            let result = result.unwrap_or_else(|error| Err(error.to_string()));
            former = result.is_ok().then_some(wanted);
            if let Err(why) = &result
                && told.as_ref() != Some(why)
            {
                tracing::warn!(%why, "container runtimes cannot be told of the pools (CDI)");
            }
            told = result.err();
        }
        let ended = if told.is_some() {
            let next = tokio::time::timeout(RETRY, pictures.changed()).await;
            matches!(next, Ok(Err(_)))
        } else {
            pictures.changed().await.is_err()
        };
        if ended {
            return;
        }
    }
}

/// What shall become of each pool's file, by its name.
fn wanted(picture: &Picture) -> BTreeMap<String, Wanted> {
    if !cdi::is_enabled(picture) {
        return BTreeMap::new();
    }
    let pools = picture.pools.values();
    pools.map(|pool| (cdi::file_name(&pool.resource), cdi::wanted(pool))).collect()
}

/// Whether the files are as this picture wants them. Asked of every picture, so it makes none.
fn says(as_is: &BTreeMap<String, Wanted>, picture: &Picture) -> bool {
    if !cdi::is_enabled(picture) {
        return as_is.is_empty();
    }
    as_is.len() == picture.pools.len()
        && picture.pools.values().all(|pool| match as_is.get(&cdi::file_name(&pool.resource)) {
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

/// Makes the directory have these files, and none other of our name. Goes on after a failure with
/// one of them.
///
/// # Errors
/// The first failure, in words.
fn settle(directory: &Path, files: &Files) -> Result<(), String> {
    let mut first = Ok(());
    for name in present(directory).map_err(|error| at(directory, &error))? {
        if !files.contains_key(&name) {
            let path = directory.join(&name);
            let removed = own(&path, &name).and_then(|own| match own {
                Some(_) => fs::remove_file(&path),
                // Not ours: whoever put it there keeps it.
                None => Ok(()),
            });
            first = first.and(removed.map_err(|error| at(&path, &error)));
        }
    }
    for (name, text) in files {
        let Some(text) = text else { continue };
        let path = directory.join(name);
        let written = write(directory, name, text).map_err(|error| at(&path, &error));
        first = first.and(written);
    }
    first
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
