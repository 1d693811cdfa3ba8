//! What a node says of who uses what.

use onload_tests::kubelet::healthy;

use crate::rig::{ALL, RESOURCE, Rig, holder};

pub fn allocatable_stays_and_who_has_what_is_shown() {
    let mut rig = Rig::new();
    let pods = [rig.pod(), rig.pod()];
    assert_eq!(healthy(&rig.kubelet.devices(RESOURCE)), ALL, "as Kubernetes counts");
    let shown = rig.node.ctl_ok(["allocations"]).unwrap();
    for pod in &pods {
        let row = shown.lines().find(|line| line.contains(&holder(pod)));
        assert!(row.is_some_and(|row| row.contains(&pod.ids[0])), "{shown}");
    }
    let pools = rig.node.json(&["pools"]).unwrap();
    assert_eq!(pools["pools"][0]["slots"], ALL, "{pools}");
    let devices = rig.node.json(&["pools", "onload"]).unwrap().to_string();
    for pod in &pods {
        assert!(devices.contains(&holder(pod)), "{} is not in {devices}", holder(pod));
    }
}
