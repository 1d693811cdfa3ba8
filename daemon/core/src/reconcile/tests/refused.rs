//! Refused is over: what an order that met somebody leaves behind, in this boot and the next; and what
//! goes on beside a change that may not begin.

use super::lab::Lab;
use super::*;
use crate::change::{Holders, Manner};
use crate::job::JobState;
use crate::names::JobId;
use crate::picture::NodeState;
use crate::reading::Reading::Known;
use crate::sample::module_of;

const ON_9_1: &str = "[modules]\nrelease = \"9.1.2\"\n[pools.onload]\nslots = 4\n";
const PLACED: &str = "put the libraries of 9.1.2 in place for containers of onload";

fn lab() -> Lab {
    let lab = Lab::new(ON_9_1, "9.1.2");
    assert_eq!(lab.picture.state, NodeState::Ready, "{:?}", lab.picture.blockers);
    lab
}

fn to_9_2(manner: Manner) -> Command {
    Command::Use { release: "9.2.1".parse().unwrap(), manner }
}

fn last_job(lab: &Lab) -> (JobId, JobState) {
    let (id, job) = lab.picture.jobs.last_key_value().unwrap();
    (*id, job.state)
}

/// The next boot: the hardware has the kernel's own driver, and nobody runs.
fn reboot(lab: &mut Lab) {
    lab.node = Lab::new(ON_9_1, "in-tree").node;
    lab.node.boot_id = Known("aaaa-bbbb".parse().unwrap());
    lab.done.clear();
    lab.restart();
    lab.run(60_000);
}

#[test]
fn what_was_refused_does_not_come_with_the_next_boot() {
    let mut lab = lab();
    lab.open(4711, None);
    lab.ask(to_9_2(Manner::default()));
    lab.run(30_000);
    assert_eq!(last_job(&lab).1, JobState::Failed);
    reboot(&mut lab);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"), "{:?}", lab.done);
    // It may be ordered again all the same.
    lab.ask(to_9_2(Manner::default()));
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
}

#[test]
fn what_was_refused_comes_with_the_next_boot_once_the_configuration_names_it() {
    let mut lab = lab();
    lab.open(4711, None);
    lab.ask(to_9_2(Manner::default()));
    lab.run(30_000);
    lab.reconfigure(&ON_9_1.replace("9.1.2", "9.2.1"));
    reboot(&mut lab);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"), "{:?}", lab.picture.blockers);
}

#[test]
fn pods_of_an_earlier_boot_are_in_nobodys_way_wherever_the_clock_stands() {
    let mut lab = lab();
    let (pool, id) = ("onload".parse().unwrap(), "onload-0".parse().unwrap());
    lab.ask(Command::KubeletAllocate { pool, containers: vec![vec![id]] });
    lab.run(2_000);
    assert_eq!(lab.picture.allocations.len(), 1);
    // In the lab a boot begins with the clock where it stood long before the pod came.
    lab.at = 1;
    reboot(&mut lab);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"), "{:?}", lab.picture.blockers);
    assert_eq!(lab.picture.allocations.len(), 1);
}

#[test]
fn what_was_cancelled_before_it_began_does_not_either() {
    let mut lab = lab();
    lab.open(4711, None);
    lab.run(2_000);
    lab.ask(to_9_2(Manner::default()));
    let (id, _) = lab.brain.picture.jobs.last_key_value().unwrap();
    lab.ask(Command::Cancel { job: *id });
    lab.run(30_000);
    assert_eq!((last_job(&lab).1, lab.done.len()), (JobState::Cancelled, 0));
    reboot(&mut lab);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"), "{:?}", lab.done);
}

#[test]
fn an_order_that_a_kill_met_before_its_change_is_refused_as_it_would_have_been() {
    let mut lab = lab();
    lab.open(4711, None);
    lab.run(2_000);
    lab.ask(to_9_2(Manner::default()));
    assert!(lab.brain.ledger().order.is_some() && lab.brain.ledger().change.is_none());
    lab.restart();
    lab.run(30_000);
    lab.close();
    lab.run(120_000);
    assert_eq!((lab.loaded().as_deref(), lab.done.len()), (Some("9.1.2"), 0), "{:?}", lab.done);
}

#[test]
fn no_unit_is_stopped_for_a_change_that_is_refused() {
    let mut lab = lab();
    lab.open(4711, Some("trader.service"));
    lab.route();
    lab.ask(to_9_2(Manner { holders: Holders::Stop, ..Manner::default() }));
    lab.run(30_000);
    assert_eq!((last_job(&lab).1, &lab.done[..]), (JobState::Failed, &[][..]));
}

#[test]
fn what_containers_are_given_does_not_wait_for_a_change_that_may_not_begin() {
    let mut lab = lab();
    lab.route();
    // A mixture, which is not repaired while its port carries the default route.
    module_of(&mut lab.node, "sfc").version = Known("6.4.0.1003".to_owned());
    crate::sample::inner(&mut lab.node.userland).trees.clear();
    lab.touch();
    lab.run(30_000);
    assert_eq!(lab.picture.state, NodeState::Blocked);
    assert_eq!(lab.done, [PLACED]);
}
