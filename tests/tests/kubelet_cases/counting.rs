//! What a node says of who uses what.

use onload_tests::kubelet::healthy;
use serde_json::Value;

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
    let all = rig.node.json(&["allocations"]).unwrap();
    let devices = rig.node.json(&["pools", "onload"]).unwrap();
    for pod in &pods {
        let of = |list: &Value, key: &str, is: &str| {
            list.as_array().unwrap().iter().find(|one| one[key] == is).unwrap().clone()
        };
        let lent = of(&all["allocations"], "holder", &holder(pod));
        let device = of(&devices["devices"], "id", &pod.ids[0]);
        assert_eq!((&device["lent"], &device["allocation"]), (&"container".into(), &lent["id"]));
    }
}
