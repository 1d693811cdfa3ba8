//! Lending devices: to local programs, who must wait until the kubelet cannot choose them any
//! more, and to containers, whom nobody may keep waiting (DESIGN section 6).

use std::collections::{BTreeMap, BTreeSet};

use super::{Pending, Reconciler};
use crate::allocation::{Allocation, Holder, Tenure, TenureWish};
use crate::command::{Caller, Reply, RequestId};
use crate::ledger::Entry;
use crate::names::{AllocationId, DeviceId, PoolName};
use crate::picture::Lent;
use crate::refusal::{Refusal, RefusalKind};
use crate::time::{Moment, Now, Timestamp};

/// A local grant whose devices are withdrawn and settling.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LocalGrant {
    pub(super) caller: Caller,
    pool: PoolName,
    devices: Vec<DeviceId>,
    tenure: TenureWish,
    settled: Moment,
}

impl LocalGrant {
    pub(super) fn settled_at(&self) -> Option<Moment> {
        Some(self.settled)
    }
}

type Refused = Result<(), Refusal>;

/// A local holder that gives its device to the kubelet.
pub(super) struct Move {
    from: DeviceId,
    /// The allocation; none while its grant is still settling.
    holder: Option<AllocationId>,
    /// The device it gets instead; none where there is none.
    to: Option<DeviceId>,
}

/// What did not happen, for every refusal of `allocate`.
pub(super) const NOT_LENT: &str = "nothing was lent";

impl Reconciler {
    pub(super) fn allocate(
        &mut self,
        now: Now,
        request: RequestId,
        caller: Caller,
        pool: &PoolName,
        count: u32,
        tenure: TenureWish,
    ) -> Refused {
        self.may_lend(pool)?;
        self.check_limits(&caller, count)?;
        let watchable = match tenure {
            TenureWish::Client => caller.process.is_some() && caller.bus_name.is_some(),
            TenureWish::Process => caller.process.is_some(),
            TenureWish::Unit(_) | TenureWish::Persistent | TenureWish::Lease(_) => true,
        };
        if !watchable {
            let why = "the bus does not say which program asks, so it cannot be watched";
            let fix = "ask for a lease, or for a persistent allocation";
            return Err(Refusal::new(RefusalKind::Unsupported, NOT_LENT, why, fix));
        }
        let Some(state) = self.pools.get_mut(pool) else {
            return Err(no_such_pool(NOT_LENT, pool));
        };
        if count == 0 || usize::try_from(count).is_ok_and(|count| count > state.devices().len()) {
            let why = format!(
                "{count} is not between 1 and the pool's {} devices",
                state.devices().len()
            );
            return Err(Refusal::new(RefusalKind::InvalidArgument, NOT_LENT, why, "ask for fewer"));
        }
        let devices = match state.pick(count) {
            Ok(devices) => devices,
            Err(mut refusal) => {
                self.ask_of_containers(now);
                if let (RefusalKind::InUse, Some(noted)) = (refusal.kind, self.never_named(pool)) {
                    refusal.why = format!("{}; {noted}", refusal.why);
                    refusal
                        .fix
                        .push_str("; what no pod has for certain, `onloadctl free --force` frees");
                }
                return Err(refusal);
            }
        };
        let advertised = devices.iter().any(|device| !state.is_local_only(device));
        for device in &devices {
            state.set_lent(device, Lent::Withdrawn);
        }
        let must_settle = advertised && self.registered.contains(pool);
        let settled = if must_settle {
            now.boot + self.config.settings.kubelet.withdraw_settle.0
        } else {
            now.boot
        };
        let grant = LocalGrant { caller, pool: pool.clone(), devices, tenure, settled };
        self.grants.insert(request, grant);
        if must_settle {
            self.publish_soon(now.boot);
        }
        Ok(())
    }

    /// What must hold when devices are asked for, and still when they have settled.
    fn may_lend(&mut self, pool: &PoolName) -> Refused {
        self.must_act(NOT_LENT)?;
        if let Some(hold) = &self.ledger.hold {
            let why = format!("the node is held: {}", hold.reason);
            let fix = "`onloadctl unhold` ends the hold";
            return Err(Refusal::new(RefusalKind::Held, NOT_LENT, why, fix));
        }
        if self.pools.contains_key(pool) { Ok(()) } else { Err(no_such_pool(NOT_LENT, pool)) }
    }

    fn check_limits(&self, caller: &Caller, count: u32) -> Refused {
        if caller.privileged {
            return Ok(());
        }
        let limits = &self.config.settings.limits;
        let granting = |of: &dyn Fn(&Caller) -> bool| {
            self.grants
                .values()
                .filter(|grant| of(&grant.caller))
                .map(|grant| grant.devices.len())
                .sum()
        };
        let held =
            self.ledger.allocations.values().filter(|one| one.owner() == Some(caller.uid)).count();
        let asked: usize = granting(&|other| other.uid == caller.uid);
        let sum =
            held.saturating_add(asked).saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
        let refuse =
            |why: String, fix: &str| Refusal::new(RefusalKind::LimitExceeded, NOT_LENT, why, fix);
        if sum > usize::try_from(limits.allocations_per_user).unwrap_or(usize::MAX) {
            let why = format!(
                "user {} has {held} devices and may have {} (limits.allocations-per-user)",
                caller.uid, limits.allocations_per_user
            );
            return Err(refuse(why, "give some back (`onloadctl free`), or have the limit raised"));
        }
        let waiting =
            self.grants.values().filter(|grant| grant.caller.bus_name == caller.bus_name).count();
        if waiting >= usize::try_from(limits.pending_per_client).unwrap_or(usize::MAX) {
            let why =
                format!("this client has {waiting} requests under way (limits.pending-per-client)");
            return Err(refuse(why, "wait for their answers"));
        }
        Ok(())
    }

    /// Lends what has settled.
    pub(super) fn go_on_granting(&mut self, now: Now) {
        let settled: Vec<_> = self
            .grants
            .iter()
            .filter(|(_, grant)| grant.settled <= now.boot)
            .map(|(request, _)| *request)
            .collect();
        for request in settled {
            if let Some(grant) = self.grants.remove(&request) {
                self.lend(now, request, grant);
            }
        }
    }

    fn lend(&mut self, now: Now, request: RequestId, grant: LocalGrant) {
        // The ledger may have gone bad while the grant settled, or a hold or another configuration
        // have come.
        if let Err(refusal) = self.may_lend(&grant.pool) {
            for device in &grant.devices {
                self.set_lent(&grant.pool, device, Lent::No);
            }
            self.publish_soon(now.boot);
            return self.answer(request, Err(refusal));
        }
        let mut entries = Vec::new();
        let mut lent = Vec::new();
        for (number, device) in (self.ledger.last_allocation + 1..).zip(&grant.devices) {
            let allocation = Allocation {
                id: AllocationId(number),
                pool: grant.pool.clone(),
                device: device.clone(),
                holder: holder(&grant),
                tenure: self.tenure(now, &grant.tenure),
                since: now.wall,
            };
            lent.push(allocation.id);
            if let (TenureWish::Client, Some(name)) = (&grant.tenure, &grant.caller.bus_name) {
                self.clients.insert(allocation.id, name.clone());
            }
            self.set_lent(&grant.pool, device, Lent::Local(allocation.id));
            entries.push(Entry::Granted(allocation));
        }
        self.record(entries, Some(Pending::Grant { request, lent }));
        match (grant.tenure, grant.caller.process) {
            (TenureWish::Client | TenureWish::Process, Some(process)) => self.watch(process),
            (TenureWish::Unit(unit), _) => self.watch_unit(unit),
            (TenureWish::Client | TenureWish::Process, None)
            | (TenureWish::Persistent | TenureWish::Lease(_), _) => {}
        }
        self.publish_soon(now.boot);
    }

    /// The record of a grant is on the disk: the caller may hear of it.
    pub(super) fn granted(&mut self, request: RequestId, lent: &[AllocationId]) {
        let found = |id: &AllocationId| {
            self.ledger.allocations.get(id).map(|allocation| (*id, allocation.device.clone()))
        };
        // A holder that ended meanwhile has nothing left to be told of.
        let lent: Vec<_> = lent.iter().filter_map(found).collect();
        self.answer(request, Ok(Reply::Allocated(lent)));
    }

    fn tenure(&self, now: Now, wish: &TenureWish) -> Tenure {
        match wish {
            TenureWish::Client | TenureWish::Process => Tenure::Client,
            TenureWish::Unit(_) => Tenure::Unit,
            TenureWish::Persistent => Tenure::Persistent,
            TenureWish::Lease(span) => Tenure::Lease {
                until: now.boot + span.0,
                boot: self.boot(),
                until_wall: later(now.wall, span.0),
            },
        }
    }

    pub(super) fn allocate_for_kubelet(
        &mut self,
        now: Now,
        request: RequestId,
        pool: &PoolName,
        containers: &[Vec<DeviceId>],
    ) -> Refused {
        const WHAT: &str = "the container gets no device";
        if self.hands_off() {
            let (why, fix) = self.hands_off_reason();
            return Err(Refusal::new(RefusalKind::Degraded, WHAT, why, fix));
        }
        let Some(state) = self.pools.get(pool) else { return Err(no_such_pool(WHAT, pool)) };
        let wanted: Vec<_> = containers.iter().flatten().collect();
        let asked: BTreeSet<_> = wanted.iter().copied().collect();
        if wanted.is_empty() || wanted.len() != asked.len() {
            let why = "the kubelet named no device, or one twice";
            return Err(Refusal::new(
                RefusalKind::InvalidArgument,
                WHAT,
                why,
                "see the kubelet's log",
            ));
        }
        let answers = state.answers_for(WHAT, containers)?;
        let moves = self.make_way(WHAT, pool, &asked)?;
        let mut entries = self.carry_out(pool, moves);
        for (number, device) in (self.ledger.last_allocation + 1..).zip(&asked) {
            let id = AllocationId(number);
            // The kubelet has no release call: that it allocates anew says the former pod is gone.
            let former = match self.lent(pool, device) {
                Some(Lent::Container(former)) => Some(former),
                Some(Lent::No | Lent::Withdrawn | Lent::Local(_)) | None => None,
            };
            entries.extend(former.map(|id| Entry::Freed { id }));
            self.container_got(now, id, former);
            self.set_lent(pool, device, Lent::Container(id));
            entries.push(Entry::Granted(Allocation {
                id,
                pool: pool.clone(),
                device: (*device).clone(),
                holder: Holder::Container,
                tenure: Tenure::Kubelet,
                since: now.wall,
            }));
        }
        self.record(entries, None);
        self.answer(request, Ok(Reply::Containers(answers)));
        self.publish_soon(now.boot + super::COALESCE);
        self.answer_first = true;
        Ok(())
    }

    /// Finds another device for every local holder in the way, or says whom to ask. Changes nothing.
    pub(super) fn make_way(
        &self,
        what: &str,
        pool: &PoolName,
        asked: &BTreeSet<&DeviceId>,
    ) -> Result<Vec<Move>, Refusal> {
        let mut moves: Vec<Move> = Vec::new();
        let Some(state) = self.pools.get(pool) else { return Ok(moves) };
        for device in asked {
            let holder = match state.lent(device) {
                Some(Lent::Local(id)) => Some(id),
                Some(Lent::Withdrawn) => None,
                Some(Lent::No | Lent::Container(_)) | None => continue,
            };
            let spare = state.spare(device, |id| {
                asked.contains(id) || moves.iter().any(|earlier| earlier.to.as_ref() == Some(id))
            });
            if let (None, Some(id)) = (&spare, holder) {
                let who = self.ledger.allocations.get(&id).map(|one| one.holder.to_string());
                let who = who.unwrap_or_else(|| "a local program".to_owned());
                let alone = if state.is_interchangeable() {
                    "no other device is free"
                } else {
                    "no other device stands in for it"
                };
                let why = format!("{device} is lent to {who} as {id}, and {alone}");
                let fix =
                    "free a local allocation (`onloadctl allocations`); the pod must be made anew";
                return Err(Refusal::new(RefusalKind::InUse, what, why, fix));
            }
            moves.push(Move { from: (*device).clone(), holder, to: spare });
        }
        Ok(moves)
    }

    /// Moves local holders out of the kubelet's way. A grant that is still settling and finds no
    /// other device is refused: its caller can ask again, a pod cannot.
    pub(super) fn carry_out(&mut self, pool: &PoolName, moves: Vec<Move>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for Move { from, holder, to } in moves {
            match (holder, to) {
                (Some(id), Some(to)) => {
                    self.set_lent(pool, &to, Lent::Local(id));
                    entries.push(Entry::Moved { id, device: to });
                }
                (None, Some(to)) => {
                    self.set_lent(pool, &to, Lent::Withdrawn);
                    if let Some(device) = self.settling(pool, &from) {
                        *device = to;
                    }
                }
                (_, None) => self.give_up_grant(pool, &from),
            }
        }
        entries
    }

    /// The place of a device in the grant that is settling with it.
    fn settling(&mut self, pool: &PoolName, device: &DeviceId) -> Option<&mut DeviceId> {
        let grants = self.grants.values_mut().filter(|grant| grant.pool == *pool);
        grants.flat_map(|grant| grant.devices.iter_mut()).find(|one| *one == device)
    }

    fn give_up_grant(&mut self, pool: &PoolName, device: &DeviceId) {
        let of = |grant: &LocalGrant| grant.pool == *pool && grant.devices.contains(device);
        let Some(request) =
            self.grants.iter().find(|(_, grant)| of(grant)).map(|(request, _)| *request)
        else {
            return;
        };
        let why = "the kubelet took the device at the same moment, and no other does for it";
        self.drop_grant(
            request,
            Refusal::new(RefusalKind::InUse, NOT_LENT, why, "try again later"),
        );
    }

    /// Ends a grant that is still settling.
    pub(super) fn drop_grant(&mut self, request: RequestId, refusal: Refusal) {
        if let Some(grant) = self.grants.remove(&request) {
            for device in &grant.devices {
                self.set_lent(&grant.pool, device, Lent::No);
            }
            self.answer(request, Err(refusal));
        }
    }

    pub(super) fn lent(&self, pool: &PoolName, device: &DeviceId) -> Option<Lent> {
        self.pools.get(pool)?.lent(device)
    }

    pub(super) fn set_lent(&mut self, pool: &PoolName, device: &DeviceId, lent: Lent) {
        if let Some(state) = self.pools.get_mut(pool) {
            state.set_lent(device, lent);
        }
    }

    /// Devices of grants that are still settling, by pool.
    pub(super) fn withdrawn(&self, pool: &PoolName) -> BTreeMap<DeviceId, Lent> {
        let of_pool = self.grants.values().filter(|grant| grant.pool == *pool);
        of_pool
            .flat_map(|grant| grant.devices.iter().cloned())
            .map(|device| (device, Lent::Withdrawn))
            .collect()
    }
}

fn holder(grant: &LocalGrant) -> Holder {
    match (&grant.tenure, &grant.caller.process) {
        (TenureWish::Client | TenureWish::Process, Some(process)) => {
            Holder::Process(process.clone())
        }
        (TenureWish::Unit(unit), _) => Holder::Unit(unit.clone()),
        _ => Holder::User { uid: grant.caller.uid },
    }
}

fn later(wall: Timestamp, span: std::time::Duration) -> Timestamp {
    Timestamp(wall.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

fn no_such_pool(what: &str, pool: &PoolName) -> Refusal {
    let why = format!("there is no pool {pool}");
    Refusal::new(RefusalKind::NotFound, what, why, "see `onloadctl pools`")
}
