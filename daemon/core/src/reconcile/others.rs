//! Others who have to do with the modules: what they keep from being done, and taking over.

use std::collections::BTreeMap;

use super::Reconciler;
use crate::blocker::{Blocked, Blocker};
use crate::change::{Manner, Origin};
use crate::command::{Caller, Reply, RequestId};
use crate::condition::Status;
use crate::inventory::Snapshot;
use crate::job::JobKind;
use crate::ledger::Entry;
use crate::names::ReleaseName;
use crate::others::{self, Adoption, Adoptions, Manager, OtherPicture, Trace};
use crate::reading::Reading;
use crate::refusal::{Refusal, RefusalKind};
use crate::step::Step;
use crate::time::Now;

impl Reconciler {
    /// What keeps the plan from being carried out; none where nobody does. A change that has begun
    /// goes on to one of its ends.
    pub(super) fn others_in_the_way(&self, snapshot: &Snapshot) -> Option<Vec<Blocked>> {
        let changes = self.needs_change();
        let bars = |manager: Manager| manager.fights() || (changes && manager.bars_changes());
        let moves_modules = self.plan.steps.iter().any(moves_modules);
        if self.ledger.change.is_some() || !moves_modules {
            return None;
        }
        let blocked: Vec<_> = self.not_adopted(snapshot, bars).map(blocked).collect();
        (!blocked.is_empty()).then_some(blocked)
    }

    /// Whether somebody else sees to the drivers of this node.
    pub(super) fn is_managed_by_others(&self, snapshot: &Snapshot) -> bool {
        self.not_adopted(snapshot, Manager::fights).next().is_some()
    }

    pub(super) fn not_adopted<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        bars: impl Fn(Manager) -> bool + 'a,
    ) -> impl Iterator<Item = (Manager, &'a Trace)> + 'a {
        others::seen(&snapshot.others)
            .filter(move |(manager, _)| bars(*manager) && !self.ledger.others.contains_key(manager))
    }

    /// Refuses an order for another release than is there, before anything is made of it.
    pub(super) fn must_be_alone(&self, what: &str, release: &ReleaseName) -> Result<(), Refusal> {
        let Some(snapshot) = &self.snapshot else { return Ok(()) };
        if self.loaded_release().as_ref() == Some(release) {
            return Ok(());
        }
        let other = self.not_adopted(snapshot, Manager::bars_changes).next().map(blocked);
        other.map_or(Ok(()), |Blocked { blocker, .. }| {
            let why = format!("{}: {}", blocker.reason(), blocker.why());
            Err(Refusal::new(RefusalKind::Blocked, what, why, blocker.fix()))
        })
    }

    /// Puts what an adoption takes before what is planned.
    pub(super) fn take_over(&mut self, snapshot: &Snapshot) {
        if self.ledger.others.is_empty() || self.ledger.change.is_some() {
            return;
        }
        let release = self.loaded_release();
        let own = others::steps(&self.ledger.others, snapshot, release.as_ref());
        self.plan.steps.splice(0..0, own);
    }

    /// `adopt`.
    pub(super) fn adopt_others(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        const WHAT: &str = "nothing is taken over";
        self.must_act(WHAT)?;
        self.must_not_be_held(WHAT)?;
        if self.ledger.change.is_some() || self.running_job().is_some() {
            let why = "another order is being carried out";
            let fix = "wait for it (`onloadctl jobs`), or cancel it";
            return Err(Refusal::new(RefusalKind::Busy, WHAT, why, fix));
        }
        let mut adopted = self.ledger.others.clone();
        if let Some(snapshot) = &self.snapshot {
            for (manager, trace) in self.not_adopted(snapshot, Manager::bars_changes) {
                let evidence = trace.evidence.clone();
                let adoption = Adoption { evidence, uid: caller.uid, at: now.wall };
                adopted.insert(manager, adoption);
            }
        }
        if adopted == self.ledger.others {
            let why = "nobody else is seen to have to do with the modules, or all were adopted";
            let fix = "see `onloadctl why node` for who is seen";
            return Err(Refusal::new(RefusalKind::NotFound, WHAT, why, fix));
        }
        let undo = vec![
            Entry::OthersAdopted(self.ledger.others.clone()),
            Entry::Stopped(self.ledger.stopped),
        ];
        let entries = vec![Entry::OthersAdopted(adopted), Entry::Stopped(false)];
        let job = self.new_job(now, caller, JobKind::Adopt);
        self.changing.begin(Manner::default(), Origin::Order(caller.uid));
        self.look();
        self.order(now, request, entries, undo, Reply::Job(job));
        Ok(())
    }

    /// Ends the adoption of those of whom nothing is left: whoever comes back is a stranger.
    pub(super) fn forget_adoptions(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        if self.ledger.others.is_empty() || self.hands_off() {
            return;
        }
        let left: Adoptions = self
            .ledger
            .others
            .iter()
            .filter(|(manager, _)| snapshot.others.contains_key(manager))
            .map(|(manager, adoption)| (*manager, adoption.clone()))
            .collect();
        if left != self.ledger.others {
            self.record(vec![Entry::OthersAdopted(left)], None);
        }
    }

    pub(super) fn show_others(&self) -> BTreeMap<Manager, OtherPicture> {
        let Some(snapshot) = &self.snapshot else { return BTreeMap::new() };
        others::picture(&self.ledger.others, snapshot, self.loaded_release().as_ref())
    }

    /// The condition of that name.
    pub(super) fn sole_manager(&self) -> (Status, &'static str, String) {
        let Some(snapshot) = &self.snapshot else {
            return (Status::Unknown, "NotSeen", String::new());
        };
        let strangers: Vec<_> = self
            .not_adopted(snapshot, Manager::bars_changes)
            .map(|(manager, trace)| format!("{manager}: {}", trace.evidence))
            .collect();
        if !strangers.is_empty() {
            return (Status::False, "OtherManager", strangers.join("; "));
        }
        let gap = snapshot.others.iter().find_map(|(manager, trace)| match trace {
            Reading::Unreadable(why) => Some(format!("{manager}: {why}")),
            Reading::Known(_) | Reading::Absent => None,
        });
        if let Some(why) = gap {
            return (Status::Unknown, "Unreadable", why);
        }
        let known: Vec<_> = others::seen(&snapshot.others)
            .map(|(manager, trace)| format!("{manager}: {}", trace.evidence))
            .collect();
        let reason = match (self.ledger.others.is_empty(), known.is_empty()) {
            (false, _) => "Adopted",
            (true, false) => "BuildsOnly",
            (true, true) => "Alone",
        };
        (Status::True, reason, known.join("; "))
    }
}

fn blocked((manager, trace): (Manager, &Trace)) -> Blocked {
    let evidence = trace.evidence.clone();
    Blocked { subject: "node".to_owned(), blocker: Blocker::OtherManager { manager, evidence } }
}

/// Whether a step takes modules away or brings them in.
fn moves_modules(step: &Step) -> bool {
    match step {
        Step::LoadModule { .. } | Step::UnloadModule { .. } | Step::StopControlPlane => true,
        Step::StopUnit { .. }
        | Step::StartUnit { .. }
        | Step::RestartUnit { .. }
        | Step::ConfigureClock(_)
        | Step::LeaveClock
        | Step::BindDriver { .. }
        | Step::RegisterAfXdp { .. }
        | Step::WriteLoader(_)
        | Step::RestoreServer { .. }
        | Step::PlaceUserland { .. }
        | Step::PinNames(_)
        | Step::Rename(_)
        | Step::HandBack { .. }
        | Step::RestoreNetwork(_) => false,
    }
}
