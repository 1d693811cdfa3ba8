//! What boots prove, what the next one makes of it, and a change that must turn back.

use super::*;
use crate::change::{Change, Manner, Origin, Outcome, Past, Proven};
use crate::inventory::{Autoload, Interface, Loader, Routes};
use crate::ledger::Adopted;
use crate::names::ReleaseName;
use crate::reading::Reading::{self, Known};
use crate::sample::{inner, module_of};
use crate::step::{Outcome as Ended, StepError};

const CONFIG: &str = "[modules]\nrelease = \"9.2.1\"\n";

fn release(name: &str) -> ReleaseName {
    name.parse().unwrap()
}

fn boot_id(name: &str) -> BootId {
    name.parse().unwrap()
}

fn routes(default: bool) -> Reading<Routes> {
    Known(Routes { count: u32::from(default), default })
}

/// The node in boot `now` with the kernel's own driver, as it is before anything is done: 9.2.1 and
/// 9.1.2 are on the disk, and the routes are these.
fn at_boot(now: &str, routes: Reading<Routes>) -> Snapshot {
    spoilt(|node| {
        node.boot_id = Known(boot_id(now));
        node.users = Known(BTreeMap::new());
        for gone in ["onload", "sfc_char", "sfc_resource"] {
            without(node, gone);
        }
        let sfc = module_of(node, "sfc");
        (sfc.taint, sfc.version) = (Known(String::new()), Reading::Absent);
        inner(&mut node.releases).extend(lab::releases());
        let other = Interface { routes, ..Interface::default() };
        inner(&mut node.interfaces).insert("eno1".parse().unwrap(), other);
    })
}

/// A change to 9.2.1 in a boot.
fn change(number: u64, boot: &str) -> Change {
    Change {
        number,
        from: Some(release("in-tree")),
        to: release("9.2.1"),
        origin: Origin::Boot,
        manner: Manner::default(),
        kernel: node().kernel.into_known(),
        boot: Some(boot_id(boot)),
        began: Timestamp(1),
        touched: false,
        turned: None,
        called_off: false,
        confirm_by: None,
    }
}

fn past(change: Change, outcome: Outcome) -> Entry {
    Entry::Past(Past { change, ended: Timestamp(2), outcome })
}

fn proven(boot: &str, name: &str) -> Entry {
    let (boot, kernel) = (boot_id(boot), node().kernel.into_known());
    Entry::BootProven(Proven { boot, kernel, release: Some(release(name)) })
}

fn ran_in(boot: &str) -> Entry {
    let release = Some(release("9.2.1"));
    let modules = crate::config::ModuleSettings { release, ..Default::default() };
    Entry::Adopted(Adopted { modules, boot: Some(boot_id(boot)), before: AllocationId(0) })
}

fn ledger(entries: Vec<Entry>) -> Ledger {
    let mut ledger = Ledger::default();
    entries.into_iter().for_each(|entry| ledger.take(entry));
    ledger
}

/// What this boot uses in the place of 9.2.1, if it does.
fn instead(bench: &Bench) -> Option<String> {
    let rejected = bench.brain.rejected()?;
    Some(rejected.former.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string))
}

#[test]
fn the_boot_after_one_without_a_default_route_uses_the_former_release() {
    let done = || past(change(1, "b1"), Outcome::Done);
    let with = |change: Change| past(change, Outcome::Done);
    let other_kernel = || Some("5.14.0-1.el9.x86_64".parse().unwrap());
    let no_route = || at_boot("b2", routes(false));
    let cases: [(&str, Vec<Entry>, Snapshot, Option<&str>); 13] = [
        (
            "the release of the last good boot",
            vec![ran_in("b1"), proven("b0", "9.1.2"), done()],
            no_route(),
            Some("9.1.2"),
        ),
        (
            "that is not on the disk any more: the driver the boot began with",
            vec![ran_in("b1"), proven("b0", "9.0.0"), done()],
            no_route(),
            Some("in-tree"),
        ),
        (
            "good on another kernel only",
            vec![
                ran_in("b1"),
                proven("b0", "9.2.1"),
                with(Change { kernel: other_kernel(), ..change(1, "b1") }),
            ],
            no_route(),
            Some("in-tree"),
        ),
        (
            "the route was there before the change, and not after it",
            vec![ran_in("b1"), proven("b1", "in-tree"), done()],
            no_route(),
            Some("in-tree"),
        ),
        ("it had its route", vec![ran_in("b1"), proven("b1", "9.2.1"), done()], no_route(), None),
        (
            "a node that never has one is not told by it",
            vec![ran_in("b1"), done()],
            no_route(),
            None,
        ),
        (
            "nothing is new since a good boot: the network was down",
            vec![ran_in("b1"), proven("b0", "9.2.1"), done()],
            no_route(),
            None,
        ),
        (
            "somebody ordered it and was there",
            vec![
                ran_in("b1"),
                proven("b0", "9.1.2"),
                with(Change { origin: Origin::Order(0), ..change(1, "b1") }),
            ],
            no_route(),
            None,
        ),
        (
            "another boot was in between",
            vec![ran_in("b1"), proven("b0", "9.1.2"), with(change(1, "b0-5"))],
            no_route(),
            None,
        ),
        (
            "another release is asked for now",
            vec![
                ran_in("b1"),
                proven("b0", "9.1.2"),
                with(Change { to: release("9.3.0"), ..change(1, "b1") }),
            ],
            no_route(),
            None,
        ),
        (
            "routes cannot be read: nothing is told by them",
            vec![ran_in("b1"), proven("b0", "9.1.2"), done()],
            at_boot("b2", Reading::Unreadable("x".to_owned())),
            None,
        ),
        (
            "it is the same boot: the daemon was restarted",
            vec![ran_in("b1"), proven("b0", "9.1.2"), done()],
            at_boot("b1", routes(false)),
            None,
        ),
        (
            "it came up after a change that failed",
            vec![
                ran_in("b1"),
                proven("b0", "9.1.2"),
                done(),
                past(change(2, "b1"), Outcome::RolledBack),
            ],
            no_route(),
            Some("9.1.2"),
        ),
    ];
    for (why, entries, snapshot, expected) in cases {
        let bench = Bench::after(ledger(entries), CONFIG, snapshot);
        assert_eq!(instead(&bench).as_deref(), expected, "{why}");
    }
}

#[test]
fn a_release_without_a_network_is_not_tried_again_by_any_boot_and_the_node_says_why() {
    let entries = vec![ran_in("b1"), proven("b0", "9.1.2"), past(change(1, "b1"), Outcome::Done)];
    let bench = Bench::after(ledger(entries), CONFIG, at_boot("b2", routes(false)));
    let why: Vec<_> = bench.picture.blockers.iter().map(|one| one.blocker.why()).collect();
    assert!(why[0].contains("9.1.2, not 9.2.1: the boot with it never got a default"), "{why:?}");
    assert_eq!(bench.brain.target(), Some(release("9.1.2")));

    let left = bench.brain.ledger().clone();
    let bench = Bench::after(left, CONFIG, at_boot("b3", routes(false)));
    assert_eq!(instead(&bench).as_deref(), Some("9.1.2"), "or every second boot were dark");
    assert_eq!(bench.brain.target(), Some(release("9.1.2")));
}

#[test]
fn a_change_that_takes_the_node_down_with_it_is_not_made_a_third_time() {
    let down = || Outcome::Failed(crate::reconcile::boots::WENT_DOWN.to_owned());
    let cases = [
        ("once may be a power loss", vec![(1, down())], None),
        ("twice in a row is no chance", vec![(1, down()), (2, down())], Some("in-tree")),
        ("one in between came up", vec![(1, down()), (2, Outcome::Done), (3, down())], None),
    ];
    for (why, entries, expected) in cases {
        let mut all = vec![ran_in("b1")];
        all.extend(entries.into_iter().map(|(number, end)| past(change(number, "b1"), end)));
        let bench = Bench::after(ledger(all), CONFIG, at_boot("b2", routes(false)));
        assert_eq!(instead(&bench).as_deref(), expected, "{why}");
    }
}

#[test]
fn two_boots_that_went_down_under_way_keep_the_third_from_it() {
    let mut left = Ledger::default();
    for boot in ["b1", "b2"] {
        let bench = Bench::after(left, CONFIG, at_boot(boot, routes(false)));
        assert_eq!(instead(&bench), None, "boot {boot} tries it");
        let mut bench = bench;
        // The look that the change asks for before it begins, and then the end of the node.
        bench.handle(Event::Looked(Box::new(at_boot(boot, routes(false)))));
        left = bench.brain.ledger().clone();
        assert!(left.change.is_some(), "boot {boot} is in the middle of it");
    }
    let bench = Bench::after(left, CONFIG, at_boot("b3", routes(false)));
    assert_eq!(instead(&bench).as_deref(), Some("in-tree"));
    assert!(bench.applied.is_empty(), "{:?}", bench.applied);
}

#[test]
fn a_boot_is_proven_by_a_default_route_once_it_has_what_is_wanted() {
    let proof = |bench: &Bench| {
        let proven = bench.brain.ledger().proven.clone()?;
        Some(format!("{} {}", proven.boot, proven.release.unwrap()))
    };
    let mut bench = Bench::after(Ledger::default(), CONFIG, at_boot("b1", routes(true)));
    assert_eq!(proof(&bench), None, "a route of before the change says nothing");
    let wanted = |default: bool| {
        spoilt(|node| {
            let old = at_boot("b1", routes(default));
            (node.boot_id, node.interfaces) = (old.boot_id, old.interfaces);
            node.users = Known(BTreeMap::new());
            for name in crate::inventory::STACK {
                module_of(node, name).version = Known("9.2.1".to_owned());
            }
        })
    };
    let config = "[modules]\nrelease = \"host\"\n";
    for (why, default, expected) in [
        ("no network yet", false, None),
        ("there it is", true, Some("b1 host")),
        ("what was proven stays so when the cable goes", false, Some("b1 host")),
    ] {
        if why == "no network yet" {
            bench = Bench::after(Ledger::default(), config, wanted(false));
        } else {
            bench.handle(Event::Looked(Box::new(wanted(default))));
        }
        assert_eq!(proof(&bench).as_deref(), expected, "{why}");
    }
    let text = bench.brain.ledger().to_text();
    let replay = Ledger::parse(text.as_bytes()).unwrap();
    assert_eq!(replay.ledger.proven, bench.brain.ledger().proven, "and is in the file");
}

/// The machine in the middle of a change: nobody uses it, and the kernel's own driver is kept from
/// coming back by itself.
fn mid_change() -> Event {
    let mut node = at_boot("b1", routes(false));
    node.loader = Known(Loader { autoload: Autoload::Blocked, server: None });
    Event::Looked(Box::new(node))
}

/// A change at boot, about to take the driver away.
fn at_work() -> Bench {
    let config = format!("{CONFIG}[naming]\npolicy = \"off\"\n");
    let mut bench = Bench::after(Ledger::default(), &config, at_boot("b1", routes(false)));
    bench.handle(mid_change());
    bench.handle(mid_change());
    let sfc = Step::UnloadModule { module: "sfc".parse().unwrap() };
    assert_eq!(bench.applied, [sfc], "{:?}", bench.brain.plan);
    bench
}

#[test]
fn a_change_that_must_turn_back_lets_the_step_under_way_end_first() {
    let mut bench = at_work();
    bench.handle(Event::TurnBack { why: "it is late".to_owned() });
    let turned = |bench: &Bench| bench.brain.ledger().change.as_ref()?.turned.clone();
    assert_eq!(turned(&bench).as_deref(), Some("it is late"));
    bench.handle(mid_change());
    bench.pass(1000);
    assert_eq!(bench.applied.len(), 1, "one step at a time");

    // Its failure is none of the way back, which goes on to the former release.
    bench.handle(Event::StepEnded(Err(StepError::Stuck { limit_secs: 1 })));
    bench.handle(mid_change());
    bench.pass(1000);
    assert_eq!(bench.applied[1..], [Step::WriteLoader(Loader::default())], "the way back");
    bench.handle(Event::StepEnded(Ok(Ended::Changed)));
    for _ in 0..2 {
        let there = at_boot("b1", routes(false));
        bench.handle(Event::Looked(Box::new(there)));
        bench.pass(1000);
    }
    let ledger = bench.brain.ledger();
    assert_eq!(ledger.change, None, "{:?}", bench.brain.plan);
    assert_eq!(ledger.past.last().map(|past| past.outcome.clone()), Some(Outcome::RolledBack));
    assert_eq!(instead(&bench).as_deref(), Some("in-tree"));
}

#[test]
fn nothing_turns_back_that_is_not_under_way() {
    let mut idle = Bench::new("", node());
    idle.handle(Event::TurnBack { why: "x".to_owned() });
    assert!(idle.brain.ledger().past.is_empty());

    let mut bench = at_work();
    bench.handle(Event::TurnBack { why: "first".to_owned() });
    bench.handle(Event::TurnBack { why: "second".to_owned() });
    let change = bench.brain.ledger().change.clone();
    assert_eq!(change.and_then(|one| one.turned).as_deref(), Some("first"), "it goes on");
    bench.handle(Event::StepEnded(Ok(Ended::Changed)));
}

#[test]
fn what_a_kubelet_had_before_the_boot_does_not_hold_up_a_change_that_was_cut_off() {
    let mut ledger = at_work().brain.ledger().clone();
    let granted = {
        let mut bench = Bench::new(FOUR, node());
        bench.kubelet(&["p-0"]);
        let granted = bench.brain.ledger().allocations.values().next().unwrap().as_ref().clone();
        crate::allocation::Allocation { since: Timestamp(1), ..granted }
    };
    ledger.take(Entry::Granted(granted));
    // It had loaded something in this boot already.
    let (module, boot) = ("sfc".parse().unwrap(), Some(boot_id("b1")));
    ledger.take(Entry::Loaded { module, release: release("9.2.1"), boot });
    let mut bench = Bench::after(ledger, CONFIG, at_boot("b1", routes(false)));
    for _ in 0..3 {
        bench.handle(mid_change());
        bench.pass(1000);
    }
    assert!(bench.brain.ledger().past.is_empty(), "{:?}", bench.brain.ledger().past);
    assert_eq!(bench.applied.len(), 1, "it goes on: {:?}", bench.brain.plan);
}
