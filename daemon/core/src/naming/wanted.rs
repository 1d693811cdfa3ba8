//! What pins there should be, by each policy.

use std::collections::{BTreeMap, BTreeSet};

use super::link_file::{Ruling, ruling};
use super::pin::{Index, Key, Pin, Pins, Trouble, Weight, is_own, is_permanent, pin_of};
use super::render::is_rendered;
use super::rule;
use super::udev::UdevNames;
use super::{Conflict, PortName, Source, Subject};
use crate::config::{NamingPolicy, NamingSettings, PortNaming};
use crate::inventory::{Interface, NameOrigin, Snapshot};
use crate::names::{InterfaceName, PciAddress};
use crate::reading::Reading;

mod in_force;

use in_force::InForce;

/// What pins there should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// All of them.
    pub pins: Pins,
    /// Ports that get none, or another one than asked for.
    pub troubles: Vec<Trouble>,
    /// Ports that udev is about to name, so that what to pin is not known yet.
    pub awaited: BTreeSet<PciAddress>,
}

/// What pins there should be by this policy. While ports or interfaces cannot be told, those that are.
pub fn wanted(
    rows: &[PortName],
    snapshot: &Snapshot,
    settings: &NamingSettings,
    policy: NamingPolicy,
) -> Wanted {
    let now = snapshot.pins.known().cloned().unwrap_or_default();
    let blind = snapshot.ports.known().is_none() || snapshot.interfaces.known().is_none();
    match policy {
        NamingPolicy::Off => Wanted::default(),
        NamingPolicy::Keep | NamingPolicy::Explicit if blind => {
            Wanted { pins: now, ..Wanted::default() }
        }
        NamingPolicy::Keep => keep(rows, snapshot, settings, now),
        NamingPolicy::Explicit => explicit(rows, snapshot, settings, &now),
    }
}

/// Whether udev is done with an interface, as far as that can be told.
pub(super) fn is_settled(interface: &Interface, snapshot: &Snapshot) -> bool {
    let renaming = interface.udev.known().is_some_and(|udev| udev.renaming);
    !renaming && snapshot.udev_done.known().is_none_or(|done| done.contains(&interface.index))
}

/// What to do where a pin would switch somebody's own file off.
const UNPINNED: &str = "say `policy = \"off\"` in [naming]";

fn keep(rows: &[PortName], snapshot: &Snapshot, settings: &NamingSettings, now: Pins) -> Wanted {
    // Who has not asked for names gets drivers replaced without.
    let asked = if settings.policy.is_some() { Weight::Bars } else { Weight::Tells };
    let index = Index::of(snapshot);
    let mut wanted = Wanted { pins: now, ..Wanted::default() };
    let mut former = take_out_ambiguous(&mut wanted.pins, &index);
    for row in rows {
        let Some((port, name, interface)) = there(row, snapshot) else { continue };
        let pinned = pin_of(&wanted.pins, port, Some(interface)).map(|(key, _)| key);
        // A MachineConfig has pinned it, by a file that is asked before.
        if row.given.is_some() {
            pinned.and_then(|key| wanted.pins.remove(&key));
            continue;
        }
        if pinned.is_some() {
            continue;
        }
        if !is_settled(interface, snapshot) {
            wanted.awaited.insert(port);
            continue;
        }
        let file = InForce::of(port, interface, snapshot);
        // Somebody has pinned it already.
        if file.as_ref().is_some_and(|file| file.calls(name)) {
            continue;
        }
        let told = |why, fix: &str| Trouble {
            subject: port.to_string(),
            why,
            fix: fix.to_owned(),
            weight: Weight::Tells,
        };
        if let Some(objection) = rule::objection(name.as_str()) {
            let why = format!("{name} is not pinned: {}", objection.why());
            let fix = "give the port another name, with `policy = \"explicit\"` in [naming]";
            wanted.troubles.push(told(why, fix));
            continue;
        }
        let Some(key) = key(row, port, interface, &index) else {
            let why = format!(
                "{name} is not pinned: neither address nor place tell it from other interfaces"
            );
            wanted.troubles.push(told(why, "name it with a .link file of your own"));
            continue;
        };
        let against = |file: &InForce<'_>| file.against(&key, port, name, UNPINNED, asked);
        if let Some(against) = file.as_ref().and_then(against) {
            wanted.troubles.push(against);
            continue;
        }
        if let Some(other) = overruled(&key, name, port, interface, snapshot) {
            wanted.troubles.push(other.trouble(port.to_string(), name, Weight::Tells));
            if other.to.is_some() {
                continue;
            }
        }
        let holder = wanted.pins.iter().find(|(_, pin)| pin.name == *name).map(|(key, _)| *key);
        match holder {
            Some(holder) if index.is_there(&holder) => {
                let why = format!("{name} is not pinned: it is pinned already, for {holder}");
                let fix = "give one of the two another name; `onloadctl naming plan` shows both";
                wanted.troubles.push(told(why, fix));
                continue;
            }
            // Whoever is there needs it more.
            Some(absent) => {
                wanted.pins.remove(&absent);
            }
            None => {}
        }
        let pin = former
            .remove(name)
            .unwrap_or_else(|| Pin { name: name.clone(), altnames: BTreeSet::new() });
        wanted.pins.insert(key, pin);
    }
    wanted
}

/// Takes out what matches several interfaces by address, by name: udev would call all of them so.
fn take_out_ambiguous(pins: &mut Pins, index: &Index<'_>) -> BTreeMap<InterfaceName, Pin> {
    let ambiguous = |key: &Key| match key {
        Key::Mac(mac) => !index.tells_apart(mac),
        Key::Pci(_) => false,
    };
    let keys: Vec<_> = pins.keys().filter(|key| ambiguous(key)).copied().collect();
    let out = keys.iter().filter_map(|key| pins.remove(key));
    out.map(|pin| (pin.name.clone(), pin)).collect()
}

/// A port that has an interface.
pub(super) fn there<'a>(
    row: &'a PortName,
    snapshot: &'a Snapshot,
) -> Option<(PciAddress, &'a InterfaceName, &'a Interface)> {
    let port = row.address()?;
    let name = row.today.as_ref()?;
    let interface = snapshot.interfaces.known()?.get(name)?;
    Some((port, name, interface))
}

/// By what a port is matched that nobody chose it for. The address of a virtual function is set by
/// whoever uses it.
fn key(row: &PortName, port: PciAddress, interface: &Interface, index: &Index<'_>) -> Option<Key> {
    let mac = interface.permanent_mac.known().filter(|mac| row.physical && index.tells_apart(mac));
    mac.copied().map(Key::Mac).or_else(|| index.is_single(&port).then_some(Key::Pci(port)))
}

fn explicit(
    rows: &[PortName],
    snapshot: &Snapshot,
    settings: &NamingSettings,
    now: &Pins,
) -> Wanted {
    let index = Index::of(snapshot);
    let mut wanted = Wanted::default();
    let mut stay = Vec::new();
    for row in rows {
        let table =
            settings.ports.iter().find(|table| row.configured.as_ref() == Some(&table.name));
        let (port, interface) = match &row.subject {
            Subject::Port(port) => (Some(*port), there(row, snapshot).map(|(.., one)| one)),
            Subject::Nobody(_) => (None, None),
        };
        let key = table.and_then(|table| key_by(table, port));
        let mut troubles = conflicts(row, table);
        let mut called = row.given.is_some();
        if let (Some(table), Some(key)) = (table, key) {
            troubles.extend(misplaced(row, table, &key, &index));
            troubles.extend(given_otherwise(row, table, interface));
            if let (Some(port), Some(interface)) = (port, interface) {
                let other = overruled(&key, &table.name, port, interface, snapshot);
                troubles.extend(other.map(|other| {
                    let weight = if other.to.is_some() { Weight::Bars } else { Weight::Tells };
                    other.trouble(port.to_string(), &table.name, weight)
                }));
                let file = InForce::of(port, interface, snapshot);
                called |= file.as_ref().is_some_and(|file| file.calls(&table.name));
                let fix = "remove that file";
                let against = file
                    .filter(|_| !called)
                    .and_then(|file| file.against(&key, port, &table.name, fix, Weight::Bars));
                troubles.extend(against);
            }
        }
        let has = port.and_then(|port| pin_of(now, port, interface));
        let has = has.or_else(|| key.and_then(|key| Some((key, now.get(&key)?))));
        let refused = troubles.iter().any(|one| one.weight == Weight::Bars)
            || port.is_none() && troubles.iter().any(|one| one.weight == Weight::Tells);
        wanted.troubles.extend(troubles);
        match (table, key) {
            (Some(table), Some(key)) if !refused && !called => {
                let mut altnames = has.map(|(_, pin)| pin.altnames.clone()).unwrap_or_default();
                altnames.extend(row.today.as_ref().map(ToString::to_string));
                wanted.pins.insert(key, Pin { name: table.name.clone(), altnames });
            }
            _ if refused => stay.extend(has.map(|(key, pin)| (key, pin.clone()))),
            _ => {}
        }
    }
    for (key, pin) in stay {
        if wanted.pins.values().all(|other| other.name != pin.name) {
            wanted.pins.entry(key).or_insert(pin);
        }
    }
    tidy_altnames(&mut wanted.pins, snapshot, &index);
    wanted
}

/// By what a table has a port matched. One that is not there is known by what the table says alone.
fn key_by(table: &PortNaming, port: Option<PciAddress>) -> Option<Key> {
    table.mac.map(Key::Mac).or_else(|| port.or(table.pci).map(Key::Pci))
}

/// What is wrong with a name that is configured, as far as it is the configuration's.
fn conflicts(row: &PortName, table: Option<&PortNaming>) -> Vec<Trouble> {
    let weight = |conflict: &Conflict| match conflict {
        Conflict::SameName { by, .. } | Conflict::Taken { by, .. } | Conflict::Unfit { by, .. } => {
            by.contains(&Source::Configured).then_some(Weight::Bars)
        }
        Conflict::SameAddress { .. } => {
            table.is_some_and(|table| table.mac.is_some()).then_some(Weight::Bars)
        }
        Conflict::SeveralNames { .. } => Some(Weight::Bars),
        Conflict::NotThere { .. } => Some(Weight::Aside),
        Conflict::PassedOver { .. } => None,
    };
    let subject = row.subject.to_string();
    let told = row.conflicts.iter().filter_map(|conflict| {
        Some(Trouble {
            subject: subject.clone(),
            why: conflict.told(),
            fix: conflict.fix(),
            weight: weight(conflict)?,
        })
    });
    told.collect()
}

/// What is wrong with a pin beside conflicts of names: it would match no port or several, or the name
/// would not be free when its port comes.
fn misplaced(row: &PortName, table: &PortNaming, key: &Key, index: &Index<'_>) -> Option<Trouble> {
    let name = &table.name;
    let trouble = |why, fix: &str, weight| {
        Some(Trouble { subject: row.subject.to_string(), why, fix: fix.to_owned(), weight })
    };
    let by_place = "name the port by `pci` or `port-number` in [naming], not by `mac`";
    match key {
        Key::Mac(mac) if !is_permanent(mac) => {
            let why = format!("{name} is not pinned: no port has the permanent address {mac}");
            return trouble(why, by_place, Weight::Bars);
        }
        // Two Solarflare ports are told as a conflict.
        Key::Mac(mac) if !index.tells_apart(mac) && row.conflicts.is_empty() => {
            let why = format!("{name} is not pinned: several interfaces have the address {mac}");
            return trouble(why, by_place, Weight::Bars);
        }
        Key::Pci(port) if !index.is_single(port) => {
            let why = format!("{name} is not pinned: {port} has several interfaces");
            return trouble(why, "name it by `mac` in [naming]", Weight::Bars);
        }
        Key::Mac(_) | Key::Pci(_) => {}
    }
    let absent = matches!(row.subject, Subject::Nobody(_));
    let holder = index.other_holder(name.as_str(), None).filter(|_| absent)?;
    let why = format!("{name} is not pinned for it: interface {holder} has that name");
    trouble(why, "choose another name in [naming]", Weight::Tells)
}

/// Why a port that has no interface yet will not be called as configured; of one that has, what udev
/// comes to tells.
fn given_otherwise(
    row: &PortName,
    table: &PortNaming,
    interface: Option<&Interface>,
) -> Option<Trouble> {
    let given = row.given.as_ref().filter(|given| given.name != table.name);
    let given = given.filter(|_| interface.is_none())?;
    let other = Overruled { by: given.file.clone(), to: Some(given.name.to_string()) };
    let weight = if row.address().is_some() { Weight::Tells } else { Weight::Aside };
    Some(other.trouble(row.subject.to_string(), &table.name, weight))
}

/// Leaves out alternative names that the kernel would refuse, or that would take a name from others.
fn tidy_altnames(pins: &mut Pins, snapshot: &Snapshot, index: &Index<'_>) {
    let names: BTreeSet<String> = pins.values().map(|pin| pin.name.to_string()).collect();
    let mut taken = BTreeSet::new();
    let interfaces = snapshot.interfaces.known();
    for (key, pin) in pins.iter_mut() {
        let own = interfaces.into_iter().flatten().find(|(_, interface)| match key {
            Key::Mac(mac) => interface.permanent_mac.known() == Some(mac),
            Key::Pci(port) => interface.port.known() == Some(port),
        });
        let own = own.map(|(name, _)| name);
        pin.altnames.retain(|one| {
            !names.contains(one)
                && rule::objection(one).is_none()
                && index.other_holder(one, own).is_none()
                && taken.insert(one.clone())
        });
    }
}

/// Whether somebody's own file gives a port its name.
pub(super) fn is_called_by_file(
    name: &InterfaceName,
    port: PciAddress,
    interface: &Interface,
    snapshot: &Snapshot,
) -> bool {
    InForce::of(port, interface, snapshot).is_some_and(|file| file.calls(name))
}

/// What is asked before a pin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overruled {
    /// The file, or what else.
    pub(super) by: String,
    /// What it names the port; none where that depends.
    pub(super) to: Option<String>,
}

impl Overruled {
    pub(super) fn trouble(&self, subject: String, name: &InterfaceName, weight: Weight) -> Trouble {
        let Self { by, to } = self;
        let to = to.as_ref().map(|to| format!(" and calls it {to}")).unwrap_or_default();
        let why = format!("a pin of {name} does not count: {by} comes first{to}");
        Trouble { subject, why, fix: self.fix(), weight }
    }

    /// What to do about it.
    pub(super) fn fix(&self) -> String {
        let Self { by, .. } = self;
        // What is edited on the node, its MachineConfig puts back.
        match is_rendered(by.rsplit('/').next().unwrap_or_default()) {
            true => "have [naming] call it the same, or render the MachineConfig's link files anew (`onloadctl naming render`)".to_owned(),
            false => format!("take the port out of {by}, or have [naming] call it the same"),
        }
    }
}

/// Whether somebody else's file or rule names a port before the pin is asked.
pub(super) fn overruled(
    key: &Key,
    name: &InterfaceName,
    port: PciAddress,
    interface: &Interface,
    snapshot: &Snapshot,
) -> Option<Overruled> {
    let udev = interface.udev.known()?;
    by_rule(name, interface, udev, snapshot)
        .or_else(|| by_file(key, port, interface, udev, snapshot))
        .filter(|other| other.to.as_deref() != Some(name.as_str()))
}

/// A rule's `NAME=` comes before every file; it shows by udev having come to another name than the one
/// that the interface was given (reference/interface-naming.md section 1). So does somebody's `ip link
/// set`, which is over with the interface: what it is cannot be told, so no name is said.
fn by_rule(
    name: &InterfaceName,
    interface: &Interface,
    udev: &UdevNames,
    snapshot: &Snapshot,
) -> Option<Overruled> {
    let interfaces = snapshot.interfaces.known()?;
    let today = interfaces.iter().find(|(_, one)| std::ptr::eq(*one, interface))?.0;
    let given = interface.name_origin == Reading::Known(NameOrigin::Renamed);
    let evaluated = udev.name.as_deref()?;
    // What onloadd renamed is called as it is pinned.
    (given && evaluated != today.as_str() && today != name).then(|| Overruled {
        by: format!(
            "whoever called it {today} where udev came to {evaluated} (a rule with NAME=?)"
        ),
        to: None,
    })
}

fn by_file(
    key: &Key,
    port: PciAddress,
    interface: &Interface,
    udev: &UdevNames,
    snapshot: &Snapshot,
) -> Option<Overruled> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let own = key.file();
    let comes_first = |path: &str| {
        let file = base(path);
        !is_own(&file) && file < own
    };
    let files = snapshot.link_files.known()?;
    let first = files.iter().filter(|(path, _)| comes_first(path));
    let first = Reading::Known(first.map(|(path, file)| (path.clone(), file.clone())).collect());
    let driver = snapshot.ports.known().and_then(|ports| ports.get(&port)?.driver.known());
    let driver = driver.map_or("sfc", String::as_str);
    if let Ruling::Named { name, file } = ruling(&first, interface, udev, driver) {
        return Some(Overruled { by: file, to: Some(name) });
    }
    // What is in force was asked before the pin and always will be with this driver.
    let path = udev.link_file.as_ref().filter(|path| comes_first(path))?;
    let plain =
        files.get(path).filter(|file| file.name_policy.as_deref().is_none_or(str::is_empty));
    Some(Overruled { by: path.clone(), to: plain.and_then(|file| file.name.clone()) })
}
