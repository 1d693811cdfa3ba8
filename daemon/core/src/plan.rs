//! The planner: what is wanted and what is seen in, steps and blockers out.

use std::collections::BTreeSet;

use crate::blocker::{Blocked, Blocker};
use crate::hardware::{Acceleration, Hardware};
use crate::inventory::{ModuleState, Origin, Snapshot};
use crate::names::{ModuleName, ReleaseName};
use crate::reading::Reading;
use crate::release::{HOST, IN_TREE};
use crate::step::Step;

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
                if seen.origin()
                    == Reading::Known(match release.as_str() {
                        IN_TREE => Origin::OutOfTree,
                        _ => Origin::InTree,
                    }) =>
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{inner, module_of, node, port_of, spoilt, without};

    /// The plan as people read it: steps, then blockers, then whether something is awaited.
    fn planned(release: Option<&str>, snapshot: &Snapshot) -> (Vec<String>, Vec<String>, bool) {
        let release = release.map(|name| name.parse().unwrap());
        let Plan { steps, blockers, waiting } =
            plan(release.as_ref(), snapshot, &Hardware::shipped());
        let blockers =
            blockers.iter().map(|one| format!("{}: {}", one.subject, one.blocker.reason()));
        (steps.iter().map(ToString::to_string).collect(), blockers.collect(), waiting)
    }

    #[test]
    fn what_is_planned_for_a_release() {
        let gone = |name: &'static str| spoilt(|node| without(node, name));
        let unread = || "permission denied".to_owned();
        let in_tree = |node: &mut Snapshot| {
            module_of(node, "sfc").taint = Reading::Known(String::new());
        };
        let bare = spoilt(|node| node.modules = Reading::Known(Default::default()));
        let coming = spoilt(|node| module_of(node, "onload").state = ModuleState::Coming);
        let blind = spoilt(|node| node.modules = Reading::Unreadable(unread()));
        let no_bus = spoilt(|node| node.ports = Reading::Unreadable(unread()));
        let no_card = spoilt(|node| node.ports = Reading::Known(Default::default()));
        let other_card = spoilt(|node| {
            inner(&mut node.ports).retain(|_, port| {
                port.vendor = Reading::Known(0x8086);
                true
            });
            without(node, "onload");
        });
        let x3 = spoilt(|node| {
            port_of(node, 0).device = Reading::Known(0x5084);
            port_of(node, 0).vendor = Reading::Known(0x10ee);
        });
        type Case<'a> = (&'a str, Option<&'a str>, Snapshot, &'a [&'a str], &'a [&'a str], bool);
        let cases: [Case<'_>; 16] = [
            ("all is loaded: nothing to do", Some("host"), node(), &[], &[], false),
            ("no release is named: modules are left alone", None, bare.clone(), &[], &[], false),
            (
                "nothing is loaded: the driver first, so that its auxiliary devices are there",
                Some("host"),
                bare.clone(),
                &["load module sfc from host", "load module onload from host"],
                &[],
                false,
            ),
            (
                "onload alone is missing",
                Some("9.2.1"),
                gone("onload"),
                &["load module onload from 9.2.1"],
                &[],
                false,
            ),
            (
                "in-tree wants the driver alone",
                Some("in-tree"),
                bare,
                &["load module sfc from in-tree"],
                &[],
                false,
            ),
            (
                "in-tree has what it wants, whatever else is loaded",
                Some("in-tree"),
                spoilt(in_tree),
                &[],
                &[],
                false,
            ),
            (
                "in-tree is not what is loaded: that is said, and nothing unloaded under anybody",
                Some("in-tree"),
                node(),
                &[],
                &["sfc: WrongOrigin"],
                false,
            ),
            (
                "the kernel's own sfc is not replaced under anybody",
                Some("host"),
                spoilt(in_tree),
                &[],
                &["sfc: WrongOrigin"],
                false,
            ),
            (
                "an in-tree sfc does not keep onload from being loaded",
                Some("host"),
                spoilt(|node| {
                    in_tree(node);
                    without(node, "onload");
                }),
                &["load module onload from host"],
                &["sfc: WrongOrigin"],
                false,
            ),
            (
                "another version is not replaced under anybody",
                Some("9.3.0"),
                node(),
                &[],
                &["onload: WrongRelease"],
                false,
            ),
            ("host is whatever the distribution brings", Some("host"), node(), &[], &[], false),
            ("a module on its way is awaited", Some("host"), coming, &[], &[], true),
            (
                "modules that cannot be read are not guessed",
                Some("host"),
                blind,
                &[],
                &["sfc: Unreadable", "onload: Unreadable"],
                false,
            ),
            (
                "a bus that cannot be read is said, release or not",
                None,
                no_bus,
                &[],
                &["ports: Unreadable"],
                false,
            ),
            ("no card needs nothing", Some("host"), no_card, &[], &[], false),
            ("another maker's card needs nothing", Some("host"), other_card, &[], &[], false),
        ];
        for (why, release, snapshot, steps, blockers, waiting) in cases {
            let (seen_steps, seen_blockers, seen_waiting) = planned(release, &snapshot);
            assert_eq!((seen_steps.as_slice(), seen_waiting), (&own(steps)[..], waiting), "{why}");
            assert_eq!(seen_blockers, own(blockers), "{why}");
        }
        let drivers = drivers(&x3, &Hardware::shipped()).into_known().unwrap();
        assert!(drivers.contains("sfc"), "one card's driver does not hide another's: {drivers:?}");
    }

    fn own(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}
