//! The JSON is what `cli/schema/` says: the same keys, of the same types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use onload_core::blocker::{Blocked, Blocker};
use onload_core::condition::{Condition, ConditionKind, Status};
use onload_core::config::{Entry, Masked, Origin};
use onload_core::others::Manager;
use onload_core::picture::{Hold, Picture};
use onload_core::time::Timestamp;
use serde_json::{Value, json};

use crate::rig::{KERNELS, Rig, changing, node, other};
use crate::run::{Ended, command, run};

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/schema"))
}

pub fn schema(name: &str) -> Value {
    let text = fs::read_to_string(directory().join(format!("{name}.json"))).expect(name);
    serde_json::from_str(&text).expect(name)
}

/// Everything in which a value is not as its schema says, by place.
pub fn faults(place: &str, schema: &Value, value: &Value) -> Vec<String> {
    let fault = || vec![format!("{place}: {value} is not {schema}")];
    match (schema, value) {
        (Value::String(types), value) => {
            let is = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) | Value::Object(_) => "structure",
            };
            if types == "any" || types.split('|').any(|one| one == is) { vec![] } else { fault() }
        }
        (Value::Array(of), Value::Array(items)) => {
            let each = items.iter().enumerate();
            each.flat_map(|(at, item)| faults(&format!("{place}[{at}]"), &of[0], item)).collect()
        }
        (Value::Object(keys), _) if keys.contains_key("?") => match value {
            Value::Null => vec![],
            value => faults(place, &keys["?"], value),
        },
        (Value::Object(keys), Value::Object(map)) if keys.contains_key("*") => map
            .iter()
            .flat_map(|(key, item)| faults(&format!("{place}.{key}"), &keys["*"], item))
            .collect(),
        (Value::Object(keys), Value::Object(map)) => {
            let names: BTreeSet<_> = keys.keys().chain(map.keys()).collect();
            let each = |name: &String| match (keys.get(name), map.get(name)) {
                (Some(schema), Some(item)) => faults(&format!("{place}.{name}"), schema, item),
                (Some(_), None) => vec![format!("{place}.{name} is missing")],
                (None, _) => vec![format!("{place}.{name} is not in the schema")],
            };
            names.into_iter().flat_map(each).collect()
        }
        _ => fault(),
    }
}

/// A picture in which no list that a page shows is empty.
fn full() -> Picture {
    let mut picture = node();
    changing(&mut picture);
    picture.conditions = Arc::new(vec![Condition {
        kind: ConditionKind::Ready,
        status: Status::True,
        reason: "AsWanted".to_owned(),
        message: String::new(),
        since: Timestamp(5),
    }]);
    picture.blockers =
        Arc::new(vec![Blocked { subject: "node".to_owned(), blocker: Blocker::Stopped }]);
    picture.others = Arc::new(BTreeMap::from([(Manager::Kmm, other())]));
    picture.plan = Arc::new(vec!["load sfc".to_owned()]);
    picture.hold = Some(Hold {
        reason: "why not".to_owned(),
        uid: 0,
        since: Timestamp(5),
        until: Some(Timestamp(6)),
    });
    let origin = |line| Origin { file: "/etc/onloadd/onloadd.toml".to_owned(), line };
    let entry = Entry {
        value: "64".to_owned(),
        origin: Some(origin(3)),
        masks: vec![Masked { value: "10".to_owned(), origin: origin(2) }],
    };
    picture.config = Arc::new(BTreeMap::from([("pools.onload.slots".to_owned(), entry)]));
    picture
}

#[tokio::test]
async fn json_is_as_documented() {
    let rig = Rig::new(full()).await;
    let shelf = ["--directory", crate::profiles::DIRECTORY];
    let place = tempfile::tempdir().unwrap();
    let less = place.path().join("less.opf").into_os_string().into_string().unwrap();
    fs::write(&less, "unset EF_A\n").unwrap();
    let named = place.path().join("names.toml").into_os_string().into_string().unwrap();
    fs::write(&named, crate::naming::CONFIGURATION).unwrap();
    let four = ["--set", "NGINX_NUM_WORKERS=4", "--set", "EF_A=1"];
    let verbs: [(&str, &[&str]); 31] = [
        ("status", &["status"]),
        ("ports", &["ports"]),
        ("modules", &["modules"]),
        ("pools", &["pools"]),
        ("pools-NAME", &["pools", "onload"]),
        ("allocations", &["allocations"]),
        ("plan", &["plan"]),
        ("naming-plan", &["naming", "plan"]),
        ("naming-render", &["naming", "render", "--config", &named]),
        ("why", &["why", "sfc"]),
        ("jobs", &["jobs"]),
        ("history", &["history"]),
        ("release-list", &["release", "list"]),
        ("release-show", &["release", "show", "9.1.0"]),
        ("release-check", &["release", "check", "9.1.0", "--kernel", KERNELS[1]]),
        ("profile-list", &[&["profile", "list"], &shelf[..]].concat()),
        ("profile-show", &[&["profile", "show", "latency-best"], &shelf[..]].concat()),
        (
            "profile-env",
            &[&["profile", "env", "nginx-proxy-balanced", &less], &shelf[..], &four].concat(),
        ),
        (
            "profile-configmap",
            &[&["profile", "configmap", "safe", "--namespace", "a"], &shelf[..]].concat(),
        ),
        ("config", &["config"]),
        ("verify", &["verify", "--no-program"]),
        ("clock-status", &["clock", "status"]),
        ("clock-conflicts", &["clock", "conflicts"]),
        ("clock-handover", &["clock", "handover", "--back", "--dry-run"]),
        ("apply", &["clock", "handover", "--no-follow"]),
        ("allocate", &["allocate", "onload"]),
        ("apply", &["rollback", "--no-follow"]),
        ("plan", &["apply", "--dry-run"]),
        ("adopt", &["adopt", "--dry-run"]),
        ("order", &["unhold"]),
        ("error", &["reload"]),
    ];
    for (name, words) in verbs {
        let ended: Ended = rig.ctl(&[&["--json"], words].concat()).await;
        let text = if name == "error" { &ended.err } else { &ended.out };
        let value: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{ended:?}"));
        assert_eq!(value["schema"], 1, "{name}");
        let schema = schema(name);
        assert_eq!(faults(name, &schema, &value), Vec::<String>::new());
        // A list that is empty, or a hold that is not there, would prove nothing.
        for (key, schema) in schema.as_object().unwrap() {
            let shown = &value[key];
            let empty = shown.as_array().is_some_and(Vec::is_empty);
            let gone = schema.get("?").is_some() && shown.is_null();
            assert!(!empty && !gone || key == "would_change", "{name}: nothing in {key}");
        }
    }
}

#[tokio::test]
async fn json_of_keys_is_as_documented() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).into_os_string().into_string().unwrap();
    // Others may read it, so there is a warning to show.
    fs::write(path("phrase"), "four words or more\n").unwrap();
    fs::write(path("a.ko"), "no module").unwrap();
    let (key, certificate) = (path("mok.key"), path("mok.crt"));
    let sign = ["sign", &path("a.ko"), "--key", &key, "--cert", &certificate].map(str::to_owned);
    let generate = ["generate", "--out", &path("mok")].map(str::to_owned);
    let cases = [("keys-generate", &generate[..], 0), ("keys-sign", &sign, 2)];
    for (name, words, code) in cases {
        let phrase = path("phrase");
        let words = words.iter().map(String::as_str).chain(["--passphrase-file", &phrase]);
        let words: Vec<_> = ["--json", "keys"].into_iter().chain(words).collect();
        let ended = run(&mut command("unix:path=/nonexistent/bus", &words)).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let value: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(value["schema"], 1, "{name}");
        assert_eq!(faults(name, &schema(name), &value), Vec::<String>::new());
        let warned = value["warnings"].as_array().is_some_and(|all| !all.is_empty());
        assert!(warned && (name == "keys-generate" || value["files"][0]["error"].is_object()));
    }
}

#[tokio::test]
async fn json_of_keys_shown_is_as_documented() {
    let fixture = |name: &str| format!("{}/secure-boot/{name}", env!("CARGO_MANIFEST_DIR"));
    let place = tempfile::tempdir().unwrap();
    let variable = place.path().join("MokNew-605dab50-e046-4300-abb6-3dd810dd8b23");
    let list = fs::read(fixture("db.esl")).unwrap();
    fs::write(&variable, [&[7, 0, 0, 0], list.as_slice()].concat()).unwrap();
    let names = ["twice.ko", "keyid.ko", "module.der", "old.der", "dbx.esl", "auth.bin"];
    let mut files = names.map(fixture).to_vec();
    files.push(variable.into_os_string().into_string().unwrap());
    let words = ["--json", "keys", "show"].into_iter().chain(files.iter().map(String::as_str));
    let words: Vec<_> = words.collect();
    let ended = run(&mut command("unix:path=/nonexistent/bus", &words)).await;
    assert_eq!(ended.code, Some(2), "the last but one is none of those: {ended:?}");
    let value: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(faults("", &schema("keys-show"), &value), Vec::<String>::new());
    let kinds: Vec<_> =
        value["files"].as_array().unwrap().iter().map(|file| &file["kind"]).collect();
    let (module, certificate, list) = ("module", "certificate", "signature-list");
    let expected = json!([module, module, certificate, certificate, list, null, list]);
    assert_eq!(json!(kinds), expected);
    assert!(value["files"][5]["error"].is_object() && value["files"][6]["variable"].is_object());
}

#[test]
fn the_comparison_sees_what_is_wrong() {
    let schema = json!({"a": "integer|null", "b": ["string"], "c": {"*": "boolean"}, "d": {"?": {"e": "any"}}});
    let good = json!({"a": null, "b": ["x"], "c": {"k": true}, "d": {"e": [1]}});
    assert_eq!(faults("", &schema, &good), Vec::<String>::new());
    for (key, wrong) in [
        ("a", json!("1")),
        ("a", json!(1.5)),
        ("b", json!([1])),
        ("b", json!(null)),
        ("c", json!({"k": 1})),
        ("d", json!({})),
        ("f", json!(1)),
    ] {
        let mut value = good.clone();
        value[key] = wrong;
        assert_eq!(faults("", &schema, &value).len(), 1, "{value}");
    }
}

#[test]
fn every_schema_is_described() {
    let readme = fs::read_to_string(directory().join("README.md")).unwrap();
    for file in fs::read_dir(directory()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if let Some(verb) = name.strip_suffix(".json") {
            assert!(readme.contains(&format!("`{verb}`")), "{verb}");
        }
    }
}
