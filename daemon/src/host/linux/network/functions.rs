//! Virtual functions of a port, as its link tells of them.

use std::collections::BTreeMap;

use netlink_packet_core::{DecodeError, parse_u32};
use onload_core::network::Raw;

use super::wire::{attributes, put_with};

/// `IFLA_VF_INFO` of `linux/if_link.h`, as the attributes below.
const INFO: u16 = 1;
const MAC: u16 = 1;
const VLAN: u16 = 2;
const SPOOF_CHECK: u16 = 4;
const LINK_STATE: u16 = 5;
const RATE: u16 = 6;
const RSS_QUERY: u16 = 7;
const TRUST: u16 = 9;
/// What the kernel shows of a switch that the driver does not tell of; it is none to set.
const UNTOLD: [u8; 4] = u32::MAX.to_ne_bytes();

/// What each is set to, by number.
///
/// # Errors
/// The list is cut off.
pub(super) fn parse(list: &[u8]) -> Result<BTreeMap<u32, Raw>, DecodeError> {
    let mut functions = BTreeMap::new();
    for function in attributes(list) {
        let function = function?;
        if function.kind() == INFO
            && let (Some(number), kept) = one(function.value())?
        {
            functions.insert(number, Raw(kept));
        }
    }
    Ok(functions)
}

/// Number and settings of one; each of them begins with the number.
fn one(list: &[u8]) -> Result<(Option<u32>, Vec<u8>), DecodeError> {
    let (mut number, mut kept) = (None, Vec::new());
    for attribute in attributes(list) {
        let attribute = attribute?;
        let value = attribute.value();
        let told = match attribute.kind() {
            MAC | VLAN | LINK_STATE | RATE => true,
            SPOOF_CHECK | RSS_QUERY | TRUST => !value.ends_with(&UNTOLD),
            _ => continue,
        };
        number = Some(parse_u32(value.get(..4).unwrap_or_default())?);
        if told {
            put_with(&mut kept, &attribute, value);
        }
    }
    Ok((number, kept))
}
