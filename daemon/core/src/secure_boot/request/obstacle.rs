//! Why shim is not asked for a key, in three parts for people: what, why, what to do.

use std::collections::BTreeSet;

use crate::refusal::RefusalKind;
use crate::secure_boot::Damaged;
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::verdict::gap::Gap;
use crate::secure_boot::verdict::reason::{Reason, Revoked};

/// What has to happen at the console, in one place so that everybody says the same.
pub const AT_THE_CONSOLE: &str = "reboot with somebody at the console: in MokManager's blue screen press a key before the time is over, choose Enroll MOK, type the password";

/// Why shim is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// What was given is no certificate, or more than one.
    NotACertificate(Damaged),
    /// The password's hash is not one that shim can check.
    NotForShim,
    /// The firmware has no Secure Boot.
    NoSecureBoot,
    /// Something that decides could not be read.
    Unread(Gap),
    /// What is asked for already could not be read.
    RequestsUnread {
        /// What the machine said.
        why: String,
    },
    /// The machine was started without shim.
    NoShim,
    /// efivarfs is mounted read-only.
    ReadOnly,
    /// The kernel does without the firmware.
    NoRunTime,
    /// The key is revoked.
    Blocked {
        /// Where it says so; at least one.
        lists: BTreeSet<Revoked>,
    },
    /// Shim has the key.
    Enrolled {
        /// Why this kernel does not use it all the same, if that is so.
        unused: Option<Reason>,
    },
    /// The firmware has the key, and shim could add nothing.
    InDb,
    /// The kernel trusts the key.
    Trusted {
        /// The ring.
        ring: SystemRing,
    },
    /// It is asked for already.
    Pending,
    /// What others asked for does not read, and could not be kept.
    PendingDamaged(Damaged),
    /// Somebody asked for all keys to be forgotten.
    ResetPending,
}

impl Obstacle {
    /// One word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotACertificate(_) => "NotACertificate",
            Self::NotForShim => "HashUnusable",
            Self::NoSecureBoot => "NoSecureBoot",
            Self::Unread(_) => "Unread",
            Self::RequestsUnread { .. } => "RequestsUnread",
            Self::NoShim => "NoShim",
            Self::ReadOnly => "ReadOnly",
            Self::NoRunTime => "NoRunTime",
            Self::Blocked { .. } => "Revoked",
            Self::Enrolled { .. } => "Enrolled",
            Self::InDb => "InDb",
            Self::Trusted { .. } => "Trusted",
            Self::Pending => "EnrolmentPending",
            Self::PendingDamaged(_) => "PendingDamaged",
            Self::ResetPending => "ResetPending",
        }
    }

    /// What a caller is told it is.
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::NotACertificate(_) | Self::NotForShim => RefusalKind::InvalidArgument,
            Self::NoSecureBoot | Self::NoShim | Self::ReadOnly | Self::NoRunTime => {
                RefusalKind::Unsupported
            }
            Self::Unread(_)
            | Self::RequestsUnread { .. }
            | Self::Blocked { .. }
            | Self::Enrolled { .. }
            | Self::InDb
            | Self::Trusted { .. }
            | Self::Pending
            | Self::PendingDamaged(_)
            | Self::ResetPending => RefusalKind::Blocked,
        }
    }

    /// Whether nothing has to be done: the key is where it was to be brought.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Enrolled { unused: None } | Self::InDb | Self::Trusted { .. } => true,
            Self::NotACertificate(_)
            | Self::NotForShim
            | Self::NoSecureBoot
            | Self::Unread(_)
            | Self::RequestsUnread { .. }
            | Self::NoShim
            | Self::ReadOnly
            | Self::NoRunTime
            | Self::Blocked { .. }
            | Self::Enrolled { unused: Some(_) }
            | Self::Pending
            | Self::PendingDamaged(_)
            | Self::ResetPending => false,
        }
    }

    /// What did not happen.
    pub fn what(&self) -> &'static str {
        "shim is not asked to enrol the key"
    }

    /// Why.
    pub fn why(&self) -> String {
        match self {
            Self::NotACertificate(damaged) => format!("this is not one certificate (DER): {damaged}"),
            Self::NotForShim => {
                "its password is not hashed as crypt(3) does by SHA-512 or SHA-256".to_owned()
            }
            Self::NoSecureBoot => {
                "this machine has no Secure Boot: it was not started by EFI firmware, or by one that does not know it".to_owned()
            }
            Self::Unread(gap) => format!("{}: {}", gap.what(), gap.why()),
            Self::RequestsUnread { why } => {
                format!("what shim is asked for already (MokNew, MokAuth) cannot be read: {why}")
            }
            Self::NoShim => {
                "this machine was started without shim, and nothing else looks at what is asked for (MokNew)".to_owned()
            }
            Self::ReadOnly => "efivarfs is mounted read-only, so no request can be written".to_owned(),
            Self::NoRunTime => {
                "the kernel runs without the firmware's services (efi=noruntime, which kernels for real time have by default), so no request can be written".to_owned()
            }
            Self::Blocked { lists } => {
                let named: Vec<_> = lists.iter().map(|list| called(*list)).collect();
                format!("the key is revoked: {} name{} its certificate", named.join(" and "), if named.len() == 1 { "s" } else { "" })
            }
            Self::Enrolled { unused: None } => {
                "it is enrolled: shim's list (MokListRT) has it".to_owned()
            }
            Self::Enrolled { unused: Some(reason) } => {
                format!("it is enrolled, and does not count for modules: {}", reason.why())
            }
            Self::InDb => "the firmware's db has it".to_owned(),
            Self::Trusted { ring } => {
                format!("this kernel trusts it: {} has a key with its id", ring.name())
            }
            Self::Pending => {
                "it is asked for already (MokNew), and shim asks back at the next boot".to_owned()
            }
            Self::PendingDamaged(damaged) => {
                format!("another request (MokNew) is there and does not read: {damaged}")
            }
            Self::ResetPending => {
                "somebody asked shim to forget all keys (MokAuth without MokNew), and this request would take the place of that one".to_owned()
            }
        }
    }

    /// What to do.
    pub fn fix(&self) -> String {
        match self {
            Self::NotACertificate(_) => {
                "name the signer's X.509 certificate; `openssl x509 -in FILE -outform DER -out FILE.der` makes DER of PEM".to_owned()
            }
            Self::NotForShim => "hash the password with `openssl passwd -6`".to_owned(),
            Self::NoSecureBoot => {
                "nothing, for Secure Boot; where modules are refused all the same, `onloadctl why onload` says by what".to_owned()
            }
            Self::Unread(gap) => gap.fix(),
            Self::RequestsUnread { .. } => {
                "see whether efivarfs is mounted and the daemon's unit may read it".to_owned()
            }
            Self::NoShim => {
                "put the key into the firmware's db (in its setup), or have the firmware start the distribution's shim (package shim-x64 or shim-signed) and ask again".to_owned()
            }
            Self::ReadOnly => {
                "`mount -o remount,rw /sys/firmware/efi/efivars`, and ask again".to_owned()
            }
            Self::NoRunTime => {
                "boot with efi=runtime on the kernel's command line and ask again; or put the certificate on the EFI partition and choose Enroll key from disk in MokManager".to_owned()
            }
            Self::Blocked { lists } => {
                let own = "`onloadctl keys generate`, sign the modules anew with that key, and enrol it";
                if lists.contains(&Revoked::MokListX) && !lists.contains(&Revoked::Dbx) {
                    format!("if it was forbidden by mistake, take it off shim's list (`mokutil --delete FILE --mokx`) and reboot; else {own}")
                } else {
                    own.to_owned()
                }
            }
            Self::Enrolled { unused: Some(reason) } => reason.fix(None),
            Self::Enrolled { unused: None } | Self::InDb | Self::Trusted { .. } => {
                "nothing".to_owned()
            }
            Self::Pending => format!(
                "{AT_THE_CONSOLE}; for another password, `onloadctl keys revoke-request` and ask again"
            ),
            Self::PendingDamaged(_) => {
                "`onloadctl keys revoke-request --all`, and ask again".to_owned()
            }
            Self::ResetPending => {
                "reboot and answer that one at the console, or `onloadctl keys revoke-request --all`; then ask again".to_owned()
            }
        }
    }
}

/// What names a certificate as revoked.
pub fn called(list: Revoked) -> &'static str {
    match list {
        Revoked::Blacklist => "the kernel's .blacklist",
        Revoked::MokListX => "shim's list of what is forbidden (MokListX)",
        Revoked::Dbx => "the firmware's dbx",
    }
}
