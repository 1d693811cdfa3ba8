//! Addresses in text, as people and programs write them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::pseudonyms::Mac;

/// An address that stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spelt {
    Mac(Mac),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Characters of six pairs and what is between them.
const MAC_CHARACTERS: usize = 17;

/// Every address in a text, in order.
pub(super) fn addresses(text: &[u8]) -> Vec<(Range<usize>, Spelt)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if !starts(text, at) {
            at += 1;
            continue;
        }
        if let Some((range, mac)) = pairs(text, at) {
            at = range.end;
            found.push((range, Spelt::Mac(mac)));
            continue;
        }
        let end = text.iter().skip(at).position(|byte| !is_part(*byte));
        let end = end.map_or(text.len(), |length| at + length);
        internet(text, at..end, &mut found);
        at = end.max(at + 1);
    }
    found
}

/// The text with some of its addresses written anew.
pub(super) fn replaced(text: &[u8], new: impl Fn(&Spelt) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    for (range, spelt) in addresses(text) {
        let Some(mut word) = new(&spelt) else { continue };
        let old = text.get(range.clone()).unwrap_or_default();
        if matches!(spelt, Spelt::Mac(_)) {
            word = alike(&word, old);
        }
        out.extend_from_slice(text.get(done..range.start).unwrap_or_default());
        out.extend_from_slice(word.as_bytes());
        done = range.end;
    }
    out.extend_from_slice(text.get(done..).unwrap_or_default());
    out
}

/// Writes hardware addresses in bytes that keep their length anew.
pub(super) fn replace_macs(bytes: &mut [u8], new: impl Fn(Mac) -> Option<Mac>) {
    for (range, spelt) in addresses(bytes) {
        let Spelt::Mac(mac) = spelt else { continue };
        if let (Some(mac), Some(place)) = (new(mac), bytes.get_mut(range)) {
            let word = alike(&super::pseudonyms::octets(mac), place);
            place.copy_from_slice(word.as_bytes());
        }
    }
}

/// What is written like an address of version 4 in a text that is a version.
pub(super) fn in_versions(text: &str) -> Vec<Ipv4Addr> {
    let parts = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    parts.filter_map(|part| part.trim_matches('.').parse().ok()).collect()
}

/// Whether a word may start here: nothing of a word stands before.
fn starts(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    text.get(at).is_some_and(|byte| byte.is_ascii_hexdigit() || *byte == b':')
        && !before
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.' || *byte == b':')
}

fn ends(text: &[u8], at: usize) -> bool {
    !text.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

/// Pairs of digits joined by colons or dashes, six or more: of a longer one, such as an identifier of
/// DHCP, the last six are the address.
fn pairs(text: &[u8], start: usize) -> Option<(Range<usize>, Mac)> {
    let pair = |at: usize| {
        let [high, low] = [text.get(at)?, text.get(at + 1)?].map(|c| char::from(*c).to_digit(16));
        u8::try_from(high? * 16 + low?).ok()
    };
    let joint = *text.get(start + 2)?;
    if joint != b':' && joint != b'-' {
        return None;
    }
    let mut octets = vec![pair(start)?];
    let mut at = start + 2;
    while text.get(at) == Some(&joint) {
        let Some(octet) = pair(at + 1) else { break };
        octets.push(octet);
        at += 3;
    }
    let mac = Mac::try_from(octets.last_chunk::<6>()?.as_slice()).ok()?;
    ends(text, at).then_some((at - MAC_CHARACTERS..at, mac))
}

/// Addresses of the internet in a run of what they consist of: one of version 6, or some of version 4
/// with colons between, as the kernel's command line has them (`ip=`).
fn internet(text: &[u8], run: Range<usize>, found: &mut Vec<(Range<usize>, Spelt)>) {
    let word = |range: &Range<usize>| std::str::from_utf8(text.get(range.clone())?).ok();
    let Some(all) = word(&run) else { return };
    if all.matches(':').count() >= 2 && ends(text, run.end) {
        // A sentence may end behind it, or a list go on.
        let mut short = all.trim_end_matches('.');
        if short.ends_with(':') && !short.ends_with("::") {
            short = short.trim_end_matches(':');
        }
        if let Ok(address) = short.parse() {
            found.push((run.start..run.start + short.len(), Spelt::V6(address)));
            return;
        }
    }
    let mut at = run.start;
    for part in all.split(':') {
        let range = at..at + part.trim_end_matches('.').len();
        at += part.len() + 1;
        if let Some(Ok(address)) = word(&range).map(str::parse)
            && ends(text, range.end)
        {
            found.push((range, Spelt::V4(address)));
        }
    }
}

/// The pairs in the letters and with the joints of what was there.
fn alike(new: &str, old: &[u8]) -> String {
    let new = if old.contains(&b'-') { new.replace(':', "-") } else { new.to_owned() };
    if old.iter().any(u8::is_ascii_uppercase) { new.to_ascii_uppercase() } else { new }
}
