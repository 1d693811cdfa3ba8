//! What a machine says of Secure Boot, of the keys it trusts and of who signed a module: bytes in,
//! values out. Nothing here reads a file. Whether a module would be taken is said in [`verdict`], from
//! [`trust::Trust`]; the parsers do not judge.
//!
//! Every parser is total: any bytes give a value, or the place where they are not what they should
//! be. Signatures are not verified; the kernel does that, and what is asked here is whose they are.

mod bytes;

pub mod algorithm;
pub mod certificate;
mod der;
pub mod enrolment;
pub mod guid;
pub mod kernel;
pub mod keyring;
pub mod oid;
pub mod picture;
pub mod request;
pub mod sealed;
pub mod signature;
pub mod signature_list;
pub mod trust;
pub mod variable;
pub mod verdict;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: expected {expected}")]
pub struct Damaged {
    /// Where, from the beginning of what was given to the parser.
    pub offset: usize,
    /// What should stand there.
    pub expected: &'static str,
}

impl Damaged {
    /// The same place, seen from the beginning of something that holds what was parsed at `base`.
    #[must_use]
    pub fn within(self, base: usize) -> Self {
        Self { offset: self.offset.saturating_add(base), ..self }
    }
}

/// Bytes as lower-case hexadecimal digits, as the kernel prints ids and hashes.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What an even number of hexadecimal digits stands for; none for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|one| u8::try_from(one).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(unhex("001FfF"), Some(vec![0, 0x1f, 0xff]));
        assert_eq!(unhex(""), Some(vec![]));
        for text in ["0", "0g", " 0", "+1", "000", "ä"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }

    #[test]
    fn a_place_is_told_from_the_outermost_beginning() {
        let damaged = Damaged { offset: 3, expected: "a certificate" };
        assert_eq!(damaged.within(40).to_string(), "byte 43: expected a certificate");
        assert_eq!(damaged.within(usize::MAX).offset, usize::MAX);
    }
}
