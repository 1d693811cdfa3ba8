//! Numbers that identify and are written as hexadecimal digits: hardware addresses without colons, and
//! identifiers of 128 bits, of a machine, a boot, a file system.

use std::collections::BTreeMap;

use super::pseudonyms::Mac;

/// Digits of a hardware address.
pub(super) const MAC_DIGITS: usize = 12;
/// Digits of the identity of a clock.
pub(super) const CLOCK_DIGITS: usize = 16;
/// Digits of an identifier.
const ID_DIGITS: usize = 32;
/// Where an identifier has dashes, if it has any (RFC 9562).
const DASHES: [usize; 4] = [8, 13, 18, 23];
/// Its length with them.
const DASHED: usize = 36;
/// What all pseudonyms begin with; they are of version 4 by their form.
const FIRST: u128 = 0x4000_8000_0000_0000_0000;

/// Identifiers, and their pseudonyms once they are numbered.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids(BTreeMap<u128, u128>);

/// A hardware address as a number.
pub(super) fn number(mac: Mac) -> u128 {
    mac.iter().fold(0, |number, octet| number << 8 | u128::from(*octet))
}

impl Ids {
    /// Takes note of every identifier in a text.
    pub(super) fn add_all(&mut self, text: &[u8]) {
        let word = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
        for word in text.split(|byte| !word(byte)) {
            if let Some(id) = dashed(word).filter(|_| word.len() == DASHED) {
                self.0.insert(id, id);
            }
            for part in word.split(|byte| *byte == b'-').filter(|part| part.len() == ID_DIGITS) {
                self.0.extend(value(part).map(|id| (id, id)));
            }
        }
    }

    /// Gives each its pseudonym.
    pub(super) fn numbered(self) -> Self {
        // No identifier at all, which must stay none.
        let told = self.0.into_keys().filter(|id| *id != 0);
        Self(told.zip(1_u128..).map(|(id, number)| (id, FIRST | number)).collect())
    }

    /// Writes them anew, with dashes or without.
    pub(super) fn replace(&self, bytes: &mut [u8]) {
        if self.0.is_empty() {
            return;
        }
        let new = |id| self.0.get(&id).copied();
        replace(bytes, ID_DIGITS, new);
        for start in 0..bytes.len().saturating_sub(DASHED - 1) {
            let Some(place) = bytes.get_mut(start..start + DASHED) else { continue };
            if place.get(8) != Some(&b'-') {
                continue;
            }
            if let Some(id) = dashed(place).and_then(new) {
                let digits = format!("{id:0ID_DIGITS$x}");
                let free = place.iter_mut().filter(|byte| **byte != b'-');
                free.zip(digits.bytes()).for_each(|(byte, digit)| *byte = digit);
            }
        }
    }
}

/// Writes numbers of so many digits anew wherever they stand in a row of digits and letters.
pub(super) fn replace(bytes: &mut [u8], digits: usize, new: impl Fn(u128) -> Option<u128>) {
    let mut row = 0;
    for end in 1..=bytes.len() {
        row = if bytes.get(end - 1).is_some_and(u8::is_ascii_hexdigit) { row + 1 } else { 0 };
        if row < digits {
            continue;
        }
        let Some(place) = bytes.get_mut(end - digits..end) else { continue };
        if let Some(number) = value(place).and_then(&new) {
            let text = format!("{number:0digits$x}");
            let upper = place.iter().any(u8::is_ascii_uppercase);
            let text = if upper { text.to_ascii_uppercase() } else { text };
            place.copy_from_slice(text.as_bytes());
            row = 0;
        }
    }
}

fn value(digits: &[u8]) -> Option<u128> {
    u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn dashed(word: &[u8]) -> Option<u128> {
    let is_dash = |(at, byte): (usize, &u8)| DASHES.contains(&at) == (*byte == b'-');
    if word.len() != DASHED || !word.iter().enumerate().all(is_dash) {
        return None;
    }
    let digits: Vec<u8> = word.iter().copied().filter(|byte| *byte != b'-').collect();
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    value(&digits)
}
