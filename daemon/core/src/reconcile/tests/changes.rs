//! Changes: who is asked, what is taken away, and every way back.

use super::lab::{Faults, Lab};
use super::*;
use crate::change::{Holders, Manner, Outcome};
use crate::inventory::Autoload;
use crate::job::JobState;
use crate::names::ModuleName;
use crate::picture::NodeState;
use crate::reading::Reading::{self, Known};
use crate::refusal::RefusalKind;
use crate::sample::{module_of, without};

const ON_9_1: &str = "[modules]\nrelease = \"9.1.2\"\n[pools.onload]\nslots = 4\n";

fn to(release: &str) -> Command {
    with(release, Manner::default())
}

fn with(release: &str, manner: Manner) -> Command {
    Command::Use { release: release.parse().unwrap(), manner }
}

fn lab() -> Lab {
    let lab = Lab::new(ON_9_1, "9.1.2");
    assert_eq!(lab.picture.state, NodeState::Ready, "{:?}", lab.picture.blockers);
    lab
}

fn outcomes(lab: &Lab) -> Vec<Outcome> {
    lab.picture.history.iter().map(|past| past.outcome.clone()).collect()
}

/// How the last job ended.
fn job(lab: &Lab) -> (JobState, String) {
    let job = lab.picture.jobs.values().last().unwrap();
    (job.state, job.message.clone())
}

fn why(lab: &Lab) -> Vec<String> {
    lab.picture.blockers.iter().map(|one| one.blocker.why()).collect()
}

#[test]
fn an_upgrade_takes_everything_away_in_order_and_is_remembered() {
    let mut lab = lab();
    lab.ask(to("9.2.1"));
    lab.run(30_000);
    assert_eq!(
        lab.done,
        [
            "pin the names ens0, ens1",
            "keep the kernel's own driver from coming back by itself",
            "stop the control-plane server",
            "unload module onload",
            "unload module sfc_char",
            "unload module sfc_resource",
            "unload module sfc",
            "load module sfc from 9.2.1",
            "have onload start /var/lib/onloadd/releases/9.2.1/sbin/onload_cp_server",
            "load module onload from 9.2.1",
            "put the libraries of 9.2.1 in place for containers of onload",
        ]
    );
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
    assert_eq!(outcomes(&lab), [Outcome::Done]);
    assert_eq!(job(&lab).0, JobState::Done);
    assert_eq!((lab.picture.state, why(&lab)), (NodeState::Ready, vec![]));
    assert_eq!(lab.picture.wanted_by, "an order of uid 0");
    lab.ask(Command::Rollback { back: 1, manner: Manner::default() });
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"));
    assert_eq!(lab.picture.history.len(), 2);
}

#[test]
fn devices_are_withdrawn_before_anything_goes_and_come_back_at_the_end() {
    let mut lab = lab();
    let pool: PoolName = "onload".parse().unwrap();
    lab.brain.handle(lab.now(), Event::Registered { pool: pool.clone(), registered: true });
    lab.ask(to("9.2.1"));
    lab.run(150);
    let causes = |lab: &Lab| {
        let devices = lab.picture.pools[&pool].devices.clone();
        devices.iter().filter(|device| device.cause.is_some()).count()
    };
    assert_eq!((causes(&lab), lab.done.len()), (4, 0), "the kubelet hears of it first");
    lab.run(30_000);
    assert_eq!((causes(&lab), lab.done.len()), (0, 11));
}

#[test]
fn a_holder_is_named_and_nothing_is_touched() {
    let mut lab = lab();
    lab.open(4711, None);
    lab.ask(to("9.2.1"));
    lab.run(30_000);
    let (state, message) = job(&lab);
    assert_eq!(state, JobState::Failed);
    assert!(message.contains("pid 4711 (trader) has /dev/onload"), "{message}");
    assert_eq!(lab.done, [""; 0]);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"));
    assert!(why(&lab)[0].starts_with("the node has release 9.1.2, not 9.2.1"), "{:?}", why(&lab));
    lab.close();
    lab.run(200_000);
    assert_eq!(lab.done, [""; 0], "what was refused does not happen later by itself");
    lab.ask(Command::Apply { retry: false, manner: Manner::default() });
    lab.run(30_000);
    assert_eq!((lab.loaded().as_deref(), outcomes(&lab)), (Some("9.2.1"), vec![Outcome::Done]));
}

#[test]
fn a_program_with_the_library_of_this_release_holds_off_another_and_not_the_same_one() {
    let mut lab = lab();
    lab.maps_the_library(4711);
    lab.ask(to("9.2.1"));
    lab.run(30_000);
    assert!(job(&lab).1.contains("pid 4711 (trader) has libonload.so"), "{}", job(&lab).1);
    assert_eq!(lab.done, [""; 0]);
    // What somebody took away comes back all the same.
    let mut lab = self::lab();
    lab.maps_the_library(4711);
    without(&mut lab.node, "onload");
    lab.touch();
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"), "{:?}", why(&lab));
}

#[test]
fn who_uses_a_mixture_is_waited_for_all_the_same() {
    let mut lab = lab();
    module_of(&mut lab.node, "sfc").version = Known("6.4.0.1003".to_owned());
    lab.open(4711, None);
    lab.run(2_000);
    assert_eq!(lab.loaded(), None, "no release is there as a whole");
    let holders = Holders::Wait(None);
    lab.ask(with("9.2.1", Manner { holders, ..Manner::default() }));
    lab.run(60_000);
    assert_eq!((job(&lab).0, lab.done.len()), (JobState::Running, 0), "{}", job(&lab).1);
    lab.restart();
    lab.run(60_000);
    assert_eq!(lab.done, [""; 0], "nor does a restart forget that nothing was touched");
    lab.close();
    lab.run(60_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
}

#[test]
fn a_change_waits_as_long_as_it_may_and_a_unit_is_stopped_where_ordered() {
    let waiting = |secs| Manner {
        holders: Holders::Wait(Some(Span(Duration::from_secs(secs)))),
        ..Manner::default()
    };
    let mut lab = lab();
    lab.open(4711, None);
    let mut patient = lab.clone();
    lab.ask(with("9.2.1", waiting(20)));
    lab.run(15_000);
    assert!(job(&lab).1.starts_with("waiting: pid 4711"), "{}", job(&lab).1);
    lab.run(15_000);
    assert_eq!((job(&lab).0, lab.done.len()), (JobState::Failed, 0));
    assert_eq!(lab.picture.state, NodeState::Blocked);
    patient.ask(with("9.2.1", waiting(20)));
    patient.run(15_000);
    patient.close();
    patient.run(15_000);
    assert_eq!(patient.loaded().as_deref(), Some("9.2.1"));

    let stop = Manner { holders: Holders::Stop, ..Manner::default() };
    let mut lab = self::lab();
    lab.open(7, Some("trader.service"));
    lab.ask(with("9.2.1", stop));
    lab.run(15_000);
    assert_eq!(lab.done[0], "stop trader.service");
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
    lab.open(8, None);
    lab.ask(with("9.1.2", stop));
    lab.run(15_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"), "what is in no unit is not ended");
}

#[test]
fn whatever_fails_the_former_release_is_there_again_with_the_reason() {
    let faults = [
        (Faults { load: Some(("onload", "9.2.1")), ..Faults::default() }, "failed to start"),
        (Faults { load: Some(("sfc", "9.2.1")), ..Faults::default() }, "failed to start"),
        (Faults { no_aux: Some("9.2.1"), ..Faults::default() }, "shows no device bound by Onload"),
        (Faults { stuck: Some("sfc"), ..Faults::default() }, "module sfc is in use"),
    ];
    for (faults, expected) in faults {
        let mut lab = lab();
        lab.faults = faults.clone();
        lab.ask(to("9.2.1"));
        lab.run(60_000);
        assert_eq!(lab.loaded().as_deref(), Some("9.1.2"), "{faults:?} {:?}", lab.done);
        assert_eq!(outcomes(&lab), [Outcome::RolledBack], "{faults:?}");
        let (state, message) = job(&lab);
        assert_eq!(state, JobState::Failed);
        assert!(message.starts_with("rolled back to release 9.1.2: "), "{message}");
        assert!(message.contains(expected), "{message}");
        assert_eq!(lab.autoload(), Autoload::Allowed);
        assert_eq!(lab.picture.state, NodeState::Blocked);
        let done = lab.done.len();
        lab.run(400_000);
        assert_eq!(lab.done.len(), done, "it is not tried again by itself");
        lab.faults = Faults::default();
        lab.ask(Command::Apply { retry: true, manner: Manner::default() });
        lab.run(60_000);
        assert_eq!(lab.loaded().as_deref(), Some("9.2.1"), "{faults:?}");
        assert_eq!((lab.picture.state, why(&lab)), (NodeState::Ready, vec![]));
    }
}

#[test]
fn a_protected_interface_needs_a_confirmation_and_silence_takes_it_back() {
    let confirmed =
        || Manner { confirm_within: Some(Span(Duration::from_secs(60))), ..Manner::default() };
    let mut lab = lab();
    lab.route();
    lab.ask(to("9.2.1"));
    lab.run(30_000);
    assert!(job(&lab).1.contains("the default route goes through it"), "{}", job(&lab).1);
    assert_eq!(lab.done.len(), 0);
    let mut kept = lab.clone();
    for lab in [&mut lab, &mut kept] {
        lab.ask(with("9.2.1", confirmed()));
        lab.run(30_000);
        assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
        assert_eq!(lab.picture.blockers[0].blocker.reason(), "AwaitingConfirmation");
    }
    lab.run(60_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"));
    assert_eq!(outcomes(&lab), [Outcome::RolledBack]);
    let id = kept.ask(Command::Confirm);
    kept.run(90_000);
    assert_eq!(kept.answers[&id], Ok(Reply::Done));
    assert_eq!((kept.loaded().as_deref(), outcomes(&kept)), (Some("9.2.1"), vec![Outcome::Done]));
}

#[test]
fn a_kill_between_any_two_effects_ends_where_an_undisturbed_run_does() {
    for broken in [false, true] {
        let start = || {
            let mut lab = lab();
            if broken {
                lab.faults.load = Some(("onload", "9.2.1"));
            }
            lab
        };
        let end = if broken { "9.1.2" } else { "9.2.1" };
        for fuse in 1.. {
            let mut lab = start();
            lab.fuse = Some(fuse);
            lab.ask(to("9.2.1"));
            let ordered = lab.brain.ledger().order.is_some();
            if lab.run(60_000) && lab.fuse != Some(0) {
                assert!(fuse > 40, "only {fuse} effects");
                break;
            }
            lab.restart();
            lab.run(60_000);
            let end = if ordered { end } else { "9.1.2" };
            assert_eq!(lab.loaded().as_deref(), Some(end), "killed after {fuse} effects");
            assert_eq!(lab.autoload(), Autoload::Allowed, "killed after {fuse} effects");
            assert!(lab.brain.ledger().change.is_none());
        }
    }
}

#[test]
fn the_first_boot_replaces_the_kernels_own_driver() {
    let lab = Lab::new(ON_9_1, "in-tree");
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"), "{:?}", lab.done);
    let past = &lab.picture.history[0];
    assert_eq!(past.change.from.as_ref().unwrap().as_str(), "in-tree");
    assert_eq!(past.change.origin, crate::change::Origin::Boot);
}

#[test]
fn a_release_that_is_not_there_is_said_and_nothing_is_taken_away() {
    let lab = Lab::new("[modules]\nrelease = \"9.9.9\"\n", "in-tree");
    assert_eq!(lab.done.len(), 0);
    assert_eq!(lab.picture.blockers[0].blocker.reason(), "ReleaseMissing");
    let mut lab = self::lab();
    let id = lab.ask(to("9.9.9"));
    assert_eq!(lab.answers[&id].as_ref().unwrap_err().kind, RefusalKind::NotFound);
}

#[test]
fn what_somebody_took_away_is_brought_back_or_only_reported() {
    for (policy, back) in [("repair", true), ("report", false)] {
        let config = format!("{ON_9_1}[modules.unused]\n");
        let config = config.replace("[modules.unused]\n", "");
        let config = config.replace("[modules]\n", &format!("[modules]\ndrift = \"{policy}\"\n"));
        let mut lab = Lab::new(&config, "9.1.2");
        let gone: ModuleName = "onload".parse().unwrap();
        crate::sample::inner(&mut lab.node.modules).remove(&gone);
        lab.node.driver = Default::default();
        lab.touch();
        lab.run(30_000);
        let there = lab.brain.snapshot.as_ref().unwrap().module("onload").known().is_some();
        assert_eq!(there, back, "{policy}");
        if !back {
            assert_eq!(lab.picture.blockers[0].blocker.reason(), "Drifted");
            lab.ask(Command::Apply { retry: false, manner: Manner::default() });
            lab.run(30_000);
            assert_eq!(lab.picture.state, NodeState::Ready);
        }
    }
}

#[test]
fn a_change_is_not_held_half_way_and_a_cancel_takes_it_back() {
    let mut lab = lab();
    lab.fuse = Some(40);
    lab.ask(to("9.2.1"));
    lab.run(60_000);
    lab.restart();
    let id = lab.ask(Command::Hold { reason: "x".to_owned(), expiry: None });
    let busy = lab.answers.get(&id).cloned();
    assert_eq!(busy.unwrap().unwrap_err().kind, RefusalKind::Busy);

    let mut lab = self::lab();
    lab.open(4711, None);
    lab.ask(with("9.2.1", Manner { holders: Holders::Wait(None), ..Manner::default() }));
    lab.run(5_000);
    let job = *lab.picture.jobs.keys().last().unwrap();
    lab.ask(Command::Cancel { job });
    lab.run(60_000);
    assert_eq!((lab.loaded().as_deref(), lab.done.len()), (Some("9.1.2"), 0));
    assert_eq!(outcomes(&lab), [Outcome::RolledBack]);

    let mut lab = self::lab();
    let confirm_within = Some(Span(Duration::from_secs(600)));
    lab.ask(with("9.2.1", Manner { confirm_within, ..Manner::default() }));
    lab.run(5_000);
    lab.ask(Command::Rollback { back: 1, manner: Manner::default() });
    lab.run(60_000);
    assert_eq!(
        (lab.loaded().as_deref(), outcomes(&lab)),
        (Some("9.1.2"), vec![Outcome::RolledBack])
    );
}

#[test]
fn a_reboot_in_the_middle_of_the_way_back_does_not_try_again_in_that_boot() {
    let mut lab = lab();
    lab.route();
    let confirm_within = Some(Span(Duration::from_secs(600)));
    lab.ask(with("9.2.1", Manner { confirm_within, ..Manner::default() }));
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
    let fresh = Lab::new(ON_9_1, "in-tree");
    lab.node = spoilt(|node| *node = fresh.node.clone());
    lab.node.boot_id = crate::reading::Reading::Known("aaaa-bbbb".parse().unwrap());
    lab.restart();
    lab.run(60_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"));
    assert!(why(&lab)[0].contains("went down before it was confirmed"), "{:?}", why(&lab));
}

#[test]
fn a_way_back_that_ends_for_want_of_a_port_is_no_rollback() {
    let mut lab = lab();
    lab.faults.no_aux = Some("9.2.1");
    lab.ask(to("9.2.1"));
    while !lab.done.iter().any(|step| step == "load module onload from 9.2.1") {
        lab.run(50);
    }
    // The card goes while it is looked whether the release works.
    let card = std::mem::replace(&mut lab.node.ports, Reading::Absent);
    lab.node.device_nodes.insert("/dev/onload".to_owned(), Reading::Absent);
    lab.touch();
    lab.run(30_000);
    let [Outcome::Failed(why)] = &outcomes(&lab)[..] else { panic!("{:?}", outcomes(&lab)) };
    assert!(why.ends_with("then no port for Onload is left to load a driver for"), "{why}");
    assert_eq!(job(&lab), (JobState::Failed, why.clone()));
    lab.node.ports = card;
    lab.touch();
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"), "what failed both ways waits for an order");
}

#[test]
fn a_change_whose_ports_go_before_anything_was_taken_is_not_done() {
    let mut lab = lab();
    lab.open(4711, None);
    lab.ask(with("9.2.1", Manner { holders: Holders::Wait(None), ..Manner::default() }));
    lab.run(2_000);
    assert!(lab.picture.change.is_some(), "{:?}", lab.picture.blockers);
    let card = std::mem::replace(&mut lab.node.ports, Reading::Absent);
    lab.touch();
    lab.run(30_000);
    let [Outcome::Failed(why)] = &outcomes(&lab)[..] else { panic!("{:?}", outcomes(&lab)) };
    assert!(why.contains("no port for Onload is left"), "{why}");
    assert_eq!(job(&lab).0, JobState::Failed);
    lab.close();
    lab.node.ports = card;
    lab.touch();
    lab.run(30_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"), "refused is over");
}
