//! A memory that was lost, damaged or written by another version: the kubelet's, and our own.

use std::fs;
use std::time::Duration;

use onload_tests::kubelet::Unfit;

use crate::rig::{ALL, Rig, condition, holder, lent};

pub fn a_ledger_of_another_version_is_left_alone_and_said() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    rig.node.stop().unwrap();
    let ledger = rig.node.state_directory().join("ledger.json");
    let ours = fs::read_to_string(&ledger).unwrap();
    let (header, rest) = ours.split_once('\n').unwrap();
    assert!(header.starts_with("{\"onloadd-ledger\":"), "{header}");
    let next = format!("{{\"onloadd-ledger\":99}}\n{rest}");
    fs::write(&ledger, &next).unwrap();
    rig.node.start().unwrap();
    rig.listed(ALL, 0);
    let status = rig.node.status().unwrap();
    assert_eq!(status["state"], "degraded", "{status}");
    let said = condition(&rig.node, "LedgerAvailable");
    assert!(said["message"].as_str().unwrap().contains("ledger.json"), "{said}");
    let refused = rig.try_pod_with(&[&pod.ids[0]]);
    assert!(refused.is_err(), "the kubelet's record says who has it, and ours cannot");
    rig.node.stop().unwrap();
    assert_eq!(fs::read_to_string(&ledger).unwrap(), next);

    // The version that wrote it comes back.
    fs::write(&ledger, ours).unwrap();
    rig.node.start().unwrap();
    rig.served();
    rig.held_by(&[&pod]);
}

pub fn a_kubelet_without_memory_finds_the_resource_and_strays_are_shown() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    rig.reboot(|world| world);
    rig.stop_kubelet();
    rig.kubelet.lose_checkpoint();
    rig.restart_kubelet();
    rig.served();
    // It starts the pod without any device; what the pod does then is seen all the same.
    assert_eq!(rig.kubelet.replay(pod.pod), Err(Unfit::Unknown));
    rig.node.act("run 4242 as trader in container 9f86d081884c").unwrap();
    rig.node
        .until("the program to be shown", |node| {
            let status = node.status()?.to_string();
            Ok(status.contains("trader") && status.contains("4242"))
        })
        .unwrap();
    rig.held_by(&[]);
    assert_eq!(rig.try_pod(1).unwrap().response, pod.response);
}

pub fn a_pod_that_is_still_listed_still_has_its_device() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    rig.kubelet.finish(pod.pod);
    // Longer than the grace, and several questions.
    let before = rig.kubelet.seen().pod_questions;
    std::thread::sleep(Duration::from_millis(1200));
    rig.seen("questions", |seen| seen.pod_questions >= before + 3);
    assert_eq!(lent(&rig.node), [(holder(&pod), pod.ids[0].clone())]);
    rig.kubelet.forget_finished();
    rig.held_by(&[]);
}

pub fn a_damaged_ledger_is_not_an_empty_one() {
    let mut rig = Rig::new();
    let pod = rig.pod();
    rig.node.kill().unwrap();
    let ledger = rig.node.state_directory().join("ledger.json");
    let whole = fs::read(&ledger).unwrap();
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    fs::write(&ledger, &damaged).unwrap();
    rig.node.start().unwrap();
    rig.listed(ALL, 0);
    // As an empty one it would lend the pod's device to somebody else.
    let refused = rig.node.ctl(["allocate", "onload", "--count", "1"]).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    rig.try_pod(1).unwrap_err();
    rig.restart_daemon();
    rig.listed(ALL, 0);
    rig.node.stop().unwrap();
    assert_eq!(fs::read(&ledger).unwrap(), damaged);
    fs::write(&ledger, &whole).unwrap();
    rig.node.start().unwrap();
    rig.served();
    rig.held_by(&[&pod]);
}
