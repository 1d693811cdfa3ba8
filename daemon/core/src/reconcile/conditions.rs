//! The conditions of the node, from what the reconciler knows.

use super::pools::PoolState;
use super::{LedgerHealth, Reconciler};
use crate::blocker::Blocked;
use crate::condition::{Condition, ConditionKind, Status};
use crate::inventory::{STACK, Snapshot};
use crate::picture::NodeState;
use crate::plan::verify;
use crate::pool::Cause;
use crate::reading::Reading;
use crate::release::initramfs;
use crate::time::Timestamp;
use crate::{kubelet, parameters};

impl Reconciler {
    pub(super) fn conditions(&self, blockers: &[Blocked], now: Timestamp) -> Vec<Condition> {
        let first = blockers.first().map(|one| (one.blocker.reason(), one.blocker.why()));
        let ready = match self.picture.state {
            NodeState::Ready | NodeState::Idle => {
                (Status::True, "AsWanted", self.picture.summary.clone())
            }
            NodeState::Converging | NodeState::Blocked | NodeState::Held | NodeState::Degraded => {
                let (reason, message) =
                    first.unwrap_or(("Converging", self.picture.summary.clone()));
                (Status::False, reason, message)
            }
        };
        let config = match &self.config_fault {
            None => (Status::True, "Valid", String::new()),
            Some(error) => (Status::False, "Refused", error.to_string()),
        };
        let ledger = match &self.ledger_health {
            LedgerHealth::Available => (Status::True, "Available", String::new()),
            LedgerHealth::Unwritable(why) => (Status::False, "Unwritable", why.clone()),
            LedgerHealth::Unreadable(why) => (Status::False, "Unreadable", why.clone()),
        };
        let missing: Vec<_> = self
            .picture
            .modules
            .iter()
            .filter(|(_, module)| module.wanted && module.module.known().is_none())
            .map(|(name, _)| name.to_string())
            .collect();
        let is_any_wanted = self.picture.modules.values().any(|module| module.wanted);
        let modules = if self.hands_off() {
            (Status::Unknown, "HandsOff", "nothing is decided while hands are off".to_owned())
        } else if self.picture.wanted_release.is_none() {
            (Status::Unknown, "LeftAlone", "the configuration names no release".to_owned())
        } else if !is_any_wanted {
            (Status::Unknown, "NotNeeded", "no card needs them".to_owned())
        } else if missing.is_empty() {
            (Status::True, "Loaded", String::new())
        } else {
            (Status::False, "Missing", missing.join(", "))
        };
        let causes: Vec<_> = self
            .pools
            .values()
            .filter(|pool| !pool.is_vacant())
            .flat_map(|pool| pool.devices())
            .filter_map(|d| d.cause.as_ref())
            .collect();
        let devices = match causes.first() {
            _ if self.pools.is_empty() => (Status::Unknown, "NoPools", String::new()),
            Some(Cause::NoPort) | None if self.picture.ports.is_empty() => {
                (Status::Unknown, "NoCard", "there is no card to have devices on".to_owned())
            }
            None if self.pools.values().all(PoolState::is_vacant) => {
                (Status::Unknown, "NoDevices", "no pool selects a port of this node".to_owned())
            }
            None => (Status::True, "Healthy", String::new()),
            Some(cause) => {
                (Status::False, cause.reason(), format!("{} devices: {cause}", causes.len()))
            }
        };
        // What was once offered stays so, whatever becomes of its ports.
        let (waiting, others) = (self.awaits_kubelet(), self.other_plugins());
        let offers = self
            .picture
            .pools
            .iter()
            .any(|(name, pool)| self.registered.contains(name) || kubelet::is_on_a_port(pool));
        let kubelet = if !self.config.settings.kubelet.enabled || !offers {
            (Status::Unknown, "NotOffered", String::new())
        } else if !waiting.is_empty() {
            (Status::False, "NotRegistered", waiting)
        } else if !others.is_empty() {
            (Status::False, "OtherPlugin", others)
        } else {
            (Status::True, "Registered", String::new())
        };
        let server = &self.snapshot.as_ref().map(|snapshot| &snapshot.driver.control_plane);
        let control_plane = match server {
            Some(Reading::Known(servers)) if !servers.is_empty() => {
                (Status::True, "Running", String::new())
            }
            // One that died is not started anew before the next stack
            // (reference/onload-measured.md section 1).
            Some(Reading::Known(_)) => {
                let message = "no control-plane server runs; the kernel starts one with the next stack, if cplane_server_path is right".to_owned();
                (Status::False, "Missing", message)
            }
            Some(Reading::Unreadable(why)) => (Status::Unknown, "Unreadable", why.clone()),
            Some(Reading::Absent) | None => {
                (Status::Unknown, "NotNeeded", "onload is not loaded".to_owned())
            }
        };
        let kinds = [
            (ConditionKind::Ready, ready),
            (ConditionKind::ConfigurationValid, config),
            (ConditionKind::LedgerAvailable, ledger),
            (ConditionKind::ModulesLoaded, modules),
            (ConditionKind::ReleaseVerified, self.verified()),
            (ConditionKind::ParametersAsAsked, self.parameters_as_asked()),
            (ConditionKind::InitramfsMatches, self.initramfs_matches()),
            (ConditionKind::SoleManager, self.sole_manager()),
            (ConditionKind::ControlPlaneRunning, control_plane),
            (ConditionKind::DevicesHealthy, devices),
            (ConditionKind::KubeletRegistered, kubelet),
            (ConditionKind::AllocationsConsistent, self.consistency()),
            (ConditionKind::KeysEnrolled, self.keys_enrolled()),
            (ConditionKind::NamesPinned, self.names_pinned()),
            (ConditionKind::NetworkRestored, self.network_restored()),
            (ConditionKind::ClockSynchronised, self.clock_synchronised()),
            (ConditionKind::ClockUndisputed, self.clock_undisputed()),
            (ConditionKind::ClockSupervised, self.clock_supervised()),
        ];
        kinds
            .into_iter()
            .map(|(kind, (status, reason, message))| {
                let former = self
                    .picture
                    .conditions
                    .iter()
                    .find(|one| one.kind == kind && one.status == status);
                let since = former.map_or(now, |one| one.since);
                Condition { kind, status, reason: reason.to_owned(), message, since }
            })
            .collect()
    }

    /// Whether what is loaded has the parameters that the host asks for.
    fn parameters_as_asked(&self) -> (Status, &'static str, String) {
        let none = |reason, message: &str| (Status::Unknown, reason, message.to_owned());
        let Some(snapshot) = &self.snapshot else { return none("NotSeen", "") };
        let loaded = STACK.iter().any(|name| snapshot.module(name).known().is_some());
        if !loaded {
            return none("NotLoaded", "no module of the stack is loaded");
        }
        match (&snapshot.options, parameters::differences(snapshot).first()) {
            (Reading::Unreadable(why), _) => none("Unreadable", why),
            (Reading::Absent, _) => none("NotSeen", "what is asked for was not looked at"),
            (Reading::Known(_), Some(_)) => (Status::False, "Differ", self.unasked(snapshot)),
            (Reading::Known(_), None) => (Status::True, "AsAsked", String::new()),
        }
    }

    /// Every difference, and what to do about the first; empty for none.
    fn unasked(&self, snapshot: &Snapshot) -> String {
        let differences = parameters::differences(snapshot);
        let Some(first) = differences.first() else { return String::new() };
        let all: Vec<_> = differences.iter().map(ToString::to_string).collect();
        format!("{}: {}", all.join("; "), first.fix())
    }

    /// What an order that was carried out says.
    pub(super) fn as_ordered(&self) -> String {
        let unasked = self.snapshot.as_ref().map(|snapshot| self.unasked(snapshot));
        match unasked.filter(|unasked| !unasked.is_empty()) {
            None => "the node is as ordered".to_owned(),
            Some(unasked) => format!("the node is as ordered, but {unasked}"),
        }
    }

    /// Whether the next boot begins with the driver that the release brings. Only told: a driver that
    /// the root needs has to be there.
    fn initramfs_matches(&self) -> (Status, &'static str, String) {
        let none = |reason, message: &str| (Status::Unknown, reason, message.to_owned());
        let (Some(target), Some(snapshot)) = (self.target(), &self.snapshot) else {
            return none("LeftAlone", "no release is asked for");
        };
        let kernels = snapshot.kernels.known().zip(snapshot.kernel.known());
        let seen = kernels.and_then(|(all, running)| Some((all.get(running)?, running)));
        let Some((seen, kernel)) = seen else {
            return none("KernelUnknown", "nothing is known of the running kernel's files");
        };
        let remarks = initramfs::remarks(&target, kernel, snapshot);
        match (&seen.initramfs, remarks.first()) {
            (Reading::Absent, _) => {
                none("NotSeen", "none lies in the usual places, or it is being read")
            }
            (Reading::Unreadable(_), Some(remark)) => (
                Status::Unknown,
                remark.reason(),
                format!("{remark}. What to do: {}", remark.fix()),
            ),
            (Reading::Unreadable(why), None) => (Status::Unknown, "Unreadable", why.clone()),
            (Reading::Known(_), Some(remark)) => {
                (Status::False, remark.reason(), format!("{remark}. What to do: {}", remark.fix()))
            }
            (Reading::Known(initramfs), None) if initramfs.modules.is_empty() => {
                (Status::True, "NoDriver", format!("{} carries no sfc", initramfs.path))
            }
            (Reading::Known(initramfs), None) => {
                (Status::True, "Same", format!("{} carries release {target}", initramfs.path))
            }
        }
    }

    /// Whether what the machine shows is what the release makes of it.
    fn verified(&self) -> (Status, &'static str, String) {
        let none = |reason, message: &str| (Status::Unknown, reason, message.to_owned());
        if self.hands_off() {
            return none("HandsOff", "nothing is decided while hands are off");
        }
        let (Some(target), Some(snapshot)) = (self.target(), &self.snapshot) else {
            return none("LeftAlone", "no release is asked for");
        };
        if self.picture.ports.is_empty() {
            return none("NotNeeded", "no card needs one");
        }
        if let Some(step) = self.plan.steps.iter().find(|step| !self.is_of_clocks(step)) {
            return (Status::False, "NotThere", format!("it would take: {step}"));
        }
        match verify::faults(&target, snapshot, &self.hardware, &self.chosen(snapshot)).first() {
            None => (Status::True, "Verified", format!("release {target}")),
            Some(fault) => (Status::False, fault.reason(), fault.to_string()),
        }
    }
}
