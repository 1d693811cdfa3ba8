//! What a load that fails leaves behind.

use super::*;

impl Lab {
    /// What modprobe had loaded before `onload` itself failed.
    pub(super) fn leave_behind(&mut self, release: &ReleaseName) {
        self.resource_of.get_or_insert(release.clone());
        for name in ["sfc_resource", "sfc_char"] {
            let seen = Module { version: Absent, ..module() };
            inner(&mut self.node.modules).entry(name.parse().unwrap()).or_insert(seen);
        }
    }

    /// Whether the hardware may load its driver by itself.
    pub fn autoload(&self) -> Autoload {
        self.node.loader.known().map(|loader| loader.autoload).unwrap_or_default()
    }
}
