//! Asking shim for a key: what has to be written, what stands in the way, what should be known before.
//! `mokutil --import` writes the same bytes; it looks at less.

use super::obstacle::Obstacle;
use super::prompt::PromptTimeout;
use super::warning::{Password, Warning};
use super::write::Write;
use super::{ListChange, Method, PasswordHash, Requests};
use crate::reading::Reading;
use crate::secure_boot::Damaged;
use crate::secure_boot::algorithm::{Digest, KeyKind, SignatureAlgorithm};
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::enrolment::places::{Places, is_of_a_ring};
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::signature::signed_data::{SignedData, Signer, SignerId};
use crate::secure_boot::signature_list::{self, Entry, SignatureList, SignatureType};
use crate::secure_boot::trust::{RunTime, Switch, Trust};
use crate::secure_boot::variable::SHIM_LOCK;
use crate::secure_boot::verdict::gap::{Gap, Part};
use crate::secure_boot::verdict::reason::{Place, Reason};
use crate::secure_boot::verdict::{Outcome, Verdict, verdict};
use crate::time::Timestamp;

/// Shorter RSA keys are refused by policies of distributions (`reference/secure-boot-mok.md` section 9).
const RSA_BITS: usize = 2048;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The certificate, DER.
    pub certificate: &'a [u8],
    /// The hash of the password that will have to be typed.
    pub hash: &'a PasswordHash,
    /// How long shim is to wait for somebody.
    pub prompt: PromptTimeout,
}

/// A request that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Whose.
    pub certificate: Certificate,
    /// What is to be written, in this order. When one fails, the list must not stay: MokNew goes
    /// back to what it was.
    pub writes: Vec<Write>,
    /// What should be known before.
    pub warnings: Vec<Warning>,
}

/// Says what has to be written to have shim ask for this key at the next boot. `today` is for the
/// certificate's dates.
///
/// # Errors
/// Something is in the way, or nothing is left to be done.
pub fn enrol(wish: &Wish<'_>, trust: &Trust, today: Timestamp) -> Result<Prepared, Obstacle> {
    let certificate = one_certificate(wish.certificate)?;
    match wish.hash {
        PasswordHash::Crypt { method: Method::Sha512 | Method::Sha256, .. } => {}
        PasswordHash::Crypt {
            method: Method::Des | Method::ExtendedDes | Method::Md5 | Method::Blowfish,
            ..
        }
        | PasswordHash::Legacy(_)
        | PasswordHash::Cleared => return Err(Obstacle::NotForShim),
    }
    let requests = reachable(trust)?;
    if trust.shim.is_absent() {
        return Err(Obstacle::NoShim);
    }
    let mut warnings = not_in_the_way(&certificate, wish.certificate, trust)?;
    let pending = pending(requests)?;

    let mut list = signature_list::write::certificate(SHIM_LOCK, wish.certificate)
        .map_err(Obstacle::NotACertificate)?;
    list.extend(pending.bytes);
    if let Some(why) = trust.shim.why_not() {
        warnings.push(Warning::ShimUntold { why: why.to_owned() });
    }
    warnings.extend(of_its_own(&certificate, today));
    warnings.extend(of_others(&pending, wish, requests));
    let data = |name: &str, data| Write { name: name.to_owned(), data: Some(data) };
    let writes = vec![
        wish.prompt.write(),
        data(ListChange::Enrol.list_name(), list),
        data(ListChange::Enrol.auth_name(), wish.hash.to_bytes()),
    ];
    Ok(Prepared { certificate, writes, warnings })
}

fn one_certificate(der: &[u8]) -> Result<Certificate, Obstacle> {
    let certificate = Certificate::at_start(der).map_err(Obstacle::NotACertificate)?;
    let (offset, expected) = (certificate.der_bytes, "the end, after one certificate");
    if offset == der.len() {
        Ok(certificate)
    } else {
        Err(Obstacle::NotACertificate(Damaged { offset, expected }))
    }
}

/// That what shim is asked for can be written, and what that is now. Where it cannot be told whether it
/// can be written, a write that fails says so.
pub(super) fn reachable(trust: &Trust) -> Result<&Requests, Obstacle> {
    static NONE: Requests = Requests::NONE;
    match &trust.secure_boot {
        Reading::Known(_) => {}
        Reading::Absent => return Err(Obstacle::NoSecureBoot),
        Reading::Unreadable(why) => {
            return Err(Obstacle::Unread(Gap::Unread { part: Part::SecureBoot, why: why.clone() }));
        }
    }
    match &trust.runtime {
        Reading::Known(RunTime::ReadOnly) => return Err(Obstacle::ReadOnly),
        Reading::Known(RunTime::NoRunTime) => return Err(Obstacle::NoRunTime),
        Reading::Known(RunTime::Writable) | Reading::Absent | Reading::Unreadable(_) => {}
    }
    match &trust.requests {
        Reading::Known(requests) => Ok(requests),
        Reading::Absent => Ok(&NONE),
        Reading::Unreadable(why) => Err(Obstacle::RequestsUnread { why: why.clone() }),
    }
}

/// That nothing trusts or refuses the key already, and what a kernel would make of it once shim has it.
fn not_in_the_way(
    certificate: &Certificate,
    der: &[u8],
    trust: &Trust,
) -> Result<Vec<Warning>, Obstacle> {
    let places = Places::of(certificate, trust);
    if !places.revoked.is_empty() {
        return Err(Obstacle::Blocked { lists: places.revoked });
    }
    let trust = &at_hand(certificate, trust);
    let now = judged(certificate, trust);
    let holds = |place| places.held.contains(&place);
    if holds(Place::MokList) {
        let reasons = now.iter().flat_map(reasons);
        let mut unused = reasons.filter(|one| matches!(one, Reason::EnrolledUnused { .. }));
        return Err(Obstacle::Enrolled { unused: unused.next().cloned() });
    }
    for ring in [SystemRing::Builtin, SystemRing::Secondary] {
        if holds(Place::Ring(ring)) {
            return Err(Obstacle::Trusted { ring });
        }
    }
    let booted = booted(trust);
    let after = judged(certificate, &enrolled(der, &booted));
    let accepted = |verdict: &Option<Verdict>| match verdict.as_ref().map(|one| &one.outcome) {
        Some(Outcome::Accepted { ring, .. }) => Some(*ring),
        Some(Outcome::Refused { .. } | Outcome::Tainted { .. } | Outcome::Unknown { .. })
        | None => None,
    };
    // Some kernels do not use db for modules, and take the same key from shim.
    let without_shim = judged(certificate, &booted);
    if holds(Place::Db) && (accepted(&without_shim).is_some() || accepted(&after).is_none()) {
        return Err(Obstacle::InDb);
    }
    if let Some(ring) = accepted(&now) {
        return Err(Obstacle::Trusted { ring });
    }
    if places.pending {
        return Err(Obstacle::Pending);
    }
    if let Some(why) = trust.mok.why_not() {
        let why = why.to_owned();
        return Err(Obstacle::Unread(Gap::Unread { part: Part::MokList, why }));
    }
    let lists = |gap: &Gap| matches!(gap, Gap::Unread { part: Part::Dbx | Part::MokListX, .. });
    let unread = places.unread.into_iter().filter(lists).map(Warning::Untold);
    Ok(unread.chain(of_use(after.as_ref(), trust)).collect())
}

/// The same machine with the certificate at hand.
fn at_hand(certificate: &Certificate, trust: &Trust) -> Trust {
    let mut known = trust.clone();
    known.named.insert(String::new(), Reading::Known(certificate.clone()));
    known
}

/// The same machine after a boot: where keys of firmware and shim went is told from the lists.
fn booted(trust: &Trust) -> Trust {
    let mut after = trust.clone();
    after.rings.remove(&SystemRing::Machine);
    after.rings.remove(&SystemRing::Platform);
    after
}

/// And with this key in shim's list.
fn enrolled(der: &[u8], trust: &Trust) -> Trust {
    let entry = Entry { owner: SHIM_LOCK, data: der.to_vec(), offset: 0 };
    let mut lists = vec![SignatureList { kind: SignatureType::X509, entries: vec![entry] }];
    lists.extend(trust.mok.known().into_iter().flatten().cloned());
    Trust { mok: Reading::Known(lists), ..trust.clone() }
}

/// What the kernel that runs would say to a module signed by this key; none where it is not known which
/// one runs.
fn judged(certificate: &Certificate, trust: &Trust) -> Option<Verdict> {
    let by =
        SignerId::Issued { issuer: certificate.issuer.clone(), serial: certificate.serial.clone() };
    let (digest, algorithm) = (Digest::Sha256, algorithm(&certificate.key));
    let signer = Signer { by, digest, algorithm, attributes_signed: false, signature_bytes: 0 };
    let signed_data =
        SignedData { content_inside: false, certificates_bytes: 0, signers: vec![signer] };
    trust.kernel.known().map(|kernel| verdict(Ok(Some(&signed_data)), trust, kernel))
}

/// How a key signs modules.
fn algorithm(key: &KeyKind) -> SignatureAlgorithm {
    match key {
        KeyKind::Rsa => SignatureAlgorithm::Rsa(None),
        KeyKind::RsaPss => SignatureAlgorithm::RsaPss,
        KeyKind::P192 | KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::OtherCurve => {
            SignatureAlgorithm::Ecdsa(Digest::Sha256)
        }
        KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
        KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => {
            SignatureAlgorithm::MlDsa(key.clone())
        }
        KeyKind::Other(oid) => SignatureAlgorithm::Other(oid.clone()),
    }
}

/// What speaks against the signer, surely or perhaps.
fn reasons(verdict: &Verdict) -> &[Reason] {
    match &verdict.outcome {
        Outcome::Accepted { .. } => &[],
        Outcome::Refused { why } | Outcome::Tainted { why } => why,
        Outcome::Unknown { against, .. } => against,
    }
}

/// What keeps that from being told.
fn gaps(verdict: &Verdict) -> impl Iterator<Item = &Gap> {
    let gaps: &[Gap] = match &verdict.outcome {
        Outcome::Accepted { .. } | Outcome::Refused { .. } | Outcome::Tainted { .. } => &[],
        Outcome::Unknown { why, .. } => why,
    };
    gaps.iter()
}

fn of_use(after: Option<&Verdict>, trust: &Trust) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(after) = after {
        let gaps: Vec<_> = gaps(after).filter(|gap| !is_of_a_ring(gap)).collect();
        if gaps.is_empty() {
            warnings.extend(reasons(after).iter().cloned().map(Warning::Use));
        }
        warnings.extend(gaps.into_iter().cloned().map(Warning::Untold));
        warnings.extend(after.remarks.iter().cloned().map(Warning::Use));
    } else {
        let why = "which kernel runs is not known".to_owned();
        let gap = Gap::Unread { part: Part::Ring(SystemRing::Machine), why };
        warnings.push(Warning::Untold(gap));
    }
    if trust.effective() == Reading::Known(Switch::Off) && taken_anyway(trust) {
        warnings.push(Warning::NothingEnforced);
    }
    warnings
}

/// Whether the kernel takes a module that is not signed.
fn taken_anyway(trust: &Trust) -> bool {
    let unsigned = trust.kernel.known().map(|kernel| verdict(Ok(None), trust, kernel));
    unsigned.is_some_and(|one| matches!(one.outcome, Outcome::Tainted { .. }))
}

fn of_its_own(certificate: &Certificate, today: Timestamp) -> Vec<Warning> {
    let today_secs = i64::try_from(today.0 / 1000).unwrap_or(i64::MAX);
    let over = certificate.not_after.unix_secs() < today_secs;
    let early = certificate.not_before.unix_secs() > today_secs;
    let bits = certificate.key_bits.filter(|bits| *bits < RSA_BITS);
    let dates = [
        over.then_some(Warning::Expired(certificate.not_after)),
        early.then_some(Warning::NotYet(certificate.not_before)),
    ];
    dates.into_iter().flatten().chain(bits.map(|bits| Warning::WeakKey { bits })).collect()
}

/// What is asked for already.
struct Others<'a> {
    bytes: &'a [u8],
    lists: &'a [SignatureList],
    auth: Option<&'a PasswordHash>,
}

fn pending(requests: &Requests) -> Result<Others<'_>, Obstacle> {
    let bytes = requests.new_list.as_deref().unwrap_or_default();
    let Some(asked) = requests.lists.get(&ListChange::Enrol) else {
        return Ok(Others { bytes, lists: &[], auth: None });
    };
    let auth = asked.auth.as_ref().and_then(|auth| auth.as_ref().ok());
    match &asked.list {
        None => Err(Obstacle::ResetPending),
        Some(Err(damaged)) => Err(Obstacle::PendingDamaged(*damaged)),
        // Lists without the bytes they were read from could not be written back.
        Some(Ok(lists)) if bytes.is_empty() && !lists.is_empty() => {
            Err(Obstacle::RequestsUnread { why: "its bytes were not kept".to_owned() })
        }
        Some(Ok(lists)) => Ok(Others { bytes, lists, auth }),
    }
}

fn of_others(pending: &Others<'_>, wish: &Wish<'_>, requests: &Requests) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !pending.lists.is_empty() {
        let same = pending.auth == Some(wish.hash);
        let password = if same { Password::Same } else { Password::Replaced };
        warnings.push(Warning::Joins { others: names(pending.lists), password });
    }
    let was = requests.timeout_secs.as_ref().and_then(|secs| secs.as_ref().ok());
    let other = was.filter(|secs| requests.any() && **secs != wish.prompt.secs());
    warnings.extend(other.map(|secs| Warning::TimeReplaced { was_secs: *secs }));
    warnings
}

/// What the certificates in lists are called.
pub(super) fn names(lists: &[SignatureList]) -> Vec<String> {
    let certificates = lists.iter().filter(|list| list.kind == SignatureType::X509);
    let entries = certificates.flat_map(|list| &list.entries);
    entries
        .map(|entry| match entry.certificate() {
            Ok(certificate) => certificate.subject.to_string(),
            Err(_) => "a certificate that does not read".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
