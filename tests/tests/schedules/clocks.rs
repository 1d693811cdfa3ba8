//! Schedules of a node whose time is looked after: programs that steer clocks come, go, hang and fight, and
//! drivers are replaced below them.

use fastrand::Rng;
use onload_core::change::{Holders, Manner};
use onload_core::clock::picture::Keeper;
use onload_core::command::{Caller, Command, Reply};
use onload_core::condition::Status;
use onload_core::config::Fragment;
use onload_core::inventory::ModuleState;
use onload_core::job::{JobKind, JobState};
use onload_tests::machine::clocks::{facts, steerers};
use onload_tests::machine::{Machine, Pace};
use onloadd::host::sim::World;

use super::happening::Schedule;
use super::{Account, at_rest, for_each_seed, rest};

/// Configurations that come and go. The first is the one that stays: its sfptpd finds
/// a port whatever that is called.
const FILES: [&str; 6] = [
    "[modules]\nrelease = \"host\"\n[pools.onload]\nslots = 4\n[ptp]\nmode = \"manage\"\nconfiguration = \"/etc/onloadd/sfptpd.cfg\"\n",
    "[modules]\nrelease = \"host\"\n[pools.onload]\nslots = 4\n[ptp]\nmode = \"manage\"\n",
    "[modules]\nrelease = \"host\"\n[pools.timed]\nslots = 4\nrequire-clock = true\n[ptp]\nmode = \"manage\"\nhang-after = \"30s\"\n",
    "[modules]\nrelease = \"host\"\n[pools.onload]\nslots = 4\n[ptp]\nmode = \"observe\"\n",
    "[modules]\nrelease = \"host\"\n[pools.onload]\nslots = 4\n[ptp]\nmode = \"off\"\n",
    "[modules]\nrelease = \"host\"\n[ptp]\nmode = \"manage\"\nunit = \"nobody.service\"\n",
];
/// Schedules of a plain run.
const SCHEDULES: u64 = 16;
/// Happenings in one.
const LENGTH: u32 = 80;
/// Programs that fight with sfptpd.
const RIVALS: [&str; 6] = [
    "chronyd.service",
    "systemd-timesyncd.service",
    "ntpd.service",
    "ptp4l.service",
    "phc2sys.service",
    "9c1f7f3d0a52",
];
/// Those that a hand-over can take the system clock from.
const TAKEN: [&str; 4] =
    ["chronyd.service", "systemd-timesyncd.service", "ntpd.service", "phc2sys.service"];
/// Long enough for sfptpd to come up, to lock and to stay so.
const INTO_SYNC_MS: u64 = 200_000;

fn files(number: usize) -> Vec<Fragment> {
    vec![Fragment { file: "/etc/onloadd/onloadd.toml".to_owned(), text: FILES[number].to_owned() }]
}

fn world() -> World {
    World::parse(World::shipped("clocks").unwrap()).unwrap()
}

fn root() -> Caller {
    Caller { uid: 0, process: None, bus_name: None, privileged: true }
}

/// What happens to the clocks, by lot.
fn line(random: &mut Rng) -> String {
    let program = match random.u32(0..3) {
        0 => *random.choice(&RIVALS).unwrap(),
        _ => "sfptpd.service",
    };
    match random.u32(0..32) {
        0..=3 => format!("clockd {} run", random.choice(&RIVALS).unwrap()),
        4..=7 => format!("clockd {} stop", random.choice(&RIVALS).unwrap()),
        8 | 9 => format!("clockd {program} hang"),
        10 => format!("clockd {program} mend"),
        11 => format!("clockd {program} lost"),
        12 | 13 => format!("clockd {program} found"),
        14 | 15 => format!("clockd {program} crash {}", random.u32(0..3)),
        16 => format!("clockd {program} fails 16"),
        17..=19 => format!("clockd {program} fails none"),
        20 => "clockd sfptpd.service stop".to_owned(),
        21 => "clockd sfptpd.service run".to_owned(),
        22 => "alarm no-sync-pkts".to_owned(),
        23 => "alarm none".to_owned(),
        24 => format!("clock-offset system {}", random.i64(-100_000..100_000)),
        25 => "clock-offset system 0".to_owned(),
        26 => format!("time-step {}", random.i64(-20_000..20_000)),
        27 => format!("leap {}", random.choice(&["insert", "delete", "none"]).unwrap()),
        28 => format!("template {}", random.choice(&["broken", "gone", "mended"]).unwrap()),
        29 => "fault unreadable clocks".to_owned(),
        30 => "fault unit sfptpd.service stays".to_owned(),
        _ => "clear faults".to_owned(),
    }
}

/// What happens to the drivers, by lot.
fn line_of_drivers(random: &mut Rng) -> &'static str {
    let lines = [
        "driver gone sfc",
        "coldplug",
        "load onload",
        "unload onload",
        "link 0000:3b:00.0 down",
        "link 0000:3b:00.0 up",
        "fault unload sfc refused times 3",
        "fault load onload error times 2",
        "rename ens1f0 fast0",
        "rename fast0 ens1f0",
        "clear faults",
    ];
    lines[random.usize(0..lines.len())]
}

fn order(random: &mut Rng) -> Command {
    let holders = if random.bool() { Holders::Stop } else { Holders::Refuse };
    let manner = Manner { holders, confirm_within: None };
    match random.u32(0..12) {
        0 | 1 => Command::Use { release: "9.3.0".parse().unwrap(), manner },
        2 => Command::Use { release: "host".parse().unwrap(), manner },
        3 => Command::Rollback { back: 1, manner },
        4 => Command::Hold { reason: "work".to_owned(), expiry: None },
        5 | 6 => Command::Unhold,
        7 => Command::Apply { retry: true, manner },
        8 | 9 => Command::HandOver { to: Keeper::Sfptpd },
        10 => Command::HandOver { to: Keeper::Former },
        _ => Command::Reload,
    }
}

fn happen(schedule: &mut Schedule) {
    let Schedule { machine, random, .. } = schedule;
    if !machine.is_up() {
        machine.start();
    }
    let hour = 3_600_000;
    match random.u32(0..100) {
        0..=49 => drop(machine.act(&line(random).parse().unwrap())),
        50..=59 => drop(machine.act(&line_of_drivers(random).parse().unwrap())),
        60..=76 => {
            let order = order(random);
            machine.ask(root(), order);
        }
        77..=80 => {
            machine.config = files(random.usize(0..FILES.len()));
            machine.ask(root(), Command::Reload);
        }
        81..=84 => machine.jump(hour, 3_600_000),
        85..=88 => machine.jump(0, if random.bool() { 7_200_000 } else { -7_200_000 }),
        89..=93 => {
            let effects = random.u32(0..12);
            machine.kill_after(effects);
        }
        94 if machine.is_up() => machine.kill(),
        95 => machine.reboot(random.bool(), 30_000),
        96 | 97 => {
            // Nobody does anything about it for long enough.
            let _ = machine.act(&"clockd sfptpd.service hang".parse().unwrap());
            machine.pass(200_000);
        }
        _ => drop(machine.act(&"clear faults".parse().unwrap())),
    }
    let pause = match random.u32(0..10) {
        0..=2 => 0,
        3..=5 => random.u64(0..2_000),
        6..=8 => random.u64(0..30_000),
        _ => random.u64(0..300_000),
    };
    machine.pass(pause);
}

/// Everything is put right, and nobody fights.
fn mend(machine: &mut Machine) {
    machine.spare();
    machine.config = files(0);
    let act = |machine: &mut Machine, line: &str| machine.act(&line.parse().unwrap()).is_ok();
    assert!(act(machine, "clear faults"));
    let modules = machine.world.snapshot().modules.into_known().unwrap();
    assert!(modules.values().all(|module| module.state == ModuleState::Live));
    for name in RIVALS.into_iter().chain(["sfptpd.service"]) {
        for turn in ["fails none", "found", "mend"] {
            act(machine, &format!("clockd {name} {turn}"));
        }
    }
    for name in RIVALS {
        act(machine, &format!("clockd {name} stop"));
    }
    for line in ["alarm none", "clock-offset system 0", "template mended", "leap none", "coldplug"]
    {
        assert!(act(machine, line));
    }
    act(machine, "rename fast0 ens1f0");
    if !machine.is_up() {
        machine.start();
    }
    machine.pass(400_000);
    for order in [Command::Reload, Command::Unhold] {
        machine.ask(root(), order).unwrap();
        machine.pass(400_000);
    }
    let back = |machine: &Machine| {
        let handover = machine.ledger().clock.handover;
        handover.is_some_and(|handover| handover.to == Keeper::Former)
    };
    if back(machine) {
        // Who had it starts again and is stopped for sfptpd.
        machine.ask(root(), Command::HandOver { to: Keeper::Sfptpd }).unwrap();
        machine.pass(60_000);
        assert!(!back(machine));
    }
    let retry = Command::Apply { retry: true, manner: Manner::default() };
    machine.ask(root(), retry).unwrap();
    machine.pass(INTO_SYNC_MS);
}

fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("ONLOADD_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("ONLOADD_SEEDS").unwrap_or(SCHEDULES)).collect(),
    }
}

#[test]
fn no_schedule_of_clocks_breaks_a_promise_and_time_is_kept_in_the_end() {
    let total = std::cell::Cell::new((0, 0));
    let seeds = seeds();
    for_each_seed(&seeds, |seed| {
        let mut random = Rng::with_seed(seed);
        let file = if random.bool() { 0 } else { random.usize(0..FILES.len()) };
        let machine = Machine::new(world(), files(file), Pace::RAGGED, seed ^ 0xc10c);
        let mut account = Account(Schedule { machine, random, programs: Vec::new(), born: 0 });
        for _ in 0..LENGTH {
            happen(&mut account.0);
        }
        let machine = &mut account.0.machine;
        mend(machine);
        let kept = |machine: &mut Machine| {
            rest(machine);
            at_rest(machine);
            machine.promises.clocks.settled(&machine.picture, &machine.ledger(), &machine.world);
            let clocks = &machine.picture.clocks;
            assert_eq!(clocks.supervision.status, Status::True, "{:?}", clocks.supervision);
            let system = &clocks.clocks["system"];
            assert_eq!(system.synchronised, Status::True, "{system:?}");
            assert_eq!(steerers(&facts(&machine.world)), ["sfptpd"]);
        };
        kept(machine);
        machine.kill();
        machine.start();
        kept(machine);
        let (starts, restarts) = total.get();
        let promises = &machine.promises.clocks;
        total.set((starts + promises.starts, restarts + promises.restarts));
    });
    let (starts, restarts) = total.get();
    println!("{} schedules of clocks: {starts} starts, {restarts} started anew", seeds.len());
    if std::env::var_os("ONLOADD_SEED").is_none() {
        let least = u32::try_from(seeds.len()).unwrap();
        assert!(starts >= least && restarts >= least / 4, "too little happened");
    }
}

/// Whether an order about the clock is answered and done, however often the daemon is killed meanwhile.
fn handed(machine: &mut Machine, to: Keeper) -> Option<JobState> {
    let id = machine.ask(root(), Command::HandOver { to })?;
    machine.pass(90_000);
    let answer = machine.answers.remove(&id)?;
    let Ok(Reply::Job(job)) = answer else { panic!("refused: {answer:?}") };
    let jobs = &machine.picture.jobs;
    let job = jobs.get(&job)?;
    assert_eq!(job.kind, JobKind::HandOver);
    Some(job.state)
}

#[test]
fn a_hand_over_ends_with_one_that_steers_and_can_be_taken_back() {
    for_each_seed(&(0..12).collect::<Vec<_>>(), |seed| {
        let mut random = Rng::with_seed(seed);
        let machine = Machine::new(world(), files(usize::from(random.bool())), Pace::RAGGED, seed);
        let mut account = Account(Schedule {
            machine,
            random: Rng::with_seed(seed),
            programs: Vec::new(),
            born: 0,
        });
        let machine = &mut account.0.machine;
        machine.pass(20_000);
        let mut rivals = TAKEN.to_vec();
        random.shuffle(&mut rivals);
        rivals.truncate(random.usize(1..=2));
        for rival in &rivals {
            machine.act(&format!("clockd {rival} run").parse().unwrap()).unwrap();
        }
        machine.pass(60_000);
        let before = steerers(&facts(&machine.world));
        let fuse = random.bool().then(|| random.u32(0..40));
        if let Some(fuse) = fuse {
            machine.kill_after(fuse);
        }
        let state = handed(machine, Keeper::Sfptpd);
        if !machine.is_up() {
            machine.start();
            machine.pass(60_000);
        }
        machine.spare();
        let taken = machine.ledger().clock.handover;
        if fuse.is_some() && taken.is_none() {
            return;
        }
        // One that systemd is about to start again by itself may count as failed before that.
        let ended = matches!(state, Some(JobState::Done | JobState::Failed));
        assert!(fuse.is_some() || ended, "{state:?}");
        machine.pass(INTO_SYNC_MS);
        assert_eq!(steerers(&facts(&machine.world)), ["sfptpd"], "{rivals:?}");
        let system = machine.picture.clocks.clocks["system"].clone();
        assert_eq!(system.synchronised, Status::True, "{system:?}");
        rest(machine);
        at_rest(machine);

        // And back: those run again that were stopped, and nobody else.
        assert_eq!(handed(machine, Keeper::Former), Some(JobState::Done));
        machine.pass(60_000);
        let after = steerers(&facts(&machine.world));
        assert!(!after.contains(&"sfptpd".to_owned()), "{after:?}");
        let former: Vec<_> = before.into_iter().filter(|one| one != "sfptpd").collect();
        assert_eq!(after.len(), former.len(), "{former:?} had it, {after:?} have");
        rest(machine);
        nothing_is_done(machine);
    });
}

/// Nothing is done; what is said of a clock that is lost may count its seconds.
fn nothing_is_done(machine: &mut Machine) {
    let before = machine.journal.len();
    machine.pass(600_000);
    for line in machine.journal[before..].lines() {
        assert!(!line.contains(" apply "), "not at rest: {line}");
    }
}
