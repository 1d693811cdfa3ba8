//! PKCS#7 SignedData, as `sign-file` and `openssl cms` write it.

use crate::secure_boot::Damaged;
use crate::secure_boot::algorithm::{Digest, SignatureAlgorithm};
use crate::secure_boot::certificate::name::Name;
use crate::secure_boot::certificate::{Certificate, KeyId, Serial, algorithm};
use crate::secure_boot::der::{self, Der};
use crate::secure_boot::oid::Oid;

/// Signatures of one content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedData {
    /// Whether the content itself is in here, where for a module it must not be.
    pub content_inside: bool,
    /// How many bytes of certificates are in here; for a module there should be none.
    pub certificates_bytes: usize,
    /// Who signed; at least one. The kernel wants to know one of them.
    pub signers: Vec<Signer>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// By whose key.
    pub by: SignerId,
    /// How the content was hashed.
    pub digest: Digest,
    /// How the hash was signed.
    pub algorithm: SignatureAlgorithm,
    /// Whether attributes were signed in place of the content; kernels before 2026 refuse that
    /// (`reference/secure-boot-mok.md` section 6).
    pub attributes_signed: bool,
    /// How many bytes the signature itself has.
    pub signature_bytes: usize,
}

/// What a signature calls the certificate of the key that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerId {
    /// By who issued it, and its number. A new certificate for the same key is another one.
    Issued {
        /// Who.
        issuer: Name,
        /// Its number.
        serial: Serial,
    },
    /// By what its key is called.
    Key(KeyId),
}

impl SignerId {
    /// Whether this certificate is meant; compared as the kernel does.
    pub fn means(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Issued { issuer, serial } => {
                issuer.same_as(&certificate.issuer) && *serial == certificate.serial
            }
            Self::Key(id) => certificate.extensions.subject_key_id.as_ref() == Some(id),
        }
    }
}

impl SignedData {
    /// Reads what stands before a module's trailer, or in a file with only the signature.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut der = Der::new(bytes);
        let mut outer = der.inside(der::SEQUENCE, "a PKCS#7 signature")?;
        der.end("the end of the signature")?;
        let kind = outer.take(der::OBJECT_IDENTIFIER, "what kind of PKCS#7 this is")?;
        if kind.oid()? != Oid::SIGNED_DATA {
            return Err(kind.damaged("signed data"));
        }
        let mut explicit = outer.inside(der::constructed(0), "signed data")?;
        let mut fields = explicit.inside(der::SEQUENCE, "signed data")?;
        explicit.end("the end of the signed data")?;
        outer.end("the end of the signature")?;

        fields.take(der::INTEGER, "a version")?.small()?;
        fields.take(der::SET, "algorithms of hashes")?;
        let mut content = fields.inside(der::SEQUENCE, "what kind of content is signed")?;
        content.take(der::OBJECT_IDENTIFIER, "what kind of content is signed")?.oid()?;
        let content_inside = !content.is_empty();
        let certificates = fields.optional(der::constructed(0), "certificates")?;
        fields.optional(der::constructed(1), "lists of revoked certificates")?;
        let signers_at = fields.damaged("at least one signer");
        let mut set = fields.inside(der::SET, "signers")?;
        fields.end("the end of the signed data")?;
        let mut signers = Vec::new();
        while !set.is_empty() {
            signers.push(Signer::read(&mut set)?);
        }
        if signers.is_empty() {
            return Err(signers_at);
        }
        let certificates_bytes = certificates.map_or(0, |all| all.content.bytes().len());
        Ok(Self { content_inside, certificates_bytes, signers })
    }
}

impl Signer {
    fn read(set: &mut Der<'_>) -> Result<Self, Damaged> {
        let mut fields = set.inside(der::SEQUENCE, "a signer")?;
        fields.take(der::INTEGER, "a version")?.small()?;
        let by = match fields.optional(der::primitive(0), "a key's id")? {
            Some(id) => SignerId::Key(KeyId(id.content.bytes().to_vec())),
            None => {
                let mut named = fields.inside(der::SEQUENCE, "who signed")?;
                let issuer = Name::read(&mut named, "the issuer's name")?;
                let serial = named.inside(der::INTEGER, "a serial number")?.bytes();
                named.end("the end of who signed")?;
                SignerId::Issued { issuer, serial: Serial(serial.to_vec()) }
            }
        };
        let (digest, _) = algorithm(&mut fields, "the algorithm of a hash")?;
        let attributes = fields.optional(der::constructed(0), "signed attributes")?;
        let (signature, _) = algorithm(&mut fields, "the algorithm of a signature")?;
        let signature_bytes = fields.inside(der::OCTET_STRING, "a signature")?.bytes().len();
        fields.optional(der::constructed(1), "attributes that are not signed")?;
        fields.end("the end of a signer")?;
        Ok(Self {
            by,
            digest: Digest::of(digest),
            algorithm: SignatureAlgorithm::of(signature),
            attributes_signed: attributes.is_some(),
            signature_bytes,
        })
    }
}
