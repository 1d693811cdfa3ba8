//! The planner: what is wanted and what is seen in, steps and blockers out.

use std::collections::BTreeSet;

use crate::blocker::{Blocked, Blocker};
use crate::hardware::{Acceleration, Hardware};
use crate::inventory::{ModuleState, Origin, Snapshot};
use crate::names::{ModuleName, ReleaseName};
use crate::reading::Reading;
use crate::step::Step;

/// The release that is the kernel's own driver and nothing else.
const IN_TREE: &str = "in-tree";
/// The release that is what the distribution's packages installed.
const HOST: &str = "host";

/// What is left to do, and what is in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order. Only the first is done before the next look.
    pub steps: Vec<Step>,
    /// Why a subject is not as wanted.
    pub blockers: Vec<Blocked>,
    /// Something is under way that nobody has to do anything about.
    pub waiting: bool,
}

/// Plans. No release: modules are left alone; what is not seen is said all the same.
pub fn plan(release: Option<&ReleaseName>, snapshot: &Snapshot, hardware: &Hardware) -> Plan {
    let mut plan = Plan::default();
    let drivers = match drivers(snapshot, hardware) {
        Reading::Known(drivers) => drivers,
        Reading::Absent => return plan,
        Reading::Unreadable(why) => {
            plan.block("ports", Blocker::Unreadable { part: "the PCI bus".to_owned(), why });
            return plan;
        }
    };
    let Some(release) = release else { return plan };
    for module in wanted(release, &drivers) {
        plan.judge(module, release, snapshot);
    }
    plan
}

/// The modules a release brings for these drivers, in load order: drivers before the stack, so
/// that auxiliary devices exist when it looks for them (reference/onload-modules.md section 2.2).
/// `onload` pulls `sfc_char` and `sfc_resource`.
pub fn wanted(release: &ReleaseName, drivers: &BTreeSet<String>) -> Vec<ModuleName> {
    let stack = (release.as_str() != IN_TREE && !drivers.is_empty()).then_some("onload");
    drivers.iter().map(String::as_str).chain(stack).filter_map(|name| name.parse().ok()).collect()
}

/// Drivers that the cards of the node need; absent where there is no card Onload accelerates.
pub fn drivers(snapshot: &Snapshot, hardware: &Hardware) -> Reading<BTreeSet<String>> {
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
    if drivers.is_empty() { Reading::Absent } else { Reading::Known(drivers) }
}

impl Plan {
    /// One module. The order of the arms is the order in which we explain them.
    fn judge(&mut self, module: ModuleName, release: &ReleaseName, snapshot: &Snapshot) {
        let subject = module.to_string();
        match snapshot.module(&subject) {
            Reading::Unreadable(why) => {
                self.block(
                    subject,
                    Blocker::Unreadable { part: "the list of modules".to_owned(), why },
                );
            }
            Reading::Absent => {
                self.steps.push(Step::LoadModule { module, release: release.clone() })
            }
            Reading::Known(seen) if seen.state != ModuleState::Live => self.waiting = true,
            Reading::Known(seen)
                if release.as_str() != IN_TREE
                    && seen.origin() == Reading::Known(Origin::InTree) =>
            {
                self.block(subject, Blocker::WrongOrigin { module, release: release.clone() });
            }
            Reading::Known(seen) => {
                // Only `onload` carries the version of its release; `sfc` has one of its own.
                let loaded = seen.version.known().filter(|_| subject == "onload");
                let is_named = release.as_str() != HOST && release.as_str() != IN_TREE;
                if let Some(loaded) =
                    loaded.filter(|loaded| is_named && *loaded != release.as_str())
                {
                    let (loaded, wanted) = (loaded.clone(), release.clone());
                    self.block(subject, Blocker::WrongRelease { loaded, wanted });
                }
            }
        }
    }

    /// Adds a blocker.
    pub fn block(&mut self, subject: impl Into<String>, blocker: Blocker) {
        self.blockers.push(Blocked { subject: subject.into(), blocker });
    }
}
