//! The signature at the end of a module file: whose it is, and over how much
//! (`reference/secure-boot-mok.md` section 6). Given is what the kernel checks, the file as it is
//! when it is not compressed.

use self::signed_data::SignedData;
use super::Damaged;
use super::bytes::Bytes;

pub mod signed_data;
#[cfg(test)]
mod tests;

/// What stands at the very end of a signed module.
pub const MARK: &[u8] = b"~Module signature appended~\n";
/// Kind, sizes and length of the signature, before the mark.
const TRAILER_BYTES: usize = 12;
/// PKCS#7, the only kind that is left (PKEY_ID_PKCS7).
const PKCS7: u8 = 2;

/// A signature that was appended to a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// How many bytes from the beginning are signed. They may end in a signature again, of which the
    /// kernel takes no notice.
    pub module_bytes: usize,
    /// Who signed.
    pub signed_data: SignedData,
}

/// Why a module's signature does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is of a kind that kernels do not know; they say ENOPKG.
    #[error("byte {offset}: expected a signature of kind 2 (PKCS#7), found kind {kind}")]
    UnknownKind {
        /// Where the kind stands, from the beginning of the module.
        offset: usize,
        /// What stands there.
        kind: u8,
    },
    /// It is damaged; kernels say EBADMSG.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl Signature {
    /// Reads the signature of a module; none where the mark is not at the end. Only the end of the
    /// file is looked at. Offsets are seen from the beginning of the module.
    ///
    /// # Errors
    /// The mark is there, and no signature before it.
    pub fn parse(module: &[u8]) -> Result<Option<Self>, SignatureError> {
        let Some(rest) = module.strip_suffix(MARK) else { return Ok(None) };
        let at = rest.len().saturating_sub(TRAILER_BYTES);
        let (rest, trailer) = rest
            .split_at_checked(at)
            .filter(|(_, trailer)| trailer.len() == TRAILER_BYTES)
            .ok_or(Damaged { offset: 0, expected: "12 bytes that describe the signature" })?;
        let mut trailer = Bytes::at(trailer, at);
        let sizes_at = trailer.offset();
        let [algorithm, hash, kind, signer_bytes, key_id_bytes, pads @ ..] =
            trailer.array::<8>("what a signature is")?;
        if kind != PKCS7 {
            return Err(SignatureError::UnknownKind { offset: sizes_at.saturating_add(2), kind });
        }
        if [algorithm, hash, signer_bytes, key_id_bytes] != [0; 4] || pads != [0; 3] {
            return Err(Damaged { offset: sizes_at, expected: "zeros around the kind" }.into());
        }
        let length_at = trailer.damaged("the length of a signature that begins within the module");
        let length = trailer.array("a length of 4 bytes").map(u32::from_be_bytes)?;
        let module_bytes = usize::try_from(length)
            .ok()
            .and_then(|length| rest.len().checked_sub(length))
            .filter(|module_bytes| *module_bytes > 0)
            .ok_or(length_at)?;
        let pkcs7 = rest.get(module_bytes..).unwrap_or_default();
        let signed_data =
            SignedData::parse(pkcs7).map_err(|damaged| damaged.within(module_bytes))?;
        Ok(Some(Self { module_bytes, signed_data }))
    }
}
