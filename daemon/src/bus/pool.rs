//! `com.amd.Onload1.Pool`: a named set of devices.

use std::collections::BTreeMap;

use onload_core::names::PoolName;
use onload_core::picture::PoolPicture;
use onload_core::pool::Cause;
use zbus::interface;

use super::view::View;

/// Pool on the bus.
#[derive(Debug)]
pub(super) struct Pool {
    /// What it shows.
    pub(super) view: View,
    /// Which.
    pub(super) name: PoolName,
}

impl Pool {
    /// A fact of it.
    fn with<T: Default>(&self, read: impl FnOnce(&PoolPicture) -> T) -> T {
        self.view.fact(|picture| picture.pools.get(&self.name), read)
    }
}

#[interface(name = "com.amd.Onload1.Pool")]
impl Pool {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.to_string()
    }

    #[zbus(property)]
    fn kind(&self) -> String {
        self.with(|p| p.kind.as_str().to_owned())
    }

    #[zbus(property)]
    fn resource(&self) -> String {
        self.with(|p| p.resource.clone())
    }

    #[zbus(property)]
    fn selectors(&self) -> BTreeMap<String, Vec<String>> {
        self.with(|p| p.selectors.clone())
    }

    #[zbus(property)]
    fn ports(&self) -> Vec<String> {
        self.with(|p| p.ports.iter().map(ToString::to_string).collect())
    }

    #[zbus(property)]
    fn slots(&self) -> u32 {
        self.with(|p| u32::try_from(p.devices.len()).unwrap_or(u32::MAX))
    }

    #[zbus(property)]
    fn free(&self) -> u32 {
        self.with(|p| p.counts().free)
    }

    #[zbus(property)]
    fn local(&self) -> u32 {
        self.with(|p| p.counts().local)
    }

    #[zbus(property)]
    fn containers(&self) -> u32 {
        self.with(|p| p.counts().containers)
    }

    #[zbus(property)]
    fn unhealthy(&self) -> u32 {
        self.with(|p| p.counts().unhealthy)
    }

    #[zbus(property)]
    fn registered(&self) -> bool {
        self.with(|p| p.registered)
    }

    #[zbus(property)]
    fn registration(&self) -> String {
        self.with(|p| p.registration.as_str().to_owned())
    }

    #[zbus(property)]
    fn causes(&self) -> BTreeMap<String, u32> {
        self.with(|p| {
            let mut causes = BTreeMap::<&Cause, u32>::new();
            for cause in p.devices.iter().filter_map(|device| device.cause.as_ref()) {
                *causes.entry(cause).or_default() += 1;
            }
            causes.into_iter().map(|(cause, devices)| (cause.to_string(), devices)).collect()
        })
    }
}
