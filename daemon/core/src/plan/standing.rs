//! Which release a loaded module is from. Not every module says: `sfc_resource` and `sfc_char`
//! carry neither version nor source checksum (reference/onload-measured.md section 1), so what
//! onloadd loaded itself is remembered.

use std::collections::BTreeMap;

use crate::inventory::{Module, ModuleState, Origin, STACK, Snapshot};
use crate::names::{BootId, ModuleName, ReleaseName};
use crate::reading::Reading;
use crate::release::{self, HOST, IN_TREE, ModuleFile};

/// What the ledger remembers of loads: module, release, boot.
pub type Loads = BTreeMap<ModuleName, (ReleaseName, Option<BootId>)>;

/// How a module stands to a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not loaded.
    Absent,
    /// On its way in or out.
    InFlight,
    /// Loaded from it, as far as can be told.
    Right,
    /// Loaded from elsewhere: the kernel's own where an Onload build is wanted, or the other way
    /// round.
    WrongOrigin,
    /// Another build of it: what is loaded says this version.
    WrongRelease(String),
    /// Cannot be told.
    Unreadable(String),
}

impl Standing {
    /// Whether it is loaded and must go.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::WrongOrigin | Self::WrongRelease(_))
    }
}

/// How one module of the stack stands to a release.
pub fn of(name: &str, release: &ReleaseName, snapshot: &Snapshot, loads: &Loads) -> Standing {
    let module = match snapshot.module(name) {
        Reading::Absent => return Standing::Absent,
        Reading::Unreadable(why) => return Standing::Unreadable(why),
        Reading::Known(module) if module.state != ModuleState::Live => return Standing::InFlight,
        Reading::Known(module) => module,
    };
    let wants_in_tree = release.as_str() == IN_TREE;
    match module.origin() {
        Reading::Known(Origin::InTree) if !wants_in_tree => return Standing::WrongOrigin,
        Reading::Known(Origin::OutOfTree) if wants_in_tree => return Standing::WrongOrigin,
        Reading::Known(_) | Reading::Absent => {}
        Reading::Unreadable(why) if name == "sfc" => return Standing::Unreadable(why),
        Reading::Unreadable(_) => {}
    }
    if wants_in_tree {
        return Standing::Right;
    }
    let file = file_of(name, release, snapshot);
    if let Some(other) = file.and_then(|file| differs(module, file)) {
        return Standing::WrongRelease(other);
    }
    if file.is_some_and(|file| is_told(module, file)) {
        return Standing::Right;
    }
    match recorded(name, snapshot, loads) {
        Some(from) if from == release => return Standing::Right,
        Some(from) => return Standing::WrongRelease(from.to_string()),
        None => {}
    }
    if release.as_str() == HOST {
        // Whatever the distribution brings, it is not what another release proves to be its own.
        let proven = proven_by(name, module, snapshot).map(ToString::to_string);
        return proven.map_or(Standing::Right, Standing::WrongRelease);
    }
    match name {
        // What it says is the version of the whole release.
        "onload" => match module.version.known() {
            Some(version) if version == release.as_str() || version.is_empty() => Standing::Right,
            Some(version) => Standing::WrongRelease(version.clone()),
            None => Standing::Right,
        },
        // These two fit the `onload` that uses them, or it would not have loaded.
        "sfc_resource" | "sfc_char" => match of("onload", release, snapshot, loads) {
            Standing::Absent => Standing::WrongRelease("an unknown release".to_owned()),
            other => other,
        },
        _ => Standing::Right,
    }
}

/// The release that everything loaded is from; none where nothing is loaded, or it is a mixture.
pub fn release_of(snapshot: &Snapshot, loads: &Loads) -> Option<ReleaseName> {
    let named = |name: &str| name.parse::<ReleaseName>().ok();
    let stands = |release: &ReleaseName| {
        let mut loaded = STACK
            .iter()
            .map(|name| of(name, release, snapshot, loads))
            .filter(|standing| *standing != Standing::Absent)
            .peekable();
        loaded.peek().is_some() && loaded.all(|standing| standing == Standing::Right)
    };
    // What onloadd loaded comes first, then what a file proves, then what nothing contradicts.
    let remembered = STACK.iter().filter_map(|name| recorded(name, snapshot, loads)).cloned();
    let imported = snapshot.releases.known().into_iter().flat_map(|all| all.keys().cloned());
    let alone = snapshot.module("onload").is_absent().then(|| named(IN_TREE)).flatten();
    remembered
        .chain(alone)
        .chain(imported.filter(release::is_imported))
        .chain(named(HOST))
        .find(stands)
}

/// The file of a release for the running kernel.
pub fn file_of<'a>(
    name: &str,
    release: &ReleaseName,
    snapshot: &'a Snapshot,
) -> Option<&'a ModuleFile> {
    let files = snapshot.releases.known()?.get(release)?.modules.known()?;
    files
        .get(snapshot.kernel.known()?)?
        .iter()
        .find(|(key, _)| key.as_str() == name)
        .map(|(_, f)| f)
}

/// The imported release whose file says just what a loaded module says.
fn proven_by<'a>(name: &str, module: &Module, snapshot: &'a Snapshot) -> Option<&'a ReleaseName> {
    let releases = snapshot.releases.known()?.keys();
    let mut imported = releases.filter(|release| release::is_imported(release));
    imported.find(|release| {
        file_of(name, release, snapshot)
            .is_some_and(|file| differs(module, file).is_none() && is_told(module, file))
    })
}

/// The version of a loaded module that is not the one of this file.
fn differs(module: &Module, file: &ModuleFile) -> Option<String> {
    let other = |loaded: &Reading<String>, own: &Option<String>| {
        let (loaded, own) = (loaded.known()?, own.as_ref()?);
        (loaded != own).then(|| loaded.clone())
    };
    other(&module.version, &file.version).or_else(|| {
        let source = other(&module.srcversion, &file.srcversion)?;
        Some(format!("another build ({source})"))
    })
}

/// Whether a loaded module and a file say the same, and say anything.
fn is_told(module: &Module, file: &ModuleFile) -> bool {
    let same = |loaded: &Reading<String>, own: &Option<String>| {
        loaded.known().zip(own.as_ref()).is_some_and(|(loaded, own)| loaded == own)
    };
    same(&module.srcversion, &file.srcversion) || same(&module.version, &file.version)
}

/// The release that onloadd loaded a module from in this boot.
fn recorded<'a>(name: &str, snapshot: &Snapshot, loads: &'a Loads) -> Option<&'a ReleaseName> {
    let (release, boot) = loads.iter().find(|(key, _)| key.as_str() == name).map(|(_, l)| l)?;
    let same_boot = boot.is_some() && boot.as_ref() == snapshot.boot_id.known();
    (same_boot && snapshot.module(name).known().is_some()).then_some(release)
}
