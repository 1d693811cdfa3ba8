//! One signer: trusted by a ring, revoked, or why not.

use super::at_hand::Source;
use super::gap::{Gap, Part};
use super::reason::{FOR_CODE, Place, Reason, Revoked};
use super::rings::{Case, Counts, Told, gap_of};
use super::rule::{Family, Rule};
use crate::reading::Reading;
use crate::secure_boot::certificate::{Certificate, KeyId, ToBeSigned, Usage};
use crate::secure_boot::kernel::config::KernelConfig;
use crate::secure_boot::keyring::{Blacklisted, SystemRing};
use crate::secure_boot::oid::Oid;
use crate::secure_boot::signature::signed_data::SignerId;
use crate::secure_boot::signature_list::SignatureList;
use crate::secure_boot::trust::{RunTime, Switch};

/// The order in which kernels look: `.platform` last, by the patch.
const LOOKED_IN: [SystemRing; 4] =
    [SystemRing::Builtin, SystemRing::Secondary, SystemRing::Machine, SystemRing::Platform];

/// What one signer is to a kernel.
#[derive(Debug)]
pub(super) enum Standing {
    /// A ring that counts holds the key.
    Trusted(SystemRing, Rule),
    /// None does.
    Untrusted(Vec<Reason>),
    /// That cannot be told; these reasons stand if the gaps hold nothing.
    Untold(Vec<Gap>, Vec<Reason>),
}

/// What speaks against a signer whatever ring holds the key.
#[derive(Debug)]
pub(super) enum Against {
    Nothing,
    Surely(Reason),
    Perhaps(Gap, Reason),
}

impl Case<'_> {
    /// Whether a ring that counts holds the signer's key.
    pub(super) fn standing(&self, signer: &SignerId) -> Standing {
        let (mut gaps, mut reasons) = (Vec::new(), Vec::new());
        for ring in LOOKED_IN {
            match (self.holds(ring, signer), self.counts(ring)) {
                (Told::Yes, Counts::Yes(rule)) => return Standing::Trusted(ring, rule),
                (Told::Yes, Counts::No(rule)) => {
                    reasons.push(self.unused(signer, Place::Ring(ring), rule));
                }
                (Told::Yes, Counts::Untold(gap)) => {
                    gaps.push(gap);
                    reasons.push(self.unused(signer, Place::Ring(ring), Rule::PlatformUnused));
                }
                (Told::Not(gap), Counts::Yes(_)) => gaps.push(gap),
                (Told::Not(gap), Counts::Untold(other)) => gaps.extend([gap, other]),
                (Told::No, _) | (Told::Not(_), Counts::No(_)) => {}
            }
        }
        let kept_out = self.kept_out(signer);
        if let Some(list) = kept_out {
            // Whatever else holds the key: no ring takes it.
            reasons = vec![Reason::Revoked { signer: signer.clone(), list }];
        } else if reasons.is_empty() {
            reasons.extend(self.listed(signer));
        }
        if kept_out.is_none() && self.at_hand.found(Source::Pending, signer).is_some() {
            reasons.push(Reason::Pending { signer: signer.clone() });
        }
        if reasons.is_empty() {
            let authority_trusted = self.authority_trusted(signer);
            reasons.push(Reason::UnknownSigner { signer: signer.clone(), authority_trusted });
        }
        if gaps.is_empty() { Standing::Untrusted(reasons) } else { Standing::Untold(gaps, reasons) }
    }

    /// A key in a ring that does not count, with the rule that keeps it out of one that does.
    fn unused(&self, signer: &SignerId, place: Place, rule: Rule) -> Reason {
        let because = match self.at_hand.found(Source::MokList, signer) {
            Some(certificate) if place == Place::Ring(SystemRing::Platform) => {
                self.kept_from_machine(certificate).ok().flatten().unwrap_or(rule)
            }
            Some(_) | None => rule,
        };
        Reason::EnrolledUnused { signer: signer.clone(), place, because }
    }

    /// A key that a list has and no ring.
    fn listed(&self, signer: &SignerId) -> Option<Reason> {
        let (place, because) = if let Some(own) = self.at_hand.found(Source::MokList, signer) {
            // Where `.platform` counts, what keeps a key from `.machine` does not matter.
            let platform = matches!(self.counts(SystemRing::Platform), Counts::Yes(_));
            let kept = self.kept_from_machine(own).ok().flatten().filter(|_| !platform);
            (Place::MokList, kept)
        } else if self.at_hand.found(Source::Db, signer).is_some() {
            let ignored = self.trust.db_ignored.known() == Some(&Switch::On);
            (Place::Db, ignored.then_some(Rule::DbIgnored))
        } else {
            return None;
        };
        // `load_uefi_certs` ends at once without the firmware's services, (knowledge of
        // the kernel's source), so neither list is read.
        let no_run_time = self.runs() && self.trust.runtime.known() == Some(&RunTime::NoRunTime);
        let because =
            if no_run_time { Rule::NoRunTime } else { because.unwrap_or(Rule::NothingRead) };
        Some(Reason::EnrolledUnused { signer: signer.clone(), place, because })
    }

    /// Whether a ring that counts shows a key that may be the one of the signer's issuer.
    fn authority_trusted(&self, signer: &SignerId) -> bool {
        let shown = |id: &KeyId| {
            LOOKED_IN.into_iter().any(|ring| {
                let held = self.ring(ring).ok().flatten();
                matches!(self.counts(ring), Counts::Yes(_))
                    && held.is_some_and(|held| held.keys.iter().any(|key| key.id == *id))
            })
        };
        self.at_hand.issuer_ids(signer).any(|id| shown(&id))
    }

    /// Whether the signer's certificate is revoked as a whole, which kernels look up at each signature
    /// (`reference/secure-boot-mok.md` section 5). A running kernel shows that; else the lists do, as
    /// far as the kernel was built to read certificates out of them.
    pub(super) fn revoked(&self, signer: &SignerId) -> Against {
        let reason = |list| Reason::Revoked { signer: signer.clone(), list };
        match self.ring(SystemRing::Blacklist) {
            Ok(None) => return Against::Nothing,
            Ok(Some(_)) => {
                return match self.holds(SystemRing::Blacklist, signer) {
                    Told::Yes => Against::Surely(reason(Revoked::Blacklist)),
                    Told::No => Against::Nothing,
                    Told::Not(gap) => Against::Perhaps(gap, reason(Revoked::Blacklist)),
                };
            }
            Err(_) => {}
        }
        let mut perhaps = Against::Nothing;
        for (list, source, part, lists) in self.forbidding() {
            if let Some(gap) = gap_of(lists, part) {
                perhaps = Against::Perhaps(gap, reason(list));
                continue;
            }
            if self.at_hand.found(source, signer).is_some() {
                match self.config().map(|config| config.has(KernelConfig::REVOCATION_LIST)) {
                    Ok(true) => return Against::Surely(reason(list)),
                    Ok(false) => {}
                    Err(gap) => perhaps = Against::Perhaps(gap, reason(list)),
                }
            }
        }
        perhaps
    }

    /// What revokes the signer's certificate by its hash. Kernels look that up when a certificate is
    /// put into a ring, and put none there that is revoked so (`x509_key_preparse`): to a signature
    /// without certificates its key is then an unknown one. What was in a ring before stays.
    pub(super) fn kept_out(&self, signer: &SignerId) -> Option<Revoked> {
        if let Ok(ring) = self.ring(SystemRing::Blacklist) {
            let by_hash = |one: &Certificate| {
                ring.is_some_and(|ring| {
                    ring.blacklisted.iter().any(|hash| match hash {
                        Blacklisted::ToBeSigned(hash) => is_hash(&one.to_be_signed, hash),
                        Blacklisted::Binary(_) => false,
                    })
                })
            };
            return self.at_hand.of_signer(signer).any(by_hash).then_some(Revoked::Blacklist);
        }
        let mut lists = self.forbidding().into_iter();
        lists.find(|(.., lists)| self.hash_listed(lists, signer)).map(|(list, ..)| list)
    }

    /// The list that revokes the signer, whether or not this kernel looks at it.
    pub(super) fn listed_as_revoked(&self, signer: &SignerId) -> Option<Reason> {
        let mut lists = self.forbidding().into_iter().filter(|(_, source, _, lists)| {
            self.at_hand.found(*source, signer).is_some() || self.hash_listed(lists, signer)
        });
        let list = self.kept_out(signer).or_else(|| lists.next().map(|(list, ..)| list))?;
        Some(Reason::Revoked { signer: signer.clone(), list })
    }

    fn forbidding(&self) -> [(Revoked, Source, Part, &Reading<Vec<SignatureList>>); 2] {
        [
            (Revoked::MokListX, Source::MokListX, Part::MokListX, &self.trust.mok_forbidden),
            (Revoked::Dbx, Source::Dbx, Part::Dbx, &self.trust.dbx),
        ]
    }

    fn hash_listed(&self, lists: &Reading<Vec<SignatureList>>, signer: &SignerId) -> bool {
        let entries = lists.known().into_iter().flatten();
        let mut hashes = entries
            .flat_map(|list| list.entries.iter().filter_map(move |entry| list.revoked(entry)))
            .map(|revoked| revoked.to_be_signed);
        hashes
            .any(|hash| self.at_hand.of_signer(signer).any(|one| is_hash(&one.to_be_signed, hash)))
    }

    /// Whether the signer's certificate was made for signing code, and whether anybody looks.
    pub(super) fn purpose(&self, signer: &SignerId) -> Against {
        let Some(certificate) = self.at_hand.of_signer(signer).next() else {
            return Against::Nothing;
        };
        let reason = Reason::NotForCode { signer: signer.clone() };
        let extensions = &certificate.extensions;
        let named = |purposes: &[Oid]| {
            extensions.purposes.as_ref().map(|all| purposes.iter().any(|one| all.contains(one)))
        };
        let signs = extensions.usage.as_ref().map(|all| all.contains(&Usage::DigitalSignature));
        if self.family == Family::Suse && named(&[Oid::CODE_SIGNING]) != Some(true) {
            let gap = Gap::PurposeCheck { kernel: self.kernel.clone() };
            return Against::Perhaps(gap, reason);
        }
        if named(&FOR_CODE) == Some(false) || signs == Some(false) {
            return Against::Surely(reason);
        }
        Against::Nothing
    }
}

fn is_hash(of: &ToBeSigned, hash: &[u8]) -> bool {
    hash == of.sha256 || hash == of.sha384 || hash == of.sha512
}
