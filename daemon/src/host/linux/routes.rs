//! rtnetlink routes: the request for those of every table, and how many lead through which
//! interface. What a loss of the interface would take away, not where anything leads.

use std::collections::BTreeMap;

use netlink_packet_core::{DecodeError, NlasIterator, parse_u32};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteMessage;
use nix::libc::{RTA_MULTIPATH, RTA_OIF, RTM_NEWROUTE, RTN_UNICAST, RTPROT_KERNEL};
use onload_core::inventory::Routes;
use onload_core::reading::Reading;

use super::netlink::{Raw, messages};

/// Length of `struct rtmsg`: family, two prefix lengths, TOS, table, protocol, scope, type, flags.
const HEADER_BYTES: usize = 12;
/// Length of `struct rtnexthop`: length, flags, hops, interface index.
const HOP_BYTES: usize = 8;
/// `RTM_F_CLONED`: an entry of the cache, and no route by itself.
const CLONED: u32 = 0x200;

/// Asks for every route of every table and family.
pub(super) fn request() -> Raw {
    RouteNetlinkMessage::GetRoute(RouteMessage::default()).into()
}

/// Routes by interface index: those to somewhere that somebody made. Those that the kernel makes
/// come back with the addresses they belong to.
pub(super) fn parse(answer: &[u8]) -> Reading<BTreeMap<u32, Routes>> {
    let routes = messages::<Raw>(answer).and_then(|messages| {
        let messages = messages.iter().filter(|message| message.kind == RTM_NEWROUTE);
        messages.map(|message| route(&message.payload)).collect::<Result<Vec<_>, _>>()
    });
    match routes {
        Ok(routes) => {
            let mut by_interface: BTreeMap<u32, Routes> = BTreeMap::new();
            for (default, index) in routes.into_iter().flatten() {
                let routes = by_interface.entry(index).or_default();
                routes.count += 1;
                routes.default |= default;
            }
            Reading::Known(by_interface)
        }
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

/// Whether a route is a default route, with each interface it leads through; empty for what is not
/// counted.
fn route(payload: &[u8]) -> Result<Vec<(bool, u32)>, DecodeError> {
    let Some(header) = payload.first_chunk::<HEADER_BYTES>() else {
        return Err(DecodeError::from("a route message is cut off"));
    };
    let [_family, destination, _source, _tos, _table, protocol, _scope, kind, a, b, c, d] = *header;
    let cloned = u32::from_ne_bytes([a, b, c, d]) & CLONED != 0;
    if kind != RTN_UNICAST || protocol == RTPROT_KERNEL || cloned {
        return Ok(Vec::new());
    }
    let mut through = Vec::new();
    for attribute in NlasIterator::new(payload.get(HEADER_BYTES..).unwrap_or_default()) {
        let attribute = attribute?;
        match attribute.kind() {
            RTA_OIF => through.push(parse_u32(attribute.value())?),
            RTA_MULTIPATH => through.extend(hops(attribute.value())?),
            _ => {}
        }
    }
    through.sort_unstable();
    through.dedup();
    Ok(through.into_iter().map(|index| (destination == 0, index)).collect())
}

/// The interfaces of a route with several next hops.
fn hops(mut list: &[u8]) -> Result<Vec<u32>, DecodeError> {
    let mut indices = Vec::new();
    while !list.is_empty() {
        let Some(&[low, high, _flags, _hops, a, b, c, d]) = list.first_chunk::<HOP_BYTES>() else {
            return Err(DecodeError::from("a next hop is cut off"));
        };
        indices.push(u32::from_ne_bytes([a, b, c, d]));
        // A length below the header's own would not get us on.
        let length = usize::from(u16::from_ne_bytes([low, high])).max(HOP_BYTES);
        list = list.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{DefaultNla, Emitable as _};
    use nix::libc::{AF_INET, RTN_LOCAL, RTPROT_BOOT};

    use super::super::netlink;
    use super::*;

    /// Learned from a router.
    const RTPROT_RA: u8 = 9;

    fn newroute(destination: u8, protocol: u8, kind: u8, attributes: &[(u16, Vec<u8>)]) -> Raw {
        let mut payload =
            vec![AF_INET as u8, destination, 0, 0, 254, protocol, 0, kind, 0, 0, 0, 0];
        for (kind, value) in attributes {
            let attribute = DefaultNla::new(*kind, value.clone());
            let mut bytes = vec![0; attribute.buffer_len()];
            attribute.emit(&mut bytes);
            payload.extend(bytes);
        }
        Raw { kind: RTM_NEWROUTE, payload }
    }

    fn through(index: u32) -> Vec<(u16, Vec<u8>)> {
        vec![(RTA_OIF, index.to_ne_bytes().to_vec())]
    }

    fn hop(index: u32, gateway: &[u8]) -> Vec<u8> {
        let length = (HOP_BYTES + gateway.len()) as u16;
        let mut bytes = [&length.to_ne_bytes()[..], &[0, 0], &index.to_ne_bytes()].concat();
        bytes.extend(gateway);
        bytes
    }

    #[test]
    fn routes_that_somebody_made_are_counted_where_they_lead() {
        let several = [hop(2, &[8, 0, 5, 0, 10, 0, 0, 1]), hop(3, &[])].concat();
        let answer = netlink::answer([
            newroute(0, RTPROT_BOOT, RTN_UNICAST, &through(2)),
            newroute(64, RTPROT_RA, RTN_UNICAST, &through(2)),
            newroute(24, RTPROT_KERNEL, RTN_UNICAST, &through(2)),
            newroute(32, RTPROT_BOOT, RTN_LOCAL, &through(2)),
            newroute(8, RTPROT_BOOT, RTN_UNICAST, &[(RTA_MULTIPATH, several)]),
            newroute(8, RTPROT_BOOT, RTN_UNICAST, &[]),
        ]);
        let expected = BTreeMap::from([
            (2, Routes { count: 3, default: true }),
            (3, Routes { count: 1, default: false }),
        ]);
        assert_eq!(parse(&answer), Reading::Known(expected));
    }

    #[test]
    fn what_is_cut_off_is_unreadable_and_never_a_panic() {
        let broken = |payload| parse(&netlink::answer([Raw { kind: RTM_NEWROUTE, payload }]));
        assert!(broken(vec![2, 0, 0]).is_unreadable());
        let short = newroute(0, RTPROT_BOOT, RTN_UNICAST, &[(RTA_OIF, vec![1])]);
        assert!(broken(short.payload).is_unreadable());
        let half = newroute(0, RTPROT_BOOT, RTN_UNICAST, &[(RTA_MULTIPATH, vec![8, 0, 0])]);
        assert!(broken(half.payload).is_unreadable());
        assert_eq!(hops(&[0; 8]).unwrap(), [0], "a hop without a length ends the list");
        assert_eq!(parse(&[]), Reading::Known(BTreeMap::new()));
    }
}
