//! What the specification of CDI demands of a file, as far as ours use it: members, their types,
//! names, and the version that each needs (CDI 1.0, SPEC.md and the library that reads them).

use serde_json::{Map, Value, json};

/// Checks a file. What is not known here is refused, as runtimes refuse it.
pub fn conforms(file: &Value) {
    let file = members(file, &["cdiVersion", "kind", "devices"], &["containerEdits"]);
    let version = numbers(text(&file["cdiVersion"]));
    let kind = text(&file["kind"]);
    let (vendor, class) = kind.split_once('/').unwrap();
    assert!(is_name(vendor, b"._-") && is_name(class, b"._-"), "{kind}");
    let mut needed = [0, 3, 0];
    if class.contains('.') {
        needed = needed.max([0, 6, 0]);
    }
    let devices = file["devices"].as_array().unwrap();
    assert!(!devices.is_empty(), "a file without devices is refused");
    let mut seen = Vec::new();
    for device in devices {
        let device = members(device, &["name", "containerEdits"], &[]);
        let name = text(&device["name"]);
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b)), "{name}");
        assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            needed = needed.max([0, 5, 0]);
        }
        assert!(!seen.contains(&name), "{name} twice");
        seen.push(name);
        assert!(edits(&device["containerEdits"]) > 0, "{name} changes nothing, and is refused");
    }
    if let Some(shared) = file.get("containerEdits") {
        edits(shared);
    }
    assert!(version >= needed, "{version:?} is less than what the file uses: {needed:?}");
}

/// Checks what is done to a container; how many things that are.
fn edits(edits: &Value) -> usize {
    let edits = members(edits, &[], &["env", "deviceNodes", "mounts"]);
    let list = |name: &str| edits.get(name).map_or(&[][..], |list| list.as_array().unwrap());
    for pair in list("env") {
        assert!(text(pair).split_once('=').is_some_and(|(name, _)| !name.is_empty()), "{pair}");
    }
    for node in list("deviceNodes") {
        let node = members(node, &["path"], &["permissions"]);
        assert!(text(&node["path"]).starts_with('/'));
        let permissions = node.get("permissions").map_or("", text);
        assert!(permissions.chars().all(|c| "rwm".contains(c)), "{permissions}");
    }
    for mount in list("mounts") {
        let mount = members(mount, &["hostPath", "containerPath"], &["options"]);
        for path in ["hostPath", "containerPath"] {
            assert!(text(&mount[path]).starts_with('/'));
        }
        let options = mount.get("options").map_or(&[][..], |list| list.as_array().unwrap());
        assert!(options.iter().all(Value::is_string));
    }
    list("env").len() + list("deviceNodes").len() + list("mounts").len()
}

fn members<'a>(value: &'a Value, required: &[&str], optional: &[&str]) -> &'a Map<String, Value> {
    let object = value.as_object().unwrap();
    assert!(required.iter().all(|name| object.contains_key(*name)), "{required:?} of {value}");
    let known = |name: &&str| object.contains_key(*name);
    let count = required.len() + optional.iter().filter(|name| known(name)).count();
    assert_eq!(object.len(), count, "an unknown member: {value}");
    object
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn numbers(version: &str) -> [u32; 3] {
    let parts: Vec<_> = version.split('.').map(|part| part.parse().unwrap()).collect();
    parts.try_into().unwrap()
}

fn is_name(text: &str, others: &[u8]) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

#[test]
fn the_check_sees_what_is_wrong() {
    let file = || {
        json!({
            "cdiVersion": "0.3.0", "kind": "amd.com/onload",
            "devices": [{"name": "a-1", "containerEdits": {"env": ["A=1"]}}],
        })
    };
    conforms(&file());
    let spoilt: [(&str, &str, Value); 8] = [
        ("no version", "/cdiVersion", Value::Null),
        ("no kind of CDI", "/kind", json!("onload")),
        ("a dot before 0.6.0", "/kind", json!("amd.com/on.load")),
        ("no devices", "/devices", json!([])),
        ("a digit before 0.5.0", "/devices/0/name", json!("1")),
        ("a device that changes nothing", "/devices/0/containerEdits", json!({})),
        ("a member of no version", "/devices/0/containerEdits", json!({"env": ["A="], "x": 1})),
        ("a variable without a name", "/devices/0/containerEdits/env/0", json!("=1")),
    ];
    for (why, place, value) in spoilt {
        let mut file = file();
        *file.pointer_mut(place).unwrap() = value;
        let seen = std::panic::catch_unwind(|| conforms(&file));
        assert!(seen.is_err(), "{why}");
    }
}
