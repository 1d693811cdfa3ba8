//! The name a port would have with the `sfc` of a release. What does not follow from what udev and the
//! driver show is not guessed: a name is never made by taking an end off that merely looks right.

use super::Foretold;
use super::driver::{self, Told};
use super::link_file::{Ruling, ruling};
use super::rule::LONGEST;
use super::udev::UdevNames;
use crate::hardware::Family;
use crate::inventory::{Interface, NameOrigin, Origin, Port, STACK, Snapshot};
use crate::names::{InterfaceName, ReleaseName};
use crate::plan::standing::{self, Loads, Standing};
use crate::reading::Reading;
use crate::release::IN_TREE;

/// A port, its family and its interface of today.
pub(super) struct Subject<'a> {
    pub(super) port: &'a Port,
    pub(super) family: &'a Family,
    pub(super) today: Option<(&'a InterfaceName, &'a Interface)>,
}

/// The name with the driver of a release that is on the disk.
pub(super) fn foretell(
    subject: &Subject<'_>,
    release: &ReleaseName,
    snapshot: &Snapshot,
    loads: &Loads,
) -> Foretold {
    let family = subject.family;
    let driver = family.driver.as_str();
    if !STACK.contains(&driver) {
        return unknown(format!("it is not known what {driver} tells udev of its ports"));
    }
    let Some(file) = standing::file_of(driver, release, snapshot) else {
        return unknown(format!("it has no {driver} for the running kernel"));
    };
    let in_tree = release.as_str() == IN_TREE || file.in_tree;
    if in_tree && !family.in_tree {
        return unknown(format!("the kernel's own sfc does not drive {} ports", family.family));
    }
    let Some((today, interface)) = subject.today else {
        return unknown("the port has no interface today, from which it could be told".to_owned());
    };
    let udev = match &interface.udev {
        Reading::Known(udev) => udev,
        Reading::Absent => return unknown(format!("udev has no record of {today}")),
        Reading::Unreadable(why) => {
            return unknown(format!("udev's record of {today} cannot be read: {why}"));
        }
    };
    if udev.renaming {
        return unknown(format!("udev is just giving {today} another name"));
    }
    let bound = subject.port.driver.known().is_some_and(|bound| bound == driver)
        && standing::of(driver, release, snapshot, loads) == Standing::Right;
    match ruling(&snapshot.link_files, interface, udev, driver) {
        Ruling::Named { name, file } => {
            return Foretold { name: Some(name), why: format!("{file} says so, for every driver") };
        }
        Ruling::Unsure(why) if !bound => return unknown(why),
        // With the driver of today udev has decided.
        Ruling::Unsure(_) | Ruling::None => {}
    }
    let by = udev.link_file.as_deref().unwrap_or("no .link file");
    if let Some(evaluated) = udev.name.as_deref().filter(|name| *name != today.as_str()) {
        let because = match &interface.name_origin {
            Reading::Known(NameOrigin::Enumerated) => "the name was taken, or the interface was up",
            Reading::Known(NameOrigin::Predictable | NameOrigin::User | NameOrigin::Renamed) => {
                "a rule with NAME= or somebody gave it that name"
            }
            Reading::Absent | Reading::Unreadable(_) => "who gave it that name cannot be told",
        };
        return unknown(format!("udev comes to {evaluated} by {by}, but it is {today}: {because}"));
    }
    let files = snapshot.link_files.known();
    let in_force = files.zip(udev.link_file.as_ref()).and_then(|(files, path)| files.get(path));
    if bound && in_force.is_some_and(|file| file.name.as_deref() == Some(today.as_str())) {
        let why = format!("udev's own evaluation: Name=, by {by}");
        return Foretold { name: Some(today.to_string()), why };
    }
    let Some((policy, _)) = udev.policies().find(|(_, name)| *name == today.as_str()) else {
        return unknown(format!(
            "{today} is none of udev's names for it: a rule with NAME=, the kernel or somebody gave it"
        ));
    };
    if bound {
        let why = format!("udev's own evaluation: {policy}, by {by}");
        return Foretold { name: Some(today.to_string()), why };
    }
    let label = match in_tree {
        true => "the kernel's own sfc".to_owned(),
        false => format!("sfc {}", file.version.as_deref().unwrap_or_default()),
    };
    let next = driver::told(driver, &family.family, in_tree, file.version.as_deref());
    let now = loaded(subject.port, family, snapshot);
    by_table(today, interface, udev, &label, next, now)
}

/// What the driver that is bound tells.
fn loaded(port: &Port, family: &Family, snapshot: &Snapshot) -> Told {
    let driver = family.driver.as_str();
    if port.driver.known().is_none_or(|bound| bound != driver) {
        return Told::Unknown(format!("{driver} is not bound"));
    }
    let module = match snapshot.module(driver) {
        Reading::Known(module) => module,
        Reading::Absent | Reading::Unreadable(_) => {
            return Told::Unknown(format!("what {driver} is loaded cannot be told"));
        }
    };
    match module.origin() {
        Reading::Known(origin) => {
            let version = module.version.known().map(String::as_str);
            driver::told(driver, &family.family, origin == Origin::InTree, version)
        }
        Reading::Absent | Reading::Unreadable(_) => {
            Told::Unknown(format!("where the loaded {driver} was built cannot be told"))
        }
    }
}

fn by_table(
    today: &InterfaceName,
    interface: &Interface,
    udev: &UdevNames,
    label: &str,
    next: Told,
    now: Told,
) -> Foretold {
    let keeps = |why: String| Foretold { name: Some(today.to_string()), why };
    let told = match &interface.phys_port_name {
        Reading::Known(told) if !told.is_empty() => Some(told),
        Reading::Known(_) | Reading::Absent => None,
        Reading::Unreadable(why) => {
            return unknown(format!("phys_port_name cannot be read: {why}"));
        }
    };
    let end = told.map(|told| format!("n{told}"));
    let stem = end.as_deref().and_then(|end| today.as_str().strip_suffix(end));
    match (next, stem.filter(|stem| !stem.is_empty()), end) {
        (Told::Unknown(why), _, _) => unknown(why),
        (Told::Number, _, _) => unknown(format!(
            "{label} numbers its ports by dev_port, which shows only once it is loaded"
        )),
        (Told::Name, Some(_), Some(end)) => {
            keeps(format!("{label} tells phys_port_name too: {end}"))
        }
        (Told::Nothing, Some(stem), Some(end)) => without(today, stem, &end, udev, label),
        (Told::Name | Told::Nothing, _, Some(end)) => unknown(format!(
            "{today} does not end in {end}, so something besides the driver decides"
        )),
        (Told::Nothing, _, None) if now == Told::Nothing => {
            keeps(format!("{label} tells no phys_port_name, as the one of today"))
        }
        (Told::Nothing, _, None) => unknown(format!(
            "why the driver of today tells no phys_port_name is not known, {label} tells none either"
        )),
        (Told::Name, _, None) => unknown(format!(
            "{label} tells a phys_port_name and that of today does not: it shows once it is loaded"
        )),
    }
}

/// The name of today without the end that the driver brings.
fn without(
    today: &InterfaceName,
    stem: &str,
    end: &str,
    udev: &UdevNames,
    label: &str,
) -> Foretold {
    // One that was too long until now comes before the one of today.
    let fits = |name: &str| {
        let shorter = name.strip_suffix(end);
        name.len() > LONGEST && shorter.is_some_and(|name| name.len() <= LONGEST)
    };
    let mut before = udev.policies().take_while(|(_, name)| *name != today.as_str());
    if let Some((policy, name)) = before.find(|(_, name)| fits(name)) {
        return unknown(format!(
            "{label} tells no phys_port_name; then {name}, by {policy}, is no longer too long"
        ));
    }
    let why = format!("{label} tells no phys_port_name, of which udev made {end}");
    Foretold { name: Some(stem.to_owned()), why }
}

fn unknown(why: String) -> Foretold {
    Foretold { name: None, why }
}
