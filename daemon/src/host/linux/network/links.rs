//! Links as they are made and set: what kind, on what, member of what, and what is set by hand.

use std::net::Ipv6Addr;

use netlink_packet_core::{DecodeError, parse_string, parse_u32};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use nix::libc::{
    IFF_ALLMULTI, IFF_PROMISC, IFF_UP, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU,
    IFLA_VFINFO_LIST, RTM_NEWLINK,
};
use onload_core::names::{InterfaceName, MacAddress};
use onload_core::network::{Made, NetworkLink, Raw};
use onload_core::reading::Reading;

use super::super::links;
use super::super::netlink;
use super::wire::{Attribute, apart, attributes, cut, each, put, put_with};
use super::{functions, lost};

/// Length of `struct ifinfomsg`: family, type, index, flags, changed flags.
const HEADER_BYTES: usize = 16;
/// Kinds that come in pairs, where `IFLA_LINK` is the other end and nothing lies below.
const PAIRS: [&str; 3] = ["veth", "vxcan", "netkit"];
/// `IFLA_VXLAN_LINK` of `linux/if_link.h`: a VXLAN tells only there which link it goes with.
const VXLAN_LINK: u16 = 3;
/// `IFLA_VLAN_*` of `linux/if_link.h`: number, flags, both maps of priorities, protocol.
const VLAN: [u16; 5] = [1, VLAN_FLAGS, 3, 4, 5];
const VLAN_FLAGS: u16 = 2;
/// Every `VLAN_FLAG_*` of `linux/if_vlan.h` that kernel 5.14 knows. A dump shows the flags under a mask
/// of ones and none when all are off; the kernel refuses a mask with bits that it does not know, and sets
/// one flag itself where it is given none.
const VLAN_FLAGS_KNOWN: u32 = 0x1f;
/// `IFLA_MACVLAN_MODE` and `_FLAGS`, and as it happens those of IPVLAN, of `linux/if_link.h`.
const MODE_AND_FLAGS: [u16; 2] = [1, 2];
/// `IFLA_BOND_SLAVE_QUEUE_ID` and `_PRIO` of `linux/if_link.h`.
const OF_BOND: [u16; 2] = [5, 9];
/// Those `IFLA_BRPORT_*` of `linux/if_link.h` that are set and neither counted nor found out: priority,
/// hairpin, guards, learning and flooding, proxy ARP, multicast router, suppression, isolation.
const OF_BRIDGE: [u16; 14] = [2, 4, 5, 6, 7, 8, 9, 10, 25, 27, 28, 30, 32, 33];

/// One link of an answer, with those it refers to by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) index: u32,
    pub(super) name: InterfaceName,
    pub(super) link: NetworkLink,
    pub(super) below: Option<u32>,
    pub(super) master: Option<u32>,
    /// Addresses that the kernel may have made a network address from.
    pub(super) macs: Vec<MacAddress>,
    /// It is a bridge that tells VLANs apart.
    pub(super) filters_vlans: bool,
}

impl Found {
    /// Whether the lower half of an address is made from one of its own (RFC 4291, appendix A).
    pub(super) fn made_from_mac(&self, address: Ipv6Addr) -> bool {
        self.macs.iter().any(|MacAddress([a, b, c, d, e, f])| {
            address.octets().ends_with(&[a ^ 2, *b, *c, 0xff, 0xfe, *d, *e, *f])
        })
    }
}

/// Asks for every link with its virtual functions, without counters.
pub(in super::super) fn request() -> netlink::Raw {
    let mut request = LinkMessage::default();
    let mask = vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats];
    request.attributes.push(LinkAttribute::ExtMask(mask));
    RouteNetlinkMessage::GetLink(request).into()
}

pub(super) fn parse(answer: &[u8]) -> Reading<Vec<Found>> {
    each(answer, RTM_NEWLINK, found)
}

/// None for a name that no interface has.
fn found(payload: &[u8]) -> Result<Option<Found>, DecodeError> {
    let common = links::link(payload)?;
    let (header, list) = apart::<HEADER_BYTES>(payload)?;
    let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = *header;
    let flags = u32::from_ne_bytes([a, b, c, d]);
    let is_set = |flag: i32| flags & flag.cast_unsigned() != 0;
    let (mut mtu, mut on, mut master, mut elsewhere) = (None, None, None, false);
    let (mut info, mut functions, mut more_lost) = (Info::default(), Default::default(), None);
    for attribute in attributes(list) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            IFLA_MTU => mtu = Some(parse_u32(value)?),
            IFLA_LINK => on = Some(parse_u32(value)?),
            IFLA_MASTER => master = Some(parse_u32(value)?),
            // What it is made on lies in another namespace, and the number means nothing here.
            IFLA_LINK_NETNSID => elsewhere = true,
            IFLA_LINKINFO => info = Info::parse(value)?,
            IFLA_VFINFO_LIST => functions = functions::parse(value)?,
            other => more_lost = more_lost.or(lost::with(other, value)?),
        }
    }
    let Ok(name) = common.name.parse() else { return Ok(None) };
    let kind = info.made.as_ref().map_or("", |made| &made.kind);
    let itself = [0, common.index];
    let below = on.filter(|on| !elsewhere && !PAIRS.contains(&kind) && !itself.contains(on));
    let mac = common.mac.into_known();
    Ok(Some(Found {
        index: common.index,
        name,
        below: below.or(info.below).filter(|below| *below != 0),
        master: master.filter(|master| *master != 0),
        filters_vlans: info.filters_vlans,
        macs: mac.into_iter().chain(common.permanent_mac.into_known()).collect(),
        link: NetworkLink {
            made: info.made,
            membership: info.membership,
            up: is_set(IFF_UP),
            promiscuous: is_set(IFF_PROMISC),
            all_multicast: is_set(IFF_ALLMULTI),
            mtu: mtu.ok_or_else(|| DecodeError::from("a link does not tell its MTU"))?,
            mac,
            altnames: common.altnames,
            functions,
            lost: info.lost.into_iter().chain(more_lost).map(str::to_owned).collect(),
            ..NetworkLink::default()
        },
    }))
}

/// What `IFLA_LINKINFO` tells.
#[derive(Default)]
struct Info {
    made: Option<Made>,
    below: Option<u32>,
    membership: Raw,
    lost: Vec<&'static str>,
    filters_vlans: bool,
}

impl Info {
    fn parse(list: &[u8]) -> Result<Self, DecodeError> {
        let (mut kind, mut data, mut member, mut member_data) = (None, None, None, None);
        for attribute in attributes(list) {
            let attribute = attribute?;
            match attribute.kind() {
                IFLA_INFO_KIND => kind = Some(parse_string(attribute.value())?),
                IFLA_INFO_DATA => data = Some(attribute),
                IFLA_INFO_SLAVE_KIND => member = Some(attribute),
                IFLA_INFO_SLAVE_DATA => member_data = Some(attribute),
                _ => {}
            }
        }
        let mut info = Self::default();
        if let Some(kind) = kind {
            let data = data.as_ref().map(Attribute::value).unwrap_or_default();
            if kind == "vxlan" {
                info.below = below_vxlan(data)?;
            }
            info.lost = lost::of_kind(&kind, data)?;
            info.filters_vlans = lost::filters_vlans(&kind, data)?;
            let data = Raw(made_with(&kind, data)?);
            info.made = Some(Made { kind, data });
        }
        if let Some(member) = member {
            let kept: &[u16] = match parse_string(member.value())?.as_str() {
                "bond" => &OF_BOND,
                "bridge" => &OF_BRIDGE,
                _ => &[],
            };
            put_with(&mut info.membership.0, &member, member.value());
            if let Some(data) = member_data {
                let kept = cut(data.value(), kept)?;
                put_with(&mut info.membership.0, &data, &kept);
            }
        }
        Ok(info)
    }
}

/// What the kernel takes back of what it tells.
fn made_with(kind: &str, data: &[u8]) -> Result<Vec<u8>, DecodeError> {
    match kind {
        "vlan" => vlan(data),
        "macvlan" | "macvtap" | "ipvlan" => cut(data, &MODE_AND_FLAGS),
        _ => Ok(Vec::new()),
    }
}

fn vlan(data: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (mut taken, mut told) = (Vec::new(), false);
    let masked = |flags: u32| [flags, VLAN_FLAGS_KNOWN].map(u32::to_ne_bytes).concat();
    for attribute in attributes(data) {
        let attribute = attribute?;
        let value = attribute.value();
        if attribute.kind() == VLAN_FLAGS {
            let flags = value.get(..4).unwrap_or_default();
            put_with(&mut taken, &attribute, &masked(parse_u32(flags)? & VLAN_FLAGS_KNOWN));
            told = true;
        } else if VLAN.contains(&attribute.kind()) {
            put_with(&mut taken, &attribute, value);
        }
    }
    if !told {
        put(&mut taken, VLAN_FLAGS, &masked(0));
    }
    Ok(taken)
}

fn below_vxlan(data: &[u8]) -> Result<Option<u32>, DecodeError> {
    for attribute in attributes(data) {
        let attribute = attribute?;
        if attribute.kind() == VXLAN_LINK {
            return parse_u32(attribute.value()).map(Some);
        }
    }
    Ok(None)
}
