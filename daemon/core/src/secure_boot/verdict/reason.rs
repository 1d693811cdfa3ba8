//! Why a kernel does not trust a module, in three parts for people: what, why, what to do.

mod remedy;

use super::rule::Rule;
use crate::secure_boot::algorithm::{Digest, SignatureAlgorithm};
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::oid::Oid;
use crate::secure_boot::request::obstacle;
use crate::secure_boot::signature::SignatureError;
use crate::secure_boot::signature::signed_data::SignerId;

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a ring of the kernel.
    Ring(SystemRing),
    /// In shim's list (MokListRT).
    MokList,
    /// In the firmware's list.
    Db,
}

/// Where something is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revoked {
    /// In the kernel's `.blacklist`.
    Blacklist,
    /// In shim's list (MokListXRT).
    MokListX,
    /// In the firmware's.
    Dbx,
}

/// Who turned validation off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Off {
    /// Shim was told to validate nothing (MokSBState).
    Shim,
    /// The kernel was built without a look at signatures.
    Kernel,
}

/// Why a module is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its signature does not read.
    Damaged(SignatureError),
    /// The module itself is in its signature, or what is there is not one of a module.
    NotDetached,
    /// The hash is one that can be forged.
    DigestWeak(Digest),
    /// The hash is one that kernels do not know for this.
    DigestUnsupported(Digest),
    /// Nor the algorithm.
    AlgorithmUnsupported(SignatureAlgorithm),
    /// Attributes are signed in place of the content.
    AttributesSigned(SignatureAlgorithm),
    /// The signer's certificate is revoked.
    Revoked {
        /// Who signed.
        signer: SignerId,
        /// Where it says so.
        list: Revoked,
    },
    /// There is no signature.
    Unsigned,
    /// The key is known, and this kernel does not use it for modules.
    EnrolledUnused {
        /// Who signed.
        signer: SignerId,
        /// Where the key is.
        place: Place,
        /// Why it does not count there.
        because: Rule,
    },
    /// Somebody asked for it to be enrolled; shim has yet to ask back.
    Pending {
        /// Who signed.
        signer: SignerId,
    },
    /// Nobody here knows the key.
    UnknownSigner {
        /// Who signed.
        signer: SignerId,
        /// Whether a trusted ring holds the authority that issued the signer's certificate. Kernels
        /// want the certificate itself.
        authority_trusted: bool,
    },
    /// The certificate was not made for signing code.
    NotForCode {
        /// Who signed.
        signer: SignerId,
    },
    /// Nothing is enforced, because somebody turned it off.
    ValidationOff(Off),
}

/// How a signer is called: as `modinfo` shows it behind `signer` and `sig_key`, or by the key's id.
pub fn called(signer: &SignerId) -> String {
    match signer {
        SignerId::Issued { issuer, serial } => format!("{issuer}, number {serial}"),
        SignerId::Key(id) => format!("key {id}"),
    }
}

/// The same in a sentence, without the number.
fn named(signer: &SignerId) -> String {
    match signer {
        SignerId::Issued { issuer, .. } => issuer.to_string(),
        SignerId::Key(id) => format!("key {id}"),
    }
}

impl Reason {
    /// One word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "SignatureDamaged",
            Self::NotDetached => "SignatureNotDetached",
            Self::DigestWeak(_) => "DigestWeak",
            Self::DigestUnsupported(_) => "DigestUnsupported",
            Self::AlgorithmUnsupported(_) => "AlgorithmUnsupported",
            Self::AttributesSigned(_) => "AttributesSigned",
            Self::Revoked { .. } => "Revoked",
            Self::Unsigned => "Unsigned",
            Self::EnrolledUnused { .. } => "EnrolledUnused",
            Self::Pending { .. } => "EnrolmentPending",
            Self::UnknownSigner { .. } => "UnknownSigner",
            Self::NotForCode { .. } => "NotForCode",
            Self::ValidationOff(_) => "ValidationOff",
        }
    }

    /// Whom it is about.
    pub fn signer(&self) -> Option<&SignerId> {
        match self {
            Self::Revoked { signer, .. }
            | Self::EnrolledUnused { signer, .. }
            | Self::Pending { signer }
            | Self::UnknownSigner { signer, .. }
            | Self::NotForCode { signer } => Some(signer),
            Self::Damaged(_)
            | Self::NotDetached
            | Self::DigestWeak(_)
            | Self::DigestUnsupported(_)
            | Self::AlgorithmUnsupported(_)
            | Self::AttributesSigned(_)
            | Self::Unsigned
            | Self::ValidationOff(_) => None,
        }
    }

    /// What is the matter, in a clause that fits one module and several.
    pub fn what(&self) -> String {
        match self {
            Self::Damaged(_) => "the signature does not read".to_owned(),
            Self::NotDetached => "the signature is not one of a module".to_owned(),
            Self::DigestWeak(digest) => {
                format!("the signature is made over a {digest} hash, which is too weak")
            }
            Self::DigestUnsupported(digest) => {
                format!(
                    "the signature is made over a {digest} hash, which the kernel does not know"
                )
            }
            Self::AlgorithmUnsupported(algorithm) => {
                format!("the signature is made with {algorithm}, which the kernel does not take")
            }
            Self::AttributesSigned(_) => "the signature has signed attributes".to_owned(),
            Self::Revoked { signer, .. } => {
                format!("the signer's key is revoked ({})", named(signer))
            }
            Self::Unsigned => "there is no signature".to_owned(),
            Self::EnrolledUnused {
                signer, because: Rule::NoRunTime | Rule::NothingRead, ..
            } => {
                format!(
                    "the signer's key is enrolled, and this kernel has not read it ({})",
                    named(signer)
                )
            }
            Self::EnrolledUnused { signer, .. } => format!(
                "the signer's key is enrolled where this kernel does not use it for modules ({})",
                named(signer)
            ),
            Self::Pending { signer } => {
                format!("the signer's key is asked for and not enrolled yet ({})", named(signer))
            }
            Self::UnknownSigner { signer, .. } => {
                format!("nobody here knows the signer's key ({})", named(signer))
            }
            Self::NotForCode { signer } => {
                format!("the signer's certificate is not one for signing code ({})", named(signer))
            }
            Self::ValidationOff(_) => "validation is turned off".to_owned(),
        }
    }

    /// Why that is so, or why it matters.
    pub fn why(&self) -> String {
        match self {
            Self::Damaged(error) => error.to_string(),
            Self::NotDetached => {
                "the content stands in the signature, where kernels want only the signature itself".to_owned()
            }
            Self::DigestWeak(_) => {
                "who can forge the hash can pass another module for this one".to_owned()
            }
            Self::DigestUnsupported(_) | Self::AlgorithmUnsupported(_) => {
                "kernels know a few algorithms for modules: RSA or ECDSA over SHA-2, and newer ones SHA-3 and ML-DSA".to_owned()
            }
            Self::AttributesSigned(_) => {
                "kernels before 2026 refuse such signatures, and later ones take them for ML-DSA alone".to_owned()
            }
            Self::Revoked { list, .. } => {
                format!("{} names its certificate", obstacle::called(*list))
            }
            Self::Unsigned => {
                "the mark of a signature is not at the end of the (uncompressed) file".to_owned()
            }
            Self::EnrolledUnused { place, because, .. } => {
                let place = match place {
                    Place::Ring(ring) => ring.name(),
                    Place::MokList => "shim's list (MokListRT)",
                    Place::Db => "the firmware's db",
                };
                format!("it is in {place}, and {}", because.sentence())
            }
            Self::Pending { .. } => {
                "its enrolment is asked for (MokNew), and shim asks back at the next boot only".to_owned()
            }
            Self::UnknownSigner { authority_trusted: false, .. } => {
                "its certificate is in no ring of this kernel and in no list of shim (MokListRT) or the firmware (db); one for the same key with another number is another one".to_owned()
            }
            Self::UnknownSigner { authority_trusted: true, .. } => {
                "this kernel trusts the authority that issued the certificate, and wants the certificate itself".to_owned()
            }
            Self::NotForCode { .. } => {
                "its purposes or usage do not say code signing (digitalSignature, codeSigning), and some kernels look at that".to_owned()
            }
            Self::ValidationOff(Off::Shim) => {
                "shim was told to validate nothing (MokSBState), so the kernel behaves as without Secure Boot".to_owned()
            }
            Self::ValidationOff(Off::Kernel) => {
                "this kernel was built without a look at modules' signatures (MODULE_SIG)".to_owned()
            }
        }
    }
}

/// Purposes by which a certificate is one for signing code.
pub(super) const FOR_CODE: [Oid; 3] = [Oid::CODE_SIGNING, Oid::MODULE_SIGNING, Oid::ANY_PURPOSE];
