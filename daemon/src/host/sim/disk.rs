//! What lies on the disk of the simulated machine: releases with their module files, and kernels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onload_core::names::{KernelRelease, ModuleName, ReleaseName};
use onload_core::reading::Reading;
use onload_core::release::initramfs::{Carried, Initramfs};
use onload_core::release::signing::Signing;
use onload_core::release::{IN_TREE, Kernel, ModuleFile, Release};
use onload_core::step::StepError;
use toml::Spanned;

use super::certificate::{signed, signed_by_key};
use super::file::{KernelOnDisk, ModuleOnDisk, ReleaseOnDisk};
use super::kernel::dependencies;
use super::trust::build_time_key;
use super::world::World;

/// ELF machine number of x86-64.
const X86_64: u16 = 62;

/// The control-plane server that `onload` starts unless it is told another
/// (reference/onload-modules.md section 9).
const BUILT_IN_SERVER: &str = "/sbin/onload_cp_server";

/// What a look finds on the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct OnDisk {
    pub releases: BTreeMap<ReleaseName, Release>,
    pub kernels: BTreeMap<KernelRelease, Kernel>,
}

impl World {
    /// Reads the disk again. It changes far less often than it is looked at.
    pub(super) fn read_disk(&mut self) {
        self.on_disk =
            Arc::new(OnDisk { releases: self.release_readings(), kernels: self.kernel_readings() });
    }

    /// Releases as a look finds them: those that have anything left, and the kernel's own driver.
    fn release_readings(&self) -> BTreeMap<ReleaseName, Release> {
        let written = self.file.releases.iter().map(|release| {
            let name = release.name.get_ref().clone();
            let read = self.release_reading(&name, release);
            (name, read)
        });
        let is_there = |(_, read): &(ReleaseName, Release)| {
            let has_modules = read.modules.known().is_some_and(|modules| !modules.is_empty());
            has_modules || !read.libraries.is_empty()
        };
        let mut found: BTreeMap<_, _> = written.filter(is_there).collect();
        let kernels = self.kernels();
        let own = kernels.iter().filter(|(_, kernel)| kernel.in_tree_sfc);
        let own: BTreeMap<_, _> =
            own.map(|(name, kernel)| (name.clone(), self.own_sfc(kernel))).collect();
        if let (false, Ok(name)) = (own.is_empty(), IN_TREE.parse()) {
            let in_tree = Release {
                root: "/".to_owned(),
                library_directory: "usr/lib64".to_owned(),
                modules: Reading::Known(own),
                ..Release::default()
            };
            found.insert(name, in_tree);
        }
        found
    }

    fn release_reading(&self, name: &ReleaseName, release: &ReleaseOnDisk) -> Release {
        let lost = self.lost_libraries.contains(name);
        let libraries = release.libraries.get_ref();
        let libraries = if lost { BTreeSet::new() } else { libraries.clone() };
        let interface = release.library_interface.as_ref().unwrap_or(&release.interface);
        let interfaces = BTreeSet::from([interface.clone()]);
        let modules = release.kernels.iter().map(|kernel| {
            let files = release.modules.iter().map(|file| {
                let name = file.name.get_ref().clone();
                (name, self.module_file(release, kernel, file))
            });
            (kernel.clone(), files.collect())
        });
        Release {
            root: release.root.get_ref().clone(),
            library_directory: release.library_directory.get_ref().clone(),
            interfaces: (!libraries.is_empty()).then_some(interfaces).into(),
            libraries,
            launcher: release.launcher,
            profiles: release.profiles.clone(),
            profile_files: Arc::new(
                release
                    .profile_files
                    .iter()
                    .map(|(name, text)| (name.clone(), Reading::Known(text.clone())))
                    .collect(),
            ),
            modules: Reading::Known(modules.filter(|_| !release.modules.is_empty()).collect()),
            server: Some(release.server.get_ref().clone()).filter(|server| !server.is_empty()),
            ..Release::default()
        }
    }

    fn module_file(
        &self,
        release: &ReleaseOnDisk,
        kernel: &KernelRelease,
        file: &ModuleOnDisk,
    ) -> ModuleFile {
        let (root, name) = (release.root.get_ref().trim_end_matches('/'), file.name.get_ref());
        let signer = file.signed_by.as_ref();
        let signer = signer.and_then(|key| self.firmware.keys.get(key.get_ref()));
        let carries = (name.as_str() == "onload").then(|| release.interface.clone());
        ModuleFile {
            path: format!("{root}/lib/modules/{kernel}/extra/{name}.ko"),
            machine: X86_64,
            vermagic: file.vermagic.clone().unwrap_or_else(|| self.vermagic(kernel)),
            depends: needed(name.as_str()),
            version: file.version.clone(),
            srcversion: file.srcversion.clone(),
            in_tree: false,
            signed: signer.map_or(Signing::Unsigned, |(_, certificate)| signed(certificate)),
            symbols: Arc::new(file.symbols.clone()),
            interfaces: carries.into_iter().collect(),
        }
    }

    /// Kernels as a look finds them.
    fn kernel_readings(&self) -> BTreeMap<KernelRelease, Kernel> {
        let files = self.file.releases.iter().flat_map(|release| &release.modules);
        let mut named: BTreeSet<ModuleName> =
            files.flat_map(|file| needed(file.name.get_ref().as_str())).collect();
        named.extend(needed("sfc"));
        let read = |kernel: &KernelOnDisk| Kernel {
            machine: Reading::Known(X86_64),
            vermagic: Reading::Known(self.vermagic(kernel.release.get_ref())),
            symbols: Arc::new(kernel.symbols.clone()),
            available: kernel.available.intersection(&named).cloned().collect(),
            initramfs: self.initramfs_reading(kernel),
        };
        self.kernels().iter().map(|(name, kernel)| (name.clone(), read(kernel))).collect()
    }

    /// What the initramfs of a kernel carries, if the world says anything of it.
    fn initramfs_reading(&self, kernel: &KernelOnDisk) -> Reading<Initramfs> {
        let path = format!("/boot/initramfs-{}.img", kernel.release.get_ref());
        if let Some(why) = &kernel.initramfs_unreadable {
            return Reading::Unreadable(format!("{path}: {why}"));
        }
        let Some(release) = kernel.initramfs_sfc.as_ref().map(Spanned::get_ref) else {
            return Reading::Absent;
        };
        let files = self.file.releases.iter().find(|one| one.name.get_ref() == release);
        let sfc = files.and_then(|release| {
            release.modules.iter().find(|file| file.name.get_ref().as_str() == "sfc")
        });
        let carried = Carried {
            version: sfc.and_then(|file| file.version.clone()),
            srcversion: sfc.and_then(|file| file.srcversion.clone()),
            in_tree: release.as_str() == IN_TREE,
        };
        let modules = "sfc".parse().map(|name| (name, carried)).into_iter().collect();
        Reading::Known(Initramfs { path, modules, ..Initramfs::default() })
    }

    /// Kernels of the world: those written, and the node's own whether written or not.
    pub(super) fn kernels(&self) -> BTreeMap<KernelRelease, KernelOnDisk> {
        let own = &self.file.node;
        let unwritten = KernelOnDisk {
            release: Spanned::new(0..0, own.kernel.clone()),
            vermagic: None,
            available: needed("sfc"),
            in_tree_sfc: own.in_tree_sfc,
            symbols: BTreeMap::new(),
            initramfs_sfc: None,
            initramfs_unreadable: None,
        };
        let written =
            self.file.kernels.iter().map(|one| (one.release.get_ref().clone(), one.clone()));
        [(own.kernel.clone(), unwritten)].into_iter().chain(written).collect()
    }

    /// The kernel's own `sfc`: signed by whoever built the kernel.
    fn own_sfc(&self, kernel: &KernelOnDisk) -> BTreeMap<ModuleName, ModuleFile> {
        let release = kernel.release.get_ref();
        let file = ModuleFile {
            path: format!("/lib/modules/{release}/kernel/drivers/net/ethernet/sfc/sfc.ko"),
            machine: X86_64,
            vermagic: self.vermagic(release),
            depends: needed("sfc"),
            in_tree: true,
            signed: signed_by_key(&build_time_key(release)),
            ..ModuleFile::default()
        };
        "sfc".parse().map(|name| (name, file)).into_iter().collect()
    }

    /// `vermagic` of a kernel's modules.
    fn vermagic(&self, kernel: &KernelRelease) -> String {
        let written = self.file.kernels.iter().find(|one| one.release.get_ref() == kernel);
        written
            .and_then(|one| one.vermagic.clone())
            .unwrap_or_else(|| format!("{kernel} SMP preempt mod_unload modversions"))
    }

    /// Whether the running kernel takes a file: with checksums of symbols on both sides these
    /// decide and not the release in `vermagic` (reference/onload-measured.md section 2).
    pub(super) fn fits(&self, file: &ModuleOnDisk) -> Result<(), StepError> {
        let refuse =
            |detail| Err(StepError::WrongKernel { module: file.name.get_ref().clone(), detail });
        let ours = self.vermagic(&self.file.node.kernel);
        let theirs = file.vermagic.as_ref().unwrap_or(&ours);
        let options = |text: &str| text.split_once(' ').map(|(_, options)| options.to_owned());
        let by_checksum = !file.symbols.is_empty() && ours.contains("modversions");
        let equal = if by_checksum { options(theirs) == options(&ours) } else { *theirs == ours };
        if !equal {
            return refuse(format!("version magic '{theirs}' should be '{ours}'"));
        }
        let kernels = self.kernels();
        let exported = kernels.get(&self.file.node.kernel).map(|kernel| &kernel.symbols);
        let differs = |(name, crc): &(&String, &u32)| {
            exported.and_then(|all| all.get(*name)).is_some_and(|known| known != *crc)
        };
        match file.symbols.iter().find(differs) {
            Some((name, _)) => refuse(format!("disagrees about version of symbol {name}")),
            None => Ok(()),
        }
    }

    /// Whether the server that the loaded `onload` would start is on the disk.
    pub(super) fn has_server(&self) -> bool {
        let path = self.server.as_deref().unwrap_or(BUILT_IN_SERVER);
        self.file.releases.iter().any(|release| {
            let root = release.root.get_ref().trim_end_matches('/');
            let server = release.server.get_ref();
            !server.is_empty() && format!("{root}/{server}") == path
        })
    }
}

fn needed(module: &str) -> BTreeSet<ModuleName> {
    dependencies(module).iter().filter_map(|name| name.parse().ok()).collect()
}
