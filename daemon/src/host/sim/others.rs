//! Others who have to do with the modules: what they leave on the disk, and what they tell the
//! loaded driver.

use std::collections::BTreeMap;

use onload_core::others::{self, Manager, SERVER_PARAMETERS, SERVER_PATH, Trace, Traces};
use onload_core::reading::Reading;
use onload_core::step::Outcome;

use super::action::{ActionError, Presence};
use super::file::OtherOnDisk;
use super::world::World;

/// What a wrapper is given before the server's own command line
/// (reference/kubernetes-onload.md section 1.7).
const WRAPPED: &str = "exec 0123456789abcdef /mnt/onload/sbin/onload_cp_server -K";

/// What `[[other]]` says, with every unit at work.
pub(super) fn at_start(file: &[OtherOnDisk]) -> BTreeMap<Manager, Trace> {
    let trace = |other: &OtherOnDisk| {
        let units = other.units.iter().map(|unit| (unit.clone(), true)).collect();
        (*other.manager.get_ref(), Trace { evidence: other.evidence.clone(), units })
    };
    file.iter().map(trace).collect()
}

/// What a manager leaves that comes by itself.
fn usual(manager: Manager) -> Trace {
    let unit = |name: &str| BTreeMap::from([(name.to_owned(), true)]);
    let (evidence, units) = match manager {
        Manager::OnloadOperator => {
            let socket = "/var/lib/kubelet/device-plugins/sfc-deviceplugin.sock";
            (format!("its device plugin has {socket}"), BTreeMap::new())
        }
        Manager::Kmm => ("/var/lib/kmm_day1_config.yaml names them".to_owned(), BTreeMap::new()),
        Manager::MachineConfig => {
            let evidence = "/etc/systemd/system has sfc-pull-image.service";
            (evidence.to_owned(), unit("sfc-pull-image.service"))
        }
        Manager::Dkms => ("/var/lib/dkms/onload is there".to_owned(), BTreeMap::new()),
        Manager::ControlPlane => (String::new(), BTreeMap::new()),
    };
    Trace { evidence, units }
}

impl World {
    /// `other`.
    pub(super) fn other(
        &mut self,
        manager: Manager,
        presence: Presence,
    ) -> Result<(), ActionError> {
        let what = || format!("`other {}` is not done", manager.as_str());
        if manager == Manager::ControlPlane {
            let why = "it is seen by what the driver was told";
            return Err(ActionError::new(what(), why, "write `server PATH`"));
        }
        match presence {
            Presence::Back => {
                self.others.insert(manager, usual(manager));
            }
            Presence::Gone if self.others.remove(&manager).is_some() => {}
            Presence::Gone => {
                return Err(ActionError::new(what(), "it is not there", "nothing to do"));
            }
        }
        Ok(())
    }

    /// `server`: somebody writes the parameter of the loaded driver.
    pub(super) fn tell_server(&mut self, path: &str) -> Result<(), ActionError> {
        if !self.is_live("onload") {
            let what = format!("`server {path}` is not done");
            return Err(ActionError::new(what, "ENOENT: onload is not loaded", "load onload"));
        }
        self.server = Some(path.to_owned());
        self.told = Some(path.to_owned());
        Ok(())
    }

    /// The same by a step.
    pub(super) fn restore_server(&mut self, server: &str) -> Outcome {
        if !self.is_live("onload") || self.told.as_deref() == Some(server) {
            return Outcome::Unchanged;
        }
        self.server = Some(server.to_owned());
        self.told = Some(server.to_owned());
        self.touch();
        Outcome::Changed
    }

    /// Stops a unit of somebody else; false where none of that name runs.
    pub(super) fn stop_other(&mut self, unit: &str) -> bool {
        let mut of_others = self.others.values_mut().filter_map(|trace| trace.units.get_mut(unit));
        // A unit is in one place.
        of_others.any(std::mem::take)
    }

    /// What a look finds of them.
    pub(super) fn other_readings(&self) -> Traces {
        let known =
            |(manager, trace): (&Manager, &Trace)| (*manager, Reading::Known(trace.clone()));
        let mut traces: Traces = self.others.iter().map(known).collect();
        if let Some(path) = self.told.as_deref().filter(|_| self.is_live("onload")) {
            let ours = self.loader.as_ref().and_then(|loader| loader.server.as_deref());
            let found = others::control_plane(path, parameters(path), self.has_server(), ours);
            let found = found.map(|trace| (Manager::ControlPlane, Reading::Known(trace)));
            traces.extend(found);
        }
        traces
    }

    /// Parameters that somebody has written since the driver was loaded.
    pub(super) fn told_parameters(&self) -> impl Iterator<Item = (String, Reading<String>)> + '_ {
        let told = self.told.as_deref().into_iter();
        told.flat_map(|path| [(SERVER_PATH, path), (SERVER_PARAMETERS, parameters(path))])
            .map(|(name, value)| (name.to_owned(), Reading::Known(value.to_owned())))
    }
}

fn parameters(path: &str) -> &'static str {
    if others::is_wrapper(path) { WRAPPED } else { "" }
}
