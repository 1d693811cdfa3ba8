//! Encrypted volumes of this machine that the TPM may not unlock any more once a key is enrolled: their
//! headers are read from their devices, which only root may open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use onload_core::reading::Reading;
use onload_core::secure_boot::sealed::header::{self, BINARY_BYTES, Header};
use onload_core::secure_boot::sealed::volume::{Luks, Volume, between, opened};
use onload_core::secure_boot::sealed::{Sealed, Words};
use rustix::fs::OFlags;
use rustix::io::Errno;

const BLOCK: &str = "sys/block";
/// Encryption over integrity, each of them in parts while it is made anew: nothing has more layers.
const LAYERS: u8 = 4;

/// A volume that is open.
#[derive(Debug)]
pub struct Found {
    /// What the kernel says of it.
    pub volume: Volume,
    /// What its header says; why it was not read.
    pub bound: Reading<Bound>,
}

/// How the TPM unlocks a volume.
#[derive(Debug)]
pub struct Bound {
    /// Where its header lies.
    pub device: String,
    /// Each way, under the volume's name.
    pub sealed: Vec<Sealed>,
}

/// Every open LUKS volume below a root, by its name.
///
/// # Errors
/// What device-mapper made cannot be told.
pub fn read(root: &Path) -> io::Result<BTreeMap<String, Found>> {
    let mut volumes = BTreeMap::new();
    for device in names(&root.join(BLOCK))?.into_iter().filter(|name| is_mapped(name)) {
        let attribute = |name: &str| line(&root.join(BLOCK).join(&device).join("dm").join(name));
        let Some((luks, uuid)) = attribute("uuid")?.as_deref().and_then(opened) else { continue };
        // It is closed meanwhile.
        let Some(name) = attribute("name")? else { continue };
        let mut devices = BTreeSet::new();
        below(root, &device, LAYERS, &mut devices)?;
        let volume = Volume { luks, uuid, devices, asked: None };
        let bound = bound(root, &name, &volume);
        volumes.insert(name, Found { volume, bound });
    }
    Ok(volumes)
}

/// What to tell before a key is enrolled, volume by volume; nothing where it makes no difference.
pub fn words(found: &BTreeMap<String, Found>) -> Vec<Words> {
    let mut all = Vec::new();
    for (name, one) in found {
        match &one.bound {
            Reading::Known(bound) => {
                all.extend(bound.sealed.iter().filter_map(|sealed| sealed.words(&bound.device)));
            }
            Reading::Absent => all.push(one.volume.words(name)),
            Reading::Unreadable(why) => {
                let words = one.volume.words(name);
                all.push(Words { what: format!("{} ({why})", words.what), ..words });
            }
        }
    }
    all
}

/// The header of a volume, from the first of its devices that has it.
fn bound(root: &Path, name: &str, volume: &Volume) -> Reading<Bound> {
    match volume.luks {
        Luks::One => {
            return Reading::Unreadable(
                "clevis keeps its part of LUKS 1 headers hidden".to_owned(),
            );
        }
        Luks::Two => {}
    }
    let mut why = "no device is below it".to_owned();
    for device in &volume.devices {
        let header = match header(&root.join(device.trim_start_matches('/'))) {
            Ok(header) => header,
            Err(error) => {
                why = format!("{device}: {error}");
                continue;
            }
        };
        // A header that is kept apart leaves its device to whatever was there before.
        if plain(&header.uuid) != plain(&volume.uuid) {
            why = format!("{device}: the header there is that of another volume");
            continue;
        }
        let named = |one| Sealed { volume: name.to_owned(), ..one };
        let sealed = header.sealed.into_iter().map(named).collect();
        return Reading::Known(Bound { device: device.clone(), sealed });
    }
    Reading::Unreadable(why)
}

fn plain(uuid: &str) -> String {
    uuid.replace('-', "").to_ascii_lowercase()
}

fn header(path: &Path) -> io::Result<Header> {
    let damaged = |damaged| io::Error::new(ErrorKind::InvalidData, damaged);
    // What is no device in the place of one is not waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut device = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    fill(&mut device, &mut bytes, BINARY_BYTES)?;
    let length = header::length(&bytes).map_err(damaged)?;
    fill(&mut device, &mut bytes, length)?;
    header::parse(&bytes).map_err(damaged)
}

/// Reads on until there are so many bytes, or no more.
fn fill(device: &mut File, bytes: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let missing = length.saturating_sub(bytes.len());
    device.take(u64::try_from(missing).unwrap_or(u64::MAX)).read_to_end(bytes).map(drop)
}

/// Adds the devices that a mapped one lies on, through the layers that belong to it.
fn below(root: &Path, device: &str, layers: u8, found: &mut BTreeSet<String>) -> io::Result<()> {
    let left = layers.checked_sub(1).ok_or(Errno::LOOP)?;
    for slave in names(&root.join(BLOCK).join(device).join("slaves"))? {
        let uuid = line(&root.join(BLOCK).join(&slave).join("dm/uuid"))?;
        if uuid.is_some_and(|uuid| between(&uuid)) {
            below(root, &slave, left, found)?;
        } else {
            // The kernel cannot have a slash in a name of sysfs.
            found.insert(format!("/dev/{}", slave.replace('!', "/")));
        }
    }
    Ok(())
}

/// The names in a directory; none where it is not there.
fn names(path: &Path) -> io::Result<BTreeSet<String>> {
    match fs::read_dir(path) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// An attribute; none where it is not there.
fn line(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end_matches('\n').to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_mapped(name: &str) -> bool {
    name.starts_with("dm-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)] // A failed test is what a panic is for.

    use std::path::PathBuf;

    use super::*;

    const SYSTEMD: &[u8] = include_bytes!("../../../../tests/secure-boot/systemd.luks");
    const CLEVIS: &[u8] = include_bytes!("../../../../tests/secure-boot/clevis.luks");
    const SYSTEMD_UUID: &str = "0c5bd1d96e5a4a0b8f3e2d7a51c0ffee";
    const CLEVIS_UUID: &str = "5f0c9d6a1b7e4c299a530e8b4f2a6d17";

    /// A root that goes with the test.
    struct Machine(PathBuf);

    impl Machine {
        fn new(test: &str) -> Self {
            let name = format!("onloadctl-sealed-{test}-{}", std::process::id());
            let place = std::env::temp_dir().join(name);
            fs::remove_dir_all(&place).ok();
            fs::create_dir_all(place.join("dev")).unwrap();
            Self(place)
        }

        fn write(&self, path: &str, content: impl AsRef<[u8]>) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn mapped(&self, number: u8, uuid: &str, name: &str, on: &[&str]) {
            let at = format!("sys/block/dm-{number}");
            self.write(&format!("{at}/dm/uuid"), format!("{uuid}\n"));
            self.write(&format!("{at}/dm/name"), format!("{name}\n"));
            fs::create_dir_all(self.0.join(&at).join("slaves")).unwrap();
            on.iter().for_each(|on| self.write(&format!("{at}/slaves/{on}"), ""));
        }

        fn words(&self) -> Vec<Words> {
            words(&read(&self.0).unwrap())
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn volumes_that_lose_the_tpm_are_named_with_what_binds_them_anew() {
        let machine = Machine::new("named");
        machine.mapped(0, &format!("CRYPT-LUKS2-{SYSTEMD_UUID}-root"), "root", &["dm-1"]);
        machine.mapped(1, "INTEGRITY-root_dif", "root_dif", &["nvme0n1p3"]);
        machine.mapped(2, &format!("CRYPT-LUKS2-{CLEVIS_UUID}-data"), "data", &["dm-3"]);
        machine.mapped(3, "LVM-abc", "vg-data", &["sdb"]);
        // What follows the header is none of our business.
        machine.write("dev/nvme0n1p3", [SYSTEMD, &[0xff; 8192]].concat());
        machine.write("dev/dm-3", CLEVIS);
        let found = read(&machine.0).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["data", "root"]);
        let said: Vec<_> =
            words(&found).into_iter().map(|one| one.what + " | " + &one.fix).collect();
        let [first, share, both, root, signed] = &said[..] else { panic!("{said:#?}") };
        assert!(first.starts_with("volume data is unlocked by the TPM while PCR 7 is"), "{first}");
        assert!(first.ends_with("clevis luks regen -d /dev/dm-3 -s 1"), "{first}");
        assert!(share.contains("by other shares") && share.ends_with(" -s 2"), "{share}");
        assert!(both.contains("while PCR 14 is as it was;") && both.ends_with(" -s 3"), "{both}");
        assert!(
            root.starts_with("volume root is unlocked by the TPM while PCR 7 and 14"),
            "{root}"
        );
        assert!(root.ends_with("--tpm2-pcrs=7+14 /dev/nvme0n1p3"), "{root}");
        assert!(signed.contains("somebody signed the values of PCR 7"), "{signed}");
    }

    #[test]
    fn a_machine_without_encryption_has_nothing_to_lose() {
        let machine = Machine::new("plain");
        assert_eq!(machine.words(), []);
        machine.mapped(0, "LVM-abc", "vg-root", &["sda2"]);
        machine.write("sys/block/sda/size", "1\n");
        assert_eq!(machine.words(), []);
    }

    #[test]
    fn what_cannot_be_read_is_said_with_the_reason() {
        let uuid = format!("CRYPT-LUKS2-{SYSTEMD_UUID}-root");
        let cut = &SYSTEMD[..16_000];
        let cases = [
            ("no device", None, "/dev/sda3: No such file or directory"),
            ("half of it", Some(cut), "/dev/sda3: byte 16000: expected the rest of the header"),
            ("kept apart", Some(&[0; 8192]), "/dev/sda3: byte 0: expected the beginning of a LUKS"),
            ("another's", Some(CLEVIS), "/dev/sda3: the header there is that of another volume"),
        ];
        for (case, content, why) in cases {
            let machine = Machine::new("unread");
            machine.mapped(0, &uuid, "root", &["sda3"]);
            content.into_iter().for_each(|content| machine.write("dev/sda3", content));
            let said = machine.words();
            let [one] = &said[..] else { panic!("{case}: {said:?}") };
            assert!(one.what.starts_with("volume root may be unlocked by the TPM"), "{one:?}");
            assert!(one.what.contains(why), "{case}: {one:?}");
        }
    }

    #[test]
    fn the_first_version_keeps_to_itself_what_unlocks_it() {
        let machine = Machine::new("first");
        machine.mapped(0, &format!("CRYPT-LUKS1-{SYSTEMD_UUID}-old"), "old", &["sda3"]);
        let said = machine.words();
        let [one] = &said[..] else { panic!("{said:?}") };
        assert!(one.what.contains("LUKS 1") && one.fix.contains("clevis luks list -d /dev/sda3"));
    }

    #[test]
    fn layers_that_go_in_a_circle_are_no_volume() {
        let machine = Machine::new("circle");
        machine.mapped(0, &format!("CRYPT-LUKS2-{SYSTEMD_UUID}-root"), "root", &["dm-1"]);
        machine.mapped(1, "INTEGRITY-root_dif", "root_dif", &["dm-1"]);
        assert_eq!(Errno::from_io_error(&read(&machine.0).unwrap_err()), Some(Errno::LOOP));
    }
}
