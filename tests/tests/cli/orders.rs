//! Orders: what reaches the daemon, and what a script gets back.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onload_core::allocation::TenureWish;
use onload_core::change::{Holders, Manner};
use onload_core::command::Command as Order;
use onload_core::job::JobState;
use onload_core::names::{AllocationId, JobId};
use onload_core::others::Manager;
use onload_core::picture::Picture;
use onload_core::time::Span;
use tokio::process::{Child, Command};

use crate::rig::{PATIENCE, Rig, changing, node, other};
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

#[tokio::test]
async fn holds_end_at_a_point_in_time() {
    let rig = Rig::new(node()).await;
    let next = SystemTime::now() + Duration::from_secs(3600);
    let out = std::process::Command::new("date")
        .args(["--utc", "+%Y-%m-%dT%H:%M:%S+00:00"])
        .arg(format!("--date=@{}", next.duration_since(UNIX_EPOCH).unwrap().as_secs()))
        .output()
        .unwrap();
    let next = String::from_utf8(out.stdout).unwrap();
    let ended = rig.ctl(&["hold", "--reason", "audit", "--until", next.trim()]).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    let commands = rig.commands();
    let [Order::Hold { reason, expiry: Some(span) }] = &commands[..] else {
        panic!("{commands:?}")
    };
    let hour = Duration::from_secs(3600);
    assert!(reason == "audit" && span.0 <= hour && span.0 > hour - Duration::from_secs(60));
    let ended = rig.ctl(&["hold", "x", "--until", "2026-01-01T00:00Z"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let lines: Vec<_> = ended.err.lines().collect();
    assert_eq!(lines[..2], ["error: the node is not held", "  why: that time is over"]);
    assert!(lines[2].starts_with("  fix: name a time to come"), "{ended:?}");
    assert_eq!(rig.commands().len(), 1, "nothing was asked for");
}

/// Starts `apply` and waits until the job runs.
async fn applying(rig: &Rig, words: &[&str]) -> Child {
    ordering(rig, &mut command(&rig.bus.address(), &[&["apply"], words].concat())).await
}

/// Starts an order and waits until its job runs.
pub async fn ordering(rig: &Rig, command: &mut Command) -> Child {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pictures = rig.pictures.subscribe();
    let runs = pictures.wait_for(|picture| picture.jobs.contains_key(&JobId(7)));
    tokio::time::timeout(PATIENCE, runs).await.expect("not ordered").unwrap();
    child
}

pub fn end_job(picture: &mut Picture, state: JobState, message: &str) {
    let job = Arc::make_mut(&mut picture.jobs).get_mut(&JobId(7)).unwrap();
    (job.state, job.done, job.message) = (state, 3, message.to_owned());
}

pub async fn end(child: Child) -> Ended {
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
async fn adopt_shows_its_plan_and_orders_it_only_without_dry_run() {
    let mut picture = node();
    picture.others = Arc::new([(Manager::Kmm, other())].into());
    let rig = Rig::new(picture).await;
    let ended = rig.ctl(&["adopt", "--dry-run"]).await;
    let plan = "kmm, adopted: /var/lib/kmm_day1_config.yaml names them
  onloadd: load and unload
  you: delete the Module
";
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), plan), "{ended:?}");
    assert_eq!(rig.commands(), []);
    let ended = rig.ctl(&["adopt", "--no-follow"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.starts_with(plan) && ended.out.contains("j7: ordered"), "{ended:?}");
    assert_eq!(rig.commands(), [Order::Adopt]);
    let ended = rig.ctl(&["status"]).await;
    assert!(ended.out.contains("others  kmm, adopted: /var/lib/kmm"), "{ended:?}");
    let ended = rig.ctl(&["adopt", "--dry-run", "--no-follow"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[tokio::test]
async fn orders_of_a_change_pass_its_manner() {
    let rig = Rig::new(node()).await;
    let orders: [&[&str]; 5] = [
        &["apply", "--retry", "--refuse", "--no-follow"],
        &["release", "use", "9.1.0", "--wait=30s", "--no-follow"],
        &["rollback", "--stop-holders", "--confirm-within", "60s", "--no-follow"],
        &["rollback", "2", "--wait", "--no-follow"],
        &["confirm"],
    ];
    for words in orders {
        let ended = rig.ctl(words).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{words:?}: {ended:?}");
        assert!(ended.out.starts_with("j7: ordered") || words == ["confirm"], "{ended:?}");
    }
    let span = |text: &str| Some(text.parse::<Span>().unwrap());
    let of = |holders| Manner { holders, confirm_within: None };
    assert_eq!(
        rig.commands(),
        [
            Order::Apply { retry: true, manner: Manner::default() },
            Order::Use {
                release: "9.1.0".parse().unwrap(),
                manner: of(Holders::Wait(span("30s"))),
            },
            Order::Rollback {
                back: 1,
                manner: Manner { holders: Holders::Stop, confirm_within: span("60s") },
            },
            Order::Rollback { back: 2, manner: of(Holders::Wait(None)) },
            Order::Confirm,
        ]
    );
    let ended = rig.ctl(&["release", "use", "9.1.0", "--wait=soon"]).await;
    assert_eq!(ended.code, Some(2), "the daemon checks durations: {ended:?}");
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_orders_nothing() {
    let mut picture = node();
    picture.plan = Arc::new(vec!["unload module onload".to_owned()]);
    let rig = Rig::new(picture).await;
    let plan = rig.ctl(&["plan"]).await;
    let ended = rig.ctl(&["apply", "--dry-run", "--retry"]).await;
    assert_eq!((ended.code, &ended.out), (Some(0), &plan.out), "{ended:?}");
    assert!(ended.out.contains("1. unload module onload"), "{ended:?}");
    assert_eq!(rig.commands(), []);
}

#[tokio::test]
async fn a_change_that_waits_says_how_to_confirm_it() {
    let hint = "change 3 waits to be confirmed: `onloadctl confirm` keeps it, otherwise host";
    // Its job may be over by then, or run until it is confirmed.
    for job_runs in [false, true] {
        let rig = Rig::new(node()).await;
        let words = ["release", "use", "9.1.0", "--confirm-within=1m"];
        let mut child = ordering(&rig, &mut command(&rig.bus.address(), &words)).await;
        let mut progress = tokio::io::BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut progress, &mut said).await.unwrap();
        rig.alter(changing);
        if job_runs {
            tokio::io::AsyncBufReadExt::read_line(&mut progress, &mut said).await.unwrap();
            assert!(said.contains(hint), "{said}");
            rig.alter(|picture| picture.change = None);
        }
        rig.alter(|picture| end_job(picture, JobState::Done, "release 9.1.0 is in use"));
        let ended = end(child).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.out.contains(hint), !job_runs, "{ended:?}");
        assert!(ended.out.starts_with("j7: release 9.1.0 is in use\n"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_job_that_fails_with_its_remedy_is_told_in_its_words() {
    let rig = Rig::new(node()).await;
    let words = ["release", "remove", "9.1.0"];
    let child = ordering(&rig, &mut command(&rig.bus.address(), &words)).await;
    let message = "release 9.1.0 was not removed\n  why: trader uses it\n  fix: end trader";
    rig.alter(|picture| end_job(picture, JobState::Failed, message));
    let ended = end(child).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.ends_with(&format!("error: {message}\n")), "{ended:?}");
    let jobs = rig.ctl(&["jobs"]).await;
    assert!(jobs.out.contains("release 9.1.0 was not removed: trader uses it\n"), "{jobs:?}");
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
