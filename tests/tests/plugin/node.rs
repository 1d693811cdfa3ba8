//! The plugin edge on a temporary device plugin directory, with a loop behind it that does only as
//! it is told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onload_core::command::{Answer, Caller, Command, ContainerAnswer, Reply};
use onload_core::config::Registration;
use onload_core::names::DeviceId;
use onload_core::picture::{Device, Lent, Picture, PoolPicture};
use onloadd::kubelet::{Patience, Places, serve_with};
use onloadd::letterbox::{Letterbox, Notice, Post};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The pool that the tests speak of, and what the kubelet knows it by.
pub const POOL: &str = "onload";
pub const RESOURCE: &str = "amd.com/onload";
/// The file name of its socket.
pub const SOCKET: &str = "onloadd-onload.sock";

/// Long enough for a loaded machine; nothing waits that long unless something is broken.
pub const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes.
pub const A_WHILE: Duration = Duration::from_millis(200);

/// Limits as they are, but for those that a test would have to sit through.
pub const PATIENCE: Patience = Patience {
    register: Duration::from_millis(300),
    list: Duration::from_millis(300),
    find: Duration::from_millis(500),
    forget: Duration::from_millis(300),
    shortest_pause: Duration::from_millis(100),
    longest_pause: Duration::from_millis(800),
};

/// How the loop answers an order.
type Clerk = Box<dyn FnMut(Command) -> Answer + Send>;

/// The edge and the loop's ends of its letterbox.
pub struct Node {
    pub root: tempfile::TempDir,
    /// The edge's own directory of this boot.
    pub runtime: tempfile::TempDir,
    pictures: watch::Sender<Arc<Picture>>,
    notices: watch::Receiver<Vec<Notice>>,
    clerk: Arc<Mutex<Clerk>>,
    asked: Arc<Mutex<Vec<(Caller, Command)>>>,
    edge: Option<JoinHandle<()>>,
    letterbox: Letterbox,
    pools: BTreeMap<String, PoolPicture>,
}

impl Node {
    /// An edge that is not running yet, with one pool of three devices in the picture.
    pub fn new() -> Self {
        let (letterbox, pictures, mut posts) = Letterbox::new();
        let (news, notices) = watch::channel(Vec::new());
        let clerk: Arc<Mutex<Clerk>> = Arc::new(Mutex::new(Box::new(grant)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (clerks, log) = (Arc::clone(&clerk), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Some(post) = posts.recv().await {
                match post {
                    Post::Request { caller, command, answer, .. } => {
                        log.lock().unwrap().push((caller, command.clone()));
                        let _ = answer.send((clerks.lock().unwrap())(command));
                    }
                    Post::Notice(notice) => news.send_modify(|all| all.push(notice)),
                }
            }
        });
        let (root, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, pools) = (None, BTreeMap::new());
        let mut node =
            Self { root, runtime, pictures, notices, clerk, asked, edge, letterbox, pools };
        node.show(POOL, three_devices());
        node
    }

    /// The device plugin directory, which nobody has made yet. Paths are not URIs: the name has
    /// what those may not have.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("kubelet/device plugins%20?#é")
    }

    /// The registry of plugins, which nobody has made either.
    pub fn registry(&self) -> PathBuf {
        self.root.path().join("kubelet/plugins registry%20?#é")
    }

    /// Starts the edge, ending it first if it runs.
    pub async fn start(&mut self) {
        self.stop().await;
        let runtime = Some(self.runtime.path().to_owned());
        let places = Places { directory: self.dir(), registry: self.registry(), runtime };
        let edge = serve_with(self.letterbox.clone(), places, PATIENCE);
        self.edge = Some(tokio::spawn(edge));
    }

    /// Drops the edge's future.
    pub async fn stop(&mut self) {
        if let Some(edge) = self.edge.take() {
            edge.abort();
            let _ = edge.await;
        }
    }

    /// Publishes a picture in which the pool has these devices.
    pub fn show(&mut self, pool: &str, devices: Vec<Device>) {
        let former = self.pools.remove(pool).unwrap_or_default();
        let resource = format!("amd.com/{pool}");
        let picture = PoolPicture { resource, devices: Arc::new(devices), ..former };
        self.pools.insert(pool.to_owned(), picture);
        self.publish();
    }

    /// Publishes a picture in which the pool's other terms are these, whether it was there or not.
    pub fn agree(&mut self, pool: &str, registration: Registration, check_at_start: bool) {
        let former = self.pools.remove(pool).unwrap_or_default();
        let resource = format!("amd.com/{pool}");
        let picture = PoolPicture { resource, registration, check_at_start, ..former };
        self.pools.insert(pool.to_owned(), picture);
        self.publish();
    }

    /// Publishes a picture without the pool.
    pub fn hide(&mut self, pool: &str) {
        self.pools.remove(pool);
        self.publish();
    }

    /// Publishes a picture like the last one.
    pub fn publish(&self) {
        let pools = self.pools.iter().map(|(name, pool)| (name.parse().unwrap(), pool.clone()));
        let pools = Arc::new(pools.collect());
        self.pictures.send_replace(Arc::new(Picture { pools, ..Picture::default() }));
    }

    /// From now on the loop answers orders like this.
    pub fn answer(&self, clerk: impl FnMut(Command) -> Answer + Send + 'static) {
        *self.clerk.lock().unwrap() = Box::new(clerk);
    }

    /// The orders posted so far.
    pub fn asked(&self) -> Vec<(Caller, Command)> {
        self.asked.lock().unwrap().clone()
    }

    /// What was announced about a pool, in order.
    pub fn announced(&self, pool: &str) -> Vec<bool> {
        announced(&self.notices.borrow(), pool)
    }

    /// How often another plugin's socket was said to have come or gone.
    pub fn changes(&self) -> usize {
        self.notices.borrow().iter().filter(|notice| **notice == Notice::PluginSocket).count()
    }

    /// What was told of a pool as the reason why no kubelet listens to it, in order.
    pub fn told(&self, name: &str) -> Vec<String> {
        let of_pool = |notice: &Notice| match notice {
            Notice::NotRegistered { pool, why } if pool.as_str() == name => Some(why.clone()),
            Notice::NotRegistered { .. }
            | Notice::Registered { .. }
            | Notice::Changed
            | Notice::PluginSocket
            | Notice::TurnBack { .. }
            | Notice::ClientGone { .. }
            | Notice::BusLost
            | Notice::ProcessGone(_) => None,
        };
        self.notices.borrow().iter().filter_map(of_pool).collect()
    }

    /// Waits until the announcements about a pool are these.
    pub async fn wait_announced(&self, pool: &str, expected: &[bool]) {
        let mut notices = self.notices.clone();
        let as_expected = notices.wait_for(|notices| announced(notices, pool) == expected);
        if tokio::time::timeout(SOON, as_expected).await.is_err() {
            panic!("pool {pool}: announced {:?}, not {expected:?}", self.announced(pool));
        }
    }
}

fn announced(notices: &[Notice], name: &str) -> Vec<bool> {
    let of_pool = |notice: &Notice| match notice {
        Notice::Registered { pool, registered } if pool.as_str() == name => Some(*registered),
        Notice::Registered { .. }
        | Notice::Changed
        | Notice::NotRegistered { .. }
        | Notice::PluginSocket
        | Notice::TurnBack { .. }
        | Notice::ClientGone { .. }
        | Notice::BusLost
        | Notice::ProcessGone(_) => None,
    };
    notices.iter().filter_map(of_pool).collect()
}

/// Lends whatever is asked for.
fn grant(command: Command) -> Answer {
    match command {
        Command::KubeletAllocate { containers, .. } => {
            Ok(Reply::Containers(containers.iter().map(|_| ContainerAnswer::default()).collect()))
        }
        other => panic!("the kubelet's edge has no business with {other:?}"),
    }
}

pub fn device(slot: usize, numa_node: u32) -> Device {
    let id: DeviceId = format!("onload-{slot}").parse().unwrap();
    Device { id, numa_node: Some(numa_node), cause: None, local_only: false, lent: Lent::No }
}

/// Slots 0 and 2 on node 0, slot 1 on node 1.
pub fn three_devices() -> Vec<Device> {
    vec![device(0, 0), device(1, 1), device(2, 0)]
}

/// The names of the sockets in a directory, in order.
pub fn sockets(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().unwrap().is_socket())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits for what no event tells a test of.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
