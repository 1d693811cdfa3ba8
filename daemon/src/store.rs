//! The releases that onloadd keeps: taken in whole or not at all, read-only, never written again,
//! removed when nobody has them open. Knows files; which release a node shall have is decided
//! elsewhere.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::sys::stat::{SFlag, fstat};
use onload_core::names::ReleaseName;
use onload_core::refusal::{Refusal, RefusalKind};

use self::budget::{Bounds, Budget, Cancel, Waiting};
use self::check::Checked;
use self::collect::{Collector, Staged};
use self::label::Labels;
use self::layout::Layout;
use self::staging::Staging;

pub(crate) mod archive;
mod budget;
mod check;
mod collect;
mod depmod;
mod directory;
mod fault;
mod image;
mod label;
mod layout;
mod mounted;
mod place;
mod removal;
mod staging;
mod stream;
mod tarball;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
pub(crate) mod userland;

/// Below the state directory.
const RELEASES: &str = "releases";
/// All that there is in a state directory beside the ledger.
pub(crate) const DIRECTORIES: [&str; 3] = [RELEASES, userland::POOLS, userland::TREES];
/// The link beside the releases that leads to the one in use.
pub(crate) const CURRENT: &str = "current";

/// The store in a state directory.
#[derive(Clone, Debug)]
pub struct Store {
    releases: PathBuf,
    bounds: Bounds,
    labels: Option<Labels>,
    processes: PathBuf,
}

impl Store {
    /// The store below a state directory of this machine. Nothing is made or read.
    pub fn new(state_directory: &Path) -> Self {
        Self {
            releases: state_directory.join(RELEASES),
            bounds: Bounds::default(),
            labels: Labels::of_the_machine(),
            processes: PathBuf::from("/proc"),
        }
    }

    /// Takes a release in, all of it or nothing: a directory, or an archive (tar, packed with gzip,
    /// zstd, xz or not, of an installed tree or a container image). `version` names it, else its
    /// `onload` modules do. Ends soon after the future is dropped.
    ///
    /// # Errors
    /// Why it was not taken in, with the path at fault.
    pub async fn import(
        &self,
        source: OwnedFd,
        version: Option<ReleaseName>,
    ) -> Result<ReleaseName, Refusal> {
        let (store, cancel) = (self.clone(), Cancel::default());
        let waiting = Waiting::on(&cancel);
        let work = move || store.import_now(source, version, cancel);
        let result = tokio::task::spawn_blocking(work).await;
        drop(waiting);
        result.unwrap_or_else(|error| Err(internal("no release was taken in", &error)))
    }

    /// Removes a release of which no process has a file open or mapped.
    ///
    /// # Errors
    /// Who has, or what the machine answered.
    pub async fn remove(&self, release: &ReleaseName) -> Result<(), Refusal> {
        let (store, name) = (self.clone(), release.clone());
        let result = tokio::task::spawn_blocking(move || removal::remove(&store, &name)).await;
        let what = format!("release {release} was not removed");
        result.unwrap_or_else(|error| Err(internal(&what, &error)))
    }

    /// Makes `current` lead to a release, in one step.
    ///
    /// # Errors
    /// What the file system answered.
    pub fn select(&self, release: &ReleaseName) -> io::Result<()> {
        if !self.releases.join(release.as_str()).is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Under the lock there is but one such link at a time.
        let _lock = staging::lock(&self.releases)?;
        let link = self.releases.join(staging::NEW_LINK);
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => symlink(release.as_str(), &link)?,
        }
        fs::rename(&link, self.releases.join(CURRENT))?;
        File::open(&self.releases)?.sync_all()
    }

    /// Removes what imports and removals left that were interrupted, but nothing that another
    /// process is at. Without a store, or right to it, there is nothing to do.
    ///
    /// # Errors
    /// What the file system answered; the rest has been tried.
    pub fn sweep(&self) -> io::Result<()> {
        match staging::try_lock(&self.releases) {
            Ok(Some(_lock)) => staging::sweep(&self.releases),
            // Whoever has it sweeps, or is about to.
            Ok(None) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn import_now(
        &self,
        source: OwnedFd,
        version: Option<ReleaseName>,
        cancel: Cancel,
    ) -> Result<ReleaseName, Refusal> {
        if let Some(name) = &version {
            check::must_be_usable(name)?;
            self.must_be_new(name)?;
        }
        let staging = Staging::begin(&self.releases)?;
        let budget = Budget::new(self.bounds, cancel);
        let layout = read(source, &staging, &budget)?;
        tree::build(&staging, &layout)?;
        let checked = check::check(staging.tree(), &layout)?;
        let name = checked.name(version)?;
        self.must_be_new(&name)?;
        for kernel in &checked.kernels {
            budget.must_go_on()?;
            let complaint = depmod::run(staging.tree(), kernel, &layout, &budget)?;
            if !complaint.is_empty() {
                tracing::info!(%kernel, %complaint, "depmod warns");
            }
        }
        tree::seal(staging.tree(), self.labels.as_ref(), &budget)?;
        budget.must_go_on()?;
        self.put(staging, &name)?;
        report(&name, &checked, &layout);
        Ok(name)
    }

    /// Gives a finished tree its name. Of two at the same moment one fails, since a release is
    /// never empty and a rename replaces only an empty directory.
    fn put(&self, staging: Staging, name: &ReleaseName) -> Result<(), Refusal> {
        let to = self.releases.join(name.as_str());
        match staging.rename_to(&to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                return Err(exists(name));
            }
            Err(error) => {
                self.must_be_new(name)?;
                return Err(fault::unwritten(&to, &error));
            }
        }
        let synced = File::open(&self.releases).and_then(|directory| directory.sync_all());
        synced.map_err(|error| fault::unwritten(&self.releases, &error))
    }

    fn must_be_new(&self, name: &ReleaseName) -> Result<(), Refusal> {
        match fs::symlink_metadata(self.releases.join(name.as_str())) {
            Ok(_) => Err(exists(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(fault::unwritten(&self.releases, &error)),
        }
    }
}

/// Reads a source to its end and lays out what is kept of it.
fn read(source: OwnedFd, staging: &Staging, budget: &Budget) -> Result<Layout, Refusal> {
    let mut collector = Collector::new(budget, staging.files());
    let stat = fstat(&source).map_err(|errno| fault::broken("the source", &errno.desc()))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFDIR {
        directory::walk(source, &mut collector)?;
    } else if [SFlag::S_IFREG, SFlag::S_IFIFO, SFlag::S_IFSOCK].contains(&kind) {
        let mut take = |member, reader: &mut dyn io::Read| collector.take(member, reader);
        archive::members(File::from(source), budget, &mut take)?;
    } else {
        return Err(fault::unfit(
            "the source is no directory, file or pipe",
            "give a directory, an archive, or the output of `podman save`",
        ));
    }
    let (tree, is_image) = image::tree(&collector.collected)?;
    let same = |one: Staged, other: Staged| staging.same(one, other);
    let mut layout = layout::lay_out(&tree, is_image, &same)?;
    layout.skipped += collector.collected.skipped;
    Ok(layout)
}

fn report(name: &ReleaseName, checked: &Checked, layout: &Layout) {
    tracing::info!(
        release = %name,
        kernels = checked.kernels.len(),
        files = layout.files.len(),
        links = layout.links.len(),
        skipped = layout.skipped,
        "release taken in"
    );
}

fn exists(name: &ReleaseName) -> Refusal {
    fault::unfit(
        format!("release {name} is there already, and none is overwritten"),
        format!("give it another --version, or `onloadctl release remove {name}`"),
    )
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> Refusal {
    let fix = "report it with the log of onloadd (`journalctl -u onloadd`)";
    Refusal::new(RefusalKind::Internal, what, error.to_string(), fix)
}
