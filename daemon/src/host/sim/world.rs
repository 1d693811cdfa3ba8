//! The simulated machine: a value that steps and actions change, without I/O and without a clock.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::hardware::Hardware;
use onload_core::names::{BootId, ModuleName, PciAddress, ReleaseName};
use onload_core::step::{Outcome, Step, StepError};

use super::action::{Action, ActionError, Presence};
use super::bus::{self, Function, Netdev};
use super::check::{self, WorldError};
use super::faults::Faults;
use super::file::{Card, Clock, Event, Key, KeyName, ReleaseOnDisk, WorldFile};
use super::kernel::{ControlPlane, Loaded};

/// The worlds this binary brings, by the name `--sim` takes.
const SHIPPED: [(&str, &str); 5] = [
    ("two-x2522", include_str!("../../../../packaging/worlds/two-x2522.toml")),
    ("x4", include_str!("../../../../packaging/worlds/x4.toml")),
    ("in-tree", include_str!("../../../../packaging/worlds/in-tree.toml")),
    ("unenrolled-key", include_str!("../../../../packaging/worlds/unenrolled-key.toml")),
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
    /// Keys that the firmware has.
    pub(super) enrolled: BTreeSet<KeyName>,
    /// Keys that this boot's kernel trusts: what was enrolled when it began.
    pub(super) trusted: BTreeSet<KeyName>,
    pub(super) modules: BTreeMap<ModuleName, Loaded>,
    pub(super) functions: BTreeMap<PciAddress, Function>,
    pub(super) netdevs: BTreeMap<u32, Netdev>,
    pub(super) next_index: u32,
    pub(super) nodes: BTreeMap<&'static str, u32>,
    pub(super) next_major: u32,
    /// Open device nodes: how often each process has each open.
    pub(super) opened: BTreeMap<(&'static str, u32), u32>,
    /// Processes that run accelerated.
    pub(super) accelerated: BTreeSet<u32>,
    pub(super) control_plane: ControlPlane,
    next_pid: u32,
    pub(super) lost_libraries: BTreeSet<ReleaseName>,
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
        let enrolled = file.keys.iter().filter(|key| key.enrolled);
        let mut world = Self {
            hardware: Hardware::shipped(),
            boot_id: file.node.boot_id.clone(),
            boots: 0,
            changes: 0,
            enrolled: enrolled.map(|key| key.name.get_ref().clone()).collect(),
            trusted: BTreeSet::new(),
            modules: BTreeMap::new(),
            functions: bus::functions(&file),
            netdevs: BTreeMap::new(),
            next_index: 1,
            nodes: BTreeMap::new(),
            next_major: Self::first_major(),
            opened: BTreeMap::new(),
            accelerated: BTreeSet::new(),
            control_plane: ControlPlane::None,
            next_pid: FIRST_PID,
            lost_libraries: BTreeSet::new(),
            faults: Faults::default(),
            file,
        };
        world.boot();
        world.load_at_start(text)?;
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

    /// How often anything has changed: equal numbers, equal snapshots.
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
            Step::UnloadModule { .. }
            | Step::StopControlPlane
            | Step::StopUnit { .. }
            | Step::WriteLoader(_) => Some(Err(StepError::Unsupported("not yet".to_owned()))),
        }
    }

    /// Does what a line says.
    ///
    /// # Errors
    /// Refused as the kernel refuses it, or names something this world does not have; nothing has
    /// changed then, but what a failed load had loaded before it.
    pub fn act(&mut self, action: &Action) -> Result<(), ActionError> {
        let refuse = |why: &str, fix: &str| {
            Err(ActionError::new(format!("`{action}` is not done"), why, fix))
        };
        if let Some((why, known)) = check::unknown(&self.file, action) {
            return refuse(&why, &format!("name one of {known}"));
        }
        match action {
            Action::Load { module, release } => self.load_by_hand(module, release.as_ref())?,
            Action::Unload(module) => self.unload(module)?,
            Action::DriverGone(module) => {
                if !self.modules.contains_key(module) {
                    return refuse("it is not loaded", "nothing to do");
                }
                self.remove(module);
            }
            Action::Link { port, link } => self.set_link(port, *link),
            Action::Rename { interface, to } => self.rename(interface, to)?,
            Action::Unplug(port) => {
                if !self.set_plugged(port, false) {
                    return refuse("it is not plugged in", "plug it first");
                }
            }
            Action::Plug(port) => {
                if !self.set_plugged(port, true) {
                    return refuse("it is plugged in", "unplug it first");
                }
            }
            Action::Unbind(port) => {
                if !self.detach(port) {
                    return refuse("no driver has it", "bind it first");
                }
            }
            Action::Bind(port) => {
                if !self.attach(port) {
                    return refuse(
                        "it has a driver, is unplugged, or no loaded driver knows it",
                        "unbind it, plug it in, or load its driver",
                    );
                }
            }
            Action::Open { node, pid } => {
                if !self.nodes.contains_key(node) {
                    return refuse(
                        "ENOENT: there is no such node",
                        "load the module that makes it",
                    );
                }
                *self.opened.entry((*node, *pid)).or_insert(0) += 1;
            }
            Action::Close { node, pid } => {
                let Some(times) = self.opened.get_mut(&(*node, *pid)) else {
                    return refuse("EBADF: the process does not have it open", "open it first");
                };
                *times -= 1;
                self.opened.retain(|_, times| *times > 0);
            }
            Action::Run(pid) => {
                if !self.nodes.contains_key("/dev/onload") {
                    return refuse(
                        "there is no /dev/onload, so it runs unaccelerated",
                        "load onload",
                    );
                }
                if !self.accelerated.insert(*pid) {
                    return refuse("the process runs already", "choose another process id");
                }
                // A new stack has the server started where there is none
                // (reference/onload-modules.md section 9).
                if self.control_plane == ControlPlane::None {
                    self.control_plane = ControlPlane::Due;
                }
            }
            Action::Exit(pid) => {
                if !self.exit(*pid) {
                    return refuse("ESRCH: the process holds nothing here", "name one that does");
                }
            }
            Action::ControlPlaneDies => match self.control_plane {
                ControlPlane::Running(_) => self.control_plane = ControlPlane::None,
                ControlPlane::None | ControlPlane::Due => {
                    return refuse("no control-plane server runs", "load onload");
                }
            },
            Action::ControlPlaneStarts => match self.control_plane {
                ControlPlane::Due => self.start_control_plane(),
                ControlPlane::None | ControlPlane::Running(_) => {
                    return refuse(
                        "none is asked for",
                        "load onload, or run an accelerated program",
                    );
                }
            },
            Action::Enrol(key) => {
                self.enrolled.insert(key.clone());
            }
            Action::Reboot => self.reboot(),
            Action::Libraries { release, presence } => match presence {
                Presence::Gone => {
                    self.lost_libraries.insert(release.clone());
                }
                Presence::Back => {
                    self.lost_libraries.remove(release);
                }
            },
            Action::Fault(fault) => self.faults.order(fault),
            Action::ClearFaults => self.faults = Faults::default(),
            Action::Nothing => {}
        }
        self.touch();
        Ok(())
    }

    /// Counts a change.
    pub(super) fn touch(&mut self) {
        self.changes += 1;
    }

    /// A release on disk by name.
    pub(super) fn release(&self, name: &ReleaseName) -> Option<&ReleaseOnDisk> {
        self.file.releases.iter().find(|release| release.name.get_ref() == name)
    }

    fn load_by_hand(
        &mut self,
        module: &ModuleName,
        release: Option<&ReleaseName>,
    ) -> Result<(), ActionError> {
        let refuse = |error: &StepError| {
            ActionError::new(
                format!("module {module} is not loaded"),
                error.to_string(),
                error.fix(),
            )
        };
        let release = release.cloned().or_else(|| self.preferred_release(module));
        let release =
            release.ok_or_else(|| refuse(&StepError::NotFound { module: module.clone() }))?;
        // Whoever types it waits; the world does not.
        match self.load(module, &release) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(refuse(&error)),
        }
    }

    fn set_plugged(&mut self, address: &PciAddress, plugged: bool) -> bool {
        let Some(function) = self.functions.get_mut(address).filter(|f| f.plugged != plugged)
        else {
            return false;
        };
        if plugged {
            function.plugged = true;
            self.autoload(address);
            self.attach(address);
        } else {
            self.detach(address);
            if let Some(function) = self.functions.get_mut(address) {
                function.plugged = false;
            }
        }
        true
    }

    fn exit(&mut self, pid: u32) -> bool {
        let held =
            self.accelerated.remove(&pid) | self.opened.keys().any(|(_, owner)| *owner == pid);
        self.opened.retain(|(_, owner), _| *owner != pid);
        if self.control_plane == ControlPlane::Running(pid) {
            self.control_plane = ControlPlane::None;
            return true;
        }
        held
    }

    pub(super) fn start_control_plane(&mut self) {
        self.control_plane = ControlPlane::Running(self.next_pid);
        self.next_pid += 1;
    }
}
