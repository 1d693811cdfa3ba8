//! `.link` files that give no name.

use super::*;

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
