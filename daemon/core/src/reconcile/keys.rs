//! Keys that shim is asked for: orders, what the ledger remembers of them, and what a look shows.
//!
//! Shim deletes a request before it asks a person (`reference/secure-boot-mok.md` section 4), so that
//! it was asked is remembered before anything is written. Nothing is ever asked for without an order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Effect, Pending, Reconciler};
use crate::command::{Caller, Reply, RequestId};
use crate::inventory::Snapshot;
use crate::job::{JobKind, JobState};
use crate::ledger::Entry;
use crate::names::JobId;
use crate::refusal::{Refusal, RefusalKind};
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::enrolment::{Asked, Enrolment, Fingerprint};
use crate::secure_boot::picture::KeyPicture;
use crate::secure_boot::request::enrol::{self, Firmware, Variables, Wish};
use crate::secure_boot::request::prompt::PromptTimeout;
use crate::secure_boot::request::withdraw::{self, Scope, Withdrawal};
use crate::secure_boot::request::write::Write;
use crate::secure_boot::request::{ListChange, PasswordHash, Requests};
use crate::secure_boot::trust::{RunTime, Trust};
use crate::time::Now;

mod shown;
mod wishes;

use wishes::WishId;

/// What did not happen.
const NOT_ASKED: &str = "shim is not asked to enrol the key";

/// What is known of keys beside the ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// Trust as the host gave it, and with the certificates that the configuration names.
    trust: Option<(Arc<Trust>, Arc<Trust>)>,
    /// The order under way.
    order: Option<KeyOrder>,
    /// Wishes of the configuration that this run has tried, and why nothing came of them.
    tried: BTreeMap<WishId, Option<Refusal>>,
}

/// An order that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyOrder {
    job: JobId,
    wish: KeyWish,
    /// What else is to be said when it is done.
    notes: Vec<String>,
    /// What the ledger held before.
    undo: Vec<Entry>,
    progress: Written,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// Not yet.
    No,
    /// A look under way began before.
    Before,
    /// The next look counts.
    Done,
}

/// What shall be seen in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyWish {
    /// It is asked for.
    Asked(Fingerprint),
    /// These are not asked for any more.
    Withdrawn(Vec<Fingerprint>),
}

/// What is to be written, when the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRequest {
    /// Who waits for an answer; nobody for a wish of the configuration.
    request: Option<RequestId>,
    job: JobId,
    writes: Vec<Write>,
}

impl Reconciler {
    /// Has shim ask for a key at the next boot.
    pub(super) fn import_key(
        &mut self,
        now: Now,
        request: Option<RequestId>,
        caller: &Caller,
        wish: (&[u8], &PasswordHash),
        despite_sealed: bool,
    ) -> Result<(), Refusal> {
        let snapshot = self.must_order_keys(NOT_ASKED)?;
        let sealed = self.picture.secure_boot.sealed.known().filter(|_| !despite_sealed);
        if let Some(sealed) = sealed
            && let Some(first) = sealed.values().next()
        {
            let all: Vec<_> = sealed.values().map(|words| words.what.as_str()).collect();
            let fix = format!("{}; then say so (despite-sealed-disks)", first.fix);
            return Err(Refusal::new(RefusalKind::Blocked, NOT_ASKED, all.join("; "), fix));
        }
        let Some(boot) = self.boot.clone() else {
            let why = "this boot cannot be told from the next (boot_id)";
            let fix = "see whether the daemon may read /proc/sys/kernel/random/boot_id";
            return Err(Refusal::new(RefusalKind::Internal, NOT_ASKED, why, fix));
        };
        let secs = i64::from(self.config.settings.secure_boot.prompt_secs());
        let prompt = PromptTimeout::new(secs).unwrap_or_default();
        let wish = Wish { certificate: wish.0, hash: wish.1, prompt };
        let prepared = enrol::enrol(&wish, &snapshot.trust, &firmware(&snapshot.trust), now.wall)
            .map_err(|obstacle| {
            Refusal::new(obstacle.kind(), obstacle.what(), obstacle.why(), obstacle.fix())
        })?;
        let asked = Asked::for_key(&prepared.certificate, now.wall, boot);
        let fingerprint = asked.fingerprint;
        let former = self.ledger.asked.get(&fingerprint).cloned().map(Entry::KeyAsked);
        let undo = vec![former.unwrap_or(Entry::KeyForgotten { fingerprint })];
        let notes = prepared.warnings.iter().map(|one| match one.fix() {
            Some(fix) => format!("{}: {fix}", one.sentence()),
            None => one.sentence(),
        });
        let (notes, wish) = (notes.collect(), KeyWish::Asked(fingerprint));
        let job = self.new_job(now, caller, JobKind::ImportKey);
        self.keys.order = Some(KeyOrder { job, wish, notes, undo, progress: Written::No });
        let pending = Pending::Keys(KeyRequest { request, job, writes: prepared.writes });
        self.record(vec![Entry::KeyAsked(asked)], Some(pending));
        self.publish_soon(now.boot);
        Ok(())
    }

    /// Takes back what shim was asked for: what the ledger remembers, or all that anybody asked for.
    pub(super) fn revoke_request(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        all: bool,
    ) -> Result<(), Refusal> {
        const WHAT: &str = "nothing that shim is asked for is taken back";
        let snapshot = self.must_order_keys(WHAT)?;
        let trust = &snapshot.trust;
        let remembered: Vec<_> = self.ledger.asked.keys().copied().collect();
        let keys: Vec<_> = pending(trust)
            .filter(|one| all || self.ledger.asked.contains_key(&Fingerprint(one.fingerprint)))
            .collect();
        let scope = if all { Scope::All } else { Scope::Keys(&keys) };
        let withdrawn = withdraw::withdraw(scope, trust, &firmware(trust));
        let undo: Vec<_> = self.ledger.asked.values().cloned().map(Entry::KeyAsked).collect();
        let forget = remembered.iter().map(|one| Entry::KeyForgotten { fingerprint: *one });
        let entries: Vec<_> = forget.collect();
        let withdrawal = match withdrawn {
            Ok(withdrawal) => withdrawal,
            // What was missed or refused is not asked for any more; that it was is forgotten.
            Err(withdraw::Kept::NotPending) if !entries.is_empty() => Withdrawal::default(),
            Err(kept) => {
                let kind = kept.kind();
                return Err(Refusal::new(kind, kept.what(), kept.why(), kept.fix()));
            }
        };
        let notes = if withdrawal.left.is_empty() {
            Vec::new()
        } else {
            vec![format!("still asked for: {}", withdrawal.left.join(", "))]
        };
        let job = self.new_job(now, caller, JobKind::RevokeRequest);
        let fingerprints = keys.iter().map(|one| Fingerprint(one.fingerprint)).collect();
        let wish = KeyWish::Withdrawn(fingerprints);
        self.keys.order = Some(KeyOrder { job, wish, notes, undo, progress: Written::No });
        let (request, writes) = (Some(request), withdrawal.writes);
        let pending = Pending::Keys(KeyRequest { request, job, writes });
        self.record(entries, Some(pending));
        self.publish_soon(now.boot);
        Ok(())
    }

    fn must_order_keys(&mut self, what: &str) -> Result<Arc<Snapshot>, Refusal> {
        self.must_act(what)?;
        if self.keys.order.is_some() {
            let why = "another order about keys is being carried out";
            return Err(Refusal::new(RefusalKind::Busy, what, why, "try again when it is done"));
        }
        self.snapshot.clone().ok_or_else(|| {
            let why = "the first look at the machine is not over";
            Refusal::new(RefusalKind::Busy, what, why, "try again in a moment")
        })
    }

    /// The ledger has the order; the firmware may be written to.
    pub(super) fn begin_key_request(&mut self, now: Now, request: KeyRequest) {
        let KeyRequest { request, job, writes } = request;
        if let Some(request) = request {
            self.answer(request, Ok(Reply::Job(job)));
        }
        if writes.is_empty() {
            // There is only something to be forgotten.
            self.variables_written(now, job, Ok(()));
        } else {
            self.effects.push(Effect::WriteVariables { job, writes });
        }
    }

    /// The ledger has it not: nothing was written.
    pub(super) fn drop_key_request(&mut self, request: KeyRequest, refusal: Refusal) {
        for entry in self.keys.order.take().into_iter().flat_map(|order| order.undo) {
            self.ledger.take(entry);
        }
        self.end_job(request.job, JobState::Failed, "the ledger cannot be written".to_owned());
        if let Some(request) = request.request {
            self.answer(request, Err(refusal));
        }
    }

    pub(super) fn variables_written(&mut self, now: Now, job: JobId, result: Result<(), Refusal>) {
        let looking = self.looking;
        match (result, &mut self.keys.order) {
            (Ok(()), Some(order)) if order.job == job => {
                order.progress = if looking { Written::Before } else { Written::Done };
            }
            (Ok(()), _) => {}
            (Err(refusal), order) => {
                if let Some(order) = order.take() {
                    self.record(order.undo, None);
                }
                self.end_job(job, JobState::Failed, refusal.to_string());
            }
        }
        self.look();
        self.publish_soon(now.boot);
    }

    /// Ends the order under way by what the machine shows, and forgets what was asked for and is there.
    pub(super) fn follow_keys(&mut self, snapshot: &Snapshot) {
        let trust = &snapshot.trust;
        match self.keys.order.as_mut().map(|order| &mut order.progress) {
            Some(progress @ Written::Before) => *progress = Written::Done,
            Some(Written::Done) => {
                if let Some(order) = self.keys.order.take() {
                    self.end_key_order(order, trust);
                }
            }
            Some(Written::No) | None => {}
        }
        self.show_keys();
        let enrolled = |key: &&KeyPicture| {
            matches!(key.enrolment, Ok(Enrolment::Enrolled { .. } | Enrolment::EnrolledNotLoaded))
        };
        let there = self.picture.secure_boot.keys.iter().filter(enrolled);
        let over: Vec<_> = there
            .filter_map(|key| key.fingerprint)
            .filter(|fingerprint| self.ledger.asked.contains_key(fingerprint))
            .map(|fingerprint| Entry::KeyForgotten { fingerprint })
            .collect();
        if !over.is_empty() {
            self.record(over, None);
        }
    }

    fn end_key_order(&mut self, order: KeyOrder, trust: &Trust) {
        let KeyOrder { job, wish, notes, undo: _, progress: _ } = order;
        let asked = |wanted: &Fingerprint| pending(trust).any(|one| one.fingerprint == wanted.0);
        let (seen, said) = match &wish {
            KeyWish::Asked(wanted) => {
                if asked(wanted) {
                    self.settle_wishes(wanted);
                }
                let wait = self.config.settings.secure_boot.prompt_timeout;
                let said = format!(
                    "asked for: reboot with somebody at the console within {wait} of the blue screen, who chooses Enroll MOK and types the password"
                );
                (asked(wanted), said)
            }
            KeyWish::Withdrawn(gone) => {
                (!gone.iter().any(asked), "taken back: shim does not ask".to_owned())
            }
        };
        let (state, said) = if seen {
            (JobState::Done, said)
        } else {
            let said = "the firmware took what was written, and does not show it; see `onloadctl keys status`";
            (JobState::Failed, said.to_owned())
        };
        let message = [vec![said], notes].concat().join("\n");
        self.end_job(job, state, message);
    }
}

/// Certificates that shim is asked to enrol.
fn pending(trust: &Trust) -> impl Iterator<Item = Certificate> {
    let list = trust.requests.known().and_then(|Requests { lists, .. }| {
        lists.get(&ListChange::Enrol)?.list.as_ref()?.as_ref().ok()
    });
    list.into_iter().flat_map(|lists| crate::secure_boot::picture::certificates(lists))
}

fn firmware(trust: &Trust) -> Firmware {
    let variables = trust.runtime.as_ref().map(|runtime| match runtime {
        RunTime::Writable => Variables::Writable,
        RunTime::ReadOnly => Variables::ReadOnly,
        RunTime::NoRunTime => Variables::NoRunTime,
    });
    Firmware { shim: trust.shim.clone(), variables }
}
