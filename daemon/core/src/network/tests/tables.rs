//! Cases one by one.

use super::*;
use crate::reading::Reading;
use crate::sample::{PORTS, inner, node};

pub(super) const AT: Moment = Moment(10_000);

pub(super) fn all_gaps(kept: &Kept, now: &Network) -> Vec<String> {
    shown(&gaps(kept, now, AT, Patience::Nobody))
}

#[test]
fn gaps_are_filled_from_the_bottom() {
    let before = bonded();
    let mut now = before.clone();
    now.links.insert(name("ens1f0"), fresh(PORT, 0));
    now.links.insert(name("ens1f1"), fresh(OTHER, 1));
    now.links.get_mut(&name("bond0")).unwrap().mac = Some(mac(9));
    now.links.remove(&name("vlan100"));
    let kept = kept(before);
    assert_eq!(
        all_gaps(&kept, &now),
        [
            "set ring of ens1f0: rx 1024",
            "put ens1f0 under bond0",
            "call ens1f0 also enp59s0f0",
            "set ens1f0 up",
            "set ring of ens1f1: rx 1024",
            "put ens1f1 under bond0",
            "call ens1f1 also enp59s0f1",
            "set ens1f1 up",
            "give bond0 the address 00:0f:53:a1:00:00",
            "make vlan vlan100 on bond0",
            "set vlan100 up",
            "give vlan100 the address 10.0.0.1/24",
            "add the route 10.0.9.0/24",
            "add the route 10.1.0.0/16 via 10.0.0.9",
        ]
    );
    assert_eq!(
        differences(&kept, &now, AT),
        [
            "bond0: MAC is 00:0f:53:a1:00:09, was 00:0f:53:a1:00:00",
            "ens1f0 is down, was up",
            "ens1f0: MTU is 1500, was 9000",
            "ens1f0 is a member of nothing, was of bond0",
            "ens1f0: alternative name enp59s0f0 is missing",
            "ens1f0: feature.tso is not offered, was 1",
            "ens1f0: ring.rx is 512, was 1024",
            "ens1f1 is down, was up",
            "ens1f1: MTU is 1500, was 9000",
            "ens1f1: MAC is 00:0f:53:a1:00:01, was 00:0f:53:a1:00:00",
            "ens1f1 is a member of nothing, was of bond0",
            "ens1f1: alternative name enp59s0f1 is missing",
            "ens1f1: feature.tso is not offered, was 1",
            "ens1f1: ring.rx is 512, was 1024",
            "vlan100 is not there",
        ]
    );
}

#[test]
fn what_has_not_changed_has_no_gaps() {
    for network in [bonded(), Network::default()] {
        let kept = kept(network.clone());
        for patience in [Patience::Owners, Patience::Nobody] {
            assert_eq!(gaps(&kept, &network, AT, patience), []);
        }
        assert_eq!(differences(&kept, &network, AT), [""; 0]);
        assert_eq!(handed_back(&kept, &network, AT), []);
    }
}

/// One port with this of it, and the same port as a driver shows it.
fn alone(spoil: impl Fn(&mut NetworkLink)) -> (Kept, Network) {
    let mut link = port(PORT, 0);
    spoil(&mut link);
    let before = kept(network([("ens1f0", link)]));
    (before, network([("ens1f0", NetworkLink { up: true, ..fresh(PORT, 0) })]))
}

#[test]
fn what_a_port_had_alone() {
    type Spoil = fn(&mut NetworkLink);
    let cases: [(&str, Spoil, &[&str]); 10] = [
        ("nothing", |_| {}, &[]),
        (
            "its own MAC",
            |link| link.mac = Some(mac(7)),
            &["give ens1f0 the address 00:0f:53:a1:00:07"],
        ),
        ("MTU", |link| link.mtu = 9000, &["give ens1f0 the MTU 9000"]),
        (
            "virtual functions",
            |link| link.functions = [(0, Raw(vec![1])), (1, Raw(vec![2]))].into(),
            &[
                "enable 2 functions of ens1f0",
                "set function 0 of ens1f0",
                "set function 1 of ens1f0",
            ],
        ),
        (
            "listening",
            |link| link.promiscuous = true,
            &["have ens1f0 listen: promiscuous true, all multicast false"],
        ),
        (
            "qdisc",
            |link| link.qdisc = Some("fq".to_owned()),
            &["give ens1f0 the queueing discipline fq"],
        ),
        ("down", |link| link.up = false, &["set ens1f0 down"]),
        (
            "down with an address",
            |link| {
                link.up = false;
                link.addresses = [address("10.0.0.1/24", None)].into();
            },
            &["give ens1f0 the address 10.0.0.1/24", "set ens1f0 down"],
        ),
        ("under what is not there", |link| link.master = Some(name("bond9")), &[]),
        (
            "a route that also leaves by what is not there",
            |link| link.routes = [route("10.2.0.0/16", &["ens1f0", "vlan9"], false)].into(),
            &[],
        ),
    ];
    for (what, spoil, expected) in cases {
        let (kept, now) = alone(spoil);
        assert_eq!(all_gaps(&kept, &now), expected, "{what}");
        assert_eq!(differences(&kept, &now, AT).is_empty(), what == "nothing", "{what}");
    }
}

#[test]
fn what_is_there_beside_is_told_and_left() {
    let (kept, mut now) = alone(|_| {});
    let link = now.links.get_mut(&name("ens1f0")).unwrap();
    link.promiscuous = true;
    link.master = Some(name("br0"));
    link.altnames.insert("enp59s0f0".to_owned());
    link.functions.insert(0, Raw::default());
    link.addresses.insert(address("10.0.0.7/24", None));
    link.routes.insert(route("10.7.0.0/16", &["ens1f0"], false));
    link.owner = Owner::NetworkManager("u".to_owned());
    now.links.insert(name("vlan7"), made("vlan", 7, Some("ens1f0")));
    now.rules.insert(rule("ens1f0"));
    assert_eq!(all_gaps(&kept, &now), [""; 0]);
    assert_eq!(
        differences(&kept, &now, AT),
        [
            "ens1f0: promiscuous mode is on, was off",
            "ens1f0: owner is NetworkManager (u), was nobody",
            "ens1f0 is a member of br0, was of nothing",
            "ens1f0: virtual function 0 is there beside",
            "ens1f0: address 10.0.0.7/24 is there beside",
            "ens1f0: route 10.7.0.0/16 is there beside",
            "vlan7 on ens1f0 is there beside",
            "rule from all iif ens1f0 lookup 7 is there beside",
        ]
    );
}

#[test]
fn addresses_come_back_with_what_is_left_of_their_time() {
    let (kept, mut now) = alone(|link| {
        link.addresses = [address("10.0.0.1/24", Some(60)), address("10.0.0.2/24", Some(5))].into();
    });
    let later = Moment(15_999);
    let found = gaps(&kept, &now, later, Patience::Nobody);
    let [Deed::Address { address: one, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.shown.as_str(), one.valid, one.preferred), ("10.0.0.1/24", Some(55), Some(55)));
    assert_eq!(differences(&kept, &now, later), ["ens1f0: address 10.0.0.1/24 is missing"]);
    let link = now.links.get_mut(&name("ens1f0")).unwrap();
    link.addresses.insert(address("10.0.0.1/24", Some(9)));
    assert_eq!(differences(&kept, &now, later), [""; 0], "how long it stays is not compared");
    let link = now.links.get_mut(&name("ens1f0")).unwrap();
    link.addresses = [address("10.0.0.1/24", None)].into();
    let told = "ens1f0: address 10.0.0.1/24 stays for ever, and did not";
    assert_eq!(differences(&kept, &now, later), [told]);
}

#[test]
fn a_port_that_comes_back_under_another_name_is_known_by_its_function() {
    let mut before = bonded();
    before.rules.insert(rule("ens1f0"));
    let on_it = NetworkLink {
        routes: [route("10.3.0.0/16", &["mac0", "ens1f0"], false)].into(),
        ..made("macvlan", 1, Some("ens1f0"))
    };
    before.links.insert(name("mac0"), on_it);
    let mut now = before.clone();
    now.links.remove(&name("ens1f0"));
    now.links.remove(&name("mac0"));
    now.links.insert(name("ens1f0np0"), fresh(PORT, 0));
    let kept = kept(before);
    let deeds = gaps(&kept, &now, AT, Patience::Nobody);
    assert_eq!(
        shown(&deeds),
        [
            "set ring of ens1f0np0: rx 1024",
            "put ens1f0np0 under bond0",
            "call ens1f0np0 also enp59s0f0",
            "set ens1f0np0 up",
            "make macvlan mac0 on ens1f0np0",
            "give mac0 the MTU 1500",
            "set mac0 up",
            "add the route 10.3.0.0/16",
            "add the rule from all iif ens1f0np0 lookup 7",
        ]
    );
    let Some(Deed::Rule { rule: last }) = deeds.last() else { panic!("{deeds:?}") };
    assert!(last.is(&rule("ens1f0np0")), "the message names it so too: {last:?}");
    let said = differences(&kept, &now, AT);
    assert!(said.contains(&"ens1f0 is called ens1f0np0 now".to_owned()), "{said:?}");
    assert!(said.contains(&"rule from all iif ens1f0 lookup 7 is missing".to_owned()), "{said:?}");
}

#[test]
fn names_that_went_round_are_told_by_function() {
    let before = network([
        ("ens1f0", NetworkLink { mtu: 9000, ..port(PORT, 0) }),
        ("ens1f1", port(OTHER, 1)),
    ]);
    let now = network([("ens1f0", port(OTHER, 1)), ("ens1f1", port(PORT, 0))]);
    let kept = kept(before);
    assert_eq!(all_gaps(&kept, &now), ["give ens1f1 the MTU 9000"]);
}

#[test]
fn another_link_with_the_name_is_not_touched() {
    let cases = [
        ("another number", made("vlan", 101, Some("ens1f0"))),
        ("another kind", made("bond", 0, None)),
        ("a port", port(OTHER, 1)),
    ];
    for (what, other) in cases {
        let vlan = NetworkLink {
            addresses: [address("10.0.0.1/24", None)].into(),
            mtu: 1400,
            ..made("vlan", 100, Some("ens1f0"))
        };
        let kept = kept(network([("ens1f0", port(PORT, 0)), ("vlan100", vlan)]));
        let now = network([("ens1f0", port(PORT, 0)), ("vlan100", other)]);
        assert_eq!(all_gaps(&kept, &now), [""; 0], "{what}");
        let said = differences(&kept, &now, AT);
        assert_eq!(said[0], "vlan100 is another link now", "{what}: {said:?}");
    }
}

#[test]
fn a_port_that_is_not_there_takes_what_is_on_it_along_and_its_rule_stays() {
    let mut before = network([
        (
            "ens1f0",
            NetworkLink { addresses: [address("10.0.0.1/24", None)].into(), ..port(PORT, 0) },
        ),
        ("vlan100", made("vlan", 100, Some("ens1f0"))),
    ]);
    before.rules.insert(rule("ens1f0"));
    let now = Network { rules: before.rules.clone(), ..Network::default() };
    let kept = kept(before);
    assert_eq!(all_gaps(&kept, &now), [""; 0]);
    let expected = ["ens1f0 is not there", "vlan100 is not there"];
    assert_eq!(differences(&kept, &now, AT), expected);
    let gone = Network::default();
    assert_eq!(all_gaps(&kept, &gone), [""; 0], "a rule is not made up either");
    let said = differences(&kept, &gone, AT);
    assert_eq!(said[2], "rule from all iif ens1f0 lookup 7 is missing");
}

#[test]
fn links_with_an_owner_are_left_to_it_for_a_while() {
    let mut before = bonded();
    for link in before.links.values_mut() {
        link.owner = Owner::NetworkManager("u".to_owned());
    }
    let mut now = before.clone();
    now.links.insert(name("ens1f0"), fresh(PORT, 0));
    now.links.remove(&name("vlan100"));
    let kept = kept(before);
    let deeds = shown(&gaps(&kept, &now, AT, Patience::Owners));
    assert_eq!(deeds, ["set ring of ens1f0: rx 1024", "call ens1f0 also enp59s0f0"]);
    let asked: Vec<_> =
        handed_back(&kept, &now, AT).into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(asked, ["ens1f0", "vlan100"]);
    assert!(all_gaps(&kept, &now).contains(&"make vlan vlan100 on bond0".to_owned()));
}

#[test]
fn an_owner_is_asked_for_what_owners_do() {
    type Spoil = fn(&mut NetworkLink);
    let cases: [(&str, Spoil, bool); 8] = [
        ("all is well", |_| {}, false),
        ("a ring", |link| link.settings = [("ring.rx".to_owned(), 7)].into(), false),
        ("down", |link| link.up = false, true),
        ("no member", |link| link.master = None, true),
        ("no address", |link| link.addresses.clear(), true),
        ("no route", |link| link.routes.clear(), true),
        ("nobody's", |link| link.owner = Owner::Nobody, true),
        ("another's", |link| link.owner = Owner::NetworkManager("w".to_owned()), true),
    ];
    for (what, spoil, expected) in cases {
        let link = NetworkLink {
            master: Some(name("br0")),
            addresses: [address("10.0.0.1/24", None)].into(),
            routes: [route("10.7.0.0/16", &["ens1f0"], false)].into(),
            owner: Owner::NetworkManager("u".to_owned()),
            ..port(PORT, 0)
        };
        let kept = kept(network([("ens1f0", link)]));
        let mut now = kept.network.clone();
        spoil(now.links.get_mut(&name("ens1f0")).unwrap());
        assert_eq!(handed_back(&kept, &now, AT).len(), usize::from(expected), "{what}");
    }
    let vlan = NetworkLink { owner: Owner::Networkd, ..made("vlan", 1, Some("ens1f0")) };
    let owned = NetworkLink { owner: Owner::Networkd, ..port(PORT, 0) };
    let kept = kept(network([("ens1f0", owned), ("vlan1", vlan)]));
    assert_eq!(handed_back(&kept, &Network::default(), AT), [], "there is nothing to do it on");
}

#[test]
fn what_goes_with_a_driver() {
    let mut all = bonded();
    all.links.insert(
        name("eth9"),
        NetworkLink { master: Some(name("bond0")), ..port("0000:01:00.0", 9) },
    );
    all.links.insert(name("vlan7"), made("vlan", 7, Some("eth9")));
    all.rules.extend([rule("vlan100"), rule("eth9")]);
    let ports = |all: &[&str]| all.iter().map(|port| port.parse().unwrap()).collect();
    let found = affected(&all, &ports(&[PORT, OTHER]));
    let names: Vec<_> = found.network.links.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["bond0", "ens1f0", "ens1f1", "vlan100"]);
    assert_eq!(found.network.rules, BTreeSet::from([rule("vlan100")]));
    assert_eq!((found.lost, found.default_routes.len()), (vec![], 0));
    assert_eq!(affected(&all, &BTreeSet::new()), Affected::default());

    let default = route("default", &["vlan100"], true);
    all.links.get_mut(&name("vlan100")).unwrap().routes.insert(default);
    all.links.insert(name("tun0"), made("vxlan", 1, Some("vlan100")));
    all.links.insert(name("team0"), made("team", 0, None));
    all.links.get_mut(&name("vlan100")).unwrap().master = Some(name("team0"));
    let found = affected(&all, &ports(&[PORT]));
    assert_eq!(found.default_routes, BTreeSet::from([name("ens1f0")]), "through any storey");
    let why: Vec<_> = found.lost.iter().map(|(port, why)| format!("{port}: {why}")).collect();
    assert_eq!(
        why,
        [
            "ens1f0: vlan100 is a member of team0, of kind team: that is not put back",
            "ens1f0: tun0 is on it, a link of kind vxlan that is not made anew",
        ]
    );
    all.links.remove(&name("bond0"));
    let found = affected(&all, &ports(&[PORT]));
    assert_eq!(found.lost[0].1, "ens1f0 is a member of bond0, which is not here");
}

#[test]
fn a_port_whose_driver_cannot_be_read_goes_with_the_driver() {
    let first = PORTS[0].parse().unwrap();
    let goes = |driver: Reading<String>| {
        let mut node = node();
        inner(&mut node.ports).get_mut(&first).unwrap().driver = driver;
        driven(&node).contains(&first)
    };
    assert!(goes(Reading::Known("sfc".to_owned())));
    assert!(goes(Reading::Unreadable("it vanished".to_owned())), "what it carries is not lost");
    assert!(!goes(Reading::Known("vfio-pci".to_owned())));
    assert!(!goes(Reading::Absent));
}

#[test]
fn a_member_of_a_bond_has_its_own_mtu_again_once_it_is_one() {
    let mut before = bonded();
    before.links.get_mut(&name("ens1f0")).unwrap().mtu = 1500;
    let kept = kept(before);
    let mtus = |now: &Network| -> Vec<String> {
        let words = |deed: &String| deed.contains(" MTU ") || deed.starts_with("put ");
        all_gaps(&kept, now).into_iter().filter(words).collect()
    };
    let mut now = kept.network.clone();
    assert_eq!(mtus(&now), [""; 0]);
    let bare = || NetworkLink { master: None, ..fresh(PORT, 0) };
    now.links.insert(name("ens1f0"), bare());
    now.links.insert(name("ens1f1"), fresh(OTHER, 1));
    let join = ["put ens1f0 under bond0", "give ens1f0 the MTU 1500", "put ens1f1 under bond0"];
    assert_eq!(mtus(&now), join, "the other gets the bond's by becoming one");
    let mut now = kept.network.clone();
    now.links.get_mut(&name("ens1f0")).unwrap().mtu = 9000;
    assert_eq!(mtus(&now), ["give ens1f0 the MTU 1500"]);
    let mut now = kept.network.clone();
    for member in ["ens1f0", "ens1f1", "bond0"] {
        now.links.get_mut(&name(member)).unwrap().mtu = 1400;
    }
    let all = ["give ens1f0 the MTU 1500", "give bond0 the MTU 9000"];
    assert_eq!(mtus(&now), all, "the bond's goes to the members; the next look finds that");
}

#[test]
fn a_name_that_leads_to_another_link_is_left_to_it_and_told() {
    let link = NetworkLink { altnames: ["fast1".to_owned()].into(), ..port(PORT, 0) };
    let kept = kept(network([
        ("ens1f0", link),
        ("ens1f1", port(OTHER, 1)),
        ("slot7", made("vlan", 7, Some("ens1f0"))),
    ]));
    let other = NetworkLink { altnames: ["slot7".to_owned()].into(), ..port(OTHER, 1) };
    let now = network([("ens1f0", port(PORT, 0)), ("fast1", other)]);
    assert_eq!(all_gaps(&kept, &now), [""; 0]);
    assert_eq!(
        differences(&kept, &now, AT),
        [
            "ens1f0: alternative name fast1 leads to fast1 now",
            "ens1f1 is called fast1 now",
            "slot7 is not there: that name leads to fast1 now",
        ]
    );
}

#[test]
fn an_address_with_an_end_is_left_to_an_owner_who_is_there_again() {
    let owned = |by: &Owner| NetworkLink {
        owner: by.clone(),
        addresses: [address("10.0.0.1/24", Some(600)), address("10.9.0.1/24", None)].into(),
        ..port(PORT, 0)
    };
    let (leased, lasting) =
        ("give ens1f0 the address 10.0.0.1/24", "give ens1f0 the address 10.9.0.1/24");
    let cases: [(Owner, Owner, &[&str]); 3] = [
        (Owner::Networkd, Owner::Networkd, &[lasting]),
        (Owner::Networkd, Owner::Nobody, &[leased, lasting]),
        (Owner::Nobody, Owner::Nobody, &[leased, lasting]),
    ];
    for (before, after, deeds) in cases {
        let kept = kept(network([("ens1f0", owned(&before))]));
        let now = network([("ens1f0", NetworkLink { owner: after, ..port(PORT, 0) })]);
        assert_eq!(all_gaps(&kept, &now), deeds, "{before:?}");
        let told = "ens1f0: address 10.0.0.1/24 is missing".to_owned();
        assert!(differences(&kept, &now, AT).contains(&told));
    }
}
