//! What identifies in a file, by where it lies and by how it is written.

use super::hex::CLOCK_DIGITS;
use super::nature::FRAMES;
use super::netlink::Attribute;
use super::pseudonyms::{is_plain_mac, is_plain_v4, mac_in, mac_of_clock, v4_in};
use super::scan::{Spelt, addresses};
use super::words::Kind;
use super::{Found, Mac};

/// Files that hold a name of the machine and nothing else.
const HOST_FILES: [&str; 2] = ["proc/sys/kernel/hostname", "etc/hostname"];
/// Files in which every identifier is one of this machine.
const ID_FILES: [&str; 8] = [
    "etc/machine-id",
    "proc/sys/kernel/random/boot_id",
    "dm/uuid",
    "proc/cmdline",
    "etc/crypttab",
    "etc/fstab",
    "proc/mounts",
    "/mountinfo",
];
/// Directories whose entries are called by versions.
const VERSIONED: [&str; 3] = ["/releases/", "lib/modules/", "usr/src/"];
/// Files that tell a version.
const VERSION_FILES: [&str; 4] = ["/version", "/srcversion", "osrelease", "versions.txt"];
/// Words that say that a version follows.
const SAY_VERSION: [&str; 3] = ["version", "release", "ver"];
/// What has versions that may be written like addresses.
const HAVE_VERSION: [&str; 4] = ["onload", "openonload", "sfc", "sfptpd"];
/// What is in the names of images with Onload.
const IMAGE: &[u8] = b"onload";
/// Words of configurations of time daemons that a server's name follows.
const SERVERS: [&str; 3] = ["server", "pool", "peer"];
/// What stands before the directory of a person.
const HOMES: [&str; 2] = ["/home/", "/var/home/"];
/// Files in which hardware tells its serial numbers.
const HARDWARE: [&str; 4] = ["kernel.log", "journal.log", "vpd", "serial"];
/// Shorter ones are numbers of something else.
const SHORTEST_SERIAL: usize = 6;

impl Found {
    pub(super) fn learn_path(&mut self, path: &str) {
        for directory in VERSIONED {
            let name = path.split_once(directory).and_then(|(_, rest)| rest.split('/').next());
            self.version(name.unwrap_or_default());
        }
        self.learn_users(path);
        self.learn_addresses(path.as_bytes());
    }

    pub(super) fn learn_text(&mut self, path: &str, text: &[u8]) {
        let words = String::from_utf8_lossy(text);
        if HOST_FILES.iter().any(|file| path.ends_with(file)) {
            self.host(&words);
        }
        if ID_FILES.iter().any(|file| path.ends_with(file)) {
            self.ids.add_all(text);
        }
        if VERSION_FILES.iter().any(|file| path.ends_with(file)) {
            self.version(&words);
        }
        let is_hardware = HARDWARE.iter().any(|part| path.ends_with(part));
        for line in words.lines() {
            if path.ends_with(".conf") || path.ends_with(".toml") {
                self.learn_server(line);
            }
            if is_hardware {
                self.learn_serial(line);
            }
            self.learn_uuid(line);
        }
        self.learn_users(&words);
        self.learn_addresses(text);
    }

    pub(super) fn learn_attribute(&mut self, attribute: Attribute, value: &[u8]) {
        match attribute {
            Attribute::Mac => self.macs.extend(value.first_chunk::<6>()),
            Attribute::V4 => {
                let address = <[u8; 4]>::try_from(value).ok().map(std::net::Ipv4Addr::from);
                self.v4.extend(address);
                self.certain.extend(address);
            }
            Attribute::V6 => {
                if let Ok(octets) = <[u8; 16]>::try_from(value) {
                    self.learn_v6(octets.into());
                }
            }
            Attribute::Remark => {}
        }
    }

    fn learn_v6(&mut self, address: std::net::Ipv6Addr) {
        self.v6.insert(address);
        self.macs.extend(mac_in(address).filter(|mac| !is_plain_mac(*mac)));
        self.v4.extend(v4_in(address));
    }

    fn learn_addresses(&mut self, text: &[u8]) {
        for (range, spelt) in addresses(text) {
            match spelt {
                Spelt::Mac(mac) | Spelt::Clock(mac) => drop(self.macs.insert(mac)),
                Spelt::V6(address) => self.learn_v6(address),
                Spelt::V4(address) if is_plain_v4(address) => {}
                Spelt::V4(address) => {
                    let before = text.get(..range.start).unwrap_or_default();
                    let after = text.get(range.end..).unwrap_or_default();
                    if is_version(before, after) {
                        self.versions.insert(address);
                    }
                    self.v4.insert(address);
                }
            }
        }
        self.learn_interfaces(text);
        self.learn_clocks(text);
    }

    /// Identities of clocks in the frames of a time daemon. What has another octet of ones before its mark is a
    /// number below zero.
    pub(super) fn learn_binary(&mut self, path: &str, content: &[u8]) {
        if path.contains(FRAMES) {
            let identities = content.windows(8).filter_map(|window| window.first_chunk::<8>());
            let macs = identities.filter_map(|identity| mac_of_clock(*identity));
            self.macs.extend(macs.filter(|[_, _, last, ..]| *last != 0xff));
        }
    }

    /// Identities of clocks as sixteen digits.
    fn learn_clocks(&mut self, text: &[u8]) {
        let words = text.split(|byte| !byte.is_ascii_alphanumeric());
        let digits = words.filter(|word| word.len() == CLOCK_DIGITS);
        let number = |word| u64::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok();
        let identities = digits.filter_map(number).map(u64::to_be_bytes);
        self.macs.extend(identities.filter_map(mac_of_clock));
    }

    /// Interfaces that are called by their address: `enx000f53a60000`.
    fn learn_interfaces(&mut self, text: &[u8]) {
        for start in text.windows(3).enumerate().filter(|(_, word)| *word == b"enx") {
            let digits = text.get(start.0 + 3..start.0 + 15);
            let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            let number = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            let number = number.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            if let Some([_, _, mac @ ..]) = number.map(u64::to_be_bytes) {
                self.macs.insert(mac as Mac);
            }
        }
    }

    fn learn_server(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        if words.next().is_some_and(|word| SERVERS.contains(&word))
            && let Some(name) = words.next()
            && name.parse::<std::net::IpAddr>().is_err()
        {
            self.host(name);
        }
    }

    fn learn_users(&mut self, text: &str) {
        for home in HOMES {
            for (at, _) in text.match_indices(home) {
                let rest = text.get(at + home.len()..).unwrap_or_default();
                let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                let name = rest.split(|c| !is_name(c)).next().unwrap_or_default();
                self.words.add(Kind::User, name);
            }
        }
    }

    fn learn_uuid(&mut self, line: &str) {
        for (at, _) in line.match_indices("UUID=") {
            let rest = line.get(at..).unwrap_or_default();
            let word = rest.split_ascii_whitespace().next().unwrap_or_default();
            self.ids.add_all(word.trim_start_matches("UUID=").as_bytes());
        }
    }

    fn learn_serial(&mut self, line: &str) {
        let lower = line.to_ascii_lowercase();
        for (at, word) in lower.match_indices("serial") {
            let rest = line.get(at + word.len()..).unwrap_or_default();
            let rest = rest.trim_start_matches([' ', '_', '-', '.']);
            let rest = ["number", "no"]
                .iter()
                .find_map(|word| {
                    let head = rest.get(..word.len())?;
                    head.eq_ignore_ascii_case(word).then(|| rest.get(word.len()..))?
                })
                .unwrap_or(rest);
            let value = rest.trim_start_matches([' ', '\t', ':', '=', '#', '.', '"']);
            let ends = |c: char| !c.is_ascii_alphanumeric() && c != '-';
            let value = value.split(ends).next().unwrap_or_default();
            // What follows at once is another word, such as serial8250.
            let apart = value.len() < rest.len();
            if apart && value.len() >= SHORTEST_SERIAL && value.bytes().any(|c| c.is_ascii_digit())
            {
                self.words.add(Kind::Serial, value);
            }
        }
    }
}

/// Whether what stands between is a version: told by the word before, or in the name of a package.
fn is_version(before: &[u8], after: &[u8]) -> bool {
    let behind = |words: &[&str], marks: &[&str]| {
        let end = |mark: &&&str| before.ends_with(mark.as_bytes());
        marks.iter().find(end).is_some_and(|mark| {
            let head = before.get(..before.len() - mark.len()).unwrap_or_default();
            let word = head.rsplit(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
            words.iter().any(|one| word.eq_ignore_ascii_case(one.as_bytes()))
        })
    };
    let in_package = before.last() == Some(&b'-')
        && before.iter().rev().nth(1).is_some_and(u8::is_ascii_alphanumeric)
        && after.first() == Some(&b'-');
    in_package
        || is_tag(before)
        || behind(&SAY_VERSION, &["\": \"", ": ", " = ", "=", " ", ":"])
        || behind(&HAVE_VERSION, &[" ", "-"])
}

/// Whether what follows is the tag of an image of Onload's: `registry/onload-user:TAG`. Other images have other
/// tags, and what else stands before a colon may have an address behind it.
fn is_tag(before: &[u8]) -> bool {
    let Some(before) = before.strip_suffix(b":") else { return false };
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let name = before.rsplit(|byte| !is_part(byte)).next().unwrap_or_default();
    name.windows(IMAGE.len()).any(|part| part.eq_ignore_ascii_case(IMAGE))
}
