//! One connection to the bus: the objects on it, kept as the picture has them. Every signal comes
//! from two pictures, the one told of before and the one told of now; nothing is sent by hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use onload_core::picture::Picture;
use onload_dbus::path::{self, Kind};
use tokio::sync::watch;
use zbus::fdo::Properties;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{Connection, Variant, connection};

use super::Options;
use super::allocation::Lending;
use super::bouncer::Bouncer;
use super::caller::Callers;
use super::clients::Clients;
use super::clock::Clock;
use super::desk::Desk;
use super::job::Order;
use super::module::Module;
use super::node::Node;
use super::objects::{Objects, Values, clock, module, pool, port, release, values};
use super::pool::Pool;
use super::port::Port;
use super::release::Release;
use super::secure_boot::SecureBoot;
use super::turn::Turn;
use super::view::{Shown, View};
use crate::letterbox::Letterbox;

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    desk: Desk,
    /// What everything on the bus reads.
    shown: watch::Sender<Shown>,
    /// The picture whose objects stand on the bus, no more and no less.
    standing: watch::Sender<Arc<Picture>>,
    /// What the objects look through.
    view: View,
    /// The root's properties as last told, since every picture touches them.
    node: Values,
    /// Those of Secure Boot.
    keys: Values,
}

/// How a session ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The loop publishes no more.
    LoopEnded,
    /// The bus closed the connection.
    BusClosed,
}

impl Session {
    /// Connects, puts up the objects of the picture, and takes the name last: no call comes before
    /// its object is there.
    ///
    /// # Errors
    /// The bus cannot be reached, or somebody has the name.
    pub(super) async fn open(
        builder: connection::Builder<'_>,
        letterbox: &Letterbox,
        options: &Options,
    ) -> zbus::Result<Self> {
        let picture = letterbox.picture();
        let (shown, view) = watch::channel(Shown::only(picture.clone()));
        let (standing, stands) = watch::channel(picture.clone());
        let clients = Clients::new(letterbox.clone());
        let bouncer = Bouncer { clients, callers: Callers::new(options.processes.clone()) };
        let view = View::Shown(view);
        let desk = Desk { bouncer, letterbox: letterbox.clone(), standing: stands };
        let connection = builder
            .serve_at(path::ROOT, Node { view: view.clone(), desk: desk.clone() })
            .serve_at(path::ROOT, SecureBoot { view: view.clone(), desk: desk.clone() })
            .serve_at(path::ROOT, Objects { view: view.clone(), desk: desk.clone() })
            .build()
            .await?;
        let (node, keys) = (Values::new(), Values::new());
        let mut session = Self { connection, desk, shown, standing, view, node, keys };
        session.appear(&Picture::default(), &picture).await?;
        session.node = session.values(&session.node_of(View::Fixed(picture.clone()))).await?;
        session.keys = session.values(&session.keys_of(View::Fixed(picture))).await?;
        let flags = zbus::fdo::RequestNameFlags::DO_NOT_QUEUE;
        session.connection.request_name_with_flags(onload_dbus::BUS_NAME, flags).await?;
        Ok(session)
    }

    /// Follows the picture until one of the two ends.
    ///
    /// # Errors
    /// The bus takes no more signals.
    pub(super) async fn follow(&mut self) -> zbus::Result<End> {
        let mut pictures = self.desk.letterbox.watch();
        loop {
            let next = pictures.borrow_and_update().clone();
            self.publish(next).await?;
            tokio::select! {
                changed = pictures.changed() => {
                    if changed.is_err() {
                        return Ok(End::LoopEnded);
                    }
                }
                () = self.connection.closed() => return Ok(End::BusClosed),
            }
        }
    }

    /// Takes leave of the bus.
    pub(super) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the bus connection did not close cleanly");
        }
    }

    /// Tells the bus what is new. What is read changes first, at once and for all objects, so that
    /// whoever asks, upon a signal or before it, sees one picture; the signals then follow.
    async fn publish(&mut self, next: Arc<Picture>) -> zbus::Result<()> {
        let before = self.standing.borrow().clone();
        if Arc::ptr_eq(&before, &next) {
            return Ok(());
        }
        self.shown.send_replace(Shown { now: next.clone(), going: before.clone() });
        self.disappear(&before, &next).await?;
        self.appear(&before, &next).await?;
        self.shown.send_replace(Shown::only(next.clone()));
        self.standing.send_replace(next.clone());
        self.differ(&before, &next).await?;
        if !Arc::ptr_eq(&before.secure_boot, &next.secure_boot) {
            let keys = self.values(&self.keys_of(View::Fixed(next.clone()))).await?;
            let told = std::mem::replace(&mut self.keys, keys);
            self.announce::<SecureBoot>(path::ROOT, &told, &self.keys).await?;
        }
        let node = self.values(&self.node_of(View::Fixed(next))).await?;
        let told = std::mem::replace(&mut self.node, node);
        self.announce::<Node>(path::ROOT, &told, &self.node).await
    }

    async fn disappear(&self, before: &Picture, next: &Picture) -> zbus::Result<()> {
        self.remove::<_, _, Lending>(Kind::Allocation, &before.allocations, &next.allocations)
            .await?;
        self.remove::<_, _, Order>(Kind::Job, &before.jobs, &next.jobs).await?;
        let (old, new) = (&before.clocks.clocks, &next.clocks.clocks);
        self.remove::<_, _, Clock>(Kind::Clock, old, new).await?;
        self.remove::<_, _, Pool>(Kind::Pool, &before.pools, &next.pools).await?;
        self.remove::<_, _, Release>(Kind::Release, &before.releases, &next.releases).await?;
        self.remove::<_, _, Module>(Kind::Module, &before.modules, &next.modules).await?;
        self.remove::<_, _, Port>(Kind::Port, &before.ports, &next.ports).await
    }

    async fn appear(&self, before: &Picture, next: &Picture) -> zbus::Result<()> {
        let view = || self.view.clone();
        let order = |id: &_| Order { view: view(), id: *id, desk: self.desk.clone() };
        self.add(Kind::Port, &before.ports, &next.ports, |key| port(view(), key)).await?;
        self.add(Kind::Module, &before.modules, &next.modules, |key| module(view(), key)).await?;
        self.add(Kind::Release, &before.releases, &next.releases, |k| release(view(), k)).await?;
        self.add(Kind::Pool, &before.pools, &next.pools, |key| pool(view(), key)).await?;
        let (old, new) = (&before.clocks.clocks, &next.clocks.clocks);
        self.add(Kind::Clock, old, new, |key| clock(view(), key)).await?;
        self.add(Kind::Job, &before.jobs, &next.jobs, order).await?;
        let (old, new) = (&before.allocations, &next.allocations);
        self.add(Kind::Allocation, old, new, |id| Lending { view: view(), id: *id }).await
    }

    async fn differ(&self, before: &Arc<Picture>, next: &Arc<Picture>) -> zbus::Result<()> {
        let both = (before, next);
        let order = |view, id: &_| Order { view, id: *id, desk: self.desk.clone() };
        self.change(Kind::Port, both, |p| &p.ports, PartialEq::eq, port).await?;
        self.change(Kind::Module, both, |p| &p.modules, PartialEq::eq, module).await?;
        self.change(Kind::Release, both, |p| &p.releases, PartialEq::eq, release).await?;
        self.change(Kind::Pool, both, |p| &p.pools, PartialEq::eq, pool).await?;
        let clock = |view, key: &String| clock(view, key);
        self.change(Kind::Clock, both, |p| &p.clocks.clocks, PartialEq::eq, clock).await?;
        self.change(Kind::Job, both, |p| &p.jobs, PartialEq::eq, order).await?;
        let lending = |view, id: &_| Lending { view, id: *id };
        // An allocation is never written to in place: the same one needs no look inside.
        self.change(Kind::Allocation, both, |p| &p.allocations, Arc::ptr_eq, lending).await
    }

    async fn remove<K: Ord + ToString, V, I: Interface>(
        &self,
        kind: Kind,
        before: &BTreeMap<K, V>,
        next: &BTreeMap<K, V>,
    ) -> zbus::Result<()> {
        if std::ptr::eq(before, next) {
            return Ok(());
        }
        let mut turn = Turn::begin();
        for key in before.keys().filter(|key| !next.contains_key(key)) {
            let path = path::of(kind, &key.to_string());
            self.connection.object_server().remove::<I, _>(path.as_str()).await?;
            turn.share().await;
        }
        Ok(())
    }

    async fn add<K: Ord + ToString, V, I: Interface>(
        &self,
        kind: Kind,
        before: &BTreeMap<K, V>,
        next: &BTreeMap<K, V>,
        make: impl Fn(&K) -> I,
    ) -> zbus::Result<()> {
        if std::ptr::eq(before, next) {
            return Ok(());
        }
        let mut turn = Turn::begin();
        for key in next.keys().filter(|key| !before.contains_key(key)) {
            let path = path::of(kind, &key.to_string());
            self.connection.object_server().at(path.as_str(), make(key)).await?;
            turn.share().await;
        }
        Ok(())
    }

    async fn change<K: Ord + ToString, V, I: Interface>(
        &self,
        kind: Kind,
        (before, next): (&Arc<Picture>, &Arc<Picture>),
        part: impl Fn(&Picture) -> &BTreeMap<K, V>,
        same: impl Fn(&V, &V) -> bool,
        make: impl Fn(View, &K) -> I,
    ) -> zbus::Result<()> {
        let (old, new) = (part(before), part(next));
        if std::ptr::eq(old, new) {
            return Ok(());
        }
        let mut turn = Turn::begin();
        for (key, value) in new.iter() {
            if old.get(key).is_none_or(|former| same(former, value)) {
                continue;
            }
            let told = self.values(&make(View::Fixed(before.clone()), key)).await?;
            let now = self.values(&make(View::Fixed(next.clone()), key)).await?;
            self.announce::<I>(&path::of(kind, &key.to_string()), &told, &now).await?;
            turn.share().await;
        }
        Ok(())
    }

    /// Sends PropertiesChanged with what differs, if anything does.
    async fn announce<I: Interface>(
        &self,
        path: &str,
        told: &Values,
        now: &Values,
    ) -> zbus::Result<()> {
        let changed: HashMap<&str, Variant<'_>> = now
            .iter()
            .filter(|(name, value)| told.get(*name) != Some(value))
            .map(|(name, value)| Ok((name.as_str(), Variant::try_from(value)?)))
            .collect::<zbus::Result<_>>()?;
        if changed.is_empty() {
            return Ok(());
        }
        let emitter = SignalEmitter::new(&self.connection, path)?;
        Properties::properties_changed(&emitter, I::name(), changed, (&[][..]).into()).await
    }

    async fn values<I: Interface>(&self, object: &I) -> zbus::Result<Values> {
        Ok(values(&self.connection, object).await?)
    }

    fn keys_of(&self, view: View) -> SecureBoot {
        SecureBoot { view, desk: self.desk.clone() }
    }

    fn node_of(&self, view: View) -> Node {
        Node { view, desk: self.desk.clone() }
    }
}
