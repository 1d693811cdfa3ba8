//! Lists of writes against a firmware that fails at any point, and against a directory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it broke")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::errno::Errno;

use super::undo::{Variables, all_or_nothing};
use super::*;

/// In what is written, and nowhere else.
const SECRET: &str = "correct horse battery staple";

fn write(name: &str, data: &str) -> Write {
    Write { name: name.to_owned(), data: Some(data.as_bytes().to_vec()) }
}

fn delete(name: &str) -> Write {
    Write { name: name.to_owned(), data: None }
}

fn file(attributes: u8, data: &str) -> Vec<u8> {
    [&[attributes, 0, 0, 0], data.as_bytes()].concat()
}

type Stored = BTreeMap<String, Vec<u8>>;

/// Firmware that fails from one of its calls on, or at that one alone.
#[derive(Debug, Default)]
struct Firmware {
    stored: RefCell<Stored>,
    /// What efivarfs shows of variables that were never written.
    empty: RefCell<Vec<String>>,
    calls: RefCell<Vec<String>>,
    fails_at: Option<usize>,
    stays_broken: bool,
    errno: Option<Errno>,
    /// Keeps a byte less than it is given.
    forgets: bool,
    locked: Cell<bool>,
}

impl Firmware {
    fn with(stored: &Stored) -> Self {
        Self { stored: RefCell::new(stored.clone()), ..Self::default() }
    }

    fn call(&self, what: &str, name: &str) -> io::Result<()> {
        let mut calls = self.calls.borrow_mut();
        calls.push(format!("{what} {name}"));
        let number = calls.len() - 1;
        let fails = Some(number) == self.fails_at || self.locked.get();
        if fails {
            self.locked.set(self.stays_broken);
            return Err(self.errno.unwrap_or(Errno::EIO).into());
        }
        Ok(())
    }
}

impl Variables for Firmware {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.call("read", name)?;
        Ok(self.stored.borrow().get(name).cloned())
    }

    fn write(&self, name: &str, file: &[u8]) -> io::Result<()> {
        let mut stored = self.stored.borrow_mut();
        if !stored.contains_key(name) {
            // As the kernel does: the file is made before the firmware is asked.
            self.empty.borrow_mut().push(name.to_owned());
        }
        self.call("write", name)?;
        self.empty.borrow_mut().retain(|one| one != name);
        if stored.get(name).is_some_and(|there| there.get(..4) != file.get(..4)) {
            return Err(Errno::EINVAL.into());
        }
        let kept = if self.forgets { file.len() - 1 } else { file.len() };
        stored.insert(name.to_owned(), file[..kept].to_vec());
        Ok(())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.call("delete", name)?;
        self.stored.borrow_mut().remove(name);
        self.empty.borrow_mut().retain(|one| one != name);
        Ok(())
    }
}

/// What a repeated request does: a list replaced, one with attributes of somebody else, one new, one
/// that goes, one that was not there.
fn request() -> (Stored, Vec<Write>, Stored) {
    let before = BTreeMap::from([
        ("MokNew".to_owned(), file(7, "old list")),
        ("MokAuth".to_owned(), file(3, "old hash")),
        ("MokDel".to_owned(), file(7, "goes")),
        ("MokXNew".to_owned(), file(7, "is not touched")),
    ]);
    let writes = vec![
        write("MokNew", "list"),
        write("MokAuth", SECRET),
        write("MokTimeout", "300 "),
        delete("MokDel"),
        delete("MokDelAuth"),
    ];
    let after = BTreeMap::from([
        ("MokNew".to_owned(), file(7, "list")),
        ("MokAuth".to_owned(), file(7, SECRET)),
        ("MokTimeout".to_owned(), file(7, "300 ")),
        ("MokXNew".to_owned(), file(7, "is not touched")),
    ]);
    (before, writes, after)
}

#[test]
fn writes_are_done_in_their_order_with_the_attributes_of_a_request() {
    let (before, writes, after) = request();
    let firmware = Firmware::with(&before);
    all_or_nothing(&firmware, &writes).unwrap();
    assert_eq!(*firmware.stored.borrow(), after);
    let changes: Vec<_> =
        firmware.calls.take().into_iter().filter(|call| !call.starts_with("read")).collect();
    let expected = [
        "write MokNew",
        // Other attributes than a request has: the firmware takes no others for what is there.
        "delete MokAuth",
        "write MokAuth",
        "write MokTimeout",
        "delete MokDel",
        "delete MokDelAuth",
    ];
    assert_eq!(changes, expected);
}

#[test]
fn wherever_it_fails_all_is_as_it_was() {
    let (before, writes, after) = request();
    let whole = Firmware::with(&before);
    all_or_nothing(&whole, &writes).unwrap();
    let calls = whole.calls.take();
    for (at, call) in calls.iter().enumerate() {
        let errno = Some(Errno::ENOSPC);
        let firmware = Firmware { fails_at: Some(at), errno, ..Firmware::with(&before) };
        let refusal = all_or_nothing(&firmware, &writes).unwrap_err();
        assert_eq!(*firmware.stored.borrow(), before, "{call}");
        assert!(firmware.empty.borrow().is_empty(), "{call}");
        let name = call.split_once(' ').unwrap().1;
        assert!(refusal.why.starts_with(name), "{call}: {refusal}");
        assert!(refusal.why.ends_with("No space left on device"), "{refusal}");
        assert_eq!((refusal.kind, &*refusal.what), (RefusalKind::Blocked, NOT_WRITTEN));
        assert!(refusal.fix.contains("dump-*") && refusal.fix.contains("--list-enrolled"));
        assert!(!refusal.to_string().contains(SECRET));
    }
    assert_ne!(before, after);
    assert!(calls.len() > 15, "{calls:?}");
}

#[test]
fn what_cannot_be_put_back_is_named_with_the_way_out() {
    let (before, writes, _) = request();
    // The write of MokTimeout: two variables are written by then.
    let calls = Firmware::with(&before);
    all_or_nothing(&calls, &writes).unwrap();
    let at = calls.calls.take().iter().position(|call| call == "write MokTimeout");
    let firmware = Firmware { fails_at: at, stays_broken: true, ..Firmware::with(&before) };
    let refusal = all_or_nothing(&firmware, &writes).unwrap_err();
    assert_eq!(refusal.what, "a request to shim was written in part");
    assert!(refusal.why.starts_with("MokTimeout was not written: I/O error; and "));
    let back = "MokTimeout was not deleted: I/O error; MokAuth cannot be read: I/O error; \
                MokNew cannot be read: I/O error";
    assert!(refusal.why.ends_with(back), "last first: {refusal}");
    assert!(refusal.fix.contains("revoke-request"), "{refusal}");
    assert!(!refusal.to_string().contains(SECRET));
}

#[test]
fn what_reads_back_otherwise_is_not_written() {
    let firmware = Firmware { forgets: true, ..Firmware::default() };
    let refusal = all_or_nothing(&firmware, &[write("MokNew", "list")]).unwrap_err();
    assert_eq!(refusal.why, "MokNew holds something else than was written");
    assert!(refusal.fix.contains("firmware"), "{refusal}");
    assert!(firmware.stored.borrow().is_empty(), "there was none before");
}

#[test]
fn each_answer_of_the_kernel_has_its_way_out() {
    for (errno, kind, word) in [
        (Errno::ENOSPC, RefusalKind::Blocked, "remove crash dumps"),
        (Errno::EROFS, RefusalKind::Unsupported, "efi=noruntime"),
        (Errno::EPERM, RefusalKind::Blocked, "CAP_LINUX_IMMUTABLE"),
        (Errno::EACCES, RefusalKind::Blocked, "ausearch"),
        (Errno::EIO, RefusalKind::Blocked, "firmware refuses"),
        (Errno::EINVAL, RefusalKind::Blocked, "firmware refuses"),
        (Errno::EINTR, RefusalKind::Blocked, "firmware refuses"),
    ] {
        let firmware = Firmware { fails_at: Some(2), errno: Some(errno), ..Firmware::default() };
        let refusal = all_or_nothing(&firmware, &[write("MokNew", "list")]).unwrap_err();
        assert_eq!(refusal.kind, kind, "{errno}");
        assert!(refusal.why.contains(errno.desc()), "{errno}: {refusal}");
        assert!(refusal.fix.contains(word), "{errno}: {refusal}");
    }
    for errno in [Errno::ENOENT, Errno::ENOTDIR] {
        let refusal = fault::closed(Path::new(EFIVARS), &errno.into());
        assert_eq!(refusal.kind, RefusalKind::Unsupported);
        assert!(refusal.fix.contains("efi=noruntime") && refusal.fix.contains("MokManager"));
    }
    assert!(fault::closed(Path::new(EFIVARS), &Errno::EACCES.into()).fix.contains("ausearch"));
}

#[test]
fn only_requests_to_shim_may_be_written() {
    let auth = ["MokAuth", "MokDelAuth", "MokXAuth", "MokXDelAuth"];
    for name in ["MokNew", "MokDel", "MokXNew", "MokXDel", "MokTimeout"].into_iter().chain(auth) {
        assert_eq!(decode(&*encode(&[delete(name)]).unwrap()).unwrap(), [delete(name)]);
    }
    let others =
        ["db", "PK", "MokList", "MokSB", "MokDB", "MokPW", "MokListTrustedNew", "Boot0000"];
    let hostile = ["", "MokNew-", "moknew", "../MokNew", "MokNew\0", "MokNew1", "a\n\u{1b}[2J"];
    for name in others.into_iter().chain(hostile) {
        for data in [None, Some(SECRET.as_bytes().to_vec())] {
            let one = Write { name: name.to_owned(), data };
            let refusal = encode(&[write("MokNew", "list"), one.clone()]).unwrap_err();
            let text = serde_json::to_vec(&[one]).unwrap();
            assert_eq!(decode(&*text).unwrap_err(), refusal, "the program asks for itself");
            assert_eq!(refusal.kind, RefusalKind::InvalidArgument);
            assert!(!refusal.why.chars().any(char::is_control), "{refusal:?}");
            assert!(!refusal.to_string().contains(SECRET));
        }
    }
    let long = encode(&[delete(&"x".repeat(5000))]).unwrap_err();
    assert!(long.why.len() < 200, "{long}");
    let empty = encode(&[write("MokNew", "")]).unwrap_err();
    assert_eq!(empty.why, "MokNew has nothing to hold");
}

#[test]
fn garbage_is_refused_without_being_quoted() {
    let huge = vec![b' '; INPUT_BYTES + 1];
    let deep = "[".repeat(5000);
    let quoted = format!(r#"[{{"name":"MokNew","{SECRET}":1}}]"#);
    let typed = format!(r#"[{{"name":"MokNew","data":"{SECRET}"}}]"#);
    let number = r#"[{"name":"MokNew","data":[90210]}]"#;
    let garbage = ["", "null", "{}", "[1]", "[{}]", "[", "\u{0}", &deep, &quoted, &typed, number];
    for text in garbage.map(str::as_bytes).into_iter().chain([&b"\xff\xfe"[..]]) {
        let refusal = decode(text).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::InvalidArgument);
        let said = refusal.to_string();
        assert!(!said.contains(SECRET) && !said.contains("90210"), "{said}");
        assert!(refusal.why.starts_with("line "), "{said}");
    }
    let refusal = decode(&*huge).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::LimitExceeded);
    assert_eq!(decode(&*[vec![b' '; INPUT_BYTES - 2], b"[]".to_vec()].concat()), Ok(vec![]));
    let large = encode(&[write("MokNew", &"z".repeat(INPUT_BYTES / 4))]).unwrap_err();
    assert_eq!(large.kind, RefusalKind::LimitExceeded);
}

#[test]
fn a_refusal_comes_back_as_it_was_and_nothing_else_is_one() {
    let refusal = fault::too_much();
    let line = serde_json::to_string(&refusal).unwrap();
    assert_eq!(said(&format!("{line}\n")), Some(refusal.clone()));
    assert_eq!(said(&format!("a warning of the loader\n{line}\n\n")), Some(refusal));
    for text in ["", "error: unexpected argument '--write-variables' found\n", "{}", "null"] {
        assert_eq!(said(text), None, "{text}");
    }
}

/// A directory in efivarfs's place, and the file of a variable in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join(&EFIVARS[1..])).unwrap();
        Self(place)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        let file = format!("{name}-605dab50-e046-4300-abb6-3dd810dd8b23");
        self.0.path().join(&EFIVARS[1..]).join(file)
    }

    fn carry_out(&self, writes: &[Write]) -> Result<(), Refusal> {
        super::carry_out(self.0.path(), &*encode(writes).unwrap())
    }
}

#[test]
fn in_a_directory_a_variable_is_a_file_for_root_alone() {
    let place = Place::new();
    let long = "a list that was asked for before, and is longer";
    place.carry_out(&[write("MokNew", long), delete("MokDel")]).unwrap();
    assert_eq!(fs::read(place.file("MokNew")).unwrap(), file(7, long));
    assert_eq!(fs::metadata(place.file("MokNew")).unwrap().permissions().mode() & 0o777, 0o600);
    // As the kernel makes them at boot.
    fs::set_permissions(place.file("MokNew"), fs::Permissions::from_mode(0o644)).unwrap();
    place.carry_out(&[write("MokNew", "short"), write("MokAuth", SECRET)]).unwrap();
    assert_eq!(fs::read(place.file("MokNew")).unwrap(), file(7, "short"));
    assert_eq!(fs::read(place.file("MokAuth")).unwrap(), file(7, SECRET));
    for name in ["MokNew", "MokAuth"] {
        let mode = fs::metadata(place.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    place.carry_out(&[delete("MokNew"), delete("MokAuth")]).unwrap();
    assert!(!place.file("MokNew").exists() && !place.file("MokAuth").exists());
}

#[test]
fn in_a_directory_what_fails_leaves_what_was_there() {
    let place = Place::new();
    fs::write(place.file("MokNew"), file(6, "of an attribute less")).unwrap();
    // Made and never written: no variable to the firmware.
    fs::write(place.file("MokDel"), "").unwrap();
    // No file can be written here, whoever writes.
    fs::create_dir(place.file("MokAuth")).unwrap();
    let writes = [write("MokNew", "list"), write("MokDel", "list"), write("MokAuth", SECRET)];
    let refusal = place.carry_out(&writes).unwrap_err();
    assert!(refusal.why.starts_with("MokAuth "), "{refusal}");
    assert_eq!(refusal.what, NOT_WRITTEN, "{refusal}");
    assert_eq!(fs::read(place.file("MokNew")).unwrap(), file(6, "of an attribute less"));
    assert!(!place.file("MokDel").exists());
}

#[test]
fn a_link_is_not_followed() {
    let place = Place::new();
    let elsewhere = place.0.path().join("elsewhere");
    fs::write(&elsewhere, "untouched").unwrap();
    std::os::unix::fs::symlink(&elsewhere, place.file("MokNew")).unwrap();
    let refusal = place.carry_out(&[write("MokNew", "list")]).unwrap_err();
    assert!(refusal.why.starts_with("MokNew cannot be read"), "{refusal}");
    assert_eq!(fs::read(elsewhere).unwrap(), b"untouched");
}

#[test]
fn without_the_directory_or_anything_mounted_on_it_there_are_no_variables() {
    let empty = tempfile::tempdir().unwrap();
    let text = encode(&[write("MokNew", "list")]).unwrap();
    let refusal = super::carry_out(empty.path(), &*text).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unsupported);
    assert!(refusal.why.contains(empty.path().to_str().unwrap()), "{refusal}");
    // The directory is the kernel's own where efivarfs is not mounted.
    let bare = Efivarfs::open(Path::new("/sys/kernel")).unwrap_err();
    assert_eq!(bare.raw_os_error(), Some(Errno::ENOENT as i32));
}

#[test]
fn a_file_that_is_guarded_is_written_and_guarded_again() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let place = Place::new();
    fs::write(place.file("MokNew"), file(7, "old")).unwrap();
    let guard = |on: bool| {
        let opened = fs::File::open(place.file("MokNew"))?;
        let flags = ioctl_getflags(&opened)?.difference(IFlags::IMMUTABLE);
        ioctl_setflags(&opened, if on { flags | IFlags::IMMUTABLE } else { flags })?;
        io::Result::Ok(())
    };
    if let Err(error) = guard(true) {
        // Neither root nor a file system with flags: the guest has both.
        println!("skipped: a_file_that_is_guarded_is_written_and_guarded_again: {error}");
        return;
    }
    let guarded = || {
        let opened = fs::File::open(place.file("MokNew")).unwrap();
        ioctl_getflags(&opened).unwrap().contains(IFlags::IMMUTABLE)
    };
    let written = place.carry_out(&[write("MokNew", "new")]);
    let (kept, after) = (fs::read(place.file("MokNew")).unwrap(), guarded());
    let deleted = place.carry_out(&[delete("MokNew")]);
    let gone = !place.file("MokNew").exists();
    if !gone {
        // Else the directory stays for ever.
        guard(false).unwrap();
    }
    assert_eq!((written, kept, after), (Ok(()), file(7, "new"), true));
    assert_eq!((deleted, gone), (Ok(()), true));
}
