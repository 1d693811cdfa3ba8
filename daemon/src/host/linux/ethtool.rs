//! ethtool over generic netlink: speeds and hardware clocks of all interfaces, one dump each.
//! Numbers are those of `linux/ethtool_netlink.h` and `linux/genetlink.h`.

use std::collections::BTreeMap;

use nix::sys::socket::SockProtocol;
use onload_core::reading::Reading;

use super::netlink::{NetlinkError, Socket, attribute, attributes, messages, number};

/// `ETHTOOL_MSG_LINKMODES_GET`.
pub(super) const LINKMODES_GET: u8 = 4;
/// `ETHTOOL_MSG_TSINFO_GET`.
pub(super) const TSINFO_GET: u8 = 25;

/// The family that tells the numbers of the others.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// Size of `struct genlmsghdr`: command, version, reserved.
const GENL_HEADER_BYTES: usize = 4;

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

/// The `ethtool` family of the running kernel.
#[derive(Debug)]
pub(super) struct Family {
    socket: Socket,
    id: u16,
}

impl Family {
    /// Asks the kernel for the number it gave the family at boot.
    pub(super) fn open() -> Result<Self, NetlinkError> {
        let socket = Socket::open(SockProtocol::NetlinkGeneric)?;
        let request =
            [vec![CTRL_CMD_GETFAMILY, 1, 0, 0], attribute(CTRL_ATTR_FAMILY_NAME, b"ethtool\0")];
        let answer = socket.get(GENL_ID_CTRL, &request.concat())?;
        Ok(Self { socket, id: family_id(&answer)? })
    }
}

/// Asks one thing about every interface.
pub(super) fn dump(
    family: &Result<Family, NetlinkError>,
    command: u8,
) -> Result<Vec<u8>, NetlinkError> {
    let family = family.as_ref().map_err(|error| match error {
        NetlinkError::System(errno) => NetlinkError::System(*errno),
        NetlinkError::CutOff => NetlinkError::CutOff,
    })?;
    let flags = attribute(HEADER_FLAGS, &FLAG_COMPACT_BITSETS.to_ne_bytes());
    let nested = netlink_packet_core::NLA_F_NESTED;
    let request = [vec![command, 1, 0, 0], attribute(HEADER | nested, &flags)];
    family.socket.dump(family.id, &request.concat())
}

/// Speeds in Mbit/s by interface index; links that are down are left out.
pub(super) fn speeds(answer: &[u8]) -> Reading<BTreeMap<u32, u32>> {
    by_interface(answer, LINKMODES_SPEED).map(|mut speeds| {
        speeds.retain(|_, speed| !NO_SPEED.contains(speed));
        speeds
    })
}

/// Indices of hardware clocks by interface index; interfaces without one are left out.
pub(super) fn clocks(answer: &[u8]) -> Reading<BTreeMap<u32, u32>> {
    by_interface(answer, TSINFO_PHC_INDEX)
}

fn by_interface(answer: &[u8], wanted: u16) -> Reading<BTreeMap<u32, u32>> {
    let mut values = BTreeMap::new();
    for message in messages(answer) {
        let pair = message.and_then(|message| one_value(message.payload, wanted));
        match pair {
            // Newer kernels list further clocks of the same interface, its own first.
            Ok(Some((index, value))) => {
                values.entry(index).or_insert(value);
            }
            Ok(None) => {}
            Err(error) => return Reading::Unreadable(error.to_string()),
        }
    }
    Reading::Known(values)
}

fn one_value(payload: &[u8], wanted: u16) -> Result<Option<(u32, u32)>, NetlinkError> {
    let rest = payload.get(GENL_HEADER_BYTES..).ok_or(NetlinkError::CutOff)?;
    let (mut index, mut found) = (None, None);
    for (kind, value) in attributes(rest)? {
        if kind == HEADER {
            index = attributes(value)?
                .into_iter()
                .find(|(kind, _)| *kind == HEADER_DEV_INDEX)
                .and_then(|(_, value)| number(value));
        } else if kind == wanted {
            found = number(value);
        }
    }
    Ok(index.zip(found))
}

fn family_id(answer: &[u8]) -> Result<u16, NetlinkError> {
    let message = messages(answer).next().ok_or(NetlinkError::CutOff)??;
    let rest = message.payload.get(GENL_HEADER_BYTES..).ok_or(NetlinkError::CutOff)?;
    attributes(rest)?
        .into_iter()
        .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
        .and_then(|(_, value)| Some(u16::from_ne_bytes(value.try_into().ok()?)))
        .ok_or(NetlinkError::CutOff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply of the family `20` about one interface.
    fn reply(index: u32, rest: &[Vec<u8>]) -> Vec<u8> {
        let header = attribute(HEADER | 0x8000, &attribute(HEADER_DEV_INDEX, &index.to_ne_bytes()));
        let payload = [vec![4, 1, 0, 0], header, rest.concat()].concat();
        let length = u32::try_from(16 + payload.len()).unwrap().to_ne_bytes();
        [&length[..], &[20, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0], &payload].concat()
    }

    fn word(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    #[test]
    fn a_link_that_is_down_has_no_speed() {
        let answer = [
            reply(2, &[attribute(3 | 0x8000, &[]), word(LINKMODES_SPEED, 25_000)]),
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
        let odd = attribute(LINKMODES_SPEED, b"25");
        assert_eq!(speeds(&reply(2, &[odd])), Reading::Known(BTreeMap::new()));
        assert!(family_id(&[]).is_err() && family_id(&whole).is_err());
    }
}
