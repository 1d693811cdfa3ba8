//! Module trees of two kernels and an imported release, made of stand-ins.

use std::fs;
use std::path::Path;

use onload_core::names::ReleaseName;
use onload_core::release::Release;

use super::super::releases::{self, OnDisk};
use super::super::root::tests::{before, root_with};
use super::*;
use crate::host::Host as _;
use crate::host::linux::tests::as_recorded;
use crate::host::linux::{Linux, Places};
use crate::module_file::stand_in;

const NEW: &str = "6.1.0-2";
const OLD: &str = "6.1.0-1";
const STATE: &str = "/var/lib/onloadd";
const IMPORTED: &str = "var/lib/onloadd/releases/9.2.1/lib/modules/6.1.0-2/extra";

fn module(depends: &[&str], in_tree: bool, symbol: &str) -> ModuleFile {
    ModuleFile {
        machine: 62,
        vermagic: format!("{NEW} SMP mod_unload modversions "),
        depends: depends.iter().map(|name| name.parse().unwrap()).collect(),
        in_tree,
        symbols: Arc::new(BTreeMap::from([(symbol.to_owned(), 7)])),
        ..ModuleFile::default()
    }
}

fn put(place: &Path, path: &str, module: &ModuleFile) {
    let path = place.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, stand_in::write(module)).unwrap();
}

/// A merged-/usr root: two kernels, one with Onload's packages, and what a third left behind.
fn machine() -> (tempfile::TempDir, Dir) {
    let (place, root) = root_with(&[
        (
            "usr/lib/modules/6.1.0-2/modules.dep",
            "kernel/net/zz.ko.xz:\n\
             kernel/drivers/mtd/mtd.ko.xz:\n\
             extra/sfc.ko: kernel/drivers/mtd/mtd.ko.xz\n\
             extra/sfc_char.ko: extra/sfc_resource.ko\n\
             kernel/drivers/net/sfc_resource.ko:\n\
             extra/onload.ko: extra/sfc_char.ko extra/sfc_resource.ko\n",
        ),
        ("usr/lib/modules/6.1.0-2/modules.builtin", "kernel/drivers/ptp/ptp.ko\nkernel/x.ko\n"),
        (
            "usr/lib/modules/6.1.0-1/modules.dep",
            "kernel/drivers/net/ethernet/sfc/sfc.ko.xz: kernel/drivers/i2c/i2c-algo-bit.ko.xz\n\
             kernel/drivers/i2c/i2c-algo-bit.ko.xz:\n",
        ),
        ("usr/lib/modules/5.0-gone/extra/left.ko", ""),
        ("usr/sbin/onload_cp_server", "#!"),
    ]);
    let link = |target: &str, path: &str| {
        std::os::unix::fs::symlink(target, place.path().join(path)).unwrap();
    };
    link("usr/lib", "lib");
    link("usr/sbin", "sbin");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o750);
    fs::set_permissions(place.path().join("usr/sbin/onload_cp_server"), executable).unwrap();
    let at = place.path();
    let own = "usr/lib/modules/6.1.0-2";
    put(at, &format!("{own}/kernel/drivers/mtd/mtd.ko.xz"), &module(&[], true, "kfree"));
    let sfc = module(&["mtd", "ptp"], true, "napi_enable");
    put(at, &format!("{own}/kernel/drivers/net/ethernet/sfc/sfc.ko.xz"), &sfc);
    put(at, &format!("{own}/extra/sfc.ko"), &module(&["mtd"], false, "kfree"));
    put(at, &format!("{own}/extra/sfc_char.ko"), &module(&["sfc_resource"], false, "kfree"));
    // As DKMS does it.
    put(at, &format!("{own}/kernel/drivers/net/sfc_resource.ko"), &module(&[], false, "kfree"));
    fs::write(at.join(own).join("extra/onload.ko"), "half").unwrap();
    let old = "usr/lib/modules/6.1.0-1/kernel/drivers/net/ethernet/sfc/sfc.ko.xz";
    put(at, old, &module(&["i2c-algo-bit".replace('-', "_").as_str()], true, "x"));
    put(at, &format!("{IMPORTED}/sfc.ko"), &module(&["mtd", "nowhere"], false, "kfree"));
    put(at, &format!("{IMPORTED}/deeper/onload.ko.zst"), &module(&["sfc_char"], false, "kfree"));
    put(at, &format!("{IMPORTED}/other.ko"), &module(&[], false, "kfree"));
    (place, root)
}

fn of<'a>(releases: &'a BTreeMap<ReleaseName, Release>, name: &str) -> &'a Release {
    &releases[&name.parse().unwrap()]
}

fn names(release: &Release, kernel: &str) -> Vec<String> {
    let modules = release.modules.known().unwrap().get(&kernel.parse().unwrap());
    modules.into_iter().flat_map(BTreeMap::keys).map(ToString::to_string).collect()
}

#[test]
fn files_are_sorted_by_release_and_kernel() {
    let (_place, root) = machine();
    let (releases, kernels) = releases::read(&root, STATE, &OnDisk::default(), false);
    let releases = releases.into_known().unwrap();
    let host = of(&releases, "host");
    assert_eq!(names(host, NEW), ["sfc", "sfc_char", "sfc_resource"]);
    assert!(names(host, OLD).is_empty(), "its sfc is the kernel's own");
    let sfc = &host.modules.known().unwrap()[&NEW.parse().unwrap()][&"sfc".parse().unwrap()];
    assert_eq!(sfc.path, "/lib/modules/6.1.0-2/extra/sfc.ko");
    let why = &host.damaged[&NEW.parse().unwrap()][&"onload".parse().unwrap()];
    assert!(why.contains("does not begin as an ELF file"), "{why}");
    assert_eq!(host.server.as_deref(), Some("sbin/onload_cp_server"));
    assert!(host.libraries.is_empty() && host.interfaces.is_absent());
    let in_tree = of(&releases, "in-tree");
    assert_eq!(
        (names(in_tree, NEW), names(in_tree, OLD)),
        (vec!["sfc".into()], vec!["sfc".into()])
    );
    let imported = of(&releases, "9.2.1");
    assert_eq!(names(imported, NEW), ["onload", "sfc"]);
    assert_eq!(imported.server, None);

    let kernels = kernels.into_known().unwrap();
    let seen: Vec<_> = kernels.keys().map(KernelRelease::as_str).collect();
    assert_eq!(seen, [OLD, NEW], "what a removed kernel left is no kernel");
    let new = &kernels[&NEW.parse().unwrap()];
    assert_eq!((&new.machine, new.vermagic.is_absent()), (&Reading::Known(62), false));
    let available: Vec<_> = new.available.iter().map(ModuleName::as_str).collect();
    assert_eq!(available, ["mtd", "ptp"], "as a file, and built in; sfc_char is no kernel's");
    assert_eq!(new.symbols.len(), 2, "of mtd and sfc together");
    let old = &kernels[&OLD.parse().unwrap()];
    assert_eq!(old.available.iter().map(ModuleName::as_str).collect::<Vec<_>>(), ["i2c_algo_bit"]);
}

#[test]
fn an_idle_look_reads_nothing_and_a_change_is_seen() {
    let (place, root) = machine();
    let known = OnDisk::default();
    let first = releases::read(&root, STATE, &known, false);
    for path in [
        "lib/modules/6.1.0-2/modules.dep",
        "lib/modules/6.1.0-2/extra/sfc.ko",
        "lib/modules/6.1.0-2/extra/onload.ko",
    ] {
        // The first opening of a look is the stat; in the lists it is done twice.
        let stats = if path.ends_with("dep") { 3 } else { 2 };
        before(&root, path, stats, || panic!("read though nothing changed"));
        let again = releases::read(&root, STATE, &known, false);
        assert_eq!(again, first);
        let (Reading::Known(then), Reading::Known(now)) = (&first.1, &again.1) else { panic!() };
        let table = |kernels: &BTreeMap<KernelRelease, Kernel>| {
            Arc::clone(&kernels[&NEW.parse().unwrap()].symbols)
        };
        assert!(Arc::ptr_eq(&table(then), &table(now)), "shared, not made anew");
    }
    before(&root, "", usize::MAX, || {});
    put(place.path(), "lib/modules/6.1.0-2/extra/onload.ko", &module(&["ptp"], false, "kfree"));
    fs::remove_file(place.path().join("lib/modules/6.1.0-2/modules.builtin")).unwrap();
    let (releases, kernels) = releases::read(&root, STATE, &known, false);
    let releases = releases.into_known().unwrap();
    assert!(of(&releases, "host").damaged.is_empty());
    let kernels = kernels.into_known().unwrap();
    let available = &kernels[&NEW.parse().unwrap()].available;
    assert_eq!(available.iter().map(ModuleName::as_str).collect::<Vec<_>>(), ["mtd"]);
}

#[test]
fn a_kernel_without_its_list_is_one_of_which_nothing_can_be_told() {
    let (place, root) = machine();
    let dep = place.path().join("lib/modules/6.1.0-2/modules.dep");
    fs::remove_file(&dep).unwrap();
    let seen = |known: &OnDisk| releases::read(&root, STATE, known, false).1.into_known().unwrap();
    let known = OnDisk::default();
    let new = NEW.parse().unwrap();
    let why = Reading::Unreadable("/lib/modules/6.1.0-2/modules.dep is not there".to_owned());
    assert_eq!(seen(&known)[&new].vermagic, why);
    fs::create_dir(&dep).unwrap();
    assert!(seen(&known)[&new].machine.is_unreadable());
    let old = OLD.parse().unwrap();
    assert!(seen(&known)[&old].machine.known().is_some(), "the other one is read all the same");
}

#[test]
fn a_recording_of_it_reads_the_same() {
    let (place, _) = machine();
    let look = |root: &Path| {
        Linux::open(Places {
            root: root.to_owned(),
            kubelet_directory: "/var/lib/kubelet/device-plugins".into(),
            state_directory: STATE.into(),
        })
        .unwrap()
    };
    let copy = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let seen = look(place.path()).record(copy.path()).await.unwrap();
        assert_eq!(seen.kernels.known().map(BTreeMap::len), Some(2));
        assert_eq!(seen, look(copy.path()).observe(as_recorded()).await);
    });
}

#[test]
fn lists_are_found_in_pieces_and_lines_that_say_nothing_are_passed_over() {
    let text =
        b"no colon here\nkernel/a-b.ko.gz: x: y.ko\n\xff.ko:\nkernel/c.txt:\n/abs/c.ko:\nend.ko";
    let wanted = ["a_b", "c", "y"].map(|name| name.parse().unwrap()).into();
    for piece in [1, 3, 4096] {
        let mut search =
            Search { wanted: &wanted, line: Vec::new(), over: false, found: Found::default() };
        text.chunks(piece).for_each(|piece| search.push(piece));
        assert_eq!(search.found.first.as_deref(), Some("kernel/a-b.ko.gz"));
        let paths: Vec<_> = search.found.paths.values().map(String::as_str).collect();
        assert_eq!(paths, ["kernel/a-b.ko.gz", "/abs/c.ko"]);
        let kept = "kernel/a-b.ko.gz:\nkernel/a-b.ko.gz:\n/abs/c.ko:\n";
        assert_eq!(search.found.text(), kept.as_bytes());
    }
    assert_eq!(in_tree("lib/modules/6", "/opt/c.ko"), "opt/c.ko");
}
