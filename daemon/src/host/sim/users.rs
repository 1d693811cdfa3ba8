//! Processes that use the stack or a clock, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::{Depth, User};
use onload_core::names::{InterfaceName, ModuleName};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::action::{ActionError, Place, Who};
use super::faults::Part;
use super::kernel::ControlPlane;
use super::world::World;

/// The name of a process that a line gives none.
const COMM: &str = "program";

/// A process, for as long as it holds anything here.
#[derive(Clone, Debug)]
pub(super) struct Process {
    started: u64,
    comm: String,
    place: Option<Place>,
}

impl World {
    /// A process shows up, or says more of itself.
    pub(super) fn appears(&mut self, who: &Who) {
        self.next_start += 1;
        let started = self.next_start;
        let process = self.processes.entry(who.pid).or_insert_with(|| Process {
            started,
            comm: COMM.to_owned(),
            place: None,
        });
        if let Some(comm) = &who.comm {
            process.comm.clone_from(comm);
        }
        if who.place.is_some() {
            process.place.clone_from(&who.place);
        }
    }

    /// `open`.
    pub(super) fn open(&mut self, node: &'static str, who: &Who) -> Result<(), ActionError> {
        if !self.nodes.contains_key(node) {
            let why = "ENOENT: there is no such node";
            let fix = "load the module that makes it";
            return Err(ActionError::new(format!("{node} is not opened"), why, fix));
        }
        *self.opened.entry((node, who.pid)).or_insert(0) += 1;
        self.appears(who);
        Ok(())
    }

    /// `run`.
    pub(super) fn run(&mut self, who: &Who) -> Result<(), ActionError> {
        let refuse = |why: &str, fix: &str| {
            Err(ActionError::new(format!("process {} is not accelerated", who.pid), why, fix))
        };
        if !self.nodes.contains_key("/dev/onload") {
            return refuse("there is no /dev/onload, so it runs unaccelerated", "load onload");
        }
        if !self.accelerated.insert(who.pid) {
            return refuse("the process runs already", "choose another process id");
        }
        self.appears(who);
        // A new stack has the server started where there is none
        // (reference/onload-modules.md section 9).
        if self.control_plane == ControlPlane::None && self.has_server() {
            self.control_plane = ControlPlane::Due;
        }
        Ok(())
    }

    /// `clock`.
    pub(super) fn open_clock(
        &mut self,
        interface: &InterfaceName,
        who: &Who,
    ) -> Result<(), ActionError> {
        let Some(index) = self.netdev(interface)?.phc else {
            let what = format!("no clock of {interface} is opened");
            return Err(ActionError::new(what, "it has none", "name a port of a card"));
        };
        self.clocks.insert((index, who.pid));
        self.appears(who);
        Ok(())
    }

    /// Clocks go with the last interface that has them, and whoever had only them is no user.
    pub(super) fn drop_clocks(&mut self) {
        let there: BTreeSet<u32> = self.netdevs.values().filter_map(|netdev| netdev.phc).collect();
        let lost = self.clocks.iter().filter(|(index, _)| !there.contains(index));
        let losers: BTreeSet<u32> = lost.map(|(_, pid)| *pid).collect();
        self.time.clocks_gone(&losers);
        self.clocks.retain(|(index, _)| there.contains(index));
        self.forget_idle();
    }

    /// Forgets processes that hold nothing here any more.
    pub(super) fn forget_idle(&mut self) {
        let holding: BTreeSet<u32> = self
            .accelerated
            .iter()
            .copied()
            .chain(self.opened.keys().map(|(_, pid)| *pid))
            .chain(self.clocks.iter().map(|(_, pid)| *pid))
            .collect();
        self.processes.retain(|pid, _| holding.contains(pid));
    }

    /// `exit`; false when the process holds nothing here.
    pub(super) fn exit(&mut self, pid: u32) -> bool {
        let held = self.processes.remove(&pid).is_some();
        let steers = self.clock_program_killed(pid);
        self.accelerated.remove(&pid);
        self.opened.retain(|(_, owner), _| *owner != pid);
        self.clocks.retain(|(_, owner)| *owner != pid);
        if self.control_plane == ControlPlane::Running(pid) {
            self.control_plane = ControlPlane::None;
            return true;
        }
        held || steers
    }

    /// Stops a unit: whatever of it is here ends.
    pub(super) fn stop_unit(&mut self, unit: &str) -> Result<Outcome, StepError> {
        if self.stop_other(unit) {
            self.touch();
            return Ok(Outcome::Changed);
        }
        if self.is_clock_unit(unit) {
            return self.stop_clock_unit(unit);
        }
        let is_of_it =
            |process: &Process| matches!(&process.place, Some(Place::Unit(name)) if name == unit);
        let of_it = self.processes.iter().filter(|(_, process)| is_of_it(process));
        let of_it: Vec<u32> = of_it.map(|(pid, _)| *pid).collect();
        if of_it.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        if self.faults.keeps(unit) {
            return Err(StepError::Failed(format!("{unit} did not stop in its time")));
        }
        for pid in of_it {
            self.exit(pid);
        }
        self.touch();
        Ok(Outcome::Changed)
    }

    /// Whether references show somebody beside the control plane.
    fn shows_users(&self) -> bool {
        let beyond = |module: &str| {
            module.parse::<ModuleName>().is_ok_and(|module| self.references_of_users(&module) > 0)
        };
        beyond("onload") || beyond("sfc_char")
    }

    /// Who uses the stack, and with [`Depth::Users`] the clocks too. The control-plane server is
    /// the driver's own and told apart, in what the driver says of itself.
    pub(super) fn user_readings(&self, depth: Depth) -> Reading<BTreeMap<u32, User>> {
        if depth == Depth::Usual && !self.shows_users() {
            return Reading::Absent;
        }
        self.read(Part::Users, || {
            let users = self.processes.iter().map(|(pid, one)| (*pid, self.user(*pid, one, depth)));
            users.filter(|(_, user)| !user.uses.is_empty()).collect()
        })
    }

    fn user(&self, pid: u32, process: &Process, depth: Depth) -> User {
        let (unit, container) = match process.place.clone() {
            None => (None, None),
            Some(Place::Unit(unit)) => (Some(unit), None),
            Some(Place::Container(id)) => (None, Some(id)),
        };
        let opened = self.opened.keys().filter(|(_, owner)| *owner == pid);
        let mut uses: BTreeSet<String> = opened.map(|(node, _)| (*node).to_owned()).collect();
        if self.accelerated.contains(&pid) {
            uses.insert("/dev/onload".to_owned());
            uses.extend(self.library());
        }
        if depth == Depth::Users {
            let clocks = self.clocks.iter().filter(|(_, owner)| *owner == pid);
            uses.extend(clocks.map(|(index, _)| format!("/dev/ptp{index}")));
        }
        User { started: process.started, comm: process.comm.clone(), unit, container, uses }
    }

    /// The library that programs run with: that of the loaded release.
    fn library(&self) -> Option<String> {
        let (_, loaded) = self.modules.iter().find(|(name, _)| name.as_str() == "onload")?;
        let release = self.release(&loaded.release)?;
        let root = release.root.get_ref().trim_end_matches('/');
        Some(format!("{root}/{}/libonload.so", release.library_directory.get_ref()))
    }
}
