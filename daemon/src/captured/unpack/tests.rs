//! What is unpacked is what was packed, nothing leads out of it, and nothing of it stays.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect ends there")]

use std::os::unix::fs::PermissionsExt as _;

use tar::EntryType;

use super::*;
use crate::store::tests::source::Source;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn unpack(&self, bytes: &[u8], bounds: Bounds, cancel: Cancel) -> Result<Unpacked, Refusal> {
        let archive = self.0.path().join("c.tar");
        fs::write(&archive, bytes).unwrap();
        unpack_now(&archive, self.0.path(), bounds, cancel)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(Result::unwrap);
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

fn bounds() -> Bounds {
    Bounds::of(1 << 20, 100)
}

/// Why an archive is refused, of which nothing is left then.
fn refused(bytes: &[u8], bounds: Bounds) -> Refusal {
    let place = Place::new();
    let refusal = place.unpack(bytes, bounds, Cancel::default()).unwrap_err();
    assert_eq!(place.names(), ["c.tar"], "{refusal}");
    assert!(!refusal.why.is_empty() && !refusal.fix.is_empty(), "{refusal}");
    refusal
}

#[test]
fn what_was_packed_is_there_and_goes_with_it() {
    let source = Source::default()
        .other("c/", EntryType::Directory, "")
        .file("c/capture.json", 0o644, b"{}")
        .file("c/nodes/n/machine/usr/sbin/sfptpd", 0o755, b"")
        .link("c/nodes/n/machine/sys/class/net/a", "../../devices/a")
        .link("c/nodes/n/machine/etc/masked", "/dev/null")
        .other("c/nodes/n/machine/same", EntryType::Link, "c/capture.json")
        .other("c/nodes/n/machine/empty", EntryType::Directory, "");
    let place = Place::new();
    let unpacked = place.unpack(&source.tar(), bounds(), Cancel::default()).unwrap();
    let top = unpacked.top().unwrap();
    assert!(top.ends_with("c"));
    let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&unpacked.path), 0o700);
    let machine = top.join("nodes/n/machine");
    assert_eq!(mode(&machine.join("usr/sbin/sfptpd")), 0o755, "that it can be run is kept");
    assert_eq!(mode(&top.join("capture.json")), 0o644);
    assert_eq!(fs::read(machine.join("same")).unwrap(), b"{}");
    let target = |path: &str| fs::read_link(machine.join(path)).unwrap();
    assert_eq!(target("sys/class/net/a"), Path::new("../../devices/a"));
    assert_eq!(target("etc/masked"), Path::new("/dev/null"));
    assert!(machine.join("empty").is_dir());
    drop(unpacked);
    assert_eq!(place.names(), ["c.tar"]);
}

#[test]
fn the_top_is_where_the_manifest_is() {
    let place = Place::new();
    let is_top = |source: Source| {
        let unpacked = place.unpack(&source.tar(), bounds(), Cancel::default()).unwrap();
        unpacked.top().map(|top| top.strip_prefix(&unpacked.path).unwrap().to_owned())
    };
    let manifest = |path: &str| Source::default().file(path, 0o644, b"{}");
    assert_eq!(is_top(manifest("./capture.json")), Some(PathBuf::new()));
    assert_eq!(is_top(manifest("c/capture.json")), Some("c".into()));
    assert_eq!(is_top(manifest("c/d/capture.json")), None);
    assert_eq!(is_top(manifest("c/capture.json").file("other", 0o644, b"")), None);
    assert_eq!(is_top(Source::default().link("c", ".").file("d", 0o644, b"")), None);
}

#[test]
fn what_leads_out_or_is_no_file_is_refused() {
    let file = |path: &str| Source::default().file(path, 0o644, b"x");
    let other = |kind, target: &str| Source::default().other("c/x", kind, target);
    for (source, why) in [
        (file("/etc/x"), "absolute"),
        (file("c/../../x"), "leads out"),
        (other(EntryType::Symlink, "../../x"), "is a link that leads out of it"),
        (other(EntryType::Symlink, "../a/../../x"), "is a link that leads out of it"),
        (other(EntryType::Link, "/etc/passwd"), "absolute"),
        (other(EntryType::Link, "../x"), "leads out"),
        (other(EntryType::Link, "c/none"), "no file before it"),
        (other(EntryType::Char, ""), "is a device"),
        (other(EntryType::Block, ""), "is a device"),
        (other(EntryType::Fifo, ""), "is a fifo"),
        (file("c/x").file("c/x", 0o644, b"y"), "twice"),
        (file("c/x").file("c/x/y", 0o644, b"y"), "something else"),
        (other(EntryType::Symlink, "y").file("c/x/y", 0o644, b"y"), "something else"),
        (other(EntryType::Symlink, "y").other("c/x", EntryType::Directory, ""), "something else"),
    ] {
        let refusal = refused(&source.tar(), bounds());
        assert_eq!(refusal.kind, RefusalKind::InvalidArgument, "{refusal}");
        assert!(refusal.why.contains(why), "{why}: {refusal}");
    }
}

#[test]
fn nothing_is_written_through_a_link_to_a_directory() {
    let place = Place::new();
    let outside = place.0.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let out = outside.to_str().unwrap();
    let source = Source::default().link("c", out).file("c/x", 0o644, b"x");
    let refusal = place.unpack(&source.tar(), bounds(), Cancel::default()).unwrap_err();
    assert!(refusal.why.contains("c is a directory and something else"), "{refusal}");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn bounds_hold_and_a_broken_archive_is_told_as_one() {
    let large = Source::default().file("c/x", 0o644, &[0; 200_000]).tar();
    let refusal = refused(&large, Bounds::of(100_000, 100));
    assert_eq!(refusal.kind, RefusalKind::LimitExceeded);
    assert!(refusal.why.contains("more than 100000 bytes"), "{refusal}");
    let many = (0..11).fold(Source::default(), |all, n| all.file(&format!("{n}"), 0o644, b""));
    let refusal = refused(&many.tar(), Bounds::of(1 << 20, 10));
    assert_eq!(refusal.kind, RefusalKind::LimitExceeded);
    assert!(refusal.why.contains("more than 10 files"), "{refusal}");
    for (bytes, why) in [(&large[..150_000], "c/x"), (b"no archive", "no tar archive")] {
        let refusal = refused(bytes, bounds());
        assert_eq!(refusal.kind, RefusalKind::InvalidArgument, "{refusal}");
        assert!(refusal.why.contains(why), "{why}: {refusal}");
    }
}

#[test]
fn who_no_longer_waits_for_it_leaves_nothing() {
    let place = Place::new();
    let cancel = Cancel::default();
    cancel.tell();
    let bytes = Source::default().file("c/capture.json", 0o644, b"{}").tar();
    let refusal = place.unpack(&bytes, bounds(), cancel).unwrap_err();
    assert_eq!((refusal.kind, place.names()), (RefusalKind::Cancelled, vec!["c.tar".to_owned()]));
}

#[test]
fn where_nothing_can_be_made_that_is_told() {
    let place = Place::new();
    let archive = place.0.path().join("c.tar");
    fs::write(&archive, Source::default().tar()).unwrap();
    let none = place.0.path().join("none");
    let refusal = unpack_now(&archive, &none, bounds(), Cancel::default()).unwrap_err();
    assert!(refusal.why.contains("none: ") && refusal.fix.contains("TMPDIR"), "{refusal}");
}
