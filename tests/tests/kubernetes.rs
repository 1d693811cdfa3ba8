//! What onloadctl renders for Kubernetes, judged by the schemas of its API; and the features of a node,
//! read from the real daemon on a simulated machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::process::{Command, Output, Stdio};

use onload_tests::binaries::binary;
use onload_tests::node::Node;
use serde_json::{Value, json};

#[path = "kubernetes/features.rs"]
mod features;
#[path = "kubernetes/schemas.rs"]
mod schemas;

use schemas::{Schema, documents, network};

/// The first port of the shipped world `two-x2522`.
const PORT: &str = "0000:3b:00.0";

/// onloadctl where no onloadd is.
fn desk(words: &[&str]) -> Output {
    let mut command = Command::new(binary("onloadctl"));
    command.args(["--bus", "unix:path=/nonexistent/bus"]).args(words).stdin(Stdio::null());
    command.output().unwrap()
}

fn good(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Nothing is printed, and the three lines say why.
fn refused(output: &Output, why: &str) {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("  why: ") && error.contains("  fix: ") && error.contains(why),
        "{error}"
    );
}

fn nad<'a>(kind: &'a str, master: &'a str, ipam: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["nad", "render", "--kind", kind, "--master", master, "--ipam", ipam];
    [&words[..], more].concat()
}

#[test]
fn a_network_on_a_port_of_this_node() {
    let node = Node::simulated("two-x2522").unwrap();
    let ports = node.json(&["ports"]).unwrap();
    let port = ports["ports"].as_array().unwrap().iter().find(|one| one["address"] == PORT);
    let port = port.unwrap().clone();
    let (interface, mac) =
        (port["netdev"].as_str().unwrap(), port["permanent_mac"].as_str().unwrap());
    let range = "whereabouts:198.19.0.0/16";
    let mut seen = Vec::new();
    for master in [PORT, mac, interface] {
        let output = node.ctl(nad("ipvlan", master, range, &[])).unwrap();
        let config = network(&documents(&good(&output))[0]);
        assert_eq!(config["master"], interface);
        assert_eq!(config["ipam"], json!({"type": "whereabouts", "range": "198.19.0.0/16"}));
        // Nothing pins it here, and the driver of another release would change it.
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(told.contains("is not pinned"), "{told}");
        seen.push(good(&output));
    }
    assert!(seen.iter().all(|text| *text == seen[0]), "the same whatever it is called by");

    let config =
        network(&documents(&node.ctl_ok(nad("host-device", mac, "none", &[])).unwrap())[0]);
    assert_eq!((&config["pciBusID"], &config["device"]), (&json!(PORT), &Value::Null));
    let words = nad("macvlan", interface, "dhcp", &["--mode", "bridge", "--mtu", "9000"]);
    let config = network(&documents(&node.ctl_ok(words).unwrap())[0]);
    assert_eq!((&config["mode"], &config["mtu"]), (&json!("bridge"), &json!(9000)));
    refused(&node.ctl(nad("ipvlan", "ens99", range, &[])).unwrap(), "no interface of this node");
    refused(&node.ctl(nad("ipvlan", "0000:99:00.0", range, &[])).unwrap(), "no interface");
}

#[test]
fn a_pinned_name_is_not_warned_of() {
    let mut node = Node::stopped("two-x2522").unwrap();
    node.configure("names.toml", "[naming]\npolicy = \"keep\"\n").unwrap();
    node.start().unwrap();
    let pinned = |node: &Node| {
        let names = node.json(&["naming", "plan"])?;
        let first = names["ports"].as_array().unwrap().iter().find(|one| one["port"] == PORT);
        Ok(first.is_some_and(|one| one["pinned"] == one["today"] && one["pinned"].is_string()))
    };
    node.until("the name to be pinned", pinned).unwrap();
    let output = node.ctl(nad("macvlan", PORT, "none", &[])).unwrap();
    assert_eq!(network(&documents(&good(&output))[0])["ipam"], json!({}));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_network_on_the_desk() {
    let range = "host-local:198.19.0.16-198.19.0.31/16";
    let more = ["--offline", "--namespace", "fast", "--resource", "amd.com/onload"];
    let words = nad("ipvlan", "bond0", range, &more);
    let definition = &documents(&good(&desk(&words)))[0];
    assert_eq!(definition["metadata"]["name"], "ipvlan-bond0");
    assert_eq!(definition["metadata"]["namespace"], "fast");
    let annotation = &definition["metadata"]["annotations"]["k8s.v1.cni.cncf.io/resourceName"];
    assert_eq!(annotation, "amd.com/onload");
    let config = network(definition);
    assert_eq!(config["ipam"]["ranges"][0][0]["rangeEnd"], "198.19.0.31");
    assert_eq!(config["cniVersion"], "0.3.1");
    assert_eq!(good(&desk(&words)), good(&desk(&words)));

    // Without --offline it is told that nobody was asked.
    let output = desk(&nad("host-device", "sfc0", "none", &["--cni-version", "1.0.0"]));
    let config = network(&documents(&good(&output))[0]);
    assert_eq!((&config["device"], &config["cniVersion"]), (&json!("sfc0"), &json!("1.0.0")));
    assert!(String::from_utf8_lossy(&output.stderr).contains("taken as it is"), "{output:?}");

    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("ipam.json");
    let path = file.to_str().unwrap();
    fs::write(&file, r#"{"type": "static", "addresses": [{"address": "192.0.2.9/24"}]}"#).unwrap();
    let config =
        network(&documents(&good(&desk(&nad("ipvlan", "bond0", path, &["--offline"]))))[0]);
    assert_eq!(config["ipam"]["addresses"][0]["address"], "192.0.2.9/24");
    for (text, why) in
        [("[]", "no JSON object"), ("{\"type\": \"../x\"}", "no `type`"), ("{}", "no `type`")]
    {
        fs::write(&file, text).unwrap();
        refused(&desk(&nad("ipvlan", "bond0", path, &["--offline"])), why);
    }
}

#[test]
fn a_network_that_a_plugin_would_refuse_is_refused_here() {
    let range = "whereabouts:198.19.0.0/16";
    for (words, why) in [
        (nad("ipvlan", "bond0", range, &["--mode", "bridge"]), "has no mode bridge"),
        (nad("macvlan", "bond0", range, &["--mode", "l2"]), "has no mode l2"),
        (nad("host-device", "sfc0", "none", &["--mode", "l2"]), "has no mode"),
        (nad("host-device", "sfc0", "none", &["--mtu", "9000"]), "changes no MTU"),
        (nad("host-device", "sfc0", "none", &["--resource", "amd.com/onload"]), "PCI address"),
        (nad("ipvlan", "bond0", "dhcp", &[]), "hardware address"),
        (nad("ipvlan", "bond0", "none", &[]), "each interface needs one"),
        (nad("ipvlan", "bond0", "whereabouts:198.19.0.1/16", &[]), "198.19.0.0/16"),
        (nad("ipvlan", "bond0", "whereabouts:198.19.0.0/64", &[]), "bits"),
        (nad("ipvlan", "bond0", "/nonexistent", &[]), "/nonexistent"),
        (nad("ipvlan", "bond0", range, &["--name", "My_net"]), "My_net"),
        (nad("ipvlan", "bond0", range, &["--name", "a.b"]), "a.b"),
        (nad("ipvlan", "bond0", range, &["--namespace", "a.b"]), "a.b"),
        (nad("ipvlan", "a/b", range, &[]), "neither a PCI address"),
        (nad("ipvlan", "Bond_0", range, &[]), "Bond_0"),
        (nad("ipvlan", "0000:3b:00.0", range, &[]), "only onloadd knows"),
    ] {
        refused(&desk(&[&words[..], &["--offline"]].concat()), why);
    }
    let ended = desk(&nad("ipvlan", "0000:3b:00.0", range, &[]));
    assert_eq!(
        ended.status.code(),
        Some(onload_dbus::error::exit::UNREACHABLE.into()),
        "{ended:?}"
    );
}

#[test]
fn pods_have_no_privilege_and_one_device() {
    let image = "registry.example.com:5000/app:1";
    let words = ["pod", "render", "app", "--image", image, "--network", "ipvlan-bond0"];
    let more =
        ["--profile", "onload-latency-profile", "--pool", "onload", "--", "/bin/app", "-x", "no"];
    let pods = documents(&good(&desk(&[&words[..], &more].concat())));
    let [pod] = &pods[..] else { panic!("{pods:?}") };
    Schema::of("pod").takes(pod);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"], json!({"amd.com/onload": "1"}));
    assert_eq!(container["command"], json!(["/bin/app", "-x", "no"]));
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], "onload-latency-profile");
    assert_eq!(container["image"], image);

    let words = [
        "pod",
        "render",
        "--sfnettest",
        "--server-node",
        "compute-0",
        "--client-node",
        "compute-1",
    ];
    let pods = documents(&good(&desk(&words)));
    let [server, client] = &pods[..] else { panic!("{pods:?}") };
    assert_eq!(server["spec"]["nodeSelector"], json!({"kubernetes.io/hostname": "compute-0"}));
    assert_eq!(client["spec"]["nodeSelector"], json!({"kubernetes.io/hostname": "compute-1"}));
    assert_eq!(server["spec"]["containers"][0]["command"], Value::Null);
    assert_eq!(client["spec"]["restartPolicy"], "Never");
    for pod in [pod, server, client] {
        Schema::of("pod").takes(pod);
        assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["spec"]["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let context = &pod["spec"]["containers"][0]["securityContext"];
        let none = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        assert_eq!(*context, none);
    }
    let same = [&words[..4], &["compute-0", "--client-node", "compute-0"]].concat();
    refused(&desk(&same), "one node");
    for wrong in [
        &["pod", "render", "app"][..],
        &["pod", "render", "app", "--image", "A B"],
        &["pod", "render", "My_app", "--image", "app"],
        &["pod", "render", "app", "--image", "app", "--pool", "kubernetes.io/x"],
        &["pod", "render", "app", "--image", "app", "--network", "a_b"],
        &["pod", "render", "app", "--image", "app", "--user", "0"],
        &["pod", "render", "--sfnettest", "--server-node", "a"],
    ] {
        refused(&desk(wrong), "");
    }
}

#[test]
fn configurations_of_sfptpd_as_configmaps() {
    let words = ["clock", "render", "--interface", "bond0", "--domain", "0", "--configmap"];
    let text = good(&desk(&words));
    let map = &documents(&text)[0];
    Schema::of("configmap").takes(map);
    assert_eq!(map["metadata"]["name"], "sfptpd-config");
    // What is within is what is printed without, but for the logs.
    let plain = good(&desk(&words[..6]));
    let within = map["data"]["sfptpd.cfg"].as_str().unwrap();
    let options = |text: &str| {
        let logs = ["message_log", "stats_log", "metrics_socket_mode"];
        let lines = text.lines().filter(|line| !logs.iter().any(|log| line.starts_with(log)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(options(within), options(&plain));
    onload_core::clock::sfptpd::config::check(&plain).unwrap();
    for (words, why) in [
        (&["--interface", "port:0", "--configmap"][..], "in the place of a port"),
        (&["--interface", "port:x"], "port:x"),
        (&["--interface", "bond0", "--transport", "ipv5"], "ipv5"),
        (&["--interface", "a-name-too-long-for-linux"], "a-name-too-long"),
        (&["--interface", "bond0\n[general]"], "one word"),
        (&["--interface", "bond0", "--configmap", "A_b"], "A_b"),
        (&["--interface", "system"], "the system clock"),
    ] {
        refused(&desk(&[&["clock", "render"], words].concat()), why);
    }
    let profile = format!("{}/profiles", env!("CARGO_MANIFEST_DIR"));
    let words = ["profile", "configmap", "latency", "zeromq", "--directory", &profile];
    let maps = documents(&good(&desk(&words)));
    assert_eq!(maps.len(), 2);
    maps.iter().for_each(|map| Schema::of("configmap").takes(map));
}

#[test]
fn the_schemas_bite() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"A": "1"}});
    Schema::of("configmap").refuses(
        &map,
        &[
            ("/data", None),
            ("/data/A", Some(json!(1))),
            ("/data/a b", Some(json!("1"))),
            ("/metadata/name", Some(json!("A_b"))),
            ("/metadata/namespace", Some(json!("a.b"))),
            ("/spec", Some(json!({}))),
            ("/kind", Some(json!("Secret"))),
        ],
    );
    let words = ["pod", "render", "app", "--image", "app"];
    let pod = documents(&good(&desk(&words))).remove(0);
    Schema::of("pod").refuses(
        &pod,
        &[
            ("/spec/restartPolicy", Some(json!("always"))),
            ("/spec/containers", Some(json!([]))),
            ("/spec/containers/0/image", None),
            ("/spec/containers/0/name", Some(json!("a.b"))),
            ("/spec/containers/0/enviroment", Some(json!([]))),
            ("/spec/containers/0/resources/limits/amd.com~1onload", Some(json!(1))),
            ("/spec/securityContext/seccompProfile/type", Some(json!("runtime/default"))),
            ("/spec/securityContext/runAsNonRoot", Some(json!("true"))),
            ("/metadata/labels/a b", Some(json!("x"))),
        ],
    );
    let words = nad("ipvlan", "bond0", "whereabouts:198.19.0.0/16", &["--offline"]);
    let definition = documents(&good(&desk(&words))).remove(0);
    Schema::of("network-attachment-definition").refuses(
        &definition,
        &[("/spec/config", Some(json!({}))), ("/apiVersion", Some(json!("v1")))],
    );
    let config = network(&definition);
    Schema::of("cni-ipvlan").refuses(
        &config,
        &[
            ("/mode", Some(json!("bridge"))),
            ("/master", None),
            ("/ipam", None),
            ("/ipam/type", Some(json!("dhcp"))),
            ("/ipam/range", None),
            ("/mtu", Some(json!("9000"))),
            ("/cniVersion", Some(json!("0.1"))),
            ("/vlan", Some(json!(7))),
        ],
    );
    let config = json!({"cniVersion": "0.3.1", "name": "a", "type": "macvlan", "master": "bond0", "ipam": {}});
    Schema::of("cni-macvlan").refuses(
        &config,
        &[
            ("/mode", Some(json!("l2"))),
            ("/ipam", None),
            ("/ipam/range", Some(json!("198.19.0.0/16"))),
        ],
    );
    let config =
        json!({"cniVersion": "0.3.1", "name": "a", "type": "host-device", "pciBusID": PORT});
    Schema::of("cni-host-device").refuses(
        &config,
        &[
            ("/device", Some(json!("sfc0"))),
            ("/pciBusID", None),
            ("/pciBusID", Some(json!("sfc-0"))),
            ("/mode", Some(json!("l2"))),
        ],
    );
}
