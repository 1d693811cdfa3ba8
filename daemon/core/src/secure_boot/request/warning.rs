//! What whoever asks shim for a key should know before: it is asked all the same.

use crate::secure_boot::certificate::date::Date;
use crate::secure_boot::verdict::gap::Gap;
use crate::secure_boot::verdict::reason::Reason;

/// Whose password holds for keys that are asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// It was the same hash before.
    Same,
    /// The one that was there holds no longer.
    Replaced,
}

/// What should be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Once the key is enrolled this speaks against modules that it signed.
    Use(Reason),
    /// Whether it will count for modules cannot be told.
    Untold(Gap),
    /// Neither Secure Boot nor the kernel refuses any module.
    NothingEnforced,
    /// Whether the machine was started by shim cannot be told.
    ShimUntold {
        /// What the machine said.
        why: String,
    },
    /// The certificate is over.
    Expired(Date),
    /// It has not begun.
    NotYet(Date),
    /// Its key is shorter than distributions take.
    WeakKey {
        /// How long it is.
        bits: usize,
    },
    /// Other keys are asked for as well.
    Joins {
        /// What their certificates are called.
        others: Vec<String>,
        /// Whose password holds.
        password: Password,
    },
    /// Somebody else had set how long MokManager waits.
    TimeReplaced {
        /// How long, in seconds, as shim takes it.
        was_secs: i32,
    },
}

impl Warning {
    /// It, in one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Use(reason) => {
                format!("once it is enrolled, {}: {}", reason.what(), reason.why())
            }
            Self::Untold(gap) => {
                format!("whether it will count for modules: {}: {}", gap.what(), gap.why())
            }
            Self::NothingEnforced => {
                "nothing here refuses modules: Secure Boot is not in effect, and the kernel takes what nobody trusted has signed".to_owned()
            }
            Self::ShimUntold { why } => {
                format!("whether shim started this machine, and will ask back, cannot be told: {why}")
            }
            Self::Expired(until) => {
                format!("the certificate was good until {until}; kernels do not look at that for modules, others may")
            }
            Self::NotYet(from) => {
                format!("the certificate is good from {from} on; kernels do not look at that for modules, others may")
            }
            Self::WeakKey { bits } => {
                format!("its key has {bits} bits; distributions take 2048 or more, and their policies refuse less")
            }
            Self::Joins { others, password } => {
                let keys = if others.is_empty() { "hashes".to_owned() } else { others.join(", ") };
                let password = match password {
                    Password::Same => "the same password holds for all",
                    Password::Replaced => {
                        "from now on the new password holds for all, and the former for none"
                    }
                };
                format!("this is asked for together with what somebody asked for before ({keys}); {password}")
            }
            Self::TimeReplaced { was_secs } => {
                format!("how long MokManager waits is set anew; somebody had set {was_secs} seconds")
            }
        }
    }

    /// What may be done about it, if anything.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Use(reason) => Some(reason.fix(None)),
            Self::Untold(gap) => Some(gap.fix()),
            Self::NothingEnforced => None,
            Self::ShimUntold { .. } => {
                Some("see whether efivarfs is mounted and the daemon's unit may read it".to_owned())
            }
            Self::Expired(_) | Self::NotYet(_) | Self::WeakKey { .. } => {
                Some("make a key with `onloadctl keys generate`, and sign with that one".to_owned())
            }
            Self::Joins { password: Password::Same, .. } | Self::TimeReplaced { .. } => None,
            Self::Joins { password: Password::Replaced, .. } => Some(
                "tell the new password to whoever asked before, or `onloadctl keys revoke-request`"
                    .to_owned(),
            ),
        }
    }
}
