//! What is pinned by each policy.

use super::*;

pub(super) fn pin(name: &str, altnames: &[&str]) -> Pin {
    let altnames = altnames.iter().map(|one| (*one).to_owned()).collect();
    Pin { name: name.parse().unwrap(), altnames }
}

pub(super) fn pci(port: usize) -> Key {
    Key::Pci(PORTS[port].parse().unwrap())
}

fn of(node: &Snapshot, settings: &NamingSettings, policy: NamingPolicy) -> Wanted {
    wanted(&planned(node, settings), node, settings, policy)
}

fn kept(node: &Snapshot) -> Wanted {
    of(node, &NamingSettings::default(), NamingPolicy::Keep)
}

fn chosen(node: &Snapshot, ports: Vec<PortNaming>) -> Wanted {
    of(node, &explicit(ports), NamingPolicy::Explicit)
}

/// Pins by key, and why others are not as asked.
fn told(wanted: &Wanted) -> (Vec<(String, String)>, Vec<String>) {
    let pins = wanted.pins.iter().map(|(key, pin)| (key.to_string(), pin.name.to_string()));
    (pins.collect(), wanted.troubles.iter().map(|one| one.why.clone()).collect())
}

fn pairs(pins: &[(&str, &str)]) -> Vec<(String, String)> {
    pins.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect()
}

const MAC_0: &str = "mac 00:0f:53:00:00:00";
const MAC_1: &str = "mac 00:0f:53:00:00:01";
const PCI_0: &str = "pci 0000:3b:00.0";
const PCI_1: &str = "pci 0000:af:00.0";

#[test]
fn a_key_reads_back_and_names_its_file() {
    for (text, file) in
        [(MAC_0, "10-onloadd-000f53000000.link"), (PCI_1, "10-onloadd-pci-0000-af-00-0.link")]
    {
        let key: Key = text.parse().unwrap();
        assert_eq!((key.to_string().as_str(), key.file().as_str()), (text, file));
    }
    for text in ["", "mac", "mac x", "name ens1", "pci 00:0f:53:00:00:00"] {
        assert!(text.parse::<Key>().is_err(), "{text}");
    }
}

#[test]
fn what_ports_are_called_is_kept_by_what_tells_them_apart() {
    let all = kept(&machine(true, |_| {}));
    assert_eq!(told(&all), (pairs(&[(MAC_0, FIRST), (MAC_1, SECOND)]), vec![]));
    // Members of a bond share the address of the moment, which is nobody's.
    assert!(all.awaited.is_empty());
    let by_place: [fn(&mut Snapshot); 5] = [
        |node| first(node, FIRST).permanent_mac = Known(mac(1)),
        |node| first(node, FIRST).permanent_mac = Known(MacAddress([0; 6])),
        |node| first(node, FIRST).permanent_mac = Known(MacAddress([1, 0, 0, 0, 0, 1])),
        |node| first(node, FIRST).permanent_mac = Unreadable("EIO".to_owned()),
        |node| first(node, "eno1").permanent_mac = Known(mac(0)),
    ];
    for spoil in by_place {
        let (pins, troubles) = told(&kept(&machine(true, spoil)));
        assert!(pins.contains(&pairs(&[(PCI_0, FIRST)])[0]), "{pins:?}");
        assert_eq!((pins.len(), troubles.len()), (2, 0), "{troubles:?}");
    }
    // The address of a virtual function is set by whoever uses it.
    let virtual_one = machine(true, |node| port_of(node, 0).device = Known(0x1b03));
    assert_eq!(told(&kept(&virtual_one)).0, pairs(&[(MAC_1, SECOND), (PCI_0, FIRST)]));
}

#[test]
fn a_pin_stays_whatever_its_port_is_called_and_whether_it_is_there() {
    let pins = Pins::from([
        (Key::Mac(mac(0)), pin("old0", &["older0"])),
        (Key::Mac(mac(7)), pin("gone0", &[])),
        (pci(1), pin("old1", &[])),
    ]);
    let node = machine(true, |node| node.pins = Known(pins.clone()));
    assert_eq!(kept(&node).pins, pins);
    let rows = planned(&node, &NamingSettings::default());
    assert_eq!(rows[0].pinned, Some((Key::Mac(mac(0)), pin("old0", &["older0"]))));
    assert_eq!(rows[1].pinned, Some((pci(1), pin("old1", &[]))));
    let blind = machine(true, |node| {
        node.pins = Known(pins.clone());
        node.interfaces = Unreadable("EIO".to_owned());
    });
    assert_eq!(kept(&blind).pins, pins);
    assert_eq!(chosen(&blind, vec![]).pins, pins, "a gap is no absence");
    assert_eq!(of(&node, &NamingSettings::default(), NamingPolicy::Off), Wanted::default());
}

#[test]
fn a_name_goes_to_the_port_that_is_there() {
    let node = machine(true, |node| {
        node.pins = Known(Pins::from([(Key::Mac(mac(7)), pin(FIRST, &[]))]));
    });
    assert_eq!(told(&kept(&node)), (pairs(&[(MAC_0, FIRST), (MAC_1, SECOND)]), vec![]));
    // Of one that is there it is not taken.
    let node = machine(true, |node| {
        node.pins = Known(Pins::from([(Key::Mac(mac(1)), pin(FIRST, &[]))]));
    });
    let (pins, troubles) = told(&kept(&node));
    assert_eq!(pins, pairs(&[(MAC_1, FIRST)]));
    assert_eq!(
        troubles,
        ["ens1f0np0 is not pinned: it is pinned already, for mac 00:0f:53:00:00:01"]
    );
}

#[test]
fn a_pin_that_matches_two_ports_becomes_two() {
    let node = machine(true, |node| {
        first(node, SECOND).permanent_mac = Known(mac(0));
        node.pins = Known(Pins::from([(Key::Mac(mac(0)), pin(SECOND, &["old1"]))]));
    });
    let wanted = kept(&node);
    let expected = [(pci(0), pin(FIRST, &[])), (pci(1), pin(SECOND, &["old1"]))];
    assert_eq!(wanted.pins, Pins::from(expected));
}

#[test]
fn what_udev_has_not_named_or_the_kernel_counts_is_not_pinned() {
    let renaming = machine(true, |node| udev(node, FIRST).renaming = true);
    let undone = machine(true, |node| {
        first(node, FIRST).index = 7;
        first(node, SECOND).index = 8;
        node.udev_done = Known([8].into());
    });
    for node in [renaming, undone] {
        let wanted = kept(&node);
        assert_eq!(wanted.awaited, [PORTS[0].parse().unwrap()].into());
        assert_eq!(told(&wanted), (pairs(&[(MAC_1, SECOND)]), vec![]));
    }
    let counted = machine(true, |node| {
        let all = inner(&mut node.interfaces);
        let one = all.remove(&FIRST.parse().unwrap()).unwrap();
        all.insert("eth0".parse().unwrap(), one);
    });
    let wanted = kept(&counted);
    assert_eq!((wanted.pins.len(), wanted.troubles[0].weight), (1, Weight::Tells));
    assert!(wanted.troubles[0].why.starts_with("eth0 is not pinned: the kernel gives"));
}

#[test]
fn a_file_that_comes_first_names_the_port() {
    let by_path = [("Path", "pci-0000:3b:00.0")];
    let named = |path: &str, name: &str| {
        let file = LinkFile { name: Some(name.to_owned()), ..link_file(&by_path, None) };
        machine(true, |node| node.link_files = Known(BTreeMap::from([(path.to_owned(), file)])))
    };
    let other = kept(&named("/usr/lib/systemd/network/05-a.link", "fast0"));
    assert_eq!(told(&other).0, pairs(&[(MAC_1, SECOND)]));
    assert_eq!(
        told(&other).1,
        [
            "a pin of ens1f0np0 does not count: /usr/lib/systemd/network/05-a.link comes first and calls it fast0"
        ]
    );
    for (path, name) in [
        ("/etc/systemd/network/05-a.link", FIRST),
        ("/etc/systemd/network/20-a.link", "fast0"),
        // One of ours.
        ("/etc/systemd/network/10-onloadd-000f53000000.link", "fast0"),
    ] {
        let wanted = kept(&named(path, name));
        assert_eq!((wanted.pins.len(), told(&wanted).1.len()), (2, 0), "{path}");
    }
    let table = || vec![by(None, Some(PORTS[0]), None, "sfc0")];
    let wanted = chosen(&named("/etc/systemd/network/05-a.link", "fast0"), table());
    assert_eq!((wanted.pins.len(), wanted.troubles[0].weight), (0, Weight::Bars));
    // What is in force and has no name of its own leaves it to the driver.
    let in_force = machine(true, |node| {
        udev(node, FIRST).link_file = Some("/etc/systemd/network/05-mtu.link".to_owned());
    });
    let wanted = kept(&in_force);
    assert_eq!((wanted.pins.len(), wanted.troubles[0].weight), (2, Weight::Tells));
    // Who was called otherwise than udev came to may have a rule, which comes before every file.
    let ruled = machine(true, |node| {
        udev(node, FIRST).name = Some("ens9".to_owned());
        first(node, FIRST).name_origin = Known(NameOrigin::Renamed);
    });
    assert_eq!(told(&kept(&ruled)).1.len(), 0, "it will be called so again");
    let wanted = chosen(&ruled, table());
    assert_eq!((wanted.pins.len(), wanted.troubles[0].weight), (1, Weight::Tells));
    assert!(wanted.troubles[0].why.contains("a rule with NAME=?"), "{:?}", wanted.troubles);
}

#[test]
fn no_pin_switches_off_a_file_of_somebodys_own() {
    const OWN: &str = "/etc/systemd/network/50-sfc.link";
    let in_force = |path: &str, name: Option<&str>| {
        machine(true, |node| {
            let by_path = link_file(&[("Path", "pci-0000:3b:00.0")], None);
            let file = LinkFile { name: name.map(str::to_owned), ..by_path };
            node.link_files = Known(BTreeMap::from([(path.to_owned(), file)]));
            udev(node, FIRST).link_file = Some(path.to_owned());
        })
    };
    let asked = NamingSettings { policy: Some(NamingPolicy::Keep), ports: Vec::new() };
    let table = || vec![by(None, Some(PORTS[0]), None, "sfc0")];
    // One that names the port is as good as a pin.
    let named = in_force(OWN, Some(FIRST));
    for settings in [NamingSettings::default(), asked.clone()] {
        let wanted = of(&named, &settings, NamingPolicy::Keep);
        assert_eq!(told(&wanted), (pairs(&[(MAC_1, SECOND)]), vec![]));
    }
    let sfc0 = in_force(OWN, Some("sfc0"));
    assert_eq!(told(&chosen(&sfc0, table())), (vec![], vec![]));
    // Else what it sets beside names would be lost.
    let nameless = in_force(OWN, None);
    let mut unlisted = nameless.clone();
    unlisted.link_files = Unreadable("EIO".to_owned());
    let added = machine(true, |node| udev(node, FIRST).drop_ins = Some("a.conf".to_owned()));
    let default = machine(true, |node| {
        udev(node, FIRST).link_file = Some("/etc/systemd/network/99-default.link".to_owned());
    });
    for node in [&nameless, &unlisted, &sfc0, &added, &default] {
        let kept = kept(node);
        let barred = of(node, &asked, NamingPolicy::Keep);
        for (wanted, weight) in [(&kept, Weight::Tells), (&barred, Weight::Bars)] {
            assert_eq!(told(wanted).0, pairs(&[(MAC_1, SECOND)]));
            assert_eq!(wanted.troubles[0].weight, weight);
            assert!(wanted.troubles[0].fix.contains("`Name=ens1f0np0`"), "{:?}", wanted.troubles);
        }
    }
    let wanted = chosen(&nameless, table());
    assert_eq!((wanted.pins.len(), wanted.troubles[0].weight), (0, Weight::Bars));
    assert_eq!(
        (wanted.troubles[0].why.as_str(), wanted.troubles[0].fix.as_str()),
        (
            "sfc0 is not pinned: /etc/systemd/network/50-sfc.link would no longer count for it",
            "add `Name=sfc0` to /etc/systemd/network/50-sfc.link, which is then for this port alone, or remove that file"
        )
    );
    // One that was removed since switches nothing, and one that comes first stays in force.
    let mut removed = nameless.clone();
    removed.link_files = Known(BTreeMap::new());
    assert_eq!(told(&kept(&removed)), (pairs(&[(MAC_0, FIRST), (MAC_1, SECOND)]), vec![]));
    assert_eq!(kept(&in_force("/etc/systemd/network/05-mtu.link", None)).pins.len(), 2);
}

#[test]
fn tables_pin_by_what_they_say_and_keep_former_names_beside() {
    let wanted = chosen(
        &machine(true, |node| {
            node.pins = Known(Pins::from([(Key::Mac(mac(0)), pin("old0", &["older0"]))]));
        }),
        vec![
            by(Some(mac(0)), None, None, "fifteen-bytes-0"),
            by(None, None, Some(1), SECOND),
            by(Some(mac(5)), None, None, "later0"),
            by(None, Some("0000:d8:00.0"), None, "later1"),
            by(None, None, Some(9), "never9"),
        ],
    );
    let expected = [
        (Key::Mac(mac(0)), pin("fifteen-bytes-0", &[FIRST, "older0"])),
        (pci(1), pin(SECOND, &[])),
        (Key::Mac(mac(5)), pin("later0", &[])),
        (Key::Pci("0000:d8:00.0".parse().unwrap()), pin("later1", &[])),
    ];
    assert_eq!(wanted.pins, Pins::from(expected));
    let weights: Vec<_> = wanted.troubles.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [Weight::Aside; 3], "{:?}", wanted.troubles);
    // A port without a table is left alone, and its pin goes.
    let node = machine(true, |node| {
        node.pins = Known(Pins::from([(Key::Mac(mac(1)), pin("old1", &[]))]));
    });
    assert_eq!(chosen(&node, vec![]).pins, Pins::new());
}

#[test]
fn two_names_may_be_swapped_and_neither_is_the_others_second() {
    let wanted = chosen(
        &machine(true, |_| {}),
        vec![by(None, None, Some(0), SECOND), by(None, None, Some(1), FIRST)],
    );
    assert_eq!(wanted.pins, Pins::from([(pci(0), pin(SECOND, &[])), (pci(1), pin(FIRST, &[]))]));
    assert_eq!(wanted.troubles, []);
    // Nor is what another has already, or what the kernel counts.
    let named = machine(true, |node| {
        let all = inner(&mut node.interfaces);
        let one = all.remove(&FIRST.parse().unwrap()).unwrap();
        all.insert("eth0".parse().unwrap(), one);
        first(node, SECOND).altnames.insert("old0".to_owned());
        node.pins = Known(Pins::from([(pci(0), pin("x", &["old0"]))]));
    });
    let wanted = chosen(&named, vec![by(None, None, Some(0), "sfc0")]);
    assert_eq!(wanted.pins, Pins::from([(pci(0), pin("sfc0", &[]))]));
}

#[test]
fn a_name_that_cannot_be_had_bars_and_leaves_the_pin_there_is() {
    type Spoil = fn(&mut Snapshot);
    let twins: Spoil = |node| first(node, SECOND).permanent_mac = Known(mac(0));
    let cases: [(&str, Spoil, Vec<PortNaming>); 8] = [
        ("interface eno1 has it", |_| {}, vec![by(None, None, Some(0), "eno1")]),
        (
            "interface eno1 has it",
            |node| {
                first(node, "eno1").altnames.insert("lan0".to_owned());
            },
            vec![by(None, None, Some(0), "lan0")],
        ),
        (
            "by several tables",
            |_| {},
            vec![by(None, None, Some(0), "a"), by(Some(mac(0)), None, None, "b")],
        ),
        ("has it too", twins, vec![by(Some(mac(0)), None, None, "a")]),
        ("not only digits", |_| {}, vec![by(None, None, Some(0), "42")]),
        ("the kernel gives such names", |_| {}, vec![by(None, None, Some(0), "eth7")]),
        (
            "several interfaces have the address",
            |node| first(node, "eno1").permanent_mac = Known(mac(0)),
            vec![by(Some(mac(0)), None, None, "a")],
        ),
        (
            "no port has the permanent address",
            |node| first(node, FIRST).permanent_mac = Known(MacAddress([0; 6])),
            vec![by(Some(MacAddress([0; 6])), None, None, "a")],
        ),
    ];
    for (part, spoil, tables) in cases {
        let node = machine(true, |node| {
            spoil(node);
            node.pins = Known(Pins::from([(pci(0), pin("old0", &[]))]));
        });
        let wanted = chosen(&node, tables);
        let bars = wanted.troubles.iter().find(|one| one.weight == Weight::Bars);
        assert!(bars.is_some_and(|one| one.why.contains(part)), "{part}: {:?}", wanted.troubles);
        assert!(wanted.troubles.iter().all(|one| !one.fix.is_empty()));
        assert_eq!(wanted.pins, Pins::from([(pci(0), pin("old0", &[]))]), "{part}");
    }
}

#[test]
fn a_name_that_another_has_waits_for_a_port_that_is_not_there() {
    let wanted = chosen(&machine(true, |_| {}), vec![by(Some(mac(5)), None, None, "eno1")]);
    assert_eq!(wanted.pins, Pins::new());
    let weights: Vec<_> = wanted.troubles.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [Weight::Aside, Weight::Tells]);
    // A former pin is not kept where another port gets its name.
    let node = machine(true, |node| {
        node.pins = Known(Pins::from([(pci(0), pin("sfc1", &[]))]));
    });
    let wanted =
        chosen(&node, vec![by(None, None, Some(0), "eno1"), by(None, None, Some(1), "sfc1")]);
    assert_eq!(wanted.pins, Pins::from([(pci(1), pin("sfc1", &[SECOND]))]));
}
