//! Tests of the root, and roots for the tests of others.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// What a test does when a path is about to be opened.
#[derive(Default)]
pub(super) struct Hook(RefCell<Option<Act>>);

type Act = Box<dyn FnMut(&str)>;

impl Hook {
    pub(super) fn call(&self, path: &str) {
        if let Some(hook) = self.0.borrow_mut().as_mut() {
            hook(path);
        }
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

/// A root in a temporary directory with files of the given content.
pub(in crate::host::linux) fn root_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Dir) {
    let place = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let root = Dir::root(place.path(), BTreeMap::new()).unwrap();
    (place, root)
}

/// Makes `act` run once, just before `path` is opened for the `time`th time.
pub(in crate::host::linux) fn before(
    root: &Dir,
    path: &'static str,
    time: usize,
    act: impl FnOnce() + 'static,
) {
    let mut act = Some(act);
    let mut seen = 0;
    *root.shared.before.0.borrow_mut() = Some(Box::new(move |opened| {
        if opened == path {
            seen += 1;
            if seen == time
                && let Some(act) = act.take()
            {
                act();
            }
        }
    }));
}

#[test]
fn nothing_leads_out_of_the_root() {
    let (place, root) = root_with(&[("etc/hostname", "inside\n")]);
    symlink("/etc/hostname", place.path().join("absolute")).unwrap();
    symlink("../../../../../../etc/hostname", place.path().join("etc/upwards")).unwrap();
    for path in ["absolute", "etc/upwards", "../../etc/hostname", "/etc/hostname"] {
        assert_eq!(root.line(path), Reading::Known("inside".to_owned()), "{path}");
    }
}

#[test]
fn a_file_is_there_or_absent_or_unreadable() {
    let (place, root) = root_with(&[("empty", ""), ("half", "0x19"), ("large", "0123456789")]);
    symlink("nowhere", place.path().join("dangling")).unwrap();
    symlink("circle", place.path().join("circle")).unwrap();
    assert_eq!(root.line("missing"), Reading::Absent);
    assert_eq!(root.line("dangling"), Reading::Absent);
    assert_eq!(root.line("empty/below-a-file"), Reading::Absent);
    for path in ["empty", "half", "circle", "."] {
        assert!(root.line(path).is_unreadable(), "{path}");
    }
    assert!(root.read("large", 9).is_unreadable());
    assert_eq!(root.read("large", 10), Reading::Known(b"0123456789".to_vec()));
    assert_eq!(root.link("dangling"), Reading::Known("nowhere".to_owned()));
    assert_eq!(root.link("half"), Reading::Absent);
    assert_eq!(root.list("missing"), Reading::Absent);
}

#[test]
fn a_subject_that_goes_away_or_is_replaced_while_it_is_read_is_absent() {
    let (place, root) = root_with(&[("eth0/address", "02:00:00:00:00:01\n")]);
    assert_eq!(root.subject("eth0", |_| ()), Reading::Known(()));
    let at = place.path().join("eth0");
    let renamed = root.subject("eth0", |dir| {
        fs::rename(&at, at.with_file_name("eth1")).unwrap();
        fs::create_dir(&at).unwrap();
        dir.line("address")
    });
    assert_eq!(renamed, Reading::Absent);
    let gone = root.subject("eth1", |dir| {
        fs::remove_dir_all(at.with_file_name("eth1")).unwrap();
        dir.line("address")
    });
    assert_eq!(gone, Reading::Absent);
}
