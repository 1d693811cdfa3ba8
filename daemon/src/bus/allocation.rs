//! `com.amd.Onload1.Allocation`: one device lent.

use onload_core::allocation::{Allocation, Holder, PodContainer, Process, Tenure, Unit};
use onload_core::names::AllocationId;
use zbus::interface;

use super::view::View;

/// User id of a holder that has none: -1, which the kernel gives to nobody.
const NOBODY: u32 = u32::MAX;

fn process(holder: &Holder) -> Option<&Process> {
    match holder {
        Holder::Process(process) => Some(process),
        Holder::Container | Holder::Pod(_) | Holder::Unit(_) | Holder::User { .. } => None,
    }
}

fn unit(holder: &Holder) -> Option<&Unit> {
    match holder {
        Holder::Unit(unit) => Some(unit),
        Holder::Container | Holder::Pod(_) | Holder::Process(_) | Holder::User { .. } => None,
    }
}

fn container(holder: &Holder) -> Option<&PodContainer> {
    match holder {
        Holder::Pod(container) => Some(container),
        Holder::Container | Holder::Process(_) | Holder::Unit(_) | Holder::User { .. } => None,
    }
}

/// Lending on the bus.
#[derive(Debug)]
pub(super) struct Lending {
    /// What it shows.
    pub(super) view: View,
    /// Which.
    pub(super) id: AllocationId,
}

impl Lending {
    /// A fact of it.
    fn with<T: Default>(&self, read: impl FnOnce(&Allocation) -> T) -> T {
        self.view.fact(|picture| picture.allocations.get(&self.id), |found| read(found))
    }
}

#[interface(name = "com.amd.Onload1.Allocation")]
impl Lending {
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> String {
        self.id.to_string()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn pool(&self) -> String {
        self.with(|a| a.pool.to_string())
    }

    #[zbus(property)]
    fn device(&self) -> String {
        self.with(|a| a.device.to_string())
    }

    #[zbus(property)]
    fn holder(&self) -> String {
        self.with(|a| a.holder.to_string())
    }

    #[zbus(property)]
    fn holder_kind(&self) -> &'static str {
        self.with(|a| match &a.holder {
            Holder::Container | Holder::Pod(_) => "container",
            Holder::Process(_) => "process",
            Holder::Unit(_) => "unit",
            Holder::User { .. } => "user",
        })
    }

    #[zbus(property)]
    fn pid(&self) -> u32 {
        self.with(|a| process(&a.holder).map_or(0, |process| process.pid))
    }

    #[zbus(property)]
    fn uid(&self) -> u32 {
        self.with(|a| a.owner().unwrap_or(NOBODY))
    }

    #[zbus(property)]
    fn comm(&self) -> String {
        self.with(|a| process(&a.holder).map(|process| process.comm.clone()).unwrap_or_default())
    }

    #[zbus(property)]
    fn unit(&self) -> String {
        self.with(|a| unit(&a.holder).map(|unit| unit.name.clone()).unwrap_or_default())
    }

    #[zbus(property)]
    fn pod_namespace(&self) -> String {
        self.with(|a| container(&a.holder).map(|one| one.namespace.clone()).unwrap_or_default())
    }

    #[zbus(property)]
    fn pod_name(&self) -> String {
        self.with(|a| container(&a.holder).map(|one| one.pod.clone()).unwrap_or_default())
    }

    #[zbus(property)]
    fn container_name(&self) -> String {
        self.with(|a| container(&a.holder).map(|one| one.container.clone()).unwrap_or_default())
    }

    #[zbus(property)]
    fn tenure(&self) -> String {
        self.with(|a| a.tenure.to_string())
    }

    #[zbus(property)]
    fn since(&self) -> u64 {
        self.with(|a| a.since.0)
    }

    #[zbus(property)]
    fn until(&self) -> u64 {
        self.with(|a| match &a.tenure {
            Tenure::Lease { until_wall, .. } => until_wall.0,
            Tenure::Kubelet | Tenure::Client | Tenure::Unit | Tenure::Persistent => 0,
        })
    }
}
