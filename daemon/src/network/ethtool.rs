//! Settings of ethtool, written. Numbers are those of `linux/ethtool_netlink.h`.

use std::collections::BTreeMap;

use nix::errno::Errno;
use nix::libc::{CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_CMD_GETFAMILY, GENL_ID_CTRL};
use rtnetlink::sys::protocols::NETLINK_GENERIC;

use super::attribute::{Attributes, find};
use super::netlink::{Netlink, Refused};

/// `struct genlmsghdr`: command, version, and two bytes of nothing.
const HEADER_BYTES: usize = 4;
/// The first attribute of every request, which link it is about, and that no answer is wanted.
const HEADER: u16 = 1;
const HEADER_DEV_INDEX: u16 = 1;
const HEADER_FLAGS: u16 = 3;
const FLAG_OMIT_REPLY: u32 = 2;
/// A set of bits by name: the bits, one of them, its name, and that it is set. Those that are not
/// named stay as they are.
const BITSET_BITS: u16 = 3;
const BITSET_BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;
/// Where each request has its set.
const FEATURES_WANTED: u16 = 3;
const PRIVFLAGS_FLAGS: u16 = 2;

/// What a number is written as.
#[derive(Clone, Copy)]
enum Width {
    Byte,
    Word,
}

/// Numbers by the names they have as attributes.
type Numbers = &'static [(&'static str, u16, Width)];

const RINGS: Numbers = &[
    ("rx", 6, Width::Word),
    ("rx-mini", 7, Width::Word),
    ("rx-jumbo", 8, Width::Word),
    ("tx", 9, Width::Word),
];
const CHANNELS: Numbers = &[
    ("rx", 6, Width::Word),
    ("tx", 7, Width::Word),
    ("other", 8, Width::Word),
    ("combined", 9, Width::Word),
];
const COALESCE: Numbers = &[
    ("rx-usecs", 2, Width::Word),
    ("rx-max-frames", 3, Width::Word),
    ("rx-usecs-irq", 4, Width::Word),
    ("rx-max-frames-irq", 5, Width::Word),
    ("tx-usecs", 6, Width::Word),
    ("tx-max-frames", 7, Width::Word),
    ("tx-usecs-irq", 8, Width::Word),
    ("tx-max-frames-irq", 9, Width::Word),
    ("stats-block-usecs", 10, Width::Word),
    ("use-adaptive-rx", 11, Width::Byte),
    ("use-adaptive-tx", 12, Width::Byte),
    ("pkt-rate-low", 13, Width::Word),
    ("rx-usecs-low", 14, Width::Word),
    ("rx-max-frames-low", 15, Width::Word),
    ("tx-usecs-low", 16, Width::Word),
    ("tx-max-frames-low", 17, Width::Word),
    ("pkt-rate-high", 18, Width::Word),
    ("rx-usecs-high", 19, Width::Word),
    ("rx-max-frames-high", 20, Width::Word),
    ("tx-usecs-high", 21, Width::Word),
    ("tx-max-frames-high", 22, Width::Word),
    ("rate-sample-interval", 23, Width::Word),
    ("use-cqe-mode-tx", 24, Width::Byte),
    ("use-cqe-mode-rx", 25, Width::Byte),
    ("tx-aggr-max-bytes", 26, Width::Word),
    ("tx-aggr-max-frames", 27, Width::Word),
    ("tx-aggr-time-usecs", 28, Width::Word),
];

/// How a group is written: the request, and where it has what is set.
#[derive(Clone, Copy)]
enum Group {
    Numbers(u8, Numbers),
    Bits(u8, u16),
}

fn group(name: &str) -> Option<Group> {
    Some(match name {
        "ring" => Group::Numbers(16, RINGS),
        "channels" => Group::Numbers(18, CHANNELS),
        "coalesce" => Group::Numbers(20, COALESCE),
        "feature" => Group::Bits(12, FEATURES_WANTED),
        "private" => Group::Bits(14, PRIVFLAGS_FLAGS),
        _ => return None,
    })
}

/// The family `ethtool`, found when it is first needed.
#[derive(Default)]
pub(super) struct Ethtool(Option<(Netlink, u16)>);

impl Ethtool {
    /// Sets what a group has of a link: all at once, or, where that is refused, what can be.
    ///
    /// # Errors
    /// What was not set, and why.
    pub(super) fn set(
        &mut self,
        index: u32,
        name: &str,
        settings: &BTreeMap<String, u64>,
    ) -> Result<(), Refused> {
        let group = group(name).ok_or_else(|| Refused::new("ethtool sets no such thing"))?;
        let at_once = self.ask(index, group, settings.iter());
        if at_once.is_ok() || settings.len() < 2 {
            return at_once;
        }
        let failures = settings.iter().filter_map(|(name, value)| {
            let refused = self.ask(index, group, [(name, value)].into_iter()).err()?;
            Some(format!("{name}: {refused}"))
        });
        let failures: Vec<_> = failures.collect();
        if failures.is_empty() { Ok(()) } else { Err(Refused::new(failures.join("; "))) }
    }

    fn ask<'a>(
        &mut self,
        index: u32,
        group: Group,
        settings: impl Iterator<Item = (&'a String, &'a u64)>,
    ) -> Result<(), Refused> {
        let message = request(index, group, settings)?;
        let (netlink, family) = match &mut self.0 {
            Some(open) => open,
            none => none.insert(open()?),
        };
        match netlink.ask(*family, 0, &message) {
            // It is so already, for some drivers.
            Err(refused) if refused.is(Errno::EALREADY) => Ok(()),
            result => result.map(drop),
        }
    }
}

fn open() -> Result<(Netlink, u16), Refused> {
    let mut netlink = Netlink::open(NETLINK_GENERIC)?;
    let kind = |number: i32| u16::try_from(number).unwrap_or_default();
    let name = Attributes::default().with_text(kind(CTRL_ATTR_FAMILY_NAME), "ethtool");
    let command = u8::try_from(CTRL_CMD_GETFAMILY).unwrap_or_default();
    let message = [&header(command), name.bytes()].concat();
    let answer = netlink.ask(kind(GENL_ID_CTRL), 0, &message)?;
    let attributes = answer.first().and_then(|answer| answer.get(HEADER_BYTES..));
    let family = find(attributes.unwrap_or_default(), kind(CTRL_ATTR_FAMILY_ID));
    let family = family.and_then(|number| number.try_into().ok()).map(u16::from_ne_bytes);
    let family = family.ok_or_else(|| Refused::new("the kernel shows no ethtool"))?;
    Ok((netlink, family))
}

fn header(command: u8) -> [u8; HEADER_BYTES] {
    const VERSION: u8 = 1;
    [command, VERSION, 0, 0]
}

fn request<'a>(
    index: u32,
    group: Group,
    settings: impl Iterator<Item = (&'a String, &'a u64)>,
) -> Result<Vec<u8>, Refused> {
    let link = Attributes::default()
        .with_number(HEADER_DEV_INDEX, index)
        .with_number(HEADER_FLAGS, FLAG_OMIT_REPLY);
    let mut attributes = Attributes::default().with_list(HEADER, &link);
    let command = match group {
        Group::Numbers(command, numbers) => {
            for (name, value) in settings {
                let known = numbers.iter().find(|(known, ..)| known == name);
                let unfit = || Refused::new(format!("ethtool sets no {name} to {value}"));
                let (_, kind, width) = known.ok_or_else(unfit)?;
                attributes = match width {
                    Width::Byte => {
                        attributes.with(*kind, &[u8::try_from(*value).map_err(|_| unfit())?])
                    }
                    Width::Word => {
                        attributes.with_number(*kind, u32::try_from(*value).map_err(|_| unfit())?)
                    }
                };
            }
            command
        }
        Group::Bits(command, kind) => {
            let bits = settings.fold(Attributes::default(), |bits, (name, value)| {
                let bit = Attributes::default().with_text(BIT_NAME, name);
                let bit = if *value == 0 { bit } else { bit.with(BIT_VALUE, &[]) };
                bits.with_list(BITSET_BIT, &bit)
            });
            let set = Attributes::default().with_list(BITSET_BITS, &bits);
            attributes = attributes.with_list(kind, &set);
            command
        }
    };
    Ok([&header(command), attributes.bytes()].concat())
}

#[cfg(test)]
mod tests {
    use onload_core::network::GROUPS;

    use super::super::attribute::each;
    use super::*;

    fn settings(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
        all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn encoded(name: &str, all: &[(&str, u64)]) -> Vec<u8> {
        request(7, group(name).unwrap(), settings(all).iter()).unwrap()
    }

    #[test]
    fn numbers_stand_where_the_kernel_reads_them() {
        let message = encoded("coalesce", &[("rx-usecs", 60), ("use-adaptive-rx", 1)]);
        assert_eq!(message[..4], [20, 1, 0, 0]);
        let found: Vec<_> = each(&message[4..]).skip(1).collect();
        assert_eq!(found, [(2, &60_u32.to_ne_bytes()[..]), (11, &[1])]);
        let link = find(&message[4..], HEADER).unwrap();
        assert_eq!(find(link, HEADER_DEV_INDEX), Some(&7_u32.to_ne_bytes()[..]));
    }

    #[test]
    fn bits_are_named_and_only_those() {
        let message = encoded("feature", &[("rx-gro", 0), ("tx-tso", 1)]);
        assert_eq!(message[0], 12);
        let bits = find(find(&message[4..], FEATURES_WANTED).unwrap(), BITSET_BITS).unwrap();
        let bits: Vec<_> = each(bits)
            .map(|(kind, bit)| (kind, find(bit, BIT_NAME).unwrap(), find(bit, BIT_VALUE).is_some()))
            .collect();
        assert_eq!(bits, [(1, &b"rx-gro\0"[..], false), (1, &b"tx-tso\0"[..], true)]);
    }

    #[test]
    fn every_group_is_known_and_what_is_none_is_refused() {
        assert!(GROUPS.iter().all(|name| group(name).is_some()));
        assert!(group("wol").is_none());
        for (name, value) in [("rx-usec", 1), ("rx-usecs", 1 << 32), ("use-adaptive-rx", 256)] {
            let of = group("coalesce").unwrap();
            assert!(request(7, of, settings(&[(name, value)]).iter()).is_err(), "{name}");
        }
    }
}
