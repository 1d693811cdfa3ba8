//! The edge under test on a bus of its own, with a loop behind it that does as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onload_core::allocation::{Allocation, Holder, Process, Tenure};
use onload_core::change::{self, Deadline, Holders, Manner, Origin, Outcome, Past};
use onload_core::command::{Answer, Caller, Command, Reply};
use onload_core::inventory::{Interface, Link, Module, ModuleState, Port, User};
use onload_core::job::{Job, JobKind, JobState};
use onload_core::names::{AllocationId, JobId};
use onload_core::others::OtherPicture;
use onload_core::picture::{
    Device, Lent, ModulePicture, NodeState, Picture, PoolPicture, PortPicture, ReleasePicture,
};
use onload_core::pool::Cause;
use onload_core::reading::Reading;
use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::release::initramfs::Remark;
use onload_core::release::preflight::{Fault, Objection};
use onload_core::release::signing::Signing;
use onload_core::release::{ModuleFile, Release};
use onload_core::time::{Moment, Timestamp};
use onload_tests::bus::Bus;
use onloadd::bus::{Address, Options, ServeError, serve_with};
use onloadd::letterbox::{Letterbox, Notice, Post};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zbus::Connection;

mod clocks;
mod port_name;

/// Nothing here takes longer, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Time between the answer to an order and the picture that shows it: enough for a client to see
/// the difference.
const PUBLISHED_AFTER: Duration = Duration::from_millis(10);

/// The user that the unprivileged calls are made by.
pub const NOBODY: u32 = 65534;

/// What has been posted.
#[derive(Debug, Default)]
pub struct Posted {
    pub commands: Vec<(Caller, Command)>,
    /// What came with them.
    pub files: Vec<OwnedFd>,
    pub notices: Vec<Notice>,
}

pub struct Rig {
    pub bus: Bus,
    pub pictures: Arc<watch::Sender<Arc<Picture>>>,
    pub posted: Arc<Mutex<Posted>>,
    pub serving: watch::Receiver<bool>,
    task: JoinHandle<()>,
    pub edge: JoinHandle<Result<(), ServeError>>,
}

impl Rig {
    /// A served bus.
    pub async fn new(picture: Picture) -> Self {
        let mut rig = Self::on(Bus::running().unwrap(), picture);
        rig.served().await;
        rig
    }

    /// The edge for a bus that may not run yet.
    pub fn on(bus: Bus, picture: Picture) -> Self {
        Self::with(bus, picture, Options::default())
    }

    /// The edge with options of one's own.
    pub fn with(bus: Bus, picture: Picture, options: Options) -> Self {
        let (letterbox, pictures, mut posts) = Letterbox::new();
        pictures.send_replace(Arc::new(picture));
        let pictures = Arc::new(pictures);
        let posted = Arc::new(Mutex::new(Posted::default()));
        let (log, source) = (posted.clone(), pictures.clone());
        let task = tokio::spawn(async move {
            let mut lent = 100;
            while let Some(post) = posts.recv().await {
                match post {
                    Post::Request { caller, command, files, answer } => {
                        let (reply, change) = obey(&mut lent, &caller, &command);
                        note(&log, caller, command, files);
                        let _ = answer.send(reply);
                        if let Some(change) = change {
                            tokio::time::sleep(PUBLISHED_AFTER).await;
                            source.send_modify(|picture| change(Arc::make_mut(picture)));
                        }
                    }
                    Post::Notice(notice) => log.lock().unwrap().notices.push(notice),
                }
            }
        });
        let serving = options.serving.subscribe();
        let address = Address::Other(bus.address());
        let edge = tokio::spawn(serve_with(letterbox, address, options));
        Self { bus, pictures, posted, serving, task, edge }
    }

    /// Waits until the edge serves.
    pub async fn served(&mut self) {
        let serving = self.serving.wait_for(|serving| *serving);
        tokio::time::timeout(PATIENCE, serving).await.expect("not served in time").unwrap();
    }

    /// A client.
    pub async fn client(&self) -> Connection {
        zbus::connection::Builder::address(self.bus.address().as_str())
            .method_timeout(PATIENCE)
            .build()
            .await
            .unwrap()
    }

    /// Publishes the picture with a change.
    pub fn alter(&self, change: impl FnOnce(&mut Picture)) {
        self.pictures.send_modify(|picture| change(Arc::make_mut(picture)));
    }

    /// Waits for a notice.
    pub async fn noticed(&self, wanted: &Notice) {
        let seen = async {
            while !self.posted.lock().unwrap().notices.contains(wanted) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
    }

    /// Ends the loop's stand-in; with the last sender of pictures the loop is over.
    pub fn end_loop(&self) {
        self.task.abort();
    }

    /// What has been ordered.
    pub fn commands(&self) -> Vec<Command> {
        let posted = self.posted.lock().unwrap();
        posted.commands.iter().map(|(_, command)| command.clone()).collect()
    }
}

fn note(log: &Mutex<Posted>, caller: Caller, command: Command, files: Option<OwnedFd>) {
    let mut posted = log.lock().unwrap();
    posted.commands.push((caller, command));
    posted.files.extend(files);
}

/// A change that an order makes.
type Change = Box<dyn FnOnce(&mut Picture) + Send>;

/// The loop's stand-in: every order is followed. As the loop does, it answers first and publishes a
/// little later. Pool `full` refuses with the kind that the count numbers.
fn obey(lent: &mut u64, caller: &Caller, command: &Command) -> (Answer, Option<Change>) {
    match command {
        Command::Allocate { pool, count, .. } if pool.as_str() == "full" => {
            let kind = KINDS[usize::try_from(*count).unwrap() - 1];
            (Err(Refusal::new(kind, "nothing was lent", "the pool is full", "wait")), None)
        }
        Command::Allocate { pool, count, .. } => {
            let first = *lent + 1;
            *lent += u64::from(*count);
            let made = (first..=*lent).map(|number| {
                let holder = caller.process.clone().map_or(Holder::Container, Holder::Process);
                Allocation { pool: pool.clone(), holder, ..allocation(number) }
            });
            let made: Vec<_> = made.collect();
            let reply = made.iter().map(|made| (made.id, made.device.clone())).collect();
            let change: Change = Box::new(move |picture| {
                let made = made.into_iter().map(|made| (made.id, Arc::new(made)));
                Arc::make_mut(&mut picture.allocations).extend(made);
            });
            (Ok(Reply::Allocated(reply)), Some(change))
        }
        Command::Apply { .. }
        | Command::Use { .. }
        | Command::Rollback { .. }
        | Command::Adopt
        | Command::Import { .. }
        | Command::Remove { .. }
        | Command::ImportKey { .. }
        | Command::RevokeRequest { .. }
        | Command::HandOver { .. } => {
            let job = Job { uid: caller.uid, ..job(7) };
            let change: Change = Box::new(move |picture| {
                Arc::make_mut(&mut picture.jobs).insert(job.id, job);
            });
            (Ok(Reply::Job(JobId(7))), Some(change))
        }
        Command::Free { allocation, .. } => {
            let id = *allocation;
            let change: Change = Box::new(move |picture| {
                Arc::make_mut(&mut picture.allocations).remove(&id);
            });
            (Ok(Reply::Done), Some(change))
        }
        Command::Reload => {
            let refusal = Refusal::new(
                RefusalKind::InvalidArgument,
                "the configuration was not read again",
                "/etc/onloadd/onloadd.toml:3: pools.onload.slotz: unknown key",
                "mend it",
            );
            (Err(refusal), None)
        }
        Command::Hold { .. } | Command::Unhold | Command::Confirm | Command::Cancel { .. } => {
            (Ok(Reply::Done), None)
        }
        Command::KubeletAllocate { .. } => panic!("not an order of the bus"),
    }
}

pub const KINDS: [RefusalKind; 13] = [
    RefusalKind::NotAuthorized,
    RefusalKind::InUse,
    RefusalKind::Blocked,
    RefusalKind::Held,
    RefusalKind::NotFound,
    RefusalKind::InvalidArgument,
    RefusalKind::Busy,
    RefusalKind::Unsupported,
    RefusalKind::Degraded,
    RefusalKind::Internal,
    RefusalKind::LimitExceeded,
    RefusalKind::Cancelled,
    RefusalKind::LedgerUnavailable,
];

pub fn allocation(number: u64) -> Allocation {
    let process = Process {
        pid: 4711,
        start_ticks: 1,
        boot: "ab-12".parse().unwrap(),
        uid: 1000,
        comm: "trader".to_owned(),
    };
    Allocation {
        id: AllocationId(number),
        pool: "onload".parse().unwrap(),
        device: format!("onload-{number}").parse().unwrap(),
        holder: Holder::Process(process),
        tenure: Tenure::Persistent,
        since: Timestamp(1_000),
    }
}

pub fn job(number: u64) -> Job {
    Job {
        id: JobId(number),
        kind: JobKind::Apply,
        state: JobState::Running,
        done: 1,
        total: 3,
        message: "loading sfc".to_owned(),
        uid: NOBODY,
        started: Timestamp(2_000),
    }
}

/// One object of each kind.
pub fn node() -> Picture {
    let address = "0000:3b:00.0".parse().unwrap();
    let interface = Interface {
        index: 3,
        port: Reading::Known(address),
        link: Reading::Known(Link::Up),
        speed_mbps: Reading::Known(25_000),
        phc_index: Reading::Unreadable("EPERM".to_owned()),
        ..Interface::default()
    };
    let port = PortPicture {
        port: Port {
            vendor: Reading::Known(0x1924),
            device: Reading::Known(0x0b03),
            driver: Reading::Known("sfc".to_owned()),
            numa_node: Reading::Known(1),
            auxiliary: Reading::Known(BTreeMap::from([(
                "sfc.onload.0".to_owned(),
                Reading::Known("onload".to_owned()),
            )])),
            ..Port::default()
        },
        family: "X2".to_owned(),
        netdev: Some("ens1f0".parse().unwrap()),
        interface: interface.clone(),
        ..PortPicture::default()
    };
    let module = Module {
        state: ModuleState::Live,
        refcount: Reading::Known(2),
        holders: ["onload".parse().unwrap()].into(),
        version: Reading::Known("9.2.1".to_owned()),
        srcversion: Reading::Absent,
        taint: Reading::Known("OE".to_owned()),
        parameters: BTreeMap::from([("debug".to_owned(), Reading::Unreadable("EIO".to_owned()))]),
    };
    let devices = (0..3u32).map(|slot| Device {
        id: format!("onload-{slot}").parse().unwrap(),
        numa_node: (slot > 0).then_some(1),
        cause: (slot == 2).then_some(Cause::NoCarrier { port: address }),
        local_only: false,
        lent: if slot == 1 { Lent::Local(AllocationId(1)) } else { Lent::No },
    });
    let pool = PoolPicture {
        kind: onload_core::config::PoolKind::Onload,
        resource: "amd.com/onload".to_owned(),
        selectors: BTreeMap::from([("numa-nodes".to_owned(), vec!["1".to_owned()])]),
        ports: [address].into(),
        devices: Arc::new(devices.collect()),
        answer: None,
        registered: true,
        ..PoolPicture::default()
    };
    Picture {
        state: NodeState::Ready,
        boot_id: Reading::Known("ab-12".parse().unwrap()),
        kernel: Reading::Unreadable("EACCES".to_owned()),
        interfaces: Arc::new(BTreeMap::from([("ens1f0".parse().unwrap(), interface)])),
        ports: Arc::new(BTreeMap::from([(address, port)])),
        naming: Arc::new(vec![port_name::wanted_elsewhere(address)]),
        modules: Arc::new(BTreeMap::from([(
            "sfc".parse().unwrap(),
            ModulePicture { module: Reading::Known(module), wanted: true, differing: Vec::new() },
        )])),
        releases: Arc::new(BTreeMap::from([
            ("host".parse().unwrap(), release("/", &[])),
            ("9.1.0".parse().unwrap(), release("/var/lib/onloadd/releases/9.1.0", &objections())),
        ])),
        clocks: Arc::new(clocks::kept()),
        pools: Arc::new(BTreeMap::from([("onload".parse().unwrap(), pool)])),
        allocations: Arc::new(BTreeMap::from([(AllocationId(1), Arc::new(allocation(1)))])),
        jobs: Arc::new(BTreeMap::from([(JobId(1), job(1))])),
        ..Picture::default()
    }
}

/// The kernel that runs where the tests say so, and one that is only on the disk.
pub const KERNELS: [&str; 2] = ["6.1.0-40-amd64", "6.1.0-41-amd64"];

/// Until when the change of [`changing`] must be confirmed: in 2100.
pub const CONFIRM_BY: u64 = 4_102_444_800_000;

/// Two reasons at once.
fn objections() -> [Objection; 2] {
    let onload = || BTreeSet::from(["onload".parse().unwrap()]);
    let fault = Fault {
        reason: "Unsigned".to_owned(),
        what: "the module is not signed".to_owned(),
        why: "there is no mark of a signature".to_owned(),
        rule: "this kernel refuses it".to_owned(),
        fix: "sign it".to_owned(),
    };
    let untrusted = Objection::Untrusted { modules: onload(), fault };
    [Objection::Incomplete { missing: onload() }, untrusted]
}

/// A release with one module for the first kernel, and what speaks against the second.
fn release(root: &str, against: &[Objection]) -> ReleasePicture {
    let file = ModuleFile {
        path: format!("{root}/lib/modules/{}/onload.ko", KERNELS[0]),
        version: Some("9.1.0".to_owned()),
        signed: Signing::of(include_bytes!("../../secure-boot/rsa.ko")),
        ..ModuleFile::default()
    };
    let modules = BTreeMap::from([("onload".parse().unwrap(), file)]);
    let release = Release {
        root: root.to_owned(),
        library_directory: "usr/lib64".to_owned(),
        libraries: ["libonload.so".to_owned()].into(),
        profiles: ["latency".to_owned()].into(),
        modules: Reading::Known(BTreeMap::from([(KERNELS[0].parse().unwrap(), modules)])),
        server: Some("sbin/onload_cp_server".to_owned()),
        ..Release::default()
    };
    let kernels = [(KERNELS[0], &[][..]), (KERNELS[1], against)];
    let kernels = kernels.map(|(kernel, against)| (kernel.parse().unwrap(), against.to_vec()));
    let remark = Remark::InitramfsUnreadable {
        kernel: KERNELS[1].parse().unwrap(),
        why: "/boot/initrd.img: EIO".to_owned(),
    };
    let remarks = BTreeMap::from([(KERNELS[1].parse().unwrap(), vec![remark])]);
    let (matches_driver, kernels) = (Reading::Known(true), kernels.into());
    ReleasePicture { release, matches_driver, kernels, remarks }
}

/// Somebody else who has to do with the modules, adopted.
pub fn other() -> OtherPicture {
    OtherPicture {
        evidence: "/var/lib/kmm_day1_config.yaml names them".to_owned(),
        adopted: Some((0, Timestamp(5))),
        does: vec!["load and unload".to_owned()],
        left: vec!["delete the Module".to_owned()],
    }
}

/// A change that is done and waits to be confirmed, two that ended, and somebody who uses the
/// stack.
pub fn changing(picture: &mut Picture) {
    let change = |number: u64, from: &str, to: &str| change::Change {
        number,
        from: Some(from.parse().unwrap()),
        to: to.parse().unwrap(),
        origin: Origin::Order(1000),
        manner: Manner { holders: Holders::Stop, confirm_within: Some("1m".parse().unwrap()) },
        kernel: Some(KERNELS[0].parse().unwrap()),
        boot: None,
        began: Timestamp(1_000),
        touched: false,
        turned: None,
        called_off: false,
        confirm_by: None,
    };
    let failed = Outcome::Failed("sfc refuses to go".to_owned());
    let ended = |change, outcome| Past { change, ended: Timestamp(4_000), outcome };
    let turned = change::Change {
        turned: Some("onload is not bound".to_owned()),
        origin: Origin::Boot,
        ..change(2, "host", "9.0.0")
    };
    // A time that no test sees the end of.
    let deadline = Deadline { moment: Moment(9), boot: None, wall: Timestamp(CONFIRM_BY) };
    picture.wanted_release = Some("9.1.0".parse().unwrap());
    picture.wanted_by = "an order of uid 1000".to_owned();
    picture.loaded_release = Some("9.1.0".parse().unwrap());
    picture.change =
        Some(change::Change { confirm_by: Some(deadline), ..change(3, "host", "9.1.0") });
    picture.history = Arc::new(vec![
        ended(change(1, "in-tree", "host"), failed),
        ended(turned, Outcome::RolledBack),
    ]);
    let user = User {
        started: 1,
        comm: "trader".to_owned(),
        unit: Some("trader.service".to_owned()),
        container: None,
        uses: ["/dev/onload".to_owned()].into(),
    };
    picture.users = Arc::new(BTreeMap::from([(4711, user)]));
}
