//! What cannot be told, because of what, and what would help.

use super::reason::called;
use crate::names::KernelRelease;
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::signature::signed_data::SignerId;

/// Part of what a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Whether Secure Boot is in effect.
    SecureBoot,
    /// Whether the kernel enforces signatures.
    SigEnforce,
    /// Whether it is locked down.
    Lockdown,
    /// How it was built.
    Config(KernelRelease),
    /// One of its rings.
    Ring(SystemRing),
    /// What shim accepts.
    MokList,
    /// What shim refuses.
    MokListX,
    /// What the firmware accepts.
    Db,
    /// What it refuses.
    Dbx,
    /// Whether shim's keys may go to `.machine`.
    MokTrusted,
    /// Whether `db` is used.
    DbIgnored,
}

impl Part {
    fn name(&self) -> String {
        match self {
            Self::SecureBoot => {
                "whether Secure Boot is in effect (SecureBoot, SetupMode, MokSBStateRT)".to_owned()
            }
            Self::SigEnforce => {
                "whether signatures are enforced (/sys/module/module/parameters/sig_enforce)"
                    .to_owned()
            }
            Self::Lockdown => {
                "whether the kernel is locked down (/sys/kernel/security/lockdown)".to_owned()
            }
            Self::Config(kernel) => {
                format!(
                    "the configuration of kernel {kernel} (/lib/modules/{kernel}/config or /boot/config-{kernel})"
                )
            }
            Self::Ring(ring) => format!("the keys in {}", ring.name()),
            Self::MokList => "shim's keys (MokListRT)".to_owned(),
            Self::MokListX => "what shim refuses (MokListXRT)".to_owned(),
            Self::Db => "the firmware's keys (db)".to_owned(),
            Self::Dbx => "what the firmware refuses (dbx)".to_owned(),
            Self::MokTrusted => "whether shim's keys are trusted (MokListTrustedRT)".to_owned(),
            Self::DbIgnored => "whether shim ignores db (MokIgnoreDB)".to_owned(),
        }
    }
}

/// Why something cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It could not be read, or is not there where it should be.
    Unread {
        /// What.
        part: Part,
        /// What the machine said.
        why: String,
    },
    /// Only a running kernel shows it, and this one does not run.
    NotRunning {
        /// What.
        part: Part,
        /// The kernel.
        kernel: KernelRelease,
    },
    /// A ring holds keys whose certificates are not at hand, and one of them may be the signer's.
    CertificateMissing {
        /// Who signed.
        signer: SignerId,
        /// The ring.
        ring: SystemRing,
    },
    /// Several certificates are made for one key, and which of them a ring holds is not shown.
    SameKey {
        /// Who signed.
        signer: SignerId,
        /// The ring.
        ring: SystemRing,
    },
    /// A ring has members that are not described.
    Undescribed {
        /// The ring.
        ring: SystemRing,
        /// How many.
        count: usize,
    },
    /// The signature brings certificates of its own, which may lead to a trusted key.
    CertificatesInside,
    /// Whether the kernel was patched to trust `.platform`.
    PlatformPatch {
        /// The kernel.
        kernel: KernelRelease,
    },
    /// Whether the kernel takes a hash, an algorithm or attributes signed with it.
    Algorithm {
        /// Which.
        name: String,
        /// The kernel.
        kernel: KernelRelease,
    },
    /// Whether the kernel was built to look at what a certificate is made for.
    PurposeCheck {
        /// The kernel.
        kernel: KernelRelease,
    },
}

impl Gap {
    /// What cannot be told.
    pub fn what(&self) -> String {
        let what = match self {
            Self::Unread { part, .. } | Self::NotRunning { part, .. } => part.name(),
            Self::CertificateMissing { signer, ring } | Self::SameKey { signer, ring } => {
                format!("whether {} holds the signer's key ({})", ring.name(), called(signer))
            }
            Self::Undescribed { ring, .. } => format!("all of what {} holds", ring.name()),
            Self::CertificatesInside => {
                "whether a certificate in the signature leads to a trusted key".to_owned()
            }
            Self::PlatformPatch { kernel } => {
                format!("whether kernel {kernel} trusts .platform for modules")
            }
            Self::Algorithm { name, kernel } => format!("whether kernel {kernel} takes {name}"),
            Self::PurposeCheck { kernel } => {
                format!("whether kernel {kernel} takes a certificate that is not for signing code")
            }
        };
        format!("cannot be told: {what}")
    }

    /// Because of what.
    pub fn why(&self) -> String {
        match self {
            Self::Unread { why, .. } => why.clone(),
            Self::NotRunning { kernel, .. } => {
                format!("only a running kernel shows it, and {kernel} does not run")
            }
            Self::CertificateMissing { .. } => {
                "the ring shows ids of keys, the signature names a certificate, and the certificate that joins them is not at hand".to_owned()
            }
            Self::SameKey { .. } => {
                "several certificates are at hand for one key, and a ring shows the key only".to_owned()
            }
            Self::Undescribed { count, .. } => format!("{count} of its members are not described"),
            Self::CertificatesInside => "they are not looked at".to_owned(),
            Self::PlatformPatch { .. } => {
                "some distributions patch it so, and its release does not say whose it is".to_owned()
            }
            Self::Algorithm { .. } => {
                "that depends on how it was built and patched, and it does not show it".to_owned()
            }
            Self::PurposeCheck { .. } => {
                "SUSE's kernels may be built to look (CHECK_CODESIGN_EKU)".to_owned()
            }
        }
    }

    /// What would help.
    pub fn fix(&self) -> String {
        match self {
            Self::Unread { part: Part::Lockdown, .. } => {
                "mount securityfs on /sys/kernel/security".to_owned()
            }
            Self::Unread { part: Part::Config(kernel), .. } => {
                format!("install the package that brings the configuration of kernel {kernel}")
            }
            Self::Unread { part: Part::Ring(_), .. } | Self::Undescribed { .. } => {
                "see whether the daemon's unit may read the kernel's keys (`keyctl show %:.machine` as root)".to_owned()
            }
            Self::Unread {
                part:
                    Part::SecureBoot
                    | Part::SigEnforce
                    | Part::MokList
                    | Part::MokListX
                    | Part::Db
                    | Part::Dbx
                    | Part::MokTrusted
                    | Part::DbIgnored,
                ..
            } => "see whether efivarfs and sysfs are mounted and the daemon's unit may read them".to_owned(),
            Self::NotRunning { kernel, .. } => {
                format!("boot kernel {kernel}; it is told then, before anything is touched")
            }
            Self::CertificateMissing { .. } => {
                "name the signer's certificate in the configuration".to_owned()
            }
            Self::SameKey { .. } => {
                "enrol one certificate for the key, and sign with that one".to_owned()
            }
            Self::CertificatesInside => {
                "sign the module with `onloadctl keys sign`, which puts none in".to_owned()
            }
            Self::PlatformPatch { .. } => {
                "try it with a module that does no harm; or enrol the key where every kernel trusts it".to_owned()
            }
            Self::Algorithm { .. } => {
                "sign the module with RSA or ECDSA and SHA-256 or longer".to_owned()
            }
            Self::PurposeCheck { .. } => {
                "make a certificate with extendedKeyUsage codeSigning, enrol it, and sign the module anew".to_owned()
            }
        }
    }
}
