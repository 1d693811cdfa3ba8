//! The ledger as the reconciler uses it: what waits for the disk, and what a disk that fails means.

use super::{Durability, Effect, LedgerHealth, Pending, Reconciler, RecordId};
use crate::command::Reply;
use crate::ledger::Entry;
use crate::refusal::{Refusal, RefusalKind};
use crate::time::Now;

use super::steps::Progress;

/// Entries after which the journal is written anew, so that it stays below a few megabytes beside
/// what is lent.
pub(super) const ENTRIES_BEFORE_REWRITE: usize = 8192;

impl Reconciler {
    /// Takes entries into account and has them written. With `pending`, whoever waits hears when
    /// they are on the disk.
    pub(super) fn record(&mut self, entries: Vec<Entry>, pending: Option<Pending>) {
        for entry in &entries {
            self.ledger.take(entry.clone());
        }
        if self.ledger_health != LedgerHealth::Available {
            self.unrecorded = true;
            return;
        }
        self.last_record += 1;
        let id = RecordId(self.last_record);
        let durability = if pending.is_some() { Durability::Synced } else { Durability::Written };
        self.pending.extend(pending.map(|pending| (id, pending)));
        self.entries_since_rewrite += entries.len();
        self.effects.push(Effect::Record { id, entries, durability });
        self.compact();
    }

    /// Writes a journal anew that has become long. A rewrite brings what is pending with it, but
    /// only a record says that it is on the disk; so that waits until nothing is.
    fn compact(&mut self) {
        if self.entries_since_rewrite > ENTRIES_BEFORE_REWRITE
            && self.pending.is_empty()
            && self.ledger_health == LedgerHealth::Available
        {
            self.rewrite();
        }
    }

    pub(super) fn rewrite(&mut self) {
        if !self.rewriting {
            self.rewriting = true;
            self.unrecorded = false;
            self.entries_since_rewrite = 0;
            self.effects.push(Effect::Rewrite(self.ledger.to_text()));
        }
    }

    /// Tries to write a ledger anew that could not be written.
    pub(super) fn restore_ledger(&mut self) {
        if matches!(self.ledger_health, LedgerHealth::Unwritable(_)) && self.pending.is_empty() {
            self.rewrite();
        }
    }

    pub(super) fn rewritten(&mut self, now: Now, result: Result<(), String>) {
        self.rewriting = false;
        match result {
            Ok(()) => {
                if self.unrecorded {
                    self.rewrite();
                } else if matches!(self.ledger_health, LedgerHealth::Unwritable(_)) {
                    self.ledger_health = LedgerHealth::Available;
                    self.replan();
                }
            }
            Err(why) => {
                self.ledger_health = LedgerHealth::Unwritable(why);
                self.unrecorded = true;
            }
        }
        self.publish_soon(now.boot);
    }

    pub(super) fn recorded(&mut self, now: Now, record: RecordId) {
        match self.pending.remove(&record) {
            Some(Pending::Grant { request, lent }) => self.granted(request, &lent),
            Some(Pending::Order { request, reply, .. }) => self.answer(request, Ok(reply)),
            Some(Pending::Free { request }) => self.answer(request, Ok(Reply::Done)),
            Some(Pending::Step(step)) => self.begin(now, step),
            Some(Pending::Keys(request)) => self.begin_key_request(now, request),
            Some(Pending::Change | Pending::Noted) | None => {}
        }
        self.compact();
    }

    pub(super) fn record_failed(&mut self, now: Now, record: RecordId, why: String) {
        let refusal = Refusal::new(
            RefusalKind::LedgerUnavailable,
            "the order was not carried out",
            format!("the ledger cannot be written: {why}"),
            "make room on its file system, or make it writable, and order again",
        );
        self.ledger_health = LedgerHealth::Unwritable(why);
        self.unrecorded = true;
        match self.pending.remove(&record) {
            Some(Pending::Grant { request, lent }) => {
                for id in lent {
                    self.free(id);
                }
                self.answer(request, Err(refusal));
            }
            Some(Pending::Order { request, undo, .. }) => {
                self.take_back(now, undo);
                self.answer(request, Err(refusal));
            }
            Some(Pending::Free { request }) => self.answer(request, Ok(Reply::Done)),
            Some(Pending::Step(_)) => {
                self.ledger.step = None;
                self.progress = Progress::Idle;
            }
            Some(Pending::Keys(request)) => self.drop_key_request(request, refusal),
            // Nothing of it was begun.
            Some(Pending::Change) => {
                self.ledger.change = None;
                self.changing.reset();
                self.stand_pools();
            }
            Some(Pending::Noted) | None => self.unkept(now, record),
        }
        self.replan();
        self.publish_soon(now.boot);
    }

    /// Refuses what needs a ledger that can be written and a daemon that acts.
    pub(super) fn must_act(&mut self, what: &str) -> Result<(), Refusal> {
        if self.hands_off() {
            let (why, fix) = self.hands_off_reason();
            return Err(Refusal::new(RefusalKind::Degraded, what, why, fix));
        }
        if let LedgerHealth::Unwritable(why) = &self.ledger_health {
            let why = format!("the ledger cannot be written: {why}");
            self.restore_ledger();
            let fix = "make room on its file system, or make it writable, and try again";
            return Err(Refusal::new(RefusalKind::LedgerUnavailable, what, why, fix));
        }
        Ok(())
    }
}
