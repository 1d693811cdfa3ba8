//! Addresses as they can be added again, without those that the kernel or a daemon gives by itself.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use netlink_packet_core::{DecodeError, parse_string, parse_u32};
use nix::libc::{
    IFA_ADDRESS, IFA_CACHEINFO, IFA_F_HOMEADDRESS, IFA_F_MANAGETEMPADDR, IFA_F_MCAUTOJOIN,
    IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_F_PERMANENT, IFA_F_STABLE_PRIVACY, IFA_F_TEMPORARY,
    IFA_FLAGS, IFA_LABEL, IFA_LOCAL, RTM_NEWADDR,
};
use onload_core::network::{Address, Raw};
use onload_core::reading::Reading;

use super::super::addresses::ip;
use super::links::Found;
use super::wire::{apart, attributes, each, put_with};

/// Length of `struct ifaddrmsg`: family, prefix length, flags, scope, index.
const HEADER_BYTES: usize = 8;
/// What of the flags says how an address is to be, not what has become of it.
const FLAGS: u32 =
    IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;
/// `IFA_PROTO` of `linux/if_addr.h`: who made it, told by kernels since 5.18.
const PROTO: u16 = 11;
/// `IFAPROT_UNSPEC`. What is above is the kernel (loopback, router, link-local), and then daemons, which put
/// theirs where they want them: keepalived says 18.
const BY_ANYBODY: u8 = 0;
const LINK_LOCAL: [u8; 8] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];
const LINK_LOCAL_PREFIX: u8 = 64;

/// Addresses with the number of their link.
pub(super) fn parse(answer: &[u8], links: &[Found]) -> Reading<Vec<(u32, Address)>> {
    each(answer, RTM_NEWADDR, |payload| address(payload, links))
}

fn address(payload: &[u8], links: &[Found]) -> Result<Option<(u32, Address)>, DecodeError> {
    let (header, list) = apart::<HEADER_BYTES>(payload)?;
    let [family, prefix, short_flags, scope, a, b, c, d] = *header;
    let index = u32::from_ne_bytes([a, b, c, d]);
    let Some(link) = links.iter().find(|link| link.index == index) else { return Ok(None) };
    let kept = |flags: u32| flags & FLAGS;
    let [short, ..] = kept(u32::from(short_flags)).to_le_bytes();
    let mut message = vec![family, prefix, short, scope, 0, 0, 0, 0];
    let (mut local, mut far, mut proto) = (None, None, None);
    let (mut valid, mut preferred, mut flags) = (None, None, u32::from(short_flags));
    for attribute in attributes(list) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            IFA_CACHEINFO => {
                (preferred, valid) = lifetimes(value)?;
                continue;
            }
            IFA_FLAGS => {
                flags = parse_u32(value)?;
                put_with(&mut message, &attribute, &kept(flags).to_ne_bytes());
                continue;
            }
            // The kernel gives one itself where none is given, and changes it with the name.
            IFA_LABEL if parse_string(value)? == link.name.as_str() => continue,
            IFA_LOCAL => local = ip(family, value),
            IFA_ADDRESS => far = ip(family, value),
            PROTO => proto = value.first().copied(),
            _ => {}
        }
        put_with(&mut message, &attribute, value);
    }
    let Some(own) = local.or(far) else { return Ok(None) };
    if is_of_others(own, prefix, flags, proto, link) {
        return Ok(None);
    }
    let peer = far.filter(|far| *far != own).map(|far| format!(" peer {far}"));
    let shown = format!("{own}{}/{prefix}", peer.unwrap_or_default());
    Ok(Some((index, Address { shown, message: Raw(message), valid, preferred })))
}

/// How long it is preferred and stays: `struct ifa_cacheinfo`, of which the rest is when it was made.
fn lifetimes(value: &[u8]) -> Result<(Option<u32>, Option<u32>), DecodeError> {
    const FOR_EVER: u32 = u32::MAX;
    let lifetime = |place: Range<usize>| {
        let seconds = parse_u32(value.get(place).unwrap_or_default())?;
        Ok::<_, DecodeError>(Some(seconds).filter(|seconds| *seconds != FOR_EVER))
    };
    Ok((lifetime(0..4)?, lifetime(4..8)?))
}

/// Whether the kernel makes it by itself whenever the link comes up, or a daemon decides where it is.
fn is_of_others(own: IpAddr, prefix: u8, flags: u32, proto: Option<u8>, link: &Found) -> bool {
    if proto.is_some_and(|by| by != BY_ANYBODY) {
        return true;
    }
    let IpAddr::V6(own) = own else { return false };
    let is_set = |flag: u32| flags & flag != 0;
    if is_set(IFA_F_TEMPORARY) {
        return true;
    }
    // Nobody but the kernel may set the flag of the one, or would choose the other.
    let chosen = is_set(IFA_F_STABLE_PRIVACY) || link.made_from_mac(own);
    let announced =
        is_set(IFA_F_MANAGETEMPADDR) && !is_set(IFA_F_PERMANENT) && !is_set(IFA_F_NOPREFIXROUTE);
    chosen && (is_link_local(own, prefix) || announced)
}

fn is_link_local(address: Ipv6Addr, prefix: u8) -> bool {
    prefix == LINK_LOCAL_PREFIX && address.octets().starts_with(&LINK_LOCAL)
}
