//! The package by dnf: out of a repository, with all that it needs, into a root of its own. What it needs is said by
//! packages that stand in for a distribution's; the programs in the root are this machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use onload_tests::package::complaints;
use onload_tests::skip::skip;
use onload_tests::tree::{program, small_root};
use tempfile::TempDir;

use super::{ok, packages, policy, run, tag, text};

/// What scriptlets run.
const PROGRAMS: [&str; 5] = ["sh", "grep", "systemctl", "systemd-sysusers", "systemd-tmpfiles"];
const UNITS: &str = "etc/systemd/system/multi-user.target.wants";

const NEEDED: &str = "\
Name: %{called}
Version: %{made}
Release: 1
Summary: Stand-in for a package of a distribution
License: MIT
BuildArch: noarch
%{gives}
%description
Stand-in for a package of a distribution.
%files
";

/// A repository, and a root to install into.
struct Node {
    place: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self { place: TempDir::new().unwrap() };
        small_root(&node.at("root"), &PROGRAMS).unwrap();
        fs::write(node.at("needed.spec"), NEEDED).unwrap();
        fs::create_dir(node.at("repository")).unwrap();
        // Nothing of this machine's settings, repositories or plugins.
        let settings = "[main]\nreposdir=/nonexistent\nplugins=0\ninstall_weak_deps=1\n";
        fs::write(node.at("dnf.conf"), settings).unwrap();
        node
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    /// Puts a package into the repository.
    fn offer(&self, package: &Path) {
        fs::copy(package, self.at("repository").join(package.file_name().unwrap())).unwrap();
        ok("createrepo_c", &["--quiet", self.at("repository").to_str().unwrap()]);
    }

    /// Makes a package of a distribution and puts it there.
    fn offer_needed(&self, name: &str, version: &str, gives: &str) {
        let define = [
            format!("_topdir {}", self.at("top").display()),
            format!("called {name}"),
            format!("made {version}"),
            format!(
                "gives {}",
                if gives.is_empty() { "%nil".into() } else { format!("Provides: {gives}") }
            ),
        ];
        let spec = self.at("needed.spec").display().to_string();
        let define = define.iter().flat_map(|one| ["--define", one]);
        let all: Vec<_> = ["-bb", "--quiet"].into_iter().chain(define).chain([&*spec]).collect();
        ok("rpmbuild", &all);
        self.offer(&self.at(&format!("top/RPMS/noarch/{name}-{version}-1.noarch.rpm")));
    }

    /// Runs dnf, without a network.
    fn dnf(&self, words: &[&str]) -> (bool, String) {
        let option = |name: &str, path: &str| format!("--{name}={}", self.at(path).display());
        let out = Command::new("unshare")
            .args(["--net", "dnf", "--assumeyes", "--nogpgcheck", "--releasever=9"])
            .args([option("config", "dnf.conf"), option("installroot", "root")])
            .arg(format!("--repofrompath=here,{}", self.at("repository").display()))
            // By age alone, what is offered within a second would not be seen.
            .arg("--refresh")
            .args(words)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        (out.status.success(), text(&out))
    }

    /// Runs it, which must succeed without a complaint of rpm's or a scriptlet's.
    fn done(&self, words: &[&str]) {
        let (success, said) = self.dnf(words);
        let complains = ["error:", "warning:", "Error in", "scriptlet failed"];
        let complaint = complains.iter().find(|complaint| said.contains(**complaint));
        assert!(success && complaint.is_none(), "{words:?}: {said}");
    }

    /// What is installed of ours.
    fn installed(&self) -> Vec<String> {
        let root = self.at("root").display().to_string();
        let query = ["--root", &root, "-qa", "--qf", "%{NAME}-%{RELEASE}\n", "onloadd*"];
        let mut found: Vec<_> = ok("rpm", &query).lines().map(str::to_owned).collect();
        found.sort();
        found
    }
}

#[test]
fn a_repository_is_all_that_dnf_needs() {
    let test = "a_repository_is_all_that_dnf_needs";
    let others = ["dnf", "createrepo_c", "unshare", "ldd"];
    let missing = PROGRAMS.into_iter().chain(others).find(|name| program(name).is_none());
    if let Some(name) = missing {
        return skip(test, &format!("{name} is not installed"));
    }
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "dnf installs below another root as root only");
    }
    let Some([one, two]) = packages(test) else { return };
    let node = Node::new();
    node.offer(&one.main);
    for name in ["systemd-udev", "dbus", "polkit", "kmod"] {
        node.offer_needed(name, "1", "");
    }
    // What is linked, as a distribution of the Fedora family says it of its libraries.
    let needs = tag(&one.main, "[%{REQUIRENAME}\n]");
    let linked = needs.iter().filter(|need| need.ends_with("(64bit)") || need.starts_with("rtld("));
    let linked: Vec<_> = linked.map(String::as_str).chain(["/bin/sh"]).collect();
    assert!(linked.len() > 3, "{needs:?}");
    node.offer_needed("libraries", "1", &linked.join(" "));

    node.offer_needed("systemd", "251", "");
    let (success, said) = node.dnf(&["install", "onloadd"]);
    assert!(!success && said.contains("nothing provides systemd >= 252"), "{said}");
    assert_eq!(node.installed(), [""; 0]);

    node.offer_needed("systemd", "252", "");
    node.done(&["install", "onloadd"]);
    assert_eq!(node.installed(), ["onloadd-1"]);
    let root = node.at("root");
    let verified = run("rpm", &["--root", root.to_str().unwrap(), "-V", "onloadd"]);
    assert_eq!(complaints(&text(&verified)), [""; 0], "each file, and all that it needs");
    let is_enabled = |unit: &str| root.join(UNITS).join(unit).is_symlink();
    assert!(
        is_enabled("onloadd.service") && is_enabled("onloadd-boot.service"),
        "as the preset says"
    );
    let groups = fs::read_to_string(root.join("etc/group")).unwrap();
    assert!(groups.contains("onload_users:"), "{groups}");

    node.offer(&two.main);
    node.offer(&two.selinux);
    node.offer_needed("selinux-policy-targeted", "1", "");
    for need in tag(&two.selinux, "[%{REQUIRENAME}\n]") {
        if ["policycoreutils", "libselinux-utils"].contains(&&*need) {
            node.offer_needed(&need, "1", "");
        }
    }
    node.done(&["upgrade", "onloadd"]);
    assert_eq!(node.installed(), ["onloadd-2"], "a host without SELinux is not given its policy");
    node.done(&["downgrade", "onloadd"]);
    assert_eq!(node.installed(), ["onloadd-1"]);
    node.done(&["remove", "onloadd"]);
    assert!(!is_enabled("onloadd.service") && !is_enabled("onloadd-boot.service"));
    assert!(node.installed().is_empty() && !root.join("usr/sbin/onloadd").exists());

    if let Some(why) = policy::lacking() {
        return skip(&format!("{test}: with the policy"), &why);
    }
    node.done(&["install", "selinux-policy-targeted"]);
    node.done(&["install", "onloadd"]);
    assert_eq!(node.installed(), ["onloadd-2", "onloadd-selinux-2"], "a host with SELinux is");
}
