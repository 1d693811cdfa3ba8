//! Level 1: random schedules of everything that can happen to a node, against what the daemon
//! promises. The promises are in `onload_tests::machine::promises`; here is what happens.
//!
//! A failure names its seed. `ONLOADD_SEED=n` runs that one alone, `ONLOADD_SEEDS=n` runs so many;
//! a seed that found something is added to [`COMMITTED`].

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use onload_core::condition::{ConditionKind, Status};
use onload_core::picture::{NodeState, Picture};
use onload_core::release::IN_TREE;
use onload_tests::machine::kubelet::Word;
use onload_tests::machine::{Machine, Pace};
use onloadd::host::sim::World;

mod clocks;
mod ends;
mod happening;
mod kubelet;
mod network;

use happening::{Schedule, files};

/// Seeds that once broke a promise: lent on a held node, a slot beyond a shrunk pool, a NUMA node
/// that was none, a step begun on a held node, lent from no pool, idle with a bus unread, a running
/// pod's device freed (twice), rolled back where every port had gone. They stand for these only as
/// long as the lots are drawn in the same order.
const COMMITTED: &[u64] = &[40, 106, 154, 163, 212, 234, 688, 815, 1098];
/// Schedules of a plain run: the whole level stays well under half a minute on two cores.
const SCHEDULES: u64 = 150;
/// Happenings in one schedule.
const LENGTH: u32 = 120;

fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("ONLOADD_SEED") {
        return vec![seed];
    }
    COMMITTED.iter().copied().chain(0..number("ONLOADD_SEEDS").unwrap_or(SCHEDULES)).collect()
}

/// Runs `check` with each seed; the first that fails is named with the end of its journal.
fn for_each_seed(seeds: &[u64], check: impl Fn(u64)) {
    for seed in seeds {
        let result = catch_unwind(AssertUnwindSafe(|| check(*seed)));
        assert!(result.is_ok(), "seed {seed} broke a promise: ONLOADD_SEED={seed} runs it alone");
    }
}

/// Prints the end of the journal if the test stops in the middle of the schedule.
struct Account(Schedule);

impl Drop for Account {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines: Vec<_> =
                self.0.machine.journal.lines().filter(|line| !line.contains(" Look(")).collect();
            let end = lines.len().saturating_sub(60);
            for line in &lines[end..] {
                println!("{}", line.chars().take(400).collect::<String>());
            }
        }
    }
}

/// What of a picture must not depend on what happened to its daemon.
fn essence(picture: &Picture) -> String {
    essence_but(picture, &[])
}

/// What of a picture must not depend on how it came about, but for conditions that tell of the past.
fn essence_but(picture: &Picture, past: &[ConditionKind]) -> String {
    let conditions: Vec<_> = picture
        .conditions
        .iter()
        .filter(|one| !past.contains(&one.kind))
        .map(|one| (one.kind, one.status, &one.reason, &one.message))
        .collect();
    let pools: Vec<_> = picture
        .pools
        .iter()
        .map(|(name, pool)| {
            let devices: Vec<_> = pool
                .devices
                .iter()
                .map(|one| (&one.id, one.numa_node, &one.cause, one.local_only))
                .collect();
            (name, &pool.answer, devices)
        })
        .collect();
    format!(
        "{:#?}",
        (
            picture.state,
            &picture.summary,
            &picture.wanted_release,
            &picture.blockers,
            &picture.plan,
            &picture.hold,
            &picture.modules,
            conditions,
            pools
        )
    )
}

/// Shows only the lines in which two essences differ.
fn same(left: &str, right: &str, why: &str) {
    let only = |one: &str, other: &str, mark: char| -> String {
        let other: BTreeSet<_> = other.lines().collect();
        let lines = one.lines().filter(|line| !other.contains(line));
        lines.map(|line| format!("{mark} {line}\n")).collect()
    };
    assert!(left == right, "{why}:\n{}{}", only(left, right, '-'), only(right, left, '+'));
}

/// Long enough for every retry, lease-free timer and tick to have had its turn.
const A_WHILE_MS: u64 = 10 * 60 * 1000;

fn rest(machine: &mut Machine) {
    machine.pass(A_WHILE_MS);
    machine.promises.settled(&machine.picture);
    machine.promises.changes.settled(&machine.ledger(), &machine.picture);
    machine.promises.network.settled(&machine.picture, &machine.world);
    machine.read_back();
    assert_ne!(machine.picture.state, NodeState::Converging, "{}", machine.picture.summary);
    assert_eq!(machine.unanswered(), 0, "somebody never got an answer");
    if machine.kubelet.word() == Word::True && machine.kubelet.answered {
        machine.promises.pods.reconciled(&machine.ledger(), &machine.kubelet);
    }
}

/// At rest nothing is done but looking.
fn at_rest(machine: &mut Machine) {
    let before = machine.journal.len();
    machine.pass(A_WHILE_MS);
    for line in machine.journal[before..].lines() {
        let looks = line.contains(" Look(") || line.ends_with(" AskKubelet");
        assert!(looks, "not at rest: {line}");
    }
}

#[test]
fn no_schedule_breaks_a_promise_and_every_one_comes_to_rest_where_it_should() {
    let mut total = (0, 0, 0, 0, 0);
    let seeds = seeds();
    let total_of = std::cell::RefCell::new(&mut total);
    for_each_seed(&seeds, |seed| {
        let mut account = Account(Schedule::new(seed));
        for _ in 0..LENGTH {
            account.0.happen();
        }
        account.0.mend();
        let machine = &mut account.0.machine;
        rest(machine);
        at_rest(machine);
        let reached = essence(&machine.picture);

        // A restart ends in the same place, whenever it comes.
        machine.kill();
        machine.start();
        account.0.register_all();
        let machine = &mut account.0.machine;
        rest(machine);
        at_rest(machine);
        same(&reached, &essence(&machine.picture), "a restart ends elsewhere");

        // So does a daemon that was never disturbed; but where a release that was ordered does not
        // work, it goes back to what it had before, or has the configuration's.
        let picture = &account.0.machine.picture;
        let ledger = account.0.machine.ledger();
        let broken = picture
            .conditions
            .iter()
            .any(|one| one.kind == ConditionKind::ReleaseVerified && one.status == Status::False);
        let went_back = ledger.order.is_some() && (broken || ledger.rejected.is_some());
        // What somebody loads on top of the kernel's own driver is left alone, and goes where that
        // driver is only just brought in.
        let in_tree = picture.wanted_release.as_ref().is_some_and(|one| one.as_str() == IN_TREE);
        let on_top = in_tree
            && picture
                .modules
                .iter()
                .any(|(name, one)| name.as_str() == "onload" && one.module.known().is_some());
        if !on_top && !went_back {
            let mut calm = account.0.undisturbed();
            rest(&mut calm);
            // Ports are pinned as they are when a driver is replaced, and only then is a network put back.
            let past = [ConditionKind::NamesPinned, ConditionKind::NetworkRestored];
            let (reached, calm) = (essence_but(picture, &past), essence_but(&calm.picture, &past));
            same(&reached, &calm, "an undisturbed daemon ends elsewhere");
        }
        let mut total = total_of.borrow_mut();
        let promises = &account.0.machine.promises;
        total.0 += promises.steps;
        total.1 += promises.grants;
        total.2 += promises.containers;
        total.3 += promises.changes.ended;
        total.4 += promises.pods.spared;
    });
    let (steps, grants, containers, changes, spared) = total;
    println!(
        "{} schedules: {steps} steps, {grants} local grants, {containers} containers, {spared} times spared, {changes} changes",
        seeds.len()
    );
    if std::env::var_os("ONLOADD_SEED").is_some() {
        return;
    }
    let least = u32::try_from(seeds.len()).unwrap();
    assert!(steps >= least / 2 && grants >= least && containers >= least, "too little happened");
    assert!(changes >= least / 3, "too little changed");
    assert!(spared >= least / 4, "too little was left out of answers");
}

#[test]
fn the_same_seed_orders_the_same() {
    for_each_seed(&[1, 2, 3], |seed| {
        let run = || {
            let mut schedule = Schedule::new(seed);
            for _ in 0..LENGTH {
                schedule.happen();
            }
            schedule.mend();
            schedule.machine.journal
        };
        assert!(run() == run(), "two runs of one schedule differ");
    });
}

#[test]
fn a_kill_between_any_two_effects_ends_where_an_uninterrupted_run_ends() {
    for world in World::shipped_names() {
        // Which of its releases shall be there is left to the orders of the day.
        let file = if world == "releases" { 3 } else { 0 };
        let run = |fuse: Option<u32>| {
            let world = World::parse(World::shipped(world).unwrap()).unwrap();
            let mut account = Account(Schedule::plain(world, files(file)));
            let schedule = &mut account.0;
            let killed = schedule.day(fuse);
            rest(&mut schedule.machine);
            (killed, essence(&schedule.machine.picture))
        };
        let (_, expected) = run(None);
        let mut fuse = 0;
        loop {
            let (killed, reached) = run(Some(fuse));
            same(&expected, &reached, &format!("{world}: killed after {fuse} effects"));
            if !killed {
                break;
            }
            fuse += 1;
        }
        assert!(fuse > 20, "{world}: a day of only {fuse} effects");
    }
}

#[test]
fn every_shipped_world_comes_to_rest_as_it_says_of_itself() {
    let cases = [
        ("two-x2522", NodeState::Ready),
        ("x4", NodeState::Ready),
        ("in-tree", NodeState::Ready),
        ("unenrolled-key", NodeState::Blocked),
        ("no-run-time-services", NodeState::Blocked),
        ("releases", NodeState::Blocked),
        ("virtio", NodeState::Idle),
        ("clocks", NodeState::Ready),
        ("no-card", NodeState::Idle),
    ];
    for (name, expected) in cases {
        let world = World::parse(World::shipped(name).unwrap()).unwrap();
        let mut schedule = Schedule::plain(world, files(0));
        rest(&mut schedule.machine);
        assert_eq!(schedule.machine.picture.state, expected, "{name}");
    }
}

#[test]
fn a_step_that_never_works_is_tried_six_times_and_ever_later() {
    for_each_seed(&(0..20).collect::<Vec<_>>(), |seed| {
        let world = World::parse(World::shipped("two-x2522").unwrap()).unwrap();
        let mut machine = Machine::new(world, files(0), Pace::RAGGED, seed);
        machine.pass(5_000);
        let before = machine.promises.steps;
        for line in ["fault load onload error", "driver gone onload"] {
            machine.act(&line.parse().unwrap()).unwrap();
        }
        rest(&mut machine);
        at_rest(&mut machine);
        assert_eq!(machine.promises.steps - before, 6);
        assert_eq!(machine.picture.state, NodeState::Blocked);
    });
}
