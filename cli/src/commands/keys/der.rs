//! DER, as far as a certificate and a signature must be told from others. Total: whatever the bytes
//! are, an answer or none.

/// Tags that are met here (X.690 section 8).
pub mod tag {
    /// A truth value.
    pub const BOOLEAN: u8 = 0x01;
    /// A number of any length.
    pub const INTEGER: u8 = 0x02;
    /// Bits, behind the count of unused ones.
    pub const BIT_STRING: u8 = 0x03;
    /// Bytes.
    pub const OCTET_STRING: u8 = 0x04;
    /// An object identifier.
    pub const OID: u8 = 0x06;
    /// A list.
    pub const SEQUENCE: u8 = 0x30;
    /// A set.
    pub const SET: u8 = 0x31;
    /// `[0]`, with something inside.
    pub const CONTEXT_0: u8 = 0xa0;
    /// `[1]`, with something inside.
    pub const CONTEXT_1: u8 = 0xa1;
    /// `[3]`, with something inside.
    pub const CONTEXT_3: u8 = 0xa3;
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// What it is.
    pub tag: u8,
    /// What is in it.
    pub content: &'a [u8],
}

/// Values one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a>(pub &'a [u8]);

impl<'a> Values<'a> {
    /// The content of the next one, if it has this tag; otherwise nothing is taken.
    pub fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut rest = *self;
        let value = rest.next().filter(|value| value.tag == tag)?;
        *self = rest;
        Some(value.content)
    }

    /// The values inside the next one, if it has this tag.
    pub fn enter(&mut self, tag: u8) -> Option<Self> {
        self.content(tag).map(Self)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of several bytes are met nowhere in what is read here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            short @ 0..=0x7f => usize::from(short),
            // Up to four bytes of length; none, the indefinite form, is no DER.
            long @ 0x81..=0x84 => {
                let (bytes, behind) = rest.split_at_checked(usize::from(long & 0x7f))?;
                rest = behind;
                bytes.iter().try_fold(0usize, |sum, byte| {
                    sum.checked_mul(256)?.checked_add(usize::from(*byte))
                })?
            }
            _ => return None,
        };
        let (content, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some(Value { tag, content })
    }
}

/// The common name in a distinguished name (its content), for people.
pub fn common_name(name: &[u8]) -> Option<String> {
    /// id-at-commonName, 2.5.4.3.
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let attributes = Values(name).flat_map(|set| Values(set.content));
    let mut common = attributes.filter_map(|attribute| {
        let mut parts = Values(attribute.content);
        let text = (parts.content(tag::OID)? == COMMON_NAME).then(|| parts.next())??;
        Some(String::from_utf8_lossy(text.content).into_owned())
    });
    common.next()
}

/// A serial number without the zero byte that only says it is no negative one, as modinfo shows it.
pub fn number(serial: &[u8]) -> String {
    hex(serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial))
}

/// Bytes as hexadecimal digits, as `/proc/keys` writes them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn values_are_taken_in_order_and_never_beyond_the_end() {
        let bytes = [0x02, 0x01, 0x05, 0x30, 0x81, 0x03, 0x04, 0x01, 0xff];
        let mut values = Values(&bytes);
        assert!(values.content(tag::SEQUENCE).is_none(), "an integer is first");
        assert_eq!(values.content(tag::INTEGER), Some(&[5][..]));
        let mut inside = values.enter(tag::SEQUENCE).unwrap();
        assert_eq!(inside.content(tag::OCTET_STRING), Some(&[0xff][..]));
        assert!(values.next().is_none());
        for wrong in [
            &[0x30][..],
            &[0x30, 0x02, 0x00],
            &[0x30, 0x80, 0x00, 0x00],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x1f, 0x81, 0x01, 0x00],
        ] {
            assert!(Values(wrong).next().is_none(), "{wrong:x?}");
        }
    }

    #[test]
    fn a_serial_number_has_no_sign() {
        for (serial, shown) in [(&[0, 0x80][..], "80"), (&[0], "00"), (&[1, 0], "0100"), (&[], "")]
        {
            assert_eq!(number(serial), shown);
        }
    }

    #[test]
    fn a_common_name_is_found_among_others() {
        // O=a, CN=b
        let name = [
            0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x0a, 0x0c, 0x01, 0x61, //
            0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, 0x62,
        ];
        assert_eq!(common_name(&name).as_deref(), Some("b"));
        assert_eq!(common_name(&name[..12]), None);
    }
}
