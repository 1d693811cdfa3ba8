//! What a file says, what is listed, and when it is made anew.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::config::{Entry, PoolKind};
use crate::names::AllocationId;
use crate::pool::Cause;

const HELD: Lent = Lent::Container(AllocationId(1));
const LOCAL: Lent = Lent::Local(AllocationId(2));

fn device(slot: usize, cause: Option<Cause>, lent: Lent) -> Device {
    let id = format!("onload-{slot}").parse().unwrap();
    Device { id, numa_node: None, cause, local_only: false, lent }
}

fn answer() -> ContainerAnswer {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    ContainerAnswer {
        environment: BTreeMap::from([pair("LD_PRELOAD", "/opt/libonload.so"), pair("EF_X", "")]),
        mounts: BTreeMap::from([pair("/opt", "/usr/lib64")]),
        device_nodes: vec!["/dev/onload".to_owned()],
        ..ContainerAnswer::default()
    }
}

fn pool(resource: &str, answer: Option<ContainerAnswer>, devices: Vec<Device>) -> PoolPicture {
    PoolPicture {
        kind: PoolKind::Onload,
        resource: resource.to_owned(),
        devices: Arc::new(devices),
        answer: answer.map(Arc::new),
        registered: false,
        ..PoolPicture::default()
    }
}

fn spec(pool: &PoolPicture) -> Spec {
    match wanted(pool) {
        Wanted::File(spec) => spec,
        other => panic!("no file but {other:?}"),
    }
}

#[test]
fn what_a_device_brings_stands_with_it() {
    let own = ContainerAnswer {
        environment: BTreeMap::from([("PORT".to_owned(), "7".to_owned())]),
        device_nodes: vec!["/dev/seven".to_owned()],
        ..ContainerAnswer::default()
    };
    let mut things = pool("amd.com/p", Some(ContainerAnswer::default()), Vec::new());
    things.devices = Arc::new(vec![device(0, None, Lent::No), device(7, None, Lent::No)]);
    assert_eq!(wanted(&things), Wanted::Nothing, "a device that brings nothing is none");
    things.own = Arc::new(BTreeMap::from([("onload-7".parse().unwrap(), own)]));
    let spec = spec(&things);
    assert!(spec.is_of(&things));
    let file: serde_json::Value = serde_json::from_str(&spec.text()).unwrap();
    let edits = json!({
        "env": ["PORT=7"],
        "deviceNodes": [{ "path": "/dev/seven", "permissions": "rwm" }]
    });
    // Without the other: empty edits make libraries refuse the file.
    assert_eq!(file["devices"], json!([{"name": "onload-7", "containerEdits": edits}]));
    things.devices = Arc::new(vec![device(0, None, HELD), device(7, None, Lent::No)]);
    assert!(spec.is_of(&things), "held or not");
    things.devices = Arc::new(vec![device(0, None, HELD)]);
    assert_eq!(wanted(&things), Wanted::AsItIs, "the last file may know more of it");
    things.own = Arc::default();
    assert!(!spec.is_of(&things));
}

#[test]
fn a_file_has_each_device_and_once_what_is_shared() {
    let devices = vec![device(0, None, Lent::No), device(10, None, HELD)];
    let text = spec(&pool("amd.com/onload", Some(answer()), devices)).text();
    let nodes = json!({"deviceNodes": [{"path": "/dev/onload", "permissions": "rwm"}]});
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value,
        json!({
            "cdiVersion": "0.3.0",
            "kind": "amd.com/onload",
            "devices": [
                {"name": "onload-0", "containerEdits": nodes},
                {"name": "onload-10", "containerEdits": nodes},
            ],
            "containerEdits": {
                "env": ["EF_X=", "LD_PRELOAD=/opt/libonload.so"],
                "mounts": [{
                    "hostPath": "/usr/lib64", "containerPath": "/opt",
                    "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"],
                }],
            },
        })
    );
    assert!(text.ends_with("}\n") && text.lines().count() == 1);
}

#[test]
fn what_works_is_listed_and_what_a_container_has() {
    let sick = || Some(Cause::LibrariesMissing);
    let cases = [
        ("free", None, Lent::No, true),
        ("free and broken", sick(), Lent::No, false),
        ("about to be lent locally", None, Lent::Withdrawn, true),
        ("lent locally", None, LOCAL, true),
        ("lent locally and broken", sick(), LOCAL, false),
        ("a container's", None, HELD, true),
        ("a container's and broken", sick(), HELD, true),
    ];
    for (why, cause, lent, expected) in cases {
        let devices = vec![device(1, None, Lent::No), device(2, cause, lent)];
        let spec = spec(&pool("amd.com/onload", Some(answer()), devices));
        let names: Vec<_> = spec.devices.iter().map(DeviceId::as_str).collect();
        assert_eq!(names.contains(&"onload-2"), expected, "{why}");
    }
}

#[test]
fn a_pool_that_cannot_be_served_keeps_a_file_only_for_containers() {
    let sick = || Some(Cause::LibrariesMissing);
    let nodeless = ContainerAnswer { device_nodes: Vec::new(), ..answer() };
    let one = |cause, lent| vec![device(1, cause, lent)];
    let onload = "amd.com/onload";
    let cases = [
        ("no answer", pool(onload, None, one(sick(), Lent::No)), Wanted::Nothing),
        ("no answer for a program", pool(onload, None, one(sick(), LOCAL)), Wanted::Nothing),
        ("no answer for a container", pool(onload, None, one(sick(), HELD)), Wanted::AsItIs),
        ("no device", pool(onload, Some(answer()), Vec::new()), Wanted::Nothing),
        ("nothing works", pool(onload, Some(answer()), one(sick(), Lent::No)), Wanted::Nothing),
        ("nothing to add", pool(onload, Some(nodeless), one(None, Lent::No)), Wanted::Nothing),
        (
            "no kind of CDI",
            pool("1.amd.com/onload", Some(answer()), one(None, Lent::No)),
            Wanted::Nothing,
        ),
    ];
    for (why, pool, expected) in cases {
        assert_eq!(wanted(&pool), expected, "{why}");
    }
}

#[test]
fn a_file_is_made_anew_when_it_would_say_something_else() {
    let devices = || vec![device(0, None, Lent::No), device(1, None, Lent::No)];
    let former = pool("amd.com/onload", Some(answer()), devices());
    let spec = spec(&former);
    let mut lent = devices();
    lent[1].lent = HELD;
    let broken = vec![device(0, None, Lent::No), device(1, Some(Cause::NoPort), Lent::No)];
    let other = ContainerAnswer { mounts: BTreeMap::new(), ..answer() };
    let cases = [
        ("as it was", former.clone(), true),
        ("lent", pool("amd.com/onload", Some(answer()), lent), true),
        ("one broke", pool("amd.com/onload", Some(answer()), broken), false),
        ("another answer", pool("amd.com/onload", Some(other), devices()), false),
        ("none", pool("amd.com/onload", None, devices()), false),
        ("another name", pool("amd.com/fast", Some(answer()), devices()), false),
    ];
    for (why, pool, expected) in cases {
        assert_eq!(spec.is_of(&pool), expected, "{why}");
    }
}

#[test]
fn names_and_versions_are_those_of_the_specification() {
    let version =
        |resource| spec(&pool(resource, Some(answer()), vec![device(1, None, Lent::No)])).version();
    assert_eq!((version("amd.com/onload"), version("amd.com/on.load")), ("0.3.0", "0.6.0"));
    assert_eq!(file_name("amd.com/onload"), "amd.com-onload_onloadd.json");
    assert_eq!(
        full_name("amd.com/onload", &"onload-3".parse().unwrap()),
        "amd.com/onload=onload-3"
    );
    for own in ["amd.com-onload_onloadd.json", "x.y-a-b_onloadd.json"] {
        assert!(is_own_name(own), "{own}");
    }
    for other in ["amd.com-onload.json", ".amd.com-onload_onloadd.json", "_onloadd.json", "x"] {
        assert!(!is_own_name(other), "{other}");
    }
    let name = file_name("amd.com/onload");
    assert!(is_own_text(&name, "{\"kind\": \"amd.com/onload\"}"));
    for other in ["", "{}", "{\"kind\": \"amd.com/other\"}", "kind: amd.com/onload", "[1]"] {
        assert!(!is_own_text(&name, other), "{other}");
    }
}

#[test]
fn the_configuration_says_whether_and_how() {
    let entry = |value: &str| Entry { value: value.to_owned(), origin: None, masks: Vec::new() };
    let with = |key: &str, value: &str| Picture {
        config: Arc::new(BTreeMap::from([(key.to_owned(), entry(value))])),
        ..Picture::default()
    };
    assert!(is_enabled(&Picture::default()) && !is_enabled(&with("cdi.enabled", "false")));
    assert!(!answers_kubelet(&Picture::default()));
    assert!(!answers_kubelet(&with("kubelet.answer", "\"plain\"")));
    assert!(answers_kubelet(&with("kubelet.answer", "\"cdi\"")));
    assert!(answers_kubelet(&with("kubelet.answer", "'cdi'")));
}
