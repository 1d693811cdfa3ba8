//! What stands behind a signed module: PKCS#7, a trailer of 12 bytes, a mark
//! (`reference/secure-boot-mok.md` section 6).

use super::certificate::Certificate;
use super::der::{self, Values, tag};
use super::words::Digest;

/// The last bytes of a signed module.
pub const MARK: &[u8; 28] = b"~Module signature appended~\n";
/// The trailer before the mark.
const TRAILER: usize = 12;
/// The only kind of signature that kernels take.
const PKCS7: u8 = 2;
/// Trailer and mark.
pub const TAIL: usize = TRAILER + MARK.len();

/// What the end of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// No mark: nothing is signed.
    None,
    /// A signature of so many bytes stands before the trailer.
    Signature(u64),
    /// A mark, and a trailer that cannot be one.
    Broken,
}

/// Reads the end of a file: its last `TAIL` bytes, or all of a shorter one. `length` is the file's.
pub fn tail(end: &[u8], length: u64) -> Tail {
    let Some(before) = end.strip_suffix(MARK) else { return Tail::None };
    let Some(trailer) = before.last_chunk::<TRAILER>() else { return Tail::Broken };
    let [0, 0, PKCS7, 0, 0, 0, 0, 0, size @ ..] = trailer else { return Tail::Broken };
    let size = u64::from(u32::from_be_bytes(*size));
    let room = length.saturating_sub(TAIL as u64);
    if size == 0 || size > room { Tail::Broken } else { Tail::Signature(size) }
}

/// A signature with trailer and mark, ready to stand behind a module. None for one that is longer
/// than a trailer can say.
pub fn appended(signature: &[u8]) -> Option<Vec<u8>> {
    let size = u32::try_from(signature.len()).ok()?.to_be_bytes();
    Some([signature, &[0, 0, PKCS7, 0, 0, 0, 0, 0], &size, MARK].concat())
}

/// Who signed, as the signature says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The issuer's name, as a list of sets.
    issuer: Vec<u8>,
    serial: Vec<u8>,
    digest: Vec<u8>,
}

impl Signer {
    /// Reads a signature. None where it names its signer in another way, or is no PKCS#7.
    pub fn read(signature: &[u8]) -> Option<Self> {
        let mut signed = outer(signature)?;
        signed.content(tag::INTEGER)?;
        signed.content(tag::SET)?;
        signed.content(tag::SEQUENCE)?;
        signed.content(tag::CONTEXT_0);
        signed.content(tag::CONTEXT_1);
        let mut one = signed.enter(tag::SET)?.enter(tag::SEQUENCE)?;
        one.content(tag::INTEGER)?;
        let mut id = one.enter(tag::SEQUENCE)?;
        let issuer = id.content(tag::SEQUENCE)?.to_vec();
        let serial = id.content(tag::INTEGER)?.to_vec();
        let digest = one.enter(tag::SEQUENCE)?.content(tag::OID)?.to_vec();
        Some(Self { issuer, serial, digest })
    }

    /// Whether this is the certificate's key, as the kernel looks it up.
    pub fn is(&self, certificate: &Certificate) -> bool {
        self.issuer == certificate.issuer && self.serial == certificate.serial
    }

    /// Whether the signature is over this digest.
    pub fn signs(&self, digest: Digest) -> bool {
        self.digest == digest.oid()
    }
}

impl std::fmt::Display for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = der::common_name(&self.issuer);
        let name = name.as_deref().unwrap_or("an issuer without a common name");
        write!(f, "{name} (serial {})", der::number(&self.serial))
    }
}

/// The values of the SignedData in a ContentInfo (RFC 5652 section 3).
fn outer(signature: &[u8]) -> Option<Values<'_>> {
    /// id-signedData, 1.2.840.113549.1.7.2.
    const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    let mut info = Values(signature).enter(tag::SEQUENCE)?;
    if info.content(tag::OID)? != SIGNED_DATA {
        return None;
    }
    info.enter(tag::CONTEXT_0)?.enter(tag::SEQUENCE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn a_tail_is_believed_only_where_it_can_be_true() {
        let good = appended(&[1, 2, 3]).unwrap();
        assert_eq!(good.len(), 3 + TAIL);
        let end = &good[3..];
        let with = |at: usize, byte: u8| {
            let mut end = end.to_vec();
            end[at] = byte;
            end
        };
        let cases = [
            ("signed", end.to_vec(), 43, Tail::Signature(3)),
            ("unsigned", b"\x7fELF".to_vec(), 4, Tail::None),
            ("empty", Vec::new(), 0, Tail::None),
            ("a mark alone", MARK.to_vec(), 28, Tail::Broken),
            ("longer than the file", end.to_vec(), 42, Tail::Broken),
            ("of no length", with(11, 0), 43, Tail::Broken),
            ("another kind", with(2, 1), 43, Tail::Broken),
            ("a field that must be empty", with(0, 1), 43, Tail::Broken),
            ("padding that is none", with(7, 1), 43, Tail::Broken),
            ("a mark cut short", end[..end.len() - 1].to_vec(), 42, Tail::None),
        ];
        for (why, end, length, expected) in cases {
            assert_eq!(tail(&end, length), expected, "{why}");
        }
    }

    #[test]
    fn what_is_no_signature_names_no_signer() {
        for bytes in [&[][..], &[0x30, 0x00], &[0x30, 0x02, 0x06, 0x00], &[0xff; 64]] {
            assert_eq!(Signer::read(bytes), None);
        }
    }
}
