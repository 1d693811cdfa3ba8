//! Where an initramfs is found, when it is read, and what a recording keeps.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::root::tests::{before, root_with};
use super::*;
use crate::host::Host as _;
use crate::host::linux::tests::as_recorded;
use crate::host::linux::{Linux, Places};
use onload_core::naming::Pin;

const KERNEL: &str = "6.1.0-2";

fn image(version: &str) -> Vec<u8> {
    image_for(version, KERNEL)
}

fn image_for(version: &str, kernel: &str) -> Vec<u8> {
    let file = ModuleFile { version: Some(version.to_owned()), ..ModuleFile::default() };
    let sfc = "sfc".parse().unwrap();
    let pins = [("pci 0000:3b:00.0".parse().unwrap(), pin())].into();
    let directory = format!("usr/lib/modules/{kernel}/extra");
    initramfs::stand_in([(&sfc, &file)], &directory, &pins::texts(&pins))
}

fn pin() -> Pin {
    Pin { name: "ens1f0".parse().unwrap(), altnames: ["ens1f0np0".to_owned()].into() }
}

fn put(place: &Path, path: &str, bytes: &[u8]) {
    let path = place.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn kernels() -> BTreeMap<KernelRelease, Kernel> {
    [(KERNEL.parse().unwrap(), Kernel::default())].into()
}

/// What a look finds.
fn look(files: &InitramfsFiles, root: &Dir) -> Reading<Initramfs> {
    let mut kernels = kernels();
    files.add_to(root, &mut kernels);
    kernels.into_values().next().unwrap().initramfs
}

fn version(seen: Reading<Initramfs>) -> Option<String> {
    seen.into_known()?.modules.into_values().next()?.version
}

#[test]
fn the_first_of_the_usual_places_counts() {
    let (place, root) = root_with(&[("etc/machine-id", "0a1b\n")]);
    let files = InitramfsFiles::new(Pace::AtOnce);
    assert_eq!(look(&files, &root), Reading::Absent);
    for path in [
        "boot/ostree/fedora-1/initramfs-6.1.0-2.img",
        "usr/lib/modules/6.1.0-2/initramfs.img",
        "efi/0a1b/6.1.0-2/initrd",
        "boot/0a1b/6.1.0-2/initrd",
        "boot/initrd-6.1.0-2",
        "boot/initrd.img-6.1.0-2",
        "boot/initramfs-6.1.0-2.img",
    ] {
        put(place.path(), path, &image(path));
        assert_eq!(version(look(&files, &root)).as_deref(), Some(path));
    }
}

#[test]
fn modules_of_other_kernels_and_other_modules_do_not_count() {
    for (path, found) in [
        ("lib/modules/6.1.0-2/extra/sfc.ko.zst", true),
        ("usr/lib/modules/6.1.0-2/kernel/drivers/net/ethernet/sfc/sfc.ko", true),
        ("usr/lib/modules/6.1.0-2/updates/onload.ko.xz", true),
        ("usr/lib/modules/6.1.0-20/extra/sfc.ko", false),
        ("usr/lib/modules/6.1.0-1/extra/sfc.ko", false),
        ("usr/lib/modules/6.1.0-2/kernel/drivers/mtd/mtd.ko", false),
        ("usr/lib/modules/6.1.0-2/sfc/sfc-siena.ko", false),
        ("usr/share/doc/sfc.ko", false),
    ] {
        assert_eq!(module_of(path, &KERNEL.parse().unwrap()).is_some(), found, "{path}");
    }
}

#[test]
fn it_is_read_again_only_when_it_changed() {
    let path = "boot/initrd.img-6.1.0-2";
    let (place, root) = root_with(&[]);
    put(place.path(), path, &image("1"));
    let files = InitramfsFiles::new(Pace::AtOnce);
    assert_eq!(version(look(&files, &root)).as_deref(), Some("1"));
    before(&root, path, 2, || panic!("read though nothing changed"));
    assert_eq!(version(look(&files, &root)).as_deref(), Some("1"));
    before(&root, path, usize::MAX, || {});
    put(place.path(), path, b"\x02\x21\x4c\x18");
    let Reading::Unreadable(why) = look(&files, &root) else { panic!("lz4 was read") };
    let expected = "/boot/initrd.img-6.1.0-2: it cannot be read: it is compressed with lz4";
    assert!(why.starts_with(expected), "{why}");
    fs::remove_file(place.path().join(path)).unwrap();
    assert_eq!(look(&files, &root), Reading::Absent);
}

#[test]
fn beside_the_look_it_rings_when_it_is_read() {
    let (place, root) = root_with(&[]);
    for kernel in ["6.1.0-2", "6.1.0-3"] {
        put(place.path(), &format!("boot/initrd.img-{kernel}"), &image_for(kernel, kernel));
    }
    let files = InitramfsFiles::new(Pace::Beside);
    let both = || {
        let mut kernels = kernels();
        kernels.insert("6.1.0-3".parse().unwrap(), Kernel::default());
        files.add_to(&root, &mut kernels);
        kernels.into_values().filter_map(|kernel| version(kernel.initramfs)).collect::<Vec<_>>()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let rung = async || {
            let rung = tokio::time::timeout(Duration::from_secs(10), files.read_one()).await;
            assert!(rung.is_ok(), "no word of an initramfs that was read");
        };
        assert_eq!(both(), [""; 0], "the look does not wait");
        rung().await;
        assert_eq!(both(), ["6.1.0-2"], "one after the other");
        rung().await;
        assert_eq!(both(), ["6.1.0-2", "6.1.0-3"]);
        let quiet = Duration::from_millis(20);
        assert!(tokio::time::timeout(quiet, files.read_one()).await.is_err(), "all is known");
    });
}

#[test]
fn before_the_network_none_is_read() {
    let (place, root) = root_with(&[]);
    put(place.path(), "boot/initrd.img-6.1.0-2", &image("1"));
    let files = InitramfsFiles::new(Pace::Never);
    assert_eq!(look(&files, &root), Reading::Absent);
}

#[test]
fn a_recording_reads_back() {
    let (place, _) = root_with(&[("lib/modules/6.1.0-2/modules.dep", "")]);
    put(place.path(), "boot/initrd.img-6.1.0-2", &image("1"));
    let places = |root: &Path| Places {
        root: root.to_owned(),
        kubelet_directory: "/var/lib/kubelet/device-plugins".into(),
        state_directory: "/var/lib/onloadd".into(),
    };
    let copy = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let seen = Linux::open(places(place.path())).unwrap().record(copy.path()).await.unwrap();
        let kernels = seen.kernels.known().unwrap();
        let initramfs = kernels.values().next().unwrap().initramfs.clone();
        let pins = initramfs.known().map(|initramfs| initramfs.pins.values().cloned().collect());
        assert_eq!((version(initramfs).as_deref(), pins), (Some("1"), Some(vec![pin()])));
        let copied = Linux::open(places(copy.path())).unwrap();
        assert_eq!(copied.observe(as_recorded()).await, seen);
    });
}
