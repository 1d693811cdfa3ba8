//! When a boot goes on: what each picture is taken for, and that no wait is without an end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use onload_core::blocker::Blocked;
use onload_core::change::{Change, Deadline, Manner};
use onload_core::step::{Step, StepError};
use onload_core::time::{Moment, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::letterbox::Post;

fn picture(state: NodeState, blockers: Vec<Blocker>) -> Picture {
    let blocked = |blocker| Blocked { subject: "node".to_owned(), blocker };
    let blockers = Arc::new(blockers.into_iter().map(blocked).collect());
    Picture { state, blockers, ..Picture::default() }
}

fn failed(retrying: bool) -> Blocker {
    let (step, error) = (Step::StopControlPlane, StepError::Failed("x".to_owned()));
    Blocker::StepFailed { step, error, attempts: 1, retrying }
}

fn in_use() -> Blocker {
    Blocker::InUse { release: "9.2.1".parse().unwrap(), by: vec!["pid 7".to_owned()] }
}

fn change(confirm_by: Option<Deadline>) -> Change {
    Change {
        number: 1,
        from: Some("in-tree".parse().unwrap()),
        to: "9.2.1".parse().unwrap(),
        origin: Origin::Boot,
        manner: Manner::default(),
        kernel: None,
        boot: None,
        began: Timestamp(1),
        turned: None,
        confirm_by,
    }
}

#[test]
fn the_boot_waits_for_what_goes_on_and_for_nothing_else() {
    use NodeState::{Blocked, Converging, Degraded, Held, Idle, Ready};
    let deadline = Deadline { moment: Moment(9), boot: None, wall: Timestamp(9) };
    let protected = || Blocker::Protected { interfaces: Vec::new() };
    let probing = Picture { probing: true, ..picture(Ready, Vec::new()) };
    let confirmed =
        Picture { change: Some(change(Some(deadline))), ..picture(Converging, Vec::new()) };
    let cases = [
        ("a step is under way", picture(Converging, Vec::new()), Verdict::GoesOn),
        ("nothing was seen yet", Picture::default(), Verdict::GoesOn),
        ("what was seen is settling", probing, Verdict::GoesOn),
        ("as wanted", picture(Ready, Vec::new()), Verdict::Settled),
        ("no card", picture(Idle, Vec::new()), Verdict::Settled),
        ("an operator holds it", picture(Held, vec![in_use()]), Verdict::Settled),
        ("hands off", picture(Degraded, vec![in_use()]), Verdict::Settled),
        ("tried again by itself", picture(Blocked, vec![in_use(), failed(true)]), Verdict::GoesOn),
        ("not tried again", picture(Blocked, vec![failed(false)]), Verdict::Settled),
        ("it carries the root file system", picture(Blocked, vec![protected()]), Verdict::Settled),
        ("udev has a clock open", picture(Blocked, vec![protected(), in_use()]), Verdict::MayPass),
        ("done, and to be confirmed by somebody", confirmed, Verdict::Settled),
    ];
    for (why, picture, expected) in cases {
        assert_eq!(verdict(&picture), expected, "{why}");
    }
}

/// What the loop is told, until nobody tells it any more.
fn notices(posts: &mut UnboundedReceiver<Post>) -> Vec<Notice> {
    let mut told = Vec::new();
    while let Ok(Post::Notice(notice)) = posts.try_recv() {
        told.push(notice);
    }
    told
}

#[tokio::test]
async fn at_the_limit_the_change_is_turned_back_and_its_end_is_waited_for() {
    let (letterbox, pictures, mut posts) = Letterbox::new();
    let under_way =
        || Picture { change: Some(change(None)), ..picture(NodeState::Converging, Vec::new()) };
    pictures.send_replace(Arc::new(under_way()));
    let mut waiting = Box::pin(wait(&letterbox, Duration::from_millis(20)));
    let early = timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "the way back is not over");
    let turned = notices(&mut posts);
    let [Notice::TurnBack { why }] = &turned[..] else { panic!("{turned:?}") };
    assert!(why.contains("a boot waits"), "{why}");
    pictures.send_replace(Arc::new(picture(NodeState::Blocked, Vec::new())));
    assert_eq!(timeout(PATIENCE, waiting).await, Ok(End::Late));
}

#[tokio::test]
async fn what_may_pass_is_looked_at_again_and_ends_the_wait_when_it_has() {
    let (letterbox, pictures, mut posts) = Letterbox::new();
    pictures.send_replace(Arc::new(picture(NodeState::Blocked, vec![in_use()])));
    let mut waiting = Box::pin(wait(&letterbox, LIMIT));
    assert!(timeout(PACE * 3, &mut waiting).await.is_err(), "it waits");
    let looks = notices(&mut posts);
    assert!(looks.len() >= 2 && looks.iter().all(|one| *one == Notice::Changed), "{looks:?}");
    pictures.send_replace(Arc::new(picture(NodeState::Ready, Vec::new())));
    assert_eq!(timeout(PATIENCE, waiting).await, Ok(End::Settled));
}
