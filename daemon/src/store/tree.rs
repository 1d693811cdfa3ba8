//! The tree of a release: put together from staged files, then made read-only, labelled, and safe
//! on the disk.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use onload_core::refusal::Refusal;

use super::budget::Budget;
use super::collect::{Collector, Staged};
use super::fault;
use super::label::Labels;
use super::layout::Layout;
use super::staging::{self, Staging};

const FILE_MODE: u32 = 0o444;
const PROGRAM_MODE: u32 = 0o555;
const DIRECTORY_MODE: u32 = 0o555;
/// Any of the bits with which a program may be run.
const EXECUTABLE: u32 = 0o111;
/// Where tools look whose distribution has merged `/lib` into `/usr`.
const MERGED_MODULE_TREES: &str = "usr/lib/modules";
const TO_MODULE_TREES: &str = "../../lib/modules";

/// Moves the staged files to their places; what is left of them goes.
pub(super) fn build(staging: &Staging, layout: &Layout) -> Result<(), Refusal> {
    let root = staging.tree();
    let mut placed: BTreeMap<usize, PathBuf> = BTreeMap::new();
    for (path, (staged, _)) in &layout.files {
        let to = root.join(path);
        put(staging, *staged, &to, &mut placed).map_err(|error| fault::unwritten(&to, &error))?;
    }
    let modules = (MERGED_MODULE_TREES.to_owned(), TO_MODULE_TREES.to_owned());
    for (path, target) in layout.links.iter().chain([(&modules.0, &modules.1)]) {
        let at = root.join(path);
        let made = parents(&at).and_then(|()| symlink(target, &at));
        made.map_err(|error| fault::unwritten(&at, &error))?;
    }
    let files = staging.files();
    staging::delete(files).map_err(|error| fault::unwritten(files, &error))
}

fn put(
    staging: &Staging,
    staged: Staged,
    to: &Path,
    placed: &mut BTreeMap<usize, PathBuf>,
) -> io::Result<()> {
    parents(to)?;
    match placed.get(&staged.number) {
        // A file that the source has under two names.
        Some(first) => drop(fs::copy(first, to)?),
        None => {
            fs::rename(Collector::path_of(staging.files(), staged), to)?;
            placed.insert(staged.number, to.to_owned());
        }
    }
    let mode = if staged.executable { 0o700 } else { 0o600 };
    fs::set_permissions(to, Permissions::from_mode(mode))
}

fn parents(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(parent)
}

/// Labels everything below `root`, takes away every right to write, and waits for the disk.
pub(super) fn seal(root: &Path, labels: Option<&Labels>, budget: &Budget) -> Result<(), Refusal> {
    seal_one(root, "", labels, budget)
}

fn seal_one(
    at: &Path,
    path: &str,
    labels: Option<&Labels>,
    budget: &Budget,
) -> Result<(), Refusal> {
    budget.must_go_on()?;
    let unwritten = |error: io::Error| fault::unwritten(at, &error);
    let found = fs::symlink_metadata(at).map_err(unwritten)?;
    if found.is_dir() {
        let mut names = Vec::new();
        for entry in fs::read_dir(at).map_err(unwritten)? {
            names.push(entry.map_err(unwritten)?.file_name());
        }
        for name in names {
            let slash = if path.is_empty() { "" } else { "/" };
            let below = format!("{path}{slash}{}", name.to_string_lossy());
            seal_one(&at.join(&name), &below, labels, budget)?;
        }
    }
    labels.map_or(Ok(()), |labels| labels.set(at, path)).map_err(unwritten)?;
    if found.is_symlink() {
        return Ok(());
    }
    let mode = if found.is_dir() {
        DIRECTORY_MODE
    } else if found.permissions().mode() & EXECUTABLE != 0 {
        PROGRAM_MODE
    } else {
        FILE_MODE
    };
    fs::set_permissions(at, Permissions::from_mode(mode)).map_err(unwritten)?;
    File::open(at).and_then(|file| file.sync_all()).map_err(unwritten)
}
