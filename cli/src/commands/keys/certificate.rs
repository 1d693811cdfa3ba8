//! The certificate that goes with a key: who it is for those who look for it, and whether it is one
//! for modules.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use onload_dbus::error::Kind;

use super::der::{self, Values, tag};
use super::{openssl, readable, shown};
use crate::ended::Complaint;

/// id-ce-subjectKeyIdentifier, keyUsage and extKeyUsage (RFC 5280 section 4.2.1), encoded.
const KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
/// digitalSignature is the first bit.
const DIGITAL_SIGNATURE: u8 = 0x80;

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Where it is.
    pub path: PathBuf,
    /// The issuer's name, as a list of sets.
    pub issuer: Vec<u8>,
    /// Its number.
    pub serial: Vec<u8>,
    /// Its SHA-256 fingerprint, with colons.
    pub fingerprint: String,
    /// The common name of its subject.
    subject: Option<String>,
    key_id: Option<Vec<u8>>,
    digital_signature: Option<bool>,
    code_signing: Option<bool>,
}

impl Certificate {
    /// Reads one, PEM or DER.
    ///
    /// # Errors
    /// It is not there, no certificate, or openssl cannot be run.
    pub async fn read(path: &Path, what: &str) -> Result<Self, Complaint> {
        let path = readable(path, what)?;
        let word = OsStr::new;
        let ask = async |how: &[&str]| {
            let words = [word("x509"), word("-in"), path.as_os_str()].into_iter();
            let words: Vec<_> = words.chain(how.iter().map(OsStr::new)).collect();
            openssl::run(what, &words, None).await
        };
        let der = ask(&["-outform", "DER"]).await?;
        let fingerprint = ask(&["-noout", "-fingerprint", "-sha256"]).await?;
        let fingerprint = String::from_utf8_lossy(&fingerprint.out);
        let fingerprint = fingerprint.trim().rsplit('=').next().unwrap_or_default().to_owned();
        let read = Self::of(&path, &der.out, fingerprint);
        match read.filter(|_| der.success) {
            Some(certificate) => Ok(certificate),
            None => Err(Complaint::of(
                Kind::InvalidArgument,
                what,
                format!("{} is no certificate: {}", shown(&path), der.last_words()),
                "name the X.509 certificate of the key, PEM or DER",
            )),
        }
    }

    fn of(path: &Path, der: &[u8], fingerprint: String) -> Option<Self> {
        let mut signed = Values(der).enter(tag::SEQUENCE)?.enter(tag::SEQUENCE)?;
        signed.content(tag::CONTEXT_0)?;
        let serial = signed.content(tag::INTEGER)?.to_vec();
        signed.content(tag::SEQUENCE)?;
        let issuer = signed.content(tag::SEQUENCE)?.to_vec();
        signed.content(tag::SEQUENCE)?;
        let subject = der::common_name(signed.content(tag::SEQUENCE)?);
        signed.content(tag::SEQUENCE)?;
        let extensions = signed.find(|value| value.tag == tag::CONTEXT_3);
        let extension = |oid| {
            let each = Values(Values(extensions?.content).content(tag::SEQUENCE)?);
            each.into_iter().find_map(|extension| {
                let mut parts = Values(extension.content);
                let found = parts.content(tag::OID)? == oid;
                parts.content(tag::BOOLEAN);
                parts.content(tag::OCTET_STRING).filter(|_| found)
            })
        };
        let key_id = extension(KEY_ID).and_then(|value| Values(value).content(tag::OCTET_STRING));
        let usage = extension(KEY_USAGE).and_then(|value| Values(value).content(tag::BIT_STRING));
        let purposes = extension(EXTENDED_KEY_USAGE);
        let purposes = purposes.and_then(|value| Values(value).enter(tag::SEQUENCE));
        Some(Self {
            path: path.to_owned(),
            issuer,
            serial,
            fingerprint,
            subject,
            key_id: key_id.map(<[u8]>::to_vec),
            digital_signature: usage
                .map(|bits| bits.get(1).is_some_and(|&b| b & DIGITAL_SIGNATURE != 0)),
            code_signing: purposes.map(|mut each| each.any(|one| one.content == CODE_SIGNING)),
        })
    }

    /// Its name for people.
    pub fn subject(&self) -> &str {
        self.subject.as_deref().unwrap_or("(no common name)")
    }

    /// The key's id, as `/proc/keys` shows it.
    pub fn key_id(&self) -> Option<String> {
        self.key_id.as_deref().map(der::hex)
    }

    /// Its number as digits.
    pub fn serial(&self) -> String {
        der::number(&self.serial)
    }

    /// In what it is not the certificate of a key for modules.
    pub fn misfits(&self) -> Vec<String> {
        let path = shown(&self.path);
        let purpose = match self.code_signing {
            Some(true) => None,
            Some(false) => Some("its extended key usage is not code signing"),
            None => Some("it names no extended key usage"),
        };
        let usage = match self.digital_signature {
            Some(true) | None => None,
            Some(false) => Some("its key usage is not digital signature"),
        };
        let each = [purpose, usage].into_iter().flatten();
        each.map(|why| {
            format!("{path} is not a code-signing certificate: {why}; some kernels refuse its key")
        })
        .collect()
    }
}
