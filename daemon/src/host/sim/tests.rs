//! The simulated host: its bell, its clock and its socket.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use onload_core::inventory::ModuleState;
use onload_core::reading::Reading;
use onload_core::step::Step;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::{Host, Sim, World};

/// Long enough for whatever is going to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough to see that nothing happens.
const QUIET: Duration = Duration::from_millis(30);

fn sim(more: &str) -> Sim {
    let text = format!("{}\n{more}", World::shipped("two-x2522").unwrap());
    Sim::new(World::parse(&text).unwrap())
}

fn act(sim: &Sim, line: &str) {
    sim.act(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
}

async fn hears(sim: &Sim) -> bool {
    timeout(QUIET, sim.changed()).await.is_ok()
}

#[tokio::test]
async fn the_script_happens_in_its_time_and_order_and_is_told() {
    let sim = sim("[[event]]\nafter = \"60ms\"\ndo = \"rename one two\"\n\
         [[event]]\nafter = \"0s\"\ndo = \"rename eno1 one\"\n");
    timeout(PATIENCE, sim.changed()).await.expect("the first event is told");
    timeout(PATIENCE, sim.changed()).await.expect("the second event is told");
    let interfaces =
        sim.observe(onload_core::inventory::Depth::Usual).await.interfaces.into_known().unwrap();
    assert!(interfaces.contains_key(&"two".parse().unwrap()), "{:?}", interfaces.keys());
    assert!(!hears(&sim).await, "and then nothing");
}

#[tokio::test]
async fn whoever_waits_already_is_told() {
    let sim = sim("");
    let waiting = tokio::spawn({
        let sim = sim.clone();
        async move { sim.changed().await }
    });
    sleep(QUIET).await;
    assert!(!waiting.is_finished());
    act(&sim, "nothing");
    timeout(PATIENCE, waiting).await.expect("it is woken").unwrap();
    assert!(!hears(&sim).await, "one change is told once");
}

#[tokio::test]
async fn the_control_plane_comes_a_little_after_the_load() {
    let sim = sim("");
    act(&sim, "driver gone onload");
    act(&sim, "load onload");
    let servers = |driver: onload_core::inventory::OnloadDriver| driver.control_plane.into_known();
    assert_eq!(
        servers(sim.observe(onload_core::inventory::Depth::Usual).await.driver),
        Some([].into())
    );
    let up = async {
        while servers(sim.observe(onload_core::inventory::Depth::Usual).await.driver)
            == Some([].into())
        {
            sim.changed().await;
        }
    };
    timeout(PATIENCE, up).await.expect("the server comes up and is told");
    act(&sim, "control-plane dies");
    act(&sim, "run 7");
    act(&sim, "driver gone onload");
    sleep(2 * super::CONTROL_PLANE_DELAY).await;
    assert!(
        sim.observe(onload_core::inventory::Depth::Usual).await.driver.control_plane.is_absent(),
        "none comes to a module that went"
    );
}

#[tokio::test]
async fn a_step_that_hangs_is_in_flight_and_never_ends() {
    let sim = sim("");
    act(&sim, "driver gone onload");
    act(&sim, "fault load onload hang");
    let step =
        Step::LoadModule { module: "onload".parse().unwrap(), release: "host".parse().unwrap() };
    assert!(timeout(QUIET, sim.apply(&step)).await.is_err());
    let snapshot = sim.observe(onload_core::inventory::Depth::Usual).await;
    let onload = snapshot.module("onload").into_known().unwrap();
    assert_eq!((onload.state, onload.refcount.clone()), (ModuleState::Coming, Reading::Absent));
    act(&sim, "clear faults");
    assert!(timeout(QUIET, sim.apply(&step)).await.is_err(), "what hangs, hangs");
    act(&sim, "reboot");
    assert!(timeout(PATIENCE, sim.apply(&step)).await.unwrap().is_ok());
}

#[tokio::test]
async fn silence_tells_nothing_and_a_storm_too_much() {
    let sim = sim("[[event]]\nafter = \"1ms\"\ndo = \"link 0000:3b:00.0 down\"\n");
    act(&sim, "fault silent");
    assert!(!hears(&sim).await);
    let snapshot = sim.observe(onload_core::inventory::Depth::Usual).await;
    let (_, interface) = snapshot.interface_of(&"0000:3b:00.0".parse().unwrap()).unwrap();
    assert!(interface.speed_mbps.is_absent(), "it happened all the same");
    act(&sim, "clear faults");
    act(&sim, "fault storm 10");
    let mut heard = 0;
    while hears(&sim).await {
        heard += 1;
    }
    // One for the cleared faults, ten for the storm itself.
    assert_eq!(heard, 11);
}

#[tokio::test]
async fn the_socket_answers_each_line() {
    let sim = sim("");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let serving = tokio::spawn(sim.serve_control(&path).unwrap());
    assert!(sim.serve_control(&path).is_err(), "two cannot serve one socket");
    let talk = async |lines: &[u8]| {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(lines).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    assert_eq!(talk(b"rename eno1 one\nlink 0000:3b:00.0 down\n").await, "ok\nok\n");
    assert!(
        sim.observe(onload_core::inventory::Depth::Usual)
            .await
            .interfaces
            .known()
            .unwrap()
            .contains_key(&"one".parse().unwrap())
    );
    let refused = talk(b"unload onload\n\xff\xfe\n\nreboot").await;
    let lines: Vec<&str> = refused.lines().collect();
    assert_eq!(lines.len(), 4, "{refused}");
    assert!(lines[0].starts_with("error: module onload is not unloaded; why: EAGAIN"), "{refused}");
    assert!(lines[1].starts_with("error: ") && lines[2].starts_with("error: "), "{refused}");
    assert_eq!(lines[3], "ok", "the last line needs no end");
    assert!(talk(&[b'x'; 5000]).await.contains("longer than 1024 bytes"));

    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    let again = tokio::spawn(sim.serve_control(&path).expect("a socket left behind is replaced"));
    assert_eq!(talk(b"nothing\n").await, "ok\n");
    again.abort();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_taken_for_one_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "kept").unwrap();
    assert!(sim("").serve_control(&path).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
}
