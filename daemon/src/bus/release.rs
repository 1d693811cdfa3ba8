//! `com.amd.Onload1.Release`: one release on this node.

use std::collections::BTreeMap;

use onload_core::names::ReleaseName;
use onload_core::picture::ReleasePicture;
use onload_core::reading::Reading;
use zbus::interface;

use super::view::View;
use super::wire;

/// Release on the bus.
#[derive(Debug)]
pub(super) struct Release {
    /// What it shows.
    pub(super) view: View,
    /// Which.
    pub(super) name: ReleaseName,
}

impl Release {
    /// A fact of it.
    fn with<T: Default>(&self, read: impl FnOnce(&ReleasePicture) -> T) -> T {
        self.view.fact(|picture| picture.releases.get(&self.name), read)
    }
}

#[interface(name = "com.amd.Onload1.Release")]
impl Release {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.to_string()
    }

    #[zbus(property)]
    fn root(&self) -> String {
        self.with(|r| r.release.root.clone())
    }

    #[zbus(property)]
    fn library_directory(&self) -> String {
        self.with(|r| r.release.library_directory.clone())
    }

    #[zbus(property)]
    fn libraries(&self) -> Vec<String> {
        self.with(|r| wire::texts(&r.release.libraries))
    }

    #[zbus(property)]
    fn launcher(&self) -> bool {
        self.with(|r| r.release.launcher)
    }

    #[zbus(property)]
    fn profiles(&self) -> Vec<String> {
        self.with(|r| wire::texts(&r.release.profiles))
    }

    #[zbus(property)]
    fn server(&self) -> String {
        self.with(|r| r.release.server.clone().unwrap_or_default())
    }

    #[zbus(property)]
    fn modules(&self) -> BTreeMap<String, Vec<wire::ModuleRow>> {
        self.with(|r| {
            let kernels = r.release.modules.known().into_iter().flatten();
            let rows = kernels.map(|(kernel, modules)| {
                (kernel.to_string(), modules.iter().map(wire::module_file).collect())
            });
            rows.collect()
        })
    }

    #[zbus(property)]
    fn kernels(&self) -> BTreeMap<String, Vec<(String, String, String)>> {
        self.with(|r| {
            let kernels = r.kernels.iter();
            kernels
                .map(|(kernel, against)| {
                    (kernel.to_string(), against.iter().map(wire::objection).collect())
                })
                .collect()
        })
    }

    #[zbus(property)]
    fn remarks(&self) -> BTreeMap<String, Vec<(String, String, String)>> {
        self.with(|r| {
            let kernels = r.remarks.iter();
            kernels
                .map(|(kernel, remarks)| {
                    (kernel.to_string(), remarks.iter().map(wire::remark).collect())
                })
                .collect()
        })
    }

    #[zbus(property)]
    fn matches_driver(&self) -> &'static str {
        self.with(|r| match r.matches_driver {
            Reading::Known(true) => "yes",
            Reading::Known(false) => "no",
            Reading::Absent | Reading::Unreadable(_) => "unknown",
        })
    }

    #[zbus(property)]
    fn unreadable(&self) -> BTreeMap<String, String> {
        self.with(|r| {
            wire::gaps([
                ("MatchesDriver", wire::gap(&r.matches_driver)),
                ("Modules", wire::gap(&r.release.modules)),
            ])
        })
    }
}
