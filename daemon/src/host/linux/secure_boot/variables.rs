//! The firmware's variables and shim's, from efivarfs and, where that does not show one, from the
//! table that shim left in memory (`mok-variables`). See `reference/secure-boot-mok.md` section 1.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onload_core::reading::Reading;
use onload_core::secure_boot::guid::Guid;
use onload_core::secure_boot::request::Requests;
use onload_core::secure_boot::signature_list::{SignatureList, parse_parts};
use onload_core::secure_boot::trust::{RunTime, Switch, Trust};
use onload_core::secure_boot::variable::{self, EFI_GLOBAL, IMAGE_SECURITY, SHIM_LOCK, Variable};

use super::super::root::{Dir, Node};
use super::reading;
use super::request::{hide_password, names as request_names};
use super::run_time::Mounts;

const EFI: &str = "sys/firmware/efi";
/// Where efivarfs is mounted.
pub(super) const EFIVARFS: &str = "sys/firmware/efi/efivars";
const TABLE: &str = "sys/firmware/efi/mok-variables";
/// A firmware keeps some 64 KiB of variables in all; shim's table has no such bound.
const VARIABLE_BYTES: usize = 1 << 20;

/// What was read, by what the file system said of it then.
#[derive(Debug, Default)]
pub(super) struct Variables {
    mounts: Mounts,
    stamps: BTreeMap<&'static str, Stamp>,
}

/// What a fact was read from.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    parts: Vec<Part>,
    /// What it is if there is nothing to read.
    gap: Reading<()>,
}

/// A file that holds a variable, or what did not fit into the one before.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: String,
    path: String,
    /// Attributes stand before the data.
    in_efivarfs: bool,
    node: Reading<Node>,
}

/// Names and data of the parts.
type Content = Reading<Vec<(String, Vec<u8>)>>;

/// Which variables there are.
#[derive(Debug)]
struct Shown {
    efivarfs: BTreeMap<Guid, BTreeSet<String>>,
    table: BTreeSet<String>,
    /// Known where efivarfs shows the firmware's variables, absent where there is no EFI.
    firmware: Reading<()>,
    run_time: Reading<RunTime>,
}

impl Variables {
    /// Looks at every fact that a variable holds.
    pub(super) fn read(&mut self, root: &Dir, trust: &mut Arc<Trust>) {
        let shown = shown(root, &mut self.mounts);
        put!(trust.shim, shown.shim());
        let trusted = shown.files(Variable::MOK_LIST_TRUSTED_RT).map(|_| ());
        put!(trust.mok_trusted, trusted);
        if let Some(read) = self.changed(root, &shown, Variable::SECURE_BOOT) {
            put!(trust.secure_boot, switch(read));
        }
        if let Some(read) = self.changed(root, &shown, Variable::SETUP_MODE) {
            put!(trust.setup_mode, switch(read));
        }
        if let Some(read) = self.changed(root, &shown, Variable::MOK_SB_STATE_RT) {
            put!(trust.shim_validates_nothing, switch(read));
        }
        if let Some(read) = self.changed(root, &shown, Variable::MOK_IGNORE_DB) {
            put!(trust.db_ignored, switch(read));
        }
        if let Some(read) = self.changed(root, &shown, Variable::MOK_LIST_RT) {
            put!(trust.mok, lists(read));
        }
        if let Some(read) = self.changed(root, &shown, Variable::MOK_LIST_X_RT) {
            put!(trust.mok_forbidden, lists(read));
        }
        if let Some(read) = self.changed(root, &shown, Variable::DB) {
            put!(trust.db, lists(read));
        }
        if let Some(read) = self.changed(root, &shown, Variable::DBX) {
            put!(trust.dbx, lists(read));
        }
        if let Some(read) = self.differs(root, "requests", shown.requests(root)) {
            put!(trust.requests, requests(read, &shown.firmware));
        }
        put!(trust.runtime, shown.run_time);
    }

    /// What a variable holds, if that may have changed.
    fn changed(&mut self, root: &Dir, shown: &Shown, variable: Variable) -> Option<Content> {
        let files = shown.files(variable);
        let gap = files.as_ref().map(|_| ());
        let files = files.into_known().unwrap_or_default().into_iter();
        let parts = files.map(|(name, path)| Part::of(root, name, path)).collect();
        self.differs(root, variable.name, Stamp { parts, gap })
    }

    fn differs(&mut self, root: &Dir, fact: &'static str, stamp: Stamp) -> Option<Content> {
        if self.stamps.get(fact) == Some(&stamp) {
            return None;
        }
        self.stamps.remove(fact);
        let read = content(root, &stamp);
        // What could not be read may be readable at the next look.
        if stamp.parts.is_empty() || !read.is_unreadable() {
            self.stamps.insert(fact, stamp);
        }
        Some(read)
    }
}

impl Part {
    fn of(root: &Dir, name: String, path: String) -> Self {
        let in_efivarfs = path.starts_with(EFIVARFS);
        let mut node = root.unrecorded().node(&path);
        if let Reading::Known(node) = &mut node
            && !in_efivarfs
        {
            // The table never changes, but sysfs makes up a time whenever it is asked anew.
            node.modified = (0, 0);
        }
        Self { name, path, in_efivarfs, node }
    }

    /// What it holds; absent if it is gone by now.
    fn data(&self, root: &Dir) -> Reading<Vec<u8>> {
        let file = match root.unrecorded().read(&self.path, VARIABLE_BYTES) {
            // A variable that is being made, or one that was taken away.
            Reading::Known(file) if file.is_empty() && self.in_efivarfs => Reading::Absent,
            // So the kernel answers who may not read it.
            Reading::Known(file) if file.is_empty() => Reading::Unreadable(
                "it reads as empty, as it does without CAP_SYS_ADMIN".to_owned(),
            ),
            read => read,
        };
        let head = if self.in_efivarfs { variable::ATTRIBUTES_BYTES } else { 0 };
        let mut kept = file.clone();
        if let Reading::Known(file) = &mut kept {
            hide_password(&self.name, file.get_mut(head..).unwrap_or_default());
        }
        root.keep(&self.path, &kept);
        file.and_then(|mut file| {
            if self.in_efivarfs {
                let data = reading(variable::efivarfs(&file).map(|_| ()));
                return data.map(|()| file.split_off(head));
            }
            Reading::Known(file)
        })
    }
}

impl Shown {
    /// Names and paths of the files that hold a variable; absent where there is none, unreadable
    /// where there may be one.
    fn files(&self, variable: Variable) -> Reading<Vec<(String, String)>> {
        let vendor = variable.vendor;
        let none = BTreeSet::new();
        let names = self.efivarfs.get(&vendor).unwrap_or(&none);
        let parts = variable.parts(names.iter().map(String::as_str));
        if !parts.is_empty() {
            let path = |name: &str| (name.to_owned(), format!("{EFIVARFS}/{name}-{vendor}"));
            return Reading::Known(parts.into_iter().map(path).collect());
        }
        let parts = variable.parts(self.table.iter().map(String::as_str));
        if !parts.is_empty() {
            let path = |name: &str| (name.to_owned(), format!("{TABLE}/{name}"));
            return Reading::Known(parts.into_iter().map(path).collect());
        }
        // All of shim's own are in the table; what is the firmware's is only in that of newer ones.
        if vendor == SHIM_LOCK && !self.table.is_empty() {
            return Reading::Absent;
        }
        match &self.firmware {
            Reading::Known(()) | Reading::Absent => Reading::Absent,
            Reading::Unreadable(why) => Reading::Unreadable(why.clone()),
        }
    }

    /// The variables of requests; shim's table has none of them.
    fn requests(&self, root: &Dir) -> Stamp {
        let names = self.efivarfs.get(&SHIM_LOCK);
        let there = request_names().filter(|name| names.is_some_and(|all| all.contains(*name)));
        let part =
            |name: &str| Part::of(root, name.to_owned(), format!("{EFIVARFS}/{name}-{SHIM_LOCK}"));
        Stamp { parts: there.map(part).collect(), gap: self.firmware.clone() }
    }

    /// Whether shim left any of its copies for the system.
    fn shim(&self) -> Reading<()> {
        let names = self.efivarfs.get(&SHIM_LOCK).into_iter().flatten().chain(&self.table);
        let copy = |name: &String| name.starts_with("Mok") && name.contains("RT");
        if names.into_iter().any(|name| copy(name) || name == "SbatLevelRT") {
            return Reading::Known(());
        }
        self.firmware.clone().and_then(|()| Reading::Absent)
    }
}

fn shown(root: &Dir, mounts: &mut Mounts) -> Shown {
    let mut shown = Shown {
        efivarfs: BTreeMap::new(),
        table: BTreeSet::new(),
        firmware: Reading::Absent,
        run_time: Reading::Absent,
    };
    match root.node(EFI) {
        Reading::Known(_) => {}
        Reading::Absent => return shown,
        Reading::Unreadable(why) => {
            shown.firmware = Reading::Unreadable(format!("/{EFI}: {why}"));
            shown.run_time = Reading::Unreadable(format!("/{EFI}: {why}"));
            return shown;
        }
    }
    let any = Cell::new(false);
    let files = root.names(EFIVARFS, |file| {
        any.set(true);
        variable::file_name(file).is_ok_and(|(name, vendor)| matters(name, vendor))
    });
    for file in files.known().into_iter().flatten() {
        if let Ok((name, vendor)) = variable::file_name(file) {
            shown.efivarfs.entry(vendor).or_default().insert(name.to_owned());
        }
    }
    let matters = |name: &str| {
        [EFI_GLOBAL, IMAGE_SECURITY, SHIM_LOCK].into_iter().any(|vendor| matters(name, vendor))
    };
    // Where it cannot be listed, there is as little in it as where it is not there.
    shown.table = root.names(TABLE, matters).into_known().unwrap_or_default();
    if let Reading::Unreadable(why) = files {
        shown.firmware = Reading::Unreadable(format!("/{EFIVARFS}: {why}"));
        shown.run_time = Reading::Unreadable(format!("/{EFIVARFS}: {why}"));
        return shown;
    }
    shown.run_time = mounts.run_time(root, any.get());
    let why_not = match &shown.run_time {
        _ if any.get() => None,
        Reading::Known(RunTime::NoRunTime) => {
            Some("the kernel does not call the firmware (efi=noruntime)".to_owned())
        }
        Reading::Known(RunTime::Writable | RunTime::ReadOnly) => {
            Some("efivarfs is not mounted there".to_owned())
        }
        Reading::Absent => Some("nothing says why".to_owned()),
        Reading::Unreadable(why) => Some(why.clone()),
    };
    shown.firmware = match why_not {
        None => Reading::Known(()),
        Some(why) => Reading::Unreadable(format!("/{EFIVARFS} shows no variables: {why}")),
    };
    shown
}

/// Whether a fact, or that shim is there, is read from a variable.
fn matters(name: &str, vendor: Guid) -> bool {
    match vendor {
        EFI_GLOBAL => {
            [Variable::SECURE_BOOT, Variable::SETUP_MODE].map(|one| one.name).contains(&name)
        }
        IMAGE_SECURITY => [Variable::DB, Variable::DBX].map(|one| one.name).contains(&name),
        SHIM_LOCK => name.starts_with("Mok") || name == "SbatLevelRT",
        _ => false,
    }
}

fn content(root: &Dir, stamp: &Stamp) -> Content {
    let mut all = Vec::new();
    for part in &stamp.parts {
        match part.data(root) {
            Reading::Known(data) => all.push((part.name.clone(), data)),
            Reading::Absent => {}
            Reading::Unreadable(why) => {
                return Reading::Unreadable(format!("/{}: {why}", part.path));
            }
        }
    }
    match &stamp.gap {
        _ if !all.is_empty() => Reading::Known(all),
        Reading::Known(()) | Reading::Absent => Reading::Absent,
        Reading::Unreadable(why) => Reading::Unreadable(why.clone()),
    }
}

fn switch(read: Content) -> Reading<Switch> {
    read.and_then(|parts| match parts.as_slice() {
        [(name, data)] => match variable::switch(data) {
            Ok(on) => Reading::Known(on.into()),
            Err(damaged) => Reading::Unreadable(format!("{name}: {damaged}")),
        },
        [] | [_, _, ..] => Reading::Unreadable("it has several parts".to_owned()),
    })
}

fn lists(read: Content) -> Reading<Vec<SignatureList>> {
    read.and_then(|parts| {
        let parts = parts.iter().map(|(name, data)| (name.as_str(), data.as_slice()));
        match parse_parts(parts) {
            Ok(lists) => Reading::Known(lists),
            Err(damaged) => Reading::Unreadable(damaged.to_string()),
        }
    })
}

/// None asked for is known, where variables are shown.
fn requests(read: Content, firmware: &Reading<()>) -> Reading<Requests> {
    let read = match read {
        Reading::Absent => firmware.clone().map(|()| Vec::new()),
        read => read,
    };
    read.map(|parts| {
        let parts = parts.iter().map(|(name, data)| (name.as_str(), data.as_slice()));
        Requests::parse(&parts.collect())
    })
}
