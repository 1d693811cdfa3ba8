//! The kernel's module loader: what loading, unloading and holding do to each other.

use std::collections::BTreeSet;

use onload_core::inventory::ModuleState;
use onload_core::names::{ModuleName, ReleaseName};
use onload_core::step::{Outcome, StepError};

use super::action::ActionError;
use super::faults::LoadFault;
use super::file::ModuleOnDisk;
use super::world::World;

/// The release that is the kernel's own.
pub(super) const IN_TREE: &str = "in-tree";

/// The release that the distribution's own directories hold.
const HOST: &str = "host";

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
    /// Live, or on its way in.
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
            if self.modules.contains_key(&found.name) {
                // The kernel lets a second load wait for the first.
                return None;
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
        let found = self.release(release)?;
        if !found.kernels.contains(&self.file.node.kernel) {
            return None;
        }
        match found.modules.iter().find(|file| file.name.get_ref() == module) {
            Some(file) => Some(Found {
                name: module.clone(),
                release: release.clone(),
                file: Some(file.clone()),
            }),
            None if module.as_str() == "mtd" => in_tree(),
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
        Err(StepError::Failed(format!(
            "{}: disagrees about version of symbols of {needed}, which is loaded from release {}",
            found.name, loaded.release
        )))
    }

    /// One module into memory. No answer where its start hangs.
    fn insert(&mut self, found: Found) -> Option<Result<(), StepError>> {
        let Found { name, release, file } = found;
        let signed = file.as_ref().is_none_or(|file| {
            file.signed_by.as_ref().is_some_and(|key| self.trusted.contains(key.get_ref()))
        });
        let fault = self.faults.take_load(&name);
        let rejected = !signed && self.file.secure_boot.enabled;
        if rejected || fault == Some(LoadFault::Rejected) {
            return Some(Err(StepError::KeyRejected { module: name }));
        }
        if fault == Some(LoadFault::NotFound) {
            return Some(Err(StepError::NotFound { module: name }));
        }
        if fault == Some(LoadFault::Error) {
            let why = format!("module {name} failed to start: Input/output error");
            return Some(Err(StepError::Failed(why)));
        }
        let taint = match (&file, signed) {
            (None, _) => "",
            (Some(_), true) => "O",
            (Some(_), false) => "OE",
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
            self.control_plane = ControlPlane::Due;
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

    /// Unloads a module as delete_module(2) without force does.
    pub(super) fn unload(&mut self, module: &ModuleName) -> Result<(), ActionError> {
        let refuse = |why: String, fix: &str| {
            Err(ActionError::new(format!("module {module} is not unloaded"), why, fix))
        };
        match self.modules.get(module).map(|loaded| loaded.state) {
            None => return refuse("ENOENT: it is not loaded".to_owned(), "nothing to do"),
            Some(ModuleState::Coming | ModuleState::Going) => {
                return refuse("EBUSY: it is in flight".to_owned(), "reboot");
            }
            Some(ModuleState::Live) => {}
        }
        let references = self.references(module);
        if references > 0 {
            let holders: Vec<String> =
                self.holders(module).iter().map(ModuleName::to_string).collect();
            let by = if holders.is_empty() {
                String::new()
            } else {
                format!(", by {}", holders.join(" "))
            };
            let why = format!("EAGAIN: it is in use ({references} references{by})");
            return refuse(
                why,
                "unload what holds it, and end its processes and its control plane",
            );
        }
        if self.faults.take_unload(module) {
            return refuse("EAGAIN: ordered by `fault unload`".to_owned(), "clear faults");
        }
        self.remove(module);
        Ok(())
    }

    /// Takes a module out whoever uses it, and first all that hold it.
    pub(super) fn remove(&mut self, module: &ModuleName) {
        for holder in self.holders(module) {
            self.remove(&holder);
        }
        if self.modules.remove(module).is_none() {
            return;
        }
        for (path, owner) in NODES {
            if owner == module.as_str() {
                self.nodes.remove(path);
                self.opened.retain(|(node, _), _| *node != path);
            }
        }
        if module.as_str() == "onload" {
            self.control_plane = ControlPlane::None;
            self.accelerated.clear();
        }
        self.release_functions_of(module);
        self.touch();
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
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let opened: u32 = NODES
            .iter()
            .filter(|(_, owner)| *owner == module.as_str())
            .flat_map(|(path, _)| self.opened.iter().filter(move |((node, _), _)| node == path))
            .map(|(_, times)| times * OPEN_REFERENCES)
            .sum();
        let mut references = count(self.holders(module).len()) + opened;
        if module.as_str() == "onload" {
            references += count(self.accelerated.len()) * STACK_REFERENCES;
            if matches!(self.control_plane, ControlPlane::Running(_)) {
                references += CONTROL_PLANE_REFERENCES;
            }
        }
        references
    }
}

#[cfg(test)]
mod tests;
