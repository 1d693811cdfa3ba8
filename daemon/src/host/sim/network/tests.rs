//! What interfaces carry, and what of it is there after a driver went.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use onload_core::inventory::Depth;
use onload_core::network::{Deed, Network, NetworkLink, Owner, Raw};
use onload_core::step::{Outcome, Step, StepError};

use super::World;

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

fn refused(world: &mut World, line: &str, expected: &str) {
    let error = world.act(&line.parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains(expected), "{line}: {error}");
}

fn network(world: &World) -> Network {
    world.look(Depth::Network).network.into_known().unwrap()
}

fn link(world: &World, name: &str) -> NetworkLink {
    let network = network(world);
    let known = network.links.keys().cloned().collect::<Vec<_>>();
    network.links.get(&name.parse().unwrap()).unwrap_or_else(|| panic!("{name}: {known:?}")).clone()
}

fn has(world: &World, name: &str) -> bool {
    network(world).links.contains_key(&name.parse().unwrap())
}

/// The driver of every port goes and comes.
fn swap(world: &mut World) {
    act(world, &["driver gone sfc", "load sfc from in-tree"]);
}

/// Everything of a link, as deeds.
fn deeds(name: &str, link: &NetworkLink) -> Vec<Deed> {
    let name: onload_core::names::InterfaceName = name.parse().unwrap();
    let mut deeds = Vec::new();
    if let Some(made) = &link.made {
        deeds.push(Deed::Make {
            link: name.clone(),
            below: link.below.clone(),
            kind: made.kind.clone(),
            data: made.data.clone(),
        });
    }
    for (setting, value) in &link.settings {
        let (group, setting) = setting.split_once('.').unwrap();
        let settings = BTreeMap::from([(setting.to_owned(), *value)]);
        deeds.push(Deed::Set { link: name.clone(), group: group.to_owned(), settings });
    }
    if let Some(master) = link.master.clone() {
        deeds.push(Deed::Join { link: name.clone(), master, membership: Raw::default() });
    }
    deeds.push(Deed::Mtu { link: name.clone(), mtu: link.mtu });
    deeds.push(Deed::Up { link: name.clone(), up: link.up });
    deeds.extend(
        link.addresses.iter().map(|one| Deed::Address { link: name.clone(), address: one.clone() }),
    );
    deeds.extend(link.routes.iter().map(|one| Deed::Route { route: one.clone() }));
    deeds
}

#[test]
fn what_a_look_reads_of_the_network_depends_on_how_far_it_goes() {
    let world = world();
    assert!(world.look(Depth::Usual).network.is_absent());
    assert!(world.look(Depth::Modules).network.is_absent());
    assert_eq!(world.look(Depth::Users).network, world.look(Depth::Network).network);
    assert_eq!(world.snapshot().network_root.known(), Some(&false));
    let link = link(&world, "ens1f0");
    assert!(link.up && link.mtu == 1500 && link.port.is_some(), "{link:?}");
}

#[test]
fn a_driver_takes_what_its_ports_carry_and_deeds_put_it_back() {
    let mut world = world();
    act(
        &mut world,
        &[
            "mtu ens1f0 9000",
            "set ens1f0 ring.rx 4096",
            "address ens1f0 192.0.2.1/24",
            "route ens1f0 default",
            "route ens1f0 198.51.100.0/24",
            "upper ens1f0 ens1f0.100",
            "address ens1f0.100 192.0.2.65/26",
            "mtu ens1f0.100 8000",
            "upper ens1f1 bond0",
            "upper ens4f0 bond0",
            "upper bond0 bond0.7",
            "address bond0 203.0.113.1/24",
            "rename ens1f0 fast0",
        ],
    );
    refused(&mut world, "upper ens1f1 bond1", "EBUSY");
    refused(&mut world, "upper ens4f1 ens1f1", "EINVAL");
    refused(&mut world, "upper lo bond0", "EOPNOTSUPP");
    refused(&mut world, "upper bond0 br0", "ELOOP");
    refused(&mut world, "mtu ens1f0.100 9100", "ERANGE");
    refused(&mut world, "set ens1f0.100 ring.rx 1", "EOPNOTSUPP");
    let before = network(&world);
    assert_eq!(link(&world, "ens1f0.100").below, Some("fast0".parse().unwrap()), "by number");
    assert_eq!(link(&world, "bond0").mac, link(&world, "ens1f1").mac);
    assert_eq!(link(&world, "ens4f0").mac, link(&world, "ens1f1").mac);
    swap(&mut world);
    let bare = link(&world, "ens1f0np0");
    assert!(!bare.up && bare.mtu == 1500 && bare.addresses.is_empty() && bare.routes.is_empty());
    assert!(!has(&world, "ens1f0.100") && has(&world, "bond0.7"));
    let bond = link(&world, "bond0");
    assert_eq!(bond.addresses.len(), 1, "a bond stays");
    assert_ne!(bond.mac, before.links[&"bond0".parse().unwrap()].mac, "under another address");
    act(
        &mut world,
        &["rename ens1f0np0 fast0", "rename ens1f1np1 ens1f1", "rename ens4f0np0 ens4f0"],
    );
    let names = ["fast0", "ens1f0.100", "ens1f1", "ens4f0", "bond0"];
    let all: Vec<_> =
        names.iter().flat_map(|name| deeds(name, &before.links[&name.parse().unwrap()])).collect();
    let step = Step::RestoreNetwork(all);
    assert_eq!(world.apply(&step), CHANGED);
    assert_eq!(world.apply(&step), UNCHANGED);
    let after = network(&world);
    for name in names {
        let name = name.parse().unwrap();
        assert_eq!(after.links[&name], before.links[&name], "{name}");
    }
}

#[test]
fn deeds_are_refused_as_by_the_kernel_and_faults_say_nothing() {
    let mut world = world();
    act(&mut world, &["address ens1f0 192.0.2.1/24", "route ens1f0 default", "fault restore mtu"]);
    let name = || "ens1f0".parse().unwrap();
    let before = link(&world, "ens1f0");
    let route = before.routes.first().unwrap().clone();
    let one = |world: &mut World, deed| world.apply(&Step::RestoreNetwork(vec![deed]));
    assert_eq!(one(&mut world, Deed::Up { link: name(), up: false }), CHANGED);
    assert!(link(&world, "ens1f0").routes.is_empty(), "they go with it");
    assert_eq!(one(&mut world, Deed::Route { route: route.clone() }), UNCHANGED, "ENETDOWN");
    assert_eq!(one(&mut world, Deed::Mtu { link: name(), mtu: 9000 }), UNCHANGED, "the fault");
    assert_eq!(one(&mut world, Deed::Mtu { link: "gone".parse().unwrap(), mtu: 9 }), UNCHANGED);
    act(&mut world, &["clear faults"]);
    assert_eq!(one(&mut world, Deed::Mtu { link: name(), mtu: 9000 }), CHANGED);
    assert_eq!(one(&mut world, Deed::Up { link: name(), up: true }), CHANGED);
    assert_eq!(one(&mut world, Deed::Route { route }), CHANGED);
    assert_eq!(one(&mut world, Deed::Functions { link: name(), count: 121 }), UNCHANGED);
    assert_eq!(one(&mut world, Deed::Functions { link: name(), count: 2 }), CHANGED);
    let port =
        world.snapshot().ports.into_known().unwrap()[&"0000:3b:00.0".parse().unwrap()].clone();
    assert_eq!(port.sriov.known().unwrap().enabled, 2);
    act(&mut world, &["upper ens1f0 none", "reboot"]);
    assert!(link(&world, "ens1f0").functions.is_empty());
}

#[test]
fn an_owner_sets_up_what_comes_back_under_its_name_or_when_it_is_asked() {
    let text = World::shipped("two-x2522").unwrap();
    let owned =
        "netdev = \"ens1f0\"\nowner = \"network-manager\"\naddresses = [\"192.0.2.1/24\"]\n#";
    let text = text.replacen("netdev = \"ens1f0\"", owned, 1);
    let mut world = World::parse(&text).unwrap();
    let before = link(&world, "ens1f0");
    let Owner::NetworkManager(_) = &before.owner else { panic!("{before:?}") };
    let step = Step::HandBack { interface: "ens1f0".parse().unwrap(), owner: before.owner.clone() };
    assert_eq!(world.apply(&step), UNCHANGED);
    assert!(!world.owner_is_due());
    swap(&mut world);
    assert!(!world.owner_is_due(), "not under this name");
    assert_eq!(link(&world, "ens1f0np0").owner, Owner::Nobody);
    act(&mut world, &["rename ens1f0np0 ens1f0"]);
    assert!(world.owner_is_due());
    act(&mut world, &["fault owner-asks"]);
    assert!(!world.owner_is_due());
    refused(&mut world, "owner acts", "no owner has anything to do");
    act(&mut world, &["fault owner-gone"]);
    assert!(world.apply(&step).is_err());
    act(&mut world, &["clear faults", "fault owner-asks"]);
    assert_eq!(world.apply(&step), CHANGED);
    assert_eq!(link(&world, "ens1f0").addresses, before.addresses);
    act(&mut world, &["clear faults"]);
    swap(&mut world);
    act(&mut world, &["rename ens1f0np0 ens1f0", "owner acts"]);
    let after = link(&world, "ens1f0");
    assert_eq!((after.addresses, after.up, after.owner), (before.addresses, true, before.owner));
    refused(&mut world, "owner acts", "no owner has anything to do");
}
