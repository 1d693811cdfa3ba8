//! What is in the package: the files of `make install`, and what only a package has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use onload_tests::package::runs;
use onload_tests::skip::skip;
use onload_tests::tree;
use tempfile::TempDir;

use super::{binaries, ok, packages, repository, tag, text};

/// Only a package has them: the administrator's file, and directories that go with it.
const SETTINGS: &str = "etc/onloadd/onloadd.toml.d/50-local.toml";
const DIRECTORIES: [&str; 7] = [
    "etc/onloadd",
    "etc/onloadd/onloadd.toml.d",
    "usr/lib/onloadd",
    "usr/share/doc/onloadd",
    "usr/share/licenses/onloadd",
    "usr/share/onloadd",
    "usr/share/onloadd/prometheus",
];

/// A file as it is packed.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// With the kind of file in it.
    mode: u32,
    owner: String,
    /// `c` a configuration, `n` kept as it is, `d` a document, `l` a licence.
    flags: String,
}

/// Every path of a package, from the root on.
pub fn files(package: &Path) -> BTreeMap<String, File> {
    let format =
        "[%{FILEMODES:octal}|%{FILEUSERNAME}:%{FILEGROUPNAME}|%{FILEFLAGS:fflags}|%{FILENAMES}\n]";
    let lines = tag(package, format);
    let file = |line: String| {
        let [mode, owner, flags, path] = line.splitn(4, '|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let mode = u32::from_str_radix(mode, 8).unwrap();
        let [owner, flags] = [owner, flags].map(str::to_owned);
        (path.trim_start_matches('/').to_owned(), File { mode, owner, flags })
    };
    lines.into_iter().map(file).collect()
}

/// What `make install` lays down.
fn laid_down(root: &Path) -> BTreeMap<String, u32> {
    let out = Command::new("make")
        .args(["--silent", "install"])
        .arg(format!("DESTDIR={}", root.display()))
        .arg(format!("BIN_DIR={}", binaries().display()))
        .current_dir(repository())
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("PREFIX")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out));
    tree::files(root)
}

#[test]
fn a_package_has_what_is_installed_and_nothing_more() {
    let Some(built) = packages("a_package_has_what_is_installed_and_nothing_more") else { return };
    let root = TempDir::new().unwrap();
    let mut expected = laid_down(root.path());
    assert!(expected.len() > 20, "{expected:?}");
    expected.insert(SETTINGS.to_owned(), tree::PLAIN | 0o644);
    for directory in DIRECTORIES {
        expected.insert(directory.to_owned(), 0o040_755);
    }
    for packages in built {
        let files = files(&packages.main);
        // rpm packs manual pages by a name that says how.
        let name = |path: &String| match path.strip_prefix("usr/share/man/") {
            Some(_) => path.trim_end_matches(".gz").to_owned(),
            None => path.clone(),
        };
        let found = files.iter().map(|(path, file)| (name(path), file.mode));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
        let others = files.iter().filter(|(_, file)| file.owner != "root:root");
        assert_eq!(others.collect::<Vec<_>>(), []);
    }
}

#[test]
fn only_the_administrators_file_is_kept_over_an_upgrade() {
    let Some([one, _]) = packages("only_the_administrators_file_is_kept_over_an_upgrade") else {
        return;
    };
    let files = files(&one.main);
    let configurations = files.iter().filter(|(_, file)| file.flags.contains('c'));
    let kept: Vec<_> = configurations.map(|(path, file)| (&**path, &*file.flags)).collect();
    assert_eq!(kept, [(SETTINGS, "cn")]);
    for (path, file) in &files {
        let licence = path.starts_with("usr/share/licenses/onloadd/");
        assert_eq!(file.flags.contains('l'), licence, "{path}");
        let document =
            path.starts_with("usr/share/doc/onloadd/") || path.starts_with("usr/share/man/");
        assert_eq!(file.flags.contains('d'), document, "{path}");
    }
    // It says nothing until somebody writes something into it.
    let text = super::read("packaging/rpm/50-local.toml");
    assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
}

#[test]
fn the_other_package_has_the_policy() {
    let Some([one, two]) = packages("the_other_package_has_the_policy") else { return };
    let source = fs::read_dir(repository().join("packaging/selinux")).unwrap();
    let mut source: Vec<_> =
        source.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    source.sort();
    let below = "usr/share/onloadd/selinux";
    let names = |package| {
        let files = files(package).into_keys();
        files.filter_map(|path| Some(path.strip_prefix(below)?.strip_prefix('/')?.to_owned()))
    };
    assert_eq!(names(&one.selinux).collect::<Vec<_>>(), source);
    assert_eq!(tag(&one.selinux, "%{arch}"), ["noarch"]);
    if super::policy::lacking().is_none() {
        let modules = files(&two.selinux).into_keys().filter(|path| path.ends_with(".pp.bz2"));
        assert_eq!(modules.count(), 2);
    }
}

/// The build's own directories mean nothing on a node.
#[test]
fn no_file_names_where_it_was_packed() {
    let test = "no_file_names_where_it_was_packed";
    if !runs("rpm2cpio") && !runs("cpio") {
        return skip(test, "no rpm2cpio or cpio");
    }
    let Some([one, _]) = packages(test) else { return };
    let root = TempDir::new().unwrap();
    let unpack = format!(
        "cd '{}' && rpm2cpio '{}' | cpio -idm --quiet",
        root.path().display(),
        one.main.display()
    );
    ok("sh", &["-c", &unpack]);
    let place = super::target().display().to_string();
    let found = Command::new("grep").args(["-rlF", &place]).arg(root.path()).output().unwrap();
    assert_eq!(text(&found), "");
    assert!(root.path().join("usr/sbin/onloadd").exists(), "there was something to look at");
}
