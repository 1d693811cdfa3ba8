//! An answer is repeated for as long as its pod lives, and must stay true meanwhile. Here the machine
//! is a simulated one, except for what containers are given: that lies on this machine's disk, put
//! there by the code that does it on a node.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onload_core::change::{Holders, Manner};
use onload_core::command::{Caller, Command, Reply};
use onload_core::config::Fragment;
use onload_core::inventory::{Depth, Look, Snapshot};
use onload_core::job::{Job, JobState};
use onload_core::ledger::Ledger;
use onload_core::names::{InterfaceHash, ReleaseName};
use onload_core::picture::{Picture, PoolPicture};
use onload_core::refusal::Refusal;
use onload_core::release::ModuleFile;
use onload_core::secure_boot::request::write::Write;
use onload_core::step::{Outcome, Step, StepError};
use onload_core::time::Timestamp;
use onload_tests::kubelet::{Devices, Holding, Kubelet, healthy, resolve};
use onload_tests::node::PATIENCE;
use onloadd::app::App;
use onloadd::host::Host;
use onloadd::host::linux::{Linux, Places};
use onloadd::host::sim::{Sim, World};
use onloadd::kubelet::api::ContainerAllocateResponse;
use onloadd::ledger_file::LedgerFile;
use onloadd::letterbox::Letterbox;
use onloadd::module_file::{hashes, stand_in};
use onloadd::settings_dir::Sources;
use tempfile::TempDir;

use crate::reboot::says_what_stays_true;
use crate::rig::{ALL, RESOURCE};

/// Two releases that work in the world of the case.
const FORMER: &str = "9.1.2";
const NEXT: &str = "9.2.1";
/// What their drivers and libraries agree on, by that world.
const INTERFACES: [(&str, &str); 2] =
    [(FORMER, "a06c3be58f1d4772813c6f27d94ab065"), (NEXT, "b1f7c0de4a5d2e90813c6f27d94ab065")];

/// A simulated machine with a disk.
struct Machine {
    sim: Sim,
    disk: Linux,
}

impl Host for Machine {
    async fn observe(&self, look: impl Into<Look>) -> Snapshot {
        let look = look.into();
        let userland = self.disk.observe(look.clone()).await.userland;
        Snapshot { userland, ..self.sim.observe(look).await }
    }

    async fn apply(&self, step: &Step) -> Result<Outcome, StepError> {
        if matches!(step, Step::PlaceUserland { .. }) {
            self.disk.apply(step).await
        } else {
            self.sim.apply(step).await
        }
    }

    async fn import(
        &self,
        source: OwnedFd,
        version: Option<ReleaseName>,
    ) -> Result<ReleaseName, Refusal> {
        self.disk.import(source, version).await
    }

    async fn remove(&self, release: &ReleaseName) -> Result<(), Refusal> {
        self.disk.remove(release).await
    }

    async fn write_variables(&self, writes: &[Write]) -> Result<(), Refusal> {
        self.sim.write_variables(writes).await
    }

    async fn changed(&self) {
        self.sim.changed().await;
    }
}

/// The library of a release.
fn library(version: &str) -> Vec<u8> {
    hashes::stand_in(&interfaces(version))
}

fn interfaces(version: &str) -> BTreeSet<InterfaceHash> {
    let of = INTERFACES.iter().filter(|(name, _)| *name == version);
    of.map(|(_, hash)| hash.parse().unwrap()).collect()
}

/// A release as an archive.
fn archive(version: &str) -> OwnedFd {
    let module = stand_in::write(&ModuleFile {
        interfaces: interfaces(version),
        machine: 62,
        vermagic: "5.14.0-570.35.1.el9_6.x86_64 SMP preempt mod_unload modversions".to_owned(),
        version: Some(version.to_owned()),
        ..ModuleFile::default()
    });
    let modules = ["sfc", "sfc_resource", "sfc_char", "onload"];
    let place = "lib/modules/5.14.0-570.35.1.el9_6.x86_64/extra";
    let mut files: Vec<_> =
        modules.map(|name| (format!("{place}/{name}.ko"), module.clone())).to_vec();
    files.push(("usr/lib64/libonload.so".to_owned(), library(version)));
    let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    let mut file: File = builder.into_inner().unwrap();
    file.flush().unwrap();
    file.rewind().unwrap();
    file.into()
}

/// The node, and who speaks to it.
struct Stage<'a> {
    sim: &'a Sim,
    letterbox: Letterbox,
    kubelet: &'a Kubelet,
    state: PathBuf,
}

fn places(home: &Path) -> Places {
    Places {
        root: PathBuf::from("/"),
        kubelet_directory: home.join("nowhere"),
        state_directory: home.join("state"),
    }
}

fn machine(sim: &Sim, home: &Path) -> Machine {
    Machine { sim: sim.clone(), disk: Linux::open(places(home)).unwrap() }
}

/// The world's configuration, and above it this.
fn sources(settings: &str) -> Sources {
    let text = world().config().unwrap();
    let fragment = |file: &str, text: String| Some(Fragment { file: file.to_owned(), text });
    Sources {
        world: fragment("releases.toml", text),
        command_line: fragment("case.toml", settings.to_owned()),
        ..Sources::default()
    }
}

/// The ledger, as soon as the former daemon's last write has let go of it.
async fn ledger(state: &Path) -> (LedgerFile, Result<Ledger, String>) {
    let begun = Instant::now();
    loop {
        match LedgerFile::open(state) {
            Ok(opened) => return opened,
            Err(taken) => assert!(begun.elapsed() < PATIENCE, "{taken}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Plays a part of the daemon's life on the machine, with a kubelet that remembers its pods.
async fn live<T>(
    sim: &Sim,
    home: &Path,
    settings: &str,
    kubelet: &Kubelet,
    part: impl AsyncFnOnce(Stage<'_>) -> T,
) -> T {
    let state = home.join("state");
    let (letterbox, pictures, posts) = Letterbox::new();
    let ledger = ledger(&state).await;
    let app = App::new(machine(sim, home), sources(settings), ledger, pictures, posts);
    let stage = Stage { sim, letterbox: letterbox.clone(), kubelet, state };
    let directory = kubelet.dir().to_owned();
    let places = onloadd::kubelet::Places {
        registry: directory.join("plugins_registry"),
        directory,
        runtime: None,
    };
    tokio::select! {
        ended = app.run() => panic!("the loop ended: {ended:?}"),
        () = onloadd::kubelet::serve(letterbox, places) => {
            panic!("the plugin ended")
        }
        done = async {
            stage.until("the first look", |picture| !picture.modules.is_empty()).await;
            part(stage).await
        } => done,
    }
}

impl Stage<'_> {
    async fn until(&self, what: &str, holds: impl FnMut(&Arc<Picture>) -> bool) {
        let mut pictures = self.letterbox.watch();
        let reached = tokio::time::timeout(PATIENCE, pictures.wait_for(holds)).await;
        let reached = reached.is_ok_and(|seen| seen.is_ok());
        assert!(reached, "in vain: {what}; {}", self.letterbox.picture().summary);
    }

    async fn ended(&self, command: Command, files: Option<OwnedFd>) -> Job {
        let caller = Caller { uid: 0, process: None, bus_name: None, privileged: true };
        let what = format!("{command:?}");
        let reply = self.letterbox.submit_with(caller, command, files).await.unwrap();
        let Reply::Job(job) = reply else { panic!("{what}: {reply:?}") };
        let ended = |picture: &Arc<Picture>| {
            picture.jobs.get(&job).is_some_and(|job| job.state != JobState::Running)
        };
        self.until(&what, ended).await;
        self.letterbox.picture().jobs[&job].clone()
    }

    async fn import(&self, version: &str) {
        let job = self.ended(Command::Import { version: None }, Some(archive(version))).await;
        assert_eq!(job.state, JobState::Done, "{}", job.message);
    }

    /// The driver is replaced by order.
    async fn order(&self, release: &str) -> Job {
        let manner = Manner { holders: Holders::Refuse, confirm_within: None };
        self.ended(Command::Use { release: release.parse().unwrap(), manner }, None).await
    }

    /// Somebody replaces the driver by hand, whoever has a device.
    async fn by_hand(&self, release: &str) {
        let load = ["sfc", "onload"].map(|module| format!("load {module} from {release}"));
        let gone = match loaded(self.sim).await {
            Some(_) => &["sfc_resource", "sfc"][..],
            None => &["sfc"],
        };
        let gone = gone.iter().map(|module| format!("driver gone {module}"));
        for action in gone.chain(load) {
            self.sim.act(&action.parse().unwrap()).unwrap();
        }
        self.served(release).await;
    }

    /// Waits until the release is loaded and the kubelet has all devices.
    async fn served(&self, release: &str) {
        self.until(&format!("devices of {release}"), |picture| {
            let well = |pool: &PoolPicture| pool.devices.iter().all(|one| one.cause.is_none());
            let loaded = picture.loaded_version.known().map(String::as_str);
            loaded == Some(release) && picture.pools.values().all(well)
        })
        .await;
        let all = |devices: &Devices| healthy(devices) == ALL;
        let served = self.kubelet.wait_for(RESOURCE, PATIENCE, all).await;
        served.unwrap_or_else(|late| panic!("{late}"));
    }

    /// Which release a container that starts now gets from the answer of its pod.
    fn given(&self, pod: &Holding) -> String {
        let answer = self.kubelet.replay(pod.pod).unwrap();
        assert_eq!(answer, pod.response, "what is repeated is what was said");
        says_what_stays_true(&answer, self.state.to_str().unwrap());
        given(&answer)
    }
}

/// Which release an answer leads to.
fn given(answer: &ContainerAllocateResponse) -> String {
    let mounts = resolve(answer).unwrap();
    let [(container, host)] = &mounts[..] else { panic!("{mounts:?}") };
    assert_eq!(container, "/opt/onload/usr/lib64");
    let found = fs::read(host.join("libonload.so")).unwrap();
    let release = [FORMER, NEXT].into_iter().find(|release| library(release) == found).unwrap();
    assert!(host.ends_with(format!("releases/{release}/usr/lib64")), "{}", host.display());
    release.to_owned()
}

/// The version of the `onload` that is loaded at this moment.
async fn loaded(sim: &Sim) -> Option<String> {
    let snapshot = sim.observe(Depth::Modules).await;
    let onload = snapshot.module("onload").into_known();
    onload.and_then(|module| module.version.clone().into_known())
}

/// The shipped world of several releases.
fn world() -> World {
    World::parse(World::shipped("releases").unwrap()).unwrap()
}

/// Dates everything that is lent before the boot of the machine under the test: whether a container
/// is of this boot is told by the clock, which no simulated reboot sets back.
fn age(state: &Path) {
    let file = state.join("ledger.json");
    let mut ledger = Ledger::parse(&fs::read(&file).unwrap()).unwrap().ledger;
    assert_eq!(ledger.allocations.len(), 1);
    for one in Arc::make_mut(&mut ledger.allocations).values_mut() {
        Arc::make_mut(one).since = Timestamp(1);
    }
    fs::write(&file, ledger.to_text()).unwrap();
}

/// Runs a case on a machine whose releases lie on the disk.
fn played(case: impl AsyncFnOnce(&Sim, &Path, &Kubelet)) {
    let home = TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sim = Sim::new(world());
    runtime.block_on(async {
        let kubelet = Kubelet::start(home.path().join("device-plugins")).await.unwrap();
        live(&sim, home.path(), "", &kubelet, async |stage| {
            stage.import(FORMER).await;
            stage.import(NEXT).await;
        })
        .await;
        case(&sim, home.path(), &kubelet).await;
    });
    // What is read-only does not go by itself where tests run without privileges.
    let _ = std::process::Command::new("chmod").args(["-R", "u+w"]).arg(home.path()).status();
}

#[test]
fn an_answer_leads_to_the_release_that_is_loaded_now() {
    played(async |sim, home, kubelet| {
        let pod = live(sim, home, "", kubelet, async |stage| {
            stage.by_hand(FORMER).await;
            let pod = kubelet.allocate(RESOURCE, 1).await.unwrap();
            assert_eq!(stage.given(&pod), FORMER);
            stage.by_hand(NEXT).await;
            assert_eq!(stage.given(&pod), NEXT);
            let next = kubelet.allocate(RESOURCE, 1).await.unwrap();
            assert_eq!(next.response, pod.response, "nobody can tell from it which release it was");
            stage.by_hand(FORMER).await;
            assert_eq!((stage.given(&pod), stage.given(&next)), (FORMER.into(), FORMER.into()));
            stage.by_hand(NEXT).await;
            // By order it is not done under a container's hands.
            let refused = stage.order(FORMER).await;
            assert_eq!(refused.state, JobState::Failed, "{}", refused.message);
            assert!(refused.message.contains(&pod.ids[0]), "{}", refused.message);
            assert_eq!(stage.given(&pod), NEXT);
            pod
        })
        .await;
        assert_eq!(given(&pod.response), NEXT, "containers start while the daemon is away, too");
    });
}

#[test]
fn after_a_boot_an_answer_leads_to_the_release_of_that_boot() {
    for next in [FORMER, NEXT] {
        played(async |sim, home, kubelet| boots_into(next, sim, home, kubelet).await);
    }
}

/// A pod of one boot, and the release that the next shall have.
async fn boots_into(next: &str, sim: &Sim, home: &Path, kubelet: &Kubelet) {
    let settings = |release: &str| format!("[modules]\nrelease = \"{release}\"\n");
    let pod = live(sim, home, "", kubelet, async |stage| {
        let job = stage.order(FORMER).await;
        assert_eq!(job.state, JobState::Done, "{}", job.message);
        stage.served(FORMER).await;
        let pod = kubelet.allocate(RESOURCE, 1).await.unwrap();
        assert_eq!(stage.given(&pod), FORMER);
        pod
    })
    .await;
    kubelet.stop().await;
    sim.act(&"reboot".parse().unwrap()).unwrap();
    assert_eq!(loaded(sim).await, None);
    let (state, limit) = (home.join("state"), onloadd::boot::LIMIT);
    drop(ledger(&state).await);
    age(&state);
    onloadd::boot::run(machine(sim, home), sources(&settings(next)), state, limit).await;
    assert_eq!(loaded(sim).await.as_deref(), Some(next), "before there is any kubelet");
    kubelet.restart().await.unwrap();
    live(sim, home, &settings(next), kubelet, async |stage| {
        stage.served(next).await;
        assert_eq!(stage.given(&pod), next);
    })
    .await;
}

#[test]
fn during_a_change_nobody_is_let_in_and_then_with_the_new_libraries() {
    played(async |sim, home, kubelet| {
        live(sim, home, "", kubelet, async |stage| {
            stage.by_hand(FORMER).await;
            let begun = stage.until("the change", |picture| picture.change.is_some());
            let mut order = std::pin::pin!(stage.order(NEXT));
            tokio::select! {
                job = &mut order => panic!("it was over before it began: {}", job.message),
                () = begun => {}
            }
            // A kubelet that insists, whatever the list says.
            let (mut refused, mut ended) = (0, None);
            let first = loop {
                match kubelet.allocate_ids(RESOURCE, &["onload-0"]).await {
                    Ok(pod) => break pod,
                    Err(_) => refused += 1,
                }
                let pause = tokio::time::sleep(Duration::from_millis(2));
                tokio::select! {
                    job = &mut order, if ended.is_none() => ended = Some(job),
                    () = pause => {}
                }
            };
            // The first that is let in: no moment lies between its answer and this.
            assert_eq!(
                (given(&first.response), loaded(sim).await),
                (NEXT.into(), Some(NEXT.into()))
            );
            assert!(refused > 0, "the change was over before anybody came");
            let job = match ended {
                Some(job) => job,
                None => order.await,
            };
            assert_eq!(job.state, JobState::Done, "{}", job.message);
        })
        .await;
    });
}
