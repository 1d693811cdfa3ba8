//! Netlink as the project uses it: connections that stay open between looks, dumps as the raw
//! messages that came, and those messages apart again. Knows no family.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Debug;
use std::io;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use genetlink::GenetlinkHandle;
use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_ALIGNTO,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_generic::GenlMessage;
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use rtnetlink::proto::sys::SocketAddr;
use rtnetlink::proto::{self, Connection, ConnectionHandle};
use rtnetlink::sys::AsyncSocket;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use tokio_stream::{Stream, StreamExt as _};

use super::dumps::DumpSocket;
use super::ethtool::Ethtool;

/// The kernel answers a dump inside the call that asks for it, so a reply that is not there soon
/// never comes.
const ANSWER: Duration = Duration::from_secs(2);
/// How often a dump is asked anew when the kernel says that what it lists changed meanwhile. What
/// is still inconsistent then shows in the next look, which the same change brings about; where no look
/// comes after, see [`Answer::whole`].
const DUMP_ATTEMPTS: usize = 3;

/// Messages one after the other as on the wire, without the one that ends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// What it lists changed while it was listed: something may be missing, or in it twice.
    interrupted: bool,
}

impl Answer {
    /// The messages, where they are of one moment.
    pub(super) fn whole(self) -> Result<Vec<u8>> {
        if self.interrupted {
            bail!("what the kernel lists changed each of {DUMP_ATTEMPTS} times that it was listed");
        }
        Ok(self.bytes)
    }
}

/// A message of rtnetlink with its payload as it came. A connection of `RouteNetlinkMessage`, as
/// `rtnetlink::new_connection` makes it, leaves out what it cannot decode, and one attribute that
/// changed its size in another kernel is enough; an interface left out would read as absent.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) kind: u16,
    pub(super) payload: Vec<u8>,
}

impl From<RouteNetlinkMessage> for Raw {
    fn from(message: RouteNetlinkMessage) -> Self {
        let mut payload = vec![0; message.buffer_len()];
        message.serialize(&mut payload);
        Self { kind: message.message_type(), payload }
    }
}

impl From<Raw> for NetlinkPayload<Raw> {
    fn from(message: Raw) -> Self {
        Self::InnerMessage(message)
    }
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.payload.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.payload);
    }
}

impl NetlinkDeserializable for Raw {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type, payload: payload.to_vec() })
    }
}

/// The kernel's answers to dumps. Connections open at the first question, for that needs the runtime,
/// and anew after one that failed. They end with this value.
#[derive(Debug, Default)]
pub(super) struct Connections {
    route: RefCell<Option<ConnectionHandle<Raw>>>,
    generic: RefCell<Option<GenetlinkHandle>>,
}

impl Connections {
    pub(super) async fn route(&self, request: Raw) -> Result<Answer> {
        let open = || driven(proto::new_connection(NETLINK_ROUTE)?);
        consistent(&self.route, open, async |handle| {
            let answers = handle.request(dump(request.clone()), SocketAddr::new(0, 0));
            gather(answers.context("the connection closed")?.map(Ok)).await
        })
        .await
    }

    pub(super) async fn ethtool(&self, request: Ethtool) -> Result<Answer> {
        let open = || driven(genetlink::new_connection_with_socket::<DumpSocket>()?);
        consistent(&self.generic, open, async |mut handle| {
            let request = dump(GenlMessage::from_payload(request.clone()));
            gather(handle.request(request).await?).await
        })
        .await
    }

    /// The answer about one interface; empty where its driver does not know what is asked, or where it
    /// has gone.
    pub(super) async fn ethtool_of(&self, request: Ethtool) -> Result<Vec<u8>> {
        let open = || driven(genetlink::new_connection_with_socket::<DumpSocket>()?);
        let answer = consistent(&self.generic, open, async |mut handle| {
            let mut message = NetlinkMessage::from(GenlMessage::from_payload(request.clone()));
            message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
            match gather(handle.request(message).await?).await {
                Err(error) if has_none(&error) => {
                    Ok(Answer { bytes: Vec::new(), interrupted: false })
                }
                answer => answer,
            }
        })
        .await?;
        Ok(answer.bytes)
    }
}

/// Whether there is nothing to be told, rather than nothing told.
fn has_none(error: &anyhow::Error) -> bool {
    let errno = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    errno.is_some_and(|errno| [Errno::EOPNOTSUPP, Errno::ENODEV].contains(&Errno::from_raw(errno)))
}

/// Lets a connection work for as long as somebody has its handle.
fn driven<P, S, H, M>((mut connection, handle, _): (Connection<P, S>, H, M)) -> io::Result<H>
where
    P: NetlinkSerializable + NetlinkDeserializable + Debug + Send + Unpin + 'static,
    S: AsyncSocket + Send + 'static,
{
    connection.set_forward_done(true);
    connection.set_forward_ack(true);
    tokio::spawn(connection);
    Ok(handle)
}

fn dump<P: Into<NetlinkPayload<P>>>(request: P) -> NetlinkMessage<P> {
    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message
}

/// Asks until the answer is of one moment, or often enough.
async fn consistent<H: Clone>(
    connection: &RefCell<Option<H>>,
    open: impl Fn() -> io::Result<H>,
    ask: impl AsyncFn(H) -> Result<Answer>,
) -> Result<Answer> {
    let mut attempt = 1;
    loop {
        let handle = connection.take().map_or_else(&open, Ok).context("netlink failed")?;
        connection.replace(Some(handle.clone()));
        let answer = tokio::time::timeout(ANSWER, ask(handle)).await;
        match answer.context("the kernel gave no netlink answer").flatten() {
            Ok(answer) if answer.interrupted && attempt < DUMP_ATTEMPTS => attempt += 1,
            Ok(answer) => return Ok(answer),
            Err(error) => {
                connection.take();
                return Err(error.context("netlink failed"));
            }
        }
    }
}

/// One answer to its end.
async fn gather<P: NetlinkSerializable>(
    answers: impl Stream<Item = Result<NetlinkMessage<P>, DecodeError>>,
) -> Result<Answer> {
    let mut answers = pin!(answers);
    let (mut bytes, mut interrupted) = (Vec::new(), false);
    while let Some(message) = answers.next().await {
        let message = message?;
        interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match &message.payload {
            // What is no dump ends with an acknowledgement.
            NetlinkPayload::Error(error) if error.code.is_none() => {
                return Ok(Answer { bytes, interrupted: false });
            }
            NetlinkPayload::Error(error) => return Err(error.to_io().into()),
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(io::Error::from_raw_os_error(done.code.wrapping_neg()).into());
            }
            NetlinkPayload::Done(_) => return Ok(Answer { bytes, interrupted }),
            _ => append(&mut bytes, &message),
        }
    }
    bail!("the connection closed")
}

/// Messages begin at multiples of this.
const ALIGNMENT: usize = NLMSG_ALIGNTO as usize;

fn append<P: NetlinkSerializable>(bytes: &mut Vec<u8>, message: &NetlinkMessage<P>) {
    let start = bytes.len();
    bytes.resize(start + message.buffer_len().next_multiple_of(ALIGNMENT), 0);
    message.serialize(bytes.get_mut(start..).unwrap_or_default());
}

/// Takes an answer apart.
///
/// # Errors
/// One of its messages is cut off or does not decode.
pub(super) fn messages<P: NetlinkDeserializable>(mut answer: &[u8]) -> Result<Vec<P>, DecodeError> {
    let mut messages = Vec::new();
    while !answer.is_empty() {
        let message = NetlinkMessage::deserialize(answer)?;
        let length = usize::try_from(message.header.length)
            .map_or(answer.len(), |length| length.next_multiple_of(ALIGNMENT));
        if let NetlinkPayload::InnerMessage(inner) = message.payload {
            messages.push(inner);
        }
        answer = answer.get(length..).unwrap_or_default();
    }
    Ok(messages)
}

/// Writes messages as an answer holds them.
#[cfg(test)]
pub(super) fn answer<P>(inner: impl IntoIterator<Item = P>) -> Vec<u8>
where
    P: NetlinkSerializable + Into<NetlinkPayload<P>>,
{
    let mut bytes = Vec::new();
    for inner in inner {
        let mut message = NetlinkMessage::from(inner);
        message.finalize();
        append(&mut bytes, &message);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use netlink_packet_core::{DoneMessage, ErrorMessage};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn raw(payload: &[u8]) -> Raw {
        Raw { kind: 16, payload: payload.to_vec() }
    }

    fn done(code: i32) -> NetlinkMessage<Raw> {
        let mut done = DoneMessage::default();
        done.code = code;
        NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Done(done))
    }

    fn gathered(messages: Vec<NetlinkMessage<Raw>>) -> Result<Answer> {
        runtime().block_on(gather(tokio_stream::iter(messages.into_iter().map(|mut message| {
            message.finalize();
            Ok(message)
        }))))
    }

    #[test]
    fn an_answer_comes_apart_as_it_was_put_together() {
        let wire = answer([raw(b"four"), raw(b"odd"), raw(b"")]);
        let apart: Vec<Raw> = messages(&wire).unwrap();
        let payloads: Vec<&[u8]> = apart.iter().map(|message| &*message.payload).collect();
        assert_eq!(payloads, [&b"four"[..], b"odd", b""]);
        let live = [raw(b"four"), raw(b"odd"), raw(b"")].map(NetlinkMessage::from);
        let live = gathered(live.into_iter().chain([done(0)]).collect()).unwrap();
        assert_eq!(live.whole().unwrap(), wire, "recorded and live are the same bytes");
    }

    #[test]
    fn what_is_cut_off_anywhere_is_an_error_and_never_a_panic() {
        let wire = answer([raw(b"four"), raw(b"five")]);
        for end in (1..wire.len()).filter(|end| *end != wire.len() / 2) {
            assert!(messages::<Raw>(&wire[..end]).is_err(), "{end}");
        }
        for odd in [[0_u8; 16], [255; 16]] {
            assert!(messages::<Raw>(&odd).is_err());
        }
    }

    #[test]
    fn only_a_dump_that_ends_well_is_an_answer() {
        let one = || NetlinkMessage::from(raw(b"four"));
        let mut refusal = ErrorMessage::default();
        refusal.code = std::num::NonZeroI32::new(-1);
        let refusal = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Error(refusal));
        let cases = [
            (vec![one()], "connection closed"),
            (vec![one(), done(-95)], "not supported"),
            (vec![refusal], "not permitted"),
        ];
        for (messages, why) in cases {
            let refused = gathered(messages).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        let acknowledged = || {
            let ack = NetlinkPayload::Error(ErrorMessage::default());
            NetlinkMessage::new(NetlinkHeader::default(), ack)
        };
        let acknowledged = gathered(vec![one(), acknowledged()]).unwrap();
        assert_eq!(acknowledged.whole().unwrap(), answer([raw(b"four")]));
        let mut interrupted = one();
        interrupted.header.flags = NLM_F_DUMP_INTR;
        assert!(gathered(vec![interrupted, done(0)]).unwrap().interrupted);
    }

    #[test]
    fn an_interrupted_dump_is_asked_again_and_a_failed_connection_opened_again() {
        let opened = Cell::new(0);
        let open = || Ok(opened.replace(opened.get() + 1));
        let connection = RefCell::new(None);
        let answers = RefCell::new(vec![false, true]);
        let of = |byte, interrupted| Answer { bytes: vec![byte], interrupted };
        let ask = async |_| Ok(of(1, answers.borrow_mut().pop().unwrap()));
        let answer = runtime().block_on(consistent(&connection, open, ask));
        assert_eq!((answer.unwrap().whole().unwrap(), opened.get()), (vec![1], 1));
        let failing = async |_| bail!("the connection closed");
        let refused = runtime().block_on(consistent(&connection, open, failing)).unwrap_err();
        assert_eq!(format!("{refused:#}"), "netlink failed: the connection closed");
        let never_whole = async |_| Ok(of(2, true));
        let answer = runtime().block_on(consistent(&connection, open, never_whole)).unwrap();
        assert_eq!((&answer, opened.get()), (&of(2, true), 2));
        let refused = answer.whole().unwrap_err().to_string();
        assert!(refused.contains("changed each of 3 times"), "{refused}");
    }
}
