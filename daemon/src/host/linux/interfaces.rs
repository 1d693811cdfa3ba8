//! Network interfaces: what rtnetlink and ethtool netlink say, joined by interface index.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::{Interface, Port};
use onload_core::names::{InterfaceName, PciAddress};
use onload_core::reading::Reading;

use super::links::LinkMessage;
use super::root::Dir;
use super::source::{Question, Source};
use super::{addresses, attribute, ethtool, links, routes, udev};

/// Some fifty bytes for each group, of which a node with a thousand interfaces has some thousands.
const MULTICAST_BYTES: usize = 4 << 20;

/// Every interface of the network namespace. One whose name leads elsewhere by the time it is
/// looked up is left to the next look.
pub(super) async fn read(
    root: &Dir,
    source: &Source,
    ports: &Reading<BTreeMap<PciAddress, Port>>,
) -> Reading<BTreeMap<InterfaceName, Interface>> {
    let links = source.ask(root, Question::Links).await;
    let links = links.and_then(|answer| links::parse(&answer));
    let modes = source.ask(root, Question::LinkModes).await;
    let speeds = modes.and_then(|answer| ethtool::speeds(&answer));
    let timestamping = source.ask(root, Question::Timestamping).await;
    let clocks = timestamping.and_then(|answer| ethtool::clocks(&answer));
    let addresses = source.ask(root, Question::Addresses).await;
    let addresses = addresses.and_then(|answer| addresses::parse(&answer));
    let routes = source.ask(root, Question::Routes).await;
    let routes = routes.and_then(|answer| routes::parse(&answer));
    let multicast = multicast_users(root);
    let one_of = |values: &Reading<BTreeMap<u32, u32>>, index: u32| {
        values.as_ref().and_then(|values| values.get(&index).copied().into())
    };
    links.map(|links| {
        let interfaces = links.into_iter().filter_map(|link| {
            let name = link.name.parse().ok()?;
            let port = port_of(root, &link, ports)?;
            let names = port.known().is_some().then(|| udev::names(root, &link.name, link.index));
            let (name_origin, udev) = names.unwrap_or_default();
            let interface = Interface {
                // One that is not in an answer that came has none.
                addresses: addresses
                    .as_ref()
                    .map(|all| all.get(&link.index).cloned().unwrap_or_default()),
                routes: routes
                    .as_ref()
                    .map(|all| all.get(&link.index).copied().unwrap_or_default()),
                uppers: uppers(root, &link.name),
                multicast_users: one_of(&multicast, link.index),
                index: link.index,
                altnames: link.altnames,
                port,
                driver: driver(root, &link.name),
                mac: link.mac,
                permanent_mac: link.permanent_mac,
                link: Reading::Known(link.link),
                speed_mbps: one_of(&speeds, link.index),
                phys_port_name: link.phys_port_name.into(),
                name_origin,
                udev,
                phc_index: one_of(&clocks, link.index),
            };
            Some((name, interface))
        });
        interfaces.collect()
    })
}

/// The driver of the device below an interface; for virtio that is not the function's.
fn driver(root: &Dir, name: &str) -> Reading<String> {
    root.link(&format!("sys/class/net/{name}/device/driver")).and_then(attribute::last_component)
}

/// Interfaces stacked on one, which sysfs shows as links named after them. Absent without a directory
/// in sysfs: the interface went away, or a capture shows none.
fn uppers(root: &Dir, name: &str) -> Reading<BTreeSet<InterfaceName>> {
    const PREFIX: &str = "upper_";
    let path = format!("sys/class/net/{name}");
    root.names(&path, |entry| entry.starts_with(PREFIX)).map(|names| {
        let uppers = names.iter().filter_map(|name| name.strip_prefix(PREFIX));
        uppers.filter_map(|name| name.parse().ok()).collect()
    })
}

/// How often the group of all hosts was asked of each interface, by index. Lines are index, name,
/// users, users by hand, address; lists that are empty have none.
fn multicast_users(root: &Dir) -> Reading<BTreeMap<u32, u32>> {
    const FILE: &str = "proc/net/dev_mcast";
    const ALL_HOSTS: &str = "01005e000001";
    root.read(FILE, MULTICAST_BYTES).and_then(attribute::text).map(|text| {
        let users = text.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (index, users) = (words.next()?, words.nth(1)?);
            let address = words.nth(1)?;
            (address == ALL_HOSTS).then_some((index.parse().ok()?, users.parse().ok()?))
        });
        users.collect()
    })
}

/// The PCI function an interface belongs to. None means that the interface is not what netlink
/// said any more.
fn port_of(
    root: &Dir,
    link: &LinkMessage,
    ports: &Reading<BTreeMap<PciAddress, Port>>,
) -> Option<Reading<PciAddress>> {
    match &link.parent {
        None => Some(Reading::Absent),
        Some((name, bus)) if bus == "pci" => Some(attribute::value(name.clone())),
        // On another bus, such as virtio or auxiliary, that may itself lie on a PCI function.
        Some(_) => {
            let path = format!("sys/class/net/{}", link.name);
            let seen = root.subject(&path, |dir| (dir.line("ifindex"), root.link(&path)));
            let (index, target) = match seen {
                Reading::Known(seen) => seen,
                Reading::Absent => return None,
                Reading::Unreadable(why) => return Some(Reading::Unreadable(why)),
            };
            match index.and_then(attribute::value::<u32>) {
                Reading::Known(index) if index == link.index => {}
                Reading::Known(_) | Reading::Absent => return None,
                Reading::Unreadable(why) => return Some(Reading::Unreadable(why)),
            }
            Some(target.and_then(|target| {
                match nearest_function(&target) {
                    None => Reading::Absent,
                    // A USB adapter lies below a function too, but that one is no network port.
                    Some(address) => ports
                        .as_ref()
                        .and_then(|ports| ports.contains_key(&address).then_some(address).into()),
                }
            }))
        }
    }
}

/// The last PCI address on the way to a device.
fn nearest_function(target: &str) -> Option<PciAddress> {
    target.rsplit('/').find_map(|component| component.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use onload_core::inventory::Link;

    use super::super::root::tests::{before, root_with};
    use super::*;

    fn virtio(name: &str, index: u32) -> LinkMessage {
        LinkMessage {
            index,
            name: name.to_owned(),
            altnames: BTreeSet::new(),
            mac: Reading::Absent,
            permanent_mac: Reading::Absent,
            link: Link::Up,
            phys_port_name: None,
            parent: Some(("virtio2".to_owned(), "virtio".to_owned())),
        }
    }

    const DEVICE: &str = "sys/devices/pci0000:00/0000:00:03.0/virtio2/net/eth0";

    /// A root with one virtio interface of index 4, and the ports of it.
    fn one_interface() -> (tempfile::TempDir, Dir, Reading<BTreeMap<PciAddress, Port>>) {
        let index = format!("{DEVICE}/ifindex");
        let (place, root) = root_with(&[(&index, "4\n")]);
        fs::create_dir_all(place.path().join("sys/class/net")).unwrap();
        let target = format!("../../{}", DEVICE.strip_prefix("sys/").unwrap());
        symlink(target, place.path().join("sys/class/net/eth0")).unwrap();
        let port = ("0000:00:03.0".parse().unwrap(), Port::default());
        (place, root, Reading::Known(BTreeMap::from([port])))
    }

    #[test]
    fn an_interface_on_another_bus_belongs_to_the_function_below() {
        let (_place, root, ports) = one_interface();
        let address = Reading::Known("0000:00:03.0".parse().unwrap());
        assert_eq!(port_of(&root, &virtio("eth0", 4), &ports), Some(address));
        let none = Reading::Known(BTreeMap::new());
        assert_eq!(port_of(&root, &virtio("eth0", 4), &none), Some(Reading::Absent));
    }

    #[test]
    fn an_interface_whose_name_leads_elsewhere_is_left_to_the_next_look() {
        let (place, root, ports) = one_interface();
        assert_eq!(port_of(&root, &virtio("eth1", 4), &ports), None, "renamed before");
        assert_eq!(port_of(&root, &virtio("eth0", 9), &ports), None, "its name given to another");
        let class = place.path().join("sys/class/net/eth0");
        before(&root, "sys/class/net/eth0/ifindex", 1, move || fs::remove_file(class).unwrap());
        assert_eq!(port_of(&root, &virtio("eth0", 4), &ports), None, "gone while it was read");
    }

    #[test]
    fn what_is_stacked_on_an_interface_stands_in_its_directory() {
        let (place, root, _) = one_interface();
        assert_eq!(uppers(&root, "eth0"), Reading::Known(BTreeSet::new()));
        for upper in ["bond0", "eth0.100"] {
            let link = place.path().join(DEVICE).join(format!("upper_{upper}"));
            symlink(format!("../../{upper}"), link).unwrap();
        }
        let expected = ["bond0", "eth0.100"].map(|name| name.parse().unwrap());
        assert_eq!(uppers(&root, "eth0"), Reading::Known(BTreeSet::from(expected)));
        assert_eq!(uppers(&root, "eth9"), Reading::Absent);
    }

    #[test]
    fn the_group_of_all_hosts_is_counted_by_interface() {
        let text = "2    eth0            1     0     333300000001\n\
                    2    eth0            3     0     01005e000001\n\
                    3    eth1            1     1     01005e000001\n\
                    4    eth2            1     0     01005e0000fb\n\nodd line\n";
        let (_place, root) = root_with(&[("proc/net/dev_mcast", text)]);
        assert_eq!(multicast_users(&root), Reading::Known(BTreeMap::from([(2, 3), (3, 1)])));
        assert!(multicast_users(&root_with(&[]).1).is_absent());
    }

    #[test]
    fn a_virtual_interface_has_no_port_and_an_odd_parent_is_shown() {
        let (_place, root, ports) = one_interface();
        let parent = |parent: Option<(&str, &str)>| LinkMessage {
            parent: parent.map(|(name, bus)| (name.to_owned(), bus.to_owned())),
            ..virtio("lo", 1)
        };
        assert_eq!(port_of(&root, &parent(None), &ports), Some(Reading::Absent));
        let odd = port_of(&root, &parent(Some(("0000:3b", "pci"))), &ports);
        assert!(odd.unwrap().is_unreadable());
    }
}
