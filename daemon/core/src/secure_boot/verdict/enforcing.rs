//! What a kernel does with modules that nobody it trusts has signed.

use super::gap::{Gap, Part};
use super::rings::Case;
use super::rule::Rule;
use crate::reading::Reading;
use crate::secure_boot::kernel::config::KernelConfig;
use crate::secure_boot::kernel::{Enforcement, Lockdown};
use crate::secure_boot::trust::Switch;

/// What it does with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Enforcing {
    /// It does not look.
    Unchecked,
    /// It takes them, and is tainted.
    Takes,
    /// It refuses them. What it says is only sure where the rule is the one that it applies first.
    Refuses(Rule, Words),
    /// That cannot be told.
    Untold(Gap),
}

/// Whether it is sure which error a refusal gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// It is.
    Sure,
    /// Either of two.
    Unsure,
}

impl Case<'_> {
    /// What this kernel does. What a running one shows goes before how it was built.
    pub(super) fn enforcing(&self) -> Enforcing {
        let seen = self.seen();
        if self.runs() && !matches!(seen, Enforcing::Untold(_)) {
            return seen;
        }
        let config = match self.config() {
            Ok(config) => config,
            Err(_) if self.runs() => return seen,
            Err(gap) => return Enforcing::Untold(gap),
        };
        if !config.has(KernelConfig::MODULE_SIG) {
            return Enforcing::Unchecked;
        }
        if config.has(KernelConfig::MODULE_SIG_FORCE) {
            return Enforcing::Refuses(Rule::SigEnforce, Words::Sure);
        }
        if self.runs() {
            return seen;
        }
        let locks = config.has(KernelConfig::LOCK_DOWN_IN_EFI_SECURE_BOOT);
        match self.trust.effective() {
            Reading::Unreadable(why) => {
                Enforcing::Untold(Gap::Unread { part: Part::SecureBoot, why })
            }
            Reading::Known(Switch::On) if locks => {
                Enforcing::Refuses(Rule::Lockdown, Words::Unsure)
            }
            // The command line may ask for it; that of the running kernel is what there is to go by.
            Reading::Known(Switch::Off) | Reading::Absent if seen == Enforcing::Takes => seen,
            Reading::Known(Switch::On | Switch::Off) | Reading::Absent => {
                Enforcing::Untold(self.only_running(Part::SigEnforce))
            }
        }
    }

    /// What the running kernel shows: `sig_enforce` is looked at first, then lockdown
    /// (`reference/secure-boot-mok.md` section 8).
    fn seen(&self) -> Enforcing {
        let locked = match &self.trust.lockdown {
            Reading::Known(Lockdown::Integrity | Lockdown::Confidentiality) => true,
            Reading::Known(Lockdown::None) | Reading::Absent | Reading::Unreadable(_) => false,
        };
        let untold = |part, why: &str| Enforcing::Untold(Gap::Unread { part, why: why.to_owned() });
        match (&self.trust.sig_enforce, &self.trust.lockdown) {
            (Reading::Known(Enforcement::Refused), _) => {
                Enforcing::Refuses(Rule::SigEnforce, Words::Sure)
            }
            (Reading::Known(Enforcement::Taken), _) if locked => {
                Enforcing::Refuses(Rule::Lockdown, Words::Sure)
            }
            (Reading::Known(Enforcement::Taken), Reading::Unreadable(why)) => {
                untold(Part::Lockdown, why)
            }
            (Reading::Known(Enforcement::Taken), Reading::Known(_) | Reading::Absent) => {
                Enforcing::Takes
            }
            (Reading::Absent, _) => Enforcing::Unchecked,
            (Reading::Unreadable(_), _) if locked => {
                Enforcing::Refuses(Rule::Lockdown, Words::Unsure)
            }
            (Reading::Unreadable(why), _) => untold(Part::SigEnforce, why),
        }
    }
}
