//! The streams of lists of one server, counted by who reads them, so that the offer knows whether a
//! kubelet listens. Strangers may listen too; what they do says nothing of the kubelet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use super::connection::Peer;

/// Most processes that are taken for kubelets at a time. One is there; a second while it restarts.
/// Where more have called themselves one, it cannot be told any more.
const MOST_KUBELETS: usize = 16;

/// Streams of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    by: BTreeMap<Peer, Count>,
    kubelets: Kubelets,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    opened: u64,
    ended: u64,
}

/// Whose streams count.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kubelets {
    /// Everybody's: which process is the kubelet cannot be told.
    Anyone,
    /// Those of these processes.
    These(BTreeSet<Peer>),
}

impl Default for Kubelets {
    /// Nobody's: no kubelet knows the socket yet.
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Kubelets {
    fn include(&self, peer: Peer) -> bool {
        match self {
            Self::Anyone => true,
            Self::These(known) => known.contains(&peer),
        }
    }
}

impl Streams {
    /// Whether a kubelet has asked for the list and been sent it.
    pub(super) fn begun(&self) -> bool {
        self.kubelets().any(|count| count.opened > 0)
    }

    /// Whether a kubelet's stream has ended. It takes that for the death of all devices and never
    /// dials again (reference/kubelet-api.md section 4), whatever other streams there are.
    pub(super) fn broken(&self) -> bool {
        self.kubelets().any(|count| count.ended > 0)
    }

    fn kubelets(&self) -> impl Iterator<Item = &Count> {
        self.by.iter().filter(|(peer, _)| self.kubelets.include(**peer)).map(|(_, count)| count)
    }

    fn opened(&mut self, peer: Peer) {
        self.by.entry(peer).or_default().opened += 1;
    }

    fn ended(&mut self, peer: Peer) {
        if let Some(count) = self.by.get_mut(&peer) {
            count.ended += 1;
            // Strangers come in any number.
            if count.ended == count.opened && !self.kubelets.include(peer) {
                self.by.remove(&peer);
            }
        }
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

    /// A kubelet is about to come, and which process it is is not known yet.
    pub(super) fn kubelet_may_come(&self) {
        self.0.send_modify(|streams| streams.kubelets = Kubelets::Anyone);
    }

    /// This is the kubelet; whoever else listens is not.
    pub(super) fn kubelet_is(&self, peer: Peer) {
        let known = Kubelets::These(BTreeSet::from([peer]));
        self.0.send_modify(|streams| streams.kubelets = known);
    }

    /// This one calls as a kubelet does, as others may have.
    pub(super) fn kubelet_called(&self, peer: Peer) {
        self.0.send_if_modified(|streams| {
            let Kubelets::These(known) = &mut streams.kubelets else { return false };
            let is_new = known.insert(peer);
            if known.len() > MOST_KUBELETS {
                streams.kubelets = Kubelets::Anyone;
            }
            is_new
        });
    }

    /// Counts a stream in, and out again when the result is dropped.
    pub(super) fn open(&self, peer: Peer) -> OpenStream {
        self.0.send_modify(|streams| streams.opened(peer));
        OpenStream(self.clone(), peer)
    }
}

/// A stream that has been sent the list.
#[derive(Debug)]
pub(super) struct OpenStream(Link, Peer);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.send_modify(|streams| streams.ended(self.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(link: &Link) -> (bool, bool) {
        let streams = link.watch().borrow().clone();
        (streams.begun(), streams.broken())
    }

    #[test]
    fn only_the_kubelets_own_streams_count() {
        let (kubelet, stranger) = (Peer::process(7), Peer::process(8));
        let link = Link::default();
        // Before any kubelet knows the socket.
        drop(link.open(stranger));
        let lasting = link.open(stranger);
        assert_eq!(state(&link), (false, false));
        link.kubelet_may_come();
        let stream = link.open(kubelet);
        link.kubelet_is(kubelet);
        drop(link.open(stranger));
        drop(lasting);
        assert_eq!(state(&link), (true, false));
        assert_eq!(link.watch().borrow().by.len(), 1, "strangers that have gone are forgotten");
        drop(stream);
        assert_eq!(state(&link), (true, true));
    }

    #[test]
    fn a_kubelet_that_cannot_be_told_is_anyone() {
        let link = Link::default();
        link.kubelet_may_come();
        let stream = link.open(Peer::process(8));
        assert_eq!(state(&link), (true, false));
        drop(stream);
        assert_eq!(state(&link), (true, true));

        // Those who cannot be seen are all alike.
        let link = Link::default();
        link.kubelet_called(Peer::UNSEEN);
        drop(link.open(Peer::process(8)));
        assert_eq!(state(&link), (false, false));
        drop(link.open(Peer::UNSEEN));
        assert_eq!(state(&link), (true, true));
    }

    #[test]
    fn whoever_calls_as_a_kubelet_may_be_one_up_to_a_number() {
        let link = Link::default();
        for process in 1..=16 {
            link.kubelet_called(Peer::process(process));
        }
        drop(link.open(Peer::process(99)));
        assert_eq!(state(&link), (false, false));
        drop(link.open(Peer::process(16)));
        assert_eq!(state(&link), (true, true));

        let link = Link::default();
        for process in 1..=17 {
            link.kubelet_called(Peer::process(process));
        }
        drop(link.open(Peer::process(99)));
        assert_eq!(state(&link), (true, true));
    }
}
