//! Wishes of the configuration to have a key enrolled, as a node that was never booted before brings
//! them: each is carried out once, and never again, whatever became of it. Nobody is there to be asked,
//! so what an order is only warned of is refused here.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::super::{LedgerHealth, Reconciler};
use super::KeyImport;
use crate::command::Caller;
use crate::config::KeyRequestSettings;
use crate::inventory::Snapshot;
use crate::ledger::Entry;
use crate::refusal::{Refusal, RefusalKind};
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::enrolment::{Enrolment, Fingerprint};
use crate::secure_boot::picture::KeyPicture;
use crate::secure_boot::request::{ListChange, PasswordHash, crypt};
use crate::time::Now;

/// SHA-256 over the certificate and the password's hash: another password is another wish.
pub(super) type WishId = Fingerprint;

/// What is to be done about a wish.
enum Outcome {
    /// Nothing, ever again.
    Over,
    /// Nothing now.
    Refused(Refusal),
    /// It is to be carried out.
    Open,
}

/// What a wish asks for.
struct Wished {
    id: WishId,
    certificate: Vec<u8>,
    hash: PasswordHash,
}

/// What came of a wish in this run.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// Why nothing did; none: something did, or is under way.
    refusal: Option<Refusal>,
    /// Whether it got so far as to be written: that is not tried twice in a run.
    begun: bool,
}

impl Reconciler {
    /// Carries out the first wish that nobody has carried out yet.
    pub(super) fn carry_out_wishes(&mut self, now: Now, snapshot: &Snapshot) {
        let ready = self.ledger_health == LedgerHealth::Available
            && !self.hands_off()
            && self.ledger.hold.is_none()
            && !self.ledger.stopped
            && self.keys.order.is_none()
            && self.keys.waiting.is_none()
            && self.boot.is_some();
        if !ready {
            return;
        }
        // What was in the way may have passed.
        let former = self.keys.tried_by.replace(snapshot.trust.clone());
        if !former.is_some_and(|former| Arc::ptr_eq(&former, &snapshot.trust)) {
            self.keys.tried.retain(|_, tried| tried.begun);
        }
        for wish in self.config.settings.secure_boot.requests.clone() {
            let Ok(wished) = self.wished(&wish) else { continue };
            let import = KeyImport {
                certificate: wished.certificate,
                hash: wished.hash,
                despite_sealed: wish.despite_sealed_disks,
            };
            let state = self.state_of(&import);
            // A kill may have come between the ledger and the firmware.
            let unwritten = matches!(state, Some(Enrolment::Unwritten { .. }));
            let over = self.ledger.wishes.contains(&wished.id) && !unwritten;
            if over || self.keys.tried.contains_key(&wished.id) {
                continue;
            }
            match self.outcome(snapshot, &import, state.as_ref()) {
                Outcome::Over => {
                    self.record(vec![Entry::KeyWished { wish: wished.id, done: true }], None);
                }
                Outcome::Refused(refusal) => self.settle_wish(Some(wished.id), Some(refusal)),
                Outcome::Open => {
                    let system = Caller { uid: 0, process: None, bus_name: None, privileged: true };
                    let by = (None, system, Some(wished.id));
                    let refusal = self.import_key(now, snapshot, by, &import).err();
                    let begun = refusal.is_none();
                    self.keys.tried.insert(wished.id, Tried { refusal, begun });
                    if begun {
                        return;
                    }
                }
            }
        }
    }

    fn state_of(&self, import: &KeyImport) -> Option<Enrolment> {
        let fingerprint = Certificate::parse(&import.certificate).ok()?.fingerprint;
        let is = |key: &&KeyPicture| key.fingerprint == Some(Fingerprint(fingerprint));
        self.picture.secure_boot.keys.iter().find(is)?.enrolment.clone().ok()
    }

    /// What becomes of a wish, by how far its key has come.
    fn outcome(
        &self,
        snapshot: &Snapshot,
        import: &KeyImport,
        state: Option<&Enrolment>,
    ) -> Outcome {
        match state {
            Some(
                Enrolment::Enrolled { .. }
                | Enrolment::EnrolledNotLoaded
                | Enrolment::Overlooked { .. }
                | Enrolment::Blocked { .. },
            ) => Outcome::Over,
            Some(Enrolment::Pending { .. }) => {
                let requests = snapshot.trust.requests.known();
                let asked = requests.and_then(|all| all.lists.get(&ListChange::Enrol));
                let auth = asked.and_then(|asked| asked.auth.as_ref()?.as_ref().ok());
                if auth == Some(&import.hash) {
                    return Outcome::Over;
                }
                let why = "it is asked for already, with another password";
                let fix = "`onloadctl keys revoke-request`, then `systemctl reload onloadd`; or let the next boot ask with the one there is";
                let kind = RefusalKind::Blocked;
                Outcome::Refused(Refusal::new(kind, super::NOT_ASKED, why, fix))
            }
            Some(
                Enrolment::Incomplete
                | Enrolment::Lost { .. }
                | Enrolment::Withdrawn { .. }
                | Enrolment::Unwritten { .. }
                | Enrolment::NotAsked
                | Enrolment::Unknown { .. },
            )
            | None => Outcome::Open,
        }
    }

    /// Notes why nothing came of a wish.
    pub(super) fn settle_wish(&mut self, wish: Option<WishId>, refusal: Option<Refusal>) {
        if let Some(wish) = wish {
            let begun = self.keys.tried.get(&wish).is_some_and(|tried| tried.begun);
            self.keys.tried.insert(wish, Tried { refusal, begun });
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
            Ok(wished) => self.keys.tried.get(&wished.id)?.refusal.clone(),
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
