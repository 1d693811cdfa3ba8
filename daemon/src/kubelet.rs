//! The kubelet's side door: every pool of the picture is served on a socket of its own, in the
//! kubelet's device-plugin directory and registered with whichever kubelet comes, or in its registry
//! of plugins for it to find.
//!
//! Owns those sockets and nothing else: it decides nothing, keeps no state that outlives a stream
//! but which resources the kubelet may have found in this boot, and never creates or empties a
//! directory of the kubelet's. While all is well nothing in here wakes up; inotify and the picture
//! tell of every change.

// Generated code follows its generator's taste, not ours; `tests/tests/generated.rs` keeps it so.
#[allow(missing_docs, missing_debug_implementations, clippy::all)]
#[rustfmt::skip]
pub mod api;
mod connection;
mod desk;
mod directory;
mod link;
mod marks;
mod offer;
mod plugin;
pub mod pods;
#[allow(missing_docs, missing_debug_implementations, clippy::all)]
#[rustfmt::skip]
pub mod pods_api;
mod registration;
mod server;
mod socket;
#[allow(missing_docs, missing_debug_implementations, clippy::all)]
#[rustfmt::skip]
pub mod watcher_api;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use onload_core::config::Registration;
use onload_core::kubelet::{is_enabled, is_on_a_port};
use onload_core::names::PoolName;
use onload_core::picture::{Picture, PoolPicture};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::letterbox::{Letterbox, Notice};
use directory::{Sight, Word};
use marks::Marks;
use offer::Offer;

/// How long things may take before they count as failed, and how soon they are tried again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a kubelet to answer Register. It dials back within the call and gives that ten seconds
    /// (reference/kubelet-api.md section 3), so less would cut off a slow but sound one.
    pub register: Duration,
    /// For a kubelet that has accepted to ask for the list; it does so at once.
    pub list: Duration,
    /// For a kubelet that is there to find a socket in its registry: it goes through what it saw
    /// there each second, and gives a connection ten (reference/kubelet-api.md section 9).
    pub find: Duration,
    /// For a kubelet to take note that a socket has gone from its registry. It forgets the resource
    /// then, in whichever way somebody has registered it meanwhile.
    pub forget: Duration,
    /// Before the first new attempt; doubled before each further one.
    pub shortest_pause: Duration,
    /// Between attempts in the long run.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            register: Duration::from_secs(15),
            list: Duration::from_secs(10),
            find: Duration::from_secs(15),
            forget: Duration::from_secs(2),
            shortest_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// Directories, none of which is made here.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where the kubelet has its own socket, and device plugins that register have theirs.
    pub directory: PathBuf,
    /// Where it looks for sockets by itself.
    pub registry: PathBuf,
    /// Our own of this boot; without it, a later process does not know what was in the registry.
    pub runtime: Option<PathBuf>,
}

/// Serves the pools of the picture and keeps them registered. Ends when the loop behind the letterbox
/// does; dropping it ends the streams and removes the sockets.
pub async fn serve(letterbox: Letterbox, places: Places) {
    serve_with(letterbox, places, Patience::default()).await;
}

/// [`serve`] with other limits of time; for tests, which cannot wait as long.
pub async fn serve_with(letterbox: Letterbox, places: Places, patience: Patience) {
    let sights = Sights::default();
    let told = |word| match word {
        // Those who wait in the registry want to know as well.
        Word::Kubelet => sights.registry.send_modify(|sight| sight.kubelets += 1),
        Word::Other => letterbox.notify(Notice::PluginSocket),
    };
    tokio::select! {
        () = follow_pools(&letterbox, &places, patience, &sights) => {}
        never = directory::watch(&places.directory, &sights.directory, told) => match never {},
        never = watch_registry(&letterbox, &places, &sights) => match never {},
    }
}

/// What is seen of the directories.
#[derive(Debug, Default)]
struct Sights {
    directory: watch::Sender<Sight>,
    registry: watch::Sender<Sight>,
}

/// Watches the registry from the first pool on that lies there: others are at work in it.
async fn watch_registry(letterbox: &Letterbox, places: &Places, sights: &Sights) -> Infallible {
    let lies_there = |pool: &PoolPicture| match pool.registration {
        Registration::Directory => false,
        Registration::Watcher => true,
    };
    let mut pictures = letterbox.watch();
    let needed = pictures.wait_for(|picture| picture.pools.values().any(lies_there)).await.is_ok();
    if !needed {
        // The loop has ended, and with it all of this is about to.
        std::future::pending::<()>().await;
    }
    directory::watch(&places.registry, &sights.registry, |_| {}).await
}

/// Starts and ends offers as pools come and go; returns when there will be no further picture.
async fn follow_pools(letterbox: &Letterbox, places: &Places, patience: Patience, sights: &Sights) {
    let mut pictures = letterbox.watch();
    let mut offered: BTreeMap<PoolName, Offered> = BTreeMap::new();
    let mut ending: Vec<Ending> = Vec::new();
    // Dropping it ends them all at once.
    let mut tasks = JoinSet::new();
    let marks = Marks::open(places.runtime.as_deref());
    let mut swept = false;
    loop {
        let picture = pictures.borrow_and_update().clone();
        if !swept && was_looked_at(&picture) {
            sweep(&picture, places, &marks).await;
            swept = true;
        }
        while tasks.try_join_next().is_some() {}
        ending.retain(Ending::is_under_way);
        // Asked of every picture, so that a reload counts.
        let enabled = is_enabled(&picture);
        let is_over = |offered: &Offered| !enabled || !offered.terms.are_those_of(&picture);
        let over: Vec<_> = offered.values().filter(|one| is_over(one)).map(Offered::pool).collect();
        ending.extend(over.iter().filter_map(|pool| offered.remove(pool)).map(Offered::end));
        for (pool, of) in picture.pools.iter() {
            // What was once offered stays: a card that vanishes makes devices unhealthy, not unknown.
            let known = offered.contains_key(pool) || over.contains(pool);
            if !enabled || !(known || is_on_a_port(of)) {
                continue;
            }
            offered.entry(pool.clone()).or_insert_with(|| {
                let terms = Terms::of(pool, of);
                let sight = match terms.registration {
                    Registration::Directory => sights.directory.subscribe(),
                    Registration::Watcher => sights.registry.subscribe(),
                };
                let before: Vec<Ending> =
                    ending.iter().filter(|former| former.is_before(&terms)).cloned().collect();
                let (stop, stopped) = oneshot::channel();
                let (end, ended) = watch::channel(());
                let (places, letterbox, marks) = (places.clone(), letterbox.clone(), marks.clone());
                let offer = Offer::new(terms.clone(), places, patience, letterbox, sight);
                let Terms { resource, registration, .. } = terms.clone();
                tasks.spawn(async move {
                    let _end = end;
                    for former in before {
                        former.wait().await;
                    }
                    match registration {
                        Registration::Watcher => marks.set(&resource),
                        Registration::Directory if marks.has(&resource) => {
                            tokio::time::sleep(patience.forget).await;
                            marks.clear(&resource);
                        }
                        Registration::Directory => {}
                    }
                    offer.keep_up(stopped).await;
                });
                Offered { terms, stop, ended }
            });
        }
        if pictures.changed().await.is_err() {
            return;
        }
    }
}

/// What is offered of a pool, and how. Another of any of it is another offer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    pool: PoolName,
    resource: String,
    registration: Registration,
    check_at_start: bool,
}

impl Terms {
    fn of(pool: &PoolName, of: &PoolPicture) -> Self {
        let PoolPicture { resource, registration, check_at_start, .. } = of;
        Self {
            pool: pool.clone(),
            resource: resource.clone(),
            registration: *registration,
            check_at_start: *check_at_start,
        }
    }

    fn are_those_of(&self, picture: &Picture) -> bool {
        picture.pools.get(&self.pool).is_some_and(|of| *self == Self::of(&self.pool, of))
    }
}

/// A pool being offered.
struct Offered {
    terms: Terms,
    // Nothing is ever sent; dropping it is the sign.
    stop: oneshot::Sender<Infallible>,
    ended: watch::Receiver<()>,
}

impl Offered {
    fn pool(&self) -> PoolName {
        self.terms.pool.clone()
    }

    fn end(self) -> Ending {
        drop(self.stop);
        Ending { terms: self.terms, ended: self.ended }
    }
}

/// An offer that has been told to end. What comes after it waits: a resource is never offered twice,
/// and not in two ways.
#[derive(Clone)]
struct Ending {
    terms: Terms,
    ended: watch::Receiver<()>,
}

impl Ending {
    fn is_under_way(&self) -> bool {
        self.ended.has_changed().is_ok()
    }

    fn is_before(&self, next: &Terms) -> bool {
        self.terms.pool == next.pool || self.terms.resource == next.resource
    }

    /// Waits until it has ended.
    async fn wait(mut self) {
        // Ends by the sender's end: nothing is ever sent.
        let _ = self.ended.changed().await;
    }
}

/// Whether the picture is of a machine that was looked at, with the pools there are: a look always
/// names the modules of the stack.
fn was_looked_at(picture: &Picture) -> bool {
    !(picture.pools.is_empty() && picture.modules.is_empty())
}

/// Removes what a killed process has left of pools that are not offered, or not in that way: a kubelet
/// tries a dead socket in its registry for ever. Which resource it forgets upon that is not known, so
/// all that are about to be registered are marked.
async fn sweep(picture: &Picture, places: &Places, marks: &Marks) {
    let enabled = is_enabled(picture);
    let ways =
        [(Registration::Directory, &places.directory), (Registration::Watcher, &places.registry)];
    for (way, directory) in ways {
        let offered = |of: &PoolPicture| enabled && of.registration == way && is_on_a_port(of);
        let pools = picture.pools.iter().filter(|(_, of)| offered(of));
        let kept: BTreeSet<_> = pools.map(|(pool, _)| socket::name(pool)).collect();
        for path in socket::left_behind(directory, &kept).await {
            if way == Registration::Watcher {
                let others = picture.pools.values().filter(|of| of.registration != way);
                others.for_each(|of| marks.set(&of.resource));
            }
            match fs::remove_file(&path) {
                Ok(()) => tracing::info!(socket = %path.display(), "removed a socket left behind"),
                Err(error) => tracing::warn!(
                    socket = %path.display(), %error,
                    "a socket left behind by another process of ours cannot be removed",
                ),
            }
        }
    }
}
