//! What is renamed, and what never is.

use super::pins::{pci, pin};
use super::*;
use crate::attachment;
use crate::inventory::Routes;
use crate::network::{Network, NetworkLink, Route};

fn pinned(names: &[(usize, &str)], spoil: impl FnOnce(&mut Snapshot)) -> Snapshot {
    machine(true, |node| {
        let pins = names.iter().map(|(port, name)| (pci(*port), pin(name, &[])));
        node.pins = Known(pins.collect());
        node.kubelet = Absent;
        node.network_root = Known(false);
        spoil(node);
    })
}

fn found(node: &Snapshot, fresh: bool) -> Renamings {
    let rows = planned(node, &NamingSettings::default());
    renamings(&rows, node, fresh, &BTreeMap::new(), &BTreeSet::new())
}

/// From, to.
fn told(found: &Renamings) -> Vec<(String, String)> {
    found.all.iter().map(|one| (one.from.to_string(), one.to.to_string())).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

#[test]
fn what_is_called_otherwise_than_pinned_is_renamed_and_two_names_at_once() {
    assert_eq!(found(&machine(true, |_| {}), true), Renamings::default());
    assert_eq!(found(&pinned(&[(0, FIRST), (1, SECOND)], |_| {}), true), Renamings::default());
    let swapped = found(&pinned(&[(0, SECOND), (1, FIRST)], |_| {}), false);
    assert_eq!(told(&swapped), pairs(&[(FIRST, SECOND), (SECOND, FIRST)]));
    assert_eq!(swapped.troubles, []);
    let chain = found(&pinned(&[(0, SECOND), (1, "sfc1")], |_| {}), false);
    assert_eq!(told(&chain), pairs(&[(FIRST, SECOND), (SECOND, "sfc1")]));
    // An alternative name of its own is in nobody's way.
    let own = pinned(&[(0, "sfc0")], |node| {
        first(node, FIRST).altnames.insert("sfc0".to_owned());
    });
    assert_eq!(told(&found(&own, false)), pairs(&[(FIRST, "sfc0")]));
}

#[test]
fn one_that_carries_something_stays_up_unless_it_has_just_come() {
    let may = |fresh, spoil: fn(&mut Interface)| {
        let node = pinned(&[(0, "sfc0")], |node| spoil(first(node, FIRST)));
        found(&node, fresh).all[0].may_go_down
    };
    assert!(may(false, |_| {}));
    let carries: [fn(&mut Interface); 4] = [
        |one| one.addresses = Known(["192.0.2.1/24".to_owned()].into()),
        |one| one.uppers = Known(["bond0".parse().unwrap()].into()),
        |one| one.routes = Known(Routes { count: 1, default: false }),
        |one| one.addresses = Unreadable("EIO".to_owned()),
    ];
    for spoil in carries {
        assert!(!may(false, spoil) && may(true, spoil));
    }
}

#[test]
fn what_would_cut_somebody_off_or_stop_the_node_keeps_its_name() {
    type Spoil = fn(&mut Snapshot);
    let cases: [(&str, Spoil); 12] = [
        ("udev is not done with it", |node| udev(node, FIRST).renaming = true),
        ("udev is not done with it", |node| node.udev_done = Known([77].into())),
        ("registered for AF_XDP", |node| {
            port_of(node, 0).auxiliary = Absent;
            let known = [FIRST.parse().unwrap()].into();
            node.af_xdp = Known(crate::af_xdp::AfXdp { can_register: true, known });
        }),
        ("the default route goes through it", |node| {
            first(node, FIRST).routes = Known(Routes { count: 1, default: true });
        }),
        ("the default route goes through it", |node| {
            first(node, FIRST).uppers = Known(["eno1".parse().unwrap()].into());
            first(node, "eno1").routes = Known(Routes { count: 1, default: true });
        }),
        ("the default route goes through it", |node| {
            let default = Route {
                shown: "default".to_owned(),
                default: true,
                has_gateway: true,
                over: vec!["bond0".parse().unwrap()],
                message: crate::network::Raw::default(),
            };
            let port = NetworkLink {
                port: Some(PORTS[0].parse().unwrap()),
                master: Some("bond0".parse().unwrap()),
                ..NetworkLink::default()
            };
            let bond = NetworkLink { routes: [default].into(), ..NetworkLink::default() };
            let links = [(FIRST, port), ("bond0", bond)];
            let links = links.map(|(name, link)| (name.parse().unwrap(), link));
            node.network = Known(Network { links: links.into(), ..Network::default() });
        }),
        ("what it carries cannot be read: EIO", |node| {
            first(node, FIRST).uppers = Unreadable("EIO".to_owned());
        }),
        ("programs are using Onload", |node| node.driver.stacks = Known(1)),
        ("another network namespace", |node| first(node, FIRST).multicast_users = Known(2)),
        ("has an interface (macvlan) on it", |node| {
            let text = format!(r#"{{"type":"macvlan","master":"{FIRST}"}}"#);
            let by = attachment::parse(text.as_bytes()).unwrap();
            let (container, interface) = ("0123456789abcdef".to_owned(), "net1".to_owned());
            node.attached = Known(vec![attachment::Attached { container, interface, by }]);
        }),
        ("comes before its pin and calls it fast0", |node| {
            let file = link_file(&[("Path", "pci-0000:3b:00.0")], None);
            let path = "/etc/systemd/network/05-a.link".to_owned();
            node.link_files = Known(BTreeMap::from([(path, file)]));
        }),
        ("eno1 has it as an alternative name", |node| {
            first(node, "eno1").altnames.insert("sfc0".to_owned());
        }),
    ];
    for (part, spoil) in cases {
        for fresh in [false, true] {
            let node = pinned(&[(0, "sfc0")], spoil);
            let found = found(&node, fresh);
            assert_eq!(found.all, [], "{part}");
            assert!(found.troubles[0].why.contains(part), "{part}: {:?}", found.troubles);
            assert!(found.troubles[0].why.starts_with("ens1f0np0 is not renamed to sfc0: "));
            assert!(!found.troubles[0].fix.is_empty());
        }
    }
}

#[test]
fn where_whatever_a_port_carries_counts_it_is_only_renamed_when_it_has_just_come() {
    let gaps: [fn(&mut Snapshot); 4] = [
        |node| node.kubelet = Unreadable("denied".to_owned()),
        |node| node.network_root = Known(true),
        |node| node.network_root = Absent,
        |node| node.network_root = Unreadable("EIO".to_owned()),
    ];
    for gap in gaps {
        let node = |carries: bool| {
            pinned(&[(0, "sfc0")], |node| {
                gap(node);
                if carries {
                    first(node, FIRST).addresses = Known(["192.0.2.1/24".to_owned()].into());
                }
            })
        };
        assert_eq!(found(&node(false), false).all.len(), 1);
        assert_eq!(found(&node(true), true).all.len(), 1);
        let refused = found(&node(true), false);
        assert_eq!(refused.all, []);
        assert!(refused.troubles[0].why.contains("carries something"), "{:?}", refused.troubles);
    }
}

#[test]
fn what_is_stacked_on_a_port_counts_also_where_the_network_is_known() {
    let node = pinned(&[(0, "sfc0")], |node| {
        first(node, FIRST).uppers = Known(["eno1".parse().unwrap()].into());
        first(node, "eno1").routes = Known(Routes { count: 1, default: true });
        node.network = Known(Network::default());
    });
    assert!(found(&node, true).troubles[0].why.contains("the default route goes through it"));
}

#[test]
fn one_that_has_just_come_and_could_not_be_pinned_is_called_as_before() {
    let of = |node: &Snapshot, fresh| {
        let rows = planned(node, &NamingSettings::default());
        let former = [(PORTS[0], "eth0"), (PORTS[1], "old1")];
        let former = former.map(|(port, name)| (port.parse().unwrap(), name.parse().unwrap()));
        told(&renamings(&rows, node, fresh, &former.into(), &BTreeSet::new()))
    };
    let one = pinned(&[(1, "sfc1")], |_| {});
    assert_eq!(of(&one, true), pairs(&[(FIRST, "eth0"), (SECOND, "sfc1")]));
    assert_eq!(of(&one, false), pairs(&[(SECOND, "sfc1")]));
    let none = machine(true, |node| node.pins = Absent);
    assert_eq!(of(&none, true), pairs(&[(FIRST, "eth0"), (SECOND, "old1")]));
    // As somebody's own file calls it.
    let own = machine(true, |node| {
        let path = "/etc/systemd/network/50-sfc.link".to_owned();
        let file = link_file(&[("Path", "pci-0000:3b:00.0")], None);
        let file = LinkFile { name: Some(FIRST.to_owned()), ..file };
        node.link_files = Known(BTreeMap::from([(path.clone(), file)]));
        udev(node, FIRST).link_file = Some(path);
    });
    assert_eq!(of(&own, true), pairs(&[(SECOND, "old1")]));
}

#[test]
fn a_port_that_onload_drives_is_renamed_though_the_stack_knows_it() {
    let node = pinned(&[(0, "sfc0")], |node| {
        let known = [FIRST.parse().unwrap()].into();
        node.af_xdp = Known(crate::af_xdp::AfXdp { can_register: true, known });
    });
    assert_eq!(told(&found(&node, true)), pairs(&[(FIRST, "sfc0")]));
}

#[test]
fn who_waits_for_a_name_that_does_not_become_free_is_refused_with_it() {
    let swapped = pinned(&[(0, SECOND), (1, FIRST)], |node| {
        first(node, SECOND).routes = Known(Routes { count: 1, default: true });
    });
    let all = found(&swapped, true);
    assert_eq!(all.all, []);
    let why: Vec<_> = all.troubles.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(
        why,
        [
            "ens1f0np0 is not renamed to ens1f1np1: another interface is called ens1f1np1",
            "ens1f1np1 is not renamed to ens1f0np0: the default route goes through it",
        ]
    );
    let same = found(&pinned(&[(0, "sfc0"), (1, "sfc0")], |_| {}), true);
    assert_eq!((told(&same), same.troubles.len()), (pairs(&[(SECOND, "sfc0")]), 1));
    let taken = found(&pinned(&[(0, "eno1"), (1, "sfc1")], |_| {}), true);
    assert_eq!((told(&taken), taken.troubles.len()), (pairs(&[(SECOND, "sfc1")]), 1));
    // Of a swap with somebody who names it back again and again nothing is left.
    let node = pinned(&[(0, SECOND), (1, FIRST)], |_| {});
    let rows = planned(&node, &NamingSettings::default());
    let fought =
        renamings(&rows, &node, false, &BTreeMap::new(), &[PORTS[1].parse().unwrap()].into());
    assert_eq!((fought.all.len(), fought.troubles.len()), (0, 2));
}

#[test]
fn a_virtual_function_is_named_when_it_appears() {
    let node = pinned(&[(0, "sfc0")], |node| port_of(node, 0).device = Known(0x1b03));
    assert_eq!(found(&node, false), Renamings::default());
    assert_eq!(told(&found(&node, true)), pairs(&[(FIRST, "sfc0")]));
}
