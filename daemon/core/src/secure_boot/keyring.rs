//! The kernel's keys, as `/proc/keys` and KEYCTL_READ show them (`reference/secure-boot-mok.md`
//! section 5).
//!
//! `/proc/keys` says how many keys a ring holds, not which. And it prints descriptions as they were
//! given: whoever may add a key can write lines of his own into it. What a ring holds is therefore
//! asked of the ring, by serial number, and the table only says what those keys are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::bytes::Bytes;
use super::certificate::KeyId;
use super::{Damaged, unhex};

/// A key's number, for as long as the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeySerial(pub u32);

impl fmt::Display for KeySerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Rings of the kernel's own that have to do with modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SystemRing {
    /// Keys that are compiled in.
    Builtin,
    /// Keys added at run time; the others that are trusted hang on it.
    Secondary,
    /// Shim's keys, where they are trusted.
    Machine,
    /// Keys of the firmware, and shim's that are not in `.machine`.
    Platform,
    /// What is revoked.
    Blacklist,
}

impl SystemRing {
    /// Each of them.
    pub const ALL: [Self; 5] =
        [Self::Builtin, Self::Secondary, Self::Machine, Self::Platform, Self::Blacklist];

    /// As it is called. No user can make a ring whose name begins with a dot.
    pub fn name(self) -> &'static str {
        match self {
            Self::Builtin => ".builtin_trusted_keys",
            Self::Secondary => ".secondary_trusted_keys",
            Self::Machine => ".machine",
            Self::Platform => ".platform",
            Self::Blacklist => ".blacklist",
        }
    }
}

/// One line of `/proc/keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its number.
    pub serial: KeySerial,
    /// Seven letters or hyphens: instantiated, revoked, dead, in quota, under construction, negative,
    /// invalidated.
    pub flags: String,
    /// How many hold on to it.
    pub users: i64,
    /// `perm`, `expd`, or how long it lives.
    pub expiry: String,
    /// Who may do what with it.
    pub permissions: u32,
    /// Whose it is; below zero for one that has no number here.
    pub uid: i64,
    /// Of which group.
    pub gid: i64,
    /// Its type, of which nine letters are shown.
    pub kind: String,
    /// What its type says of it.
    pub description: String,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asymmetric<'a> {
    /// Organisation and common name of the certificate's subject, as far as the kernel joins them.
    pub name: &'a str,
    /// What the certificate calls the key, else its serial number:
    /// [`super::certificate::Certificate::listed_id`].
    pub id: KeyId,
    /// `rsa`, `ecdsa-nist-p384` and so on.
    pub algorithm: &'a str,
}

/// What may not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blacklisted {
    /// A file with this hash.
    Binary(Vec<u8>),
    /// A certificate, what is signed of which has this hash.
    ToBeSigned(Vec<u8>),
}

impl Blacklisted {
    fn read(description: &str) -> Option<Self> {
        let (kind, hash) = description.split_once(':')?;
        let hash = unhex(hash).filter(|hash| !hash.is_empty())?;
        match kind {
            "bin" => Some(Self::Binary(hash)),
            "tbs" => Some(Self::ToBeSigned(hash)),
            _ => None,
        }
    }
}

impl Key {
    /// Whether it can be used: there, and neither revoked, dead, negative nor invalidated.
    pub fn usable(&self) -> bool {
        self.flags.starts_with('I') && !self.flags.contains(['R', 'D', 'U', 'N', 'i'])
    }

    /// What it is if it is a public key. The name may hold colons and stands first, so it is read
    /// from the end: `NAME: ID: X509.rsa LAST8 []`.
    pub fn asymmetric(&self) -> Option<Asymmetric<'_>> {
        if self.kind != "asymmetri" {
            return None;
        }
        let (front, key) = self.description.rsplit_once(": ")?;
        let (name, id) = name_and_id(front)?;
        let (family, rest) = key.split_once('.')?;
        if !family.eq_ignore_ascii_case("x509") {
            return None;
        }
        Some(Asymmetric { name, id, algorithm: rest.split(' ').next()? })
    }

    /// What may not be used, if it says that.
    pub fn blacklisted(&self) -> Option<Blacklisted> {
        (self.kind == "blacklist").then(|| Blacklisted::read(&self.description)).flatten()
    }

    /// Its name and how many keys it holds, if it is a ring.
    pub fn ring(&self) -> Option<(&str, u64)> {
        if self.kind != "keyring" {
            return None;
        }
        let (name, held) = self.description.rsplit_once(": ")?;
        let held = if held == "empty" { 0 } else { held.parse().ok()? };
        Some((name, held))
    }
}

/// What `/proc/keys` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTable {
    /// Every key whose line reads.
    pub keys: BTreeMap<KeySerial, Key>,
    /// Lines that do not: nobody's fault but of whoever put a line end into a description.
    pub unread: Vec<Damaged>,
}

impl KeyTable {
    /// Reads the table. A line that does not read spoils no other.
    pub fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        let mut seen = BTreeSet::new();
        let mut offset = 0_usize;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            match key(line.strip_suffix(b"\n").unwrap_or(line)) {
                Ok(key) if seen.insert(key.serial) => {
                    table.keys.insert(key.serial, key);
                }
                // One of the two is forged, and nothing says which.
                Ok(key) => {
                    table.keys.remove(&key.serial);
                    let expected = "a serial number that stands nowhere else";
                    table.unread.push(Damaged { offset, expected });
                }
                Err(damaged) => table.unread.push(damaged.within(offset)),
            }
            offset = offset.saturating_add(line.len());
        }
        table
    }

    /// What may be the kernel's ring of that name, and how many keys it holds. There is one, or none
    /// where the kernel does not have it; others are forged, which KEYCTL_DESCRIBE shows.
    pub fn rings(&self, ring: SystemRing) -> impl Iterator<Item = (KeySerial, u64)> {
        self.keys.values().filter(|key| key.uid == 0).filter_map(move |key| {
            let (name, held) = key.ring()?;
            (name == ring.name()).then_some((key.serial, held))
        })
    }
}

/// What KEYCTL_DESCRIBE says of one key. Nobody can forge that: what the user chose stands last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its type, whole.
    pub kind: String,
    /// Whose it is.
    pub uid: i64,
    /// Of which group.
    pub gid: i64,
    /// Who may do what with it.
    pub permissions: u32,
    /// What it was called: of a public key `NAME: ID`, of a ring its name.
    pub description: String,
}

impl Described {
    /// Reads it, with or without the NUL at its end.
    ///
    /// # Errors
    /// It has not five fields with semicolons between them.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut fields = Fields::new(bytes.strip_suffix(b"\0").unwrap_or(bytes));
        let mut field = |expected| fields.next(b';', expected);
        let (kind, _) = field("a type")?;
        let (uid, damaged) = field("a user's number")?;
        let uid = uid.parse().map_err(|_| damaged)?;
        let (gid, damaged) = field("a group's number")?;
        let gid = gid.parse().map_err(|_| damaged)?;
        let (permissions, damaged) = field("permissions of hexadecimal digits")?;
        let permissions = hexadecimal(permissions).ok_or(damaged)?;
        let (kind, description) = (kind.to_owned(), fields.rest());
        Ok(Self { kind, uid, gid, permissions, description })
    }

    /// Whether it is the kernel's own ring of that name.
    pub fn is(&self, ring: SystemRing) -> bool {
        self.kind == "keyring" && self.uid == 0 && self.description == ring.name()
    }

    /// Name and id, as in [`Asymmetric`], if it is a public key.
    pub fn certificate(&self) -> Option<(&str, KeyId)> {
        if self.kind != "asymmetric" {
            return None;
        }
        name_and_id(&self.description)
    }

    /// What may not be used, if it says that.
    pub fn blacklisted(&self) -> Option<Blacklisted> {
        (self.kind == "blacklist").then(|| Blacklisted::read(&self.description)).flatten()
    }
}

/// `NAME: ID`, where the name may hold colons or be empty.
fn name_and_id(text: &str) -> Option<(&str, KeyId)> {
    let (name, id) = text.rsplit_once(": ")?;
    let id = unhex(id).filter(|id| !id.is_empty())?;
    Some((name, KeyId(id)))
}

/// Texts with a separator behind each, and anything at all behind the last.
struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
        self.offset = self.offset.saturating_add(count);
    }

    /// The next one, and that something else should stand there.
    fn next(
        &mut self,
        separator: u8,
        expected: &'static str,
    ) -> Result<(&'a str, Damaged), Damaged> {
        let damaged = Damaged { offset: self.offset, expected };
        let mut parts = self.rest.splitn(2, |byte| *byte == separator);
        let field = parts.next().filter(|_| parts.next().is_some()).ok_or(damaged)?;
        self.skip(field.len().saturating_add(1));
        Ok((str::from_utf8(field).map_err(|_| damaged)?, damaged))
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(self.rest).into_owned()
    }
}

/// Field by field; between them stands at least one space, and the description is all that follows
/// the type, which is padded to nine letters.
fn key(line: &[u8]) -> Result<Key, Damaged> {
    const KIND_LETTERS: usize = 9;
    const FLAG_LETTERS: usize = 7;
    let mut fields = Fields::new(line);
    let mut field = |expected| {
        fields.skip(fields.rest.iter().take_while(|byte| **byte == b' ').count());
        fields.next(b' ', expected)
    };
    let (serial, damaged) = field("a serial number of 8 hexadecimal digits")?;
    let serial = hexadecimal(serial).filter(|_| serial.len() >= 8).ok_or(damaged)?;
    let (flags, damaged) = field("7 flags")?;
    if flags.len() != FLAG_LETTERS
        || !flags.bytes().all(|one| one == b'-' || one.is_ascii_alphabetic())
    {
        return Err(damaged);
    }
    let (users, damaged) = field("a number of users")?;
    let users = users.parse().map_err(|_| damaged)?;
    let (expiry, _) = field("a time to live")?;
    let (permissions, damaged) = field("permissions of 8 hexadecimal digits")?;
    let permissions = hexadecimal(permissions).ok_or(damaged)?;
    let (uid, damaged) = field("a user's number")?;
    let uid = uid.parse().map_err(|_| damaged)?;
    let (gid, damaged) = field("a group's number")?;
    let gid = gid.parse().map_err(|_| damaged)?;
    let expected = "a type of 9 letters and a description";
    let damaged = Damaged { offset: fields.offset, expected };
    let kind = fields.rest.get(..KIND_LETTERS).and_then(|kind| str::from_utf8(kind).ok());
    let kind = kind.ok_or(damaged)?;
    fields.skip(KIND_LETTERS);
    if fields.rest.first() != Some(&b' ') {
        return Err(damaged);
    }
    fields.skip(1);
    Ok(Key {
        serial: KeySerial(serial),
        flags: flags.to_owned(),
        users,
        expiry: expiry.to_owned(),
        permissions,
        uid,
        gid,
        kind: kind.trim_end().to_owned(),
        description: fields.rest(),
    })
}

fn hexadecimal(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// What KEYCTL_READ says of a ring: the numbers of the keys in it, in the machine's byte order. Rings
/// that hang on it are among them.
///
/// # Errors
/// The last number is cut off.
pub fn members(bytes: &[u8]) -> Result<BTreeSet<KeySerial>, Damaged> {
    let mut bytes = Bytes::new(bytes);
    let mut members = BTreeSet::new();
    while !bytes.rest().is_empty() {
        let serial = bytes.array("a serial number of 4 bytes")?;
        members.insert(KeySerial(u32::from_ne_bytes(serial)));
    }
    Ok(members)
}

#[cfg(test)]
mod tests;
