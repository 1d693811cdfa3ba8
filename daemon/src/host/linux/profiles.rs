//! Connection profiles of NetworkManager: its keyfiles, and the `ifcfg` files that RHEL 9 still
//! reads. They are for root alone, and hold passwords: only lines that matter leave this file.

use std::collections::BTreeMap;

use onload_core::af_xdp::{self, Profile};
use onload_core::reading::Reading;

use super::attribute;
use super::root::Dir;

/// Where profiles lie, and how their names begin and end. A profile is told from another by what is
/// in it, so that each file counts. Below `/etc` one may be called anything.
const PLACES: [(&str, &str, &str); 4] = [
    ("etc/NetworkManager/system-connections", "", ""),
    ("run/NetworkManager/system-connections", "", ".nmconnection"),
    ("usr/lib/NetworkManager/system-connections", "", ".nmconnection"),
    ("etc/sysconfig/network-scripts", "ifcfg-", ""),
];
/// What a package or an editor leaves beside a file, and NetworkManager does not read.
const LEFTOVERS: [&str; 7] = ["~", ".bak", ".orig", ".rej", ".rpmnew", ".rpmorig", ".rpmsave"];
/// A profile has a few dozen lines; one with certificates inside some more.
const FILE_BYTES: usize = 256 << 10;

/// Every profile that may put an interface under another one, or rename it, by path. One that
/// cannot be read may: the whole is unreadable then, and not nothing.
pub(super) fn read(root: &Dir) -> Reading<BTreeMap<String, Profile>> {
    let mut profiles = BTreeMap::new();
    for (directory, begin, end) in PLACES {
        let names = match root.list(directory) {
            Reading::Known(entries) => entries,
            Reading::Absent => continue,
            Reading::Unreadable(why) => return Reading::Unreadable(format!("/{directory}: {why}")),
        };
        let counts = |name: &String| {
            name.starts_with(begin)
                && name.ends_with(end)
                && !name.starts_with('.')
                && !LEFTOVERS.iter().any(|leftover| name.ends_with(leftover))
        };
        for name in names.into_keys().filter(counts) {
            let path = format!("{directory}/{name}");
            let profile = match text(root, &path) {
                Reading::Known(text) if begin.is_empty() => Profile::keyfile(&text),
                Reading::Known(text) => Profile::ifcfg(&text),
                Reading::Absent => continue,
                Reading::Unreadable(why) => return Reading::Unreadable(format!("/{path}: {why}")),
            };
            if profile.matters() {
                profiles.insert(format!("/{path}"), profile);
            }
        }
    }
    Reading::Known(profiles)
}

/// The lines that count. A recording gets no other.
fn text(root: &Dir, path: &str) -> Reading<String> {
    let mut bytes = Vec::new();
    let read = root.read_by(path, FILE_BYTES, |piece| bytes.extend_from_slice(piece));
    let kept = read.and_then(|()| attribute::text(bytes)).map(|text| af_xdp::kept(&text));
    root.keep(path, &kept.as_ref().map(|kept| kept.as_bytes().to_vec()));
    kept
}

#[cfg(test)]
mod tests {
    use super::super::root::tests::root_with;
    use super::*;

    const PORT: &str = "[connection]\nid=p\ntype=ethernet\ncontroller=bond0\nport-type=bond\n\
                        [802-1x]\npassword=secret\n[ethernet]\nmac-address=00:0F:53:00:00:01\n";

    #[test]
    fn every_place_is_read_and_only_what_matters_is_kept() {
        let (_place, root) = root_with(&[
            ("etc/NetworkManager/system-connections/port", PORT),
            ("etc/NetworkManager/system-connections/port~", PORT),
            ("etc/NetworkManager/system-connections/.port.swp", PORT),
            ("run/NetworkManager/system-connections/a.nmconnection", PORT),
            ("run/NetworkManager/system-connections/a.nmmeta", PORT),
            (
                "usr/lib/NetworkManager/system-connections/b.nmconnection",
                "[connection]\ntype=ethernet\n",
            ),
            (
                "etc/sysconfig/network-scripts/ifcfg-ens5",
                "DEVICE=\"lan0\"\nHWADDR=52:54:00:00:00:05\n",
            ),
            ("etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n"),
            ("etc/sysconfig/network-scripts/ifup", "MASTER=x\n"),
        ]);
        let seen = read(&root).into_known().unwrap();
        let paths: Vec<_> = seen.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "/etc/NetworkManager/system-connections/port",
                "/etc/sysconfig/network-scripts/ifcfg-ens5",
                "/run/NetworkManager/system-connections/a.nmconnection",
            ]
        );
        assert_eq!(seen[paths[0]].controller.as_deref(), Some("bond0"));
        assert_eq!(read(&root_with(&[]).1), Reading::Known(BTreeMap::new()));
    }

    #[test]
    fn a_recording_has_no_password_and_reads_back_the_same() {
        let path = "etc/NetworkManager/system-connections/port.nmconnection";
        let (_place, root) = root_with(&[(path, PORT)]);
        let copy = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seen = runtime.block_on(root.record(copy.path(), async { read(&root) })).unwrap();
        let text = std::fs::read_to_string(copy.path().join(path)).unwrap();
        assert!(!text.contains("secret") && !text.contains("802-1x"), "{text}");
        assert_eq!(read(&Dir::root(copy.path(), BTreeMap::new()).unwrap()), seen);
    }

    #[test]
    fn a_profile_that_cannot_be_read_is_not_nothing() {
        let (place, root) = root_with(&[("etc/NetworkManager/system-connections/b", PORT)]);
        std::fs::create_dir(place.path().join("etc/NetworkManager/system-connections/a")).unwrap();
        let Reading::Unreadable(why) = read(&root) else { panic!("a directory among them") };
        assert!(why.starts_with("/etc/NetworkManager/system-connections/a: "), "{why}");
    }
}
