//! Removing a release: not while a process has one of its files open or mapped, or a container has
//! part of it mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;
use onload_core::names::ReleaseName;
use onload_core::refusal::{Refusal, RefusalKind};

use super::mounted::Place;
use super::{CURRENT, Store, fault, staging};

/// Processes named in a refusal; the rest are counted.
const MOST_NAMED: usize = 8;

/// A file as `/proc/PID/maps` tells it: inode number, device, and file name.
///
/// The path there is of the process's own mounts, so a library in a container is found by its
/// number. Where the device that is shown differs from the one that `stat` shows, as on file
/// systems with subvolumes, the file name must be the same instead.
#[derive(Debug, Default)]
struct Files(BTreeMap<u64, BTreeSet<(u64, String)>>);

/// Who has files of a release open, and who could not be looked at.
#[derive(Debug, Default)]
struct Users {
    named: BTreeSet<(u32, String)>,
    hidden: BTreeSet<(u32, String)>,
}

pub(super) fn remove(store: &Store, name: &ReleaseName) -> Result<(), Refusal> {
    let what = || format!("release {name} was not removed");
    let root = store.releases.join(name.as_str());
    let failed = |error: &io::Error| fault::unremoved(name.as_str(), &root, error);
    // One after another: the second must find that it is gone.
    let _lock = match staging::lock(&store.releases) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(what())),
        lock => lock.map_err(|error| failed(&error))?,
    };
    let there = fs::symlink_metadata(&root).is_ok_and(|found| found.is_dir());
    if !there || super::check::must_be_usable(name).is_err() {
        return Err(missing(what()));
    }
    must_be_unused(store, name)?;
    let current = store.releases.join(CURRENT);
    if fs::read_link(&current).is_ok_and(|target| target == Path::new(name.as_str())) {
        fs::remove_file(&current).map_err(|error| failed(&error))?;
    }
    let gone = store.releases.join(format!("{}{name}", staging::REMOVE));
    if gone.exists() {
        staging::delete(&gone).map_err(|error| failed(&error))?;
    }
    fs::rename(&root, &gone).map_err(|error| failed(&error))?;
    let sync = || fs::File::open(&store.releases)?.sync_all();
    sync().map_err(|error| failed(&error))?;
    // It is removed from here on: what cannot be deleted now is swept later.
    if let Err(error) = staging::delete(&gone).and_then(|()| sync()) {
        tracing::warn!(release = %name, %error, "files of a removed release stay for now");
    }
    tracing::info!(release = %name, "release removed");
    Ok(())
}

/// Refuses while a process uses a release, or may.
pub(super) fn must_be_unused(store: &Store, name: &ReleaseName) -> Result<(), Refusal> {
    let root = store.releases.join(name.as_str());
    let users = users(&store.processes, &root)
        .map_err(|error| fault::unremoved(name.as_str(), &root, &error))?;
    users.none(format!("release {name} was not removed"))
}

/// Whether a process or a container uses a tree, or may.
pub(super) fn is_used(processes: &Path, at: &Path) -> io::Result<bool> {
    let users = users(processes, at)?;
    Ok(!users.named.is_empty() || !users.hidden.is_empty())
}

fn missing(what: String) -> Refusal {
    let why = "there is no such release";
    Refusal::new(RefusalKind::NotFound, what, why, "see `onloadctl release list`")
}

impl Users {
    fn none(&self, what: String) -> Result<(), Refusal> {
        if !self.named.is_empty() {
            let why = format!("{} still use its files", list(&self.named));
            let fix = "end them, or wait until they have ended, and remove it then";
            return Err(Refusal::new(RefusalKind::InUse, what, why, fix));
        }
        if !self.hidden.is_empty() {
            let why = format!("onloadd may not see what {} have mapped", list(&self.hidden));
            let fix = "let onloadd.service have CAP_SYS_PTRACE (systemctl edit onloadd)";
            return Err(Refusal::new(RefusalKind::Blocked, what, why, fix));
        }
        Ok(())
    }
}

fn list(users: &BTreeSet<(u32, String)>) -> String {
    let named = users.iter().take(MOST_NAMED).map(|(pid, comm)| format!("{pid} ({comm})"));
    let text = named.collect::<Vec<_>>().join(", ");
    match users.len().saturating_sub(MOST_NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// Looks at every process. One that ends meanwhile uses nothing.
fn users(processes: &Path, root: &Path) -> io::Result<Users> {
    let mut files = Files::default();
    files.add_all(root)?;
    let place = Place::of(root, processes)?;
    let has_mounted = |process: &Path| {
        let table = fs::read_to_string(process.join("mountinfo"));
        place.as_ref().is_some_and(|place| table.is_ok_and(|table| place.is_in(&table)))
    };
    let mut users = Users::default();
    for entry in fs::read_dir(processes)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let process = entry.path();
        let comm = || {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            (pid, name.chars().filter(|c| !c.is_control()).collect())
        };
        match fs::read(process.join("maps")) {
            Ok(maps) => {
                if String::from_utf8_lossy(&maps).lines().any(|line| files.has_mapped(line))
                    || files.has_open(&process)
                    || has_mounted(&process)
                {
                    users.named.insert(comm());
                }
            }
            // An unprivileged try-out has its releases below its own home, for itself.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if geteuid().is_root() {
                    users.hidden.insert(comm());
                }
            }
            Err(_) => {}
        }
    }
    Ok(users)
}

impl Files {
    fn add_all(&mut self, at: &Path) -> io::Result<()> {
        let found = fs::symlink_metadata(at)?;
        let name = at.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.0.entry(found.ino()).or_default().insert((found.dev(), name));
        if found.is_dir() {
            for entry in fs::read_dir(at)? {
                self.add_all(&entry?.path())?;
            }
        }
        Ok(())
    }

    /// A line is `from-to rights offset major:minor inode path` (proc(5)).
    fn has_mapped(&self, line: &str) -> bool {
        let mut fields = line.split_ascii_whitespace().skip(3);
        let (Some(device), Some(inode)) = (fields.next(), fields.next()) else { return false };
        let Some(ours) = inode.parse().ok().and_then(|inode: u64| self.0.get(&inode)) else {
            return false;
        };
        let device = device.split_once(':').and_then(|(major, minor)| {
            let number = |text| u64::from_str_radix(text, 16).ok();
            Some(nix::sys::stat::makedev(number(major)?, number(minor)?))
        });
        let path = fields.collect::<Vec<_>>().join(" ");
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
        let name = path.rsplit('/').next().unwrap_or_default();
        ours.iter().any(|(on, called)| Some(*on) == device || called == name)
    }

    /// Whether a process has one of the files open without having mapped it. Where that may not
    /// be seen, it reads them at most; what is mapped counts.
    fn has_open(&self, process: &Path) -> bool {
        let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
        descriptors.flatten().any(|descriptor| {
            fs::metadata(descriptor.path()).is_ok_and(|found| {
                let ours = self.0.get(&found.ino());
                ours.is_some_and(|ours| ours.iter().any(|(device, _)| *device == found.dev()))
            })
        })
    }
}
