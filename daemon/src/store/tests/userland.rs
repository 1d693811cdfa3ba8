//! What containers are given, and how long it stays.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use super::source::VERSION;
use super::*;

fn pool() -> onload_core::names::PoolName {
    "onload".parse().unwrap()
}

/// What a look would say of it.
fn release(root: &Path, stamp: Option<&str>) -> onload_core::release::Release {
    onload_core::release::Release {
        root: root.to_str().unwrap().to_owned(),
        library_directory: "usr/lib64".to_owned(),
        libraries: ["libonload.so".to_owned()].into(),
        launcher: true,
        stamp: stamp.map(str::to_owned),
        ..Default::default()
    }
}

/// The packages' files, in a root of their own.
fn host(content: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, mode) in [
        ("usr/lib64/libonload.so", 0o755),
        ("usr/bin/onload", 0o755),
        ("usr/bin/other", 0o755),
        ("usr/libexec/onload/profiles/latency.opf", 0o644),
    ] {
        let at = root.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, content).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
    }
    root
}

impl Place {
    /// The store sees these processes alone.
    fn beside(&mut self, pids: &[u32]) -> tempfile::TempDir {
        let processes = tempfile::tempdir().unwrap();
        let names = pids.iter().map(u32::to_string).chain(["self".to_owned()]);
        for name in names {
            symlink(format!("/proc/{name}"), processes.path().join(&name)).unwrap();
        }
        self.store.processes = processes.path().to_owned();
        processes
    }

    fn put(&self, name: &str, from: &Path, tree: &str) {
        let stamp = tree.strip_prefix("host-");
        let found = release(from, stamp);
        self.store.place(&pool(), &name.parse().unwrap(), &found, tree).unwrap();
    }

    fn given(&self, file: &str) -> std::path::PathBuf {
        self.directory.path().join("pools/onload/current").join(file)
    }

    fn trees(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join("trees")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != staging::LOCK).collect();
        names.sort();
        names
    }
}

#[test]
fn one_path_leads_to_whichever_release_is_in_place() {
    let mut place = Place::new();
    let _processes = place.beside(&[]);
    place.import(&Source::release().tar()).unwrap();
    let imported = place.releases().join(VERSION);
    let host = host("the host's");
    place.put("host", host.path(), "host-1");
    let library = place.given("lib64/libonload.so");
    assert_eq!(fs::read_to_string(&library).unwrap(), "the host's");
    let mode = fs::metadata(place.given("bin/onload")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o555);
    assert!(place.given("libexec/profiles/latency.opf").is_file());
    assert!(!place.given("bin/other").exists(), "only what is of the release");
    place.put(VERSION, &imported, VERSION);
    let (given, kept) = (fs::read(&library), fs::read(imported.join("usr/lib64/libonload.so")));
    assert_eq!(given.unwrap(), kept.unwrap());
    assert_eq!(place.trees(), [VERSION], "what nobody has is gone");
    // Asked again, and after somebody emptied it.
    place.put(VERSION, &imported, VERSION);
    fs::remove_file(place.directory.path().join("trees").join(VERSION).join("lib64")).unwrap();
    place.put(VERSION, &imported, VERSION);
    assert!(library.is_file());
}

#[test]
fn a_package_that_replaces_its_files_leaves_those_in_use() {
    let mut place = Place::new();
    let _processes = place.beside(&[std::process::id()]);
    place.put("host", host("old").path(), "host-1");
    let mut open = File::open(place.given("lib64/libonload.so")).unwrap();
    place.put("host", host("new").path(), "host-2");
    assert_eq!(fs::read_to_string(place.given("lib64/libonload.so")).unwrap(), "new");
    assert_eq!(place.trees(), ["host-1", "host-2"], "somebody has the old one open");
    let mut content = String::new();
    open.read_to_string(&mut content).unwrap();
    assert_eq!(content, "old");
    drop(open);
    place.put("host", host("newer").path(), "host-3");
    assert_eq!(place.trees(), ["host-3"]);
}

#[test]
fn a_half_made_tree_is_made_anew() {
    let mut place = Place::new();
    let _processes = place.beside(&[]);
    fs::create_dir_all(place.directory.path().join("trees/.new/lib64")).unwrap();
    fs::create_dir_all(place.directory.path().join("pools/onload")).unwrap();
    symlink("nowhere", place.directory.path().join("pools/onload/.current-new")).unwrap();
    place.put("host", host("whole").path(), "host-1");
    assert_eq!(fs::read_to_string(place.given("lib64/libonload.so")).unwrap(), "whole");
    assert_eq!(place.trees(), ["host-1"]);
}

/// A process in mounts of its own, which has a directory mounted and no file of it open.
struct Container(Child);

impl Container {
    fn start(directory: &Path) -> Option<Self> {
        // What answers is the program that the shell became: its name is settled then.
        let script = "mount --bind \"$0\" /mnt && exec cat";
        let arguments = ["--user", "--map-root-user", "--mount", "--", "sh", "-c", script];
        let started = Command::new("unshare")
            .args(arguments)
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut container = Self(started.ok()?);
        let asked = container.0.stdin.as_mut().unwrap().write_all(b"?");
        let answered = container.0.stdout.as_mut().unwrap().read_exact(&mut [0]);
        (asked.is_ok() && answered.is_ok()).then_some(container)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_container_has_mounted_stays() {
    let mut place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    let imported = place.releases().join(VERSION);
    let Some(container) = Container::start(&imported.join("usr/lib64")) else {
        return println!("skipped: no mounts of one's own here");
    };
    let _processes = place.beside(&[container.0.id()]);
    let refused = removal::remove(&place.store, &VERSION.parse().unwrap()).unwrap_err();
    says(&refused, &format!("{} (cat)", container.0.id()));
    drop(container);
    removal::remove(&place.store, &VERSION.parse().unwrap()).unwrap();
}
