//! Calls: what they post, what they return, and how they fail.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use onload_core::allocation::{Process, TenureWish, Unit};
use onload_core::change::{Holders, Manner};
use onload_core::command::Command;
use onload_core::config::{Entry, Origin};
use onload_core::names::BootId;
use onload_core::others::Manager;
use onload_core::reading::Reading;
use onload_dbus::error::{self, Failure, Kind as ErrorKind};
use onload_dbus::path::{self, Kind};
use onload_dbus::proxies::{AllocationProxy, JobProxy, ManagerProxy, ReleaseProxy};
use onload_tests::bus::Bus;
use onloadd::bus::caller::Processes;
use onloadd::bus::{Options, errors};
use onloadd::letterbox::Notice;
use zbus::proxy::CacheProperties;
use zbus::{OwnedVariant, Variant};

use crate::rig::{CONFIRM_BY, KERNELS, KINDS, PATIENCE, Rig, changing, node, other};

fn failure(error: &zbus::Error) -> Failure {
    Failure::from_reply(error).unwrap_or_else(|| panic!("not an error of ours: {error}"))
}

#[tokio::test]
async fn what_an_answer_names_is_there_when_it_comes() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    for round in 0..5 {
        let lent = manager.allocate("onload", 2, HashMap::new()).await.unwrap();
        assert_eq!(lent.len(), 2);
        for (path, device) in lent {
            let object = AllocationProxy::builder(&client)
                .path(path)
                .cache_properties(CacheProperties::No)
                .build()
                .await
                .unwrap();
            assert_eq!(object.device().await.unwrap(), device, "round {round}");
            assert_eq!(object.pid().await.unwrap(), std::process::id());
            let Some((_, id)) = path::parse(object.inner().path()) else { panic!("{object:?}") };
            manager.free(&id, HashMap::new()).await.unwrap();
            assert!(object.device().await.is_err(), "what was given back is gone with the answer");
        }
    }
    let job = manager.apply(HashMap::new()).await.unwrap();
    assert_eq!(path::parse(job.as_str()), Some((Kind::Job, "j7".to_owned())));
    let job = JobProxy::builder(&client).path(job).build().await.unwrap();
    assert_eq!(job.state().await.unwrap(), "running");
    job.cancel().await.unwrap();
}

#[tokio::test]
async fn calls_post_what_they_say() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let (lease, force, retry) = (Variant::from("8h"), Variant::from(true), Variant::from(true));
    manager.allocate("onload", 3, HashMap::from([("Lease", &lease)])).await.unwrap();
    manager.free("a1", HashMap::from([("Force", &force)])).await.unwrap();
    manager.hold("firmware day", HashMap::from([("For", &lease)])).await.unwrap();
    manager.unhold().await.unwrap();
    manager.apply(HashMap::from([("Retry", &retry)])).await.unwrap();
    let span = "8h".parse().unwrap();
    assert_eq!(
        rig.commands(),
        [
            Command::Allocate {
                pool: "onload".parse().unwrap(),
                count: 3,
                tenure: TenureWish::Lease(span),
            },
            Command::Free { allocation: "a1".parse().unwrap(), force: true },
            Command::Hold { reason: "firmware day".to_owned(), expiry: Some(span) },
            Command::Unhold,
            Command::Apply { retry: true, manner: Default::default() },
        ]
    );
    let posted = rig.posted.lock().unwrap();
    let (caller, _) = &posted.commands[0];
    assert_eq!(caller.uid, nix::unistd::getuid().as_raw());
    assert_eq!(caller.bus_name.as_deref(), client.unique_name().map(|name| name.as_str()));
    let process = caller.process.as_ref().unwrap();
    assert_eq!(process.pid, std::process::id());
    assert!(process.start_ticks > 0 && process.boot.as_str() == "ab-12");
}

#[tokio::test]
async fn orders_about_releases_post_what_they_say() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let (minute, wait, stop) = (Variant::from("1m"), Variant::from("wait"), Variant::from("stop"));
    let waiting = HashMap::from([("Holders", &wait), ("WaitFor", &minute)]);
    manager.apply(waiting).await.unwrap();
    let stopping = HashMap::from([("Holders", &stop), ("ConfirmWithin", &minute)]);
    manager.use_release("9.1.0", stopping).await.unwrap();
    manager.rollback(2, HashMap::new()).await.unwrap();
    manager.adopt(HashMap::new()).await.unwrap();
    manager.confirm().await.unwrap();
    let job = manager.remove_release("9.0.0").await.unwrap();
    assert_eq!(path::parse(job.as_str()), Some((Kind::Job, "j7".to_owned())));
    let span = "1m".parse().unwrap();
    let retry = false;
    let holders = Holders::Wait(Some(span));
    assert_eq!(
        rig.commands(),
        [
            Command::Apply { retry, manner: Manner { holders, confirm_within: None } },
            Command::Use {
                release: "9.1.0".parse().unwrap(),
                manner: Manner { holders: Holders::Stop, confirm_within: Some(span) },
            },
            Command::Rollback { back: 2, manner: Manner::default() },
            Command::Adopt,
            Command::Confirm,
            Command::Remove { release: "9.0.0".parse().unwrap() },
        ]
    );
}

#[tokio::test]
async fn files_travel_with_the_order_that_takes_them_in() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"a release").unwrap();
    let version = Variant::from("9.2.0");
    let options = HashMap::from([("Version", &version)]);
    manager.import_release(reader.as_fd().into(), options).await.unwrap();
    // What the daemon has is all there is: a pipe ends when its writer does.
    drop((reader, writer));
    let files = rig.posted.lock().unwrap().files.pop().unwrap();
    let mut text = String::new();
    File::from(files).read_to_string(&mut text).unwrap();
    assert_eq!(text, "a release");
    let version = Some("9.2.0".parse().unwrap());
    assert_eq!(rig.commands(), [Command::Import { version }]);
}

#[tokio::test]
async fn others_can_be_read_and_adopted_without_options() {
    let mut picture = node();
    picture.others = Arc::new([(Manager::Kmm, other())].into());
    let rig = Rig::new(picture).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let told = |text: &str| text.to_owned();
    let row = (
        told("kmm"),
        told("/var/lib/kmm_day1_config.yaml names them"),
        true,
        vec![told("load and unload")],
        vec![told("delete the Module")],
    );
    assert_eq!(manager.others().await.unwrap(), [row]);
    let odd = Variant::from(true);
    assert!(manager.adopt(HashMap::from([("Force", &odd)])).await.is_err());
    assert_eq!(rig.commands(), []);
}

#[tokio::test]
async fn a_change_its_past_and_releases_can_be_read() {
    let mut picture = node();
    changing(&mut picture);
    let rig = Rig::new(picture).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let change = manager.change().await.unwrap();
    let number = |dict: &HashMap<String, OwnedVariant>, key: &str| {
        u64::try_from(dict[key].try_clone().unwrap()).unwrap()
    };
    let text = |dict: &HashMap<String, OwnedVariant>, key: &str| {
        String::try_from(dict[key].try_clone().unwrap()).unwrap()
    };
    assert_eq!((number(&change, "Number"), number(&change, "ConfirmBy")), (3, CONFIRM_BY));
    assert_eq!((text(&change, "From"), text(&change, "To")), ("host".into(), "9.1.0".into()));
    assert_eq!(
        (text(&change, "Origin"), text(&change, "Holders")),
        ("order".into(), "stop".into())
    );
    assert!(change.contains_key("Uid"));
    let history = manager.history().await.unwrap();
    let ends: Vec<_> = history
        .iter()
        .map(|past| (number(past, "Number"), text(past, "Outcome"), text(past, "Why")))
        .collect();
    let end = |number, outcome: &str, why: &str| (number, outcome.to_owned(), why.to_owned());
    let rolled_back = end(2, "rolled-back", "onload is not bound");
    assert_eq!(ends, [rolled_back, end(1, "failed", "sfc refuses to go")], "newest first");
    assert!(!history[0].contains_key("Uid"), "nobody orders a boot");
    let users = manager.users().await.unwrap();
    assert_eq!((users[0].0, users[0].1.as_str(), users[0].3.as_str()), (4711, "trader", ""));
    let release =
        ReleaseProxy::builder(&client).path(path::of(Kind::Release, "9.1.0")).build().await;
    let release = release.unwrap();
    let kernels = release.kernels().await.unwrap();
    assert_eq!(kernels[KERNELS[0]], [], "nothing speaks against it");
    let reasons: Vec<_> = kernels[KERNELS[1]].iter().map(|against| against.0.as_str()).collect();
    assert_eq!(reasons, ["Incomplete", "Unsigned"]);
    let remarks = release.remarks().await.unwrap();
    assert_eq!(remarks.len(), 1, "only kernels of which there is something to say");
    let (reason, why, fix) = &remarks[KERNELS[1]][0];
    assert_eq!(reason, "InitramfsUnreadable");
    assert!(why.contains("/boot/initrd.img: EIO") && fix.contains("lsinitrd"), "{why} {fix}");
    let modules = release.modules().await.unwrap();
    let (module, version, srcversion, file, signed) = &modules[KERNELS[0]][0];
    assert_eq!((module.as_str(), version.as_str(), srcversion.as_str()), ("onload", "9.1.0", ""));
    assert!(file.starts_with("/var/lib/onloadd/releases/9.1.0/") && *signed);
}

#[tokio::test]
async fn every_refusal_arrives_as_its_own_error_in_three_parts() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    for (count, kind) in (1..).zip(KINDS) {
        let error = manager.allocate("full", count, HashMap::new()).await.unwrap_err();
        let failure = failure(&error);
        assert_eq!(failure.kind, errors::kind(kind));
        assert_eq!(error::exit_code(&error), failure.kind.row().exit);
        let parts = failure.parts();
        assert_eq!(
            (parts.what, parts.why, parts.fix),
            ("nothing was lent", "the pool is full", "wait")
        );
    }
    let error = manager.reload().await.unwrap_err();
    let failure = failure(&error);
    assert_eq!(failure.kind, ErrorKind::InvalidArgument);
    assert!(failure.parts().why.contains("onloadd.toml:3: pools.onload.slotz"), "{failure}");
}

#[tokio::test]
async fn what_is_too_large_or_unknown_never_reaches_the_loop() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let (yes, text) = (Variant::from(true), Variant::from("x"));
    let (minute, slash) = (Variant::from("1m"), Variant::from("a/b"));
    let (null, place) = (File::open("/dev/null").unwrap(), File::open("/").unwrap());
    let (long, keys) = ("x".repeat(100_000), (0..9).map(|n| n.to_string()).collect::<Vec<_>>());
    let many: HashMap<&str, &Variant<'_>> = keys.iter().map(|key| (key.as_str(), &yes)).collect();
    let none = HashMap::new;
    let cases = [
        ("pool", manager.allocate(&long, 1, none()).await.map(drop)),
        ("pool", manager.allocate("No Pool", 1, none()).await.map(drop)),
        ("count", manager.allocate("onload", 0, none()).await.map(drop)),
        ("count", manager.allocate("onload", 10_001, none()).await.map(drop)),
        ("options", manager.allocate("onload", 1, many).await.map(drop)),
        (
            "Colour",
            manager.allocate("onload", 1, HashMap::from([("Colour", &text)])).await.map(drop),
        ),
        ("Lease", manager.allocate("onload", 1, HashMap::from([("Lease", &text)])).await.map(drop)),
        ("id", manager.free("7", none()).await),
        ("Force", manager.free("a1", HashMap::from([("Force", &text)])).await),
        ("reason", manager.hold("", none()).await),
        ("reason", manager.hold(&"x".repeat(201), none()).await),
        ("reason", manager.hold("two\nlines", none()).await),
        ("Retry", manager.apply(HashMap::from([("Retry", &text)])).await.map(drop)),
        ("Holders", manager.apply(HashMap::from([("Holders", &text)])).await.map(drop)),
        ("WaitFor", manager.apply(HashMap::from([("WaitFor", &minute)])).await.map(drop)),
        ("Retry", manager.use_release("9.1.0", HashMap::from([("Retry", &yes)])).await.map(drop)),
        ("release", manager.use_release("../9.1.0", none()).await.map(drop)),
        ("release", manager.remove_release(&long).await.map(drop)),
        ("back", manager.rollback(0, none()).await.map(drop)),
        ("files", manager.import_release(null.as_fd().into(), none()).await.map(drop)),
        (
            "Version",
            manager
                .import_release(place.as_fd().into(), HashMap::from([("Version", &slash)]))
                .await
                .map(drop),
        ),
        ("subject", manager.why(&long).await.map(drop)),
    ];
    for (named, result) in cases {
        let failure = failure(&result.unwrap_err());
        assert_eq!(failure.kind, ErrorKind::InvalidArgument, "{failure}");
        assert!(failure.to_string().contains(named), "{named} in {failure}");
        assert!(failure.to_string().len() < 1_000, "the error does not repeat it all");
    }
    let missing = manager.list_devices("nowhere").await.unwrap_err();
    assert_eq!(failure(&missing).kind, ErrorKind::NotFound);
    assert_eq!(failure(&manager.why("no-such-thing").await.unwrap_err()).kind, ErrorKind::NotFound);
    assert_eq!(rig.commands(), [], "nothing of this was posted");
}

#[tokio::test]
async fn devices_settings_and_explanations_can_be_read() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let devices = manager.list_devices("onload").await.unwrap();
    assert_eq!(devices.len(), 3);
    assert_eq!(devices[0].1, -1, "no NUMA node");
    assert_eq!((devices[1].4.as_str(), devices[1].5.as_str()), ("local", "a1"));
    assert_eq!(devices[2].2, "NoCarrier");
    let entry = Entry {
        value: "7".to_owned(),
        origin: Some(Origin { file: "/etc/a.toml".to_owned(), line: 3 }),
        masks: Vec::new(),
    };
    rig.alter(|picture| {
        picture.config = Arc::new([("pools.onload.slots".to_owned(), entry)].into());
    });
    let mut settings = manager.config().await.unwrap();
    let began = std::time::Instant::now();
    while settings.is_empty() && began.elapsed() < PATIENCE {
        settings = manager.config().await.unwrap();
    }
    let expected = ("pools.onload.slots", "7", "/etc/a.toml:3");
    assert_eq!((&*settings[0].0, &*settings[0].1, &*settings[0].2), expected);
    let explained = manager.why("sfc").await.unwrap();
    let keys = ["Subject", "Decision", "Inputs", "WouldChange"];
    assert!(keys.iter().all(|key| explained.contains_key(*key)), "{explained:?}");
}

#[tokio::test]
async fn names_of_ports_can_be_read() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    let mut rows = manager.naming_plan().await.unwrap();
    let mut row = rows.remove(0);
    assert!(rows.is_empty(), "a row for each port: {rows:?}");
    let mut text = |key: &str| String::try_from(row.remove(key).unwrap()).unwrap();
    assert_eq!((text("Port"), text("Today")), ("0000:3b:00.0".into(), "ens1f0".into()));
    assert_eq!(text("Configured"), "eno1");
    assert_eq!((text("Pinned"), text("PinnedBy")), ("ens1f0np0".into(), "pci 0000:3b:00.0".into()));
    let drivers = row.remove("Drivers").unwrap();
    let drivers = HashMap::<String, (String, String)>::try_from(drivers).unwrap();
    assert_eq!(drivers["host"].0, "ens1f0");
    assert_eq!(drivers["9.1.0"], (String::new(), "it says no version".to_owned()));
    let conflicts = row.remove("Conflicts").unwrap();
    let conflicts = Vec::<(String, String, String)>::try_from(conflicts).unwrap();
    assert_eq!(conflicts[0].0, "the port would not get the name eno1");
    assert!(conflicts[0].1.contains("[naming]") && !conflicts[0].2.is_empty());
    let troubles = row.remove("Troubles").unwrap();
    let troubles = Vec::<(String, String, bool)>::try_from(troubles).unwrap();
    assert!(troubles[0].0.ends_with("programs are using Onload") && !troubles[0].2, "{troubles:?}");
    assert_eq!(row.len(), 0, "nothing else: {row:?}");
}

#[tokio::test]
async fn a_client_that_goes_is_told_of_and_one_that_stays_is_not() {
    let rig = Rig::new(node()).await;
    let (stays, goes, only_reads) = (rig.client().await, rig.client().await, rig.client().await);
    for client in [&stays, &goes] {
        let manager = ManagerProxy::new(client).await.unwrap();
        manager.allocate("onload", 1, HashMap::new()).await.unwrap();
        manager.allocate("onload", 1, HashMap::new()).await.unwrap();
    }
    let name = goes.unique_name().unwrap().to_string();
    only_reads.close().await.unwrap();
    goes.close().await.unwrap();
    rig.noticed(&Notice::ClientGone { bus_name: name.clone() }).await;
    let manager = ManagerProxy::new(&stays).await.unwrap();
    manager.unhold().await.unwrap();
    let notices = rig.posted.lock().unwrap().notices.clone();
    assert_eq!(notices, [Notice::ClientGone { bus_name: name }], "once, and of nobody else");
}

/// A kernel that shows nobody's processes, as with `hidepid`.
#[derive(Debug)]
struct Hidden;

impl Processes for Hidden {
    fn look_up(&self, _pid: u32, _uid: u32, _boot: BootId) -> io::Result<Process> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Every caller is of one unit, or of none.
#[derive(Debug)]
struct Units(Option<&'static str>);

impl Processes for Units {
    fn look_up(&self, pid: u32, uid: u32, boot: BootId) -> io::Result<Process> {
        Ok(Process { pid, start_ticks: 1, boot, uid, comm: "x".to_owned() })
    }

    fn unit_of(&self, process: &Process) -> io::Result<Option<Unit>> {
        Ok(self.0.map(|name| Unit {
            name: name.to_owned(),
            directory: format!("/sys/fs/cgroup/system.slice/{name}"),
            inode: 7,
            boot: process.boot.clone(),
            uid: process.uid,
        }))
    }
}

#[tokio::test]
async fn what_shall_end_with_a_unit_needs_a_caller_that_is_of_one() {
    let tenure = Variant::from("unit");
    for unit in [Some("trader.service"), None] {
        let options = Options { processes: Arc::new(Units(unit)), ..Options::default() };
        let mut rig = Rig::with(Bus::running().unwrap(), node(), options);
        rig.served().await;
        let client = rig.client().await;
        let manager = ManagerProxy::new(&client).await.unwrap();
        let lent = manager.allocate("onload", 1, HashMap::from([("Tenure", &tenure)])).await;
        let Some(name) = unit else {
            assert_eq!(failure(&lent.unwrap_err()).kind, ErrorKind::Unsupported);
            assert_eq!(rig.commands(), []);
            continue;
        };
        lent.unwrap();
        let commands = rig.commands();
        let [Command::Allocate { tenure: TenureWish::Unit(posted), .. }] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!((posted.name.as_str(), posted.uid), (name, nix::unistd::getuid().as_raw()));
    }
}

#[tokio::test]
async fn what_shall_end_with_a_caller_needs_one_that_can_be_told() {
    let options = Options { processes: Arc::new(Hidden), ..Options::default() };
    let mut hidden = Rig::with(Bus::running().unwrap(), node(), options);
    hidden.served().await;
    let mut bootless = node();
    bootless.boot_id = Reading::Unreadable("EACCES".to_owned());
    for rig in [hidden, Rig::new(bootless).await] {
        let client = rig.client().await;
        let manager = ManagerProxy::new(&client).await.unwrap();
        let error = manager.allocate("onload", 1, HashMap::new()).await.unwrap_err();
        assert_eq!(failure(&error).kind, ErrorKind::Blocked);
        let lease = Variant::from("8h");
        manager.allocate("onload", 1, HashMap::from([("Lease", &lease)])).await.unwrap();
    }
}
