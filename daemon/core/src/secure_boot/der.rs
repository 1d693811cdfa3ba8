//! ASN.1 as certificates and signatures are encoded: tag, length, content. The distinguished rules
//! are not enforced, since the kernel does not either; lengths must be definite, tags of one byte.

use super::Damaged;
use super::bytes::Bytes;
use super::oid::Oid;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Tags that a structure gives its own meaning, with a value inside.
pub(super) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// The same, in place of the value's own tag.
pub(super) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: Der<'a>,
    /// With tag and length.
    pub(super) whole: &'a [u8],
    offset: usize,
}

impl Element<'_> {
    /// That something else should stand where it begins.
    pub(super) fn damaged(&self, expected: &'static str) -> Damaged {
        Damaged { offset: self.offset, expected }
    }

    /// An object identifier's value.
    pub(super) fn oid(&self) -> Result<Oid, Damaged> {
        Oid::read(self.content.bytes())
            .ok_or(self.content.0.damaged("the numbers of an object identifier"))
    }

    /// Whether it is true.
    pub(super) fn truth(&self) -> Result<bool, Damaged> {
        match self.content.bytes() {
            [byte] => Ok(*byte != 0),
            _ => Err(self.content.0.damaged("one byte, true or false")),
        }
    }

    /// A small whole number that is not negative.
    pub(super) fn small(&self) -> Result<u32, Damaged> {
        let bytes = self.content.bytes();
        let negative = bytes.first().is_none_or(|first| first & 0x80 != 0);
        let digits = bytes.iter().skip_while(|byte| **byte == 0);
        if negative || digits.clone().count() > 4 {
            return Err(self.content.0.damaged("a whole number of at most 32 bits"));
        }
        Ok(digits.fold(0_u32, |number, byte| number << 8 | u32::from(*byte)))
    }
}

/// Values one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(Bytes<'a>);

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(Bytes::new(bytes))
    }

    pub(super) fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self(Bytes::at(bytes, offset))
    }

    /// What has not been read.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.0.rest()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.rest().is_empty()
    }

    /// That something else should stand here.
    pub(super) fn damaged(&self, expected: &'static str) -> Damaged {
        self.0.damaged(expected)
    }

    /// The next value, whatever it is.
    pub(super) fn any(&mut self, expected: &'static str) -> Result<Element<'a>, Damaged> {
        /// The low bits of a tag that goes on in further bytes.
        const LONG: u8 = 0x1f;
        let start = self.0;
        let [tag, first] = self.0.array(expected)?;
        if tag & LONG == LONG {
            return Err(start.damaged("a tag of one byte"));
        }
        let length = match first {
            0..0x80 => usize::from(first),
            // Four bytes of length are more than any file that is read.
            0x81..=0x84 => {
                let digits = self.0.take(usize::from(first & 0x7f), "a whole length")?;
                digits.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte))
            }
            0x80 | 0x85.. => return Err(start.damaged("a definite length of at most 4 bytes")),
        };
        let begin = self.0.offset();
        let content = Self::at(self.0.take(length, "as many bytes as the length says")?, begin);
        let used = start.rest().len().saturating_sub(self.0.rest().len());
        let whole = start.rest().get(..used).unwrap_or_default();
        Ok(Element { tag, content, whole, offset: start.offset() })
    }

    /// The next value, which must have this tag.
    pub(super) fn take(&mut self, tag: u8, expected: &'static str) -> Result<Element<'a>, Damaged> {
        let start = self.0;
        let element = self.any(expected)?;
        if element.tag == tag { Ok(element) } else { Err(start.damaged(expected)) }
    }

    /// What stands in the next value, which must have this tag.
    pub(super) fn inside(&mut self, tag: u8, expected: &'static str) -> Result<Self, Damaged> {
        self.take(tag, expected).map(|element| element.content)
    }

    /// The next value, if it has this tag.
    pub(super) fn optional(
        &mut self,
        tag: u8,
        expected: &'static str,
    ) -> Result<Option<Element<'a>>, Damaged> {
        if self.0.rest().first() == Some(&tag) { self.any(expected).map(Some) } else { Ok(None) }
    }

    /// The next byte, which is no value.
    pub(super) fn octet(&mut self, expected: &'static str) -> Result<u8, Damaged> {
        self.0.array(expected).map(|[byte]| byte)
    }

    /// That nothing is left.
    pub(super) fn end(&self, expected: &'static str) -> Result<(), Damaged> {
        self.0.end(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_their_places() {
        let bytes = [0x30, 0x81, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x80, 0x05, 0x00];
        let mut der = Der::at(&bytes, 100);
        let sequence = der.take(SEQUENCE, "a sequence").unwrap();
        assert_eq!(sequence.whole, &bytes[..9]);
        let mut inner = sequence.content;
        assert_eq!(inner.take(INTEGER, "a number").unwrap().small(), Ok(5));
        let negative = inner.take(INTEGER, "a number").unwrap().small().unwrap_err();
        assert_eq!(negative.offset, 108);
        assert!(inner.is_empty());
        assert_eq!(der.take(SET, "a set").unwrap_err(), Damaged { offset: 109, expected: "a set" });
        assert!(der.is_empty(), "a refused value has been passed over");
    }

    #[test]
    fn what_is_no_value_is_refused_where_it_is() {
        for (bytes, offset) in [
            (&[][..], 0),
            (&[0x30], 0),
            (&[0x30, 0x80, 0, 0], 0),
            (&[0x30, 0x85, 0, 0, 0, 0, 0], 0),
            (&[0x1f, 0x01, 0], 0),
            (&[0x30, 0x82, 1], 2),
            (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], 6),
            (&[0x30, 1], 2),
        ] {
            assert_eq!(Der::new(bytes).any("a value").unwrap_err().offset, offset, "{bytes:02x?}");
        }
    }

    #[test]
    fn small_numbers_have_four_bytes() {
        let small = |bytes: &[u8]| Der::new(bytes).any("a number").unwrap().small();
        assert_eq!(small(&[2, 5, 0, 0xff, 0xff, 0xff, 0xff]), Ok(u32::MAX));
        assert_eq!(small(&[2, 1, 0]), Ok(0));
        assert!(small(&[2, 5, 1, 0, 0, 0, 0]).is_err() && small(&[2, 0]).is_err());
    }
}
