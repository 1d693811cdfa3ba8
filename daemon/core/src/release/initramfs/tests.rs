//! What is said of an initramfs, and when nothing is.

use super::*;
use crate::naming::Pin;
use crate::release::Kernel;

const KERNEL: &str = "6.1.0-2";

fn file(version: Option<&str>, srcversion: &str, in_tree: bool) -> ModuleFile {
    ModuleFile {
        version: version.map(str::to_owned),
        srcversion: Some(srcversion.to_owned()),
        in_tree,
        ..ModuleFile::default()
    }
}

fn carried(version: Option<&str>, srcversion: &str, in_tree: bool) -> Carried {
    let (version, srcversion) = (version.map(str::to_owned), Some(srcversion.to_owned()));
    Carried { version, srcversion, in_tree }
}

/// A node with the kernel's own driver, the distribution's Onload, and an imported one.
fn node(initramfs: Reading<Initramfs>) -> Snapshot {
    let kernel: KernelRelease = KERNEL.parse().unwrap();
    let release = |modules: &[(&str, ModuleFile)]| {
        let modules = modules.iter().map(|(name, file)| (name.parse().unwrap(), file.clone()));
        let modules = Reading::Known([(kernel.clone(), modules.collect())].into());
        Release { modules, ..Release::default() }
    };
    let onload = file(Some("9.2.1"), "CCCC", false);
    let host = [("sfc", file(Some("6.4.0"), "BBBB", false)), ("onload", onload.clone())];
    let imported = [("sfc", file(Some("6.5.0"), "DDDD", false)), ("onload", onload)];
    let releases = [
        ("in-tree", release(&[("sfc", file(None, "AAAA", true))])),
        ("host", release(&host)),
        ("9.3.0", release(&imported)),
    ];
    Snapshot {
        kernel: Reading::Known(kernel.clone()),
        kernels: Reading::Known([(kernel, Kernel { initramfs, ..Kernel::default() })].into()),
        releases: Reading::Known(
            releases.map(|(name, release)| (name.parse().unwrap(), release)).into(),
        ),
        ..Snapshot::default()
    }
}

fn with(modules: &[(&str, Carried)]) -> Snapshot {
    let modules = modules.iter().map(|(name, one)| (name.parse().unwrap(), one.clone())).collect();
    let path = "/boot/initrd.img-6.1.0-2".to_owned();
    node(Reading::Known(Initramfs { path, modules, ..Initramfs::default() }))
}

fn said(release: &str, snapshot: &Snapshot) -> Vec<Remark> {
    remarks(&release.parse().unwrap(), &KERNEL.parse().unwrap(), snapshot)
}

#[test]
fn the_kernels_own_is_right_for_itself_and_no_other() {
    let seen = with(&[("sfc", carried(None, "AAAA", true))]);
    assert_eq!(said("in-tree", &seen), []);
    let host = said("host", &seen);
    let [remark] = host.as_slice() else { panic!("{host:?}") };
    assert_eq!(
        remark.to_string(),
        "/boot/initrd.img-6.1.0-2, the initramfs of kernel 6.1.0-2, carries sfc of the kernel itself (srcversion AAAA), which release host does not have: it is in place before the release is loaded, so every boot has to swap it"
    );
    assert!(remark.fix().contains("`dracut -f --kver 6.1.0-2`"), "{}", remark.fix());
    let imported = said("9.3.0", &seen);
    assert!(imported[0].fix().contains("--omit-drivers sfc"), "modprobe never finds that release");
}

#[test]
fn another_version_or_another_source_differs() {
    for (one, differs) in [
        (carried(Some("6.4.0"), "BBBB", false), false),
        (carried(Some("6.4.0"), "BBBC", false), true),
        // srcversion need not change when the version does.
        (carried(Some("6.3.9"), "BBBB", false), true),
        (Carried { srcversion: None, ..carried(Some("6.4.0"), "", false) }, false),
    ] {
        assert_eq!(!said("host", &with(&[("sfc", one.clone())])).is_empty(), differs, "{one:?}");
    }
}

#[test]
fn the_driver_is_named_first_and_a_stack_has_no_place_beside_the_kernels_own() {
    let own = carried(Some("1"), "E", false);
    let seen = with(&[("onload", own.clone()), ("sfc", own.clone())]);
    let reasons: Vec<_> = said("host", &seen).iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("carries sfc 1 (srcversion E)"), "{reasons:?}");
    let alone = with(&[("onload", own)]);
    assert!(said("in-tree", &alone)[0].to_string().contains("carries onload 1"));
}

#[test]
fn names_that_ports_have_in_the_initramfs_alone_are_told() {
    let pins = |all: &[(&str, &str)]| -> Pins {
        let pin = |name: &str| Pin { name: name.parse().unwrap(), altnames: BTreeSet::new() };
        all.iter().map(|(key, name)| (key.parse().unwrap(), pin(name))).collect()
    };
    let (one, other) = ("mac 00:0f:53:00:00:00", "pci 0000:3b:00.1");
    let own = carried(Some("6.4.0"), "BBBB", false);
    let told = |carries: &[(&str, Carried)], there: &Pins, today: Reading<Pins>| {
        let mut seen = with(carries);
        let kernels = match &mut seen.kernels {
            Reading::Known(kernels) => kernels,
            other => panic!("{other:?}"),
        };
        let Some(Reading::Known(initramfs)) =
            kernels.values_mut().next().map(|kernel| &mut kernel.initramfs)
        else {
            panic!("it has one")
        };
        initramfs.pins = there.clone();
        seen.pins = today;
        said("host", &seen)
    };
    let sfc = [("sfc", own.clone())];
    let both = pins(&[(one, "ens1f0"), (other, "ens1f1")]);
    assert_eq!(told(&sfc, &both, Reading::Known(both.clone())), []);
    assert_eq!(told(&sfc, &Pins::new(), Reading::Absent), []);
    assert_eq!(told(&sfc, &Pins::new(), Reading::Known(Pins::new())), []);
    assert_eq!(told(&[], &Pins::new(), Reading::Known(both.clone())), [], "no driver, no ports");
    assert_eq!(told(&sfc, &both, Reading::Unreadable("EIO".to_owned())), []);
    let lacks = told(&sfc, &pins(&[(one, "old0")]), Reading::Known(both.clone()));
    let [remark] = lacks.as_slice() else { panic!("{lacks:?}") };
    assert_eq!(remark.reason(), "InitramfsLacksNames");
    assert!(remark.to_string().contains("does not pin ens1f0, ens1f1: "), "{remark}");
    assert!(remark.fix().contains("`update-initramfs -u -k 6.1.0-2`"), "{}", remark.fix());
    let keeps = told(&sfc, &both, Reading::Known(pins(&[(one, "ens1f0")])));
    let [remark] = keeps.as_slice() else { panic!("{keeps:?}") };
    assert_eq!(remark.reason(), "InitramfsKeepsNames");
    assert!(remark.to_string().contains("still pins ens1f1: "), "{remark}");
    assert_eq!(told(&sfc, &both, Reading::Absent).len(), 1, "all of them are of before");
    let moved = told(&sfc, &pins(&[(other, "ens1f0")]), Reading::Known(pins(&[(one, "ens1f0")])));
    assert_eq!(moved.len(), 2, "the name is another port's there");
    // Another driver comes first: without it there, the names go as well.
    let kernels_own = [("sfc", carried(None, "AAAA", true))];
    let reasons: Vec<_> =
        told(&kernels_own, &Pins::new(), Reading::Known(both)).iter().map(Remark::reason).collect();
    assert_eq!(reasons, ["InitramfsDiffers", "InitramfsLacksNames"]);
}

#[test]
fn nothing_is_said_without_something_to_compare() {
    assert_eq!(said("host", &with(&[])), []);
    assert_eq!(said("host", &node(Reading::Absent)), []);
    assert_eq!(said("9.9.9", &with(&[("sfc", carried(None, "AAAA", true))])), []);
    let other = "5.4".parse().unwrap();
    let seen = with(&[("sfc", carried(None, "AAAA", true))]);
    assert_eq!(remarks(&"host".parse().unwrap(), &other, &seen), []);
}

#[test]
fn what_cannot_be_read_is_said_and_never_guessed() {
    let why = "/boot/initrd.img-6.1.0-2: it is compressed with lz4".to_owned();
    let said = said("host", &node(Reading::Unreadable(why)));
    assert_eq!(said[0].reason(), "InitramfsUnreadable");
    assert!(said[0].to_string().contains("compressed with lz4; if it does"), "{}", said[0]);
}
