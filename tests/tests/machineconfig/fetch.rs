//! `onloadd-fetch`, as a node runs it, with stand-ins for podman and systemctl: it takes both programs or none,
//! fails with what fails, and does nothing twice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use onload_tests::node::Node;
use onload_tests::skip::skip;
use tempfile::TempDir;

use crate::{IMAGE, exists};

/// Notes how it was called, and answers as podman does of an image that is at `$IMAGE_DIRECTORY`.
const PODMAN: &str = r#"#!/bin/sh
echo "podman $*" >>"$CALLS"
case "$1 $2" in
"image exists") [ -e "$IMAGE_DIRECTORY/here" ] ;;
"pull --quiet") [ ! -e "$IMAGE_DIRECTORY/no-network" ] && touch "$IMAGE_DIRECTORY/here" ;;
"image mount") echo "$IMAGE_DIRECTORY" ;;
"image unmount") echo "$3" ;;
*) exit 125 ;;
esac
"#;
const SYSTEMCTL: &str =
    "#!/bin/sh\necho \"systemctl $*\" >>\"$CALLS\"\n[ ! -e \"$IMAGE_DIRECTORY/no-start\" ]\n";

/// Notes how it was called: what makes accounts and directories.
const NOTED: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>\"$CALLS\"\n";

/// A node, and an image that it may fetch.
struct Bench {
    place: TempDir,
}

fn program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Bench {
    fn new() -> Self {
        let bench = Self { place: tempfile::tempdir().unwrap() };
        program(&bench.at("bin/podman"), PODMAN);
        program(&bench.at("bin/systemctl"), SYSTEMCTL);
        for name in ["systemd-sysusers", "systemd-tmpfiles"] {
            program(&bench.at("bin").join(name), NOTED);
        }
        for name in ["sbin/onloadd", "bin/onloadctl"] {
            program(&bench.at("image/usr").join(name), "#!/bin/sh\necho version 1\n");
        }
        bench
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    /// Whether it succeeded, what it said, and what it called.
    fn fetch(&self, image: &str) -> (bool, String, Vec<String>) {
        let calls = self.at("calls");
        drop(fs::remove_file(&calls));
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        let out = Command::new(Node::repository("packaging/rhcos/onloadd-fetch"))
            .arg(image)
            .env("PATH", path)
            .env("CALLS", &calls)
            .env("IMAGE_DIRECTORY", self.at("image"))
            .env("ONLOADD_FETCH_ROOT", self.at("root"))
            .env("REGISTRY_AUTH_FILE", "/nonexistent/config.json")
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        let calls = fs::read_to_string(&calls).unwrap_or_default();
        let calls = calls.lines().map(str::to_owned).collect();
        (out.status.success(), String::from_utf8(said).unwrap(), calls)
    }

    fn programs(&self) -> Vec<bool> {
        ["sbin/onloadd", "bin/onloadctl"]
            .map(|name| exists(&self.at("root/usr/local").join(name)))
            .into()
    }
}

#[test]
fn both_programs_are_taken_out_once_and_the_daemon_is_started() {
    let bench = Bench::new();
    let (good, said, calls) = bench.fetch(IMAGE);
    assert!(good, "{said}");
    let etc = bench.at("root/etc").display().to_string();
    assert_eq!(
        calls,
        [
            format!("podman image exists {IMAGE}"),
            format!("podman pull --quiet {IMAGE}"),
            format!("podman image mount {IMAGE}"),
            format!("systemd-sysusers {etc}/sysusers.d/onloadd.conf"),
            format!("systemd-tmpfiles --create {etc}/tmpfiles.d/onloadd.conf"),
            "systemctl restart onloadd.service".to_owned(),
            "systemctl start --no-block onloadd-release.service".to_owned(),
            format!("podman image unmount {IMAGE}"),
        ]
    );
    assert_eq!(bench.programs(), [true, true]);
    let mode = fs::metadata(bench.at("root/usr/local/sbin/onloadd")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    // At the next boot there is nothing to do, with or without a network.
    fs::write(bench.at("image/no-network"), "").unwrap();
    fs::remove_file(bench.at("image/here")).unwrap();
    let (good, said, calls) = bench.fetch(IMAGE);
    assert!(good && calls.is_empty(), "{said} {calls:?}");
    // Another image is another matter.
    let (good, said, _) = bench.fetch("registry.example/onload-node:9.2.0");
    assert!(!good && said.contains("cannot be fetched") && said.contains("fix: "), "{said}");
    assert_eq!(bench.programs(), [true, true], "what was there stays");
}

#[test]
fn whatever_fails_fails_the_unit_and_leaves_no_half() {
    for (break_it, said_of_it, unmounted) in [
        ("no-network", "cannot be fetched", false),
        ("no-program", "has no /usr/bin/onloadctl", true),
        ("no-run", "does not run here", true),
        ("no-start", "", true),
    ] {
        let bench = Bench::new();
        match break_it {
            "no-program" => fs::remove_file(bench.at("image/usr/bin/onloadctl")).unwrap(),
            "no-run" => program(&bench.at("image/usr/bin/onloadctl"), "#!/bin/sh\nexit 1\n"),
            file => fs::write(bench.at("image").join(file), "").unwrap(),
        }
        let (good, said, calls) = bench.fetch(IMAGE);
        assert!(!good && said.contains(said_of_it), "{break_it}: {said}");
        let unmount = format!("podman image unmount {IMAGE}");
        assert_eq!(calls.contains(&unmount), unmounted, "{break_it}: {calls:?}");
        assert!(!calls.iter().any(|call| call.contains("run")), "{calls:?}");
        let both = bench.programs();
        assert_eq!(both[0], both[1], "{break_it}: both or none");
        let starts = calls.iter().any(|call| call.contains("onloadd-release.service"));
        assert!(!starts, "{break_it}: no release without a daemon: {calls:?}");
        assert!(!exists(&bench.at("root/var/lib/onloadd-fetch/taken")), "{break_it}");
        // Once it is mended, the next try does it.
        drop(fs::remove_file(bench.at("image").join(break_it)));
        program(&bench.at("image/usr/bin/onloadctl"), "#!/bin/sh\nexit 0\n");
        let (good, said, calls) = bench.fetch(IMAGE);
        assert!(good && bench.programs() == [true, true], "{break_it}: {said}");
        let last = calls.iter().rfind(|call| call.starts_with("systemctl "));
        let start = "systemctl start --no-block onloadd-release.service";
        assert_eq!(
            last.map(String::as_str),
            Some(start),
            "{break_it}: the release comes after all"
        );
    }
}

/// podman with a storage of its own, as root has it; none where it cannot mount an image here.
fn storage(place: &Path) -> Option<PathBuf> {
    let conf = place.join("storage.conf");
    let [graph, run] = ["graph", "run"].map(|name| place.join(name).display().to_string());
    let text =
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{graph}\"\nrunroot = \"{run}\"\n");
    fs::write(&conf, text).unwrap();
    let said = podman(&conf, &["info", "--format={{.Host.Security.Rootless}}"])?;
    (said.trim() == "false").then_some(conf)
}

fn podman(conf: &Path, words: &[&str]) -> Option<String> {
    let out =
        Command::new("podman").args(words).env("CONTAINERS_STORAGE_CONF", conf).output().ok()?;
    out.status.success().then(|| String::from_utf8(out.stdout).unwrap())
}

#[test]
fn podman_itself_gives_the_programs_and_keeps_no_container_and_no_mount() {
    let bench = Bench::new();
    let Some(conf) = storage(bench.place.path()) else {
        return skip("machineconfig: fetch with podman", "podman is not there for root");
    };
    let archive = bench.at("image.tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(bench.at("image"))
        .arg("-cf")
        .arg(&archive)
        .arg("usr")
        .status();
    assert!(packed.unwrap().success());
    let image = "localhost/onload-node:9.1.0";
    if podman(&conf, &["import", archive.to_str().unwrap(), image]).is_none() {
        return skip("machineconfig: fetch with podman", "podman cannot keep an image here");
    }
    fs::remove_file(bench.at("bin/podman")).unwrap();
    let path = format!("{}:{}", bench.at("bin").display(), std::env::var("PATH").unwrap());
    let out = Command::new(Node::repository("packaging/rhcos/onloadd-fetch"))
        .arg(image)
        .env("PATH", path)
        .env("CALLS", bench.at("calls"))
        .env("IMAGE_DIRECTORY", bench.at("image"))
        .env("ONLOADD_FETCH_ROOT", bench.at("root"))
        .env("CONTAINERS_STORAGE_CONF", &conf)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    assert_eq!(bench.programs(), [true, true]);
    assert_eq!(podman(&conf, &["ps", "--all", "--quiet"]).unwrap(), "", "no container");
    assert_eq!(podman(&conf, &["image", "mount"]).unwrap(), "", "no mount");
}
