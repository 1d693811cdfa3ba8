//! Addresses in recorded answers of netlink: messages one after the other, each a header, a fixed part
//! of its kind, and attributes in attributes. Numbers are those of `linux/rtnetlink.h`,
//! `linux/if_link.h`, `linux/if_addr.h` and `linux/fib_rules.h`. What is cut off or does not add up is
//! left as it is: whoever reads the capture says so as the first reader did.

/// What an attribute holds that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// A hardware address, from its first byte on.
    Mac,
    V4,
    V6,
    /// Words of somebody.
    Remark,
}

/// Length, kind, flags, sequence and port number.
const HEADER: usize = 16;
/// Length and kind.
const ATTRIBUTE: usize = 4;
/// What is not the number in a kind: nested, or in the byte order of the network.
const MARKS: u16 = 0xc000;
/// Attributes in attributes in a link of a bond in a namespace are four deep.
const DEEPEST: usize = 6;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const NEW_RULE: u16 = 32;

/// Shows every attribute that matters; what it holds may be written anew at the same length.
pub(super) fn visit(mut bytes: &mut [u8], mut show: impl FnMut(Attribute, &mut [u8])) {
    while let Some([a, b, c, d, kind @ ..]) = bytes.first_chunk::<6>().copied() {
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        if length < HEADER {
            return;
        }
        let (message, rest) = split(bytes, length);
        let kind = u16::from_ne_bytes(kind);
        let fixed = match kind {
            NEW_LINK => 16,
            NEW_ADDRESS => 8,
            NEW_ROUTE | NEW_RULE => 12,
            // Whatever else is recorded holds numbers and names.
            _ => usize::MAX,
        };
        if let Some(attributes) = message.get_mut(HEADER.saturating_add(fixed)..) {
            Walk { message: kind, link: Vec::new(), show: &mut show }
                .list(attributes, &mut Vec::new());
        }
        bytes = rest;
    }
}

/// The first so many bytes, and what follows them where the next may begin.
fn split(bytes: &mut [u8], length: usize) -> (&mut [u8], &mut [u8]) {
    let whole = length.min(bytes.len());
    let next = length.next_multiple_of(4).min(bytes.len());
    let (first, rest) = bytes.split_at_mut(next);
    (first.get_mut(..whole).unwrap_or_default(), rest)
}

struct Walk<'a, F> {
    message: u16,
    /// What kind of link the message is about, once that was met.
    link: Vec<u8>,
    show: &'a mut F,
}

impl<F: FnMut(Attribute, &mut [u8])> Walk<'_, F> {
    fn list(&mut self, mut bytes: &mut [u8], path: &mut Vec<u16>) {
        while let Some([a, b, c, d]) = bytes.first_chunk::<ATTRIBUTE>().copied() {
            let length = usize::from(u16::from_ne_bytes([a, b]));
            if length < ATTRIBUTE {
                return;
            }
            path.push(u16::from_ne_bytes([c, d]) & !MARKS);
            let (attribute, rest) = split(bytes, length);
            self.one(attribute.get_mut(ATTRIBUTE..).unwrap_or_default(), path);
            path.pop();
            bytes = rest;
        }
    }

    fn one(&mut self, value: &mut [u8], path: &mut Vec<u16>) {
        match (self.message, path.as_slice()) {
            (NEW_LINK, [1 | 2 | 54]) if value.len() == 6 => (self.show)(Attribute::Mac, value),
            (NEW_LINK, [20]) => (self.show)(Attribute::Remark, value),
            // Virtual functions: IFLA_VF_MAC and IFLA_VF_BROADCAST, behind the function's number.
            (NEW_LINK, [22, 1, 1]) if value.len() >= 10 => self.mac_at(value, 4),
            (NEW_LINK, [22, 1, 12]) => self.mac_at(value, 0),
            // IFLA_INET6_TOKEN of AF_INET6.
            (NEW_LINK, [26, 10, 7]) => self.internet(value),
            // IFLA_LINKINFO: the kind stands before what is of that kind.
            (NEW_LINK, [18, 1]) => {
                value.split(|byte| *byte == 0).next().unwrap_or_default().clone_into(&mut self.link)
            }
            (NEW_LINK, [18, 2, rest @ ..]) if !rest.is_empty() => {
                let depth = rest.len();
                match self.of_kind(rest, value.len()) {
                    Some(Attribute::Mac) => self.mac_at(value, 0),
                    Some(attribute) => (self.show)(attribute, value),
                    None if self.link == b"bond" && depth == 1 => self.list(value, path),
                    None => {}
                }
            }
            // IFLA_BOND_SLAVE_PERM_HWADDR and what others keep there.
            (NEW_LINK, [18, 5, _]) if value.len() == 6 => (self.show)(Attribute::Mac, value),
            // Lists: functions and each of them, what is of a kind, of a family and of each.
            (NEW_LINK, [22 | 18 | 26] | [22, 1] | [18, 2 | 5] | [26, 10]) => self.list(value, path),
            (NEW_ADDRESS, [1 | 2 | 4 | 5 | 7]) | (NEW_RULE, [1 | 2]) => self.internet(value),
            // RTA_DST, SRC, GATEWAY, PREFSRC, also in a hop of several.
            (NEW_ROUTE, [1 | 2 | 5 | 7] | [9, 1 | 2 | 5 | 7]) => self.internet(value),
            // RTA_VIA: a family before the address.
            (NEW_ROUTE, [18] | [9, 18]) => self.internet(value.get_mut(2..).unwrap_or_default()),
            (NEW_ROUTE, [9]) if path.len() < DEEPEST => self.hops(value, path),
            _ => {}
        }
    }

    /// An address in what a link of some kind is made with (`IFLA_VXLAN_*`, `IFLA_GRE_*`,
    /// `IFLA_IPTUN_*`, `IFLA_BOND_*`).
    fn of_kind(&self, path: &[u16], length: usize) -> Option<Attribute> {
        let internet = match length {
            4 => Some(Attribute::V4),
            16 => Some(Attribute::V6),
            _ => None,
        };
        match (self.link.as_slice(), path) {
            (b"vxlan", [2 | 4 | 16 | 17]) => internet,
            (b"gre" | b"gretap" | b"ip6gre" | b"ip6gretap" | b"erspan", [6 | 7]) => internet,
            (b"ipip" | b"sit" | b"ip6tnl" | b"vti" | b"vti6", [2..=5]) => internet,
            // Targets that are asked whether the link is up, and the partner's address.
            (b"bond", [8 | 31, _]) => internet,
            _ if length == 6 => Some(Attribute::Mac),
            _ => None,
        }
    }

    fn mac_at(&mut self, value: &mut [u8], at: usize) {
        if let Some(mac) = value.get_mut(at..at + 6) {
            (self.show)(Attribute::Mac, mac);
        }
    }

    fn internet(&mut self, value: &mut [u8]) {
        match value.len() {
            4 => (self.show)(Attribute::V4, value),
            16 => (self.show)(Attribute::V6, value),
            _ => {}
        }
    }

    /// Hops of a route: `struct rtnexthop`, its length first, and attributes behind it.
    fn hops(&mut self, mut bytes: &mut [u8], path: &mut Vec<u16>) {
        const FIXED: usize = 8;
        while let Some([a, b]) = bytes.first_chunk::<2>().copied() {
            let length = usize::from(u16::from_ne_bytes([a, b]));
            if length < FIXED {
                return;
            }
            let (hop, rest) = split(bytes, length);
            self.list(hop.get_mut(FIXED..).unwrap_or_default(), path);
            bytes = rest;
        }
    }
}
