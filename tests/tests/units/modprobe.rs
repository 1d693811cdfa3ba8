//! What onloadd expects of the installed kmod: that a module tree of one's own does not put the
//! host's configuration aside, and the words of its errors.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::{is_root, runs, skip, text};

/// A kernel that this machine does not have, so that only our trees can answer.
const KERNEL: &str = "5.14.0-onloadd-test";
/// An X2522 as the bus writes it.
const ALIAS: &str = "pci:v00001924d00000B03sv00001924sd00008022bc02sc00i00";

/// A relocatable ELF file with nothing in it but what `modinfo` shows.
fn module(modinfo: &[&str]) -> Vec<u8> {
    const HEADER: u64 = 64;
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let modinfo: Vec<u8> =
        modinfo.iter().flat_map(|line| [line.as_bytes(), b"\0"].concat()).collect();
    let names_at = HEADER + modinfo.len() as u64;
    let sections_at = (names_at + NAMES.len() as u64).next_multiple_of(8);
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    // Relocatable, x86-64, version 1.
    file.extend([1_u16, 62].map(u16::to_le_bytes).concat());
    file.extend(1_u32.to_le_bytes());
    file.extend([0, 0, sections_at].map(u64::to_le_bytes).concat());
    file.extend(0_u32.to_le_bytes());
    // Sizes of headers, three sections, the last of them with the names.
    file.extend([64_u16, 0, 0, 64, 3, 2].map(u16::to_le_bytes).concat());
    file.extend(modinfo.clone());
    file.extend(NAMES);
    file.resize(sections_at as usize, 0);
    let mut section = |name: u32, kind: u32, at: u64, length: usize| {
        file.extend([name, kind].map(u32::to_le_bytes).concat());
        file.extend([0, 0, at, length as u64].map(u64::to_le_bytes).concat());
        file.extend([0_u32; 2].map(u32::to_le_bytes).concat());
        file.extend([1_u64, 0].map(u64::to_le_bytes).concat());
    };
    section(0, 0, 0, 0);
    section(1, 1, HEADER, modinfo.len());
    section(10, 3, names_at, NAMES.len());
    file
}

/// A tree with these modules, indexed.
fn tree(into: &Path, modules: &[&str]) {
    let extra = into.join("lib/modules").join(KERNEL).join("extra");
    fs::create_dir_all(&extra).unwrap();
    let alias = format!("alias={}", "pci:v00001924d00000B03sv*sd*bc*sc*i*");
    for name in modules {
        let own = format!("name={name}");
        let lines = if *name == "sfc" { vec![own.as_str(), alias.as_str()] } else { vec![&*own] };
        fs::write(extra.join(format!("{name}.ko")), module(&lines)).unwrap();
    }
    index(into);
}

fn index(tree: &Path) {
    let out = Command::new("depmod").arg("-b").arg(tree).arg(KERNEL).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
}

/// Runs a script where `/run/modprobe.d` and `/etc/modprobe.d` hold these lines and nothing else.
fn with_configuration(scratch: &Path, run: &str, etc: &str, script: &str) -> String {
    fs::write(scratch.join("run.conf"), run).unwrap();
    fs::write(scratch.join("etc.conf"), etc).unwrap();
    let setup = "set -e; mount -t tmpfs none /run; mkdir /run/modprobe.d; \
        cp $SCRATCH/run.conf /run/modprobe.d/onloadd.conf; mkdir $SCRATCH/etc; \
        cp $SCRATCH/etc.conf $SCRATCH/etc/onload.conf; mount --bind $SCRATCH/etc /etc/modprobe.d; set +e; ";
    let out = Command::new("unshare")
        .args(["--mount", "sh", "-c", &format!("{setup}{script}")])
        .env("SCRATCH", scratch)
        .env("TREE", scratch.join("tree"))
        .env("KERNEL", KERNEL)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    fs::remove_dir_all(scratch.join("etc")).unwrap();
    text(&out)
}

/// Whether the programs are here, and a configuration of our own can be put in place of the host's.
fn can_run(test: &str) -> bool {
    let programs = ["modprobe", "depmod"].into_iter().all(runs);
    let unshares = is_root()
        && Path::new("/etc/modprobe.d").is_dir()
        && Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|s| s.success());
    if !programs || !unshares {
        skip(test, "needs kmod, root and a mount namespace of its own");
    }
    programs && unshares
}

#[test]
fn a_tree_of_ones_own_is_used_with_the_hosts_configuration() {
    if !can_run("a_tree_of_ones_own_is_used_with_the_hosts_configuration") {
        return;
    }
    let scratch = TempDir::new().unwrap();
    let in_tree = scratch.path().join("tree");
    tree(&in_tree, &["sfc", "onload"]);
    let file = |name: &str| format!("{}/lib/modules/{KERNEL}/extra/{name}.ko", in_tree.display());
    let run = "options onload cplane_server_path=/release/cp\noptions sfc num_vis=4\n";
    let etc = "install onload /sbin/modprobe --ignore-install onload $CMDLINE_OPTS\n";
    let said = |script: &str| with_configuration(scratch.path(), run, etc, script);

    let sfc = said("modprobe -n -v -S $KERNEL -d $TREE sfc");
    assert_eq!(sfc.trim(), format!("insmod {} num_vis=4", file("sfc")));
    let onload = said("modprobe -n -v -S $KERNEL -d $TREE onload");
    assert!(onload.starts_with("install /sbin/modprobe --ignore-install onload"), "{onload}");
    // What that line then runs: its tree comes from the environment.
    let inner =
        "MODPROBE_OPTIONS=\"-d $TREE -S $KERNEL\" modprobe -n -v --ignore-install onload uid=7";
    let expected = format!("insmod {} cplane_server_path=/release/cp uid=7", file("onload"));
    assert_eq!(said(inner).trim(), expected);
}

#[test]
fn the_hardware_loads_nothing_that_is_blacklisted_but_we_do() {
    if !can_run("the_hardware_loads_nothing_that_is_blacklisted_but_we_do") {
        return;
    }
    let scratch = TempDir::new().unwrap();
    tree(&scratch.path().join("tree"), &["sfc"]);
    // As udev does it.
    let by_alias = format!("modprobe -b -n -v -S $KERNEL -d $TREE {ALIAS}");
    let said = |run, script: &str| with_configuration(scratch.path(), run, "", script);
    assert!(said("", &by_alias).starts_with("insmod "));
    assert_eq!(said("blacklist sfc\n", &by_alias), "");
    let by_name = "modprobe -n -v -S $KERNEL -d $TREE sfc";
    assert!(said("blacklist sfc\n", by_name).starts_with("insmod "));
}

#[test]
fn a_tree_of_links_is_a_tree() {
    if !can_run("a_tree_of_links_is_a_tree") {
        return;
    }
    let scratch = TempDir::new().unwrap();
    let directory = scratch.path().join("tree/lib/modules").join(KERNEL);
    fs::create_dir_all(&directory).unwrap();
    let own = scratch.path().join("sfc.ko");
    fs::write(&own, module(&["name=sfc"])).unwrap();
    symlink(&own, directory.join("sfc.ko")).unwrap();
    index(&scratch.path().join("tree"));
    let said = with_configuration(scratch.path(), "", "", "modprobe -n -v -S $KERNEL -d $TREE sfc");
    assert_eq!(said.trim(), format!("insmod {}/sfc.ko", directory.display()));
}

#[test]
fn a_module_that_is_not_there_is_called_so_in_words_we_know() {
    if !can_run("a_module_that_is_not_there_is_called_so_in_words_we_know") {
        return;
    }
    let scratch = TempDir::new().unwrap();
    tree(&scratch.path().join("tree"), &["sfc"]);
    let etc = "install onload /sbin/modprobe -S $KERNEL --ignore-install onload $CMDLINE_OPTS\n";
    let said = |etc, script: &str| with_configuration(scratch.path(), "", etc, script);
    let with_line = said(etc, "MODPROBE_OPTIONS=\"-d $TREE\" modprobe -S $KERNEL onload");
    assert!(with_line.contains("could not find module by name='onload'"), "{with_line}");
    assert!(with_line.contains("could not insert 'onload': Invalid argument"), "{with_line}");
    let without = said("", "modprobe -S $KERNEL -d $TREE onload");
    assert!(without.contains("Module onload not found"), "{without}");
    let removed = said("", "modprobe -r -S $KERNEL -d $TREE onload");
    assert!(removed.contains("Module onload not found"), "{removed}");
}
