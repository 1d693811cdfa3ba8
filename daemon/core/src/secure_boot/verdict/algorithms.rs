//! Which hashes and algorithms a kernel takes for modules.

use super::gap::Gap;
use super::reason::Reason;
use super::rule::version;
use super::signer::Against;
use crate::names::KernelRelease;
use crate::secure_boot::algorithm::{Digest, SignatureAlgorithm};
use crate::secure_boot::signature::signed_data::Signer;

/// Since then kernels know SHA-3 for modules. Between this and the second they did not take SHA-1
/// (16ab7cb5825f, taken back by 203a6763ab69); whether others do depends on how they were built.
const SHA3: (u32, u32) = (6, 7);
const SHA1_AGAIN: (u32, u32) = (6, 9);

/// Whether the kernel knows how this was signed.
pub(super) fn known(signer: &Signer, kernel: &KernelRelease) -> Against {
    match &signer.algorithm {
        SignatureAlgorithm::Rsa(None) => digest(&signer.digest, kernel),
        SignatureAlgorithm::Ecdsa(own) => match digest(own, kernel) {
            Against::Nothing => digest(&signer.digest, kernel),
            against @ (Against::Surely(_) | Against::Perhaps(..)) => against,
        },
        algorithm @ (SignatureAlgorithm::RsaPss | SignatureAlgorithm::Ed25519) => {
            Against::Surely(Reason::AlgorithmUnsupported(algorithm.clone()))
        }
        algorithm @ (SignatureAlgorithm::Rsa(Some(_))
        | SignatureAlgorithm::MlDsa(_)
        | SignatureAlgorithm::Other(_)) => {
            let reason = Reason::AlgorithmUnsupported(algorithm.clone());
            perhaps(algorithm.to_string(), kernel, reason)
        }
    }
}

fn digest(digest: &Digest, kernel: &KernelRelease) -> Against {
    let (name, own) = (digest.to_string(), digest.clone());
    let version = version(kernel);
    match digest {
        Digest::Sha224 | Digest::Sha256 | Digest::Sha384 | Digest::Sha512 => Against::Nothing,
        // Kernels gave these up with SHA-1, which some distributions took back.
        Digest::Md4 | Digest::Md5 if version.is_some_and(|version| version >= SHA3) => {
            Against::Surely(Reason::DigestWeak(own))
        }
        Digest::Md4 | Digest::Md5 => perhaps(name, kernel, Reason::DigestWeak(own)),
        Digest::Sha1 => {
            let reason = Reason::DigestWeak(own);
            if version.is_some_and(|version| (SHA3..SHA1_AGAIN).contains(&version)) {
                Against::Surely(reason)
            } else {
                perhaps(name, kernel, reason)
            }
        }
        Digest::Sha3_256 | Digest::Sha3_384 | Digest::Sha3_512 => {
            if version.is_some_and(|version| version >= SHA3) {
                Against::Nothing
            } else {
                perhaps(name, kernel, Reason::DigestUnsupported(own))
            }
        }
        Digest::Sm3 | Digest::Other(_) => perhaps(name, kernel, Reason::DigestUnsupported(own)),
    }
}

/// Signed attributes: refused, but for ML-DSA by kernels that were built so
/// (PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA, 2026, and whoever took it back into an older one).
pub(super) fn attributes(signer: &Signer, kernel: &KernelRelease) -> Against {
    let reason = Reason::AttributesSigned(signer.algorithm.clone());
    match &signer.algorithm {
        _ if !signer.attributes_signed => Against::Nothing,
        SignatureAlgorithm::MlDsa(kind) => {
            perhaps(format!("signed attributes with {kind}"), kernel, reason)
        }
        SignatureAlgorithm::Rsa(_)
        | SignatureAlgorithm::RsaPss
        | SignatureAlgorithm::Ecdsa(_)
        | SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::Other(_) => Against::Surely(reason),
    }
}

fn perhaps(name: String, kernel: &KernelRelease, reason: Reason) -> Against {
    Against::Perhaps(Gap::Algorithm { name, kernel: kernel.clone() }, reason)
}
