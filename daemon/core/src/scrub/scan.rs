//! Addresses in text, as people and programs write them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::pseudonyms::Mac;

/// An address that stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spelt {
    Mac(Mac),
    /// The identity of a PTP clock that is made of one.
    Clock(Mac),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Characters of six pairs and what is between them.
const MAC_CHARACTERS: usize = 17;
/// What the log of a packet filter has before the head of a frame: both addresses and the type, joined alike.
const FRAME: &[u8] = b"MAC=";
/// Octets of both.
const BOTH: usize = 12;
/// How identities of clocks are written, a digit for each x: by pmc and ptp4l, and by sfptpd
/// (reference/sfptpd.md section 4).
const IDENTITIES: [&[u8]; 2] = [b"xxxxxx.fffe.xxxxxx", b"xxxx:xxff:fexx:xxxx"];

/// Every address in a text, in order.
pub(super) fn addresses(text: &[u8]) -> Vec<(Range<usize>, Spelt)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().take_while(|byte| is_part(**byte)).count();
        let end = at + length;
        // What a colon joins to a word stands by itself: `addr:10.0.0.1`.
        let start = match rest.iter().take(length).position(|byte| *byte == b':') {
            _ if !in_word(text, at) => at,
            Some(colon) => at + colon + 1,
            None => end,
        };
        let macs = pairs(text, start);
        at = match macs.last() {
            Some((range, _)) => range.end,
            None => {
                internet(text, start..end, &mut found);
                end.max(at + 1)
            }
        };
        found.extend(macs.into_iter().map(|(range, mac)| (range, Spelt::Mac(mac))));
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
        match spelt {
            Spelt::Mac(_) => word = alike(&word, old),
            Spelt::Clock(_) => word = identity_alike(&word, old),
            Spelt::V4(_) | Spelt::V6(_) => {}
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

/// Whether a word goes on here. What stands behind a line feed or tab as JSON has them begins one.
fn in_word(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let is_escape = [&b"\\n"[..], b"\\r", b"\\t"].iter().any(|escape| before.ends_with(escape));
    !is_escape && before.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn ends(text: &[u8], at: usize) -> bool {
    !text.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

/// Pairs of digits joined by colons or dashes, six or more: of a longer one, such as an identifier of
/// DHCP, the last six are the address; the head of a frame begins with two.
fn pairs(text: &[u8], start: usize) -> Vec<(Range<usize>, Mac)> {
    let pair = |at: usize| {
        let [high, low] = [text.get(at)?, text.get(at + 1)?].map(|c| char::from(*c).to_digit(16));
        u8::try_from(high? * 16 + low?).ok()
    };
    let (Some(first), Some(joint @ (b':' | b'-'))) = (pair(start), text.get(start + 2)) else {
        return Vec::new();
    };
    let mut octets = vec![first];
    let mut at = start + 2;
    while text.get(at) == Some(joint) {
        let Some(octet) = pair(at + 1) else { break };
        octets.push(octet);
        at += 3;
    }
    if !ends(text, at) {
        return Vec::new();
    }
    let is_frame = text.get(..start).is_some_and(|before| before.ends_with(FRAME));
    let firsts = match octets.len().checked_sub(6) {
        Some(_) if is_frame && octets.len() >= BOTH => vec![0, 6],
        Some(last) => vec![last],
        None => Vec::new(),
    };
    let mac = |first: usize| {
        let mac = Mac::try_from(octets.get(first..first + 6)?).ok()?;
        let start = start + first * 3;
        Some((start..start + MAC_CHARACTERS, mac))
    };
    firsts.into_iter().filter_map(mac).collect()
}

/// The identity of a clock that begins there, in either form.
fn identity(text: &[u8], start: usize) -> Option<(Range<usize>, Mac)> {
    IDENTITIES.iter().find_map(|form| {
        let end = start + form.len();
        let there = text.get(start..end)?;
        let fits = |(byte, form): (&u8, &u8)| match form {
            b'x' => byte.is_ascii_hexdigit(),
            form => byte.eq_ignore_ascii_case(form),
        };
        let is_whole =
            !text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b':');
        (is_whole && there.iter().zip(*form).all(fits)).then(|| {
            let digits = there.iter().zip(*form).filter(|(_, form)| **form == b'x');
            let number = digits.fold(0, |number: u64, (byte, _)| {
                number << 4 | u64::from(char::from(*byte).to_digit(16).unwrap_or_default())
            });
            let [_, _, mac @ ..] = number.to_be_bytes();
            (start..end, mac)
        })
    })
}

/// The six pairs in the form of an identity.
fn identity_alike(mac: &str, old: &[u8]) -> String {
    let mut digits = mac.chars().filter(char::is_ascii_hexdigit);
    let form = IDENTITIES.iter().find(|form| form.len() == old.len()).copied().unwrap_or_default();
    let new: String = form
        .iter()
        .filter_map(|byte| if *byte == b'x' { digits.next() } else { Some(char::from(*byte)) })
        .collect();
    if old.iter().any(u8::is_ascii_uppercase) { new.to_ascii_uppercase() } else { new }
}

/// Addresses of the internet in a run of what they consist of: one of version 6, or some of version 4
/// with colons between, as the kernel's command line has them (`ip=`).
fn internet(text: &[u8], run: Range<usize>, found: &mut Vec<(Range<usize>, Spelt)>) {
    if let Some((range, mac)) = identity(text, run.start) {
        found.push((range, Spelt::Clock(mac)));
        return;
    }
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
