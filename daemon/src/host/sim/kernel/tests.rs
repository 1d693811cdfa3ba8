//! The kernel's manners: what loads, binds, appears and refuses.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use onload_core::inventory::{ModuleState, Origin, Snapshot};
use onload_core::names::{ModuleName, ReleaseName};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, Step, StepError};

use super::super::world::World;

const P0: &str = "0000:3b:00.0";

impl World {
    /// One module, without what it needs.
    pub(in crate::host::sim) fn insert_alone(
        &mut self,
        module: &ModuleName,
        release: &ReleaseName,
    ) -> Result<(), StepError> {
        let not_found = || Err(StepError::NotFound { module: module.clone() });
        let found = self.find(module, release);
        found.map_or_else(not_found, |found| self.insert(found).unwrap_or(Ok(())))
    }
}

fn world(name: &str) -> World {
    World::parse(World::shipped(name).unwrap()).unwrap()
}

fn act(world: &mut World, lines: &[&str]) {
    for line in lines {
        world.act(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

fn refused(world: &mut World, line: &str) -> String {
    let before = world.snapshot();
    let error = world.act(&line.parse().unwrap()).expect_err(line).to_string();
    assert_eq!(world.snapshot(), before, "`{line}` is refused and changes nothing");
    error
}

fn load(module: &str, release: &str) -> Step {
    Step::LoadModule { module: module.parse().unwrap(), release: release.parse().unwrap() }
}

fn loaded(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.modules.known().unwrap().keys().map(ModuleName::as_str).collect()
}

fn refcount(world: &World, module: &str) -> u32 {
    *world.snapshot().module(module).known().unwrap().refcount.known().unwrap()
}

fn auxiliary(world: &World, port: &str) -> Vec<(String, Option<String>)> {
    let snapshot = world.snapshot();
    let port = &snapshot.ports.known().unwrap()[&port.parse().unwrap()];
    let devices = port.auxiliary.known().unwrap().iter();
    devices.map(|(name, driver)| (name.clone(), driver.known().cloned())).collect()
}

fn interface(world: &World, port: &str) -> Option<String> {
    let snapshot = world.snapshot();
    snapshot.interface_of(&port.parse().unwrap()).map(|(name, _)| name.to_string())
}

fn majors(world: &World) -> BTreeSet<u32> {
    let snapshot = world.snapshot();
    snapshot.device_nodes.values().filter_map(Reading::known).map(|node| node.major).collect()
}

#[test]
fn a_loaded_node_shows_what_the_real_one_shows() {
    let world = world("two-x2522");
    let snapshot = world.snapshot();
    assert_eq!(loaded(&snapshot), ["mtd", "onload", "sfc", "sfc_char", "sfc_resource"]);
    for (module, count) in [("onload", 4), ("sfc_char", 1), ("sfc_resource", 2), ("sfc", 0)] {
        assert_eq!(refcount(&world, module), count, "{module}");
    }
    let onload = snapshot.module("onload").into_known().unwrap();
    assert!(onload.holders.is_empty(), "the control-plane server is no module");
    assert_eq!(onload.origin(), Reading::Known(Origin::OutOfTree));
    assert_eq!(snapshot.module("sfc_char").into_known().unwrap().version, Reading::Absent);
    assert_eq!(interface(&world, P0).as_deref(), Some("ens1f0"));
    assert_eq!(
        auxiliary(&world, P0),
        [("sfc.onload.0".to_owned(), Some("sfc_resource.ef10".to_owned()))]
    );
    assert_eq!(snapshot.driver.control_plane.known().unwrap().len(), 1);
}

#[test]
fn onload_brings_what_it_needs_but_not_sfc() {
    let mut world = world("two-x2522");
    act(&mut world, &["driver gone sfc_resource", "unload sfc"]);
    assert_eq!(loaded(&world.snapshot()), ["mtd"]);
    assert_eq!(interface(&world, P0), None, "interfaces go with their driver");
    assert_eq!(world.apply(&load("onload", "host")), Ok(Outcome::Changed));
    assert_eq!(loaded(&world.snapshot()), ["mtd", "onload", "sfc_char", "sfc_resource"]);
    assert_eq!(refcount(&world, "onload"), 0, "right after modprobe nobody holds it");
    act(&mut world, &["control-plane starts"]);
    assert_eq!(refcount(&world, "onload"), 4);
    assert_eq!(auxiliary(&world, P0), []);
    act(&mut world, &["load sfc"]);
    assert_eq!(auxiliary(&world, P0)[0].1.as_deref(), Some("sfc_resource.ef10"), "any order works");
}

#[test]
fn unloading_waits_for_references_and_holders() {
    let mut world = world("two-x2522");
    assert!(refused(&mut world, "unload onload").contains("EAGAIN: it is in use (4 references)"));
    assert!(refused(&mut world, "unload sfc_resource").contains("by onload sfc_char"));
    act(&mut world, &["open /dev/onload 7", "open /dev/sfc_char 7", "run 8"]);
    assert_eq!(refcount(&world, "onload"), 4 + 2 + 5);
    assert_eq!(refcount(&world, "sfc_char"), 1 + 2);
    assert_eq!(world.snapshot().driver.stacks, Reading::Known(1));
    act(&mut world, &["close /dev/onload 7", "exit 8", "control-plane dies"]);
    assert_eq!(refcount(&world, "onload"), 0, "the server's death frees it");
    act(&mut world, &["unload onload"]);
    assert!(refused(&mut world, "unload sfc_char").contains("2 references"));
    act(&mut world, &["exit 7", "unload sfc_char", "unload sfc_resource"]);
    assert!(refused(&mut world, "unload onload").contains("ENOENT"));
    assert!(majors(&world).is_empty());
    assert!(world.snapshot().driver.version.is_absent());
}

#[test]
fn each_load_brings_new_majors() {
    let mut world = world("two-x2522");
    let before = majors(&world);
    act(&mut world, &["driver gone sfc_resource", "load onload"]);
    let after = majors(&world);
    assert_eq!((before.len(), after.len()), (3, 3));
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
}

#[test]
fn the_kernels_own_sfc_names_ports_and_accelerates_nothing() {
    let mut world = world("in-tree");
    assert_eq!(interface(&world, P0).as_deref(), Some("ens1f0np0"));
    assert_eq!(interface(&world, "0000:3b:00.1").as_deref(), Some("ens1f1np1"));
    assert_eq!(auxiliary(&world, P0), []);
    let snapshot = world.snapshot();
    let sfc = snapshot.module("sfc").into_known().unwrap();
    assert_eq!(
        (sfc.origin(), sfc.version.clone()),
        (Reading::Known(Origin::InTree), Reading::Absent)
    );
    assert_eq!(world.apply(&load("sfc", "host")), Ok(Outcome::Unchanged), "EEXIST is success");
    act(&mut world, &["driver gone sfc", "load sfc"]);
    assert_eq!(interface(&world, P0).as_deref(), Some("ens1f0"));
}

#[test]
fn the_kernels_own_sfc_does_not_know_the_x4() {
    let mut world = world("x4");
    let names: Vec<String> =
        auxiliary(&world, "0000:c1:00.0").into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["sfc.llct.0", "sfc.onload.0"]);
    assert_eq!(
        world.snapshot().module("onload").into_known().unwrap().taint,
        Reading::Known("OE".to_owned())
    );
    act(&mut world, &["driver gone sfc", "load sfc from in-tree"]);
    assert_eq!(interface(&world, "0000:c1:00.0"), None);
}

#[test]
fn a_key_counts_from_the_boot_after_its_enrolment() {
    let mut world = world("unenrolled-key");
    let rejected = Err(StepError::KeyRejected { module: "sfc".parse().unwrap() });
    assert_eq!(world.apply(&load("sfc", "host")), rejected);
    let boot = world.snapshot().boot_id;
    act(&mut world, &["enrol site-modules"]);
    assert_eq!(world.apply(&load("sfc", "host")), rejected, "this kernel came up without it");
    act(&mut world, &["reboot"]);
    assert_ne!(world.snapshot().boot_id, boot);
    assert_eq!(loaded(&world.snapshot()), ["mtd", "sfc"], "only what the hardware asks for");
    let taint = world.snapshot().module("sfc").into_known().unwrap().taint.clone();
    assert_eq!(taint, Reading::Known("O".to_owned()));
}

#[test]
fn no_module_for_this_kernel_or_release_is_not_found() {
    let mut world = world("no-card");
    for (module, release) in [("onload", "host"), ("sfc_char", "in-tree"), ("zzz", "9.9")] {
        let module_name = module.parse().unwrap();
        let expected = Err(StepError::NotFound { module: module_name });
        let changes = world.changes();
        assert_eq!(world.apply(&load(module, release)), expected, "{module}");
        assert_eq!(world.changes(), changes);
    }
    assert!(refused(&mut world, "load onload").contains("install the package"));
}

#[test]
fn symbols_of_another_version_are_refused() {
    let host = World::shipped("two-x2522").unwrap();
    let release = &host[host.find("[[release]]").unwrap()..host.find("[loaded]").unwrap()];
    let other = release.replace("name = \"host\"", "name = \"9.1.2\"");
    let other =
        other.replace("\"9.2.1\"", "\"9.1.2\"").replace("root = \"/\"", "root = \"/opt/o\"");
    let mut world = World::parse(&format!("{host}\n{other}")).unwrap();
    act(&mut world, &["control-plane dies", "unload onload"]);
    let error = world.apply(&load("onload", "9.1.2")).unwrap_err().to_string();
    assert!(error.contains("disagrees about version of symbols of sfc_resource"), "{error}");
    act(&mut world, &["driver gone sfc_resource", "load onload from 9.1.2"]);
    let snapshot = world.snapshot();
    assert_eq!(snapshot.driver.version, Reading::Known("9.1.2".to_owned()));
    assert_eq!(snapshot.releases.known().unwrap().len(), 3, "and the kernel's own");
    assert!(auxiliary(&world, P0)[0].1.is_some(), "a newer sfc serves an older Onload");
}

#[test]
fn functions_come_and_go() {
    let mut world = world("two-x2522");
    let index = |world: &World| {
        world.snapshot().interface_of(&P0.parse().unwrap()).map(|(_, interface)| interface.index)
    };
    let first = index(&world).unwrap();
    act(&mut world, &["rename ens1f0 fast0", &format!("link {P0} down")]);
    let snapshot = world.snapshot();
    let (name, renamed) = snapshot.interface_of(&P0.parse().unwrap()).unwrap();
    assert_eq!((name.as_str(), renamed.index), ("fast0", first));
    assert!(renamed.speed_mbps.is_absent(), "no speed without a link");
    assert!(refused(&mut world, "rename eno1 fast0").contains("EEXIST"));
    assert!(refused(&mut world, "rename nosuch x").contains("ENODEV"));
    act(&mut world, &[&format!("unplug {P0}")]);
    assert!(!world.snapshot().ports.known().unwrap().contains_key(&P0.parse().unwrap()));
    refused(&mut world, &format!("unplug {P0}"));
    refused(&mut world, &format!("bind {P0}"));
    act(&mut world, &["rename eno1 ens1f0", &format!("plug {P0}")]);
    assert_eq!(interface(&world, P0).as_deref(), Some("eth0"), "its name is taken meanwhile");
    assert!(index(&world).unwrap() > first, "a new interface, a new index");
    act(&mut world, &[&format!("unbind {P0}")]);
    assert_eq!((interface(&world, P0), auxiliary(&world, P0)), (None, vec![]));
    act(&mut world, &["rename ens1f0 eno1", &format!("bind {P0}")]);
    assert_eq!(interface(&world, P0).as_deref(), Some("ens1f0"));
    act(&mut world, &["driver gone sfc", &format!("unplug {P0}"), &format!("plug {P0}")]);
    assert_eq!(interface(&world, P0).as_deref(), Some("ens1f0"), "udev loads its driver");
}

#[test]
fn faults_do_what_they_say() {
    let mut world = world("two-x2522");
    let onload: ModuleName = "onload".parse().unwrap();
    act(&mut world, &["control-plane dies", "fault unload onload refused times 1"]);
    let error = world.act(&"unload onload".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("fault unload"), "{error}");
    act(&mut world, &["unload onload"]);

    act(&mut world, &["fault load onload not-found times 1", "fault load onload rejected times 1"]);
    act(&mut world, &["fault load onload error times 1"]);
    let step = load("onload", "host");
    assert_eq!(world.apply(&step), Err(StepError::NotFound { module: onload.clone() }));
    assert_eq!(world.apply(&step), Err(StepError::KeyRejected { module: onload.clone() }));
    assert!(matches!(world.apply(&step), Err(StepError::Failed(_))));

    act(&mut world, &["fault load onload hang times 1"]);
    assert_eq!(world.answer(&step), None);
    let snapshot = world.snapshot();
    let hung = snapshot.module("onload").into_known().unwrap();
    assert_eq!((hung.state, hung.refcount.clone()), (ModuleState::Coming, Reading::Absent));
    assert_eq!(world.answer(&step), None, "a second load waits for the first");
    assert!(refused(&mut world, "unload onload").contains("EBUSY"));
    assert!(
        snapshot.driver.version.is_absent() && snapshot.device_nodes["/dev/onload"].is_absent()
    );

    act(&mut world, &["driver gone sfc_resource", "fault no-nodes", "load onload"]);
    assert!(world.snapshot().device_nodes.values().all(Reading::is_absent));
    act(&mut world, &["fault no-aux", &format!("unbind {P0}"), &format!("bind {P0}")]);
    assert_eq!(auxiliary(&world, P0), []);

    for part in ["kernel", "boot-id", "ports", "interfaces", "modules", "releases"] {
        act(&mut world, &[&format!("fault unreadable {part}")]);
    }
    act(&mut world, &["fault unreadable driver", "fault unreadable device-nodes"]);
    let snapshot = world.snapshot();
    assert!(snapshot.kernel.is_unreadable() && snapshot.boot_id.is_unreadable());
    assert!(snapshot.ports.is_unreadable() && snapshot.interfaces.is_unreadable());
    assert!(snapshot.modules.is_unreadable() && snapshot.releases.is_unreadable());
    assert!(snapshot.driver.stacks.is_unreadable());
    assert!(snapshot.device_nodes.values().all(Reading::is_unreadable));
    act(&mut world, &["clear faults", &format!("fault unreadable {P0}")]);
    let snapshot = world.snapshot();
    let port = &snapshot.ports.known().unwrap()[&P0.parse().unwrap()];
    assert!(port.driver.is_unreadable() && port.vendor.known().is_some());
}

#[test]
fn libraries_go_and_come_back() {
    let mut world = world("two-x2522");
    act(&mut world, &["libraries of host gone"]);
    let host = |world: &World| {
        world.snapshot().releases.into_known().unwrap()[&"host".parse().unwrap()].clone()
    };
    let bare = host(&world);
    assert!(bare.libraries.is_empty() && bare.interfaces.is_absent(), "only modules are left");
    assert_eq!(bare.modules.into_known().unwrap().values().next().unwrap().len(), 4);
    act(&mut world, &["libraries of host back"]);
    assert_eq!(host(&world).libraries.len(), 3);
    assert!(refused(&mut world, "libraries of 9.9 gone").contains("name one of host"));
}
