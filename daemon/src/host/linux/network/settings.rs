//! What ethtool sets: rings, channels, coalescing, offloads, flags of the driver's own. Numbers are those
//! of `linux/ethtool_netlink.h`.

use std::collections::BTreeMap;

use netlink_packet_core::{DecodeError, parse_string};
use onload_core::reading::Reading;

use super::super::ethtool;
use super::super::source::Group as Asked;
use super::wire::{attributes, number};

/// Settings of one link, by `GROUP.NAME`.
pub(super) type Settings = BTreeMap<String, u64>;

/// One group, and how its answer reads.
pub(super) struct Group {
    pub(super) asked: Asked,
    read: fn(&[u8]) -> Result<Settings, DecodeError>,
}

/// Every group.
pub(super) const GROUPS: [Group; 5] = [
    Group { asked: Asked::Rings, read: |list| numbers(list, "ring", &RINGS) },
    Group { asked: Asked::Channels, read: |list| numbers(list, "channels", &CHANNELS) },
    Group { asked: Asked::Coalescing, read: |list| numbers(list, "coalesce", &COALESCING) },
    Group { asked: Asked::Features, read: features },
    Group { asked: Asked::PrivateFlags, read: private_flags },
];

impl Group {
    /// By number of the link.
    pub(super) fn parse(&self, answer: &[u8]) -> Reading<BTreeMap<u32, Settings>> {
        ethtool::by_interface(answer, |list| (self.read)(list).map(Some))
    }
}

/// A number: its name, its attribute, and the attribute of the most that it can be, if there is one.
type Number = (&'static str, u16, Option<u16>);

/// `ETHTOOL_A_RINGS_*`.
const RINGS: [Number; 4] =
    [("rx", 6, Some(2)), ("rx-mini", 7, Some(3)), ("rx-jumbo", 8, Some(4)), ("tx", 9, Some(5))];

/// `ETHTOOL_A_CHANNELS_*`.
const CHANNELS: [Number; 4] =
    [("rx", 6, Some(2)), ("tx", 7, Some(3)), ("other", 8, Some(4)), ("combined", 9, Some(5))];

/// `ETHTOOL_A_COALESCE_*`.
const COALESCING: [Number; 24] = [
    ("rx-usecs", 2, None),
    ("rx-max-frames", 3, None),
    ("rx-usecs-irq", 4, None),
    ("rx-max-frames-irq", 5, None),
    ("tx-usecs", 6, None),
    ("tx-max-frames", 7, None),
    ("tx-usecs-irq", 8, None),
    ("tx-max-frames-irq", 9, None),
    ("stats-block-usecs", 10, None),
    ("use-adaptive-rx", 11, None),
    ("use-adaptive-tx", 12, None),
    ("pkt-rate-low", 13, None),
    ("rx-usecs-low", 14, None),
    ("rx-max-frames-low", 15, None),
    ("tx-usecs-low", 16, None),
    ("tx-max-frames-low", 17, None),
    ("pkt-rate-high", 18, None),
    ("rx-usecs-high", 19, None),
    ("rx-max-frames-high", 20, None),
    ("tx-usecs-high", 21, None),
    ("tx-max-frames-high", 22, None),
    ("rate-sample-interval", 23, None),
    ("use-cqe-mode-tx", 24, None),
    ("use-cqe-mode-rx", 25, None),
];

/// `ETHTOOL_A_FEATURES_HW` and `_WANTED`: what can be switched, and what is switched on.
const FEATURES_SWITCHABLE: u16 = 2;
const FEATURES_WANTED: u16 = 3;
/// `ETHTOOL_A_PRIVFLAGS_FLAGS`.
const PRIVATE_FLAGS: u16 = 2;
/// `ETHTOOL_A_BITSET_NOMASK` and `_BITS`, `ETHTOOL_A_BITSET_BITS_BIT`, `ETHTOOL_A_BITSET_BIT_NAME` and
/// `_VALUE`.
const NO_MASK: u16 = 1;
const BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

fn numbers(list: &[u8], group: &str, wanted: &[Number]) -> Result<Settings, DecodeError> {
    let (mut found, mut none) = (Settings::new(), Vec::new());
    for attribute in attributes(list) {
        let attribute = attribute?;
        for (name, kind, most) in wanted {
            if attribute.kind() == *kind {
                found.insert(format!("{group}.{name}"), number(attribute.value())?);
            } else if *most == Some(attribute.kind()) && number(attribute.value())? == 0 {
                none.push(format!("{group}.{name}"));
            }
        }
    }
    found.retain(|name, _| !none.contains(name));
    Ok(found)
}

fn features(list: &[u8]) -> Result<Settings, DecodeError> {
    let (mut switchable, mut on) = (BTreeMap::new(), BTreeMap::new());
    for attribute in attributes(list) {
        let attribute = attribute?;
        match attribute.kind() {
            FEATURES_SWITCHABLE => switchable = bits(attribute.value())?,
            FEATURES_WANTED => on = bits(attribute.value())?,
            _ => {}
        }
    }
    // The one set names every feature, the other only those that are on.
    let switchable = switchable.into_iter().filter(|(_, is_set)| *is_set);
    let is_on = |name: &String| u64::from(on.get(name).copied().unwrap_or_default());
    Ok(switchable.map(|(name, _)| (format!("feature.{name}"), is_on(&name))).collect())
}

fn private_flags(list: &[u8]) -> Result<Settings, DecodeError> {
    let mut flags = BTreeMap::new();
    for attribute in attributes(list) {
        let attribute = attribute?;
        if attribute.kind() == PRIVATE_FLAGS {
            flags = bits(attribute.value())?;
        }
    }
    Ok(flags.into_iter().map(|(name, on)| (format!("private.{name}"), u64::from(on))).collect())
}

/// The named bits of a set. In one without a mask those that are listed are set, whether or not they bear
/// the mark of it.
fn bits(set: &[u8]) -> Result<BTreeMap<String, bool>, DecodeError> {
    let (mut bits, mut without_mask) = (BTreeMap::new(), false);
    for attribute in attributes(set) {
        let attribute = attribute?;
        match attribute.kind() {
            NO_MASK => without_mask = true,
            BITS => {
                for bit in attributes(attribute.value()) {
                    let bit = bit?;
                    if bit.kind() == BIT {
                        bits.extend(one(bit.value())?);
                    }
                }
            }
            _ => {}
        }
    }
    bits.values_mut().for_each(|is_set| *is_set |= without_mask);
    Ok(bits)
}

/// A bit that has a name, and whether it is set.
fn one(bit: &[u8]) -> Result<Option<(String, bool)>, DecodeError> {
    let (mut name, mut is_set) = (String::new(), false);
    for attribute in attributes(bit) {
        let attribute = attribute?;
        match attribute.kind() {
            BIT_NAME => name = parse_string(attribute.value())?,
            BIT_VALUE => is_set = true,
            _ => {}
        }
    }
    Ok((!name.is_empty()).then_some((name, is_set)))
}

#[cfg(test)]
mod tests {
    use super::super::wire::put;
    use super::*;

    fn list(all: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        all.iter().for_each(|(kind, value)| put(&mut bytes, *kind, value));
        bytes
    }

    fn settings(all: &[(&str, u64)]) -> Settings {
        all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    /// Every reader with a list that is cut off anywhere.
    fn torn(whole: &[u8]) {
        for end in 0..whole.len() {
            for group in &GROUPS {
                let _no_panic = (group.read)(&whole[..end]);
            }
        }
    }

    #[test]
    fn what_can_only_be_nothing_is_no_setting() {
        let word = u32::to_ne_bytes;
        let (most, none, size) = (word(4096), word(0), word(1024));
        let rings = [(2, &most), (3, &none), (6, &size), (7, &none), (9, &size)];
        let rings = list(&rings.map(|(kind, value)| (kind, &value[..])));
        torn(&rings);
        let expected = settings(&[("ring.rx", 1024), ("ring.tx", 1024)]);
        assert_eq!((GROUPS[0].read)(&rings).unwrap(), expected);
        let coalescing = list(&[(2, &word(60)), (11, &[1]), (24, &[0]), (99, b"odd")]);
        let expected = [
            ("coalesce.rx-usecs", 60),
            ("coalesce.use-adaptive-rx", 1),
            ("coalesce.use-cqe-mode-tx", 0),
        ];
        assert_eq!((GROUPS[2].read)(&coalescing).unwrap(), settings(&expected));
        assert!((GROUPS[2].read)(&list(&[(2, b"odd")])).is_err());
    }

    fn bit(name: &[u8], is_set: bool) -> Vec<u8> {
        let set: &[(u16, &[u8])] = if is_set { &[(BIT_VALUE, &[])] } else { &[] };
        list(&[(BIT, &[list(&[(1, &[0; 4]), (BIT_NAME, name)]), list(set)].concat())])
    }

    #[test]
    fn features_that_can_be_switched_are_as_they_are_wanted() {
        let all = [bit(b"rx-gro\0", true), bit(b"rx-lro\0", true), bit(b"fixed\0", false)].concat();
        let wanted = [bit(b"rx-gro\0", false), bit(b"fixed\0", false)].concat();
        let answer = list(&[
            (FEATURES_SWITCHABLE, &list(&[(BITS, &all)])),
            (FEATURES_WANTED, &list(&[(NO_MASK, &[]), (BITS, &wanted)])),
        ]);
        torn(&answer);
        let expected = settings(&[("feature.rx-gro", 1), ("feature.rx-lro", 0)]);
        assert_eq!((GROUPS[3].read)(&answer).unwrap(), expected);
    }

    #[test]
    fn private_flags_have_the_names_that_the_driver_gives() {
        let flags = [bit(b"phy-power-follows-link\0", true), bit(b"\0", true)].concat();
        let flags = [flags, bit(b"other\0", false)].concat();
        let answer = list(&[(PRIVATE_FLAGS, &list(&[(BITS, &flags)]))]);
        let expected = settings(&[("private.other", 0), ("private.phy-power-follows-link", 1)]);
        assert_eq!((GROUPS[4].read)(&answer).unwrap(), expected);
    }
}
