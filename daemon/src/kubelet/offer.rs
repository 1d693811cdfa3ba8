//! One pool, offered: bound and served first, registered second, and both again whenever the
//! kubelet or the socket's file has gone. Here is what both ways share, and the directory's.

mod waiting;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onload_core::config::Registration;
use onload_core::kubelet::device_list;
use onload_core::names::PoolName;
use onload_core::picture::Device;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::connection::Peer;
use super::desk::Desk;
use super::directory::{KUBELET_SOCKET, Sight};
use super::link::Link;
use super::plugin::Plugin;
use super::registration::{RegisterError, register};
use super::server::{List, PluginServer};
use super::socket::{self, Socket};
use super::{Patience, Places, Terms};
use crate::letterbox::{Letterbox, Notice};

/// A pool and what is needed to offer it.
pub(super) struct Offer {
    terms: Terms,
    places: Places,
    patience: Patience,
    letterbox: Letterbox,
    sight: watch::Receiver<Sight>,
    pauses: Pauses,
    /// The last trouble that was told, so that a kubelet that is away is not news every ten seconds.
    trouble: Option<String>,
}

impl Offer {
    /// An offer that has not begun.
    pub(super) fn new(
        terms: Terms,
        places: Places,
        patience: Patience,
        letterbox: Letterbox,
        sight: watch::Receiver<Sight>,
    ) -> Self {
        let pauses = Pauses { patience, next: patience.shortest_pause };
        Self { terms, places, patience, letterbox, sight, pauses, trouble: None }
    }

    /// Offers the pool until no picture comes any more or the other end of `stopped` is dropped.
    /// When this returns, nobody is connected any more.
    pub(super) async fn keep_up(mut self, stopped: oneshot::Receiver<Infallible>) {
        let mut server = None;
        tokio::select! {
            biased;
            _ = stopped => {}
            () = self.serve(&mut server) => {}
        }
        if let Some(server) = server {
            server.end().await;
        }
    }

    /// Offers the pool until no picture comes any more; the server, while there is one, is in `slot`.
    async fn serve(&mut self, slot: &mut Option<PluginServer>) {
        let pool = self.terms.pool.clone();
        let path = self.socket_directory().join(socket::name(&pool));
        loop {
            if !self.sight.borrow().present {
                let directory = self.socket_directory().display().to_string();
                self.tell(format!("the kubelet's directory {directory} is not there"));
            }
            if self.sight.wait_for(|sight| sight.present).await.is_err() {
                return;
            }
            let (socket, listener) = match Socket::bind(&path).await {
                Ok(bound) => bound,
                Err(error) => {
                    self.log_trouble(&format!("{}: {error}", path.display()));
                    if self.pause().await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let mut lists = Lists::new(&self.letterbox, &pool);
            let link = Link::default();
            let plugin =
                |lists| Plugin::new(pool.clone(), self.letterbox.clone(), lists, link.clone());
            let desk = match self.terms.registration {
                Registration::Directory => None,
                Registration::Watcher => Some(Desk::new(self.terms.resource.clone(), link.clone())),
            };
            let list = lists.derive();
            let server =
                PluginServer::start(socket, listener, list, plugin, desk.clone(), link.clone());
            let server = &*slot.insert(server);
            let attended = async {
                match &desk {
                    None => self.attend(server).await,
                    Some(desk) => self.wait_for_kubelet(server, desk).await,
                }
            };
            tokio::select! {
                biased;
                // First, so that a list goes out before anything else is done about a change.
                () = lists.follow(server) => return,
                attended = attended => if attended.is_err() { return },
            }
            *slot = None;
        }
    }

    /// Where the pool's socket lies.
    fn socket_directory(&self) -> &Path {
        match self.terms.registration {
            Registration::Directory => &self.places.directory,
            Registration::Watcher => &self.places.registry,
        }
    }

    /// The socket of the kubelet itself.
    fn kubelet_socket(&self) -> PathBuf {
        self.places.directory.join(KUBELET_SOCKET)
    }

    /// Keeps the pool registered while its socket is good; returns when it must be bound anew.
    async fn attend(&mut self, server: &PluginServer) -> Result<(), Closed> {
        loop {
            let kubelets = self.sight.borrow_and_update().kubelets;
            // A fresh socket for each life of the stream: a kubelet knows a plugin by its socket,
            // and the old stream must have ended before the new one begins.
            if !server.socket().is_in_place() || server.link().watch().borrow().begun() {
                return Ok(());
            }
            if !self.kubelet_socket().exists() {
                self.tell_absence();
                self.sight.changed().await.map_err(|_| Closed)?;
                continue;
            }
            let mut sight = self.sight.clone();
            tokio::select! {
                biased;
                seen = interrupted(&mut sight, kubelets, server.socket()) => {
                    seen?;
                    self.pauses.reset();
                    continue;
                }
                error = self.be_registered(server) => self.log_trouble(&error.to_string()),
            }
            tokio::select! {
                biased;
                seen = interrupted(&mut sight, kubelets, server.socket()) => {
                    seen?;
                    self.pauses.reset();
                }
                () = self.pauses.pass() => {}
            }
        }
    }

    /// Registers and stays so; returns what ended or prevented it.
    async fn be_registered(&mut self, server: &PluginServer) -> RegisterError {
        let mut streams = server.link().watch();
        let name = socket::name(&self.terms.pool);
        let limit = self.patience.register;
        server.link().kubelet_may_come();
        let registered = register(&self.kubelet_socket(), &name, &self.terms, limit).await;
        if let Err(error) = registered {
            return error;
        }
        let listening = async {
            streams.wait_for(|streams| streams.begun()).await?;
            // Who serves its socket is who reads the lists; others may do so for their own reasons.
            if let Some(kubelet) = Peer::listening_at(&self.kubelet_socket()).await {
                server.link().kubelet_is(kubelet);
            }
            streams.wait_for(|streams| streams.begun()).await
        };
        match tokio::time::timeout(self.patience.list, listening).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return RegisterError::NotListening(self.patience.list),
        }
        let over = async {
            // The link lives as long as the server that is borrowed here.
            let _ = streams.wait_for(|streams| streams.broken()).await;
            RegisterError::StoppedListening
        };
        self.stay_registered(over).await.why
    }

    /// Is registered from now on, until that is over.
    async fn stay_registered(&mut self, over: impl Future<Output = RegisterError>) -> Ended {
        let since = Instant::now();
        self.trouble = None;
        let Terms { pool, resource, .. } = &self.terms;
        tracing::info!(%pool, %resource, "registered with the kubelet");
        let _registered = Registered::announce(&self.letterbox, pool);
        let why = over.await;
        let lasted = since.elapsed() > self.patience.longest_pause;
        if lasted {
            self.pauses.reset();
        }
        Ended { why, lasted }
    }

    /// Waits before the next attempt to bind: back-off, cut short by a new kubelet.
    async fn pause(&mut self) -> Result<(), Closed> {
        let kubelets = self.sight.borrow_and_update().kubelets;
        let mut sight = self.sight.clone();
        tokio::select! {
            come = sight.wait_for(|sight| sight.kubelets != kubelets) => {
                come.map_err(|_| Closed)?;
                self.pauses.reset();
            }
            () = self.pauses.pass() => {}
        }
        Ok(())
    }

    /// Tells that there is nobody to register with.
    fn tell_absence(&mut self) {
        self.tell(format!("no kubelet is there: no {}", self.kubelet_socket().display()));
    }

    /// Tells of a trouble that is one.
    fn log_trouble(&mut self, trouble: &str) {
        let pool = &self.terms.pool;
        if self.trouble.as_deref() == Some(trouble) {
            tracing::debug!(%pool, why = trouble, "not registered with the kubelet");
        } else {
            tracing::warn!(
                %pool, why = trouble,
                "not registered with the kubelet; trying again by itself",
            );
            self.tell(trouble.to_owned());
        }
    }

    /// Shows why the pool is not registered, where that is news.
    fn tell(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            let pool = self.terms.pool.clone();
            self.letterbox.notify(Notice::NotRegistered { pool, why: why.clone() });
            self.trouble = Some(why);
        }
    }
}

/// An attempt that is over.
struct Ended {
    why: RegisterError,
    /// It was registered, for longer than any pause: what ended it says nothing of the next attempt.
    lasted: bool,
}

impl From<RegisterError> for Ended {
    fn from(why: RegisterError) -> Self {
        Self { why, lasted: false }
    }
}

/// The watch on the directory has ended: all of this is about to.
#[derive(Debug)]
struct Closed;

/// Resolves when a kubelet has come anew or the socket's file has gone.
async fn interrupted(
    sight: &mut watch::Receiver<Sight>,
    kubelets: u64,
    socket: &Socket,
) -> Result<(), Closed> {
    loop {
        let seen = *sight.borrow_and_update();
        if seen.kubelets != kubelets || !seen.present || !socket.is_in_place() {
            return Ok(());
        }
        sight.changed().await.map_err(|_| Closed)?;
    }
}

/// The pauses between attempts: doubling, with a longest.
struct Pauses {
    patience: Patience,
    next: Duration,
}

impl Pauses {
    async fn pass(&mut self) {
        let pause = self.next;
        self.next = (pause * 2).min(self.patience.longest_pause);
        tokio::time::sleep(pause).await;
    }

    fn reset(&mut self) {
        self.next = self.patience.shortest_pause;
    }
}

/// While it lives, the loop knows the pool as registered.
struct Registered<'a> {
    letterbox: &'a Letterbox,
    pool: &'a PoolName,
}

impl<'a> Registered<'a> {
    fn announce(letterbox: &'a Letterbox, pool: &'a PoolName) -> Self {
        letterbox.notify(Notice::Registered { pool: pool.clone(), registered: true });
        Self { letterbox, pool }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let pool = self.pool.clone();
        self.letterbox.notify(Notice::Registered { pool, registered: false });
    }
}

/// The pool's list, derived anew from each picture in which its devices differ.
struct Lists {
    pictures: watch::Receiver<Arc<onload_core::picture::Picture>>,
    pool: PoolName,
    devices: Arc<Vec<Device>>,
    list: List,
}

impl Lists {
    fn new(letterbox: &Letterbox, pool: &PoolName) -> Self {
        let (devices, list) = (Arc::default(), List::default());
        Self { pictures: letterbox.watch(), pool: pool.clone(), devices, list }
    }

    /// The list of the present picture; the former one where the pool has just vanished.
    fn derive(&mut self) -> List {
        let picture = self.pictures.borrow_and_update();
        if let Some(pool) = picture.pools.get(&self.pool)
            && !Arc::ptr_eq(&pool.devices, &self.devices)
        {
            self.devices = Arc::clone(&pool.devices);
            self.list = Arc::new(device_list(pool));
        }
        Arc::clone(&self.list)
    }

    /// Hands every list to the server; returns when there will be no further picture.
    async fn follow(&mut self, server: &PluginServer) {
        while self.pictures.changed().await.is_ok() {
            server.list(self.derive());
        }
    }
}
