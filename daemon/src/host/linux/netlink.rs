//! Netlink as a wire: a socket kept open between looks, dumps as the raw messages that came, and
//! the framing of messages and attributes. Knows no family.

use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLA_TYPE_MASK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NLMSG_OVERRUN, NlasIterator,
};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Size of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// The kernel fills dump replies of at most 32 KiB; twice that leaves no doubt.
const RECEIVE_BYTES: usize = 64 << 10;
/// The kernel answers a dump inside the call that asks for it, so a reply that is not there soon
/// never comes.
const ANSWER_SECS: i64 = 2;
/// How often a dump is asked anew when the kernel says that what it lists changed meanwhile. What
/// is still inconsistent then shows in the next look, which the same change brings about.
const DUMP_ATTEMPTS: usize = 3;

/// Why the kernel gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetlinkError {
    #[error("netlink failed: {} ({:?})", .0.desc(), .0)]
    System(#[from] Errno),
    #[error("the kernel sent a netlink message that is cut off")]
    CutOff,
}

/// A socket on which the kernel is asked.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: Cell<u32>,
}

impl Socket {
    pub(super) fn open(protocol: SockProtocol) -> Result<Self, Errno> {
        let fd = bound(protocol, 0, SockFlag::empty())?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_SECS))?;
        Ok(Self { fd, sequence: Cell::new(0) })
    }

    /// Asks for everything of a kind: the messages of the answer, one after the other as on the
    /// wire, without the one that ends them.
    pub(super) fn dump(&self, kind: u16, payload: &[u8]) -> Result<Vec<u8>, NetlinkError> {
        let mut answer = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            let interrupted;
            (answer, interrupted) = self.ask(kind, NLM_F_DUMP, payload)?;
            if !interrupted {
                break;
            }
        }
        Ok(answer)
    }

    /// Asks for one thing: the raw message of the answer.
    pub(super) fn get(&self, kind: u16, payload: &[u8]) -> Result<Vec<u8>, NetlinkError> {
        self.ask(kind, 0, payload).map(|(answer, _)| answer)
    }

    fn ask(&self, kind: u16, flags: u16, payload: &[u8]) -> Result<(Vec<u8>, bool), NetlinkError> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let request = message(kind, NLM_F_REQUEST | flags, sequence, payload);
        send(self.fd.as_raw_fd(), &request, MsgFlags::empty())?;
        let (mut answer, mut interrupted) = (Vec::new(), false);
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            let length = recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            for received in messages(buffer.get(..length).unwrap_or_default()) {
                let received = received?;
                if received.sequence != sequence {
                    // The rest of an answer that an earlier look gave up waiting for.
                    continue;
                }
                interrupted |= received.flags & NLM_F_DUMP_INTR != 0;
                match received.kind {
                    NLMSG_DONE => return Ok((answer, interrupted)),
                    NLMSG_ERROR | NLMSG_OVERRUN => {
                        let code =
                            received.payload.first_chunk().map_or(0, |c| i32::from_ne_bytes(*c));
                        return Err(Errno::from_raw(code.wrapping_neg()).into());
                    }
                    _ => answer.extend_from_slice(received.raw),
                }
                if flags & NLM_F_DUMP == 0 {
                    return Ok((answer, interrupted));
                }
            }
        }
    }
}

/// A socket that hears multicast groups; bit 0 of `groups` is group 1.
pub(super) fn listener(protocol: SockProtocol, groups: u32) -> Result<OwnedFd, Errno> {
    bound(protocol, groups, SockFlag::SOCK_NONBLOCK)
}

fn bound(protocol: SockProtocol, groups: u32, flags: SockFlag) -> Result<OwnedFd, Errno> {
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags | SockFlag::SOCK_CLOEXEC,
        Some(protocol),
    )?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// One message as received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    sequence: u32,
    pub(super) payload: &'a [u8],
    /// Header, payload and padding.
    raw: &'a [u8],
}

/// Takes messages apart; ends after the first that is cut off.
pub(super) fn messages(
    mut bytes: &[u8],
) -> impl Iterator<Item = Result<Message<'_>, NetlinkError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let first = first_message(bytes);
        bytes = match &first {
            Some(message) => bytes.get(message.raw.len()..).unwrap_or_default(),
            None => &[],
        };
        Some(first.ok_or(NetlinkError::CutOff))
    })
}

fn first_message(bytes: &[u8]) -> Option<Message<'_>> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk));
    let half = |at: usize| bytes.get(at..)?.first_chunk().map(|chunk| u16::from_ne_bytes(*chunk));
    let length = usize::try_from(word(0)?).ok()?;
    Some(Message {
        kind: half(4)?,
        flags: half(6)?,
        sequence: word(8)?,
        payload: bytes.get(HEADER_BYTES..length)?,
        raw: bytes.get(..length.next_multiple_of(4).min(bytes.len()))?,
    })
}

/// Attributes by type, nesting and byte-order bits taken off.
///
/// # Errors
/// An attribute that is longer than what holds it.
pub(super) fn attributes(bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, NetlinkError> {
    NlasIterator::new(bytes)
        .map(|attribute| {
            let attribute = attribute.map_err(|_| NetlinkError::CutOff)?;
            let header = netlink_packet_core::NLA_HEADER_SIZE;
            let length = usize::from(attribute.length());
            let value = attribute.into_inner().get(header..length).ok_or(NetlinkError::CutOff)?;
            Ok((attribute.kind() & NLA_TYPE_MASK, value))
        })
        .collect()
}

/// A string attribute; the kernel ends it with a NUL.
pub(super) fn string(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8(value.get(..end)?.to_vec()).ok()
}

/// A number attribute of four bytes.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

/// Builds one attribute.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length =
        u16::try_from(netlink_packet_core::NLA_HEADER_SIZE + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_attributes_come_apart_as_they_were_put_together() {
        let payload =
            [attribute(3, b"eth0\0"), attribute(38 | 0x8000, &7_u32.to_ne_bytes())].concat();
        let wire = [message(16, 2, 1, &payload), message(16, 2, 1, &[])].concat();
        let apart: Vec<_> = messages(&wire).collect::<Result<_, _>>().unwrap();
        assert_eq!(apart.len(), 2);
        let parts = attributes(apart[0].payload).unwrap();
        assert_eq!(string(parts[0].1).as_deref(), Some("eth0"));
        assert_eq!((parts[1].0, number(parts[1].1)), (38, Some(7)));
        assert!(apart[1].payload.is_empty());
    }

    #[test]
    fn what_is_cut_off_anywhere_is_an_error_and_never_a_panic() {
        let payload = [attribute(3, b"eth0\0"), attribute(38, &7_u32.to_ne_bytes())].concat();
        let wire = message(16, 2, 1, &payload);
        for end in 1..wire.len() {
            let last = messages(&wire[..end]).last().unwrap();
            assert!(last.is_err(), "{end}");
        }
        for end in 1..payload.len() {
            // Only the end of an attribute is a place where a list may end.
            assert_eq!(
                attributes(&payload[..end]).is_err(),
                ![9, 10, 11, 12].contains(&end),
                "{end}"
            );
        }
        for odd in [[0_u8; 16], [255; 16]] {
            assert!(messages(&odd).all(|message| message.is_err()));
            assert!(attributes(&odd).is_err());
        }
    }
}
