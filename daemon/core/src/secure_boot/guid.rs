//! Identifiers of 16 bytes, as UEFI stores and writes them.

use std::fmt;
use std::str::FromStr;

use super::unhex;

/// Where the hyphens stand in a written one.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// The order in which its bytes are written: the first three fields are stored lowest byte first.
const WRITTEN: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/// An identifier of UEFI, as its bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// Out of the fields in which headers write it.
    pub const fn new(first: u32, second: u16, third: u16, last: [u8; 8]) -> Self {
        let [a, b, c, d] = first.to_le_bytes();
        let [e, f] = second.to_le_bytes();
        let [g, h] = third.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = last;
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }
}

/// A text that is no identifier of UEFI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12")]
pub struct InvalidGuid;

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, from) in WRITTEN.iter().enumerate() {
            if [4, 6, 8, 10].contains(&place) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0.get(*from).copied().unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = InvalidGuid;

    fn from_str(text: &str) -> Result<Self, InvalidGuid> {
        let hyphens: Vec<_> = text.match_indices('-').map(|(place, _)| place).collect();
        let written = unhex(&text.replace('-', "")).ok_or(InvalidGuid)?;
        if hyphens != HYPHENS || written.len() != WRITTEN.len() {
            return Err(InvalidGuid);
        }
        let mut stored = [0; 16];
        for (byte, to) in written.into_iter().zip(WRITTEN) {
            *stored.get_mut(to).ok_or(InvalidGuid)? = byte;
        }
        Ok(Self(stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_text_and_bytes_are_the_same() {
        let text = "605dab50-e046-4300-abb6-3dd810dd8b23";
        let guid: Guid = text.parse().unwrap();
        assert_eq!(guid.to_string(), text);
        assert_eq!(guid.0[..6], [0x50, 0xab, 0x5d, 0x60, 0x46, 0xe0]);
        let last = [0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23];
        assert_eq!(guid, Guid::new(0x605d_ab50, 0xe046, 0x4300, last));
        assert_eq!(text.to_uppercase().parse(), Ok(guid));
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "605dab50e0464300abb63dd810dd8b23",
            "605dab50-e046-4300-abb6-3dd810dd8b2",
            "605dab50-e046-4300-abb6-3dd810dd8b234",
            "605dab5-0e046-4300-abb6-3dd810dd8b23",
            "605dab50-e046-4300-abb6-3dd810dd8b2g",
            "{605dab50-e046-4300-abb6-3dd810dd8b23}",
        ] {
            assert_eq!(text.parse::<Guid>(), Err(InvalidGuid), "{text}");
        }
    }
}
