//! What a capture must not tell, taken out of it: secrets, and pseudonyms for what identifies a machine,
//! its network and its people. Two passes: [`Found`] learns from every file what there is, and
//! the [`Mapping`] of that gives equal things equal pseudonyms in all of them. Nothing here is drawn by
//! lot: pseudonyms are numbered in the order of what they stand for, so that the same files always give
//! the same capture, and a capture scrubbed again stays as it is.
//!
//! Text may change its length, and so may whatever is not known to be anything else. Known binary forms keep
//! theirs, so that what points into them still does: netlink messages, variables of the firmware,
//! strings of a library.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use self::hex::Ids;
use self::nature::Nature;
use self::netlink::Attribute;
use self::pseudonyms::{Addresses, Mac};
use self::scan::Spelt;
use self::words::{Kind, Words};
use crate::ledger;

mod hex;
mod learn;
mod nature;
mod netlink;
mod pseudonyms;
mod scan;
mod secrets;
#[cfg(test)]
mod tests;
mod words;

/// What is done with addresses of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// They get pseudonyms.
    Map,
    /// They stay, for who looks into the network itself.
    Keep,
}

/// What identifies somebody or something, as far as it was met.
#[derive(Clone, Debug, Default)]
pub struct Found {
    macs: BTreeSet<Mac>,
    v4: BTreeSet<Ipv4Addr>,
    v6: BTreeSet<Ipv6Addr>,
    /// Met where nothing but an address can stand.
    certain: BTreeSet<Ipv4Addr>,
    /// What is written like an address and is a version.
    versions: BTreeSet<Ipv4Addr>,
    ids: Ids,
    words: Words,
}

/// What stands for what.
#[derive(Clone, Debug)]
pub struct Mapping {
    addresses: Option<Addresses>,
    ids: Ids,
    words: Words,
}

impl Found {
    /// Takes note of the name that the machine goes by.
    pub fn host(&mut self, name: &str) {
        // The identity of a clock has its own pseudonym; as words its parts would take that apart.
        let found = scan::addresses(name.trim().as_bytes());
        let is_clock = |(range, spelt): &(_, Spelt)| {
            matches!((range, spelt), (std::ops::Range { start: 0, .. }, Spelt::Clock(_)))
        };
        if !found.first().is_some_and(is_clock) {
            self.words.add_host(name);
        }
    }

    /// Takes note of what is a version, though it may be written like an address.
    pub fn version(&mut self, text: &str) {
        self.versions.extend(scan::in_versions(text));
    }

    /// Takes note of what identifies in a file, whose path says what it holds.
    pub fn learn(&mut self, path: &str, content: &[u8]) {
        self.learn_path(path);
        match Nature::of(path, content) {
            Nature::Text | Nature::Odd => self.learn_text(path, &secrets::without(content)),
            Nature::Netlink => netlink::visit(&mut content.to_vec(), |attribute, value| {
                self.learn_attribute(attribute, value);
            }),
            Nature::Binary => self.learn_binary(path, content),
        }
    }

    /// Gives everything that was found its pseudonym.
    pub fn mapping(mut self, treatment: Treatment) -> Mapping {
        self.v4
            .retain(|address| self.certain.contains(address) || !self.versions.contains(address));
        let Self { macs, v4, v6, ids, words, .. } = self;
        let addresses = match treatment {
            Treatment::Map => Some(Addresses::new(macs, &v4, &v6)),
            Treatment::Keep => None,
        };
        Mapping { addresses, ids: ids.numbered(), words: words.numbered() }
    }
}

impl Mapping {
    /// A path, or any other text of ours.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.of_text(text.as_bytes())).into_owned()
    }

    /// What may be given away of a file, whose path, as it was, says what it holds.
    pub fn content(&self, path: &str, content: &[u8]) -> Vec<u8> {
        match Nature::of(path, content) {
            // Of anything else by that name lines do not stand by themselves.
            Nature::Text | Nature::Odd
                if path.ends_with("ledger.json") && content.starts_with(b"{") =>
            {
                ledger::rewritten(content, |entry| self.of_text(entry))
            }
            Nature::Text => self.of_text(content),
            // What is no text after all may hold addresses as numbers.
            Nature::Odd => self.of_bytes(self.of_text(content)),
            Nature::Netlink => {
                let mut bytes = content.to_vec();
                netlink::visit(&mut bytes, |attribute, value| self.attribute(attribute, value));
                self.of_bytes(bytes)
            }
            Nature::Binary => self.of_bytes(content.to_vec()),
        }
    }

    fn of_text(&self, text: &[u8]) -> Vec<u8> {
        let mut text = secrets::without(text);
        if let Some(addresses) = &self.addresses {
            text = scan::replaced(&text, |spelt| match spelt {
                Spelt::Mac(mac) | Spelt::Clock(mac) => addresses.mac(*mac).map(pseudonyms::octets),
                Spelt::V4(address) => Some(addresses.v4(*address)?.to_string()),
                Spelt::V6(address) => Some(addresses.v6(*address)?.to_string()),
            });
            addresses.in_digits(&mut text);
        }
        self.same_length(&mut text);
        text
    }

    fn of_bytes(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some(addresses) = &self.addresses {
            addresses.in_bytes(&mut bytes);
            addresses.in_digits(&mut bytes);
            scan::replace_macs(&mut bytes, |mac| addresses.mac(mac));
        }
        self.same_length(&mut bytes);
        bytes
    }

    fn same_length(&self, bytes: &mut [u8]) {
        self.ids.replace(bytes);
        self.words.replace(bytes);
    }

    fn attribute(&self, attribute: Attribute, value: &mut [u8]) {
        if attribute == Attribute::Remark {
            // Anything that somebody wrote; nobody reads it.
            value.iter_mut().filter(|byte| **byte != 0).for_each(|byte| *byte = b'x');
        }
        if let Some(addresses) = &self.addresses {
            addresses.in_attribute(attribute, value);
        }
    }
}

/// A pseudonym for a word of this kind and length, by its number among them.
fn numbered(kind: Kind, number: usize, length: usize) -> Vec<u8> {
    let digits = number.to_string();
    let stem = kind.stem();
    let (stem, width) = match length.checked_sub(stem.len()) {
        Some(width) if width >= digits.len() => (stem, width),
        _ => (stem.get(..1).unwrap_or_default(), length.saturating_sub(1)),
    };
    let mut name = format!("{stem}{digits:0>width$}").into_bytes();
    // More short names than there are short numbers: they share the last ones.
    name.truncate(length);
    name
}
