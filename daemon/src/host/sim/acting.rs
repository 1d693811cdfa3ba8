//! Actions carried out: what happens to the world by itself or by hand.

use onload_core::names::{ModuleName, PciAddress, ReleaseName};
use onload_core::step::StepError;

use super::action::{Action, ActionError, Place, Presence, Who};
use super::check;
use super::faults::Faults;
use super::kernel::ControlPlane;
use super::network;
use super::world::World;

impl World {
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
            Action::Unload(module) => self.unload_by_hand(module)?,
            Action::DriverGone(module) => {
                if !self.modules.contains_key(module) {
                    return refuse("it is not loaded", "nothing to do");
                }
                self.remove(module);
            }
            Action::Coldplug => self.coldplug(),
            Action::Link { port, link } => self.set_link(port, *link),
            Action::Rename { interface, to } => self.rename(interface, to)?,
            Action::Address { interface, address } => {
                let network = &mut self.netdev(interface)?.network;
                match address {
                    Some(address) => network.add_address(network::address(address)),
                    None => network.addresses.clear(),
                }
            }
            Action::Route { interface, route } => {
                let network = &mut self.netdev(interface)?.network;
                match route.as_deref() {
                    Some("default") => network.add_default(),
                    Some(route) => network.add_route(route),
                    None => network.routes.clear(),
                }
            }
            Action::Mtu { interface, mtu } => {
                self.netdev(interface)?;
                if let Err(why) = self.set_mtu(interface, *mtu) {
                    return refuse(why, "choose a smaller one");
                }
            }
            Action::Set { interface, setting, value } => {
                let settings = &mut self.netdev(interface)?.network.settings;
                let known: Vec<String> = settings.keys().cloned().collect();
                let Some(there) = settings.get_mut(setting) else {
                    let fix = format!("name one of {}, of a port", known.join(", "));
                    return refuse("EOPNOTSUPP: it has no such setting", &fix);
                };
                *there = *value;
            }
            Action::OwnersAct => {
                if !self.owners_act() {
                    return refuse("no owner has anything to do", "nothing to do");
                }
            }
            Action::Contain { interface, container } => {
                self.contain(interface, container.as_deref())?;
            }
            Action::Claim { interface, claim } => self.claim(interface, *claim),
            Action::Upper { interface, upper } => {
                self.netdev(interface)?;
                let Some(index) = self.index_of(interface) else { return Ok(()) };
                match upper {
                    Some(upper) => {
                        if let Err(why) = self.put_on_top(index, upper) {
                            return refuse(why, "choose another interface or another name");
                        }
                    }
                    None => self.clear_top(index),
                }
            }
            Action::Register(interface) => {
                if let Err(error) = self.register(interface) {
                    return refuse(&error.to_string(), &error.fix());
                }
            }
            Action::Unplug(port) => {
                if self.is_registered(port) {
                    // The kernel waits for ever, and so would whoever asked.
                    return refuse(
                        "its registration for AF_XDP holds the interface",
                        "unload sfc_resource first",
                    );
                }
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
            Action::Open { node, who } => self.open(node, who)?,
            Action::Close { node, pid } => {
                let Some(times) = self.opened.get_mut(&(*node, *pid)) else {
                    return refuse("EBADF: the process does not have it open", "open it first");
                };
                *times -= 1;
                self.opened.retain(|_, times| *times > 0);
                self.forget_idle();
            }
            Action::Run(who) => self.run(who)?,
            Action::Clock { interface, who } => self.open_clock(interface, who)?,
            Action::Unit { unit, pid } => {
                let place = Some(Place::Unit(unit.clone()));
                // Without Onload its sockets are the kernel's, and nothing of it shows here.
                if self.nodes.contains_key("/dev/onload") {
                    self.run(&Who { pid: *pid, comm: None, place })?;
                }
            }
            Action::Exit(pid) => {
                if !self.exit(*pid) {
                    return refuse("ESRCH: the process holds nothing here", "name one that does");
                }
            }
            Action::ClockProgram { name, turn } => self.turn_clock_program(name, *turn)?,
            Action::Alarm(alarm) => self.time.alarm(alarm.as_deref()),
            Action::ClockOffset { clock, nanos } => self.time.clock(*clock).keep_at(*nanos),
            Action::ClockDrift { clock, ppb } => self.time.clock(*clock).drift_ppb = *ppb,
            Action::TimeStep(seconds) => self.time.step(*seconds),
            Action::Leap(leap) => self.time.kernel.leap = *leap,
            Action::Template(state) => self.time.templates = *state,
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
            Action::Other { manager, presence } => self.other(*manager, *presence)?,
            Action::Server(path) => self.tell_server(path)?,
            Action::Enrol(key) => self.enrol(key),
            Action::Revoke(key) => self.revoke(key),
            Action::Attend => {
                if !self.has_shim() {
                    return refuse("there is no shim, and nobody is asked", "enrol the key");
                }
                self.attend();
            }
            Action::Reboot => self.reboot(),
            Action::Libraries { release, presence } => {
                match presence {
                    Presence::Gone => self.lost_libraries.insert(release.clone()),
                    Presence::Back => self.lost_libraries.remove(release),
                };
                self.read_disk();
            }
            Action::Fault(fault) => self.faults.order(fault),
            Action::ClearFaults => self.faults = Faults::default(),
            Action::Nothing => {}
        }
        self.touch();
        Ok(())
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
}
