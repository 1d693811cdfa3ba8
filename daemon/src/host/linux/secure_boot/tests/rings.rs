//! What is asked about keys, and what is believed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use nix::errno::Errno;
use onload_core::secure_boot::keyring::{KeySerial, KeyTable, SystemRing};
use onload_core::secure_boot::trust::Ring;

use super::*;
use crate::descriptor::KeyQuestion;

/// A kernel with keys.
#[derive(Debug, Default)]
struct Kernel {
    described: RefCell<BTreeMap<u32, &'static str>>,
    held: RefCell<BTreeMap<u32, Vec<u32>>>,
    /// How often a key was to be described.
    asked: Cell<usize>,
    blind: bool,
}

impl Keyctl for Rc<Kernel> {
    fn ask(&self, question: KeyQuestion, serial: KeySerial) -> Result<Vec<u8>, Errno> {
        match question {
            KeyQuestion::Describe => {
                self.asked.set(self.asked.get() + 1);
                let described = self.described.borrow();
                let said = described.get(&serial.0).ok_or(Errno::ENOKEY)?;
                Ok(format!("{said}\0").into_bytes())
            }
            KeyQuestion::Read => {
                let held = self.held.borrow();
                let held = held.get(&serial.0).ok_or(Errno::EACCES)?;
                Ok(held.iter().copied().flat_map(u32::to_ne_bytes).collect())
            }
        }
    }

    fn sees_all(&self) -> bool {
        !self.blind
    }
}

/// What `/proc/keys` shows; a user has put a line end and a whole line into a key of his.
const KEYS: &str = "\
00000001 I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 1
00000002 I------     1 perm 1f0b0000     0     0 keyring   .platform: 2
00000009 I--Q---     1 perm 3f010000  1000  1000 user      mine
00000002 I------     1 perm 1f0b0000     0     0 keyring   .platform: empty
00000008 I------     1 perm 1f0b0000     0     0 keyring   .machine: 1
00000009 I------     1 perm 1f0b0000     0     0 keyring   .platform: 1
00000003 I------     1 perm 0f0b0000     0     0 keyring   .blacklist: 1
";

fn kernel() -> Rc<Kernel> {
    let described = BTreeMap::from([
        (1, "keyring;0;0;1f0b0000;.builtin_trusted_keys"),
        (2, "keyring;0;0;1f0b0000;.platform"),
        (3, "keyring;0;0;0f0b0000;.blacklist"),
        (4, "asymmetric;0;0;39010000;Vendor: Module key: 00ff"),
        (5, "asymmetric;0;0;39010000;Mine: ab"),
        (6, "blacklist;0;0;0b0b0000;bin:0123"),
        (8, "user;1000;1000;3f010000;.machine"),
        (9, "keyring;1000;1000;3f010000;.platform"),
    ]);
    let held = BTreeMap::from([(1, vec![4]), (2, vec![4, 5]), (3, vec![6]), (9, vec![4])]);
    Rc::new(Kernel {
        described: RefCell::new(described),
        held: RefCell::new(held),
        ..Kernel::default()
    })
}

fn keys(kernel: &Rc<Kernel>) -> Keys {
    Keys::with(Some(Box::new(Rc::clone(kernel))))
}

fn names(ring: Reading<&Ring>) -> Vec<String> {
    ring.known().unwrap().keys.iter().map(|key| key.name.clone()).collect()
}

#[test]
fn rings_are_what_the_kernel_says_whatever_the_table_shows() {
    let (_place, root) = root_with(&[("proc/keys", KEYS)]);
    let trust = look(&keys(&kernel()), &root);
    assert_eq!(names(trust.ring(SystemRing::Builtin)), ["Vendor: Module key"]);
    assert_eq!(names(trust.ring(SystemRing::Platform)), ["Vendor: Module key", "Mine"]);
    let blacklist = trust.ring(SystemRing::Blacklist).into_known().unwrap();
    assert_eq!((blacklist.blacklisted.len(), blacklist.unread), (1, 0));
    assert!(trust.ring(SystemRing::Machine).is_absent(), "a user's key");
    assert!(trust.ring(SystemRing::Secondary).is_absent());
    let twice = KeyTable::parse(KEYS.as_bytes()).rings(SystemRing::Platform).count();
    assert_eq!(twice, 0, "the table by itself would show none");
}

#[test]
fn keys_are_described_again_when_there_are_others() {
    let (place, root) = root_with(&[("proc/keys", KEYS)]);
    let kernel = kernel();
    let keys = keys(&kernel);
    let first = look(&keys, &root);
    put_file(place.path(), "proc/keys", b"");
    kernel.asked.set(0);
    assert!(Arc::ptr_eq(&first, &look(&keys, &root)));
    assert_eq!(kernel.asked.get(), 3, "each ring, whether it is that still");

    kernel.described.borrow_mut().insert(7, "asymmetric;0;0;39010000;New: cd");
    kernel.held.borrow_mut().insert(2, vec![4, 7, 77]);
    kernel.asked.set(0);
    let second = look(&keys, &root);
    assert_eq!(kernel.asked.get(), 3 + 4, "and the keys of one");
    assert_eq!(names(second.ring(SystemRing::Platform)), ["Vendor: Module key", "New"]);
    assert_eq!(second.ring(SystemRing::Platform).known().unwrap().unread, 1);

    kernel.held.borrow_mut().remove(&2);
    let third = look(&keys, &root);
    let why = third.ring(SystemRing::Platform).why_not().unwrap().to_owned();
    assert_eq!(why, "Permission denied (EACCES)");
    kernel.held.borrow_mut().insert(2, vec![4, 7, 77]);
    assert_eq!(look(&keys, &root).rings, second.rings);
}

#[test]
fn rings_that_are_hidden_are_not_absent() {
    let line = KEYS.lines().nth(2).unwrap();
    let enforce = ("sys/module/module/parameters/sig_enforce", "N\n");
    let why = "/proc/keys does not show us the kernel's own rings";
    for (files, blind, expected) in [
        (vec![("proc/keys", line), enforce], false, Some(why)),
        (vec![("proc/keys", line)], true, Some(why)),
        (vec![("proc/keys", line)], false, None),
        (vec![], false, None),
    ] {
        let (place, root) = root_with(&files);
        let kernel = Rc::new(Kernel { blind, ..Rc::into_inner(kernel()).unwrap() });
        let keys = keys(&kernel);
        for ring in SystemRing::ALL {
            let trust = look(&keys, &root);
            assert_eq!(trust.ring(ring).why_not(), expected, "{files:?}");
            assert_eq!(trust.ring(ring).is_absent(), expected.is_none(), "{files:?}");
        }
        put_file(place.path(), "proc/keys", KEYS.as_bytes());
        let trust = look(&keys, &root);
        let seen = trust.ring(SystemRing::Builtin).known().is_some();
        assert_eq!(seen, expected.is_some(), "a gap is looked into again");
    }
}

#[test]
fn an_answer_that_is_too_long_is_asked_for_again() {
    for lengths in [&[3][..], &[512], &[513, 513], &[600, 700, 650], &[600, 700, 800, 0]] {
        let mut asked = lengths.iter();
        let answer = keyrings::whole(|room| {
            let length = *asked.next().unwrap();
            if let Some(fits) = room.get_mut(..length) {
                fits.fill(7);
            }
            Ok(length)
        });
        assert_eq!(answer, Ok(vec![7; *lengths.last().unwrap()]));
        assert_eq!(asked.len(), 0);
    }
    let mut length = 512;
    let grows = keyrings::whole(|_| {
        length += 1;
        Ok(length)
    });
    assert_eq!(grows, Err(Errno::EAGAIN));
    assert_eq!(keyrings::whole(|_| Err(Errno::ENOKEY)), Err(Errno::ENOKEY));
}

#[test]
fn recorded_rings_read_back() {
    let (_place, root) = root_with(&[("proc/keys", KEYS)]);
    let kernel = kernel();
    kernel.described.borrow_mut().insert(2, "keyring;0;0;1f0b0000;.platform");
    kernel.held.borrow_mut().insert(2, vec![4, 5, 77]);
    kernel.held.borrow_mut().remove(&3);
    let keys = keys(&kernel);
    look(&keys, &root);
    let (seen, into, read_back) = record(&keys, &root);
    assert!(seen.ring(SystemRing::Blacklist).is_unreadable());
    assert_eq!(seen.ring(SystemRing::Platform).known().unwrap().unread, 1);
    assert_eq!(at_once(&read_back), seen);
    assert!(!into.path().join("proc/keys").exists(), "it shows everybody's keys");

    let (_place, without) = root_with(&[]);
    let trust = at_once(&without);
    let why = trust.ring(SystemRing::Builtin).why_not().unwrap().to_owned();
    assert_eq!(why, "no recorded keys under this root");
    put_file(into.path(), ".keys/.platform", b"user;0;0;1f0b0000;.platform\0");
    assert!(at_once(&read_back).ring(SystemRing::Platform).is_unreadable(), "another key");
}

#[test]
fn this_machines_rings_hold_what_its_table_counts() {
    let root = Dir::root(Path::new("/"), [].into()).unwrap();
    let Reading::Known(table) = root.read("proc/keys", 4 << 20) else {
        return println!("skipped: this machine shows no /proc/keys");
    };
    let table = KeyTable::parse(&table);
    if table.rings(SystemRing::Builtin).count() != 1 {
        return println!("skipped: this machine does not show us the kernel's rings");
    }
    let keys = Keys::live();
    let trust = look(&keys, &root);
    let mut compared = 0;
    for ring in SystemRing::ALL {
        let counted = table.rings(ring).next();
        let reading = trust.ring(ring);
        assert_eq!(reading.is_absent(), counted.is_none(), "{ring:?}: {reading:?}");
        if let (Reading::Known(held), Some((_, counted))) = (reading, counted) {
            let all = held.keys.len() + held.rings.len() + held.blacklisted.len() + held.unread;
            assert_eq!(u64::try_from(all).unwrap(), counted, "{ring:?}");
            compared += 1;
        }
    }
    if compared == 0 {
        return println!("skipped: this machine does not let us read the kernel's rings");
    }
    assert!(Arc::ptr_eq(&trust, &look(&keys, &root)));
}
