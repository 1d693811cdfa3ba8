//! The kubelet's own end-to-end cases for device plugins, on this one: who keeps which device over
//! which restart, who is refused, and what is said of health and place.

use std::collections::{BTreeMap, BTreeSet};

use onload_tests::kubelet::{Rejected, Seen, healthy};
use onload_tests::node::PATIENCE;

use crate::rig::{ALL, RESOURCE, Rig, lent};

/// Something that starts anew around a pod.
struct Restart {
    name: &'static str,
    happens: fn(&mut Rig),
}

const RESTARTS: [Restart; 6] = [
    Restart { name: "a container", happens: |_| {} },
    Restart { name: "the kubelet", happens: |rig| rig.restart_kubelet() },
    Restart { name: "the plugin, which registers again", happens: Rig::restart_daemon },
    Restart {
        name: "the kubelet, and then the plugin",
        happens: |rig| {
            rig.restart_kubelet();
            rig.restart_daemon();
        },
    },
    Restart {
        name: "the plugin, while there is no kubelet",
        happens: |rig| {
            rig.stop_kubelet();
            rig.restart_daemon();
            rig.restart_kubelet();
        },
    },
    Restart { name: "the node", happens: |rig| rig.reboot(|world| world) },
];

#[test]
fn assignments_are_kept_whatever_starts_anew() {
    let mut rig = Rig::new();
    let pods = [rig.pod(), rig.pod()];
    for Restart { name, happens } in RESTARTS {
        let asked = rig.kubelet.seen().pods;
        happens(&mut rig);
        rig.served();
        for pod in &pods {
            let crashed = rig.kubelet.restart_container(pod.pod).unwrap();
            let anew =
                rig.kubelet.replay(pod.pod).unwrap_or_else(|unfit| panic!("{name}: {unfit}"));
            assert!(crashed == pod.response && anew == pod.response, "{name}");
        }
        rig.held_by(&[&pods[0], &pods[1]]);
        assert_eq!(rig.kubelet.seen().pods, asked, "{name}: nobody was asked to lend anything");
    }
}

#[test]
fn every_pod_gets_another_device() {
    let mut rig = Rig::new();
    let mut pods = Vec::new();
    for Restart { happens, .. } in RESTARTS {
        pods.push(rig.try_pod(1).unwrap());
        pods.push(rig.try_pod(2).unwrap());
        happens(&mut rig);
        rig.served();
    }
    let ids: BTreeSet<_> = pods.iter().flat_map(|pod| &pod.ids).collect();
    assert_eq!(ids.len(), 3 * RESTARTS.len());
    rig.held_by(&pods.iter().collect::<Vec<_>>());
}

#[test]
fn a_pod_that_needs_more_than_is_there_is_refused_and_leaks_nothing() {
    let mut rig = Rig::new();
    let first = rig.try_pod(ALL - 3).unwrap();
    let refused = rig.try_pod(4).unwrap_err();
    assert!(matches!(refused, Rejected::TooFew { wanted: 4, free: 3 }), "{refused}");
    rig.held_by(&[&first]);
    // A kubelet that has lost count and asks for what is not there, beside what is.
    let free = rig.kubelet.devices(RESOURCE);
    let free = free.keys().find(|id| !first.ids.contains(id)).unwrap();
    for ids in [[free.as_str(), "onload-100"], ["onload-4000", free.as_str()]] {
        rig.try_pod_with(&ids).unwrap_err();
    }
    rig.held_by(&[&first]);
    let second = rig.try_pod(3).unwrap();
    rig.held_by(&[&first, &second]);
}

#[test]
fn unhealthy_devices_leave_allocatable_and_come_back() {
    let mut rig = Rig::stopped("[pools.onload]\nrequire-carrier = true\n");
    rig.node.start().unwrap();
    let devices = rig.listed(ALL, ALL);
    let on_the_first: Vec<_> =
        devices.iter().filter(|(_, device)| device.numa == [0]).map(|(id, _)| id.clone()).collect();
    let stays = rig.try_pod_with(&on_the_first[..1]).unwrap();
    for port in ["0000:3b:00.0", "0000:3b:00.1"] {
        rig.node.act(&format!("link {port} down")).unwrap();
    }
    let devices = rig.listed(ALL, ALL / 2);
    assert!(on_the_first.iter().all(|id| !devices[id].is_healthy()), "one card's and no other's");
    let refused = rig.try_pod(ALL / 2 + 1).unwrap_err();
    assert!(matches!(refused, Rejected::TooFew { free: 50, .. }), "{refused}");
    let moved = rig.try_pod(2).unwrap();
    assert!(moved.ids.iter().all(|id| !on_the_first.contains(id)), "{:?}", moved.ids);
    rig.held_by(&[&stays, &moved]);
    for port in ["0000:3b:00.0", "0000:3b:00.1"] {
        rig.node.act(&format!("link {port} up")).unwrap();
    }
    rig.served();
    assert_eq!(rig.kubelet.replay(stays.pod).unwrap(), stays.response);
}

#[test]
fn every_device_says_where_its_card_is_and_pods_stand_together() {
    let rig = Rig::new();
    let devices = rig.kubelet.devices(RESOURCE);
    let mut by_node: BTreeMap<Vec<i64>, usize> = BTreeMap::new();
    for device in devices.values() {
        *by_node.entry(device.numa.clone()).or_default() += 1;
    }
    assert_eq!(by_node, BTreeMap::from([(vec![0], ALL / 2), (vec![1], ALL / 2)]));
    let nodes = |ids: &[String]| {
        let nodes: BTreeSet<_> = ids.iter().map(|id| devices[id].numa[0]).collect();
        nodes.into_iter().collect::<Vec<_>>()
    };
    // Where the topology manager has placed its CPUs.
    for node in [1, 0, 1] {
        let near = rig.kubelet.allocate_near(RESOURCE, 3, Some(node));
        assert_eq!(nodes(&rig.background.run(near).unwrap().ids), [node]);
    }
    // Where it has not: on one node while one has room for all.
    let packed = rig.try_pod(40).unwrap();
    assert_eq!(nodes(&packed.ids).len(), 1, "{:?}", packed.ids);
    let spread = rig.try_pod(50).unwrap();
    assert_eq!(nodes(&spread.ids), [0, 1]);
}

#[test]
fn over_a_restart_of_the_daemon_capacity_stays_and_allocatable_is_nothing_but_once() {
    let mut rig = Rig::new();
    rig.pod();
    for _ in 0..3 {
        let registrations = rig.kubelet.seen().registrations.len();
        let (background, kubelet) = (rig.background.clone(), &rig.kubelet);
        let node = &mut rig.node;
        let mut counts = std::thread::scope(|scope| {
            let watching = scope.spawn(move || {
                let mut counts = Vec::new();
                let again = |seen: &Seen| {
                    let devices = seen.devices(RESOURCE);
                    counts.push((devices.len(), healthy(devices)));
                    seen.registrations.len() > registrations && healthy(devices) == ALL
                };
                let what = "a registration and its devices";
                background.run(kubelet.wait_until(what, PATIENCE, again)).map(|_| counts)
            });
            node.stop().unwrap();
            node.start().unwrap();
            watching.join().unwrap().unwrap()
        });
        counts.dedup();
        assert_eq!(counts, [(ALL, ALL), (ALL, 0), (ALL, ALL)]);
    }
    assert_eq!(lent(&rig.node).len(), 1);
}
