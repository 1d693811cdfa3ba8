//! The program that changes the network, run as the daemon has it run: on interfaces of a real kernel,
//! in a network namespace made for each test. Names and places of PCI functions are below a root of the
//! test's own, for interfaces of software have none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use onload_core::naming::Renaming;
use onload_core::network::{Deed, Raw, Rule};
use onload_tests::binaries::binary;
use onload_tests::namespace::{inside, ip, printed, takes};
use onload_tests::skip::skip;
use onloadd::network::{ARGUMENT, Failure, INPUT_BYTES, Request, encode, said};
use serde_json::Value;
use tempfile::TempDir;

use messages::{address, attribute, name, route};

#[path = "network/messages.rs"]
mod messages;

/// What `ip` shows, as JSON.
fn shown(arguments: &str) -> Value {
    let out = Command::new("ip").args(["-d", "-j"]).args(arguments.split(' ')).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{arguments}: {out:?}"))
}

/// The one link of a name.
fn link(name: &str) -> Value {
    shown(&format!("link show dev {name}"))[0].clone()
}

fn is_up(name: &str) -> bool {
    link(name)["flags"].as_array().unwrap().iter().any(|flag| flag == "UP")
}

/// Own names of all links, and their other ones.
fn names() -> BTreeMap<String, BTreeSet<String>> {
    let links = shown("link show");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = links.as_array().unwrap().iter().map(|link| {
        let others = link["altnames"].as_array().into_iter().flatten().map(text).collect();
        (text(&link["ifname"]), others)
    });
    names.filter(|(name, _)| name != "lo").collect()
}

/// A root that says which port each interface belongs to.
struct Machine(TempDir);

impl Machine {
    fn new(ports: &[(&str, u32)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (name, number) in ports {
            let interface = root.path().join("sys/class/net").join(name);
            fs::create_dir_all(&interface).unwrap();
            symlink(format!("../../../0000:3b:00.{number}"), interface.join("device")).unwrap();
        }
        Self(root)
    }

    fn run(&self, input: &[u8]) -> Output {
        let mut command = Command::new(binary("onloadd"));
        command.arg(ARGUMENT).arg("--root").arg(self.0.path());
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        // It may end before it has read all of what is too much.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// What was not done.
    fn ask(&self, request: &Request) -> Vec<Failure> {
        let output = self.run(&encode(request).unwrap());
        let failures = said(&String::from_utf8_lossy(&output.stdout));
        assert_eq!(output.status.code(), Some(i32::from(!failures.is_empty())), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        failures
    }

    fn rename(&self, all: &[(&str, u32, &str)]) -> Vec<Failure> {
        let all = all.iter().map(|(from, number, to)| Renaming {
            port: format!("0000:3b:00.{number}").parse().unwrap(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            may_go_down: true,
        });
        self.ask(&Request::Rename(all.collect()))
    }
}

/// Has deeds done that must all go, twice: what is done is done.
fn restore(deeds: &[Deed]) {
    for _ in 0..2 {
        assert_eq!(Machine::new(&[]).ask(&Request::Restore(deeds.to_vec())), []);
    }
}

#[test]
fn two_ports_trade_names_while_they_are_up() {
    inside("two_ports_trade_names_while_they_are_up", || {
        ip("link add one type veth peer name two\nlink set one up\nlink set two up\n\
            addr add 10.9.0.1/24 dev one\nlink property add dev one altname uno\n");
        let [one, two] = ["one", "two"].map(|name| link(name)["ifindex"].clone());
        let machine = Machine::new(&[("one", 0), ("two", 1)]);
        assert_eq!(machine.rename(&[("one", 0, "two"), ("two", 1, "one")]), []);
        assert_eq!([link("two")["ifindex"].clone(), link("one")["ifindex"].clone()], [one, two]);
        assert!(is_up("one") && is_up("two"));
        assert_eq!(link("two")["altnames"][0], "uno");
        assert_eq!(shown("addr show dev two")[0]["addr_info"][0]["local"], "10.9.0.1");
    });
}

#[test]
fn the_former_name_leads_to_a_port_until_it_is_its_name_again() {
    inside("the_former_name_leads_to_a_port_until_it_is_its_name_again", || {
        ip("link add ens1f0np0 type veth peer name far\nlink set ens1f0np0 up\n");
        let machine = Machine::new(&[("ens1f0np0", 0), ("ens1f0", 0)]);
        let far = ("far".to_owned(), BTreeSet::new());
        let called = |own: &str, other: &str| {
            BTreeMap::from([(own.to_owned(), BTreeSet::from([other.to_owned()])), far.clone()])
        };
        for _ in 0..2 {
            assert_eq!(machine.rename(&[("ens1f0np0", 0, "ens1f0")]), []);
            assert_eq!(names(), called("ens1f0", "ens1f0np0"));
            assert_eq!(machine.rename(&[("ens1f0", 0, "ens1f0np0")]), []);
            assert_eq!(names(), called("ens1f0np0", "ens1f0"));
        }
    });
}

#[test]
fn nothing_is_renamed_in_part_or_by_mistake() {
    inside("nothing_is_renamed_in_part_or_by_mistake", || {
        ip("link add one type veth peer name two\nlink add third type bridge\n\
            link property add dev third altname tres\nlink set one up\n");
        let machine = Machine::new(&[("one", 0), ("two", 1)]);
        let before = names();
        // The last is refused by the kernel alone, when the first has its new name already: for it, one
        // byte of that is a space.
        for (all, why) in [
            ([("one", 0, "uno"), ("two", 1, "third")], "another interface is called third"),
            ([("one", 0, "uno"), ("two", 1, "tres")], "tres is another name of third"),
            ([("one", 0, "uno"), ("two", 0, "dos")], "two does not belong to 0000:3b:00.0"),
            ([("one", 0, "uno"), ("third", 2, "dos")], "third does not belong"),
            ([("one", 0, "uno"), ("four", 3, "dos")], "no interface is called four"),
            (
                [("one", 0, "uno"), ("two", 1, "dos\u{a0}")],
                "rename two to dos\u{a0}: Invalid argument",
            ),
        ] {
            let failures = machine.rename(&all);
            assert!(failures.len() == 1 && failures[0].to_string().contains(why), "{failures:?}");
            assert_eq!(names(), before, "{why}");
        }
        assert!(is_up("one"));
    });
}

#[test]
fn addresses_and_routes_and_rules_come_back() {
    inside("addresses_and_routes_and_rules_come_back", || {
        ip("link add one type veth peer name two\n");
        let rule = Rule {
            shown: "from all iif one lookup 77".to_owned(),
            names: BTreeSet::from([name("one")]),
            // AF_INET, table 77, to a table; FRA_IIFNAME, FRA_PRIORITY.
            message: Raw([
                &[2, 0, 0, 0, 77, 0, 0, 1, 0, 0, 0, 0][..],
                &attribute(3, b"one\0"),
                &attribute(6, &900_u32.to_ne_bytes()),
            ]
            .concat()),
        };
        let up = |link: &str| Deed::Up { link: name(link), up: true };
        restore(&[
            up("one"),
            up("two"),
            address("one", false, 1, None),
            address("one", false, 2, Some(1000)),
            address("one", true, 1, Some(2000)),
            address("two", false, 3, None),
            route(&["one"], &[9]),
            Deed::Rule { rule },
        ]);
        let one = &shown("addr show dev one")[0]["addr_info"];
        let found: Vec<_> =
            one.as_array().unwrap().iter().filter(|one| one["scope"] == "global").collect();
        let local: Vec<_> = found.iter().map(|one| one["local"].as_str().unwrap()).collect();
        assert_eq!(local, ["10.9.0.1", "10.9.0.2", "fd09::1"]);
        let life = |one: &Value, what: &str| one[what].as_u64().unwrap();
        assert_eq!(life(found[0], "valid_life_time"), u64::from(u32::MAX));
        assert!((900..=1000).contains(&life(found[1], "valid_life_time")), "{one}");
        assert!((900..=1000).contains(&life(found[2], "preferred_life_time")), "{one}");
        let route = &shown("route show 192.0.2.0/24")[0];
        assert_eq!((&route["gateway"], &route["dev"]), (&"10.9.0.9".into(), &"one".into()));
        let rules = shown("rule show priority 900");
        assert_eq!((rules.as_array().unwrap().len(), &rules[0]["iif"]), (1, &"one".into()));
    });
}

#[test]
fn a_route_over_two_links_leaves_by_both_in_order() {
    inside("a_route_over_two_links_leaves_by_both_in_order", || {
        ip("link add one type veth peer name two\nlink set one up\nlink set two up\n\
            addr add 10.9.0.1/25 dev one\naddr add 10.9.0.129/25 dev two\n");
        let over = ["two", "one"];
        let deed = route(&over, &[130, 2]);
        let failures = Machine::new(&[]).ask(&Request::Restore(vec![deed.clone()]));
        if failures.iter().any(|failure| failure.why.contains("not supported")) {
            return skip("a route over two links", &failures[0].why);
        }
        // As the kernel leaves it when the other link goes.
        ip("route replace 192.0.2.0/24 via 10.9.0.2 dev one\n");
        restore(&[deed]);
        let hops = shown("route show 192.0.2.0/24")[0]["nexthops"].clone();
        let hops = hops.as_array().unwrap().iter();
        assert_eq!(hops.map(|hop| hop["dev"].as_str().unwrap()).collect::<Vec<_>>(), over);
    });
}

#[test]
fn a_route_over_one_link_gives_way_to_what_is_there() {
    inside("a_route_over_one_link_gives_way_to_what_is_there", || {
        ip("link add one type veth peer name two\nlink set one up\nlink set two up\n\
            addr add 10.9.0.1/24 dev one\nroute add 192.0.2.0/24 via 10.9.0.7 dev one\n");
        restore(&[route(&["one"], &[9])]);
        let found = shown("route show 192.0.2.0/24");
        assert_eq!(found.as_array().map(Vec::len), Some(1));
        assert_eq!(found[0]["gateway"], "10.9.0.7");
    });
}

#[test]
fn links_are_made_and_set_and_joined() {
    inside("links_are_made_and_set_and_joined", || {
        ip("link add one numtxqueues 4 numrxqueues 4 type veth peer name two\nlink set one up\n");
        let mac = "02:0f:53:01:02:03";
        let settings = |all: &[(&str, u64)]| {
            all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect::<BTreeMap<_, _>>()
        };
        // IFLA_INFO_SLAVE_KIND and _DATA: priority 5, learning off.
        let data = [attribute(2, &5_u16.to_ne_bytes()), attribute(8, &[0])].concat();
        let membership = Raw([attribute(4, b"bridge\0"), attribute(5, &data)].concat());
        restore(&[
            Deed::Make {
                link: name("br0"),
                below: None,
                kind: "bridge".to_owned(),
                data: Raw::default(),
            },
            Deed::Mac { link: name("one"), mac: mac.parse().unwrap() },
            Deed::Set {
                link: name("one"),
                group: "channels".to_owned(),
                settings: settings(&[("rx", 2), ("tx", 2)]),
            },
            Deed::Set {
                link: name("one"),
                group: "feature".to_owned(),
                settings: settings(&[("rx-gro", 0)]),
            },
            Deed::Join { link: name("one"), master: name("br0"), membership },
            Deed::Mtu { link: name("one"), mtu: 9000 },
            Deed::Altnames {
                link: name("one"),
                names: BTreeSet::from(["uno".to_owned(), "a-name-of-more-than-15".to_owned()]),
            },
            Deed::Listen { link: name("one"), promiscuous: true, all_multicast: true },
            Deed::Up { link: name("br0"), up: true },
            Deed::Qdisc { link: name("one"), kind: "pfifo".to_owned() },
        ]);
        let one = link("one");
        assert_eq!(
            (&one["address"], &one["mtu"], &one["master"]),
            (&mac.into(), &9000.into(), &"br0".into())
        );
        let member = &one["linkinfo"]["info_slave_data"];
        assert_eq!((&member["priority"], &member["learning"]), (&5.into(), &false.into()));
        let flags = one["flags"].as_array().unwrap();
        for flag in ["UP", "PROMISC", "ALLMULTI"] {
            assert!(flags.iter().any(|one| one == flag), "{flag}: {flags:?}");
        }
        assert_eq!(
            (&one["qdisc"], one["altnames"].as_array().unwrap().len()),
            (&"pfifo".into(), 2)
        );
        // Nothing else shows these two without a program that need not be here.
        let off = Deed::Set {
            link: name("one"),
            group: "channels".to_owned(),
            settings: settings(&[("rx", 5), ("tx", 3)]),
        };
        let failures = Machine::new(&[]).ask(&Request::Restore(vec![off]));
        assert!(failures.len() == 1 && failures[0].why.starts_with("rx: "), "{failures:?}");
        assert!(!failures[0].why.contains("tx: "), "what can be set is: {failures:?}");
        restore(&[Deed::Up { link: name("one"), up: false }]);
        assert!(!is_up("one"));
    });
}

#[test]
fn a_vlan_and_a_bond_come_back() {
    const TEST: &str = "a_vlan_and_a_bond_come_back";
    inside(TEST, || {
        ip("link add one type veth peer name two\nlink set one up\n");
        if takes("link add link one name probe type vlan id 9\nlink del probe\n") {
            let data =
                Raw([attribute(1, &7_u16.to_ne_bytes()), attribute(5, &[0x88, 0xa8])].concat());
            let kind = "vlan".to_owned();
            restore(&[Deed::Make { link: name("one.7"), below: Some(name("one")), kind, data }]);
            let made = link("one.7");
            let info = &made["linkinfo"]["info_data"];
            assert_eq!((&made["link"], &info["id"]), (&"one".into(), &7.into()));
            assert_eq!(info["protocol"], "802.1ad");
        } else {
            skip(TEST, "this kernel makes no VLAN");
        }
        if takes("link add bond0 type bond mode active-backup\n") {
            let membership = Raw::default();
            restore(&[Deed::Join { link: name("one"), master: name("bond0"), membership }]);
            assert_eq!(link("one")["master"], "bond0");
            assert!(is_up("one"));
        } else {
            skip(TEST, "this kernel makes no bond");
        }
    });
}

#[test]
fn what_fails_keeps_nothing_else_from_being_tried() {
    inside("what_fails_keeps_nothing_else_from_being_tried", || {
        ip("link add one type veth peer name two\nlink add third type bridge\n");
        let gone = || name("gone");
        let deeds = vec![
            Deed::Up { link: gone(), up: true },
            Deed::Make {
                link: name("two"),
                below: None,
                kind: "bridge".to_owned(),
                data: Raw::default(),
            },
            Deed::Make {
                link: name("x"),
                below: None,
                kind: "no-such".to_owned(),
                data: Raw::default(),
            },
            Deed::Altnames {
                link: name("one"),
                names: BTreeSet::from(["third".to_owned(), "uno".to_owned()]),
            },
            Deed::Set {
                link: name("one"),
                group: "private".to_owned(),
                settings: BTreeMap::from([("odd".to_owned(), 1)]),
            },
            Deed::Functions { link: name("one"), count: 2 },
            route(&["one"], &[9]),
            address("one", false, 1, Some(0)),
            Deed::Up { link: name("one"), up: true },
        ];
        let failures = Machine::new(&[]).ask(&Request::Restore(deeds));
        let told: Vec<_> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 8, "{told:#?}");
        assert_eq!(told[0], "set gone up: there is no interface gone");
        assert!(told[1].starts_with("make bridge two: "), "{told:#?}");
        assert!(told[6].starts_with("add the route 192.0.2.0/24: "), "{told:#?}");
        assert!(is_up("one"));
        assert_eq!(link("one")["altnames"][0], "uno");
    });
}

#[test]
fn what_is_no_request_is_refused_and_nothing_is_tried() {
    let machine = Machine::new(&[]);
    let huge = " ".repeat(INPUT_BYTES * 2);
    for text in ["", "[", "{}", r#"{"rename":1}"#, r#"{"remove":[]}"#, &huge] {
        let output = machine.run(text.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let told = printed(&output);
        assert!(told.contains("nothing was done") && said(&told).is_empty(), "{told}");
    }
    let help = Command::new(binary("onloadd")).arg("--help").output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains(ARGUMENT));
    let both = Command::new(binary("onloadd")).args([ARGUMENT, "--boot"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}
