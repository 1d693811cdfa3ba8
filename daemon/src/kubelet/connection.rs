//! One connection of the kubelet's, or of whoever comes: as the server writes to it, and from whom.

use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

/// A stream that does not claim to write many buffers at once. Where one does, `h2` keeps the body
/// of an answer from 256 bytes on out of its own buffer and sends what follows by itself: an
/// Allocate's answer would leave in two writes and wake the kubelet twice. Copying up to a kilobyte
/// costs far less.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    peer: Peer,
}

impl Connection {
    /// Takes over an accepted stream.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { peer: Peer::of(&stream), stream }
    }
}

/// The process at the other end of a socket, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Peer(Option<NonZeroU32>);

impl Peer {
    /// One that cannot be told from others: the kernel shows 0 for processes outside the reader's
    /// pid namespace (unix(7), SO_PEERCRED).
    pub(super) const UNSEEN: Self = Self(None);

    /// Who connected, or who listens where we did.
    pub(super) fn of(stream: &UnixStream) -> Self {
        let process = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
        process.and_then(|process| u32::try_from(process).ok()).map_or(Self::UNSEEN, Self::process)
    }

    /// Who listens on a socket. None: nobody does, or it cannot be told who.
    pub(super) async fn listening_at(socket: &Path) -> Option<Self> {
        // A gRPC server takes a connection that ends at once for a probe of its port.
        let stream = UnixStream::connect(socket).await.ok()?;
        Some(Self::of(&stream)).filter(|peer| *peer != Self::UNSEEN)
    }

    /// By its number.
    pub(super) fn process(number: u32) -> Self {
        Self(NonZeroU32::new(number))
    }

    /// Who made a request that came over a [`Connection`].
    pub(super) fn of_request<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().copied().unwrap_or(Self::UNSEEN)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// `is_write_vectored` stays at the trait's no.
impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
