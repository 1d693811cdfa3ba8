//! The kubelet's side door: every pool of the picture is served on a socket of its own in the
//! kubelet's device-plugin directory and registered with whichever kubelet comes.
//!
//! Owns those sockets and nothing else: it decides nothing, keeps no state that outlives a stream,
//! and never creates or empties a directory of the kubelet's. While all is well nothing in here
//! wakes up; inotify and the picture tell of every change.

// Generated code follows its generator's taste, not ours; `tests/tests/generated.rs` keeps it so.
#[allow(missing_docs, missing_debug_implementations, clippy::all)]
#[rustfmt::skip]
pub mod api;
mod connection;
mod directory;
mod link;
mod offer;
mod plugin;
pub mod pods;
#[allow(missing_docs, missing_debug_implementations, clippy::all)]
#[rustfmt::skip]
pub mod pods_api;
mod registration;
mod server;
mod socket;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use onload_core::kubelet::{is_enabled, is_on_a_port};
use onload_core::names::PoolName;
use onload_core::picture::Picture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::letterbox::{Letterbox, Notice};
use directory::Sight;
use offer::Offer;

/// How long things may take before they count as failed, and how soon they are tried again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a kubelet to answer Register. It dials back within the call and gives that ten seconds
    /// (reference/kubelet-api.md section 3), so less would cut off a slow but sound one.
    pub register: Duration,
    /// For a kubelet that has accepted to ask for the list; it does so at once.
    pub list: Duration,
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
            shortest_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// Serves the pools of the picture in `directory` and keeps them registered. Ends when the loop
/// behind the letterbox does; dropping it ends the streams and removes the sockets.
pub async fn serve(letterbox: Letterbox, directory: PathBuf) {
    serve_with(letterbox, directory, Patience::default()).await;
}

/// [`serve`] with other limits of time; for tests, which cannot wait as long.
pub async fn serve_with(letterbox: Letterbox, directory: PathBuf, patience: Patience) {
    let sight = watch::Sender::new(Sight::default());
    tokio::select! {
        () = follow_pools(&letterbox, &directory, patience, &sight) => {}
        never = directory::watch(&directory, &sight, || letterbox.notify(Notice::Changed)) => {
            match never {}
        }
    }
}

/// Starts and ends offers as pools come and go; returns when there will be no further picture.
async fn follow_pools(
    letterbox: &Letterbox,
    directory: &Path,
    patience: Patience,
    sight: &watch::Sender<Sight>,
) {
    let mut pictures = letterbox.watch();
    let mut offered: BTreeMap<PoolName, Offered> = BTreeMap::new();
    loop {
        let picture = pictures.borrow_and_update().clone();
        // Asked of every picture, so that a reload counts.
        let enabled = is_enabled(&picture);
        offered.retain(|pool, offered| enabled && offered.is_of(&picture, pool));
        for (pool, of) in picture.pools.iter() {
            // What was once offered stays: a card that vanishes makes devices unhealthy, not unknown.
            let known = offered.contains_key(pool);
            if !enabled || !(known || is_on_a_port(of)) {
                continue;
            }
            offered.entry(pool.clone()).or_insert_with(|| {
                let offer = Offer::new(
                    pool.clone(),
                    of.resource.clone(),
                    directory.to_owned(),
                    patience,
                    letterbox.clone(),
                    sight.subscribe(),
                );
                Offered { resource: of.resource.clone(), task: tokio::spawn(offer.keep_up()) }
            });
        }
        if pictures.changed().await.is_err() {
            return;
        }
    }
}

/// A pool being offered; dropping it ends that.
struct Offered {
    resource: String,
    task: JoinHandle<()>,
}

impl Offered {
    fn is_of(&self, picture: &Picture, pool: &PoolName) -> bool {
        picture.pools.get(pool).is_some_and(|pool| pool.resource == self.resource)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.task.abort();
    }
}
