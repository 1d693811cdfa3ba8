//! Finds and reads configuration files and hands their text to core. Which file wins is decided by
//! place here, which value wins by core.
//!
//! `onloadd.toml` and `onloadd.toml.d/*.toml` are looked for in three directories. A file masks the
//! one of the same name in a lower directory; a link to `/dev/null` masks it entirely. What remains
//! is read `onloadd.toml` first, then the drop-ins by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use onload_core::config::{Config, ConfigError, Fragment};

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
            for path in files(root, self.runtime.as_deref())? {
                fragments.extend(read(&path)?);
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
        let Some(root) = &self.root else { return BTreeMap::new() };
        let settings = &config.settings;
        let profiles = settings.pools.values().filter_map(|pool| pool.profile.as_ref());
        let named = profiles.chain(settings.secure_boot.named());
        let paths = named.filter_map(|path| Some((path, path.strip_prefix('/')?)));
        let read = |(name, below): (&String, &str)| {
            let read = content(&root.join(below), Readers::Any);
            Some((name.clone(), read.transpose()?))
        };
        let mut files: BTreeMap<_, _> = paths.filter_map(read).collect();
        if self.secrets == Secrets::Read {
            for path in settings.secure_boot.secrets() {
                let below = path.strip_prefix('/').unwrap_or(path);
                if let Some(read) = content(&root.join(below), Readers::Owner).transpose() {
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

/// None where there is no such file.
fn content(path: &Path, readers: Readers) -> Result<Option<Vec<u8>>, String> {
    let read = || -> io::Result<Vec<u8>> {
        // Asked first: opening a pipe would wait for somebody to write.
        let found = fs::metadata(path)?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let others = found.permissions().mode() & 0o077;
        if readers == Readers::Owner && others != 0 {
            let why = "others may read it, and could find the password (`chmod 600` it)";
            return Err(io::Error::other(why));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(LONGEST_NAMED).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The files in force, in the order in which later ones win.
fn files(root: &Path, runtime: Option<&Path>) -> Result<Vec<PathBuf>, ConfigError> {
    let mut directories = DIRECTORIES.map(|directory| root.join(directory));
    if let (Some(runtime), [_, below_root, _]) = (runtime, &mut directories) {
        runtime.clone_into(below_root);
    }
    let mut main = None;
    let mut drop_ins = BTreeMap::new();
    for directory in &directories {
        let file = directory.join(FILE);
        if exists(&file)? {
            main = Some(file);
        }
        for name in names(&directory.join(DROP_INS))? {
            let path = directory.join(DROP_INS).join(&name);
            drop_ins.insert(name, path);
        }
    }
    let files = main.into_iter().chain(drop_ins.into_values());
    Ok(files.filter(|path| !is_masked(path)).collect())
}

/// Drop-ins of one directory; one that is not there has none.
fn names(directory: &Path) -> Result<BTreeSet<String>, ConfigError> {
    let names = fs::read_dir(directory).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.file_name().into_string().ok()))
            .collect::<io::Result<Vec<Option<String>>>>()
    });
    let is_ours = |name: &String| name.ends_with(".toml") && !name.starts_with('.');
    match names {
        Ok(names) => Ok(names.into_iter().flatten().filter(is_ours).collect()),
        Err(error) if is_gone(&error) => Ok(BTreeSet::new()),
        Err(error) => Err(unreadable(directory, &error)),
    }
}

fn exists(path: &Path) -> Result<bool, ConfigError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Whether an error says that there is nothing. Any other hides what an administrator wrote.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let what = format!("cannot be read: {error}");
    ConfigError { file: path.display().to_string(), line: 1, what }
}

fn is_masked(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// None where the file went away meanwhile.
fn read(path: &Path) -> Result<Option<Fragment>, ConfigError> {
    let file = path.display().to_string();
    let refuse = |what: String| ConfigError { file: file.clone(), line: 1, what };
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if is_gone(&error) && !exists(path)? => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text".to_owned()))?;
    Ok(Some(Fragment { file, text }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up its files must fail")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Path and content; a content `-> target` is a link.
    type Files<'a> = &'a [(&'a str, &'a str)];

    fn tree(files: Files<'_>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        root
    }

    fn slots(files: Files<'_>) -> Result<Option<u32>, ConfigError> {
        let root = tree(files);
        let sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
        let config = sources.load()?;
        Ok(config.settings.pools.values().next().map(|pool| pool.slots))
    }

    #[test]
    fn files_mask_by_name_and_the_rest_merges_in_name_order() {
        let vendor = ("usr/lib/onloadd/onloadd.toml", "[pools.onload]\nslots = 1\n");
        let cases: [(&str, Files<'_>, Option<u32>); 6] = [
            ("nothing there", &[], None),
            ("vendor alone", &[vendor], Some(1)),
            (
                "the administrator's file masks it whole",
                &[vendor, ("etc/onloadd/onloadd.toml", "")],
                None,
            ),
            (
                "a link to /dev/null masks it",
                &[vendor, ("run/onloadd/onloadd.toml", "-> /dev/null")],
                None,
            ),
            (
                "drop-ins win by name, not by directory",
                &[
                    vendor,
                    ("etc/onloadd/onloadd.toml.d/10-a.toml", "[pools.onload]\nslots = 2\n"),
                    ("usr/lib/onloadd/onloadd.toml.d/20-b.toml", "[pools.onload]\nslots = 3\n"),
                ],
                Some(3),
            ),
            (
                "a drop-in masks the one of the same name",
                &[
                    ("usr/lib/onloadd/onloadd.toml.d/a.toml", "[pools.onload]\nslots = 2\n"),
                    ("etc/onloadd/onloadd.toml.d/a.toml", "-> /dev/null"),
                ],
                None,
            ),
        ];
        for (why, files, expected) in cases {
            assert_eq!(slots(files).unwrap(), expected, "{why}");
        }
    }

    #[test]
    fn what_is_named_by_path_is_read_with_the_configuration() {
        let pools = "[pools.onload]\nprofile = \"latency\"\n[pools.a]\nprofile = \"/srv/a.opf\"\n\
            [pools.b]\nprofile = \"/srv/b.opf\"\n[pools.c]\nprofile = \"/srv\"\n\
            [secure-boot]\ncertificates = [\"/srv/key.der\", \"/srv/none\"]\n";
        let root = tree(&[
            ("etc/onloadd/onloadd.toml", pools),
            ("srv/a.opf", "onload_set A 1\n"),
            ("srv/key.der", "a key"),
        ]);
        let sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
        let files = sources.load().unwrap().files;
        let named: Vec<_> = files.keys().collect();
        assert_eq!(named, ["/srv", "/srv/a.opf", "/srv/key.der"]);
        assert_eq!(files["/srv/a.opf"], Ok(b"onload_set A 1\n".to_vec()));
        assert_eq!(files["/srv/key.der"], Ok(b"a key".to_vec()));
        assert!(files["/srv"].is_err());
    }

    #[test]
    fn the_hash_of_a_password_is_for_its_owner_alone() {
        let wish =
            "[[secure-boot.requests]]\ncertificate = \"/k.der\"\npassword-hash = \"/k.hash\"\n";
        let root = tree(&[
            ("etc/onloadd/onloadd.toml", wish),
            ("k.der", "a key"),
            ("k.hash", "$6$salt$hash"),
        ]);
        let mode = |mode| {
            let path = root.path().join("k.hash");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let mut sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
        mode(0o640);
        let why = sources.load().unwrap().files["/k.hash"].clone().unwrap_err();
        assert!(why.contains("chmod 600"), "{why}");
        mode(0o600);
        let config = sources.load().unwrap();
        assert_eq!(config.files["/k.hash"], Ok(b"$6$salt$hash".to_vec()));
        assert!(!format!("{config:?}").contains("36, 54, 36"), "nor is it printed");
        sources.secrets = Secrets::Left;
        assert!(!sources.load().unwrap().files.contains_key("/k.hash"));
    }

    #[test]
    fn a_file_that_is_there_and_cannot_be_read_is_an_error() {
        for target in ["-> nowhere", "-> onloadd.toml"] {
            let error = slots(&[("etc/onloadd/onloadd.toml", target)]).unwrap_err();
            assert!(error.file.ends_with("etc/onloadd/onloadd.toml"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_looked_into_is_not_taken_for_nothing() {
        let root = tree(&[("etc/onloadd/onloadd.toml.d/nothing.txt", "")]);
        let looped = root.path().join("usr/lib");
        fs::create_dir_all(&looped).unwrap();
        symlink("onloadd", looped.join("onloadd")).unwrap();
        let sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
        let error = sources.load().unwrap_err();
        assert!(error.file.contains("usr/lib/onloadd"), "{error}");
    }

    #[test]
    fn the_runtime_directory_stands_between_vendor_and_administrator() {
        let root = tree(&[
            ("usr/lib/onloadd/onloadd.toml", "[pools.onload]\nslots = 1\n"),
            ("run/onloadd/onloadd.toml", "[pools.onload]\nslots = 2\n"),
            ("elsewhere/onloadd.toml", "[pools.onload]\nslots = 3\n"),
        ]);
        let runtime = Some(root.path().join("elsewhere"));
        let sources = Sources { root: Some(root.path().to_owned()), runtime, ..Sources::default() };
        let pools = sources.load().unwrap().settings.pools;
        assert_eq!(pools.values().next().map(|pool| pool.slots), Some(3));
    }

    #[test]
    fn places_of_another_machine_are_not_its_files_to_say() {
        let places = "[metrics]\nlisten = \"0.0.0.0:9557\"\nsocket = \"/tmp/x.sock\"\n\
            [cdi]\ndirectory = \"/etc/cdi\"\n[kubelet]\ndirectory = \"/tmp/kubelet\"\n";
        let root = tree(&[("etc/onloadd/onloadd.toml", places)]);
        let text = "[kubelet]\nplugins-registry = \"/tmp/registry\"\n".to_owned();
        let command_line = Some(Fragment { file: "command line".to_owned(), text });
        let sources =
            Sources { root: Some(root.path().to_owned()), command_line, ..Sources::default() };
        assert_eq!(sources.load().unwrap().settings.cdi.directory, "/etc/cdi");
        let own = sources.of_command_line().load().unwrap().settings;
        let built_in = onload_core::config::Settings::default();
        assert_eq!((own.metrics, own.cdi), (built_in.metrics, built_in.cdi));
        assert_eq!(own.kubelet.directory, built_in.kubelet.directory);
        assert_eq!(own.kubelet.plugins_registry, "/tmp/registry");
    }
}
