//! Thousands of random actions on each shipped world: whatever happens in whatever order, the world
//! stays one that a kernel could be in. A failure names the seed and the line that broke it.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fastrand::Rng;
use onload_core::inventory::{Autoload, DEVICE_NODES, Depth, Loader, ModuleState, Snapshot};
use onload_core::names::PciAddress;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, Step};
use onloadd::host::sim::World;
use onloadd::host::sim::action::Action;
use onloadd::host::sim::faults::{LOAD_FAULTS, PARTS, UNLOAD_FAULTS};

/// Actions for each world and seed: the six worlds together see twenty-four thousand.
const STEPS: usize = 1_000;

/// Seeds; fixed, so that a failure comes back.
const SEEDS: std::ops::Range<u64> = 0..4;

const RELEASES: [&str; 6] = ["host", "in-tree", "9.1.2", "9.2.1", "9.3.0-vermagic", "9.9"];

const MODULES: [&str; 5] = ["sfc", "sfc_resource", "sfc_char", "onload", "mtd"];

/// One random line, of things that are there more often than not.
fn line(random: &mut Rng, world: &World, snapshot: &Snapshot) -> String {
    let mut functions: Vec<PciAddress> = world
        .cards()
        .iter()
        .flat_map(|card| card.ports.iter().map(|port| *port.pci.get_ref()))
        .collect();
    functions.push("0000:01:00.0".parse().unwrap());
    let pci = *random.choice(&functions).unwrap();
    let module = *random.choice(&MODULES).unwrap();
    let pid = random.u32(1..6);
    let node = *random.choice(&DEVICE_NODES).unwrap();
    let interface = snapshot
        .interfaces
        .known()
        .and_then(|interfaces| random.choice(interfaces.keys()))
        .map_or_else(|| "gone".to_owned(), ToString::to_string);
    let release = *random.choice(&RELEASES).unwrap();
    let part = random.choice(&PARTS).unwrap().0;
    let answer = random.choice(&LOAD_FAULTS).unwrap().0;
    let ending = random.choice(&UNLOAD_FAULTS).unwrap().0;
    let place = *random.choice(&["", " as trader in t.service", " in container c1"]).unwrap();
    match random.u32(0..38) {
        0..=2 => format!("load {module}"),
        3 => format!("load {module} from {release}"),
        4..=6 => format!("unload {module}"),
        7 => format!("driver gone {module}"),
        8 => format!("link {pci} {}", random.choice(&["up", "down"]).unwrap()),
        9 => format!("rename {interface} r{}", random.u32(0..4)),
        10 => format!("unplug {pci}"),
        11 => format!("plug {pci}"),
        12 => format!("unbind {pci}"),
        13 => format!("bind {pci}"),
        14 => format!("open {node} {pid}{place}"),
        15 => format!("close {node} {pid}"),
        16 => format!("run {pid}{place}"),
        17 => format!("exit {pid}"),
        18 => "control-plane dies".to_owned(),
        19 => "control-plane starts".to_owned(),
        20 => {
            let lines = ["enrol site-modules", "revoke site-modules", "attend"];
            (*random.choice(&lines).unwrap()).to_owned()
        }
        21 => "libraries of host gone".to_owned(),
        22 => "libraries of host back".to_owned(),
        23 => format!("fault load {module} {answer} times 1"),
        24 => format!("fault unreadable {part}"),
        25 | 26 => "coldplug".to_owned(),
        27 => format!("clock {interface} {pid}{place}"),
        28 => format!("unit t.service starts {pid}"),
        29 => format!("address {interface} 192.0.2.{pid}/24"),
        30 => format!("route {interface} {}", random.choice(&["default", "none"]).unwrap()),
        31 => format!("upper {interface} {}", random.choice(&["bond0", "none"]).unwrap()),
        32 => format!("fault unload {module} {ending} times 1"),
        33 => (*random.choice(&["fault eager", "fault unit t.service stays"]).unwrap()).to_owned(),
        _ => (*random.choice(&["reboot", "clear faults", "clear faults"]).unwrap()).to_owned(),
    }
}

fn live(snapshot: &Snapshot, module: &str) -> bool {
    snapshot.module(module).known().is_some_and(|module| module.state == ModuleState::Live)
}

/// A step, by lot; now and then one that the host is asked for in between.
fn step(random: &mut Rng) -> Step {
    let module = random.choice(&MODULES).unwrap().parse().unwrap();
    match random.u32(0..6) {
        0 => {
            let release = random.choice(&RELEASES).unwrap().parse().unwrap();
            Step::LoadModule { module, release }
        }
        1 | 2 => Step::UnloadModule { module },
        3 => Step::StopControlPlane,
        4 => Step::StopUnit { unit: "t.service".to_owned() },
        _ => {
            let autoload = if random.bool() { Autoload::Blocked } else { Autoload::Allowed };
            let server = random.bool().then(|| "/nowhere".to_owned());
            Step::WriteLoader(Loader { autoload, server })
        }
    }
}

/// Carries out a step: it does what it says, or says why not.
fn take(world: &mut World, step: &Step) {
    let (before, changes) = (world.look(Depth::Users), world.changes());
    let answer = world.answer(step);
    let after = world.look(Depth::Users);
    let context = format!("{step}: {answer:?}");
    if world.changes() == changes {
        assert_eq!(after, before, "changed and not counted: {context}");
    }
    match answer {
        Some(Ok(Outcome::Unchanged)) => assert_eq!(after, before, "{context}"),
        Some(Ok(Outcome::Changed)) => {
            // Eager rules, and a part that cannot be read, hide what was done.
            let hidden = after.modules.is_unreadable() || after.driver.version.is_unreadable();
            let is_back = matches!(step, Step::UnloadModule { .. });
            assert!(step.holds_in(&after) || hidden || is_back, "{context}");
        }
        Some(Err(error)) => assert!(!error.to_string().is_empty() && !error.fix().is_empty()),
        None => assert!(!step.holds_in(&after), "{context}"),
    }
}

/// What holds in every world a kernel could be in, as far as faults let us look.
fn sound(snapshot: &Snapshot) {
    let owners =
        [("/dev/onload", "onload"), ("/dev/onload_epoll", "onload"), ("/dev/sfc_char", "sfc_char")];
    let mut majors = Vec::new();
    for (path, owner) in owners {
        let node = &snapshot.device_nodes[path];
        if !node.is_unreadable() && !snapshot.modules.is_unreadable() {
            assert_eq!(node.known().is_some(), live(snapshot, owner), "{path}");
        }
        majors.extend(node.known().map(|node| node.major));
    }
    let nodes = majors.len();
    majors.sort_unstable();
    majors.dedup();
    assert_eq!(majors.len(), nodes, "a major belongs to one node");

    for (name, module) in snapshot.modules.known().into_iter().flatten() {
        let holders = u32::try_from(module.holders.len()).unwrap();
        match module.refcount {
            Reading::Known(count) => {
                assert!(count >= holders && count < 100, "{name}: {count} references");
            }
            Reading::Absent => assert_ne!(module.state, ModuleState::Live, "{name}"),
            Reading::Unreadable(_) => panic!("{name}"),
        }
        for holder in &module.holders {
            assert!(snapshot.module(holder.as_str()).known().is_some(), "{holder} holds {name}");
        }
    }
    for (pid, user) in snapshot.users.known().into_iter().flatten() {
        assert!(!user.uses.is_empty(), "{pid} uses nothing: {user:?}");
        for path in &user.uses {
            let node = snapshot.device_nodes.get(path);
            assert!(node.is_none_or(|node| !node.is_absent()), "{pid} has {path}, which is gone");
        }
    }
    let Some(ports) = snapshot.ports.known() else { return };
    for (address, port) in ports {
        let bound = port.driver.known();
        if let Some(interface) = snapshot.interface_of(address) {
            assert!(bound.is_some(), "{address} has no driver and an interface: {interface:?}");
        } else if snapshot.interfaces.known().is_some() {
            assert!(bound.is_none(), "{address} has a driver and no interface");
        }
        if bound.is_some_and(|driver| driver == "sfc") && snapshot.modules.known().is_some() {
            assert!(live(snapshot, "sfc"), "{address} is bound to a driver that is not there");
        }
        for (name, driver) in port.auxiliary.known().into_iter().flatten() {
            assert!(bound.is_some(), "{name} without a driver of {address}");
            if driver.known().is_some() && snapshot.modules.known().is_some() {
                assert!(live(snapshot, "sfc_resource"), "{name} is bound to what is not there");
            }
        }
    }
}

/// Walks and returns the lines that were done and the last look.
fn walk(name: &str, seed: u64) -> (usize, Snapshot) {
    let mut random = Rng::with_seed(seed);
    let mut world = World::parse(World::shipped(name).unwrap()).unwrap();
    let mut before = world.snapshot();
    let mut done = 0;
    for step in 0..STEPS {
        let line = line(&mut random, &world, &before);
        let action: Action = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(action.to_string(), line, "a line reads back");
        let changes = world.changes();
        let result = world.act(&action);
        let after = world.snapshot();
        let context = format!("{name}, seed {seed}, step {step}, `{line}`: {result:?}");
        if result.is_err() && !matches!(action, Action::Load { .. }) {
            assert_eq!(after, before, "refused, and yet: {context}");
        }
        if world.changes() == changes {
            assert_eq!(after, before, "changed and not counted: {context}");
        }
        done += usize::from(result.is_ok());
        let check = std::panic::AssertUnwindSafe(|| sound(&after));
        assert!(std::panic::catch_unwind(check).is_ok(), "{context}\n{after:#?}");
        if random.u32(0..4) == 0 {
            take(&mut world, &self::step(&mut random));
        }
        before = world.snapshot();
    }
    (done, before)
}

#[test]
fn no_order_of_actions_leaves_what_a_kernel_can_be_in() {
    for name in World::shipped_names() {
        for seed in SEEDS {
            let (done, _) = walk(name, seed);
            // A walk in which next to nothing happens would prove nothing.
            assert!(done > STEPS / 5, "{name}, seed {seed}: only {done} of {STEPS} were done");
        }
    }
}

#[test]
fn the_same_seed_ends_in_the_same_world() {
    assert_eq!(walk("two-x2522", 42), walk("two-x2522", 42));
}
