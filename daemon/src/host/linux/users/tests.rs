//! Users in hand-made roots and among the processes of this machine.

use std::fs;
use std::os::unix::fs::symlink;

use onload_core::inventory::{DeviceNode, Interface, LIBRARY, ModuleState, OnloadDriver, Port};
use onload_core::names::ModuleName;

use super::super::capture::parse;
use super::super::root::tests::root_with;
use super::*;

fn module(refcount: u32, holders: &[&str]) -> Module {
    Module {
        state: ModuleState::Live,
        refcount: Reading::Known(refcount),
        holders: holders.iter().map(|name| name.parse().unwrap()).collect(),
        version: Reading::Absent,
        srcversion: Reading::Absent,
        taint: Reading::Absent,
        parameters: BTreeMap::new(),
    }
}

/// A look that saw the stack with so many references, one control-plane server, and the nodes.
fn seen(onload: u32, sfc_char: u32) -> Snapshot {
    let modules: [(ModuleName, Module); 2] = [
        ("onload".parse().unwrap(), module(onload, &[])),
        ("sfc_char".parse().unwrap(), module(sfc_char, &["onload"])),
    ];
    let node = |major| Reading::Known(DeviceNode { major, minor: 0, mode: 0o666 });
    Snapshot {
        modules: Reading::Known(modules.into()),
        driver: OnloadDriver {
            control_plane: Reading::Known(BTreeSet::from([812])),
            ..OnloadDriver::default()
        },
        device_nodes: BTreeMap::from([
            (ONLOAD.to_owned(), node(245)),
            ("/dev/onload_epoll".to_owned(), node(244)),
            ("/dev/sfc_char".to_owned(), node(246)),
        ]),
        ..Snapshot::default()
    }
}

/// A process of a hand-made root.
fn process(place: &std::path::Path, pid: u32, descriptors: &[&str]) {
    let directory = place.join(format!("proc/{pid}"));
    fs::create_dir_all(directory.join("fd")).unwrap();
    let tail = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0";
    fs::write(directory.join("stat"), format!("{pid} (app) {tail}\n")).unwrap();
    fs::write(directory.join("cgroup"), "0::/system.slice/app.service\n").unwrap();
    fs::write(directory.join("maps"), "").unwrap();
    for (number, target) in descriptors.iter().enumerate() {
        symlink(target, directory.join(format!("fd/{number}"))).unwrap();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn users(root: &Dir, depth: Depth, seen: &Snapshot) -> Reading<BTreeMap<u32, User>> {
    block_on(read(root, depth, seen))
}

#[test]
fn nobody_is_searched_for_while_references_show_nobody() {
    let (place, root) = root_with(&[]);
    process(place.path(), 7, &["/dev/onload"]);
    assert_eq!(users(&root, Depth::Usual, &seen(4, 1)), Reading::Absent);
    assert_eq!(users(&root, Depth::Usual, &Snapshot::default()), Reading::Absent);
    for (onload, sfc_char) in [(6, 1), (4, 3)] {
        assert!(users(&root, Depth::Usual, &seen(onload, sfc_char)).known().is_some());
    }
    assert!(users(&root, Depth::Users, &seen(4, 1)).known().is_some());
    let unreadable = Snapshot { modules: Reading::Unreadable("why".into()), ..seen(4, 1) };
    assert!(users(&root, Depth::Usual, &unreadable).is_unreadable());
}

#[test]
fn a_user_is_who_has_a_node_or_a_file_of_onload_open() {
    let (place, root) = root_with(&[]);
    process(place.path(), 7, &["socket:[4]", "onload:[stack:0]", "/dev/sfc_char"]);
    process(place.path(), 8, &["/dev/null", "/var/lib/onload", "pipe:[3]"]);
    process(place.path(), 812, &["/dev/onload", "/dev/onload"]);
    let users = users(&root, Depth::Usual, &seen(9, 3)).into_known().unwrap();
    assert_eq!(users.keys().copied().collect::<Vec<_>>(), [7], "a server is no user");
    let user = &users[&7];
    assert_eq!((user.started, user.comm.as_str()), (4242, "app"));
    assert_eq!(user.unit.as_deref(), Some("app.service"));
    assert_eq!(user.uses, BTreeSet::from([ONLOAD, "/dev/sfc_char"].map(str::to_owned)));
}

#[test]
fn a_node_under_another_name_is_known_by_its_number() {
    let (place, _) = root_with(&[]);
    process(place.path(), 7, &["/dev/fast", "/host/dev/onload", "/data/file"]);
    let special = "proc/7/fd/0\tchar 245:0 0666\nproc/7/fd/2\tchar 246:0 0666\n";
    let root = Dir::root(place.path(), parse(special).unwrap()).unwrap();
    let users = users(&root, Depth::Usual, &seen(9, 1)).into_known().unwrap();
    assert_eq!(users[&7].uses, BTreeSet::from([ONLOAD.to_owned()]), "files are left alone");
}

#[test]
fn mappings_count_where_everything_is_searched() {
    let (place, root) = root_with(&[]);
    process(place.path(), 7, &[]);
    let maps = "7f01-7f02 r-xp 00000000 08:01 77   /usr/lib64/libonload.so\n\
        7f02-7f03 rw-s 00001000 00:05 412   /dev/onload\n";
    fs::write(place.path().join("proc/7/maps"), maps).unwrap();
    let found = |depth, seen: &Snapshot| users(&root, depth, seen).into_known().unwrap();
    assert!(found(Depth::Usual, &seen(9, 1)).is_empty());
    let uses = |seen: &Snapshot| found(Depth::Users, seen)[&7].uses.clone();
    assert_eq!(uses(&seen(4, 1)), BTreeSet::from([ONLOAD, LIBRARY].map(str::to_owned)));
    // As a container has it, of a release that is there no more.
    let library =
        "7f01-7f02 r-xp 00000000 08:01 77   /opt/onload/usr/lib64/libonload.so.9 (deleted)\n";
    fs::write(place.path().join("proc/7/maps"), library).unwrap();
    assert_eq!(uses(&seen(4, 1)), BTreeSet::from([LIBRARY.to_owned()]));
    let other = "7f01-7f02 r-xp 00000000 08:01 77   /usr/lib64/libonload_ext.so.2\n";
    fs::write(place.path().join("proc/7/maps"), other).unwrap();
    assert!(found(Depth::Users, &seen(4, 1)).is_empty(), "that one is not accelerated by it");
}

#[test]
fn clocks_of_our_ports_count_before_a_driver_goes() {
    let (place, _) = root_with(&[]);
    process(place.path(), 7, &["/dev/ptp1"]);
    process(place.path(), 8, &["/dev/ptp0"]);
    let special = "dev/ptp0\tchar 250:0 0600\ndev/ptp1\tchar 250:1 0600\n";
    let root = Dir::root(place.path(), parse(special).unwrap()).unwrap();
    let port = |vendor| Port { vendor: Reading::Known(vendor), ..Port::default() };
    let interface = |port: &str, clock| Interface {
        port: Reading::Known(port.parse().unwrap()),
        phc_index: Reading::Known(clock),
        ..Interface::default()
    };
    let (sfc, other) = ("0000:3b:00.0", "0000:03:00.0");
    let seen = Snapshot {
        ports: Reading::Known(
            [(sfc, 0x1924), (other, 0x8086)].map(|(at, of)| (at.parse().unwrap(), port(of))).into(),
        ),
        interfaces: Reading::Known(
            [("a", interface(sfc, 1)), ("b", interface(other, 0))]
                .map(|(name, interface)| (name.parse().unwrap(), interface))
                .into(),
        ),
        ..seen(4, 1)
    };
    let users = users(&root, Depth::Users, &seen).into_known().unwrap();
    assert_eq!(users.keys().copied().collect::<Vec<_>>(), [7]);
    assert!(users[&7].uses.contains("/dev/ptp1"));
}

#[test]
fn a_process_that_hides_matters_only_while_references_are_unexplained() {
    let (place, _) = root_with(&[]);
    process(place.path(), 7, &["/dev/onload"]);
    process(place.path(), 8, &[]);
    let special = parse("proc/8/fd\tunreadable Permission denied (EACCES)\n").unwrap();
    let root = Dir::root(place.path(), special).unwrap();
    assert_eq!(users(&root, Depth::Usual, &seen(6, 1)).known().unwrap().len(), 1);
    let Reading::Unreadable(why) = users(&root, Depth::Usual, &seen(6, 3)) else {
        panic!("who holds sfc_char cannot be told")
    };
    assert!(why.contains("1 processes") && why.contains("8: Permission denied"), "{why}");
}

#[test]
fn a_recording_keeps_users_and_nobody_else() {
    let (place, _) = root_with(&[]);
    process(place.path(), 7, &["/dev/fast", "/secret/file"]);
    process(place.path(), 8, &["/secret/other"]);
    let special = parse("proc/7/fd/0\tchar 245:0 0666\n").unwrap();
    let root = Dir::root(place.path(), special.clone()).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let seen = seen(6, 1);
    let found = block_on(root.record(copy.path(), read(&root, Depth::Usual, &seen))).unwrap();
    let copied = Dir::root(copy.path(), special).unwrap();
    assert_eq!(users(&copied, Depth::Usual, &seen), found);
    assert!(!copy.path().join("proc/8").exists());
    assert!(fs::symlink_metadata(copy.path().join("proc/7/fd/1")).is_err(), "no other file of it");
}

#[test]
fn descriptors_of_running_processes_lead_to_what_they_are() {
    // Of this machine: a child that has a device node open, searched for by its number.
    let null = fs::File::open("/dev/null").unwrap();
    let sleep = std::process::Command::new("sleep").arg("60").stdin(null).spawn();
    let mut child = sleep.unwrap();
    let root = Dir::root(std::path::Path::new("/"), BTreeMap::new()).unwrap();
    // Under a name that no descriptor has.
    let nodes = BTreeMap::from([((1, 3), "/dev/sought".to_owned())]);
    let wanted = Wanted { nodes, ..Wanted::default() };
    let found = process::look(&root, child.id(), &wanted);
    let user = found.and_then(|found| process::identify(&root, child.id(), &found));
    child.kill().unwrap();
    child.wait().unwrap();
    let user = user.into_known().unwrap();
    assert_eq!((user.comm.as_str(), user.uses.len()), ("sleep", 1));
    assert!(matches!(process::look(&root, child.id(), &wanted), Reading::Absent), "it has ended");
}
