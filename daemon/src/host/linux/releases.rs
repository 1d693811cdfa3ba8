//! Releases on the disk: the host's own, the kernel's own, and those imported.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onload_core::names::{InterfaceHash, KernelRelease, ReleaseName};
use onload_core::profile::{FRAGMENT_SUFFIX, SUFFIX};
use onload_core::reading::Reading;
use onload_core::release::{HOST, IN_TREE, Kernel, Release};

use super::capture::EXECUTABLE;
use super::kernels::{self, Indexes};
use super::module_files::{ModuleFiles, Trees, tree};
use super::root::{Dir, Kind, Node};
use crate::module_file::hashes::{self, HashSearch};

/// The library that makes a tree a release.
const LIBRARY: &str = "libonload.so";
/// Where distributions keep 64-bit libraries: the Fedora family, then Debian's by architecture.
const LIBRARY_DIRECTORIES: [&str; 3] =
    ["usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
const LAUNCHER: &str = "usr/bin/onload";
const PROFILES: &str = "usr/libexec/onload/profiles";
/// More than a profile may have (core says so), so that it is refused for its length.
const PROFILE_BYTES: usize = 65 * 1024;
/// All of a release, which stay in memory: the shipped ones have some ten kilobytes.
const ALL_PROFILES_BYTES: usize = 1 << 20;
const READABLE_BY_ALL: u32 = 0o004;
/// The path `onload` has built in first (reference/onload-modules.md section 9).
const SERVERS: [&str; 2] = ["sbin/onload_cp_server", "usr/sbin/onload_cp_server"];
/// Many times the size of the library; a file above it is none.
const LIBRARY_BYTES: usize = 256 << 20;

/// What files said when they were last read, so that an idle look reads none.
#[derive(Debug, Default)]
pub(super) struct OnDisk {
    libraries: Libraries,
    profiles: Profiles,
    modules: ModuleFiles,
    indexes: Indexes,
}

/// The hashes of libraries read before.
#[derive(Debug, Default)]
struct Libraries(RefCell<BTreeMap<String, (Node, BTreeSet<InterfaceHash>)>>);

/// Profiles read before, by path.
#[derive(Debug, Default)]
struct Profiles(RefCell<BTreeMap<String, Profile>>);

/// What a file said when it was as it was.
type Profile = (Node, Reading<String>);

type Releases = BTreeMap<ReleaseName, Release>;
type Kernels = BTreeMap<KernelRelease, Kernel>;

/// Every release of which there are user libraries or modules, and every kernel. `state` is the
/// state directory below the root; `live`: whether that is the running machine's.
pub(super) fn read(
    root: &Dir,
    state: &str,
    known: &OnDisk,
    live: bool,
) -> (Reading<Releases>, Reading<Kernels>) {
    let imported = imported(root, &format!("{}/releases", state.trim_end_matches('/')), known);
    let depends = imported.known().into_iter().flat_map(BTreeMap::values);
    let depends = depends.flat_map(|release| kernels::dependencies(&release.modules)).collect();
    let own = kernels::read(root, depends, &known.modules, &known.indexes);
    known.modules.forget_others();
    let releases = imported.map(|mut releases| {
        let host = release(root, "/", known);
        // What was recorded never changes, and has no times of its own.
        let host = if live { stamped(host, root) } else { host };
        let host = with_modules(host, own.host);
        let in_tree = Release { root: "/".to_owned(), ..Release::default() };
        for (name, release) in [(HOST, host), (IN_TREE, with_modules(in_tree, own.in_tree))] {
            if let Ok(name) = name.parse()
                && is_there(&release)
            {
                releases.insert(name, release);
            }
        }
        releases
    });
    (releases, own.kernels)
}

fn imported(root: &Dir, directory: &str, known: &OnDisk) -> Reading<Releases> {
    let entries = match root.list(directory) {
        Reading::Known(entries) => entries,
        Reading::Absent => return Reading::Known(BTreeMap::new()),
        Reading::Unreadable(why) => return Reading::Unreadable(format!("{directory}: {why}")),
    };
    let directories = entries.iter().filter(|(_, kind)| **kind == Kind::Directory);
    let releases = directories.filter(|(name, _)| ![HOST, IN_TREE].contains(&name.as_str()));
    let releases = releases.filter_map(|(name, _)| {
        let place = format!("{directory}/{name}");
        let trees = tree(root, &format!("{place}/lib/modules"), &known.modules);
        let release = with_modules(release(root, &place, known), trees);
        Some((name.parse().ok()?, release)).filter(|(_, release)| is_there(release))
    });
    Reading::Known(releases.collect())
}

/// What a release has for containers.
pub(super) fn userland_of(root: &Dir, state: &str, name: &ReleaseName) -> Release {
    let known = OnDisk::default();
    if onload_core::release::is_imported(name) {
        let place = format!("{}/releases/{name}", state.trim_end_matches('/'));
        release(root, &place, &known)
    } else {
        stamped(release(root, "/", &known), root)
    }
}

/// With a mark of the state that the files of a release are in which packages replace in place: a
/// checksum of size and time of each.
fn stamped(release: Release, root: &Dir) -> Release {
    let directory = format!("{}{}", release.root, release.library_directory);
    let libraries = release.libraries.iter().map(|name| format!("{directory}/{name}"));
    let nodes = libraries.chain([LAUNCHER.to_owned()]).map(|path| (root.node(&path), path));
    let mut sum = flate2::Crc::new();
    for (node, path) in nodes {
        let state = node.known().map(|node| (node.size, node.modified));
        sum.update(format!("{path} {state:?}\n").as_bytes());
    }
    let stamp = (!release.libraries.is_empty()).then(|| format!("{:08x}", sum.sum()));
    Release { stamp, ..release }
}

fn with_modules(release: Release, trees: Trees) -> Release {
    Release { modules: trees.modules, damaged: trees.damaged, ..release }
}

/// Whether there is anything of it: the programs alone are none.
fn is_there(release: &Release) -> bool {
    let modules = match &release.modules {
        Reading::Known(modules) => !modules.is_empty(),
        Reading::Absent => false,
        Reading::Unreadable(_) => !release.libraries.is_empty(),
    };
    !release.library_directory.is_empty() || modules || !release.damaged.is_empty()
}

/// What lies at `place` beside modules.
fn release(root: &Dir, place: &str, known: &OnDisk) -> Release {
    let at = |path: &str| format!("{}/{path}", place.trim_end_matches('/'));
    let library = LIBRARY_DIRECTORIES.into_iter().find_map(|directory| {
        let interfaces = interfaces(root, &at(&format!("{directory}/{LIBRARY}")), &known.libraries);
        (!interfaces.is_absent()).then_some((directory, interfaces))
    });
    let names = |directory: &str, wanted: fn(&str) -> bool| {
        root.names(&at(directory), wanted).into_known().unwrap_or_default()
    };
    let file =
        |path: &str| root.node(&at(path)).into_known().filter(|node| node.kind == Kind::File);
    let (library_directory, interfaces) = library.unwrap_or(("", Reading::Absent));
    let is_profile = |name: &str| name.ends_with(SUFFIX) || name.ends_with(FRAGMENT_SUFFIX);
    let mut room = ALL_PROFILES_BYTES;
    let profile_files: BTreeMap<_, _> = names(PROFILES, is_profile)
        .into_iter()
        .map(|name| {
            let text = known.profiles.read(root, &at(&format!("{PROFILES}/{name}")));
            let text = text.and_then(|text| match room.checked_sub(text.len()) {
                Some(left) => {
                    room = left;
                    Reading::Known(text)
                }
                None => Reading::Unreadable(format!(
                    "the profiles together are larger than {ALL_PROFILES_BYTES} bytes"
                )),
            });
            (name, text)
        })
        .collect();
    Release {
        root: place.to_owned(),
        library_directory: library_directory.to_owned(),
        libraries: if library_directory.is_empty() {
            BTreeSet::new()
        } else {
            names(library_directory, is_library)
        },
        launcher: file(LAUNCHER).is_some(),
        profiles: profile_files
            .keys()
            .filter_map(|name| name.strip_suffix(SUFFIX).map(str::to_owned))
            .collect(),
        profile_files: Arc::new(profile_files),
        interfaces,
        server: SERVERS
            .into_iter()
            .find(|path| file(path).is_some_and(|node| node.mode & EXECUTABLE != 0))
            .map(str::to_owned),
        ..Release::default()
    }
}

impl Profiles {
    /// What one says, from the disk only where it has changed.
    fn read(&self, root: &Dir, path: &str) -> Reading<String> {
        let mut known = self.0.borrow_mut();
        root.node(path).and_then(|node| {
            // Every user of the bus is told what it says.
            if node.mode & READABLE_BY_ALL == 0 {
                return Reading::Unreadable("not everybody may read it".to_owned());
            }
            if let Some((then, text)) = known.get(path)
                && *then == node
            {
                root.keep(path, &text.clone().map(String::into_bytes));
                return text.clone();
            }
            let text = root.read(path, PROFILE_BYTES).and_then(|bytes| {
                let text = String::from_utf8(bytes);
                text.map_or_else(
                    |_| Reading::Unreadable("it is not UTF-8".to_owned()),
                    Reading::Known,
                )
            });
            known.insert(path.to_owned(), (node, text.clone()));
            text
        })
    }
}

/// A library of the kubernetes-onload mounts (reference/kubernetes-onload.md section 1.3).
fn is_library(name: &str) -> bool {
    name.starts_with(LIBRARY) || name.starts_with("libonload_ext.so")
}

fn interfaces(root: &Dir, path: &str, libraries: &Libraries) -> Reading<BTreeSet<InterfaceHash>> {
    root.node(path).and_then(|node| {
        let mut known = libraries.0.borrow_mut();
        let hashes = match known.get(path) {
            Some((then, hashes)) if *then == node => hashes.clone(),
            Some(_) | None => {
                let hashes = match search(root, path) {
                    Reading::Known(hashes) => hashes,
                    Reading::Absent => return Reading::Absent,
                    Reading::Unreadable(why) => {
                        root.keep(path, &Reading::Unreadable(why.clone()));
                        return Reading::Unreadable(why);
                    }
                };
                known.insert(path.to_owned(), (node, hashes.clone()));
                hashes
            }
        };
        root.keep(path, &Reading::Known(hashes::stand_in(&hashes)));
        Reading::Known(hashes)
    })
}

fn search(root: &Dir, path: &str) -> Reading<BTreeSet<InterfaceHash>> {
    let (mut search, mut empty) = (HashSearch::default(), true);
    let read = root.read_by(path, LIBRARY_BYTES, |piece| {
        empty = false;
        search.push(piece);
    });
    read.and_then(|()| {
        if empty {
            // As a package leaves it that is being installed, or a full disk.
            return Reading::Unreadable("the file is empty".to_owned());
        }
        Reading::Known(search.found())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::root::tests::{before, root_with};
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_host_and_imported_releases_are_told_apart() {
        let library = format!("\0{HASH}\0");
        let (_place, root) = root_with(&[
            ("usr/lib64/libonload.so", &library),
            ("usr/lib64/libonload_ext.so.2", ""),
            ("usr/lib64/libc.so.6", ""),
            ("usr/bin/onload", "#!/bin/sh\n"),
            ("usr/libexec/onload/profiles/latency.opf", "onload_set EF_POLL_USEC 1\n"),
            ("usr/libexec/onload/profiles/throughput.opf-fragment", ""),
            ("var/lib/onloadd/releases/9.2.1/usr/lib/x86_64-linux-gnu/libonload.so", "\0"),
            ("var/lib/onloadd/releases/host/usr/lib64/libonload.so", ""),
            ("var/lib/onloadd/releases/.partial/usr/lib64/libonload.so", ""),
            ("var/lib/onloadd/releases/half/usr/bin/onload", ""),
            ("var/lib/onloadd/releases/notes.txt", ""),
        ]);
        let releases =
            read(&root, "/var/lib/onloadd", &OnDisk::default(), false).0.into_known().unwrap();
        let names: Vec<_> = releases.keys().map(ReleaseName::as_str).collect();
        assert_eq!(names, ["9.2.1", "host"]);
        let host = &releases[&"host".parse().unwrap()];
        assert_eq!(host.root, "/");
        assert_eq!(host.library_directory, "usr/lib64");
        assert_eq!(host.libraries.len(), 2);
        assert!(host.launcher);
        assert_eq!(host.profiles, BTreeSet::from(["latency".to_owned()]));
        let texts: Vec<_> = host.profile_files.iter().collect();
        let text = |text: &str| Reading::Known(text.to_owned());
        let expected = [
            (&"latency.opf".to_owned(), &text("onload_set EF_POLL_USEC 1\n")),
            (&"throughput.opf-fragment".to_owned(), &text("")),
        ];
        assert_eq!(texts, expected);
        assert_eq!(host.interfaces.known().unwrap().len(), 1);
        let imported = &releases[&"9.2.1".parse().unwrap()];
        assert_eq!(imported.root, "/var/lib/onloadd/releases/9.2.1");
        assert_eq!(imported.interfaces, Reading::Known(BTreeSet::new()));
    }

    #[test]
    fn profiles_that_are_not_for_everybody_or_too_much_are_not_told() {
        let directory = "usr/libexec/onload/profiles";
        let large = "#".repeat(60 * 1024);
        let files: Vec<_> = (10..30).map(|n| format!("{directory}/{n}.opf")).collect();
        let mut files: Vec<_> = files.iter().map(|path| (path.as_str(), large.as_str())).collect();
        let closed = format!("{directory}/00.opf");
        files.push((&closed, "onload_set EF_SECRET 1\n"));
        files.push(("usr/lib64/libonload.so", "\0"));
        let (place, root) = root_with(&files);
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(place.path().join(&closed), mode).unwrap();
        let (releases, _) = read(&root, "/var/lib/onloadd", &OnDisk::default(), false);
        let releases = releases.into_known().unwrap();
        let host = &releases[&"host".parse().unwrap()];
        let told: usize =
            host.profile_files.values().filter_map(Reading::known).map(String::len).sum();
        assert!(told > 0 && told <= ALL_PROFILES_BYTES, "{told}");
        let Reading::Unreadable(why) = &host.profile_files["00.opf"] else { panic!("told") };
        assert_eq!(why, "not everybody may read it");
        assert!(host.profile_files["29.opf"].is_unreadable());
    }

    #[test]
    fn a_library_is_read_again_only_when_it_changed() {
        let path = "usr/lib64/libonload.so";
        let (place, root) = root_with(&[(path, &format!("\0{HASH}\0"))]);
        let libraries = Libraries::default();
        let hashes = || interfaces(&root, path, &libraries).into_known().unwrap().len();
        assert_eq!(hashes(), 1);
        // The first opening of a look is the stat; a second would be the reading.
        before(&root, path, 2, || panic!("read though nothing changed"));
        assert_eq!(hashes(), 1);
        before(&root, path, usize::MAX, || {});
        fs::write(place.path().join(path), "\0").unwrap();
        assert_eq!(hashes(), 0);
        let gone = place.path().join(path);
        fs::write(&gone, "").unwrap();
        assert!(interfaces(&root, path, &libraries).is_unreadable(), "half-installed");
        fs::write(&gone, "\0\0").unwrap();
        before(&root, path, 2, move || fs::remove_file(gone).unwrap());
        assert!(interfaces(&root, path, &libraries).is_absent(), "gone between stat and read");
    }
}
