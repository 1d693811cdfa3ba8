//! Root queueing disciplines that somebody chose.

use std::collections::BTreeMap;

use netlink_packet_core::{DecodeError, parse_string};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::TcMessage;
use nix::libc::{RTM_NEWQDISC, TCA_KIND};
use onload_core::reading::Reading;

use super::super::netlink::Raw;
use super::wire::{apart, attributes, each};

/// Length of `struct tcmsg`: family, index, handle, parent, something else.
const HEADER_BYTES: usize = 20;
/// `TC_H_ROOT` of `linux/pkt_sched.h`.
const ROOT: u32 = u32::MAX;
/// `TC_H_MAJ_MASK` of `linux/pkt_sched.h`: those that the kernel chooses have no number of their own.
const MAJOR: u32 = 0xffff_0000;

/// Asks for every queueing discipline.
pub(in super::super) fn request() -> Raw {
    RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()).into()
}

/// Kinds by number of the link.
pub(super) fn parse(answer: &[u8]) -> Reading<BTreeMap<u32, String>> {
    each(answer, RTM_NEWQDISC, root).map(BTreeMap::from_iter)
}

fn root(payload: &[u8]) -> Result<Option<(u32, String)>, DecodeError> {
    let (header, list) = apart::<HEADER_BYTES>(payload)?;
    let (words, _) = header.as_chunks::<4>();
    let [_, index, handle, parent, _] = *words else {
        return Err(DecodeError::from("a queueing discipline is cut off"));
    };
    let is_root = u32::from_ne_bytes(parent) == ROOT;
    let chosen = u32::from_ne_bytes(handle) & MAJOR != 0;
    for attribute in attributes(list) {
        let attribute = attribute?;
        if attribute.kind() == TCA_KIND && is_root && chosen {
            let kind = parse_string(attribute.value())?;
            return Ok(Some((u32::from_ne_bytes(index), kind)));
        }
    }
    Ok(None)
}
