//! Object identifiers: names of algorithms, of parts of a name, of extensions and of purposes.

use std::borrow::Cow;
use std::fmt;

/// An object identifier, as its content is encoded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oid(Cow<'static, [u8]>);

impl Oid {
    /// Of the content of an encoded one; none where its numbers do not end, or have more than 64
    /// bits.
    pub(super) fn read(content: &[u8]) -> Option<Self> {
        let last_ends = content.last().is_some_and(|byte| byte & 0x80 == 0);
        let fits = content.split(|byte| byte & 0x80 == 0).all(|number| number.len() <= MOST_DIGITS);
        (last_ends && fits).then(|| Self(Cow::Owned(content.to_vec())))
    }

    const fn known(content: &'static [u8]) -> Self {
        Self(Cow::Borrowed(content))
    }
}

/// Digits to base 128 before the last of a number that has 63 bits.
const MOST_DIGITS: usize = 8;

macro_rules! known {
    ($($(#[$doc:meta])+ $name:ident = $($byte:literal)+;)+) => {
        impl Oid {
            $($(#[$doc])+ pub const $name: Self = Self::known(&[$($byte),+]);)+
        }
    };
}

// What each is called in numbers stands in the test.
known! {
    /// Purpose: signing programs.
    CODE_SIGNING = 0x2b 6 1 5 5 7 3 3;
    /// Purpose: signing kernel modules only; shim then does not accept programs signed by it.
    MODULE_SIGNING = 0x2b 6 1 4 1 0x92 8 0x10 1 2;
    /// Purpose: any.
    ANY_PURPOSE = 0x55 0x1d 0x25 0;

    /// Extension: whose key signed this certificate.
    AUTHORITY_KEY_ID = 0x55 0x1d 0x23;
    /// Extension: what this certificate's key is called.
    SUBJECT_KEY_ID = 0x55 0x1d 0x0e;
    /// Extension: what the key may be used for.
    KEY_USAGE = 0x55 0x1d 0x0f;
    /// Extension: for which purposes.
    EXTENDED_KEY_USAGE = 0x55 0x1d 0x25;
    /// Extension: whether it may sign certificates.
    BASIC_CONSTRAINTS = 0x55 0x1d 0x13;

    /// Part of a name: CN.
    COMMON_NAME = 0x55 4 3;
    /// Part of a name: C.
    COUNTRY = 0x55 4 6;
    /// Part of a name: L.
    LOCALITY = 0x55 4 7;
    /// Part of a name: ST.
    STATE = 0x55 4 8;
    /// Part of a name: O.
    ORGANIZATION = 0x55 4 10;
    /// Part of a name: OU.
    ORGANIZATIONAL_UNIT = 0x55 4 11;
    /// Part of a name: emailAddress.
    EMAIL_ADDRESS = 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 9 1;

    /// PKCS#7: content that is signed elsewhere, or follows.
    DATA = 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 7 1;
    /// PKCS#7: a signature.
    SIGNED_DATA = 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 7 2;
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = 0_u64;
        let mut first = true;
        for byte in self.0.iter() {
            number = number << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 != 0 {
                continue;
            }
            if first {
                // The first two numbers are one.
                let root = (number / 40).min(2);
                write!(f, "{root}.{}", number.saturating_sub(root.saturating_mul(40)))?;
            } else {
                write!(f, ".{number}")?;
            }
            (number, first) = (0, false);
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_others_call_them() {
        for (oid, numbers) in [
            (Oid::CODE_SIGNING, "1.3.6.1.5.5.7.3.3"),
            (Oid::MODULE_SIGNING, "1.3.6.1.4.1.2312.16.1.2"),
            (Oid::ANY_PURPOSE, "2.5.29.37.0"),
            (Oid::AUTHORITY_KEY_ID, "2.5.29.35"),
            (Oid::SUBJECT_KEY_ID, "2.5.29.14"),
            (Oid::KEY_USAGE, "2.5.29.15"),
            (Oid::EXTENDED_KEY_USAGE, "2.5.29.37"),
            (Oid::BASIC_CONSTRAINTS, "2.5.29.19"),
            (Oid::COMMON_NAME, "2.5.4.3"),
            (Oid::COUNTRY, "2.5.4.6"),
            (Oid::LOCALITY, "2.5.4.7"),
            (Oid::STATE, "2.5.4.8"),
            (Oid::ORGANIZATION, "2.5.4.10"),
            (Oid::ORGANIZATIONAL_UNIT, "2.5.4.11"),
            (Oid::EMAIL_ADDRESS, "1.2.840.113549.1.9.1"),
            (Oid::DATA, "1.2.840.113549.1.7.1"),
            (Oid::SIGNED_DATA, "1.2.840.113549.1.7.2"),
        ] {
            assert_eq!(oid.to_string(), numbers);
        }
    }

    #[test]
    fn numbers_end_and_have_63_bits() {
        let largest = [0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        let text = Oid::read(&largest).map(|oid| oid.to_string());
        assert_eq!(text.as_deref(), Some("1.2.9223372036854775807"));
        let longer = [&largest[..2], &largest[1..]].concat();
        for content in [&[][..], &[0x2a, 0x86], &longer] {
            assert_eq!(Oid::read(content), None, "{content:02x?}");
        }
        assert_eq!(Oid::read(&[0xff, 0x7f]).map(|oid| oid.to_string()).as_deref(), Some("2.16303"));
    }
}
