//! Netlink attributes as they came: taken apart, and copied with what must not be kept cut away.

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable as _, NLA_F_NESTED, NLA_F_NET_BYTEORDER, NlaBuffer,
    NlasIterator,
};
use onload_core::reading::Reading;

use super::super::netlink::{Raw, messages};

/// One attribute, with whatever follows it.
pub(super) type Attribute<'a> = NlaBuffer<&'a [u8]>;

/// What `read` makes of each message of one kind; what it finds no use for is left out.
///
/// One message that is cut off makes the whole answer unreadable: what it was about cannot be told.
pub(super) fn each<T>(
    answer: &[u8],
    kind: u16,
    read: impl Fn(&[u8]) -> Result<Option<T>, DecodeError>,
) -> Reading<Vec<T>> {
    let found = messages::<Raw>(answer).and_then(|messages| {
        let messages = messages.iter().filter(|message| message.kind == kind);
        messages.filter_map(|message| read(&message.payload).transpose()).collect()
    });
    match found {
        Ok(found) => Reading::Known(found),
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

/// The attributes of a list.
pub(super) fn attributes(
    list: &[u8],
) -> impl Iterator<Item = Result<Attribute<'_>, DecodeError>> + '_ {
    NlasIterator::new(list)
}

/// A message apart: the header that every message of its family begins with, and the attributes.
///
/// # Errors
/// The header is not whole.
pub(super) fn apart<const HEADER: usize>(
    payload: &[u8],
) -> Result<(&[u8; HEADER], &[u8]), DecodeError> {
    payload.split_first_chunk().ok_or_else(|| DecodeError::from("a message is cut off"))
}

/// A native number.
///
/// # Errors
/// It has another size.
pub(super) fn number(value: &[u8]) -> Result<u64, DecodeError> {
    match *value {
        [a] => Ok(u64::from(a)),
        [a, b] => Ok(u64::from(u16::from_ne_bytes([a, b]))),
        [a, b, c, d] => Ok(u64::from(u32::from_ne_bytes([a, b, c, d]))),
        _ => Err(DecodeError::from("an attribute that is no number")),
    }
}

/// Appends an attribute, padded. The type may bear the flags of one.
pub(super) fn put(list: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let attribute = DefaultNla::new(kind, value.to_vec());
    let start = list.len();
    list.resize(start + attribute.buffer_len(), 0);
    attribute.emit(list.get_mut(start..).unwrap_or_default());
}

/// Appends an attribute as it came, but with another value.
pub(super) fn put_with(list: &mut Vec<u8>, attribute: &Attribute<'_>, value: &[u8]) {
    let nested = if attribute.nested_flag() { NLA_F_NESTED } else { 0 };
    let order = if attribute.network_byte_order_flag() { NLA_F_NET_BYTEORDER } else { 0 };
    put(list, attribute.kind() | nested | order, value);
}

/// A list cut to attributes of some types.
///
/// # Errors
/// The list is cut off.
pub(super) fn cut(list: &[u8], kept: &[u16]) -> Result<Vec<u8>, DecodeError> {
    let mut left = Vec::new();
    for attribute in attributes(list) {
        let attribute = attribute?;
        if kept.contains(&attribute.kind()) {
            put_with(&mut left, &attribute, attribute.value());
        }
    }
    Ok(left)
}
