//! What may give an interface another name: systemd's `.link` files, and udev that has not come to it.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::af_xdp::LinkFile;
use onload_core::reading::Reading;

use super::attribute;
use super::root::Dir;

/// Of two files of one name the one in the first directory counts.
const DIRECTORIES: [&str; 4] = [
    "etc/systemd/network",
    "run/systemd/network",
    "usr/local/lib/systemd/network",
    "usr/lib/systemd/network",
];
/// A file has a dozen lines.
const FILE_BYTES: usize = 64 << 10;
/// What a link leads to that takes a file away.
const NOTHING: &str = "/dev/null";

/// Matches every interface that no other matches, and names by policy: nothing to tell, on each node.
const DEFAULT: &str = "99-default.link";

/// Every file that counts, by path, with what is between `[Match]` and the name. One without a name is
/// among them: it takes what it matches from those behind it.
pub(super) fn read(root: &Dir) -> Reading<BTreeMap<String, LinkFile>> {
    let mut paths: BTreeMap<String, String> = BTreeMap::new();
    // Files of `NAME.link.d` are read after `NAME.link`, by their own names.
    let mut added: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for directory in DIRECTORIES {
        let names = match root.list(directory) {
            Reading::Known(entries) => entries,
            Reading::Absent => continue,
            Reading::Unreadable(why) => return Reading::Unreadable(format!("{directory}: {why}")),
        };
        for name in names.into_keys() {
            let path = format!("{directory}/{name}");
            if name.ends_with(".link") {
                paths.entry(name).or_insert(path);
            } else if let Some(name) = name.strip_suffix(".d").filter(|of| of.ends_with(".link")) {
                let parts = match root.list(&path) {
                    Reading::Known(entries) => entries,
                    Reading::Absent => continue,
                    Reading::Unreadable(why) => {
                        return Reading::Unreadable(format!("/{path}: {why}"));
                    }
                };
                let added = added.entry(name.to_owned()).or_default();
                for part in parts.into_keys().filter(|part| part.ends_with(".conf")) {
                    let path = format!("{path}/{part}");
                    added.entry(part).or_insert(path);
                }
            }
        }
    }
    let mut files = BTreeMap::new();
    for (name, path) in paths {
        let added = added.get(&name).into_iter().flat_map(BTreeMap::values);
        match file(root, &path, added) {
            Reading::Known(file) if file.name.is_none() && name == DEFAULT => {}
            Reading::Known(file) => {
                files.insert(format!("/{path}"), file);
            }
            Reading::Absent => {}
            Reading::Unreadable(why) => return Reading::Unreadable(why),
        }
    }
    Reading::Known(files)
}

/// Interfaces that udev is done with: it notes each as `n` and its index.
pub(super) fn done(root: &Dir) -> Reading<BTreeSet<u32>> {
    let index = |name: &str| name.strip_prefix('n').and_then(|index| index.parse().ok());
    let names = root.names("run/udev/data", |name| index(name).is_some());
    names.map(|names| names.iter().filter_map(|name| index(name)).collect())
}

/// One file with what is added to it. One that was taken away stays so.
fn file<'p>(root: &Dir, path: &str, added: impl Iterator<Item = &'p String>) -> Reading<LinkFile> {
    let mut file = LinkFile::default();
    let unreadable = |path: &str, why| Reading::Unreadable(format!("/{path}: {why}"));
    match text(root, path) {
        Reading::Known(text) if text.is_empty() => return Reading::Known(file),
        Reading::Known(text) => add(&mut file, &text),
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) => return unreadable(path, why),
    }
    for path in added {
        match text(root, path) {
            Reading::Known(text) => add(&mut file, &text),
            Reading::Absent => {}
            Reading::Unreadable(why) => return unreadable(path, why),
        }
    }
    Reading::Known(file)
}

fn text(root: &Dir, path: &str) -> Reading<String> {
    if root.link(path).known().is_some_and(|target| target == NOTHING) {
        return Reading::Known(String::new());
    }
    root.read(path, FILE_BYTES).and_then(attribute::text)
}

fn add(file: &mut LinkFile, text: &str) {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !is_comment(line)) {
            let (key, value) = (key.trim_end(), value.trim_start().to_owned());
            match section {
                // Of a list written in several lines each counts, from the last empty one on.
                "Match" if value.is_empty() => drop(file.matches.remove(key)),
                "Match" => {
                    let all = file.matches.entry(key.to_owned()).or_default();
                    *all = format!("{all} {value}").trim_start().to_owned();
                }
                "Link" if key == "Name" => file.name = Some(value).filter(|name| !name.is_empty()),
                "Link" if key == "NamePolicy" => {
                    file.name_policy = Some(value).filter(|policy| !policy.is_empty());
                }
                _ => {}
            }
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.starts_with(['#', ';'])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::root::tests::root_with;
    use super::*;

    fn parse(text: &str) -> LinkFile {
        let mut file = LinkFile::default();
        add(&mut file, text);
        file
    }

    #[test]
    fn the_first_directory_counts_and_a_link_to_nothing_takes_a_file_away() {
        let named = |name: &str| format!("[Match]\nDriver=virtio_net\n\n[Link]\nName={name}\n");
        let (place, root) = root_with(&[
            ("etc/systemd/network/10-a.link", &named("mine")),
            ("usr/lib/systemd/network/10-a.link", &named("theirs")),
            ("usr/lib/systemd/network/20-b.link", &named("gone")),
            ("usr/lib/systemd/network/99-default.link", "[Link]\nNamePolicy=keep kernel\n"),
            ("usr/lib/systemd/network/10-a.network", &named("other")),
        ]);
        symlink("/dev/null", place.path().join("etc/systemd/network/20-b.link")).unwrap();
        let seen = read(&root).into_known().unwrap();
        let shown: Vec<_> =
            seen.iter().map(|(path, file)| (path.as_str(), file.name.as_deref())).collect();
        let gone = ("/etc/systemd/network/20-b.link", None);
        assert_eq!(shown, [("/etc/systemd/network/10-a.link", Some("mine")), gone]);
        assert!(seen[gone.0].matches.is_empty(), "it matches nothing");
        assert_eq!(read(&root_with(&[]).1), Reading::Known(BTreeMap::new()));
        let both = parse("[Link]\nNamePolicy=keep slot\nName=a\n[Match]\nNamePolicy=x\n");
        assert_eq!(both.name_policy.as_deref(), Some("keep slot"));
        assert_eq!(parse("[Link]\nNamePolicy=\n").name_policy, None);
    }

    #[test]
    fn what_has_no_name_is_kept_for_what_it_matches_and_a_file_may_have_parts() {
        let (place, root) = root_with(&[
            ("etc/systemd/network/10-wol.link", "[Match]\nDriver=sfc\n[Link]\nWakeOnLan=off\n"),
            ("etc/systemd/network/99-default.link.d/b.conf", "[Link]\nName=all0\n"),
            ("usr/lib/systemd/network/99-default.link", "[Match]\nOriginalName=*\n"),
            ("usr/lib/systemd/network/20-a.link", "[Match]\nDriver=igb\n[Link]\nName=a0\n"),
            ("usr/lib/systemd/network/20-a.link.d/1.conf", "[Match]\nDriver=\n[Link]\nName=a1\n"),
            ("usr/lib/systemd/network/20-a.link.d/2.conf", "Name=no\n[Match]\nDriver=sfc\n"),
            ("usr/lib/systemd/network/20-a.link.d/3.conf", "[Link]\nName=no\n"),
            ("run/systemd/network/20-a.link.d/3.conf", "[Link]\nNamePolicy=keep\n"),
            ("run/systemd/network/20-a.link.d/4.txt", "[Link]\nName=no\n"),
            ("run/systemd/network/30-none.link.d/1.conf", "[Link]\nName=no\n"),
            ("run/systemd/network/40-gone.link.d/1.conf", "[Match]\nDriver=sfc\n"),
        ]);
        symlink("/dev/null", place.path().join("run/systemd/network/40-gone.link")).unwrap();
        let seen = read(&root).into_known().unwrap();
        let shown: Vec<_> = seen
            .iter()
            .map(|(path, file)| {
                let name = path.rsplit('/').next().unwrap();
                (name, file.matches.get("Driver").map(String::as_str), file.name.as_deref())
            })
            .collect();
        let expected = [
            ("10-wol.link", Some("sfc"), None),
            ("40-gone.link", None, None),
            ("20-a.link", Some("sfc"), Some("a1")),
            ("99-default.link", None, Some("all0")),
        ];
        assert_eq!(shown, expected);
        let parts = &seen["/usr/lib/systemd/network/20-a.link"];
        assert_eq!(parts.name_policy.as_deref(), Some("keep"));
    }

    #[test]
    fn udev_notes_the_interfaces_it_is_done_with() {
        let (_place, root) =
            root_with(&[("run/udev/data/n2", ""), ("run/udev/data/+pci:0000:00:05.0", "")]);
        assert_eq!(done(&root), Reading::Known(BTreeSet::from([2])));
        assert_eq!(done(&root_with(&[]).1), Reading::Absent);
    }

    #[test]
    fn sections_comments_and_lists_are_read_as_systemd_does() {
        let file = parse(
            "# Name=no\n[Match]\nDriver = a\nDriver=b\n;x=y\nName=no\n[Link]\nMTUBytes=9000\nName=lan0\n",
        );
        assert_eq!(file.matches["Driver"], "a b");
        assert_eq!((file.matches.len(), file.name.as_deref()), (2, Some("lan0")));
        assert_eq!(parse("[Link]\nName=x\nName=\n").name, None);
    }
}
