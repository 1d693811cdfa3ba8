//! Another plugin takes the pool's resource by its name: the newest wins, so it must be told.

use std::time::Duration;

use crate::rig::{RESOURCE, Rig};

#[path = "../echo/mod.rs"]
#[allow(dead_code, reason = "this file needs less of the plugin than others do")]
mod echo;
use echo::{ECHO_SOCKET, Echo, register};

/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn another_plugin_under_the_pools_resource_is_told_until_the_daemon_registers_again() {
    let mut rig = Rig::new();
    rig.condition("KubeletRegistered", "True");
    let dir = rig.kubelet.dir().to_owned();
    let other = rig.background.run(async {
        let other = Echo::serve(&dir, ECHO_SOCKET);
        register(&dir).await.unwrap();
        other
    });
    let said = rig.condition("KubeletRegistered", "False");
    assert_eq!(said["reason"], "OtherPlugin", "{said}");
    let message = said["message"].as_str().unwrap();
    for part in [RESOURCE, "a, b, c", "sfc-deviceplugin", "restart onloadd"] {
        assert!(message.contains(part), "{message}");
    }
    // As it is said, pods get what the other answers.
    let pod = rig.try_pod(1).unwrap();
    assert!(["a", "b", "c"].contains(&&*pod.ids[0]), "{pod:?}");
    rig.kubelet.release(RESOURCE, &pod.ids);

    // It goes, and its devices with it; the resource is ours when it is registered anew.
    other.end_streams();
    std::fs::remove_file(dir.join(ECHO_SOCKET)).unwrap();
    rig.restart_daemon();
    rig.served();
    rig.condition("KubeletRegistered", "True");
    let pod = rig.pod();
    rig.held_by(&[&pod]);
}
