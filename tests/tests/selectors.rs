//! Several pools on one node, each on the ports it selects: what the kubelet is told of them, what
//! their containers get, and what is said of one that selects nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use onload_tests::background::Background;
use onload_tests::kubelet::{Kubelet, healthy};
use onload_tests::node::{Node, PATIENCE};
use serde_json::{Value, json};

/// Two sockets: an X2 on the first, an X4 on the second.
fn two_families(directory: &std::path::Path) -> String {
    let world = fs::read_to_string(Node::repository("packaging/worlds/two-x2522.toml")).unwrap();
    let second = world.find("0000:af:00.0").unwrap();
    let (first, second) = world.split_at(second);
    let second = second.replace("\"1924:0b03\"", "\"1924:0c03\"");
    assert_eq!(second.matches("1924:0c03").count(), 2, "the world has changed");
    let file = directory.join("two-families.toml");
    fs::write(&file, format!("{first}{second}")).unwrap();
    file.display().to_string()
}

const POOLS: &str = r#"
[pools.onload]
slots = 2
[pools.near]
slots = 3
numa-nodes = [0]
environment = { EF_POLL_USEC = "100000" }
mounts = { "/etc/site" = "/srv/site" }
[pools.fast]
resource = "example.com/onload-x4"
slots = 2
families = ["X4"]
mount-prefix = "/opt/x4"
[pools.one]
slots = 1
ports = ["ens1f1"]
drivers = ["sfc"]
[pools.old]
slots = 4
families = ["SFN8000"]
"#;

/// A node with these pools, and a kubelet that has them.
fn served(home: &std::path::Path) -> (Background, Node, Kubelet) {
    let background = Background::start().unwrap();
    let mut node = Node::stopped(&two_families(home)).unwrap();
    node.configure("pools.toml", POOLS).unwrap();
    node.start().unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    for (resource, devices) in [
        ("amd.com/onload", 2),
        ("amd.com/near", 3),
        ("example.com/onload-x4", 2),
        ("amd.com/one", 1),
    ] {
        let all = background.run(kubelet.wait_for(resource, PATIENCE, |d| healthy(d) == devices));
        all.unwrap();
    }
    (background, node, kubelet)
}

/// NUMA nodes of a resource's devices.
fn numa_nodes(kubelet: &Kubelet, resource: &str) -> BTreeSet<i64> {
    kubelet.devices(resource).values().flat_map(|device| device.numa.iter().copied()).collect()
}

#[test]
fn each_pool_has_the_devices_of_its_ports() {
    let home = tempfile::tempdir().unwrap();
    let (_background, node, kubelet) = served(home.path());
    let cases = [
        ("amd.com/onload", [0, 1].into()),
        ("amd.com/near", BTreeSet::from([0])),
        ("example.com/onload-x4", [1].into()),
        ("amd.com/one", [0].into()),
    ];
    for (resource, nodes) in cases {
        assert_eq!(numa_nodes(&kubelet, resource), nodes, "{resource}");
    }
    assert!(kubelet.devices("amd.com/old").is_empty(), "there is no such card");
    let pools = node.json(&["pools"]).unwrap();
    let pool = |name: &str| -> Value {
        let all = pools["pools"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(pool("onload")["ports"].as_array().unwrap().len(), 4);
    assert_eq!(pool("near")["selectors"], json!({ "numa-nodes": ["0"] }));
    assert_eq!(pool("near")["ports"], json!(["0000:3b:00.0", "0000:3b:00.1"]));
    assert_eq!(pool("fast")["ports"], json!(["0000:af:00.0", "0000:af:00.1"]));
    assert_eq!(pool("one")["ports"], json!(["0000:3b:00.1"]));
    assert_eq!(pool("old")["ports"], json!([]));
}

#[test]
fn a_card_that_breaks_takes_only_the_pools_that_stand_on_it() {
    let home = tempfile::tempdir().unwrap();
    let (background, node, kubelet) = served(home.path());
    node.act("unplug 0000:af:00.0").unwrap();
    node.act("unplug 0000:af:00.1").unwrap();
    let gone = |resource, left| {
        background.run(kubelet.wait_for(resource, PATIENCE, |d| healthy(d) == left)).unwrap();
    };
    gone("example.com/onload-x4", 0);
    gone("amd.com/onload", 1);
    assert_eq!(healthy(&kubelet.devices("amd.com/near")), 3);
    assert_eq!(kubelet.devices("example.com/onload-x4").len(), 2, "capacity stays");
}

#[test]
fn a_container_gets_what_its_pool_says() {
    let home = tempfile::tempdir().unwrap();
    let (background, node, kubelet) = served(home.path());
    let near = background.run(kubelet.allocate("amd.com/near", 1)).unwrap().response;
    let variables = |envs: &BTreeMap<String, String>| -> Vec<(String, String)> {
        envs.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let preload = |prefix: &str| pair("LD_PRELOAD", &format!("{prefix}/usr/lib64/libonload.so"));
    assert_eq!(variables(&near.envs), [pair("EF_POLL_USEC", "100000"), preload("/opt/onload")]);
    let mounts: Vec<_> = near
        .mounts
        .iter()
        .map(|one| (one.container_path.as_str(), one.host_path.as_str(), one.read_only))
        .collect();
    assert_eq!(
        mounts,
        [
            ("/etc/site", "/srv/site", true),
            ("/opt/onload/usr/lib64", "/var/lib/onloadd/pools/near/current/lib64", true),
        ]
    );
    let fast = background.run(kubelet.allocate("example.com/onload-x4", 1)).unwrap().response;
    assert_eq!(variables(&fast.envs), [preload("/opt/x4")]);
    let local = node.ctl_ok(["run", "--pool", "near", "--", "sh", "-c", "echo $EF_POLL_USEC"]);
    assert_eq!(local.unwrap(), "100000\n", "programs of the node have the pool's variables too");
}

#[test]
fn a_pool_that_selects_nothing_is_a_state_and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let (_background, mut node, _kubelet) = served(home.path());
    node.until_state("ready").unwrap();
    let why = node.ctl_ok(["why", "old"]).unwrap();
    let told = "it has nothing to lend, and no kubelet is told of it: no port matches families = \
                SFN8000; what is here: X2, X4";
    let flat = why.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(told), "{why}");
    assert!(flat.contains("correct what the pool selects its ports by"), "{why}");
    let why = node.ctl_ok(["why", "near"]).unwrap();
    assert!(why.contains("numa-nodes = 0") && why.contains("0000:3b:00.0 (ens1f0)"), "{why}");
    let table = node.ctl_ok(["pools"]).unwrap();
    assert!(
        table.contains("2 by numa-nodes 0") && table.contains("0 by families SFN8000"),
        "{table}"
    );
    // A port that is named is missed.
    node.configure("z.toml", "[pools.one]\nports = [\"ens9\"]\n").unwrap();
    node.ctl_ok(["reload"]).unwrap();
    node.until_state("blocked").unwrap();
    let status = node.status().unwrap().to_string();
    assert!(status.contains("no port matches ports = ens9; what is here: ens1f0"), "{status}");
}

#[test]
fn a_family_that_does_not_exist_is_refused_with_those_that_do() {
    let (_background, node) = (Background::start().unwrap(), Node::simulated("two-x2522").unwrap());
    node.configure("bad.toml", "[pools.onload]\nfamilies = [\"x2522\"]\n").unwrap();
    let refused = node.ctl(["reload"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("bad.toml:2"), "{said}");
    assert!(said.contains("`x2522` is no product family; known are EF100, SFN4000,"), "{said}");
}
