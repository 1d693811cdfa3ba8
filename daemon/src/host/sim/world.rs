//! The simulated machine: a value that steps, actions and time change, without I/O. What time it is it is
//! told ([`World::pass`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onload_core::hardware::Hardware;
use onload_core::inventory::Loader;
use onload_core::names::{BootId, InterfaceName, ModuleName, PciAddress, PoolName, ReleaseName};
use onload_core::naming::Pins;
use onload_core::network::Rule;
use onload_core::others::{Manager, Trace};
use onload_core::secure_boot::trust::Trust;
use onload_core::step::{Outcome, Step, StepError};

use super::action::Claim;
use super::bus::{self, Function, Netdev};
use super::check::{self, WorldError};
use super::clocks::Time;
use super::disk::OnDisk;
use super::faults::Faults;
use super::file::{Card, Clock, Event, Key, ReleaseOnDisk, WorldFile};
use super::firmware::Firmware;
use super::kernel::{ControlPlane, Loaded};
use super::others;
use super::users::Process;

/// The worlds this binary brings, by the name `--sim` takes.
const SHIPPED: [(&str, &str); 9] = [
    ("two-x2522", include_str!("../../../../packaging/worlds/two-x2522.toml")),
    ("x4", include_str!("../../../../packaging/worlds/x4.toml")),
    ("in-tree", include_str!("../../../../packaging/worlds/in-tree.toml")),
    ("unenrolled-key", include_str!("../../../../packaging/worlds/unenrolled-key.toml")),
    (
        "no-run-time-services",
        include_str!("../../../../packaging/worlds/no-run-time-services.toml"),
    ),
    ("releases", include_str!("../../../../packaging/worlds/releases.toml")),
    ("virtio", include_str!("../../../../packaging/worlds/virtio.toml")),
    ("clocks", include_str!("../../../../packaging/worlds/clocks.toml")),
    ("no-card", include_str!("../../../../packaging/worlds/no-card.toml")),
];

/// Process ids that the world itself hands out begin here.
const FIRST_PID: u32 = 1000;

/// A simulated machine.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) file: WorldFile,
    pub(super) hardware: Hardware,
    pub(super) boot_id: BootId,
    pub(super) boots: u32,
    changes: u64,
    pub(super) firmware: Firmware,
    /// Whom this machine trusts, as a look tells it.
    pub(super) trust: Arc<Trust>,
    pub(super) modules: BTreeMap<ModuleName, Loaded>,
    pub(super) functions: BTreeMap<PciAddress, Function>,
    pub(super) netdevs: BTreeMap<u32, Netdev>,
    /// Interfaces registered with `sfc_resource`, by index.
    pub(super) registered: BTreeSet<u32>,
    pub(super) next_index: u32,
    pub(super) nodes: BTreeMap<&'static str, u32>,
    pub(super) next_major: u32,
    /// Open device nodes: how often each process has each open.
    pub(super) opened: BTreeMap<(&'static str, u32), u32>,
    /// Processes that run accelerated.
    pub(super) accelerated: BTreeSet<u32>,
    /// Clocks that processes have open, by index.
    pub(super) clocks: BTreeSet<(u32, u32)>,
    /// Processes that hold anything of the above.
    pub(super) processes: BTreeMap<u32, Process>,
    pub(super) next_start: u64,
    pub(super) control_plane: ControlPlane,
    /// The server that the loaded `onload` was told to start; none: its built-in path.
    pub(super) server: Option<String>,
    /// The server that somebody has told it since; none: nobody has.
    pub(super) told: Option<String>,
    /// Others who have to do with the modules.
    pub(super) others: BTreeMap<Manager, Trace>,
    /// What onloadd has written for modprobe in this boot.
    pub(super) loader: Option<Loader>,
    /// What may take interfaces away.
    pub(super) claims: BTreeSet<(InterfaceName, Claim)>,
    /// Clocks, and programs that steer them.
    pub(super) time: Time,
    next_pid: u32,
    /// The tree of libraries that each pool's containers are given.
    pub(super) placed: BTreeMap<PoolName, String>,
    /// Names that onloadd has pinned; they outlive a boot.
    pub(super) pins: Pins,
    /// Rules of routing that name an interface, there or not.
    pub(super) rules: BTreeSet<Rule>,
    /// Renames at which the kernel would Oops.
    pub(super) oopses: u32,
    pub(super) lost_libraries: BTreeSet<ReleaseName>,
    pub(super) on_disk: Arc<OnDisk>,
    pub(super) faults: Faults,
}

impl World {
    /// Reads a world file and brings the machine to where it says.
    ///
    /// # Errors
    /// Text that is not of the shape, parts that contradict each other, and modules said to be
    /// loaded that the kernel would refuse; each with line and key.
    pub fn parse(text: &str) -> Result<Self, WorldError> {
        let file = check::parse(text)?;
        check::check(text, &file)?;
        let mut world = Self {
            hardware: Hardware::shipped(),
            boot_id: file.node.boot_id.clone(),
            boots: 0,
            changes: 0,
            firmware: Firmware::new(&file),
            trust: Arc::default(),
            modules: BTreeMap::new(),
            functions: bus::functions(&file),
            netdevs: BTreeMap::new(),
            registered: BTreeSet::new(),
            next_index: 1,
            nodes: BTreeMap::new(),
            next_major: Self::first_major(),
            opened: BTreeMap::new(),
            accelerated: BTreeSet::new(),
            clocks: BTreeSet::new(),
            processes: BTreeMap::new(),
            next_start: 0,
            control_plane: ControlPlane::None,
            server: None,
            told: None,
            others: others::at_start(&file.others),
            loader: None,
            claims: BTreeSet::new(),
            time: Time::new(&file),
            next_pid: FIRST_PID,
            placed: BTreeMap::new(),
            pins: Pins::new(),
            rules: BTreeSet::new(),
            oopses: 0,
            lost_libraries: BTreeSet::new(),
            on_disk: Arc::default(),
            faults: Faults::default(),
            file,
        };
        world.read_disk();
        world.boot();
        world.load_at_start(text)?;
        world.start_clock_programs();
        Ok(world)
    }

    /// The text of a shipped world, by name.
    pub fn shipped(name: &str) -> Option<&'static str> {
        SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The names that [`World::shipped`] knows.
    pub fn shipped_names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// `[config]` as the text of an `onloadd.toml`.
    pub fn config(&self) -> Option<String> {
        self.file.config.as_ref().map(toml::Table::to_string)
    }

    /// `[[event]]`s in the order of the file.
    pub fn events(&self) -> &[Event] {
        &self.file.events
    }

    /// `[[card]]`s, with what no look reports.
    pub fn cards(&self) -> &[Card] {
        &self.file.cards
    }

    /// `[[key]]`s as written; `enrol` does not show here.
    pub fn keys(&self) -> &[Key] {
        &self.file.keys
    }

    /// `[[clock]]`s.
    pub fn clocks(&self) -> &[Clock] {
        &self.file.clocks
    }

    /// The release a loaded module came from: what a real machine does not tell.
    pub fn loaded_from(&self, module: &str) -> Option<&ReleaseName> {
        let (_, loaded) = self.modules.iter().find(|(name, _)| name.as_str() == module)?;
        Some(&loaded.release)
    }

    /// How often anything has changed: equal numbers, equal snapshots, but for what programs that steer
    /// clocks say with each second.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How often each change is told, as faults have it: 0 for silence, 1 for health.
    pub fn hints_per_change(&self) -> u32 {
        self.faults.hints_per_change()
    }

    /// Whether a control-plane server has been asked for and is not up yet. Whoever has a clock
    /// sends `control-plane starts` a little later.
    pub fn control_plane_is_due(&self) -> bool {
        self.control_plane == ControlPlane::Due
    }

    /// Carries out a step.
    ///
    /// # Errors
    /// What the kernel answers. A step that hangs is [`StepError::Stuck`] with no time at all;
    /// [`World::answer`] tells it apart.
    pub fn apply(&mut self, step: &Step) -> Result<Outcome, StepError> {
        self.answer(step).unwrap_or(Err(StepError::Stuck { limit_secs: 0 }))
    }

    /// Carries out a step; no answer where it never ends.
    pub fn answer(&mut self, step: &Step) -> Option<Result<Outcome, StepError>> {
        match step {
            Step::LoadModule { module, release } => self.load(module, release),
            Step::UnloadModule { module } => self.modprobe_remove(module),
            Step::StopControlPlane => Some(self.stop_control_plane()),
            Step::StopUnit { unit } => Some(self.stop_unit(unit)),
            Step::StartUnit { unit } => Some(self.start_unit(unit)),
            Step::RestartUnit { unit, .. } => Some(self.restart_unit(unit)),
            Step::ConfigureClock(wanted) => Some(self.configure_clock(Some(wanted))),
            Step::LeaveClock => Some(self.configure_clock(None)),
            Step::BindDriver { port, driver } => Some(self.bind(port, driver)),
            Step::RegisterAfXdp { interface } => Some(self.register(interface)),
            Step::WriteLoader(loader) => {
                if self.loader.clone().unwrap_or_default() == *loader {
                    return Some(Ok(Outcome::Unchanged));
                }
                self.loader = Some(loader.clone());
                self.touch();
                Some(Ok(Outcome::Changed))
            }
            Step::RestoreServer { server, .. } => Some(Ok(self.restore_server(server))),
            Step::PlaceUserland { pool, release, tree } => Some(self.place(pool, release, tree)),
            Step::PinNames(pins) => {
                if self.pins == *pins {
                    return Some(Ok(Outcome::Unchanged));
                }
                self.pins = pins.clone();
                self.touch();
                Some(Ok(Outcome::Changed))
            }
            Step::Rename(all) => Some(self.rename_all(all)),
            Step::HandBack { interface, owner } => Some(self.hand_back(interface, owner)),
            Step::RestoreNetwork(deeds) => Some(Ok(self.restore_network(deeds))),
        }
    }

    /// Asks the server to end. One that a load has asked for and that is not there yet is not
    /// there to be asked.
    fn stop_control_plane(&mut self) -> Result<Outcome, StepError> {
        match self.control_plane {
            ControlPlane::None | ControlPlane::Due => Ok(Outcome::Unchanged),
            ControlPlane::Running(_) if self.faults.control_plane_stays => {
                let why = "the control-plane server did not end in its time";
                Err(StepError::Failed(why.to_owned()))
            }
            ControlPlane::Running(_) => {
                self.control_plane = ControlPlane::None;
                self.touch();
                Ok(Outcome::Changed)
            }
        }
    }

    /// Has a pool's link lead to the libraries of a release.
    fn place(
        &mut self,
        pool: &PoolName,
        release: &ReleaseName,
        tree: &str,
    ) -> Result<Outcome, StepError> {
        if !self.on_disk.releases.contains_key(release) {
            return Err(StepError::Failed(format!("the files of {release} are not there")));
        }
        let former = self.placed.insert(pool.clone(), tree.to_owned());
        if former.as_deref() == Some(tree) {
            return Ok(Outcome::Unchanged);
        }
        self.touch();
        Ok(Outcome::Changed)
    }

    /// Counts a change.
    pub(super) fn touch(&mut self) {
        self.changes += 1;
    }

    /// A release on disk by name.
    pub(super) fn release(&self, name: &ReleaseName) -> Option<&ReleaseOnDisk> {
        self.file.releases.iter().find(|release| release.name.get_ref() == name)
    }

    pub(super) fn start_control_plane(&mut self) {
        self.control_plane = ControlPlane::Running(self.take_pid());
    }

    /// A process id that no process of the world itself had.
    pub(super) fn take_pid(&mut self) -> u32 {
        self.next_pid += 1;
        self.next_pid - 1
    }
}

#[cfg(test)]
mod tests;
