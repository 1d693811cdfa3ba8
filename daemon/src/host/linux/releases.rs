//! User libraries: the host's own and those of imported releases.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use onload_core::names::{InterfaceHash, ReleaseName};
use onload_core::reading::Reading;
use onload_core::release::Release;

use super::root::{Dir, Kind, Node};

/// The library that makes a tree a release.
const LIBRARY: &str = "libonload.so";
/// Where distributions keep 64-bit libraries: the Fedora family, then Debian's by architecture.
const LIBRARY_DIRECTORIES: [&str; 3] =
    ["usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
const LAUNCHER: &str = "usr/bin/onload";
const PROFILES: &str = "usr/libexec/onload/profiles";
const PROFILE_SUFFIX: &str = ".opf";
/// Many times the size of the library; a file above it is none.
const LIBRARY_BYTES: usize = 256 << 20;
const HASH_DIGITS: usize = 32;
/// Releases that are not kept as directories of their own.
const RESERVED: [&str; 2] = ["host", "in-tree"];

/// The hashes of libraries read before, so that an idle look reads none.
#[derive(Debug, Default)]
pub(super) struct Libraries(RefCell<BTreeMap<String, (Node, BTreeSet<InterfaceHash>)>>);

/// Every release whose user libraries are there. `state` is the state directory below the root.
pub(super) fn read(
    root: &Dir,
    state: &str,
    libraries: &Libraries,
) -> Reading<BTreeMap<ReleaseName, Release>> {
    let mut releases = BTreeMap::new();
    let mut add = |name: &str, place: &str| {
        if let (Ok(name), Some(release)) = (name.parse(), release(root, place, libraries)) {
            releases.insert(name, release);
        }
    };
    add("host", "/");
    let imported = format!("{}/releases", state.trim_end_matches('/'));
    match root.list(&imported) {
        Reading::Known(entries) => {
            let directories = entries.iter().filter(|(_, kind)| **kind == Kind::Directory);
            for (name, _) in directories.filter(|(name, _)| !RESERVED.contains(&name.as_str())) {
                add(name, &format!("{imported}/{name}"));
            }
        }
        Reading::Absent => {}
        Reading::Unreadable(why) => return Reading::Unreadable(format!("{imported}: {why}")),
    }
    Reading::Known(releases)
}

/// The release whose tree begins at `place`; none where there is no library.
fn release(root: &Dir, place: &str, libraries: &Libraries) -> Option<Release> {
    let at = |path: &str| format!("{}/{path}", place.trim_end_matches('/'));
    let (directory, interfaces) = LIBRARY_DIRECTORIES.into_iter().find_map(|directory| {
        let interfaces = interfaces(root, &at(&format!("{directory}/{LIBRARY}")), libraries);
        (!interfaces.is_absent()).then_some((directory, interfaces))
    })?;
    let names = |directory: &str, wanted: fn(&str) -> bool| {
        root.names(&at(directory), wanted).into_known().unwrap_or_default()
    };
    Some(Release {
        root: place.to_owned(),
        library_directory: directory.to_owned(),
        libraries: names(directory, is_library),
        launcher: root.node(&at(LAUNCHER)).known().is_some_and(|node| node.kind == Kind::File),
        profiles: names(PROFILES, |name| name.ends_with(PROFILE_SUFFIX))
            .iter()
            .filter_map(|name| name.strip_suffix(PROFILE_SUFFIX).map(str::to_owned))
            .collect(),
        interfaces,
        ..Release::default()
    })
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
        root.keep(path, &Reading::Known(in_place_of_library(&hashes)));
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
        Reading::Known(search.found)
    })
}

/// What a recording keeps of a library: the strings that were looked for, findable as before.
fn in_place_of_library(hashes: &BTreeSet<InterfaceHash>) -> Vec<u8> {
    let mut bytes = vec![0];
    for hash in hashes {
        bytes.extend_from_slice(hash.as_str().as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Finds strings of exactly 32 hexadecimal digits, with a NUL before and after, in bytes that come
/// in pieces.
#[derive(Debug)]
struct HashSearch {
    /// The digits since the last NUL.
    digits: String,
    /// Whether anything else stood since the last NUL.
    spoilt: bool,
    found: BTreeSet<InterfaceHash>,
}

impl Default for HashSearch {
    fn default() -> Self {
        // The first byte of the file has no NUL before it.
        Self { digits: String::new(), spoilt: true, found: BTreeSet::new() }
    }
}

impl HashSearch {
    fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            if *byte == 0 {
                if !self.spoilt
                    && let Ok(hash) = self.digits.parse()
                {
                    self.found.insert(hash);
                }
                self.digits.clear();
                self.spoilt = false;
            } else if self.spoilt {
            } else if byte.is_ascii_hexdigit() && self.digits.len() < HASH_DIGITS {
                self.digits.push(char::from(*byte));
            } else {
                self.spoilt = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::root::tests::{before, root_with};
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef";

    fn found(bytes: &[u8], piece: usize) -> usize {
        let mut search = HashSearch::default();
        bytes.chunks(piece).for_each(|piece| search.push(piece));
        search.found.len()
    }

    #[test]
    fn only_whole_strings_of_32_digits_are_hashes() {
        let with = |before: &str, after: &str| format!("x\0{before}{HASH}{after}\0y").into_bytes();
        for piece in [1, 2, 7, 4096] {
            assert_eq!(found(&with("", ""), piece), 1);
            assert_eq!(found(&with("\0\0", "\0f00d\0"), piece), 1);
            for (before, after) in [("0", ""), ("", "0"), ("z", ""), ("", " "), (HASH, "")] {
                assert_eq!(found(&with(before, after), piece), 0, "{before}|{after}");
            }
        }
        assert_eq!(found(HASH.as_bytes(), 4096), 0, "no NUL around it");
        assert_eq!(found(format!("{HASH}\0").as_bytes(), 4096), 0, "no NUL before it");
        assert_eq!(found(&vec![b'a'; 1 << 20], 4096), 0);
        let kept = in_place_of_library(&BTreeSet::from([HASH.parse().unwrap()]));
        assert_eq!(found(&kept, 4096), 1, "a recording is found again");
    }

    #[test]
    fn the_host_and_imported_releases_are_told_apart() {
        let library = format!("\0{HASH}\0");
        let (_place, root) = root_with(&[
            ("usr/lib64/libonload.so", &library),
            ("usr/lib64/libonload_ext.so.2", ""),
            ("usr/lib64/libc.so.6", ""),
            ("usr/bin/onload", "#!/bin/sh\n"),
            ("usr/libexec/onload/profiles/latency.opf", ""),
            ("usr/libexec/onload/profiles/throughput.opf-fragment", ""),
            ("var/lib/onloadd/releases/9.2.1/usr/lib/x86_64-linux-gnu/libonload.so", "\0"),
            ("var/lib/onloadd/releases/host/usr/lib64/libonload.so", ""),
            ("var/lib/onloadd/releases/.partial/usr/lib64/libonload.so", ""),
            ("var/lib/onloadd/releases/half/usr/bin/onload", ""),
            ("var/lib/onloadd/releases/notes.txt", ""),
        ]);
        let releases = read(&root, "/var/lib/onloadd", &Libraries::default()).into_known().unwrap();
        let names: Vec<_> = releases.keys().map(ReleaseName::as_str).collect();
        assert_eq!(names, ["9.2.1", "host"]);
        let host = &releases[&"host".parse().unwrap()];
        assert_eq!(host.root, "/");
        assert_eq!(host.library_directory, "usr/lib64");
        assert_eq!(host.libraries.len(), 2);
        assert!(host.launcher);
        assert_eq!(host.profiles, BTreeSet::from(["latency".to_owned()]));
        assert_eq!(host.interfaces.known().unwrap().len(), 1);
        let imported = &releases[&"9.2.1".parse().unwrap()];
        assert_eq!(imported.root, "/var/lib/onloadd/releases/9.2.1");
        assert_eq!(imported.interfaces, Reading::Known(BTreeSet::new()));
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
