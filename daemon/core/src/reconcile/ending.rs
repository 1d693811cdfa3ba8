//! How an allocation ends: freed, with its holder, or by its lease.

use super::lending::NOT_LENT;
use super::{Effect, LedgerHealth, Pending, Reconciler};
use crate::allocation::{Allocation, Holder, Process, Tenure, Unit};
use crate::command::{Caller, Reply, RequestId};
use crate::ledger::Entry;
use crate::names::AllocationId;
use crate::picture::Lent;
use crate::refusal::{Refusal, RefusalKind};
use crate::time::{Moment, Now, Timestamp};

impl Reconciler {
    pub(super) fn free_for(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        id: AllocationId,
        force: bool,
    ) -> Result<(), Refusal> {
        let what = format!("{id} was not freed");
        if let LedgerHealth::Unreadable(_) = &self.ledger_health {
            let (why, fix) = self.hands_off_reason();
            return Err(Refusal::new(RefusalKind::Degraded, what, why, fix));
        }
        let Some(allocation) = self.ledger.allocations.get(&id) else {
            let why = "there is no such allocation";
            return Err(Refusal::new(
                RefusalKind::NotFound,
                what,
                why,
                "see `onloadctl allocations`",
            ));
        };
        let may_force = force && caller.privileged;
        if !allocation.is_local() && !may_force {
            let why = format!(
                "{} is held by a container, and only the kubelet knows when that ends",
                allocation.device
            );
            let fix = "delete the pod; if it is gone for certain, `onloadctl free --force` as root";
            return Err(Refusal::new(RefusalKind::InUse, what, why, fix));
        }
        if !caller.privileged && allocation.owner() != Some(caller.uid) {
            let why = format!("it belongs to {}", allocation.holder);
            return Err(Refusal::new(
                RefusalKind::NotAuthorized,
                what,
                why,
                "ask its holder, or root",
            ));
        }
        self.release(id);
        self.record(vec![Entry::Freed { id }], Some(Pending::Free { request }));
        if self.ledger_health != LedgerHealth::Available {
            self.answer(request, Ok(Reply::Done));
        }
        self.publish_soon(now.boot);
        Ok(())
    }

    /// Ends an allocation that nobody waits for.
    pub(super) fn free(&mut self, id: AllocationId) {
        self.release(id);
        self.record(vec![Entry::Freed { id }], None);
    }

    pub(super) fn release(&mut self, id: AllocationId) {
        self.clients.remove(&id);
        if let Some(allocation) = self.ledger.allocations.get(&id).cloned() {
            self.set_lent(&allocation.pool, &allocation.device, Lent::No);
        }
    }

    pub(super) fn client_gone(&mut self, now: Now, name: &str) {
        let ended: Vec<_> =
            self.clients.iter().filter(|(_, client)| *client == name).map(|(id, _)| *id).collect();
        let waiting: Vec<_> = self
            .grants
            .iter()
            .filter(|(_, grant)| grant.caller.bus_name.as_deref() == Some(name))
            .map(|(request, _)| *request)
            .collect();
        for request in waiting {
            let why = "its caller has gone";
            self.drop_grant(
                request,
                Refusal::new(RefusalKind::Cancelled, NOT_LENT, why, "call again"),
            );
            self.publish_soon(now.boot);
        }
        self.free_all(now, ended);
    }

    /// No connection ends by the loss of the bus, but whose devices still settle will never hear of
    /// them, and may bear on the next bus the name of another on the last.
    pub(super) fn bus_lost(&mut self, now: Now) {
        self.clients.clear();
        let waiting: Vec<_> = self.grants.keys().copied().collect();
        for request in waiting {
            let why = "the bus is gone, and with it the way to its caller";
            self.drop_grant(
                request,
                Refusal::new(RefusalKind::Cancelled, NOT_LENT, why, "call again"),
            );
            self.publish_soon(now.boot);
        }
    }

    pub(super) fn process_gone(&mut self, now: Now, process: &Process) {
        let (pid, start_ticks, boot) = process.identity();
        self.watched.remove(&(pid, start_ticks, boot.clone()));
        let ended = self.held_by(|allocation| {
            allocation.tenure == Tenure::Client
                && matches!(
                    &allocation.holder,
                    Holder::Process(holder) if holder.identity() == process.identity()
                )
        });
        self.free_all(now, ended);
    }

    pub(super) fn unit_gone(&mut self, now: Now, unit: &Unit) {
        self.watched_units.remove(unit);
        let ended =
            self.held_by(|one| matches!(&one.holder, Holder::Unit(holder) if holder == unit));
        self.free_all(now, ended);
    }

    pub(super) fn held_by(&self, is: impl Fn(&Allocation) -> bool) -> Vec<AllocationId> {
        self.ledger.allocations.values().filter(|one| is(one)).map(|one| one.id).collect()
    }

    pub(super) fn free_all(&mut self, now: Now, ended: Vec<AllocationId>) {
        if !ended.is_empty() {
            for id in ended {
                self.free(id);
            }
            self.publish_soon(now.boot);
        }
    }

    /// Has every process and unit watched whose end ends an allocation.
    pub(super) fn watch_holders(&mut self) {
        let holders: Vec<_> = self
            .ledger
            .allocations
            .values()
            .map(|one| (one.tenure == Tenure::Client, one.holder.clone()))
            .collect();
        for (ends_with_client, holder) in holders {
            match holder {
                Holder::Process(process) if ends_with_client => self.watch(process),
                Holder::Unit(unit) => self.watch_unit(unit),
                Holder::Process(_) | Holder::Container | Holder::Pod(_) | Holder::User { .. } => {}
            }
        }
    }

    /// Has the end of a unit told, once however many devices it has.
    pub(super) fn watch_unit(&mut self, unit: Unit) {
        if self.watched_units.insert(unit.clone()) {
            self.effects.push(Effect::WatchUnit(unit));
        }
    }

    /// Has the end of a process told. A watch costs a descriptor until then, so one is enough.
    pub(super) fn watch(&mut self, process: Process) {
        let (pid, start_ticks, boot) = process.identity();
        if self.watched.insert((pid, start_ticks, boot.clone())) {
            self.effects.push(Effect::WatchProcess(process));
        }
    }

    /// The end of every lease on this boot's clock.
    fn leases(&self) -> impl Iterator<Item = (AllocationId, Option<Moment>, Timestamp)> {
        let boot = self.boot();
        self.ledger.leases().filter_map(move |one| match &one.tenure {
            Tenure::Lease { until, boot: made_in, until_wall } => {
                Some((one.id, (boot.is_some() && *made_in == boot).then_some(*until), *until_wall))
            }
            Tenure::Kubelet | Tenure::Client | Tenure::Unit | Tenure::Persistent => None,
        })
    }

    /// Ends leases. One of an earlier boot has only wall time to go by, and is asked at each tick.
    pub(super) fn end_leases(&mut self, now: Now) {
        // Before the first look it is not known which boot this is.
        if self.snapshot.is_none() {
            return;
        }
        let ended: Vec<_> = self
            .leases()
            .filter(|(_, until, wall)| until.map_or(*wall <= now.wall, |until| until <= now.boot))
            .map(|(id, ..)| id)
            .collect();
        self.free_all(now, ended);
    }

    pub(super) fn lease_ends(&self) -> Option<Moment> {
        self.snapshot.as_ref()?;
        self.leases().filter_map(|(_, until, _)| until).min()
    }
}
