//! Answers put together by hand, and the reading of a namespace that a kernel answers for.

use netlink_packet_core::NLA_F_NESTED;
use nix::libc::{
    AF_INET, AF_INET6, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWQDISC, RTM_NEWROUTE, RTM_NEWRULE,
};
use onload_core::network::{Address, Made, Raw as Bytes, Route, Rule};

use super::super::netlink::{self, Raw};
use super::wire::put;
use super::*;

mod namespace;

/// A list of attributes.
fn list(all: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    all.iter().for_each(|(kind, value)| put(&mut bytes, *kind, value));
    bytes
}

fn word(value: u32) -> [u8; 4] {
    value.to_ne_bytes()
}

fn answer(kind: u16, header: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    netlink::answer([Raw { kind, payload: [header, &list(attributes)].concat() }])
}

/// Puts an answer together anew with its message cut off at every byte, and with every byte another.
fn torn<T>(answer: &[u8], parse: impl Fn(&[u8]) -> Reading<T>) {
    let whole: Vec<Raw> = netlink::messages(answer).unwrap();
    for Raw { kind, payload } in whole {
        let with = |payload: Vec<u8>| parse(&netlink::answer([Raw { kind, payload }]));
        for at in 0..payload.len() {
            let _no_panic = with(payload[..at].to_vec());
            for byte in [0, 3, 0x7f, 0xff] {
                let mut other = payload.clone();
                other[at] = byte;
                let _no_panic = with(other);
            }
        }
        assert!(with(payload[..2].to_vec()).is_unreadable());
    }
}

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_VFINFO_LIST: u16 = 22;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;

fn link(index: u32, name: &str, more: &[(u16, &[u8])]) -> Vec<u8> {
    const UP_AND_PROMISCUOUS: u32 = 0x101;
    let header = [0, index, UP_AND_PROMISCUOUS, 0].map(word).concat();
    let (mtu, mac) = (word(9000), [0, 15, 83, 0, 0, 1]);
    let common: [(u16, &[u8]); 3] = [(IFLA_IFNAME, name.as_bytes()), (IFLA_MTU, &mtu), (1, &mac)];
    answer(RTM_NEWLINK, &header, &[&common, more].concat())
}

fn one_link(answer: &[u8]) -> Found {
    torn(answer, links::parse);
    links::parse(answer).into_known().unwrap().remove(0)
}

fn made(kind: &str, data: &[u8]) -> Option<Made> {
    Some(Made { kind: kind.to_owned(), data: Bytes(data.to_vec()) })
}

#[test]
fn a_vlan_is_read_as_the_kernel_takes_it_back() {
    let flags = [word(1), word(u32::MAX)].concat();
    let data = list(&[(5, &[0x81, 0]), (1, &[100, 0]), (2, &flags), (9, b"of tomorrow")]);
    let info = list(&[(1, b"vlan\0"), (2, &data)]);
    let found = one_link(&link(7, "v", &[(IFLA_LINK, &word(2)), (IFLA_LINKINFO, &info)]));
    let flags = [word(1), word(0x1f)].concat();
    let taken = list(&[(5, &[0x81, 0]), (1, &[100, 0]), (2, &flags)]);
    assert_eq!((found.link.made, found.below), (made("vlan", &taken), Some(2)));
    assert_eq!(found.link.mac.unwrap().to_string(), "00:0f:53:00:00:01");
    assert!(found.link.up && found.link.promiscuous && !found.link.all_multicast);
    // With every flag off the kernel tells none, and sets one itself where none is given.
    let info = list(&[(1, b"vlan\0"), (2, &list(&[(1, &[100, 0])]))]);
    let found = one_link(&link(7, "v", &[(IFLA_LINKINFO, &info)]));
    let taken = list(&[(1, &[100, 0]), (2, &[word(0), word(0x1f)].concat())]);
    assert_eq!(found.link.made, made("vlan", &taken));
}

#[test]
fn only_what_lies_below_is_below() {
    let on = |kind: &str, data: &[u8], more: &[(u16, &[u8])]| {
        let info = list(&[(1, kind.as_bytes()), (2, data)]);
        let two = word(2);
        let own: [(u16, &[u8]); 2] = [(IFLA_LINKINFO, &info), (IFLA_LINK, &two)];
        one_link(&link(7, "x", &[&own, more].concat())).below
    };
    assert_eq!(on("macvlan", &[], &[]), Some(2));
    assert_eq!(on("veth", &[], &[]), None, "the other end");
    assert_eq!(on("macvlan", &[], &[(IFLA_LINK_NETNSID, &word(0))]), None, "elsewhere");
    assert_eq!(on("vxlan", &list(&[(3, &word(4))]), &[(IFLA_LINK, &word(7))]), Some(4));
}

#[test]
fn a_member_is_what_it_is_set_to_and_not_what_became_of_it() {
    let data = list(&[(1, &[1]), (5, &[3, 0]), (3, &word(8)), (9, &word(2))]);
    let kept = list(&[(5, &[3, 0]), (9, &word(2))]);
    let bond = list(&[(4, b"bond\0"), (5 | NLA_F_NESTED, &data)]);
    let found = one_link(&link(7, "p", &[(IFLA_MASTER, &word(9)), (IFLA_LINKINFO, &bond)]));
    let membership = list(&[(4, b"bond\0"), (5 | NLA_F_NESTED, &kept)]);
    assert_eq!((found.master, found.link.membership.0), (Some(9), membership));
    assert_eq!(found.link.made, None);
}

#[test]
fn functions_are_what_is_told_of_them() {
    let of = |number: u32, value: u32| [word(number), word(value)].concat();
    let mac = |number| [&word(number)[..], &[2; 32]].concat();
    let one = |number| {
        let told = list(&[(1, &mac(number)), (4, &of(number, u32::MAX)), (9, &of(number, 1))]);
        list(&[(1, &[&told[..], &list(&[(8, b"counters")])].concat())])
    };
    let all = [one(0), one(1)].concat();
    let found = one_link(&link(7, "p", &[(IFLA_VFINFO_LIST, &all)]));
    let kept = |number| Bytes(list(&[(1, &mac(number)), (9, &of(number, 1))]));
    assert_eq!(found.link.functions, BTreeMap::from([(0, kept(0)), (1, kept(1))]));
}

const V4: u8 = AF_INET as u8;
const V6: u8 = AF_INET6 as u8;

fn one_address(header: [u8; 4], more: &[(u16, &[u8])]) -> Option<Address> {
    let found = links::parse(&link(7, "p", &[])).into_known().unwrap();
    let header = [&header[..], &word(7)].concat();
    let answer = answer(RTM_NEWADDR, &header, more);
    torn(&answer, |answer| addresses::parse(answer, &found));
    addresses::parse(&answer, &found).into_known().unwrap().pop().map(|(index, address)| {
        assert_eq!(index, 7);
        address
    })
}

#[test]
fn an_address_is_what_adds_it_and_its_lifetimes() {
    const PERMANENT_NODAD_NOPREFIXROUTE: u32 = 0x282;
    let times = [300, u32::MAX, 17, 18].map(word).concat();
    let address = one_address(
        [V4, 32, 0x82, 0],
        &[
            (1, &[10, 0, 0, 9]),
            (2, &[10, 0, 0, 1]),
            (8, &word(PERMANENT_NODAD_NOPREFIXROUTE)),
            (6, &times),
        ],
    );
    let kept = [(1, &[10, 0, 0, 9]), (2, &[10, 0, 0, 1]), (8, &word(0x202))];
    let kept = list(&kept.map(|(kind, value)| (kind, &value[..])));
    let message = Bytes([&[V4, 32, 2, 0, 0, 0, 0, 0][..], &kept].concat());
    let shown = "10.0.0.1 peer 10.0.0.9/32".to_owned();
    assert_eq!(address, Some(Address { shown, message, valid: None, preferred: Some(300) }));
}

#[test]
fn a_label_is_kept_where_it_is_not_the_name() {
    let labelled = |label: &[u8]| {
        let all: [(u16, &[u8]); 2] = [(2, &[10, 0, 0, 1]), (3, label)];
        one_address([V4, 24, 0, 0], &all).unwrap().message.0
    };
    assert!(!labelled(b"p\0").ends_with(&list(&[(3, b"p\0")])), "the kernel's own");
    assert!(labelled(b"p:1\0").ends_with(&list(&[(3, b"p:1\0")])));
}

#[test]
fn addresses_that_the_kernel_or_a_daemon_gives_are_left_out() {
    const PERMANENT: u32 = 0x80;
    const ANNOUNCED: u32 = 0x100;
    const NO_PREFIX_ROUTE: u32 = 0x200;
    const STABLE: u32 = 0x800;
    const TEMPORARY: u32 = 1;
    const KEEPALIVED: u8 = 18;
    let (own, other) = ("20f:53ff:fe00:1", "1:2:3:4");
    for (prefix, half, flags, proto, kept) in [
        ("fe80", own, PERMANENT, None, false),
        ("fe80", own, PERMANENT, Some(3), false),
        ("2001", other, PERMANENT, Some(0), true),
        ("2001", other, PERMANENT, Some(KEEPALIVED), false),
        ("fe80", other, PERMANENT, None, true),
        ("fe80", other, PERMANENT | STABLE, None, false),
        ("2001", own, PERMANENT, None, true),
        ("2001", own, ANNOUNCED, None, false),
        ("2001", other, ANNOUNCED | STABLE, None, false),
        ("2001", other, ANNOUNCED, None, true),
        ("2001", own, ANNOUNCED | NO_PREFIX_ROUTE, None, true),
        ("2001", own, 0, Some(2), false),
        ("2001", other, TEMPORARY, None, false),
    ] {
        let text = format!("{prefix}:0:0:0:{half}");
        let bytes: [u8; 16] = text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        let (flags, by) = (word(flags), [proto.unwrap_or_default()]);
        let mut all: Vec<(u16, &[u8])> = vec![(1, &bytes), (8, &flags)];
        all.extend(proto.map(|_| (11, &by[..])));
        let found = one_address([V6, 64, 0, 0], &all);
        assert_eq!(found.is_some(), kept, "{text} {flags:?} {proto:?}");
    }
    let loopback = one_address([V4, 8, 0, 254], &[(2, &[127, 0, 0, 1]), (11, &[1])]);
    assert_eq!(loopback, None);
    let moved = one_address([V4, 32, 0, 0], &[(2, &[10, 0, 0, 1]), (11, &[KEEPALIVED])]);
    assert_eq!(moved, None);
    // The flag has another meaning there: not the first of its network.
    assert!(one_address([V4, 24, TEMPORARY as u8, 0], &[(2, &[10, 0, 0, 1])]).is_some());
}

fn names() -> BTreeMap<u32, InterfaceName> {
    BTreeMap::from([(2, "ens1f0".parse().unwrap()), (3, "ens1f1".parse().unwrap())])
}

/// Family, length of the destination, table, protocol, kind, flags.
type Head = (u8, u8, u8, u8, u8, u32);

fn one_route((family, to, table, by, kind, flags): Head, more: &[(u16, &[u8])]) -> Option<Route> {
    let header = [&[family, to, 0, 0, table, by, 0, kind][..], &word(flags)].concat();
    let answer = answer(RTM_NEWROUTE, &header, more);
    torn(&answer, |answer| routes::parse(answer, &names()));
    routes::parse(&answer, &names()).into_known().unwrap().kept.pop()
}

#[test]
fn a_route_is_what_adds_it_and_where_it_leads() {
    const ON_LINK_AND_LINK_DOWN: u32 = 0x14;
    let route = one_route(
        (V4, 0, 254, 4, 1, ON_LINK_AND_LINK_DOWN),
        &[(15, &word(254)), (6, &word(50)), (5, &[10, 0, 0, 9]), (4, &word(2)), (12, &[0; 32])],
    );
    let kept = list(&[(15, &word(254)), (6, &word(50)), (5, &[10, 0, 0, 9]), (4, &word(0))]);
    let head = [&[V4, 0, 0, 0, 254, 4, 0, 1][..], &word(4)].concat();
    assert_eq!(
        route,
        Some(Route {
            shown: "default via 10.0.0.9 dev ens1f0 metric 50 onlink".to_owned(),
            default: true,
            has_gateway: true,
            over: vec!["ens1f0".parse().unwrap()],
            message: Bytes([head, kept].concat()),
        })
    );
}

#[test]
fn a_route_over_several_links_names_them_in_order() {
    let gateway = list(&[(5, &[10, 0, 0, 9])]);
    let hop = |index: u32, flags: u8, weight: u8, own: &[u8]| {
        let length = (8 + own.len()) as u16;
        [&length.to_ne_bytes()[..], &[flags, weight], &word(index), own].concat()
    };
    let hops = [hop(3, 0x10, 1, &gateway), hop(2, 4, 0, &[])].concat();
    let head = (V4, 8, 100, 3, 1, 0);
    let route = one_route(head, &[(1, &[10, 0, 0, 0]), (9, &hops)]).unwrap();
    let expected = "10.0.0.0/8 table 100 nexthop via 10.0.0.9 dev ens1f1 weight 2 \
                    nexthop dev ens1f0 weight 1 onlink";
    assert_eq!(route.shown, expected);
    assert_eq!(route.over, ["ens1f1", "ens1f0"].map(|name| name.parse().unwrap()));
    assert!(route.has_gateway && !route.default);
    let masked = [hop(0, 0, 1, &gateway), hop(0, 4, 0, &[])].concat();
    assert!(route.message.0.ends_with(&list(&[(9, &masked)])));
    let gone = [hop(2, 0, 0, &[]), hop(9, 0, 0, &[])].concat();
    assert_eq!(one_route(head, &[(9, &gone)]), None, "one of its links went meanwhile");
}

#[test]
fn routes_that_are_not_to_be_added_again_are_left_out() {
    let out = word(2);
    let by = |more| [vec![(4, &out[..])], more].concat();
    let ends = [0, 0, 600, 0, 0, 0, 0, 0].map(word).concat();
    let plain = (V4, 0, 254, 4, 1, 0);
    assert!(one_route(plain, &by(vec![])).is_some());
    let from_dhcp = (V4, 0, 254, 16, 1, 0);
    assert!(one_route(from_dhcp, &by(vec![])).is_some(), "nobody asks anew for it");
    for (why, head, more) in [
        ("no link", plain, vec![]),
        ("the local table", (V4, 32, 255, 4, 2, 0), by(vec![])),
        ("made by the kernel", (V4, 24, 254, 2, 1, 0), by(vec![])),
        ("redirected", (V6, 128, 254, 1, 1, 0), by(vec![])),
        ("announced", (V6, 0, 254, 9, 1, 0), by(vec![])),
        ("found by zebra", (V4, 24, 254, 11, 1, 0), by(vec![])),
        ("found by BGP", (V6, 64, 254, 186, 1, 0), by(vec![])),
        ("cached", (V6, 128, 254, 4, 1, 0x200), by(vec![])),
        ("an object", plain, by(vec![(30, &out)])),
        ("ends by itself", plain, by(vec![(12, &ends)])),
        ("of multicast", (128, 32, 254, 17, 5, 0), by(vec![])),
    ] {
        assert_eq!(one_route(head, &more), None, "{why}");
    }
}

#[test]
fn rules_that_name_an_interface_are_kept_as_they_were_made() {
    const IIF_DETACHED_AND_INVERT: u32 = 0xa;
    let rule = |more: &[(u16, &[u8])]| {
        let head = [&[V4, 0, 8, 0, 0, 0, 0, 1][..], &word(IIF_DETACHED_AND_INVERT)].concat();
        let answer = answer(RTM_NEWRULE, &head, more);
        torn(&answer, rules::parse);
        rules::parse(&answer).into_known().unwrap().pop_first()
    };
    let all: [(u16, &[u8]); 4] =
        [(15, &word(77)), (3, b"ens1f0\0"), (6, &word(100)), (2, &[10, 0, 0, 0])];
    let head = [&[V4, 0, 8, 0, 0, 0, 0, 1][..], &word(2)].concat();
    let expected = Rule {
        shown: "100: from 10.0.0.0/8 iif ens1f0 lookup 77".to_owned(),
        names: BTreeSet::from(["ens1f0".parse().unwrap()]),
        message: Bytes([head, list(&all)].concat()),
    };
    assert_eq!(rule(&all), Some(expected));
    assert_eq!(rule(&[(15, &word(77)), (6, &word(100))]), None, "it names none");
}

#[test]
fn only_a_root_discipline_that_somebody_chose_counts() {
    let qdisc = |handle: u32, parent: u32| {
        let head = [0, 2, handle, parent, 0].map(word).concat();
        let answer = answer(RTM_NEWQDISC, &head, &[(1, b"fq\0")]);
        torn(&answer, qdiscs::parse);
        qdiscs::parse(&answer).into_known().unwrap().roots
    };
    assert_eq!(qdisc(0x8001_0000, u32::MAX), BTreeMap::from([(2, "fq".to_owned())]));
    assert!(qdisc(0, u32::MAX).is_empty() && qdisc(0x8001_0000, 0xffff_fff1).is_empty());
}

#[test]
fn what_a_link_has_that_nothing_puts_back_is_told() {
    let of = |kind: &str, mode: u32| {
        let info = list(&[(1, kind.as_bytes()), (2, &list(&[(1, &word(mode))]))]);
        one_link(&link(7, "x", &[(IFLA_LINKINFO, &info)])).link.lost.len()
    };
    for (kind, mode, reasons) in [
        ("macvlan", 4, 0),
        ("macvlan", 8, 1),
        ("macvlan", 16, 1),
        ("macvtap", 4, 1),
        ("macvtap", 8, 2),
        ("ipvtap", 0, 1),
        ("ipvlan", 16, 0),
    ] {
        assert_eq!(of(kind, mode), reasons, "{kind} {mode}");
    }
    let xdp = |attached: u8| {
        let told = list(&[(2, &[attached])]);
        one_link(&link(7, "x", &[(IFLA_XDP, &told)])).link.lost
    };
    assert!(xdp(0).is_empty() && xdp(2).first().unwrap().contains("XDP"));
    // A bridge that filters VLANs; a member; one by which an object leads; and one that filters.
    let bridge = list(&[(1, b"bridge\0"), (2, &list(&[(7, &[1])]))]);
    let links = [
        link(2, "br0", &[(IFLA_LINKINFO, &bridge)]),
        link(3, "p0", &[(IFLA_MASTER, &word(2))]),
        link(4, "p1", &[]),
        link(5, "p2", &[]),
    ];
    let by_object = |protocol: u8, index: u32| {
        let head = [V4, 24, 0, 0, 254, protocol, 0, 1, 0, 0, 0, 0];
        let to = [10, 0, 0, 0];
        answer(RTM_NEWROUTE, &head, &[(1, &to), (30, &word(1)), (4, &word(index))])
    };
    let head = [0, 5, 0xffff_0000, 0xffff_fff1, 0].map(word).concat();
    let software = |index| Interface { index, ..Interface::default() };
    let seen = recorded(
        &[("p0", software(3)), ("p1", software(4)), ("p2", software(5))],
        &[
            (Question::Functions, links.concat()),
            (Question::Routes, [by_object(4, 4), by_object(186, 5)].concat()),
            (Question::Qdiscs, answer(RTM_NEWQDISC, &head, &[(1, b"clsact\0")])),
        ],
    );
    let links = seen.into_known().unwrap().links;
    for (name, why) in [("p0", "VLANs"), ("p1", "nexthop"), ("p2", "clsact")] {
        let lost: Vec<&String> = links[&name.parse().unwrap()].lost.iter().collect();
        assert!(lost.len() == 1 && lost[0].contains(why), "{name}: {lost:?}");
    }
}

/// A look at recorded answers, in which `p0` has this port and driver.
fn recorded_look(port: Reading<&str>, driver: Reading<&str>) -> Reading<Network> {
    let port = Interface {
        index: 7,
        port: port.map(|port| port.parse().unwrap()),
        driver: driver.map(str::to_owned),
        ..Interface::default()
    };
    recorded(&[("p0", port)], &[(Question::Functions, link(7, "p0", &[]))])
}

/// A look at these interfaces, with answers of which those that are not given are empty.
fn recorded(interfaces: &[(&str, Interface)], given: &[(Question, Vec<u8>)]) -> Reading<Network> {
    let (place, root) = super::super::root::tests::root_with(&[]);
    std::fs::create_dir(place.path().join(".netlink")).unwrap();
    let ethtool = settings::GROUPS.iter().map(|group| group.asked.file());
    let questions = [Question::Addresses, Question::Routes, Question::Rules, Question::Qdiscs];
    for empty in ethtool.chain(questions.map(Question::file)) {
        std::fs::write(place.path().join(empty), []).unwrap();
    }
    for (question, answer) in given {
        std::fs::write(place.path().join(question.file()), answer).unwrap();
    }
    let all = interfaces.iter().map(|(name, one)| (name.parse().unwrap(), one.clone()));
    let all = Reading::Known(all.collect());
    super::super::tests::runtime().block_on(read(&root, &Source::Recorded, &all))
}

#[test]
fn a_port_of_which_nothing_is_known_counts_where_a_driver_of_ours_has_it() {
    let odd = || Reading::Unreadable("odd".to_owned());
    let links = |seen: Reading<Network>| seen.into_known().unwrap().links.len();
    assert_eq!(links(recorded_look(odd(), Reading::Known("virtio_net"))), 0);
    assert_eq!(links(recorded_look(odd(), Reading::Absent)), 0);
    assert!(recorded_look(odd(), Reading::Known("sfc")).is_unreadable());
    assert!(recorded_look(odd(), odd()).is_unreadable());
    assert_eq!(links(recorded_look(Reading::Absent, Reading::Absent)), 1);
}
