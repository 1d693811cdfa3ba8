//! sfptpd from outside: the stand-in as a process, and what onloadd reads of it. No systemd, no root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "sfptpd/reader.rs"]
mod reader;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use onload_core::clock::sfptpd::{exit, instances, interfaces, metrics, sample, state, version};
use onload_core::clock::unit::Ended;
use onload_tests::binaries::binary;
use onload_tests::datagram::receive;
use onload_tests::sfptpd::place::Place;
use tempfile::TempDir;

/// Longest that anything here takes where it does not fail.
const PATIENCE: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(20);
/// A slave on one port that steers the system clock, with statistics in a file.
const SLAVE: &str = "[general]\nsync_module ptp ptp1\njson_stats /run/stats.json\n\
    stats_log /run/stats.log\n[ptp1]\ninterface eth1\n";

/// A machine with one card, as files, and the stand-in on it.
struct Machine {
    place: TempDir,
    child: Option<Child>,
    notify: UnixDatagram,
}

impl Machine {
    fn new(configuration: &str) -> Self {
        let place = TempDir::new().unwrap();
        let at = |path: &str| place.path().join(path);
        for directory in [
            "sys/class/ptp/ptp0",
            "sys/class/net/eth1/device/ptp/ptp0",
            "dev",
            "run",
            "proc",
            "etc",
        ] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("sys/class/net/eth1/address"), "00:0f:53:01:02:03\n").unwrap();
        fs::write(at("dev/ptp0"), "").unwrap();
        fs::write(at("etc/sfptpd.conf"), configuration).unwrap();
        let notify = UnixDatagram::bind(at("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { place, child: None, notify }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    /// Starts it, as fast as it can be.
    fn start(&mut self, words: &[&str], variables: &[(&str, &str)]) {
        let child = Command::new(binary("sfptpd"))
            .args(["--no-daemon", "-p", "-f"])
            .arg(self.path("etc/sfptpd.conf"))
            .args(words)
            .env(Place::ROOT, self.place.path())
            .env(Place::SYNC, "0.4")
            .env(Place::SAVE, "0.1")
            .env(Place::STATISTICS, "0.05")
            .env("NOTIFY_SOCKET", self.path("notify"))
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What it told the service manager.
    fn told(&self) -> String {
        let mut bytes = [0; 256];
        let length = receive(&self.notify, &mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Its exit status.
    fn status(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().expect("it was killed");
            }
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("it did not end");
            }
            std::thread::sleep(PACE);
        }
    }

    fn order(&self, command: &str) {
        let socket = self.path("run/sfptpd/control-v1.sock");
        UnixDatagram::unbound().unwrap().send_to(command.as_bytes(), socket).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn state(&self, name: &str) -> onload_core::clock::sfptpd::State {
        state::parse(&self.text(&format!("var/lib/sfptpd/state-{name}")))
    }

    /// What its metrics socket answers, head and body.
    fn ask(&self, path: &str) -> (String, String) {
        let mut stream = UnixStream::connect(self.path("run/sfptpd/metrics.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: _\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// A process of another program, as far as sfptpd looks.
    fn beside(&self, comm: &str, line: &str) {
        let directory = self.path("proc/77");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(directory.join("cmdline"), line.replace(' ', "\0")).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(PACE);
    }
}

#[test]
fn it_says_when_it_is_ready_comes_into_step_and_ends_well() {
    let mut machine = Machine::new(SLAVE);
    machine.start(&[], &[]);
    assert_eq!(machine.told(), "READY=1");
    assert!(machine.path("run/sfptpd/control-v1.sock").exists(), "before it says so");
    wait_for("the source", || machine.state("ptp1").in_sync == Some(true));
    wait_for("the system clock", || machine.state("system").in_sync == Some(true));
    let followed = machine.state("ptp1");
    assert_eq!((followed.state.as_str(), followed.alarms.len()), ("ptp-slave", 0));
    assert_eq!(followed.clock.as_deref(), Some("phc0(eth1)"));
    assert!(followed.control_flags.contains("selected"), "{followed:?}");
    assert_eq!(machine.state("system").state, "local-slave");

    let all = instances::parse(&machine.text("var/lib/sfptpd/sync-instances"));
    assert!(all["ptp1"].selected && all["ptp1"].operational && !all["ptp1"].alarmed, "{all:?}");
    assert!(!all["crny0"].selected, "implied, and there is no chronyd: {all:?}");
    let ports = interfaces::parse(&machine.text("var/lib/sfptpd/interfaces"));
    assert_eq!(ports["eth1"].mac, "00:0f:53:01:02:03");
    let told = version::parse(&machine.text("var/lib/sfptpd/version"));
    assert_eq!(told.as_deref(), Some("3.9.0.1007"));

    machine.order("exit");
    assert_eq!(machine.status(), 0);
    assert!(!machine.path("run/sfptpd/control-v1.sock").exists());
    // What outlives a start, and what does not.
    fs::write(machine.path("var/lib/sfptpd/state-old"), "").unwrap();
    machine.start(&[], &[]);
    assert_eq!(machine.told(), "READY=1");
    assert!(machine.path("var/lib/sfptpd/freq-correction-system").exists());
    assert!(!machine.path("var/lib/sfptpd/state-old").exists());
}

#[test]
fn samples_are_taken_by_who_asks_for_them_and_seen_by_who_peeks() {
    let mut machine = Machine::new(SLAVE);
    machine.start(&[], &[(Place::STATISTICS, "0.02")]);
    machine.told();
    let count = |path: &str| machine.ask(path).1.lines().count();
    wait_for("samples", || count("/peek/rt-stats.jsonl") >= 40);
    let (head, lines) = machine.ask("/peek/rt-stats.jsonl");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("X-Sfptpd-Lost-Samples: 0"));
    for line in lines.lines() {
        sample::json(line).unwrap();
    }
    assert!(count("/peek/rt-stats.txt") >= 40, "still there");
    assert!(count("/rt-stats.jsonl") >= 40, "taken");
    assert!(count("/peek/rt-stats.jsonl") < 40, "from everybody");
    for line in machine.ask("/peek/rt-stats.json-seq").1.lines() {
        assert!(line.starts_with('\u{1e}'));
        sample::json(line).unwrap();
    }
    wait_for("metrics", || {
        let metrics = metrics::parse(&machine.ask("/peek/metrics").1);
        metrics.servos.contains_key("ptp1") && metrics.servos.contains_key("servo0")
    });
    assert!(machine.ask("/nothing").0.starts_with("HTTP/1.1 404"));
    let text = machine.text("run/stats.log");
    let line = text.lines().find(|line| line.contains("[ptp1:gm->phc0(eth1)]")).unwrap();
    assert_eq!(sample::text(line).unwrap().instance, "ptp1");
}

#[test]
fn it_ends_with_the_errno_of_what_stands_against_it() {
    let free = "[general]\nsync_module ptp ptp1\nclock_readonly system\n[ptp1]\ninterface eth1\n";
    let cases = [
        ("timesyncd", SLAVE, Some(("systemd-timesyn", "")), 93),
        ("timesyncd, whatever is to be steered", free, Some(("systemd-timesyn", "")), 93),
        ("ntpd", SLAVE, Some(("ntpd", "ntpd -g")), 16),
        ("chronyd", SLAVE, Some(("chronyd", "/usr/sbin/chronyd -F 2")), 95),
        ("no section", "interface eth1\n", None, 22),
        ("no such section", "[general]\n[ptp7]\n", None, 2),
        ("no such option", "[general]\nbogus 1\n", None, 22),
    ];
    for (why, configuration, beside, errno) in cases {
        let mut machine = Machine::new(configuration);
        if let Some((comm, line)) = beside {
            machine.beside(comm, line);
        }
        machine.start(&[], &[]);
        assert_eq!(machine.told(), format!("ERRNO={errno}"), "{why}");
        assert_eq!(machine.status(), errno, "{why}");
        assert!(exit::said(Ended::Status(errno)).contains(&format!("{errno} (E")), "{why}");
    }
    for (why, configuration, line) in [
        ("chronyd leaves the clock alone", SLAVE, "/usr/sbin/chronyd -x -F 2"),
        ("the clock is not to be steered", free, "/usr/sbin/chronyd -F 2"),
    ] {
        let mut machine = Machine::new(configuration);
        machine.beside("chronyd", line);
        machine.start(&[], &[]);
        assert_eq!(machine.told(), "READY=1", "{why}");
    }
    let mut machine = Machine::new(SLAVE);
    fs::remove_dir_all(machine.path("sys/class/ptp")).unwrap();
    machine.start(&[], &[]);
    assert_eq!(machine.status(), 19, "no PTP in the kernel");
}

#[test]
fn a_configuration_is_tested_and_nothing_else_is_done() {
    let mut machine = Machine::new(SLAVE);
    machine.start(&["-t"], &[]);
    assert_eq!(machine.status(), 0);
    assert!(!machine.path("run/sfptpd").exists() && !machine.path("var/lib").exists());
    fs::write(machine.path("etc/sfptpd.conf"), "[bogus]\n").unwrap();
    machine.start(&["-t"], &[]);
    assert_eq!(machine.status(), 2);
}

#[test]
fn clocks_that_it_steers_are_locked_and_those_of_others_are_left_alone() {
    let mut machine = Machine::new(SLAVE);
    let hardware = machine.path("dev/ptp0");
    let locked = |path: &Path| {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)
    };
    let held = locked(&hardware).unwrap();
    machine.start(&[], &[]);
    machine.told();
    assert!(locked(&machine.path("run/kernel_clock")).is_err());
    wait_for("a line", || machine.text("run/stats.log").contains("[ptp1:gm-#phc0(eth1)]"));
    machine.start_beside_fails();
    drop(held);
    machine.order("exit");
    assert_eq!(machine.status(), 0);
    machine.start(&[], &[]);
    machine.told();
    assert!(locked(&hardware).is_err());
    machine.order("block_clock=1,system");
    wait_for("the block", || machine.state("system").blocked_by.contains("manual"));
    machine.order("block_clock=0");
    wait_for("the end of the block", || machine.state("system").blocked_by.is_empty());
}

impl Machine {
    /// Two of them share a lock.
    fn start_beside_fails(&mut self) {
        let first = self.child.take();
        self.start(&[], &[]);
        assert_eq!(self.status(), 11);
        self.child = first;
        assert_eq!(self.told(), "ERRNO=11");
    }
}

#[test]
fn faults_come_and_go_on_order() {
    let mut machine = Machine::new(SLAVE);
    machine.start(&[], &[]);
    machine.told();
    wait_for("the source", || machine.state("ptp1").in_sync == Some(true));
    machine.order("testmode=alarm,no-delay-resps");
    wait_for("the alarm", || machine.state("ptp1").alarms.contains("no-delay-resps"));
    assert_eq!(machine.state("ptp1").state, "ptp-slave-alarm");
    assert_eq!(machine.state("ptp1").in_sync, Some(false));
    machine.order("testmode=clear");
    wait_for("its end", || machine.state("ptp1").in_sync == Some(true));

    let faults = machine.path("run/sfptpd-faults");
    fs::write(&faults, "offset 5000000\n").unwrap();
    wait_for("the offset", || machine.state("ptp1").offset_ns.is_some_and(|it| it > 4_000_000));
    fs::write(&faults, "no-sync\n").unwrap();
    wait_for("silence", || machine.state("ptp1").alarms.contains("no-sync-pkts"));
    fs::remove_file(&faults).unwrap();
    wait_for("its end", || machine.state("ptp1").in_sync == Some(true));

    fs::write(&faults, "crash 5\n").unwrap();
    assert_eq!(machine.status(), 5);
    fs::write(&faults, "refuse 13\n").unwrap();
    machine.start(&[], &[]);
    assert_eq!((machine.told().as_str(), machine.status()), ("ERRNO=13", 13));
}
