//! How facts and their gaps look on the wire, as the contract's head says it.

use std::collections::BTreeMap;

use onload_core::blocker::Blocked;
use onload_core::change::{self, Change, Holders, Outcome, Past};
use onload_core::condition::Condition;
use onload_core::config::{self, Entry};
use onload_core::inventory::{Interface, Link, ModuleState, Origin, User};
use onload_core::local;
use onload_core::names::{InterfaceName, ModuleName};
use onload_core::naming::{PortName, Weight};
use onload_core::others::{Manager, OtherPicture};
use onload_core::picture::{Hold, Lent};
use onload_core::reading::Reading;
use onload_core::release::ModuleFile;
use onload_core::release::initramfs::Remark;
use onload_core::release::preflight::Objection;
use zbus::Variant;

/// A dictionary of named values.
pub(super) type Dictionary = BTreeMap<String, Variant<'static>>;

/// A text that is empty where there is none.
pub(super) fn text(reading: &Reading<impl ToString>) -> String {
    reading.known().map(ToString::to_string).unwrap_or_default()
}

/// A text that may be from elsewhere: one on the bus has no byte 0.
pub(super) fn said(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A number that is 0 where there is none.
pub(super) fn number<N: Copy + Default>(reading: &Reading<N>) -> N {
    reading.known().copied().unwrap_or_default()
}

/// A small number that is -1 where there is none.
pub(super) fn index(number: Option<u32>) -> i32 {
    number.and_then(|number| i32::try_from(number).ok()).unwrap_or(-1)
}

/// Why a fact could not be read.
pub(super) fn gap<T>(reading: &Reading<T>) -> Option<&str> {
    match reading {
        Reading::Unreadable(why) => Some(why),
        Reading::Known(_) | Reading::Absent => None,
    }
}

/// The properties that could not be read, and why.
pub(super) fn gaps<const N: usize>(facts: [(&str, Option<&str>); N]) -> BTreeMap<String, String> {
    facts.into_iter().filter_map(|(name, why)| Some((name.to_owned(), why?.to_owned()))).collect()
}

/// Texts of anything that prints.
pub(super) fn texts(items: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// Profiles: where they are, what they say, and why some cannot be read. A text on the bus has no
/// byte 0, and neither has a profile.
pub(super) fn profiles(
    profiles: local::Profiles,
) -> (String, BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut files, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
    for (name, text) in profiles.files.iter() {
        let (all, said) = match text {
            Reading::Known(text) if text.contains('\0') => (&mut unreadable, "it is no text"),
            Reading::Known(text) => (&mut files, text.as_str()),
            Reading::Unreadable(why) => (&mut unreadable, why.as_str()),
            Reading::Absent => continue,
        };
        all.insert(name.clone(), said.to_owned());
    }
    (profiles.directory, files, unreadable)
}

/// Who uses the stack: process, command name, unit, container, what it uses.
pub(super) type UserRow = (u32, String, String, String, Vec<String>);

/// Who uses the stack.
pub(super) fn user((pid, user): (&u32, &User)) -> UserRow {
    let group = |name: &Option<String>| name.clone().unwrap_or_default();
    let (unit, container) = (group(&user.unit), group(&user.container));
    (*pid, user.comm.clone(), unit, container, texts(&user.uses))
}

/// A condition: type, status, reason, message, since.
pub(super) type ConditionRow = (&'static str, &'static str, String, String, u64);

/// A condition as a row.
pub(super) fn condition(one: &Condition) -> ConditionRow {
    let (kind, status) = (one.kind.as_str(), one.status.as_str());
    (kind, status, said(&one.reason), said(&one.message), one.since.0)
}

/// What is in the way: subject, reason, why and fix.
pub(super) fn blocked(one: &Blocked) -> (String, &'static str, String, String) {
    let (why, fix) = (said(&one.blocker.why()), said(&one.blocker.fix()));
    (one.subject.clone(), one.blocker.reason(), why, fix)
}

/// Another manager: its word, what shows it, whether adopted, what onloadd does, what is left.
pub(super) type OtherRow = (&'static str, String, bool, Vec<String>, Vec<String>);

/// Another manager as a row.
pub(super) fn other((manager, other): (&Manager, &OtherPicture)) -> OtherRow {
    let (evidence, does) = (other.evidence.clone(), other.does.clone());
    (manager.as_str(), evidence, other.adopted.is_some(), does, other.left.clone())
}

/// A setting: key, value, where it is from, what it masks and where that is from.
pub(super) type SettingRow = (String, String, String, Vec<(String, String)>);

/// A setting as a row.
pub(super) fn setting((key, entry): (&String, &Entry)) -> SettingRow {
    let place = |origin: &config::Origin| format!("{}:{}", origin.file, origin.line);
    let masks = entry.masks.iter().map(|mask| (mask.value.clone(), place(&mask.origin)));
    let origin = entry.origin.as_ref().map(place).unwrap_or_default();
    (key.clone(), entry.value.clone(), origin, masks.collect())
}

/// A port's names.
pub(super) fn port_name(row: &PortName) -> Dictionary {
    let name = |name: Option<&InterfaceName>| name.map(ToString::to_string).unwrap_or_default();
    // Of a file of a MachineConfig and a pin the file counts.
    let given = row.given.as_ref().map(|given| (given.file.clone(), &given.name));
    let pinned = row.pinned.as_ref().map(|(by, pin)| (by.to_string(), &pin.name));
    let (by, pin) = given.or(pinned).unzip();
    let drivers: BTreeMap<String, (String, String)> = row
        .drivers
        .iter()
        .map(|(release, foretold)| {
            let name = foretold.name.clone().unwrap_or_default();
            (release.to_string(), (name, foretold.why.clone()))
        })
        .collect();
    let conflicts = row.conflicts.iter().map(|one| (one.what(), one.why(), one.fix()));
    let troubles = row.troubles.iter();
    let troubles =
        troubles.map(|one| (one.why.clone(), one.fix.clone(), one.weight == Weight::Bars));
    Dictionary::from([
        ("Port".to_owned(), Variant::from(row.subject.to_string())),
        ("Today".to_owned(), Variant::from(name(row.today.as_ref()))),
        ("Configured".to_owned(), Variant::from(name(row.configured.as_ref()))),
        ("Pinned".to_owned(), Variant::from(name(pin))),
        ("PinnedBy".to_owned(), Variant::from(by.unwrap_or_default())),
        ("Drivers".to_owned(), Variant::from(drivers)),
        ("Conflicts".to_owned(), Variant::from(conflicts.collect::<Vec<_>>())),
        ("Troubles".to_owned(), Variant::from(troubles.collect::<Vec<_>>())),
    ])
}

/// The word for the state of a link.
pub(super) fn link(link: Link) -> &'static str {
    match link {
        Link::Up => "up",
        Link::Down => "down",
    }
}

/// The word for where a module was built.
pub(super) fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::InTree => "in-tree",
        Origin::OutOfTree => "out-of-tree",
    }
}

/// The word for how far a module is.
pub(super) fn module_state(state: ModuleState) -> &'static str {
    match state {
        ModuleState::Live => "live",
        ModuleState::Coming => "coming",
        ModuleState::Going => "going",
    }
}

/// The word for who has a device, and the allocation's id.
pub(super) fn lent(lent: Lent) -> (&'static str, String) {
    match lent {
        Lent::No => ("no", String::new()),
        Lent::Withdrawn => ("withdrawn", String::new()),
        Lent::Local(id) => ("local", id.to_string()),
        Lent::Container(id) => ("container", id.to_string()),
    }
}

/// A hold as a dictionary; empty for none.
pub(super) fn hold(hold: Option<&Hold>) -> Dictionary {
    let Some(hold) = hold else { return Dictionary::new() };
    Dictionary::from([
        ("Reason".to_owned(), Variant::from(hold.reason.clone())),
        ("Uid".to_owned(), Variant::from(hold.uid)),
        ("Since".to_owned(), Variant::from(hold.since.0)),
        ("Until".to_owned(), Variant::from(hold.until.unwrap_or_default().0)),
    ])
}

/// A module file as the contract's row: module, version, srcversion, path, signed.
pub(super) type ModuleRow = (String, String, String, String, bool);

/// A module file as a row.
pub(super) fn module_file((name, file): (&ModuleName, &ModuleFile)) -> ModuleRow {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let (path, signed) = (file.path.clone(), file.signed.is_there());
    (name.to_string(), text(&file.version), text(&file.srcversion), path, signed)
}

/// An objection as reason, why and fix.
pub(super) fn objection(objection: &Objection) -> (String, String, String) {
    (objection.reason().to_owned(), objection.to_string(), objection.fix())
}

/// A remark in the same way.
pub(super) fn remark(remark: &Remark) -> (String, String, String) {
    (remark.reason().to_owned(), remark.to_string(), remark.fix())
}

/// A change as a dictionary.
pub(super) fn change(change: &Change) -> Dictionary {
    let text = |name: Option<String>| Variant::from(name.unwrap_or_default());
    let (origin, uid) = match change.origin {
        change::Origin::Boot => ("boot", None),
        change::Origin::Idle => ("idle", None),
        change::Origin::Drift => ("drift", None),
        change::Origin::Order(uid) => ("order", Some(uid)),
    };
    let holders = match change.manner.holders {
        Holders::Refuse => "refuse",
        Holders::Wait(_) => "wait",
        Holders::Stop => "stop",
    };
    let confirm_by = change.confirm_by.as_ref().map(|deadline| deadline.wall.0);
    let mut facts = Dictionary::from([
        ("Number".to_owned(), Variant::from(change.number)),
        ("From".to_owned(), text(change.from.as_ref().map(ToString::to_string))),
        ("To".to_owned(), Variant::from(change.to.to_string())),
        ("Origin".to_owned(), Variant::from(origin)),
        ("Holders".to_owned(), Variant::from(holders)),
        ("Kernel".to_owned(), text(change.kernel.as_ref().map(ToString::to_string))),
        ("Began".to_owned(), Variant::from(change.began.0)),
        ("Turned".to_owned(), text(change.turned.clone())),
        ("ConfirmBy".to_owned(), Variant::from(confirm_by.unwrap_or_default())),
    ]);
    facts.extend(uid.map(|uid| ("Uid".to_owned(), Variant::from(uid))));
    facts
}

/// A change that ended, as a dictionary.
pub(super) fn past(past: &Past) -> Dictionary {
    let why = match &past.outcome {
        Outcome::Done => String::new(),
        Outcome::RolledBack => past.change.turned.clone().unwrap_or_default(),
        Outcome::Failed(why) => why.clone(),
    };
    let mut facts = change(&past.change);
    facts.extend([
        ("Ended".to_owned(), Variant::from(past.ended.0)),
        ("Outcome".to_owned(), Variant::from(past.outcome.as_str())),
        ("Why".to_owned(), Variant::from(why)),
    ]);
    facts
}

/// A network interface as a dictionary, with the facts that there are.
pub(super) fn interface(name: &InterfaceName, interface: &Interface) -> Dictionary {
    let mut facts = Dictionary::new();
    let mut put = |name: &str, value: Option<Variant<'static>>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    let text = |reading: Option<String>| reading.map(Variant::from);
    put("Name", Some(Variant::from(name.to_string())));
    put("Index", Some(Variant::from(interface.index)));
    put("Altnames", Some(Variant::from(texts(&interface.altnames))));
    put("Port", text(interface.port.known().map(ToString::to_string)));
    put("Mac", text(interface.mac.known().map(ToString::to_string)));
    put("PermanentMac", text(interface.permanent_mac.known().map(ToString::to_string)));
    put("Link", text(interface.link.known().map(|state| link(*state).to_owned())));
    put("SpeedMbps", interface.speed_mbps.known().copied().map(Variant::from));
    put("PhysPortName", text(interface.phys_port_name.known().cloned()));
    put("PhcIndex", interface.phc_index.known().copied().map(Variant::from));
    let unreadable = gaps([
        ("Port", gap(&interface.port)),
        ("Mac", gap(&interface.mac)),
        ("PermanentMac", gap(&interface.permanent_mac)),
        ("Link", gap(&interface.link)),
        ("SpeedMbps", gap(&interface.speed_mbps)),
        ("PhysPortName", gap(&interface.phys_port_name)),
        ("PhcIndex", gap(&interface.phc_index)),
    ]);
    if !unreadable.is_empty() {
        put("Unreadable", Some(Variant::from(unreadable)));
    }
    facts
}
