//! What a kernel answers in a namespace of our own, and that it takes back what was read.

use std::process::Command;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use nix::libc::{RTA_MULTIPATH, RTA_OIF};
use rtnetlink::proto::{self, sys::SocketAddr};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use tokio_stream::StreamExt as _;

use super::super::super::interfaces;
use super::super::super::netlink::Connections;
use super::super::super::root::tests::root_with;
use super::super::super::tests::runtime;
use super::super::wire::attributes;
use super::*;

/// Set where the test itself runs in a namespace of its own.
const INSIDE: &str = "ONLOADD_TEST_NAMESPACE";

fn run(program: &str, arguments: &str) -> bool {
    let ran = Command::new(program).args(arguments.split_whitespace()).output();
    ran.is_ok_and(|output| output.status.success())
}

fn ip(arguments: &str) {
    assert!(run("ip", arguments), "ip {arguments}");
}

/// Runs the test of that name once more, in a namespace of its own. False in there.
fn outside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    if !run("unshare", "--net ip link add p0 type veth peer name p1") {
        println!("skipped: {test}: no namespace, or no ip(8), or a kernel without veth");
        return true;
    }
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let output = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
    text.lines()
        .filter(|line| line.starts_with("skipped") || line.starts_with("measured"))
        .for_each(|line| println!("{line}"));
    true
}

/// A look, in which the first end of the pair is said to be a port's, so that its settings are read.
async fn look(root: &Dir, source: &Source) -> Network {
    look_with("sfc", root, source).await
}

/// The same with another driver of that port.
async fn look_with(driver: &str, root: &Dir, source: &Source) -> Network {
    let mut seen = interfaces::read(root, source, &Reading::Absent).await;
    let Reading::Known(all) = &mut seen else { panic!("{seen:?}") };
    if let Some(port) = all.get_mut(&name("p0")) {
        port.port = Reading::Known("0000:3b:00.0".parse().unwrap());
        port.driver = Reading::Known(driver.to_owned());
    }
    match read(root, source, &seen).await {
        Reading::Known(network) => network,
        gap => panic!("{gap:?}"),
    }
}

fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

fn set_up() {
    for line in [
        "link set lo up",
        "link add p0 address 02:00:00:00:00:01 type veth peer name p1 address 02:00:00:00:00:02",
        "link property add dev p0 altname port-zero",
        "link add br0 type bridge",
        "link set p1 master br0",
        "link set p1 promisc on",
        "link set p1 type bridge_slave isolated on priority 9",
        "link set p0 mtu 1400 up",
        "link set p1 up",
        "link set br0 up",
        "addr add 10.1.0.1/24 dev p0",
        "addr add 10.1.1.1 peer 10.1.1.2/32 dev p0 noprefixroute",
        "addr add 10.1.2.1/24 dev p0 valid_lft 600 preferred_lft 300",
        "addr add 2001:db8::1/64 dev p0 nodad",
        "addr add 10.4.0.1/24 dev br0",
        "route add default via 10.1.0.9 dev p0 metric 50",
        "route add 10.9.0.0/16 via 192.168.7.1 dev p0 onlink table 77",
        "route add 10.8.0.0/16 nexthop via 10.1.0.9 dev p0 weight 2 nexthop via 10.4.0.9 dev br0",
        "-6 route add 2001:db8:9::/48 via 2001:db8::9 dev p0 metric 7",
        "route add blackhole 10.7.0.0/16",
        "rule add from 10.0.0.0/8 iif p0 lookup 77 pref 100",
        "-6 rule add oif br0 lookup 78 pref 101",
        "rule add from 10.0.0.0/8 lookup 77 pref 102",
    ] {
        ip(line);
    }
}

/// A message that was read, with the numbers of its links in it again.
fn numbered(message: &[u8], over: &[u32]) -> Vec<u8> {
    const HEADER: usize = 12;
    let (mut sent, mut over) = (message[..HEADER].to_vec(), over.iter());
    for attribute in attributes(&message[HEADER..]) {
        let attribute = attribute.unwrap();
        let mut value = attribute.value().to_vec();
        match attribute.kind() {
            RTA_OIF => value = word(*over.next().unwrap()).to_vec(),
            RTA_MULTIPATH => {
                let mut at = 0;
                while at < value.len() {
                    value[at + 4..at + 8].copy_from_slice(&word(*over.next().unwrap()));
                    at += usize::from(u16::from_ne_bytes([value[at], value[at + 1]]));
                }
            }
            _ => {}
        }
        put(&mut sent, attribute.kind(), &value);
    }
    sent
}

/// Has the kernel add something.
async fn add(kind: u16, payload: Vec<u8>) {
    let (mut connection, handle, _) = proto::new_connection::<Raw>(NETLINK_ROUTE).unwrap();
    connection.set_forward_ack(true);
    let connection = tokio::spawn(connection);
    let mut message = NetlinkMessage::from(Raw { kind, payload });
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    let mut answers = handle.request(message, SocketAddr::new(0, 0)).unwrap();
    match answers.next().await.unwrap().payload {
        NetlinkPayload::Error(error) => assert_eq!(error.code, None, "{kind}: {error:?}"),
        other => panic!("{other:?}"),
    }
    connection.abort();
}

fn shown<'a>(all: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    all.into_iter().map(String::as_str).collect()
}

#[test]
fn a_namespace_is_read_and_the_kernel_takes_it_back() {
    if outside("a_namespace_is_read_and_the_kernel_takes_it_back") {
        return;
    }
    set_up();
    let (_place, root) = root_with(&[]);
    runtime().block_on(async {
        let source = Source::Live(Connections::default());
        let network = look(&root, &source).await;
        let port = &network.links[&name("p0")];
        let addresses = shown(port.addresses.iter().map(|address| &address.shown));
        let expected =
            ["10.1.0.1/24", "10.1.1.1 peer 10.1.1.2/32", "10.1.2.1/24", "2001:db8::1/64"];
        assert_eq!(addresses, expected);
        let routes = shown(port.routes.iter().map(|route| &route.shown));
        let expected = [
            "10.8.0.0/16 nexthop via 10.1.0.9 dev p0 weight 2 \
             nexthop via 10.4.0.9 dev br0 weight 1",
            "10.9.0.0/16 via 192.168.7.1 dev p0 table 77 onlink",
            "2001:db8:9::/48 via 2001:db8::9 dev p0 metric 7",
            "default via 10.1.0.9 dev p0 metric 50",
        ];
        assert_eq!(routes, expected);
        let rules = shown(network.rules.iter().map(|rule| &rule.shown));
        assert_eq!(
            rules,
            ["100: from 10.0.0.0/8 iif p0 lookup 77", "101: from all oif br0 lookup 78"]
        );
        assert_eq!((port.mtu, port.up, port.promiscuous), (1400, true, false));
        assert_eq!(port.altnames, BTreeSet::from(["port-zero".to_owned()]));
        assert_eq!((&port.below, &port.qdisc), (&None, &None));
        assert!(port.settings.keys().any(|key| key.starts_with("feature.")), "{port:?}");
        let foreign = look_with("veth", &root, &source).await;
        assert!(foreign.links[&name("p0")].settings.is_empty(), "nobody asked for them");
        let member = &network.links[&name("p1")];
        assert_eq!((&member.master, member.promiscuous), (&Some(name("br0")), true));
        assert!(!member.membership.is_empty() && member.settings.is_empty());
        assert_eq!(network.links[&name("br0")].made, made("bridge", &[]));
        let lifetimes: Vec<_> = port.addresses.iter().map(|one| one.valid.is_some()).collect();
        assert_eq!(lifetimes, [false, false, true, false]);

        recorded(&root, &source, &network).await;
        taken_back(&root, &source, &network).await;
        gone(&root, &source).await;
        measured(&root, &source).await;
    });
}

/// The answers as a recording keeps them read as the kernel's.
async fn recorded(root: &Dir, source: &Source, network: &Network) {
    let copy = tempfile::tempdir().unwrap();
    let seen = root.record(copy.path(), look(root, source)).await.unwrap();
    let copied = Dir::root(copy.path(), BTreeMap::new()).unwrap();
    assert_eq!(look(&copied, &Source::Recorded).await, seen);
    assert_eq!(seen.links.keys().collect::<Vec<_>>(), network.links.keys().collect::<Vec<_>>());
    std::fs::remove_file(copy.path().join(".netlink/rules.bin")).unwrap();
    let all = interfaces::read(&copied, &Source::Recorded, &Reading::Absent).await;
    assert!(read(&copied, &Source::Recorded, &all).await.is_absent(), "a capture of before");
}

/// Takes away what was read, and gives it to the kernel as it was read.
async fn taken_back(root: &Dir, source: &Source, before: &Network) {
    for line in [
        // Neither goes with the addresses.
        "route del 10.8.0.0/16",
        "-6 route del 2001:db8:9::/48",
        "addr flush dev p0",
        "rule del pref 100",
        "-6 rule del pref 101",
        "route flush table 77",
    ] {
        ip(line);
    }
    let seen = interfaces::read(root, source, &Reading::Absent).await.into_known().unwrap();
    let number = |name: &InterfaceName| seen[name].index;
    let port = &before.links[&name("p0")];
    assert!(look(root, source).await.links[&name("p0")].addresses.is_empty());
    for address in &port.addresses {
        let mut payload = address.message.0.clone();
        payload[4..8].copy_from_slice(&word(number(&name("p0"))));
        let times = [address.preferred, address.valid].map(|time| time.unwrap_or(u32::MAX));
        put(&mut payload, 6, &[times[0], times[1], 0, 0].map(word).concat());
        add(RTM_NEWADDR, payload).await;
    }
    for route in &port.routes {
        let over: Vec<u32> = route.over.iter().map(number).collect();
        add(RTM_NEWROUTE, numbered(&route.message.0, &over)).await;
    }
    for rule in &before.rules {
        add(RTM_NEWRULE, rule.message.0.clone()).await;
    }
    let mut after = look(root, source).await;
    let mut before = before.clone();
    for network in [&mut after, &mut before] {
        // Lifetimes run.
        let link = network.links.get_mut(&name("p0")).unwrap();
        let addresses = std::mem::take(&mut link.addresses);
        let without = |address| Address { valid: None, preferred: None, ..address };
        link.addresses = addresses.into_iter().map(without).collect();
    }
    assert_eq!(after, before);
}

/// An interface that goes between the parts of a look is left out.
async fn gone(root: &Dir, source: &Source) {
    let seen = interfaces::read(root, source, &Reading::Absent).await;
    ip("link del br0");
    ip("link set p1 name p9");
    let network = read(root, source, &seen).await.into_known().unwrap();
    let left: Vec<&str> = network.links.keys().map(InterfaceName::as_str).collect();
    assert_eq!(left, ["lo", "p0"]);
}

/// What a look costs, for the record.
async fn measured(root: &Dir, source: &Source) {
    const LOOKS: u32 = 20;
    let seen = interfaces::read(root, source, &Reading::Absent).await;
    let began = Instant::now();
    for _ in 0..LOOKS {
        assert!(read(root, source, &seen).await.known().is_some());
    }
    let each: Duration = began.elapsed() / LOOKS;
    println!("measured: {each:?} for a look at three interfaces");
}

#[test]
fn links_of_software_are_read_as_they_are_made() {
    if outside("links_of_software_are_read_as_they_are_made") {
        return;
    }
    ip("link add p0 type veth peer name p1");
    let (_place, root) = root_with(&[]);
    let read =
        || runtime().block_on(async { look(&root, &Source::Live(Connections::default())).await });
    let kinds = [
        ("vlan", "link p0 name x type vlan id 100 reorder_hdr off"),
        ("macvlan", "link p0 name x type macvlan mode bridge"),
        ("macvtap", "link p0 name x type macvtap mode bridge"),
        ("ipvlan", "link p0 name x type ipvlan mode l3"),
        ("dummy", "name x type dummy"),
    ];
    for (kind, how) in kinds {
        if !run("ip", &format!("link add {how}")) {
            println!("skipped: a link of kind {kind}: this kernel makes none");
            continue;
        }
        let network = read();
        let link = &network.links[&name("x")];
        let made = link.made.as_ref().unwrap();
        assert_eq!(made.kind, kind);
        assert_eq!(made.data.is_empty(), kind == "dummy");
        assert_eq!(link.lost.is_empty(), kind != "macvtap", "{:?}", link.lost);
        assert_eq!(link.below, (kind != "dummy").then(|| name("p0")));
        ip("link del x");
    }
    if !run("ip", "link add b0 type bond mode active-backup") {
        println!("skipped: a link of kind bond: this kernel makes none");
        return;
    }
    ip("link set p1 master b0");
    let network = read();
    let member = &network.links[&name("p1")];
    assert_eq!(member.master, Some(name("b0")));
    assert!(!member.membership.is_empty());
}

#[test]
fn what_nothing_puts_back_is_told_of_a_kernels_links() {
    if outside("what_nothing_puts_back_is_told_of_a_kernels_links") {
        return;
    }
    for line in [
        "link add p0 type veth peer name p1",
        "link set p0 up",
        "link set p1 up",
        "addr add 10.1.0.1/24 dev p0",
    ] {
        ip(line);
    }
    let (_place, root) = root_with(&[]);
    let lost = || {
        let source = Source::Live(Connections::default());
        let network = runtime().block_on(look(&root, &source));
        network.links[&name("p0")].lost.iter().cloned().collect::<Vec<_>>().join("; ")
    };
    assert_eq!(lost(), "");
    if run("ip", "nexthop add id 9 via 10.1.0.9 dev p0") {
        ip("route add 10.55.0.0/16 nhid 9 proto bgp");
        assert_eq!(lost(), "", "its daemon puts it back");
        ip("route add 10.56.0.0/16 nhid 9");
        assert_eq!(lost(), lost::OBJECTS);
        ip("route del 10.56.0.0/16");
    } else {
        println!("skipped: nexthop objects: this kernel or ip(8) has none");
    }
    if run("tc", "qdisc add dev p0 clsact") {
        assert_eq!(lost(), lost::FILTERS);
    } else {
        println!("skipped: clsact: no tc(8), or a kernel without it");
    }
}
