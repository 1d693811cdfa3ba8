//! Others who load or unload Onload's modules on this node, and what becomes of them when onloadd
//! takes over. What a look found of them is a fact; what it means stands here.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::inventory::Snapshot;
use crate::names::ReleaseName;
use crate::reading::Reading;
use crate::step::Step;
use crate::time::Timestamp;

/// The server that `onload` starts where it is told of none (reference/onload-modules.md section 9).
pub const BUILT_IN_SERVER: &str = "/sbin/onload_cp_server";
/// Parameter of `onload` with the server's path.
pub const SERVER_PATH: &str = "cplane_server_path";
/// Parameter of `onload` with what the server's command line begins with.
pub const SERVER_PARAMETERS: &str = "cplane_server_params";
/// Programs that run something elsewhere: the first is what the Onload Operator sets
/// (reference/kubernetes-onload.md section 1.7).
const WRAPPERS: [&str; 5] = ["crictl", "podman", "nsenter", "docker", "runc"];

/// Somebody who has to do with the modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// The Onload Operator, by the socket of its device plugin.
    OnloadOperator,
    /// The Kernel Module Management operator, by what its day-1 support leaves on
    /// the host, and by its pods while they are there.
    Kmm,
    /// Units of a MachineConfig that replace `sfc` at boot.
    MachineConfig,
    /// Whoever told the loaded `onload` to start a control-plane server that is not the host's.
    ControlPlane,
    /// DKMS. It builds modules and loads none.
    Dkms,
}

/// What a look found of a manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trace {
    /// What shows it, with the path; for people.
    pub evidence: String,
    /// Its units on this host, and whether each runs just now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, bool>,
}

/// What a look found, by manager; those of which there is no trace are left out.
pub type Traces = BTreeMap<Manager, Reading<Trace>>;

/// A manager that onloadd goes ahead beside, by order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Adoption {
    /// What showed the manager when that was ordered: for the control plane, the former value.
    pub evidence: String,
    /// User id of who ordered it.
    pub uid: u32,
    /// When.
    pub at: Timestamp,
}

/// Managers that onloadd goes ahead beside.
pub type Adoptions = BTreeMap<Manager, Adoption>;

impl Manager {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::OnloadOperator, Self::Kmm, Self::MachineConfig, Self::ControlPlane, Self::Dkms];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnloadOperator => "onload-operator",
            Self::Kmm => "kmm",
            Self::MachineConfig => "machine-config",
            Self::ControlPlane => "control-plane",
            Self::Dkms => "dkms",
        }
    }

    /// Whether it loads or unloads modules by itself, so that two would fight over them.
    pub fn fights(self) -> bool {
        match self {
            Self::OnloadOperator | Self::Kmm | Self::MachineConfig => true,
            Self::ControlPlane | Self::Dkms => false,
        }
    }

    /// Whether nothing is taken away while it is there: a container whose control plane the driver
    /// uses would lose it without a word.
    pub fn bars_changes(self) -> bool {
        match self {
            Self::OnloadOperator | Self::Kmm | Self::MachineConfig | Self::ControlPlane => true,
            Self::Dkms => false,
        }
    }

    /// What an operator does to be rid of it, where it comes from; none where onloadd does all.
    pub fn leave(self) -> Option<&'static str> {
        match self {
            Self::OnloadOperator => Some(
                "delete the Onload resource (`kubectl delete onload NAME`), or take this node out of its selector",
            ),
            Self::Kmm => Some(
                "delete the KMM Module or BootModuleConfig that names these modules, or take this node out of its selector",
            ),
            Self::MachineConfig => Some(
                "delete the MachineConfig that brings the units (such as 99-sfc-machineconfig); until then they run again at each boot",
            ),
            Self::ControlPlane | Self::Dkms => None,
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnloadOperator => "the Onload Operator",
            Self::Kmm => "Kernel Module Management",
            Self::MachineConfig => "a MachineConfig",
            Self::ControlPlane => "a container runtime's control plane",
            Self::Dkms => "DKMS",
        })
    }
}

/// Whether a server path is that of a program that runs something elsewhere.
pub fn is_wrapper(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| WRAPPERS.contains(&name))
}

/// What the parameters of a loaded `onload` show of somebody who has told it of another server.
/// `exists`: whether there is such a file on the host. `ours`: what onloadd told modprobe.
pub fn control_plane(
    path: &str,
    parameters: &str,
    exists: bool,
    ours: Option<&str>,
) -> Option<Trace> {
    // A host without a server has none; nobody said otherwise.
    let own = path.is_empty() || path == BUILT_IN_SERVER || Some(path) == ours;
    let what = match (is_wrapper(path), exists) {
        (true, _) => "which runs it elsewhere",
        (false, false) if !own => "which is not on this host",
        (false, _) => return None,
    };
    let parameters = parameters.trim();
    let told = if parameters.is_empty() { String::new() } else { format!(" ({parameters})") };
    let evidence = format!("{SERVER_PATH} of the loaded onload is {path}{told}, {what}");
    Some(Trace { evidence, units: BTreeMap::new() })
}

/// Managers of which there is a trace that could be read.
pub fn seen(traces: &Traces) -> impl Iterator<Item = (Manager, &Trace)> {
    traces.iter().filter_map(|(manager, trace)| Some((*manager, trace.known()?)))
}

/// What is done to take over from those that were adopted. Files of others are left alone.
/// `release` is that of the loaded stack.
pub fn steps(adopted: &Adoptions, snapshot: &Snapshot, release: Option<&ReleaseName>) -> Vec<Step> {
    let seen = seen(&snapshot.others).filter(|(manager, _)| adopted.contains_key(manager));
    seen.flat_map(|(manager, trace)| own_steps(manager, trace, snapshot, release)).collect()
}

/// What onloadd itself does to take over from one manager.
pub fn own_steps(
    manager: Manager,
    trace: &Trace,
    snapshot: &Snapshot,
    release: Option<&ReleaseName>,
) -> Vec<Step> {
    let running = trace.units.iter().filter(|(_, runs)| **runs);
    let stops = running.map(|(unit, _)| Step::StopUnit { unit: unit.clone() });
    let restores = (manager == Manager::ControlPlane)
        .then(|| restore(snapshot, release))
        .flatten()
        .filter(|step| !step.holds_in(snapshot));
    stops.chain(restores).collect()
}

/// The control plane as the release in use has it; none while it cannot be told which that is.
fn restore(snapshot: &Snapshot, release: Option<&ReleaseName>) -> Option<Step> {
    let found = snapshot.releases.known()?.get(release?)?;
    let own = found.server.as_ref();
    let own = own.map(|server| format!("{}/{server}", found.root.trim_end_matches('/')));
    let now = parameter(snapshot, SERVER_PATH)?;
    Some(Step::RestoreServer {
        server: own.unwrap_or_else(|| BUILT_IN_SERVER.to_owned()),
        // What a wrapper was given means nothing to a server; anything else may be the host's.
        clear: is_wrapper(now),
    })
}

/// A parameter of the loaded `onload`.
pub fn parameter<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a str> {
    let Reading::Known(module) = snapshot.module("onload") else { return None };
    // Whoever writes one may end it with a line feed, which the kernel keeps.
    module.parameters.get(name)?.known().map(|value| value.trim())
}

/// A manager as outsiders see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherPicture {
    /// What shows it.
    pub evidence: String,
    /// Who had onloadd go ahead beside it, and when.
    pub adopted: Option<(u32, Timestamp)>,
    /// What onloadd does, or would do, to take over.
    pub does: Vec<String>,
    /// What is left for people to do where the manager comes from.
    pub left: Vec<String>,
}

/// What is shown of the managers.
pub fn picture(
    adopted: &Adoptions,
    snapshot: &Snapshot,
    release: Option<&ReleaseName>,
) -> BTreeMap<Manager, OtherPicture> {
    let shown = seen(&snapshot.others).map(|(manager, trace)| {
        let steps = own_steps(manager, trace, snapshot, release);
        let mut does: Vec<_> = steps.iter().map(ToString::to_string).collect();
        if manager.fights() {
            does.push("load and unload the modules as the configuration and orders say".to_owned());
        }
        let other = OtherPicture {
            evidence: trace.evidence.clone(),
            adopted: adopted.get(&manager).map(|adoption| (adoption.uid, adoption.at)),
            does,
            left: manager.leave().map(str::to_owned).into_iter().collect(),
        };
        (manager, other)
    });
    shown.collect()
}

#[cfg(test)]
mod tests;
