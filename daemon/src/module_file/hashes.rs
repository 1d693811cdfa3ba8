//! The hash of the interface between user library and driver, as it stands in files of either.

use std::collections::BTreeSet;

use onload_core::names::InterfaceHash;

const DIGITS: usize = 32;

/// Finds strings of exactly 32 hexadecimal digits, with a NUL before and after, in bytes that come
/// in pieces.
#[derive(Debug)]
pub struct HashSearch {
    /// The digits since the last NUL.
    digits: String,
    /// Whether anything else stood since the last NUL.
    spoilt: bool,
    found: BTreeSet<InterfaceHash>,
}

impl Default for HashSearch {
    fn default() -> Self {
        // The first byte of the file has no NUL before it.
        Self { digits: String::new(), spoilt: true, found: BTreeSet::new() }
    }
}

impl HashSearch {
    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            if *byte == 0 {
                if !self.spoilt
                    && let Ok(hash) = self.digits.parse()
                {
                    self.found.insert(hash);
                }
                self.digits.clear();
                self.spoilt = false;
            } else if self.spoilt {
            } else if byte.is_ascii_hexdigit() && self.digits.len() < DIGITS {
                self.digits.push(char::from(*byte));
            } else {
                self.spoilt = true;
            }
        }
    }

    /// What was found in all pieces.
    pub fn found(self) -> BTreeSet<InterfaceHash> {
        self.found
    }
}

/// What a recording keeps of a file: the strings that were looked for, findable as before.
pub fn stand_in(hashes: &BTreeSet<InterfaceHash>) -> Vec<u8> {
    let mut bytes = vec![0];
    for hash in hashes {
        bytes.extend_from_slice(hash.as_str().as_bytes());
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect ends there")]

    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef";

    fn found(bytes: &[u8], piece: usize) -> usize {
        let mut search = HashSearch::default();
        bytes.chunks(piece).for_each(|piece| search.push(piece));
        search.found().len()
    }

    #[test]
    fn only_whole_strings_of_32_digits_are_hashes() {
        let with = |before: &str, after: &str| format!("x\0{before}{HASH}{after}\0y").into_bytes();
        for piece in [1, 2, 7, 4096] {
            assert_eq!(found(&with("", ""), piece), 1);
            assert_eq!(found(&with("\0\0", "\0f00d\0"), piece), 1);
            for (before, after) in [("0", ""), ("", "0"), ("z", ""), ("", " "), (HASH, "")] {
                assert_eq!(found(&with(before, after), piece), 0, "{before}|{after}");
            }
        }
        assert_eq!(found(HASH.as_bytes(), 4096), 0, "no NUL around it");
        assert_eq!(found(format!("{HASH}\0").as_bytes(), 4096), 0, "no NUL before it");
        assert_eq!(found(&vec![b'a'; 1 << 20], 4096), 0);
        let kept = stand_in(&BTreeSet::from([HASH.parse().unwrap()]));
        assert_eq!(found(&kept, 4096), 1, "a recording is found again");
    }
}
