//! Whether the devices that the kubelet has under a pool's resource are the pool's. Another plugin
//! can take a resource by its name, the newest wins, and nobody tells the former one
//! (reference/kubelet-api.md sections 13 and 15): its stream goes on, and pods get the other's
//! answers.

use std::collections::BTreeSet;

use super::{AFTERWARDS, Reconciler};
use crate::kubelet::is_offered;
use crate::names::PoolName;
use crate::picture::Device;
use crate::pods::Offered;
use crate::time::Now;

/// Answers in a row that show it until it is said: a list may be on its way while the kubelet is asked.
const ENOUGH: u32 = 2;
/// Ids that a message names.
const NAMED: usize = 3;

/// What makes one think that another plugin has a pool's resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Answers in a row that showed it.
    answers: u32,
    why: String,
}

impl Reconciler {
    /// Compares what the kubelet has of the pools that are registered with what they are.
    pub(super) fn doubt(&mut self, now: Now, offered: &[Offered]) {
        let mut doubts = std::mem::take(&mut self.asking.doubts);
        let registered =
            self.registered.iter().filter_map(|name| Some((name, self.pools.get(name)?)));
        let found: Vec<_> = registered
            .filter_map(|(name, pool)| {
                let why = taken(name, &pool.resource(), pool.devices(), offered)?;
                let answers = doubts.remove(name).map_or(0, |former| former.answers);
                Some((name.clone(), Doubt { answers: answers.saturating_add(1), why }))
            })
            .collect();
        if found.iter().any(|(_, doubt)| doubt.answers < ENOUGH) {
            self.ask_at(now.boot + AFTERWARDS);
        }
        self.asking.doubts = found.into_iter().collect();
    }

    /// Sockets of other plugins have come or gone: perhaps one that takes a resource of ours, which it
    /// does as soon as it serves.
    pub(in crate::reconcile) fn plugin_socket(&mut self, now: Now) {
        if !self.registered.is_empty() {
            self.ask_at(now.boot + AFTERWARDS);
        }
    }

    /// The pool is registered anew, or not any more: what was thought of it is void.
    pub(in crate::reconcile) fn no_doubt(&mut self, pool: &PoolName) {
        self.asking.doubts.remove(pool);
    }

    /// What is to be said of pools whose resource another plugin has; empty for none.
    pub(in crate::reconcile) fn other_plugins(&self) -> String {
        let doubts = self.asking.doubts.values().filter(|doubt| doubt.answers >= ENOUGH);
        let whys: Vec<_> = doubts.map(|doubt| doubt.why.as_str()).collect();
        if whys.is_empty() {
            return String::new();
        }
        format!(
            "{}; pods get the other plugin's answers. What to do: find and remove it (the Onload Operator's is called sfc-deviceplugin), then restart onloadd, which registers again",
            whys.join("; ")
        )
    }
}

/// What shows that another plugin has the resource; none where the kubelet has what the pool offers.
fn taken(
    pool: &PoolName,
    resource: &str,
    devices: &[Device],
    offered: &[Offered],
) -> Option<String> {
    let ours: BTreeSet<&str> = devices.iter().map(|device| device.id.as_str()).collect();
    let of_it = offered.iter().filter(|one| one.resource == resource);
    let has: BTreeSet<&str> = of_it.flat_map(|one| &one.devices).map(String::as_str).collect();
    let others: Vec<_> = has.difference(&ours).copied().collect();
    if !others.is_empty() {
        let named = others.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let rest = match others.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        return Some(format!(
            "another plugin has registered {resource} of pool {pool} as well: the kubelet has {named}{rest}, which the pool has not"
        ));
    }
    let offers = devices.iter().any(|device| !device.local_only && is_offered(device));
    (offers && has.is_empty()).then(|| {
        format!(
            "the kubelet has no device of pool {pool} under {resource} although it took the list: another plugin has, or had, registered the same resource"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Lent;
    use crate::pool::Cause;

    const RESOURCE: &str = "amd.com/p";

    fn device(id: &str) -> Device {
        let id = id.parse().unwrap();
        Device { id, numa_node: None, cause: None, local_only: false, lent: Lent::No }
    }

    fn offered(resource: &str, ids: &[&str]) -> Offered {
        let devices = ids.iter().map(|id| (*id).to_owned()).collect();
        Offered { resource: resource.to_owned(), devices }
    }

    #[test]
    fn what_shows_that_another_has_the_resource() {
        let two = [device("p-0"), device("p-1")];
        let sick = [Device { cause: Some(Cause::NoPort), ..device("p-0") }];
        let own = [Device { local_only: true, ..device("p-0") }];
        type Case<'a> = (&'a str, &'a [Device], &'a [Offered], Option<&'a str>);
        let cases: [Case<'_>; 10] = [
            ("as it is", &two, &[offered(RESOURCE, &["p-1", "p-0"])], None),
            ("some of it", &two, &[offered(RESOURCE, &["p-1"])], None),
            (
                "node by node",
                &two,
                &[offered(RESOURCE, &["p-1"]), offered(RESOURCE, &["p-0"])],
                None,
            ),
            ("others' things", &two, &[offered(RESOURCE, &["p-1"]), offered("x/y", &["z"])], None),
            ("another's", &two, &[offered(RESOURCE, &["sfc-0"])], Some("has sfc-0, which")),
            ("both", &two, &[offered(RESOURCE, &["p-0", "sfc-0"])], Some("has sfc-0, which")),
            (
                "many",
                &two,
                &[offered(RESOURCE, &["a", "b", "c", "d", "e"])],
                Some("has a, b, c and 2 more, which"),
            ),
            ("nothing of it", &two, &[offered("x/y", &["z"])], Some("no device of pool p")),
            ("nothing, and nothing to have", &sick, &[], None),
            ("nothing, and nothing for it", &own, &[], None),
        ];
        let pool = "p".parse().unwrap();
        for (why, devices, offered, expected) in cases {
            let said = taken(&pool, RESOURCE, devices, offered);
            match (&said, expected) {
                (None, None) => {}
                (Some(said), Some(part)) => {
                    assert!(said.contains(part) && said.contains(RESOURCE), "{why}: {said}");
                }
                _ => panic!("{why}: {said:?}"),
            }
        }
    }
}
