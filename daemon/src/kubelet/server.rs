//! A server on one socket. Serves until dropped; then the streams end, the file goes, and who is
//! still connected is told to leave.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use onload_core::kubelet::Advertised;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::connection::Connection;
use super::desk::{Desk, Services};
use super::link::Link;
use super::plugin::Plugin;
use super::socket::Socket;

/// How long a connection may take to close once its streams have ended; idle ones can hold on for
/// ever (reference/crates.md, gRPC to the kubelet).
const FAREWELL: Duration = Duration::from_secs(1);
/// After a connection could not be accepted, for want of descriptors: without it, one would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The list of a pool's devices as last derived.
pub(super) type List = Arc<Vec<Advertised>>;

/// A server and its socket.
#[derive(Debug)]
pub(super) struct PluginServer {
    // In the order they must go: first the lists, or the open streams would hold the server.
    lists: watch::Sender<List>,
    socket: Socket,
    // Nothing is ever sent; dropping it is the sign.
    _stop: oneshot::Sender<Infallible>,
    link: Link,
    running: JoinHandle<()>,
}

impl PluginServer {
    /// Serves on a bound socket; the desk too, where the kubelet watches for it. Streams are counted
    /// on `link`.
    pub(super) fn start(
        socket: Socket,
        listener: UnixListener,
        list: List,
        plugin: impl FnOnce(watch::Receiver<List>) -> Plugin,
        desk: Option<Desk>,
        link: Link,
    ) -> Self {
        let (lists, receiver) = watch::channel(list);
        let (stop, stopped) = oneshot::channel();
        let services = Services::new(plugin(receiver), desk);
        let running = tokio::spawn(run(listener, services, stopped));
        Self { lists, socket, _stop: stop, link, running }
    }

    /// Ends and waits until it has: nobody is connected any more, or has been told to leave long ago.
    pub(super) async fn end(self) {
        let running = self.running;
        drop((self.lists, self.socket, self._stop));
        // It can only have ended.
        let _ = running.await;
    }

    /// Shows the list to all streams; each sends what differs from the last it sent.
    pub(super) fn list(&self, list: List) {
        self.lists.send_replace(list);
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The streams.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}

async fn run(listener: UnixListener, services: Services, stopped: oneshot::Receiver<Infallible>) {
    let (accepted, incoming) = mpsc::channel(1);
    let serving = Server::builder().serve_with_incoming_shutdown(
        services,
        ReceiverStream::new(incoming),
        // The end of `incoming` is the signal; without any, connections would not be told.
        pending(),
    );
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = &mut serving => {
            if let Err(error) = ended {
                tracing::error!(%error, "a plugin server has ended by itself");
            }
            return;
        }
        () = accept(listener, accepted) => {}
        _ = stopped => {}
    }
    // Both branches above have dropped the listener and the channel's sender.
    if tokio::time::timeout(FAREWELL, serving).await.is_err() {
        tracing::debug!("a connection to a closed plugin socket stays open");
    }
}

async fn accept(listener: UnixListener, accepted: mpsc::Sender<io::Result<Connection>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if accepted.send(Ok(Connection::new(stream))).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of the kubelet's could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
