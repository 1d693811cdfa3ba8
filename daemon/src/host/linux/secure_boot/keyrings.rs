//! The kernel's rings. Who may add a key can write lines of his own into `/proc/keys`, so that only
//! tells which numbers to ask about; what counts is what the kernel says of each number.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::Uid;
use onload_core::reading::Reading;
use onload_core::secure_boot::keyring::{Described, KeySerial, SystemRing, members};
use onload_core::secure_boot::trust::{Ring, Trust};

use super::super::root::Dir;
use crate::descriptor::{KeyQuestion, ask_key};

const KEYS: &str = "proc/keys";
/// A line has about 100 bytes; `.blacklist` may hold some thousand keys, and each user 20,000 bytes.
const KEYS_BYTES: usize = 4 << 20;
/// Where a recording keeps what was said of a ring: of itself, then of each key in it, a NUL behind
/// each. Nothing at all is said of a ring that the kernel does not have.
const RECORDED: &str = ".keys";
/// Room for most answers; one that is longer is asked for again.
const ANSWER_BYTES: usize = 512;
/// An answer that grows while it is asked for does so once or twice.
const ASKED: usize = 4;

/// Who knows about keys.
pub(super) trait Keyctl: Debug {
    /// What the kernel answers.
    fn ask(&self, question: KeyQuestion, serial: KeySerial) -> Result<Vec<u8>, Errno>;
    /// Whether the kernel's own rings stand in `/proc/keys` for us.
    fn sees_all(&self) -> bool;
}

/// The kernel itself.
#[derive(Debug)]
pub(super) struct Syscall;

impl Keyctl for Syscall {
    fn ask(&self, question: KeyQuestion, serial: KeySerial) -> Result<Vec<u8>, Errno> {
        whole(|room| ask_key(question, serial.0, room))
    }

    fn sees_all(&self) -> bool {
        Uid::effective().is_root()
    }
}

/// An answer that says how long it is, and is only there where it fits.
pub(super) fn whole(
    mut ask: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    let mut answer = vec![0; ANSWER_BYTES];
    for _ in 0..ASKED {
        let length = ask(&mut answer)?;
        if length <= answer.len() {
            answer.truncate(length);
            return Ok(answer);
        }
        answer.resize(length, 0);
    }
    Err(Errno::EAGAIN)
}

/// The rings, and what was in them.
#[derive(Debug)]
pub(super) struct Keyrings {
    /// None for a root that holds what was recorded.
    keyctl: Option<Box<dyn Keyctl>>,
    /// The rings that this kernel has, which it makes before any process; none before they were
    /// sought.
    found: Option<BTreeMap<SystemRing, KeySerial>>,
    /// The numbers of their keys, as they were answered.
    members: BTreeMap<SystemRing, Vec<u8>>,
}

impl Keyrings {
    pub(super) fn new(keyctl: Option<Box<dyn Keyctl>>) -> Self {
        Self { keyctl, found: None, members: BTreeMap::new() }
    }

    pub(super) fn forget(&mut self) {
        self.found = None;
        self.members.clear();
    }

    /// Looks at each ring; its keys are described only when there are others than before.
    pub(super) fn read(&mut self, root: &Dir, trust: &mut Arc<Trust>) {
        let Some(keyctl) = &self.keyctl else {
            if self.found.is_none() {
                SystemRing::ALL.into_iter().for_each(|ring| put(trust, ring, recorded(root, ring)));
                self.found = Some(BTreeMap::new());
            }
            return;
        };
        let keyctl = keyctl.as_ref();
        let found = self
            .found
            .take()
            .filter(|found| found.iter().all(|(ring, serial)| is(keyctl, *ring, *serial)));
        let found = match found.map_or_else(|| seek(root, keyctl, trust), Reading::Known) {
            Reading::Known(found) => found,
            Reading::Absent => BTreeMap::new(),
            Reading::Unreadable(why) => {
                self.members.clear();
                for ring in SystemRing::ALL {
                    let gap = Reading::Unreadable(why.clone());
                    root.keep(&file(ring), &gap);
                    put(trust, ring, gap.map(|_| Ring::default()));
                }
                return;
            }
        };
        for ring in SystemRing::ALL {
            let Some(serial) = found.get(&ring) else {
                root.keep(&file(ring), &Reading::Known(Vec::new()));
                self.members.remove(&ring);
                put(trust, ring, Reading::Absent);
                continue;
            };
            let numbers = match keyctl.ask(KeyQuestion::Read, *serial) {
                Ok(numbers) if self.members.get(&ring) == Some(&numbers) => continue,
                Ok(numbers) => Reading::Known(numbers),
                Err(errno) => Reading::Unreadable(format!("{} ({errno:?})", errno.desc())),
            };
            let said = numbers.as_ref().and_then(|numbers| describe(keyctl, *serial, numbers));
            root.keep(&file(ring), &said);
            put(trust, ring, said.and_then(|said| held(ring, &said)));
            match numbers {
                Reading::Known(numbers) => self.members.insert(ring, numbers),
                Reading::Absent | Reading::Unreadable(_) => self.members.remove(&ring),
            };
        }
        self.found = Some(found);
    }
}

fn put(trust: &mut Arc<Trust>, ring: SystemRing, read: Reading<Ring>) {
    if trust.rings.get(&ring) != Some(&read) {
        Arc::make_mut(trust).rings.insert(ring, read);
    }
}

fn file(ring: SystemRing) -> String {
    format!("{RECORDED}/{}", ring.name())
}

fn recorded(root: &Dir, ring: SystemRing) -> Reading<Ring> {
    match root.read(&file(ring), KEYS_BYTES) {
        Reading::Known(said) if said.is_empty() => Reading::Absent,
        Reading::Known(said) => held(ring, &said),
        Reading::Absent => Reading::Unreadable("no recorded keys under this root".to_owned()),
        Reading::Unreadable(why) => Reading::Unreadable(why),
    }
}

fn is(keyctl: &dyn Keyctl, ring: SystemRing, serial: KeySerial) -> bool {
    let said = keyctl.ask(KeyQuestion::Describe, serial).ok();
    said.and_then(|said| Described::parse(&said).ok()).is_some_and(|said| said.is(ring))
}

/// Finds the rings. Every kernel that looks at signatures has the first of them: one that is not
/// shown is hidden from us, and so are the others.
fn seek(
    root: &Dir,
    keyctl: &dyn Keyctl,
    trust: &Trust,
) -> Reading<BTreeMap<SystemRing, KeySerial>> {
    // The table of all keys of all users is nobody's to record.
    let table = match root.unrecorded().read(KEYS, KEYS_BYTES) {
        Reading::Known(table) => table,
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) => return Reading::Unreadable(format!("/{KEYS}: {why}")),
    };
    let mut found = BTreeMap::new();
    for ring in SystemRing::ALL {
        let serial = candidates(&table, ring).find(|serial| is(keyctl, ring, *serial));
        found.extend(serial.map(|serial| (ring, serial)));
    }
    let signatures = !trust.sig_enforce.is_absent();
    if !found.contains_key(&SystemRing::Builtin) && (signatures || !keyctl.sees_all()) {
        return Reading::Unreadable(format!("/{KEYS} does not show us the kernel's own rings"));
    }
    Reading::Known(found)
}

/// Numbers of lines that name a ring. The true line is among them whatever others were made up: it
/// begins with its number, and no other's text can reach into it.
fn candidates(table: &[u8], ring: SystemRing) -> impl Iterator<Item = KeySerial> {
    let name = ring.name().as_bytes();
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter(move |line| line.windows(name.len()).any(|part| part == name)).filter_map(|line| {
        let serial = line.split(|byte| *byte == b' ').next()?;
        let serial = str::from_utf8(serial).ok()?;
        u32::from_str_radix(serial, 16).ok().map(KeySerial)
    })
}

/// What the kernel says of a ring and its keys, as a recording keeps it.
fn describe(keyctl: &dyn Keyctl, ring: KeySerial, numbers: &[u8]) -> Reading<Vec<u8>> {
    let numbers = match members(numbers) {
        Ok(numbers) => numbers,
        Err(damaged) => return Reading::Unreadable(damaged.to_string()),
    };
    let mut all = Vec::new();
    for serial in [ring].into_iter().chain(numbers) {
        let said = keyctl.ask(KeyQuestion::Describe, serial).unwrap_or_default();
        all.extend_from_slice(said.strip_suffix(b"\0").unwrap_or(&said));
        all.push(0);
    }
    Reading::Known(all)
}

/// What a ring holds by what was said of it.
fn held(ring: SystemRing, said: &[u8]) -> Reading<Ring> {
    let mut said = said.strip_suffix(b"\0").unwrap_or(said).split(|byte| *byte == 0);
    let described = |said: &[u8]| Described::parse(said).ok();
    if !said.next().and_then(described).is_some_and(|own| own.is(ring)) {
        return Reading::Unreadable("the kernel speaks of another key by its number".to_owned());
    }
    let members: Vec<_> = said.map(described).collect();
    Reading::Known(Ring::of(members.iter().map(Option::as_ref)))
}
