//! What of the stack an initramfs carries. Its driver is bound before the root is, and long before a
//! release is loaded, and its ports get their first names there; it decides nothing here, but whoever
//! sees a driver replaced or a port renamed at every boot is told why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::inventory::Snapshot;
use crate::names::{InterfaceName, KernelRelease, ModuleName, ReleaseName};
use crate::naming::Pins;
use crate::reading::Reading;
use crate::release::{HOST, IN_TREE, ModuleFile, Release};

/// The initramfs of a kernel, as far as it has to do with the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Initramfs {
    /// Where it lies, absolute on the host.
    pub path: String,
    /// Those of [`crate::inventory::STACK`] that it has for its kernel.
    pub modules: BTreeMap<ModuleName, Carried>,
    /// Names pinned there: what those `.link` files of onloadd's say that it has a copy of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: Pins,
}

/// A module file inside an initramfs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Carried {
    /// `version`; none for modules built without one.
    pub version: Option<String>,
    /// `srcversion`.
    pub srcversion: Option<String>,
    /// Whether it says that it was built with the kernel (`intree`).
    pub in_tree: bool,
}

impl Carried {
    /// Whether a file of a release is the same build, as far as both say.
    fn is(&self, file: &ModuleFile) -> bool {
        match (&self.srcversion, &file.srcversion) {
            (Some(carried), Some(own)) if carried != own => return false,
            _ => {}
        }
        self.version == file.version && self.in_tree == file.in_tree
    }

    fn name(&self) -> String {
        let version = match &self.version {
            Some(version) if !version.is_empty() => format!(" {version}"),
            Some(_) | None if self.in_tree => " of the kernel itself".to_owned(),
            Some(_) | None => " without a version".to_owned(),
        };
        let source = self.srcversion.as_ref().map(|source| format!(" (srcversion {source})"));
        format!("{version}{}", source.unwrap_or_default())
    }
}

/// Something about a release and a kernel that is worth knowing and keeps nothing from happening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Remark {
    /// The initramfs has another build of a module.
    #[error(
        "{path}, the initramfs of kernel {kernel}, carries {module}{carried}, which release {release} does not have: it is in place before the release is loaded, so every boot has to swap it"
    )]
    InitramfsDiffers {
        /// The initramfs.
        path: String,
        /// The kernel.
        kernel: KernelRelease,
        /// The module.
        module: ModuleName,
        /// Its version and srcversion there, in words.
        carried: String,
        /// The release it is compared with.
        release: ReleaseName,
    },
    /// The initramfs has the driver, and not the pins: udev names the ports there as the driver has it.
    /// In the root they are renamed, but for what is up by then on a kernel that renames nothing that
    /// is up (reference/interface-naming.md section 5.1).
    #[error(
        "{path}, the initramfs of kernel {kernel}, carries sfc and does not pin {}: there the ports have other names, and one that is already up when the root takes over keeps it", listed(.names)
    )]
    InitramfsLacksNames {
        /// The initramfs.
        path: String,
        /// The kernel.
        kernel: KernelRelease,
        /// Names that it does not give, or not to the port that has it.
        names: BTreeSet<InterfaceName>,
    },
    /// The initramfs has pins of before, and a name once given is kept in the root.
    #[error(
        "{path}, the initramfs of kernel {kernel}, carries sfc and still pins {}: the ports have these names at every boot, though onloadd pins them no more", listed(.names)
    )]
    InitramfsKeepsNames {
        /// The initramfs.
        path: String,
        /// The kernel.
        kernel: KernelRelease,
        /// Names that it gives to ports that have no pin today.
        names: BTreeSet<InterfaceName>,
    },
    /// What the initramfs has cannot be told.
    #[error(
        "whether the initramfs of kernel {kernel} carries another sfc cannot be told: {why}; if it does, every boot has to swap it"
    )]
    InitramfsUnreadable {
        /// The kernel.
        kernel: KernelRelease,
        /// Which file, and what is wrong with it.
        why: String,
    },
}

impl Remark {
    /// One word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InitramfsDiffers { .. } => "InitramfsDiffers",
            Self::InitramfsLacksNames { .. } => "InitramfsLacksNames",
            Self::InitramfsKeepsNames { .. } => "InitramfsKeepsNames",
            Self::InitramfsUnreadable { .. } => "InitramfsUnreadable",
        }
    }

    /// What an operator does about it.
    pub fn fix(&self) -> String {
        match self {
            Self::InitramfsDiffers { kernel, release, .. } if release.as_str() == HOST => format!(
                "build the initramfs anew, so that it takes the module that modprobe would: `dracut -f --kver {kernel}`, or `update-initramfs -u -k {kernel}`"
            ),
            Self::InitramfsDiffers { kernel, module, .. } => format!(
                "build the initramfs without {module}, unless the root needs it: `dracut -f --kver {kernel} --omit-drivers {module}`, or MODULES=dep in initramfs.conf and `update-initramfs -u -k {kernel}`"
            ),
            Self::InitramfsLacksNames { kernel, .. } | Self::InitramfsKeepsNames { kernel, .. } => {
                format!(
                    "build the initramfs anew, so that it takes the files of /etc/systemd/network as they are now: `dracut -f --kver {kernel}`, or `update-initramfs -u -k {kernel}`"
                )
            }
            Self::InitramfsUnreadable { kernel, .. } => format!(
                "look into it with `lsinitrd -k {kernel}` or `lsinitramfs`; gzip, xz and zstd are what onloadd reads"
            ),
        }
    }
}

fn listed(names: &BTreeSet<InterfaceName>) -> String {
    let names: Vec<_> = names.iter().map(InterfaceName::as_str).collect();
    names.join(", ")
}

/// What is worth knowing of a release and the initramfs of a kernel.
pub fn remarks(release: &ReleaseName, kernel: &KernelRelease, snapshot: &Snapshot) -> Vec<Remark> {
    let seen = snapshot.kernels.known().and_then(|kernels| kernels.get(kernel));
    let found = snapshot.releases.known().and_then(|releases| releases.get(release));
    let (Some(seen), Some(found)) = (seen, found) else { return Vec::new() };
    match &seen.initramfs {
        Reading::Absent => Vec::new(),
        Reading::Unreadable(why) => {
            vec![Remark::InitramfsUnreadable { kernel: kernel.clone(), why: why.clone() }]
        }
        Reading::Known(initramfs) => {
            let mut remarks = differing(release, kernel, found, initramfs);
            remarks.extend(misnamed(kernel, initramfs, &snapshot.pins));
            remarks
        }
    }
}

/// Ports get their first name where their driver is loaded: without one, pins there mean nothing.
fn misnamed(kernel: &KernelRelease, initramfs: &Initramfs, pins: &Reading<Pins>) -> Vec<Remark> {
    let none = Pins::new();
    let pins = match pins {
        Reading::Known(pins) => pins,
        Reading::Absent => &none,
        // That is told for itself.
        Reading::Unreadable(_) => return Vec::new(),
    };
    if !initramfs.modules.keys().any(|module| module.as_str() == "sfc") {
        return Vec::new();
    }
    let (path, kernel) = (initramfs.path.clone(), kernel.clone());
    let given = |key| initramfs.pins.get(key).map(|pin| &pin.name);
    let lacking = pins.iter().filter(|(key, pin)| given(key) != Some(&pin.name));
    let kept = initramfs.pins.iter().filter(|(key, _)| !pins.contains_key(key));
    let lacking: BTreeSet<_> = lacking.map(|(_, pin)| pin.name.clone()).collect();
    let kept: BTreeSet<_> = kept.map(|(_, pin)| pin.name.clone()).collect();
    let mut remarks = Vec::new();
    if !lacking.is_empty() {
        let (path, kernel) = (path.clone(), kernel.clone());
        remarks.push(Remark::InitramfsLacksNames { path, kernel, names: lacking });
    }
    if !kept.is_empty() {
        remarks.push(Remark::InitramfsKeepsNames { path, kernel, names: kept });
    }
    remarks
}

fn differing(
    release: &ReleaseName,
    kernel: &KernelRelease,
    found: &Release,
    initramfs: &Initramfs,
) -> Vec<Remark> {
    // One that does not read, or has nothing for the kernel, is objected to for that.
    let Some(files) = found.modules.known().and_then(|modules| modules.get(kernel)) else {
        return Vec::new();
    };
    let damaged = found.damaged.get(kernel);
    let differs = |(module, carried): &(&ModuleName, &Carried)| match files.get(*module) {
        Some(file) => !carried.is(file),
        // The kernel's own driver knows no stack; of what does not read nothing is said.
        None => {
            release.as_str() == IN_TREE
                || damaged.is_none_or(|damaged| !damaged.contains_key(*module))
        }
    };
    let differing = initramfs.modules.iter().filter(differs);
    let mut remarks: Vec<_> = differing
        .map(|(module, carried)| Remark::InitramfsDiffers {
            path: initramfs.path.clone(),
            kernel: kernel.clone(),
            module: module.clone(),
            carried: carried.name(),
            release: release.clone(),
        })
        .collect();
    // The driver first: it is what binds.
    remarks.sort_by_key(|remark| match remark {
        Remark::InitramfsDiffers { module, .. } => module.as_str() != "sfc",
        Remark::InitramfsLacksNames { .. }
        | Remark::InitramfsKeepsNames { .. }
        | Remark::InitramfsUnreadable { .. } => false,
    });
    remarks
}

#[cfg(test)]
mod tests;
