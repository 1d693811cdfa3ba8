//! Bytes of netlink that are kept and sent back, and that nothing here looks into.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The bytes; hexadecimal where they are written.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Raw(pub Vec<u8>);

impl Raw {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not pairs of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not pairs of hexadecimal digits")]
pub struct NotHexadecimal;

impl FromStr for Raw {
    type Err = NotHexadecimal;

    fn from_str(text: &str) -> Result<Self, NotHexadecimal> {
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        bytes.filter(|_| rest.is_empty()).map(Self).ok_or(NotHexadecimal)
    }
}

impl TryFrom<String> for Raw {
    type Error = NotHexadecimal;

    fn try_from(text: String) -> Result<Self, NotHexadecimal> {
        text.parse()
    }
}

impl From<Raw> for String {
    fn from(raw: Raw) -> Self {
        raw.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_and_what_is_none_is_refused() {
        let raw = Raw(vec![0, 15, 255]);
        assert_eq!(raw.to_string(), "000fff");
        assert_eq!("000fff".parse(), Ok(raw));
        assert_eq!("".parse(), Ok(Raw::default()));
        for odd in ["0", "0g", "000", "+1"] {
            assert_eq!(odd.parse::<Raw>(), Err(NotHexadecimal), "{odd}");
        }
    }
}
