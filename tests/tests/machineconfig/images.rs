//! Both Containerfiles of packaging/rhcos, built by podman. What they build upon comes from registries, so bases stand
//! in for it that are made of programs of this machine: an OS image with rpm and systemd's tools in place, and
//! an image of an Onload release. In the first, `rpm-ostree` and `ostree` are programs of this test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use onload_tests::node::Node;
use onload_tests::package;
use onload_tests::skip::skip;
use onload_tests::tree::{self, program, script, small_root};
use tempfile::TempDir;

/// What layering needs in an OS image, and taking a package apart in another.
const PROGRAMS: [&str; 15] = [
    "sh",
    "cat",
    "cp",
    "find",
    "grep",
    "gzip",
    "ls",
    "mkdir",
    "rm",
    "rpm",
    "rpm2archive",
    "systemctl",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "tar",
];
/// The settings of rpm, without which it knows no architecture.
const RPM: &str = "/usr/lib/rpm";
/// Where an OS image has its list of packages: /var is the node's.
const PACKAGES: &str = "/usr/share/rpm";
/// What rpm and scriptlets said.
const SAID: &str = "usr/share/said";

/// Stand-in for `rpm-ostree install`: the packages, with their scriptlets, into the tree it runs in. What a
/// package needs is another matter than this image.
const RPM_OSTREE: &str = r#"#!/bin/sh
[ "$1" = install ] || exit 64
shift
exec rpm -i --nodeps "$@" >/usr/share/said 2>&1
"#;
/// Stand-in for `ostree container commit`: clears what an image has no business to have, and takes no
/// plain file below /var, which would never reach a node.
const OSTREE: &str = r#"#!/bin/sh
[ "$*" = "container commit" ] || exit 64
rm -rf /run/* /var/tmp/*
for file in $(find /var -type f); do
    echo "error: found $file" >&2
    exit 1
done
"#;

/// A podman with a store of its own, and a package to build of.
struct Bench {
    place: TempDir,
}

/// Why nothing can be built here, or `None`.
fn lacking() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("images are built as root only".to_owned());
    }
    let programs = PROGRAMS.iter().copied().chain(["podman", "unshare", "ldd"]);
    let missing = programs.into_iter().find(|name| program(name).is_none());
    missing.map(|name| format!("{name} is not installed")).or_else(package::lacking)
}

impl Bench {
    /// None, and said why, where podman builds nothing.
    fn new(test: &str) -> Option<Self> {
        if let Some(why) = lacking() {
            skip(test, &why);
            return None;
        }
        // Hundreds of megabytes: not where they may be in memory.
        let bench = Self { place: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        let root = bench.at("os");
        small_root(&root, &PROGRAMS).unwrap();
        let copied = Command::new("cp").args(["-r", RPM]).arg(root.join("usr/lib")).status();
        assert!(copied.unwrap().success());
        fs::create_dir_all(root.join("etc/rpm")).unwrap();
        fs::write(root.join("etc/rpm/macros"), format!("%_dbpath {PACKAGES}\n")).unwrap();
        script(&root.join("usr/bin/rpm-ostree"), RPM_OSTREE);
        script(&root.join("usr/bin/ostree"), OSTREE);
        fs::create_dir(root.join("usr/share")).unwrap();
        let imported = bench.import("os", "localhost/os:1");
        fs::create_dir_all(bench.at("context/rpms")).unwrap();
        fs::copy(packed(), bench.package()).unwrap();
        let file = bench.at("Containerfile");
        fs::write(&file, "ARG BASE\nFROM ${BASE}\nRUN rpm --version\n").unwrap();
        let tried = bench.build(&file, "localhost/try:1", &["BASE=localhost/os:1"]);
        if !imported.status.success() || !tried.status.success() {
            skip(test, &format!("podman builds no image here: {imported:?} {tried:?}"));
            return None;
        }
        Some(bench)
    }

    /// The package to build of.
    fn package(&self) -> PathBuf {
        self.at("context/rpms").join(packed().file_name().unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    /// Without a network: nothing is fetched. Without a container runtime, which needs control groups.
    fn podman(&self) -> Command {
        let mut podman = Command::new("unshare");
        podman.args(["--net", "podman", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        podman.args(["--events-backend", "none"]);
        for (option, directory) in [("--root", "store"), ("--runroot", "run"), ("--tmpdir", "tmp")]
        {
            podman.arg(option).arg(self.at(directory));
        }
        podman
    }

    /// Makes an image of a directory.
    fn import(&self, directory: &str, name: &str) -> Output {
        let archive = self.at("archive.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(self.at(directory)).arg("-cf").arg(&archive).arg(".");
        assert!(tar.status().unwrap().success());
        self.podman().arg("import").arg(&archive).arg(name).output().unwrap()
    }

    fn build(&self, file: &Path, name: &str, arguments: &[&str]) -> Output {
        let mut podman = self.podman();
        podman.args(["build", "--layers=false", "--isolation", "chroot", "--network", "host"]);
        for argument in arguments {
            podman.args(["--build-arg", argument]);
        }
        podman.args(["--tag", name, "--file"]).arg(file).arg(self.at("context")).output().unwrap()
    }

    /// Builds one of ours, and mounts it.
    fn built(&self, file: &str, arguments: &[&str]) -> PathBuf {
        let name = "localhost/built:1";
        let out = self.build(&Node::repository("packaging/rhcos").join(file), name, arguments);
        assert!(out.status.success(), "{file}: {out:?}");
        let out = self.podman().args(["image", "mount", name]).output().unwrap();
        assert!(out.status.success(), "{file}: {out:?}");
        PathBuf::from(String::from_utf8(out.stdout).unwrap().trim())
    }
}

/// The package of the binaries under test, made once.
fn packed() -> &'static Path {
    static PACKED: OnceLock<PathBuf> = OnceLock::new();
    PACKED.get_or_init(|| {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("image-packages");
        package::stripped(None, &target.join("bin")).unwrap();
        package::build(&target, &target.join("bin"), 1, "").unwrap().main
    })
}

/// The units that a tree has enabled.
fn enabled(root: &Path) -> Vec<String> {
    let below = tree::files(&root.join("etc/systemd/system")).into_keys();
    below.filter(|path| path.contains(".wants/") || path.contains(".requires/")).collect()
}

#[test]
fn an_os_image_is_layered_with_the_package_and_its_units_enabled() {
    const TEST: &str = "machineconfig: an OS image is layered";
    let Some(bench) = Bench::new(TEST) else { return };
    let image = bench.built("Containerfile", &["BASE=localhost/os:1"]);

    let said = fs::read_to_string(image.join(SAID)).unwrap();
    assert_eq!(package::complaints(&said), [""; 0], "neither rpm nor a scriptlet");
    // Content, owner and mode of each file, as they were packed.
    let rpm = |words: &[&str]| {
        let root = image.to_str().unwrap();
        let database = format!("_dbpath {PACKAGES}");
        let mut rpm = Command::new("rpm");
        let out = rpm.args(["--root", root, "--define", &database]).args(words).output().unwrap();
        let said = String::from_utf8(out.stdout).unwrap() + &String::from_utf8_lossy(&out.stderr);
        package::complaints(&said).join("\n")
    };
    let name = packed().file_stem().unwrap().to_str().unwrap();
    assert_eq!(rpm(&["-q", "onloadd"]), name);
    assert_eq!(rpm(&["-V", "--nodeps", "onloadd"]), "");
    let mut units = enabled(&image);
    units.sort();
    let wanted =
        ["onloadd-boot", "onloadd"].map(|unit| format!("multi-user.target.wants/{unit}.service"));
    assert_eq!(units, wanted, "those of the preset");
    for unit in units {
        let to = fs::read_link(image.join("etc/systemd/system").join(unit)).unwrap();
        assert!(image.join(to.strip_prefix("/").unwrap()).is_file(), "{}", to.display());
    }
    let groups = fs::read_to_string(image.join("etc/group")).unwrap();
    assert!(groups.lines().any(|line| line.starts_with("onload_users:")), "{groups}");
    assert!(image.join("etc/onloadd/onloadd.toml.d").is_dir());
    assert!(!image.join("tmp/rpms").exists(), "packages are not left behind");
    assert!(
        tree::files(&image.join("run")).is_empty() && tree::files(&image.join("var")).is_empty()
    );
}

#[test]
fn an_image_to_fetch_is_a_release_and_both_programs() {
    const TEST: &str = "machineconfig: an image to fetch is built";
    let Some(bench) = Bench::new(TEST) else { return };
    let library = "usr/lib64/libonload.so";
    script(&bench.at("release").join(library), "a library\n");
    let out = bench.import("release", "localhost/onload:9.1.0");
    assert!(out.status.success(), "{out:?}");
    let arguments = ["RELEASE=localhost/onload:9.1.0", "TOOLS=localhost/os:1"];
    let image = bench.built("Containerfile.pull", &arguments);

    let programs = ["usr/bin/onloadctl", "usr/sbin/onloadd"];
    let files: Vec<_> = tree::files(&image).into_iter().collect();
    let expected = [programs[0], library, programs[1]];
    assert_eq!(files, expected.map(|path| (path.to_owned(), tree::PLAIN | 0o755)), "and no more");
    for from in programs {
        let path = image.join(from);
        let name = path.file_name().unwrap();
        let sum = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
        let packed = package::digest(packed(), &format!("/{from}")).unwrap();
        assert!(String::from_utf8(sum).unwrap().starts_with(&packed), "{from} is what was packed");
        let out = Command::new(&path).arg("--version").output().unwrap();
        let version = format!("{} {}\n", name.display(), env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8(out.stdout).unwrap(), version);
    }
    // What is no package ends the build.
    fs::write(bench.package(), "no package").unwrap();
    let file = Node::repository("packaging/rhcos/Containerfile.pull");
    let out = bench.build(&file, "localhost/spoilt:1", &arguments);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && said.contains("building at STEP \"RUN mkdir"), "{said}");
}
