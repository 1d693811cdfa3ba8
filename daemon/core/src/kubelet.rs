//! What the kubelet is told of a pool: the list of its devices, which of them are best taken, and
//! whether a container may start with those it was given.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{DeviceId, PoolName};
use crate::picture::{Device, Lent, Picture, PoolPicture};
use crate::pool::Cause;
use crate::refusal::{Refusal, RefusalKind};

/// One device as the kubelet's list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Its id.
    pub id: DeviceId,
    /// Whether new pods may get it. Pods that have it keep it either way.
    pub healthy: bool,
    /// NUMA node, for the topology of pods.
    pub numa_node: Option<u32>,
}

/// Whether pools are offered at all, by the configuration in force; they are unless it says no.
pub fn is_enabled(picture: &Picture) -> bool {
    picture.config.get("kubelet.enabled").is_none_or(|entry| entry.value == "true")
}

/// Whether a pool is worth a registration: it has, or had for somebody, a device on a port. A node
/// without a card would show the resource with a capacity of which nothing can ever be had.
pub fn is_on_a_port(pool: &PoolPicture) -> bool {
    let absent = |device: &Device| device.cause.as_ref().is_some_and(Cause::is_absence);
    let stands = |device: &Device| !absent(device) || device.lent != Lent::No;
    pool.devices.iter().any(stands)
}

/// The pool's list, in slot order. Devices for local programs only are not on it; one that is lent
/// locally, or about to be, is on it as not to be had. What a container holds stays there by its
/// own health, as the kubelet wants it (reference/kubelet-api.md section 14 rule 5).
pub fn device_list(pool: &PoolPicture) -> Vec<Advertised> {
    let listed = pool.devices.iter().filter(|device| !device.local_only);
    listed
        .map(|device| Advertised {
            id: device.id.clone(),
            healthy: is_offered(device),
            numa_node: device.numa_node,
        })
        .collect()
}

/// Which `size` devices of those available a container is best given: what it must include first,
/// then from the bottom of the slot list, since local programs are served from its top. One NUMA
/// node if one can do it, the fullest use of a node otherwise. Devices that no pod may have any
/// more are left out, so the answer can be short; the kubelet takes it as advice.
pub fn preferred(
    pool: &PoolPicture,
    available: &[String],
    must_include: &[String],
    size: usize,
) -> Vec<String> {
    let mut chosen: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    for id in must_include.iter().map(String::as_str) {
        if seen.insert(id) {
            chosen.push(id);
        }
    }
    let wanted = size.saturating_sub(chosen.len());
    let available: BTreeSet<&str> = available.iter().map(String::as_str).collect();
    let mut nodes: BTreeMap<Option<u32>, Vec<(usize, &Device)>> = BTreeMap::new();
    let mut near = BTreeSet::new();
    for (slot, device) in pool.devices.iter().enumerate() {
        let id = device.id.as_str();
        if seen.contains(id) {
            near.insert(device.numa_node);
        } else if available.contains(id) && !device.local_only && is_offered(device) {
            nodes.entry(device.numa_node).or_default().push((slot, device));
        }
    }
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_by_key(|(node, devices)| {
        let fits = devices.len() >= wanted;
        // The smallest that fits, so that large requests find a whole node later; of those that do
        // not, the largest, so that few nodes are mixed.
        let room = if fits { devices.len() } else { usize::MAX - devices.len() };
        (!near.contains(node), !fits, room, devices.first().map(|(slot, _)| *slot))
    });
    for (_, devices) in &mut nodes {
        // What a container is still noted for comes last: its pod may have ended, as the kubelet
        // says, yet a device nobody has is the surer one.
        devices.sort_by_key(|(slot, device)| (is_lent_to_container(device), *slot));
        chosen.extend(devices.iter().map(|(_, device)| device.id.as_str()));
    }
    chosen.into_iter().take(size).map(str::to_owned).collect()
}

/// Whether a container may start with the devices it was given. The kubelet repeats what it was once
/// answered at every start and asks nobody (reference/kubelet-api.md section 5), so this is where a
/// driver that is away, or a device that became another's, is noticed. One that is lent to nobody
/// may be the container's all the same: its grant may not have survived a loss of power and not be
/// taken in yet, or it is an init container's, which is named nowhere.
///
/// # Errors
/// The first device, in the order given, that is unknown, cannot work now, or is a local program's.
pub fn may_start(pool: &PoolName, of: &PoolPicture, asked: &[DeviceId]) -> Result<(), Refusal> {
    let wanted: BTreeSet<&DeviceId> = asked.iter().collect();
    let devices = of.devices.iter().filter(|device| wanted.contains(&device.id));
    let devices: BTreeMap<&DeviceId, &Device> =
        devices.map(|device| (&device.id, device)).collect();
    for id in asked {
        let refused = |kind, why: String, fix: String| {
            let what = format!("a container with {id} of pool {pool} was not started");
            Err(Refusal::new(kind, what, why, fix))
        };
        let Some(device) = devices.get(id) else {
            let why = "the pool has no such device any more".to_owned();
            return refused(RefusalKind::NotFound, why, delete_pod());
        };
        // A hold keeps what is free from being lent, not what was given before it from working.
        let held = matches!(device.cause, Some(Cause::Held { .. }));
        if let Some(cause) = device.cause.as_ref().filter(|_| !held) {
            return refused(
                RefusalKind::Blocked,
                format!("it cannot work: {cause}"),
                format!("{}; the kubelet tries again by itself", cause.fix()),
            );
        }
        match device.lent {
            Lent::No | Lent::Container(_) => {}
            Lent::Withdrawn | Lent::Local(_) => {
                let why = "it is a local program's by now".to_owned();
                return refused(RefusalKind::Blocked, why, delete_pod());
            }
        }
    }
    Ok(())
}

fn delete_pod() -> String {
    "delete the pod: its successor gets a device of its own".to_owned()
}

/// Whether a pod may have it, as far as health and local holders go.
pub(crate) fn is_offered(device: &Device) -> bool {
    device.cause.is_none()
        && match device.lent {
            Lent::No | Lent::Container(_) => true,
            Lent::Withdrawn | Lent::Local(_) => false,
        }
}

fn is_lent_to_container(device: &Device) -> bool {
    match device.lent {
        Lent::Container(_) => true,
        Lent::No | Lent::Withdrawn | Lent::Local(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::PoolKind;
    use crate::names::AllocationId;
    use crate::pool::Cause;

    const FREE: Lent = Lent::No;
    const HELD: Lent = Lent::Container(AllocationId(1));
    const LOCAL: Lent = Lent::Local(AllocationId(2));

    fn device(slot: usize, numa_node: Option<u32>, lent: Lent) -> Device {
        let id = format!("p-{slot}").parse().unwrap();
        Device { id, numa_node, cause: None, local_only: false, lent }
    }

    fn pool(devices: Vec<Device>) -> PoolPicture {
        PoolPicture {
            kind: PoolKind::Onload,
            resource: "amd.com/p".to_owned(),
            devices: Arc::new(devices),
            ..PoolPicture::default()
        }
    }

    /// A pool whose slot `n` stands on the node that the list names at `n`.
    fn on_nodes(nodes: &[u32]) -> PoolPicture {
        pool(nodes.iter().enumerate().map(|(slot, node)| device(slot, Some(*node), FREE)).collect())
    }

    fn ids(slots: &[usize]) -> Vec<String> {
        slots.iter().map(|slot| format!("p-{slot}")).collect()
    }

    #[test]
    fn health_follows_cause_and_local_holders() {
        let sick = Some(Cause::LibrariesMissing);
        let cases = [
            ("free", FREE, None, true),
            ("free and broken", FREE, sick.clone(), false),
            ("about to be lent locally", Lent::Withdrawn, None, false),
            ("lent locally", LOCAL, None, false),
            ("a container's", HELD, None, true),
            ("a container's and broken", HELD, sick, false),
        ];
        for (why, lent, cause, healthy) in cases {
            let one = Device { cause, ..device(7, Some(1), lent) };
            let expected = Advertised { id: "p-7".parse().unwrap(), healthy, numa_node: Some(1) };
            assert_eq!(device_list(&pool(vec![one])), [expected], "{why}");
        }
    }

    #[test]
    fn local_devices_are_not_listed_and_slot_order_is_kept() {
        let mut devices: Vec<_> = [10, 9, 2].map(|slot| device(slot, None, FREE)).into();
        devices.push(Device { local_only: true, ..device(3, None, FREE) });
        let list = device_list(&pool(devices));
        let listed: Vec<_> = list.iter().map(|device| device.id.as_str()).collect();
        assert_eq!(listed, ["p-10", "p-9", "p-2"]);
        assert_eq!(device_list(&pool(Vec::new())), []);
    }

    #[test]
    fn preferences() {
        // Slots 0 2 4 5 6 on node 0, slots 1 3 on node 1.
        let two_nodes = on_nodes(&[0, 1, 0, 1, 0, 0, 0]);
        let all = [0, 1, 2, 3, 4, 5, 6];
        type Case<'a> = (&'a str, &'a [usize], &'a [usize], usize, &'a [usize]);
        let cases: [Case<'_>; 11] = [
            ("the smaller node that fits", &all, &[], 2, &[1, 3]),
            ("the larger where only it fits", &all, &[], 3, &[0, 2, 4]),
            ("spills from the largest", &all, &[], 6, &[0, 2, 4, 5, 6, 1]),
            ("stays with what must be", &all, &[6], 3, &[6, 0, 2]),
            ("stays, then spills", &all, &[3], 4, &[3, 1, 0, 2]),
            ("must be, though not available", &[0, 1], &[5], 2, &[5, 0]),
            ("only what is available", &[6, 5], &[], 2, &[5, 6]),
            ("a tie goes to the lower slot", &[1, 2], &[], 1, &[1]),
            ("fewer than asked for", &[4], &[], 3, &[4]),
            ("more must be than asked for", &all, &[6, 5, 6], 1, &[6]),
            ("nothing asked for", &all, &[], 0, &[]),
        ];
        for (why, available, must_include, size, expected) in cases {
            let mut backwards = ids(available);
            backwards.reverse();
            let answer = preferred(&two_nodes, &backwards, &ids(must_include), size);
            assert_eq!(answer, ids(expected), "{why}");
        }
    }

    #[test]
    fn a_container_starts_with_what_works_and_is_no_local_programs() {
        let sick = Some(Cause::LibrariesMissing);
        let pool = pool(vec![
            device(0, None, HELD),
            Device { cause: sick.clone(), ..device(1, None, HELD) },
            device(2, None, FREE),
            device(3, None, LOCAL),
            device(4, None, Lent::Withdrawn),
            Device { cause: sick, ..device(5, None, FREE) },
            // What became local only since it was lent is still the container's.
            Device { local_only: true, ..device(6, None, HELD) },
            Device { cause: Some(Cause::Held { reason: "x".to_owned() }), ..device(7, None, FREE) },
            Device { cause: Some(Cause::Changing { to: "x".to_owned() }), ..device(8, None, FREE) },
        ]);
        let (missing, locals) = (Cause::LibrariesMissing.to_string(), "a local program's");
        type Case<'a> = (&'a str, &'a [usize], Option<(RefusalKind, usize, &'a str)>);
        let cases: [Case<'_>; 11] = [
            ("works and is lent", &[0], None),
            ("all do", &[6, 0], None),
            ("cannot work", &[1], Some((RefusalKind::Blocked, 1, &missing))),
            ("nobody's, by what is known", &[2], None),
            ("nobody's on a held node", &[7], None),
            ("nobody's during a change", &[8], Some((RefusalKind::Blocked, 8, "replaced"))),
            ("a local program's", &[3], Some((RefusalKind::Blocked, 3, locals))),
            ("about to be one's", &[4], Some((RefusalKind::Blocked, 4, locals))),
            ("nobody's that cannot work", &[5], Some((RefusalKind::Blocked, 5, &missing))),
            ("unknown", &[0, 9], Some((RefusalKind::NotFound, 9, "no such device"))),
            ("the first of several", &[0, 3, 1], Some((RefusalKind::Blocked, 3, locals))),
        ];
        let name: PoolName = "p".parse().unwrap();
        for (why, asked, expected) in cases {
            let asked: Vec<DeviceId> = ids(asked).iter().map(|id| id.parse().unwrap()).collect();
            match (may_start(&name, &pool, &asked), expected) {
                (Ok(()), None) => {}
                (Err(refusal), Some((kind, slot, part))) => {
                    let what = format!("a container with p-{slot} of pool p was not started");
                    assert_eq!((refusal.kind, &refusal.what), (kind, &what), "{why}");
                    assert!(refusal.why.contains(part), "{why}: {refusal}");
                }
                (said, expected) => panic!("{why}: {said:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_no_pod_may_have_is_not_preferred() {
        let devices = vec![
            device(0, None, Lent::Withdrawn),
            device(1, None, HELD),
            device(2, None, LOCAL),
            Device { cause: Some(Cause::NoPort), ..device(3, None, FREE) },
            Device { local_only: true, ..device(4, None, FREE) },
            device(5, None, FREE),
        ];
        let mut available = ids(&[0, 1, 2, 3, 4, 5]);
        available.push("unknown".to_owned());
        assert_eq!(preferred(&pool(devices), &available, &[], 9), ids(&[5, 1]));
    }
}
