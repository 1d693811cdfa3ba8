//! A root that is not this machine's, and what needs no right to change this one.

use super::*;

pub(super) fn places(root: &Path) -> Places {
    Places {
        root: root.to_owned(),
        kubelet_directory: PathBuf::from("/var/lib/kubelet/device-plugins"),
        state_directory: PathBuf::from("/var/lib/onloadd"),
    }
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A look that finds what a recording has.
pub(super) fn as_recorded() -> Look {
    Look { depth: Depth::Usual, clocks: Some(ClockLook::default()) }
}

#[test]
fn a_recorded_root_changes_nothing_and_never_rings() {
    let place = tempfile::tempdir().unwrap();
    let linux = Linux::open(places(place.path())).unwrap();
    let step =
        Step::LoadModule { module: "onload".parse().unwrap(), release: "host".parse().unwrap() };
    runtime().block_on(async {
        let Err(StepError::Unsupported(why)) = linux.apply(&step).await else {
            panic!("a step on a recorded root")
        };
        assert!(why.contains(place.path().to_str().unwrap()), "{why}");
        let refused = linux.write_variables(&[]).await.unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Unsupported);
        assert!(refused.why.contains(place.path().to_str().unwrap()), "{refused}");
        let short = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(short, linux.changed()).await.is_err());
        let record = linux.record(&place.path().join("..")).await;
        assert!(matches!(record, Err(RecordError::NotEmpty(_))), "captures do not mix");
    });
}

#[test]
fn an_empty_root_is_absent_but_for_netlink() {
    let place = tempfile::tempdir().unwrap();
    let linux = Linux::open(places(place.path())).unwrap();
    let seen = runtime().block_on(linux.observe(Depth::Usual));
    let Reading::Unreadable(why) = &seen.interfaces else { panic!("{:?}", seen.interfaces) };
    assert_eq!(why, "no recorded netlink answers under this root");
    assert!(seen.kernel.is_absent() && seen.ports.is_absent() && seen.modules.is_absent());
    assert_eq!(seen.releases, Reading::Known(BTreeMap::new()));
}

#[test]
fn the_first_look_reads_the_network_where_it_is_asked_to() {
    let place = tempfile::tempdir().unwrap();
    for (depth, read) in [(Depth::Usual, false), (Depth::Users, true), (Depth::Network, true)] {
        let linux = Linux::open(places(place.path())).unwrap();
        let seen = runtime().block_on(linux.observe(depth));
        // Nothing is recorded here: what was asked for is a gap, not nothing.
        assert_eq!(seen.network.is_unreadable(), read, "{depth:?}");
    }
}

#[test]
fn a_root_that_cannot_be_used_is_named() {
    let place = tempfile::tempdir().unwrap();
    let missing = Linux::open(places(&place.path().join("missing"))).unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
    fs::write(place.path().join(capture::SPECIAL_FILE), "dev/onload char\n").unwrap();
    let damaged = Linux::open(places(place.path())).unwrap_err();
    assert!(damaged.to_string().contains("line 1"), "{damaged}");
}

#[test]
fn a_release_that_is_not_there_is_refused_before_anything_is_run() {
    let linux = Linux::open(places(Path::new("/"))).unwrap().with_runner(Runner::Direct);
    let step =
        Step::LoadModule { module: "onload".parse().unwrap(), release: "0.0.0".parse().unwrap() };
    let refused = runtime().block_on(linux.apply(&step)).unwrap_err();
    assert!(refused.to_string().contains("releases/0.0.0 is missing"), "{refused}");
}

#[test]
fn what_holds_already_is_unchanged_whatever_this_machine_lacks() {
    let linux = Linux::open(places(Path::new("/"))).unwrap();
    let seen = runtime().block_on(linux.observe(Depth::Users));
    let steps = [
        Step::UnloadModule { module: "sfc_affinity".parse().unwrap() },
        Step::StopControlPlane,
        Step::StopUnit { unit: "onloadd-no-such.service".to_owned() },
        Step::WriteLoader(Default::default()),
    ];
    // A kernel without modules, or one that runs Onload, has some that do not hold.
    for step in steps.iter().filter(|step| step.holds_in(&seen)) {
        let outcome = runtime().block_on(linux.apply(step));
        assert_eq!(outcome, Ok(Outcome::Unchanged), "{step}");
    }
}

#[test]
fn a_capture_holds_no_file_that_could_only_be_written() {
    let (place, _) = root::tests::root_with(&[
        ("proc/modules", "sfc 1 0 - Live 0x0\n"),
        ("sys/module/sfc/initstate", "live\n"),
        ("sys/module/sfc/parameters/read_me", "1\n"),
        ("sys/module/sfc/parameters/write_me", ""),
    ]);
    let write_only = std::os::unix::fs::PermissionsExt::from_mode(0o200);
    let path = place.path().join("sys/module/sfc/parameters/write_me");
    fs::set_permissions(path, write_only).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let linux = Linux::open(places(place.path())).unwrap();
    let seen = runtime().block_on(linux.record(copy.path())).unwrap();
    let copied = Linux::open(places(copy.path())).unwrap();
    assert_eq!(runtime().block_on(copied.observe(as_recorded())), seen);
    assert_eq!(seen.module("sfc").known().unwrap().parameters.len(), 1);
}
