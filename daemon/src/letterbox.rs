//! What an edge holds: a window on the published picture and a letterbox for orders. Edges reach
//! nothing else; the loop owns the rest.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use onload_core::allocation::Process;
use onload_core::command::{Answer, Caller, Command};
use onload_core::names::PoolName;
use onload_core::picture::Picture;
use onload_core::refusal::{Refusal, RefusalKind};
use tokio::sync::{mpsc, oneshot, watch};

use crate::metrics::{Meters, Source};

/// One thing posted to the loop.
#[derive(Debug)]
pub enum Post {
    /// A request that waits for its answer.
    Request {
        /// Who asks.
        caller: Caller,
        /// What for.
        command: Command,
        /// The files of a release that the command takes in.
        files: Option<OwnedFd>,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// News that nobody waits on.
    Notice(Notice),
}

/// News from an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The machine may have changed: worth another look.
    Changed,
    /// Whoever waits for the change under way waits no longer: back to the former release.
    TurnBack {
        /// Why.
        why: String,
    },
    /// A unique bus name has vanished: its connection is closed.
    ClientGone {
        /// The name.
        bus_name: String,
    },
    /// The bus itself is gone; every unique name with it, and nobody's connection ended by it.
    BusLost,
    /// A process that holds something has ended.
    ProcessGone(Process),
    /// A kubelet has accepted the pool, or it is forgotten again (list stream closed, kubelet gone).
    Registered {
        /// The pool.
        pool: PoolName,
        /// Accepted and listening.
        registered: bool,
    },
    /// No kubelet has accepted the pool so far, or the last one does not listen any more.
    NotRegistered {
        /// The pool.
        pool: PoolName,
        /// Why.
        why: String,
    },
    /// A socket of another device plugin has come or gone.
    PluginSocket,
}

/// A window and a letterbox. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Letterbox {
    picture: watch::Receiver<Arc<Picture>>,
    posts: mpsc::UnboundedSender<Post>,
    meters: Arc<Meters>,
}

impl Letterbox {
    /// The letterbox and the loop's ends of it.
    pub fn new() -> (Self, watch::Sender<Arc<Picture>>, mpsc::UnboundedReceiver<Post>) {
        let (pictures, picture) = watch::channel(Arc::new(Picture::default()));
        let (posts, receiver) = mpsc::unbounded_channel();
        (Self { picture, posts, meters: Arc::default() }, pictures, receiver)
    }

    /// The picture as it is now.
    pub fn picture(&self) -> Arc<Picture> {
        self.picture.borrow().clone()
    }

    /// A receiver that tells of every change.
    pub fn watch(&self) -> watch::Receiver<Arc<Picture>> {
        self.picture.clone()
    }

    /// What is counted of that which goes through it; one for all of its clones.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Posts a command and waits for its answer.
    ///
    /// # Errors
    /// What the loop refuses, and `Internal` while it is shutting down.
    pub async fn submit(&self, caller: Caller, command: Command) -> Answer {
        self.submit_with(caller, command, None).await
    }

    /// The same, with the files of a release that the command takes in.
    ///
    /// # Errors
    /// As [`Letterbox::submit`].
    pub async fn submit_with(
        &self,
        caller: Caller,
        command: Command,
        files: Option<OwnedFd>,
    ) -> Answer {
        let (answer, answered) = oneshot::channel();
        let closing = || {
            Refusal::new(
                RefusalKind::Internal,
                "the order was not taken",
                "onloadd is shutting down",
                "try again when it is back (systemctl status onloadd)",
            )
        };
        let asked = Source::of(&command).map(|source| (source, Instant::now()));
        self.posts.send(Post::Request { caller, command, files, answer }).map_err(|_| closing())?;
        let answer = answered.await.map_err(|_| closing())?;
        if let Some((source, since)) = asked {
            self.meters.answered(source, since.elapsed(), answer.is_ok());
        }
        answer
    }

    /// Posts news. While the loop is shutting down nobody needs them.
    pub fn notify(&self, notice: Notice) {
        if let Notice::Registered { pool, registered: true } = &notice {
            self.meters.registered(pool);
        }
        let _ = self.posts.send(Post::Notice(notice));
    }
}
