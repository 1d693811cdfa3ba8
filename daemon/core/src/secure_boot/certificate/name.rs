//! Names in certificates.

use std::fmt::{self, Write};

use crate::secure_boot::der::{self, Der, Element};
use crate::secure_boot::oid::Oid;
use crate::secure_boot::{Damaged, hex};

/// Who somebody is: parts, from the most general to the most special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// What each part is, and what it says.
    pub parts: Vec<(Oid, String)>,
    /// What is encoded, without tag and length: kernels compare this.
    pub encoded: Vec<u8>,
}

/// What parts are called in front of their text (RFC 4514, and `openssl` for the last).
const SHORT: [(Oid, &str); 7] = [
    (Oid::COMMON_NAME, "CN"),
    (Oid::COUNTRY, "C"),
    (Oid::LOCALITY, "L"),
    (Oid::STATE, "ST"),
    (Oid::ORGANIZATION, "O"),
    (Oid::ORGANIZATIONAL_UNIT, "OU"),
    (Oid::EMAIL_ADDRESS, "emailAddress"),
];

impl Name {
    pub(in crate::secure_boot) fn read(
        der: &mut Der<'_>,
        expected: &'static str,
    ) -> Result<Self, Damaged> {
        let mut sets = der.inside(der::SEQUENCE, expected)?;
        let encoded = sets.bytes().to_vec();
        let mut parts = Vec::new();
        while !sets.is_empty() {
            let mut set = sets.inside(der::SET, "a part of a name")?;
            while !set.is_empty() {
                let mut part = set.inside(der::SEQUENCE, "a part of a name")?;
                let kind = part.take(der::OBJECT_IDENTIFIER, "what a part of a name is")?.oid()?;
                let text = text(part.any("the text of a part of a name")?);
                part.end("the end of a part of a name")?;
                parts.push((kind, text));
            }
        }
        Ok(Self { parts, encoded })
    }

    /// Its common name, as `modinfo` prints it behind `signer` for an issuer; the last if there are
    /// several, as the kernel takes it.
    pub fn common_name(&self) -> Option<&str> {
        let mut names = self.parts.iter().rev().filter(|(kind, _)| *kind == Oid::COMMON_NAME);
        names.next().map(|(_, text)| text.as_str())
    }

    /// Whether a kernel takes both for the same: the encoding counts, not the text.
    pub fn same_as(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

/// What a string says, whatever alphabet it is in; digits for what is no string.
fn text(element: Element<'_>) -> String {
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const TELETEX: u8 = 0x14;
    const IA5: u8 = 0x16;
    const UNIVERSAL: u8 = 0x1c;
    const BMP: u8 = 0x1e;
    let bytes = element.content.bytes();
    match element.tag {
        UTF8 => String::from_utf8_lossy(bytes).into_owned(),
        // What stands in the wild under this name is Latin-1.
        PRINTABLE | TELETEX | IA5 => bytes.iter().copied().map(char::from).collect(),
        BMP => {
            let units = bytes.chunks(2).map(|unit| match unit {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0xfffd,
            });
            char::decode_utf16(units)
                .map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        UNIVERSAL => bytes
            .chunks(4)
            .map(|unit| {
                let unit = unit.try_into().ok().map(u32::from_be_bytes);
                unit.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
            })
            .collect(),
        _ => format!("#{}", hex(element.whole)),
    }
}

impl fmt::Display for Name {
    /// The most special part first (RFC 4514). What could pass for the end of a part or of a line is
    /// escaped: a certificate says what it likes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (kind, text)) in self.parts.iter().rev().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            match SHORT.iter().find(|(known, _)| known == kind) {
                Some((_, short)) => write!(f, "{short}=")?,
                None => write!(f, "{kind}=")?,
            }
            for letter in text.chars() {
                match letter {
                    ',' | '+' | '\\' | '"' => write!(f, "\\{letter}")?,
                    _ if letter.is_control() => write!(f, "{}", letter.escape_default())?,
                    _ => f.write_char(letter)?,
                }
            }
        }
        Ok(())
    }
}
