//! Certificates (X.509): whose key, named how, good for what. DER, or PEM around it.

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use self::date::Date;
use self::name::Name;
use super::algorithm::{KeyKind, SignatureAlgorithm};
use super::der::{self, Der, Element};
use super::oid::Oid;
use super::{Damaged, hex};

pub mod date;
mod extension;
pub mod name;
mod pem;
#[cfg(test)]
mod tests;

/// A certificate's number, as the octets of its encoding: kernels compare those.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial(pub Vec<u8>);

impl fmt::Display for Serial {
    /// As `modinfo` prints it behind `sig_key`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if place == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// What a key is called in extensions: mostly, but not necessarily, a hash of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub Vec<u8>);

impl fmt::Display for KeyId {
    /// As `/proc/keys` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// What a key may be used for, by the bits of the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// Signing other things than certificates.
    DigitalSignature,
    /// Signing so that it cannot be denied.
    NonRepudiation,
    /// Encrypting keys.
    KeyEncipherment,
    /// Encrypting data.
    DataEncipherment,
    /// Agreeing on a key.
    KeyAgreement,
    /// Signing certificates.
    KeyCertSign,
    /// Signing lists of revoked ones.
    CrlSign,
    /// Agreeing only to encrypt.
    EncipherOnly,
    /// Agreeing only to decrypt.
    DecipherOnly,
}

/// Whether it may sign certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// It may.
    pub authority: bool,
    /// How many authorities may stand below it.
    pub path_length: Option<u32>,
}

/// What is signed in a certificate, hashed: by this `dbx` and `.blacklist` name one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToBeSigned {
    /// By SHA-256.
    pub sha256: [u8; 32],
    /// By SHA-384.
    pub sha384: [u8; 48],
    /// By SHA-512.
    pub sha512: [u8; 64],
}

/// The extensions that matter here; each is absent where the certificate does not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// What its key is called.
    pub subject_key_id: Option<KeyId>,
    /// What the key is called that signed it.
    pub authority_key_id: Option<KeyId>,
    /// What the key may be used for.
    pub usage: Option<BTreeSet<Usage>>,
    /// For which purposes.
    pub purposes: Option<BTreeSet<Oid>>,
    /// Whether it may sign certificates.
    pub basic_constraints: Option<BasicConstraints>,
    /// Others, which whoever does not know them must not pass over.
    pub critical: BTreeSet<Oid>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// 1 to 3, as people count.
    pub version: u32,
    /// Its number; with the issuer it names the certificate.
    pub serial: Serial,
    /// Who signed it.
    pub issuer: Name,
    /// Whose it is.
    pub subject: Name,
    /// How it was signed.
    pub signature: SignatureAlgorithm,
    /// From when it is good. Kernels do not look at that for modules.
    pub not_before: Date,
    /// Until when.
    pub not_after: Date,
    /// What its key is made for.
    pub key: KeyKind,
    /// How large the key is, where that is not said by its kind.
    pub key_bits: Option<usize>,
    /// What else it says.
    pub extensions: Extensions,
    /// What is signed in it, hashed.
    pub to_be_signed: ToBeSigned,
    /// SHA-256 over all of it.
    pub fingerprint: [u8; 32],
    /// How many bytes it has, encoded.
    pub der_bytes: usize,
}

impl Certificate {
    /// Reads the one certificate that `bytes` are: DER or, where a line begins with `-----BEGIN
    /// CERTIFICATE-----`, PEM.
    ///
    /// # Errors
    /// It is none, or there is more. Offsets in PEM are seen from the beginning of the text as far as
    /// letters and lines are wrong, else from that of the DER in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let decoded = decoded(bytes)?;
        let der = decoded.as_deref().unwrap_or(bytes);
        let certificate = Self::at_start(der)?;
        Der::at(der.get(certificate.der_bytes..).unwrap_or_default(), certificate.der_bytes)
            .end("the end, after one certificate")?;
        Ok(certificate)
    }

    /// The one certificate that `bytes` are, DER or PEM, as DER.
    ///
    /// # Errors
    /// As [`Certificate::parse`].
    pub fn der(bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
        Self::parse(bytes)?;
        Ok(match decoded(bytes)? {
            Some(der) => der,
            None => bytes.to_vec(),
        })
    }

    /// Reads the certificate, DER, at the beginning of `bytes`.
    ///
    /// # Errors
    /// There is none.
    pub fn at_start(bytes: &[u8]) -> Result<Self, Damaged> {
        let outer = Der::new(bytes).take(der::SEQUENCE, "a certificate")?;
        let mut parts = outer.content;
        let signed = parts.take(der::SEQUENCE, "what is signed of the certificate")?;
        let (signature, _) = algorithm(&mut parts, "the signature's algorithm")?;
        parts.take(der::BIT_STRING, "a signature")?;
        parts.end("the end of the certificate")?;

        let mut fields = signed.content;
        let version = match fields.optional(der::constructed(0), "a version")? {
            None => 1,
            Some(element) => {
                let mut inner = element.content;
                let version = inner.take(der::INTEGER, "a version")?.small()?;
                version.checked_add(1).ok_or(element.damaged("a version"))?
            }
        };
        let serial = fields.inside(der::INTEGER, "a serial number")?.bytes();
        algorithm(&mut fields, "an algorithm")?;
        let issuer = Name::read(&mut fields, "the issuer's name")?;
        let mut validity = fields.inside(der::SEQUENCE, "a time of validity")?;
        let not_before = Date::read(&mut validity)?;
        let not_after = Date::read(&mut validity)?;
        validity.end("the end of the time of validity")?;
        let subject = Name::read(&mut fields, "the subject's name")?;
        let (key, key_bits) = public_key(&mut fields)?;
        for unique_id in [1, 2] {
            // In either spelling; nobody uses them.
            fields.optional(der::primitive(unique_id), "a unique id")?;
            fields.optional(der::constructed(unique_id), "a unique id")?;
        }
        let extensions = match fields.optional(der::constructed(3), "extensions")? {
            Some(element) => extension::read(element.content)?,
            None => Extensions::default(),
        };
        fields.end("the end of what is signed of the certificate")?;
        Ok(Self {
            version,
            serial: Serial(serial.to_vec()),
            issuer,
            subject,
            signature: SignatureAlgorithm::of(signature),
            not_before,
            not_after,
            key,
            key_bits,
            extensions,
            to_be_signed: ToBeSigned {
                sha256: Sha256::digest(signed.whole).into(),
                sha384: Sha384::digest(signed.whole).into(),
                sha512: Sha512::digest(signed.whole).into(),
            },
            fingerprint: Sha256::digest(outer.whole).into(),
            der_bytes: outer.whole.len(),
        })
    }

    /// The id by which the kernel lists its key: the key's, else the serial number.
    pub fn listed_id(&self) -> &[u8] {
        self.extensions.subject_key_id.as_ref().map_or(&self.serial.0, |id| &id.0)
    }

    /// Whether issuer and subject are the same; that it is signed by itself is not looked at.
    pub fn names_itself_as_issuer(&self) -> bool {
        self.issuer.same_as(&self.subject)
    }
}

/// What PEM says; none for what is DER, or may be.
fn decoded(bytes: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
    match bytes {
        // No text begins like that, while a certificate may hold what looks like PEM.
        [der::SEQUENCE, 0x80..=0xff, ..] => Ok(None),
        _ => pem::decode(bytes),
    }
}

/// An algorithm and what stands behind it.
pub(super) fn algorithm<'a>(
    der: &mut Der<'a>,
    expected: &'static str,
) -> Result<(Oid, Option<Element<'a>>), Damaged> {
    let mut fields = der.inside(der::SEQUENCE, expected)?;
    let oid = fields.take(der::OBJECT_IDENTIFIER, expected)?.oid()?;
    let parameters = if fields.is_empty() { None } else { Some(fields.any("parameters")?) };
    fields.end("the end of an algorithm")?;
    Ok((oid, parameters))
}

fn public_key(fields: &mut Der<'_>) -> Result<(KeyKind, Option<usize>), Damaged> {
    let mut key = fields.inside(der::SEQUENCE, "a public key")?;
    let (oid, parameters) = algorithm(&mut key, "the key's algorithm")?;
    let named = parameters.filter(|element| element.tag == der::OBJECT_IDENTIFIER);
    let kind = KeyKind::of(oid, named.map(|element| element.oid()).transpose()?);
    let bits = key.inside(der::BIT_STRING, "a key")?;
    key.end("the end of the public key")?;
    let size = match kind {
        KeyKind::Rsa | KeyKind::RsaPss => Some(modulus_bits(bits)?),
        KeyKind::P192
        | KeyKind::P256
        | KeyKind::P384
        | KeyKind::P521
        | KeyKind::OtherCurve
        | KeyKind::Ed25519
        | KeyKind::MlDsa44
        | KeyKind::MlDsa65
        | KeyKind::MlDsa87
        | KeyKind::Other(_) => None,
    };
    Ok((kind, size))
}

fn modulus_bits(bit_string: Der<'_>) -> Result<usize, Damaged> {
    let mut key = bit_string;
    if key.octet("a count of unused bits")? != 0 {
        return Err(bit_string.damaged("a key of whole bytes"));
    }
    let mut numbers = key.inside(der::SEQUENCE, "an RSA key")?;
    let modulus = numbers.inside(der::INTEGER, "a modulus")?.bytes();
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let high = modulus.get(zeros).map_or(0, |byte| byte.leading_zeros());
    let bytes = modulus.len().saturating_sub(zeros);
    let unused = usize::try_from(high).unwrap_or_default();
    Ok(bytes.saturating_mul(8).saturating_sub(unused))
}
