//! Files of a MachineConfig: rendered from a configuration alone, and pins that give way to them.

use super::pins::pin;
use super::*;
use crate::config::{Config, Fragment};

const CONFIGURATION: &str = r#"
[naming]
policy = "explicit"
[[naming.ports]]
mac = "00:0f:53:00:00:00"
name = "fast0"
[[naming.ports]]
pci = "0000:af:00.0"
name = "fast1"
"#;
const BY_MAC: &str = "/etc/systemd/network/05-onload-000f53000000.link";
const BY_PCI: &str = "/etc/systemd/network/05-onload-pci-0000-af-00-0.link";

fn configured(text: &str) -> NamingSettings {
    let fragment = Fragment { file: "onloadd.toml".to_owned(), text: text.to_owned() };
    Config::merge(&[fragment]).unwrap().settings.naming
}

/// A rendered file as udev takes it.
fn read(text: &str) -> LinkFile {
    let (matches, link) = text.split_once("[Match]\n").unwrap().1.split_once("[Link]\n").unwrap();
    let pairs = |text: &str| -> BTreeMap<String, String> {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let name = pairs(link).remove("Name");
    LinkFile { matches: pairs(matches), name, name_policy: None }
}

/// The two ports with what is rendered from a configuration laid on the node.
fn node_with(text: &str, spoil: impl FnOnce(&mut Snapshot)) -> Snapshot {
    machine(true, |node| {
        let files = render(&configured(text)).unwrap();
        node.link_files =
            Known(files.iter().map(|(path, text)| (path.clone(), read(text))).collect());
        node.kubelet = Absent;
        node.network_root = Known(false);
        spoil(node);
    })
}

#[test]
fn a_configuration_alone_makes_files_that_say_whose_they_are() {
    let files = render(&configured(CONFIGURATION)).unwrap();
    let paths: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(paths, [BY_MAC, BY_PCI]);
    let (header, settings) = files[BY_MAC].split_once("\n\n").unwrap();
    assert!(header.lines().all(|line| line.starts_with("# ")), "{header}");
    assert!(header.contains("onloadd never writes, edits or removes this file"), "{header}");
    assert_eq!(
        settings,
        "[Match]\nPermanentMACAddress=00:0f:53:00:00:00\nType=ether\nKind=!*\n[Link]\nName=fast0\n\
         AlternativeNamesPolicy=database onboard slot path\nMACAddressPolicy=persistent\n"
    );
    assert!(files[BY_PCI].contains("\nPath=pci-0000:af:00.0 *-pci-0000:af:00.0\n"));
    for path in paths {
        let base = path.rsplit('/').next().unwrap();
        assert!(is_rendered(base) && !is_own(base) && base < Key::Mac(mac(0)).file().as_str());
    }
    for base in ["10-onloadd-000f53000000.link", "05-onload-x.network", "05-lan.link"] {
        assert!(!is_rendered(base), "{base}");
    }
    // The order of the tables is no matter.
    let mut turned = configured(CONFIGURATION);
    turned.ports.reverse();
    assert_eq!(render(&turned), Ok(files));
    for text in ["", "[naming]\npolicy = \"keep\"\n", "[naming]\npolicy = \"off\"\n"] {
        assert_eq!(render(&configured(text)), Ok(BTreeMap::new()), "{text}");
    }
}

#[test]
fn what_only_a_machine_could_tell_is_refused_in_three_parts() {
    let cases = [
        (by(None, None, Some(0), "fast0"), "by port-number 0, and only the machine tells"),
        (by(Some(MacAddress([0; 6])), None, None, "fast0"), "no port has the permanent address"),
        (
            by(Some(MacAddress([1, 0, 0, 0, 0, 9])), None, None, "fast0"),
            "no port has the permanent",
        ),
        (by(Some(mac(0)), None, None, "fast\"0"), "cannot hold that name"),
    ];
    for (port, why) in cases {
        let refusal =
            render(&explicit(vec![by(None, Some(PORTS[1]), None, "a"), port])).unwrap_err();
        assert!(refusal.what.starts_with("no link file was rendered for fast"), "{refusal}");
        assert!(refusal.why.contains(why) && !refusal.fix.is_empty(), "{refusal}");
    }
}

#[test]
fn no_pin_is_written_over_a_port_that_a_machineconfig_names() {
    let settings = configured(CONFIGURATION);
    let came_before: fn(&mut Snapshot) = |_| {};
    let in_force: fn(&mut Snapshot) = |node| udev(node, FIRST).link_file = Some(BY_MAC.to_owned());
    let unseen: fn(&mut Snapshot) = |node| first(node, FIRST).udev = Absent;
    let no_driver: fn(&mut Snapshot) = |node| node.interfaces = Known(BTreeMap::new());
    let no_card: fn(&mut Snapshot) = |node| {
        (node.interfaces, node.ports) = (Known(BTreeMap::new()), Known(BTreeMap::new()));
    };
    let pinned: fn(&mut Snapshot) = |node| {
        let old = [(Key::Mac(mac(0)), pin("fast0", &[])), (Key::Mac(mac(1)), pin(SECOND, &[]))];
        node.pins = Known(Pins::from(old));
    };
    for (number, spoil) in
        [came_before, in_force, unseen, no_driver, no_card, pinned].into_iter().enumerate()
    {
        let node = node_with(CONFIGURATION, spoil);
        let rows = planned(&node, &settings);
        let files = rows.iter().map(|row| row.given.as_ref().map(|given| given.file.as_str()));
        // Which port has an address is told by its interface, or by the table of a port that is not there.
        let found: BTreeSet<_> = files.flatten().collect();
        assert_eq!(found, [BY_MAC, BY_PCI].into(), "{number}");
        let wanted = wanted(&rows, &node, &settings, NamingPolicy::Explicit);
        assert_eq!(wanted.pins, Pins::new(), "{number}");
        let told = wanted.troubles.iter().filter(|one| one.weight > Weight::Aside);
        assert_eq!(told.count(), 0, "{number}: {:?}", wanted.troubles);
        if number != 3 && number != 4 {
            let kept = super::wanted(&rows, &node, &NamingSettings::default(), NamingPolicy::Keep);
            assert_eq!((kept.pins, kept.troubles), (Pins::new(), vec![]), "{number}");
        }
    }
}

#[test]
fn a_port_that_came_before_its_file_is_called_as_that_says() {
    let settings = configured(CONFIGURATION);
    let named = |node: &Snapshot, settings: &NamingSettings| {
        let rows = planned(node, settings);
        let found = renamings(&rows, node, false, &BTreeMap::new(), &BTreeSet::new());
        let all = found.all.iter().map(|one| format!("{} to {}", one.from, one.to));
        (all.collect::<Vec<_>>(), found.troubles.len())
    };
    let node = node_with(CONFIGURATION, |_| {});
    let both = vec![format!("{FIRST} to fast0"), format!("{SECOND} to fast1")];
    let keep = NamingSettings { policy: Some(NamingPolicy::Keep), ports: Vec::new() };
    for settings in [&settings, &keep] {
        assert_eq!(named(&node, settings), (both.clone(), 0));
    }
    // The file counts, not a pin that is still there.
    let pinned = node_with(CONFIGURATION, |node| {
        node.pins = Known(Pins::from([(Key::Mac(mac(0)), pin("old0", &[]))]));
    });
    assert_eq!(named(&pinned, &settings), (both, 0));
    // Two that want two names are told of each other.
    let mut other = settings.clone();
    other.ports[0].name = "other0".parse().unwrap();
    assert_eq!(named(&node, &other), (vec![format!("{SECOND} to fast1")], 0));
    let wanted = wanted(&planned(&node, &other), &node, &other, NamingPolicy::Explicit);
    assert_eq!(wanted.pins, Pins::new());
    let [trouble] = &wanted.troubles[..] else { panic!("{:?}", wanted.troubles) };
    assert_eq!(trouble.weight, Weight::Bars);
    assert_eq!(
        trouble.why,
        format!("a pin of other0 does not count: {BY_MAC} comes first and calls it fast0")
    );
    assert!(trouble.fix.contains("onloadctl naming render"), "{}", trouble.fix);
    // So is one for a port that has no interface yet.
    let node = node_with(CONFIGURATION, |node| node.interfaces = Known(BTreeMap::new()));
    let mut other = configured(CONFIGURATION);
    other.ports[1].name = "other1".parse().unwrap();
    let wanted = super::wanted(&planned(&node, &other), &node, &other, NamingPolicy::Explicit);
    assert_eq!(wanted.pins, Pins::new());
    let told: Vec<_> = wanted.troubles.iter().filter(|one| one.weight == Weight::Tells).collect();
    assert!(told.len() == 1 && told[0].why.contains("calls it fast1"), "{:?}", wanted.troubles);
}

#[test]
fn a_file_that_comes_before_the_machineconfigs_is_somebodys_own() {
    let node = node_with(CONFIGURATION, |node| {
        let by_path = link_file(&[("Path", "pci-0000:3b:00.0")], None);
        let own = LinkFile { name: Some("mine0".to_owned()), ..by_path };
        inner(&mut node.link_files).insert("/etc/systemd/network/01-own.link".to_owned(), own);
    });
    let rows = planned(&node, &configured(CONFIGURATION));
    assert_eq!((&rows[0].given, rows[1].given.is_some()), (&None, true));
    let gap = machine(true, |node| node.link_files = Unreadable("EIO".to_owned()));
    assert_eq!(planned(&gap, &NamingSettings::default())[0].given, None);
}
