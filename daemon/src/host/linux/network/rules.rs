//! Rules of routing that name an interface, as they can be added again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_core::{DecodeError, parse_string, parse_u32};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::rule::RuleMessage;
use nix::libc::RTM_NEWRULE;
use onload_core::network::{Raw, Rule};
use onload_core::reading::Reading;

use super::super::addresses::ip;
use super::super::netlink;
use super::wire::{apart, attributes, each, put_with};

/// Length of `struct fib_rule_hdr`: family, two prefix lengths, TOS, table, two spare, action, flags.
const HEADER_BYTES: usize = 12;
/// `FIB_RULE_UNRESOLVED`, `_IIF_DETACHED` and `_OIF_DETACHED` of `linux/fib_rules.h`: what the kernel
/// found of the rule's target and interfaces.
const FOUND_OUT: u32 = 0x4 | 0x8 | 0x10;
/// `FRA_*` of `linux/fib_rules.h`.
const TO: u16 = 1;
const FROM: u16 = 2;
const BY: u16 = 3;
const TARGET: u16 = 4;
const PRIORITY: u16 = 6;
const MARK: u16 = 10;
const TABLE: u16 = 15;
const OUT_BY: u16 = 17;
/// `FR_ACT_*` of `linux/fib_rules.h` but the one that looks a table up.
const ACTIONS: [(u8, &str); 5] =
    [(2, "goto"), (3, "nop"), (6, "blackhole"), (7, "unreachable"), (8, "prohibit")];

/// Asks for every rule of every family.
pub(in super::super) fn request() -> netlink::Raw {
    RouteNetlinkMessage::GetRule(RuleMessage::default()).into()
}

pub(super) fn parse(answer: &[u8]) -> Reading<BTreeSet<Rule>> {
    each(answer, RTM_NEWRULE, rule).map(BTreeSet::from_iter)
}

fn rule(payload: &[u8]) -> Result<Option<Rule>, DecodeError> {
    let (header, list) = apart::<HEADER_BYTES>(payload)?;
    let [family, to_bits, from_bits, tos, table, spare, other, action, a, b, c, d] = *header;
    let flags = u32::from_ne_bytes([a, b, c, d]) & !FOUND_OUT;
    let mut message = vec![family, to_bits, from_bits, tos, table, spare, other, action];
    message.extend(flags.to_ne_bytes());
    let mut names = BTreeSet::new();
    let (mut to, mut from, mut priority, mut target) = (None, None, 0, None);
    let (mut matched, mut table) = (Vec::new(), u32::from(table));
    for attribute in attributes(list) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            kind @ (BY | OUT_BY) => {
                let name = parse_string(value)?;
                matched.push(format!("{} {name}", if kind == BY { "iif" } else { "oif" }));
                names.extend(name.parse());
            }
            TO => to = ip(family, value),
            FROM => from = ip(family, value),
            PRIORITY => priority = parse_u32(value)?,
            MARK => matched.push(format!("fwmark {:#x}", parse_u32(value)?)),
            TARGET => target = Some(parse_u32(value)?),
            TABLE => table = parse_u32(value)?,
            _ => {}
        }
        put_with(&mut message, &attribute, value);
    }
    if names.is_empty() {
        return Ok(None);
    }
    let with_length = |address: IpAddr, bits| format!("{address}/{bits}");
    let mut words = vec![format!("{priority}:")];
    let from = from.map_or("all".to_owned(), |address| with_length(address, from_bits));
    words.push(format!("from {from}"));
    words.extend(to.map(|address| format!("to {}", with_length(address, to_bits))));
    words.extend((tos != 0).then(|| format!("tos {tos:#x}")));
    words.extend(matched);
    words.push(match ACTIONS.iter().find(|(number, _)| *number == action) {
        Some((_, action)) => (*action).to_owned(),
        None => format!("lookup {table}"),
    });
    words.extend(target.map(|target| target.to_string()));
    Ok(Some(Rule { shown: words.join(" "), names, message: Raw(message) }))
}
