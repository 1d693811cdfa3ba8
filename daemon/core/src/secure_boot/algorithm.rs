//! Algorithms by which keys, hashes and signatures are made, as far as kernels know them.

use std::fmt;

use super::oid::Oid;

/// A hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Refused by kernels of today.
    Md4,
    /// The same.
    Md5,
    /// Refused by newer kernels and by policies of distributions.
    Sha1,
    /// SHA-2.
    Sha224,
    /// SHA-2.
    Sha256,
    /// SHA-2.
    Sha384,
    /// SHA-2.
    Sha512,
    /// SHA-3, which only newer kernels take.
    Sha3_256,
    /// The same.
    Sha3_384,
    /// The same.
    Sha3_512,
    /// Chinese.
    Sm3,
    /// One that is not known.
    Other(Oid),
}

/// What a key is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA.
    Rsa,
    /// RSA with PSS padding, which kernels do not take.
    RsaPss,
    /// ECDSA on NIST P-192.
    P192,
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// ECDSA on NIST P-521.
    P521,
    /// ECDSA on a curve that is not known, or that is written out.
    OtherCurve,
    /// Ed25519, which kernels do not take.
    Ed25519,
    /// ML-DSA-44, in kernels of 2026.
    MlDsa44,
    /// ML-DSA-65, the same.
    MlDsa65,
    /// ML-DSA-87, the same.
    MlDsa87,
    /// One that is not known.
    Other(Oid),
}

/// How a signature is made. In a module's signature only the family of the key may be told here, and
/// the hash beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSA with PKCS#1 v1.5 padding.
    Rsa(Option<Digest>),
    /// RSA with PSS padding.
    RsaPss,
    /// ECDSA.
    Ecdsa(Digest),
    /// Ed25519.
    Ed25519,
    /// ML-DSA of one of its sizes.
    MlDsa(KeyKind),
    /// One that is not known.
    Other(Oid),
}

impl Digest {
    pub(super) fn of(oid: Oid) -> Self {
        let numbers = oid.to_string();
        match numbers.as_str() {
            "1.2.840.113549.2.4" => Self::Md4,
            "1.2.840.113549.2.5" => Self::Md5,
            "1.3.14.3.2.26" => Self::Sha1,
            "2.16.840.1.101.3.4.2.4" => Self::Sha224,
            "2.16.840.1.101.3.4.2.1" => Self::Sha256,
            "2.16.840.1.101.3.4.2.2" => Self::Sha384,
            "2.16.840.1.101.3.4.2.3" => Self::Sha512,
            "2.16.840.1.101.3.4.2.8" => Self::Sha3_256,
            "2.16.840.1.101.3.4.2.9" => Self::Sha3_384,
            "2.16.840.1.101.3.4.2.10" => Self::Sha3_512,
            "1.2.156.10197.1.401" => Self::Sm3,
            _ => Self::Other(oid),
        }
    }
}

impl fmt::Display for Digest {
    /// As `modinfo` and the kernel call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md4 => "md4",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
            Self::Sm3 => "sm3",
            Self::Other(oid) => return write!(f, "{oid}"),
        })
    }
}

impl KeyKind {
    /// From the algorithm of a public key and, for elliptic curves, the curve's name.
    pub(super) fn of(algorithm: Oid, curve: Option<Oid>) -> Self {
        let numbers = algorithm.to_string();
        match numbers.as_str() {
            "1.2.840.113549.1.1.1" => Self::Rsa,
            "1.2.840.113549.1.1.10" => Self::RsaPss,
            "1.2.840.10045.2.1" => Self::on_curve(curve),
            "1.3.101.112" => Self::Ed25519,
            "2.16.840.1.101.3.4.3.17" => Self::MlDsa44,
            "2.16.840.1.101.3.4.3.18" => Self::MlDsa65,
            "2.16.840.1.101.3.4.3.19" => Self::MlDsa87,
            _ => Self::Other(algorithm),
        }
    }

    fn on_curve(curve: Option<Oid>) -> Self {
        match curve.map(|curve| curve.to_string()).as_deref() {
            Some("1.2.840.10045.3.1.1") => Self::P192,
            Some("1.2.840.10045.3.1.7") => Self::P256,
            Some("1.3.132.0.34") => Self::P384,
            Some("1.3.132.0.35") => Self::P521,
            Some(_) | None => Self::OtherCurve,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::RsaPss => "RSA-PSS",
            Self::P192 => "ECDSA P-192",
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
            Self::OtherCurve => "ECDSA on another curve",
            Self::Ed25519 => "Ed25519",
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
            Self::Other(oid) => return write!(f, "{oid}"),
        })
    }
}

impl SignatureAlgorithm {
    pub(super) fn of(oid: Oid) -> Self {
        let numbers = oid.to_string();
        match numbers.as_str() {
            "1.2.840.113549.1.1.1" => Self::Rsa(None),
            "1.2.840.113549.1.1.3" => Self::Rsa(Some(Digest::Md4)),
            "1.2.840.113549.1.1.4" => Self::Rsa(Some(Digest::Md5)),
            "1.2.840.113549.1.1.5" => Self::Rsa(Some(Digest::Sha1)),
            "1.2.840.113549.1.1.10" => Self::RsaPss,
            "1.2.840.113549.1.1.11" => Self::Rsa(Some(Digest::Sha256)),
            "1.2.840.113549.1.1.12" => Self::Rsa(Some(Digest::Sha384)),
            "1.2.840.113549.1.1.13" => Self::Rsa(Some(Digest::Sha512)),
            "1.2.840.113549.1.1.14" => Self::Rsa(Some(Digest::Sha224)),
            "2.16.840.1.101.3.4.3.14" => Self::Rsa(Some(Digest::Sha3_256)),
            "2.16.840.1.101.3.4.3.15" => Self::Rsa(Some(Digest::Sha3_384)),
            "2.16.840.1.101.3.4.3.16" => Self::Rsa(Some(Digest::Sha3_512)),
            "1.2.840.10045.4.1" => Self::Ecdsa(Digest::Sha1),
            "1.2.840.10045.4.3.1" => Self::Ecdsa(Digest::Sha224),
            "1.2.840.10045.4.3.2" => Self::Ecdsa(Digest::Sha256),
            "1.2.840.10045.4.3.3" => Self::Ecdsa(Digest::Sha384),
            "1.2.840.10045.4.3.4" => Self::Ecdsa(Digest::Sha512),
            "2.16.840.1.101.3.4.3.10" => Self::Ecdsa(Digest::Sha3_256),
            "2.16.840.1.101.3.4.3.11" => Self::Ecdsa(Digest::Sha3_384),
            "2.16.840.1.101.3.4.3.12" => Self::Ecdsa(Digest::Sha3_512),
            "1.3.101.112" => Self::Ed25519,
            "2.16.840.1.101.3.4.3.17" => Self::MlDsa(KeyKind::MlDsa44),
            "2.16.840.1.101.3.4.3.18" => Self::MlDsa(KeyKind::MlDsa65),
            "2.16.840.1.101.3.4.3.19" => Self::MlDsa(KeyKind::MlDsa87),
            _ => Self::Other(oid),
        }
    }

    /// The hash that it says itself.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Rsa(digest) => digest.as_ref(),
            Self::Ecdsa(digest) => Some(digest),
            Self::RsaPss | Self::Ed25519 | Self::MlDsa(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(None) => f.write_str("RSA"),
            Self::Rsa(Some(digest)) => write!(f, "RSA with {digest}"),
            Self::RsaPss => f.write_str("RSA-PSS"),
            Self::Ecdsa(digest) => write!(f, "ECDSA with {digest}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::MlDsa(kind) => write!(f, "{kind}"),
            Self::Other(oid) => write!(f, "{oid}"),
        }
    }
}
