//! The whole node: real daemon, real bus, real CLI, a kubelet stand-in that speaks real gRPC. What a
//! person or a pod meets, and what happens when something around the daemon is bad.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::process::Command;

use onload_tests::background::Background;
use onload_tests::binaries::binary;
use onload_tests::kubelet::{Fault, Kubelet, healthy};
use onload_tests::node::{Node, PATIENCE};
use onload_tests::skip::skip;

const RESOURCE: &str = "amd.com/onload";

/// A node with a kubelet that has its devices.
fn served(world: &str) -> (Background, Node, Kubelet) {
    let background = Background::start().unwrap();
    let node = Node::simulated(world).unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 100))
        .unwrap();
    (background, node, kubelet)
}

#[test]
fn a_pod_gets_the_libraries_of_the_loaded_release() {
    let (background, _node, kubelet) = served("two-x2522");
    let pod = background.run(kubelet.allocate(RESOURCE, 2)).unwrap();
    let envs: Vec<_> = pod.response.envs.iter().collect();
    assert_eq!(
        envs,
        [(&"LD_PRELOAD".to_owned(), &"/opt/onload/usr/lib64/libonload.so".to_owned())]
    );
    let nodes: Vec<_> =
        pod.response.devices.iter().map(|device| device.host_path.as_str()).collect();
    assert_eq!(nodes, ["/dev/onload", "/dev/onload_epoll", "/dev/sfc_char"]);
    let mounts: Vec<_> = pod.response.mounts.iter().collect();
    let [mount] = mounts[..] else { panic!("{mounts:?}") };
    assert!(mount.read_only);
    assert_eq!(mount.container_path, "/opt/onload/usr/lib64");
    assert_eq!(mount.host_path, "/var/lib/onloadd/pools/onload/current/lib64");
    // Two of one pod stand on one NUMA node: the pool says which devices it prefers.
    let numa: Vec<_> =
        pod.ids.iter().map(|id| kubelet.devices(RESOURCE)[id].numa.clone()).collect();
    assert_eq!(numa[0], numa[1]);
}

#[test]
fn libraries_of_another_release_make_devices_unhealthy_and_say_so() {
    let (background, node, kubelet) = served("two-x2522");
    node.act("libraries of host gone").unwrap();
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 0)).unwrap();
    let why = node.ctl_ok(["why", "onload"]).unwrap();
    assert!(why.contains("no Onload user libraries are installed"), "{why}");
    node.act("libraries of host back").unwrap();
    background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 100))
        .unwrap();
}

#[test]
fn a_device_lent_locally_is_never_in_the_kubelets_hand() {
    let (background, mut node, kubelet) = served("two-x2522");
    let lent = node.ctl_ok(["allocate", "onload", "--count", "3"]).unwrap();
    let ids: Vec<_> =
        lent.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 3);
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 97)).unwrap();
    // The kubelet insists on a lent one: the pod gets it, the local program moves to another slot.
    let before = node.json(&["allocations"]).unwrap();
    let device = before["allocations"][0]["device"].as_str().unwrap().to_owned();
    background.run(kubelet.allocate_ids(RESOURCE, &[device.as_str()])).unwrap();
    node.until("four holders of four devices", |node| {
        let all = node.json(&["allocations"])?;
        let devices: std::collections::BTreeSet<_> = all["allocations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["device"].to_string())
            .collect();
        Ok(devices.len() == 4)
    })
    .unwrap();
    for id in ids {
        node.ctl_ok(["free", &id]).unwrap();
    }
    background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 100))
        .unwrap();
}

#[test]
fn restarts_of_kubelet_bus_and_daemon_lose_nothing() {
    let (background, mut node, kubelet) = served("two-x2522");
    let pod = background.run(kubelet.allocate(RESOURCE, 1)).unwrap();
    node.ctl_ok(["allocate", "onload"]).unwrap();
    background.run(kubelet.restart()).unwrap();
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 99)).unwrap();
    node.bus.stop().unwrap();
    node.bus.start().unwrap();
    node.until("two allocations over the new bus", |node| {
        Ok(node.json(&["allocations"])?["allocations"].as_array().is_some_and(|all| all.len() == 2))
    })
    .unwrap();
    node.stop().unwrap();
    node.start().unwrap();
    let devices = background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 99))
        .unwrap();
    assert!(devices[&pod.ids[0]].is_healthy(), "what a pod holds stays healthy");
    assert_eq!(devices.len(), 100, "capacity never changes");
}

#[test]
fn a_kubelet_that_hangs_or_talks_nonsense_is_outlasted() {
    for fault in [
        Fault::HangInRegister,
        Fault::Garbage,
        Fault::CloseAtOnce,
        Fault::RefuseRegister("no".to_owned()),
    ] {
        let (background, node, kubelet) = served("two-x2522");
        kubelet.set_fault(Some(fault.clone()));
        background.run(kubelet.restart()).unwrap();
        background
            .run(kubelet.wait_until("an attempt", PATIENCE, |seen| seen.connections > 1))
            .unwrap();
        assert_eq!(node.status().unwrap()["state"], "ready", "{fault:?}: the daemon still serves");
        kubelet.set_fault(None);
        background.run(kubelet.restart()).unwrap();
        let back =
            background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 100));
        back.unwrap_or_else(|late| panic!("{fault:?}: {late:?}\n{}", node.log()));
    }
}

#[test]
fn a_configuration_that_does_not_hold_is_refused_and_the_former_stays() {
    let mut node = Node::simulated("two-x2522").unwrap();
    node.configure("50-slots.toml", "[pools.onload]\nslots = 7\n").unwrap();
    node.ctl_ok(["reload"]).unwrap();
    node.configure("60-typo.toml", "\n[pools.onload]\nslotz = 9\n").unwrap();
    let refused = node.ctl(["reload"]).unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && text.contains("60-typo.toml:3") && text.contains("slotz"),
        "{text}"
    );
    assert!(
        text.starts_with("error: ") && text.contains("\n  why: ") && text.contains("\n  fix: "),
        "{text}"
    );
    let pools = node.json(&["pools"]).unwrap();
    assert_eq!(pools["pools"][0]["slots"], 7, "the former one is in force: {pools}");
    // The same file at start: hands off, serving, and saying so.
    node.stop().unwrap();
    node.start().unwrap();
    let status = node.status().unwrap();
    assert_eq!(status["state"], "degraded", "{status}");
    assert!(status.to_string().contains("60-typo.toml:3"), "{status}");
    let refused = node.ctl(["allocate", "onload"]).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    fs::remove_file(node.config_root().join("etc/onloadd/onloadd.toml.d/60-typo.toml")).unwrap();
    node.ctl_ok(["reload"]).unwrap();
    node.until_state("ready").unwrap();
}

#[test]
fn check_config_names_file_line_and_key() {
    let node = Node::stopped("two-x2522").unwrap();
    node.configure("a.toml", "[daemon]\nsettel = \"1s\"\n").unwrap();
    let check = || {
        let root = node.config_root();
        Command::new(binary("onloadd"))
            .args(["--check-config", "--config-root"])
            .arg(root)
            .output()
            .unwrap()
    };
    let output = check();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("a.toml:2") && text.contains("settel"),
        "{text}"
    );
    node.configure("a.toml", "[daemon]\nsettle = \"1s\"\n").unwrap();
    assert!(check().status.success());
}

#[test]
fn a_ledger_that_does_not_read_means_hands_off_and_is_left_alone() {
    let mut node = Node::stopped("two-x2522").unwrap();
    fs::create_dir_all(node.state_directory()).unwrap();
    let ledger = node.state_directory().join("ledger.json");
    fs::write(&ledger, "{\"onloadd-ledger\":1}\nthis is not an entry\n{}\n").unwrap();
    let before = fs::read(&ledger).unwrap();
    node.start().unwrap();
    let status = node.status().unwrap();
    assert_eq!(status["state"], "degraded", "{status}");
    assert!(status.to_string().contains("ledger.json: line 2 is damaged"), "{status}");
    let refused = node.ctl(["allocate", "onload"]).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let background = Background::start().unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    let devices = background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| devices.len() == 100))
        .unwrap();
    assert_eq!(healthy(&devices), 0, "nothing is offered while nobody knows who holds what");
    node.stop().unwrap();
    assert_eq!(fs::read(&ledger).unwrap(), before);
}

#[test]
fn a_full_disk_refuses_local_grants_and_serves_pods() {
    const TEST: &str = "a_full_disk_refuses_local_grants_and_serves_pods";
    let background = Background::start().unwrap();
    let mut node = Node::stopped("two-x2522").unwrap();
    let state = node.state_directory();
    fs::create_dir_all(&state).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(&state)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return skip(TEST, "a file system of its own needs root");
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        node.start().unwrap();
        let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
        background
            .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 100))
            .unwrap();
        node.ctl_ok(["allocate", "onload"]).unwrap();
        // Whatever is left on the disk, and then some.
        let ballast = state.join("ballast");
        let _ = fs::write(&ballast, vec![1; 1 << 20]);
        let refused = (0..4096).find_map(|_| {
            let output = node.ctl(["allocate", "onload", "--lease", "1ms"]).unwrap();
            (!output.status.success()).then_some(output)
        });
        let refused = String::from_utf8(refused.unwrap().stderr).unwrap();
        assert!(
            refused.contains("the ledger cannot be written") && refused.contains("No space left"),
            "{refused}"
        );
        let status = node.status().unwrap();
        assert_eq!(status["state"], "degraded", "{status}");
        background.run(kubelet.allocate(RESOURCE, 1)).expect("pods are served all the same");
        fs::remove_file(&ballast).unwrap();
        // An order that is refused has the ledger written anew; the next one finds it well.
        node.until("a ledger that is well again", |node| {
            Ok(node.ctl(["allocate", "onload"])?.status.success())
        })
        .unwrap();
        node.kill().unwrap();
        node.start().unwrap();
        let all = node.json(&["allocations"]).unwrap();
        assert!(all["allocations"].as_array().unwrap().len() >= 3, "{all}");
    }));
    node.kill().unwrap();
    let _ = Command::new("umount").arg("-l").arg(&state).status();
    result.unwrap();
}

#[test]
fn this_machines_own_root_is_told_as_it_is() {
    let node = Node::real().unwrap();
    let status = node.status().unwrap();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(status["kernel"], kernel.trim(), "{status}");
    let interfaces: std::collections::BTreeSet<_> = fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for interface in interfaces
        .iter()
        .filter(|name| fs::symlink_metadata(format!("/sys/class/net/{name}")).is_ok())
    {
        assert!(
            status.to_string().contains(&format!("\"{interface}\"")),
            "{interface} is missing in {status}"
        );
    }
    let card = fs::read_dir("/sys/bus/pci/devices").is_ok_and(|devices| {
        devices.flatten().any(|device| {
            fs::read_to_string(device.path().join("vendor"))
                .is_ok_and(|vendor| vendor.trim() == "0x1924")
        })
    });
    if !card {
        assert_eq!(status["state"], "idle", "{status}");
    }
    let introspected = Command::new("busctl")
        .arg(format!("--address={}", node.bus.address()))
        .args(["introspect", "com.amd.Onload1", "/com/amd/Onload1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&introspected.stdout).into_owned();
    for member in ["com.amd.Onload1.Manager", ".Allocate", ".Why", ".State", "GetManagedObjects"] {
        assert!(text.contains(member), "{member} is missing in\n{text}");
    }
}

#[test]
fn a_simulated_machine_keeps_off_the_system_bus_and_a_bad_world_is_named() {
    let state = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(binary("onloadd"))
            .args(arguments)
            .arg("--state-directory")
            .arg(state.path())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(&["--sim", "two-x2522", "--bus", "system"]);
    assert!(code == Some(2) && text.contains("does not go on the system bus"), "{code:?} {text}");
    let address = ["--sim", "two-x2522", "--bus", "unix:path=/run/dbus/system_bus_socket"];
    assert_eq!(run(&address).0, Some(2), "by its address neither");
    let kubelet = ["--kubelet-directory", "/var/lib/kubelet/device-plugins"];
    let (code, text) = run(&[&["--sim", "two-x2522", "--bus", "session"], &kubelet[..]].concat());
    assert!(code == Some(2) && text.contains("offers nothing to the kubelet"), "{code:?} {text}");
    assert_eq!(run(&["--sim", "two-x2522", "--root", "/"]).0, Some(2), "one machine at a time");
    let homeless = Command::new(binary("onloadd"))
        .args(["--sim", "two-x2522", "--bus", "session"])
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&homeless.stderr).into_owned();
    assert!(
        homeless.status.code() == Some(2) && text.contains("nowhere to keep"),
        "never in this machine's own: {text}"
    );
    let world = state.path().join("world.toml");
    fs::write(&world, "[node]\nkernel = \"6.1\"\nbogus = 1\n").unwrap();
    let (code, text) = run(&["--sim", world.to_str().unwrap(), "--bus", "session"]);
    assert!(
        code == Some(1)
            && text.contains("world.toml")
            && text.contains("bogus")
            && text.contains("fix:"),
        "{text}"
    );
    let (code, text) = run(&["--sim", "no-such-world"]);
    assert!(code == Some(1) && text.contains("two-x2522"), "the shipped ones are named: {text}");
}

#[test]
fn two_daemons_do_not_share_a_ledger() {
    let node = Node::simulated("two-x2522").unwrap();
    let second = Command::new(binary("onloadd"))
        .args(["--sim", "two-x2522", "--bus", &node.bus.address(), "--state-directory"])
        .arg(node.state_directory())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && text.contains("another onloadd runs"), "{text}");
}

#[test]
fn a_node_without_a_card_offers_the_kubelet_nothing() {
    let background = Background::start().unwrap();
    let node = Node::simulated("no-card").unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    assert_eq!(node.status().unwrap()["state"], "idle");
    // Long enough for a registration, which takes a few milliseconds where there is a card.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(kubelet.seen().register_calls, 0, "a resource of which nothing can ever be had");
}

#[test]
fn a_reload_takes_a_pool_from_the_kubelet_and_gives_it_back() {
    let (background, node, kubelet) = served("two-x2522");
    node.configure("50-kubelet.toml", "[kubelet]\nenabled = false\n").unwrap();
    node.ctl_ok(["reload"]).unwrap();
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 0)).unwrap();
    node.configure("50-kubelet.toml", "").unwrap();
    node.ctl_ok(["reload"]).unwrap();
    background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == 100))
        .unwrap();
}
