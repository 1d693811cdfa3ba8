//! Netlink as this program uses it: one request at a time, each with the kernel's answer to it.

use std::fmt;
use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_REQUEST, NLMSG_ALIGNTO, NLMSG_ERROR,
};
use nix::errno::Errno;
use rtnetlink::sys::{Socket, SocketAddr};

use super::attribute::{find, text};

/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `NLMSGERR_ATTR_MSG`.
const SAID: u16 = 1;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The kernel's answer; none where it was not asked.
    pub(super) errno: Option<Errno>,
    why: String,
}

impl Refused {
    /// Not by the kernel.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { errno: None, why: why.into() }
    }

    /// By the kernel.
    pub(super) fn by(errno: Errno) -> Self {
        Self { errno: Some(errno), why: errno.desc().to_owned() }
    }

    pub(super) fn is(&self, errno: Errno) -> bool {
        self.errno == Some(errno)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::by(Errno::from_raw(number)),
            None => Self::new(error.to_string()),
        }
    }
}

/// A socket to the kernel.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// One message of an answer.
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl Netlink {
    /// Opens one for a protocol of netlink.
    pub(super) fn open(protocol: isize) -> Result<Self, Refused> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        // The kernel's words, and not the request with them. Without, there is the number of the error.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        Ok(Self { socket, sequence: 0 })
    }

    /// Has one request done; what came before the kernel's word that it was.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(super) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        payload: &[u8],
    ) -> Result<Vec<Vec<u8>>, Refused> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER_BYTES + payload.len())
            .map_err(|_| Refused::new("the request is too long"))?;
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut request = length.to_ne_bytes().to_vec();
        request.extend(kind.to_ne_bytes());
        request.extend(flags.to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend([0; 4]);
        request.extend(payload);
        self.socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
        let mut answers = Vec::new();
        loop {
            // The kernel answers inside the call that asks.
            let (datagram, _) = self.socket.recv_from_full()?;
            for message in messages(&datagram) {
                if message.sequence != self.sequence {
                    continue;
                }
                if message.kind != NLMSG_ERROR {
                    answers.push(message.payload.to_vec());
                    continue;
                }
                return refusal(&message).map_or(Ok(answers), Err);
            }
        }
    }
}

fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.first_chunk::<HEADER_BYTES>()?;
        let word = |at: usize| header.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
        let half = |at: usize| header.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes);
        let length = usize::try_from(word(0)?).ok()?;
        let payload = datagram.get(HEADER_BYTES..length)?;
        let next = length.next_multiple_of(usize::from(NLMSG_ALIGNTO));
        datagram = datagram.get(next..).unwrap_or_default();
        Some(Message { kind: half(4)?, flags: half(6)?, sequence: word(8)?, payload })
    })
}

/// What an answer of the kernel refuses with; none where it is that all went well.
fn refusal(message: &Message<'_>) -> Option<Refused> {
    let code = message.payload.get(..4).and_then(|code| code.try_into().ok());
    let Some(code) = code.map(i32::from_ne_bytes) else {
        return Some(Refused::new("the kernel's answer is cut off"));
    };
    if code == 0 {
        return None;
    }
    let errno = Errno::from_raw(code.wrapping_neg());
    let mut refused = Refused::by(errno);
    // Behind the code: the request's header, all of the request unless it is left out, the words.
    if message.flags & (NLM_F_ACK_TLVS | NLM_F_CAPPED) == NLM_F_ACK_TLVS | NLM_F_CAPPED {
        let behind = message.payload.get(4 + HEADER_BYTES..).unwrap_or_default();
        if let Some(words) = find(behind, SAID) {
            refused.why = format!("{} ({})", text(words).trim_end_matches('.'), errno.desc());
        }
    }
    Some(refused)
}

#[cfg(test)]
mod tests {
    use super::super::attribute::Attributes;
    use super::*;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER_BYTES + payload.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([5, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn refused(flags: u16, payload: &[u8]) -> Option<Refused> {
        refusal(&messages(&message(NLMSG_ERROR, flags, payload)).next().unwrap())
    }

    #[test]
    fn the_kernels_words_are_told_where_it_has_any() {
        let words = Attributes::default().with_text(SAID, "Name is taken.");
        let answer = [&(-17_i32).to_ne_bytes()[..], &[0; HEADER_BYTES], words.bytes()].concat();
        let both = NLM_F_ACK_TLVS | NLM_F_CAPPED;
        let full = refused(both, &answer).unwrap();
        assert_eq!((full.to_string().as_str(), full.is(Errno::EEXIST)), {
            ("Name is taken (File exists)", true)
        });
        assert_eq!(refused(NLM_F_CAPPED, &answer), Some(Refused::by(Errno::EEXIST)));
        assert_eq!(refused(both, &[0; 20]), None);
        assert!(refused(0, &[1]).unwrap().to_string().contains("cut off"));
    }

    #[test]
    fn messages_of_one_datagram_come_apart_and_one_that_is_cut_off_ends_them() {
        let datagram = [message(16, 0, b"four"), message(2, 0, b"odd")].concat();
        let found: Vec<_> = messages(&datagram).map(|one| (one.kind, one.payload)).collect();
        assert_eq!(found, [(16, &b"four"[..]), (2, b"odd")]);
        for end in 0..20 {
            assert_eq!(messages(&datagram[..end]).count(), 0, "{end}");
        }
        assert_eq!(messages(&[0; 16]).count(), 0, "a length below the header's");
    }
}
