//! The certificate that goes with a key: who it is for those who look for it, and whether it is one
//! for modules.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use onload_core::secure_boot::algorithm::{Digest, KeyKind};
use onload_core::secure_boot::certificate::{Certificate as X509, Serial, Usage};
use onload_core::secure_boot::hex;
use onload_core::secure_boot::oid::Oid;
use onload_dbus::error::Kind;

use super::{file_fault, readable, shown};
use crate::ended::Complaint;

/// No certificate is longer, PEM with a description in front neither.
const LARGEST: u64 = 1024 * 1024;
/// Sizes of RSA keys that every kernel and policy takes (`reference/secure-boot-mok.md` section 9).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A certificate in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub x509: X509,
    /// It, DER.
    pub der: Vec<u8>,
}

impl Certificate {
    /// Reads one, PEM or DER.
    ///
    /// # Errors
    /// It is not there, a pipe, or no certificate.
    pub fn read(path: &Path, what: &str) -> Result<Self, Complaint> {
        let refuse = |error: &std::io::Error| file_fault(what, "cannot be read", path, error);
        let absolute = readable(path, what)?;
        let mut bytes = Vec::new();
        let opened = File::open(&absolute).map_err(|error| refuse(&error))?;
        opened.take(LARGEST).read_to_end(&mut bytes).map_err(|error| refuse(&error))?;
        let read = X509::parse(&bytes).and_then(|x509| Ok((x509, X509::der(&bytes)?)));
        let (x509, der) = read.map_err(|damaged| {
            let why = format!("{} is no certificate: {damaged}", shown(path));
            let fix = "name the X.509 certificate of the key, PEM or DER";
            Complaint::of(Kind::InvalidArgument, what, why, fix)
        })?;
        Ok(Self { path: absolute, x509, der })
    }

    /// Its name for people.
    pub fn subject(&self) -> &str {
        self.x509.subject.common_name().unwrap_or("(no common name)")
    }

    /// The key's id, as `/proc/keys` shows it.
    pub fn key_id(&self) -> Option<String> {
        self.x509.extensions.subject_key_id.as_ref().map(ToString::to_string)
    }

    /// Its number as digits.
    pub fn serial(&self) -> String {
        number(&self.x509.serial)
    }

    /// SHA-256 over the DER form.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.x509)
    }

    /// In what it is not the certificate of a key for modules, for whoever is about to use it.
    pub fn warnings(&self) -> Vec<String> {
        let path = shown(&self.path);
        let say =
            |why| format!("{path} is not fit for modules: {why}; some kernels refuse its key");
        misfits(&self.x509).into_iter().map(say).collect()
    }
}

/// A serial number without the zero byte that only says it is no negative one, as openssl shows it.
pub fn number(serial: &Serial) -> String {
    let bytes = &serial.0;
    hex(bytes.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(bytes))
}

/// SHA-256 over the DER form, with colons.
pub fn fingerprint(certificate: &X509) -> String {
    let pairs = certificate.fingerprint.iter().map(|byte| format!("{byte:02X}"));
    pairs.collect::<Vec<_>>().join(":")
}

/// Why a kernel may refuse modules signed by a certificate's key, or the certificate itself. Whether
/// it is enrolled, and where, is another question.
pub fn misfits(certificate: &X509) -> Vec<String> {
    let extensions = &certificate.extensions;
    let signs = extensions.usage.as_ref().is_none_or(|all| all.contains(&Usage::DigitalSignature));
    let for_code = |all: &std::collections::BTreeSet<Oid>| {
        [Oid::CODE_SIGNING, Oid::MODULE_SIGNING, Oid::ANY_PURPOSE]
            .iter()
            .any(|one| all.contains(one))
    };
    let purpose = match &extensions.purposes {
        Some(all) if for_code(all) => None,
        Some(_) => Some("its extended key usage is not code signing".to_owned()),
        None => Some("it names no extended key usage".to_owned()),
    };
    let usage = (!signs).then(|| "its key usage is not digital signature".to_owned());
    let hashed = certificate.signature.digest().filter(|digest| is_weak(digest));
    let hashed = hashed.map(|digest| format!("it is signed over {digest}, which is too weak"));
    [purpose, usage, key_misfit(certificate), hashed].into_iter().flatten().collect()
}

/// Whether newer kernels, or the policies of distributions, refuse a hash.
pub fn is_weak(digest: &Digest) -> bool {
    match digest {
        Digest::Md4 | Digest::Md5 | Digest::Sha1 => true,
        Digest::Sha224
        | Digest::Sha256
        | Digest::Sha384
        | Digest::Sha512
        | Digest::Sha3_256
        | Digest::Sha3_384
        | Digest::Sha3_512
        | Digest::Sm3
        | Digest::Other(_) => false,
    }
}

fn key_misfit(certificate: &X509) -> Option<String> {
    let key = &certificate.key;
    match key {
        KeyKind::Rsa => {
            let bits = certificate.key_bits.filter(|bits| !RSA_BITS.contains(bits))?;
            let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
            Some(format!("its key has {bits} bits, not {least} to {most}"))
        }
        KeyKind::P256 | KeyKind::P384 => None,
        KeyKind::P192 => Some(format!("its key ({key}) is too weak")),
        KeyKind::P521 | KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => {
            Some(format!("only new kernels know keys such as its own ({key})"))
        }
        KeyKind::RsaPss | KeyKind::OtherCurve | KeyKind::Ed25519 | KeyKind::Other(_) => {
            Some(format!("kernels know no keys such as its own ({key})"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn a_serial_number_has_no_sign() {
        for (serial, shown) in [(&[0, 0x80][..], "80"), (&[0], "00"), (&[1, 0], "0100"), (&[], "")]
        {
            assert_eq!(number(&Serial(serial.to_vec())), shown);
        }
    }

    #[test]
    fn each_misfit_is_told() {
        let der = include_bytes!("../../../../tests/secure-boot/module.der");
        let good = X509::parse(der).unwrap();
        assert_eq!(misfits(&good), Vec::<String>::new());
        let only = |change: &dyn Fn(&mut X509)| {
            let mut changed = good.clone();
            change(&mut changed);
            misfits(&changed).join(", ")
        };
        let key = |kind: KeyKind, bits| only(&|one| (one.key, one.key_bits) = (kind.clone(), bits));
        for (kind, bits, why) in [
            (KeyKind::Rsa, Some(4096), ""),
            (KeyKind::Rsa, Some(1024), "its key has 1024 bits, not 2048 to 4096"),
            (KeyKind::Rsa, Some(8192), "its key has 8192 bits, not 2048 to 4096"),
            (KeyKind::P384, None, ""),
            (KeyKind::P192, None, "its key (ECDSA P-192) is too weak"),
            (KeyKind::P521, None, "only new kernels know keys such as its own (ECDSA P-521)"),
            (KeyKind::Ed25519, None, "kernels know no keys such as its own (Ed25519)"),
        ] {
            assert_eq!(key(kind, bits), why);
        }
        let purposes = |all: &[Oid]| {
            only(&|one| one.extensions.purposes = Some(all.iter().cloned().collect()))
        };
        assert_eq!(purposes(&[Oid::MODULE_SIGNING]), "");
        assert_eq!(purposes(&[Oid::DATA]), "its extended key usage is not code signing");
        assert_eq!(only(&|one| one.extensions.purposes = None), "it names no extended key usage");
        assert_eq!(only(&|one| one.extensions.usage = None), "");
        let usage = only(&|one| one.extensions.usage = Some([Usage::KeyCertSign].into()));
        assert_eq!(usage, "its key usage is not digital signature");
        let old = X509::parse(include_bytes!("../../../../tests/secure-boot/old.der")).unwrap();
        let hashed = only(&|one| one.signature = old.signature.clone());
        assert_eq!(hashed, "it is signed over sha1, which is too weak");
    }
}
