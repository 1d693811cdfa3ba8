//! What a certificate says, in the words of `openssl x509`.

use onload_core::secure_boot::certificate::{Certificate as X509, Usage};
use onload_core::secure_boot::hex;
use serde::Serialize;

use super::row;
use crate::commands::keys::certificate::{fingerprint, misfits, number};

/// Purposes by their numbers (RFC 5280 section 4.2.1.12), and that of the module keys of shim.
const PURPOSES: [(&str, &str); 8] = [
    ("1.3.6.1.5.5.7.3.1", "TLS Web Server Authentication"),
    ("1.3.6.1.5.5.7.3.2", "TLS Web Client Authentication"),
    ("1.3.6.1.5.5.7.3.3", "Code Signing"),
    ("1.3.6.1.5.5.7.3.4", "E-mail Protection"),
    ("1.3.6.1.5.5.7.3.8", "Time Stamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSP Signing"),
    ("2.5.29.37.0", "Any Extended Key Usage"),
    ("1.3.6.1.4.1.2312.16.1.2", "Kernel Module Signing"),
];

/// A certificate. What is null it does not have.
#[derive(Debug, Serialize)]
pub struct Certificate {
    /// DER or PEM.
    pub encoding: &'static str,
    version: u32,
    subject: String,
    issuer: String,
    serial: String,
    /// Milliseconds since 1970 UTC.
    not_before: i64,
    /// The same.
    not_after: i64,
    key: String,
    key_bits: Option<usize>,
    /// How it was signed itself.
    signature: String,
    /// What its key is called, as `/proc/keys` shows it.
    key_id: Option<String>,
    /// What the key is called that signed it.
    authority_key_id: Option<String>,
    usages: Option<Vec<&'static str>>,
    purposes: Option<Vec<String>>,
    /// Whether it may sign certificates.
    authority: Option<bool>,
    /// SHA-256 over the DER form, with colons.
    fingerprint: String,
    /// SHA-256 over what is signed in it, by which `dbx` and `.blacklist` name it.
    to_be_signed: String,
    /// Whether every kernel takes its key for modules, once it is enrolled.
    fit: bool,
    /// Why not.
    misfits: Vec<String>,
    /// Both times, for people.
    #[serde(skip)]
    valid: String,
}

impl Certificate {
    /// What this one says.
    pub fn of(x509: &X509, encoding: &'static str) -> Self {
        const MILLIS: i64 = 1000;
        let extensions = &x509.extensions;
        let misfits = misfits(x509);
        let usages = extensions.usage.as_ref();
        let purposes = extensions.purposes.as_ref();
        Self {
            encoding,
            version: x509.version,
            subject: x509.subject.to_string(),
            issuer: x509.issuer.to_string(),
            serial: number(&x509.serial),
            not_before: x509.not_before.unix_secs().saturating_mul(MILLIS),
            not_after: x509.not_after.unix_secs().saturating_mul(MILLIS),
            key: x509.key.to_string(),
            key_bits: x509.key_bits,
            signature: x509.signature.to_string(),
            key_id: extensions.subject_key_id.as_ref().map(ToString::to_string),
            authority_key_id: extensions.authority_key_id.as_ref().map(ToString::to_string),
            usages: usages.map(|all| all.iter().copied().map(usage).collect()),
            purposes: purposes.map(|all| all.iter().map(|one| purpose(&one.to_string())).collect()),
            authority: extensions.basic_constraints.map(|constraints| constraints.authority),
            fingerprint: fingerprint(x509),
            to_be_signed: hex(&x509.to_be_signed.sha256),
            fit: misfits.is_empty(),
            misfits,
            valid: format!("{} to {}", x509.not_before, x509.not_after),
        }
    }

    /// For people, a line for each thing.
    pub fn rows(&self, depth: usize) -> String {
        let row = |label: &str, value: &str| row(depth, label, value);
        let bits = self.key_bits.map(|bits| format!(", {bits} bits")).unwrap_or_default();
        let usages = self.usages.as_ref().map(|all| all.join(", "));
        let purposes = self.purposes.as_ref().map(|all| all.join(", "));
        let or_none = |text: Option<&String>| text.map_or("-", String::as_str).to_owned();
        let fit = match self.fit {
            true => "fit".to_owned(),
            false => format!("not fit for every kernel: {}", self.misfits.join("; ")),
        };
        let authority = match self.authority {
            Some(true) => "CA:TRUE",
            Some(false) => "CA:FALSE",
            None => "-",
        };
        [
            row("subject", &self.subject),
            row("issuer", &self.issuer),
            row("serial", &self.serial),
            row("valid", &self.valid),
            row("key", &format!("{}{bits}", self.key)),
            row("signed with", &self.signature),
            row("usage", &or_none(usages.as_ref())),
            row("purposes", &or_none(purposes.as_ref())),
            row("constraints", authority),
            row("key id", &or_none(self.key_id.as_ref())),
            row("authority id", &or_none(self.authority_key_id.as_ref())),
            row("SHA-256", &self.fingerprint),
            row("for modules", &fit),
        ]
        .concat()
    }
}

fn usage(usage: Usage) -> &'static str {
    match usage {
        Usage::DigitalSignature => "Digital Signature",
        Usage::NonRepudiation => "Non Repudiation",
        Usage::KeyEncipherment => "Key Encipherment",
        Usage::DataEncipherment => "Data Encipherment",
        Usage::KeyAgreement => "Key Agreement",
        Usage::KeyCertSign => "Certificate Sign",
        Usage::CrlSign => "CRL Sign",
        Usage::EncipherOnly => "Encipher Only",
        Usage::DecipherOnly => "Decipher Only",
    }
}

fn purpose(numbers: &str) -> String {
    let known = PURPOSES.iter().find(|(known, _)| *known == numbers);
    known.map_or(numbers, |(_, name)| name).to_owned()
}
