//! Keys that shim is asked for: orders, what the ledger remembers of them, and what a look shows.
//!
//! Shim deletes a request before it asks a person (`reference/secure-boot-mok.md` section 4), so that
//! it was asked is remembered before anything is written. What is written is made from a look that began
//! after the order: others write the same variables. Nothing is asked for but by an order, or by a wish
//! of the configuration, which counts once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Effect, Pending, Reconciler};
use crate::command::{Caller, Reply, RequestId};
use crate::inventory::{Depth, Snapshot};
use crate::job::{JobKind, JobState};
use crate::ledger::Entry;
use crate::names::JobId;
use crate::reading::Reading;
use crate::refusal::{Refusal, RefusalKind};
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::enrolment::{Asked, Enrolment, Fingerprint};
use crate::secure_boot::picture::KeyPicture;
use crate::secure_boot::request::enrol::{self, Wish};
use crate::secure_boot::request::warning::{Password, Warning};
use crate::secure_boot::request::withdraw::{self, Kept, Scope, Withdrawal};
use crate::secure_boot::request::write::Write;
use crate::secure_boot::request::{ListChange, PasswordHash, Requests};
use crate::secure_boot::trust::Trust;
use crate::time::Now;

mod shown;
mod wishes;

use wishes::{Tried, WishId};

/// What did not happen.
const NOT_ASKED: &str = "shim is not asked to enrol the key";
const NOT_REVOKED: &str = "nothing that shim is asked for is taken back";

/// What is known of keys beside the ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// Trust as the host gave it, and with the certificates that the configuration names.
    trust: Option<(Arc<Trust>, Arc<Trust>)>,
    /// The order that waits for a look.
    waiting: Option<Waiting>,
    /// The order under way.
    order: Option<KeyOrder>,
    /// What came of wishes in this run.
    tried: BTreeMap<WishId, Tried>,
    /// The trust by which wishes were last tried.
    tried_by: Option<Arc<Trust>>,
}

/// An order that waits for a look.
#[derive(Clone, Debug)]
struct Waiting {
    request: RequestId,
    caller: Caller,
    command: KeyCommand,
    /// Whether the next look began after it.
    fresh: bool,
}

/// What may be ordered.
#[derive(Clone, Debug)]
pub(super) enum KeyCommand {
    /// Have shim ask for a key.
    Import(KeyImport),
    /// Have it not ask.
    Revoke {
        /// Also for what others asked.
        all: bool,
    },
}

/// A key that shim is to ask for.
#[derive(Clone, Debug)]
pub(super) struct KeyImport {
    /// Its certificate, DER.
    pub(super) certificate: Vec<u8>,
    /// The hash of the password that has to be typed then.
    pub(super) hash: PasswordHash,
    /// Also where a disk is unlocked only while nothing changes of what that changes.
    pub(super) despite_sealed: bool,
}

/// An order that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyOrder {
    job: JobId,
    goal: Goal,
    /// What else is to be said when it is done.
    notes: Vec<String>,
    /// The wish of the configuration that it is for.
    wish: Option<WishId>,
    /// What the ledger held before.
    undo: Vec<Entry>,
    /// Why nothing was written, as whoever was to write says; the look says whether that is so.
    failure: Option<Refusal>,
    progress: Progress,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing is written yet.
    Writing,
    /// A look under way began before.
    Written,
    /// The next look counts.
    Looking,
}

/// What shall be seen in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Goal {
    /// It is asked for.
    Asked(Asked),
    /// These are not asked for any more; what is remembered of all is forgotten then.
    Withdrawn {
        /// Those that were.
        keys: Vec<Fingerprint>,
        /// Those that are remembered.
        remembered: Vec<Fingerprint>,
    },
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
    /// Takes an order about keys, which is carried out after the next look.
    pub(super) fn order_keys(
        &mut self,
        request: RequestId,
        caller: Caller,
        command: KeyCommand,
    ) -> Result<(), Refusal> {
        let what = match command {
            KeyCommand::Import(_) => NOT_ASKED,
            KeyCommand::Revoke { .. } => NOT_REVOKED,
        };
        self.must_act(what)?;
        if self.keys.order.is_some() || self.keys.waiting.is_some() {
            let why = "another order about keys is being carried out";
            return Err(Refusal::new(RefusalKind::Busy, what, why, "try again when it is done"));
        }
        let fresh = !self.looking;
        self.keys.waiting = Some(Waiting { request, caller, command, fresh });
        self.look();
        Ok(())
    }

    /// Carries out the order that waited for this look.
    fn go_on_ordering(&mut self, now: Now, snapshot: &Snapshot) {
        let Some(mut waiting) = self.keys.waiting.take() else { return };
        if !waiting.fresh {
            waiting.fresh = true;
            self.keys.waiting = Some(waiting);
            return;
        }
        let Waiting { request, caller, command, fresh: _ } = waiting;
        let result = match command {
            KeyCommand::Import(import) => self.must_act(NOT_ASKED).and_then(|()| {
                let by = (Some(request), caller, None);
                self.import_key(now, snapshot, by, &import)
            }),
            KeyCommand::Revoke { all } => self
                .must_act(NOT_REVOKED)
                .and_then(|()| self.revoke_request(now, snapshot, request, &caller, all)),
        };
        if let Err(refusal) = result {
            self.answer(request, Err(refusal));
        }
    }

    /// Has shim ask for a key at the next boot: for a request, or for a wish.
    fn import_key(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        (request, caller, wish): (Option<RequestId>, Caller, Option<WishId>),
        import: &KeyImport,
    ) -> Result<(), Refusal> {
        if !import.despite_sealed {
            self.must_not_seal(snapshot, wish.is_some())?;
        }
        let Some(boot) = self.boot.clone() else {
            let why = "this boot cannot be told from the next (boot_id)";
            let fix = "see whether the daemon may read /proc/sys/kernel/random/boot_id";
            return Err(Refusal::new(RefusalKind::Internal, NOT_ASKED, why, fix));
        };
        let prompt = self.config.settings.secure_boot.prompt();
        let wanted = Wish { certificate: &import.certificate, hash: &import.hash, prompt };
        let prepared = enrol::enrol(&wanted, &snapshot.trust, now.wall).map_err(|obstacle| {
            Refusal::new(obstacle.kind(), obstacle.what(), obstacle.why(), obstacle.fix())
        })?;
        let replaced =
            |one: &&Warning| matches!(one, Warning::Joins { password: Password::Replaced, .. });
        if let Some(warning) = prepared.warnings.iter().find(replaced)
            && wish.is_some()
        {
            let fix = "let the next boot ask for what is asked for, or `onloadctl keys revoke-request --all`; then reload";
            let why = format!("nobody is here to be asked: {}", warning.sentence());
            return Err(Refusal::new(RefusalKind::Blocked, NOT_ASKED, why, fix));
        }
        let asked = Asked::for_key(&prepared.certificate, now.wall, boot);
        let fingerprint = asked.fingerprint;
        let former = self.ledger.asked.get(&fingerprint).cloned().map(Entry::KeyAsked);
        let mut undo = vec![former.unwrap_or(Entry::KeyForgotten { fingerprint })];
        let mut entries = vec![Entry::KeyAsked(asked.clone())];
        if let Some(wish) = wish {
            entries.push(Entry::KeyWished { wish, done: true });
            undo.push(Entry::KeyWished { wish, done: false });
        }
        let notes = prepared.warnings.iter().map(|one| match one.fix() {
            Some(fix) => format!("{}: {fix}", one.sentence()),
            None => one.sentence(),
        });
        let notes = notes.collect();
        let job = self.new_job(now, &caller, JobKind::ImportKey);
        let (goal, progress) = (Goal::Asked(asked), Progress::Writing);
        let order = KeyOrder { job, goal, notes, wish, undo, failure: None, progress };
        self.keys.order = Some(order);
        let pending = Pending::Keys(KeyRequest { request, job, writes: prepared.writes });
        self.record(entries, Some(pending));
        self.publish_soon(now.boot);
        Ok(())
    }

    /// Volumes that would not be unlocked any more. Where nobody can be asked, one of which that is not
    /// known counts as well: what binds it may stand in its header only.
    fn must_not_seal(&self, snapshot: &Snapshot, unattended: bool) -> Result<(), Refusal> {
        let refuse =
            |why: String, fix: String| Err(Refusal::new(RefusalKind::Blocked, NOT_ASKED, why, fix));
        let volumes = match &snapshot.volumes {
            Reading::Known(volumes) => volumes,
            Reading::Unreadable(why) if unattended => {
                let why = format!("whether a disk is unlocked by the TPM cannot be told: {why}");
                return refuse(why, "set despite-sealed-disks where it does not matter".to_owned());
            }
            Reading::Absent | Reading::Unreadable(_) => return Ok(()),
        };
        let counts = volumes.iter().filter(|(_, volume)| unattended || volume.asked.is_some());
        let said: Vec<_> = counts.map(|(name, volume)| volume.words(name)).collect();
        let Some(first) = said.first() else { return Ok(()) };
        let all: Vec<_> = said.iter().map(|words| words.what.as_str()).collect();
        refuse(all.join("; "), format!("{}; then say so (despite-sealed-disks)", first.fix))
    }

    /// Takes back what shim was asked for: what the ledger remembers, or all that anybody asked for.
    fn revoke_request(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        request: RequestId,
        caller: &Caller,
        all: bool,
    ) -> Result<(), Refusal> {
        let trust = &snapshot.trust;
        let remembered: Vec<_> = self.ledger.asked.keys().copied().collect();
        let keys: Vec<_> = pending(trust)
            .filter(|one| all || self.ledger.asked.contains_key(&Fingerprint(one.fingerprint)))
            .collect();
        let scope = if all { Scope::All } else { Scope::Keys(&keys) };
        let mut notes = Vec::new();
        let withdrawal = match withdraw::withdraw(scope, trust) {
            Ok(withdrawal) => withdrawal,
            // What was missed or refused is not asked for any more; that it was is forgotten.
            Err(Kept::NotPending) if !remembered.is_empty() => Withdrawal::default(),
            Err(kept @ Kept::Unreachable(_)) if !remembered.is_empty() && keys.is_empty() => {
                notes.push(format!("the firmware was not asked: {}", kept.why()));
                Withdrawal::default()
            }
            Err(kept) => {
                return Err(Refusal::new(kept.kind(), kept.what(), kept.why(), kept.fix()));
            }
        };
        if !withdrawal.left.is_empty() {
            notes.push(format!("still asked for: {}", withdrawal.left.join(", ")));
        }
        let job = self.new_job(now, caller, JobKind::RevokeRequest);
        let keys = keys.iter().map(|one| Fingerprint(one.fingerprint)).collect();
        let (goal, progress) = (Goal::Withdrawn { keys, remembered }, Progress::Writing);
        let (undo, failure) = (Vec::new(), None);
        self.keys.order = Some(KeyOrder { job, goal, notes, wish: None, undo, failure, progress });
        let (request, writes) = (Some(request), withdrawal.writes);
        let pending = Pending::Keys(KeyRequest { request, job, writes });
        self.record(vec![Entry::Generation(self.ledger.generation + 1)], Some(pending));
        self.publish_soon(now.boot);
        Ok(())
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
        if let Some(order) = self.keys.order.take() {
            order.undo.into_iter().for_each(|entry| self.ledger.take(entry));
            self.settle_wish(order.wish, Some(refusal.clone()));
        }
        self.end_job(request.job, JobState::Failed, "the ledger cannot be written".to_owned());
        if let Some(request) = request.request {
            self.answer(request, Err(refusal));
        }
    }

    /// Whoever was to write has ended. Whether it is there is told by the next look: one that was cut
    /// off from the writer knows less.
    pub(super) fn variables_written(&mut self, now: Now, job: JobId, result: Result<(), Refusal>) {
        let looking = self.looking;
        if let Some(order) = self.keys.order.as_mut().filter(|order| order.job == job) {
            order.failure = result.err();
            order.progress = if looking { Progress::Written } else { Progress::Looking };
        }
        self.look();
        self.publish_soon(now.boot);
    }

    /// Goes on with what waited for a look, and forgets what was asked for and is there.
    pub(super) fn follow_keys(&mut self, now: Now, snapshot: &Snapshot) {
        // It shows nothing new of keys, and devices are away.
        if self.looked_depth == Depth::Modules {
            return;
        }
        match self.keys.order.as_mut().map(|order| &mut order.progress) {
            Some(progress @ Progress::Written) => *progress = Progress::Looking,
            Some(Progress::Looking) => {
                if let Some(order) = self.keys.order.take() {
                    self.end_key_order(order, &snapshot.trust);
                }
            }
            Some(Progress::Writing) | None => {}
        }
        self.show_keys();
        let noted = self.note_keys(&snapshot.trust);
        if !noted.is_empty() {
            self.record(noted, Some(Pending::Noted));
            self.show_keys();
        }
        self.go_on_ordering(now, snapshot);
        self.carry_out_wishes(now, snapshot);
    }

    /// What a look shows of keys that were asked for: that the request was written, or is over.
    fn note_keys(&self, trust: &Trust) -> Vec<Entry> {
        let enrolled = |key: &&KeyPicture| {
            matches!(key.enrolment, Ok(Enrolment::Enrolled { .. } | Enrolment::EnrolledNotLoaded))
        };
        let there = self.picture.secure_boot.keys.iter().filter(enrolled);
        let there: Vec<_> = there.filter_map(|key| key.fingerprint).collect();
        let mut asked_for = pending(trust).map(|one| one.fingerprint).collect::<Vec<_>>();
        asked_for.sort_unstable();
        let entries = self.ledger.asked.values().filter_map(|asked| {
            let fingerprint = asked.fingerprint;
            if there.contains(&fingerprint) {
                Some(Entry::KeyForgotten { fingerprint })
            } else if !asked.written && asked_for.binary_search(&fingerprint.0).is_ok() {
                Some(Entry::KeyAsked(Asked { written: true, ..asked.clone() }))
            } else {
                None
            }
        });
        entries.collect()
    }

    fn end_key_order(&mut self, order: KeyOrder, trust: &Trust) {
        let KeyOrder { job, goal, notes, wish, undo, failure, progress: _ } = order;
        let asked = |wanted: &Fingerprint| pending(trust).any(|one| one.fingerprint == wanted.0);
        // Whether the look shows what shim is asked for at all.
        let told = trust.requests.known().is_some();
        let what = match goal {
            Goal::Asked(_) => NOT_ASKED,
            Goal::Withdrawn { .. } => NOT_REVOKED,
        };
        let (seen, said, entries) = match goal {
            Goal::Asked(wanted) => {
                let wait = self.config.settings.secure_boot.prompt_timeout;
                let said = format!(
                    "asked for: reboot with somebody at the console within {wait} of the blue screen, who chooses Enroll MOK and types the password"
                );
                let seen = asked(&wanted.fingerprint);
                let entries = match (seen, told) {
                    (true, _) => vec![Entry::KeyAsked(Asked { written: true, ..wanted })],
                    (false, true) => undo,
                    // It may be there: what is remembered stays.
                    (false, false) => Vec::new(),
                };
                (seen, said, entries)
            }
            Goal::Withdrawn { keys, remembered } => {
                let seen = keys.is_empty() || (told && !keys.iter().any(asked));
                let forgotten = remembered.into_iter();
                let forget = |fingerprint| Entry::KeyForgotten { fingerprint };
                let entries = if seen { forgotten.map(forget).collect() } else { undo };
                (seen, "taken back: shim does not ask".to_owned(), entries)
            }
        };
        if !entries.is_empty() {
            self.record(entries, Some(Pending::Noted));
        }
        let unseen = || {
            let why = "the firmware took what was written, and does not show it";
            let fix = "see `onloadctl keys status`";
            Refusal::new(RefusalKind::Internal, what, why, fix)
        };
        let (state, message) = if seen {
            let failure = failure.map(|refusal| format!("though: {}", refusal.why));
            (JobState::Done, [said].into_iter().chain(failure).chain(notes).collect::<Vec<_>>())
        } else {
            let refusal = failure.unwrap_or_else(unseen);
            self.settle_wish(wish, Some(refusal.clone()));
            (JobState::Failed, vec![refusal.to_string()])
        };
        self.end_job(job, state, message.join("\n"));
    }
}

/// Certificates that shim is asked to enrol.
fn pending(trust: &Trust) -> impl Iterator<Item = Certificate> {
    let list = trust.requests.known().and_then(|Requests { lists, .. }| {
        lists.get(&ListChange::Enrol)?.list.as_ref()?.as_ref().ok()
    });
    list.into_iter().flat_map(|lists| crate::secure_boot::picture::certificates(lists))
}
