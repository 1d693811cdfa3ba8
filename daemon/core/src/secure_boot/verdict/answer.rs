//! What a kernel says to a load, to compare a verdict with (`reference/secure-boot-mok.md` section 8).

use super::enforcing::{Enforcing, Words};
use super::reason::Reason;
use super::rule::Rule;
use super::{Item, Stage};
use crate::secure_boot::signature::SignatureError;

/// An error of `finit_module`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// EPERM
    NotPermitted,
    /// EBADMSG
    BadMessage,
    /// EKEYREJECTED
    KeyRejected,
}

impl Errno {
    /// Its number, on the machines that we run on.
    pub fn number(self) -> i32 {
        match self {
            Self::NotPermitted => 1,
            Self::BadMessage => 74,
            Self::KeyRejected => 129,
        }
    }
}

/// What the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, as far as the signature goes.
    Loads,
    /// It loads, taints (`E`), and says so.
    Taints {
        /// What stands in the kernel log, once per boot.
        log: &'static str,
    },
    /// It fails.
    Fails {
        /// With what.
        errno: Errno,
        /// What stands in the kernel log, where that says anything.
        log: Option<&'static str>,
    },
}

/// What the first thing says that speaks against a module; none where that is not sure.
pub(super) fn of(items: &[Item], enforcing: &Enforcing) -> Option<Answer> {
    let first = items.first().filter(|first| first.gaps.is_empty())?;
    let fails = |errno, log| Some(Answer::Fails { errno, log });
    if first.fatal() {
        return match first.stage {
            Stage::Parsing => fails(Errno::BadMessage, None),
            Stage::Attributes => {
                fails(Errno::KeyRejected, Some("Invalid module sig (has authattrs)"))
            }
            Stage::Revocation | Stage::Algorithm | Stage::Trust => fails(Errno::KeyRejected, None),
        };
    }
    match enforcing {
        Enforcing::Refuses(Rule::SigEnforce, Words::Sure) => {
            fails(Errno::KeyRejected, Some(rejected(&first.reason)))
        }
        Enforcing::Refuses(_, Words::Sure) => {
            fails(Errno::NotPermitted, Some("unsigned module loading is restricted"))
        }
        Enforcing::Takes => Some(Answer::Taints {
            log: "module verification failed: signature and/or required key missing - tainting kernel",
        }),
        Enforcing::Refuses(_, Words::Unsure) | Enforcing::Unchecked | Enforcing::Untold(_) => None,
    }
}

fn rejected(reason: &Reason) -> &'static str {
    match reason {
        Reason::Unsigned => "Loading of unsigned module is rejected",
        Reason::Damaged(SignatureError::UnknownKind { .. })
        | Reason::DigestWeak(_)
        | Reason::DigestUnsupported(_)
        | Reason::AlgorithmUnsupported(_) => {
            "Loading of module with unsupported crypto is rejected"
        }
        Reason::Damaged(SignatureError::Damaged(_))
        | Reason::NotDetached
        | Reason::AttributesSigned(_)
        | Reason::Revoked { .. }
        | Reason::EnrolledUnused { .. }
        | Reason::Pending { .. }
        | Reason::UnknownSigner { .. }
        | Reason::NotForCode { .. }
        | Reason::ValidationOff(_) => "Loading of module with unavailable key is rejected",
    }
}
