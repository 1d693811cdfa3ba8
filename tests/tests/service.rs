//! What a service manager and a journal hear: the real daemon against sockets in their places.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use onload_tests::binaries::binary;
use onload_tests::bus::Bus;
use onload_tests::datagram::receive;
use onload_tests::node::PATIENCE;
use onload_tests::skip::skip;

/// The daemon on a simulated machine; ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon whose service manager is the socket, and expects to be fed twice in 400 ms; the unit's
/// own limit is a minute.
fn notified() -> (Daemon, UnixDatagram, (tempfile::TempDir, Bus)) {
    let home = tempfile::tempdir().unwrap();
    let bus = Bus::running().unwrap();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let child = Command::new(binary("onloadd"))
        .args(arguments(&bus, &home.path().join("state")))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Daemon(child), socket, (home, bus))
}

/// Collects messages until one has `wanted`.
fn hear(socket: &UnixDatagram, heard: &mut Vec<String>, wanted: &str) {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let late = Instant::now() + PATIENCE;
    let mut buffer = vec![0; 1 << 16];
    while !heard.iter().any(|message| message.contains(wanted)) {
        assert!(Instant::now() < late, "no {wanted:?} in {heard:#?}");
        if let Ok(length) = socket.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
}

fn arguments(bus: &Bus, state: &Path) -> Vec<String> {
    let state = state.display().to_string();
    ["--sim", "two-x2522", "--bus", &bus.address(), "--state-directory", &state]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn the_service_manager_hears_ready_status_watchdog_and_stopping() {
    let (daemon, socket, _home) = notified();
    let mut heard = Vec::new();
    hear(&socket, &mut heard, "READY=1");
    hear(&socket, &mut heard, "STATUS=ready: Onload 9.2.1 on 4 ports, 100 devices");
    hear(&socket, &mut heard, "WATCHDOG=1");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.0.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    hear(&socket, &mut heard, "STOPPING=1");
}

#[test]
fn a_stuck_loop_does_not_feed_the_watchdog() {
    let (daemon, socket, _home) = notified();
    hear(&socket, &mut Vec::new(), "WATCHDOG=1");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.0.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 4096];
    // What was sent before it stopped.
    while receive(&socket, &mut buffer).is_ok() {}
    std::thread::sleep(Duration::from_millis(800));
    assert!(receive(&socket, &mut buffer).is_err(), "somebody else feeds it");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    hear(&socket, &mut Vec::new(), "WATCHDOG=1");
}

#[test]
fn the_journal_gets_fields_and_fixed_message_ids() {
    const TEST: &str = "the_journal_gets_fields_and_fixed_message_ids";
    let home = tempfile::tempdir().unwrap();
    let bus = Bus::running().unwrap();
    let journal = home.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let socket = UnixDatagram::bind(journal.join("socket")).unwrap();
    // The journal's socket has a fixed place; a mount namespace puts ours there for the daemon only.
    let script =
        "mkdir -p /run/systemd/journal && mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";
    let tried = Command::new("unshare").args(["--mount", "true"]).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return skip(TEST, "a mount namespace needs root");
    }
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(&journal)
        .arg(binary("onloadd"))
        .args(arguments(&bus, &home.path().join("state")))
        .env("JOURNAL_STREAM", "1:1")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _daemon = Daemon(child);
    let mut heard = Vec::new();
    hear(&socket, &mut heard, onloadd::logging::STARTED);
    let entries: Vec<_> = heard.iter().map(|entry| fields(entry)).collect();
    let changed =
        entries.iter().find(|fields| fields.get("STATE").is_some_and(|state| state == "ready"));
    let changed = changed.unwrap_or_else(|| panic!("{entries:#?}"));
    // `onloadd::logging` names the ids; programs find events by them.
    let expected = [
        ("MESSAGE_ID", onloadd::logging::STATE_CHANGED),
        ("MESSAGE", "Onload 9.2.1 on 4 ports, 100 devices"),
        ("SYSLOG_IDENTIFIER", "onloadd"),
        ("GENERATION", "0"),
    ];
    for (name, value) in expected {
        assert_eq!(changed.get(name).map(String::as_str), Some(value), "{name} in {changed:#?}");
    }
}

/// Fields of an entry in the journal's wire form: `NAME=value`, or the name, a line end, eight bytes
/// of length, and the value (systemd's journal native protocol).
fn fields(entry: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut lines = entry.lines();
    while let Some(line) = lines.next() {
        match line.split_once('=') {
            Some((name, value)) => drop(fields.insert(name.to_owned(), value.to_owned())),
            None => {
                // The length may hold a line end itself: the value is what follows its zero bytes.
                let value = lines
                    .find(|line| line.contains('\0'))
                    .and_then(|line| line.rsplit('\0').next());
                fields.insert(line.to_owned(), value.unwrap_or_default().to_owned());
            }
        }
    }
    fields
}
