//! The planner: what is wanted and what is seen in, steps and blockers out.

use std::collections::BTreeSet;

use crate::af_xdp::{self, Choice, Chosen};
use crate::blocker::{Blocked, Blocker};
use crate::hardware::{Acceleration, Hardware};
use crate::inventory::{Autoload, COMPANIONS, Loader, STACK, Snapshot};
use crate::names::{InterfaceName, ModuleName, ReleaseName};
use crate::reading::Reading;
use crate::release::{self, HOST, IN_TREE};
use crate::step::Step;

pub mod holders;
pub mod standing;
pub mod verify;

use standing::{Loads, Standing};

/// What is left to do, and what is in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order. Only the first is done before the next look.
    pub steps: Vec<Step>,
    /// Why a subject is not as wanted.
    pub blockers: Vec<Blocked>,
    /// Said as blockers are, and in the way of nothing else.
    pub remarks: Vec<Blocked>,
    /// Something is under way that nobody has to do anything about.
    pub waiting: bool,
    /// What is taken away before anything is brought in.
    pub takes: Takes,
}

/// How much of what is loaded must go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Takes {
    /// Nothing.
    #[default]
    Nothing,
    /// Onload's modules. The network stays.
    Stack,
    /// The driver of the ports too: interfaces and clocks go with it.
    Driver,
}

/// Plans. No release: modules are left alone; what is not seen is said all the same.
pub fn plan(
    release: Option<&ReleaseName>,
    snapshot: &Snapshot,
    hardware: &Hardware,
    choices: &[Choice],
    loads: &Loads,
) -> Plan {
    let mut plan = Plan::default();
    let chosen = af_xdp::choose(choices, snapshot, hardware);
    if release.is_none_or(|release| release.as_str() != IN_TREE) {
        plan.remark(&chosen, release.is_some());
    }
    let drivers = match drivers(snapshot, hardware, &chosen) {
        Reading::Known(drivers) => drivers,
        Reading::Absent => return plan,
        Reading::Unreadable(why) => {
            plan.block("ports", Blocker::Unreadable { part: "the PCI bus".to_owned(), why });
            return plan;
        }
    };
    let Some(release) = release else { return plan };
    let wanted = wanted(release, &drivers);
    let stand = |name: &str| standing::of(name, release, snapshot, loads);
    for module in &wanted {
        if let Standing::Unreadable(why) = stand(module.as_str()) {
            let blocker = Blocker::Unreadable { part: "the list of modules".to_owned(), why };
            plan.block(module.to_string(), blocker);
        }
    }
    if !plan.blockers.is_empty() {
        return plan;
    }
    let of_interest = wanted.iter().map(ModuleName::as_str).chain(STACK);
    if of_interest.into_iter().any(|name| stand(name) == Standing::InFlight) {
        plan.waiting = true;
        return plan;
    }
    plan.takes = takes(release, &drivers, &stand);
    plan.take_away(snapshot, &stand);
    plan.bring_in(&wanted, release, snapshot, &stand);
    if release.as_str() != IN_TREE {
        plan.keep_registered(&chosen);
        plan.register(&chosen, snapshot);
    }
    plan
}

/// What must go. Without Onload wanted, its modules are left alone where the driver is right. Where
/// that has gone from under them, or `onload` itself from above the rest, they go too, or what is
/// left would depend on who took it away.
fn takes(
    release: &ReleaseName,
    drivers: &BTreeSet<String>,
    stand: &impl Fn(&str) -> Standing,
) -> Takes {
    let stack = STACK.iter().filter(|name| **name != "sfc").any(|name| stand(name).is_wrong());
    let driver = drivers.contains("sfc").then(|| stand("sfc"));
    if driver.as_ref().is_some_and(Standing::is_wrong) {
        Takes::Driver
    } else if stack
        && (release.as_str() != IN_TREE
            || driver == Some(Standing::Absent)
            || stand("onload") == Standing::Absent)
    {
        Takes::Stack
    } else {
        Takes::Nothing
    }
}

/// The modules a release brings for these drivers, in load order: drivers before the stack, so
/// that auxiliary devices exist when it looks for them (reference/onload-modules.md section 2.2).
/// `onload` pulls `sfc_char` and `sfc_resource`.
pub fn wanted(release: &ReleaseName, drivers: &BTreeSet<String>) -> Vec<ModuleName> {
    let stack = (release.as_str() != IN_TREE).then_some("onload");
    drivers.iter().map(String::as_str).chain(stack).filter_map(|name| name.parse().ok()).collect()
}

/// Drivers that the cards of the node need, none where all ports are offered through AF_XDP;
/// absent where there is no port for Onload.
pub fn drivers(
    snapshot: &Snapshot,
    hardware: &Hardware,
    chosen: &Chosen,
) -> Reading<BTreeSet<String>> {
    let ports = match &snapshot.ports {
        Reading::Known(ports) => ports,
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) => return Reading::Unreadable(why.clone()),
    };
    let drivers: BTreeSet<_> = ports
        .values()
        .filter_map(|port| hardware.family(port))
        .filter(|family| family.onload != Acceleration::No)
        .map(|family| family.driver.clone())
        .collect();
    let none = drivers.is_empty() && chosen.ports.is_empty();
    if none { Reading::Absent } else { Reading::Known(drivers) }
}

/// What modprobe must be told for a release once its driver is there.
fn loader(release: &ReleaseName, snapshot: &Snapshot) -> Loader {
    let found = snapshot.releases.known().and_then(|releases| releases.get(release));
    let server = found.filter(|_| release::is_imported(release)).and_then(|found| {
        let server = found.server.as_ref()?;
        Some(format!("{}/{server}", found.root.trim_end_matches('/')))
    });
    Loader { autoload: Autoload::Allowed, server }
}

impl Plan {
    /// Unloading, users before what they use. The control plane last of all that can be asked to
    /// go, the kernel's own driver kept from coming back in between.
    fn take_away(&mut self, snapshot: &Snapshot, stand: &impl Fn(&str) -> Standing) {
        let going: &[&str] = match self.takes {
            Takes::Nothing => return,
            Takes::Stack => &["onload", "sfc_char", "sfc_resource"],
            Takes::Driver => &["onload", "sfc_char", "sfc_resource", "sfc", "sfc_driverlink"],
        };
        let now = snapshot.loader.known().cloned().unwrap_or_default();
        if self.takes == Takes::Driver && now.autoload == Autoload::Allowed {
            self.steps.push(Step::WriteLoader(Loader { autoload: Autoload::Blocked, ..now }));
        }
        let served = snapshot.driver.control_plane.known().is_some_and(|pids| !pids.is_empty());
        if served && stand("onload") != Standing::Absent {
            self.steps.push(Step::StopControlPlane);
        }
        let loaded = going.iter().filter(|name| snapshot.module(name).known().is_some());
        let modules = loaded.filter_map(|name| name.parse().ok());
        self.steps.extend(modules.map(|module| Step::UnloadModule { module }));
    }

    fn bring_in(
        &mut self,
        wanted: &[ModuleName],
        release: &ReleaseName,
        snapshot: &Snapshot,
        stand: &impl Fn(&str) -> Standing,
    ) {
        let comes = |module: &&ModuleName| match module.as_str() {
            "onload" => self.takes > Takes::Nothing || stand("onload") == Standing::Absent,
            "sfc" => self.takes == Takes::Driver || stand("sfc") == Standing::Absent,
            other => snapshot.module(other).is_absent(),
        };
        let coming: Vec<_> = wanted.iter().filter(comes).cloned().collect();
        // A tree of its own has no more than its own modules: what they need comes from the
        // host's first (reference/onload-modules.md section 2.2).
        if release.as_str() != HOST {
            let mut needed: BTreeSet<&ModuleName> = BTreeSet::new();
            for name in STACK {
                let loads = coming.iter().any(|module| {
                    module.as_str() == name || (name != "sfc" && module.as_str() == "onload")
                });
                let file = standing::file_of(name, release, snapshot).filter(|_| loads);
                needed.extend(file.into_iter().flat_map(|file| &file.depends));
            }
            let host = HOST.parse::<ReleaseName>().ok();
            let seen_when_loaded = |name: &&ModuleName| COMPANIONS.contains(&name.as_str());
            let missing = needed.into_iter().filter(seen_when_loaded);
            let missing = missing.filter(|name| snapshot.module(name.as_str()).is_absent());
            self.steps.extend(missing.zip(std::iter::repeat(host)).filter_map(|(module, host)| {
                Some(Step::LoadModule { module: module.clone(), release: host? })
            }));
        }
        let loads_stack = coming.iter().any(|module| module.as_str() == "onload");
        for module in coming {
            if module.as_str() == "onload" {
                self.tell_modprobe(release, snapshot, true);
            }
            // The driver of another maker's card is in none of Onload's releases.
            let from = match module.as_str() {
                "sfc" | "onload" => release.clone(),
                _ => HOST.parse().unwrap_or_else(|_| release.clone()),
            };
            self.steps.push(Step::LoadModule { module, release: from });
        }
        if !loads_stack {
            self.tell_modprobe(release, snapshot, self.takes == Takes::Driver);
        }
    }

    /// What modprobe was told is put right: before `onload` is loaded, or where it is a block that
    /// nobody needs any more.
    fn tell_modprobe(&mut self, release: &ReleaseName, snapshot: &Snapshot, needed: bool) {
        let loader = loader(release, snapshot);
        let step = Step::WriteLoader(loader);
        let blocked = snapshot.loader.known().is_some_and(|now| now.autoload == Autoload::Blocked);
        let written = self.steps.iter().any(|step| matches!(step, Step::WriteLoader(_)));
        if (needed || blocked) && (written || !step.holds_in(snapshot)) {
            self.steps.push(step);
        }
    }

    /// What is registered and would be refused now is lost with `sfc_resource`.
    fn keep_registered(&mut self, chosen: &Chosen) {
        if self.takes == Takes::Nothing {
            return;
        }
        for interface in chosen.ports.values() {
            let refused = chosen.refused.iter().find(|(name, _)| name == interface.as_str());
            if let Some((name, unfit)) = refused {
                let (interface, unfit) = (interface.clone(), unfit.clone());
                self.block(name, Blocker::AfXdpLost { interface, unfit });
            }
        }
    }

    /// Registration of what is not registered, or will not be any more when it is due: it goes with
    /// `sfc_resource`.
    fn register(&mut self, chosen: &Chosen, snapshot: &Snapshot) {
        let all = chosen.ports.values();
        let lost = |name: &&InterfaceName| {
            self.takes > Takes::Nothing || !af_xdp::is_registered(name, snapshot)
        };
        let steps = all.filter(lost).cloned().map(|interface| Step::RegisterAfXdp { interface });
        let steps: Vec<_> = steps.collect();
        self.steps.extend(steps);
    }

    /// What somebody else registered is nobody's affair where modules are left alone.
    fn remark(&mut self, chosen: &Chosen, ours: bool) {
        let refused = chosen.refused.iter().map(|(interface, unfit)| Blocked {
            subject: interface.clone(),
            blocker: Blocker::AfXdpRefused { interface: interface.clone(), unfit: unfit.clone() },
        });
        let unasked = chosen.unasked.iter().filter(|_| ours).map(|interface| Blocked {
            subject: interface.to_string(),
            blocker: Blocker::AfXdpUnasked { interface: interface.clone() },
        });
        self.remarks.extend(refused.chain(unasked));
    }

    /// Adds a blocker.
    pub fn block(&mut self, subject: impl Into<String>, blocker: Blocker) {
        self.blockers.push(Blocked { subject: subject.into(), blocker });
    }
}

#[cfg(test)]
mod tests;
