//! The root object: `com.amd.Onload1.Manager`.

use std::collections::BTreeMap;

use onload_core::allocation::TenureWish;
use onload_core::command::{Command, Reply};
use onload_core::local;
use onload_core::names::{AllocationId, PoolName, ReleaseName};
use onload_core::picture::Picture;
use onload_core::why::explain;
use onload_dbus::error::Failure;
use onload_dbus::interface::MANAGER;
use onload_dbus::path::Kind;
use zbus::message::Header;
use zbus::{Connection, OwnedObjectPath, Variant, interface};

use super::arguments::{self, Known, Options, Until};
use super::desk::{Desk, object};
use super::view::View;
use super::wire::{self, Dictionary};
use super::{clock, errors, files};

/// The node.
#[derive(Debug)]
pub(super) struct Node {
    /// What it shows.
    pub(super) view: View,
    /// Where its orders go.
    pub(super) desk: Desk,
}

impl Node {
    fn with<T>(&self, read: impl FnOnce(&Picture) -> T) -> T {
        read(&self.view.picture())
    }
}

#[interface(name = "com.amd.Onload1.Manager")]
impl Node {
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.with(|picture| picture.state.as_str())
    }

    #[zbus(property)]
    fn summary(&self) -> String {
        self.with(|picture| picture.summary.clone())
    }

    #[zbus(property)]
    fn generation(&self) -> u64 {
        self.with(|picture| picture.generation)
    }

    #[zbus(property)]
    fn observed_generation(&self) -> u64 {
        self.with(|picture| picture.observed_generation)
    }

    #[zbus(property)]
    fn probing(&self) -> bool {
        self.with(|picture| picture.probing)
    }

    #[zbus(property)]
    fn kernel(&self) -> String {
        self.with(|picture| wire::text(&picture.kernel))
    }

    #[zbus(property)]
    fn boot_id(&self) -> String {
        self.with(|picture| wire::text(&picture.boot_id))
    }

    #[zbus(property)]
    fn wanted_release(&self) -> String {
        self.with(|p| p.wanted_release.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    #[zbus(property)]
    fn wanted_by(&self) -> String {
        self.with(|picture| picture.wanted_by.clone())
    }

    #[zbus(property)]
    fn loaded_version(&self) -> String {
        self.with(|picture| wire::text(&picture.loaded_version))
    }

    #[zbus(property)]
    fn loaded_release(&self) -> String {
        self.with(|p| p.loaded_release.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    #[zbus(property)]
    fn change(&self) -> Dictionary {
        self.with(|picture| picture.change.as_ref().map(wire::change).unwrap_or_default())
    }

    #[zbus(property)]
    fn history(&self) -> Vec<Dictionary> {
        self.with(|picture| picture.history.iter().rev().map(wire::past).collect())
    }

    #[zbus(property)]
    fn users(&self) -> Vec<(u32, String, String, String, Vec<String>)> {
        self.with(|picture| picture.users.iter().map(wire::user).collect())
    }

    #[zbus(property)]
    fn conditions(&self) -> Vec<(&'static str, &'static str, String, String, u64)> {
        self.with(|picture| picture.conditions.iter().map(wire::condition).collect())
    }

    #[zbus(property)]
    fn blockers(&self) -> Vec<(String, &'static str, String, String)> {
        self.with(|picture| picture.blockers.iter().map(wire::blocked).collect())
    }

    #[zbus(property)]
    fn plan(&self) -> Vec<String> {
        self.with(|picture| picture.plan.to_vec())
    }

    #[zbus(property)]
    fn others(&self) -> Vec<wire::OtherRow> {
        self.with(|picture| picture.others.iter().map(wire::other).collect())
    }

    #[zbus(property)]
    fn held(&self) -> Dictionary {
        self.with(|picture| wire::hold(picture.hold.as_ref()))
    }

    #[zbus(property)]
    fn clock_conflicts(&self) -> Vec<Dictionary> {
        self.with(|picture| picture.clocks.conflicts.iter().map(clock::conflict).collect())
    }

    #[zbus(property)]
    fn clock_supervision(&self) -> Dictionary {
        self.with(|picture| clock::supervision(&picture.clocks))
    }

    #[zbus(property)]
    fn clock_handover(&self) -> Dictionary {
        self.with(|picture| picture.clocks.handover.as_ref().map(clock::handover))
            .unwrap_or_default()
    }

    #[zbus(property)]
    fn clock_outages(&self) -> Vec<(u64, i64, u64, String)> {
        self.with(|picture| picture.clocks.outages.iter().map(clock::outage).collect())
    }

    #[zbus(property)]
    fn interfaces(&self) -> Vec<Dictionary> {
        self.with(|p| {
            p.interfaces.iter().map(|(name, facts)| wire::interface(name, facts)).collect()
        })
    }

    #[zbus(property)]
    fn unreadable(&self) -> BTreeMap<String, String> {
        self.with(|picture| {
            wire::gaps([
                ("Kernel", wire::gap(&picture.kernel)),
                ("BootId", wire::gap(&picture.boot_id)),
                ("LoadedVersion", wire::gap(&picture.loaded_version)),
                ("Interfaces", picture.interfaces_unreadable.as_deref()),
            ])
        })
    }

    #[zbus(out_args("allocations"))]
    async fn allocate(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        pool: &str,
        count: u32,
        options: Options,
    ) -> Result<Vec<(OwnedObjectPath, String)>, Failure> {
        let pool = arguments::name::<PoolName>("pool", pool)?;
        let count = arguments::count(count)?;
        let tenure = arguments::tenure(options)?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "Allocate"), None).await?;
        let tenure = match tenure {
            Until::Wish(wish) => wish,
            Until::Unit => TenureWish::Unit(self.desk.bouncer.callers.unit_of(&pass.caller)?),
        };
        let bound = matches!(tenure, TenureWish::Client | TenureWish::Process);
        if bound && pass.caller.process.is_none() {
            return Err(errors::faceless());
        }
        let watch = self.desk.watch_caller(&call, connection).await?;
        let reply = self.desk.submit(&pass, Command::Allocate { pool, count, tenure }).await;
        watch.settle();
        let Reply::Allocated(lent) = reply? else { return Err(errors::unexpected("Allocate")) };
        Ok(lent
            .into_iter()
            .map(|(id, device)| (object(Kind::Allocation, &id.to_string()), device.to_string()))
            .collect())
    }

    async fn free(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        id: &str,
        options: Options,
    ) -> Result<(), Failure> {
        let allocation = arguments::name::<AllocationId>("id", id)?;
        let mut known = Known::of(options)?;
        let force = known.switch("Force")?;
        known.end()?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "Free"), None).await?;
        self.desk.order(&pass, Command::Free { allocation, force }, "Free").await
    }

    async fn hold(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        reason: &str,
        options: Options,
    ) -> Result<(), Failure> {
        let reason = arguments::reason(reason)?;
        let mut known = Known::of(options)?;
        let expiry = known.span("For")?;
        known.end()?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "Hold"), None).await?;
        self.desk.order(&pass, Command::Hold { reason, expiry }, "Hold").await
    }

    async fn unhold(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Failure> {
        let pass = self.desk.admit(&call, connection, (MANAGER, "Unhold"), None).await?;
        self.desk.order(&pass, Command::Unhold, "Unhold").await
    }

    #[zbus(out_args("job"))]
    async fn apply(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        options: Options,
    ) -> Result<OwnedObjectPath, Failure> {
        let mut known = Known::of(options)?;
        let (retry, manner) = (known.switch("Retry")?, known.manner()?);
        known.end()?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "Apply"), None).await?;
        self.desk.job(&pass, Command::Apply { retry, manner }, None, "Apply").await
    }

    #[zbus(out_args("job"))]
    async fn use_release(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        release: &str,
        options: Options,
    ) -> Result<OwnedObjectPath, Failure> {
        let release = arguments::name::<ReleaseName>("release", release)?;
        let manner = arguments::manner(options)?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "UseRelease"), None).await?;
        self.desk.job(&pass, Command::Use { release, manner }, None, "UseRelease").await
    }

    #[zbus(out_args("job"))]
    async fn rollback(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        back: u32,
        options: Options,
    ) -> Result<OwnedObjectPath, Failure> {
        let (back, manner) = (arguments::back(back)?, arguments::manner(options)?);
        let pass = self.desk.admit(&call, connection, (MANAGER, "Rollback"), None).await?;
        self.desk.job(&pass, Command::Rollback { back, manner }, None, "Rollback").await
    }

    #[zbus(out_args("job"))]
    async fn adopt(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        options: Options,
    ) -> Result<OwnedObjectPath, Failure> {
        Known::of(options)?.end()?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "Adopt"), None).await?;
        self.desk.job(&pass, Command::Adopt, None, "Adopt").await
    }

    async fn confirm(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Failure> {
        let pass = self.desk.admit(&call, connection, (MANAGER, "Confirm"), None).await?;
        self.desk.order(&pass, Command::Confirm, "Confirm").await
    }

    #[zbus(out_args("job"))]
    async fn import_release(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        files: zbus::OwnedFd,
        options: Options,
    ) -> Result<OwnedObjectPath, Failure> {
        let files = files::readable(files)?;
        let mut known = Known::of(options)?;
        let version = known.text("Version")?;
        known.end()?;
        let version =
            version.map(|text| arguments::name::<ReleaseName>("Version", &text)).transpose()?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "ImportRelease"), None).await?;
        let command = Command::Import { version };
        self.desk.job(&pass, command, Some(files), "ImportRelease").await
    }

    #[zbus(out_args("job"))]
    async fn remove_release(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        release: &str,
    ) -> Result<OwnedObjectPath, Failure> {
        let release = arguments::name::<ReleaseName>("release", release)?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "RemoveRelease"), None).await?;
        self.desk.job(&pass, Command::Remove { release }, None, "RemoveRelease").await
    }

    #[zbus(out_args("job"))]
    async fn hand_over_clock(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        to: &str,
        options: Options,
    ) -> Result<OwnedObjectPath, Failure> {
        let to = arguments::keeper(to)?;
        Known::of(options)?.end()?;
        let pass = self.desk.admit(&call, connection, (MANAGER, "HandOverClock"), None).await?;
        self.desk.job(&pass, Command::HandOver { to }, None, "HandOverClock").await
    }

    async fn reload(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Failure> {
        let pass = self.desk.admit(&call, connection, (MANAGER, "Reload"), None).await?;
        self.desk.order(&pass, Command::Reload, "Reload").await
    }

    #[zbus(out_args("explanation"))]
    fn why(&self, subject: &str) -> Result<Dictionary, Failure> {
        let subject = arguments::subject(subject)?;
        let found = self.with(|picture| explain(picture, subject));
        let found = found.ok_or_else(|| errors::absent("subject", subject, "onloadctl status"))?;
        Ok(Dictionary::from([
            ("Subject".to_owned(), Variant::from(found.subject)),
            ("Decision".to_owned(), Variant::from(found.decision)),
            ("Inputs".to_owned(), Variant::from(found.inputs)),
            ("WouldChange".to_owned(), Variant::from(found.would_change)),
        ]))
    }

    #[zbus(out_args("devices"))]
    #[allow(clippy::type_complexity)] // The contract's row; a name for it would hide it.
    fn list_devices(
        &self,
        pool: &str,
    ) -> Result<Vec<(String, i32, &'static str, String, &'static str, String, bool)>, Failure> {
        let name = arguments::name::<PoolName>("pool", pool)?;
        let picture = self.view.picture();
        let pool = picture.pools.get(&name);
        let pool = pool.ok_or_else(|| errors::absent("pool", name.as_str(), "onloadctl pools"))?;
        let rows = pool.devices.iter().map(|device| {
            let (reason, health) = match &device.cause {
                Some(cause) => (cause.reason(), cause.to_string()),
                None => ("", String::new()),
            };
            let (lent, allocation) = wire::lent(device.lent);
            let numa = wire::index(device.numa_node);
            (device.id.to_string(), numa, reason, health, lent, allocation, device.local_only)
        });
        Ok(rows.collect())
    }

    #[zbus(out_args("ports"))]
    fn naming_plan(&self) -> Vec<Dictionary> {
        self.with(|picture| picture.naming.iter().map(wire::port_name).collect())
    }

    #[zbus(out_args("variables"))]
    fn environment(
        &self,
        pool: &str,
        options: Options,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let name = arguments::name::<PoolName>("pool", pool)?;
        let mut known = Known::of(options)?;
        let profile = match known.switch("WithoutProfile")? {
            true => local::Profile::Callers,
            false => local::Profile::Pools,
        };
        known.end()?;
        let found = local::environment(&self.view.picture(), &name, profile);
        found.map_err(|refusal| errors::failure(&refusal))
    }

    #[zbus(out_args("directory", "files", "unreadable"))]
    #[allow(clippy::type_complexity)] // The macro takes the arguments from it.
    fn profiles(
        &self,
    ) -> Result<(String, BTreeMap<String, String>, BTreeMap<String, String>), Failure> {
        let found = self.with(|picture| local::profiles(picture).map(wire::profiles));
        found.map_err(|refusal| errors::failure(&refusal))
    }

    #[zbus(out_args("settings"))]
    fn config(&self) -> Vec<wire::SettingRow> {
        self.with(|picture| picture.config.iter().map(wire::setting).collect())
    }
}
