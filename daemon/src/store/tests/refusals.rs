//! What is not taken in, and that nothing of it stays.

use std::os::unix::net::UnixListener;

use tar::EntryType;

use super::source::{HASH, KERNEL, VERSION, described, gz, library, member, module, xz, zst};
use super::*;
use crate::module_file::stand_in;

fn refused(source: Source) -> Refusal {
    Place::new().refusal(&source.tar())
}

#[test]
fn paths_that_lead_out_are_named() {
    for (path, why) in [
        ("../usr/bin/onload", "leads out of the tree"),
        ("usr/bin/../../../etc/shadow", "leads out of the tree"),
        ("/usr/bin/onload", "absolute"),
        ("/etc/shadow", "absolute"),
        ("usr/bin/onload\u{1b}[2J", "control characters"),
        ("etc/new\nline", "control characters"),
    ] {
        let refusal = refused(Source::release().file(path, 0o755, b"bad"));
        says(&refusal, why);
        let shown: String = path.chars().flat_map(char::escape_debug).collect();
        says(&refusal, &shown);
        assert!(!refusal.why.contains(['\n', '\u{1b}']), "{refusal}");
    }
}

#[test]
fn links_that_lead_out_are_named() {
    for (target, why) in [
        ("/etc/shadow", "an absolute path"),
        ("../../../etc/shadow", "out of the tree"),
        ("a\tb", "control characters"),
    ] {
        let refusal = refused(Source::release().link("usr/bin/onload_bad", target));
        says(&refusal, why);
        says(&refusal, "usr/bin/onload_bad");
    }
    for target in ["/usr/bin/onload", "../usr/bin/onload", "etc/passwd", "usr/bin/onload_none"] {
        let source = Source::release().other("usr/bin/onload_hard", EntryType::Link, target);
        assert!(refused(source).why.contains(target), "{target}");
    }
    // Elsewhere they are nobody's business: every image is full of them.
    Place::new().import(&Source::release().link("etc/mtab", "/proc/mounts").tar()).unwrap();
}

#[test]
fn what_is_no_file_is_named() {
    let at = "usr/bin/onload_odd";
    for (kind, why) in [
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a fifo"),
        (EntryType::GNUSparse, "a sparse file"),
        (EntryType::new(b'?'), "no word"),
    ] {
        let refusal = refused(Source::release().other(at, kind, ""));
        says(&refusal, why);
        says(&refusal, at);
    }
    for mode in [0o4755, 0o2755, 0o1755, 0o6755] {
        says(&refused(Source::release().file(at, mode, b"root")), "set-user-id");
    }
    Place::new().import(&Source::release().other("dev/null", EntryType::Char, "").tar()).unwrap();
}

#[test]
fn what_is_no_file_in_a_directory_is_named_too() {
    let refuse = |make: fn(&Path)| {
        let (place, source) = (Place::new(), tempfile::tempdir().unwrap());
        Source::release().unpack(source.path());
        make(&source.path().join("usr/bin/onload_odd"));
        let taken = directory(source.path());
        let refused = place.store.import_now(taken, None, Cancel::default()).unwrap_err();
        assert!(refused.why.contains("usr/bin/onload_odd"), "{refused}");
        assert!(place.names().is_empty());
        refused
    };
    let socket = refuse(|path| drop(UnixListener::bind(path).unwrap()));
    says(&socket, "a socket");
    says(
        &refuse(|path| {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o644);
            nix::unistd::mkfifo(path, mode).unwrap();
        }),
        "a fifo",
    );
    let link = refuse(|path| std::os::unix::fs::symlink("/etc/shadow", path).unwrap());
    says(&link, "absolute");
    says(
        &refuse(|path| {
            fs::write(path, "root").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o4755)).unwrap();
        }),
        "set-user-id",
    );
}

#[test]
fn a_directory_behind_a_link_is_not_entered() {
    let (place, source, elsewhere) =
        (Place::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Source::release().unpack(elsewhere.path());
    std::os::unix::fs::symlink(elsewhere.path().join("usr"), source.path().join("usr")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("lib"), source.path().join("lib")).unwrap();
    let taken = directory(source.path());
    let refused = place.store.import_now(taken, None, Cancel::default()).unwrap_err();
    says(&refused, "has no modules");
}

#[test]
fn a_release_is_complete_for_each_kernel() {
    for gone in ["sfc", "sfc_resource", "sfc_char", "onload"] {
        let refusal = refused(Source::release().without(&format!("extra/{gone}.ko")));
        says(&refusal, KERNEL);
        says(&refusal, &format!("but not {gone}"));
    }
    says(&refused(Source::user("usr/lib64/")), "has no modules");
    let no_libraries = refused(Source::modules("opt/lib/modules/", KERNEL, VERSION));
    says(&no_libraries, "no libraries");
    assert!(no_libraries.fix.contains("onload-user"), "{no_libraries}");
}

#[test]
fn modules_are_modules_of_one_build() {
    let path = format!("lib/modules/{KERNEL}/extra/sfc.ko");
    let with = |bytes: &[u8]| Source::release().without("/sfc.ko").file(&path, 0o644, bytes);
    let good = module("sfc", KERNEL, VERSION);
    for bytes in [b"#!/bin/sh\n".as_slice(), b"", &good[..40], &gz(&gz(&good))] {
        let refusal = refused(with(bytes));
        says(&refusal, "is no usable module");
        says(&refusal, &path);
    }
    let other_kernel = stand_in::write(&described("6.1.0", VERSION));
    says(&refused(with(&other_kernel)), "vermagic");
    let mut other_machine = described(KERNEL, VERSION);
    other_machine.machine = 183;
    says(&refused(with(&stand_in::write(&other_machine))), "ELF machine");
    let second = Source::modules("lib/modules/", "6.1.0", "9.9.9");
    says(&refused(Source::release().and(second)), "version");
}

#[test]
fn libraries_are_of_the_same_build() {
    let other = HASH.replace('0', "f");
    let source = Source::release().without("libonload.so").file(
        "usr/lib64/libonload.so",
        0o755,
        &library(&other),
    );
    let refusal = refused(source);
    says(&refusal, "usr/lib64/libonload.so");
    says(&refusal, "not of one build");
}

#[test]
fn a_release_without_a_version_must_be_named() {
    for version in ["", "a version of words"] {
        let source =
            Source::modules("lib/modules/", KERNEL, version).and(Source::user("usr/lib64/"));
        let place = Place::new();
        let refusal = place.refusal(&source.tar());
        assert!(refusal.fix.contains("--version"), "{refusal}");
        place.import_as(&source.tar(), "9.2.1").unwrap();
    }
    let host = Source::modules("lib/modules/", KERNEL, "host").and(Source::user("usr/lib64/"));
    says(&refused(host), "meaning of its own");
}

#[test]
fn what_ends_too_soon_is_not_a_release() {
    let tar = Source::release().tar();
    let place = Place::new();
    // Between two members too, where the library sees nothing amiss.
    for length in (1..tar.len() - 1024).step_by(512).chain([tar.len() - 1024, 100]) {
        let refusal = place.refusal(&tar[..length]);
        assert_ne!(refusal.kind, RefusalKind::Internal, "{length}: {refusal}");
    }
    for packed in [gz(&tar), xz(&tar), zst(&tar)] {
        place.refusal(&packed[..packed.len() / 2]);
        place.refusal(&packed[..packed.len() - 1]);
    }
    says(&place.refusal(b""), "no tar archive");
    says(&place.refusal(&[b'x'; 4096]), "no tar archive");
    says(&place.refusal(&gz(b"not a tar")), "no tar archive");
    let null = File::open("/dev/null").unwrap().into();
    let refusal = place.store.import_now(null, None, Cancel::default()).unwrap_err();
    says(&refusal, "no directory, file or pipe");
}

#[test]
fn bounds_hold_for_everything_that_is_read() {
    let bomb = vec![0; 8 << 20];
    let bounds = |change: fn(&mut Bounds)| {
        let mut bounds = Bounds::default();
        change(&mut bounds);
        Place::bounded(bounds)
    };
    let skipped = Source::release().file("var/zeros", 0o644, &bomb).tar();
    let kept = Source::release().file("usr/bin/onload_big", 0o755, &bomb).tar();
    let many = (0..200).fold(Source::release(), |source, number| {
        source.file(&format!("usr/bin/onload_{number}"), 0o755, b"")
    });
    let packed_module = Source::release().without("extra/onload.ko").file(
        &format!("lib/modules/{KERNEL}/extra/onload.ko.xz"),
        0o644,
        &xz(&bomb),
    );
    for (place, source, why) in [
        (bounds(|all| all.bytes = 1 << 20), gz(&skipped), "unpacks to more than 1048576 bytes"),
        (bounds(|all| all.bytes = 1 << 20), xz(&skipped), "unpacks to more than 1048576 bytes"),
        (bounds(|all| all.bytes = 1 << 20), zst(&skipped), "unpacks to more than 1048576 bytes"),
        (bounds(|all| all.file_bytes = 1 << 20), kept.clone(), "usr/bin/onload_big is larger"),
        (bounds(|all| all.kept_bytes = 1 << 20), kept, "usr/bin/onload_big"),
        (bounds(|all| all.file_bytes = 1 << 20), packed_module.tar(), "onload.ko.xz is larger"),
        (bounds(|all| all.members = 100), many.tar(), "more than 100 files"),
        (bounds(|all| all.kept = 100), many.tar(), "more than 100 files of a release"),
        (Place::new(), Source::release().file(&"d/".repeat(80), 0o644, b"").tar(), "deep"),
        (Place::new(), Source::release().file(&"d".repeat(5000), 0o644, b"").tar(), "longer"),
    ] {
        let refusal = place.refusal(&source);
        says(&refusal, why);
        assert_eq!(refusal.kind, RefusalKind::LimitExceeded, "{refusal}");
    }
}

#[test]
fn headers_that_hide_something_are_refused() {
    let with = |record: &str| {
        let mut bytes = Vec::new();
        member(&mut bytes, "pax", EntryType::XHeader, 0o644, "", record.as_bytes());
        bytes.extend(Source::release().tar());
        Place::new().refusal(&bytes)
    };
    says(&with("12 size=999\n"), "extended header");
    says(&with("22 GNU.sparse.major=1\n"), "extended header");
    says(&with("18 path=../shadow\n"), "leads out");
    for bad in
        ["999 path=x\n", "x path=y\n", "0 \n", "5 a=b", "6 ab\n", "18446744073709551616 a=b\n"]
    {
        says(&with(bad), "does not parse");
    }
    let mut long = Vec::new();
    member(&mut long, "long", EntryType::GNULongName, 0o644, "", &vec![b'a'; 2 << 20]);
    long.extend(Source::release().tar());
    says(&Place::new().refusal(&long), "more than a megabyte");
    let mut last = Source::release().tar();
    last.truncate(last.len() - 1024);
    member(&mut last, "long", EntryType::GNULongName, 0o644, "", b"usr/bin/onload_x");
    last.extend([0; 1024]);
    says(&Place::new().refusal(&last), "followed by nothing");
}
