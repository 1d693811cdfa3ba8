//! `org.freedesktop.DBus.ObjectManager`: all objects at once, as one picture has them. The tree of
//! paths follows a picture object by object, with a signal each; who asks for everything is not made
//! to see how far that has come.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use onload_core::names::{ModuleName, PciAddress, PoolName, ReleaseName};
use onload_dbus::path::{self, Kind};
use zbus::fdo::{self, ManagedObjects};
use zbus::names::InterfaceName;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{Connection, ObjectPath, OwnedVariant, Variant, interface};

use super::allocation::Lending;
use super::clock::Clock;
use super::desk::{Desk, object};
use super::job::Order;
use super::module::Module;
use super::pool::Pool;
use super::port::Port;
use super::release::Release;
use super::view::View;

/// Values of an object's properties.
pub(super) type Values = HashMap<String, OwnedVariant>;

/// The objects of the node.
#[derive(Debug)]
pub(super) struct Objects {
    /// Where they come from.
    pub(super) view: View,
    /// What jobs are made with.
    pub(super) desk: Desk,
}

#[interface(name = "org.freedesktop.DBus.ObjectManager", introspection_docs = false)]
impl Objects {
    async fn get_managed_objects(
        &self,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<ManagedObjects> {
        // One picture; and nothing here waits, or signals of a later one could come before the answer.
        let picture = self.view.picture();
        let view = || View::Fixed(picture.clone());
        let order = |id: &_| Order { view: view(), id: *id, desk: self.desk.clone() };
        let lending = |id: &_| Lending { view: view(), id: *id };
        let mut all = ManagedObjects::new();
        collect(&mut all, connection, Kind::Port, &picture.ports, |key| port(view(), key)).await?;
        collect(&mut all, connection, Kind::Module, &picture.modules, |k| module(view(), k))
            .await?;
        let releases = &picture.releases;
        collect(&mut all, connection, Kind::Release, releases, |key| release(view(), key)).await?;
        collect(&mut all, connection, Kind::Pool, &picture.pools, |key| pool(view(), key)).await?;
        let clocks = &picture.clocks.clocks;
        collect(&mut all, connection, Kind::Clock, clocks, |key| clock(view(), key)).await?;
        collect(&mut all, connection, Kind::Job, &picture.jobs, order).await?;
        collect(&mut all, connection, Kind::Allocation, &picture.allocations, lending).await?;
        Ok(all)
    }

    /// Sent by zbus for each object that is put up.
    #[zbus(signal)]
    async fn interfaces_added(
        emitter: &SignalEmitter<'_>,
        object_path: ObjectPath<'_>,
        interfaces_and_properties: HashMap<InterfaceName<'_>, HashMap<&str, Variant<'_>>>,
    ) -> zbus::Result<()>;

    /// Sent by zbus for each object that is taken off.
    #[zbus(signal)]
    async fn interfaces_removed(
        emitter: &SignalEmitter<'_>,
        object_path: ObjectPath<'_>,
        interfaces: Cow<'_, [InterfaceName<'_>]>,
    ) -> zbus::Result<()>;
}

/// Adds the objects of one kind.
async fn collect<K: ToString, V, I: Interface>(
    all: &mut ManagedObjects,
    connection: &Connection,
    kind: Kind,
    of: &BTreeMap<K, V>,
    make: impl Fn(&K) -> I,
) -> fdo::Result<()> {
    for key in of.keys() {
        let properties = values(connection, &make(key)).await?;
        let interfaces = HashMap::from([(I::name().into(), properties)]);
        all.insert(object(kind, &key.to_string()), interfaces);
    }
    Ok(())
}

/// The properties of an object that need not be on the bus.
///
/// # Errors
/// A property that cannot be read; ours all can.
pub(super) async fn values<I: Interface>(
    connection: &Connection,
    object: &I,
) -> fdo::Result<Values> {
    let emitter = SignalEmitter::new(connection, path::ROOT)?;
    object.get_all(connection.object_server(), connection, None, &emitter).await
}

/// The object of a port.
pub(super) fn port(view: View, address: &PciAddress) -> Port {
    Port { view, address: *address }
}

/// The object of a module.
pub(super) fn module(view: View, name: &ModuleName) -> Module {
    Module { view, name: name.clone() }
}

/// The object of a release.
pub(super) fn release(view: View, name: &ReleaseName) -> Release {
    Release { view, name: name.clone() }
}

/// The object of a clock.
pub(super) fn clock(view: View, name: &str) -> Clock {
    Clock { view, name: name.to_owned() }
}

/// The object of a pool.
pub(super) fn pool(view: View, name: &PoolName) -> Pool {
    Pool { view, name: name.clone() }
}
