//! Root queueing disciplines that somebody chose, and those that only hold filters.

use std::collections::{BTreeMap, BTreeSet};

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
/// Those that queue nothing: filters of what comes in, or of both ways, are attached to them.
const FOR_FILTERS: [&str; 2] = ["ingress", "clsact"];

/// What somebody chose, by number of the link.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Qdiscs {
    /// Kinds at the root.
    pub(super) roots: BTreeMap<u32, String>,
    /// Links that filter.
    pub(super) filtering: BTreeSet<u32>,
}

/// Asks for every queueing discipline.
pub(in super::super) fn request() -> Raw {
    RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()).into()
}

pub(super) fn parse(answer: &[u8]) -> Reading<Qdiscs> {
    each(answer, RTM_NEWQDISC, one).map(|all| {
        let mut qdiscs = Qdiscs::default();
        for (index, at_root, kind) in all {
            if FOR_FILTERS.contains(&kind.as_str()) {
                qdiscs.filtering.insert(index);
            } else if at_root {
                qdiscs.roots.insert(index, kind);
            }
        }
        qdiscs
    })
}

/// One that somebody chose: its link, whether it is the root, its kind.
fn one(payload: &[u8]) -> Result<Option<(u32, bool, String)>, DecodeError> {
    let (header, list) = apart::<HEADER_BYTES>(payload)?;
    let (words, _) = header.as_chunks::<4>();
    let [_, index, handle, parent, _] = *words else {
        return Err(DecodeError::from("a queueing discipline is cut off"));
    };
    let is_root = u32::from_ne_bytes(parent) == ROOT;
    let chosen = u32::from_ne_bytes(handle) & MAJOR != 0;
    for attribute in attributes(list) {
        let attribute = attribute?;
        if attribute.kind() == TCA_KIND && chosen {
            let kind = parse_string(attribute.value())?;
            return Ok(Some((u32::from_ne_bytes(index), is_root, kind)));
        }
    }
    Ok(None)
}
