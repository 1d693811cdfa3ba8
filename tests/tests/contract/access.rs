//! Who may call what: users without privilege, with and without polkit.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onload_core::allocation::Process;
use onload_core::names::BootId;
use onload_dbus::action;
use onload_dbus::error::{Failure, Kind as ErrorKind};
use onload_dbus::path::{self, Kind};
use onload_dbus::proxies::ManagerProxy;
use onload_tests::bus::Bus;
use onload_tests::skip::skip;
use onloadd::bus::Options;
use onloadd::bus::caller::Processes;
use tokio::process::Command;
use zbus::{Connection, OwnedVariant, interface};

use crate::rig::{NOBODY, PATIENCE, Rig, node};

/// Calls as a user without privilege; none where this test may not become one.
async fn call_as_nobody(rig: &Rig, object: &str, words: &[&str]) -> Option<Output> {
    if !nix::unistd::geteuid().is_root() {
        skip(words.first().unwrap_or(&"a call"), "only root can make calls as another user");
        return None;
    }
    if words == [HAND_OVER] {
        return Some(other_process(rig, "access::a_release_handed_over").await);
    }
    let interface = if object == path::ROOT { "Manager" } else { "Job" };
    let output = Command::new("setpriv")
        .args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"])
        .args(["busctl", &format!("--address={}", rig.bus.address()), "call"])
        .args(["com.amd.Onload1", object, &format!("com.amd.Onload1.{interface}")])
        .args(words)
        .output()
        .await;
    if output.is_err() {
        let reason = "setpriv and busctl are needed to call as another user";
        skip(words.first().unwrap_or(&"a call"), reason);
    }
    output.ok()
}

/// The call that busctl cannot make: it passes no descriptors.
const HAND_OVER: &str = "ImportRelease";

/// Every method that changes something, as busctl takes it.
fn changes() -> Vec<(String, Vec<&'static str>, &'static str)> {
    let root = || path::ROOT.to_owned();
    vec![
        (root(), vec!["Allocate", "sua{sv}", "onload", "1", "0"], action::ALLOCATE),
        (root(), vec!["Free", "sa{sv}", "a1", "0"], action::ALLOCATE),
        (root(), vec!["Hold", "sa{sv}", "because", "0"], action::HOLD),
        (root(), vec!["Unhold"], action::HOLD),
        (root(), vec!["Apply", "a{sv}", "0"], action::MANAGE_MODULES),
        (root(), vec!["UseRelease", "sa{sv}", "9.1.0", "0"], action::MANAGE_MODULES),
        (root(), vec!["Rollback", "ua{sv}", "1", "0"], action::MANAGE_MODULES),
        (root(), vec!["Confirm"], action::MANAGE_MODULES),
        (root(), vec![HAND_OVER], action::MANAGE_MODULES),
        (root(), vec!["RemoveRelease", "s", "9.1.0"], action::MANAGE_MODULES),
        (root(), vec!["Reload"], action::MANAGE_MODULES),
        (root(), vec!["HandOverClock", "sa{sv}", "sfptpd", "0"], action::MANAGE_CLOCK),
        // Job 1 is this user's own, job 2 somebody else's.
        (path::of(Kind::Job, "j1"), vec!["Cancel"], action::ALLOCATE),
        (path::of(Kind::Job, "j2"), vec!["Cancel"], action::MANAGE_MODULES),
    ]
}

async fn rig_with_jobs() -> Rig {
    let mut picture = node();
    let mut other = crate::rig::job(2);
    other.uid = 0;
    Arc::make_mut(&mut picture.jobs).insert(other.id, other);
    Rig::new(picture).await
}

#[tokio::test]
async fn without_polkit_users_read_and_only_root_changes() {
    let rig = rig_with_jobs().await;
    for (object, words, action) in changes() {
        let Some(output) = call_as_nobody(&rig, &object, &words).await else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words:?} must not pass");
        assert!(said.contains(action), "{words:?} names the action: {said}");
        assert!(said.contains("  fix: "), "{said}");
    }
    assert_eq!(rig.commands(), [], "nothing of this was posted");
    for words in [
        vec!["Why", "s", "sfc"],
        vec!["ListDevices", "s", "onload"],
        vec!["NamingPlan"],
        vec!["Config"],
    ] {
        let Some(output) = call_as_nobody(&rig, path::ROOT, &words).await else { return };
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
}

type Subject = (String, HashMap<String, OwnedVariant>);

/// polkit's side of the question, and what it was asked.
#[derive(Debug, Default)]
struct Authority {
    answer: Arc<Mutex<(bool, bool)>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
    takes: Duration,
}

#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Authority {
    // The answer is one structure, hence the tuple in a tuple.
    #[zbus(out_args("result"))]
    async fn check_authorization(
        &self,
        subject: Subject,
        action: String,
        _details: HashMap<String, String>,
        _flags: u32,
        _cancellation: String,
    ) -> ((bool, bool, HashMap<String, String>),) {
        let name = subject.1.get("name").map(|name| String::try_from(name.clone()).unwrap());
        self.asked.lock().unwrap().push((subject.0, action));
        assert!(name.is_some_and(|name| name.starts_with(':')), "the subject is a connection");
        tokio::time::sleep(self.takes).await;
        let (allowed, challenge) = *self.answer.lock().unwrap();
        ((allowed, challenge, HashMap::new()),)
    }
}

/// polkit on the rig's bus, for as long as the connection is kept.
async fn polkit(rig: &Rig, authority: Authority) -> Connection {
    zbus::connection::Builder::address(rig.bus.address().as_str())
        .serve_at("/org/freedesktop/PolicyKit1/Authority", authority)
        .name("org.freedesktop.PolicyKit1")
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn polkit_is_asked_for_the_action_written_and_its_word_holds() {
    let rig = rig_with_jobs().await;
    let authority = Authority::default();
    let (answer, asked) = (authority.answer.clone(), authority.asked.clone());
    let _polkit = polkit(&rig, authority).await;
    for (allowed, challenge) in [(false, false), (false, true)] {
        *answer.lock().unwrap() = (allowed, challenge);
        for (object, words, action) in changes() {
            let Some(output) = call_as_nobody(&rig, &object, &words).await else { return };
            assert!(!output.status.success(), "{words:?} must not pass");
            let question = asked.lock().unwrap().pop().unwrap();
            assert_eq!(question, ("system-bus-name".to_owned(), action.to_owned()), "{words:?}");
        }
    }
    assert_eq!(rig.commands(), [], "nothing of this was posted");
    *answer.lock().unwrap() = (true, false);
    for (object, words, _) in changes() {
        let Some(output) = call_as_nobody(&rig, &object, &words).await else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        // The stand-in's loop refuses every Reload; that the order got so far is the point.
        assert!(output.status.success() || said.contains("slotz"), "{words:?}: {said}");
    }
    let posted = rig.posted.lock().unwrap();
    assert_eq!(posted.commands.len(), changes().len());
    for (caller, command) in &posted.commands {
        assert_eq!((caller.uid, caller.privileged), (NOBODY, false), "{command:?}");
    }
}

#[tokio::test]
async fn reading_asks_nobody() {
    let rig = rig_with_jobs().await;
    let authority = Authority::default();
    let asked = authority.asked.clone();
    let _polkit = polkit(&rig, authority).await;
    let Some(output) = call_as_nobody(&rig, path::ROOT, &["ListDevices", "s", "onload"]).await
    else {
        return;
    };
    assert!(output.status.success());
    assert_eq!(*asked.lock().unwrap(), []);
}

/// Where a client in a process of its own finds its bus.
const ADDRESS: &str = "ONLOADD_TEST_BUS";

/// Runs an ignored test of this program: a client in a process of its own.
async fn other_process(rig: &Rig, test: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(ADDRESS, rig.bus.address())
        .output()
        .await
        .unwrap()
}

/// A connection to the rig's bus without privilege, for good.
async fn nobody() -> Connection {
    let address = std::env::var(ADDRESS).unwrap();
    nix::unistd::setgid(NOBODY.into()).unwrap();
    nix::unistd::setuid(NOBODY.into()).unwrap();
    zbus::connection::Builder::address(address.as_str()).build().await.unwrap()
}

/// A client without privilege that hands files over.
#[tokio::test]
#[ignore = "the other process of tests that make every call"]
async fn a_release_handed_over() {
    let client = nobody().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let place = std::fs::File::open("/").unwrap();
    let answer = manager.import_release(place.as_fd().into(), HashMap::new()).await;
    answer.map(drop).unwrap_or_else(|error| panic!("{error}"));
}

/// A client without privilege that calls six times at once; run by the test below.
#[tokio::test]
#[ignore = "the other process of `a_client_has_so_many_requests_and_no_more`"]
async fn six_calls_at_once() {
    let client = nobody().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let manager = manager.clone();
            tokio::spawn(async move { manager.unhold().await })
        })
        .collect();
    let (mut passed, mut limited) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(()) => passed += 1,
            Err(error) => {
                assert_eq!(Failure::from_reply(&error).unwrap().kind, ErrorKind::LimitExceeded);
                limited += 1;
            }
        }
    }
    assert_eq!((passed, limited), (4, 2));
    manager.unhold().await.expect("answered requests count no more");
}

#[tokio::test]
async fn a_client_has_so_many_requests_and_no_more() {
    if !nix::unistd::geteuid().is_root() {
        let test = "a_client_has_so_many_requests_and_no_more";
        return skip(test, "only root can make calls as another user");
    }
    let mut picture = node();
    let limit = onload_core::config::Entry { value: "4".to_owned(), origin: None, masks: vec![] };
    picture.config = Arc::new([("limits.pending-per-client".to_owned(), limit)].into());
    let rig = Rig::new(picture).await;
    let authority = Authority {
        answer: Arc::new(Mutex::new((true, false))),
        takes: Duration::from_millis(500),
        ..Authority::default()
    };
    let _polkit = polkit(&rig, authority).await;
    let client = other_process(&rig, "access::six_calls_at_once").await;
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stdout));
    assert_eq!(rig.commands().len(), 5);
}

/// A list of processes in which a caller has ended by the time it is looked up, and its pid is
/// another's.
#[derive(Debug)]
struct Reused;

impl Processes for Reused {
    fn look_up(&self, pid: u32, uid: u32, boot: BootId) -> io::Result<Process> {
        let caller = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
        nix::sys::signal::kill(caller, nix::sys::signal::Signal::SIGKILL).unwrap();
        // Until the bus has seen the end of the connection.
        std::thread::sleep(Duration::from_millis(200));
        Ok(Process { pid, start_ticks: 1, boot, uid, comm: "another".to_owned() })
    }
}

#[tokio::test]
async fn a_caller_that_has_ended_when_it_is_looked_up_is_not_who_has_its_pid_now() {
    let options = Options { processes: Arc::new(Reused), ..Options::default() };
    let mut rig = Rig::with(Bus::running().unwrap(), node(), options);
    rig.served().await;
    let called = Command::new("busctl")
        .args([&format!("--address={}", rig.bus.address()), "call", "com.amd.Onload1", path::ROOT])
        .args(["com.amd.Onload1.Manager", "Unhold"])
        .output()
        .await;
    if called.is_err() {
        return skip("a caller that has ended", "busctl is needed to call as another process");
    }
    let ordered = async {
        loop {
            if let Some((caller, _)) = rig.posted.lock().unwrap().commands.first() {
                return caller.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let caller = tokio::time::timeout(PATIENCE, ordered).await.unwrap();
    assert_eq!(caller.process, None, "not that other process");
}
