//! What can happen to a node, drawn by lot.

use fastrand::Rng;
use onload_core::allocation::{Process, TenureWish};
use onload_core::change::{Holders, Manner};
use onload_core::command::{Caller, Command};
use onload_core::config::Fragment;
use onload_core::names::{AllocationId, JobId, PciAddress, PoolName, ReleaseName};
use onload_core::reconcile::Event;
use onload_core::time::Span;
use onload_tests::machine::{Machine, Pace};
use onloadd::host::sim::World;
use onloadd::host::sim::faults::LOAD_FAULTS;
use std::time::Duration;

/// Configurations that come and go, the last two refused. The first is the one that stays.
const FILES: [&str; 8] = [
    "[modules]\nrelease = \"host\"\n[pools.onload]\nslots = 8\n",
    "[modules]\nrelease = \"host\"\n[pools.onload]\nslots = 5\nlocal = 2\n",
    "[modules]\nrelease = \"host\"\n[pools.onload]\nslots = 8\n[pools.fast]\nslots = 3\nports = [\"0000:3b:00.0\"]\nrequire-carrier = true\n",
    "[pools.onload]\nslots = 3\n",
    "[daemon]\napply = \"when-idle\"\nsettle = \"50ms\"\n[modules]\nrelease = \"in-tree\"\n[pools.onload]\nslots = 8\n",
    "[modules]\nrelease = \"9.9\"\n[pools.fast]\nslots = 2\n",
    "[pools.onload]\nslots = \"many\"\n",
    "[modules\n",
];
/// How many of them hold.
pub const VALID: usize = 6;

pub fn files(number: usize) -> Vec<Fragment> {
    vec![Fragment { file: "/etc/onloadd/onloadd.toml".to_owned(), text: FILES[number].to_owned() }]
}

/// A program on the bus.
#[derive(Clone, Debug)]
pub struct Program {
    pub process: Process,
    pub bus_name: String,
}

/// One schedule: the node, and who lives on it.
pub struct Schedule {
    pub machine: Machine,
    pub random: Rng,

    pub programs: Vec<Program>,
    pub born: u32,
}

impl Schedule {
    /// A node and its fate, by lot.
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let names = [
            "two-x2522",
            "two-x2522",
            "two-x2522",
            "two-x2522",
            "x4",
            "x4",
            "x4",
            "in-tree",
            "unenrolled-key",
            "no-card",
        ];
        let mut name = names[random.usize(0..names.len())];
        if random.u32(0..3) == 0 {
            name = "releases";
        }
        let text = World::shipped(name).unwrap();
        let mut world = World::parse(text).unwrap();
        // Half of the nodes come up with nothing loaded.
        if random.bool() {
            world.act(&"driver gone mtd".parse().unwrap()).unwrap_or_default();
            world.act(&"driver gone sfc_resource".parse().unwrap()).unwrap_or_default();
        }
        let file = if random.u32(0..8) == 0 { random.usize(0..FILES.len()) } else { 0 };
        let machine = Machine::new(world, files(file), Pace::RAGGED, seed ^ 0x5eed);
        Self { machine, random, programs: Vec::new(), born: 0 }
    }

    /// A node at a steady pace, without lots.
    pub fn plain(world: World, config: Vec<Fragment>) -> Self {
        let machine = Machine::new(world, config, Pace::STEADY, 7);
        Self { machine, random: Rng::with_seed(7), programs: Vec::new(), born: 0 }
    }

    /// The same world and orders, met by a daemon that nothing has happened to.
    pub fn undisturbed(&self) -> Machine {
        let world = self.machine.world.clone();
        let mut calm = Machine::new(world, self.machine.config.clone(), Pace::STEADY, 7);
        let pools: Vec<PoolName> = self.machine.picture.pools.keys().cloned().collect();
        calm.pass(1000);
        // An order stands until the configuration changes, so this one has it too.
        if let Some(order) = self.machine.ledger().order {
            let root = Caller { uid: 0, process: None, bus_name: None, privileged: true };
            calm.ask(root, Command::Use { release: order.release, manner: Manner::default() });
        }
        for pool in pools {
            calm.register(&pool, true);
        }
        calm
    }

    /// A kubelet accepts every pool there is.
    pub fn register_all(&mut self) {
        self.machine.pass(2000);
        let pools: Vec<PoolName> = self.machine.picture.pools.keys().cloned().collect();
        for pool in pools {
            self.machine.register(&pool, true);
        }
    }

    /// One thing, and some time.
    pub fn happen(&mut self) {
        if !self.machine.is_up() {
            // systemd starts it again; meanwhile the node goes on.
            if self.random.u32(0..3) == 0 {
                self.in_the_world();
            }
            self.machine.start();
        }
        // A kubelet that runs has registered every pool before long.
        if self.machine.is_up() && self.random.u32(0..3) == 0 {
            let pools = self.machine.picture.pools.iter();
            let missing = pools.filter(|(_, pool)| !pool.registered).map(|(name, _)| name.clone());
            for pool in missing.collect::<Vec<_>>() {
                self.machine.register(&pool, true);
            }
        }
        match self.random.u32(0..100) {
            0..=24 => self.in_the_world(),
            25..=44 => self.on_the_bus(),
            45..=64 => self.at_the_kubelet(),
            65..=72 => self.order(),
            73..=77 => self.program_ends(),
            78..=81 => self.in_the_files(),
            82..=86 => self.disk_changes(),
            87..=89 => self.clock_jumps(),
            90..=93 => self.machine.kill_after(self.random.u32(0..12)),
            94 => self.machine.kill(),
            95 | 96 => {
                let orderly = self.random.bool();
                self.machine.reboot(orderly, self.random.u64(1_000..100_000));
                self.programs.clear();
            }
            _ => self.machine.tell(Event::BusLost),
        }
        let pause = match self.random.u32(0..10) {
            0..=3 => 0,
            4..=7 => self.random.u64(0..400),
            8 => self.random.u64(0..5_000),
            _ => self.random.u64(0..200_000),
        };
        self.machine.pass(pause);
    }

    fn in_the_world(&mut self) {
        let line = self.line();
        // Refused is as good as done: the kernel says no, too.
        let _ = self.machine.act(&line.parse().unwrap_or_else(|error| panic!("{line}: {error}")));
    }

    fn line(&mut self) -> String {
        if self.random.u32(0..4) == 0 {
            return self.line_of_a_change();
        }
        let random = &mut self.random;
        let ports: Vec<PciAddress> = self
            .machine
            .world
            .cards()
            .iter()
            .flat_map(|card| card.ports.iter().map(|port| *port.pci.get_ref()))
            .collect();
        let port = random.choice(&ports).map_or("0000:01:00.0".to_owned(), ToString::to_string);
        let module = *random.choice(&["sfc", "sfc_resource", "sfc_char", "onload"]).unwrap();
        let parts = [
            "kernel",
            "boot-id",
            "ports",
            "interfaces",
            "modules",
            "driver",
            "device-nodes",
            "releases",
        ];
        let part = *random.choice(&parts).unwrap();
        let answer = *random.choice(&["not-found", "rejected", "error", "error", "hang"]).unwrap();
        match random.u32(0..30) {
            0..=2 => format!("load {module}"),
            3 => format!("unload {module}"),
            4..=6 => format!("driver gone {module}"),
            7 => format!("link {port} {}", random.choice(&["up", "down"]).unwrap()),
            8 => format!("unplug {port}"),
            9 | 10 => format!("plug {port}"),
            11 => format!("unbind {port}"),
            12 => format!("bind {port}"),
            13 => {
                format!("libraries of host {}", random.choice(&["gone", "back", "back"]).unwrap())
            }
            14 => format!("fault load {module} {answer} times {}", random.u32(1..9)),
            15 => format!("fault unreadable {part}"),
            16 => format!("fault unreadable {port}"),
            17 => (*random
                .choice(&["fault no-aux", "fault no-nodes", "fault silent", "fault storm 9"])
                .unwrap())
            .to_owned(),
            18 if !self.machine.picture.ports.values().all(|port| port.obstacle.is_none()) => {
                "clear faults".to_owned()
            }
            18 => "enrol site-modules".to_owned(),
            19 => format!("run {}", random.u32(1..4)),
            20 => "nothing".to_owned(),
            _ => "clear faults".to_owned(),
        }
    }

    /// What bears upon a change of drivers.
    fn line_of_a_change(&mut self) -> String {
        let release = self.release();
        let random = &mut self.random;
        let interfaces = self.machine.picture.interfaces.keys();
        let interface = random.choice(interfaces).map_or("lo".to_owned(), ToString::to_string);
        let module = *random.choice(&["sfc", "sfc_resource", "sfc_char", "onload"]).unwrap();
        let answer = *random.choice(&LOAD_FAULTS.map(|(word, _)| word)).unwrap();
        let pid = random.u32(1..4);
        match random.u32(0..12) {
            0 => "coldplug".to_owned(),
            1 => format!("load {module} from {release}"),
            2 => format!("run {pid} as trader in trader.service"),
            3 => format!("open /dev/sfc_char {pid} in container c1"),
            4 => format!("clock {interface} {pid} as ptp4l in ptp4l.service"),
            5 => format!("exit {pid}"),
            6 => format!("address {interface} 192.0.2.{pid}/24"),
            7 => format!("route {interface} {}", random.choice(&["default", "none"]).unwrap()),
            8 => format!("fault unload {module} refused times {}", random.u32(1..9)),
            9 => format!("fault load {module} from {release} {answer} times {}", random.u32(1..9)),
            10 => (*random
                .choice(&[
                    "fault eager",
                    "fault control-plane stays",
                    "fault unit trader.service stays",
                    "fault unreadable users",
                    "control-plane dies",
                ])
                .unwrap())
            .to_owned(),
            _ => format!("unit trader.service starts {pid}"),
        }
    }

    fn program(&mut self) -> Program {
        if self.programs.len() < 4 || self.random.u32(0..3) == 0 {
            self.born += 1;
            let process = Process {
                pid: 100 + self.born,
                start_ticks: u64::from(self.born),
                boot: self.machine.boot_id().clone(),
                uid: 1000 + self.born % 2,
                comm: "trader".to_owned(),
            };
            self.machine.spawn(process.clone());
            self.programs.push(Program { process, bus_name: format!(":1.{}", self.born) });
        }
        self.programs[self.random.usize(0..self.programs.len())].clone()
    }

    fn caller(&mut self) -> Caller {
        let Program { process, bus_name } = self.program();
        Caller {
            uid: process.uid,
            process: Some(process),
            bus_name: Some(bus_name),
            privileged: self.random.u32(0..4) == 0,
        }
    }

    pub fn pool(&mut self) -> PoolName {
        let name = if self.random.u32(0..8) == 0 { "fast" } else { "onload" };
        name.parse().unwrap()
    }

    fn allocation(&mut self) -> AllocationId {
        let ledger = self.machine.ledger();
        let some = self.random.choice(ledger.allocations.keys()).copied();
        some.unwrap_or(AllocationId(4711))
    }

    fn on_the_bus(&mut self) {
        let caller = self.caller();
        let command = if self.random.u32(0..3) == 0 {
            Command::Free { allocation: self.allocation(), force: false }
        } else {
            let tenure = match self.random.u32(0..4) {
                0 => TenureWish::Client,
                1 => TenureWish::Process,
                2 => TenureWish::Persistent,
                _ => TenureWish::Lease(span(self.random.u64(0..40_000))),
            };
            Command::Allocate { pool: self.pool(), count: self.random.u32(1..4), tenure }
        };
        self.machine.ask(caller, command);
    }

    pub fn order(&mut self) {
        let mut caller = self.caller();
        caller.privileged = true;
        let job = self.machine.picture.jobs.keys().last().copied().unwrap_or(JobId(99));
        let command = match self.random.u32(0..16) {
            8..=11 => Command::Use { release: self.release(), manner: self.manner() },
            12 => Command::Rollback { back: self.random.u32(1..4), manner: self.manner() },
            13 => Command::Confirm,
            14 => Command::Apply { retry: false, manner: self.manner() },
            15 => Command::Apply { retry: true, manner: self.manner() },
            0 => Command::Hold { reason: "maintenance".to_owned(), expiry: Some(span(300_000)) },
            1 => Command::Hold {
                reason: "short work".to_owned(),
                expiry: Some(span(self.random.u64(0..60_000))),
            },
            2 | 3 => Command::Unhold,
            4 => Command::Apply { retry: false, manner: Default::default() },
            5 => Command::Apply { retry: true, manner: Default::default() },
            6 => Command::Cancel { job },
            _ => Command::Reload,
        };
        self.machine.ask(caller, command);
    }

    /// The releases of the world, by name.
    pub fn releases(&self) -> Vec<ReleaseName> {
        let mut world = self.machine.world.clone();
        world.act(&"clear faults".parse().unwrap()).unwrap();
        world.snapshot().releases.into_known().unwrap().into_keys().collect()
    }

    /// Any release of the world, or one that it has not.
    fn release(&mut self) -> ReleaseName {
        let some = self.random.choice(self.releases()).filter(|_| self.random.u32(0..8) > 0);
        some.unwrap_or_else(|| "9.9".parse().unwrap())
    }

    fn manner(&mut self) -> Manner {
        let holders = match self.random.u32(0..5) {
            0 | 1 => Holders::Refuse,
            2 => Holders::Wait(None),
            3 => Holders::Wait(Some(span(self.random.u64(0..30_000)))),
            _ => Holders::Stop,
        };
        let confirmed = self.random.u32(0..3) == 0;
        let confirm_within = confirmed.then(|| span(self.random.u64(1_000..60_000)));
        Manner { holders, confirm_within }
    }

    fn program_ends(&mut self) {
        if self.programs.is_empty() {
            return;
        }
        let at = self.random.usize(0..self.programs.len());
        if self.random.bool() {
            let Program { process, bus_name } = self.programs.swap_remove(at);
            self.machine.end_process(&process, Some(&bus_name));
        } else {
            let name = self.programs[at].bus_name.clone();
            self.machine.close_connection(&name);
            self.born += 1;
            self.programs[at].bus_name = format!(":1.{}", self.born);
        }
    }

    fn in_the_files(&mut self) {
        let file = if self.random.bool() { 0 } else { self.random.usize(0..FILES.len()) };
        self.machine.config = files(file);
        let caller = self.caller();
        self.machine.ask(caller, Command::Reload);
    }

    fn disk_changes(&mut self) {
        let disk = &mut self.machine.disk;
        match self.random.u32(0..6) {
            0 => disk.full = true,
            1 => disk.sync_fails = true,
            // Somebody makes room, and does not wait for the tick.
            _ => {
                (disk.full, disk.sync_fails) = (false, false);
                self.machine.pass(61_000);
            }
        }
    }

    fn clock_jumps(&mut self) {
        let hour = 3_600_000_i64;
        match self.random.u32(0..3) {
            0 => self.machine.jump(0, -hour * 24),
            1 => self.machine.jump(0, hour),
            _ => self.machine.jump(3_600_000, hour),
        }
    }
}

fn span(millis: u64) -> Span {
    Span(Duration::from_millis(millis))
}
