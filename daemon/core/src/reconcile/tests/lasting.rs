//! What must hold over a long life: nothing piles up, nothing is forgotten.

use super::*;

/// A program of this user, as the bus shows it on one of its connections.
fn program(comm: &str, bus_name: &str) -> Caller {
    let boot = node().boot_id.into_known().unwrap();
    let process = Process { pid: 70, start_ticks: 7, boot, uid: 7, comm: comm.to_owned() };
    Caller { process: Some(process), bus_name: Some(bus_name.to_owned()), ..user(7) }
}

fn lend(bench: &mut Bench, caller: &Caller) -> AllocationId {
    lend_for(bench, caller, TenureWish::Client)
}

fn lend_for(bench: &mut Bench, caller: &Caller, tenure: TenureWish) -> AllocationId {
    let pool = "p".parse().unwrap();
    let id = bench.ask(caller.clone(), Command::Allocate { pool, count: 1, tenure });
    bench.pass(300);
    match bench.answers.get(&id) {
        Some(Ok(Reply::Allocated(lent))) => lent[0].0,
        other => panic!("not lent: {other:?}"),
    }
}

#[test]
fn a_process_that_comes_again_and_again_is_watched_once() {
    let mut bench = Bench::new(FOUR, node());
    for turn in 0..5 {
        // A process may rename itself at will.
        let caller = program(&format!("name-{turn}"), &format!(":1.{turn}"));
        let allocation = lend(&mut bench, &caller);
        bench.ask(caller, Command::Free { allocation, force: false });
    }
    assert_eq!(bench.watched.len(), 1, "each watch holds a descriptor until the process ends");

    lend(&mut bench, &program("last", ":1.9"));
    let gone = bench.watched[0].clone();
    bench.handle(Event::ProcessGone(gone));
    assert!(bench.brain.ledger().allocations.is_empty(), "whatever it was called when it asked");
    lend(&mut bench, &program("last", ":1.10"));
    assert_eq!(bench.watched.len(), 2, "what was told once is told again");
}

#[test]
fn what_is_lent_to_a_process_outlives_its_connection_and_not_the_process() {
    let cases = [(TenureWish::Client, 0), (TenureWish::Process, 1)];
    for (tenure, left) in cases {
        let mut bench = Bench::new(FOUR, node());
        lend_for(&mut bench, &program("x", ":1.7"), tenure.clone());
        bench.handle(Event::ClientGone(":1.7".to_owned()));
        assert_eq!(bench.brain.ledger().allocations.len(), left, "{tenure:?}");
        let gone = bench.watched[0].clone();
        bench.handle(Event::ProcessGone(gone));
        assert_eq!(bench.brain.ledger().allocations.len(), 0, "{tenure:?}");
    }
}

#[test]
fn what_is_lent_to_a_unit_ends_with_it_and_is_watched_over_restarts() {
    let boot = node().boot_id.into_known().unwrap();
    let unit = Unit {
        name: "trader.service".to_owned(),
        directory: "/sys/fs/cgroup/system.slice/trader.service".to_owned(),
        inode: 7,
        boot,
        uid: 7,
    };
    let mut bench = Bench::new(FOUR, node());
    let caller = program("sh", ":1.7");
    for _ in 0..2 {
        lend_for(&mut bench, &caller, TenureWish::Unit(unit.clone()));
    }
    bench.handle(Event::ClientGone(":1.7".to_owned()));
    let next = Unit { inode: 8, ..unit.clone() };
    bench.handle(Event::UnitGone(next));
    let ledger = bench.brain.ledger().clone();
    let holders = ledger.allocations.values().map(|one| (one.holder.to_string(), one.owner()));
    assert_eq!(holders.collect::<Vec<_>>(), vec![("unit trader.service".to_owned(), Some(7)); 2]);

    let now = Now { boot: Moment(1), wall: Timestamp(1) };
    let (_, effects) = Reconciler::start(now, Config::merge(&[]), Ok(ledger));
    let watched = effects.iter().filter(|effect| **effect == Effect::WatchUnit(unit.clone()));
    assert_eq!(watched.count(), 1, "by the next daemon");
    bench.handle(Event::UnitGone(unit));
    assert!(bench.brain.ledger().allocations.is_empty());
}

#[test]
fn the_journal_is_written_anew_whoever_makes_it_long() {
    let mut bench = Bench::new("[pools.p]\nslots = 4\nlocal = 4\n", node());
    assert_eq!(bench.rewrites, 1, "at the start");
    // Every grant and every return over the bus waits for the disk.
    for _ in 0..=recording::ENTRIES_BEFORE_REWRITE / 2 {
        let request = bench.allocate(root(), 1);
        let Some(Ok(Reply::Allocated(lent))) = bench.answers.remove(&request) else {
            panic!("not lent")
        };
        bench.ask(root(), Command::Free { allocation: lent[0].0, force: false });
    }
    assert_eq!(bench.rewrites, 2, "once for so many entries");
}

#[test]
fn a_job_shows_the_step_it_is_at() {
    let text = format!("{FOUR}[modules]\nrelease = \"host\"\n");
    let file = Fragment { file: "onloadd.toml".to_owned(), text };
    let bare = || Event::Looked(Box::new(spoilt(|node| without(node, "onload"))));
    let now = Now { boot: Moment(1), wall: Timestamp(1) };
    let (mut brain, _) = Reconciler::start(now, Config::merge(&[file]), Ok(Ledger::default()));
    brain.handle(now, Event::Rewritten(Ok(())));
    let command = Command::Apply { retry: false, manner: Default::default() };
    brain.handle(now, Event::Request { id: RequestId(1), caller: root(), command });
    brain.handle(now, bare());
    let record = brain.handle(now, bare()).iter().find_map(|effect| match effect {
        Effect::Record { id, durability: Durability::Synced, .. } => Some(*id),
        _ => None,
    });
    let shown =
        brain.handle(now, Event::Recorded(record.unwrap())).into_iter().find_map(|effect| {
            let Effect::Publish(picture) = effect else { return None };
            picture.jobs.values().next().map(|job| job.message.clone())
        });
    assert_eq!(shown.as_deref(), Some("load module onload from host"));
}

#[test]
fn a_change_for_an_idle_node_is_taken_up_when_the_last_device_comes_back() {
    let config = |release: &str| {
        let text =
            format!("{FOUR}[daemon]\napply = \"when-idle\"\n[modules]\nrelease = \"{release}\"\n");
        Config::merge(&[Fragment { file: "onloadd.toml".to_owned(), text }]).unwrap()
    };
    let mut bench = Bench::new("", node());
    bench.handle(Event::Configuration { request: None, config: Ok(Box::new(config("host"))) });
    let wanted = |bench: &Bench| bench.picture.wanted_release.as_ref().map(ToString::to_string);
    assert_eq!(wanted(&bench), Some("host".to_owned()), "nothing is lent");
    let lent = lend(&mut bench, &program("x", ":1.7"));
    bench.handle(Event::Configuration { request: None, config: Ok(Box::new(config("in-tree"))) });
    assert_eq!(wanted(&bench), Some("host".to_owned()), "not under a holder");
    bench.ask(root(), Command::Free { allocation: lent, force: false });
    assert_eq!(wanted(&bench), Some("in-tree".to_owned()));
}

#[test]
fn a_grant_that_settles_does_not_outlive_the_bus() {
    let mut bench = Bench::new(FOUR, node());
    let id = bench.allocate(user(5), 1);
    bench.handle(Event::BusLost);
    assert_eq!(bench.told(id), "Cancelled");
    bench.pass(300);
    assert!(bench.brain.ledger().allocations.is_empty(), "nobody would know of it");
}
