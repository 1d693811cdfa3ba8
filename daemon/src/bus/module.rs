//! `com.amd.Onload1.Module`: one kernel module.

use std::collections::BTreeMap;

use onload_core::names::ModuleName;
use onload_core::picture::ModulePicture;
use onload_core::reading::Reading;
use zbus::interface;

use super::view::View;
use super::wire;

/// Module on the bus.
#[derive(Debug)]
pub(super) struct Module {
    /// What it shows.
    pub(super) view: View,
    /// Which.
    pub(super) name: ModuleName,
}

impl Module {
    /// A fact of it.
    fn with<T: Default>(&self, read: impl FnOnce(&ModulePicture) -> T) -> T {
        self.view.fact(|picture| picture.modules.get(&self.name), read)
    }
}

#[interface(name = "com.amd.Onload1.Module")]
impl Module {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.to_string()
    }

    #[zbus(property)]
    fn loaded(&self) -> bool {
        self.with(|m| m.module.known().is_some())
    }

    #[zbus(property)]
    fn wanted(&self) -> bool {
        self.with(|m| m.wanted)
    }

    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.with(|m| match &m.module {
            Reading::Known(module) => wire::module_state(module.state),
            Reading::Absent => "absent",
            Reading::Unreadable(_) => "",
        })
    }

    #[zbus(property)]
    fn refcount(&self) -> i32 {
        let refcount = self.with(|m| m.module.known()?.refcount.known().copied());
        wire::index(refcount)
    }

    #[zbus(property)]
    fn holders(&self) -> Vec<String> {
        self.with(|m| m.module.known().map(|found| wire::texts(&found.holders)).unwrap_or_default())
    }

    #[zbus(property)]
    fn module_version(&self) -> String {
        self.with(|m| m.module.known().map(|found| wire::text(&found.version)).unwrap_or_default())
    }

    #[zbus(property)]
    fn src_version(&self) -> String {
        self.with(|m| {
            m.module.known().map(|found| wire::text(&found.srcversion)).unwrap_or_default()
        })
    }

    #[zbus(property)]
    fn taint(&self) -> String {
        self.with(|m| m.module.known().map(|found| wire::text(&found.taint)).unwrap_or_default())
    }

    #[zbus(property)]
    fn origin(&self) -> &'static str {
        self.with(|m| {
            let origin = m.module.known().and_then(|found| found.origin().into_known());
            origin.map_or("", wire::origin)
        })
    }

    #[zbus(property)]
    fn parameters(&self) -> BTreeMap<String, String> {
        self.with(|m| {
            let parameters = m.module.known().into_iter().flat_map(|found| &found.parameters);
            parameters
                .filter(|(_, value)| !value.is_unreadable())
                .map(|(name, value)| (name.clone(), wire::text(value)))
                .collect()
        })
    }

    #[zbus(property)]
    fn unreadable(&self) -> BTreeMap<String, String> {
        self.with(|m| {
            let Some(found) = m.module.known() else {
                return wire::gaps([("Loaded", wire::gap(&m.module))]);
            };
            let mut gaps = wire::gaps([
                ("Refcount", wire::gap(&found.refcount)),
                ("ModuleVersion", wire::gap(&found.version)),
                ("SrcVersion", wire::gap(&found.srcversion)),
                ("Taint", wire::gap(&found.taint)),
                ("Origin", wire::gap(&found.taint)),
            ]);
            for (name, value) in &found.parameters {
                if let Some(why) = wire::gap(value) {
                    gaps.insert(format!("Parameters/{name}"), why.to_owned());
                }
            }
            gaps
        })
    }
}
