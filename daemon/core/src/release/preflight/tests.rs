//! Every objection, and the release against which nothing speaks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::release::Symbols;
use crate::release::signing::Signing;
use crate::secure_boot::kernel::{Enforcement, Lockdown};
use crate::secure_boot::trust::Trust;

const KERNEL: &str = "6.1.0-2";
const VERMAGIC: &str = "6.1.0-2 SMP preempt mod_unload modversions ";
/// By a key that nobody here knows.
const SIGNED: &[u8] = include_bytes!("../../../../../tests/secure-boot/rsa.ko");
const HASH: &str = "0123456789abcdef0123456789abcdef";

/// A running kernel of which only that it enforces signatures is known.
fn enforcing(kernel: &str) -> Trust {
    Trust {
        kernel: Reading::Known(kernel.parse().unwrap()),
        sig_enforce: Reading::Known(Enforcement::Refused),
        ..Trust::default()
    }
}

fn symbols(sums: &[(&str, u32)]) -> Symbols {
    Arc::new(sums.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect())
}

fn module(name: &str) -> (ModuleName, ModuleFile) {
    let (depends, version): (&[&str], _) = match name {
        "sfc" => (&["mtd"], Some("6.4.0.1003")),
        "sfc_char" => (&["sfc_resource"], None),
        "onload" => (&["sfc_char", "sfc_resource"], Some("9.2.1")),
        _ => (&[], None),
    };
    let file = ModuleFile {
        path: format!("/lib/modules/{KERNEL}/extra/{name}.ko"),
        machine: 62,
        vermagic: VERMAGIC.to_owned(),
        depends: depends.iter().map(|name| name.parse().unwrap()).collect(),
        version: version.map(str::to_owned),
        signed: Signing::of(SIGNED),
        interfaces: if name == "onload" { [HASH.parse().unwrap()].into() } else { BTreeSet::new() },
        symbols: symbols(&[("module_layout", 1), ("kfree", 2)]),
        ..ModuleFile::default()
    };
    (name.parse().unwrap(), file)
}

/// The node on which `host` is as it should be, before `change`.
struct Node(Snapshot);

impl Node {
    fn new() -> Self {
        let kernel: KernelRelease = KERNEL.parse().unwrap();
        let modules = BTreeMap::from([(kernel.clone(), STACK.map(module).into())]);
        let host = Release {
            root: "/".to_owned(),
            libraries: ["libonload.so".to_owned()].into(),
            interfaces: Reading::Known([HASH.parse().unwrap()].into()),
            modules: Reading::Known(modules),
            ..Release::default()
        };
        let own = (
            "sfc".parse().unwrap(),
            ModuleFile { in_tree: true, version: None, ..module("sfc").1 },
        );
        let in_tree = Release {
            modules: Reading::Known([(kernel.clone(), [own].into())].into()),
            ..Release::default()
        };
        let seen = Kernel {
            machine: Reading::Known(62),
            vermagic: Reading::Known(VERMAGIC.to_owned()),
            symbols: symbols(&[("module_layout", 1), ("kfree", 2), ("other", 3)]),
            available: ["mtd".parse().unwrap()].into(),
            initramfs: Reading::Absent,
        };
        Self(Snapshot {
            kernel: Reading::Known(kernel.clone()),
            trust: Arc::new(enforcing(KERNEL)),
            releases: Reading::Known(
                [(HOST.parse().unwrap(), host), (IN_TREE.parse().unwrap(), in_tree)].into(),
            ),
            kernels: Reading::Known([(kernel, seen)].into()),
            ..Snapshot::default()
        })
    }

    fn release(&mut self) -> &mut Release {
        let Reading::Known(releases) = &mut self.0.releases else { panic!() };
        releases.get_mut(&HOST.parse().unwrap()).unwrap()
    }

    fn files(&mut self) -> &mut BTreeMap<ModuleName, ModuleFile> {
        let Reading::Known(modules) = &mut self.release().modules else { panic!() };
        modules.get_mut(&KERNEL.parse().unwrap()).unwrap()
    }

    fn file(&mut self, name: &str) -> &mut ModuleFile {
        self.files().get_mut(&name.parse().unwrap()).unwrap()
    }

    fn kernel(&mut self) -> &mut Kernel {
        let Reading::Known(kernels) = &mut self.0.kernels else { panic!() };
        kernels.get_mut(&KERNEL.parse().unwrap()).unwrap()
    }

    fn check(&self, release: &str) -> Vec<Objection> {
        check(&release.parse().unwrap(), &KERNEL.parse().unwrap(), &self.0)
    }
}

/// What is said of `host` after a change, a line each.
fn said(change: impl FnOnce(&mut Node)) -> Vec<String> {
    let mut node = Node::new();
    change(&mut node);
    let objections = node.check(HOST);
    for objection in &objections {
        let text = serde_json::to_string(objection).unwrap();
        assert_eq!(&serde_json::from_str::<Objection>(&text).unwrap(), objection);
        assert!(!objection.fix().is_empty() && !objection.fix().ends_with('.'));
    }
    objections.iter().map(|one| format!("{}: {one}", one.reason())).collect()
}

#[test]
fn nothing_speaks_against_what_is_as_it_should_be() {
    assert_eq!(Node::new().check(HOST), []);
    assert_eq!(Node::new().check(IN_TREE), [], "one module, no libraries, no versions");
}

#[test]
fn each_reason_has_its_words() {
    type Change = fn(&mut Node);
    let cases: [(Change, &str); 19] = [
        (
            |node| node.0.releases = Reading::Unreadable("x".to_owned()),
            "ReleasesUnreadable: the releases on the disk cannot be read: x",
        ),
        (|node| node.0.releases = Reading::Absent, "NoSuchRelease: there is no release host"),
        (
            |node| node.release().modules = Reading::Unreadable("x".to_owned()),
            "ModulesUnreadable: the modules of host cannot be read: x",
        ),
        (
            |node| node.release().modules = Reading::Absent,
            "NoModules: host has no modules for kernel 6.1.0-2",
        ),
        (
            |node| drop(node.files().remove(&"sfc_char".parse().unwrap())),
            "Incomplete: the set of modules is incomplete: sfc_char is missing",
        ),
        (
            |node| {
                let (name, _) = node.files().remove_entry(&"sfc".parse().unwrap()).unwrap();
                let damaged = [(name, "x".to_owned())].into();
                node.release().damaged.insert(KERNEL.parse().unwrap(), damaged);
            },
            "FileDamaged: the file of module sfc cannot be used: x",
        ),
        (
            |node| node.0.kernels = Reading::Known(BTreeMap::new()),
            "KernelUnknown: kernel 6.1.0-2 cannot be compared with: its module tree is not on the disk",
        ),
        (
            |node| node.kernel().vermagic = Reading::Unreadable("x".to_owned()),
            "KernelUnknown: kernel 6.1.0-2 cannot be compared with: x",
        ),
        (
            |node| node.file("onload").machine = 183,
            "Architecture: module onload was built for AArch64, and the kernel is for x86-64",
        ),
        (
            |node| node.file("sfc").vermagic = VERMAGIC.replace(" preempt", ""),
            "Vermagic: module sfc was built for `6.1.0-2 SMP mod_unload modversions`, \
             and the kernel is `6.1.0-2 SMP preempt mod_unload modversions`",
        ),
        (
            |node| node.file("sfc").symbols = symbols(&[("module_layout", 1), ("kfree", 9)]),
            "Checksums: module sfc needs other versions of 1 kernel symbols: kfree",
        ),
        (
            |node| node.file("sfc").symbols = symbols(&[]),
            "ChecksumsMissing: module sfc has no symbol checksums, and the kernel wants them",
        ),
        (
            |node| node.file("sfc_char").signed = Signing::Unsigned,
            "Unsigned: the kernel would refuse sfc_char: there is no signature",
        ),
        (
            |node| node.kernel().available.clear(),
            "DependencyMissing: module sfc depends on mtd, which kernel 6.1.0-2 does not have",
        ),
        (
            |node| node.file("sfc").version = Some("6.1.0.1009".to_owned()),
            "AuxiliaryInterface: sfc 6.1.0.1009 and onload 9.2.1 do not speak the same interface, \
             so nothing would be accelerated",
        ),
        (
            |node| node.release().interfaces = Reading::Absent,
            "LibrariesMissing: host has no user libraries",
        ),
        (
            |node| node.release().interfaces = Reading::Unreadable("x".to_owned()),
            "LibrariesUnreadable: the user library of host cannot be read: x",
        ),
        (
            |node| node.release().interfaces = Reading::Known(BTreeSet::new()),
            "LibrariesDiffer: the user libraries of host were built for another driver \
             than its onload module",
        ),
        (
            |node| {
                let link = DRIVERLINK.parse().unwrap();
                node.file("sfc").depends.insert(link);
            },
            "Incomplete: the set of modules is incomplete: sfc_driverlink is missing",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(said(change), [expected]);
    }
}

#[test]
fn all_reasons_come_at_once() {
    let said = said(|node| {
        node.files().remove(&"sfc_resource".parse().unwrap());
        node.file("onload").machine = 183;
        node.file("sfc").vermagic = "5.0 SMP".to_owned();
        node.file("sfc").signed = Signing::Unsigned;
        node.file("sfc_char").signed = Signing::Unsigned;
        node.kernel().available.clear();
        node.release().interfaces = Reading::Absent;
    });
    let reasons: Vec<_> = said.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        reasons,
        [
            "Incomplete",
            "Vermagic",
            "DependencyMissing",
            "Architecture",
            "Unsigned",
            "LibrariesMissing"
        ]
    );
    assert!(said[4].contains("would refuse sfc, sfc_char: there is no signature"), "{}", said[4]);
}

#[test]
fn equal_checksums_decide_over_the_release_string() {
    let other = VERMAGIC.replace("6.1.0-2", "6.1.0-1");
    let with = |node: &mut Node| node.file("sfc").vermagic = other.clone();
    assert_eq!(said(with), Vec::<String>::new(), "both have checksums, and they are equal");
    let nothing_to_compare = said(|node| {
        with(node);
        node.kernel().symbols = symbols(&[("other", 3)]);
    });
    assert!(nothing_to_compare[0].starts_with("Vermagic"), "{nothing_to_compare:?}");
    let unchecked = said(|node| {
        let without = |vermagic: &str| vermagic.replace(" modversions", "");
        for name in STACK {
            node.file(name).vermagic = without(VERMAGIC);
            // A leftover section is not looked at where the kernel does not check.
            node.file(name).symbols = symbols(&[("kfree", 9)]);
        }
        node.kernel().vermagic = Reading::Known(without(VERMAGIC));
        node.file("sfc").vermagic = without(&other);
    });
    assert_eq!(unchecked.len(), 1, "{unchecked:?}");
    assert!(unchecked[0].starts_with("Vermagic"), "{unchecked:?}");
    let nameless = said(|node| node.kernel().vermagic = Reading::Absent);
    assert_eq!(nameless, Vec::<String>::new(), "its directory has the same name");
}

#[test]
fn many_checksums_are_counted_and_few_named() {
    let sums: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(|name| (name, 1)).into();
    let wrong: Vec<_> = sums.iter().map(|(name, sum)| (*name, sum + 1)).collect();
    let said = said(|node| {
        node.kernel().symbols = symbols(&sums);
        for name in STACK {
            node.file(name).symbols = symbols(&sums);
        }
        node.file("onload").symbols = symbols(&wrong);
    });
    let expected = "Checksums: module onload needs other versions of 7 kernel symbols: \
                    a, b, c, d, e and 2 more";
    assert_eq!(said, [expected]);
}

#[test]
fn only_the_running_kernel_says_what_it_enforces() {
    let unsigned = |node: &mut Node| {
        STACK.into_iter().for_each(|name| node.file(name).signed = Signing::Unsigned);
    };
    assert_eq!(said(unsigned).len(), 1);
    for change in [
        (|node| node.0.trust = Arc::new(enforcing("6.1.0-1"))) as fn(&mut Node),
        |node| node.0.trust = Arc::default(),
        |node| {
            let sig_enforce = Reading::Known(Enforcement::Taken);
            let lockdown = Reading::Known(Lockdown::None);
            node.0.trust = Arc::new(Trust { sig_enforce, lockdown, ..enforcing(KERNEL) });
        },
    ] {
        let said = said(|node| {
            unsigned(node);
            change(node);
        });
        assert_eq!(said, Vec::<String>::new());
    }
}

#[test]
fn a_driver_whose_file_tells_no_hash_is_left_to_the_load() {
    let said = said(|node| node.file("onload").interfaces.clear());
    assert_eq!(said, Vec::<String>::new());
}
