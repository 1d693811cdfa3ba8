//! Whether a kernel will take the files of a release: told from the files and from whom the machine
//! trusts, before anything is touched. What those cannot tell (what a parameter does) is left to the load.

use std::collections::BTreeSet;

use crate::inventory::{STACK, Snapshot};
use crate::names::{KernelRelease, ModuleName, ReleaseName};
use crate::reading::Reading;
use crate::release::{HOST, IN_TREE, Kernel, ModuleFile, Release};
use crate::secure_boot::verdict::{AtHand, Judge};

pub(crate) use self::objection::names;
pub use self::objection::{Fault, Objection};

mod auxiliary;
mod objection;
#[cfg(test)]
mod tests;

/// Module that carried the coupling of `sfc` and the stack before 9.0
/// (reference/onload-modules.md section 2).
const DRIVERLINK: &str = "sfc_driverlink";
/// Symbols that a message names; the rest is counted.
const NAMED_SYMBOLS: usize = 5;
/// The word of `vermagic` by which a kernel says that it checks symbols one by one.
const MODVERSIONS: &str = "modversions";

/// Every reason why `release` cannot be loaded into `kernel`; none: nothing speaks against it.
pub fn check(release: &ReleaseName, kernel: &KernelRelease, snapshot: &Snapshot) -> Vec<Objection> {
    checked(release, kernel, snapshot, &AtHand::of(&snapshot.trust))
}

/// The same with the certificates of the snapshot's trust, for several checks of one look.
pub fn checked(
    release: &ReleaseName,
    kernel: &KernelRelease,
    snapshot: &Snapshot,
    at_hand: &AtHand,
) -> Vec<Objection> {
    let found = match &snapshot.releases {
        Reading::Known(releases) => releases.get(release),
        Reading::Absent => None,
        Reading::Unreadable(why) => {
            return vec![Objection::ReleasesUnreadable { why: why.clone() }];
        }
    };
    let Some(found) = found else {
        return vec![Objection::NoSuchRelease { release: release.clone() }];
    };
    let preflight = Preflight { name: release, release: found, kernel, snapshot, at_hand };
    preflight.objections()
}

struct Preflight<'a> {
    name: &'a ReleaseName,
    release: &'a Release,
    kernel: &'a KernelRelease,
    snapshot: &'a Snapshot,
    at_hand: &'a AtHand,
}

impl Preflight<'_> {
    fn objections(&self) -> Vec<Objection> {
        if let Reading::Unreadable(why) = &self.release.modules {
            return vec![Objection::ModulesUnreadable {
                release: self.name.clone(),
                why: why.clone(),
            }];
        }
        let files: Vec<_> = self.files().collect();
        let damaged = self.release.damaged.get(self.kernel);
        let mut objections = Vec::new();
        if files.is_empty() && damaged.is_none() {
            objections.push(Objection::NoModules {
                release: self.name.clone(),
                kernel: self.kernel.clone(),
            });
        } else {
            for (module, why) in damaged.into_iter().flatten() {
                objections
                    .push(Objection::FileDamaged { module: module.clone(), why: why.clone() });
            }
            objections.extend(self.incomplete());
        }
        let kernel = self.snapshot.kernels.known().and_then(|kernels| kernels.get(self.kernel));
        if !files.is_empty() {
            match (kernel, self.kernel_gap(kernel)) {
                (Some(kernel), None) => {
                    for (module, file) in &files {
                        objections.extend(self.file(module, file, kernel));
                    }
                }
                (_, why) => objections.push(Objection::KernelUnknown {
                    kernel: self.kernel.clone(),
                    why: why.unwrap_or_else(|| "its module tree is not on the disk".to_owned()),
                }),
            }
            objections.extend(self.untrusted());
        }
        if self.name.as_str() != IN_TREE {
            objections.extend(auxiliary::check(self.version("sfc"), self.version("onload")));
            objections.extend(self.libraries());
        }
        objections
    }

    /// The files for the kernel, in load order.
    fn files(&self) -> impl Iterator<Item = (&ModuleName, &ModuleFile)> {
        let files = self.release.modules.known().and_then(|modules| modules.get(self.kernel));
        let order = |name: &str| STACK.iter().position(|one| *one == name);
        let mut files: Vec<_> = files.into_iter().flatten().collect();
        files.sort_by_key(|(name, _)| order(name.as_str()));
        files.into_iter()
    }

    fn file_of(&self, name: &str) -> Option<&ModuleFile> {
        self.files().find(|(module, _)| module.as_str() == name).map(|(_, file)| file)
    }

    fn version(&self, name: &str) -> Option<&str> {
        self.file_of(name)?.version.as_deref()
    }

    /// Modules of the set that are not there. What is there and does not read is named for that.
    fn incomplete(&self) -> Option<Objection> {
        let coupled = self.files().any(|(_, file)| depends_on(file, DRIVERLINK));
        let whole: Vec<&str> = match self.name.as_str() {
            IN_TREE => vec!["sfc"],
            _ if coupled => STACK.into_iter().chain([DRIVERLINK]).collect(),
            _ => STACK.to_vec(),
        };
        let damaged = self.release.damaged.get(self.kernel);
        let there = |name: &str| {
            self.file_of(name).is_some()
                || damaged.is_some_and(|files| files.keys().any(|file| file.as_str() == name))
        };
        let missing: BTreeSet<ModuleName> = whole
            .into_iter()
            .filter(|name| !there(name))
            .filter_map(|name| name.parse().ok())
            .collect();
        (!missing.is_empty()).then_some(Objection::Incomplete { missing })
    }

    /// Why nothing can be compared with the kernel.
    fn kernel_gap(&self, kernel: Option<&Kernel>) -> Option<String> {
        let known = match &self.snapshot.kernels {
            Reading::Unreadable(why) => return Some(why.clone()),
            Reading::Known(_) | Reading::Absent => kernel?,
        };
        match (&known.machine, &known.vermagic) {
            (Reading::Unreadable(why), _) | (_, Reading::Unreadable(why)) => Some(why.clone()),
            (Reading::Known(_) | Reading::Absent, Reading::Known(_) | Reading::Absent) => None,
        }
    }

    /// What one file says against one kernel.
    fn file(&self, module: &ModuleName, file: &ModuleFile, kernel: &Kernel) -> Vec<Objection> {
        let mut objections = Vec::new();
        if let Reading::Known(machine) = kernel.machine
            && machine != file.machine
        {
            // Of a file for another processor nothing else is worth saying.
            return vec![Objection::Architecture {
                module: module.clone(),
                built_for: file.machine,
                kernel: machine,
            }];
        }
        objections.extend(self.vermagic(module, file, kernel));
        objections.extend(checksums(module, file, kernel));
        for dependency in &file.depends {
            let own = self.file_of(dependency.as_str()).is_some();
            // What the release ought to bring is missing from its set, and named there.
            let ought = STACK.contains(&dependency.as_str()) || dependency.as_str() == DRIVERLINK;
            if !own && !ought && !kernel.available.contains(dependency) {
                objections.push(Objection::DependencyMissing {
                    module: module.clone(),
                    dependency: dependency.clone(),
                    kernel: self.kernel.clone(),
                });
            }
        }
        objections
    }

    /// `same_magic` of the kernel: the build options must be equal; the release string too, unless
    /// checksums decide (reference/onload-measured.md section 2).
    fn vermagic(
        &self,
        module: &ModuleName,
        file: &ModuleFile,
        kernel: &Kernel,
    ) -> Option<Objection> {
        let (built_for, options) = split(&file.vermagic);
        let (running, wanted) = match &kernel.vermagic {
            Reading::Known(vermagic) => split(vermagic),
            // Its directory is named after it; of its options nothing is known.
            Reading::Absent | Reading::Unreadable(_) => (self.kernel.as_str(), options),
        };
        let differs = options != wanted || (built_for != running && !compared(file, kernel));
        differs.then(|| Objection::Vermagic {
            module: module.clone(),
            built_for: file.vermagic.trim().to_owned(),
            kernel: format!("{running} {wanted}").trim().to_owned(),
        })
    }

    /// What the kernel would refuse for its signature, by what is wrong with that. What cannot be told
    /// is left to the load.
    fn untrusted(&self) -> Vec<Objection> {
        let trust = &self.snapshot.trust;
        let judge = Judge::new(trust, self.kernel, self.at_hand);
        let mut objections: Vec<Objection> = Vec::new();
        for (module, file) in self.files() {
            let verdict = judge.verdict(file.signed.data());
            let Some(fault) = Fault::of(&verdict, trust) else { continue };
            let same = objections.iter_mut().find_map(|said| {
                let Objection::Untrusted { modules, fault: other } = said else { return None };
                (*other == fault).then_some(modules)
            });
            match same {
                Some(modules) => drop(modules.insert(module.clone())),
                None => {
                    let modules = [module.clone()].into();
                    objections.push(Objection::Untrusted { modules, fault });
                }
            }
        }
        objections
    }

    /// Whether the libraries fit the driver: both carry the hash of the interface between them
    /// (reference/onload-modules.md section 4). A driver in whose file none stands tells nothing
    /// before it is loaded.
    fn libraries(&self) -> Option<Objection> {
        let name = self.name.clone();
        let libraries = match &self.release.interfaces {
            Reading::Known(libraries) => libraries,
            Reading::Absent => {
                return Some(Objection::LibrariesMissing { release: name });
            }
            Reading::Unreadable(why) => {
                return Some(Objection::LibrariesUnreadable { release: name, why: why.clone() });
            }
        };
        let driver = &self.file_of("onload")?.interfaces;
        let differ = !driver.is_empty() && driver.is_disjoint(libraries);
        differ.then_some(Objection::LibrariesDiffer { release: name })
    }
}

fn depends_on(file: &ModuleFile, name: &str) -> bool {
    file.depends.iter().any(|one| one.as_str() == name)
}

/// Release string and build options.
fn split(vermagic: &str) -> (&str, &str) {
    let (release, options) = vermagic.split_once(' ').unwrap_or((vermagic, ""));
    (release, options.trim())
}

/// Whether both have checksums, and some of the same symbols.
fn compared(file: &ModuleFile, kernel: &Kernel) -> bool {
    checks_symbols(file) && file.symbols.keys().any(|name| kernel.symbols.contains_key(name))
}

fn checks_symbols(file: &ModuleFile) -> bool {
    split(&file.vermagic).1.split(' ').any(|word| word == MODVERSIONS)
}

fn checksums(module: &ModuleName, file: &ModuleFile, kernel: &Kernel) -> Option<Objection> {
    if !checks_symbols(file) {
        return None;
    }
    if file.symbols.is_empty() {
        // A build without the kernel's Module.symvers; the kernel wants one sum at the least.
        let module = module.clone();
        return (!kernel.symbols.is_empty()).then_some(Objection::ChecksumsMissing { module });
    }
    let differs = |(name, sum): &(&String, &u32)| {
        kernel.symbols.get(*name).is_some_and(|exported| exported != *sum)
    };
    let differing = file.symbols.iter().filter(differs);
    let mut names: Vec<_> = differing.map(|(name, _)| name.clone()).collect();
    let count = names.len();
    names.truncate(NAMED_SYMBOLS);
    (count > 0).then(|| Objection::Checksums { module: module.clone(), names, count })
}

/// Whether a release is the distribution's, whose files its packages bring.
fn is_host(release: &ReleaseName) -> bool {
    release.as_str() == HOST
}
