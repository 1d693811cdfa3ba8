//! From what the reconciler knows to the picture that outsiders see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{LedgerHealth, Reconciler};
use crate::blocker::{Blocked, Blocker};
use crate::change::Rejected;
use crate::inventory::{Interface, STACK, Snapshot};
use crate::names::{ModuleName, PciAddress, ReleaseName};
use crate::parameters::{self, Difference};
use crate::picture::{ModulePicture, NodeState, PortPicture, ReleasePicture};
use crate::plan;
use crate::pool::{self, Route};
use crate::reading::Reading;
use crate::release::{initramfs, preflight};
use crate::secure_boot::verdict::AtHand;
use crate::time::Now;

impl Reconciler {
    /// Brings the picture up to date.
    pub(super) fn refresh(&mut self, now: Now) {
        if let Some(snapshot) = self.snapshot.clone() {
            self.show_machine(&snapshot);
        }
        let blockers = self.blockers();
        self.picture.state = self.state(&blockers);
        self.picture.summary = self.summary(&blockers);
        self.picture.generation = self.ledger.generation;
        // A plan is made in the same event as the order it follows; a look still under way may
        // show it otherwise.
        if !self.looking || self.snapshot.is_none() {
            self.picture.observed_generation = self.ledger.generation;
        }
        self.picture.probing = self.snapshot.is_none() || self.settle.is_some();
        // Where nothing can be adopted, the configuration still says what is wanted.
        let intent = self.intent();
        self.picture.wanted_release = intent.release;
        self.picture.wanted_by = intent.by;
        self.picture.loaded_release = self.loaded_release();
        self.picture.change = self.ledger.change.clone();
        replace(&mut self.picture.history, self.ledger.past.clone());
        self.picture.hold = self.ledger.hold.clone();
        self.picture.allocations = self.ledger.allocations.clone();
        let others = self.show_others();
        replace(&mut self.picture.others, others);
        let plan = self.plan.steps.iter().map(ToString::to_string).collect();
        replace(&mut self.picture.plan, plan);
        let pools = self
            .pools
            .iter()
            .map(|(name, pool)| (name.clone(), pool.picture(self.registered.contains(name))))
            .collect();
        replace(&mut self.picture.pools, pools);
        if *self.picture.config != self.config.entries {
            self.picture.config = Arc::new(self.config.entries.clone());
        }
        let conditions = self.conditions(&blockers, now.wall);
        replace(&mut self.picture.conditions, conditions);
        replace(&mut self.picture.blockers, blockers);
    }

    fn show_machine(&mut self, snapshot: &Arc<Snapshot>) {
        let names = self.show_names(snapshot);
        replace(&mut self.picture.naming, names);
        let clocks = self.show_clocks(snapshot);
        replace(&mut self.picture.clocks, clocks);
        let chosen = self.chosen(snapshot);
        let picture = &mut self.picture;
        picture.kernel = snapshot.kernel.clone();
        picture.boot_id = snapshot.boot_id.clone();
        picture.loaded_version = snapshot.driver.version.clone();
        replace(&mut picture.interfaces, snapshot.interfaces.known().cloned().unwrap_or_default());
        picture.interfaces_unreadable = match &snapshot.interfaces {
            Reading::Unreadable(why) => Some(why.clone()),
            Reading::Known(_) | Reading::Absent => None,
        };
        // A gap in the list is a gap in every port's interface, not the absence of one.
        let missing =
            picture.interfaces_unreadable.as_deref().map(Interface::unreadable).unwrap_or_default();
        let ports = snapshot.ports.known().into_iter().flatten();
        let ports: BTreeMap<PciAddress, PortPicture> = ports
            .filter_map(|(address, port)| {
                let route = Route::of(*address, port, &self.hardware, &chosen)?;
                let family = self.hardware.family(port);
                let interface = snapshot.interface_of(address);
                Some((
                    *address,
                    PortPicture {
                        port: port.clone(),
                        family: family.map(|one| one.family.clone()).unwrap_or_default(),
                        controller: family.map(|one| one.controller.clone()).unwrap_or_default(),
                        datapath: route.datapath(),
                        netdev: interface.map(|(name, _)| name.clone()),
                        interface: interface
                            .map_or_else(|| missing.clone(), |(_, found)| found.clone()),
                        driver_origin: port
                            .driver
                            .as_ref()
                            .and_then(|driver| pool::driver_origin(driver, snapshot)),
                        obstacle: route.obstacle(*address, port, snapshot),
                    },
                ))
            })
            .collect();
        replace(&mut picture.ports, ports);
        // Certificates and checksums are compared once for each look, not for each picture.
        if !std::ptr::eq(self.released.as_ptr(), Arc::as_ptr(snapshot)) {
            replace(&mut picture.releases, releases(snapshot));
            self.released = Arc::downgrade(snapshot);
        }
        if let Some(users) = snapshot.users.known() {
            replace(&mut picture.users, users.clone());
        } else if snapshot.module("onload").is_absent() {
            replace(&mut picture.users, BTreeMap::new());
        }
        let modules = self.modules(snapshot);
        replace(&mut self.picture.modules, modules);
    }

    /// What is loaded, and of the stack also what is not.
    fn modules(&self, snapshot: &Snapshot) -> BTreeMap<ModuleName, ModulePicture> {
        let drivers = plan::drivers(snapshot, &self.hardware, &self.chosen(snapshot)).into_known();
        let wanted = self.target().zip(drivers);
        let wanted = wanted.map(|(release, drivers)| plan::wanted(&release, &drivers));
        let wanted = wanted.unwrap_or_default();
        let differences = parameters::differences(snapshot);
        let stack = STACK.iter().filter_map(|name| name.parse::<ModuleName>().ok());
        let loaded =
            snapshot.modules.known().into_iter().flat_map(|modules| modules.keys().cloned());
        stack
            .chain(loaded)
            .map(|name| {
                let module = match snapshot.module(name.as_str()) {
                    Reading::Known(module) => Reading::Known(module.clone()),
                    Reading::Absent => Reading::Absent,
                    Reading::Unreadable(why) => Reading::Unreadable(why),
                };
                // `onload` brings these two.
                let pulled = ["sfc_char", "sfc_resource"].contains(&name.as_str())
                    && wanted.iter().any(|module| module.as_str() == "onload");
                let wanted = pulled || wanted.contains(&name);
                let of = |one: &&Difference| one.module == name;
                let differing = differences.iter().filter(of).cloned().collect();
                (name, ModulePicture { module, wanted, differing })
            })
            .collect()
    }

    /// Everything in the way, the most important first.
    fn blockers(&self) -> Vec<Blocked> {
        let mut found = Vec::new();
        let mut add =
            |subject: &str, blocker| found.push(Blocked { subject: subject.to_owned(), blocker });
        match &self.ledger_health {
            LedgerHealth::Available => {}
            LedgerHealth::Unreadable(why) => {
                add("ledger", Blocker::LedgerUnreadable { why: why.clone() })
            }
            LedgerHealth::Unwritable(why) => {
                add("ledger", Blocker::LedgerUnwritable { why: why.clone() })
            }
        }
        if let Some(error) = &self.config_fault {
            let (error, former_in_force) = (error.clone(), self.configured);
            add("configuration", Blocker::ConfigurationInvalid { error, former_in_force });
        }
        if let Some(hold) = &self.ledger.hold {
            add("node", Blocker::Held { reason: hold.reason.clone() });
        }
        if self.ledger.stopped {
            add("node", Blocker::Stopped);
        }
        // Without a configuration there is no wish that could wait.
        let adopted = self.adopted().filter(|_| self.configured);
        if let Some(adopted) = adopted.filter(|adopted| **adopted != self.config.settings.modules) {
            let name = |release: &Option<ReleaseName>| {
                release.as_ref().map_or_else(|| "no release".to_owned(), ToString::to_string)
            };
            let (from, to) = (name(&adopted.release), name(&self.config.settings.modules.release));
            let change = if from == to {
                format!("{to}, with other settings")
            } else {
                format!("{from} → {to}")
            };
            add("configuration", Blocker::AwaitingOrder { change });
        }
        if let Some(change) = self.ledger.change.as_ref().filter(|one| one.confirm_by.is_some()) {
            let release = change.to.clone();
            add("node", Blocker::AwaitingConfirmation { release });
        }
        if let Some(rejected) = self.rejected() {
            let Rejected { release, former, why, .. } = rejected.clone();
            add(&release.to_string(), Blocker::Rejected { release: release.clone(), former, why });
        }
        found.extend(self.failed_step());
        found.extend(self.plan.blockers.iter().chain(&self.plan.remarks).cloned());
        // A pool that cannot be served is the effect of what is listed or planned already.
        if found.is_empty() && !self.is_converging() {
            for (name, pool) in &self.pools {
                if let Some(cause) = pool.unserved().filter(|_| !pool.is_vacant()) {
                    let blocker =
                        Blocker::PoolUnserved { pool: name.clone(), cause: cause.clone() };
                    found.push(Blocked { subject: name.to_string(), blocker });
                }
            }
        }
        found
    }

    fn state(&self, blockers: &[Blocked]) -> NodeState {
        if self.hands_off() || self.ledger_health != LedgerHealth::Available {
            NodeState::Degraded
        } else if self.snapshot.is_none() {
            NodeState::Converging
        } else if self.ledger.hold.is_some() {
            NodeState::Held
        } else if self.is_converging() {
            NodeState::Converging
        } else if !blockers.is_empty() {
            NodeState::Blocked
        } else if self.picture.ports.is_empty() {
            NodeState::Idle
        } else {
            NodeState::Ready
        }
    }

    fn summary(&self, blockers: &[Blocked]) -> String {
        match self.picture.state {
            NodeState::Converging => match self.plan.steps.first() {
                Some(step) => step.to_string(),
                None if self.plan.waiting => "waiting for a module".to_owned(),
                None if self.ledger.change.is_some() => match blockers.first() {
                    Some(one) => one.blocker.why(),
                    None => "looking whether the release is in place".to_owned(),
                },
                None => "looking at the machine".to_owned(),
            },
            NodeState::Idle => "no card that Onload accelerates".to_owned(),
            NodeState::Ready => {
                let ports =
                    self.picture.ports.values().filter(|port| port.obstacle.is_none()).count();
                let pools = self.pools.values().filter(|pool| !pool.is_vacant());
                let devices: usize = pools.map(|pool| pool.devices().len()).sum();
                let version =
                    self.picture.loaded_version.known().filter(|version| !version.is_empty());
                let version = version
                    .map_or_else(|| "Onload".to_owned(), |version| format!("Onload {version}"));
                format!("{version} on {ports} ports, {devices} devices")
            }
            NodeState::Blocked | NodeState::Held | NodeState::Degraded => match blockers.first() {
                Some(one) if one.subject == "node" => one.blocker.why(),
                Some(one) => format!("{}: {}", one.subject, one.blocker.why()),
                None => String::new(),
            },
        }
    }
}

fn releases(snapshot: &Snapshot) -> BTreeMap<ReleaseName, ReleasePicture> {
    let at_hand = AtHand::of(&snapshot.trust);
    let releases = snapshot.releases.known().into_iter().flatten();
    releases
        .map(|(name, release)| {
            let matches_driver = snapshot.driver.interface.as_ref().and_then(|hash| {
                release.interfaces.as_ref().map(|interfaces| interfaces.contains(hash))
            });
            let kernels = snapshot.kernels.known().into_iter().flat_map(|kernels| kernels.keys());
            let own = release.modules.known().into_iter().flat_map(|modules| modules.keys());
            let kernels: BTreeSet<_> = kernels.chain(own).cloned().collect();
            let remarks = kernels
                .iter()
                .map(|kernel| (kernel.clone(), initramfs::remarks(name, kernel, snapshot)))
                .filter(|(_, remarks)| !remarks.is_empty())
                .collect();
            let kernels = kernels
                .into_iter()
                .map(|kernel| {
                    (kernel.clone(), preflight::checked(name, &kernel, snapshot, &at_hand))
                })
                .collect();
            let release = release.clone();
            (name.clone(), ReleasePicture { release, matches_driver, kernels, remarks })
        })
        .collect()
}

/// Keeps what is equal, so that readers can tell by pointer what did not change.
pub(super) fn replace<T: PartialEq>(place: &mut Arc<T>, value: T) {
    if **place != value {
        *place = Arc::new(value);
    }
}
