//! Keys of a node: asked for, missed, taken back, enrolled, on a real daemon with a simulated machine.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use onload_tests::binaries::binary;
use onload_tests::node::Node;
use onload_tests::skip::skip;
use serde_json::Value;

use crate::run::Ended;
use crate::schema::{faults, schema};

const WORLD: &str = include_str!("../../../packaging/worlds/unenrolled-key.toml");
/// The boot in which that world begins, and one that comes later.
const BOOTS: [&str; 2] =
    ["a94e0c7d-63f2-4d18-95ab-1e7f3b20c846", "5d0c1f8e-2b7a-4f63-9c1d-7a40e6b2d915"];
/// What `openssl passwd -6` made of a password.
pub const HASH: &str = include_str!("../../secure-boot/auth.txt");

/// A node whose modules nobody trusts yet.
pub struct Machine {
    pub node: Node,
    place: tempfile::TempDir,
}

impl Machine {
    /// That world, with some of its text replaced.
    pub fn new(changes: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let world = place.path().join("world.toml");
        let node = Node::stopped(world.to_str().unwrap()).unwrap();
        let mut machine = Self { node, place };
        machine.write("hash", HASH);
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n");
        let from = WORLD.find(begin).unwrap();
        let to = WORLD.find(end).unwrap() + end.len();
        machine.write("site.pem", &WORLD[from..to]);
        machine.boot(changes);
        machine
    }

    /// Starts the daemon on that world, as after a boot that left it like this.
    fn boot(&mut self, changes: &[(&str, &str)]) {
        let world = changes.iter().fold(WORLD.to_owned(), |world, (from, to)| {
            assert!(world.contains(from), "{from}");
            world.replace(from, to)
        });
        self.write("world.toml", &world);
        self.node.start().unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// `onloadctl keys`, with files of this place.
    pub fn keys(&self, words: &[&str]) -> Ended {
        let mut command = self.node.ctl_command([&["keys"], words].concat());
        Ended::of(command.current_dir(self.place.path()).output().unwrap())
    }

    /// Has shim asked for the key.
    pub fn import(&self, words: &[&str]) -> Ended {
        self.keys(&[&["import", "site.pem", "--hash-file", "hash"], words].concat())
    }

    /// Waits until the world's key is so far.
    pub fn until(&mut self, state: &str) {
        let is = |node: &Node| {
            let all = node.json(&["keys", "list"])?;
            Ok(all["keys"]
                .as_array()
                .is_some_and(|keys| keys.iter().any(|key| key["state"] == state)))
        };
        self.node.until(&format!("a key that is {state}"), is).unwrap();
    }

    /// Waits until every order has ended: what one does can be seen before.
    fn until_no_job_runs(&mut self) {
        let is = |node: &Node| {
            let all = node.json(&["jobs"])?;
            Ok(all["jobs"]
                .as_array()
                .is_some_and(|jobs| jobs.iter().all(|job| job["state"] != "running")))
        };
        self.node.until("no job that runs", is).unwrap();
    }

    fn condition(&self) -> Value {
        let status = self.node.status().unwrap();
        let all = status["conditions"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["type"] == "KeysEnrolled").unwrap()
    }
}

/// What, why and what to do, of a run that ended so.
#[track_caller]
fn three_lines(ended: &Ended, code: u8) -> [&str; 3] {
    assert_eq!((ended.code, ended.out.as_str()), (Some(code.into()), ""), "{ended:?}");
    let lines: Vec<_> = ended.err.lines().filter(|line| !line.starts_with("warning: ")).collect();
    let [what, why, fix] = lines[..] else { panic!("{ended:?}") };
    assert!(why.starts_with("  why: ") && fix.starts_with("  fix: "), "{ended:?}");
    [what, why, fix]
}

#[test]
fn a_key_is_asked_for_missed_and_enrolled_in_the_end() {
    let mut machine = Machine::new(&[]);
    let unknown = machine.keys(&["status"]);
    assert_eq!(unknown.code, Some(4), "{unknown:?}");
    assert!(unknown.out.contains("host (wanted)  all      refused  UnknownSigner"), "{unknown:?}");

    let asked = machine.import(&[]);
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert!(asked.out.starts_with("j1: asked for: reboot with somebody at the console within 5m"));
    machine.until("EnrolmentPending");
    let status = machine.keys(&["status"]);
    assert_eq!(status.code, Some(4), "{status:?}");
    let request = "asked for    MokNew, 1 key: shim asks at the next boot, for 300 seconds\n";
    assert!(status.out.contains(request), "{status:?}");
    let jobs = machine.node.ctl_ok(["jobs"]).unwrap();
    assert!(jobs.contains("import-key  done"), "{jobs}");
    // Once by onloadd, and once before anybody is asked for a password.
    for password in [&["--hash-file", "hash"][..], &["--generate-password"]] {
        let again = machine.keys(&[&["import", "site.pem"], password].concat());
        let [what, why, fix] = three_lines(&again, 4);
        assert_eq!(what, "error: shim is not asked to enrol the key");
        assert!(why.contains("asked for") && fix.contains("Enroll MOK"), "{again:?}");
    }

    // MokManager deletes the request before it asks, and nobody was there.
    machine.node.stop().unwrap();
    machine.boot(&[(BOOTS[0], BOOTS[1])]);
    machine.until("RequestLost");
    let condition = machine.condition();
    let message = condition["message"].as_str().unwrap();
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&"False".into(), &"RequestLost".into())
    );
    assert!(message.contains("CN=Site modules, O=Example: asked on 2"), "{message}");
    assert!(message.contains(", not enrolled: the prompt was missed or refused"), "{message}");
    assert!(message.contains("onloadctl keys import"), "{message}");
    let status = machine.node.ctl(["status"]).unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("        keys  RequestLost: CN=Site modules, O=Example: asked on"),
        "{status}"
    );

    assert_eq!(machine.import(&[]).code, Some(0));
    machine.node.act("attend").unwrap();
    machine.node.act("reboot").unwrap();
    machine.until("Enrolled");
    machine.node.until_state("ready").unwrap();
    let status = machine.keys(&["status"]);
    assert_eq!(status.code, Some(0), "nothing is to be done: {status:?}");
    assert!(status.out.contains("host (wanted)  all      trusted  -"), "{status:?}");
    let list = machine.keys(&["list"]);
    let row = "CN=Site modules, O=Example  Enrolled  .platform mok  a41f96df930feaaa\n";
    assert!(list.out.ends_with(row), "{list:?}");
    for password in [&["--hash-file", "hash"][..], &["--generate-password"]] {
        let again = machine.keys(&[&["import", "site.pem"], password].concat());
        let [_, why, fix] = three_lines(&again, 4);
        assert!(why.contains("enrolled: ") && fix == "  fix: nothing", "{again:?}");
    }
}

/// `keys list`, live; a line at every change.
fn watching(machine: &Machine) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = machine.node.ctl_command(["keys", "list", "--watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[test]
fn a_request_is_taken_back() {
    let mut machine = Machine::new(&[]);
    let nothing = machine.keys(&["revoke-request"]);
    assert!(three_lines(&nothing, 1)[0].contains("taken back"), "{nothing:?}");
    let (mut watch, mut lines) = watching(&machine);
    let mut states = || {
        let page: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        page["keys"].as_array().unwrap().iter().map(|key| key["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(states(), Vec::<Value>::new());
    let open = machine.import(&["--no-wait"]);
    assert!(open.err.contains("hash can be read by others than its owner"), "{open:?}");
    machine.until("EnrolmentPending");
    while states() != ["EnrolmentPending"] {}
    watch.kill().unwrap();
    watch.wait().unwrap();
    machine.until_no_job_runs();
    let taken = machine.keys(&["revoke-request"]);
    assert_eq!((taken.code, taken.out.as_str()), (Some(0), "j2: taken back: shim does not ask\n"));

    let closed = fs::Permissions::from_mode(0o600);
    fs::set_permissions(machine.path("hash"), closed).unwrap();
    let asked = machine.import(&["--no-wait"]);
    assert_eq!(asked.err, "");
    assert_eq!(asked.out, "j3: ordered; `onloadctl jobs` shows how it goes\n", "{asked:?}");
    machine.until("EnrolmentPending");
    machine.until_no_job_runs();
    let taken = machine.keys(&["revoke-request"]);
    assert_eq!((taken.code, taken.out.as_str()), (Some(0), "j4: taken back: shim does not ask\n"));
    let list = machine.keys(&["list"]);
    assert_eq!(list.out, "no key has a name here\n", "{list:?}");
}

#[test]
fn a_revoked_key_is_not_asked_for() {
    let mut machine = Machine::new(&[("enrolled = false", "enrolled = true")]);
    machine.node.act("revoke site-modules").unwrap();
    machine.node.act("reboot").unwrap();
    machine.until("Revoked");
    for password in [&["--hash-file", "hash"][..], &["--generate-password"]] {
        let refused = machine.keys(&[&["import", "site.pem"], password].concat());
        let [_, why, fix] = three_lines(&refused, 4);
        assert!(why.contains("revoked") && why.contains("dbx"), "{refused:?}");
        assert!(fix.contains("onloadctl keys generate"), "{refused:?}");
    }
}

#[test]
fn a_sealed_disk_is_for_a_person_to_decide() {
    let disk = ("enabled = true", "enabled = true\nsealed-disks = [\"root\"]");
    let mut machine = Machine::new(&[disk]);
    for password in [&["--hash-file", "hash"][..], &["--generate-password"]] {
        let refused = machine.keys(&[&["import", "site.pem"], password].concat());
        let [_, why, fix] = three_lines(&refused, 4);
        assert!(why.contains("volume root"), "{refused:?}");
        assert!(fix.ends_with("; then order it with --despite-sealed-disks"), "{refused:?}");
    }
    let status = machine.keys(&["status"]);
    assert!(status.out.contains("  root: SealedDisk\n    why: volume root"), "{status:?}");
    let asked = machine.import(&["--despite-sealed-disks"]);
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert!(asked.err.contains("warning: volume root"), "{asked:?}");
    machine.until("EnrolmentPending");
}

#[test]
fn certificates_that_the_configuration_names_are_said_where_none_is() {
    let mut machine = Machine::new(&[]);
    let none = machine.keys(&["import"]);
    let [_, why, fix] = three_lines(&none, 2);
    assert!(why.ends_with("and none that the configuration names is missing"), "{none:?}");
    assert_eq!(fix, "  fix: write: onloadctl keys import CERT");
    let path = "/etc/onloadd/site.pem";
    let place = machine.node.config_root().join("etc/onloadd");
    fs::create_dir_all(&place).unwrap();
    fs::copy(machine.path("site.pem"), place.join("site.pem")).unwrap();
    let setting = format!("[secure-boot]\ncertificates = [\"{path}\"]\n");
    machine.node.configure("keys.toml", &setting).unwrap();
    machine.node.stop().unwrap();
    machine.boot(&[]);
    machine.until("NotEnrolled");
    let named = machine.keys(&["import"]);
    let [_, why, fix] = three_lines(&named, 2);
    assert!(why.ends_with(&format!("which are not enrolled: {path}")), "{named:?}");
    assert_eq!(fix, format!("  fix: write: onloadctl keys import {path}"));
    let status = machine.keys(&["status"]);
    assert!(status.out.contains("  CN=Site modules, O=Example: NotEnrolled\n"), "{status:?}");
}

#[test]
fn what_is_no_certificate_and_no_hash_is_refused_before_anybody_is_asked() {
    let machine = Machine::new(&[]);
    machine.write(
        "login",
        "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC\n",
    );
    for (words, code, said) in [
        (&["import", "nowhere.pem"][..], 1, "nowhere.pem cannot be read"),
        (&["import", "hash"], 2, "hash is no certificate"),
        (&["import", "site.pem"], 2, "no terminal to ask for a password on"),
        (&["import", "site.pem", "--hash-file", "nowhere"], 1, "nowhere cannot be read"),
        (&["import", "site.pem", "--hash-file", "login"], 2, "it is made by yescrypt ($y$)"),
    ] {
        let ended = machine.keys(words);
        let [what, why, _] = three_lines(&ended, code);
        assert_eq!(what, "error: shim is not asked to enrol the key");
        assert!(why.contains(said) && !why.contains("F5Jx5fEx"), "{ended:?}");
    }
    assert_eq!(machine.node.ctl_ok(["jobs"]).unwrap(), "no jobs\n");
}

/// Puts a program somewhere. A process of its own writes it: what this one has open for writing, a
/// child of another test may have as well for a moment, and then it cannot be run.
pub fn install(from: &Path, to: &Path) {
    let copied = Command::new("install").args(["-m", "755"]).args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// onloadctl as a user without privilege; none where that cannot be.
fn as_nobody(machine: &Machine, test: &str, words: &[&str]) -> Option<Output> {
    if !nix::unistd::geteuid().is_root() {
        skip(test, "only root can make calls as another user");
        return None;
    }
    // The build directory may be closed to others.
    let program = machine.path("onloadctl");
    install(&binary("onloadctl"), &program);
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(machine.place.path(), open).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .args(["--bus", &machine.node.bus.address(), "keys"])
        .args(words)
        .current_dir(machine.place.path())
        .output();
    if output.is_err() {
        skip(test, "setpriv is needed to call as another user");
    }
    output.ok()
}

#[test]
fn without_polkit_users_read_and_only_root_asks() {
    let test = "without_polkit_users_read_and_only_root_asks";
    let machine = Machine::new(&[]);
    for words in [&["import", "site.pem", "--hash-file", "hash"][..], &["revoke-request"]] {
        let Some(output) = as_nobody(&machine, test, words) else { return };
        let ended = Ended::of(output);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.err.contains("com.amd.onload1.manage-keys"), "{ended:?}");
    }
    let Some(output) = as_nobody(&machine, test, &["status"]) else { return };
    assert_eq!(output.status.code(), Some(4), "reading is free: {output:?}");
    assert_eq!(machine.node.ctl_ok(["jobs"]).unwrap(), "no jobs\n");
}

#[test]
fn json_of_keys_of_a_node_is_as_documented() {
    let disk = ("enabled = true", "enabled = true\nsealed-disks = [\"root\"]");
    let mut machine = Machine::new(&[disk]);
    let json = |machine: &Machine, words: &[&str], code: i32| -> Value {
        let ended = machine.keys(&[words, &["--json"]].concat());
        assert_eq!(ended.code, Some(code), "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    };
    let words = ["import", "site.pem", "--generate-password", "--despite-sealed-disks"];
    let import = json(&machine, &words, 0);
    assert_eq!(import["password"].as_str().map(str::len), Some(16), "{import}");
    machine.until("EnrolmentPending");
    let list = json(&machine, &["list"], 0);
    let status = json(&machine, &["status"], 4);
    for (name, value) in [("keys-import", &import), ("keys-list", &list), ("keys-status", &status)]
    {
        assert_eq!(value["schema"], 1, "{name}");
        assert_eq!(faults(name, &schema(name), value), Vec::<String>::new());
    }
    for list in ["keys", "requests", "sealed_disks", "to_do"] {
        assert!(status[list].as_array().is_some_and(|all| !all.is_empty()), "{list}: {status}");
    }
    assert_eq!(status["verdicts"]["host"][0]["verdict"], "refused", "{status}");
    let revoked = json(&machine, &["revoke-request"], 0);
    assert_eq!(faults("apply", &schema("apply"), &revoked), Vec::<String>::new());
    let asked = json(&machine, &["import", "site.pem", "--hash-file", "hash", words[3]], 0);
    assert!(asked["password"].is_null(), "{asked}");
}
