//! The machine itself, or a capture of it: kernel interfaces read below an opened root, one file
//! for each. Reads facts and carries out steps; compares nothing with what is wanted.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test that meets what it does not expect ends there"
    )
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use onload_core::clock::{ClockLook, Clocks};
use onload_core::inventory::{Depth, Look, Snapshot};
use onload_core::names::ReleaseName;
use onload_core::reading::Reading;
use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::secure_boot::request::write::Write;
use onload_core::step::{Outcome, Step, StepError};

use self::events::Events;
use self::initramfs::{InitramfsFiles, Pace};
use self::netlink::Connections;
use self::releases::OnDisk;
pub(crate) use self::root::Dir;
use self::runner::Programs;
use self::secure_boot::Keys;
use self::source::Source;
use super::Host;
use crate::store::Store;

pub use self::runner::Runner;

mod addresses;
mod af_xdp;
mod attachments;
mod attribute;
mod capture;
mod clocks;
mod control_plane;
mod dumps;
mod ethtool;
mod events;
mod initramfs;
mod interfaces;
mod kernel_log;
mod kernels;
mod kubelet;
mod link_files;
mod links;
mod loader;
mod modprobe;
mod modprobe_d;
mod module_files;
mod modules;
mod netlink;
mod network;
mod onload;
mod options;
mod others;
mod pci;
mod pins;
mod profiles;
mod releases;
pub mod restore;
mod root;
mod routes;
mod runner;
mod sealed;
mod secure_boot;
mod servers;
mod source;
mod steps;
mod systemd;
#[cfg(test)]
mod tests;
mod udev;
mod udevd;
mod userland;
mod users;
mod variables;

/// Most that the list of a capture may hold: some ten thousand entries.
const SPECIAL_BYTES: usize = 1 << 20;

/// Where the Linux host looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// `/` for the running machine; anything else is a capture or a container's root.
    pub root: PathBuf,
    /// The kubelet's device-plugin directory, below the root.
    pub kubelet_directory: PathBuf,
    /// The daemon's state directory, below the root; imported releases lie there.
    pub state_directory: PathBuf,
}

/// Why a root cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, or no directory, or not for us.
    #[error("{} cannot be opened as a root directory: {}", path.display(), source.desc())]
    Root {
        /// The root.
        path: PathBuf,
        /// What the system said.
        source: Errno,
    },
    /// It is a capture whose list of special files cannot be used.
    #[error("the capture in {} cannot be used: {why}", path.display())]
    Capture {
        /// The root.
        path: PathBuf,
        /// What is wrong with the list.
        why: String,
    },
    /// A directory is not UTF-8.
    #[error("{} cannot be used: its name is not UTF-8", .0.display())]
    NotText(PathBuf),
}

/// Why a capture was not written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Files of two captures would mix.
    #[error("{} is not an empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// A file could not be written.
    #[error("the capture was not written: {0}")]
    Write(#[from] io::Error),
}

/// The Linux host.
#[derive(Debug)]
pub struct Linux {
    places: Places,
    kubelet_directory: String,
    state_directory: String,
    root: Dir,
    source: Source,
    programs: Programs,
    /// None for a root that does not change.
    events: Option<Events>,
    on_disk: OnDisk,
    keys: Keys,
    /// What sfptpd said in earlier looks.
    followed: clocks::Followed,
    initramfs: InitramfsFiles,
    /// What the last look found, for one that does not go as far.
    last: RefCell<Option<Snapshot>>,
    /// None for a root that is not this machine's.
    store: Option<Store>,
}

impl Linux {
    /// Opens a root. With `/` the kernel is asked by netlink and events are heard; with any other,
    /// netlink answers come from the capture and nothing can be changed.
    ///
    /// # Errors
    /// The root cannot be opened, or is a damaged capture.
    pub fn open(places: Places) -> Result<Self, OpenError> {
        let open = |special| {
            Dir::root(&places.root, special)
                .map_err(|source| OpenError::Root { path: places.root.clone(), source })
        };
        let root = open(BTreeMap::new())?;
        let live = places.root == Path::new("/");
        let root = if live { root } else { open(special(&root, &places.root)?)? };
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| OpenError::NotText(path.to_owned()))
        };
        let store = live.then(|| Store::new(&places.state_directory));
        if let Some(Err(error)) = store.as_ref().map(Store::sweep) {
            tracing::warn!(%error, "leftovers of an interrupted import stay");
        }
        Ok(Self {
            store,
            kubelet_directory: text(&places.kubelet_directory)?,
            state_directory: text(&places.state_directory)?,
            root,
            source: if live { Source::Live(Connections::default()) } else { Source::Recorded },
            programs: Programs::default(),
            events: live.then(|| Events::open(&places.kubelet_directory)),
            on_disk: OnDisk::default(),
            keys: if live { Keys::live() } else { Keys::recorded() },
            followed: clocks::Followed::default(),
            initramfs: InitramfsFiles::new(if live { Pace::Beside } else { Pace::AtOnce }),
            last: RefCell::default(),
            places,
        })
    }

    /// The same host, with programs run in another way.
    #[must_use]
    pub fn with_runner(self, runner: Runner) -> Self {
        if runner == Runner::Direct && self.events.is_some() {
            self.initramfs.set(Pace::Never);
        }
        Self { programs: runner.into(), ..self }
    }

    /// Looks once and writes what was read into an empty or missing directory, as a root that reads
    /// back to the snapshot it returns: files where they lie, links as links, netlink replies as
    /// they came, and a list of what files cannot hold. Addresses and names are those of the machine.
    ///
    /// # Errors
    /// The directory holds something, or it cannot be written.
    pub async fn record(&self, into: &Path) -> Result<Snapshot, RecordError> {
        fs::create_dir_all(into)?;
        if fs::read_dir(into)?.next().is_some() {
            return Err(RecordError::NotEmpty(into.to_owned()));
        }
        let pace = self.initramfs.set(Pace::AtOnce);
        // What is remembered would not be in the capture.
        self.keys.forget();
        self.followed.forget();
        let look = Look { depth: Depth::Usual, clocks: Some(ClockLook::default()) };
        let seen = self.root.record(into, self.observe(look)).await;
        self.initramfs.set(pace);
        Ok(seen?)
    }

    fn unsupported(&self) -> StepError {
        StepError::Unsupported(format!(
            "nothing can be changed below {}: only the running machine (--root /) can",
            self.places.root.display()
        ))
    }

    /// What a look finds of clocks.
    async fn clocks(&self, look: Option<&ClockLook>) -> Reading<Box<Clocks>> {
        match look {
            // Before the network nobody keeps time yet, and there is no bus to ask by.
            Some(_) if self.programs.is_direct() => Reading::Absent,
            Some(look) => {
                let live = matches!(self.source, Source::Live(_));
                clocks::read(&self.root, live, &self.programs, &self.followed, look).await
            }
            None => Reading::Absent,
        }
    }

    /// Has the end of the servers that were seen heard.
    fn hear_ends(&self, seen: &Snapshot) {
        if let Some(events) = &self.events {
            events.watch(seen.driver.control_plane.known());
        }
    }

    /// Where releases are kept; `what` does not happen on a root that is not this machine's.
    fn store(&self, what: &str) -> Result<&Store, Refusal> {
        self.store.as_ref().ok_or_else(|| self.not_here(what))
    }

    fn not_here(&self, what: &str) -> Refusal {
        let why = format!("{} is not the running machine", self.places.root.display());
        let fix = "ask the daemon of that machine, which runs on --root /";
        Refusal::new(RefusalKind::Unsupported, what, why, fix)
    }
}

impl Host for Linux {
    async fn observe(&self, look: impl Into<Look>) -> Snapshot {
        let root = &self.root;
        let Look { depth, clocks } = look.into();
        if depth == Depth::Clocks
            && let Some(last) = self.last.take()
        {
            let seen = Snapshot { clocks: self.clocks(clocks.as_ref()).await, ..last };
            self.last.replace(Some(seen.clone()));
            return seen;
        }
        if let Depth::Modules | Depth::Network = depth
            && let Some(last) = self.last.take()
        {
            let ports = pci::read(root);
            let mut seen = Snapshot {
                modules: modules::read(root),
                driver: onload::driver(root),
                device_nodes: onload::device_nodes(root),
                loader: loader::read(root),
                userland: userland::read(root, &self.state_directory),
                // Goes and comes with sfc_resource.
                af_xdp: af_xdp::read(root),
                users: Reading::Absent,
                network: Reading::Absent,
                ..last
            };
            if depth == Depth::Network {
                seen.interfaces = interfaces::read(root, &self.source, &ports).await;
                seen.udev_done = link_files::done(root);
                seen.network = network::read(root, &self.source, &seen.interfaces).await;
            }
            seen.ports = ports;
            if clocks.as_ref().is_some_and(|look| look.again) {
                seen.clocks = self.clocks(clocks.as_ref()).await;
            }
            self.hear_ends(&seen);
            self.last.replace(Some(seen.clone()));
            return seen;
        }
        // Within a change looks go no further than the modules.
        self.programs.systemd.rest();
        // Reading files never waits, so others get their turn between the parts.
        let pause = tokio::task::yield_now;
        let kernel = root.line("proc/sys/kernel/osrelease").and_then(attribute::value);
        let boot_id = root.line("proc/sys/kernel/random/boot_id").and_then(attribute::value);
        let ports = pci::read(root);
        pause().await;
        let interfaces = interfaces::read(root, &self.source, &ports).await;
        pause().await;
        let modules = modules::read(root);
        let driver = onload::driver(root);
        let device_nodes = onload::device_nodes(root);
        pause().await;
        let (releases, mut kernels) =
            releases::read(root, &self.state_directory, &self.on_disk, self.store.is_some());
        if let Reading::Known(kernels) = &mut kernels {
            self.initramfs.add_to(root, kernels);
        }
        let installed = kernels.known().into_iter().flat_map(|kernels| kernels.keys());
        let trust = self.keys.read(root, &kernel, installed);
        pause().await;
        let kubelet = kubelet::socket(root, &self.kubelet_directory);
        let loader = loader::read(root);
        let others = others::read(root, &self.kubelet_directory, &modules, &loader);
        let mut seen = Snapshot {
            kernel,
            boot_id,
            ports,
            interfaces,
            modules,
            driver,
            device_nodes,
            releases,
            kernels,
            trust,
            volumes: sealed::read(root),
            loader,
            userland: userland::read(root, &self.state_directory),
            af_xdp: af_xdp::read(root),
            udev_done: link_files::done(root),
            link_files: link_files::read(root),
            pins: pins::read(root),
            network_root: network::root(root),
            options: options::read(root),
            profiles: profiles::read(root),
            attachments: attachments::configured(root),
            attached: attachments::in_use(root, depth),
            kubelet,
            others,
            ..Snapshot::default()
        };
        seen.users = users::read(root, depth, &seen).await;
        seen.clocks = self.clocks(clocks.as_ref()).await;
        // As far as that within a change too, where a restart left nothing of an earlier look.
        if let Depth::Users | Depth::Network = depth {
            seen.network = network::read(root, &self.source, &seen.interfaces).await;
        }
        self.hear_ends(&seen);
        self.last.replace(Some(seen.clone()));
        seen
    }

    async fn apply(&self, step: &Step) -> Result<Outcome, StepError> {
        self.carry_out(step).await
    }

    async fn import(
        &self,
        source: OwnedFd,
        version: Option<ReleaseName>,
    ) -> Result<ReleaseName, Refusal> {
        self.store("no release was taken in")?.import(source, version).await
    }

    async fn remove(&self, release: &ReleaseName) -> Result<(), Refusal> {
        self.store(&format!("release {release} was not removed"))?.remove(release).await
    }

    async fn write_variables(&self, writes: &[Write]) -> Result<(), Refusal> {
        self.have_written(writes).await
    }

    async fn changed(&self) {
        match &self.events {
            Some(events) => tokio::select! {
                () = events.next() => {}
                () = self.initramfs.read_one() => {}
            },
            None => std::future::pending().await,
        }
    }
}

/// The list of a capture; empty where there is none.
fn special(root: &Dir, path: &Path) -> Result<BTreeMap<String, capture::Special>, OpenError> {
    let refuse = |why: String| OpenError::Capture {
        path: path.to_owned(),
        why: format!("{}: {why}", capture::SPECIAL_FILE),
    };
    match root.read(capture::SPECIAL_FILE, SPECIAL_BYTES).and_then(attribute::text) {
        Reading::Known(text) => capture::parse(&text).map_err(refuse),
        Reading::Absent => Ok(BTreeMap::new()),
        Reading::Unreadable(why) => Err(refuse(why)),
    }
}
