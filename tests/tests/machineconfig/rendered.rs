//! The text: committed, always the same, and what its readers take.

use std::fs;

use ignition_config::Config;
use serde_json::Value;

use crate::applier::Tree;
use crate::{Ran, expected, full, input, object, onloadctl, pull, render, rendered, words};

/// Holds a text to what is committed; `UPDATE=1` commits it anew.
fn hold(name: &str, text: &str) {
    let path = expected(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(text.lines()).position(|(one, other)| one != other);
    assert!(
        committed == text,
        "{name}: line {differs:?} is another; UPDATE=1 accepts this:\n{text}"
    );
}

/// In what an object is not as Kubernetes takes it.
fn check(object: &Value) {
    let schema = fs::read_to_string(expected("../schemas/machineconfig.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let checker = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = checker.iter_errors(object).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_is_rendered_is_what_is_committed_and_always_the_same() {
    for (name, words) in [
        ("layered.yaml", vec![]),
        ("pull.yaml", pull()),
        ("full.yaml", full()),
        ("full.bu", {
            let mut all = full();
            all.retain(|word| !word.starts_with("--os-image"));
            all.push("--butane".to_owned());
            all
        }),
    ] {
        let words = crate::words(&words);
        let text = rendered(&words);
        assert_eq!(rendered(&words), text, "{name} is another the second time");
        hold(name, &text);
    }
}

#[test]
fn kubernetes_and_ignition_take_each_version_of_it() {
    for version in ["3.2.0", "3.3.0", "3.4.0", "3.5.0"] {
        for all in [full(), pull()] {
            let mut all = all;
            all.retain(|word| !word.starts_with("--ignition"));
            all.push(format!("--ignition={version}"));
            let object = object(&rendered(&words(&all)));
            check(&object);
            let config = object["spec"]["config"].to_string();
            let (read, warnings) = Config::parse_str(&config).unwrap();
            assert!(warnings.is_empty(), "{version}: {warnings:?}");
            assert_eq!(object["spec"]["config"]["ignition"]["version"], version);
            Tree::of(&read).unwrap();
        }
    }
}

#[test]
fn a_schema_that_takes_anything_would_prove_nothing() {
    let good = object(&rendered(&words(&full())));
    let schema = fs::read_to_string(expected("../schemas/machineconfig.json")).unwrap();
    let checker = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let files = "/spec/config/storage/files/0";
    for (place, wrong) in [
        (format!("{files}/mode"), Value::from(0o7777 + 1)),
        (format!("{files}/mode"), Value::from("0644")),
        (format!("{files}/contents/source"), Value::from("https://example.org/x")),
        (format!("{files}/path"), Value::from("/usr/sbin/x")),
        ("/metadata/name".to_owned(), Value::from("A_B")),
        ("/spec/config/ignition/version".to_owned(), Value::from("2.2.0")),
    ] {
        let mut object = good.clone();
        *object.pointer_mut(&place).unwrap() = wrong.clone();
        assert!(!checker.is_valid(&object), "{place} = {wrong}");
    }
}

#[test]
fn json_is_the_same_object_and_the_order_of_words_changes_nothing() {
    let all = full();
    let yaml = object(&rendered(&words(&all)));
    let mut json = all.clone();
    json.push("--json".to_owned());
    let json: Value = serde_json::from_str(&rendered(&words(&json))).unwrap();
    assert_eq!(yaml, json);
    let mut other = all.clone();
    // Words of the kernel's command line keep their order, which may mean something there.
    other.sort_by_key(|word| if word.starts_with("--kernel") { 0 } else { word.len() });
    assert_eq!(object(&rendered(&words(&other))), yaml);
}

#[test]
fn one_setting_more_is_one_line_more() {
    let (all, mut more) = (full(), full());
    more.push("--kernel-argument=quiet".to_owned());
    let (one, other) = (rendered(&words(&all)), rendered(&words(&more)));
    let added: Vec<_> = other.lines().filter(|line| !one.lines().any(|old| old == *line)).collect();
    assert_eq!(added, ["  - quiet"]);
}

#[test]
fn butane_says_the_same() {
    let mut all = full();
    all.retain(|word| !word.starts_with("--os-image"));
    let Value::Object(config) = object(&rendered(&words(&all)))["spec"]["config"].take() else {
        panic!("no object");
    };
    all.push("--butane".to_owned());
    let butane = object(&rendered(&words(&all)));
    assert_eq!((&butane["variant"], &butane["version"]), (&"openshift".into(), &"4.19.0".into()));
    let config = Config::parse_str(&Value::Object(config).to_string()).unwrap().0;
    let tree = Tree::of(&config).unwrap();
    let files = butane["storage"]["files"].as_array().unwrap();
    for file in files.iter().filter(|file| file["contents"]["inline"].is_string()) {
        let path = file["path"].as_str().unwrap();
        assert_eq!(file["contents"]["inline"], tree.text(path), "{path}");
        assert_eq!(file["mode"], tree.modes()[path], "{path}");
    }
    let binary: Vec<_> =
        files.iter().filter(|file| file["contents"]["source"].is_string()).collect();
    assert_eq!(binary.len(), 1, "the certificate: {binary:?}");
    assert_eq!(butane["openshift"]["kernel_arguments"][1], "nosmt");
}

#[test]
fn a_file_that_is_as_it_should_be_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("mc.yaml");
    let output = format!("--output={}", out.display());
    let Ran { code, out: printed, err } = render(&[&output]);
    assert_eq!((code, printed.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("written: "), "{err}");
    let first = fs::metadata(&out).unwrap().modified().unwrap();
    let again = render(&[&output]);
    assert!(again.err.contains("is as it should be"), "{again:?}");
    assert_eq!(fs::metadata(&out).unwrap().modified().unwrap(), first);
    assert_eq!(fs::read_to_string(&out).unwrap(), rendered(&[]));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
    // One with the hash of a password is its owner's.
    use std::os::unix::fs::PermissionsExt as _;
    let mut all = full();
    all.push(output);
    let mode = || fs::metadata(&out).unwrap().permissions().mode() & 0o777;
    assert_eq!(render(&words(&all)).code, Some(0));
    assert_eq!(mode(), 0o600);
    // Also where the text is there already, for all to read.
    fs::set_permissions(&out, fs::Permissions::from_mode(0o644)).unwrap();
    let again = render(&words(&all));
    assert!(again.err.contains("written: ") && mode() == 0o600, "{again:?}");
    // What its owner alone may read, and not even write, is as it should be.
    fs::set_permissions(&out, fs::Permissions::from_mode(0o400)).unwrap();
    let again = render(&words(&all));
    assert!(again.err.contains("is as it should be") && mode() == 0o400, "{again:?}");
}

#[test]
fn notes_promise_no_key_and_tell_when_the_driver_is_right() {
    let notes = render(&words(&full())).err;
    for part in [
        "keys are asked for, not enrolled",
        "at each node's console",
        "local users of a node",
        "updates of the cluster no longer change the OS of pool worker",
        "first boot into",
        "an initramfs",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(!notes.contains("names a tag"), "{notes}");
    let notes = render(&words(&pull())).err;
    assert!(notes.contains("from the second boot on"), "{notes}");
    let notes = render(&["--os-image=registry.example/os:1"]).err;
    assert!(notes.contains("names a tag"), "{notes}");
}

#[test]
fn link_files_are_those_of_naming_render() {
    let names = input("20-names.toml");
    let said = onloadctl(&["naming", "render", "--json", "--config", &names]);
    let said: Value = serde_json::from_str(&said.out).unwrap();
    let tree = crate::tree(&["--naming", &names]);
    let files = said["files"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    for file in files {
        assert_eq!(file["text"], tree.text(file["path"].as_str().unwrap()));
    }
}
