//! ethtool over generic netlink: one thing about all interfaces, or about one.
//! Numbers are those of `linux/ethtool_netlink.h`.

use std::collections::BTreeMap;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_F_NESTED, NlasIterator, ParseableParametrized, parse_u32,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use onload_core::reading::Reading;

use super::netlink::messages;

/// `ETHTOOL_MSG_LINKMODES_GET`.
pub(super) const LINKMODES_GET: u8 = 4;
/// `ETHTOOL_MSG_FEATURES_GET`.
pub(super) const FEATURES_GET: u8 = 11;
/// `ETHTOOL_MSG_PRIVFLAGS_GET`.
pub(super) const PRIVFLAGS_GET: u8 = 13;
/// `ETHTOOL_MSG_RINGS_GET`.
pub(super) const RINGS_GET: u8 = 15;
/// `ETHTOOL_MSG_CHANNELS_GET`.
pub(super) const CHANNELS_GET: u8 = 17;
/// `ETHTOOL_MSG_COALESCE_GET`.
pub(super) const COALESCE_GET: u8 = 19;
/// `ETHTOOL_MSG_TSINFO_GET`.
pub(super) const TSINFO_GET: u8 = 25;

/// `ETHTOOL_GENL_VERSION`.
const VERSION: u8 = 1;
/// The header is the first attribute of every ethtool message.
const HEADER: u16 = 1;
const HEADER_DEV_INDEX: u16 = 1;
const HEADER_FLAGS: u16 = 3;
/// Bit sets without the names of their bits.
const FLAG_COMPACT_BITSETS: u32 = 1;
/// `ETHTOOL_A_LINKMODES_SPEED`, Mbit/s.
const LINKMODES_SPEED: u16 = 5;
/// `ETHTOOL_A_TSINFO_PHC_INDEX`.
const TSINFO_PHC_INDEX: u16 = 5;
/// What drivers give for the speed of a link that is down: `SPEED_UNKNOWN`, or plain 0.
const NO_SPEED: [u32; 2] = [u32::MAX, 0];

/// A message of the family `ethtool`, its attributes as they came.
#[derive(Clone, Debug)]
pub(super) struct Ethtool {
    command: u8,
    attributes: Vec<u8>,
}

impl Ethtool {
    /// Asks one thing about every interface.
    pub(super) fn request(command: u8) -> Self {
        let flags = DefaultNla::new(HEADER_FLAGS, FLAG_COMPACT_BITSETS.to_ne_bytes().to_vec());
        Self::with_header(command, &flags)
    }

    /// Asks one thing about one interface, with the names of bits.
    pub(super) fn about(command: u8, index: u32) -> Self {
        Self::with_header(command, &DefaultNla::new(HEADER_DEV_INDEX, index.to_ne_bytes().to_vec()))
    }

    fn with_header(command: u8, part: &DefaultNla) -> Self {
        let header = DefaultNla::new(HEADER | NLA_F_NESTED, bytes_of(part));
        Self { command, attributes: bytes_of(&header) }
    }
}

fn bytes_of(attribute: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes
}

impl GenlFamily for Ethtool {
    fn family_name() -> &'static str {
        "ethtool"
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        VERSION
    }
}

impl Emitable for Ethtool {
    fn buffer_len(&self) -> usize {
        self.attributes.len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.attributes);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Ethtool {
    fn parse_with_param(attributes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self { command: header.cmd, attributes: attributes.to_vec() })
    }
}

/// Speeds in Mbit/s by interface index; links that are down are left out.
pub(super) fn speeds(answer: &[u8]) -> Reading<BTreeMap<u32, u32>> {
    by_interface(answer, |list| one_value(list, LINKMODES_SPEED)).map(|mut speeds| {
        speeds.retain(|_, speed| !NO_SPEED.contains(speed));
        speeds
    })
}

/// Indices of hardware clocks by interface index; interfaces without one are left out.
pub(super) fn clocks(answer: &[u8]) -> Reading<BTreeMap<u32, u32>> {
    by_interface(answer, |list| one_value(list, TSINFO_PHC_INDEX))
}

/// What `read` makes of the attributes that stand with each interface's header, by its index.
pub(super) fn by_interface<T>(
    answer: &[u8],
    read: impl Fn(&[u8]) -> Result<Option<T>, DecodeError>,
) -> Reading<BTreeMap<u32, T>> {
    let pairs = messages::<GenlMessage<Ethtool>>(answer).and_then(|messages| {
        let pairs = messages.iter().map(|message| {
            let attributes = &message.payload.attributes;
            Ok(index(attributes)?.zip(read(attributes)?))
        });
        pairs.collect::<Result<Vec<_>, DecodeError>>()
    });
    match pairs {
        Ok(pairs) => {
            let mut values = BTreeMap::new();
            for (index, value) in pairs.into_iter().flatten() {
                // Newer kernels list further clocks of the same interface, its own first.
                values.entry(index).or_insert(value);
            }
            Reading::Known(values)
        }
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

/// The interface that a message is about.
fn index(attributes: &[u8]) -> Result<Option<u32>, DecodeError> {
    let mut index = None;
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == HEADER {
            for part in NlasIterator::new(attribute.value()) {
                let part = part?;
                if part.kind() == HEADER_DEV_INDEX {
                    index = Some(parse_u32(part.value())?);
                }
            }
        }
    }
    Ok(index)
}

fn one_value(attributes: &[u8], wanted: u16) -> Result<Option<u32>, DecodeError> {
    let mut found = None;
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == wanted {
            found = Some(parse_u32(attribute.value())?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::netlink;
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        bytes_of(&DefaultNla::new(kind, value.to_vec()))
    }

    /// A reply about one interface.
    fn reply(index: u32, rest: &[Vec<u8>]) -> Vec<u8> {
        let index = attribute(HEADER_DEV_INDEX, &index.to_ne_bytes());
        let header = attribute(HEADER | NLA_F_NESTED, &index);
        let attributes = [header, rest.concat()].concat();
        let mut message = GenlMessage::from_payload(Ethtool { command: 4, attributes });
        message.set_resolved_family_id(20);
        netlink::answer([message])
    }

    fn word(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    #[test]
    fn a_link_that_is_down_has_no_speed() {
        let answer = [
            reply(2, &[attribute(3 | NLA_F_NESTED, &[]), word(LINKMODES_SPEED, 25_000)]),
            reply(3, &[word(LINKMODES_SPEED, u32::MAX)]),
            reply(4, &[word(LINKMODES_SPEED, 0)]),
            reply(5, &[]),
        ];
        assert_eq!(speeds(&answer.concat()), Reading::Known(BTreeMap::from([(2, 25_000)])));
    }

    #[test]
    fn the_first_clock_of_an_interface_is_its_own() {
        let clock = |index| reply(2, &[word(TSINFO_PHC_INDEX, index)]);
        assert_eq!(
            clocks(&[clock(1), clock(5)].concat()),
            Reading::Known(BTreeMap::from([(2, 1)]))
        );
    }

    #[test]
    fn odd_answers_are_unreadable() {
        let whole = reply(2, &[word(LINKMODES_SPEED, 25_000)]);
        for end in 1..whole.len() {
            assert!(speeds(&whole[..end]).is_unreadable(), "{end}");
        }
        assert!(speeds(&reply(2, &[attribute(LINKMODES_SPEED, b"25")])).is_unreadable());
        assert!(speeds(&reply(2, &[vec![9, 0, 5, 0, 1, 0, 0, 0]])).is_unreadable());
    }
}
