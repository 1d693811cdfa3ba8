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

/// Every file that counts, by path, with what is between `[Match]` and the name.
pub(super) fn read(root: &Dir) -> Reading<BTreeMap<String, LinkFile>> {
    let mut by_name: BTreeMap<String, (String, LinkFile)> = BTreeMap::new();
    for directory in DIRECTORIES {
        let names = match root.list(directory) {
            Reading::Known(entries) => entries,
            Reading::Absent => continue,
            Reading::Unreadable(why) => return Reading::Unreadable(format!("{directory}: {why}")),
        };
        for name in names.into_keys().filter(|name| name.ends_with(".link")) {
            if by_name.contains_key(&name) {
                continue;
            }
            let path = format!("{directory}/{name}");
            let file = match file(root, &path) {
                Reading::Known(file) => file,
                Reading::Absent => continue,
                Reading::Unreadable(why) => return Reading::Unreadable(format!("/{path}: {why}")),
            };
            by_name.insert(name, (format!("/{path}"), file));
        }
    }
    Reading::Known(by_name.into_values().filter(|(_, file)| file.name.is_some()).collect())
}

/// Interfaces that udev is done with: it notes each as `n` and its index.
pub(super) fn done(root: &Dir) -> Reading<BTreeSet<u32>> {
    let index = |name: &str| name.strip_prefix('n').and_then(|index| index.parse().ok());
    let names = root.names("run/udev/data", |name| index(name).is_some());
    names.map(|names| names.iter().filter_map(|name| index(name)).collect())
}

fn file(root: &Dir, path: &str) -> Reading<LinkFile> {
    if root.link(path).known().is_some_and(|target| target == NOTHING) {
        return Reading::Known(LinkFile::default());
    }
    root.read(path, FILE_BYTES).and_then(attribute::text).map(|text| parse(&text))
}

fn parse(text: &str) -> LinkFile {
    let mut file = LinkFile::default();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !is_comment(line)) {
            let (key, value) = (key.trim_end(), value.trim_start().to_owned());
            match section {
                // Of a list written in several lines each counts.
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
    file
}

fn is_comment(line: &str) -> bool {
    line.starts_with(['#', ';'])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::root::tests::root_with;
    use super::*;

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
        assert_eq!(shown, [("/etc/systemd/network/10-a.link", Some("mine"))]);
        assert_eq!(read(&root_with(&[]).1), Reading::Known(BTreeMap::new()));
        let both = parse("[Link]\nNamePolicy=keep slot\nName=a\n[Match]\nNamePolicy=x\n");
        assert_eq!(both.name_policy.as_deref(), Some("keep slot"));
        assert_eq!(parse("[Link]\nNamePolicy=\n").name_policy, None);
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
