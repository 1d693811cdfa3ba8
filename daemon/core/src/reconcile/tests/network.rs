//! What ports carry over a change of their driver.

use super::lab::Lab;
use super::*;
use crate::change::{Holders, Manner, Outcome};
use crate::condition::Status;
use crate::network::tests::{address, made, route};
use crate::network::{Network, NetworkLink, Owner};
use crate::sample::PORTS;

const ON_9_1: &str = "[modules]\nrelease = \"9.1.2\"\n[pools.onload]\nslots = 4\n";

fn to(release: &str, manner: Manner) -> Command {
    Command::Use { release: release.parse().unwrap(), manner }
}

fn upgrade() -> Command {
    to("9.2.1", Manner::default())
}

/// Two ports, the first with an address and a VLAN that has a route; everything set up by this owner.
fn carried(owner: &Owner) -> Network {
    let port = |number: usize| NetworkLink {
        port: Some(PORTS[number].parse().unwrap()),
        up: true,
        mtu: 9000,
        owner: owner.clone(),
        ..NetworkLink::default()
    };
    let first = NetworkLink { addresses: [address("10.0.0.1/24", None)].into(), ..port(0) };
    let vlan = NetworkLink {
        mac: None,
        addresses: [address("10.7.0.1/24", None)].into(),
        routes: [route("10.8.0.0/16", &["vlan7"], true)].into(),
        owner: owner.clone(),
        ..made("vlan", 7, Some("ens0"))
    };
    crate::network::tests::network([("ens0", first), ("ens1", port(1)), ("vlan7", vlan)])
}

fn lab_of(owner: &Owner) -> Lab {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    lab.carry(carried(owner));
    lab
}

fn lab() -> Lab {
    lab_of(&Owner::Nobody)
}

fn outcomes(lab: &Lab) -> Vec<Outcome> {
    lab.picture.history.iter().map(|past| past.outcome.clone()).collect()
}

/// What is left of it in the ledger, and what differs.
fn left(lab: &Lab) -> (bool, Option<Vec<String>>) {
    let ledger = lab.brain.ledger();
    (ledger.network.is_some(), ledger.differences.clone())
}

fn all_back() -> (bool, Option<Vec<String>>) {
    (false, Some(Vec::new()))
}

/// How often a step was tried whose name begins so.
fn tried(lab: &Lab, begin: &str) -> usize {
    lab.done.iter().filter(|step| step.starts_with(begin)).count()
}

#[test]
fn what_ports_carry_is_back_when_the_change_ends() {
    let mut lab = lab();
    lab.ask(upgrade());
    lab.run(30_000);
    assert_eq!((lab.loaded().as_deref(), outcomes(&lab)), (Some("9.2.1"), vec![Outcome::Done]));
    assert_eq!(*lab.carried(), carried(&Owner::Nobody));
    assert_eq!(left(&lab), all_back());
    assert_eq!(lab.brain.network_restored(), (Status::True, "Restored", String::new()));
    let restored = lab.done.iter().position(|step| step.contains("MTU")).unwrap();
    assert!(
        restored > lab.done.iter().position(|step| step.contains("module onload from")).unwrap()
    );
    let looks = &lab.network.looks;
    let at = |what: &str| looks.iter().position(|look| look == what).unwrap();
    let last = looks.iter().rposition(|look| look.starts_with("load module")).unwrap();
    assert!(at("Users") < at("unload module onload"), "{looks:?}");
    assert!(at("Network") > last, "what it costs, it costs once everything is there: {looks:?}");
}

#[test]
fn a_kill_between_any_two_effects_loses_nothing_of_it() {
    let fresh = lab();
    for broken in [false, true] {
        for fuse in 1.. {
            let mut lab = fresh.clone();
            if broken {
                lab.faults.load = Some(("onload", "9.2.1"));
            }
            lab.fuse = Some(fuse);
            lab.ask(upgrade());
            if lab.run(60_000) && lab.fuse != Some(0) {
                assert!(fuse > 50, "only {fuse} effects");
                break;
            }
            lab.restart();
            lab.network.looks.clear();
            lab.run(60_000);
            let looks = lab.network.looks.len();
            assert!(looks < 60, "{looks} looks after {fuse} effects");
            assert_eq!(*lab.carried(), carried(&Owner::Nobody), "killed after {fuse} effects");
            let (kept, differences) = left(&lab);
            assert!(
                !kept && differences.is_none_or(|left| left.is_empty()),
                "after {fuse} effects"
            );
            assert!(lab.brain.ledger().change.is_none(), "killed after {fuse} effects");
        }
    }
}

#[test]
fn the_way_back_restores_it_too() {
    let mut lab = lab();
    lab.faults.load = Some(("onload", "9.2.1"));
    lab.ask(upgrade());
    lab.run(60_000);
    let end = (Some("9.1.2"), vec![Outcome::RolledBack]);
    assert_eq!((lab.loaded().as_deref(), outcomes(&lab)), end);
    assert_eq!((lab.carried().clone(), left(&lab)), (carried(&Owner::Nobody), all_back()));

    // What was put back for the new release goes once more, and what the new one could not have is
    // there again.
    let mut lab = self::lab();
    let confirm_within = Some(Span(Duration::from_secs(60)));
    lab.ask(to("9.2.1", Manner { confirm_within, ..Manner::default() }));
    lab.run(30_000);
    assert_eq!((lab.loaded().as_deref(), left(&lab)), (Some("9.2.1"), (true, Some(vec![]))));
    assert_eq!(lab.brain.network_restored().0, Status::True);
    lab.restart();
    lab.carried().links.remove(&"vlan7".parse().unwrap());
    lab.run(60_000);
    assert_eq!((lab.loaded().as_deref(), outcomes(&lab)), end);
    assert_eq!((lab.carried().clone(), left(&lab)), (carried(&Owner::Nobody), all_back()));
}

#[test]
fn what_is_kept_is_what_was_there_when_the_driver_went() {
    let mut lab = lab();
    lab.open(4711, None);
    lab.ask(to("9.2.1", Manner { holders: Holders::Wait(None), ..Manner::default() }));
    lab.run(60_000);
    assert_eq!(left(&lab), (false, None), "nothing was taken away");
    let link = lab.carried().links.get_mut(&"ens1".parse().unwrap()).unwrap();
    link.addresses.insert(address("10.9.0.1/24", None));
    let expected = lab.carried().clone();
    lab.close();
    lab.run(60_000);
    assert_eq!((lab.loaded().as_deref(), lab.carried().clone()), (Some("9.2.1"), expected));
}

#[test]
fn a_change_that_touched_nothing_leaves_nothing_to_put_back() {
    let mut lab = lab();
    lab.open(4711, None);
    lab.ask(to("9.2.1", Manner { holders: Holders::Wait(None), ..Manner::default() }));
    lab.run(5_000);
    let job = *lab.picture.jobs.keys().last().unwrap();
    lab.ask(Command::Cancel { job });
    lab.run(60_000);
    assert_eq!((outcomes(&lab), left(&lab)), (vec![Outcome::RolledBack], (false, None)));
    lab.carried().links.remove(&"vlan7".parse().unwrap());
    lab.run(60_000);
    assert_eq!(lab.done, [""; 0]);
    assert_eq!(lab.brain.network_restored().1, "NotNeeded");
}

#[test]
fn a_port_that_never_comes_back_holds_nothing_up_for_long() {
    let mut lab = lab();
    lab.network.lost = Some(1);
    lab.ask(upgrade());
    lab.run(9_000);
    assert!(lab.brain.ledger().change.is_some(), "it may still come");
    lab.run(10_000);
    assert_eq!((lab.loaded().as_deref(), outcomes(&lab)), (Some("9.2.1"), vec![Outcome::Done]));
    let told = vec!["ens1 is not there".to_owned()];
    assert_eq!(left(&lab), (false, Some(told.clone())));
    assert_eq!(lab.brain.network_restored(), (Status::False, "Differs", told[0].clone()));
    assert_eq!(lab.carried().links[&"vlan7".parse().unwrap()].addresses.len(), 1);
}

#[test]
fn owners_are_waited_for_asked_once_and_then_it_is_done_for_them() {
    let owner = Owner::NetworkManager("u".to_owned());
    for obeys in [true, false] {
        let mut lab = lab_of(&owner);
        lab.network.obeys = obeys;
        lab.ask(upgrade());
        lab.run(1_900);
        assert_eq!(tried(&lab, "ask NetworkManager"), 0, "they begin by themselves");
        lab.run(5_000);
        assert_eq!(tried(&lab, "ask NetworkManager"), 3, "{:?}", lab.done);
        assert_eq!(lab.brain.ledger().change.is_none(), obeys);
        assert_eq!(tried(&lab, "give"), 0, "it is theirs to do");
        lab.run(20_000);
        assert_eq!(tried(&lab, "ask NetworkManager"), 3, "nobody is asked twice");
        assert_eq!(outcomes(&lab), [Outcome::Done]);
        let (kept, differences) = left(&lab);
        let strange = ["ens0", "ens1", "vlan7"]
            .map(|name| format!("{name}: owner is nobody, was NetworkManager (u)"));
        assert_eq!(differences.unwrap(), if obeys { &[] } else { &strange[..] }, "{obeys}");
        assert!(!kept);
        let mut found = lab.carried().clone();
        found.links.values_mut().for_each(|link| link.owner = owner.clone());
        assert_eq!(found, carried(&owner), "{obeys}");
    }
}

#[test]
fn however_many_are_asked_the_change_does_not_turn() {
    let owner = Owner::NetworkManager("u".to_owned());
    let mut all = carried(&owner);
    for number in 0..70 {
        let link =
            NetworkLink { owner: owner.clone(), mac: None, ..made("vlan", number, Some("ens1")) };
        all.links.insert(format!("many{number}").parse().unwrap(), link);
    }
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    lab.carry(all.clone());
    lab.network.obeys = true;
    lab.ask(upgrade());
    lab.run(60_000);
    assert_eq!((outcomes(&lab), tried(&lab, "ask")), (vec![Outcome::Done], 73));
    assert_eq!((lab.carried().clone(), left(&lab)), (all, all_back()));
}

#[test]
fn what_cannot_be_put_back_or_read_is_told_and_the_driver_stays() {
    let mut lab = lab();
    lab.network.refuses = true;
    lab.ask(upgrade());
    lab.run(60_000);
    assert_eq!((lab.loaded().as_deref(), outcomes(&lab)), (Some("9.2.1"), vec![Outcome::Done]));
    assert_eq!(tried(&lab, "give ens0"), 4, "{:?}", lab.done);
    let told = left(&lab).1.unwrap();
    assert!(told.contains(&"ens0: address 10.0.0.1/24 is missing".to_owned()), "{told:?}");
    let before = lab.done.len();
    lab.run(600_000);
    assert_eq!(lab.done.len(), before, "nor is it tried for ever");

    let mut lab = self::lab();
    lab.network.goes_blind = true;
    lab.ask(upgrade());
    lab.run(30_000);
    assert_eq!((lab.loaded().as_deref(), outcomes(&lab)), (Some("9.2.1"), vec![Outcome::Done]));
    let told = "what interfaces carry cannot be read: denied".to_owned();
    assert_eq!(left(&lab), (false, Some(vec![told])));
    assert!(lab.network.looks.len() < 150, "{} looks", lab.network.looks.len());
}

#[test]
fn a_boot_forgets_what_an_earlier_one_took_away() {
    let mut lab = lab();
    let fresh = lab.clone();
    for fuse in 20.. {
        lab = fresh.clone();
        lab.fuse = Some(fuse);
        lab.ask(upgrade());
        lab.run(60_000);
        if lab.done.last().is_some_and(|step| step == "unload module sfc") {
            break;
        }
    }
    assert!(left(&lab).0);
    lab.reboot();
    assert_eq!(left(&lab), all_back());
    assert_eq!(
        tried(&lab, "give"),
        0,
        "what is there after a boot is the boot's affair: {:?}",
        lab.done
    );
}

#[test]
fn onloads_modules_alone_leave_the_network_as_it_is() {
    // These two have the same driver.
    let mut lab = Lab::new(&ON_9_1.replace("9.1.2", "9.2.1"), "9.2.1");
    lab.carry(carried(&Owner::Nobody));
    lab.ask(to("9.3.0", Manner::default()));
    lab.run(60_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.3.0"));
    assert_eq!(tried(&lab, "unload module"), 3, "{:?}", lab.done);
    assert_eq!((tried(&lab, "give"), left(&lab)), (0, (false, None)));
    assert!(!lab.network.looks.contains(&"Network".to_owned()), "{:?}", lab.network.looks);
}

/// A swap whose way back fails too, so that Onload is not there, and the driver is.
fn failed_both_ways() -> Lab {
    let mut lab = lab();
    lab.faults.load = Some(("onload", ""));
    lab.ask(upgrade());
    lab.run(5_000);
    assert!(lab.brain.is_given_up(), "{:?}", lab.done);
    lab
}

#[test]
fn what_failed_both_ways_gives_the_network_back_whoever_holds_the_node() {
    let failed = failed_both_ways();
    let hold = || Command::Hold { reason: "night".to_owned(), expiry: None };
    let cases: [fn(&mut Lab, Command); 4] = [
        |_, _| {},
        |lab, hold| assert!(lab.ask(hold).0 > 0),
        |lab, _| lab.brain.ledger.stopped = true,
        |lab, _| lab.brain.ledger_health = LedgerHealth::Unwritable("full".to_owned()),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let mut lab = failed.clone();
        assert_eq!((lab.carried().clone(), left(&lab)), (carried(&Owner::Nobody), all_back()));
        case(&mut lab, hold());
        lab.run(1_000);
        // As if it had not come so far.
        let (network, boot) = (carried(&Owner::Nobody), lab.brain.boot.clone());
        let kept = crate::network::Kept { network, at: Moment(lab.at), boot, change: 1 };
        (lab.brain.ledger.network, lab.brain.ledger.differences) = (Some(kept), None);
        lab.carried().links.remove(&"vlan7".parse().unwrap());
        lab.touch();
        lab.run(5_000);
        assert_eq!(*lab.carried(), carried(&Owner::Nobody), "{number}");
        assert_eq!(left(&lab), all_back(), "{number}");
        assert_ne!(lab.loaded().as_deref(), Some("9.2.1"), "{number}");
    }
}

#[test]
fn unless_it_can_be_read_what_ports_carry_no_driver_goes() {
    for confirm_within in [None, Some(Span(Duration::from_secs(60)))] {
        let mut lab = lab();
        lab.node.network = crate::reading::Reading::Unreadable("denied".to_owned());
        lab.touch();
        lab.run(2_000);
        lab.ask(to("9.2.1", Manner { confirm_within, ..Manner::default() }));
        lab.run(30_000);
        assert_eq!((lab.loaded().as_deref(), tried(&lab, "unload")), (Some("9.1.2"), 0));
        let message = &lab.picture.jobs.values().last().unwrap().message;
        assert!(message.ends_with("what interfaces carry cannot be read: denied"), "{message}");
    }
}

#[test]
fn no_driver_goes_before_what_it_carries_is_on_the_disk() {
    let mut lab = lab();
    lab.ask(upgrade());
    let at = |fuse: usize| {
        let mut lab = lab.clone();
        lab.fuse = Some(fuse);
        lab.run(5_000);
        lab
    };
    let mut at_hand = (1..200).map(at).find(|lab| lab.brain.restoring.keeping.is_some()).unwrap();
    let ledger = at_hand.brain.ledger();
    assert!(ledger.network.is_some() && ledger.change.as_ref().is_some_and(|one| !one.touched));
    assert_eq!(tried(&at_hand, "stop"), 0, "{:?}", at_hand.done);
    // The disk is full: nothing of it was begun.
    let now = at_hand.now();
    let record = at_hand.brain.restoring.keeping.unwrap();
    let failed = Event::RecordFailed { record, why: "full".to_owned() };
    let effects = at_hand.brain.handle(now, failed);
    let begun = effects.iter().any(|effect| matches!(effect, Effect::Apply(_)));
    assert!(!begun, "{effects:?}");
    assert!(at_hand.brain.ledger().change.is_none(), "and no device is held back for it");
}

#[test]
fn what_only_works_after_a_while_is_put_back_then() {
    for wait in [500, 2_000, 6_000] {
        let mut lab = lab();
        lab.network.refuses = true;
        lab.ask(upgrade());
        lab.run(wait);
        assert!(lab.brain.ledger().change.is_some(), "{wait}");
        lab.network.refuses = false;
        lab.run(6_500);
        assert_eq!((lab.carried().clone(), left(&lab)), (carried(&Owner::Nobody), all_back()));
        assert_eq!(outcomes(&lab), [Outcome::Done], "{wait}");
    }
}

#[test]
fn a_name_that_cannot_be_had_takes_no_driver_back() {
    let mut lab = lab();
    (lab.network.misnames, lab.network.keeps_names) = (true, true);
    lab.ask(upgrade());
    lab.run(30_000);
    assert_eq!((lab.loaded().as_deref(), outcomes(&lab)), (Some("9.2.1"), vec![Outcome::Done]));
    assert!(tried(&lab, "rename") > 0, "{:?}", lab.done);
    assert_eq!(left(&lab), (false, Some(vec!["ens1 is called eth1 now".to_owned()])));
    assert_eq!(lab.carried().links[&"eth1".parse().unwrap()].mtu, 9000);
}
