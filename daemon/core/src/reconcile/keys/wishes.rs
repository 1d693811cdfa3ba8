//! Wishes of the configuration to have a key enrolled, as a node that was never booted before brings
//! them: each is carried out once, by hand of nobody, and never again, whatever became of it.

use sha2::{Digest as _, Sha256};

use super::super::{LedgerHealth, Reconciler};
use crate::command::Caller;
use crate::config::KeyRequestSettings;
use crate::ledger::Entry;
use crate::refusal::{Refusal, RefusalKind};
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::enrolment::{Enrolment, Fingerprint};
use crate::secure_boot::request::{PasswordHash, crypt};
use crate::time::Now;

/// SHA-256 over the certificate and the password's hash: another password is another wish.
pub(super) type WishId = Fingerprint;

/// What a wish asks for.
struct Wished {
    id: WishId,
    certificate: Vec<u8>,
    hash: PasswordHash,
}

impl Reconciler {
    /// Carries out the first wish that nobody has carried out yet.
    pub(in crate::reconcile) fn carry_out_wishes(&mut self, now: Now) {
        let ready = self.ledger_health == LedgerHealth::Available
            && !self.hands_off()
            && self.keys.order.is_none()
            && self.boot.is_some();
        if !ready {
            return;
        }
        for wish in self.config.settings.secure_boot.requests.clone() {
            let Ok(wished) = self.wished(&wish) else { continue };
            let over = self.ledger.wishes.contains(&wished.id);
            if over || self.keys.tried.contains_key(&wished.id) {
                continue;
            }
            let fingerprint = Certificate::parse(&wished.certificate).map(|one| one.fingerprint);
            let known = self
                .picture
                .secure_boot
                .keys
                .iter()
                .find(|key| key.fingerprint.map(|one| one.0) == fingerprint.ok());
            match known.map(|key| &key.enrolment) {
                Some(Ok(
                    Enrolment::Enrolled { .. }
                    | Enrolment::EnrolledNotLoaded
                    | Enrolment::Pending { .. }
                    | Enrolment::Incomplete
                    | Enrolment::Overlooked { .. }
                    | Enrolment::Blocked { .. },
                )) => {
                    self.record(vec![Entry::KeyWished { wish: wished.id, done: true }], None);
                    continue;
                }
                Some(
                    Ok(
                        Enrolment::Lost { .. }
                        | Enrolment::Withdrawn { .. }
                        | Enrolment::NotAsked
                        | Enrolment::Unknown { .. },
                    )
                    | Err(_),
                )
                | None => {}
            }
            let system = Caller { uid: 0, process: None, bus_name: None, privileged: true };
            let asked = (wished.certificate.as_slice(), &wished.hash);
            let result = self.import_key(now, None, &system, asked, wish.despite_sealed_disks);
            let begun = result.is_ok();
            self.keys.tried.insert(wished.id, result.err());
            if begun {
                return;
            }
        }
    }

    /// Notes that what was asked for by the configuration was written: it is never asked for again.
    pub(super) fn settle_wishes(&mut self, asked: &Fingerprint) {
        let requests = &self.config.settings.secure_boot.requests;
        let of_it = requests.iter().filter_map(|wish| self.wished(wish).ok()).filter(|wished| {
            Certificate::parse(&wished.certificate).is_ok_and(|one| one.fingerprint == asked.0)
        });
        let entries: Vec<_> = of_it
            .filter(|wished| self.keys.tried.contains_key(&wished.id))
            .map(|wished| Entry::KeyWished { wish: wished.id, done: true })
            .collect();
        if !entries.is_empty() {
            self.record(entries, None);
        }
    }

    /// Forgets what is wished for no more: in the configuration once more, it is a new wish.
    pub(in crate::reconcile) fn forget_wishes(&mut self) {
        self.keys.tried.clear();
        let requests = &self.config.settings.secure_boot.requests;
        let read: Vec<_> = requests.iter().map(|wish| self.wished(wish)).collect();
        // A file that cannot be read now may be the one.
        if read.iter().any(Result::is_err) {
            return;
        }
        let gone = |id: &&WishId| !read.iter().flatten().any(|wished| wished.id == **id);
        let gone: Vec<_> = self.ledger.wishes.iter().filter(gone).copied().collect();
        let entries: Vec<_> =
            gone.into_iter().map(|wish| Entry::KeyWished { wish, done: false }).collect();
        if !entries.is_empty() {
            self.record(entries, None);
        }
    }

    /// Why the key that a wish names was not asked for; none where it was, or will be.
    pub(super) fn unmet(&self, path: &str) -> Option<Refusal> {
        let requests = &self.config.settings.secure_boot.requests;
        let wish = requests.iter().find(|wish| wish.certificate == path)?;
        match self.wished(wish) {
            Ok(wished) => self.keys.tried.get(&wished.id)?.clone(),
            Err(refusal) => Some(refusal),
        }
    }

    fn wished(&self, wish: &KeyRequestSettings) -> Result<Wished, Refusal> {
        let refuse = |why: String, fix: &str| {
            Refusal::new(RefusalKind::InvalidArgument, super::NOT_ASKED, why, fix)
        };
        let file = |path: &str| match self.config.files.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(why)) => Err(refuse(format!("{path}: {why}"), "put it right, and reload")),
            None => Err(refuse(format!("{path} is not there"), "put it there, and reload")),
        };
        let certificate = Certificate::der(file(&wish.certificate)?).map_err(|damaged| {
            let why = format!("{}: it is no certificate: {damaged}", wish.certificate);
            refuse(why, "put the certificate there, DER or PEM, and reload")
        })?;
        let text = String::from_utf8_lossy(file(&wish.password_hash)?);
        let hash = crypt::parse(text.trim()).map_err(|unusable| {
            refuse(format!("{}: {unusable}", wish.password_hash), unusable.fix())
        })?;
        let id = Sha256::new().chain_update(&certificate).chain_update(hash.to_bytes()).finalize();
        Ok(Wished { id: Fingerprint(id.into()), certificate, hash })
    }
}
