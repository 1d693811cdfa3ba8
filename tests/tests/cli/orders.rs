//! Orders: what reaches the daemon, and what a script gets back.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use onload_core::allocation::TenureWish;
use onload_core::command::Command as Order;
use onload_core::job::JobState;
use onload_core::names::{AllocationId, JobId};
use onload_core::picture::Picture;
use onload_core::time::Span;
use tokio::process::Child;

use crate::rig::{PATIENCE, Rig, node};
use crate::run::{Ended, command};

#[tokio::test]
async fn a_script_gets_ids_and_devices() {
    let rig = Rig::new(node()).await;
    let ended = rig.ctl(&["allocate", "onload", "--count", "2"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert_eq!(ended.out, "a101\tonload-101\na102\tonload-102\n");
    rig.ctl(&["allocate", "onload", "--lease", "90s"]).await;
    rig.ctl(&["free", "a101"]).await;
    rig.ctl(&["free", "a102", "--force"]).await;
    let pool = || "onload".parse().unwrap();
    let lease = TenureWish::Lease(Span(Duration::from_secs(90)));
    assert_eq!(
        rig.commands(),
        [
            Order::Allocate { pool: pool(), count: 2, tenure: TenureWish::Persistent },
            Order::Allocate { pool: pool(), count: 1, tenure: lease },
            Order::Free { allocation: AllocationId(101), force: false },
            Order::Free { allocation: AllocationId(102), force: true },
        ]
    );
}

#[tokio::test]
async fn holds_pass_reason_and_duration() {
    let rig = Rig::new(node()).await;
    for words in [&["hold", "for lunch"][..], &["hold", "x", "--for", "8h"], &["unhold"]] {
        let ended = rig.ctl(words).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    }
    assert_eq!(
        rig.commands(),
        [
            Order::Hold { reason: "for lunch".to_owned(), expiry: None },
            Order::Hold {
                reason: "x".to_owned(),
                expiry: Some(Span(Duration::from_secs(8 * 3600)))
            },
            Order::Unhold,
        ]
    );
    let ended = rig.ctl(&["hold", "x", "--for", "a while"]).await;
    assert_eq!(ended.code, Some(2), "the daemon checks durations: {ended:?}");
}

/// Starts `apply` and waits until the job runs.
async fn applying(rig: &Rig, words: &[&str]) -> Child {
    let child = command(&rig.bus.address(), &[&["apply"], words].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pictures = rig.pictures.subscribe();
    let runs = pictures.wait_for(|picture| picture.jobs.contains_key(&JobId(7)));
    tokio::time::timeout(PATIENCE, runs).await.expect("not ordered").unwrap();
    child
}

fn end_job(picture: &mut Picture, state: JobState, message: &str) {
    let job = Arc::make_mut(&mut picture.jobs).get_mut(&JobId(7)).unwrap();
    (job.state, job.done, job.message) = (state, 3, message.to_owned());
}

async fn end(child: Child) -> Ended {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    Ended::of(output.expect("onloadctl did not end").unwrap())
}

#[tokio::test]
async fn apply_follows_the_job_to_its_end() {
    let ends = [
        (JobState::Done, 0, "j7: as ordered\n", ""),
        (
            JobState::Failed,
            1,
            "",
            "error: job j7 (apply) failed after 3 of 3 steps\n  why: as ordered\n",
        ),
        (JobState::Cancelled, 1, "", "error: job j7 (apply) was stopped after 3 of 3 steps\n"),
    ];
    for (state, code, out, err) in ends {
        let rig = Rig::new(node()).await;
        let child = applying(&rig, &["--retry"]).await;
        rig.alter(|picture| end_job(picture, state, "as ordered"));
        let ended = end(child).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), out), "{ended:?}");
        assert!(ended.err.contains(err), "{ended:?}");
        assert_eq!(rig.commands(), [Order::Apply { retry: true, manner: Default::default() }]);
    }
}

#[tokio::test]
async fn an_interrupt_asks_the_job_to_stop_and_waits_for_it() {
    let rig = Rig::new(node()).await;
    let mut child = applying(&rig, &[]).await;
    // The first line of progress says that it follows, and so that it hears the interrupt.
    let mut progress = tokio::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut progress, &mut line).await.unwrap();
    assert_eq!(line, "j7 1/3 loading sfc\n");
    let cancelled = || rig.commands().contains(&Order::Cancel { job: JobId(7) });
    let asked = async {
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        while !cancelled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("never cancelled");
    rig.alter(|picture| end_job(picture, JobState::Cancelled, "stopped"));
    let ended = end(child).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[tokio::test]
async fn a_daemon_that_ends_during_apply_is_told() {
    let rig = Rig::new(node()).await;
    let child = applying(&rig, &[]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.edge.abort();
    let ended = end(child).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("onloadd left the bus"), "{ended:?}");
}
