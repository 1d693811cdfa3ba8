//! The watcher's way: the socket lies in the registry of plugins, and a kubelet comes to it by itself.
//!
//! It needs nothing of us when it restarts, for it looks through its registry then. One that refused,
//! or was missed, looks again when the socket is made anew (reference/kubelet-api.md section 9).

use std::future::pending;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Closed, Ended, Offer};
use crate::kubelet::desk::{Desk, Said};
use crate::kubelet::registration::RegisterError;
use crate::kubelet::server::PluginServer;
use crate::kubelet::socket::{self, Listener};

impl Offer {
    /// Waits for kubelets while the socket is good; returns when it must be bound anew.
    pub(super) async fn wait_for_kubelet(
        &mut self,
        server: &PluginServer,
        desk: &Desk,
    ) -> Result<(), Closed> {
        let mut sight = self.sight.clone();
        let gone = async {
            while sight.borrow_and_update().present && server.socket().is_in_place() {
                sight.changed().await.map_err(|_| Closed)?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            gone = gone => gone,
            ended = self.be_found(server, desk) => ended,
        }
    }

    /// Is found and stays so; returns when only another socket can help.
    async fn be_found(&mut self, server: &PluginServer, desk: &Desk) -> Result<(), Closed> {
        let mut streams = server.link().watch();
        loop {
            let ended = self.be_taken(server, desk).await;
            self.log_trouble(&ended.why.to_string());
            let begun = streams.borrow().begun();
            if begun {
                // At once where all was well for long: a kubelet that restarts must not find a socket
                // that is about to go. Not so where it hangs up each time soon after it has come.
                return if ended.lasted { Ok(()) } else { self.pause().await };
            }
            tokio::select! {
                biased;
                // It was only late, or has tried again by itself.
                _ = streams.wait_for(|streams| streams.begun()) => {}
                paused = self.pause() => return paused,
            }
        }
    }

    /// Waits until a kubelet listens, and while it does; returns what ended or prevented it.
    async fn be_taken(&mut self, server: &PluginServer, desk: &Desk) -> Ended {
        let mut streams = server.link().watch();
        let mut said = desk.watch();
        tokio::select! {
            biased;
            _ = streams.wait_for(|streams| streams.begun()) => {}
            why = refused(&mut said) => return RegisterError::Refused(why).into(),
            error = self.overdue(desk, server) => return error.into(),
        }
        let over = async {
            tokio::select! {
                // The link lives as long as the server that is borrowed here.
                _ = streams.wait_for(|streams| streams.broken()) => RegisterError::StoppedListening,
                why = refused(&mut said) => RegisterError::Refused(why),
            }
        };
        self.stay_registered(over).await
    }

    /// Resolves when a kubelet is there and has let the socket lie for too long, by one clock: it goes
    /// anew when a kubelet comes and when it first asks, and not for whatever else is said or seen. A
    /// kubelet that is not there is waited for without a clock.
    async fn overdue(&mut self, desk: &Desk, server: &PluginServer) -> RegisterError {
        let mut said = desk.watch();
        let mut kubelets = self.sight.borrow().kubelets;
        let (mut since, mut asked) = (Instant::now(), false);
        // Known when the clock has run out: a kubelet that was killed leaves the file of its socket.
        let mut is_dead = false;
        loop {
            let seen = *self.sight.borrow_and_update();
            if seen.kubelets != kubelets {
                kubelets = seen.kubelets;
                self.pauses.reset();
                (since, is_dead) = (Instant::now(), false);
            }
            let has_asked = said.borrow_and_update().asked;
            if has_asked && !asked {
                (since, asked) = (Instant::now(), true);
            }
            let limit = if asked { self.patience.list } else { self.patience.find };
            let is_awaited = asked || (!is_dead && self.kubelet_socket().exists());
            if !is_awaited {
                self.tell_absence();
            }
            tokio::select! {
                () = sleep_until(since + limit), if is_awaited => {
                    if asked {
                        return RegisterError::NotTaken(limit);
                    }
                    let listener = socket::listener(&self.kubelet_socket()).await;
                    is_dead = matches!(listener, Ok(Listener::Nobody | Listener::NoFile));
                    if !is_dead {
                        let socket = server.socket().path().to_owned();
                        return RegisterError::NotFound { socket, limit };
                    }
                }
                seen = self.sight.changed() => if seen.is_err() { pending().await },
                // The desk, which is borrowed here, holds the sender.
                _ = said.changed() => {}
            }
        }
    }
}

/// Resolves when the kubelet has said that it did not take the plugin; why, in its words.
async fn refused(said: &mut watch::Receiver<Said>) -> String {
    let word = said.wait_for(|said| said.refused.is_some()).await;
    let why = word.ok().and_then(|said| said.refused.clone());
    match why {
        Some(why) => why,
        None => pending().await,
    }
}
