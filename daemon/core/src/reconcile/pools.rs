//! The pools as the reconciler keeps them: standing by look, lent devices by ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{LedgerHealth, Reconciler};
use crate::command::ContainerAnswer;
use crate::config::PoolSettings;
use crate::kubelet;
use crate::names::{DeviceId, PoolName};
use crate::picture::{Device, Lent, PoolPicture};
use crate::pool::{self, Cause, Look, Standing};
use crate::refusal::{Refusal, RefusalKind};
use crate::time::Now;

/// One pool.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PoolState {
    name: PoolName,
    settings: PoolSettings,
    standing: Standing,
    answer: Option<Arc<ContainerAnswer>>,
    /// What a device adds to it, where devices are things of their own.
    own: Arc<BTreeMap<DeviceId, ContainerAnswer>>,
    devices: Arc<Vec<Device>>,
    /// How many of them the settings give it. What stands after them is lent, and goes with its
    /// holder: the pool was larger when it was lent.
    dealt: usize,
    /// Where each device stands in `devices`.
    slots: BTreeMap<DeviceId, usize>,
    /// What keeps free devices back although they could work.
    kept_back: Option<Cause>,
}

impl PoolState {
    pub(super) fn new(name: PoolName, settings: PoolSettings) -> Self {
        Self {
            name,
            settings,
            standing: Standing::default(),
            answer: None,
            own: Arc::default(),
            devices: Arc::default(),
            dealt: 0,
            slots: BTreeMap::new(),
            kept_back: None,
        }
    }

    /// Its name for Kubernetes.
    pub(super) fn resource(&self) -> String {
        self.settings.resource_name(&self.name)
    }

    pub(super) fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Whether a device does for any other.
    pub(super) fn is_interchangeable(&self) -> bool {
        pool::is_interchangeable(&self.settings)
    }

    /// Lists the devices anew. What is lent stays listed even where the pool has shrunk below it.
    fn rebuild(
        &mut self,
        standing: Standing,
        kept_back: Option<Cause>,
        lent: &BTreeMap<DeviceId, Lent>,
    ) {
        self.answer = standing.answer.clone().map(Arc::new);
        let own = standing.own.iter().map(|(id, own)| (id.clone(), own.answer.clone()));
        self.own = Arc::new(own.collect());
        self.standing = standing;
        self.kept_back = kept_back;
        let mut devices = pool::devices(&self.name, &self.settings, &self.standing);
        self.dealt = devices.len();
        let listed: BTreeSet<_> = devices.iter().map(|device| device.id.clone()).collect();
        // Any place does for a slot; a thing that is not there stands nowhere.
        let place = self.standing.places.keys().next().filter(|_| self.is_interchangeable());
        let numa_node = place.and_then(|place| place.numa_node);
        for id in lent.keys().filter(|id| !listed.contains(*id)) {
            let id = id.clone();
            devices.push(Device { id, numa_node, cause: None, local_only: false, lent: Lent::No });
        }
        for device in &mut devices {
            device.lent = lent.get(&device.id).copied().unwrap_or_default();
            device.cause = self.cause(device);
        }
        self.devices = Arc::new(devices);
        self.number();
    }

    fn number(&mut self) {
        let numbered = self.devices.iter().enumerate();
        self.slots = numbered.map(|(at, device)| (device.id.clone(), at)).collect();
    }

    /// Why a device cannot work, or is kept back.
    fn cause(&self, device: &Device) -> Option<Cause> {
        let own = self.standing.cause(device);
        own.or_else(|| self.kept_back.clone().filter(|_| device.lent == Lent::No))
    }

    pub(super) fn lent(&self, device: &DeviceId) -> Option<Lent> {
        self.devices.get(*self.slots.get(device)?).map(|device| device.lent)
    }

    pub(super) fn set_lent(&mut self, id: &DeviceId, lent: Lent) {
        let Some(at) = self.slots.get(id).copied() else { return };
        if lent == Lent::No && at >= self.dealt {
            Arc::make_mut(&mut self.devices).remove(at);
            return self.number();
        }
        let Some(device) = Arc::make_mut(&mut self.devices).get_mut(at) else { return };
        device.lent = lent;
        if self.kept_back.is_some() {
            let device = device.clone();
            let cause = self.cause(&device);
            if let Some(device) = Arc::make_mut(&mut self.devices).get_mut(at) {
                device.cause = cause;
            }
        }
    }

    pub(super) fn is_local_only(&self, device: &DeviceId) -> bool {
        self.slots
            .get(device)
            .and_then(|at| self.devices.get(*at))
            .is_some_and(|device| device.local_only)
    }

    /// Devices for a local program: its own share first, then from the top of the list, since the
    /// kubelet is told to choose from the bottom.
    pub(super) fn pick(&self, count: u32) -> Result<Vec<DeviceId>, Refusal> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let free = |device: &&Device| device.lent == Lent::No && device.cause.is_none();
        let own = self.devices.iter().rev().filter(|device| device.local_only);
        let shared = self.devices.iter().rev().filter(|device| !device.local_only);
        let picked: Vec<_> =
            own.chain(shared).filter(free).take(count).map(|d| d.id.clone()).collect();
        if picked.len() == count {
            return Ok(picked);
        }
        let what = "nothing was lent";
        let broken = self
            .devices
            .iter()
            .find_map(|device| device.cause.as_ref().filter(|_| device.lent == Lent::No));
        let short = format!("{count} asked for, {} free in pool {}", picked.len(), self.name);
        Err(match broken {
            Some(cause) => Refusal::new(
                RefusalKind::Blocked,
                what,
                format!("{short}; the others cannot work: {cause}"),
                cause.fix(),
            ),
            None => {
                let fix =
                    "wait for one to be given back (`onloadctl allocations` shows who holds them)";
                Refusal::new(RefusalKind::InUse, what, short, fix)
            }
        })
    }

    /// A free device in place of `of`: of the same NUMA node if there is one. A physical thing has
    /// none.
    pub(super) fn spare(
        &self,
        of: &DeviceId,
        except: impl Fn(&DeviceId) -> bool,
    ) -> Option<DeviceId> {
        let node = self.devices.get(*self.slots.get(of)?)?.numa_node;
        let free = self.devices.iter().filter(|device| {
            self.is_interchangeable()
                && device.lent == Lent::No
                && device.cause.is_none()
                && !except(&device.id)
        });
        free.max_by_key(|device| {
            (device.numa_node == node, device.local_only, self.slots.get(&device.id))
        })
        .map(|device| device.id.clone())
    }

    /// What each container gets for its devices, if all of them are offered and can work.
    pub(super) fn answers_for(
        &self,
        what: &str,
        containers: &[Vec<DeviceId>],
    ) -> Result<Vec<ContainerAnswer>, Refusal> {
        for id in containers.iter().flatten() {
            let device = self.slots.get(id).and_then(|at| self.devices.get(*at));
            let Some(device) = device.filter(|device| !device.local_only) else {
                let why = format!("pool {} does not offer {id}", self.name);
                return Err(Refusal::new(
                    RefusalKind::NotFound,
                    what,
                    why,
                    "see `onloadctl pools`",
                ));
            };
            if let Some(cause) = &device.cause {
                let why = format!("{id} cannot work: {cause}");
                return Err(Refusal::new(RefusalKind::Blocked, what, why, cause.fix()));
            }
        }
        let Some(common) = &self.answer else {
            let cause = Cause::LibrariesMissing;
            return Err(Refusal::new(RefusalKind::Blocked, what, cause.to_string(), cause.fix()));
        };
        let for_one = |devices: &Vec<DeviceId>| {
            let mut answer = common.as_ref().clone();
            let own = devices.iter().filter_map(|id| self.own.get(id));
            own.for_each(|device| answer.add(device));
            answer
        };
        Ok(containers.iter().map(for_one).collect())
    }

    /// The first reason why nothing at all can be had of it.
    pub(super) fn unserved(&self) -> Option<&Cause> {
        let healthy = self.standing.places.values().any(Option::is_none);
        let causes = || self.standing.places.values().flatten();
        // What is gone explains nothing of what is there and does not work.
        let first = causes().find(|cause| !cause.is_absence()).or_else(|| causes().next());
        let first = first.or(self.standing.nowhere.as_ref());
        if healthy { None } else { Some(first.unwrap_or(&Cause::NoPort)) }
    }

    /// Whether it has no port, and none is missed. No card, or none as it is described, is a state
    /// and not an error; a port that somebody named is missed, and one that was there in this run
    /// while others still are.
    pub(super) fn is_vacant(&self) -> bool {
        let had_none = self.standing.places.is_empty();
        self.settings.ports.is_empty()
            && self
                .unserved()
                .is_some_and(|cause| *cause == Cause::NoPort || (cause.is_absence() && had_none))
    }

    pub(super) fn picture(&self, registered: bool) -> PoolPicture {
        PoolPicture {
            kind: self.settings.kind,
            resource: self.resource(),
            selectors: pool::selectors(&self.settings),
            ports: self.standing.ports.clone(),
            registration: self.settings.registration,
            check_at_start: self.settings.check_at_start,
            devices: self.devices.clone(),
            answer: self.answer.clone(),
            own: self.own.clone(),
            registered,
        }
    }
}

impl Reconciler {
    /// Judges every pool by the last look.
    pub(super) fn stand_pools(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        let wanted = self.config.settings.pools.clone();
        let chosen = self.chosen(&snapshot);
        self.pools.retain(|name, state| wanted.get(name) == Some(&state.settings));
        self.unregistered.retain(|name, _| wanted.contains_key(name));
        for (name, settings) in wanted {
            let former = self.pools.remove(&name);
            let mut state =
                former.clone().unwrap_or_else(|| PoolState::new(name.clone(), settings));
            let look = Look {
                snapshot: &snapshot,
                hardware: &self.hardware,
                chosen: &chosen,
                profiles: &self.config.files,
            };
            let standing = pool::stand(&name, &state.settings, &look, &state.standing);
            let standing = if matches!(self.ledger_health, LedgerHealth::Unreadable(_)) {
                hands_off(standing)
            } else {
                standing
            };
            let standing = match self.clock_fault().filter(|_| state.settings.require_clock) {
                Some(why) => without_time(standing, &why),
                None => standing,
            };
            let kept_back = self.kept_back();
            if former.is_none() || state.standing != standing || state.kept_back != kept_back {
                let mut lent = self.withdrawn(&name);
                lent.extend(self.lent_of(&name));
                state.rebuild(standing, kept_back, &lent);
            }
            self.pools.insert(name, state);
        }
    }

    /// What keeps every free device from being lent, whatever it could do.
    fn kept_back(&self) -> Option<Cause> {
        if let Some(change) = &self.ledger.change {
            let to = change.target().unwrap_or(&change.to).to_string();
            return Some(Cause::Changing { to });
        }
        self.ledger.hold.as_ref().map(|hold| Cause::Held { reason: hold.reason.clone() })
    }

    /// What the ledger says of a pool's devices.
    fn lent_of(&self, pool: &PoolName) -> BTreeMap<DeviceId, Lent> {
        let of_pool = self.ledger.allocations.values().filter(|one| one.pool == *pool);
        of_pool
            .map(|one| {
                let lent =
                    if one.is_local() { Lent::Local(one.id) } else { Lent::Container(one.id) };
                (one.device.clone(), lent)
            })
            .collect()
    }

    pub(super) fn register(&mut self, now: Now, pool: PoolName, registered: bool) {
        self.no_doubt(&pool);
        if registered {
            self.unregistered.remove(&pool);
        }
        let changed = if registered {
            self.registered.insert(pool.clone())
        } else {
            self.registered.remove(&pool)
        };
        if changed {
            self.publish_soon(now.boot);
            if registered { self.kubelet_came(now, &pool) } else { self.kubelet_went(&pool) }
        }
    }

    /// Notes why no kubelet listens to a pool.
    pub(super) fn not_registered(&mut self, now: Now, pool: PoolName, why: String) {
        self.unregistered.insert(pool, why);
        self.publish_soon(now.boot);
    }

    /// Pools that a kubelet is to know and does not, each with why as far as that is known; empty for
    /// none.
    pub(super) fn awaits_kubelet(&self) -> String {
        let offered = self.picture.pools.iter().filter(|(_, pool)| kubelet::is_on_a_port(pool));
        let waiting = offered.filter(|(name, _)| !self.registered.contains(*name));
        let words = waiting.map(|(name, _)| match self.unregistered.get(name) {
            Some(why) => format!("{name}: {why}"),
            None => name.to_string(),
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

/// What could work cannot while the node has no time.
fn without_time(mut standing: Standing, why: &str) -> Standing {
    for cause in standing.places.values_mut().filter(|cause| cause.is_none()) {
        *cause = Some(Cause::ClockUnsynchronised { why: why.to_owned() });
    }
    standing
}

/// Nobody knows who holds what, so nothing is offered.
fn hands_off(mut standing: Standing) -> Standing {
    for cause in standing.places.values_mut() {
        *cause = Some(Cause::HandsOff);
    }
    Standing { answer: None, ..standing }
}
