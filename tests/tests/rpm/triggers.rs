//! The policy module that needs the policy of containers, which comes and goes as it likes: run by rpm itself, in
//! a small root whose `semodule` refuses what the real one does.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use onload_tests::package::complaints;
use onload_tests::skip::skip;
use onload_tests::tree::{program, script, small_root};
use tempfile::TempDir;

use super::{ok, packages, policy, run, text};

const TYPES: &str = "onloadd_containers";

/// A policy of files, one for each module. None is taken without the one whose type it needs, which none
/// can take from under it.
const SEMODULE: &str = r#"#!/bin/sh
echo "semodule $*" >>/calls
fail() {
    echo "$1" >>/refused
    exit 1
}
while [ $# -gt 0 ]; do
    case $1 in
    -s | -X) shift ;;
    -l) ls /modules ;;
    -i)
        shift
        [ -s "$1" ] || fail "no $1"
        name=${1##*/}
        name=${name%%.*}
        [ "$name" != onloadd_containers ] || [ -e /modules/container ] || fail "$name: unknown type"
        : >"/modules/$name"
        ;;
    -r)
        shift
        [ "$1" != container ] || [ ! -e /modules/onloadd_containers ] || fail "$1: its type is needed"
        [ -e "/modules/$1" ] || exit 1
        rm "/modules/$1"
        ;;
    esac
    shift
done
"#;
const NOTED: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>/calls\n";

/// A package that brings and takes the policy of containers as the one does that it stands for.
const CONTAINER: &str = "\
Name: container-selinux
Version: 2
Release: %{made}
Summary: Stand-in for the policy of containers
License: MIT
BuildArch: noarch
%description
Stand-in for the policy of containers.
%install
mkdir -p %{buildroot}/usr/share
echo container >%{buildroot}/usr/share/container.pp
%post
/usr/sbin/semodule -n -s targeted -X 200 -i /usr/share/container.pp
%postun
[ $1 -ne 0 ] || /usr/sbin/semodule -n -s targeted -X 200 -r container
%files
/usr/share/container.pp
";

/// A root in which packages come and go.
struct Node {
    place: TempDir,
}

impl Node {
    fn new() -> Self {
        // Where temporary files are, devices may not work.
        let node = Self { place: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        small_root(&node.at("root"), &["sh", "grep", "ls", "rm"]).unwrap();
        script(&node.at("root/usr/sbin/semodule"), SEMODULE);
        for name in ["selinuxenabled", "load_policy", "restorecon"] {
            script(&node.at("root/usr/sbin").join(name), NOTED);
        }
        fs::create_dir(node.at("root/modules")).unwrap();
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&node.at("root/dev/null"), SFlag::S_IFCHR, mode, makedev(1, 3)).unwrap();
        fs::write(node.at("container.spec"), CONTAINER).unwrap();
        node
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    /// A release of the policy of containers.
    fn container(&self, release: u32) -> PathBuf {
        let top = format!("_topdir {}", self.at("top").display());
        let spec = self.at("container.spec").display().to_string();
        let made = format!("made {release}");
        ok("rpmbuild", &["-bb", "--quiet", "--define", &top, "--define", &made, &spec]);
        self.at(&format!("top/RPMS/noarch/container-selinux-2-{release}.noarch.rpm"))
    }

    /// Has rpm do something without a complaint, and forgets what was called before.
    fn rpm(&self, words: &[&str], packages: &[&Path]) {
        let _ = fs::remove_file(self.at("root/calls"));
        let root = self.at("root").display().to_string();
        let packages = packages.iter().map(|package| package.to_str().unwrap());
        let all: Vec<_> =
            ["--root", &*root, "--nodeps"].into_iter().chain(words.iter().copied()).collect();
        let out = run("rpm", &all.into_iter().chain(packages).collect::<Vec<_>>());
        let said = text(&out);
        let complaints = complaints(&said);
        assert!(out.status.success() && complaints.is_empty(), "{words:?}: {complaints:?}");
        let refused = fs::read_to_string(self.at("root/refused")).unwrap_or_default();
        assert_eq!(refused, "", "{words:?}");
    }

    /// The policy as it is.
    fn modules(&self) -> Vec<String> {
        let all = fs::read_dir(self.at("root/modules")).unwrap();
        let mut all: Vec<_> =
            all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    /// The last of what was called that begins so, counted from the first on.
    fn call(&self, begins: &str, has: &str) -> Option<usize> {
        let calls = fs::read_to_string(self.at("root/calls")).unwrap_or_default();
        let is = |line: &str| line.starts_with(begins) && line.contains(has);
        calls.lines().enumerate().filter(|(_, line)| is(line)).last().map(|(at, _)| at)
    }
}

#[test]
fn libraries_are_for_containers_while_their_policy_is_there() {
    let test = "libraries_are_for_containers_while_their_policy_is_there";
    let missing =
        ["sh", "grep", "ls", "rm", "ldd"].into_iter().find(|name| program(name).is_none());
    if let Some(why) = policy::lacking().or(missing.map(|name| format!("{name} is not installed")))
    {
        return skip(test, &why);
    }
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "rpm runs scriptlets in another root as root only");
    }
    let Some([_, two]) = packages(test) else { return };
    let ours: &Path = &two.selinux;
    let node = Node::new();
    let [older, newer] = [1, 2].map(|release| node.container(release));
    let (none, both): (&[&str], &[&str]) = (&[], &["container", "onloadd", TYPES]);

    node.rpm(&["-i"], &[ours]);
    assert_eq!(node.modules(), ["onloadd"], "there are no containers");
    node.rpm(&["-i"], &[&older]);
    assert_eq!(node.modules(), both, "their policy came later");
    let (taken, labelled) =
        (node.call("semodule", TYPES), node.call("restorecon", "/var/lib/onloadd"));
    assert!(
        taken.is_some() && labelled > taken,
        "what was there is labelled: {taken:?} {labelled:?}"
    );
    node.rpm(&["-U"], &[&newer]);
    assert_eq!(node.modules(), both, "another version took its place");
    assert_eq!(node.call("semodule", &format!("-r {TYPES}")), None, "at no moment was it away");
    node.rpm(&["-U", "--replacepkgs"], &[ours]);
    assert_eq!(node.modules(), both, "another version of ours did");
    node.rpm(&["-e"], &[Path::new("container-selinux")]);
    assert_eq!(node.modules(), ["onloadd"], "it has gone, and nothing was in its way");
    let away = node.call("semodule", &format!("-r {TYPES}"));
    assert!(
        node.call("restorecon", "/var/lib/onloadd") > away,
        "no label is left that nobody knows"
    );

    node.rpm(&["-i"], &[&newer]);
    node.rpm(&["-e"], &[Path::new("onloadd-selinux")]);
    assert_eq!(node.modules(), ["container"], "ours has gone");
    node.rpm(&["-i"], &[ours]);
    assert_eq!(node.modules(), both, "their policy was there before");
    let names = ["onloadd-selinux", "container-selinux"].map(Path::new);
    for order in [[0, 1], [1, 0]] {
        node.rpm(&["-e"], &order.map(|which| names[which]));
        assert_eq!(node.modules(), none, "both at once: {order:?}");
        node.rpm(&["-i"], &order.map(|which| [ours, &newer][which]));
        assert_eq!(node.modules(), both, "both at once: {order:?}");
    }
}
