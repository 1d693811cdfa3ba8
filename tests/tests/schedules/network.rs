//! Drivers replaced under names and a network that others set up, use and meddle with.

use fastrand::Rng;
use onload_core::change::Manner;
use onload_core::command::{Caller, Command};
use onload_core::config::Fragment;
use onload_core::ledger::Ledger;
use onload_core::network::Network;
use onload_core::refusal::RefusalKind;
use onload_tests::machine::network::network;
use onload_tests::machine::{Machine, Pace};
use onloadd::host::sim::World;

use super::happening::Schedule;
use super::{Account, at_rest, for_each_seed, rest};

/// Seeds of a plain run, a second each. 6, 9, 13, 14, 28 and 29 once broke a promise: a bond's member lost
/// its own MTU (6), a port whose driver could not be read lost all it carried (28); the others promised
/// what no daemon can keep.
const SEEDS: std::ops::Range<u64> = 0..40;
/// Beyond them: an owner sets a port up that somebody had set down.
const COMMITTED: [u64; 1] = [144];
/// Happenings in one schedule.
const LENGTH: u32 = 60;
/// Longer than a change takes with the patience it has for owners.
const CHANGE_MS: u64 = 60_000;

/// Ways in which names may be configured.
const FILES: [&str; 5] = [
    "[pools.onload]\nslots = 3\n",
    "[pools.onload]\nslots = 3\n[naming]\npolicy = \"keep\"\n",
    "[pools.onload]\nslots = 3\n[naming]\npolicy = \"off\"\n",
    "[pools.onload]\nslots = 3\n[naming]\npolicy = \"explicit\"\n[[naming.ports]]\npci = \"0000:3b:00.0\"\nname = \"fast0\"\n[[naming.ports]]\nmac = \"00:0f:53:a6:00:01\"\nname = \"fast1\"\n",
    "[pools.onload]\nslots = 3\n[naming]\npolicy = \"explicit\"\n[[naming.ports]]\npci = \"0000:3b:00.0\"\nname = \"fast1\"\n[[naming.ports]]\nmac = \"00:0f:53:a6:00:01\"\nname = \"fast0\"\n",
];

fn files(number: usize) -> Vec<Fragment> {
    vec![Fragment { file: "/etc/onloadd/onloadd.toml".to_owned(), text: FILES[number].to_owned() }]
}

/// A node to change drivers on, whose ports carry a little of everything: NetworkManager's address, a
/// bond with a VLAN, an address and a VLAN by hand.
fn world() -> World {
    let mut text = World::shipped("releases").unwrap().to_owned();
    let more = [
        ("ens1f0", "owner = \"network-manager\"\naddresses = [\"192.0.2.1/24\"]"),
        ("ens1f1", "uppers = [\"bond0\"]"),
        ("ens4f0", "uppers = [\"bond0\"]"),
        ("ens4f1", "uppers = [\"ens4f1.100\"]\naddresses = [\"192.0.2.65/26\"]"),
    ];
    for (port, keys) in more {
        let line = format!("netdev = \"{port}\"");
        assert!(text.contains(&line), "{port}");
        text = text.replace(&line, &format!("{line}\n{keys}"));
    }
    let mut world = World::parse(&text).unwrap();
    let lines = [
        "upper bond0 bond0.7",
        "address bond0.7 203.0.113.1/24",
        "address ens4f1.100 203.0.113.129/25",
        "route ens4f1np1 198.51.100.0/24",
        "mtu ens4f1np1 9000",
        "set ens1f1np1 ring.rx 4096",
    ];
    for line in lines {
        world.act(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    world
}

impl Schedule {
    fn of_network(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let file = random.usize(0..FILES.len());
        let machine = Machine::new(world(), files(file), Pace::RAGGED, seed ^ 0x5eed);
        Self { machine, random, programs: Vec::new(), born: 0 }
    }

    fn meddle(&mut self) {
        let network = network(&self.machine.world);
        let random = &mut self.random;
        let name = random.choice(network.links.keys()).unwrap().clone();
        let ports: Vec<_> = network.links.values().filter_map(|link| link.port).collect();
        // With every port unplugged there is only the other card, which stays.
        let Some(port) = random.choice(&ports).copied() else { return };
        let number = random.u32(0..4);
        let line = match random.u32(0..20) {
            0 | 1 => format!("rename {name} fast{number}"),
            2 => format!("rename {name} ens1f{number}"),
            3 | 4 => format!("address {name} 192.0.2.{}/28", 200 + number),
            5 => format!("route {name} 198.51.100.{}/28", 16 * number),
            6 => format!("upper {name} {name}.{}", number + 1),
            7 => format!("upper {name} {}", random.choice(&["bond0", "bond1", "none"]).unwrap()),
            8 => format!("mtu {name} {}", random.choice(&["1500", "9000"]).unwrap()),
            9 => format!("set {name} ring.tx {}", 512 << number),
            10 | 11 => format!("unplug {port}"),
            12 | 13 => {
                let gone = ["0000:3b:00.0", "0000:3b:00.1", "0000:af:00.0", "0000:af:00.1"];
                format!("plug {}", random.choice(&gone).unwrap())
            }
            14 => format!("fault restore {}", random.choice(&["address", "mtu", "make"]).unwrap()),
            15 => (*random
                .choice(&["fault rename-busy", "fault owner-asks", "fault owner-gone"])
                .unwrap())
            .to_owned(),
            16 => format!("address {name} none"),
            _ => "clear faults".to_owned(),
        };
        // Refused is as good as done: the kernel says no, too. A name may be too long.
        if let Ok(action) = line.parse() {
            let _ = self.machine.act(&action);
        }
    }

    fn swap(&mut self) {
        let names = ["9.1.2", "9.2.1", "in-tree", "9.3.2-noaux", "9.3.4-noinsert"];
        let release = self.random.choice(&names).unwrap().parse().unwrap();
        self.machine.ask(root(), Command::Use { release, manner: Manner::default() });
    }

    fn happen_to_the_network(&mut self) {
        if !self.machine.is_up() {
            self.machine.start();
        }
        match self.random.u32(0..20) {
            0..=8 => self.meddle(),
            9..=12 => self.swap(),
            13 => {
                self.machine.config = files(self.random.usize(0..FILES.len()));
                self.machine.ask(root(), Command::Reload);
            }
            14 | 15 => self.machine.kill_after(self.random.u32(0..30)),
            16 => self.order(),
            _ => return self.happen(),
        }
        let pause = match self.random.u32(0..8) {
            0..=2 => 0,
            3 | 4 => self.random.u64(0..400),
            5 => self.random.u64(0..5_000),
            _ => self.random.u64(0..60_000),
        };
        self.machine.pass(pause);
    }
}

fn root() -> Caller {
    Caller { uid: 0, process: None, bus_name: None, privileged: true }
}

/// What must not depend on the way: altnames tell of it.
fn essence(world: &World) -> Network {
    let mut network = network(world);
    network.links.values_mut().for_each(|link| link.altnames.clear());
    network
}

#[test]
fn no_schedule_of_names_and_network_breaks_a_promise() {
    let only = std::env::var("ONLOADD_SEED").ok().map(|text| text.parse::<u64>().unwrap());
    let seeds: Vec<u64> = only.map_or_else(|| SEEDS.chain(COMMITTED).collect(), |seed| vec![seed]);
    let total = std::cell::RefCell::new((0, 0, 0));
    for_each_seed(&seeds, |seed| {
        let mut account = Account(Schedule::of_network(seed));
        for _ in 0..LENGTH {
            account.0.happen_to_the_network();
        }
        account.0.mend();
        let machine = &mut account.0.machine;
        rest(machine);
        at_rest(machine);
        let Ledger { network, change, .. } = machine.ledger();
        assert!(
            network.is_none() || change.is_some(),
            "what was kept is not put back: {network:?}"
        );
        let mut total = total.borrow_mut();
        let promises = &machine.promises;
        total.0 += promises.network.renamed;
        total.1 += promises.network.restored;
        total.2 += promises.changes.ended;
    });
    let (renamed, restored, changes) = total.into_inner();
    println!(
        "{} schedules: {changes} changes, {renamed} renames, {restored} ports restored",
        seeds.len()
    );
    if only.is_none() {
        let least = u32::try_from(seeds.len()).unwrap();
        assert!(restored >= least && renamed >= least / 4, "too little was put back");
    }
}

#[test]
fn a_swap_killed_wherever_it_is_leaves_names_and_network_as_they_were() {
    let swaps = ["9.2.1", "in-tree"];
    let run = |fuse: Option<u32>| {
        let mut account = Account(Schedule::plain(world(), files(0)));
        let machine = &mut account.0.machine;
        machine.pass(5_000);
        let before = essence(&machine.world);
        if let Some(fuse) = fuse {
            machine.kill_after(fuse);
        }
        let mut killed = false;
        for name in swaps {
            for attempt in 0.. {
                assert!(attempt < 5, "{name} is never answered");
                if !machine.is_up() {
                    killed = true;
                    machine.start();
                }
                let (release, manner) = (name.parse().unwrap(), Manner::default());
                let id = machine.ask(root(), Command::Use { release, manner });
                machine.pass(CHANGE_MS);
                let answer = id.and_then(|id| machine.answers.get(&id));
                let busy =
                    matches!(answer, Some(Err(refusal)) if refusal.kind == RefusalKind::Busy);
                if machine.is_up() && answer.is_some() && !busy {
                    break;
                }
            }
        }
        machine.spare();
        rest(machine);
        let loaded = machine.world.loaded_from("sfc").map(ToString::to_string);
        assert_eq!(loaded.as_deref(), Some("in-tree"), "{:?}", machine.picture.blockers);
        assert_eq!(machine.ledger().differences, Some(Vec::new()));
        let after = essence(&machine.world);
        for (name, link) in &before.links {
            assert_eq!(after.links.get(name), Some(link), "{name}, killed after {fuse:?} effects");
        }
        assert_eq!(before, after, "killed after {fuse:?} effects");
        killed
    };
    assert!(!run(None));
    let mut fuse = 0;
    while run(Some(fuse)) {
        fuse += 1;
    }
    assert!(fuse > 60, "only {fuse} effects");
}
