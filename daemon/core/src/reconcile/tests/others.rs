//! Others who have to do with the modules: refused while they are there, taken over by order.

use super::lab::Lab;
use super::*;
use crate::change::Manner;
use crate::condition::{ConditionKind, Status};
use crate::job::JobState;
use crate::others::{Manager, SERVER_PARAMETERS, SERVER_PATH, Trace};
use crate::picture::NodeState;
use crate::reading::Reading::{self, Known};
use crate::refusal::{Refusal, RefusalKind};
use crate::sample::module_of;

const ON_9_1: &str = "[modules]\nrelease = \"9.1.2\"\n[pools.onload]\nslots = 4\n";

fn lab_with(managers: &[Manager]) -> Lab {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    managers.iter().for_each(|manager| appear(&mut lab, *manager));
    lab
}

fn appear(lab: &mut Lab, manager: Manager) {
    let trace = Trace { evidence: format!("/{}", manager.as_str()), ..Trace::default() };
    lab.node.others.insert(manager, Known(trace));
    lab.touch();
    lab.run(2_000);
}

fn upgrade() -> Command {
    Command::Use { release: "9.2.1".parse().unwrap(), manner: Manner::default() }
}

fn refusal(lab: &Lab, id: RequestId) -> Option<&Refusal> {
    lab.answers[&id].as_ref().err()
}

fn sole(lab: &Lab) -> (Status, &str) {
    let kind = ConditionKind::SoleManager;
    let found = lab.picture.conditions.iter().find(|one| one.kind == kind).unwrap();
    (found.status, &found.reason)
}

fn reasons(lab: &Lab) -> Vec<&str> {
    lab.picture.blockers.iter().map(|one| one.blocker.reason()).collect()
}

#[test]
fn an_order_is_refused_while_another_manager_is_there() {
    let all =
        [Manager::OnloadOperator, Manager::Kmm, Manager::MachineConfig, Manager::ControlPlane];
    for manager in all {
        let mut lab = lab_with(&[manager]);
        assert_eq!(
            lab.picture.state,
            NodeState::Ready,
            "nothing is to be done, so nothing is blocked"
        );
        assert_eq!(sole(&lab), (Status::False, "OtherManager"));
        let id = lab.ask(upgrade());
        lab.run(30_000);
        let refused = refusal(&lab, id).unwrap();
        assert_eq!(refused.kind, RefusalKind::Blocked);
        assert!(refused.why.contains(&format!("/{}", manager.as_str())), "{refused:?}");
        assert!(refused.fix.contains("onloadctl adopt"), "{refused:?}");
        assert_eq!(lab.done, [""; 0], "{manager}: untouched");
    }
    let mut lab = lab_with(&[Manager::Dkms]);
    assert_eq!(sole(&lab), (Status::True, "BuildsOnly"));
    lab.ask(upgrade());
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"), "DKMS only builds");
}

#[test]
fn an_order_that_a_manager_forestalls_is_withdrawn_with_its_job() {
    let mut lab = lab_with(&[]);
    let trace = Trace { evidence: "/kmm".to_owned(), ..Trace::default() };
    let id = lab.ask(upgrade());
    assert!(matches!(lab.answers.get(&id), None | Some(Ok(_))), "nothing is in its way yet");
    // It comes before the first look that the order asked for.
    lab.node.others.insert(Manager::Kmm, Known(trace));
    lab.run(30_000);
    let job = lab.picture.jobs.values().last().unwrap().clone();
    assert_eq!(job.state, JobState::Failed);
    assert!(job.message.contains("/kmm") && job.message.ends_with("; the order is withdrawn"));
    assert_eq!(lab.brain.ledger().order, None);
    // Whoever was in the way leaves, and the daemon starts anew: nothing comes of it by itself.
    lab.node.others.clear();
    lab.touch();
    lab.run(30_000);
    lab.restart();
    lab.run(30_000);
    assert_eq!((lab.loaded().as_deref(), &lab.done[..]), (Some("9.1.2"), &[][..]));
    assert_eq!(lab.picture.state, NodeState::Ready);
    // What stood before it stands again.
    lab.ask(upgrade());
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
    lab.ask(Command::Use { release: "9.3.0".parse().unwrap(), manner: Manner::default() });
    lab.node.others.insert(Manager::Kmm, Known(Trace::default()));
    lab.run(30_000);
    lab.node.others.clear();
    lab.touch();
    lab.run(30_000);
    let order = lab.brain.ledger().order.as_ref().unwrap();
    assert_eq!((order.release.as_str(), lab.loaded().as_deref()), ("9.2.1", Some("9.2.1")));
}

#[test]
fn an_order_that_a_hold_forestalls_is_withdrawn_too() {
    let mut lab = lab_with(&[]);
    lab.ask(upgrade());
    lab.ask(Command::Hold { reason: "audit".to_owned(), expiry: None });
    lab.run(30_000);
    let job = lab.picture.jobs.values().last().unwrap().clone();
    assert_eq!(job.message, "the node is held: audit; the order is withdrawn");
    lab.ask(Command::Unhold);
    lab.run(30_000);
    assert_eq!((lab.loaded().as_deref(), &lab.done[..]), (Some("9.1.2"), &[][..]));
}

#[test]
fn what_somebody_unloads_is_not_loaded_against_another_manager() {
    let mut lab = lab_with(&[Manager::Kmm, Manager::Dkms]);
    crate::sample::without(&mut lab.node, "onload");
    lab.touch();
    lab.run(30_000);
    assert_eq!(lab.done, [""; 0]);
    assert_eq!((lab.picture.state, reasons(&lab)), (NodeState::Blocked, vec!["OtherManager"]));
    // Gone by itself: no adoption is needed.
    lab.node.others.remove(&Manager::Kmm);
    lab.touch();
    lab.run(30_000);
    assert_eq!(lab.picture.state, NodeState::Ready, "{:?}", lab.picture.blockers);
    // A control plane elsewhere is no reason to leave a module out.
    let mut lab = lab_with(&[Manager::ControlPlane]);
    crate::sample::without(&mut lab.node, "onload");
    lab.node.others.clear();
    appear(&mut lab, Manager::OnloadOperator);
    assert_eq!(reasons(&lab), ["OtherManager"]);
}

#[test]
fn adopted_is_gone_ahead_beside_until_it_is_gone() {
    let mut lab = lab_with(&[Manager::OnloadOperator, Manager::Dkms]);
    let id = lab.ask(Command::Adopt);
    lab.run(5_000);
    assert!(matches!(lab.answers[&id], Ok(Reply::Job(_))));
    let job = lab.picture.jobs.values().last().unwrap();
    assert_eq!((job.kind.as_str(), job.state), ("adopt", JobState::Done), "{job:?}");
    assert_eq!(sole(&lab), (Status::True, "Adopted"));
    assert!(!lab.brain.ledger().others.contains_key(&Manager::Dkms), "nothing to adopt there");
    lab.restart();
    lab.run(2_000);
    lab.ask(upgrade());
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
    let again = lab.ask(Command::Adopt);
    assert_eq!(refusal(&lab, again).unwrap().kind, RefusalKind::NotFound);
    // Gone, and back: whoever comes back is a stranger.
    let trace = lab.node.others.remove(&Manager::OnloadOperator).unwrap();
    lab.touch();
    lab.run(2_000);
    assert!(lab.brain.ledger().others.is_empty());
    lab.node.others.insert(Manager::OnloadOperator, trace);
    lab.touch();
    lab.run(2_000);
    assert_eq!(sole(&lab), (Status::False, "OtherManager"));
    // What cannot be read is neither there nor gone.
    lab.ask(Command::Adopt);
    lab.run(2_000);
    lab.node.others.insert(Manager::OnloadOperator, Reading::Unreadable("denied".to_owned()));
    lab.touch();
    lab.run(2_000);
    assert_eq!(sole(&lab), (Status::Unknown, "Unreadable"));
    assert!(!lab.brain.ledger().others.is_empty());
}

#[test]
fn adoption_gives_the_driver_its_own_control_plane_back() {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    let parameters = &mut module_of(&mut lab.node, "onload").parameters;
    parameters.insert(SERVER_PATH.to_owned(), Known("/usr/bin/crictl".to_owned()));
    parameters.insert(SERVER_PARAMETERS.to_owned(), Known("exec 0123 /mnt/x".to_owned()));
    appear(&mut lab, Manager::ControlPlane);
    let shown = &lab.picture.others[&Manager::ControlPlane];
    let server = "/var/lib/onloadd/releases/9.1.2/sbin/onload_cp_server";
    assert_eq!(shown.does, [format!("tell onload to start {server} from now on")]);
    lab.ask(Command::Adopt);
    lab.run(5_000);
    assert_eq!(lab.done, [format!("tell onload to start {server} from now on")]);
    assert_eq!(sole(&lab), (Status::True, "Alone"), "nothing of it is left");
    assert_eq!(lab.picture.state, NodeState::Ready);
}

#[test]
fn an_adoption_is_refused_while_something_is_under_way_or_held() {
    let mut lab = lab_with(&[]);
    let id = lab.ask(Command::Adopt);
    assert_eq!(refusal(&lab, id).unwrap().kind, RefusalKind::NotFound, "nobody is there");
    lab.ask(upgrade());
    let id = lab.ask(Command::Adopt);
    assert_eq!(refusal(&lab, id).unwrap().kind, RefusalKind::Busy);
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
    lab.ask(Command::Hold { reason: "x".to_owned(), expiry: None });
    let id = lab.ask(Command::Adopt);
    assert_eq!(refusal(&lab, id).unwrap().kind, RefusalKind::Held);
}
