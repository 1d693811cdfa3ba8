//! A netlink socket on which every answer is part of a dump.
//!
//! Since Linux 6.14 ethtool's dump of time stamping does not mark its messages with
//! `NLM_F_MULTI` (seen on 6.18; the dumps of other commands do). A reader that goes by the mark, as
//! netlink-proto does, takes the first for the whole answer, and no clock of any port is known.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use netlink_packet_core::{NLM_F_MULTIPART, NLMSG_ALIGNTO};
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr, TokioSocket};

/// `GENL_ID_CTRL`: types up to here are control messages, or of the family that tells the number of
/// another family, which is asked about one at a time.
const CONTROL: u16 = 16;
/// Length, type and flags are what a message begins with, and sequence and port number follow.
const HEADER_BYTES: usize = 16;

/// The socket. For generic netlink, and for nothing asked of a family but dumps and what is to be
/// acknowledged: both have an end of their own.
pub(super) struct DumpSocket(TokioSocket);

/// Marks every message of a datagram that is part of a dump.
fn mark(mut datagram: &mut [u8]) {
    while datagram.len() >= HEADER_BYTES {
        let [a, b, c, d, kind_a, kind_b, flags_a, flags_b, ..] = *datagram else { return };
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        if u16::from_ne_bytes([kind_a, kind_b]) > CONTROL {
            let flags = u16::from_ne_bytes([flags_a, flags_b]) | NLM_F_MULTIPART;
            if let Some(place) = datagram.get_mut(6..8) {
                place.copy_from_slice(&flags.to_ne_bytes());
            }
        }
        // A length below the header's would not get us on; whoever decodes it says so.
        let next = length.max(HEADER_BYTES).next_multiple_of(NLMSG_ALIGNTO as usize);
        datagram = datagram.get_mut(next..).unwrap_or_default();
    }
}

impl AsyncSocket for DumpSocket {
    fn socket_ref(&self) -> &Socket {
        self.0.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.0.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        TokioSocket::new(protocol).map(Self)
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, buf)
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        addr: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, buf, addr)
    }

    fn poll_recv<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<()>> {
        self.poll_recv_from(cx, buf).map_ok(|_| ())
    }

    fn poll_recv_from<B: BufMut>(
        &self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        let (datagram, from) = ready!(self.poll_recv_from_full(cx))?;
        if datagram.len() > buf.remaining_mut() {
            return Poll::Ready(Err(io::Error::other("a netlink answer is longer than its place")));
        }
        buf.put_slice(&datagram);
        Poll::Ready(Ok(from))
    }

    fn poll_recv_from_full(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        let (mut datagram, from) = ready!(self.0.poll_recv_from_full(cx))?;
        mark(&mut datagram);
        Poll::Ready(Ok((datagram, from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER_BYTES + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn every_message_of_a_family_is_marked_and_no_control_message() {
        let datagram = |flags| {
            [
                message(21, flags, b"lo"),
                message(21, flags | 0x10, b"eth0!"),
                message(CONTROL, 0, b"ethtool"),
                message(3, 0, &[0; 4]),
            ]
            .concat()
        };
        let mut marked = datagram(0);
        mark(&mut marked);
        assert_eq!(marked, datagram(NLM_F_MULTIPART));
        mark(&mut marked);
        assert_eq!(marked, datagram(NLM_F_MULTIPART), "what is marked stays as it is");
    }

    #[test]
    fn what_is_cut_off_is_no_panic() {
        let whole = message(21, 0, b"eth0");
        for end in 0..whole.len() {
            mark(&mut whole[..end].to_vec());
        }
        mark(&mut [0; 64]);
        mark(&mut [255; 64]);
    }
}
