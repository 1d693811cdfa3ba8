//! Encrypted volumes that are open, from device-mapper's attributes, and what `/etc/crypttab` and the
//! kernel's command line ask of the TPM for them. Their headers lie on block devices, which the
//! daemon's unit may not open.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::reading::Reading;
use onload_core::secure_boot::sealed::volume::{Unlocking, Volume, between, opened};

use super::attribute;
use super::root::Dir;

const BLOCK: &str = "sys/block";
const CRYPTTAB: &str = "etc/crypttab";
const COMMAND_LINE: &str = "proc/cmdline";
/// A line for each volume.
const CRYPTTAB_BYTES: usize = 256 << 10;
/// Encryption over integrity, each of them in parts while it is made anew: nothing has more layers.
const LAYERS: u8 = 4;

/// Every open LUKS volume, by its name.
pub(super) fn read(root: &Dir) -> Reading<BTreeMap<String, Volume>> {
    let names = match root.list(BLOCK) {
        Reading::Known(entries) => entries.into_keys().filter(|name| is_mapped(name)),
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) => return Reading::Unreadable(format!("/{BLOCK}: {why}")),
    };
    let mut volumes = BTreeMap::new();
    for device in names {
        match volume(root, &device) {
            Reading::Known((name, volume)) => {
                volumes.insert(name, volume);
            }
            Reading::Absent => {}
            Reading::Unreadable(why) => return Reading::Unreadable(format!("{device}: {why}")),
        }
    }
    if volumes.is_empty() {
        return Reading::Known(volumes);
    }
    unlocking(root).map(|unlocking| {
        for (name, volume) in &mut volumes {
            volume.asked = unlocking.of(name, &volume.uuid);
        }
        volumes
    })
}

/// The volume that a device of device-mapper is; absent for anything else that it makes.
fn volume(root: &Dir, device: &str) -> Reading<(String, Volume)> {
    let attribute = |name: &str| root.line(&format!("{BLOCK}/{device}/dm/{name}"));
    let opened = attribute("uuid").and_then(|uuid| opened(&uuid).into());
    opened.and_then(|(luks, uuid)| {
        attribute("name").and_then(|name| {
            let mut devices = BTreeSet::new();
            below(root, device, LAYERS, &mut devices).map(|()| {
                let volume = Volume { luks, uuid, devices, asked: None };
                (name, volume)
            })
        })
    })
}

/// Adds the devices that a mapped one lies on, through the layers that belong to it.
fn below(root: &Dir, device: &str, layers: u8, found: &mut BTreeSet<String>) -> Reading<()> {
    let Some(left) = layers.checked_sub(1) else {
        return Reading::Unreadable(format!("there are more than {LAYERS} layers below it"));
    };
    root.names(&format!("{BLOCK}/{device}/slaves"), |_| true).and_then(|slaves| {
        for slave in slaves {
            let uuid = if is_mapped(&slave) {
                root.line(&format!("{BLOCK}/{slave}/dm/uuid"))
            } else {
                Reading::Absent
            };
            match uuid {
                Reading::Known(uuid) if between(&uuid) => match below(root, &slave, left, found) {
                    Reading::Known(()) => {}
                    gap => return gap,
                },
                Reading::Known(_) | Reading::Absent => {
                    // The kernel cannot have a slash in a name of sysfs.
                    found.insert(format!("/dev/{}", slave.replace('!', "/")));
                }
                Reading::Unreadable(why) => return Reading::Unreadable(format!("{slave}: {why}")),
            }
        }
        Reading::Known(())
    })
}

fn unlocking(root: &Dir) -> Reading<Unlocking> {
    let crypttab = text(CRYPTTAB, root.read(CRYPTTAB, CRYPTTAB_BYTES).and_then(attribute::text));
    let command_line = text(COMMAND_LINE, root.line(COMMAND_LINE));
    crypttab.and_then(|crypttab| {
        command_line.map(|command_line| Unlocking::parse(&crypttab, &command_line))
    })
}

/// A file that is not there says nothing.
fn text(path: &str, read: Reading<String>) -> Reading<String> {
    match read {
        Reading::Known(text) => Reading::Known(text),
        Reading::Absent => Reading::Known(String::new()),
        Reading::Unreadable(why) => Reading::Unreadable(format!("/{path}: {why}")),
    }
}

fn is_mapped(name: &str) -> bool {
    name.starts_with("dm-")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use onload_core::secure_boot::sealed::volume::{Asked, Luks};

    use super::super::root::tests::{before, root_with};
    use super::*;

    const UUID: &str = "0c5bd1d9-6e5a-4a0b-8f3e-2d7a51c0ffee";

    /// A device of device-mapper: its number, UUID, name, and what it lies on.
    fn mapped(number: u8, uuid: &str, name: &str, on: &[&str]) -> Vec<(String, String)> {
        let at = format!("sys/block/dm-{number}");
        let below = on.iter().map(|on| (format!("{at}/slaves/{on}"), String::new()));
        let own = [("uuid", uuid), ("name", name)]
            .map(|(file, text)| (format!("{at}/dm/{file}"), format!("{text}\n")));
        own.into_iter().chain(below).collect()
    }

    fn luks(version: u8, name: &str) -> String {
        format!("CRYPT-LUKS{version}-{}-{name}", UUID.replace('-', ""))
    }

    fn machine(
        mapped: &[Vec<(String, String)>],
        files: &[(&str, &str)],
    ) -> (tempfile::TempDir, Dir) {
        let mapped = mapped.iter().flatten().map(|(path, text)| (path.as_str(), text.as_str()));
        root_with(&mapped.chain(files.iter().copied()).collect::<Vec<_>>())
    }

    fn devices(volume: &Volume) -> Vec<&str> {
        volume.devices.iter().map(String::as_str).collect()
    }

    #[test]
    fn volumes_have_a_device_and_what_is_asked_for_them() {
        let (_place, root) = machine(
            &[
                mapped(0, &luks(2, "data"), "data", &["sda3"]),
                mapped(1, "LVM-abc", "vg-root", &["dm-0"]),
                mapped(2, &luks(1, "old"), "old", &["cciss!c0d0p2"]),
                mapped(3, &luks(2, "lv"), "lv", &["dm-1"]),
                mapped(4, "", "bare", &["sdb"]),
            ],
            &[
                ("sys/block/sda/size", "1\n"),
                ("etc/crypttab", "data /dev/sda3 - tpm2-device=auto,tpm2-pcrs=7+14\nlv x - luks\n"),
                ("proc/cmdline", "quiet luks.options=tpm2-device=auto\n"),
            ],
        );
        let seen = read(&root).into_known().unwrap();
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["data", "lv", "old"]);
        let bound = Some(Asked { pcrs: Some(BTreeSet::from([7, 14])) });
        let data = &seen["data"];
        assert_eq!((data.luks, data.uuid.as_str(), &data.asked), (Luks::Two, UUID, &bound));
        assert_eq!(devices(data), ["/dev/sda3"]);
        assert_eq!((devices(&seen["lv"]), &seen["lv"].asked), (vec!["/dev/dm-1"], &None));
        let old = &seen["old"];
        assert_eq!((old.luks, &old.asked), (Luks::One, &Some(Asked { pcrs: None })));
        assert_eq!(devices(old), ["/dev/cciss/c0d0p2"]);
    }

    #[test]
    fn layers_that_belong_to_a_volume_are_looked_through() {
        let part = |of: &str| format!("CRYPT-SUBDEV-{UUID}-{of}");
        let mut all = vec![
            mapped(0, &luks(2, "data"), "data", &["dm-1", "dm-2"]),
            mapped(1, &part("hot"), "data-hot", &["dm-3"]),
            mapped(2, &part("cold"), "data-cold", &["dm-3"]),
            mapped(3, "INTEGRITY-data_dif", "data_dif", &["nvme0n1p3"]),
        ];
        let seen = read(&machine(&all, &[]).1).into_known().unwrap();
        assert_eq!(devices(&seen["data"]), ["/dev/nvme0n1p3"]);
        all[3] = mapped(3, "INTEGRITY-data_dif", "data_dif", &["dm-3"]);
        let Reading::Unreadable(why) = read(&machine(&all, &[]).1) else { panic!("a circle") };
        assert_eq!(why, "dm-0: there are more than 4 layers below it");
    }

    #[test]
    fn nothing_and_not_readable_are_told_apart() {
        assert_eq!(read(&machine(&[], &[]).1), Reading::Absent);
        let none = machine(&[], &[("sys/block/sda/size", "1\n"), ("etc/crypttab", "\0")]);
        assert_eq!(read(&none.1), Reading::Known(BTreeMap::new()), "nobody to be asked for");
        let one = [mapped(0, &luks(2, "data"), "data", &["sda3"])];
        let seen = read(&machine(&one, &[]).1).into_known().unwrap();
        assert_eq!(seen["data"].asked, None);
        let Reading::Unreadable(why) = read(&machine(&one, &[("etc/crypttab", "\0")]).1) else {
            panic!("it is no text")
        };
        assert_eq!(why, "/etc/crypttab: the text holds a NUL byte");
        let (place, root) = machine(&one, &[]);
        fs::write(place.path().join("sys/block/dm-0/dm/uuid"), "CRYPT-").unwrap();
        assert!(read(&root).why_not().unwrap().starts_with("dm-0: "), "half a line");
    }

    #[test]
    fn a_volume_that_is_closed_meanwhile_is_left_out() {
        for file in ["dm/uuid", "dm/name", "slaves"] {
            let (place, root) = machine(&[mapped(0, &luks(2, "data"), "data", &["sda3"])], &[]);
            let gone = place.path().join("sys/block/dm-0");
            let path: &'static str = Box::leak(format!("sys/block/dm-0/{file}").into_boxed_str());
            before(&root, path, 1, move || fs::remove_dir_all(gone).unwrap());
            assert_eq!(read(&root), Reading::Known(BTreeMap::new()), "{file}");
        }
    }
}
