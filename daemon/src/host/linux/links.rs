//! rtnetlink links: the request for all of them, and what one says. Numbers are those of
//! `linux/if_link.h`, `linux/if.h` and `linux/rtnetlink.h`.

use std::collections::BTreeSet;

use onload_core::inventory::Link;
use onload_core::names::MacAddress;
use onload_core::reading::Reading;

use super::netlink::{NetlinkError, Socket, attribute, attributes, messages, number, string};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
/// Size of `struct ifinfomsg`; the interface index and the flags are its second and third word.
const IFINFOMSG_BYTES: usize = 16;
const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_PHYS_PORT_NAME: u16 = 38;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_PERM_ADDRESS: u16 = 54;
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;
/// Leaves the counters out, which are most of a reply and change with every packet.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

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

/// Asks for every link.
pub(super) fn dump(socket: &Socket) -> Result<Vec<u8>, NetlinkError> {
    let mut request = vec![0; IFINFOMSG_BYTES];
    request.extend(attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes()));
    socket.dump(RTM_GETLINK, &request)
}

/// Reads the answer. A message that is cut off makes the whole answer unreadable: which interface
/// it was about cannot be told.
pub(super) fn parse(answer: &[u8]) -> Reading<Vec<LinkMessage>> {
    let links: Result<Vec<_>, NetlinkError> = messages(answer)
        .filter(|message| message.as_ref().map_or(true, |message| message.kind == RTM_NEWLINK))
        .map(|message| link(message?.payload))
        .collect();
    match links {
        Ok(links) => Reading::Known(links),
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

fn link(payload: &[u8]) -> Result<LinkMessage, NetlinkError> {
    let (header, rest) = payload.split_at_checked(IFINFOMSG_BYTES).ok_or(NetlinkError::CutOff)?;
    let word = |at: usize| header.get(at..at + 4).and_then(number).ok_or(NetlinkError::CutOff);
    let flags = word(8)?;
    let carries = flags & (IFF_UP | IFF_LOWER_UP) == IFF_UP | IFF_LOWER_UP;
    let mut link = LinkMessage {
        index: word(4)?,
        name: String::new(),
        altnames: BTreeSet::new(),
        mac: Reading::Absent,
        permanent_mac: Reading::Absent,
        link: if carries { Link::Up } else { Link::Down },
        phys_port_name: None,
        parent: None,
    };
    let (mut parent_name, mut parent_bus) = (None, None);
    for (kind, value) in attributes(rest)? {
        match kind {
            IFLA_IFNAME => link.name = string(value).unwrap_or_default(),
            IFLA_ADDRESS => link.mac = mac(value),
            IFLA_PERM_ADDRESS => link.permanent_mac = mac(value),
            IFLA_PHYS_PORT_NAME => link.phys_port_name = string(value),
            IFLA_PARENT_DEV_NAME => parent_name = string(value),
            IFLA_PARENT_DEV_BUS_NAME => parent_bus = string(value),
            IFLA_PROP_LIST => {
                let names = attributes(value)?.into_iter();
                link.altnames = names
                    .filter(|(kind, _)| *kind == IFLA_ALT_IFNAME)
                    .filter_map(|(_, value)| string(value))
                    .collect();
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
    use super::*;

    fn newlink(flags: u32, parts: &[Vec<u8>]) -> Vec<u8> {
        let words = [1 << 16, 7, flags, 0];
        let mut payload: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
        payload.extend(parts.concat());
        payload
    }

    #[test]
    fn a_link_says_what_the_kernel_put_in() {
        let altnames =
            [attribute(IFLA_ALT_IFNAME, b"enp59s0f0\0"), attribute(IFLA_ALT_IFNAME, b"x\0")];
        let payload = newlink(
            IFF_UP | IFF_LOWER_UP,
            &[
                attribute(IFLA_IFNAME, b"ens1f0np0\0"),
                attribute(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]),
                attribute(IFLA_PERM_ADDRESS, &[0, 15, 83, 0, 0, 1]),
                attribute(IFLA_PROP_LIST | 0x8000, &altnames.concat()),
                attribute(IFLA_PHYS_PORT_NAME, b"p0\0"),
                attribute(IFLA_PARENT_DEV_NAME, b"0000:3b:00.0\0"),
                attribute(IFLA_PARENT_DEV_BUS_NAME, b"pci\0"),
                attribute(9999, b"from a kernel of tomorrow"),
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
    fn only_a_link_that_is_up_and_has_a_carrier_carries() {
        for (flags, expected) in [(0, Link::Down), (IFF_UP, Link::Down), (IFF_LOWER_UP, Link::Down)]
        {
            assert_eq!(link(&newlink(flags, &[])).unwrap().link, expected);
        }
    }

    #[test]
    fn odd_addresses_are_none_and_cut_off_messages_an_error() {
        let tunnel =
            newlink(0, &[attribute(IFLA_ADDRESS, &[10, 0, 0, 1]), attribute(3, b"\xff\0")]);
        let tunnel = link(&tunnel).unwrap();
        assert_eq!((tunnel.mac, tunnel.name.as_str()), (Reading::Absent, ""));
        assert!(link(&[0; 15]).is_err());
        assert!(link(&[&[0; 16][..], &[20, 0, 3, 0, b'e']].concat()).is_err());
        assert!(parse(&[1, 2, 3]).is_unreadable());
        assert_eq!(parse(&[]), Reading::Known(Vec::new()));
    }
}
