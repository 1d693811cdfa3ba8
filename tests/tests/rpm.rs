//! The RPM packages, built by `make rpm` of the binaries under test, against what `make install` lays
//! down, and judged by rpm and rpmlint.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "rpm/contents.rs"]
mod contents;
#[path = "rpm/dnf.rs"]
mod dnf;
#[path = "rpm/installed.rs"]
mod installed;
#[path = "rpm/policy.rs"]
mod policy;
#[path = "rpm/scriptlets.rs"]
mod scriptlets;
#[path = "rpm/triggers.rs"]
mod triggers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use onload_tests::package::{self, Packages, runs};
use onload_tests::skip::skip;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap()
}

/// What a program says, which must succeed.
fn ok(program: &str, arguments: &[&str]) -> String {
    let out = run(program, arguments);
    assert!(out.status.success(), "{program} {arguments:?}: {}", text(&out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Where packages are built; what a former run left there is replaced.
fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("packages")
}

/// The binaries in them.
fn binaries() -> PathBuf {
    target().join("bin")
}

/// Release 1 as it ships, and release 2 with the policy modules built where that can be done.
fn built() -> &'static [Packages; 2] {
    static BUILT: OnceLock<[Packages; 2]> = OnceLock::new();
    BUILT.get_or_init(|| {
        package::stripped(None, &binaries()).unwrap();
        let flags = if policy::lacking().is_none() { "--with policy" } else { "" };
        [(1, ""), (2, flags)]
            .map(|(release, flags)| package::build(&target(), &binaries(), release, flags).unwrap())
    })
}

/// The packages, or none and said why.
fn packages(test: &str) -> Option<&'static [Packages; 2]> {
    match package::lacking() {
        Some(why) => {
            skip(test, &why);
            None
        }
        None => Some(built()),
    }
}

/// A tag of a package, one line each where it is a list.
fn tag(package: &Path, format: &str) -> Vec<String> {
    let package = package.to_str().unwrap();
    ok("rpm", &["-qp", "--qf", format, package]).lines().map(str::to_owned).collect()
}

#[test]
fn the_spec_has_the_version_of_the_program() {
    let spec = read("packaging/rpm/onloadd.spec");
    let version = env!("CARGO_PKG_VERSION");
    let default = format!("%{{!?onloadd_version:%global onloadd_version {version}}}");
    assert!(spec.lines().any(|line| line == default), "{default}");
    let (_, changes) = spec.split_once("%changelog\n").unwrap();
    let newest = changes.lines().next().unwrap();
    assert!(newest.ends_with(&format!(" - {version}-1")), "{newest}");
    if let Some([one, two]) = packages("the_spec_has_the_version_of_the_program") {
        assert_eq!(tag(&one.main, "%{version}-%{release}"), [format!("{version}-1")]);
        assert_eq!(tag(&two.main, "%{version}-%{release}"), [format!("{version}-2")]);
    }
}

#[test]
fn what_it_needs_is_asked_for() {
    let Some([one, _]) = packages("what_it_needs_is_asked_for") else { return };
    let needs = tag(&one.main, "[%{REQUIRENAME} %{REQUIREFLAGS:depflags} %{REQUIREVERSION}\n]");
    let has = |wanted: &str| needs.iter().any(|need| need.trim_end() == wanted);
    for wanted in ["systemd >= 252", "systemd-udev", "dbus", "polkit", "kmod"] {
        assert!(has(wanted), "{wanted} is not in {needs:?}");
    }
    assert!(needs.iter().any(|need| need.starts_with("libudev.so.1()")), "{needs:?}");
    // Nothing that only this build host has.
    let odd = needs.iter().filter(|need| need.starts_with('/') && !need.starts_with("/bin/sh"));
    assert_eq!(odd.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn rpmlint_finds_nothing_that_is_not_explained() {
    let test = "rpmlint_finds_nothing_that_is_not_explained";
    if !runs("rpmlint") {
        return skip(test, "no rpmlint");
    }
    let Some([one, _]) = packages(test) else { return };
    let filters = repository().join("packaging/rpm/onloadd.rpmlintrc");
    let out = Command::new("rpmlint")
        .arg("-r")
        .arg(filters)
        .arg("--ignore-unused-rpmlintrc")
        .args([&one.main, &one.selinux, &one.source])
        .arg(repository().join("packaging/rpm/onloadd.spec"))
        .output()
        .unwrap();
    let said = text(&out);
    assert!(said.contains("packages and 1 specfiles checked"), "{said}");
    let pages = contents::files(&one.main).keys().any(|path| path.starts_with("usr/share/man/"));
    let told = said.lines().filter(|line| line.contains(": E: ") || line.contains(": W: "));
    // Of a tree whose CLI writes no pages.
    let told = told.filter(|line| pages || !line.contains("no-manual-page-for-binary"));
    assert_eq!(told.collect::<Vec<_>>(), Vec::<&str>::new());
}
