//! The kubelet's socket: who connects is served, or met with the fault of the day.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use onloadd::kubelet::api::registration_server::RegistrationServer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, UdsConnectInfo};

use super::registration::Desk;
use super::{Fault, KUBELET_SOCKET, Node};

/// What no HTTP/2 peer can mistake for a frame it knows: length 4,210,752, unknown type.
const GARBAGE: [u8; 256] = [0x40; 256];

/// The listening socket and everybody who came in through it.
#[derive(Debug)]
pub(super) struct Door {
    porter: JoinHandle<()>,
    guests: Guests,
}

/// Open connections. A server task of tonic's ends only with its connection, so the sudden death
/// of a process needs a hand on the sockets themselves.
#[derive(Debug, Clone, Default)]
struct Guests(Arc<Mutex<Vec<Weak<StdUnixStream>>>>);

/// Binds the kubelet's socket and serves it. Fails if the socket cannot be bound.
pub(super) fn open(node: &Arc<Node>, life: u64) -> io::Result<Door> {
    let listener = UnixListener::bind(node.dir.join(KUBELET_SOCKET))?;
    let (served, incoming) = mpsc::channel(1);
    let desk = RegistrationServer::new(Desk::new(Arc::clone(node), life));
    // Ends when the porter, who holds the other end of the channel, is gone.
    tokio::spawn(Server::builder().serve_with_incoming(desk, ReceiverStream::new(incoming)));
    let guests = Guests::default();
    let porter = tokio::spawn(admit(listener, Arc::clone(node), guests.clone(), served));
    Ok(Door { porter, guests })
}

impl Door {
    /// Cuts all connections; the returned task, aborted, gives up the listening socket.
    pub(super) fn close(self) -> JoinHandle<()> {
        self.guests.cut();
        self.porter
    }
}

async fn admit(
    listener: UnixListener,
    node: Arc<Node>,
    guests: Guests,
    served: mpsc::Sender<io::Result<Guest>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        node.seen.send_modify(|seen| seen.connections += 1);
        let guest = guests.welcome(stream);
        let fault = node.fault.borrow().clone();
        match fault {
            Some(Fault::CloseAtOnce) => drop(guest),
            Some(Fault::Garbage) => drop(tokio::spawn(babble(guest))),
            None
            | Some(Fault::RefuseRegister(_) | Fault::HangInRegister | Fault::NeverDialBack) => {
                if served.send(guest).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Talks nonsense once, then listens until the other side has had enough.
async fn babble(guest: io::Result<Guest>) {
    let Ok(mut guest) = guest else { return };
    if guest.write_all(&GARBAGE).await.is_ok() {
        let mut ignored = [0; 1024];
        while matches!(guest.read(&mut ignored).await, Ok(1..)) {}
    }
}

impl Guests {
    fn welcome(&self, stream: UnixStream) -> io::Result<Guest> {
        let second = Arc::new(StdUnixStream::from(stream.as_fd().try_clone_to_owned()?));
        let mut guests = self.0.lock().expect("no task panics while it holds the guests");
        guests.retain(|guest| guest.strong_count() > 0);
        guests.push(Arc::downgrade(&second));
        Ok(Guest { stream, _second: second })
    }

    fn cut(&self) {
        let guests = self.0.lock().expect("no task panics while it holds the guests");
        for guest in guests.iter().filter_map(Weak::upgrade) {
            // Fails only if the other side was faster.
            let _ = guest.shutdown(Shutdown::Both);
        }
    }
}

/// A connection that can be cut from outside, through a second descriptor that lives no longer
/// than the first.
struct Guest {
    stream: UnixStream,
    _second: Arc<StdUnixStream>,
}

impl Connected for Guest {
    type ConnectInfo = UdsConnectInfo;
    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
