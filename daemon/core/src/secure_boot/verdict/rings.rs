//! Which rings of a kernel count for modules, and whether one holds a signer's key.

use super::at_hand::{AtHand, Source};
use super::gap::{Gap, Part};
use super::rule::{Family, Rule};
use crate::names::KernelRelease;
use crate::reading::Reading;
use crate::secure_boot::certificate::{Certificate, Usage};
use crate::secure_boot::kernel::config::KernelConfig;
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::signature::signed_data::SignerId;
use crate::secure_boot::trust::{Ring, RingKey, Switch, Trust};

/// One kernel and what is known of it.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) trust: &'a Trust,
    pub(super) kernel: &'a KernelRelease,
    pub(super) family: Family,
    pub(super) at_hand: &'a AtHand,
}

/// Whether something is so, or what keeps that from being told.
#[derive(Debug)]
pub(super) enum Told {
    Yes,
    No,
    Not(Gap),
}

/// Whether a ring counts, by which rule.
#[derive(Debug)]
pub(super) enum Counts {
    Yes(Rule),
    No(Rule),
    Untold(Gap),
}

impl<'a> Case<'a> {
    pub(super) fn new(trust: &'a Trust, kernel: &'a KernelRelease, at_hand: &'a AtHand) -> Self {
        Self { trust, kernel, family: Family::of(kernel), at_hand }
    }

    /// Whether the kernel is the one that runs; only then its rings and switches can be seen.
    pub(super) fn runs(&self) -> bool {
        self.trust.kernel.known() == Some(self.kernel)
    }

    /// The gap of what only a running kernel shows.
    pub(super) fn only_running(&self, part: Part) -> Gap {
        match &self.trust.kernel {
            Reading::Known(_) => Gap::NotRunning { part, kernel: self.kernel.clone() },
            Reading::Absent | Reading::Unreadable(_) => {
                Gap::Unread { part, why: "which kernel runs is not known".to_owned() }
            }
        }
    }

    /// How the kernel was built.
    pub(super) fn config(&self) -> Result<&KernelConfig, Gap> {
        let part = Part::Config(self.kernel.clone());
        unread(self.trust.config(self.kernel), part)
    }

    /// One ring of this kernel; none where it does not have it.
    pub(super) fn ring(&self, ring: SystemRing) -> Result<Option<&Ring>, Gap> {
        let part = Part::Ring(ring);
        if !self.runs() {
            return Err(self.only_running(part));
        }
        match self.trust.ring(ring) {
            Reading::Known(ring) => Ok(Some(ring)),
            Reading::Absent => Ok(None),
            Reading::Unreadable(why) => Err(Gap::Unread { part, why }),
        }
    }

    /// Whether what a ring holds is trusted for modules.
    pub(super) fn counts(&self, ring: SystemRing) -> Counts {
        match ring {
            SystemRing::Builtin => Counts::Yes(Rule::Builtin),
            SystemRing::Secondary => Counts::Yes(Rule::Secondary),
            SystemRing::Machine => self.machine_counts(),
            SystemRing::Platform => match self.family {
                Family::RedHat | Family::Debian | Family::Ubuntu | Family::Suse => {
                    Counts::Yes(Rule::Platform(self.family))
                }
                Family::Upstream => Counts::No(Rule::PlatformUnused),
                Family::Unclear => {
                    Counts::Untold(Gap::PlatformPatch { kernel: self.kernel.clone() })
                }
            },
            SystemRing::Blacklist => Counts::No(Rule::Always),
        }
    }

    /// A running kernel shows what hangs on `.secondary_trusted_keys`; else its configuration tells.
    fn machine_counts(&self) -> Counts {
        let hangs = match self.ring(SystemRing::Secondary) {
            Ok(Some(ring)) => ring.rings.contains(&SystemRing::Machine),
            Ok(None) => false,
            Err(_) => match self.config() {
                Ok(config) => {
                    config.has(KernelConfig::MACHINE_KEYRING)
                        && config.has(KernelConfig::SECONDARY_KEYRING)
                }
                Err(gap) => return Counts::Untold(gap),
            },
        };
        if hangs { Counts::Yes(Rule::Machine) } else { Counts::No(Rule::NoMachine) }
    }

    /// Whether a ring holds the signer's key.
    pub(super) fn holds(&self, kind: SystemRing, signer: &SignerId) -> Told {
        match (self.ring(kind), kind) {
            (Ok(None), _) => Told::No,
            (Ok(Some(ring)), _) => self.shown(kind, ring, signer),
            (Err(_), SystemRing::Machine) => self.in_machine(signer),
            (Err(_), SystemRing::Platform) => self.in_platform(signer),
            (Err(gap), SystemRing::Secondary) => match self.config() {
                Ok(config) if !config.has(KernelConfig::SECONDARY_KEYRING) => Told::No,
                Ok(_) | Err(_) => Told::Not(gap),
            },
            (Err(gap), SystemRing::Builtin | SystemRing::Blacklist) => Told::Not(gap),
        }
    }

    /// A ring shows ids of keys. A signature names an id, or the certificate.
    fn shown(&self, kind: SystemRing, ring: &Ring, signer: &SignerId) -> Told {
        let sources: &[Source] = match kind {
            SystemRing::Builtin | SystemRing::Secondary => &[Source::Given],
            SystemRing::Machine => &[Source::MokList],
            SystemRing::Platform => &[Source::MokList, Source::Db],
            SystemRing::Blacklist => &[Source::MokListX, Source::Dbx],
        };
        let mut gap =
            (ring.unread > 0).then_some(Gap::Undescribed { ring: kind, count: ring.unread });
        let known = self.at_hand.of_signer(signer).next().is_some();
        let mut unidentified = false;
        for key in &ring.keys {
            if *signer == SignerId::Key(key.id.clone()) {
                return Told::Yes;
            }
            let behind = self.at_hand.behind(key, sources);
            let signers = behind.iter().filter(|one| signer.means(one)).count();
            if signers > 0 && signers == behind.len() {
                return Told::Yes;
            }
            if signers > 0 {
                gap = Some(Gap::SameKey { signer: signer.clone(), ring: kind });
            }
            unidentified |= behind.is_empty();
        }
        let SignerId::Issued { issuer, .. } = signer else {
            return gap.map_or(Told::No, Told::Not);
        };
        let issued_by =
            |key: &RingKey| issuer.common_name().is_none_or(|name| key.name.ends_with(name));
        // Keys are compiled in whose certificates are nowhere: a signature may be by one of those
        // only if its issuer's name shows up in the ring, as its own or as that of its authority.
        let may_be = unidentified
            && !known
            && (kind != SystemRing::Builtin || ring.keys.iter().any(issued_by));
        let missing = || Gap::CertificateMissing { signer: signer.clone(), ring: kind };
        gap.or_else(|| may_be.then(missing)).map_or(Told::No, Told::Not)
    }

    /// Where shim's keys go (`reference/secure-boot-mok.md` section 5), told from the lists.
    fn in_machine(&self, signer: &SignerId) -> Told {
        if let Some(gap) = gap_of(&self.trust.mok, Part::MokList) {
            return Told::Not(gap);
        }
        let Some(certificate) = self.at_hand.found(Source::MokList, signer) else {
            return Told::No;
        };
        if self.kept_out(signer).is_some() {
            return Told::No;
        }
        match self.kept_from_machine(certificate) {
            Ok(None) => Told::Yes,
            Ok(Some(_)) => Told::No,
            Err(gap) => Told::Not(gap),
        }
    }

    /// The rule by which one of shim's keys does not get into `.machine`.
    pub(super) fn kept_from_machine(&self, of: &Certificate) -> Result<Option<Rule>, Gap> {
        let config = self.config()?;
        if !config.has(KernelConfig::MACHINE_KEYRING) || !reads_keys(config) {
            return Ok(Some(Rule::NoMachine));
        }
        match &self.trust.mok_trusted {
            Reading::Known(()) => {}
            Reading::Absent => return Ok(Some(Rule::MokUntrusted)),
            Reading::Unreadable(why) => {
                return Err(Gap::Unread { part: Part::MokTrusted, why: why.clone() });
            }
        }
        let may = |usage| of.extensions.usage.as_ref().is_some_and(|all| all.contains(&usage));
        let authority = of.extensions.basic_constraints.is_some_and(|one| one.authority)
            && may(Usage::KeyCertSign);
        let only_that = authority && !may(Usage::DigitalSignature);
        Ok(if config.has(KernelConfig::CA_MACHINE_KEYRING_MAX) && !only_that {
            Some(Rule::PureAuthorities)
        } else if config.has(KernelConfig::CA_MACHINE_KEYRING) && !authority {
            Some(Rule::Authorities)
        } else {
            None
        })
    }

    /// The firmware's keys, and shim's that do not get into `.machine`.
    fn in_platform(&self, signer: &SignerId) -> Told {
        let there = match self.config() {
            Ok(config) => config.has(KernelConfig::PLATFORM_KEYRING) && reads_keys(config),
            Err(gap) => return Told::Not(gap),
        };
        if !there || self.kept_out(signer).is_some() {
            return Told::No;
        }
        let db_ignored = self.trust.db_ignored.known() == Some(&Switch::On);
        let mut gap = gap_of(&self.trust.db, Part::Db).filter(|_| !db_ignored);
        if self.at_hand.found(Source::Db, signer).is_some() && !db_ignored {
            gap = gap_of(&self.trust.db_ignored, Part::DbIgnored);
            if gap.is_none() {
                return Told::Yes;
            }
        }
        match (self.at_hand.found(Source::MokList, signer), self.in_machine(signer)) {
            (Some(_), Told::No) => Told::Yes,
            (_, Told::Not(gap)) => Told::Not(gap),
            (None, Told::No) | (_, Told::Yes) => gap.map_or(Told::No, Told::Not),
        }
    }
}

/// Whether keys of firmware and shim are read at all.
fn reads_keys(config: &KernelConfig) -> bool {
    config.has(KernelConfig::LOAD_UEFI_KEYS)
}

/// The gap in a reading; what is absent is none.
pub(super) fn gap_of<T>(reading: &Reading<T>, part: Part) -> Option<Gap> {
    reading.why_not().map(|why| Gap::Unread { part, why: why.to_owned() })
}

/// A value that has to be there.
fn unread<T>(reading: Reading<&T>, part: Part) -> Result<&T, Gap> {
    match reading {
        Reading::Known(value) => Ok(value),
        Reading::Absent => Err(Gap::Unread { part, why: "it is not there".to_owned() }),
        Reading::Unreadable(why) => Err(Gap::Unread { part, why }),
    }
}
