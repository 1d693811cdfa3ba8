//! The archive itself as a root: unpacked for as long as it is looked at, and gone then.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use onload_tests::binaries::binary;
use onload_tests::bus::Bus;
use onload_tests::node::PATIENCE;
use onload_tests::recorded::{look, with_root};

use super::{NO_BUS, capture, complained, node_of};

/// The archive, under either name, is the same root, and nothing of it stays where temporary files are.
pub(super) fn the_archive_itself_is_a_root(archive: &Path, place: &Path) {
    let temporary = place.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let short = place.join("c.tgz");
    fs::copy(archive, &short).unwrap();
    let daemon = |words: &[&str], root: &Path| {
        let mut daemon = Command::new(binary("onloadd"));
        daemon.args(words).arg("--root").arg(root).env("TMPDIR", &temporary);
        let output = daemon.output().unwrap();
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{words:?}");
        output
    };
    for root in [archive, &short] {
        let output = daemon(&["--check-config"], root);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 pools"), "{output:?}");
    }
    let again = place.join("again");
    let output = daemon(&["--record", again.to_str().unwrap()], archive);
    assert!(output.status.success(), "{output:?}");
    let top = fs::read_dir(place.join("unpacked")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(look(&again), look(&node_of(&top).join("machine")));
    complained(&daemon(&["--restore"], archive), "is a capture");
    let cut = place.join("cut.tar.gz");
    let bytes = fs::read(archive).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    complained(&daemon(&["--check-config"], &cut), "cut.tar.gz: ");
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already says so.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_packed_capture_is_served_and_gone_when_the_daemon_ends() {
    with_root("two-x2522-oot", |root| {
        let place = tempfile::tempdir().unwrap();
        let output = capture(NO_BUS, root, &["--output", "c.tar.gz"], place.path());
        assert!(output.status.success(), "{output:?}");
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let temporary = place.path().join(format!("{signal}"));
            fs::create_dir(&temporary).unwrap();
            let bus = Bus::running().unwrap();
            let mut daemon = Command::new(binary("onloadd"));
            daemon.args(["--bus", &bus.address(), "--log", "error", "--state-directory"]);
            daemon.arg(temporary.with_extension("state")).arg("--root");
            daemon.arg(place.path().join("c.tar.gz")).env("TMPDIR", &temporary);
            let mut daemon = Running(daemon.spawn().unwrap());
            let modules = || {
                let mut asked = Command::new(binary("onloadctl"));
                let output = asked.args(["--bus", &bus.address(), "--json", "modules"]).output();
                output.unwrap()
            };
            let begun = Instant::now();
            let answer = loop {
                let answer = modules();
                if answer.status.success() || begun.elapsed() > PATIENCE {
                    break answer;
                }
                std::thread::sleep(Duration::from_millis(20));
            };
            let said = String::from_utf8_lossy(&answer.stdout);
            assert!(said.contains("sfc_resource"), "{answer:?}");
            let unpacked = fs::read_dir(&temporary).unwrap().next().unwrap().unwrap();
            assert_eq!(unpacked.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
            let pid = nix::unistd::Pid::from_raw(daemon.0.id().try_into().unwrap());
            nix::sys::signal::kill(pid, signal).unwrap();
            assert!(daemon.0.wait().unwrap().success());
            assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{signal}");
        }
    });
}

#[test]
fn what_a_killed_one_left_behind_goes_and_what_is_in_use_stays() {
    with_root("two-x2522-oot", |root| {
        let place = tempfile::tempdir().unwrap();
        let output = capture(NO_BUS, root, &["--output", "c.tar.gz"], place.path());
        assert!(output.status.success(), "{output:?}");
        let temporary = place.path().join("temporary");
        let [left, used, other] =
            ["onloadd-unpacked-1-0", "onloadd-unpacked-1-1", "onloadd-unpacked-node-1"]
                .map(|name| temporary.join(name));
        for directory in [&left, &used, &other] {
            fs::create_dir_all(directory.join("nodes")).unwrap();
        }
        let lock = fs::File::open(&used).unwrap();
        lock.lock().unwrap();
        let mut daemon = Command::new(binary("onloadd"));
        daemon.args(["--check-config", "--root"]).arg(place.path().join("c.tar.gz"));
        let output = daemon.env("TMPDIR", &temporary).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!([left.exists(), used.exists(), other.exists()], [false, true, true]);
    });
}

#[test]
fn a_manifest_leads_nowhere_and_to_no_end() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    for directory in ["nodes/a/machine/empty", "nodes/a/onloadd/configuration"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::os::unix::fs::symlink("/proc/self", root.join("x")).unwrap();
    std::os::unix::fs::symlink("/proc/self/pagemap", root.join("nodes/a/machine/link")).unwrap();
    fs::write(root.join("nodes/a/machine/runs"), "").unwrap();
    fs::set_permissions(root.join("nodes/a/machine/runs"), fs::Permissions::from_mode(0o755))
        .unwrap();
    nix::unistd::mkfifo(&root.join("nodes/a/machine/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let file = |path: &str| serde_json::json!({"path": path, "bytes": 0, "executable": false});
    let manifest = serde_json::json!({
        "schema": 1,
        "files": [
            file("x/pagemap"), file("../outside"), file("nodes/a/machine/link"),
            file("nodes/a/machine/pipe"), file("nodes/a/machine/runs"),
        ],
        "links": [],
        "directories": ["nodes/a/machine/gone"],
    });
    fs::write(root.join("capture.json"), manifest.to_string()).unwrap();
    let mut daemon = Command::new("timeout");
    daemon.arg("60").arg(binary("onloadd")).args(["--check-config", "--root"]).arg(root);
    let output = daemon.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output:?}");
    for line in [
        "3 of its files differ from what was captured: nodes/a/machine/link nodes/a/machine/pipe nodes/a/machine/runs",
        "3 of its files are missing: ../outside nodes/a/machine/gone x/pagemap",
        "2 of its files were not captured: nodes/a/machine/empty nodes/a/onloadd/configuration",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[test]
fn a_capture_that_leads_elsewhere_is_not_followed() {
    let place = tempfile::tempdir().unwrap();
    let outside = place.path().join("outside");
    fs::create_dir_all(outside.join("configuration/etc/onloadd")).unwrap();
    fs::create_dir(outside.join("machine")).unwrap();
    fs::write(outside.join("configuration/etc/onloadd/onloadd.toml"), "[pools.out]\nslots = 7\n")
        .unwrap();
    fs::write(outside.join("capture.json"), "{\"schema\": 1}").unwrap();
    // What is a link, and what is told of it.
    for (link, target, why) in [
        ("capture.json", "capture.json", "capture.json: "),
        ("nodes", "", "nodes: "),
        ("nodes/a", "", "no machine is in it"),
        ("nodes/a/machine", "machine", "no machine is in it"),
        ("nodes/a/onloadd", "", "its configuration lies behind a link"),
        ("nodes/a/onloadd/configuration", "configuration", "its configuration lies behind a link"),
    ] {
        let root = tempfile::tempdir().unwrap();
        for directory in ["nodes/a/machine", "nodes/a/onloadd/configuration"] {
            let is_below = Path::new(directory).starts_with(link);
            let directory =
                if is_below { Path::new(link).parent().unwrap() } else { Path::new(directory) };
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        if link != "capture.json" {
            fs::write(root.path().join("capture.json"), "{\"schema\": 1}").unwrap();
        }
        std::os::unix::fs::symlink(outside.join(target), root.path().join(link)).unwrap();
        let mut daemon = Command::new(binary("onloadd"));
        let output = daemon.args(["--check-config", "--root"]).arg(root.path()).output().unwrap();
        complained(&output, why);
    }
}
