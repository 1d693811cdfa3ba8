//! The watcher's way: the socket lies in the registry of plugins, and a kubelet comes to it by itself.
//!
//! It needs nothing of us when it restarts, for it looks through its registry then. One that refused,
//! or was missed, looks again when the socket is made anew (reference/kubelet-api.md section 9).

use std::future::pending;

use tokio::sync::watch;

use super::{Closed, Offer};
use crate::kubelet::desk::{Desk, Said};
use crate::kubelet::registration::RegisterError;
use crate::kubelet::server::PluginServer;

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
            let error = self.be_taken(server, desk).await;
            self.log_trouble(&error.to_string());
            let begun = streams.borrow().begun();
            if begun {
                // At once where all was well for long: a kubelet that restarts must not find a socket
                // that is about to go.
                return if self.pauses.are_fresh() { Ok(()) } else { self.pause().await };
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
    async fn be_taken(&mut self, server: &PluginServer, desk: &Desk) -> RegisterError {
        let mut streams = server.link().watch();
        let mut said = desk.watch();
        tokio::select! {
            biased;
            _ = streams.wait_for(|streams| streams.begun()) => {}
            why = refused(&mut said) => return RegisterError::Refused(why),
            error = self.overdue(desk, server) => return error,
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

    /// Resolves when a kubelet is there and has let the socket lie for too long. One that is not there
    /// is waited for without a clock.
    async fn overdue(&mut self, desk: &Desk, server: &PluginServer) -> RegisterError {
        let mut said = desk.watch();
        let mut kubelets = self.sight.borrow().kubelets;
        loop {
            let seen = *self.sight.borrow_and_update();
            if seen.kubelets != kubelets {
                kubelets = seen.kubelets;
                self.pauses.reset();
            }
            let asked = said.borrow_and_update().asked;
            let limit = if asked { self.patience.list } else { self.patience.find };
            let is_awaited = asked || self.kubelet_socket().exists();
            if !is_awaited {
                self.tell_absence();
            }
            tokio::select! {
                () = tokio::time::sleep(limit), if is_awaited => {
                    let socket = server.socket().path().to_owned();
                    return if asked {
                        RegisterError::NotTaken(limit)
                    } else {
                        RegisterError::NotFound { socket, limit }
                    };
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
