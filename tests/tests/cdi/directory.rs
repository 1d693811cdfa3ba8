//! The directory, which is everybody's: what is there already, and what stands in the way.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onload_core::allocation::{Allocation, Holder, Tenure};
use onload_core::blocker::{Blocked, Blocker};
use onload_core::command::ContainerAnswer;
use onload_core::config::{Entry, PoolKind};
use onload_core::names::AllocationId;
use onload_core::picture::{Device, Lent, ModulePicture, Picture, PoolPicture};
use onload_core::reading::Reading;
use onload_core::time::Timestamp;
use onloadd::cdi::keep;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{FILE, read};

/// Nothing here takes longer, on a busy machine too.
const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes.
const A_WHILE: Duration = Duration::from_millis(200);

/// A picture after a look, with one pool of two devices.
pub fn picture(resource: &str, host_path: &str, nodes: &[&str]) -> Picture {
    let device = |slot: u32| Device {
        id: format!("onload-{slot}").parse().unwrap(),
        numa_node: None,
        cause: None,
        local_only: false,
        lent: Lent::No,
    };
    let answer = ContainerAnswer {
        environment: [("LD_PRELOAD".to_owned(), "/opt/onload/libonload.so".to_owned())].into(),
        mounts: [("/opt/onload".to_owned(), host_path.to_owned())].into(),
        device_nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        ..ContainerAnswer::default()
    };
    let pool = PoolPicture {
        kind: PoolKind::Onload,
        resource: resource.to_owned(),
        devices: Arc::new((0..2).map(device).collect()),
        answer: Some(Arc::new(answer)),
        registered: false,
        ..PoolPicture::default()
    };
    let module = ModulePicture { module: Reading::Absent, wanted: false, differing: Vec::new() };
    Picture {
        modules: Arc::new(BTreeMap::from([("sfc".parse().unwrap(), module)])),
        pools: Arc::new(BTreeMap::from([("onload".parse().unwrap(), pool)])),
        ..Picture::default()
    }
}

fn shown() -> Picture {
    picture("amd.com/onload", "/usr/lib64", &["/dev/onload"])
}

/// The edge in a directory of its own.
pub struct Edge {
    pub root: TempDir,
    pub pictures: watch::Sender<Arc<Picture>>,
}

impl Edge {
    /// Keeps the files of `picture`, from now on.
    pub fn start(picture: Picture) -> Self {
        Self::prepared(picture, |_| {})
    }

    fn prepared(picture: Picture, prepare: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        prepare(root.path());
        let (pictures, seen) = watch::channel(Arc::new(picture));
        tokio::spawn(keep(seen, root.path().join("cdi")));
        Self { root, pictures }
    }

    pub fn file(&self) -> PathBuf {
        self.root.path().join("cdi").join(FILE)
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.path().join("cdi")) else { return Vec::new() };
        let entries = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    }
}

pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn nothing_is_touched_before_the_first_look() {
    let unseen = Picture::default();
    let edge = Edge::prepared(unseen, |root| {
        fs::create_dir(root.join("cdi")).unwrap();
        fs::write(root.join("cdi").join(FILE), "{\"kind\": \"amd.com/onload\"}").unwrap();
    });
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(edge.names(), [FILE], "of a daemon that is only starting");
    edge.pictures.send_replace(Arc::new(shown()));
    let text = || fs::read_to_string(edge.file()).unwrap();
    eventually("the file anew", || text().contains("onload-1")).await;
    read(&edge.file()).unwrap();
}

#[tokio::test]
async fn nothing_is_touched_while_nobody_can_tell_who_holds_what() {
    let edge = Edge::start(shown());
    eventually("the file", || read(&edge.file()).is_ok()).await;
    let blocker = Blocker::LedgerUnreadable { why: "line 3".to_owned() };
    let blocked = Blocked { subject: "ledger".to_owned(), blocker };
    let blockers = Arc::new(vec![blocked]);
    edge.pictures.send_replace(Arc::new(Picture { pools: Arc::default(), blockers, ..shown() }));
    tokio::time::sleep(A_WHILE).await;
    assert!(edge.file().exists());
    edge.pictures.send_replace(Arc::new(Picture { pools: Arc::default(), ..shown() }));
    eventually("no file of a pool that is gone", || !edge.file().exists()).await;
}

#[tokio::test]
async fn a_pool_that_goes_takes_its_file_and_nobody_elses() {
    let others = ["nvidia.com-gpu.json", "amd.com-gpu.yaml", "amd.com-other_onloadd.json.bak"];
    let edge = Edge::prepared(shown(), |root| {
        fs::create_dir(root.join("cdi")).unwrap();
        for name in others {
            fs::write(root.join("cdi").join(name), "theirs").unwrap();
        }
        // What a former configuration had, and a draft that a kill has left.
        let former = "{\"kind\": \"example.com/old\"}";
        fs::write(root.join("cdi/example.com-old_onloadd.json"), former).unwrap();
        fs::write(root.join(format!("cdi/.{FILE}.tmp")), "half").unwrap();
    });
    let mut left = others.map(str::to_owned).to_vec();
    left.push(FILE.to_owned());
    left.sort();
    eventually("one file of ours", || edge.names() == left).await;
    let pool = picture("example.com/new", "/usr/lib64", &["/dev/onload"]);
    edge.pictures.send_replace(Arc::new(pool));
    left.retain(|name| name != FILE);
    left.push("example.com-new_onloadd.json".to_owned());
    left.sort();
    eventually("another file of ours", || edge.names() == left).await;
    let none = Picture { pools: Arc::default(), ..shown() };
    edge.pictures.send_replace(Arc::new(none));
    left.retain(|name| !name.contains("new"));
    eventually("theirs alone", || edge.names() == left).await;
    for name in others {
        let text = fs::read_to_string(edge.root.path().join("cdi").join(name)).unwrap();
        assert_eq!(text, "theirs", "{name}");
    }
}

/// A device of the pool of `picture`, lent.
fn lent(number: u64, holder: Holder) -> Arc<Allocation> {
    Arc::new(Allocation {
        id: AllocationId(number),
        pool: "onload".parse().unwrap(),
        device: format!("onload-{number}").parse().unwrap(),
        holder,
        tenure: Tenure::Persistent,
        since: Timestamp(5),
    })
}

#[tokio::test]
async fn the_file_of_a_former_pool_stays_as_long_as_a_container_has_something_of_it() {
    let holding = |allocations: &[Arc<Allocation>]| {
        let each = allocations.iter().map(|one| (one.id, one.clone()));
        Picture { pools: Arc::default(), allocations: Arc::new(each.collect()), ..shown() }
    };
    let (container, program) = (lent(0, Holder::Container), lent(1, Holder::User { uid: 0 }));
    let edge = Edge::start(shown());
    eventually("the file", || read(&edge.file()).is_ok()).await;
    let text = fs::read_to_string(edge.file()).unwrap();
    edge.pictures.send_replace(Arc::new(holding(&[container.clone(), program.clone()])));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(fs::read_to_string(edge.file()).unwrap(), text, "as it was written");
    // A later daemon finds it, knows as little of the pool, and has the ledger.
    let both = holding(&[container.clone(), program.clone()]);
    let later = Edge::prepared(both, |root| {
        fs::create_dir(root.join("cdi")).unwrap();
        fs::write(root.join("cdi").join(FILE), &text).unwrap();
        let other = "{\"kind\": \"amd.com/other\", \"devices\": [{\"name\": \"other-0\"}]}";
        fs::write(root.join("cdi/amd.com-other_onloadd.json"), other).unwrap();
    });
    eventually("only what somebody has", || later.names() == [FILE]).await;
    for edge in [edge, later] {
        edge.pictures.send_replace(Arc::new(holding(std::slice::from_ref(&program))));
        eventually("no file: a program needs none", || !edge.file().exists()).await;
    }
    // By order there are none, whoever has something.
    let edge = Edge::start(shown());
    eventually("the file", || read(&edge.file()).is_ok()).await;
    let mut off = holding(&[container]);
    let no = Entry { value: "false".to_owned(), origin: None, masks: Vec::new() };
    off.config = Arc::new(BTreeMap::from([("cdi.enabled".to_owned(), no)]));
    edge.pictures.send_replace(Arc::new(off));
    eventually("no file by order", || !edge.file().exists()).await;
}

/// Puts something in the way.
type Obstacle = fn(&Path);

#[tokio::test]
async fn what_is_not_ours_under_our_name_is_left_and_the_others_go_on() {
    let obstacles: [(&str, Obstacle); 4] = [
        ("somebody's file", |path| fs::write(path, "kind: amd.com/onload\n").unwrap()),
        ("of another kind", |path| fs::write(path, "{\"kind\": \"x.y/z\"}").unwrap()),
        ("a link", |path| symlink("/etc/hostname", path).unwrap()),
        ("a directory", |path| fs::create_dir(path).unwrap()),
    ];
    for (why, obstacle) in obstacles {
        let mut both = shown();
        let fast = picture("amd.com/fast", "/usr/lib64", &["/dev/onload"]).pools;
        let fast = fast.values().next().unwrap().clone();
        Arc::make_mut(&mut both.pools).insert("fast".parse().unwrap(), fast);
        let edge = Edge::prepared(both, |root| {
            fs::create_dir(root.join("cdi")).unwrap();
            obstacle(&root.join("cdi").join(FILE));
        });
        let before = fs::symlink_metadata(edge.file()).unwrap();
        let fast = edge.root.path().join("cdi/amd.com-fast_onloadd.json");
        eventually("the other file", || read(&fast).is_ok()).await;
        // Neither overwritten nor removed, also when the pool goes.
        edge.pictures.send_replace(Arc::new(Picture { pools: Arc::default(), ..shown() }));
        eventually("the other file gone", || !fast.exists()).await;
        let after = fs::symlink_metadata(edge.file()).unwrap();
        assert_eq!(before.modified().unwrap(), after.modified().unwrap(), "{why}");
        assert_eq!(before.file_type(), after.file_type(), "{why}");
    }
}

#[tokio::test]
async fn a_directory_is_made_for_a_file_and_not_for_none() {
    let none = Picture { pools: Arc::default(), ..shown() };
    let edge = Edge::start(none);
    tokio::time::sleep(A_WHILE).await;
    assert!(!edge.root.path().join("cdi").exists());
    edge.pictures.send_replace(Arc::new(shown()));
    eventually("the file", || read(&edge.file()).is_ok()).await;
    let mode = fs::metadata(edge.root.path().join("cdi")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[tokio::test]
async fn what_others_take_away_is_put_back() {
    let edge = Edge::start(shown());
    eventually("the file", || read(&edge.file()).is_ok()).await;
    // Others that come and go, and a turn of ours, do not end the watch.
    fs::write(edge.file().with_file_name("x.json"), "{}").unwrap();
    fs::remove_file(edge.file().with_file_name("x.json")).unwrap();
    for turn in 0..3 {
        fs::remove_file(edge.file()).unwrap();
        eventually(&format!("the file again, {turn}"), || read(&edge.file()).is_ok()).await;
    }
    fs::remove_dir_all(edge.root.path().join("cdi")).unwrap();
    eventually("the directory again", || read(&edge.file()).is_ok()).await;
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_tried_again_with_the_next_picture() {
    let edge = Edge::prepared(shown(), |root| fs::write(root.join("cdi"), "in the way").unwrap());
    tokio::time::sleep(A_WHILE).await;
    fs::remove_file(edge.root.path().join("cdi")).unwrap();
    edge.pictures.send_replace(Arc::new(shown()));
    eventually("the file", || read(&edge.file()).is_ok()).await;
}
