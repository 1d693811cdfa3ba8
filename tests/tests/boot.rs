//! `onloadd --boot` as the boot unit runs it: on simulated machines, to its end, which is always a
//! good one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use onload_core::change::{Origin, Outcome};
use onload_core::ledger::Ledger;
use onload_tests::binaries::binary;
use onload_tests::node::PATIENCE;
use onloadd::host::sim::World;
use onloadd::ledger_file::LedgerFile;
use tempfile::TempDir;

/// One machine over its boots: its state stays, its memory does not.
struct Machine {
    home: TempDir,
    world: String,
}

impl Machine {
    fn new(world: &str) -> Self {
        let world = World::shipped(world).unwrap().to_owned();
        Self { home: tempfile::tempdir().unwrap(), world }
    }

    /// The same machine with other words in its world file.
    fn with(mut self, from: &str, to: &str) -> Self {
        self.change(from, to);
        self
    }

    fn change(&mut self, from: &str, to: &str) {
        assert!(self.world.contains(from), "{from}");
        self.world = self.world.replace(from, to);
    }

    /// What happens right at its start.
    fn happens(self, action: &str) -> Self {
        let first = "[node]\n";
        let event = format!("[[event]]\nafter = \"0s\"\ndo = \"{action}\"\n\n{first}");
        self.with(first, &event)
    }

    fn wants(self, release: &str) -> Self {
        self.configure(&format!(
            "[modules]\nrelease = \"{release}\"\n[daemon]\nsettle = \"20ms\"\n"
        ));
        self
    }

    fn configure(&self, text: &str) {
        let directory = self.home.path().join("config/etc/onloadd/onloadd.toml.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("boot.toml"), text).unwrap();
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state/onloadd")
    }

    fn command(&self, state: &Path) -> Command {
        let world = self.home.path().join("world.toml");
        fs::write(&world, &self.world).unwrap();
        let mut command = Command::new(binary("onloadd"));
        command.arg("--boot").arg("--sim").arg(world);
        command.arg("--config-root").arg(self.home.path().join("config"));
        command.arg("--state-directory").arg(state).stdin(Stdio::null());
        command
    }

    /// Boots, and says what the log had; it always ends well, and in time.
    fn boots(&self, arguments: &[&str]) -> String {
        let began = Instant::now();
        let log = log(&self.command(&self.state()).args(arguments).output().unwrap());
        assert!(began.elapsed() < PATIENCE, "{log}");
        log
    }

    fn ledger(&self) -> Ledger {
        let text = fs::read(self.state().join("ledger.json")).unwrap();
        Ledger::parse(&text).unwrap().ledger
    }

    /// The last change: from where to where, and how it ended.
    fn changed(&self) -> (String, Outcome) {
        let ledger = self.ledger();
        assert_eq!(ledger.change, None, "it is over");
        let past = ledger.past.last().expect("a change");
        assert_eq!(past.change.origin, Origin::Boot);
        let from = past.change.from.as_ref().expect("it was there");
        (format!("{from} {}", past.change.to), past.outcome.clone())
    }
}

fn log(output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    log
}

/// What the one line says.
fn verdict(log: &str) -> &str {
    let mut lines = log.lines().filter(|line| line.contains(onloadd::logging::BOOT));
    let line = lines.next().unwrap_or_else(|| panic!("no verdict in {log}"));
    assert_eq!(lines.next(), None, "one line");
    line
}

#[test]
fn the_first_boot_has_the_wanted_release_and_the_next_look_proves_it() {
    for (world, release) in [("in-tree", "host"), ("releases", "9.2.1")] {
        let machine = Machine::new(world).wants(release);
        let log = machine.boots(&[]);
        assert_eq!(machine.changed(), (format!("in-tree {release}"), Outcome::Done), "{log}");
        let said = format!("release {release} is in the place of in-tree; Onload 9.2.1 on");
        assert!(verdict(&log).contains(&said), "{log}");
    }
}

#[test]
fn where_nothing_is_to_be_done_it_ends_at_once() {
    for (why, machine, said) in [
        ("no card", Machine::new("no-card"), "no card"),
        ("as wanted", Machine::new("two-x2522"), "Onload 9.2.1 on 4 ports"),
        ("no release is asked for", Machine::new("releases"), "state=blocked"),
    ] {
        let began = Instant::now();
        let log = machine.boots(&[]);
        assert!(began.elapsed() < Duration::from_secs(3), "{why}: {log}");
        assert!(verdict(&log).contains(said), "{why}: {log}");
        // What containers are given is put in place; the modules are not touched.
        let mut begun = log.lines().filter(|line| line.contains(": begin "));
        assert!(begun.all(|line| line.contains("step=put the libraries")), "{why}: {log}");
    }
}

#[test]
fn a_release_that_does_not_come_up_leaves_the_kernels_own_driver_and_says_why() {
    for (release, why) in [
        ("9.3.2-noaux", "does not work"),
        ("9.3.4-noinsert", "could not load module onload"),
        ("9.3.0-vermagic", "does not fit this kernel"),
    ] {
        let machine = Machine::new("releases").wants(release);
        let log = machine.boots(&[]);
        if release == "9.3.0-vermagic" && machine.ledger().past.is_empty() {
            // Its files were found out before anything was touched.
            assert!(verdict(&log).contains(release), "{log}");
            continue;
        }
        let changed = (format!("in-tree {release}"), Outcome::RolledBack);
        assert_eq!(machine.changed(), changed, "{log}");
        let rejected = machine.ledger().rejected.expect("it is a condition");
        assert!(rejected.why.contains(why), "{}", rejected.why);
        assert!(
            verdict(&log).contains(&format!("back to in-tree from release {release}")),
            "{log}"
        );
    }
}

#[test]
fn a_step_that_hangs_does_not_hold_up_the_boot() {
    let machine = Machine::new("releases").wants("9.2.1").happens("fault load sfc hang");
    machine.configure(
        "[modules]\nrelease = \"9.2.1\"\n[daemon]\nsettle = \"20ms\"\nstep-limit = \"3s\"\n",
    );
    let log = machine.boots(&["--boot-limit", "1s"]);
    assert!(verdict(&log).contains("the boot goes on after 1 s"), "{log}");
    let ledger = machine.ledger();
    let why = match (&ledger.change, &ledger.rejected) {
        (Some(change), _) => change.turned.clone().expect("it is on its way back"),
        (None, Some(rejected)) => rejected.why.clone(),
        (None, None) => panic!("{log}"),
    };
    assert!(why.contains("it was not done within the 1 s that a boot waits"), "{why}");
}

#[test]
fn a_boot_killed_in_the_middle_ends_where_one_that_was_not_does() {
    let machine = Machine::new("releases").wants("9.2.1").happens("fault load sfc hang");
    let mut child = machine.command(&machine.state()).stderr(Stdio::null()).spawn().unwrap();
    let late = Instant::now() + PATIENCE;
    let journal = || fs::read_to_string(machine.state().join("ledger.json")).unwrap_or_default();
    while !journal().contains("{\"step-started\":{\"load-module\"") {
        assert!(Instant::now() < late, "{}", journal());
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(machine.ledger().change.is_some(), "it was under way");

    let machine = machine.with("fault load sfc hang", "nothing");
    let log = machine.boots(&[]);
    assert_eq!(machine.changed(), ("in-tree 9.2.1".to_owned(), Outcome::Done), "{log}");
    assert_eq!(machine.ledger().past.len(), 1, "the same change, to its end");
}

#[test]
fn a_state_that_cannot_be_had_leaves_everything_as_it_is() {
    let machine = Machine::new("releases").wants("9.2.1");
    let file = machine.home.path().join("file");
    fs::write(&file, "").unwrap();
    fs::create_dir_all(machine.state()).unwrap();
    fs::write(machine.state().join("ledger.json"), "damaged\n").unwrap();
    let held = machine.home.path().join("held");
    let _lock = LedgerFile::open(&held).unwrap();
    for (why, state, said) in [
        ("below what is no directory", file.join("state"), "the ledger cannot be read"),
        ("a ledger that does not read", machine.state(), "line 1 is damaged"),
        ("another one runs", held, "another onloadd runs on"),
    ] {
        let log = log(&machine.command(&state).output().unwrap());
        assert!(verdict(&log).contains(said), "{why}: {log}");
        // What containers are given is put in place; the modules are not touched.
        let mut begun = log.lines().filter(|line| line.contains(": begin "));
        assert!(begun.all(|line| line.contains("step=put the libraries")), "{why}: {log}");
    }
}

#[test]
fn only_a_wrong_command_line_is_an_error() {
    for arguments in [
        &["--boot", "--bus", "session"][..],
        &["--boot", "--check-config"],
        &["--boot", "--boot-limit", "soon"],
        &["--boot-limit", "5s"],
    ] {
        let output = Command::new(binary("onloadd"))
            .args(["--sim", "no-card"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_service_manager_hears_what_it_is_at() {
    let machine = Machine::new("releases").wants("9.2.1");
    let path = machine.home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    log(&machine.command(&machine.state()).env("NOTIFY_SOCKET", &path).output().unwrap());
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        heard += &String::from_utf8_lossy(&buffer[..length]);
    }
    for status in ["STATUS=converging: unload module sfc", "STATUS=ready: Onload 9.2.1"] {
        assert!(heard.contains(status), "{heard}");
    }
}

#[test]
fn the_boot_after_one_without_its_network_has_the_release_that_had_it() {
    const FIRST: &str = "4c90e1d7-b25f-4a63-8d0e-93f1a7c2645b";
    let mut machine = Machine::new("releases").wants("9.1.2");
    machine.boots(&[]);
    assert_eq!(machine.changed(), ("in-tree 9.1.2".to_owned(), Outcome::Done));
    let proven = machine.ledger().proven.expect("eno1 has the default route");
    assert_eq!(proven.release, Some("9.1.2".parse().unwrap()));

    // The update, and the network that does not come with it.
    machine = machine.wants("9.2.1").with("default-route = true", "default-route = false");
    machine.change(FIRST, "aaaa");
    machine.boots(&[]);
    assert_eq!(machine.changed(), ("in-tree 9.2.1".to_owned(), Outcome::Done));

    machine.change("aaaa", "bbbb");
    let log = machine.boots(&[]);
    assert_eq!(machine.changed(), ("in-tree 9.1.2".to_owned(), Outcome::Done));
    let why = "has release 9.1.2, not 9.2.1: the boot with it never got a default route";
    assert!(verdict(&log).contains(why), "{log}");
}
