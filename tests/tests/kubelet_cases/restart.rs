//! The kubelet restarts while pods have devices.

use onload_tests::kubelet::{Rejected, Unfit};
use tonic::Code;

use crate::rig::{ALL, Rig, in_three_parts};

pub fn running_pods_are_admitted_anew() {
    let mut rig = Rig::new();
    let pods = [rig.pod(), rig.pod(), rig.pod()];
    rig.restart_kubelet();
    rig.served();
    for pod in &pods {
        assert_eq!(rig.kubelet.replay(pod.pod).unwrap(), pod.response);
    }
    rig.held_by(&[&pods[0], &pods[1], &pods[2]]);
}

pub fn a_device_that_an_init_container_had_goes_on_to_the_next() {
    let mut rig = Rig::new();
    let init = rig.try_pod(1).unwrap();
    let app = rig.background.run(rig.kubelet.next_container(&init, 1)).unwrap();
    assert_eq!((&app.ids, &app.response), (&init.ids, &init.response));
    rig.held_by(&[&app]);
    rig.restart_kubelet();
    rig.served();
    assert_eq!(rig.kubelet.replay(init.pod).unwrap(), app.response);
    rig.held_by(&[&app]);
    rig.kubelet.release(&app.resource, &app.ids);
    rig.held_by(&[]);
}

pub fn a_pod_that_comes_too_early_costs_only_itself() {
    let mut rig = Rig::new();
    let stays = rig.pod();
    rig.node.stop().unwrap();
    rig.restart_kubelet();
    let early = rig.try_pod(1).unwrap_err();
    assert!(matches!(early, Rejected::Unregistered), "{early}");
    assert_eq!(rig.kubelet.replay(stays.pod), Err(Unfit::Unregistered));
    rig.node.start().unwrap();
    rig.served();
    let next = rig.pod();
    rig.held_by(&[&stays, &next]);
}

pub fn what_is_not_there_is_neither_lent_nor_started_with() {
    // Nobody brings the driver back but the case.
    let mut rig = Rig::stopped("[modules]\ndrift = \"report\"\n");
    rig.node.start().unwrap();
    rig.served();
    let pod = rig.pod();
    rig.node.act("driver gone onload").unwrap();
    rig.listed(ALL, 0);
    let insists = rig.try_pod_with(&["onload-50"]).unwrap_err();
    let status = insists.status().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert!(in_three_parts(status.message()), "{status}");
    rig.restart_kubelet();
    rig.listed(ALL, 0);
    assert_eq!(rig.kubelet.replay(pod.pod), Err(Unfit::NoneHealthy));
    rig.node.act("load onload").unwrap();
    rig.served();
    assert_eq!(rig.kubelet.replay(pod.pod).unwrap(), pod.response);
    rig.held_by(&[&pod]);
}

pub fn what_changed_meanwhile_reaches_the_new_kubelet() {
    let rig = Rig::new();
    for round in 0..6 {
        let (turn, well) = if round % 2 == 0 { ("gone", 0) } else { ("back", ALL) };
        // Before the kubelet comes, while it does, and just after.
        if round % 3 == 0 {
            rig.stop_kubelet();
            rig.node.act(&format!("libraries of host {turn}")).unwrap();
            rig.restart_kubelet();
        } else {
            rig.restart_kubelet();
            if round % 3 == 2 {
                rig.seen("a registration", |seen| seen.registrations.len() > round + 1);
            }
            rig.node.act(&format!("libraries of host {turn}")).unwrap();
        }
        rig.listed(ALL, well);
    }
}
