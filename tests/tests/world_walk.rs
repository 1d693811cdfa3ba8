//! Thousands of random actions on each shipped world: whatever happens in whatever order, the world
//! stays one that a kernel could be in. A failure names the seed and the line that broke it.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fastrand::Rng;
use onload_core::inventory::{DEVICE_NODES, ModuleState, Snapshot};
use onload_core::names::PciAddress;
use onload_core::reading::Reading;
use onloadd::host::sim::World;
use onloadd::host::sim::action::Action;

/// Actions for each world and seed: the five worlds together see twenty thousand.
const STEPS: usize = 1_000;

/// Seeds; fixed, so that a failure comes back.
const SEEDS: std::ops::Range<u64> = 0..4;

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
    let release = *random.choice(&["host", "in-tree", "9.9"]).unwrap();
    let part =
        *random.choice(&["ports", "interfaces", "modules", "driver", "device-nodes"]).unwrap();
    let answer = *random.choice(&["not-found", "rejected", "error", "hang"]).unwrap();
    match random.u32(0..26) {
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
        14 => format!("open {node} {pid}"),
        15 => format!("close {node} {pid}"),
        16 => format!("run {pid}"),
        17 => format!("exit {pid}"),
        18 => "control-plane dies".to_owned(),
        19 => "control-plane starts".to_owned(),
        20 => "enrol site-modules".to_owned(),
        21 => "libraries of host gone".to_owned(),
        22 => "libraries of host back".to_owned(),
        23 => format!("fault load {module} {answer} times 1"),
        24 => format!("fault unreadable {part}"),
        _ => (*random.choice(&["reboot", "clear faults", "clear faults"]).unwrap()).to_owned(),
    }
}

fn live(snapshot: &Snapshot, module: &str) -> bool {
    snapshot.module(module).known().is_some_and(|module| module.state == ModuleState::Live)
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
            Reading::Absent => assert_eq!(module.state, ModuleState::Coming, "{name}"),
            Reading::Unreadable(_) => panic!("{name}"),
        }
        for holder in &module.holders {
            assert!(snapshot.module(holder.as_str()).known().is_some(), "{holder} holds {name}");
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
        before = after;
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
