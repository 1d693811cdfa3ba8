//! Removing releases, used and not.

use super::source::VERSION;
use super::*;

/// Removes a release while these processes run. All of a machine that tests run on may not be for
/// us to see.
fn remove_beside(place: &Place, name: &str, pids: &[u32]) -> Result<(), Refusal> {
    let processes = tempfile::tempdir().unwrap();
    for pid in pids {
        symlink(format!("/proc/{pid}"), processes.path().join(pid.to_string())).unwrap();
    }
    let mut store = place.store.clone();
    store.processes = processes.path().to_owned();
    removal::remove(&store, &name.parse().unwrap())
}

fn remove(place: &Place, name: &str) -> Result<(), Refusal> {
    remove_beside(place, name, &[std::process::id()])
}

#[test]
fn a_release_that_nobody_uses_goes() {
    let place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    place.store.select(&VERSION.parse().unwrap()).unwrap();
    remove(&place, VERSION).unwrap();
    assert!(place.names().is_empty(), "{:?}", place.names());
    let again = remove(&place, VERSION).unwrap_err();
    assert_eq!(again.kind, RefusalKind::NotFound);
    assert_eq!(remove(&Place::new(), VERSION).unwrap_err().kind, RefusalKind::NotFound);
}

#[test]
fn only_releases_are_removed() {
    let place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    place.store.select(&VERSION.parse().unwrap()).unwrap();
    for name in ["current", "host", "in-tree"] {
        assert_eq!(remove(&place, name).unwrap_err().kind, RefusalKind::NotFound, "{name}");
    }
    assert_eq!(place.names(), [VERSION, "current"]);
}

#[test]
fn a_release_with_an_open_file_stays_and_its_user_is_named() {
    let place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    let library = place.releases().join(VERSION).join("usr/lib64/libonload.so");
    let open = File::open(library).unwrap();
    let refused = remove(&place, VERSION).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::InUse, "{refused}");
    says(&refused, &std::process::id().to_string());
    assert_eq!(place.names(), [VERSION]);
    drop(open);
    remove(&place, VERSION).unwrap();
}

#[test]
fn a_release_whose_program_runs_stays_and_it_is_named() {
    let place = Place::new();
    let shell = fs::read("/bin/sleep").unwrap();
    let source = Source::release().file("usr/bin/onload_sleep", 0o755, &shell);
    place.import(&source.tar()).unwrap();
    let program = place.releases().join(VERSION).join("usr/bin/onload_sleep");
    let mut child = std::process::Command::new(program).arg("600").spawn().unwrap();
    let refused = remove_beside(&place, VERSION, &[child.id()]).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    says(&refused, &format!("{} (onload_sleep)", child.id()));
    remove(&place, VERSION).unwrap();
}

/// A `/proc` made by hand, with one process that has one thing mapped.
fn processes(maps: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let process = directory.path().join("4711");
    fs::create_dir_all(process.join("fd")).unwrap();
    fs::write(process.join("comm"), "trader\n").unwrap();
    fs::write(process.join("maps"), maps).unwrap();
    fs::write(directory.path().join("uptime"), "1 1\n").unwrap();
    directory
}

#[test]
fn a_library_in_a_container_is_told_by_its_number() {
    use std::os::unix::fs::MetadataExt;
    let mut place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    let library = place.releases().join(VERSION).join("usr/lib64/libonload.so");
    let inode = fs::metadata(library).unwrap().ino();
    let line = |device: &str, inode: u64, path: &str| {
        format!("7f00-7f01 r-xp 00000000 {device} {inode}    {path}\n")
    };
    for (maps, uses) in [
        (line("ff:ff", inode, "/usr/lib64/libonload.so"), true),
        (line("ff:ff", inode, "/usr/lib64/libonload.so (deleted)"), true),
        (line("ff:ff", inode, "/usr/lib64/libc.so.6"), false),
        (line("ff:ff", 1, "/usr/lib64/libonload.so"), false),
        ("7f00-7f01 rw-p 00000000 00:00 0    [heap]\n\ngarbage".to_owned(), false),
    ] {
        let directory = processes(&maps);
        place.store.processes = directory.path().to_owned();
        let result = removal::must_be_unused(&place.store, &VERSION.parse().unwrap());
        match (result, uses) {
            (Err(refused), true) => says(&refused, "4711 (trader)"),
            (Ok(()), false) => {}
            (result, _) => panic!("{maps}: {result:?}"),
        }
    }
}

#[test]
fn what_was_half_removed_before_does_not_stand_in_the_way() {
    let place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    let left = place.releases().join(format!(".remove-{VERSION}/usr"));
    fs::create_dir_all(left).unwrap();
    remove(&place, VERSION).unwrap();
    assert!(place.names().is_empty());
}

#[test]
fn a_process_that_cannot_be_looked_at_may_be_a_user() {
    let looked = fs::read("/proc/1/maps").map_err(|error| error.kind());
    if !nix::unistd::geteuid().is_root() || looked != Err(io::ErrorKind::PermissionDenied) {
        println!("skipped: there is no process that root may not look at");
        return;
    }
    let place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    let refused = remove_beside(&place, VERSION, &[1]).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Blocked, "{refused}");
    says(&refused, "may not see what 1 (");
    assert_eq!(place.names(), [VERSION]);
}
