//! The streams of lists of one server, counted, so that the offer knows whether a kubelet listens.

use std::sync::Arc;

use tokio::sync::watch;

/// Streams of one server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streams {
    opened: u64,
    ended: u64,
}

impl Streams {
    /// Whether a kubelet has asked for the list and been sent it.
    pub(super) fn begun(self) -> bool {
        self.opened > 0
    }

    /// Whether a stream has ended. The kubelet takes that for the death of all devices and never
    /// dials again (reference/kubelet-api.md section 4), whatever other streams there are.
    pub(super) fn broken(self) -> bool {
        self.ended > 0
    }
}

/// Where the streams of a server are counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Link(Arc<watch::Sender<Streams>>);

impl Link {
    /// Follows the count.
    pub(super) fn watch(&self) -> watch::Receiver<Streams> {
        self.0.subscribe()
    }

    /// Counts a stream in, and out again when the result is dropped.
    pub(super) fn open(&self) -> OpenStream {
        self.0.send_modify(|streams| streams.opened += 1);
        OpenStream(self.clone())
    }
}

/// A stream that has been sent the list.
#[derive(Debug)]
pub(super) struct OpenStream(Link);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.send_modify(|streams| streams.ended += 1);
    }
}
