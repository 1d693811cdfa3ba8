//! Who sets links up, from what NetworkManager and systemd-networkd keep about each while they run.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::network::Owner;
use onload_core::reading::Reading;

use super::super::attribute;
use super::super::root::Dir;

/// A file for each link that NetworkManager knows, named by its number.
const NETWORK_MANAGER: &str = "run/NetworkManager/devices";
/// A file for each link that systemd-networkd knows, named by its number.
const NETWORKD: &str = "run/systemd/netif/links";
/// A dozen lines of text; lists of name servers make them longer.
const FILE_BYTES: usize = 64 << 10;

/// By number of the link; those that nobody has are left out.
pub(super) fn read(root: &Dir, links: &BTreeSet<u32>) -> Reading<BTreeMap<u32, Owner>> {
    let mut owners = BTreeMap::new();
    // Where both have one, NetworkManager's own mark decides: networkd keeps files of all it sees.
    for (directory, owner) in [
        (NETWORKD, networkd as fn(&str) -> Option<Owner>),
        (NETWORK_MANAGER, network_manager as fn(&str) -> Option<Owner>),
    ] {
        let names = match root.list(directory) {
            Reading::Known(names) => names,
            Reading::Absent => continue,
            Reading::Unreadable(why) => return unreadable(directory, &why),
        };
        let known = names.keys().filter_map(|name| name.parse().ok());
        for index in known.filter(|index| links.contains(index)) {
            let path = format!("{directory}/{index}");
            match root.read(&path, FILE_BYTES).and_then(attribute::text) {
                Reading::Known(text) => owners.extend(owner(&text).map(|owner| (index, owner))),
                Reading::Absent => {}
                Reading::Unreadable(why) => return unreadable(&path, &why),
            }
        }
    }
    Reading::Known(owners)
}

fn unreadable<T>(path: &str, why: &str) -> Reading<T> {
    Reading::Unreadable(format!("/{path}: {why}"))
}

/// A link that it manages with a connection; without one it would not do anything again.
fn network_manager(text: &str) -> Option<Owner> {
    let mut group = "";
    let (mut managed, mut connection) = (false, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            group = line;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| group == "[device]") {
            match key.trim() {
                "managed" => managed = value.trim() == "true",
                "connection-uuid" => connection = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    connection.filter(|uuid| managed && !uuid.is_empty()).map(Owner::NetworkManager)
}

fn networkd(text: &str) -> Option<Owner> {
    let state = text.lines().find_map(|line| line.strip_prefix("ADMIN_STATE="))?;
    ["configured", "configuring"].contains(&state.trim()).then_some(Owner::Networkd)
}

#[cfg(test)]
mod tests {
    use super::super::super::root::tests::root_with;
    use super::*;

    const MANAGED: &str = "[device]\nmanaged=true\nconnection-uuid=7a5c\nnm-owned=true\n";

    #[test]
    fn a_link_is_its_owners_by_what_they_keep_of_it() {
        let (_place, root) = root_with(&[
            ("run/NetworkManager/devices/2", MANAGED),
            ("run/NetworkManager/devices/3", "[device]\nmanaged=false\nconnection-uuid=7a5c\n"),
            ("run/NetworkManager/devices/4", "[device]\nmanaged=true\n"),
            ("run/NetworkManager/devices/5", "[other]\nmanaged=true\nconnection-uuid=7a5c\n"),
            ("run/NetworkManager/devices/9", MANAGED),
            ("run/NetworkManager/devices/odd", MANAGED),
            ("run/systemd/netif/links/2", "ADMIN_STATE=configured\n"),
            ("run/systemd/netif/links/6", "# private\nADMIN_STATE=configuring\nOPER_STATE=x\n"),
            ("run/systemd/netif/links/7", "ADMIN_STATE=unmanaged\n"),
        ]);
        let expected =
            BTreeMap::from([(2, Owner::NetworkManager("7a5c".to_owned())), (6, Owner::Networkd)]);
        assert_eq!(read(&root, &BTreeSet::from([2, 3, 4, 5, 6, 7])), Reading::Known(expected));
        let nobody = root_with(&[]).1;
        assert_eq!(read(&nobody, &BTreeSet::from([2])), Reading::Known(BTreeMap::new()));
    }

    #[test]
    fn an_owner_that_cannot_be_read_is_a_gap() {
        let (_place, root) = root_with(&[("run/NetworkManager/devices/2", "managed\0")]);
        let found = read(&root, &BTreeSet::from([2]));
        assert!(found.why_not().unwrap().starts_with("/run/NetworkManager/devices/2: "));
    }
}
