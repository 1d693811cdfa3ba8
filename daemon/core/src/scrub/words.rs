//! Names of machines, people and things: words whose pseudonyms are as long as they are, so that they can
//! stand in bytes as well as in text.

use std::collections::{BTreeMap, BTreeSet};

use super::numbered;

/// Shorter words would be found in everything.
const SHORTEST: usize = 3;
/// More are not looked for: what they stand in would be read for hours.
const MOST: usize = 4096;

/// Whose name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Host,
    Domain,
    User,
    Serial,
}

impl Kind {
    /// What its pseudonyms begin with.
    pub(super) fn stem(self) -> &'static str {
        match self {
            Self::Host => "node-",
            Self::Domain => "zone-",
            Self::User => "user-",
            Self::Serial => "SERIAL",
        }
    }
}

/// Words that are no one's: installers give them, and files and programs are called so.
const NOBODYS: [&str; 37] = [
    "admin",
    "amd",
    "centos",
    "cloud",
    "cluster",
    "com",
    "container",
    "core",
    "debian",
    "default",
    "fedora",
    "host",
    "internal",
    "kernel",
    "lan",
    "linux",
    "local",
    "localdomain",
    "localhost",
    "machine",
    "master",
    "net",
    "node",
    "none",
    "onload",
    "onloadctl",
    "onloadd",
    "org",
    "redhat",
    "rhel",
    "root",
    "sfc",
    "server",
    "solarflare",
    "test",
    "ubuntu",
    "worker",
];

/// A word, and what stands in its place.
type Pair = (Vec<u8>, Vec<u8>);

/// Words, and once they are numbered their pseudonyms.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    found: BTreeSet<(Kind, Vec<u8>)>,
    /// By first letter, the longest first.
    numbered: BTreeMap<u8, Vec<Pair>>,
}

impl Words {
    pub(super) fn add(&mut self, kind: Kind, word: &str) {
        let word = word.to_ascii_lowercase();
        let may = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let nobodys = NOBODYS.contains(&word.as_str()) || is_number || !word.chars().all(may);
        if word.len() >= SHORTEST && !nobodys && self.found.len() < MOST {
            self.found.insert((kind, word.into_bytes()));
        }
    }

    /// A host's own name and its domain stand apart, too.
    pub(super) fn add_host(&mut self, name: &str) {
        match name.trim().trim_end_matches('.').split_once('.') {
            Some((own, domain)) => {
                self.add(Kind::Host, own);
                self.add(Kind::Domain, domain);
            }
            None => self.add(Kind::Host, name.trim()),
        }
    }

    /// Gives each its pseudonym: by number among those of its kind and length.
    pub(super) fn numbered(self) -> Self {
        let mut numbers: BTreeMap<(Kind, usize), usize> = BTreeMap::new();
        let mut taken = BTreeSet::new();
        let mut all: BTreeMap<u8, Vec<Pair>> = BTreeMap::new();
        for (kind, word) in &self.found {
            // One name of two kinds is one name.
            let (Some(first), true) = (word.first(), taken.insert(word)) else { continue };
            let number = numbers.entry((*kind, word.len())).or_default();
            *number += 1;
            all.entry(*first)
                .or_default()
                .push((word.clone(), numbered(*kind, *number, word.len())));
        }
        for words in all.values_mut() {
            words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        }
        Self { found: self.found, numbered: all }
    }

    /// Writes them anew wherever they stand as words.
    pub(super) fn replace(&self, bytes: &mut [u8]) {
        if self.numbered.is_empty() {
            return;
        }
        let mut at = 0;
        while at < bytes.len() {
            let Some((start, new)) = self.at(bytes, at) else {
                at += 1;
                continue;
            };
            at = start + new.len();
            if let Some(place) = bytes.get_mut(start..at) {
                place.copy_from_slice(new);
            }
        }
    }

    fn at(&self, bytes: &[u8], at: usize) -> Option<(usize, &[u8])> {
        let is_word = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric)
        };
        let words = self.numbered.get(&bytes.get(at)?.to_ascii_lowercase())?;
        if is_word(at.checked_sub(1)) {
            return None;
        }
        let here = |word: &[u8]| {
            bytes.get(at..at + word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word))
                && !is_word(Some(at + word.len()))
        };
        let (_, new) = words.iter().find(|(word, _)| here(word))?;
        Some((at, new))
    }
}
