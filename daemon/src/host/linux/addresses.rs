//! rtnetlink addresses: the request for all of them, and which interface has which.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use nix::libc::{AF_INET, AF_INET6, IFA_ADDRESS, IFA_LOCAL, RTM_NEWADDR};
use onload_core::reading::Reading;

use super::netlink::{Raw, messages};

/// Length of `struct ifaddrmsg`.
const HEADER_BYTES: usize = 8;
/// `RT_SCOPE_LINK`: addresses of this scope and beyond are valid on one link or one host only.
const LINK_SCOPE: u8 = 253;

/// Asks for every address of every family.
pub(super) fn request() -> Raw {
    RouteNetlinkMessage::GetAddress(AddressMessage::default()).into()
}

/// Addresses with prefix lengths, by interface index. Those that are valid on one link only are
/// left out, for the kernel makes them by itself.
pub(super) fn parse(answer: &[u8]) -> Reading<BTreeMap<u32, BTreeSet<String>>> {
    let addresses = messages::<Raw>(answer).and_then(|messages| {
        let messages = messages.iter().filter(|message| message.kind == RTM_NEWADDR);
        messages.map(|message| address(&message.payload)).collect::<Result<Vec<_>, _>>()
    });
    match addresses {
        Ok(addresses) => {
            let mut by_interface: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
            for (index, address) in addresses.into_iter().flatten() {
                by_interface.entry(index).or_default().insert(address);
            }
            Reading::Known(by_interface)
        }
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

/// Index and address of one message; none for what is not counted.
fn address(payload: &[u8]) -> Result<Option<(u32, String)>, DecodeError> {
    let Some(&[family, prefix, _flags, scope, a, b, c, d]) = payload.first_chunk::<HEADER_BYTES>()
    else {
        return Err(DecodeError::from("an address message is cut off"));
    };
    let index = u32::from_ne_bytes([a, b, c, d]);
    let (mut on_link, mut local) = (None, None);
    for attribute in NlasIterator::new(payload.get(HEADER_BYTES..).unwrap_or_default()) {
        let attribute = attribute?;
        match attribute.kind() {
            IFA_ADDRESS => on_link = ip(family, attribute.value()),
            // The own end of a point-to-point link, where the other attribute is the far one.
            IFA_LOCAL => local = ip(family, attribute.value()),
            _ => {}
        }
    }
    let address = local.or(on_link).filter(|_| scope < LINK_SCOPE);
    Ok(address.map(|address| (index, format!("{address}/{prefix}"))))
}

/// An address of its family; none for those of others.
pub(super) fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        AF_INET => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        AF_INET6 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{DefaultNla, Emitable as _};

    use super::super::netlink;
    use super::*;

    fn newaddr(header: [u8; 4], index: u32, attributes: &[(u16, &[u8])]) -> Raw {
        let mut payload = [&header[..], &index.to_ne_bytes()].concat();
        for (kind, value) in attributes {
            let attribute = DefaultNla::new(*kind, value.to_vec());
            let mut bytes = vec![0; attribute.buffer_len()];
            attribute.emit(&mut bytes);
            payload.extend(bytes);
        }
        Raw { kind: RTM_NEWADDR, payload }
    }

    const V4: u8 = AF_INET as u8;
    const V6: u8 = AF_INET6 as u8;

    #[test]
    fn an_interface_has_the_addresses_that_others_can_reach() {
        let global: [u8; 16] = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let link_local: [u8; 16] = "fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let answer = netlink::answer([
            newaddr([V4, 8, 0, 254], 1, &[(IFA_LOCAL, &[127, 0, 0, 1])]),
            newaddr(
                [V4, 24, 0, 0],
                2,
                &[(IFA_ADDRESS, &[10, 0, 0, 9]), (IFA_LOCAL, &[10, 0, 0, 1])],
            ),
            newaddr([V4, 16, 0, 253], 2, &[(IFA_LOCAL, &[169, 254, 0, 1])]),
            newaddr([V6, 64, 0, 0], 2, &[(IFA_ADDRESS, &global), (9999, b"of tomorrow")]),
            newaddr([V6, 64, 0, 253], 2, &[(IFA_ADDRESS, &link_local)]),
        ]);
        let own = ["10.0.0.1/24", "2001:db8::1/64"].map(str::to_owned);
        let expected = BTreeMap::from([(2, BTreeSet::from(own))]);
        assert_eq!(parse(&answer), Reading::Known(expected));
        for end in 1..answer.len() {
            // Between two messages a cut cannot be told, but half of one always.
            if parse(&answer[..end]).known().is_some() {
                assert!(messages::<Raw>(&answer[..end]).is_ok(), "{end}");
            }
        }
    }

    #[test]
    fn a_message_without_a_whole_header_is_unreadable() {
        let short = Raw { kind: RTM_NEWADDR, payload: vec![V4, 24, 0] };
        assert!(parse(&netlink::answer([short])).is_unreadable());
        assert_eq!(parse(&[]), Reading::Known(BTreeMap::new()));
    }
}
