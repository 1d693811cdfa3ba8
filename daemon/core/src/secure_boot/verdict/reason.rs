//! Why a kernel does not trust a module, in three parts for people: what, why, what to do.

use super::rule::Rule;
use crate::secure_boot::algorithm::{Digest, SignatureAlgorithm};
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::oid::Oid;
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

/// What leads to a key that is trusted.
const IMPORT: &str = "`mokutil --import FILE` with the signer's certificate (DER), then reboot with somebody at the console: in MokManager's blue screen press a key within ten seconds, choose Enroll MOK, type the password";
const SIGN: &str = "sign the module (the kernel's `sign-file sha256 KEY CERT MODULE`) before it is compressed, with a key that this machine trusts";

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

    /// What is the matter.
    pub fn what(&self) -> String {
        match self {
            Self::Damaged(_) => "the module's signature does not read".to_owned(),
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
            Self::Revoked { signer, .. } => format!("the signer is revoked: {}", called(signer)),
            Self::Unsigned => "the module is not signed".to_owned(),
            Self::EnrolledUnused { signer, .. } => format!(
                "the signer's key is enrolled where this kernel does not use it for modules: {}",
                called(signer)
            ),
            Self::Pending { signer } => {
                format!("the signer's key is not enrolled yet: {}", called(signer))
            }
            Self::UnknownSigner { signer, .. } => {
                format!("the signer is not known to this machine: {}", called(signer))
            }
            Self::NotForCode { signer } => {
                format!("the signer's certificate is not one for signing code: {}", called(signer))
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
            Self::Revoked { list, .. } => match list {
                Revoked::Blacklist => "the kernel's .blacklist names its certificate".to_owned(),
                Revoked::MokListX => "shim's list of what is forbidden (MokListX) names its certificate".to_owned(),
                Revoked::Dbx => "the firmware's dbx names its certificate".to_owned(),
            },
            Self::Unsigned => {
                "the mark of a signature is not at the end of its (uncompressed) file".to_owned()
            }
            Self::EnrolledUnused { place, because, .. } => {
                let place = match place {
                    Place::Ring(ring) => ring.name(),
                    Place::MokList => "shim's list (MokList)",
                    Place::Db => "the firmware's db",
                };
                format!("it is in {place}, and {}", because.sentence())
            }
            Self::Pending { .. } => {
                "its enrolment is asked for (MokNew), and shim asks back at the next boot only".to_owned()
            }
            Self::UnknownSigner { authority_trusted: false, .. } => {
                "no ring of this kernel, nor a list of firmware or shim, has this certificate; one for the same key with another number is another one".to_owned()
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

    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Damaged(_)
            | Self::NotDetached
            | Self::DigestWeak(_)
            | Self::DigestUnsupported(_)
            | Self::AlgorithmUnsupported(_) => {
                "sign the module anew: the kernel's `sign-file sha256 KEY CERT MODULE` on the file as it was before it was signed, then compress it".to_owned()
            }
            Self::AttributesSigned(_) => {
                "sign the module anew with the kernel's `sign-file`, or `openssl cms -sign -noattr -binary -nocerts`".to_owned()
            }
            Self::Revoked { list, .. } => match list {
                Revoked::MokListX => format!(
                    "if it was forbidden by mistake, take it off shim's list and reboot; else {SIGN}"
                ),
                Revoked::Blacklist | Revoked::Dbx => SIGN.to_owned(),
            },
            Self::Unsigned => {
                format!("{SIGN}; if it does not trust one yet, {IMPORT}")
            }
            Self::EnrolledUnused { place, because, .. } => enrol_where_it_counts(*place, *because),
            Self::Pending { .. } => {
                "reboot with somebody at the console: in MokManager's blue screen press a key within ten seconds, choose Enroll MOK, type the password; a prompt that is missed deletes the request, then `mokutil --import FILE` again".to_owned()
            }
            Self::UnknownSigner { authority_trusted: false, .. } => {
                format!("{IMPORT}; or {SIGN}")
            }
            Self::UnknownSigner { authority_trusted: true, .. } => format!(
                "add the certificate at each boot, `keyctl padd asymmetric \"\" %:.secondary_trusted_keys < FILE`; or {IMPORT}"
            ),
            Self::NotForCode { .. } => {
                "make a certificate with keyUsage digitalSignature and extendedKeyUsage codeSigning, enrol it, and sign the module anew".to_owned()
            }
            Self::ValidationOff(Off::Shim) => {
                "nothing, to have the module loaded; `mokutil --enable-validation` and a reboot turn validation on".to_owned()
            }
            Self::ValidationOff(Off::Kernel) => "nothing, to have the module loaded".to_owned(),
        }
    }
}

fn enrol_where_it_counts(place: Place, because: Rule) -> String {
    match because {
        Rule::MokUntrusted => {
            "`mokutil --trust-mok`, then reboot with somebody at the console and confirm in MokManager's blue screen".to_owned()
        }
        Rule::Authorities | Rule::PureAuthorities => format!(
            "make an authority of your own (CA:TRUE, keyUsage keyCertSign), {IMPORT}; have it issue the signer's certificate and add that at each boot, `keyctl padd asymmetric \"\" %:.secondary_trusted_keys < FILE`"
        ),
        Rule::PlatformUnused if place == Place::Ring(SystemRing::Platform) => {
            format!("enrol it with shim: {IMPORT}")
        }
        Rule::DbIgnored => format!("{IMPORT}; or have shim use db again, `mokutil --use-db`"),
        Rule::NoMachine | Rule::NothingRead => {
            "add the certificate at each boot, `keyctl padd asymmetric \"\" %:.secondary_trusted_keys < FILE`, where a key that is trusted issued it; or use a kernel of the distribution".to_owned()
        }
        Rule::PlatformUnused
        | Rule::Builtin
        | Rule::Secondary
        | Rule::Machine
        | Rule::Platform(_)
        | Rule::SigEnforce
        | Rule::Lockdown
        | Rule::NotEnforced
        | Rule::Unchecked
        | Rule::Always => format!("{IMPORT}; or {SIGN}"),
    }
}

/// Purposes by which a certificate is one for signing code.
pub(super) const FOR_CODE: [Oid; 3] = [Oid::CODE_SIGNING, Oid::MODULE_SIGNING, Oid::ANY_PURPOSE];
