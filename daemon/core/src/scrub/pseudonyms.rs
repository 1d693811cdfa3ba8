//! Pseudonyms of addresses. Those of the internet come from the ranges that are kept for documentation
//! (RFC 5737, RFC 3849, multicast RFC 6676), where those do not reach from the one for measurements
//! (RFC 2544) and the one that is reserved for ever (RFC 1112). Neighbours stay neighbours: a
//! network of /24 or /64 stays one, and a number within /24 stays the number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::hex;
use super::netlink::Attribute;

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// What pseudonyms of hardware addresses have behind the vendor's part, before their number.
const MARK: u8 = 0xfd;
/// QEMU's part, which is nobody's by the letter and yet a vendor's.
const QEMU: [u8; 3] = [0x52, 0x54, 0x00];
/// Networks of version 4 for documentation.
const NETWORKS: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
/// Those for measurements that follow: 198.18.0.0/15.
const MEASURED: usize = 512;
/// Interface identifiers up to here are chosen by people, and the same everywhere.
const CHOSEN: u64 = 0xffff;

/// What stands for which address.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    macs: BTreeMap<Mac, Mac>,
    v4: BTreeMap<Ipv4Addr, Ipv4Addr>,
    v6: BTreeMap<Ipv6Addr, Ipv6Addr>,
}

/// Six pairs with colons between.
pub(super) fn octets(mac: Mac) -> String {
    crate::names::MacAddress(mac).to_string()
}

/// Whether an address says nothing of this machine: none at all, everybody's, or a group's that a
/// standard fixes.
pub(super) fn is_plain_mac(mac: Mac) -> bool {
    match mac {
        [0, 0, 0, 0, 0, 0] | [0x33, 0x33, 0, 0, 0, _] => true,
        // Groups of version 4 (RFC 1112): 224.0.0.0/24, and PTP's 224.0.1.129 to .132.
        [0x01, 0x00, 0x5e, rest @ ..] => matches!(rest, [0, 0, _] | [0, 1, 129..=132]),
        // Of version 6 (RFC 2464): what follows is the end of an address.
        [0x33, 0x33, ..] => false,
        [first, ..] => first & 1 == 1,
    }
}

pub(super) fn is_plain_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    match (a, b, c) {
        (0 | 127 | 255, ..) | (169, 254, _) | (224, 0, 0) | (233, 252, 0) => true,
        (224, 0, 1) => (129..=132).contains(&d),
        _ => NETWORKS.contains(&[a, b, c]) || is_spare(a, b),
    }
}

/// In the ranges in which pseudonyms are when documentation's do not reach.
fn is_spare(a: u8, b: u8) -> bool {
    matches!((a, b), (198, 18 | 19) | (240..=254, _))
}

fn is_documentation(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x2001, 0x0db8, ..])
}

/// The hardware address that is in an interface identifier of the modified EUI-64 form.
pub(super) fn mac_in(address: Ipv6Addr) -> Option<Mac> {
    match address.octets() {
        [.., a, b, c, 0xff, 0xfe, d, e, f] if !address.is_multicast() => {
            Some([a ^ 2, b, c, d, e, f])
        }
        _ => None,
    }
}

/// The hardware address that the identity of a PTP clock is made of (IEEE 1588, by EUI-64).
pub(super) fn mac_of_clock(identity: [u8; 8]) -> Option<Mac> {
    match identity {
        [a, b, c, 0xff, 0xfe, d, e, f] => Some([a, b, c, d, e, f]),
        _ => None,
    }
}

fn clock_of([a, b, c, d, e, f]: Mac) -> [u8; 8] {
    [a, b, c, 0xff, 0xfe, d, e, f]
}

/// The address of version 4 that one of version 6 stands for: mapped (RFC 4291), or by the well-known
/// prefix of translators (RFC 6052).
pub(super) fn v4_in(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => {
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

impl Addresses {
    pub(super) fn new(
        macs: BTreeSet<Mac>,
        v4: &BTreeSet<Ipv4Addr>,
        v6: &BTreeSet<Ipv6Addr>,
    ) -> Self {
        let macs = of_macs(macs);
        let v4 = of_v4(v4);
        let v6 = of_v6(v6, &macs, &v4);
        Self { macs, v4, v6 }
    }

    pub(super) fn mac(&self, mac: Mac) -> Option<Mac> {
        self.macs.get(&mac).copied()
    }

    pub(super) fn v4(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        self.v4.get(&address).copied()
    }

    pub(super) fn v6(&self, address: Ipv6Addr) -> Option<Ipv6Addr> {
        self.v6.get(&address).copied()
    }

    /// Writes digits without anything between anew: addresses, as names of files and interfaces have them, and
    /// identities of clocks.
    pub(super) fn in_digits(&self, bytes: &mut [u8]) {
        hex::replace(bytes, hex::MAC_DIGITS, |digits| {
            let [.., a, b, c, d, e, f] = digits.to_be_bytes();
            self.mac([a, b, c, d, e, f]).map(hex::number)
        });
        hex::replace(bytes, hex::CLOCK_DIGITS, |digits| {
            let [.., a, b, c, d, e, f, g, h] = digits.to_be_bytes();
            let mac = self.mac(mac_of_clock([a, b, c, d, e, f, g, h])?)?;
            Some(u128::from(u64::from_be_bytes(clock_of(mac))))
        });
    }

    /// Writes what an attribute holds anew.
    pub(super) fn in_attribute(&self, attribute: Attribute, value: &mut [u8]) {
        match attribute {
            Attribute::Mac => {
                if let Some(place) = value.first_chunk_mut::<6>() {
                    *place = self.mac(*place).unwrap_or(*place);
                }
            }
            Attribute::V4 => {
                if let Ok(octets) = <[u8; 4]>::try_from(&*value)
                    && let Some(address) = self.v4(octets.into())
                {
                    value.copy_from_slice(&address.octets());
                }
            }
            Attribute::V6 => {
                if let Ok(octets) = <[u8; 16]>::try_from(&*value)
                    && let Some(address) = self.v6(octets.into())
                {
                    value.copy_from_slice(&address.octets());
                }
            }
            Attribute::Remark => {}
        }
    }

    /// Writes addresses anew that lie in bytes of whatever form. Only those that hardly come about by
    /// chance: one with many zeroes is found where it is known to be.
    pub(super) fn in_bytes(&self, bytes: &mut [u8]) {
        let zeroes = |value: &[u8]| value.iter().filter(|byte| **byte == 0).count();
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..) {
            if let Some(place) = rest.first_chunk_mut::<16>()
                && zeroes(place) <= 8
                && let Some(address) = self.v6(Ipv6Addr::from(*place))
            {
                *place = address.octets();
                at += place.len();
            } else if let Some(place) = rest.first_chunk_mut::<8>()
                && let Some(mac) = mac_of_clock(*place).and_then(|mac| self.mac(mac))
            {
                *place = clock_of(mac);
                at += place.len();
            } else if let Some(place) = rest.first_chunk_mut::<6>()
                && zeroes(place) <= 2
                && let Some(mac) = self.mac(*place)
            {
                *place = mac;
                at += place.len();
            } else {
                at += 1;
            }
            if at >= bytes.len() {
                return;
            }
        }
    }
}

/// The vendor's part stays; of an address that somebody made up, that it is one.
fn of_macs(macs: BTreeSet<Mac>) -> BTreeMap<Mac, Mac> {
    let mut numbers: BTreeMap<[u8; 3], u16> = BTreeMap::new();
    let mut named = |mac: Mac| {
        let [a, b, c, ..] = mac;
        let vendor = if a & 3 == 2 && [a, b, c] != QEMU { [a, 0, 0] } else { [a, b, c] };
        let number = numbers.entry(vendor).or_default();
        *number = number.wrapping_add(1);
        let ([a, b, c], [high, low]) = (vendor, number.to_be_bytes());
        (mac, [a, b, c, MARK, high, low])
    };
    macs.into_iter().filter(|mac| !is_plain_mac(*mac)).map(&mut named).collect()
}

fn of_v4(addresses: &BTreeSet<Ipv4Addr>) -> BTreeMap<Ipv4Addr, Ipv4Addr> {
    let mut groups = 0_u8;
    let mut networks: BTreeMap<[u8; 3], usize> = BTreeMap::new();
    let mut named = |address: Ipv4Addr| {
        if address.is_multicast() {
            groups = groups.wrapping_add(1);
            return Ipv4Addr::new(233, 252, 0, groups);
        }
        let [a, b, c, host] = address.octets();
        let next = networks.len();
        let number = *networks.entry([a, b, c]).or_insert(next);
        let [a, b, c] = network(number);
        Ipv4Addr::new(a, b, c, host)
    };
    let told = addresses.iter().copied().filter(|address| !is_plain_v4(*address));
    told.map(|address| (address, named(address))).collect()
}

/// The network of this number.
fn network(number: usize) -> [u8; 3] {
    if let Some(network) = NETWORKS.get(number) {
        return *network;
    }
    let number = number - NETWORKS.len();
    let bytes = |number: usize| u32::try_from(number).unwrap_or_default().to_be_bytes();
    if number < MEASURED {
        let [.., high, low] = bytes(number);
        return [198, 18 + high, low];
    }
    // 240.0.0.0/4 without its end: more of them than a capture has room for.
    let [.., a, b, c] = bytes((number - MEASURED) % (15 << 16));
    [240 + a, b, c]
}

fn of_v6(
    addresses: &BTreeSet<Ipv6Addr>,
    macs: &BTreeMap<Mac, Mac>,
    v4: &BTreeMap<Ipv4Addr, Ipv4Addr>,
) -> BTreeMap<Ipv6Addr, Ipv6Addr> {
    let mut networks: BTreeMap<u64, u32> = BTreeMap::new();
    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    let mut named = |address: Ipv6Addr| {
        if let Some(inner) = v4_in(address) {
            let octets = address.octets();
            let mut new = octets;
            let inner = v4.get(&inner).copied().unwrap_or(inner).octets();
            new.iter_mut().skip(12).zip(inner).for_each(|(place, octet)| *place = octet);
            return Ipv6Addr::from(new);
        }
        let whole = address.to_bits();
        let network = (whole >> 64) as u64;
        let host = whole as u64;
        if address.is_multicast() {
            return group(address, &mut numbers);
        }
        let link_local = address.is_unicast_link_local();
        let new = if link_local || is_documentation(address) {
            network
        } else {
            let next = u32::try_from(networks.len()).unwrap_or(u32::MAX);
            let number = *networks.entry(network).or_insert(next);
            0x2001_0db8 << 32 | u64::from(number)
        };
        let host = match mac_in(address).and_then(|mac| macs.get(&mac)) {
            Some([a, b, c, d, e, f]) => u64::from_be_bytes([a ^ 2, *b, *c, 0xff, 0xfe, *d, *e, *f]),
            None if host <= CHOSEN || is_documentation(address) => host,
            None => {
                let number = numbers.entry(network).or_default();
                *number += 1;
                // Beyond what people choose, in a form that no hardware address gives.
                *number << 16
            }
        };
        Ipv6Addr::from_bits(u128::from(new) << 64 | u128::from(host))
    };
    let told = addresses.iter().copied().filter(|address| !is_plain_v6(*address));
    let named: BTreeMap<_, _> = told.map(|address| (address, named(address))).collect();
    named.into_iter().filter(|(old, new)| old != new).collect()
}

fn is_plain_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// A group's address: what a standard fixes is short, and stays.
fn group(address: Ipv6Addr, numbers: &mut BTreeMap<u64, u64>) -> Ipv6Addr {
    let [first, .., last] = address.segments();
    let rest = address.to_bits() & (u128::MAX >> 16);
    // RFC 6676: FF3X:0020:2001:0DB8::/64. What is there already is a pseudonym.
    let documented = (0x0020_2001_0db8_u128) << 64;
    if rest == u128::from(last) || rest >> 64 == documented >> 64 {
        return address;
    }
    let number = numbers.entry(u64::from(first)).or_default();
    *number += 1;
    let scope = u128::from(0xff30 | (first & 0xf)) << 112;
    Ipv6Addr::from_bits(scope | documented | u128::from(*number))
}
