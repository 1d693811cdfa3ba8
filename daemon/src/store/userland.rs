//! What containers are given: a tree for each release, and a link for each pool that leads to one.
//! The link is all that a container's answer names, so it is switched in one step, and a tree lives
//! for as long as somebody has it mounted.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use onload_core::names::{PoolName, ReleaseName};
use onload_core::release::{Release, is_imported};
use onload_core::userland::{LIBRARIES, PRIVATE, PROGRAMS};

use super::{CURRENT, RELEASES, Store, removal, staging};

/// Below the state directory: the pools with their links, and the trees these lead to.
pub(crate) const POOLS: &str = "pools";
/// See [`POOLS`].
pub(crate) const TREES: &str = "trees";
/// From a pool's link to the trees, and from within a tree to the state directory.
const TO_TREES: &str = "../../trees";
const TO_STATE: &str = "../..";
/// A tree that is being made.
const NEW_TREE: &str = ".new";
/// Where programs of a release lie, and what the launcher reads.
const PROGRAM_DIRECTORY: &str = "usr/bin";
const LAUNCHER: &str = "onload";
const PRIVATE_DIRECTORY: &str = "usr/libexec/onload";
/// For everybody to read and nobody to write.
const OPEN: u32 = 0o755;
const READ_ONLY: u32 = 0o444;
const EXECUTABLE: u32 = 0o555;
const EXECUTE: u32 = 0o111;

/// The tree that a pool's link leads to.
pub(crate) fn tree_of(link: &str) -> Option<&str> {
    link.strip_prefix(TO_TREES)?.strip_prefix('/').filter(|name| !name.contains('/'))
}

impl Store {
    /// Has the link of a pool lead to a tree of a release, making the tree where it is not there,
    /// and removes trees that nobody has any more.
    ///
    /// # Errors
    /// What the file system answered; the link leads where it led.
    pub fn place(
        &self,
        pool: &PoolName,
        name: &ReleaseName,
        release: &Release,
        tree: &str,
    ) -> io::Result<()> {
        let state = self.state();
        let trees = state.join(TREES);
        make(&trees)?;
        let _lock = staging::lock(&trees)?;
        let at = trees.join(tree);
        if !at.join(LIBRARIES).is_dir() {
            let new = trees.join(NEW_TREE);
            discard(&new)?;
            make(&new)?;
            if is_imported(name) {
                lead_to(&new, name, release)?;
            } else {
                self.copy(&new, release)?;
            }
            self.seal(&new)?;
            discard(&at)?;
            fs::rename(&new, &at)?;
            File::open(&trees)?.sync_all()?;
        }
        let pools = state.join(POOLS).join(pool.as_str());
        make(&state.join(POOLS))?;
        make(&pools)?;
        let link = pools.join(staging::NEW_LINK);
        discard(&link)?;
        symlink(format!("{TO_TREES}/{tree}"), &link)?;
        fs::rename(&link, pools.join(CURRENT))?;
        File::open(&pools)?.sync_all()?;
        if let Err(error) = self.sweep_trees(&trees) {
            tracing::warn!(%error, "a tree that no container has any more stays for now");
        }
        Ok(())
    }

    fn state(&self) -> PathBuf {
        self.releases.parent().unwrap_or(Path::new("/")).to_owned()
    }

    /// Copies what packages would replace in place.
    fn copy(&self, new: &Path, release: &Release) -> io::Result<()> {
        let root = Path::new(&release.root);
        let libraries = new.join(LIBRARIES);
        make(&libraries)?;
        for library in &release.libraries {
            let from = root.join(&release.library_directory).join(library);
            self.copy_file(&from, &libraries.join(library))?;
        }
        self.seal(&libraries)?;
        if release.launcher {
            let programs = new.join(PROGRAMS);
            make(&programs)?;
            let launcher = root.join(PROGRAM_DIRECTORY).join(LAUNCHER);
            self.copy_file(&launcher, &programs.join(LAUNCHER))?;
            self.seal(&programs)?;
        }
        let private = root.join(PRIVATE_DIRECTORY);
        if private.is_dir() {
            self.copy_all(&private, &new.join(PRIVATE))?;
        }
        Ok(())
    }

    fn copy_all(&self, from: &Path, to: &Path) -> io::Result<()> {
        make(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (kind, at) = (entry.file_type()?, to.join(entry.file_name()));
            if kind.is_dir() {
                self.copy_all(&entry.path(), &at)?;
            } else if kind.is_file() {
                self.copy_file(&entry.path(), &at)?;
            }
        }
        self.seal(to)
    }

    fn copy_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::copy(from, to)?;
        let runs = fs::metadata(from)?.permissions().mode() & EXECUTE != 0;
        let mode = if runs { EXECUTABLE } else { READ_ONLY };
        fs::set_permissions(to, Permissions::from_mode(mode))?;
        self.seal(to)
    }

    /// Labels what was copied, and has it on the disk before the link leads to it.
    fn seal(&self, at: &Path) -> io::Result<()> {
        if let Some(labels) = &self.labels {
            labels.set(at, PRIVATE_DIRECTORY)?;
        }
        File::open(at)?.sync_all()
    }

    /// Removes trees that no pool leads to and that nobody has open, mapped or mounted.
    fn sweep_trees(&self, trees: &Path) -> io::Result<()> {
        let pools = self.state().join(POOLS);
        let mut led_to = Vec::new();
        for pool in fs::read_dir(&pools)? {
            led_to.extend(fs::read_link(pool?.path().join(CURRENT)));
        }
        let led_to: Vec<_> =
            led_to.iter().filter_map(|link| tree_of(link.to_str()?)).map(str::to_owned).collect();
        for entry in fs::read_dir(trees)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kept = name == staging::LOCK || led_to.iter().any(|tree| *tree == name);
            if !kept && !removal::is_used(&self.processes, &entry.path())? {
                staging::delete(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// A tree of a release that the store keeps: links into it, since it never changes.
fn lead_to(new: &Path, name: &ReleaseName, release: &Release) -> io::Result<()> {
    let root = format!("{TO_STATE}/{RELEASES}/{name}");
    symlink(format!("{root}/{}", release.library_directory), new.join(LIBRARIES))?;
    symlink(format!("{root}/{PROGRAM_DIRECTORY}"), new.join(PROGRAMS))?;
    symlink(format!("{root}/{PRIVATE_DIRECTORY}"), new.join(PRIVATE))
}

/// Makes a directory where there is none, for everybody to read whatever the mask of this process.
fn make(at: &Path) -> io::Result<()> {
    match DirBuilder::new().create(at) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => fs::set_permissions(at, Permissions::from_mode(OPEN)),
    }
}

/// Removes what may be there.
fn discard(at: &Path) -> io::Result<()> {
    match staging::delete(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
