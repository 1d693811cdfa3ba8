//! Routes as they can be added again, without those that the kernel makes itself or a daemon of routing
//! finds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink_packet_core::{DecodeError, parse_u32};
use nix::libc::{
    AF_INET, AF_INET6, RTA_CACHEINFO, RTA_DST, RTA_GATEWAY, RTA_MULTIPATH, RTA_OIF, RTA_PREFSRC,
    RTA_PRIORITY, RTA_SRC, RTA_TABLE, RTM_F_CLONED, RTM_NEWROUTE, RTN_UNICAST, RTPROT_KERNEL,
    RTPROT_REDIRECT,
};
use onload_core::names::InterfaceName;
use onload_core::network::{Raw, Route};
use onload_core::reading::Reading;

use super::super::addresses::ip;
use super::wire::{apart, attributes, each, put_with};

/// Length of `struct rtmsg`: family, two prefix lengths, TOS, table, protocol, scope, type, flags.
const HEADER_BYTES: usize = 12;
/// Length of `struct rtnexthop`: length, flags, hops, interface index.
const HOP_BYTES: usize = 8;
/// `RTA_VIA` of `linux/rtnetlink.h`: a gateway of another family.
const VIA: u16 = 18;
/// `RTA_NH_ID` of `linux/rtnetlink.h`: the route leads by an object of its own.
const NEXT_HOP_OBJECT: u16 = 30;
/// `RTPROT_RA` of `linux/rtnetlink.h`: a router announced it.
const FROM_ROUTER: u8 = 9;
/// `RTPROT_*` of `linux/rtnetlink.h` that are daemons of routing, from gated to EIGRP. They hear of links and
/// put their routes back, or no longer want them. 16 is DHCP, whose clients ask anew only when a lease ends.
const DAEMONS: [u8; 16] = [8, 10, 11, 12, 13, 14, 15, 17, 18, 42, 99, 186, 187, 188, 189, 192];
/// `RT_TABLE_LOCAL` and `RT_TABLE_MAIN` of `linux/rtnetlink.h`.
const LOCAL_TABLE: u32 = 255;
const MAIN_TABLE: u32 = 254;
/// `RTNH_F_ONLINK` and `RTNH_F_PERVASIVE` of `linux/rtnetlink.h`: the two that are set, where the others
/// are what has become of the link.
const ON_LINK: u8 = 4;
const PERVASIVE: u8 = 2;
const HOP_FLAGS: u8 = ON_LINK | PERVASIVE;
/// Where `struct rta_cacheinfo` tells when a route ends.
const ENDS: std::ops::Range<usize> = 8..12;
/// `RTN_*` of `linux/rtnetlink.h` that leave by a link and are not the plain kind.
const KINDS: [(u8, &str); 7] = [
    (2, "local"),
    (3, "broadcast"),
    (4, "anycast"),
    (5, "multicast"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
];

/// Routes that leave by links.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Routes {
    pub(super) kept: Vec<Route>,
    /// Numbers of links by which others leave through objects, as far as the kernel tells.
    pub(super) by_objects: BTreeSet<u32>,
}

/// One of them.
enum Found {
    Kept(Route),
    ByObject(Vec<u32>),
}

/// Routes that leave by links of these names. One that ends by itself is somebody's to renew.
pub(super) fn parse(answer: &[u8], names: &BTreeMap<u32, InterfaceName>) -> Reading<Routes> {
    each(answer, RTM_NEWROUTE, |payload| route(payload, names)).map(|all| {
        let mut routes = Routes::default();
        for found in all {
            match found {
                Found::Kept(route) => routes.kept.push(route),
                Found::ByObject(links) => routes.by_objects.extend(links),
            }
        }
        routes
    })
}

fn route(
    payload: &[u8],
    names: &BTreeMap<u32, InterfaceName>,
) -> Result<Option<Found>, DecodeError> {
    let (header, list) = apart::<HEADER_BYTES>(payload)?;
    let [family, to_bits, from_bits, tos, table, protocol, scope, kind, a, b, c, d] = *header;
    let flags = u32::from_ne_bytes([a, b, c, d]);
    let mut message = vec![family, to_bits, from_bits, tos, table, protocol, scope, kind];
    message.extend((flags & u32::from(HOP_FLAGS)).to_ne_bytes());
    let mut said = Said { table: u32::from(table), ..Said::default() };
    let (mut ends, mut by_object) = (false, false);
    for attribute in attributes(list) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            RTA_CACHEINFO => {
                ends |= parse_u32(value.get(ENDS).unwrap_or_default())? != 0;
                continue;
            }
            RTA_OIF => {
                said.hops.push(Hop { link: parse_u32(value)?, ..Hop::default() });
                put_with(&mut message, &attribute, &0_u32.to_ne_bytes());
                continue;
            }
            RTA_MULTIPATH => {
                let (hops, masked) = hops(family, value)?;
                said.hops.extend(hops);
                put_with(&mut message, &attribute, &masked);
                continue;
            }
            NEXT_HOP_OBJECT => by_object = true,
            RTA_TABLE => said.table = parse_u32(value)?,
            RTA_PRIORITY => said.metric = parse_u32(value)?,
            RTA_DST => said.to = ip(family, value),
            RTA_SRC => said.from = ip(family, value),
            RTA_PREFSRC => said.source = ip(family, value),
            RTA_GATEWAY => said.gateway = ip(family, value),
            VIA => said.gateway = via(value),
            _ => {}
        }
        put_with(&mut message, &attribute, value);
    }
    // Of those of multicast and others there is nothing here to put back.
    let of_ip = [AF_INET, AF_INET6].contains(&i32::from(family));
    let made = [RTPROT_KERNEL, RTPROT_REDIRECT, FROM_ROUTER].contains(&protocol)
        || DAEMONS.contains(&protocol);
    if ends || !of_ip || made || said.table == LOCAL_TABLE || flags & RTM_F_CLONED != 0 {
        return Ok(None);
    }
    if by_object {
        return Ok(Some(Found::ByObject(said.hops.iter().map(|hop| hop.link).collect())));
    }
    let over = said.hops.iter().map(|hop| names.get(&hop.link).cloned());
    // A link that is not in the answer about links came or went meanwhile.
    let Some(over) = over.collect::<Option<Vec<_>>>().filter(|over| !over.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Found::Kept(Route {
        shown: said.shown(kind, [to_bits, from_bits], tos, flags, &over),
        default: to_bits == 0 && kind == RTN_UNICAST && said.table == MAIN_TABLE,
        has_gateway: said.gateway.is_some() || said.hops.iter().any(|hop| hop.gateway.is_some()),
        over,
        message: Raw(message),
    })))
}

/// One way of a route.
#[derive(Default)]
struct Hop {
    link: u32,
    gateway: Option<IpAddr>,
    weight: u16,
    flags: u8,
}

/// The ways of a route that has several, and the list without what is the links' own.
fn hops(family: u8, mut list: &[u8]) -> Result<(Vec<Hop>, Vec<u8>), DecodeError> {
    let (mut hops, mut masked) = (Vec::new(), Vec::new());
    let cut_off = || DecodeError::from("a next hop is cut off");
    while !list.is_empty() {
        let Some(&[low, high, flags, weight, a, b, c, d]) = list.first_chunk::<HOP_BYTES>() else {
            return Err(cut_off());
        };
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let own = list.get(HOP_BYTES..length).ok_or_else(cut_off)?;
        let mut hop = Hop {
            link: u32::from_ne_bytes([a, b, c, d]),
            gateway: None,
            weight: u16::from(weight) + 1,
            flags,
        };
        masked.extend([low, high, flags & HOP_FLAGS, weight, 0, 0, 0, 0]);
        masked.extend(own);
        masked.resize(masked.len().next_multiple_of(4), 0);
        for attribute in attributes(own) {
            let attribute = attribute?;
            match attribute.kind() {
                RTA_GATEWAY => hop.gateway = ip(family, attribute.value()),
                VIA => hop.gateway = via(attribute.value()),
                _ => {}
            }
        }
        hops.push(hop);
        list = list.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok((hops, masked))
}

/// `struct rtvia`: family, address.
fn via(value: &[u8]) -> Option<IpAddr> {
    let (family, address) = value.split_first_chunk()?;
    ip(u8::try_from(u16::from_ne_bytes(*family)).ok()?, address)
}

/// What a route says, for people.
#[derive(Default)]
struct Said {
    to: Option<IpAddr>,
    from: Option<IpAddr>,
    source: Option<IpAddr>,
    gateway: Option<IpAddr>,
    metric: u32,
    table: u32,
    hops: Vec<Hop>,
}

impl Said {
    /// In the words of ip(8), as far as those are common.
    fn shown(
        &self,
        kind: u8,
        [to, from]: [u8; 2],
        tos: u8,
        flags: u32,
        over: &[InterfaceName],
    ) -> String {
        let kind = KINDS.iter().find(|(number, _)| *number == kind);
        let mut words: Vec<String> = kind.map(|(_, kind)| (*kind).to_owned()).into_iter().collect();
        words.push(self.to.map_or("default".to_owned(), |address| format!("{address}/{to}")));
        words.extend(self.from.map(|address| format!("from {address}/{from}")));
        words.extend((tos != 0).then(|| format!("tos {tos:#x}")));
        if let ([_], [link]) = (&*self.hops, over) {
            words.extend(self.gateway.map(|gateway| format!("via {gateway}")));
            words.push(format!("dev {link}"));
        }
        words.extend((self.table != MAIN_TABLE).then(|| format!("table {}", self.table)));
        words.extend(self.source.map(|source| format!("src {source}")));
        words.extend((self.metric != 0).then(|| format!("metric {}", self.metric)));
        words.extend((flags & u32::from(ON_LINK) != 0).then(|| "onlink".to_owned()));
        if self.hops.len() > 1 {
            for (hop, link) in self.hops.iter().zip(over) {
                words.push("nexthop".to_owned());
                words.extend(hop.gateway.map(|gateway| format!("via {gateway}")));
                words.push(format!("dev {link} weight {}", hop.weight));
                words.extend((hop.flags & ON_LINK != 0).then(|| "onlink".to_owned()));
            }
        }
        words.join(" ")
    }
}
