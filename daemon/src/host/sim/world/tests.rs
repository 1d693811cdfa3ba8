//! A change of drivers as the world sees it: steps, those in their way, releases that do not work.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use onload_core::inventory::{Autoload, Depth, Loader, ModuleState, Origin};
use onload_core::names::ModuleName;
use onload_core::reading::Reading;
use onload_core::release::{ModuleFile, Release};
use onload_core::step::{Outcome, Step, StepError};

use super::World;

const P0: &str = "0000:3b:00.0";
const CHANGED: Result<Outcome, StepError> = Ok(Outcome::Changed);
const UNCHANGED: Result<Outcome, StepError> = Ok(Outcome::Unchanged);

fn world(name: &str) -> World {
    World::parse(World::shipped(name).unwrap()).unwrap()
}

fn act(world: &mut World, lines: &[&str]) {
    for line in lines {
        world.act(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

fn load(module: &str, release: &str) -> Step {
    Step::LoadModule { module: module.parse().unwrap(), release: release.parse().unwrap() }
}

fn unload(module: &str) -> Step {
    Step::UnloadModule { module: module.parse().unwrap() }
}

fn stop(unit: &str) -> Step {
    Step::StopUnit { unit: unit.to_owned() }
}

fn write(autoload: Autoload, server: Option<&str>) -> Step {
    Step::WriteLoader(Loader { autoload, server: server.map(str::to_owned) })
}

fn in_use(module: &str, holders: &[&str]) -> Result<Outcome, StepError> {
    let holders = holders.iter().map(|holder| (*holder).to_owned()).collect();
    Err(StepError::InUse { module: module.parse().unwrap(), holders })
}

fn loaded(world: &World) -> Vec<String> {
    world.snapshot().modules.into_known().unwrap().keys().map(ModuleName::to_string).collect()
}

fn origin(world: &World) -> Reading<Origin> {
    world.snapshot().module("sfc").into_known().unwrap().origin()
}

fn release(world: &World, name: &str) -> Release {
    world.snapshot().releases.into_known().unwrap()[&name.parse().unwrap()].clone()
}

/// Who uses what, as `pid comm unit-or-container: uses`.
fn users(world: &World, depth: Depth) -> Option<Vec<String>> {
    let users = world.look(depth).users.into_known()?;
    let line = |(pid, user): (u32, onload_core::inventory::User)| {
        let place = user.unit.or(user.container).unwrap_or_default();
        let uses: Vec<String> = user.uses.into_iter().collect();
        format!("{pid} {} {place}: {}", user.comm, uses.join(" "))
    };
    Some(users.into_iter().map(line).collect())
}

#[test]
fn a_driver_is_changed_step_by_step() {
    let mut world = world("two-x2522");
    let blocked = write(Autoload::Blocked, None);
    assert_eq!(world.apply(&blocked), CHANGED);
    assert_eq!(world.apply(&blocked), UNCHANGED);
    assert_eq!(world.apply(&unload("onload")), in_use("onload", &[]), "the server holds it");
    assert_eq!(world.apply(&Step::StopControlPlane), CHANGED);
    assert_eq!(world.apply(&Step::StopControlPlane), UNCHANGED);
    assert_eq!(
        world.apply(&unload("sfc_resource")),
        in_use("sfc_resource", &["onload", "sfc_char"])
    );
    assert_eq!(world.apply(&unload("onload")), CHANGED);
    assert_eq!(loaded(&world), ["mtd", "sfc", "sfc_resource"], "sfc_resource stays behind");
    assert_eq!(world.apply(&unload("onload")), UNCHANGED);
    assert_eq!(world.apply(&unload("sfc_resource")), CHANGED);
    assert_eq!(world.apply(&unload("sfc")), CHANGED);
    assert!(loaded(&world).is_empty(), "mtd went with the last who needed it");
    act(&mut world, &["coldplug", &format!("unplug {P0}"), &format!("plug {P0}")]);
    assert!(loaded(&world).is_empty(), "what is kept from coming does not come");
    assert_eq!(world.snapshot().loader.known().unwrap().autoload, Autoload::Blocked);
    assert_eq!(world.apply(&write(Autoload::Allowed, None)), CHANGED);
    act(&mut world, &["coldplug"]);
    assert_eq!(loaded(&world), ["mtd", "sfc"]);
    act(&mut world, &["reboot"]);
    assert!(world.snapshot().loader.is_absent(), "gone with the boot");
}

#[test]
fn sfc_goes_under_a_live_onload_and_the_kernels_own_comes_by_itself() {
    let mut world = world("releases");
    assert_eq!(origin(&world), Reading::Known(Origin::InTree));
    assert_eq!(world.apply(&unload("sfc")), CHANGED);
    assert_eq!(world.apply(&load("mtd", "host")), CHANGED, "the kernel's, host release or not");
    assert_eq!(world.apply(&load("sfc", "9.2.1")), CHANGED);
    assert_eq!(world.apply(&load("onload", "9.2.1")), CHANGED);
    act(&mut world, &["run 7"]);
    assert_eq!(world.apply(&unload("sfc")), CHANGED, "no reference protects it");
    assert_eq!(world.snapshot().driver.stacks, Reading::Known(1), "the stack is still there");
    act(&mut world, &["coldplug"]);
    assert_eq!(origin(&world), Reading::Known(Origin::InTree), "the wrong one");
    act(&mut world, &["fault eager"]);
    assert_eq!(world.apply(&unload("sfc")), CHANGED);
    assert_eq!(origin(&world), Reading::Known(Origin::InTree), "it is there again at once");
    assert_eq!(world.apply(&load("sfc", "9.2.1")), UNCHANGED, "EEXIST is success");
}

#[test]
fn the_server_is_the_one_that_onload_was_told_of_before_its_load() {
    let mut world = world("releases");
    let path = "/var/lib/onloadd/releases/9.2.1/sbin/onload_cp_server";
    let cases = [
        ("nothing is said, and there is no host release", None, false),
        ("a path that is not there", Some("/nowhere/onload_cp_server"), false),
        ("the release's own", Some(path), true),
    ];
    for (why, server, comes) in cases {
        act(&mut world, &["reboot"]);
        world.apply(&write(Autoload::Blocked, server)).unwrap();
        world.apply(&load("onload", "9.2.1")).unwrap();
        assert_eq!(world.control_plane_is_due(), comes, "{why}");
    }
    act(&mut world, &["control-plane starts", "fault control-plane stays"]);
    assert!(matches!(world.apply(&Step::StopControlPlane), Err(StepError::Failed(_))));
    assert_eq!(world.snapshot().driver.control_plane.known().unwrap().len(), 1);
}

#[test]
fn users_are_searched_for_where_references_show_them_and_clocks_only_in_depth() {
    let mut world = world("two-x2522");
    assert_eq!(users(&world, Depth::Usual), None);
    assert_eq!(users(&world, Depth::Users), Some(vec![]), "the server is told apart");
    act(&mut world, &["clock ens1f0 5 as ptp4l in ptp4l.service"]);
    assert_eq!(users(&world, Depth::Usual), None);
    let clock = "5 ptp4l ptp4l.service: /dev/ptp0";
    assert_eq!(users(&world, Depth::Users).unwrap(), [clock]);
    act(&mut world, &["run 7 as trader in trader.service", "open /dev/sfc_char 8 in container c1"]);
    let stack = [
        "7 trader trader.service: /dev/onload /usr/lib64/libonload.so",
        "8 program c1: /dev/sfc_char",
    ];
    assert_eq!(users(&world, Depth::Usual).unwrap(), stack);
    assert_eq!(users(&world, Depth::Users).unwrap(), [clock, stack[0], stack[1]]);

    act(&mut world, &["fault unit trader.service stays"]);
    assert!(matches!(world.apply(&stop("trader.service")), Err(StepError::Failed(_))));
    act(&mut world, &["clear faults"]);
    assert_eq!(world.apply(&stop("trader.service")), CHANGED);
    assert_eq!(world.apply(&stop("trader.service")), UNCHANGED);
    assert_eq!(world.apply(&stop("c1")), UNCHANGED, "a container is no unit");
    act(&mut world, &["exit 8", "unit trader.service starts 9"]);
    assert_eq!(
        users(&world, Depth::Usual).unwrap(),
        ["9 program trader.service: /dev/onload /usr/lib64/libonload.so"]
    );
    act(&mut world, &["driver gone onload", "unit trader.service starts 10"]);
    assert_eq!(users(&world, Depth::Users).unwrap(), [clock], "10 runs without Onload");
    assert!(world.act(&"clock eno1 5".parse().unwrap()).is_err(), "it has no clock");
    act(&mut world, &["unbind 0000:3b:00.0"]);
    assert_eq!(users(&world, Depth::Users).unwrap(), [clock], "the other port has it too");
    act(&mut world, &["unbind 0000:3b:00.1"]);
    assert_eq!(users(&world, Depth::Users).unwrap(), Vec::<String>::new());
    act(&mut world, &["fault unreadable users"]);
    assert!(world.look(Depth::Users).users.is_unreadable());
}

#[test]
fn broken_releases_are_refused_where_the_real_ones_are() {
    let mut world = world("releases");
    world.apply(&unload("sfc")).unwrap();
    let refused = world.apply(&load("sfc", "9.3.0-vermagic"));
    assert!(matches!(refused, Err(StepError::WrongKernel { .. })), "{refused:?}");
    assert_eq!(world.apply(&load("sfc", "9.3.2-noaux")), CHANGED);
    let ports = world.snapshot().ports.into_known().unwrap();
    let port = &ports[&P0.parse().unwrap()];
    assert_eq!(port.driver.known().unwrap(), "sfc");
    assert!(port.auxiliary.known().unwrap().is_empty());
    world.apply(&unload("sfc")).unwrap();
    assert_eq!(world.apply(&load("sfc", "9.3.4-noinsert")), CHANGED);
    let refused = world.apply(&load("onload", "9.3.4-noinsert"));
    assert!(matches!(refused, Err(StepError::Failed(_))), "{refused:?}");
    assert_eq!(loaded(&world), ["mtd", "sfc", "sfc_char", "sfc_resource"], "what it needed came");

    act(&mut world, &["fault load onload from 9.2.1 unknown-symbol times 1"]);
    world.apply(&unload("sfc_char")).unwrap();
    let refused = world.apply(&load("onload", "9.2.1"));
    assert!(matches!(refused, Err(StepError::UnknownSymbol { .. })), "{refused:?}");
    act(&mut world, &["fault load onload bad-parameter times 1"]);
    let refused = world.apply(&load("onload", "9.2.1"));
    assert!(matches!(refused, Err(StepError::BadParameter { .. })), "{refused:?}");
    assert_eq!(world.apply(&load("onload", "9.2.1")), CHANGED);
}

#[test]
fn what_is_stuck_stays() {
    let text = World::shipped("two-x2522").unwrap();
    let text = text.replacen("name = \"sfc\"\nversion", "name = \"sfc\"\nstuck = true\nversion", 1);
    let mut world = World::parse(&text).unwrap();
    assert_eq!(world.apply(&unload("sfc")), in_use("sfc", &[]));
    act(&mut world, &["control-plane dies", "fault unload onload hang"]);
    assert_eq!(world.answer(&unload("onload")), None);
    let snapshot = world.snapshot();
    let onload = snapshot.module("onload").into_known().unwrap();
    assert_eq!((onload.state, onload.refcount.clone()), (ModuleState::Going, Reading::Absent));
    assert!(snapshot.device_nodes["/dev/onload"].is_absent());
    assert!(matches!(world.apply(&unload("onload")), Err(StepError::Failed(_))));
    assert!(matches!(world.apply(&load("onload", "host")), Err(StepError::Failed(_))));
    act(&mut world, &["reboot"]);
    assert_eq!(loaded(&world), ["mtd", "sfc"]);
}

#[test]
fn network_goes_with_the_driver_and_comes_back_with_the_boot_alone() {
    let text = World::shipped("two-x2522").unwrap();
    let port = "netdev = \"ens1f0\"\naddresses = [\"192.0.2.1/24\"]\ndefault-route = true\nuppers = [\"bond0\"]";
    let text = text.replacen("netdev = \"ens1f0\"", port, 1);
    let mut world = World::parse(&text).unwrap();
    let network = |world: &World| {
        let snapshot = world.snapshot();
        let (_, port) = snapshot.interface_of(&P0.parse().unwrap()).unwrap();
        let count = |readings: usize| u32::try_from(readings).unwrap();
        let routes = port.routes.known().unwrap();
        (
            count(port.addresses.known().unwrap().len()),
            (routes.count, routes.default),
            count(port.uppers.known().unwrap().len()),
        )
    };
    assert_eq!(network(&world), (1, (1, true), 1));
    act(&mut world, &["driver gone sfc", "load sfc"]);
    assert_eq!(network(&world), (0, (0, false), 0));
    act(&mut world, &["address ens1f0 192.0.2.9/24", "route ens1f0 default", "upper ens1f0 br0"]);
    assert_eq!(network(&world), (1, (1, true), 1));
    act(&mut world, &["address ens1f0 none", "route ens1f0 none", "upper ens1f0 none"]);
    assert_eq!(network(&world), (0, (0, false), 0));
    act(&mut world, &["reboot"]);
    assert_eq!(network(&world), (1, (1, true), 1));
    assert!(world.act(&"address nosuch 192.0.2.9/24".parse().unwrap()).is_err());
}

#[test]
fn releases_and_kernels_are_told_as_they_lie_on_the_disk() {
    let world = world("releases");
    let snapshot = world.snapshot();
    let running = snapshot.kernel.known().unwrap();
    let kernels = snapshot.kernels.known().unwrap();
    let staged = kernels.keys().find(|name| *name != running).unwrap();
    assert_eq!(kernels.len(), 2);
    assert!(kernels[staged].available.contains(&"mtd".parse().unwrap()));
    let own = release(&world, "in-tree");
    assert!(own.libraries.is_empty() && own.server.is_none() && own.root == "/");
    assert_eq!(own.modules.known().unwrap().len(), 2, "each kernel has an sfc");
    let file = |release: &Release, kernel, module: &str| -> ModuleFile {
        release.modules.known().unwrap()[kernel][&module.parse().unwrap()].clone()
    };
    assert!(file(&own, running, "sfc").in_tree);
    let good = release(&world, "9.2.1");
    assert_eq!(good.server.as_deref(), Some("sbin/onload_cp_server"));
    let onload = file(&good, staged, "onload");
    assert_eq!(onload.vermagic, *kernels[staged].vermagic.known().unwrap());
    assert_eq!((onload.machine, onload.version.as_deref()), (62, Some("9.2.1")));
    assert_eq!(onload.depends.len(), 2);
    assert!(
        !onload.signed.is_there()
            && onload.path.starts_with("/var/lib/onloadd/releases/9.2.1/lib/")
    );
    let broken = release(&world, "9.3.0-vermagic");
    assert!(!broken.modules.known().unwrap().contains_key(staged));
    assert_ne!(file(&broken, running, "sfc").vermagic, *kernels[running].vermagic.known().unwrap());
}
