//! `onloadctl capture` and what reads it back, by the real programs: the layout, what is not told, and that
//! a machine that was captured is the machine it was but for its pseudonyms.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onload_tests::binaries::binary;
use onload_tests::node::Node;
use onload_tests::recorded::{block_on, look, names, open, with_root};
use onload_tests::skip::skip;
use serde_json::Value;

#[path = "capture/packed.rs"]
mod packed;

/// An address of a bus on which nobody is.
const NO_BUS: &str = "unix:path=/nonexistent/onloadd-test-bus";

/// A capture of the machine below a root, with the daemon on the bus, or nobody.
fn capture(bus: &str, root: &Path, words: &[&str], place: &Path) -> Output {
    let mut command = Command::new(binary("onloadctl"));
    command.args(["--bus", bus, "capture", "--root"]).arg(root);
    command.arg("--onloadd").arg(binary("onloadd")).args(words).current_dir(place);
    command.output().unwrap()
}

fn complained(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    assert!(said.starts_with("error: ") && said.contains("\n  fix: "), "{said}");
    assert!(said.contains(why), "{why}: {said}");
}

/// Every file and link below a directory: its path, and what is in it.
fn everything(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            all.extend(everything(&path));
            all.push((path, Vec::new()));
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            all.push((path, target.into_os_string().into_encoded_bytes()));
        } else {
            let content = fs::read(&path).unwrap();
            all.push((path, content));
        }
    }
    all
}

fn manifest(capture: &Path) -> Value {
    serde_json::from_slice(&fs::read(capture.join("capture.json")).unwrap()).unwrap()
}

fn gaps(capture: &Path) -> Vec<String> {
    let manifest = manifest(capture);
    let gaps = manifest["gaps"].as_array().unwrap().iter();
    gaps.map(|gap| gap["what"].as_str().unwrap().to_owned()).collect()
}

fn node_of(capture: &Path) -> PathBuf {
    capture.join("nodes").join(manifest(capture)["node"].as_str().unwrap())
}

/// Takes note of which words stand for which: both values are the same but for words, and each always
/// becomes the same, which no other becomes.
fn compare(at: &str, old: &Value, new: &Value, words: &mut BTreeMap<String, String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            assert_eq!(old.len(), new.len(), "{at}");
            // What is called by an address has another name now, and maybe another place.
            let same = |key: &String| new.contains_key(key);
            for (key, value) in old.iter().filter(|(key, _)| same(key)) {
                compare(&format!("{at}/{key}"), value, &new[key], words);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{at}");
            for (number, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{at}/{number}"), old, new, words);
            }
        }
        (Value::String(old), Value::String(new)) => {
            let known = words.entry(old.clone()).or_insert_with(|| new.clone());
            assert_eq!(known, new, "{at}: {old} stands for one thing only");
        }
        (old, new) => assert_eq!(old, new, "{at}"),
    }
}

/// The words that changed; no two became one.
fn changed(words: &BTreeMap<String, String>) -> Vec<(&String, &String)> {
    let mut new: Vec<_> = words.values().collect();
    new.sort();
    new.dedup();
    assert_eq!(new.len(), words.len(), "two became one: {words:?}");
    words.iter().filter(|(old, new)| old != new).collect()
}

#[test]
fn every_machine_that_was_captured_is_the_machine_it_was() {
    let mut mapped = 0;
    for name in names() {
        with_root(&name, |root| {
            let place = tempfile::tempdir().unwrap();
            let output = capture(NO_BUS, root, &["--directory", "."], place.path());
            assert!(output.status.success(), "{name}: {output:?}");
            let machine = node_of(place.path()).join("machine");
            let mut words = BTreeMap::new();
            let written = |root: &Path| serde_json::to_value(look(root)).unwrap();
            let profiles = |root: &Path| {
                let releases = look(root).releases.into_known().unwrap_or_default();
                releases
                    .into_iter()
                    .map(|(name, one)| (name, one.profile_files))
                    .collect::<Vec<_>>()
            };
            assert_eq!(profiles(root), profiles(&machine), "{name}");
            compare(&name, &written(root), &written(&machine), &mut words);
            for (old, new) in changed(&words) {
                println!("{name}: {old} -> {new}");
                mapped += 1;
            }
        });
    }
    assert!(mapped > 6, "addresses of the machines were mapped: {mapped}");
}

/// What nobody may find in a capture, as it was put into the machine.
const TOLD: [&str; 9] = [
    "db7-ldn",
    "corp.example",
    "10.77.5.9",
    "2a02:6b8::77",
    "hunter2",
    "s3cr3t",
    "time9.inner",
    "gwendolyn",
    "4c4c4544003810448052b4c04f4d3132",
];

/// A copy of a machine with something private in every corner.
fn private_machine(root: &Path, into: &Path) {
    block_on(open(root).record(into)).unwrap();
    let write = |path: &str, text: &str| {
        let path = into.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("proc/sys/kernel/hostname", "db7-ldn.corp.example\n");
    write(
        "etc/onloadd/onloadd.toml.d/50-site.toml",
        "# asked gwendolyn on db7-ldn, /home/gwendolyn/notes, at 10.77.5.9 or 2a02:6b8::77\n\
         # password = hunter2\n[pools.fast]\nslots = 3\n",
    );
    write(
        "var/lib/onloadd/ledger.json",
        "{\"onloadd-ledger\":5}\nnot a line: token=s3cr3t of DB7-LDN, \
         UUID=4c4c4544-0038-1044-8052-b4c04f4d3132 4c4c4544003810448052b4c04f4d3132\n",
    );
    write("usr/lib/onloadd/onloadd.toml.d/10-time.toml", "# server time9.inner.example\n");
    write("run/onloadd/onloadd.toml.d/server.conf", "server time9.inner.corp iburst\n");
}

#[test]
fn nothing_private_is_in_the_archive() {
    with_root("two-x2522-oot", |root| {
        let place = tempfile::tempdir().unwrap();
        let machine = place.path().join("root");
        private_machine(root, &machine);
        let output = capture(NO_BUS, &machine, &["--output", "c.tar.gz"], place.path());
        assert!(output.status.success(), "{output:?}");
        let archive = place.path().join("c.tar.gz");
        assert_eq!(archive.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let unpacked = place.path().join("unpacked");
        fs::create_dir(&unpacked).unwrap();
        let tar = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&unpacked).status();
        if !tar.is_ok_and(|status| status.success()) {
            return skip("nothing_private_is_in_the_archive", "no program `tar` here");
        }
        let macs: Vec<[u8; 6]> =
            look(root).interfaces.known().unwrap().values().filter_map(mac_of).collect();
        assert!(macs.len() >= 4, "{macs:?}");
        let mut needles: Vec<Vec<u8>> = TOLD.iter().map(|word| word.as_bytes().to_vec()).collect();
        for mac in &macs {
            let pairs: Vec<_> = mac.iter().map(|octet| format!("{octet:02x}")).collect();
            needles.extend([
                mac.to_vec(),
                pairs.join(":").into_bytes(),
                pairs.concat().into_bytes(),
            ]);
        }
        let files = everything(&unpacked);
        assert!(files.len() > 50, "{} files", files.len());
        for (path, content) in files {
            let told =
                [path.as_os_str().as_encoded_bytes(), &content].concat().to_ascii_lowercase();
            for needle in &needles {
                let found = told.windows(needle.len()).any(|window| window == needle);
                assert!(!found, "{}: {}", path.display(), String::from_utf8_lossy(needle));
            }
        }
        the_configuration_is_found(&unpacked);
        packed::the_archive_itself_is_a_root(&archive, place.path());
    });
}

/// A root unpacked from an archive by itself: its configuration is the captured one.
fn the_configuration_is_found(unpacked: &Path) {
    let top = fs::read_dir(unpacked).unwrap().next().unwrap().unwrap();
    assert!(top.file_name().to_str().unwrap().starts_with("onloadd-capture-node-"), "{top:?}");
    let mut check = Command::new(binary("onloadd"));
    let output = check.args(["--check-config", "--root"]).arg(top.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 pools"), "{output:?}");
}

/// The hardware address of an interface, if it has one of its own.
fn mac_of(interface: &onload_core::inventory::Interface) -> Option<[u8; 6]> {
    interface.mac.known().map(|mac| mac.0).filter(|mac| *mac != [0; 6])
}

#[test]
fn what_onloadd_says_is_in_it_and_is_said_again_by_its_replay() {
    with_root("two-x2522-oot", |root| {
        let place = tempfile::tempdir().unwrap();
        let node = Node::recorded(root).unwrap();
        let output = capture(&node.bus.address(), root, &["--directory", "."], place.path());
        assert!(output.status.success(), "{output:?}");
        let told = gaps(place.path());
        assert_eq!(told, ["ledger", "journals and versions"], "{output:?}");
        let ours = node_of(place.path()).join("onloadd");
        for verb in [
            "status",
            "ports",
            "modules",
            "pools",
            "allocations",
            "plan",
            "naming-plan",
            "releases",
            "clock-status",
            "clock-conflicts",
            "keys-status",
            "keys",
            "jobs",
            "history",
            "config",
        ] {
            let text = fs::read(ours.join(format!("{verb}.json"))).unwrap();
            let value: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["schema"], 1, "{verb}");
        }
        assert_eq!(
            fs::read_to_string(place.path().join("version")).unwrap().lines().next(),
            Some("onloadd/must-gather")
        );
        let stamp = fs::read_to_string(place.path().join("timestamp")).unwrap();
        assert!(stamp.ends_with("Z\n") && stamp.len() == 21, "{stamp}");

        let again = Node::recorded(place.path()).unwrap();
        for verb in ["ports", "modules", "plan"] {
            let mut words = BTreeMap::new();
            let (old, new) = (node.json(&[verb]).unwrap(), again.json(&[verb]).unwrap());
            compare(verb, &old, &new, &mut words);
            changed(&words);
            let captured = fs::read(ours.join(format!("{verb}.json"))).unwrap();
            let captured: Value = serde_json::from_slice(&captured).unwrap();
            assert_eq!(new, captured, "{verb}: replayed as captured");
        }
        let interfaces = |status: Value| status["interfaces"].clone();
        let captured = fs::read(ours.join("status.json")).unwrap();
        let captured: Value = serde_json::from_slice(&captured).unwrap();
        assert_eq!(interfaces(again.status().unwrap()), interfaces(captured));
    });
}

#[test]
fn addresses_stay_where_that_is_asked_for() {
    with_root("two-x2522-oot", |root| {
        let place = tempfile::tempdir().unwrap();
        let words = ["--directory", ".", "--keep-addresses"];
        assert!(capture(NO_BUS, root, &words, place.path()).status.success());
        assert_eq!(look(&node_of(place.path()).join("machine")).interfaces, look(root).interfaces);
        assert_eq!(manifest(place.path())["addresses"], "kept");
    });
}

#[test]
fn a_place_that_cannot_be_had_is_told_and_nothing_is_lost() {
    with_root("no-card", |root| {
        let place = tempfile::tempdir().unwrap();
        let taken = place.path().join("taken.tar.gz");
        fs::write(&taken, "mine").unwrap();
        complained(
            &capture(NO_BUS, root, &["--output", "taken.tar.gz"], place.path()),
            "is there already",
        );
        assert_eq!(fs::read(&taken).unwrap(), b"mine");
        complained(
            &capture(NO_BUS, root, &["--output", "no/c.tar.gz"], place.path()),
            "no directory",
        );
        complained(&capture(NO_BUS, root, &["--directory", "no"], place.path()), "is no directory");
        let full = capture(NO_BUS, root, &["--directory", "."], place.path());
        assert!(full.status.success(), "{full:?}");
        complained(
            &capture(NO_BUS, root, &["--directory", "."], place.path()),
            "holds a capture already",
        );
        let left: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 5, "nothing half done is left: {left:?}");

        let output = capture(NO_BUS, root, &["--output", "-"], place.path());
        assert!(output.status.success() && output.stdout.starts_with(&[0x1f, 0x8b]), "gzip");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("what onloadd says: "), "{told}");

        let linked = place.path().join("linked");
        fs::create_dir(&linked).unwrap();
        std::os::unix::fs::symlink(place.path(), linked.join("nodes")).unwrap();
        let output = capture(NO_BUS, root, &["--directory", "linked"], place.path());
        complained(&output, "nodes: it is a link");

        let locked = place.path().join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
        if nix::unistd::geteuid().is_root() {
            skip("a place that cannot be written", "root may write everywhere");
        } else {
            complained(
                &capture(NO_BUS, root, &["--output", "locked/c.tar.gz"], place.path()),
                "ermission",
            );
        }
    });
}

#[test]
fn without_anything_to_read_nothing_is_written() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("empty");
    fs::create_dir(&root).unwrap();
    let mut command = Command::new(binary("onloadctl"));
    command
        .args(["--bus", NO_BUS, "capture", "--onloadd", "/nonexistent/onloadd", "--root"])
        .arg(&root);
    let output = command.current_dir(place.path()).output().unwrap();
    complained(&output, "there is no program /nonexistent/onloadd");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn what_is_not_as_it_was_captured_is_told_and_shown_all_the_same() {
    with_root("two-x2522-oot", |root| {
        let place = tempfile::tempdir().unwrap();
        assert!(capture(NO_BUS, root, &["--directory", "."], place.path()).status.success());
        let said = || {
            let mut daemon = Command::new(binary("onloadd"));
            daemon.args(["--check-config", "--root"]).arg(place.path());
            let output = daemon.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat()
        };
        assert!(!said().contains("not what was captured"), "{}", said());
        let machine = node_of(place.path()).join("machine");
        let file = machine.join("proc/modules");
        let text = fs::read_to_string(&file).unwrap();
        // As long as it was.
        fs::write(&file, text.replacen("sfc", "sfd", 1)).unwrap();
        fs::remove_file(place.path().join("version")).unwrap();
        fs::write(machine.join("added"), "").unwrap();
        fs::write(place.path().join("must-gather.log"), "of another program").unwrap();
        for what in [
            "1 of its files differ from what was captured: nodes/node-1/machine/proc/modules",
            "1 of its files are missing: version",
            "1 of its files were not captured: nodes/node-1/machine/added",
        ] {
            let node = manifest(place.path())["node"].as_str().unwrap().to_owned();
            let what = what.replace("node-1", &node);
            assert!(said().contains(&what), "{what}: {}", said());
        }
    });
}

#[test]
fn the_same_machine_gives_the_same_files() {
    with_root("two-x2522-oot", |root| {
        let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, other] = places.each_ref().map(|place| {
            assert!(capture(NO_BUS, root, &["--directory", "."], place.path()).status.success());
            let own = |(path, content): (PathBuf, Vec<u8>)| {
                let path = path.strip_prefix(place.path()).unwrap().to_owned();
                // Only these two tell when.
                let timed =
                    ["timestamp", "capture.json"].iter().any(|name| path == Path::new(name));
                (!timed).then_some((path, content))
            };
            let mut files: Vec<_> = everything(place.path()).into_iter().filter_map(own).collect();
            files.sort();
            files
        });
        assert!(one == other, "two captures of one machine differ");
    });
}

#[test]
fn what_is_no_capture_of_one_machine_is_refused() {
    let refused = |root: &Path, why: &str| {
        let mut daemon = Command::new(binary("onloadd"));
        let output = daemon.args(["--check-config", "--root"]).arg(root).output().unwrap();
        complained(&output, why);
    };
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let write = |text: &str| fs::write(root.join("capture.json"), text).unwrap();
    let file = root.join("c.tar.gz");
    fs::write(&file, "x").unwrap();
    refused(&file, "no tar archive");
    for damaged in ["", "[]", "{\"schema\": \"1\"}", "{\"schema\": 1", "\u{0}"] {
        write(damaged);
        refused(root, "is damaged");
    }
    write("{\"schema\": 2}");
    refused(root, "form 2");
    write("{\"schema\": 1}");
    refused(root, "nodes: ");
    fs::create_dir_all(root.join("nodes/a/onloadd")).unwrap();
    refused(root, "no machine is in it");
    std::os::unix::fs::symlink("/", root.join("nodes/a/machine")).unwrap();
    refused(root, "no machine is in it");
    for node in ["b", "c"] {
        fs::create_dir_all(root.join("nodes").join(node).join("machine")).unwrap();
    }
    refused(root, "several nodes: b, c");
}
