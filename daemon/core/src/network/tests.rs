//! Network state as tables: what goes with a driver, the gaps in order, what differs; and at random.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::names::{InterfaceName, MacAddress};

mod lost;
pub(crate) mod random;
mod tables;

pub(crate) const PORT: &str = "0000:3b:00.0";
pub(crate) const OTHER: &str = "0000:3b:00.1";

pub(crate) fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

pub(crate) fn mac(last: u8) -> MacAddress {
    format!("00:0f:53:a1:00:{last:02x}").parse().unwrap()
}

pub(crate) fn port(address: &str, last: u8) -> NetworkLink {
    NetworkLink {
        port: Some(address.parse().unwrap()),
        up: true,
        mtu: 1500,
        mac: Some(mac(last)),
        ..NetworkLink::default()
    }
}

/// A link of software; what it is made with is its number.
pub(crate) fn made(kind: &str, number: u8, below: Option<&str>) -> NetworkLink {
    NetworkLink {
        made: Some(Made { kind: kind.to_owned(), data: Raw(vec![number]) }),
        below: below.map(name),
        up: true,
        mtu: 1500,
        mac: Some(mac(0)),
        ..NetworkLink::default()
    }
}

pub(crate) fn address(text: &str, valid: Option<u32>) -> Address {
    let message = Raw(text.as_bytes().to_vec());
    Address { shown: text.to_owned(), message, valid, preferred: valid }
}

pub(crate) fn route(shown: &str, over: &[&str], has_gateway: bool) -> Route {
    let message = Raw(shown.as_bytes().to_vec());
    let over = over.iter().map(|text| name(text)).collect();
    Route { shown: shown.to_owned(), default: shown == "default", has_gateway, over, message }
}

/// A rule as the kernel writes it: a header, a table, and the interface by which packets come.
pub(crate) fn rule(by: &str) -> Rule {
    let mut message = vec![2; 12];
    let mut attribute = |kind: u16, value: &[u8]| {
        let length = u16::try_from(4 + value.len()).unwrap();
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    };
    attribute(15, &7_u32.to_ne_bytes());
    attribute(3, &[by.as_bytes(), &[0]].concat());
    attribute(6, &100_u32.to_ne_bytes());
    let shown = format!("from all iif {by} lookup 7");
    Rule { shown, names: BTreeSet::from([name(by)]), message: Raw(message) }
}

pub(crate) fn network<const N: usize>(links: [(&str, NetworkLink); N]) -> Network {
    let links = links.into_iter().map(|(text, link)| (name(text), link)).collect();
    Network { links, rules: BTreeSet::new() }
}

pub(crate) fn kept(network: Network) -> Kept {
    Kept { network, at: Moment(10_000), boot: None, change: 1 }
}

/// A bond of two ports, with a VLAN that has an address and routes.
pub(crate) fn bonded() -> Network {
    let member = |address: &str, last: u8| NetworkLink {
        master: Some(name("bond0")),
        membership: Raw(vec![8, 0, 5, 0]),
        mtu: 9000,
        settings: BTreeMap::from([("ring.rx".to_owned(), 1024), ("feature.tso".to_owned(), 1)]),
        altnames: BTreeSet::from([format!("enp59s0f{last}")]),
        ..port(address, 0)
    };
    let vlan = NetworkLink {
        mtu: 9000,
        addresses: BTreeSet::from([address("10.0.0.1/24", None)]),
        routes: BTreeSet::from([
            route("10.1.0.0/16 via 10.0.0.9", &["vlan100"], true),
            route("10.0.9.0/24", &["vlan100"], false),
        ]),
        ..made("vlan", 100, Some("bond0"))
    };
    network([
        ("ens1f0", member(PORT, 0)),
        ("ens1f1", member(OTHER, 1)),
        ("bond0", NetworkLink { mtu: 9000, ..made("bond", 0, None) }),
        ("vlan100", vlan),
    ])
}

/// What another driver's load shows of a port.
pub(crate) fn fresh(address: &str, last: u8) -> NetworkLink {
    let settings = BTreeMap::from([("ring.rx".to_owned(), 512)]);
    NetworkLink { up: false, settings, ..port(address, last) }
}

pub(crate) fn shown(deeds: &[Deed]) -> Vec<String> {
    deeds.iter().map(ToString::to_string).collect()
}
