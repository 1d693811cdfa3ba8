//! The reasons that files give, in words for people.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::is_host;
use crate::names::{KernelRelease, ModuleName, ReleaseName};
use crate::secure_boot::trust::Trust;
use crate::secure_boot::verdict::{Outcome, Verdict};

/// Why a kernel would refuse a module for its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// One word for programs.
    pub reason: String,
    /// What is the matter.
    pub what: String,
    /// Why that matters to this kernel.
    pub why: String,
    /// By which rule the kernel decides.
    pub rule: String,
    /// What to do.
    pub fix: String,
}

impl Fault {
    /// The first reason, said. What the configuration names is named in what to do.
    pub fn of(verdict: &Verdict, trust: &Trust) -> Option<Self> {
        let Outcome::Refused { why } = &verdict.outcome else { return None };
        let first = why.first()?;
        let named = first.signer().and_then(|signer| trust.named_for(signer));
        Some(Self {
            reason: first.reason().to_owned(),
            what: first.what(),
            why: first.why(),
            rule: verdict.rule(),
            fix: first.fix(named.as_deref()),
        })
    }
}

/// In a clause; why, and by which rule, is what `why` says.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// One reason why a release cannot be loaded into a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Objection {
    /// The directories of releases do not read.
    #[error("the releases on the disk cannot be read: {why}")]
    ReleasesUnreadable {
        /// What the system said.
        why: String,
    },
    /// There is none of the name.
    #[error("there is no release {release}")]
    NoSuchRelease {
        /// The name.
        release: ReleaseName,
    },
    /// The module tree of the release does not read.
    #[error("the modules of {release} cannot be read: {why}")]
    ModulesUnreadable {
        /// The release.
        release: ReleaseName,
        /// What the system said.
        why: String,
    },
    /// None of its modules is for the kernel.
    #[error("{release} has no modules for kernel {kernel}")]
    NoModules {
        /// The release.
        release: ReleaseName,
        /// The kernel.
        kernel: KernelRelease,
    },
    /// Some of the set are there, not all.
    #[error("the set of modules is incomplete: {} missing", listed(.missing))]
    Incomplete {
        /// Those that are not there.
        missing: BTreeSet<ModuleName>,
    },
    /// A file is there, but does not read as a module.
    #[error("the file of module {module} cannot be used: {why}")]
    FileDamaged {
        /// The module.
        module: ModuleName,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing is known of the kernel to compare with.
    #[error("kernel {kernel} cannot be compared with: {why}")]
    KernelUnknown {
        /// The kernel.
        kernel: KernelRelease,
        /// Why.
        why: String,
    },
    /// For another processor.
    #[error(
        "module {module} was built for {}, and the kernel is for {}",
        architecture(*.built_for),
        architecture(*.kernel)
    )]
    Architecture {
        /// The module.
        module: ModuleName,
        /// Its ELF machine number.
        built_for: u16,
        /// The kernel's.
        kernel: u16,
    },
    /// For another kernel, or one built with other options.
    #[error("module {module} was built for `{built_for}`, and the kernel is `{kernel}`")]
    Vermagic {
        /// The module.
        module: ModuleName,
        /// Its vermagic.
        built_for: String,
        /// The kernel's.
        kernel: String,
    },
    /// The kernel exports other versions of what it imports.
    #[error("module {module} needs other versions of {count} kernel symbols: {}", sample(.names, *.count))]
    Checksums {
        /// The module.
        module: ModuleName,
        /// The first of them.
        names: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// The kernel checks symbols one by one, and it has no checksum of any.
    #[error("module {module} has no symbol checksums, and the kernel wants them")]
    ChecksumsMissing {
        /// The module.
        module: ModuleName,
    },
    /// The kernel does not trust their signature, or there is none, and it wants one.
    #[error("the kernel would refuse {}: {}", names(.modules), .fault)]
    Untrusted {
        /// Whose.
        modules: BTreeSet<ModuleName>,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The kernel lacks a module it depends on.
    #[error("module {module} depends on {dependency}, which kernel {kernel} does not have")]
    DependencyMissing {
        /// The module.
        module: ModuleName,
        /// What it depends on.
        dependency: ModuleName,
        /// The kernel.
        kernel: KernelRelease,
    },
    /// `sfc` and the stack would load and not find each other.
    #[error(
        "sfc {sfc} and onload {onload} do not speak the same interface, so nothing would be accelerated"
    )]
    AuxiliaryInterface {
        /// Version of `sfc`.
        sfc: String,
        /// Version of the stack.
        onload: String,
    },
    /// There are modules and no user libraries.
    #[error("{release} has no user libraries")]
    LibrariesMissing {
        /// The release.
        release: ReleaseName,
    },
    /// The user library does not read.
    #[error("the user library of {release} cannot be read: {why}")]
    LibrariesUnreadable {
        /// The release.
        release: ReleaseName,
        /// What the system said.
        why: String,
    },
    /// Every new socket of a program would fail.
    #[error("the user libraries of {release} were built for another driver than its onload module")]
    LibrariesDiffer {
        /// The release.
        release: ReleaseName,
    },
}

impl Objection {
    /// One word for programs.
    pub fn reason(&self) -> &str {
        match self {
            Self::ReleasesUnreadable { .. } => "ReleasesUnreadable",
            Self::NoSuchRelease { .. } => "NoSuchRelease",
            Self::ModulesUnreadable { .. } => "ModulesUnreadable",
            Self::NoModules { .. } => "NoModules",
            Self::Incomplete { .. } => "Incomplete",
            Self::FileDamaged { .. } => "FileDamaged",
            Self::KernelUnknown { .. } => "KernelUnknown",
            Self::Architecture { .. } => "Architecture",
            Self::Vermagic { .. } => "Vermagic",
            Self::Checksums { .. } => "Checksums",
            Self::ChecksumsMissing { .. } => "ChecksumsMissing",
            Self::Untrusted { fault, .. } => &fault.reason,
            Self::DependencyMissing { .. } => "DependencyMissing",
            Self::AuxiliaryInterface { .. } => "AuxiliaryInterface",
            Self::LibrariesMissing { .. } => "LibrariesMissing",
            Self::LibrariesUnreadable { .. } => "LibrariesUnreadable",
            Self::LibrariesDiffer { .. } => "LibrariesDiffer",
        }
    }

    /// What an operator does about it.
    pub fn fix(&self) -> String {
        match self {
            Self::ReleasesUnreadable { .. } | Self::ModulesUnreadable { .. } => {
                "see to the directory: permissions, the file system, SELinux labels".to_owned()
            }
            Self::NoSuchRelease { .. } => {
                "name one of `onloadctl release list`, or import it".to_owned()
            }
            Self::NoModules { release, kernel } if is_host(release) => {
                format!("install or build Onload's modules for kernel {kernel}")
            }
            Self::NoModules { kernel, .. } => format!(
                "import a release that was built for kernel {kernel} too, or map the kernel to another one"
            ),
            Self::Incomplete { .. } | Self::FileDamaged { .. } => {
                "install the packages anew, or import a whole build of the release under a new name"
                    .to_owned()
            }
            Self::KernelUnknown { kernel, .. } => {
                format!("install kernel {kernel} with its modules, and run `depmod {kernel}`")
            }
            Self::Architecture { .. } => {
                "import a build for this machine's architecture".to_owned()
            }
            Self::Vermagic { module, .. } | Self::Checksums { module, .. } => {
                format!("build {module} against the headers of this kernel")
            }
            Self::ChecksumsMissing { module } => {
                format!("build {module} with the Module.symvers of this kernel")
            }
            Self::Untrusted { fault, .. } => fault.fix.clone(),
            Self::DependencyMissing { dependency, kernel, .. } => format!(
                "install the package that brings {dependency} for kernel {kernel} (often modules-extra)"
            ),
            Self::AuxiliaryInterface { .. } => {
                "take sfc and onload from the same release".to_owned()
            }
            Self::LibrariesMissing { release } if is_host(release) => {
                "install Onload's user package of the same version".to_owned()
            }
            Self::LibrariesMissing { .. } => {
                "import the release with its user libraries".to_owned()
            }
            Self::LibrariesUnreadable { .. } => {
                "see to the file: permissions, a package that is half installed".to_owned()
            }
            Self::LibrariesDiffer { .. } => {
                "take libraries and modules from the same build".to_owned()
            }
        }
    }
}

/// Modules by name, as a list for people.
pub(crate) fn names(modules: &BTreeSet<ModuleName>) -> String {
    let names: Vec<_> = modules.iter().map(ModuleName::as_str).collect();
    names.join(", ")
}

fn listed(modules: &BTreeSet<ModuleName>) -> String {
    format!("{} {}", names(modules), if modules.len() == 1 { "is" } else { "are" })
}

fn sample(names: &[String], count: usize) -> String {
    let rest = count.saturating_sub(names.len());
    let named = names.join(", ");
    if rest == 0 { named } else { format!("{named} and {rest} more") }
}

/// ELF machine numbers that a node may have.
fn architecture(machine: u16) -> String {
    match machine {
        62 => "x86-64".to_owned(),
        183 => "AArch64".to_owned(),
        21 => "64-bit PowerPC".to_owned(),
        3 => "32-bit x86".to_owned(),
        40 => "32-bit Arm".to_owned(),
        other => format!("machine {other}"),
    }
}
