//! `com.amd.Onload1.Job`: one long order.

use onload_core::command::Command;
use onload_core::job::Job;
use onload_core::names::JobId;
use onload_dbus::error::Failure;
use onload_dbus::interface::JOB;
use zbus::message::Header;
use zbus::{Connection, interface};

use super::desk::Desk;
use super::view::View;

/// Order on the bus.
#[derive(Debug)]
pub(super) struct Order {
    /// What it shows.
    pub(super) view: View,
    /// Which.
    pub(super) id: JobId,
    /// Where a cancellation goes.
    pub(super) desk: Desk,
}

impl Order {
    /// A fact of it.
    fn with<T: Default>(&self, read: impl FnOnce(&Job) -> T) -> T {
        self.view.fact(|picture| picture.jobs.get(&self.id), read)
    }
}

#[interface(name = "com.amd.Onload1.Job")]
impl Order {
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> String {
        self.id.to_string()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> &'static str {
        self.with(|j| j.kind.as_str())
    }

    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.with(|j| j.state.as_str())
    }

    #[zbus(property)]
    fn done(&self) -> u32 {
        self.with(|j| j.done)
    }

    #[zbus(property)]
    fn total(&self) -> u32 {
        self.with(|j| j.total)
    }

    #[zbus(property)]
    fn message(&self) -> String {
        self.with(|j| j.message.clone())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn uid(&self) -> u32 {
        self.with(|j| j.uid)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn started(&self) -> u64 {
        self.with(|j| j.started.0)
    }

    async fn cancel(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Failure> {
        let owner = self.with(|j| Some(j.uid));
        let pass = self.desk.admit(&call, connection, (JOB, "Cancel"), owner).await?;
        self.desk.order(&pass, Command::Cancel { job: self.id }, "Cancel").await
    }
}
