//! Whether a kernel would take a module, told from its signature and from what is known of trust: by
//! which key, or why not, and by which rule that was decided.
//!
//! The signature itself is not verified: a module that was changed after it was signed is refused
//! by the kernel, and accepted here. Nothing is decided by a default: what cannot be told is
//! [`Outcome::Unknown`] with the gaps. Nor does anything here say what else speaks against a load
//! (versions, symbols, a kernel that takes no modules any more).

use self::enforcing::{Enforcing, Words};
use self::gap::Gap;
use self::reason::{Off, Reason};
use self::rings::Case;
use self::rule::Rule;
use self::signer::{Against, Standing};
use super::Damaged;
use super::keyring::SystemRing;
use super::signature::SignatureError;
use super::signature::signed_data::{SignedData, SignerId};
use super::trust::{Switch, Trust};
use crate::names::KernelRelease;

mod algorithms;
mod answer;
mod at_hand;
mod enforcing;
pub mod gap;
pub mod reason;
mod rings;
pub mod rule;
mod signer;
#[cfg(test)]
mod tests;

pub use self::answer::{Answer, Errno};
pub use self::at_hand::AtHand;

/// What a module's file says of its signature: it, none, or why it does not read.
pub type Signed<'a> = Result<Option<&'a SignedData>, SignatureError>;

/// Whether a kernel would take a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether.
    pub outcome: Outcome,
    /// By which rules: what keeps or gets the key where it counts, and what is done without one.
    pub rules: Vec<Rule>,
    /// What is not as it should be, though this kernel does not mind.
    pub remarks: Vec<Reason>,
    /// What the kernel says to a load, as far as that is sure.
    pub answer: Option<Answer>,
}

impl Verdict {
    /// What the kernel finds first against the module, if that is sure.
    pub fn reason(&self) -> Option<&Reason> {
        match &self.outcome {
            Outcome::Refused { why } | Outcome::Tainted { why } => why.first(),
            Outcome::Accepted { .. } | Outcome::Unknown { .. } => None,
        }
    }

    /// Whose key it comes to, where that is sure.
    pub fn signer(&self) -> Option<&SignerId> {
        match &self.outcome {
            Outcome::Accepted { by, .. } => Some(by),
            Outcome::Refused { .. } | Outcome::Tainted { .. } | Outcome::Unknown { .. } => {
                self.reason()?.signer()
            }
        }
    }

    /// By which rules, in words.
    pub fn rule(&self) -> String {
        let rules: Vec<_> = self.rules.iter().map(|rule| rule.sentence()).collect();
        rules.join("; ")
    }
}

/// Whether a kernel would take a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It trusts the signer.
    Accepted {
        /// Who signed.
        by: SignerId,
        /// Which ring holds the key.
        ring: SystemRing,
    },
    /// It would refuse it. All reasons, those first that the kernel finds first.
    Refused {
        /// Why.
        why: Vec<Reason>,
    },
    /// It does not trust it and would take it, because nothing enforces that.
    Tainted {
        /// Why it is not trusted, and who turned validation off, if somebody did.
        why: Vec<Reason>,
    },
    /// That cannot be told.
    Unknown {
        /// Because of what.
        why: Vec<Gap>,
        /// What speaks against it if the gaps hold nothing.
        against: Vec<Reason>,
    },
}

/// One thing that speaks against a module; with a gap, perhaps.
#[derive(Debug)]
struct Item {
    stage: Stage,
    reason: Reason,
    gaps: Vec<Gap>,
}

/// The order in which kernels look (`mod_verify_sig`, `pkcs7_verify`, `pkcs7_validate_trust`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Parsing,
    Algorithm,
    Attributes,
    Revocation,
    Trust,
}

impl Item {
    /// Kernels look no further, and refuse, whether or not they enforce signatures.
    fn fatal(&self) -> bool {
        match self.stage {
            Stage::Parsing => {
                !matches!(self.reason, Reason::Damaged(SignatureError::UnknownKind { .. }))
            }
            Stage::Attributes | Stage::Revocation => true,
            Stage::Algorithm | Stage::Trust => false,
        }
    }
}

/// Says whether `kernel` would take a module with this signature. For a kernel that does not run, what
/// only a running one shows is a gap.
pub fn verdict(module: Signed<'_>, trust: &Trust, kernel: &KernelRelease) -> Verdict {
    let at_hand = AtHand::of(trust);
    Judge::new(trust, kernel, &at_hand).verdict(module)
}

/// Judges several modules for one kernel.
#[derive(Debug)]
pub struct Judge<'a>(Case<'a>);

impl<'a> Judge<'a> {
    /// For this kernel, with the certificates of the same trust.
    pub fn new(trust: &'a Trust, kernel: &'a KernelRelease, at_hand: &'a AtHand) -> Self {
        Self(Case::new(trust, kernel, at_hand))
    }

    /// As [`verdict`].
    pub fn verdict(&self, module: Signed<'_>) -> Verdict {
        judge(&self.0, module)
    }
}

fn judge(case: &Case<'_>, module: Signed<'_>) -> Verdict {
    let enforcing = case.enforcing();
    let mut examined = case.examine(module);
    examined.items.sort_by_key(|item| item.stage);
    if enforcing == Enforcing::Unchecked {
        let certain = examined.items.into_iter().filter(|item| item.gaps.is_empty());
        let mut why: Vec<_> = certain.map(|item| item.reason).collect();
        why.push(Reason::ValidationOff(Off::Kernel));
        let answer = Some(Answer::Loads);
        let (rules, remarks) = (vec![Rule::Unchecked], examined.remarks);
        return Verdict { outcome: Outcome::Tainted { why }, rules, remarks, answer };
    }
    examined.weigh(&enforcing, case.trust)
}

/// What was found of a module.
#[derive(Debug, Default)]
struct Examined {
    accepted: Option<(SignerId, SystemRing, Rule)>,
    items: Vec<Item>,
    remarks: Vec<Reason>,
}

impl Examined {
    fn add(&mut self, stage: Stage, reason: Reason, gaps: Vec<Gap>) {
        if !self.items.iter().any(|item| item.reason == reason && item.gaps == gaps) {
            self.items.push(Item { stage, reason, gaps });
        }
    }

    fn against(&mut self, stage: Stage, against: Against) {
        match against {
            Against::Nothing => {}
            Against::Surely(reason) => self.add(stage, reason, Vec::new()),
            Against::Perhaps(gap, reason) => self.add(stage, reason, vec![gap]),
        }
    }

    /// Goes through what speaks against the module as the kernel does, to the first that is sure, and
    /// collects what may come of it on the way.
    fn weigh(self, enforcing: &Enforcing, trust: &Trust) -> Verdict {
        let (mut refused, mut taken, mut sure) = (false, false, false);
        let mut gaps = Vec::new();
        for item in &self.items {
            note(&mut gaps, &item.gaps);
            match enforcing {
                _ if item.fatal() => refused = true,
                Enforcing::Refuses(..) => refused = true,
                Enforcing::Takes | Enforcing::Unchecked => taken = true,
                Enforcing::Untold(gap) => {
                    (refused, taken) = (true, true);
                    note(&mut gaps, std::slice::from_ref(gap));
                }
            }
            sure = item.gaps.is_empty();
            if sure {
                break;
            }
        }
        let accepted = !sure;
        let answer = answer::of(&self.items, enforcing);
        let certain = |items: &[Item]| -> Vec<Reason> {
            let certain = items.iter().filter(|item| item.gaps.is_empty());
            certain.map(|item| item.reason.clone()).collect()
        };
        let mut rules = self.rules(enforcing);
        let outcome = match (refused, taken, accepted, self.accepted) {
            (false, false, _, Some((by, ring, _))) => Outcome::Accepted { by, ring },
            (true, false, false, _) => Outcome::Refused { why: certain(&self.items) },
            (false, true, false, _) => {
                let mut why = certain(&self.items);
                if trust.shim_validates_nothing.known() == Some(&Switch::On)
                    && trust.secure_boot.known() == Some(&Switch::On)
                {
                    why.push(Reason::ValidationOff(Off::Shim));
                }
                Outcome::Tainted { why }
            }
            _ => {
                rules.retain(|rule| *rule != Rule::Always);
                let against = self.items.iter().map(|item| item.reason.clone()).collect();
                Outcome::Unknown { why: gaps, against }
            }
        };
        let answer = match &outcome {
            Outcome::Accepted { .. } => Some(Answer::Loads),
            Outcome::Refused { .. } | Outcome::Tainted { .. } => answer,
            Outcome::Unknown { .. } => None,
        };
        Verdict { outcome, rules, remarks: self.remarks, answer }
    }

    fn rules(&self, enforcing: &Enforcing) -> Vec<Rule> {
        if let (Some((_, _, rule)), true) = (&self.accepted, self.items.is_empty()) {
            return vec![*rule];
        }
        let mut rules: Vec<_> = self.accepted.iter().map(|(_, _, rule)| *rule).collect();
        rules.extend(self.items.iter().filter_map(|item| match &item.reason {
            Reason::EnrolledUnused { because, .. } => Some(*because),
            Reason::Damaged(_)
            | Reason::NotDetached
            | Reason::DigestWeak(_)
            | Reason::DigestUnsupported(_)
            | Reason::AlgorithmUnsupported(_)
            | Reason::AttributesSigned(_)
            | Reason::Revoked { .. }
            | Reason::Unsigned
            | Reason::Pending { .. }
            | Reason::UnknownSigner { .. }
            | Reason::NotForCode { .. }
            | Reason::ValidationOff(_) => None,
        }));
        let first = self.items.iter().find(|item| item.gaps.is_empty());
        match enforcing {
            _ if first.is_some_and(Item::fatal) => rules.push(Rule::Always),
            Enforcing::Refuses(rule, Words::Sure | Words::Unsure) => rules.push(*rule),
            Enforcing::Takes => rules.push(Rule::NotEnforced),
            Enforcing::Unchecked => rules.push(Rule::Unchecked),
            Enforcing::Untold(_) => {}
        }
        rules.dedup();
        rules
    }
}

/// Each gap once.
fn note(gaps: &mut Vec<Gap>, more: &[Gap]) {
    for gap in more {
        if !gaps.contains(gap) {
            gaps.push(gap.clone());
        }
    }
}

impl Case<'_> {
    fn examine(&self, module: Signed<'_>) -> Examined {
        let mut found = Examined::default();
        let data = match module {
            Ok(Some(data)) => data,
            Ok(None) => {
                found.add(Stage::Trust, Reason::Unsigned, Vec::new());
                return found;
            }
            Err(error) => {
                found.add(Stage::Parsing, Reason::Damaged(error), Vec::new());
                return found;
            }
        };
        if data.content_inside {
            found.add(Stage::Parsing, Reason::NotDetached, Vec::new());
        }
        if data.signers.is_empty() {
            let (offset, expected) = (0, "at least one signer");
            let damaged = SignatureError::Damaged(Damaged { offset, expected });
            found.add(Stage::Parsing, Reason::Damaged(damaged), Vec::new());
        }
        let mut standings = Vec::new();
        for signer in &data.signers {
            found.against(Stage::Algorithm, algorithms::known(signer, self.kernel));
            found.against(Stage::Attributes, algorithms::attributes(signer, self.kernel));
            let mut revoked = self.revoked(&signer.by);
            if matches!(revoked, Against::Nothing)
                && data.certificates_bytes > 0
                && let Some(list) = self.kept_out(&signer.by)
            {
                // Of certificates in a signature kernels look up the hashes at once.
                let reason = Reason::Revoked { signer: signer.by.clone(), list };
                revoked = Against::Perhaps(Gap::CertificatesInside, reason);
            }
            if matches!(revoked, Against::Nothing) {
                found.remarks.extend(self.listed_as_revoked(&signer.by));
            }
            found.against(Stage::Revocation, revoked);
            let perhaps = match self.purpose(&signer.by) {
                Against::Nothing => None,
                Against::Surely(reason) => {
                    found.remarks.push(reason);
                    None
                }
                Against::Perhaps(gap, reason) => Some((gap, reason)),
            };
            standings.push((&signer.by, self.standing(&signer.by), perhaps));
        }
        // One signer who is trusted is enough; the others do not matter then.
        for (by, standing, perhaps) in &standings {
            if let Standing::Trusted(ring, rule) = standing {
                found.accepted = Some(((*by).clone(), *ring, *rule));
                if perhaps.is_none() {
                    return found;
                }
            }
        }
        let mut gaps = Vec::new();
        if data.certificates_bytes > 0 {
            gaps.push(Gap::CertificatesInside);
        }
        let mut reasons = Vec::new();
        for (_, standing, perhaps) in standings {
            match standing {
                Standing::Trusted(..) => {
                    if let Some((gap, reason)) = perhaps {
                        found.add(Stage::Trust, reason, vec![gap]);
                    }
                }
                Standing::Untrusted(more) => reasons.extend(more),
                Standing::Untold(in_the_way, more) => {
                    note(&mut gaps, &in_the_way);
                    reasons.extend(more);
                }
            }
        }
        if found.accepted.is_none() {
            for reason in reasons {
                found.add(Stage::Trust, reason, gaps.clone());
            }
        }
        let items = &found.items;
        found.remarks.retain(|remark| !items.iter().any(|item| item.reason == *remark));
        found
    }
}
