//! What a link has that no deed puts back, in words that go on from its name.

use netlink_packet_core::{DecodeError, parse_u8, parse_u32};
use nix::libc::IFLA_XDP;

use super::wire::attributes;

/// Of one whose bridge tells VLANs apart.
pub(super) const VLAN_TABLE: &str = "its bridge filters VLANs, and that table is not put back";
/// Of one by which routes leave through objects of their own.
pub(super) const OBJECTS: &str =
    "routes by nexthop objects leave by it, and those are not put back";
/// Of one with a place for filters, which is there for nothing else.
pub(super) const FILTERS: &str = "it has traffic filters (clsact), and those are not put back";

const TAP: &str = "programs hold its /dev/tap file, and another one does not reach them";
const SENDERS: &str = "it takes frames of a list of senders, and that list is not put back";
const PASSED_THROUGH: &str = "it has all of the link below (passthru), and that is not put back";
const PROGRAM: &str = "an XDP program is attached to it, and is not put back";

/// `IFLA_MACVLAN_MODE` of `linux/if_link.h`, and two of its values.
const MODE: u16 = 1;
const PASSTHRU: u32 = 8;
const SOURCE: u32 = 16;
/// `IFLA_BR_VLAN_FILTERING` of `linux/if_link.h`.
const FILTERS_VLANS: u16 = 7;
/// `IFLA_XDP_ATTACHED` of `linux/if_link.h`.
const ATTACHED: u16 = 2;

/// What goes with a link of that kind, by its `IFLA_INFO_DATA`.
pub(super) fn of_kind(kind: &str, data: &[u8]) -> Result<Vec<&'static str>, DecodeError> {
    let mut lost = Vec::new();
    if ["macvtap", "ipvtap"].contains(&kind) {
        lost.push(TAP);
    }
    if ["macvtap", "macvlan"].contains(&kind) {
        for attribute in attributes(data) {
            let attribute = attribute?;
            if attribute.kind() == MODE {
                match parse_u32(attribute.value())? {
                    PASSTHRU => lost.push(PASSED_THROUGH),
                    SOURCE => lost.push(SENDERS),
                    _ => {}
                }
            }
        }
    }
    Ok(lost)
}

/// Whether a link is a bridge that tells VLANs apart.
pub(super) fn filters_vlans(kind: &str, data: &[u8]) -> Result<bool, DecodeError> {
    Ok(kind == "bridge" && is_set(data, FILTERS_VLANS)?)
}

/// What goes with a link that has this attribute.
pub(super) fn with(kind: u16, value: &[u8]) -> Result<Option<&'static str>, DecodeError> {
    Ok((kind == IFLA_XDP && is_set(value, ATTACHED)?).then_some(PROGRAM))
}

/// Whether one byte of a list is there, and more than 0.
fn is_set(list: &[u8], wanted: u16) -> Result<bool, DecodeError> {
    let mut is_set = false;
    for attribute in attributes(list) {
        let attribute = attribute?;
        if attribute.kind() == wanted {
            is_set |= parse_u8(attribute.value())? != 0;
        }
    }
    Ok(is_set)
}
