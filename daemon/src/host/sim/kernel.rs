//! The kernel's module loader: what loading, unloading and holding do to each other.

use std::collections::BTreeSet;

use onload_core::inventory::ModuleState;
use onload_core::names::{ModuleName, ReleaseName};
use onload_core::release::HOST;
pub(super) use onload_core::release::IN_TREE;
use onload_core::step::{Outcome, StepError};

use super::action::ActionError;
use super::faults::{LoadFault, UnloadFault};
use super::file::ModuleOnDisk;
use super::firmware::Standing;
use super::world::World;

/// References that the control-plane server holds on `onload`
/// (reference/onload-measured.md section 1).
pub(super) const CONTROL_PLANE_REFERENCES: u32 = 4;

/// References that each open device node holds on its module (same place).
const OPEN_REFERENCES: u32 = 2;

/// References that one accelerated process holds on `onload`: 4 → 9 (same place).
const STACK_REFERENCES: u32 = 5;

/// Majors the kernel hands out by itself: 254 down to 234 (Documentation/admin-guide/devices.txt).
const DYNAMIC_MAJORS: (u32, u32) = (234, 254);

/// Which module makes which node.
pub(super) const NODES: [(&str, &str); 3] =
    [("/dev/onload", "onload"), ("/dev/onload_epoll", "onload"), ("/dev/sfc_char", "sfc_char")];

/// A module in memory.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    /// Where it came from.
    pub release: ReleaseName,
    /// Live, or on its way in or out.
    pub state: ModuleState,
    /// Its file; none for what the kernel brings.
    pub file: Option<ModuleOnDisk>,
    /// Taint letters.
    pub taint: &'static str,
}

/// The server that `onload` has the kernel start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlPlane {
    /// None, and none on its way.
    None,
    /// Asked for by a load, not there yet.
    Due,
    /// There.
    Running(u32),
}

/// A module file that would be loaded.
struct Found {
    name: ModuleName,
    release: ReleaseName,
    file: Option<ModuleOnDisk>,
}

/// What a module needs, by its symbols (reference/onload-modules.md section 2.1 and
/// reference/onload-measured.md section 1).
pub(super) fn dependencies(module: &str) -> &'static [&'static str] {
    match module {
        "sfc" => &["mtd"],
        "sfc_char" => &["sfc_resource"],
        "onload" => &["sfc_resource", "sfc_char"],
        _ => &[],
    }
}

impl World {
    /// Loads a module with what it needs. No answer where the module's own start never returns.
    pub(super) fn load(
        &mut self,
        module: &ModuleName,
        release: &ReleaseName,
    ) -> Option<Result<Outcome, StepError>> {
        if self.is_live(module.as_str()) {
            // EEXIST, which modprobe reports as success, whichever file was meant.
            return Some(Ok(Outcome::Unchanged));
        }
        let mut order = Vec::new();
        if let Err(error) = self.resolve(module, release, &mut order) {
            return Some(Err(error));
        }
        for found in order {
            match self.modules.get(&found.name).map(|loaded| loaded.state) {
                None => {}
                // The kernel lets a second load wait for the first.
                Some(ModuleState::Live | ModuleState::Coming) => return None,
                Some(ModuleState::Going) => {
                    let why = format!("module {}: Device or resource busy", found.name);
                    return Some(Err(StepError::Failed(why)));
                }
            }
            match self.insert(found) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Some(Err(error)),
                None => return None,
            }
        }
        Some(Ok(Outcome::Changed))
    }

    /// Where depmod's index finds a module: one file per name, the host's before the kernel's own
    /// (reference/onload-modules.md section 3).
    pub(super) fn preferred_release(&self, module: &ModuleName) -> Option<ReleaseName> {
        [HOST, IN_TREE]
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .find(|release| self.find(module, release).is_some())
    }

    fn resolve(
        &self,
        module: &ModuleName,
        release: &ReleaseName,
        order: &mut Vec<Found>,
    ) -> Result<(), StepError> {
        let found = self
            .find(module, release)
            .ok_or_else(|| StepError::NotFound { module: module.clone() })?;
        for needed in dependencies(module.as_str()) {
            let Ok(needed) = needed.parse::<ModuleName>() else { continue };
            if self.is_live(needed.as_str()) {
                self.same_symbols(&found, &needed)?;
            } else if !order.iter().any(|earlier| earlier.name == needed) {
                self.resolve(&needed, release, order)?;
            }
        }
        order.push(found);
        Ok(())
    }

    /// A file of the release for this kernel; what the kernel itself brings is there for each.
    fn find(&self, module: &ModuleName, release: &ReleaseName) -> Option<Found> {
        let in_tree = || {
            let there = module.as_str() == "mtd"
                || (module.as_str() == "sfc" && self.file.node.in_tree_sfc);
            let release = IN_TREE.parse().ok()?;
            there.then(|| Found { name: module.clone(), release, file: None })
        };
        if release.as_str() == IN_TREE {
            return in_tree();
        }
        let kernel = &self.file.node.kernel;
        let found = self.release(release).filter(|found| found.kernels.contains(kernel));
        let files = found.map(|found| found.modules.as_slice()).unwrap_or_default();
        match files.iter().find(|file| file.name.get_ref() == module) {
            Some(file) => Some(Found {
                name: module.clone(),
                release: release.clone(),
                file: Some(file.clone()),
            }),
            // What else a module needs is the kernel's, whoever asks modprobe for it.
            None if module.as_str() == "mtd" && (found.is_some() || release.as_str() == HOST) => {
                in_tree()
            }
            None => None,
        }
    }

    fn same_symbols(&self, found: &Found, needed: &ModuleName) -> Result<(), StepError> {
        let version = |release: &ReleaseName| {
            self.release(release).map(|release| release.onload_version.as_str())
        };
        let Some(loaded) = self.modules.get(needed) else { return Ok(()) };
        if loaded.file.is_none() || version(&loaded.release) == version(&found.release) {
            return Ok(());
        }
        let detail = format!(
            "disagrees about version of symbols of {needed}, which is loaded from release {}",
            loaded.release
        );
        Err(StepError::UnknownSymbol { module: found.name.clone(), detail })
    }

    /// One module into memory. No answer where its start hangs.
    fn insert(&mut self, found: Found) -> Option<Result<(), StepError>> {
        let Found { name, release, file } = found;
        let standing = self.standing(file.as_ref());
        let fault = self.faults.take_load(&name, &release);
        let rejected = standing.is_refused(self.file.secure_boot.enabled);
        if rejected || fault == Some(LoadFault::Rejected) {
            return Some(Err(StepError::KeyRejected { module: name }));
        }
        if let Some(Err(error)) = file.as_ref().map(|file| self.fits(file)) {
            return Some(Err(error));
        }
        if let Some(error) = fault.and_then(|fault| load_error(fault, &name)) {
            return Some(Err(error));
        }
        if file.as_ref().is_some_and(|file| file.insert_fails) {
            return Some(Err(start_failed(&name)));
        }
        let taint = match (&file, standing) {
            (None, _) => "",
            (Some(_), Standing::Trusted) => "O",
            (Some(_), Standing::Untrusted | Standing::Revoked) => "OE",
        };
        let hangs = fault == Some(LoadFault::Hang);
        let state = if hangs { ModuleState::Coming } else { ModuleState::Live };
        self.modules.insert(name.clone(), Loaded { release, state, file, taint });
        self.touch();
        if hangs {
            return None;
        }
        self.started(&name);
        Some(Ok(()))
    }

    fn started(&mut self, module: &ModuleName) {
        for (path, owner) in NODES {
            if owner == module.as_str() && !self.faults.no_nodes {
                let major = self.free_major();
                self.nodes.insert(path, major);
            }
        }
        if module.as_str() == "onload" {
            self.server = self.loader.as_ref().and_then(|loader| loader.server.clone());
            self.told = None;
            let has_server = self.has_server();
            self.control_plane = if has_server { ControlPlane::Due } else { ControlPlane::None };
        }
        self.probe(module);
    }

    fn free_major(&mut self) -> u32 {
        let (lowest, highest) = DYNAMIC_MAJORS;
        loop {
            let major = self.next_major;
            self.next_major = if major == lowest { highest } else { major - 1 };
            // Three nodes never fill twenty-one numbers.
            if !self.nodes.values().any(|used| *used == major) {
                return major;
            }
        }
    }

    /// Where majors begin.
    pub(super) fn first_major() -> u32 {
        DYNAMIC_MAJORS.1
    }

    /// Unloads a module as delete_module(2) without force does; false when its end never returns.
    fn unload(&mut self, module: &ModuleName) -> Result<bool, Hindrance> {
        match self.modules.get(module).map(|loaded| loaded.state) {
            None => return Err(Hindrance::NotLoaded),
            Some(ModuleState::Coming | ModuleState::Going) => return Err(Hindrance::InFlight),
            Some(ModuleState::Live) => {}
        }
        let references = self.references(module);
        if references > 0 {
            return Err(Hindrance::Used(references));
        }
        let stuck = self.modules.get(module).and_then(|loaded| loaded.file.as_ref());
        if stuck.is_some_and(|file| file.stuck) {
            return Err(Hindrance::Broken);
        }
        match self.faults.take_unload(module) {
            None => self.remove(module),
            Some(UnloadFault::Refused) => return Err(Hindrance::Broken),
            Some(UnloadFault::Hang) => {
                self.take_apart(module);
                if let Some(loaded) = self.modules.get_mut(module) {
                    loaded.state = ModuleState::Going;
                }
                self.touch();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `unload`: rmmod. Whoever types it waits; the world does not.
    pub(super) fn unload_by_hand(&mut self, module: &ModuleName) -> Result<(), ActionError> {
        let (why, fix) = match self.unload(module) {
            Ok(_) => {
                self.look_for_drivers();
                return Ok(());
            }
            Err(Hindrance::NotLoaded) => ("ENOENT: it is not loaded".to_owned(), "nothing to do"),
            Err(Hindrance::InFlight) => ("EBUSY: it is in flight".to_owned(), "reboot"),
            Err(Hindrance::Used(references)) => {
                let holders = self.holder_names(module);
                let by = if holders.is_empty() { "" } else { ", by " };
                let holders = holders.join(" ");
                let why = format!("EAGAIN: it is in use ({references} references{by}{holders})");
                (why, "unload what holds it, and end its processes and its control plane")
            }
            Err(Hindrance::Broken) => (
                "EAGAIN: `stuck` in the world file, or ordered by `fault unload`".to_owned(),
                "clear faults",
            ),
        };
        Err(ActionError::new(format!("module {module} is not unloaded"), why, fix))
    }

    /// `modprobe -r`: the module, then what it needed where nobody uses that any more. No answer
    /// where its end never returns.
    pub(super) fn modprobe_remove(
        &mut self,
        module: &ModuleName,
    ) -> Option<Result<Outcome, StepError>> {
        match self.unload(module) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(Hindrance::NotLoaded) => return Some(Ok(Outcome::Unchanged)),
            Err(Hindrance::InFlight) => {
                let why = format!("module {module}: Device or resource busy");
                return Some(Err(StepError::Failed(why)));
            }
            Err(Hindrance::Used(_) | Hindrance::Broken) => {
                let holders = self.holder_names(module);
                return Some(Err(StepError::InUse { module: module.clone(), holders }));
            }
        }
        // Each once and in this order, so sfc_resource stays behind onload
        // (reference/onload-measured.md section 2).
        for needed in dependencies(module.as_str()).iter().filter_map(|name| name.parse().ok()) {
            let _ = self.unload(&needed);
        }
        self.look_for_drivers();
        Some(Ok(Outcome::Changed))
    }

    fn holder_names(&self, module: &ModuleName) -> Vec<String> {
        self.holders(module).iter().map(ModuleName::to_string).collect()
    }

    /// udev, where it is that eager.
    fn look_for_drivers(&mut self) {
        if self.faults.eager {
            self.coldplug();
        }
    }

    /// Takes a module out whoever uses it, and first all that hold it.
    pub(super) fn remove(&mut self, module: &ModuleName) {
        for holder in self.holders(module) {
            self.remove(&holder);
        }
        if self.modules.contains_key(module) {
            self.take_apart(module);
            self.modules.remove(module);
            self.touch();
        }
    }

    /// Ends what a module is good for.
    fn take_apart(&mut self, module: &ModuleName) {
        for (path, owner) in NODES {
            if owner == module.as_str() {
                self.nodes.remove(path);
                self.opened.retain(|(node, _), _| *node != path);
            }
        }
        if module.as_str() == "sfc_resource" {
            self.registered.clear();
        }
        if module.as_str() == "onload" {
            self.control_plane = ControlPlane::None;
            self.accelerated.clear();
        }
        self.release_functions_of(module);
        self.forget_idle();
    }

    /// True when a module is loaded and its start has returned.
    pub(super) fn is_live(&self, module: &str) -> bool {
        self.modules
            .iter()
            .any(|(name, loaded)| name.as_str() == module && loaded.state == ModuleState::Live)
    }

    /// Modules in memory that use this one. A module in flight uses what it needs already.
    pub(super) fn holders(&self, module: &ModuleName) -> BTreeSet<ModuleName> {
        self.modules
            .keys()
            .filter(|other| dependencies(other.as_str()).contains(&module.as_str()))
            .cloned()
            .collect()
    }

    /// References held on a module.
    pub(super) fn references(&self, module: &ModuleName) -> u32 {
        let holders = u32::try_from(self.holders(module).len()).unwrap_or(u32::MAX);
        let serves =
            module.as_str() == "onload" && matches!(self.control_plane, ControlPlane::Running(_));
        let server = if serves { CONTROL_PLANE_REFERENCES } else { 0 };
        holders + server + self.references_of_users(module)
    }

    /// References that processes hold on a module, without the control-plane server's.
    pub(super) fn references_of_users(&self, module: &ModuleName) -> u32 {
        let stacks = u32::try_from(self.accelerated.len()).unwrap_or(u32::MAX);
        let opened: u32 = NODES
            .iter()
            .filter(|(_, owner)| *owner == module.as_str())
            .flat_map(|(path, _)| self.opened.iter().filter(move |((node, _), _)| node == path))
            .map(|(_, times)| times * OPEN_REFERENCES)
            .sum();
        opened + if module.as_str() == "onload" { stacks * STACK_REFERENCES } else { 0 }
    }
}

/// Why a module is not unloaded.
enum Hindrance {
    NotLoaded,
    InFlight,
    /// So many references are held.
    Used(u32),
    /// Nobody uses it, and it refuses all the same.
    Broken,
}

/// What a load answers instead of working; nothing where it hangs.
fn load_error(fault: LoadFault, name: &ModuleName) -> Option<StepError> {
    let module = name.clone();
    let ordered = |what: &str| format!("{what} (fault ordered)");
    Some(match fault {
        LoadFault::NotFound => StepError::NotFound { module },
        LoadFault::Rejected => StepError::KeyRejected { module },
        LoadFault::Error => start_failed(name),
        LoadFault::WrongKernel => {
            StepError::WrongKernel { module, detail: ordered("version magic differs") }
        }
        LoadFault::UnknownSymbol => {
            StepError::UnknownSymbol { module, detail: ordered("Unknown symbol in module") }
        }
        LoadFault::BadParameter => {
            StepError::BadParameter { module, detail: ordered("Invalid argument") }
        }
        LoadFault::Hang => return None,
    })
}

fn start_failed(module: &ModuleName) -> StepError {
    StepError::Failed(format!("module {module} failed to start: Input/output error"))
}

#[cfg(test)]
mod tests;
