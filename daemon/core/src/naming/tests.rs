//! Plans of names, from machines made by hand.

use super::*;
use crate::af_xdp::LinkFile;
use crate::hardware::Hardware;
use crate::inventory::NameOrigin;
use crate::names::MacAddress;
use crate::reading::Reading::{Absent, Known, Unreadable};
use crate::release::{IN_TREE, Release};
use crate::sample::{KERNEL, PORTS, files, inner, module_of, node, port_of};

mod given;
mod link_files;
mod pins;
mod renamings;

const FIRST: &str = "ens1f0np0";
const SECOND: &str = "ens1f1np1";
const DEFAULT: &str = "/usr/lib/systemd/network/99-default.link";

/// Versions of `sfc` of the releases on the disk, beside the kernel's own.
const RELEASES: [(&str, &str); 4] = [
    ("4.15", "4.15.6.1004"),
    ("4.7", "4.7.0.1031"),
    ("5.1", "5.1.0.1000"),
    ("9.2.1", "6.4.0.1003"),
];

fn mac(last: u8) -> MacAddress {
    MacAddress([0, 0x0f, 0x53, 0, 0, last])
}

/// An interface as udev names it by its slot.
fn interface(port: usize, name: &str, told: Option<&str>) -> Interface {
    let udev = UdevNames {
        name: Some(name.to_owned()),
        slot: Some(name.to_owned()),
        link_file: Some(DEFAULT.to_owned()),
        id_path: Some(format!("pci-{}", PORTS[port])),
        ..UdevNames::default()
    };
    let last = u8::try_from(port).unwrap();
    Interface {
        port: Known(PORTS[port].parse().unwrap()),
        // Members of a bond have one address of the moment.
        mac: Known(mac(9)),
        permanent_mac: Known(mac(last)),
        phys_port_name: told.map(str::to_owned).into(),
        udev: Known(Box::new(udev)),
        ..Interface::default()
    }
}

/// The sample node with the kernel's own driver bound, or the `sfc` of 9.2.1.
fn machine(in_tree: bool, spoil: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut node = node();
    let names = if in_tree { [FIRST, SECOND] } else { ["ens1f0", "ens1f1"] };
    let told = |name| in_tree.then_some(name);
    node.interfaces = Known(BTreeMap::from([
        (names[0].parse().unwrap(), interface(0, names[0], told("p0"))),
        (names[1].parse().unwrap(), interface(1, names[1], told("p1"))),
        ("eno1".parse().unwrap(), Interface::default()),
    ]));
    let sfc = module_of(&mut node, "sfc");
    sfc.taint = Known(if in_tree { "" } else { "O" }.to_owned());
    sfc.version = if in_tree { Absent } else { Known("6.4.0.1003".to_owned()) };
    let release = |version| Release {
        modules: Known(BTreeMap::from([(KERNEL.parse().unwrap(), files(&[("sfc", version)]))])),
        ..Release::default()
    };
    let out_of_tree = RELEASES.map(|(name, version)| (name, release(Some(version))));
    let all = out_of_tree.into_iter().chain([(IN_TREE, release(None))]);
    node.releases = Known(all.map(|(name, one)| (name.parse().unwrap(), one)).collect());
    node.link_files = Known(BTreeMap::new());
    spoil(&mut node);
    node
}

fn planned(node: &Snapshot, settings: &NamingSettings) -> Vec<PortName> {
    plan(node, settings, &Hardware::shipped(), &Loads::new())
}

/// What each release makes of the first port: name or nothing.
fn names(node: &Snapshot) -> Vec<(String, String)> {
    let rows = planned(node, &NamingSettings::default());
    let each = rows[0].drivers.iter();
    each.map(|(release, one)| (release.to_string(), one.name.clone().unwrap_or_default())).collect()
}

/// One release's, with its reason.
fn foretold(node: &Snapshot, release: &str) -> Foretold {
    let rows = planned(node, &NamingSettings::default());
    rows[0].drivers[&release.parse().unwrap()].clone()
}

fn first<'a>(node: &'a mut Snapshot, name: &str) -> &'a mut Interface {
    inner(&mut node.interfaces).get_mut(&name.parse::<InterfaceName>().unwrap()).unwrap()
}

fn udev<'a>(node: &'a mut Snapshot, name: &str) -> &'a mut UdevNames {
    inner(&mut first(node, name).udev).as_mut()
}

#[test]
fn losing_phys_port_name_is_foretold_and_gaining_it_is_not() {
    let expected = |names: [&str; 5]| -> Vec<(String, String)> {
        let releases = ["4.15", "4.7", "5.1", "9.2.1", IN_TREE];
        releases.into_iter().zip(names).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let there = machine(true, |_| {});
    assert_eq!(names(&there), expected([FIRST, "", "", "ens1f0", FIRST]));
    let why = foretold(&there, IN_TREE).why;
    assert_eq!(why, format!("udev's own evaluation: slot, by {DEFAULT}"));
    let back = machine(false, |_| {});
    assert_eq!(names(&back), expected(["", "", "", "ens1f0", ""]));
    assert!(foretold(&back, "9.2.1").why.starts_with("udev's own evaluation"));
    let why = foretold(&back, IN_TREE).why;
    assert!(why.ends_with("it shows once it is loaded"), "{why}");
    // From one that tells nothing to another.
    let other = machine(false, |node| {
        module_of(node, "sfc").version = Known("6.2.0.1007".to_owned());
    });
    let told = foretold(&other, "9.2.1");
    assert_eq!(told.name.as_deref(), Some("ens1f0"));
    assert!(told.why.ends_with("as the one of today"), "{}", told.why);
}

#[test]
fn what_cannot_be_told_says_why() {
    type Spoil = fn(&mut Snapshot);
    let cases: [(&str, Spoil, &str); 13] = [
        (
            "a rule named it",
            |node| {
                udev(node, FIRST).name = Some("ens9np0".to_owned());
                first(node, FIRST).name_origin = Known(NameOrigin::Renamed);
            },
            "udev comes to ens9np0 by /usr/lib/systemd/network/99-default.link, but it is ens1f0np0: a rule",
        ),
        (
            "the kernel's name stayed",
            |node| {
                udev(node, FIRST).name = Some("ens9np0".to_owned());
                first(node, FIRST).name_origin = Known(NameOrigin::Enumerated);
            },
            "the name was taken",
        ),
        (
            "a name whose end is not the driver's",
            |node| {
                first(node, FIRST).phys_port_name = Known("p7".to_owned());
            },
            "does not end in np7",
        ),
        (
            "no phys_port_name with a driver that has one",
            |node| {
                first(node, FIRST).phys_port_name = Absent;
            },
            "of today tells no phys_port_name is not known",
        ),
        ("a gap", |node| first(node, FIRST).phys_port_name = Unreadable("EIO".to_owned()), "EIO"),
        ("udev does not run", |node| first(node, FIRST).udev = Absent, "udev has no record"),
        (
            "its record has a gap",
            |node| {
                first(node, FIRST).udev = Unreadable("EACCES".to_owned());
            },
            "EACCES",
        ),
        ("it is being renamed", |node| udev(node, FIRST).renaming = true, "just giving"),
        (
            "somebody renamed it",
            |node| {
                udev(node, FIRST).name = Some("ens9np0".to_owned());
            },
            "who gave it that name cannot be told",
        ),
        (
            "a rule names it, which ends in np0 all the same",
            |node| {
                udev(node, FIRST).slot = Some("ens9np0".to_owned());
            },
            "none of udev's names",
        ),
        (
            "a name that was too long comes first",
            |node| {
                udev(node, FIRST).onboard = Some("eno12345678901np0".to_owned());
            },
            "is no longer too long",
        ),
        ("no interface", |node| node.interfaces = Known(BTreeMap::new()), "no interface today"),
        (
            "no file for this kernel",
            |node| {
                let name = "9.2.1".parse::<ReleaseName>().unwrap();
                inner(&mut node.releases).get_mut(&name).unwrap().modules = Known(BTreeMap::new());
            },
            "no sfc for the running kernel",
        ),
    ];
    for (what, spoil, part) in cases {
        let told = foretold(&machine(true, spoil), "9.2.1");
        assert_eq!(told.name, None, "{what}: {}", told.why);
        assert!(told.why.contains(part), "{what}: {}", told.why);
    }
    let families =
        [(0x10ee, 0x5084, "not known what xilinx_efct tells"), (0x10ee, 0x0100, "of EF100 ports")];
    for (vendor, device, part) in families {
        let told = foretold(
            &machine(true, |node| {
                let port = port_of(node, 0);
                (port.vendor, port.device) = (Known(vendor), Known(device));
            }),
            "9.2.1",
        );
        assert!(told.name.is_none() && told.why.contains(part), "{}", told.why);
    }
    let x4 = machine(false, |node| port_of(node, 0).device = Known(0x0c03));
    let why = foretold(&x4, IN_TREE).why;
    assert_eq!(why, "the kernel's own sfc does not drive X4 ports");
}

/// A file with a name, and what it is for.
fn link_file(matches: &[(&str, &str)], policy: Option<&str>) -> LinkFile {
    LinkFile {
        matches: matches
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        name: Some("fast0".to_owned()),
        name_policy: policy.map(str::to_owned),
    }
}

fn with_file(path: &str, file: LinkFile) -> Snapshot {
    machine(true, |node| node.link_files = Known(BTreeMap::from([(path.to_owned(), file)])))
}

fn explicit(ports: Vec<PortNaming>) -> NamingSettings {
    NamingSettings { policy: Some(NamingPolicy::Explicit), ports }
}

fn by(mac: Option<MacAddress>, pci: Option<&str>, number: Option<u32>, name: &str) -> PortNaming {
    let pci = pci.map(|pci| pci.parse().unwrap());
    PortNaming { mac, pci, port_number: number, name: name.parse().unwrap() }
}

#[test]
fn what_is_configured_finds_its_port_by_permanent_address_place_or_number() {
    let node = machine(true, |_| {});
    let configured = |settings: &NamingSettings| -> Vec<Option<String>> {
        let rows = planned(&node, settings);
        rows.iter().map(|row| row.configured.as_ref().map(ToString::to_string)).collect()
    };
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(configured(&NamingSettings::default()), [None, None]);
    let keep = NamingSettings { policy: Some(NamingPolicy::Keep), ..NamingSettings::default() };
    assert_eq!(configured(&keep), [named(FIRST), named(SECOND)]);
    for one in [
        by(Some(mac(1)), None, None, "fast1"),
        by(None, Some(PORTS[1]), None, "fast1"),
        by(None, None, Some(1), "fast1"),
    ] {
        assert_eq!(configured(&explicit(vec![one])), [None, named("fast1")]);
    }
    // The address of the moment is that of the bond.
    let settings =
        explicit(vec![by(Some(mac(9)), None, None, "fast1"), by(None, None, Some(7), "b")]);
    let rows = planned(&node, &settings);
    let missing: Vec<_> = rows[2..].iter().map(|row| row.conflicts[0].what()).collect();
    assert_eq!(
        missing,
        ["there is no port with mac 00:0f:53:00:00:09", "there is no port with port-number 7"]
    );
    let blind = machine(true, |node| node.interfaces = Unreadable("EIO".to_owned()));
    assert_eq!(planned(&blind, &settings).len(), 2, "a gap is no absence");
}

/// All conflicts of both ports, each as one line.
fn conflicts(node: &Snapshot, settings: &NamingSettings) -> Vec<String> {
    let rows = planned(node, settings);
    let all = rows.iter().flat_map(|row| &row.conflicts);
    all.map(|one| {
        assert!(!one.fix().is_empty());
        format!("{}: {}", one.what(), one.why())
    })
    .collect()
}

#[test]
fn what_is_wrong_with_names_is_told() {
    let off = NamingSettings::default();
    assert_eq!(conflicts(&machine(true, |_| {}), &off), [""; 0]);
    let twins = machine(true, |node| first(node, SECOND).permanent_mac = Known(mac(0)));
    assert_eq!(
        conflicts(&twins, &off),
        [
            "the permanent address 00:0f:53:00:00:00 tells no port: 0000:af:00.0 has the same",
            "the permanent address 00:0f:53:00:00:00 tells no port: 0000:3b:00.0 has the same",
        ]
    );
    let one = with_file("/etc/systemd/network/1.link", link_file(&[("Driver", "sfc")], None));
    let all = "release 4.15, release 4.7, release 5.1, release 9.2.1, release in-tree";
    assert_eq!(
        conflicts(&one, &off),
        [
            format!("fast0 would be the name of two ports: 0000:af:00.0 has it too, by {all}"),
            format!("fast0 would be the name of two ports: 0000:3b:00.0 has it too, by {all}"),
        ]
    );
    let taken = machine(true, |node| {
        first(node, "eno1").altnames.insert("ens1f0".to_owned());
    });
    assert_eq!(
        conflicts(&taken, &off),
        [
            "the port would not get the name ens1f0: interface eno1 has it, and release 9.2.1 gives it to the port"
        ]
    );
    let long = machine(true, |node| udev(node, FIRST).path = Some("enp129s0f1np1v10".to_owned()));
    assert_eq!(
        conflicts(&long, &off),
        ["udev's name by path, enp129s0f1np1v10, is not used: a name has at most 15 bytes"]
    );
    for (name, why) in [("eth7", "itself"), ("sixteen-bytes-00", "15 bytes"), ("1", "only digits")]
    {
        let named =
            LinkFile { name: Some(name.to_owned()), ..link_file(&[("Path", "*3b*")], None) };
        let told = conflicts(&with_file("/etc/systemd/network/1.link", named), &off);
        assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
    }
}

#[test]
fn what_is_wrong_with_configured_names_is_told() {
    let node = machine(true, |_| {});
    let eno = explicit(vec![by(None, None, Some(0), "eno1")]);
    assert_eq!(
        conflicts(&node, &eno),
        [
            "the port would not get the name eno1: interface eno1 has it, and [naming] gives it to the port"
        ]
    );
    // Two ports may change names: both get theirs anew.
    let swapped = explicit(vec![by(None, None, Some(0), SECOND), by(None, None, Some(1), FIRST)]);
    assert_eq!(conflicts(&node, &swapped), [""; 0]);
    let twice = explicit(vec![by(None, None, Some(0), "a"), by(Some(mac(0)), None, None, "b")]);
    assert_eq!(
        conflicts(&node, &twice),
        ["the port has no one configured name: [naming] means it by several tables: a, b"]
    );
    let twins = machine(true, |node| first(node, SECOND).permanent_mac = Known(mac(0)));
    let told = conflicts(&twins, &explicit(vec![by(Some(mac(0)), None, None, "a")]));
    assert!(told.iter().any(|one| one.starts_with("a would be the name of two ports")), "{told:?}");
}
