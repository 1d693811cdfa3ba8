//! What is promised of names and of the network, each as one assertion.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::condition::{ConditionKind, Status};
use onload_core::inventory::{Depth, Snapshot};
use onload_core::ledger::Entry;
use onload_core::names::{InterfaceName, PciAddress};
use onload_core::naming::Key;
use onload_core::network::{Network, NetworkLink};
use onload_core::picture::{NodeState, Picture};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, Step, StepError};
use onloadd::host::sim::World;
use onloadd::host::sim::action::Action;
use onloadd::host::sim::faults::Fault;

/// What a port carried, of what is promised to be back.
#[derive(Clone, Debug)]
struct Carried {
    up: bool,
    mtu: u32,
    addresses: BTreeSet<String>,
    master: Option<InterfaceName>,
    settings: BTreeMap<String, u64>,
    /// VLANs on it, with their addresses.
    above: BTreeMap<InterfaceName, BTreeSet<String>>,
}

impl Carried {
    fn is_set_as(&self, other: &Self) -> bool {
        (self.up, self.mtu) == (other.up, other.mtu)
            && self.master == other.master
            && (self.settings.is_empty()
                || other.settings.is_empty()
                || self.settings == other.settings)
    }
}

/// What was seen of names and the network so far.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    /// The last look that went so far, in this boot.
    look: Option<Network>,
    /// What ports carried when their driver was taken away, until that is put back.
    before: BTreeMap<PciAddress, Carried>,
    /// What was looked at when it was kept, until a driver is taken away for it.
    kept: Option<Network>,
    /// The same, from then on until it is put back.
    gone: Network,
    /// How often somebody meddled, so that not all can be as it was; at the last look that went so far,
    /// and at what was kept by it.
    meddled: u32,
    meddled_at: (u32, Option<u32>),
    /// Something is to go wrong with what is put back.
    spoiled: bool,
    /// Renames that were done, and ports whose network came back: a run without any proves nothing.
    pub renamed: u32,
    /// Ports whose network came back.
    pub restored: u32,
}

impl Networks {
    pub(super) fn looked(&mut self, look: &Snapshot) {
        if let Some(network) = look.network.known() {
            self.look = Some(network.clone());
            self.meddled_at.0 = self.meddled;
        }
    }

    /// The boot has ended; what was kept in it is no longer owed.
    pub(super) fn rebooted(&mut self) {
        (self.look, self.kept) = (None, None);
        self.meddled_at.1 = None;
        self.before.clear();
    }

    /// The daemon ended, and may not read what it kept.
    pub(super) fn killed(&mut self, forgets: bool) {
        if forgets {
            self.before.clear();
        }
    }

    /// Somebody has done something: what they take away or spoil is not owed.
    pub(super) fn acted(&mut self, action: &Action, world: &World) {
        match action {
            Action::Unplug(port) | Action::Unbind(port) => {
                self.before.remove(port);
                self.meddled += 1;
            }
            Action::Rename { .. }
            | Action::Upper { .. }
            | Action::DriverGone(_)
            | Action::Load { .. }
            | Action::Unload(_)
            | Action::Register(_)
            | Action::Fault(Fault::Restore(_) | Fault::RenameBusy | Fault::OwnerGone) => {
                self.before.clear();
                self.kept = None;
                self.meddled += 1;
                self.spoiled |= matches!(action, Action::Fault(_));
            }
            Action::Fault(_) => (self.meddled, self.spoiled) = (self.meddled + 1, true),
            Action::ClearFaults => (self.meddled, self.spoiled) = (self.meddled + 1, false),
            Action::Address { interface, .. }
            | Action::Route { interface, .. }
            | Action::Mtu { interface, .. }
            | Action::Set { interface, .. } => {
                self.meddled += 1;
                let network = network(world);
                let port = network.links.get(interface).and_then(|link| link.port);
                match port {
                    Some(port) => drop(self.before.remove(&port)),
                    None => self.before.clear(),
                }
            }
            Action::Coldplug
            | Action::Link { .. }
            | Action::OwnersAct
            | Action::Contain { .. }
            | Action::Claim { .. }
            | Action::Plug(_)
            | Action::Bind(_)
            | Action::Open { .. }
            | Action::Close { .. }
            | Action::Run(_)
            | Action::Clock { .. }
            | Action::Exit(_)
            | Action::ClockProgram { .. }
            | Action::Alarm(_)
            | Action::ClockOffset { .. }
            | Action::ClockDrift { .. }
            | Action::TimeStep(_)
            | Action::Leap(_)
            | Action::Template(_)
            | Action::Unit { .. }
            | Action::ControlPlaneDies
            | Action::ControlPlaneStarts
            | Action::Other { .. }
            | Action::Server(_)
            | Action::Enrol(_)
            | Action::Revoke(_)
            | Action::Attend
            | Action::Reboot
            | Action::Libraries { .. }
            | Action::Nothing => {}
        }
    }

    /// A step begins; the world is as it was.
    pub(super) fn step_begun(&mut self, step: &Step, world: &World) {
        if !matches!(step, Step::UnloadModule { module } if module.as_str() == "sfc") {
            return;
        }
        // What nothing was kept of is not owed. It is kept once and put back once, however often a driver
        // goes in between.
        let Some(look) = self.kept.take() else { return };
        self.gone = look.clone();
        let look = &look;
        let there = network(world);
        let ports = clear(world).snapshot().ports.into_known().unwrap();
        for (name, link) in &look.links {
            let Some(port) = link.port.filter(|port| {
                ports.get(port).is_some_and(|one| one.driver.known().is_some_and(|is| is == "sfc"))
            }) else {
                continue;
            };
            // What came after the look is nobody's promise, and neither is what went.
            let same = there.links.get(name).filter(|now| now.port == link.port);
            let Some(now) = same else { continue };
            let carried = carried(name, link, look);
            let mut since = self::carried(name, now, &there);
            if !since.is_set_as(&carried) {
                continue;
            }
            since.settings.retain(|one, _| carried.settings.contains_key(one));
            since.addresses.retain(|one| carried.addresses.contains(one));
            since.above.retain(|one, _| carried.above.contains_key(one));
            for (vlan, addresses) in &mut since.above {
                addresses.retain(|one| carried.above[vlan].contains(one));
            }
            self.before.insert(port, since);
        }
    }

    /// A step was carried out on a world that was so before.
    pub(super) fn step_done(
        &mut self,
        step: &Step,
        result: Option<&Result<Outcome, StepError>>,
        before: &World,
        world: &World,
    ) {
        assert_eq!(world.oopses(), 0, "{step}: the kernel is no more");
        let Step::Rename(all) = step else { return };
        let (before, after) = (network(before), network(world));
        let named = |network: &Network, port: &PciAddress| {
            let found = network.links.iter().find(|(_, link)| link.port.as_ref() == Some(port));
            found.map(|(name, _)| name.clone())
        };
        for one in all {
            let now = named(&after, &one.port);
            match result {
                Some(Ok(_)) => {
                    assert!(now.is_none_or(|now| now == one.to), "half renamed: {step}");
                    self.renamed += 1;
                }
                Some(Err(_)) | None => {
                    assert_eq!(now, named(&before, &one.port), "half renamed: {step}");
                    self.meddled += 1;
                }
            }
        }
    }

    /// What is said to be back is back.
    pub(super) fn recorded(&mut self, entries: &[Entry], world: &World) {
        for entry in entries {
            if let Entry::NetworkKept(kept) = entry {
                self.kept = self.look.clone();
                // Of what nobody has set up at boot they are the driver's own, and not owed.
                for (name, link) in self.kept.iter_mut().flat_map(|kept| &mut kept.links) {
                    let owed = kept.network.links.get(name);
                    link.settings.retain(|_, _| owed.is_some_and(|one| !one.settings.is_empty()));
                }
                self.meddled_at.1 = Some(self.meddled_at.0);
            }
            let Entry::NetworkRestored { differences } = entry else { continue };
            let calm = self.meddled_at.1.take() == Some(self.meddled);
            let meddled = !calm || self.spoiled;
            let now = network(world);
            let undriven = undriven(&std::mem::take(&mut self.gone), world);
            let owed = |line: &&String| {
                let gone = line.strip_suffix(" is not there");
                !is_somebodys_wish(line, &now) && !gone.is_some_and(|name| undriven.contains(name))
            };
            let left: Vec<_> = differences.iter().filter(owed).collect();
            assert!(meddled || left.is_empty(), "nobody meddled, and yet: {left:?}");
            for (port, carried) in std::mem::take(&mut self.before) {
                let found = now.links.iter().find(|(_, link)| link.port == Some(port));
                if let Some((name, link)) = found.filter(|_| differences.is_empty()) {
                    is_back(&carried, &self::carried(name, link, &now), name);
                    self.restored += 1;
                }
            }
        }
    }

    /// What holds once nothing is under way, of a node that says it is well.
    pub fn settled(&self, picture: &Picture, world: &World) {
        let well = matches!(picture.state, NodeState::Ready | NodeState::Idle);
        let said = picture.conditions.iter().find(|one| one.kind == ConditionKind::NamesPinned);
        let said = said.map(|one| one.status);
        if !well || picture.hold.is_some() || said != Some(Status::True) {
            return;
        }
        let look = clear(world).snapshot();
        let Reading::Known(pins) = &look.pins else { return };
        for (name, interface) in look.interfaces.known().unwrap() {
            let mac = interface.permanent_mac.known().map(|mac| Key::Mac(*mac));
            let pci = interface.port.known().map(|port| Key::Pci(*port));
            let pin = mac.into_iter().chain(pci).find_map(|key| pins.get(&key));
            let as_pinned = pin.is_none_or(|pin| pin.name == *name);
            assert!(as_pinned, "{name} is said to be called as {pin:?} has it");
        }
    }
}

/// A copy of a world in which nothing is hidden.
fn clear(world: &World) -> World {
    let mut seen = world.clone();
    seen.act(&Action::ClearFaults).unwrap();
    seen
}

/// What everything carries, hidden or not.
pub fn network(world: &World) -> Network {
    clear(world).look(Depth::Network).network.into_known().unwrap()
}

fn carried(name: &InterfaceName, link: &NetworkLink, network: &Network) -> Carried {
    let addresses =
        |link: &NetworkLink| link.addresses.iter().map(|one| one.shown.clone()).collect();
    let above = network.links.iter().filter(|(_, one)| one.below.as_ref() == Some(name));
    Carried {
        up: link.up,
        mtu: link.mtu,
        addresses: addresses(link),
        master: link.master.clone(),
        settings: link.settings.clone(),
        above: above.map(|(name, one)| (name.clone(), addresses(one))).collect(),
    }
}

/// What was on ports that are there and that the driver of now does not take: the kernel's own, say,
/// knows fewer cards.
fn undriven(gone: &Network, world: &World) -> BTreeSet<String> {
    let ports = clear(world).snapshot().ports.into_known().unwrap();
    let left = |port: &PciAddress| ports.get(port).is_some_and(|one| one.driver.is_absent());
    let all = gone.links.values().filter_map(|link| link.port).filter(left).collect();
    let network = onload_core::network::affected(gone, &all).network;
    network.links.into_keys().map(|name| name.to_string()).collect()
}

/// Whether a difference is what somebody else has meanwhile made of the ports, by what they were told
/// before: no loss, and not to be undone.
fn is_somebodys_wish(line: &str, now: &Network) -> bool {
    // A port that is pinned otherwise than it was called when the driver went, and with it an owner that
    // knows it by another name.
    if line.contains(" is called ") || line.contains(": owner is ") {
        return true;
    }
    // A name that udev, or a pin, has given to another link first: the kernel has none twice.
    if let Some((before, other)) = line.split_once(" leads to ") {
        let name = before
            .split_once(": alternative name ")
            .map(|(_, name)| name)
            .or_else(|| before.split_once(" is not there: ").map(|(name, _)| name))
            .unwrap();
        let (own, link) =
            now.links.get_key_value(&other.strip_suffix(" now").unwrap().parse().unwrap()).unwrap();
        return link.port.is_some() && (own.as_str() == name || link.altnames.contains(name));
    }
    // What a port's owner brings each time, though somebody had taken it away.
    let name = line
        .strip_suffix(" is up, was down")
        .or_else(|| line.strip_suffix(" is there beside")?.split_once(": ").map(|(name, _)| name));
    let owned = name.and_then(|name| now.links.get(&name.parse().ok()?));
    owned.is_some_and(|link| !link.owner.is_nobody())
}

fn is_back(before: &Carried, now: &Carried, name: &InterfaceName) {
    let has = |before: &BTreeSet<String>, now: &BTreeSet<String>| before.is_subset(now);
    let above = before
        .above
        .iter()
        .all(|(vlan, addresses)| now.above.get(vlan).is_some_and(|now| has(addresses, now)));
    assert!(
        before.is_set_as(now) && above && has(&before.addresses, &now.addresses),
        "{name} is said to be as it was:\n{before:?}\n{now:?}"
    );
}

/// Whether a default route leaves by an interface, or by what is stacked on it.
pub(super) fn leads_out(name: &InterfaceName, network: &Network) -> bool {
    let mut seen = BTreeSet::from([name.clone()]);
    let mut open = vec![name.clone()];
    while let Some(name) = open.pop() {
        let Some(link) = network.links.get(&name) else { continue };
        if link.routes.iter().any(|route| route.default) {
            return true;
        }
        let on_it = network.links.iter().filter(|(_, one)| one.below.as_ref() == Some(&name));
        let all = on_it.map(|(name, _)| name.clone()).chain(link.master.clone());
        open.extend(all.filter(|one| seen.insert(one.clone())));
    }
    false
}
