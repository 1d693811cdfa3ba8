//! What is given back late, twice, or while somebody else has it already.

use std::time::Duration;

use crate::rig::{RESOURCE, Rig, holder, lent};

pub fn what_only_an_init_container_needed_is_free_again() {
    let mut rig = Rig::new();
    let init = rig.try_pod(3).unwrap();
    let app = rig.background.run(rig.kubelet.next_container(&init, 1)).unwrap();
    assert!(init.ids.contains(&app.ids[0]));
    rig.held_by(&[&app]);
    // The kubelet blocks the rest until the pod ends; what it has free goes to others.
    let next = rig.try_pod(97).unwrap();
    assert!(next.ids.iter().all(|id| !init.ids.contains(id)));
    rig.try_pod(1).unwrap_err();
    rig.kubelet.release(RESOURCE, &init.ids);
    rig.kubelet.release(RESOURCE, &next.ids);
    rig.held_by(&[]);
}

pub fn of_two_pods_that_are_listed_the_newer_has_the_device() {
    let mut rig = Rig::new();
    let former = rig.pod();
    rig.kubelet.finish(former.pod);
    let next = rig.try_pod_with(&former.ids).unwrap();
    rig.held_by(&[&next]);
    rig.condition("AllocationsConsistent", "True");
    rig.kubelet.forget_finished();
    std::thread::sleep(Duration::from_millis(1200));
    rig.held_by(&[&next]);
}

pub fn a_device_has_no_memory_of_who_had_it() {
    let mut rig = Rig::new();
    let former = rig.pod();
    rig.kubelet.release(RESOURCE, &former.ids);
    rig.held_by(&[]);
    let next = rig.try_pod_with(&former.ids).unwrap();
    let fresh = rig.try_pod(1).unwrap();
    assert_ne!(fresh.ids, former.ids);
    assert!(next.response == former.response && next.response == fresh.response);
}

pub fn a_late_end_does_not_reach_the_next_holder() {
    let mut rig = Rig::new();
    let former = rig.pod();
    let id = rig.node.json(&["allocations"]).unwrap()["allocations"][0]["id"].clone();
    rig.kubelet.release(RESOURCE, &former.ids);
    // At once, within the former's grace.
    let next = rig.try_pod_with(&former.ids).unwrap();
    rig.held_by(&[&next]);
    // And whoever tidies up after the former comes too late.
    let late = rig.node.ctl(["free", id.as_str().unwrap(), "--force"]).unwrap();
    assert!(!late.status.success(), "{late:?}");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(lent(&rig.node), [(holder(&next), next.ids[0].clone())]);
}
