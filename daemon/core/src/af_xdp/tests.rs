//! Which interfaces are registered, and every reason why one is not.

use super::*;
use crate::attachment;
use crate::config::PoolSettings;
use crate::inventory::{Link, Port};
use crate::plan::standing::Loads;
use crate::plan::{self, Plan};
use crate::pool::{self, Cause, Place};
use crate::sample::{PORTS, inner, node, without};

const FUNCTION: &str = "0000:00:05.0";

/// The sample node, its cards replaced by a virtio port called `ens5`.
fn virtio(spoil: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut node = node();
    let port = Port {
        vendor: Reading::Known(0x1af4),
        device: Reading::Known(0x1000),
        driver: Reading::Known("virtio-pci".to_owned()),
        ..Port::default()
    };
    node.ports = Reading::Known(BTreeMap::from([(FUNCTION.parse().unwrap(), port)]));
    let interface = Interface {
        index: 2,
        altnames: BTreeSet::from(["enp0s5".to_owned()]),
        port: Reading::Known(FUNCTION.parse().unwrap()),
        driver: Reading::Known("virtio_net".to_owned()),
        mac: Reading::Known("52:54:00:00:00:05".parse().unwrap()),
        link: Reading::Known(Link::Up),
        uppers: Reading::Known(BTreeSet::new()),
        ..Interface::default()
    };
    let lo = Interface { index: 1, ..Interface::default() };
    let veth = Interface { index: 3, uppers: Reading::Known(BTreeSet::new()), ..lo.clone() };
    node.interfaces = Reading::Known(BTreeMap::from([
        (LOOPBACK.parse().unwrap(), lo),
        ("ens5".parse().unwrap(), interface),
        ("veth0".parse().unwrap(), veth),
    ]));
    without(&mut node, "sfc");
    node.af_xdp = Reading::Known(AfXdp { can_register: true, known: BTreeSet::new() });
    spoil(&mut node);
    node
}

fn registered(node: &mut Snapshot, name: &str) {
    inner(&mut node.af_xdp).known.insert(name.parse().unwrap());
}

fn port_of(node: &mut Snapshot) -> &mut Interface {
    inner(&mut node.interfaces).get_mut(&"ens5".parse::<InterfaceName>().unwrap()).unwrap()
}

fn choices(text: &str) -> Vec<Choice> {
    #[derive(Deserialize)]
    struct Choices {
        #[serde(default)]
        choice: Vec<Choice>,
    }
    let tables = text.lines().map(|line| format!("[[choice]]\n{line}\n")).collect::<String>();
    toml::from_str::<Choices>(&tables).unwrap().choice
}

fn chosen(text: &str, snapshot: &Snapshot) -> Chosen {
    choose(&choices(text), snapshot, &Hardware::shipped())
}

fn planned(text: &str, release: &str, snapshot: &Snapshot) -> Plan {
    let release = release.parse().unwrap();
    plan::plan(Some(&release), snapshot, &Hardware::shipped(), &choices(text), &Loads::new())
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

const BY_DRIVER: &str = "driver = \"virtio_net\"";
const REGISTER: &str = "register ens5 with Onload for AF_XDP";

#[test]
fn a_choice_says_exactly_one_thing() {
    for (text, fault) in [
        (BY_DRIVER, None),
        ("interface = \"ens5\"", None),
        ("pci = \"0000:00:05.0\"", None),
        ("mac = \"52:54:00:00:00:05\"", None),
        ("", Some("exactly one")),
        ("driver = \"igb\"\ninterface = \"ens5\"", Some("exactly one")),
        ("driver = \"\"", Some("empty")),
        ("interface = \"lo\"", Some("panic the kernel")),
    ] {
        let choice: Choice = toml::from_str(text).unwrap();
        match (choice.fault(), fault) {
            (None, None) => {}
            (Some(seen), Some(words)) => assert!(seen.contains(words), "{text}: {seen}"),
            (seen, _) => panic!("{text}: {seen:?}"),
        }
    }
    assert!(toml::from_str::<Choice>("name = \"ens5\"").is_err(), "no such key");
}

#[test]
fn a_port_is_chosen_by_each_of_its_names() {
    let node = virtio(|_| {});
    for text in [
        BY_DRIVER,
        "interface = \"ens5\"",
        "interface = \"enp0s5\"",
        "pci = \"0000:00:05.0\"",
        "mac = \"52:54:00:00:00:05\"",
        "driver = \"virtio_net\"\ninterface = \"ens5\"",
    ] {
        let seen = chosen(text, &node);
        let names: Vec<_> = seen.ports.values().map(InterfaceName::as_str).collect();
        assert_eq!((names, seen.refused.len()), (vec!["ens5"], 0), "{text}");
    }
    assert_eq!(chosen("driver = \"virtio-pci\"", &node), Chosen::default(), "not the function's");
}

#[test]
fn every_reason_against_a_registration_is_told_and_none_is_planned() {
    let link = |matches: &str, to: &str| {
        let matches = matches.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let file = LinkFile {
            matches: matches.into_iter().collect(),
            name: Some(to.to_owned()),
            name_policy: None,
        };
        Reading::Known(BTreeMap::from([("/etc/systemd/network/10-a.link".to_owned(), file)]))
    };
    let unread = || "permission denied".to_owned();
    let second = |node: &mut Snapshot| {
        let twin = Interface { index: 4, ..port_of(node).clone() };
        inner(&mut node.interfaces).insert("ens5v".parse().unwrap(), twin);
    };
    let profile = |text: &str| {
        let path = "/etc/NetworkManager/system-connections/port".to_owned();
        Reading::Known(BTreeMap::from([(path, Profile::keyfile(text))]))
    };
    let network = |text: &str| {
        let plugins = attachment::parse(text.as_bytes()).unwrap();
        Reading::Known(BTreeMap::from([("/etc/cni/net.d/a.conf".to_owned(), plugins)]))
    };
    let cases: [(&str, &str, Snapshot, &str); 20] = [
        (
            "lo",
            "mac = \"00:00:00:00:00:00\"",
            virtio(|node| {
                let lo = inner(&mut node.interfaces)
                    .get_mut(&LOOPBACK.parse::<InterfaceName>().unwrap());
                lo.unwrap().mac = Reading::Known(MacAddress([0; 6]));
            }),
            "panic",
        ),
        ("veth0", "interface = \"veth0\"", virtio(|_| {}), "no PCI function"),
        ("ens0", "interface = \"ens0\"", node(), "Onload drives this card through sfc"),
        ("ens5v", BY_DRIVER, virtio(second), "ens5 is of the same PCI function"),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| {
                port_of(node).uppers = Reading::Known(BTreeSet::from(["bond0".parse().unwrap()]));
            }),
            "bond0 is on top of it",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| node.link_files = link("", "lan0")),
            "10-a.link may rename it to lan0",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| node.link_files = link("Driver=igb virtio_*", "lan0")),
            "may rename",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| node.link_files = link("Path=pci-*", "lan0")),
            "may rename",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| {
                node.profiles = profile("[connection]\ntype=ethernet\ncontroller=bond0\n");
            }),
            "system-connections/port may put it under bond0",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| {
                let text = "DEVICE=lan0\nHWADDR=52:54:00:00:00:05\n";
                let file = ("/etc/sysconfig/ifcfg-a".to_owned(), Profile::ifcfg(text));
                node.profiles = Reading::Known(BTreeMap::from([file]));
            }),
            "ifcfg-a may rename it to lan0",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| {
                node.attachments = network(r#"{"type":"host-device","device":"ens5"}"#);
            }),
            "net.d/a.conf may move it into a container (plugin host-device)",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| {
                node.attachments = network(r#"{"type":"bond","links":[{"name":"enp0s5"}]}"#);
            }),
            "(plugin bond)",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| node.profiles = Reading::Unreadable(unread())),
            "NetworkManager's profiles cannot be read: permission denied",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| node.attachments = Reading::Unreadable(unread())),
            "container networks cannot be read: permission denied",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| inner(&mut node.af_xdp).can_register = false),
            "no AF_XDP",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| node.udev_done = Reading::Known(BTreeSet::from([1]))),
            "udev has not given it its name",
        ),
        ("ens6", "interface = \"ens6\"", virtio(|_| {}), "no such interface"),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| port_of(node).uppers = Reading::Unreadable(unread())),
            "permission denied",
        ),
        (
            "ens5",
            BY_DRIVER,
            virtio(|node| node.link_files = Reading::Unreadable(unread())),
            "permission denied",
        ),
        (
            "af-xdp",
            BY_DRIVER,
            virtio(|node| node.interfaces = Reading::Unreadable(unread())),
            "permission denied",
        ),
    ];
    for (subject, text, snapshot, why) in cases {
        let plan = planned(text, "host", &snapshot);
        let remark = plan.remarks.iter().find(|one| one.subject == subject);
        let remark = remark.unwrap_or_else(|| panic!("{subject} ({why}): {:?}", plan.remarks));
        assert!(remark.blocker.why().contains(why), "{why}: {}", remark.blocker.why());
        assert!(!remark.blocker.fix().is_empty());
        let own = format!("register {subject} with");
        assert!(!steps(&plan).iter().any(|step| step.starts_with(&own)), "{why}: {plan:?}");
        assert_eq!(plan.blockers, [], "{why}: in the way of nothing else");
    }
}

#[test]
fn a_container_network_that_stands_on_the_port_does_not_move_it() {
    let node = virtio(|node| {
        let plugins = attachment::parse(br#"{"type":"ipvlan","master":"ens5"}"#).unwrap();
        node.attachments = Reading::Known(BTreeMap::from([("/a.conf".to_owned(), plugins)]));
    });
    assert_eq!(chosen(BY_DRIVER, &node).refused, []);
}

#[test]
fn a_link_file_that_cannot_mean_the_port_is_no_hindrance() {
    for (key, value, name) in [
        ("Driver", "igb ixgbe", Some("lan0")),
        ("MACAddress", "52:54:00:00:00:06", Some("lan0")),
        ("PermanentMACAddress", "52:54:00:00:00:05", Some("lan0")),
        ("Driver", "virtio_net", Some("ens5")),
        ("Driver", "virtio_net", None),
        ("OriginalName", "wlan0", Some("lan0")),
    ] {
        let file = LinkFile {
            matches: BTreeMap::from([(key.to_owned(), value.to_owned())]),
            name: name.map(str::to_owned),
            name_policy: None,
        };
        let node = virtio(|node| {
            node.link_files = Reading::Known(BTreeMap::from([("/a.link".to_owned(), file)]));
        });
        assert_eq!(chosen(BY_DRIVER, &node).refused, [], "{key}={value}");
    }
}

#[test]
fn of_the_link_files_that_match_the_first_counts_with_a_name_or_without() {
    let file = |key: &str, value: &str, name: Option<&str>| LinkFile {
        matches: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        name: name.map(str::to_owned),
        name_policy: None,
    };
    let late = ("/etc/systemd/network/50-b.link", file("Driver", "virtio_net", Some("lan0")));
    let refused = |first: LinkFile| {
        let node = virtio(|node| {
            let first = ("/usr/lib/systemd/network/20-a.link", first);
            let files = [first, late.clone()].map(|(path, file)| (path.to_owned(), file));
            node.link_files = Reading::Known(BTreeMap::from(files));
        });
        chosen(BY_DRIVER, &node).refused.len()
    };
    for (key, value) in [("Driver", "igb virtio_*"), ("OriginalName", "*")] {
        assert_eq!(refused(file(key, value, None)), 0, "{key}={value}");
        assert_eq!(refused(file(key, value, Some("ens5"))), 0, "{key}={value}");
    }
    for (key, value) in [
        ("Driver", "igb"),
        ("Driver", "!igb virtio_net"),
        ("Property", "A=1"),
        ("OriginalName", "eth* *"),
        ("Path", "pci-*"),
    ] {
        assert_eq!(refused(file(key, value, None)), 1, "{key}={value}: not beyond doubt");
    }
    assert_eq!(refused(LinkFile::default()), 1, "it is for nothing");
}

#[test]
fn a_node_without_a_card_gets_the_stack_and_then_the_registration() {
    let bare = virtio(|node| {
        node.modules = Reading::Known(BTreeMap::new());
        node.af_xdp = Reading::Absent;
    });
    let plan = planned(BY_DRIVER, "host", &bare);
    assert_eq!(steps(&plan), ["load module onload from host", REGISTER]);
    assert_eq!(steps(&planned("", "host", &bare)), [] as [&str; 0], "off by default");
    assert_eq!(steps(&planned(BY_DRIVER, "in-tree", &bare)), [] as [&str; 0]);
    assert_eq!(steps(&planned(BY_DRIVER, "host", &virtio(|_| {}))), [REGISTER]);
    let done = virtio(|node| registered(node, "ens5"));
    assert_eq!(planned(BY_DRIVER, "host", &done), Plan::default());
    let step = crate::step::Step::RegisterAfXdp { interface: "ens5".parse().unwrap() };
    assert!(step.holds_in(&done) && !step.holds_in(&bare));
}

#[test]
fn a_swap_loses_a_registration_and_brings_it_back() {
    let done = virtio(|node| registered(node, "ens5"));
    assert_eq!(
        steps(&planned(BY_DRIVER, "9.3.0", &done)),
        [
            "unload module onload",
            "unload module sfc_char",
            "unload module sfc_resource",
            "load module onload from 9.3.0",
            REGISTER,
        ]
    );
}

#[test]
fn what_nothing_asks_for_is_told_and_left_and_a_card_of_its_own_is_not_meant() {
    let left = virtio(|node| registered(node, "ens5"));
    let plan = planned("", "host", &left);
    let told: Vec<_> = plan.remarks.iter().map(|one| one.blocker.reason()).collect();
    assert_eq!((told, plan.steps.len()), (vec!["AfXdpUnasked"], 0));
    let mut card = node();
    let known = BTreeSet::from(["ens0".parse().unwrap()]);
    card.af_xdp = Reading::Known(AfXdp { can_register: true, known });
    assert_eq!(chosen("", &card), Chosen::default());
}

#[test]
fn what_is_registered_already_stays_offered_and_the_objection_is_told() {
    let enslaved = virtio(|node| {
        registered(node, "ens5");
        port_of(node).uppers = Reading::Known(BTreeSet::from(["br0".parse().unwrap()]));
    });
    let seen = chosen(BY_DRIVER, &enslaved);
    assert_eq!((seen.ports.len(), seen.refused.len()), (1, 1));
    let plan = planned(BY_DRIVER, "host", &enslaved);
    assert_eq!((plan.blockers.len(), plan.remarks.len()), (0, 1), "nothing is taken away");
    let plan = planned(BY_DRIVER, "9.3.0", &enslaved);
    let blocked: Vec<_> = plan.blockers.iter().map(|one| one.blocker.reason()).collect();
    assert_eq!(blocked, ["AfXdpLost"], "what it would lose does not come back");
}

#[test]
fn a_pool_stands_on_a_registered_port_and_tells_programs_to_copy() {
    let hardware = Hardware::shipped();
    let stand = |snapshot: &Snapshot, ports: &[&str]| {
        let ports = ports.iter().map(|name| (*name).to_owned()).collect();
        let settings = PoolSettings { ports, ..PoolSettings::default() };
        let look = pool::Look {
            snapshot,
            hardware: &hardware,
            chosen: &chosen(BY_DRIVER, snapshot),
            profiles: &BTreeMap::new(),
        };
        pool::stand(&"onload".parse().unwrap(), &settings, &look, &pool::Standing::default())
    };
    let done = virtio(|node| registered(node, "ens5"));
    for ports in [&[][..], &["ens5"], &[FUNCTION]] {
        let standing = stand(&done, ports);
        assert_eq!(standing.places, BTreeMap::from([(Place::node(None), None)]), "{ports:?}");
        let answer = standing.answer.unwrap();
        assert_eq!(answer.environment.get("EF_AF_XDP_ZEROCOPY").map(String::as_str), Some("0"));
    }
    let cause = stand(&virtio(|_| {}), &[]).places[&Place::node(None)].clone().unwrap();
    assert_eq!(cause.reason(), "Unregistered");
    assert!(stand(&done, &["ens9"]).places.is_empty());
    let both = virtio(|node| {
        registered(node, "ens5");
        let card = (PORTS[0].parse().unwrap(), crate::sample::port(0));
        inner(&mut node.ports).extend([card]);
    });
    let answer = stand(&both, &[]).answer.unwrap();
    assert!(!answer.environment.contains_key("EF_AF_XDP_ZEROCOPY"), "a card is beside it");
}

#[test]
fn a_release_is_verified_when_the_port_is_registered() {
    let release = "host".parse().unwrap();
    let faults = |snapshot: &Snapshot, release: &crate::names::ReleaseName| {
        let chosen = chosen(BY_DRIVER, snapshot);
        plan::verify::faults(release, snapshot, &Hardware::shipped(), &chosen)
    };
    let missing = faults(&virtio(|_| {}), &release);
    assert!(matches!(missing.as_slice(), [Cause::Unregistered { .. }]), "{missing:?}");
    assert_eq!(faults(&virtio(|node| registered(node, "ens5")), &release), []);
    assert_eq!(faults(&virtio(|_| {}), &"in-tree".parse().unwrap()), []);
}
