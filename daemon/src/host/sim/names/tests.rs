//! Names as udev and the kernel give them.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use onload_core::inventory::{Interface, NameOrigin};
use onload_core::names::InterfaceName;
use onload_core::naming::{Key, Pin, Pins, Renaming};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, Step, StepError};

use super::World;

const P0: &str = "0000:3b:00.0";
const P1: &str = "0000:3b:00.1";
const CHANGED: Result<Outcome, StepError> = Ok(Outcome::Changed);
const UNCHANGED: Result<Outcome, StepError> = Ok(Outcome::Unchanged);

fn world() -> World {
    World::parse(World::shipped("two-x2522").unwrap()).unwrap()
}

fn act(world: &mut World, lines: &[&str]) {
    for line in lines {
        world.act(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

fn interfaces(world: &World) -> BTreeMap<InterfaceName, Interface> {
    world.snapshot().interfaces.into_known().unwrap()
}

fn of(world: &World, port: &str) -> (String, Interface) {
    let snapshot = world.snapshot();
    let (name, interface) = snapshot.interface_of(&port.parse().unwrap()).unwrap();
    (name.to_string(), interface.clone())
}

fn altnames(world: &World, port: &str) -> Vec<String> {
    of(world, port).1.altnames.into_iter().collect()
}

fn pin(key: Key, name: &str, altnames: &[&str]) -> (Key, Pin) {
    let altnames = altnames.iter().map(|name| (*name).to_owned()).collect();
    (key, Pin { name: name.parse().unwrap(), altnames })
}

fn rename(all: &[(&str, &str, &str)]) -> Step {
    let one = |(port, from, to): &(&str, &str, &str)| Renaming {
        port: port.parse().unwrap(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        may_go_down: false,
    };
    Step::Rename(all.iter().map(one).collect())
}

fn failed(result: Result<Outcome, StepError>, expected: &str) {
    let why = result.unwrap_err().to_string();
    assert!(why.contains(expected), "{why}");
}

/// `sfc` of another origin under the same pins.
fn in_tree(world: &mut World) {
    act(world, &["driver gone sfc", "load sfc from in-tree"]);
}

#[test]
fn a_pin_names_a_port_whatever_its_driver_shows() {
    let mut world = world();
    in_tree(&mut world);
    assert_eq!(of(&world, P0).0, "ens1f0np0", "nobody has pinned it");
    let pins: Pins = [
        pin(Key::Mac("00:0f:53:a1:00:00".parse().unwrap()), "ens1f0", &["fast0", "lo"]),
        pin(Key::Pci(P1.parse().unwrap()), "right", &[]),
    ]
    .into();
    assert_eq!(world.apply(&Step::PinNames(pins.clone())), CHANGED);
    assert_eq!(world.apply(&Step::PinNames(pins)), UNCHANGED);
    assert_eq!(of(&world, P0).0, "ens1f0np0", "udev names what appears");
    in_tree(&mut world);
    let (name, interface) = of(&world, P0);
    assert_eq!(name, "ens1f0");
    assert_eq!(interface.name_origin, Reading::Known(NameOrigin::Renamed));
    // What the kernel's own driver makes of the slot leads to it as well.
    assert_eq!(altnames(&world, P0), ["enp59s0f0", "ens1f0np0", "fast0"], "lo is taken");
    let udev = interface.udev.known().unwrap();
    let file = "/etc/systemd/network/10-onloadd-000f53a10000.link";
    assert_eq!(udev.link_file.as_deref(), Some(file));
    assert_eq!(udev.name.as_deref(), Some("ens1f0"));
    assert_eq!(of(&world, P1).0, "right");
    let files = world.snapshot().link_files.into_known().unwrap();
    let paths: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(paths, [file, "/etc/systemd/network/10-onloadd-pci-0000-3b-00-1.link"]);
    let matches = &files[paths[1]].matches;
    assert_eq!(matches["Path"], "pci-0000:3b:00.1");
    act(&mut world, &["reboot"]);
    assert_eq!(of(&world, P1).0, "right", "files outlive a boot");
}

#[test]
fn a_pinned_name_that_is_taken_leaves_the_kernels_own() {
    let mut world = world();
    let pins = [pin(Key::Pci(P0.parse().unwrap()), "lo", &[])].into();
    world.apply(&Step::PinNames(pins)).unwrap();
    in_tree(&mut world);
    let (name, interface) = of(&world, P0);
    assert_eq!(
        (name.as_str(), interface.name_origin),
        ("eth0", Reading::Known(NameOrigin::Enumerated))
    );
}

#[test]
fn names_are_swapped_at_once_or_not_at_all() {
    let mut world = world();
    let swap = rename(&[(P0, "ens1f0", "ens1f1"), (P1, "ens1f1", "ens1f0")]);
    assert_eq!(world.apply(&swap), CHANGED);
    assert_eq!((of(&world, P0).0, of(&world, P1).0), ("ens1f1".to_owned(), "ens1f0".to_owned()));
    assert_eq!(altnames(&world, P0), ["enp59s0f0"], "the old name is the other's");
    assert_eq!(world.apply(&swap), UNCHANGED);
    let before = interfaces(&world);
    let refused = [
        (vec![(P0, "ens1f1", "ens4f0")], "File exists"),
        (vec![(P0, "ens1f1", "fast0"), (P1, "ens1f0", "fast0")], "File exists"),
        (vec![(P0, "ens1f1", "fast0"), (P1, "ens1f0", "enp175s0f0")], "File exists"),
        // An alternative name of another in the set is not given up with its name.
        (vec![(P0, "ens1f1", "fast0"), (P1, "ens1f0", "enp59s0f0")], "File exists"),
        (vec![(P0, "ens1f1", "fast0"), (P1, "ens9", "fast1")], "it is ens1f0 by now"),
    ];
    for (all, why) in refused {
        failed(world.apply(&rename(&all)), why);
        assert_eq!(interfaces(&world), before, "{all:?}");
    }
    let own = rename(&[(P0, "ens1f1", "enp59s0f0")]);
    assert_eq!(world.apply(&own), CHANGED, "an alternative name of its own goes");
    assert_eq!(altnames(&world, P0), ["ens1f1"]);
    act(&mut world, &[&format!("unplug {P0}")]);
    assert_eq!(world.apply(&rename(&[(P0, "enp59s0f0", "fast0")])), UNCHANGED, "it is gone");
}

#[test]
fn what_onload_has_for_af_xdp_is_not_renamed_and_the_attempt_shows() {
    let mut world = world();
    act(&mut world, &["register ens1f0"]);
    assert_eq!(world.apply(&rename(&[(P0, "ens1f0", "fast0")])), CHANGED, "its own driver has it");
    in_tree(&mut world);
    act(&mut world, &["register ens1f0np0"]);
    failed(world.apply(&rename(&[(P0, "ens1f0np0", "fast0")])), "the kernel would Oops");
    assert_eq!(world.oopses(), 1);
    let error = world.act(&"rename ens1f0np0 fast0".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("Oops"), "{error}");
    assert_eq!(world.oopses(), 1, "whoever types it is not onloadd");
    assert_eq!(of(&world, P0).0, "ens1f0np0");
}

#[test]
fn an_older_kernel_renames_nothing_that_is_up() {
    let mut world = world();
    act(&mut world, &["fault rename-busy"]);
    let step = rename(&[(P0, "ens1f0", "fast0")]);
    failed(world.apply(&step), "Device or resource busy");
    let Step::Rename(mut all) = step else { panic!() };
    all[0].may_go_down = true;
    assert_eq!(world.apply(&Step::Rename(all)), CHANGED);
    assert_eq!(of(&world, P0).0, "fast0");
}
