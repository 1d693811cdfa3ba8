//! When a boot goes on: no wait is without an end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use onload_core::blocker::{Blocked, Blocker};
use onload_core::change::{Change, Manner};
use onload_core::time::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::letterbox::Post;

fn picture(state: NodeState, blockers: Vec<Blocker>) -> Picture {
    let blocked = |blocker| Blocked { subject: "node".to_owned(), blocker };
    let blockers = Arc::new(blockers.into_iter().map(blocked).collect());
    Picture { state, blockers, ..Picture::default() }
}

fn in_use() -> Blocker {
    Blocker::InUse { release: "9.2.1".parse().unwrap(), by: vec!["pid 7".to_owned()] }
}

fn change() -> Change {
    Change {
        number: 1,
        from: Some("in-tree".parse().unwrap()),
        to: "9.2.1".parse().unwrap(),
        origin: Origin::Boot,
        manner: Manner::default(),
        kernel: None,
        boot: None,
        began: Timestamp(1),
        touched: false,
        turned: None,
        called_off: false,
        confirm_by: None,
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
        || Picture { change: Some(change()), ..picture(NodeState::Converging, Vec::new()) };
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
