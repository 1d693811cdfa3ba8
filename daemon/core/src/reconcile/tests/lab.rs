//! A small machine below the reconciler: steps change a snapshot, faults are said beforehand. The
//! simulated host does this better; here it can be stopped between any two effects.

use std::collections::VecDeque;

use super::*;
use crate::inventory::{Autoload, Module, ModuleState, Routes, User};
use crate::names::{ModuleName, PciAddress, ReleaseName};
use crate::others::{Manager, SERVER_PARAMETERS, SERVER_PATH};
use crate::plan::holders::SERVER_REFERENCES;
use crate::pods::PodList;
use crate::reading::Reading::{Absent, Known};
use crate::release::{IN_TREE, Release};
use crate::sample::{KERNEL, files, inner, module, module_of, userland};
use crate::step::{Outcome, StepError};

pub mod clocks;
mod left;
mod names;
mod network;

/// Releases on its disk, with the version of their `sfc` and the digit their interface is made of.
const RELEASES: [(&str, &str, char); 3] =
    [("9.1.2", "6.2.1.1006", 'a'), ("9.2.1", "6.4.0.1003", 'b'), ("9.3.0", "6.4.0.1003", 'c')];

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// A port that no driver takes.
    pub unbindable: Option<PciAddress>,
    /// Loading this module from this release fails; from every one, where it has no name.
    pub load: Option<(&'static str, &'static str)>,
    /// What shim is asked for cannot be seen.
    pub blind: bool,
    /// The firmware has no room.
    pub no_room: bool,
    /// This module does not go.
    pub stuck: Option<&'static str>,
    /// Ports show no auxiliary device under this release.
    pub no_aux: Option<&'static str>,
}

#[derive(Clone)]
pub(super) struct Lab {
    pub brain: Reconciler,
    pub node: Snapshot,
    pub faults: Faults,
    /// Where the loaded `sfc_resource` is from; the kernel does not say.
    resource_of: Option<ReleaseName>,
    pub at: u64,
    pub picture: Arc<Picture>,
    pub answers: BTreeMap<RequestId, Answer>,
    pub done: Vec<String>,
    config: String,
    /// Another configuration that was read since, with the files that it names.
    configured: Option<Config>,
    requests: u64,
    coming: VecDeque<Event>,
    /// What shim is asked for, variable by variable.
    pub variables: BTreeMap<String, Vec<u8>>,
    /// What the kubelet answers when it is asked; none: nothing.
    pub pods: Option<PodList>,
    /// Effects until the daemon is killed.
    pub fuse: Option<usize>,
    pub network: network::Carried,
    pub time: clocks::Time,
}

impl Lab {
    /// A node with these modules loaded from a release; none for a fresh one with the kernel's own.
    pub fn new(config: &str, loaded: &str) -> Self {
        let mut node = spoilt(|node| {
            node.modules = Known(BTreeMap::new());
            node.driver = Default::default();
            node.users = Absent;
            node.device_nodes.values_mut().for_each(|one| *one = Absent);
            node.releases = Known(releases());
        });
        if loaded == IN_TREE {
            load(&mut node, "sfc", IN_TREE, &Faults::default());
        } else {
            load(&mut node, "sfc", loaded, &Faults::default());
            load(&mut node, "onload", loaded, &Faults::default());
            node.userland = Known(userland(&["onload"], loaded));
        }
        let now = Now { boot: Moment(1000), wall: Timestamp(1_000_000) };
        let parsed = parse(config);
        let (brain, effects) = Reconciler::start(now, parsed, Ok(Ledger::default()));
        let mut lab = Self {
            brain,
            node,
            faults: Faults::default(),
            resource_of: (loaded != IN_TREE).then(|| loaded.parse().unwrap()),
            at: 1000,
            picture: Arc::default(),
            answers: BTreeMap::new(),
            done: Vec::new(),
            config: config.to_owned(),
            configured: None,
            requests: 0,
            coming: VecDeque::new(),
            variables: BTreeMap::new(),
            pods: None,
            fuse: None,
            network: Default::default(),
            time: Default::default(),
        };
        lab.carry_out(effects);
        lab.run(2_000);
        lab
    }

    /// The daemon is started again on what it had written.
    pub fn restart(&mut self) {
        let text = self.brain.ledger().to_text();
        let ledger = Ledger::parse(text.as_bytes()).unwrap().ledger;
        assert_eq!(ledger, *self.brain.ledger(), "the journal adds up to the same state");
        self.coming.clear();
        self.fuse = None;
        let config = self.configured.clone().map_or_else(|| parse(&self.config), Ok);
        let (brain, effects) = Reconciler::start(self.now(), config, Ok(ledger));
        self.brain = brain;
        self.carry_out(effects);
    }

    pub fn now(&self) -> Now {
        Now { boot: Moment(self.at), wall: Timestamp(1_000_000 + self.at) }
    }

    pub fn ask(&mut self, command: Command) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.handle(Event::Request { id, caller: root(), command });
        id
    }

    /// Another configuration is read.
    pub fn reconfigure(&mut self, config: &str) {
        self.config = config.to_owned();
        let read = parse(config).map(Box::new);
        self.handle(Event::Configuration { request: None, config: read });
        self.run(2_000);
    }

    /// Another configuration is read, with the files that it names.
    pub fn configure(&mut self, config: Config) {
        self.configured = Some(config.clone());
        let config = Ok(Box::new(config));
        self.handle(Event::Configuration { request: None, config });
        self.run(2_000);
    }

    /// Something may have changed.
    pub fn touch(&mut self) {
        self.handle(Event::Changed);
    }

    /// Lets things happen for so long. False: the daemon was killed.
    pub fn run(&mut self, millis: u64) -> bool {
        let end = self.at + millis;
        loop {
            while let Some(event) = self.coming.pop_front() {
                self.handle(event);
                if self.fuse == Some(0) {
                    return false;
                }
            }
            let next = self.brain.deadline().0;
            if next > end {
                self.at = end;
                return true;
            }
            self.at = self.at.max(next);
            self.handle(Event::Deadline);
            if self.fuse == Some(0) {
                return false;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        if self.fuse == Some(0) {
            return;
        }
        let effects = self.brain.handle(self.now(), event);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match &mut self.fuse {
                Some(0) => return,
                Some(left) => *left -= 1,
                None => {}
            }
            match effect {
                Effect::Look(look) => {
                    let seen = self.seen(&look);
                    self.coming.push_back(Event::Looked(Box::new(seen)));
                }
                Effect::Apply(step) => {
                    self.done.push(step.to_string());
                    let result = self.apply(&step);
                    self.coming.push_back(Event::StepEnded(result));
                }
                Effect::Record { id, durability: Durability::Synced, .. } => {
                    self.coming.push_back(Event::Recorded(id));
                }
                Effect::Record { .. } | Effect::ReadConfiguration(_) | Effect::Remove { .. } => {}
                Effect::Rewrite(_) => self.coming.push_back(Event::Rewritten(Ok(()))),
                Effect::Answer(id, answer) => {
                    self.answers.insert(id, answer);
                }
                Effect::Publish(picture) => self.picture = picture,
                Effect::AskKubelet => {
                    self.coming.extend(self.pods.clone().map(|pods| Event::KubeletSaid(Ok(pods))));
                }
                Effect::WatchProcess(_) | Effect::WatchUnit(_) | Effect::Import { .. } => {}
                Effect::WriteVariables { job, writes } => {
                    let result = self.write(writes);
                    self.coming.push_back(Event::VariablesWritten { job, result });
                }
            }
        }
    }

    fn apply(&mut self, step: &Step) -> Result<Outcome, StepError> {
        match step {
            Step::LoadModule { module, release } => {
                let of = |from: &str| from.is_empty() || from == release.as_str();
                if self.faults.load.is_some_and(|(name, from)| module.as_str() == name && of(from))
                {
                    if module.as_str() == "onload" {
                        self.leave_behind(release);
                    }
                    return Err(StepError::Failed(format!("module {module} failed to start")));
                }
                let resource = self.resource_of.clone();
                if module.as_str() == "onload" && resource.is_some_and(|from| from != *release) {
                    return Err(StepError::Failed("disagrees about version of symbol".to_owned()));
                }
                if module.as_str() == "onload" {
                    self.resource_of = Some(release.clone());
                }
                load(&mut self.node, module.as_str(), release.as_str(), &self.faults);
            }
            Step::UnloadModule { module } => {
                let node = &mut self.node;
                let used = module.as_str() != "sfc" && users(node) > 0;
                if used || self.faults.stuck == Some(module.as_str()) {
                    return Err(StepError::InUse { module: module.clone(), holders: Vec::new() });
                }
                unload(node, module);
                if module.as_str() == "sfc_resource" {
                    node.af_xdp = Absent;
                    self.resource_of = None;
                }
            }
            Step::StartUnit { .. }
            | Step::RestartUnit { .. }
            | Step::ConfigureClock(_)
            | Step::LeaveClock => return self.clock_step(step),
            Step::StopControlPlane => serve(&mut self.node, false),
            Step::StopUnit { unit } => self.stop(unit),
            Step::BindDriver { port, .. } if self.faults.unbindable == Some(*port) => {
                return Err(StepError::Failed("No such device".to_owned()));
            }
            Step::BindDriver { port, driver } => {
                if let Some(port) = inner(&mut self.node.ports).get_mut(port) {
                    port.driver = Known(driver.clone());
                }
            }
            Step::RegisterAfXdp { interface } => {
                let mut seen = self.node.af_xdp.known().cloned().unwrap_or_default();
                seen.can_register = true;
                seen.known.insert(interface.clone());
                self.node.af_xdp = Known(seen);
            }
            Step::WriteLoader(loader) => {
                self.node.loader =
                    if *loader == Default::default() { Absent } else { Known(loader.clone()) };
            }
            Step::RestoreServer { server, clear } => {
                let parameters = &mut module_of(&mut self.node, "onload").parameters;
                parameters.insert(SERVER_PATH.to_owned(), Known(server.clone()));
                if *clear {
                    parameters.insert(SERVER_PARAMETERS.to_owned(), Known(String::new()));
                }
                self.node.others.remove(&Manager::ControlPlane);
            }
            Step::PlaceUserland { pool, tree, .. } => {
                inner(&mut self.node.userland).trees.insert(pool.clone(), tree.clone());
            }
            Step::PinNames(_)
            | Step::Rename(_)
            | Step::HandBack { .. }
            | Step::RestoreNetwork(_) => return self.network_step(step),
        }
        self.carry_over(step);
        Ok(Outcome::Changed)
    }

    /// A process opens `/dev/onload`, in a unit or not.
    pub fn open(&mut self, pid: u32, unit: Option<&str>) {
        self.uses(pid, unit, "/dev/onload");
        account(&mut self.node);
        self.touch();
    }

    /// A process has the library, and no socket.
    pub fn maps_the_library(&mut self, pid: u32) {
        self.uses(pid, None, crate::inventory::LIBRARY);
        self.touch();
    }

    fn uses(&mut self, pid: u32, unit: Option<&str>, what: &str) {
        let mut users = self.node.users.known().cloned().unwrap_or_default();
        let (uses, unit) = (BTreeSet::from([what.to_owned()]), unit.map(str::to_owned));
        users.insert(pid, User { comm: "trader".to_owned(), unit, uses, ..User::default() });
        self.node.users = Known(users);
    }

    pub fn close(&mut self) {
        self.node.users = Absent;
        account(&mut self.node);
        self.touch();
    }

    /// The first port's interface gets a default route.
    pub fn route(&mut self) {
        let interface = inner(&mut self.node.interfaces).values_mut().next().unwrap();
        interface.routes = Known(Routes { count: 1, default: true });
        self.touch();
    }

    pub fn loaded(&self) -> Option<String> {
        self.brain.loaded_release().map(|release| release.to_string())
    }
}

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let file = Fragment { file: "onloadd.toml".to_owned(), text: text.to_owned() };
    Config::merge(&[file])
}

/// Releases on the disk, and the kernel's own driver.
pub(super) fn releases() -> BTreeMap<ReleaseName, Release> {
    let set = |release: &str, sfc: &str| {
        let (onload, sfc) = (Some(release), Some(sfc));
        files(&[("sfc", sfc), ("sfc_resource", None), ("sfc_char", None), ("onload", onload)])
    };
    let imported = RELEASES.iter().map(|(name, sfc, digit)| {
        let hash = digit.to_string().repeat(32).parse().unwrap();
        let release = Release {
            root: format!("/var/lib/onloadd/releases/{name}"),
            library_directory: "usr/lib64".to_owned(),
            libraries: BTreeSet::from(["libonload.so".to_owned()]),
            interfaces: Known(BTreeSet::from([hash])),
            modules: Known(BTreeMap::from([(KERNEL.parse().unwrap(), set(name, sfc))])),
            server: Some("sbin/onload_cp_server".to_owned()),
            ..Release::default()
        };
        (name.parse().unwrap(), release)
    });
    let own = files(&[("sfc", None)]);
    let in_tree = Release {
        root: "/".to_owned(),
        modules: Known(BTreeMap::from([(KERNEL.parse().unwrap(), own)])),
        ..Release::default()
    };
    imported.chain([(IN_TREE.parse().unwrap(), in_tree)]).collect()
}

fn load(node: &mut Snapshot, name: &str, release: &str, faults: &Faults) {
    let modules = inner(&mut node.modules);
    let version = |sfc: bool| {
        let (name, version, _) = RELEASES.iter().find(|(name, ..)| *name == release)?;
        Some(if sfc { *version } else { *name }.to_owned())
    };
    let mut add = |name: &str, version: Option<String>| {
        let taint = if release == IN_TREE { "" } else { "O" };
        let seen = Module {
            state: ModuleState::Live,
            version: version.into(),
            taint: Known(taint.to_owned()),
            ..module()
        };
        modules.entry(name.parse().unwrap()).or_insert(seen);
    };
    if name == "sfc" {
        add("sfc", version(true));
        let aux = release != IN_TREE && faults.no_aux != Some(release);
        for port in inner(&mut node.ports).values_mut() {
            port.driver = Known("sfc".to_owned());
            let device = ("sfc.onload.0".to_owned(), Known("sfc_resource.ef10".to_owned()));
            port.auxiliary = Known(aux.then_some(device).into_iter().collect());
        }
    } else {
        add("sfc_resource", None);
        add("sfc_char", None);
        add("onload", version(false));
        let digit = RELEASES.iter().find(|(name, ..)| *name == release).map(|(_, _, d)| *d);
        node.driver.interface = Known(digit.unwrap().to_string().repeat(32).parse().unwrap());
        node.driver.version = Known(release.to_owned());
        for one in node.device_nodes.values_mut() {
            *one = Known(crate::inventory::DeviceNode { major: 240, minor: 0, mode: 0o666 });
        }
        serve(node, true);
    }
}

fn unload(node: &mut Snapshot, module: &ModuleName) {
    inner(&mut node.modules).remove(module);
    if module.as_str() == "onload" {
        node.driver = Default::default();
        node.device_nodes.values_mut().for_each(|one| *one = Absent);
    }
    if module.as_str() == "sfc" {
        for port in inner(&mut node.ports).values_mut() {
            (port.driver, port.auxiliary) = (Absent, Absent);
        }
    }
}

fn serve(node: &mut Snapshot, served: bool) {
    node.driver.control_plane = Known(served.then_some(812).into_iter().collect());
    account(node);
}

fn users(node: &Snapshot) -> u32 {
    u32::try_from(node.users.known().map_or(0, BTreeMap::len)).unwrap()
}

fn account(node: &mut Snapshot) {
    let served = node.driver.control_plane.known().is_some_and(|pids| !pids.is_empty());
    let references = users(node) * 2 + if served { SERVER_REFERENCES } else { 0 };
    let modules = inner(&mut node.modules);
    if let Some(onload) = modules.iter_mut().find(|(name, _)| name.as_str() == "onload") {
        onload.1.refcount = Known(references);
    }
}
