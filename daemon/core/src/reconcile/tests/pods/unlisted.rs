//! What the kubelet does not list any more, and a change of drivers: who uses the stack counts, and not
//! who is still noted for a device.

use super::super::lab::Lab;
use super::*;
use crate::change::Manner;
use crate::job::JobState;

const ON_9_1: &str = "[modules]\nrelease = \"9.1.2\"\n[pools.onload]\nslots = 4\n";

/// An answer that lists `app` with the first device, or only a pod of the node's own.
fn lists(app: bool) -> Option<PodList> {
    let mut answer = list(if app { &[("a/app/c", &["onload-0"])] } else { &[] });
    answer.held.iter_mut().for_each(|held| held.resource = "amd.com/onload".to_owned());
    Some(answer)
}

/// A node whose only container has the first device, named or never.
fn lab(config: &str, named: bool) -> Lab {
    let mut lab = Lab::new(config, "9.1.2");
    lab.pods = lists(named);
    let containers = vec![vec!["onload-0".parse().unwrap()]];
    let pool = "onload".parse().unwrap();
    let id = lab.ask(Command::KubeletAllocate { pool, containers });
    lab.run(3_000);
    assert!(lab.answers[&id].is_ok(), "{:?}", lab.answers[&id]);
    let holder = &lab.brain.ledger().allocations.values().next().unwrap().holder;
    assert_eq!(*holder == Holder::Container, !named);
    lab
}

/// Another release is ordered. What is loaded after a while, and how the job ended.
fn ordered(lab: &mut Lab) -> (String, String) {
    lab.ask(Command::Use { release: "9.2.1".parse().unwrap(), manner: Manner::default() });
    lab.run(10_000);
    let job = lab.picture.jobs.values().last().unwrap();
    assert_ne!(job.state, JobState::Running, "{}", job.message);
    (lab.loaded().unwrap_or_default(), job.message.clone())
}

#[test]
fn a_drained_node_is_changed_after_the_shorter_grace_whatever_the_kubelet_may_not_know() {
    for (why, named) in [("never named", false), ("a daemon that has just come", true)] {
        let mut lab = lab(ON_9_1, named);
        lab.pods = lists(false);
        if named {
            lab.restart();
            lab.run(3_000);
        }
        let (loaded, message) = ordered(&mut lab);
        assert_eq!(loaded, "9.1.2", "{why}: {message}");
        assert!(message.contains("`onloadctl free --force a1` if its pod"), "{why}: {message}");
        lab.run(GRACE);
        let (loaded, message) = ordered(&mut lab);
        assert_eq!(loaded, "9.2.1", "{why}: {message}");
        assert_eq!(lab.brain.ledger().containers(), 1, "{why}: it is noted all the same");
    }
}

#[test]
fn who_is_listed_or_seen_is_in_the_way_for_as_long() {
    let mut listed = lab(ON_9_1, true);
    listed.run(LONG);
    let (loaded, message) = ordered(&mut listed);
    assert_eq!(loaded, "9.1.2");
    assert!(message.ends_with("a/app/c has onload-0 (a1)"), "{message}");
    // One that runs on while the kubelet that came up cut off does not know of it.
    let mut cut_off = listed;
    cut_off.open(4711, None);
    cut_off.pods = lists(false);
    cut_off.restart();
    cut_off.run(GRACE + 3_000);
    let (loaded, message) = ordered(&mut cut_off);
    assert_eq!(loaded, "9.1.2");
    assert!(message.contains("pid 4711 (trader)") && !message.contains("onload-0"), "{message}");
}

#[test]
fn what_is_listed_no_more_does_not_keep_a_node_from_being_idle() {
    let idle = |release: &str| {
        let modules = format!("[modules]\nrelease = \"{release}\"\n");
        format!("[daemon]\napply = \"when-idle\"\n{modules}[pools.onload]\nslots = 4\n")
    };
    let mut busy = lab(&idle("9.1.2"), true);
    let mut left = lab(&idle("9.1.2"), false);
    for lab in [&mut busy, &mut left] {
        lab.reconfigure(&idle("9.2.1"));
        assert_eq!(lab.loaded().as_deref(), Some("9.1.2"));
        lab.run(GRACE);
    }
    assert_eq!(busy.loaded().as_deref(), Some("9.1.2"));
    assert_eq!(left.loaded().as_deref(), Some("9.2.1"), "{:?}", left.picture.blockers);
}
