//! Imports that do not come to their end, and two at once.

use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::source::VERSION;
use super::*;

/// Names the state directory to [`an_import_by_another_process`].
const STATE: &str = "ONLOADD_TEST_STATE";

/// No test but a program for those below: takes in what comes on standard input.
#[test]
#[ignore = "a program for other tests, which run it"]
fn an_import_by_another_process() {
    let store = Store::new(Path::new(&std::env::var(STATE).unwrap()));
    let source = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned().unwrap();
    let name = store.import_now(source, None, Cancel::default()).unwrap();
    removal::remove(&store, &name).unwrap();
    let source = opened(&Source::release().tar());
    store.import_now(source, None, Cancel::default()).unwrap();
}

fn another_process(state: &Path) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    let name = "store::tests::interrupted::an_import_by_another_process";
    program.args(["--exact", name, "--ignored", "--nocapture"]).env(STATE, state);
    program.stdin(Stdio::piped()).stdout(Stdio::null());
    program
}

#[test]
fn what_a_killed_process_left_is_swept() {
    let place = Place::new();
    let mut child = another_process(place.directory.path()).spawn().unwrap();
    let tar = Source::release().tar();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&tar[..tar.len() / 2]).unwrap();
    let begun = Instant::now();
    while !place.names().iter().any(|name| {
        fs::read_dir(place.releases().join(name).join(".files"))
            .is_ok_and(|files| files.count() > 2)
    }) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", place.names());
        std::thread::sleep(Duration::from_millis(5));
    }
    place.store.sweep().unwrap();
    assert_eq!(place.names().len(), 1, "it is at work");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.names().len(), 1, "nobody has swept yet");
    place.store.sweep().unwrap();
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn it_works_without_privileges() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: every test here runs without privileges");
        return;
    }
    const NOBODY: u32 = 65534;
    let place = Place::new();
    std::os::unix::fs::chown(place.directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut program = another_process(place.directory.path());
    let mut child = match program.uid(NOBODY).gid(NOBODY).current_dir("/").spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: nobody may not run this test: {error}");
            return;
        }
    };
    child.stdin.take().unwrap().write_all(&Source::release().tar()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(place.names(), [VERSION]);
}

#[test]
fn leftovers_are_swept_and_work_under_way_is_not() {
    let place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    let releases = place.releases();
    for left in [".import-77", ".remove-9.0"] {
        fs::create_dir_all(releases.join(left).join("usr/lib64")).unwrap();
        fs::write(releases.join(left).join("usr/lib64/libonload.so"), "half").unwrap();
        let read_only = fs::Permissions::from_mode(0o500);
        fs::set_permissions(releases.join(left).join("usr/lib64"), read_only).unwrap();
    }
    symlink(VERSION, releases.join(".current-new")).unwrap();
    fs::create_dir(releases.join("other")).unwrap();
    let working = Staging::begin(&releases).unwrap();
    let root = working.tree().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(place.names(), [root.as_str(), VERSION, "other"]);
    place.store.sweep().unwrap();
    assert_eq!(place.names(), [root.as_str(), VERSION, "other"], "it is at work");
    drop(working);
    assert_eq!(place.names(), [VERSION, "other"]);
    Place::new().store.sweep().unwrap();
}

#[test]
fn of_two_imports_of_one_name_one_wins() {
    let place = Place::new();
    let tar = Source::release().tar();
    for round in 0..8 {
        let name = format!("r{round}");
        let results: Vec<_> = std::thread::scope(|scope| {
            let imports: Vec<_> =
                (0..2).map(|_| scope.spawn(|| place.import_as(&tar, &name))).collect();
            imports.into_iter().map(|import| import.join().unwrap()).collect()
        });
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{results:?}");
        let lost = results.into_iter().find_map(Result::err).unwrap();
        says(&lost, "is there already");
    }
    assert_eq!(place.names().len(), 8, "{:?}", place.names());
}

#[test]
fn an_import_ends_when_nobody_waits_for_it() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A pipe that stays open and silent, after half of an archive.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&Source::release().tar()[..3000]).unwrap();
    runtime.block_on(async {
        let import = place.store.import(reader.into(), None);
        assert!(tokio::time::timeout(Duration::from_millis(300), import).await.is_err());
    });
    let begun = Instant::now();
    // Waits for the thread.
    drop(runtime);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_cancelled_import_says_so() {
    let (place, cancel) = (Place::new(), Cancel::default());
    cancel.tell();
    let source = opened(&Source::release().tar());
    let refused = place.store.import_now(source, None, cancel).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Cancelled, "{refused}");
    assert!(place.names().is_empty());
}

#[test]
fn the_future_gives_what_the_thread_found() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let source = opened(&Source::release().tar());
        assert_eq!(place.store.import(source, None).await.unwrap().as_str(), VERSION);
        let missing = place.store.remove(&"none".parse().unwrap()).await.unwrap_err();
        assert_eq!(missing.kind, RefusalKind::NotFound);
    });
    assert_eq!(place.names(), [VERSION]);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    let place = Place::new();
    fs::write(place.directory.path().join(RELEASES), "a file").unwrap();
    let refused = place.import(&Source::release().tar()).unwrap_err();
    assert!(refused.why.contains("releases"), "{refused}");
    fs::remove_file(place.directory.path().join(RELEASES)).unwrap();
}

#[test]
fn errors_of_the_disk_say_what_to_do() {
    let path = Path::new("/var/lib/onloadd/releases");
    for (code, kind, fix) in [
        (nix::libc::ENOSPC, RefusalKind::Blocked, "make room"),
        (nix::libc::EDQUOT, RefusalKind::Blocked, "make room"),
        (nix::libc::EROFS, RefusalKind::Blocked, "let onloadd write"),
        (nix::libc::EIO, RefusalKind::Internal, "kernel's log"),
    ] {
        let refused = fault::unwritten(path, &io::Error::from_raw_os_error(code));
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(refused.fix.contains(fix) && refused.why.contains("/var/lib"), "{refused}");
    }
}

#[test]
fn the_current_release_is_switched_in_one_step() {
    let place = Place::new();
    let tar = Source::release().tar();
    for name in ["one", "two"] {
        place.import_as(&tar, name).unwrap();
        place.store.select(&name.parse().unwrap()).unwrap();
        let current = fs::read_link(place.releases().join(CURRENT)).unwrap();
        assert_eq!(current, Path::new(name));
    }
    assert!(place.store.select(&"three".parse().unwrap()).is_err());
    assert_eq!(place.names(), ["current", "one", "two"]);
}
