//! Releases as files: what a module file says of itself, and the kernels it may be loaded into.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::{InterfaceHash, KernelRelease, ModuleName, ReleaseName};
use crate::reading::Reading;
use crate::release::initramfs::Initramfs;
use crate::release::signing::Signing;

pub mod initramfs;
pub mod preflight;
pub mod signing;

/// The release that is the kernel's own driver and nothing else.
pub const IN_TREE: &str = "in-tree";
/// The release that is what the distribution's packages installed.
pub const HOST: &str = "host";

/// One release as it lies on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Root of the tree on the host (`/` for `host`): `usr/lib64`, `usr/bin` and so on lie below.
    pub root: String,
    /// Directory of the libraries below that root, such as `usr/lib64`.
    pub library_directory: String,
    /// File names that begin with `libonload.so` or `libonload_ext.so`
    /// (reference/kubernetes-onload.md section 1.3).
    pub libraries: BTreeSet<String>,
    /// Whether the `onload` launcher is there, in `usr/bin`.
    pub launcher: bool,
    /// Names of the profiles in `usr/libexec/onload/profiles`.
    pub profiles: BTreeSet<String>,
    /// What those profiles say, and the fragments that they import, by file name. Shared, since they
    /// seldom change.
    #[serde(default, with = "shared", skip_serializing_if = "shared::is_empty")]
    pub profile_files: ProfileFiles,
    /// Every 32-digit hash that stands as a string in `libonload.so`. The library carries the hash
    /// of the driver interface it was built for among them (reference/onload-modules.md section 4),
    /// and whether a driver's own is one of them is the only question asked of it. Absent where
    /// there are no libraries.
    pub interfaces: Reading<BTreeSet<InterfaceHash>>,
    /// Its module files, by the kernel they are for. `host` has those modprobe would take, without
    /// the kernel's own; `in-tree` has the kernel's own `sfc`.
    pub modules: Reading<BTreeMap<KernelRelease, BTreeMap<ModuleName, ModuleFile>>>,
    /// Those of its module files that do not read, and why.
    #[serde(default)]
    pub damaged: BTreeMap<KernelRelease, BTreeMap<ModuleName, String>>,
    /// What tells this state of files that are replaced in place, as those of `host` are by packages,
    /// from the next; none for an imported release, which never changes.
    #[serde(default)]
    pub stamp: Option<String>,
    /// Its control-plane server below the root, such as `sbin/onload_cp_server`.
    pub server: Option<String>,
}

/// What a kernel module file says of itself (`modinfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModuleFile {
    /// Where it lies, absolute on the host.
    pub path: String,
    /// ELF machine number: 62 is x86-64, 183 AArch64.
    pub machine: u16,
    /// `vermagic`: kernel release and build options.
    pub vermagic: String,
    /// `depends`.
    pub depends: BTreeSet<ModuleName>,
    /// `version`; empty for an unstamped build.
    pub version: Option<String>,
    /// `srcversion`.
    pub srcversion: Option<String>,
    /// Whether it says that it was built with the kernel (`intree`).
    pub in_tree: bool,
    /// Its signature. Whether anybody trusts it is not told here.
    #[serde(default)]
    pub signed: Signing,
    /// Every 32-digit hash that stands as a string in it. `onload` carries that of the interface it
    /// serves among them (reference/onload-modules.md section 4).
    #[serde(default)]
    pub interfaces: BTreeSet<InterfaceHash>,
    /// Checksums of the symbols it imports (`__versions`); empty for a build without them.
    #[serde(skip)]
    pub symbols: Symbols,
}

/// Texts of profiles by file name.
pub type ProfileFiles = Arc<BTreeMap<String, Reading<String>>>;

/// What is shared, written as if it were not.
mod shared {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::ProfileFiles;

    pub(super) fn is_empty(files: &ProfileFiles) -> bool {
        files.is_empty()
    }

    pub(super) fn serialize<S: Serializer>(
        files: &ProfileFiles,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (**files).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ProfileFiles, D::Error> {
        Deserialize::deserialize(deserializer).map(ProfileFiles::new)
    }
}

/// Checksums of symbols by name. Shared, since there are hundreds and they never change.
pub type Symbols = Arc<BTreeMap<String, u32>>;

/// A kernel whose module tree is on the disk, as its own module files show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kernel {
    /// ELF machine number of its modules.
    pub machine: Reading<u16>,
    /// `vermagic` of its modules.
    pub vermagic: Reading<String>,
    /// Checksums of the symbols that its own modules import: what it exports, as far as they show.
    #[serde(skip)]
    pub symbols: Symbols,
    /// Of the modules that any release names as a dependency: those it has, built in or as files.
    pub available: BTreeSet<ModuleName>,
    /// What its initramfs carries; absent where none lies in the usual places, or while it is still
    /// being read: that takes seconds, and nothing waits for it.
    #[serde(default, skip_serializing_if = "Reading::is_absent")]
    pub initramfs: Reading<Initramfs>,
}

/// Whether a release is one that onloadd keeps itself.
pub fn is_imported(name: &ReleaseName) -> bool {
    ![HOST, IN_TREE].contains(&name.as_str())
}
