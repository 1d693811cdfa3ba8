//! What `.link` files make of a port's name.

use super::*;

#[test]
fn a_link_file_that_looks_at_the_port_names_it_for_every_driver() {
    let path = "/etc/systemd/network/10-fast.link";
    let same = [
        vec![("PermanentMACAddress", "00:0f:53:00:00:05 00-0F-53-00-00-00")],
        vec![("Path", "pci-0000:3b:00.?")],
        vec![("Path", "pci-0000:3b:00.0"), ("Type", "ether"), ("Driver", "sfc*"), ("Kind", "!*")],
        vec![("OriginalName", "*"), ("PermanentMACAddress", "00:0f:53:00:00:00")],
    ];
    for matches in same {
        let node = with_file(path, link_file(&matches, None));
        for release in ["9.2.1", "4.7", "5.1", IN_TREE] {
            let told = foretold(&node, release);
            assert_eq!(told.name.as_deref(), Some("fast0"), "{matches:?}: {}", told.why);
            assert!(told.why.starts_with(path), "{}", told.why);
        }
    }
    let others = [
        vec![],
        vec![("PermanentMACAddress", "00:0f:53:00:00:05")],
        vec![("Path", "pci-0000:af:*")],
        vec![("Driver", "igb"), ("Property", "A=1")],
        vec![("Type", "wlan")],
        vec![("MACAddress", "00:0f:53:00:00:07")],
    ];
    for matches in others {
        let told = foretold(&with_file(path, link_file(&matches, None)), "9.2.1");
        assert_eq!(told.name.as_deref(), Some("ens1f0"), "{matches:?}: {}", told.why);
    }
    let unsure = [
        vec![("MACAddress", "00:0f:53:00:00:00")],
        vec![("MACAddress", "00:0f:53:00:00:09")],
        vec![("Property", "A=1")],
        vec![("Driver", "!sfc")],
        vec![("OriginalName", "eth*")],
        vec![("PermanentMACAddress", "000f.5300.0000")],
    ];
    for matches in unsure {
        let told = foretold(&with_file(path, link_file(&matches, None)), "9.2.1");
        assert_eq!(told.name, None, "{matches:?}: {}", told.why);
        assert!(told.why.contains("fast0"), "{}", told.why);
    }
}

#[test]
fn only_what_comes_before_the_file_in_force_counts_and_a_policy_comes_before_a_name() {
    let by_path = [("Path", "pci-0000:3b:00.0")];
    let of = |path: &str, policy| foretold(&with_file(path, link_file(&by_path, policy)), "9.2.1");
    assert_eq!(of("/etc/systemd/network/99-zz.link", None).name.as_deref(), Some("ens1f0"));
    assert_eq!(
        of("/usr/lib/systemd/network/10-a.link", Some("keep")).name.as_deref(),
        Some("fast0")
    );
    let both = of("/etc/systemd/network/10-a.link", Some("keep slot"));
    assert!(both.name.is_none() && both.why.contains("NamePolicy="), "{}", both.why);
    let gap = machine(true, |node| node.link_files = Unreadable("EIO".to_owned()));
    assert_eq!(foretold(&gap, "9.2.1").name, None);
    // By file name, wherever each lies.
    let node = machine(true, |node| {
        let late = LinkFile { name: Some("late0".to_owned()), ..link_file(&by_path, None) };
        node.link_files = Known(BTreeMap::from([
            ("/etc/systemd/network/20-a.link".to_owned(), late),
            ("/usr/lib/systemd/network/10-b.link".to_owned(), link_file(&by_path, None)),
        ]));
    });
    assert_eq!(foretold(&node, "9.2.1").name.as_deref(), Some("fast0"));
}

#[test]
fn a_file_without_a_name_takes_the_port_from_those_behind_it() {
    let by_path = [("Path", "pci-0000:3b:00.0")];
    let with = |matches: &[(&str, &str)], in_force: Option<&str>| {
        let node = machine(true, |node| {
            let nameless = LinkFile { name: None, ..link_file(matches, None) };
            node.link_files = Known(BTreeMap::from([
                ("/etc/systemd/network/20-a.link".to_owned(), link_file(&by_path, None)),
                ("/usr/lib/systemd/network/10-b.link".to_owned(), nameless),
            ]));
            if let Some(file) = in_force {
                udev(node, FIRST).link_file = Some(file.to_owned());
            }
        });
        foretold(&node, "9.2.1")
    };
    // Not yet asked by udev: it may have come since.
    let told = with(&by_path, None);
    assert!(told.name.is_none() && told.why.contains("10-b.link will count"), "{}", told.why);
    let told = with(&by_path, Some("/usr/lib/systemd/network/10-b.link"));
    assert_eq!(told.name.as_deref(), Some("ens1f0"), "as it names today: {}", told.why);
    for other in [("Path", "pci-0000:af:*"), ("Property", "A=1")] {
        let told = with(&[other], None);
        assert_eq!(told.name.as_deref(), Some("fast0"), "{other:?}: {}", told.why);
    }
}

#[test]
fn with_the_driver_of_today_udev_has_decided_whatever_is_not_understood() {
    const FILE: &str = "/etc/systemd/network/10-a.link";
    let matched = machine(true, |node| {
        let file =
            LinkFile { name: Some(FIRST.to_owned()), ..link_file(&[("Property", "A=1")], None) };
        node.link_files = Known(BTreeMap::from([(FILE.to_owned(), file)]));
        udev(node, FIRST).link_file = Some(FILE.to_owned());
        udev(node, FIRST).slot = None;
    });
    let told = foretold(&matched, IN_TREE);
    assert_eq!(told.name.as_deref(), Some(FIRST), "{}", told.why);
    assert_eq!(told.why, format!("udev's own evaluation: Name=, by {FILE}"));
    assert_eq!(foretold(&matched, "9.2.1").name, None);
    let passed_by = with_file(FILE, link_file(&[("Property", "A=1")], None));
    let told = foretold(&passed_by, IN_TREE);
    assert_eq!(told.why, format!("udev's own evaluation: slot, by {DEFAULT}"));
}
