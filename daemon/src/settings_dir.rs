//! Finds and reads configuration files and hands their text to core. Which file wins is decided by
//! place here, which value wins by core.
//!
//! `onloadd.toml` and `onloadd.toml.d/*.toml` are looked for in three directories. A file masks the
//! one of the same name in a lower directory; a link to `/dev/null` masks it entirely. What remains
//! is read `onloadd.toml` first, then the drop-ins by name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use onload_core::config::{Config, ConfigError, Fragment};
use onload_core::reading::Reading;

use crate::host::linux::Dir;

/// Later wins (DESIGN section 2).
const DIRECTORIES: [&str; 3] = ["usr/lib/onloadd", "run/onloadd", "etc/onloadd"];
const FILE: &str = "onloadd.toml";
const DROP_INS: &str = "onloadd.toml.d";
/// More than core accepts, so that core can say that it is too long.
const LONGEST_FILE: u64 = 1024 * 1024;
/// More than core accepts of a profile, so that core can say that it is too long, and more than any
/// certificate has.
const LONGEST_NAMED: u64 = 65 * 1024;

/// Whether hashes of passwords are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// They are.
    #[default]
    Read,
    /// They are not: who runs at boot can write no variable of the firmware, and leaves it to the
    /// daemon.
    Left,
}

/// Where configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Below the files: what a simulated world brings.
    pub world: Option<Fragment>,
    /// The root below which the three directories stand; none: no files are read.
    pub root: Option<PathBuf>,
    /// This boot's directory, in place of `run/onloadd` below the root: systemd's
    /// `RUNTIME_DIRECTORY`.
    pub runtime: Option<PathBuf>,
    /// Above the files: what the command line says.
    pub command_line: Option<Fragment>,
    /// Whether files are read that only their owner may read.
    pub secrets: Secrets,
}

impl Sources {
    /// Reads and merges everything.
    ///
    /// # Errors
    /// The first fault, with file and line. A file that is there and cannot be read is one.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut fragments: Vec<_> = self.world.iter().cloned().collect();
        if let Some(root) = &self.root {
            for file in files(root, self.runtime.as_deref())? {
                fragments.extend(file.read()?);
            }
        }
        fragments.extend(self.command_line.clone());
        let mut config = Config::merge(&fragments)?;
        config.files = self.named(&config);
        Ok(config)
    }

    /// What the command line says, and nothing else: files below another machine's root say nothing of where
    /// on this one something may be served or written.
    pub fn of_command_line(&self) -> Self {
        Self { command_line: self.command_line.clone(), ..Self::default() }
    }

    /// The files that the configuration names by path. They count as they were when this was read.
    fn named(&self, config: &Config) -> BTreeMap<String, Result<Vec<u8>, String>> {
        let Some(root) = self.root.as_deref().map(Dir::open_root) else { return BTreeMap::new() };
        let settings = &config.settings;
        let profiles = settings.pools.values().filter_map(|pool| pool.profile.as_ref());
        let named = profiles.chain(settings.secure_boot.named());
        let paths = named.filter_map(|path| Some((path, path.strip_prefix('/')?)));
        let read = |(name, below): (&String, &str)| {
            let read = content(&root, below, Readers::Any);
            Some((name.clone(), read.transpose()?))
        };
        let mut files: BTreeMap<_, _> = paths.filter_map(read).collect();
        if self.secrets == Secrets::Read {
            for path in settings.secure_boot.secrets() {
                let below = path.strip_prefix('/').unwrap_or(path);
                if let Some(read) = content(&root, below, Readers::Owner).transpose() {
                    files.insert(path.clone(), read);
                }
            }
        }
        files
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readers {
    /// Anybody.
    Any,
    /// Its owner alone.
    Owner,
}

/// None where there is no such file below the root.
fn content(
    root: &io::Result<Dir>,
    path: &str,
    readers: Readers,
) -> Result<Option<Vec<u8>>, String> {
    let file = match root.as_ref().map_err(io::Error::to_string)?.file(path) {
        Reading::Known(file) => file,
        Reading::Absent => return Ok(None),
        Reading::Unreadable(why) => return Err(why),
    };
    let read = || -> io::Result<Vec<u8>> {
        let others = file.metadata()?.permissions().mode() & 0o077;
        if readers == Readers::Owner && others != 0 {
            let why = "others may read it, and could find the password (`chmod 600` it)";
            return Err(io::Error::other(why));
        }
        let mut bytes = Vec::new();
        file.take(LONGEST_NAMED).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(Some).map_err(|error| error.to_string())
}

/// A directory of configuration files.
#[derive(Debug)]
struct Place {
    /// Links in it lead nowhere else: below another root they may be anybody's.
    root: Dir,
    below: String,
    /// What it is called in faults.
    called: PathBuf,
}

/// One of its files.
#[derive(Debug)]
struct Found {
    root: Dir,
    path: String,
    called: PathBuf,
}

/// The files in force, in the order in which later ones win.
fn files(root: &Path, runtime: Option<&Path>) -> Result<Vec<Found>, ConfigError> {
    let [vendor, run, own] = DIRECTORIES.map(Path::new);
    // The directory of this boot is this machine's, whatever the root: so are the links in it.
    let here = Path::new("/");
    let run = match runtime {
        Some(runtime) => Place::open(here, runtime.strip_prefix(here).unwrap_or(runtime))?,
        None => Place::open(root, run)?,
    };
    let places = [Place::open(root, vendor)?, run, Place::open(root, own)?];
    let mut main = None;
    let mut drop_ins = BTreeMap::new();
    for place in places.iter().flatten() {
        let file = place.found(FILE);
        if file.exists()? {
            main = Some(file);
        }
        for name in place.names(DROP_INS)? {
            let file = place.found(&format!("{DROP_INS}/{name}"));
            drop_ins.insert(name, file);
        }
    }
    let files = main.into_iter().chain(drop_ins.into_values());
    Ok(files.filter(|file| !file.is_masked()).collect())
}

impl Place {
    /// None where there is no such root.
    fn open(root: &Path, below: &Path) -> Result<Option<Self>, ConfigError> {
        let called = root.join(below);
        let below = below.to_string_lossy().into_owned();
        match Dir::open_root(root) {
            Ok(root) => Ok(Some(Self { root, below, called })),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(unreadable(&called, &error)),
        }
    }

    fn found(&self, name: &str) -> Found {
        let path = format!("{}/{name}", self.below);
        Found { root: self.root.clone(), path, called: self.called.join(name) }
    }

    /// Drop-ins in one of its directories; one that is not there has none.
    fn names(&self, directory: &str) -> Result<BTreeSet<String>, ConfigError> {
        let is_ours = |name: &str| name.ends_with(".toml") && !name.starts_with('.');
        match self.root.names(&format!("{}/{directory}", self.below), is_ours) {
            Reading::Known(names) => Ok(names),
            Reading::Absent => Ok(BTreeSet::new()),
            Reading::Unreadable(why) => Err(unreadable(&self.called.join(directory), &why)),
        }
    }
}

impl Found {
    /// Whether there is one, though it may lead nowhere.
    fn exists(&self) -> Result<bool, ConfigError> {
        match (self.root.link(&self.path), self.root.file(&self.path)) {
            (Reading::Unreadable(why), _) => Err(unreadable(&self.called, &why)),
            (Reading::Absent, Reading::Absent) => Ok(false),
            // What cannot be read is told when it is.
            (Reading::Known(_), _) | (_, Reading::Known(_) | Reading::Unreadable(_)) => Ok(true),
        }
    }

    fn is_masked(&self) -> bool {
        self.root.link(&self.path).known().is_some_and(|target| target == "/dev/null")
    }

    /// None where the file went away meanwhile.
    fn read(&self) -> Result<Option<Fragment>, ConfigError> {
        let file = match self.root.file(&self.path) {
            Reading::Known(file) => file,
            Reading::Absent if !self.exists()? => return Ok(None),
            Reading::Absent => return Err(unreadable(&self.called, &"it leads to nothing")),
            Reading::Unreadable(why) => return Err(unreadable(&self.called, &why)),
        };
        let mut bytes = Vec::new();
        let read = file.take(LONGEST_FILE).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&self.called, &error))?;
        let file = self.called.display().to_string();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(Fragment { file, text })),
            Err(_) => Err(ConfigError { file, line: 1, what: "is not UTF-8 text".to_owned() }),
        }
    }
}

/// Whether an error says that there is nothing. Any other hides what an administrator wrote.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> ConfigError {
    let what = format!("cannot be read: {why}");
    ConfigError { file: path.display().to_string(), line: 1, what }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up its files must fail")]
mod tests;
