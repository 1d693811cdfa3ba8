//! rtnetlink links: the request for all of them, and what one says.

use std::collections::BTreeSet;

use netlink_packet_core::{DecodeError, Emitable as _, NlasIterator, parse_string};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{self, LinkAttribute, LinkExtentMask, LinkFlags, LinkHeader};
use nix::libc::{
    IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_IFNAME, IFLA_PARENT_DEV_BUS_NAME, IFLA_PARENT_DEV_NAME,
    IFLA_PERM_ADDRESS, IFLA_PHYS_PORT_NAME, IFLA_PROP_LIST, RTM_NEWLINK,
};
use onload_core::inventory::Link;
use onload_core::names::MacAddress;
use onload_core::reading::Reading;

use super::netlink::{Raw, messages};

/// What rtnetlink says of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkMessage {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) altnames: BTreeSet<String>,
    pub(super) mac: Reading<MacAddress>,
    pub(super) permanent_mac: Reading<MacAddress>,
    pub(super) link: Link,
    pub(super) phys_port_name: Option<String>,
    /// Name and bus of the device it was made on; virtual interfaces have none.
    pub(super) parent: Option<(String, String)>,
}

/// Asks for every link, but not for the counters, which are most of a reply and change with every
/// packet.
pub(super) fn request() -> Raw {
    let mut request = link::LinkMessage::default();
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(request).into()
}

/// Reads the answer. A message that is cut off makes the whole answer unreadable: which interface
/// it was about cannot be told.
pub(super) fn parse(answer: &[u8]) -> Reading<Vec<LinkMessage>> {
    let links = messages::<Raw>(answer).and_then(|messages| {
        let links = messages.iter().filter(|message| message.kind == RTM_NEWLINK);
        links.map(|message| link(&message.payload)).collect()
    });
    match links {
        Ok(links) => Reading::Known(links),
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

/// Only what is wanted is decoded, so that nothing another kernel writes elsewhere hides a link. A
/// text that is not UTF-8 is left out, for nothing that is looked for has one.
pub(super) fn link(payload: &[u8]) -> Result<LinkMessage, DecodeError> {
    let header = LinkHeader::parse(payload)?;
    let carries = header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    let mut link = LinkMessage {
        index: header.index,
        name: String::new(),
        altnames: BTreeSet::new(),
        mac: Reading::Absent,
        permanent_mac: Reading::Absent,
        link: if carries { Link::Up } else { Link::Down },
        phys_port_name: None,
        parent: None,
    };
    let (mut parent_name, mut parent_bus) = (None, None);
    for attribute in NlasIterator::new(payload.get(header.buffer_len()..).unwrap_or_default()) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            IFLA_IFNAME => link.name = parse_string(value).unwrap_or_default(),
            IFLA_ADDRESS => link.mac = mac(value),
            IFLA_PERM_ADDRESS => link.permanent_mac = mac(value),
            IFLA_PHYS_PORT_NAME => link.phys_port_name = parse_string(value).ok(),
            IFLA_PARENT_DEV_NAME => parent_name = parse_string(value).ok(),
            IFLA_PARENT_DEV_BUS_NAME => parent_bus = parse_string(value).ok(),
            IFLA_PROP_LIST => {
                for property in NlasIterator::new(value) {
                    let property = property?;
                    if property.kind() == IFLA_ALT_IFNAME {
                        link.altnames.extend(parse_string(property.value()));
                    }
                }
            }
            _ => {}
        }
    }
    link.parent = parent_name.zip(parent_bus);
    Ok(link)
}

/// Interfaces that are not Ethernet have addresses of other lengths, or none: no MAC address.
fn mac(value: &[u8]) -> Reading<MacAddress> {
    value.try_into().ok().map(MacAddress).into()
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{DefaultNla, Parseable as _};
    use netlink_packet_route::link::Prop;

    use super::super::netlink;
    use super::*;

    fn newlink(flags: LinkFlags, attributes: Vec<LinkAttribute>) -> Vec<u8> {
        let mut message = link::LinkMessage::default();
        message.header.index = 7;
        message.header.flags = flags;
        message.attributes = attributes;
        Raw::from(RouteNetlinkMessage::NewLink(message)).payload
    }

    #[test]
    fn a_link_says_what_the_kernel_put_in() {
        let altname = |name: &str| Prop::AltIfName(name.to_owned());
        let payload = newlink(
            LinkFlags::Up | LinkFlags::LowerUp,
            vec![
                LinkAttribute::IfName("ens1f0np0".to_owned()),
                LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
                LinkAttribute::PermAddress(vec![0, 15, 83, 0, 0, 1]),
                LinkAttribute::PropList(vec![altname("enp59s0f0"), altname("x")]),
                LinkAttribute::PhysPortName("p0".to_owned()),
                LinkAttribute::ParentDevName("0000:3b:00.0".to_owned()),
                LinkAttribute::ParentDevBusName("pci".to_owned()),
                LinkAttribute::Other(DefaultNla::new(9999, b"of tomorrow".to_vec())),
            ],
        );
        let link = link(&payload).unwrap();
        assert_eq!((link.index, link.name.as_str(), link.link), (7, "ens1f0np0", Link::Up));
        assert_eq!(link.permanent_mac.known().unwrap().to_string(), "00:0f:53:00:00:01");
        assert_eq!(link.altnames.len(), 2);
        assert_eq!(link.phys_port_name.as_deref(), Some("p0"));
        assert_eq!(link.parent.unwrap(), ("0000:3b:00.0".to_owned(), "pci".to_owned()));
    }

    #[test]
    fn an_attribute_that_does_not_decode_hides_no_link() {
        let odd_counters = DefaultNla::new(nix::libc::IFLA_MTU, b"x".to_vec());
        let name = LinkAttribute::IfName("ens1f0".to_owned());
        let payload = newlink(LinkFlags::Up, vec![LinkAttribute::Other(odd_counters), name]);
        let whole = link::LinkMessage::parse(&payload);
        assert!(whole.is_err(), "the library gives up on it: {whole:?}");
        assert_eq!(link(&payload).unwrap().name, "ens1f0");
    }

    #[test]
    fn only_a_link_that_is_up_and_has_a_carrier_carries() {
        for flags in [LinkFlags::empty(), LinkFlags::Up, LinkFlags::LowerUp] {
            assert_eq!(link(&newlink(flags, Vec::new())).unwrap().link, Link::Down);
        }
    }

    #[test]
    fn odd_addresses_are_none_and_cut_off_messages_an_error() {
        let name = LinkAttribute::Other(DefaultNla::new(IFLA_IFNAME, b"\xff\0".to_vec()));
        let address = LinkAttribute::Address(vec![10, 0, 0, 1]);
        let tunnel = newlink(LinkFlags::empty(), vec![address, name]);
        let whole = netlink::answer([Raw { kind: RTM_NEWLINK, payload: tunnel.clone() }]);
        let tunnel = link(&tunnel).unwrap();
        assert_eq!((tunnel.mac.clone(), tunnel.name.as_str()), (Reading::Absent, ""));
        assert_eq!(parse(&whole), Reading::Known(vec![tunnel]));
        for end in 1..whole.len() {
            assert!(parse(&whole[..end]).is_unreadable(), "{end}");
        }
        let list = LinkAttribute::Other(DefaultNla::new(IFLA_PROP_LIST, vec![20, 0, 53, 0, b'e']));
        for odd in [vec![0; 15], newlink(LinkFlags::Up, vec![list])] {
            assert!(link(&odd).is_err());
        }
        assert_eq!(parse(&[]), Reading::Known(Vec::new()));
    }
}
